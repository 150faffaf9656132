"""One-run audits: fair coins put many canaries in or leave them out, one run, then guesses at who was in.

Whoever keeps (ε, δ)-DP, or a trade-off curve, for each canary by itself, limits how many of r guesses are right:

    Σ_{k in K} k·P[V = k]  ≤  what the promise allows given  Σ_{k in K} (r - k + 1)·P[V = k - 1]

for every set K of counts, where V is the number of right guesses. That one inequality gives both tests here. For
(ε, δ) the largest P[V ≥ v] that it permits has a closed form (`p_value`), which is attained. For a curve it is
solved from v downwards (`curve_rejected`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from discreet.audit.statistics.bound import LowerBound, check_alpha, check_delta
from discreet.audit.statistics.coins import Canaries, check_rate, default_guesses, ranked
from discreet.audit.statistics.curve import Blow, gaussian_blow, profile_blow
from discreet.audit.statistics.rates import (
    binomial_lower_tail,
    binomial_upper_tail,
    check_whole,
    clopper_pearson_lower,
    log_binomials,
)
from discreet.errors import InvalidInput
from discreet.profiles import PrivacyProfile

LARGEST = 64.0  # no audit certifies more: that would take e^64 canaries


@dataclass(frozen=True, slots=True)
class CurveTest:
    """Whether the canaries refute a whole curve.

    Args:
        profile: The curve.
        rejected: Whether it is refuted, at a chance of alpha of a false alarm.
        could_reject: Whether it would have been, had every guess been right.
        alpha: The chance of a false alarm.
        trials: How many canaries.
        estimator: How, in words.
    """

    profile: PrivacyProfile
    rejected: bool
    could_reject: bool
    alpha: float
    trials: int
    estimator: str

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as plain data, without the curve."""
        return {
            "rejected": self.rejected,
            "could_reject": self.could_reject,
            "alpha": self.alpha,
            "trials": self.trials,
            "estimator": self.estimator,
        }


def p_value(canaries: int, guesses: int, right: int, *, epsilon: float, delta: float, rate: float = 0.5) -> float:
    """Return the largest chance of so many right guesses under (epsilon, delta)-DP, rounded up.

    Args:
        canaries: How many were flipped.
        guesses: How many are guessed to have been in; a number fixed beforehand. Who they are depends on the output.
        right: How many guesses are right.
        epsilon: The ε of the hypothesis.
        delta: Its δ.
        rate: The chance with which each canary was put in.

    Guarantee: P[at least `right` right guesses] is at most the returned value, for every mechanism that keeps
        (epsilon, delta)-DP when one canary is put in or left out.
    Evidence: proven, docs/proofs/one_run.md.
    Assumes: independent coins; guesses that depend on the output alone.
    References: Steinke, Nasr, Jagielski 2023, whose bound (`published_p_value`) this sharpens.
    """
    reach = _reach(canaries, guesses, right, delta, rate)
    chance = most_right(epsilon, rate)
    tail = float(binomial_upper_tail(right, guesses, chance))
    if right == 0 or reach == 0:
        return tail
    below = float(binomial_lower_tail(right - 1, guesses, chance))
    return min(1.0, (tail + reach * below * leverage(guesses, right, chance)) * (1 + 1e-12))


def published_p_value(
    canaries: int, guesses: int, right: int, *, epsilon: float, delta: float, rate: float = 0.5
) -> float:
    """Return the p-value as Steinke, Nasr and Jagielski published it, which other packages compute.

    P[W ≥ v] + 2mδ·max_i P[v > W ≥ v - i] / i. Here for comparison; no bound of ours uses it. Where it is below 1/2
    it is the larger one, at all settings that were tried.
    """
    _reach(canaries, guesses, right, delta, rate)
    chance = most_right(epsilon, rate)
    tail = float(binomial_upper_tail(right, guesses, chance))
    if right == 0 or delta == 0 or chance >= 1:
        return tail
    below = np.cumsum(np.exp(log_binomials(np.arange(right - 1, -1, -1), guesses, chance)))  # P[v > W ≥ v - i]
    return min(1.0, tail + 2 * canaries * delta * float(np.max(below / np.arange(1, right + 1))))


