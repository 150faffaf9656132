"""What is computed from one private row: values and conditions, as data.

The analyst's text ends here: engine SQL is generated from these nodes alone. A node prints itself
in one canonical spelling, which names the question in request ids. Each is total: defined for
every row, with NULL where there is nothing to say.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

Scalar: TypeAlias = str | int | Decimal | bool | datetime.date
Comparison: TypeAlias = Literal["=", "<>", "<", "<=", ">", ">="]
Unit: TypeAlias = Literal["year", "quarter", "month", "week", "day"]
Part: TypeAlias = Literal["year", "quarter", "month", "day", "dow"]

# ------------------------------------------------------------------------------------------ values


@dataclass(frozen=True, slots=True)
class Ref:
    """A column of the relation below; `table` says whose, where two tables are joined."""

    name: str
    table: str = ""

    def __str__(self) -> str:
        return f"{quoted(self.table)}.{quoted(self.name)}" if self.table else quoted(self.name)


@dataclass(frozen=True, slots=True)
class Const:
    """A literal of the query."""

    value: Scalar

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return "TRUE" if self.value else "FALSE"
        if isinstance(self.value, datetime.date):
            return f"DATE '{self.value.isoformat()}'"
        if isinstance(self.value, str):
            return "'" + self.value.replace("'", "''") + "'"
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Compute:
    """left <operator> right on clamped values, in whole grid steps; NULL where a side is."""

    operator: Literal["+", "-", "*"]
    left: Row
    right: Row

    def __str__(self) -> str:
        return f"({self.left} {self.operator} {self.right})"


@dataclass(frozen=True, slots=True)
class Scale:
    """A value times a number, or divided by one: the same steps, each worth something else."""

    operator: Literal["*", "/"]
    value: Row
    by: Const

    def __str__(self) -> str:
        return f"({self.value} {self.operator} {self.by})"


@dataclass(frozen=True, slots=True)
class Floor:
    """The largest whole number not above the value."""

    value: Row

    def __str__(self) -> str:
        return f"FLOOR({self.value})"


@dataclass(frozen=True, slots=True)
class Clamp:
    """LEAST(GREATEST(value, low), high); NULL stays NULL."""

    value: Row
    low: Const
    high: Const

    def __str__(self) -> str:
        return f"LEAST(GREATEST({self.value}, {self.low}), {self.high})"


@dataclass(frozen=True, slots=True)
class Away:
    """value - (the middle of its bounds, cut to a whole step): what variances are made of. No query can write it."""

    value: Row

    def __str__(self) -> str:
        return f"({self.value} around its middle)"


@dataclass(frozen=True, slots=True)
class Case:
    """CASE: the value of the first condition that holds, else the default, else NULL."""

    branches: tuple[tuple[Predicate, Row], ...]
    default: Row | None = None

    def __str__(self) -> str:
        parts = [f"WHEN {when} THEN {then}" for when, then in self.branches]
        parts += [f"ELSE {self.default}"] if self.default is not None else []
        return f"CASE {' '.join(parts)} END"


@dataclass(frozen=True, slots=True)
class DatePart:
    """EXTRACT(part FROM date): a whole number; dow counts from Sunday = 0."""

    part: Part
    value: Row

    def __str__(self) -> str:
        return f"EXTRACT({self.part} FROM {self.value})"


@dataclass(frozen=True, slots=True)
class DateTrunc:
    """DATE_TRUNC(unit, date): the first day of the date's year, quarter, month or week (Monday)."""

    unit: Unit
    value: Row

    def __str__(self) -> str:
        return f"DATE_TRUNC('{self.unit}', {self.value})"


Row: TypeAlias = Ref | Const | Compute | Scale | Floor | Clamp | Away | Case | DatePart | DateTrunc

