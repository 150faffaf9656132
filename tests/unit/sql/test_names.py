"""What is looked at before the charge: the names of columns, and nothing else."""

from __future__ import annotations

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest

from discreet.errors import InvalidInput
from discreet.sql.engines.duckdb import missing_columns

TABLE = pa.table({"id": [1, 2], "Ward": ["A", "B"], "a b": [1, 2]})


def sources(folder):
    pyarrow.parquet.write_table(TABLE, folder / "t.parquet")
    (folder / "t.csv").write_text('\ufeffid,Ward,"a b"\r\n1,"A\n', newline="")
    connection = duckdb.connect()
    connection.register("t", TABLE)
    return [
        folder / "t.parquet",
        folder / "t.csv",
        connection,
        TABLE,
        TABLE.to_pandas(),
        pl.DataFrame({"id": [1], "Ward": ["A"], "a b": [1]}),
    ]


def test_missing_columns_are_found_by_name(tmp_path):
    for source in sources(tmp_path):
        assert missing_columns(source, ["id", "ward", "A B"], "T") == []
        assert missing_columns(source, ["age", "id", "cost"], "t") == ["age", "cost"]


def test_a_file_or_a_variable_is_no_table_of_a_connection(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("id\n1\n")
    local = pd.DataFrame({"id": [1]})
    assert missing_columns(duckdb.connect(), ["id"], "t.csv") == ["id"]
    assert missing_columns(duckdb.connect(), list(local.columns), "local") == ["id"]


def test_what_cannot_be_told_is_left_to_the_query(tmp_path):
    damaged = tmp_path / "t.parquet"
    damaged.write_bytes(b"\x00 not a table")
    assert missing_columns(damaged, ["id"]) == []
    torn = tmp_path / "t.csv"
    torn.write_text('id,"ward\n1,A\n')
    assert missing_columns(torn, ["id"]) == []
    torn.write_text("\nid,ward\n")
    assert missing_columns(torn, ["id"]) == ["id"]


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="does not exist"):
        missing_columns(tmp_path / "t.csv", ["id"])
