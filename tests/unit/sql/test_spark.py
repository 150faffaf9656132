"""Spark as an engine: the same exact integers as DuckDB's, from every kind of source, and nothing left behind or printed."""

from __future__ import annotations

import logging
import signal
import sys
from fractions import Fraction
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from discreet import Domain, PrivacyUnit, Table, sql
from discreet.errors import DataFailure, InvalidInput, MissingExtra, missing_extra, sealed
from discreet.sql.answers import answering
from discreet.sql.engines import spark as engine
from discreet.sql.engines import spark_canary, spark_quiet, spark_session
from discreet.sql.engines.spark_quiet import quiet
from discreet.sql.parsing.build import aliased, name_of, select
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.rows import Ref
from discreet.sql.statements.rowsql import Rows
from discreet.sql.statements.stages import Writer
from tests.spark import SPARK, USERS
from tests.sql_cases import DOMAIN, ROWS, computed, open_dataset, plan

pytestmark = SPARK
UNIT = PrivacyUnit(column="id", max_rows=2)  # in as many groups as there are: no hash decides anything
BY_WARD = "SELECT ward, COUNT(*) AS n FROM t GROUP BY ward"


def shown(found):
    """Return exact answers as plain data."""
    sums = {part.label: [int(value) for value in values] for part, values in found.sums.items()}
    drawn = {
        part.label: [[str(value) for value in column] for column in found.histograms[part]] for part in found.histograms
    }
    return sums, drawn


def on_spark(bound, sources):
    """Return what Spark makes of a plan that was bound for DuckDB."""
    reader = engine.Spark(sources)
    statements = answering.write(Writer(bound.question, reader.dialect, reader.names(bound.question)), bound.finder)
    with reader.opened(sources, bound.question) as session:
        return answering.exact(bound.question, statements, session, bound.finder, None)


def counted(source, text=BY_WARD, **given):
    """Return the exact integers of a query over a source of Spark's."""
    bound = plan(text, **{"unit": UNIT, **given})
    return shown(on_spark(bound, {"t": source}))[0]


# ------------------------------------------------------------------------- the same as the twin

QUERIES = [
    "SELECT ward, COUNT(*) AS n, SUM(age) AS s, AVG(weight) AS m FROM t WHERE note = 'a' AND born < DATE '2000-01-01' GROUP BY ward, floor",
    "SELECT COUNT(*) AS n, COUNT(born) AS b, COUNT(DISTINCT id) AS p FROM t",
    "SELECT ward, MEDIAN(age) AS m, COUNT(DISTINCT floor) AS d FROM t GROUP BY ward",
    "SELECT floor, VARIANCE(weight) AS v, SUM(FLOOR(weight * 3)) AS f FROM t GROUP BY floor",
    "SELECT smoker, SUM(CASE WHEN smoker THEN age ELSE 2 * age - 7 END) AS s FROM t WHERE note LIKE 'i%''s' OR note IN ('a', 'b') OR born IS NULL GROUP BY smoker",
    "SELECT EXTRACT(dow FROM born) AS d, COUNT(*) AS n FROM t GROUP BY EXTRACT(dow FROM born)",
    "SELECT AVG(LEAST(GREATEST(x, 0), 150)) AS m FROM (SELECT id, ward, SUM(age) AS x FROM t GROUP BY id, ward) AS p",
    "SELECT SUM(m) AS s, SUM(LEAST(GREATEST(x, -0.5), 60.25)) AS x FROM (SELECT id, AVG(age) AS m, AVG(weight - 1) AS w, SUM(age) AS x FROM t GROUP BY id) WHERE m > 7.5 OR w < 0.1",
    "SELECT w.wing, SUM(t.age) AS s FROM t JOIN wards AS w ON t.ward = w.ward GROUP BY w.wing",
]  # fmt: skip
WARDS = pa.table({"ward": ["A", "B", None], "wing": ["north", "south", "south"]})
TABLES = {"wards": Table(WARDS, domain=Domain(ward=["A", "B", None], wing=["north", "south"]))}


