"""Audits of discreet.train by somebody who sees every step: how much of what is charged do canaries show?

White box: `Step.take` itself, under fresh keys, on records whose gradients are as long as clipping allows and point where
no other record's does. One run: `make_private` trains a small model on rows and thousands of canaries. Run it:

    python benchmarks/training_audit.py                 # two to three minutes of one core
    python benchmarks/training_audit.py --quick         # a glance: fewer runs and canaries

It exits with 4 if a claim is refuted, or if what forgets its noise is not. `tests/statistical/test_training_audit.py`
and `tests/attack/test_training_run_bugs.py` use its parts.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from discreet import Dataset, Domain, PrivacyUnit, Relation, audit, train
from discreet.audit.statistics.paired import epsilon_bound, point
from discreet.audit.statistics.thresholds import by_rank, count
from discreet.mechanisms import Rng
from discreet.testing import ScratchLedger
from discreet.train.rows import Rows
from discreet.train.step import Step

EPSILONS, DELTA, ALPHA = (1.0, 4.0, 8.0), 1e-5, 0.05
RELATION = Relation.ADD_REMOVE
LOUD = 20.0  # how much longer than the clipping norm a canary's gradient is, about
RNG = Rng()
FINE = 0.003  # of the noise at which a bound is looked for


# ------------------------------------------------------------------------------------ the white box


class Twins(nn.Module):
    """Two tables of numbers. Record i pulls number i of the one up and of the other down, in the next step the other way.

    Noise that steps or tensors share cancels in what a canary shows. A canary that is clipped tensor by tensor is √2
    times too long.
    """

    def __init__(self, lanes):
        super().__init__()
        self.up, self.down = nn.Embedding(lanes, 1), nn.Embedding(lanes, 1)
        self.sign = 1.0

    def forward(self, numbers):
        """Return what each record pulls at."""
        return self.sign * LOUD * (self.up(numbers) - self.down(numbers))[:, 0]


def own_output(net, batch):
    """The loss of a model that returns losses."""
    return net(batch)


def vector(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def signs(plan):
    """Which way a canary's gradients point in each step: with correlated noise, all one way is worst."""
    return np.ones(plan.steps) if plan.correlation is not None else (-1.0) ** np.arange(plan.steps)


def noisy_sums(plan, net, source, *, loss=own_output, clip=None, microbatch=8192, augment=None):
    """Take all steps of a run with the real Step, under a fresh key; return each step's noisy sum.

    They are computed from the models after each step, as whoever sees those would.
    """
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    stream = train.Keystream(train.fresh_key(RNG))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    clip = train.Flat(plan.max_grad_norm) if clip is None else clip
    noise = train.KeyedNoise(stream, plan.correlation)
    step = Step(plan, net, optimizer, None, loss, clip, microbatch, stream, noise, augment=augment)
    rows, found = source if isinstance(source, Rows) else Rows(source, None, None), []
    for batch, sign in zip(plan.batches(stream, len(rows)), signs(plan), strict=True):
        net.sign = float(sign)
        before = vector(net)
        step.take(rows, batch)
        found.append((before - vector(net)).double().numpy() * plan.expected_batch_size)
    return np.array(found)


def evidence(plan, shown):
    """Return the log-likelihood ratio of presence and absence.

    Args:
        plan: Steps that a record is in by coins, or in all of them.
        shown: For each step (first axis) the noisy sum along the canary, in clipping norms.
    """
    rate, moved = plan.sample_rate, np.ones(plan.steps)
    deviation = plan.noise_std / plan.max_grad_norm
    if plan.correlation is not None:  # mixed by C, the noise of the steps is independent
        column, lags = plan.correlation.strategy(plan.steps), np.subtract.outer(range(plan.steps), range(plan.steps))
        mixing = np.where(lags >= 0, column[np.maximum(lags, 0)], 0.0)
        shown, moved = np.tensordot(mixing, shown, 1), mixing.sum(axis=1)
    moved = moved.reshape(-1, *[1] * (shown.ndim - 1))
    ratios = (2 * moved * shown - moved**2) / (2 * deviation**2)
    return ratios.sum(axis=0) if rate == 1 else np.log1p(rate * np.expm1(ratios)).sum(axis=0)


