"""DuckDB: opens a private source, runs one bounded query, hands back exact integers per group.

Before the charge only names of columns are looked at (`missing_columns`; why that is allowed:
docs/decisions/0006-look-at-names-first.md). A file is read in a fresh in-memory database that may
read that file and nothing else, loads no extension, and shows no progress bar.
"""

from __future__ import annotations

import csv
import functools
import itertools
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discreet.errors import InvalidInput, missing_extra
from discreet.sql.engines import frames, lent
from discreet.sql.stages import Question, engine_query

if TYPE_CHECKING:
    import pyarrow

NAME = "duckdb"
FILES = (".parquet", ".csv")
SOURCE = "source"
LONGEST_HEADER = 2**20
SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "preserve_insertion_order": "false",
}


def kind(source: Any) -> str:
    """Return what a source is, by its type alone: file, connection, arrow, pandas or polars.

    Raises:
        InvalidInput: it is none of them, or a file that cannot be one table.
    """
    if isinstance(source, Path):
        if source.suffix.lower() not in FILES:
            raise InvalidInput(
                f"the source {source.name!r} is neither .parquet nor .csv.",
                remedy="Convert it, or pass an Arrow, pandas or polars frame or a DuckDB connection.",
            )
        if source.is_dir() or any(mark in str(source) for mark in "*?[]{}"):
            raise InvalidInput(
                f"the source {source.name!r} is a folder, or its path holds one of * ? [ ] {{ }}.",
                remedy="Name one file.",
            )
        return "file"
    base = type(source)
    room = base.__module__.split(".")[0]
    known = {
        ("duckdb", "DuckDBPyConnection"): "connection",
        ("_duckdb", "DuckDBPyConnection"): "connection",
        ("pyarrow", "Table"): "arrow",
        ("pandas", "DataFrame"): "pandas",
        ("polars", "DataFrame"): "polars",
    }
    found = known.get((room, base.__name__))
    if found is None:
        raise InvalidInput(
            f"a source of type {base.__name__!r} cannot be queried.",
            remedy="Pass the path of a Parquet or CSV file, a DuckDB connection, or an Arrow, pandas or polars frame.",
        )
    return found


def version() -> str:
    """Return DuckDB's version; loads it.

    Raises:
        MissingExtra: DuckDB is not installed.
    """
    return str(_duckdb().__version__)


def text(question: Question, table: str = SOURCE) -> str:
    """Return the engine's query as text.

    Args:
        question: What to compute.
        table: The source's name: the dataset's where the source is a connection, else ours.
    """
    from sqlglot import ErrorLevel, exp

    source = exp.Table(this=exp.to_identifier(table, quoted=True))
    query = engine_query(question, source)
    return str(query.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE, identify=False, comments=False))


def run(question: Question, statement: str, source: Any) -> pyarrow.Table:
    """Return one row per group found, with columns k0, k1, … and h0, l0, h1, l1, … .

    Args:
        question: What to compute.
        statement: The same as engine SQL, from `text`.
        source: The private source.
    """
    with _opened(source, question) as connection, lent.quiet(connection):
        return connection.sql(statement).to_arrow_table()


def ready(source: Any, names: Iterable[str], table: str) -> None:
    """Refuse, before the charge, a source on which a query is bound to fail, by names alone.

    Args:
        source: The private source.
        names: The columns that the query reads.
        table: The dataset's name.

    Raises:
        InvalidInput: it cannot be opened, lacks a column, or (a connection) redefines a function.
    """
    if kind(source) == "connection":
        lent.check(source, table)
    missing = missing_columns(source, names, table)
    if missing:
        raise InvalidInput(
            f"the source of {table!r} has no column {', '.join(map(repr, missing))}.",
            remedy=f"Correct the source, or what is declared for {table!r}.",
        )


def missing_columns(source: Any, names: Iterable[str], table: str = SOURCE) -> list[str]:
    """Return those of `names` that the source has no column for, in their order; case does not matter.

    Looks at the names of columns alone: no row, no type, no statistic. Spends nothing.

    Args:
        source: A source of any kind.
        names: Declared columns.
        table: The table's name, where the source is a connection.

    Raises:
        InvalidInput: the source is no table, or cannot be opened.

    Returns nothing, too, where the names cannot be told (a damaged file): then the query decides.
    """
    found = _names(source, table)
    if found is None:
        return []
    known = {name.lower() for name in found}
    return [name for name in names if name.lower() not in known]


