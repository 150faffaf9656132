"""Groupings that agree: the nearest numbers that add up, by the definition of least squares, and what is released of them."""

from __future__ import annotations

import numpy as np
import pytest

import discreet.sql as sql
from discreet import PrivacyUnit
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.sql.answers.consistency import Level, agreeing, check
from discreet.sql.bound import Bounds, Primitive
from discreet.sql.sets import sets
from tests.sql_cases import declared, open_dataset, plan

FINEST = np.arange(6)
WARD = np.array([0, 0, 0, 1, 1, 1])
FLOOR = np.array([0, 1, 2, 0, 1, 2])
ALL = np.zeros(6, dtype=int)


def levels(dice, scale=20.0):
    """Return noisy numbers of a table of two by three, of its rows, of its columns and of all."""
    shapes = ((FINEST, 6, 4.0), (WARD, 2, 1.0), (FLOOR, 3, 9.0), (ALL, 1, 0.25))
    return [Level(dice.normal(0, scale, size), variance, group) for group, size, variance in shapes]


def matrix(found):
    """Return which finest groups each number is the sum of, and what it is weighed by."""
    rows = np.concatenate([np.eye(len(level.values))[:, level.group] for level in found])
    weights = np.concatenate([np.full(len(level.values), 1 / level.variance) for level in found])
    return rows, weights, np.concatenate([level.values for level in found])


