"""Small pieces of engine SQL as sqlglot expressions, built without sqlglot's copying builders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def name_of(name: str) -> Any:
    """Return a column of ours by its engine name."""
    from sqlglot import exp

    return exp.Column(this=exp.to_identifier(name))


def column(name: str, table: str) -> Any:
    """Return a column of ours by its engine name, and that of its table."""
    from sqlglot import exp

    return exp.Column(this=exp.to_identifier(name), table=exp.to_identifier(table))


def one() -> Any:
    """Return a column for a query that reads none: it counts rows."""
    return aliased(integer(1), "one")


def missing(value: Any) -> Any:
    """Return value IS NULL."""
    from sqlglot import exp

    return exp.Is(this=value, expression=exp.Null())


def case(*branches: tuple[Any, Any], default: Any = None) -> Any:
    """Return CASE; built by hand, because sqlglot's own builders copy what they are given."""
    from sqlglot import exp

    return exp.Case(ifs=[exp.If(this=when, true=then) for when, then in branches], default=default)


def aliased(value: Any, name: str) -> Any:
    """Return value AS name."""
    from sqlglot import exp

    return exp.Alias(this=value, alias=exp.to_identifier(name))


def integer(value: int) -> Any:
    """Return a whole number as a literal."""
    from sqlglot import exp

    return exp.Literal.number(value) if value >= 0 else exp.Paren(this=exp.Neg(this=exp.Literal.number(-value)))


def double(value: float) -> Any:
    """Return a double literal; through text, which engines read exactly."""
    from sqlglot import exp

    assert math.isfinite(value)
    return exp.Cast(this=exp.Literal.string(repr(value)), to=exp.DataType(this=exp.DataType.Type.DOUBLE))


def conjunction(terms: Sequence[Any]) -> Any:
    """Return conditions joined by AND, each in parentheses."""
    from sqlglot import exp

    return chained(exp.And, [exp.Paren(this=term) for term in terms])


def subquery(query: Any, alias: str) -> Any:
    """Return (query) AS alias, to select from."""
    from sqlglot import exp

    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(alias)))


def chained(kind: Any, terms: Sequence[Any]) -> Any:
    """Return terms joined by AND or OR."""
    joined = terms[0]
    for term in terms[1:]:
        joined = kind(this=joined, expression=term)
    return joined


def select(
    columns: Sequence[Any],
    source: Any,
    *,
    where: Sequence[Any] = (),
    group: Sequence[Any] = (),
    joins: Sequence[Any] = (),
    distinct: bool = False,
    stages: Mapping[str, Any] | None = None,
) -> Any:
    """Return a SELECT from a table or an earlier stage."""
    from sqlglot import exp

    table = exp.Table(this=exp.to_identifier(source)) if isinstance(source, str) else source
    query = exp.Select(expressions=list(columns), from_=exp.From(this=table))
    if where:
        query.set("where", exp.Where(this=chained(exp.And, where)))
    if group:
        query.set("group", exp.Group(expressions=list(group)))
    if joins:
        query.set("joins", list(joins))
    if distinct:
        query.set("distinct", exp.Distinct())
    if stages:
        named = [
            exp.CTE(this=stage, alias=exp.TableAlias(this=exp.to_identifier(name))) for name, stage in stages.items()
        ]
        query.set("with_", exp.With(expressions=named))
    return query
