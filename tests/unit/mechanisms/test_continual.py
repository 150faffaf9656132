"""Running sums: exact arithmetic of any size, steps answered once, sums and errors worked out from answers."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from tests.benchmark_scripts import load

from discreet import accounting, events
from discreet.errors import InvalidInput
from discreet.mechanisms import Rng, RunningSums, SumsSoFar, Toeplitz
from discreet.testing import FixedRng

MATRIX = Toeplitz(steps=6, participations=2, separation=2)
SUMS = RunningSums(matrix=MATRIX, step_sensitivity_squared=Fraction(3), variance=Fraction(2**40, 3))


def played(sums, series, rng=None):
    so_far = SumsSoFar()
    for step, exact in enumerate(series, 1):
        so_far = sums.advance(so_far, step=step, exact_values=exact, rng=rng or Rng())
    return so_far


def mixed(matrix, series):
    column = matrix.coefficients.tolist()
    return [
        [sum(column[t - s] * int(series[s][cell]) for s in range(t + 1)) for cell in range(len(series[0]))]
        for t in range(len(series))
    ]


def test_the_series_is_one_event():
    assert SUMS.event == events.DiscreteGaussian(Fraction(3 * MATRIX.sensitivity_squared), Fraction(2**40, 3))
    assert events.from_json(events.to_json(SUMS.event)) == SUMS.event


def test_the_accountant_charges_exactly_rho():
    exact = RunningSums(
        matrix=MATRIX, step_sensitivity_squared=Fraction(1), variance=Fraction(2 * MATRIX.sensitivity_squared)
    )
    cost = accounting.cost(exact.event, accounting.Measure("zcdp"))
    assert cost.loss * accounting.COST_UNIT == Fraction(1, 4)
    profile = accounting.profile(exact.event)
    assert profile.epsilon(1e-6).upper == accounting.profile(events.ZCDP(0.25)).epsilon(1e-6).upper


# --------------------------------------------------------------------------------- exact arithmetic

LARGEST, LEAST = 2**63 - 1, -(2**63)
SERIES = {
    "ordinary": [np.array([5, -3, 0]), np.array([1, 1, 1]), np.array([0, 7, -9])],
    "the ends of 64 bits": [np.array([LARGEST, LEAST, 2**32 - 1])] * 6,
    "both ends": [np.array([LARGEST, LEAST, -1]), np.array([LEAST, LARGEST, 2**32])] * 3,
    "Python's own": [[2**200, -(2**200), 0], [1, 2, 3]],
    "of both types": [np.array([LARGEST, LEAST, 0]), [2**70, 1, -1], np.array([LARGEST, LEAST, 1])],
}


@pytest.mark.parametrize("series", SERIES.values(), ids=SERIES)
def test_mixing_is_exact_whatever_the_size(series):
    zeros = [[0] * len(series[0])] * len(series)
    noise = played(SUMS, zeros, FixedRng(4)).answers
    shown = played(SUMS, series, FixedRng(4)).answers
    assert [[a - b for a, b in zip(*rows, strict=True)] for rows in zip(shown, noise, strict=True)] == mixed(
        MATRIX, series
    )
    assert all(type(value) is int for row in shown for value in row)


def test_long_series_are_mixed_exactly():
    """Beyond one block of steps, at the ends of 64 bits, with the largest numbers that a matrix may hold."""
    steps = 2100
    ones = Toeplitz(steps=steps, participations=1, power=Fraction(1))
    sums = RunningSums(matrix=ones, step_sensitivity_squared=Fraction(1), variance=Fraction(2**12))
    vector = np.array([LARGEST, LEAST, 2**32 - 1])
    before = SumsSoFar(exact=[vector] * (steps - 1), answers=[[0, 0, 0]] * (steps - 1))
    shown = sums.advance(before, step=steps, exact_values=vector, rng=Rng()).answers[-1]
    exact = [steps * int(value) * 2**16 for value in vector]
    assert all(abs(a - b) < 64 * 40 for a, b in zip(shown, exact, strict=True))


def test_a_series_without_cells_and_one_without_steps():
    assert played(SUMS, [[], []]).answers == ((), ())
    assert SUMS.estimates(((), ())).shape == (2, 0)
    assert SUMS.estimates(()).shape == (0, 0)


# ------------------------------------------------------------------------------ each step once


def test_a_step_that_was_answered_is_not_answered_again():
    series = [np.arange(50), np.arange(50), np.arange(50)]
    so_far = played(SUMS, series)
    for step in (1, 2, 3):
        again = SUMS.advance(so_far, step=step, exact_values=np.zeros(50, dtype=np.int64), rng=Rng())
        assert again is so_far


def test_a_series_goes_on_from_what_was_saved():
    """Two rows a step, as plain data: whoever reads them back goes on with the same past."""
    series = [[5, -3], [2**80, 1], [0, 7], [1, 1]]
    saved = played(SUMS, series[:3])
    rows = json.loads(json.dumps([[list(map(int, x)), y] for x, y in zip(saved.exact, saved.answers, strict=True)]))
    back = SumsSoFar(exact=[x for x, _ in rows], answers=[y for _, y in rows])
    assert back.answers == saved.answers
    there, here = (SUMS.advance(one, step=4, exact_values=series[3], rng=FixedRng(1)) for one in (back, saved))
    assert there.answers == here.answers
    assert here.steps == 4


def test_what_was_answered_cannot_be_changed_from_outside():
    vector = np.array([1, 2, 3])
    so_far = SUMS.advance(SumsSoFar(), step=1, exact_values=vector, rng=Rng())
    vector[0] = 100
    assert so_far.exact[0].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        so_far.exact[0][0] = 100
    kept = SumsSoFar(exact=[vector], answers=[[0, 0, 0]])
    vector[0] = 200
    assert kept.exact[0].tolist() == [100, 2, 3]


def test_private_vectors_are_not_printed():
    so_far = played(SUMS, [[123456789]])
    assert "123456789" not in repr(so_far)


WRONG = [
    lambda: SUMS.advance(SumsSoFar(), step=2, exact_values=[1], rng=Rng()),
    lambda: SUMS.advance(SumsSoFar(), step=0, exact_values=[1], rng=Rng()),
    lambda: SUMS.advance(SumsSoFar(), step=True, exact_values=[1], rng=Rng()),
    lambda: SUMS.advance(played(SUMS, [[1]] * 6), step=7, exact_values=[1], rng=Rng()),
    lambda: SUMS.advance(played(SUMS, [[1]]), step=2, exact_values=[1, 2], rng=Rng()),
    lambda: SUMS.advance(SumsSoFar(), step=1, exact_values=[0.5], rng=Rng()),
    lambda: SUMS.advance(SumsSoFar(), step=1, exact_values=np.zeros(2), rng=Rng()),
    lambda: SumsSoFar(exact=[[1]], answers=[]),
    lambda: SumsSoFar(exact=[[1]], answers=[[1, 2]]),
    lambda: SumsSoFar(exact=[[1], [1, 2]], answers=[[1], [1]]),
    lambda: SumsSoFar(exact=[[1.5]], answers=[[1]]),
    lambda: SumsSoFar(exact=[[1]], answers=[[1.5]]),
    lambda: SUMS.window([[1]], 2),
    lambda: SUMS.window([[1], [2]], 2, 3),
    lambda: SUMS.estimates([[1]] * 7),
    lambda: SUMS.quantile(1.0, 3),
    lambda: RunningSums(matrix=MATRIX, step_sensitivity_squared=Fraction(-1), variance=Fraction(2**20)),
    lambda: RunningSums(matrix=MATRIX, step_sensitivity_squared=1.0, variance=Fraction(2**20)),
    lambda: RunningSums(matrix=MATRIX, step_sensitivity_squared=Fraction(1), variance=Fraction(2**12) - 1),
    lambda: RunningSums(matrix=MATRIX, step_sensitivity_squared=Fraction(1), variance=Fraction(2**93)),
    lambda: RunningSums(matrix=3, step_sensitivity_squared=Fraction(1), variance=Fraction(2**20)),
]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_wrong_uses_are_refused(wrong):
    with pytest.raises(InvalidInput):
        wrong()


def test_a_refusal_says_that_nothing_was_drawn_and_shows_no_value():
    with pytest.raises(InvalidInput) as refused:
        SUMS.advance(played(SUMS, [[987654321]]), step=2, exact_values=[987654321, 2], rng=Rng())
    assert "No noise was drawn" in str(refused.value)
    assert "987654321" not in str(refused.value)


# ----------------------------------------------------------------------------- sums and their errors


def test_sums_of_answers_without_noise_are_the_exact_sums():
    matrix = Toeplitz(steps=300, participations=1)
    sums = RunningSums(matrix=matrix, step_sensitivity_squared=Fraction(1), variance=Fraction(2**20))
    series = np.array([[i % 7, -i, 10**9] for i in range(300)])
    answers = mixed(matrix, series)
    assert sums.estimates(answers) == pytest.approx(series.cumsum(axis=0), rel=1e-12, abs=1e-6)
    assert sums.window(answers, 200, 150) == pytest.approx(series[149:200].sum(axis=0), rel=1e-9, abs=1e-4)
    assert sums.window(answers[:200], 200) == pytest.approx(sums.estimates(answers)[199])


@pytest.mark.parametrize(("last", "first"), [(1, 1), (6, 1), (6, 6), (5, 3), (2, 2)])
def test_standard_errors_follow_from_the_dense_factors(last, first):
    column = MATRIX.coefficients
    mixing = np.array([[column[i - j] if i >= j else 0 for j in range(6)] for i in range(6)], dtype=float)
    asked = np.array([1.0 if first <= s <= last else 0.0 for s in range(1, 7)])
    error = math.sqrt(2**40 / 3) * np.linalg.norm(asked @ np.linalg.inv(mixing))
    assert SUMS.standard_error(last, first) == pytest.approx(error, rel=1e-12)


def test_the_last_sum_errs_most_and_is_what_the_matrix_says():
    sums = RunningSums(
        matrix=MATRIX, step_sensitivity_squared=Fraction(1), variance=Fraction(MATRIX.sensitivity_squared)
    )
    errors = [sums.standard_error(last) for last in range(1, 7)]
    assert all(a < b for a, b in itertools.pairwise(errors))
    assert errors[-1] == pytest.approx(MATRIX.max_error, rel=1e-12)
    assert math.sqrt(sum(error**2 for error in errors) / 6) == pytest.approx(MATRIX.rms_error, rel=1e-12)


def gaussian(variance, reach):
    x = np.arange(-reach, reach + 1)
    weights = np.exp(-x * x / (2 * float(variance)))
    return x, weights / weights.sum()


@pytest.mark.parametrize("p", [0.0, 0.5, 0.95, 0.999])
@pytest.mark.parametrize(("last", "first"), [(1, 1), (2, 1), (2, 2)])
def test_quantiles_hold_by_exact_summation_and_are_not_much_too_wide(last, first, p):
    """One and two answers at the least variance there may be, where the lattice is coarsest."""
    sums = RunningSums(matrix=MATRIX, step_sensitivity_squared=Fraction(1), variance=Fraction(2**12))
    x, chance = gaussian(2**12, 64 * 12)
    weights = sums.matrix.weights(last, first)
    total = np.abs(np.add.outer(weights[0] * x, weights[1] * x) if last == 2 else weights[0] * x)
    both = np.multiply.outer(chance, chance) if last == 2 else chance
    h = sums.quantile(p, last, first)
    assert both[total <= h].sum() >= p
    narrower = h - 12 / 64 * sums.standard_error(last, first)
    assert narrower <= 0 or both[total <= narrower].sum() < p + 1e-9


# ------------------------------------------------------------------------------------ the benchmark


def test_the_benchmark_prints_its_table(capsys):
    load("continual").main(["--steps", "100"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("100 steps") for line in lines) == 4
    assert sum(line.endswith("met") for line in lines) == 1
