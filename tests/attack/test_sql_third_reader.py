"""What a third reader found in the engines: rows that are printed, mixed, told by a failure, or counted in another period."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import traceback
from fractions import Fraction
from pathlib import Path

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

ROOT = Path(__file__).parents[2]
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
SCALES = ["0.1", "3", "1e15", "-9e18", "1e20", "1e26", "-1e30", "1e38", "1e99"]
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
        for column in ("x", "y")
        for having in ("", f" HAVING SUM({column} * {scale}) >= COUNT(*)")
        for over in OVER
    ]
    assert True not in verdicts
    assert verdicts.count(False) > 25


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


# ------------------------------------------------------------------------------ whose day a row is of

INSTANTS = """
import datetime, pathlib, sys
import duckdb, pandas as pd, polars as pl, pyarrow as pa, pyarrow.parquet
from discreet import Domain, PrivacyUnit
from discreet.sql.bind import bind
from tests.sql_cases import computed, declared

file = pathlib.Path(sys.argv[1], "t.parquet")
times = [datetime.datetime(2024, 1, 1, 23, 30), datetime.datetime(2024, 1, 1, 1, 0), None]
rows = pa.table({"id": [1, 2, 3], "day": pa.array(times, pa.timestamp("us", tz="UTC"))})
pyarrow.parquet.write_table(rows, file)
tokyo = rows.set_column(1, "day", rows["day"].cast(pa.timestamp("us", tz="Asia/Tokyo")))
odd = pd.DataFrame({"id": [1, 2, 3], "day": pd.Series([*tokyo.to_pandas()["day"][:2], "x"], dtype=object)})
zones = []


def lent(column, *more):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE stored AS SELECT * FROM rows")
    connection.execute(f"CREATE VIEW t AS SELECT id, {column} AS day FROM stored")
    for statement in more:
        connection.execute(statement)
    zones.append(connection)
    return connection


SOURCES = {
    "arrow": rows, "of Tokyo": tokyo, "pandas": rows.to_pandas(), "objects": odd, "polars": pl.from_arrow(rows), "file": file,
    "connection": lent("day"), "nanoseconds": lent("day::TIMESTAMPTZ_NS"), "view": lent("CAST(day AS DATE)"),
    "zone": lent("day", "SET TimeZone = 'Pacific/Auckland'"),
}
for kind, source in SOURCES.items():
    def counted(text, day, unit, *periods):
        dataset = declared(unit=unit, domain=Domain(id="integer", day=day), source=source)
        dataset = dataset.in_period(*periods) if periods else dataset
        bound = bind(dataset, text, epsilon=1.0, delta=1e-6, weights=None, guess=None)
        return str([int(n) for values in computed(bound, source).sums.values() for n in values][0])

    unit = PrivacyUnit(column="id", per="day", max_groups=1)
    count = "SELECT COUNT(*) AS n FROM t"
    found = [counted(count, "date", unit, datetime.date(2024, 1, number)) for number in (1, 2)]
    text = "'2024-01-01'" if kind == "view" else "'2024-01-01 23:30:00+00'"
    found.append(counted(f"{count} WHERE day = {text}", "text", PrivacyUnit(column="id")))
    print(kind, *found, sep=",")
print(*(connection.execute("SELECT current_setting('TimeZone')").fetchone()[0] for connection in zones), sep=",")
"""
KINDS = ["arrow", "of Tokyo", "pandas", "objects", "polars", "file", "connection", "nanoseconds", "view", "zone"]


def test_the_day_of_an_instant_is_that_of_utc_on_every_machine(tmp_path):
    """As is its text; and the time zone of a connection is put back."""
    environment = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONPATH": os.pathsep.join(["src", ".", *sys.path])}
    command = [sys.executable, "-c", INSTANTS, str(tmp_path)]
    found = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    *counts, zones = found.stdout.splitlines()
    assert counts == [f"{kind},2,0,{2 if kind == 'view' else 1}" for kind in KINDS]
    assert zones == "Asia/Tokyo,Asia/Tokyo,Asia/Tokyo,Pacific/Auckland"


def test_a_connection_that_stays_in_another_zone_is_refused(tmp_path):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT 1 AS id, 2 AS x, DATE '2024-01-01' AS day")
    connection.execute("SET TimeZone = 'Asia/Tokyo'")
    connection.execute("SET lock_configuration = true")
    dataset = open_dataset(tmp_path, connection, unit=UNIT, domain=DOMAIN)
    with pytest.raises(InvalidInput, match="time zone 'Asia/Tokyo', and its settings are locked"):
        sql.query(dataset, COUNT, epsilon=0.5, delta=1e-6)
    assert not [entry for entry in dataset.ledger.entries("patients") if entry.kind == "charge"]
