"""Pairs are neighbours under the relation they name."""

from __future__ import annotations

import math

import pytest

from discreet import Relation
from discreet.audit import Pair, answer_pairs, record_pairs
from discreet.errors import InvalidInput


@pytest.mark.parametrize("size", [1, 2, 5])
def test_no_answer_moves_further_than_a_step(size):
    pairs = list(answer_pairs(size, around=3, step=2))
    assert len({pair.name for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert len(pair.first) == len(pair.second) == size
        moves = [abs(a - b) for a, b in zip(pair.first, pair.second, strict=True)]
        assert max(moves) == 2
        assert all(isinstance(answer, int) for answer in pair.first + pair.second)


def test_the_patterns_of_statdp_are_there():
    moves = {
        tuple(b - a for a, b in zip(pair.first, pair.second, strict=True)) for pair in answer_pairs(4, around=0, step=1)
    }
    assert {(1, 0, 0, 0), (1, -1, -1, -1), (1, 1, -1, -1), (1, 1, 1, 1), (-1, -1, 1, 1)} <= moves


@pytest.mark.parametrize("special", [False, True])
def test_one_record_more(special):
    pairs = list(record_pairs(0, 10, relation=Relation.ADD_REMOVE, rows=3, special=special))
    for pair in pairs:
        assert pair.relation is Relation.ADD_REMOVE
        assert pair.first[:-1] == pair.second
    assert any(pair.second == [] for pair in pairs)
    assert any(len(set(pair.first)) == 1 and len(pair.first) > 1 for pair in pairs)
    assert any(pair.first[-1] > 10_000 for pair in pairs)
    assert any(math.isnan(pair.first[-1]) for pair in pairs) is special


def test_one_record_is_another():
    for pair in record_pairs(0, 10, relation=Relation.REPLACE_ONE, rows=3):
        assert pair.relation is Relation.REPLACE_ONE
        assert len(pair.first) == len(pair.second)
        assert sum(a != b for a, b in zip(pair.first, pair.second, strict=True)) == 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: list(answer_pairs(0)), "size must be a whole number of at least 1, got 0"),
        (lambda: list(answer_pairs(True)), "size must be a whole number of at least 1, got True"),
        (lambda: list(answer_pairs(3, step=0)), "step above 0"),
        (lambda: list(answer_pairs(3, around=math.nan)), "around must be finite"),
        (lambda: list(record_pairs(1, 1, relation=Relation.ADD_REMOVE)), "the lower below the upper, got 1 and 1"),
        (lambda: list(record_pairs(0, math.inf, relation=Relation.ADD_REMOVE)), "bounds must be finite"),
        (lambda: list(record_pairs(0, 1, relation=Relation.ADD_REMOVE, rows=0)), "rows must be a whole number"),
        (lambda: list(record_pairs(0, 1, relation=Relation.ZERO_OUT)), "not made for zero_out"),
        (lambda: Pair("", 1, 2), "a pair needs a name"),
        (lambda: Pair("x", 1, 2, "neighbours"), "relation must be one of add_remove, replace_one, zero_out, got"),
        (lambda: list(record_pairs(0, 1, relation=None)), "relation must be one of add_remove"),
    ],
)
def test_what_is_no_pair_is_refused(make, says):
    with pytest.raises(InvalidInput, match=says):
        make()