def _names(source: Any, table: str) -> list[str] | None:
    """Return the names of a source's columns; None if they cannot be told."""
    what = kind(source)
    if what == "connection":
        return list(lent.columns(source, table))
    if what == "file":
        if not os.access(source, os.R_OK):
            why = "cannot be read: permission denied" if source.exists() else "does not exist"
            raise InvalidInput(f"{source} {why}.", remedy="Correct the table's source.")
        return _file_columns(source)
    labels = source.column_names if what == "arrow" else source.columns
    return [str(label) for label in labels]


def _file_columns(source: Path) -> list[str] | None:
    try:
        if source.suffix.lower() == ".parquet":
            from pyarrow import parquet

            return [str(name) for name in parquet.read_schema(source).names]
        return _first_line(source)
    except Exception:  # noqa: BLE001 - the reader's message may show what the file holds
        return None


def _first_line(source: Path) -> list[str] | None:
    """Return the names in the first line of a CSV file; None if a quote is still open at its end."""
    with source.open("rb") as file:
        line = file.readline(LONGEST_HEADER).decode("utf-8-sig", errors="replace")
    line = re.split("[\r\n]", line, maxsplit=1)[0]
    if line.count('"') % 2:
        return None
    return next(csv.reader([line]), [])


@contextmanager
def _opened(source: Any, question: Question) -> Iterator[Any]:
    """Yield a connection on which the source is a table or view."""
    what = kind(source)
    if what == "connection":
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="discreet-") as scratch:
        path = str(source.resolve()) if what == "file" else None
        with connect(scratch, path) as connection:
            if what == "file":
                connection.execute(f"CREATE VIEW {SOURCE} AS {_scan(source, str(path), question)}")
            else:
                connection.register(SOURCE, frames.arrow(source, what, question.columns, question.domain))
            yield connection


def connect(scratch: str | None = None, path: str | None = None) -> Any:
    """Return a fresh in-memory database that may read `path` alone and spill into `scratch` alone."""
    settings = dict(SETTINGS)
    if scratch is not None:
        settings["temp_directory"] = scratch
    connection = _duckdb().connect(":memory:", config=settings)
    if path is not None:
        connection.execute(f"SET allowed_paths = [{_string(path)}]")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _scan(source: Path, path: str, question: Question) -> str:
    if source.suffix.lower() == ".parquet":
        return f"SELECT * FROM read_parquet({_string(path)}, hive_partitioning = false)"
    # parallel: that reader cuts a file into chunks, and may take the inside of a quoted cell for rows.
    # strict_mode: on, one odd line end or quote anywhere fails the query, or drops the lines after it.
    names = _header(source)
    known = {name.lower(): name for name in question.columns}
    columns = ", ".join(f"{_string(name)}: 'VARCHAR'" for name in names)
    kept = ", ".join(_identifier(name) for name in names if name.lower() in known) or "*"
    return (
        f"SELECT {kept} FROM read_csv({_string(path)}, columns = {{{columns}}}, header = true, auto_detect = false, "
        "delim = ',', quote = '\"', escape = '\"', ignore_errors = true, encoding = 'utf-8', "
        "allow_quoted_nulls = true, nullstr = '', parallel = false, strict_mode = false)"
    )


def _header(source: Path) -> list[str]:
    """Return the column names of a CSV file's first record, each made distinct."""
    with source.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        names = next(csv.reader(lines, delimiter=",", quotechar='"', doublequote=True), [])
    taken = {name.lower() for name in names}
    seen: set[str] = set()
    for i, name in enumerate(names):
        if not name or name.lower() in seen:  # a second column of a name is never the declared one
            names[i] = next(new for k in itertools.count() if (new := f"unnamed {i + k}") not in taken)
            taken.add(names[i])
        seen.add(names[i].lower())
    return names


def _string(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _identifier(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


@functools.cache
def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise missing_extra("sql", "duckdb") from None
    return duckdb
