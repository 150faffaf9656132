from __future__ import annotations

import itertools
import math
import subprocess
import sys
from fractions import Fraction
from functools import cache

import duckdb
import mpmath
import numpy as np
import pytest
from tests.benchmark_scripts import BENCHMARKS

from discreet import events
from discreet.accounting import COST_UNIT, DELTA_UNIT, Cost, Measure, capacity, cost, profile
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.events import Relation
from discreet.mechanisms import Rng, WeightedKeySelection, key_weight, weighted_selection
from discreet.mechanisms.weighted_selection import expected_above

ADD, REPLACE, ZERO = Relation.ADD_REMOVE, Relation.REPLACE_ONE, Relation.ZERO_OUT
W = 2**20


def made(**changed):
    settings = {"variance": Fraction(2**44), "delta": 1e-6, "max_keys": Fraction(10), "relation": ADD}
    return WeightedKeySelection(**settings | changed)


@cache
def law(variance):
    """Return P(N >= t) of discrete Gaussian noise as a function, summed number by number in 40 digits."""
    with mpmath.workdps(40):
        reach = 60 * math.isqrt(math.ceil(variance)) + 60
        rate = mpmath.mpf(variance.denominator) / (2 * variance.numerator)
        tails, total = {reach + 1: mpmath.mpf(0)}, mpmath.mpf(0)
        for x in range(reach, -reach - 1, -1):
            total += mpmath.exp(-rate * x * x)
            tails[x] = total
        return {x: tail / total for x, tail in tails.items()}


def beyond(variance, t):
    tails = law(variance)
    return tails[max(min(t, max(tails)), min(tails))]


# ------------------------------------------------------------------------------------------- weights


def test_a_unit_spreads_at_most_its_norm():
    for n in [*range(1, 5000), 2**20, 2**31 - 1, 10**9 + 7, 2**40, 2**40 + 1]:
        weight = key_weight(n)
        assert n * weight**2 <= 2**40 < n * (weight + 1) ** 2


