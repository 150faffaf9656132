"""Nothing that an analyst wrote is looked past: what no reader reads is refused."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from discreet.errors import UnsupportedQuery
from discreet.sql.parsing.grammar import READ, unread
from tests.sql_cases import plan

SELECT = "SELECT ward, COUNT(*) AS n FROM t WHERE note LIKE 'a%' AND born = DATE '2020-02-02' GROUP BY ward"
LOOKED_PAST = {
    "SELECT SUM(age) AS s FROM (SELECT id, age FROM t) AS x(age, id)": "COLUMNS",
    "WITH w AS (SELECT id, COUNT(* EXCLUDE (age)) AS n FROM t GROUP BY id) SELECT COUNT(*) AS c FROM w": "EXCEPT",
    "SELECT COUNT(*) AS n FROM ((SELECT id FROM t) LIMIT 5) AS x": "LIMIT",
    "SELECT COUNT(*) AS n FROM (SELECT id FROM t UNION ALL BY NAME SELECT id FROM t) AS x": "BY NAME",
    "SELECT COUNT(*) AS n FROM t WHERE born = CAST('2020-01-01' AS DATE DEFAULT age ON CONVERSION ERROR)": "DEFAULT",
    "SELECT COUNT(*) AS n FROM ROWS FROM (age)": "ROWS FROM",
}


@pytest.mark.parametrize(("sql", "named"), LOOKED_PAST.items())
def test_what_no_reader_reads_is_refused(sql, named):
    with pytest.raises(UnsupportedQuery, match=named):
        plan(sql)


@pytest.mark.parametrize("inner", LOOKED_PAST)
def test_also_in_a_view(inner):
    with pytest.raises(UnsupportedQuery):
        plan("SELECT COUNT(*) AS n FROM w", views={"w": inner})


def test_what_is_read_is_an_argument_of_its_class():
    for name, known in READ.items():
        assert known <= set(getattr(exp, name).arg_types), name


def test_any_other_argument_of_any_node_is_refused():
    whole = sqlglot.parse_one(SELECT, dialect="duckdb")
    assert unread(whole) is None
    for place, node in enumerate(whole.walk()):
        for argument in set(type(node).arg_types) - READ[type(node).__name__]:
            copy = whole.copy()
            list(copy.walk())[place].set(argument, exp.Literal.number(1))
            assert unread(copy) is not None, (type(node).__name__, argument)


def test_a_class_that_nobody_knows_is_refused():
    assert unread(sqlglot.parse_one("SELECT UPPER(note) FROM t", dialect="duckdb")) is not None


def test_not_like_is_not_like():
    here, there = (
        str(plan(f"SELECT COUNT(*) AS n FROM t WHERE {one}").select)
        for one in ("note NOT LIKE 'a'", "NOT note LIKE 'a'")
    )
    assert here == there
    assert "NOT (note LIKE 'a')" in here
