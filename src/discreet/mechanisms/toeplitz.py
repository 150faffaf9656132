"""Toeplitz matrices of whole numbers: how a series is mixed before its noise, and how running sums come back.

Step t of a series x_1, x_2, … is mixed to c_0·x_t + c_1·x_(t-1) + …, gets noise, and is shown. A running sum is then
a weighted sum of what was shown, and its noise far smaller than if each step, or each sum, had noise of its own.
The numbers c are chosen from public facts alone. Claims and proofs: docs/proofs/continual.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from discreet.errors import InvalidInput
from discreet.mechanisms.parameters import rational

MOST_STEPS = 2**14
LATTICE_BITS = 16  # c_0 = 2**16: the errors of the rounded matrix and of the real one agree to 1e-4
_GUARD_BITS = 64
_POWERS = 32  # the search tries multiples of 1/32
Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Toeplitz:
    """A lower-triangular Toeplitz matrix of whole numbers, and who may take part in its steps how often.

    The number k below the diagonal is c_k = c_(k-1)·decay·(k - 1 + power)/k, with c_0 = 2**16, rounded. Power 1/2 and
    decay 1 give the square root of the matrix of running sums: no Toeplitz matrix has a smaller largest error if a
    unit takes part once. Power 0 gives every step noise of its own. `best` chooses.

    Args:
        steps: How many steps the series has, at most 2**14. It may end early, never go on.
        participations: In how many steps one privacy unit takes part at most.
        separation: How far apart two of them are at least: 1 if they may follow one another.
        power: From 0 to 1, exact.
        decay: From 0 to 1, exact.

    Guarantee:
        Two series that differ in at most `participations` steps, each `separation` from the next, and in each of
        these by at most 1 in L2 norm, are mixed to series at squared L2 distance of at most `sensitivity_squared`.
        Some are exactly so far apart.
    Evidence:
        Proven: docs/proofs/continual.md.
    Assumes:
        Nothing.
    Not protected:
        All of it is public.

    References:
        Fichtenberger, Henzinger, Upadhyay, "Constant Matters", 2023 (the square root). Dvijotham, McMahan, Pillutla,
        Steinke, Thakurta, "Efficient and Near-Optimal Noise Generation for Streaming Differential Privacy", 2024 (that
        it is optimal). Kalinin, Lampert, "Banded Square Root Matrix Factorization", 2024 (the worst steps).
    """

    steps: int
    participations: int
    separation: int = 1
    power: Fraction = Fraction(1, 2)
    decay: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        for name, value, most in (
            ("steps", self.steps, MOST_STEPS),
            ("participations", self.participations, None),
            ("separation", self.separation, None),
        ):
            _check_whole(name, value, most)
        for name in ("power", "decay"):
            object.__setattr__(self, name, rational(name, getattr(self, name), Fraction(0), Fraction(1)))

    @classmethod
    def best(cls, *, steps: int, participations: int, separation: int = 1) -> Toeplitz:
        """Return the matrix with the least `max_error`, among several hundred powers and decays.

        The choice is made in floating point, which another machine may round otherwise: keep the `power` and
        the `decay` of a series that has begun.
        """
        plain = cls(steps=steps, participations=participations, separation=separation)
        power, decay = _best(plain.steps, plain.participations, plain.separation)
        return cls(steps=steps, participations=participations, separation=separation, power=power, decay=decay)

    @property
    def coefficients(self) -> NDArray[np.int64]:
        """The first column, c_0 … c_(steps-1): whole numbers, none negative, none above the one before. Read-only."""
        return _coefficients(self.steps, self.power, self.decay)

    @property
    def sensitivity_squared(self) -> int:
        """The largest squared L2 distance that one unit makes, if it moves each of its steps by at most 1."""
        mixed = _taken(self.coefficients, self.participations, self.separation)
        return sum(value * value for value in mixed.tolist())

    @property
    def max_error(self) -> float:
        """The standard error of the last running sum, which is the largest, at variance = sensitivity_squared.

        So at ρ = 1/2, a step sensitivity of 1, and in the unit of the series; at another ρ it is divided by sqrt(2ρ).
        """
        return math.sqrt(self.sensitivity_squared) * float(np.linalg.norm(self.weights(self.steps)))

    @property
    def rms_error(self) -> float:
        """The root-mean-square standard error of all running sums, where `max_error` is the largest."""
        squares = np.cumsum(_unmixing(self.steps, self.power, self.decay) ** 2)
        return math.sqrt(self.sensitivity_squared * float(squares.mean()))

    def weights(self, last: int, first: int = 1) -> NDArray[np.float64]:
        """Return the weights of shown steps 1 … `last` that sum up steps `first` … `last` of the series.

        Raises:
            InvalidInput: not 1 <= first <= last <= steps.
        """
        _check_whole("last", last, self.steps)
        _check_whole("first", first, last)
        unmixing = _unmixing(self.steps, self.power, self.decay)
        weights = unmixing[:last][::-1].copy()
        weights[: first - 1] -= unmixing[: first - 1][::-1]
        return weights


def _check_whole(name: str, value: int, most: int | None = None) -> None:
    """Demand a whole number from 1 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most is not None and value > most):
        reach = "of at least 1" if most is None else f"from 1 to {most}"
        raise InvalidInput(f"{name} must be a whole number {reach}, got {value!r}.")


