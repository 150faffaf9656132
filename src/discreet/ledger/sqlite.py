"""The ledger in one SQLite file: a rollback journal, synchronous=FULL, one process at a time.

POSIX drops all of a process's locks on a file when it closes any descriptor of it; a backup by copying
is enough. So SQLite's own locks are not relied on: every transaction holds the lock of `beside`. And
there is no write-ahead log, though it is faster: with it, what was committed stays in a second file for
as long as a lock is held *between* transactions, and whoever closes next removes that file under our
hands. Here nothing is locked at rest.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from discreet.errors import InvalidInput, LedgerDamaged, LedgerUnavailable
from discreet.ledger.beside import Beside
from discreet.ledger.entries import GENESIS, damaged
from discreet.ledger.forks import FORKS
from discreet.ledger.kept import Kept
from discreet.ledger.outage import LOOK, TERMS, Intent, unavailable
from discreet.ledger.rows import ENTRIES, KEPT, Execute, Rows, check_version, migrate, version_of, written

WAIT = 30.0  # seconds to wait for another writer
# Ends a transaction by zeroing the journal's header, synced like everything before it. Deleting the
# journal instead would need a sync of the folder, or a power cut could bring it back.
JOURNAL = "persist"

REFUSE = "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
LAST = f"FROM {ENTRIES} WHERE population = NEW.population ORDER BY sequence DESC LIMIT 1"
TOLD = ("population", "sequence", "kind", "request", "analyst")


def _told(path: str, body: str = "NEW.body") -> str:
    return f"json_extract({body}, '$.{path}')"


def _sum(i: int) -> str:
    """Return the condition that a row's total is not the last one plus its own cost, or that cost is negative."""
    last, own = f"COALESCE((SELECT {_told(f'spent[{i}]', 'body')} {LAST}), 0)", f"COALESCE({_told(f'cost[{i}]')}, 0)"
    return f"{_told(f'spent[{i}]')} IS NOT {last} + {own} OR {own} < 0"


# What no row may be that extends a chain; `verify` recomputes all of it, and more.
ASTRAY = (
    f"NEW.sequence IS NOT COALESCE((SELECT sequence + 1 {LAST}), 0)",
    f"{_told('previous')} IS NOT COALESCE((SELECT hash {LAST}), '{GENESIS}')",
    *(f"NEW.{name} IS NOT {_told(name)}" for name in TOLD),
    *(_sum(i) for i in range(2)),
    # INSERT OR REPLACE would remove a row without firing its DELETE trigger.
    f"EXISTS (SELECT 1 FROM {ENTRIES} WHERE population = NEW.population AND request = NEW.request AND kind = NEW.kind)",
)
TRIGGERS = (
    *(
        f"CREATE TRIGGER no_{verb.lower()}_{table} BEFORE {verb} ON {table} {REFUSE}"
        for table in KEPT
        for verb in ("UPDATE", "DELETE")
    ),
    f"CREATE TRIGGER extends BEFORE INSERT ON {ENTRIES} WHEN {' OR '.join(ASTRAY)} {REFUSE}",
)


