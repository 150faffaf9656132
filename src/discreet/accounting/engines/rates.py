"""The attacker's best true-positive rate at a false-positive rate, from a bracketed curve δ(ε)."""

from __future__ import annotations

import math
from collections.abc import Callable

from discreet.profiles import Bracket, golden

_NEAR = 3e-5  # relative distance of the points of support
_FARTHEST = 690.0
_ROUGHLY, _CLOSELY = 1e-9, 1e-10  # widths of δ, relative, that will do to look for α, and at the end

Curve = Callable[[float, float], Bracket]


def best_rate(forth: Curve, back: Curve, rate: float) -> Bracket:
    """Return min over α > 0 of g(α) = H_α(P‖Q) + α·rate: the power of the best test of that level.

    Args:
        forth: δ(ε) of (P, Q), ε ≥ 0, and how wide it may be, relative, where something is at hand already.
        back: δ(ε) of (Q, P): H_α(P‖Q) = 1 - α + α·H_{1/α}(Q‖P) for α < 1.
        rate: The level, in (0, 1).

    From above any α serves. g is convex: with values at three points α₁ < α < α₂ around its least value,
    the chords through two of them, prolonged, bound it from below between the points, and a rise
    beyond them bounds it there. Proof: docs/proofs/contour.md.
    """

    def g(log_alpha: float, within: float = _CLOSELY) -> Bracket:
        alpha = math.exp(log_alpha)
        if log_alpha >= 0:
            found = forth(log_alpha, within)
            return Bracket(found.lower + alpha * rate, found.upper + alpha * rate)
        found = back(-log_alpha, within)
        return Bracket(
            1 - alpha + alpha * found.lower + alpha * rate,
            (1 - alpha + alpha * found.upper + alpha * rate) * (1 + 1e-15),
        )

    best = _least(lambda x: g(x, _ROUGHLY).upper)
    middle = g(best)
    upper = min(1.0, middle.upper * (1 + 1e-15))
    near = _NEAR
    for _ in range(12):
        left, right = g(best - near), g(best + near)
        if left.lower >= middle.upper and right.lower >= middle.upper:
            a, b, c = math.exp(best - near), math.exp(best), math.exp(best + near)
            rising = min(0.0, (middle.lower - left.upper) / (b - a))
            falling = max(0.0, (right.upper - middle.lower) / (c - b))
            lower = middle.lower + min(rising * (c - b), -falling * (b - a))
            return Bracket(max(rate, min(lower * (1 - 1e-14), upper)), upper)
        near *= 3
    return Bracket(rate, upper)


def _least(value: Callable[[float], float]) -> float:
    """Return about where a function, unimodal in log α, is least."""
    low, high = -1.0, 1.0
    at_low, at_high, middle = value(low), value(high), value(0.0)
    while at_high <= middle and high < _FARTHEST:
        low, at_low, middle = (0.0 if high == 1.0 else high / 2), middle, at_high
        high *= 2
        at_high = value(min(high, _FARTHEST))
    while at_low <= middle and low > -_FARTHEST:
        high, at_high, middle = (0.0 if low == -1.0 else low / 2), middle, at_low
        low *= 2
        at_low = value(max(low, -_FARTHEST))
    return sum(golden(value, low, high, 1e-5)) / 2
