"""dpsgd(…): the event of a DP-SGD run, from the words in which training is described.

A run clips each record's gradient to norm C, sums those of a random batch and adds Gaussian noise of
standard deviation noise_multiplier · C, `steps` times. Which batches are drawn, and what counts as a
neighbour, decide the loss as much as the noise does: both are asked for, neither has a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from discreet import events
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.events.checks import FIELDS, shown


class Sampling(str, Enum):
    """How each step's batch is drawn.

    poisson: every record enters independently, with probability sample_rate.
    truncated: as poisson; a batch larger than batch_cap is cut to a uniform subset of that size.
    fixed: a uniform batch of batch_size out of all records, without replacement.
    allocation: each epoch sends every record to exactly one of its steps (balls and bins).
    """

    POISSON = "poisson"
    TRUNCATED = "truncated"
    FIXED = "fixed"
    ALLOCATION = "allocation"


NEEDS: Mapping[Sampling, tuple[str, ...]] = {
    Sampling.POISSON: ("sample_rate",),
    Sampling.TRUNCATED: ("sample_rate", "records", "batch_cap"),
    Sampling.FIXED: ("records", "batch_size"),
    Sampling.ALLOCATION: ("participations",),
}

RELATIONS: Mapping[Sampling, tuple[Relation, ...]] = {
    Sampling.POISSON: tuple(Relation),
    Sampling.TRUNCATED: (Relation.ZERO_OUT, Relation.REPLACE_ONE),
    Sampling.FIXED: (Relation.REPLACE_ONE,),
    Sampling.ALLOCATION: (Relation.ADD_REMOVE, Relation.ZERO_OUT),
}

_WHY: Mapping[Sampling, str] = {
    Sampling.TRUNCATED: "truncated sampling needs a public number of records",
    Sampling.FIXED: "fixed-size sampling is bounded under replace_one only",
    Sampling.ALLOCATION: "random allocation is bounded under add_remove and zero_out only",
}

_FIELD = {  # the field of an event that demands the same of its value
    "sample_rate": "sample_rate",
    "noise_multiplier": "noise_multiplier",
    "steps": "steps",
    "records": "population_size",
    "batch_cap": "max_batch_size",
    "batch_size": "sample_size",
    "participations": "count",
}


def dpsgd(
    *,
    noise_multiplier: float,
    steps: int,
    relation: Relation,
    sampling: Sampling,
    sample_rate: float | None = None,
    records: int | None = None,
    batch_cap: int | None = None,
    batch_size: int | None = None,
    participations: int | None = None,
) -> events.Event:
    """Return the event of a DP-SGD run.

    Args:
        noise_multiplier: Standard deviation of the noise / clipping norm C, under every relation.
        steps: How many batches are drawn.
        relation: When two sets of records are neighbours.
        sampling: How a batch is drawn. It decides which of the arguments below are needed; no other is taken.
        sample_rate: poisson, truncated: the probability with which a record enters a batch.
        records: truncated, fixed: the public number of records.
        batch_cap: truncated: the largest batch that is computed.
        batch_size: fixed: the size of every batch.
        participations: allocation: the number of epochs, each of steps / participations steps.

    Returns:
        Repeated sampled Gaussians. Replacing one record moves a sum of clipped gradients by up to 2C, so
        under replace_one their noise_multiplier is half of what is given here.

    Raises:
        InvalidInput: a value is out of range, missing, superfluous, or the sampling is not bounded under
            this relation.

    Assumes: every gradient is clipped; batches are drawn as `sampling` says, with randomness that nobody
        sees; the noise is added once to each sum.
    """
    given: dict[str, Any] = {
        "sample_rate": sample_rate,
        "records": records,
        "batch_cap": batch_cap,
        "batch_size": batch_size,
        "participations": participations,
    }
    kind, among = _one_of(Sampling, "sampling", sampling), _one_of(Relation, "relation", relation)
    _check_names(kind, given)
    for name, value in {"noise_multiplier": noise_multiplier, "steps": steps}.items():
        _check(name, value)
    for name in NEEDS[kind]:
        _check(name, given[name])
    _check_relation(kind, among)
    _check_sizes(kind, steps, given)
    noise = events.Gaussian(noise_multiplier / 2 if among is Relation.REPLACE_ONE else noise_multiplier)
    if kind is Sampling.ALLOCATION:
        return events.Repeated(
            given["participations"], events.RandomAllocation(steps // given["participations"], among, noise)
        )
    return events.Repeated(steps, _batch(kind, given, among, noise))


def _batch(sampling: Sampling, given: Mapping[str, Any], relation: Relation, noise: events.Gaussian) -> events.Event:
    """Return one step on a batch that does not depend on the other steps'."""
    if sampling is Sampling.TRUNCATED:
        return events.TruncatedPoissonSampled(
            given["sample_rate"], given["records"], given["batch_cap"], relation, noise
        )
    if sampling is Sampling.FIXED:
        return events.FixedSizeSampled(given["records"], given["batch_size"], relation, noise)
    return events.PoissonSampled(given["sample_rate"], relation, noise)


def _one_of(kind: type[Any], name: str, value: object) -> Any:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(item.value for item in kind)
        raise InvalidInput(f"{name} must be one of {known}, got {shown(value)}.", remedy="Name one of them.") from None


def _check_names(sampling: Sampling, given: Mapping[str, object]) -> None:
    """Refuse what is missing or superfluous: either would mean that another run was described than was meant."""
    needed = NEEDS[sampling]
    missing = [name for name in needed if given[name] is None]
    if missing:
        raise InvalidInput(
            f"{sampling.value} sampling needs {' and '.join(needed)}; {' and '.join(missing)} not given.",
            remedy=f"Give {' and '.join(missing)}, or name another sampling.",
        )
    more = [f"{name} = {shown(value)}" for name, value in given.items() if value is not None and name not in needed]
    if more:
        raise InvalidInput(
            f"{sampling.value} sampling takes {' and '.join(needed)} and nothing else, got {' and '.join(more)}.",
            remedy="Leave that out, or name the sampling that it belongs to.",
        )


def _check(name: str, value: object) -> None:
    demand, holds = FIELDS[_FIELD[name]]
    if not holds(value):
        raise InvalidInput(
            f"{name} must be {demand}, got {shown(value)}.", remedy=f"Give the {name} that the run really has."
        )


def _check_relation(sampling: Sampling, relation: Relation) -> None:
    if relation not in RELATIONS[sampling]:
        known = " or ".join(item.value for item in RELATIONS[sampling])
        raise InvalidInput(
            f"{_WHY[sampling]}, so not under {relation.value}.",
            remedy=f"Declare {known}, or sample by Poisson.",
        )


def _check_sizes(sampling: Sampling, steps: int, given: Mapping[str, Any]) -> None:
    """Refuse numbers that contradict each other."""
    size, records, epochs = given["batch_size"], given["records"], given["participations"]
    if sampling is Sampling.FIXED and size > records:
        raise InvalidInput(
            f"batch_size must not exceed records, got {size} of {records}.",
            remedy="Draw smaller batches, or check the number of records.",
        )
    if sampling is Sampling.ALLOCATION and steps % epochs:
        raise InvalidInput(
            f"steps must be a multiple of participations, got {steps} steps and {epochs} participations.",
            remedy="Count whole epochs: each has steps / participations steps.",
        )
