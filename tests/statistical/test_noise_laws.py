"""Both noise laws against their exact probabilities, at five scales; each test can tell a scale 10 % off."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from discreet import events
from discreet.mechanisms import Rng, discrete_gaussian, discrete_laplace, inversion
from discreet.testing import gof, noise_law, two_sample
from discreet.testing.fit import binomials

SCALES = [Fraction(3, 10), Fraction(1), Fraction(10), Fraction(1000), Fraction(10**6)]
DRAWS = 400_000
RNG = Rng()


def laplace(scale, draws=DRAWS):
    return discrete_laplace(draws, scale=scale, rng=RNG)


def gaussian(scale, draws=DRAWS):
    return discrete_gaussian(draws, variance=scale**2, rng=RNG)


def law_of(draw, scale):
    if draw is laplace:
        return noise_law(events.DiscreteLaplace(Fraction(1), scale))
    return noise_law(events.DiscreteGaussian(Fraction(1), scale**2))


def both(test):
    return pytest.mark.parametrize("scale", SCALES, ids=str)(pytest.mark.parametrize("draw", [laplace, gaussian])(test))


@both
def test_the_true_law_is_accepted(draw, scale):
    assert gof(draw(scale), law_of(draw, scale)).accepted


@both
@pytest.mark.parametrize("factor", [Fraction(9, 10), Fraction(11, 10)], ids=str)
def test_a_scale_ten_percent_off_is_rejected(draw, scale, factor):
    assert not gof(draw(scale * factor), law_of(draw, scale)).accepted


@both
def test_two_samples_of_one_law_agree(draw, scale):
    assert two_sample(draw(scale), draw(scale)).accepted


@both
def test_two_samples_of_scales_ten_percent_apart_differ(draw, scale):
    assert not two_sample(draw(scale), draw(scale * Fraction(9, 10))).accepted


@pytest.mark.parametrize(
    "scale", [Fraction(1, 100), Fraction(63), Fraction(64), Fraction(2**20, 3), Fraction(2**40)], ids=str
)
def test_laplace_at_other_scales(scale):
    assert gof(laplace(scale), law_of(laplace, scale)).accepted


@pytest.mark.parametrize("scale", [Fraction(1, 100), Fraction(127), Fraction(128), Fraction(10**5, 3)], ids=str)
def test_gaussian_at_other_scales(scale):
    assert gof(gaussian(scale), law_of(gaussian, scale)).accepted


def test_the_largest_scales():
    """2**46, too wide to sum: low bits are uniform, and the value scaled down is that of a smaller scale."""
    wide, narrow = Fraction(2**46), Fraction(2**26)
    for draw in (laplace, gaussian):
        large = draw(wide)
        assert two_sample(large >> 20, draw(narrow)).accepted
        assert two_sample(large & 1023, RNG.words(DRAWS) & 1023).accepted


def odd_places(draw):
    """How many of many draws sit in the second place of their stratum of two, and the exact chance of that."""
    scale = Fraction(64) if draw is laplace else Fraction(128)
    draws = 24_000_000
    samples = draw(scale, draws)
    odd = int(np.count_nonzero((samples ^ samples >> 63) & 1))
    x = np.arange(-20_000, 20_001)
    rate = 1 / 64 if draw is laplace else 1 / (2 * 128**2)
    weights = np.exp(-rate * np.abs(x) ** (1.0 if draw is laplace else 2.0))
    chance = weights[((x ^ x >> 63) & 1) == 1].sum() / weights.sum()
    return binomials(np.array([odd]), np.array([draws]), np.array([chance]))


@pytest.mark.parametrize("draw", [laplace, gaussian])
def test_places_within_a_stratum_are_as_uneven_as_they_should_be(draw, monkeypatch):
    """Acceptance matters little to the whole law (0.2 to 0.4 % here), so it is tested by itself."""
    assert odd_places(draw).accepted
    monkeypatch.setattr(inversion.Table, "_accept", lambda _, place, *__: np.ones(place.size, dtype=np.bool_))
    assert not odd_places(draw).accepted


FORCED = [
    (cell_bits, tolerance, scale)
    for cell_bits, tolerance in ((6, 2.0**-40), (8, 0.05), (16, 2.0**-8))
    for scale in (Fraction(3, 10), Fraction(10), Fraction(1000))
]


@pytest.mark.parametrize(("cell_bits", "tolerance", "scale"), FORCED)
@pytest.mark.parametrize("power", [1, 2])
def test_forced_slow_paths_have_the_same_law(power, cell_bits, tolerance, scale, monkeypatch):
    """Narrow tables and wide tolerances send draws through 64-bit words and exact arithmetic."""
    calls = {"exact": 0}
    exact = inversion._exact_place

    def counted(*args):
        calls["exact"] += 1
        return exact(*args)

    monkeypatch.setattr(inversion, "_exact_place", counted)
    law = inversion.Law(power, 1 / scale if power == 1 else 1 / (2 * scale**2))
    table = inversion.table.__wrapped__(law, cell_bits, tolerance)
    draws = 60_000
    samples = table.draw(draws, RNG)
    draw = laplace if power == 1 else gaussian
    assert gof(samples, law_of(draw, scale)).accepted
    assert (calls["exact"] > draws / 500) == (tolerance > 2.0**-40)


def test_two_samples_with_opendp():
    """An independent exact sampler (opendp) and ours draw from one law."""
    dp = pytest.importorskip("opendp.prelude")
    dp.enable_features("contrib")
    n = 60_000
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    theirs = (space >> dp.m.then_laplace(10.0))([0] * n)
    assert two_sample(laplace(Fraction(10), n), theirs).accepted
    assert not two_sample(laplace(Fraction(9), n), theirs).accepted
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    theirs = (space >> dp.m.then_gaussian(10.0))([0] * n)
    assert two_sample(gaussian(Fraction(10), n), theirs).accepted
    assert not two_sample(gaussian(Fraction(9), n), theirs).accepted
