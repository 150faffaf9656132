"""Square-root strategies: their numbers, their inverses, the reference errors, and the worst unit by brute force."""

import itertools
import math

import numpy as np
import pytest

from discreet.errors import InvalidInput
from discreet.train.choices import choices, fitted
from discreet.train.correlation import (
    MOST_STEPS,
    BandedInverseRoot,
    BandedRoot,
    BufferedToeplitz,
    LambdaCGD,
    correlation_from_dict,
    correlation_to_dict,
)

KINDS = [BandedRoot, BandedInverseRoot]
DECAYS = [1e-6, 0.3, 0.5, 0.96, 1.0]
BUFFERED = [
    BufferedToeplitz((0.5,), (0.5,)),
    BufferedToeplitz((0.99, 0.6), (0.1, 0.3)),
    BufferedToeplitz((0.9999, 0.9, 0.01), (0.3, 0.3, 0.3)),
]


def dense(column):
    return np.array([[column[i - j] if i >= j else 0.0 for j in range(len(column))] for i in range(len(column))])


# Root-mean-square errors of running sums over 1,024 steps, to three decimals, from an independent computation.
GOLDEN = [
    (BandedRoot, 1, {1: 22.638 * math.sqrt(2), 8: 64.031, 16: 90.554}),
    (BandedRoot, 1024, {1: 3.110, 8: 13.024, 16: 23.896}),
    (BandedRoot, 16, {1: 7.218, 8: 20.417, 16: 28.874}),
    (BandedRoot, 128, {8: 10.294}),
    (BandedRoot, 64, {16: 17.506}),
    (BandedInverseRoot, 16, {1: 5.097, 8: 14.423, 16: 20.723}),
    (BandedInverseRoot, 64, {1: 3.448, 8: 10.613, 16: 17.729}),
]


