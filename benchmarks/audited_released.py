"""Answers to SQL for the tester: many draws of a real plan in one call, and the losses that are known exactly.

Every draw is made by `QueryPlan.run`. Only the engine is another: what the real one answers is crossed with so many
copies, each a group of one more key, so that one call computes the exact answers once and releases them so many
times, with fresh noise for each.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from audited import Trial, gaussian_loss
from audited_ranks import rank_law

from discreet.events import Relation, Repeated
from discreet.mechanisms import Rng
from discreet.sql import nodes
from discreet.sql.answers import answering
from discreet.sql.bind import QueryPlan
from discreet.sql.sets import Sets
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.rows import Ref
from discreet.sql.statements.stages import Group
from discreet.testing import selection_law

RNG = Rng()
COPY = "copy"
TYPES = {
    "id": pa.int64(),
    "month": pa.int64(),
    "ward": pa.string(),
    "floor": pa.int64(),
    "age": pa.float64(),
    "debt": pa.string(),
    "weight": pa.float64(),
}


def table(rows):
    """Return rows as the private source."""
    return pa.table({name: pa.array([row[name] for row in rows], type=kind) for name, kind in TYPES.items()})


# ------------------------------------------------------------------------------ draws


class Released:
    """Draws answers of a plan, many in one call of `QueryPlan.run`."""

    def __init__(self, plan: QueryPlan) -> None:
        self.plan = plan
        self.sizes: dict[int, QueryPlan] = {}

    def __call__(self, rows: Any, draws: int) -> Any:
        """Return a row of numbers for each answer: every column that is released, of every group."""
        if draws not in self.sizes:
            self.sizes[draws] = copies(self.plan, draws)
        answer = self.sizes[draws].run(table(rows), RNG).value
        keys = [item for item in self.plan.select.outputs if item.key is not None]
        hidden = {COPY} | {item.name for item in keys} | {item.name + nodes.TOTAL for item in keys}
        values = np.column_stack([numbers(answer[name]) for name in answer.column_names if name not in hidden])
        if self.plan.consistent:  # one search over all copies: the last digits of one hang on the others
            values = np.round(values, 3)
        copy = answer[COPY].to_numpy()
        if self.plan.select.having is None and not self.plan.select.order:
            return values.reshape(-1, draws, values.shape[1]).swapaxes(0, 1).reshape(draws, -1)
        (key,) = keys
        groups = {value: i for i, value in enumerate(self.plan.question.groups[key.key].values)}
        group = np.array([groups[value] for value in answer[key.name].to_pylist()], dtype=np.int64)
        return placed(copy, group, values, draws, len(groups))


def numbers(column):
    """Return a column as numbers: texts by their order, what is missing as NaN."""
    if pa.types.is_string(column.type):
        column = pc.index_in(column, value_set=pc.unique(pa.array(["A", "B"])))
    return column.to_numpy(zero_copy_only=False).astype(np.float64)


def placed(copy, group, values, draws, groups):
    """Return for each answer and group in which row it came, and its values; NaN for a group that is left out."""
    found = np.full((draws, groups, 1 + values.shape[1]), np.nan)
    order = np.argsort(copy, kind="stable")
    starts = np.searchsorted(copy[order], np.arange(draws))
    place = np.empty(len(copy))
    place[order] = np.arange(len(copy)) - starts[copy[order]]
    found[copy, group] = np.column_stack([place, values])
    return found.reshape(draws, -1)


def copies(plan, draws):
    """Return the plan that answers `draws` times in one run: the innermost of its keys is which copy."""
    question, place = plan.question, len(plan.question.groups)
    group = Group(COPY, Ref(COPY), tuple(range(draws)))
    bounds = replace(question.bounds, cells=question.bounds.cells * draws)
    sets, select = plan.sets, plan.select
    return replace(
        plan,
        question=replace(question, groups=(*question.groups, group), bounds=bounds),
        sets=Sets((*sets.sizes, draws), tuple((*one, place) for one in sets.chosen), (*sets.own, False)),
        select=replace(
            select, outputs=(*select.outputs, nodes.Output(COPY, key=place)), keys=(*select.keys, Ref(COPY))
        ),
        parts=replace(plan.parts, columns={**plan.parts.columns, Ref(COPY): Facts("integer")}),
        engine=Crossed(plan, place, draws),
    )


@dataclass(frozen=True)
class Crossed:
    """A plan's own engine, each row of whose answers comes `draws` times, with its number as a last key."""

    plan: QueryPlan
    place: int
    draws: int

    @contextmanager
    def opened(self, source, _):
        """Open the source as the plan does."""
        with self.plan.engine.opened(source, self.plan.question) as session:
            yield Answers(session, self.place, self.draws)


