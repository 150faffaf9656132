"""From values and conditions of a row to engine SQL. Total: no row can make an expression fail.

A declared number is clamped to its bounds and rounded to whole grid steps before it is reckoned
with, so that every result is a whole number of steps within bounds known beforehand. Only a bare
column is compared as it is stored.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from discreet.domains import Key
from discreet.errors import UnsupportedQuery
from discreet.sql.parsing.build import case, chained, column, double, integer, missing
from discreet.sql.statements import facts as public
from discreet.sql.statements.dialect import Dialect
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.rows import (
    Away,
    Case,
    Clamp,
    Compare,
    Compute,
    Const,
    DatePart,
    DateTrunc,
    Floor,
    In,
    IsNull,
    Like,
    Logic,
    Not,
    Predicate,
    Ref,
    Row,
    Scale,
)

NUMBERS = ("integer", "float")
MOST = 2**63 - 1  # in 64 bits


@dataclass(frozen=True, slots=True)
class Rows:
    """Writes values and conditions over the columns of one relation.

    Args:
        dialect: The engine's spelling.
        columns: The public facts of the columns.
        names: What the engine calls them.
        table: Whose they are: qualified, no name can mean an alias of the same SELECT.
    """

    dialect: Dialect
    columns: Mapping[Ref, Facts]
    names: Mapping[Ref, str]
    table: str

    def facts(self, row: Row) -> Facts:
        """Return the public facts of a value."""
        return public.facts(row, self.columns)

    # -------------------------------------------------------------------------------------- values

    def column(self, row: Row) -> Any:
        """Return a value as a column of a subquery: a reckoned number in steps, all else as it is."""
        found = self.facts(row)
        if found.type in NUMBERS and not isinstance(row, Ref) and not self._chosen(row):
            return self.steps(row)
        return self.plain(row)

    def _chosen(self, row: Row) -> bool:
        """Return whether a value is a column as it is stored where a condition holds, else NULL."""
        return isinstance(row, Case) and self.facts(row).step is None

    def plain(self, row: Row) -> Any:
        """Return a value that is no reckoned number: a column as it is read, a text, a date, a truth value."""
        if isinstance(row, Ref):
            return column(self.names[row], self.table)
        if isinstance(row, Const):
            found = self.literal(row.value)
            return self.dialect.binary(found) if isinstance(row.value, str) else found
        if isinstance(row, Case):
            branches = [(self.predicate(when), self.plain(then)) for when, then in row.branches]
            return case(*branches, default=None if row.default is None else self.plain(row.default))
        assert isinstance(row, DateTrunc)
        return self.dialect.date_trunc(row.unit, self.plain(row.value))

    def key(self, row: Row) -> Any:
        """Return a value to group by: whole numbers as such, not in steps."""
        found = self.facts(row)
        if found.type == "float":
            return self.steps(row) if found.step is not None else self.plain(row)
        if found.type != "integer" or (isinstance(row, Ref) and not found.stepped) or self._chosen(row):
            return self.plain(row)
        from sqlglot import exp

        size, total = int(found.step or 1), found.stepped and found.low is None  # of a total nobody knows the bounds
        if size * (1 if total else max(abs(found.low or 0), abs(found.high or 0))) > MOST:
            raise UnsupportedQuery(
                f"{row} makes whole numbers beyond 64 bits.", remedy="Divide it by a number, or declare tighter bounds."
            )
        if size == 1:
            return self.dialect.attempt(self.steps(row), "BIGINT") if total else self.steps(row)
        long = self._within_or_null(row, MOST // size) if total else self._long(row)
        return exp.Paren(this=exp.Mul(this=long, expression=integer(size)))

    def _within_or_null(self, row: Row, most: int) -> Any:
        """Return a total in 64 bits that can be multiplied: within ±most, else NULL.

        TRY_CAST of the product would not do: what overflows inside it fails the query. The operand is cut, so that
        no row makes the product overflow, whatever an engine works out before it looks at the CASE.
        """
        from sqlglot import exp

        value = self.dialect.attempt(self.steps(row), "BIGINT")
        return case((exp.Between(this=value, low=integer(-most), high=integer(most)), value.copy()))

    def steps(self, row: Row) -> Any:
        """Return a number in whole steps of its facts, within their bounds."""
        if isinstance(row, Ref):
            found = self.columns[row]
            return (
                column(self.names[row], self.table)
                if found.stepped
                else self._read(column(self.names[row], self.table), found)
            )
        if isinstance(row, Scale):
            inner = self.steps(row.value)
            return inner if public.scale(row) > 0 else _negative(inner)
        if isinstance(row, Const):
            return integer(self._whole(row))
        if isinstance(row, Compute):
            return self._compute(row)
        if isinstance(row, Floor):
            return self._floor(row)
        if isinstance(row, Clamp):
            return self._clamp(row)
        if isinstance(row, Away):
            low, high, _ = self.facts(row.value).range
            from sqlglot import exp

            moved = exp.Sub(this=self._long(row.value), expression=integer((low + high) // 2))
            return self.dialect.cast(exp.Paren(this=moved), self.dialect.fitting(max(1, high - low)))
        if isinstance(row, DatePart):
            return self._date_part(row)
        assert isinstance(row, Case)
        step = self._step(row)
        branches = [(self.predicate(when), self._in_steps(then, step)) for when, then in row.branches]
        return case(*branches, default=None if row.default is None else self._in_steps(row.default, step))

    def _read(self, value: Any, found: Facts) -> Any:
        """Return a declared column in grid steps: rounded, then clamped to the declared steps."""
        from sqlglot import exp

        low, high, step = found.range
        if found.type == "integer" and step == 1:
            rounded, least, most = value, integer(low), integer(high)
        else:
            scaled = exp.Mul(this=self.dialect.cast(value, "DOUBLE"), expression=double(1 / float(step)))
            rounded, least, most = self.dialect.rounded(scaled), double(float(low)), double(float(high))
        return self._within(value, rounded, least, most, max(abs(low), abs(high)))

    def _within(self, value: Any, rounded: Any, least: Any, most: Any, magnitude: int) -> Any:
        """CASE, not LEAST and GREATEST: those skip NULL and would turn it into a bound."""
        from sqlglot import exp

        clamped = case(
            (missing(value.copy()), exp.Null()),
            (exp.LTE(this=rounded, expression=least), least.copy()),
            (exp.GTE(this=rounded.copy(), expression=most), most.copy()),
            default=rounded.copy(),
        )
        return self.dialect.cast(clamped, self.dialect.fitting(magnitude))

    def _step(self, row: Row) -> Fraction:
        step = self.facts(row).step
        assert step is not None
        return step

    def _whole(self, row: Const) -> int:
        return int(public.exact(row) / self._step(row))

    def _in_steps(self, row: Row, step: Fraction) -> Any:
        """Return a number in steps of which its own are a multiple."""
        from sqlglot import exp

        times = self._step(row) / step
        assert times.denominator == 1
        if times == 1:
            return self.steps(row)
        if isinstance(row, Const):
            return integer(self._whole(row) * int(times))
        return exp.Paren(this=exp.Mul(this=self._long(row), expression=integer(int(times))))

    def _long(self, row: Row) -> Any:
        """Return steps with room for a product: 64 bits hold every bounded number, 128 every total of a person."""
        return self.dialect.cast(self.steps(row), "WIDE" if self.facts(row).low is None else "BIGINT")

    def _compute(self, row: Compute) -> Any:
        from sqlglot import exp

        if row.operator == "*":
            product = exp.Mul(this=self._long(row.left), expression=self._long(row.right))
            low, high, _ = self.facts(row).range
            return self.dialect.cast(exp.Paren(this=product), self.dialect.fitting(max(abs(low), abs(high))))
        step = self._step(row)
        kind = exp.Add if row.operator == "+" else exp.Sub
        left, right = (self.dialect.cast(self._in_steps(side, step), "BIGINT") for side in (row.left, row.right))
        return exp.Paren(this=kind(this=left, expression=right))

    def _floor(self, row: Floor) -> Any:
        """Floor by a division that cuts off towards zero: of a number that was first made positive."""
        from sqlglot import exp

        low, _, step = self.facts(row.value).range
        raised = max(0, math.ceil(-low * step))
        scaled = exp.Mul(this=self.dialect.cast(self.steps(row.value), "WIDE"), expression=integer(step.numerator))
        lifted = exp.Paren(this=exp.Add(this=scaled, expression=integer(raised * step.denominator)))
        whole = self.dialect.cast(self.dialect.divided(lifted, integer(step.denominator)), "BIGINT")
        return exp.Paren(this=exp.Sub(this=whole, expression=integer(raised)))

    def _clamp(self, row: Clamp) -> Any:
        below, within = self.facts(row.value), self.facts(row)
        low, high, step = within.range
        if below.step is None:  # a column, or a year, that is on no grid yet
            value = self.steps(row.value) if isinstance(row.value, DatePart) else self.plain(row.value)
            return self._read(value, Facts(within.type, low, high, step))
        value = self._in_steps(row.value, step)
        return self._within(value, value.copy(), integer(low), integer(high), max(abs(low), abs(high)))

    def _date_part(self, row: DatePart) -> Any:
        """Return the part, within its range: a year beyond that of the declared dates counts as the nearest."""
        value = self.dialect.date_part(row.part, self.plain(row.value))
        found = self.facts(row)
        if found.low is None or found.high is None:
            return value
        return self._within(value, value.copy(), integer(found.low), integer(found.high), 2**31 - 1)

    # ---------------------------------------------------------------------------------- conditions

    def predicate(self, node: Predicate) -> Any:
        """Return a condition in SQL's three-valued logic."""
        from sqlglot import exp

        if isinstance(node, Logic):
            join = exp.And if node.operator == "AND" else exp.Or
            return exp.Paren(this=chained(join, [self.predicate(term) for term in node.terms]))
        if isinstance(node, Not):
            return exp.Not(this=exp.Paren(this=self.predicate(node.term)))
        if isinstance(node, IsNull):
            return exp.Paren(this=missing(self.column(node.column)))
        if isinstance(node, Like):
            return exp.Paren(this=self.dialect.like(self.plain(node.column), node.pattern))
        if isinstance(node, In):
            return self._in(node)
        kinds = {"=": exp.EQ, "<>": exp.NEQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE}
        left, right = self._sides(node)
        return exp.Paren(this=kinds[node.operator](this=left, expression=right))

    def _sides(self, node: Compare) -> tuple[Any, Any]:
        from sqlglot import exp

        if self.facts(node.left).type not in NUMBERS:
            return self.plain(node.left), self.plain(node.right)
        if self._stored(node.left) and self._stored(node.right):
            return self._raw(node.left, node.right), self._raw(node.right, node.left)
        sides = []
        for side in (node.left, node.right):
            if self.facts(side).step is None:
                public.number(side, self.columns)  # says that it has no bounds
        step = public.common((self._step(node.left), self._step(node.right)))
        for side in (node.left, node.right):
            huge = isinstance(side, Const) and abs(public.exact(side) / step) >= 2**62
            if huge or self._step(side) / step >= 2**31:
                raise UnsupportedQuery(
                    f"{node} compares numbers of too different resolutions.", remedy="Declare coarser resolutions."
                )
            if isinstance(side, Const):
                sides.append(self._in_steps(side, step))
                continue
            times, value = int(self._step(side) / step), self.steps(side)
            if times > 1:  # 2**40 steps, or 2**88 of a total, times less than 2**31
                value = exp.Paren(this=exp.Mul(this=self.dialect.cast(value, "WIDE"), expression=integer(times)))
            sides.append(value)
        return sides[0], sides[1]

    def _stored(self, row: Row) -> bool:
        """Return whether a number can be compared as it is stored."""
        return isinstance(row, Const) or (isinstance(row, Ref) and not self.columns[row].stepped)

    def _raw(self, side: Row, other: Row) -> Any:
        if isinstance(side, Ref):
            return self.plain(side)
        assert isinstance(side, Const)
        if isinstance(side.value, Decimal) or self.facts(other).type == "float":
            return double(float(side.value))  # type: ignore[arg-type]
        return self.literal(side.value)

    def _in(self, node: In) -> Any:
        from sqlglot import exp

        if self.facts(node.column).type not in NUMBERS:
            values = [self.literal(item.value) for item in node.values]
            return exp.Paren(this=exp.In(this=self.plain(node.column), expressions=values))
        if self._stored(node.column):
            values = [self._raw(item, node.column) for item in node.values]
            return exp.Paren(this=exp.In(this=self.plain(node.column), expressions=values))
        terms = [self.predicate(Compare("=", node.column, item)) for item in node.values]
        return exp.Paren(this=chained(exp.Or, terms))

    def declared(self, value: Any, keys: tuple[Key, ...]) -> Any:
        """Return the condition that a value is one of the declared keys."""
        from sqlglot import exp

        known = [key for key in keys if key is not None]
        found: Any = None
        numbers = [key for key in known if type(key) is int]
        if numbers and len(numbers) == len(known) and max(numbers) - min(numbers) == len(numbers) - 1:
            found = exp.Between(this=value, low=integer(min(numbers)), high=integer(max(numbers)))
        elif known:
            found = exp.In(this=value, expressions=[self.literal(key) for key in known])
        if None not in keys:
            return found
        absent = missing(value.copy())
        return absent if found is None else exp.Or(this=found, expression=absent)

    def literal(self, value: Any) -> Any:
        """Return a text, a truth value, a date or a whole number as a literal."""
        from sqlglot import exp

        if isinstance(value, bool):
            return exp.Boolean(this=value)
        if isinstance(value, int):
            return integer(value)
        if isinstance(value, datetime.date):
            return self.dialect.cast(exp.Literal.string(value.isoformat()), "DATE")
        return exp.Literal.string(value)


def _negative(value: Any) -> Any:
    from sqlglot import exp

    return exp.Paren(this=exp.Neg(this=exp.Paren(this=value)))
