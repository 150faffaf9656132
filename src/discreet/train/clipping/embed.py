"""Look-ups in a table of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from discreet.train.clipping.records import LookupTrace
from discreet.train.clipping.refusals import LOOKUPS
from discreet.train.clipping.watch import Leaf, Rule, Watch, opened


class _Lookup(torch.autograd.Function):
    """Rows of a table; the backward pass records which, and their gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        token: Tensor,  # noqa: ARG004 - makes autograd run the backward pass
        table: Tensor,
        places: Tensor,
        padding: int,
        watch: Watch,
        leaf: Leaf,
    ) -> Tensor:
        """Look up."""
        ctx.save_for_backward(places)
        ctx.watch, ctx.leaf, ctx.padding = watch, leaf, padding
        return torch.embedding(table, places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Record."""
        (places,) = ctx.saved_tensors
        shape = ctx.leaf.tensor.shape
        ctx.watch.record(ctx.leaf, LookupTrace(places, grads[0], (shape[0], shape[1]), ctx.padding))
        return None, None, None, None, None, None


def _embedding(watch: Watch, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if func is functional.embedding:
        rule = opened(func)
        assert rule is not None
        return rule(watch, func, args, kwargs)
    names = ("weight", "indices", "padding_idx", "scale_grad_by_freq")
    given = {"padding_idx": -1, "scale_grad_by_freq": False} | dict(zip(names, args, strict=False)) | kwargs
    table = given["weight"]
    leaf = watch.leaf(table)
    if leaf is None or given["scale_grad_by_freq"]:
        watch.refuse(table, "embedding with scale_grad_by_freq")
    return cast(
        Tensor,
        _Lookup.apply(watch.token, table.detach(), given["indices"], given["padding_idx"], watch, leaf),  # type: ignore[no-untyped-call]
    )


def _bag(watch: Watch, _: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Bags of equal size, (examples, size): look up, then reduce."""
    names = (*LOOKUPS["embedding_bag"], "per_sample_weights", "include_last_offset", "padding_idx")
    given = (
        {"mode": "mean", "padding_idx": None, "per_sample_weights": None}
        | dict(zip(names, args, strict=False))
        | kwargs
    )
    places, table, padding = given["input"], given["weight"], given["padding_idx"]
    if places.dim() != 2 or (given["mode"] == "max" and padding is not None):
        watch.refuse(table, "embedding_bag with offsets, or a padded maximum")
    with watch:
        found = functional.embedding(places, table, padding)
        if given["per_sample_weights"] is not None:
            found = found * given["per_sample_weights"].unsqueeze(-1)
        if given["mode"] == "max":
            return found.amax(1) if found.shape[1] == 1 else found.max(1).values
        if padding is None:
            return found.mean(1) if given["mode"] == "mean" else found.sum(1)
        there = (places != (padding % table.shape[0])).unsqueeze(-1).to(found.dtype)
        total = (found * there).sum(1)
        return total / there.sum(1).clamp(min=1) if given["mode"] == "mean" else total


RULES: dict[str, Rule] = {"embedding": _embedding, "embedding_bag": _bag}
