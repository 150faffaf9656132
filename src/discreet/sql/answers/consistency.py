"""Answers that agree with each other: totals that add up, counts that are not negative, whole numbers.

Post-processing of released numbers: it costs nothing and protects nothing less. Of all answers that
agree, the one nearest to the noisy ones is taken, each noisy one weighed by its precision (weighted
least squares); no other linear rule has a smaller variance. Where counts may not be negative, the
nearest such one is sought step by step, which favours small counts: a bias that the noise had not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from discreet.errors import InvalidInput
from discreet.sql.answers.intervals import Floats

Wish: TypeAlias = Literal["totals", "non_negative", "whole"]
WISHES = get_args(Wish)
STEPS = 500  # of either search, at most
CLOSE = 1e-9  # of the largest number: far below any noise


@dataclass(frozen=True, slots=True)
class Level:
    """The noisy numbers of one grouping.

    Args:
        values: One for each of its groups.
        variance: Of the noise on each.
        group: For each finest group, the number of the group that it is part of.
    """

    values: Floats
    variance: float
    group: NDArray[np.intp]

    def spread(self, numbers: Floats) -> Floats:
        """Return for each finest group the number of its group."""
        return numbers[self.group]

    def total(self, finest: Floats) -> Floats:
        """Return the sums of the finest groups' numbers."""
        return np.asarray(np.bincount(self.group, weights=finest, minlength=len(self.values)), dtype=np.float64)


def check(wishes: Sequence[str]) -> tuple[Wish, ...]:
    """Return wishes, known ones, each once.

    Raises:
        InvalidInput: one is unknown.
    """
    if isinstance(wishes, str) or any(item not in WISHES for item in wishes):
        raise InvalidInput(
            f"consistent must be some of {', '.join(WISHES)}, got {wishes!r}.",
            remedy='For example consistent=["totals", "non_negative"].',
        )
    return tuple(item for item in WISHES if item in wishes)


def agreeing(levels: Sequence[Level], wishes: Sequence[Wish], *, counts: bool) -> list[Floats]:
    """Return the numbers of each grouping, made to agree.

    Args:
        levels: The noisy numbers.
        wishes: What to see to.
        counts: Whether the numbers are counts: only those are kept from being negative, or made whole.
    """
    positive, whole = counts and "non_negative" in wishes, counts and "whole" in wishes
    if "totals" not in wishes:
        found = [np.maximum(level.values, 0.0) if positive else level.values for level in levels]
        return [np.round(one) for one in found] if whole else found
    finest = _not_negative(levels) if positive else _nearest(levels)
    finest = _rounded(finest, levels) if whole else finest
    return [level.total(finest) for level in levels]


def _gradient(levels: Sequence[Level], finest: Floats) -> Floats:
    """Return Σ (total - values) / variance, spread over the finest groups."""
    found = np.zeros_like(finest)
    for level in levels:
        found += level.spread((level.total(finest) - level.values) / level.variance)
    return found


def _nearest(levels: Sequence[Level]) -> Floats:
    """Solve the normal equations by conjugate gradients, from 0; exact after as many steps as there are scales."""
    finest = np.zeros(len(levels[0].group))
    rest = -_gradient(levels, finest)
    direction, size = rest.copy(), float(rest @ rest)
    scale = max((float(np.abs(level.values).max(initial=0.0)) for level in levels), default=0.0)
    for _ in range(STEPS):
        if size == 0 or scale == 0:
            break
        curved = np.zeros_like(finest)
        for level in levels:
            curved += level.spread(level.total(direction) / level.variance)
        step = size / float(direction @ curved)
        finest = finest + step * direction
        rest = rest - step * curved
        before, size = size, float(rest @ rest)
        if float(np.abs(step * direction).max()) < CLOSE * scale:
            break
        direction = rest + size / before * direction
    return finest


def _not_negative(levels: Sequence[Level]) -> Floats:
    """Return the nearest finest numbers of at least 0, by accelerated projected gradients."""
    finest = np.maximum(_nearest(levels), 0.0)
    largest = sum(float(np.bincount(level.group).max()) / level.variance for level in levels)
    ahead, momentum = finest, 1.0
    for _ in range(STEPS):
        moved = np.maximum(ahead - _gradient(levels, ahead) / largest, 0.0)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = moved + (momentum - 1) / following * (moved - finest)
        done = float(np.abs(moved - finest).max(initial=0.0)) <= CLOSE * max(1.0, float(moved.max(initial=0.0)))
        finest, momentum = moved, following
        if done:
            break
    return finest


def _rounded(finest: Floats, levels: Sequence[Level]) -> Floats:
    """Return whole numbers whose totals over the first grouping are the nearest whole ones."""
    level = min(levels, key=lambda one: len(one.values))
    low = np.floor(finest)
    missing = np.round(level.total(finest) - level.total(low)).astype(np.int64)
    order = np.lexsort((low - finest, level.group))  # within a group, the largest remainders first
    starts = np.searchsorted(level.group[order], np.arange(len(level.values)))
    rank = np.arange(len(order)) - starts[level.group[order]]
    raised = low.copy()
    raised[order[rank < missing[level.group[order]]]] += 1
    return raised
