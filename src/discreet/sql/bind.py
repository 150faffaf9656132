"""The bound query: question and cost in one object, never apart."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

from discreet import accounting, events
from discreet.dataset import Answer, Dataset
from discreet.domains import shown
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.profiles import Guarantee
from discreet.sql import answering, consistency, describe, engines, finding, nodes, post, relations
from discreet.sql.allocate import Law, Noise, allocate, noise
from discreet.sql.answering import Drawing, Statements
from discreet.sql.bound import Bounds, Parts, Primitive
from discreet.sql.consistency import Wish
from discreet.sql.drawn import Choice, Drawn, Part
from discreet.sql.drawn import parts as drawn_parts
from discreet.sql.estimates import stacked
from discreet.sql.facts import keys as known_keys
from discreet.sql.finding import Finder
from discreet.sql.forecast import Forecast, Guesses, forecasts, shares
from discreet.sql.intervals import LEVEL
from discreet.sql.narrow import narrowed
from discreet.sql.nodes import Aggregate, Select
from discreet.sql.parse import parse
from discreet.sql.relations import Catalog, Known, Link, columns, owners
from discreet.sql.rows import Ref, Row
from discreet.sql.sets import Sets, sets
from discreet.sql.stages import Group, Question, Writer, salt

if TYPE_CHECKING:
    from discreet.mechanisms.rng import Rng

VERSION = 2
MOST_EPSILON = 1_000_000


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query bound to a dataset's public facts.

    Args:
        select: The query, in our own nodes.
        question: What the engine computes.
        parts: What each aggregate is computed from.
        drawing: The noise of each primitive, and what is drawn.
        finder: What finds the groups, where nobody declared them.
        event: What will run; the charge.
        guarantee: What the release alone guarantees.
        forecasts: The expected error of each output column.
        identity: Plain data that names the question; hashed into the request.
        facts: What the release leaves for `explain`.
        statements: The engine's SQL; written before the charge, so that nothing can be refused after it.
        engine: Where it runs.
        sets: The groupings.
        consistent: What released numbers are made to agree in.
    """

    select: Select
    question: Question
    parts: Parts
    drawing: Drawing
    finder: Finder | None
    event: events.Event
    guarantee: Guarantee
    forecasts: tuple[Forecast, ...]
    identity: Mapping[str, Any]
    facts: Mapping[str, Any]
    statements: Statements
    engine: engines.Engine
    sets: Sets
    consistent: tuple[Wish, ...]

    @property
    def name(self) -> str:
        """What a release of this query is called, unless its asker says otherwise."""
        return f"query-{hashlib.sha256(str(self.select).encode()).hexdigest()[:8]}"

    @property
    def noises(self) -> Mapping[Primitive, Noise]:
        """The noise of each primitive, in the first of several groupings."""
        return self.drawing.noises[0]

    def run(self, source: Any, rng: Rng) -> Answer:
        """Compute exact integers, add noise to each, and work out the answer from those alone.

        Args:
            source: The private source; `Dataset.lend` hands it over after the charge.
            rng: Where the noise comes from.

        Guarantee: the answer is a function of integers with the declared noise, and of what was drawn by
            the declared mechanisms, so it costs `event` and nothing more, for every input table.
        Evidence: proven, docs/proofs/contribution_bounds.md.
        Assumes: the engine computes what the plan says (self-tested at start).
        Not protected: running time, memory, and files the engine spills to a private folder.
        """
        with self.engine.opened(source, self.question) as session:
            exact = answering.exact(self.question, self.statements, session, self.finder, rng)
        levels = self.drawing.noisy(self.parts, exact, self.sets, rng)
        kinds = [self.parts.facts(group.row).type for group in self.question.groups]
        labels = answering.labels(exact.groups, exact.found, kinds, self.sets)
        finest = [self.sets.of_finest(place) for place in range(len(levels))] if self.consistent else []
        value = post.table(self.select, stacked(levels, finest, self.consistent), labels)
        return Answer(value, describe.accuracy(self.select, self))


