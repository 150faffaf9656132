"""The engines' parts, one by one: binomial tails, sums of few atoms, rates, groups, calibration."""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist

import mpmath as mp
import numpy as np
import pytest

from discreet import events
from discreet.accounting import Target, calibrate, profile
from discreet.accounting.engines.atoms import Atoms
from discreet.accounting.engines.binomial import binomial_tail
from discreet.accounting.engines.enumerate import enumerated
from discreet.accounting.engines.law import Law
from discreet.accounting.engines.renyi import renyi_bound
from discreet.errors import InvalidInput

ADD = events.Relation.ADD_REMOVE


def sgd(rate=0.01, sigma=1.0, steps=1000):
    return events.Repeated(steps, events.PoissonSampled(rate, ADD, events.Gaussian(sigma)))


@pytest.mark.parametrize(
    ("trials", "rate", "least"),
    [
        (20, 0.5, 15),
        (200, 0.3, 80),
        (49_999, 0.01, 551),
        (10**6, 1e-3, 1200),
        (9_753_999_999, 517989 / 9.754e9, 522_309),
    ],
)
def test_binomial_tails_against_exact_terms(trials, rate, least):
    with mp.workdps(40):
        p, total, k = mp.mpf(rate), mp.mpf(0), least
        term = mp.binomial(trials, k) * p**k * (1 - p) ** (trials - k)
        while k <= trials and term > total * mp.mpf(10) ** -25:
            total += term
            term *= mp.mpf(trials - k) / (k + 1) * p / (1 - p)
            k += 1
        assert abs(binomial_tail(trials, rate, least) / total - 1) < mp.mpf("1e-13")
    assert binomial_tail(trials, rate, 0) == 1.0
    assert binomial_tail(trials, rate, trials + 1) == 0.0


def test_few_atoms_are_summed_one_by_one():
    first = Law(atoms=Atoms(np.array([-0.5, 0.25, 1.0]), np.array([0.2, 0.5, 0.3])))
    second = Law(atoms=Atoms(np.array([-1.0, 1.0]), np.array([0.25, 0.75])), infinite=0.0)
    law = enumerated(((first, 4), (second, 3)))
    assert law is not None
    brute: dict[float, float] = {0.0: 1.0}
    for part in (first,) * 4 + (second,) * 3:
        following: dict[float, float] = {}
        for x, p in brute.items():
            for loss, mass in zip(part.atoms.losses, part.atoms.masses, strict=True):
                key = round(x + loss, 9)
                following[key] = following.get(key, 0.0) + p * mass
        brute = following
    ours: dict[float, float] = {}
    for loss, mass in zip(law.atoms.losses, law.atoms.masses, strict=True):
        ours[round(float(loss), 9)] = ours.get(round(float(loss), 9), 0.0) + float(mass)
    assert ours.keys() == brute.keys()
    assert all(abs(ours[key] / brute[key] - 1) < 1e-12 for key in brute)


def test_rates_of_sampled_noise_against_its_closed_form():
    """One sampled Gaussian: the best test of level a is a threshold on the output."""
    rate, sigma, normal = 0.2, 1.5, NormalDist()
    curve = profile(events.PoissonSampled(rate, ADD, events.Gaussian(sigma)))
    for level in (0.001, 0.05, 0.5):
        cut = normal.inv_cdf(1 - level)
        remove = (1 - rate) * level + rate * (1 - normal.cdf(cut - 1 / sigma))
        found = curve.true_positive_rate(level)
        assert found.lower <= max(remove, found.lower)
        assert remove <= found.upper * (1 + 1e-12)
        assert found.width < 1e-6


def test_trade_off_and_advantage_agree_with_delta():
    curve = profile(sgd())
    assert curve.advantage() == curve.delta(0.0)
    rates = [0.01, 0.2]
    for rate, miss in zip(rates, curve.trade_off(rates), strict=True):
        hit = curve.true_positive_rate(rate)
        assert miss.lower <= 1 - hit.lower
        assert 1 - hit.upper <= miss.upper
    assert [found.upper for found in curve.curve([0.5, 0.1])] == pytest.approx(
        [curve.delta(0.5).upper, curve.delta(0.1).upper], rel=1e-6
    )


