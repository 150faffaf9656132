"""The question as data: our own small grammar. The analyst's text ends here.

`rows` says what is computed from one row, `relations` where rows come from; this file says what is
asked of them: aggregates, arithmetic on what is released, and which groups are shown. A node prints
itself in one canonical spelling, which names the question in request ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from discreet.sql.statements.relations import Relation
from discreet.sql.statements.rows import Comparison, Const, Predicate, Ref, Row, quoted

Function: TypeAlias = Literal[
    "COUNT", "COUNT DISTINCT", "SUM", "AVG", "VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP",
    "COVAR_POP", "COVAR_SAMP", "CORR", "QUANTILE", "MIN", "MAX", "MODE",
]  # fmt: skip
Operator: TypeAlias = Literal["+", "-", "*", "/"]
SPREAD = ("VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP")
PAIRED = ("COVAR_POP", "COVAR_SAMP", "CORR")
TOTAL = "_total"  # of a column that says whether a group is a total over a key
DRAWN = ("QUANTILE", "MIN", "MAX", "MODE")  # drawn from the candidates, not a sum with noise

# ---------------------------------------------------------- expressions over released aggregates


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregate over the rows of a group.

    Args:
        function: Which.
        arguments: Of what; nothing for COUNT(*).
        rank: For QUANTILE, between 0 and 1.
    """

    function: Function
    arguments: tuple[Row, ...] = ()
    rank: Decimal | None = None

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.arguments)) or "*"
        if self.function == "COUNT DISTINCT":
            return f"COUNT(DISTINCT {inner})"
        return f"{self.function}({inner}{'' if self.rank is None else f', {self.rank}'})"

    @property
    def default_name(self) -> str | None:
        """The output's name without an alias: count, count_x, sum_x, avg_x, median_x; None if it needs one."""
        median = self.rank == Decimal("0.5")
        if any(not isinstance(item, Ref) for item in self.arguments) or (self.rank is not None and not median):
            return None
        named = [item.name for item in self.arguments if isinstance(item, Ref)]
        return "_".join(["median" if median else self.function.lower().replace(" ", "_"), *named])


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
    """One item of the SELECT list: a key (`key` is its place in GROUP BY) or an expression over aggregates."""

    name: str
    key: int | None = None
    expression: Expression | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """The whole question.

    Args:
        relation: Where the rows come from.
        outputs: The SELECT list.
        where: Which rows.
        keys: GROUP BY.
        sets: Which keys each grouping has, by their places; one grouping by all of them is usual.
        having, order, limit: What is shown of the released groups.
    """

    relation: Relation
    outputs: tuple[Output, ...]
    where: Predicate | None = None
    keys: tuple[Row, ...] = ()
    sets: tuple[tuple[int, ...], ...] = ()
    having: Having | None = None
    order: tuple[Sort, ...] = ()
    limit: int | None = None

    def __str__(self) -> str:
        parts = [f"SELECT {', '.join(map(self._output, self.outputs))} FROM {self.relation}"]
        if self.where is not None:
            parts.append(f"WHERE {self.where}")
        if self.sets:
            sets = (f"({', '.join(str(self.keys[place]) for place in chosen)})" for chosen in self.sets)
            parts.append(f"GROUP BY GROUPING SETS ({', '.join(sets)})")
        elif self.keys:
            parts.append(f"GROUP BY {', '.join(map(str, self.keys))}")
        if self.having is not None:
            parts.append(f"HAVING {self.having}")
        if self.order:
            parts.append(f"ORDER BY {', '.join(map(str, self.order))}")
        if self.limit is not None:
            parts.append(f"LIMIT {self.limit}")
        return " ".join(parts)

    def _output(self, item: Output) -> str:
        what = str(item.expression) if item.key is None else str(self.keys[item.key])
        return what if what == quoted(item.name) else f"{what} AS {quoted(item.name)}"


def aggregates(expression: Expression) -> tuple[Aggregate, ...]:
    """Return the distinct aggregates of an expression, in order of appearance."""
    if isinstance(expression, Aggregate):
        return (expression,)
    if isinstance(expression, Arithmetic):
        return tuple(dict.fromkeys(aggregates(expression.left) + aggregates(expression.right)))
    return ()
