"""How an engine spells what a plan needs: types, reading a column, the public hash, exact division.

`Dialect` is DuckDB's spelling; another engine overrides what differs (`engines/spark_dialect.py`).
Whatever an engine is, a cell reads as the same value, or as NULL, and integers are exact.
"""

from __future__ import annotations

from typing import Any, ClassVar

from discreet.domains import Column
from discreet.sql.parsing.build import case, integer
from discreet.sql.statements.rows import Part, Unit

SPLIT = 2**32  # 128-bit sums leave the engine as two 64-bit halves
SQL_TYPES = {"integer": "BIGINT", "float": "DOUBLE", "text": "VARCHAR", "boolean": "BOOLEAN", "date": "DATE"}
FLOATS = ("DOUBLE", "FLOAT")
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"  # of the calendar in which dates are shown, as other engines have it
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")


class Dialect:
    """DuckDB's spelling."""

    name: ClassVar[str] = "duckdb"
    # sqlglot's names of the engine's types, where they differ from ours
    types: ClassVar[dict[str, str]] = {"INTEGER": "INT", "WIDE": "INT128", "UINTEGER": "UINT"}

    def text(self, query: Any) -> str:
        """Return an expression, which is used up, as the engine's SQL; what it cannot say raises."""
        from sqlglot import ErrorLevel

        return str(
            query.sql(dialect=self.name, unsupported_level=ErrorLevel.RAISE, identify=False, comments=False, copy=False)
        )

    def type(self, name: str) -> Any:
        """Return a type: BOOLEAN, SMALLINT, INTEGER, BIGINT, WIDE (128 bits), DOUBLE, VARCHAR, DATE."""
        from sqlglot import exp

        return exp.DataType(this=exp.DataType.Type[self.types.get(name, name)])

    def cast(self, value: Any, to: str) -> Any:
        """Return CAST(value AS to), of a value that fits."""
        from sqlglot import exp

        return exp.Cast(this=value, to=self.type(to))

    def attempt(self, value: Any, to: str) -> Any:
        """Return TRY_CAST(value AS to): NULL where it does not fit."""
        from sqlglot import exp

        return exp.TryCast(this=value, to=self.type(to))

    def fitting(self, most: int) -> str:
        """Return the narrowest type that holds every integer up to `most` in magnitude."""
        for bits, name in ((15, "SMALLINT"), (31, "INTEGER"), (63, "BIGINT")):
            if most < 2**bits:
                return name
        return "WIDE"

    # ------------------------------------------------------------------------------------- reading

    def read(self, name: str, column: Column, table: str, *, person: bool) -> Any:
        """Return a column as its declared type; whatever cannot be read so is NULL.

        So is a date beyond the calendar: DuckDB has some whose month has no first day, and fails on them.
        The name is qualified by its table's: else a name that the table lacks could mean a column of ours.
        A column of floats is often one of whole numbers, booleans or ids in which a value is missing: pandas
        stores it so. What the others' values read as must not depend on that.

        Args:
            name: The column.
            column: Its declaration.
            table: The engine's name of the table.
            person: Whether it says who is who: then 0.9 and 1.2 are nobody, and not both the person 1.
        """
        from sqlglot import exp

        def stored() -> Any:
            return exp.Column(this=exp.to_identifier(name, quoted=True), table=exp.to_identifier(table, quoted=True))

        value = self._as(stored(), column.type)
        if column.type == "float":
            return case((self.finite(value), value.copy()))
        if column.type == "date":
            days = [self.cast(exp.Literal.string(day), "DATE") for day in (FIRST_DAY, LAST_DAY)]
            return case((exp.Between(this=value, low=days[0], high=days[1]), value.copy()))
        if column.type == "text":
            return self.binary(self._text(stored(), value))
        if column.type == "integer" and person:
            whole = exp.Or(
                this=self._stored_as(stored(), WHOLE),
                expression=self._is_written_whole(self._as(stored(), "text"), value.copy()),
            )
            return case((whole, value))
        return value

    def finite(self, value: Any) -> Any:
        """Return whether a double is neither infinite nor NaN."""
        from sqlglot import exp

        return exp.Anonymous(this="isfinite", expressions=[value])

    def _text(self, stored: Any, text: Any) -> Any:
        """Return a text; of a column of floats, whole numbers print as such: 1, never 1.0."""
        from sqlglot import exp

        number = self._as(text.copy(), "integer")
        whole = exp.And(this=self._stored_as(stored, FLOATS), expression=self._is_whole(text.copy(), number.copy()))
        return exp.Paren(this=case((whole, self._as(number, "text")), default=text))

    def _is_whole(self, text: Any, number: Any) -> Any:
        """Return whether a text of a float is the whole number that it reads as."""
        from sqlglot import exp

        return exp.EQ(this=self._as(text, "float"), expression=self._as(number, "float"))

    def _is_written_whole(self, text: Any, number: Any) -> Any:
        """Return whether any text is the whole number that it reads as: as floats where exact, else to the letter."""
        from sqlglot import exp

        exact = exp.Between(this=number.copy(), low=integer(-(2**53)), high=integer(2**53))
        letters = exp.EQ(this=text.copy(), expression=self._as(number.copy(), "text"))
        same = exp.And(this=exact, expression=self._is_whole(text, number))
        return exp.Paren(this=exp.Or(this=same, expression=letters))

    def binary(self, text: Any) -> Any:
        """Return a text that is compared byte by byte, whatever collation its column or its connection has."""
        from sqlglot import exp

        return exp.Collate(this=text, expression=exp.to_identifier("binary", quoted=True))

    def _stored_as(self, stored: Any, kinds: tuple[str, ...]) -> Any:
        from sqlglot import exp

        kind = exp.Anonymous(this="typeof", expressions=[stored])
        return exp.In(this=kind, expressions=[exp.Literal.string(item) for item in kinds])

    def _as(self, value: Any, kind: str) -> Any:
        return self.attempt(value, SQL_TYPES[kind])

    # ---------------------------------------------------------------------------------- arithmetic

    def divided(self, value: Any, by: Any) -> Any:
        """Return a whole number divided by a positive one, cut off towards zero, exactly."""
        from sqlglot import exp

        return exp.IntDiv(this=value, expression=by)

    def remainder(self, value: Any, by: Any) -> Any:
        """Return what the division leaves, with the sign of the value."""
        from sqlglot import exp

        return exp.Mod(this=value, expression=by)

    def halves(self, name: str) -> tuple[Any, Any]:
        """Return a 128-bit total // 2**32 and % 2**32, as 64-bit integers."""
        from sqlglot import exp

        high, low = exp.column(name), exp.column(name)
        return (
            self.cast(self.divided(high, integer(SPLIT)), "BIGINT"),
            self.cast(self.remainder(low, integer(SPLIT)), "BIGINT"),
        )

    def total(self, value: Any) -> Any:
        """Return the sum over rows as a 128-bit integer; of nothing it is 0."""
        from sqlglot import exp

        return exp.Coalesce(this=exp.Sum(this=self.cast(value, "WIDE")), expressions=[integer(0)])

    def person_total(self, value: Any) -> Any:
        """Return the sum over one person's rows of whole numbers, in a type that it cannot leave."""
        from sqlglot import exp

        return exp.Sum(this=value)  # DuckDB widens sums by itself

    def rounded(self, value: Any) -> Any:
        """Return a double rounded to a whole one, halves away from zero."""
        from sqlglot import exp

        return exp.Round(this=value)

    def root(self, value: Any) -> Any:
        """Return the square root of a whole number as a double, correctly rounded."""
        from sqlglot import exp

        return exp.Sqrt(this=self.cast(value, "DOUBLE"))

    # --------------------------------------------------------------------------------- public hash

    def chance(self, values: list[Any], salt: int) -> Any:
        """Return the 32-bit public hash by which groups are chosen; narrow, so that sorting is fast.

        The salt stands last: first, it makes DuckDB's hash unfair.
        """
        from sqlglot import exp

        hashed = exp.Anonymous(this="hash", expressions=[*values, integer(salt)])
        return self.cast(exp.Mod(this=hashed, expression=integer(SPLIT)), "UINTEGER")

    # --------------------------------------------------------------------------------------- dates

    def date_part(self, part: Part, value: Any) -> Any:
        """Return a part of a date as a whole number; dow counts from Sunday = 0."""
        from sqlglot import exp

        return self.cast(exp.Anonymous(this="date_part", expressions=[exp.Literal.string(part), value]), "INTEGER")

    def date_trunc(self, unit: Unit, value: Any) -> Any:
        """Return the first day of a date's period."""
        from sqlglot import exp

        return self.cast(exp.Anonymous(this="date_trunc", expressions=[exp.Literal.string(unit), value]), "DATE")

    def like(self, value: Any, pattern: str) -> Any:
        """Return value LIKE pattern; the pattern holds no backslash."""
        from sqlglot import exp

        return exp.Like(this=value, expression=exp.Literal.string(pattern))
