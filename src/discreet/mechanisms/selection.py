"""Selecting one of several candidates by integer scores: softmax, permute-and-flip, noisy max.

All three prefer high scores at the same rate. Only the softmax is of bounded range; the other two
are pure. Each has its own class, and each class its own event.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from discreet import events
from discreet.errors import InvalidInput
from discreet.mechanisms.coins import exp_coins, uniform_integers
from discreet.mechanisms.discrete_laplace import discrete_laplace
from discreet.mechanisms.parameters import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    positive_epsilon,
    rational,
    rounded_up,
)
from discreet.mechanisms.rng import Rng
from discreet.mechanisms.vectors import Integers, integer_vector

_WIDEST_GAP = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selection:
    """What the three have in common: parameters, their rate, and the form of the scores.

    Args:
        epsilon: Total epsilon of one selection; its exact value is used.
        sensitivity: How far one privacy unit can move any one score, a whole number.
        monotone: The caller's promise that between any two neighbours of the unit's relation all scores
            move in one direction (none up while another goes down). It doubles the rate at the same
            epsilon. Counts keep it under add_remove, and never under replace_one.
    """

    epsilon: float | Fraction
    sensitivity: int
    monotone: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.sensitivity, bool) or not isinstance(self.sensitivity, int) or self.sensitivity < 1:
            raise InvalidInput(f"sensitivity must be a whole number of at least 1, got {self.sensitivity!r}.")
        object.__setattr__(self, "epsilon", positive_epsilon(self.epsilon))
        rational("sensitivity / epsilon", 1 / self.rate, SMALLEST_SCALE, LARGEST_SCALE)

    @property
    def rate(self) -> Fraction:
        """What one point of score is worth: epsilon/(2·sensitivity), without the 2 if monotone."""
        return Fraction(self.epsilon) / (self.sensitivity if self.monotone else 2 * self.sensitivity)

    @property
    def _charged(self) -> float:
        return rounded_up(Fraction(self.epsilon))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExponentialMechanism(_Selection):
    """Return candidate i with probability proportional to exp(rate·score[i]) (softmax).

    Args:
        epsilon: See Guarantee.
        sensitivity: How far one privacy unit can move any one score.
        monotone: The caller's promise that between neighbours all scores move in one direction.

    Guarantee:
        epsilon-bounded range, hence epsilon-DP and (epsilon²/8)-zCDP.
    Evidence:
        Proven: docs/proofs/exponential_mechanism.md.
    Assumes:
        Scores are exact integers; sensitivity and monotone hold.
    Not protected:
        The number of candidates; how long the call takes (rejection rounds depend on the scores).

    References:
        McSherry, Talwar, 2007; Durfee, Rogers, 2019 (bounded range); Cesar, Rogers, 2021 (ε²/8).
    """

    @property
    def event(self) -> events.ExponentialMechanism:
        """What a call is charged as."""
        return events.ExponentialMechanism(epsilon=self._charged)

    def __call__(self, exact_values: Integers, rng: Rng) -> int:
        """Return the index of the candidate selected."""
        gaps = score_gaps(exact_values)
        while True:  # a uniform candidate, kept with probability exp(-rate·gap); a vector of tries at once
            tries = uniform_integers(max(64, gaps.size), gaps.size, rng)
            kept = np.flatnonzero(exp_coins(gaps[tries], self.rate, rng))
            if kept.size:
                return int(tries[kept[0]])


@dataclass(frozen=True, slots=True, kw_only=True)
class PermuteAndFlip(_Selection):
    """Visit candidates in random order; stop at i with probability exp(-rate·(best - score[i])).

    Never worse in expected score than the exponential mechanism at the same epsilon, but not of bounded range.

    Args:
        epsilon: See Guarantee.
        sensitivity: How far one privacy unit can move any one score.
        monotone: The caller's promise that between neighbours all scores move in one direction.

    Guarantee:
        epsilon-DP (pure).
    Evidence:
        Proven: docs/proofs/permute_and_flip.md.
    Assumes:
        Scores are exact integers; sensitivity and monotone hold.
    Not protected:
        The number of candidates.

    References:
        McKenna, Sheldon, "Permute-and-Flip", 2020; Ding et al., 2021.
    """

    @property
    def event(self) -> events.PermuteAndFlip:
        """What a call is charged as."""
        return events.PermuteAndFlip(epsilon=self._charged)

    def __call__(self, exact_values: Integers, rng: Rng) -> int:
        """Return the index of the candidate selected.

        All coins are flipped; the first head of a random order is a uniformly random head.
        """
        heads = np.flatnonzero(exp_coins(score_gaps(exact_values), self.rate, rng))
        return int(heads[uniform_integers(1, heads.size, rng)[0]])


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyMax(_Selection):
    """Add one-sided geometric noise to each score and return where the largest is.

    The noise Z >= 0 has P(Z = k) ∝ exp(-rate·k); ties are broken uniformly.

    Args:
        epsilon: See Guarantee.
        sensitivity: How far one privacy unit can move any one score.
        monotone: The caller's promise that between neighbours all scores move in one direction.

    Guarantee:
        epsilon-DP (pure).
    Evidence:
        Proven: docs/proofs/noisy_max.md.
    Assumes:
        Scores are exact integers; sensitivity and monotone hold.
    Not protected:
        The number of candidates. The largest noisy score itself must not be published.

    References:
        Dwork, Roth, 2014, Claim 3.9; Ding et al., 2021 (one-sided noise).
    """

    @property
    def event(self) -> events.NoisyMax:
        """What a call is charged as."""
        return events.NoisyMax(epsilon=self._charged)

    def __call__(self, exact_values: Integers, rng: Rng) -> int:
        """Return the index of the candidate selected."""
        gaps = score_gaps(exact_values)
        noise = discrete_laplace(gaps.size, scale=1 / self.rate, rng=rng)
        noise ^= noise >> 63  # a discrete Laplace x is k or -1 - k, with k geometric and free of the sign
        noise -= gaps
        best = np.flatnonzero(noise == noise.max())
        return int(best[uniform_integers(1, best.size, rng)[0]])


def score_gaps(scores: Integers) -> NDArray[np.int64]:
    """Return how far each score lies below the best, at most 2**62.

    The cap is total and keeps sensitivities: the scores max(score, best - 2**62) move no further
    than the scores themselves.
    """
    vector = integer_vector(scores)
    if not vector.size:
        raise InvalidInput("there is nothing to select from: no scores were given.")
    if vector.dtype == np.object_:
        below_best: NDArray[np.int64] = (vector.max() - vector).clip(max=_WIDEST_GAP).astype(np.int64)
        return below_best
    unsigned = vector.view(np.uint64)  # differences wrap to the right value
    gaps: NDArray[np.uint64] = unsigned[vector.argmax()] - unsigned
    return gaps.clip(max=np.uint64(_WIDEST_GAP)).astype(np.int64)
