"""Keyed noise: its law, tails, and that neither pairs, places, tensors nor steps share any. A scale 10 % off fails."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from discreet.mechanisms import Rng
from discreet.testing import Cells, gof
from discreet.testing.fit import FALSE_ALARM, binomials
from discreet.train.correlation import BandedInverseRoot, BandedRoot, BufferedToeplitz, LambdaCGD
from discreet.train.keystream import Keystream, fresh_key
from discreet.train.noise import CELL, KeyedNoise

BUFFERED = BufferedToeplitz((0.9, 0.4), (0.4, 0.5))
DRAWS = 400 * CELL
FINE = 2**20  # values are compared in units of 2**-20
_LEVELS = (1e-5, 1e-4, 1e-3, 0.01, *(i / 32 for i in range(1, 32)), 0.99, 0.999, 0.9999, 1 - 1e-5)
_EDGES = np.array([math.floor(FINE * NormalDist().inv_cdf(level)) for level in _LEVELS])
NORMAL = Cells(_EDGES, np.diff([NormalDist().cdf((edge + 1) / FINE) for edge in _EDGES], prepend=0.0, append=1.0))


def noise(correlation=None):
    return KeyedNoise(Keystream(fresh_key(Rng())), correlation)


def standard(values):
    """Return whether values have the standard normal law: by cells, far tails among them."""
    return gof(np.floor(values.astype(np.float64) * FINE).astype(np.int64), NORMAL).accepted


def near(values):
    """Return whether the empirical distribution is near the normal one: Massart's bound, false alarm 1e-8."""
    places = np.sort(values.astype(np.float64))
    law = 0.5 * (1 + torch.erf(torch.from_numpy(places) / math.sqrt(2)).numpy())
    steps = np.arange(1, places.size + 1) / places.size
    distance = max(np.abs(steps - law).max(), np.abs(steps - 1 / places.size - law).max())
    return distance <= math.sqrt(math.log(2 / FALSE_ALARM) / (2 * places.size))


def apart(first, second):
    """Return whether two samples agree in sign, and in being large, as often as independent ones do."""
    large = 2 * NormalDist().cdf(-1)
    counts = [((first > 0) == (second > 0)).sum()]
    counts += [
        ((np.abs(first) > 1) & (np.abs(second) > 1)).sum(),
        ((np.abs(first) < 0.1) & (np.abs(second) < 0.1)).sum(),
    ]
    small = 2 * NormalDist().cdf(0.1) - 1
    draws = np.full(3, first.size)
    return binomials(np.array(counts), draws, np.array([0.5, large**2, small**2])).accepted


@pytest.fixture(scope="module")
def drawn():
    return noise().fresh(5, "w", DRAWS).numpy()


def test_the_law_is_normal(drawn):
    for part in (drawn, drawn[: DRAWS // 2], drawn[1::2]):
        assert standard(part)
        assert near(part)


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_a_scale_ten_percent_off_is_rejected(drawn, scale):
    assert not standard(drawn * scale)
    assert not near(drawn * scale)


def test_what_is_added_has_the_deviation_asked_for():
    target = noise().add(torch.full((DRAWS,), 3.0), std=2.5, step=0, tensor="w").numpy()
    assert standard((target - 3.0) / 2.5)
    assert not standard((target - 3.0) / 2.25)


def test_radii_and_angles_are_those_of_pairs(drawn):
    """-radius²/2 is the logarithm of a uniform number, angles are uniform, and neither tells of the other."""
    pairs = drawn.reshape(-1, 2, CELL // 2).astype(np.float64)
    radius = np.exp(-(pairs**2).sum(axis=1) / 2).ravel()
    angle = (np.arctan2(pairs[:, 1], pairs[:, 0]) / (2 * math.pi) % 1).ravel()
    cells = Cells(np.arange(15), np.full(16, 1 / 16))
    assert gof(np.floor(radius * 16).astype(np.int64), cells).accepted
    assert gof(np.floor(angle * 16).astype(np.int64), cells).accepted
    assert apart(
        *(
            np.array([NormalDist().inv_cdf(u) for u in np.clip(some[:40_000], 1e-12, 1 - 1e-12)])
            for some in (radius, angle)
        )
    )


def test_far_tails_are_as_likely_as_they_should_be():
    found = noise().fresh(0, "w", 2**22).numpy()
    chances = np.array([2 * NormalDist().cdf(-x) for x in (3.5, 4.0, 4.5)])
    counts = np.array([(np.abs(found) > x).sum() for x in (3.5, 4.0, 4.5)])
    assert binomials(counts, np.full(3, found.size), chances).accepted
    assert not binomials(counts, np.full(3, found.size), chances * 1.5).accepted


def test_no_two_places_share_noise(drawn):
    source = noise()
    first = source.fresh(0, "w", DRAWS).numpy()
    others = [
        source.fresh(1, "w", DRAWS),  # another step
        source.fresh(0, "v", DRAWS),  # another tensor
        source.fresh(0, "w", DRAWS, offset=DRAWS),  # the next shard
        noise().fresh(0, "w", DRAWS),  # another key
    ]
    assert all(apart(first, other.numpy()) for other in others)
    assert apart(first[:-1], first[1:])
    assert apart(*first.reshape(-1, 2, CELL // 2).transpose(1, 0, 2).reshape(2, -1))
    assert not apart(first, first)
    assert not apart(first, (first + 0.1 * drawn).astype(np.float32))


@pytest.mark.parametrize("one", [BandedRoot(3), BandedInverseRoot(3), LambdaCGD(0.7), BUFFERED], ids=str)
def test_correlated_noise_has_the_covariance_of_the_inverse(one):
    """Each step's law, and how often two steps agree in sign: 1/2 + asin(correlation)/π for normal pairs."""
    steps = 4
    source = noise(one)
    found = np.array([source.standard(t, "w", DRAWS).numpy() for t in range(steps)])
    column = one.unmixing(steps)
    rows = np.array([[column[t - s] if t >= s else 0.0 for s in range(steps)] for t in range(steps)])
    covariance = rows @ rows.T
    deviations = np.sqrt(covariance.diagonal())
    assert all(standard(row / deviation) for row, deviation in zip(found, deviations, strict=True))
    assert not standard(found[3])  # not that of a fresh one
    for s, t in ((0, 1), (1, 2), (2, 3), (0, 3)):
        agree = 0.5 + math.asin(covariance[s, t] / deviations[s] / deviations[t]) / math.pi
        count = np.array([((found[s] > 0) == (found[t] > 0)).sum()])
        assert binomials(count, np.array([DRAWS]), np.array([agree])).accepted
        assert s + 1 < t or not binomials(count, np.array([DRAWS]), np.array([0.5])).accepted
