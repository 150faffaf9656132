"""What Spark's SQL means, beside DuckDB's and Python's: every cell, every operation that a plan uses.

Where the two differ, a test says how, so that a new version that changes it is noticed.
"""

from __future__ import annotations

import datetime
import math
import os
import random
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from sqlglot import exp

from discreet.domains import TYPES, Column
from discreet.errors import InvalidInput
from discreet.sql.engines import spark_canary, spark_session
from discreet.sql.engines.spark_cells import DATE_TEXT, FIRST_DAY, LAST_DAY, NUMBER_TEXT, WHOLE_TEXT, read
from discreet.sql.engines.spark_dialect import SparkDialect
from discreet.sql.engines.spark_session import beside
from discreet.sql.parsing.build import integer, name_of
from discreet.sql.statements.dialect import Dialect
from tests.spark import SPARK

pytestmark = SPARK
DIALECT = SparkDialect()


@pytest.fixture(scope="module")
def session(spark):
    """A session of ours, beside the caller's."""
    with beside(spark) as ours:
        yield ours


def answers(session, rows, *chosen):
    """Return what Spark makes of each row."""
    session.createDataFrame(rows).createOrReplaceTempView("cells")
    columns = ", ".join(f"{one if isinstance(one, str) else DIALECT.text(one)} AS c{i}" for i, one in enumerate(chosen))
    found = session.sql(f"SELECT i, {columns} FROM cells").toArrow().sort_by("i")
    return [found.column(f"c{i}").to_pylist() for i in range(len(chosen))]


def in_duckdb(rows, *chosen):
    """Return what DuckDB makes of each row."""
    columns = ", ".join(f"{one} AS c{i}" for i, one in enumerate(chosen))
    with duckdb.connect() as connection:
        connection.register("cells", rows)
        found = connection.sql(f"SELECT i, {columns} FROM cells").to_arrow_table().sort_by("i")
    return [found.column(f"c{i}").to_pylist() for i in range(len(chosen))]


def table(values, kind=None):
    return pa.table({"i": list(range(len(values))), "x": pa.array(values, kind)})


def differing(values, first, second):
    return [row for row in zip(values, first, second, strict=True) if repr(row[1]) != repr(row[2])]


# ----------------------------------------------------------------------------------- the self-test


def test_the_self_test_passes_and_can_fail(spark, monkeypatch):
    spark_canary.check(spark)
    known = spark_canary.CANARIES
    for i, (meaning, expression, expected) in ((0, known[0]), (len(known) - 1, known[-1])):
        other = (*known[:i], (meaning, expression, not expected), *known[i + 1 :])
        monkeypatch.setattr(spark_canary, "CANARIES", other)
        spark_canary.check.cache_clear()
        with pytest.raises(InvalidInput, match=f"fails the self-test: {meaning}"):
            spark_canary.check(spark)


@pytest.mark.parametrize(
    ("setting", "value", "meaning"),
    [
        ("spark.sql.session.timeZone", "America/New_York", "times are in UTC"),
        (
            "spark.sql.parser.escapedStringLiterals",
            "true",
            "two backslashes of a literal are one|it runs the self-test",
        ),
        ("spark.sql.variable.substitute", "true", "variables in literals are not looked up"),
        ("spark.sql.decimalOperations.allowPrecisionLoss", "false", "a product keeps 38 digits|it runs the self-test"),
    ],
)
def test_the_self_test_notices_what_a_setting_changes(spark, monkeypatch, setting, value, meaning):
    monkeypatch.setitem(spark_session.SETTINGS, setting, value)
    spark_canary.check.cache_clear()
    with pytest.raises(InvalidInput, match=f"fails the self-test: {meaning}"):
        spark_canary.check(spark)


