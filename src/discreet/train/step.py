"""One step: clip each example of the batch, add noise to their sum, divide by a constant, and let the optimiser move."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from discreet.train.adam import PrivateAdam
from discreet.train.augment import Augment
from discreet.train.average import Average
from discreet.train.batches import Batch
from discreet.train.clipping import Clip, Scaled, clipped_sum
from discreet.train.fixed import Fixed
from discreet.train.keystream import Keystream
from discreet.train.noise import KeyedNoise
from discreet.train.plan import DPSGD
from discreet.train.quantile import Moving
from discreet.train.rows import Rows
from discreet.train.world import World

Loss = Callable[[Any, Any], torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What takes the steps of a run: each is a function of the model before it, the rows, the key and its number.

    Args:
        plan: A calibrated plan.
        model: The model, trained in place.
        optimizer: What moves it.
        scheduler: Stepped after each step, if there is one.
        loss: One number for each example.
        clip: How gradients are clipped.
        microbatch: How many examples are computed at once. Those of a person stay together, however many they are.
        stream: From the run's key.
        noise: From the same key.
        world: The processes that take the step together.
        average: Of the models on the way, if one is kept.
        augment: How variants of rows are made, if they are.
        moving: Where the norm stands, if it moves.

    Guarantee:
        What a step changes is a function of the sum of clipped gradients with noise of `plan.noise_std` (and of a noisy
        count, see `Quantile`); with all steps, that of `plan.event`.
    Evidence:
        Proven: docs/proofs/training_run.md. Audited with canaries in the gradients.
    Assumes:
        Each step is taken once for each key, or again with the very same result.
    Not protected:
        How long a step takes: it grows with the batch.
    """

    plan: DPSGD
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any
    loss: Loss
    clip: Clip
    microbatch: int
    stream: Keystream
    noise: KeyedNoise
    world: World = field(default_factory=World)
    average: Average | None = None
    augment: Augment | None = None
    moving: Moving | None = None
    fixed: Fixed = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fixed", Fixed(self.model))

    @property
    def rule(self) -> Clip:
        """How the next step clips."""
        rule = self.clip if self.moving is None else self.moving.rule
        scales = self.optimizer.scales() if isinstance(self.optimizer, PrivateAdam) else {}
        if not scales:
            return rule
        return Scaled(rule, {name: scales[p] for name, p in self.model.named_parameters() if p in scales})

    @property
    def noise_std(self) -> float:
        """The deviation of the noise of the next step's sum."""
        return self.plan.noise_std if self.moving is None else self.moving.noise_std

    def spoil(self) -> None:
        """Make everything that a step moves unusable: what a step that failed has left must not be seen.

        It may be the second outcome of one noise, and the difference of the two holds none.
        """
        with torch.no_grad():
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.fill_(math.nan)
                    parameter.grad = None
        self.optimizer.state.clear()
        self.fixed.restore()
        for beside in (self.average, self.moving):
            if beside is not None:
                beside.spoil()

    def take(self, rows: Rows, batch: Batch) -> None:
        """Take the step of a batch. An empty one has its noise, and is a step like any other."""
        named = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        found: dict[str, torch.Tensor] = {}
        device = next(iter(named.values())).device
        count = torch.zeros((), dtype=torch.int64, device=device)
        if isinstance(self.optimizer, PrivateAdam):
            self.optimizer.expect(self.noise_std / self.plan.expected_batch_size)
        rule = self.rule
        mine = Batch(batch.step, self.world.share(batch.indices))
        times = 1 if self.augment is None else self.augment.times
        with self.world.together():
            for place, (units, owners) in enumerate(rows.micro(mine.indices, self.microbatch, times)):
                word = place * self.world.size + self.world.rank
                with _drawing(device, int(self.stream.words("forward", batch.step, 1, word)[0])):
                    examples = on_device(rows.batch(units), device)
                    if self.augment is not None:
                        examples, owners = self.augment.variants(examples, owners)
                    clipped = clipped_sum(
                        self.model, self.loss, examples, rule, microbatch=self.microbatch, into=found, owners=owners
                    )
                    if self.moving is not None:
                        count += self.moving.counted(clipped.private_norms).to(device)
                self.fixed.restore()
        # In the model's order: processes add up one tensor after the other. None is found in an empty batch.
        sums = {name: found[name] if found else torch.zeros_like(p, dtype=torch.float32) for name, p in named.items()}
        self.world.total(sums if self.moving is None else {**sums, "": count})
        for name, parameter in named.items():
            self.noise.add(sums[name], std=self.noise_std, step=batch.step, tensor=name)
            parameter.grad = sums[name].div_(self.plan.expected_batch_size).to(parameter.dtype)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.scheduler is not None:
            self.scheduler.step()
        if self.average is not None:
            self.average.update(batch.step)
        if self.moving is not None:
            self.moving.move(count, self.noise, batch.step)


@contextmanager
def _drawing(device: torch.device, seed: int) -> Iterator[None]:
    """Let dropout draw from the run's key: a step that is taken again has the same masks."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes a millisecond to tell absent devices
        for one in devices:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        yield


def on_device(examples: Any, device: torch.device) -> Any:
    """Return a batch with its tensors on a device."""
    return _pytree.tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, torch.Tensor) else leaf, examples)