def catalog(dataset: Dataset) -> Catalog:
    """Return the declared tables of a dataset, its own first."""
    unit = dataset.unit
    persons = tuple(item for item in (unit.column, unit.per) if item) if unit.enforced else ()
    found = {dataset.name: Known(dataset.name, dataset.domain, persons)}
    for name, table in dataset.tables.items():
        mine: tuple[str, ...] = ()
        if table.person is not None:
            mine = (table.person, *((unit.per,) if unit.per else ()))
        link = Link(*table.via) if table.via is not None else None
        found[name] = Known(name, table.domain, mine, link, public=table.public)
    return found


def bind(
    dataset: Dataset,
    sql: str,
    *,
    epsilon: float,
    delta: float | None,
    weights: Mapping[str, float] | None,
    guess: Mapping[str, float] | None,
    consistent: Sequence[str] | None = None,
    engine: str | None = None,
) -> QueryPlan:
    """Bind a query to a dataset's public facts: parse, bound, split the budget. Reads no private row."""
    reader = engines.of(dataset, engine)
    known = catalog(dataset)
    _check_units(known)
    select = parse(sql, catalog=known, unit=dataset.unit, views=dataset.views)
    measure = dataset.ledger.account(dataset.population).measure
    question, parts = _question(dataset, known, select)
    groupings = _sets(select, question)
    wishes = _consistent(consistent, groupings, question)
    epsilon, delta, atoms = _asked(measure, epsilon, delta, unknown=question.unknown)
    guesses = Guesses.of(guess, parts, select.outputs)
    drawing, finder, event, split, why = _drawing(
        question, parts, select, groupings, measure, epsilon, delta, atoms, guesses, weights
    )
    writer = Writer(question, reader.dialect, reader.names(question))
    guarantee = _guarantee(dataset, reader, question, event, epsilon, delta + atoms)
    bound = QueryPlan(
        select=select,
        question=question,
        parts=parts,
        drawing=drawing,
        finder=finder,
        event=event,
        guarantee=guarantee,
        forecasts=forecasts(drawing.noises[0], guesses, _ranks(drawing)),
        identity=_identity(select, question, drawing, finder, reader, wishes),
        facts={},
        statements=answering.write(writer, finder),
        engine=reader,
        sets=groupings,
        consistent=wishes,
    )
    return replace(bound, facts=describe.facts(bound, split, why, str(measure)))


def _question(dataset: Dataset, known: Catalog, select: Select) -> tuple[Question, Parts]:
    """Return what the engine computes, and what each aggregate is made of."""
    relation, unit = select.relation, dataset.unit
    parts = Parts(columns(relation, known), owners(relation, known))
    groups = tuple(Group(str(key), key, known_keys(key, parts.columns)) for key in select.keys)
    groups = narrowed(groups, select.where)
    own = [_own(group.row, relation, known) for group in groups]
    if any(group.values is None for group in groups):
        bounds = _unknown_bounds(unit, groups)
    else:
        bounds = Bounds.of(unit, [len(group.values or ()) for group in groups], own)
    used = [one for item in select.outputs if item.expression is not None for one in nodes.aggregates(item.expression)]
    primitives = tuple(dict.fromkeys(part for one in used for part in parts(one)))
    drawn = tuple(drawn_parts([one for one in used if one.function in nodes.DRAWN], parts.facts, bounds))
    key = salt(dataset.name, dataset.version)
    return Question(relation, known, unit, bounds, groups, primitives, drawn, select.where, key), parts


def _sets(select: Select, question: Question) -> Sets:
    """Return the groupings; several only of sums that are known in the finest groups."""
    own = [_own(group.row, question.relation, question.catalog) for group in question.groups]
    if not select.sets:
        return sets([len(group.values or ()) for group in question.groups], (), own)
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
    return sets([len(group.values or ()) for group in question.groups], select.sets, own)


