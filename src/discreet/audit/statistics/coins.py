"""Canaries: scores of units that fair coins put in or left out, in the order of the scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from discreet.audit.statistics.rates import Integers, binomial_lower_tail, binomial_upper_tail, check_whole
from discreet.errors import InvalidInput

UNFAIR = 1e-6  # fair coins are refused less often than once in so many audits


@dataclass(frozen=True, slots=True, eq=False)
class Canaries:
    """How many canaries had been put in, among those with the highest scores. Built by `ranked`.

    Args:
        ends: Numbers of canaries, increasing; after each comes a lower score, so ties are never cut.
        hits: How many of so many were in.
        inside: How many of all were in.
        total: How many there are.
        rate: The chance with which each was put in.
    """

    ends: Integers
    hits: Integers
    inside: int
    total: int
    rate: float

    def right(self, guesses: int) -> int:
        """Return how many of the `guesses` highest scores belong to canaries that were in.

        Where a tie is cut, its members count as if the ones that were out came first: a bound may only be too low.
        """
        place = int(np.searchsorted(self.ends, guesses, side="left"))
        if self.ends[place] == guesses:
            return int(self.hits[place])
        end, hits = (int(self.ends[place - 1]), int(self.hits[place - 1])) if place else (0, 0)
        out = int(self.ends[place]) - end - (int(self.hits[place]) - hits)
        return hits + max(0, guesses - end - out)


def ranked(scores: ArrayLike, coins: ArrayLike, *, rate: float = 0.5) -> Canaries:
    """Return the canaries in the order of their scores.

    Args:
        scores: One for each canary, higher says "was in"; computed from the output and the canary, never from the coin.
        coins: Whether each was in, in the order in which the coins were flipped.
        rate: The chance with which each was put in, fixed beforehand.

    Raises:
        InvalidInput: the two do not fit together, a score is not finite, all scores or all coins are the same, or the
            coins are not fair.
    """
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput("scores must be numbers.") from None
    if values.ndim != 1 or values.size == 0:
        raise InvalidInput(f"scores must be one row of numbers, got the shape {values.shape}.")
    labels = check_coins(coins, rate=rate)
    if labels.size != values.size:
        raise InvalidInput(f"there are {values.size} scores and {labels.size} coins; each canary needs one of both.")
    if not np.all(np.isfinite(values)):
        raise InvalidInput(
            f"{np.count_nonzero(~np.isfinite(values))} of {values.size} scores are not finite.",
            remedy="Decide without looking at the coins which score a canary gets that has none.",
        )
    order = np.argsort(-values, kind="stable")
    falls = np.append(values[order][1:] < values[order][:-1], [True])
    if np.count_nonzero(falls) == 1:
        raise InvalidInput(
            f"all {values.size} scores are the same: they cannot tell anything apart.",
            remedy="Look at what makes the scores: an attack that does not run looks like this.",
        )
    hits = np.cumsum(labels[order], dtype=np.int64)
    ends = np.arange(1, values.size + 1, dtype=np.int64)
    return Canaries(ends[falls], hits[falls], int(hits[-1]), values.size, float(rate))


def check_coins(coins: ArrayLike, *, rate: float = 0.5) -> NDArray[np.bool_]:
    """Return the coins if they can have come from independent flips with this rate.

    The number of heads, and how often two coins in a row agree, are each compared with their law: sorted or
    alternating coins are refused, too. One in a million audits with fair coins is refused by chance.

    Raises:
        InvalidInput: they are no row of zeros and ones, all the same, or not fair.
    """
    check_rate(rate)
    flips = np.asarray(coins)
    if flips.ndim != 1 or flips.size == 0:
        raise InvalidInput(f"coins must be one row of zeros and ones, got the shape {flips.shape}.")
    if flips.dtype != np.bool_ and not (np.issubdtype(flips.dtype, np.number) and np.all((flips == 0) | (flips == 1))):
        raise InvalidInput("coins must be zeros and ones.")
    labels = flips.astype(np.bool_)
    heads = int(np.count_nonzero(labels))
    if heads in (0, labels.size):
        raise InvalidInput(
            f"all {labels.size} canaries were {'in' if heads else 'out'}: nothing can be told apart.",
            remedy="Flip a fair coin for each canary.",
        )
    _refuse_unfair(f"{heads} of {labels.size} coins are heads", heads, labels.size, rate)
    # For a rate of 1/2 neighbours agree independently of each other; for others this sum of every second pair does.
    agree = labels[1::2][: labels.size // 2] == labels[0::2][: labels.size // 2]
    pairs = labels[1:] == labels[:-1] if rate == 0.5 else agree
    if pairs.size:
        equal = int(np.count_nonzero(pairs))
        what = f"{equal} of {pairs.size} coins equal the one before"
        _refuse_unfair(what, equal, pairs.size, rate * rate + (1 - rate) * (1 - rate))
    return labels


def check_rate(rate: float) -> float:
    """Return `rate` if canaries can be put in with this chance.

    Raises:
        InvalidInput: it is no number strictly between 0 and 1.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1:
        raise InvalidInput(f"the rate at which canaries are put in must lie strictly between 0 and 1, got {rate!r}.")
    return float(rate)


def default_guesses(total: int, *, rate: float = 0.5) -> tuple[int, ...]:
    """Return numbers of guesses to try: from 8 upwards, each about √2 times the one before, up to the expected heads.

    They depend on nothing but the number of canaries, so that the correction for trying several is exact.
    """
    most = max(1, math.floor(check_whole("total", total, least=1) * check_rate(rate)))
    steps = math.ceil(2 * math.log2(max(1.0, most / 8)))
    return tuple(sorted({max(1, round(most / 2 ** (step / 2))) for step in range(steps + 1)}))


def _refuse_unfair(what: str, count: int, trials: int, rate: float) -> None:
    """Raise if the count is in either tail of its law."""
    tail = min(float(binomial_upper_tail(count, trials, rate)), float(binomial_lower_tail(count, trials, rate)))
    if 4 * tail < UNFAIR:
        raise InvalidInput(
            f"the coins are not fair: {what}, where {trials * rate:.6g} are expected.",
            remedy="Pass the coins in the order in which they were flipped, and flip them independently of all data.",
        )
