"""Samplers: draws at their edges, batches as functions of key and step, and the events that they write."""

import math
from fractions import Fraction

import numpy as np
import pytest

from discreet import events
from discreet.accounting import Sampling, dpsgd
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.mechanisms import Rng
from discreet.train import draws
from discreet.train.keystream import Keystream, fresh_key
from discreet.train.sampling import (
    Allocation,
    Cyclic,
    FixedSize,
    Poisson,
    sampler_from_dict,
    sampler_to_dict,
)

STEPS = 24
UNITS = 300
ALL = [Poisson(0.1), Poisson(0.3, cap=80), FixedSize(40), Allocation(4), Cyclic(0.4, 5), Cyclic(1, 5)]


def stream():
    return Keystream(fresh_key(Rng()))


class Told:
    """A keystream that says what it is told, by label, from the first word on; zeros elsewhere."""

    def __init__(self, known):
        self.known = known

    def words(self, label, step, n, offset=0):
        known = self.known.get(label, [])
        return np.array([known[i] if i < len(known) else 0 for i in range(offset, offset + n)], dtype="<u8")


# ------------------------------------------------------------------------------------------- draws


@pytest.mark.parametrize("rate", [0.3, 2.0**-44, 1 - 2.0**-53, 5.3e-5, 1.1e-13])
def test_a_coin_is_heads_below_the_threshold_and_not_at_it(rate):
    exact = Fraction(rate) * 2**96
    threshold = math.floor(exact)
    assert exact == threshold  # so that the chance is the float's, exactly
    for number in (threshold - 1, threshold, threshold + 1, 0, 2**96 - 1):
        told = Told({"c": [number >> 64], "c/low": [number & 0xFFFFFFFFFFFFFFFF]})
        assert (draws.heads(told, "c", 0, 1, rate).size == 1) == (number < threshold)


def test_a_certain_coin_needs_no_bits():
    assert draws.heads(None, "c", 0, 3, 1).tolist() == [0, 1, 2]
    assert draws.heads(stream(), "c", 0, 0, 0.5).tolist() == []


