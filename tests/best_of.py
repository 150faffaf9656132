"""Many private selections among cheap runs: what is drawn, and how it should be distributed."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy.stats import norm

from discreet import Relation, audit, events, train
from discreet.audit.statistics.paired import Counts, point
from discreet.mechanisms import Rng
from discreet.testing.fit import FALSE_ALARM, Cells, Fit, binomials, gof
from discreet.train import selection as room
from tests.training import plan

NOISE = NormalDist()
SHIFT = 1.0  # of the second candidate's numbers
STRENGTH = 1.5  # ε of an answer that was changed with a known chance


def selection(**changes: Any) -> train.Selection:
    """Return a selection; only its law counts here."""
    return train.Selection(plan(), **({"mean_runs": 4.0, "shape": 1.0} | changes))


def chances(one: train.Selection, last: int) -> np.ndarray:
    """Return P(K = 0 … last), worked out from the formulas of Papernot and Steinke."""
    k = np.arange(last + 1.0)
    factorials = np.array([math.lgamma(x + 1) for x in k])
    if one.shape is None:
        return np.exp(k * math.log(one.mean_runs) - one.mean_runs - factorials)
    gamma = math.exp(-room.log_inverse_gamma(one.mean_runs, one.shape))
    weights = np.zeros(last + 1)
    if one.shape == 0:
        weights[1:] = (1 - gamma) ** k[1:] / k[1:] / math.log(1 / gamma)
    else:
        ratios = np.cumprod((k[1:] - 1 + one.shape) / k[1:])
        weights[1:] = (1 - gamma) ** k[1:] * ratios / (gamma**-one.shape - 1)
    return weights


def fit_of_runs(one: train.Selection, draws: int, last: int = 40) -> Fit:
    """Test how many runs a selection draws against its law."""
    found = [one.runs(train.Keystream(train.fresh_key(Rng()))) for _ in range(draws)]
    expected = chances(one, last)
    return gof(found, Cells(np.arange(last + 1), np.append(expected, max(0.0, 1 - expected.sum()))))


def drawn(one: train.Selection, draws: int, run: Any, *, candidates: int = 2) -> list[tuple[int, float, int]]:
    """Select `draws` times, and return of each (K, the best score, its candidate; -1 if there was no run)."""
    found = []
    for _ in range(draws):
        best, runs = room.Best(), [0]
        room.best_of(
            one, train.Keystream(train.fresh_key(Rng())), candidates, run, best,
            keep=lambda done, runs=runs: runs.__setitem__(0, done),
        )  # fmt: skip
        found.append((runs[0], best.score, -1 if best.which is None else best.which))
    return found


def normal(record: float = 0.0) -> Any:
    """Return a run whose score is what it publishes: the record, the candidate's shift, and Gaussian noise."""

    def run(number: int, which: int, stream: train.Keystream) -> tuple[float, dict[str, Any]]:
        return record + SHIFT * which + NOISE.inv_cdf((int(stream.words("noise", 0, 1)[0]) + 0.5) * 2.0**-64), {}

    return run


def answered(record: int) -> Any:
    """Return a run that answers 0 or 1, the record by odds e^STRENGTH; answers of 0 score higher."""
    chance = 1 / (1 + math.exp(-STRENGTH if record else STRENGTH))

    def run(number: int, which: int, stream: train.Keystream) -> tuple[float, dict[str, Any]]:
        return -1.0 * (int(stream.words("answer", 0, 1)[0]) * 2.0**-64 < chance), {}

    return run


def fits(one: train.Selection, draws: int) -> list[Fit]:
    """Test the best of runs, and which candidate it had, against their exact laws: f of one run's, f(x) = E[x^K]."""
    found = drawn(one, draws, normal())
    known = chances(one, 400)

    def best_below(x: np.ndarray) -> np.ndarray:
        return np.polynomial.polynomial.polyval((norm.cdf(x) + norm.cdf(x - SHIFT)) / 2, known)

    edges = np.linspace(-2, 4, 25)
    below = np.append(best_below(edges), known.sum())
    scores = [math.floor(score * 1000) for _, score, which in found if which >= 0]
    given = np.diff(np.concatenate([[known[0]], below])) / (known.sum() - known[0])  # that there was a run
    values = gof(scores, Cells(np.floor(edges * 1000).astype(np.int64) - 1, given))
    fine = np.linspace(-9, 11, 20001)
    slope = np.polynomial.polynomial.polyval(
        (norm.cdf(fine) + norm.cdf(fine - SHIFT)) / 2, np.polynomial.polynomial.polyder(known)
    )
    second = float(np.trapezoid(slope * norm.pdf(fine - SHIFT) / 2, fine))
    wins = sum(which == 1 for *_, which in found)
    return [values, binomials(np.array([wins]), np.array([draws]), np.array([second]))]


def refuted(event: events.Event, inside: list[bool], outside: list[bool]) -> bool:
    """Return whether an event of what is published, by these trials with a record and without, refutes a claim."""
    claim = audit.Claim.event(event, relation=Relation.ADD_REMOVE)
    found = point(Counts(sum(inside), len(inside), sum(outside), len(outside)), alpha=FALSE_ALARM)
    return claim.refuted_by(false_positive_rate=found.false_positive_rate, true_positive_rate=found.true_positive_rate)
