"""Event: a set of outputs that speaks for one dataset of a pair; how one is chosen, on outputs that certify nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from discreet.accounting.curves import ApproximateProfile
from discreet.audit.claims import Claim
from discreet.audit.tester.outputs import Floats, Table
from discreet.audit.tester.scorers import Scorer

Side = Literal["first", "second"]

_DISTRUST = (1.5, 3.0)  # deviations by which rates are distrusted while choosing: boldly, for rare events, or not
_CANDIDATES = 200  # thresholds tried for each scorer
_BETTER = 0.01  # by which share a later scorer must be better to displace a plainer one
_SIDES: dict[Side, tuple[int, int]] = {"first": (0, 1), "second": (1, 0)}  # whose rate is the true-positive one
_EPSILONS = (0.0, *np.geomspace(1e-3, 50, 80).tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """The outputs that score at least, or at most, a threshold.

    Args:
        scorer: What gives the score.
        threshold: From where on.
        above: Whether higher scores count, or lower ones.
        side: For which dataset of the pair the event speaks: its rate there is the true-positive rate.
    """

    scorer: Scorer
    threshold: float
    above: bool
    side: Side

    def holds(self, table: Table) -> NDArray[np.bool_]:
        """Return for each output whether it is one of them."""
        scores = self.scorer.score(table)
        found: NDArray[np.bool_] = scores >= self.threshold if self.above else scores <= self.threshold
        return found

    def __str__(self) -> str:
        return self.scorer.words(self.threshold, above=self.above)


@dataclass(frozen=True, slots=True)
class Goal:
    """What an event is chosen for.

    Args:
        name: In a word.
        gain: What it is worth by its rates: those seen, and those that hold with some confidence.
        least: At which gain an event is worth certifying at all.
    """

    name: str
    gain: Callable[[Rates], Floats]
    least: float = -math.inf


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of several events: as seen, and bounded against the auditor."""

    true: Floats
    false: Floats
    true_lower: Floats
    false_upper: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Allowed:
    """An upper bound of a claim's trade-off curve that is quick to ask, from points (ε, δ(ε))."""

    claim: Claim
    epsilons: Floats
    deltas: Floats

    @classmethod
    def by(cls, claim: Claim, delta: float | None) -> Allowed:
        """Ask the claim for its curve once."""
        own = [] if delta is None else [claim.epsilon(delta)]
        epsilons = sorted({*_EPSILONS, *(one for one in own if one < 700)})
        deltas = [bracket.upper for bracket in claim.profile.curve(epsilons)]
        return cls(claim, np.array(epsilons), np.array(deltas))

    def __call__(self, false: Floats) -> Floats:
        """Return a rate that no true-positive rate exceeds, for each false-positive rate."""
        a = np.asarray(false)[..., None]
        odds = np.exp(self.epsilons)
        steep = odds * a + self.deltas
        flat = 1 - np.maximum(0.0, 1 - self.deltas - a) / odds
        found: Floats = np.minimum(1.0, np.minimum(steep, flat).min(axis=-1))
        return found

    def at(self, false: float) -> float:
        """Return the claim's own bound where it is known in closed form, else the quick one; rounded up."""
        if self.claim.mu is not None or own_delta(self.claim) is not None:
            return self.claim.most(false)
        return min(1.0, float(self(np.array(false))) * (1 + 1e-12))


def own_delta(claim: Claim) -> float | None:
    """Return the δ that a claim names, or None for one that is a curve."""
    return claim.profile.delta0 if isinstance(claim.profile, ApproximateProfile) else None