class SQLiteStore:
    """Rows in a SQLite file.

    A connection is kept between transactions, for opening one costs more than looking. It is dropped
    when the path names another file by then, and before this process forks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: Kept[_Connection] = Kept()
        FORKS.watch(self._kept)

    def __str__(self) -> str:
        return str(self.path)

    @contextmanager
    def reading(self) -> Iterator[Rows]:
        """Open a consistent view of the rows."""
        with self._connection(LOOK) as connection:
            connection.execute("BEGIN")
            execute = _executor(connection)
            check_version(execute)
            yield Rows(execute)

    @contextmanager
    def writing(self, population: str, intent: Intent, *more: str) -> Iterator[Rows]:  # noqa: ARG002 - one lock for all
        """Open a transaction that is alone with the ledger; durable once it has been left."""
        with self._connection(intent) as connection:
            connection.execute("BEGIN IMMEDIATE")
            execute = _executor(connection)
            check_version(execute)
            self._check_journal(connection, intent)
            yield Rows(execute)
            try:
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                # Busy: a reader did not go away in time; the commit had not begun.
                landed = getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY
                connection.close()
                raise unavailable(self, error, intent, landed=landed) from None
            if connection.file != _file(self.path):
                connection.close()
                raise unavailable(self, RuntimeError("its file was replaced meanwhile"), intent, landed=True)

    def create(self) -> None:
        """Create the tables unless they are there; bring those of an earlier version forward.

        A new ledger is made aside and then linked to its name: nobody ever sees half of one.
        """
        self._check_forks(TERMS)
        if not self._there(TERMS):
            self._make()
        with self._connection(TERMS) as connection:
            connection.execute("BEGIN IMMEDIATE")
            execute = _executor(connection)
            migrate(execute, version_of(execute), TRIGGERS)
            connection.execute("COMMIT")

    def check(self) -> None:
        """Check what `verify` cannot see in the rows: the file's own structure, and its triggers.

        Raises:
            LedgerDamaged: an index contradicts its table, or something was added, changed or removed
                beside the rows.
        """
        self._kept.drop()  # look at the file, not at pages remembered from before
        with self._connection(LOOK) as connection:
            check_version(_executor(connection))
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                raise damaged(f"{self.path} fails SQLite's integrity check ({str(found).splitlines()[0]})")
            kept = {row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
            if kept != written().union(TRIGGERS):
                raise damaged(f"{self.path} has other tables, indexes or triggers than a ledger has")

    def _there(self, intent: Intent) -> bool:
        """Return whether there is a ledger; refuse what only looks as if there were none."""
        try:
            if self.path.is_dir():
                raise InvalidInput(f"{self.path} is a folder.", remedy="Give the path of the ledger's file.")
            if self.path.exists():
                if self.path.stat().st_size == 0:
                    raise damaged(f"{self.path} is empty (cut off, or never a ledger)")
                return True
        except OSError as error:
            raise unavailable(self, error, intent, landed=False) from None
        for name in (f"{self.path.name}-journal", f"{self.path.name}-wal"):
            if self.path.with_name(name).exists():
                raise damaged(f"{self.path} is missing, but its journal {name} is still there")
        return False

    def _make(self) -> None:
        folder = self.path.parent
        if not folder.is_dir():
            raise InvalidInput(f"the folder {folder} does not exist.", remedy="Create it first.")
        try:
            with (
                _errors(self, TERMS),
                self._beside.held(wait=WAIT, looking=False),
                tempfile.TemporaryDirectory(prefix=".new-ledger-", dir=folder) as aside,
            ):
                new = Path(aside) / "ledger"
                with closing(_connect(new, create=True)) as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    migrate(_executor(connection), 0, TRIGGERS)
                    connection.execute("COMMIT")
                with suppress(FileExistsError):  # somebody else was faster
                    os.link(new, self.path)
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)  # the name must survive a power cut, too
            finally:
                os.close(handle)
        except OSError as error:
            raise unavailable(self, error, TERMS, landed=False) from None

    @contextmanager
    def _connection(self, intent: Intent) -> Iterator[_Connection]:
        if not self._there(intent):
            raise InvalidInput(
                f"there is no ledger at {self.path}.",
                remedy="Open an account first: discreet ledger open, or ledger.open(…).",
            )
        self._check_forks(intent)
        with _errors(self, intent), self._beside.held(wait=WAIT, looking=intent is LOOK):
            self._check_name(intent)
            connection = self._take()
            try:
                yield connection
            except sqlite3.Error:
                connection.close()
                raise
            finally:
                self._rest(connection)

    @property
    def _beside(self) -> Beside:
        return Beside(self.path.resolve())

    def _check_name(self, intent: Intent) -> None:
        if self.path.stat().st_nlink > 1:
            raise LedgerUnavailable(
                f"the ledger at {self} could not be used: its file has a second name (a hard link), "
                "which would have a journal and a lock of its own.",
                state=intent.failed,
                remedy="Keep one of the names, and remove the others.",
            )

    def _check_journal(self, connection: _Connection, intent: Intent) -> None:
        found = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if found != JOURNAL:
            connection.close()  # at rest it would hinder the way back
            raise LedgerUnavailable(
                f"the ledger at {self} could not be used: somebody set its journal_mode to {found}, "
                "which may lose a charge.",
                state=intent.failed,
                remedy=f'Stop what uses it, then type: sqlite3 {self} "PRAGMA journal_mode=DELETE".',
            )

    def _check_forks(self, intent: Intent) -> None:
        if FORKS.inherited:
            raise LedgerUnavailable(
                f"the ledger at {self} could not be used: this process was forked while another thread was at work "
                "on a SQLite ledger, so its locks cannot be trusted.",
                state=intent.failed,
                remedy="Fork while no ledger is at work, or start processes afresh (multiprocessing's 'spawn').",
            )

    def _take(self) -> _Connection:
        while (kept := self._kept.take()) is not None:
            if kept.file == _file(self.path):
                return kept
            kept.close()
        return _connect(self.path)

    def _rest(self, connection: _Connection) -> None:
        """Keep a connection for the next transaction, unless it was closed or cannot be brought to rest."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            connection.close()
        else:
            self._kept.give(connection)


