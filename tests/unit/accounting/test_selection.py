"""Private selection: never below the true loss of small selections, and as tight as the peer's formulas."""

import math
import random
import warnings

import mpmath as mp
import pytest

from discreet.accounting.selection import (
    log_inverse_gamma,
    poisson_selection_pure,
    poisson_selection_renyi,
    selection_pure,
    selection_renyi,
)
from discreet.errors import InvalidInput

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from dp_accounting.dp_event import GaussianDpEvent, RepeatAndSelectDpEvent
    from dp_accounting.rdp import RdpAccountant
    from dp_accounting.rdp.rdp_privacy_accountant import compute_delta

SHAPES = (-0.9, -0.5, 0.0, 0.3, 1.0, 4.0)


def negative_binomial(gamma, shape):
    """Return the probability generating function."""
    if shape == 0:
        return lambda x: mp.log(1 - (1 - gamma) * x) / mp.log(gamma)
    return lambda x: ((1 - (1 - gamma) * x) ** (-shape) - 1) / (gamma ** (-shape) - 1)


def poisson(mean):
    return lambda x: mp.exp(mean * (x - 1))


def selected(once, pgf):
    """Return the law of the best of K runs whose outputs are listed from worst to best, and of no run at all."""
    law, below = [pgf(mp.mpf(0))], mp.mpf(0)
    for p in once:
        law.append(pgf(below + p) - pgf(below))
        below += p
    return law


def renyi(first, second, order):
    def one(p, q):
        return mp.log(mp.fsum(a**order * b ** (1 - order) for a, b in zip(p, q, strict=True) if a)) / (order - 1)

    return max(one(first, second), one(second, first))


def largest_ratio(first, second):
    return max(abs(mp.log(p / q)) for p, q in zip(first, second, strict=True) if p)


def hockey_stick(first, second, epsilon):
    def one(p, q):
        return mp.fsum(max(a - mp.exp(epsilon) * b, 0) for a, b in zip(p, q, strict=True))

    return float(max(one(first, second), one(second, first))) * (1 + 1e-15)


def above(value):
    return float(value) * (1 + 1e-15)


def pairs(count):
    """Yield pairs of laws on a few outputs, from barely to very different."""
    rng = random.Random(20220)
    for _ in range(count):
        outputs, width = rng.choice([2, 2, 3, 5]), rng.choice([0.1, 1, 3, 8])
        first = [mp.exp(-width * rng.random() * rng.choice([0.1, 1, 3])) for _ in range(outputs)]
        second = [p * mp.exp(width * (rng.random() - 0.5)) for p in first]
        yield rng, [p / sum(first) for p in first], [q / sum(second) for q in second]


def test_no_small_selection_loses_more_than_its_bound():
    with mp.workdps(30):
        tightest = 0.0
        for rng, first, second in pairs(40):
            order, mean, shape = 1 + math.exp(rng.uniform(-3, 4)), math.exp(rng.uniform(0.01, 5)), rng.choice(SHAPES)
            pgf = negative_binomial(mp.exp(-mp.mpf(log_inverse_gamma(mean, shape))), shape)
            best, other = selected(first, pgf), selected(second, pgf)
            bound = selection_renyi(order, lambda at, p=first, q=second: above(renyi(p, q, at)), mean, shape)
            assert renyi(best, other, order) <= bound
            pure = selection_pure(above(largest_ratio(first, second)), mean, shape)
            assert largest_ratio(best, other) <= pure
            tightest = max(tightest, float(largest_ratio(best, other) / pure))
        assert tightest > 0.9


def test_no_small_poisson_selection_loses_more_than_its_bound():
    with mp.workdps(30):
        tightest = 0.0
        for rng, first, second in pairs(40):
            order, mean = 1 + math.exp(rng.uniform(-3, 4)), math.exp(rng.uniform(-4, 4))
            best, other = selected(first, poisson(mean)), selected(second, poisson(mean))
            bound = poisson_selection_renyi(
                order,
                lambda at, p=first, q=second: above(renyi(p, q, at)),
                mean,
                lambda epsilon, p=first, q=second: hockey_stick(p, q, epsilon),
            )
            assert renyi(best, other, order) <= bound
            pure = poisson_selection_pure(above(largest_ratio(first, second)), mean)
            assert largest_ratio(best, other) <= pure
            tightest = max(tightest, float(largest_ratio(best, other) / pure))
        assert tightest > 0.9


