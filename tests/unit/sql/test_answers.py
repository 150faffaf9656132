"""What a query computes before noise, on every kind of source, and the shape of what it releases."""

from __future__ import annotations

import math

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import discreet.sql as sql
from discreet import Domain
from discreet.errors import DataFailure, InvalidInput
from discreet.sql.answers import answering
from discreet.sql.engines import canary
from discreet.sql.engines import duckdb as engine
from tests.sql_cases import DOMAIN, ROWS, exact, histogram, open_dataset, plan

EXACT = {"epsilon": 40.0, "delta": 1e-6}  # so much budget that the noise of a count is 0 nearly always


def test_rows_are_bounded_per_person():
    # Person 1 has three rows in A, of which two count; 2 has one in A and one in B; NULL is a declared key; C is not.
    assert exact("SELECT ward, COUNT(*) FROM t GROUP BY ward") == {"rows": [3, 1, 1]}
    assert exact("SELECT COUNT(*) FROM t") == {"rows": [2 + 2 + 1 + 1]}


def test_sums_are_clamped_before_and_scaled_after_summing():
    # Person 1: 10 + 20 + 60 = 90 over three rows, scaled to two: 60. Person 2: 300 is clamped to 100.
    assert exact("SELECT ward, SUM(age) FROM t GROUP BY ward")["clamped sum of age"] == [160, 0, 50]
    assert exact("SELECT COUNT(age) FROM t")["readable values of age"] == [2 + 1 + 1 + 1]


def test_a_negative_sum_scales_toward_zero():
    rows = pa.table({"id": [1, 1, 1], "weight": [-1.0, -1.0, -1.25]})
    step = DOMAIN["weight"].resolution
    total = exact("SELECT SUM(weight) FROM t", rows)["clamped sum of weight"][0]
    assert total == -math.floor(3.25 / step * 2 / 3)


def test_a_persons_rows_weigh_as_much_as_max_rows_of_them():
    # Person 1: 10, 20, 60 in A, two of three rows: 2/3 of 4096 each, cut off. Of 2: 300, clamped, in A, and NULL in B.
    weights = histogram("SELECT ward, MEDIAN(age) AS m FROM t GROUP BY ward")
    assert weights == [{10: 2730, 20: 2730, 60: 2730, 100: 4096}, {}, {50: 4096}]
    assert histogram("SELECT MODE(floor) AS m FROM t") == [{0: 3 * 2730 + 2 * 4096, 1: 4096, 2: 4096}]


def test_different_values_of_a_person_are_as_many_as_max_rows():
    assert exact("SELECT ward, COUNT(DISTINCT age) AS n FROM t GROUP BY ward") == {"different values of age": [3, 0, 1]}
    assert exact("SELECT COUNT(DISTINCT note) AS n FROM t WHERE id = 1") == {"different values of note": [2]}
    assert exact("SELECT ward, COUNT(DISTINCT id) AS n FROM t GROUP BY ward") == {"persons": [2, 1, 1]}


def test_unreadable_values_are_null():
    counts = exact("SELECT COUNT(born) AS b, COUNT(weight) AS w, COUNT(note) AS n FROM t")
    assert counts["readable values of born"] == [2 + 1 + 1]
    assert counts["readable values of weight"] == [2 + 0 + 1 + 1]
    assert counts["readable values of note"] == [2 + 1 + 1 + 1]


def test_where_is_three_valued():
    assert exact("SELECT COUNT(*) FROM t WHERE age > 15") == {"rows": [2 + 1 + 1 + 1]}
    assert exact("SELECT COUNT(*) FROM t WHERE NOT age > 15") == {"rows": [1]}
    assert exact("SELECT COUNT(*) FROM t WHERE age IS NULL OR smoker") == {"rows": [2 + 1 + 1]}
    assert exact("SELECT COUNT(*) FROM t WHERE note = 'it''s'") == {"rows": [1]}
    assert exact("SELECT COUNT(*) FROM t WHERE born < '1990-01-02' AND ward IN ('A', 'B')") == {"rows": [2]}
    assert exact("SELECT COUNT(*) FROM t WHERE 50 <= age AND age BETWEEN 50 AND 60.5") == {"rows": [3]}
    assert exact("SELECT COUNT(*) FROM t WHERE floor = age") == {"rows": [0]}


