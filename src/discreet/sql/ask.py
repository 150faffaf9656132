"""Ask a question in SQL: `query` answers and charges, `cost` and `plan` only say what it would cost."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from discreet import accounting, events
from discreet.dataset import Dataset
from discreet.domains import shown
from discreet.errors import BudgetExceeded, InvalidInput
from discreet.ledger import remaining_epsilon
from discreet.release import Release
from discreet.sql import targets
from discreet.sql.bind import QueryPlan, bind
from discreet.sql.forecast import Forecast
from discreet.sql.kept import Materialised
from discreet.sql.parsing import parse


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A SQL question as a mechanism: `dataset.reveal(Query(sql, epsilon=…), name=…, purpose=…)`.

    Args:
        sql: One SELECT; see docs/reference/sql.md for what can be asked.
        epsilon: What the whole query may cost; or target_error.
        delta: Needed on zCDP and Rényi accounts, and to find groups that nobody declared.
        weights: Split of the budget over output columns, by name.
        guess: Public guesses of the answers, by output column or aggregate ("COUNT(*)").
        consistent: What released numbers are made to agree in: totals, non_negative, whole.
        target_error: Instead of epsilon: the half width of the 95 % interval that is wanted, of all output
            columns or by name; the least epsilon that is expected to reach it is taken.
        engine: duckdb or spark; by default what the sources call for.
        using: A kept pre-aggregate that answers it.
    """

    sql: str
    epsilon: float | None = None
    delta: float | None = None
    weights: Mapping[str, float] | None = None
    guess: Mapping[str, float] | None = None
    consistent: Sequence[str] | None = None
    target_error: float | Mapping[str, float] | None = None
    engine: str | None = None
    using: Materialised | None = None

    def plan(self, dataset: Dataset) -> QueryPlan:
        """Bind to the dataset's public facts; reads no private row and does not look at the source."""
        text, options = parse.options(self.sql)
        parse.check_options(options, dataset.unit)
        epsilon = _once("epsilon", options.get("epsilon"), self.epsilon)
        delta = _once("delta", options.get("delta"), self.delta)

        def at(budget: float) -> QueryPlan:
            return bind(
                dataset,
                text,
                epsilon=budget,
                delta=delta,
                weights=self.weights,
                guess=self.guess,
                consistent=self.consistent,
                engine=self.engine,
                using=self.using,
            )

        if (epsilon is None) == (self.target_error is None):
            both = "a question takes epsilon or target_error, and both were given."
            raise InvalidInput(
                "a question needs epsilon or target_error, and neither was given." if epsilon is None else both,
                remedy="Give epsilon=0.5, or target_error=50: the half width of the 95 % interval that you want.",
            )
        if self.target_error is not None:
            epsilon = targets.epsilon_for(self.target_error, at)
        assert epsilon is not None
        return at(epsilon)

    def bind(self, dataset: Dataset) -> QueryPlan:
        """Bind to the dataset's public facts, and look at what is bound to fail; reads no private row."""
        return self.plan(dataset).bind(dataset)


def _once(name: str, written: float | None, given: float | None) -> float | None:
    """Return what a query costs by its text or by its arguments.

    Raises:
        InvalidInput: they contradict each other: neither may override what somebody reads in the other.
    """
    if written is not None and given is not None and written != given:
        raise InvalidInput(
            f"the query's OPTIONS say {name} = {shown(written)}, and the argument says {shown(given)}.",
            remedy="Give it in one of the two places.",
        )
    return written if given is None else given


@dataclass(frozen=True, slots=True)
class QueryCost:
    """What a query would cost and be worth. Nothing was spent to know it.

    Args:
        plan: The bound query.
        population: The account that would pay, or those of several periods.
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
                    "rank_error": item.rank_error,
                }
                for item in self.columns
            ],
            "noise": self.plan.facts["noise"],
            "notes": self.plan.facts["notes"],
        }

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return f"<pre>{html.escape(str(self))}</pre>"

    def __str__(self) -> str:
        lines = [str(self.plan.select), f"  {self.plan.guarantee}"]
        lines += [f"  {described(item)}" for item in self.plan.facts["noise"]]
        for column in self.columns:
            if column.rank_error is not None:
                lines.append(
                    f"  {column.name}: its rank is within {column.rank_error:.4g} rows of the target, with 95 %"
                )
                continue
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


def described(noise: Mapping[str, Any]) -> str:
    """Return in words how one part of an answer is made private, from the plan's facts."""
    about = f"{noise['of']}: {noise['mechanism']}"
    if "standard_deviation" in noise:
        return f"{about}, standard deviation {noise['standard_deviation']:.4g}"
    return f"{about}, ε = {noise['epsilon']:.4g} in each group" if "epsilon" in noise else about


