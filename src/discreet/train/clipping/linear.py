"""Matrix products with a parameter: linear, matmul, addmm, einsum, bilinear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from discreet.train.clipping.records import ProductTrace, SummedTrace
from discreet.train.clipping.watch import Leaf, Rule, Watch, pulling


class _Linear(torch.autograd.Function):
    """x Wᵀ + b; the backward pass gives the gradient of x and records (x, g) for W, g for b."""

    @staticmethod
    def forward(
        ctx: Any,
        token: Tensor,  # noqa: ARG004 - makes autograd run the backward pass
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        watch: Watch,
        owners: tuple[Leaf | None, Leaf | None, bool],
    ) -> Tensor:
        """Multiply."""
        ctx.save_for_backward(inputs if owners[0] is not None else None, weight)
        ctx.watch, ctx.owners = watch, owners
        return functional.linear(inputs, weight.t() if owners[2] else weight, bias)

    @staticmethod
    @pulling
    def backward(ctx: Any, saved: Sequence[Any], *grads: Tensor) -> Any:
        """Record."""
        outgoing = grads[0]
        inputs, weight = saved
        owner, shift, turned = ctx.owners
        if owner is not None:
            ctx.watch.record(owner, ProductTrace(inputs, outgoing, turned=turned))
        if shift is not None:
            ctx.watch.record(shift, SummedTrace(outgoing, shift.tensor.shape))
        inner = None
        if ctx.needs_input_grad[1]:
            inner = outgoing.matmul(weight.t() if turned else weight)
        return None, inner, None, None, None, None


def lowered(tensor: Tensor) -> Tensor:
    """Return the tensor as autocast would hand it to a matrix product."""
    kind = tensor.device.type
    if torch.is_autocast_enabled(kind) and tensor.is_floating_point() and tensor.dtype != torch.float64:
        return tensor.to(torch.get_autocast_dtype(kind))
    return tensor


def product(
    watch: Watch, inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *, turned: bool = False
) -> Tensor:
    """Return inputs times the weight, (p, d), or (d, p) where it is turned, plus the bias."""
    owner, shift = watch.leaf(weight), watch.leaf(bias)
    if weight.dim() != 2 or inputs.dim() < 2 or watch.leaf(inputs) is not None:
        watch.refuse(weight if owner else cast(Tensor, bias), "a product of unusual shape")
    if owner is None:
        result = functional.linear(inputs, weight.t() if turned else weight)
        if bias is None:
            return result
        with watch:
            return result + bias
    held = None if bias is None else lowered(bias.detach())
    if bias is not None and shift is None and bias.requires_grad:
        held, shift = None, None
        with watch:
            return product(watch, inputs, weight, turned=turned) + bias
    owners = (owner, shift, turned)
    return cast(
        Tensor,
        _Linear.apply(watch.token, lowered(inputs), lowered(weight.detach()), held, watch, owners),  # type: ignore[no-untyped-call]
    )


def _linear(watch: Watch, _: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return product(watch, *_bound(("input", "weight", "bias"), args, kwargs))


def _bound(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    given = dict(zip(names, args, strict=False)) | kwargs
    return [given[name] for name in names if name in given]


def _matmul(watch: Watch, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    left, right = (*args, *kwargs.values())
    if func.__name__ == "__rmatmul__":
        left, right = right, left
    return _matrix_product(watch, left, right)


def _matrix_product(watch: Watch, left: Tensor, right: Tensor) -> Tensor:
    one = watch.leaf(left) or watch.leaf(right)
    if one is not None and one.tensor.dim() == 1:
        vector, other = (right, left) if watch.leaf(right) else (left, right)
        if watch.leaf(left) is None:
            with watch:
                return product(watch, other, vector.unsqueeze(0)).squeeze(-1)
        watch.refuse(vector, "matmul from the left by a vector")
    if watch.leaf(right) is not None:
        return product(watch, left, right, turned=True)
    return product(watch, right.transpose(-1, -2), left).transpose(-1, -2)


def _addmm(watch: Watch, _: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    bias, left, right = _bound(("input", "mat1", "mat2"), args, kwargs)
    if kwargs.get("beta", 1) != 1 or kwargs.get("alpha", 1) != 1:
        watch.refuse(next(t for t in (bias, left, right) if watch.leaf(t)), "addmm with alpha or beta")
    if watch.leaf(right) is not None and bias.dim() == 1:
        return product(watch, left, right, bias, turned=True)
    with watch:
        return torch.matmul(left, right) + bias


def _einsum(watch: Watch, _: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - as every rule
    """Turn a contraction of the batch with one parameter into a matrix product."""
    equation, *operands = args
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = list(operands[0])
    owned = [place for place, operand in enumerate(operands) if watch.leaf(operand) is not None]
    sides, _, result = equation.replace(" ", "").partition("->")
    terms = sides.split(",")
    usual = len(terms) == 2 and len(owned) == 1 and bool(result) and "." not in equation
    if not usual or any(len(set(term)) != len(term) for term in (*terms, result)):
        watch.refuse(operands[owned[0]], f"einsum {equation}")
    batch, weight = operands[1 - owned[0]], operands[owned[0]]
    mine, theirs = terms[1 - owned[0]], terms[owned[0]]
    summed = [c for c in mine if c in theirs]
    kept, new = [c for c in mine if c not in theirs], [c for c in theirs if c not in mine]
    if set(summed) & set(result) or sorted(kept + new) != sorted(result) or not kept:
        watch.refuse(weight, f"einsum {equation}")
    with watch:
        rows = batch.permute([mine.index(c) for c in kept + summed]).flatten(len(kept))
        table = weight.permute([theirs.index(c) for c in summed + new])
        table = table.reshape(rows.shape[-1], -1)
        sizes = [weight.shape[theirs.index(c)] for c in new]
        out = torch.matmul(rows, table)
        out = out.reshape(*out.shape[:-1], *sizes)
        return out.permute([(kept + new).index(c) for c in result])


def _bilinear(watch: Watch, _: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """y_k = x₁ᵀ W_k x₂ + b_k as one product with x₁ ⊗ x₂."""
    one, two, weight, *rest = _bound(("input1", "input2", "weight", "bias"), args, kwargs)
    both = (one.unsqueeze(-1) * two.unsqueeze(-2)).flatten(-2)
    with watch:
        return functional.linear(both, weight.flatten(1), *rest)


RULES: dict[str, Rule] = {
    "linear": _linear,
    "matmul": _matmul,
    "__matmul__": _matmul,
    "__rmatmul__": _matmul,
    "mm": _matmul,
    "addmm": _addmm,
    "einsum": _einsum,
    "bilinear": _bilinear,
}

__all__ = ["RULES", "lowered", "product"]
