"""Canaries show nearly all that a run of discreet.train is charged for, and never more.

A false alarm comes up once in 1e8 runs; noise a tenth too small is caught in tests/attack/test_training_run_bugs.py. Much
larger: benchmarks/training_audit.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from discreet import audit, train
from discreet.testing.fit import FALSE_ALARM
from discreet.train.rows import Rows
from tests.benchmark_scripts import load

bench = load("training_audit")
REFUTED = audit.Verdict.REFUTED
EPSILON = 4.0
PLANS = {words: bare.calibrate(EPSILON, bench.DELTA) for words, bare, alone in bench.plans() if not alone}


@pytest.mark.parametrize("words", PLANS)
def test_a_step_keeps_what_is_charged_and_comes_near(words):
    """Four keys with 8,192 canaries each; the bounds that hold but for 1e-8 reach 70 % of what is charged."""
    plan = PLANS[words]
    inside, outside = bench.trials(plan, runs=4, lanes=8192)
    finding = bench.judge(plan, inside, outside, alpha=FALSE_ALARM)
    assert finding.verdict is audit.Verdict.CONSISTENT
    assert bench.noisier(plan, finding.point) > 0.7 * EPSILON


def test_people_of_several_rows_keep_what_is_charged_and_come_near():
    """Each canary is a person whose five rows all pull the same way; of a sixth and seventh none counts."""
    plan, lanes, scores = PLANS["40 steps, chance 1/4 of a batch"], 8192, ([], [])
    for _ in range(4):
        coins = audit.flip(lanes).included
        who = bench.torch.from_numpy(np.tile(np.flatnonzero(coins), 7))
        held = Rows({"who": who}, None, "who", 5)
        sums = bench.noisy_sums(plan, bench.Twins(lanes), held, loss=lambda net, batch: net(batch["who"]))
        found = bench.evidence(plan, bench.along(plan, lanes, sums))
        scores[0].append(found[coins])
        scores[1].append(found[~coins])
    finding = bench.judge(plan, *map(np.concatenate, scores), alpha=FALSE_ALARM)
    assert finding.verdict is audit.Verdict.CONSISTENT
    assert bench.noisier(plan, finding.point) > 0.7 * EPSILON


def test_runs_with_one_canary_keep_what_is_charged():
    """Each with a key of its own: no two trials have anything in common."""
    plan = PLANS["2 steps, all in every batch"]
    finding = bench.judge(plan, *bench.trials(plan, runs=150), alpha=FALSE_ALARM)
    assert finding.verdict is not REFUTED


def test_lanes_are_independent():
    """Of two lanes without a canary, neither tells of the other: correlations are as small as chance makes them."""
    plan = PLANS["2 steps, all in every batch"]
    lanes, net = 4096, bench.Twins(4096)
    sums = bench.along(plan, lanes, bench.noisy_sums(plan, net, bench.torch.zeros(0, dtype=bench.torch.int64)))
    noise = sums.reshape(-1) * plan.max_grad_norm / plan.noise_std
    for lag in (1, 2, 512, lanes):
        assert abs(np.mean(noise[lag:] * noise[:-lag])) < 6.5 / np.sqrt(noise.size - lag)


def test_one_run_keeps_what_is_charged(tmp_path):
    """The curve's test could refute 1,500 canaries of a run of μ = 0.5, and does if the noise is forgotten."""
    facts = {"max_grad_norm": 0.5, "relation": bench.RELATION, "expected_batch_size": 1000}
    plan = train.DPSGD(steps=10, sample_rate=1.0, **facts).calibrate(2.0, bench.DELTA)

    def held(found, scores):
        kind = audit.Estimator.CURVE
        return found.coins.audit(scores, claim=bench.claim_of(plan), alpha=FALSE_ALARM, estimator=kind)

    found = bench.one_run(plan, tmp_path / "good", canaries=1500, count=250)
    seen = held(found, found.steps)
    assert seen.verdict is audit.Verdict.CONSISTENT, str(seen)  # which says how far it could have gone
    assert held(found, found.released).verdict is not REFUTED
    square = (
        plan.steps / plan.noise_multiplier**2
    )  # μ²: how far the evidence of those that are in lies from the others'
    inside = found.coins.included
    assert found.steps[inside].mean() - found.steps[~inside].mean() > 0.3 * square
    with bench.forgotten():
        broken = bench.one_run(plan, tmp_path / "bad", canaries=1500, count=250)
    assert held(broken, broken.steps).verdict is REFUTED
