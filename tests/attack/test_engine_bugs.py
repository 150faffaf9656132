"""Planted bugs in the engines that bracket a profile: each is caught by a check that the good code passes."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest

from discreet import events
from discreet.accounting import profile
from discreet.accounting.composed import _profile
from discreet.accounting.engines import contour as contours
from discreet.accounting.engines import cuts, pairs, solve
from discreet.accounting.engines import decay as decays
from discreet.accounting.engines import faded as fadeds
from discreet.accounting.engines import grid as grids
from discreet.accounting.engines import law as laws
from discreet.accounting.engines import peel as peels
from discreet.accounting.engines.atoms import Atoms
from discreet.accounting.engines.contour import Composition, Terms, contour
from discreet.accounting.engines.pieces import Piece
from discreet.events import Approximate, Composed, Gaussian, Laplace, PoissonSampled, RandomizedResponse, Relation
from tests.reference import ball


def sgd(rate: float, sigma: float, count: int) -> events.Event:
    return events.Repeated(count, PoissonSampled(rate, Relation.ADD_REMOVE, Gaussian(sigma)))


@pytest.fixture(autouse=True)
def nothing_remembered():
    """Profiles and pairs are kept between calls: those with a planted bug must not be."""
    _profile.cache_clear()
    pairs._pair.cache_clear()
    yield
    _profile.cache_clear()
    pairs._pair.cache_clear()


def within(terms: Terms, truth: ball.arb, what: str) -> None:
    assert not truth > terms.upper, f"{what}: δ is above its upper end"
    assert not truth < terms.lower, f"{what}: δ is below its lower end"


# -------------------------------------------------------------------------------------------- checks


def keeps_digits_over_a_million_steps() -> None:
    """T12a: an error of 1e-16 in log M is 1e-10 after a million steps."""
    found = profile(sgd(1e-5, 0.3, 1_000_000)).above[0].epsilon(1e-12)
    assert found.lower <= 29.9475693068348 <= found.upper, "T12a is outside of its bracket"


def sums_up_the_aliases() -> None:
    """With too wide a step the sum holds what lies periods away: a bracket must say so."""
    for q, sigma, count, epsilon in ((0.01, 1.0, 2_000, 3.0), (0.05, 2.0, 1_000, 2.0)):
        truth = ball.delta([(ball.PoissonGaussian(q, sigma, "remove"), count)], epsilon)
        composition = profile(sgd(q, sigma, count)).above[0].composition
        for relative in (1e-1, 1e-2, 1e-4):
            line = contour(composition, epsilon=epsilon, relative=relative)
            within(line.delta(epsilon), truth, "a wide step")


def sums_up_what_it_leaves_out() -> None:
    """A sum that stops early must count its rest."""
    truth = ball.delta([(ball.PoissonGaussian(0.01, 1.0, "remove"), 2_000)], 3.0)
    composition = profile(sgd(0.01, 1.0, 2_000)).above[0].composition
    for relative in (0.3, 1e-1, 1e-2, 1e-3):
        within(contour(composition, epsilon=3.0, relative=relative).delta(3.0), truth, "few nodes")


def counts_the_window() -> None:
    """A window that is too narrow must show in the upper end."""

    class Cut(Composition):
        def windowed(self, lost: float) -> Composition:
            return self

    truth = ball.delta([(ball.PoissonGaussian(0.01, 1.0, "remove"), 2_000)], 4.0)
    whole = profile(sgd(0.01, 1.0, 2_000)).above[0].composition
    for lost in (1e-1, 1e-2, 1e-3):
        cut = Cut(whole.windowed(lost * float(truth.mid())).parts)
        within(contour(cut, epsilon=4.0).delta(4.0), truth, "a window")


def composes_both_directions() -> None:
    """Half of the answers under Q are never given under P: only adding makes that visible."""
    table = events.Tabulated((0.5, 0.5, 0.0), (0.25, 0.25, 0.5))
    assert profile(Composed((table, table))).delta(5.0).upper >= 0.75, "the direction of adding is forgotten"


def dominates_on_a_lattice() -> None:
    """The lattice law above has at least δ(ε) of the law, at every ε; the one below at most."""
    generator = np.random.default_rng(20261127)
    losses = np.sort(generator.normal(0.3, 1.0, 40))
    masses = generator.dirichlet(np.ones(40))
    atoms, step = Atoms(losses, masses), 0.21
    above, below = grids.dominating(atoms, step, 0.0), grids.dominated(atoms, step, 0.0)

    def stick(points: np.ndarray, weights: np.ndarray, epsilon: float) -> float:
        return float((weights * np.clip(-np.expm1(epsilon - points), 0.0, None)).sum())

    for epsilon in np.linspace(-3.0, 3.0, 241):
        exact = stick(losses, masses, epsilon)
        for lattice, sign in ((above, 1), (below, -1)):
            points = lattice.offset + step * (lattice.first + np.arange(lattice.masses.size))
            found = stick(points, lattice.masses, epsilon)
            assert sign * (found - exact) >= -1e-12, "the lattice law is on the wrong side"


def allows_for_rounding() -> None:
    """A phase of thousands: the thirteenth digit is noise, and the bracket must be wider than that."""
    event = Composed((events.Repeated(48_189, Laplace(0.953)), RandomizedResponse(0.5, 2)))
    composition = profile(event).above[0].composition
    near = contour(composition, delta=1e-4).near
    parts = [(ball.Laplace(1 / Fraction(0.953)), 48_189), (ball.Response(0.5), 1)]
    with ball.ctx.workprec(200), mock.patch.object(ball, "ACCURACY", 1e-22):
        at = ball.profile(parts, near)
        for k in range(40):
            epsilon = near * (1 + k / 3e8)
            found = contour(composition, epsilon=epsilon, relative=1e-17).delta(epsilon)
            within(found, at(epsilon), "rounding")


def counts_responses() -> None:
    """dp-accounting 0.6 takes a hundred randomised responses for one."""
    many = profile(events.Repeated(100, RandomizedResponse(1.0, 2))).epsilon(1e-6)
    assert ball.straddles([(ball.Response(1), 100)], many.lower, many.upper, 1e-6), "a repetition is not counted"


def counts_certain_losses() -> None:
    """δ of the composition holds the δ of each part."""
    event = Composed((events.Repeated(10, Approximate(0.5, 1e-3)), Gaussian(2.0)))
    assert profile(event).delta(40.0).upper >= 1 - (1 - 1e-3) ** 10, "an infinite loss is forgotten"


def bounds_the_decay() -> None:
    """The envelope is above |M(c+iu)/M(c)| at every u beyond it."""
    piece = Piece("normal", 1.0, 0.05, "remove")
    law = laws.Law((piece,))
    c, step = 3.0, 0.05
    moments = law.moments(c, step, 400, 1e-14)
    sizes = np.exp(moments.shape.real)
    decay = law.decay(c, moments.real)
    u = step * np.arange(1, 400)
    bound = np.exp(decay.log_bound(u))
    largest = np.maximum.accumulate(sizes[::-1])[::-1]
    assert np.all(bound >= largest[1:400] * (1 - 1e-9)), "the envelope cuts the transform"
    v = np.linspace(1e-6, 40.0, 200_001)
    ripples = np.abs(np.sin(v) / v)
    assert np.all(decays._sinc_sup(v) >= np.maximum.accumulate(ripples[::-1])[::-1]), "sinc is above its bound"


def keeps_log1p() -> None:
    """log(1 + D) to the precision that its error bound claims, for small D and for 1 + D near 0."""
    law = pairs.pair(RandomizedResponse(1.0, 10), "remove").law
    for c, step in ((1.0339755876957604, 0.19635091529614804), (1.0339745537212077, 0.19634954084936207), (0.7, 1e-9)):
        moments = law.moments(c, step, 20, 1e-15)
        for j in range(21):
            with ball.ctx.workprec(200):
                z = ball.acb(ball.arb(c), ball.arb(step) * j)
                truth = ball.Response(1.0, 10).transform(z) / ball.Response(1.0, 10).transform(ball.acb(c))
                shape = complex(moments.shape[j])
                turn = ball.arb(step) * j * ball.arb(moments.centre)
                found = (ball.acb(shape.real, shape.imag) + ball.acb(0, turn)).exp()
                error = float(abs(truth / found - 1))
                claimed = math.expm1(float(moments.errors[j]))
            assert error <= claimed + 1e-50, "log(1 + D) is worse than its bound"


def counts_the_bulk() -> None:
    """Asked at a smaller ε than it was made for, what never has a rare part in it matters, too."""
    composition = profile(sgd(0.01, 1.0, 20)).above[0].composition
    made = peels.peeled_near(composition, 1.0, None, None)
    for epsilon in (0.1, 0.2):
        lattice = grids.grid(composition, epsilon=epsilon, relative=1e-6).delta(epsilon)
        assert made.delta(epsilon).upper >= lattice.lower, "the bulk is forgotten"


def bounds_the_fall_of_a_part() -> None:
    """No part of a law may have more of its transform left than the line moved up says."""
    for width, c in ((0.1, 0.5), (0.3, 4.0)):
        fades = (fadeds.Fade(3.0, width, True), fadeds.Fade(4.0, width, False))
        part = fadeds.Faded.of(Piece("normal", 1.5, 1e-3, "remove"), *fades)
        x = -2.0 + 1e-3 * np.arange(12_000)
        u = np.geomspace(1.0, 3e3, 60)
        waves = np.exp(part.log_density(x) + (c + 1j * u[:, None]) * part.loss(x)).sum(axis=1) * 1e-3
        held = np.abs(waves) > 1e-15 * np.abs(waves).max()
        assert np.all(part.log_falls(c, u)[held] >= np.log(np.abs(waves[held])) - 1e-9), "a part falls more slowly"


def keeps_parts_whole() -> None:
    """Cut at several places, a law is the sum of its parts."""
    plan = cuts.planned(profile(sgd(0.0008962, 0.5933, 34)).above[0].composition, 0.03, math.log(2e-4), 1e-11)
    x = np.linspace(-8.0, 4.0, 200)
    total = np.logaddexp.reduce([part.log_density(x) for part in plan.parts[0][0]])
    assert np.allclose(total, Piece("normal", 1 / 0.5933, 0.0008962, "remove").log_density(x), atol=1e-11), "lost mass"


CHECKS = [
    counts_the_bulk,
    bounds_the_fall_of_a_part,
    keeps_parts_whole,
    keeps_digits_over_a_million_steps,
    sums_up_the_aliases,
    sums_up_what_it_leaves_out,
    counts_the_window,
    composes_both_directions,
    dominates_on_a_lattice,
    allows_for_rounding,
    counts_responses,
    counts_certain_losses,
    bounds_the_decay,
    keeps_log1p,
]


@pytest.mark.parametrize("check", CHECKS)
def test_the_good_code_is_cleared(check):
    check()


# ---------------------------------------------------------------------------------------- the bugs


@pytest.mark.parametrize("check", [keeps_digits_over_a_million_steps, keeps_log1p])
def test_numpys_own_log1p_is_caught(monkeypatch, check):
    monkeypatch.setattr(laws, "log1p", lambda d: (np.log1p(d), np.abs(1 + d)))
    with pytest.raises(AssertionError, match=r"outside of its bracket|worse than its bound"):
        check()


def test_dropped_aliases_are_caught(monkeypatch):
    good = contours.Contour.delta

    def dropped(self, epsilon):
        terms = good(self, epsilon)
        return replace(terms, lower=terms.lower + terms.budget.get("aliasing", 0.0))

    monkeypatch.setattr(contours.Contour, "delta", dropped)
    with pytest.raises(AssertionError, match="below its lower end"):
        sums_up_the_aliases()


def test_a_dropped_rest_of_the_sum_is_caught(monkeypatch):
    """The sum stops at a third of its nodes and says that nothing is left."""
    good = contours.contour

    def short(composition, **question):
        line = good(composition, **question)
        keep = max(3, line.u.size // 3)
        return replace(line, u=line.u[:keep], shape=line.shape[:keep], errors=line.errors[:keep], log_end=-700.0)

    monkeypatch.setitem(globals(), "contour", short)
    with pytest.raises(AssertionError, match="few nodes"):
        sums_up_what_it_leaves_out()


def test_a_forgotten_window_is_caught(monkeypatch):
    monkeypatch.setattr(Composition, "removed", property(lambda _: 1e-300))
    with pytest.raises(AssertionError, match="above its upper end"):
        counts_the_window()


def test_a_forgotten_direction_is_caught(monkeypatch):
    good = pairs.compositions
    monkeypatch.setattr(pairs, "compositions", lambda counts: [(good(counts)[0][0], 0)])
    with pytest.raises(AssertionError, match="direction of adding is forgotten"):
        composes_both_directions()


def test_a_lattice_without_the_split_is_caught(monkeypatch):
    """All mass on the point below: the law is then dominated, not dominating."""
    good = grids.dominating

    def lower(atoms, step, offset):
        return good(Atoms(offset + step * np.floor((atoms.losses - offset) / step), atoms.masses), step, offset)

    monkeypatch.setattr(grids, "dominating", lower)
    with pytest.raises(AssertionError, match="wrong side"):
        dominates_on_a_lattice()


def test_a_lattice_that_keeps_only_the_mass_is_caught(monkeypatch):
    """Split by distance, the loss's mean is kept and the mass under Q is not: too low a law."""

    def linear(atoms, step, offset):
        place = (atoms.losses - offset) / step
        index = np.floor(place).astype(np.int64)
        up = atoms.masses * (place - index)
        first = int(index.min())
        size = int(index.max()) - first + 2
        masses = np.bincount(index - first, atoms.masses - up, size) + np.bincount(index - first + 1, up, size)
        return grids.Lattice(offset, first, masses, atoms.infinite, 0.0)

    monkeypatch.setattr(grids, "dominating", linear)
    with pytest.raises(AssertionError, match="wrong side"):
        dominates_on_a_lattice()


