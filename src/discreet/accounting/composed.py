"""profile(event): the curve of one pre-declared event, bracketed by the engine that suits it.

Closed forms where they exist; else the contour, and the lattice where the contour's integrand decays
too slowly; the Rényi orders alone for what is known only by them. The method says which, and what of
the event the lower end leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from discreet import events
from discreet.accounting.conversions import check_delta, check_epsilon
from discreet.accounting.curves import analytic, exact, singles
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.profiles import Bracket, PrivacyProfile, check_rate, highest

if TYPE_CHECKING:
    from discreet.accounting.engines.solve import Solver

TOLERANCE = 1e-9


def profile(event: events.Event, *, tolerance: float = TOLERANCE) -> PrivacyProfile:
    """Return the privacy curve of `event`, taken as one run whose parameters were fixed beforehand.

    Args:
        event: What runs, or ran. Outputs may be used adaptively; parameters may not depend on them.
        tolerance: Relative width of the brackets of ε that is wanted, from 1e-12 to 1e-2. A wider bracket
            is returned, never a wrong one, where an engine cannot reach it.

    Guarantee: every upper end is at least, every lower end at most, the exact value for the event's
        dominating pair; for the kinds listed in the reference that pair is attained.
    Evidence: proven, docs/proofs/contour.md, grid.md, pairs.md.
    Assumes: elementary functions of the platform are good to a few units in the last place.
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
    counts = singles(event)
    if not counts:
        return exact(events.Pure(0.0))  # type: ignore[return-value]
    from discreet.accounting.engines import pairs, solve

    known = {single: count for single, count in counts.items() if pairs.pair(single, "remove") is not None}
    directions = pairs.compositions(known)
    assert directions is not None
    solvers = tuple(solve.Solver.of(parts, tolerance) for parts in directions)
    below, rest = solvers, None
    statuses = {known.status for parts in directions for known, _ in parts}
    if "loose" in statuses:
        firm = [tuple((known, count) for known, count in parts if known.status != "loose") for parts in directions]
        below = tuple(solve.Solver.of(parts, tolerance) for parts in firm)
    if "loose" in statuses or len(known) < len(counts):
        rest = analytic(event)
    return EngineProfile(
        above=solvers if len(known) == len(counts) else (),
        below=below,
        rest=rest,
        attained="dominating" not in statuses,
    )


@dataclass(frozen=True, eq=False)
class EngineProfile(PrivacyProfile):
    """A curve that the engines bracket, direction by direction.

    Args:
        above: One solver for each direction; empty where some part of the event has no known pair.
        below: The same for the parts whose pair is not loose.
        rest: Another curve from above, where a part is loose or known only by its Rényi orders.
        attained: Whether every pair is that of some mechanism.
    """

    above: tuple[Solver, ...]
    below: tuple[Solver, ...]
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
        return self._both(lambda solver: solver.delta(epsilon), lambda rest: rest.delta(epsilon))

    def epsilon(self, delta: float) -> Bracket:
        """See `PrivacyProfile.epsilon`."""
        if delta != 0:
            check_delta(delta)
        return self._both(lambda solver: solver.epsilon(delta), lambda rest: rest.epsilon(delta))

    def _both(self, ask: Callable[[Solver], Bracket], ask_rest: Callable[[PrivacyProfile], Bracket]) -> Bracket:
        below = highest([ask(solver) for solver in self.below])
        if self.rest is None:
            return below
        upper = ask_rest(self.rest).upper
        if self.above:
            upper = min(upper, highest([ask(solver) for solver in self.above]).upper)
        lower = min(below.lower, upper)
        return Bracket(lower, upper, {"no exact pair": upper - lower if lower < upper else 0.0})

    def advantage(self) -> Bracket:
        """Return δ(0): the largest difference of the two rates, whatever the direction."""
        return self.delta(0.0)
