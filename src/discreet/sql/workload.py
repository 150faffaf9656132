"""Workload: several questions about one dataset, planned, charged and released together.

Questions with the same rows and groups are measured once, whatever they ask: a count that three of
them use is noised once and gets what three would have had. The rest of the budget is split by weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from discreet import accounting, events
from discreet.dataset import Answer, Dataset
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.profiles import Guarantee
from discreet.release import Release, check_name
from discreet.sql import describe, questions
from discreet.sql.allocate import normalised
from discreet.sql.answers import post
from discreet.sql.answers.post import Labels
from discreet.sql.bind import QueryPlan, bound
from discreet.sql.bound import Parts
from discreet.sql.nodes import Aggregate, Output, Select
from discreet.sql.parsing.parse import parse

if TYPE_CHECKING:
    import pyarrow

    from discreet.mechanisms.rng import Rng

QUERY = "query"  # the column of the release that says whose a row is


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    """Questions that are answered together: `dataset.reveal` charges and runs them.

    Args:
        selects: The questions, by name.
        plans: What is measured; each answers some of the questions.
        of: Which of the plans answers each question.
        event: All of it together.
        guarantee: What the release guarantees.
        alone: The standard errors that each question's columns would have, were it asked by itself for an
            equal share of the budget; None where that depends on answers nobody guessed.
    """

    selects: Mapping[str, Select]
    plans: tuple[QueryPlan, ...]
    of: Mapping[str, int]
    event: events.Event
    guarantee: Guarantee
    alone: Mapping[str, Mapping[str, float | None]]

    @property
    def declaration(self) -> Mapping[str, Any]:
        """Of the dataset that it was planned for."""
        return self.plans[0].declaration

    @property
    def identity(self) -> Mapping[str, Any]:
        """Plain data that names the questions; hashed into the request."""
        sql = {name: str(select) for name, select in self.selects.items()}
        return {"kind": "sql.workload", "v": 1, "sql": sql, "plans": [plan.identity for plan in self.plans]}

    @property
    def facts(self) -> Mapping[str, Any]:
        """Public facts for `explain`."""
        first = self.plans[0].facts
        merged = {
            name: [item for plan in self.plans for item in plan.facts[name]] for name in ("columns", "noise", "notes")
        }
        merged["notes"] = list(dict.fromkeys(merged["notes"]))
        questions_ = "; ".join(f"{name}: {select}" for name, select in self.selects.items())
        return {
            **first,
            **merged,
            "sentence": f"{len(self.selects)} questions together. {questions_}",
            "sql": questions_,
        }

    @property
    def errors(self) -> dict[str, dict[str, float | None]]:
        """The standard error of each column of each question."""
        found: dict[str, dict[str, float | None]] = {}
        for name, select in self.selects.items():
            known = {item.name: item.standard_error for item in self.plans[self.of[name]].forecasts}
            found[name] = {item.name: known[_label(item)] for item in select.outputs if item.expression is not None}
        return found

    @property
    def saving(self) -> float:
        """How many times the variances would be, were each question asked by itself (their geometric mean)."""
        logs = [
            2 * math.log(apart / together)
            for name, columns in self.errors.items()
            for column, together in columns.items()
            if together and (apart := self.alone[name][column])
        ]
        return math.exp(sum(logs) / len(logs)) if logs else 1.0

    def run(self, source: Any, rng: Rng) -> Answer:
        """Answer each plan, and from those released numbers each question."""
        import pyarrow as pa

        answered = [plan.answered(source, rng) for plan in self.plans]
        tables: list[Any] = []
        accuracy: dict[str, Any] = {}
        for name, select in self.selects.items():
            plan = self.plans[self.of[name]]
            released, labels = answered[self.of[name]]
            table = post.table(select, released, _labels(labels, plan.select, select))
            tables.append(table.add_column(0, QUERY, pa.array([name] * table.num_rows, type=pa.string())))
            accuracy |= {f"{name}.{column}": facts for column, facts in describe.accuracy(select, plan).items()}
        return Answer(pa.concat_tables(tables, promote_options="permissive"), accuracy)

    def tables(self, release: Release) -> dict[str, pyarrow.Table]:
        """Return a release of this workload as one table for each question."""
        import pyarrow.compute as pc

        found = {}
        for name, select in self.selects.items():
            rows = release.value.filter(pc.equal(release.value.column(QUERY), name))
            wanted = [item.name for item in select.outputs]
            suffixes = ("", *post.SUFFIXES)
            columns = [one + suffix for one in wanted for suffix in suffixes if one + suffix in rows.column_names]
            keys = {item.name for item in select.outputs if item.key is not None}
            found[name] = rows.select([column for column in columns if column in keys or not _suffix_of(column, keys)])
        return found

    def __str__(self) -> str:
        lines = [f"{len(self.selects)} questions in {len(self.plans)} measurements; {self.guarantee}"]
        for name, columns in self.errors.items():
            for column, together in columns.items():
                apart = self.alone[name][column]
                if together is None or apart is None:
                    lines.append(f"  {name}.{column}: its error depends on the answers, or is one of rank")
                else:
                    lines.append(f"  {name}.{column}: standard error {together:.4g}, by itself {apart:.4g}")
        lines.append(f"  Asked one by one, the variances would be {self.saving:.3g} times as large.")
        return "\n".join(lines)


def workload(
    dataset: Dataset,
    queries: Mapping[str, str],
    *,
    epsilon: float,
    delta: float | None = None,
    weights: Mapping[str, float] | None = None,
) -> WorkloadPlan:
    """Plan several questions together. Spends nothing and reads no private row.

    Ask them with `dataset.reveal(Workload(plan), name=…, purpose=…)`, and take the release apart with
    `plan.tables(release)`.

    Args:
        dataset: The private table.
        queries: The questions, by name; declared groups, one grouping each.
        epsilon: What all of them may cost together.
        delta: Needed on zCDP and Rényi accounts.
        weights: How much of the budget each question gets, by name; equal by default.

    Raises:
        UnsupportedQuery: a question cannot be asked, or not together with others.
        InvalidInput: an argument is wrong.

    Guarantee: the release is (epsilon, delta)-DP for the dataset's unit.
    Evidence: proven, docs/proofs/contribution_bounds.md and docs/proofs/budget_split.md.
    Assumes: what every query assumes.
    Not protected: running time and memory use.
    """
    selects = _selects(dataset, queries)
    shares = _shares(selects, weights)
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, select in selects.items():
        keys = tuple(sorted(map(str, select.keys)))
        groups.setdefault((str(select.relation), str(select.where), keys), []).append(name)
    of = {name: place for place, names in enumerate(groups.values()) for name in names}
    plans = []
    for names in groups.values():
        merged = _merged([selects[name] for name in names])
        share = sum((shares[name] for name in names), Fraction(0))
        plans.append(bound(dataset, merged, epsilon=epsilon, delta=delta, share=share))
    every = tuple(plan.event for plan in plans)
    event = every[0] if len(every) == 1 else events.Composed(every)
    profile = accounting.analytic(event)
    stated = plans[0].guarantee
    guarantee = replace(
        stated,
        epsilon=min(float(epsilon), profile.epsilon(stated.delta).upper),
        method=profile.method,
        assumptions=tuple(dict.fromkeys(one for plan in plans for one in plan.guarantee.assumptions)),
    )
    alone = {}
    for name, select in selects.items():
        single = bound(dataset, select, epsilon=epsilon, delta=delta, share=shares[name])
        alone[name] = {item.name: item.standard_error for item in single.forecasts}
    return WorkloadPlan(selects, tuple(plans), of, event, guarantee, alone)


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A planned workload as a mechanism: `dataset.reveal(Workload(plan), name=…, purpose=…)`."""

    plan: WorkloadPlan

    def bind(self, dataset: Dataset) -> WorkloadPlan:
        """Return the plan, after a look at what is bound to fail; reads no private row."""
        for one in self.plan.plans:
            one.bind(dataset)
        return self.plan


