"""Plans: the event they write, calibration, what they refuse, what they print, and JSON there and back."""

import dataclasses
import json
import math

import pytest

from discreet import events
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.events import Relation
from discreet.mechanisms import Rng
from discreet.train.correlation import BandedInverseRoot, BandedRoot, BufferedToeplitz, LambdaCGD
from discreet.train.keystream import Keystream, fresh_key
from discreet.train.plan import DPSGD
from discreet.train.sampling import Allocation, Cyclic, FixedSize, Poisson

COMMON = {"steps": 100, "max_grad_norm": 0.5, "expected_batch_size": 64, "relation": Relation.ADD_REMOVE}


def plan(**given):
    return DPSGD(**{**COMMON, **({} if "sampler" in given else {"sample_rate": 0.02}), **given})


PLANS = [
    plan(),
    plan(noise_multiplier=1.5),
    plan(sample_rate=0.02, cap=90, records=3200, relation=Relation.ZERO_OUT),
    plan(sampler=FixedSize(64), records=3200, relation=Relation.REPLACE_ONE),
    plan(sampler=Allocation(2)),
    plan(sampler=Cyclic(0.1, 5), correlation=BandedRoot(5)),
    plan(sampler=Cyclic(1, 25), correlation=LambdaCGD(0.9)),
    plan(sampler=Cyclic(1, 25), correlation=BufferedToeplitz((0.9, 0.5), (0.2, 0.3))),
    plan(sampler=Cyclic(1, 25), correlation=BandedInverseRoot(8), noise_multiplier=2),
]


@pytest.mark.parametrize("relation", Relation)
def test_the_event_is_the_samplers(relation):
    one = plan(relation=relation, noise_multiplier=1.5)
    assert one.sampler == Poisson(0.02)
    assert one.event == Poisson(0.02).event(1.5, 100, relation=relation)
    assert one.noise_std == 0.75
    assert one.sensitivity == 1.0


def test_known_losses():
    """σ = 1.1, q = 256/60000, 14,062 steps at δ = 1e-5: ε = 2.3817, from an independent accountant."""
    one = plan(sample_rate=256 / 60000, steps=14062, noise_multiplier=1.1)
    assert one.epsilon(1e-5).upper == pytest.approx(2.3817, abs=1e-3)
    capped = plan(
        sample_rate=256 / 60000, cap=336, records=60000, relation=Relation.ZERO_OUT, steps=14062, noise_multiplier=1.1
    )
    assert capped.epsilon(1e-5).upper == pytest.approx(2.3821, abs=1e-3)


@pytest.mark.parametrize("one", [PLANS[0], PLANS[2], PLANS[3], PLANS[5]], ids=lambda one: str(one.sampler))
def test_calibrated_plans_meet_their_target_and_hardly_more(one):
    found = one.calibrate(3.0, 1e-6)
    reached = found.epsilon(1e-6).upper
    assert reached <= 3.0
    assert reached > 3.0 * (1 - 1e-4)
    assert dataclasses.replace(found, noise_multiplier=None, delta=None) == one
    assert dataclasses.replace(found, noise_multiplier=found.noise_multiplier * 0.99).epsilon(1e-6).lower > 3.0


def test_allocated_plans_are_calibrated_near_poisson_ones():
    one = plan(sampler=Allocation(2), steps=8)
    found = one.calibrate(2.0, 1e-5)
    assert 2.0 * 0.99 < found.epsilon(1e-5).upper <= 2.0
    poisson = plan(sample_rate=2 / 8, steps=8).calibrate(2.0, 1e-5)
    assert 0.5 < found.noise_multiplier / poisson.noise_multiplier < 1.2


def test_banded_noise_in_a_cycle_keeps_the_gain_of_sampling():
    one = plan(sampler=Cyclic(0.1, 5), correlation=BandedRoot(5), noise_multiplier=1.0)
    assert one.event == events.CyclicPoissonSampled(0.1, 5, 100, Relation.ADD_REMOVE, events.Gaussian(1.0))
    assert one.sensitivity == pytest.approx(
        math.sqrt(sum((math.comb(2 * k, k) / 4**k) ** 2 for k in range(5))), rel=1e-6
    )
    assert one.noise_std == 0.5 * one.sensitivity


