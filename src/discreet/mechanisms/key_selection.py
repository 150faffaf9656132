"""Which unknown keys may be shown: the optimal rule by counts of privacy units."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from discreet import events
from discreet.errors import InvalidInput
from discreet.mechanisms.exact import exp_bounds
from discreet.mechanisms.parameters import positive_epsilon, rounded_up
from discreet.mechanisms.rng import Rng
from discreet.mechanisms.vectors import Integers, clipped_vector

_UNIT_BITS = 64  # probabilities are whole numbers of 2**-64
_LEAST_EPSILON = Fraction(1, 2**16)  # per key; below it the table would be too long
_LEAST_DELTA = Fraction(1, 2**50)  # per key; below it rounding would cost utility
_EXP_BITS = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySelection:
    """Keep each key with the largest probability that (epsilon, delta)-DP allows for its count.

    The keep probability of a key that n units have is π(0) = 0 and
    π(n+1) = min(e^ε·π(n) + δ, 1 - e^-ε·(1 - π(n) - δ), 1), with ε = epsilon/max_groups and
    δ = delta/max_groups, each value rounded down to a multiple of 2**-64 before the next is made.

    Args:
        epsilon: Epsilon of the whole selection; its exact value is used.
        delta: Delta of the whole selection.
        max_groups: How many keys one unit may have. Under replace_one a unit changes twice as many counts:
            give twice the number.

    Guarantee:
        (epsilon, delta)-DP for the set of keys kept, under add_remove: counts of at most
        `max_groups` keys differ by one, all in the same direction.
    Evidence:
        Proven: docs/proofs/key_selection.md.
    Assumes:
        Counts are numbers of distinct units, each counted for at most `max_groups` keys (enforced
        by the caller). Only keys that appear in the data are offered.
    Not protected:
        Keys kept are shown as they are written: a key must not itself be a secret. Keys dropped and their
        number are not covered: publish neither.

    References:
        Desfontaines, Voss, Gipson, Mandayam, "Differentially private partition selection", 2022.
    """

    epsilon: float | Fraction
    delta: float | Fraction
    max_groups: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", positive_epsilon(self.epsilon))
        if isinstance(self.delta, bool) or not isinstance(self.delta, int | float | Fraction) or not 0 < self.delta < 1:
            raise InvalidInput(f"delta must lie between 0 and 1, got {self.delta!r}.")
        object.__setattr__(self, "delta", Fraction(self.delta))
        if isinstance(self.max_groups, bool) or not isinstance(self.max_groups, int) or self.max_groups < 1:
            raise InvalidInput(f"max_groups must be a whole number of at least 1, got {self.max_groups!r}.")
        epsilon, delta = self._per_key
        if epsilon < _LEAST_EPSILON or delta < _LEAST_DELTA:
            raise InvalidInput(
                f"epsilon and delta for each of {self.max_groups} keys come to {float(epsilon):g} and {float(delta):g};"
                " at least 2**-16 and 2**-50 are needed.",
                remedy="Raise epsilon or delta, or lower max_groups.",
            )

    @property
    def _per_key(self) -> tuple[Fraction, Fraction]:
        return Fraction(self.epsilon) / self.max_groups, Fraction(self.delta) / self.max_groups

    @property
    def event(self) -> events.KeySelection:
        """What a call is charged as."""
        return events.KeySelection(
            epsilon=rounded_up(Fraction(self.epsilon)),
            delta=rounded_up(Fraction(self.delta)),
            max_groups=self.max_groups,
        )

    @property
    def always_kept(self) -> int:
        """The smallest count at which a key is kept with certainty."""
        return keep_probabilities(*self._per_key).size

    def keep_probability(self, count: int) -> Fraction:
        """Return the exact probability with which a key of `count` units is kept."""
        if count >= self.always_kept:
            return Fraction(1)
        return Fraction(int(keep_probabilities(*self._per_key)[max(count, 0)]), 1 << _UNIT_BITS)

    def __call__(self, exact_values: Integers, rng: Rng) -> NDArray[np.bool_]:
        """Return for each count whether its key is kept; a negative count counts as 0."""
        table = keep_probabilities(*self._per_key)
        counts = clipped_vector(exact_values, 0, table.size)
        chances = table.take(counts, mode="clip")
        kept: NDArray[np.bool_] = rng.words(counts.size) < chances
        kept |= counts == table.size
        return kept


@lru_cache(maxsize=16)
def keep_probabilities(epsilon: Fraction, delta: Fraction) -> NDArray[np.uint64]:
    """Return π(0), π(1), … in units of 2**-64, up to the last one below 1."""
    whole = 1 << _UNIT_BITS
    shrink = exp_bounds(epsilon, _EXP_BITS)[1]  # at least e^-epsilon
    grow = (1 << 2 * _EXP_BITS) // shrink  # at most e^epsilon
    step = int(delta * whole)
    kept = 0
    table = []
    while kept < whole:
        table.append(kept)
        rest = max(0, whole - kept - step)
        kept = min((kept * grow >> _EXP_BITS) + step, whole + (-rest * shrink >> _EXP_BITS))
    probabilities = np.array(table, dtype=np.uint64)
    probabilities.setflags(write=False)
    return probabilities
