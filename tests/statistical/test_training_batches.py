"""Samplers: who is in a batch, how often, with whom, how many there are; against exact laws, and planted wrong ones."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest

from discreet.mechanisms import Rng
from discreet.testing import Cells, gof
from discreet.testing.fit import binomials
from discreet.train.keystream import Keystream, fresh_key
from discreet.train.sampling import Allocation, Cyclic, FixedSize, Poisson

UNITS, STEPS = 30, 6000


def drawn(sampler, units=UNITS, steps=STEPS):
    """Return who is in which batch of one run: a row for each step."""
    stream, found = Keystream(fresh_key(Rng())), np.zeros((steps, units), dtype=bool)
    for t in range(steps):
        found[t, sampler.batch(stream, t, units=units, steps=steps)] = True
    return found


@lru_cache(maxsize=8)
def once(sampler):
    return drawn(sampler)


def binomial(n, q):
    return np.array([math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(n + 1)])


def sizes_fit(found, law):
    """Return whether the batches' sizes have a law, given as the chance of each size."""
    return gof(found.sum(axis=1), Cells(np.arange(law.size - 1), law)).accepted


def parts_fit(found, rate, together, again):
    """Return whether units are in, are in together, and are in again at the next step as often as they should.

    rate: of one unit; together: of two units in one step; again: of one unit in two steps that follow.
    """
    half = len(found) // 2
    counts = [*found.sum(axis=0), *(found & np.roll(found, 1, axis=1)).sum(axis=0)]
    counts += [*(found[0::2][:half] & found[1::2][:half]).sum(axis=0)]
    draws = [len(found)] * (2 * found.shape[1]) + [half] * found.shape[1]
    chances = [rate] * found.shape[1] + [together] * found.shape[1] + [again] * found.shape[1]
    return binomials(np.array(counts), np.array(draws), np.array(chances)).accepted


def whole_fits(found, rate):
    """Return whether all inclusions together are as many as they should be: for units that are independent."""
    return binomials(np.array([found.sum()]), np.array([found.size]), np.array([rate])).accepted


# ------------------------------------------------------------------------------------------- right ones


def test_poisson_batches():
    found = once(Poisson(0.2))
    assert sizes_fit(found, binomial(UNITS, 0.2))
    assert parts_fit(found, 0.2, 0.04, 0.04)
    assert whole_fits(found, 0.2)


def test_capped_batches():
    found, law = once(Poisson(0.2, cap=7)), binomial(UNITS, 0.2)
    capped = np.append(law[:7], law[7:].sum())
    mean = float(capped @ np.arange(8)) / UNITS
    pairs = float(capped @ (np.arange(8) * np.arange(-1, 7))) / (UNITS * (UNITS - 1))
    assert sizes_fit(found, capped)
    assert parts_fit(found, mean, pairs, mean**2)


def test_fixed_batches():
    found = once(FixedSize(6))
    assert (found.sum(axis=1) == 6).all()
    assert parts_fit(found, 0.2, 6 * 5 / (UNITS * (UNITS - 1)), 0.04)


def test_allocated_batches():
    """Epochs of 5 steps: exactly one step each, uniform, independent of other units and epochs."""
    found = once(Allocation(STEPS // 5))
    epochs = found.reshape(-1, 5, UNITS)
    assert (epochs.sum(axis=1) == 1).all()
    place = epochs.argmax(axis=1)
    cells = Cells(np.arange(4), np.full(5, 0.2))
    assert all(gof(column, cells).accepted for column in place.T)
    joint = Cells(np.arange(24), np.full(25, 0.04))
    assert gof((5 * place + np.roll(place, 1, axis=1)).ravel()[::2], joint).accepted
    assert gof((5 * place[0::2] + place[1::2]).ravel(), joint).accepted


def test_cyclic_batches():
    """Groups are uniform over keys and units; within the group whose turn it is, batches are as Poisson's."""
    cells = Cells(np.arange(3), np.full(4, 0.25))
    groups = []
    for _ in range(600):
        stream = Keystream(fresh_key(Rng()))
        group = np.full(UNITS, -1)
        for t in range(4):
            group[Cyclic(1, 4).batch(stream, t, units=UNITS, steps=4)] = t
        groups.append(group)
    groups = np.array(groups)
    assert gof(groups.ravel(), cells).accepted
    assert gof((4 * groups[:, ::2] + groups[:, 1::2]).ravel(), Cells(np.arange(15), np.full(16, 1 / 16))).accepted
    found = once(Cyclic(0.3, 4))
    for turn in range(4):
        mine = found[turn::4]
        members = mine.any(axis=0)
        own = mine[:, members]
        assert not found[[t for t in range(STEPS) if t % 4 != turn]][:, members].any()
        if members.sum() > 1:
            assert parts_fit(own, 0.3, 0.09 if members.sum() > 1 else 0.3, 0.09)


# ------------------------------------------------------------------------------------------- planted ones


class _Changed:
    """A sampler of the same kind at another rate."""

    def __init__(self, sampler, change):
        self.sampler, self.change = sampler, change

    def batch(self, stream, step, *, units, steps):
        return self.change(self.sampler.batch(stream, step, units=units, steps=steps), stream, step, units, steps)


@pytest.mark.parametrize("rate", [0.18, 0.22])
def test_a_rate_ten_percent_off_is_rejected(rate):
    found = once(Poisson(rate))
    assert not whole_fits(found, 0.2)
    assert not sizes_fit(found, binomial(UNITS, 0.2))


def shuffled(_, stream, step, units, steps):
    """Every unit once in an epoch of 5 steps, in batches of the same size: what most training loops do."""
    order = np.argsort(stream.words("shuffled", step // 5, units))
    return order[step % 5 :: 5]


def first_ones(batch, *_):
    """The batch cut to its first 7 records, not to a uniform subset."""
    return batch[:7]


def same_again(_, stream, step, units, steps):
    """Each batch is used twice."""
    return Poisson(0.2).batch(stream, step // 2, units=units, steps=steps)


def test_shuffled_batches_are_not_poisson_ones():
    found = drawn(_Changed(Poisson(0.2), shuffled))
    assert whole_fits(found, 0.2)  # the rate alone does not tell
    assert not sizes_fit(found, binomial(UNITS, 0.2))
    assert not parts_fit(found, 0.2, 0.04, 0.04)


def test_a_cap_that_keeps_the_first_is_rejected():
    found, law = drawn(_Changed(Poisson(0.2), first_ones)), binomial(UNITS, 0.2)
    capped = np.append(law[:7], law[7:].sum())
    assert sizes_fit(found, capped)
    mean = float(capped @ np.arange(8)) / UNITS
    assert not parts_fit(
        found, mean, float(capped @ (np.arange(8) * np.arange(-1, 7))) / (UNITS * (UNITS - 1)), mean**2
    )


def test_batches_that_come_twice_are_rejected():
    found = drawn(_Changed(Poisson(0.2), same_again))
    assert not parts_fit(found, 0.2, 0.04, 0.04)


def test_groups_by_place_are_not_uniform():
    groups = np.tile(np.arange(UNITS) % 4, (600, 1))
    assert not gof((4 * groups[:, ::2] + groups[:, 1::2]).ravel(), Cells(np.arange(15), np.full(16, 1 / 16))).accepted
