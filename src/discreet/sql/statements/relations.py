"""Where the rows of a question come from: tables, joins, filters, subqueries, as data.

Every relation of private rows carries the person that each row belongs to. What a relation holds of
one person is worked out from that person's rows and public tables alone: joins of private tables
join on the person, and a subquery aggregates within a person. So contributions are bounded once,
above all of them (docs/proofs/contribution_bounds.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypeAlias

from discreet.domains import MAX_STEPS, Domain, Type
from discreet.errors import UnsupportedQuery
from discreet.ledger import Period
from discreet.sql.statements.facts import MOST_TO_SQUARE, Facts, facts, number, written
from discreet.sql.statements.rows import Predicate, Ref, Row, quoted, refs

InnerFunction: TypeAlias = Literal["COUNT", "COUNT DISTINCT", "SUM", "AVG", "MIN", "MAX"]


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key: the rows whose `column` equals `key` of another private table belong to its person."""

    column: str
    table: str
    key: str


@dataclass(frozen=True, slots=True)
class Known:
    """A declared table: its columns, and who its rows belong to.

    Args:
        name: What queries call it.
        domain: Its declared columns.
        persons: The columns that identify a person; none where the table is public, or linked, or where
            one row is one unit.
        link: The way to the person through another table.
        public: Whether its rows are nobody's.
        periods: The periods whose rows alone are read, if it names persons itself; empty: those of all.
    """

    name: str
    domain: Domain
    persons: tuple[str, ...] = ()
    link: Link | None = None
    public: bool = False
    periods: tuple[Period, ...] = ()


Catalog: TypeAlias = Mapping[str, Known]


@dataclass(frozen=True, slots=True)
class Scan:
    """A declared table."""

    table: str
    alias: str = ""

    def __str__(self) -> str:
        return quoted(self.table) + (f" AS {quoted(self.alias)}" if self.alias not in ("", self.table) else "")


@dataclass(frozen=True, slots=True)
class Join:
    """Rows of both sides that agree on all pairs of columns (and, if both are private, on the person)."""

    left: Relation
    right: Relation
    on: tuple[tuple[Ref, Ref], ...]
    outer: bool = False

    def __str__(self) -> str:
        kind = "LEFT JOIN" if self.outer else "JOIN"
        return f"{self.left} {kind} {self.right} ON {' AND '.join(f'{a} = {b}' for a, b in self.on)}"


@dataclass(frozen=True, slots=True)
class Filter:
    """The rows for which a condition holds."""

    relation: Relation
    where: Predicate


@dataclass(frozen=True, slots=True)
class Project:
    """A subquery that works out new columns, row by row."""

    relation: Relation
    columns: tuple[tuple[str, Row], ...]
    alias: str = ""

    def __post_init__(self) -> None:
        _check_names(name for name, _ in self.columns)

    def __str__(self) -> str:
        return _subquery(self.relation, [f"{row} AS {quoted(name)}" for name, row in self.columns], "", self.alias)


@dataclass(frozen=True, slots=True)
class Inner:
    """An aggregate over the rows of one person, without noise and not released."""

    function: InnerFunction
    argument: Row | None

    def __str__(self) -> str:
        if self.function == "COUNT DISTINCT":
            return f"COUNT(DISTINCT {self.argument})"
        return f"{self.function}({'*' if self.argument is None else self.argument})"


@dataclass(frozen=True, slots=True)
class PerPerson:
    """A subquery that aggregates the rows of each person."""

    relation: Relation
    keys: tuple[tuple[str, Row], ...]
    aggregates: tuple[tuple[str, Inner], ...]
    alias: str = ""

    def __post_init__(self) -> None:
        _check_names(name for name, _ in (*self.keys, *self.aggregates))

    def __str__(self) -> str:
        chosen = [f"{item} AS {quoted(name)}" for name, item in (*self.keys, *self.aggregates)]
        return _subquery(self.relation, chosen, f" GROUP BY {', '.join(str(row) for _, row in self.keys)}", self.alias)


@dataclass(frozen=True, slots=True)
class Union:
    """UNION ALL of relations with the same columns."""

    parts: tuple[Project | PerPerson | Union, ...]
    alias: str = ""

    def __str__(self) -> str:
        bodies = [str(replace(part, alias="")).removeprefix("(").removesuffix(")") for part in self.parts]
        return f"({' UNION ALL '.join(bodies)}){_as(self.alias)}"


Relation: TypeAlias = Scan | Join | Filter | Project | PerPerson | Union