def largest(holds: Callable[[float], bool], *, start: float = 0.0, most: float = LARGEST) -> float:
    """Return the largest number up to `most` at which `holds`, to 1e-11 and from below; `start` if it holds nowhere.

    `holds` must be true up to some number and false beyond. Only numbers at which it was seen to hold are returned.
    """
    if not holds(start):
        return start
    low, high = start, max(1.0, 2 * start)
    while high < most and holds(high):
        low, high = high, 2 * high
    high = min(high, most)
    for _ in range(60):
        middle = (low + high) / 2
        if not low < middle < high or high - low < 1e-11 * high:
            break
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def epsilon_of_counts(
    canaries: int, guesses: int, right: int, *, delta: float, alpha: float, rate: float = 0.5, start: float = 0.0
) -> float:
    """Return the largest ε that so many right guesses refute at `delta`; see `p_value`. `start` if none above it."""
    check_alpha(alpha)

    def refuted(epsilon: float) -> bool:
        return p_value(canaries, guesses, right, epsilon=epsilon, delta=delta, rate=rate) <= alpha

    return largest(refuted, start=start)


def epsilon_bound(
    scores: ArrayLike,
    coins: ArrayLike,
    *,
    delta: float,
    alpha: float,
    rate: float = 0.5,
    guesses: Sequence[int] | None = None,
) -> LowerBound:
    """Return the best lower bound of ε at `delta` over several numbers of guesses, each at alpha / their number.

    Args:
        scores: One for each canary, higher says "was in"; computed from the output and the canary, never from the coin.
        coins: Whether each was in, in the order in which the coins were flipped.
        delta: The δ of the bound.
        alpha: The chance of a false bound.
        rate: The chance with which each canary was put in.
        guesses: Numbers of top scores to guess "was in"; fixed beforehand. Default: `default_guesses`.

    Guarantee: if the mechanism is (ε, delta)-DP when one canary is put in or left out, the chance that the bound
        exceeds ε is at most alpha.
    Evidence: proven, docs/proofs/one_run.md.
    Assumes: independent coins of this rate; scores that depend on the output alone.
    Not protected: one run sees what its canaries see. Where they hide each other, the bound is far below the truth.
    """
    check_delta(delta)
    held = ranked(scores, coins, rate=rate)
    counts = _numbers(held, guesses)
    each = check_alpha(alpha) / len(counts)

    def best(right: Callable[[int], int]) -> float:
        found = 0.0
        for r, v in _promising(counts, right, each):
            found = epsilon_of_counts(held.total, r, v, delta=delta, alpha=each, rate=held.rate, start=found)
        return found

    return LowerBound(
        quantity="epsilon",
        value=best(held.right),
        ceiling=best(lambda r: min(r, held.inside)),
        alpha=float(alpha),
        trials=held.total,
        estimator=f"one run, {len(counts)} numbers of guesses",
        delta=float(delta),
    )


def curve_rejected(guesses: int, right: int, blow: Blow, *, alpha: float, inside: float, outside: float) -> bool:
    """Return whether a chance of alpha for so many right guesses is more than the curve permits.

    Args:
        guesses: How many guesses, a number fixed beforehand.
        right: How many are right.
        blow: Returns the least false-positive rate at which the curve allows a true-positive rate.
        alpha: The chance.
        inside: The expected number of canaries that are in: canaries·rate.
        outside: The expected number of those that are out.

    Guarantee: if the curve holds for each canary, at least `right` right guesses have a chance below alpha.
    Evidence: proven, docs/proofs/one_run.md.
    References: Mahloujifar, Melis, Chaudhuri 2024. Their recursion counts all canaries as `inside` and as `outside`,
        which guesses that may also be "was out" need, and others do not.
    """
    hits, misses = alpha * right, alpha * (guesses - right)  # Σ k·P[V = k] and Σ (r - k)·P[V = k] over k ≥ j
    for j in range(right, 0, -1):
        share = hits / inside
        if share > 1 + 1e-9:
            return True
        needed = outside * blow(min(1.0, share))
        if needed <= misses:
            return False
        mass = (needed - misses) / (guesses - j + 1)  # at least so much at j - 1
        hits, misses = hits + (j - 1) * mass, needed
        if hits + misses > guesses * (1 + 1e-9):
            return True
    return False


def mu_bound(
    scores: ArrayLike,
    coins: ArrayLike,
    *,
    alpha: float,
    rate: float = 0.5,
    guesses: Sequence[int] | None = None,
) -> LowerBound:
    """Return the best lower bound of the μ of Gaussian DP over several numbers of guesses.

    The arguments are those of `epsilon_bound`.

    Guarantee: if the mechanism is μ-GDP when one canary is put in or left out, the chance that the bound exceeds μ is
        at most alpha.
    Evidence: proven, docs/proofs/one_run.md.
    Assumes: independent coins of this rate; scores that depend on the output alone.
    Not protected: read as an ε by the Gaussian curve it holds for mechanisms that are GDP, and for no others.
    """
    held = ranked(scores, coins, rate=rate)
    counts = _numbers(held, guesses)
    each = check_alpha(alpha) / len(counts)
    inside, outside = held.total * held.rate, held.total * (1 - held.rate)

    def best(right: Callable[[int], int]) -> float:
        found = 0.0
        for r, v in _promising(counts, right, each):

            def refuted(mu: float, r: int = r, v: int = v) -> bool:
                return curve_rejected(r, v, gaussian_blow(mu), alpha=each, inside=inside, outside=outside)

            found = largest(refuted, start=found)
        return found

    return LowerBound(
        quantity="mu",
        value=best(held.right),
        ceiling=best(lambda r: min(r, held.inside)),
        alpha=float(alpha),
        trials=held.total,
        estimator=f"one run, {len(counts)} numbers of guesses",
    )


