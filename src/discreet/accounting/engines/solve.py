"""Solver: asks the right engine about one direction of a composition, and inverts its curve safely."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np

from discreet.accounting.conversions import log_kappa
from discreet.accounting.engines.atoms import Atoms
from discreet.accounting.engines.contour import FARTHEST, Composition, Contour, Terms, contour
from discreet.accounting.engines.enumerate import enumerated
from discreet.accounting.engines.grid import Grid, TooFineError, grid
from discreet.accounting.engines.law import GaussianLaw, Law, TableLaw
from discreet.accounting.engines.once import Once
from discreet.accounting.engines.pairs import Pair
from discreet.errors import UnsupportedEvent
from discreet.profiles import Bracket

CURVE = 1e-8  # relative width of δ at which a neighbour's contour still serves a curve
HELD, ASKED = 64, 3  # engines that are kept for other questions; how many are asked before a new one is made
TOGETHER = 32  # values of ε that a contour is asked for at once
RELATIVE = 1e-12  # of δ, for each error term of the contour
WIDE = 1e-4  # relative width of ε beyond which another engine is asked too
FAINT = 1e-30  # a δ so small that no other engine is asked to narrow it
MANY = 2000  # repetitions beyond which no lattice is fine enough to be worth trying first
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

    def delta(self, epsilon: float, within: float = 1e-10) -> Bracket:
        """Return a bracket of δ(ε); one that is at hand, if its width is at most `within` of its upper end."""
        if not self.composition.parts:
            return Bracket(0.0, 0.0)
        for engine in sorted(self.held, key=lambda held: abs(held.near - epsilon))[:ASKED]:
            terms, home = engine.delta(epsilon), engine.delta(engine.near)
            # Rounding may keep the width above `within` everywhere: a new one would be no better than this one at home.
            enough = max(within, min(CURVE, 2 * (1 - home.lower / home.upper))) if home.upper > 0 else within
            if 0 < terms.upper - terms.lower <= enough * terms.upper:
                return _bracket(terms)
        far = self._chernoff(epsilon) if epsilon > self._farthest else None
        if far is not None and far.upper <= FAINT:
            return far
        best: Bracket | None = None
        for engine in self._engines(epsilon, None):
            first = best is None
            best = _both(best, _bracket(engine.delta(epsilon)))
            if best.width > WIDE * best.upper and first:
                best = _both(best, self._chernoff(epsilon))
            if best.width <= max(FAINT, WIDE * best.upper):
                return best
        return _both(best, self._chernoff(epsilon))

    def _chernoff(self, epsilon: float) -> Bracket:
        """Return what one moment alone says: δ(ε) ≤ p∞ + κ(c)·e^{K(c) - cε}. The last resort, far out."""
        infinite = self.composition.infinite
        cs = np.geomspace(0.1, 100.0, 31)
        k = self.composition.cumulants(cs)[0]
        best, tried = 0.0, 0
        for c in cs[np.argsort(k - cs * epsilon)].tolist():
            try:
                total = sum(times * sum(law.log_moment(c, 1e-12)) for law, times in self.composition.parts)
            except ArithmeticError:
                continue
            best, tried = min(best, log_kappa(c) + total - c * epsilon), tried + 1
            if tried == 6 or best < -690.0:
                break
        upper = infinite + self.composition.removed + math.exp(best) * (1 + 1e-12) + 5e-324
        return Bracket(infinite * (1 - 1e-12), min(1.0, upper), {"one moment": min(1.0, upper)})

    @cached_property
    def _farthest(self) -> float:
        """About the ε beyond which δ is fainter than anybody asks for."""
        return 2 * self.composition.saddle(log_delta=math.log(FAINT))[1] if self.composition.infinite == 0 else math.inf

    def curve(self, epsilons: Sequence[float]) -> list[Bracket]:
        """Return a bracket of δ at each ε, neighbours from one contour where it is good for both."""
        found: dict[float, Bracket] = {}
        waiting = sorted(set(epsilons), reverse=True)
        while waiting:
            epsilon = waiting.pop()
            found[epsilon] = self.delta(epsilon)
            served = True
            while served and waiting and self.held:
                following = waiting[: -TOGETHER - 1 : -1]
                engine = self.held[0]
                for epsilon, terms in zip(following, _deltas(engine, following), strict=True):
                    served = 0 < terms.upper - terms.lower <= CURVE * terms.upper
                    if not served:
                        break
                    found[epsilon] = _bracket(terms)
                    waiting.pop()
        return [found[epsilon] for epsilon in epsilons]

    def epsilon(self, delta: float, least: float = 0.0) -> Bracket:
        """Return a bracket of ε(δ); a cheap one if it cannot exceed `least`."""
        if not self.composition.parts:
            return Bracket(0.0, 0.0)
        infinite = self.composition.infinite
        if delta <= infinite * (1 + 1e-12):
            if delta < infinite * (1 - 1e-12):
                return Bracket(math.inf, math.inf)
            if infinite == 0.0:  # δ = 0: the largest loss there is
                firm = not any(isinstance(law, TableLaw) for law, _ in self.composition.parts)
                return Bracket(self.ceiling() * (1 - 2e-12) if firm else 0.0, self.ceiling())
            # δ is p∞ but for rounding: the largest finite loss will do; if δ were a little more, less would.
            more = self.epsilon(infinite * (1 + 1e-9)).lower
            return Bracket(more, self.ceiling())
        if self.ceiling() <= least:
            return Bracket(0.0, self.ceiling())
        best = Bracket(0.0, self.ceiling())
        for engine in self._engines(None, delta):
            found = invert(engine, delta)
            upper = min(found.upper, best.upper)
            best = Bracket(min(upper, max(found.lower, best.lower)), upper, found.budget)
            if best.width <= WIDE * best.upper:
                return best
        if not math.isfinite(best.upper) or best.lower == 0.0:
            raise _out_of_reach()
        return best

    def _engines(self, epsilon: float | None, delta: float | None) -> Iterator[Contour | Grid | Once]:
        """Yield what can answer, the quickest first; a later one is asked only if an earlier one's bracket is wide."""
        made: Contour | Grid | Once
        if self._single is not None:
            made = self._once(self._single, epsilon, delta)
            self.held = [made]
            yield made
            return
        many = sum(count for _, count in self.composition.parts) > MANY
        for attempt in (self._longest, self._grid) if many else (self._contour, self._grid, self._longest):
            try:
                made = attempt(epsilon, delta)
            except ArithmeticError:
                continue
            self.held = [made, *self.held[: HELD - 1]]
            yield made

    def _contour(self, epsilon: float | None, delta: float | None) -> Contour:
        made = contour(self.composition, epsilon=epsilon, delta=delta, relative=RELATIVE)
        self.name = "contour"
        return made

    def _longest(self, epsilon: float | None, delta: float | None) -> Contour:
        made = contour(self.composition, epsilon=epsilon, delta=delta, relative=RELATIVE, most=FARTHEST)
        self.name = "contour"
        return made

    def _grid(self, epsilon: float | None, delta: float | None) -> Grid:
        """Refine the lattice until the bracket is narrow enough, or no finer one fits."""
        wanted = max(self.tolerance, COARSE)
        step: float | None = None
        made: Grid | None = None
        while made is None:  # as coarse as it has to be for the whole composition to fit
            try:
                made = grid(self.composition, epsilon=epsilon, delta=delta, relative=wanted, step=step)
            except TooFineError as error:
                if not error.step < 1.0:
                    raise
                step = 4 * error.step
        for _ in range(5):
            width = _relative_width(made, epsilon, delta)
            if width <= wanted:
                break
            finer_step = made.step * min(0.5, max(1 / 64, 0.6 * math.sqrt(wanted / width)))
            try:
                finer = grid(self.composition, epsilon=epsilon, delta=delta, relative=wanted, step=finer_step)
            except TooFineError:
                break
            if finer.step >= made.step:
                break
            made = finer
        self.name = "lattice"
        return made

    @cached_property
    def _single(self) -> Law | None:
        """The composition as one law, where it is one or can be spelled out as one."""
        if len(self.composition.parts) == 1 and self.composition.parts[0][1] == 1:
            return self.composition.parts[0][0]
        return enumerated(self.composition.parts)

    def _once(self, law: Law, epsilon: float | None, delta: float | None) -> Once:
        self.name = "one integral" if law.spelled().pieces else "one sum"
        largest = sum(count * one.largest() for one, count in self.composition.parts)
        if epsilon is None:
            assert delta is not None
            c, near, _ = self.composition.saddle(log_delta=math.log(delta - self.composition.infinite))
            return Once(law, near, c, 1e-14 * delta, largest)
        c, near, log = self.composition.saddle(epsilon=epsilon)
        return Once(law, near, c, math.exp(max(-690.0, min(0.0, log) - 36.0)), largest)

    def rough(self, delta: float) -> float:
        """Return about ε(δ), by the saddle point alone: to look for parameters, never to report."""
        part = delta - self.composition.infinite
        if not self.composition.parts or part <= 0:
            return 0.0 if not self.composition.parts else math.inf
        cut = self.composition.windowed(1e-6 * part)
        return min(cut.saddle(log_delta=math.log(part))[1], self.ceiling())

    def ceiling(self) -> float:
        """Return the largest finite loss that the composition can have, rounded up; possibly infinite."""
        return sum(count * law.most() for law, count in self.composition.parts) * (1 + 1e-12)


