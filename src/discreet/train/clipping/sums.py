"""What is summed up: which parameters, and the memory for their sums."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from discreet.errors import InvalidInput
from discreet.train.clipping.trees import NOTHING_CLIPPED


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that require gradients, by name.

    Raises:
        InvalidInput: there is none.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise InvalidInput(
            "the model has no trainable parameter.", state=NOTHING_CLIPPED, remedy="Let some require gradients."
        )
    return named


def allocate(sums: dict[str, Tensor], named: Mapping[str, nn.Parameter]) -> set[str]:
    """Make room for sums that are not there; return their names, for they hold nothing yet.

    Raises:
        InvalidInput: one that is there is not float32, or of another shape than its parameter.
    """
    for name in named.keys() & sums.keys():
        if sums[name].dtype != torch.float32 or sums[name].shape != named[name].shape:
            raise InvalidInput(
                f"into[{name!r}] is {sums[name].dtype} of shape {tuple(sums[name].shape)}, the parameter has shape "
                f"{tuple(named[name].shape)}.",
                state=NOTHING_CLIPPED,
                remedy="Give the sums that an earlier call returned: float32, in the shapes of the parameters.",
            )
    fresh = named.keys() - sums.keys()
    for name in fresh:
        sums[name] = torch.empty(named[name].shape, dtype=torch.float32, device=named[name].device)
    return fresh
