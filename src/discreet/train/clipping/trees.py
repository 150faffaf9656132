"""Batches as trees of tensors, and losses as one number for each example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from discreet.errors import InvalidInput

NOTHING_CLIPPED = "Nothing was clipped and no gradient was kept."


def taken(batch: Any, rows: slice | Tensor) -> Any:
    """Return the same tree with these examples only."""
    return _pytree.tree_map(lambda leaf: leaf[rows] if isinstance(leaf, Tensor) else leaf, batch)


def examples_in(batch: Any) -> int:
    """Return how many examples a batch has.

    Raises:
        InvalidInput: it holds no tensor, or tensors of different lengths.
    """
    tensors = [leaf for leaf in _pytree.tree_leaves(batch) if isinstance(leaf, Tensor)]
    counts = {leaf.shape[0] if leaf.dim() else -1 for leaf in tensors}
    if len(counts) != 1 or -1 in counts:
        shapes = "no tensor" if not tensors else f"{len(tensors)} tensors that do not all have the same number of rows"
        raise InvalidInput(
            f"the batch has {shapes}.",
            state=NOTHING_CLIPPED,
            remedy="Give a tensor, or a tuple, list or dict of tensors whose first axis is the example.",
        )
    return int(counts.pop())


def losses_of(model: Any, loss: Callable[[Any, Any], Tensor], batch: Any, examples: int) -> Tensor:
    """Return the losses, one for each example.

    Raises:
        InvalidInput: the loss function returned something else.
    """
    losses = loss(model, batch)
    if not isinstance(losses, Tensor) or tuple(losses.shape) != (examples,):
        got = f"a tensor of {losses.dim()} axes" if isinstance(losses, Tensor) else type(losses).__name__
        if isinstance(losses, Tensor) and losses.dim() == 1:
            got = "a tensor of another length than the batch's"  # lengths stay unsaid: a sampled batch's is private
        raise InvalidInput(
            f"loss(model, batch) returned {got}; it has to return one number for each example.",
            state=NOTHING_CLIPPED,
            remedy="Do not average over the batch: use reduction='none', then the mean over all axes but the first.",
        )
    if not losses.requires_grad:
        raise InvalidInput(
            "the loss depends on no trainable parameter.",
            state=NOTHING_CLIPPED,
            remedy="Let some parameters require gradients, and compute the loss outside of no_grad().",
        )
    return losses


def kept(batch: Any, real: Tensor | None, examples: int) -> tuple[Any, Tensor | None]:
    """Return the real examples of a batch, and their places where some are padding.

    Raises:
        InvalidInput: `real` is not one truth value for each example.
    """
    if real is None:
        return batch, None
    if real.dtype != torch.bool or tuple(real.shape) != (examples,):
        raise InvalidInput(
            f"real has {real.dtype} in {real.dim()} axes, or another length than the batch.",
            state=NOTHING_CLIPPED,
            remedy="Give one bool for each example: False for padding.",
        )
    places = real.nonzero().squeeze(1)
    if len(places) == examples:
        return batch, None
    return taken(batch, places), places
