"""Audits of trained models end to end: the plain model is seen to leak, a forgotten noise is refuted, the right one is not.

The trainings are those of benchmarks/audit_adult.py, on a made-up table of 2,000 rows.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from discreet import audit
from discreet.accounting import Sampling, dpsgd
from discreet.audit import Attack, Claim, Estimator, Verdict
from discreet.events import Relation
from discreet.mechanisms import Rng, discrete_laplace
from discreet.testing.fit import FALSE_ALARM, chance_interval
from tests.benchmark_scripts import BENCHMARKS, load

ALPHA = 1e-4  # of each audit here; two or three in a row make the right one a rare alarm


@pytest.fixture(scope="module")
def adult():
    return load("audit_adult")


@pytest.fixture(scope="module")
def table(adult):
    return adult.made_up(2000)


def trained(adult, table, kind, epsilon, *, forgotten=False, canaries=1000):
    """Train once with canaries; return coins, the canaries' scores and the training."""
    x, y = table
    training = adult.Training(kind, epsilon, x.shape[1] + canaries, 2000, rate=2.0, strength=10.0, forgotten=forgotten)
    coins = audit.flip(canaries)
    weights, sums = training(*adult.beside(x, y, coins.included, adult.LOUD if kind == adult.DESCENT else 1.0))
    if sums is None:
        return coins, weights[x.shape[1] :], training
    directions = -np.eye(canaries)  # a canary's gradient points down its own feature
    return coins, audit.step_scores((step[x.shape[1] :] for step in sums), directions), training


KINDS = ["noisy descent", "noisy minimum"]


@pytest.mark.parametrize("estimator", Estimator)
@pytest.mark.parametrize("kind", KINDS)
def test_the_plain_model_leaks(adult, table, kind, estimator):
    coins, scores, _ = trained(adult, table, kind, None)
    claim = Claim.approximate(1.0, 1e-6, relation=Relation.ADD_REMOVE)
    finding = coins.audit(scores, claim=claim, delta=1e-6, alpha=0.01, estimator=estimator)
    assert finding.verdict is Verdict.REFUTED
    assert finding.bounds[0].value == finding.bounds[0].ceiling  # no attack could show more
    assert coins.roc(scores).at(0.0).rate == 1.0


@pytest.mark.parametrize("estimator", Estimator)
@pytest.mark.parametrize("kind", KINDS)
def test_noise_that_was_forgotten_is_refuted(adult, table, kind, estimator):
    coins, scores, training = trained(adult, table, kind, 1.0, forgotten=True)
    claim = Claim.event(training.event, relation=Relation.ADD_REMOVE)
    finding = coins.audit(scores, claim=claim, delta=1e-6, alpha=0.01, estimator=estimator)
    assert finding.verdict is Verdict.REFUTED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("epsilon", [1.0, 4.0])
def test_the_right_one_is_not(adult, table, kind, epsilon):
    """Three audits that each raise a false alarm at most once in 10,000: all three together at most once in 1e12.

    Three alarms in a row are what fails, so that a wrong guarantee, which alarms every time, is not missed.
    """
    for _ in range(3):
        coins, scores, training = trained(adult, table, kind, epsilon)
        claim = Claim.event(training.event, relation=Relation.ADD_REMOVE)
        findings = [
            coins.audit(scores, claim=claim, delta=1e-8, alpha=ALPHA / 3, estimator=estimator)
            for estimator in Estimator
        ]
        if all(finding.verdict is not Verdict.REFUTED for finding in findings):
            return
    pytest.fail(f"{kind} at ε = {epsilon} was refuted three times in a row: {findings}")


def test_the_audit_of_descent_is_not_far_from_what_its_noise_gives_away(adult, table):
    """Power, not only silence: with 4,000 canaries a bound well above nothing."""
    coins, scores, training = trained(adult, table, adult.DESCENT, 8.0, canaries=4000)
    claim = Claim.event(training.event, relation=Relation.ADD_REMOVE)
    finding = coins.audit(scores, claim=claim, delta=1e-6)
    assert 1.5 < finding.bounds[0].value < 8.0
    inside, outside = scores[coins.included], scores[~coins.included]
    moved = (inside.mean() - outside.mean()) / outside.std()
    assert 1.3 < moved < 2.0  # sqrt(2ρ) = 1.6 at ε = 8: the canaries pull as hard as a record can


