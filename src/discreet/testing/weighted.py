"""What one round of weighted key selection must pass; raises `Nonconforming`, and fails a right one once in 1e8 runs."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from discreet import events
from discreet.mechanisms.rng import Rng
from discreet.testing.conformance import Nonconforming
from discreet.testing.fit import FALSE_ALARM, binomials, chance_interval
from discreet.testing.laws import noise_law

_MOST_SPREADS = 16


class WeightedSelection(Protocol):
    """What is checked: a round that names its event and its threshold."""

    @property
    def event(self) -> events.Event:
        """What a call is charged as."""

    @property
    def threshold(self) -> int:
        """The noisy weight from which a key is kept."""

    @property
    def max_keys(self) -> Fraction:
        """The most keys that one unit offers."""

    @property
    def norm_squared(self) -> int:
        """The most that the squares of one unit's weights sum to."""

    def __call__(self, exact_weights: Any, rng: Rng, /) -> Any:
        """Return whether each key is kept."""


def check_weighted_selection(mechanism: WeightedSelection, *, draws: int = 20_000) -> None:
    """Check that keys are kept as the event's noise says, and a unit's own keys no more often than its δ.

    Give a round of large delta, whose variance is below some millions: its law is worked out number by number.
    """
    match mechanism.event:
        case events.Composed((events.DiscreteGaussian() as noise, events.Approximate(epsilon=0.0) as alone)):
            pass
        case other:
            raise Nonconforming(f"the event is a {other.kind}, not one of noise and of a δ beside it")
    law = noise_law(noise)
    weights = mechanism.threshold - 1 - law.edges  # kept if the noise lies beyond the edge
    kept = np.asarray(mechanism(np.repeat(weights, draws), Rng())).reshape(-1, draws).sum(axis=1)
    beyond = 1 - law.probabilities.cumsum()[:-1]
    fit = binomials(kept, np.full(weights.size, draws), beyond)
    if not fit.accepted:
        raise Nonconforming(f"keys are not kept as the event's noise says: {fit.worst} (p <= {fit.p_value:.1e})")
    spreads = [_even(mechanism.norm_squared, n) for n in range(1, min(_MOST_SPREADS, int(mechanism.max_keys)) + 1)]
    spreads += [spread + [0] * (int(mechanism.max_keys) - len(spread)) for spread in spreads[:1]]
    for spread in spreads:
        own = np.tile(np.array(spread, dtype=np.int64), draws)
        shown = int(np.asarray(mechanism(own, Rng())).reshape(draws, -1).any(axis=1).sum())
        least = chance_interval(shown, draws, FALSE_ALARM / len(spreads))[0]
        if least > alone.delta:
            raise Nonconforming(
                f"a key of one unit alone, which weighs {spread}, is kept in {shown} of {draws} runs;"
                f" the event allows {alone.delta:g}"
            )


def _even(norm_squared: int, n: int) -> list[int]:
    return [math.isqrt(norm_squared // n)] * n
