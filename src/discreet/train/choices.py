"""Which correlations are worth a try for a plan, and the numbers of buffers that leave sums of steps least noisy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from discreet.train.correlation import (
    LEAST,
    MOST_STEPS,
    BandedInverseRoot,
    BandedRoot,
    BufferedToeplitz,
    Column,
    Correlation,
    LambdaCGD,
)

BUFFERS = (1, 2, 3)  # of 20,000 steps, the third betters sums by 4 %; of 1,000 by less than 1 %
REFUSED = 50.0  # a logarithm of errors that are none
FLAT = 1e-7  # of logarithms: no better place is looked for


def choices(steps: int, most_bands: int, participations: int, separation: int) -> Iterator[Correlation]:
    """Yield what is worth a try: bands as many as units are apart, or a power of two; 99 of λ; a few buffers.

    Args:
        steps: Of the run.
        most_bands: The most bands.
        participations: How many steps a unit takes part in, at most.
        separation: How far apart these are, at least.
    """
    powers = {2**place for place in range(1, MOST_STEPS.bit_length())}
    for bands in sorted(count for count in powers | {separation} if 1 < count <= min(most_bands, steps)):
        yield BandedRoot(bands)
        yield BandedInverseRoot(bands)
    yield from (LambdaCGD(part / 100) for part in range(1, 100))
    if steps > 2 * BUFFERS[-1]:
        yield from (fitted(buffers, steps, participations, separation) for buffers in BUFFERS)


@lru_cache(maxsize=32)
def fitted(buffers: int, steps: int, participations: int, separation: int) -> BufferedToeplitz:
    """Return decays and weights that leave running sums about as little noise as so many buffers can.

    A search from one start, the same every time. Privacy does not rest on it: any numbers have their sensitivity.
    """

    def numbers(at: Column) -> tuple[Column, Column]:
        gaps, weights = np.exp(np.clip(at, -30, 30)).reshape(2, buffers)
        return 1 / (1 + gaps), weights

    def error(at: Column) -> float:
        decays, weights = numbers(at)
        if (
            weights.sum() > 1 - 2 * LEAST
            or decays.max() > 1 - 2 * LEAST
            or min(decays.min(), weights.min()) < 2 * LEAST
        ):
            return REFUSED
        one = BufferedToeplitz(tuple(decays.tolist()), tuple(weights.tolist()))
        return math.log(one.rms_error(steps, participations, separation))

    decays: tuple[float, ...]
    weights: tuple[float, ...]
    if buffers == 1:
        decays, weights = (1 - 2 / math.sqrt(steps),), (0.2,)
    else:  # and another one, that fades fast
        fewer = fitted(buffers - 1, steps, participations, separation)
        decays, weights = (*fewer.decays, 0.5), (*(0.8 * weight for weight in fewer.weights), 0.2)
    start = np.log(np.array([*(1 / decay - 1 for decay in decays), *weights]))
    corners = np.concatenate([start[None], start + 0.5 * np.eye(2 * buffers)])
    best = numbers(_descended(error, corners, 75 * buffers))
    return BufferedToeplitz(*(tuple(round(number, 7) for number in each.tolist()) for each in best))


def _descended(error: Callable[[Column], float], corners: Column, turns: int) -> Column:
    """Return where an error is small, by the method of Nelder and Mead from these corners."""
    values = np.array([error(corner) for corner in corners])
    for _ in range(turns):
        order = np.argsort(values, kind="stable")
        corners, values = corners[order], values[order]
        if values[-1] - values[0] < FLAT:
            break
        away = corners[:-1].mean(axis=0) - corners[-1]
        points = {far: corners[-1] + (1 + far) * away for far in (1.0, 2.0, 0.5, -0.5)}
        far, value = 1.0, error(points[1.0])
        if value < values[0]:
            further = error(points[2.0])
            far, value = min((far, value), (2.0, further), key=lambda found: found[1])
        elif value >= values[-2]:
            nearer = 0.5 if value < values[-1] else -0.5
            value, least = error(points[nearer]), min(value, values[-1])
            if value >= least:
                corners[1:] = (corners[1:] + corners[0]) / 2
                values[1:] = [error(corner) for corner in corners[1:]]
                continue
            far = nearer
        corners[-1], values[-1] = points[far], value
    found: Column = corners[int(np.argmin(values))]
    return found
