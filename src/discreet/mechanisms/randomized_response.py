"""k-ary randomised response with exact odds."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from discreet import events
from discreet.errors import InvalidInput
from discreet.mechanisms.coins import TOLERANCE, coins, uniform_integers
from discreet.mechanisms.exact import exp_bounds
from discreet.mechanisms.parameters import positive_epsilon, rounded_up
from discreet.mechanisms.rng import Rng
from discreet.mechanisms.vectors import Integers, clipped_vector

_MOST_CATEGORIES = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomizedResponse:
    """Answer the true category with odds e^epsilon : 1 : … : 1 against each other one.

    Each value is answered independently: a uniform category with probability
    k/(e^epsilon + k - 1), otherwise the true one.

    Args:
        epsilon: Epsilon for each answer; its exact value is used.
        categories: k, how many categories there are, 2 to 2**31.

    Guarantee:
        epsilon-DP for each answer, under replacement of its value.
    Evidence:
        Proven: docs/proofs/randomized_response.md.
    Assumes:
        One privacy unit gives one answer.
    Not protected:
        How many answers there are, and who answers.

    References:
        Warner, 1965; Kairouz, Oh, Viswanath, 2014.
    """

    epsilon: float | Fraction
    categories: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", positive_epsilon(self.epsilon))
        k = self.categories
        if isinstance(k, bool) or not isinstance(k, int) or not 2 <= k <= _MOST_CATEGORIES:
            raise InvalidInput(f"categories must be a whole number from 2 to 2**31, got {k!r}.")

    @property
    def event(self) -> events.RandomizedResponse:
        """What each answer is charged as."""
        return events.RandomizedResponse(epsilon=rounded_up(Fraction(self.epsilon)), categories=self.categories)

    def __call__(self, exact_values: Integers, rng: Rng) -> NDArray[np.int64]:
        """Return one randomised answer for each value; a value outside 0 … k - 1 counts as the nearest one."""
        values = clipped_vector(exact_values, 0, self.categories - 1)
        odds = float(np.exp(-float(self.epsilon)))
        chance = self.categories * odds / (1 + (self.categories - 1) * odds)
        lied = coins(np.full(values.size, chance), lambda _: self._lie_bounds, rng, tolerance=TOLERANCE)
        return np.where(lied, uniform_integers(values.size, self.categories, rng), values)

    def _lie_bounds(self, bits: int) -> tuple[int, int]:
        """Enclose k·q/(1 + (k - 1)·q), q = exp(-epsilon), which grows with q."""
        fine = bits + self.categories.bit_length() + 4
        lower, upper = exp_bounds(Fraction(self.epsilon), fine)
        one, k = 1 << fine, self.categories
        return (
            (k * lower << bits) // (one + (k - 1) * lower),
            -(-(k * upper << bits) // (one + (k - 1) * upper)),
        )
