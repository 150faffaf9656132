"""From our nodes to one engine query that clamps, rounds, bounds and sums integers.

Built as sqlglot expressions from our nodes alone; no text of the analyst passes. The query is
total: each declared column is read with TRY_CAST (unreadable, NaN and infinite values are NULL),
and every step is defined for every input, so that no row can make it fail.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from discreet.domains import Column, Domain, Key
from discreet.sql import reading
from discreet.sql.bound import Bounds, Primitive, grid
from discreet.sql.build import aliased, case, cast, chained, double, engine_type, integer, missing, name_of, select
from discreet.sql.nodes import Compare, Const, In, IsNull, Logic, Not, Predicate, Ref
from discreet.units import PrivacyUnit

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
        columns: Every column the query reads. Worked out, as are the next two.
        summed: Columns whose clamped values are summed.
        counted: Columns whose readable values are counted (all that are summed are).
    """

    domain: Domain
    unit: PrivacyUnit
    bounds: Bounds
    keys: tuple[str, ...]
    primitives: tuple[Primitive, ...]
    where: Predicate | None
    salt: int
    columns: tuple[str, ...] = field(init=False)
    summed: tuple[str, ...] = field(init=False)
    counted: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        named = [(item.column, item.kind) for item in self.primitives if item.column is not None]
        summed = dict.fromkeys(name for name, kind in named if kind in ("sum", "centred"))
        counted = dict.fromkeys(name for name, _ in named)
        columns = dict.fromkeys((*self.persons, *self.keys, *counted, *_columns(self.where)))
        for name, value in (("summed", summed), ("counted", counted), ("columns", columns)):
            object.__setattr__(self, name, tuple(value))

    @property
    def persons(self) -> tuple[str, ...]:
        """The columns that identify one privacy unit."""
        return tuple(item for item in (self.unit.column, self.unit.per) if item) if self.unit.enforced else ()

    @property
    def rows_counted(self) -> bool:
        """Whether rows are counted, whatever they hold."""
        return any(item.kind == "rows" for item in self.primitives)

    @property
    def person_names(self) -> list[str]:
        """The engine's names of the person's columns."""
        return [f"u{i}" for i in range(len(self.persons))]

    @property
    def key_names(self) -> list[str]:
        """The engine's names of the keys."""
        return [f"k{i}" for i in range(len(self.keys))]


def engine_query(question: Question, source: Any) -> Any:
    """Return the query over `source` (a sqlglot table) as a sqlglot expression.

    Its columns: k0, k1, … the keys; h0, l0, h1, l1, … the halves of each primitive.
    """
    from sqlglot import exp

    read = [
        aliased(reading.read(name, question.domain[name], source, person=name in question.persons), f"c{i}")
        for i, name in enumerate(question.columns)
    ]
    typed = select(read or [_one()], source)
    columns = [*map(name_of, question.key_names)]
    for j in range(len(question.primitives)):
        high = exp.IntDiv(this=name_of(f"t{j}"), expression=integer(SPLIT))
        low = exp.Mod(this=name_of(f"t{j}"), expression=integer(SPLIT))
        columns += [aliased(cast(high, "BIGINT"), f"h{j}"), aliased(cast(low, "BIGINT"), f"l{j}")]
    stages = {
        "typed": typed,
        "kept": _kept(question),
        "person": _measured(question),
        "bounded": _bounded(question),
        "total": _totals(question),
    }
    return select(columns, "total", stages=stages)


# ---------------------------------------------------------------------- rows: read, filter, clamp


def _kept(question: Question) -> Any:
    """Return the rows that count: a person, declared keys, and the WHERE; values in grid steps."""
    from sqlglot import exp

    columns: list[Any] = []
    where: list[Any] = []
    for i, name in enumerate(question.persons):
        columns.append(aliased(_column(name, question), f"u{i}"))
        where.append(exp.Not(this=missing(_column(name, question))))
    for i, name in enumerate(question.keys):
        columns.append(aliased(_key_value(name, question), f"k{i}"))
        where.append(exp.Paren(this=_declared(_column(name, question), question.domain[name])))
    for i, name in enumerate(question.counted):
        value = _column(name, question)
        if name in question.summed:
            value = _steps(value, name, question.domain[name])
        columns.append(aliased(value, f"v{i}"))
    if question.where is not None:
        where.append(exp.Paren(this=_predicate(question.where, question)))
    return select(columns or [_one()], "typed", where=where)


