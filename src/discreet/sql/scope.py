"""Names and literals: which declared column a name means, which typed value a literal is."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from discreet.domains import Domain
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.sql.nodes import Const
from discreet.sql.refuse import extra_arguments, refuse

INT64 = 2**63


@dataclass(slots=True)
class Scope:
    """What the names of one query may mean."""

    table: str
    domain: Domain
    aliases: set[str] = field(default_factory=set)

    def column(self, node: Any) -> str:
        """Return the declared name of a column; unquoted or not, case does not matter, as in DuckDB."""
        from sqlglot import exp

        if not isinstance(node.this, exp.Identifier):
            raise refuse(node.this)
        refusal = extra_arguments(node, {"this", "table"})
        if refusal is not None:
            raise refusal
        if node.table and node.table.lower() not in self.aliases:
            raise UnsupportedQuery(f"{node.table!r} names no table of this query.", remedy=f"Write FROM {self.table}.")
        return self.named(node.name)

    def named(self, name: str) -> str:
        """Return the declared column of this name."""
        found = [item for item in self.domain if item.lower() == name.lower()]
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            raise UnsupportedQuery(
                f"{name!r} could be any of the columns {', '.join(found)}: SQL does not tell cases apart.",
                remedy="Rename one of them in the table and the domain.",
            )
        known = ", ".join(list(self.domain)[:20])
        raise UnsupportedQuery(
            f"the column {name!r} is not declared in the domain of {self.table!r}.",
            remedy=f"Declare it, or use one of: {known}.",
        )

    def literal(self, node: Any, column: str) -> Const:
        """Return a literal as a value of the column's declared type."""
        from sqlglot import exp

        kind = self.domain[column].type
        negative = isinstance(node, exp.Neg)
        inner = node.this if negative else node
        if isinstance(inner, exp.Cast) and not negative:
            return self._date_cast(inner, column)
        if isinstance(inner, exp.Boolean) and not negative:
            if kind != "boolean":
                raise _mismatch(column, kind, "a truth value")
            return Const(bool(inner.this))
        if not isinstance(inner, exp.Literal) or (negative and inner.is_string):
            raise refuse(inner)
        if inner.is_string:
            return Const(self._text(inner.name, column, kind))
        value = number(inner.name)
        if kind not in ("integer", "float"):
            raise _mismatch(column, kind, "a number")
        value = -value if negative else value
        if value == value.to_integral_value() and abs(value) < INT64:
            return Const(int(value))
        if kind == "integer" and abs(value) >= INT64:
            raise InvalidInput(
                f"{inner.name[:40]} is beyond the 64-bit whole numbers of column {column!r}.",
                remedy="Use a smaller number.",
            )
        return Const(value.normalize())

    def _date_cast(self, node: Any, column: str) -> Const:
        from sqlglot import exp

        inner = node.this
        if not (node.to.is_type("date") and isinstance(inner, exp.Literal) and inner.is_string):
            raise refuse(node)
        return Const(self._text(inner.name, column, self.domain[column].type, dated=True))

    def _text(self, text: str, column: str, kind: str, *, dated: bool = False) -> str | datetime.date:
        if kind == "date":
            try:
                return datetime.date.fromisoformat(text)
            except ValueError:
                raise InvalidInput(
                    f"{text[:40]!r} is no date; column {column!r} is one.", remedy="Write it as '2024-12-31'."
                ) from None
        if kind != "text" or dated:
            raise _mismatch(column, kind, "a date" if dated else "text")
        return text


def number(text: str) -> Decimal:
    """Return a numeric literal, refused beyond the range of floating point."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise UnsupportedQuery(f"{text[:40]!r} is no number.", remedy="Write digits, like 12 or 0.5.") from None
    if len(text) > 400 or not value.is_finite() or (value and not -300 <= value.adjusted() <= 300):
        raise InvalidInput(f"the number {text[:40]} is out of range.", remedy="Use a number below 1e300.")
    return value


def _mismatch(column: str, kind: str, got: str) -> InvalidInput:
    example = {"integer": "5", "float": "0.5", "text": "'A'", "boolean": "TRUE", "date": "'2024-12-31'"}[kind]
    return InvalidInput(
        f"column {column!r} is declared as {kind} and is compared with {got}.",
        remedy=f"Write a literal of its type, like {example}.",
    )
