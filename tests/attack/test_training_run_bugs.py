"""Planted bugs in a step, and in a run: canaries catch each, and clear the real code, which is mutated in one place.

Planted elsewhere, and not again here: noise drawn twice for one place, noise averaged over micro-batches, a cap and
correlated noise charged as if they were none, shuffled batches charged as Poisson ones (test_training_batches_bugs.py);
the cross term of tied weights, an overwritten use, norms that are rounded down, a norm that is no number, padding that
counts inside the engine (tests/unit/train/clipping/test_planted.py); two runs with one key, a second key for one charge,
resumption under other settings (tests/unit/train/test_run.py, test_resume.py).
"""

from __future__ import annotations

import inspect
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from discreet import audit, train
from discreet.audit.statistics.paired import Counts, point
from discreet.errors import DataFailure
from discreet.events import Relation
from discreet.testing.fit import FALSE_ALARM
from discreet.train import step as steps
from discreet.train.clipping import engine
from discreet.train.fixed import Fixed
from discreet.train.state import State
from tests.benchmark_scripts import load
from tests.training import EXAMPLE, dataset, loss, model, rows, start

canary = load("training_audit")
REFUTED = audit.Verdict.REFUTED


def plan(**changes):
    facts = {"sample_rate": 1.0, "steps": 2, "max_grad_norm": 0.5, "expected_batch_size": 4, "noise_multiplier": 1.0}
    return train.DPSGD(**{**facts, "relation": Relation.ADD_REMOVE, "delta": 1e-5, **changes})


def mutate(monkeypatch, old, new):
    """Replace a piece of text in the source of `Step.take`, which must be there once."""
    source = textwrap.dedent(inspect.getsource(steps.Step.take))
    assert source.count(old) == 1, f"Step.take was rewritten: plant this bug anew ({old!r})"
    names = {}
    exec(source.replace(old, new), vars(steps), names)  # the bug has to be in the real code
    monkeypatch.setattr(steps.Step, "take", names["take"])


# ---------------------------------------------------------------- many canaries at right angles


def found_by_many(one, *, score=canary.evidence, threshold=0.0, lanes=65_536):
    inside, outside = canary.trials(one, runs=1, lanes=lanes, score=score, microbatch=lanes)
    return canary.judge(one, inside, outside, alpha=FALSE_ALARM, threshold=threshold).verdict is REFUTED


def test_the_real_step_is_cleared():
    assert not found_by_many(plan())


STD = "std=self.noise_std"
LOOP = "enumerate(rows.micro(mine.indices, self.microbatch, times))"
IN_A_STEP = {
    "noise a tenth too small": (STD, f"std=0.9 * {STD[4:]}"),
    "noise shared out to micro-batches": (STD, f"{STD} / self.microbatch**0.5"),
    "noise divided twice": (STD, f"{STD} / self.plan.expected_batch_size"),
    "noise added to a copy": ("self.noise.add(sums[name],", "self.noise.add(sums[name].clone(),"),
    "noise in the first tensor alone": (STD, f"{STD} * (name == next(iter(named)))"),
    "one noise for all tensors": ("tensor=name", 'tensor="noise"'),
    "one noise for all steps": ("step=batch.step, tensor", "step=0, tensor"),
    "the last micro-batch twice": (LOOP, f"enumerate([*(parts := list({LOOP[10:-1]})), *parts[-1:]])"),
    "clipped to twice the norm": ("examples, rule, microbatch", "examples, type(rule)(2 * rule.max_norm), microbatch"),
}


@pytest.mark.parametrize("bug", IN_A_STEP)
def test_a_bug_in_a_step_is_caught(monkeypatch, bug):
    mutate(monkeypatch, *IN_A_STEP[bug])
    assert found_by_many(plan())


def test_each_tensor_clipped_on_its_own_is_caught(monkeypatch):
    monkeypatch.setattr(train.Flat, "groups", lambda self, names: list(range(len(names))))
    assert found_by_many(plan())


