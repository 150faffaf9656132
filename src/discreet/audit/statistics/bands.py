"""Bands around a trade-off curve, and the point at which a claimed curve is missed by most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from discreet.audit.statistics.bound import check_alpha
from discreet.audit.statistics.paired import Point, point
from discreet.audit.statistics.rates import Floats, dkw_radius
from discreet.audit.statistics.thresholds import CANDIDATES, candidates, check_scores, count, halves
from discreet.mechanisms import Rng
from discreet.profiles import PrivacyProfile


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """The rates of the event "score >= threshold", at every threshold, each between two ends.

    All ends hold together with confidence 1 - alpha. They are about these scores: another attack may do better.

    Args:
        thresholds: Increasing.
        false_positive_rates: Estimates, one for each threshold.
        true_positive_rates: The same.
        false_radius: How far the first may be from the truth.
        true_radius: How far the second may be.
        alpha: The chance that some end is wrong.
        trials: How many scores there were.
    """

    thresholds: Floats
    false_positive_rates: Floats
    true_positive_rates: Floats
    false_radius: float
    true_radius: float
    alpha: float
    trials: int

    @property
    def most_false(self) -> Floats:
        """The upper ends of the false-positive rates."""
        ends: Floats = np.minimum(1.0, self.false_positive_rates + self.false_radius)
        return ends

    @property
    def least_true(self) -> Floats:
        """The lower ends of the true-positive rates."""
        ends: Floats = np.maximum(0.0, self.true_positive_rates - self.true_radius)
        return ends

    def refutes(self, profile: PrivacyProfile) -> bool:
        """Return whether the whole band lies outside of what the curve allows, at some of 64 thresholds."""
        places = np.unique(np.linspace(0, self.thresholds.size - 1, CANDIDATES).astype(np.int64))
        corners = zip(self.most_false[places], self.least_true[places], strict=True)
        return any(least > profile.true_positive_rate(float(most)).upper for most, least in corners)


def band(inside: ArrayLike, outside: ArrayLike, *, alpha: float) -> Band:
    """Return the band that Dvoretzky, Kiefer, Wolfowitz and Massart give, alpha / 2 for each kind of scores.

    Guarantee: with confidence 1 - alpha, both rates of "score >= threshold" are within their radii, at all thresholds.
    Evidence: cited, Massart 1990.
    Assumes: independent scores.
    """
    members, others = check_scores(inside, outside)
    half = check_alpha(alpha) / 2
    levels = np.unique(np.concatenate([members, others]))
    return Band(
        thresholds=levels,
        false_positive_rates=_above(others, levels),
        true_positive_rates=_above(members, levels),
        false_radius=dkw_radius(others.size, alpha=half),
        true_radius=dkw_radius(members.size, alpha=half),
        alpha=float(alpha),
        trials=members.size + others.size,
    )


def farthest_point(
    inside: ArrayLike, outside: ArrayLike, *, profile: PrivacyProfile, alpha: float, rng: Rng | None = None
) -> Point:
    """Return the point of the threshold that a random half chose because it misses the curve by most there.

    Args:
        inside: Scores of trials with the target; higher says "in".
        outside: Scores of trials without it.
        profile: The claimed curve.
        alpha: The chance of a false point.
        rng: Draws the halves.

    Guarantee: as `paired.point`: given the choosing half, the threshold is fixed.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials.
    """
    members, others = check_scores(inside, outside, least=2)
    source = rng or Rng()
    first, second = halves(members, source), halves(others, source)
    best, chosen = -np.inf, 0.0
    for level in candidates(first[0], second[0]):
        found = point(count(first[0], second[0], float(level)), alpha=alpha)
        excess = found.true_positive_rate - profile.true_positive_rate(found.false_positive_rate).upper
        if excess > best:
            best, chosen = excess, float(level)
    return point(count(first[1], second[1], chosen), alpha=alpha)


def _above(scores: Floats, levels: Floats) -> Floats:
    """Return the share of the scores at or above each level."""
    share: Floats = (scores.size - np.searchsorted(np.sort(scores), levels, side="left")) / scores.size
    return share
