"""Table: a further table beside a dataset's own, of the same people or public."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discreet.domains import Domain
from discreet.errors import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table that queries may join to a dataset's own.

    Give `person` or `via` for a table of the same people; without both, the table is public.

    Args:
        source: As of a `Dataset`.
        domain: The public facts of its columns.
        person: The column that holds the person.
        via: A foreign key: (own column, private table, its column). The rows belong to the person of the
            row that they point to. That each such key is one person's is the owner's promise.

    Raises:
        InvalidInput: a fact contradicts another. Nothing is read or spent here.

    Guarantee: none by itself; a query over it is charged and bounded like any other.
    Evidence: docs/proofs/contribution_bounds.md.
    Assumes: a public table holds nothing that is private; a key that `via` names is one person's.
    Not protected: rows of a public table.
    """

    source: Any = field(repr=False)
    domain: Domain = field(kw_only=True)
    person: str | None = field(kw_only=True, default=None)
    via: tuple[str, str, str] | None = field(kw_only=True, default=None)

    def __post_init__(self) -> None:
        if isinstance(self.source, str | Path):
            object.__setattr__(self, "source", Path(self.source).absolute())
        if self.via is not None:
            object.__setattr__(self, "via", tuple(self.via))
            if len(self.via) != 3 or not all(isinstance(item, str) and item for item in self.via):
                raise InvalidInput(
                    f"via must be (own column, table, its column), got {self.via!r}.",
                    remedy='For example via=("visit", "visits", "id").',
                )
        if self.person is not None and self.via is not None:
            raise InvalidInput(
                "a table has person or via, not both: there is one way from a row to its person.",
                remedy="Leave one of them out.",
            )
        for name in (self.person, self.via[0] if self.via else None):
            if name is not None and name not in self.domain:
                raise InvalidInput(
                    f"the column {name!r} is not declared in the table's domain.",
                    remedy=f'Declare it with its type, for example Domain({name}="integer", …).',
                )

    @property
    def public(self) -> bool:
        """Whether its rows are nobody's."""
        return self.person is None and self.via is None

    def to_dict(self) -> dict[str, Any]:
        """Return the public facts as plain data (stable: they are hashed into request ids)."""
        return {
            "domain": self.domain.to_dict(),
            "person": self.person,
            "via": None if self.via is None else list(self.via),
        }
