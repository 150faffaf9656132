"""[table.NAME] and [view.NAME]: where rows lie, whose they are, and what questions may read them as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discreet import tables
from discreet.domains import Column, Domain
from discreet.errors import InvalidInput
from discreet.project.pieces import at, get, keys, mapping, near, section
from discreet.release import check_name
from discreet.units import PrivacyUnit

BOUNDS = ("max_groups", "max_rows")


@dataclass(frozen=True, slots=True)
class Table:
    """[table.NAME]: where rows lie, what is public about them, whose they are and whose budget pays.

    The version lives here, in the file: a `Dataset` has one version for all that a question reads.

    Args:
        name: What questions call it.
        source: A Parquet or CSV file.
        version: The owner's word for the state of the data.
        population: Whose account pays; None for a public table.
        unit: Who is protected, and how much of this table one of them may touch; None for a public table.
        domain: The public facts of its columns.
        person: The column that holds the person; None where the table is public or linked, or where one
            row is one unit.
        via: A foreign key: (own column, another table of the population, its column).
    """

    name: str
    source: Path
    version: str
    population: str | None
    unit: PrivacyUnit | None
    domain: Domain
    person: str | None = None
    via: tuple[str, str, str] | None = None

    @property
    def public(self) -> bool:
        """Whether its rows are nobody's."""
        return self.population is None

    @property
    def anchors(self) -> bool:
        """Whether a dataset can stand on it: its rows have the person, or are the units, by the population's word."""
        return self.unit is not None and self.via is None and self.person == self.unit.column

    def beside(self) -> tables.Table:
        """Return the table as one that stands beside a dataset's own."""
        # Without a person and without a link a table counts as public there; nothing private may get so far.
        assert self.public or self.person is not None or self.via is not None
        return tables.Table(self.source, domain=self.domain, person=self.person, via=self.via)


@dataclass(frozen=True, slots=True)
class View:
    """[view.NAME]: a subquery of the owner's that questions read like a table.

    Args:
        name: What questions call it.
        sql: One SELECT over tables of its population, public tables, and other views.
        population: Whose account pays.
    """

    name: str
    sql: str
    population: str


def read_table(folder: Path, name: str, facts: Any, units: Mapping[str, PrivacyUnit]) -> Table:
    """Read [table.NAME].

    Args:
        folder: Where relative paths start.
        name: Of the table.
        facts: The section.
        units: Who is protected in each population.
    """
    mapping(facts)
    keys(facts, {"source", "version", "population", "person", "via", "public", "columns", *BOUNDS})
    check_name(name)
    columns = _columns(facts)
    about = {"name": name, "source": folder / get(facts, "source", str), "version": get(facts, "version", str)}
    if get(facts, "public", bool, False):
        beside = [key for key in ("population", "person", "via", *BOUNDS) if key in facts]
        if beside:
            raise InvalidInput(
                f"{beside[0]} stands beside public = true: a public table's rows are nobody's.",
                remedy=f"Leave {beside[0]} out, or public if the rows are of people.",
            )
        return Table(**about, population=None, unit=None, domain=Domain.from_dict(columns))
    population = _population(facts, units)
    unit = units[population]
    bounds = {key: facts[key] for key in BOUNDS if key in facts}
    if bounds and not unit.enforced:
        raise InvalidInput(
            "max_groups and max_rows of a table shape the truncation by a person's column; "
            f"population {population!r} has none.",
            remedy="Declare max_rows in the population: there it is a promise.",
        )
    person, via = _owner(name, facts, population, unit, columns)
    return Table(
        **about,
        population=population,
        unit=PrivacyUnit.from_dict(unit.to_dict() | bounds),
        domain=Domain.from_dict(columns),
        person=person,
        via=via,
    )


def read_view(name: str, facts: Any, units: Mapping[str, PrivacyUnit]) -> View:
    """Read [view.NAME]; its text is read with the first question that names it."""
    mapping(facts)
    keys(facts, {"sql", "population"})
    return View(check_name(name), get(facts, "sql", str), _population(facts, units))


