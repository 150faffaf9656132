"""A self-check on a few public rows, before any private one is seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from discreet.errors import InvalidInput
from discreet.train.clipping.clips import Flat
from discreet.train.clipping.engine import Clipped, clipped_sum
from discreet.train.clipping.frozen import unchanged
from discreet.train.clipping.loop import Loss, SlowModule
from discreet.train.clipping.refusals import refuse_call, refuse_unfit
from discreet.train.clipping.setting import eager
from discreet.train.clipping.trees import NOTHING_CLIPPED, examples_in, losses_of, taken
from discreet.train.clipping.units import Method
from discreet.train.clipping.watch import name_of, unasked

NEAR = 1e-4  # of numbers in float32 or better; shorter ones may be off by some roundings
ROUNDINGS = 8
_DROPOUTS = frozenset(
    [
        "dropout",
        "dropout_",
        "alpha_dropout",
        "feature_dropout",
        "feature_alpha_dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
    ]
)
_RECURRENT = frozenset(["lstm", "gru", "rnn_tanh", "rnn_relu"])


class _Still(TorchFunctionMode):
    """Dropout that drops nothing: two runs of different size can draw no equal masks.

    Args:
        exact: Calls do not heed autocast either.

    Attributes:
        coarsest: The distance of 1 to the next number, in the shortest floating-point type that a call returned.
    """

    def __init__(self, *, exact: bool) -> None:
        super().__init__()
        self.exact = exact
        self.coarsest = 0.0

    @property
    def near(self) -> float:
        """How far two results may be apart that should be the same."""
        return NEAR if self.coarsest < 1e-6 else ROUNDINGS * self.coarsest

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if self.exact:
            with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
                result = self._stilled(func, args, dict(kwargs or {}))
        else:
            result = self._stilled(func, args, dict(kwargs or {}))
        for one in result if isinstance(result, tuple) else (result,):
            if isinstance(one, Tensor) and one.is_floating_point():
                self.coarsest = max(self.coarsest, torch.finfo(one.dtype).eps)
        return result

    def _stilled(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = name_of(func)
        refuse_call(name, args, kwargs)
        if name in _DROPOUTS:
            return args[0] if args else kwargs["input"]
        if name == "scaled_dot_product_attention":
            args = args[:4] + ((0.0,) if len(args) > 4 else ()) + args[5:]
            kwargs.pop("dropout_p", None)
        if name in _RECURRENT and len(args) == 9:
            args = (*args[:5], 0.0, *args[6:])
        inner = unasked(func) if name == "multi_head_attention_forward" else None
        if inner is None:
            return func(*args, **kwargs)
        with self:  # it drops out inside
            return inner(*args, **kwargs)


def check(model: nn.Module, loss: Loss, rows: Any) -> None:
    """Check that a model and a loss can be clipped example by example.

    Dropout is switched off meanwhile. The model and its gradients stay as they are; no random state moves on.

    Args:
        model: The model, in the mode it will be trained in.
        loss: `loss(model, batch)` returns one number for each example, not averaged.
        rows: A batch of three to about eight examples that are public or made up. Their numbers may show in the error.

    Raises:
        InvalidInput: the loss is not one number for each example; an example's loss changes with the others in its
            batch; a layer takes statistics over the batch; the model changes its own parameters or buffers when it is
            called; a parameter has a hook, or is not real and dense; or the fast sums differ from one example at a time.
    """
    examples = examples_in(rows)
    if examples < 3:
        raise InvalidInput(
            f"{examples} rows are too few to show whether examples change each other.",
            state=NOTHING_CLIPPED,
            remedy="Give three to about eight rows that are public or made up.",
        )
    refuse_unfit(model)
    with unchanged(model), torch.random.fork_rng(), eager(), _Still(exact=False):
        losses_of(model, loss, rows, examples)  # by itself: what one call changes, the next may change back
    with unchanged(model), torch.random.fork_rng(), eager():
        state = torch.random.get_rng_state()
        try:
            _independent(model, loss, rows, examples, exact=True)
        except RuntimeError:  # such as two types in a product, which autocast would have made one
            torch.random.set_rng_state(state)
            _independent(model, loss, rows, examples, exact=False)
        torch.random.set_rng_state(state)
        _equal(model, loss, rows)


def _independent(model: nn.Module, loss: Loss, rows: Any, examples: int, *, exact: bool) -> None:
    """Compare each example's loss alone, and in a smaller batch in another order, with its loss in the whole batch."""
    order = torch.arange(examples - 1, 0, -1)
    with _Still(exact=exact) as still:
        whole = losses_of(model, loss, rows, examples).detach()
        alone = torch.cat([losses_of(model, loss, taken(rows, slice(i, i + 1)), 1).detach() for i in range(examples)])
        less = losses_of(model, loss, taken(rows, order), examples - 1).detach()
    _same_losses(whole.double(), alone.double(), still.near)
    _same_losses(whole[order].double(), less.double(), still.near)


def _same_losses(expected: Tensor, found: Tensor, near: float) -> None:
    size = torch.maximum(expected.abs(), found.abs()).clamp(min=1e-6)
    if near > NEAR:
        size = size.max()  # where numbers are short, a small loss is the difference of larger ones
    apart = ((expected - found).abs() / size).max()
    if not float(apart) <= near:
        raise InvalidInput(
            f"an example's loss changes by {float(apart):.1e} of itself with the other examples in its batch.",
            state=f"{NOTHING_CLIPPED} One example could change more than its own clipped gradient.",
            remedy="Take no mean, norm or comparison over the batch axis, in the model or in the loss: not x - x.mean(0), "
            "no contrastive loss, no division by the batch's size. Random numbers other than dropout show here too.",
        )


def _equal(model: nn.Module, loss: Loss, rows: Any) -> None:
    with warnings.catch_warnings(), _Still(exact=False) as still:
        warnings.simplefilter("ignore", SlowModule)
        norms = clipped_sum(model, loss, rows, Flat(1.0), method=Method.LOOP).private_norms
        middle = Flat(max(1e-6, float(norms.median())))  # some are shortened, some are not
        slow = clipped_sum(model, loss, rows, middle, method=Method.LOOP)
        fast = clipped_sum(model, loss, rows, middle)
    apart = max(_distance(fast, slow, name) for name in slow.sums)
    lengths = float(((fast.private_norms - slow.private_norms).abs() / slow.private_norms.clamp(min=1e-12)).max())
    if not max(apart, lengths) <= still.near:
        worst = max(slow.sums, key=lambda name: _distance(fast, slow, name))
        raise InvalidInput(
            f"the fast sums differ from one example at a time by {apart:.1e} (norms by {lengths:.1e}); parameter "
            f"{worst!r} differs most.",
            state=NOTHING_CLIPPED,
            remedy="Use method=Method.LOOP for this model, and tell us about it: this is a bug in discreet, unless the "
            "model draws random numbers other than dropout, or changes its own state when it is called.",
        )


def _distance(fast: Clipped, slow: Clipped, name: str) -> float:
    """Distance of one parameter's sums, relative to the sums of all: tiny parts hold rounding errors of the others."""
    whole = torch.stack([value.norm() for value in slow.sums.values()]).norm()
    return float((fast.sums[name] - slow.sums[name]).norm() / whole.clamp(min=1e-12))
