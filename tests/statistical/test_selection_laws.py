"""Selection, randomised response and key selection against their exact probabilities."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from discreet.mechanisms import (
    ExponentialMechanism,
    KeySelection,
    NoisyMax,
    PermuteAndFlip,
    RandomizedResponse,
    Rng,
    coins,
    selection,
)
from discreet.mechanisms.coins import exp_coins, uniform_integers
from discreet.testing import (
    Cells,
    Nonconforming,
    check_key_selection,
    check_loss,
    check_randomized_response,
    check_selection,
    gof,
    selection_law,
)

SELECTIONS = [ExponentialMechanism, PermuteAndFlip, NoisyMax]
SCORES = [[0, 3, 5, 5, -2], [0, 0], [7], [10**12, 10**12 - 1, -(10**12)]]


@pytest.mark.parametrize("scores", SCORES, ids=str)
@pytest.mark.parametrize("kind", SELECTIONS)
def test_selection_has_its_exact_law(kind, scores):
    check_selection(kind(epsilon=0.7, sensitivity=1), scores, sensitivity=1, draws=25_000)


@pytest.mark.parametrize("kind", SELECTIONS)
def test_selection_has_its_exact_law_at_a_large_epsilon(kind):
    """Where noise takes few values, its law near 0 shows (folding |x| instead of geometric noise would pass above)."""
    check_selection(kind(epsilon=3.0, sensitivity=1), [0, 1, 1], sensitivity=1, draws=25_000)


@pytest.mark.parametrize("kind", SELECTIONS)
def test_monotone_doubles_the_rate(kind):
    check_selection(kind(epsilon=0.7, sensitivity=2, monotone=True), [0, 3, 5], sensitivity=2, monotone=True)


@pytest.mark.parametrize("kind", SELECTIONS)
def test_a_rate_ten_percent_off_is_rejected(kind):
    class Wrong(kind):
        @property
        def rate(self):
            return super().rate * Fraction(9, 10)

    with pytest.raises(Nonconforming):
        check_selection(Wrong(epsilon=2.0, sensitivity=1), [0, 1, 2, 3, 4, 5], sensitivity=1, draws=100_000)


@pytest.mark.parametrize("monotone", [False, True])
@pytest.mark.parametrize("kind", SELECTIONS)
def test_the_exact_law_keeps_epsilon_on_neighbours(kind, monotone):
    """Enumerate all moves of four scores by at most the sensitivity, in all or in one direction."""
    epsilon, scores = 0.8, [0, 1, 3, 3]
    mechanism = kind(epsilon=epsilon, sensitivity=1, monotone=monotone)
    law = selection_law(mechanism.event, scores, sensitivity=1, monotone=monotone)
    largest = widest = 0.0
    for moves in itertools.product((0, 1) if monotone else (-1, 0, 1), repeat=4):
        moved = [score + move for score, move in zip(scores, moves, strict=True)]
        ratios = np.log(law / selection_law(mechanism.event, moved, sensitivity=1, monotone=monotone))
        largest = max(largest, np.abs(ratios).max())
        widest = max(widest, np.ptp(ratios))
    assert largest <= epsilon * (1 + 1e-9)
    assert (widest <= epsilon * (1 + 1e-9)) == (kind is ExponentialMechanism)  # the others are not of bounded range
    assert widest > 0.6 * epsilon  # the bound is near what is reached: the check could fail


@pytest.mark.parametrize("kind", SELECTIONS)
def test_the_measured_loss_is_within_epsilon(kind):
    check_loss(kind(epsilon=2.0, sensitivity=1), [0, 0], [1, -1])


def test_forced_exact_coins_have_the_same_law(monkeypatch):
    calls = {"exact": 0}
    below = coins.below

    def counted(*args):
        calls["exact"] += 1
        return below(*args)

    monkeypatch.setattr(coins, "below", counted)
    gaps = np.tile(np.array([0, 1, 2, 3, 4], dtype=np.int64), 50_000)
    heads = exp_coins(gaps, Fraction(1, 3), Rng(), tolerance=0.3)
    assert calls["exact"] > 20_000
    for gap in (1, 2, 3, 4):
        chance = math.exp(-gap / 3)
        assert gof(heads[gaps == gap], Cells(np.array([0]), np.array([1 - chance, chance]))).accepted
        assert not gof(heads[gaps == gap], Cells(np.array([0]), np.array([1 - 0.9 * chance, 0.9 * chance]))).accepted
    assert heads[gaps == 0].all()


@pytest.mark.parametrize("k", [1, 2, 3, 10])
def test_uniform_integers(k):
    edges = np.arange(k - 1)
    assert gof(uniform_integers(200_000, k, Rng()), Cells(edges, np.full(k, 1 / k))).accepted


def test_uniform_integers_of_a_range_that_does_not_divide_the_words():
    """A plain remainder would favour the lower third by a fifth."""
    k = 3 * 2**60
    lower = uniform_integers(100_000, k, Rng()) < k // 3
    assert gof(lower, Cells(np.array([0]), np.array([2 / 3, 1 / 3]))).accepted
    assert not gof(lower, Cells(np.array([0]), np.array([10 / 16, 6 / 16]))).accepted


@pytest.mark.parametrize(("epsilon", "k"), [(0.1, 2), (1.5, 4), (3.0, 10), (40.0, 3)])
def test_randomized_response_has_exact_odds(epsilon, k):
    check_randomized_response(RandomizedResponse(epsilon=epsilon, categories=k))


def test_randomized_response_with_epsilon_ten_percent_off_is_rejected():
    class Wrong(RandomizedResponse):
        @property
        def event(self):
            return RandomizedResponse(epsilon=Fraction(self.epsilon) * Fraction(10, 9), categories=4).event

    with pytest.raises(Nonconforming):
        check_randomized_response(Wrong(epsilon=1.5, categories=4))


@pytest.mark.parametrize(("epsilon", "delta", "groups"), [(1.0, 1e-2, 1), (1.0, 1e-6, 3), (0.2, 1e-3, 2)])
def test_key_selection_keeps_as_the_rule_says(epsilon, delta, groups):
    check_key_selection(KeySelection(epsilon=epsilon, delta=delta, max_groups=groups), counts=120)


def test_key_selection_with_epsilon_ten_percent_off_is_rejected():
    class Wrong(KeySelection):
        @property
        def event(self):
            return KeySelection(epsilon=0.9, delta=self.delta, max_groups=1).event

    with pytest.raises(Nonconforming):
        check_key_selection(Wrong(epsilon=1.0, delta=1e-2, max_groups=1))


def test_gaps_are_capped_and_exact():
    ends = np.array([-(2**63), 2**63 - 1, 0], dtype=np.int64)
    assert selection.score_gaps(ends).tolist() == [2**62, 0, 2**62]
    assert selection.score_gaps([10**30, 10**30 - 5, 0]).tolist() == [0, 5, 2**62]
