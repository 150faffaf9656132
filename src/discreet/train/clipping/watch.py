"""Watching functions: every call of torch inside the model passes here.

A call that mixes a trainable parameter with the batch is replaced by one that gives the same result, whose backward
pass hands on the gradient of the batch's side and only *records* what the parameter's side needs. The gradient summed
over examples is never formed. A call among parameters alone (views, casts, a normalised weight) runs as it is: its
result stands for the parameters it came from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from discreet.train.clipping.layout import Unwatchable
from discreet.train.clipping.records import Trace
from discreet.train.clipping.refusals import refuse_call
from discreet.train.clipping.steady import BLANK, Call, detail, keeps_places

# Calls that only rearrange numbers: the gradient keeps its length.
_REARRANGE = frozenset(
    [
        "T",
        "mT",
        "t",
        "transpose",
        "permute",
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "unsqueeze",
        "squeeze",
        "contiguous",
        "movedim",
        "swapaxes",
        "__getitem__",
        "narrow",
        "select",
        "chunk",
        "split",
        "unbind",
        "alias",
        "float",
        "view_as",
    ]
)
# Calls that look at a parameter's shape or type, not at its numbers.
_LOOKS = frozenset(
    [
        "type_as",
        "expand_as",
        "view_as",
        "reshape_as",
        "zeros_like",
        "ones_like",
        "empty_like",
        "rand_like",
        "randn_like",
    ]
)


# Calls that make a tensor out of nothing: with as many rows as the batch, it is a state of the batch, not a constant.
_BLANK = frozenset(["zeros", "ones", "full", "empty", "randn", "rand"])
# Names that look like one of a call that writes to its first tensor.
_READS = frozenset(
    ["__iter__", "__invert__", "__index__", "__int__", "__init__", "__init_subclass__", "requires_grad_"]
)
# What they hand out, or take, changes gradients in the backward pass.
_HOOKS = frozenset(["register_hook", "register_post_accumulate_grad_hook", "grad_fn"])
# A checkpoint does this in the backward pass, with its inputs.
_HANDED_ON = BLANK | {"detach", "requires_grad"}
_GROW = frozenset(["expand", "repeat", "broadcast_to", "tile"])


@dataclass(frozen=True)
class Leaf:
    """A tensor that depends on parameters and on nothing else.

    Args:
        tensor: The tensor.
        roots: Names of the parameters it depends on.
        plain: It holds some of one parameter's numbers, each at most once, in float32.
    """

    tensor: Tensor
    roots: tuple[str, ...]
    plain: bool


Rule = Callable[["Watch", Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class Watch(TorchFunctionMode):
    """Replaces calls that use trainable parameters, and keeps what they recorded.

    Args:
        named: The trainable parameters.
        constants: Tensors of the model that do not depend on the batch: buffers, frozen parameters.
        rules: What to do for each call, by its name.
        examples: How many examples the batch has.
    """

    def __init__(
        self, named: Mapping[str, Tensor], constants: Iterable[Tensor], rules: Mapping[str, Rule], examples: int
    ) -> None:
        super().__init__()
        self.rules = rules
        self.examples = examples
        self.known: dict[int, Tensor] = {id(tensor): tensor for tensor in constants}
        self.leaves: dict[int, Leaf] = {}
        for name, tensor in named.items():
            self.known[id(tensor)] = tensor
            self.leaves[id(tensor)] = Leaf(tensor, (name,), plain=True)
        # Every watched call takes this as an input, or autograd would not run its backward pass where the batch's
        # side needs no gradient, as in a first layer.
        self.token = torch.zeros((), requires_grad=True)
        self.records: list[tuple[Leaf, Trace]] = []
        # Whether the batch's numbers may have decided where rows go, and whether a parameter was used after that.
        self.looked = self.moved = False
        self.pulled = False  # whether the forward pass is over
        self.calls: list[Call] | None = None  # a list, if calls are to be written down

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one call, watched if it has to be."""
        kwargs = kwargs or {}
        found = list(_tensors(args, kwargs))
        name = name_of(func)
        refuse_call(name, args, kwargs)
        if all(id(tensor) in self.known for tensor in found):
            return self._among_constants(func, args, kwargs, found)
        if self.calls is None:
            return self._with_batch(func, args, kwargs, found)
        inside = tuple(tuple(tensor.shape) for tensor in found)
        parameter = any(id(tensor) in self.leaves for tensor in found)
        result = self._with_batch(func, args, kwargs, found)
        outside = tuple(tuple(tensor.shape) for tensor in _tensors((result,), {}))
        if outside:
            self.calls.append(Call(name, parameter, inside, outside, detail(name, args, kwargs)))
        return result

    def _with_batch(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], found: list[Tensor]
    ) -> Any:
        """Run a call on tensors of the batch."""
        name = name_of(func)
        if _writes(name, kwargs):
            self._overwrites(name, args, kwargs)
        if self.pulled and not torch.is_grad_enabled():
            if name == "backward" and (rule := opened(func)) is not None:  # a checkpoint's
                return rule(self, func, args, kwargs)
            # A hook, or a custom function: it may make one example's gradient out of another's.
            self.moved = self.moved or name not in _HANDED_ON
        elif _repacked():
            raise Unwatchable("", f"{name} under saved_tensors_hooks")
        self.moved = self.moved or name in _HOOKS
        used = [tensor for tensor in found if id(tensor) in self.leaves] if torch.is_grad_enabled() else []
        if not used:
            self.looked = self.looked or not keeps_places(name, args, kwargs, self._is_known)
            return func(*args, **kwargs)
        if name in _LOOKS:
            return func(*(self.blind(a) for a in args), **{k: self.blind(v) for k, v in kwargs.items()})
        if any(map(torch._C._functorch.is_functorch_wrapped_tensor, found)):  # noqa: SLF001 - no public name
            raise Unwatchable(self.leaves[id(used[0])].roots[0], f"{name} under torch.vmap or torch.func")
        self.moved = self.moved or self.looked
        rule = self.rules.get(name) or opened(func)
        if rule is None:
            raise Unwatchable(self.leaves[id(used[0])].roots[0], name)
        return rule(self, func, args, kwargs)

    def _overwrites(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take note that constants may hold numbers of the batch from now on."""
        for tensor in _tensors((kwargs.get("out", args[0] if args else None),), {}):
            if self.known.pop(id(tensor), None) is not None:
                self.looked = True  # another name for the same memory would still pass for a constant
                if id(tensor) in self.leaves:
                    raise Unwatchable(self.leaves[id(tensor)].roots[0], name)

    def _is_known(self, value: Any) -> bool:
        return id(value) in self.known

    def _among_constants(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], found: list[Tensor]
    ) -> Any:
        """Run a call whose tensors are parameters and constants; remember what its results depend on."""
        used = [leaf for tensor in found if (leaf := self.leaves.get(id(tensor)))] if torch.is_grad_enabled() else []
        name = name_of(func)
        if used and (name in _HOOKS or _writes(name, kwargs)):
            raise Unwatchable(used[0].roots[0], name)  # it, or its gradient, is not what it was when it was made
        if used and (rule := self.rules.get("constant " + name)) is not None:
            given = rule(self, func, args, kwargs)
            if given is not None:
                return given
        result = func(*args, **kwargs)
        roots = tuple(dict.fromkeys(root for leaf in used for root in leaf.roots))
        for tensor in _tensors((result,), {}):
            if id(tensor) in self.known or self._joins_batch(name, found, tensor):
                continue
            self.known[id(tensor)] = tensor
            if roots and tensor.requires_grad:
                plain = len(used) == 1 and used[0].plain and used[0].tensor.dtype == torch.float32
                plain = plain and self._keeps_length(name, args, tensor)
                self.leaves[id(tensor)] = Leaf(tensor, roots, plain)
        return result

    def _joins_batch(self, name: str, found: list[Tensor], result: Tensor) -> bool:
        """Say whether a tensor made of nothing, or of constants, has a row for each example, as a state has."""
        if result.dim() < 2 or self.examples not in result.shape[:2]:
            return False
        if name in _BLANK:
            return result.is_floating_point()
        grown = name in _GROW and found[0].numel() < result.numel()
        return grown and id(found[0]) not in self.leaves

    def _keeps_length(self, name: str, args: tuple[Any, ...], result: Tensor) -> bool:
        if result.dtype != torch.float32:
            return False
        if name == "__getitem__":  # whatever else may stand there, a list or an array, may name a place twice
            items = args[1] if isinstance(args[1], tuple) else (args[1],)
            return all(item is None or item is Ellipsis or type(item) in {int, slice} for item in items)
        if name == "embedding":
            places = [value for value in args[:2] if isinstance(value, Tensor) and not value.is_floating_point()]
            padded = len(args) < 3 or args[2] not in {None, -1}  # a padded row takes no gradient
            return len(places) == 1 and not padded and torch.unique(places[0]).numel() == places[0].numel()
        return name in _REARRANGE

    def leaf(self, value: Any) -> Leaf | None:
        """Return what a tensor stands for, or None if it is not made of trainable parameters."""
        return self.leaves.get(id(value)) if isinstance(value, Tensor) else None

    def blind(self, value: Any) -> Any:
        """Return the value, cut off from the parameters it is made of."""
        return value.detach() if self.leaf(value) is not None else value

    def refuse(self, tensor: Tensor, operation: str) -> NoReturn:
        """Give up on watching this model.

        Raises:
            Unwatchable: always.
        """
        leaf = self.leaves.get(id(tensor))
        raise Unwatchable(leaf.roots[0] if leaf else "", operation)

    def record(self, leaf: Leaf | None, trace: Trace) -> None:
        """Keep what the backward pass found for a parameter; nothing for a frozen one."""
        if leaf is not None:
            self.records.append((leaf, trace))


def pulling(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Make the backward pass of a call of ours out of `backward(ctx, saved, *grads)`.

    Its own calls are not watched: that takes longer than they do. What was saved is asked for before: under a checkpoint
    the model is computed again there, and that has to be watched.
    """

    @functools.wraps(backward)
    def run(ctx: Any, *grads: Tensor) -> Any:
        saved = ctx.saved_tensors
        with torch._C.DisableTorchFunction():  # noqa: SLF001 - no public name
            return backward(ctx, saved, *grads)

    return run


def name_of(func: Callable[..., Any]) -> str:
    """Return a call's plain name: `add` for `torch.add` and for `+`, `T` for `weight.T`."""
    name = getattr(func, "__name__", "")
    if name in {"__get__", "__set__"}:
        attribute = str(getattr(getattr(func, "__self__", None), "__name__", name))
        return attribute if name == "__get__" or attribute == "requires_grad" else name
    return name or str(func)


def _repacked() -> bool:
    """Say whether what autograd saves passes through hooks that are not torch's own, as a checkpoint's are."""
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)  # noqa: SLF001 - no public name
    return hooks is not None and not str(getattr(hooks[0], "__module__", "")).startswith("torch.")


