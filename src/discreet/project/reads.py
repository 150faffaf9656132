"""What a question reads: the declared tables and views behind its names, and the dataset that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from discreet.errors import InvalidInput, UnsupportedQuery, missing_extra
from discreet.project.pieces import at, near
from discreet.project.tables import Table, View
from discreet.units import PrivacyUnit

if TYPE_CHECKING:
    from discreet.project.read import Settings

Named = TypeVar("Named", Table, View)


@dataclass(slots=True)
class Reads:
    """Tables and views, by name, in the order in which a question comes to them.

    Args:
        settings: The file.
        tables: Those of the names, then those that links lead to.
        views: The owner's views among the names.
    """

    settings: Settings
    tables: dict[str, Table] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str], settings: Settings) -> Reads:
        """Return what names in FROM read, with all that lies behind them.

        Raises:
            InvalidInput: a name is not declared; a view reads itself.
            UnsupportedQuery: no account could be charged for it, or two would have to be.
        """
        found = cls(settings)
        for name in names:
            found._read(name, ())
        for table in list(found.tables.values()):
            found._link(table)
        found._check()
        return found

    def _read(self, name: str, within: tuple[str, ...]) -> None:
        table, view = _find(name, self.settings.tables), _find(name, self.settings.views)
        if table is not None:
            self.tables.setdefault(table.name, table)
        elif view is None:
            declared = [*self.settings.tables, *self.settings.views]
            raise InvalidInput(
                f"the query reads {name!r}, which is not a declared table.{near(name, declared)}",
                remedy=f"Declared: {', '.join(declared) or 'none'}.",
            )
        elif view.name in within:
            raise InvalidInput(f"the view {view.name!r} reads itself.", remedy="Write it over tables.")
        elif view.name not in self.views:
            self.views[view.name] = view
            with at(f"[view.{view.name}]"):
                for inner in names(f"SELECT COUNT(*) FROM (\n{view.sql}\n) AS v"):  # noqa: S608 - read, never run
                    self._read(inner, (*within, view.name))

    def _link(self, table: Table) -> None:
        while table.via is not None:
            table = self.settings.tables[table.via[1]]
            self.tables.setdefault(table.name, table)

    def _check(self) -> None:
        owned: list[Table | View] = [*self.private, *self.views.values()]
        whose = {item.population: item.name for item in reversed(owned)}
        if len(whose) > 1:
            (first, one), (second, two), *_ = reversed(whose.items())
            raise UnsupportedQuery(
                f"the query reads {one!r} of population {first!r} and {two!r} of {second!r}: one question is "
                "charged to one account, and nothing bounds what a row of both says of either person.",
                remedy="Ask about each population by itself.",
            )
        if not self.private:
            raise UnsupportedQuery(
                "the query reads public tables alone; it needs no privacy, and would be charged for nothing.",
                remedy="Read the public table yourself.",
            )
        if len(self.tables) > 1 and not self.unit.enforced:
            raise UnsupportedQuery(
                f"the query reads {' and '.join(map(repr, self.tables))}, and in population "
                f"{self.private[0].population!r} one row is one unit: nothing says which rows are of one person.",
                remedy="Declare the population's column, or ask about each table by itself.",
            )

    @property
    def private(self) -> list[Table]:
        """The tables of people."""
        return [table for table in self.tables.values() if not table.public]

    @property
    def unit(self) -> PrivacyUnit:
        """Who is protected; how many groups and rows of a person count is the first table's word."""
        unit = self.private[0].unit
        assert unit is not None
        return unit

    @property
    def own(self) -> Table:
        """The table that the dataset stands on: the first that has the person by the population's name for it.

        Where only others are read it is one that is not; `project.tables.check` has seen that there is one.
        """
        declared = [table for table in self.settings.tables.values() if table.population == self.private[0].population]
        return next(table for table in (*self.private, *declared) if table.anchors)

    @property
    def version(self) -> str:
        """The owner's word for the state of all that is read: no table beside a dataset has a version of its own.

        A request's id has to depend on the version of every table that is read. Where that is the dataset's
        own alone, it is as declared; else each stands with its name, in the order of the names. `%`, `;` and
        `=` in a version are written as in a URL then, so that no two states of the data are called alike.
        """
        if list(self.tables) == [self.own.name]:
            return self.own.version
        marks = str.maketrans({"%": "%25", ";": "%3B", "=": "%3D"})
        return ";".join(f"{name}={self.tables[name].version.translate(marks)}" for name in sorted(self.tables))


def names(sql: str) -> list[str]:
    """Return the names that a query's FROM clauses read; those of its outermost FROM first.

    Raises:
        UnsupportedQuery: the text is no single SELECT.
        MissingExtra: what reads SQL is not installed.
    """
    from discreet.sql import table_names
    from discreet.sql.parsing import parse

    try:
        return table_names(parse.options(sql)[0])
    except ModuleNotFoundError as error:
        missing = missing_extra("sql", str(error.name))
    raise missing


def _find(name: str, declared: Mapping[str, Named]) -> Named | None:
    return next((item for known, item in declared.items() if known.lower() == name.lower()), None)
