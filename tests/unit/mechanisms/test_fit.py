"""The test tools themselves: exact laws against brute force, and p-values that may be believed."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from discreet import events
from discreet.testing import Cells, gof, noise_law, selection_law, two_sample
from discreet.testing.fit import chance_interval
from discreet.testing.laws import collision

RNG = np.random.default_rng()


@pytest.mark.parametrize(
    ("event", "weight"),
    [
        (events.DiscreteLaplace(Fraction(1), Fraction(3)), lambda x: math.exp(-abs(x) / 3)),
        (events.DiscreteGaussian(Fraction(1), Fraction(9)), lambda x: math.exp(-(x**2) / 18)),
        (events.DiscreteGaussian(Fraction(1), Fraction(10**4)), lambda x: math.exp(-(x**2) / 20_000)),
    ],
    ids=["laplace", "gaussian", "wide"],
)
def test_cells_of_noise_are_those_of_the_law(event, weight):
    law = noise_law(event)
    support = np.arange(-2000, 2001)
    weights = np.array([weight(x) for x in support])
    weights /= weights.sum()
    cells = np.bincount(np.searchsorted(law.edges, support), weights, minlength=law.probabilities.size)
    np.testing.assert_allclose(law.probabilities, cells, rtol=0, atol=1e-12)
    assert collision(event) == pytest.approx((weights**2).sum(), abs=1e-12)


def test_permute_and_flip_law_by_running_every_permutation():
    scores, rate = [0, 2, 3, 3], 0.4
    expected = np.zeros(4)
    for order in itertools.permutations(range(4)):
        alive = 1 / 24
        for i in order:
            stop = math.exp(-rate * (3 - scores[i]))
            expected[i] += alive * stop
            alive *= 1 - stop
    law = selection_law(events.PermuteAndFlip(0.8), scores, sensitivity=1)
    np.testing.assert_allclose(law, expected, atol=1e-12)


def test_noisy_max_law_by_adding_every_noise():
    scores, rate, reach = [0, 1, 1], 0.5, 70
    noise = (1 - math.exp(-rate)) * np.exp(-rate * np.arange(reach))
    expected = np.zeros(3)
    grid = np.meshgrid(*(np.arange(reach) + score for score in scores), indexing="ij")
    chance = noise[:, None, None] * noise[None, :, None] * noise[None, None, :]
    top = np.maximum.reduce(grid)
    ties = sum((values == top).astype(int) for values in grid)
    for i in range(3):
        expected[i] = (chance * (grid[i] == top) / ties).sum()
    law = selection_law(events.NoisyMax(1.0), scores, sensitivity=1)
    np.testing.assert_allclose(law, expected, atol=1e-10)


def test_fair_samples_seldom_get_a_small_p_value():
    """The bound is conservative: of 2000 runs of a right sampler none should come below 1e-4."""
    law = Cells(np.array([0, 1, 2]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert min(gof(RNG.choice(4, 1000, p=law.probabilities), law).p_value for _ in range(1000)) > 1e-7
    assert min(two_sample(RNG.integers(0, 9, 500), RNG.integers(0, 9, 700)).p_value for _ in range(1000)) > 1e-7


def test_the_impossible_is_rejected():
    law = Cells(np.array([0]), np.array([1.0, 0.0]))
    assert gof([0] * 10, law).p_value == 1
    fit = gof([0] * 10 + [1], law)
    assert fit.p_value == 0
    assert not fit.accepted
    assert "1 of 11" in fit.worst or "10 of 11" in fit.worst


def test_the_interval_of_a_chance():
    lower, upper = chance_interval(300, 1000, 1e-8)
    reach = math.log(2e8) / 1000
    assert 0.3 * math.log(0.3 / lower) + 0.7 * math.log(0.7 / (1 - lower)) == pytest.approx(reach, rel=1e-6)
    assert 0.3 * math.log(0.3 / upper) + 0.7 * math.log(0.7 / (1 - upper)) == pytest.approx(reach, rel=1e-6)
    assert chance_interval(0, 1000, 1e-8)[0] == 0
    assert chance_interval(1000, 1000, 1e-8)[1] == 1
