"""Scores of membership: right shapes and order, wrong input refused by name. Their values: tests/reference."""

import sys

import numpy as np
import pytest

from discreet.audit.membership.roc import area
from discreet.audit.membership.scores import (
    Variance,
    bavaria,
    bavaria_offline,
    best_a,
    lira,
    lira_offline,
    loss_threshold,
    rmia,
    rmia_offline,
)
from discreet.audit.membership.signals import Signals, logits
from discreet.errors import InvalidInput, MissingExtra

ATTACKS = {
    "lira": lira,
    "lira, own variance": lambda signals: lira(signals, variance=Variance.OWN),
    "lira_offline": lira_offline,
    "rmia": rmia,
    "rmia_offline": lambda signals: rmia_offline(signals, a=0.3),
    "bavaria": bavaria,
    "bavaria_offline": bavaria_offline,
}
RNG = np.random.default_rng(7)


def drawn(*, models=16, records=2000, moved=1.0):
    """Signals of records that training on them moves by `moved`, and who the target's members are."""
    level, spread = RNG.normal(0, 2, records), RNG.gamma(4, 0.15, records)
    inside = np.argsort(RNG.random((models, records)), axis=0) < models // 2
    members = RNG.random(records) < 0.5
    shadows = level + spread * RNG.normal(size=inside.shape) + moved * inside
    return Signals(level + spread * RNG.normal(size=records) + moved * members, shadows, inside), members


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_members_score_higher(attack):
    signals, members = drawn()
    found = attack(signals)
    assert found.shape == members.shape
    assert np.isfinite(found).all()
    assert area(found[members], found[~members]) > 0.7  # by chance 0.5 ± 0.013


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_where_training_moves_nothing_scores_say_nothing(attack):
    signals, members = drawn(moved=0.0)
    found = attack(signals)
    assert abs(area(found[members], found[~members]) - 0.5) < 0.08  # six standard deviations


def test_losses_alone_find_less_than_a_comparison_with_shadows():
    signals, members = drawn()
    alone, beside = loss_threshold(-signals.target), bavaria(signals)
    assert area(alone[members], alone[~members]) + 0.1 < area(beside[members], beside[~members])


def test_few_shadows_spoil_lira_with_own_variances_more_than_bavaria():
    signals, members = drawn(models=4, records=4000)
    own, held = lira(signals, variance=Variance.OWN), bavaria(signals)
    assert area(own[members], own[~members]) + 0.03 < area(held[members], held[~members])


def test_lira_pools_below_64_shadows_and_not_from_there():
    few, _ = drawn(models=62, records=50)
    many, _ = drawn(models=64, records=50)
    assert np.array_equal(lira(few), lira(few, variance=Variance.POOLED))
    assert np.array_equal(lira(many), lira(many, variance=Variance.OWN))
    assert not np.array_equal(lira(many), lira(many, variance=Variance.POOLED))


def test_a_model_that_is_always_equally_sure_of_its_members_is_no_error():
    inside = np.array([[True, False, True, False]] * 4) ^ (np.arange(4)[:, None] % 2 == 0)
    shadows = np.where(inside, 9.0, RNG.normal(size=(4, 4)))
    found = bavaria(Signals([9.0, 9.0, 0.1, -0.2], shadows, inside))
    assert np.isfinite(found).all()
    assert found[:2].min() > found[2:].max()


def test_a_population_asks_the_same_models():
    signals, _ = drawn(records=60)
    population, _ = drawn(records=40)
    none_inside = Signals(population.target, population.shadows, np.zeros_like(population.inside))
    found = rmia(signals, none_inside)
    assert set(np.round(found * 40, 9)) <= set(range(41))  # shares of 40 records
    fewer = Signals(population.target, population.shadows[:3], population.inside[:3])
    with pytest.raises(InvalidInput, match="signals of 3 shadows, the records of 16"):
        rmia(signals, fewer)


def test_a_larger_gamma_never_beats_more():
    signals, _ = drawn(records=100)
    assert (rmia(signals, gamma=2.0) <= rmia(signals, gamma=1.0)).all()
    assert (rmia(signals, gamma=2.0) < rmia(signals, gamma=1.0)).any()


