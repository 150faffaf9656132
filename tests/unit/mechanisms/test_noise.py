from fractions import Fraction

import mpmath
import numpy as np
import pytest

from discreet import events
from discreet.mechanisms import (
    DiscreteGaussianMechanism,
    DiscreteLaplaceMechanism,
    Rng,
    discrete_gaussian_quantile,
    discrete_gaussian_std,
    discrete_laplace_quantile,
    discrete_laplace_std,
)
from discreet.testing import FixedRng

LEVELS = (0.0, 0.5, 0.9, 0.95, 0.999, 1 - 1e-12)
SMALL = [Fraction(1, 100), Fraction(3, 10), Fraction(1), Fraction(10)]
LARGE = [Fraction(10**3), Fraction(10**6), Fraction(2**46)]


@pytest.fixture(autouse=True)
def _precision():
    with mpmath.workdps(50):
        yield


def real(fraction):
    return mpmath.mpf(fraction.numerator) / fraction.denominator


def gaussian_weights(sigma):
    return [mpmath.exp(-(mpmath.mpf(x) ** 2) / (2 * real(sigma) ** 2)) for x in range(int(25 * sigma) + 3)]


@pytest.mark.parametrize("scale", [*SMALL, *LARGE, Fraction(22, 7)], ids=str)
@pytest.mark.parametrize("level", LEVELS)
def test_laplace_quantile_is_the_smallest_that_holds(level, scale):
    q = mpmath.exp(-1 / real(scale))
    h = discrete_laplace_quantile(level, scale)
    assert 2 * q ** (h + 1) / (1 + q) <= 1 - mpmath.mpf(level)
    assert h == 0 or 2 * q**h / (1 + q) > 1 - mpmath.mpf(level)


@pytest.mark.parametrize("sigma", SMALL, ids=str)
@pytest.mark.parametrize("level", LEVELS)
def test_gaussian_quantile_is_the_smallest_that_holds(level, sigma):
    weights = gaussian_weights(sigma)
    total = 2 * sum(weights) - 1
    h = discrete_gaussian_quantile(level, sigma**2)
    assert 2 * sum(weights[h + 1 :]) / total <= 1 - mpmath.mpf(level)
    assert h == 0 or 2 * sum(weights[h:]) / total > 1 - mpmath.mpf(level)


@pytest.mark.parametrize("level", LEVELS)
def test_gaussian_quantile_by_bound_meets_the_sum_where_they_join(level):
    """Just above the join the bound is used; it is never below the sum, and at most one above."""
    summed = discrete_gaussian_quantile(level, Fraction(2**20))
    bounded = discrete_gaussian_quantile(level, Fraction(2**20) + Fraction(1, 10**9))
    assert summed <= bounded <= summed + 1


@pytest.mark.parametrize("sigma", LARGE[1:], ids=str)
@pytest.mark.parametrize("level", LEVELS[1:])
def test_gaussian_quantile_of_wide_noise_is_near_the_continuous_one(level, sigma):
    h = discrete_gaussian_quantile(level, sigma**2)
    continuous = real(sigma) * mpmath.sqrt(2) * mpmath.erfinv(mpmath.mpf(level))
    assert continuous - 1 <= h <= continuous * (1 + mpmath.mpf(2) ** -30) + 1


def test_quantile_at_zero_is_zero():
    for scale in (*SMALL, *LARGE):
        assert discrete_laplace_quantile(0, scale) == discrete_gaussian_quantile(0, scale**2) == 0


@pytest.mark.parametrize("scale", [*SMALL, *LARGE], ids=str)
def test_laplace_std_is_true_and_never_too_small(scale):
    q = mpmath.exp(-1 / real(scale))
    true = mpmath.sqrt(2 * q) / (1 - q)
    assert true <= discrete_laplace_std(scale) <= true * (1 + 1e-13)


@pytest.mark.parametrize("sigma", [*SMALL, Fraction(7), Fraction(8), Fraction(9)], ids=str)
def test_gaussian_std_is_true_and_never_too_small(sigma):
    weights = gaussian_weights(sigma)
    squares = sum(x**2 * weight for x, weight in enumerate(weights))
    true = mpmath.sqrt(2 * squares / (2 * sum(weights) - 1))
    std = discrete_gaussian_std(sigma**2)
    assert true <= std <= true * (1 + 2e-11) + mpmath.mpf(5e-324)
    assert std <= float(sigma) * (1 + 1e-14)


def test_a_mechanism_names_its_event_and_its_accuracy():
    laplace = DiscreteLaplaceMechanism(Fraction(3), Fraction(30))
    assert laplace.event == events.DiscreteLaplace(Fraction(3), Fraction(30))
    assert laplace.std == discrete_laplace_std(Fraction(30))
    assert laplace.quantile(0.95) == discrete_laplace_quantile(0.95, Fraction(30))
    gaussian = DiscreteGaussianMechanism(Fraction(3), Fraction(900))
    assert gaussian.event == events.DiscreteGaussian(Fraction(3), Fraction(900))
    assert gaussian.std == discrete_gaussian_std(Fraction(900))
    assert gaussian.quantile(0.95) == discrete_gaussian_quantile(0.95, Fraction(900))
    assert DiscreteLaplaceMechanism(1, 2).event == events.DiscreteLaplace(Fraction(1), Fraction(2))


@pytest.mark.parametrize(
    "mechanism",
    [DiscreteLaplaceMechanism(Fraction(1), Fraction(5)), DiscreteGaussianMechanism(Fraction(1), Fraction(25))],
    ids=["laplace", "gaussian"],
)
def test_noise_is_added_to_integers_of_any_size(mechanism):
    zero = mechanism(np.zeros(4, dtype=np.int64), FixedRng(2))
    assert zero.dtype == np.int64
    assert (mechanism(np.array([5, -5, 0, 10**15]), FixedRng(2)) - zero).tolist() == [5, -5, 0, 10**15]
    big = mechanism([10**40, 0, -(10**40), 1], FixedRng(2))
    assert big.dtype == object  # whatever the values: the type must not tell their size
    assert mechanism([0, 0, 0, 0], FixedRng(2)).dtype == object
    assert [int(b) for b in big] == [int(z) + v for z, v in zip(zero, (10**40, 0, -(10**40), 1), strict=True)]
    assert len(mechanism([], Rng())) == 0


def test_sums_saturate_at_the_ends_of_the_type():
    ends = np.array([2**63 - 1, -(2**63)] * 200, dtype=np.int64)
    noise = DiscreteLaplaceMechanism(Fraction(1), Fraction(5))(ends, Rng())
    assert (noise[::2] > 2**62).all()
    assert (noise[1::2] < -(2**62)).all()
    assert (noise[::2] == 2**63 - 1).any()
    assert (noise[1::2] == -(2**63)).any()
