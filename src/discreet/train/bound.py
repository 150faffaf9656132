"""What a run is charged as: plan, model and optimiser bound to a dataset's public facts. Reads no private row."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from discreet import accounting, events
from discreet.dataset import Dataset
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.profiles import Guarantee, show_delta
from discreet.train.adam import PrivateAdam
from discreet.train.augment import Augment
from discreet.train.clipping import Clip, Scaled
from discreet.train.plan import DPSGD
from discreet.train.quantile import Quantile
from discreet.units import PrivacyUnit

VERSION = 1
ASSUMED = (
    "An example's loss depends on that example's row and the parameters alone (tested on the rows given as `example`).",
    "The plan, the model's first weights and the expected batch size were chosen without the private rows.",
    "Gaussian noise in 32-bit floating point is taken for the law that it approximates.",
    "AES-256 and HMAC-SHA-256 keep their promises: noise and batches are drawn from a secret key.",
    "Nobody but the owner sees losses, norms and batch sizes, how long a step took, or what is kept of the run.",
)
ONE_ROW = "One row is one unit: nobody has two."
VARIANTS = (
    "A variant of a row depends on that row and its own random numbers alone (tested on the rows given as `example`)."
)


@dataclass(frozen=True, slots=True)
class Bound:
    """A run bound to public facts: the `Question` that a dataset is asked.

    Args:
        event: What the whole run does to the rows.
        guarantee: What its release will guarantee.
        identity: What names the run; hashed into its request.
        facts: For `explain`.
    """

    event: events.Event
    guarantee: Guarantee
    identity: Mapping[str, Any]
    facts: Mapping[str, Any]


def bind(
    dataset: Dataset,
    plan: DPSGD,
    moving: tuple[nn.Module, torch.optim.Optimizer, Any],
    functions: tuple[Callable[[Any, Any], torch.Tensor], Callable[[Any], Any] | None, Augment | None],
    clip: Clip,
    purpose: str,
    average: float | None,
    facts: Mapping[str, Any] | None = None,
) -> Bound:
    """Bind a run to a dataset.

    Args:
        dataset: The private records.
        plan: The plan.
        moving: Model, optimizer, and scheduler or None.
        functions: Loss, collate or None, and what makes variants of rows, or None.
        clip: How gradients are clipped.
        purpose: Why.
        average: Of the models on the way, if one is released.
        facts: What else the owner says of the model.

    Raises:
        InvalidInput: they do not fit; nothing was spent.
    """
    model, optimizer, scheduler = moving
    _check_plan(plan, clip)
    _check_unit(dataset, plan)
    _check_measure(dataset, plan)
    _check_optimizer(model, optimizer)
    if isinstance(optimizer, PrivateAdam):
        optimizer.fits(plan)
    _check_scheduler(scheduler, plan.steps)
    about = _about(facts)
    assert plan.delta is not None
    epsilon = plan.epsilon(plan.delta).upper
    augment = functions[2]
    held = [*ASSUMED, *(() if dataset.unit.enforced else (ONE_ROW,)), *(() if augment is None else (VARIANTS,))]
    guarantee = Guarantee(dataset.unit, epsilon, plan.delta, plan.profile.method, tuple(held))
    shapes = {name: [*parameter.shape] for name, parameter in model.named_parameters() if parameter.requires_grad}
    identity = {
        "kind": "train",
        "v": VERSION,
        "plan": plan.to_json(),
        "clip": repr(clip),
        "model": f"{type(model).__qualname__} {hashlib.sha256(repr(model).encode()).hexdigest()[:16]}",
        "trained": shapes,
        "optimizer": type(optimizer).__qualname__,
        "settings": _settings(optimizer),
        "loss": source_of(functions[0]),
        "collate": None if functions[1] is None else source_of(functions[1]),
        "scheduler": None if scheduler is None else type(scheduler).__qualname__,
        "average": average,
        "augment": None if augment is None else [source_of(augment.function), augment.times],
    } | about
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    left = {
        "kind": "train",
        "title": purpose,
        "sentence": _sentence(plan, clip, trained, dataset.unit),
        "noise": _noise(plan, clip),
        "steps": plan.steps,
        "noise_multiplier": plan.noise_multiplier,
        "max_grad_norm": plan.max_grad_norm,
        "expected_batch_size": plan.expected_batch_size,
        "sampler": str(plan.sampler),
        "correlation": None if plan.correlation is None else str(plan.correlation),
        "clip": repr(clip),
        "optimizer": type(optimizer).__qualname__,
        "settings": _settings(optimizer),
        "average": average,
        "scheduler": None if scheduler is None else type(scheduler).__qualname__,
        "parameters": trained,
        "rows_of_a_unit": dataset.unit.max_rows,
        "variants_of_a_row": None if augment is None else augment.times,
        "architecture": repr(model),
        "torch": torch.__version__,
    }
    return Bound(plan.event, guarantee, identity, left | about)


def _about(facts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the owner says of the model, under its name among the facts."""
    if facts is None:
        return {}
    try:
        return {"about": json.loads(json.dumps(dict(facts), allow_nan=False))}
    except (TypeError, ValueError):
        raise InvalidInput(
            "facts must be plain data by name: texts, finite numbers, lists, and the like.",
            remedy='For example facts={"learning_rate": "found on public data"}.',
        ) from None


