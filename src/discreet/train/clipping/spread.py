"""Element by element: biases, scales, gates. The parameter is spread over the batch before the call.

Autograd then gives the gradient of the spread copy, which it would have summed over the batch; it is recorded instead.
The copy is a view, so the call costs what it cost before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from discreet.train.clipping.records import SummedTrace
from discreet.train.clipping.watch import Leaf, Rule, Watch


class _Spread(torch.autograd.Function):
    """A view of a parameter in a larger shape; the backward pass records its gradient."""

    @staticmethod
    def forward(ctx: Any, token: Tensor, value: Tensor, shape: torch.Size, watch: Watch, leaf: Leaf) -> Tensor:  # noqa: ARG004 - token makes autograd run the backward pass
        """Expand."""
        ctx.watch, ctx.leaf = watch, leaf
        return value.expand(shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Record."""
        ctx.watch.record(ctx.leaf, SummedTrace(grads[0], ctx.leaf.tensor.shape))
        return None, None, None, None, None


def spread(watch: Watch, value: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Return a parameter in a larger shape, as a tensor of the batch."""
    leaf = watch.leaf(value)
    assert leaf is not None
    with torch._C.DisableTorchFunction():  # noqa: SLF001 - no public name
        return cast(Tensor, _Spread.apply(watch.token, value.detach(), torch.Size(shape), watch, leaf))  # type: ignore[no-untyped-call]


def _elementwise(watch: Watch, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))  # type: ignore[no-untyped-call]
    if func.__name__.endswith("_") and watch.leaf(args[0]) is not None:
        watch.refuse(args[0], func.__name__)

    def given(value: Any) -> Any:
        return spread(watch, value, shape) if watch.leaf(value) is not None else value

    return func(*map(given, args), **{key: given(value) for key, value in kwargs.items()})


def _prelu(watch: Watch, _: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    inputs, weight = (*args, *kwargs.values())
    with watch:
        if weight.numel() > 1:
            weight = weight.view(-1, *[1] * (inputs.dim() - 2))
        return torch.where(inputs >= 0, inputs, inputs * weight)


def _join(watch: Watch, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Concatenate or stack: a parameter takes part with its own shape, so it must hold the batch already."""
    tensors = args[0]

    def given(value: Tensor) -> Tensor:
        return spread(watch, value, value.shape) if watch.leaf(value) is not None else value

    return func([given(tensor) for tensor in tensors], *args[1:], **kwargs)


def _attention(watch: Watch, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Attention with a learned bias between positions, which is added to every example's scores."""
    given = dict(zip(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"), args, strict=False)) | kwargs
    learned = next((given[side] for side in ("query", "key", "value") if watch.leaf(given[side]) is not None), None)
    if learned is not None:
        watch.refuse(learned, func.__name__)
    query, key = given["query"], given["key"]
    shape = (*query.shape[:-1], key.shape[-2])
    return func(**{**given, "attn_mask": spread(watch, given["attn_mask"], shape)})


def _expanded(watch: Watch, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A parameter that is spread over as many rows as the batch has joins the batch; else it stays what it is."""
    with torch.no_grad():
        shape = func(args[0].detach(), *args[1:], **kwargs).shape
    own = (1,) * (len(shape) - args[0].dim()) + tuple(args[0].shape)
    grown = [new for new, old in zip(shape, own, strict=True) if new != old]
    alone = all(old == 1 for new, old in zip(shape, own, strict=True) if new != old)
    return spread(watch, args[0], shape) if alone and watch.examples in grown else None


NAMES = [
    "add",
    "sub",
    "rsub",
    "mul",
    "multiply",
    "div",
    "divide",
    "true_divide",
    "pow",
    "maximum",
    "minimum",
    "where",
    "lerp",
    "addcmul",
    "addcdiv",
    "fmax",
    "fmin",
    "atan2",
    "hypot",
    "subtract",
    "masked_fill",
    "xlogy",
    "copysign",
]
_OPERATORS = ["add", "sub", "mul", "truediv", "pow"]
RULES: dict[str, Rule] = (
    dict.fromkeys(NAMES, _elementwise)
    | dict.fromkeys((name + "_" for name in NAMES), _elementwise)
    | dict.fromkeys((f"__{way}{name}__" for name in _OPERATORS for way in ("", "r", "i")), _elementwise)
    | {"prelu": _prelu, "cat": _join, "concat": _join, "stack": _join}
    | {"scaled_dot_product_attention": _attention}
    | dict.fromkeys((f"constant {name}" for name in ("expand", "repeat", "broadcast_to")), _expanded)
)

__all__ = ["NAMES", "RULES", "spread"]
