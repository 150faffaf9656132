"""Questions that once moved an answer by more than they are charged for, or failed on somebody's row: found by readers."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pyarrow as pa
import pytest

from discreet import Domain, PrivacyUnit, sql
from discreet.errors import UnsupportedQuery
from discreet.sql.answers import answering
from discreet.sql.statements import relations
from discreet.sql.statements.relations import PerPerson
from tests.sql_cases import exact, open_dataset, plan

ONE = PrivacyUnit(column="id", max_groups=1, max_rows=1)
WARDS = ["A", "B", "C", "D", "E"]
DOMAIN = Domain(id="integer", ward=WARDS, age=(0, 100), smoker="boolean")

# ---------------------------------------------------------- names that pass for the person's column

SPOOFED = [
    'SELECT "key 1", COUNT(*) AS n FROM (SELECT id AS "key 1", COUNT(*) AS c FROM t GROUP BY id, ward) AS s GROUP BY "key 1"',
    'SELECT "KEY 1", COUNT(*) AS n FROM (SELECT id AS "KEY 1", COUNT(*) AS c FROM t GROUP BY id, ward) AS s GROUP BY "KEY 1"',
    (
        'SELECT "having 1", COUNT(*) AS n FROM (SELECT id AS "having 1", COUNT(*) AS c FROM t GROUP BY id, age HAVING MIN(ward) <> \'z\') '
        'AS s GROUP BY "having 1"'
    ),
    (
        'SELECT w, COUNT(*) AS n FROM (SELECT "key 1" AS w FROM (SELECT id AS "key 1", COUNT(*) AS c FROM t GROUP BY id, ward) AS s) '
        "AS q GROUP BY w"
    ),
]


@pytest.mark.parametrize("text", SPOOFED)
def test_no_alias_passes_for_a_column_of_ours(text):
    with pytest.raises(UnsupportedQuery, match="two columns of one name"):
        plan(text, unit=ONE, domain=DOMAIN)


def test_an_alias_that_only_looks_like_ours_is_kept():
    text = 'SELECT COUNT(*) AS n FROM (SELECT id, COUNT(*) AS "key 7" FROM t GROUP BY id HAVING COUNT(*) > 1) AS s WHERE "key 7" > 1'
    rows = pa.table({"id": [1, 1, 2], "ward": ["A", "B", "A"], "age": [1, 2, 3], "smoker": [True] * 3})
    assert exact(text, rows, unit=ONE, domain=DOMAIN) == {"rows": [1]}


def test_what_the_check_of_names_prevents(monkeypatch):
    """Without it one person who counts once moves five groups."""
    monkeypatch.setattr(relations, "_check_names", lambda names: None)
    person = [(7, ward, 5, False) for ward in WARDS]
    few, more = (
        pa.table(dict(zip(("id", "ward", "age", "smoker"), map(list, zip(*rows, strict=True)), strict=True)))
        for rows in ([(2, "A", 1, False)], [(2, "A", 1, False), *person])
    )
    before, after = (exact(SPOOFED[0], rows, unit=ONE, domain=DOMAIN)["rows"] for rows in (few, more))
    assert sum(abs(a - b) for a, b in zip(before, after, strict=True)) == 5
    assert plan(SPOOFED[0], unit=ONE, domain=DOMAIN).question.bounds.groups == 1


def test_a_relation_cannot_be_made_with_two_columns_of_one_name():
    with pytest.raises(UnsupportedQuery, match="'A'"):
        PerPerson(relations.Scan("t"), (("a", relations.Ref("id")),), (("A", relations.Inner("COUNT", None)),))


# ------------------------------------------------------------------- numbers that no integer holds


@pytest.mark.parametrize(
    "inner",
    [
        "AVG(1e30)", "SUM(1e39)", "AVG(0.99999999999999999999)", "MIN(1e30)", "SUM(2000000000000)",
        "SUM(CASE WHEN smoker THEN 1e30 ELSE 0 END)",
    ],
)  # fmt: skip
def test_a_literal_beyond_the_integers_is_refused_before_the_charge(inner):
    """Else the query fails where that person has a row."""
    with pytest.raises(UnsupportedQuery, match="whole numbers beyond"):
        plan(
            f"SELECT COUNT(*) AS n FROM (SELECT id, {inner} AS s FROM t WHERE id = 3 AND smoker GROUP BY id) WHERE s > 0",
            domain=DOMAIN,
        )


def test_a_literal_column_beyond_the_integers_is_refused_too():
    text = (
        "SELECT COUNT(*) AS n FROM (SELECT id, SUM(c) AS s FROM (SELECT id, 1e38 AS c FROM t) GROUP BY id) WHERE s > 0"
    )
    with pytest.raises(UnsupportedQuery, match="whole numbers beyond"):
        plan(text, domain=DOMAIN)


def test_such_a_literal_may_be_compared_with():
    rows = pa.table({"id": [1, 2], "ward": ["A", "B"], "age": [1, 2], "smoker": [True, None]})
    assert exact("SELECT COUNT(*) AS n FROM t WHERE age < 5000000000000", rows, domain=DOMAIN) == {"rows": [2]}


# ----------------------------------------------------------------------- units of several plain rows


def test_bounds_are_found_for_all_rows_of_a_unit(tmp_path):
    unit = PrivacyUnit(max_rows=50)
    rows = pa.table({"x": [1, 2, 3]})
    dataset = open_dataset(tmp_path, rows, unit=unit, domain=Domain(x="integer"), measure="pure")
    seen = []

    class Seen(type(dataset)):
        def reveal(self, mechanism, **_):
            seen.append(mechanism.bind(self))

    sql.find_bounds(Seen(**{name: getattr(dataset, name) for name in ("source", "name", "version", "unit", "domain", "ledger", "population")}), "x",
                    epsilon=0.5)  # fmt: skip
    (found,) = seen
    for one in found.plans:
        assert one.question.unit == unit
        assert one.question.drawn
        assert all(part.weight == 50 * 4096 for part in one.question.drawn)


# ------------------------------------------------------------------------------------- collations


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT CASE WHEN age > 5 THEN 'A' ELSE 'a' END AS k, COUNT(*) AS n FROM t GROUP BY k", {"rows": [1, 3]}),
        (
            (
                "SELECT k, COUNT(*) AS n FROM (SELECT id, 'A' AS k FROM t WHERE age > 5 UNION ALL SELECT id, 'a' AS k FROM t WHERE age < 5) "
                "GROUP BY k"
            ),
            {"rows": [1, 3]},
        ),
        ("SELECT MODE(CASE WHEN age > 5 THEN 'A' ELSE 'a' END) AS m FROM t", [3, 1]),
    ],
)
def test_texts_of_the_query_are_told_apart_on_any_connection(text, wanted):
    """Else one person's spelling stands for everybody's."""
    connection = duckdb.connect()
    connection.execute("SET default_collation = 'NOCASE'")
    connection.execute(
        "CREATE TABLE t AS SELECT i AS id, CASE WHEN i = 0 THEN 9 ELSE 1 END AS age FROM range(4) AS r(i)"
    )
    bound = plan(text, unit=ONE, domain=DOMAIN, source=connection)
    with bound.engine.opened(connection, bound.question) as session:
        found = answering.exact(bound.question, bound.statements, session, None, None)
    if bound.question.drawn:
        _, weights, _ = found.histograms[bound.question.drawn[0]]
        assert sorted((int(weight) // 4096 for weight in weights), reverse=True) == wanted
    else:
        assert {part.label: [int(value) for value in values] for part, values in found.sums.items()} == wanted


# ------------------------------------------------------------------------ rows that double and double


def test_a_persons_rows_cannot_be_doubled_without_end():
    unit = replace(ONE, max_rows=9)
    doubled = "(SELECT id, age FROM t WHERE id = 3 UNION ALL SELECT id, age FROM t WHERE id = 3)"
    joined = " ".join(f"JOIN {doubled} AS d{i} ON d0.id = d{i}.id" for i in range(1, 4))
    assert plan(f"SELECT COUNT(*) AS n FROM {doubled} AS d0 {joined}", unit=unit, domain=DOMAIN)
    with pytest.raises(UnsupportedQuery, match="a join of 5 private tables"):
        plan(
            f"SELECT COUNT(*) AS n FROM {doubled} AS d0 {joined} JOIN {doubled} AS d8 ON d0.id = d8.id",
            unit=unit,
            domain=DOMAIN,
        )
