"""Vectors of exact coins and exact uniform integers: what the selection mechanisms are made of."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from discreet.mechanisms.exact import Bounds, below, exp_bounds
from discreet.mechanisms.rng import Rng

TOLERANCE = 2.0**-40  # float chances err by less than 2**-47


def coins(
    chances: NDArray[np.float64], exact: Callable[[int], Bounds], rng: Rng, *, tolerance: float = TOLERANCE
) -> NDArray[np.bool_]:
    """Return independent coins; coin i is True with the probability that `exact(i)` encloses.

    Args:
        chances: The same probabilities as floats, in error by less than the tolerance.
        exact: For a coin whose uniform number falls within the tolerance of its chance: bounds of
            the true probability, as narrow as asked for.
        rng: Where the bits come from.
        tolerance: How near is too near to call; only tests widen it.
    """
    words = rng.words(chances.size)
    distance = chances - words * 2.0**-64
    heads: NDArray[np.bool_] = distance > 0
    for i in np.flatnonzero(np.abs(distance) <= tolerance):
        heads[i] = below(int(words[i]), 64, exact(int(i)), rng)
    return heads


def exp_coins(gaps: NDArray[np.int64], rate: Fraction, rng: Rng, *, tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
    """Return independent coins; coin i is True with probability exp(-rate·gaps[i]), gaps[i] >= 0."""
    chances = np.exp(-(gaps * float(rate)))
    return coins(chances, lambda i: partial(exp_bounds, int(gaps[i]) * rate), rng, tolerance=tolerance)


def uniform_integers(size: int, below_: int, rng: Rng) -> NDArray[np.int64]:
    """Return `size` independent uniform integers of 0 … below_ - 1, for below_ up to 2**62."""
    limit = np.uint64((1 << 64) // below_ * below_ - 1)  # words above it would favour small remainders
    words = rng.words(size).copy()
    while (redo := np.flatnonzero(words > limit)).size:
        words[redo] = rng.words(redo.size)
    remainders: NDArray[np.int64] = (words % np.uint64(below_)).astype(np.int64)
    return remainders
