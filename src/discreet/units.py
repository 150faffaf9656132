"""PrivacyUnit: who is protected, and how much of a table one of them may touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from discreet.errors import InvalidInput
from discreet.events import Relation


@dataclass(frozen=True, slots=True)
class PrivacyUnit:
    """Who is protected.

    Args:
        column: The column that identifies a person. With it the bounds below are *enforced* by
            truncation inside the query. Without it `max_rows` is the caller's *promise*, which
            the guarantee lists as an assumption.
        max_groups: How many groups of a GROUP BY one person may touch; None: every declared one.
            Only with `column`: nothing else could enforce it.
        max_rows: With `column`: how many rows of a person count in one group (of all rows, without
            a GROUP BY). Without it: how many rows a person has in the whole table.
        per: A period column if the unit is a person *in one period*; None for always.
        relation: When two datasets are neighbours.
    """

    column: str | None = None
    max_groups: int | None = None
    max_rows: int = 1
    per: str | None = None
    relation: Relation = Relation.ADD_REMOVE

    def __post_init__(self) -> None:
        object.__setattr__(self, "relation", _relation(self.relation))
        for name, value in (("max_groups", self.max_groups), ("max_rows", self.max_rows)):
            if value is None and name == "max_groups":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**31:
                raise InvalidInput(f"{name} must be a whole number from 1 to 2**31, got {value!r}.")
        for name, text in (("column", self.column), ("per", self.per)):
            if text is not None and (not isinstance(text, str) or not text):
                raise InvalidInput(f"{name} must be the name of a column, got {text!r}.")
        if self.max_groups is not None and self.column is None:
            raise InvalidInput(
                "max_groups needs column: nothing says whose groups are counted.",
                remedy="Name the column that identifies a person, or leave max_groups out and promise max_rows.",
            )
        if self.per is not None and self.column is None:
            raise InvalidInput(
                "per needs column: a unit is a person in one period, and nothing says who is a person.",
                remedy="Name the column that identifies a person, or leave per out.",
            )

    @property
    def enforced(self) -> bool:
        """Whether the bounds are enforced by truncation (a person's column is known)."""
        return self.column is not None

    @property
    def protects(self) -> dict[str, Any]:
        """What an account fixes for ever: who is protected, under which relation.

        Enforced bounds are no part of it: they shape the noise of one table, not who is protected.
        Promised bounds are: without a person's column they *define* the unit.
        """
        facts: dict[str, Any] = {"column": self.column, "per": self.per, "relation": self.relation.value}
        if not self.enforced:
            facts |= {"max_groups": self.max_groups, "max_rows": self.max_rows}
        return facts

    @property
    def label(self) -> str:
        """The unit in a few words: "per id (add_remove)"."""
        if self.column:
            who = f"per {self.column}"
        else:
            who = "per row" if self.max_rows == 1 else f"per {self.max_rows} rows"
        return f"{who}{f' and {self.per}' if self.per else ''} ({self.relation.value})"

    def to_dict(self) -> dict[str, Any]:
        """Return the unit as plain data."""
        return {
            "column": self.column,
            "max_groups": self.max_groups,
            "max_rows": self.max_rows,
            "per": self.per,
            "relation": self.relation.value,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PrivacyUnit:
        """Read a unit written by `to_dict`."""
        try:
            return cls(**data)
        except TypeError:
            known = ", ".join(cls.__slots__)
            raise InvalidInput(f"a privacy unit has the fields {known}; got {', '.join(map(str, data))}.") from None


def _relation(value: object) -> Relation:
    try:
        return Relation(value)
    except ValueError:
        names = ", ".join(item.value for item in Relation)
        raise InvalidInput(f"relation must be one of {names}, got {value!r}.") from None