def test_settings_of_the_caller_change_no_meaning(spark, session):
    """The session that the tests lend has ANSI off and another time zone, and looks variables up."""
    asked = "SELECT CAST(TIMESTAMP '2024-01-01 23:30:00Z' AS STRING) AS a, '${env:HOME}' AS b, CAST('x' AS INT) AS c"
    assert spark.sql(asked).toArrow().to_pylist() == [{"a": "2024-01-01 18:30:00", "b": os.environ["HOME"], "c": None}]
    ours = session.sql(asked.replace("CAST('x'", "TRY_CAST('x'")).toArrow().to_pylist()
    assert ours == [{"a": "2024-01-01 23:30:00", "b": "${env:HOME}", "c": None}]


# ------------------------------------------------------------------------------------ texts, read

WRITTEN = [
    "1", " 1", "1 ", "\t1\n", "\v1\f", "1\0", "\u00a01", "\u30001", "\x1c1", "5\u0085", "5\u2028", "+1", "-1", "--1", "+-1",
    "- 1", "1.", "1.0", ".5", "1.5", "2.5", "-1.5", "-0", "-0.0", "0.9", "1e5", "1E5", "1e+16", "1e-1", "15e-1", "1e", "e5",
    "1e1000", "1e-1000", "0x1", "0X1F", "0b1", "0o7", "1_000", "1__0", "1e5_0", "1,000", "1 000", "inf", "-inf", "+inf",
    "Infinity", "infinity", "INF", "nan", "NaN", "-nan", "1d", "1f", "1L", "1D", "1BD", "0x1p3", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "9223372036854775807.5", "9007199254740993",
    "9007199254740993.0", "9007199254740992.6", "99999999999999999999999999", "0" * 400 + "1", "1." + "0" * 400,
    "1" + "0" * 400, "0." + "0" * 330 + "1", "1.7976931348623157e308", "1.7976931348623159e308", "4.9e-324", "2e-324",
    "2.2250738585072011e-308", "0.30000000000000004", "1.00000000000000011102230246251565404236316680908203125",
    "true", "TRUE", "t", "T", "f", "false", "yes", "Y", "no", "n", "on", "off", "0", "2", " true ", "tru\u0435", "null",
    "\uff11", "\u0661", "", " ", ".", "e", "+", "2024-02-30", "2024-02-29", "2023-02-29", "2024-1-1", "2024-01-1", " 2024-01-01",
    "2024-01-01 ", "2024-01-01 00:00:00", "2024-01-01T10:20:30", "2024-01-01 10:20:30.5", "2024-01-01 junk", "2024-01-01Z",
    "2024-01-01 23:59:59+10:00", "2024-01-01 23:59:59-10", "2024-01-01 00:00:00 UTC", "2024-01-01T", "2024/01/01",
    "2024/01-01", "20240101", "2024", "2024-01", "2024-13-01", "2024-00-01", "2024-01-32", "0000-01-01", "0001-01-01",
    "9999-12-31", "10000-01-01", "+12345-01-01", "-0001-01-01", "99-01-01", "epoch", "today", "2024-01-01 (BC)",
    "0044-03-15 BC", "01-01-2024", "1582-10-10", "1900-02-29", "2024-01-01\x00", "2024 01 01", "2024-01-01\u2028", "45000",
]  # fmt: skip


def _made_up():
    """Return texts that are nearly numbers, dates and truth values; other ones in every run."""
    draw = random.SystemRandom()
    made = ["".join(draw.choices("0123456789+-. eE", k=draw.randrange(1, 9))) for _ in range(5000)]
    made += ["".join(draw.choices("0123456789-/ :TZ", k=draw.randrange(8, 20))) for _ in range(2000)]
    for _ in range(2000):
        year, mark = draw.choice(["2024", "0000", "1999", "0001", "9999", "24"]), draw.choice("-/")
        time = draw.choice(["", " ", "T10:00", " 10:00:00", " 10:00:00.5Z", " 25:99"])
        made.append(f"{year}{mark}{draw.randrange(14)}{mark}{draw.randrange(33)}{time}")
    made += [repr(draw.uniform(-1e20, 1e20)) for _ in range(2000)]
    made += [str(draw.randrange(-(2**70), 2**70)) for _ in range(2000)]
    made += ["".join(draw.choices("tTrRuUeEyYsSnNoO01fFaAlL", k=draw.randrange(1, 5))) for _ in range(2000)]
    return list(dict.fromkeys([*WRITTEN, *made]))