def test_years_are_compared_without_declared_bounds_of_the_dates():
    assert DOMAIN["born"].low is None
    assert exact("SELECT COUNT(*) FROM t WHERE YEAR(born) IN (1990, 1970)") == {"rows": [2]}
    assert exact("SELECT COUNT(*) FROM t WHERE YEAR(born) > 1979") == {"rows": [3]}
    assert exact("SELECT SUM(LEAST(GREATEST(YEAR(born), 1900), 1980)) AS s FROM t") == {
        "clamped sum of LEAST(GREATEST(EXTRACT(year FROM born), 1900), 1980)": [1980 * 3 + 1970]
    }


def test_averages_are_centred_exactly():
    odd = Domain(id="integer", age=(0, 99))
    found = exact("SELECT AVG(age) AS m FROM t", pa.table({"id": [1, 2], "age": [0, 99]}), domain=odd)
    assert found == {"clamped sum of age around 49.5": [0], "readable values of age": [2]}


@pytest.mark.parametrize(
    "value", ["'", "''", '"', "\\", "ü", "a\nb", "--", "/*", "$1", "%s", "💙", "x" * 5000, "'; DROP TABLE t; --"]
)
def test_any_text_survives_as_a_literal_and_as_a_key(value):
    domain = Domain(id="integer", note="text", word=[value, "other"])
    rows = pa.table({"id": [1, 2], "note": [value, "no"], "word": [value, "no"]})
    literal = value.replace("'", "''")
    assert exact(f"SELECT COUNT(*) FROM t WHERE note = '{literal}'", rows, domain=domain) == {"rows": [1]}
    assert exact("SELECT word, COUNT(*) FROM t GROUP BY word", rows, domain=domain) == {"rows": [1, 0]}


def sources(tmp_path):
    plain = ROWS.set_column(6, "born", ROWS["born"])
    pa.parquet.write_table(plain, tmp_path / "t.parquet")
    pa.csv.write_csv(plain, tmp_path / "t.csv")
    connection = duckdb.connect()
    connection.register("rows", plain)
    connection.execute('CREATE TABLE "t" AS SELECT * FROM rows')
    return {
        "parquet": tmp_path / "t.parquet",
        "csv": tmp_path / "t.csv",
        "connection": connection,
        "arrow": plain,
        "pandas": plain.to_pandas(),
        "polars": pl.from_arrow(plain),
    }


