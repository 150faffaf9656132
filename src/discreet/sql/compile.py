"""From our nodes to one engine query that clamps, rounds, bounds and sums integers.

Built as sqlglot expressions from our nodes alone; no text of the analyst passes. The query is
total: each declared column is read with TRY_CAST (unreadable, NaN and infinite values are NULL),
and every step is defined for every input, so that no row can make it fail.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from discreet.domains import Column, Domain, Key
from discreet.sql.bound import Bounds, Primitive, grid
from discreet.sql.nodes import Compare, Const, In, IsNull, Logic, Not, Predicate, Ref
from discreet.units import PrivacyUnit

SQL_TYPES = {"integer": "BIGINT", "float": "DOUBLE", "text": "VARCHAR", "boolean": "BOOLEAN", "date": "DATE"}
SPLIT = 2**32  # 128-bit sums leave the engine as two 64-bit halves


@dataclass(frozen=True, slots=True)
class Question:
    """What the engine computes: exact integers per declared group.

    Args:
        domain: Declared columns.
        unit: Who is protected.
        bounds: What one unit may touch.
        keys: Columns to group by.
        primitives: What to compute.
        where: Which rows.
        salt: Public number that decides which groups of a person are kept.
    """

    domain: Domain
    unit: PrivacyUnit
    bounds: Bounds
    keys: tuple[str, ...]
    primitives: tuple[Primitive, ...]
    where: Predicate | None
    salt: int

    @property
    def persons(self) -> tuple[str, ...]:
        """The columns that identify one privacy unit."""
        return tuple(item for item in (self.unit.column, self.unit.per) if item) if self.unit.enforced else ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column the query reads."""
        named = [item.column for item in self.primitives if item.column is not None]
        return tuple(dict.fromkeys((*self.persons, *self.keys, *named, *_columns(self.where))))

    @property
    def summed(self) -> tuple[str, ...]:
        """Columns whose clamped values are summed."""
        return tuple(
            dict.fromkeys(item.column for item in self.primitives if item.column and item.kind in ("sum", "centred"))
        )

    @property
    def counted(self) -> tuple[str, ...]:
        """Columns whose readable values are counted (all that are summed are)."""
        return tuple(dict.fromkeys(item.column for item in self.primitives if item.column is not None))


def engine_query(question: Question, source: Any) -> Any:
    """Return the query over `source` (a sqlglot table) as a sqlglot expression.

    Its columns: k0, k1, … the keys; h0, l0, h1, l1, … the halves of each primitive.
    """
    from sqlglot import exp

    typed = exp.select(*[_as(_read(name, question), f"c{i}") for i, name in enumerate(question.columns)]).from_(source)
    totals = _per_person(question) if question.persons else _per_row(question)
    query = exp.select(*[_name(f"k{i}") for i in range(len(question.keys))])
    for j in range(len(question.primitives)):
        high = exp.IntDiv(this=_name(f"t{j}"), expression=_int(SPLIT))
        low = exp.Mod(this=_name(f"t{j}"), expression=_int(SPLIT))
        query = query.select(_as(_cast(high, "BIGINT"), f"h{j}"), _as(_cast(low, "BIGINT"), f"l{j}"))
    for name, part in (("typed", typed), ("kept", _kept(question)), *totals):
        query = query.with_(name, as_=part)
    return query.from_("total")


# ---------------------------------------------------------------------- rows: read, filter, clamp


def _read(name: str, question: Question) -> Any:
    """Return a column as its declared type; whatever cannot be read so is NULL."""
    from sqlglot import exp

    kind = question.domain[name].type
    value = exp.TryCast(this=exp.column(name, quoted=True), to=exp.DataType.build(SQL_TYPES[kind], dialect="duckdb"))
    if kind != "float":
        return value
    return exp.Case().when(exp.func("isfinite", value, dialect="duckdb"), value)


def _kept(question: Question) -> Any:
    """Return the rows that count: a person, declared keys, and the WHERE; values in grid steps."""
    from sqlglot import exp

    query = exp.select().from_("typed")
    for i, name in enumerate(question.persons):
        query = query.select(_as(_column(name, question), f"u{i}"))
        query = query.where(_column(name, question).is_(exp.null()).not_())
    for i, name in enumerate(question.keys):
        query = query.select(_as(_column(name, question), f"k{i}"))
        query = query.where(_declared(_column(name, question), question.domain[name]))
    for i, name in enumerate(question.counted):
        value = _column(name, question)
        if name in question.summed:
            value = _steps(value, name, question.domain[name])
        query = query.select(_as(value, f"v{i}"))
    if question.where is not None:
        query = query.where(_predicate(question.where, question))
    return query if query.expressions else query.select(_as(_int(1), "one"))


