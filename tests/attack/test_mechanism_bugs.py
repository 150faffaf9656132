"""Planted bugs in mechanisms: a named check catches each, and clears the good twin."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from discreet import events
from discreet.mechanisms import (
    DiscreteGaussianMechanism,
    DiscreteLaplaceMechanism,
    ExponentialMechanism,
    KeySelection,
    PermuteAndFlip,
    RandomizedResponse,
    Rng,
)
from discreet.testing import (
    FixedRng,
    Nonconforming,
    check_fork,
    check_fresh,
    check_independent,
    check_key_selection,
    check_loss,
    check_noise,
    check_randomized_response,
    check_selection,
    check_sensitivity,
    check_threads,
)


def caught(check, bad, good, *args, **settings):
    check(good, *args, **settings)
    with pytest.raises(Nonconforming):
        check(bad, *args, **settings)


@dataclass
class Planted:
    """One mechanism's call under another event, or after a change of its inputs or outputs."""

    event: events.Event
    call: object

    def __call__(self, exact_values, rng):
        return self.call(exact_values, rng)


LAPLACE = DiscreteLaplaceMechanism(Fraction(2), Fraction(10))
GAUSSIAN = DiscreteGaussianMechanism(Fraction(4), Fraction(100))


def test_scale_ten_percent_low():
    caught(check_noise, Planted(LAPLACE.event, DiscreteLaplaceMechanism(Fraction(2), Fraction(9))), LAPLACE)
    caught(check_noise, Planted(GAUSSIAN.event, DiscreteGaussianMechanism(Fraction(4), Fraction(81))), GAUSSIAN)


def test_halved_sensitivity():
    neighbours = [([5, 7, 0], [4, 6, 0]), ([0, 0, 3], [0, 0, 1])]
    caught(check_sensitivity, DiscreteLaplaceMechanism(Fraction(1), Fraction(10)), LAPLACE, neighbours)
    caught(check_sensitivity, DiscreteGaussianMechanism(Fraction(1), Fraction(100)), GAUSSIAN, neighbours)


def test_seed_fixed():
    bad = Planted(LAPLACE.event, lambda values, _: LAPLACE(values, FixedRng(7)))
    caught(check_fresh, bad, LAPLACE, np.zeros(64, dtype=np.int64))


def test_noise_reused_across_coordinates():
    def one_for_all(values, rng):
        return values + LAPLACE(values[:1] * 0, rng)

    def one_for_two(values, rng):
        return values + np.repeat(LAPLACE(values[::2] * 0, rng), 2)[: values.size]

    caught(check_independent, Planted(LAPLACE.event, one_for_all), LAPLACE)
    caught(check_independent, Planted(LAPLACE.event, one_for_two), LAPLACE)


class PooledRng(Rng):
    """Keeps a pool of bytes; with `by_process` it drops it when the process changes."""

    def __init__(self, *, by_process):
        self.by_process = by_process
        self.pool, self.owner = b"", os.getpid()

    def bytes(self, n):
        if self.by_process and self.owner != os.getpid():
            self.pool, self.owner = b"", os.getpid()
        if len(self.pool) < n:
            self.pool += os.urandom(n + 4096)
        drawn, self.pool = self.pool[:n], self.pool[n:]
        return drawn


class RacyRng(Rng):
    """A pool whose position is read and written without a lock, with a pause to show it."""

    def __init__(self):
        self.pool, self.at = os.urandom(2**20), 0

    def bytes(self, n):
        at = self.at
        os.sched_yield()
        self.at = at + n
        return self.pool[at : at + n]


def test_pool_reused_after_fork():
    caught(check_fork, PooledRng(by_process=False), PooledRng(by_process=True))
    check_fork(Rng())


def test_pool_shared_by_threads():
    caught(check_threads, RacyRng(), Rng())


def test_randomized_response_off_by_one():
    good = RandomizedResponse(epsilon=1.0, categories=4)

    def last_category_never_lied(values, rng):
        lied = RandomizedResponse(epsilon=1.0, categories=3)(np.minimum(values, 2), rng)
        return np.where(values == 3, 3, lied)

    def odds_for_one_category_fewer(values, rng):
        """Keep the truth with probability e/(e + 2), lie among the other three."""
        kept = RandomizedResponse(epsilon=1.0, categories=3)(values * 0, rng) == 0
        lie = RandomizedResponse(epsilon=1e-6, categories=3)(values * 0, rng)
        return np.where(kept, values, (values + 1 + lie) % 4)

    for call in (last_category_never_lied, odds_for_one_category_fewer):
        caught(check_randomized_response, Planted(good.event, call), good)


def test_softmax_under_the_event_of_permute_and_flip():
    softmax, flip = ExponentialMechanism(epsilon=2.0, sensitivity=1), PermuteAndFlip(epsilon=2.0, sensitivity=1)
    caught(check_selection, Planted(flip.event, softmax), flip, [0, 1, 3], sensitivity=1)


def test_permute_and_flip_under_the_event_of_softmax():
    """Its range of log-ratios is above epsilon, so epsilon²/8 would under-charge it: measured, not only named."""
    softmax, flip = ExponentialMechanism(epsilon=2.0, sensitivity=1), PermuteAndFlip(epsilon=2.0, sensitivity=1)
    bad = Planted(softmax.event, flip)
    caught(check_loss, bad, softmax, [0, 0], [1, -1])
    caught(check_selection, bad, softmax, [0, 1, 3], sensitivity=1)


def test_selection_with_halved_sensitivity():
    good = PermuteAndFlip(epsilon=2.0, sensitivity=2)
    caught(check_loss, Planted(good.event, PermuteAndFlip(epsilon=2.0, sensitivity=1)), good, [0, 0], [2, -2])


def test_key_threshold_off_by_one():
    good = KeySelection(epsilon=1.0, delta=1e-2, max_groups=1)
    for shift in (1, -1):
        caught(check_key_selection, Planted(good.event, lambda counts, rng, s=shift: good(counts + s, rng)), good)


def test_key_budget_not_split_over_groups():
    good = KeySelection(epsilon=1.0, delta=1e-2, max_groups=3)
    whole = KeySelection(epsilon=1.0, delta=1e-2, max_groups=1)
    caught(check_key_selection, Planted(good.event, whole), good)
