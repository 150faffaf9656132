"""Bounds of the audit are false no more often than they say, under the mechanism that makes it hardest.

Each test draws fresh audits of a mechanism that keeps its promise with nothing to spare, and counts how often the bound
lies above it. Fewer false bounds than alpha are fine; a number that alpha makes less likely than 1e-8 is not. The wrong
versions at the end are caught by the same count. Many more draws: benchmarks/audit_errors.py.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from discreet.audit.statistics import betting, matches, multiple, one_run, thresholds
from discreet.audit.statistics.paired import epsilon_bound, mu_bound
from discreet.audit.statistics.rates import binomial_upper_tail
from discreet.mechanisms import Rng
from discreet.testing.fit import FALSE_ALARM
from tests.benchmark_scripts import load

ALPHA = 0.05
RNG = Rng()


# Laplace noise: every threshold above the shift has odds of exactly e^epsilon.
laws = load("audit_errors")
uniforms, laplace, normal = laws.uniforms, laws.laplace, laws.normal


def canaries(size, epsilon, delta=0.0):
    """Each canary's coin with Laplace noise, and once in 1 / delta the coin itself."""
    coins = uniforms(size) < 0.5
    scores = coins + laplace(size, epsilon)
    leaked = coins & (uniforms(size) < delta)
    return np.where(leaked, 1e12, scores), coins


def gaussian_canaries(size, mu):
    coins = uniforms(size) < 0.5
    return coins * mu + normal(size), coins


def often_false(false, draws, alpha=ALPHA):
    """Return whether so many false bounds are too many for alpha, at a false alarm of 1e-8."""
    return float(binomial_upper_tail(int(false), draws, alpha)) < FALSE_ALARM


def count(draws, is_false):
    return sum(bool(is_false()) for _ in range(draws))


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.0), (1.0, 1e-5), (1.0, 1e-3), (4.0, 1e-5)])
def test_one_run_and_betting_keep_alpha(epsilon, delta):
    draws = 120
    false = {"guesses": 0, "betting": 0}
    for _ in range(draws):
        scores, coins = canaries(300, epsilon, delta)
        false["guesses"] += one_run.epsilon_bound(scores, coins, delta=delta, alpha=ALPHA).value > epsilon
        false["betting"] += betting.epsilon_bound(scores, coins, delta=delta, alpha=ALPHA).value > epsilon
    assert not any(often_false(number, draws) for number in false.values())


@pytest.mark.parametrize("mu", [0.0, 1.0])
def test_one_run_of_a_curve_keeps_alpha(mu):
    draws = 150

    def is_false():
        scores, coins = gaussian_canaries(300, mu)
        return one_run.mu_bound(scores, coins, alpha=ALPHA).value > mu

    assert not often_false(count(draws, is_false), draws)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.0), (1.0, 1e-2), (4.0, 1e-5)])
def test_paired_bounds_keep_alpha(epsilon, delta):
    draws = 150
    certify = partial(epsilon_bound, delta=delta)
    strategies = {
        "explicit": lambda *pair: thresholds.explicit(*pair, 1.5, alpha=ALPHA, certify=certify),
        "split": lambda *pair: thresholds.split(*pair, alpha=ALPHA, certify=certify),
        "by rank": lambda *pair: thresholds.by_rank(*pair, alpha=ALPHA, certify=certify),
    }
    false = dict.fromkeys(strategies, 0)
    for _ in range(draws):
        inside = np.where(uniforms(200) < delta, 1e12, 1 + laplace(200, epsilon))
        outside = laplace(200, epsilon)
        for name, strategy in strategies.items():
            false[name] += strategy(inside, outside).value > epsilon
    assert not any(often_false(number, draws) for number in false.values())


def test_paired_bounds_of_mu_keep_alpha():
    draws, mu = 300, 1.0

    def is_false():
        return thresholds.by_rank(mu + normal(200), normal(200), alpha=ALPHA, certify=mu_bound).value > mu

    assert not often_false(count(draws, is_false), draws)


def released(units, share, epsilon, rate):
    """Matches by coincidence, and for a share of the units as often as ε allows if they were in."""
    coins = uniforms(units) < rate
    base = share
    allowed = min(1.0, base * math.exp(epsilon))
    matched = uniforms(units) < np.where(coins, allowed, base)
    return matches.Matches(int((matched & coins).sum()), int((matched & ~coins).sum()), units, rate)


@pytest.mark.parametrize("rate", [0.5, 0.8])
@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_matches_keep_alpha(epsilon, rate):
    draws = 400

    def is_false():
        return matches.epsilon_bound(released(1000, 0.05, epsilon, rate), delta=0.0, alpha=ALPHA).value > epsilon

    assert not often_false(count(draws, is_false), draws)


