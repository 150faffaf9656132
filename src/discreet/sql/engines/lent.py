"""A DuckDB connection that the caller lends: its tables, what it redefines, what it prints.

Its catalog and settings are read; they belong to the caller and hold no row. Names are compared in
Python: the connection could redefine the functions that would compare them in SQL.
"""

from __future__ import annotations

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
    "+",
    "-",
    "*",
    "//",
    "%",
}
LOUD = {"enable_profiling": None, "enable_progress_bar": False}  # what prints counts of rows, and its quiet value


def columns(connection: Any, table: str) -> list[str]:
    """Return the columns of the table or view that `table` names; none if there is none.

    From the catalog: a file, or a Python variable, of that name is no table.

    Raises:
        InvalidInput: the connection is closed or busy.
    """
    failed = False
    try:
        [here] = connection.execute("SELECT current_database(), current_schema()").fetchall()
        found = connection.execute(
            "SELECT database_name, schema_name, table_name, column_name FROM duckdb_columns()"
        ).fetchall()
    except Exception:  # noqa: BLE001 - the engine's message may show what the connection holds
        failed = True
    if failed:
        raise InvalidInput(
            "the connection cannot be used: it is closed, or a result of it was not fetched to its end.",
            remedy="Fetch or close that result, or pass another connection.",
        )
    places: dict[tuple[str, str], list[str]] = {}
    for database, schema, name, column in found:
        if name.lower() == table.lower():
            places.setdefault((database, schema), []).append(column)
    return places.get(("temp", "main"), places.get(here, []))


def check(connection: Any, table: str) -> None:
    """Refuse a connection that lacks the table, or on which the plan's functions mean something else.

    Raises:
        InvalidInput: see above; public facts both.
    """
    if not columns(connection, table):
        raise InvalidInput(
            f"the connection has no table or view {table!r} in its current schema.",
            remedy=f"Create one of that name, for example: CREATE VIEW {table} AS …",
        )
    made = connection.execute("SELECT function_name FROM duckdb_functions() WHERE NOT internal").fetchall()
    shadowed = sorted(FUNCTIONS & {str(name).lower() for (name,) in made})
    if shadowed:
        raise InvalidInput(
            f"the connection redefines {', '.join(shadowed)}, which the private plan calls.",
            remedy="Drop that macro or function, or pass a connection without it.",
        )


@contextmanager
def quiet(connection: Any) -> Iterator[None]:
    """Switch off, while a query runs, what would print exact counts of rows; put it back afterwards."""
    before: dict[str, Any] = {}
    for setting, silent in LOUD.items():
        [(value,)] = connection.execute(f"SELECT current_setting('{setting}')").fetchall()
        if value != silent:
            connection.execute("PRAGMA disable_profiling" if silent is None else f"SET {setting} = {silent}")
            before[setting] = value
    try:
        yield
    finally:
        for setting, value in before.items():
            connection.execute(f"SET {setting} = {_literal(value)}")


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "'" + str(value).replace("'", "''") + "'"
