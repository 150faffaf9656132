"""Roc: which share of members a score finds at which share of others wrongly accused, with exact intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from discreet.audit.membership.signals import Numbers, finite
from discreet.audit.statistics.rates import clopper_pearson_lower, clopper_pearson_upper
from discreet.errors import InvalidInput
from discreet.release import Internal

RATES = (0.01, 0.001, 0.0)  # at which a curve is read: accusing few is what an attacker wants


@dataclass(frozen=True, slots=True)
class Found:
    """What a score finds while it wrongly accuses no more than some share of the others.

    Attributes:
        at: The share that was allowed.
        true_positives: Members found; of `members`.
        members: How many members there were.
        false_positives: Others wrongly accused; of `others`.
        others: How many others there were.
        rate: The share of members found.
        low: Its interval, from here
        high: to here: exact (Clopper and Pearson), for the threshold was set by the others alone.
        most_false: Upper end of the true false-positive rate at that threshold, at the same confidence.
    """

    at: float
    true_positives: int
    members: int
    false_positives: int
    others: int
    rate: float
    low: float
    high: float
    most_false: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """The curve of a score.

    Attributes:
        false_positives: Others wrongly accused at each threshold, from the highest score down; begins with 0.
        true_positives: Members found there.
        confidence: Of every interval, two-sided.
        auc: The chance that a member has a higher score than another, half a chance where they are equal.
    """

    false_positives: NDArray[np.int64]
    true_positives: NDArray[np.int64]
    confidence: float
    auc: float

    @property
    def members(self) -> int:
        """How many members there were."""
        return int(self.true_positives[-1])

    @property
    def others(self) -> int:
        """How many others there were."""
        return int(self.false_positives[-1])

    def at(self, false_positive_rate: float) -> Found:
        """Return what is found at a false-positive rate of at most this; 0: nobody is wrongly accused.

        The threshold is the lowest that keeps to it: it depends on the others' scores alone, so that the
        members above it are a plain binomial count.
        """
        if not 0 <= false_positive_rate <= 1:
            raise InvalidInput(f"a rate must lie in [0, 1], got {false_positive_rate!r}.", remedy="Give another.")
        allowed = math.floor(false_positive_rate * self.others * (1 + 1e-12))
        place = int(np.searchsorted(self.false_positives, allowed, side="right")) - 1
        found, false = int(self.true_positives[place]), int(self.false_positives[place])
        low, high = interval(found, self.members, self.confidence)
        return Found(
            at=false_positive_rate,
            true_positives=found,
            members=self.members,
            false_positives=false,
            others=self.others,
            rate=found / self.members,
            low=low,
            high=high,
            most_false=interval(false, self.others, self.confidence)[1],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the curve as plain data: the corners only, and what is found at 1 %, 0.1 % and none."""
        corner = np.ones(self.false_positives.size, dtype=bool)
        steps = np.diff(self.false_positives), np.diff(self.true_positives)
        corner[1:-1] = (steps[0][:-1] * steps[1][1:]) != (steps[1][:-1] * steps[0][1:])  # a bend
        false, true = self.false_positives[corner], self.true_positives[corner]
        ends = interval(true, self.members, self.confidence)
        return {
            "members": self.members,
            "others": self.others,
            "confidence": self.confidence,
            "auc": self.auc,
            "found": [self.at(rate).to_dict() for rate in RATES],
            "curve": {
                "false_positive_rate": (false / self.others).tolist(),
                "true_positive_rate": (true / self.members).tolist(),
                "low": np.asarray(ends[0]).tolist(),
                "high": np.asarray(ends[1]).tolist(),
            },
        }


@dataclass(frozen=True, slots=True, eq=False)
class MemberRoc(Roc, Internal):
    """The curve of a score of real records: internal, so no release and no report may hold it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the curve as plain data; it stays internal."""
        return {"internal": self.note} | Roc.to_dict(self)


R = TypeVar("R", bound=Roc)


def roc(members: Numbers, others: Numbers, *, confidence: float = 0.95) -> MemberRoc:
    """Return the curve of a score that is to tell members from others.

    Args:
        members: Scores of records that the model was trained on; the higher the likelier.
        others: Scores of records that it was not trained on.
        confidence: Of every interval, two-sided.

    Raises:
        InvalidInput: one side is empty, a score is not finite, or all scores are equal.

    Assumes: members and others are drawn alike and independently; a difference between them that the model did not
        make is found as well. The intervals are for this one model: another training run has another curve.
    """
    return curve(MemberRoc, members, others, confidence=confidence)


def curve(kind: type[R], members: Numbers, others: Numbers, *, confidence: float) -> R:
    """Return the curve as an object of this kind; see `roc`."""
    inner, outer = finite("members", members, 1), finite("others", others, 1)
    if not inner.size or not outer.size:
        raise InvalidInput(
            f"a curve needs members and others, got {inner.size} and {outer.size}.",
            remedy="Score records of both kinds.",
        )
    if not 0.5 <= confidence < 1:
        raise InvalidInput(f"confidence must lie in [0.5, 1), got {confidence!r}.", remedy="The usual one is 0.95.")
    scores = np.concatenate([inner, outer])
    inside = np.arange(scores.size) < inner.size
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)  # of each run of equal scores
    if last.size == 1:
        raise InvalidInput(
            f"all {scores.size} scores are equal: they tell nobody from anybody.",
            remedy="Check the score; a model that gives one answer to all records is no attack's fault.",
        )
    true = np.append(0, np.cumsum(inside[order])[last]).astype(np.int64)
    false = np.append(0, np.cumsum(~inside[order])[last]).astype(np.int64)
    return kind(false, true, float(confidence), _area(false, true))


def area(members: Numbers, others: Numbers) -> float:
    """Return the chance that a member scores higher than another, half a chance where both are equal."""
    inner, outer = finite("members", members, 1), np.sort(finite("others", others, 1))
    below = np.searchsorted(outer, inner, side="left") + np.searchsorted(outer, inner, side="right")
    return float(below.mean() / (2 * outer.size))


def _area(false: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    doubled = np.diff(false) * (true[1:] + true[:-1])
    return float(doubled.sum() / (2 * int(false[-1]) * int(true[-1])))


def interval(successes: Any, trials: int, confidence: float) -> tuple[Any, Any]:
    """Return the exact two-sided interval of a rate (Clopper and Pearson), for one count or many."""
    alpha = (1 - confidence) / 2
    low = clopper_pearson_lower(successes, trials, alpha=alpha)
    high = clopper_pearson_upper(successes, trials, alpha=alpha)
    return (float(low), float(high)) if np.ndim(successes) == 0 else (low, high)
