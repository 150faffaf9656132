"""Accounting against high-precision arithmetic, published values and a peer. We may differ upward only."""

from __future__ import annotations

import math
import random
import warnings
from fractions import Fraction

import mpmath as mp
import pytest

from discreet import events
from discreet.accounting import (
    Measure,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
    loss,
    noise_multiplier,
    profile,
    rdp_delta,
    rdp_epsilon,
    rdp_loss,
    zcdp_delta,
    zcdp_epsilon,
    zcdp_rho,
)
from discreet.accounting.curves import analytic
from discreet.accounting.losses import laplace_renyi, pure_to_renyi, pure_to_rho

DIGITS = 50


def exact_gaussian(mu, epsilon):
    mu, epsilon = mp.mpf(mu), mp.mpf(epsilon)
    return mp.ncdf(mu / 2 - epsilon / mu) - mp.exp(epsilon) * mp.ncdf(-mu / 2 - epsilon / mu)


def exact_zcdp(rho, epsilon):
    rho, epsilon = mp.mpf(rho), mp.mpf(epsilon)
    low, high = mp.mpf(-60), mp.mpf(60)
    for _ in range(180):
        middle = (low + high) / 2
        c = mp.exp(middle)
        slope = mp.log(c) - mp.log(1 + c) + (1 + 2 * c) * rho - epsilon
        low, high = (middle, high) if slope < 0 else (low, middle)
    c = mp.exp(high)
    exponent = c * mp.log(c) - (1 + c) * mp.log(1 + c) + c * ((1 + c) * rho - epsilon)
    return mp.exp(min(mp.mpf(0), exponent))


def exact_two_point(order, epsilon, delta):
    """Return the least Rényi divergence that breaks (ε, δ)-DP, by golden section at high precision."""
    order, epsilon, delta = map(mp.mpf, (order, epsilon, delta))

    def value(x):
        q = mp.exp(x)
        p = delta + mp.exp(epsilon) * q
        if p >= 1:
            return mp.inf
        return p**order * q ** (1 - order) + (1 - p) ** order * (1 - q) ** (1 - order)

    low, high = mp.log((1 - delta) * mp.exp(-epsilon)) - 60, mp.log((1 - delta) * mp.exp(-epsilon))
    ratio = (mp.sqrt(5) - 1) / 2
    for _ in range(160):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if value(a) < value(b) else (a, high)
    return mp.log(value((low + high) / 2)) / (order - 1)


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(DIGITS):
        yield


def fresh(count):
    return random.SystemRandom(), range(count)


def test_gaussian_delta_is_above_the_truth_and_tight():
    rng, runs = fresh(500)
    for _ in runs:
        mu = 10 ** rng.uniform(-4, 7)
        epsilon = max(0.0, mu * mu / 2 + mu * rng.uniform(-10, 12))
        truth, ours = exact_gaussian(mu, epsilon), gaussian_delta(mu, epsilon)
        assert ours >= truth
        if 1e-2 < mu < 1e3 and truth > 1e-200:
            assert ours <= truth * (1 + mp.mpf(10) ** -6)


def test_the_curve_of_a_gaussian_is_enclosed():
    rng, runs = fresh(200)
    for _ in runs:
        mu = 10 ** rng.uniform(-3, 3)
        curve = profile(events.Gaussian(1 / mu))
        exact = mp.mpf(curve.mu)  # rounded up from 1 / mu
        assert exact >= 1 / mp.mpf(1 / mu)
        epsilon = max(0.0, mu * mu / 2 + mu * rng.uniform(-8, 10))
        truth, ours = exact_gaussian(exact, epsilon), curve.delta(epsilon)
        assert ours.lower <= truth <= ours.upper
        if 1e-2 < mu < 1e2 and truth > 1e-200:
            assert ours.upper - ours.lower <= truth * mp.mpf(10) ** -6
        if 1e-280 < truth < mp.mpf("0.9") and epsilon > 0:
            back = curve.epsilon(float(truth))
            assert exact_gaussian(exact, back.upper) <= float(truth) <= exact_gaussian(exact, back.lower)
            assert back.upper - back.lower <= 1e-6 * (back.upper + mu)
        gain = curve.advantage()
        assert gain.lower <= mp.erf(exact / mp.sqrt(8)) <= gain.upper
        assert gain.upper - gain.lower <= 1e-9 * gain.upper


