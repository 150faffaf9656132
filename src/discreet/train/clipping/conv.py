"""Convolutions of one, two and three dimensions, transposed ones too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from discreet.train.clipping.folding import Fold
from discreet.train.clipping.kernels import Geometry, kernel_for
from discreet.train.clipping.layout import Layout
from discreet.train.clipping.linear import lowered
from discreet.train.clipping.records import SummedTrace, add_weighted
from discreet.train.clipping.watch import Leaf, Rule, Watch, pulling

Owners = tuple[Leaf | None, Leaf | None]
AT_ONCE = 1 << 22  # numbers that the gradients of one example's rows may have before they are added up


class ConvTrace:
    """One use of a convolution's weight: its input and the gradient of its output, rows along the first axis."""

    kind = "convolution"

    def __init__(self, inputs: Tensor, outgoing: Tensor, geometry: Geometry) -> None:
        self.inputs, self.outgoing, self.geometry = inputs, outgoing, geometry

    def evidence(self) -> tuple[Tensor, Sequence[int]]:
        """Return the gradient of the output and its row axis."""
        return self.outgoing, (0,)

    def arranged(self, layout: Layout, examples: int) -> Convolved:
        """Return the part, with the examples in front."""
        both = [layout.unfold(tensor, examples).float() for tensor in (self.inputs, self.outgoing)]
        return Convolved(both[0].flatten(1, 2), both[1].flatten(1, 2), self.geometry)


class Convolved:
    """A convolution, examples in front: inputs (B, K, d, …), outgoing (B, K, p, …), K rows to an example."""

    def __init__(self, inputs: Tensor, outgoing: Tensor, geometry: Geometry) -> None:
        self.inputs, self.outgoing, self.geometry = inputs, outgoing, geometry

    def rows(self, low: int, high: int) -> Tensor:
        """Return the gradients of examples low to high."""
        rows, channels_last = self.as_formed(low, high)
        return rows.movedim(-1, 2) if channels_last else rows

    def as_formed(self, low: int, high: int) -> tuple[Tensor, bool]:
        """Return the gradients of examples low to high as the kernel left them, and whether channels come last."""
        # The gradient of a transposed convolution is that of the other direction with both sides exchanged.
        sides = (self.outgoing, self.inputs) if self.geometry.transposed else (self.inputs, self.outgoing)
        inputs, outgoing = (side[low:high].flatten(0, 1) for side in sides)
        kernel = kernel_for(tuple(outgoing.shape[1:]), self.geometry)
        most = max(1, AT_ONCE // math.prod(self.geometry.weight))
        if high - low == 1 and len(inputs) > most:
            total = kernel.run(inputs[:most], outgoing[:most], self.geometry).sum(0, keepdim=True)
            for start in range(most, len(inputs), most):
                cut = slice(start, start + most)
                total += kernel.run(inputs[cut], outgoing[cut], self.geometry).sum(0, keepdim=True)
            return total, kernel.channels_last
        each = kernel.run(inputs, outgoing, self.geometry)
        if self.inputs.shape[1] > 1:
            each = each.reshape(high - low, -1, *each.shape[1:]).sum(1)
        return each, kernel.channels_last

    def add_rows(self, rows: Tensor, low: int, high: int) -> None:
        """Add the same to rows that are there already."""
        rows.add_(self.rows(low, high))

    def total(self, factors: Tensor, into: Tensor) -> None:
        """Add the sum of all examples' gradients, each times its factor."""
        add_weighted(self.rows(0, len(factors)), factors, into)

    def drop(self, dead: Tensor) -> None:
        """Set to zero what belongs to these examples."""
        for name in ("inputs", "outgoing"):
            tensor = getattr(self, name)
            setattr(self, name, tensor.masked_fill(dead.view(-1, *[1] * (tensor.dim() - 1)), 0))

    def folded(self, fold: Fold) -> Convolved:
        """Return the same with units in front: their examples' rows side by side."""
        return Convolved(fold(self.inputs).flatten(1, 2), fold(self.outgoing).flatten(1, 2), self.geometry)


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        token: Tensor,  # noqa: ARG004 - makes autograd run the backward pass
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        watch: Watch,
        owners: Owners,
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.geometry, ctx.watch, ctx.owners = geometry, watch, owners
        return torch.convolution(
            inputs,
            weight,
            bias,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            geometry.transposed,
            geometry.extra,
            geometry.groups,
        )

    @staticmethod
    @pulling
    def backward(ctx: Any, saved: Sequence[Any], *grads: Tensor) -> Any:
        inputs, weight = saved
        geometry, (owner, shift) = ctx.geometry, ctx.owners
        outgoing = grads[0]
        if owner is not None:
            ctx.watch.record(owner, ConvTrace(inputs, outgoing, geometry))
        if shift is not None:
            ctx.watch.record(shift, SummedTrace(outgoing.flatten(2).sum(2), shift.tensor.shape))
        inner = None
        if ctx.needs_input_grad[1]:
            inner = torch.ops.aten.convolution_backward(
                outgoing,
                inputs,
                weight,
                None,
                geometry.stride,
                geometry.padding,
                geometry.dilation,
                geometry.transposed,
                geometry.extra,
                geometry.groups,
                [True, False, False],
            )[0]
        return None, inner, None, None, None, None, None


def _many(value: Any, dimensions: int) -> tuple[int, ...]:
    return (int(value),) * dimensions if isinstance(value, int) else tuple(value) * (dimensions // len(value))


def _conv(watch: Watch, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    names: tuple[str, ...] = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    transposed = "transpose" in func.__name__
    if transposed:
        names = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
    usual = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
    given: dict[str, Any] = usual | dict(zip(names, args, strict=False)) | kwargs
    inputs, weight, bias = given["input"], given["weight"], given["bias"]
    dimensions = weight.dim() - 2
    owner, shift = watch.leaf(weight), watch.leaf(bias)
    odd = inputs.dim() != weight.dim() or watch.leaf(inputs) is not None or (owner is None and weight.requires_grad)
    if odd or (bias is not None and bias.requires_grad and shift is None):
        watch.refuse(weight if owner else bias, f"{func.__name__} without a batch, or with a weight of the batch")
    stride, dilation = _many(given["stride"], dimensions), _many(given["dilation"], dimensions)
    padding = given["padding"]
    if padding == "valid":
        padding = 0
    if padding == "same":
        full = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(width % 2 for width in full):
            inputs = functional.pad(inputs, [e for width in reversed(full) for e in (width // 2, width - width // 2)])
            full = [0] * dimensions
        padding = [width // 2 for width in full]
    geometry = Geometry(
        tuple(weight.shape),
        stride,
        _many(padding, dimensions),
        dilation,
        given["groups"],
        transposed,
        _many(given["output_padding"], dimensions),
    )
    held = None if bias is None else lowered(bias.detach())
    return cast(
        Tensor,
        _Conv.apply(watch.token, lowered(inputs), lowered(weight.detach()), held, geometry, watch, (owner, shift)),  # type: ignore[no-untyped-call]
    )


RULES: dict[str, Rule] = dict.fromkeys(
    (f"conv{way}{dimensions}d" for way in ("", "_transpose") for dimensions in (1, 2, 3)), _conv
)
