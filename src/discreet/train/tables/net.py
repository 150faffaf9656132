"""The model of a table, which carries the text that says how rows are read, and its loss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from discreet.train.tables.features import UNKNOWN, Choice, Feature

ENCODING = "encoding"


class Net(nn.Module):
    """A linear model, or one with hidden layers between; all its outputs are 0 at first.

    Args:
        inputs: How many features there are.
        hidden: Sizes of hidden layers.
        outputs: How many numbers come out.
        encoding: How rows are read: kept as bytes beside the weights, so that the release needs nothing else.
        seed: Of the first weights of hidden layers; None where weights are loaded.
    """

    encoding: torch.Tensor

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, *, encoding: bytes, seed: int | None = None
    ) -> None:
        super().__init__()
        self.register_buffer(ENCODING, torch.frombuffer(bytearray(encoding), dtype=torch.uint8))
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.default_generator.manual_seed(seed)
            self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise([inputs, *hidden, outputs]))
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs of each row."""
        *hidden, last = self.layers
        for layer in hidden:
            x = torch.tanh(layer(x))
        found: torch.Tensor = last(x)
        return found


class Loss:
    """Each row's cross entropy, or squared error on the scale of the model; 0 where the target is not known.

    Args:
        target: What is predicted.
    """

    def __init__(self, target: Feature) -> None:
        self._classes = isinstance(target, Choice)

    def __call__(self, model: Any, batch: Any) -> torch.Tensor:
        """Return one number for each row."""
        found, wanted = model(batch[0]), batch[1]
        if self._classes:
            return nn.functional.cross_entropy(found, wanted, ignore_index=UNKNOWN, reduction="none")
        apart = found[:, 0] - torch.nan_to_num(wanted)
        return torch.where(wanted.isnan(), 0.0, apart * apart)
