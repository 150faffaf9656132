"""The bound query: question and cost in one object, never apart."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from discreet import accounting, events
from discreet.dataset import Answer, Dataset
from discreet.domains import shown
from discreet.errors import InvalidInput
from discreet.ledger import Period
from discreet.profiles import Guarantee
from discreet.sql import describe, engines, questions
from discreet.sql.allocate import Noise
from discreet.sql.answers import answering, post
from discreet.sql.answers.answering import Drawing, Statements
from discreet.sql.answers.consistency import Wish
from discreet.sql.answers.estimates import Stacked, stacked
from discreet.sql.answers.finding import Finder
from discreet.sql.answers.post import Labels
from discreet.sql.bound import Parts, Primitive
from discreet.sql.forecast import Forecast, Guesses, forecasts
from discreet.sql.kept import Materialised
from discreet.sql.nodes import Select
from discreet.sql.parsing.parse import parse
from discreet.sql.sets import Sets
from discreet.sql.splitting import Budget, Split, ranks, split
from discreet.sql.statements import relations
from discreet.sql.statements.stages import Question, Writer

if TYPE_CHECKING:
    from discreet.mechanisms.rng import Rng

VERSION = 2  # of what a text means: an answer of another meaning is another answer
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
        declaration: Of the dataset that it was bound to; `Dataset.reveal` takes it for no other.
        using: The kept pre-aggregate that answers it, if there is one.
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
    engine: engines.Engine = field(repr=False)
    sets: Sets
    consistent: tuple[Wish, ...]
    declaration: Mapping[str, Any]
    using: Materialised | None = None

    def bind(self, dataset: Dataset) -> QueryPlan:
        """Return itself, after a look at what is bound to fail; reads no private row.

        What would fail after the charge is refused here: an engine that is missing or means something else, a
        source that cannot be opened or whose columns have other names.
        """
        dataset.check_declared(self.declaration, "the plan")
        self.engine.ready(self.question if self.using is None else self.using.question)
        return self

    @property
    def name(self) -> str:
        """What a release of this query is called, unless its asker says otherwise."""
        return f"query-{hashlib.sha256(str(self.select).encode()).hexdigest()[:8]}"

    @property
    def noises(self) -> Mapping[Primitive, Noise]:
        """The noise of each primitive, in the first of several groupings."""
        return self.drawing.noises[0]

    @property
    def periods(self) -> tuple[Period, ...]:
        """The periods whose rows alone are read; none if rows of all are."""
        return self.question.periods

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
        released, labels = self.answered(source, rng)
        return Answer(post.table(self.select, released, labels), describe.accuracy(self.select, self))

    def answered(self, source: Any, rng: Rng) -> tuple[Stacked, Labels]:
        """Return the released numbers of every group, and the groups; see `run`."""
        opened = self.engine.opened(source, self.question)
        if self.using is not None:
            self.using.build(self.engine.opened(source, self.using.question))
            opened = self.using.opened()
        with opened as session:
            exact = answering.exact(self.question, self.statements, session, self.finder, rng)
        levels = self.drawing.noisy(self.parts, exact, self.sets, rng)
        kinds = [self.parts.facts(group.row).type for group in self.question.groups]
        labels = answering.labels(exact.groups, exact.found, kinds, self.sets)
        if self.using is not None:
            labels = self.using.labels(labels, self.select)
        finest = [self.sets.of_finest(place) for place in range(len(levels))] if self.consistent else []
        return stacked(levels, finest, self.consistent), labels


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
    using: Materialised | None = None,
) -> QueryPlan:
    """Bind a query to a dataset's public facts: parse, bound, split the budget. Reads no private row."""
    known = questions.catalog(dataset)
    questions.check_units(known)
    select = parse(sql, catalog=known, unit=dataset.unit, views=dataset.views)
    return bound(
        dataset,
        select,
        epsilon=epsilon,
        delta=delta,
        weights=weights,
        guess=guess,
        consistent=consistent,
        engine=engine,
        using=using,
    )