def curve_test(
    scores: ArrayLike,
    coins: ArrayLike,
    profile: PrivacyProfile,
    *,
    alpha: float,
    rate: float = 0.5,
    guesses: Sequence[int] | None = None,
) -> CurveTest:
    """Return whether the canaries refute a whole curve; the other arguments are those of `epsilon_bound`.

    Guarantee: if the curve holds when one canary is put in or left out, it is rejected with a chance of at most alpha.
    Evidence: proven, docs/proofs/one_run.md.
    Assumes: independent coins of this rate; scores that depend on the output alone.
    """
    held = ranked(scores, coins, rate=rate)
    counts = _numbers(held, guesses)
    each = check_alpha(alpha) / len(counts)
    blow = profile_blow(profile)
    inside, outside = held.total * held.rate, held.total * (1 - held.rate)

    def any_rejected(right: Callable[[int], int]) -> bool:
        return any(curve_rejected(r, right(r), blow, alpha=each, inside=inside, outside=outside) for r in counts)

    return CurveTest(
        profile=profile,
        rejected=any_rejected(held.right),
        could_reject=any_rejected(lambda r: min(r, held.inside)),
        alpha=float(alpha),
        trials=held.total,
        estimator=f"one run against the curve, {len(counts)} numbers of guesses",
    )


def _reach(canaries: int, guesses: int, right: int, delta: float, rate: float) -> float:
    """Check the counts; return the expected number of canaries that are in and that δ gives away."""
    check_whole("canaries", canaries, least=1)
    check_whole("guesses", guesses, least=1)
    check_whole("right", right)
    check_delta(delta)
    check_rate(rate)
    if not right <= guesses <= canaries:
        raise InvalidInput(
            f"of {canaries} canaries at most all can be guessed at, and at most all guesses be right; "
            f"got {guesses} guesses, {right} right."
        )
    return canaries * delta * rate


def most_right(epsilon: float, rate: float) -> float:
    """Return the chance of a right guess that ε allows at most, rounded up."""
    if not 0 <= epsilon < math.inf:
        raise InvalidInput(f"epsilon must be a finite number of at least 0, got {epsilon!r}.")
    return min(1.0, 1 / (1 + math.exp(-epsilon) * (1 - rate) / rate) * (1 + 1e-15))


def leverage(guesses: int, right: int, chance: float) -> float:
    """Return P[W ≥ v] / (v·P[W = v]) for a binomial W and v ≥ 1, rounded up: what each canary given away adds."""
    if chance >= 1:
        return 1 / right
    tail = float(binomial_upper_tail(right, guesses, chance))
    if tail > 1e-280:
        log_ratio = math.log(tail) - float(log_binomials(right, guesses, chance))
    else:  # the terms beyond v fall at least as fast as a geometric series
        step = (guesses - right) / (right + 1) * chance / (1 - chance)
        log_ratio = math.log(guesses - right + 1) if step >= 1 else -math.log1p(-step) + 1e-12
    return math.exp(min(700.0, log_ratio)) / right


def _numbers(held: Canaries, guesses: Sequence[int] | None) -> tuple[int, ...]:
    """Return the numbers of guesses to try, checked."""
    if guesses is None:
        return default_guesses(held.total, rate=held.rate)
    counts = tuple(sorted({check_whole("guesses", one, least=1) for one in guesses}))
    if not counts or counts[-1] > held.total:
        raise InvalidInput(f"guesses must be numbers from 1 to the {held.total} canaries, at least one.")
    return counts


def _promising(counts: tuple[int, ...], right: Callable[[int], int], alpha: float) -> list[tuple[int, int]]:
    """Return numbers of guesses with how many are right, best precision first: later ones are settled by one look."""
    pairs = [(r, right(r)) for r in counts]
    least = clopper_pearson_lower([v for _, v in pairs], [r for r, _ in pairs], alpha=alpha)
    return [pairs[i] for i in sorted(range(len(pairs)), key=lambda i: -least[i])]