@pytest.mark.parametrize("text", QUERIES)
def test_the_integers_are_duckdb_s(spark, text):
    domain = Domain(**{**DOMAIN, "smoker": [True, False]}) if "GROUP BY smoker" in text else DOMAIN
    bound = plan(text, unit=UNIT, domain=domain, tables=TABLES)
    expected = shown(computed(bound, {"t": ROWS, "wards": WARDS}))
    assert shown(on_spark(bound, {"t": spark.createDataFrame(ROWS), "wards": WARDS})) == expected
    assert any(expected)


def test_large_numbers_and_many_rows_are_summed_exactly(spark):
    domain = Domain(id="integer", x=(-(10**9), 10**9), g=["a", "b"])
    n = 20_000
    rows = pa.table({
        "id": [i // 7 for i in range(n)],
        "x": [(-1) ** i * (10**9 - i * i) for i in range(n)],
        "g": ["ab"[i % 3 == 0] for i in range(n)],
    })  # fmt: skip
    text = "SELECT g, SUM(x) AS s, COUNT(*) AS n, AVG(x) AS m FROM t GROUP BY g"
    for most in (1, 3, 2**10):
        bound = plan(text, unit=PrivacyUnit(column="id", max_rows=most), domain=domain)
        source = spark.createDataFrame(rows).repartition(5)
        assert shown(on_spark(bound, {"t": source})) == shown(computed(bound, rows))


def test_averages_of_people_are_rounded_alike(spark):
    """At the ends of what a column may hold, and between them."""
    values = [
        [2**40],
        [-(2**40)],
        [2**40, 2**40, -5],
        [1, 2, 2],
        [-1, -2, -2, -2],
        [2**40 - 3] * 999 + [-(2**40)],
        [None],
    ]
    rows = pa.table({"id": [i for i, own in enumerate(values) for _ in own], "x": [x for own in values for x in own]})
    for bound in (2**40, 10**6, 3):
        domain = Domain(id=list(range(len(values))), x=(-bound, bound))
        text = "SELECT id, SUM(m) AS s, COUNT(m) AS n FROM (SELECT id, AVG(x) AS m FROM t GROUP BY id) GROUP BY id"
        asked = plan(text, unit=PrivacyUnit(column="id"), domain=domain)
        assert shown(on_spark(asked, {"t": spark.createDataFrame(rows)})) == shown(computed(asked, rows))


def test_of_a_person_s_groups_the_first_k_by_a_public_hash_count(spark):
    domain = Domain(id="integer", g=list(range(8)))
    rows = pa.table({"id": [i for i in range(500) for _ in range(8)], "g": [g for _ in range(500) for g in range(8)]})
    bound = plan(
        "SELECT g, COUNT(*) AS n FROM t GROUP BY g", unit=PrivacyUnit(column="id", max_groups=3), domain=domain
    )
    first = shown(on_spark(bound, {"t": spark.createDataFrame(rows)}))
    assert sum(first[0]["rows"]) == 3 * 500
    assert shown(on_spark(bound, {"t": spark.createDataFrame(rows).repartition(6)})) == first


def test_a_question_is_answered_by_the_engine_that_its_source_calls_for(spark, tmp_path):
    for i, (source, name) in enumerate([(spark.createDataFrame(ROWS), None), (ROWS, "spark")]):
        (tmp_path / str(i)).mkdir()
        dataset = open_dataset(tmp_path / str(i), source, unit=UNIT)
        release = sql.query(dataset, BY_WARD, epsilon=40.0, delta=1e-6, engine=name)
        assert release.value.column("n").to_pylist() == pytest.approx([3, 1, 1], abs=2)
        assert (
            engine.Spark({"t": source}).name
            == sql.plan(dataset, BY_WARD, epsilon=1.0, delta=1e-6, engine=name).identity["engine"]
        )
    with pytest.raises(InvalidInput, match="cannot be queried"):
        sql.plan(open_dataset(tmp_path, spark.createDataFrame(ROWS)), BY_WARD, epsilon=1.0, delta=1e-6, engine="duckdb")


# -------------------------------------------------------------------------------------- sources


def test_every_kind_of_source_is_read_alike(spark, connect, tmp_path):
    pyarrow.parquet.write_table(ROWS, tmp_path / "t.parquet")
    pyarrow.csv.write_csv(ROWS, tmp_path / "t.csv")
    folder = tmp_path / "many"
    (folder / "ward=Z").mkdir(parents=True)
    pyarrow.parquet.write_table(ROWS.slice(0, 3), folder / "1.parquet")
    pyarrow.parquet.write_table(ROWS.slice(3), folder / "ward=Z" / "2.parquet")
    (folder / "_SUCCESS").touch()
    sources = [
        spark.createDataFrame(ROWS),
        connect.createDataFrame(ROWS),
        tmp_path / "t.parquet",
        tmp_path / "t.csv",
        folder,
    ]
    sources += [ROWS, ROWS.to_pandas(), pl.from_arrow(ROWS)]
    text = "SELECT ward, COUNT(*) AS n, SUM(age) AS s, AVG(weight) AS m, COUNT(born) AS b FROM t GROUP BY ward"
    expected = shown(computed(plan(text, unit=UNIT), ROWS))[0]
    for source in sources:
        reader = engine.Spark({"t": source})
        reader.ready(plan(text, unit=UNIT).question)
        assert counted(source, text) == expected, engine.kind(source)
        assert reader.assumptions(plan(text, unit=UNIT).question)


def test_a_table_of_the_cluster_is_lent_as_a_dataframe(spark):
    spark.createDataFrame(ROWS).write.mode("overwrite").saveAsTable("stays")
    try:
        assert counted(spark.table("stays")) == {"rows": [3, 1, 1]}
    finally:
        spark.sql("DROP TABLE stays")


def test_csv_is_read_as_by_the_twin(spark, tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text(
        '\ufeffid,"wa""rd",age,age\r\n1,"A",5,99\r\n2,"A\nB",,1\r\n3,,"7",1\r\n4,"","x",1\r\n5,A\r\n6,"a ""b""",1e1,1\r\n'
        '7," A",0x1,1\r\n"8","A",,1\r\n',
        newline="",
    )
    domain = Domain(**{"id": "integer", 'wa"rd': ["A", "A\nB", 'a "b"', " A", "", None], "age": (0, 100)})
    bound = plan(
        'SELECT "wa""rd", COUNT(*) AS n, SUM(age) AS s, COUNT(age) AS c FROM t GROUP BY "wa""rd"',
        unit=UNIT,
        domain=domain,
    )
    found = shown(on_spark(bound, {"t": path}))[0]
    assert found["rows"] == [2, 1, 1, 1, 0, 2]
    assert found["clamped sum of age"] == [5, 0, 10, 0, 0, 7]
    expected = shown(computed(bound, path))[0]
    assert found["rows"] == expected["rows"]


def test_columns_are_found_by_name_whatever_they_are_called(spark):
    names = ["we.ird`x", "ID", "id", "read id", "source"]
    frame = spark.createDataFrame([(1, 1, 7, 5, 2), (1, 2, 7, 5, 2)], "a int, b int, c int, d int, e int").toDF(*names)
    domain = Domain(**{"id": "integer", "we.ird`x": (0, 9), "read id": (0, 9), "source": (0, 9)})
    text = 'SELECT SUM("we.ird`x") AS a, SUM("read id") AS b, SUM(source) AS c FROM t'
    found = counted(frame, text, domain=domain)
    assert list(found.values()) == [[2], [10], [4]]  # two people: of two of a name the first


def test_a_collation_merges_no_people_and_no_groups(spark):
    frame = spark.sql(
        "SELECT CAST(id AS STRING COLLATE UTF8_LCASE) AS id, CAST(ward AS STRING COLLATE UNICODE_CI) AS ward FROM VALUES "
        "('bob', 'A'), ('Bob', 'B'), ('x', 'a'), ('y', 'A') AS v(id, ward)"
    )
    domain, one = Domain(id="text", ward=["A", "B"]), PrivacyUnit(column="id", max_groups=1)
    assert counted(frame, domain=domain, unit=PrivacyUnit(column="id")) == {"rows": [2, 1]}
    assert counted(frame, "SELECT COUNT(*) AS n FROM t", domain=domain, unit=one) == {"rows": [4]}
    assert counted(frame, "SELECT COUNT(*) AS n FROM t WHERE ward = 'A'", domain=domain, unit=one) == {"rows": [2]}


def test_a_number_that_is_not_whole_is_nobody_s_id(spark):
    domain, one = Domain(id="integer", ward=["A", "B"]), PrivacyUnit(column="id", max_groups=1)
    for kind in ("DOUBLE", "STRING", "DECIMAL(9, 3)", "FLOAT"):
        frame = spark.sql(
            f"SELECT CAST(id AS {kind}) AS id, ward FROM VALUES (1.2, 'A'), (0.9, 'A'), (1.0, 'B'), (2.0, 'B') AS v(id, ward)"
        )
        assert counted(frame, domain=domain, unit=one) == {"rows": [0, 2]}, kind


def test_a_query_that_reads_no_column_counts_rows(spark):
    assert counted(spark.createDataFrame(ROWS), "SELECT COUNT(*) AS n FROM t", unit=PrivacyUnit()) == {"rows": [8]}


# ----------------------------------------------------------------------------- before the charge


def question(text=BY_WARD):
    return plan(text, unit=UNIT).question


def test_a_missing_column_is_refused(spark, connect, tmp_path):
    rows = ROWS.select(["id", "ward"])
    pyarrow.csv.write_csv(rows, tmp_path / "t.csv")
    (tmp_path / "many").mkdir()
    pyarrow.parquet.write_table(rows, tmp_path / "many" / "t.parquet")
    for source in (spark.createDataFrame(rows), connect.createDataFrame(rows), tmp_path / "t.csv", tmp_path / "many"):
        with pytest.raises(InvalidInput, match="the source of 't' has no column 'age', 'smoker'") as caught:
            engine.Spark({"t": source}).ready(question("SELECT SUM(age) AS s FROM t WHERE smoker"))
        assert caught.value.state == "Nothing was spent and no data was read."
        engine.Spark({"t": source}).ready(question())


def test_looking_reads_no_row(spark):
    """The frame fails on every row; that it does is not found out before the charge."""
    frame = spark.sql("SELECT CAST(RAISE_ERROR('private') AS INT) AS id, 'A' AS ward")
    engine.Spark({"t": frame}).ready(question())


def test_what_is_no_table_is_refused(spark, connect, tmp_path):
    stream = spark.readStream.format("rate").load().toDF("ward", "id")
    with pytest.raises(InvalidInput, match="is a stream"):
        engine.Spark({"t": stream}).ready(question())
    with pytest.raises(InvalidInput, match="several Spark sessions"):
        engine.Spark({"t": spark.range(1), "u": connect.range(1)})
    with pytest.raises(InvalidInput, match="a source of type 'dict' cannot be queried with Spark"):
        engine.Spark({"t": {}})
    (tmp_path / "none").mkdir()
    with pytest.raises(InvalidInput, match=r"holds no \.parquet file"):
        engine.Spark({"t": tmp_path / "none"}).ready(question())
    with pytest.raises(InvalidInput, match="does not exist"):
        engine.Spark({"t": tmp_path / "gone.parquet"}).ready(question())
    for name in ("_hidden.csv", "a*.csv", "a:b.parquet"):
        with pytest.raises(InvalidInput, match="the path of the source"):
            engine.kind(tmp_path / name)
    with pytest.raises(InvalidInput, match="is neither"):
        engine.kind(tmp_path / "t.txt")


def test_what_is_missing_or_too_old_is_refused(spark, monkeypatch):
    frame = spark.createDataFrame(ROWS)
    monkeypatch.setattr(spark_session, "version", lambda: "3.5.9")
    with pytest.raises(InvalidInput, match=r"PySpark has the version 3\.5\.9"):
        engine.Spark({"t": frame}).ready(question())
    monkeypatch.undo()

    def gone():
        raise missing_extra("spark", "pyspark")

    monkeypatch.setattr(spark_session, "_pyspark", gone)
    with pytest.raises(MissingExtra, match="pyspark"):
        engine.Spark({"t": frame}).ready(question())


def test_without_java_no_session_is_started(monkeypatch, tmp_path):
    import pyspark.sql
    from pyspark.errors import PySparkRuntimeError

    def none():
        raise PySparkRuntimeError(errorClass="NO_ACTIVE_OR_DEFAULT_SESSION", messageParameters={})

    monkeypatch.setattr(pyspark.sql.SparkSession, "active", none)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(InvalidInput, match="Spark needs Java, and there is none in JAVA_HOME"):
        spark_session.active()
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="none on the PATH"):
        spark_session.active()


def test_ctrl_c_is_still_heard_after_spark_took_its_place(monkeypatch):
    import pyspark.sql
    from pyspark.errors import PySparkRuntimeError

    heard = []

    def none():
        raise PySparkRuntimeError(errorClass="NO_ACTIVE_OR_DEFAULT_SESSION", messageParameters={})

    def start(builder):
        signal.signal(signal.SIGINT, lambda *_: heard.append("Spark"))

    monkeypatch.setattr(pyspark.sql.SparkSession, "active", none)
    monkeypatch.setattr(pyspark.sql.SparkSession.Builder, "getOrCreate", start)
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("before"))
    try:
        spark_session.active()
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == ["Spark", "before"]


