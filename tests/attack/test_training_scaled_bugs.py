"""Planted bugs in clipping scaled gradients: canaries catch each, and clear the real code.

Noise and batches are those of any step: test_training_run_bugs.py.
"""

from __future__ import annotations

import inspect
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from discreet import audit, train
from discreet.testing.fit import FALSE_ALARM
from discreet.train.clipping import engine, units
from discreet.train.rows import Rows
from discreet.train.step import Step
from tests.attack.test_training_run_bugs import plan
from tests.benchmark_scripts import load

# One of the models looks its records up by one_hot, which may move rows for all the engine knows.
pytestmark = pytest.mark.filterwarnings("ignore:numbers of the batch:discreet.train.clipping.SlowModule")

canary = load("training_audit")
LANES = 4096


class Table(nn.Module):
    """Record i pulls number i."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(LANES, 1, _weight=torch.zeros(LANES, 1))

    def forward(self, numbers):
        return canary.LOUD * self.table(numbers)[:, 0]


class Dot(nn.Module):
    """The same by a matrix that each record multiplies once."""

    def __init__(self):
        super().__init__()
        self.dot = nn.Linear(LANES, 1, bias=False)
        nn.init.zeros_(self.dot.weight)

    def forward(self, numbers):
        return canary.LOUD * self.dot(nn.functional.one_hot(numbers, LANES).float())[:, 0]


class Watched(train.PrivateAdam):
    """Has scales from a half to three, as if earlier steps had said so, and keeps the scaled gradient."""

    def scales(self):
        (p,) = self.param_groups[0]["params"]
        return {p: torch.linspace(0.5, 3, LANES).view(p.shape)}

    def step(self):
        (p,) = self.param_groups[0]["params"]
        self.seen = p.grad.clone()


def refuted(kind=Table):
    """Take one step; each record moves the scaled sum where no other one does."""
    one, net, coins = plan(steps=1), kind(), audit.flip(LANES).included
    adam, stream = Watched(net.parameters(), one, scaled=True), train.Keystream(train.fresh_key(canary.RNG))
    clip, noise = train.Flat(one.max_grad_norm), train.KeyedNoise(stream)
    step = Step(one, net, adam, None, canary.own_output, clip, LANES, stream, noise)
    rows = Rows(torch.from_numpy(np.flatnonzero(coins)), None, None)
    step.take(rows, one.batches(stream, len(rows))[0])
    shown = adam.seen.view(1, LANES).double().numpy() * one.expected_batch_size / one.max_grad_norm
    scores = canary.evidence(one, shown)
    found = canary.judge(one, scores[coins], scores[~coins], alpha=FALSE_ALARM)
    return found.verdict is audit.Verdict.REFUTED


def mutate(monkeypatch, name, old, new):
    source = textwrap.dedent(inspect.getsource(getattr(engine._Work, name)))
    assert source.count(old) == 1, f"{name} was rewritten: plant this bug anew ({old!r})"
    names = {}
    exec(source.replace(old, new), vars(engine), names)  # the bug has to be in the real code
    monkeypatch.setattr(engine._Work, name, names[name])


@pytest.mark.parametrize("kind", [Table, Dot])
def test_the_real_step_is_cleared(kind):
    assert not refuted(kind)


def test_lengths_of_products_that_are_not_scaled_are_caught(monkeypatch):
    monkeypatch.setattr(units.Weighed, "squares", units.Quick.squares)
    assert refuted(Dot)


def test_lengths_before_scaling_are_caught(monkeypatch):
    """Clipped, and then scaled: whoever has a scale above 1 is too long."""
    mutate(monkeypatch, "_formed", "norms.length(row)", "norms.length(row / self.clip.scales[name])")
    assert refuted()


def test_lengths_without_gradients_of_what_is_scaled_afterwards_are_caught(monkeypatch):
    """The fast way knows the lengths of gradients as they are."""

    def quick(model, loss, batch, clip, *, into, owners, **_):
        found = engine.clipped_sum(model, loss, batch, clip.rule, owners=owners)
        for name, total in found.sums.items():
            into[name] = into.get(name, 0.0) + total * clip.scales[name]
        return found

    monkeypatch.setattr("discreet.train.step.clipped_sum", quick)
    assert refuted()
