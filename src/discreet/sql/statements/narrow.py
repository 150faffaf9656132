"""Which groups a query can have: those that its WHERE leaves, or names. Public facts alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from discreet.domains import Key
from discreet.errors import InvalidInput
from discreet.sql.statements.rows import Compare, Const, In, Logic, Predicate, Row
from discreet.sql.statements.stages import Group


def narrowed(groups: tuple[Group, ...], where: Predicate | None) -> tuple[Group, ...]:
    """Return the groups, where a condition names the values of a key with those values alone.

    A condition is `key = literal` or `key IN (literals)`, alone or joined to others by AND. Rows of
    any other group cannot satisfy the WHERE, so noise is all that such a group could show. Of a key that
    nobody declared, these are the groups: the analyst named them, and no selection has to find them.

    Raises:
        InvalidInput: no declared group is left.
    """
    found = list(groups)
    for row, values in _conditions(where):
        for i, group in enumerate(groups):
            if group.row != row:
                continue
            if found[i].values is None:
                found[i] = replace(group, values=_named(values))
            else:
                found[i] = _kept(group, found[i], values)
    return tuple(found)


def decides(groups: tuple[Group, ...], term: Predicate) -> bool:
    """Return whether a condition is about the groups alone, so that leaving groups out is all that it does."""
    found = list(_conditions(term))
    if len(found) != 1:
        return False
    [(row, values)] = found
    kinds = {type(item.value) for item in values}
    named = [group.values or () for group in groups if group.row == row and group.values is not None]
    return bool(named) and kinds <= {type(key) for key in named[0]}


def _conditions(where: Predicate | None) -> Iterator[tuple[Row, tuple[Const, ...]]]:
    """Yield each value that a condition holds to literals, and the literals."""
    if isinstance(where, Logic) and where.operator == "AND":
        for term in where.terms:
            yield from _conditions(term)
    elif isinstance(where, In):
        yield where.column, where.values
    elif isinstance(where, Compare) and where.operator == "=" and isinstance(where.right, Const):
        yield where.left, (where.right,)  # the parser writes the literal last


def _named(values: tuple[Const, ...]) -> tuple[Key, ...] | None:
    """Return literals as groups; None if one is a decimal, which no integer equals as the engine compares them."""
    named = tuple(item.value for item in values if not isinstance(item.value, Decimal))
    return named if len(named) == len(values) else None


def _kept(declared: Group, group: Group, values: tuple[Const, ...]) -> Group:
    """Return the group with those of its values that equal one of the literals; NULL equals none."""
    before = group.values or ()
    if {type(item.value) for item in values} - {type(key) for key in before}:
        return group  # a decimal beside whole numbers: the engine compares them, not we
    allowed = {item.value for item in values}
    kept = tuple(key for key in before if key is not None and key in allowed)
    if not kept:
        shown = [str(Const(key)) for key in (declared.values or ())[:20] if key is not None]
        raise InvalidInput(
            f"the WHERE leaves none of the {'' if declared.values is None else 'declared '}groups of {declared.name!r}.",
            remedy=f"Declared: {', '.join(shown)}." if shown else "Name groups that all of its conditions leave.",
        )
    return replace(group, values=kept)
