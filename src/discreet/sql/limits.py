"""Bounds that nobody knows: chosen privately, as releases that are charged like all others.

`find_bounds` looks for the range of a column on a scale of powers of two, `find_limits` for how many
groups and rows a person has. In both, one person counts as one (where no column says who is who, a unit
counts as all of its rows), and what comes out is drawn by the exponential mechanism from public
candidates. How much of the data the bounds will cut off is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from discreet import accounting, events
from discreet.dataset import Answer, Dataset
from discreet.domains import shown
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.ledger import Period
from discreet.profiles import Guarantee
from discreet.release import Release
from discreet.sql import bind as room
from discreet.sql.bind import QueryPlan
from discreet.sql.nodes import Aggregate, Function, Output, Select
from discreet.sql.statements.relations import Inner, PerPerson, Scan
from discreet.sql.statements.rows import Case, Clamp, Compare, Const, Ref, Row

if TYPE_CHECKING:
    from discreet.mechanisms.rng import Rng

WHOLE_POWERS = range(41)  # the edges of whole numbers: 0, ±1, ±2, ±4, … ±2**40
FLOAT_POWERS = range(-20, 61, 2)  # those of floats: 0, ±2**-20, ±2**-18, … ±2**60
MOST_GROUPS, MOST_ROWS = 1024, 1024  # candidates of find_limits
MIN: Function = "MIN"
MAX: Function = "MAX"


@dataclass(frozen=True, slots=True)
class _Limits:
    """One or several queries, charged and released together; their answers are worked out to limits.

    Args:
        plans: The queries.
        event: All of them.
        guarantee: What the release guarantees.
        about: What is looked for, as public plain data.
        edges: Where an answer is the number of a bin, the edges of the bins.
    """

    plans: tuple[QueryPlan, ...]
    event: events.Event
    guarantee: Guarantee
    about: Mapping[str, Any]
    edges: tuple[Decimal, ...] = ()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Plain data that names the question; hashed into the request."""
        return {"kind": "sql.limits", "v": 1, **self.about, "queries": [plan.identity for plan in self.plans]}

    @property
    def facts(self) -> Mapping[str, Any]:
        """Public facts for `explain`: those of the first query, with what all of them are for."""
        noise = [item for plan in self.plans for item in plan.facts["noise"]]
        columns = [item for plan in self.plans for item in plan.facts["columns"]]
        return {**self.plans[0].facts, "sentence": self.about["sentence"], "noise": noise, "columns": columns}

    @property
    def periods(self) -> tuple[Period, ...]:
        """The periods whose rows alone are read: every query is bound to the same dataset."""
        return self.plans[0].periods

    def run(self, source: Any, rng: Rng) -> Answer:
        """Draw each answer, and work out the limits from those alone."""
        import pyarrow as pa

        answers = [plan.run(source, rng) for plan in self.plans]
        found = {name: answer.value.column(name)[0].as_py() for answer in answers for name in answer.accuracy}
        accuracy = {name: facts for answer in answers for name, facts in answer.accuracy.items()}
        if self.edges:
            first, last = sorted((int(found["low"]), int(found["high"])))  # of few people's values, chance decides
            low, high = self.edges[first], self.edges[last + 1]
            return Answer(pa.table({"low": [float(low)], "high": [float(high)]}), accuracy)
        return Answer(pa.table({name: [int(value)] for name, value in found.items()}), accuracy)


def find_bounds(
    dataset: Dataset,
    column: str,
    *,
    epsilon: float,
    delta: float | None = None,
    name: str | None = None,
    purpose: str | None = None,
    attempt: int = 1,
) -> Release:
    """Find bounds of a number column that hold all but a few people's values, privately.

    How few depends on epsilon: the release's accuracy says by how many people each end may be off. The candidates are powers of two (of floats, powers of four), positive and negative, so the bounds are
    rough: declare them, or rounder ones around them, in the domain afterwards.

    Args:
        dataset: The private table.
        column: A declared column of numbers; its declared bounds, if any, play no part.
        epsilon: What it may cost; a tenth of what the later questions cost is usually enough.
        delta: Needed on zCDP and Rényi accounts.
        name: As of `query`.
        purpose: As of `query`.
        attempt: As of `query`.

    Returns:
        A release with one row: low and high.

    Raises:
        InvalidInput: the column is no number, or an argument is wrong.
        BudgetExceeded: the account does not hold the cost.

    Guarantee: (epsilon, delta)-DP for the dataset's unit, each person counting as one row.
    Evidence: proven, docs/proofs/quantiles.md and docs/proofs/contribution_bounds.md.
    Assumes: what every query assumes.
    Not protected: running time.
    """
    if column not in dataset.domain or dataset.domain[column].type not in ("integer", "float"):
        raise InvalidInput(
            f"{column!r} is no declared column of numbers of {dataset.name!r}.",
            remedy="Declare it as integer or float.",
        )
    edges = _edges(WHOLE_POWERS if dataset.domain[column].type == "integer" else FLOAT_POWERS)
    place: Row = Case(
        tuple((Compare("<", Ref(column), Const(_plain(edge))), Const(i)) for i, edge in enumerate(edges[1:-1])),
        Case(((Compare(">=", Ref(column), Const(_plain(edges[-2]))), Const(len(edges) - 2)),)),
    )
    low, high = (Output(what, expression=Aggregate(kind, (place,))) for what, kind in (("low", MIN), ("high", MAX)))
    found = _plan(dataset, Select(Scan(dataset.name), (low, high)), epsilon, delta, rows=1)
    about = {"sentence": f"Bounds of {column} that hold all but a few people's values.", "column": column}
    plan = _Limits((found,), found.event, found.guarantee, about, tuple(edges))
    return _revealed(dataset, plan, name or f"bounds-{column}", purpose, attempt)