def test_every_source_gives_the_same_exact_answer(tmp_path):
    text = "SELECT ward, COUNT(*), SUM(age), AVG(weight), COUNT(born), COUNT(smoker) FROM t GROUP BY ward"
    answers = {name: exact(text, source) for name, source in sources(tmp_path).items()}
    assert all(answer == answers["arrow"] for answer in answers.values()), answers


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        '\n"',
        "\nid,ward\n1,A\n",
        "id,ward,age\n",
        "id,ward,age",
        "id,ward,age\n1,A\n2,A,5,6,7\n3,A,50\n",
        'id,ward,age\n1,"A,50\n2,A,50\n',
        "id,ward,age\r\n1,A,50\r\n",
        "\ufeffid,ward,age\n1,A,50\n",
        "id,id,ward,age,age\n1,2,A,50,60\n",
        "id,ward,age\n1,A,1e999\n2,A,nan\n\n,A,5\n99999999999999999999999,A,4\n",
    ],
)
def test_no_csv_is_an_error(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8", newline="")
    text = "SELECT ward, COUNT(*), SUM(age) FROM t GROUP BY ward"
    if "age" in content:
        assert all(len(values) == 3 for values in exact(text, path).values())
    else:  # no header: refused by the names alone, whatever follows
        assert engine.missing_columns(path, ["id", "ward", "age"]) == ["id", "ward", "age"]


ODD = [
    b"1,A,50\r\n",
    b"1,A,5\r0\n",
    b'1,"A"b,50\n',
    b'1,A"b,50\n',
    b'1,A,"50"x"y"\n',
    b"\r\r\n",
    b'"\r",\r\n',
    b"\xff,\0\n",
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_one_odd_line_of_a_csv_is_no_error_and_costs_no_other_line(tmp_path, odd, end):
    path = tmp_path / "t.csv"
    before, after = (b"".join(b"%d,B,50%s" % (i, end) for i in range(start, start + 9)) for start in (10, 20))
    path.write_bytes(b"id,ward,age" + end + before + odd + after)
    assert exact("SELECT ward, COUNT(*) FROM t GROUP BY ward", path)["rows"][1] == 18


def test_a_cell_of_many_lines_changes_no_other_row_of_a_large_csv(tmp_path):
    """DuckDB's parallel reader cuts a file every 8 MB, and may take the inside of such a cell for rows."""
    path = tmp_path / "t.csv"
    rows = [b"%07d,A,50,%s\n" % (i, b"x" * 986) for i in range(8600)]  # 1000 bytes each
    inside = b"".join(b"%d,B,50,y\n" % (10**7 + i) for i in range(14))
    cell = b'9999999,A,50,"' + inside + b'"\n'
    path.write_bytes(
        b"id,ward,age,note\n"
        + b"".join(rows[:7999])
        + b"8888888,A,50,"
        + b"x" * 900
        + b"\n"
        + cell
        + b"".join(rows[7999:])
    )
    assert path.read_bytes()[7_999_940:8_000_000].count(b",B,50,y") > 1  # rows that are none, at the edge
    assert exact("SELECT ward, COUNT(*) FROM t GROUP BY ward", path)["rows"] == [8602, 0, 0]


def test_columns_without_a_name_get_distinct_ones(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,unnamed 3,unnamed 2,,ID,ward\n1,x,x,x,2,A\n")
    assert exact("SELECT ward, COUNT(*) FROM t GROUP BY ward", path)["rows"] == [1, 0, 0]


def test_a_csv_that_is_no_text_is_no_error(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,ward,age\n1,A,50\n2,\xff\xfe,50\n3,A,50\n")
    assert exact("SELECT ward, COUNT(*) FROM t GROUP BY ward", path)["rows"][1:] == [0, 0]


HOSTILE = {
    "empty": {"id": [], "ward": [], "age": [], "weight": []},
    "all null": {"id": [None] * 3, "ward": [None] * 3, "age": [None] * 3, "weight": [None] * 3},
    "nobody": {"id": [None, None], "ward": ["A", "B"], "age": [1, 2], "weight": [1.0, 2.0]},
    "only null values": {"id": [1] * 5, "ward": ["A"] * 5, "age": [None] * 5, "weight": [None] * 5},
    "nan and infinity": {
        "id": [1, 2, 3],
        "ward": ["A"] * 3,
        "age": [math.nan, math.inf, -math.inf],
        "weight": [math.nan, 1e308, -1e308],
    },
    "wrong types": {"id": ["1", "x", "2.5"], "ward": [1, 2, 3], "age": ["old", "5", ""], "weight": [True, False, True]},
    "huge": {
        "id": [2**62, -(2**62), 0],
        "ward": ["A"] * 3,
        "age": [2**62, -(2**62), 2**53 + 1],
        "weight": [1e-320, 5e-324, -0.0],
    },
    "nested": {"id": [[1], [2], None], "ward": [{"a": 1}] * 3, "age": [[1.0]] * 3, "weight": [b"x", b"\xff", b""]},
    "duplicates": {"id": [1] * 50, "ward": ["A"] * 50, "age": [5] * 50, "weight": [1.0] * 50},
    "unseen keys": {"id": [1, 2], "ward": ["Z", "ZZ"], "age": [5, 5], "weight": [1.0, 1.0]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_every_content_gives_an_answer_of_the_same_shape(tmp_path, name):
    """Total: the columns, types and number of rows are public, whatever the table holds."""
    text = "SELECT ward, COUNT(*) AS n, SUM(age) AS s, AVG(weight) AS m, SUM(age) / COUNT(*) AS r FROM t GROUP BY ward"
    shapes = []
    for i, rows in enumerate((pa.table(HOSTILE[name]), pa.table(HOSTILE["empty"]), pd.DataFrame(HOSTILE[name]))):
        folder = tmp_path / str(i)
        folder.mkdir()
        value = sql.query(open_dataset(folder, rows), text, epsilon=1.0, delta=1e-6).value
        shapes.append((value.num_rows, value.schema.names, value.schema.types, value["ward"].to_pylist()))
    assert shapes[0] == shapes[1] == shapes[2]


def test_mixed_pandas_objects_are_no_error():
    rows = pd.DataFrame(
        {"id": [1, "2", 3.0, None], "ward": ["A", 5, None, b"x"], "age": [1, "x", [2], 5]}, dtype=object
    )
    assert len(exact("SELECT ward, COUNT(*), SUM(age) FROM t GROUP BY ward", rows)["rows"]) == 3


def test_sums_beyond_64_bits_are_exact():
    big = Domain(id="integer", x=(-(2**40), 2**40))
    rows = pa.table({"id": np.arange(5), "x": [2**40] * 5})
    assert exact("SELECT SUM(x) FROM t", rows, domain=big)["clamped sum of x"] == [5 * 2**40]
    halves = pa.table({"h0": [2**39, -(2**39)], "l0": [5, -5]})
    known = np.array([True, True])
    found = answering._dense(halves, 0, np.arange(2), known, 3)
    assert list(map(int, found)) == [2**71 + 5, -(2**71) - 5, 0]


def test_the_released_table(tmp_path):
    dataset = open_dataset(tmp_path)
    text = "SELECT ward AS w, COUNT(*) AS n, AVG(age) AS m FROM t GROUP BY ward, floor HAVING n > -1000 ORDER BY w DESC NULLS FIRST, n LIMIT 5"
    release = sql.query(dataset, text, **EXACT)
    assert release.value.column_names == ["w", "n", "n_se", "n_low", "n_high", "m", "m_se", "m_low", "m_high"]
    assert release.value["w"].to_pylist() == [None, None, None, "B", "B"]
    assert [str(kind) for kind in release.value.schema.types[:3]] == ["string", "int64", "double"]
    assert all(0 <= value <= 100 for value in release.value["m"].to_pylist())
    assert release.accuracy["n"]["level"] == 0.95
    assert release.name.startswith("query-")


def test_a_repeated_request_is_the_same_release(tmp_path):
    dataset = open_dataset(tmp_path)
    first = sql.query(dataset, "SELECT COUNT(*) AS n FROM t", epsilon=1.0, delta=1e-6)
    again = sql.query(dataset, "select   count( * )   as n\nfrom T -- spelled otherwise", epsilon=1.0, delta=1e-6)
    assert again.value.equals(first.value)
    assert len([entry for entry in dataset.ledger.entries("patients") if entry.kind == "charge"]) == 1


def test_a_failure_inside_the_engine_is_a_data_failure_without_a_cause(tmp_path):
    connection = duckdb.connect()
    connection.execute("CREATE VIEW t AS SELECT 1 AS id, error('it was 77777') AS age")
    dataset = open_dataset(tmp_path, connection)
    with pytest.raises(DataFailure) as caught:
        sql.query(dataset, "SELECT SUM(age) FROM t", epsilon=1.0, delta=1e-6)
    assert caught.value.__context__ is None
    assert "77777" not in str(caught.value)


@pytest.mark.parametrize("source", ["t.xlsx", "a*.parquet", "x[1].csv"])
def test_a_source_that_is_no_table_is_refused(tmp_path, source):
    from pathlib import Path

    with pytest.raises(InvalidInput):
        plan("SELECT COUNT(*) FROM t", source=Path(source))
    with pytest.raises(InvalidInput, match="cannot be queried"):
        plan("SELECT COUNT(*) FROM t", source={"id": [1]})


def test_a_file_is_read_alone(tmp_path):
    """The engine may read that file and no other, and cannot be talked into it."""
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(ROWS, path)
    other = tmp_path / "other.parquet"
    pa.parquet.write_table(ROWS, other)
    (tmp_path / "scratch").mkdir()
    with engine.connect(str(tmp_path / "scratch"), [str(path)]) as connection:
        assert connection.execute(f"SELECT COUNT(*) FROM read_parquet('{path}')").fetchone() == (8,)
        with pytest.raises(duckdb.Error):
            connection.execute(f"SELECT COUNT(*) FROM read_parquet('{other}')")
        with pytest.raises(duckdb.Error):
            connection.execute("SET enable_external_access = true")


def test_the_self_test_passes_and_can_fail(monkeypatch):
    canary.check.cache_clear()
    canary.check()
    canary.check.cache_clear()
    monkeypatch.setattr(canary, "CANARIES", (("arithmetic", "1 + 1", 3),))
    with pytest.raises(InvalidInput, match="arithmetic"):
        canary.check()
    canary.check.cache_clear()