def _writes(name: str, kwargs: Mapping[str, Any]) -> bool:
    """Say whether a call writes to a tensor that it is given."""
    if kwargs.get("out") is not None or kwargs.get("inplace"):
        return True
    if name.startswith("__"):
        return name in {"__setitem__", "__set__"} or (name.startswith("__i") and name not in _READS)
    return name.endswith("_") and name not in _READS


def _tensors(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    for value in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(tuple(value), {})
        elif isinstance(value, dict):
            yield from _tensors(tuple(value.values()), {})


def _never(*_: object) -> bool:
    return False


def unasked(func: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return a copy of a Python function of torch that does not ask whether anybody watches, or None.

    Such a function first asks and, if so, hands itself over whole; the copy runs, and the calls inside are watched.
    """
    if not isinstance(func, FunctionType) or not func.__module__.startswith("torch"):
        return None
    asks = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    world = {**func.__globals__, **dict.fromkeys(asks, _never)}
    copy = FunctionType(func.__code__, world, func.__name__, func.__defaults__, func.__closure__)
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy


def opened(func: Callable[..., Any]) -> Rule | None:
    """Return a rule that runs a Python function of torch line by line, or None if it is not one."""
    copy = unasked(func)
    if copy is None:
        return None

    def run(watch: Watch, _: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with watch:
            return copy(*args, **kwargs)

    return run