def test_a_database_finds_the_same_weights():
    """Where the quotient is whole, and near the steps, rounding would show first."""
    steps = [2**40 // w**2 + more for w in (1, 2, 3, 5, 1000, 2**19, 2**20) for more in (-1, 0, 1, 2)]
    asked = sorted({n for n in [*range(1, 3000), *steps, *(k * k for k in range(1, 2000))] if n > 0})
    rows = duckdb.execute(
        "SELECT n, CAST(floor(1048576 / sqrt(CAST(n AS DOUBLE))) AS BIGINT) FROM (SELECT unnest(?::BIGINT[]) AS n)",
        [asked],
    ).fetchall()
    assert [found for _, found in rows] == [key_weight(n) for n, _ in rows]
    assert len(rows) == len(asked) > 4900


@pytest.mark.parametrize("wrong", [0, -1, True, 1.0])
def test_a_number_of_keys_that_is_none_is_refused(wrong):
    with pytest.raises(InvalidInput, match="n must be a whole number"):
        key_weight(wrong)


# ------------------------------------------------------------------------------------------- tails and budgets


@pytest.mark.parametrize("variance", [Fraction(1), Fraction(3, 2), Fraction(17), Fraction(2500)])
def test_tails_are_never_too_small_and_nearly_right(variance):
    edges = np.arange(-5 * math.isqrt(int(variance)) - 3, 8 * math.isqrt(int(variance)) + 3)
    bounds = weighted_selection._tail(edges.astype(float), variance)
    for edge, bound in zip(edges, bounds, strict=True):
        true = beyond(variance, int(edge))
        assert true <= bound * (1 + 1e-11)
        assert bound <= true * mpmath.exp((1 + int(edge) ** 2 / variance) / (8 * variance))


def spreads(norm_squared, keys):
    most = math.isqrt(norm_squared)
    for spread in itertools.combinations_with_replacement(range(most + 1), keys):
        if sum(w * w for w in spread) <= norm_squared:
            yield spread


@pytest.mark.parametrize(
    ("norm_squared", "keys", "variance"),
    [
        (1, 1, Fraction(1)),
        (1, 3, Fraction(2)),
        (12, 3, Fraction(5)),
        (50, 4, Fraction(9)),
        (100, 3, Fraction(1)),
        (400, 3, Fraction(30)),
        (30, 5, Fraction(200)),
    ],
)
def test_no_spread_of_a_unit_beats_the_bounds(norm_squared, keys, variance):
    """Every way to spread a unit's weight, with the exact law of the noise."""
    for edge in range(-10, 60, 7):
        worst = max(sum(beyond(variance, edge - w) for w in spread) for spread in spreads(norm_squared, keys))
        assert worst <= expected_above(edge, Fraction(keys), norm_squared, variance)
    for delta in (0.3, 1e-3, 1e-9):
        turn = made(variance=variance, delta=delta, max_keys=Fraction(keys), norm_squared=norm_squared)

        def passing(edge):
            chances = [[beyond(variance, edge - w) for w in spread] for spread in spreads(norm_squared, keys)]
            return max(1 - mpmath.fprod([1 - chance for chance in row]) for row in chances)

        assert passing(turn.threshold) <= delta
        assert passing(turn.threshold - 2 - turn.threshold // 20) > delta  # hardly more than is needed


@pytest.mark.parametrize("rho", [1e-4, 0.02, 0.5, 5.0])
@pytest.mark.parametrize("keys", [1, 10, 1000])
def test_thresholds_are_close_to_the_worst_of_even_spreads(rho, keys):
    """Even spreads over n of the keys, the rest weighing nothing: a unit could do that, so no rule may be much lower."""
    sigma = math.sqrt(W**2 / (2 * rho))
    turn = made(variance=Fraction(math.ceil(sigma**2)), max_keys=Fraction(keys))

    def alone(edge, n):
        heavy = math.erfc((edge - W / math.sqrt(n)) / sigma / math.sqrt(2)) / 2
        return n * heavy + (keys - n) * math.erfc(edge / sigma / math.sqrt(2)) / 2

    assert max(alone(turn.threshold, n) for n in range(1, keys + 1)) <= 1e-6
    assert max(alone(turn.threshold * 0.999, n) for n in range(1, keys + 1)) > 1e-6


def test_one_key_is_not_the_worst_case():
    little = made(max_keys=Fraction(1)).threshold
    assert made(max_keys=Fraction(10)).threshold > little * 1.05
    turn = made(max_keys=Fraction(10))
    assert expected_above(little, Fraction(10), 2**40, turn.variance) > 2 * 1e-6


def test_fewer_expected_keys_need_a_lower_threshold():
    thresholds = [made(max_keys=Fraction(keys, 10)).threshold for keys in (1, 5, 10, 20, 100, 1000)]
    assert thresholds == sorted(thresholds)
    assert made(max_keys=Fraction(0)).threshold == 0


def test_keys_left_after_a_round():
    assert made().left == 10
    sigma = 2**22
    closed = [float(made(cutoff=round(z * sigma)).left) for z in (-30, -1, 0, 1, 2, 30)]
    assert closed[0] == 10
    for z, left in zip((-1, 0, 1, 2), closed[1:-1], strict=True):
        weight = key_weight(10)
        least = 10 * math.erfc((z * sigma - weight) / sigma / math.sqrt(2)) / 2
        assert least <= left <= least * 1.01
    assert closed[-1] < 1e-100


# ------------------------------------------------------------------------------------------- relations and events


def test_events_hold_the_noise_and_the_delta():
    turn = made(delta=Fraction(1, 3))
    noise, alone = turn.event.events
    assert noise == events.DiscreteGaussian(Fraction(2**40), Fraction(2**44))
    assert alone.epsilon == 0
    assert Fraction(1, 3) <= Fraction(alone.delta) < Fraction(1, 3) + Fraction(1, 2**53)
    assert cost(turn.event, Measure("zcdp")) == Cost(2**35, math.ceil(Fraction(alone.delta) / DELTA_UNIT))
    with pytest.raises(UnsupportedEvent):
        cost(turn.event, Measure("pure"))
    assert cost(turn.event, Measure("renyi", 8.0)).loss == 8 * 2**35
    assert profile(made().event).delta(3.0).upper > 1e-6


def test_replacing_a_unit_moves_two_and_both_may_have_keys_alone():
    """Weights are at least 0, so the squares of two units' difference sum to at most twice the norm."""
    add, replace = made(), made(relation=REPLACE)
    assert (add.sensitivity_squared, replace.sensitivity_squared) == (2**40, 2**41)
    assert replace.event.events[0].sensitivity_squared == 2**41
    assert replace.threshold == made(delta=Fraction(1e-6) / 2).threshold
    assert replace.event.events[1].delta == add.event.events[1].delta == 1e-6
    assert made(relation=ZERO).threshold == add.threshold


@pytest.mark.parametrize("relation", [ADD, REPLACE, ZERO])
@pytest.mark.parametrize(
    ("epsilon", "delta", "keys"), [(1.0, 1e-6, 10), (0.1, 1e-9, 2), (6.0, 1e-4, 1000), (1, 0.1, 1)]
)
def test_rounds_cost_no_more_than_they_are_given(epsilon, delta, keys, relation):
    room = capacity(Measure("zcdp"), epsilon=epsilon, delta=delta, delta_atoms=delta / 2)
    rho, alone = room.loss * COST_UNIT, room.delta * DELTA_UNIT
    rounds = WeightedKeySelection.rounds(rho=rho, delta=alone, max_keys=keys, relation=relation)
    assert len(rounds) == (1 if keys == 1 else 3)
    spent = cost(events.Composed(tuple(turn.event for turn in rounds)), Measure("zcdp"))
    assert spent <= room
    assert spent.loss >= room.loss * (1 - 1e-6) - 3  # and nothing to speak of is left over
    assert spent.delta >= room.delta * (1 - 1e-6) - 3
    assert rounds[0].max_keys == keys
    assert rounds[-1].cutoff is None
    for earlier, later in itertools.pairwise(rounds):
        assert later.max_keys == earlier.left < earlier.max_keys


# ------------------------------------------------------------------------------------------- calls


def test_keys_are_kept_by_weight():
    turn = made()
    far = 12 * 2**22  # deviations: wrong with probability 1e-32
    weights = [turn.threshold - far, turn.threshold + far, -(10**30), 10**30]
    assert turn(weights, Rng()).tolist() == [False, True, False, True]
    assert turn(np.array(weights[:2], dtype=np.int64), Rng()).tolist() == [False, True]
    assert turn([], Rng()).tolist() == []


def test_sifting_tells_kept_open_and_closed_apart():
    far = 12 * 2**22
    turn = made(cutoff=-(2**26))
    weights = [turn.threshold + far, turn.threshold - far, turn.cutoff + far, turn.cutoff - far]
    kept, still = turn.sift(weights, Rng())
    assert kept.tolist() == [True, False, False, False]
    assert still.tolist() == [False, True, True, False]
    kept, still = made().sift(weights, Rng())
    assert still.tolist() == [False, True, True, True]  # without a cutoff all that is not kept stays open


def test_chances_are_enclosed():
    variance = Fraction(400)
    turn = made(variance=variance, delta=0.01, max_keys=Fraction(3), norm_squared=100)
    for weight in range(-30, turn.threshold + 80, 5):
        lower, upper = turn.keep_probability(weight)
        assert lower <= beyond(variance, turn.threshold - weight) <= upper <= lower + 1e-3


WRONG = [
    {"variance": Fraction(1, 2)},
    {"variance": 4.0},
    {"delta": 0.0},
    {"delta": 1.0},
    {"delta": float("nan")},
    {"delta": "1e-6"},
    {"delta": True},
    {"max_keys": 2.5},
    {"max_keys": Fraction(-1)},
    {"relation": "add_remove"},
    {"cutoff": 1.5},
    {"cutoff": True},
    {"cutoff": 2**62 + 1},
    {"norm_squared": 0},
    {"norm_squared": 2**81},
    {"norm_squared": 4.0},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(InvalidInput):
        made(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"rho": 0.1}, {"rho": Fraction(0)}, {"max_keys": 0}, {"max_keys": Fraction(3)}], ids=str
)
def test_wrong_budgets_of_rounds_are_refused(wrong):
    settings = {"rho": Fraction(1, 50), "delta": 1e-6, "max_keys": 10, "relation": ADD}
    with pytest.raises(InvalidInput):
        WeightedKeySelection.rounds(**settings | wrong)


def test_the_benchmark_runs():
    command = [sys.executable, str(BENCHMARKS / "keys.py"), "--users", "4000", "--draws", "1"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert lines[0].startswith("discreet ")
    rows = [line.split() for line in lines if "rounds" in line]
    assert len(rows) >= 4
    assert all(int(row[-1].replace(",", "")) > 0 for row in rows if row[-1].replace(",", "").isdigit())
