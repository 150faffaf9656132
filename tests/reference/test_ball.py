"""The referee itself: known values, closed forms, and every bound it relies on."""

import math
from fractions import Fraction

import pytest
from flint import acb, arb, ctx
from scipy import stats

from tests.reference import ball
from tests.reference.ball import (
    FixedSizeGaussian,
    Gaussian,
    Laplace,
    PoissonGaussian,
    PoissonLaplace,
    Response,
    TruncatedPoisson,
    Windowed,
    delta,
    straddles,
)

SAMPLED = [
    PoissonGaussian(0.01, 1.0, "remove"),
    PoissonGaussian(0.01, 1.0, "add"),
    PoissonGaussian(0.01, 1.0, "replace"),
    PoissonLaplace(0.05, 1.0, "remove"),
    PoissonLaplace(0.05, 1.0, "add"),
    TruncatedPoisson(50_000, 0.01, 550, 1.0, "remove"),
    TruncatedPoisson(50_000, 0.01, 550, 1.0, "add"),
    FixedSizeGaussian(0.01, 2.0),
]


@pytest.fixture(autouse=True)
def precision():
    with ctx.workprec(ball.PRECISION):
        yield


def overlaps(*balls: arb) -> bool:
    return all(x.overlaps(y) for x in balls for y in balls)


