"""Running sums of a series that grows: each step is answered once, and the whole series is charged once, before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from discreet import events
from discreet.errors import InvalidInput
from discreet.mechanisms.discrete_gaussian import discrete_gaussian
from discreet.mechanisms.parameters import LARGEST_SCALE, check_probability, rational
from discreet.mechanisms.rng import Rng
from discreet.mechanisms.toeplitz import Toeplitz
from discreet.mechanisms.vectors import Integers, integer_vector

Vector = NDArray[np.int64] | NDArray[np.object_]
Answers = Sequence[Sequence[int]] | NDArray[Any]
_LEAST_VARIANCE = Fraction(2**12)  # a standard deviation of 1/1024 of one unit: what `quantile` is proved for
_ROWS = 1024  # steps mixed at once
_LOW = 32  # bits of the lower half of a 64-bit number
_BLUR = 1.5  # standard deviation of the continuous noise that `quantile` adds in thought


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SumsSoFar:
    """What the curator keeps of a series between two steps. `exact` is private; `answers` may be shown.

    Both are lists with one vector for each step, so that a step adds one row to each. Save them *together* before
    the new answer is shown to anybody; what was shown and not saved would be drawn again.

    Args:
        exact: The exact vector of each step, as it was when the step was answered.
        answers: What was shown of each step: mixed, with noise.

    Raises:
        InvalidInput: the two are not of the same length, or the vectors are not.
    """

    exact: Sequence[Integers] = field(default=(), repr=False)
    answers: Sequence[Sequence[int]] = ()

    def __post_init__(self) -> None:
        exact = tuple(_frozen(vector) for vector in self.exact)
        answers = tuple(tuple(integer_vector(vector).tolist()) for vector in self.answers)
        if len(exact) != len(answers):
            raise InvalidInput(
                f"exact vectors of {len(exact)} steps were kept, and answers of {len(answers)}.",
                state="No noise was drawn.",
                remedy="Save both in one transaction, and read both back.",
            )
        if len({len(vector) for vector in (*exact, *answers)}) > 1:
            raise InvalidInput("the steps of one series must have the same cells.", state="No noise was drawn.")
        object.__setattr__(self, "exact", exact)
        object.__setattr__(self, "answers", answers)

    @property
    def steps(self) -> int:
        """How many steps were answered."""
        return len(self.answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSums:
    """Answer a series of integer vectors step by step, so that every running sum can be told from the answers.

    An answer is the vectors so far, mixed by `matrix`, plus discrete Gaussian noise of its own. Sums over any steps
    are worked out from answers and cost nothing.

    Args:
        matrix: How the steps are mixed; how often a unit takes part.
        step_sensitivity_squared: Square of the L2 norm of what one unit adds to the vector of a step that it takes
            part in; under replace_one four times that.
        variance: The parameter σ² of each answer's noise, in 2**-16 of the series' unit: at least 2**12, and
            matrix.sensitivity_squared·step_sensitivity_squared/(2ρ) for ρ-zCDP.

    Guarantee:
        All answers together are (sensitivity_squared/(2·variance))-zCDP, with sensitivity_squared that of the event.
        Each vector may depend on earlier answers, and other questions may be asked in between.
    Evidence:
        Proven: docs/proofs/continual.md; cited for the rate of one answer.
    Assumes:
        Given the same earlier answers, a unit takes part in at most `matrix.participations` steps,
        `matrix.separation` apart, and adds at most the step sensitivity to each; what it counts for in a step is
        decided by then, and stays. The event is charged before the first step. Every step is answered once, from
        the exact vectors that earlier answers were made of: see `SumsSoFar`.
    Not protected:
        How many steps and cells there are, and when they are answered: all public.

    References:
        Dwork, Naor, Pitassi, Rothblum, "Differential Privacy Under Continual Observation", 2010. Denisov, McMahan,
        Rush, Smith, Thakurta, "Improved Differential Privacy for SGD via Optimal Private Linear Operators on
        Adaptive Streams", 2022.
    """

    matrix: Toeplitz
    step_sensitivity_squared: Fraction
    variance: Fraction

    def __post_init__(self) -> None:
        if not isinstance(self.matrix, Toeplitz):
            raise InvalidInput(f"matrix must be a Toeplitz, got {type(self.matrix).__name__}.")
        squared = rational("step_sensitivity_squared", self.step_sensitivity_squared, Fraction(0), Fraction(2**128))
        object.__setattr__(self, "step_sensitivity_squared", squared)
        variance = rational("variance", self.variance, _LEAST_VARIANCE, LARGEST_SCALE**2)
        object.__setattr__(self, "variance", variance)

    @property
    def event(self) -> events.DiscreteGaussian:
        """What the whole series is charged as, once, before its first step."""
        return events.DiscreteGaussian(
            sensitivity_squared=self.matrix.sensitivity_squared * self.step_sensitivity_squared,
            variance=self.variance,
        )

    def advance(self, so_far: SumsSoFar, *, step: int, exact_values: Integers, rng: Rng) -> SumsSoFar:
        """Answer the next step, or return `so_far` as it is if `step` was answered before.

        Args:
            so_far: What was kept after the step before.
            step: Which step this is, from 1.
            exact_values: Its exact vector. Of a step that was answered, the vector kept stays.
            rng: Where the bits come from.

        Returns:
            What to save, and then to show: `answers[step - 1]`.

        Raises:
            InvalidInput: the step is beyond the last, or steps before it are missing; another number of cells.
        """
        if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= self.matrix.steps:
            raise _refused(f"step must be a whole number from 1 to {self.matrix.steps}, got {step!r}.",
                           "A series cannot go on beyond its declared steps: begin, and charge, another.")  # fmt: skip
        if step <= so_far.steps:
            return so_far
        if step > so_far.steps + 1:
            raise _refused(f"step {step} cannot be answered after step {so_far.steps}.",
                           "Answer the steps in order; one that nothing happened in is a vector of zeros.")  # fmt: skip
        vector = _frozen(exact_values)
        exact = (*so_far.exact, vector)
        if len(vector) != len(exact[0]):
            raise _refused(f"this step has {len(vector)} cells, those before it {len(exact[0])}.",
                           "Declare all cells before the first step.")  # fmt: skip
        mixed = _mixed(self.matrix.coefficients[:step][::-1], exact)
        noise = discrete_gaussian(len(mixed), variance=self.variance, rng=rng)
        answer = tuple(a + b for a, b in zip(mixed, noise.tolist(), strict=True))
        return _grown(so_far, vector, answer)

    def estimates(self, answers: Answers) -> NDArray[np.float64]:
        """Return the running sums after each answered step, a row each."""
        shown = _floats(answers)
        rows = [self.matrix.weights(last) @ shown[:last] for last in range(1, len(shown) + 1)]
        return np.array(rows).reshape(shown.shape)

    def window(self, answers: Answers, last: int, first: int = 1) -> NDArray[np.float64]:
        """Return the sums of steps `first` … `last`, all of which were answered.

        Raises:
            InvalidInput: they were not.
        """
        if last > len(answers):
            raise _refused(f"{len(answers)} steps were answered, and step {last} is asked for.", "Wait for its answer.")
        weights: NDArray[np.float64] = self.matrix.weights(last, first)
        return weights @ _floats(answers[:last])

    def standard_error(self, last: int, first: int = 1) -> float:
        """Return the standard deviation of the noise in the sum of steps `first` … `last`, of each cell."""
        return math.sqrt(self.variance) * float(np.linalg.norm(self.matrix.weights(last, first)))

    def quantile(self, p: float, last: int, first: int = 1) -> float:
        """Return h such that the noise in the sum of steps `first` … `last` stays within ±h with probability at least p.

        Never too small; too large by 9/σ of a standard error, and 1e-8 of the rest of the probability.
        """
        rest = 1 - check_probability(p)
        reach = -NormalDist().inv_cdf(rest / 2 * (1 - 1e-8))
        spread = math.sqrt(float(self.variance) + _BLUR**2)
        norm = float(np.linalg.norm(self.matrix.weights(last, first)))
        return norm * (reach * spread + 6 * _BLUR) * (1 + 1e-9)


def _refused(what: str, remedy: str) -> InvalidInput:
    return InvalidInput(what, state="No noise was drawn; the series stands as it was.", remedy=remedy)


def _frozen(values: Integers) -> Vector:
    """Return a copy of the vector that nobody else holds, and nobody can write to."""
    vector = integer_vector(values).copy()
    vector.setflags(write=False)
    return vector


def _grown(so_far: SumsSoFar, vector: Vector, answer: tuple[int, ...]) -> SumsSoFar:
    """Return `so_far` with one step more, without going through all the earlier ones again."""
    grown = SumsSoFar()
    object.__setattr__(grown, "exact", (*so_far.exact, vector))
    object.__setattr__(grown, "answers", (*so_far.answers, answer))
    return grown


def _mixed(column: NDArray[np.int64], exact: Sequence[Integers]) -> list[int]:
    """Return Σ column[i]·exact[i], exactly, whatever the size.

    Numbers of 64 bits are cut into halves: 2**10 products of one up to 2**16 and one up to 2**32 stay below 2**59.
    """
    total = [0] * len(exact[0])
    for start in range(0, len(exact), _ROWS):
        table: NDArray[Any] = np.stack(exact[start : start + _ROWS])
        weights = column[start : start + _ROWS]
        if table.dtype == np.object_:
            part = weights.astype(np.object_) @ table
        else:
            high, low = weights @ (table >> _LOW), weights @ (table & (2**_LOW - 1))
            part = (high.astype(np.object_) << _LOW) + low
        total = [a + int(b) for a, b in zip(total, part, strict=True)]
    return total


def _floats(answers: Answers) -> NDArray[np.float64]:
    cells = len(answers[0]) if len(answers) > 0 else 0
    return np.array(answers, dtype=np.float64).reshape(len(answers), cells)