def along(plan, lanes, sums):
    """Return, for each step and lane, the noisy sum along the lane's canary, in clipping norms."""
    halves = sums.reshape(plan.steps, 2, lanes)
    turned = signs(plan)[:, None] * (halves[:, 0] - halves[:, 1])
    return turned / (math.sqrt(2) * plan.max_grad_norm)


def trials(plan, *, runs, lanes=1, score=evidence, microbatch=8192):
    """Return scores of canaries that were in, and of those that were not: one of each run and lane, by a fair coin.

    Lanes are records with gradients at right angles. Each has a coin, batches and noise of its own, so that they are
    independent trials wherever noise and batches are what they should be; runs are so in any case.
    """
    inside, outside, net = [], [], Twins(lanes)
    for _ in range(runs):
        coins = audit.flip(max(2, lanes)).included[:lanes]
        sums = noisy_sums(plan, net, torch.from_numpy(np.flatnonzero(coins)), microbatch=microbatch)
        scores = score(plan, along(plan, lanes, sums))
        inside.append(scores[coins])
        outside.append(scores[~coins])
    return np.concatenate(inside), np.concatenate(outside)


def claim_of(plan):
    return audit.Claim.event(plan.event, relation=plan.relation)


def judge(plan, inside, outside, *, alpha=ALPHA, threshold=0.0):
    """Hold scores against the plan's whole curve, at a threshold fixed beforehand, and bound ε without any curve.

    Half of alpha is for the event "score of at least the threshold", half for the bound of ε, over ranks.
    """
    found = point(count(inside, outside, threshold), alpha=alpha / 2)
    direct = by_rank(inside, outside, alpha=alpha / 2, certify=partial(epsilon_bound, delta=DELTA))
    return audit.Finding.judge(
        claim_of(plan), [direct], estimator="paired scores of single steps' sums", alpha=alpha,
        trials=direct.trials, point=found,
    )  # fmt: skip


def noisier(plan, found, *, most=40.0):
    """Return the largest ε at DELTA of plans that differ in their noise alone and whose curve the point refutes.

    A bound of ε for a mechanism known to be such a plan: the curve is exact, as Gaussian noise alone would have a μ.
    Half of the plan's noise is the least that is tried: what lies beyond counts as that.
    """

    def refuted(log_noise):
        other = replace(plan, noise_multiplier=plan.noise_multiplier * math.exp(log_noise))
        return found.true_positive_rate > claim_of(other).most(found.false_positive_rate)

    low, high = -math.log(2), math.log(most)
    if not refuted(high):
        return 0.0
    if refuted(low):
        high = low
    while high - low > FINE:
        middle = (low + high) / 2
        low, high = (low, middle) if refuted(middle) else (middle, high)
    return replace(plan, noise_multiplier=plan.noise_multiplier * math.exp(high)).epsilon(DELTA).lower


# ---------------------------------------------------------------------------------------- one run


class Tabled(nn.Module):
    """A small model of a few features and a table; each canary has a row of the table, real rows share one."""

    def __init__(self, features, canaries, hidden=4):
        super().__init__()
        self.features = nn.Linear(features, hidden)
        self.table = nn.Embedding(canaries + 1, hidden, padding_idx=0)
        self.out = nn.Linear(hidden, 2)
        nn.init.zeros_(self.table.weight)

    def forward(self, x, number):
        """Return two logits a record."""
        return self.head(self.features(x) + LOUD * self.table(number))

    def head(self, inner):
        """Return the logits from what the hidden units get."""
        return self.out(torch.tanh(inner))


def cross_entropy(net, batch):
    return nn.functional.cross_entropy(net(batch[0], batch[2]), batch[1], reduction="none")


