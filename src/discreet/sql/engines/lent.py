"""A DuckDB connection that the caller lends: its tables, what it redefines, what it prints.

Its catalog and settings are read; they belong to the caller and hold no row. Names are compared in
Python: the connection could redefine the functions that would compare them in SQL.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from discreet.errors import InvalidInput

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


def columns(connection: Any, table: str) -> dict[str, str]:
    """Return the columns of the table or view that `table` names, with their types; none if there is none.

    From the catalog: a file, or a Python variable, of that name is no table.

    Raises:
        InvalidInput: the connection is closed or busy.
    """
    failed = False
    try:
        [here] = connection.execute(f"SELECT {_OURS}current_database(), {_OURS}current_schema()").fetchall()
        found = connection.execute(
            f"SELECT database_name, schema_name, table_name, column_name, data_type FROM {_OURS}duckdb_columns()"
        ).fetchall()
    except Exception:  # noqa: BLE001 - the engine's message may show what the connection holds
        failed = True
    if failed:
        raise InvalidInput(
            "the connection cannot be used: it is closed, or a result of it was not fetched to its end.",
            remedy="Fetch or close that result, or pass another connection.",
        )
    places: dict[tuple[str, str], dict[str, str]] = {}
    for database, schema, name, column, kind in found:
        if name.lower() == table.lower():
            places.setdefault((database, schema), {})[column] = kind
    return places.get(("temp", "main"), places.get(here, {}))


def check(connection: Any, table: str) -> None:
    """Refuse a connection that lacks the table, or on which the plan's functions mean something else.

    Raises:
        InvalidInput: see above; public facts both.
    """
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
    """Switch off, while a query runs, what would print exact counts of rows, and read instants in UTC; then put it back.

    The zone is set, and not each column converted: so what a view, a list or a text makes of an instant is UTC's, too.
    """
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
