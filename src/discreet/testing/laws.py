"""What an event says about the law of an output, worked out without the samplers under test."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from discreet import events
from discreet.testing.fit import Cells

NoiseEvent = events.DiscreteLaplace | events.DiscreteGaussian
SelectionEvent = events.ExponentialMechanism | events.PermuteAndFlip | events.NoisyMax

_LEVELS = (*(i / 32 for i in range(1, 32)), 0.99, 0.999, 0.9999)


@lru_cache(maxsize=32)
def noise_law(event: NoiseEvent) -> Cells:
    """Return the exact law of the noise that `event` claims; errors are below 1e-12."""
    return _laplace(float(event.scale)) if isinstance(event, events.DiscreteLaplace) else _gaussian(event)


def _cells(reach: list[int], within: list[float]) -> Cells:
    """Return the symmetric law with P(|X| <= reach[i]) = within[i]."""
    sides = np.diff(np.array(within), prepend=0.0, append=1.0)
    edges = [-h - 1 for h in reversed(reach)] + reach
    chances = [*(sides[:0:-1] / 2), sides[0], *(sides[1:] / 2)]
    return Cells(np.array(edges, dtype=np.int64), np.array(chances))


def _laplace(scale: float) -> Cells:
    reach = sorted({0, 1, 2, 3} | {int(-scale * math.log1p(-level)) for level in _LEVELS})
    q = math.exp(-1 / scale)
    return _cells(reach, [1 - 2 * math.exp(-(h + 1) / scale) / (1 + q) for h in reach])


def _gaussian(event: events.DiscreteGaussian) -> Cells:
    sigma, rate = math.sqrt(event.variance), float(1 / (2 * event.variance))
    normal = NormalDist(0, sigma)
    reach = sorted({0, 1, 2, 3} | {int(normal.inv_cdf((1 + level) / 2)) for level in _LEVELS})
    ends = [0, *reach, reach[-1] + int(7 * sigma) + 3]
    sums = [
        math.fsum(float(np.exp(-rate * x**2).sum()) for x in _pieces(low + 1, high))
        for low, high in itertools.pairwise(ends)
    ]
    total = 1 + 2 * math.fsum(sums)
    return _cells(reach, [(1 + 2 * math.fsum(sums[: i + 1])) / total for i in range(len(reach))])


def _pieces(first: int, last: int) -> list[NDArray[np.float64]]:
    step = 2**18
    return [np.arange(low, min(low + step, last + 1), dtype=np.float64) for low in range(first, last + 1, step)]


def collision(event: NoiseEvent) -> float:
    """Return the probability that two independent draws of the noise are equal."""
    if isinstance(event, events.DiscreteLaplace):
        q = math.exp(-1 / float(event.scale))
        return ((1 - q) / (1 + q)) ** 2 * (1 + q**2) / (1 - q**2)
    sigma = math.sqrt(event.variance)
    if sigma > 8:  # sums of smooth Gaussians are integrals, to far below 1e-12
        return 1 / (2 * sigma * math.sqrt(math.pi))
    weights = np.exp(-(np.arange(-100, 101) ** 2) * float(1 / (2 * event.variance)))
    return float((weights**2).sum() / weights.sum() ** 2)


def selection_law(
    event: SelectionEvent, scores: Sequence[int], *, sensitivity: int, monotone: bool = False
) -> NDArray[np.float64]:
    """Return each candidate's exact chance under the mechanism that `event` names, by enumeration."""
    rate = event.epsilon / (sensitivity if monotone else 2 * sensitivity)
    best = max(scores)
    chances = np.array([math.exp(-rate * (best - score)) for score in scores])
    if isinstance(event, events.ExponentialMechanism):
        softmax: NDArray[np.float64] = chances / chances.sum()
        return softmax
    if isinstance(event, events.PermuteAndFlip):
        return np.array([_uniform_head(chances, i) for i in range(len(scores))])
    return _geometric_max(scores, rate)


def _share(others: list[float]) -> float:
    """Return E[1/(1 + T)], T the number of heads among independent coins with these chances."""
    law = np.ones(1)
    for chance in others:
        law = np.convolve(law, [1 - chance, chance])
    return float((law / np.arange(1, law.size + 1)).sum())


def _uniform_head(chances: NDArray[np.float64], i: int) -> float:
    return float(chances[i]) * _share([*chances[:i], *chances[i + 1 :]])


def _geometric_max(scores: Sequence[int], rate: float) -> NDArray[np.float64]:
    def at_least(k: int) -> float:
        return math.exp(-rate * max(k, 0))

    law = np.zeros(len(scores))
    for value in range(max(scores), max(scores) + int(40 / rate) + 2):
        for i, score in enumerate(scores):
            chance = at_least(value - score) - at_least(value - score + 1)
            ties = []
            for other in (*scores[:i], *scores[i + 1 :]):
                up_to = 1 - at_least(value - other + 1)
                chance *= up_to
                ties.append((up_to - (1 - at_least(value - other))) / up_to if up_to else 0.0)
            law[i] += chance * _share(ties)
    return law


def keep_law(event: events.KeySelection, count: int) -> NDArray[np.float64]:
    """Return the optimal rule's keep probabilities for counts 0 … count."""
    epsilon, delta = event.epsilon / event.max_groups, event.delta / event.max_groups
    law = [0.0]
    for _ in range(count):
        kept = law[-1]
        law.append(min(math.exp(epsilon) * kept + delta, 1 - math.exp(-epsilon) * (1 - kept - delta), 1.0))
    return np.array(law)
