"""Betting against ε: canaries are looked at from the highest score downwards, and each is bet to have been in.

Under (ε, 0)-DP the next canary was in with a chance of at most q = p·e^ε / (p·e^ε + 1 - p), whatever was seen before.
So no strategy of bets at the odds 1 : q can be expected to gain, and a capital of 1/alpha comes up with a chance of
at most alpha, at whatever moment one stops. All thresholds are tried at once, and none is paid for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from discreet.audit.statistics.bound import LowerBound, check_alpha, check_delta
from discreet.audit.statistics.coins import Canaries, ranked
from discreet.audit.statistics.one_run import largest, most_right
from discreet.audit.statistics.rates import Floats, Integers

STAKES = np.arange(1, 20) / 20.0  # shares of the capital that are bet, each by a nineteenth of it
_ROUNDING = 1e-8  # on the logarithm of the capital: far above what 1e7 summands lose


def epsilon_bound(scores: ArrayLike, coins: ArrayLike, *, delta: float, alpha: float, rate: float = 0.5) -> LowerBound:
    """Return the ε up to which the bets refute (ε, delta)-DP.

    Args:
        scores: One for each canary, higher says "was in"; computed from the output and the canary, never from the coin.
        coins: Whether each was in, in the order in which the coins were flipped.
        delta: The δ of the bound.
        alpha: The chance of a false bound.
        rate: The chance with which each canary was put in.

    Guarantee: if the mechanism is (ε, delta)-DP when one canary is put in or left out, the chance that the bound
        exceeds ε is at most alpha. A δ costs (number of canaries)·rate·δ of alpha; where that is all of it, the
        bound and its ceiling are 0.
    Evidence: proven, docs/proofs/betting.md.
    Assumes: independent coins of this rate; scores that depend on the output alone.
    Not protected: one run sees what its canaries see. Where they hide each other, the bound is far below the truth.
    """
    check_delta(delta)
    held = ranked(scores, coins, rate=rate)
    left = (check_alpha(alpha) - held.total * held.rate * delta) * (1 - 1e-12)
    hits, misses = _corners(held)
    perfect = np.array([held.inside], dtype=np.int64), np.array([0], dtype=np.int64)
    return LowerBound(
        quantity="epsilon",
        value=_refuted(hits, misses, left, held.rate),
        ceiling=_refuted(*perfect, left, held.rate),
        alpha=float(alpha),
        trials=held.total,
        estimator="one run, betting on every threshold",
        delta=float(delta),
    )


def _refuted(hits: Integers, misses: Integers, alpha: float, rate: float) -> float:
    """Return the largest ε at which the capital reaches 1 / alpha at some of these corners."""
    if alpha <= 0:
        return 0.0
    goal = -np.log(alpha) + _ROUNDING
    return largest(lambda epsilon: bool(_log_capital(hits, misses, most_right(epsilon, rate)).max() >= goal))


def _log_capital(hits: Integers, misses: Integers, most: float) -> Floats:
    """Return the logarithm of the mean over the stakes of Π (1 + stake·(S / q - 1)), after so many hits and misses."""
    win = np.log1p(STAKES * ((1 - most) / most))
    lose = np.log1p(-STAKES)
    logs = hits[:, None] * win + misses[:, None] * lose
    top = logs.max(axis=1)
    found: Floats = top + np.log(np.exp(logs - top[:, None]).mean(axis=1))
    return found


def _corners(held: Canaries) -> tuple[Integers, Integers]:
    """Return hits and misses at the only moments at which the capital can be largest.

    For each stake it is the exponential of a linear function of both, so their mean is convex, and largest at a
    corner of their hull. It grows with hits and falls with misses: the upper left side of the hull is enough.
    """
    hits, misses = held.hits, held.ends - held.hits
    last = np.append(misses[1:] > misses[:-1], [True])  # the most hits at each number of misses
    kept: list[tuple[int, int]] = []
    for h, f in zip(hits[last].tolist(), misses[last].tolist(), strict=True):
        while len(kept) >= 2:
            (h0, f0), (h1, f1) = kept[-2:]
            if (f1 - f0) * (h - h0) < (h1 - h0) * (f - f0):
                break
            kept.pop()
        kept.append((h, f))
    corners = np.array(kept, dtype=np.int64)
    return corners[:, 0], corners[:, 1]