@dataclass(frozen=True)
class Answers:
    """A session of an engine, whose answers are crossed with copies."""

    session: Any
    place: int
    draws: int

    def table(self, statement):
        """Return the answer of a statement, so many times."""
        return self.session.table(
            f"SELECT answer.*, copies.copy AS k{self.place} FROM ({statement}) AS answer "
            f"CROSS JOIN range({self.draws}) AS copies(copy)"
        )

    def keep(self, name, statement):
        """Keep rows once."""
        self.session.keep(name, statement)


# ------------------------------------------------------------------------------ what is known exactly


def trials(plan, held):
    known: dict[str, Any] = {}
    for pair in held:
        for rows in (pair.first, pair.second):
            if str(rows) not in known:
                known[str(rows)] = exact(plan, rows)
        yield Trial(pair, own(plan, known[str(pair.first)], known[str(pair.second)]))


def exact(plan, rows):
    """Return what is computed before noise and draws."""
    with plan.engine.opened(table(rows), plan.question) as session:
        return answering.exact(plan.question, plan.statements, session, None, RNG)


def noises(plan):
    return [noise for level in plan.drawing.noises for noise in level.values()]


def own(plan, first, second):
    """Return the loss between two exact answers by the laws of noise and draws: ε, or μ."""
    moves = [
        (abs(int(a) - int(b)), noise)
        for place, level in enumerate(plan.drawing.noises)
        for part, noise in level.items()
        for a, b in zip(*(grouped(plan, one.sums[part], place) for one in (first, second)), strict=True)
    ]
    if any(noise.law == "discrete_gaussian" for noise in noises(plan)):
        assert not plan.drawing.choices
        return gaussian_loss([(step, noise.scale) for step, noise in moves])
    drawn = sum(
        float(np.abs(np.log(a) - np.log(b)).max())
        for part, choice in plan.drawing.choices.items()
        for pair in zip(*(laws(choice, *one.histograms[part]) for one in (first, second)), strict=True)
        for a, b in zip(*pair, strict=True)
    )
    return float(sum(step / noise.scale for step, noise in moves)) + drawn


def grouped(plan, sums, place):
    return plan.sets.total(sums, place) if plan.sets.several else sums


def laws(choice, values, weights, starts):
    """Yield for each group the laws of its draws: the chance of each candidate."""
    part, mechanism = choice.part, choice.mechanism
    function = part.aggregates[0].function
    each = mechanism.event.event if isinstance(mechanism.event, Repeated) else mechanism.event
    rate = each.epsilon / part.weight / (2 if part.bounds.relation is Relation.REPLACE_ONE else 1)
    for start, end in pairwise(starts):
        at, held = values[start:end], weights[start:end]
        if function == "MODE":
            scores = np.zeros(len(part.candidates), dtype=np.int64)
            scores[at] = held
            monotone = part.bounds.relation is not Relation.REPLACE_ONE
            yield [selection_law(mechanism.event, scores.tolist(), sensitivity=part.weight, monotone=monotone)]
            continue
        low, high, _ = part.facts.range
        line = np.zeros(high - low + 1)
        line[at - low] = held
        if function == "QUANTILE":
            ranks = sorted(float(one.rank) for one in part.aggregates)
            yield [rank_law(line, rank * line.sum(), rate / (2 * max(rank, 1 - rank))) for rank in ranks]
        else:
            line = line if function == "MIN" else line[::-1]
            yield [rank_law(line, min(mechanism.target, line.sum()), rate / 3, short=2)]