@pytest.mark.parametrize(
    ("sampler", "correlation", "times", "separation"),
    [
        (Cyclic(0.1, 5), BandedRoot(6), 20, 5),
        (Cyclic(1, 25), BandedInverseRoot(8), 4, 25),
        (Cyclic(0.1, 30), BandedInverseRoot(2), 4, 30),
        (Cyclic(0.1, 30), LambdaCGD(0.9), 4, 30),
        (Cyclic(0.1, 30), BufferedToeplitz((0.9,), (0.2,)), 4, 30),
        (Allocation(4), BandedRoot(3), 4, 1),
        (Poisson(0.1), BandedRoot(3), 100, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("relation", [Relation.ADD_REMOVE, Relation.ZERO_OUT])
def test_other_correlated_noise_is_one_gaussian_of_all_participations(
    sampler, correlation, times, separation, relation
):
    one = plan(sampler=sampler, correlation=correlation, noise_multiplier=1.5, relation=relation)
    assert one.event == events.Gaussian(1.5)
    assert one.sensitivity == correlation.sensitivity(100, times, separation)
    assert one.noise_std == pytest.approx(1.5 * 0.5 * one.sensitivity)


# Sums of 1,024 steps, records in 1, 8 or 16 of them: the least error of test_correlation.py, from an independent
# computation without buffers, for so many bands at most. Buffers do better but where a band is as wide as the cycle.
BEST = [
    (1024, 64, BufferedToeplitz, 3.448),
    (128, 64, BufferedToeplitz, 10.613),
    (128, 16, BufferedToeplitz, 13.686),
    (128, 128, BandedRoot, 10.294),
    (64, 64, BufferedToeplitz, 17.506),
]


@pytest.mark.parametrize(("groups", "most", "kind", "error"), BEST, ids=str)
def test_the_best_correlation_is_found(groups, most, kind, error):
    bare = plan(steps=1024, sampler=Cyclic(1, groups))
    found = bare.correlate(3.0, 1e-6, most_bands=most)
    assert type(found.correlation) is kind
    assert 3.0 * (1 - 1e-4) < found.epsilon(1e-6).upper <= 3.0
    single = plan(steps=1024, sampler=Cyclic(1, 1024)).calibrate(3.0, 1e-6).noise_std  # of one participation
    reached = found.noise_std / single * found.correlation.rms_noise(1024)
    assert reached == pytest.approx(error, rel=1e-3) if kind is BandedRoot else 0.75 * error < reached < error
    assert found == bare.correlate(3.0, 1e-6, most_bands=most)


def test_sampling_may_be_worth_more_than_any_correlation():
    found = plan(sample_rate=0.01).correlate(1.0, 1e-6)
    assert found.correlation is None
    assert found == plan(sample_rate=0.01).calibrate(1.0, 1e-6)
    cyclic = plan(sampler=Cyclic(0.1, 12)).correlate(3.0, 1e-6)  # in a cycle, both are to be had
    assert cyclic.correlation == BandedRoot(12)
    assert cyclic.epsilon(1e-6).upper <= 3.0


def test_a_cap_has_no_correlation():
    with pytest.raises(InvalidInput, match="Leave out the cap"):
        PLANS[2].correlate(3.0, 1e-6)


def test_replacing_a_record_moves_correlated_sums_twice_as_far():
    one = plan(sampler=Cyclic(1, 25), correlation=BandedRoot(30), noise_multiplier=1.5, relation=Relation.REPLACE_ONE)
    assert one.event == events.Gaussian(0.75)


@pytest.mark.parametrize("one", PLANS, ids=lambda one: f"{one.sampler} {one.correlation}")
def test_plans_are_frozen_plain_data_and_back(one):
    again = DPSGD.from_json(one.to_json())
    assert again == one
    assert hash(again) == hash(one)
    assert again.to_json() == one.to_json()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.steps = 3


def test_the_same_sampler_is_the_same_plan():
    assert plan(sampler=Poisson(0.02)) == plan()
    assert plan(sampler=Poisson(0.02, cap=9), records=50, relation=Relation.ZERO_OUT).cap == 9


def test_a_printed_plan_says_what_counts():
    text = str(plan(noise_multiplier=1.5).calibrate(3.0, 1e-6))
    assert len(text.splitlines()) <= 5
    for part in ("ε = 3 at δ = 1e-06", "add_remove", "σ = ", "100 steps", "sample_rate=0.02", "divided by 64"):
        assert part in text
    assert "not calibrated" in str(plan())
    correlated = str(PLANS[-1])
    assert "sensitivity" in correlated
    assert "BandedInverseRoot(bands=8)" in correlated


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 10.0}, "steps"),
        ({"max_grad_norm": 0.0}, "max_grad_norm"),
        ({"max_grad_norm": math.inf}, "max_grad_norm"),
        ({"expected_batch_size": 0}, "never one counted in the data"),
        ({"expected_batch_size": None}, "public constant"),
        ({"relation": "add_remove"}, "Relation.ADD_REMOVE"),
        ({"noise_multiplier": 0.0}, "call calibrate"),
        ({"delta": 1.0}, "delta"),
        ({"sample_rate": None}, "neither sample_rate nor sampler"),
        ({"sample_rate": 2.0}, "sample_rate"),
        ({"sampler": "poisson"}, "sampler must be one"),
        ({"sampler": Poisson(0.1), "sample_rate": 0.2}, "beside a sampler"),
        ({"sampler": Allocation(2), "cap": 5}, "beside a sampler"),
        ({"cap": 90}, "records"),
        ({"cap": 90, "records": 3200}, "add_remove"),
        ({"records": 3200}, "Leave records out"),
        ({"sampler": FixedSize(64), "records": 3200}, "replace_one"),
        ({"sampler": Allocation(3)}, "multiple"),
        ({"correlation": "bsr"}, "correlation must be one"),
        ({"correlation": BandedRoot(3), "cap": 9, "records": 99, "relation": Relation.ZERO_OUT}, "Leave out the cap"),
        ({"correlation": BandedRoot(3), "steps": 2**18}, "Plan fewer steps"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_a_way_out(given, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        plan(**given)
    assert len(str(caught.value).splitlines()) == 3


def test_batches_are_those_of_the_plan():
    stream = Keystream(fresh_key(Rng()))
    run = plan().batches(stream, 1000)
    assert (run.sampler, run.steps, run.units) == (Poisson(0.02), 100, 1000)
    assert run[3].indices.tolist() == Poisson(0.02).batch(stream, 3, units=1000, steps=100).tolist()
    for one in (PLANS[2], PLANS[3]):
        assert len(one.batches(stream, 3200)) == 100
        with pytest.raises(InvalidInput, match="3200 records, and there are 3199"):
            one.batches(stream, 3199)


def test_a_plan_without_noise_says_how_to_get_it():
    for ask in ("event", "noise_std", "profile"):
        with pytest.raises(InvalidInput, match="calibrate"):
            getattr(plan(), ask)


def test_impossible_targets_name_what_to_change():
    with pytest.raises(InvalidInput, match="fewer steps or a smaller sample_rate"):
        plan(sample_rate=1.0).calibrate(1e-9, 1e-12)
    for epsilon, delta in ((-1.0, 1e-6), (3.0, 0.0), (3.0, 1.0)):
        with pytest.raises(InvalidInput):
            plan().calibrate(epsilon, delta)


def test_relations_without_a_bound_are_not_planned():
    with pytest.raises((InvalidInput, UnsupportedEvent)):
        plan(sampler=Allocation(2), relation=Relation.REPLACE_ONE)


@pytest.mark.parametrize(
    "change",
    [{"v": 2}, {"v": True}, {"kind": "svrg"}, {"steps": 0}, {"relation": "other"}, {"sampler": None}, {"more": 1}],
    ids=str,
)
def test_other_texts_are_no_plan(change):
    data = {**json.loads(plan().to_json()), **change}
    with pytest.raises(InvalidInput):
        DPSGD.from_json(json.dumps(data))
    for text in ("", "[]", "{", "[" * 100_000):
        with pytest.raises(InvalidInput):
            DPSGD.from_json(text)