# How DuckDB reads a text by the same grammar.
_WHOLE, _NUMBER, _DATE = (text.replace("'", "''") for text in (WHOLE_TEXT, NUMBER_TEXT, DATE_TEXT))
_AS_WHOLE = f"TRY_CAST(regexp_extract(x, '{_WHOLE}', 1) AS BIGINT)"
_AS_DOUBLE = f"CASE WHEN regexp_matches(x, '{_NUMBER}') THEN TRY_CAST(x AS DOUBLE) END"
_AS_DAY = f"TRY_CAST(replace(regexp_extract(x, '{_DATE}', 1), '/', '-') AS DATE)"
IN_DUCKDB = {
    "integer": f"CASE WHEN regexp_matches(x, '{_WHOLE}') THEN {_AS_WHOLE} ELSE TRY_CAST({_AS_DOUBLE} AS BIGINT) END",
    "person": _AS_WHOLE,
    "float": f"CASE WHEN isfinite({_AS_DOUBLE}) THEN {_AS_DOUBLE} END",
    "boolean": "TRY_CAST(x AS BOOLEAN)",
    "date": f"CASE WHEN {_AS_DAY} BETWEEN DATE '{FIRST_DAY}' AND DATE '{LAST_DAY}' THEN {_AS_DAY} END",
    "text": "x",
}


def test_a_text_reads_as_the_same_value_in_both_engines(session):
    texts = _made_up()
    rows = table(texts)
    ours = [read("x", "string", "integer" if name == "person" else name, person=name == "person") for name in IN_DUCKDB]
    for name, here, there in zip(
        IN_DUCKDB, answers(session, rows, *ours), in_duckdb(rows, *IN_DUCKDB.values()), strict=True
    ):
        assert differing(texts, here, there) == [], name
        assert any(value is not None for value in here), name


def test_bare_casts_of_text_do_not_agree(session):
    """Why there is a grammar: each engine reads texts as numbers and dates that the other does not."""
    texts = ["1f", "0x1F", "1_000", "2024", "2024-01-01 junk", "1.5"]
    found = answers(session, table(texts), *(f"TRY_CAST(x AS {kind})" for kind in ("BIGINT", "DOUBLE", "DATE")))
    other = in_duckdb(table(texts), *(f"TRY_CAST(x AS {kind})" for kind in ("BIGINT", "DOUBLE", "DATE")))
    differ = {text for here, there in zip(found, other, strict=True) for text, _, _ in differing(texts, here, there)}
    assert differ == set(texts)


# ------------------------------------------------------------------------------ stored types, read

DAYS = [datetime.date(2024, 1, 2), datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None]
NUMBERS = [0.0, -0.0, 0.5, 1.5, 2.5, -2.5, 0.49999999999999994, 1e15 + 0.5, 2.0**53, 2.0**63, -(2.0**63), 1e300, math.inf,
           -math.inf, math.nan, 5e-324, 0.001, 0.1, -12.25, 1e7, 123456789.125, 100.0, 1 / 3, None]  # fmt: skip
