"""Mechanisms with the bugs that have been found in the wild, each beside a good twin under the same claim.

`benchmarks/audit.py` measures what each costs to catch; `tests/attack/test_audit_bugs.py` demands that each is caught
and its twin is cleared. A mechanism is a `run(data, draws)`, as `discreet.audit.mechanism` takes it. Noise comes from
exact samplers on a grid of 2^-10, so that the twins keep their claims to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from discreet import Relation
from discreet.audit import Claim, Pair, record_pairs
from discreet.mechanisms import Rng, discrete_gaussian, discrete_laplace
from discreet.testing import FixedRng

GRID = 2**10
RNG = Rng()


@dataclass(frozen=True)
class Case:
    """A bug and its twin.

    Args:
        name: The bug in a few words.
        claim: What both claim.
        pairs: Where it shows; few, for the benchmark compares testers on the same.
        bad: The mechanism with the bug.
        good: The mechanism without it.
    """

    name: str
    claim: Claim
    pairs: tuple[Pair, ...]
    bad: Callable[[Any, int], Any]
    good: Callable[[Any, int], Any]


def laplace(shape, scale, rng=RNG):
    """Return noise of this scale on the grid: exactly (step/scale)-DP for answers on the grid that move by step."""
    size = math.prod(shape) if isinstance(shape, tuple) else shape
    return discrete_laplace(size, scale=Fraction(scale) * GRID, rng=rng).reshape(shape) / GRID


def normal(shape, deviation):
    size = math.prod(shape)
    return discrete_gaussian(size, variance=(Fraction(deviation) * GRID) ** 2, rng=RNG).reshape(shape) / GRID


def uniform(shape):
    """Return numbers in (0, 1) of 53 bits."""
    size = math.prod(shape) if isinstance(shape, tuple) else shape
    return ((RNG.words(size) >> np.uint64(11)).astype(np.float64) + 0.5).reshape(shape) * 2.0**-53


PURE = Claim.pure(1.0, relation=Relation.ADD_REMOVE)
ONE_MORE = (Pair("one row more", [1] * 6, [1] * 5, Relation.ADD_REMOVE),)


# ------------------------------------------------------------------------------ additive noise


def count(scale, rng=lambda: RNG):
    """A count of rows with Laplace noise."""
    return lambda data, draws: len(data) + laplace(draws, scale, rng())


def cached():
    """A count whose noise is drawn once for each size, and then kept."""
    kept = {}

    def run(data, draws):
        if draws not in kept:
            kept[draws] = laplace(draws, 1)
        return len(data) + kept[draws]

    return run


def histogram(scale):
    """Two counts; a row that is replaced moves both, so their L1 sensitivity is 2."""
    return lambda data, draws: np.bincount(data, minlength=2) + laplace((draws, 2), scale)


def two_answers(*, again):
    """Two counts in one session, half the budget each; with `again` the noise of the first serves the second too."""

    def run(data, draws):
        noise = laplace((draws, 2), 2)
        if again:
            noise[:, 1] = noise[:, 0]
        return np.array([len(data), sum(data)]) + noise

    return run


def floating(data, draws):
    """The textbook's Laplace in floating point: the last bits of an answer tell where the noise was added."""
    u = uniform(draws) - 0.5
    return len(data) - np.sign(u) * np.log(1 - 2 * np.abs(u))


def rounded(data, draws):
    """The same, rounded to the grid."""
    return np.round(floating(data, draws) * GRID) / GRID


# ------------------------------------------------------------------------------ sparse vector


def above(*, threshold, query, most):
    """Which answers lie above a noisy 0.5, in order, until `most` of them did; 2 stands for what was not answered."""

    def run(data, draws):
        level = 0.5 + (laplace((draws, 1), threshold) if threshold else 0.0)
        hits = (np.array(data) + laplace((draws, len(data)), query) >= level).astype(np.int64)
        if most is not None:
            before = np.cumsum(hits, axis=1) - hits
            hits[before >= most] = 2
        return hits

    return run


ALL_UP = (Pair("all answers up", [0] * 6, [1] * 6),)
HALVES = (Pair("two halves change places", [1] * 5 + [0] * 5, [0] * 5 + [1] * 5),)


# ------------------------------------------------------------------------------ selection


def noisy_max(*, value):
    """Where the largest noisy score is; with `value` also that score."""

    def run(data, draws):
        noisy = np.array(data) + laplace((draws, len(data)), 2)
        place = noisy.argmax(axis=1)
        return np.column_stack([place, noisy.max(axis=1)]) if value else place

    return run


def chosen(*, exact):
    """Which of two one-way marginals is modelled worst, the exponential mechanism at ε = 1 (exact) or 1/2.

    The score is the L1 distance of a marginal's counts from n times a public model. One row moves it by 1 if n is
    given; if n is the exact number of rows it moves, too, and the score by up to 2. The twin spends ε = 1/2 on n.
    """
    models = np.array([[0.0, 1.0], [0.1, 0.9]])

    def run(data, draws):
        counts = np.array([np.bincount([row[j] for row in data], minlength=2) for j in (0, 1)], dtype=np.float64)
        rows = np.full(draws, float(len(data))) if exact else len(data) + laplace(draws, 2)
        scores = np.abs(counts - rows[:, None, None] * models).sum(axis=2)
        rate = 0.5 if exact else 0.25
        return (uniform(draws) < 1 / (1 + np.exp(rate * (scores[:, 0] - scores[:, 1])))).astype(np.int64)

    return run


