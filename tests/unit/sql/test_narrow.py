"""A WHERE that names the values of a key leaves those groups alone; anything else leaves all."""

from __future__ import annotations

import pytest

from discreet import Domain, sql
from discreet.errors import InvalidInput
from tests.sql_cases import DOMAIN, exact, open_dataset, plan

BY = "SELECT ward, floor, COUNT(*) AS n FROM t WHERE {} GROUP BY ward, floor"
ALL = (("A", "B", None), (1, 2, 3))


@pytest.mark.parametrize(
    ("where", "wards", "floors"),
    [
        ("ward = 'A'", ("A",), ALL[1]),
        ("'A' = ward", ("A",), ALL[1]),
        ("ward IN ('B', 'A', 'Z')", ("A", "B"), ALL[1]),
        ("floor IN (3, 1) AND ward = 'B'", ("B",), (1, 3)),
        ("age > 5 AND (floor = 2 AND smoker)", ALL[0], (2,)),
        ("floor IN (1, 2) AND floor IN (2, 3)", ALL[0], (2,)),
        ("ward = 'A' OR floor = 1", *ALL),
        ("NOT (ward = 'A')", *ALL),
        ("ward <> 'A'", *ALL),
        ("ward IS NULL", *ALL),
        ("floor >= 2", *ALL),
        ("floor = 2.0", ALL[0], (2,)),
        ("floor IN (1, 2.5)", *ALL),
        ("age = 5", *ALL),
    ],
)
def test_the_groups_that_are_left(where, wards, floors):
    question = plan(BY.format(where)).question
    assert tuple(group.values for group in question.groups) == (wards, floors)
    assert [group.name for group in question.groups] == ["ward", "floor"]
    assert question.bounds.cells == len(wards) * len(floors)


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("note IN ('b', 'a', 'z')", ("b", "a", "z")),
        ("note = 'a' AND age > 5", ("a",)),
        ("note IN ('a', 'b') AND note IN ('b', 'c')", ("b",)),
        ("note LIKE 'a'", None),
        ("note = 'a' OR age > 5", None),
        ("note <> 'a'", None),
    ],
)
def test_groups_that_nobody_declared_are_those_that_the_query_names(where, named):
    question = plan(f"SELECT note, COUNT(*) AS n FROM t WHERE {where} GROUP BY note").question
    assert [group.values for group in question.groups] == [named]
    assert question.unknown == (named is None)


def test_a_decimal_names_no_group_of_whole_numbers():
    domain = Domain(**{**DOMAIN, "floor": "integer"})
    asked = "SELECT floor, COUNT(*) AS n FROM t WHERE floor IN ({}) GROUP BY floor"
    assert plan(asked.format("1, 2.5"), domain=domain).question.unknown
    assert not plan(asked.format("1, 2"), domain=domain).question.unknown


def test_named_groups_count_what_declared_ones_would():
    named = "SELECT note, COUNT(*) AS n, SUM(age) AS s FROM t WHERE note IN ('a', 'it''s', 'z') GROUP BY note"
    declared = Domain(**{**DOMAIN, "note": ["a", "it's", "z"]})
    assert exact(named) == exact(named, domain=declared)
    assert plan(named, delta=None, measure="pure").finder is None


def test_columns_that_are_no_keys_keep_theirs():
    question = plan("SELECT floor, COUNT(*) AS n FROM t WHERE ward = 'A' GROUP BY floor").question
    assert [(group.name, group.values) for group in question.groups] == [("floor", (1, 2, 3))]
    assert dict(question.catalog["t"].domain) == dict(DOMAIN)


@pytest.mark.parametrize(
    ("key", "where", "left"),
    [
        ("EXTRACT(month FROM born)", "EXTRACT(month FROM born) IN (2, 5, 99)", (2, 5)),
        ("FLOOR(age / 50)", "FLOOR(age / 50) = 1", (1,)),
        ("COALESCE(ward, 'none')", "COALESCE(ward, 'none') = 'none' AND age > 5", ("none",)),
        ("FLOOR(age / 50)", "FLOOR(age / 20) = 1", (0, 1, 2)),
    ],
)
def test_a_condition_on_an_expression_leaves_its_groups(key, where, left):
    question = plan(f"SELECT {key} AS k, COUNT(*) AS n FROM t WHERE {where} GROUP BY k").question
    assert [group.values for group in question.groups] == [left]


def test_fewer_groups_mean_less_noise():
    """A person may touch two groups of the whole answer, but only one of an answer that has one."""
    whole, part = plan(BY.format("age > 5")), plan(BY.format("ward = 'A' AND floor = 1"))
    assert (whole.question.bounds.groups, part.question.bounds.groups) == (2, 1)
    assert part.forecasts[0].standard_error < whole.forecasts[0].standard_error


@pytest.mark.parametrize("where", ["ward = 'Z'", "ward = 'A' AND ward = 'B'", "floor IN (7, 8)"])
def test_no_group_left_is_refused(where):
    with pytest.raises(InvalidInput, match=r"the WHERE leaves none of the declared groups of '(ward|floor)'") as error:
        plan(BY.format(where))
    assert error.value.remedy.startswith("Declared: ")


def test_the_answer_holds_those_groups(tmp_path):
    release = sql.query(open_dataset(tmp_path), BY.format("floor IN (3, 1) AND ward = 'A'"), epsilon=1.0, delta=1e-6)
    assert release.value.select(["ward", "floor"]).to_pylist() == [{"ward": "A", "floor": 1}, {"ward": "A", "floor": 3}]
    assert release.facts["groups_released"] == 2
    assert release.facts["keys"] == {"ward": 1, "floor": 2}