def _one() -> Any:
    """Return a column for a query that reads none: it counts rows."""
    return aliased(integer(1), "one")


def _key_value(name: str, question: Question) -> Any:
    """Return a key, integers as narrow as the declared ones allow: grouping and sorting get faster.

    TRY_CAST, because the engine may narrow a row before it filters it.
    """
    from sqlglot import exp

    column = question.domain[name]
    keys = [abs(key) for key in column.keys or () if isinstance(key, int)]
    if column.type != "integer" or not keys:
        return _column(name, question)
    return exp.TryCast(this=_column(name, question), to=engine_type(_narrow(max(keys))))


def _steps(value: Any, name: str, column: Column) -> Any:
    """Return the clamped value in whole grid steps: rounded, then clamped to the declared steps."""
    from sqlglot import exp

    low, high, step = grid(name, column)
    if column.type == "integer" and step == 1:
        rounded, least, most = value, integer(low), integer(high)
    else:
        scaled = exp.Mul(this=cast(value, "DOUBLE"), expression=double(1 / float(step)))
        rounded, least, most = exp.Round(this=scaled), double(float(low)), double(float(high))
    # CASE, not LEAST and GREATEST: those skip NULL and would turn it into a bound.
    clamped = case(
        (missing(value.copy()), exp.Null()),
        (exp.LTE(this=rounded, expression=least), least.copy()),
        (exp.GTE(this=rounded.copy(), expression=most), most.copy()),
        default=rounded.copy(),
    )
    return cast(clamped, _narrow(max(abs(low), abs(high))))


def _declared(value: Any, column: Column) -> Any:
    """Return the condition that a key is one of the declared."""
    from sqlglot import exp

    keys = [key for key in column.keys or () if key is not None]
    known: Any = None
    if keys and column.type == "integer" and max(keys) - min(keys) == len(keys) - 1:  # type: ignore[operator]
        known = exp.Between(this=value, low=integer(min(keys)), high=integer(max(keys)))  # type: ignore[arg-type]
    elif keys:
        known = exp.In(this=value, expressions=[_key(key) for key in keys])
    if None not in (column.keys or ()):
        return known
    absent = missing(value.copy())
    return absent if known is None else exp.Or(this=known, expression=absent)


# -------------------------------------------------------------- persons: bound, then sum to groups


def _measured(question: Question) -> Any:
    """Return, per person and group, the row count n, and of each counted column its count and sum."""
    from sqlglot import exp

    names = [*question.person_names, *question.key_names]
    columns = [*map(name_of, names)]
    if question.rows_counted:
        columns.append(aliased(exp.Count(this=exp.Star(), big_int=True), "n"))
    for i, name in enumerate(question.counted):
        columns.append(aliased(exp.Count(this=name_of(f"v{i}"), big_int=True), f"n{i}"))
        if name in question.summed:
            columns.append(aliased(exp.Sum(this=name_of(f"v{i}")), f"s{i}"))
    return select(columns, "kept", group=[*map(name_of, names)])


def _bounded(question: Question) -> Any:
    """Return at most K groups of each person, and in each counts and sums as of at most R rows.

    Without a person's column one row is one unit, and nothing is bounded.
    """
    from sqlglot import exp

    rows = question.bounds.rows if question.persons else None
    columns = [*map(name_of, question.key_names)]
    counts = [("n", "b")] if question.rows_counted else []
    # Other names than the stage before: an engine that prefers its own aliases cannot bind to them.
    for name, bounded in (*counts, *((f"n{i}", f"b{i}") for i in range(len(question.counted)))):
        value = name_of(name)
        if rows is not None:
            value = case((exp.GT(this=value, expression=integer(rows)), integer(rows)), default=value.copy())
            value = cast(value, _narrow(rows))
        columns.append(aliased(value, bounded))
    for i, name in enumerate(question.counted):
        if name not in question.summed:
            continue
        value, count = name_of(f"s{i}"), name_of(f"n{i}")
        if rows is not None:
            low, high, _ = grid(name, question.domain[name])
            product = exp.Paren(this=exp.Mul(this=cast(value, "HUGEINT"), expression=integer(rows)))
            scaled = exp.IntDiv(this=product, expression=count)
            value = case((exp.GT(this=count.copy(), expression=integer(rows)), scaled), default=value.copy())
            value = cast(value, _narrow(rows * max(abs(low), abs(high))))
        columns.append(aliased(value, f"z{i}"))
    return select(columns, "person", qualify=_sampled(question) if question.bounds.sampled else None)


