"""Block: masses on a stretch of a dyadic grid, and the operations that keep it above or below the true law.

Sums of independent values are convolutions by fast Fourier transforms, once plain and once tilted; every mass has a
bound of its own rounding error, which is added above and subtracted below (docs/proofs/random_allocation.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from discreet.accounting.engines.atoms import Array
from discreet.errors import UnsupportedEvent

UNIT = 2.0**-53  # rounding unit of double precision
MOST_CELLS = 1 << 22  # of any law


class Block(NamedTuple):
    """Cells of one spacing 2^e: row 0 their masses; below, row 1 holds mass times mean offset, in cells."""

    start: int
    rows: Array

    @property
    def end(self) -> int:
        """The first cell behind the block."""
        return self.start + int(self.rows.shape[1])


@dataclass(frozen=True, slots=True)
class Side:
    """Which of the four laws is computed: above or below the true one, for adding or for removing the unit."""

    adding: bool
    above: bool


def rounded(rows: Array, side: Side, error: float | Array) -> Array:
    """Move masses (and offsets) whose relative error is at most `error` to the safe side."""
    if side.above:
        return rows * (1 + 2 * error)
    # The mean offset, their quotient, must not rise when the unit is removed, nor fall when it is added.
    return np.stack([rows[0] * (1 - 2 * error), rows[1] * (1 + (2 if side.adding else -6) * error)])


def joined(x: Block | None, y: Block | None, side: Side) -> Block | None:
    """Return the sum of two measures on one level."""
    if x is None or y is None:
        return x if y is None else y
    start, end = min(x.start, y.start), max(x.end, y.end)
    if end - start > 4 * MOST_CELLS:
        raise UnsupportedEvent("random allocation needs a grid of too many cells.", remedy="Use a coarser step.")
    rows = np.zeros((x.rows.shape[0], end - start))
    for block in (x, y):
        rows[:, block.start - start : block.end - start] += block.rows
    return Block(start, rounded(rows, side, 2 * UNIT))


def coarser(block: Block | None, side: Side) -> Block | None:
    """Return the measure on cells twice as wide, above it or below it in the convex order."""
    if block is None:
        return None
    left = block.start % 2
    rows = np.pad(block.rows, ((0, 0), (left, (block.end) % 2)))
    even, odd = rows[:, ::2], rows[:, 1::2]
    start = (block.start - left) // 2
    if not side.above:  # one cell of two: masses add up, and so do moments
        wide = np.stack([even[0] + odd[0], (even[1] + odd[1] + odd[0]) / 2])
    else:  # a point between two kept ones goes half to each
        wide = np.pad(even + odd / 2, ((0, 0), (0, 1)))
        wide[:, 1:] += odd / 2
    return Block(start, rounded(wide, side, 4 * UNIT))


def convolved(x: Block, y: Block, side: Side) -> Block:
    """Return the convolution, made larger (above) or smaller (below) by the bound of its rounding error."""
    values, errors = _transformed(x.rows, y.rows, 0.0)
    for tilt in _tilts(values[0], errors[0], side):
        others, bounds = _transformed(x.rows, y.rows, tilt)
        better = bounds[0] < errors[0]
        values, errors = np.where(better, others, values), np.where(better, bounds, errors)
    errors = errors + 16 * UNIT * np.abs(values) + 1e-290  # what the next lines round, and underflow
    mass, error = values[0], errors[0]
    if side.above:
        return Block(x.start + y.start, (np.maximum(mass, 0.0) + error)[None, :])
    kept = mass > 2 * error
    smaller = np.where(kept, mass - error, 0.0)
    if side.adding:
        offset = np.where(kept, np.maximum(values[1], 0.0) + errors[1], 0.0)
    else:
        share = smaller / np.where(kept, mass + error, 1.0)
        offset = np.where(kept, np.maximum(values[1] - errors[1], 0.0) * share, 0.0)
    return Block(x.start + y.start, np.stack([smaller, offset]))


def _transformed(x: Array, y: Array, tilt: float) -> tuple[Array, Array]:
    """Return the convolution of masses (and of offsets), and a bound of the error of each entry."""
    length = x.shape[1] + y.shape[1] - 1
    size = 1 << max(1, (length - 1).bit_length())
    slack = 0.0
    if tilt:
        # Masses times e^(tilt·k): rounding is then relative to what lies on the tilted side.
        x = x * np.exp(tilt * np.arange(x.shape[1]))
        y = y * np.exp(tilt * np.arange(y.shape[1]))
        slack = UNIT * (8 * abs(tilt) * length + 64)
    fx, fy = np.fft.rfft(x, size), np.fft.rfft(y, size)
    products = [fx[0] * fy[0]] if len(x) == 1 else [fx[0] * fy[0], fx[1] * fy[0] + fx[0] * fy[1]]
    values = np.fft.irfft(np.stack(products), size)[:, :length]
    kappa = 12 * UNIT * math.log2(size)  # relative error of one transform in the 2-norm
    nx, ny = _norms(x), _norms(y)
    norms = np.array([nx[0] * ny[0]] if len(x) == 1 else [nx[0] * ny[0], nx[1] * ny[0] + nx[0] * ny[1]])
    bound = 1.01 * ((2 * kappa + 16 * UNIT) * norms + kappa * _norms(values))
    errors = np.repeat(bound[:, None], length, axis=1)
    if tilt:
        back = np.exp(-tilt * np.arange(length))
        values, errors = values * back, errors * back
        errors = errors * (1 + 1e-9) + slack * (np.abs(values) + errors)
    return values, errors


def _norms(rows: Array) -> Array:
    """Return the 2-norm of every row; squares of small entries do not vanish beside nothing."""
    top = np.maximum(np.abs(rows).max(axis=1), 1e-300)
    return np.asarray(np.linalg.norm(rows / top[:, None], axis=1) * top)


def _tilts(values: Array, errors: Array, side: Side) -> list[float]:
    """Return tilts that make far tails as accurate as the bulk, none where there is no such tail. All are sound."""
    found = []
    peak = int(np.argmax(values))
    clear = np.flatnonzero(values > np.maximum(1e-8 * values[peak], 4 * errors))
    for high in (False, True):
        # A block of a heavy tail falls only at its very edge, where the next block lies on top: no need. On the
        # harmless end accuracy is of no use, but rounding must not be mistaken for mass.
        late = peak + (9 * ((len(values) - 1 if high else 0) - peak)) // 10
        harmless = high == side.adding
        if not len(clear) or values[late] > (4 * errors[late] if harmless else 1e-4 * values[peak]):
            continue
        far = int(clear[-1] if high else clear[0])
        if abs(far - peak) >= 8:
            slope = 1.5 * math.log(values[peak] / values[far]) / (far - peak)
            found.append(math.copysign(min(abs(slope), 200 / len(values)), slope))
    return found
