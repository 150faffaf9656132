"""The ledger in PostgreSQL, for teams: one row-lock per population serialises chain and filter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from discreet.errors import InvalidInput, LedgerDamaged, missing_extra
from discreet.ledger import guards
from discreet.ledger.entries import damaged
from discreet.ledger.kept import Kept
from discreet.ledger.outage import LOOK, TERMS, Intent, unavailable
from discreet.ledger.rows import POPULATIONS, SCHEMA, Execute, Rows, check_version, migrate, version_of

if TYPE_CHECKING:
    import psycopg

CREATION = 0x646973637265  # any constant: the lock under which tables are made
WAIT = 30  # seconds to wait for another writer
DURABLE = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply"),  # remote_apply waits for more, never less
}
# Set within the transaction: behind a pool, its connection need not be the one that was asked before.
STAY_DURABLE = """SELECT set_config('synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)"""


class PostgresStore:
    """Rows in a PostgreSQL database.

    A connection is kept between transactions, for connecting costs more than charging; one that has
    died is replaced before anything is spent on it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._kept: Kept[psycopg.Connection] = Kept()

    def __str__(self) -> str:
        """Return where it is, as the server's own library reads the URL: never the user or the password."""
        try:
            from psycopg.conninfo import conninfo_to_dict

            facts = conninfo_to_dict(self.url)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it may hold a password
            return "a PostgreSQL server"
        host, port, name = (str(facts.get(key) or "") for key in ("host", "port", "dbname"))
        if "@" in host + name or (not port.replace(",", "").isdecimal() and port):  # a password that was not escaped
            return "a PostgreSQL server"
        return f"postgresql://{host}{':' if port else ''}{port}/{name}"

    @contextmanager
    def reading(self) -> Iterator[Rows]:
        """Open a consistent view of the rows."""
        with self._connection(LOOK) as connection:
            self._begin(connection, "REPEATABLE READ READ ONLY")
            yield Rows(_executor(connection))
            connection.execute("ROLLBACK")

    @contextmanager
    def writing(self, population: str, intent: Intent, *more: str) -> Iterator[Rows]:
        """Open a transaction that is alone with an account, and with `more`; durable once it has been left."""
        import psycopg

        with self._connection(intent) as connection:
            self._begin(connection, "READ COMMITTED")
            connection.execute(STAY_DURABLE)
            # Each later statement has a snapshot of its own: it sees what the last holder committed.
            for name in sorted({population, *more}):  # in one order everywhere, so that nobody waits in a circle
                _executor(connection)(f"SELECT 1 FROM {POPULATIONS} WHERE name = ? FOR UPDATE", (name,))
            yield Rows(_executor(connection))
            try:
                done = connection.execute("COMMIT").statusmessage
            except psycopg.Error as error:
                raise unavailable(self, error, intent, landed=True) from None
            if done != "COMMIT":
                raise unavailable(self, RuntimeError("the server rolled back"), intent, landed=False)

    def create(self) -> None:
        """Create the tables unless they are there; bring those of an earlier version forward."""
        with self._connection(TERMS) as connection:
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (CREATION,))
            execute = _executor(connection)
            migrate(execute, version_of(execute) if _has_tables(connection) else 0, guards.GUARD)
            connection.execute("COMMIT")

    def check(self) -> None:
        """Check what `verify` cannot see in the rows: the tables, and what guards them.

        Raises:
            LedgerDamaged: something was added to them, changed or removed.
        """
        with self._connection(LOOK) as connection:
            self._begin(connection, "READ COMMITTED")
            what = guards.changed(_executor(connection))
            if what is not None:
                raise damaged(f"{self} has other {what} than those that guard a ledger")
            connection.execute("ROLLBACK")

    def _begin(self, connection: psycopg.Connection, level: str) -> None:
        if not _has_tables(connection):
            raise InvalidInput(
                f"there is no ledger at {self}.",
                remedy="Open an account first: discreet ledger open, or ledger.open(…).",
            )
        connection.execute(f"BEGIN ISOLATION LEVEL {level}")
        check_version(_executor(connection))

    @contextmanager
    def _connection(self, intent: Intent) -> Iterator[psycopg.Connection]:
        try:
            import psycopg
        except ImportError:
            raise missing_extra("postgres", "psycopg") from None
        try:
            connection = self._take()
            try:
                yield connection
            except BaseException:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._give(connection)
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            raise damaged(f"{self} lacks a table or a column of the ledger") from None
        except (psycopg.errors.RaiseException, psycopg.errors.IntegrityError):
            raise LedgerDamaged(
                "the ledger is append-only; a row was about to be changed.",
                state=intent.failed,
                remedy="Check the ledger with `discreet ledger verify`.",
            ) from None
        except psycopg.Error as error:
            raise unavailable(self, error, intent, landed=False) from None

    def _take(self) -> psycopg.Connection:
        """Return a connection that answers, on a server that keeps what it commits."""
        import psycopg

        while (kept := self._kept.take()) is not None:
            try:
                self._check_durable(kept)
            except psycopg.Error:
                kept.close()
            else:
                return kept
        new = psycopg.connect(self.url, connect_timeout=10, autocommit=True)
        try:
            new.execute(f"SET lock_timeout = '{WAIT}s'")
            self._check_durable(new)
        except BaseException:
            new.close()
            raise
        return new

    def _give(self, connection: psycopg.Connection) -> None:
        """Keep a connection that is at rest; close any other."""
        from psycopg.pq import TransactionStatus

        if connection.info.transaction_status == TransactionStatus.IDLE:
            self._kept.give(connection)
        else:
            connection.close()

    def _check_durable(self, connection: psycopg.Connection) -> None:
        settings = ", ".join(f"current_setting('{name}')" for name in DURABLE)
        row = connection.execute(f"SELECT {settings}").fetchone()
        assert row is not None
        for (name, strong), value in zip(DURABLE.items(), row, strict=True):
            if value not in strong:
                connection.close()
                raise InvalidInput(
                    f"the PostgreSQL server has {name}={value}: a charge could be lost in a crash.",
                    remedy=f"Set {name}=on for this database.",
                )


def _has_tables(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (SCHEMA,)).fetchone()
    return row is not None and bool(row[0])


def _executor(connection: psycopg.Connection) -> Execute:
    def execute(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        cursor = connection.execute(statement.replace("?", "%s"), values or None)
        return cursor.fetchall() if cursor.description else []

    return execute
