"""Quantiles and extremes against their exact laws, and the draws that they are made of."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from discreet.events import Relation
from discreet.mechanisms import Extreme, Quantiles, Rng, quantiles
from discreet.mechanisms.rank_softmax import RankSoftmax, Runs
from discreet.testing import Cells, Nonconforming, gof
from tests.quantile_laws import answer_law, check_quantile_law, distances, expanded, runs_of, softmax

QUARTERS = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
COUNTS = [2, 0, 0, 3, 1, 0, 4, 0]
BOUNDS = {"weight": 2, "low": -3, "high": 4, "relation": Relation.ADD_REMOVE}
EVERY = [
    Quantiles(ranks=QUARTERS[1:2], epsilon=1.3, **BOUNDS),
    Quantiles(ranks=(Fraction(1, 10), Fraction(4, 5)), epsilon=3.0, **BOUNDS),
    Quantiles(ranks=QUARTERS, epsilon=8.0, **BOUNDS),
    Extreme(which="min", epsilon=2.0, **BOUNDS),
    Extreme(which="max", epsilon=2.0, **BOUNDS),
]


def name(mechanism):
    return f"{type(mechanism).__name__}-{getattr(mechanism, 'which', None) or len(mechanism.ranks)}"


LAWS = [
    ([0, 3, 0, 1, 4, 0], 1, Fraction(7, 2), Fraction(1, 2), 1),
    ([0, 3, 0, 1, 4, 0], 1, Fraction(3), Fraction(4, 5), 2),
    ([2, 0, 0, 0, 0, 0], 1, Fraction(0), Fraction(1), 2),
    ([0, 0, 0], 1, Fraction(0), Fraction(1), 1),
    ([1, 0, 5, 0, 2], 4, Fraction(41, 3), Fraction(1, 4), 1),
    ([0, 9], 16, Fraction(77, 2), Fraction(1, 20), 1),
    ([3, 3], 8, Fraction(10), Fraction(7), 1),
]


@pytest.fixture
def few_cells(monkeypatch):
    monkeypatch.setattr(quantiles, "CELLS", 3)


def with_epsilon(mechanism, epsilon):
    fields = {field: getattr(mechanism, field) for field in type(mechanism).__dataclass_fields__}
    return type(mechanism)(**fields | {"epsilon": epsilon})


@pytest.mark.parametrize("mechanism", EVERY, ids=name)
def test_answers_have_their_exact_law(mechanism, few_cells):
    check_quantile_law(mechanism, COUNTS, answer_law(mechanism, COUNTS), draws=6_000)


@pytest.mark.parametrize("mechanism", EVERY, ids=name)
def test_an_epsilon_ten_percent_off_is_rejected(mechanism, few_cells):
    """On rows that are all in the middle, or all at the ends: where what is far from them is seen most often."""
    middle = mechanism in (EVERY[0], EVERY[2])
    counts = [0, 0, 0, 4, 4, 0, 0, 0] if middle else [9, 0, 0, 0, 0, 0, 0, 9]
    off = with_epsilon(mechanism, mechanism.epsilon * Fraction(9, 10))
    with pytest.raises(Nonconforming):
        check_quantile_law(off, counts, answer_law(mechanism, counts))


def drawn(law, runs, draws, **settings):
    rng = Rng()
    return np.array([law.draw(runs, rng, **settings) for _ in range(draws)])


@pytest.mark.parametrize(("counts", "cells", "target", "rate", "short"), LAWS)
def test_draws_have_the_exact_law(counts, cells, target, rate, short):
    runs, law = runs_of(counts, cells), RankSoftmax(target, rate, short)
    chances = softmax(distances(expanded(runs), target, short=short), rate)
    assert gof(drawn(law, runs, 6_000), Cells(np.arange(chances.size - 1), chances)).accepted


def test_forced_exact_arithmetic_has_the_same_law(monkeypatch):
    calls = {"exact": 0}
    exact = RankSoftmax._exact_run

    def counted(*args):
        calls["exact"] += 1
        return exact(*args)

    monkeypatch.setattr(RankSoftmax, "_exact_run", counted)
    runs, law = runs_of([0, 3, 0, 1, 4, 0, 0]), RankSoftmax(Fraction(7, 2), Fraction(1, 2))
    cells = drawn(law, runs, 8_000, tolerance=0.05)
    assert 800 < calls["exact"] < 8_000
    chances = softmax(distances(expanded(runs), law.target), law.rate)
    assert gof(cells, Cells(np.arange(chances.size - 1), chances)).accepted
    off = softmax(distances(expanded(runs), law.target), law.rate * Fraction(8, 10))
    assert not gof(cells, Cells(np.arange(off.size - 1), off)).accepted


def test_a_wide_gap_counts_with_all_its_cells():
    """2**40 candidates, a row in the middle: one cell holds the median, all others are half a row away."""
    size, at = 2**40, 2**39 + 5
    runs = Runs.of(np.array([at]), np.array([40]), size, 1)
    law = RankSoftmax(Fraction(20), Fraction(3, 2))
    hit = 1 / (1 + (size - 1) * math.exp(-30))
    cells = drawn(law, runs, 4_000)
    where = np.select([cells < at // 2, cells < at, cells == at], [0, 1, 2], default=3)
    rest = (1 - hit) / (size - 1)
    chances = np.array([at // 2 * rest, (at - at // 2) * rest, hit, (size - at - 1) * rest])
    assert 0.2 < hit < 0.95
    assert gof(where, Cells(np.arange(3), chances)).accepted


def test_a_value_of_many_cells_is_split_by_rank():
    """Nearly all the weight at one value of 2**16 cells: the cell drawn follows a two-sided law around the target."""
    runs = Runs.of(np.array([1]), np.array([4000]), 3, 2**16)
    law = RankSoftmax(Fraction(3000 * 2**16), Fraction(1, 15 * 2**16))
    cells = drawn(law, runs, 8_000)
    assert ((cells >= 2**16) & (cells < 2**17)).all()
    rows = (cells - 2**16) * 4000 / 2**16 - 3000  # rows between the split and the target
    reach = np.array([-45, -30, -15, -5, 0, 5, 15, 30, 45])
    below = np.where(reach < 0, np.exp(reach / 15) / 2, 1 - np.exp(-reach / 15) / 2)
    assert gof(np.searchsorted(reach, rows), Cells(np.arange(reach.size), np.diff(below, prepend=0, append=1))).accepted
