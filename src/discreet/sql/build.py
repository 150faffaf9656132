"""Small pieces of engine SQL as sqlglot expressions, built without sqlglot's copying builders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

# sqlglot's names for DuckDB's types, where they differ
ENGINE_TYPES = {"INTEGER": "INT", "HUGEINT": "INT128", "UINTEGER": "UINT"}


def engine_type(name: str) -> Any:
    """Return a type of the engine."""
    from sqlglot import exp

    return exp.DataType(this=exp.DataType.Type[ENGINE_TYPES.get(name, name)])


def name_of(name: str) -> Any:
    """Return a column of ours by its engine name."""
    from sqlglot import exp

    return exp.Column(this=exp.to_identifier(name))


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
    """Return a double literal; through text, which DuckDB reads exactly."""
    from sqlglot import exp

    assert math.isfinite(value)
    return cast(exp.Literal.string(repr(value)), "DOUBLE")


def cast(value: Any, to: str) -> Any:
    """Return CAST(value AS to)."""
    from sqlglot import exp

    return exp.Cast(this=value, to=engine_type(to))


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
    qualify: Any = None,
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
    if qualify is not None:
        query.set("qualify", exp.Qualify(this=qualify))
    if stages:
        named = [
            exp.CTE(this=stage, alias=exp.TableAlias(this=exp.to_identifier(name))) for name, stage in stages.items()
        ]
        query.set("with_", exp.With(expressions=named))
    return query