def _narrow(most: int) -> str:
    """Return the narrowest type that holds every integer up to `most` in magnitude."""
    for bits, name in ((15, "SMALLINT"), (31, "INTEGER"), (63, "BIGINT")):
        if most < 2**bits:
            return name
    return "HUGEINT"


def _totals(question: Question) -> Any:
    """Return, per group, each primitive t0, t1, … as an exact 128-bit integer."""
    from sqlglot import exp

    columns = [*map(name_of, question.key_names)]
    for j, item in enumerate(question.primitives):
        i = None if item.column is None else question.counted.index(item.column)
        count = _sum("b" if i is None else f"b{i}")
        value = count if item.kind in ("rows", "values") else _sum(f"z{i}")
        if item.kind == "centred":  # linear, so it may be worked out from the totals
            value = exp.Sub(
                this=exp.Mul(this=value, expression=integer(item.factor)),
                expression=exp.Mul(this=count, expression=integer(item.shift)),
            )
        columns.append(aliased(value, f"t{j}"))
    return select(columns, "bounded", group=[*map(name_of, question.key_names)])


def _sum(name: str) -> Any:
    from sqlglot import exp

    return exp.Coalesce(this=exp.Sum(this=cast(name_of(name), "HUGEINT")), expressions=[integer(0)])


def _sampled(question: Question) -> Any:
    """Return the condition that keeps K groups of each person, chosen by a public hash.

    Two sort keys on purpose: the second decides ties, and without it DuckDB rewrites the window
    into a slower list aggregate. The salt stands last: first, it makes DuckDB's hash unfair.
    """
    from sqlglot import exp

    names = (*question.person_names, *question.key_names)
    order = [exp.Ordered(this=chance([name_of(name) for name in names], question.salt), nulls_first=False)]
    order += [exp.Ordered(this=name_of(key), nulls_first=False) for key in question.key_names]
    number = exp.Window(
        this=exp.RowNumber(),
        partition_by=[name_of(person) for person in question.person_names],
        order=exp.Order(expressions=order),
    )
    return exp.LTE(this=number, expression=integer(question.bounds.groups))


def chance(values: list[Any], salt: int) -> Any:
    """Return the 32-bit public hash by which groups are chosen; narrow, so that sorting is fast."""
    from sqlglot import exp

    hashed = exp.Anonymous(this="hash", expressions=[*values, integer(salt)])
    return cast(exp.Mod(this=hashed, expression=integer(SPLIT)), "UINTEGER")


# -------------------------------------------------------------------------- predicates, literals


def _predicate(node: Predicate, question: Question) -> Any:
    from sqlglot import exp

    if isinstance(node, Logic):
        join = exp.And if node.operator == "AND" else exp.Or
        return exp.Paren(this=chained(join, [_predicate(term, question) for term in node.terms]))
    if isinstance(node, Not):
        return exp.Not(this=exp.Paren(this=_predicate(node.term, question)))
    if isinstance(node, IsNull):
        return exp.Paren(this=missing(_column(node.column.name, question)))
    if isinstance(node, In):
        values = [_const(item, question.domain[node.column.name]) for item in node.values]
        return exp.In(this=_column(node.column.name, question), expressions=values)
    kinds = {"=": exp.EQ, "<>": exp.NEQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE}
    left, right = (_operand(side, node, question) for side in (node.left, node.right))
    return exp.Paren(this=kinds[node.operator](this=left, expression=right))


def _operand(side: Ref | Const, node: Compare, question: Question) -> Any:
    if isinstance(side, Ref):
        return _column(side.name, question)
    other = node.left if isinstance(node.left, Ref) else node.right
    assert isinstance(other, Ref)
    return _const(side, question.domain[other.name])


def _const(item: Const, column: Column) -> Any:
    value = item.value
    if isinstance(value, Decimal) or (column.type == "float" and isinstance(value, int)):
        return double(float(value))
    return _key(value)


def _key(value: Key) -> Any:
    from sqlglot import exp

    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, datetime.date):
        return cast(exp.Literal.string(value.isoformat()), "DATE")
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
    return name_of(f"c{question.columns.index(name)}")


def salt(name: str, version: str) -> int:
    """Return the public number that decides group sampling: fixed by the data's name and version."""
    import hashlib

    digest = hashlib.sha256(f"discreet\0{name}\0{version}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2
