"""The discrete Gaussian law: P(x) ∝ exp(-x²/(2·variance)) on the integers, for any rational variance."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from discreet.mechanisms.inversion import Law, table
from discreet.mechanisms.parameters import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    check_probability,
    check_size,
    rational,
    smallest,
)
from discreet.mechanisms.rng import Rng

_SUMMED = 2**20  # variances up to here: quantiles by summing the law itself
_MARGIN = 1e-11  # far above the errors of the float sums and of erfc


def discrete_gaussian(size: int, *, variance: Fraction, rng: Rng) -> NDArray[np.int64]:
    """Return `size` independent samples of P(x) ∝ exp(-x²/(2·variance)).

    Args:
        size: How many.
        variance: Any rational number from 2**-40 to 2**92.
        rng: Where the bits come from.

    Raises:
        InvalidInput: the variance or the size is out of range.

    Guarantee:
        On uniform bits each sample has exactly the stated law (a sample beyond 64 bits, of
        probability below exp(-2**32), raises OverflowError).
    Evidence:
        Proven: docs/proofs/discrete_gaussian.md.
    Assumes:
        The generator's bits are uniform; NumPy's float64 exp errs by at most four units in the last place.
    Not protected:
        Time and memory access depend on the random bits, though not on any private value.
    """
    return table(Law(2, 1 / (2 * _variance(variance)))).draw(check_size(size), rng)


def discrete_gaussian_quantile(p: float, variance: Fraction) -> int:
    """Return the smallest h with P(|X| <= h) >= p, never too small.

    Beyond variance 2**20 it may be larger by one unit and, for p >= 0.1, a part in 10**9: there the tail is bounded by the continuous one: the normaliser is at
    least σ·sqrt(2π) (Poisson summation), and where the density is convex each of its values is at
    most its mean over the unit interval around it (Hermite-Hadamard).
    """
    variance = _variance(variance)
    rest = 1 - check_probability(p)
    if rest == 1:
        return 0
    if variance <= _SUMMED:
        tails = _tails(variance)
        return int(np.count_nonzero(tails > rest * (1 - _MARGIN)))
    sigma = math.sqrt(variance)

    def enough(h: int) -> bool:
        edge = h + 0.5 if h + 0.5 >= sigma else h
        return math.erfc(edge / (sigma * math.sqrt(2))) * (1 + _MARGIN) <= rest

    return smallest(enough, 0)


def discrete_gaussian_std(variance: Fraction) -> float:
    """Return the true standard deviation, rounded up; it is at most sqrt(variance)."""
    variance = _variance(variance)
    bound = math.nextafter(math.sqrt(variance) * (1 + 2.0**-50), math.inf)
    if variance >= 64:  # the true one is smaller by less than 1e-500
        return bound
    x = np.arange(1, int(40 * math.sqrt(variance)) + 2, dtype=np.float64)
    weights = np.exp(-(x**2) * float(1 / (2 * variance)))
    true = math.sqrt(2 * math.fsum(x**2 * weights) / (1 + 2 * math.fsum(weights)))
    return min(bound, math.nextafter(true * (1 + _MARGIN), math.inf))


@lru_cache(maxsize=16)
def _tails(variance: Fraction) -> NDArray[np.float64]:
    """Return P(|X| > h) for h = 0, 1, …, to a relative error far below `_MARGIN` above 1e-17."""
    x = np.arange(1, int(15 * math.sqrt(variance)) + 3, dtype=np.float64)
    weights = np.exp(-(x**2) * float(1 / (2 * variance)))
    tails = 2 * weights[::-1].cumsum()[::-1]  # from the smallest to the largest
    return tails / (1 + tails[0])  # type: ignore[no-any-return]


def _variance(variance: Fraction) -> Fraction:
    return rational("variance", variance, SMALLEST_SCALE**2, LARGEST_SCALE**2)