# ------------------------------------------------------------------------------ means


def mean_by_count(*, exact):
    """The mean of numbers in [0, 1], by the exact number of rows, or by a noisy one at half the budget."""

    def run(data, draws):
        total = _total(data) / GRID
        if exact:
            return (total + laplace(draws, 1)) / max(1, len(data))
        return (total + laplace(draws, 2)) / np.maximum(1, len(data) + laplace(draws, 2))

    return run


def mean_of_ten(*, late):
    """The mean of a public number of rows, clipped to [0, 1]: each of them, or (too late) their mean."""

    def run(data, draws):
        if late:
            middle = round(float(np.clip(np.sum(np.array(data) / len(data)), 0, 1)) * GRID) / GRID
            return middle + laplace(draws, Fraction(1, len(data)))
        return (_total(data) / GRID + laplace(draws, 1)) / len(data)

    return run


def _total(data):
    """Return the sum of the numbers clamped to [0, 1], on the grid."""
    return int(np.rint(np.clip(np.array(data, dtype=np.float64), 0, 1) * GRID).sum())


# ------------------------------------------------------------------------------ training

STEPS, NOISE = 10, Fraction(4, 5)


def epoch(*, shuffled):
    """Noisy sums of an epoch's batches: every row in one batch (shuffled), or in each with chance 1/10 (Poisson)."""

    def run(data, draws):
        rows = np.array(data, dtype=np.float64)
        if shuffled:
            place = np.argsort(uniform((draws, rows.size)), axis=1) % STEPS
            inside = place[:, None, :] == np.arange(STEPS)[None, :, None]
        else:
            inside = uniform((draws, STEPS, rows.size)) < 1 / STEPS
        return inside @ rows + normal((draws, STEPS), NOISE)

    return run


OTHERS = [-1.0] * 9
# What discreet's accountant proves of ten Poisson steps at rate 1/10 and noise 4/5: ε = 0.960 at δ = 0.03.
POISSON = Claim.approximate(0.961, 0.03, relation=Relation.ZERO_OUT)


CASES = (
    Case("half the scale", PURE, ONE_MORE, count(Fraction(1, 2)), count(1)),
    Case(
        "a sensitivity of 1 for 2",
        Claim.pure(1.0, relation=Relation.REPLACE_ONE),
        (Pair("a row changes its group", [0] * 5 + [1] * 4, [0] * 4 + [1] * 5, Relation.REPLACE_ONE),),
        histogram(1),
        histogram(2),
    ),
    Case("noise kept between calls", PURE, ONE_MORE, cached(), count(1)),
    Case(
        "noise of one answer reused for another",
        PURE,
        (Pair("a row that one answer counts", [1, 1, 0], [1, 1], Relation.ADD_REMOVE),),
        two_answers(again=True),
        two_answers(again=False),
    ),
    Case("a fixed seed", PURE, ONE_MORE, count(1, lambda: FixedRng(7)), count(1)),
    Case("the lattice of floats", PURE, (Pair("a row or none", [1], [], Relation.ADD_REMOVE),), floating, rounded),
    Case(
        "sparse vector: no noise on the threshold",
        PURE,
        ALL_UP,
        above(threshold=0, query=2, most=1),
        above(threshold=2, query=4, most=1),
    ),
    Case(
        "sparse vector: no cap on the answers above",
        PURE,
        HALVES,
        above(threshold=2, query=2, most=None),
        above(threshold=2, query=4, most=1),
    ),
    Case(
        "noisy max: the winner's noisy value",
        PURE,
        (Pair("all scores up", [0] * 5, [1] * 5),),
        noisy_max(value=True),
        noisy_max(value=False),
    ),
    Case(
        "the exact number of rows",
        PURE,
        tuple(record_pairs(0, 1, relation=Relation.ADD_REMOVE, rows=2))[2:5],
        mean_by_count(exact=True),
        mean_by_count(exact=False),
    ),
    Case(
        "clipping after averaging",
        Claim.pure(1.0, relation=Relation.REPLACE_ONE),
        tuple(record_pairs(0, 1, relation=Relation.REPLACE_ONE, rows=9))[:5],
        mean_of_ten(late=True),
        mean_of_ten(late=False),
    ),
    Case(
        "Poisson accounting of shuffled batches",
        POISSON,
        (Pair("a row against the others, or a blank", [1.0, *OTHERS], [0.0, *OTHERS], Relation.ZERO_OUT),),
        epoch(shuffled=True),
        epoch(shuffled=False),
    ),
    Case(
        "a selection that knows the exact number of rows",
        PURE,
        (Pair("a row in the rare cells", [(1, 1)] * 20 + [(0, 0)], [(1, 1)] * 20, Relation.ADD_REMOVE),),
        chosen(exact=True),
        chosen(exact=False),
    ),
)
