"""Solver: asks the right engine about one direction of a composition, and inverts its curve safely."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np

from discreet.accounting.conversions import log_kappa
from discreet.accounting.engines.atoms import Atoms
from discreet.accounting.engines.contour import FARTHEST, MOST, Composition, Contour, NoContourError, Terms, contour
from discreet.accounting.engines.enumerate import enumerated
from discreet.accounting.engines.grid import Grid, TooFineError, grid
from discreet.accounting.engines.invert import Engine, invert
from discreet.accounting.engines.law import GaussianLaw, Law, TableLaw
from discreet.accounting.engines.once import Once
from discreet.accounting.engines.pairs import Pair
from discreet.accounting.engines.peel import Peeled, peeled_near
from discreet.errors import UnsupportedEvent
from discreet.profiles import Bracket, golden

CURVE = 1e-8  # relative width of δ at which a neighbour's contour still serves a curve
HELD, ASKED = 64, 3  # engines that are kept for other questions; how many are asked before a new one is made
TOGETHER = 32  # values of ε that a contour is asked for at once
RELATIVE = 1e-12  # of δ, for each error term of the contour
WIDE = 1e-4  # relative width of ε beyond which another engine is asked too
FAINT = 1e-30  # a δ so small that no other engine is asked to narrow it
MANY = 2000  # repetitions beyond which no lattice is fine enough to be worth trying first
QUICK = 1500  # nodes of a first contour
COARSE = 3e-7  # of ε: what the lattice aims at, unless more is allowed

Attempt = Callable[[float | None, float | None, Bracket | None], Engine]  # of ε or δ, and what is known already


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
    held: list[Engine] = field(default_factory=list)

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
        if epsilon >= self.ceiling() and not any(isinstance(law, TableLaw) for law, _ in self.composition.parts):
            infinite = self.composition.infinite  # beyond all finite losses
            return Bracket(infinite * (1 - 1e-12), min(1.0, infinite * (1 + 1e-12) + self.composition.removed))
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
        for attempt, enough in self._attempts():
            made = self._made(attempt, epsilon, None, best)
            if made is None:
                continue
            first = best is None
            best = _both(best, _bracket(made.delta(epsilon)))
            if best.width > WIDE * best.upper and first:
                best = _both(best, self._chernoff(epsilon))
            if best.width <= max(FAINT, 10 * enough * best.upper):
                return best
        return _both(best, self._chernoff(epsilon))

    def _chernoff(self, epsilon: float) -> Bracket:
        """Return what one moment alone says: δ(ε) ≤ p∞ + κ(c)·e^{K(c) - cε}. The last resort, far out."""
        infinite, found = self.composition.infinite, [0.0]

        def exponent(log_c: float) -> float:  # K is convex, so there is one valley
            c = math.exp(log_c)
            if min(found) < -690.0:
                return 0.0  # no smaller one is asked for
            try:
                total = sum(times * sum(law.log_moment(c, 1e-12)) for law, times in self.composition.parts)
            except ArithmeticError:
                return math.inf
            found.append(log_kappa(c) + total - c * epsilon)
            return found[-1]

        golden(exponent, math.log(0.1), math.log(1e5), 0.02)
        best = min(found)
        upper = infinite + self.composition.removed + math.exp(best) * (1 + 1e-12) + 5e-324
        return Bracket(infinite * (1 - 1e-12), min(1.0, upper), {"one moment": min(1.0, upper)})

    def _at_most(self, delta: float) -> float:
        """Return an ε that one moment shows to be enough: κ(c)·e^{K(c) - cε} ≤ δ - p∞ - what is left out."""
        part = delta - self.composition.infinite * (1 + 1e-12) - self.composition.removed
        if not part > 0:
            return math.inf
        near, best = self.composition.saddle(log_delta=math.log(part))[0], math.inf
        for c in (near, 2 * near):
            try:
                total = sum(times * sum(law.log_moment(c, 1e-12)) for law, times in self.composition.parts)
            except ArithmeticError:
                continue
            best = min(best, (total + log_kappa(c) - math.log(part)) / c + 1e-12 * (1 + abs(total)) / c)
        return max(0.0, best)

    @cached_property
    def _farthest(self) -> float:
        """About the ε beyond which δ is fainter than anybody asks for."""
        return self.composition.saddle(log_delta=math.log(FAINT))[1] if self.composition.infinite == 0 else math.inf

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
                return Bracket(self.ceiling() * (1 - 2e-12) if firm else 0.0, self._enough(0.0))
            # δ is p∞ but for rounding: the largest finite loss will do; if δ were a little more, less would.
            more = self.epsilon(infinite * (1 + 1e-9)).lower
            return Bracket(more, self._enough(delta - infinite))
        best = Bracket(0.0, self._enough(delta - infinite * (1 + 1e-12)))
        if least > 0.0 and best.upper > least:
            best = Bracket(0.0, min(best.upper, self._at_most(delta)))
        if best.upper <= least:
            return best
        for attempt, enough in self._attempts():
            engine = self._made(attempt, None, delta, best)
            if engine is None:
                continue
            best = _both(best, invert(engine, delta))
            if best.width <= enough * best.upper or best.upper <= least:
                return best
        if not math.isfinite(best.upper) or best.lower == 0.0:
            raise _out_of_reach()
        return best

    def _enough(self, part: float) -> float:
        """Return the ceiling, where the P-mass that may lie above it, as no atom stands for it, fits in `part` of δ."""
        removed = self.composition.removed
        return self.ceiling() if removed == 0.0 or removed * (1 + 1e-9) <= part else math.inf

    def _attempts(self) -> list[tuple[Attempt, float]]:
        """Return what can answer, the quickest first, and how wide a bracket of it may be for no other to be asked."""
        if self._single is not None:
            return [(self._once, math.inf)]
        many = sum(count for _, count in self.composition.parts) > MANY
        slow: list[Attempt] = [self._longest, self._grid] if many else [self._contour, self._grid, self._longest]
        quick: list[Attempt] = [self._quick, self._again]
        tried = [(attempt, self.tolerance) for attempt in quick]
        return tried + [(attempt, WIDE) for attempt in (self._peeled, *slow)]

    def _made(
        self, attempt: Attempt, epsilon: float | None, delta: float | None, best: Bracket | None
    ) -> Engine | None:
        """Return an engine, and keep it; None where it cannot answer."""
        try:
            made = attempt(epsilon, delta, best)
        except ArithmeticError:
            return None
        self.held = [made, *self.held[: HELD - 1]]
        return made

    def _line(self, epsilon: float | None, delta: float | None, most: int) -> Contour:
        made = contour(self.composition, epsilon=epsilon, delta=delta, relative=RELATIVE, most=most)
        self.name = "contour"
        return made

    def _quick(self, epsilon: float | None, delta: float | None, _known: Bracket | None) -> Contour:
        return self._line(epsilon, delta, QUICK)

    def _contour(self, epsilon: float | None, delta: float | None, _known: Bracket | None) -> Contour:
        return self._line(epsilon, delta, MOST)

    def _longest(self, epsilon: float | None, delta: float | None, _known: Bracket | None) -> Contour:
        return self._line(epsilon, delta, FARTHEST)

    def _again(self, epsilon: float | None, _delta: float | None, best: Bracket | None) -> Contour:
        """Return the line through the saddle point of what a first one found: where δ was asked, that was a guess."""
        if epsilon is not None or best is None or not best.upper < math.inf or not best.lower > 0.0:
            raise NoContourError
        return self._line((best.lower + best.upper) / 2, None, QUICK)

    def _peeled(self, epsilon: float | None, delta: float | None, best: Bracket | None) -> Peeled:
        made = peeled_near(self.composition, epsilon, delta, best)
        self.name = "contour without its bulk"
        return made

    def _grid(self, epsilon: float | None, delta: float | None, _known: Bracket | None) -> Grid:
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

    def _once(self, epsilon: float | None, delta: float | None, _known: Bracket | None) -> Once:
        law = self._single
        assert law is not None
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


def _deltas(engine: Engine, epsilons: Sequence[float]) -> Iterable[Terms]:
    """Return δ at each ε: all at once where that is quicker, else one by one as they are wanted."""
    return engine.deltas(epsilons) if isinstance(engine, Contour | Peeled) else map(engine.delta, epsilons)


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
