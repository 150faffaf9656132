"""Scores of membership: from what models say of a record to one number, the higher the likelier a member.

Every score is a function of the models and the records alone, never of who was a member of the target: what
turns scores into a bound (`Flip.audit`) relies on that. A score is an attack, not a proof: a bad one finds less.
"""

from __future__ import annotations

import math
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from discreet.audit.membership.prior import Prior, prior
from discreet.audit.membership.roc import area
from discreet.audit.membership.signals import LEAST_VARIANCE, Numbers, Side, Signals, finite, special
from discreet.errors import InvalidInput

MANY = 64  # shadows from which a record's own variance is known well enough

Scores = NDArray[np.float64]


class Variance(str, Enum):
    """Whose variance LiRA scales a record by: pooled over all records, or the record's own."""

    POOLED = "pooled"
    OWN = "own"


def loss_threshold(losses: Numbers) -> Scores:
    """Return minus the losses: a model fits what it has seen. Needs no shadow model, and finds the least.

    Raises:
        InvalidInput: a loss is not finite.

    References: Yeom, Giacomelli, Fredrikson, Jha 2018.
    """
    return -finite("losses", losses, 1)


def lira(signals: Signals, *, variance: Variance | None = None) -> Scores:
    """Return log N(φ; in) - log N(φ; out): Gaussians fitted to the shadows that saw a record and that did not.

    Args:
        signals: Of shadows of both sides.
        variance: By default pooled below 64 shadows, and the record's own from there.

    Raises:
        InvalidInput: a record lacks shadows on a side, or the signals do not vary.

    References: Carlini et al. 2022 (online). There, too few shadows share one variance of all signals; here the
        pooled variance is that within records, which is what scales a record's deviation.
    """
    kind = _variance(signals, variance)
    sides = [signals.side(inside=inside, least=2 if kind is Variance.OWN else 1) for inside in (True, False)]
    inner, outer = (_log_normal(signals.target, side, _spread(side, kind)) for side in sides)
    return inner - outer


def lira_offline(signals: Signals, *, variance: Variance | None = None) -> Scores:
    """Return -log(1 - Φ((φ - mean) / deviation)) by the shadows that did not see the record; see `lira`.

    For an attacker who trained before knowing whom to look for: none of the shadows need have seen a record.
    """
    kind = _variance(signals, variance)
    outer = signals.side(inside=False, least=2 if kind is Variance.OWN else 1)
    found: Scores = -special().log_ndtr(-(signals.target - outer.means) / np.sqrt(_spread(outer, kind)))
    return found


def rmia(signals: Signals, population: Signals | None = None, *, gamma: float = 1.0) -> Scores:
    """Return the share of a population that a record beats: P(x | target)/P(x) > γ · P(z | target)/P(z).

    P(x) is the mean confidence over all models, half of it from those that saw the record.

    Args:
        signals: Of shadows of both sides.
        population: The same models' signals of records that none was trained on; without it the records
            themselves are the population.
        gamma: How much a record must win by.

    Raises:
        InvalidInput: γ is not positive, a record lacks shadows on a side, or the models differ in number.

    References: Zarifzadeh, Liu, Shokri 2024 (online). With one population for all records the score rises with
        the record's ratio: γ and the population only set its steps.
    """
    mean_in, mean_out = (_confidence(signals, inside=inside) for inside in (True, False))
    return _beaten(signals, (mean_in + mean_out) / 2, population, None, gamma)


def rmia_offline(signals: Signals, population: Signals | None = None, *, a: float, gamma: float = 1.0) -> Scores:
    """As `rmia`, by shadows that did not see the record: P(x) = ((1 + a)·mean + (1 - a)) / 2.

    Args:
        signals: Of shadows that left the record out.
        population: See `rmia`.
        a: In [0, 1]: how close the confidence of models that saw a record is taken to be to that of those that
            did not; at 0 the former are taken to be sure. `best_a` finds a good one.
        gamma: How much a record must win by.
    """
    return _beaten(signals, _from_outside(_confidence(signals, inside=False), a), population, a, gamma)


def best_a(signals: Signals, population: Signals | None = None) -> float:
    """Return the a of 0, 0.1, … 1 with which `rmia_offline` does best against the first shadow, whose members are known.

    The other shadows stand in for it. Nothing is learned from the target, so its scores stay fair.
    """
    if signals.shadows.shape[0] < 3:
        raise InvalidInput(
            f"a is chosen by attacking one shadow with the others: at least 3 are needed, got {signals.shadows.shape[0]}.",
            remedy="Train more shadows, or choose a yourself.",
        )
    first = signals.inside[0]
    if first.all() or not first.any():
        raise InvalidInput("the first shadow saw all records or none.", remedy="Train it on half of them.")
    known = ~signals.inside[1:].all(axis=0)  # a record that all others saw has no mean from outside
    others = Signals(signals.shadows[0, known], signals.shadows[1:, known], signals.inside[1:, known])
    beside = population and Signals(population.shadows[0], population.shadows[1:], population.inside[1:])
    grid = [k / 10 for k in range(11)]
    scores = (rmia_offline(others, beside, a=a) for a in grid)
    areas = [area(score[first[known]], score[~first[known]]) for score in scores]
    return grid[int(np.argmax(areas))]


