"""Planted bugs in quantiles: a named check catches each, and clears the good twin."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from discreet.events import Relation
from discreet.mechanisms import Extreme, Quantiles, quantiles
from discreet.mechanisms.quantiles import _middle
from discreet.mechanisms.rank_softmax import RankSoftmax, Runs
from discreet.testing import Nonconforming
from tests.quantile_laws import answer_law, check_quantile_law, check_quantile_loss

MEDIAN = {"ranks": (Fraction(1, 2),), "epsilon": 2.0, "weight": 1, "low": 0, "high": 2}
QUARTERS = MEDIAN | {"ranks": (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))}


PAIRS = [  # somebody comes to the value that is split, or far from it
    ((2, 2, 2, 2, 2), (2, 2, 3, 2, 2)),
    ((2, 2, 4, 2, 2), (2, 2, 4, 2, 3)),
]


@pytest.fixture(autouse=True)
def few_cells(monkeypatch):
    monkeypatch.setattr(quantiles, "CELLS", 2)


def caught(check, bad, good, *args, **settings):
    check(good, *args, **settings)
    with pytest.raises(Nonconforming):
        check(bad, *args, **settings)


@pytest.mark.parametrize("relation", Relation)
@pytest.mark.parametrize("fields", [MEDIAN, QUARTERS, MEDIAN | {"ranks": (Fraction(1, 4), Fraction(3, 4))}])
def test_halved_sensitivity(fields, relation):
    class Halved(Quantiles):
        def _rate(self, reach):
            return super()._rate(reach / 2)

    caught(check_quantile_loss, Halved(**fields, relation=relation), Quantiles(**fields, relation=relation), most=3)


def test_halved_sensitivity_of_an_extreme():
    class Halved(Extreme):
        def _rate(self, reach):
            return super()._rate(reach / 2)

    fields = {"which": "max", "epsilon": 6.0, "weight": 1, "low": 0, "high": 2, "relation": Relation.ADD_REMOVE}
    caught(check_quantile_loss, Halved(**fields), Extreme(**fields), most=3)


def test_a_target_taken_for_public():
    """The sensitivity of a rank that is known beforehand, 1, used for one that moves with the number of rows: 9/5."""

    class Fixed(Quantiles):
        def _of_rank(self, rank):
            return self._rate(Fraction(1))

    fields = MEDIAN | {"ranks": (Fraction(9, 10),), "relation": Relation.ADD_REMOVE}
    caught(check_quantile_loss, Fixed(**fields), Quantiles(**fields), most=8)


def test_replacement_charged_as_removal():
    class Removal(Quantiles):
        def _rate(self, reach):
            return 2 * super()._rate(reach)

    fields = QUARTERS | {"relation": Relation.REPLACE_ONE}
    caught(check_quantile_loss, Removal(**fields), Quantiles(**fields))


def test_a_whole_epsilon_for_every_step():
    class Whole(Quantiles):
        @property
        def _each(self):
            return Fraction(self.epsilon)

        @property
        def event(self):
            return Quantiles(**QUARTERS, relation=self.relation).event

    fields = QUARTERS | {"relation": Relation.ADD_REMOVE}
    caught(check_quantile_loss, Whole(**fields), Quantiles(**fields))


class DealsTies(Quantiles):
    """Deals the rows of the value that is split so that each side has its share: whoever comes moves other people's."""

    def _halve(self, runs, ranks, steps, rng):
        if len(ranks) != 5:
            return super()._halve(runs, ranks, steps, rng)
        middle, rank = _middle(ranks, steps)
        target = int(rank * runs.total)
        cell = RankSoftmax(Fraction(target), self._of_rank(rank) / quantiles.CELLS).draw(runs, rng)
        place = cell // quantiles.CELLS
        before = runs.part(0, place * quantiles.CELLS).places()
        after = runs.part((place + 1) * quantiles.CELLS, runs.end).places()
        dealt = min(max(before.ranks[-1], target), after.ranks[0])
        below = Runs(np.append(before.edges, place + 1), np.append(before.ranks, dealt), 1)
        above = Runs(np.insert(after.edges, 0, place), np.insert(after.ranks, 0, dealt), 1)
        return [
            *self._halve(below, ranks[: middle + 1], steps - 1, rng),
            place,
            *self._halve(above, ranks[middle:], steps - 1, rng),
        ]


def test_a_split_that_moves_other_peoples_rows():
    fields = QUARTERS | {"high": 4, "relation": Relation.ADD_REMOVE}
    caught(check_quantile_loss, DealsTies(**fields), Quantiles(**fields), pairs=PAIRS)


class CountsTwice(Quantiles):
    """The value that is split is counted whole on both sides."""

    def _halve(self, runs, ranks, steps, rng):
        if len(ranks) != 5:
            return super()._halve(runs, ranks, steps, rng)
        middle, rank = _middle(ranks, steps)
        cell = RankSoftmax(rank * runs.total, self._of_rank(rank) / quantiles.CELLS).draw(runs, rng)
        place = cell // quantiles.CELLS
        end, first = (place + 1) * quantiles.CELLS, place * quantiles.CELLS
        below = self._halve(runs.part(0, end), ranks[: middle + 1], steps - 1, rng)
        above = self._halve(runs.part(first, runs.end), ranks[middle:], steps - 1, rng)
        return [*below, place, *above]


def test_rows_of_the_border_on_both_sides():
    """Whoever is at the border pays on either side of it."""
    fields = QUARTERS | {"high": 4, "relation": Relation.ADD_REMOVE}
    caught(check_quantile_loss, CountsTwice(**fields), Quantiles(**fields), pairs=PAIRS)


def test_gaps_counted_as_one_candidate(monkeypatch):
    """A run is drawn by its distance alone, however many candidates it has: each row cuts a gap, and is seen."""
    fields = MEDIAN | {"high": 9, "relation": Relation.ADD_REMOVE}
    good = Quantiles(**fields)
    counts = [0, 0, 0, 0, 2, 0, 0, 1, 0, 0]
    law = answer_law(good, counts)
    check_quantile_law(good, counts, law, draws=4_000)
    honest = RankSoftmax.weights
    monkeypatch.setattr(
        RankSoftmax, "weights", lambda law, runs: honest(law, runs) / np.maximum(np.diff(runs.edges), 1)
    )
    with pytest.raises(Nonconforming):
        check_quantile_law(good, counts, law, draws=4_000)
