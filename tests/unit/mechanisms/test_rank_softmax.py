from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.quantile_laws import distances, expanded, runs_of

from discreet.mechanisms import Rng
from discreet.mechanisms.rank_softmax import RankSoftmax, Runs

HISTOGRAMS = st.lists(st.integers(0, 4), min_size=1, max_size=7)
MANY = st.lists(st.integers(0, 10**6), min_size=1, max_size=4)


@given(HISTOGRAMS, st.integers(1, 4), st.sampled_from([np.int64, np.object_]))
def test_runs_hold_the_histogram(counts, cells, dtype):
    runs = runs_of(counts, cells, dtype)
    assert expanded(runs) == [count for count in counts for _ in range(cells)]
    assert (runs.first, runs.end, runs.total) == (0, len(counts) * cells, sum(counts) * cells)
    assert expanded(runs.places()) == [count * cells for count in counts]


@given(HISTOGRAMS, st.integers(1, 4), st.data())
def test_a_part_has_its_cells_and_places(counts, cells, data):
    runs = runs_of(counts, cells)
    first = data.draw(st.integers(0, runs.end))
    end = data.draw(st.integers(first, runs.end))
    part = runs.part(first, end)
    assert expanded(part) == expanded(runs)[first:end]
    assert (part.first, part.end) == (first, end)
    assert int(part.ranks[0]) == sum(expanded(runs)[:first])
    if first < end:
        at_place = [0] * len(counts)
        for cell in range(first, end):
            at_place[cell // cells] += counts[cell // cells]
        assert expanded(part.places()) == at_place[first // cells : -(-end // cells)]
        middle = data.draw(st.integers(first, end))
        assert expanded(part.part(middle, end)) == expanded(runs)[middle:end]


@given(HISTOGRAMS | MANY, st.integers(2, 4), st.sampled_from([np.int64, np.object_]), st.data())
def test_cutting_changes_no_cell(counts, cells, dtype, data):
    runs = runs_of(counts, cells, dtype)
    law = RankSoftmax(
        data.draw(st.fractions(0, runs.total, max_denominator=5)), Fraction(1, data.draw(st.integers(1, 3)))
    )
    refined = law.refined(runs)
    assert expanded(refined) == expanded(runs)
    far = distances(expanded(runs), law.target)
    for start, end in zip(refined.edges, refined.edges[1:], strict=False):
        inside = [law.rate * one for one in far[int(start) : int(end)]]
        if inside and min(inside) < 45:  # beyond, chances are below e^-45: there a run is hardly ever picked
            assert max(inside) - min(inside) <= 2  # so that a cell is accepted soon


def test_places_without_rows_change_no_run():
    """A value with a count of 0 is as good as none: the chances of its place are those of the gap."""
    places = np.arange(5)
    runs = Runs.of(places, np.array([0, 3, 0, 0, 1]), 5, 2)
    assert expanded(runs) == expanded(runs_of([0, 3, 0, 0, 1], 2))


LAWS = [
    ([0, 3, 0, 1, 4, 0], 1, Fraction(7, 2), Fraction(1, 2), 1),
    ([0, 3, 0, 1, 4, 0], 1, Fraction(3), Fraction(4, 5), 2),
    ([2, 0, 0, 0, 0, 0], 1, Fraction(0), Fraction(1), 2),
    ([0, 0, 0], 1, Fraction(0), Fraction(1), 1),
    ([1, 0, 5, 0, 2], 4, Fraction(41, 3), Fraction(1, 4), 1),
    ([0, 9], 16, Fraction(77, 2), Fraction(1, 20), 1),
    ([3, 3], 8, Fraction(10), Fraction(7), 1),
]


@pytest.mark.parametrize(("counts", "cells", "target", "rate", "short"), LAWS)
def test_the_weights_are_those_of_the_definition(counts, cells, target, rate, short):
    law = RankSoftmax(target, rate, short)
    runs = law.refined(runs_of(counts, cells))
    cell_weights = np.exp(-float(rate) * np.array(distances(expanded(runs), target, short=short), dtype=float))
    for k, weight in enumerate(law.weights(runs)):
        start, end = int(runs.edges[k]), int(runs.edges[k + 1])
        largest = max(cell_weights[start:end], default=0.0)
        assert weight == pytest.approx((end - start) * largest, rel=1e-12)


def test_exact_arithmetic_agrees_with_floating_point_on_the_same_bits():
    """Each word names a run; where floating point is sure, exact arithmetic must say the same."""
    runs = runs_of([0, 30, 0, 0, 0, 11, 4, 0, 0, 25])
    law = RankSoftmax(Fraction(121, 3), Fraction(1, 7))
    sums = law.weights(runs).cumsum()

    class One(Rng):
        def word(self):
            return word

    for k in range(300):
        word = k * (2**64 // 300) + 12345
        assert law._run(runs, sums, 2.0**-40, One()) == law._exact_run(runs, word, Rng())
