"""The owner's views, and units of a person in a period: what they may be, and what refusals say of them."""

from __future__ import annotations

import pytest

from discreet import Domain, PrivacyUnit, Table
from discreet.errors import UnsupportedQuery
from tests.sql_cases import ROWS, exact, plan


def test_a_view_may_be_several_selects():
    views = {"twice": "SELECT id, ward FROM t UNION ALL SELECT id, ward FROM t"}
    unit = PrivacyUnit(column="id", max_groups=99, max_rows=99)
    once = exact("SELECT COUNT(*) AS n FROM t", unit=unit)["rows"][0]
    assert exact("SELECT COUNT(*) AS n FROM twice", views=views, unit=unit) == {"rows": [2 * once]}


@pytest.mark.parametrize(
    ("views", "says"),
    [
        ({"v": "SELEC"}, "in the view 'v': SELEC"),
        ({"v": "SELECT id FROM t UNION SELECT id FROM t"}, "in the view 'v': UNION without ALL"),
        ({"v": "SELECT id FROM w", "w": "SELECT id, nope FROM t"}, "in the view 'w': the column 'nope'"),
        ({"v": "SELECT id FROM w", "w": "SELECT id FROM v"}, "in the view '.': the query has too many subqueries"),
    ],
)
def test_a_refusal_names_the_view_and_concerns_who_reads_it(views, says):
    with pytest.raises(UnsupportedQuery, match=says):
        plan("SELECT COUNT(*) AS n FROM v", views=views)
    assert plan("SELECT COUNT(*) AS n FROM t", views=views)


# ----------------------------------------------------------------------------- a person in a period


@pytest.mark.parametrize(
    "text",
    [
        "SELECT COUNT(*) AS n FROM t JOIN s ON t.id = s.id",
        "SELECT COUNT(*) AS n FROM (SELECT id, COUNT(*) AS c FROM t GROUP BY id)",
    ],
)
def test_remedies_name_the_period_where_the_unit_has_one(text):
    unit = PrivacyUnit(column="id", per="floor", max_rows=1)
    tables = {"s": Table(ROWS, domain=Domain(id="integer", floor=[1, 2, 3]), person="id")}
    with pytest.raises(UnsupportedQuery, match=r"id and( on)? floor"):
        plan(text, unit=unit, tables=tables)
