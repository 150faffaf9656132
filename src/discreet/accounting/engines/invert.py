"""Invert: the ε at which a curve that is known from both sides reaches δ, each end where its inequality was seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from discreet.accounting.engines.contour import Terms
from discreet.profiles import Bracket


class Engine(Protocol):
    """What brackets δ(ε)."""

    @property
    def near(self) -> float:
        """The ε it was made for."""

    @property
    def c(self) -> float:
        """About how fast log δ falls there."""

    def delta(self, epsilon: float) -> Terms:
        """Return bounds of δ(ε)."""


def invert(engine: Engine, delta: float) -> Bracket:
    """Return the ε at which the curve's two sides reach δ, each end where the inequality was seen to hold."""
    near, slope = _newton(engine, delta)
    low, high = _beside(engine, delta, near, slope) or (
        _cross(lambda x: engine.delta(x).lower, delta, engine.near, engine.c)[0],
        _cross(lambda x: engine.delta(x).upper, delta, engine.near, engine.c)[1],
    )
    terms = engine.delta(high)
    unit = (high - low) / max(terms.upper - terms.lower, 1e-320)
    return Bracket(low, high, {name: part * unit for name, part in terms.budget.items()})


def _newton(engine: Engine, delta: float) -> tuple[float, float]:
    """Return about where the middle of the bracket reaches δ, and the slope of its logarithm there."""

    def gap(x: float) -> float:
        terms = engine.delta(x)
        return math.log(max((terms.lower + terms.upper) / 2, 1e-320) / delta)

    x, slope = engine.near, -engine.c
    at = gap(x)
    for _ in range(8):
        following = max(0.0, x - at / slope)
        if abs(following - x) <= 4e-16 * x:
            break
        found = gap(following)
        if found != at and (found - at) / (following - x) < 0:
            slope = (found - at) / (following - x)
        x, at = following, found
        if abs(at) < 1e-15:
            break
    return x, slope


def _beside(engine: Engine, delta: float, near: float, slope: float) -> tuple[float, float] | None:
    """Return (low, high) close to `near` with lower(low) ≥ δ and upper(high) ≤ δ; None if they are not close."""
    terms = engine.delta(near)
    if not 0 < terms.lower <= terms.upper < 1.5 * terms.lower:
        return None
    if not terms.lower / (1 + 1e-6) <= delta <= terms.upper * (1 + 1e-6):
        return None
    high = near + max(0.0, math.log(terms.upper / delta) / -slope) * 1.001
    low = near - max(0.0, math.log(delta / terms.lower) / -slope) * 1.001
    push = 2e-16 * near + 1e-3 * (high - low)
    for _ in range(12):
        above = engine.delta(high).upper > delta
        below = low > 0 and engine.delta(low).lower < delta
        if not above and not below:
            return max(low, 0.0), high
        high += push if above else 0.0
        low -= push if below else 0.0
        push *= 2
    return None


def _cross(value: Callable[[float], float], target: float, start: float, slope: float) -> tuple[float, float]:
    """Return (x, y), close: value(x) ≥ target or x = 0, and value(y) ≤ target. value falls, about as e^{-slope·x}."""

    def gap(x: float) -> float:
        found = value(x)
        if found == target:
            return 0.0
        apart = (math.log(found) if found > 0 else -745.0) - math.log(target)
        return max(apart, 5e-324) if found > target else min(apart, -5e-324)

    low = high = start
    at_low = at_high = gap(start)
    reach = abs(at_low) / slope + 1e-13 * start
    while at_low < 0 and low > 0.0:
        low = max(0.0, low - reach)
        at_low, reach = gap(low), 2 * reach + 1e-300
    if at_low < 0:
        return 0.0, 0.0
    reach = abs(at_high) / slope + 1e-13 * start
    while at_high > 0 and high < 1e12:
        low, at_low = high, at_high
        high += reach
        at_high, reach = gap(high), 2 * reach + 1e-300
    return _between(gap, (low, at_low), (high, at_high)) if at_high <= 0 else (low, math.inf)


def _between(
    gap: Callable[[float], float], left: tuple[float, float], right: tuple[float, float]
) -> tuple[float, float]:
    """Narrow a bracket: secants, and now and then a bisection, for the curve may have corners."""
    (low, at_low), (high, at_high) = left, right
    for turn in range(120):
        if high - low <= 4e-16 * high:
            break
        guess = (low + high) / 2
        if turn % 3 != 2 and at_low > at_high:
            guess = low + (high - low) * at_low / (at_low - at_high)
        margin = max(1e-3 * (high - low), 2e-16 * high)
        guess = min(max(guess, low + margin), high - margin)
        at = gap(guess)
        if at > 0:
            low, at_low = guess, at
        elif at < 0:
            high, at_high = guess, at
        else:
            return guess, guess
    return low, high