def made_up(count, features):
    """Return rows that a line parts in two: made for tests, about nobody, always the same."""
    dice = torch.Generator().manual_seed(1)
    x = torch.randn(count, features, generator=dice)
    return x, (x[:, 0] + 0.3 * torch.randn(count, generator=dice) > 0).long()


@dataclass(frozen=True)
class OneRun:
    """What canaries of one training say.

    Args:
        coins: Who was in.
        steps: Scores by whoever saw every step.
        released: Scores by whoever saw the released model alone.
    """

    coins: audit.Flip
    steps: np.ndarray
    released: np.ndarray


def one_run(plan, folder, *, canaries, count, features=5, microbatch=512):
    """Train by make_private on `count` rows and the canaries that a coin lets in, and score all canaries."""
    coins = audit.flip(canaries)
    x, y = made_up(count, features)
    numbers = torch.from_numpy(np.flatnonzero(coins.included)) + 1
    source = (
        torch.cat([x, torch.zeros(numbers.numel(), features)]),
        torch.cat([y, numbers % 2]),
        torch.cat([torch.zeros(count, dtype=torch.int64), numbers]),
    )
    ledger = ScratchLedger()
    unit = PrivacyUnit(relation=plan.relation)
    ledger.open("people", unit=unit, owner=ledger.owner, measure="renyi", epsilon=100.0, delta=DELTA)
    data = Dataset(source, name="made_up", version="1", unit=unit, domain=Domain(), population="people",
                   ledger=ledger, releases=folder / "releases")  # fmt: skip
    net = Tabled(features, canaries)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    example = (torch.eye(3, features), torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    run = train.make_private(data, plan, model=net, optimizer=optimizer, loss=cross_entropy, example=example,
                             name="m", private=folder / "private", microbatch=microbatch)  # fmt: skip
    every, shown = torch.arange(1, canaries + 1), []
    for batch in run.loader:
        pull, before = _pull(net, every), net.table.weight.detach().clone()
        run.step(batch)
        moved = (before - net.table.weight.detach())[1:] * plan.expected_batch_size / 0.2
        shown.append(((moved * pull).sum(1) / plan.max_grad_norm).double().numpy())
    run.finish()
    losses = cross_entropy(net, (torch.zeros(canaries, features), every % 2, every)).detach()
    return OneRun(coins, evidence(plan, np.array(shown)), -losses.double().numpy())


def _pull(net, every):
    """Return the direction of each canary's gradient in its row of the table, from the model before the step."""
    inner = (net.features.bias + LOUD * net.table.weight[1:]).detach().requires_grad_()
    loss = nn.functional.cross_entropy(net.head(inner), every % 2, reduction="sum")
    (found,) = torch.autograd.grad(loss, inner)
    return found / found.norm(dim=1, keepdim=True)


def forgotten():
    """Return what makes every step forget its noise, though it is charged for."""
    return mock.patch.object(train.KeyedNoise, "add", lambda _, target, **__: target)


# --------------------------------------------------------------------------------------- the report


def plans():
    """Yield (words, plan without noise, whether a run has one canary alone) of all that is audited."""
    facts = {"max_grad_norm": 0.5, "expected_batch_size": 100, "relation": RELATION}
    everybody, some = train.DPSGD(steps=2, sample_rate=1.0, **facts), train.DPSGD(steps=40, sample_rate=0.25, **facts)
    mixed = train.DPSGD(steps=8, sample_rate=1.0, correlation=train.BandedInverseRoot(3), **facts)
    yield "2 steps, all in every batch; a canary a run", everybody, True
    yield "2 steps, all in every batch", everybody, False
    yield "40 steps, chance 1/4 of a batch", some, False
    yield "8 steps, all in every batch, correlated noise", mixed, False


def white_box(sizes):
    print(f"{'what is audited':46} {'claim':>5} {'runs':>6} {'trials':>9} {'curve: ε ≥':>10} {'share':>6} {'of at most':>10} "
          f"{'alone: ε ≥':>10} {'of at most':>10} {'verdict':11} {'seconds':>7}")  # fmt: skip
    for words, bare, lonely in plans():
        for epsilon, alone in zip(EPSILONS, sizes.runs, strict=True):
            plan = bare.calibrate(epsilon, DELTA)
            runs, lanes = (alone, 1) if lonely else (sizes.keys, sizes.lanes)
            start = time.monotonic()
            inside, outside = trials(plan, runs=runs, lanes=lanes)
            took = time.monotonic() - start
            finding = judge(plan, inside, outside)
            claim, (direct,) = plan.epsilon(DELTA).upper, finding.bounds
            value, best = noisier(plan, finding.point), noisier(plan, finding.point.ceiling)
            print(f"{words:46} {claim:5.2f} {runs:6,} {direct.trials:9,} {value:10.2f} {value / claim:6.0%} {best:10.2f} "
                  f"{direct.value:10.2f} {direct.ceiling:10.2f} {finding.verdict.value:11} {took:7.1f}", flush=True)  # fmt: skip
            yield finding.verdict is audit.Verdict.REFUTED


def one_runs(sizes):
    bare = train.DPSGD(steps=40, sample_rate=0.25, max_grad_norm=0.5, relation=RELATION,
                       expected_batch_size=(sizes.rows + sizes.canaries / 2) / 4)  # fmt: skip
    print(f"\n{'one run, seen by':30} {'claim':>5} {'betting: ε ≥':>12} {'of at most':>10} {'curve: μ ≥':>10} {'of at most':>10} "
          f"{'verdict':11} {'seconds':>7}")  # fmt: skip
    for epsilon, broken in [*((epsilon, False) for epsilon in EPSILONS), (EPSILONS[0], True)]:
        plan = bare.calibrate(epsilon, DELTA)
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, forgotten() if broken else mock.patch.dict({}):
            found = one_run(plan, Path(folder), canaries=sizes.canaries, count=sizes.rows)
        took = time.monotonic() - start
        for who, scores in (("every step", found.steps), ("the released model", found.released)):
            bets = found.coins.audit(scores, claim=claim_of(plan), delta=DELTA, alpha=ALPHA)
            whole = found.coins.audit(scores, claim=claim_of(plan), alpha=ALPHA, estimator=audit.Estimator.CURVE)
            (bet,), (mu,) = bets.bounds, whole.bounds
            refuted = audit.Verdict.REFUTED in {bets.verdict, whole.verdict}
            print(f"{who + (', noise forgotten' if broken else ''):30} {plan.epsilon(DELTA).upper:5.2f} {bet.value:12.2f} "
                  f"{bet.ceiling:10.2f} {mu.value:10.2f} {mu.ceiling:10.2f} "
                  f"{'refuted' if refuted else whole.verdict.value:11} {took:7.1f}", flush=True)  # fmt: skip
            yield refuted is not broken and not (broken and who == "the released model")


@dataclass(frozen=True)
class Sizes:
    """How much is done. Runs of one canary are the slow part: as many as each ε takes."""

    runs: tuple[int, int, int]
    keys: int
    lanes: int
    canaries: int
    rows: int


FULL = Sizes(runs=(12_000, 6000, 3000), keys=64, lanes=16_384, canaries=5000, rows=2000)
QUICK = Sizes(runs=(300, 300, 300), keys=2, lanes=16_384, canaries=1000, rows=500)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a glance")
    sizes, start = QUICK if parser.parse_args().quick else FULL, time.monotonic()
    torch.set_num_threads(1)
    packages = ", ".join(f"{name} {version(name)}" for name in ("discreet", "torch", "numpy", "scipy"))
    print(f"{packages}, Python {platform.python_version()}, {platform.machine()}; δ = {DELTA:g}, α = {ALPHA:g}\n")
    wrong = [*white_box(sizes), *one_runs(sizes)]
    print(f"\n{time.monotonic() - start:.0f} s")
    sys.exit(4 if any(wrong) else 0)


if __name__ == "__main__":
    main()
