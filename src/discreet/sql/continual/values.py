"""What a series releases: running totals and steps, with their errors; all of it from noised integers and public facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from discreet.mechanisms import RunningSums
from discreet.sql import describe, forecast
from discreet.sql.allocate import Law
from discreet.sql.answers import answering
from discreet.sql.answers.estimates import Noisy
from discreet.sql.answers.intervals import Floats
from discreet.sql.bound import Primitive
from discreet.sql.forecast import Forecast

if TYPE_CHECKING:
    import pyarrow

    from discreet.sql.continual.plan import SeriesPlan

COLUMNS = ("step", "period")  # what every table of a series begins with
STEP = "_step"  # of a column that is about one step alone
MIXED = "discrete Gaussian, mixed over the steps"


@dataclass(frozen=True, slots=True)
class SumNoise:
    """The noise in the sum of some steps.

    Args:
        sums: The mechanism of the series.
        last, first: Which steps.
    """

    sums: RunningSums
    last: int
    first: int
    law: ClassVar[Law] = "discrete_gaussian"

    @property
    def scale(self) -> float:
        """Its variance, in grid steps."""
        return self.std() ** 2

    def std(self) -> float:
        """Return its standard deviation, in grid steps."""
        return self.sums.standard_error(self.last, self.first)

    def half_width(self, level: float) -> float:
        """Return h with P(|noise| <= h) >= level, in grid steps; never too small."""
        return self.sums.quantile(level, self.last, self.first)


def noises(plan: SeriesPlan, last: int, first: int) -> dict[Primitive, SumNoise]:
    """Return the noise in the sums of steps `first` … `last`."""
    return {part: SumNoise(sums, last, first) for part, sums in plan.sums.items()}


def table(plan: SeriesPlan, step: int, answers: Mapping[Primitive, Floats]) -> pyarrow.Table:
    """Return what is released at a step: per output c its running total and its error, and c_step, of the step alone.

    Args:
        plan: The series.
        step: Which step.
        answers: What was drawn for each primitive up to this step, a row each.
    """
    import pyarrow as pa

    kinds = [plan.once.parts.facts(group.row).type for group in plan.once.question.groups]
    labels = answering.labels(plan.once.question.groups, None, kinds, plan.once.sets)
    so_far, alone = (_noisy(plan, answers, step, first) for first in (1, step))
    columns: dict[str, pa.Array] = {
        COLUMNS[0]: pa.array(np.full(plan.cells, step, dtype=np.int64)),
        COLUMNS[1]: pa.array([plan.schedule.first(step)] * plan.cells, type=pa.date32()),
    }
    for item in plan.select.outputs:
        if item.key is not None:
            columns[item.name] = labels.column(item.key)
            continue
        assert item.expression is not None
        for name, noisy in ((item.name, so_far), (item.name + STEP, alone)):
            found, error = noisy.released(item.expression)
            ends = (("", found.value), ("_se", error), ("_low", found.spread[0]), ("_high", found.spread[1]))
            columns |= {name + suffix: _column(numbers) for suffix, numbers in ends}
    return pa.table(columns)


def empty(plan: SeriesPlan) -> pyarrow.Table:
    """Return the table of a series of which nothing was released."""
    nothing = {part: np.zeros((1, plan.cells)) for part in plan.sums}
    return table(plan, 1, nothing).slice(0, 0)


def _noisy(plan: SeriesPlan, answers: Mapping[Primitive, Floats], last: int, first: int) -> Noisy:
    values: dict[Primitive, NDArray[Any]] = {
        part: sums.window(answers[part], last, first) for part, sums in plan.sums.items()
    }
    return Noisy(plan.once.parts, values, noises(plan, last, first), {}, plan.cells)


def _column(numbers: Floats) -> pyarrow.Array:
    """Return numbers as an Arrow column of floats; what is not finite is null."""
    import pyarrow as pa

    return pa.array(numbers, type=pa.float64(), mask=~np.isfinite(numbers))


# ---------------------------------------------------------------------------- known beforehand


def forecasts(plan: SeriesPlan, step: int) -> tuple[Forecast, ...]:
    """Return the expected errors after a step: of the running totals, and of the step alone."""
    totals = forecast.forecasts(noises(plan, step, 1), plan.guesses, {})
    alone = forecast.forecasts(noises(plan, step, step), replace(plan.guesses, columns={}, aggregates={}), {})
    return (*totals, *(replace(item, name=item.name + STEP) for item in alone))


def schedule(plan: SeriesPlan) -> pyarrow.Table:
    """Return, for each step, its first day and the expected standard errors; null where they depend on answers."""
    import pyarrow as pa

    steps = range(1, plan.steps + 1)
    columns: dict[str, pa.Array] = {
        COLUMNS[0]: pa.array(steps, type=pa.int64()),
        COLUMNS[1]: pa.array([plan.schedule.first(step) for step in steps], type=pa.date32()),
    }
    found = [forecasts(plan, step) for step in steps]
    for place, item in enumerate(found[0]):
        errors = [one[place].standard_error for one in found]
        columns[f"{item.name}_se"] = pa.array(errors, type=pa.float64())
    return pa.table(columns)


# ------------------------------------------------------------------------------------ facts


def accuracy(plan: SeriesPlan) -> dict[str, Any]:
    """Return the public error facts of each value column."""
    found: dict[str, Any] = {}
    for name, facts in describe.accuracy(plan.select, plan.once).items():
        exact = facts["interval"].startswith("exact")
        facts |= {"mechanism": MIXED, "not_covered": [*facts["not_covered"], *_left_out(plan)]}
        if exact:
            facts |= {"interval": "a quantile of the noise, never too narrow"}
        found |= {name: facts, name + STEP: facts}
    return found


def _left_out(plan: SeriesPlan) -> list[str]:
    missing = ["rows that came, changed or went after their step was answered"]
    if plan.limited:
        missing.append("people in a step beyond those that they may take part in: they are left out of it")
    return missing


def facts(plan: SeriesPlan, share: Sequence[float], why: str) -> dict[str, Any]:
    """Return plain data about the series."""
    once, matrix = plan.once.facts, plan.matrix
    kept = ("sql", "columns", "keys", "groups_released", "unit", "bounds")
    return {
        "kind": "sql.series",
        "sentence": f"{_what(plan)}, followed over {matrix.steps} steps of a {plan.schedule.unit}.",
        **{name: once[name] for name in kept},
        "budget": {**once["budget"], "epsilon": plan.guarantee.epsilon, "split": why},
        "series": {
            "period": str(plan.schedule.column),
            "unit": plan.schedule.unit,
            "first": plan.schedule.starts[0].isoformat(),
            "steps": matrix.steps,
            "participations": matrix.participations,
            "separation": matrix.separation,
            "power": str(matrix.power),
            "decay": str(matrix.decay),
        },
        "noise": [{**item, "share": part} for item, part in zip(_noise(plan, plan.steps), share, strict=True)],
        "notes": [*once["notes"], *_notes(plan)],
    }


def step_facts(plan: SeriesPlan, step: int, opened: str, version: str) -> dict[str, Any]:
    """Return plain data about the release of one step.

    Args:
        plan: The series.
        step: Which step.
        opened: The request that the series was charged under.
        version: The owner's word for the state of the data that it was answered from.
    """
    days = f"{plan.schedule.first(step)} to {plan.schedule.last(step)}"
    series = {**plan.facts["series"], "step": step, "charged_with": opened, "data_version": version}
    return {
        **plan.facts,
        "kind": "sql.series.step",
        "sentence": f"{_what(plan)}: in total up to step {step} of {plan.steps} ({days}), and in that step alone.",
        "series": series,
        "noise": _noise(plan, step),
    }


def _what(plan: SeriesPlan) -> str:
    return str(plan.once.facts["sentence"]).rstrip(".")


def _noise(plan: SeriesPlan, step: int) -> list[dict[str, Any]]:
    """Return the noise of each primitive's running total after a step, and what it is made of."""
    return [
        {
            "of": part.label,
            "mechanism": MIXED,
            "standard_deviation": sums.standard_error(step) * float(part.step),
            "variance": str(sums.variance),
            "step": str(part.step),
            "step_sensitivity_squared": str(sums.step_sensitivity_squared),
        }
        for part, sums in plan.sums.items()
    ]


def _notes(plan: SeriesPlan) -> list[str]:
    matrix, who = plan.matrix, plan.once.question.unit.column
    notes = [
        "The series is charged once, and each step answered once, from the rows that are there then.",
        "Later rows, corrections and deletions change no step that was answered.",
    ]
    if matrix.participations < matrix.steps:
        apart = f", at least {matrix.separation} apart" if matrix.separation > 1 else ""
        notes.append(
            f"Each {who} takes part in at most {matrix.participations} of {matrix.steps} steps{apart}: their first ones."
        )
    elif plan.limited:
        notes.append(f"Each {who} takes part in steps that are at least {matrix.separation} apart.")
    return notes
