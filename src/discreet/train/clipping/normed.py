"""Normalisation layers: layer, RMS, group, instance, and batch normalisation with fixed statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from discreet.train.clipping.layout import Layout
from discreet.train.clipping.records import Ready, SummedTrace
from discreet.train.clipping.refusals import mixing
from discreet.train.clipping.watch import Leaf, Rule, Watch, pulling

Owners = tuple[Leaf | None, Leaf | None]


class ScaleTrace:
    """The scale of a layer normalisation: the sum over positions of g times the normalised input, formed late."""

    kind = "scale"

    def __init__(self, inputs: Tensor, mean: Tensor, rate: Tensor, outgoing: Tensor, shape: torch.Size) -> None:
        self.inputs, self.mean, self.rate, self.outgoing, self.shape = inputs, mean, rate, outgoing, shape

    def evidence(self) -> tuple[Tensor, Any]:
        """Return the gradient of the result and the axes that the scale does not have."""
        return self.outgoing, range(self.outgoing.dim() - len(self.shape))

    def arranged(self, layout: Layout, examples: int) -> Ready:
        """Return the part, with the examples in front."""
        normed = (self.inputs.float() - self.mean).mul_(self.rate).mul_(self.outgoing)
        return SummedTrace(normed, self.shape).arranged(layout, examples)


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        token: Tensor,  # noqa: ARG004 - makes autograd run the backward pass
        inputs: Tensor,
        shape: list[int],
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        watch: Watch,
        owners: Owners,
    ) -> Tensor:
        result, mean, rate = torch.native_layer_norm(inputs, shape, weight, bias, eps)
        ctx.save_for_backward(inputs, weight, bias, mean, rate)
        ctx.shape, ctx.watch, ctx.owners = shape, watch, owners
        return result

    @staticmethod
    @pulling
    def backward(ctx: Any, saved: Sequence[Any], *grads: Tensor) -> Any:
        inputs, weight, bias, mean, rate = saved
        scale, shift = ctx.owners
        outgoing = grads[0]
        if scale is not None:
            ctx.watch.record(scale, ScaleTrace(inputs, mean, rate, outgoing, scale.tensor.shape))
        if shift is not None:
            ctx.watch.record(shift, SummedTrace(outgoing, shift.tensor.shape))
        inner = None
        if ctx.needs_input_grad[1]:
            inner = torch.ops.aten.native_layer_norm_backward(
                outgoing.contiguous(), inputs, ctx.shape, mean, rate, weight, bias, [True, False, False]
            )[0]
        return None, inner, None, None, None, None, None, None


class _GroupNorm(torch.autograd.Function):
    """The batch's channels as the channels of one example: its backward pass gives each example's gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        token: Tensor,  # noqa: ARG004 - makes autograd run the backward pass
        inputs: Tensor,
        groups: int,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        watch: Watch,
        owners: Owners,
    ) -> Tensor:
        inputs = inputs.contiguous()
        rows, channels = inputs.shape[:2]
        size = inputs[0, 0].numel()
        result, mean, rate = torch.native_group_norm(inputs, weight, bias, rows, channels, size, groups, eps)
        ctx.save_for_backward(inputs, weight, mean, rate)
        ctx.groups, ctx.watch, ctx.owners = groups, watch, owners
        return result

    @staticmethod
    @pulling
    def backward(ctx: Any, saved: Sequence[Any], *grads: Tensor) -> Any:
        inputs, weight, mean, rate = saved
        scale, shift = ctx.owners
        rows, channels = inputs.shape[:2]
        size = inputs[0, 0].numel()
        each = None if weight is None else weight.repeat(rows)
        wanted = [ctx.needs_input_grad[1], scale is not None, shift is not None]
        inner, scales, shifts = torch.ops.aten.native_group_norm_backward(
            grads[0].contiguous().view(1, rows * channels, -1),
            inputs.view(1, rows * channels, -1),
            mean.view(1, -1),
            rate.view(1, -1),
            each,
            1,
            rows * channels,
            size,
            rows * ctx.groups,
            wanted,
        )
        for owner, found in ((scale, scales), (shift, shifts)):
            if owner is not None:
                ctx.watch.record(owner, SummedTrace(found.view(rows, channels), owner.tensor.shape))
        return None, inner.view_as(inputs) if wanted[0] else None, None, None, None, None, None, None


def _split(watch: Watch, *values: Tensor | None) -> tuple[list[Tensor | None], Owners]:
    scale, shift = values
    return [None if v is None else v.detach() for v in values], (watch.leaf(scale), watch.leaf(shift))