def test_best_a_looks_at_shadows_only():
    signals, _ = drawn(models=8)
    other = Signals(np.zeros_like(signals.target), signals.shadows, signals.inside)
    assert 0 <= best_a(signals) <= 1
    assert best_a(signals) == best_a(other)
    with pytest.raises(InvalidInput, match="at least 3 are needed, got 2"):
        best_a(Signals(signals.target, signals.shadows[:2], signals.inside[:2]))


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.inf, np.nan])
def test_gamma_is_checked(wrong):
    with pytest.raises(InvalidInput, match="gamma must be a finite number above 0"):
        rmia(drawn(records=20)[0], gamma=wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_a_is_checked(wrong):
    with pytest.raises(InvalidInput, match=r"a must lie in \[0, 1\]"):
        rmia_offline(drawn(records=20)[0], a=wrong)


@pytest.mark.parametrize("attack", [lira, rmia, bavaria])
def test_a_record_that_no_shadow_saw_is_refused_online_and_scored_offline(attack):
    signals, _ = drawn(models=6, records=30)
    inside = signals.inside.copy()
    inside[:, :2] = False
    partly = Signals(signals.target, signals.shadows, inside)
    with pytest.raises(InvalidInput, match="2 of 30 records were inside fewer than 1 of 6 shadows") as refused:
        attack(partly)
    assert "offline" in refused.value.remedy
    assert np.isfinite(lira_offline(partly)).all()


def test_own_variances_need_two_shadows_on_each_side():
    signals, _ = drawn(models=2, records=30)
    with pytest.raises(InvalidInput, match="fewer than 2 of 2 shadows"):
        lira(signals, variance=Variance.OWN)


@pytest.mark.parametrize("attack", [lira, lira_offline, bavaria])
def test_shadows_that_do_not_vary_are_refused(attack):
    inside = np.array([[True] * 5, [False] * 5] * 2)
    with pytest.raises(InvalidInput, match="do not vary"):
        attack(Signals(np.arange(5.0), np.ones((4, 5)), inside))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": [1.0, np.nan, 2.0]}, "target must be finite, 1 of 3 are not"),
        ({"target": [1.0, 2.0]}, "a target of 2 records"),
        ({"target": ["a", "b", "c"]}, "target must hold numbers"),
        ({"shadows": [[1.0, 2.0, np.inf]] * 2}, "shadows must be finite, 2 of 6"),
        ({"shadows": [1.0, 2.0, 3.0]}, "shadows must have 2 axes, got 1"),
        ({"inside": [[True, False, True]]}, "equal rows"),
        ({"inside": [[1, 0, 1]] * 2}, "inside must hold true and false"),
        ({"shadows": np.empty((0, 3)), "inside": np.empty((0, 3), dtype=bool)}, "no shadow model"),
    ],
    ids=str,
)
def test_wrong_signals_are_refused(change, message):
    right = {"target": [1.0, 2.0, 3.0], "shadows": [[1.0, 2.0, 3.0]] * 2, "inside": [[True, False, True]] * 2}
    Signals(**right)
    with pytest.raises(InvalidInput, match=message):
        Signals(**(right | change))


def test_logits_are_finite_and_rise():
    found = logits([0.0, 0.3, 0.5, 0.9, 1.0])
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    assert found[2] == 0
    assert found[0] == pytest.approx(-found[4])


@pytest.mark.parametrize("wrong", [[0.5, 1.5], [-0.1, 0.2], [np.nan, 0.5]])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(InvalidInput, match="1 of 2 that do not"):
        logits(wrong)


def test_losses_are_checked():
    with pytest.raises(InvalidInput, match="losses must be finite"):
        loss_threshold([1.0, np.nan])


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - {"lira", "lira, own variance"}))  # these need numpy alone
def test_without_scipy_the_extra_is_named(name, monkeypatch):
    signals, _ = drawn(records=20)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtra, match="scipy") as missing:
        ATTACKS[name](signals)
    assert "discreet[audit]" in missing.value.remedy
