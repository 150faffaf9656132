"""Which declared groups a query can have: those that its WHERE leaves. Public facts alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from discreet.domains import Column, Domain, Key
from discreet.errors import InvalidInput
from discreet.sql.nodes import Compare, Const, In, Logic, Predicate, Ref


def narrowed(domain: Domain, keys: tuple[str, ...], where: Predicate | None) -> Domain:
    """Return the domain, where a condition names the values of a key with those keys alone.

    A condition is `key = literal` or `key IN (literals)`, alone or joined to others by AND. Rows of
    any other group cannot satisfy the WHERE, so noise is all that such a group could show.

    Raises:
        InvalidInput: no declared group is left.
    """
    columns = dict(domain)
    for name, values in _conditions(where):
        if name in keys:
            columns[name] = _kept(name, columns[name], values, domain[name].keys or ())
    return Domain(**columns)


def _conditions(where: Predicate | None) -> Iterator[tuple[str, tuple[Const, ...]]]:
    """Yield each column that a condition holds to literals, and the literals."""
    if isinstance(where, Logic) and where.operator == "AND":
        for term in where.terms:
            yield from _conditions(term)
    elif isinstance(where, In):
        yield where.column.name, where.values
    elif (
        isinstance(where, Compare)
        and where.operator == "="
        and isinstance(where.left, Ref)  # the parser writes the column first
        and isinstance(where.right, Const)
    ):
        yield where.left.name, (where.right,)


def _kept(name: str, column: Column, values: tuple[Const, ...], every: tuple[Key, ...]) -> Column:
    """Return the column with those of its keys that equal one of the values; NULL equals none."""
    declared = column.keys or ()
    if {type(item.value) for item in values} - {type(key) for key in declared}:
        return column  # a decimal beside whole numbers: the engine compares them, not we
    allowed = {item.value for item in values}
    kept = tuple(key for key in declared if key is not None and key in allowed)
    if not kept:
        raise InvalidInput(
            f"the WHERE leaves none of the declared groups of {name!r}.",
            remedy=f"Declared: {', '.join(str(Const(key)) for key in every[:20] if key is not None)}.",
        )
    return replace(column, keys=kept)
