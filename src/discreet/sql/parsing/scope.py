"""Names and literals: which column a name means, which typed value a literal is."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.sql.parsing.copies import Copies
from discreet.sql.parsing.refuse import extra_arguments, refuse
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.rows import Const, Ref

INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Scope:
    """What the names of one SELECT may mean.

    Args:
        columns: The columns of its FROM, with their facts.
        labels: The tables of its FROM, by the names (in lower case) that they go by.
        people: The columns that are a person's.
        source: What its FROM is, in words.
        copies: What the query says again.
    """

    columns: Mapping[Ref, Facts]
    labels: Mapping[str, str]
    people: frozenset[Ref] = frozenset()
    source: str = ""
    copies: Copies = field(default_factory=Copies)

    def column(self, node: Any) -> Ref:
        """Return the column that a name means; unquoted or not, case does not matter, as in DuckDB."""
        from sqlglot import exp

        if not isinstance(node.this, exp.Identifier):
            raise refuse(node.this)
        refusal = extra_arguments(node, {"this", "table"})
        if refusal is not None:
            raise refusal
        label = None
        if node.table:
            label = self.labels.get(node.table.lower())
            if label is None:
                raise UnsupportedQuery(
                    f"{node.table!r} names no table of this query.", remedy=f"Write FROM {self.source}."
                )
        return self.named(node.name, label)

    def named(self, name: str, label: str | None = None) -> Ref:
        """Return the column of this name, in the table of this label if one is given."""
        found = self.unambiguous(name, [item for item in self.columns if label in (None, item.table)])
        if found is not None:
            return found
        known = ", ".join(dict.fromkeys(item.name for item in list(self.columns)[:20]))
        raise UnsupportedQuery(
            f"the column {name!r} is not declared in the domain of {self.source!r}.",
            remedy=f"Declare it, or use one of: {known}.",
        )

    def unambiguous(self, name: str, columns: Sequence[Ref]) -> Ref | None:
        """Return which of some columns has a name, if one has.

        Raises:
            UnsupportedQuery: several have it, of several tables: within one, names differ in more than case.
        """
        found = [item for item in columns if item.name.lower() == name.lower()]
        if len(found) > 1:
            raise UnsupportedQuery(
                f"{name!r} could be any of the columns {', '.join(map(str, found))}.",
                remedy="Write the table's name before it.",
            )
        return found[0] if found else None

    def literal(self, node: Any, kind: str, label: str) -> Const:
        """Return a literal as a value of a type.

        Args:
            node: The literal.
            kind: The type that it is compared with.
            label: What has that type, for messages.
        """
        from sqlglot import exp

        negative = isinstance(node, exp.Neg)
        inner = node.this if negative else node
        if isinstance(inner, exp.Cast) and not negative:
            return self._date_cast(inner, kind, label)
        if isinstance(inner, exp.Boolean) and not negative:
            if kind != "boolean":
                raise _mismatch(label, kind, "a truth value")
            return Const(bool(inner.this))
        if not isinstance(inner, exp.Literal) or (negative and inner.is_string):
            raise refuse(inner)
        if inner.is_string:
            return Const(self._text(inner.name, kind, label))
        value = number(inner.name)
        if kind not in ("integer", "float"):
            raise _mismatch(label, kind, "a number")
        value = -value if negative else value
        if value == value.to_integral_value() and abs(value) < INT64:
            return Const(int(value))
        if kind == "integer" and abs(value) >= INT64:
            raise InvalidInput(
                f"{inner.name[:40]} is beyond the 64-bit whole numbers of {label}.",
                remedy="Use a smaller number.",
            )
        return Const(value.normalize())

    def _date_cast(self, node: Any, kind: str, label: str) -> Const:
        from sqlglot import exp

        inner = node.this
        if not (node.to.is_type("date") and isinstance(inner, exp.Literal) and inner.is_string):
            raise refuse(node)
        return Const(self._text(inner.name, kind, label, dated=True))

    def _text(self, text: str, kind: str, label: str, *, dated: bool = False) -> str | datetime.date:
        if kind == "date":
            return date(text, label)
        if kind != "text" or dated:
            raise _mismatch(label, kind, "a date" if dated else "text")
        return text


def date(text: str, label: str) -> datetime.date:
    """Return a date as it is written."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text[:40]!r} is no date; {label} is one.", remedy="Write it as '2024-12-31'.") from None


def number(text: str) -> Decimal:
    """Return a numeric literal, refused beyond the range of floating point."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise UnsupportedQuery(f"{text[:40]!r} is no number.", remedy="Write digits, like 12 or 0.5.") from None
    if len(text) > 400 or not value.is_finite() or (value and not -300 <= value.adjusted() <= 300):
        raise InvalidInput(f"the number {text[:40]} is out of range.", remedy="Use a number below 1e300.")
    return value


def _mismatch(label: str, kind: str, got: str) -> InvalidInput:
    example = {"integer": "5", "float": "0.5", "text": "'A'", "boolean": "TRUE", "date": "'2024-12-31'"}[kind]
    return InvalidInput(
        f"{label} is declared as {kind} and is compared with {got}.",
        remedy=f"Write a literal of its type, like {example}.",
    )
