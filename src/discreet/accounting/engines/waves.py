"""Waves: sums of e^{iul} - 1 for many u at once, and complex functions that keep the digits of small numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from discreet.accounting.engines.atoms import Array

Complex = npt.NDArray[np.complexfloating[Any, Any]]
FAINT = 1e-7  # a modulus beneath which 1 + D is taken to be this large, and the difference an error
SMALL = 3000  # exponentials that cost less than a product of matrices
SHORT = 16  # terms of one product of matrices: it may add them one after another
LONG = 40 * SHORT  # terms beyond which each half is summed by itself
SUMMED = 3 * SHORT + 52  # what summing may cost, in units of EPS: √2·2·SHORT a product, 40 of them, up to 512 halves


def waves(weights: Array, away: Array, step: float, count: int) -> Complex:
    """Return Σ W·(e^{iu·away} - 1) for u = 0, step, …, count·step.

    u = step·(Ja + b): e^{iu·l} - 1 = A·B + A + B with A = e^{i·step·Ja·l} - 1 and B = e^{i·step·b·l} - 1,
    so that all of them cost one matrix product, (A + 1)·B, and small ones keep small errors.
    """
    if (count + 1) * away.size <= SMALL:
        direct: Complex = (turned(np.multiply.outer(step * np.arange(count + 1), away)) * weights).sum(axis=1)
        return direct
    if away.size > LONG:
        half = away.size // 2
        return waves(weights[:half], away[:half], step, count) + waves(weights[half:], away[half:], step, count)
    block = math.ceil(math.sqrt(count + 1))  # as many exponentials in A as in B
    rows = -(-(count + 1) // block)
    outer = turned(np.outer(step * block * np.arange(rows), away))
    inner = turned(np.outer(away, step * np.arange(block)))
    heavy = outer * weights
    result: Complex = heavy.sum(axis=1)[:, None] + np.zeros(block)
    heavy += weights
    for start in range(0, away.size, SHORT):
        result += heavy[:, start : start + SHORT] @ inner[start : start + SHORT]
    flat: Complex = result.ravel()[: count + 1]
    return flat


def turned(angle: Array) -> Complex:
    """Return e^{i·angle} - 1 without cancellation."""
    half = np.sin(angle / 2)
    return -2 * half * half + 1j * np.sin(angle)


def log1p(d: Complex) -> tuple[Complex, Array]:
    """Return log(1 + d) and |1 + d|; numpy's own complex log1p loses digits."""
    a, b = d.real, d.imag
    square = 2 * a + a * a + b * b
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.log1p(np.maximum(square, -0.75)) / 2
    modulus = np.maximum(np.hypot(1 + a, b), FAINT)
    return np.where(square < -0.75, np.log(modulus), near) + 1j * np.arctan2(b, 1 + a), modulus