def test_the_worst_curve_of_epsilon_and_delta_is_enclosed():
    rng, runs = fresh(300)
    for _ in runs:
        epsilon0, delta0 = 10 ** rng.uniform(-6, 2), rng.choice((0.0, 10 ** rng.uniform(-15, -0.3)))
        curve = profile(events.Approximate(epsilon0, delta0))
        e0, d0 = mp.mpf(epsilon0), mp.mpf(delta0)

        def exact(epsilon, e0=e0, d0=d0):
            return d0 + (1 - d0) * max(mp.mpf(0), mp.exp(e0) - mp.exp(mp.mpf(epsilon))) / (1 + mp.exp(e0))

        epsilon = epsilon0 * rng.uniform(0, 1.1)
        ours = curve.delta(epsilon)
        assert ours.lower <= exact(epsilon) <= ours.upper
        assert ours.upper - ours.lower <= 1e-11 * ours.upper + 1e-300
        delta = delta0 + (1 - delta0) * 10 ** rng.uniform(-12, -0.01)
        back = curve.epsilon(delta)
        part = (mp.mpf(delta) - d0) / (1 - d0) * (1 + mp.exp(-e0))
        truth = max(mp.mpf(0), e0 + mp.log(1 - part)) if part < 1 else mp.mpf(0)
        assert back.lower <= truth <= back.upper
        rate = 10 ** rng.uniform(-9, -0.01)
        a = mp.mpf(rate)
        best = min(mp.mpf(1), mp.exp(e0) * a + d0, 1 - mp.exp(-e0) * max(mp.mpf(0), 1 - d0 - a))
        found = curve.true_positive_rate(rate)
        assert found.lower <= best <= found.upper
        assert found.upper - found.lower <= 1e-11


@pytest.mark.parametrize("a", [-36.9, -37.0, -37.001, -37.5, -60.0])
def test_gaussian_delta_is_above_the_truth_in_the_far_tail(a):
    for mu in (1.0, 30.0, 1000.0):
        epsilon = mu * (mu / 2 - a)
        assert gaussian_delta(mu, epsilon) >= exact_gaussian(mu, epsilon)


@pytest.mark.parametrize("rate", [1e-100, 1e-20, 1e-16, 1e-10, 1e-3, 0.5, 0.999])
@pytest.mark.parametrize("mu", [1e-3, 1.0, 30.0])
def test_rates_of_attackers_are_above_the_truth(mu, rate):
    x = mp.findroot(lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2) - mp.log(mp.mpf(rate)), -mp.sqrt(-2 * mp.log(rate)))
    truth, ours = mp.ncdf(x + mp.mpf(mu)), profile(events.Gaussian(1 / mu)).true_positive_rate(rate)
    assert truth <= ours.upper * (1 + mp.mpf("1e-15"))
    assert ours.upper <= truth * (1 + mp.mpf("1e-6"))
    assert ours.lower <= truth * (1 + mp.mpf("1e-15"))
    assert ours.lower >= truth * (1 - mp.mpf("1e-6"))


def test_rates_are_never_below_chance():
    for event in (events.Pure(1e-17), events.Composed(()), events.Approximate(0.0, 1e-18), events.Gaussian(1e12)):
        for rate in (1e-300, 1e-17, 1e-3, 1 - 1e-16):
            assert profile(event).true_positive_rate(rate).lower >= rate


def test_statements_near_a_delta_of_one():
    for epsilon0, delta in ((20.0, 0.99999999), (36.6, 1 - 2e-15), (5.0, 0.9), (1e-3, 1e-4)):
        part = mp.mpf(delta) * (1 + mp.exp(-mp.mpf(epsilon0)))
        truth = max(mp.mpf(0), mp.mpf(epsilon0) + mp.log(1 - part)) if part < 1 else mp.mpf(0)
        ours = profile(events.Pure(epsilon0)).epsilon(delta)
        assert ours.lower <= truth <= ours.upper
    assert rdp_delta(2.0, 1000.0, 0.0) >= 1 - mp.exp(-1000)
    assert rdp_delta(2.0, 30.0, 0.0) >= 1 - mp.exp(-30)