STORED = {
    "tinyint": pa.array([1, -128, 127, 0, None], pa.int8()),
    "smallint": pa.array([1, -2, 3, None], pa.int16()),
    "int": pa.array([1, -2, 3, None], pa.int32()),
    "bigint": pa.array([1, -(2**63), 2**63 - 1, 2**53 + 1, None], pa.int64()),
    "unsigned": pa.array([1, 255, 0, None], pa.uint8()),
    "unsigned long": pa.array([1, 2**64 - 1, 2**63 - 1, None], pa.uint64()),
    "float": pa.array([0.1, 1.5, 2.5, -3.0, math.nan, None], pa.float32()),
    "double": pa.array(NUMBERS, pa.float64()),
    "short decimal": pa.array([Decimal("1.50"), Decimal("2.50"), Decimal("-1.55"), Decimal("7.00"), None], pa.decimal128(5, 2)),
    "long decimal": pa.array([Decimal("12345678901234567.8"), Decimal("0.5"), Decimal("-0.0000000001"), None], pa.decimal128(38, 10)),
    "whole decimal": pa.array([Decimal(10) ** 37, Decimal(-5), Decimal(2**63), None], pa.decimal128(38, 0)),
    "decimal below one": pa.array([Decimal("0.12345678901234567891"), Decimal("-0.5"), Decimal(0), None], pa.decimal128(20, 20)),
    "string": pa.array(["1", "x", "", " 2", "true", "2024-01-02", None]),
    "boolean": pa.array([True, False, None]),
    "date": pa.array(DAYS),
    "timestamp_ntz": pa.array([1704164645000600, -1000000, 1704153600000000, None], pa.timestamp("us")),
    "timestamp": pa.array([1704164645000600, -1000000, 1704153600000000, None], pa.timestamp("us", tz="Europe/Berlin")),
    "null": pa.nulls(3),
}  # fmt: skip


def printed(value):
    """Return a double as both print it; None where Spark's own digits are not certain to be DuckDB's."""
    if value is None or not math.isfinite(value):
        return None
    if value.is_integer():
        return str(int(value)) if -(2**63) <= value < 2**63 else None
    if not 1e-4 <= abs(value) < 1e9 or float(f"{value:.6f}") != value:
        return None
    return f"{value:.6f}".rstrip("0")


@pytest.mark.parametrize("stored", STORED)
def test_a_stored_value_reads_as_the_same_value_in_both_engines(session, tmp_path, stored):
    values = STORED[stored]
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.table({"i": list(range(len(values))), "r0": values}), path)
    rows = session.read.parquet(f"file://{path}")
    rows.createOrReplaceTempView("stored")
    kind = dict(rows.dtypes)["r0"]
    asked = [*((declared, False) for declared in TYPES), ("integer", True)]
    ours = [f"{read('r0', kind, declared, person=person)} AS c{n}" for n, (declared, person) in enumerate(asked)]
    here = session.sql(f"SELECT i, {', '.join(ours)} FROM stored").toArrow().sort_by("i")
    duck = [Dialect().read("r0", Column(declared), "t", person=person) for declared, person in asked]
    chosen = ", ".join(f"{Dialect().text(one)} AS c{n}" for n, one in enumerate(duck))
    with duckdb.connect() as connection:
        there = connection.sql(f"SELECT i, {chosen} FROM read_parquet('{path}') AS t").to_arrow_table().sort_by("i")
    for n, (declared, person) in enumerate(asked):
        found, expected = here.column(f"c{n}").to_pylist(), there.column(f"c{n}").to_pylist()
        if declared == "text" and stored in ("float", "double"):
            certain = [printed(value) if value is None or abs(value) <= 2**53 else None for value in _exactly(values)]
            found = [one if sure else "" for one, sure in zip(found, certain, strict=True)]
            expected = [one if sure else "" for one, sure in zip(expected, certain, strict=True)]
        assert differing(values.to_pylist(), found, expected) == [], (declared, person)


def _exactly(values):
    """Return floats as the doubles that they print as."""
    return [None if value is None else float(str(value)) for value in values.to_numpy(zero_copy_only=False)]