def test_a_session_that_has_ended_is_refused(connect):
    other = connect.newSession()
    frame = other.createDataFrame(ROWS)
    other.client.close()
    with pytest.raises(InvalidInput, match="it has ended"):
        engine.Spark({"t": frame}).ready(question())


def test_connect_s_progress_bar_is_refused(connect, monkeypatch):
    monkeypatch.setenv("SPARK_CONNECT_PROGRESS_BAR_ENABLED", "1")
    with pytest.raises(InvalidInput, match="progress bar is on"):
        engine.Spark({"t": connect.createDataFrame(ROWS)}).ready(question())


def test_a_driver_that_cannot_be_silenced_is_refused(spark, monkeypatch):
    monkeypatch.setattr(spark_quiet._LOG4J, "off", lambda jvm: 1 / 0)
    with pytest.raises(InvalidInput, match="cannot be switched off"):
        engine.Spark({"t": spark.createDataFrame(ROWS)}).ready(question())


# ------------------------------------------------------------- what is left behind, and what is said


def test_nothing_is_left_in_the_caller_s_session(spark):
    frame = spark.createDataFrame(ROWS).persist()
    frame.count()

    def state():
        shown_ = [row.viewName for row in spark.sql("SHOW VIEWS IN global_temp").collect()]
        kept = spark.sparkContext._jsc.getPersistentRDDs().size()
        return shown_, spark.catalog.listTables(), kept, frame.storageLevel, spark.conf.get("spark.sql.ansi.enabled")

    before = state()
    assert before[2] == 1
    text = "SELECT ward, MEDIAN(age) AS m, COUNT(DISTINCT floor) AS d FROM t GROUP BY ward"  # keeps its rows
    counted(frame, text)
    with engine.Spark({"t": frame}).opened(frame, question()) as session:
        session.keep("kept", "SELECT 1 AS x")
        session.put("put", pa.table({"x": [1]}))
        assert session.table("SELECT kept.x AS x FROM kept JOIN put ON kept.x = put.x").to_pylist() == [{"x": 1}]
        assert state() != before
    assert state() == before
    assert spark.getActiveSession() is not None
    assert spark.range(3).count() == 3
    frame.unpersist()