def _sentence(plan: DPSGD, clip: Clip, trained: int, unit: PrivacyUnit) -> str:
    """Return what was done, for people."""
    several = f"the rows of each person in a random batch (the first {unit.max_rows:,}) together"
    who = several if unit.max_rows > 1 else "every record of a random batch"
    strength = f"{plan.max_grad_norm:g}"
    if isinstance(clip, Quantile):
        strength += f" at first, later of what {clip.quantile:.0%} of them keep below"
    return (
        f"A model with {trained:,} numbers was trained in {plan.steps:,} steps: in each, {who} "
        f"pulled the model with a strength of at most {strength}, and noise was added to the sum."
    )


def _noise(plan: DPSGD, clip: Clip) -> list[dict[str, Any]]:
    """Return what noise there is, and which share of the charge is for it, for `explain`."""
    if not isinstance(clip, Quantile):
        of_sums = {"of": "each sum of gradients", "mechanism": "Gaussian", "standard_deviation": plan.noise_std}
        return [of_sums | {"share": 1.0}]
    assert plan.noise_multiplier is not None
    of_gradients, of_count = clip.noise(plan.noise_multiplier)
    each = (
        ("each sum of gradients, in clipping norms", of_gradients, 1 - clip.share),
        ("each count of short ones", of_count, clip.share),
    )
    return [{"of": of, "mechanism": "Gaussian", "standard_deviation": std, "share": share} for of, std, share in each]


def _check_plan(plan: DPSGD, clip: Clip) -> None:
    if plan.noise_multiplier is None or plan.delta is None:
        missing = "noise_multiplier" if plan.noise_multiplier is None else "delta"
        raise InvalidInput(
            f"the plan has no {missing}.",
            remedy="Take plan.calibrate(target_epsilon, target_delta): it returns a plan that has both.",
        )
    if clip.sensitivity > plan.max_grad_norm * (1 + 1e-12):
        raise InvalidInput(
            f"the clip leaves gradients up to {clip.sensitivity:g}, and the plan's noise hides {plan.max_grad_norm:g}.",
            remedy="Give the plan that max_grad_norm, or clip to less.",
        )
    inner = clip
    while isinstance(inner, Scaled):
        inner = inner.rule
    if isinstance(inner, Quantile) and inner is not clip:
        raise InvalidInput(
            "Quantile is within Scaled, where its norm would stay as it is.",
            remedy="Give Quantile as the clip; PrivateAdam(…, scaled=True) scales gradients that are clipped so.",
        )
    if isinstance(clip, Quantile):
        _check_moving(plan, clip)


def _check_moving(plan: DPSGD, clip: Quantile) -> None:
    if clip.max_norm != plan.max_grad_norm:
        raise InvalidInput(
            f"the first norm of the clip is {clip.max_norm:g}, and the plan's max_grad_norm {plan.max_grad_norm:g}.",
            remedy="Give both the same: noise follows the clip's norm, from the plan's on.",
        )
    if plan.correlation is not None:
        raise InvalidInput(
            "noise that is correlated over steps takes back what was added under one norm, and this norm moves.",
            remedy="Clip by Flat, or plan without correlation.",
        )