def test_what_has_no_reading_is_null(session):
    """Spark refuses to analyse such casts; DuckDB answers NULL, or a text of its own."""
    session.sql(
        "SELECT ARRAY(1) AS a, MAP('a', 1) AS m, STRUCT(1 AS x) AS s, CAST('a' AS BINARY) AS b, PARSE_JSON('1') AS v, "
        "INTERVAL '1' DAY AS d, NULL AS n"
    ).createOrReplaceTempView("odd")
    stored = session.table("odd").dtypes
    chosen = [read(name, kind, declared, person=False) for name, kind in stored for declared in TYPES]
    found = session.sql(f"SELECT {', '.join(f'{one} AS c{i}' for i, one in enumerate(chosen))} FROM odd").toArrow()
    assert found.to_pylist() == [dict.fromkeys(found.column_names)]


def test_a_double_prints_alike_whatever_java_makes_of_it(session):
    draw = random.SystemRandom()
    values = [round(draw.uniform(-1e6, 1e6), draw.randrange(8)) for _ in range(5000)]
    values += [float(draw.randrange(-(2**62), 2**62)) for _ in range(2000)] + [2e23, 1e23, 2.0e-3, 4.35, 1e-4, 9.9e-5]
    rows = table(values, pa.float64())
    [found] = answers(session, rows, read("x", "double", "text", person=False))
    assert differing(values, found, [printed(value) for value in values]) == []
    [there] = in_duckdb(rows, "CAST(x AS VARCHAR)")
    short = [(value, one, two) for value, one, two in zip(values, found, there, strict=True) if one and "." in one]
    assert short
    assert all(one == two for _, one, two in short)


# -------------------------------------------------------------------------------------- arithmetic


def cut(value, by):
    return value // by if value >= 0 else -(-value // by)


def _pairs():
    draw = random.SystemRandom()
    pairs = [(2**88, 1), (-(2**119 - 1), 2**31 + 1), (2**63 * 7, 7), (-(2**63) * 7 - 3, 7), (0, 5), (-1, 2**32)]
    while len(pairs) < 5000:
        value = draw.choice([-1, 1]) * draw.getrandbits(draw.randrange(1, 120))
        by = draw.choice([draw.randrange(1, 10), draw.getrandbits(32) | 1, 2**32, 2**48])
        if abs(value) // by < 10**32:
            pairs.append((value, by))
    return pairs


def test_wide_division_is_exact_and_spark_s_own_is_not(session):
    pairs = _pairs()
    values = pa.array([Decimal(value) for value, _ in pairs], pa.decimal128(38, 0))
    rows = pa.table({"i": list(range(len(pairs))), "x": values, "y": [by for _, by in pairs]})
    divided, rest = DIALECT.divided(name_of("x"), name_of("y")), DIALECT.remainder(name_of("x"), name_of("y"))
    quotient, left, own = answers(session, rows, divided, rest, "x DIV y")
    assert [int(value) for value in quotient] == [cut(value, by) for value, by in pairs]
    assert [int(value) for value in left] == [value - by * cut(value, by) for value, by in pairs]
    wrong = [pair for pair, found in zip(pairs, own, strict=True) if found != cut(*pair)]
    assert wrong == [pair for pair in pairs if not -(2**63) <= cut(*pair) < 2**63]  # and no error says so


def test_totals_leave_in_two_halves(session):
    draw = random.SystemRandom()
    totals = [draw.choice([-1, 1]) * draw.getrandbits(draw.randrange(1, 91)) for _ in range(2000)] + [
        0,
        2**90,
        -(2**90),
    ]
    rows = table([Decimal(value) for value in totals], pa.decimal128(38, 0))
    high, low = answers(session, rows, *DIALECT.halves("x"))
    assert [a * 2**32 + b for a, b in zip(high, low, strict=True)] == totals


