"""The matrix: its numbers, its worst steps by brute force, its inverse in fractions, its errors against dense linear algebra."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from discreet.errors import InvalidInput
from discreet.mechanisms import Toeplitz
from discreet.mechanisms.toeplitz import LATTICE_BITS, MOST_STEPS

SHAPES = [(Fraction(1, 2), Fraction(1)), (Fraction(0), Fraction(1)), (Fraction(1), Fraction(1)),
          (Fraction(5, 8), Fraction(3, 4)), (Fraction(1), Fraction(0)), (Fraction(1, 3), Fraction(99, 100))]  # fmt: skip


def matrix(steps, participations, separation=1, shape=SHAPES[0]):
    return Toeplitz(steps=steps, participations=participations, separation=separation, power=shape[0], decay=shape[1])


def dense(column):
    n = len(column)
    return np.array([[column[i - j] if i >= j else 0 for j in range(n)] for i in range(n)])


def allowed(steps, participations, separation):
    """Yield every set of steps in which one unit may take part."""
    for size in range(1, participations + 1):
        for chosen in itertools.combinations(range(steps), size):
            if all(b - a >= separation for a, b in itertools.pairwise(chosen)):
                yield chosen


# -------------------------------------------------------------------------------------- the numbers


def test_the_square_root_is_rounded_central_binomials():
    column = matrix(500, 1).coefficients.tolist()
    assert column == [round(Fraction(math.comb(2 * k, k), 4**k) * 2**LATTICE_BITS) for k in range(500)]


@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_follow_from_the_binomial_series(shape):
    exact, value = [], Fraction(1)
    for k in range(1, 200):
        exact.append(value)
        value *= shape[1] * (k - 1 + shape[0]) / k
    column = matrix(199, 1, shape=shape).coefficients.tolist()
    assert all(abs(number - real * 2**LATTICE_BITS) <= Fraction(1, 2) + Fraction(1, 2**40)
               for number, real in zip(column, exact, strict=True))  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_never_increase_and_are_never_negative(shape):
    column = matrix(MOST_STEPS, 1, shape=shape).coefficients
    assert column[0] == 2**LATTICE_BITS
    assert (np.diff(column) <= 0).all()
    assert column.min() >= 0
    assert column.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 1


# --------------------------------------------------------------------------------- the worst steps


def reached(column, chosen, moves):
    """Return the squared L2 norm of what moves[i], a vector over cells, in steps chosen[i] come to once mixed."""
    series = np.zeros((len(column), len(moves[0])), dtype=object)
    series[list(chosen)] = moves
    return int(((dense(column).astype(object) @ series) ** 2).sum())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("separation", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("participations", [1, 2, 3, 7])
@pytest.mark.parametrize("steps", [1, 2, 5, 7])
def test_no_steps_and_no_signs_are_worse(steps, participations, separation, shape):
    found = matrix(steps, participations, separation, shape)
    column = found.coefficients.tolist()
    worst = max(
        reached(column, chosen, [[sign] for sign in signs])
        for chosen in allowed(steps, participations, separation)
        for signs in itertools.product((-1, 1), repeat=len(chosen))
        if signs[0] == 1  # a series and its negative are as long
    )
    assert worst == found.sensitivity_squared


def test_no_cells_are_worse():
    """A unit that moves other cells in other steps, or several at once, stays below the bound."""
    moves = [(0, 0), (5, 0), (0, 5), (-5, 0), (3, 4), (4, -3), (-3, 4)]  # of L2 norm 5, and standing still
    for participations, separation in ((2, 1), (3, 1), (2, 2), (4, 1)):
        found = matrix(4, participations, separation)
        column = found.coefficients.tolist()
        worst = max(
            reached(column, chosen, picked)
            for chosen in allowed(4, participations, separation)
            for picked in itertools.product(moves, repeat=len(chosen))
        )
        assert worst == 25 * found.sensitivity_squared


def test_rewriting_earlier_steps_is_no_worse_within_the_same_steps():
    """Should each answer see another past (late or corrected rows), the bound holds if the steps ever touched keep it."""
    found = matrix(3, 2)
    column = found.coefficients.tolist()
    worst = 0
    for chosen in allowed(3, 2, 1):
        places = [(t, s) for t in range(3) for s in chosen if s <= t]
        for moves in itertools.product((-1, 0, 1), repeat=len(places)):
            mixed = [0, 0, 0]
            for (t, s), move in zip(places, moves, strict=True):
                mixed[t] += column[t - s] * move
            worst = max(worst, sum(value**2 for value in mixed))
    assert worst == found.sensitivity_squared


@pytest.mark.parametrize(
    ("steps", "participations", "separation"), [(512, 8, 64), (300, 300, 1), (97, 5, 30), (5, 9, 9)]
)
def test_longer_series_agree_with_the_dense_matrix(steps, participations, separation):
    found = matrix(steps, participations, separation)
    whole = dense(found.coefficients.tolist()).astype(object)
    columns = [whole[:, i * separation] for i in range(participations) if i * separation < steps]
    assert found.sensitivity_squared == int((sum(columns) ** 2).sum())


def test_a_separation_beyond_the_series_leaves_one_step():
    assert matrix(5, 9, 10**15).sensitivity_squared == matrix(5, 1).sensitivity_squared


def test_large_sums_of_squares_do_not_wrap():
    """Every column of the matrix of ones, 2**14 steps: beyond 64 bits."""
    found = matrix(MOST_STEPS, MOST_STEPS, shape=(Fraction(1), Fraction(1)))
    n = MOST_STEPS
    assert found.sensitivity_squared == 2 ** (2 * LATTICE_BITS) * n * (n + 1) * (2 * n + 1) // 6 > 2**64


# ------------------------------------------------------------------------------------- the inverse


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_undo_the_mixing_in_fractions(shape):
    """Weights·matrix is the row of ones of each sum: the float weights are the exact rational ones, rounded."""
    found = matrix(40, 1, shape=shape)
    column = [Fraction(number) for number in found.coefficients.tolist()]
    unmixing = []
    for k in range(40):
        rest = sum((column[j] * unmixing[k - j] for j in range(1, k + 1)), Fraction(0))
        unmixing.append((1 - rest) / column[0])
    for first, last in ((1, 1), (1, 40), (40, 40), (7, 19), (2, 40)):
        row = [unmixing[last - s] - (unmixing[first - 1 - s] if s < first else 0) for s in range(1, last + 1)]
        sums = [sum(row[t - 1] * column[t - s] for t in range(s, last + 1)) for s in range(1, last + 1)]
        assert sums == [1 if s >= first else 0 for s in range(1, last + 1)]
        assert found.weights(last, first) == pytest.approx([float(w) for w in row], rel=1e-12, abs=1e-20)


@pytest.mark.parametrize("shape", [*SHAPES, (Fraction(29, 32), Fraction(7, 8))])
def test_weights_of_long_series_are_good_to_ten_digits(shape):
    """Against the same recursion in fixed point, 200 bits."""
    steps, one = 1500, 1 << 200
    found = matrix(steps, 1, shape=shape)
    column = found.coefficients.tolist()
    unmixing = []
    for k in range(steps):
        rest = sum(a * b for a, b in zip(column[1 : k + 1], reversed(unmixing), strict=True))
        unmixing.append((one - rest) // column[0])
    exact = np.array([value / one for value in unmixing])[::-1]
    assert np.abs(found.weights(steps) - exact).max() < 1e-10 * np.abs(exact).max()
    assert np.linalg.norm(found.weights(steps)) == pytest.approx(np.linalg.norm(exact), rel=1e-10)


# -------------------------------------------------------------------------------------- the errors


def known(steps, participations=1, separation=1):
    """The errors of the real square root, from its definition: ‖C·(worst steps)‖·‖B‖ in double precision."""
    root = np.array([math.comb(2 * k, k) / 4**k for k in range(steps)])
    taken = sum(
        np.concatenate([np.zeros(i), root[: steps - i]])
        for i in range(0, min(steps, participations * separation), separation)
    )
    rows = np.cumsum(root**2)
    return np.linalg.norm(taken) * math.sqrt(rows[-1]), np.linalg.norm(taken) * math.sqrt(rows.mean())


@pytest.mark.parametrize(("participations", "separation"), [(1, 1), (4, 1), (16, 1), (16, 50), (1000, 1)])
@pytest.mark.parametrize("steps", [100, 1000])
def test_errors_are_those_of_the_real_square_root(steps, participations, separation):
    found = matrix(steps, participations, separation)
    largest, typical = known(steps, participations, separation)
    assert found.max_error == pytest.approx(largest, rel=1e-5)
    assert found.rms_error == pytest.approx(typical, rel=1e-5)
    best = Toeplitz.best(steps=steps, participations=participations, separation=separation)
    assert best.max_error <= largest * (1 + 1e-5)
    assert best.rms_error <= typical * (1 + 1e-5)


def test_a_thousand_steps():
    """sum of (binom(2k, k)/4**k)**2 over k < 1000 is 3.26500308…: the largest error of the square root, squared norms alike."""
    exact = sum(Fraction(math.comb(2 * k, k), 4**k) ** 2 for k in range(1000))
    assert float(exact) == pytest.approx(3.265003080672, rel=1e-12)
    found = matrix(1000, 1)
    assert found.max_error == pytest.approx(float(exact), rel=1e-6)
    assert found.rms_error == pytest.approx(3.102239063529, rel=1e-6)
    assert Toeplitz.best(steps=1000, participations=1) == found


def test_errors_are_those_of_the_dense_factors():
    found = matrix(60, 3, 4, SHAPES[3])
    mixing = dense(found.coefficients.tolist()).astype(float)
    unmixing = np.tril(np.ones((60, 60))) @ np.linalg.inv(mixing)
    norm = np.linalg.norm(mixing[:, [0, 4, 8]].sum(axis=1))
    rows = np.linalg.norm(unmixing, axis=1)
    assert found.max_error == pytest.approx(norm * rows.max(), rel=1e-9)
    assert found.rms_error == pytest.approx(norm * math.sqrt((rows**2).mean()), rel=1e-9)
    assert rows.argmax() == 59


@pytest.mark.parametrize(
    ("steps", "participations", "separation", "gain"),
    [(1000, 1, 1, 1.0), (1000, 16, 1, 0.95), (1024, 16, 64, 0.88), (365, 52, 7, 0.80), (1000, 1000, 1, 0.70)],
)
def test_the_best_is_better_where_units_return(steps, participations, separation, gain):
    plain = matrix(steps, participations, separation)
    best = Toeplitz.best(steps=steps, participations=participations, separation=separation)
    assert best.max_error <= gain * plain.max_error * (1 + 1e-9)
    assert (best.steps, best.participations, best.separation) == (steps, participations, separation)


def test_a_unit_in_every_step_gets_noise_of_each_step_alone():
    best = Toeplitz.best(steps=50, participations=50)
    assert best.power == 0
    assert best.coefficients.tolist() == [2**LATTICE_BITS] + [0] * 49
    assert best.max_error == pytest.approx(50, rel=1e-12)


WRONG = [
    {"steps": 0},
    {"steps": MOST_STEPS + 1},
    {"steps": 2.0},
    {"steps": True},
    {"participations": 0},
    {"separation": 0},
    {"power": Fraction(-1, 2)},
    {"power": Fraction(3, 2)},
    {"power": 0.5},
    {"decay": Fraction(2)},
    {"decay": -1},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_matrices_are_refused(wrong):
    with pytest.raises(InvalidInput):
        Toeplitz(**({"steps": 3, "participations": 1} | wrong))


@pytest.mark.parametrize(("last", "first"), [(0, 1), (11, 1), (5, 6), (5, 0)])
def test_windows_beyond_the_series_are_refused(last, first):
    with pytest.raises(InvalidInput):
        matrix(10, 1).weights(last, first)
