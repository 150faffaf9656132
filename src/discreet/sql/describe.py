"""What a query leaves for people: accuracy facts per column, and facts for `explain`. All public."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from discreet.profiles import Guarantee
from discreet.sql import nodes
from discreet.sql.allocate import Noise
from discreet.sql.bound import Primitive, primitives
from discreet.sql.intervals import LEVEL
from discreet.sql.nodes import Aggregate, Output, Select
from discreet.sql.stages import Question

NAMES = {"discrete_laplace": "discrete Laplace", "discrete_gaussian": "discrete Gaussian"}


def accuracy(select: Select, question: Question, noises: Mapping[Primitive, Noise]) -> dict[str, Any]:
    """Return the public error facts of each value column."""
    return {item.name: _column(item, question, noises) for item in select.outputs if item.expression is not None}


def _column(item: Output, question: Question, noises: Mapping[Primitive, Noise]) -> dict[str, Any]:
    parts = _parts(item, question)
    if len(parts) == 1 and isinstance(item.expression, Aggregate):
        interval, error = "exact quantile of the noise", "exact standard deviation of the noise"
    elif isinstance(item.expression, Aggregate):
        interval = "Fieller, from the two noisy parts; the bounds of the column where the count is lost in noise"
        error = "delta method, at most half the range of the bounds"
    else:
        interval = f"interval arithmetic, Bonferroni over {len(parts)} noisy parts"
        error = "delta method"
    return {
        "level": LEVEL,
        "interval": interval,
        "standard_error_by": error,
        "mechanism": NAMES[noises[parts[0]].law],
        "parts": [part.label for part in parts],
        "not_covered": _not_covered(parts, question),
    }


def _not_covered(parts: Sequence[Primitive], question: Question) -> list[str]:
    missing = []
    for part in parts:
        if part.kind in ("sum", "centred"):
            low, high = _bounds(part)
            missing.append(f"clamping of {part.column} to [{low:g}, {high:g}]")
            missing.append(f"rounding of {part.column} to steps of {float(_grid(part)):g}")
    if question.persons:
        missing.append(f"rows of a person beyond {question.bounds.rows} in a group: they are scaled down")
        if question.bounds.sampled:
            missing.append(f"groups of a person beyond {question.bounds.groups}: they are left out")
    return list(dict.fromkeys(missing))


def facts(
    select: Select,
    question: Question,
    noises: Mapping[Primitive, Noise],
    split: Sequence[Fraction],
    why: str,
    guarantee: Guarantee,
    measure: str,
) -> dict[str, Any]:
    """Return plain data about the query: what is released, how, and what bounds what."""
    outputs = [item for item in select.outputs if item.expression is not None]
    return {
        "kind": "sql",
        "sentence": _sentence(select, question),
        "sql": str(select),
        "columns": [_output(item, question, noises) for item in outputs],
        "keys": {name: len(question.domain[name].keys or ()) for name in question.keys},
        "groups_released": question.bounds.cells,
        "unit": question.unit.label,
        "bounds": {
            "max_groups": question.bounds.groups,
            "max_rows": question.bounds.rows,
            "enforced": question.unit.enforced,
        },
        "budget": {"measure": measure, "epsilon": guarantee.epsilon, "delta": guarantee.delta, "split": why},
        "noise": [_noise(part, noise, share) for (part, noise), share in zip(noises.items(), split, strict=True)],
        "notes": _notes(select, question, measure),
    }


def _output(item: Output, question: Question, noises: Mapping[Primitive, Noise]) -> dict[str, Any]:
    parts = _parts(item, question)
    return {
        "name": item.name,
        "expression": str(item.expression),
        "mechanism": NAMES[noises[parts[0]].law],
        "parts": [part.label for part in parts],
    }


def _noise(part: Primitive, noise: Noise, share: Fraction) -> dict[str, Any]:
    unit = float(part.step)
    return {
        "of": part.label,
        "mechanism": NAMES[noise.law],
        "standard_deviation": noise.std() * unit,
        "scale" if noise.law == "discrete_laplace" else "variance": str(noise.scale),
        "step": str(part.step),
        "sensitivity" if noise.law == "discrete_laplace" else "sensitivity_squared": str(noise.sensitivity),
        "share": float(share),
    }


def _notes(select: Select, question: Question, measure: str) -> list[str]:
    notes = []
    for name in question.summed:
        low, high = _bounds(next(part for part in question.primitives if part.column == name and part.kind != "values"))
        notes.append(f"Values of {name} are clamped to [{low:g}, {high:g}].")
    rows, groups = question.bounds.rows, question.bounds.groups
    if question.persons:
        who = " and ".join(question.persons)
        place = "group" if question.keys else "query"
        notes.append(f"Of each {who} at most {rows} {_plural('row', rows)} per {place} count; more are scaled down.")
        if question.bounds.sampled:
            notes.append(f"Of each {who} at most {groups} {_plural('group', groups)} count, chosen by a public hash.")
        notes.append(f"Rows without {who} are left out.")
    else:
        notes.append(f"One row is one unit; a person has at most {rows} {_plural('row', rows)} by the owner's promise.")
    if question.keys:
        notes.append("Exactly the declared groups are answered for, also those without rows.")
    if any(isinstance(item.expression, Aggregate) and item.expression.function == "AVG" for item in select.outputs):
        notes.append("Where a noisy count is not positive, AVG is the middle of the bounds.")
    if select.having is not None or select.order or select.limit is not None:
        notes.append("HAVING, ORDER BY and LIMIT act on released values: what they choose is partly chosen by noise.")
    if measure == "pure":
        notes.append("The account is measured in pure epsilon; delta is not used.")
    return notes


def _sentence(select: Select, question: Question) -> str:
    what = ", ".join(str(item.expression) for item in select.outputs if item.expression is not None)
    where = f" where {select.where}" if select.where is not None else ""
    by = f" by {', '.join(question.keys)}" if question.keys else ""
    return f"{what} of {select.table}{by}{where}."


def _parts(item: Output, question: Question) -> tuple[Primitive, ...]:
    assert item.expression is not None
    used = nodes.aggregates(item.expression)
    return tuple(dict.fromkeys(part for one in used for part in primitives(one, question.domain)))


def _bounds(part: Primitive) -> tuple[float, float]:
    return float(part.middle + part.low * part.step), float(part.middle + part.high * part.step)


def _grid(part: Primitive) -> Fraction:
    return part.step * part.factor


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