def test_pure_bounds_are_reached():
    # γ's share: the best outputs have the probabilities of randomised response, the runs' order does the rest.
    epsilon, mean, shape = 1.5, 10.0, 1.0
    rest = mp.mpf("1e-12")  # a sliver of the best output shows the ratio of densities at its lower edge
    with mp.workdps(60):
        low, high = 1 / (1 + mp.exp(epsilon)), mp.exp(epsilon) / (1 + mp.exp(epsilon))
        first = [1 - high, rest * high, (1 - rest) * high]
        second = [1 - low, rest * low, (1 - rest) * low]
        for pgf, bound in (
            (negative_binomial(mp.mpf(1) / 10, shape), selection_pure(epsilon, mean, shape)),
            (poisson(mean), poisson_selection_pure(epsilon, mean)),
        ):
            ratio = largest_ratio(selected(first, pgf), selected(second, pgf))
            assert float(ratio) <= bound
        assert bound < 3 * epsilon + mean


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mean", [1 + 1e-9, 1.5, 20.0, 1e6])
def test_gamma_has_the_declared_mean(mean, shape):
    surprise = log_inverse_gamma(mean, shape)
    with mp.workdps(60):
        gamma, h = mp.exp(-mp.mpf(surprise)), mp.mpf(shape)
        reached = (1 / gamma - 1) / -mp.log(gamma) if shape == 0 else h * (1 - gamma) / (gamma * (1 - gamma**h))
        assert reached >= mean  # so gamma is not above that of the mean
        assert reached <= mean * (1 + 1e-10)


def test_the_geometric_gamma_is_known():
    assert log_inverse_gamma(50.0, 1.0) == pytest.approx(math.log(50), rel=1e-11)


@pytest.mark.parametrize(("mean", "shape"), [(1.0, 1.0), (0.5, 1.0), (math.inf, 1.0), (2.0, -1.0), (math.nan, 0.0)])
def test_impossible_numbers_of_runs_are_refused(mean, shape):
    with pytest.raises(InvalidInput):
        log_inverse_gamma(mean, shape)


def test_extremes_are_bounds_or_infinite():
    for mean in (1 + 2.3e-16, 1e300):
        for shape in (-1 + 1e-15, -0.999, 1e-300, 1e300, 1.7e308):
            assert log_inverse_gamma(mean, shape) > 0
            for epsilon in (0.0, 1e-320, 1.0, 700.0, 1e12):
                assert selection_pure(epsilon, mean, shape) >= epsilon
            assert selection_renyi(2.0, lambda at: at, mean, shape) >= 2


def peer(orders, sigma, mean, shape):
    accountant = RdpAccountant(orders)
    accountant.compose(RepeatAndSelectDpEvent(GaussianDpEvent(sigma), mean, shape))
    return dict(zip(orders, accountant._rdp, strict=True))


@pytest.mark.parametrize("sigma", [0.5, 2.0, 30.0])
@pytest.mark.parametrize("mean", [1.5, 30.0, 1e4])
@pytest.mark.parametrize("shape", [0.0, 0.5, 1.0, 4.0])
def test_negative_binomial_as_the_peer_at_its_orders(sigma, mean, shape):
    rho = 1 / (2 * sigma**2)
    surprise, repeat = log_inverse_gamma(mean, shape), math.log(mean)
    wanted = [1.25, 2.0, 8.0, 64.0]
    # the orders that are best for a Gaussian, known in closed form: the peer tries those that it is given
    chosen, kept = math.sqrt(surprise / rho), 1 + math.sqrt(repeat / rho)
    theirs = peer(sorted({*wanted, max(chosen, 1 + 1e-9), kept}), sigma, mean, shape)
    for order in wanted:
        mine = selection_renyi(order, lambda at: rho * at, mean, shape)
        assert mine == pytest.approx(theirs[order], rel=1e-6)
        best = max(order, kept)
        exact = rho * best + repeat / (best - 1)
        at = max(chosen, 1.0)
        exact += (1 + shape) * ((at - 1) * rho + surprise / at)
        assert mine >= exact * (1 - 1e-9)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 30.0])
@pytest.mark.parametrize("mean", [1.0, 30.0, 1e4])
def test_poisson_is_not_above_the_peer_and_equal_where_the_proof_gains_nothing(sigma, mean):
    rho = 1 / (2 * sigma**2)
    orders = [1.25, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0]
    theirs = peer(orders, sigma, mean, math.inf)
    for order in orders:
        mine = poisson_selection_renyi(
            order,
            lambda at: rho * at,
            mean,
            lambda epsilon: compute_delta(orders, [rho * o for o in orders], epsilon)[0],
        )
        assert mine <= theirs[order] * (1 + 1e-11)
        if (order - 1) ** 2 * rho > 60:  # one is then added to more than e^20
            assert mine == pytest.approx(theirs[order], rel=1e-6)


def test_a_run_that_reveals_nothing_may_be_repeated():
    assert poisson_selection_renyi(2.0, lambda _: 0.0, 0.1, lambda _: 0.0) < 1e-300
    assert selection_pure(0.0, 10.0, 1.0) < 1e-300


def test_corners_of_a_tabulated_curve_are_tried():
    def steps(at):
        return next((loss for order, loss in ((3.0, 0.1), (17.0, 0.2)) if at <= order), math.inf)

    bound = selection_renyi(2.0, steps, 5.0, 1.0, corners=(3.0, 17.0))
    repeat = min(0.1 + math.log(5) / 2, 0.2 + math.log(5) / 16)
    choice = min(2 / 3 * 0.1 + math.log(5) / 3, 16 / 17 * 0.2 + math.log(5) / 17)
    assert bound == pytest.approx(repeat + 2 * choice, rel=1e-9)
    assert selection_renyi(20.0, steps, 5.0, 1.0) == math.inf