real = train.DPSGD.batches
SAMPLED = {"sample_rate": 0.25, "steps": 40, "noise_multiplier": 2.0}


def test_batches_twice_as_large_as_charged_are_caught(monkeypatch):
    one = plan(**SAMPLED)
    assert not found_by_many(one, lanes=16_384)
    twice = plan(**SAMPLED | {"sample_rate": 0.5})
    monkeypatch.setattr(train.DPSGD, "batches", lambda _, stream, units: real(twice, stream, units))
    assert found_by_many(one, lanes=16_384)


def test_one_batch_for_all_steps_is_caught(monkeypatch):
    """A record is in all batches or in none; 40 coins of its own would hardly ever let it into 33."""
    one = plan(**SAMPLED)
    told = {"score": lambda _, shown: shown.sum(axis=0), "threshold": 33.0, "lanes": 16_384}
    assert not found_by_many(one, **told)

    def batches(self, stream, units):
        first = real(self, stream, units)[0]
        return [train.Batch(step, first.indices) for step in range(self.steps)]

    monkeypatch.setattr(train.DPSGD, "batches", batches)
    assert found_by_many(one, **told)


# ------------------------------------------------------------------- one record more, many runs


class Pulled(nn.Module):
    """Each record is its own gradient."""

    def __init__(self, size):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size))

    def forward(self, records):
        return records @ self.w


ONE = {"steps": 1, "noise_multiplier": 4.0, "max_grad_norm": 0.5, "expected_batch_size": 1}
MICRO, DRAWS = 32, 80
UP, NOTHING = [1e4, 0.0], [0.0, 0.0]


def found_by_one(without, having, says, *, size=2, draws=DRAWS):
    """Return whether an event of the noisy sum, in clipping norms, tells two data sets apart better than is charged."""
    one, net = plan(**ONE), Pulled(size)

    def often(data):
        source = torch.tensor(data).reshape(-1, size)
        sums = (canary.noisy_sums(one, net, source, microbatch=MICRO)[0] for _ in range(draws))
        return sum(bool(says(noisy / one.max_grad_norm)) for noisy in sums)

    found = point(Counts(often(having), draws, often(without), draws), alpha=FALSE_ALARM)
    return canary.claim_of(one).refuted_by(
        false_positive_rate=found.false_positive_rate, true_positive_rate=found.true_positive_rate
    )


def caught(monkeypatch, plant, *told, **settings):
    assert not found_by_one(*told, **settings)
    plant()
    assert found_by_one(*told, **settings)


def high(noisy):
    return noisy[0] > MICRO / 2


def test_division_by_the_batch_that_came_is_caught(monkeypatch):
    """Not the sum tells: how much noise is left tells how many records there were."""
    half = plan(**ONE).noise_multiplier ** 2 / 2
    bug = (".div_(self.plan.expected_batch_size)", ".div_(max(1, batch.indices.size))")
    caught(
        monkeypatch,
        lambda: mutate(monkeypatch, *bug),
        [[0.0] * 256],
        [[0.0] * 256] * 2,
        lambda noisy: np.mean(noisy**2) < half,
        size=256,
    )


def test_clipping_after_averaging_is_caught(monkeypatch):
    def averaged(net, loss, examples, clip, *, into, owners, **_):
        assert owners is None
        count = len(examples)
        found = torch.autograd.grad(loss(net, examples).mean(), list(net.parameters()))
        norm = torch.cat([g.flatten() for g in found]).norm()
        for (name, _), gradient in zip(net.named_parameters(), found, strict=True):
            clipped = count * gradient * (clip.max_norm / norm.clamp(min=1e-9)).clamp(max=1.0)
            into[name] = into[name] + clipped if name in into else clipped

    others = [NOTHING] * (MICRO - 1)
    caught(
        monkeypatch, lambda: monkeypatch.setattr(steps, "clipped_sum", averaged), others, [*others, [1e6, 0.0]], high
    )