@lru_cache(maxsize=64)
def _coefficients(steps: int, power: Fraction, decay: Fraction) -> NDArray[np.int64]:
    """Return the first column by integer arithmetic: the same on every machine, and never increasing.

    Each factor is at most 1, and rounding down a smaller number gives no larger one; so does the last rounding.
    """
    value = 1 << (LATTICE_BITS + _GUARD_BITS)
    half = 1 << (_GUARD_BITS - 1)
    p, q = power.numerator, power.denominator
    column = []
    for k in range(1, steps + 1):
        column.append((value + half) >> _GUARD_BITS)
        value = value * decay.numerator * ((k - 1) * q + p) // (decay.denominator * k * q)
    return _read_only(np.array(column, dtype=np.int64))


@lru_cache(maxsize=64)
def _unmixing(steps: int, power: Fraction, decay: Fraction) -> NDArray[np.float64]:
    """Return b with Σ_j c_j·b_(k-j) = 1 for every k: the first column of (running sums)·(matrix)⁻¹."""
    column = _coefficients(steps, power, decay).astype(np.float64)
    backwards = column[::-1].copy()
    found = np.empty(steps)
    for k in range(steps):
        found[k] = (1 - backwards[steps - 1 - k : steps - 1] @ found[:k]) / column[0]
    return _read_only(found)


def _taken(column: NDArray[Number], participations: int, separation: int) -> NDArray[Number]:
    """Return what the worst unit adds to the mixed steps: the sum of columns 0, separation, 2·separation, …."""
    steps = column.size
    width = min(separation, steps)
    rows = np.zeros((-(-steps // width), width), dtype=column.dtype)
    rows.ravel()[:steps] = column
    sums = rows.cumsum(axis=0)
    if participations < len(sums):
        sums[participations:] -= sums[:-participations].copy()
    taken: NDArray[Number] = sums.ravel()[:steps]
    return taken


@lru_cache(maxsize=64)
def _best(steps: int, participations: int, separation: int) -> tuple[Fraction, Fraction]:
    """Return the power and the decay whose real matrix has the least error at the last step."""
    k = np.arange(1, steps)

    def error(power: float, decay: float) -> float:
        column = np.cumprod(np.append(1.0, decay * (k - 1 + power) / k))
        unmixing = np.cumsum(np.cumprod(np.append(1.0, decay * (k - 1 - power) / k)))
        taken = _taken(column, participations, separation)
        return float((taken @ taken) * (unmixing @ unmixing))

    gaps = [Fraction(0)]  # 1 - decay: 0, and half-octaves down to where the series is too short to feel it
    for j in range(1, steps.bit_length() + 2):
        gaps += [Fraction(1, 2**j), Fraction(3, 2 ** (j + 2))]
    choices = [(Fraction(i, _POWERS), 1 - gap) for gap in gaps for i in range(_POWERS + 1)]
    return min(choices, key=lambda choice: error(float(choice[0]), float(choice[1])))


def _read_only(array: NDArray[Number]) -> NDArray[Number]:
    array.setflags(write=False)
    return array
