from fractions import Fraction

import mpmath
import numpy as np
import pytest

from discreet import events
from discreet.mechanisms import ExponentialMechanism, KeySelection, NoisyMax, PermuteAndFlip, RandomizedResponse, Rng
from discreet.mechanisms.exact import exp_bounds
from discreet.testing import keep_law

BUDGETS = [
    (1.0, 1e-6, 1),
    (1.0, 1e-6, 3),
    (0.01, 1e-9, 1),
    (5.0, 0.1, 1),
    (200.0, 1e-3, 1),
    (Fraction(1, 3), 2.0**-50, 1),
]


@pytest.mark.parametrize(("epsilon", "delta", "groups"), BUDGETS)
def test_keep_probabilities_are_private_exactly(epsilon, delta, groups):
    """All four inequalities of (ε, δ)-DP between counts n and n + 1, with exp bounded against us."""
    keys = KeySelection(epsilon=epsilon, delta=delta, max_groups=groups)
    shrink = Fraction(exp_bounds(Fraction(epsilon) / groups, 400)[1], 2**400)  # at least e^-ε, so 1/shrink at most e^ε
    step = Fraction(delta) / groups
    assert keys.keep_probability(0) == keys.keep_probability(-5) == 0
    for n in range(keys.always_kept + 2):
        now, more = keys.keep_probability(n), keys.keep_probability(n + 1)
        assert now <= more <= 1
        assert more <= now / shrink + step
        assert 1 - now <= (1 - more) / shrink + step
        assert now <= more / shrink + step
        assert 1 - more <= (1 - now) / shrink + step
    assert keys.keep_probability(keys.always_kept) == 1


@pytest.mark.parametrize(("epsilon", "delta", "groups"), BUDGETS[:4])
def test_keep_probabilities_are_optimal_but_for_rounding(epsilon, delta, groups):
    keys = KeySelection(epsilon=epsilon, delta=delta, max_groups=groups)
    law = keep_law(keys.event, keys.always_kept)
    ours = np.array([float(keys.keep_probability(n)) for n in range(law.size)])
    np.testing.assert_allclose(ours, law, rtol=1e-5, atol=1e-9)


def test_keys_are_kept_by_count():
    keys = KeySelection(epsilon=1.0, delta=1e-6, max_groups=2)
    kept = keys([0, -3, 10**9, keys.always_kept, 2**70], Rng())
    assert kept.tolist() == [False, False, True, True, True]
    assert keys([], Rng()).tolist() == []
    assert keys.event == events.KeySelection(1.0, 1e-6, 2)


def test_events_round_epsilon_up():
    third = Fraction(1, 3)
    for mechanism in (
        ExponentialMechanism(epsilon=third, sensitivity=1),
        PermuteAndFlip(epsilon=third, sensitivity=1),
        NoisyMax(epsilon=third, sensitivity=1),
        RandomizedResponse(epsilon=third, categories=2),
        KeySelection(epsilon=third, delta=third, max_groups=1),
    ):
        assert third <= Fraction(mechanism.event.epsilon) < third + Fraction(1, 2**53)
    assert Fraction(KeySelection(epsilon=third, delta=third, max_groups=1).event.delta) >= third


@pytest.mark.parametrize(("epsilon", "k"), [(0.1, 2), (1.5, 4), (50.0, 1000)])
def test_chance_of_a_lie_is_enclosed(epsilon, k):
    with mpmath.workprec(400):
        odds = mpmath.exp(-mpmath.mpf(epsilon))
        true = k * odds / (1 + (k - 1) * odds) * mpmath.mpf(2) ** 128
    lower, upper = RandomizedResponse(epsilon=epsilon, categories=k)._lie_bounds(128)
    assert lower <= true <= upper <= lower + 4


def test_values_outside_the_categories_count_as_the_nearest():
    answers = RandomizedResponse(epsilon=60.0, categories=3)([-(2**70), 0, 1, 2, 2**70], Rng())
    assert answers.tolist() == [0, 0, 1, 2, 2]  # wrong with probability 1e-25


def test_a_key_that_nobody_has_is_never_kept():
    """Not even by the least of all random words."""

    class Zeros(Rng):
        def words(self, n):
            return np.zeros(n, dtype=np.uint64)

    keys = KeySelection(epsilon=1.0, delta=1e-6, max_groups=1)
    assert keys(np.array([0, -3, 1]), Zeros()).tolist() == [False, False, True]