def test_groups_cost_at_least_what_one_does_and_a_gaussian_group_exactly():
    curve = profile(sgd(steps=300))
    assert curve.group(1).epsilon(1e-5).upper >= curve.epsilon(1e-5).lower
    assert curve.group(3).epsilon(1e-5).upper > 2 * curve.epsilon(1e-5).upper
    exact = profile(events.Gaussian(2 / 3)).epsilon(1e-5)
    found = profile(events.Gaussian(2.0)).group(3).epsilon(1e-5)
    assert found.lower <= exact.upper
    assert exact.lower <= found.upper <= exact.upper * (1 + 1e-9)
    # Powers of e that no float holds still count: one step of 2,000 makes 6,000 for three.
    steep = profile(events.PoissonSampled(0.5, ADD, events.Gaussian(1 / 36))).group(3).delta(6000.0)
    assert steep.upper >= 0.00707
    with pytest.raises(InvalidInput):
        curve.group(0)


@pytest.mark.parametrize("order", [2, 3, 8, 40])
def test_renyi_of_sampled_noise_against_the_binomial_sum(order):
    rate, sigma = 0.01, 0.8
    with mp.workdps(50):
        moment = sum(
            mp.binomial(order, k)
            * (1 - mp.mpf(rate)) ** (order - k)
            * mp.mpf(rate) ** k
            * mp.exp(mp.mpf(k * k - k) / (2 * mp.mpf(sigma) ** 2))
            for k in range(order + 1)
        )
        truth = mp.log(moment) / (order - 1)
        found = renyi_bound(events.PoissonSampled(rate, ADD, events.Gaussian(sigma)), float(order))
        assert found is not None
        assert truth <= found <= truth * (1 + mp.mpf("1e-8"))


def test_a_scale_ten_percent_off_leaves_every_bracket():
    right, wrong = profile(sgd(sigma=1.0)), profile(sgd(sigma=1.1))
    assert wrong.epsilon(1e-5).upper < right.epsilon(1e-5).lower
    assert wrong.advantage().upper < right.advantage().lower
    assert wrong.true_positive_rate(0.01).upper < right.true_positive_rate(0.01).lower


@pytest.mark.parametrize(
    "target",
    [Target(epsilon=2.0, delta=1e-5), Target(advantage=0.1), Target(true_positive_rate=0.05, false_positive_rate=0.01)],
)
def test_calibrated_noise_meets_its_target_and_a_little_less_noise_does_not(target):
    found = calibrate(lambda sigma: sgd(sigma=sigma), target, low=0.3, high=50.0, tolerance=1e-6)
    assert found.reached.upper <= target.value
    assert target.of(profile(found.event)).upper <= target.value
    assert target.of(profile(sgd(sigma=found.value * (1 - 1e-4)))).lower > target.value


def test_calibrated_steps_are_the_last_that_fit():
    target = Target(epsilon=2.0, delta=1e-5)
    found = calibrate(lambda steps: sgd(steps=int(steps)), target, low=1, high=1e6, rising=True, integral=True)
    assert found.value == 1202
    assert profile(sgd(steps=1203)).epsilon(1e-5).lower > 2.0


def test_calibrated_rates_rise_to_the_target():
    found = calibrate(lambda rate: sgd(rate=rate), Target(epsilon=1.0, delta=1e-6), low=1e-4, high=0.5, rising=True)
    assert 1 - 1e-6 < found.reached.upper <= 1.0


def test_a_target_out_of_reach_is_refused_with_what_was_found():
    with pytest.raises(InvalidInput, match="no value between"):
        calibrate(lambda sigma: sgd(sigma=sigma), Target(epsilon=1e-3, delta=1e-9), low=0.5, high=1.0)
    with pytest.raises(InvalidInput):
        calibrate(lambda sigma: sgd(sigma=sigma), Target(epsilon=1.0, delta=1e-5), low=-1.0, high=1.0)
    for wrong in (
        {},
        {"epsilon": 1.0},
        {"epsilon": 1.0, "delta": 1e-5, "advantage": 0.1},
        {"epsilon": math.nan, "delta": 0.1},
    ):
        with pytest.raises(InvalidInput):
            Target(**wrong)


def test_an_edge_of_no_value_reads_as_whole_numbers():
    assert profile(events.Composed(())).epsilon(1e-6).upper == 0.0
    assert profile(events.Repeated(3, events.Pure(0.0))).delta(0.0).upper == 0.0
    assert profile(events.DiscreteGaussian(Fraction(1, 2), Fraction(1))).epsilon(1e-9).upper == 0.0