def _float(*values: Tensor | None) -> bool:
    return all(value is None or value.dtype == torch.float32 for value in values)


def _layer_norm(watch: Watch, _: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    names = ("input", "normalized_shape", "weight", "bias", "eps")
    given = {"weight": None, "bias": None, "eps": 1e-5} | dict(zip(names, args, strict=False)) | kwargs
    inputs, weight, bias, shape = given["input"], given["weight"], given["bias"], list(given["normalized_shape"])
    if watch.leaf(inputs) is None and _float(inputs, weight, bias) and _watched(watch, weight, bias):
        held, owners = _split(watch, weight, bias)
        return cast(
            Tensor,
            _LayerNorm.apply(watch.token, inputs, shape, *held, given["eps"], watch, owners),  # type: ignore[no-untyped-call]
        )
    result = torch.layer_norm(_exact(inputs), shape, None, None, given["eps"])
    return _affine(watch, result, weight, bias).to(_type(inputs))


def _exact(inputs: Tensor) -> Tensor:
    """Return the tensor in at least float32, in which torch normalises."""
    return inputs if inputs.dtype == torch.float64 else inputs.float()


def _type(inputs: Tensor) -> torch.dtype:
    """Return the type that a normalisation of this has: autocast keeps float32 on accelerators, else it stays."""
    kind = inputs.device.type
    return torch.float32 if kind != "cpu" and torch.is_autocast_enabled(kind) else inputs.dtype


def _watched(watch: Watch, *values: Tensor | None) -> bool:
    return all(value is None or not value.requires_grad or watch.leaf(value) is not None for value in values)


def _affine(watch: Watch, result: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    with watch:
        if weight is not None:
            result = result * weight
        return result if bias is None else result + bias


def _rms_norm(watch: Watch, _: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    names = ("input", "normalized_shape", "weight", "eps")
    given = {"weight": None, "eps": None} | dict(zip(names, args, strict=False)) | kwargs
    inputs, eps = given["input"], given["eps"]
    eps = torch.finfo(inputs.dtype).eps if eps is None else eps
    result = torch.rms_norm(_exact(inputs), list(given["normalized_shape"]), None, eps)
    return _affine(watch, result, given["weight"], None).to(_type(inputs))


def _group_norm(watch: Watch, _: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    names = ("input", "num_groups", "weight", "bias", "eps")
    given = {"weight": None, "bias": None, "eps": 1e-5} | dict(zip(names, args, strict=False)) | kwargs
    inputs, weight, bias, groups = given["input"], given["weight"], given["bias"], given["num_groups"]
    if watch.leaf(inputs) is None and _float(inputs, weight, bias) and _watched(watch, weight, bias):
        held, owners = _split(watch, weight, bias)
        return cast(
            Tensor,
            _GroupNorm.apply(watch.token, inputs, groups, *held, given["eps"], watch, owners),  # type: ignore[no-untyped-call]
        )
    result = torch.group_norm(_exact(inputs), groups, None, None, given["eps"])
    return _by_channel(watch, result, weight, bias).to(_type(inputs))


def _by_channel(watch: Watch, result: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shape = (-1, *[1] * (result.dim() - 2))
    with watch:
        return _affine(
            watch, result, None if weight is None else weight.view(shape), None if bias is None else bias.view(shape)
        )


def _fixed_norm(watch: Watch, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Normalise without the parameters, then scale and shift by channel."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training")
    if func.__name__ == "instance_norm":
        names = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats")
    elif getattr(func, "__module__", "") == "torch":
        names = ("input", "weight", "bias", "running_mean", "running_var", "training")
    if func.__name__ == "instance_norm" and getattr(func, "__module__", "") == "torch":
        names = ("input", "weight", "bias", "running_mean", "running_var", "use_input_stats")
    given = dict(zip(names, args, strict=False)) | kwargs
    live = given.get(names[-1], func.__name__ == "instance_norm")
    mean, spread = given.get("running_mean"), given.get("running_var")
    if live and (func.__name__ == "batch_norm" or mean is not None):
        raise mixing(func.__name__)
    inputs = given["input"]
    eps = given.get("eps", args[7] if len(args) > 7 else 1e-5)
    if func.__name__ == "batch_norm" or not live:
        result = torch.batch_norm(_exact(inputs), None, None, mean, spread, False, 0.0, eps, False)
    else:
        result = torch.instance_norm(_exact(inputs), None, None, None, None, True, 0.0, eps, False)
    return _by_channel(watch, result, given.get("weight"), given.get("bias")).to(_type(inputs))


RULES: dict[str, Rule] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _fixed_norm,
    "batch_norm": _fixed_norm,
}
