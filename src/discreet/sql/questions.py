"""From a parsed query to what the engine computes: groups, bounds, groupings. Public facts alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.sql import nodes
from discreet.sql.answers import consistency
from discreet.sql.answers.consistency import Wish
from discreet.sql.answers.drawn import parts as drawn_parts
from discreet.sql.bound import Bounds, Parts
from discreet.sql.nodes import Select
from discreet.sql.parsing.refuse import keys_example
from discreet.sql.sets import Sets, sets
from discreet.sql.statements.facts import keys as known_keys
from discreet.sql.statements.lone import tightened
from discreet.sql.statements.narrow import narrowed
from discreet.sql.statements.relations import Catalog, Known, Link, columns, owners
from discreet.sql.statements.rows import Ref, Row
from discreet.sql.statements.stages import Group, Question, salt
from discreet.units import PrivacyUnit

if TYPE_CHECKING:
    from discreet.dataset import Dataset


def catalog(dataset: Dataset) -> Catalog:
    """Return the declared tables of a dataset, its own first."""
    unit = dataset.unit
    persons = tuple(item for item in (unit.column, unit.per) if item) if unit.enforced else ()
    periods = tuple(dataset.periods) if unit.per else ()
    found = {dataset.name: Known(dataset.name, dataset.domain, persons, periods=periods)}
    for name, table in dataset.tables.items():
        mine: tuple[str, ...] = ()
        if table.person is not None:
            mine = (table.person, *((unit.per,) if unit.per else ()))
        link = Link(*table.via) if table.via is not None else None
        kept_to = periods if table.person is not None else ()
        found[name] = Known(name, table.domain, mine, link, public=table.public, periods=kept_to)
    return found


def check_units(known: Catalog) -> None:
    """Refuse declarations that no plan can rest on.

    Raises:
        InvalidInput: a person is a float, or a name is no text that SQL can hold.
    """
    for table in known.values():
        for name in table.persons:
            if table.domain[name].type == "float":
                raise InvalidInput(
                    f"the unit's column {name!r} is declared as float: 0.0 and -0.0 would be two people.",
                    remedy="Declare it as integer or text.",
                )
        for name, column in table.domain.items():
            texts = [name, *(key for key in column.keys or () if isinstance(key, str))]
            if any("\0" in text or any("\ud800" <= mark <= "\udfff" for mark in text) for text in texts):
                raise InvalidInput(f"column {name!r} or a key of it holds a character that no text may hold.")


def question(dataset: Dataset, known: Catalog, select: Select) -> tuple[Question, Parts]:
    """Return what the engine computes, and what each aggregate is made of."""
    relation, unit = select.relation, dataset.unit
    people = owners(relation, known) if unit.per is None else frozenset()  # else one person is several units
    parts = Parts(columns(relation, known), people)
    groups = tuple(Group(_label(key), key, known_keys(key, parts.columns)) for key in select.keys)
    groups = narrowed(groups, select.where)
    mine = [own(group.row, relation, known) for group in groups]
    for group in groups:
        if group.values is None and group.row in owners(relation, known):
            raise UnsupportedQuery(
                f"GROUP BY {group.name} makes a group of each person, and groups of one person are never shown.",
                remedy="Aggregate people in a subquery, and ask about them: SELECT COUNT(*) AS n FROM "
                f"(SELECT {group.name}, COUNT(*) AS c FROM … GROUP BY {group.name}) WHERE c > 5.",
            )
    if all(item.expression is None for item in select.outputs) and all(group.values is not None for group in groups):
        raise UnsupportedQuery(
            "a SELECT without an aggregate asks nothing of groups that are public.",
            remedy="Add an aggregate, for example COUNT(*). Groups that nobody declared are found without one.",
        )
    within = tightened(unit, relation, select.keys, known)
    if any(group.values is None for group in groups):
        bounds = unknown_bounds(within, groups, parts)
    else:
        bounds = Bounds.of(within, [len(group.values or ()) for group in groups], mine)
    used = [one for item in select.outputs if item.expression is not None for one in nodes.aggregates(item.expression)]
    primitives = tuple(dict.fromkeys(part for one in used for part in parts(one)))
    drawn = tuple(drawn_parts([one for one in used if one.function in nodes.DRAWN], parts.facts, bounds))
    key = salt(dataset.name, dataset.version)
    return Question(relation, known, unit, bounds, groups, primitives, drawn, select.where, key), parts


def groupings(select: Select, question: Question) -> Sets:
    """Return the groupings; several only of sums that are known in the finest groups."""
    mine = [own(group.row, question.relation, question.catalog) for group in question.groups]
    if not select.sets:
        return sets([len(group.values or ()) for group in question.groups], (), mine)
    if question.unknown:
        name = next(group.name for group in question.groups if group.values is None)
        raise UnsupportedQuery(
            f"GROUPING SETS, ROLLUP and CUBE need declared groups, and {name} has none.",
            remedy="Declare its keys, or ask one query per grouping.",
        )
    for item in select.outputs:
        for one in nodes.aggregates(item.expression) if item.expression is not None else ():
            if one.function in (*nodes.DRAWN, "COUNT DISTINCT"):
                raise UnsupportedQuery(
                    f"{one} does not add up over groups, so GROUPING SETS, ROLLUP and CUBE cannot answer it.",
                    remedy="Ask one query per grouping.",
                )
    return sets([len(group.values or ()) for group in question.groups], select.sets, mine)


def wishes(wanted: Sequence[str] | None, groupings: Sets, question: Question) -> tuple[Wish, ...]:
    """Return what released numbers are made to agree in; by default, where there are totals, that they add up."""
    if wanted is None:
        return ("totals",) if len(groupings.chosen) > 1 else ()
    wishes = consistency.check(wanted)
    if "totals" in wishes and len(groupings.chosen) == 1:
        raise InvalidInput(
            "there are no totals to agree with: the query has one grouping.",
            remedy="Ask for GROUP BY ROLLUP (…) or GROUPING SETS, or leave totals out.",
        )
    if wishes and question.unknown:
        wishes = tuple(wish for wish in wishes if wish != "totals")
    return wishes


def _label(key: Row) -> str:
    return key.name if isinstance(key, Ref) and not key.table else str(key)


def own(row: Row, relation: Any, known: Catalog) -> bool:
    """Return whether a value is the person's own column: nobody is in two groups of it."""
    return isinstance(row, Ref) and any(row in owners(relation, known, place) for place in (0, 1))


def unknown_bounds(unit: PrivacyUnit, groups: Sequence[Group], parts: Parts) -> Bounds:
    """Return the bounds where a selection finds the groups: nobody knows how many there will be."""
    unknown = [group for group in groups if group.values is None]
    names = ", ".join(group.name for group in unknown)
    first = unknown[0].row
    keys = "Declare its keys"
    if isinstance(first, Ref):
        keys += f": {keys_example(first.name, parts.facts(first).type)}"
    if not unit.enforced:
        raise UnsupportedQuery(
            f"GROUP BY {names} needs the public list of its groups where one row is one unit.",
            remedy=f"{keys}; or declare the person's column. Never read keys off the data.",
        )
    if unit.max_groups is None:
        raise UnsupportedQuery(
            f"GROUP BY {names} has no declared groups, and nothing says how many of them one person may touch.",
            remedy=f"{keys}; or declare max_groups of the unit. Never read either off the data.",
        )
    return Bounds(unit.max_groups, unit.max_rows, 2 * unit.max_groups, unit.relation, sampled=True)
