"""The ledger's rows in SQL: one schema and one set of statements for both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from discreet.errors import LedgerDamaged
from discreet.ledger.entries import Entry

SCHEMA_VERSION = 1

TABLES = (
    "CREATE TABLE discreet_schema (version INTEGER NOT NULL)",
    "CREATE TABLE populations (name TEXT PRIMARY KEY)",
    """CREATE TABLE entries (
        population TEXT NOT NULL REFERENCES populations (name),
        sequence BIGINT NOT NULL,
        kind TEXT NOT NULL,
        request TEXT,
        analyst TEXT,
        body TEXT NOT NULL,
        hash TEXT NOT NULL,
        signature TEXT,
        PRIMARY KEY (population, sequence)
    )""",
    "CREATE UNIQUE INDEX one_of_each_request ON entries (population, request, kind)",
    "CREATE INDEX by_kind ON entries (population, kind, sequence)",
    "CREATE INDEX by_analyst ON entries (population, analyst, sequence)",
)

Execute = Callable[[str, Sequence[Any]], Iterator[tuple[Any, ...]]]
COLUMNS = "body, hash, signature"


class Rows:
    """The entries, inside one transaction.

    Args:
        execute: Runs one statement with `?` placeholders and yields its rows.
    """

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    def _entries(self, where: str, *values: Any) -> list[Entry]:
        return [Entry.of(*row) for row in self._execute(f"SELECT {COLUMNS} FROM entries WHERE {where}", values)]

    def populations(self) -> list[str]:
        """Return the names of all accounts."""
        return [row[0] for row in self._execute("SELECT name FROM populations ORDER BY name", ())]

    def owners(self, population: str) -> list[Entry]:
        """Return the owner's entries (open, raise, share), oldest first."""
        return self._entries("population = ? AND kind IN ('open', 'raise', 'share') ORDER BY sequence", population)

    def last(self, population: str) -> Entry | None:
        """Return the newest entry."""
        return _one(self._entries("population = ? ORDER BY sequence DESC LIMIT 1", population))

    def last_charge(self, population: str) -> Entry | None:
        """Return the newest charge; it holds the account's total."""
        return _one(self._entries("population = ? AND kind = 'charge' ORDER BY sequence DESC LIMIT 1", population))

    def last_charge_by(self, population: str, analyst: str) -> Entry | None:
        """Return an analyst's newest charge; it holds the share's total."""
        return _one(
            self._entries(
                "population = ? AND analyst = ? AND kind = 'charge' ORDER BY sequence DESC LIMIT 1", population, analyst
            )
        )

    def find(self, population: str, request: str, kind: str) -> Entry | None:
        """Return the charge or the release of a request."""
        return _one(self._entries("population = ? AND request = ? AND kind = ?", population, request, kind))

    def released(self, population: str) -> int:
        """Return how many releases were made."""
        query = "SELECT COUNT(*) FROM entries WHERE population = ? AND kind = 'release'"
        return int(next(iter(self._execute(query, (population,))))[0])

    def all(self, population: str) -> list[Entry]:
        """Return every entry, oldest first."""
        return self._entries("population = ? ORDER BY sequence", population)

    def add_population(self, name: str) -> None:
        """Add the row whose lock serialises an account."""
        list(self._execute("INSERT INTO populations (name) VALUES (?)", (name,)))

    def append(self, entry: Entry, text: str) -> None:
        """Add one entry."""
        values = (
            entry.population,
            entry.sequence,
            entry.kind,
            entry.request,
            entry.analyst,
            text,
            entry.hash,
            entry.signature,
        )
        columns = f"population, sequence, kind, request, analyst, {COLUMNS}"
        list(self._execute(f"INSERT INTO entries ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values))


def check_version(version: int) -> None:
    """Refuse a schema that this discreet does not know."""
    if version != SCHEMA_VERSION:
        raise LedgerDamaged(
            f"the ledger has schema version {version}; this discreet knows version {SCHEMA_VERSION}.",
            remedy="Use the version of discreet that wrote it, or a later one.",
        )


def _one(entries: list[Entry]) -> Entry | None:
    return entries[0] if entries else None
