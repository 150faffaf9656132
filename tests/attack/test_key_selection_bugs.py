"""Planted bug: keys taken from the data without paying for their selection.

A histogram over keys that nobody declared has to choose the keys privately, and the choice is part
of its event. The check measures how often a key that one person alone holds is shown, with that
person and without, and compares with what the event claims.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from discreet import events
from discreet.accounting import Measure, loss
from discreet.mechanisms import DiscreteLaplaceMechanism, KeySelection, Rng

RUNS = 4000
SLACK = math.sqrt(math.log(1e9) / (2 * RUNS))  # Hoeffding: a true claim fails once in 1e9
ONE = Fraction(1)


@dataclass(frozen=True)
class Histogram:
    """Counts per key present in the data, with private selection of the keys; the good twin."""

    selection: KeySelection
    noise: DiscreteLaplaceMechanism

    @property
    def event(self) -> events.Event:
        return events.Composed((self.selection.event, self.noise.event))

    def shown(self, counts: dict[str, int], rng: Rng) -> dict[str, int]:
        exact = np.array(list(counts.values()), dtype=np.int64)
        kept = self.selection(exact, rng)
        noisy = self.noise(exact, rng)
        return {key: int(noisy[i]) for i, key in enumerate(counts) if kept[i]}


class Uncharged(Histogram):
    """The selection runs, and the event does not say so."""

    @property
    def event(self) -> events.Event:
        return self.noise.event


class Unselected(Histogram):
    """Every key in the data is shown, with noise on its count: no selection at all."""

    def shown(self, counts: dict[str, int], rng: Rng) -> dict[str, int]:
        exact = np.array(list(counts.values()), dtype=np.int64)
        noisy = self.noise(exact, rng)
        return {key: int(noisy[i]) for i, key in enumerate(counts)}


def selection_is_charged(histogram: Histogram) -> None:
    """The share of runs that show the lone key must be explained by the event's ε and δ."""
    claim = loss(histogram.event, Measure("pure"))
    rng = Rng()
    present = sum("lone" in histogram.shown({"common": 50, "lone": 1}, rng) for _ in range(RUNS)) / RUNS
    absent = sum("lone" in histogram.shown({"common": 50}, rng) for _ in range(RUNS)) / RUNS
    allowed = math.exp(float(claim.loss)) * absent + float(claim.delta)
    assert present <= allowed + SLACK, "a key was shown that nobody paid for"


def build(kind: type[Histogram]) -> Histogram:
    return kind(
        KeySelection(epsilon=0.5, delta=0.3, max_groups=1),
        DiscreteLaplaceMechanism(ONE, Fraction(2)),
    )


def test_a_charged_selection_is_cleared():
    selection_is_charged(build(Histogram))


@pytest.mark.parametrize("bug", [Uncharged, Unselected])
def test_an_uncharged_selection_is_caught(bug):
    with pytest.raises(AssertionError, match="nobody paid"):
        selection_is_charged(build(bug))
