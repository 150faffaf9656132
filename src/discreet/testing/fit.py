"""Tests of samples against a law, with false alarms bounded for every sample size.

No approximation by chi-square: each count is compared with its exact binomial law through
Chernoff's bound P(count/n as far out as f) <= exp(-n·KL(f, p)), and the bounds are added up over
all comparisons made. So a p-value below 1e-8 comes up at most once in 1e8 runs of a right sampler.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FALSE_ALARM = 1e-8

Samples = Sequence[int] | NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A law on the integers, as probabilities of cells.

    Attributes:
        edges: Increasing integers e1, e2, …; the cells are x <= e1, e1 < x <= e2, …, x > the last.
        probabilities: One for each cell, one more than there are edges.
    """

    edges: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fit:
    """How well samples fit.

    Attributes:
        p_value: Upper bound of the probability that a right sampler does as badly.
        worst: The comparison that fitted worst, in words.
    """

    p_value: float
    worst: str

    @property
    def accepted(self) -> bool:
        """Whether the samples pass at a false-alarm rate of 1e-8."""
        return self.p_value > FALSE_ALARM


def gof(samples: Samples, law: Cells) -> Fit:
    """Test independent samples against `law`: single cells, cells up to an edge, and central intervals."""
    place = np.searchsorted(law.edges, np.asarray(samples, dtype=np.int64), side="left")
    counts = np.bincount(place, minlength=law.probabilities.size)
    groups = _groups(counts.size)
    return _worst(groups @ counts, np.full(len(groups), counts.sum()), groups @ law.probabilities)


def two_sample(first: Samples, second: Samples, *, cells: int = 64) -> Fit:
    """Test whether two sets of independent samples have one law.

    Given the pooled values, the first sample is a draw without replacement, to which Chernoff's
    bound applies too (Hoeffding, 1963). The cells are quantiles of the pooled values.
    """
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    pooled = np.sort(np.concatenate([a, b]))
    edges = np.unique(pooled[np.linspace(0, pooled.size - 1, cells + 1).astype(np.int64)[1:-1]])
    counts_a = np.bincount(np.searchsorted(edges, a, side="left"), minlength=edges.size + 1)
    counts = counts_a + np.bincount(np.searchsorted(edges, b, side="left"), minlength=edges.size + 1)
    groups = _groups(counts.size)
    return _worst(groups @ counts_a, np.full(len(groups), a.size), groups @ counts / pooled.size)


def binomials(counts: NDArray[np.int64], draws: NDArray[np.int64], chances: NDArray[np.float64]) -> Fit:
    """Test numbers of successes against their chances of success."""
    return _worst(counts, draws, chances)


def chance_interval(successes: int, draws: int, error: float) -> tuple[float, float]:
    """Return an interval that holds the chance of success but for a probability of `error`."""
    share, reach = successes / draws, math.log(2 / error) / draws
    ends = []
    for far in (0.0, 1.0):
        near, away = share, far
        for _ in range(60):
            middle = (near + away) / 2
            inside = _divergence(np.array([share]), np.array([middle]))[0] <= reach
            near, away = (middle, away) if inside else (near, middle)
        ends.append(away)
    return ends[0], ends[1]


def _groups(cells: int) -> NDArray[np.int64]:
    """Return unions of cells, a row each: single ones, the lowest 1, 2, …, and central runs."""
    index = np.arange(cells)
    lowest = index[None, :] <= index[:-1, None]
    margin = np.arange(1, (cells + 1) // 2)[:, None]
    central = (index >= margin) & (index < cells - margin)
    return np.concatenate([np.eye(cells, dtype=np.int64), lowest, central]).astype(np.int64)


def _divergence(share: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return KL(share, chance) between two coins; infinite where the chance forbids what was seen."""
    chance = np.clip(chance, 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        heads = np.where(share > 0, share * np.log(share / chance), 0.0)
        tails = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - chance)), 0.0)
    total: NDArray[np.float64] = heads + tails
    return total


def _worst(counts: NDArray[Any], draws: NDArray[Any], chances: NDArray[np.float64]) -> Fit:
    certain = np.abs(chances - 1) < 1e-13  # a union of all cells, up to rounding
    evidence = draws * _divergence(counts / draws, np.where(certain, 1.0, chances))
    i = int(np.argmax(evidence))
    p_value = min(1.0, 2 * len(counts) * math.exp(-float(evidence[i])))
    return Fit(p_value, f"comparison {i}: {counts[i]} of {draws[i]}, expected {draws[i] * chances[i]:.6g}")