def test_a_bracket_without_rounding_is_caught(monkeypatch):
    for module in (contours, laws):
        monkeypatch.setattr(module, "EPS", 1e-30)
    with pytest.raises(AssertionError, match="rounding"):
        allows_for_rounding()


def test_a_count_that_is_ignored_is_caught(monkeypatch):
    good = solve.Solver.of.__func__

    def once(cls, parts, tolerance):
        return good(cls, tuple((known, 1) for known, _ in parts), tolerance)

    monkeypatch.setattr(solve.Solver, "of", classmethod(once))
    with pytest.raises(AssertionError, match="not counted"):
        counts_responses()


def test_a_forgotten_infinite_loss_is_caught(monkeypatch):
    good = pairs._pure
    monkeypatch.setattr(pairs, "_pure", lambda epsilon, delta=0.0: replace(good(epsilon, delta), infinite=0.0))
    with pytest.raises(AssertionError, match="infinite loss is forgotten"):
        counts_certain_losses()


def test_an_envelope_that_is_too_low_is_caught(monkeypatch):
    monkeypatch.setattr(decays, "_sinc_sup", lambda v: np.abs(np.sin(v) / v))
    with pytest.raises(AssertionError, match=r"above its bound|cuts the transform"):
        bounds_the_decay()


def test_a_bulk_that_is_not_counted_is_caught(monkeypatch):
    good = peels.Peeled._summed

    def alone(self, epsilon, found):
        return good(replace(self, bulk=(1.0, -1e4)), epsilon, found)

    monkeypatch.setattr(peels.Peeled, "_summed", alone)
    with pytest.raises(AssertionError, match="bulk is forgotten"):
        counts_the_bulk()


def test_a_fade_that_does_not_grow_off_the_line_is_caught(monkeypatch):
    good = fadeds.Fade.log_sup
    monkeypatch.setattr(fadeds.Fade, "log_sup", lambda self, low, high, height: good(self, low, high, 0.0 * height))
    with pytest.raises(AssertionError, match="falls more slowly"):
        bounds_the_fall_of_a_part()


def test_fades_that_do_not_meet_are_caught(monkeypatch):
    good = cuts._Table.fades

    def apart(self, at):
        return [[(a, b._replace(at=b.at + b.width)) for a, b in fades] for fades in good(self, at)]

    monkeypatch.setattr(cuts._Table, "fades", apart)
    with pytest.raises(AssertionError, match="lost mass"):
        keeps_parts_whole()