def _check_unit(dataset: Dataset, plan: DPSGD) -> None:
    unit = dataset.unit
    if plan.relation is not unit.relation:
        raise InvalidInput(
            f"the plan is for neighbours by {plan.relation.value}, and the dataset's are by {unit.relation.value}.",
            remedy=f"Make the plan with relation=Relation.{unit.relation.name}.",
        )
    if unit.per is not None:
        raise InvalidInput(
            f"the unit is a person in one {unit.per}, and a model is trained on all of them at once.",
            remedy=f"Declare PrivacyUnit(column={unit.column!r}, max_rows=…): a person's rows of all times together.",
        )
    if unit.max_rows != 1 and not unit.enforced:
        raise InvalidInput(
            f"the dataset's units have {unit.max_rows} rows each, and nothing says which rows are one person's.",
            remedy="Declare PrivacyUnit(column=…, max_rows=…): the first rows of each person count, together.",
        )
    if dataset.tables or dataset.views:
        raise InvalidInput(
            "training reads one table, and this dataset has tables or views beside it.",
            remedy="Join them beforehand, and give the result as a dataset of its own.",
        )
    sampler = plan.drawn_by
    if getattr(sampler, "cap", None) is not None and plan.records is None:
        raise InvalidInput(f"batches cut at {sampler} need a public number of records.", remedy="Give records=….")
    if show_delta(plan.delta or 0.0) == "0":
        raise InvalidInput("delta must be above 0.", remedy="Well below one over the number of records is usual.")


def _check_measure(dataset: Dataset, plan: DPSGD) -> None:
    measure = dataset.ledger.account(dataset.population).measure
    what = f"the account {dataset.population!r} is measured in {measure}"
    remedy = "Open an account that is measured in renyi."
    if measure.kind == "pure":
        raise InvalidInput(f"{what} epsilon, which Gaussian noise does not have.", remedy=remedy)
    try:
        accounting.cost(plan.event, measure)
    except UnsupportedEvent:
        known = False
    else:
        known = True
    if not known:
        raise InvalidInput(f"{what}, in which no bound of batches by {plan.sampler} is known.", remedy=remedy)


def _check_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    if not isinstance(optimizer, torch.optim.Optimizer) or isinstance(optimizer, torch.optim.LBFGS):
        raise InvalidInput(
            f"{type(optimizer).__name__} is no optimizer that takes a step by one gradient.",
            remedy="Take one of torch.optim but LBFGS, which looks at the loss again.",
        )
    sharded = next((name for name, p in model.named_parameters() if hasattr(p, "placements")), None)  # a DTensor
    if sharded is not None:
        raise InvalidInput(
            f"the parameter {sharded!r} is sharded over processes; an example's norm is over all of its gradient.",
            remedy="Start the processes with torch.distributed and leave the model whole: each takes a share of a batch.",
        )
    mine = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    theirs = moved_by(optimizer)
    missing = [name for key, name in mine.items() if key not in theirs]
    if missing:
        raise InvalidInput(
            f"the optimizer does not have the trainable parameter {missing[0]!r} ({len(missing)} in all).",
            remedy="Build it over model.parameters(), or switch requires_grad off for what is not trained.",
        )
    if theirs - set(mine):
        raise InvalidInput(
            f"the optimizer has {len(theirs - set(mine))} parameters that are not the model's.",
            remedy="Build it over model.parameters(), after the model has its final layers.",
        )


def _settings(optimizer: torch.optim.Optimizer) -> list[dict[str, str]]:
    """Return what an optimiser was built with, of each group, as texts; but not the noise that a run tells it of."""
    return [
        {name: str(value) for name, value in sorted(group.items()) if name not in ("params", "initial_lr", "noise")}
        for group in optimizer.param_groups
    ]


def moved_by(optimizer: torch.optim.Optimizer) -> set[int]:
    """Return the ids of the parameters that an optimiser moves."""
    return {id(p) for group in optimizer.param_groups for p in group["params"] if p.requires_grad}


def _check_scheduler(scheduler: Any, steps: int) -> None:
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise InvalidInput(
            "ReduceLROnPlateau looks at a loss, and losses on private rows are private.",
            remedy="Take a schedule that follows from the step alone.",
        )
    most = getattr(scheduler, "total_steps", None)
    if isinstance(most, int) and most < steps:
        raise InvalidInput(
            f"the scheduler is for {most} steps, and the plan has {steps}.", remedy=f"Give it total_steps={steps}."
        )


def source_of(function: Any) -> str:
    """Return a hash of a function's text: another loss is another question."""
    given = ""
    while isinstance(function, functools.partial):
        given += f"{_plain(function.args)} {_plain(tuple(sorted(function.keywords.items())))}"
        function = function.func
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        text = f"{type(function).__qualname__} {getattr(function, '__qualname__', '')}"
    closed = tuple(cell.cell_contents for cell in getattr(function, "__closure__", None) or ())
    return hashlib.sha256(f"{text} {given} {_plain(closed)}".encode()).hexdigest()[:16]


def _plain(value: Any) -> str:
    """Return a value as text that is the same in each process; of what has none, its type."""
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    if isinstance(value, tuple):  # lists change
        return f"({', '.join(map(_plain, value))})"
    return type(value).__qualname__
