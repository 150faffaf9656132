"""From our nodes to one engine query that clamps, rounds, bounds and sums integers.

Built as sqlglot expressions from our nodes alone; no text of the analyst passes. The query is
total: each declared column is read with TRY_CAST (unreadable, NaN and infinite values are NULL),
and every step is defined for every input, so that no row can make it fail.
"""

from __future__ import annotations

import datetime
import math
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
    def person_names(self) -> list[str]:
        """The engine's names of the person's columns."""
        return [f"u{i}" for i in range(len(self.persons))]

    @property
    def key_names(self) -> list[str]:
        """The engine's names of the keys."""
        return [f"k{i}" for i in range(len(self.keys))]

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
    query = exp.select(*map(_name, question.key_names))
    for j in range(len(question.primitives)):
        high = exp.IntDiv(this=_name(f"t{j}"), expression=_int(SPLIT))
        low = exp.Mod(this=_name(f"t{j}"), expression=_int(SPLIT))
        query = query.select(_as(_cast(high, "BIGINT"), f"h{j}"), _as(_cast(low, "BIGINT"), f"l{j}"))
    stages = {
        "typed": typed,
        "kept": _kept(question),
        "person": _measured(question),
        "bounded": _bounded(question),
        "total": _totals(question),
    }
    for name, stage in stages.items():
        query = query.with_(name, as_=stage)
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
        query = query.select(_as(_key_value(name, question), f"k{i}"))
        query = query.where(_declared(_column(name, question), question.domain[name]))
    for i, name in enumerate(question.counted):
        value = _column(name, question)
        if name in question.summed:
            value = _steps(value, name, question.domain[name])
        query = query.select(_as(value, f"v{i}"))
    if question.where is not None:
        query = query.where(_predicate(question.where, question))
    return query if query.expressions else query.select(_as(_int(1), "one"))


def _key_value(name: str, question: Question) -> Any:
    """Return a key, integers as narrow as the declared ones allow: grouping and sorting get faster.

    TRY_CAST, because the engine may narrow a row before it filters it.
    """
    from sqlglot import exp

    column = question.domain[name]
    keys = [abs(key) for key in column.keys or () if isinstance(key, int)]
    if column.type != "integer" or not keys:
        return _column(name, question)
    return exp.TryCast(this=_column(name, question), to=exp.DataType.build(_narrow(max(keys)), dialect="duckdb"))


def _steps(value: Any, name: str, column: Column) -> Any:
    """Return the clamped value in whole grid steps: rounded, then clamped to the declared steps."""
    from sqlglot import exp

    low, high, step = grid(name, column)
    if column.type == "integer" and step == 1:
        rounded, least, most = value, _int(low), _int(high)
    else:
        scaled = exp.Mul(this=_cast(value, "DOUBLE"), expression=_double(1 / float(step)))
        rounded, least, most = exp.Round(this=scaled), _double(float(low)), _double(float(high))
    # CASE, not LEAST and GREATEST: those skip NULL and would turn it into a bound.
    case = exp.Case().when(value.copy().is_(exp.null()), exp.null())
    case = case.when(exp.LTE(this=rounded, expression=least), least.copy())
    case = case.when(exp.GTE(this=rounded.copy(), expression=most), most.copy())
    return _cast(case.else_(rounded.copy()), _narrow(max(abs(low), abs(high))))


def _declared(value: Any, column: Column) -> Any:
    """Return the condition that a key is one of the declared."""
    from sqlglot import exp

    keys = [key for key in column.keys or () if key is not None]
    known: Any = None
    if keys and column.type == "integer" and max(keys) - min(keys) == len(keys) - 1:  # type: ignore[operator]
        known = exp.Between(this=value, low=_int(min(keys)), high=_int(max(keys)))  # type: ignore[arg-type]
    elif keys:
        known = exp.In(this=value, expressions=[_key(key) for key in keys])
    if None not in (column.keys or ()):
        return known
    missing = value.copy().is_(exp.null())
    return missing if known is None else exp.or_(known, missing)


# -------------------------------------------------------------- persons: bound, then sum to groups


def _measured(question: Question) -> Any:
    """Return, per person and group, the row count n, and of each counted column its count and sum."""
    from sqlglot import exp

    names = [_name(name) for name in (*question.person_names, *question.key_names)]
    query = exp.select(*names).from_("kept")
    query = query.select(_as(exp.Count(this=exp.Star(), big_int=True), "n"))
    for i, name in enumerate(question.counted):
        query = query.select(_as(exp.Count(this=_name(f"v{i}"), big_int=True), f"n{i}"))
        if name in question.summed:
            query = query.select(_as(exp.Sum(this=_name(f"v{i}")), f"s{i}"))
    return query.group_by(*[name.copy() for name in names]) if names else query


