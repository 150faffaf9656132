"""Correlated noise: each step's noise takes back part of the noise of steps before, so that sums of steps have less.

A strategy is a lower-triangular Toeplitz matrix C with c_0 = 1. Step t gets row t of C⁻¹Z, Z fresh noise: what is seen of
all steps is as good as C·(gradients) + Z. Neither sees the data. Proofs: docs/proofs/training_noise.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from discreet.errors import InvalidInput
from discreet.events.checks import shown

MOST_STEPS = 2**17
MOST_BUFFERS = 16
LEAST = 1e-6  # of decays and weights
Column: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Strategy:
    """What all strategies have: sensitivities and errors, from the first columns of C and C⁻¹."""

    kind: ClassVar[str]
    bands: int

    def strategy(self, steps: int) -> Column:
        """Return the first column of C. Read-only."""
        return _columns(self, _steps(steps))[0]

    def unmixing(self, steps: int) -> Column:
        """Return the first column of C⁻¹: what a step's noise has of its own and of earlier fresh noise. Read-only."""
        return _columns(self, _steps(steps))[1]

    def _worked_out(self, steps: int) -> tuple[Column, Column]:
        """Return both columns, of which the banded one is rounded to float32 first."""
        raise NotImplementedError

    def sensitivity(self, steps: int, participations: int, separation: int) -> float:
        """Return how far one unit moves C·(gradients) at most in the 2-norm, rounded up.

        It takes part in at most `participations` steps, `separation` apart at least, and moves each by at most 1.
        """
        falling = np.maximum.accumulate(np.abs(self.strategy(steps))[::-1])[
            ::-1
        ]  # the proof wants it; here nothing changes
        firsts = range(0, steps, separation)
        if participations < len(firsts):
            moved = np.zeros(steps)
            for first in firsts[:participations]:
                moved[first:] += falling[: steps - first]
        else:  # the same sum, of all: down the columns of a table that is as wide as steps are apart
            whole = np.zeros(len(firsts) * separation)
            whole[:steps] = falling
            moved = whole.reshape(-1, separation).cumsum(axis=0).reshape(-1)[:steps]
        roundings = 8 * steps * (min(self.bands, steps) + 4)
        return math.sqrt(float(moved @ moved)) * (1 + roundings * 2.0**-53)

    def rms_error(self, steps: int, participations: int, separation: int) -> float:
        """Return the root-mean-square noise of all sums of the first 1, 2, … steps, for a noise multiplier of 1."""
        return self.sensitivity(steps, participations, separation) * self.rms_noise(steps)

    def rms_noise(self, steps: int) -> float:
        """Return the same for fresh noise of deviation 1."""
        squares = np.cumsum(np.cumsum(self.unmixing(steps)) ** 2)
        return math.sqrt(float(squares.mean()))


@dataclass(frozen=True, slots=True)
class _SquareRoot(_Strategy):
    """What both square roots have: a number of bands."""

    def __post_init__(self) -> None:
        if isinstance(self.bands, bool) or not isinstance(self.bands, int) or not 1 <= self.bands <= MOST_STEPS:
            raise InvalidInput(
                f"bands must be a whole number from 1 to {MOST_STEPS}, got {shown(self.bands)}.",
                remedy="Name few: 1 is noise of each step alone.",
            )

    def _worked_out(self, steps: int) -> tuple[Column, Column]:
        root = self.kind == BandedRoot.kind
        k = np.arange(1, min(self.bands, steps))
        known = np.cumprod(np.append(1.0, (k - (0.5 if root else 1.5)) / k))  # of (1 - z)**(-1/2), or of (1 - z)**(1/2)
        banded = known.astype(np.float32).astype(np.float64)
        padded = np.concatenate([banded, np.zeros(steps - banded.size)])
        inverse = _inverse(banded, steps)
        return (padded, inverse) if root else (inverse, padded)


