"""How Spark SQL spells what a plan needs.

Every difference from DuckDB that was found is an override here or a line of `spark_canary`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from discreet.domains import Column
from discreet.sql.parsing.build import integer
from discreet.sql.statements.dialect import SPLIT, Dialect
from discreet.sql.statements.rows import Part

WIDE = ("DECIMAL", 38)  # the widest whole number that Spark has: 38 digits, where 128 bits have 38 and a half


class SparkDialect(Dialect):
    """Spark's spelling."""

    name: ClassVar[str] = "spark"
    types: ClassVar[dict[str, str]] = {"INTEGER": "INT", "UINTEGER": "BIGINT", "VARCHAR": "TEXT"}

    def text(self, query: Any) -> str:
        """Return an expression as Spark's SQL; what would mean something else there than what we say raises."""
        from sqlglot import exp

        assert not any(True for _ in query.find_all(exp.IntDiv)), "DIV is cut to 64 bits"
        assert all(node.args.get("safe") for node in query.find_all(exp.TryCast)), "written as CAST"
        return super().text(query)

    def type(self, name: str) -> Any:
        """Return a type; WIDE is DECIMAL(38, 0)."""
        from sqlglot import exp

        if name != "WIDE":
            return super().type(name)
        kind, digits = WIDE
        sizes = [exp.DataTypeParam(this=integer(size)) for size in (digits, 0)]
        return exp.DataType(this=exp.DataType.Type[kind], expressions=sizes)

    def attempt(self, value: Any, to: str) -> Any:
        """Return TRY_CAST(value AS to). Unless it is told that this is meant, sqlglot writes CAST for Spark."""
        from sqlglot import exp

        return exp.TryCast(this=value, to=self.type(to), safe=True)

    def read(self, name: str, column: Column, table: str, *, person: bool) -> Any:  # noqa: ARG002 - the same for all
        """Return a column of the view that `engines.spark` makes of a source: it holds columns as they are read."""
        from sqlglot import exp

        known = exp.to_identifier(read_as(name, person=person), quoted=True)
        return exp.Column(this=known, table=exp.to_identifier(table, quoted=True))

    def binary(self, text: Any) -> Any:
        """Return a text that is compared byte by byte, whatever collation the session has."""
        from sqlglot import exp

        return exp.Collate(this=text, expression=exp.to_identifier("UTF8_BINARY"))

    def finite(self, value: Any) -> Any:
        """Return whether a double is neither infinite nor NaN, which is above all numbers in Spark."""
        from sqlglot import exp

        return exp.LT(this=exp.Abs(this=value), expression=self.cast(exp.Literal.string("Infinity"), "DOUBLE"))

    def divided(self, value: Any, by: Any) -> Any:
        """Return a whole number divided by a positive one, cut off towards zero; the quotient has at most 32 digits.

        Not by DIV: its result is a BIGINT, and of what is beyond 64 bits it keeps the last ones, silently.
        """
        from sqlglot import exp

        whole, divisor = self.cast(value, "WIDE"), self.cast(by, "WIDE")
        rest = exp.Mod(this=whole.copy(), expression=divisor.copy())
        even = exp.Paren(this=exp.Sub(this=whole, expression=rest))
        return self.cast(exp.Div(this=even, expression=divisor), "WIDE")

    def remainder(self, value: Any, by: Any) -> Any:
        """Return what the division leaves, with the sign of the value."""
        from sqlglot import exp

        return exp.Mod(this=self.cast(value, "WIDE"), expression=self.cast(by, "WIDE"))

    def person_total(self, value: Any) -> Any:
        """Return the sum over one person's rows; sums of Spark's do not widen, and fail beyond 64 bits."""
        from sqlglot import exp

        return exp.Sum(this=self.cast(value, "WIDE"))

    def chance(self, values: list[Any], salt: int) -> Any:
        """Return the 32-bit public hash by which groups are chosen: other ones than DuckDB's."""
        from sqlglot import exp

        hashed = exp.Anonymous(this="xxhash64", expressions=[*values, integer(salt)])
        return exp.Paren(this=exp.BitwiseAnd(this=hashed, expression=integer(SPLIT - 1)))

    def date_part(self, part: Part, value: Any) -> Any:
        """Return a part of a date as a whole number; dow counts from Sunday = 0, in Spark from 1."""
        from sqlglot import exp

        found = super().date_part(part, value)
        return exp.Paren(this=exp.Sub(this=found, expression=integer(1))) if part == "dow" else found


def read_as(name: str, *, person: bool) -> str:
    """Return what a source's view calls a column: a person's is read more strictly, and one may be read both ways."""
    return f"person {name}" if person else f"read {name}"
