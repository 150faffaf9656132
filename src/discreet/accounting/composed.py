"""profile(event): the curve of one pre-declared event, bracketed by the engine that suits it.

Closed forms where they exist; else the contour, and the lattice where the contour's integrand decays
too slowly; the Rényi orders alone for what is known only by them. The method says which, and what of
the event the lower end leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from discreet import events
from discreet.accounting.conversions import check_delta, check_epsilon
from discreet.accounting.curves import ApproximateProfile, analytic, exact, singles
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.profiles import Bracket, PrivacyProfile, check_rate, highest

if TYPE_CHECKING:
    from discreet.accounting.engines.solve import Solver

TOLERANCE = 1e-9


def profile(event: events.Event, *, tolerance: float = TOLERANCE) -> PrivacyProfile:
    """Return the privacy curve of `event`, taken as one run whose parameters were fixed beforehand.

    Args:
        event: What runs, or ran. Outputs may be used adaptively; parameters may not depend on them.
        tolerance: Relative width of the brackets of ε that is wanted, from 1e-12 to 1e-2. Where an engine
            cannot reach it the bracket is wider, never wrong.

    Guarantee: every upper end is at least, and every lower end at most, the exact value for the event's
        dominating pair; the reference says for which kinds that pair is attained.
    Evidence: proven, docs/proofs/contour.md, docs/proofs/peel.md, docs/proofs/grid.md, docs/proofs/pairs.md.
    Assumes: the platform's elementary functions are good to a few units in the last place.
    Not protected: parameters chosen after looking at outputs: that needs a filter.

    Raises:
        UnsupportedEvent: nothing is known about the event.
        InvalidInput: the tolerance is out of range.
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 1e-12 <= tolerance <= 1e-2:
        raise InvalidInput(f"tolerance must lie in [1e-12, 0.01], got {tolerance!r}.")
    return _profile(event, float(tolerance))


@lru_cache(maxsize=256)
def _profile(event: events.Event, tolerance: float) -> PrivacyProfile:
    closed = exact(event)
    if closed is not None:
        return closed
    one_relation(event)
    counts = singles(event)
    if not counts:
        return ApproximateProfile(0.0)
    from discreet.accounting.engines import pairs, solve

    known = {single: count for single, count in counts.items() if pairs.pair(single, "remove") is not None}
    directions = pairs.compositions(known)
    statuses = {part.status for parts, _ in directions for part, _ in parts}
    solvers = tuple(solve.Solver.of(parts, tolerance) for parts, _ in directions)
    below, rest = solvers, None
    if "loose" in statuses:
        firm = [tuple((part, count) for part, count in parts if part.status != "loose") for parts, _ in directions]
        below = tuple(solve.Solver.of(parts, tolerance) for parts in firm)
    if "loose" in statuses or len(known) < len(counts):
        try:
            rest = analytic(event)
        except UnsupportedEvent as error:
            raise _unknown([single for single in counts if single not in known]) from error
    above = solvers if len(known) == len(counts) else ()
    reverses = tuple(reverse for _, reverse in directions)
    return EngineProfile(above, below, reverses, rest, attained="dominating" not in statuses)


def _unknown(missing: list[events.Event]) -> UnsupportedEvent:
    """Return the error for events of which neither a dominating pair nor a Rényi curve is known."""
    names = sorted({_named(event) for event in missing})
    return UnsupportedEvent(
        f"no dominating pair is known for {', '.join(names)}.",
        remedy="Use a sampling and a relation for which one is: the reference of accounting lists them.",
    )


def _named(event: events.Event) -> str:
    relation = getattr(event, "relation", None)
    inner = "" if relation is None else f" of {' and '.join(part.kind for part in events.parts(event))}"
    return f"{event.kind}{inner}" + ("" if relation is None else f" under {relation.value}")


def one_relation(event: events.Event) -> events.Relation | None:
    """Return the relation that the sampled parts of an event are bounded under; None if nothing is sampled.

    Raises:
        UnsupportedEvent: there are several: no sum of them protects anybody.
    """
    found = _relations(event)
    if len(found) > 1:
        names = " and ".join(sorted(relation.value for relation in found))
        raise UnsupportedEvent(
            f"parts of this event are bounded under different relations: {names}.",
            remedy="Describe all parts under one relation; there is no silent conversion.",
        )
    return next(iter(found), None)


