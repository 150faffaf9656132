"""The noise of counts: normal, of the deviation that is charged, and nothing that gradients' noise tells of.

A false alarm comes up once in 1e8 runs; a scale a tenth off is rejected.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from discreet import train
from discreet.mechanisms import Rng
from discreet.train.quantile import COUNT, Moving
from tests.training import plan

STEPS, CLIP = 12_000, train.Quantile(0.5, rate=1e-4, share=0.2)
TAIL = math.log(2 / 1e-9)  # chi-square of n: beyond n + 2·sqrt(n·t) + 2t, or below n - 2·sqrt(n·t), by chance e^-t


def drawn(noise):
    """Return the noise of each step's count, in deviations that are charged, from how the norm moves."""
    one = plan(steps=STEPS)
    moving, found = Moving(CLIP, one), []
    for step in range(STEPS):
        before = moving.norm
        moving.move(torch.tensor(0), noise, step)
        told = -math.log(moving.norm / before) / CLIP.rate - 0.5 + CLIP.quantile
        found.append(told * one.expected_batch_size / CLIP.noise(one.noise_multiplier)[1])
    return np.array(found)


def fits(values):
    """Say whether squares add up as those of standard normal numbers do (Laurent, Massart 2000)."""
    total, slack = float(np.sum(values**2)), 2 * math.sqrt(values.size * TAIL)
    return values.size - slack <= total <= values.size + slack + 2 * TAIL


def test_counts_have_the_noise_that_is_charged_and_share_none_with_gradients():
    noise = train.KeyedNoise(train.Keystream(train.fresh_key(Rng())))
    values = drawn(noise)
    assert fits(values)
    assert not fits(0.9 * values)
    assert not fits(1.1 * values)
    near = 6.2 / math.sqrt(STEPS)
    assert abs(values.mean()) < near
    assert abs(np.mean(values[1:] * values[:-1])) < near
    for tensor in ("0", "0.weight"):
        others = np.array([float(noise.fresh(step, tensor, 1)[0]) for step in range(STEPS)])
        assert abs(np.mean(values * others)) < near
    assert noise.fresh(3, COUNT, 1).equal(noise.fresh(3, COUNT, 1))
