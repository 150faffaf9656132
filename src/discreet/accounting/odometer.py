"""Odometer: the bracket of all that was spent so far, read after every spend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from discreet import events
from discreet.accounting.composed import one_relation
from discreet.accounting.conversions import check_delta
from discreet.accounting.curves import singles
from discreet.errors import UnsupportedEvent
from discreet.profiles import Bracket, highest

if TYPE_CHECKING:
    from discreet.accounting.engines.bank import Rows
    from discreet.accounting.engines.contour import Contour


@dataclass(frozen=True, eq=False)
class Odometer:
    """A growing composition; each spend returns the next odometer, and costs one vector sum once its event is known.

    Start with `Odometer.start()`. A reading is loose by a few percent after the first spends, by a thousandth after
    a hundred: the contours are fixed. `profile` of the whole composition is exact.

    Guarantee: what `epsilon` returns holds for sequences whose parameters were all fixed beforehand; outputs
        may be used adaptively.
    Evidence: proven, docs/proofs/contour.md.
    Assumes: as for `profile`.
    Not protected: parameters chosen after earlier outputs: only a filter (`capacity`, `statement`) covers those.
    """

    rows: tuple[Rows, ...]
    relation: events.Relation | None = None
    holds_for = "parameters fixed beforehand"

    @classmethod
    def start(cls) -> Odometer:
        """Return the odometer of no spending."""
        from discreet.accounting.engines import bank, pairs

        return cls(tuple(bank.nothing() for _ in pairs.DIRECTIONS))

    def spend(self, event: events.Event) -> Odometer:
        """Return the odometer after one more event.

        Raises:
            UnsupportedEvent: the event has no dominating pair, or none with a transform, or is bounded under
                another relation than what was spent before.
        """
        relation = one_relation(event)
        if relation is not None and self.relation is not None and relation is not self.relation:
            raise UnsupportedEvent(
                f"this event is bounded under {relation.value}, what was spent before under {self.relation.value}.",
                remedy="Describe all of it under one relation; there is no silent conversion.",
            )
        rows = tuple(a.plus(b) for a, b in zip(self.rows, _rows(event), strict=True))
        return Odometer(rows, self.relation or relation)

    def epsilon(self, delta: float) -> Bracket:
        """Return a bracket of ε(δ) of everything spent."""
        check_delta(delta)
        found: list[Bracket] = []
        for rows in sorted(self.rows, key=lambda rows: -rows.best(delta)[1]):
            if found and rows.best(delta)[1] <= found[0].lower:
                break  # even one moment says that this direction costs less
            found.append(_read(rows, delta))
        return highest(found)


@lru_cache(maxsize=1024)
def _rows(event: events.Event) -> tuple[Rows, ...]:
    from discreet.accounting.engines import bank, pairs

    found = []
    for direction in pairs.DIRECTIONS:
        total = bank.nothing()
        for single, count in singles(event).items():
            total = total.plus(bank.rows(single, direction).times(count))
        found.append(total)
    return tuple(found)


def _read(rows: Rows, delta: float) -> Bracket:
    if rows.kinds == 0:
        return Bracket(0.0, 0.0)
    row, chernoff = rows.best(delta)
    if not math.isfinite(chernoff):
        return Bracket(0.0, math.inf)
    best = _near(rows.contour(row, chernoff), delta, chernoff)
    for way in (-1, 1):  # the best contour lies beside the row that one moment likes best
        at = row + way
        while 0 <= at < len(rows.real) and math.isfinite(rows.real[at]):
            found = _near(rows.contour(at, best.upper), delta, best.upper)
            if not found.upper < best.upper * (1 - 1e-9):
                break
            best, at = Bracket(max(best.lower, found.lower), found.upper, found.budget), at + way
        if at != row + way:
            break  # better on this side: the other need not be asked
    return best if rows.firm else Bracket(0.0, best.upper, best.budget)


def _near(contour: Contour, delta: float, chernoff: float) -> Bracket:
    """Return the ε where the upper side reaches δ, from below where the lower side is seen to; a few secants."""
    x, slope = chernoff, -contour.c
    last: tuple[float, float] | None = None
    for _ in range(12):
        terms = contour.delta(x)
        at = math.log(max(terms.upper, 1e-320) / delta)
        if -1e-11 <= at <= 0 or (x == 0.0 and at <= 0):
            low = max(0.0, x + math.log(max(terms.lower, 1e-320) / delta) / -slope * 1.001 - 1e-12 * x)
            firm = terms.lower > 0 and contour.delta(low).lower >= delta
            return Bracket(low if firm else 0.0, x, terms.budget)
        if last is not None and x != last[0] and (at - last[1]) / (x - last[0]) < 0:
            slope = (at - last[1]) / (x - last[0])
        last = (x, at)
        x = min(chernoff, max(0.0, x - (at + 5e-12) / slope))
        if x == last[0]:
            break
    return Bracket(0.0, chernoff, {"one moment": chernoff})
