"""A relation with one row of each person is asked within tighter bounds, and the engine keeps to them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from discreet import Domain, PrivacyUnit, Table
from tests.sql_cases import exact, plan

UNIT = PrivacyUnit(column="id", max_groups=4, max_rows=5)
VISITS = Table(pa.table({"id": [1, 1], "minutes": [5, 6]}), domain=Domain(id="integer", minutes=(0, 60)), person="id")
WARDS = Table(pa.table({"ward": ["A"], "level": [1]}), domain=Domain(ward=["A", "B"], level=[1, 2]))
TABLES = {"visits": VISITS, "wards": WARDS}
EACH = "(SELECT id, AVG(age) AS m FROM t GROUP BY id)"
BY_WARD = "(SELECT id, ward, AVG(age) AS m FROM t GROUP BY id, ward)"


@pytest.mark.parametrize(
    ("sql", "groups", "rows"),
    [
        (f"SELECT AVG(m) AS a FROM {EACH}", 1, 1),
        (f"SELECT AVG(m) AS a FROM {EACH} WHERE m > 5", 1, 1),
        (f"SELECT FLOOR(m / 10) AS d, COUNT(*) AS n FROM {EACH} GROUP BY d", 1, 1),
        ("SELECT COUNT(*) AS n FROM (SELECT DISTINCT id FROM t)", 1, 1),
        ("SELECT COUNT(*) AS n FROM (SELECT id, SUM(age) AS s FROM t GROUP BY id HAVING COUNT(*) > 1)", 1, 1),
        ("SELECT AVG(m) AS a FROM (SELECT AVG(age) AS m FROM t GROUP BY id)", 1, 1),
        ("SELECT note, COUNT(*) AS n FROM (SELECT id, note FROM t GROUP BY id, note) GROUP BY note", 4, 1),
        (f"SELECT ward, AVG(m) AS a FROM {BY_WARD} GROUP BY ward", 3, 1),
        (f"SELECT w, AVG(m) AS a FROM (SELECT ward AS w, m, id FROM {BY_WARD}) GROUP BY w", 3, 1),
        (f"SELECT COUNT(*) AS n FROM {EACH} AS a JOIN {EACH} AS b ON a.id = b.id", 1, 1),
        # several rows of a person, or nothing that says otherwise
        (f"SELECT AVG(m) AS a FROM {BY_WARD}", 1, 5),
        (f"SELECT COUNT(*) AS n FROM (SELECT m, id FROM {BY_WARD})", 1, 5),
        (f"SELECT FLOOR(m / 50) AS d, COUNT(*) AS n FROM {BY_WARD} GROUP BY d", 3, 5),
        ("SELECT ward, COUNT(*) AS n FROM t GROUP BY ward", 3, 5),
        (f"SELECT COUNT(*) AS n FROM {EACH} AS a JOIN visits AS v ON a.id = v.id", 1, 5),
        (f"SELECT COUNT(*) AS n FROM {BY_WARD} AS a JOIN wards AS w ON a.ward = w.ward", 1, 5),
        (f"SELECT COUNT(*) AS n FROM (SELECT m FROM {EACH} UNION ALL SELECT m FROM {EACH})", 1, 5),
    ],
)
def test_bounds_are_those_of_the_relation(sql, groups, rows):
    bounds = plan(sql, unit=UNIT, tables=TABLES).question.bounds
    assert (bounds.groups, bounds.rows) == (groups, rows)


def test_a_unit_with_tighter_bounds_keeps_them():
    one = PrivacyUnit(column="id", max_groups=1, max_rows=1)
    bounds = plan(f"SELECT ward, COUNT(*) AS n FROM {BY_WARD} GROUP BY ward", unit=one).question.bounds
    assert (bounds.groups, bounds.rows, bounds.sampled) == (1, 1, True)


def test_nothing_is_lost_within_them():
    rows = pa.table({"id": [1, 1, 1, 2, 3], "ward": ["A", "A", "B", "A", "B"], "age": [10, 20, 30, 40, 50]})
    found = exact(f"SELECT ward, SUM(m) AS s, COUNT(*) AS n FROM {BY_WARD} GROUP BY ward", rows, unit=UNIT)
    parts = 5040  # of a step of ages an average has so many
    assert found == {"clamped sum of m": [(15 + 40) * parts, (30 + 50) * parts, 0], "rows": [2, 2, 0]}
    assert exact(f"SELECT SUM(m) AS s FROM {EACH}", rows, unit=UNIT) == {"clamped sum of m": [(20 + 40 + 50) * parts]}


def test_a_person_has_one_text_date_or_truth():
    rows = pa.table(
        {
            "id": [1, 1, 2, 2, 3],
            "ward": ["B", "A", None, "B", None],
            "born": ["2001-05-05", "1999-01-01", None, "2001-07-01", "x"],
            "smoker": [False, True, None, False, None],
        }
    )
    one = "SELECT {} AS v FROM t GROUP BY id"
    by = "SELECT v, COUNT(*) AS n FROM ({}) WHERE v IS NOT NULL GROUP BY v"
    assert exact(by.format(one.format("MIN(ward)")), rows) == {"rows": [1, 1, 0]}
    assert exact(by.format(one.format("MAX(smoker)")), rows) == {"rows": [1, 1]}
    years = "SELECT YEAR(v) AS y, COUNT(*) AS n FROM ({}) WHERE YEAR(v) IN (1999, 2001) GROUP BY y"
    assert exact(years.format(one.format("MIN(born)")), rows) == {"rows": [1, 1]}
    assert exact(years.format(one.format("MAX(born)")), rows) == {"rows": [0, 2]}
    assert exact(by.format(one.format("ANY_VALUE(ward)")), rows) == exact(by.format(one.format("MIN(ward)")), rows)
