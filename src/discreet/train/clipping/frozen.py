"""Telling whether a model changes itself when it is called.

What it changes depends on rows and on how many calls there were, and has no noise. Spectral norm does it in every call
in training, and so does a layer that keeps what it saw last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from discreet.errors import InvalidInput
from discreet.train.clipping.trees import NOTHING_CLIPPED


class _Kept(NamedTuple):
    """A parameter or buffer, a copy of its numbers, and whether it was trained."""

    tensor: Tensor
    numbers: Tensor
    trained: bool


class _Before(NamedTuple):
    """What a module was.

    Args:
        module: The module.
        training: Its mode.
        modules: Its children.
        parameters: Its own parameters.
        buffers: Its own buffers.
    """

    module: nn.Module
    training: bool
    modules: dict[str, nn.Module | None]
    parameters: dict[str, _Kept | None]
    buffers: dict[str, _Kept | None]


@contextlib.contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Put a model back as it was.

    Raises:
        InvalidInput: a parameter or a buffer was changed, replaced, added or removed meanwhile.
    """
    before = [_before(module) for module in model.modules()]
    names = {id(module): name for name, module in model.named_modules()}
    try:
        yield
    except InvalidInput as error:  # losses that differ from call to call are what this leads to
        changed = _put_back(before, names)
        if changed:
            raise _changes(changed) from error
        raise
    except BaseException:
        _put_back(before, names)
        raise
    changed = _put_back(before, names)
    if changed:
        raise _changes(changed)


def _changes(changed: list[str]) -> InvalidInput:
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return InvalidInput(
        f"the model changes {changed[0]!r}{more} when it is called in this mode: what it keeps depends on rows and on "
        "how often it was called, and has no noise.",
        state=f"{NOTHING_CLIPPED} The model is as it was before the check.",
        remedy="Leave that layer out or freeze it with eval(): weight_norm instead of spectral_norm, GroupNorm "
        "instead of running statistics; a buffer that keeps what was seen last can be a local name.",
    )


def _before(module: nn.Module) -> _Before:
    children, parameters, buffers = _own(module)
    return _Before(module, module.training, dict(children), _kept(parameters), _kept(buffers))


def _own(module: nn.Module) -> tuple[dict[str, nn.Module | None], dict[str, Any], dict[str, Any]]:
    """Return what a module holds itself; there is no public way to put any of it back."""
    return module._modules, module._parameters, module._buffers  # noqa: SLF001 - see above


def _kept(own: dict[str, Any]) -> dict[str, _Kept | None]:
    return {name: None if t is None else _Kept(t, t.detach().clone(), t.requires_grad) for name, t in own.items()}


def _put_back(before: list[_Before], names: dict[int, str]) -> list[str]:
    """Put every module back; return the names of what was not as before."""
    changed = []
    for module, training, modules, parameters, buffers in before:
        module.training = training
        prefix = names[id(module)] + "." if names[id(module)] else ""
        children, *tensors = _own(module)
        changed += [prefix + name for name in {**children, **modules} if children.get(name) is not modules.get(name)]
        children.clear()
        children.update(modules)
        for now, then in zip(tensors, (parameters, buffers), strict=True):
            changed += [
                prefix + name
                for name in {**now, **then}
                if (name in now) != (name in then) or not _same(now.get(name), then.get(name))
            ]
            now.clear()
            now.update({name: None if kept is None else _restored(kept) for name, kept in then.items()})
    return changed


def _same(now: Tensor | None, then: _Kept | None) -> bool:
    if now is None or then is None:
        return now is None and then is None
    return now is then.tensor and now.requires_grad == then.trained and _bits(now, then.numbers)


def _bits(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    pair = (t.detach().contiguous().flatten().view(torch.uint8) for t in (one, other))
    return torch.equal(*pair)


def _restored(kept: _Kept) -> Tensor:
    if not _bits(kept.tensor, kept.numbers):
        kept.tensor.data = kept.numbers
    if kept.tensor.requires_grad != kept.trained:
        kept.tensor.requires_grad_(kept.trained)
    return kept.tensor
