"""A task: an estimator's training bound to a dataset's public facts, which plans it and starts it alike."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from discreet.dataset import Dataset
from discreet.train.bound import Bound, bind
from discreet.train.clipping import Flat
from discreet.train.plan import DPSGD
from discreet.train.run import Run, make_private
from discreet.train.tables.cells import Cells
from discreet.train.tables.features import MADE_UP, Choice, Feature, Features
from discreet.train.tables.net import Loss, Net

MICROBATCH = 1024  # rows of a table are small
MOMENTUM = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What is trained on what, and how. Nothing is read.

    Args:
        dataset: The private rows.
        plan: Calibrated.
        features: The inputs.
        target: The output.
        net: The model, with its first weights.
        learning_rate: Of gradient descent with momentum.
        facts: For reports.
    """

    dataset: Dataset
    plan: DPSGD
    features: Features
    target: Feature
    net: Net
    learning_rate: float
    facts: Mapping[str, Any]

    def question(self, purpose: str) -> Bound:
        """Return what a run would be charged as."""
        return bind(
            self.dataset,
            self.plan,
            (self.net, self._optimizer(), None),
            (Loss(self.target), as_it_is, None),
            Flat(self.plan.max_grad_norm),
            purpose,
            None,
            self.facts,
        )

    def start(self, *, name: str, purpose: str, private: str | Path, attempt: int) -> Run:
        """Charge the run, or take it up; see `make_private`."""
        rows = copy.copy(self.dataset)
        cells = Cells(self.dataset.source, self.features, self.target, self.dataset.unit.column)
        object.__setattr__(rows, "source", cells)
        return make_private(
            rows,
            self.plan,
            model=self.net,
            optimizer=self._optimizer(),
            loss=Loss(self.target),
            example=(self.features.made_up(), _made_up(self.target)),
            name=name,
            purpose=purpose,
            microbatch=max(MICROBATCH, self.dataset.unit.max_rows),  # a person's rows stay together
            collate=as_it_is,
            private=private,
            attempt=attempt,
            facts=self.facts,
        )

    def _optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.net.parameters(), lr=self.learning_rate, momentum=MOMENTUM)


def as_it_is(batch: Any) -> Any:
    """Return a batch as it was taken."""
    return batch


def outputs(target: Feature) -> int:
    """Return how many numbers a model puts out for a target."""
    return len(target.keys) if isinstance(target, Choice) else 1


def _made_up(target: Feature) -> torch.Tensor:
    if isinstance(target, Choice):
        return torch.arange(MADE_UP) % len(target.keys)
    return torch.linspace(-0.7, 0.9, MADE_UP)
