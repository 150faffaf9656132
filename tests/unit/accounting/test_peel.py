"""The contour without its bulk: fades and their bounds, parts that add up, and brackets that agree with other engines'."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from discreet.accounting import profile
from discreet.accounting.engines import cuts, peel
from discreet.accounting.engines.contour import NoContourError
from discreet.accounting.engines.faded import Fade, Faded
from discreet.accounting.engines.grid import grid
from discreet.accounting.engines.invert import invert
from discreet.accounting.engines.pieces import Piece
from discreet.events import (
    Composed,
    Gaussian,
    Laplace,
    PoissonSampled,
    RandomizedResponse,
    Relation,
    Repeated,
    TruncatedPoissonSampled,
)

HARD = [  # rate, sigma, steps, delta: the slowest and the widest of 2000 random settings, before
    (0.0008962, 0.5933, 34, 2.14e-4),
    (3.639e-4, 0.6594, 94, 5.33e-13),
    (3.137e-5, 0.4566, 3235, 1.02e-9),
    (0.002279, 0.647, 25, 9.86e-13),
    (1.909e-4, 0.6891, 573, 8.98e-6),
    (0.000175, 0.445, 52, 6e-4),
    (0.03007, 7.262, 6, 3.69e-5),
]
PIECES = [
    Faded.of(Piece("normal", 1 / 0.6, 1e-3, "remove"), Fade(3.0, 0.12, True), Fade(9.0, 0.7, False)),
    Faded.of(Piece("normal", 1 / 0.6, 1e-3, "remove"), Fade(3.0, 0.12, False)),
    Faded.of(Piece("normal", 0.3, 0.2, "remove", weight=0.5), Fade(1.0, 0.3, True), Fade(3.0, 0.3, False)),
    Faded.of(Piece("normal", 1.0, 0.05, "replace"), Fade(2.0, 0.2, True), Fade(8.0, 0.7, False)),
]


def sgd(rate, sigma, steps, relation=Relation.ADD_REMOVE):
    return Repeated(steps, PoissonSampled(rate, relation, Gaussian(sigma)))


def composition(event):
    return profile(event).above[0].composition


def transform(piece: Faded, z: complex, distance: float = 1e-3) -> complex:
    x = -12.0 + distance * np.arange(round(42.0 / distance))
    weights = np.exp(piece.log_density(x)) * distance
    held = weights > 0
    return complex((weights[held] * np.exp(z * piece.loss(x[held]))).sum())


@pytest.mark.parametrize("width", [0.05, 0.7, 3.0])
def test_two_fades_add_up_to_one_and_keep_their_digits_far_out(width):
    x = np.linspace(-6.0, 9.0, 301)
    falling, rising = Fade(1.5, width, False), Fade(1.5, width, True)
    assert np.exp(falling.log(x)) + np.exp(rising.log(x)) == pytest.approx(1.0, abs=1e-15)
    assert rising.log(x) == pytest.approx(special.log_ndtr((x - 1.5) / width), rel=1e-11, abs=1e-15)


@pytest.mark.parametrize("rising", [True, False])
def test_a_fade_is_bounded_off_the_real_line(rising):
    fade = Fade(0.4, 0.3, rising)
    edges = np.linspace(-3.0, 4.0, 141)
    for height in (0.0, 0.01, 0.2, 1.0, 2.0):
        bound = fade.log_sup(edges[:-1], edges[1:], np.array([height]))
        for share in (0.0, 0.37, 1.0):
            for up in (0.0, 0.5 * height, height):
                x = edges[:-1] + share * np.diff(edges) + 1j * up
                v = (x - 0.4) / 0.3 if rising else (0.4 - x) / 0.3
                with np.errstate(divide="ignore"):
                    value = np.log(np.abs(special.erfc(-v / math.sqrt(2)) / 2))
                assert np.all(value <= bound + 1e-9)


@pytest.mark.parametrize("piece", PIECES)
def test_the_fall_of_a_part_is_bounded(piece):
    c = 1.5
    u = np.array([0.3, 1.0, 3.0, 10.0, 30.0])
    bound = piece.log_falls(c, u)
    assert np.all(np.diff(bound) <= 1e-9)
    for k, one in enumerate(u.tolist()):
        for higher in (1.0, 1.13, 1.7):
            assert math.log(abs(transform(piece, c + 1j * one * higher))) <= bound[k] + 1e-9


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("tolerance", [1e-4, 1e-8, 1e-13])
def test_sums_over_points_are_as_near_as_they_say(piece, tolerance):
    c, u = 1.5, 20.0
    span = piece.span(c, tolerance)
    x, weight = piece.panels(c, u, span.low, span.high, math.log(tolerance) + span.log_size)
    for z in (0.0, c, c + 0.7j * u, c + 1j * u):
        found = complex((np.exp(piece.log_density(x)) * weight * np.exp(z * piece.loss(x))).sum())
        error = abs(found - transform(piece, z))
        assert error <= (tolerance + span.left_out) * math.exp(span.log_size) + 2e-14 * abs(transform(piece, c))


def test_the_parts_of_a_piece_add_up_to_it():
    event = sgd(0.0008962, 0.5933, 34)
    plan = cuts.planned(composition(event), 0.03, math.log(2e-4), 1e-11)
    (parts,) = plan.parts[0]
    assert len(parts) == len(plan.levels) + 1 >= 3
    x = np.linspace(-8.0, 4.0, 1001)
    whole = Piece("normal", 1 / 0.5933, 0.0008962, "remove").log_density(x)
    total = np.logaddexp.reduce([part.log_density(x) for part in parts])
    assert total == pytest.approx(whole, abs=1e-12)
    assert 0 < plan.removed <= 2e-11 * 2e-4


@pytest.mark.parametrize(("rate", "sigma", "steps", "delta"), HARD)
def test_hard_settings_are_narrow_and_agree_with_the_lattice(rate, sigma, steps, delta):
    event = sgd(rate, sigma, steps)
    found = profile(event).epsilon(delta)
    other = invert(grid(composition(event), delta=delta, relative=1e-4), delta)
    assert found.lower <= other.upper
    assert found.upper >= other.lower
    assert found.width <= 1e-8 * found.upper


@pytest.mark.parametrize(
    "event",
    [
        Composed((sgd(0.0009, 0.6, 30), sgd(0.002, 0.7, 20))),
        Composed((sgd(0.0009, 0.6, 30), Gaussian(50.0))),
        Composed((sgd(0.0009, 0.6, 30), RandomizedResponse(0.01, 2))),
        Composed((sgd(0.0009, 0.6, 30), Laplace(50.0))),
        sgd(0.01, 1.2, 20, Relation.REPLACE_ONE),
        Repeated(20, TruncatedPoissonSampled(0.001, 50_000, 80, Relation.ZERO_OUT, Gaussian(0.6))),
    ],
    ids=["two", "gaussian", "response", "laplace", "replace", "truncated"],
)
def test_other_compositions_agree_with_the_lattice(event):
    whole = composition(event)
    made = peel.peeled_near(whole, None, 1e-6, None)
    found, other = invert(made, 1e-6), invert(grid(whole, delta=1e-6, relative=1e-4), 1e-6)
    assert found.width <= 1e-8 * found.upper
    assert found.lower <= other.upper
    assert found.upper >= other.lower


@pytest.mark.parametrize(("rate", "sigma", "steps", "delta"), HARD[:3])
def test_other_cuts_and_lines_bracket_the_same(monkeypatch, rate, sigma, steps, delta):
    whole = composition(sgd(rate, sigma, steps))
    near = peel.peeled_near(whole, None, delta, None)
    epsilon = near.near
    found = [near.delta(epsilon)]
    for fades in ((0.15, 6.0), (0.05, 4.0), (0.1, 3.0)):
        monkeypatch.setattr(cuts, "FADES", (fades,))
        made = [peel.peeled(whole, at, math.log(delta), 1e-11) for at in (0.9 * epsilon, epsilon)]
        found.extend(one.delta(epsilon) for one in made)
    assert max(terms.lower for terms in found) <= min(terms.upper for terms in found)
    assert min((terms.upper - terms.lower) / terms.upper for terms in found) <= 1e-8


def test_many_points_at_once_are_as_one_by_one():
    made = peel.peeled_near(composition(sgd(0.0008962, 0.5933, 34)), None, 2.14e-4, None)
    epsilons = [made.near * share for share in (0.9, 1.0, 1.2)]
    for one, together in zip([made.delta(x) for x in epsilons], made.deltas(epsilons), strict=True):
        assert together.lower == pytest.approx(one.lower, rel=1e-9)
        assert together.upper == pytest.approx(one.upper, rel=1e-9)


def test_what_cannot_be_cut_is_refused():
    for event in (Repeated(3, Laplace(1.0)), Repeated(3, Gaussian(1.0)), Repeated(3, RandomizedResponse(1.0, 2))):
        solver_of = profile(Composed((event, RandomizedResponse(0.5, 3)))).above[0]
        with pytest.raises(NoContourError):
            peel.peeled_near(solver_of.composition, None, 1e-6, None)
    with pytest.raises(NoContourError):  # the bulk reaches this ε with a chance that matters
        peel.peeled_near(composition(sgd(0.3, 10.0, 10_000)), 0.01, None, None)


def test_beyond_the_largest_loss_there_is_nothing():
    removing, adding = profile(sgd(0.01, 0.6, 20)).above
    assert adding.delta(0.21).upper == 0.0 < removing.delta(0.21).lower
    assert adding.delta(0.19).upper > 0.0
    sure = profile(Composed((RandomizedResponse(1.0, 2),) * 3)).above[0]
    assert sure.delta(3.01).upper == 0.0
