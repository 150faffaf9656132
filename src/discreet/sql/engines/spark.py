"""Spark: opens private DataFrames, runs the statements of a plan on their cluster, hands back exact integers.

The caller lends a DataFrame, classic or of Spark Connect, or names files that every machine of the
cluster can read. Everything runs in a session beside the caller's: its settings, functions and
temporary views are not ours, and ours are not seen there. Before the charge only names of columns are
looked at (docs/decisions/0006-look-at-names-first.md), and the self-test runs on synthetic values.
"""

from __future__ import annotations

import csv
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from discreet.errors import InvalidInput
from discreet.sql.engines import duckdb, frames, spark_canary, spark_cells, spark_session
from discreet.sql.engines.spark_dialect import SparkDialect, read_as
from discreet.sql.engines.spark_quiet import quiet
from discreet.sql.statements import relations
from discreet.sql.statements.dialect import Dialect
from discreet.sql.statements.relations import Known
from discreet.sql.statements.stages import Question
from discreet.tables import Sources

if TYPE_CHECKING:
    import pyarrow

NAME = "spark"
SOURCE = "source"
_GLOBAL = "spark.sql.globalTempDatabase"

_VALID = "Stored values are valid for their stored types (text is UTF-8)."
_TYPES = "The stored types of the columns do not depend on the rows."
_OWNERS = "The logs, the web page and the event log of the cluster are seen by nobody who may not see the data."
_ABOUT = {
    "spark": [
        _VALID,
        _TYPES,
        "The DataFrame fails on no row, and makes each person's rows from theirs alone.",
        "The DataFrame has the same rows whenever Spark works it out again.",
        _OWNERS,
    ],
    "parquet": [_VALID, _TYPES, _OWNERS],
    "csv": ["The CSV file is well formed: its records are the rows of the table.", _OWNERS],
    "arrow": [_VALID, _TYPES, _OWNERS],
    "pandas": [_VALID, _TYPES, _OWNERS],
    "polars": [_VALID, _TYPES, _OWNERS],
}
_CSV = {
    "header": "true",
    "enforceSchema": "true",
    "sep": ",",
    "quote": '"',
    "escape": '"',
    "encoding": "UTF-8",
    "nullValue": "",
    "emptyValue": "",
    "mode": "DROPMALFORMED",
    "columnPruning": "false",  # else which records are malformed depends on the columns that a query reads
    "multiLine": "true",
    "maxCharsPerColumn": "-1",
    "maxColumns": "100000",
    "unescapedQuoteHandling": "BACK_TO_DELIMITER",
}


def kind(source: Any) -> str:
    """Return what a source is: spark, parquet (a file or a folder of them), csv, arrow, pandas or polars.

    Raises:
        InvalidInput: it is none of them, or a path that Spark would take for something else.
    """
    if isinstance(source, Path):
        return _file_kind(source)
    base = type(source)
    del source  # a traceback may show what its frames hold
    if base.__module__.startswith("pyspark.sql.") and base.__name__ == "DataFrame":
        return "spark"
    room = base.__module__.split(".")[0]
    known = {("pyarrow", "Table"): "arrow", ("pandas", "DataFrame"): "pandas", ("polars", "DataFrame"): "polars"}
    found = known.get((room, base.__name__))
    if found is None:
        raise InvalidInput(
            f"a source of type {base.__name__!r} cannot be queried with Spark.",
            remedy="Pass a Spark DataFrame, the path of Parquet or CSV, or a small Arrow, pandas or polars frame.",
        )
    return found


def _file_kind(source: Path) -> str:
    suffix = source.suffix.lower()
    if suffix != ".csv" and suffix != ".parquet" and not source.is_dir():
        raise InvalidInput(
            f"the source {source.name!r} is neither .parquet, a folder of such files, nor .csv.",
            remedy="Convert it, or read it with Spark and pass the DataFrame.",
        )
    if any(mark in str(source) for mark in "*?[]{}:") or source.name.startswith(("_", ".")):
        raise InvalidInput(
            f"the path of the source {source.name!r} holds one of * ? [ ] {{ }} :, or its name begins with _ or a dot.",
            remedy="Rename it: Spark takes the former for patterns, and overlooks the latter.",
        )
    return "csv" if suffix == ".csv" and not source.is_dir() else "parquet"