def find_limits(
    dataset: Dataset,
    keys: Sequence[str],
    *,
    epsilon: float,
    delta: float | None = None,
    share: float = 0.95,
    name: str | None = None,
    purpose: str | None = None,
    attempt: int = 1,
) -> Release:
    """Find max_groups and max_rows that leave about a share of people whole, privately.

    Args:
        dataset: The private table; its unit names the person's column.
        keys: The columns that will be grouped by.
        epsilon: What it may cost.
        delta: Needed on zCDP and Rényi accounts.
        share: The share of people that is to be within max_groups, and of people's groups within max_rows.
        name: As of `query`.
        purpose: As of `query`.
        attempt: As of `query`.

    Returns:
        A release with one row: max_groups and max_rows (of a person in one group).

    Raises:
        UnsupportedQuery: the unit names no person's column.
        InvalidInput: an argument is wrong.
        BudgetExceeded: the account does not hold the cost.

    Guarantee: (epsilon, delta)-DP for the dataset's unit, each person counting as one row.
    Evidence: proven, docs/proofs/quantiles.md and docs/proofs/contribution_bounds.md.
    Assumes: what every query assumes.
    Not protected: running time.
    """
    if not dataset.unit.enforced or dataset.unit.column is None:
        raise UnsupportedQuery(
            "limits are found per person, and the unit names no person's column.",
            remedy="Declare PrivacyUnit(column=…).",
        )
    unknown = [key for key in keys if key not in dataset.domain]
    if isinstance(keys, str) or unknown or not keys:
        raise InvalidInput(f"keys must name declared columns of {dataset.name!r}, got {keys!r}.")
    rank = _rank(share)
    own = [item for item in (dataset.unit.column, dataset.unit.per) if item]
    person = tuple((item, Ref(item)) for item in own)
    per_group = PerPerson(
        Scan(dataset.name),
        person + tuple((key, Ref(key)) for key in keys if key not in own),
        (("n", Inner("COUNT", None)),),
    )
    per_person = PerPerson(per_group, person, (("n", Inner("COUNT", None)),))
    half = epsilon / 2 if not isinstance(epsilon, bool) and isinstance(epsilon, int | float) else epsilon
    plans = tuple(
        _plan(
            dataset,
            Select(
                relation,
                (Output(what, expression=Aggregate("QUANTILE", (Clamp(Ref("n"), Const(1), Const(most)),), rank)),),
            ),
            half,
            None if delta is None else delta / 2,
            rows=1,
        )
        for what, relation, most in (("max_groups", per_person, MOST_GROUPS), ("max_rows", per_group, MOST_ROWS))
    )
    event = events.Composed(tuple(plan.event for plan in plans))
    profile = accounting.analytic(event)
    target = sum(plan.guarantee.delta for plan in plans)
    guarantee = replace(
        plans[0].guarantee,
        epsilon=min(epsilon, profile.epsilon(target).upper),
        delta=target,
        method=profile.method,
    )
    about = {
        "sentence": f"Limits of people's groups by {', '.join(keys)} and of their rows.",
        "keys": list(keys),
        "share": share,
    }
    return _revealed(dataset, _Limits(plans, event, guarantee, about), name or "limits", purpose, attempt)


def _plan(dataset: Dataset, select: Select, epsilon: float, delta: float | None, *, rows: int) -> QueryPlan:
    """Return a query of our own, in which a person counts as `rows` rows.

    Where no column says who is who, max_rows is what the unit is, and nothing sees to it: then it stays.
    """
    unit = replace(dataset.unit, max_rows=rows) if dataset.unit.enforced else dataset.unit
    counted = replace(dataset, unit=unit)
    return room.bound(counted, select, epsilon=epsilon, delta=delta)


@dataclass(frozen=True, slots=True)
class _Bound:
    """Limits that were planned already."""

    plan: _Limits

    def bind(self, dataset: Dataset) -> _Limits:  # noqa: ARG002 - it is the dataset it was planned for, just now
        for one in self.plan.plans:
            one.engine.ready(one.question)
        return self.plan


def _revealed(dataset: Dataset, plan: _Limits, name: str, purpose: str | None, attempt: int) -> Release:
    return dataset.reveal(_Bound(plan), name=name, purpose=purpose or plan.about["sentence"], attempt=attempt)


def _rank(share: float) -> Decimal:
    """Return the share as a rank."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.5 <= share < 1:
        raise InvalidInput(
            f"share must be a number from 0.5 to below 1, got {shown(share)}.", remedy="For example 0.95."
        )
    return Decimal(str(share))


def _edges(powers: Sequence[int]) -> list[Decimal]:
    """Return the edges of bins: those below 0, 0, those above."""
    positive = [Decimal(2) ** power for power in powers]
    return [*(-edge for edge in reversed(positive)), Decimal(0), *positive]


def _plain(edge: Decimal) -> int | Decimal:
    return int(edge) if edge == edge.to_integral_value() else edge
