"""Bounds, sensitivities, the split of a budget, forecasts, and what may be asked for."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

import discreet.sql as sql
from discreet import Domain, PrivacyUnit, accounting
from discreet.accounting import Measure
from discreet.errors import BudgetExceeded, InvalidInput, UnsupportedQuery
from discreet.events import Relation
from discreet.sql import bind
from discreet.sql.bound import Bounds, Primitive
from discreet.sql.statements.rows import Ref
from tests.sql_cases import UNIT, open_dataset, plan

LOPSIDED = Primitive("sum", Ref("x"), -7, 3, Fraction(1))


@pytest.mark.parametrize(
    ("groups", "rows", "cells", "relation", "expected"),
    [
        (1, 1, 1, "add_remove", (7, 49)),
        (3, 2, 10, "add_remove", (42, 3 * 4 * 49)),
        (3, 2, 10, "zero_out", (42, 3 * 4 * 49)),
        (1, 1, 1, "replace_one", (10, 100)),
        (1, 1, 2, "replace_one", (14, 100)),
        (2, 1, 3, "replace_one", (10 + 14, 200)),
        (2, 3, 4, "replace_one", (3 * 28, 9 * 200)),
    ],
)
def test_sensitivities(groups, rows, cells, relation, expected):
    bounds = Bounds(groups, rows, cells, Relation(relation), sampled=False)
    assert bounds.sensitivity(LOPSIDED) == expected


def test_bounds_of_a_query():
    def bounds(keys, **given):
        by = f" GROUP BY {keys}" if keys else ""
        return plan(f"SELECT COUNT(*) FROM t{by}", **given).question.bounds

    assert bounds("") == Bounds(1, 2, 1, UNIT.relation, sampled=False)
    assert bounds("ward, floor") == Bounds(2, 2, 9, UNIT.relation, sampled=True)
    promised = PrivacyUnit(max_rows=5)
    assert bounds("ward", unit=promised) == Bounds(1, 5, 3, UNIT.relation, sampled=False)
    own = Domain(id=[1, 2, 3], ward=["A", "B"])
    assert bounds("id, ward", unit=PrivacyUnit(column="id"), domain=own).groups == 2
    period = PrivacyUnit(column="id", per="floor")
    assert bounds("floor, ward", unit=period) == Bounds(3, 1, 9, UNIT.relation, sampled=False)
    found = bounds("note")  # nobody knows how many groups: a person is in at most two, old and new ones share none
    assert found == Bounds(2, 2, 4, UNIT.relation, sampled=True)


def test_too_many_groups_are_refused():
    many = Domain(id="integer", a=list(range(2000)), b=list(range(2000)))
    with pytest.raises(UnsupportedQuery, match="4000000 groups"):
        plan("SELECT COUNT(*) FROM t GROUP BY a, b", domain=many)


@pytest.mark.parametrize("measure", ["pure", "zcdp", "renyi(12.5)"])
@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 1.0, 7.3, 40.0])
@pytest.mark.parametrize(
    "text", ["COUNT(*)", "AVG(age)", "COUNT(*) AS n, SUM(age) AS s, AVG(age) AS m, AVG(weight) AS w"]
)
def test_the_event_never_costs_more_than_was_asked(measure, epsilon, text):
    if measure.startswith("renyi") and epsilon < 7:
        epsilon = 7.0
    bound = plan(f"SELECT ward, {text} FROM t GROUP BY ward", measure=measure, epsilon=epsilon)
    parsed = Measure.parse(measure)
    delta = 0.0 if measure == "pure" else 1e-6
    budget = accounting.budget(parsed, epsilon=epsilon, delta=delta)
    cost = accounting.cost(bound.event, parsed)
    assert cost.loss <= budget
    assert cost.loss >= budget * (1 - 1e-5) - 100  # and nothing worth speaking of is wasted
    assert cost.delta == 0
    assert bound.guarantee.epsilon <= epsilon


def test_identical_primitives_are_charged_once():
    parts = plan("SELECT COUNT(age) AS n, AVG(age) AS m, 2 * COUNT(age) AS d FROM t").noises
    assert [part.kind for part in parts] == ["values", "centred"]


def test_weights_split_the_budget():
    bound = plan("SELECT COUNT(*) AS n, SUM(age) AS s FROM t", measure="pure", weights={"n": 1, "s": 3})
    one, three = (noise.sensitivity / noise.scale for noise in bound.noises.values())
    assert float(three / one) == pytest.approx(3, rel=1e-4)


@pytest.mark.parametrize("measure", ["pure", "zcdp"])
def test_a_guess_gives_the_split_of_least_relative_error(measure):
    """No other split of the same budget has a smaller forecast error, up to the least share."""
    text = "SELECT COUNT(*) AS n, SUM(age) AS s FROM t"
    guess = {"n": 400.0, "s": 9000.0}

    def loss(weights):
        found = plan(text, measure=measure, weights=weights, guess=guess).forecasts
        return sum((item.standard_error / item.guess) ** 2 for item in found)

    best = loss(None)
    assert best <= min(loss({"n": 1.0, "s": 2.0**k}) for k in range(-5, 9)) * (1 + 1e-3)
    assert best < loss({"n": 1.0, "s": 1.0}) * 0.99


def test_forecasts():
    count, mean = plan("SELECT COUNT(age) AS n, AVG(age) AS m FROM t", guess={"n": 400.0, "m": 60.0}).forecasts
    assert count.relative == pytest.approx(count.standard_error / 400)
    assert mean.standard_error == pytest.approx(mean.relative * 60)
    assert mean.half_width == pytest.approx(1.96 * mean.standard_error, rel=0.05)
    unknown = plan("SELECT AVG(age) AS m FROM t").forecasts[0]
    assert unknown.standard_error is None
    by_aggregate = plan("SELECT AVG(age) AS m FROM t", guess={"m": 60.0, "COUNT(*)": 400.0}).forecasts[0]
    assert by_aggregate.standard_error is not None


WRONG = {
    "epsilon 0": ({"epsilon": 0.0}, "epsilon must"),
    "epsilon nan": ({"epsilon": math.nan}, "epsilon must"),
    "epsilon True": ({"epsilon": True}, "epsilon must"),
    "epsilon text": ({"epsilon": "1"}, "epsilon must"),
    "epsilon infinite": ({"epsilon": math.inf}, "epsilon must"),
    "no delta": ({"delta": None}, "means nothing without delta"),
    "delta 0": ({"delta": 0.0}, "means nothing without delta"),
    "delta 1": ({"delta": 1.0}, "delta must"),
    "tiny epsilon": ({"epsilon": 1e-13, "delta": 1e-12}, "too small|scale|variance"),
    "weight of nothing": ({"weights": {"x": 1}}, "no output of this query"),
    "weight 0": ({"weights": {"n": 0}}, "above 0"),
    "weight text": ({"weights": {"n": "1"}}, "finite number"),
    "weights list": ({"weights": [1]}, "must map"),
    "guess of nothing": ({"guess": {"x": 1}}, "no output of this query"),
    "guess 0": ({"guess": {"n": 0}}, "is 0"),
    "epsilon beyond reason": ({"epsilon": 1e6}, "below 1,000,000"),
    "epsilon far below 0": ({"epsilon": -(10**5000)}, "above 0"),
    "delta huge": ({"delta": 10**5000}, "delta must"),
    "epsilon huge": ({"epsilon": 10**5000}, "below 1,000,000"),
    "weight huge": ({"weights": {"n": 10**400}}, "between 1e-30 and"),
    "guess tiny": ({"guess": {"n": 1e-200}}, "between 1e-30 and"),
    "guess huge": ({"guess": {"n": -(10**400)}}, "between 1e-30 and"),
    "guess infinite": ({"guess": {"n": math.inf}}, "finite number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_budgets_are_refused(name):
    given, message = WRONG[name]
    with pytest.raises(InvalidInput, match=message):
        plan("SELECT COUNT(*) AS n FROM t", **given)


@pytest.mark.parametrize("guess", [1e-29, 1e29])
@pytest.mark.parametrize(
    "text", ["SUM(weight) / COUNT(*)", "COUNT(*) * 1e300 * 1e300", "COUNT(*) / (COUNT(*) * 1e-300)"]
)
def test_no_guess_within_its_range_is_an_error(guess, text):
    given = {"n": guess, "COUNT(*)": 1 / guess, **({"SUM(weight)": guess} if "weight" in text else {})}
    for forecast in plan(f"SELECT {text} AS n FROM t", guess=given).forecasts:
        assert forecast.relative is None or math.isfinite(forecast.relative)


def test_wrong_declarations_are_refused():
    with pytest.raises(InvalidInput, match="two people"):
        plan("SELECT COUNT(*) FROM t", domain=Domain(id="float"))
    facts = {"id": {"type": "integer"}, "x": {"type": "float", "low": 1.0, "high": 2.0, "resolution": 1000}}
    coarse = Domain.from_dict(facts)
    with pytest.raises(InvalidInput, match="coarser than its bounds"):
        plan("SELECT SUM(x) FROM t", domain=coarse)
    with pytest.raises(InvalidInput, match="no text may hold"):
        plan("SELECT COUNT(*) FROM t", domain=Domain(id="integer", x=["a\0b"]))


def test_cost_spends_nothing_and_reads_nothing(tmp_path):
    dataset = open_dataset(tmp_path, tmp_path / "absent.parquet", epsilon=2.0)
    cost = sql.cost(dataset, "SELECT COUNT(*) AS n, AVG(age) AS m FROM t", epsilon=1.0, delta=1e-6, guess={"n": 9.0})
    assert cost.affordable
    assert 0 < cost.left < 2.0
    assert cost.to_dict()["columns"][0]["name"] == "n"
    assert "standard deviation" in str(cost)
    assert len(dataset.ledger.entries("patients")) == 1
    dear = sql.cost(dataset, "SELECT COUNT(*) AS n FROM t", epsilon=5.0, delta=1e-6)
    assert not dear.affordable
    assert "does not hold this" in str(dear)


def test_a_query_beyond_the_budget_reads_nothing(tmp_path):
    dataset = open_dataset(tmp_path, epsilon=0.5)
    with pytest.raises(BudgetExceeded):
        sql.query(dataset, "SELECT COUNT(*) FROM t", epsilon=1.0, delta=1e-6)
    assert len(dataset.ledger.entries("patients")) == 1


def test_delta_is_not_used_on_a_pure_account(tmp_path):
    bound = plan("SELECT COUNT(*) FROM t", measure="pure", delta=1e-6)
    assert bound.guarantee.delta == 0
    assert any("delta is not used" in note for note in bound.facts["notes"])
    assert bound.identity == plan("SELECT COUNT(*) FROM t", measure="pure", delta=None).identity


@pytest.mark.parametrize(
    "other",
    [
        "select count(*) as count from T",
        "SELECT COUNT() FROM t AS q",
        "SELECT\n COUNT( * )FROM t /* why */",
        'SELECT COUNT(*) FROM "t";',
    ],
)
def test_another_spelling_is_the_same_question(other):
    assert plan(other).identity == plan("SELECT COUNT(*) FROM t").identity


@pytest.mark.parametrize(
    "given", [{"epsilon": 2.0}, {"delta": 1e-7}, {"version": "2"}, {"unit": PrivacyUnit(column="id", max_rows=3)}]
)
def test_what_shapes_the_answer_shapes_the_identity(given):
    assert plan("SELECT COUNT(*) FROM t", **given).identity != plan("SELECT COUNT(*) FROM t").identity


def test_an_older_meaning_of_the_same_text_is_another_question(monkeypatch):
    """An answer on the shelf is what was asked: after averages and bounds mean something else it answers nothing new."""
    text = "SELECT COUNT(*) AS n FROM (SELECT id, AVG(age) AS m FROM t GROUP BY id) WHERE m > 4.5"
    found = plan(text).identity
    assert found["v"] >= 2
    monkeypatch.setattr(bind, "VERSION", found["v"] - 1)
    older = plan(text).identity
    assert older != found
    assert {**older, "v": found["v"]} == found
