"""Odometer: the bracket of all that was spent so far, read after every spend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import TYPE_CHECKING

from discreet import events
from discreet.accounting.composed import one_relation
from discreet.accounting.conversions import check_delta
from discreet.accounting.curves import singles
from discreet.errors import UnsupportedEvent
from discreet.profiles import Bracket

if TYPE_CHECKING:
    from discreet.accounting.engines.bank import Rows


@dataclass(frozen=True, eq=False)
class Odometer:
    """A growing composition; each spend returns the next odometer, and costs one vector sum once its event is known.

    Start with `Odometer.start()`. The contours are fixed: readings agree with `profile` of the whole composition to
    six digits and more, except after few spends of which none decays, where they are loose by some percent; where all
    that was spent costs far less than 0.01; and where a pair is loose (selections), of which `profile` knows more: there
    the upper end may be several times higher. The first
    reading in each power of ten of δ goes through all events that were spent; later spends keep what it found up.

    Args:
        spent: How often each event was spent.
        relation: Under which its sampled events are bounded.
        held: For powers of ten of δ that were asked, the sums in each direction.

    Guarantee: what `epsilon` returns holds for sequences whose parameters were all fixed beforehand; outputs
        may be used adaptively.
    Evidence: proven, docs/proofs/contour.md.
    Assumes: as for `profile`.
    Not protected: parameters chosen after earlier outputs: only a filter (`capacity`, `statement`) covers those.
    """

    spent: Mapping[events.Event, int] = field(default_factory=dict)
    relation: events.Relation | None = None
    held: dict[int, tuple[Rows, ...]] = field(default_factory=dict, repr=False)
    holds_for = "parameters fixed beforehand"

    @classmethod
    def start(cls) -> Odometer:
        """Return the odometer of no spending."""
        return cls()

    def spend(self, event: events.Event) -> Odometer:
        """Return the odometer after one more event.

        Raises:
            UnsupportedEvent: the event has no dominating pair, or none with a transform, or is bounded under
                another relation than what was spent before.
        """
        relation = _relation(event)
        if relation is not None and self.relation is not None and relation is not self.relation:
            raise UnsupportedEvent(
                f"this event is bounded under {relation.value}, what was spent before under {self.relation.value}.",
                remedy="Describe all of it under one relation; there is no silent conversion.",
            )
        spent = {**self.spent, event: self.spent.get(event, 0) + 1}
        # As a list: another thread may read this odometer at a new δ meanwhile, which adds to it.
        held = {level: _added(rows, _rows(event, 1, level)) for level, rows in list(self.held.items())}
        return Odometer(spent, self.relation or relation, held)

    def epsilon(self, delta: float) -> Bracket:
        """Return a bracket of ε(δ) of everything spent."""
        check_delta(delta)
        from discreet.accounting.engines import bank, pairs, readout

        level = max(1, math.ceil(-math.log10(delta) - 1e-9))
        if level not in self.held:
            parts = [_rows(event, count, level) for event, count in self.spent.items()]
            self.held[level] = reduce(_added, parts, (bank.nothing(level),) * len(pairs.DIRECTIONS))
        return readout.readout(self.held[level], delta)


@lru_cache(maxsize=1024)
def _relation(event: events.Event) -> events.Relation | None:
    """Return the relation that an event is bounded under, once it is seen to have transforms."""
    from discreet.accounting.engines import bank, pairs

    for single in singles(event):
        for direction in pairs.DIRECTIONS:
            bank.known(single, direction)
    return one_relation(event)


@lru_cache(maxsize=512)
def _rows(event: events.Event, times: int, level: int) -> tuple[Rows, ...]:
    """Return the rows of so many runs of an event in each direction, for δ of at least 10^-level."""
    from discreet.accounting.engines import bank, pairs

    counts = {single: count * times for single, count in singles(event).items()}
    found = []
    for direction in pairs.DIRECTIONS:
        parts = [bank.rows(single, direction, level, count) for single, count in counts.items()]
        found.append(reduce(bank.Rows.plus, parts) if parts else bank.nothing(level))
        if not any(map(pairs.directed, counts)):
            return (found[0],) * len(pairs.DIRECTIONS)
    return tuple(found)


def _added(rows: tuple[Rows, ...], others: tuple[Rows, ...]) -> tuple[Rows, ...]:
    """Return the sums in each direction: one and the same as long as the directions do not differ."""
    first = rows[0].plus(others[0])
    if rows[0] is rows[-1] and others[0] is others[-1]:
        return (first,) * len(rows)
    return first, *(a.plus(b) for a, b in zip(rows[1:], others[1:], strict=True))
