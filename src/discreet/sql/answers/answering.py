"""A question, answered: exact integers from the engine, noise on each, the released table.

Everything that the engine is told was written before the charge; what comes back from it is noised
before anything else sees it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from discreet.domains import Type
from discreet.mechanisms.rng import Rng
from discreet.sql.allocate import Noise
from discreet.sql.answers import post
from discreet.sql.answers.drawn import Choice, Drawn
from discreet.sql.answers.estimates import Noisy
from discreet.sql.answers.finding import Finder
from discreet.sql.answers.names import Names
from discreet.sql.answers.post import Labels
from discreet.sql.bound import Parts, Primitive
from discreet.sql.nodes import Aggregate
from discreet.sql.parsing.build import aliased, integer, name_of, select
from discreet.sql.sets import Sets
from discreet.sql.statements import looks
from discreet.sql.statements.rows import Ref
from discreet.sql.statements.stages import Group, Question, Writer

if TYPE_CHECKING:
    import pyarrow

BOUNDED = "discreet_bounded"  # on a connection of our own


class Session(Protocol):
    """An engine that has opened the private source."""

    def table(self, statement: str) -> pyarrow.Table:
        """Return the exact integers of a query."""

    def keep(self, name: str, statement: str) -> None:
        """Keep the rows of a query as a table of this name, for this session."""

    def put(self, name: str, rows: pyarrow.Table) -> None:
        """Make rows of ours a table of this name, for this session."""


@dataclass(frozen=True, slots=True)
class Statements:
    """What the engine is told, in its SQL.

    Args:
        names: What the tables are called that are kept meanwhile.
        main: The sums.
        looks: The histogram or the distinct values of each value that is looked at.
        kept: The kept rows, where several statements go over them.
        offered, first, next: The selection of groups: people's groups, their weights in the first round
            and in the others.
        chosen: The kept rows of the groups found, where several statements go over them.
    """

    names: Names
    main: str | None
    looks: Mapping[Primitive | Drawn, str]
    kept: str | None = None
    offered: str | None = None
    first: str | None = None
    next: str | None = None
    chosen: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        """Every statement."""
        found = (self.kept, self.offered, self.first, self.next, self.chosen, self.main, *self.looks.values())
        return tuple(item for item in found if item is not None)


def write(writer: Writer, finder: Finder | None, *, bounded: bool = False) -> Statements:
    """Return the statements of a question.

    Args:
        writer: Its writer.
        finder: What finds the groups, where nobody declared them.
        bounded: Whether what each person adds was kept before, as the table BOUNDED.
    """
    question, text, names = writer.question, writer.dialect.text, Names.fresh()
    if bounded:
        return Statements(names, text(writer.over_bounded(BOUNDED)), {})
    if question.alone:
        return Statements(names, text(writer.query()), {})
    every: list[Primitive | Drawn] = [*question.primitives, *question.drawn]
    looking = [item for item in every if isinstance(item, Drawn) or item.kind == "distinct"]
    once = len(looking) + (len(looking) < len(every)) == 1  # then rows that are read once need not be kept
    stages: Mapping[str, Any] = writer.rows()
    kept = text(select(_everything(writer), "kept", stages=stages)) if finder is not None or not once else None
    offered = first = following = chosen = None
    source, above = "kept" if kept is None else names.kept, writer
    if finder is not None:
        offered = text(looks.offers(writer, names.kept, finder.offered))
        count = looks.weights(writer, names.offered, None) if finder.by_weight else looks.people(writer, names.offered)
        first, following = text(count), text(looks.weights(writer, names.offered, names.open))
        rows = looks.chosen(writer, names.kept, names.found)
        chosen = None if once else text(rows)
        stages = {names.chosen: rows}
        source, above = names.chosen, writer.over_cells()
    if not once:
        stages = {}
    main = text(above.query(source, stages)) if len(looking) < len(every) else None
    looked: dict[Primitive | Drawn, str] = {}
    for item in looking:
        if isinstance(item, Drawn):
            place = question.looked.index((item.value, item.aggregates[0].function != "MODE"))
            looked[item] = text(looks.histogram(above, place, source, stages))
        else:
            assert item.of is not None
            looked[item] = text(looks.distinct(above, question.looked.index((item.of, False)), source, stages))
    return Statements(names, main, looked, kept, offered, first, following, chosen)


def _everything(writer: Writer) -> list[Any]:
    question = writer.question
    names = [*writer.people, *writer.keys]
    names += [f"v{i}" for i in range(len(question.counted))] + [f"d{i}" for i in range(len(question.looked))]
    return [*map(name_of, names)] or [aliased(integer(1), "one")]


@dataclass(frozen=True, slots=True)
class Exact:
    """The exact answers, private: the groups, the sums, and the histograms.

    Args:
        groups: The groups, each with its values.
        sums: Each primitive's integers, one per group.
        histograms: For each part that is drawn: values, weights, and where each group starts.
    """

    groups: Sequence[Group]
    sums: Mapping[Primitive, NDArray[Any]]
    histograms: Mapping[Drawn, tuple[NDArray[Any], NDArray[np.int64], NDArray[np.intp]]]
    found: pyarrow.Table | None


def exact(question: Question, statements: Statements, session: Session, finder: Finder | None, rng: Rng) -> Exact:
    """Return the exact answers; the groups among them are those that a private selection found, if one is needed."""
    found: pyarrow.Table | None = None
    groups: tuple[Group, ...] = question.groups
    names = statements.names
    if statements.kept is not None:
        session.keep(names.kept, statements.kept)
    if finder is not None:
        found = _found(statements, session, finder, rng)
        session.put(names.found, found)
        if statements.chosen is not None:
            session.keep(names.chosen, statements.chosen)
        groups = (cells(found.num_rows),)
    sums: dict[Primitive, NDArray[Any]] = {}
    linear = [item for item in question.primitives if item.kind != "distinct"]
    if statements.main is not None:
        table = session.table(statements.main)
        place, known = positions(table, groups)
        for j, item in enumerate(question.primitives):
            if item in linear:
                sums[item] = _dense(table, j, place[known], known, size(groups))
    histograms = {}
    for part, statement in statements.looks.items():
        table = session.table(statement)
        place, known = positions(table, groups)
        if isinstance(part, Drawn):
            histograms[part] = _histogram(part, table, place, known, size(groups))
        else:
            counts = np.zeros(size(groups), dtype=np.int64)
            counts[place[known]] = table.column("t").to_numpy()[known]
            sums[part] = counts
    return Exact(groups, sums, histograms, found)


def _found(statements: Statements, session: Session, finder: Finder, rng: Rng) -> pyarrow.Table:
    assert statements.offered is not None
    session.keep(statements.names.offered, statements.offered)

    def ask(still: pyarrow.Table | None) -> pyarrow.Table:
        if still is not None:
            session.put(statements.names.open, still)
        statement = statements.first if still is None else statements.next
        assert statement is not None
        return session.table(statement)

    return finder.find(ask, rng)


def cells(number: int) -> Group:
    """Return the groups of a selection: their numbers."""
    return Group("cell", Ref("cell"), tuple(range(number)))


def size(groups: Sequence[Group]) -> int:
    """Return how many groups there are."""
    found = 1
    for group in groups:
        found *= len(group.values or ())
    return found


def positions(table: pyarrow.Table, groups: Sequence[Group]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the number of each row's group, and whether it is one of the groups.

    The engine has left all others out; should it ever not, they are in no group.
    """
    import pyarrow.compute as pc

    place, known = np.zeros(table.num_rows, dtype=np.int64), np.ones(table.num_rows, dtype=bool)
    for i, group in enumerate(groups):
        values = group.values or ()
        keys = post.typed(_kind(values), values)
        at = pc.index_in(table.column(f"k{i}").cast(keys.type), value_set=keys)
        at = at.combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
        known &= at >= 0
        place = place * len(values) + at
    return place, known


