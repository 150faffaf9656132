"""How a query's budget is given to what is noised, drawn and selected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from discreet import accounting, events
from discreet.sql import nodes
from discreet.sql.allocate import Law, allocate, noise
from discreet.sql.answers import finding
from discreet.sql.answers.answering import Drawing
from discreet.sql.answers.drawn import Choice, Drawn, Part
from discreet.sql.answers.finding import Finder
from discreet.sql.answers.intervals import LEVEL
from discreet.sql.bound import Parts
from discreet.sql.forecast import Guesses, shares
from discreet.sql.nodes import Aggregate, Select
from discreet.sql.sets import Sets
from discreet.sql.statements.stages import Question


@dataclass(frozen=True, slots=True)
class Budget:
    """What a query may cost.

    Args:
        measure: The account's measure.
        epsilon, delta: What the noise and the draws may cost together.
        atoms: The δ of a selection of groups.
        share: How much of the loss that epsilon and delta allow is this query's.
    """

    measure: accounting.Measure
    epsilon: float
    delta: float
    atoms: float
    share: Fraction = Fraction(1)

    @property
    def units(self) -> int:
        """The loss, in units of 2^-40 of the measure."""
        return int(accounting.budget(self.measure, epsilon=self.epsilon, delta=self.delta) * self.share)


@dataclass(frozen=True, slots=True)
class Split:
    """How a budget was split.

    Args:
        drawing: The noise and the draws.
        finder: What finds the groups, where nobody declared them.
        event: All of it together.
        shares: The share of each part.
        why: How the shares were found, in words.
    """

    drawing: Drawing
    finder: Finder | None
    event: events.Event
    shares: tuple[Fraction, ...]
    why: str


def split(
    question: Question,
    parts: Parts,
    select: Select,
    groupings: Sets,
    budget: Budget,
    guesses: Guesses,
    weights: Mapping[str, float] | None,
) -> Split:
    """Give each part its share, and find what the share buys."""
    measure, bounds = budget.measure, question.bounds
    places = range(len(groupings.chosen))
    slots = [(place, part) for place in places for part in question.primitives]
    moved = {
        (place, part): groupings.sensitivity(bounds, part, place) if groupings.several else bounds.sensitivity(part)
        for place, part in slots
    }
    everything: list[Any] = [*(slots if groupings.several else question.primitives), *question.drawn]
    everything += [None] if question.unknown else []
    law: Law = "discrete_laplace" if measure.kind == "pure" else "discrete_gaussian"
    alone = {} if groupings.several else {part: moved[0, part] for part in question.primitives}
    found, why = shares(everything, _outputs(question, parts, select, groupings), alone, law, guesses, weights)
    askers: list[Any] = [partial(noise, measure, moved[slot]) for slot in slots]
    askers += [partial(part.spend, measure) for part in question.drawn]
    if question.unknown:
        finding.check(budget.atoms)
        askers.append(finding.finder(measure, budget.atoms, bounds.groups, bounds.relation))
    draws, event = allocate(measure, budget.units, askers, found)
    noises: Any = dict(zip(slots, draws, strict=False))
    levels = tuple({part: noises[place, part] for part in question.primitives} for place in places)
    choices = {draw.part: draw for draw in draws if isinstance(draw, Choice)}
    finder = draws[-1] if isinstance(draws[-1], Finder) else None
    return Split(Drawing(levels, choices), finder, event, found, why)


def _outputs(question: Question, parts: Parts, select: Select, groupings: Sets) -> dict[str, list[Any]]:
    """Return what each output is made of; the selection of groups counts as an output."""
    drawn = {one: part for part in question.drawn for one in part.aggregates}
    of: dict[str, list[Any]] = {}
    for item in select.outputs:
        if item.expression is not None:
            used = [part for one in nodes.aggregates(item.expression) for part in _parts(one, parts, drawn)]
            every = [(place, part) for place in range(len(groupings.chosen)) for part in dict.fromkeys(used)]
            of[item.name] = list(every) if groupings.several else list(dict.fromkeys(used))
    return of | ({"GROUP BY": [None]} if question.unknown else {})


def ranks(drawing: Drawing) -> dict[Aggregate, float | None]:
    """Return by how many rows the rank of each drawn aggregate may be off."""
    return {one: choice.rank_error(LEVEL) for part, choice in drawing.choices.items() for one in part.aggregates}


def _parts(aggregate: Aggregate, parts: Parts, drawn: Mapping[Aggregate, Drawn]) -> tuple[Part, ...]:
    return (drawn[aggregate],) if aggregate in drawn else parts(aggregate)