@dataclass(frozen=True, slots=True)
class Spark:
    """Spark over DataFrames that the caller lends, files, and small frames, which are sent to the cluster.

    Args:
        sources: The source of each declared table.

    Raises:
        InvalidInput: a source is of no known kind, or DataFrames are of several sessions.
    """

    sources: Sources = field(repr=False)
    name: ClassVar[str] = NAME
    dialect: ClassVar[Dialect] = SparkDialect()

    def __post_init__(self) -> None:
        lent = [name for name in self.sources if kind(self.sources[name]) == "spark"]
        if len({id(self.sources[name].sparkSession) for name in lent}) > 1:
            raise InvalidInput(
                "the tables are DataFrames of several Spark sessions.",
                remedy="Make all of them with the same session.",
            )

    def names(self, question: Question) -> dict[str, str]:
        """Return what our session calls each table."""
        return {name: SOURCE if i == 0 else f"{SOURCE}_{i}" for i, name in enumerate(question.catalog)}

    def assumptions(self, question: Question) -> list[str]:
        """Return what the sources that are read have to be like."""
        return list(dict.fromkeys(line for name in _read(question) for line in _ABOUT[kind(self.sources[name])]))

    def ready(self, question: Question) -> None:
        """Refuse, before the charge, what is bound to fail, by versions and names alone.

        Raises:
            MissingExtra: PySpark is not installed.
            InvalidInput: Java is missing, a version is too old, a session has ended, talks or fails the self-test, or
                a source lacks a column.
        """
        for name, wanted in _read(question).items():
            ready(self.sources[name], wanted, name)
        session = _session(self.sources)
        spark_session.check(session)
        with quiet(session):
            spark_canary.check(session)

    @contextmanager
    def opened(self, source: Any, question: Question) -> Iterator[Opened]:
        """Open the private source: the dataset's own, or all of its tables by name."""
        sources = source if isinstance(source, Mapping) else {next(iter(question.catalog)): source}
        names = self.names(question)
        lender = _session(sources)
        with quiet(lender), spark_session.beside(lender) as session:
            opened = Opened(session)
            try:
                for name, wanted in _read(question).items():
                    opened.show(names[name], sources[name], wanted, question.catalog[name])
                yield opened
            finally:
                opened.close()


def _session(sources: Mapping[str, Any]) -> Any:
    """Return the session of the DataFrames, or else the process's."""
    lent = [source.sparkSession for source in sources.values() if kind(source) == "spark"]
    return lent[0] if lent else spark_session.active()


def _read(question: Question) -> dict[str, list[str]]:
    """Return the columns that a question reads of each table, in the order of their declaration."""
    found = relations.tables(question.relation, set(question.wanted), question.catalog)
    return {name: [item for item in question.catalog[name].domain if item in wanted] for name, wanted in found.items()}


