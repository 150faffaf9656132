"""Spark: opens private DataFrames, runs the statements of a plan on their cluster, hands back exact integers.

The caller lends a DataFrame, classic or of Spark Connect; files and tables are read with the caller's
own reader. Everything runs in a session beside the caller's: its settings, functions and temporary
views are not ours, and ours are not seen there. Before the charge only names of columns are looked at
(docs/decisions/0006-look-at-names-first.md), and the self-test runs on synthetic values.
"""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from discreet.errors import InvalidInput, missing_extra
from discreet.sql import relations
from discreet.sql.dialect import Dialect
from discreet.sql.engines import frames, spark_cells
from discreet.sql.engines.spark_dialect import SparkDialect, read_as
from discreet.sql.engines.spark_quiet import check as check_quiet
from discreet.sql.engines.spark_quiet import connected, quiet
from discreet.sql.relations import Known
from discreet.sql.stages import Question

if TYPE_CHECKING:
    import pyarrow

NAME = "spark"
SOURCE = "source"
OLDEST = 4  # major version
# What a plan's meaning depends on; a session of our own starts with whatever the cluster was started with.
SETTINGS = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.ansi.enforceReservedKeywords": "false",
    "spark.sql.caseSensitive": "false",
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.variable.substitute": "false",  # else '${env:HOME}' in a literal of the analyst's is looked up
}
SHUFFLE = "spark.sql.shuffle.partitions"  # no part of the meaning: the caller knows their cluster
GLOBAL = "spark.sql.globalTempDatabase"

_VALID = "Stored values are valid for their stored types (text is UTF-8)."
_TYPES = "The stored types of the columns do not depend on the rows."
_ABOUT = {
    "spark": [
        _VALID,
        _TYPES,
        "The DataFrame fails on no row, and makes each person's rows from theirs alone.",
        "The DataFrame has the same rows whenever Spark works it out again.",
        "The logs, the web page and the event log of the Spark cluster are seen by nobody who may not see the data.",
    ],
    "arrow": [_VALID, _TYPES],
    "pandas": [_VALID, _TYPES],
    "polars": [_VALID, _TYPES],
}


def kind(source: Any) -> str:
    """Return what a source is, by its type alone: spark, arrow, pandas or polars.

    Raises:
        InvalidInput: it is none of them.
    """
    base = type(source)
    if base.__module__.startswith("pyspark.sql.") and base.__name__ == "DataFrame":
        return "spark"
    room = base.__module__.split(".")[0]
    known = {("pyarrow", "Table"): "arrow", ("pandas", "DataFrame"): "pandas", ("polars", "DataFrame"): "polars"}
    found = known.get((room, base.__name__))
    if found is None:
        raise InvalidInput(
            f"a source of type {base.__name__!r} cannot be queried beside a Spark DataFrame.",
            remedy="Pass a DataFrame of the same session, for example spark.read.parquet(path), or a small local frame.",
        )
    return found


def version() -> str:
    """Return PySpark's version; loads it.

    Raises:
        MissingExtra: PySpark is not installed.
    """
    return str(_pyspark().__version__)


@dataclass(frozen=True, slots=True)
class Spark:
    """Spark over DataFrames that the caller lends; small frames beside them are sent to the cluster.

    Args:
        sources: The source of each declared table, one of them a DataFrame at least.

    Raises:
        InvalidInput: a source is of no known kind, or DataFrames are of several sessions.
    """

    sources: Mapping[str, Any]
    name: ClassVar[str] = NAME
    dialect: ClassVar[Dialect] = SparkDialect()

    def __post_init__(self) -> None:
        for source in self.sources.values():
            kind(source)
        if len({id(source.sparkSession) for source in _lent(self.sources)}) != 1:
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
            InvalidInput: a version is too old, a session has ended, talks or fails the self-test, or a source lacks
                a column.
        """
        from discreet.sql.engines import spark_canary

        session = _lent(self.sources)[0].sparkSession
        _check_session(session)
        for name, wanted in _read(question).items():
            ready(self.sources[name], wanted, name)
        with quiet(session):
            spark_canary.check(session)

    @contextmanager
    def opened(self, source: Any, question: Question) -> Iterator[Opened]:
        """Open the private source: the dataset's own, or all of its tables by name."""
        sources = source if isinstance(source, Mapping) else {next(iter(question.catalog)): source}
        names = self.names(question)
        lender = _lent(sources)[0].sparkSession
        with quiet(lender):
            opened = Opened(beside(lender))
            try:
                for name, wanted in _read(question).items():
                    opened.show(names[name], sources[name], wanted, question.catalog[name])
                yield opened
            finally:
                opened.close()


