"""One-run bounds: the worst case is exact, monotone, and never below the published one where that matters."""

import itertools
import math
import time
from statistics import NormalDist

import numpy as np
import pytest

from discreet import events
from discreet.accounting import profile
from discreet.accounting.curves import ApproximateProfile, GaussianProfile
from discreet.audit.statistics import betting, one_run
from discreet.audit.statistics.coins import Canaries, check_coins, default_guesses, ranked
from discreet.audit.statistics.curve import gaussian_blow, profile_blow
from discreet.errors import InvalidInput
from discreet.profiles import PrivacyProfile

# ------------------------------------------------------------------------------- the worst case is exact


def every_mechanism(canaries, guesses, right, epsilon, delta):
    """Return the largest chance of so many right guesses over all mechanisms whatever, by linear programming.

    Guesses are of both kinds, "was in" and "was out", at any `guesses` of the canaries.
    """
    optimize = pytest.importorskip("scipy.optimize")
    worlds = list(itertools.product((0, 1), repeat=canaries))
    outputs = [
        (who, what)
        for who in itertools.combinations(range(canaries), guesses)
        for what in itertools.product((0, 1), repeat=guesses)
    ]
    pairs = [
        (a, b) for a, b in itertools.permutations(worlds, 2) if sum(x != y for x, y in zip(a, b, strict=True)) == 1
    ]
    law = {key: i for i, key in enumerate(itertools.product(worlds, outputs))}
    excess = {key: len(law) + i for i, key in enumerate(itertools.product(pairs, outputs))}
    width = len(law) + len(excess)
    above, most = np.zeros((len(excess) + len(pairs), width)), np.zeros(len(excess) + len(pairs))
    for row, ((first, second), output) in enumerate(excess):  # P - e^ε·Q is at most the excess …
        above[row, law[first, output]] = 1
        above[row, law[second, output]] = -math.exp(epsilon)
        above[row, excess[(first, second), output]] = -1
    for row, pair in enumerate(pairs, len(excess)):  # … whose sum is at most δ
        above[row, [excess[pair, output] for output in outputs]] = 1
        most[row] = delta
    total = np.zeros((len(worlds), width))
    gain = np.zeros(width)
    for row, world in enumerate(worlds):
        for who, what in outputs:
            total[row, law[world, (who, what)]] = 1
            if sum(world[i] == x for i, x in zip(who, what, strict=True)) >= right:
                gain[law[world, (who, what)]] = -1 / len(worlds)
    found = optimize.linprog(gain, A_ub=above, b_ub=most, A_eq=total, b_eq=np.ones(len(worlds)), method="highs")
    return -found.fun


@pytest.mark.parametrize(
    ("canaries", "guesses", "right", "epsilon", "delta"),
    [
        (2, 2, 2, 1.0, 0.05),
        (3, 3, 2, 0.5, 0.03),
        (3, 2, 2, 1.0, 0.02),
        (3, 3, 3, 2.0, 0.004),
        (3, 3, 1, 2.0, 0.002),
        (3, 1, 1, 0.3, 0.01),
    ],
)
def test_no_mechanism_does_better_and_some_does_as_well(canaries, guesses, right, epsilon, delta):
    """Guesses of both kinds let δ act on every canary, guesses "was in" on those that are in: hence twice as many."""
    ours = one_run.p_value(2 * canaries, guesses, right, epsilon=epsilon, delta=delta)
    assert ours == pytest.approx(every_mechanism(canaries, guesses, right, epsilon, delta), abs=1e-9)


def law_of_the_worst(guesses, right, reach, epsilon, odds=1.0):
    """Return the law of the number of right guesses that attains the p-value: a binomial one, lifted from `right` on."""
    q = odds * math.exp(epsilon) / (1 + odds * math.exp(epsilon))
    binomial = np.array([math.comb(guesses, k) * q**k * (1 - q) ** (guesses - k) for k in range(guesses + 1)])
    lift = reach / (right * binomial[right])  # the jump of the ratio to the binomial law
    ratio = np.where(np.arange(guesses + 1) >= right, lift, 0.0)
    return binomial * (1 - (ratio * binomial).sum() + ratio)


