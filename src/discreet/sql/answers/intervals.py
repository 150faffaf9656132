"""95 % intervals for the noise: of one primitive, of a ratio of two, of arithmetic on several.

They cover the noise and nothing else: not clamping, not rounding, not the rows and groups that the
contribution bounds leave out. Claims and proofs: docs/proofs/sql_intervals.md.
"""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from discreet.sql.allocate import Law

LEVEL = 0.95
Floats: TypeAlias = NDArray[np.float64]
Range: TypeAlias = tuple[Floats, Floats]
STEPS = 28  # bisection steps: far below the width of any noise


class Scatter(Protocol):
    """What an interval needs of the noise in a number: of one draw (`allocate.Noise`), or of a sum of many."""

    @property
    def law(self) -> Law:
        """Which law it has, or is close to."""

    @property
    def scale(self) -> Fraction | float:
        """Its scale (Laplace) or variance (Gaussian), in grid steps."""

    def std(self) -> float:
        """Return its standard deviation, in grid steps."""

    def half_width(self, level: float) -> float:
        """Return h with P(|noise| <= h) >= level, in grid steps."""


def around(values: Floats, half: float) -> Range:
    """Return [v - half, v + half]."""
    return values - half, values + half


def ratio(total: Floats, count: Floats, most: float, noises: tuple[Scatter, Scatter], level: float = LEVEL) -> Range:
    """Return an interval for (exact total) / (exact count) from their two noisy values.

    Fieller's way: a ratio r stays in the interval as long as total - r·count is a plausible value of
    its own noise. The true ratio lies in [-most, most], because every value was clamped; where the
    noisy count does not stand out from its noise, that is all that can be said.

    Args:
        total: Noisy centred sums, in steps.
        count: Noisy counts.
        most: The largest magnitude of a ratio, in steps.
        noises: The noise of the total and of the count.
        level: The coverage.

    Guarantee: none; an interval is a statement about accuracy, not about privacy.
    Evidence: measured: tests compute the coverage exactly, by convolution, over a grid of scales.
    Assumes: at least one person is in the group; else the ratio has no true value.
    Not protected: nothing; it is computed from released values.
    """
    clear = count > _slope(noises, level)
    safe = np.where(clear, count, 1.0)
    middle = np.clip(total / safe, -most, most)
    outer = np.stack([np.full_like(middle, -most), np.full_like(middle, most)])
    reach = _reach(most, noises, level) / safe
    inside, outside = np.stack([middle, middle]), np.clip(np.stack([middle - reach, middle + reach]), -most, most)
    for _ in range(STEPS):
        trial = (inside + outside) / 2
        kept = _plausible(np.abs(total - trial * safe), np.abs(trial), noises, level)
        inside, outside = np.where(kept, trial, inside), np.where(kept, outside, trial)
    whole = _plausible(np.abs(total - outer * safe), np.abs(outer), noises, level) | ~clear
    low, high = np.where(whole, outer, outside)
    return low, high


def _slope(noises: tuple[Scatter, Scatter], level: float) -> float:
    """Return how fast the plausible deviation can grow with r: the noise of the count alone."""
    count = noises[1]
    if count.law == "discrete_laplace":
        return -math.log(1 - level) * float(count.scale) + 0.5
    return NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(count.scale) + 0.5


def _reach(most: float, noises: tuple[Scatter, Scatter], level: float) -> float:
    """Return a deviation that is plausible of no ratio up to `most`."""
    first, second = (float(noise.scale) for noise in noises)
    if noises[0].law == "discrete_gaussian":
        farthest = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(first + most**2 * second)
    else:
        farthest = math.log(2 / (1 - level)) * (first + most * second)  # where each alone is beyond half as often
    return farthest + 1.0 + most


def _plausible(deviation: Floats, ratio: Floats, noises: tuple[Scatter, Scatter], level: float) -> NDArray[np.bool_]:
    """Return whether |noise of total - r · noise of count| reaches `deviation` with probability 1 - level.

    By the continuous laws, with half a step of each noise added for their discreteness.
    """
    excess = np.maximum(deviation - 0.5 - 0.5 * ratio, 0.0)
    first, second = (float(noise.scale) for noise in noises)
    if noises[0].law == "discrete_gaussian":
        z = NormalDist().inv_cdf((1 + level) / 2)
        return np.asarray(excess <= z * np.sqrt(first + ratio**2 * second))
    return np.asarray(laplace_tail(excess, first, ratio * second) >= 1 - level)


def laplace_tail(deviation: Floats, first: float, second: Floats) -> Floats:
    """Return P(|X + Y| >= deviation) for independent Laplace noises of scales `first` and `second`."""
    close = np.abs(second - first) < 1e-4 * first
    other = np.where(close, first * (1 + 1e-4), second)
    other = np.maximum(other, first * 1e-9)
    tail = first**2 * np.exp(-deviation / first) - other**2 * np.exp(-deviation / other)
    return np.asarray(tail / (first**2 - other**2))


# ------------------------------------------------------------------------- interval arithmetic


def combine(operator: str, left: Range, right: Range) -> Range:
    """Return the range of `left operator right`; unbounded where a divisor's range holds zero."""
    with np.errstate(all="ignore"):
        if operator == "+":
            return _wide(left[0] + right[0], left[1] + right[1])
        if operator == "-":
            return _wide(left[0] - right[1], left[1] - right[0])
        if operator == "/":
            zero = (right[0] <= 0) & (right[1] >= 0)
            low, high = _corners(left, right, np.divide)
            return np.where(zero, -np.inf, low), np.where(zero, np.inf, high)
        return _corners(left, right, np.multiply)


def _corners(left: Range, right: Range, operation: Any) -> Range:
    corners = np.stack([operation(a, b) for a in left for b in right])
    return _wide(corners.min(axis=0), corners.max(axis=0))


def _wide(low: Floats, high: Floats) -> Range:
    """Return the range, unbounded where a bound is not a number (inf - inf, 0 · inf)."""
    lost = np.isnan(low) | np.isnan(high)
    return np.where(lost, -np.inf, low), np.where(lost, np.inf, high)
