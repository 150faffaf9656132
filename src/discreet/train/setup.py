"""Setups: what is trained with some settings; for a selection built anew for each run, and tried before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from discreet.dataset import Dataset
from discreet.errors import InvalidInput
from discreet.train.augment import Augment
from discreet.train.average import Average
from discreet.train.bound import Bound, bind
from discreet.train.clipping import Clip, Flat, check
from discreet.train.clipping.trees import examples_in, taken
from discreet.train.keystream import Keystream
from discreet.train.noise import KeyedNoise
from discreet.train.plan import DPSGD
from discreet.train.quantile import Moving, Quantile
from discreet.train.rows import Collate
from discreet.train.step import Loss, Step, on_device
from discreet.train.world import World


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setup:
    """What is trained with some settings: those of one candidate, in a selection.

    Args:
        model: A new model, with its first weights.
        optimizer: A new one, over the model's trainable parameters.
        loss: `loss(model, batch)` returns one number for each example, not averaged.
        max_grad_norm: The clipping norm; the plan's if left out. The noise grows with it.
        clip: How gradients are clipped; `Flat(max_grad_norm)` if left out.
        scheduler: A scheduler of the optimizer's, stepped after each step.
        average: Take the moving average of the models on the way, see `make_private`.
        augment: Random variants of each row, see `make_private`.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    max_grad_norm: float | None = None
    clip: Clip | None = None
    scheduler: Any = None
    average: float | None = None
    augment: Augment | None = None

    def plan(self, plan: DPSGD) -> DPSGD:
        """Return the plan with this candidate's clipping norm: the same event."""
        return plan if self.max_grad_norm is None else replace(plan, max_grad_norm=self.max_grad_norm)

    def clips(self, plan: DPSGD) -> Clip:
        """Return how gradients are clipped."""
        return Flat(plan.max_grad_norm) if self.clip is None else self.clip

    def bind(
        self,
        dataset: Dataset,
        plan: DPSGD,
        collate: Collate | None,
        purpose: str,
        facts: Mapping[str, Any] | None = None,
    ) -> Bound:
        """Bind a run of it to a dataset, see `bound.bind`."""
        moving, functions = (self.model, self.optimizer, self.scheduler), (self.loss, collate, self.augment)
        return bind(dataset, plan, moving, functions, self.clips(plan), purpose, self.average, facts)

    def check(self, example: Any) -> None:
        """Try model and loss on rows that are public, see `clipping.check`."""
        check(self.model, self.loss, example if self.augment is None else self.augment.tried(example))

    def moved(self, plan: DPSGD) -> Moved:
        """Return what moves with the steps of a run of it, as it is at the start."""
        clip = self.clips(plan)
        average = None if self.average is None else Average(self.model, self.average)
        return Moved(self, average, Moving(clip, plan) if isinstance(clip, Quantile) else None)

    def step(self, plan: DPSGD, moved: Moved, microbatch: int, stream: Keystream, world: World) -> Step:
        """Return what takes the steps of a run of it."""
        return Step(
            plan, self.model, self.optimizer, self.scheduler, self.loss, self.clips(plan), microbatch, stream,
            KeyedNoise(stream, plan.correlation), world, moved.average, self.augment, moved.moving,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """What moves with the steps of a run.

    Args:
        setup: Of which model, optimizer and scheduler move.
        average: Of the models, if one is kept.
        moving: The clip's norm, if it moves.
    """

    setup: Setup
    average: Average | None
    moving: Moving | None

    @property
    def parts(self) -> dict[str, Any]:
        """All of it by name: what is saved in case the run is interrupted."""
        setup = self.setup
        every = {"model": setup.model, "optimizer": setup.optimizer, "scheduler": setup.scheduler}
        every |= {"average": self.average, "clip": self.moving}
        return {label: part for label, part in every.items() if part is not None}


Build = Callable[[Any], Setup]
Score = Callable[..., Any]  # of a model; or of a model and a batch, if it counts private records


def tried(
    dataset: Dataset,
    shared: DPSGD,
    candidate: Any,
    build: Build,
    score: Callable[[nn.Module], Any],
    example: Any,
    collate: Collate | None,
    purpose: str,
) -> Bound:
    """Try a candidate on the example, before anything is spent; return what a run of it is.

    Raises:
        InvalidInput: it cannot be trained privately, or not again and again.
    """
    setups = [_built(candidate, build, 0) for _ in range(2)]
    _check_new(candidate, *setups)
    setup = setups[0]
    setups.clear()
    plan = setup.plan(shared)
    found = setup.bind(dataset, plan, collate, purpose)
    other = _built(candidate, build, 1)
    if other.bind(dataset, other.plan(shared), collate, purpose).identity != found.identity:
        raise InvalidInput(
            f"build made something else than other first weights when torch had another seed, for {candidate!r}.",
            remedy="Take settings, and how gradients are clipped, from the candidate alone: the charge is for those.",
        )
    setup.moved(plan)
    setup.check(example)
    with torch.no_grad(), seeded(0):
        score(setup.model)
    return found


def _built(candidate: Any, build: Build, seed: int) -> Setup:
    with seeded(seed):
        found = build(candidate)
    if not isinstance(found, Setup):
        raise InvalidInput(
            f"build must return a Setup, got {type(found).__name__}.", remedy="Setup(model=…, optimizer=…, loss=…)"
        )
    return found


def _check_new(candidate: Any, first: Setup, second: Setup) -> None:
    """Refuse what would let one run go on where another one ended, or begin otherwise when taken up again."""
    ones, others = first.model.state_dict(), second.model.state_dict()
    shared = {id(p) for p in first.model.parameters() if p.requires_grad} & {id(p) for p in second.model.parameters()}
    if shared or first.optimizer is second.optimizer or first.optimizer.state:
        raise InvalidInput(
            f"build returned a model or an optimizer that it had returned before, for {candidate!r}.",
            remedy="Make both anew inside of build: each run begins from the start.",
        )
    if ones.keys() != others.keys() or not all(torch.equal(ones[name], others[name]) for name in ones):
        raise InvalidInput(
            f"build made two models with different first weights from the same seed of torch, for {candidate!r}.",
            remedy="Let torch alone draw the first weights: what is interrupted has to come out the same.",
        )


def public_score(score: Score, model: nn.Module) -> float:
    """Return a model's score, by public data.

    Raises:
        InvalidInput: it is no number.
    """
    told = score(model)
    try:
        return float(told)
    except (TypeError, ValueError):
        raise InvalidInput(
            f"score must return a number, got {type(told).__name__}.", remedy="The larger, the better the model."
        ) from None


def right(score: Score, model: nn.Module, batch: Any, size: int) -> torch.Tensor:
    """Return which of the examples of a batch a model gets right.

    Raises:
        InvalidInput: the score does not say of each whether it does.
    """
    told = score(model, on_device(batch, next(model.parameters()).device))
    if not isinstance(told, torch.Tensor) or told.shape != (size,) or told.dtype != torch.bool:
        raise InvalidInput(
            "score must return a tensor of True and False, one for each example of the batch.",
            remedy="For example model(inputs).argmax(1) == labels: with score_noise it counts records.",
        )
    return told


def try_counting(score: Score, model: nn.Module, example: Any) -> None:
    """Try a score that counts records on rows that are public: of each by itself it says the same as of all.

    Raises:
        InvalidInput: it does not.
    """
    size = examples_in(example)
    singly = [right(score, model, taken(example, torch.tensor([i])), 1) for i in range(size)]
    if not torch.equal(torch.cat(singly), right(score, model, example, size)):
        raise InvalidInput(
            "score says something else of an example alone than of the same one among others.",
            remedy="Whether a model gets an example right must depend on that example alone: model.eval() may help.",
        )


def plain(candidates: Sequence[Any]) -> list[Any]:
    """Return the candidates as plain data.

    Raises:
        InvalidInput: they are none, or there is none.
    """
    try:
        found = json.loads(json.dumps(list(candidates), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        found = None
    if not found or found != list(candidates):
        raise InvalidInput(
            "candidates must be a list of at least one setting, each of texts, finite numbers, lists and dicts of them.",
            remedy='For example [{"lr": 0.1}, {"lr": 1.0}]: what is built of one is for build.',
        )
    return list(found)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch draw from a seed: first weights are new for each run, and the same when it is taken up again."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
