"""Running sums: the law of every answer's noise, that no two share it, and what estimates then err by. A scale 10 % off fails."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from discreet.mechanisms import Rng, RunningSums, SumsSoFar, Toeplitz
from discreet.testing import gof, noise_law
from discreet.testing.fit import binomials
from discreet.testing.laws import collision

RNG = Rng()
CELLS = 150_000
STEPS = 4
MATRIX = Toeplitz(steps=STEPS, participations=2)
DEVIATION = (
    7.5  # standard errors of a sample covariance, near enough normal at 150,000 cells: 1e-8 for all of them together
)
SERIES = np.arange(STEPS * CELLS).reshape(STEPS, CELLS) % 1000 - 300


def sums(variance):
    return RunningSums(matrix=MATRIX, step_sensitivity_squared=Fraction(1), variance=variance)


def answers(variance):
    so_far = SumsSoFar()
    for step in range(1, STEPS + 1):
        so_far = sums(variance).advance(so_far, step=step, exact_values=SERIES[step - 1], rng=RNG)
    return np.array(so_far.answers, dtype=np.int64)


def noise(variance):
    """Return the answers less the mixed series, which is worked out here in NumPy's 64 bits, where it fits."""
    column = MATRIX.coefficients
    mixed = [sum(column[t - s] * SERIES[s] for s in range(t + 1)) for t in range(STEPS)]
    return answers(variance) - np.array(mixed)


@pytest.mark.parametrize("variance", [Fraction(3 * 2**12, 2), Fraction(MATRIX.sensitivity_squared, 2)], ids=str)
def test_every_answer_has_the_noise_of_the_event(variance):
    law = noise_law(sums(variance).event)
    assert all(gof(row, law).accepted for row in noise(variance))
    for factor in (Fraction(81, 100), Fraction(121, 100)):  # of the variance: a scale 10 % off
        assert not any(gof(row, law).accepted for row in noise(variance * factor))


def test_answers_share_no_noise():
    """Neither those of one cell in two steps, nor those of two cells: equal no more often than by chance."""
    drawn = noise(Fraction(2**12))
    chance = np.array([collision(sums(Fraction(2**12)).event)])
    pairs = [drawn[s] == drawn[t] for s in range(STEPS) for t in range(s)] + [drawn[0, ::2] == drawn[0, 1::2]]
    for same in pairs:
        assert binomials(np.array([same.sum()]), np.array([same.size]), chance).accepted
    shared = np.array([CELLS])
    assert not binomials(shared, shared, chance).accepted


def deviations(variance, claimed):
    """Return how far sample covariances of the estimates' errors are from what the dense factors say, in standard errors."""
    column = MATRIX.coefficients
    mixing = np.array([[column[i - j] if i >= j else 0 for j in range(STEPS)] for i in range(STEPS)], dtype=float)
    unmixing = np.tril(np.ones((STEPS, STEPS))) @ np.linalg.inv(mixing)
    theory = float(claimed) * unmixing @ unmixing.T
    errors = sums(claimed).estimates(answers(variance)) - SERIES.cumsum(axis=0)
    sample = errors @ errors.T / CELLS
    spread = np.sqrt((np.outer(theory.diagonal(), theory.diagonal()) + theory**2) / CELLS)
    assert np.sqrt(theory.diagonal()) == pytest.approx(
        [sums(claimed).standard_error(last) for last in range(1, STEPS + 1)], rel=1e-9
    )
    return np.abs(sample - theory) / spread


def test_estimates_err_as_the_factors_say():
    claimed = Fraction(MATRIX.sensitivity_squared)
    assert deviations(claimed, claimed).max() < DEVIATION
    off = claimed * Fraction(81, 100)
    assert deviations(off, claimed).min() > DEVIATION


@pytest.mark.parametrize(("last", "first"), [(4, 1), (3, 2), (4, 4)])
def test_quantiles_cover_as_often_as_they_say(last, first):
    claimed = Fraction(MATRIX.sensitivity_squared)
    for variance, right in ((claimed, True), (claimed * Fraction(121, 100), False)):
        found = sums(claimed).window(answers(variance), last, first) - SERIES[first - 1 : last].sum(axis=0)
        within = np.array([(np.abs(found) <= sums(claimed).quantile(0.9, last, first)).sum()])
        assert binomials(within, np.array([CELLS]), np.array([0.9])).accepted == right
    assert math.isclose(
        sums(claimed).quantile(0.9, last, first) / sums(claimed).standard_error(last, first), 1.64485, rel_tol=3e-4
    )
