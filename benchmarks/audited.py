"""What `audit_discreet.py` runs: a mechanism in one setting, what it is charged as, neighbours, and what came of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np

from discreet.audit import Claim, MechanismAudit, Pair, mechanism
from discreet.audit.statistics.paired import epsilon_bound, mu_bound

DRAWS = 16_000  # outputs from each dataset of each pair


@dataclass(frozen=True)
class Trial:
    """A pair of neighbours.

    Args:
        pair: The two datasets.
        own: What these two show at most by the law of the noise: ε at the case's δ, or μ. Below what is claimed where
            they differ by less than neighbours may.
        own_delta: The δ that they show at the claim's ε, where the claim names one.
    """

    pair: Pair
    own: float
    own_delta: float = 0.0


@dataclass(frozen=True, eq=False)
class Case:
    """A mechanism in one setting.

    Args:
        name: The mechanism.
        setting: Its parameters, in words.
        claim: The curve of the event that a call is charged as.
        run: The mechanism, as `discreet.audit.mechanism` takes it.
        trials: Where it is tried.
        delta: At which δ an ε is certified; None: a μ is, which fits Gaussian noise.
        covers: What of discreet this case tries; see `audit_discreet.wanted`.
        draws: From each dataset of each pair.
    """

    name: str
    setting: str
    claim: Claim
    run: Callable[[Any, int], Any]
    trials: tuple[Trial, ...]
    delta: float | None
    covers: frozenset[str]
    draws: int = DRAWS


@dataclass(frozen=True)
class Row:
    """What came of one pair.

    Args:
        pair: Its name.
        what: What is certified: ε (at the case's δ), δ (at the claim's ε), or μ; of several what comes nearest its claim.
        own: See Trial.
        claimed: Of μ: what the claim's curve allows at the false-positive rate of the best event.
        certified: The bound; above `claimed` the claim is false.
        refuted: Whether an event, or the bound, is beyond the claim.
        beyond: Whether the bound is beyond the pair's own loss: then there is less noise than the event says, even if
            the claim stands because the pair differs by little, or because no tight curve of the event is known.
    """

    pair: str
    what: str
    own: float
    claimed: float
    certified: float
    refuted: bool
    beyond: bool

    @property
    def tightness(self) -> float:
        """Which share of the claim was certified."""
        return self.certified / self.claimed


def tried(case: Case, alpha: float) -> tuple[MechanismAudit, list[Row]]:
    """Put a case under the tester; all that is said of its pairs holds together but for a chance of alpha."""
    found = mechanism(
        case.run,
        claim=case.claim,
        pairs=[trial.pair for trial in case.trials],
        draws=case.draws,
        alpha=alpha,
        delta=case.delta,
    )
    return found, [row(case, trial, found) for trial in case.trials]


def row(case: Case, trial: Trial, found: MechanismAudit) -> Row:
    cells = [cell for cell in found.cells if cell.pair == trial.pair.name]
    rows = [one for cell in cells for one in measured(case, trial, cell)]
    best = max(rows, key=lambda one: one.tightness)
    return replace(best, refuted=any(one.refuted for one in rows), beyond=any(one.beyond for one in rows))


def measured(case, trial, cell):
    """Yield what is claimed of an event, and what is certified of it."""
    found, level = cell.point, cell.point.alpha
    if case.delta is None:
        false, claimed = found.false_positive_rate, math.inf
        if 0 < false < 1 and 0 < cell.allowed < 1:
            claimed = NormalDist().inv_cdf(cell.allowed) - NormalDist().inv_cdf(false)
        yield compared(trial, cell, "μ", trial.own, claimed, mu_bound(found.counts, alpha=level).value)
        return
    claimed = case.claim.epsilon(case.delta)
    certified = epsilon_bound(found.counts, delta=case.delta, alpha=level).value
    yield compared(trial, cell, "ε", trial.own, claimed, certified)
    if case.delta:
        odds = math.exp(claimed)
        mass = max(
            found.true_positive_rate - odds * found.false_positive_rate,
            found.true_negative_rate - odds * found.false_negative_rate,
            0.0,
        )
        yield compared(trial, cell, "δ", trial.own_delta, case.delta, mass)


def compared(trial, cell, what, own, claimed, certified):
    beyond = certified > own * (1 + 1e-9) + 1e-12
    return Row(trial.pair.name, what, own, claimed, certified, cell.refutes or certified > claimed, beyond)


def gaussian_loss(moves):
    """Return the μ of discrete Gaussian noise by how far each number moves, and its σ².

    The continuous law's μ, and room for the lattice: an event of a discrete Gaussian shows up to 1 + 1/(24·σ²) times
    that (worked out for σ² of 1 to 100, shifts up to 2σ and tails down to 1e-7; two numbers show less).
    """
    held = [(move, variance) for move, variance in moves if move]
    lattice = max((1 / (20 * float(variance)) for _, variance in held), default=0.0)
    return math.sqrt(sum(Fraction(move * move) / variance for move, variance in held)) * (1 + lattice)


def loss(first, second, delta):
    """Return the least ε at which two laws over the same outputs are (ε, δ)-close, either way round."""
    if delta == 0:
        return float(np.abs(np.log(first) - np.log(second)).max())
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        close = mass(first, second, middle) <= delta * (1 + 1e-12) + 1e-15
        low, high = (low, middle) if close else (middle, high)
    return high


def mass(first, second, epsilon):
    """Return the least δ at which two laws over the same outputs are (ε, δ)-close, either way round."""
    odds = math.exp(epsilon)
    return max(float(np.maximum(p - odds * q, 0).sum()) for p, q in ((first, second), (second, first)))
