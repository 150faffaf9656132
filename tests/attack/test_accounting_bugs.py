"""Planted bugs in accounting: each is caught by a check that the good code passes."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath as mp
import pytest

from discreet import accounting, events
from discreet.accounting import conversions, filters, losses
from discreet.accounting.measures import COST_UNIT, Cost, Measure

ZCDP = Measure("zcdp")


def rounds_up() -> None:
    for scale in (3, 7, 11, 13):
        price = losses.cost(events.DiscreteGaussian(Fraction(1), Fraction(scale)), ZCDP)
        assert price.loss * COST_UNIT >= Fraction(1, 2 * scale), "a cost is below the loss"


def counts_the_whole_sensitivity() -> None:
    price = losses.loss(events.DiscreteGaussian(Fraction(4), Fraction(2)), ZCDP)
    assert price.loss >= 1, "rho is below sensitivity² / (2 variance)"


def converts_above_the_truth() -> None:
    for rho in (0.01, 0.5):
        with mp.workdps(40):
            epsilon = conversions.zcdp_epsilon(rho, 1e-6)
            # A Gaussian with this rho is a lower bound of what zCDP can promise.
            mu = mp.sqrt(2 * mp.mpf(rho))
            delta = mp.ncdf(mu / 2 - epsilon / mu) - mp.exp(epsilon) * mp.ncdf(-mu / 2 - epsilon / mu)
            assert delta <= 1e-6, "epsilon is below that of a Gaussian"


def counts_repetitions() -> None:
    one = losses.cost(events.RandomizedResponse(0.5, 2), Measure("pure")).loss
    many = losses.cost(events.Repeated(100, events.RandomizedResponse(0.5, 2)), Measure("pure")).loss
    assert many == 100 * one, "a repetition is not counted"


def keeps_delta_for_the_conversion() -> None:
    full = filters.capacity(ZCDP, epsilon=1.0, delta=1e-6, delta_atoms=5e-7)
    stated = filters.statement(ZCDP, full, delta=1e-6)
    assert stated <= 1.0 + 1e-6, "a full filter states more than its budget"


def charges_selection_as_pure() -> None:
    flip = losses.loss(events.PermuteAndFlip(0.1), ZCDP).loss
    assert flip >= Fraction(0.1) * Fraction(math.tanh(0.05)), "permute-and-flip is charged as bounded range"


CHECKS = [
    rounds_up,
    counts_the_whole_sensitivity,
    converts_above_the_truth,
    counts_repetitions,
    keeps_delta_for_the_conversion,
    charges_selection_as_pure,
]


@pytest.mark.parametrize("check", CHECKS)
def test_the_good_code_is_cleared(check):
    check()


def test_a_cost_rounded_down_is_caught(monkeypatch):
    def floor(event, measure):
        bound = losses.loss(event, measure)
        return Cost(math.floor(bound.loss / COST_UNIT), 0)

    monkeypatch.setattr(losses, "cost", floor)
    with pytest.raises(AssertionError, match="below the loss"):
        rounds_up()


def test_a_halved_sensitivity_is_caught(monkeypatch):
    good = losses.rho

    def halved(event):
        return good(event) / 4 if isinstance(event, events.DiscreteGaussian) else good(event)

    monkeypatch.setattr(losses, "rho", halved)
    with pytest.raises(AssertionError, match="below sensitivity"):
        counts_the_whole_sensitivity()


def test_a_wrong_sign_is_caught(monkeypatch):
    def wrong(c, delta):
        return (conversions.log_kappa(c) + math.log(delta)) / c

    monkeypatch.setattr(conversions, "penalty", wrong)
    with pytest.raises(AssertionError, match="below that of a Gaussian"):
        converts_above_the_truth()


def test_a_dropped_count_is_caught(monkeypatch):
    good = losses.loss

    def dropped(event, measure):
        return good(event.event, measure) if isinstance(event, events.Repeated) else good(event, measure)

    monkeypatch.setattr(losses, "loss", dropped)
    with pytest.raises(AssertionError, match="not counted"):
        counts_repetitions()


def test_spending_delta_twice_is_caught(monkeypatch):
    def twice(measure, *, epsilon, delta, delta_atoms):
        return Cost(filters.budget(measure, epsilon=epsilon, delta=delta), math.floor(Fraction(delta_atoms) * 2**60))

    monkeypatch.setattr(filters, "capacity", twice)
    with pytest.raises(AssertionError, match="more than its budget"):
        keeps_delta_for_the_conversion()


def test_a_wrong_selection_charge_is_caught(monkeypatch):
    good = losses.rho

    def bounded(event):
        return Fraction(event.epsilon) ** 2 / 8 if isinstance(event, events.PermuteAndFlip) else good(event)

    monkeypatch.setattr(losses, "rho", bounded)
    with pytest.raises(AssertionError, match="bounded range"):
        charges_selection_as_pure()


def test_the_public_names_are_these():
    assert accounting.cost is losses.cost
