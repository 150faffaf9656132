"""The trained model as it leaves: its tensors as safetensors, and a table that says what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import nn

from discreet.errors import InvalidInput, missing_extra
from discreet.release import Release

if TYPE_CHECKING:
    import pyarrow

TENSORS = "model.safetensors"


def described(model: nn.Module) -> pyarrow.Table:
    """Return a table of a model's tensors: name, shape, type, and whether it was trained."""
    try:
        import pyarrow
    except ImportError:
        raise missing_extra("sql", "pyarrow") from None
    trained = _trained(model)
    rows = [
        {
            "tensor": name,
            "shape": " × ".join(map(str, tensor.shape)) or "1",
            "type": str(tensor.dtype).removeprefix("torch."),
            "trained": name in trained,
        }
        for name, tensor in model.state_dict().items()
    ]
    return pyarrow.Table.from_pylist(rows)


def tensors(model: nn.Module) -> bytes:
    """Return a model's tensors as bytes."""
    held = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    return tensor_bytes(held)


def held(release: Release) -> dict[str, torch.Tensor] | None:
    """Return the tensors of a released model; None if the release holds no model.

    Raises:
        InvalidInput: what it holds under the model's name cannot be read as tensors.
    """
    found = release.files.get(TENSORS)
    if found is None:
        return None
    try:
        return dict(read_tensors(found))
    except Exception:  # noqa: BLE001 - safetensors has errors of several kinds for bytes that are none
        raise InvalidInput(
            f"{TENSORS} of the release {release.name!r} ({len(found)} bytes) cannot be read as tensors.",
            state="Nothing was loaded.",
            remedy="Restore the release from a backup, or ask its owner for it again.",
        ) from None


def load(release: Release, model: nn.Module) -> nn.Module:
    """Put the tensors of a released model into `model`, which is of the same shape, and return it.

    Raises:
        InvalidInput: the release holds no model that can be read, or one of another shape.
    """
    found = held(release)
    if found is None:
        raise InvalidInput(
            f"the release {release.name!r} holds no model.", remedy="Give the release of a training run."
        )
    try:
        model.load_state_dict(found)
    except RuntimeError:
        own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        other = {name: tuple(tensor.shape) for name, tensor in found.items()}
        differ = [name for name in {**own, **other} if own.get(name) != other.get(name)]
        raise InvalidInput(
            f"the released model is not of this shape: it differs in {', '.join(map(repr, differ[:3]))}"
            f"{' and others' if len(differ) > 3 else ''}.",
            state="The model may hold some of the released tensors.",
            remedy="Build the model as it was built for training.",
        ) from None
    return model


def _trained(model: nn.Module) -> set[str]:
    """Return the names of all trained tensors: a tied one has several."""
    every = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in every if parameter.requires_grad}