# Epsilons that two other methods found (ball arithmetic with another contour, Gauss-Legendre to convergence, brackets
# of a double-precision prototype), with the half-width to which they were known.
KNOWN = {
    "T1 remove": (SAMPLED[0], 10_000, 1e-5, 6.18771238997154, 3e-14),
    "T1 add": (SAMPLED[1], 10_000, 1e-5, 5.61150861765198, 3e-14),
    "T1 at 1e-14": (SAMPLED[0], 10_000, 1e-14, 11.303558812, 1e-9),
    "T2 remove": (PoissonGaussian(1e-3, 0.6, "remove"), 100_000, 1e-7, 7.78157629205357, 5e-14),
    "T2 add": (PoissonGaussian(1e-3, 0.6, "add"), 100_000, 1e-7, 5.83856844340929, 5e-14),
    "T3 add": (PoissonGaussian(518_000 * 1024 / 13e12, 0.614, "add"), 100_000, 1.1e-10, 0.235069832014289, 3e-15),
    "T12a add": (PoissonGaussian(1e-5, 0.3, "add"), 1_000_000, 1e-12, 2.82888085411805, 3e-14),
    "T12b remove": (PoissonGaussian(0.01, 0.5, "remove"), 10_000, 1e-5, 43.3664898604199, 3e-13),
    "T12b add": (PoissonGaussian(0.01, 0.5, "add"), 10_000, 1e-5, 23.5281700373101, 3e-13),
    "T12c remove": (PoissonGaussian(1e-4, 5.0, "remove"), 100, 1e-9, 8.620934074313845e-4, 4e-16),
    "T12c add": (PoissonGaussian(1e-4, 5.0, "add"), 100, 1e-9, 7.89383698666459e-4, 3e-17),
    "T5": (Gaussian(0.01), 10_000, 1e-5, 4.37717809568122463, 3e-14),
    "T6": (Laplace(0.1), 1_000, 1e-6, 18.9502873675395582, 1e-13),
    "T8 replace": (SAMPLED[2], 10_000, 1e-5, 10.880781533634, 1e-12),
    "T8 truncated remove": (SAMPLED[5], 10_000, 1e-5, 9.398077473163, 1e-12),
    "T8 truncated add": (SAMPLED[6], 10_000, 1e-5, 9.215593818985, 1e-12),
    "T11": (FixedSizeGaussian(0.01, 2.0), 10_000, 1e-5, 2.561562659265, 1e-12),
    "T11 at twice the distance": (FixedSizeGaussian(0.01, 1.0), 10_000, 1e-5, 8.083963467812, 1e-12),
    "Laplace remove": (SAMPLED[3], 500, 1e-6, 5.209230490389, 1e-12),
    "Laplace add": (SAMPLED[4], 500, 1e-6, 4.773685883188, 1e-12),
    "few steps": (SAMPLED[0], 100, 1e-5, 0.7180356613, 1e-10),
    "one step": (SAMPLED[0], 1, 1e-5, 0.1994504477, 2e-10),
    "high rate": (PoissonGaussian(0.5, 2.0, "remove"), 10, 1e-5, 3.9589955684, 1e-10),
    "many steps": (PoissonGaussian(1e-3, 1.0, "remove"), 1_000_000, 1e-14, 10.631750573, 1e-9),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_epsilons(name):
    law, count, target, epsilon, slack = KNOWN[name]
    assert straddles([(law, count)], epsilon - slack, epsilon + slack, target)
    assert not straddles([(law, count)], epsilon + slack, epsilon + 2 * slack, target)


def test_budget_of_vaultgemma():
    """Batches of 517,989 of 9.754e9 sequences, noise 0.614, 100,000 steps, delta 1.1e-10: epsilon <= 2 holds."""
    target, rate, sigma = Fraction(11, 10**11), Fraction(517_989, 9_754_000_000), Fraction(614, 1000)
    remove, add = ([(PoissonGaussian(rate, sigma, way), 100_000)] for way in ("remove", "add"))
    assert straddles(remove, 1.9909775143, 1.9909775144, target)
    assert straddles(add, 0.30845964837, 0.30845964838, target)


# ------------------------------------------------------------------------------------- closed forms


def gaussian_delta(mu, eps):
    mu, eps = ball.ball(mu), ball.ball(eps)
    return ball.normal(mu / 2 - eps / mu) - eps.exp() * ball.normal(-mu / 2 - eps / mu)


@pytest.mark.parametrize("eps", [0.0, 0.5, 3.0, 9.0, 25.0])
def test_gaussians_compose_to_a_gaussian(eps):
    parts = [(Gaussian(Fraction(1, 10)), 64), (Gaussian(Fraction(6, 10)), 1)]
    found = delta(parts, eps)
    assert found.overlaps(gaussian_delta(1, eps))
    assert found.rad() < 1e-12 * found.mid()
    assert delta([(Gaussian(1), 1)], eps).overlaps(gaussian_delta(1, eps))


@pytest.mark.parametrize("eps", [-1.0, 0.0, 0.75, 1.0, 1.25, 4.0])
def test_one_use_has_its_closed_form(eps):
    e0 = arb(1)
    for law in (Laplace(1), PoissonLaplace(1, 1, "remove"), PoissonLaplace(1, 1, "add")):
        expected = 1 - ((arb(eps) - e0) / 2).exp() if eps <= 1 else arb(0)
        if eps < -1 or eps == -1.0:
            expected = 1 - arb(eps).exp()
        assert delta([(law, 1)], eps).overlaps(expected)
    for direction in ("remove", "add"):
        assert delta([(PoissonGaussian(1, 2, direction), 1)], eps).overlaps(gaussian_delta(Fraction(1, 2), eps))
    assert delta([(PoissonGaussian(1, 2, "replace"), 1)], eps).overlaps(gaussian_delta(1, eps))
    assert delta([(FixedSizeGaussian(1, 2), 1)], eps).overlaps(gaussian_delta(Fraction(1, 2), eps))


@pytest.mark.parametrize("eps", [0.01, 0.2, 1.0])
def test_sampling_amplifies_one_use_as_it_should(eps):
    """Remove: delta(log(1 + q (e^eps - 1))) = q delta0(eps), for Poisson sampling and for a fixed size."""
    q, e = Fraction(1, 8), ball.ball(eps)
    less = (1 + ball.ball(q) * (e.exp() - 1)).log()
    expected = ball.ball(q) * gaussian_delta(1, eps)
    for law in (PoissonGaussian(q, 1, "remove"), FixedSizeGaussian(q, 1)):
        assert delta([(law, 1)], less).overlaps(expected)


def test_randomised_responses_are_binomial():
    eps, count = 20.0, 60
    p = 1 / (1 + (-arb(1)).exp())
    exact = arb(0)
    for j in range(count + 1):
        loss = arb(2 * j - count)
        if loss > eps:
            exact += math.comb(count, j) * p**j * (1 - p) ** (count - j) * (1 - (arb(eps) - loss).exp())
    found = delta([(Response(1), count)], eps)
    assert found.overlaps(exact)
    assert found.rad() < 1e-20 * found.mid()
    # Two halves, and a twin whose e0 is another object for the same number, are the same composition.
    assert found.overlaps(delta([(Response(1), 30), (Response(1.0), 30)], eps))


def test_responses_with_a_normal_mixed_in_agree_with_the_sum_over_atoms():
    eps, count = 8.0, 12
    p = 1 / (1 + (-arb(1)).exp())
    exact = arb(0)
    for j in range(count + 1):
        weight = math.comb(count, j) * p**j * (1 - p) ** (count - j)
        exact += weight * gaussian_delta(1, arb(eps) - (2 * j - count))
    assert delta([(Response(1), count), (Gaussian(1), 1)], eps).overlaps(exact)


def test_infinite_loss_adds_up():
    spoilt = Response(1, infinite=Fraction(1, 1000))
    both = delta([(spoilt, 3), (Gaussian(1), 1)], 2.0)
    rest = delta([(Response(1), 3), (Gaussian(1), 1)], 2.0)
    keep = arb(999) ** 3 / arb(1000) ** 3
    assert both.overlaps(1 - keep + keep * rest)
    assert delta([(Response(1, k=5, infinite=Fraction(1, 7)), 1)], 1.0).overlaps(arb(1) / 7)


# ------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("law", SAMPLED, ids=repr)
def test_contours_agree(law):
    parts = [(law, 2_000), (Laplace(0.25), 20)]
    at = [ball.profile(parts, 3.0, shift)(3.0) for shift in (0.7, 1.0, 1.4)]
    assert overlaps(*at)
    assert all(x.rad() < 1e-11 * x.mid() for x in at)


def test_a_profile_holds_away_from_its_contour():
    parts = [(SAMPLED[0], 2_000)]
    near = ball.profile(parts, 2.0)
    assert all(near(eps).overlaps(delta(parts, eps)) for eps in (0.5, 1.5, 2.5, 5.0))


@pytest.mark.parametrize("accuracy", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("name", ["T1 remove", "T1 add", "T2 remove", "T8 replace", "T11", "Laplace add"])
def test_coarse_enclosures_hold_the_fine_one(monkeypatch, name, accuracy):
    """With a large step, an early end and a narrow window every error term is material, and still a bound."""
    law, count, _, eps, _ = KNOWN[name]
    parts = [(law, count)]
    fine = delta(parts, eps)
    monkeypatch.setattr(ball, "ACCURACY", accuracy)
    coarse = ball.Contour(parts, eps).delta(eps)
    assert coarse.contains(fine)
    assert accuracy / 1e4 < coarse.rad() / fine.mid() < 100 * accuracy


@pytest.mark.parametrize("law", SAMPLED, ids=repr)
def test_the_line_is_the_transform_and_stays_under_its_bound(law):
    c, h, windowed = arb(3), arb(2), Windowed(law, 1e-20)
    line = windowed.line(c, h, 24, 1e-25)
    bound = windowed.stacked(c)
    for k in (0, 1, 5, 24):
        assert windowed.transform(acb(c, h * k)).overlaps(line[k])
        assert line[k].real.rad() < 1e-18
    sizes = [abs(x) for x in line]
    for j in (0, 1, 2, 5, 12, 24):
        most = bound(h * j)
        assert all(not size > most for size in sizes[j:])
    assert bound(arb(5000)) < bound(h) < sizes[0] * (1 + arb(1e-20))


@pytest.mark.parametrize("law", [Gaussian(0.5), Laplace(0.5), Response(0.5, k=4)], ids=repr)
def test_closed_transforms_are_those_of_the_pieces(law):
    windowed = Windowed(law, 1e-40)
    windowed.pieces = [piece.window(1e-40)[0] for piece in law.pieces]
    for z in (acb(0), acb(0.75), acb(2, 3), acb(1, -20)):
        gap = abs(law.transform(z) - ball.Law.transform(windowed, z))
        assert gap < 1e-18
    assert all(
        abs(law.transform(acb(2, v))) <= law.tail(arb(2), arb(u)) * (1 + arb(1e-30)) for u in (0, 3) for v in (u, u + 9)
    )


@pytest.mark.parametrize("law", SAMPLED, ids=repr)
def test_laws_are_probabilities_on_both_sides(law):
    """M(0) = 1, and M(-1) = 1: neither P nor Q has mass where the other has none."""
    windowed = Windowed(law, 1e-30)
    assert abs(windowed.transform(acb(0)) - 1) < 1e-15
    assert abs(windowed.transform(acb(-1)) - 1) < 1e-12
    assert windowed.cut < 1e-29


def test_a_tiny_delta_is_as_sharp():
    found = delta([(SAMPLED[1], 400)], 2.0)
    assert 5e-33 < found < 6e-33
    assert found.rad() < 1e-12 * found.mid()


def test_a_batch_that_holds_everyone_is_never_cut():
    never, law = TruncatedPoisson(100, 0.125, 100, 1.0, "add"), PoissonGaussian(0.125, 1.0, "add")
    assert delta([(never, 1)], 0.05).overlaps(delta([(law, 1)], 0.05))


def test_truncation_follows_the_binomial_law():
    often, rate = TruncatedPoisson(50_000, 0.01, 550, 1.0, "add").truncated()
    assert float(often) == pytest.approx(stats.binom.sf(549, 49_999, 0.01), rel=1e-9)
    assert float(rate) == pytest.approx(stats.binom.sf(550, 50_000, 0.01) * 550 / float(often) / 50_000, rel=1e-9)


def test_too_few_continuous_steps_are_refused():
    with pytest.raises(ArithmeticError, match="does not decay"):
        delta([(SAMPLED[0], 2)], 0.25)