def test_sums_do_not_overflow(session):
    session.sql(
        "SELECT EXPLODE(SEQUENCE(1, 1000)) AS n, CAST(9223372036854775807 AS BIGINT) AS x"
    ).createOrReplaceTempView("big")
    sums = [DIALECT.total(name_of("x")), DIALECT.person_total(name_of("x"))]
    found = session.sql(f"SELECT {', '.join(f'{DIALECT.text(one)} AS c{i}' for i, one in enumerate(sums))} FROM big")
    assert [int(value) for value in found.toArrow().to_pylist()[0].values()] == [1000 * (2**63 - 1)] * 2
    of_nothing = DIALECT.text(DIALECT.total(name_of("x")))
    assert session.sql(f"SELECT {of_nothing} AS c FROM big WHERE n > 1000").toArrow().to_pylist() == [{"c": 0}]


def test_doubles_are_rounded_and_rooted_alike(session):
    draw = random.SystemRandom()
    values = [draw.randrange(-(2**40), 2**40) + 0.5 for _ in range(5000)] + [
        draw.uniform(-1e6, 1e6) for _ in range(5000)
    ]
    values += [math.nextafter(draw.randrange(-(2**45), 2**45) + 0.5, draw.choice([-1e9, 1e9])) for _ in range(5000)]
    values += [*np.frombuffer(draw.randbytes(8 * 5000)).tolist(), 0.49999999999999994, -0.5, 2.0**52 + 0.5]
    values = [value for value in values if math.isfinite(value)]
    rows = table(values, pa.float64())
    root = DIALECT.root(DIALECT.rounded(name_of("x")))
    here = answers(
        session, rows, DIALECT.rounded(name_of("x")), "x * CAST('0.1' AS DOUBLE)", root, DIALECT.finite(name_of("x"))
    )
    there = in_duckdb(rows, "ROUND(x)", "x * 0.1::DOUBLE")
    assert here[0] == there[0]  # as numbers: Spark has no -0.0 here
    assert here[1] == there[1]
    assert [root for root, value in zip(here[2], here[0], strict=True) if value >= 0] == [
        math.sqrt(value) for value in here[0] if value >= 0
    ]
    assert all(here[3])
    odd = table([math.nan, math.inf, -math.inf, None, 1.0], pa.float64())
    assert answers(session, odd, DIALECT.finite(name_of("x"))) == [[False, False, False, None, True]]


def test_what_does_not_fit_is_null(session):
    values = [1, 2**15, -(2**15), 2**40, None]
    assert answers(session, table(values), DIALECT.attempt(name_of("x"), "SMALLINT")) == [
        [1, None, -(2**15), None, None]
    ]


def test_what_spark_would_take_for_something_else_is_not_written():
    with pytest.raises(AssertionError, match="written as CAST"):
        DIALECT.text(Dialect().attempt(name_of("x"), "BIGINT"))
    with pytest.raises(AssertionError, match="cut to 64 bits"):
        DIALECT.text(Dialect().divided(name_of("x"), integer(2)))


# ----------------------------------------------------------------------------- dates, texts, groups


def test_parts_of_dates_are_python_s(session):
    draw = random.SystemRandom()
    last = datetime.date.max.toordinal()
    days = [datetime.date.fromordinal(draw.randrange(400, last)) for _ in range(2000)] + [datetime.date.max]
    parts, units = ("year", "quarter", "month", "day", "dow"), ("year", "quarter", "month", "week", "day")
    chosen = [DIALECT.date_part(part, name_of("x")) for part in parts]
    chosen += [DIALECT.date_trunc(unit, name_of("x")) for unit in units]
    found = answers(session, table(days), *chosen)
    for day, *row in zip(days, *found, strict=True):
        quarter = (day.month + 2) // 3
        assert row[:5] == [day.year, quarter, day.month, day.day, day.isoweekday() % 7]
        month = [day.replace(month=1, day=1), day.replace(month=3 * quarter - 2, day=1), day.replace(day=1)]
        assert row[5:] == [*month, day - datetime.timedelta(day.weekday()), day]