def _deltas(engine: Contour | Grid | Once, epsilons: Sequence[float]) -> Iterable[Terms]:
    """Return δ at each ε: all at once where that is quicker, else one by one as they are wanted."""
    return engine.deltas(epsilons) if isinstance(engine, Contour) else map(engine.delta, epsilons)


def _relative_width(made: Grid, epsilon: float | None, delta: float | None) -> float:
    """Return how wide the bracket of ε is, relative to it; of δ, where that is asked, by its slope."""
    if delta is not None:
        found = invert(made, delta)
        return found.width / max(found.upper, 1e-300)
    terms = made.delta(epsilon or 0.0)
    if not 0 < terms.lower < terms.upper:
        return 0.0 if terms.lower == terms.upper else 1.0
    return math.log(terms.upper / terms.lower) / max(1.0, made.c * (epsilon or 0.0))


def _both(one: Bracket | None, other: Bracket) -> Bracket:
    """Return what two brackets of one number say together."""
    if one is None:
        return other
    narrow = one if one.width <= other.width else other
    return Bracket(max(one.lower, other.lower), max(min(one.upper, other.upper), narrow.lower), narrow.budget)


def _out_of_reach() -> UnsupportedEvent:
    return UnsupportedEvent(
        "no engine brackets this event here: its loss has too many scales for a lattice of 2^21 points.",
        remedy="Ask at a larger δ or ε, or for fewer runs; the Rényi orders bound it from above.",
    )


def _says(atoms: Atoms) -> bool:
    """Return whether a discrete law reveals anything."""
    return atoms.infinite > 0 or bool(np.any((atoms.losses != 0) & (atoms.masses > 0)))


def _bracket(terms: Terms) -> Bracket:
    return Bracket(terms.lower, terms.upper, terms.budget)


def invert(engine: Contour | Grid | Once, delta: float) -> Bracket:
    """Return the ε at which the curve's two sides reach δ, each end where the inequality was seen to hold."""
    near, slope = _newton(engine, delta)
    low, high = _beside(engine, delta, near, slope) or (
        _cross(lambda x: engine.delta(x).lower, delta, engine.near, engine.c)[0],
        _cross(lambda x: engine.delta(x).upper, delta, engine.near, engine.c)[1],
    )
    terms = engine.delta(high)
    unit = (high - low) / max(terms.upper - terms.lower, 1e-320)
    return Bracket(low, high, {name: part * unit for name, part in terms.budget.items()})


def _newton(engine: Contour | Grid | Once, delta: float) -> tuple[float, float]:
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


def _beside(engine: Contour | Grid | Once, delta: float, near: float, slope: float) -> tuple[float, float] | None:
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