@dataclass(frozen=True, slots=True)
class BandedRoot(_SquareRoot):
    """The square root of the matrix of running sums, cut to its first `bands` diagonals (BSR).

    C has `bands` diagonals, c_k = binom(2k, k)/4ᵏ: batches of `Cyclic` with at least as many groups keep the gain of
    sampling. C⁻¹ is full: a step's noise is that of the last bands - 1 steps, weighted, taken from fresh noise.

    Args:
        bands: The diagonals kept.

    Guarantee:
        `sensitivity` is never too small, for gradients of any dimension and direction.
    Evidence:
        Proven: docs/proofs/training_noise.md.
    Assumes:
        Nothing.
    Not protected:
        All of it is public.

    References:
        Kalinin, Lampert, "Banded Square Root Matrix Factorization for Differentially Private Model Training", 2024.
    """

    kind: ClassVar[str] = "banded_root"


@dataclass(frozen=True, slots=True)
class BandedInverseRoot(_SquareRoot):
    """The strategy whose inverse is the inverse square root of running sums, cut to its first `bands` diagonals (BISR).

    A step's noise is made of `bands` fresh ones, which are drawn again: nothing is kept. C is full, so the gain of
    sampling is not claimed.

    Args:
        bands: The diagonals of C⁻¹ kept.

    Guarantee:
        As for `BandedRoot`.
    Evidence:
        Proven: docs/proofs/training_noise.md.
    Assumes:
        Nothing.
    Not protected:
        All of it is public.

    References:
        Kalinin, McKenna, Upadhyay, Lampert, "Back to Square Roots", 2025.
    """

    kind: ClassVar[str] = "banded_inverse_root"


@dataclass(frozen=True, slots=True)
class LambdaCGD(_Strategy):
    """Each step takes back a fixed part λ of the fresh noise of the step before (DP-λCGD).

    A step's noise is z_t - λ·z_(t-1); both are drawn again, and nothing is kept. C is full, its numbers are powers of λ;
    the gain of sampling is not claimed. It takes two draws of noise a step, whatever λ.

    Args:
        decay: λ, above 0 and at most 1, rounded to float32.

    Guarantee:
        As for `BandedRoot`.
    Evidence:
        Proven: docs/proofs/training_noise.md.
    Assumes:
        Nothing.
    Not protected:
        All of it is public.

    References:
        "DP-λCGD", arXiv:2601.22334, 2026.
    """

    kind: ClassVar[str] = "lambda_cgd"
    bands: int = field(default=2, init=False, repr=False, compare=False)
    decay: float

    def __post_init__(self) -> None:
        if isinstance(self.decay, bool) or not isinstance(self.decay, int | float) or not 2.0**-20 <= self.decay <= 1:
            raise InvalidInput(
                f"decay must be a number from 2**-20 to 1, got {shown(self.decay)}.",
                remedy="0.9 takes most of it back; leave the correlation out for nothing.",
            )

    def _worked_out(self, steps: int) -> tuple[Column, Column]:
        decay = float(np.float32(self.decay))
        unmixing = np.zeros(steps)
        unmixing[:2] = (1.0, -decay)[:steps]
        return decay ** np.arange(steps, dtype=np.float64), unmixing


