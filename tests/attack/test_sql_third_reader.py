"""What a third reader found in the engines: rows that are printed, mixed, told by a failure, or counted in another period."""

from __future__ import annotations

import datetime
import traceback
from fractions import Fraction

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from discreet import Domain, PrivacyUnit, Table, sql
from discreet.dataset import Dataset
from discreet.errors import BudgetExceeded, DataFailure, InvalidInput, UnsupportedQuery
from discreet.sql import limits
from discreet.sql.engines import duckdb as room
from discreet.sql.parsing.build import aliased, name_of, select
from discreet.sql.statements.dialect import Dialect
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.rows import Ref
from discreet.sql.statements.rowsql import Rows
from tests.sql_cases import computed, open_dataset, plan

DAY = datetime.date(2024, 1, 1)
SECRET = "70017001"  # a person's number, which stands in no query and in no declaration
COUNT = "SELECT COUNT(*) AS n FROM t"
ROWS = {"id": [int(SECRET), 7], "x": [41, 42], "day": [DAY] * 2}
DOMAIN = Domain(id="integer", x=(0, 100), day="date")
UNIT = PrivacyUnit(column="id", max_rows=3, max_groups=1)
FRAMES = {"arrow": pa.table, "pandas": pd.DataFrame, "polars": pl.DataFrame}

# --------------------------------------------------------------------------------- what is printed


def ours(tmp_path, frame: str = "arrow", **facts) -> Dataset:
    return open_dataset(tmp_path, FRAMES[frame](ROWS), unit=UNIT, domain=DOMAIN, **facts)


def told(thing: object) -> str:
    html = getattr(thing, "_repr_html_", str)
    return f"{thing!r} {thing} {html()}"