def _consistent(wanted: Sequence[str] | None, groupings: Sets, question: Question) -> tuple[Wish, ...]:
    """Return what released numbers are made to agree in; by default, where there are totals, that they add up."""
    if wanted is None:
        return ("totals",) if groupings.several else ()
    wishes = consistency.check(wanted)
    if "totals" in wishes and not groupings.several:
        raise InvalidInput(
            "there are no totals to agree with: the query has one grouping.",
            remedy="Ask for GROUP BY ROLLUP (…) or GROUPING SETS, or leave totals out.",
        )
    if wishes and question.unknown:
        wishes = tuple(wish for wish in wishes if wish != "totals")
    return wishes


def _own(row: Row, relation: Any, known: Catalog) -> bool:
    return isinstance(row, Ref) and any(row in owners(relation, known, place) for place in (0, 1))


def _unknown_bounds(unit: Any, groups: tuple[Group, ...]) -> Bounds:
    """Return the bounds where a selection finds the groups: nobody knows how many there will be."""
    names = ", ".join(group.name for group in groups if group.values is None)
    if not unit.enforced:
        raise UnsupportedQuery(
            f"GROUP BY {names} needs the public list of its groups where one row is one unit.",
            remedy="Declare its keys, or the person's column.",
        )
    if unit.max_groups is None:
        raise UnsupportedQuery(
            f"GROUP BY {names} has no declared groups, and nothing says how many of them one person may touch.",
            remedy="Declare max_groups of the unit, or the keys of the column. Never read them off the data.",
        )
    return Bounds(unit.max_groups, unit.max_rows, 2 * unit.max_groups, unit.relation, sampled=True)


def _drawing(
    question: Question,
    parts: Parts,
    select: Select,
    groupings: Sets,
    measure: accounting.Measure,
    epsilon: float,
    delta: float,
    atoms: float,
    guesses: Guesses,
    weights: Mapping[str, float] | None,
) -> tuple[Drawing, Finder | None, events.Event, tuple[Fraction, ...], str]:
    """Split the budget over what is noised, drawn and selected."""
    levels = range(len(groupings.chosen))
    slots = [(place, part) for place in levels for part in question.primitives]
    several = groupings.several
    everything: list[Any] = [*(slots if several else question.primitives), *question.drawn]
    everything += [None] if question.unknown else []
    by_aggregate = {one: part for part in question.drawn for one in part.aggregates}
    of: dict[str, list[Any]] = {}
    for item in select.outputs:
        if item.expression is not None:
            used = [part for one in nodes.aggregates(item.expression) for part in _parts(one, parts, by_aggregate)]
            used = list(dict.fromkeys(used))
            of[item.name] = [(place, part) for place in levels for part in used] if several else used
    if question.unknown:
        of["GROUP BY"] = [None]
    bounds = question.bounds
    moved = {
        (place, part): groupings.sensitivity(bounds, part, place) if several else bounds.sensitivity(part)
        for place, part in slots
    }
    law: Law = "discrete_laplace" if measure.kind == "pure" else "discrete_gaussian"
    alone = {} if several else {part: moved[0, part] for part in question.primitives}
    split, why = shares(everything, of, alone, law, guesses, weights)
    askers: list[Any] = [partial(noise, measure, moved[slot]) for slot in slots]
    askers += [partial(part.spend, measure) for part in question.drawn]
    if question.unknown:
        finding.check(atoms)
        askers.append(finding.finder(measure, atoms, bounds.groups, bounds.relation))
    budget = accounting.budget(measure, epsilon=epsilon, delta=delta)
    draws, event = allocate(measure, budget, askers, split)
    found = dict(zip(slots, draws, strict=False))
    noises = tuple({part: found[place, part] for part in question.primitives} for place in levels)
    choices = {draw.part: draw for draw in draws if isinstance(draw, Choice)}
    finder = draws[-1] if isinstance(draws[-1], Finder) else None
    return Drawing(noises, choices), finder, event, split, why  # type: ignore[arg-type]