def _steps(value: Any, name: str, column: Column) -> Any:
    """Return the clamped value in whole grid steps: rounded, then clamped to the declared steps."""
    from sqlglot import exp

    low, high, step = grid(name, column)
    if column.type == "integer" and step == 1:
        rounded, cast = value, _int
    else:
        scaled = exp.Mul(this=_cast(value, "DOUBLE"), expression=_double(1 / float(step)))
        rounded, cast = exp.Round(this=scaled), lambda number: _double(float(number))
    case = exp.Case().when(value.copy().is_(exp.null()), exp.null())
    case = case.when(exp.LTE(this=rounded, expression=cast(low)), cast(low))
    case = case.when(exp.GTE(this=rounded.copy(), expression=cast(high)), cast(high))
    # CASE, not LEAST and GREATEST: those skip NULL and would turn it into a bound.
    narrow = max(abs(low), abs(high)) < 2**31
    return _cast(case.else_(rounded.copy()), "INTEGER" if narrow else "BIGINT")


def _declared(value: Any, column: Column) -> Any:
    """Return the condition that a key is one of the declared."""
    from sqlglot import exp

    keys = [key for key in column.keys or () if key is not None]
    known: Any = None
    if keys and column.type == "integer" and max(keys) - min(keys) == len(keys) - 1:  # type: ignore[operator,type-var]
        known = exp.Between(this=value, low=_int(min(keys)), high=_int(max(keys)))  # type: ignore[type-var,arg-type]
    elif keys:
        known = exp.In(this=value, expressions=[_key(key) for key in keys])
    if None not in (column.keys or ()):
        return known
    missing = value.copy().is_(exp.null())
    return missing if known is None else exp.or_(known, missing)


# -------------------------------------------------------------- persons: bound, then sum to groups


def _per_person(question: Question) -> list[tuple[str, Any]]:
    """Return the two stages that bound each person and then sum over persons."""
    from sqlglot import exp

    persons = [f"u{i}" for i in range(len(question.persons))]
    keys = [f"k{i}" for i in range(len(question.keys))]
    person = exp.select(*map(_name, persons + keys)).from_("kept").group_by(*map(_name, persons + keys))
    person = _measured(person, question)
    if question.bounds.sampled:
        person = person.qualify(_sampled(persons, keys, question))
    rows = question.bounds.rows
    total = exp.select(*map(_name, keys)).from_("person")
    for j, item in enumerate(question.primitives):
        count, exact = _exact(item, question)
        if item.kind in ("rows", "values"):
            bounded = exp.Case().when(exp.GT(this=count, expression=_int(rows)), _int(rows)).else_(count.copy())
        else:
            scaled = exp.IntDiv(this=exp.paren(exp.Mul(this=_huge(exact), expression=_int(rows))), expression=count)
            bounded = exp.Case().when(exp.GT(this=count.copy(), expression=_int(rows)), scaled).else_(exact.copy())
        total = total.select(_as(_total(bounded), f"t{j}"))
    return [("person", person), ("total", total.group_by(*map(_name, keys)) if keys else total)]


def _per_row(question: Question) -> list[tuple[str, Any]]:
    """Return the one stage that sums rows, where one row is one unit."""
    from sqlglot import exp

    keys = [f"k{i}" for i in range(len(question.keys))]
    group = _measured(exp.select(*map(_name, keys)).from_("kept"), question)
    group = group.group_by(*map(_name, keys)) if keys else group
    total = exp.select(*map(_name, keys)).from_("person")
    for j, item in enumerate(question.primitives):
        count, exact = _exact(item, question)
        value = count if item.kind in ("rows", "values") else exact
        total = total.select(_as(exp.Coalesce(this=_huge(value), expressions=[_int(0)]), f"t{j}"))
    return [("person", group), ("total", total)]


def _measured(query: Any, question: Question) -> Any:
    """Add the row count n, and of each counted column its count n0, n1, … and sum s0, s1, … ."""
    from sqlglot import exp

    query = query.select(_as(exp.Count(this=exp.Star(), big_int=True), "n"))
    for i, name in enumerate(question.counted):
        query = query.select(_as(exp.Count(this=_name(f"v{i}"), big_int=True), f"n{i}"))
        if name in question.summed:
            query = query.select(_as(exp.Sum(this=_name(f"v{i}")), f"s{i}"))
    return query


def _exact(item: Primitive, question: Question) -> tuple[Any, Any]:
    """Return a primitive's row count and its exact value before bounding, from n, n0, s0, … ."""
    from sqlglot import exp

    if item.column is None:
        return _name("n"), None
    i = question.counted.index(item.column)
    count, total = _name(f"n{i}"), _name(f"s{i}")
    if item.kind != "centred":
        return count, total
    scaled = exp.Mul(this=_huge(total), expression=_int(item.factor)) if item.factor != 1 else total
    shift = exp.Mul(this=_huge(count), expression=_int(item.shift))
    return count, exp.paren(exp.Sub(this=scaled, expression=shift)) if item.shift else scaled