# -------------------------------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True)
class Compare:
    """left <operator> right; unknown where a side is NULL."""

    operator: Comparison
    left: Row
    right: Row

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class In:
    """value IN (literals)."""

    column: Row
    values: tuple[Const, ...]

    def __str__(self) -> str:
        return f"{self.column} IN ({', '.join(map(str, self.values))})"


@dataclass(frozen=True, slots=True)
class Like:
    """text LIKE pattern: % is any text, _ any character."""

    column: Row
    pattern: str

    def __str__(self) -> str:
        return f"{self.column} LIKE {Const(self.pattern)}"


@dataclass(frozen=True, slots=True)
class IsNull:
    """value IS NULL."""

    column: Row

    def __str__(self) -> str:
        return f"{self.column} IS NULL"


@dataclass(frozen=True, slots=True)
class Not:
    """NOT predicate, in three-valued logic."""

    term: Predicate

    def __str__(self) -> str:
        return f"NOT ({self.term})"


@dataclass(frozen=True, slots=True)
class Logic:
    """Several predicates joined by AND or by OR; at least two."""

    operator: Literal["AND", "OR"]
    terms: tuple[Predicate, ...]

    def __str__(self) -> str:
        return f" {self.operator} ".join(f"({term})" for term in self.terms)


Predicate: TypeAlias = Compare | In | Like | IsNull | Not | Logic


def below(node: Row | Predicate) -> tuple[Row | Predicate, ...]:
    """Return the nodes that a node is made of."""
    if isinstance(node, Compute | Compare):
        return (node.left, node.right)
    if isinstance(node, Case):
        inner = tuple(item for branch in node.branches for item in branch)
        return inner if node.default is None else (*inner, node.default)
    if isinstance(node, Scale | Floor | Clamp | Away | DatePart | DateTrunc):
        return (node.value,)
    if isinstance(node, In | Like | IsNull):
        return (node.column,)
    if isinstance(node, Not):
        return (node.term,)
    return node.terms if isinstance(node, Logic) else ()


def size(node: Row | Predicate, most: int) -> int:
    """Return about how many nodes of engine SQL a value or a condition becomes; beyond `most` counting stops.

    A node may stand in several places, and an engine's spelling says some values several times.
    """
    inner = 0
    for item in below(node):
        inner += size(item, most)
        if inner > most:
            break
    if isinstance(node, Clamp | DatePart):  # CASE: missing, at most, at least, itself
        return 1 + 4 * inner
    if isinstance(node, In):  # = or = or …
        return 1 + inner * len(node.values) if inner > 1 else 1 + len(node.values)
    return 1 + (2 * inner if isinstance(node, Floor) else inner)  # a division says in Spark what it divides twice


def written(node: Row | Predicate) -> int:
    """Return how many nodes a value or a condition is made of, each counted where it stands first."""
    seen: set[int] = set()
    waiting, literals = [node], 0
    while waiting:
        item = waiting.pop()
        if id(item) not in seen:
            seen.add(id(item))
            literals += len(item.values) if isinstance(item, In) else 0
            waiting += below(item)
    return len(seen) + literals


def refs(node: Row | Predicate) -> Iterator[Ref]:
    """Yield the columns that a node reads."""
    if isinstance(node, Ref):
        yield node
    for item in below(node):
        yield from refs(item)


def quoted(name: str) -> str:
    """Return a name as SQL writes it: bare where that is safe, else in double quotes."""
    if name.isidentifier() and name.isascii() and name.lower() == name and name not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


# Words of the grammar; names of functions are not among them, for a parenthesis follows those.
RESERVED = frozenset([
    "all", "and", "as", "asc", "between", "by", "case", "cross", "desc", "distinct", "else", "end", "false", "filter",
    "first", "from", "full", "group", "grouping", "having", "in", "inner", "is", "join", "last", "left", "like", "limit",
    "not", "null", "nulls", "offset", "on", "or", "order", "outer", "over", "right", "rollup", "select", "sets", "table",
    "then", "true", "union", "using", "when", "where", "with", "within",
])  # fmt: skip