@pytest.mark.parametrize(
    ("mu", "delta", "epsilon"),
    [(1.0, 1e-5, 4.37717809568122463)],  # 1-GDP at 1e-5, eighteen digits by two methods
)
def test_gaussian_epsilon_golden(mu, delta, epsilon):
    assert epsilon <= gaussian_epsilon(mu, delta) <= epsilon * (1 + 1e-9)
    assert gaussian_mu(epsilon, delta) <= mu
    assert gaussian_mu(epsilon, delta) == pytest.approx(mu, rel=1e-9)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-6), (1.0, 1e-5), (8.0, 1e-9), (100.0, 1e-12)])
def test_calibration_ends_on_the_certified_side(epsilon, delta):
    multiplier = noise_multiplier(target_epsilon=epsilon, target_delta=delta)
    assert exact_gaussian(1 / mp.mpf(multiplier), epsilon) <= delta
    assert exact_gaussian(1 / mp.mpf(multiplier * (1 - 1e-6)), epsilon) > delta


def test_zcdp_conversions_bracket_the_optimum():
    rng, runs = fresh(150)
    for _ in runs:
        rho, delta = 10 ** rng.uniform(-7, 1.5), 10 ** rng.uniform(-15, -1)
        epsilon = zcdp_epsilon(rho, delta)
        assert exact_zcdp(rho, epsilon) <= delta
        assert epsilon == 0 or exact_zcdp(rho, epsilon * (1 - 1e-6)) > delta
        assert exact_zcdp(rho, epsilon) <= zcdp_delta(rho, epsilon) <= exact_zcdp(rho, epsilon) * (1 + mp.mpf("1e-6"))
        back = zcdp_rho(epsilon, delta)
        assert back == 0 or exact_zcdp(back, epsilon) <= delta
        assert epsilon == 0 or back >= rho * (1 - 1e-6)


@pytest.mark.parametrize("delta", [1e-7, 1e-6, 1e-3, 0.1])
def test_zcdp_keeps_a_delta_alone(delta):
    """At ε = 0 the total variation is bounded: about 1.36·δ² of ρ is all that fits."""
    rho = zcdp_rho(0.0, delta)
    assert delta**2 < rho < 2 * delta**2
    assert exact_zcdp(rho, 0.0) <= delta


def test_renyi_conversions_bracket_the_exact_optimum():
    rng, runs = fresh(40)
    for _ in runs:
        order, delta = 1 + 10 ** rng.uniform(-1, 2), 10 ** rng.uniform(-10, -1)
        epsilon = 10 ** rng.uniform(-2, 1)
        truth = exact_two_point(order, epsilon, delta)
        ours = rdp_loss(order, epsilon, delta)
        assert ours <= truth
        assert ours >= truth * (1 - mp.mpf("0.01")) - mp.mpf("1e-6")  # below that the closed form has to do
        if ours > 0:
            assert exact_two_point(order, rdp_epsilon(order, ours, delta), delta) >= ours
            assert exact_two_point(order, epsilon, rdp_delta(order, ours, epsilon)) >= ours


@pytest.mark.parametrize("epsilon", [1e-9, 1e-4, 0.1, 1.0, 5.0, 60.0])
def test_pure_conversions_are_above_the_truth(epsilon):
    exact = mp.mpf(epsilon) * mp.tanh(mp.mpf(epsilon) / 2)
    ours = pure_to_rho(Fraction(epsilon))
    assert mp.mpf(ours.numerator) / ours.denominator >= exact
    assert float(ours) <= float(exact) * (1 + 1e-9)
    for order in (1.01, 2.0, 17.0, 300.0):
        x, a = mp.mpf(epsilon), mp.mpf(order)
        renyi = mp.log(mp.cosh((a - 0.5) * x) / mp.cosh(x / 2)) / (a - 1)
        assert pure_to_renyi(epsilon, order) >= renyi
        assert renyi <= a * exact  # the lemma of the proof note, at this point
        laplace = mp.log(a / (2 * a - 1) * mp.exp((a - 1) * x) + (a - 1) / (2 * a - 1) * mp.exp(-a * x)) / (a - 1)
        assert laplace_renyi(1 / epsilon, order) >= laplace * (1 - mp.mpf("1e-15"))