def shown(error: BaseException) -> str:
    """Return what a crash report holds: the locals of all frames, but those of this file, which lent the rows."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in found.stack if frame.filename != __file__]
    before = "".join(shown(one) for one in (error.__cause__, error.__context__) if one is not None)
    return "\n".join(f"{frame.name} {frame.locals}" for frame in frames) + str(error) + before


@pytest.mark.parametrize("frame", FRAMES)
def test_nothing_that_is_asked_of_rows_prints_them(tmp_path, frame):
    dataset = ours(tmp_path, frame)
    asked = {"epsilon": 1, "delta": 1e-6}
    planned = sql.workload(dataset, {"a": COUNT}, **asked)
    series = sql.series(
        dataset, COUNT, period="day", unit="month", first=DAY, steps=3, participations=1, name="s", folder=tmp_path / "kept",
        **asked,
    )  # fmt: skip
    bound = sql.plan(dataset, COUNT, **asked)
    loan = dataset.borrow(bound.event, purpose="a test", name="lent", request="r")
    release = sql.query(dataset, COUNT, **asked)
    things = [
        dataset, dataset.sources, Table(pa.table(ROWS), domain=DOMAIN, person="id"), loan, bound, bound.engine, bound.question,
        bound.statements, sql.cost(dataset, COUNT, **asked), planned, sql.Workload(planned), sql.Query(COUNT, **asked), series,
        series.plan, series.releases, series.book, series.plan.reading(1), release,
        sql.materialise(dataset, COUNT, folder=tmp_path / "made"),
    ]  # fmt: skip
    for thing in things:
        assert SECRET not in told(thing), type(thing).__name__
    assert SECRET in str(pa.table(ROWS))


def test_the_plan_that_finds_bounds_prints_no_row(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Dataset, "reveal", lambda self, mechanism, **_: seen.append(mechanism))
    sql.find_bounds(ours(tmp_path, measure="pure"), "x", epsilon=0.5)
    assert isinstance(seen[0], limits._Bound)
    assert SECRET not in told(seen[0])


def broken(self, statement):
    raise RuntimeError(SECRET)


@pytest.mark.parametrize("frame", FRAMES)
def test_no_frame_of_an_error_shows_a_row(tmp_path, monkeypatch, frame):
    dataset = ours(tmp_path, frame, epsilon=2.0)
    monkeypatch.setattr(room.Opened, "table", broken)

    def ask(text=COUNT, *, on=dataset, **more):
        return sql.query(on, text, **{"epsilon": 0.5, "delta": 1e-6, **more})

    def lacking():
        columns = {"id": ROWS["id"], "day": ROWS["day"]}
        (tmp_path / "b").mkdir()
        ask(
            "SELECT SUM(x) AS s FROM t",
            on=open_dataset(tmp_path / "b", FRAMES[frame](columns), unit=UNIT, domain=DOMAIN),
        )

    def unknown():
        (tmp_path / "c").mkdir()
        ask(on=open_dataset(tmp_path / "c", [SECRET], unit=UNIT, domain=DOMAIN))

    wanted = [
        (lambda: ask(epsilon=50), BudgetExceeded),
        (ask, DataFailure),
        (lambda: ask("SELECT STRING_AGG(x) FROM t"), UnsupportedQuery),
        (lambda: ask("SELECT COUNT(*) AS n FROM u"), UnsupportedQuery),
        (lambda: ask(engine="sqlite"), InvalidInput),
        (lambda: ask(attempt=0), InvalidInput),
        (ask, InvalidInput),  # it was charged, and never released
        (lambda: dataset.in_period("2024"), InvalidInput),
        (lacking, InvalidInput),
        (unknown, InvalidInput),
    ]
    for call, kind in wanted:
        with pytest.raises(kind) as caught:
            call()
        assert SECRET not in shown(caught.value), (kind, call)


def test_what_hides_the_rows(tmp_path, monkeypatch):
    """Without it the plan prints them, and so does whatever shows the locals of a frame that has the plan."""
    monkeypatch.setattr(room.DuckDB, "__repr__", lambda self: str(dict(self.sources)))
    dataset = ours(tmp_path)
    assert SECRET in repr(sql.plan(dataset, COUNT, epsilon=1, delta=1e-6).engine)
    assert SECRET not in repr(sql.plan(dataset, COUNT, epsilon=1, delta=1e-6))


# ------------------------------------------------------------------- totals that no integer can hold

MOST = 2**40 - 1
LARGE = pa.table({"id": [1] * 3000 + [2] * 3000 + [3], "x": [MOST] * 3000 + [-MOST] * 3000 + [None], "y": [3] * 6001})
TOTALS = Domain(id="integer", x=(-MOST, MOST), y=(0, 1000))
SCALES = [
    "1e-9",
    "0.1",
    "3",
    "1e9",
    "1e15",
    "1e18",
    "9e18",
    "-9e18",
    "1e20",
    "1e24",
    "1e26",
    "1e30",
    "-1e30",
    "1e37",
    "1e38",
    "1e99",
]
OVER = [
    "SELECT s, COUNT(*) AS n FROM ({}) GROUP BY s",
    "SELECT q, COUNT(*) AS n FROM (SELECT id, MAX(s) AS q FROM ({}) GROUP BY id, s) GROUP BY q",
    "SELECT CASE WHEN s > 5 THEN s END AS k, COUNT(*) AS n FROM ({}) GROUP BY k",
    "SELECT COUNT(DISTINCT s) AS n FROM ({})",
    "SELECT COUNT(*) AS n FROM ({}) WHERE s > 5 OR s IN (7, 4611686018427387903)",
    "SELECT COUNT(*) AS n FROM ({}) WHERE s > r",
    "SELECT COUNT(*) AS n FROM ({}) WHERE s + r > 0 OR s * r > 0",
    "SELECT SUM(LEAST(GREATEST(s, -1e30), 1e30)) AS n, AVG(s) AS a FROM ({})",
    "SELECT SUM(FLOOR(LEAST(GREATEST(s, -1000), 1000) * 0.3)) AS n FROM ({})",
]


def fails(text: str) -> bool | None:
    """Return whether a query fails on the rows; None if it is refused beforehand."""
    try:
        bound = plan(text, source=LARGE, unit=UNIT, domain=TOTALS)
    except UnsupportedQuery:
        return None
    try:
        computed(bound, LARGE)
    except Exception:
        return True
    return False


def test_no_total_of_a_person_decides_whether_a_query_fails():
    verdicts = [
        fails(over.format(f"SELECT id, SUM({column} * {scale}) AS s, COUNT(*) AS r FROM t GROUP BY id{having}"))
        for scale in SCALES
        for column in ("x", "y", "x * y")
        for having in ("", f" HAVING SUM({column} * {scale}) >= COUNT(*)")
        for over in OVER
    ]
    assert True not in verdicts
    assert verdicts.count(False) > 40


def test_what_a_product_of_a_total_is():
    """Whatever the total is: the product where it has 64 bits, else NULL."""
    near = [2**bits + more for bits in (31, 32, 62, 63, 64, 88, 120, 126) for more in (-1, 0, 1)]
    values = [0, 1, -1, *near, *(-value for value in near)]
    rows = ", ".join(f"('{value}'::HUGEINT)" for value in [*values, 2**127 - 1, -(2**127)])
    for size in (1, 2, 3, 10**9, 2**31, 2**32 + 1, 10**18, 2**62, 2**63 - 1):
        written = Rows(Dialect(), {Ref("s"): Facts("integer", step=Fraction(size), stepped=True)}, {Ref("s"): "s"}, "v")
        text = Dialect().text(select([aliased(written.key(Ref("s")), "k"), name_of("s")], "v"))
        for product, total in duckdb.sql(f"WITH v(s) AS (VALUES {rows}) {text}").fetchall():
            fits = abs(total) * size < 2**63 or (size, total) == (1, -(2**63))
            assert product == (total * size if fits else None), (size, total)


def test_what_the_cut_prevents(monkeypatch):
    """Without it a product overflows within TRY_CAST, which is no guard."""

    def product(self, row, most):
        return self._long(row)

    monkeypatch.setattr(Rows, "_within_or_null", product)
    with pytest.raises(duckdb.Error, match="Overflow"):
        test_what_a_product_of_a_total_is()