@dataclass(slots=True)
class Opened:
    """A session of ours in which the source's tables stand."""

    session: Any
    views: list[str] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)

    def table(self, statement: str) -> pyarrow.Table:
        """Return the exact integers of a query."""
        return self.session.sql(statement).toArrow()

    def keep(self, name: str, statement: str) -> None:
        """Keep the rows of a query in the cluster; they are worked out when they are first read."""
        rows = self.session.sql(statement).persist()
        self.kept.append(rows)
        self._name(name, rows)

    def put(self, name: str, rows: pyarrow.Table) -> None:
        """Make rows of ours a table."""
        self._name(name, self.session.createDataFrame(rows))

    def show(self, name: str, source: Any, wanted: list[str], known: Known) -> None:
        """Make a view of a source: the declared columns that are read, as their declared types."""
        what = kind(source)
        if what == "spark":
            with self.borrowed(source) as rows:
                self._view(name, rows, list(source.columns), wanted, known)
        elif what == "parquet":
            # no columns are made of the names of folders
            reader = self.session.read.options(recursiveFileLookup="true", mergeSchema="false")
            rows = reader.parquet(_address(source))
            self._view(name, rows.toDF(*_places(rows.columns)), rows.columns, wanted, known)
        elif what == "csv":
            labels = _labels(source)
            schema = ", ".join(f"{place} STRING" for place in _places(labels))
            rows = self.session.read.schema(schema).options(**_CSV).csv(_address(source))
            self._view(name, rows.replace("", None), labels, wanted, known)
        else:
            local = frames.arrow(source, what, wanted, known.domain)
            rows = self.session.createDataFrame(local.rename_columns(_places(local.column_names)))
            self._view(name, rows, local.column_names, wanted, known)

    @contextmanager
    def borrowed(self, source: Any) -> Iterator[Any]:
        """Yield a DataFrame of another session as one of ours, its columns r0, r1, …, whatever they are called.

        A global view is the one public way from session to session. It stands for a moment, under a name that
        nobody can guess.
        """
        name = f"discreet_{secrets.token_hex(16)}"
        source.toDF(*_places(source.columns)).createGlobalTempView(name)
        place = f"{self.session.conf.get(_GLOBAL)}.{name}"
        try:
            yield self.session.table(place)
        finally:
            self._drop(place)

    def _view(self, name: str, rows: Any, labels: list[str], wanted: list[str], known: Known) -> None:
        stored = [kind for _, kind in rows.dtypes]
        names = [label.lower() for label in labels]
        chosen = []
        for item in wanted:
            place = names.index(item.lower())  # of two of a name the first
            for person in (False, True) if item in known.persons else (False,):
                cell = spark_cells.read(f"r{place}", stored[place], known.domain[item].type, person=person)
                chosen.append(f"{cell} AS {_identifier(read_as(item, person=person))}")
        self._name(name, rows.selectExpr(*chosen or ["1 AS one"]))

    def _name(self, name: str, rows: Any) -> None:
        rows.createOrReplaceTempView(name)
        self.views.append(name)

    def close(self) -> None:
        """Let the cluster forget what was kept. An answer that was charged is not lost because that fails."""
        for rows in self.kept:
            with suppress(Exception):
                rows.unpersist()
        for name in dict.fromkeys(self.views):
            with suppress(Exception):
                self._drop(name)

    def _drop(self, view: str) -> None:
        """Drop a view in SQL: the catalog's function also throws away what the caller has cached of its source."""
        self.session.sql(f"DROP VIEW {view}").collect()


def ready(source: Any, names: Iterable[str], table: str) -> None:
    """Refuse, before the charge, a source on which a query is bound to fail, by names alone.

    Args:
        source: The private source.
        names: The columns that the query reads.
        table: The table's name.

    Raises:
        InvalidInput: its session has ended, it is a stream, a file cannot be read, or it lacks a column.
    """
    missing = missing_columns(source, names)
    stream = _streams(source)
    del source  # a traceback may show what its frames hold
    if missing:
        raise InvalidInput(
            f"the source of {table!r} has no column {', '.join(map(repr, missing))}.",
            remedy=f"Correct the source, or what is declared for {table!r}.",
        )
    if stream:
        raise InvalidInput(f"the source of {table!r} is a stream.", remedy="Pass a DataFrame of stored rows.")


def _streams(source: Any) -> bool:
    return kind(source) == "spark" and spark_session.ask(lambda: bool(source.isStreaming))


def missing_columns(source: Any, names: Iterable[str]) -> list[str]:
    """Return those of `names` that the source has no column for, in their order; case does not matter.

    Looks at the names of columns alone: no row, no type, no statistic. Spends nothing.

    Args:
        source: A source of any kind.
        names: Declared columns.

    Raises:
        InvalidInput: its session has ended, or it cannot be opened.

    Returns nothing, too, where the names cannot be told (a damaged file): then the query decides.
    """
    if kind(source) != "spark":
        return duckdb.missing_columns(_first(source) if isinstance(source, Path) else source, names)
    known = {str(label).lower() for label in spark_session.ask(lambda: source.columns)}
    return [name for name in names if name.lower() not in known]


def _first(source: Path) -> Path:
    """Return the first file of a folder, by name; a file is its own first."""
    if not source.is_dir():
        return source
    found = sorted(path for path in source.rglob("*.parquet") if not path.name.startswith(("_", ".")))
    if not found:
        raise InvalidInput(f"the folder {source} holds no .parquet file.", remedy="Correct the table's source.")
    return found[0]


def _labels(source: Path) -> list[str]:
    """Return the column names in a CSV file's first record."""
    with source.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        return next(csv.reader(lines), [])


def _address(source: Path) -> str:
    return f"file://{source.resolve()}"


def _places(labels: list[str]) -> list[str]:
    return [f"r{i}" for i in range(len(labels))]


def _identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
