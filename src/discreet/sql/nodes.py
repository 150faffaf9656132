"""The query as data: our own small grammar. The analyst's text ends here.

Everything after parsing works on these nodes; engine SQL is generated from them alone. A node
prints itself in one canonical spelling, which names the question in request ids.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

Scalar: TypeAlias = str | int | Decimal | bool | datetime.date
Comparison: TypeAlias = Literal["=", "<>", "<", "<=", ">", ">="]
Function: TypeAlias = Literal["COUNT", "SUM", "AVG"]
Operator: TypeAlias = Literal["+", "-", "*", "/"]

# ------------------------------------------------------------------ predicates on private rows


@dataclass(frozen=True, slots=True)
class Ref:
    """A declared column."""

    name: str

    def __str__(self) -> str:
        return quoted(self.name)


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
class Compare:
    """left <operator> right; unknown where a side is NULL."""

    operator: Comparison
    left: Ref | Const
    right: Ref | Const

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class In:
    """column IN (literals)."""

    column: Ref
    values: tuple[Const, ...]

    def __str__(self) -> str:
        return f"{self.column} IN ({', '.join(map(str, self.values))})"


@dataclass(frozen=True, slots=True)
class IsNull:
    """column IS NULL."""

    column: Ref

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


Predicate: TypeAlias = Compare | In | IsNull | Not | Logic

# ---------------------------------------------------------- expressions over released aggregates


@dataclass(frozen=True, slots=True)
class Aggregate:
    """COUNT(*), COUNT(column), SUM(column) or AVG(column)."""

    function: Function
    column: str | None

    def __str__(self) -> str:
        return f"{self.function}({'*' if self.column is None else quoted(self.column)})"

    @property
    def default_name(self) -> str:
        """The output's name without an alias: count, count_x, sum_x, avg_x."""
        return self.function.lower() + (f"_{self.column}" if self.column else "")


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric literal in arithmetic."""

    value: Decimal

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """left <operator> right, in floating point; x / 0 is NULL."""

    operator: Operator
    left: Expression
    right: Expression

    def __str__(self) -> str:
        return f"({self.left} {self.operator} {self.right})"


@dataclass(frozen=True, slots=True)
class Released:
    """A released output column (an alias) or a key, by name: only in HAVING and ORDER BY."""

    name: str

    def __str__(self) -> str:
        return quoted(self.name)


Expression: TypeAlias = Aggregate | Number | Arithmetic | Released


@dataclass(frozen=True, slots=True)
class Condition:
    """A HAVING comparison of released values; a key may be compared with a literal of its type."""

    operator: Comparison
    left: Expression | Const
    right: Expression | Const

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class Conditions:
    """HAVING terms joined by AND or OR, or one of them negated by NOT."""

    operator: Literal["AND", "OR", "NOT"]
    terms: tuple[Having, ...]

    def __str__(self) -> str:
        if self.operator == "NOT":
            return f"NOT ({self.terms[0]})"
        return f" {self.operator} ".join(f"({term})" for term in self.terms)


Having: TypeAlias = Condition | Conditions


@dataclass(frozen=True, slots=True)
class Sort:
    """One ORDER BY term."""

    expression: Expression
    descending: bool
    nulls_first: bool

    def __str__(self) -> str:
        nulls = " NULLS FIRST" if self.nulls_first else ""
        return f"{self.expression}{' DESC' if self.descending else ''}{nulls}"


@dataclass(frozen=True, slots=True)
class Output:
    """One item of the SELECT list: a key (`key` is its column) or an expression over aggregates."""

    name: str
    key: str | None = None
    expression: Expression | None = None

    def __str__(self) -> str:
        if self.key == self.name:
            return quoted(self.name)
        what = quoted(self.key) if self.key is not None else str(self.expression)
        return f"{what} AS {quoted(self.name)}"


@dataclass(frozen=True, slots=True)
class Select:
    """The whole question."""

    table: str
    outputs: tuple[Output, ...]
    where: Predicate | None = None
    keys: tuple[str, ...] = ()
    having: Having | None = None
    order: tuple[Sort, ...] = ()
    limit: int | None = None

    def __str__(self) -> str:
        parts = [f"SELECT {', '.join(map(str, self.outputs))} FROM {quoted(self.table)}"]
        if self.where is not None:
            parts.append(f"WHERE {self.where}")
        if self.keys:
            parts.append(f"GROUP BY {', '.join(map(quoted, self.keys))}")
        if self.having is not None:
            parts.append(f"HAVING {self.having}")
        if self.order:
            parts.append(f"ORDER BY {', '.join(map(str, self.order))}")
        if self.limit is not None:
            parts.append(f"LIMIT {self.limit}")
        return " ".join(parts)


def quoted(name: str) -> str:
    """Return a name as SQL writes it: bare where that is safe, else in double quotes."""
    if name.isidentifier() and name.isascii() and name.lower() == name and name not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


RESERVED = frozenset([
    "all", "and", "as", "asc", "avg", "between", "by", "case", "count", "date", "desc", "distinct", "else",
    "end", "false", "first", "from", "group", "having", "in", "is", "join", "last", "like", "limit", "not",
    "null", "nulls", "offset", "on", "or", "order", "select", "sum", "table", "then", "true", "union",
    "using", "when", "where", "with",
])  # fmt: skip


def aggregates(expression: Expression) -> tuple[Aggregate, ...]:
    """Return the distinct aggregates of an expression, in order of appearance."""
    if isinstance(expression, Aggregate):
        return (expression,)
    if isinstance(expression, Arithmetic):
        return tuple(dict.fromkeys(aggregates(expression.left) + aggregates(expression.right)))
    return ()