def bavaria(signals: Signals) -> Scores:
    """Return log t(φ; in) - log t(φ; out): what the shadows predict, with the variance itself uncertain.

    A normal-inverse-gamma prior, flat in the mean and fitted to all records in the variance, gives Student's t:
    few shadows make it wide instead of overconfident. It is the default of `membership`.

    Raises:
        InvalidInput: a record lacks shadows on a side, or the signals do not vary.

    References: Brännvall 2026 (BaVarIA-t), whose text past its first page was not at hand: the prior's fit is
        our own, by the moments of log variances (Smyth 2004).
    """
    sides = [signals.side(inside=inside, least=1) for inside in (True, False)]
    inner, outer = (_log_student(signals.target, side, prior(side)) for side in sides)
    return inner - outer


def bavaria_offline(signals: Signals) -> Scores:
    """Return -log P(T > t) under the prediction of the shadows that did not see the record; see `bavaria`."""
    outer = signals.side(inside=False, least=1)
    scale, freedom = _predicted(outer, prior(outer))
    tail = special().stdtr(freedom, -(signals.target - outer.means) / scale)
    found: Scores = -np.log(np.maximum(tail, 1e-300))
    return found


def _variance(signals: Signals, asked: Variance | None) -> Variance:
    if asked is not None:
        return Variance(asked)
    return Variance.POOLED if signals.shadows.shape[0] < MANY else Variance.OWN


def _spread(side: Side, variance: Variance) -> NDArray[np.float64]:
    if variance is Variance.POOLED:
        return np.full(side.counts.size, side.pooled)
    return np.maximum(side.squares / (side.counts - 1), LEAST_VARIANCE * side.pooled)


def _log_normal(x: Scores, side: Side, variance: NDArray[np.float64]) -> Scores:
    found: Scores = -((x - side.means) ** 2) / (2 * variance) - np.log(2 * math.pi * variance) / 2
    return found


def _predicted(side: Side, belief: Prior) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scale and degrees of freedom of the next signal's Student law."""
    freedom = (belief.freedom + side.counts - 1).astype(np.float64)
    variance = (belief.freedom * belief.variance + side.squares) / freedom
    scale: NDArray[np.float64] = np.sqrt(variance * (1 + 1 / side.counts))
    return scale, freedom


def _log_student(x: Scores, side: Side, belief: Prior) -> Scores:
    gammaln = special().gammaln
    scale, freedom = _predicted(side, belief)
    z = (x - side.means) / scale
    constant = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - np.log(freedom * math.pi) / 2 - np.log(scale)
    found: Scores = constant - (freedom + 1) / 2 * np.log1p(z**2 / freedom)
    return found


def _probability(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = special().expit(values)
    return found


def _confidence(signals: Signals, *, inside: bool) -> NDArray[np.float64]:
    """Return each record's mean confidence over the shadows of one side."""
    signals.side(inside=inside, least=1)  # refuses a record without any
    chosen = signals.inside if inside else ~signals.inside
    found: NDArray[np.float64] = np.where(chosen, _probability(signals.shadows), 0.0).sum(axis=0) / chosen.sum(axis=0)
    return found


def _from_outside(mean: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    if not 0 <= a <= 1:
        raise InvalidInput(f"a must lie in [0, 1], got {a!r}.", remedy="Choose another; best_a finds a good one.")
    return ((1 + a) * mean + (1 - a)) / 2


def _beaten(
    signals: Signals, mean: NDArray[np.float64], population: Signals | None, a: float | None, gamma: float
) -> Scores:
    """Return the share of the population whose ratio, times γ, lies below a record's."""
    if not 0 < gamma < math.inf:
        raise InvalidInput(f"gamma must be a finite number above 0, got {gamma!r}.", remedy="The usual one is 1.")
    ratios = _probability(signals.target) / mean
    if population is None:
        others = ratios
    elif population.shadows.shape[0] != signals.shadows.shape[0]:
        raise InvalidInput(
            f"the population has signals of {population.shadows.shape[0]} shadows, the records of {signals.shadows.shape[0]}.",
            remedy="Ask the same models about both.",
        )
    else:
        outside = _confidence(population, inside=False)  # none of them was trained on, so all are outside
        others = _probability(population.target) / (outside if a is None else _from_outside(outside, a))
    found: Scores = np.searchsorted(np.sort(others * gamma), ratios, side="left") / others.size
    return found
