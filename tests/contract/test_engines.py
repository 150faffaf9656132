"""What every engine has to do: the same exact integers as DuckDB, bit for bit, where no choice of groups is made."""

from __future__ import annotations

import numpy as np
import pytest
from tests.benchmark_scripts import load
from tests.spark import SPARK

from discreet import PrivacyUnit

pytestmark = SPARK
shop = load("shop")
CUSTOMERS = 200


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    return shop.dataset(folder, shop.made(folder, CUSTOMERS))


def test_there_are_sixty_questions_at_least():
    assert len(set(shop.QUESTIONS)) >= 60


@pytest.mark.parametrize("question", shop.QUESTIONS)
def test_an_engine_s_integers_are_duckdb_s(spark, opened, question):
    expected = shop.exact(opened, question, "duckdb")
    assert any(any(values) for values in expected[0].values()) or expected[1]
    assert shop.exact(opened, question, "spark") == expected


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_where_groups_are_chosen_each_person_keeps_as_many_and_which_depends_on_them_alone(spark, opened, engine):
    """The choice may differ by engine; its law may not: K groups of each, any as likely as another, the same each time."""
    unit = PrivacyUnit(column="custkey", max_groups=2, max_rows=64)
    source = "FROM orders o JOIN lines l ON o.orderkey = l.orderkey"
    text = f"SELECT l.returned, l.mode, COUNT(DISTINCT o.custkey) AS p {source} GROUP BY l.returned, l.mode"
    [every] = shop.exact(opened, text, "duckdb")[0].values()
    sums, _ = shop.exact(opened, text, engine, unit=unit)
    [kept] = sums.values()
    again, _ = shop.exact(opened, text, engine, unit=unit)
    assert again == sums
    people = shop.exact(opened, f"SELECT COUNT(DISTINCT o.custkey) AS p {source}", "duckdb")[0]["persons"][0]
    assert sum(kept) == 2 * people  # nobody here has lines in fewer than two groups
    shares = np.array(kept) / np.array(every)
    fair = sum(kept) / sum(every)
    spread = np.sqrt(fair * (1 - fair) / np.array(every))
    assert (np.abs(shares - fair) < 6 * spread).all()  # 15 groups: false alarm below 1e-7
