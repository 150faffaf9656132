"""Many questions at once: Benjamini and Hochberg, Westfall and Young, and lists with a false discovery rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from discreet.audit.statistics.coins import check_coins
from discreet.audit.statistics.rates import Floats, Integers, check_whole
from discreet.errors import InvalidInput
from discreet.mechanisms import Rng

BATCH = 2**22  # labels that are shuffled at a time


@dataclass(frozen=True, slots=True, eq=False)
class LeakList:
    """Units that are called leaks.

    Args:
        listed: Their indices, highest score first.
        threshold: The score from which on units were listed; infinite if none was.
        false_discovery_rate: The expected share of false ones among them, at most.
    """

    listed: Integers
    threshold: float
    false_discovery_rate: float


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Return adjusted p-values: rejecting those up to q keeps the false discovery rate at q.

    Guarantee: the expected share of false ones among the rejected is at most q.
    Evidence: cited, Benjamini and Hochberg 1995; Benjamini and Yekutieli 2001 for positive dependence.
    Assumes: p-values that are independent, or positively dependent.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.all((values >= 0) & (values <= 1)):
        raise InvalidInput("p-values must be one row of numbers in [0, 1], at least one.")
    order = np.argsort(values, kind="stable")
    scaled = values[order] * values.size / np.arange(1, values.size + 1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def max_t(
    scores: Mapping[str, ArrayLike], coins: ArrayLike, *, permutations: int = 9999, rng: Rng | None = None
) -> dict[str, float]:
    """Return for each detector its p-value of "scores do not depend on the coins", adjusted for all of them.

    The statistic is the sum of the ranks of units that were in, standardised; each is compared with the largest of
    all detectors under shuffled coins (Westfall and Young), so that detectors that agree cost little.

    Guarantee: if no score depends on the coins, any p-value of at most α has a chance of at most α.
    Evidence: proven, docs/proofs/audit_lists.md.
    Assumes: coins that are exchangeable: independent flips of one coin, or a uniform split.
    """
    check_whole("permutations", permutations, least=19)
    labels = np.asarray(coins)
    if labels.ndim != 1 or not np.all((labels == 0) | (labels == 1)) or len(np.unique(labels)) < 2:
        raise InvalidInput("coins must be one row of zeros and ones, with some of both.")
    if not scores:
        raise InvalidInput("max_t needs the scores of at least one detector.")
    ranks = np.stack([_centred_ranks(name, one, labels.size) for name, one in scores.items()])
    observed = ranks @ labels.astype(np.float64)
    source, heads = rng or Rng(), int(np.count_nonzero(labels))
    beaten, rows = np.zeros(len(scores), dtype=np.int64), max(1, BATCH // labels.size)
    for start in range(0, permutations, rows):
        batch = min(rows, permutations - start)
        keys = source.words(batch * labels.size).reshape(batch, labels.size)
        chosen = np.argpartition(keys, heads - 1, axis=1)[:, :heads]  # a uniform set of as many units
        largest = ranks[:, chosen].sum(axis=2).max(axis=0)
        beaten += np.count_nonzero(largest[None, :] >= observed[:, None] - 1e-9, axis=1)
    adjusted = (1 + beaten) / (permutations + 1)
    return dict(zip(scores, map(float, adjusted), strict=True))


def leak_list(scores: ArrayLike, coins: ArrayLike, *, false_discovery_rate: float, rate: float = 0.5) -> LeakList:
    """Return training units whose scores are so high that at most a share of them is expected to be coincidence.

    Held-out units with high scores are decoys: they say how many training units score as high without a cause. From
    the lowest threshold t at which rate / (1 - rate)·(1 + decoys) / listed is at most the wanted share, all training
    units are listed (SeqStep+).

    Args:
        scores: One for each unit, higher says "leaked"; computed from the release and the unit, never from its side.
        coins: Whether each unit was in training, in the order in which the coins were flipped.
        false_discovery_rate: The expected share of false ones in the list.
        rate: The chance with which each unit was put into training.

    Guarantee: the expected share of listed units whose score does not depend on their side is at most
        `false_discovery_rate`.
    Evidence: proven, docs/proofs/audit_lists.md.
    Assumes: independent coins of this rate, which stay fair for the false ones given all scores and the coins of the
        others. That holds where no unit's score depends on another's coin.
    """
    if not 0 < false_discovery_rate < 1:
        raise InvalidInput(f"false_discovery_rate must lie strictly between 0 and 1, got {false_discovery_rate!r}.")
    labels = check_coins(coins, rate=rate)
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != labels.shape or not np.all(np.isfinite(values)):
        raise InvalidInput(f"scores must be finite numbers, one for each of the {labels.size} coins.")
    if np.all(values == values[0]):
        raise InvalidInput(f"all {values.size} scores are the same: they cannot tell anything apart.")
    order = np.argsort(-values, kind="stable")
    ends = np.append(values[order][1:] < values[order][:-1], [True])
    listed = np.cumsum(labels[order])[ends]
    decoys = np.flatnonzero(ends) + 1 - listed
    odds = rate / (1 - rate)
    good = np.flatnonzero(odds * (1 + decoys) <= false_discovery_rate * np.maximum(listed, 1))
    if good.size == 0:
        return LeakList(np.empty(0, dtype=np.int64), float("inf"), float(false_discovery_rate))
    end = int(np.flatnonzero(ends)[good[-1]]) + 1
    chosen = order[:end]
    return LeakList(chosen[labels[chosen]], float(values[order[end - 1]]), float(false_discovery_rate))


def _centred_ranks(name: str, scores: ArrayLike, units: int) -> Floats:
    """Return the ranks of the scores, ties shared, with mean 0 and variance 1."""
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (units,) or not np.all(np.isfinite(values)):
        raise InvalidInput(f"the scores of {name!r} must be finite numbers, one for each of the {units} coins.")
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    if counts.size == 1:
        raise InvalidInput(f"all scores of {name!r} are the same: they cannot tell anything apart.")
    middles = np.cumsum(counts) - (counts - 1) / 2
    ranks = middles[places]
    centred: Floats = (ranks - ranks.mean()) / ranks.std()
    return centred
