"""The discrete Laplace law: P(x) ∝ exp(-|x|/scale) on the integers, for any rational scale."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from discreet.mechanisms.exact import exp_bounds
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

_BITS = 128


def discrete_laplace(size: int, *, scale: Fraction, rng: Rng) -> NDArray[np.int64]:
    """Return `size` independent samples of P(x) ∝ exp(-|x|/scale).

    Args:
        size: How many.
        scale: Any rational number from 2**-20 to 2**46.
        rng: Where the bits come from.

    Raises:
        InvalidInput: the scale or the size is out of range.

    Guarantee:
        On uniform bits each sample has exactly the stated law (a sample beyond 64 bits, of
        probability below exp(-2**16), raises OverflowError).
    Evidence:
        Proven: docs/proofs/discrete_laplace.md.
    Assumes:
        The generator's bits are uniform; NumPy's float64 exp errs by at most four units in the last place.
    Not protected:
        Time and memory access depend on the random bits, though not on any private value.
    """
    return table(_law(scale)).draw(check_size(size), rng)


def discrete_laplace_quantile(p: float, scale: Fraction) -> int:
    """Return the smallest h with P(|X| <= h) >= p, never too small.

    P(|X| > h) = 2·q^(h+1)/(1 + q) with q = exp(-1/scale); compared in certified arithmetic.
    """
    scale = rational("scale", scale, SMALLEST_SCALE, LARGEST_SCALE)
    rest = 1 - Fraction(check_probability(p))
    q = math.exp(-1 / float(scale))
    guess = int(float(scale) * max(0.0, math.log(2 / (float(rest) * (1 + q))))) if rest else 0

    def enough(h: int) -> bool:
        """Whether P(|X| > h) <= 1 - p is certain."""
        upper = Fraction(exp_bounds((h + 1) / scale, _BITS)[1], 1 << _BITS)
        lower = Fraction(exp_bounds(1 / scale, _BITS)[0], 1 << _BITS)
        return 2 * upper <= rest * (1 + lower)

    return smallest(enough, guess)


def discrete_laplace_std(scale: Fraction) -> float:
    """Return the true standard deviation, sqrt(2q)/(1 - q) with q = exp(-1/scale), rounded up."""
    inverse = 1 / float(rational("scale", scale, SMALLEST_SCALE, LARGEST_SCALE))
    return math.nextafter(math.sqrt(2) * math.exp(-inverse / 2) / -math.expm1(-inverse) * (1 + 2.0**-48), math.inf)


def _law(scale: Fraction) -> Law:
    return Law(1, 1 / rational("scale", scale, SMALLEST_SCALE, LARGEST_SCALE))
