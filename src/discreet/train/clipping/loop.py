"""One example after the other through plain autograd: right for every model, and what all else is held to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from discreet.train.clipping import norms
from discreet.train.clipping.clips import Clip, Scaled
from discreet.train.clipping.layout import Unwatchable
from discreet.train.clipping.norms import Squares, added, squares
from discreet.train.clipping.refusals import Refusing
from discreet.train.clipping.setting import eager
from discreet.train.clipping.trees import losses_of, taken

Loss = Callable[[Any, Any], Tensor]


class SlowModule(UserWarning):
    """A model takes longer than it might: one example at a time, or looked at in every batch."""


def gradients(model: Any, loss: Loss, batch: Any, rows: slice, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of one example, or the mean of one unit's, for the parameters it has one for."""
    # backward() and not grad(), which checkpoints of the older kind refuse.
    with aside(named), eager(), torch.enable_grad(), Refusing():
        losses_of(model, loss, taken(batch, rows), rows.stop - rows.start).mean().backward()  # type: ignore[no-untyped-call]
        return {name: p.grad.float() for name, p in named.items() if p.grad is not None}


@contextlib.contextmanager
def aside(named: Mapping[str, Tensor]) -> Iterator[None]:
    """Put the parameters' own gradients away, and back afterwards."""
    before = {name: p.grad for name, p in named.items()}
    for p in named.values():
        p.grad = None
    try:
        yield
    finally:
        for name, p in named.items():
            p.grad = before[name]


@contextlib.contextmanager
def noticed(named: Mapping[str, Tensor]) -> Iterator[None]:
    """Notice a gradient that reaches a parameter unwatched.

    Nothing that is watched hands a gradient on to a parameter. One that arrives came through something that no watch
    can see, a custom autograd function or compiled code; leaving it out would freeze the parameter in silence.
    """

    def hook_of(name: str) -> Callable[[Tensor], None]:
        def hook(_: Tensor) -> None:
            raise Unwatchable(name, "an operation that cannot be seen (a custom autograd function, compiled code)")

        return hook

    hooks = [p.register_hook(hook_of(name)) for name, p in named.items()]  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def add_clipped(
    found: Mapping[str, Tensor], clip: Clip, groups: Mapping[str, int], sums: Mapping[str, Tensor]
) -> Tensor:
    """Add one example's clipped gradient; return the squared norm of all of it, as one number in a tensor."""
    found = clip.scaled(found) if isinstance(clip, Scaled) else found
    count = max(groups.values(), default=0) + 1
    each: list[list[Squares]] = [[] for _ in range(count)]
    for name, gradient in found.items():
        each[groups[name]].append(squares(gradient[None]))
    if not all(bool(norms.finite(norm).all()) for parts in each for norm in parts):
        each = [[] for _ in range(count)]
        for name, gradient in found.items():
            each[groups[name]].append(_in_doubles(gradient))
    known = [added(parts) if parts else None for parts in each]
    whole = [norm for norm in known if norm is not None]
    device = next(iter(sums.values())).device
    if not whole:
        return torch.zeros(1, device=device)
    total = added(whole)
    if bool(norms.finite(total).all()):
        for name, gradient in found.items():
            norm = known[groups[name]]
            assert norm is not None
            factor = clip.factors(groups[name], count, norm).reshape(())
            # A tensor without axes does not raise the type of a product, and a factor of 1e-40 is no float32.
            sums[name].add_(gradient.to(factor.dtype) * factor)
    return total.value.float()


def _in_doubles(gradient: Tensor) -> Squares:
    """Return the squared length of a gradient whose squares float32 does not hold; float64 holds those of all floats."""
    value = gradient.double().square().sum()[None]
    return Squares(value, value * (1 + 1e-6))
