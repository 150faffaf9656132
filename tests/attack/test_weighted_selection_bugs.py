"""Planted bugs in weighted key selection: in the threshold, in the weights, in the rounds, in the relation.

One check measures how often a key that one unit alone has is shown, through all rounds, against the δ charged; another
how far one unit moves the exact weights, against the sensitivity charged; and the public one does both for one round.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace
from fractions import Fraction

import pytest

from discreet.events import Relation
from discreet.mechanisms import WeightedKeySelection, key_weight
from discreet.testing import Nonconforming, check_weighted_selection
from discreet.testing.fit import FALSE_ALARM, chance_interval
from tests.lone_unit import KEYS, ROUNDS, even, everything_on_one, not_normalised, share_shown

RUNS = 40_000
TURN = WeightedKeySelection(
    variance=Fraction(50_000),
    delta=0.1,
    max_keys=Fraction(KEYS),
    relation=Relation.ADD_REMOVE,
    norm_squared=10_000,
)


def rebuilt(kind, turn):
    return kind(**{field.name: getattr(turn, field.name) for field in fields(turn)})


class OneDeviationLow(WeightedKeySelection):
    @property
    def threshold(self):
        return WeightedKeySelection.threshold.fget(self) - math.isqrt(int(self.variance))


class OneKeyOnly(WeightedKeySelection):
    """The threshold for a unit that has one key, though units may have ten."""

    @property
    def threshold(self):
        return WeightedKeySelection.threshold.fget(replace(rebuilt(WeightedKeySelection, self), max_keys=Fraction(1)))


def shown_no_more_than_charged(rounds, spread, **how):
    shown = round(share_shown(rounds, spread, RUNS, **how) * RUNS)
    delta = sum(turn.event.events[1].delta for turn in rounds)
    assert chance_interval(shown, RUNS, FALSE_ALARM)[0] <= delta, "own keys are shown more often than was paid for"


@pytest.mark.parametrize("spread", [even, everything_on_one])
def test_the_good_rounds_are_cleared(spread):
    shown_no_more_than_charged(ROUNDS, spread)
    check_weighted_selection(TURN)


@pytest.mark.parametrize("bug", [OneDeviationLow, OneKeyOnly])
def test_a_threshold_too_low_is_caught(bug):
    with pytest.raises(AssertionError, match="more often"):
        shown_no_more_than_charged([rebuilt(bug, turn) for turn in ROUNDS], even)
    with pytest.raises(Nonconforming, match="one unit alone"):
        check_weighted_selection(rebuilt(bug, TURN))


def test_weights_that_nobody_normalised_are_caught():
    with pytest.raises(AssertionError, match="more often"):
        shown_no_more_than_charged((replace(TURN, norm_squared=2**40, variance=Fraction(2**41)),), not_normalised)


def test_closed_keys_that_come_back_are_caught():
    """Later thresholds count on it that few of a unit's own keys are still open."""
    with pytest.raises(AssertionError, match="more often"):
        shown_no_more_than_charged(ROUNDS, even, reopen=True)


# ------------------------------------------------------------------------------------------- the exact weights


def totals(pairs, still, own):
    """Return the total weight of each key; each unit spreads over its keys that are open and that `own` gives it."""
    found = dict.fromkeys(still, 0)
    for unit in {unit for unit, _ in pairs}:
        mine = [key for key in own(pairs, unit) if key in still]
        for key in mine:
            found[key] += key_weight(len(mine))
    return found


def bounded(pairs, unit):
    """The first two of a unit's keys, settled before the first round without a look at others."""
    return sorted(key for who, key in pairs if who == unit)[:2]


def shared(pairs, unit):
    """The two of a unit's keys that most others have: then one unit changes what others offer."""
    held = [key for _, key in pairs]
    return sorted((key for who, key in pairs if who == unit), key=lambda key: -held.count(key))[:2]


def no_unit_moves_more_than_its_norm(own):
    """All tables of three units with keys among four: what one of them moves on keys that others offer."""
    choices = [set(keys) for n in (1, 2, 3) for keys in itertools.combinations(range(4), n)]
    for first, second, third in itertools.product(choices, repeat=3):
        pairs = {(unit, key) for unit, keys in enumerate((first, second, third)) for key in keys}
        fewer = {(unit, key) for unit, key in pairs if unit}
        common = {key for unit in (1, 2) for key in own(fewer, unit)}
        a, b = totals(pairs, common, own), totals(fewer, common, own)
        moved = sum((a[key] - b[key]) ** 2 for key in common)
        assert moved <= ROUNDS[0].sensitivity_squared, "one unit moves more than its norm"


def test_keys_that_a_unit_settles_alone_keep_the_sensitivity():
    no_unit_moves_more_than_its_norm(bounded)


def test_keys_chosen_by_what_others_have_are_caught():
    with pytest.raises(AssertionError, match="moves more"):
        no_unit_moves_more_than_its_norm(shared)


def replaced_within(turn):
    """One unit replaced by another with other keys: all that they weigh is moved."""
    for n, m in itertools.product(range(1, KEYS + 1), repeat=2):
        moved = n * key_weight(n) ** 2 + m * key_weight(m) ** 2
        assert moved <= turn.event.events[0].sensitivity_squared, "two units move more than was paid for"


def test_replacing_charged_as_removing_is_caught():
    replaced_within(replace(ROUNDS[0], relation=Relation.REPLACE_ONE))
    with pytest.raises(AssertionError, match="two units"):
        replaced_within(ROUNDS[0])
