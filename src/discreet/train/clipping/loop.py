"""One example after the other through plain autograd: right for every model, and what all else is held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from discreet.train.clipping.clips import Clip
from discreet.train.clipping.norms import Squares, added, squares
from discreet.train.clipping.trees import losses_of, taken

Loss = Callable[[Any, Any], Tensor]


class SlowModule(UserWarning):
    """A model is trained one example at a time, because of an operation that is not watched."""


def gradients(model: Any, loss: Loss, batch: Any, index: int, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of one example, for the parameters it has one for."""
    with torch.enable_grad():
        value = losses_of(model, loss, taken(batch, slice(index, index + 1)), 1)
        found = torch.autograd.grad(value.sum(), list(named.values()), allow_unused=True)
    return {name: g.float() for name, g in zip(named, found, strict=True) if g is not None}


def add_clipped(
    found: Mapping[str, Tensor], clip: Clip, groups: Mapping[str, int], sums: Mapping[str, Tensor]
) -> Tensor:
    """Add one example's clipped gradient; return the squared norm of all of it, as one number in a tensor."""
    count = max(groups.values(), default=0) + 1
    each: list[list[Squares]] = [[] for _ in range(count)]
    for name, gradient in found.items():
        each[groups[name]].append(squares(gradient[None]))
    norms = [added(parts) if parts else None for parts in each]
    whole = [norm for norm in norms if norm is not None]
    device = next(iter(sums.values())).device
    if not whole:
        return torch.zeros(1, device=device)
    total = added(whole)
    if bool(torch.isfinite(total.bound).all()):
        for name, gradient in found.items():
            norm = norms[groups[name]]
            assert norm is not None
            sums[name].add_(gradient * clip.factors(groups[name], count, norm))
    return total.value