def test_counting_what_fills_a_micro_batch_up_is_caught(monkeypatch):
    plant = ("rows.batch(units)", "rows.batch(units.repeat(self.microbatch // units.size))")
    caught(monkeypatch, lambda: mutate(monkeypatch, *plant), [], [UP], high)


def test_dropping_a_micro_batch_that_is_not_full_is_caught(monkeypatch):
    """The record that fills it up lets all others in."""
    plant = (LOOP, f"(place for place in {LOOP} if place[1][0].size == self.microbatch)")
    others = [UP] * (MICRO - 1)
    caught(monkeypatch, lambda: mutate(monkeypatch, *plant), others, [*others, UP], high)


def test_no_noise_on_an_empty_batch_is_caught(monkeypatch):
    plant = ("self.noise.add(", "batch.indices.size and self.noise.add(")
    caught(monkeypatch, lambda: mutate(monkeypatch, *plant), [], [NOTHING], lambda noisy: noisy.any())


@pytest.mark.parametrize("value", [1e30, float("inf"), float("nan")])
def test_a_gradient_beyond_all_bounds_is_caught(monkeypatch, value):
    def plant():
        monkeypatch.setattr(engine.norms, "finite", lambda norm: torch.ones_like(norm.bound, dtype=torch.bool))
        monkeypatch.setattr(train.Flat, "factors", lambda self, group, groups, norm: kept(self.max_norm, norm))

    def kept(most, norm):  # what overflows is taken for short
        return torch.where(norm.bound.isfinite(), most / norm.bound.sqrt(), torch.ones(()))

    caught(monkeypatch, plant, [], [[value, 0.0]], lambda noisy: not abs(noisy[0]) < 40)


# ------------------------------------------------------------------------------- the run around it


def test_a_step_taken_again_on_other_rows_would_show_them_without_noise(tmp_path, monkeypatch):
    """What the trace is for: both models have the same noise, and their difference has none."""
    data, seen = dataset(tmp_path), []

    def first_step():
        net = model()
        run = start(data, tmp_path, model=net, optimizer=torch.optim.SGD(net.parameters(), lr=1.0))
        batch = next(run.loader)
        run.step(batch)
        run.close()
        seen.append((canary.vector(net), batch.indices))

    first_step()
    inputs, labels = rows()
    other = (inputs + 1.0, labels)
    object.__setattr__(data, "source", other)  # the rows changed, and their version did not
    with pytest.raises(DataFailure, match="came out otherwise than before"):
        first_step()
    monkeypatch.setattr(State, "noted", lambda _: {})
    first_step()
    (before, who), (after, _) = seen
    sums = []
    for source in ((inputs, labels), other):
        found = train.clipped_sum(model(), loss, (source[0][who], source[1][who]), train.Flat(0.5))
        sums.append(torch.cat([found.sums[name].flatten() for name, _ in model().named_parameters()]))
    torch.testing.assert_close(before - after, (sums[1] - sums[0]) / 12, rtol=0, atol=1e-5)


class Watching(nn.Module):
    """Keeps the sum of what it saw last, but for the rows that it is tried on."""

    def __init__(self):
        super().__init__()
        self.inner = model()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x):
        if not any(torch.equal(x[:1], row[None]) for row in EXAMPLE[0]):
            self.seen = x.detach().sum(0)
        return self.inner(x)


def test_a_buffer_that_is_released_as_it_is_would_be_seen(tmp_path, monkeypatch):
    def released(folder):
        run = start(dataset(folder), folder, model=Watching())
        run.fit()
        return train.load(run.finish(), Watching()).seen

    assert torch.equal(released(tmp_path / "good"), torch.zeros(4))
    monkeypatch.setattr(Fixed, "restore", lambda _: None)
    assert not torch.equal(released(tmp_path / "bad"), torch.zeros(4))