def _sampled(persons: Sequence[str], keys: Sequence[str], question: Question) -> Any:
    """Return the condition that keeps K groups of each person, chosen by a public hash.

    Two sort keys on purpose: the second decides ties, and without it DuckDB rewrites the window
    into a slower list aggregate. The salt stands last: first, it makes DuckDB's hash unfair.
    """
    from sqlglot import exp

    order = [exp.Ordered(this=_hash([*persons, *keys], question.salt), nulls_first=False)]
    order += [exp.Ordered(this=_name(key), nulls_first=False) for key in keys]
    number = exp.Window(
        this=exp.RowNumber(),
        partition_by=[_name(person) for person in persons],
        order=exp.Order(expressions=order),
    )
    return exp.LTE(this=number, expression=_int(question.bounds.groups))


def _hash(names: Sequence[str], salt: int) -> Any:
    from sqlglot import exp

    return exp.Anonymous(this="hash", expressions=[*map(_name, names), _int(salt)])


# -------------------------------------------------------------------------- predicates, literals


def _predicate(node: Predicate, question: Question) -> Any:
    from sqlglot import exp

    if isinstance(node, Logic):
        join = exp.and_ if node.operator == "AND" else exp.or_
        return exp.paren(join(*[_predicate(term, question) for term in node.terms]))
    if isinstance(node, Not):
        return exp.Not(this=exp.paren(_predicate(node.term, question)))
    if isinstance(node, IsNull):
        return exp.paren(_column(node.column.name, question).is_(exp.null()))
    if isinstance(node, In):
        values = [_const(item, question.domain[node.column.name]) for item in node.values]
        return exp.In(this=_column(node.column.name, question), expressions=values)
    kinds = {"=": exp.EQ, "<>": exp.NEQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE}
    left, right = (_operand(side, node, question) for side in (node.left, node.right))
    return exp.paren(kinds[node.operator](this=left, expression=right))


def _operand(side: Ref | Const, node: Compare, question: Question) -> Any:
    if isinstance(side, Ref):
        return _column(side.name, question)
    other = node.left if isinstance(node.left, Ref) else node.right
    assert isinstance(other, Ref)
    return _const(side, question.domain[other.name])


def _const(item: Const, column: Column) -> Any:
    value = item.value
    if isinstance(value, Decimal) or (column.type == "float" and isinstance(value, int)):
        return _double(float(value))
    return _key(value)


def _key(value: Key) -> Any:
    from sqlglot import exp

    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, int):
        return _int(value)
    if isinstance(value, datetime.date):
        return _cast(exp.Literal.string(value.isoformat()), "DATE")
    return exp.Literal.string(value)


def _columns(node: Predicate | None) -> tuple[str, ...]:
    """Return the columns a predicate reads."""
    if isinstance(node, Logic):
        return tuple(name for term in node.terms for name in _columns(term))
    if isinstance(node, Not):
        return _columns(node.term)
    if isinstance(node, IsNull | In):
        return (node.column.name,)
    if isinstance(node, Compare):
        return tuple(side.name for side in (node.left, node.right) if isinstance(side, Ref))
    return ()


def _column(name: str, question: Question) -> Any:
    return _name(f"c{question.columns.index(name)}")


def _name(name: str) -> Any:
    from sqlglot import exp

    return exp.column(name)


def _as(value: Any, name: str) -> Any:
    from sqlglot import exp

    return exp.alias_(value, name)


def _int(value: int) -> Any:
    from sqlglot import exp

    return exp.Literal.number(value) if value >= 0 else exp.paren(exp.Neg(this=exp.Literal.number(-value)))


def _double(value: float) -> Any:
    """Return a double literal; through text, which DuckDB reads exactly."""
    from sqlglot import exp

    assert math.isfinite(value)
    return _cast(exp.Literal.string(repr(value)), "DOUBLE")


def _cast(value: Any, to: str) -> Any:
    from sqlglot import exp

    return exp.cast(value, to, dialect="duckdb")


def _huge(value: Any) -> Any:
    return _cast(value, "HUGEINT")


def _total(value: Any) -> Any:
    from sqlglot import exp

    return exp.Coalesce(this=exp.Sum(this=_huge(value)), expressions=[_int(0)])


def salt(name: str, version: str) -> int:
    """Return the public number that decides group sampling: fixed by the data's name and version."""
    import hashlib

    digest = hashlib.sha256(f"discreet\0{name}\0{version}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2
