"""A plan's exact answers in many databases at once, each of which stands in the tables as one *world*.

The plan's own engine queries run, in which a world's number is made a period of the unit, so that persons of two
worlds never meet, and a last key. It is left out of the public hash that chooses which groups of a person count,
so that the others choose alike in both of two neighbours. Where a unit is plain rows, nothing says whose they are,
and the world is a column like others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from tiny_databases import MAIN, VIEWS, declared

from discreet import Dataset, Domain, sql
from discreet.accounting import Measure
from discreet.domains import Column
from discreet.mechanisms import Rng
from discreet.sql.answers import answering
from discreet.sql.bind import QueryPlan, bind
from discreet.sql.engines.duckdb import Opened
from discreet.sql.statements import stages
from discreet.sql.statements.dialect import Dialect
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.relations import Filter, Project, Scan
from discreet.sql.statements.relationsql import Relations
from discreet.sql.statements.rows import Ref
from discreet.sql.statements.stages import Group

WORLD = Ref("world")


class Asked(Dataset):
    """A dataset that hands out plans, and answers nothing."""

    def reveal(self, mechanism, **_):
        """Return the plan."""
        return mechanism.bind(self)


def dataset(unit, measure, connection) -> Asked:
    """Return what is declared, with an account of this measure and no ledger."""
    account = SimpleNamespace(measure=Measure.parse(measure))
    plain = unit.column is None
    return Asked(
        connection, name="t", version="1", unit=unit, domain=MAIN, population="people",
        tables=declared(connection, plain=plain), views={"adults": VIEWS["adults"]} if plain else VIEWS,
        ledger=SimpleNamespace(account=lambda _: account),
    )  # fmt: skip


def planned(text, unit, measure, connection) -> QueryPlan:
    """Return the plan of a question, as an account of this measure would give it."""
    return bind(dataset(unit, measure, connection), text, epsilon=4.0, delta=1e-3, weights=None, guess=None)


def beside(what, unit, measure, connection) -> tuple[QueryPlan, ...]:
    """Return the plans that find the bounds of a column, or the limits of people's groups by a list of some."""
    about, find = dataset(unit, measure, connection), sql.find_bounds if isinstance(what, str) else sql.find_limits
    return find(about, what, epsilon=4.0, delta=None if measure == "pure" else 1e-3).plans


class Spelling(Dialect):
    """DuckDB's, with a hash that no world's number enters."""

    def __init__(self, dropped, worlds, *, of_cells=False) -> None:
        self.dropped, self.worlds, self.of_cells = dropped, worlds, of_cells

    def chance(self, values, salt):
        """Return the hash of what is left without the world."""
        from sqlglot import exp

        kept = [value for value in values if value.name not in self.dropped]
        if self.of_cells:  # the number of a group is place · worlds + world
            kept = [
                self.divided(value, exp.Literal.number(self.worlds)) if value.name == "k0" else value for value in kept
            ]
        return super().chance(kept, salt)


class Writer(stages.Writer):
    """Writes a plan's own queries, with the world as the last key."""

    def rows(self):
        """Return the stages that make the kept rows; the world is the second column of the person."""
        from discreet.sql.parsing.build import aliased, name_of, select, subquery

        if not self.question.persons:
            return stages.Writer.rows(self)
        wanted = self.question.wanted
        inner = [ref for ref in wanted if ref != WORLD]
        shown = [name_of("u0"), name_of("u1")]
        shown += [
            aliased(name_of("u1" if ref == WORLD else f"c{inner.index(ref)}"), f"c{i}") for i, ref in enumerate(wanted)
        ]
        relations = Relations(self.dialect, self.question.catalog, self.tables, self.question.persons)
        below = subquery(relations.relation(self.question.relation, inner), "b")
        return {"typed": select(shown, below), "kept": self.kept()}

    def over_cells(self):
        """Return the writer over the groups found."""
        above = stages.Writer.over_cells(self)
        return replace(above, dialect=Spelling({"u1"}, self.dialect.worlds, of_cells=True))


class Finder:
    """Stands in for a selection of groups: notes the weights, and finds a set of groups that no row decides.

    Args:
        finder: The plan's own.
        worlds: How many worlds there are.
        dice: Decides which groups are closed after the first round, and which are found.
    """

    def __init__(self, finder, worlds, dice) -> None:
        self.offered, self.by_weight = finder.offered, finder.by_weight
        self.worlds, self.dice, self.rounds = worlds, dice, []

    def find(self, ask, _):
        """Return groups, each in every world."""
        first = ask(None)
        *keys, world = first.column_names[:-1]
        apart = first.select(keys).group_by(keys).aggregate([]).sort_by([(key, "ascending") for key in keys])
        self.rounds.append(first)
        if self.by_weight:
            self.rounds.append(ask(self._within(first, self._some(apart), keys).select([*keys, world])))
        found = self._some(apart)
        every = np.arange(found.num_rows * self.worlds)
        groups = found.take(pa.array(every // self.worlds))
        groups = groups.append_column(world, pa.array(every % self.worlds, first.schema.field(world).type))
        return groups.append_column("cell", pa.array(every, pa.int64()))

    def _some(self, groups):
        return groups.filter(pa.array([self.dice.random() < 0.7 for _ in range(groups.num_rows)], pa.bool_()))

    def _within(self, table, groups, keys):
        """Return the rows of a table whose keys are among some groups; NULL equals NULL."""
        allowed = set(zip(*(groups[key].to_pylist() for key in keys), strict=True))
        named = zip(*(table[key].to_pylist() for key in keys), strict=True)
        return table.filter(pa.array([one in allowed for one in named], pa.bool_()))


@dataclass
class Answers:
    """The exact answers of all worlds: the last axis of an array is the world."""

    sums: dict
    histograms: dict
    rounds: list


def shown(relation):
    """Return a relation of plain rows with the world among its columns."""
    if isinstance(relation, Scan):
        return relation
    below = shown(relation.relation)
    if isinstance(relation, Filter):
        return replace(relation, relation=below)
    assert isinstance(relation, Project)
    inner = Ref("world", getattr(below, "alias", ""))
    return replace(relation, relation=below, columns=(*relation.columns, ("world", inner)))


def batched(plan: QueryPlan, worlds: int, connection, dice) -> Answers:
    """Return the exact answers of a plan in each of the worlds that the connection's tables hold."""
    question = plan.question
    catalog = {
        name: known if known.public else replace(
            known, domain=Domain(**dict(known.domain), world="integer"),
            persons=(*known.persons, "world") if known.persons else (),
        )
        for name, known in question.catalog.items()
    }  # fmt: skip
    unit = replace(question.unit, per="world") if question.persons else question.unit
    many = replace(
        question, catalog=catalog, unit=unit, relation=question.relation if question.persons else shown(question.relation),
        groups=(*question.groups, Group("world", WORLD, tuple(range(worlds)))),
    )  # fmt: skip
    object.__setattr__(
        many, "columns", {**many.columns, WORLD: Facts.of("world", Column("integer", keys=tuple(range(worlds))))}
    )
    spelling = Spelling({"u1", f"k{len(question.groups)}"}, worlds)
    finder = Finder(plan.finder, worlds, dice) if plan.finder is not None else None
    statements = answering.write(Writer(many, spelling, {name: name for name in catalog}), finder)
    session = Opened(connection)
    found = answering.exact(many, statements, session, finder, Rng())
    session.close()
    sums = {part: values.reshape(-1, worlds) for part, values in found.sums.items()}
    return Answers(sums, found.histograms, finder.rounds if finder is not None else [])