def _bounded(question: Question) -> Any:
    """Return at most K groups of each person, and in each counts and sums as of at most R rows.

    Without a person's column one row is one unit, and nothing is bounded.
    """
    from sqlglot import exp

    rows = question.bounds.rows if question.persons else None
    query = exp.select(*map(_name, question.key_names)).from_("person")
    for name in ("n", *(f"n{i}" for i in range(len(question.counted)))):
        value = _name(name)
        if rows is not None:
            value = exp.Case().when(exp.GT(this=value, expression=_int(rows)), _int(rows)).else_(value.copy())
            value = _cast(value, _narrow(rows))
        query = query.select(_as(value, name))
    for i, name in enumerate(question.counted):
        if name not in question.summed:
            continue
        value, count = _name(f"s{i}"), _name(f"n{i}")
        if rows is not None:
            low, high, _ = grid(name, question.domain[name])
            product = exp.paren(exp.Mul(this=_cast(value, "HUGEINT"), expression=_int(rows)))
            scaled = exp.IntDiv(this=product, expression=count)
            value = exp.Case().when(exp.GT(this=count.copy(), expression=_int(rows)), scaled).else_(value.copy())
            value = _cast(value, _narrow(rows * max(abs(low), abs(high))))
        query = query.select(_as(value, f"s{i}"))
    return query.qualify(_sampled(question)) if question.bounds.sampled else query


def _narrow(most: int) -> str:
    """Return the narrowest type that holds every integer up to `most` in magnitude."""
    for bits, name in ((15, "SMALLINT"), (31, "INTEGER"), (63, "BIGINT")):
        if most < 2**bits:
            return name
    return "HUGEINT"


def _totals(question: Question) -> Any:
    """Return, per group, each primitive t0, t1, … as an exact 128-bit integer."""
    from sqlglot import exp

    names = [_name(name) for name in question.key_names]
    query = exp.select(*names).from_("bounded")
    for j, item in enumerate(question.primitives):
        i = None if item.column is None else question.counted.index(item.column)
        count = _sum("n" if i is None else f"n{i}")
        value = count if item.kind in ("rows", "values") else _sum(f"s{i}")
        if item.kind == "centred":  # linear, so it may be worked out from the totals
            value = exp.Sub(
                this=exp.Mul(this=value, expression=_int(item.factor)),
                expression=exp.Mul(this=count, expression=_int(item.shift)),
            )
        query = query.select(_as(value, f"t{j}"))
    return query.group_by(*[name.copy() for name in names]) if names else query


def _sum(name: str) -> Any:
    from sqlglot import exp

    return exp.Coalesce(this=exp.Sum(this=_cast(_name(name), "HUGEINT")), expressions=[_int(0)])


def _sampled(question: Question) -> Any:
    """Return the condition that keeps K groups of each person, chosen by a public hash.

    Two sort keys on purpose: the second decides ties, and without it DuckDB rewrites the window
    into a slower list aggregate. The salt stands last: first, it makes DuckDB's hash unfair.
    """
    from sqlglot import exp

    names = (*question.person_names, *question.key_names)
    order = [exp.Ordered(this=chance([_name(name) for name in names], question.salt), nulls_first=False)]
    order += [exp.Ordered(this=_name(key), nulls_first=False) for key in question.key_names]
    number = exp.Window(
        this=exp.RowNumber(),
        partition_by=[_name(person) for person in question.person_names],
        order=exp.Order(expressions=order),
    )
    return exp.LTE(this=number, expression=_int(question.bounds.groups))


def chance(values: list[Any], salt: int) -> Any:
    """Return the 32-bit public hash by which groups are chosen; narrow, so that sorting is fast."""
    from sqlglot import exp

    hashed = exp.Anonymous(this="hash", expressions=[*values, _int(salt)])
    return _cast(exp.Mod(this=hashed, expression=_int(SPLIT)), "UINTEGER")


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


def salt(name: str, version: str) -> int:
    """Return the public number that decides group sampling: fixed by the data's name and version."""
    import hashlib

    digest = hashlib.sha256(f"discreet\0{name}\0{version}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2