@pytest.mark.parametrize(("guesses", "right"), [(20, 18), (20, 20), (20, 15), (60, 50)])
@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_the_worst_law_meets_the_inequality_and_attains_the_p_value(guesses, right, epsilon):
    canaries, delta = 100, 1e-5
    reach = canaries * delta / 2
    law = law_of_the_worst(guesses, right, reach, epsilon)
    assert law.sum() == pytest.approx(1)
    assert law.min() >= 0
    k = np.arange(1, guesses + 1)
    gain = k * law[1:] - math.exp(epsilon) * (guesses - k + 1) * law[:-1]
    assert np.maximum(gain, 0).sum() <= reach * (1 + 1e-6)
    found = one_run.p_value(canaries, guesses, right, epsilon=epsilon, delta=delta)
    assert found == pytest.approx(law[right:].sum(), rel=1e-9)


GRID = [(r, e) for r in (1, 3, 10, 100, 1000) for e in (0.0, 0.3, 1.0, 4.0)]


@pytest.mark.parametrize("rate", [0.5, 0.2])
@pytest.mark.parametrize(("guesses", "epsilon"), GRID)
def test_the_p_value_is_monotone(guesses, epsilon, rate):
    canaries = 2 * guesses
    values = [
        [one_run.p_value(canaries, guesses, v, epsilon=epsilon + 0.01 * step, delta=1e-4, rate=rate) for step in (0, 1)]
        for v in range(guesses + 1)
    ]
    assert all(near <= far * (1 + 1e-9) for near, far in values)  # rises with ε, up to rounding
    assert all(a * (1 + 1e-9) >= b for (a, _), (b, _) in itertools.pairwise(values))  # falls with the right guesses
    assert values[0][0] == 1