def query(
    dataset: Dataset,
    sql: str,
    *,
    epsilon: float | None = None,
    delta: float | None = None,
    weights: Mapping[str, float] | None = None,
    guess: Mapping[str, float] | None = None,
    consistent: Sequence[str] | None = None,
    target_error: float | Mapping[str, float] | None = None,
    engine: str | None = None,
    using: Materialised | None = None,
    name: str | None = None,
    purpose: str | None = None,
    attempt: int = 1,
) -> Release:
    """Answer a SQL question with noise, and charge the dataset's account.

    Args:
        dataset: The private table.
        sql: One SELECT; see docs/reference/sql.md for what can be asked.
        epsilon: What the whole query may cost; or target_error.
        delta: Needed on zCDP and Rényi accounts, and to find groups that nobody declared.
        weights: Split of the budget over output columns, by name; equal by default.
        guess: Public guesses of the answers, by output column or aggregate ("COUNT(*)"). The
            default split then minimises the expected relative error under them.
        consistent: What released numbers are made to agree in, some of "totals", "non_negative" and "whole";
            by default, where there are several groupings, that totals add up. The numbers before stay, as c_raw.
        target_error: Instead of epsilon: the half width of the 95 % interval that is wanted, of all output
            columns or by name; the least epsilon that is expected to reach it is taken.
        engine: duckdb or spark; by default what the sources call for.
        using: A kept pre-aggregate (`materialise`) that answers it.
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
    bound = Query(sql, epsilon, delta, weights, guess, consistent, target_error, engine, using).plan(dataset)
    return dataset.reveal(
        bound,
        name=bound.name if name is None else name,
        purpose=str(bound.select)[:500] if purpose is None else purpose,
        attempt=attempt,
    )


def plan(
    dataset: Dataset,
    sql: str,
    *,
    epsilon: float | None = None,
    delta: float | None = None,
    weights: Mapping[str, float] | None = None,
    guess: Mapping[str, float] | None = None,
    consistent: Sequence[str] | None = None,
    target_error: float | Mapping[str, float] | None = None,
    engine: str | None = None,
    using: Materialised | None = None,
) -> QueryPlan:
    """Return the query bound to public facts; spends nothing and reads no private row. See `query`."""
    return Query(sql, epsilon, delta, weights, guess, consistent, target_error, engine, using).plan(dataset)


def cost(
    dataset: Dataset,
    sql: str,
    *,
    epsilon: float | None = None,
    delta: float | None = None,
    weights: Mapping[str, float] | None = None,
    guess: Mapping[str, float] | None = None,
    consistent: Sequence[str] | None = None,
    target_error: float | Mapping[str, float] | None = None,
    engine: str | None = None,
    using: Materialised | None = None,
) -> QueryCost:
    """Return what a query would cost and be worth; spends nothing and reads no private row.

    The arguments and refusals are those of `query`.
    """
    bound = Query(sql, epsilon, delta, weights, guess, consistent, target_error, engine, using).plan(dataset)
    measure = dataset.ledger.account(dataset.population).measure
    try:
        rest = dataset.ledger.after(dataset.population, bound.event, analyst=dataset.analyst, periods=dataset.periods)
    except BudgetExceeded:
        left = None
    else:
        account = dataset.ledger.account(dataset.accounts[0])  # all have the same terms
        left = remaining_epsilon(replace(account, capacity=rest, spent=accounting.Cost(0, 0), shares={}))
    return QueryCost(
        plan=bound,
        population=" and ".join(dataset.accounts),
        measure=measure,
        cost=accounting.cost(bound.event, measure),
        left=left,
    )
