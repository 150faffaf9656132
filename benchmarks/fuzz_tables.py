"""The tables of tiny_databases, as `random_sql` selects from them."""

from __future__ import annotations

from dataclasses import dataclass

from tiny_databases import DOMAINS, PERSONS, PUBLIC

VIEWS = {"adults": ("id", ["ward", "age", "debt", "ok"]), "spending": ("pid", ["total", "n", "longest"])}


@dataclass(frozen=True)
class Column:
    """A column in scope.

    Args:
        name: How the query names it.
        kind: number, text, boolean or date.
        bounded: Whether it has bounds.
        keyed: Whether its groups are known.
        role: person, visit, drug, ward or floor, by which tables join.
    """

    name: str
    kind: str
    bounded: bool = False
    keyed: bool = False
    role: str = ""


@dataclass(frozen=True)
class Source:
    """Something to select from.

    Args:
        text: As it stands in FROM.
        columns: Its columns.
        private: Whether it holds rows of persons.
        tables: The declared tables that foreign keys of others can find in it.
        alone: Whether it is one subquery.
    """

    text: str
    columns: tuple[Column, ...]
    private: bool = True
    tables: frozenset[str] = frozenset()
    alone: bool = False


def base(table, alias="") -> Source:
    """Return a declared table or a view."""
    dot = f"{alias}." if alias else ""
    text = f"{table} AS {alias}" if alias else table
    if table in VIEWS:
        person, names = VIEWS[table]
        kinds = {"ward": ("text", False, True), "ok": ("boolean", False, True), "total": ("number", False, False),
                 "n": ("number", False, False)}  # fmt: skip
        found = [Column(dot + name, *kinds.get(name, ("number", True, False))) for name in names]
        return Source(text, (Column(dot + person, "number", role="person"), *found), True, frozenset([table]))
    found = []
    for name, column in DOMAINS[table].items():
        kind = {"integer": "number", "float": "number"}.get(column.type, column.type)
        role = "person" if PERSONS.get(table) == name else name if name in ("visit", "drug", "ward", "floor") else ""
        keyed = column.keys is not None or kind == "boolean"
        found.append(Column(dot + name, kind, column.low is not None, keyed, role))
    return Source(text, tuple(found), table not in PUBLIC, frozenset([table]))


def plain(columns) -> list[Column]:
    """Return the columns but foreign keys: those hold the number of the world (see tiny_databases)."""
    return [column for column in columns if column.role not in ("visit", "drug")]