def test_the_caller_s_views_and_functions_are_not_ours(spark):
    spark.udf.register("xxhash64", lambda *values: 1)
    spark.sql("SELECT 99 AS id, 'A' AS ward").createOrReplaceTempView("source")
    assert counted(spark.createDataFrame(ROWS)) == {"rows": [3, 1, 1]}
    assert spark.table("source").count() == 1
    spark.catalog.dropTempView("source")


class Heard(logging.Handler):
    """Keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record.getMessage())


@pytest.fixture
def heard():
    """What Spark's loggers in Python say."""
    from pyspark.logger import PySparkLogger

    handler = Heard()
    loggers = [PySparkLogger.getLogger(name) for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler.records
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture(params=["classic", "connect"])
def failing(request, spark, connect):
    """A session in which casts may fail."""
    session = spark if request.param == "classic" else connect
    session.conf.set("spark.sql.ansi.enabled", "true")
    yield session
    session.conf.set("spark.sql.ansi.enabled", "false")


def test_no_value_is_said_when_a_frame_fails(failing, spark, spark_log, heard, capfd, caplog):
    frame = failing.sql("SELECT CAST(CONCAT('priv', 'ate', id) AS INT) AS id, 'A' AS ward FROM RANGE(5)")
    bound, reader = plan(BY_WARD, unit=UNIT), engine.Spark({"t": frame})
    statements = answering.write(Writer(bound.question, reader.dialect, reader.names(bound.question)), None)

    def work():
        with reader.opened(frame, bound.question) as opened:
            return opened.table(statements.main)

    before = spark_log.stat().st_size
    with caplog.at_level(logging.DEBUG, "py4j"), pytest.raises(DataFailure) as caught:
        sealed(work)
    assert caught.value.__context__ is None
    said = "".join(capfd.readouterr()) + caplog.text + "".join(heard)
    if failing is spark:  # the server of Connect has a log of its own, which is its owner's
        said += spark_log.read_text()[before:]
    assert "private" not in said
    assert "[Stage" not in said
    with pytest.raises(Exception, match="private"):  # which it does say, otherwise
        frame.toArrow()
    assert "private" in spark_log.read_text()[before:]
    assert any("private" in line for line in heard)


def test_the_log_speaks_again_after_the_last_query(spark, spark_log):
    logger = spark._jvm.org.apache.logging.log4j.LogManager.getLogger("org.apache.spark.Test")
    with quiet(spark):
        with quiet(spark):
            logger.error("first")
        logger.error("second")
    logger.error("third")
    said = spark_log.read_text()
    assert "third" in said
    assert "first" not in said
    assert "second" not in said


def test_a_literal_of_the_analyst_is_not_looked_up(spark, monkeypatch):
    monkeypatch.setenv("DISCREET_SECRET", "A")
    text = "SELECT COUNT(*) AS n FROM t WHERE ward = '${env:DISCREET_SECRET}'"
    assert counted(spark.createDataFrame(ROWS), text) == {"rows": [0]}


def test_one_worker_runs_all_that_use_the_cluster():
    """Else each would start a cluster of its own."""
    files = [
        path for path in Path(__file__).parents[2].rglob("test_*.py") if "\npytestmark = SPARK" in path.read_text()
    ]
    assert len(files) >= 3
    assert [path for path in files if not any(part in str(path) for part in USERS)] == []


def test_pyspark_is_loaded_by_sources_of_its_own_alone():
    assert "pyspark" in sys.modules  # here; tests/architecture sees that `import discreet` loads none of it
    assert engine.kind(pd.DataFrame({"x": [1]})) == "pandas"
    spark_canary.check.cache_clear()


# --------------------------------------------------------------------------- numbers beyond 64 bits


def test_a_total_is_cut_before_it_is_multiplied(spark):
    near = [2**bits + more for bits in (31, 62, 63, 64, 88, 120) for more in (-1, 0, 1)]
    values = [0, 1, -1, *near, *(-value for value in near), 10**38 - 1]
    rows = ", ".join(f"(CAST('{value}' AS DECIMAL(38, 0)))" for value in values)
    dialect = engine.Spark.dialect
    with spark_session.beside(spark) as session:
        for size in (2, 10**9, 2**31, 10**18, 2**63 - 1):
            written = Rows(
                dialect, {Ref("s"): Facts("integer", step=Fraction(size), stepped=True)}, {Ref("s"): "s"}, "v"
            )
            text = dialect.text(select([aliased(written.key(Ref("s")), "k"), name_of("s")], "v"))
            for product, total in session.sql(f"WITH v(s) AS (VALUES {rows}) {text}").collect():
                assert product == (int(total) * size if abs(int(total)) * size < 2**63 else None), (size, total)
