"""Engines: where private rows are read and summed. An engine sees no noise, no randomness, no analyst's text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from discreet.errors import InvalidInput
from discreet.sql.statements.dialect import Dialect

if TYPE_CHECKING:
    from discreet.dataset import Dataset
    from discreet.sql.answers.answering import Session
    from discreet.sql.statements.stages import Question


class Engine(Protocol):
    """Runs bounded aggregates over private sources."""

    @property
    def name(self) -> str:
        """Part of every question's identity: another engine may keep other groups of a person."""

    @property
    def dialect(self) -> Dialect:
        """How it spells what a plan needs."""

    def names(self, question: Question) -> Mapping[str, str]:
        """Return what it calls each declared table."""

    def assumptions(self, question: Question) -> Iterable[str]:
        """Return what the sources have to be like for the proof to hold; the caller's word."""

    def ready(self, question: Question) -> None:
        """Refuse, before the charge, what is bound to fail: a missing engine, file or column. Reads no row."""

    def opened(self, source: Any, question: Question) -> AbstractContextManager[Session]:
        """Open the private source, after the charge."""


ENGINES = ("duckdb", "spark")


def of(dataset: Dataset, name: str | None = None) -> Engine:
    """Return the engine that reads a dataset's sources.

    Args:
        dataset: The dataset.
        name: duckdb or spark; by default what the sources call for.

    Raises:
        InvalidInput: a source is of no known kind, or the sources do not go together.
    """
    if name not in (None, *ENGINES):
        raise InvalidInput(f"engine must be {' or '.join(ENGINES)}, got {name!r}.")
    sources = dataset.sources
    lent = any(type(sources[table]).__module__.startswith("pyspark.sql.") for table in sources)
    if name == "spark" or (name is None and lent):
        from discreet.sql.engines.spark import Spark

        return Spark(sources)
    from discreet.sql.engines.duckdb import DuckDB

    return DuckDB(sources)
