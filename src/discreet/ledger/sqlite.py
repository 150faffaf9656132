"""The ledger in one SQLite file: WAL, synchronous=FULL, one writer at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from discreet.errors import InvalidInput, LedgerDamaged, LedgerUnavailable
from discreet.ledger.entries import damaged
from discreet.ledger.rows import SCHEMA_VERSION, TABLES, Rows, check_version

WAIT = 30.0  # seconds to wait for another writer

TRIGGERS = tuple(
    f"""CREATE TRIGGER no_{verb.lower()}_{table} BEFORE {verb} ON {table}
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"""
    for table in ("entries", "populations")
    for verb in ("UPDATE", "DELETE")
)


class SQLiteStore:
    """Rows in a SQLite file. Each transaction opens and closes its own connection, so that nothing
    is shared between threads or inherited over a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        """Return whether there is a ledger at all."""
        return self.path.exists() and self.path.stat().st_size > 0

    @contextmanager
    def reading(self) -> Iterator[Rows]:
        """Open a consistent view of the rows."""
        with self._connection("BEGIN") as connection:
            yield Rows(_executor(connection))
            connection.execute("ROLLBACK")

    @contextmanager
    def writing(self, population: str) -> Iterator[Rows]:
        """Open a transaction that is alone with the ledger; durable once it has been left."""
        with self._connection("BEGIN IMMEDIATE") as connection:
            try:
                yield Rows(_executor(connection))
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            try:
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise unavailable(self.path, error, landed=True) from None

    def create(self) -> None:
        """Create the tables, unless they are there."""
        if self.exists():
            return
        if not self.path.parent.is_dir():
            raise InvalidInput(f"the folder {self.path.parent} does not exist.", remedy="Create it first.")
        with _errors(self.path):
            connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("BEGIN IMMEDIATE")
                if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchall():
                    for statement in (*TABLES, *TRIGGERS):
                        connection.execute(statement)
                    connection.execute("INSERT INTO discreet_schema VALUES (?)", (SCHEMA_VERSION,))
                connection.execute("COMMIT")
            finally:
                connection.close()

    @contextmanager
    def _connection(self, begin: str) -> Iterator[sqlite3.Connection]:
        if not self.exists():
            raise InvalidInput(f"there is no ledger at {self.path}.", remedy="Open an account first: ledger.open(…).")
        with _errors(self.path):
            connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA foreign_keys=ON")
                connection.execute(begin)
                versions = connection.execute("SELECT version FROM discreet_schema").fetchall()
                check_version(versions[0][0] if versions else 0)
                yield connection
            finally:
                connection.close()


def _executor(connection: sqlite3.Connection) -> Any:
    def execute(statement: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        return iter(connection.execute(statement, values).fetchall())

    return execute


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours; before the commit nothing can have landed."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise damaged(f"{path} holds no ledger tables") from None
        raise unavailable(path, error, landed=False) from None
    except sqlite3.DatabaseError as error:
        if "append-only" in str(error):
            raise LedgerDamaged("the ledger is append-only; a row was about to be changed.") from None
        raise damaged(f"{path} is not a readable SQLite database ({error})") from None


def unavailable(place: object, error: Exception, *, landed: bool) -> LedgerUnavailable:
    """Return the error for a database that did not answer."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return LedgerUnavailable(
        f"the ledger at {place} could not be used: {reason}.",
        state=(
            "The charge may have landed. No data was read." if landed else "Nothing was spent and no data was read."
        ),
        remedy="Ask again with the same request: if the charge landed, it is found." if landed else "Try again later.",
    )
