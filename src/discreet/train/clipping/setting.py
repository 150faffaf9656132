"""Settings of PyTorch around the computation: what compiled code, autocast and shortened products may do in it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import torch

from discreet.errors import InvalidInput
from discreet.train.clipping.trees import NOTHING_CLIPPED

KINDS = ("cpu", "cuda")
_PRODUCTS = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined] # made at run time


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Take norms and sums in float32: without autocast, and without products of shortened numbers (TF32, bfloat16).

    A norm of shortened numbers may be smaller than that of the gradient, which is what a bound of it must never be.
    """
    before = [kind.fp32_precision for kind in _PRODUCTS]
    for kind in _PRODUCTS:
        kind.fp32_precision = "ieee"
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        for kind, value in zip(_PRODUCTS, before, strict=True):
            kind.fp32_precision = value


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Let what is compiled run call by call: inside of a compiled function, nothing can be watched."""
    if "torch._dynamo" in sys.modules:  # nothing is compiled without it, and it takes seconds to load
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


def refuse_autocast() -> None:
    """Refuse autocast that is switched on around everything.

    Raises:
        InvalidInput: it is.
    """
    around = [kind for kind in KINDS if torch.is_autocast_enabled(kind)]
    if around:
        raise InvalidInput(
            "autocast is switched on around the training. It would keep shortened copies of weights that have moved "
            "since, and it is not what the model was tried with.",
            state=NOTHING_CLIPPED,
            remedy=f"Switch it on inside of the loss: with torch.autocast({around[0]!r}, torch.bfloat16): …",
        )