def test_shadow_models_find_the_members_of_a_plain_model_and_not_of_a_private_one(adult):
    """A model with as many features as members remembers them."""
    x, y = adult.made_up(400, features=200)
    rates = {}
    for epsilon in (None, 1.0):
        training = adult.Training(adult.MINIMUM, epsilon, 200, 200, rate=1.0, strength=0.01)
        found = adult.member_audit(training, x, y, 8)
        rates[epsilon] = max(found.roc(attack).auc for attack in (Attack.LIRA, Attack.RMIA, Attack.BAVARIA))
        if epsilon is not None:
            claim = Claim.event(training.event, relation=Relation.ADD_REMOVE)
            finding = found.flip.audit(found.scores(), claim=claim, delta=1e-6, alpha=1e-6, estimator=Estimator.GUESSES)
            assert finding.verdict is not Verdict.REFUTED
    # AUC of 200 against 200 by chance: 0.5 with a standard deviation of 0.029
    assert rates[None] > 0.72
    assert rates[1.0] < 0.72


@pytest.mark.parametrize(("noise", "refuted"), [(6.0, False), (0.6, True)], ids=["right", "ten times too small"])
def test_who_sees_every_step_of_dpsgd(noise, refuted):
    """2,000 gradient canaries, each in a direction of its own, in Poisson batches; the claim is the accountant's."""
    claim = Claim.event(
        dpsgd(noise_multiplier=6.0, steps=20, relation=Relation.ADD_REMOVE, sampling=Sampling.POISSON, sample_rate=0.5),
        relation=Relation.ADD_REMOVE,
    )
    rng, verdicts = np.random.default_rng(), []
    for _ in range(3):
        coins, directions = audit.flip(2000), np.eye(2000)
        batches = (coins.included & (rng.random(2000) < 0.5) for _ in range(20))
        scores = audit.step_scores((batch + noise * rng.normal(size=2000) for batch in batches), directions)
        finding = coins.audit(scores, claim=claim, alpha=ALPHA, estimator=Estimator.CURVE)
        verdicts.append(finding.verdict is Verdict.REFUTED)
        if verdicts[-1] is refuted:
            return
    pytest.fail(f"{verdicts}, three times not what is true")


def test_the_benchmark_explains_what_it_found(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "audit_adult.py"), "--quick", "--synthetic"]
    found = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert found.returncode == 0, found.stderr
    assert "made-up records" in found.stdout
    assert "It cannot confirm one" in found.stdout
    assert "the models give all their canaries away" in found.stdout
    assert "could see: refuted and refuted." in found.stdout
    rows = [line for line in found.stdout.splitlines() if line.startswith(("no noise", "ε = "))]
    assert len(rows) == 2 * 5 + 2 * 4 * 4  # trainings with canaries; trainings by attacks


# ------------------------------------------------------------------------------- false alarms


def test_false_alarms_are_no_more_frequent_than_stated():
    """Canaries behind exact Laplace noise of ε = 1, each a count of its own: audited 600 times at α = 0.2.

    A rate of 40 % would be seen.
    """
    claim, alarms, audits = Claim.pure(1.0, relation=Relation.ADD_REMOVE), 0, 600
    for _ in range(audits):
        coins = audit.flip(200)
        noisy = discrete_laplace(200, scale=1, rng=Rng()) + coins.included
        scores = noisy + 1e-9 * np.arange(200)  # ties are broken, by nothing that depends on a coin
        finding = coins.audit(scores, claim=claim, alpha=0.2)
        alarms += finding.verdict is Verdict.REFUTED
    assert chance_interval(alarms, audits, FALSE_ALARM)[0] <= 0.2


def test_real_members_whose_coins_are_fair_make_a_valid_audit_too():
    """The score of a record must depend on its coin through the model alone: shadow models have coins of their own."""
    rng, refuted = np.random.default_rng(5), 0

    def fit(data, labels):
        noisy = float(labels.mean() + discrete_laplace(1, scale=100, rng=Rng())[0] / 100)  # ε = 0.01 for each record
        return lambda asked, own: np.clip(0.5 + 0.01 * (noisy + 0.1 * asked[:, 0]), 0.0, 1.0)

    x, y = rng.normal(size=(60, 1)), np.arange(60) % 2
    claim = Claim.pure(0.05, relation=Relation.ADD_REMOVE)
    for _ in range(100):
        found = audit.membership(fit, x, y, shadows=4)
        refuted += found.flip.audit(found.scores(Attack.LIRA), claim=claim, alpha=0.2).verdict is Verdict.REFUTED
    assert chance_interval(refuted, 100, FALSE_ALARM)[0] <= 0.2
