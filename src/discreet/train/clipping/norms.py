"""Sums of squares in float32, each with a bound that the true sum cannot exceed.

A norm that is under-estimated makes a clipped gradient longer than promised. One pass over millions of numbers in
float32 does so by percents; two short passes, with the rounding that is possible at worst added, never do.
"""

from __future__ import annotations

import math
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


def squares(rows: Tensor) -> Squares:
    """Return the squared length of each row, summed over all axes but the first.

    Args:
        rows: float32; read in lines of about the square root of a row's size.
    """
    flat = rows.reshape(rows.shape[0], -1)
    count = flat.shape[1]
    side = max(1, math.isqrt(count))
    whole = count // side * side
    lines = torch.linalg.vector_norm(flat[:, :whole].reshape(len(rows), -1, side), dim=2)
    if whole < count:
        lines = torch.cat([lines, torch.linalg.vector_norm(flat[:, whole:], dim=1, keepdim=True)], 1)
    value = lines.square().sum(1)
    return Squares(value, raised(value, side + lines.shape[1] + 4, count))


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