def bound(
    dataset: Dataset,
    select: Select,
    *,
    epsilon: float,
    delta: float | None,
    weights: Mapping[str, float] | None = None,
    guess: Mapping[str, float] | None = None,
    consistent: Sequence[str] | None = None,
    engine: str | None = None,
    using: Materialised | None = None,
    share: Fraction = Fraction(1),
) -> QueryPlan:
    """Bind a query in our own nodes, for a share of what epsilon and delta allow; see `bind`."""
    known = questions.catalog(dataset)
    reader = engines.of(dataset, engine)
    measure = dataset.ledger.account(dataset.population).measure
    question, parts = questions.question(dataset, known, select)
    groupings = questions.groupings(select, question)
    if using is not None:
        dataset.check_declared(using.declaration, "the pre-aggregate")
        question, groupings = using.answers(question, groupings)
    wishes = questions.wishes(consistent, groupings, question)
    budget = replace(_asked(measure, epsilon, delta, unknown=question.unknown), share=share)
    guesses = Guesses.of(guess, parts, select.outputs)
    found = split(question, parts, select, groupings, budget, guesses, weights)
    writer = Writer(question, reader.dialect, reader.names(question))
    drawing = found.drawing
    plan = QueryPlan(
        select=select,
        question=question,
        parts=parts,
        drawing=drawing,
        finder=found.finder,
        event=found.event,
        guarantee=_guarantee(dataset, reader, question, found.event, budget),
        forecasts=forecasts(drawing.noises[0], guesses, ranks(drawing)),
        identity=_identity(select, question, found, reader, wishes),
        facts={},
        statements=answering.write(writer, found.finder, bounded=using is not None),
        engine=reader,
        sets=groupings,
        consistent=wishes,
        declaration=dataset.declaration,
        using=using,
    )
    return replace(plan, facts=describe.facts(plan, found.shares, found.why, str(measure)))


def _asked(measure: accounting.Measure, epsilon: float, delta: float | None, *, unknown: bool) -> Budget:
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
        return Budget(measure, float(epsilon), 0.0, float(delta or 0) if unknown else 0.0)
    if not delta:
        raise InvalidInput(
            f"this account is measured in {measure}, where epsilon means nothing without delta.",
            remedy="Give delta too, for example delta = 1e-7: far below one over the number of people.",
        )
    own = float(delta) / 2 if unknown else 0.0
    return Budget(measure, float(epsilon), float(delta) - own, own)


def _guarantee(
    dataset: Dataset, engine: engines.Engine, question: Question, event: events.Event, budget: Budget
) -> Guarantee:
    delta = budget.delta + budget.atoms
    profile = accounting.analytic(event)
    assumptions = ["The declared bounds and keys are public knowledge."]
    if not dataset.unit.enforced:
        rows = dataset.unit.max_rows
        assumptions.append(f"Each person has at most {rows} row{'s' if rows > 1 else ''} in this table (promised).")
    return Guarantee(
        unit=dataset.unit,
        epsilon=min(budget.epsilon, profile.epsilon(delta).upper),
        delta=delta,
        method=profile.method,
        assumptions=(*assumptions, *_kept_to(question), *_linked(question), *engine.assumptions(question)),
        evidence="proven",
    )


def _kept_to(question: Question) -> list[str]:
    """Return what makes the rows of a period those of that period for ever."""
    if not question.periods:
        return []
    return [f"The {question.unit.per} of a row never changes (promised): no row is counted in another period later."]


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
    select: Select, question: Question, found: Split, engine: engines.Engine, wishes: tuple[Wish, ...]
) -> dict[str, Any]:
    drawing, finder = found.drawing, found.finder
    drawn = [{"of": part.label, "event": events.to_dict(choice.event)} for part, choice in drawing.choices.items()]
    selected = {} if finder is None else {"groups": {"offered": finder.offered, "event": events.to_dict(finder.event)}}
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
        }
        | ({"drawn": drawn} if drawn else {})  # what older questions had not, they have not now: their ids stay
        | selected
        | ({"consistent": list(wishes)} if wishes else {})
    )
