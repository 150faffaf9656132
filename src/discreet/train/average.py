"""Average: the mean of the models that a run passes through, the later ones counting more."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from discreet.errors import InvalidInput


class Average:
    """An exponential moving average of a model's trained parameters: worked out of noisy steps alone, so it is free.

    Args:
        model: The model.
        decay: How much of the average stays in each step, from 0 to 1; less in the first ones.

    References:
        De, Berrada, Hayes, Smith, Balle, "Unlocking High-Accuracy Differentially Private Image Classification through
        Scale", 2022.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 <= decay < 1:
            raise InvalidInput(
                f"average must be a number from 0 up to, and not, 1, got {decay!r}.",
                remedy="0.99 averages over about the last hundred steps; leave it out for none.",
            )
        self.decay = decay
        self._model = model
        self._held = {
            name: p.detach().to(
                torch.promote_types(p.dtype, torch.float32), copy=True
            )  # in bfloat16 it would stand still
            for name, p in model.named_parameters()
            if p.requires_grad
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model after step `step`, counted from 0."""
        keep = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in self._model.named_parameters():
            if name in self._held:
                self._held[name].lerp_(parameter.to(self._held[name].dtype), 1 - keep)

    @torch.no_grad()
    def put(self) -> None:
        """Make the average the model's parameters."""
        for name, parameter in self._model.named_parameters():
            if name in self._held:
                parameter.copy_(self._held[name])

    def spoil(self) -> None:
        """Make it unusable."""
        for tensor in self._held.values():
            tensor.fill_(math.nan)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the average."""
        return self._held

    def load_state_dict(self, held: Mapping[str, torch.Tensor]) -> None:
        """Go on from an average that was kept."""
        for name, tensor in self._held.items():
            tensor.copy_(held[name])
