"""Sources of every kind: how cells are read, what a lent connection may do, what is refused before the charge."""

from __future__ import annotations

import datetime
import math
import re
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import discreet.sql as sql
from discreet import Domain, PrivacyUnit
from discreet.errors import InvalidInput, MissingExtra, missing_extra
from discreet.sql.engines import canary, frames, lent
from discreet.sql.engines import duckdb as engine
from discreet.sql.engines.frames import _text
from tests.sql_cases import ROWS, exact, open_dataset, plan

BY_WARD = "SELECT ward, COUNT(*) AS n FROM t GROUP BY ward"
ONE = PrivacyUnit(column="id", max_groups=1)


def charges(dataset):
    return sum(entry.kind == "charge" for entry in dataset.ledger.entries("patients"))


def refused(dataset, text, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        sql.query(dataset, text, epsilon=1.0, delta=1e-6)
    assert caught.value.state == "Nothing was spent and no data was read."
    assert charges(dataset) == 0


# ------------------------------------------------------------------------------ before the charge


def test_a_missing_column_costs_nothing(tmp_path):
    pyarrow.parquet.write_table(ROWS.select(["id", "ward"]), tmp_path / "t.parquet")
    pyarrow.csv.write_csv(ROWS.select(["id", "ward"]), tmp_path / "t.csv")
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT 77777 AS id, 'A' AS ward")
    rows = ROWS.select(["id", "ward"])
    sources = [tmp_path / "t.parquet", tmp_path / "t.csv", connection, rows, rows.to_pandas(), pl.from_arrow(rows)]
    for i, source in enumerate(sources):
        folder = tmp_path / str(i)
        folder.mkdir()
        dataset = open_dataset(folder, source)
        refused(dataset, "SELECT SUM(age) AS s FROM t WHERE smoker", "the source of 't' has no column 'age', 'smoker'")
        sql.query(dataset, BY_WARD, epsilon=1.0, delta=1e-6)  # what it has can be asked


def test_a_connection_without_the_table_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("id,ward\n1,A\n")
    refused(
        open_dataset(tmp_path, duckdb.connect(), name="t.csv"),
        'SELECT COUNT(*) AS n FROM "t.csv"',
        "no table or view 't.csv'",
    )


def test_a_closed_connection_is_refused(tmp_path):
    connection = duckdb.connect()
    connection.close()
    refused(open_dataset(tmp_path, connection), BY_WARD, "the connection cannot be used")


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    pyarrow.parquet.write_table(ROWS, tmp_path / "t.parquet")
    monkeypatch.setattr(engine.os, "access", lambda path, mode: False)
    refused(open_dataset(tmp_path, tmp_path / "t.parquet"), BY_WARD, "permission denied")


def test_an_engine_that_is_missing_costs_nothing(tmp_path, monkeypatch):
    def gone():
        raise missing_extra("sql", "duckdb")

    canary.check.cache_clear()
    monkeypatch.setattr(engine, "_duckdb", gone)
    dataset = open_dataset(tmp_path)
    with pytest.raises(MissingExtra):
        dataset.reveal(sql.Query(BY_WARD, epsilon=1.0, delta=1e-6), name="x", purpose="y")
    assert charges(dataset) == 0


@pytest.mark.parametrize("macro", ["hash(a, b, c) AS 7", "isfinite(x) AS TRUE", "sum(x) AS 7", '"//"(a, b) AS 7'])
def test_a_connection_that_redefines_the_plans_functions_is_refused(tmp_path, macro):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT 1 AS id, 'A' AS ward")
    connection.execute(f"CREATE MACRO {macro}")
    connection.execute("CREATE MACRO harmless(x) AS x")
    refused(open_dataset(tmp_path, connection), BY_WARD, "the connection redefines")


WIDE = [
    "SELECT ward, COUNT(*), SUM(age), AVG(weight) AS m FROM t WHERE note = 'a' GROUP BY ward, floor",
    "SELECT COUNT(DISTINCT note) AS a, MEDIAN(age) AS b, MODE(ward) AS c, MIN(age) AS d FROM t WHERE note LIKE 'a%'",
    "SELECT note, COUNT(*) AS n, VAR_POP(age) AS v FROM t GROUP BY note",
    (
        "SELECT FLOOR(age / 10) AS f, EXTRACT(month FROM born) AS m, COUNT(DISTINCT DATE_TRUNC('week', born)) AS n FROM t "
        "GROUP BY f, m"
    ),
    (
        "SELECT SUM(LEAST(GREATEST(s, 0), 9)) AS a, SUM(m) AS b, AVG(x) AS c, COUNT(d) AS d, COUNT_IF(n > 1) AS e FROM "
        "(SELECT id, SUM(age) AS s, AVG(age) AS m, MIN(weight) AS x, MAX(age) AS y, COUNT(DISTINCT ward) AS d, COUNT(*) AS n "
        "FROM t GROUP BY id HAVING COUNT(age) > 0)"
    ),
    "SELECT COUNT(*) AS n FROM t AS a LEFT JOIN (SELECT id FROM t UNION ALL SELECT id FROM t) AS b ON a.id = b.id",
]


@pytest.mark.parametrize("measure", ["pure", "zcdp"])
def test_every_function_of_the_plan_is_watched(measure):
    text = " ".join(statement for asked in WIDE for statement in plan(asked, measure=measure).statements.all)
    called = {name.lower() for name in re.findall(r"([A-Za-z_]+)\(", text)}
    assert {"hash", "date_trunc", "floor", "min", "round"} <= called
    grammar = "cast try_cast coalesce in as and or where over by not on case when then else from select"
    assert called - set(grammar.split()) <= lent.FUNCTIONS


# ------------------------------------------------------------------------------ a lent connection


def test_nothing_is_printed_on_a_lent_connection(tmp_path, capfd):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT range AS id, 'A' AS ward FROM range(12345)")
    connection.execute("PRAGMA enable_profiling = 'query_tree'")
    connection.execute("SET enable_progress_bar = true")
    dataset = open_dataset(tmp_path, connection)
    capfd.readouterr()
    with lent.quiet(connection):
        capfd.readouterr()
        connection.execute("SELECT COUNT(*) FROM t").fetchall()
        assert capfd.readouterr() == ("", "")
    settings = "SELECT current_setting('enable_profiling'), current_setting('enable_progress_bar')"
    assert connection.execute(settings).fetchone() == ("query_tree", True)
    sql.query(dataset, BY_WARD, epsilon=1.0, delta=1e-6)
    shown = "".join(capfd.readouterr())
    assert "12345" not in shown.replace(",", "")
    assert "12.3" not in shown


def test_a_collation_merges_no_people_and_no_groups():
    connection = duckdb.connect()
    connection.execute("SET default_collation = 'NOCASE'")
    connection.execute("CREATE TABLE t (id VARCHAR COLLATE NOCASE, ward VARCHAR COLLATE NOCASE)")
    connection.execute("INSERT INTO t VALUES ('bob', 'A'), ('Bob', 'B'), ('x', 'a'), ('y', 'A')")
    domain = Domain(id="text", ward=["A", "B"])
    assert exact(BY_WARD, connection, domain=domain, unit=ONE)["rows"] == [2, 1]
    assert exact("SELECT COUNT(*) FROM t", connection, domain=domain, unit=ONE)["rows"] == [4]
    assert exact("SELECT COUNT(*) FROM t WHERE ward = 'A'", connection, domain=domain, unit=ONE)["rows"] == [2]


def test_a_column_of_the_engines_own_names_is_the_tables():
    domain = Domain(id="integer", c0=(0, 100), n=(0, 100), s0=(0, 9))
    rows = pa.table({"id": [41, 42], "c0": [1, 2], "n": [3, 4], "s0": [5, 6]})
    found = exact("SELECT SUM(c0) AS a, SUM(n) AS b, SUM(s0) AS c FROM t", rows, domain=domain, unit=ONE)
    assert found == {"clamped sum of c0": [3], "clamped sum of n": [7], "clamped sum of s0": [11]}


def test_a_query_that_reads_no_column_counts_rows(tmp_path):
    pyarrow.parquet.write_table(ROWS, tmp_path / "t.parquet")
    pyarrow.csv.write_csv(ROWS, tmp_path / "t.csv")
    for source in (tmp_path / "t.parquet", tmp_path / "t.csv", ROWS, ROWS.to_pandas(), pl.from_arrow(ROWS)):
        assert exact("SELECT COUNT(*) FROM t", source, unit=PrivacyUnit()) == {"rows": [8]}


# ----------------------------------------------------------------------------------- what is read


class Wild:
    """An object of which every method fails."""

    def __getattribute__(self, name):
        raise RuntimeError("private")

    def __str__(self):
        raise SystemExit("private")

    __repr__ = __hash__ = __bool__ = __str__


def test_cells_of_pandas_are_read_by_their_type_and_never_fail():
    cells = {
        "a": "a", "": "", "caf\udce9": None, b"x": "x", b"\xff": None, True: "true", np.bool_(False): "false", 5: "5",
        np.int64(7): "7", 2.0: "2", 2.5: "2.5", math.nan: None, math.inf: "inf", None: None, Decimal("1.50"): "1.50",
        Decimal("nan"): None, datetime.date(2020, 1, 2): "2020-01-02", (1, 2): None,
    }  # fmt: skip
    for cell, text in cells.items():
        assert _text(cell, number=False) == text, cell
    assert _text(True, number=True) == "1"
    assert _text(10**5000, number=False) is None  # Python prints no more than 4300 digits
    assert _text(Wild(), number=False) is None


def test_wild_cells_of_pandas_cost_no_other_cell(tmp_path):
    rows = pd.DataFrame({"id": [1, 2, 3, 4], "note": pd.Series(["ok", "caf\udce9", Wild(), "ok"], dtype=object)})
    rows["kind"] = pd.Categorical([1, "x", 1, "x"])
    domain = Domain(id="integer", note="text", kind=["1", "x"])
    assert exact("SELECT COUNT(note) FROM t", rows, domain=domain)["readable values of note"] == [2]
    assert exact("SELECT kind, COUNT(*) FROM t GROUP BY kind", rows, domain=domain)["rows"] == [2, 2]


def test_whole_floats_read_as_text_are_whole_numbers():
    domain = Domain(id="text", code=["1", "10000000000000000", "2.5", "0", "x"])
    codes = [1.0, 1e16, 2.5, -0.0, math.nan, 1e300]
    for rows in (pa.table({"id": codes, "code": codes}), pd.DataFrame({"id": codes, "code": codes})):
        found = exact("SELECT code, COUNT(*) FROM t GROUP BY code", rows, domain=domain, unit=ONE)
        assert found["rows"] == [1, 1, 1, 1, 0]
    texts = pa.table({"id": ["a", "b"], "code": ["1.0", "1"]})  # a text stays as it is
    assert exact("SELECT code, COUNT(*) FROM t GROUP BY code", texts, domain=domain, unit=ONE)["rows"][0] == 1


@pytest.mark.parametrize(
    ("column", "total"),
    [
        (pa.array([20.0, None, 50.0], pa.float16()), 70),
        (pa.array([Decimal("20.0"), None, Decimal(50)], pa.decimal256(50, 2)), 70),
        (pa.array([[20.0], None, [50.0]], pa.list_(pa.float16())), 0),
    ],
)
def test_types_that_duckdb_does_not_take_cost_no_failure_after_the_charge(column, total):
    rows = pa.table({"id": [1, 2, 3], "age": column})
    found = exact("SELECT SUM(age) AS s, COUNT(*) AS n FROM t", source=rows)
    assert found == {"clamped sum of age": [total], "rows": [3]}


def test_a_number_that_is_not_whole_is_nobodys_id():
    domain = Domain(id="integer", ward=["A", "B"])
    for ids in ([1.2, 0.9, 1.0, 2.0], ["1.2", "0.9", "1", "2"]):
        rows = pa.table({"id": ids, "ward": ["A", "A", "B", "B"]})
        assert exact(BY_WARD, rows, domain=domain, unit=ONE)["rows"] == [0, 2]
    large = pa.table({"id": [2**53, 2**53 + 1], "ward": ["A", "B"]})
    assert exact(BY_WARD, large, domain=domain, unit=ONE)["rows"] == [1, 1]


ODD = [bytearray(b"A"), memoryview(b"A"), pa.scalar("A"), b"A", np.str_("A"), "A", 5, 5.0, True, None, float("nan"),
       Decimal("1.5"), datetime.date(2024, 1, 2), pd.Timestamp("2024-01-02"), np.datetime64("2024-01-02"), pd.NA, pd.NaT,
       [1], {"a": 1}, object(), "caf\udce9"]  # fmt: skip


@pytest.mark.parametrize("cell", ODD, ids=lambda cell: type(cell).__name__)
def test_a_pandas_cell_is_read_alike_whatever_stands_beside_it(cell):
    def read(beside):
        column = pd.DataFrame({"note": pd.Series([cell, beside], dtype=object)})
        return frames.arrow(column, "pandas", ["note"], Domain(note="text"))["note"][0].as_py()

    assert len({read(beside) for beside in ("B", 5, 2.5, None, bytearray(b"B"), True, Wild(), "\udce9")}) == 1


@pytest.mark.parametrize("kind", ["integer", "float", "text", "boolean", "date"])
def test_no_stored_type_makes_reading_fail(kind):
    """Every type that DuckDB has, with its least and greatest values; those it cannot read totally are refused."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT 1 AS id, * FROM test_all_types(use_large_bignum = true)")
    for name, stored in lent.columns(connection, "t").items():
        if stored in lent.NOT_TOTAL or name == "id":
            continue
        column = f'"{name}"'
        found = exact(
            f"SELECT COUNT({column}) FROM t", connection, domain=Domain(id="integer", **{name: kind}), unit=ONE
        )
        assert 0 <= next(iter(found.values()))[0] <= 3


def test_a_type_that_cannot_be_read_totally_is_refused(tmp_path):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT 1 AS id, 'A' AS ward, 12::BIGNUM AS age")
    refused(open_dataset(tmp_path, connection), "SELECT SUM(age) AS s FROM t", "is stored as BIGNUM")


@pytest.mark.parametrize(
    "harm",
    [
        lambda c: c.create_function("hash", lambda a, b, d: 1, ["VARCHAR", "VARCHAR", "BIGINT"], "UBIGINT"),
        lambda c: c.execute("CREATE MACRO hash(a, b, c) AS 1"),
        lambda c: (
            c.execute("CREATE MACRO hash(a, b, c) AS 1"),
            c.execute("CREATE MACRO duckdb_functions() AS TABLE SELECT 'x' AS function_name, true AS internal"),
        ),
    ],
    ids=["python", "macro", "hidden macro"],
)
def test_a_function_of_the_plan_that_means_something_else_is_refused(tmp_path, harm):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT 1 AS id, 'A' AS ward")
    harm(connection)
    refused(open_dataset(tmp_path, connection), BY_WARD, "the connection redefines hash")


def test_a_loud_connection_with_locked_settings_is_refused(tmp_path):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT 1 AS id, 'A' AS ward")
    connection.execute("SET enable_progress_bar = true")
    connection.execute("SET lock_configuration = true")
    refused(open_dataset(tmp_path, connection), BY_WARD, "would print what is private")


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("9007199254740992.6", 0), ("9007199254740993", 1), ("12", 1), ("12.0", 1), ("12.5", 0), ("-3", 1), ("x", 0),
        ("9007199254740993.0", 0),
    ],
)  # fmt: skip
def test_an_id_that_is_not_whole_is_nobodys(text, people):
    rows = pa.table({"id": [text]})
    assert exact("SELECT COUNT(*) FROM t", rows, domain=Domain(id="integer"), unit=ONE)["rows"] == [people]
