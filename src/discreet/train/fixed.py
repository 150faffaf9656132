"""Fixed: what training must leave as it is, buffers and frozen parameters."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


class Fixed:
    """The buffers and frozen parameters of a model, as they were before any row was read.

    A forward pass may write what it sees into a buffer. Put back after every micro-batch, it reaches neither another
    example, nor a checkpoint, nor the release. Frozen parameters are too large to be kept twice: that they are what
    they were is looked at in the end.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._held = [(module, _copies(module)) for module in model.modules()]
        self._frozen = self._digest()

    @torch.no_grad()
    def restore(self) -> None:
        """Put every buffer back, those that were replaced, added or removed, too."""
        for module, buffers in self._held:
            own = module._buffers  # noqa: SLF001 - the same
            if own.keys() != buffers.keys():
                for name in [*own]:
                    del own[name]
            for name, (tensor, value) in buffers.items():
                own[name] = tensor
                if tensor is not None and value is not None:
                    tensor.copy_(value)

    def frozen(self) -> bool:
        """Say whether the frozen parameters are, bit by bit, what they were."""
        return self._digest() == self._frozen

    def _digest(self) -> str:
        found = hashlib.sha256()
        for name, parameter in self._model.named_parameters():
            if not parameter.requires_grad:
                found.update(name.encode())
                found.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return found.hexdigest()


def _copies(module: nn.Module) -> dict[str, tuple[torch.Tensor | None, torch.Tensor | None]]:
    """Return a module's own buffers, each with a copy."""
    own = module._buffers  # noqa: SLF001 - there is no public way to put one back
    return {name: (tensor, None if tensor is None else tensor.detach().clone()) for name, tensor in own.items()}