@pytest.mark.parametrize(("guesses", "epsilon"), GRID)
def test_ours_is_the_sharper_p_value_where_a_test_looks(guesses, epsilon):
    for right in range(1, guesses + 1, max(1, guesses // 20)):
        ours = one_run.p_value(guesses, guesses, right, epsilon=epsilon, delta=1e-6)
        theirs = one_run.published_p_value(guesses, guesses, right, epsilon=epsilon, delta=1e-6)
        if ours <= 0.5:
            assert ours <= theirs


def test_far_tails_stay_sharp_and_do_not_vanish():
    """Where the tail underflows, what δ adds is still bounded by δ times the canaries."""
    found = one_run.p_value(10_000, 5000, 5000, epsilon=0.0, delta=1e-6)
    assert 0 < found <= 10_000 * 1e-6
    assert found == pytest.approx(0.005 / 5000, rel=1e-6)  # nearly all of it would need all guesses lifted at once


def test_the_ceilings_of_perfect_guesses():
    for guesses, epsilon in ((10, 1.05), (24, 2.02), (50, 2.79), (100, 3.49), (500, 5.11), (1000, 5.81), (10_000, 8.11), (100_000, 10.4)):  # fmt: skip
        found = one_run.epsilon_of_counts(2 * guesses, guesses, guesses, delta=0, alpha=0.05)
        assert found == pytest.approx(epsilon, abs=0.02)


def test_the_returned_epsilon_is_refuted_and_little_more_is_not():
    for canaries, guesses, right, delta in ((1000, 100, 90, 1e-5), (50_000, 10_000, 7000, 1e-6), (40, 20, 20, 0.0)):
        found = one_run.epsilon_of_counts(canaries, guesses, right, delta=delta, alpha=0.05)
        assert one_run.p_value(canaries, guesses, right, epsilon=found, delta=delta) <= 0.05
        assert one_run.p_value(canaries, guesses, right, epsilon=found + 1e-6, delta=delta) > 0.05


# ------------------------------------------------------------------------------------------ whole curves


def smallest_total(guesses, right, blow, alpha, inside, outside):
    """Return the least total mass of a law with mass alpha at or above `right` that the curve allows."""
    law = np.zeros(guesses + 1)
    law[right] = alpha
    k = np.arange(guesses + 1)
    for j in range(right, 0, -1):
        needed = outside * blow(min(1.0, (k * law)[j:].sum() / inside))
        held = ((guesses - k) * law)[j:].sum()
        law[j - 1] = max(0.0, needed - held) / (guesses - j + 1)
    return law.sum()


@pytest.mark.parametrize("mu", [0.2, 0.7, 1.5])
@pytest.mark.parametrize(("guesses", "right"), [(10, 9), (40, 30), (40, 40), (100, 60)])
def test_the_recursion_asks_whether_the_mass_fits(guesses, right, mu):
    blow = gaussian_blow(mu)
    for alpha in (1e-6, 1e-3, 0.05, 0.3):
        total = smallest_total(guesses, right, blow, alpha, 60.0, 60.0)
        found = one_run.curve_rejected(guesses, right, blow, alpha=alpha, inside=60.0, outside=60.0)
        assert found == (total > 1)


def test_a_larger_curve_is_harder_to_refute():
    held = [one_run.curve_rejected(200, 160, gaussian_blow(mu), alpha=0.05, inside=500, outside=500) for mu in np.linspace(0, 2, 81)]  # fmt: skip
    assert held[0]
    assert not held[-1]
    assert held == sorted(held, reverse=True)


@pytest.mark.parametrize("mu", [0.0, 0.3, 2.0])
def test_reading_a_gaussian_curve_backwards(mu):
    for rate in (1e-12, 0.01, 0.5, 0.99, 1 - 1e-9):
        exact = math.erfc((mu - NormalDist().inv_cdf(rate)) / math.sqrt(2)) / 2
        assert exact * (1 - 1e-9) <= gaussian_blow(mu)(rate) <= exact
    assert gaussian_blow(mu)(0.0) == 0
    assert gaussian_blow(mu)(1.0) == 1


class AsLines(PrivacyProfile):
    """A Gaussian curve of which only δ(ε) is known."""

    method = "for a test"

    def __init__(self, mu):
        self.inner = GaussianProfile(mu)

    def delta(self, epsilon):
        return self.inner.delta(epsilon)

    def epsilon(self, delta):
        return self.inner.epsilon(delta)


@pytest.mark.parametrize("mu", [0.3, 1.0, 2.5])
def test_reading_any_curve_backwards_is_a_little_generous(mu):
    blow, exact = profile_blow(AsLines(mu)), gaussian_blow(mu)
    for rate in np.r_[np.geomspace(1e-6, 0.5, 60), 1 - np.geomspace(1e-6, 0.5, 60)]:
        assert blow(rate) <= exact(rate) * (1 + 1e-9)
        assert blow(rate) >= exact(rate) * 0.98 - 1e-9
    rates = np.linspace(0, 1, 501)
    values = [blow(rate) for rate in rates]
    assert np.all(np.diff(values, 2) > -1e-9)  # convex
    assert values == sorted(values)


def test_the_curve_of_epsilon_and_delta_backwards():
    blow = profile_blow(ApproximateProfile(1.0, 1e-5))
    assert blow(0.5) == pytest.approx(max((0.5 - 1e-5) / math.e, 1 - 1e-5 - 0.5 * math.e), rel=1e-6)
    assert blow(0.99) == pytest.approx(1 - 1e-5 - 0.01 * math.e, rel=1e-6)
    assert blow(1e-6) == 0


# ----------------------------------------------------------------------------------------------- canaries


def shifted(n, shift):
    """Return scores at normal quantiles, half of them shifted, and coins in a fixed fair-looking order."""
    quantiles = np.array([NormalDist().inv_cdf((k + 0.5) / n) for k in range(n)])
    order = np.random.default_rng(1).permutation(2 * n)
    return np.r_[quantiles + shift, quantiles][order], np.repeat([True, False], n)[order]


ESTIMATORS = [
    lambda scores, coins, **kw: one_run.epsilon_bound(scores, coins, delta=1e-6, alpha=0.05, **kw),
    lambda scores, coins, **kw: one_run.mu_bound(scores, coins, alpha=0.05, **kw),
    lambda scores, coins, **kw: betting.epsilon_bound(scores, coins, delta=1e-6, alpha=0.05, **kw),
]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_hundred_thousand_canaries_take_well_under_a_second(estimator):
    scores, coins = shifted(50_000, 2)
    start = time.process_time()
    bound = estimator(scores, coins)
    assert time.process_time() - start < 1.0
    assert 0 < bound.value < bound.ceiling
    assert bound.trials == 100_000


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_bounds_grow_with_the_leak_up_to_the_ceiling(estimator):
    values = [estimator(*shifted(500, shift)).value for shift in (0, 1, 2, 4)]
    assert values[0] == 0
    assert values == sorted(values)
    scores, coins = shifted(500, 0)
    perfect = estimator(coins + 0.1 * np.tanh(scores), coins)
    assert perfect.value == pytest.approx(perfect.ceiling, rel=1e-9)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_bounds_do_not_depend_on_the_order_of_the_canaries(estimator):
    scores, coins = shifted(300, 1)
    other = np.random.default_rng(8).permutation(600)
    assert estimator(scores, coins) == estimator(scores[other], coins[other])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_ties_never_help(estimator):
    """Scores cut to a few levels: the bound is that of the worst order inside of each level."""
    scores, coins = shifted(400, 1.5)
    coarse = np.round(scores)
    worst = coarse - 1e-3 * coins
    assert estimator(worst, coins).value <= estimator(coarse, coins).value <= estimator(scores, coins).value + 0.3
    two = (scores > 0).astype(float)  # a guess at exactly one threshold, whatever the order of its members
    assert estimator(two, coins).value <= estimator(two + 1e-3 * coins, coins).value


def test_right_counts_the_worst_order_of_a_tie():
    held = ranked([3, 2, 2, 2, 1, 0], [1, 1, 0, 1, 0, 0])
    assert [held.right(r) for r in range(1, 7)] == [1, 1, 2, 3, 3, 3]


def test_a_curve_test_rejects_what_is_false_and_says_what_it_could():
    scores, coins = shifted(2000, 3)
    for claimed in (ApproximateProfile(1.0, 1e-5), GaussianProfile(0.5), profile(events.Laplace(1.0))):
        found = one_run.curve_test(scores, coins, claimed, alpha=0.05)
        assert found.rejected
        assert found.could_reject
        assert not one_run.curve_test(*shifted(2000, 0), claimed, alpha=0.05).rejected
    found = one_run.curve_test(*shifted(10, 3), ApproximateProfile(8.0), alpha=0.05)
    assert not found.rejected
    assert not found.could_reject


def test_a_curve_test_agrees_with_the_bound_of_mu():
    scores, coins = shifted(2000, 2)
    bound = one_run.mu_bound(scores, coins, alpha=0.05)
    assert one_run.curve_test(scores, coins, GaussianProfile(bound.value), alpha=0.05).rejected
    assert not one_run.curve_test(scores, coins, GaussianProfile(bound.value + 1e-6), alpha=0.05).rejected
    lines = AsLines(bound.value - 0.02)
    assert one_run.curve_test(scores, coins, lines, alpha=0.05).rejected


def test_guesses_can_be_fixed_beforehand():
    scores, coins = shifted(500, 2)
    single = one_run.epsilon_bound(scores, coins, delta=0, alpha=0.05, guesses=[100])
    right = int(coins[np.argsort(-scores)][:100].sum())
    assert single.value == one_run.epsilon_of_counts(1000, 100, right, delta=0, alpha=0.05)


@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_default_guesses_depend_on_the_number_alone(rate):
    assert default_guesses(1, rate=rate) == (1,)
    many = default_guesses(100_000, rate=rate)
    assert many[-1] == 100_000 * rate
    assert 6 <= many[0] <= 12
    assert len(many) < 30


# ------------------------------------------------------------------------------------------------ betting


def capital(labels, epsilon, rate=0.5):
    """Return the largest capital on the way, by the definition."""
    odds = math.exp(epsilon) * rate / (1 - rate)
    q = odds / (1 + odds)
    stakes = np.arange(1, 20) / 20
    held, best = np.ones(19), 0.0
    for label in labels:
        held = held * (1 + stakes * (label / q - 1))
        best = max(best, held.mean())
    return best


@pytest.mark.parametrize("rate", [0.5, 0.3])
def test_bets_are_what_the_definition_says(rate):
    chances = rate * np.linspace(1.9, 0.1, 300)  # high at first, low at last, right in the mean
    labels = np.random.default_rng(2).random(300) < chances
    scores = -np.arange(300.0)
    order = np.random.default_rng(3).permutation(300)
    bound = betting.epsilon_bound(scores[order], labels[order], delta=0, alpha=0.05, rate=rate)
    assert bound.value > 0.1
    assert capital(labels, bound.value, rate) >= 20
    assert capital(labels, bound.value + 1e-6, rate) < 20
    perfect = np.ones(labels.sum())
    assert capital(perfect, bound.ceiling, rate) >= 20 > capital(perfect, bound.ceiling + 1e-6, rate)


def test_the_capital_is_looked_at_between_ties_only():
    """One level of 30 canaries of which 20 were in: 20 hits in a row never happened."""
    scores = np.r_[np.ones(30), np.zeros(30)]
    coins = np.r_[np.ones(20), np.zeros(10), np.ones(10), np.zeros(20)].astype(bool)
    order = np.random.default_rng(5).permutation(60)
    bound = betting.epsilon_bound(scores[order], coins[order], delta=0, alpha=0.05)
    assert bound.value < 0.5


def test_delta_costs_alpha():
    scores, coins = shifted(1000, 2)
    found = [betting.epsilon_bound(scores, coins, delta=delta, alpha=0.05) for delta in (0, 1e-6, 2e-5, 5e-5, 1e-3)]
    values = [bound.value for bound in found]
    assert values == sorted(values, reverse=True)
    assert values[2] == pytest.approx(betting.epsilon_bound(scores, coins, delta=0, alpha=0.03).value, abs=1e-6)
    assert values[3] == values[4] == found[4].ceiling == 0  # 2000 canaries at rate 1/2: all of alpha


# -------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("scores", "coins", "message"),
    [
        ([], [], "one row"),
        ([1.0, 2.0], [1], "2 scores and 1 coins|all 1 canaries"),
        ([1.0, 2.0, 3.0], [1, 0], "3 scores and 2 coins"),
        ([1.0, math.nan], [1, 0], "1 of 2 scores are not finite"),
        ([1.0, 1.0, 1.0], [1, 0, 1], "all 3 scores are the same"),
        ([1.0, 2.0], [1, 1], "all 2 canaries were in"),
        ([1.0, 2.0], [0, 0], "all 2 canaries were out"),
        ([1.0, 2.0], [1, 2], "must be zeros and ones"),
        ([1.0, 2.0], [1, math.nan], "must be zeros and ones"),
        ([1.0, 2.0], ["a", "b"], "must be zeros and ones"),
        (["a", "b"], [1, 0], "scores must be numbers"),
        ([[1.0, 2.0]], [1, 0], "one row"),
        (range(100), [1] * 90 + [0] * 10, "90 of 100 coins are heads"),
        (range(100), [1] * 50 + [0] * 50, "98 of 99 coins equal the one before"),
        (range(100), [1, 0] * 50, "0 of 99 coins equal the one before"),
    ],
)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_canaries_that_cannot_be_audited_are_refused(estimator, scores, coins, message):
    with pytest.raises(InvalidInput, match=message):
        estimator(scores, coins)


def test_coins_of_another_rate_are_held_to_that_rate():
    coins = np.random.default_rng(4).random(2000) < 0.2
    assert check_coins(coins, rate=0.2).sum() == coins.sum()
    with pytest.raises(InvalidInput, match="not fair"):
        check_coins(coins)
    with pytest.raises(InvalidInput, match="equal the one before"):
        check_coins(np.sort(coins), rate=0.2)


def test_few_coins_are_never_refused_for_their_number():
    for coins in itertools.product((0, 1), repeat=8):
        if 0 < sum(coins) < 8:
            assert check_coins(coins).sum() == sum(coins)


@pytest.mark.parametrize(
    "call",
    [
        lambda: one_run.p_value(10, 11, 3, epsilon=1, delta=0),
        lambda: one_run.p_value(10, 5, 6, epsilon=1, delta=0),
        lambda: one_run.p_value(10, 5, 5, epsilon=-1, delta=0),
        lambda: one_run.p_value(10, 5, 5, epsilon=math.nan, delta=0),
        lambda: one_run.p_value(10, 5, 5, epsilon=1, delta=1),
        lambda: one_run.p_value(10, 5, 5, epsilon=1, delta=0, rate=1.0),
        lambda: one_run.p_value(10.0, 5, 5, epsilon=1, delta=0),
        lambda: ESTIMATORS[0](*shifted(50, 1), guesses=[]),
        lambda: ESTIMATORS[0](*shifted(50, 1), guesses=[0]),
        lambda: ESTIMATORS[1](*shifted(50, 1), guesses=[101]),
        lambda: ESTIMATORS[2](*shifted(50, 1), rate=0.0),
        lambda: default_guesses(0),
    ],
)
def test_wrong_numbers_are_refused(call):
    with pytest.raises(InvalidInput):
        call()


def test_canaries_hold_what_was_counted():
    held = ranked([0.5, 2.0, 2.0, -1.0], [0, 1, 0, 1])
    assert isinstance(held, Canaries)
    assert (held.ends.tolist(), held.hits.tolist(), held.inside, held.total) == ([2, 3, 4], [1, 1, 2], 2, 4)
