"""Thresholds of paired audits: how an event "score >= threshold" is chosen without spoiling what it certifies.

`explicit` takes one that was fixed beforehand, `split` lets a random half of the trials choose, `multisplit` repeats
that and takes the median, `bonferroni` pays for several fixed ones, `by_rank` for several that are fixed as ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from discreet.audit.statistics.bound import LowerBound, check_alpha
from discreet.audit.statistics.paired import Counts
from discreet.audit.statistics.rates import Floats, check_whole
from discreet.errors import InvalidInput
from discreet.mechanisms import Rng

CANDIDATES = 64  # that a half chooses from: any is valid, and more of them choose only a little better


class Certify(Protocol):
    """Makes a lower bound from counts: `mu_bound`, or `functools.partial(epsilon_bound, delta=…)`."""

    def __call__(self, counts: Counts, *, alpha: float) -> LowerBound:
        """Return the bound."""
        ...


def explicit(inside: ArrayLike, outside: ArrayLike, threshold: float, *, alpha: float, certify: Certify) -> LowerBound:
    """Return the bound of the event "score >= threshold", fixed beforehand.

    Args:
        inside: Scores of trials with the target; higher says "in".
        outside: Scores of trials without it.
        threshold: Chosen without looking at these scores.
        alpha: The chance of a false bound.
        certify: `mu_bound`, or `functools.partial(epsilon_bound, delta=…)`.
    """
    members, others = check_scores(inside, outside)
    if not math.isfinite(threshold):
        raise InvalidInput(f"threshold must be a finite number, got {threshold!r}.")
    return certify(count(members, others, threshold), alpha=alpha)


def split(
    inside: ArrayLike, outside: ArrayLike, *, alpha: float, certify: Certify, rng: Rng | None = None
) -> LowerBound:
    """Return the bound of the threshold that a random half of the trials chose, certified by the other half.

    The arguments are those of `explicit`; `rng` draws the halves.

    Guarantee: that of `certify`: given the choosing half, the threshold is fixed.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials.
    """
    members, others = check_scores(inside, outside, least=2)
    return _split(members, others, check_alpha(alpha), certify, rng or Rng())


def multisplit(
    inside: ArrayLike, outside: ArrayLike, *, splits: int, alpha: float, certify: Certify, rng: Rng | None = None
) -> LowerBound:
    """Return the (lower) median of the bounds of several random splits, each at alpha / 2.

    The other arguments are those of `split`.

    Guarantee: that of `certify`: for the median to be false half of the bounds must be, which by Markov's inequality
        has a chance of at most alpha.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials.
    """
    members, others = check_scores(inside, outside, least=2)
    check_whole("splits", splits, least=1)
    half, source = check_alpha(alpha) / 2, rng or Rng()
    found = sorted(
        (_split(members, others, half, certify, source) for _ in range(splits)), key=lambda bound: bound.value
    )
    how = f"median of {splits} random splits of paired scores, each at alpha / 2"
    return _named(found[(splits - 1) // 2], alpha, members, others, how)


def bonferroni(
    inside: ArrayLike, outside: ArrayLike, thresholds: Sequence[float], *, alpha: float, certify: Certify
) -> LowerBound:
    """Return the best bound of several thresholds fixed beforehand, each at alpha / their number.

    Guarantee: that of `certify`: the chances of all thresholds add up to alpha.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials; thresholds chosen without looking at these scores. For others use `by_rank`.
    """
    members, others = check_scores(inside, outside)
    levels = np.unique(np.asarray(thresholds, dtype=np.float64))
    if levels.size == 0 or not np.all(np.isfinite(levels)):
        raise InvalidInput("thresholds must be finite numbers, at least one.")
    each = check_alpha(alpha) / levels.size
    best = max((certify(count(members, others, float(level)), alpha=each) for level in levels), key=_value)
    return _named(best, alpha, members, others, f"best of {levels.size} thresholds of paired scores")


def by_rank(inside: ArrayLike, outside: ArrayLike, *, alpha: float, certify: Certify) -> LowerBound:
    """Return the best bound of thresholds that are themselves scores, at ranks fixed beforehand.

    For k = 0, 1, 2, 3, 4, 6, 8, 11, … : above the (k + 1)-th highest score without the target there are at most k
    false positives, and the law of that threshold is such that Clopper and Pearson's bound for k holds. Likewise
    below the (k + 1)-th lowest score with the target. Each is at alpha / the number of ranks.

    Guarantee: that of `certify`: the chances of all ranks add up to alpha.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials.
    """
    members, others = check_scores(inside, outside)
    tried = [*_from_above(members, others), *_from_below(members, others)]
    each = check_alpha(alpha) / len(tried)
    best = max((certify(counts, alpha=each) for counts in tried), key=_value)
    return _named(best, alpha, members, others, f"best of {len(tried)} ranks of paired scores")


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
    members, others = arrays
    if np.all(members == members[0]) and np.all(others == members[0]):
        raise InvalidInput(
            f"all {members.size + others.size} scores are the same: they cannot tell anything apart.",
            remedy="Look at what makes the scores: an attack that does not run looks like this.",
        )
    return members, others


def count(members: Floats, others: Floats, threshold: float) -> Counts:
    """Return the counts of the event "score >= threshold"."""
    return Counts(
        true_positives=int(np.count_nonzero(members >= threshold)),
        members=members.size,
        false_positives=int(np.count_nonzero(others >= threshold)),
        others=others.size,
    )


def halves(scores: Floats, rng: Rng) -> tuple[Floats, Floats]:
    """Split at random: halves of scores that come sorted would otherwise not be independent."""
    order = np.argsort(rng.words(scores.size), kind="stable")
    half = scores.size // 2
    return scores[order[:half]], scores[order[half:]]


def candidates(members: Floats, others: Floats) -> Floats:
    """Return scores to choose a threshold from; where there are many, most of those near either end."""
    levels = np.unique(np.concatenate([members, others]))
    if levels.size <= CANDIDATES:
        return levels
    places = np.geomspace(1, levels.size, CANDIDATES // 2).astype(np.int64) - 1
    thinned: Floats = levels[np.unique(np.concatenate([places, levels.size - 1 - places]))]
    return thinned


def _split(members: Floats, others: Floats, alpha: float, certify: Certify, rng: Rng) -> LowerBound:
    """Choose on one half the threshold whose bound is best there, and certify it on the other."""
    first, second = halves(members, rng), halves(others, rng)
    levels = candidates(first[0], second[0])
    values = [certify(count(first[0], second[0], float(level)), alpha=alpha).value for level in levels]
    chosen = float(levels[int(np.argmax(values))])
    bound = certify(count(first[1], second[1], chosen), alpha=alpha)
    return replace(bound, estimator="paired scores, half choose the threshold, half certify")


def _from_above(members: Floats, others: Floats) -> Iterator[Counts]:
    """Yield counts of "score > the (k + 1)-th highest of the others", of which k are taken to be above."""
    falling, rising = np.sort(others)[::-1], np.sort(members)
    for k in _ranks(others.size):
        above = members.size - int(np.searchsorted(rising, falling[k], side="right"))
        yield Counts(above, members.size, k, others.size)


def _from_below(members: Floats, others: Floats) -> Iterator[Counts]:
    """Yield counts of "score >= the (k + 1)-th lowest of the members", of which k are taken to be below."""
    lowest, rising = np.sort(members), np.sort(others)
    for k in _ranks(members.size):
        below = int(np.searchsorted(rising, lowest[k], side="left"))
        yield Counts(members.size - k, members.size, others.size - below, others.size)


def _ranks(size: int) -> list[int]:
    """Return 0, 1, 2, 3, 4, 6, 8, 11, …: each about √2 times the one before, below half of the scores."""
    steps = math.ceil(2 * math.log2(max(2, size)))
    return sorted({0, *(k for k in (round(2 ** (step / 2)) for step in range(steps)) if 2 * k < size)})


def _value(bound: LowerBound) -> float:
    return bound.value


def _named(bound: LowerBound, alpha: float, members: Floats, others: Floats, how: str) -> LowerBound:
    """Return the bound for all of what was tried."""
    return replace(bound, alpha=float(alpha), trials=members.size + others.size, estimator=how)
