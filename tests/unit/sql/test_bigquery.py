"""BigQuery's clause: what it says is taken, or has to be what the owner declared."""

from __future__ import annotations

import pytest

from discreet import sql
from discreet.errors import InvalidInput, UnsupportedQuery
from tests.sql_cases import open_dataset

HEAD = "SELECT WITH DIFFERENTIAL_PRIVACY"
ASKED = " ward, COUNT(*) AS n FROM t GROUP BY ward"


@pytest.fixture
def dataset(tmp_path):
    return open_dataset(tmp_path)


@pytest.mark.parametrize(
    "clause",
    [
        "OPTIONS (epsilon = 0.5, delta = 1e-7)",
        "\n  OPTIONS(Epsilon=.5,DELTA=1e-7,privacy_unit_column=id,max_groups_contributed=2)\n",
    ],
)
def test_the_clause_is_the_same_question(dataset, clause):
    there = sql.plan(dataset, f"{HEAD} {clause}{ASKED}")
    here = sql.plan(dataset, f"SELECT{ASKED}", epsilon=0.5, delta=1e-7)
    assert there.identity == here.identity


def test_without_options_the_call_says_what_it_may_cost(dataset):
    there = sql.plan(dataset, f"{HEAD}{ASKED}", epsilon=0.5, delta=1e-7)
    assert there.identity == sql.plan(dataset, f"SELECT{ASKED}", epsilon=0.5, delta=1e-7).identity
    with pytest.raises(InvalidInput, match="epsilon or target_error"):
        sql.plan(dataset, f"{HEAD}{ASKED}")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"epsilon": 0.5}, r"OPTIONS say epsilon = 40.0, and the argument says 0.5"),
        ({"epsilon": 80, "delta": 1e-7}, r"OPTIONS say epsilon = 40.0, and the argument says 80"),
        ({"delta": 1e-6}, r"OPTIONS say delta = 1e-07, and the argument says 1e-06"),
    ],
)
def test_neither_the_call_nor_the_clause_overrides_the_other(dataset, given, says):
    text = f"{HEAD} OPTIONS (epsilon = 40, delta = 1e-7){ASKED}"
    for asked in (sql.plan, sql.cost, sql.query):
        with pytest.raises(InvalidInput, match=says):
            asked(dataset, text, **given)
    assert sql.plan(dataset, text, epsilon=40, delta=1e-7).identity == sql.plan(dataset, text).identity


@pytest.mark.parametrize(
    ("clause", "named"),
    [
        ("OPTIONS (epsilon = 1, epsilon = 2)", "epsilon = 2"),
        ("OPTIONS (epsilon = 1, kappa = 2)", "kappa"),
        ("OPTIONS (epsilon = one)", "Write a number"),
        ("OPTIONS (epsilon = 1, delta = 1e-7, privacy_unit_column = ward)", "The dataset declares id"),
        ("OPTIONS (epsilon = 1, delta = 1e-7, max_groups_contributed = 9)", "The dataset declares 2"),
    ],
)
def test_what_the_owner_declared_is_not_the_analysts_to_change(dataset, clause, named):
    with pytest.raises(UnsupportedQuery, match=named):
        sql.plan(dataset, f"{HEAD} {clause}{ASKED}")
