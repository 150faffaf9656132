"""Solver: asks the right engine about one direction of a composition, and inverts its curve safely."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from discreet.accounting.engines.atoms import Atoms
from discreet.accounting.engines.contour import FARTHEST, Composition, Contour, Terms, contour
from discreet.accounting.engines.grid import Grid, grid
from discreet.accounting.engines.law import GaussianLaw, Law
from discreet.accounting.engines.once import Once
from discreet.accounting.engines.pairs import Pair
from discreet.errors import UnsupportedEvent
from discreet.profiles import Bracket

RELATIVE = 1e-12  # of δ, for each error term of the contour
COARSE = 3e-7  # of ε: what the lattice aims at, unless more is allowed


@dataclass(eq=False)
class Solver:
    """One direction of a composition.

    Args:
        composition: Its laws.
        tolerance: Relative width of ε that is wanted.
    """

    composition: Composition
    tolerance: float
    name: str = "contour"
    held: list[Contour | Grid | Once] = field(default_factory=list)

    @classmethod
    def of(cls, parts: tuple[tuple[Pair, int], ...], tolerance: float) -> Solver:
        """Return the solver of composed pairs; Gaussians become one."""
        counts: dict[int, tuple[Law, int]] = {}
        squared = Fraction(0)
        for known, count in parts:
            law = known.law
            if isinstance(law, GaussianLaw):
                squared += count * Fraction(law.squared)
            elif law.pieces or any(_says(law.points(above=above)) for above in (True, False)):
                counts[id(law)] = (law, count + counts.get(id(law), (law, 0))[1])
        laws = list(counts.values())
        if squared:
            laws.append((GaussianLaw(squared=float(squared)), 1))
        return cls(Composition(tuple(laws)), tolerance)

    def delta(self, epsilon: float) -> Bracket:
        """Return a bracket of δ(ε)."""
        if not self.composition.parts:
            return Bracket(0.0, 0.0)
        for engine in self.held:
            terms = engine.delta(epsilon)
            if 0 < terms.upper - terms.lower <= 1e-10 * terms.upper:
                return _bracket(terms)
        terms = self._engine(epsilon=epsilon).delta(epsilon)
        return _bracket(terms)

    def curve(self, epsilons: Sequence[float]) -> list[Bracket]:
        """Return a bracket of δ at each ε, neighbours from one contour where it is good for both."""
        return [self.delta(epsilon) for epsilon in epsilons]

    def epsilon(self, delta: float, least: float = 0.0) -> Bracket:
        """Return a bracket of ε(δ); a cheap one if it cannot exceed `least`."""
        if not self.composition.parts:
            return Bracket(0.0, 0.0)
        infinite = self.composition.infinite
        if delta <= infinite * (1 + 1e-12):
            if delta < infinite * (1 - 1e-12):
                return Bracket(math.inf, math.inf)
            # δ is p∞ but for rounding: the largest finite loss will do; if δ were a little more, less would.
            more = self.epsilon(infinite * (1 + 1e-9)).lower
            return Bracket(more, self.ceiling())
        if self.ceiling() <= least:
            return Bracket(0.0, self.ceiling())
        engine = self._engine(delta=delta)
        return _invert(engine, delta)

    def _engine(self, *, epsilon: float | None = None, delta: float | None = None) -> Contour | Grid | Once:
        made: Contour | Grid | Once
        if len(self.composition.parts) == 1 and self.composition.parts[0][1] == 1:
            made = self._once(epsilon, delta)
            self.held = [made]
            return made
        for attempt in (self._contour, self._grid, self._longest):
            try:
                made = attempt(epsilon, delta)
            except ArithmeticError:
                continue
            self.held = [made, *self.held[:24]]
            return made
        raise UnsupportedEvent(
            "no engine brackets this event here: its loss has too many scales for a lattice of 2^23 points.",
            remedy="Ask at a larger δ or ε, or for fewer runs; the Rényi orders bound it from above.",
        )

    def _contour(self, epsilon: float | None, delta: float | None) -> Contour:
        made = contour(self.composition, epsilon=epsilon, delta=delta, relative=RELATIVE)
        self.name = "contour"
        return made

    def _longest(self, epsilon: float | None, delta: float | None) -> Contour:
        made = contour(self.composition, epsilon=epsilon, delta=delta, relative=RELATIVE, most=FARTHEST)
        self.name = "contour"
        return made

    def _grid(self, epsilon: float | None, delta: float | None) -> Grid:
        made = grid(self.composition, epsilon=epsilon, delta=delta, relative=max(self.tolerance, COARSE))
        self.name = "lattice"
        return made

    def _once(self, epsilon: float | None, delta: float | None) -> Once:
        law = self.composition.parts[0][0]
        self.name = "one integral"
        if epsilon is None:
            assert delta is not None
            c, near, _ = self.composition.saddle(log_delta=math.log(delta - self.composition.infinite))
            return Once(law, near, 1e-14 * delta, c)
        c, near, log = self.composition.saddle(epsilon=epsilon)
        return Once(law, near, math.exp(max(-690.0, min(0.0, log) - 36.0)), c)

    def ceiling(self) -> float:
        """Return the largest finite loss that the composition can have, rounded up; possibly infinite."""
        return sum(count * law.most() for law, count in self.composition.parts) * (1 + 1e-12)


def _says(atoms: Atoms) -> bool:
    """Return whether a discrete law reveals anything."""
    return atoms.infinite > 0 or bool(np.any((atoms.losses != 0) & (atoms.masses > 0)))


def _bracket(terms: Terms) -> Bracket:
    return Bracket(terms.lower, terms.upper, terms.budget)


def _invert(engine: Contour | Grid | Once, delta: float) -> Bracket:
    """Return the ε at which the curve's two sides reach δ, each end where the inequality was seen to hold."""
    start = engine.near
    upper = _cross(lambda x: engine.delta(x).upper, delta, start, engine.c)
    lower = _cross(lambda x: engine.delta(x).lower, delta, start, engine.c)
    high, low = upper[1], lower[0]
    terms = engine.delta(high)
    unit = (high - low) / max(terms.upper - terms.lower, 1e-320)
    return Bracket(low, high, {name: part * unit for name, part in terms.budget.items()})


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
    for _ in range(200):
        if at_low >= 0 or low == 0.0:
            break
        low = max(0.0, low - reach)
        at_low, reach = gap(low), 2 * reach + 1e-300
    if at_low < 0:
        return 0.0, 0.0
    reach = abs(at_high) / slope + 1e-13 * start
    for _ in range(200):
        if at_high <= 0:
            break
        low, at_low = high, at_high
        high += reach
        at_high, reach = gap(high), 2 * reach + 1e-300
    if at_high > 0:
        raise UnsupportedEvent("the curve does not fall to this δ within this engine's reach.")
    for _ in range(60):
        if high - low <= 4e-16 * high:
            break
        guess = low + (high - low) * at_low / (at_low - at_high) if at_low > at_high else (low + high) / 2
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