def test_literals_are_what_they_say(session):
    texts = [
        "a'b",
        "a\\b",
        "\\",
        "\\u0041",
        "\\'",
        "a\nb",
        "\t",
        "%",
        "_",
        '"',
        "`",
        "--",
        "/*x*/",
        "${env:HOME}",
        ":p",
        "?",
        "😀",
        "{{x}}",
    ]
    query = exp.Select(
        expressions=[
            exp.Alias(this=exp.Literal.string(text), alias=exp.to_identifier(f"c{i}")) for i, text in enumerate(texts)
        ]
    )
    assert list(session.sql(DIALECT.text(query)).toArrow().to_pylist()[0].values()) == texts


def test_texts_are_sorted_and_matched_as_in_duckdb(session):
    texts = [
        "",
        "a",
        "A",
        "B",
        "ab",
        "a ",
        "é",
        "e\u0301",
        "z",
        "ß",
        "😀",
        "\uffff",
        "a_c",
        "a%c",
        "aXc",
        "a😀c",
        "a\nc",
        "abc",
        None,
    ]
    rows = table(texts)
    patterns = ["a%", "a_c", "%", "_", "é%", "%c", "A%", "a%c", ""]
    here = answers(
        session,
        rows,
        *(DIALECT.like(name_of("x"), pattern) for pattern in patterns),
        "RANK() OVER (ORDER BY x NULLS LAST)",
    )
    there = in_duckdb(rows, *(f"x LIKE '{pattern}'" for pattern in patterns), "RANK() OVER (ORDER BY x NULLS LAST)")
    assert here == there


def test_groups_of_null_and_nothing_else_are_merged(session):
    """A key is a text, a whole number, a date or a truth value; of doubles, 0.0 and -0.0 are one group here, two in DuckDB."""
    keys = table([None, None, "", " ", "a", "A"])
    session.createDataFrame(keys).createOrReplaceTempView("cells")
    found = session.sql("SELECT x, COUNT(*) AS n FROM cells GROUP BY x").toArrow().to_pylist()
    assert sorted((row["x"] or "", row["n"]) for row in found) == [("", 1), ("", 2), (" ", 1), ("A", 1), ("a", 1)]
    session.createDataFrame(table([0.0, -0.0, math.nan, math.nan])).createOrReplaceTempView("cells")
    doubles = session.sql("SELECT x, COUNT(*) AS n FROM cells GROUP BY x").toArrow()
    assert sorted(doubles.column("n").to_pylist()) == [2, 2]


def test_the_hash_is_fair_public_and_the_same_on_every_machine(session):
    people, groups = 4000, 16
    session.range(people).crossJoin(session.range(groups).withColumnRenamed("id", "g")).createOrReplaceTempView("pairs")
    chance = DIALECT.text(DIALECT.chance([name_of("id"), name_of("g")], 4534403150313333282))
    found = session.sql(f"SELECT id, g, {chance} AS h FROM pairs").toArrow()
    again = session.sql(f"SELECT id, g, {chance} AS h FROM (SELECT /*+ REPARTITION(7) */ * FROM pairs)").toArrow()
    assert found.sort_by([("id", "ascending"), ("g", "ascending")]).equals(
        again.sort_by([("id", "ascending"), ("g", "ascending")])
    )
    hashes = found.column("h").to_numpy()
    assert hashes.min() >= 0
    assert hashes.max() < 2**32
    counts = np.zeros(groups)
    order = np.lexsort((hashes, found.column("id").to_numpy()))
    chosen = found.column("g").to_numpy()[order].reshape(people, groups)[:, :4]
    np.add.at(counts, chosen.ravel(), 1)
    fair = people * 4 / groups
    assert ((counts - fair) ** 2 / fair).sum() < 60  # chi-square with 15 degrees: 3e-7; the same in every run


def test_a_hash_of_nothing_stands_for_itself(session):
    """NULL leaves Spark's hash as it was: (NULL, 'a') and ('a', NULL) tie, and the keys decide."""
    found = session.sql("SELECT XXHASH64(NULL, 'a', 5) = XXHASH64('a', NULL, 5) AS tie").toArrow()
    assert found.to_pylist() == [{"tie": True}]