def test_attributable_counts_keep_alpha_on_either_side():
    draws, low, high = 600, 0, 0
    for _ in range(draws):
        coins, coincidence, leak = uniforms(1000) < 0.5, uniforms(1000) < 0.05, uniforms(1000) < 0.03
        caused = int((coins & leak & ~coincidence).sum())
        matched = coincidence | (coins & leak)
        found = matches.Matches(int((matched & coins).sum()), int((matched & ~coins).sum()), 1000)
        lower, upper = matches.attributable(found, alpha=ALPHA)
        low, high = low + (lower > caused), high + (upper < caused)
    assert not often_false(low, draws)
    assert not often_false(high, draws)


@pytest.mark.parametrize("rate", [0.5, 0.8])
def test_lists_keep_their_false_discovery_rate(rate):
    """The mean share of false ones lies in [0, 1], so Hoeffding's bound says how far chance may take it."""
    draws, wanted, shares, found = 300, 0.2, 0.0, 0
    for _ in range(draws):
        coins = uniforms(600) < rate
        leaks = np.arange(600) < 60
        scores = normal(600) + 3.5 * (leaks & coins)
        listed = multiple.leak_list(scores, coins, false_discovery_rate=wanted, rate=rate).listed
        shares += np.count_nonzero(~leaks[listed]) / max(1, listed.size)
        found += listed.size
    assert shares / draws < wanted + math.sqrt(math.log(1 / FALSE_ALARM) / (2 * draws))
    assert found / draws > 15  # it lists something


def test_max_t_keeps_alpha_over_all_detectors():
    draws = 200

    def is_false():
        coins, shared = uniforms(60) < 0.5, normal(60)
        scores = {str(i): shared + normal(60) for i in range(5)}
        return min(multiple.max_t(scores, coins, permutations=199).values()) <= ALPHA

    assert not often_false(count(draws, is_false), draws)


@pytest.mark.parametrize(
    "bound", [partial(one_run.epsilon_bound, delta=0.0), partial(betting.epsilon_bound, delta=0.0)]
)
def test_the_bounds_say_something(bound):
    """A bound that is always 0 would pass all of the above: most of ε = 3 is found with 4,000 canaries."""
    scores, coins = canaries(4000, 3.0)
    assert bound(scores, coins, alpha=ALPHA).value > 1.5


# ------------------------------------------------------------------------- wrong versions, which are caught


def test_a_threshold_picked_by_its_own_canaries_is_caught():
    def best_of_all():
        scores, coins = canaries(300, 1.0)
        right = np.cumsum(coins[np.argsort(-scores)])
        guesses = np.arange(1, 301)
        chance = 1 / (1 + math.exp(-1.0))
        return binomial_upper_tail(right, guesses, chance).min() <= ALPHA

    assert often_false(count(500, best_of_all), 500)


def test_rates_in_place_of_their_bounds_are_caught():
    """The best ratio of the two rates over all thresholds with ten false positives, as some tools print it."""

    def best_of_all():
        inside, outside = np.sort(1 + laplace(200, 1.0)), np.sort(laplace(200, 1.0))
        levels = np.r_[inside, outside]
        true = 200 - np.searchsorted(inside, levels, side="left")
        false = 200 - np.searchsorted(outside, levels, side="left")
        return np.max(true[false >= 10] / false[false >= 10]) > math.e

    assert often_false(count(300, best_of_all), 300)


def test_bets_on_an_order_that_saw_the_coins_are_caught():
    def sorted_by_coins_where_tied():
        scores, coins = canaries(300, 1.0)
        coarse = np.round(scores)
        return betting.epsilon_bound(coarse + 1e-3 * coins, coins, delta=0.0, alpha=ALPHA).value > 1.0

    assert often_false(count(200, sorted_by_coins_where_tied), 200)


def test_a_list_without_the_correction_for_its_decoys_is_caught():
    """Without "1 +", an empty set of decoys passes at once."""

    def share():
        coins = uniforms(600) < 0.5
        scores = normal(600)
        right = np.cumsum(coins[np.argsort(-scores)])
        decoys = np.arange(1, 601) - right
        return bool(np.any((decoys <= 0.1 * right) & (right > 0)))  # nothing leaks: any list is all false

    assert often_false(count(200, share), 200, 0.1)


def test_delta_that_is_not_paid_for_is_caught():
    """Canaries of which one in ten leaks are not ε-DP, and bets at δ = 0 say so."""

    def is_false():
        scores, coins = canaries(3000, 2.0, delta=0.1)
        return betting.epsilon_bound(scores, coins, delta=0.0, alpha=ALPHA).value > 2.0

    assert often_false(count(60, is_false), 60)