@dataclass(frozen=True, slots=True)
class BufferedToeplitz(_Strategy):
    """Each step takes back parts of a few fading sums of all noise before it (BLT).

    A step's noise is w_t = z_t - Σ_j weight_j·s_j, and then each sum s_j becomes decay_j·s_j + w_t. C is full, with
    numbers Σ_j weight_j·decay_j^(k-1): the gain of sampling is not claimed. Two sums come near to the best there is for
    running sums; `DPSGD.correlate` finds their numbers. The sums are kept, one of each for every tensor; after an
    interruption the noise of all steps so far is drawn again.

    Args:
        decays: Of the sums, between 0 and 1, rounded to float32.
        weights: As many, above 0, together at most 1, rounded to float32.

    Guarantee:
        As for `BandedRoot`.
    Evidence:
        Proven: docs/proofs/training_noise.md.
    Assumes:
        Nothing.
    Not protected:
        All of it is public.

    References:
        Dvijotham, McMahan, Pillutla, Steinke, Thakurta, "Efficient and Near-Optimal Noise Generation for Streaming
        Differential Privacy", 2024. McMahan, Xu, Zhang, "A Hassle-free Algorithm for Private Learning in Practice", 2024.
    """

    kind: ClassVar[str] = "buffered_toeplitz"
    bands: int = field(default=0, init=False, repr=False, compare=False)
    decays: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, numbers in (("decays", self.decays), ("weights", self.weights)):
            if not isinstance(numbers, tuple) or not all(
                isinstance(number, int | float) and not isinstance(number, bool) and LEAST < number < 1
                for number in numbers
            ):
                raise InvalidInput(
                    f"{name} must be a tuple of numbers between {LEAST:g} and 1, got {shown(numbers)}.",
                    remedy="Take what plan.correlate finds.",
                )
        if not 1 <= len(self.decays) == len(self.weights) <= MOST_BUFFERS or math.fsum(self.weights) > 1 - LEAST:
            raise InvalidInput(
                f"from 1 to {MOST_BUFFERS} decays need as many weights, together below 1, got {len(self.decays)} and "
                f"{len(self.weights)}, together {math.fsum(self.weights):g}.",
                remedy="Take what plan.correlate finds.",
            )
        object.__setattr__(self, "bands", 2 * len(self.decays))  # as many roundings as that many bands

    @property
    def rounded(self) -> tuple[Column, Column]:
        """Decays and weights as they run, in float32."""
        return tuple(np.array(x, dtype=np.float32).astype(np.float64) for x in (self.decays, self.weights))  # type: ignore[return-value]

    def _worked_out(self, steps: int) -> tuple[Column, Column]:
        decays, weights = self.rounded
        powers = decays[:, None] ** np.arange(steps - 1)
        turn = np.diag(decays) - weights  # sums of one step from those of the step before, without fresh noise
        sums = np.ones((len(decays), 1))
        while sums.shape[1] < steps - 1:
            sums = np.concatenate([sums, turn @ sums], axis=1)
            turn = turn @ turn
        first = np.ones(1)
        return np.append(first, weights @ powers), np.append(first, -(weights @ sums[:, : steps - 1]))


Correlation: TypeAlias = BandedRoot | BandedInverseRoot | LambdaCGD | BufferedToeplitz
CORRELATIONS: Mapping[str, type[Correlation]] = {kind.kind: kind for kind in get_args(Correlation)}


def correlation_to_dict(correlation: Correlation | None) -> dict[str, Any] | None:
    """Return a correlation as plain data."""
    if correlation is None:
        return None
    return {"kind": correlation.kind, **{name: getattr(correlation, name) for name in _given(type(correlation))}}


def correlation_from_dict(data: object) -> Correlation | None:
    """Read a correlation from plain data.

    Raises:
        InvalidInput: it is none.
    """
    if data is None:
        return None
    kind = CORRELATIONS.get(str(data.get("kind"))) if isinstance(data, dict) else None
    if kind is None or not isinstance(data, dict) or set(data) != {"kind", *_given(kind)}:
        raise InvalidInput("this is no correlation.", remedy=f"Known kinds: {', '.join(CORRELATIONS)}.")
    given = (data[name] for name in _given(kind))
    made: Callable[..., Correlation] = kind
    return made(*(tuple(value) if isinstance(value, list) else value for value in given))


def _given(kind: type[Correlation]) -> list[str]:
    return [each.name for each in fields(kind) if each.init]


def _steps(steps: int) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST_STEPS:
        raise InvalidInput(
            f"correlated noise has from 1 to {MOST_STEPS} steps, got {shown(steps)}.",
            remedy="Plan fewer steps, or noise without correlation.",
        )
    return steps


@lru_cache(maxsize=16)
def _columns(strategy: Correlation, steps: int) -> tuple[Column, Column]:
    """Return the first columns of C and of C⁻¹.

    The banded one is rounded to float32 first, in which noise is mixed: so it is what runs, exactly.
    """
    columns = strategy._worked_out(steps)  # noqa: SLF001 - of this module
    for column in columns:
        column.setflags(write=False)
    return columns


def _inverse(banded: Column, steps: int) -> Column:
    """Return b with Σ_j banded_j·b_(k-j) = [k = 0]."""
    rest, found = banded[1:][::-1], np.zeros(steps)
    found[0] = 1.0
    for k in range(1, steps):
        width = min(k, rest.size)
        found[k] = -(rest[rest.size - width :] @ found[k - width : k])
    return found
