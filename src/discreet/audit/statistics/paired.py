"""Paired audits: many runs with a target record, and as many without; or independent scores of members and others.

An event S of the output says "the target was in". Its two rates are bounded by Clopper and Pearson at alpha / 2
each. Where the mechanism keeps its promise, no event can have a true-positive rate above what the trade-off curve
allows at its false-positive rate; so the box refutes whatever it lies wholly outside of.

The event must not be chosen by the trials that certify it. `explicit` takes one fixed beforehand, `split` lets half
of the trials choose, `multisplit` repeats that and takes the median, `bonferroni` pays for all candidates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from discreet.audit.statistics.bound import LowerBound, check_alpha, check_delta
from discreet.audit.statistics.rates import (
    Floats,
    check_whole,
    clopper_pearson_lower,
    clopper_pearson_rest,
    clopper_pearson_upper,
)
from discreet.errors import InvalidInput
from discreet.mechanisms import Rng


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


class Certify(Protocol):
    """Makes a lower bound from counts: `mu_bound`, or `epsilon_bound` with its delta bound by `functools.partial`."""

    def __call__(self, counts: Counts, *, alpha: float) -> LowerBound:
        """Return the bound."""
        ...


def point(counts: Counts, *, alpha: float) -> Point:
    """Return the corner of the box that Clopper and Pearson give at alpha / 2 for each rate.

    Guarantee: with confidence 1 - alpha the event's false-positive rate is at most, and its true-positive rate at
        least, the point's.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials; an event and a number of trials that were fixed without looking at them.
    """
    half = check_alpha(alpha) / 2
    return Point(
        false_positive_rate=float(clopper_pearson_upper(counts.false_positives, counts.others, alpha=half)),
        true_positive_rate=float(clopper_pearson_lower(counts.true_positives, counts.members, alpha=half)),
        true_negative_rate=float(
            clopper_pearson_lower(counts.others - counts.false_positives, counts.others, alpha=half)
        ),
        false_negative_rate=float(clopper_pearson_rest(counts.true_positives, counts.members, alpha=half)),
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


def at_threshold(inside: ArrayLike, outside: ArrayLike, threshold: float) -> Counts:
    """Return the counts of the event "score >= threshold", which must have been fixed beforehand."""
    members, others = check_scores(inside, outside)
    if not math.isfinite(threshold):
        raise InvalidInput(f"threshold must be a finite number, got {threshold!r}.")
    return _counts(members, others, threshold)


def explicit(inside: ArrayLike, outside: ArrayLike, threshold: float, *, alpha: float, certify: Certify) -> LowerBound:
    """Return the bound of the event "score >= threshold", fixed beforehand.

    Args:
        inside: Scores of trials with the target; higher says "in".
        outside: Scores of trials without it.
        threshold: Chosen without looking at these scores.
        alpha: The chance of a false bound.
        certify: `mu_bound`, or `functools.partial(epsilon_bound, delta=…)`.
    """
    return certify(at_threshold(inside, outside, threshold), alpha=alpha)


def split(
    inside: ArrayLike, outside: ArrayLike, *, alpha: float, certify: Certify, rng: Rng | None = None
) -> LowerBound:
    """Return the bound of the threshold that a random half of the trials chose, certified by the other half.

    The arguments are those of `explicit`; `rng` draws the halves.

    Guarantee: as `epsilon_bound` and `mu_bound`: given the choosing half, the threshold is fixed.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials.
    """
    members, others = check_scores(inside, outside, least=2)
    return _split(members, others, alpha, certify, rng or Rng())


def multisplit(
    inside: ArrayLike, outside: ArrayLike, *, splits: int, alpha: float, certify: Certify, rng: Rng | None = None
) -> LowerBound:
    """Return the (lower) median of the bounds of several random splits, each at alpha / 2.

    Guarantee: for the median to be false half of the bounds must be, which by Markov's inequality has a chance of at
        most alpha.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials.
    """
    members, others = check_scores(inside, outside, least=2)
    check_whole("splits", splits, least=1)
    rng = rng or Rng()
    found = sorted(
        (_split(members, others, check_alpha(alpha) / 2, certify, rng) for _ in range(splits)),
        key=lambda one: one.value,
    )
    median = found[(splits - 1) // 2]
    return LowerBound(
        quantity=median.quantity,
        value=median.value,
        ceiling=median.ceiling,
        alpha=float(alpha),
        trials=members.size + others.size,
        estimator=f"median of {splits} random splits of paired scores",
        delta=median.delta,
    )


def bonferroni(
    inside: ArrayLike, outside: ArrayLike, thresholds: Sequence[float], *, alpha: float, certify: Certify
) -> LowerBound:
    """Return the best bound of several thresholds fixed beforehand, each at alpha / their number.

    Guarantee: as `epsilon_bound` and `mu_bound`: the chances of all candidates add up to alpha.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials; thresholds chosen without looking at these scores.
    """
    members, others = check_scores(inside, outside)
    levels = np.unique(np.asarray(thresholds, dtype=np.float64))
    if levels.size == 0 or not np.all(np.isfinite(levels)):
        raise InvalidInput("thresholds must be finite numbers, at least one.")
    each = check_alpha(alpha) / levels.size
    best = max((certify(_counts(members, others, level), alpha=each) for level in levels), key=lambda one: one.value)
    return LowerBound(
        quantity=best.quantity,
        value=best.value,
        ceiling=best.ceiling,
        alpha=float(alpha),
        trials=members.size + others.size,
        estimator=f"best of {levels.size} thresholds of paired scores, each at alpha / {levels.size}",
        delta=best.delta,
    )


def check_scores(inside: ArrayLike, outside: ArrayLike, *, least: int = 1) -> tuple[Floats, Floats]:
    """Return both arrays of scores, if an audit can be made of them.

    Raises:
        InvalidInput: one is no row of finite numbers, has fewer than `least`, or all scores are the same.
    """
    arrays = []
    for name, value in (("inside", inside), ("outside", outside)):
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidInput(f"the scores {name} must be numbers.") from None
        if array.ndim != 1 or array.size < least:
            raise InvalidInput(
                f"the scores {name} must be one row of at least {least} numbers, got the shape {array.shape}."
            )
        if not np.all(np.isfinite(array)):
            raise InvalidInput(
                f"{np.count_nonzero(~np.isfinite(array))} of {array.size} scores {name} are not finite.",
                remedy="Decide beforehand which score a failed run gets, and give it that.",
            )
        arrays.append(array)
    if np.unique(np.concatenate([array[:1] for array in arrays])).size == 1 and all(
        np.all(array == arrays[0][0]) for array in arrays
    ):
        raise InvalidInput(
            f"all {arrays[0].size + arrays[1].size} scores are the same: they cannot tell anything apart.",
            remedy="Look at what makes the scores: an attack that does not run looks like this.",
        )
    return arrays[0], arrays[1]


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


def _counts(members: Floats, others: Floats, threshold: float) -> Counts:
    return Counts(
        true_positives=int(np.count_nonzero(members >= threshold)),
        members=members.size,
        false_positives=int(np.count_nonzero(others >= threshold)),
        others=others.size,
    )


def _split(members: Floats, others: Floats, alpha: float, certify: Certify, rng: Rng) -> LowerBound:
    """Choose on one half the threshold whose bound is best there, and certify it on the other."""
    first, second = _halves(members, rng), _halves(others, rng)
    chosen = _best_threshold(first[0], second[0], alpha, certify)
    bound = certify(_counts(first[1], second[1], chosen), alpha=alpha)
    return LowerBound(
        quantity=bound.quantity,
        value=bound.value,
        ceiling=bound.ceiling,
        alpha=bound.alpha,
        trials=bound.trials,
        estimator="paired scores, half choose the threshold, half certify",
        delta=bound.delta,
    )


def _halves(scores: Floats, rng: Rng) -> tuple[Floats, Floats]:
    """Split at random: scores that come sorted would otherwise make halves that are not independent."""
    order = np.argsort(rng.words(scores.size), kind="stable")
    half = scores.size // 2
    return scores[order[:half]], scores[order[half:]]


def _best_threshold(members: Floats, others: Floats, alpha: float, certify: Certify) -> float:
    """Return the candidate with the best bound; candidates are scores, thinned where there are very many."""
    levels = np.unique(np.concatenate([members, others]))
    if levels.size > _CANDIDATES:
        places = np.unique(np.concatenate([_spread(levels.size), levels.size - 1 - _spread(levels.size)]))
        levels = levels[places]
    bounds = [certify(_counts(members, others, level), alpha=alpha).value for level in levels]
    return float(levels[int(np.argmax(bounds))])


_CANDIDATES = 200  # any threshold is valid; more of them only choose a little better


def _spread(size: int) -> np.ndarray:
    """Return places from one end, dense there and sparse towards the middle."""
    return np.unique(np.geomspace(1, size, _CANDIDATES // 2).astype(np.int64) - 1)