def _selects(dataset: Dataset, queries: Mapping[str, str]) -> dict[str, Select]:
    if not isinstance(queries, Mapping) or not queries:
        raise InvalidInput("a workload maps names to questions.", remedy='For example {"wards": "SELECT …"}.')
    known = questions.catalog(dataset)
    questions.check_units(known)
    found: dict[str, Select] = {}
    kinds: dict[str, str] = {}
    for name, sql in queries.items():
        check_name(name)
        found[name] = parse(sql, catalog=known, unit=dataset.unit, views=dataset.views)
        if found[name].sets:
            raise UnsupportedQuery(
                f"{name!r} asks for several groupings, which cannot be planned together with other questions.",
                remedy="Ask it by itself.",
            )
        question, parts = questions.question(dataset, known, found[name])
        _check_kinds(name, found[name], parts, kinds)
        if question.unknown:
            raise UnsupportedQuery(
                f"{name!r} has groups that nobody declared, which cannot be planned together with other questions.",
                remedy="Ask it by itself, or declare the keys.",
            )
    return found


def _check_kinds(name: str, select: Select, parts: Parts, kinds: dict[str, str]) -> None:
    """Refuse columns of one name that cannot stand in one table."""
    for item in select.outputs:
        aggregate = item.expression if isinstance(item.expression, Aggregate) else None
        if item.key is not None:
            kind = parts.facts(select.keys[item.key]).type
        elif aggregate is not None and aggregate.function == "MODE":
            kind = parts.facts(aggregate.arguments[0]).type
        else:
            kind = "float"
        shown = "number" if kind in ("integer", "float") else str(kind)
        for column, one in [(item.name, shown), *((item.name + suffix, "number") for suffix in post.SUFFIXES)]:
            if kinds.setdefault(column, one) != one or column == QUERY:
                raise UnsupportedQuery(
                    f"the column {column!r} of {name!r} cannot stand in one table with that of another question.",
                    remedy="Give it another name with AS.",
                )


def _shares(selects: Mapping[str, Select], weights: Mapping[str, float] | None) -> dict[str, Fraction]:
    given = dict(weights or {})
    for name, value in given.items():
        if name not in selects:
            raise InvalidInput(f"weights name {name!r}, which is no question.", remedy=f"Use: {', '.join(selects)}.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise InvalidInput(f"the weight of {name!r} must be a number above 0, got {value!r}.")
    raw = [Fraction(given.get(name, 1.0)) for name in selects]
    return dict(zip(selects, normalised(raw), strict=True))


def _label(item: Output) -> str:
    return str(item.expression)


def _merged(selects: list[Select]) -> Select:
    """Return one question that releases every column of several, each once."""
    keys = tuple(sorted(selects[0].keys, key=str))
    items = dict.fromkeys(item.expression for one in selects for item in one.outputs if item.expression is not None)
    outputs = tuple(Output(str(expression), expression=expression) for expression in items)
    return Select(selects[0].relation, outputs, selects[0].where, keys)


def _labels(labels: Labels, merged: Select, select: Select) -> Labels:
    """Return the groups with the keys in the order of one question."""
    places = [merged.keys.index(key) for key in select.keys]
    return Labels(
        [labels.kinds[place] for place in places],
        [labels.values[place] for place in places],
        [labels.places[place] for place in places],
    )


def _suffix_of(column: str, keys: set[str]) -> bool:
    return any(column == key + suffix for key in keys for suffix in post.SUFFIXES)
