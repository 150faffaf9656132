"""What cannot be clipped example by example, whichever way gradients are had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from discreet.errors import InvalidInput
from discreet.train.clipping.setting import refuse_autocast
from discreet.train.clipping.trees import NOTHING_CLIPPED

# The arguments of torch.nn.functional's look-ups, in their order.
LOOKUPS: dict[str, tuple[str, ...]] = {
    "embedding": ("input", "weight", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse"),
    "embedding_bag": (
        "input",
        "weight",
        "offsets",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "mode",
        "sparse",
    ),
}

_STATISTICS = frozenset(
    [
        "batch_norm",
        "native_batch_norm",
        "_native_batch_norm_legit",
        "cudnn_batch_norm",
        "miopen_batch_norm",
        "instance_norm",
    ]
)


def mixing(what: str) -> InvalidInput:
    """Return the error for a layer that takes statistics over the batch."""
    return InvalidInput(
        f"{what} takes its statistics from the batch: each example changes every other one's gradient, and what it "
        "keeps of them has no noise.",
        state="Nothing was clipped and no statistic was kept.",
        remedy="Replace it by GroupNorm or LayerNorm, or freeze its statistics with eval().",
    )


def _renormalises(what: str) -> InvalidInput:
    return InvalidInput(
        f"{what} has max_norm: it changes its weights by which rows the batch looks up, outside of the noise.",
        state="Nothing was clipped and the weights are as they were.",
        remedy="Leave max_norm out, and shorten the whole table yourself between steps if you need it short.",
    )


def _iterates(name: str) -> InvalidInput:
    return InvalidInput(
        f"the spectral norm at {name!r} changes its vectors in every call: all gradients would depend on how many calls "
        "there were, and that on how many rows were drawn.",
        state=NOTHING_CLIPPED,
        remedy="Take weight_norm, or none; or freeze its vectors with eval().",
    )


def _compiled(name: str) -> InvalidInput:
    what = f"the module {name!r}" if name else "the model"
    return InvalidInput(
        f"{what} is compiled. Every call in it has to be watched, so it would run call by call, and be released under "
        "the names of the wrapper.",
        state=NOTHING_CLIPPED,
        remedy="Give the module itself, and compile it when it is trained.",
    )


def _sparse(what: str) -> InvalidInput:
    return InvalidInput(
        f"{what} has sparse=True: which rows its gradient holds would show who was in the batch.",
        state=NOTHING_CLIPPED,
        remedy="Leave sparse out: with noise on every row no gradient is sparse.",
    )


def refuse_unfit(model: nn.Module) -> None:
    """Refuse layers and parameters for which one example's share cannot be bounded.

    Raises:
        InvalidInput: a layer takes statistics over the batch, or changes its weights by what is looked up or by how
            often it is called; a parameter is not real and dense, not there yet, or has a hook; a module is compiled;
            autocast is switched on around everything.
    """
    refuse_autocast()
    for name, module in model.named_modules():
        if hasattr(module, "_orig_mod"):
            raise _compiled(name)
        batchnorm = isinstance(module, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 - no public name
        instance = isinstance(module, nn.modules.instancenorm._InstanceNorm)  # noqa: SLF001 - the same
        if (batchnorm or (instance and module.track_running_stats)) and module.training:
            raise mixing(f"{type(module).__name__} {name!r}")
        hooks = [type(hook).__name__ for hook in module._forward_pre_hooks.values()]  # noqa: SLF001 - the same
        if module.training and "SpectralNorm" in (type(module).__name__.lstrip("_"), *hooks):
            raise _iterates(name)
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            if module.max_norm is not None:
                raise _renormalises(f"{type(module).__name__} {name!r}")
            if module.sparse:
                raise _sparse(f"{type(module).__name__} {name!r}")
    for name, p in model.named_parameters():
        _refuse_parameter(name, p)


def _refuse_parameter(name: str, p: nn.Parameter) -> None:
    if isinstance(p, nn.parameter.UninitializedParameter):
        raise InvalidInput(
            f"parameter {name!r} has no shape yet.",
            state=NOTHING_CLIPPED,
            remedy="Run the model once on rows that are public or made up.",
        )
    if not p.requires_grad:
        return
    if not p.is_floating_point() or p.layout is not torch.strided:
        raise InvalidInput(
            f"parameter {name!r} holds {p.dtype} in layout {p.layout}; only real, dense numbers can be clipped.",
            state=NOTHING_CLIPPED,
            remedy="Keep the real and the imaginary part as two parameters, dense; or freeze this one.",
        )
    after = getattr(p, "_post_accumulate_grad_hooks", None)
    if p._backward_hooks or after:  # noqa: SLF001 - no public name
        raise InvalidInput(
            f"parameter {name!r} has a hook, which would see or change gradients that are neither clipped nor noised.",
            state=NOTHING_CLIPPED,
            remedy="Remove the hook (remove() of what register_hook returned); change gradients in the loss instead.",
        )


def refuse_call(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse a look-up that changes its table, and statistics over the batch.

    Raises:
        InvalidInput: it does, or asks for a sparse gradient; or statistics are taken from the batch.
    """
    if name in _STATISTICS:
        _refuse_statistics(name, args, kwargs)
    if name == "embedding_renorm_":
        raise _renormalises("an embedding")
    if name not in LOOKUPS or len(args) + len(kwargs) < 3:
        return
    given = dict(zip(LOOKUPS[name], args, strict=False)) | dict(kwargs)
    if given.get("max_norm") is not None and not isinstance(given["max_norm"], bool):
        raise _renormalises(f"a call of {name}")
    if given.get("sparse") is True:
        raise _sparse(f"a call of {name}")


def _refuse_statistics(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse a norm over the batch, or one that keeps a running mean of what it saw.

    All these calls have the switch in the sixth place, torch's own (not torch.nn.functional's) a running mean in the
    fourth or fifth.
    """
    taken = kwargs.get("training", kwargs.get("use_input_stats", args[5] if len(args) > 5 else name == "instance_norm"))
    running = [*args[1:5], kwargs.get("running_mean"), kwargs.get("running_var")]
    if taken and (name != "instance_norm" or any(value is not None for value in running)):
        raise mixing(f"a call of {name}")


class Refusing(TorchFunctionMode):
    """Refuses look-ups that change their table, and statistics over the batch, where nothing else is watched."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one call."""
        kwargs = kwargs or {}
        refuse_call(getattr(func, "__name__", ""), args, kwargs)
        return func(*args, **kwargs)