def _check_names(names: Iterable[str]) -> None:
    """Refuse two columns of one name, our own included: what is said of one would be believed of the other."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise UnsupportedQuery(
                f"two columns of one name in a subquery, {name!r}, have no private answer here.",
                remedy="Give each its own name with AS; names like 'key 1' and 'having 1' may be ours.",
            )
        seen.add(name.lower())


def _subquery(relation: Relation, columns: list[str], after: str, alias: str) -> str:
    source, where = relation, ""
    if isinstance(relation, Filter):
        source, where = relation.relation, f" WHERE {relation.where}"
    return f"(SELECT {', '.join(columns)} FROM {source}{where}{after}){_as(alias)}"


def _as(alias: str) -> str:
    return f" AS {quoted(alias)}" if alias else ""


# ------------------------------------------------------------------------------------ public facts


def columns(relation: Relation, catalog: Catalog) -> dict[Ref, Facts]:
    """Return the columns that a relation offers, with their public facts."""
    if isinstance(relation, Scan):
        domain = catalog[relation.table].domain
        return {Ref(name, relation.alias): Facts.of(name, column) for name, column in domain.items()}
    if isinstance(relation, Filter):
        return columns(relation.relation, catalog)
    if isinstance(relation, Join):
        return {**columns(relation.left, catalog), **columns(relation.right, catalog)}
    if isinstance(relation, Union):
        return _united(relation, catalog)
    below = columns(relation.relation, catalog)
    if isinstance(relation, Project):
        return {Ref(name, relation.alias): computed(row, below) for name, row in relation.columns}
    found = {Ref(name, relation.alias): computed(row, below) for name, row in relation.keys}
    return found | {Ref(name, relation.alias): inner(item, below) for name, item in relation.aggregates}


def computed(row: Row, below: Mapping[Ref, Facts]) -> Facts:
    """Return the facts of a value as a column of its own: a number that was reckoned stays in its steps."""
    found = written(row, facts(row, below))
    reckoned = not isinstance(row, Ref) and found.step is not None and found.type in ("integer", "float")
    return replace(found, stepped=True) if reckoned else found


def inner(item: Inner, below: Mapping[Ref, Facts]) -> Facts:
    """Return the facts of an aggregate over one person's rows; totals have no bounds until they are clamped."""
    if item.function in ("COUNT", "COUNT DISTINCT"):
        if item.argument is not None:
            written(item.argument, facts(item.argument, below))
        return Facts("integer", step=Fraction(1), stepped=True)
    assert item.argument is not None
    found = facts(item.argument, below)
    if item.function in ("MIN", "MAX") and found.type not in ("integer", "float"):
        return found  # one of the values
    found = number(item.argument, below)
    if item.function == "SUM":
        return Facts(found.type, step=found.step, stepped=True)
    if item.function == "AVG":
        low, high, step = found.range
        times = finer(found)
        kind: Type = "float" if (step / times).denominator > 1 else found.type
        return Facts(kind, low * times, high * times, step / times, stepped=True)
    return replace(found, stepped=True, keys=None)


def finer(found: Facts) -> int:
    """Return how many steps of a person's average make one step of its values.

    The average of n values is exact if n divides them, so they are multiples of many small numbers: of all up to 15,
    10, 8, 6, 4. They are as many as leave an average that can be squared, and its difference from a value; of whole
    numbers, which no declared step rounds, at least 60 wherever they fit.
    """
    low, high, _ = found.range
    for times in (360_360, 5_040, 840, 60, 12, 4):
        squared = (high - low) * times <= MOST_TO_SQUARE // 2 or (found.type == "integer" and times <= 60)
        if squared and max(abs(low), abs(high)) * times <= MAX_STEPS:
            return times
    return 1


def _united(relation: Union, catalog: Catalog) -> dict[Ref, Facts]:
    parts = [list(columns(part, catalog).items()) for part in relation.parts]
    found: dict[Ref, Facts] = {}
    for place, (name, first) in enumerate(parts[0]):
        others = [part[place][1] for part in parts[1:]]
        for other in others:
            if (other.type, other.step, other.stepped) != (first.type, first.step, first.stepped):
                raise UnsupportedQuery(
                    f"the column {name.name} differs between the parts of UNION ALL, in type or resolution.",
                    remedy="Select the same column, or the same expression of it, in each part.",
                )
        found[Ref(name.name, relation.alias)] = _hull(first, others)
    return found


