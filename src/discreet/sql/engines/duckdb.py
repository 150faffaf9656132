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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from discreet.domains import Domain
from discreet.errors import InvalidInput, missing_extra
from discreet.sql.engines import frames, lent
from discreet.sql.statements import relations
from discreet.sql.statements.dialect import Dialect
from discreet.sql.statements.stages import Question
from discreet.tables import Sources

if TYPE_CHECKING:
    import pyarrow

NAME = "duckdb"
FILES = (".parquet", ".csv")
SOURCE = "source"
LONGEST_HEADER = 2**20

# What a source has to be like for the proof to hold; the caller's word.
_VALID = "Stored values are valid for their stored types (text is UTF-8, dates and times are in range)."
_TYPES = "The stored types of the columns do not depend on the rows."
_ABOUT = {
    "csv": ["The CSV file is well formed: its records are the rows of the table."],
    "file": [_VALID, _TYPES],
    "arrow": [_VALID, _TYPES],
    "pandas": [_VALID, _TYPES],
    "polars": [_VALID, _TYPES],
    "connection": [
        _VALID,
        "A view or macro that the table is made of fails on no row, and makes each person's rows from theirs alone.",
    ],
}
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
    del source  # a traceback may show what its frames hold
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


@dataclass(frozen=True, slots=True)
class DuckDB:
    """DuckDB over files and frames, or over a connection that the caller lends.

    Args:
        sources: The source of each declared table.

    Raises:
        InvalidInput: a source is of no known kind, or only some of them are a connection.
    """

    sources: Sources = field(repr=False)
    name: ClassVar[str] = NAME
    dialect: ClassVar[Dialect] = Dialect()

    def __post_init__(self) -> None:
        kinds = {name: kind(self.sources[name]) for name in self.sources}
        if "connection" in kinds.values() and len({id(source) for source in self.sources.values()}) > 1:
            raise InvalidInput(
                "some tables are on a DuckDB connection, and others are not on the same one.",
                remedy="Give the same connection for all of them; make a view of a file there.",
            )

    def names(self, question: Question) -> dict[str, str]:
        """Return what DuckDB calls each table: on a connection its own name, else ours."""
        if kind(next(iter(self.sources.values()))) == "connection":
            return {name: name for name in question.catalog}
        return {name: SOURCE if i == 0 else f"{SOURCE}_{i}" for i, name in enumerate(question.catalog)}

    def assumptions(self, question: Question) -> list[str]:
        """Return what the sources that are read have to be like."""
        found: dict[str, None] = {}
        for name in _read(question):
            source = self.sources[name]
            csv_file = isinstance(source, Path) and source.suffix.lower() == ".csv"
            found |= dict.fromkeys(_ABOUT["csv" if csv_file else kind(source)])
        return list(found)

    def ready(self, question: Question) -> None:
        """Refuse, before the charge, sources on which a query is bound to fail, by names alone.

        Raises:
            InvalidInput: one cannot be opened, lacks a column, or (a connection) redefines a function.
        """
        from discreet.sql.engines import canary

        canary.check()
        for name, wanted in _read(question).items():
            ready(self.sources[name], wanted, name)

    @contextmanager
    def opened(self, source: Any, question: Question) -> Iterator[Opened]:
        """Open the private source: the dataset's own, or all of its tables by name."""
        sources = source if isinstance(source, Mapping) else {next(iter(question.catalog)): source}
        read = _read(question)
        if kind(next(iter(sources.values()))) == "connection":
            connection = next(iter(sources.values()))
            with lent.quiet(connection):
                opened = Opened(connection)
                try:
                    yield opened
                finally:
                    opened.close()
            return
        names = self.names(question)
        with tempfile.TemporaryDirectory(prefix="discreet-") as scratch:
            files = [str(sources[name].resolve()) for name in read if kind(sources[name]) == "file"]
            with connect(scratch, files) as connection:
                for name, wanted in read.items():
                    _show(connection, names[name], sources[name], wanted, question.catalog[name].domain)
                yield Opened(connection)


def _read(question: Question) -> dict[str, list[str]]:
    """Return the columns that a question reads of each table, in the order of their declaration."""
    found = relations.tables(question.relation, set(question.wanted), question.catalog)
    return {name: [item for item in question.catalog[name].domain if item in wanted] for name, wanted in found.items()}


@dataclass(slots=True)
class Opened:
    """A DuckDB connection on which the source's tables stand."""

    connection: Any
    kept: list[str] = field(default_factory=list)

    def table(self, statement: str) -> pyarrow.Table:
        """Return the exact integers of a query."""
        return self.connection.sql(statement).to_arrow_table()

    def keep(self, name: str, statement: str) -> None:
        """Keep the rows of a query as a temporary table."""
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {_identifier(name)} AS {statement}")
        self.kept.append(name)

    def put(self, name: str, rows: pyarrow.Table) -> None:
        """Make rows of ours a temporary table."""
        self.connection.register(f"{name}_rows", rows)
        try:
            self.keep(name, f"SELECT * FROM {_identifier(f'{name}_rows')}")
        finally:
            self.connection.unregister(f"{name}_rows")

    def close(self) -> None:
        """Take away what was kept on a connection that the caller lent."""
        for name in dict.fromkeys(self.kept):
            self.connection.execute(f"DROP TABLE {_identifier(name)}")


def ready(source: Any, names: Iterable[str], table: str) -> None:
    """Refuse, before the charge, a source on which a query is bound to fail, by names alone.

    Args:
        source: The private source.
        names: The columns that the query reads.
        table: The table's name.

    Raises:
        InvalidInput: it cannot be opened, lacks a column, or (a connection) redefines a function.
    """
    if kind(source) == "connection":
        lent.check(source, table)
    missing = missing_columns(source, names, table)
    del source  # a traceback may show what its frames hold
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


def _show(connection: Any, name: str, source: Any, wanted: list[str], domain: Domain) -> None:
    """Make a file or a frame a table of the connection, with the columns that are read."""
    what = kind(source)
    if what == "file":
        connection.execute(f"CREATE VIEW {name} AS {_scan(source, str(source.resolve()), wanted)}")
    else:
        connection.register(name, frames.arrow(source, what, wanted, domain))


def show(connection: Any, name: str, path: Path) -> None:
    """Make a Parquet file of ours a view of the connection."""
    connection.execute(f"CREATE VIEW {_identifier(name)} AS SELECT * FROM read_parquet({_string(str(path))})")


def connect(scratch: str | None = None, paths: Sequence[str] = ()) -> Any:
    """Return a fresh in-memory database that may read `paths` alone and spill into `scratch` alone."""
    settings = dict(SETTINGS)
    if scratch is not None:
        settings["temp_directory"] = scratch
    connection = _duckdb().connect(":memory:", config=settings)
    if paths:
        connection.execute(f"SET allowed_paths = [{', '.join(map(_string, paths))}]")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET TimeZone = 'UTC'")  # else the day of an instant depends on the machine
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _scan(source: Path, path: str, wanted: list[str]) -> str:
    if source.suffix.lower() == ".parquet":
        return f"SELECT * FROM read_parquet({_string(path)}, hive_partitioning = false)"
    # parallel: that reader cuts a file into chunks, and may take the inside of a quoted cell for rows.
    # strict_mode: on, one odd line end or quote anywhere fails the query, or drops the lines after it.
    names = _header(source)
    known = {name.lower(): name for name in wanted}
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
