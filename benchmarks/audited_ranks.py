"""Quantiles and extremes of histograms, on neighbours of which one person's rows come, leave or move."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from audited import Case, Trial, loss

from discreet.audit import Claim, Pair
from discreet.events import Relation, Repeated
from discreet.mechanisms import Extreme, Quantiles, Rng

RNG = Rng()
ADD, REPLACE = Relation.ADD_REMOVE, Relation.REPLACE_ONE
HALF, THIRD = Fraction(1, 2), Fraction(1, 3)


def rank_law(line, target, rate, short=1):
    """Return chances that fall with the distance of the ranks a candidate takes up from the target.

    Args:
        line: The weight of each candidate.
        target: The rank aimed at.
        rate: How fast they fall.
        short: How much more a candidate below the target counts.
    """
    line = np.asarray(line, dtype=float)
    after = np.cumsum(line)
    far = np.maximum(np.maximum(after - line - target, short * (target - after)), 0.0)
    chances = np.exp(-float(rate) * far)
    return chances / chances.sum()


def ranked_cases():
    for ranks, epsilon, weight, relation in (
        ((HALF,), 1.0, 1, ADD),
        ((HALF,), 2.0, 3, REPLACE),
        ((THIRD,), 1.0, 2, ADD),
        ((THIRD, HALF), 2.0, 1, ADD),
    ):
        mechanism = Quantiles(ranks=ranks, epsilon=epsilon, weight=weight, low=-1, high=3, relation=relation)
        named = f"ranks {', '.join(map(str, ranks))}, ε {epsilon:g}, weight {weight}, {relation.value}"
        yield case(mechanism, named, weight, relation)
    for which, epsilon, weight, relation in (("min", 1.0, 1, ADD), ("max", 2.0, 2, ADD), ("max", 2.0, 1, REPLACE)):
        mechanism = Extreme(which=which, epsilon=epsilon, weight=weight, low=-1, high=3, relation=relation)
        yield case(mechanism, f"{which}, ε {epsilon:g}, weight {weight}, {relation.value}", weight, relation)


def case(mechanism, setting, weight, relation):
    trials = tuple(Trial(pair, known(mechanism, pair)) for pair in pairs(weight, relation))
    return Case(
        type(mechanism).__name__,
        setting,
        Claim.event(mechanism.event, relation=relation),
        drawn(mechanism),
        trials,
        0.0,
        frozenset({f"mechanisms.{type(mechanism).__name__}"}),
        draws=8_000,
    )


def pairs(weight, relation):
    """Yield weights of the five candidates, in two histograms."""
    crowd = [0, weight, 0, 2 * weight, weight]

    def beside(at, less=None):
        found = list(crowd)
        found[at] += weight
        return found if less is None else [one - weight * (i == less) for i, one in enumerate(found)]

    if relation is REPLACE:
        yield Pair("all of it from the least to the largest", beside(0), beside(4), relation)
        yield Pair("from below the median to above it", beside(1), beside(3), relation)
        yield Pair("alone, from the largest to the least", [0, 0, 0, 0, weight], [weight, 0, 0, 0, 0], relation)
        return
    yield Pair("the largest comes", crowd, beside(4), relation)
    yield Pair("the least comes", crowd, beside(0), relation)
    yield Pair("the first of all comes", [0] * 5, [0, 0, 0, 0, weight], relation)
    yield Pair("it leaves, from the middle", crowd, beside(2, less=2), relation)


def drawn(mechanism):
    places = np.arange(mechanism.low, mechanism.high + 1)

    def run(data, draws):
        counts = np.array(data, dtype=np.int64)
        return np.array([mechanism(places, counts, RNG) for _ in range(draws)]).reshape(draws, -1)

    return run


def known(mechanism, pair):
    """Return the loss of a pair by the laws of the draws, each by itself."""
    return sum(
        loss(first, second, 0.0)
        for first, second in zip(*(laws(mechanism, one) for one in (pair.first, pair.second)), strict=True)
    )


def laws(mechanism, line):
    """Return the law of each draw, from the definition."""
    event = mechanism.event
    each = event.event if isinstance(event, Repeated) else event
    rate = each.epsilon / mechanism.weight / (2 if mechanism.relation is REPLACE else 1)
    total = sum(line)
    if isinstance(mechanism, Quantiles):
        return [rank_law(line, float(rank) * total, rate / float(2 * max(rank, 1 - rank))) for rank in mechanism.ranks]
    line = line if mechanism.which == "min" else line[::-1]
    return [rank_law(line, min(mechanism.target, total), rate / 3, short=2)]