def _hull(first: Facts, others: list[Facts]) -> Facts:
    parts = [first, *others]
    bounded = all(part.low is not None for part in parts)
    low = min(part.low for part in parts if part.low is not None) if bounded else None
    high = max(part.high for part in parts if part.high is not None) if bounded else None
    known = None
    if all(part.keys is not None for part in parts):
        known = tuple(dict.fromkeys(key for part in parts for key in part.keys or ()))
    return replace(first, low=low, high=high, keys=known)


def owners(relation: Relation, catalog: Catalog, place: int = 0) -> frozenset[Ref]:
    """Return the columns that hold the person of their row.

    Args:
        relation: The relation.
        catalog: The declared tables.
        place: 0 for the person, 1 for the period, where a unit is a person in one period.
    """
    if isinstance(relation, Scan):
        persons = catalog[relation.table].persons
        return frozenset([Ref(persons[place], relation.alias)] if len(persons) > place else [])
    if isinstance(relation, Filter):
        return owners(relation.relation, catalog, place)
    if isinstance(relation, Join):
        left, right = owners(relation.left, catalog, place), owners(relation.right, catalog, place)
        return left if relation.outer else left | right  # an outer join leaves NULL on its right
    if isinstance(relation, Union):
        parts = [(list(columns(part, catalog)), owners(part, catalog, place)) for part in relation.parts]
        return frozenset(
            Ref(name.name, relation.alias)
            for i, name in enumerate(parts[0][0])
            if all(names[i] in mine for names, mine in parts)
        )
    below = owners(relation.relation, catalog, place)
    named = relation.columns if isinstance(relation, Project) else relation.keys
    return frozenset(Ref(name, relation.alias) for name, row in named if isinstance(row, Ref) and row in below)


def private(relation: Relation, catalog: Catalog) -> bool:
    """Return whether a relation holds rows of persons."""
    return any(not catalog[scan.table].public for scan in scans(relation))


def periods(relation: Relation, catalog: Catalog) -> tuple[Period, ...]:
    """Return the periods whose rows alone a relation reads of private tables; none if it is kept to none."""
    found = set()
    for scan in scans(relation):
        table = catalog[scan.table]
        while table.link is not None:
            table = catalog[table.link.table]
        if not table.public:
            found.add(table.periods)
    return found.pop() if len(found) == 1 else ()


def scans(relation: Relation) -> Iterator[Scan]:
    """Yield the tables that a relation reads."""
    if isinstance(relation, Scan):
        yield relation
    elif isinstance(relation, Join):
        yield from scans(relation.left)
        yield from scans(relation.right)
    elif isinstance(relation, Union):
        for part in relation.parts:
            yield from scans(part)
    else:
        yield from scans(relation.relation)


def joined(relation: Relation, catalog: Catalog) -> int:
    """Return of how many private tables the rows of one person may multiply in a relation."""
    if isinstance(relation, Scan):
        return int(private(relation, catalog))
    if isinstance(relation, Join):
        return joined(relation.left, catalog) + joined(relation.right, catalog)
    if isinstance(relation, Union):
        return max(joined(part, catalog) for part in relation.parts)
    return joined(relation.relation, catalog)


def tables(relation: Relation, wanted: set[Ref], catalog: Catalog) -> dict[str, set[str]]:
    """Return the declared tables that a relation reads, links included, each with the columns that it needs."""
    found: dict[str, set[str]] = {}

    def need(name: str, wanted: set[str]) -> None:
        known = catalog[name]
        found.setdefault(name, set()).update(wanted, known.persons)
        if known.link is not None:
            found[name].add(known.link.column)
            need(known.link.table, {known.link.key})

    def walk(node: Relation, wanted: set[Ref]) -> None:
        if isinstance(node, Scan):
            need(node.table, {ref.name for ref in wanted if ref.table == node.alias})
        elif isinstance(node, Filter):
            walk(node.relation, wanted | set(refs(node.where)))
        elif isinstance(node, Join):
            for side, place in ((node.left, 0), (node.right, 1)):
                here = columns(side, catalog)
                walk(side, {ref for ref in wanted if ref in here} | {pair[place] for pair in node.on})
        elif isinstance(node, Union):
            for part in node.parts:
                names = [ref.name for ref in columns(node, catalog)]
                chosen = {names.index(ref.name) for ref in wanted}
                walk(part, {ref for place, ref in enumerate(columns(part, catalog)) if place in chosen})
        else:
            walk(node.relation, {ref for row in _rows(node) for ref in refs(row)})

    walk(relation, wanted)
    return found


def _rows(node: Project | PerPerson) -> list[Row]:
    if isinstance(node, Project):
        return [row for _, row in node.columns]
    return [row for _, row in node.keys] + [item.argument for _, item in node.aggregates if item.argument is not None]
