"""Noised answers to SQL by the thousand: exact integers once, from the real engine, and the plan's own noise on copies.

What is looked at is all that a release is worked out from: every noised integer, everything drawn, and which groups
a selection found. Groups that nobody declared are selected by the plan's own finder, for all copies at once; what it
asks of the engine is answered once for each set of groups.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from discreet.mechanisms import Rng
from discreet.sql.answers import answering
from discreet.sql.answers.names import Names
from discreet.sql.bind import QueryPlan
from discreet.sql.sets import Sets

RNG = Rng()
_FOLDER = tempfile.TemporaryDirectory(prefix="discreet-shapes-")
_NUMBER = count()


def exact(plan: QueryPlan, source: Any) -> answering.Exact:
    """Return the exact answers of a plan whose groups are declared."""
    with _opened(plan, source) as session:
        return answering.exact(plan.question, plan.statements, session, None, RNG)


def _opened(plan: QueryPlan, source: Any) -> Any:
    if plan.using is None:
        return plan.engine.opened(source, plan.question)
    kept = replace(plan.using, path=Path(_FOLDER.name) / f"kept-{next(_NUMBER)}.parquet")  # one for each dataset
    kept.build(plan.engine.opened(source, kept.question))
    return kept.opened()


def drawn(plan: QueryPlan, found: answering.Exact, draws: int) -> np.ndarray:
    """Return a row of numbers for each of so many answers from the same exact ones."""
    sums = {part: np.repeat(values, draws) for part, values in found.sums.items()}
    histograms = {part: _tiled(*histogram, draws) for part, histogram in found.histograms.items()}
    copies = answering.Exact((*found.groups, answering.cells(draws)), sums, histograms, None)
    place = len(plan.sets.sizes)
    sets = Sets((*plan.sets.sizes, draws), tuple((*one, place) for one in plan.sets.chosen), (*plan.sets.own, False))
    levels = plan.drawing.noisy(plan.parts, copies, sets, RNG)
    columns = [values.astype(np.float64).reshape(-1, draws) for level in levels for values in level.values.values()]
    chosen = [values for level in levels for values in level.chosen.values()]
    columns += [np.asarray(values, dtype=np.float64).reshape(draws, -1).T for values in chosen]  # copy by copy
    return np.concatenate(columns).T


def _tiled(values: np.ndarray, weights: np.ndarray, starts: np.ndarray, draws: int) -> tuple[np.ndarray, ...]:
    steps = np.tile(np.diff(starts), draws)
    return np.tile(values, draws), np.tile(weights, draws), np.concatenate([[0], np.cumsum(steps)])


# --------------------------------------------------------------------------- groups nobody declared


@dataclass
class Selecting:
    """Draws of a plan whose groups a selection finds.

    Args:
        plan: The plan.
        source: The private rows.
        every: The groups that there are in this dataset or its neighbours.
    """

    plan: QueryPlan
    source: Any
    every: list[tuple[Any, ...]] = field(default_factory=list)
    rounds: dict[frozenset[tuple[Any, ...]] | None, pa.Table] = field(default_factory=dict)
    answers: dict[tuple[tuple[Any, ...], ...], answering.Exact] = field(default_factory=dict)

    def draw(self, draws: int) -> np.ndarray:
        """Return a row for each answer: for every group there is, whether it was found, and its numbers."""
        assert self.plan.finder is not None
        with self.plan.engine.opened(self.source, self.plan.question) as session:
            self.session = session
            session.keep(self.plan.statements.names.kept, self.plan.statements.kept)
            session.keep(self.plan.statements.names.offered, self.plan.statements.offered)
            found = self.plan.finder.find(lambda still: self._asked(still, draws), RNG)
            names = [name for name in found.column_names if name.startswith("k")]
            chosen: list[list[tuple[Any, ...]]] = [[] for _ in range(draws)]
            for copy, *key in zip(found["copy"].to_pylist(), *(found[name].to_pylist() for name in names), strict=True):
                chosen[copy].append(tuple(key))
            sets = [tuple(sorted(one, key=repr)) for one in chosen]
            for one in set(sets):
                if one:
                    self._answer(one)
        return self._rows(sets)

    def _asked(self, still: pa.Table | None, draws: int) -> pa.Table:
        """Return the weights in all copies, whose number is one more key."""
        if still is None:
            return _crossed(self._round(None), list(range(draws)))
        names = [name for name in still.column_names if name != "copy"]
        left: dict[int, set[tuple[Any, ...]]] = {}
        for copy, *key in zip(still["copy"].to_pylist(), *(still[name].to_pylist() for name in names), strict=True):
            left.setdefault(copy, set()).add(tuple(key))
        copies: dict[frozenset[tuple[Any, ...]], list[int]] = {}
        for copy, keys in left.items():
            copies.setdefault(frozenset(keys), []).append(copy)
        tables = [_crossed(self._round(keys), held) for keys, held in copies.items()]
        return pa.concat_tables([_crossed(self._round(None), []), *tables])

    def _round(self, open_: frozenset[tuple[Any, ...]] | None) -> pa.Table:
        if open_ not in self.rounds:
            statement = self.plan.statements.first
            if open_ is not None:
                statement = self.plan.statements.next
                self.session.put(self.plan.statements.names.open, self._keys(tuple(sorted(open_, key=repr))))
            self.rounds[open_] = self.session.table(statement)
        return self.rounds[open_]

    def _keys(self, keys: tuple[tuple[Any, ...], ...]) -> pa.Table:
        kinds = self._round(None).drop_columns(["w"]).schema
        return pa.table(
            {name: pa.array([key[i] for key in keys], kinds.field(name).type) for i, name in enumerate(kinds.names)}
        )

    def _answer(self, keys: tuple[tuple[Any, ...], ...]) -> None:
        """Work out the exact answers where these groups were found, as the plan does."""
        if keys in self.answers:
            return
        found = self._keys(keys).append_column("cell", pa.array(range(len(keys)), pa.int64()))
        held = _Found(found)
        self.answers[keys] = answering.exact(
            self.plan.question, self.plan.statements, _Asked(self.session, self.plan.statements.names), held, RNG
        )  # type: ignore[arg-type]

    def _rows(self, sets: list[tuple[tuple[Any, ...], ...]]) -> np.ndarray:
        question = self.plan.question
        width = 1 + len(question.primitives) + sum(len(one.aggregates) for one in question.drawn)
        rows = np.full((len(sets), len(self.every), width), np.nan)
        for chosen in set(sets):
            copies = [i for i, one in enumerate(sets) if one == chosen]
            rows[copies, :, 0] = [key in chosen for key in self.every]
            if not chosen:
                continue
            numbers = drawn(self.plan, self.answers[chosen], len(copies)).reshape(len(copies), -1, len(chosen))
            places = [self.every.index(key) for key in chosen]
            for j in range(numbers.shape[1]):
                rows[np.ix_(copies, places, [1 + j])] = numbers[:, j, :, None]
        return rows.reshape(len(sets), -1)

    def keys(self) -> set[tuple[Any, ...]]:
        """Return the groups that there are."""
        with self.plan.engine.opened(self.source, self.plan.question) as session:
            session.keep(self.plan.statements.names.kept, self.plan.statements.kept)
            session.keep(self.plan.statements.names.offered, self.plan.statements.offered)
            first = session.table(self.plan.statements.first)
        names = [name for name in first.column_names if name != "w"]
        return set(zip(*(first[name].to_pylist() for name in names), strict=True))


def _crossed(table: pa.Table, copies: list[int]) -> pa.Table:
    """Return the rows of a table once for each copy, with its number."""
    rows = table.take(pa.array(np.tile(np.arange(table.num_rows), len(copies)), pa.int64()))
    return rows.append_column("copy", pa.array(np.repeat(np.array(copies, dtype=np.int64), table.num_rows), pa.int64()))


@dataclass(frozen=True)
class _Found:
    """A finder that found."""

    table: pa.Table

    def find(self, *_: Any) -> pa.Table:
        """Return what was found."""
        return self.table


@dataclass(frozen=True)
class _Asked:
    """A session whose kept rows stand already."""

    session: Any
    names: Names

    def table(self, statement: str) -> pa.Table:
        """Return the exact integers of a query."""
        return self.session.table(statement)

    def keep(self, name: str, statement: str) -> None:
        """Keep what depends on the groups found; the rest is kept."""
        if name == self.names.chosen:
            self.session.keep(name, statement)

    def put(self, name: str, rows: pa.Table) -> None:
        """Put the groups found."""
        assert name == self.names.found
        self.session.put(name, rows)


# ------------------------------------------------------------------------------------------ any


class Drawing:
    """Draws answers of one plan or of several that are released together; as the tester calls a mechanism.

    Args:
        plans: The plans.
        datasets: All that will be asked: each a table by name.
    """

    def __init__(self, plans: Sequence[QueryPlan], datasets: Iterable[Any]) -> None:
        self.plans = plans
        self.known: list[tuple[Any, list[Any]]] = []
        for dataset in datasets:
            if not any(one is dataset for one, _ in self.known):
                asked = [
                    Selecting(plan, given(plan, dataset)) if plan.finder else exact(plan, given(plan, dataset))
                    for plan in plans
                ]
                self.known.append((dataset, asked))
        for place, plan in enumerate(plans):
            if plan.finder:
                selecting = [asked[place] for _, asked in self.known]
                every = sorted(set().union(*(one.keys() for one in selecting)), key=repr)
                for one in selecting:
                    one.every = every

    def exacts(self, dataset: Any) -> list[Any]:
        """Return what is known of a dataset, for each plan."""
        return next(asked for one, asked in self.known if one is dataset)

    def __call__(self, dataset: Any, draws: int) -> np.ndarray:
        """Return a row for each answer."""
        found = [
            one.draw(draws) if isinstance(one, Selecting) else drawn(plan, one, draws)
            for plan, one in zip(self.plans, self.exacts(dataset), strict=True)
        ]
        return np.concatenate(found, axis=1)


def given(plan: QueryPlan, dataset: dict[str, pa.Table]) -> Any:
    """Return the source as a dataset lends it: the table, or all tables by name."""
    names = list(plan.question.catalog)
    return {name: dataset[name] for name in names} if len(names) > 1 else dataset[names[0]]