def peer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dp_accounting
        from dp_accounting import rdp
    return dp_accounting, rdp


@pytest.mark.parametrize("multiplier", [0.7, 1.0, 5.0, 50.0])
def test_a_peer_agrees_on_gaussian_renyi(multiplier):
    dp, rdp = peer()
    orders = [1.5, 2.0, 8.0, 64.0]
    accountant = rdp.RdpAccountant(orders)
    accountant.compose(dp.GaussianDpEvent(multiplier), 3)
    for order, theirs in zip(orders, accountant._rdp, strict=True):
        ours = float(loss(events.Repeated(3, events.Gaussian(multiplier)), Measure("renyi", order)).loss)
        assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("scale", [0.5, 1.0, 10.0])
def test_we_are_never_looser_than_a_peer_on_renyi(scale):
    dp, rdp = peer()
    accountant = rdp.RdpAccountant()
    accountant.compose(dp.LaplaceDpEvent(scale), 20)
    theirs = accountant.get_epsilon(1e-6)
    ours = profile(events.Repeated(20, events.Laplace(scale))).epsilon(1e-6).upper
    assert ours <= theirs * (1 + 1e-3)


def test_the_spec_oracle_of_a_thousand_laplace_releases_is_below_us():
    """Laplace b=10, 1,000 times, δ = 1e-6: the exact value is 18.9502873675395582."""
    event = events.Repeated(1000, events.Laplace(10.0))
    assert 18.9502873675395582 <= analytic(event).epsilon(1e-6).upper <= 18.9502873675395582 * 1.08
    ours = profile(event).epsilon(1e-6)
    assert ours.lower <= 18.9502873675395582 <= ours.upper <= 18.9502873675395582 * (1 + 1e-6)


def test_published_truth_of_pate_mnist():
    """Papernot et al. 2018, data-independent: c = 0.192972, so mu = sqrt(2c); exact GDP 2.5426 at 1e-5."""
    checks, answers = 640 / (2 * 150**2), 286 / 40**2
    mu = math.sqrt(2 * (checks + answers))
    assert gaussian_epsilon(mu, 1e-5) == pytest.approx(2.5426, abs=5e-5)


@pytest.mark.parametrize(
    ("epsilon", "mu", "advantage", "at_one_percent", "at_one_per_mille"),
    [(0.1, 0.033, 0.013, 0.0109, 0.0011), (1, 0.268, 0.107, 0.0198, 0.0024), (8, 1.666, 0.595, 0.2545, 0.0772)],
)
def test_risks_of_a_gaussian_at_published_values(epsilon, mu, advantage, at_one_percent, at_one_per_mille):
    """From ε at δ = 1e-5 to what an attacker gains (Kulynych et al. 2024)."""
    found = gaussian_mu(epsilon, 1e-5)
    assert found == pytest.approx(mu, abs=6e-4)
    curve = profile(events.Gaussian(1 / found))
    assert curve.advantage().upper == pytest.approx(advantage, abs=6e-4)
    assert curve.true_positive_rate(0.01).upper == pytest.approx(at_one_percent, abs=1e-4)
    assert curve.true_positive_rate(0.001).upper == pytest.approx(at_one_per_mille, abs=1e-4)


@pytest.mark.parametrize(
    ("epsilon", "advantage", "at_one_percent"),
    [(0.5, 0.245, 0.0165), (1, 0.462, 0.0272), (2, 0.762, 0.0739), (4, 0.964, 0.546)],
)
def test_worst_case_risks_at_published_values(epsilon, advantage, at_one_percent):
    curve = profile(events.Approximate(epsilon, 1e-5))
    assert curve.advantage().upper == pytest.approx(advantage, abs=6e-4)
    assert curve.true_positive_rate(0.01).upper == pytest.approx(at_one_percent, abs=6e-4)
