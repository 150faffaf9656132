"""The ledger in PostgreSQL, for teams: one row-lock per population serialises chain and filter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from discreet.errors import InvalidInput, LedgerDamaged, missing_extra
from discreet.ledger.entries import damaged
from discreet.ledger.rows import SCHEMA_VERSION, TABLES, Rows, check_version
from discreet.ledger.sqlite import unavailable

GUARD = (
    """CREATE FUNCTION discreet_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$""",
    *(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION discreet_append_only()"
        for table in ("entries", "populations")
    ),
)
LOCK = 0x646973637265  # any constant: serialises the creation of the schema


class PostgresStore:
    """Rows in a PostgreSQL database. Each transaction has a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]  # never the password
        return urlunsplit((parts.scheme, host, parts.path, "", ""))

    def exists(self) -> bool:
        """Return whether there is a ledger at all."""
        with self._connection() as connection:
            return _has_tables(connection)

    @contextmanager
    def reading(self) -> Iterator[Rows]:
        """Open a consistent view of the rows."""
        with self._connection() as connection:
            self._begin(connection)
            yield Rows(_executor(connection))
            connection.rollback()

    @contextmanager
    def writing(self, population: str) -> Iterator[Rows]:
        """Open a transaction that is alone with one account; durable once it has been left."""
        import psycopg

        with self._connection() as connection:
            self._begin(connection)
            connection.execute("SELECT 1 FROM populations WHERE name = %s FOR UPDATE", (population,))
            # A new snapshot after the lock: READ COMMITTED sees what the last holder committed.
            try:
                yield Rows(_executor(connection))
            except BaseException:
                connection.rollback()
                raise
            try:
                connection.commit()
            except psycopg.Error as error:
                raise unavailable(self, error, landed=True) from None

    def create(self) -> None:
        """Create the tables, unless they are there."""
        with self._connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            if not _has_tables(connection):
                for statement in (*TABLES, *GUARD):
                    connection.execute(statement)
                connection.execute("INSERT INTO discreet_schema VALUES (%s)", (SCHEMA_VERSION,))
            connection.commit()

    def _begin(self, connection: Any) -> None:
        if not _has_tables(connection):
            raise InvalidInput(f"there is no ledger at {self}.", remedy="Open an account first: ledger.open(…).")
        versions = connection.execute("SELECT version FROM discreet_schema").fetchall()
        check_version(versions[0][0] if versions else 0)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            import psycopg
        except ImportError:
            raise missing_extra("postgres", "psycopg") from None
        try:
            with psycopg.connect(self.url, connect_timeout=10) as connection:
                connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
                self._check_durable(connection)
                yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            raise damaged(f"{self} lacks a table of the ledger") from None
        except psycopg.errors.RaiseException:
            raise LedgerDamaged("the ledger is append-only; a row was about to be changed.") from None
        except psycopg.Error as error:
            raise unavailable(self, error, landed=False) from None

    def _check_durable(self, connection: Any) -> None:
        for setting in ("synchronous_commit", "fsync"):
            value = connection.execute(f"SHOW {setting}").fetchone()[0]
            strong = ("on", "remote_apply") if setting == "synchronous_commit" else ("on",)
            if value not in strong:
                raise InvalidInput(
                    f"the PostgreSQL server has {setting}={value}: a charge could be lost in a crash.",
                    remedy=f"Set {setting}=on for this database.",
                )


def _has_tables(connection: Any) -> bool:
    return bool(connection.execute("SELECT to_regclass('discreet_schema') IS NOT NULL").fetchone()[0])


def _executor(connection: Any) -> Any:
    def execute(statement: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        cursor = connection.execute(statement.replace("?", "%s"), values)
        return iter(cursor.fetchall() if cursor.description else ())

    return execute
