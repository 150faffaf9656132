"""Every mechanism passes its conformance suite and refuses what it cannot do."""

from __future__ import annotations

import inspect
from fractions import Fraction

import numpy as np
import pytest
from tests.quantile_laws import answer_law, check_quantile_law

import discreet.mechanisms as m
from discreet import events
from discreet.errors import InvalidInput
from discreet.testing import (
    FixedRng,
    check_fork,
    check_fresh,
    check_independent,
    check_key_selection,
    check_noise,
    check_randomized_response,
    check_selection,
    check_threads,
    check_weighted_selection,
)

NOISE = [
    m.DiscreteLaplaceMechanism(Fraction(1), Fraction(1, 2)),
    m.DiscreteLaplaceMechanism(Fraction(3), Fraction(1234, 7)),
    m.DiscreteGaussianMechanism(Fraction(1), Fraction(1, 3)),
    m.DiscreteGaussianMechanism(Fraction(2), Fraction(10**7, 3)),
]
SELECTION = [
    m.ExponentialMechanism(epsilon=1.0, sensitivity=2),
    m.PermuteAndFlip(epsilon=1.0, sensitivity=2),
    m.NoisyMax(epsilon=1.0, sensitivity=2),
]
OTHERS = [
    m.RandomizedResponse(epsilon=1.0, categories=5),
    m.KeySelection(epsilon=1.0, delta=1e-3, max_groups=2),
    m.WeightedKeySelection(
        variance=Fraction(5000), delta=0.05, max_keys=Fraction(4), relation=events.Relation.ADD_REMOVE, norm_squared=900
    ),
]
LINE = {"epsilon": 1.0, "weight": 1, "low": 0, "high": 9, "relation": events.Relation.ADD_REMOVE}
QUANTILES = [
    m.Quantiles(ranks=(Fraction(1, 2),), **LINE),
    m.Quantiles(ranks=(Fraction(1, 10), Fraction(1, 2), Fraction(2, 3)), **LINE),
    m.Extreme(which="max", **LINE),
]
EVERY = [*NOISE, *SELECTION, *OTHERS, *QUANTILES]


@pytest.mark.parametrize("mechanism", NOISE, ids=str)
def test_noise(mechanism):
    check_noise(mechanism)
    check_independent(mechanism)
    check_fresh(mechanism, np.zeros(200, dtype=np.int64))


@pytest.mark.parametrize("mechanism", SELECTION, ids=lambda mechanism: type(mechanism).__name__)
def test_selection(mechanism):
    check_selection(mechanism, [4, 0, 1, 4], sensitivity=2, draws=20_000)


def test_the_others():
    check_randomized_response(OTHERS[0])
    check_key_selection(OTHERS[1])
    check_weighted_selection(OTHERS[2])
    check_fresh(OTHERS[0], np.zeros(200, dtype=np.int64))


@pytest.mark.parametrize("mechanism", QUANTILES, ids=lambda mechanism: type(mechanism).__name__)
def test_quantiles(mechanism, monkeypatch):
    monkeypatch.setattr(m.quantiles, "CELLS", 2)  # so that all cells can be enumerated
    counts = [0, 2, 0, 0, 1, 3, 0, 0, 0, 1]
    check_quantile_law(mechanism, counts, answer_law(mechanism, counts), draws=4000)


def test_the_generator():
    check_fork(m.Rng())
    check_threads(m.Rng())


@pytest.mark.parametrize("mechanism", EVERY, ids=lambda mechanism: type(mechanism).__name__)
def test_event_and_sampler_are_one_frozen_object(mechanism):
    assert events.from_json(events.to_json(mechanism.event)) == mechanism.event
    field = next(iter(inspect.signature(type(mechanism)).parameters))
    with pytest.raises(AttributeError):
        setattr(mechanism, field, 1)
    with pytest.raises((AttributeError, TypeError)):  # which of the two depends on the version of Python
        mechanism.event = events.NonPrivate()


@pytest.mark.parametrize("mechanism", EVERY, ids=lambda mechanism: type(mechanism).__name__)
def test_the_fixed_generator_repeats_and_is_not_secure(mechanism):
    values = np.array([1, 4, 2, 3] * 20, dtype=np.int64)
    given = (values, values) if mechanism in QUANTILES else (values,)
    first, second = (np.asarray(mechanism(*given, FixedRng(3))).tolist() for _ in range(2))
    assert first == second
    assert not FixedRng(3).secure
    assert m.Rng().secure


def test_no_public_signature_takes_a_seed():
    for name in m.__all__:
        assert not {"seed", "random_state"} & set(inspect.signature(getattr(m, name)).parameters)


WRONG = [
    lambda: m.discrete_laplace(3, scale=1.5, rng=m.Rng()),
    lambda: m.discrete_laplace(3, scale=Fraction(2**47), rng=m.Rng()),
    lambda: m.discrete_laplace(3, scale=Fraction(0), rng=m.Rng()),
    lambda: m.discrete_laplace(-1, scale=Fraction(1), rng=m.Rng()),
    lambda: m.discrete_laplace(True, scale=Fraction(1), rng=m.Rng()),
    lambda: m.discrete_gaussian(3, variance=Fraction(2**93), rng=m.Rng()),
    lambda: m.discrete_gaussian(3, variance=Fraction(-1), rng=m.Rng()),
    lambda: m.discrete_laplace_quantile(1.0, Fraction(1)),
    lambda: m.discrete_gaussian_quantile(-0.1, Fraction(1)),
    lambda: m.DiscreteLaplaceMechanism(Fraction(-1), Fraction(1)),
    lambda: m.DiscreteLaplaceMechanism(1.0, Fraction(1)),
    lambda: NOISE[0]([1.5], m.Rng()),
    lambda: NOISE[0]([True], m.Rng()),
    lambda: NOISE[0](np.zeros(3), m.Rng()),
    lambda: NOISE[0](np.zeros((2, 2), dtype=np.int64), m.Rng()),
    lambda: m.ExponentialMechanism(epsilon=0.0, sensitivity=1),
    lambda: m.ExponentialMechanism(epsilon=float("inf"), sensitivity=1),
    lambda: m.PermuteAndFlip(epsilon=1.0, sensitivity=0),
    lambda: m.NoisyMax(epsilon=1.0, sensitivity=1.5),
    lambda: m.NoisyMax(epsilon=1e-30, sensitivity=1),
    lambda: SELECTION[0]([], m.Rng()),
    lambda: SELECTION[0]([0.5], m.Rng()),
    lambda: SELECTION[0](np.zeros(3), m.Rng()),
    lambda: m.RandomizedResponse(epsilon=1.0, categories=1),
    lambda: OTHERS[0](np.zeros(3), m.Rng()),
    lambda: m.KeySelection(epsilon=1.0, delta=0.0, max_groups=1),
    lambda: m.KeySelection(epsilon=1.0, delta=1.0, max_groups=1),
    lambda: m.KeySelection(epsilon=1.0, delta=1e-6, max_groups=0),
    lambda: m.KeySelection(epsilon=1e-5, delta=1e-6, max_groups=1),
    lambda: m.KeySelection(epsilon=1.0, delta=1e-16, max_groups=1),
    lambda: OTHERS[1](np.zeros(3), m.Rng()),
    lambda: OTHERS[2](np.zeros(3), m.Rng()),
    lambda: m.Rng().bytes(-1),
]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_wrong_uses_are_refused(wrong):
    with pytest.raises(InvalidInput):
        wrong()