class _Connection(sqlite3.Connection):
    """A connection that knows which file it has open, and says when it is closed."""

    file: tuple[int, int] = (0, 0)
    token: object = None

    def close(self) -> None:
        super().close()
        FORKS.closed(self.token)


def _file(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _connect(path: Path, *, create: bool = False) -> _Connection:
    where = f"file:{quote(str(path.absolute()))}?mode={'rwc' if create else 'rw'}"
    token = FORKS.opening()
    try:
        connection = sqlite3.connect(
            where, uri=True, timeout=WAIT, isolation_level=None, factory=_Connection, check_same_thread=False
        )
    except BaseException:
        FORKS.closed(token)
        raise
    connection.token = token
    try:
        connection.file = _file(path)
        connection.text_factory = _text
        connection.execute(f"PRAGMA journal_mode={JOURNAL}")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA fullfsync=ON")  # where fsync alone leaves it in the disk's cache
        connection.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _text(raw: bytes) -> str:
    """Decode a damaged text too, into one that fails its hash."""
    return raw.decode(errors="replace")


def _executor(connection: sqlite3.Connection) -> Execute:
    def execute(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return connection.execute(statement, values).fetchall()

    return execute


@contextmanager
def _errors(store: SQLiteStore, intent: Intent) -> Iterator[None]:
    """Turn SQLite's errors into ours; before the commit nothing can have landed."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(store, error, intent) from None
    except OSError as error:
        raise unavailable(store, error, intent, landed=False) from None
    except UnicodeDecodeError:  # SQLite quotes a damaged schema in its message
        raise damaged(f"{store.path} holds an unreadable schema") from None


def _ours(store: SQLiteStore, error: sqlite3.Error, intent: Intent) -> Exception:
    name = getattr(error, "sqlite_errorname", "") or ""
    if "append-only" in str(error):
        return LedgerDamaged(
            "the ledger is append-only; a row was about to be changed.",
            state=intent.failed,
            remedy="Check the ledger with `discreet ledger verify`.",
        )
    if "no such table" in str(error) or "no such column" in str(error):
        return damaged(f"{store.path} lacks the ledger's tables")
    if name.startswith("SQLITE_NOTADB"):
        return damaged(f"{store.path} is no SQLite database (never a ledger, or overwritten)")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_CONSTRAINT", "SQLITE_ERROR")):
        return damaged(f"{store.path} is not a sound SQLite database ({error})")
    return unavailable(store, error, intent, landed=False)