@pytest.mark.parametrize("seed", range(8))
def test_totals_are_those_of_weighted_least_squares(seed):
    found = levels(np.random.default_rng(seed))
    rows, weights, values = matrix(found)
    root = np.sqrt(weights)[:, None]
    finest = np.linalg.lstsq(rows * root, values * root[:, 0], rcond=None)[0]
    ours = agreeing(found, ("totals",), counts=True)
    assert np.allclose(ours[0], finest, atol=1e-6)
    assert np.allclose(np.concatenate(ours), rows @ finest, atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_counts_that_may_not_be_negative_are_the_nearest_such(seed):
    """No small step towards any other non-negative table comes nearer."""
    found = levels(np.random.default_rng(seed))
    ours = agreeing(found, ("totals", "non_negative"), counts=True)
    rows, weights, values = matrix(found)
    gradient = rows.T @ (weights * (rows @ ours[0] - values))
    assert (ours[0] >= 0).all()
    assert (gradient > -1e-4).all()
    assert np.allclose(gradient * ours[0], 0, atol=1e-3)
    assert np.allclose(np.concatenate(ours), rows @ ours[0])


@pytest.mark.parametrize("wishes", [("totals", "whole"), ("totals", "non_negative", "whole")])
@pytest.mark.parametrize("seed", range(4))
def test_whole_numbers_add_up_and_are_near(seed, wishes):
    found = levels(np.random.default_rng(seed))
    exact = agreeing(found, wishes[:-1], counts=True)
    ours = agreeing(found, wishes, counts=True)
    assert all((one == np.round(one)).all() for one in ours)
    assert np.allclose(ours[1], [ours[0][i == WARD].sum() for i in range(2)])
    assert ours[3][0] == round(exact[3][0])
    assert (np.abs(ours[0] - exact[0]) <= 1 + 1e-9).all()


def test_sums_are_made_to_add_up_and_nothing_else():
    found = levels(np.random.default_rng(0))
    ours = agreeing(found, ("totals", "non_negative", "whole"), counts=False)
    assert np.allclose(np.concatenate(ours), np.concatenate(agreeing(found, ("totals",), counts=False)))
    assert min(ours[0]) < 0


def test_wishes_are_known_ones_each_once():
    assert check(["whole", "totals", "whole"]) == ("totals", "whole")
    for wrong in ("totals", ["tidy"]):
        with pytest.raises(InvalidInput, match="some of totals, non_negative, whole"):
            check(wrong)


# ------------------------------------------------------------------------------ what is released


@pytest.mark.parametrize("measure", ["pure", "zcdp"])
def test_released_totals_add_up_and_the_numbers_before_stay(tmp_path, measure):
    dataset = open_dataset(tmp_path, measure=measure)
    text = "SELECT ward, floor, COUNT(*) AS n, SUM(age) AS s FROM t GROUP BY CUBE (ward, floor)"
    rows = sql.query(dataset, text, epsilon=2.0, delta=1e-6).value.to_pylist()
    for name in ("n", "s"):
        finest = [row[name] for row in rows if not row["ward_total"] and not row["floor_total"]]
        for kind in (("ward_total",), ("floor_total",), ("ward_total", "floor_total")):
            some = [
                row[name]
                for row in rows
                if all(row[f"{key}_total"] == (f"{key}_total" in kind) for key in ("ward", "floor"))
            ]
            assert sum(some) == pytest.approx(sum(finest), abs=1e-6)
        raw = [row[f"{name}_raw"] for row in rows if not row["ward_total"]]
        assert sum(raw) != pytest.approx(2 * sum(finest), abs=1e-6)
    assert len(rows) == 9 + 3 + 3 + 1
    assert [row["ward"] for row in rows if row["ward_total"]] == [None] * 4


def test_what_was_asked_to_agree_is_part_of_the_question():
    text = "SELECT ward, COUNT(*) AS n FROM t GROUP BY ROLLUP (ward)"
    dataset = declared()
    names = [
        sql.plan(dataset, text, epsilon=1.0, delta=1e-6, consistent=wishes).identity
        for wishes in (None, ["totals"], [], ["totals", "whole"])
    ]
    assert names[0] == names[1]
    assert names[0] != names[2] != names[3] != names[0]
    with pytest.raises(InvalidInput, match="no totals to agree with"):
        sql.plan(dataset, "SELECT COUNT(*) AS n FROM t", epsilon=1.0, delta=1e-6, consistent=["totals"])


def test_counts_of_one_grouping_may_be_whole_and_not_negative(tmp_path):
    text = "SELECT ward, floor, COUNT(*) AS n FROM t GROUP BY ward, floor"
    wishes = ["non_negative", "whole"]
    value = sql.query(open_dataset(tmp_path), text, epsilon=0.1, delta=1e-6, consistent=wishes).value
    numbers, raw = (np.array(value[name].to_pylist(), dtype=float) for name in ("n", "n_raw"))
    assert (numbers == np.maximum(raw, 0)).all()
    assert (raw < 0).any()


# ------------------------------------------------------------------------------ what one person moves


@pytest.mark.parametrize(
    ("chosen", "groups", "relation", "expected"),
    [
        ((0, 1), 2, "add_remove", (2 * 2 * 7, 2 * 4 * 49)),
        ((0,), 2, "add_remove", (2 * 2 * 7, (2 * 2 * 7) ** 2)),  # both groups of a person are in one ward
        ((0,), 5, "add_remove", (5 * 2 * 7, (3**2 + 2**2) * 4 * 49)),  # three floors of one ward, two of another
        ((), 4, "add_remove", (4 * 2 * 7, (4 * 2 * 7) ** 2)),
        ((), 4, "replace_one", (4 * 2 * 10, (4 * 2 * 10) ** 2)),  # from -7 to 3
        ((0,), 2, "replace_one", (2 * 2 * 2 * 7, 4 * (2 * 2 * 7) ** 2)),
    ],
)
def test_sensitivities_of_coarser_groupings(chosen, groups, relation, expected):
    part = Primitive("sum", None, -7, 3, 1)
    bounds = Bounds(groups, 2, 6, PrivacyUnit(relation=relation).relation, sampled=True)
    found = sets((2, 3), (chosen, (0, 1)), (False, False))
    assert found.sensitivity(bounds, part, 0) == expected


def test_totals_are_sums_of_the_finest_and_keys_of_the_person_do_not_pile_up():
    found = sets((2, 3), ((0,), (1,), ()), (True, False))
    finest = np.array([1, 2, 3, 40, 50, 60])
    assert [found.total(finest, place).tolist() for place in range(3)] == [[6, 150], [41, 52, 63], [156]]
    huge = np.array([2**70] * 6, dtype=object)
    assert found.total(huge, 2).tolist() == [6 * 2**70]
    part, bounds = Primitive("rows", None, 1, 1, 1), Bounds(2, 1, 6, PrivacyUnit().relation, sampled=True)
    assert found.sensitivity(bounds, part, 1) == (2, 2)  # of each person, groups of one value of the first key alone
    assert found.sensitivity(bounds, part, 0) == (2, 4)


def test_more_groupings_than_are_answered_are_refused():
    with pytest.raises(UnsupportedQuery, match="CUBE of more than six"):
        plan("SELECT COUNT(*) AS n FROM t GROUP BY CUBE (a, b, c, d, e, f, g)",
             domain=declared().domain.__class__(id="integer", **{name: [1, 2] for name in "abcdefg"}))  # fmt: skip