def _relations(event: events.Event) -> set[events.Relation]:
    own = {event.relation} if hasattr(event, "relation") else set()
    return own.union(*(_relations(part) for part in events.parts(event)))


@dataclass(frozen=True, eq=False)
class EngineProfile(PrivacyProfile):
    """A curve that the engines bracket, direction by direction.

    Args:
        above: One solver for each direction; empty where some part of the event has no known pair.
        below: The same for the parts whose pair is not loose.
        reverses: For each solver, the index of the one with P and Q exchanged.
        rest: Another curve from above, where a part is loose or known only by its Rényi orders.
        attained: Whether every pair is that of some mechanism.
    """

    above: tuple[Solver, ...]
    below: tuple[Solver, ...]
    reverses: tuple[int, ...]
    rest: PrivacyProfile | None = None
    attained: bool = True

    @property
    def method(self) -> str:  # type: ignore[override]
        """What gave the upper end, and what the lower end leaves out."""
        names = sorted({solver.name for solver in self.above or self.below})
        if self.rest is None:
            name = " and ".join(names)
            return name if self.attained else f"{name}, of a dominating pair that need not be attained"
        upper = [*names, self.rest.method] if self.above else [self.rest.method]
        return f"best of {', '.join(upper)}; the lower end leaves out what has no exact pair"

    def delta(self, epsilon: float) -> Bracket:
        """See `PrivacyProfile.delta`."""
        check_epsilon(epsilon)
        return self._both(lambda solver, _: solver.delta(epsilon), lambda rest: rest.delta(epsilon))

    def epsilon(self, delta: float) -> Bracket:
        """See `PrivacyProfile.epsilon`."""
        if delta != 0:
            check_delta(delta)
        return self._both(lambda solver, least: solver.epsilon(delta, least), lambda rest: rest.epsilon(delta))

    def rough(self, delta: float) -> float | None:
        """Return about ε(δ), to look for parameters and never to report; None where nothing quick is known."""
        return None if self.rest is not None else max(solver.rough(delta) for solver in self.above)

    def curve(self, epsilons: Sequence[float]) -> list[Bracket]:
        """See `PrivacyProfile.curve`."""
        for epsilon in epsilons:
            check_epsilon(epsilon)
        if self.rest is not None:
            return [self.delta(epsilon) for epsilon in epsilons]
        columns = [solver.curve(epsilons) for solver in self.above]
        return [highest(list(row)) for row in zip(*columns, strict=True)]

    def _both(self, ask: Callable[[Solver, float], Bracket], ask_rest: Callable[[PrivacyProfile], Bracket]) -> Bracket:
        below = _highest(self.below, ask)
        if self.rest is None:
            return below
        upper = ask_rest(self.rest).upper
        if self.above:
            upper = min(upper, _highest(self.above, ask).upper)
        lower = min(below.lower, upper)
        return Bracket(lower, upper, {"no exact pair": upper - lower if lower < upper else 0.0})

    def advantage(self) -> Bracket:
        """Return δ(0): the largest difference of the two rates, whatever the direction."""
        return self.delta(0.0)

    def true_positive_rate(self, false_positive_rate: float) -> Bracket:
        """Return the highest true-positive rate: min over α of H_α(P‖Q) + α·rate, at the worse direction."""
        check_rate(false_positive_rate)
        if false_positive_rate == 1.0:
            return Bracket(1.0, 1.0)
        if self.rest is not None or false_positive_rate == 0.0:
            return super().true_positive_rate(false_positive_rate)
        from discreet.accounting.engines.rates import best_rate

        pairs = [(one, self.above[reverse]) for one, reverse in zip(self.above, self.reverses, strict=True)]
        return highest([best_rate(forth.delta, back.delta, false_positive_rate) for forth, back in pairs])


def _highest(solvers: tuple[Solver, ...], ask: Callable[[Solver, float], Bracket]) -> Bracket:
    """Return the bracket of the largest; each is told what the others already reach."""
    found: list[Bracket] = []
    for solver in solvers:
        found.append(ask(solver, max((bracket.lower for bracket in found), default=0.0)))
    return highest(found)
