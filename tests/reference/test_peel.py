"""The contour without its bulk, against ball arithmetic: two runs, as an integral of one run's closed form."""

from __future__ import annotations

from itertools import pairwise

import pytest
from flint import acb, arb, ctx

from discreet.accounting import profile
from discreet.accounting.engines.peel import peeled_near
from discreet.events import Gaussian, PoissonSampled, Relation, Repeated
from tests.reference import ball

SETTINGS = [  # rate, sigma, epsilon
    (0.00519, 0.477, 2.905),
    (0.36, 0.714, 6.816),
    (0.001, 0.5, 0.02),
    (0.01, 1.0, 0.5),
    (0.0002, 0.45, 0.3),
    (0.02, 2.5, 0.08),
    (0.37, 2.377, 2.435),
    (0.0448, 0.415, 14.69),
    (3e-5, 0.46, 3.8),
    (0.1, 5.0, 0.05),
    (0.3, 8.0, 0.2),
]


def twice(rate: float, sigma: float, epsilon: float) -> arb:
    """δ(ε) of two runs: E[δ₁(ε - L)] over the loss L of one, with δ₁ of the other in closed form."""
    q, mu, eps, root = arb(rate), 1 / arb(sigma), arb(epsilon), arb(2).sqrt()

    def normal(x: arb) -> arb:
        return (-x / root).erfc() / 2

    def integrand(x: acb, analytic: bool) -> acb:
        mix = 1 - q + q * (mu * x - mu * mu / 2).exp()
        odds = eps.exp() / mix
        beyond = (odds - 1 + q) / q
        if analytic and not beyond.real > 0:
            return acb("nan")
        at = (beyond.log() + mu * mu / 2) / mu
        rest = (1 - q - odds) * ((at / root).erfc() / 2) + q * (((at - mu) / root).erfc() / 2)
        return (-x * x / 2).exp() / (2 * arb.pi()).sqrt() * mix * rest

    # Beyond `edge` the other run need not reveal anything: there δ₁ is 1 - e^(ε - L).
    edge = float(((((eps.exp() / (1 - q) - 1 + q) / q).log() + mu * mu / 2) / mu).mid())
    left, right, far = edge - 2.0**-47, edge + 2.0**-47, -14.0
    closer = [edge - gap for gap in (2, 1, 0.5, 0.2, 0.05, 0.01, 1e-3, 1e-4, 1e-6, 1e-8)]
    stops = sorted(x for x in {far, -4.0, 0.0, edge / 2, *closer, left} if x <= left)
    total = arb(0).union(normal(arb(far)))
    for a, b in pairwise(stops):
        total += acb.integral(integrand, a, b, abs_tol=arb(2) ** -100, rel_tol=arb(2) ** -60).real
    total += (1 - q) * normal(-arb(right)) + q * normal(mu - arb(right)) - eps.exp() * normal(-arb(right))
    near = arb(left).union(arb(right))
    density = (1 - q) * (-near * near / 2).exp() + q * (-((near - mu) ** 2) / 2).exp()
    return total + arb(0).union(density * (arb(right) - arb(left)))


@pytest.fixture(autouse=True)
def precision():
    with ctx.workprec(140):
        yield


def composition(rate, sigma, count):
    event = Repeated(count, PoissonSampled(rate, Relation.ADD_REMOVE, Gaussian(sigma)))
    return profile(event).above[0].composition


@pytest.mark.parametrize(("rate", "sigma", "epsilon"), SETTINGS)
def test_two_runs(rate, sigma, epsilon):
    truth = twice(rate, sigma, epsilon)
    found = peeled_near(composition(rate, sigma, 2), epsilon, None, None).delta(epsilon)
    assert truth.rad() < 1e-11 * truth.mid()
    assert truth > found.lower
    assert truth < found.upper
    assert found.upper - found.lower <= 1e-9 * found.upper


@pytest.mark.parametrize("epsilon", [0.25, 0.4, 0.55, 0.8])
def test_it_holds_away_from_where_it_was_made(epsilon):
    found = peeled_near(composition(0.01, 1.0, 2), 0.5, None, None).delta(epsilon)
    truth = twice(0.01, 1.0, epsilon)
    assert truth >= found.lower
    assert truth <= found.upper


@pytest.mark.parametrize(("rate", "sigma", "count", "epsilon"), [(0.002, 0.8, 300, 1.5), (0.01, 1.0, 100, 0.718)])
def test_more_runs(rate, sigma, count, epsilon):
    truth = ball.delta([(ball.PoissonGaussian(rate, sigma, "remove"), count)], epsilon)
    found = peeled_near(composition(rate, sigma, count), epsilon, None, None).delta(epsilon)
    assert not truth < found.lower
    assert not truth > found.upper
