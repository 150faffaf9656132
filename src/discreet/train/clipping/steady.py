"""Calls that leave every example where it is, whatever the batch's numbers are.

Where examples are is found out on three of them and used for every batch after that. This is right as long as the
numbers of a batch do not decide which row goes where. The calls named here cannot decide it by themselves; any other call,
and one that no list can know, makes the engine look at every batch.

Arithmetic that combines rows of several examples can sort them too: a product with a matrix of comparisons does. Such a
program shows in the shapes. Runs of three, of four and of five examples tell which axes hold examples; a call after which
one is lost, doubled or cut makes the engine look at every batch as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

FEW, MORE = 3, 5  # prime to each other, and to most lengths
EVEN = 4  # a model may do something else where examples come in pairs


def _names(text: str) -> list[str]:
    return text.split()


_ARITHMETIC = _names("""
add sub rsub subtract mul multiply div divide true_divide floor_divide remainder fmod pow float_power square sqrt rsqrt
exp exp2 expm1 log log2 log10 log1p abs absolute neg negative positive sign sgn reciprocal floor ceil round trunc frac fix
clamp clip clamp_min clamp_max sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh atan2 arctan2 hypot erf erfc
erfinv lgamma digamma sinc maximum minimum fmax fmin lerp addcmul addcdiv xlogy copysign logaddexp logaddexp2 logit
sigmoid heaviside nan_to_num deg2rad rad2deg angle conj conj_physical real imag
""")
_OPERATORS = [
    f"__{way}{name}__"
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "div")
    for way in ("", "r", "i")
] + _names("__neg__ __pos__ __abs__ __invert__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __iter__ __len__ __setitem__")
_COMPARISONS = _names("""
eq ne lt le gt ge not_equal equal_to less less_equal greater greater_equal isnan isinf isfinite isclose logical_and
logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor masked_fill isposinf isneginf signbit
""")
_ACTIVATIONS = _names("""
relu relu6 leaky_relu elu selu celu gelu silu mish softplus softsign tanhshrink hardtanh hardsigmoid hardswish hardshrink
softshrink threshold logsigmoid log_sigmoid glu prelu rrelu softmax log_softmax softmin sigmoid tanh swish dropout
alpha_dropout feature_dropout feature_alpha_dropout dropout1d dropout2d dropout3d bernoulli
""")
_PRODUCTS = _names("""
linear matmul mm bmm mv einsum addmm addmv baddbmm bilinear scaled_dot_product_attention cosine_similarity
pairwise_distance
""")
_LAYERS = _names("""
conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution unfold fold pad constant_pad_nd
max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d lp_pool1d lp_pool2d adaptive_avg_pool1d
adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d interpolate upsample
pixel_shuffle pixel_unshuffle channel_shuffle layer_norm rms_norm group_norm instance_norm batch_norm
local_response_norm normalize native_layer_norm
native_layer_norm_backward native_group_norm_backward convolution_backward
""")
_VIEWS = _names("""
T mT H mH t transpose permute view reshape flatten unflatten unsqueeze squeeze contiguous movedim moveaxis swapaxes
swapdims narrow select chunk split split_with_sizes unbind alias expand expand_as view_as reshape_as broadcast_to
broadcast_tensors repeat tile cat concat concatenate stack hstack vstack dstack atleast_1d atleast_2d atleast_3d
diagonal tril triu flip roll ravel unsafe_chunk unsafe_split
""")
_REDUCTIONS = _names("""
sum mean prod amax amin max min any all norm vector_norm matrix_norm linalg_vector_norm linalg_norm var std var_mean
std_mean logsumexp nansum nanmean count_nonzero aminmax argmax argmin
""")
_LOSSES = _names("""
cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits
kl_div poisson_nll_loss gaussian_nll_loss hinge_embedding_loss margin_ranking_loss soft_margin_loss multi_margin_loss
multilabel_margin_loss multilabel_soft_margin_loss cosine_embedding_loss triplet_margin_loss
""")
_COPIES = _names("""
to type float double half bfloat16 int long short bool char byte type_as clone detach cpu cuda copy data requires_grad
""")
_QUESTIONS = _names("""
shape size dim ndim ndimension numel nelement dtype device layout is_floating_point is_complex is_contiguous stride
storage_offset element_size is_leaf grad is_cuda is_cpu is_sparse is_meta is_nested is_quantized is_mps itemsize
nbytes get_device names retain_grad
""")
# They take a shape or a type, and nothing else: a state of zeros is no part of an example.
BLANK = frozenset(
    _names("new_zeros new_ones new_full new_empty zeros_like ones_like full_like empty_like rand_like randn_like")
    + _QUESTIONS
)
STEADY = (
    frozenset(
        _ARITHMETIC
        + _OPERATORS
        + _COMPARISONS
        + _ACTIVATIONS
        + _PRODUCTS
        + _LAYERS
        + _VIEWS
        + _REDUCTIONS
        + _LOSSES
        + _COPIES
    )
    | BLANK
)
# They pick from their first tensor by their second: harmless where the first is a constant.
_PICK = frozenset(["gather", "index_select", "take", "take_along_dim", "__getitem__", "embedding_bag"])
# They combine or move numbers along axes, the first of which is this argument.
_ALONG = {"flip": 1, "roll": 2, "softmax": 1, "log_softmax": 1, "softmin": 1, "normalize": 2, "glu": 1}
_SHAPED = frozenset(["layer_norm", "rms_norm", "native_layer_norm"])
_PADS = frozenset(["pad", "constant_pad_nd"])
# They slide along axes, and leave the first one alone.
_SLIDING = (
    "conv",
    "max_pool",
    "avg_pool",
    "lp_pool",
    "adaptive_",
    "interpolate",
    "upsample",
    "unfold",
    "fold",
    "pixel_",
    "local_",
    "channel_",
    "instance_norm",
    "group_norm",
    "native_group_norm",
)


def keeps_places(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], known: Callable[[Any], bool]) -> bool:
    """Say whether a call keeps every example's numbers in that example's place, whatever they are.

    Args:
        name: The call's plain name.
        args: What it was given.
        kwargs: The same, by name.
        known: Says of a tensor that it does not depend on the batch.
    """
    plain = name if name.startswith("__") else name.rstrip("_")
    if plain == "embedding":
        given = [*args, *kwargs.values()]
        tables = [value for value in given if isinstance(value, Tensor) and value.dim() == 2 and not _whole(value)]
        return bool(tables) and all(map(known, tables))
    if plain in _PICK and args and known(args[0]):
        return True
    if plain in {"__setitem__", "__getitem__"}:
        places = args[1] if isinstance(args[1], tuple) else (args[1],)
        picks = plain == "__getitem__"  # what writes by a tensor of places may write one place twice
        return all(_cuts(item) or (picks and isinstance(item, Tensor) and known(item)) for item in places)
    if plain == "where":
        return len(args) + len(kwargs) == 3
    if plain in {"repeat", "tile", "split", "chunk"}:
        return not any(isinstance(value, Tensor) for value in (*args[1:], *kwargs.values()))
    return plain in STEADY


def _cuts(item: Any) -> bool:
    """Say whether one item of an index cuts along an axis. A list, or an array, of places does not show in the shapes."""
    return item is None or item is Ellipsis or isinstance(item, (int, slice))


def _whole(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() and not tensor.is_complex()


def unseen(model: nn.Module) -> bool:
    """Say whether a model holds code that no watch sees into. What is compiled runs call by call, and is seen."""
    return any(
        isinstance(module, torch.jit.ScriptModule)
        or any(isinstance(value, torch.jit.ScriptFunction) for value in vars(module).values())
        for module in model.modules()
    )


class Call(NamedTuple):
    """One call on tensors of the batch, as the shapes show it.

    Args:
        name: Its plain name.
        parameter: It uses a parameter.
        inside: Shapes of the tensors it was given.
        outside: Shapes of those that came out.
        detail: What else says where rows go: the axes that it turns around, or an equation.
    """

    name: str
    parameter: bool
    inside: tuple[tuple[int, ...], ...]
    outside: tuple[tuple[int, ...], ...]
    detail: tuple[Any, ...] = ()


def detail(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the axes along which a call combines or moves numbers, counted from the end; or an equation."""
    if name == "einsum":
        return (args[0],)
    if name in _SHAPED:
        return tuple(range(-len(_many(kwargs.get("normalized_shape", args[1] if len(args) > 1 else ()))), 0))
    if name in _PADS:
        widths = kwargs.get("pad", args[1] if len(args) > 1 else ())
        return tuple(-1 - place // 2 for place, width in enumerate(widths) if width)
    if name not in _ALONG:
        return ()
    first = _ALONG[name]
    dims = kwargs.get("dim", kwargs.get("dims", args[first:] if name in {"flip", "roll"} else args[first : first + 1]))
    flat = [d for value in _many(dims) for d in _many(value) if isinstance(d, int) and not isinstance(d, bool)]
    count = (args[0] if args else kwargs["input"]).dim()
    return tuple(d - count if d >= 0 else d for d in flat) or tuple(range(-count, 0))


def _many(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def combines(few: Sequence[Call], more: Sequence[Call], rows: int = MORE) -> bool:
    """Say whether a parameter is used after a call that could combine rows of several examples.

    Args:
        few: The calls of a run with `FEW` examples.
        more: The same with more of them.
        rows: How many.
    """
    last = max((place for place, call in enumerate(few) if call.parameter), default=-1) + 1
    if [call.name for call in few[:last]] != [call.name for call in more[:last]]:
        return True
    return any(_combine(one, other, rows) for one, other in zip(few[:last], more[:last], strict=True))


def _combine(few: Call, more: Call, rows: int) -> bool:
    if few.name in BLANK:
        return False
    if len(few.inside) != len(more.inside) or len(few.outside) != len(more.outside):
        return True
    inside = [_grown(*pair, rows) for pair in zip(few.inside, more.inside, strict=True)]
    outside = [_grown(*pair, rows) for pair in zip(few.outside, more.outside, strict=True)]
    if any(axes is None or len(axes) > 1 for axes in inside + outside):
        return True
    places = [axes[0] if axes else None for axes in inside]
    lost = any(inside) and not all(outside)
    return lost or _hidden(few, places)


def _hidden(call: Call, places: Sequence[int | None]) -> bool:
    """Say whether a call combines rows along the axis that holds examples without a change in shape.

    Args:
        call: The call.
        places: For each tensor it was given the axis that holds examples, counted from the end.
    """
    if call.name in _ALONG or call.name in _SHAPED or call.name in _PADS:
        return any(place in call.detail for place in places if place is not None)
    if call.name in _PICK:
        return places[0] is not None and any(place is not None for place in places[1:])
    if call.name == "scaled_dot_product_attention":
        return any(place is not None and place >= -2 for place in places)
    if call.name == "einsum":
        return _contracted(call, places)
    if call.name.startswith(_SLIDING):
        later = any(place is not None for place in places[1:])
        return later or (places[0] is not None and places[0] != -len(call.inside[0]))
    return False


def _contracted(call: Call, places: Sequence[int | None]) -> bool:
    """Say whether an equation gives the axis that holds examples more than one letter, or none in the result."""
    equation = call.detail[0]
    if not isinstance(equation, str) or "." in equation or "->" not in equation:
        return True
    sides, result = equation.replace(" ", "").split("->")
    pairs = zip(sides.split(","), places, strict=True)
    letters = {term[place] for term, place in pairs if place is not None}
    return len(letters) > 1 or not letters <= set(result)


def _grown(few: tuple[int, ...], more: tuple[int, ...], rows: int) -> list[int] | None:
    """Return the axes that hold examples, counted from the end; None where one is cut or the shapes do not compare."""
    if len(few) != len(more):
        return None
    axes = [axis - len(few) for axis, pair in enumerate(zip(few, more, strict=True)) if pair[0] != pair[1]]
    return axes if all(few[axis] * rows == more[axis] * FEW for axis in axes) else None