def check(declared: Mapping[str, Table], views: Mapping[str, View]) -> None:
    """Refuse tables and views that contradict each other."""
    named: dict[str, str] = {}
    for kind, name in [*(("table", name) for name in declared), *(("view", name) for name in views)]:
        earlier = named.setdefault(name.lower(), f"[{kind}.{name}]")
        if earlier != f"[{kind}.{name}]":
            raise InvalidInput(
                f"{earlier} and [{kind}.{name}] have one name; SQL does not tell cases apart.",
                remedy="Rename one of them.",
            )
    for table in declared.values():
        with at(f"[table.{table.name}]"):
            _check_link(table, declared)
    for population in dict.fromkeys(table.population for table in declared.values() if table.population):
        own = [table for table in declared.values() if table.population == population]
        if not any(table.anchors for table in own):
            assert own[0].unit is not None
            raise InvalidInput(
                f"[population.{population}]: no table of it has its column {own[0].unit.column!r}.",
                remedy="Name there the column that identifies a person in one of its tables; others say theirs in person.",
            )


def _columns(facts: Mapping[str, Any]) -> dict[str, Any]:
    columns = section(facts, "columns")
    for column, known in columns.items():
        with at(f"column {column!r}"):
            mapping(known)
            keys(known, set(Column.__slots__))
    return columns


def _population(facts: Mapping[str, Any], units: Mapping[str, PrivacyUnit]) -> str:
    name = str(get(facts, "population", str))
    if name not in units:
        raise InvalidInput(
            f"population names {name!r}, which is not declared.{near(name, units)}",
            remedy=f"Declared: {', '.join(units) or 'none; add one: [population.NAME]'}.",
        )
    return name


def _owner(
    name: str, facts: Mapping[str, Any], population: str, unit: PrivacyUnit, columns: Mapping[str, Any]
) -> tuple[str | None, tuple[str, str, str] | None]:
    """Return the column that says whose a row is, or the link that leads to it."""
    if not unit.enforced:
        for key in ("person", "via"):
            if key in facts:
                raise InvalidInput(
                    f"{key} says whose a row is, but in population {population!r} one row is one unit.",
                    remedy="Declare the population's column, or leave it out.",
                )
        return None, None
    if "via" in facts:
        if "person" in facts:
            raise InvalidInput(
                "person and via stand side by side: there is one way from a row to its person.",
                remedy="Leave one of them out.",
            )
        return None, _link(name, facts["via"], columns)
    person = str(get(facts, "person", str, unit.column))
    named = [("person", person, ""), ("per", unit.per, f" of [population.{population}]")]
    if "person" not in facts:
        named[0] = ("column", person, f" of [population.{population}]")
    for key, column, where in named:
        if column is not None and column not in columns:
            other = ", or name this table's own in person or via" if key == "column" else ""
            raise InvalidInput(
                f"{key}{where} is {column!r}, which is no column of this table.{near(column, columns)}",
                remedy=f"Correct it there, or declare it under [table.{name}.columns]: "
                f'{column} = {{ type = "integer" }}{other}',
            )
    return person, None


def _link(name: str, facts: Any, columns: Mapping[str, Any]) -> tuple[str, str, str]:
    with at("via"):
        mapping(facts)
        keys(facts, {"column", "table", "key"})
        column, table, key = (str(get(facts, part, str)) for part in ("column", "table", "key"))
        if column not in columns:
            raise InvalidInput(
                f"column is {column!r}, which is no column of this table.{near(column, columns)}",
                remedy=f"Correct it, or declare it under [table.{name}.columns].",
            )
    return column, table, key


def _check_link(table: Table, declared: Mapping[str, Table]) -> None:
    """Refuse a link that does not lead to a person of the same population."""
    if table.via is None:
        return
    column, name, key = table.via
    target = declared.get(name)
    if target is None:
        raise InvalidInput(
            f"via names the table {name!r}, which is not declared.{near(name, declared)}",
            remedy=f"Declared: {', '.join(declared)}.",
        )
    if target.population != table.population:
        whose = "public" if target.public else f"of population {target.population!r}"
        raise InvalidInput(
            f"via leads to {name!r}, which is {whose}: that says nothing of whose these rows are.",
            remedy=f"Lead to a table of {table.population!r}.",
        )
    if key not in target.domain:
        raise InvalidInput(
            f"via leads to {name}.{key}, which is no column there.{near(key, target.domain)}",
            remedy=f"Declare it under [table.{name}.columns].",
        )
    mine, theirs = table.domain[column].type, target.domain[key].type
    if mine != theirs or mine == "float":
        raise InvalidInput(
            f"via compares {column!r}, declared as {mine}, with {name}.{key}, declared as {theirs}.",
            remedy="Declare both as integer, text or date.",
        )
    seen, step = [table.name], table
    while step.via is not None and step.via[1] in declared:  # one that is not is said of the table that names it
        seen.append(step.via[1])
        step = declared[step.via[1]]
        if seen.count(step.name) > 1:
            raise InvalidInput(f"the links of {' → '.join(seen)} go round in a circle.")