def _ranks(drawing: Drawing) -> dict[Aggregate, float | None]:
    """Return by how many rows the rank of each drawn aggregate may be off."""
    return {one: choice.rank_error(LEVEL) for part, choice in drawing.choices.items() for one in part.aggregates}


def _parts(aggregate: Aggregate, parts: Parts, drawn: Mapping[Aggregate, Drawn]) -> tuple[Part, ...]:
    return (drawn[aggregate],) if aggregate in drawn else parts(aggregate)


def _check_units(known: Catalog) -> None:
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


def _asked(
    measure: accounting.Measure, epsilon: float, delta: float | None, *, unknown: bool
) -> tuple[float, float, float]:
    """Check the budget asked for: epsilon, the delta of its conversion, and that of a selection of groups.

    On a pure account δ is the selection's alone; without one it has no use and counts as 0.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < math.inf:
        raise InvalidInput(
            f"epsilon must be a number above 0, got {shown(epsilon)}.", remedy="For example epsilon = 0.5."
        )
    if epsilon >= MOST_EPSILON:
        raise InvalidInput(
            f"epsilon must be below {MOST_EPSILON:,}; so large a one protects nobody.",
            remedy="For example epsilon = 0.5.",
        )
    if delta is not None and (isinstance(delta, bool) or not isinstance(delta, int | float) or not 0 <= delta < 1):
        raise InvalidInput(f"delta must lie in [0, 1), got {shown(delta)}.", remedy="For example delta = 1e-7.")
    if measure.kind == "pure":
        return float(epsilon), 0.0, float(delta or 0) if unknown else 0.0
    if not delta:
        raise InvalidInput(
            f"this account is measured in {measure}, where epsilon means nothing without delta.",
            remedy="Give delta too, for example delta = 1e-7: far below one over the number of people.",
        )
    own = float(delta) / 2 if unknown else 0.0
    return float(epsilon), float(delta) - own, own


def _guarantee(
    dataset: Dataset, engine: engines.Engine, question: Question, event: events.Event, epsilon: float, delta: float
) -> Guarantee:
    profile = accounting.analytic(event)
    assumptions = ["The declared bounds and keys are public knowledge."]
    if not dataset.unit.enforced:
        rows = dataset.unit.max_rows
        assumptions.append(f"Each person has at most {rows} row{'s' if rows > 1 else ''} in this table (promised).")
    return Guarantee(
        unit=dataset.unit,
        epsilon=min(epsilon, profile.epsilon(delta).upper),
        delta=delta,
        method=profile.method,
        assumptions=(*assumptions, *_linked(question), *engine.assumptions(question)),
        evidence="proven",
    )


def _linked(question: Question) -> list[str]:
    """Return what a foreign key has to be like for the rows behind it to be one person's."""
    read = relations.tables(question.relation, set(), question.catalog)
    links = [question.catalog[name].link for name in read]
    return [
        f"Each {link.table}.{link.key} belongs to one person (promised); rows that point to it are that person's."
        for link in links
        if link is not None
    ]


def _identity(
    select: Select,
    question: Question,
    drawing: Drawing,
    finder: Finder | None,
    engine: engines.Engine,
    wishes: tuple[Wish, ...],
) -> dict[str, Any]:
    drawn = [{"of": part.label, "event": events.to_dict(choice.event)} for part, choice in drawing.choices.items()]
    found = {} if finder is None else {"groups": {"offered": finder.offered, "event": events.to_dict(finder.event)}}
    return (
        {
            "kind": "sql",
            "v": VERSION,
            "sql": str(select),
            "engine": engine.name,
            "salt": question.salt,
            "groups": question.bounds.groups,
            "rows": question.bounds.rows,
            "noise": [
                {"of": part.label, "law": one.law, "scale": str(one.scale), "sensitivity": str(one.sensitivity)}
                for noises in drawing.noises
                for part, one in noises.items()
            ],
            "drawn": drawn,
        }
        | found
        | ({"consistent": list(wishes)} if wishes else {})
    )
