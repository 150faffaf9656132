"""What a query leaves for people: accuracy facts per column, and facts for `explain`. All public."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from discreet.sql import nodes
from discreet.sql.allocate import Noise
from discreet.sql.answers.drawn import Choice
from discreet.sql.answers.finding import LABEL
from discreet.sql.answers.intervals import LEVEL
from discreet.sql.bound import Primitive
from discreet.sql.nodes import PAIRED, SPREAD, Aggregate, Output, Select
from discreet.sql.statements.rows import Const, Ref

if TYPE_CHECKING:
    from discreet.sql.bind import QueryPlan

NAMES = {"discrete_laplace": "discrete Laplace", "discrete_gaussian": "discrete Gaussian"}


def accuracy(select: Select, plan: QueryPlan) -> dict[str, Any]:
    """Return the public error facts of each value column."""
    return {item.name: _column(item, plan) for item in select.outputs if item.expression is not None}


def _column(item: Output, plan: QueryPlan) -> dict[str, Any]:
    choices = _choices(item, plan)
    if choices:
        return _drawn_column(choices, plan)
    parts = _parts(item, plan)
    aggregate = item.expression if isinstance(item.expression, Aggregate) else None
    if aggregate is not None and len(parts) == 1:
        interval, error = "exact quantile of the noise", "exact standard deviation of the noise"
    elif aggregate is not None and aggregate.function == "AVG":
        interval = "Fieller, from the two noisy parts; the bounds of the column where the count is lost in noise"
        error = "delta method, at most half the range of the bounds"
    else:
        interval = f"interval arithmetic, Bonferroni over {len(parts)} noisy parts"
        error = "delta method"
    return {
        "level": LEVEL,
        "interval": interval,
        "standard_error_by": error,
        "mechanism": NAMES[plan.noises[parts[0]].law],
        "parts": [part.label for part in parts],
        "not_covered": _not_covered(parts, plan),
    }


def _drawn_column(choices: Sequence[Choice], plan: QueryPlan) -> dict[str, Any]:
    """Return the error facts of what is drawn: how far its rank may be off, in rows."""
    found: dict[str, Any] = {
        "level": LEVEL,
        "interval": "none: the rank of the answer is near its target, which says nothing of the values there",
        "standard_error_by": "none",
        "mechanism": _mechanism(choices[0]),
        "parts": [choice.part.label for choice in choices],
        "not_covered": _limits(plan),
    }
    ranks = [choice.rank_error(LEVEL) for choice in choices]
    known = [rank for rank in ranks if rank is not None]
    return found | ({"rank_error": max(known)} if known else {})


def _not_covered(parts: Sequence[Primitive], plan: QueryPlan) -> list[str]:
    missing = []
    for part in parts:
        if part.kind in ("sum", "centred") and isinstance(part.of, Ref):
            low, high = _bounds(part)
            missing.append(f"clamping of {part.of} to [{low:g}, {high:g}]")
            missing.append(f"rounding of {part.of} to steps of {float(_grid(part)):g}")
    return list(dict.fromkeys(missing + _limits(plan)))


def _limits(plan: QueryPlan) -> list[str]:
    bounds = plan.question.bounds
    if not plan.question.persons:
        return []
    missing = [f"rows of a person beyond {bounds.rows} in a group: they are scaled down"]
    if bounds.sampled:
        missing.append(f"groups of a person beyond {bounds.groups}: they are left out")
    return missing


def facts(plan: QueryPlan, split: Sequence[Fraction], why: str, measure: str) -> dict[str, Any]:
    """Return plain data about the query: what is released, how, and what bounds what."""
    select, question = plan.select, plan.question
    outputs = [item for item in select.outputs if item.expression is not None]
    drawn = [
        _noise(part, noise, _grouping(plan, place))
        for place, noises in enumerate(plan.drawing.noises)
        for part, noise in noises.items()
    ]
    drawn += [_choice(choice) for choice in plan.drawing.choices.values()]
    if plan.finder is not None:
        drawn.append(
            {"of": LABEL, "mechanism": "weighted Gaussian" if plan.finder.by_weight else "truncated geometric"}
        )
    shares = [{**item, "share": float(share)} for item, share in zip(drawn, split, strict=True)]
    return {
        "kind": "sql",
        "sentence": _sentence(plan),
        "sql": str(select),
        "columns": [_output(item, plan) for item in outputs],
        "keys": {group.name: None if group.values is None else len(group.values) for group in question.groups},
        "groups_released": None if question.unknown else sum(map(plan.sets.size, range(len(plan.sets.chosen)))),
        "unit": question.unit.label,
        "bounds": {
            "max_groups": question.bounds.groups,
            "max_rows": question.bounds.rows,
            "enforced": question.unit.enforced,
        },
        "budget": {
            "measure": measure,
            "epsilon": plan.guarantee.epsilon,
            "delta": plan.guarantee.delta,
            "split": why,
        },
        "noise": shares,
        "notes": _notes(plan, measure),
    }


def _output(item: Output, plan: QueryPlan) -> dict[str, Any]:
    choices = _choices(item, plan)
    parts = _parts(item, plan)
    mechanism = _mechanism(choices[0]) if choices else NAMES[plan.noises[parts[0]].law]
    return {
        "name": item.name,
        "expression": str(item.expression),
        "mechanism": mechanism,
        "parts": [choice.part.label for choice in choices] + [part.label for part in parts],
    }


def _grouping(plan: QueryPlan, place: int) -> str:
    """Return which of several groupings something is of, in words."""
    if not plan.sets.several:
        return ""
    names = [plan.question.groups[key].name for key in plan.sets.chosen[place]]
    return f", by {', '.join(names)}" if names else ", in total"


def _noise(part: Primitive, noise: Noise, grouping: str) -> dict[str, Any]:
    unit = float(part.step)
    return {
        "of": part.label + grouping,
        "mechanism": NAMES[noise.law],
        "standard_deviation": noise.std() * unit,
        "scale" if noise.law == "discrete_laplace" else "variance": str(noise.scale),
        "step": str(part.step),
        "sensitivity" if noise.law == "discrete_laplace" else "sensitivity_squared": str(noise.sensitivity),
    }


def _choice(choice: Choice) -> dict[str, Any]:
    found = {"of": choice.part.label, "mechanism": _mechanism(choice), "epsilon": float(choice.mechanism.epsilon)}
    error = choice.rank_error(LEVEL)
    return found if error is None else found | {"rank_error": error}


def _mechanism(choice: Choice) -> str:
    return "permute-and-flip" if type(choice.mechanism).__name__ == "PermuteAndFlip" else "exponential mechanism"


def _notes(plan: QueryPlan, measure: str) -> list[str]:
    select, question = plan.select, plan.question
    notes = []
    for part in plan.noises:
        if part.kind in ("sum", "centred") and isinstance(part.of, Ref):
            low, high = _bounds(part)
            notes.append(f"Values of {part.of} are clamped to [{low:g}, {high:g}].")
    notes = list(dict.fromkeys(notes))
    rows, groups = question.bounds.rows, question.bounds.groups
    if question.persons:
        who = " and ".join(item for item in (question.unit.column, question.unit.per) if item)
        place = "group" if question.groups else "query"
        notes.append(f"Of each {who} at most {rows} {_plural('row', rows)} per {place} count; more are scaled down.")
        if question.bounds.sampled:
            notes.append(f"Of each {who} at most {groups} {_plural('group', groups)} count, chosen by a public hash.")
        notes.append(f"Rows without {who} are left out.")
        if question.periods:
            wanted = ", ".join(str(Const(period)) for period in question.periods)
            notes.append(f"Only rows whose {question.unit.per} is {wanted} are read.")
        if len(question.periods) > 1:
            notes.append(
                f"The guarantee is that of a person in one {question.unit.per}; who is in several has a weaker one."
            )
    else:
        notes.append(f"One row is one unit; a person has at most {rows} {_plural('row', rows)} by the owner's promise.")
    if question.unknown:
        notes.append("Groups are shown that a private selection found; groups of few people are left out, unnamed.")
        notes += _suppressed(plan)
    elif question.groups:
        notes.append("Exactly the declared groups are answered for, also those without rows.")
    notes += _about(select)
    if plan.consistent:
        notes.append(
            f"Released numbers were made to agree ({', '.join(plan.consistent)}); those before are in the columns …_raw. "
            "Standard errors and intervals are those of the noise before; an interval is widened to hold its number."
        )
    if select.having is not None or select.order or select.limit is not None:
        notes.append("HAVING, ORDER BY and LIMIT act on released values: what they choose is partly chosen by noise.")
    if measure == "pure":
        used = "delta is the selection's alone" if question.unknown else "delta is not used"
        notes.append(f"The account is measured in pure epsilon; {used}.")
    return notes


def _suppressed(plan: QueryPlan) -> list[str]:
    """Return how many people a group needs to be shown, from public facts."""
    if plan.finder is None:
        return []
    half, most = (plan.finder.shown_from(chance) for chance in (0.5, 0.95))
    groups = plan.finder.groups
    where = f", if each is in {groups} {_plural('group', groups)}" if plan.finder.by_weight else ""
    return [f"A group of {half} people is shown in at least half of the cases, one of {most} in 95 %{where}."]


def _about(select: Select) -> list[str]:
    """Return what has to be known about some aggregates."""
    found = [one for item in select.outputs if item.expression is not None for one in nodes.aggregates(item.expression)]
    functions = {item.function for item in found}
    notes = []
    if any(isinstance(item.expression, Aggregate) and item.expression.function == "AVG" for item in select.outputs):
        notes.append("Where a noisy count is not positive, AVG is the middle of the bounds.")
    if functions & {*SPREAD, *PAIRED}:
        notes.append("Variances and covariances are cut to what the bounds allow, and are never negative by noise.")
    if functions & {"MIN", "MAX"}:
        notes.append(
            "MIN and MAX are values near the ends, with some rows beyond them; the very ends are single people's values."
        )
    return notes


def _sentence(plan: QueryPlan) -> str:
    select, question = plan.select, plan.question
    what = ", ".join(str(item.expression) for item in select.outputs if item.expression is not None)
    where = f" where {select.where}" if select.where is not None else ""
    by = f" by {', '.join(group.name for group in question.groups)}" if question.groups else ""
    return f"{what or 'Groups'} of {select.relation}{by}{where}."


def _parts(item: Output, plan: QueryPlan) -> tuple[Primitive, ...]:
    assert item.expression is not None
    used = nodes.aggregates(item.expression)
    return tuple(dict.fromkeys(part for one in used for part in plan.parts(one)))


def _choices(item: Output, plan: QueryPlan) -> list[Choice]:
    """Return what an output is drawn from."""
    assert item.expression is not None
    used = nodes.aggregates(item.expression)
    return [choice for part, choice in plan.drawing.choices.items() if set(part.aggregates) & set(used)]


def _bounds(part: Primitive) -> tuple[float, float]:
    return float(part.middle + part.low * part.step), float(part.middle + part.high * part.step)


def _grid(part: Primitive) -> Fraction:
    return part.step * part.factor


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
