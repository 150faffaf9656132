"""From an accuracy to an epsilon: the least that is expected to reach it, and nothing else about the question."""

from __future__ import annotations

import pytest

import discreet.sql as sql
from discreet.errors import InvalidInput
from discreet.sql.targets import rounded_up
from tests.sql_cases import declared, open_dataset

BOTH = "SELECT COUNT(*) AS n, SUM(age) AS s FROM t"


def planned(text, measure="zcdp", **given):
    return sql.plan(declared(measure=measure), text, delta=1e-6, **given)


@pytest.mark.parametrize("measure", ["pure", "zcdp", "renyi(12.5)"])
@pytest.mark.parametrize("target", [3.0, 80.0])
def test_the_least_epsilon_whose_error_is_small_enough(measure, target):
    found = planned("SELECT COUNT(*) AS n FROM t", measure, target_error=target)
    assert found.forecasts[0].half_width <= target
    less = planned("SELECT COUNT(*) AS n FROM t", measure, epsilon=found.guarantee.epsilon * 0.9)
    if measure == "pure":  # noise is whole, so that steps of the half width are steps of epsilon
        less = planned("SELECT COUNT(*) AS n FROM t", measure, epsilon=found.guarantee.epsilon * 0.7)
    assert less.forecasts[0].half_width > target


def test_each_column_may_have_a_target_of_its_own():
    found = planned(BOTH, target_error={"s": 900.0})
    assert (
        found.forecasts[1].half_width
        <= 900.0
        < planned(BOTH, epsilon=found.guarantee.epsilon * 0.9).forecasts[1].half_width
    )
    both = planned(BOTH, target_error={"s": 900.0, "n": 2.0})
    assert both.forecasts[0].half_width <= 2.0
    assert both.guarantee.epsilon > found.guarantee.epsilon
    every = planned(BOTH, target_error=5.0)
    assert max(item.half_width for item in every.forecasts) <= 5.0


def test_an_average_needs_a_guess_and_has_one():
    text = "SELECT AVG(age) AS m FROM t"
    with pytest.raises(InvalidInput, match="depends on answers that nobody guessed"):
        planned(text, target_error=1.0)
    assert planned(text, target_error=1.0, guess={"m": 60.0, "COUNT(age)": 500.0}).forecasts[0].half_width <= 1.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "neither was given"),
        ({"epsilon": 1.0, "target_error": 5.0}, "both were given"),
        ({"target_error": 1e-12}, "no epsilon up to"),
        ({"target_error": 0}, "above 0"),
        ({"target_error": True}, "above 0"),
        ({"target_error": float("nan")}, "above 0"),
        ({"target_error": {"x": 5.0}}, "'x', which is no output"),
        ({"target_error": {"n": "5"}}, "above 0"),
    ],
)
def test_wrong_targets_are_refused(given, message):
    with pytest.raises(InvalidInput, match=message):
        planned(BOTH, **given)


def test_ranks_have_no_target():
    with pytest.raises(InvalidInput, match="one of rank"):
        planned("SELECT MEDIAN(age) AS m FROM t", target_error=5.0)


def test_four_digits_rounded_up():
    assert [rounded_up(value) for value in (1.0, 0.99999, 1.23451, 1234.01, 0.000123401)] == [
        1.0,
        1.0,
        1.235,
        1235.0,
        0.0001235,
    ]


def test_the_same_target_is_the_same_request_and_a_question_is_charged_what_it_says(tmp_path):
    dataset = open_dataset(tmp_path)
    cost = sql.cost(dataset, BOTH, target_error=200.0, delta=1e-6)
    first = sql.query(dataset, BOTH, target_error=200.0, delta=1e-6)
    again = sql.query(dataset, BOTH, target_error=200.0, delta=1e-6)
    assert first.value.equals(again.value)
    assert first.guarantee.epsilon == cost.plan.guarantee.epsilon
    assert len([entry for entry in dataset.ledger.entries("patients") if entry.kind == "charge"]) == 1
