"""Bounds and limits that nobody knows: what is found with much budget is right, and each costs what it says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import discreet.sql as sql
from discreet import Domain, PrivacyUnit, accounting
from discreet.accounting import Measure
from discreet.errors import BudgetExceeded, InvalidInput, UnsupportedQuery
from discreet.mechanisms import Rng
from discreet.sql import limits
from tests.sql_cases import ROWS, open_dataset

UNIT = PrivacyUnit(column="id", max_groups=2, max_rows=2)
DOMAIN = Domain(id="integer", cost="integer", weight="float", ward="text", floor="integer")
PEOPLE = 3000


def table(cost=None, weight=None):
    """Return three rows for each person, in three wards and, of every tenth person, on two floors."""
    person = np.repeat(np.arange(PEOPLE), 3)
    return pa.table({
        "id": person,
        "cost": np.repeat(cost if cost is not None else np.arange(PEOPLE) % 90 + 5, 3),
        "weight": np.repeat(weight if weight is not None else np.linspace(-0.3, 0.7, PEOPLE), 3),
        "ward": ["A", "B", "C"] * PEOPLE,
        "floor": np.where((person % 10 == 0) & (np.arange(3 * PEOPLE) % 3 == 0), 2, 1),
    })  # fmt: skip


def dataset(tmp_path, source=None, **given):
    return open_dataset(tmp_path, table() if source is None else source, unit=UNIT, domain=DOMAIN, **given)


DRAWS = 21  # of which eleven are beyond the true ends once in 1e8 times, as one in twenty is by design


def bounds(folder, column, source=None, measure="zcdp", epsilon=20.0):
    """Return the medians of many answers of one plan."""
    asked = dataset(folder, source, measure=measure)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "_revealed", lambda dataset, plan, *given: plan)
        plan = sql.find_bounds(asked, column, epsilon=epsilon, delta=1e-6)
    values = [plan.run(asked.source, Rng()).value for _ in range(DRAWS)]
    assert {value.num_rows for value in values} == {1}
    lows, highs = (sorted(value[end][0].as_py() for value in values) for end in ("low", "high"))
    return lows[DRAWS // 2], highs[DRAWS // 2]


@pytest.mark.parametrize("measure", ["pure", "zcdp"])
def test_bounds_hold_nearly_all_and_are_no_wider_than_a_power(tmp_path, measure):
    low, high = bounds(tmp_path, "cost", measure=measure)
    assert (low, high) in [(4.0, 128.0), (8.0, 128.0), (4.0, 64.0), (8.0, 64.0)]  # from 5 to 94


def test_bounds_of_negative_numbers_and_of_floats(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    low, high = bounds(tmp_path / "a", "cost", table(cost=-(np.arange(PEOPLE) % 40) - 3))
    assert -64.0 <= low <= -32.0 < high <= -2.0
    low, high = bounds(tmp_path / "b", "weight")
    assert -1.0 <= low <= -0.25 < 0.25 <= high <= 1.0


def test_bounds_leave_out_a_few_people_at_most(tmp_path):
    """What a handful of people have may be inside or not: no more than that many values are beyond either end."""
    cost = np.full(PEOPLE, 7)
    cost[:40], cost[40:80] = 2**39, -(2**39)
    low, high = bounds(tmp_path, "cost", table(cost=cost))
    assert (low, high) == (-(2.0**39), 2.0**40)
    (tmp_path / "x").mkdir()
    cost[1:40], cost[41:80] = 7, 7
    low, high = bounds(tmp_path / "x", "cost", table(cost=cost))
    assert low <= 4.0 < 8.0 <= high


def test_limits_are_those_of_most_people(tmp_path):
    found = sql.find_limits(dataset(tmp_path), ["ward"], epsilon=30.0, delta=1e-6).value.to_pylist()
    assert found == [{"max_groups": 3, "max_rows": 1}]


def test_limits_by_several_keys_and_shares(tmp_path):
    data = dataset(tmp_path)
    few = sql.find_limits(data, ["floor"], share=0.8, epsilon=15.0, delta=1e-6).value.to_pylist()
    most = sql.find_limits(data, ["floor"], share=0.97, epsilon=15.0, delta=1e-6, name="most").value.to_pylist()
    assert few == [{"max_groups": 1, "max_rows": 3}]
    assert most == [{"max_groups": 2, "max_rows": 3}]  # a tenth is on two floors


@pytest.mark.parametrize("measure", ["pure", "zcdp"])
def test_they_cost_no_more_than_was_asked_and_are_charged_once(tmp_path, measure):
    data = dataset(tmp_path, measure=measure, epsilon=4.0)
    first = sql.find_limits(data, ["ward"], epsilon=1.5, delta=1e-6)
    second = sql.find_bounds(data, "cost", epsilon=1.5, delta=1e-6)
    again = sql.find_bounds(data, "cost", epsilon=1.5, delta=1e-6)
    assert second.value.equals(again.value)
    kind = Measure.parse(measure)
    most = accounting.budget(kind, epsilon=1.5, delta=0.0 if measure == "pure" else 1e-6)
    for release in (first, second):
        assert accounting.cost(release.event, kind).loss <= most
        assert release.guarantee.epsilon <= 1.5
    charges = [entry for entry in data.ledger.entries("patients") if entry.kind == "charge"]
    assert len(charges) == 2
    with pytest.raises(BudgetExceeded):
        sql.find_bounds(data, "weight", epsilon=9.0, delta=1e-6)


def test_they_work_where_the_data_is_empty_or_junk(tmp_path):
    empty = table().slice(0, 0)
    low, high = bounds(tmp_path, "cost", empty)
    assert low < high
    (tmp_path / "x").mkdir()
    junk = pa.table(
        {"id": ["a", None], "cost": ["x", "y"], "weight": [None, None], "ward": [1, 2], "floor": ["?", None]}
    )
    found = sql.find_limits(dataset(tmp_path / "x", junk), ["ward"], epsilon=1.0, delta=1e-6).value
    assert found.column_names == ["max_groups", "max_rows"]
    assert found.num_rows == 1


def test_wrong_questions_are_refused(tmp_path):
    data = dataset(tmp_path)
    for column in ("ward", "nothing"):
        with pytest.raises(InvalidInput, match="no declared column of numbers"):
            sql.find_bounds(data, column, epsilon=1.0, delta=1e-6)
    for keys in ([], "ward", ["nothing"]):
        with pytest.raises(InvalidInput, match="must name declared columns"):
            sql.find_limits(data, keys, epsilon=1.0, delta=1e-6)
    for share in (0.4, 1, True, "0.9"):
        with pytest.raises(InvalidInput, match="share must be"):
            sql.find_limits(data, ["ward"], share=share, epsilon=1.0, delta=1e-6)
    (tmp_path / "y").mkdir()
    rows = open_dataset(tmp_path / "y", ROWS, unit=PrivacyUnit())
    with pytest.raises(UnsupportedQuery, match="no person's column"):
        sql.find_limits(rows, ["ward"], epsilon=1.0, delta=1e-6)
    assert len(data.ledger.entries("patients")) == 1
