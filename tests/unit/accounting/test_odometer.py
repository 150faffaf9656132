"""The odometer and its bank of contours: against ball arithmetic, against the profile, and against itself."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest

from discreet import events
from discreet.accounting import Odometer, profile
from discreet.accounting.engines import bank
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.profiles import Bracket
from tests.reference import ball

ADD = events.Relation.ADD_REMOVE
KINDS = (events.Gaussian(30.0), events.Laplace(40.0), events.PoissonSampled(0.01, ADD, events.Gaussian(1.0)))


def sgd(rate: float = 0.01, sigma: float = 1.0) -> events.Event:
    return events.PoissonSampled(rate, ADD, events.Gaussian(sigma))


def spent(*parts: events.Event) -> Odometer:
    meter = Odometer.start()
    for part in parts:
        meter = meter.spend(part)
    return meter


def exact(*parts: events.Event, delta: float) -> Bracket:
    return profile(events.Composed(parts)).epsilon(delta)


def overlap(one: Bracket, other: Bracket) -> bool:
    return max(one.lower, other.lower) <= min(one.upper, other.upper) * (1 + 1e-13)


# --------------------------------------------------------------------------------------------- truth


@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-11])
def test_readings_hold_the_truth_of_ball_arithmetic(delta):
    noises, counts = (3.0, 8.0, 1.0), (20, 15, 40)
    parts = (events.Gaussian(noises[0]), events.Laplace(noises[1]), sgd(0.02, noises[2]))
    meter = spent(*(part for part, count in zip(parts, counts, strict=True) for _ in range(count)))
    found = meter.epsilon(delta)
    assert found.width < 1e-7 * found.upper
    rest = [(ball.Gaussian(1 / Fraction(noises[0])), counts[0]), (ball.Laplace(1 / Fraction(noises[1])), counts[1])]
    assert ball.straddles([*rest, (ball.PoissonGaussian(0.02, noises[2], "remove"), counts[2])], *ends(found), delta)
    adding = ball.delta([*rest, (ball.PoissonGaussian(0.02, noises[2], "add"), counts[2])], found.upper)
    assert not adding > delta


def test_a_reading_at_a_delta_that_is_hardly_a_float():
    meter = spent(events.Repeated(50, events.Laplace(5.0)))
    found = meter.epsilon(1e-310)
    assert found.lower <= 10.0 <= found.upper < 10.5


def ends(bracket: Bracket) -> tuple[float, float]:
    return bracket.lower, bracket.upper


@pytest.mark.parametrize(
    ("event", "law"),
    [
        (events.Laplace(8.0), ball.Laplace(Fraction(1, 8))),
        # No window cuts what adding loses; the referee needs one, which at 1e-60 is none.
        (sgd(0.05, 1.5), ball.Windowed(ball.PoissonGaussian(0.05, 1.5, "add"), 1e-60)),
        (events.Gaussian(7.0), ball.Gaussian(Fraction(1, 7))),
        (events.RandomizedResponse(1.0, 3), ball.Response(1.0, 3)),
    ],
)
def test_rows_are_the_transform_to_the_error_that_they_claim(event, law):
    rows = bank.rows(event, "add", 6, 1)
    for row in (0, 7, len(rows.shape) - 1):
        line = rows.contour(row, 0.5)
        for k in (0, 1, 5, 40, bank.COUNT):
            with ball.ctx.workprec(150):
                u = ball.arb(float(line.u[k]))
                truth = law.transform(ball.acb(ball.arb(line.c), u))
                shape = complex(line.shape[k])
                found = ball.acb(ball.arb(line.real) + shape.real, u * line.phase + shape.imag).exp()
                error = float(abs(truth / found - 1).lower())
                fallen = float((abs(truth) / ball.arb(line.real).exp()).lower())
            claimed = np.expm1(line.errors[k] + line.real_error)
            assert error <= claimed
        assert fallen <= np.exp(line.log_end) * (1 + line.real_error)


# ---------------------------------------------------------------------------------------- the profile


def test_readings_are_as_tight_as_the_profile_from_the_first_spends_on():
    meter, parts = Odometer.start(), []
    for turn in range(60):
        meter, parts = meter.spend(KINDS[turn % 3]), [*parts, KINDS[turn % 3]]
        if turn in (0, 1, 2, 8, 59):
            read, truth = meter.epsilon(1e-6), exact(*parts, delta=1e-6)
            assert overlap(read, truth)
            assert read.width <= 1e-5 * read.upper


@pytest.mark.parametrize("delta", [0.3, 1e-2, 1e-5, 1e-9, 1e-14])
def test_every_delta_has_windows_of_its_own(delta):
    parts = (*KINDS, sgd(0.1, 2.0), events.RandomizedResponse(0.1, 2)) * 6
    read, truth = spent(*parts).epsilon(delta), exact(*parts, delta=delta)
    assert overlap(read, truth)
    assert read.width <= 1e-4 * read.upper


@pytest.mark.parametrize(
    ("parts", "most", "least"),
    [
        ((events.RandomizedResponse(1.0, 2),), 1.001, 0.95),
        ((events.Laplace(2.0),) * 3, 1.001, 0.95),
        ((sgd(),), 1.02, 0.6),
        ((sgd(),) * 2, 1.03, 0.6),
        ((sgd(1e-3, 0.8),) * 3, 1.25, 0.0),
        ((events.Pure(0.5), events.RandomizedResponse(0.3, 3)), 1.01, 0.9),
    ],
)
def test_what_does_not_decay_is_read_beside_one_more_gaussian(parts, most, least):
    read, truth = spent(*parts).epsilon(1e-6), exact(*parts, delta=1e-6)
    assert overlap(read, truth)
    assert least * truth.lower <= read.lower
    assert read.upper <= most * truth.upper


def test_loose_pairs_have_no_lower_end():
    choice = events.ExponentialMechanism(0.5)
    read = spent(*(choice,) * 10, events.Gaussian(5.0)).epsilon(1e-5)
    assert read.lower == 0.0
    assert read.upper >= exact(*(choice,) * 10, events.Gaussian(5.0), delta=1e-5).lower


def test_certain_losses_add_up():
    meter = spent(*(events.Approximate(0.5, 1e-8),) * 30)
    assert meter.epsilon(2.9e-7).upper == float("inf")
    assert overlap(meter.epsilon(3.5e-7), exact(*(events.Approximate(0.5, 1e-8),) * 30, delta=3.5e-7))


def test_the_direction_of_adding_is_read_too():
    """Half of the answers under Q are never given under P."""
    table = events.Tabulated((0.5, 0.5, 0.0), (0.25, 0.25, 0.5))
    assert spent(table, events.Gaussian(5.0)).epsilon(0.1).upper == float("inf")


# ------------------------------------------------------------------------------------------- itself


def test_order_grouping_and_when_it_is_asked_change_nothing():
    parts = [part for part in (*KINDS, sgd(0.03, 1.2)) for _ in range(12)]
    whole = spent(*parts).epsilon(1e-6)
    random.Random(5).shuffle(parts)
    asked = Odometer.start()
    for part in parts:
        asked = asked.spend(part)
        asked.epsilon(1e-6)
    repeated = spent(*(events.Repeated(12, part) for part in (*KINDS, sgd(0.03, 1.2))))
    composed = spent(events.Composed(tuple(parts)))
    for meter in (asked, repeated, composed):
        found = meter.epsilon(1e-6)
        assert overlap(found, whole)
        assert found.upper == pytest.approx(whole.upper, rel=1e-6)
        assert found.lower == pytest.approx(whole.lower, rel=1e-6)


def test_a_spend_returns_a_new_odometer_and_keeps_the_old():
    before = spent(*KINDS)
    first = before.epsilon(1e-6)
    after = before.spend(KINDS[2])
    assert after.epsilon(1e-6).lower > first.upper
    assert before.epsilon(1e-6) == first
    assert dict(before.spent) == dict.fromkeys(KINDS, 1)


def test_many_spends_at_once_cut_off_no_more_than_one():
    """Windows are narrower the more often an event runs."""
    read = spent(events.Repeated(1_000_000, sgd(1e-3, 1.0))).epsilon(1e-6)
    truth = exact(events.Repeated(1_000_000, sgd(1e-3, 1.0)), delta=1e-6)
    assert overlap(read, truth)
    assert read.width <= 1e-5 * read.upper


def test_the_budget_adds_up_to_no_more_than_the_width():
    for meter in (spent(*KINDS * 10), spent(events.RandomizedResponse(1.0, 2))):
        read = meter.epsilon(1e-6)
        assert all(part >= 0 for part in read.budget.values())
        assert read.budget
        assert max(read.budget.values()) <= read.width * (1 + 1e-6)


def test_an_odometer_starts_at_nothing_and_refuses_what_has_no_transform():
    assert Odometer.start().epsilon(1e-6) == Bracket(0.0, 0.0)
    assert Odometer.start().spend(events.Composed(())).epsilon(1e-6).upper == 0.0
    for refused in (events.ZCDP(0.1), events.RandomAllocation(10, ADD, events.Gaussian(1.0))):
        with pytest.raises(UnsupportedEvent):
            Odometer.start().spend(refused)
    replaced = events.PoissonSampled(0.01, events.Relation.REPLACE_ONE, events.Gaussian(1.0))
    with pytest.raises(UnsupportedEvent, match="bounded under"):
        spent(sgd()).spend(replaced)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-6, float("nan"), True])
def test_a_delta_that_is_none_is_refused(delta):
    with pytest.raises(InvalidInput, match="delta"):
        spent(*KINDS).epsilon(delta)
