"""Logical batches: micro-batches that lose and repeat nobody, empty steps, going on, and people's rows."""

import numpy as np
import pytest

from discreet.errors import InvalidInput
from discreet.mechanisms import Rng
from discreet.train.batches import Batch, Batches
from discreet.train.keystream import Keystream, fresh_key
from discreet.train.people import People
from discreet.train.sampling import Allocation, Poisson

POISSON = Poisson(0.2)


def batches(sampler=POISSON, units=100, steps=12, key=None):
    return Batches(sampler=sampler, stream=Keystream(key or fresh_key(Rng())), units=units, steps=steps)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 9])
def test_micro_batches_hold_each_record_once(count):
    batch = Batch(0, np.arange(count) * 7)
    parts = list(batch.micro(4))
    assert [i for part in parts for i in part.indices[part.real]] == batch.indices.tolist()
    assert all(part.indices.shape == part.real.shape == (4,) for part in parts)
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True] * bool(parts)
    assert len(parts) == -(-count // 4)


def test_what_fills_up_repeats_a_record_of_its_own_micro_batch():
    (part,) = Batch(0, np.array([5, 9])).micro(4)
    assert part.indices.tolist() == [5, 9, 5, 5]
    assert part.real.tolist() == [True, True, False, False]


def test_an_empty_batch_is_a_step():
    run = batches(units=0)
    assert len(run) == len(list(run)) == 12
    assert all(list(batch.micro(8)) == [] for batch in run)


def test_a_run_goes_on_where_it_was():
    key = fresh_key(Rng())
    whole = [batch.indices.tolist() for batch in batches(key=key)]
    assert [batch.indices.tolist() for batch in batches(key=key).since(7)] == whole[7:]
    assert [batch.step for batch in batches(key=key).since(7)] == list(range(7, 12))


def test_who_and_how_many_are_not_shown():
    run = batches(units=98765)
    assert "98765" not in repr(run)
    assert "indices" not in repr(run[0])
    assert "indices" not in repr(next(run[0].micro(4)))
    assert "7" not in repr(People([7, 7]))


@pytest.mark.parametrize(
    "wrong",
    [{"units": -1}, {"units": 1.0}, {"steps": 0}, {"steps": True}, {"sampler": Allocation(5)}],
    ids=str,
)
def test_wrong_runs_are_refused(wrong):
    with pytest.raises(InvalidInput):
        batches(**wrong)
    with pytest.raises(InvalidInput):
        next(Batch(0, np.arange(3)).micro(0))
    with pytest.raises(InvalidInput):
        batches()[-1]


@pytest.mark.parametrize("ids", [[3, 1, 3, 2, 1, 3], ["c", "a", "c", "b", "a", "c"]], ids=["numbers", "strings"])
def test_people_bring_all_their_rows(ids):
    people = People(ids)
    assert len(people) == 3
    rows, place = people.rows(np.array([2, 0]))
    assert rows.tolist() == [0, 2, 5, 1, 4]
    assert place.tolist() == [0, 0, 0, 1, 1]
    assert people.rows(np.zeros(0, dtype=np.int64))[0].tolist() == []


def test_nobody_is_nobody():
    assert len(People(np.zeros(0, dtype=np.int64))) == 0


@pytest.mark.parametrize("ids", [[[1]], [1.0, 2.0], [None, "a"], np.array(["NaT"], dtype="datetime64[s]")], ids=str)
def test_other_ids_are_refused(ids):
    with pytest.raises(InvalidInput):
        People(ids)
