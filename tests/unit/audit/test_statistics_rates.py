"""Exact intervals and tails: against whole-number arithmetic, and never inside of it."""

import math
import sys
from fractions import Fraction

import numpy as np
import pytest

from discreet.audit.statistics.rates import (
    binomial_lower_tail,
    binomial_upper_tail,
    clopper_pearson_lower,
    clopper_pearson_rest,
    clopper_pearson_upper,
    dkw_radius,
    hypergeometric_lower_tail,
    hypergeometric_upper_tail,
    log_binomials,
    wilson,
)
from discreet.errors import InvalidInput, MissingExtra


def upper_tail(k, n, p):
    """P[Bin(n, p) >= k], exactly."""
    p = Fraction(p)
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


COUNTS = [(0, 1), (1, 1), (0, 20), (1, 20), (10, 20), (19, 20), (20, 20), (3, 100), (50, 100), (99, 100)]


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-4, 1e-12])
@pytest.mark.parametrize(("k", "n"), COUNTS)
def test_clopper_pearson_is_the_inversion_rounded_outward(k, n, alpha):
    lower = float(clopper_pearson_lower(k, n, alpha=alpha))
    upper = float(clopper_pearson_upper(k, n, alpha=alpha))
    exact = Fraction(alpha)
    if k == 0:
        assert lower == 0
    else:
        assert upper_tail(k, n, lower) <= exact  # not above the inversion
        assert upper_tail(k, n, lower * (1 + 1e-9)) > exact * (1 - Fraction(1, 10**8))  # and close to it
    if k == n:
        assert upper == 1
    else:
        assert 1 - upper_tail(k + 1, n, upper) <= exact
        assert 1 - upper_tail(k + 1, n, upper * (1 - 1e-9)) > exact * (1 - Fraction(1, 10**6))
    assert float(clopper_pearson_rest(k, n, alpha=alpha)) == pytest.approx(1 - lower, abs=1e-10)


def test_the_rest_does_not_cancel():
    """With all of 10**9 trials successful, the rate of failures is known to nine digits."""
    assert float(clopper_pearson_rest(10**9, 10**9, alpha=0.05)) == pytest.approx(-math.log(0.05) / 1e9, rel=1e-8)


def test_intervals_take_arrays():
    lower = clopper_pearson_lower([0, 5, 10], [10, 10, 10], alpha=0.05)
    assert lower.tolist() == [float(clopper_pearson_lower(k, 10, alpha=0.05)) for k in (0, 5, 10)]


@pytest.mark.parametrize("p", [1e-9, 0.01, 0.5, 0.75, 0.999])
@pytest.mark.parametrize(("k", "n"), COUNTS)
def test_binomial_tails_are_rounded_up(k, n, p):
    exact = upper_tail(k, n, p)
    found = Fraction(float(binomial_upper_tail(k, n, p)))
    assert exact <= found <= min(1, exact * (1 + Fraction(1, 10**9)) + Fraction(1, 10**299))
    exact = 1 - upper_tail(k + 1, n, p)
    found = Fraction(float(binomial_lower_tail(k, n, p)))
    assert exact <= found <= min(1, exact * (1 + Fraction(1, 10**9)) + Fraction(1, 10**299))


@pytest.mark.parametrize(("k", "n", "p"), [(60_000, 100_000, 0.6), (50_500, 100_000, 0.5), (99_900, 100_000, 0.999)])
def test_tails_of_many_trials(k, n, p):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        rate = mpmath.mpf(p)
        logs = mpmath.loggamma(n + 1) - mpmath.loggamma(k + 1) - mpmath.loggamma(n - k + 1)
        logs += k * mpmath.log(rate) + (n - k) * mpmath.log1p(-rate)
        term = exact = mpmath.exp(logs)
        for i in range(k, n):
            term *= (n - i) * rate / ((i + 1) * (1 - rate))
            exact += term
            if term < exact * mpmath.mpf(10) ** -30:
                break
        assert 0 <= float(binomial_upper_tail(k, n, p) / exact - 1) < 1e-9
        assert 0 <= float(logs - log_binomials(k, n, p)) < 1e-6


def test_hypergeometric_tails_are_exact_and_rounded_up():
    population, marked, draws = 30, 12, 9
    ways = math.comb(population, draws)
    for hits in range(draws + 1):
        exact = Fraction(
            sum(math.comb(marked, i) * math.comb(population - marked, draws - i) for i in range(hits, draws + 1)), ways
        )
        found = hypergeometric_upper_tail(hits, population, marked, draws)
        assert exact <= Fraction(found) <= exact * (1 + Fraction(1, 10**10))
        exact = 1 - exact + Fraction(math.comb(marked, hits) * math.comb(population - marked, draws - hits), ways)
        found = hypergeometric_lower_tail(hits, population, marked, draws)
        assert exact <= Fraction(found) <= exact * (1 + Fraction(1, 10**10))
    assert hypergeometric_upper_tail(5, 10, 8, 3) == 0
    assert hypergeometric_upper_tail(1, 10, 8, 3) == 1


def test_wilson_is_the_published_example():
    centre, half = wilson(16, 500, alpha=0.05)
    assert centre == pytest.approx(0.0355682, abs=5e-8)
    assert half == pytest.approx(0.0157767, abs=5e-8)


def test_dkw_is_massarts_constant():
    assert dkw_radius(200, alpha=0.05) == pytest.approx(math.sqrt(math.log(40) / 400), rel=1e-11)


@pytest.mark.parametrize(
    "call",
    [
        lambda: clopper_pearson_lower(1.5, 3, alpha=0.05),
        lambda: clopper_pearson_lower(True, 3, alpha=0.05),
        lambda: clopper_pearson_lower(4, 3, alpha=0.05),
        lambda: clopper_pearson_upper(-1, 3, alpha=0.05),
        lambda: clopper_pearson_upper(0, 0, alpha=0.05),
        lambda: clopper_pearson_upper(0, 1, alpha=0.0),
        lambda: clopper_pearson_upper(0, 1, alpha=0.6),
        lambda: clopper_pearson_upper(0, 1, alpha=math.nan),
        lambda: binomial_upper_tail(1, 2, math.nan),
        lambda: binomial_lower_tail(1, 2, 1.5),
        lambda: hypergeometric_upper_tail(1, 10, 11, 3),
        lambda: hypergeometric_upper_tail(1, 10, 3, 11),
        lambda: hypergeometric_upper_tail(1.0, 10, 3, 2),
        lambda: dkw_radius(0, alpha=0.05),
        lambda: wilson(3, 2, alpha=0.05),
    ],
)
def test_wrong_counts_are_refused(call):
    with pytest.raises(InvalidInput):
        call()


def test_numpy_counts_are_whole_numbers():
    assert hypergeometric_upper_tail(np.int64(1), np.int64(10), np.int64(8), np.int64(3)) == 1


def test_without_scipy_the_error_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtra, match=r"discreet\[audit\]"):
        clopper_pearson_lower(1, 2, alpha=0.05)
