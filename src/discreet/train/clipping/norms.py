"""Sums of squares in float32, each with a bound that the true sum cannot exceed.

A norm that is under-estimated makes a clipped gradient longer than promised. One pass over millions of numbers in
float32 does so by percents; two short passes, with the rounding that is possible at worst added, never do.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

ROUNDING = 2.0**-24  # half the distance between 1 and the next float32
TINY = 2.0**-126  # what one product may lose when it is too small for float32


class Squares(NamedTuple):
    """Squared length of each example's gradient.

    Args:
        value: As computed, one number for each example.
        bound: Not less than the true one, whatever was rounded on the way.
    """

    value: Tensor
    bound: Tensor


def raised(value: Tensor, operations: int, numbers: int) -> Tensor:
    """Return a bound of a true sum of squares, given the computed one.

    Args:
        value: The computed sum; every rounding error in it is relative.
        operations: How many roundings lie in a row on the longest way from a number to the sum.
        numbers: How many numbers were squared; each may have lost `TINY`.
    """
    return value * (1 + 1.05 * (operations + 8) * ROUNDING) + 4 * max(1, numbers) * TINY


@functools.lru_cache(maxsize=4096)
def _side(count: int) -> int:
    """Return how long the lines of a row are: near its root, and a divisor of it if there is one near."""
    root = max(1, math.isqrt(count))
    return next((side for side in range(root, root // 4, -1) if count % side == 0), root)


class Length(NamedTuple):
    """Length of each row as computed, and how it was computed.

    Args:
        value: One number for each row.
        roundings: How many lie in a row on the longest way from a number to the squared length.
        numbers: How many numbers a row has.
    """

    value: Tensor
    roundings: int
    numbers: int


def length(rows: Tensor) -> Length:
    """Return the length of each row over all axes but the first, in two short passes.

    Args:
        rows: float32; read in lines of about the square root of a row's size.
    """
    flat = rows.reshape(rows.shape[0], -1)
    count = flat.shape[1]
    side = _side(count)
    whole = count // side * side
    even = flat if whole == count else flat[:, :whole]
    lines = torch.linalg.vector_norm(even.reshape(len(rows), -1, side), dim=2)
    if whole < count:
        lines = torch.cat([lines, torch.linalg.vector_norm(flat[:, whole:], dim=1, keepdim=True)], 1)
    return Length(torch.linalg.vector_norm(lines, dim=1), side + lines.shape[1] + 8, count)


def squares(*rows: Tensor) -> Squares:
    """Return the squared length of each example's gradient, whose parts are in these tensors."""
    return together([length(part) for part in rows])


def together(lengths: Sequence[Length]) -> Squares:
    """Return the squared lengths of gradients whose parts have these."""
    if len(lengths) == 1:
        value = lengths[0].value.square()
    else:
        value = torch.stack([part.value for part in lengths]).square().sum(0)
    roundings = max(part.roundings for part in lengths) + len(lengths) + 2
    return Squares(value, raised(value, roundings, sum(part.numbers for part in lengths)))


def added(parts: list[Squares]) -> Squares:
    """Return the squared lengths of gradients whose parts have these."""
    if len(parts) == 1:
        return parts[0]
    value = torch.stack([part.value for part in parts]).sum(0)
    bound = torch.stack([part.bound for part in parts]).sum(0)
    return Squares(value, raised(bound, len(parts), 0))


def finite(norm: Squares) -> Tensor:
    """Return which examples' norms are numbers; the others' gradients must not be used at all."""
    return torch.isfinite(norm.bound)
