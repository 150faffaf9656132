"""Shuffled reports against values worked out independently, and a plain double sum. We may differ upward only."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from discreet.accounting.engines.shuffled import shuffled, shuffled_below

LOST = 1e-20
DELTA = 1e-5
# Binary randomised response, epsilon at delta = 1e-5, four digits after the point: an independent prototype of the
# same bound (Poisson-binomial by FFT).
SIZES = (10, 50, 100, 1000, 10000)
GOLDEN = {
    0.5: (0.4989, 0.2636, 0.1816, 0.0516, 0.0143),
    1.0: (0.9998, 0.6553, 0.4436, 0.1250, 0.0352),
    2.0: (2.0000, 1.9943, 1.4007, 0.3395, 0.0956),
    4.0: (4.0000, 4.0000, 3.9999, 1.4982, 0.3513),
}
# 250 people at each of .5, 1, 2, 4, shuffled together; and each class on its own.
MIXED = (0.0741, 0.1487, 0.2573, 0.3340)
APART = (0.1104, 0.2673, 0.7548, 3.9991)


def delta(law, epsilon):
    losses, masses, infinite = law
    return infinite + float(masses @ np.maximum(0.0, -np.expm1(np.minimum(epsilon - losses, 0.0))))


def epsilon(law, largest):
    low, high = 0.0, largest
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if delta(law, middle) <= DELTA else (middle, high)
    return high


@pytest.mark.parametrize("local", GOLDEN)
def test_golden_table(local):
    found = [epsilon(shuffled((local,), (n,), 2, victim=0, lost=LOST), local) for n in SIZES]
    assert [round(value, 4) for value in found] == list(GOLDEN[local])


def test_golden_people_who_differ():
    locals_ = tuple(GOLDEN)
    mixed = [epsilon(shuffled(locals_, (250,) * 4, 2, victim=j, lost=LOST), locals_[j]) for j in range(4)]
    apart = [epsilon(shuffled((local,), (250,), 2, victim=0, lost=LOST), local) for local in locals_]
    assert [round(value, 4) for value in mixed] == list(MIXED)
    assert [round(value, 4) for value in apart] == list(APART)


def double_sum(local, n, level, categories=2):
    """The bound by its definition, term by term, with scipy's binomials."""
    scale = math.exp(local) + categories - 1
    m = np.arange(n)
    weight = stats.binom.pmf(m, n - 1, 2 / scale)
    total = (categories - 2) / scale * max(0.0, 1 - math.exp(level))
    truth, lie = math.exp(local) / scale, 1 / scale
    for blankets, mass in zip(m, weight, strict=True):
        if mass > 1e-30:
            heads = stats.binom.pmf(np.arange(blankets + 1), blankets, 0.5)
            with_x0, with_x1 = np.append(0.0, heads), np.append(heads, 0.0)
            first, second = truth * with_x0 + lie * with_x1, lie * with_x0 + truth * with_x1
            total += mass * float(np.maximum(0.0, first - math.exp(level) * second).sum())
    return total


@pytest.mark.parametrize(
    ("local", "n", "categories", "level"),
    [(1.0, 3000, 2, 0.03), (1.0, 3000, 2, 0.1), (4.0, 3000, 2, 0.5), (2.0, 2000, 6, 0.2), (0.1, 1500, 2, 0.004)],
)
def test_definition_term_by_term(local, n, categories, level):
    ours = delta(shuffled((local,), (n,), categories, victim=0, lost=1e-25), level)
    truth = double_sum(local, n, level, categories)
    # 0.1 lies in the cell of the grid that holds the likely ratio 4 : 37: there a cell shows most.
    assert -1e-11 * truth <= ours - truth <= (1e-6 if level == 0.1 else 1e-9) * truth


@pytest.mark.parametrize(("local", "n", "level"), [(1.0, 100_000, 0.01), (3.0, 5000, 0.3)])
def test_lower_law_is_a_shift_of_a_binomial(local, n, level):
    a = math.exp(local) / (1 + math.exp(local))
    others = stats.binom.pmf(np.arange(n), n - 1, 1 - a)
    stay, rise = np.append(others, 0.0), np.append(0.0, others)
    first, second = a * stay + (1 - a) * rise, (1 - a) * stay + a * rise
    truth = float(np.maximum(0.0, first - math.exp(level) * second).sum())
    assert delta(shuffled_below((local,), (n,), 2, victim=0, lost=1e-25), level) == pytest.approx(truth, rel=1e-8)


def test_a_million_people_who_differ():
    locals_, counts = (0.5, 1.0, 2.0, 4.0), (250_000,) * 4
    law = shuffled(locals_, counts, 2, victim=3, lost=1e-15)
    below = shuffled_below(locals_, counts, 2, victim=3, lost=1e-15)
    assert law[2] < 2e-15
    assert 0.005 < epsilon(below, 4.0) < epsilon(law, 4.0) < 0.008
