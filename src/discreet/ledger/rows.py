"""The ledger's rows in SQL: one schema and one set of statements for both databases.

`VERSIONS` holds the statements that lead from each schema version to the next, the first from
nothing. Migrations go forward only: a version is never edited, a new one is added at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from discreet.errors import LedgerDamaged
from discreet.ledger.entries import Entry, damaged

SCHEMA = "discreet_schema"
POPULATIONS = "discreet_populations"
ENTRIES = "discreet_entries"
KEPT = (SCHEMA, POPULATIONS, ENTRIES)  # tables whose rows are never changed or removed

VERSIONS: tuple[tuple[str, ...], ...] = (
    (
        f"CREATE TABLE {SCHEMA} (version INTEGER NOT NULL)",
        f"CREATE TABLE {POPULATIONS} (name TEXT PRIMARY KEY)",
        f"""CREATE TABLE {ENTRIES} (
            population TEXT NOT NULL REFERENCES {POPULATIONS} (name),
            sequence BIGINT NOT NULL,
            kind TEXT NOT NULL,
            request TEXT,
            analyst TEXT,
            body TEXT NOT NULL,
            hash TEXT NOT NULL,
            signature TEXT,
            PRIMARY KEY (population, sequence)
        )""",
        f"CREATE UNIQUE INDEX discreet_one_of_each_request ON {ENTRIES} (population, request, kind)",
        f"CREATE INDEX discreet_by_kind ON {ENTRIES} (population, kind, sequence)",
        f"CREATE INDEX discreet_by_analyst ON {ENTRIES} (population, analyst, sequence)",
    ),
)


def written() -> set[str]:
    """Return every statement that made tables and indexes, of all versions."""
    return {statement for version in VERSIONS for statement in version}


Execute = Callable[[str, Sequence[Any]], Iterable[Sequence[Any]]]
COLUMNS = "population, sequence, kind, request, analyst, body, hash, signature"
OWNERS = "('open', 'raise', 'share', 'renew')"


class Rows:
    """The entries, inside one transaction.

    Args:
        execute: Runs one statement with `?` placeholders and returns its rows.
    """

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    def _entries(self, where: str, *values: Any) -> list[Entry]:
        return [Entry.of(row) for row in self._execute(f"SELECT {COLUMNS} FROM {ENTRIES} WHERE {where}", values)]

    def _one(self, where: str, *values: Any) -> Entry | None:
        found = self._entries(f"{where} LIMIT 1", *values)
        return found[0] if found else None

    def populations(self) -> list[str]:
        """Return the names of all accounts, those of stray entries too."""
        query = f"SELECT name FROM {POPULATIONS} UNION SELECT population FROM {ENTRIES}"
        return sorted(row[0] for row in self._execute(query, ()))

    def owners(self, population: str) -> list[Entry]:
        """Return the owner's entries (open, raise, share, renew), oldest first."""
        return self._entries(f"population = ? AND kind IN {OWNERS} ORDER BY sequence", population)

    def opening(self, population: str) -> Entry | None:
        """Return the first entry."""
        return self._one("population = ? AND sequence = 0", population)

    def last(self, population: str) -> Entry | None:
        """Return the newest entry; it holds the account's total."""
        return self._one("population = ? ORDER BY sequence DESC", population)

    def last_charge_by(self, population: str, analyst: str) -> Entry | None:
        """Return an analyst's newest charge; it holds the share's total."""
        return self._one(
            "population = ? AND analyst = ? AND kind = 'charge' ORDER BY sequence DESC", population, analyst
        )

    def find(self, population: str, request: str, kind: str) -> Entry | None:
        """Return the charge or the release of a request."""
        return self._one("population = ? AND request = ? AND kind = ?", population, request, kind)

    def requests(self, population: str) -> set[str]:
        """Return every request that was charged."""
        query = f"SELECT request FROM {ENTRIES} WHERE population = ? AND kind = 'charge'"
        return {str(row[0]) for row in self._execute(query, (population,))}

    def charges(self, population: str) -> int:
        """Return how many charges were made."""
        query = f"SELECT COUNT(*) FROM {ENTRIES} WHERE population = ? AND kind = 'charge'"
        return int(next(iter(self._execute(query, (population,))))[0])

    def all(self, population: str) -> list[Entry]:
        """Return every entry, oldest first."""
        return self._entries("population = ? ORDER BY sequence", population)

    def add_population(self, name: str) -> bool:
        """Add the row whose lock serialises an account; False if it is there already."""
        query = f"INSERT INTO {POPULATIONS} (name) VALUES (?) ON CONFLICT DO NOTHING RETURNING name"
        return bool(list(self._execute(query, (name,))))

    def append(self, entry: Entry, text: str) -> None:
        """Add one entry.

        Raises:
            LedgerDamaged: something in the database swallowed it.
        """
        head = (entry.population, entry.sequence, entry.kind, entry.request, entry.analyst)
        values = (*head, text, entry.hash, entry.signature)
        written = self._execute(
            f"INSERT INTO {ENTRIES} ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING hash", values
        )
        if [tuple(row) for row in written] != [(entry.hash,)]:
            raise damaged("it did not keep an entry that was added to it")


def migrate(execute: Execute, version: int, guard: Sequence[str]) -> None:
    """Bring the tables from `version` (0: none) to the newest; `guard` forbids changes from then on."""
    for number, statements in enumerate(VERSIONS, start=1):
        if number > version:
            for statement in statements if version or number > 1 else (*statements, *guard):
                execute(statement, ())
            execute(f"INSERT INTO {SCHEMA} VALUES (?)", (number,))


def version_of(execute: Execute) -> int:
    """Return the schema's version: the highest row.

    Raises:
        LedgerDamaged: there is none, or a later discreet wrote it.
    """
    found = next(iter(execute(f"SELECT MAX(version) FROM {SCHEMA}", ())))[0]
    if not isinstance(found, int) or found < 1:
        raise damaged("its schema has no version")
    if found > len(VERSIONS):
        raise LedgerDamaged(
            f"the ledger has schema version {found}; this discreet knows versions up to {len(VERSIONS)}.",
            remedy="Use the version of discreet that wrote it, or a later one.",
        )
    return found


def check_version(execute: Execute) -> None:
    """Refuse to work on tables of another version.

    Raises:
        LedgerDamaged: they are of a later version, or of an earlier one that was not migrated.
    """
    found = version_of(execute)
    if found < len(VERSIONS):
        raise LedgerDamaged(
            f"the ledger has schema version {found}; this discreet works on version {len(VERSIONS)}.",
            remedy="Let the owner bring it forward: opening any account does. There is no way back.",
        )
