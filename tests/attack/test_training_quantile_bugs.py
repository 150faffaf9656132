"""Planted bugs in a norm that moves: whoever sees sums and norms tells records apart better than is charged.

The real step is run again and again, on one record or none, and on two blanks or one. Planted elsewhere: a step that
clips to more than the norm (test_training_run_bugs.py), a blank that counts (tests/unit/train/test_quantile.py).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from discreet import train
from discreet.audit.statistics.paired import Counts, point
from discreet.testing.fit import FALSE_ALARM
from discreet.train.quantile import Moving
from discreet.train.rows import Rows
from discreet.train.step import Step
from tests.attack.test_training_run_bugs import mutate, plan
from tests.benchmark_scripts import load

canary = load("training_audit")
NORM, EXPECTED, Z = 0.5, 4, 0.5
LONG, BLANK = [1e4], [0.0]
CLIP = train.Quantile(NORM, rate=1e-3, share=0.75)
OF_GRADIENTS, OF_COUNT = CLIP.noise(Z)


class Pulled(nn.Module):
    """Each record is its own gradient."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, records):
        return records @ self.w


def seen(source, *, steps, multiplier=Z, expected=EXPECTED):
    """Take steps under a fresh key; return each step's noisy sum, in its norm, and noisy count.

    Each step is a trial of its own: all that a step knows of those before are model and norm, which are divided out.
    """
    one = plan(steps=steps, noise_multiplier=multiplier, expected_batch_size=expected)
    net, stream, moving = Pulled(), train.Keystream(train.fresh_key(canary.RNG)), Moving(CLIP, one)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    step = Step(one, net, optimizer, None, canary.own_output, CLIP, 32, stream, train.KeyedNoise(stream), moving=moving)
    rows, found = Rows(torch.tensor(source).reshape(-1, 1), None, None), []
    for batch in one.batches(stream, len(rows)):
        torch.nn.init.zeros_(net.w)
        norm = moving.norm
        step.take(rows, batch)
        told = -math.log(moving.norm / norm) / CLIP.rate - 0.5 + CLIP.quantile
        found.append((-net.w.item() * expected / norm, told * expected))
    return np.array(found)


def refuted(without, having, *, steps=1, multiplier=Z):
    """Return whether an event, that came or not in each trial, tells two data sets apart better than is charged."""
    found = point(Counts(int(having.sum()), having.size, int(without.sum()), without.size), alpha=FALSE_ALARM)
    return canary.claim_of(plan(steps=steps, noise_multiplier=multiplier)).refuted_by(
        false_positive_rate=found.false_positive_rate, true_positive_rate=found.true_positive_rate
    )


def likelier(source, *, draws, sums=OF_GRADIENTS, counts=OF_COUNT):
    """Say of each trial whether a long record fits better than none, if noise has these deviations."""
    found = seen(source, steps=draws)
    return found[:, 0] / sums**2 - 0.5 * found[:, 1] / counts**2 > (sums**-2 + (2 * counts) ** -2) / 2


def test_the_real_step_is_cleared_and_shows_nearly_all_that_is_charged():
    trials = likelier([], draws=1500), likelier([LONG], draws=1500)
    assert not refuted(*trials)
    assert refuted(*trials, multiplier=1.4 * Z)


def test_a_count_without_noise_is_caught(monkeypatch):
    monkeypatch.setattr(train.KeyedNoise, "fresh", lambda *_, **__: torch.zeros(1))
    assert refuted(*(likelier(source, draws=300) for source in ([], [LONG])))


def test_gradients_that_pay_nothing_for_the_count_are_caught(monkeypatch):
    monkeypatch.setattr(Moving, "noise_std", property(lambda self: Z * self.norm))
    assert refuted(*(likelier(source, draws=1500, sums=Z) for source in ([], [LONG])))


def test_a_count_that_moves_by_one_is_caught(monkeypatch):
    """Said to be centred, and is not: its noise is for a half."""
    mutate(monkeypatch, "count += self.moving", "count += 2 * self.moving")
    assert refuted(*(likelier(source, draws=600) for source in ([], [LONG])))


def test_division_by_the_batch_that_came_is_caught(monkeypatch):
    """Blanks count nothing; how far noise moves the norm tells how many there were."""

    def spread(source):
        counts = seen(source, steps=12 * 60, multiplier=16.0, expected=1)[:, 1].reshape(60, 12)
        return (counts**2).mean(axis=1) > 0.5 * CLIP.noise(16.0)[1] ** 2

    def told():
        return refuted(spread([BLANK] * 2), spread([BLANK]), steps=12, multiplier=16.0)

    assert not told()
    real = Moving.counted

    def counted(self, norms):
        self._expected = len(norms)
        return real(self, norms)

    monkeypatch.setattr(Moving, "counted", counted)
    assert told()