@pytest.mark.parametrize("shares", [1, 2, 3, 5, 7])
def test_shares_are_of_the_same_size(shares):
    """Of 2**32 numbers those that are not drawn again lead to each share equally often: counted by where shares begin."""
    rest = 2**32 % shares
    begins = [-(-share * 2**32 // shares) for share in range(shares + 1)]
    for share in range(shares):
        numbers = range(begins[share], begins[share + 1])
        again = [number for number in (*numbers[:9], *numbers[-9:]) if number * shares % 2**32 < rest]
        assert len(numbers) - len(again) == 2**32 // shares
        assert all(number * shares >> 32 == share for number in (numbers[0], numbers[-1]))


def test_what_would_favour_a_share_is_drawn_again():
    told = Told({"s": [0], "s/attempt 1": [2**63]})  # 0·3 has a low half of 0, below 2**32 mod 3
    assert draws.in_share(told, "s", 0, 1, 3, 1).tolist() == [0]
    assert draws.in_share(told, "s", 0, 1, 3, 0).tolist() == []


def test_a_tie_at_the_edge_of_a_subset_is_drawn_again():
    told = Told({"s/attempt 0": [5, 5, 1], "s/attempt 1": [9, 3, 4]})
    assert draws.subset(told, "s", 0, 3, 2).tolist() == [1, 2]
    told.known["s/attempt 0"] = [7, 7, 8]  # a tie within: no matter
    assert draws.subset(told, "s", 0, 3, 2).tolist() == [0, 1]


@pytest.mark.parametrize("sampler", ALL, ids=str)
def test_batches_do_not_depend_on_how_many_records_are_looked_at_together(sampler, monkeypatch):
    source = stream()
    before = [sampler.batch(source, t, units=UNITS, steps=STEPS).tolist() for t in range(STEPS)]
    monkeypatch.setattr(draws, "_CHUNK", 8)
    assert [sampler.batch(source, t, units=UNITS, steps=STEPS).tolist() for t in range(STEPS)] == before


# ------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("sampler", ALL, ids=str)
def test_a_batch_is_a_function_of_key_and_step(sampler):
    key = fresh_key(Rng())
    forth = [sampler.batch(Keystream(key), t, units=UNITS, steps=STEPS).tolist() for t in range(STEPS)]
    source = Keystream(key)
    back = [sampler.batch(source, t, units=UNITS, steps=STEPS).tolist() for t in reversed(range(STEPS))]
    assert forth == back[::-1]
    assert all(batch == sorted(set(batch)) and all(0 <= i < UNITS for i in batch) for batch in forth)
    assert len({tuple(batch) for batch in forth}) > 1


@pytest.mark.parametrize("sampler", ALL, ids=str)
def test_no_record_takes_part_oftener_or_closer_than_declared(sampler):
    source, found = stream(), np.zeros((STEPS, UNITS), dtype=bool)
    for t in range(STEPS):
        found[t, sampler.batch(source, t, units=UNITS, steps=STEPS)] = True
    times, separation = sampler.participations(STEPS)
    assert found.sum(axis=0).max() <= times
    assert all(np.diff(np.flatnonzero(found[:, i])).min(initial=STEPS) >= separation for i in range(UNITS))


def test_a_capped_batch_is_part_of_the_uncapped_one():
    source = stream()
    for t in range(STEPS):
        whole = Poisson(0.3).batch(source, t, units=UNITS, steps=STEPS)
        cut = Poisson(0.3, cap=80).batch(source, t, units=UNITS, steps=STEPS)
        assert cut.size == min(80, whole.size)
        assert set(cut) <= set(whole)


def test_allocated_records_are_in_one_step_of_each_epoch():
    source = stream()
    batches = [Allocation(4).batch(source, t, units=UNITS, steps=STEPS) for t in range(STEPS)]
    for epoch in range(4):
        assert sorted(np.concatenate(batches[6 * epoch : 6 * epoch + 6])) == list(range(UNITS))
    assert batches[0].tolist() != batches[6].tolist()


def test_groups_are_visited_in_turn():
    source = stream()
    groups = [Cyclic(1, 5).batch(source, t, units=UNITS, steps=STEPS).tolist() for t in range(STEPS)]
    assert sorted(i for group in groups[:5] for i in group) == list(range(UNITS))
    assert all(groups[t] == groups[t % 5] for t in range(STEPS))
    parts = [Cyclic(0.4, 5).batch(source, t, units=UNITS, steps=STEPS).tolist() for t in range(STEPS)]
    assert all(set(part) < set(group) for part, group in zip(parts, groups, strict=True))


def test_fixed_batches_are_of_their_size():
    source = stream()
    assert {FixedSize(40).batch(source, t, units=UNITS, steps=STEPS).size for t in range(STEPS)} == {40}
    assert FixedSize(40).batch(source, 0, units=40, steps=1).tolist() == list(range(40))
    with pytest.raises(InvalidInput, match="fewer records"):
        FixedSize(40).batch(source, 0, units=39, steps=1)


@pytest.mark.parametrize("sampler", [Poisson(0.1), Allocation(4), Cyclic(0.4, 5)], ids=str)
def test_nobody_makes_empty_batches(sampler):
    assert sampler.batch(stream(), 0, units=0, steps=STEPS).tolist() == []


@pytest.mark.parametrize("step", [-1, STEPS, 1.0, True])
@pytest.mark.parametrize("sampler", ALL, ids=str)
def test_steps_beyond_the_plan_are_refused(sampler, step):
    with pytest.raises(InvalidInput, match="No batch was drawn"):
        sampler.batch(stream(), step, units=UNITS, steps=STEPS)


# ------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize("relation", Relation)
def test_poisson_writes_its_event(relation):
    halved = 0.5 if relation is Relation.REPLACE_ONE else 1
    assert Poisson(0.1).event(2.0, 9, relation=relation) == events.Repeated(
        9, events.PoissonSampled(0.1, relation, events.Gaussian(2.0 * halved))
    )
    assert Cyclic(0.1, 4).event(2.0, 9, relation=relation) == events.CyclicPoissonSampled(
        0.1, 4, 9, relation, events.Gaussian(2.0 * halved)
    )


def test_the_cap_is_in_the_event():
    assert Poisson(0.1, cap=30).event(2.0, 9, relation=Relation.ZERO_OUT, records=200) == events.Repeated(
        9, events.TruncatedPoissonSampled(0.1, 200, 30, Relation.ZERO_OUT, events.Gaussian(2.0))
    )


def test_fixed_and_allocated_write_theirs():
    assert FixedSize(30).event(2.0, 9, relation=Relation.REPLACE_ONE, records=200) == dpsgd(
        noise_multiplier=2.0,
        steps=9,
        relation=Relation.REPLACE_ONE,
        sampling=Sampling.FIXED,
        records=200,
        batch_size=30,
    )
    assert Allocation(3).event(2.0, 9, relation=Relation.ADD_REMOVE) == events.Repeated(
        3, events.RandomAllocation(3, Relation.ADD_REMOVE, events.Gaussian(2.0))
    )


@pytest.mark.parametrize(
    ("sampler", "relation", "records"),
    [
        (Poisson(0.1, cap=5), Relation.ADD_REMOVE, 50),
        (Poisson(0.1, cap=5), Relation.ZERO_OUT, None),
        (Poisson(0.1), Relation.ADD_REMOVE, 50),
        (FixedSize(5), Relation.ADD_REMOVE, 50),
        (FixedSize(5), Relation.ZERO_OUT, 50),
        (FixedSize(5), Relation.REPLACE_ONE, None),
        (FixedSize(51), Relation.REPLACE_ONE, 50),
        (Allocation(3), Relation.REPLACE_ONE, None),
        (Allocation(4), Relation.ADD_REMOVE, None),
        (Allocation(3), Relation.ADD_REMOVE, 50),
        (Cyclic(0.1, 3), Relation.ADD_REMOVE, 50),
    ],
    ids=str,
)
def test_what_no_event_describes_is_refused(sampler, relation, records):
    with pytest.raises(InvalidInput):
        sampler.event(1.0, 9, relation=relation, records=records)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Poisson(0.0),
        lambda: Poisson(1.5),
        lambda: Poisson(1e-30),
        lambda: Poisson("0.1"),
        lambda: Poisson(0.1, cap=0),
        lambda: Poisson(0.1, cap=2.0),
        lambda: FixedSize(0),
        lambda: Allocation(True),
        lambda: Cyclic(0.1, 0),
        lambda: Cyclic(math.nan, 2),
        lambda: Allocation(5).batch(stream(), 0, units=3, steps=12),
        lambda: Cyclic(0.1, 2**32).batch(stream(), 0, units=3, steps=12),
    ],
)
def test_wrong_values_are_refused(make):
    with pytest.raises(InvalidInput):
        make()


@pytest.mark.parametrize("sampler", ALL, ids=str)
def test_a_sampler_is_plain_data_and_back(sampler):
    assert sampler_from_dict(sampler_to_dict(sampler)) == sampler


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"kind": "shuffled"},
        {"kind": ["poisson"]},
        {"kind": "poisson", "sample_rate": 0.1},
        {"kind": "allocation", "times": 0},
    ],
    ids=str,
)
def test_other_data_are_no_sampler(data):
    with pytest.raises(InvalidInput):
        sampler_from_dict(data)
