"""Table: a further table beside a dataset's own, of the same people or public."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discreet.domains import Domain
from discreet.errors import InvalidInput
from discreet.units import PrivacyUnit


class Sources(dict[str, Any]):
    """The source of each table, by name. Printed, as in a traceback that shows what its frames hold, it has no row."""

    def __repr__(self) -> str:
        return f"Sources({', '.join(map(repr, self))}: hidden)"


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


def check_tables(main: str, unit: PrivacyUnit, domain: Domain, tables: Mapping[str, Table]) -> None:
    """Refuse tables beside a dataset's own that contradict it: whose rows they are, and in which period, must be known.

    Args:
        main: The name of the dataset's own table.
        unit: Who is protected.
        domain: The public facts of its own table.
        tables: The others, by name.

    Raises:
        InvalidInput: names the table.
    """
    for name, table in tables.items():
        if not table.public and unit.column is None:
            raise InvalidInput(
                f"table {name!r} is of people, but the unit names no column that identifies a person.",
                remedy="Name it: PrivacyUnit(column=…).",
            )
        if table.person is not None and unit.column is not None:
            _check_person(main, unit, domain, name, table)
        _check_links(name, {**tables, main: Table(None, domain=domain)}, main)


def _check_person(main: str, unit: PrivacyUnit, domain: Domain, name: str, table: Table) -> None:
    """Refuse a person, or a period, that is not declared as in the dataset's own table."""
    assert table.person is not None
    assert unit.column is not None
    mine, theirs = domain[unit.column].type, table.domain[table.person].type
    if mine != theirs:
        raise InvalidInput(
            f"the person is declared as {mine} in {main!r} and as {theirs} in {name!r}.", remedy="Declare both alike."
        )
    period = unit.per
    if period is not None and (period not in table.domain or table.domain[period].type != domain[period].type):
        raise InvalidInput(
            f"table {name!r} has no column {period!r} of type {domain[period].type}: a unit is a person in one period.",
            remedy="Declare it there as here.",
        )


def _check_links(name: str, tables: Mapping[str, Table], main: str) -> None:
    """Refuse foreign keys that lead to no person."""
    seen, table = [name], tables[name]
    while table.via is not None:
        column, target, key = table.via
        if target in seen:
            raise InvalidInput(f"the foreign keys of {' → '.join([*seen, target])} go round in a circle.")
        if target not in tables or key not in tables[target].domain:
            raise InvalidInput(
                f"table {seen[-1]!r} points to {target}.{key}, which is not declared.",
                remedy="Name a private table of this dataset and a declared column of it.",
            )
        domain = tables[target].domain
        if domain[key].type != table.domain[column].type or domain[key].type == "float":
            raise InvalidInput(
                f"table {seen[-1]!r} points from a column declared as {table.domain[column].type} to "
                f"{target}.{key}, declared as {domain[key].type}.",
                remedy="Declare both as integer, text or date.",
            )
        seen.append(target)
        if target == main:
            break
        table = tables[target]
        if table.public:
            raise InvalidInput(
                f"table {seen[-2]!r} points to {target!r}, which is public: that says nothing of whose its rows are.",
                remedy="Point to a table of people, or declare the table as public.",
            )