@pytest.mark.parametrize(("kind", "bands", "errors"), GOLDEN)
def test_reference_errors(kind, bands, errors):
    for times, error in errors.items():
        found = kind(bands).rms_error(1024, times, 1024 // times)
        if bands > 1 or times > 1:
            assert found == pytest.approx(error, abs=1e-3)
        else:
            assert found == pytest.approx(math.sqrt(1025 / 2), abs=1e-6)


@pytest.mark.parametrize(
    ("steps", "times", "decay", "error"),
    [(1024, 1, 0.96, 4.816), (1024, 8, 0.96, 13.686), (1024, 16, 0.94, 20.119), (2048, 8, 0.97, 16.132)],
)
def test_reference_errors_of_lambda(steps, times, decay, error):
    found = LambdaCGD(decay).rms_error(steps, times, steps // times)
    assert found == pytest.approx(error, abs=1e-3)
    every = [LambdaCGD(part / 100).rms_error(steps, times, steps // times) for part in range(1, 100)]
    assert min(every) > found - 0.1
    assert 1 + every.index(min(every)) == pytest.approx(100 * decay, abs=1)


def test_the_numbers_of_lambda_are_powers():
    one = LambdaCGD(0.75)
    assert one.strategy(4).tolist() == [1, 0.75, 0.75**2, 0.75**3]
    assert one.unmixing(4).tolist() == [1, -0.75, 0, 0]
    assert one.unmixing(1).tolist() == one.strategy(1).tolist() == [1]
    assert LambdaCGD(0.96).strategy(2)[1] == float(np.float32(0.96))
    assert repr(one) == "LambdaCGD(decay=0.75)"


@pytest.mark.parametrize("decay", DECAYS)
def test_lambda_has_its_inverse_and_never_increases(decay):
    one = LambdaCGD(decay)
    assert np.abs(dense(one.strategy(100)) @ dense(one.unmixing(100)) - np.eye(100)).max() < 1e-12
    column = one.strategy(2000)
    assert column.min() >= 0
    assert np.diff(column).max() <= 0
    assert not column.flags.writeable


def test_the_numbers_of_buffers():
    one = BufferedToeplitz((0.5, 0.25), (0.25, 0.5))
    assert one.strategy(4).tolist() == [1, 0.75, 0.25, 0.25 / 4 + 0.5 / 16]
    assert one.unmixing(1).tolist() == one.strategy(1).tolist() == [1]
    assert BufferedToeplitz((0.3,), (0.7,)).strategy(2)[1] == float(np.float32(0.7))
    same = LambdaCGD(0.75).strategy(50)  # powers of λ are one sum that fades like its weight
    assert BufferedToeplitz((0.75,), (0.75,)).strategy(50) == pytest.approx(same, rel=1e-14)


@pytest.mark.parametrize("one", BUFFERED, ids=str)
@pytest.mark.parametrize("steps", [2, 3, 100, 129])
def test_buffers_have_their_inverse_and_never_increase(one, steps):
    assert np.abs(dense(one.strategy(steps)) @ dense(one.unmixing(steps)) - np.eye(steps)).max() < 1e-12
    column = one.strategy(2000)
    assert column.min() >= 0
    assert np.diff(column).max() <= 0


@pytest.mark.parametrize(("steps", "times"), [(64, 1), (1024, 1), (1024, 8), (1024, 16), (2048, 8), (6, 3)])
def test_fitted_buffers_do_better_than_square_roots_of_few_bands(steps, times):
    errors = [
        fitted(buffers, steps, times, steps // times).rms_error(steps, times, steps // times) for buffers in (1, 2)
    ]
    assert errors[1] <= errors[0] * (1 + 1e-3)
    assert errors[1] < BandedInverseRoot(16).rms_error(steps, times, steps // times) * (1 if steps > 6 else 1.05)
    near = [  # no number is better a tenth off
        BufferedToeplitz(tuple(1 - (1 - decay) * far for decay in one.decays), one.weights)
        for one in [fitted(2, steps, times, steps // times)]
        for far in (0.9, 1.1)
        if steps > 6
    ]
    assert all(other.rms_error(steps, times, steps // times) > errors[1] for other in near)


def test_the_numbers_are_those_of_the_square_root():
    exact = [math.comb(2 * k, k) / 4**k for k in range(40)]
    assert BandedRoot(40).strategy(40).tolist() == pytest.approx(exact, rel=1e-7)
    assert BandedInverseRoot(40).strategy(40).tolist() == pytest.approx(exact, rel=1e-6)
    square = dense(BandedRoot(40).strategy(40)) @ dense(BandedRoot(40).strategy(40))
    assert np.abs(square - np.tril(np.ones((40, 40)))).max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [1, 2, 3, 8, 64, 200])
def test_the_inverse_is_the_inverse(kind, bands):
    one = kind(bands)
    product = dense(one.strategy(100)) @ dense(one.unmixing(100))
    assert np.abs(product - np.eye(100)).max() < 1e-12
    banded = one.strategy(100) if kind is BandedRoot else one.unmixing(100)
    assert np.count_nonzero(banded) == min(bands, 100)
    assert (banded == banded.astype(np.float32)).all()
    assert not banded.flags.writeable


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [1, 2, 3, 5, 16])
def test_the_numbers_of_a_strategy_never_increase(kind, bands):
    column = kind(bands).strategy(2000)
    assert column.min() >= 0
    assert np.diff(column).max() <= 0


def worst(matrix, times, separation, turns):
    """Return the largest norm over all steps allowed and, for each, over signs and over `turns` random directions."""
    steps, found = len(matrix), 0.0
    for size in range(1, times + 1):
        for chosen in itertools.combinations(range(steps), size):
            if any(b - a < separation for a, b in itertools.pairwise(chosen)):
                continue
            columns = matrix[:, list(chosen)]
            for signs in itertools.product((1, -1), repeat=size - 1):
                found = max(found, float(np.linalg.norm(columns @ np.array([1, *signs]))))
            for gradients in turns:
                moved = np.linalg.norm(columns @ gradients[:size])
                assert moved <= np.linalg.norm(columns.sum(axis=1)) * (1 + 1e-12)
                found = max(found, float(moved))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [1, 2, 3, 7])
@pytest.mark.parametrize(("times", "separation"), [(1, 1), (2, 1), (2, 3), (3, 2), (7, 1), (3, 4)])
def test_no_unit_moves_more_and_some_move_as_much(kind, bands, times, separation):
    turns = np.random.default_rng(3).normal(size=(10, 7, 3))
    turns /= np.linalg.norm(turns, axis=2, keepdims=True)
    one = kind(bands)
    brute = worst(dense(one.strategy(7)), times, separation, turns)
    assert brute <= one.sensitivity(7, times, separation) <= brute * (1 + 1e-10)


@pytest.mark.parametrize("one", [*map(LambdaCGD, DECAYS), *BUFFERED], ids=str)
@pytest.mark.parametrize(("times", "separation"), [(1, 1), (2, 1), (2, 3), (3, 2), (7, 1), (3, 4), (4, 2)])
def test_others_move_as_much_as_the_worst_unit(one, times, separation):
    turns = np.random.default_rng(3).normal(size=(10, 7, 3))
    turns /= np.linalg.norm(turns, axis=2, keepdims=True)
    brute = worst(dense(one.strategy(7)), times, separation, turns)
    assert brute <= one.sensitivity(7, times, separation) <= brute * (1 + 1e-10)


@pytest.mark.parametrize("one", [BandedRoot(5), BandedInverseRoot(4), LambdaCGD(0.9), BUFFERED[1]], ids=str)
def test_all_participations_at_once_are_all_one_after_the_other(one):
    for steps, separation in ((60, 7), (60, 1), (61, 20), (5, 9)):
        times, column = -(-steps // separation), one.strategy(steps)
        moved = sum(np.concatenate([np.zeros(s), column[: steps - s]]) for s in range(0, steps, separation))
        assert one.sensitivity(steps, times, separation) == pytest.approx(np.linalg.norm(moved), rel=1e-10)
        assert one.sensitivity(steps, times + 3, separation) == one.sensitivity(steps, times, separation)


def test_what_is_tried():
    bands = {one.bands for one in choices(1000, 64, 42, 24) if isinstance(one, BandedRoot)}
    assert bands == {2, 4, 8, 16, 24, 32, 64}
    assert {one.bands for one in choices(10, 64, 1, 10) if isinstance(one, BandedInverseRoot)} == {2, 4, 8, 10}


def test_a_column_that_rises_is_bounded_all_the_same(monkeypatch):
    rising = np.array([1.0, 0.0, 0.9, -0.5, 0.2, 0.7, 0.0])
    monkeypatch.setattr(BandedRoot, "strategy", lambda *_: rising)
    for times, separation in ((2, 1), (2, 3), (3, 2)):
        assert worst(dense(rising), times, separation, []) <= BandedRoot(7).sensitivity(7, times, separation)


@pytest.mark.parametrize("one", [None, BandedRoot(3), BandedInverseRoot(8), LambdaCGD(0.9), *BUFFERED], ids=str)
def test_a_correlation_is_plain_data_and_back(one):
    assert correlation_from_dict(correlation_to_dict(one)) == one


@pytest.mark.parametrize(
    "make",
    [
        lambda: BandedRoot(0),
        lambda: BandedRoot(2.0),
        lambda: BandedInverseRoot(MOST_STEPS + 1),
        lambda: BandedRoot(2).strategy(0),
        lambda: BandedRoot(2).unmixing(MOST_STEPS + 1),
        lambda: correlation_from_dict({"kind": "tree", "bands": 2}),
        lambda: correlation_from_dict({"kind": "banded_root"}),
        lambda: correlation_from_dict([]),
        lambda: correlation_from_dict({"kind": "lambda_cgd", "bands": 2}),
        lambda: correlation_from_dict({"kind": ["banded_root"], "bands": 2}),
        lambda: LambdaCGD(0.0),
        lambda: LambdaCGD(1.01),
        lambda: LambdaCGD(math.nan),
        lambda: LambdaCGD(True),
        lambda: BufferedToeplitz((), ()),
        lambda: BufferedToeplitz([0.5], [0.5]),
        lambda: BufferedToeplitz((0.5,), (0.5, 0.1)),
        lambda: BufferedToeplitz((1.0,), (0.5,)),
        lambda: BufferedToeplitz((0.5,), (0.0,)),
        lambda: BufferedToeplitz((0.5,), (math.nan,)),
        lambda: BufferedToeplitz((0.5, 0.4), (0.5, 0.5)),
        lambda: BufferedToeplitz((0.5,) * 17, (0.01,) * 17),
    ],
)
def test_wrong_values_are_refused(make):
    with pytest.raises(InvalidInput):
        make()
