"""MechanismAudit: what the tester found about a mechanism, with a counterexample that can be drawn again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from discreet.audit.statistics.bound import show_down
from discreet.audit.statistics.paired import Counts, Point
from discreet.audit.tester.events import Event
from discreet.audit.tester.outputs import read
from discreet.audit.tester.pairs import Pair
from discreet.audit.verdict import Finding, Verdict
from discreet.release import Internal


@dataclass(frozen=True, slots=True)
class Cell:
    """One event of one pair, certified on outputs that did not choose it.

    Args:
        pair: The pair's name.
        side: The dataset that the event speaks for, "first" or "second".
        event: The event in words.
        point: Its two rates, bounded, with their counts; all cells of an audit hold together.
        allowed: The true-positive rate that the claim allows at this false-positive rate, rounded up.
    """

    pair: str
    side: str
    event: str
    point: Point
    allowed: float

    @property
    def refutes(self) -> bool:
        """Whether the event cannot be if the claim is true."""
        return self.point.true_positive_rate > self.allowed

    def to_dict(self) -> dict[str, Any]:
        """Return the cell as plain data."""
        facts = {"pair": self.pair, "side": self.side, "event": self.event, "allowed": self.allowed}
        return facts | {"refutes": self.refutes, "point": self.point.to_dict()}


@dataclass(frozen=True, slots=True, eq=False)
class Counterexample:
    """An event that comes up too often, to be seen again by whoever doubts it.

    Args:
        pair: The two datasets.
        event: The event. `event.side` is the dataset it speaks for.
        counts: How often it came up in outputs drawn anew, after the verdict.
        again: Whether those alone would refute the claim, at the same confidence.
    """

    pair: Pair
    event: Event
    counts: Counts
    again: bool

    def holds(self, outputs: Any) -> list[bool]:
        """Return for each of some outputs whether the event holds: draw your own, and count."""
        found: list[bool] = self.event.holds(read(outputs)).tolist()
        return found

    def __str__(self) -> str:
        mine, other = ("first", "second") if self.event.side == "first" else ("second", "first")
        counts = self.counts
        drawn = (
            f"  drawn anew: {counts.true_positives:,} of {counts.members:,} outputs on the {mine}, "
            f"{counts.false_positives:,} of {counts.others:,} on the {other}"
        )
        lines = [
            f"counterexample, pair {self.pair.name!r}: {self.event}",
            f"  first = {_short(self.pair.first)}",
            f"  second = {_short(self.pair.second)}",
            drawn,
        ]
        if not self.again:
            lines.append("  These draws alone do not refute the claim: the event is close to what it allows.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the counterexample as plain data."""
        return {
            "pair": self.pair.name,
            "first": repr(self.pair.first),
            "second": repr(self.pair.second),
            "side": self.event.side,
            "event": str(self.event),
            "counts": asdict(self.counts),
            "again": self.again,
        }


@dataclass(frozen=True, slots=True, eq=False)
class MechanismAudit(Internal):
    """What the tester found.

    Args:
        finding: The claim, the verdict, the certified bounds with their ceilings.
        cells: Every event that was certified.
        delta: The largest δ certified at the claim's ε: the mechanism is not (ε, δ)-DP for any smaller one.
            None for a claim that is a curve and names no δ.
        draws: How often the mechanism ran, training and counterexample included.
        counterexample: Why the claim is refuted; None if it is not.
        claimed: What the claim says of each bound's quantity, in their order; None where it says nothing finite.
    """

    finding: Finding
    cells: tuple[Cell, ...]
    delta: float | None
    draws: int
    counterexample: Counterexample | None
    claimed: tuple[float | None, ...]

    @property
    def verdict(self) -> Verdict:
        """The finding's verdict."""
        return self.finding.verdict

    @property
    def refuted(self) -> bool:
        """Whether the claim is false, but for a chance of alpha."""
        return self.verdict is Verdict.REFUTED

    @property
    def tightness(self) -> float | None:
        """How much of what is claimed was certified, at best: above 1 the claim is false.

        Far below 1 either the noise is larger than it need be, or no event or pair was found that shows it: an
        estimate, not a bound. None where the claim says nothing finite.
        """
        ratios = [
            bound.value / claimed
            for bound, claimed in zip(self.finding.bounds, self.claimed, strict=True)
            if claimed is not None and claimed > 0
        ]
        return max(ratios, default=None)

    def __str__(self) -> str:
        lines = [str(self.finding)]
        if self.tightness is not None:
            lines.append(f"certified: {100 * self.tightness:.3g} % of what is claimed")
        if self.delta:
            lines.append(f"at the claimed ε, δ ≥ {show_down(self.delta)}")
        worst = max(self.cells, key=lambda cell: cell.point.true_positive_rate - cell.allowed)
        lines.append(f"that event: pair {worst.pair!r}, {worst.event}; it speaks for the {worst.side}")
        if self.counterexample is not None:
            lines.append(str(self.counterexample))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data; it stays internal."""
        return {
            "finding": self.finding.to_dict(),
            "draws": self.draws,
            "tightness": self.tightness,
            "delta_at_claimed_epsilon": self.delta,
            "cells": [cell.to_dict() for cell in self.cells],
            "counterexample": None if self.counterexample is None else self.counterexample.to_dict(),
        }


def _short(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 200 else f"{text[:197]}…"
