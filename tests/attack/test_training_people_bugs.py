"""Planted bugs in how a person's rows come together: canaries catch each, and clear the real code."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from discreet import train
from discreet.audit.statistics.paired import Counts, point
from discreet.events import Relation
from discreet.testing.fit import FALSE_ALARM
from discreet.train import rows
from discreet.train.clipping import folding
from discreet.train.rows import Rows
from tests.attack.test_training_run_bugs import mutate
from tests.benchmark_scripts import load

canary = load("training_audit")
MANY, DRAWS = 24, 80


class Pulled(nn.Module):
    """Each record is its own gradient."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, batch):
        return batch["x"] @ self.w


def plan(**changes):
    facts = {"sample_rate": 1.0, "steps": 1, "max_grad_norm": 0.5, "expected_batch_size": 1, "noise_multiplier": 3.0}
    return train.DPSGD(**{**facts, "relation": Relation.ADD_REMOVE, "delta": 1e-5, **changes})


def told_apart(one, says, *, most=MANY, augment=None):
    """Return whether a person with many rows shows in the noisy sum, in clipping norms, beyond what is charged."""

    def often(persons):
        who = torch.tensor([0] * 3 + [1] * MANY * persons)
        held = {"x": torch.tensor([[0.0, 1.0]] * 3 + [[9.0, 0.0]] * MANY * persons), "who": who}
        sums = (
            canary.noisy_sums(one, Pulled(), Rows(held, None, "who", most), augment=augment)[0] for _ in range(DRAWS)
        )
        return sum(bool(says(noisy / one.max_grad_norm)) for noisy in sums)

    found = point(Counts(often(1), DRAWS, often(0), DRAWS), alpha=FALSE_ALARM)
    return canary.claim_of(one).refuted_by(
        false_positive_rate=found.false_positive_rate, true_positive_rate=found.true_positive_rate
    )


def far(noisy):
    return noisy[0] > MANY / 2


def near(noisy):
    return noisy[0] > 0.5


def test_rows_clipped_one_by_one_are_caught(monkeypatch):
    assert not told_apart(plan(), far)
    mutate(monkeypatch, "owners=owners", "owners=None")
    assert told_apart(plan(), far)


def test_rows_drawn_instead_of_people_are_caught(monkeypatch):
    """With a coin for each row, a person with many rows is in nearly every batch, though clipped as one."""
    rare = plan(sample_rate=0.2, noise_multiplier=0.3)
    assert not told_apart(rare, near)

    def micro(self, units, size, times=1):
        yield units, torch.from_numpy(np.searchsorted(self._people._starts, units, side="right") - 1)

    monkeypatch.setattr(Rows, "__len__", lambda self: self._rows)
    monkeypatch.setattr(Rows, "batch", lambda self, units: self._batch(self._known[self._people._order[units]]))
    monkeypatch.setattr(Rows, "micro", micro)
    assert told_apart(rare, near)


def beyond(most):
    """Whether a row beyond the bound is computed."""
    held = {"x": torch.tensor([[float("nan")], [1.0], [2.0], [3.0]]), "who": torch.tensor([5, 4, 4, 4])}
    return 3.0 in Rows(held, None, "who", most).batch(np.arange(2))["x"].flatten().tolist()


def test_one_row_beyond_the_bound_is_caught(monkeypatch):
    assert not beyond(2)
    real = rows.People
    monkeypatch.setattr(rows, "People", lambda ids, most: real(ids, most=most + 1))
    assert beyond(2)


def test_numbers_left_over_where_a_unit_has_fewer_rows_are_caught(monkeypatch):
    """Two units, of one row and of two: the place that the first one does not fill has to be zero."""

    def leaks():
        net = nn.Linear(2, 1, bias=False)
        x = torch.tensor([[0.3, 0.0], [0.0, 0.3], [0.0, 0.3]])
        owners = torch.tensor([0, 1, 1])
        found = train.clipped_sum(net, lambda m, b: m(b).squeeze(1), x, train.Flat(1.0), owners=owners)
        return not torch.allclose(found.sums["weight"], torch.tensor([[0.3, 0.3]]), atol=1e-5)

    assert not leaks()

    def call(self, full):
        last = (self.sizes.cumsum(0) - 1)[:, None]
        places = (last - self.sizes[:, None] + 1 + torch.arange(self.most)).minimum(last)  # the last row again
        return full[places]

    monkeypatch.setattr(folding.Fold, "__call__", call)
    assert leaks()


def test_variants_clipped_one_by_one_are_caught(monkeypatch):
    variants = train.Augment(lambda batch: batch, MANY)
    assert not told_apart(plan(), far, most=1, augment=variants)
    mutate(monkeypatch, "owners=owners", "owners=None")
    assert told_apart(plan(), far, most=1, augment=variants)