def goals(claim: Claim, delta: float | None, allowed: Allowed) -> tuple[Goal, ...]:
    """Return what events are worth choosing for: to refute the claim, for a large ε, a large μ, a large δ."""

    def against(rates: Rates) -> Floats:
        """By how many widths of its box an event lies above the curve."""
        signal = rates.true - allowed(rates.false)
        width = rates.true - rates.true_lower + allowed(rates.false_upper) - allowed(rates.false)
        found: Floats = signal / (width + 1e-12)
        return found

    found = []
    if delta is None or delta != own_delta(
        claim
    ):  # a claim of one ε and δ is refuted by a larger ε, and by nothing else
        found.append(Goal("the claim", against))
    if delta is not None:
        claimed = min(claim.epsilon(delta), 700.0)
        found.append(Goal("ε", lambda rates: _epsilon(rates, delta)))
        found.append(Goal("δ", lambda rates: rates.true_lower - math.exp(claimed) * rates.false_upper, 0.0))
    if delta is None or claim.mu is not None:
        found.append(Goal("μ", lambda rates: _quantile(rates.true_lower) - _quantile(rates.false_upper)))
    return tuple(found)


def _epsilon(rates: Rates, delta: float) -> Floats:
    """Return ln((TPR - δ) / FPR); what the complement shows is found as an event of the other side."""
    found: Floats = np.log(np.maximum(rates.true_lower - delta, 1e-300) / np.maximum(rates.false_upper, 1e-300))
    return found


_LOGITS = np.linspace(-30, 30, 1201)
_QUANTILES = np.array([math.copysign(NormalDist().inv_cdf(1 / (1 + math.exp(abs(x)))), x) for x in _LOGITS])


def _quantile(rates: Floats) -> Floats:
    """Return Φ⁻¹ to about three digits, which is enough to choose by."""
    held = np.clip(rates, 1e-13, 1 - 1e-13)
    found: Floats = np.interp(np.log(held) - np.log1p(-held), _LOGITS, _QUANTILES)
    return found


def choose(scorers: Iterable[Scorer], first: Table, second: Table, wanted: tuple[Goal, ...]) -> list[Event]:
    """Return the best event of each side for each goal, each event once."""
    best: dict[tuple[Side, str, float], tuple[float, Event]] = {}
    sizes = (first.size, second.size)
    for scorer in scorers:
        x, y = (np.sort(one[~np.isnan(one)]) for one in (scorer.score(first), scorer.score(second)))
        levels = _levels(np.concatenate([x, y]))
        if not levels.size:
            continue
        for above in (True, False):
            shares = [_count(one, levels, above=above) / size for one, size in zip((x, y), sizes, strict=True)]
            for side, z in product(_SIDES, _DISTRUST):
                true, false = _SIDES[side]
                rates = Rates(
                    shares[true],
                    shares[false],
                    _wilson(shares[true], sizes[true], -z),
                    _wilson(shares[false], sizes[false], z),
                )
                for goal in wanted:
                    gains = goal.gain(rates)
                    i = int(np.argmax(gains))
                    held, gain = best.get((side, goal.name, z)), float(gains[i])
                    if gain >= goal.least and (held is None or gain > held[0] + _BETTER * abs(held[0])):
                        best[side, goal.name, z] = gain, Event(scorer, float(levels[i]), above, side)
    once = {(id(event.scorer), event.threshold, event.above, event.side): event for _, event in best.values()}
    return list(once.values())


def _levels(scores: Floats) -> Floats:
    """Return thresholds: all scores if they are few, else quantiles, dense towards both ends."""
    values = np.unique(scores)
    if values.size <= _CANDIDATES:
        return values
    ordered = np.sort(scores)
    steps = np.unique(np.geomspace(1, ordered.size, _CANDIDATES // 4).astype(np.int64)) - 1
    even = np.linspace(0, ordered.size - 1, _CANDIDATES // 2).astype(np.int64)
    return np.unique(ordered[np.concatenate([steps, ordered.size - 1 - steps, even])])


def _count(ordered: Floats, levels: Floats, *, above: bool) -> Floats:
    if above:
        return (ordered.size - np.searchsorted(ordered, levels, side="left")).astype(np.float64)
    return np.searchsorted(ordered, levels, side="right").astype(np.float64)


def _wilson(share: Floats, size: int, z: float) -> Floats:
    """Return the end of Wilson's interval on the side of the sign of z."""
    centre = share + z * z / (2 * size)
    spread = z * np.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    found: Floats = np.clip((centre + spread) / (1 + z * z / size), 0.0, 1.0)
    return found
