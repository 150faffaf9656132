"""Each example's gradient of a convolution's weight, by the kernel that was fastest for the shape."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional


class Geometry(NamedTuple):
    """What defines a convolution beside its numbers."""

    weight: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    transposed: bool
    extra: tuple[int, ...]


Kernel = Callable[[Tensor, Tensor, Geometry], Tensor]


def _native(inputs: Tensor, outgoing: Tensor, geometry: Geometry, groups: int) -> Tensor:
    weight = inputs.new_empty(1).expand(outgoing.shape[1], inputs.shape[1] // groups, *geometry.weight[2:])
    zeros = [0] * len(geometry.stride)
    found = torch.ops.aten.convolution_backward(
        outgoing,
        inputs,
        weight,
        None,
        list(geometry.stride),
        list(geometry.padding),
        list(geometry.dilation),
        False,
        zeros,
        groups,
        [False, True, False],
    )
    return cast(Tensor, found[1])


def _one_by_one(inputs: Tensor, outgoing: Tensor, geometry: Geometry) -> Tensor:
    return torch.stack(
        [_native(inputs[i : i + 1], outgoing[i : i + 1], geometry, geometry.groups) for i in range(len(inputs))]
    )


def _grouped(inputs: Tensor, outgoing: Tensor, geometry: Geometry) -> Tensor:
    """The examples as groups of the channels of a single example."""
    rows = len(inputs)
    joined = _native(inputs.flatten(0, 1)[None], outgoing.flatten(0, 1)[None], geometry, geometry.groups * rows)
    return joined.reshape(rows, -1, *joined.shape[1:])


def _unfolded(inputs: Tensor, outgoing: Tensor, geometry: Geometry) -> Tensor:
    """The patches as positions of a matrix product; two dimensions."""
    options: dict[str, Any] = {"dilation": geometry.dilation, "padding": geometry.padding, "stride": geometry.stride}
    patches = functional.unfold(inputs, geometry.weight[2:], **options)
    rows, groups = len(inputs), geometry.groups
    patches = patches.reshape(rows * groups, -1, patches.shape[-1])
    out = outgoing.reshape(rows * groups, -1, patches.shape[-1])
    return torch.bmm(out, patches.transpose(1, 2)).view(rows, *geometry.weight)


def _shifted(inputs: Tensor, outgoing: Tensor, geometry: Geometry) -> Tensor:
    """One matrix product for each place in the kernel, on views of one padded copy; stride 1, no groups.

    With rows padded alike, moving by one place is moving by a constant in memory, so no patch is ever copied.
    """
    rows, channels = inputs.shape[:2]
    (tall, wide), (down, across) = geometry.weight[2:], geometry.dilation
    top, side = geometry.padding
    padded = functional.pad(inputs, (side, side, top, top + 1))
    width = padded.shape[-1]
    out = functional.pad(outgoing, (0, width - outgoing.shape[-1]))
    length = out.shape[2] * width
    flat = padded.flatten(2).transpose(1, 2).contiguous()
    left = out.flatten(2)
    result = inputs.new_empty(tall * wide, rows, out.shape[1], channels)
    for i in range(tall):
        for j in range(wide):
            start = i * down * width + j * across
            torch.bmm(left, flat[:, start : start + length], out=result[i * wide + j])
    return result.permute(1, 2, 3, 0).reshape(rows, *geometry.weight)


def _kernels(geometry: Geometry) -> list[Kernel]:
    kernels: list[Kernel] = [_one_by_one, _grouped]
    if len(geometry.stride) == 2:
        kernels.append(_unfolded)
        if geometry.stride == (1, 1) and geometry.groups == 1:
            kernels.append(_shifted)
    return kernels


@functools.lru_cache(maxsize=512)
def fastest(inputs: tuple[int, ...], outgoing: tuple[int, ...], geometry: Geometry, device: torch.device) -> Kernel:
    """Return the kernel that took least time for this shape, on ones: no private number is timed."""
    left, right = torch.ones(inputs, device=device), torch.ones(outgoing, device=device)

    def spent(kernel: Kernel) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            kernel(left, right, geometry)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
        return min(times)

    return min(_kernels(geometry), key=spent)


def gradients(inputs: Tensor, outgoing: Tensor, geometry: Geometry) -> Tensor:
    """Return the gradient of the weight for each row, (rows, *weight).

    Args:
        inputs: What the kernel slides over; for a transposed convolution the gradient of its output.
        outgoing: The gradient of what came out; for a transposed convolution its input.
        geometry: The convolution.
    """
    rows = min(len(inputs), 16)
    kernel = fastest((rows, *inputs.shape[1:]), (rows, *outgoing.shape[1:]), geometry, inputs.device)
    return kernel(inputs, outgoing, geometry)
