"""Paired audits: many runs with a target record, and as many without; or independent scores of members and others.

An event S of the output says "the target was in". Its two rates are bounded by Clopper and Pearson at alpha / 2
each. Where the mechanism keeps its promise, no event can have a true-positive rate above what the trade-off curve
allows at its false-positive rate; so the box refutes whatever it lies wholly outside of.

The event must not be chosen by the trials that certify it: `discreet.audit.statistics.thresholds` has ways to choose.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

from discreet.audit.statistics.bound import LowerBound, check_alpha, check_delta
from discreet.audit.statistics.rates import (
    check_whole,
    clopper_pearson_lower,
    clopper_pearson_rest,
)
from discreet.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Counts:
    """How often an event came up.

    Args:
        true_positives: In how many trials with the target.
        members: How many trials there were with the target.
        false_positives: In how many trials without it.
        others: How many trials there were without it.
    """

    true_positives: int
    members: int
    false_positives: int
    others: int

    def __post_init__(self) -> None:
        for hits, trials in (("true_positives", "members"), ("false_positives", "others")):
            n = check_whole(trials, getattr(self, trials), least=1)
            if check_whole(hits, getattr(self, hits)) > n:
                raise InvalidInput(f"{hits} must not exceed {trials}, got {getattr(self, hits)!r} of {n}.")

    @property
    def trials(self) -> int:
        """All trials together."""
        return self.members + self.others

    @property
    def perfect(self) -> Counts:
        """The counts of an attack that was right every time: what the ceiling is made of."""
        return Counts(self.members, self.members, 0, self.others)


@dataclass(frozen=True, slots=True)
class Point:
    """A corner of the box: both statements hold together with confidence 1 - alpha.

    Args:
        false_positive_rate: The event's is at most this.
        true_positive_rate: The event's is at least this.
        true_negative_rate: 1 - false_positive_rate without the cancellation, rounded down.
        false_negative_rate: 1 - true_positive_rate without the cancellation, rounded up.
        alpha: The chance that either is false.
        counts: What it was made of.
    """

    false_positive_rate: float
    true_positive_rate: float
    true_negative_rate: float
    false_negative_rate: float
    alpha: float
    counts: Counts

    @property
    def ceiling(self) -> Point:
        """The point of an attack that was right every time."""
        return point(self.counts.perfect, alpha=self.alpha)

    def to_dict(self) -> dict[str, Any]:
        """Return the point as plain data, with its counts."""
        return {
            "false_positive_rate": self.false_positive_rate,
            "true_positive_rate": self.true_positive_rate,
            "alpha": self.alpha,
            "counts": asdict(self.counts),
        }


@lru_cache(maxsize=256)  # the ceiling of the same trials is asked for again and again
def point(counts: Counts, *, alpha: float) -> Point:
    """Return the corner of the box that Clopper and Pearson give at alpha / 2 for each rate.

    Guarantee: with confidence 1 - alpha the event's false-positive rate is at most, and its true-positive rate at
        least, the point's.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials; an event and a number of trials that were fixed without looking at them.
    """
    half = check_alpha(alpha) / 2
    right = counts.true_positives, counts.others - counts.false_positives
    trials = counts.members, counts.others
    lower = clopper_pearson_lower(right, trials, alpha=half)
    rest = clopper_pearson_rest(right, trials, alpha=half)
    return Point(
        false_positive_rate=float(rest[1]),
        true_positive_rate=float(lower[0]),
        true_negative_rate=float(lower[1]),
        false_negative_rate=float(rest[0]),
        alpha=float(alpha),
        counts=counts,
    )


def epsilon_bound(counts: Counts, *, delta: float, alpha: float) -> LowerBound:
    """Return a lower bound of ε at `delta`.

    Guarantee: if the mechanism is (ε, delta)-DP for this pair, the chance that the bound exceeds ε is at most alpha.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials; an event and a number of trials that were fixed without looking at them.
    Not protected: pairs of data and events that nobody tried.
    """
    check_delta(delta)
    found, best = point(counts, alpha=alpha), point(counts.perfect, alpha=alpha)
    return LowerBound(
        quantity="epsilon",
        value=_epsilon(found, delta),
        ceiling=_epsilon(best, delta),
        alpha=float(alpha),
        trials=counts.trials,
        estimator="paired counts, Clopper-Pearson",
        delta=float(delta),
    )


def mu_bound(counts: Counts, *, alpha: float) -> LowerBound:
    """Return a lower bound of the μ for which the mechanism can be μ-GDP.

    Guarantee: if the mechanism is μ-GDP for this pair, the chance that the bound exceeds μ is at most alpha.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials; an event and a number of trials that were fixed without looking at them.
    Not protected: read as an ε by the Gaussian curve it holds for mechanisms that are GDP, and for no others.
    """
    found, best = point(counts, alpha=alpha), point(counts.perfect, alpha=alpha)
    return LowerBound(
        quantity="mu",
        value=_mu(found),
        ceiling=_mu(best),
        alpha=float(alpha),
        trials=counts.trials,
        estimator="paired counts, Clopper-Pearson",
    )


def epsilon_ceiling(members: int, others: int, *, delta: float, alpha: float) -> float:
    """Return the largest ε that so many trials can certify at `delta`: every member found, no false alarm."""
    check_delta(delta)
    return _epsilon(point(Counts(members, members, 0, others), alpha=alpha), delta)


def mu_ceiling(members: int, others: int, *, alpha: float) -> float:
    """Return the largest μ that so many trials can certify: every member found, no false alarm."""
    return _mu(point(Counts(members, members, 0, others), alpha=alpha))


def _epsilon(found: Point, delta: float) -> float:
    """Return max(ln((TPR - δ) / FPR), ln((TNR - δ) / FNR), 0), rounded down."""
    best = 0.0
    for right, wrong in (
        (found.true_positive_rate, found.false_positive_rate),
        (found.true_negative_rate, found.false_negative_rate),
    ):
        if right > delta:
            best = max(best, math.log((right - delta) * (1 - 1e-15) / wrong) - 1e-15)
    return best * (1 - 1e-15)


def _mu(found: Point) -> float:
    """Return Φ⁻¹(TPR) - Φ⁻¹(FPR), rounded down, at least 0."""
    if found.true_positive_rate == 0 or found.true_negative_rate == 0:
        return 0.0
    quantiles = (
        _quantile(found.true_positive_rate, found.false_negative_rate),
        _quantile(found.true_negative_rate, found.false_positive_rate),
    )
    return max(0.0, sum(quantiles) - 1e-12 * (1 + sum(map(abs, quantiles))))


def _quantile(rate: float, rest: float) -> float:
    """Return Φ⁻¹(rate), from whichever of rate and 1 - rate is small."""
    return NormalDist().inv_cdf(rate) if rate <= 0.5 else -NormalDist().inv_cdf(rest)
