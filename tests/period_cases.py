"""What the tests of budgets by period share: visits, beds and a public list of wards, on a renewed account."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from discreet import Dataset, Domain, PrivacyUnit, Table, sql
from discreet.sql.bind import QueryPlan
from discreet.testing import ScratchLedger
from tests.sql_cases import computed

UNIT = PrivacyUnit(column="id", per="month", max_groups=2, max_rows=2)
MONTHS = ("2024-05", "2024-06", "2024-07")
DOMAIN = Domain(visit="integer", id="integer", month=list(MONTHS), ward=["A", "B"], age=(0, 100))
BEDS = Domain(id="integer", month=list(MONTHS), bed=(0, 50))
NOTES = Domain(visit="integer", length=(0, 9))
WARDS = Domain(name=["A", "B"], floor=[1, 2])
VISITS = pa.table(
    {
        "visit": [1, 2, 3, 4, 5, 6, 7, 8],
        "id": [1, 1, 1, 2, 2, 3, None, 4],
        "month": ["2024-05", "2024-06", "2024-06", "2024-05", "2024-06", "2024-07", "2024-06", None],
        "ward": ["A", "A", "B", "A", "B", "B", "A", "A"],
        "age": [10, 20, 60, 30, 40, 50, 90, 70],
    }
)
PLACES = pa.table({"id": [1, 1, 2, 3], "month": ["2024-05", "2024-06", "2024-06", "2024-05"], "bed": [1, 2, 3, 4]})
LINES = pa.table({"visit": [1, 2, 2, 5, 6, 9], "length": [1, 2, 3, 4, 5, 6]})
PUBLIC = pa.table({"name": ["A", "B"], "floor": [1, 2]})
QUESTIONS = (
    "SELECT COUNT(*) AS n, SUM(age) AS s FROM t",
    "SELECT ward, COUNT(*) AS n FROM t WHERE age > 15 GROUP BY ward",
    "SELECT month, COUNT(*) AS n FROM t GROUP BY month",
    "SELECT SUM(bed) AS s, COUNT(*) AS n FROM beds",
    "SELECT SUM(t.age) AS s, SUM(beds.bed) AS b FROM t JOIN beds ON t.id = beds.id AND t.month = beds.month",
    "SELECT SUM(t.age) AS s, COUNT(beds.bed) AS b FROM t LEFT JOIN beds ON t.id = beds.id AND t.month = beds.month",
    "SELECT SUM(beds.bed) AS b, COUNT(t.age) AS s FROM beds LEFT JOIN t ON t.id = beds.id AND t.month = beds.month",
    (
        "SELECT SUM(x) AS s, COUNT(*) AS n FROM (SELECT id, month, age AS x FROM t "
        "UNION ALL SELECT id, month, bed AS x FROM beds) AS u"
    ),
    "SELECT SUM(length) AS s, COUNT(*) AS n FROM lines",
    "SELECT SUM(lines.length) AS s, SUM(t.age) AS a FROM lines JOIN t ON lines.visit = t.visit",
    "SELECT floor, COUNT(*) AS n FROM t JOIN wards ON t.ward = wards.name GROUP BY floor",
    "SELECT SUM(LEAST(GREATEST(n, 0), 5)) AS s FROM (SELECT id, month, COUNT(*) AS n FROM t GROUP BY id, month) AS u",
    "SELECT COUNT(DISTINCT ward) AS n FROM t",
    "SELECT SUM(age) AS s FROM grown",
)
SOURCES = {"t": VISITS, "beds": PLACES, "lines": LINES, "wards": PUBLIC}


def renewed(**changed: Any) -> Dataset:
    """Return visits, with what stands beside them, on an account that was renewed for May, June and July."""
    terms = {"measure": "zcdp", "epsilon": 50.0, "delta": 1e-5} | changed
    ledger = ScratchLedger()
    ledger.open("patients", unit=UNIT, owner=ledger.owner, **terms)
    for month in MONTHS:
        ledger.renew("patients", period=month, owner=ledger.owner)
    return Dataset(
        VISITS,
        name="t",
        version="1",
        unit=UNIT,
        domain=DOMAIN,
        ledger=ledger,
        population="patients",
        tables={
            "beds": Table(PLACES, domain=BEDS, person="id"),
            "lines": Table(LINES, domain=NOTES, via=("visit", "t", "visit")),
            "wards": Table(PUBLIC, domain=WARDS),
        },
        views={"grown": "SELECT id, month, age FROM t WHERE age >= 18"},
    )


def plan(dataset: Dataset, text: str) -> QueryPlan:
    """Return a plan; the account would pay ε = 1 for it."""
    return sql.plan(dataset, text, epsilon=1.0, delta=1e-6)


def integers(bound: QueryPlan, sources: Any = SOURCES) -> list[list[int]]:
    """Return the exact integers of a plan, before noise."""
    found = computed(bound, sources)
    return [[int(value) for value in found.sums[part]] for part in bound.question.primitives]


def of_months(sources: dict[str, pa.Table], months: Any) -> dict[str, pa.Table]:
    """Return the rows of some months alone, of the tables that have months."""
    import pyarrow.compute as pc

    return {
        name: table.filter(pc.is_in(table.column("month"), pa.array(months, pa.string())))
        if "month" in table.column_names
        else table
        for name, table in sources.items()
    }
