"""Ask a question in SQL: `query` answers and charges, `cost` and `plan` only say what it would cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from discreet import accounting, events
from discreet.dataset import Dataset
from discreet.errors import BudgetExceeded
from discreet.ledger import remaining_epsilon
from discreet.release import Release
from discreet.sql.bind import QueryPlan, bind
from discreet.sql.forecast import Forecast


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A SQL question as a mechanism: `dataset.reveal(Query(sql, epsilon=…), name=…, purpose=…)`.

    Args:
        sql: One SELECT; see docs/reference/sql.md for what can be asked.
        epsilon: What the whole query may cost.
        delta: Needed on zCDP and Rényi accounts; not used on pure ones.
        weights: Split of the budget over output columns, by name.
        guess: Public guesses of the answers, by output column or aggregate ("COUNT(*)").
    """

    sql: str
    epsilon: float
    delta: float | None = None
    weights: Mapping[str, float] | None = None
    guess: Mapping[str, float] | None = None

    def bind(self, dataset: Dataset) -> QueryPlan:
        """Bind to the dataset's public facts; reads no private row.

        What is bound to fail afterwards is refused here, before the charge: an engine that is missing or
        means something else, a source that cannot be opened or whose columns have other names.
        """
        bound = bind(dataset, self.sql, epsilon=self.epsilon, delta=self.delta, weights=self.weights, guess=self.guess)
        bound.engine.ready(bound.question)
        return bound


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    """A query that was bound already."""

    plan: QueryPlan

    def bind(self, dataset: Dataset) -> QueryPlan:  # noqa: ARG002 - it is the dataset it was bound to
        return self.plan


@dataclass(frozen=True, slots=True)
class QueryCost:
    """What a query would cost and be worth. Nothing was spent to know it.

    Args:
        plan: The bound query.
        population: The account that would pay.
        measure: The account's measure.
        cost: The charge, in the ledger's integers.
        left: The largest epsilon that one more query could have afterwards, at the account's delta
            (of the analyst's share, if the dataset names one); None if the cost does not fit.
    """

    plan: QueryPlan
    population: str
    measure: accounting.Measure
    cost: accounting.Cost
    left: float | None

    @property
    def affordable(self) -> bool:
        """Whether the account holds the cost now."""
        return self.left is not None

    @property
    def columns(self) -> tuple[Forecast, ...]:
        """The expected error of each output column."""
        return self.plan.forecasts

    def to_dict(self) -> dict[str, Any]:
        """Return the cost as plain data, with stable field names."""
        return {
            "sql": str(self.plan.select),
            "population": self.population,
            "measure": str(self.measure),
            "event": events.to_dict(self.plan.event),
            "cost": {"loss": self.cost.loss, "delta": self.cost.delta},
            "guarantee": self.plan.guarantee.to_dict(),
            "affordable": self.affordable,
            "left": self.left,
            "columns": [
                {
                    "name": item.name,
                    "standard_error": item.standard_error,
                    "half_width": item.half_width,
                    "guess": item.guess,
                    "relative": item.relative,
                }
                for item in self.columns
            ],
            "noise": self.plan.facts["noise"],
            "notes": self.plan.facts["notes"],
        }

    def __str__(self) -> str:
        lines = [str(self.plan.select), f"  {self.plan.guarantee}"]
        lines += [f"  {item['of']}: {item['mechanism']}, standard deviation {item['standard_deviation']:.4g}"
                  for item in self.plan.facts["noise"]]  # fmt: skip
        for column in self.columns:
            if column.standard_error is None:
                lines.append(f"  {column.name}: its error depends on the answers; give guess= of them")
                continue
            relative = "" if column.relative is None else f" ({column.relative:.2%} of the guess)"
            lines.append(f"  {column.name}: ± {column.half_width:.4g} with 95 %{relative}")
        if self.left is None:
            lines.append(f"  {self.population!r} does not hold this.")
        else:
            lines.append(f"  Afterwards {self.population!r} could afford one more of at most ε = {self.left:.4g}.")
        return "\n".join(lines)


def query(
    dataset: Dataset,
    sql: str,
    *,
    epsilon: float,
    delta: float | None = None,
    weights: Mapping[str, float] | None = None,
    guess: Mapping[str, float] | None = None,
    name: str | None = None,
    purpose: str | None = None,
    attempt: int = 1,
) -> Release:
    """Answer a SQL question with noise, and charge the dataset's account.

    Args:
        dataset: The private table.
        sql: One SELECT of COUNT(*), COUNT(column), SUM(column), AVG(column) and arithmetic on them.
        epsilon: What the whole query may cost.
        delta: Needed on zCDP and Rényi accounts; not used on pure ones.
        weights: Split of the budget over output columns, by name; equal by default.
        guess: Public guesses of the answers, by output column or aggregate ("COUNT(*)"). The
            default split then minimises the expected relative error under them.
        name: The release's name; by default made from the query.
        purpose: Why; written to the ledger. By default the query.
        attempt: Ask again, for a new charge, what was charged but never released.

    Returns:
        A release whose value has, for each output column c, also c_se, c_low and c_high.

    Raises:
        UnsupportedQuery: a construct has no private answer; it is named.
        InvalidInput: an argument is wrong.
        BudgetExceeded: the account does not hold the cost.
        DataFailure: the work on the rows failed; the charge stands.
        MissingExtra: the engine is not installed.

    Guarantee: the release is (epsilon, delta)-differentially private for the dataset's unit.
    Evidence: proven, docs/proofs/contribution_bounds.md and docs/proofs/budget_split.md.
    Assumes: bounds and keys are public; without a person's column, the promised max_rows.
    Not protected: running time and memory use.
    """
    bound = Query(sql, epsilon, delta, weights, guess).bind(dataset)
    return dataset.reveal(
        _Bound(bound),
        name=bound.name if name is None else name,
        purpose=str(bound.select)[:500] if purpose is None else purpose,
        attempt=attempt,
    )


def plan(
    dataset: Dataset,
    sql: str,
    *,
    epsilon: float,
    delta: float | None = None,
    weights: Mapping[str, float] | None = None,
    guess: Mapping[str, float] | None = None,
) -> QueryPlan:
    """Return the query bound to public facts; spends nothing and reads no private row. See `query`."""
    return bind(dataset, sql, epsilon=epsilon, delta=delta, weights=weights, guess=guess)


def cost(
    dataset: Dataset,
    sql: str,
    *,
    epsilon: float,
    delta: float | None = None,
    weights: Mapping[str, float] | None = None,
    guess: Mapping[str, float] | None = None,
) -> QueryCost:
    """Return what a query would cost and be worth; spends nothing and reads no private row.

    The arguments and refusals are those of `query`.
    """
    bound = plan(dataset, sql, epsilon=epsilon, delta=delta, weights=weights, guess=guess)
    account = dataset.ledger.account(dataset.population)
    try:
        rest = dataset.ledger.after(dataset.population, bound.event, analyst=dataset.analyst)
    except BudgetExceeded:
        left = None
    else:
        left = remaining_epsilon(replace(account, capacity=rest, spent=accounting.Cost(0, 0), shares={}))
    return QueryCost(
        plan=bound,
        population=dataset.population,
        measure=account.measure,
        cost=accounting.cost(bound.event, account.measure),
        left=left,
    )
