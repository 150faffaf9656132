"""From the text of a series to its plan: what can be followed, which matrix, which noise. Reads no private row."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from discreet import accounting, events
from discreet.dataset import Dataset
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.events import Relation
from discreet.mechanisms import RunningSums, Toeplitz
from discreet.profiles import Guarantee
from discreet.sql import nodes, questions
from discreet.sql.allocate import Noise, allocate, noise
from discreet.sql.answers import answering
from discreet.sql.bind import QueryPlan, bound
from discreet.sql.bound import Bounds, Primitive
from discreet.sql.continual import values as continual_values
from discreet.sql.continual.plan import Schedule, SeriesPlan
from discreet.sql.forecast import Guesses, shares
from discreet.sql.nodes import Select
from discreet.sql.parsing.parse import parse
from discreet.sql.statements import relations
from discreet.sql.statements.rows import Ref, Unit

VERSION = 2  # of what a text means: a series of another meaning is another series
MOST_NUMBERS = 2**24  # exact numbers that a series keeps


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a series; see `series`."""

    sql: str
    period: str
    unit: Unit
    first: datetime.date
    steps: int
    participations: int
    separation: int
    epsilon: float
    delta: float | None
    weights: Mapping[str, float] | None
    guess: Mapping[str, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the query as plain data."""
        return {
            "period": self.period,
            "unit": self.unit,
            "first": self.first.isoformat(),
            "steps": self.steps,
            "participations": self.participations,
            "separation": self.separation,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "weights": dict(self.weights or {}),
            "guess": dict(self.guess or {}),
        }


def bind(dataset: Dataset, terms: Terms, begun: Mapping[str, Any] | None) -> SeriesPlan:
    """Bind a series to a dataset's public facts. Reads no private row.

    Args:
        dataset: The dataset, under a version that stays the same for the whole series.
        terms: What is asked.
        begun: The identity of the series if it has begun: its matrix and its noise stay. They are worked out in
            floating point, which another machine, or a later discreet, may round otherwise.
    """
    measure = dataset.ledger.account(dataset.population).measure
    if measure.kind == "pure":
        raise InvalidInput(
            f"a series has Gaussian noise, which the account {dataset.population!r} cannot hold: "
            "it is measured in pure epsilon.",
            remedy="Open an account that is measured in zcdp, or ask a query for each period.",
        )
    if not dataset.unit.enforced:
        raise InvalidInput(
            "a series counts in how many steps a person takes part, and the unit names no column that identifies one.",
            remedy="Name it: PrivacyUnit(column=…).",
        )
    if dataset.periods:
        raise InvalidInput(
            "a series is charged to the whole account, and this dataset is asked in periods of its own.",
            remedy="Ask a query in each period, or follow a population whose budget is not renewed.",
        )
    known = questions.catalog(dataset)
    questions.check_units(known)
    asked = parse(terms.sql, catalog=known, unit=dataset.unit, views=dataset.views)
    matrix = _matrix(terms, begun)
    _check(asked, matrix)
    schedule = Schedule.of(_dates(asked, known, terms.period), terms.unit, terms.first, terms.steps)
    once = bound(dataset, asked, epsilon=terms.epsilon, delta=terms.delta, weights=terms.weights, guess=terms.guess)
    _check_bound(once, matrix)
    guesses = Guesses.of(terms.guess, once.parts, asked.outputs)
    squares = {part: _square(once.question.bounds, part) for part in once.question.primitives}
    moved = {part: (0, matrix.sensitivity_squared * square) for part, square in squares.items()}
    share, why = shares(list(moved), _made_of(once), moved, "discrete_gaussian", guesses, terms.weights)
    variances = _variances(squares, begun)
    if variances is None:
        units = accounting.budget(measure, epsilon=terms.epsilon, delta=once.guarantee.delta)
        draws, _ = allocate(measure, units, [partial(noise, measure, one) for one in moved.values()], share)
        variances = [draw.scale for draw in draws if isinstance(draw, Noise)]
    sums = {
        part: RunningSums(matrix=matrix, step_sensitivity_squared=Fraction(squares[part]), variance=variance)
        for part, variance in zip(moved, variances, strict=True)
    }
    every = tuple(one.event for one in sums.values())
    event = every[0] if len(every) == 1 else events.Composed(every)
    plan = SeriesPlan(
        once=once,
        schedule=schedule,
        matrix=matrix,
        sums=sums,
        guesses=guesses,
        event=event,
        guarantee=_guarantee(once, event, terms.epsilon),
        identity=_identity(once, schedule, matrix, sums),
        facts={},
    )
    return replace(plan, facts=continual_values.facts(plan, [float(one) for one in share], why))


def _matrix(terms: Terms, begun: Mapping[str, Any] | None) -> Toeplitz:
    size = {"steps": terms.steps, "participations": terms.participations, "separation": terms.separation}
    if begun is None:
        return Toeplitz.best(**size)
    return Toeplitz(**size, power=Fraction(begun["power"]), decay=Fraction(begun["decay"]))


def _variances(squares: Mapping[Primitive, int], begun: Mapping[str, Any] | None) -> list[Fraction] | None:
    """Return the noise of a series that has begun; None if it has not, or is another one, which is found out later."""
    held = [] if begun is None else begun["noise"]
    known = [(item["of"], item["step_sensitivity_squared"]) for item in held]
    if known != [(part.label, str(square)) for part, square in squares.items()]:
        return None
    return [Fraction(item["variance"]) for item in held]


def _check(asked: Select, matrix: Toeplitz) -> None:
    """Refuse what is no sum with noise, or depends on what was released.

    Raises:
        UnsupportedQuery: names it.
    """
    if asked.having is not None or asked.order or asked.limit is not None:
        raise UnsupportedQuery(
            "HAVING, ORDER BY and LIMIT choose groups, and the steps of a series have all of them.",
            remedy="Choose among the groups of what value() returns.",
        )
    if asked.sets:
        raise UnsupportedQuery(
            "GROUPING SETS, ROLLUP and CUBE are not followed over time.", remedy="Follow the finest groups, and add up."
        )
    for item in asked.outputs:
        for one_ in nodes.aggregates(item.expression) if item.expression is not None else ():
            if one_.function in nodes.DRAWN:
                raise UnsupportedQuery(
                    f"{one_} does not add up over time.",
                    remedy="Follow counts, sums, averages or variances; ask for it in a query per period.",
                )
            if one_.function == "COUNT DISTINCT" and matrix.participations > 1:
                raise UnsupportedQuery(
                    f"{one_} does not add up over time: who is in two steps would be counted twice.",
                    remedy="With participations=1 it counts people, each in the first of their steps.",
                )
    names = [item.name.lower() for item in asked.outputs]
    taken = continual_values.COLUMNS
    for item in asked.outputs:
        more = item.name.lower() + continual_values.STEP
        if item.name.lower() in taken or (item.expression is not None and more in names):
            raise UnsupportedQuery(
                f"the column {item.name!r} leaves no name for what a series adds: "
                f"{', '.join(taken)}, and c{continual_values.STEP} for each aggregate c.",
                remedy="Give it another name with AS.",
            )


def _dates(asked: Select, known: relations.Catalog, period: str) -> Ref:
    """Return the column that says which step a row belongs to.

    Raises:
        InvalidInput: there is none, or several, or it holds no dates.
    """
    offered = relations.columns(asked.relation, known)
    wanted = str(period).lower()
    found = [ref for ref in offered if wanted in (ref.name.lower(), f"{ref.table}.{ref.name}".lower())]
    dates = [ref for ref, facts in offered.items() if facts.type == "date"]
    names = ", ".join(map(str, dates)) or "none"
    if len(found) != 1:
        what = "names no column" if not found else "could be any of several columns"
        raise InvalidInput(f"period={period!r} {what} that the query reads from.", remedy=f"Columns of dates: {names}.")
    if found[0] not in dates:
        raise InvalidInput(
            f"period={period!r} is declared as {offered[found[0]].type}, and a step is a period of dates.",
            remedy=f"Columns of dates: {names}.",
        )
    return found[0]


def _check_bound(once: QueryPlan, matrix: Toeplitz) -> None:
    question = once.question
    if once.engine.name != "duckdb":
        raise UnsupportedQuery(
            f"a series is answered by DuckDB, and these sources call for {once.engine.name}.",
            remedy="Give the source as a file, a frame or a DuckDB connection.",
        )
    if question.unknown:
        name = next(group.name for group in question.groups if group.values is None)
        raise UnsupportedQuery(
            f"the steps of a series have the same groups, and {name} has none that are declared.",
            remedy="Declare its keys, or follow the total.",
        )
    if question.counts("distinct") or question.counts("some"):
        raise UnsupportedQuery("different values do not add up over time.", remedy="Count rows, or people.")
    numbers = matrix.steps * len(question.primitives) * answering.size(question.groups)
    if numbers > MOST_NUMBERS:
        raise UnsupportedQuery(
            f"the series would keep {numbers:,} numbers; at most {MOST_NUMBERS:,} are kept.",
            remedy="Follow fewer groups, fewer columns, or fewer steps.",
        )


def _square(bounds: Bounds, part: Primitive) -> int:
    """Return the square of what one unit moves a step by: under replace_one of what two units do, one gone, one come."""
    _, second = replace(bounds, relation=Relation.ADD_REMOVE).sensitivity(part)
    return second if bounds.relation is not Relation.REPLACE_ONE else 4 * second


def _made_of(once: QueryPlan) -> dict[str, list[Primitive]]:
    """Return what each output is made of."""
    return {
        item.name: list(dict.fromkeys(part for one_ in nodes.aggregates(item.expression) for part in once.parts(one_)))
        for item in once.select.outputs
        if item.expression is not None
    }


def _guarantee(once: QueryPlan, event: events.Event, epsilon: float) -> Guarantee:
    curve = accounting.analytic(event)
    stated = once.guarantee
    own = (
        "The steps, their groups and when each is answered do not depend on private rows.",
        "Nobody but discreet writes to what is kept of the series.",
    )
    return replace(
        stated,
        epsilon=min(float(epsilon), curve.epsilon(stated.delta).upper),
        method=curve.method,
        assumptions=(*stated.assumptions, *own),
    )


def _identity(
    once: QueryPlan, schedule: Schedule, matrix: Toeplitz, sums: Mapping[Primitive, RunningSums]
) -> dict[str, Any]:
    return {
        "kind": "sql.series",
        "v": VERSION,
        "sql": str(once.select),
        "engine": once.engine.name,
        "salt": once.question.salt,
        "groups": once.question.bounds.groups,
        "rows": once.question.bounds.rows,
        "period": str(schedule.column),
        "unit": schedule.unit,
        "first": schedule.starts[0].isoformat(),
        "steps": matrix.steps,
        "participations": matrix.participations,
        "separation": matrix.separation,
        "power": str(matrix.power),
        "decay": str(matrix.decay),
        "noise": [
            {
                "of": part.label,
                "law": "discrete_gaussian",
                "variance": str(one_.variance),
                "step_sensitivity_squared": str(one_.step_sensitivity_squared),
            }
            for part, one_ in sums.items()
        ],
    }
