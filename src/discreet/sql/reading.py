"""How a stored value is read as its declared type, in engine SQL: total, and the same for every row.

A column of floats is often one of whole numbers, booleans or ids in which a value is missing: pandas
stores it so. What the others' values read as must not depend on that.
"""

from __future__ import annotations

from typing import Any

from discreet.domains import Column
from discreet.sql.build import case, engine_type, integer

SQL_TYPES = {"integer": "BIGINT", "float": "DOUBLE", "text": "VARCHAR", "boolean": "BOOLEAN", "date": "DATE"}
FLOATS = ("DOUBLE", "FLOAT")
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")


def read(name: str, column: Column, source: Any, *, person: bool) -> Any:
    """Return a column as its declared type; whatever cannot be read so is NULL.

    The name is qualified by its table's: else a name that the table lacks could mean a column of ours.

    Args:
        name: The column.
        column: Its declaration.
        source: The table, in sqlglot's terms.
        person: Whether it says who is who: then 0.9 and 1.2 are nobody, and not both the person 1.
    """
    from sqlglot import exp

    def stored() -> Any:
        return exp.Column(this=exp.to_identifier(name, quoted=True), table=source.this.copy())

    value = _as(stored(), column.type)
    if column.type == "float":
        return case((exp.Anonymous(this="isfinite", expressions=[value]), value.copy()))
    if column.type == "text":
        return _plain(_text(stored(), value))
    if column.type == "integer" and person:
        whole = exp.Or(
            this=_stored_as(stored(), WHOLE), expression=_is_written_whole(_as(stored(), "text"), value.copy())
        )
        return case((whole, value))
    return value


def _text(stored: Any, text: Any) -> Any:
    """Return a text; of a column of floats, whole numbers print as such: 1, never 1.0."""
    from sqlglot import exp

    number = _as(text.copy(), "integer")
    whole = exp.And(this=_stored_as(stored, FLOATS), expression=_is_whole(text.copy(), number.copy()))
    return exp.Paren(this=case((whole, _as(number, "text")), default=text))


def _is_whole(text: Any, number: Any) -> Any:
    """Return whether a text of a float is the whole number that it reads as."""
    from sqlglot import exp

    return exp.EQ(this=_as(text, "float"), expression=_as(number, "float"))


def _is_written_whole(text: Any, number: Any) -> Any:
    """Return whether any text is the whole number that it reads as: as floats where those are exact, else to the letter."""
    from sqlglot import exp

    exact = exp.Between(this=number.copy(), low=integer(-(2**53)), high=integer(2**53))
    letters = exp.EQ(this=text.copy(), expression=_as(number.copy(), "text"))
    return exp.Paren(this=exp.Or(this=exp.And(this=exact, expression=_is_whole(text, number)), expression=letters))


def _plain(text: Any) -> Any:
    """Return a text that is compared byte by byte, whatever collation its column or its connection has."""
    from sqlglot import exp

    return exp.Collate(this=text, expression=exp.to_identifier("binary", quoted=True))


def _stored_as(stored: Any, kinds: tuple[str, ...]) -> Any:
    from sqlglot import exp

    kind = exp.Anonymous(this="typeof", expressions=[stored])
    return exp.In(this=kind, expressions=[exp.Literal.string(item) for item in kinds])


def _as(value: Any, kind: str) -> Any:
    from sqlglot import exp

    return exp.TryCast(this=value, to=engine_type(SQL_TYPES[kind]))