def _kind(values: Sequence[Any]) -> Type:
    names: dict[type, Type] = {str: "text", bool: "boolean", datetime.date: "date", int: "integer"}
    return next((names[type(value)] for value in values if value is not None), "integer")


def _dense(
    table: pyarrow.Table, j: int, place: NDArray[np.int64], known: NDArray[np.bool_], number: int
) -> NDArray[Any]:
    """Return a primitive's exact integers over all groups; groups without rows have 0."""
    high, low = (table.column(f"{half}{j}").to_numpy() for half in "hl")
    if len(high) and max(abs(int(high.min())), abs(int(high.max()))) >= 2**29:
        high, low = high.astype(object), low.astype(object)
    values = np.zeros(number, dtype=high.dtype)
    values[place] = (high * 2**32 + low)[known]
    return values


def _histogram(
    part: Drawn, table: pyarrow.Table, place: NDArray[np.int64], known: NDArray[np.bool_], number: int
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.intp]]:
    """Return the values of all groups, increasing within each, their weights, and where each group starts."""
    import pyarrow.compute as pc

    value = table.column("v")
    if part.aggregates[0].function == "MODE":
        candidates = post.typed(_kind(part.candidates), part.candidates)
        at = pc.index_in(value.cast(candidates.type), value_set=candidates)
        values = at.combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        known = known & (values >= 0)
    else:
        values = np.asarray(value.to_numpy(), dtype=np.int64)
    weights = np.asarray(table.column("w").to_numpy(), dtype=np.int64)
    place, values, weights = place[known], values[known], weights[known]
    order = np.lexsort((values, place))
    starts = np.searchsorted(place[order], np.arange(number + 1))
    return values[order], weights[order], starts


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is random about an answer.

    Args:
        noises: The noise of each primitive, for each grouping.
        choices: The draw of each part that is drawn.
    """

    noises: tuple[Mapping[Primitive, Noise], ...]
    choices: Mapping[Drawn, Choice]

    def noisy(self, parts: Parts, found: Exact, sets: Sets, rng: Rng) -> tuple[Noisy, ...]:
        """Return the noised answers of each grouping; from here on everything may be published."""
        if sets.several:
            return tuple(
                Noisy(
                    parts,
                    {part: noise.add(sets.total(found.sums[part], place), rng) for part, noise in noises.items()},
                    noises,
                    {},
                    sets.size(place),
                )
                for place, noises in enumerate(self.noises)
            )
        [noises] = self.noises
        values = {part: noise.add(found.sums[part], rng) for part, noise in noises.items()}
        chosen: dict[Aggregate, NDArray[Any]] = {}
        for part, choice in self.choices.items():
            for aggregate, numbers in choice.draw(*found.histograms[part], rng).items():
                chosen[aggregate] = _in_units(part, numbers)
        return (Noisy(parts, values, noises, chosen, size(found.groups)),)


def _in_units(part: Drawn, numbers: NDArray[Any]) -> NDArray[Any]:
    if part.aggregates[0].function == "MODE":
        return numbers
    step = part.facts.range[2]
    return numbers.astype(np.float64) * float(step.numerator) / float(step.denominator)


def labels(groups: Sequence[Group], found: pyarrow.Table | None, kinds: Sequence[Type], sets: Sets) -> Labels:
    """Return the groups of an answer: the declared ones, or those that were found."""
    if found is not None:
        columns = [found.column(f"k{i}").to_pylist() for i in range(len(kinds))]
        return Labels(kinds, columns, [np.arange(found.num_rows) for _ in kinds])
    return Labels(kinds, [group.values or () for group in groups], sets.places())