def _lent(sources: Mapping[str, Any]) -> list[Any]:
    return [source for source in sources.values() if kind(source) == "spark"]


def _read(question: Question) -> dict[str, list[str]]:
    """Return the columns that a question reads of each table, in the order of their declaration."""
    found = relations.tables(question.relation, set(question.wanted), question.catalog)
    return {name: [item for item in question.catalog[name].domain if item in wanted] for name, wanted in found.items()}


def beside(lender: Any) -> Any:
    """Return a session of our own on the caller's cluster: its own settings, functions and temporary views."""
    session = lender.newSession()
    for setting, value in SETTINGS.items():
        session.conf.set(setting, value)
    session.conf.set(SHUFFLE, lender.conf.get(SHUFFLE))
    return session


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
        if kind(source) == "spark":
            with self.borrowed(source) as rows:
                self._view(name, rows, list(source.columns), wanted, known)
            return
        local = frames.arrow(source, kind(source), wanted, known.domain)
        plain = local.rename_columns([f"r{i}" for i in range(local.num_columns)])
        self._view(name, self.session.createDataFrame(plain), local.column_names, wanted, known)

    @contextmanager
    def borrowed(self, source: Any) -> Iterator[Any]:
        """Yield a DataFrame of another session as one of ours, its columns r0, r1, …, whatever they are called.

        A global view is the one public way from session to session; it stands for a moment, under a name that
        nobody can guess.
        """
        name = f"discreet_{secrets.token_hex(16)}"
        source.toDF(*(f"r{i}" for i in range(len(source.columns)))).createGlobalTempView(name)
        try:
            yield self.session.table(f"{self.session.conf.get(GLOBAL)}.{name}")
        finally:
            source.sparkSession.catalog.dropGlobalTempView(name)

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
                self.session.catalog.dropTempView(name)


def _check_session(session: Any) -> None:
    """Refuse a session that is too old, has ended, cannot be silenced, or can make no session beside it."""
    for what, found in (("PySpark", version()), ("the Spark that it speaks to", _ask(lambda: str(session.version)))):
        major = re.match("[0-9]+", found)
        if major is None or int(major[0]) < OLDEST:
            raise InvalidInput(f"{what} has the version {found}; {OLDEST}.0 or later is needed.", remedy="Upgrade it.")
    if connected(session) and not hasattr(session, "newSession"):
        raise InvalidInput(
            f"PySpark {version()} can make no session beside one of Spark Connect.",
            remedy="Upgrade it to 4.3 or later.",
        )
    check_quiet(session)


def _ask(question: Any) -> Any:
    """Return what a session says of itself, or refuse it."""
    failed = False
    try:
        return question()
    except Exception:  # noqa: BLE001 - Spark's message may show what the source holds
        failed = True
    assert failed
    raise InvalidInput(
        "the Spark session cannot be used: it has ended, or its cluster does not answer.",
        remedy="Make the DataFrame anew, in a session that runs.",
    )


def ready(source: Any, names: Iterable[str], table: str) -> None:
    """Refuse, before the charge, a source on which a query is bound to fail, by names alone.

    Args:
        source: The private source.
        names: The columns that the query reads.
        table: The table's name.

    Raises:
        InvalidInput: its session has ended, it is a stream, or it lacks a column.
    """
    missing = missing_columns(source, names)
    if missing:
        raise InvalidInput(
            f"the source of {table!r} has no column {', '.join(map(repr, missing))}.",
            remedy=f"Correct the source, or what is declared for {table!r}.",
        )
    if kind(source) == "spark" and _ask(lambda: source.isStreaming):
        raise InvalidInput(f"the source of {table!r} is a stream.", remedy="Pass a DataFrame of stored rows.")


def missing_columns(source: Any, names: Iterable[str]) -> list[str]:
    """Return those of `names` that the source has no column for, in their order; case does not matter.

    Looks at the names of columns alone: no row, no type, no statistic. Spends nothing.

    Args:
        source: A source of any kind.
        names: Declared columns.

    Raises:
        InvalidInput: its session has ended.
    """
    labels = source.column_names if kind(source) == "arrow" else _ask(lambda: source.columns)
    known = {str(label).lower() for label in labels}
    return [name for name in names if name.lower() not in known]


def _identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@functools.cache
def _pyspark() -> Any:
    try:
        import pyspark
    except ImportError:
        raise missing_extra("spark", "pyspark") from None
    return pyspark
