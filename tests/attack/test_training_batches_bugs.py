"""Planted bugs in batches and noise of training: an attacker's rates catch each, and clear the good twin."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from discreet import events
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.mechanisms import Rng
from discreet.testing import Nonconforming
from discreet.testing.fit import chance_interval
from discreet.train.correlation import BandedInverseRoot, BufferedToeplitz, LambdaCGD
from discreet.train.keystream import Keystream, fresh_key
from discreet.train.noise import KeyedNoise
from discreet.train.plan import DPSGD
from discreet.train.sampling import Cyclic, Poisson

BUFFERED = BufferedToeplitz((0.9, 0.6), (0.3, 0.3))
DRAWS = 4000
STEPS = 6


def plan(**given):
    common = {"steps": STEPS, "max_grad_norm": 1.0, "expected_batch_size": 1, "relation": Relation.ADD_REMOVE}
    return DPSGD(**{**common, "noise_multiplier": 2.0, **({} if "sampler" in given else {"sample_rate": 1.0}), **given})


def check_rates(one, run, without, having, says, *, epsilon=0.0, draws=DRAWS):
    """Check that an attacker who tells a record's presence by `says` is not better than δ(ε) of the plan's event.

    A good run fails once in 1e8 times at most: both rates are known but for 5e-9.
    """
    wrong, right = (int(says(run(data, draws)).sum()) for data in (without, having))
    false_alarms = chance_interval(wrong, draws, 5e-9)[1]
    found = chance_interval(right, draws, 5e-9)[0] - math.exp(epsilon) * false_alarms
    allowed = one.profile.delta(epsilon).upper
    if found > allowed:
        raise Nonconforming(f"the rates differ by {found:.3f}, by {allowed:.3f} at most if the event holds")


def trained(one, sampler=None, *, tell=lambda step: step, share=1.0, std=None):
    """Return runs of a plan, a row each: data are numbers, the gradients of a record in each step.

    sampler: another than the plan's. tell: under which step's number noise is drawn. share, std: other deviations.
    """
    sampler = one.drawn_by if sampler is None else sampler
    std = one.noise_std * share if std is None else std

    def run(data, draws):
        stream, noise = Keystream(fresh_key(Rng())), KeyedNoise(Keystream(fresh_key(Rng())), one.correlation)
        gradients, shown = np.array(data, dtype=float).reshape(len(data), one.steps), []
        for step in range(one.steps):
            column = gradients[:, step]
            if sampler == Poisson(1.0):
                sums = np.full(draws, column.sum())
            else:  # run i has steps of its own, one after the other
                sums = np.array(
                    [
                        column[
                            sampler.batch(stream, i * one.steps + step, units=len(data), steps=draws * one.steps)
                        ].sum()
                        for i in range(draws)
                    ]
                )
            shown.append(noise.add(torch.from_numpy(sums), std=std, step=tell(step), tensor="w").numpy())
        return np.array(shown).T

    return run


ONCE = [[1.0] + [0.0] * (STEPS - 1)]  # one record, which has a gradient in the first step alone
ALWAYS = [[1.0] * STEPS]


def first_two(shown):
    return np.abs(shown[:, 0] - shown[:, 1]) > 0.5


def all_steps(shown):
    return shown.sum(axis=1) > STEPS / 2


def test_noise_that_is_used_again_is_caught():
    """Two steps with one noise: their difference shows the gradient bare."""
    one = plan()
    check_rates(one, trained(one), [], ONCE, first_two)
    check_rates(one, trained(one), [], ALWAYS, all_steps)
    with pytest.raises(Nonconforming):
        check_rates(one, trained(one, tell=lambda _: 0), [], ONCE, first_two)


@pytest.mark.parametrize("micro_batches", [2, 4])
def test_noise_that_is_divided_by_micro_batches_is_caught(micro_batches):
    """The deviation of the whole, averaged over micro-batches as gradients are."""
    one = plan()
    with pytest.raises(Nonconforming):
        check_rates(one, trained(one, share=1 / micro_batches), [], ALWAYS, all_steps)


def test_a_cap_that_is_not_in_the_event_is_caught():
    """A record more throws another out: the sum moves by 2C, where the uncapped event says C."""
    one = plan(steps=1, noise_multiplier=1.0)
    without, having = [-1.0], [-1.0, 1.0]

    def high(shown):
        return shown[:, 0] > 0.75

    check_rates(one, trained(one), without, having, high, epsilon=1.0, draws=20_000)
    with pytest.raises(Nonconforming):
        check_rates(one, trained(one, Poisson(1.0, cap=1)), without, having, high, epsilon=1.0, draws=20_000)


def test_a_cap_cannot_be_planned_without_being_charged():
    with pytest.raises(InvalidInput):
        plan(cap=1)  # add_remove
    one = plan(sample_rate=0.5, cap=1, records=2, relation=Relation.ZERO_OUT)
    assert isinstance(one.event.event, events.TruncatedPoissonSampled)
    with pytest.raises(InvalidInput):
        dataclasses.replace(one, sampler=Poisson(0.5))


@pytest.mark.parametrize("correlation", [BandedInverseRoot(2), LambdaCGD(0.6), BUFFERED], ids=str)
def test_correlated_noise_for_one_participation_is_caught_when_there_are_six(correlation):
    """Mixed by C, as anybody can, what was shown has independent noise, and a unit adds the sum of its columns."""
    one = plan(sampler=Cyclic(1, 1), correlation=correlation)
    column = one.correlation.strategy(STEPS)
    mixing = np.array([[column[i - j] if i >= j else 0.0 for j in range(STEPS)] for i in range(STEPS)])
    moved = mixing.sum(axis=1)

    def along(shown):
        return shown @ mixing.T @ moved > moved @ moved / 2

    everybody = Poisson(1.0)  # what Cyclic(1, 1) draws, without drawing it for each of many runs
    check_rates(one, trained(one, everybody), [], ALWAYS, along)
    believed = one.noise_multiplier * one.max_grad_norm * one.correlation.sensitivity(STEPS, 1, 1)
    with pytest.raises(Nonconforming):
        check_rates(one, trained(one, everybody, std=believed), [], ALWAYS, along)


class Shuffled:
    """Every record once in an epoch of two steps, in batches of one size."""

    def batch(self, stream, step, *, units, steps):
        return np.argsort(stream.words("shuffled", step // 2, units))[step % 2 :: 2]


def test_shuffled_batches_charged_as_poisson_ones_are_caught():
    """With little noise a record is seen once in every epoch, where Poisson batches miss it one time in four."""
    one = plan(sample_rate=0.5, steps=2, noise_multiplier=0.3)
    without, having = [[0.0, 0.0]] * 3, [[0.0, 0.0]] * 3 + [[1.0, 1.0]]

    def seen(shown):
        return shown.max(axis=1) > 0.6

    check_rates(one, trained(one), without, having, seen, draws=2000)
    with pytest.raises(Nonconforming):
        check_rates(one, trained(one, Shuffled()), without, having, seen, draws=2000)
