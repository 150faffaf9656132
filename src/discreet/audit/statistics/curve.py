"""Trade-off curves read backwards: the least false-positive rate that goes with a true-positive rate.

Whoever keeps a curve lets no event have a true-positive rate y at a false-positive rate below `blow(y)`. The
function is convex and rounded down: a curve that is a little too generous costs power, never truth.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

from discreet.accounting.curves import GaussianProfile
from discreet.profiles import PrivacyProfile

Blow = Callable[[float], float]

DOWN = 1 - 1e-11
_STEPS = 80  # values of ε between 0 and the largest of interest: each may take an engine a tenth of a second


def gaussian_blow(mu: float) -> Blow:
    """Return Φ(Φ⁻¹(y) - μ), rounded down."""
    quantile, root = NormalDist().inv_cdf, math.sqrt(2)

    def blow(rate: float) -> float:
        if rate <= 0 or rate >= 1:
            return float(rate >= 1)
        place = quantile(rate)
        # Rounding moves the quantile by 1e-15 of its size, and Φ by that times its slope, at most 1 + |quantile|.
        size = 1e-14 * (2 + abs(place) + mu) ** 2
        return max(0.0, math.erfc((mu - place) / root) / 2 * (1 - size)) * DOWN

    return blow


def profile_blow(profile: PrivacyProfile) -> Blow:
    """Return the same for any curve: exact for a Gaussian, else from δ(ε) at many ε, each of which bounds it.

    (ε, δ)-DP both ways round allows y ≤ e^ε·x + δ and 1 - x ≤ e^ε·(1 - y) + δ, so x is at least
    (y - δ)·e^-ε and 1 - δ - (1 - y)·e^ε. The largest of these lines is convex, whatever the directions of the curve.
    """
    if isinstance(profile, GaussianProfile):
        return gaussian_blow(profile.mu)
    lines = _lines(profile)

    starts = [line[0] for line in lines]

    def blow(rate: float) -> float:
        _, slope, base = lines[max(0, bisect_right(starts, rate) - 1)]
        return max(0.0, slope * rate - base) * DOWN

    return blow


@lru_cache(maxsize=16)
def _lines(profile: PrivacyProfile) -> tuple[tuple[float, float, float], ...]:
    """Return the upper envelope of the lines slope·y - base on [0, 1]: where each begins, its slope, its base."""
    lines = [(0.0, 0.0)]
    for epsilon, delta in _points(profile):
        odds = math.exp(epsilon)
        lines += [(1 / odds, delta / odds), (odds, odds + delta - 1)]
    lines.sort(key=lambda line: (line[0], -line[1]))
    kept: list[tuple[float, float, float]] = []
    for slope, base in lines:
        start = 0.0
        while kept:
            begin, other, other_base = kept[-1]
            if slope <= other * (1 + 1e-12):
                if base >= other_base:
                    start = math.inf
                    break
                kept.pop()
                continue
            start = (base - other_base) / (slope - other)
            if start > begin:
                break
            kept.pop()
        if not kept:
            start = 0.0
        if start <= 1:
            kept.append((start, slope, base))
    return tuple(kept)


def _points(profile: PrivacyProfile) -> list[tuple[float, float]]:
    """Return (ε, δ(ε)) from 0 to where δ is negligible, and at the ε of round values of δ."""
    corners = [profile.epsilon(delta).upper for delta in (0.1, 1e-2, 1e-3, 1e-5, 1e-7, 1e-10, 0.0)]
    finite = sorted({0.0, *(one for one in corners if one < 600)})
    top = finite[-1]
    grid = sorted({*finite, *(top * (step / _STEPS) ** 1.5 for step in range(1, _STEPS))})
    return [(epsilon, bracket.upper) for epsilon, bracket in zip(grid, profile.curve(grid), strict=True)]
