"""How often the intervals beside SQL answers hold what the query would have answered without noise.

Each question runs once over a small table, on the engine. To its exact integers the plan's own noise is added many
times over, and from each draw its own estimates and intervals are worked out. The truth is computed from the rows
by NumPy. How many draws: as many as it takes for a test that calls 95 % wrong once in 1e8 times, and calls 94 %
right once in 1e6.

    python benchmarks/coverage_sql.py              # a few minutes
    python benchmarks/coverage_sql.py --quick      # one epsilon
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from discreet import Dataset, Domain, PrivacyUnit
from discreet.accounting import Measure
from discreet.domains import Column
from discreet.mechanisms import Rng
from discreet.sql.answers import answering
from discreet.sql.answers.estimates import Stacked, stacked
from discreet.sql.bind import QueryPlan, bind
from discreet.sql.sets import Sets

LEVEL, NOTICED = 0.95, 0.94
FALSE_ALARM, MISSED = 1e-8, 1e-6
RNG = Rng()

# ----------------------------------------------------------------------------------- sample sizes


def tail(draws: int, chance: float) -> np.ndarray:
    """Return P(hits < c) for c = 0, 1, …, draws + 1."""
    k = np.arange(draws + 1)
    logs = np.array([math.lgamma(draws + 1) - math.lgamma(i + 1) - math.lgamma(draws - i + 1) for i in k])
    logs += k * math.log(chance) + (draws - k) * math.log1p(-chance)
    return np.concatenate([[0.0], np.cumsum(np.exp(logs))])


@cache
def least(draws: int, chance: float = LEVEL) -> int:
    """Return the fewest hits that are not too few for a chance, but for a false alarm."""
    return int(np.searchsorted(tail(draws, chance), FALSE_ALARM, side="right")) - 1


@cache
def most(draws: int, chance: float) -> int:
    """Return the most hits that are not too many for a chance, but for a false alarm."""
    return draws - least(draws, 1 - chance)


@cache
def needed() -> int:
    """Return the draws that a test needs to notice 94 %, in thousands."""
    draws = 30_000
    while 1 - tail(draws, NOTICED)[least(draws)] > MISSED:
        draws += 1000
    return draws


# -------------------------------------------------------------------------------------- questions

UNIT = PrivacyUnit(column="id", max_groups=2, max_rows=1)
DOMAIN = Domain(
    id="integer", ward=["A", "B", "C", "D"], kind=["x", "y"], age=(0, 100), note="text",
    weight=Column("float", low=-1.5, high=2.0, resolution=0.125),
)  # fmt: skip
PEOPLE = {"A": 1, "B": 7, "C": 60, "D": 4000}
EPSILONS = (0.05, 1.0, 15.0)
MEASURES = ("pure", "zcdp")


@cache
def rows() -> dict[str, np.ndarray]:
    """Return the table: wards of one person to thousands; a few ages unreadable, values at and beyond the bounds."""
    total = sum(PEOPLE.values())
    i = np.arange(total)
    age = (i * 37 + i // 7) % 131 - 10.0
    return {
        "id": i,
        "ward": np.repeat(list(PEOPLE), list(PEOPLE.values())),
        "kind": np.where(i % 3 == 0, "x", "y"),
        "age": np.where(i % 11 == 5, np.nan, age),
        "weight": np.where(i % 13 == 4, np.nan, (age / 40 + (i % 5) / 4) - 1.25),
        "note": np.array([f"n{j % 25}" for j in i]),
    }


def table() -> pa.Table:
    """Return the table as the engine reads it."""
    return pa.table({name: pa.array(cells, from_pandas=True) for name, cells in rows().items()})


@dataclass(frozen=True)
class Answers:
    """The rows of one group, as the query sees them."""

    age: np.ndarray
    weight: np.ndarray
    note: np.ndarray
    x: np.ndarray
    size: int

    @property
    def ages(self) -> np.ndarray:
        """The readable ages."""
        return self.age[~np.isnan(self.age)]

    @property
    def weights(self) -> np.ndarray:
        """The readable weights."""
        return self.weight[~np.isnan(self.weight)]

    @property
    def both(self) -> tuple[np.ndarray, np.ndarray]:
        """Ages and weights where both are readable."""
        there = ~np.isnan(self.age) & ~np.isnan(self.weight)
        return self.age[there], self.weight[there]


def group(chosen: dict[str, str] | None = None) -> Answers:
    """Return the rows whose columns have one of these letters, clamped and rounded as declared."""
    found = rows()
    there = np.ones(len(found["id"]), dtype=bool)
    for name, letters in (chosen or {}).items():
        there &= np.isin(found[name], list(letters))
    weight = np.clip(np.sign(found["weight"]) * np.floor(np.abs(found["weight"]) * 8 + 0.5) / 8, -1.5, 2.0)
    return Answers(
        np.clip(found["age"], 0, 100)[there],
        weight[there],
        found["note"][there],
        (found["kind"] == "x")[there],
        int(there.sum()),
    )


def covariance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean(a * b) - np.mean(a) * np.mean(b)) if len(a) else math.nan


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    spread = covariance(a, a) * covariance(b, b)
    return covariance(a, b) / math.sqrt(spread) if len(a) and spread > 0 else math.nan


def over(a: float, b: float) -> float:
    return a / b if b else math.nan


def sampled(n: int) -> float:
    return n / (n - 1) if n > 1 else math.nan


EXACT = {  # from one noisy number: the quantile of its law
    "COUNT(*)": lambda g: g.size,
    "COUNT(age)": lambda g: len(g.ages),
    "COUNT(DISTINCT id)": lambda g: g.size,
    "COUNT(DISTINCT note)": lambda g: len(set(g.note)),
    "COUNT_IF(kind = 'x')": lambda g: int(g.x.sum()),
    "SUM(age)": lambda g: float(g.ages.sum()),
    "SUM(weight)": lambda g: float(g.weights.sum()),
    "SUM(age) FILTER (WHERE kind = 'x')": lambda g: float(np.nansum(g.age[g.x])),
}
AVERAGES = {  # Fieller's region
    "AVG(age)": lambda g: float(g.ages.mean()) if len(g.ages) else math.nan,
    "AVG(weight)": lambda g: float(g.weights.mean()) if len(g.weights) else math.nan,
    "AVG(LEAST(GREATEST(age, 20), 60))": lambda g: float(np.clip(g.ages, 20, 60).mean()) if len(g.ages) else math.nan,
}
SPREADS = {
    "VAR_POP(age)": lambda g: covariance(g.ages, g.ages),
    "VAR_SAMP(age)": lambda g: covariance(g.ages, g.ages) * sampled(len(g.ages)),
    "STDDEV_POP(age)": lambda g: math.sqrt(covariance(g.ages, g.ages)) if len(g.ages) else math.nan,
    "STDDEV_SAMP(weight)": lambda g: (
        math.sqrt(covariance(g.weights, g.weights) * sampled(len(g.weights))) if len(g.weights) > 1 else math.nan
    ),
}
PAIRS = {
    "COVAR_POP(age, weight)": lambda g: covariance(*g.both),
    "COVAR_SAMP(age, weight)": lambda g: covariance(*g.both) * sampled(len(g.both[0])),
    "CORR(age, weight)": lambda g: correlation(*g.both),
}
ARITHMETIC = {
    "SUM(age) / COUNT(*)": lambda g: over(float(g.ages.sum()), g.size),
    "COUNT(*) - COUNT(age)": lambda g: g.size - len(g.ages),
    "SUM(age) * COUNT(*)": lambda g: float(g.ages.sum()) * g.size,
    "COUNT(*) * COUNT(*) / 100": lambda g: g.size**2 / 100,
    "AVG(age) - AVG(weight)": lambda g: (
        float(g.ages.mean() - g.weights.mean()) if len(g.ages) and len(g.weights) else math.nan
    ),
    "100 - AVG(age) * 2": lambda g: 100 - 2 * float(g.ages.mean()) if len(g.ages) else math.nan,
    "STDDEV_POP(age) / AVG(age)": lambda g: (
        over(math.sqrt(covariance(g.ages, g.ages)), float(g.ages.mean())) if len(g.ages) else math.nan
    ),
    "COUNT_IF(kind = 'x') / COUNT(DISTINCT note)": lambda g: over(int(g.x.sum()), len(set(g.note))),
}
FAMILIES = {"exact": EXACT, "averages": AVERAGES, "spreads": SPREADS, "pairs": PAIRS, "arithmetic": ARITHMETIC}
SETS = {name: {**EXACT, **AVERAGES}[name] for name in ("COUNT(*)", "SUM(age)", "AVG(age)", "COUNT_IF(kind = 'x')")} | {
    "VAR_POP(age)": SPREADS["VAR_POP(age)"], "SUM(age) / COUNT(*)": ARITHMETIC["SUM(age) / COUNT(*)"],
}  # fmt: skip
AGREEING: tuple[tuple[str, ...], ...] = (
    (),
    ("totals",),
    ("whole",),
    ("non_negative",),
    ("totals", "non_negative"),
    ("totals", "non_negative", "whole"),
)


def planned(
    sql: str, measure: str, epsilon: float, *, consistent: Any = None, unit: PrivacyUnit = UNIT, domain: Domain = DOMAIN
) -> QueryPlan:
    """Return the plan of a question, as an account of this measure would give it."""
    account = SimpleNamespace(measure=Measure.parse(measure))
    ledger: Any = SimpleNamespace(account=lambda _: account)
    dataset = Dataset(table(), name="t", version="1", unit=unit, domain=domain, population="people", ledger=ledger)
    return bind(dataset, sql, epsilon=epsilon, delta=1e-6, weights=None, guess=None, consistent=consistent)


# ------------------------------------------------------------------------------------------ draws


def once(plan: QueryPlan, source: pa.Table) -> answering.Exact:
    """Return the exact integers, as the engine works them out."""
    with plan.engine.opened(source, plan.question) as session:
        return answering.exact(plan.question, plan.statements, session, None, RNG)


def drawn(plan: QueryPlan, exact: answering.Exact, draws: int) -> Stacked:
    """Return so many answers: the copy is one more key, the last, of every grouping."""
    sums = {part: np.repeat(values, draws) for part, values in exact.sums.items()}
    copies = replace(exact, groups=(*exact.groups, answering.cells(draws)), sums=sums)
    every = tuple((*one, len(plan.sets.sizes)) for one in plan.sets.chosen)
    sets = Sets(
        (*plan.sets.sizes, draws),
        every if plan.sets.several else (tuple(range(len(plan.sets.sizes) + 1)),),
        (*plan.sets.own, False),
    )
    levels = plan.drawing.noisy(plan.parts, copies, sets, RNG)
    finest = [sets.of_finest(place) for place in range(len(levels))] if plan.consistent else []
    return stacked(levels, finest, plan.consistent)


@dataclass(frozen=True)
class Seen:
    """How often an interval held the truth.

    Args:
        what: The aggregate.
        where: The account, epsilon, and the group.
        hits, draws: How often, of how many.
        finite: The share of intervals that are bounded.
        inside: Whether the released value was always within its interval.
    """

    what: str
    where: str
    hits: int
    draws: int
    finite: float
    inside: bool

    @property
    def coverage(self) -> float:
        """The share."""
        return self.hits / self.draws

    @property
    def enough(self) -> bool:
        """Whether this can be 95 %."""
        return self.hits >= least(self.draws)


def seen(plan: QueryPlan, truths: list[tuple[str, str, list[float]]], where: str, draws: int) -> Iterator[Seen]:
    """Yield how often each output of a plan held the truth, for each of its groups."""
    found = drawn(plan, once(plan, table()), draws)
    outputs = [item for item in plan.select.outputs if item.expression is not None]
    for item, (what, name, truth) in zip(outputs, truths, strict=True):
        assert item.expression is not None
        yield from held(found, item.expression, truth, what, f"{where}, {name}", draws)


def held(found: Stacked, expression: Any, truth: list[float], what: str, where: str, draws: int) -> Iterator[Seen]:
    """Yield how often an expression held the truth, for each group that has one."""
    estimate, _ = found.released(expression)
    low, high = (side.reshape(-1, draws) for side in estimate.spread)
    value = estimate.value.reshape(-1, draws)
    for place, true in enumerate(truth):
        if math.isnan(true):
            continue
        slack = 1e-9 * max(1.0, abs(true))  # of floating point
        hits = int(((low[place] <= true + slack) & (true - slack <= high[place])).sum())
        near = (low[place] <= value[place] + slack) & (value[place] - slack <= high[place])
        finite = float(np.mean(np.isfinite(low[place]) & np.isfinite(high[place])))
        yield Seen(what, f"{where} {place}", hits, draws, finite, bool((np.isnan(value[place]) | near).all()))


def family(name: str, measure: str, epsilon: float, draws: int) -> Iterator[Seen]:
    """Yield the coverage of a family of aggregates, by ward."""
    chosen = FAMILIES[name]
    sql = f"SELECT ward, {', '.join(f'{what} AS o{i}' for i, what in enumerate(chosen))} FROM t GROUP BY ward"
    groups = [group({"ward": ward}) for ward in PEOPLE]
    truths = [(what, "ward", [float(truth(one)) for one in groups]) for what, truth in chosen.items()]
    yield from seen(planned(sql, measure, epsilon), truths, f"{measure} ε {epsilon:g}", draws)


def totals(consistent: tuple[str, ...], measure: str, epsilon: float, draws: int) -> Iterator[Seen]:
    """Yield the coverage of the rows of a ROLLUP, made to agree."""
    sql = f"SELECT ward, kind, {', '.join(f'{what} AS o{i}' for i, what in enumerate(SETS))} FROM t WHERE ward IN ('B', 'D') GROUP BY ROLLUP (ward, kind)"
    groups = [group({"ward": ward, "kind": kind}) for ward in "BD" for kind in "xy"]
    groups += [group({"ward": ward}) for ward in ("B", "D", "BD")]
    truths = [(what, "row", [float(truth(one)) for one in groups]) for what, truth in SETS.items()]
    plan = planned(sql, measure, epsilon, consistent=list(consistent))
    yield from seen(plan, truths, f"{measure} ε {epsilon:g}, agreeing in {'+'.join(consistent) or 'nothing'}", draws)


def crowd(groups: int, consistent: tuple[str, ...], measure: str, epsilon: float, draws: int) -> Iterator[Seen]:
    """Yield the coverage of counts of which all but one are 0, and of their total: what agrees is pushed upwards there."""
    domain = Domain(id="integer", cell=list(range(groups)))
    source = pa.table({"id": pa.array(range(50)), "cell": pa.array([0] * 50)})
    unit = PrivacyUnit(column="id", max_groups=1, max_rows=1)
    sql = "SELECT COUNT(*) AS n FROM t GROUP BY ROLLUP (cell)"
    plan = planned(sql, measure, epsilon, consistent=list(consistent), unit=unit, domain=domain)
    found = drawn(plan, once(plan, source), draws)
    expression = plan.select.outputs[0].expression
    assert expression is not None
    where = f"{measure} ε {epsilon:g}, {groups} groups, agreeing in {'+'.join(consistent)}"
    yield from held(found, expression, [50.0, *[0.0] * (groups - 1), 50.0], "COUNT(*)", where, draws)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    draws, epsilons = needed(), EPSILONS[1:2] if given.quick else EPSILONS
    print(
        f"duckdb {duckdb.__version__}, numpy {np.__version__}; {draws:,} draws each: too few are fewer than {least(draws):,} ({least(draws) / draws:.4f})"
    )
    found: dict[tuple[str, str], list[Seen]] = {}
    for measure in MEASURES:
        for epsilon in epsilons:
            for name in FAMILIES:
                for one in family(name, measure, epsilon, draws):
                    found.setdefault((one.what, measure), []).append(one)
            for consistent in AGREEING:
                for one in totals(consistent, measure, epsilon, draws):
                    found.setdefault((f"{one.what}, ROLLUP, {'+'.join(consistent) or '-'}", measure), []).append(one)
    for measure in MEASURES:
        for groups, epsilon in ((30, 1.0), (10, 10.0), (10, 30.0)):
            for consistent in AGREEING[1:]:
                for one in crowd(groups, consistent, measure, epsilon, draws):
                    found.setdefault((f"{one.what}, {groups} groups, {'+'.join(consistent)}", measure), []).append(one)
    print(f"{'what':58}{'account':>8}{'settings':>10}{'least':>9}{'most':>9}{'finite':>8}")
    wrong = 0
    for (what, measure), cells in found.items():
        few = [one for one in cells if not one.enough]
        wrong += len(few) + sum(not one.inside for one in cells)
        print(f"{what:58}{measure:>8}{len(cells):>10}{min(one.coverage for one in cells):>9.4f}{max(one.coverage for one in cells):>9.4f}"
              f"{min(one.finite for one in cells):>8.2f}" + (f"  TOO FEW in {few[0].where}" if few else ""))  # fmt: skip
    print(f"{sum(map(len, found.values()))} settings, {wrong} below 95 %")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
