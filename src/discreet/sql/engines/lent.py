"""A DuckDB connection that the caller lends: its tables, what it redefines, what it prints.

Its catalog and settings are read; they belong to the caller and hold no row. Names are compared in
Python: the connection could redefine the functions that would compare them in SQL.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from discreet.errors import DiscreetError, InvalidInput

T = TypeVar("T")

# Every function that the plan calls. Operators are functions, too; comparisons, casts and CASE are not.
FUNCTIONS = {
    "hash",
    "isfinite",
    "typeof",
    "round",
    "sum",
    "count",
    "count_star",
    "row_number",
    "sqrt",
    "floor",
    "min",
    "max",
    "date_part",
    "date_trunc",
    "~~",
    "+",
    "-",
    "*",
    "//",
    "%",
}
_OURS = "system.main."  # the engine's own: no macro of the connection can stand in its place
NOT_TOTAL = ("BIGNUM",)  # types whose TRY_CAST fails on some values
LOUD = {"enable_profiling": None, "enable_progress_bar": False}  # what prints counts of rows, and its quiet value
ZONE = "TimeZone"  # of instants that are read as dates or texts: the machine's, unless it is set
UTC = ("UTC", "Etc/UTC")
_QUIETLY = {
    "enable_profiling": "PRAGMA disable_profiling",
    "enable_progress_bar": "SET enable_progress_bar = false",
    ZONE: "SET TimeZone = 'UTC'",
}


# One lock for each connection. It has to be found by the connection alone: datasets, plans and threads that know
# nothing of each other are lent the same one, which takes no attribute of ours. It goes when the connection goes.
_LOCKS: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_FINDING = threading.Lock()


@contextmanager
def alone(connection: Any) -> Iterator[None]:
    """Be the only thread of ours at work on a connection, from the first statement of a query to the last.

    Temporary tables, settings, the transaction and the result that is being fetched are the connection's. A cursor()
    of it is another connection, and has its own of each.
    """
    with _FINDING:
        lock = _LOCKS.setdefault(connection, threading.RLock())
    with lock:
        yield


def _constant(connection: Any, look: Callable[[], T]) -> T:
    """Return what a look at a connection finds.

    Raises:
        InvalidInput: it cannot be used; whatever the engine says of that may show what the connection holds.
    """
    try:
        with alone(connection):
            return look()
    except DiscreetError:
        raise
    except Exception:  # noqa: BLE001, S110 - the new error must not carry the old one along
        pass
    raise InvalidInput(
        "the connection cannot be used: it is closed, another thread uses it, or a result of it was not fetched to its end.",
        remedy="Fetch or close that result, or pass another connection.",
    )


def columns(connection: Any, table: str) -> dict[str, str]:
    """Return the columns of the table or view that `table` names, with their types; none if there is none.

    From the catalog: a file, or a Python variable, of that name is no table.

    Raises:
        InvalidInput: the connection is closed or busy.
    """
    return _constant(connection, lambda: _columns(connection, table))


def _columns(connection: Any, table: str) -> dict[str, str]:
    [here] = connection.execute(f"SELECT {_OURS}current_database(), {_OURS}current_schema()").fetchall()
    found = connection.execute(
        f"SELECT database_name, schema_name, table_name, column_name, data_type FROM {_OURS}duckdb_columns()"
    ).fetchall()
    places: dict[tuple[str, str], dict[str, str]] = {}
    for database, schema, name, column, kind in found:
        if name.lower() == table.lower():
            places.setdefault((database, schema), {})[column] = kind
    return places.get(("temp", "main"), places.get(here, {}))


def check(connection: Any, table: str) -> None:
    """Refuse a connection that lacks the table, or on which the plan's functions mean something else.

    Raises:
        InvalidInput: see above, public facts both; or the connection is closed or busy.
    """
    _constant(connection, lambda: _check(connection, table))


def _check(connection: Any, table: str) -> None:
    found = columns(connection, table)
    if not found:
        raise InvalidInput(
            f"the connection has no table or view {table!r} in its current schema.",
            remedy=f"Create one of that name, for example: CREATE VIEW {table} AS …",
        )
    if big := [name for name, kind in found.items() if kind in NOT_TOTAL]:
        raise InvalidInput(
            f"the column {big[0]!r} is stored as {found[big[0]]}, which the engine cannot read without failing on some values.",
            remedy="Cast it in a view, for example with TRY_CAST(… AS VARCHAR).",
        )
    shadowed = sorted({name for name, *_ in _functions(connection) - _pristine()})
    if shadowed:
        raise InvalidInput(
            f"the connection redefines {', '.join(shadowed)}, which the private plan calls.",
            remedy="Drop that macro or function, or pass a connection without it.",
        )
    [(locked,)] = connection.execute(f"SELECT {_OURS}current_setting('lock_configuration')").fetchall()
    changed = _changed(connection) if locked else {}
    if ZONE in changed:
        raise InvalidInput(
            f"the connection reads instants in the time zone {changed[ZONE]!r}, and its settings are locked.",
            remedy="SET TimeZone = 'UTC' before they are locked, or pass another connection: days are those of UTC.",
        )
    if changed:
        raise InvalidInput(
            f"the connection's {', '.join(changed)} would print what is private, and its settings are locked.",
            remedy="Switch that off before they are locked, or pass another connection.",
        )


def _functions(connection: Any) -> set[tuple[str, ...]]:
    """Return every meaning that the plan's functions have on a connection, those for times and texts left out."""
    rows = connection.execute(
        "SELECT function_name, function_type, parameter_types::VARCHAR, return_type, macro_definition "
        f"FROM {_OURS}duckdb_functions()"
    ).fetchall()
    return {
        tuple(map(str, row))
        for row in rows
        if str(row[0]).lower() in FUNCTIONS
        # operators on times come with extensions, and the plan has none
        and (str(row[0])[0].isalpha() or not any(kind in str(row[2]) for kind in ("TIME", "DATE", "INTERVAL")))
    }


@functools.cache
def _pristine() -> set[tuple[str, ...]]:
    import duckdb

    with duckdb.connect() as connection:
        return _functions(connection)


def _changed(connection: Any) -> dict[str, Any]:
    """Return the settings that print counts of rows, or a time zone that is not UTC, with their values."""
    found = {}
    for setting in (*LOUD, ZONE):
        [(value,)] = connection.execute(f"SELECT {_OURS}current_setting('{setting}')").fetchall()
        if value not in UTC if setting == ZONE else value != LOUD[setting]:
            found[setting] = value
    return found


@contextmanager
def quiet(connection: Any) -> Iterator[None]:
    """Have a connection alone while a query runs: what would print counts of rows is off, and instants are read in UTC.

    Afterwards the settings are put back.
    The zone is set, and not each column converted: so what a view, a list or a text makes of an instant is UTC's, too.
    """
    with alone(connection):
        before = _changed(connection)
        for setting in before:
            connection.execute(_QUIETLY[setting])
        try:
            yield
        finally:
            for setting, value in before.items():
                connection.execute(f"SET {setting} = {_literal(value)}")


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "'" + str(value).replace("'", "''") + "'"
