"""Weighted key selection: the law of what is kept, and how often a unit's own keys pass, in one round and in three."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest

from discreet import events
from discreet.events import Relation
from discreet.mechanisms import Rng, WeightedKeySelection
from discreet.testing import Nonconforming, check_weighted_selection
from discreet.testing.fit import FALSE_ALARM, binomials, chance_interval
from tests.lone_unit import ROUNDS, even, everything_on_one, share_shown

TURNS = [
    WeightedKeySelection(
        variance=variance, delta=0.1, max_keys=Fraction(keys), relation=relation, norm_squared=norm_squared
    )
    for variance, keys, norm_squared, relation in (
        (Fraction(50_000), 10, 10_000, Relation.ADD_REMOVE),
        (Fraction(30), 4, 100, Relation.REPLACE_ONE),
        (Fraction(10_000, 3), 1, 10_000, Relation.ZERO_OUT),
    )
]


def rebuilt(kind):
    """Return the first of the turns as an object of another class."""
    return kind(**{field.name: getattr(TURNS[0], field.name) for field in fields(WeightedKeySelection)})


@pytest.mark.parametrize("turn", TURNS, ids=range(len(TURNS)))
def test_keys_are_kept_as_the_event_says(turn):
    check_weighted_selection(turn)


@pytest.mark.parametrize("factor", [Fraction(81, 100), Fraction(121, 100)], ids=["less", "more"])
def test_noise_ten_percent_off_is_rejected(factor):
    class Wrong(WeightedKeySelection):
        @property
        def event(self):
            return replace(TURNS[0], variance=self.variance * factor).event

    with pytest.raises(Nonconforming, match="event's noise"):
        check_weighted_selection(rebuilt(Wrong))


@pytest.mark.parametrize("spread", [even, everything_on_one])
def test_own_keys_pass_the_rounds_no_more_often_than_delta(spread):
    """A unit with ten keys that nobody else has, in all three rounds; and not much less often, so that it could show."""
    runs = 40_000
    shown = share_shown(ROUNDS, spread, runs)
    delta = float(sum(turn.delta for turn in ROUNDS))
    least, most = chance_interval(round(shown * runs), runs, FALSE_ALARM)
    assert least <= delta
    assert most >= 0.55 * delta


def test_one_round_spends_its_delta():
    """Spread evenly, the weight comes close to what the bound allows: the test above would see a threshold too low."""
    turn = replace(ROUNDS[-1], delta=0.1, max_keys=Fraction(10))
    runs = 40_000
    shown = round(share_shown((turn,), even, runs) * runs)
    fit = binomials(np.array([shown]), np.array([runs]), np.array([1 - (1 - 0.01) ** 10]))
    assert fit.accepted


def test_the_event_of_another_kind_is_no_weighted_selection():
    class Other(WeightedKeySelection):
        @property
        def event(self):
            return events.Approximate(1.0, 1e-6)

    with pytest.raises(Nonconforming, match="the event is a approximate"):
        check_weighted_selection(rebuilt(Other))


def test_kept_open_and_closed_have_the_chances_of_the_noise():
    turn = replace(TURNS[0], cutoff=60)
    draws, weight = 100_000, 100
    kept, still = turn.sift(np.full(draws, weight, dtype=np.int64), Rng())
    variance = float(turn.variance)
    x = np.arange(-4000, 4001)
    law = np.exp(-(x**2) / (2 * variance))
    law /= law.sum()
    chances = [law[x >= turn.threshold - weight].sum(), law[(x >= 60 - weight) & (x < turn.threshold - weight)].sum()]
    assert binomials(np.array([kept.sum(), still.sum()]), np.full(2, draws), np.array(chances)).accepted
