"""Which unknown keys may be shown: each unit spreads a bounded weight over all of its keys, and heavy keys are kept.

Several rounds keep more than one. Between rounds a unit takes its weight off keys that were kept, and off keys that
look hopeless. Which look so is noisy, and stays inside: it steers weights and is never shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from discreet import events
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.mechanisms.noise import DiscreteGaussianMechanism
from discreet.mechanisms.parameters import LARGEST_SCALE, rational, rounded_up, smallest
from discreet.mechanisms.rng import Rng
from discreet.mechanisms.vectors import Integers

_NORM_SQUARED = 2**40  # of weights as `key_weight` gives them
_LEAST_DELTA = Fraction(1, 2**60)  # the ledger's unit
_MOST_KEYS = 2**30
_CELLS = 512  # of the weights that one key may have
_HALVINGS = 32  # of the interval of multipliers; any number gives a valid bound
_GUESSES = 6
_TINY = 1e-300  # below it floats lose digits
_MARGIN = 1e-11  # relative; far above the errors of erfc and of a few float sums


class _Stage(NamedTuple):
    """A round of the schedule: its shares of rho and delta, and below how many deviations a key is hopeless."""

    rho: Fraction
    delta: Fraction
    hopeless: Fraction | None


# Near the best on made-up tables that differ in size, skew and keys per unit: see benchmarks/keys.py.
_SCHEDULE = (
    _Stage(Fraction(10, 100), Fraction(18, 100), Fraction(-1, 4)),
    _Stage(Fraction(25, 100), Fraction(30, 100), Fraction(8, 5)),
    _Stage(Fraction(65, 100), Fraction(52, 100), None),
)


def key_weight(n: int) -> int:
    """Return floor(2**20/√n), the weight that a unit of n keys puts on each: n·weight² is at most 2**40.

    A database finds the same number as floor(1048576 / sqrt(n)) in double precision, for every n below 2**53.

    Guarantee:
        The squares of a unit's weights sum to at most 2**40.
    Evidence:
        Proven: docs/proofs/weighted_selection.md.
    Assumes:
        Of the database: sqrt and division are correctly rounded, or wrong by less than a part in 2**43.
    Not protected:
        Nothing: this is arithmetic.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InvalidInput(f"n must be a whole number of at least 1, got {n!r}.")
    return math.isqrt(_NORM_SQUARED // n)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedKeySelection:
    """Keep each key whose total weight, plus discrete Gaussian noise, reaches a threshold: one round.

    Args:
        variance: The parameter σ² of the noise, at least 1.
        delta: The probability with which a key that only one unit has may be kept.
        max_keys: The most keys that one unit offers (an int will do); in a later round the `left` of the round before.
        relation: When two datasets are neighbours.
        cutoff: A key with a noisy weight below it is closed: later rounds do without it. None closes no key.
        norm_squared: The most that the squares of one unit's weights sum to; by default that of `key_weight`.

    Guarantee:
        All rounds together are dominated by the composition of their events: discrete Gaussian noise, and a δ beside
        it. In particular they are ρ-zCDP but for the sum of their deltas, ρ being the sum of their
        norm_squared/(2·variance), twice that under replace_one.
    Evidence:
        Proven: docs/proofs/weighted_selection.md.
    Assumes:
        Which keys a unit offers is settled once, at most `max_keys` of them, without a look at other units; all and
        only the keys that some unit offers are given to the first round, and all and only those still open to the
        next. A unit puts whole weights of at least 0 on keys that it offers itself, their squares summing to at most
        `norm_squared`, and chooses them by what became of those keys alone.
    Not protected:
        Keys kept are shown as they are written: a key must not itself be a secret. Keys not kept, their number,
        and which of them are still open are not covered: publish nothing about them.

    References:
        Gopi, Gulhane, Kulkarni, Shen, Shokouhi, Yekhanin, "Differentially private set union", 2020 (the weights);
        Swanberg, Desfontaines, Haney, "DP-SIPS", 2023 (the rounds). Closing keys by hidden noise is ours.
    """

    variance: Fraction
    delta: float | Fraction
    max_keys: Fraction
    relation: Relation
    cutoff: int | None = None
    norm_squared: int = _NORM_SQUARED

    def __post_init__(self) -> None:
        variance = rational("variance", self.variance, Fraction(1), LARGEST_SCALE**2)
        object.__setattr__(self, "variance", variance)
        if isinstance(self.delta, bool) or not isinstance(self.delta, int | float | Fraction):
            raise InvalidInput(f"delta must be a number, got {self.delta!r}.")
        if not _LEAST_DELTA <= self.delta < 1:
            raise InvalidInput(f"delta must lie from 2**-60 to below 1, got {float(self.delta):g}.")
        object.__setattr__(self, "delta", Fraction(self.delta))
        object.__setattr__(self, "max_keys", rational("max_keys", self.max_keys, Fraction(0), Fraction(_MOST_KEYS)))
        if not isinstance(self.relation, Relation):
            raise InvalidInput(f"relation must be a Relation, got {self.relation!r}.")
        if self.cutoff is not None and (isinstance(self.cutoff, bool) or not isinstance(self.cutoff, int)):
            raise InvalidInput(f"cutoff must be a whole number or None, got {self.cutoff!r}.")
        if self.cutoff is not None and abs(self.cutoff) > 2**62:
            raise InvalidInput("cutoff must lie from -2**62 to 2**62.")
        if isinstance(self.norm_squared, bool) or not isinstance(self.norm_squared, int):
            raise InvalidInput(f"norm_squared must be a whole number, got {self.norm_squared!r}.")
        if not 1 <= self.norm_squared <= 2**80:
            raise InvalidInput(f"norm_squared must lie from 1 to 2**80, got {self.norm_squared}.")

    @classmethod
    def rounds(
        cls, *, rho: Fraction, delta: float | Fraction, max_keys: int, relation: Relation
    ) -> tuple[WeightedKeySelection, ...]:
        """Return rounds that together cost at most `rho` and `delta`: three, or one where a unit has only one key.

        Args:
            rho: What the noise of all rounds may cost, in ρ of zCDP.
            delta: The δ of all rounds.
            max_keys: The most keys that one unit offers.
            relation: When two datasets are neighbours.

        Guarantee:
            The rhos of the rounds' events sum to at most `rho`, exactly, and their deltas to at most `delta`.
        Evidence:
            Proven: docs/proofs/weighted_selection.md.
        Assumes:
            As for the rounds.
        Not protected:
            As for the rounds.
        """
        if isinstance(rho, bool) or not isinstance(rho, int | Fraction) or rho <= 0:
            raise InvalidInput(f"rho must be a Fraction above 0, got {rho!r}.")
        if isinstance(max_keys, bool) or not isinstance(max_keys, int) or max_keys < 1:
            raise InvalidInput(f"max_keys must be a whole number of at least 1, got {max_keys!r}.")
        last = _Stage(Fraction(1), Fraction(1), None)
        made: list[WeightedKeySelection] = []
        keys = Fraction(max_keys)
        for stage in _SCHEDULE if max_keys > 1 else (last,):
            variance = math.ceil(_persons(relation) * _NORM_SQUARED / (2 * Fraction(rho) * stage.rho))
            cutoff = None if stage.hopeless is None else math.floor(float(stage.hopeless) * math.sqrt(variance))
            made.append(
                cls(
                    variance=Fraction(variance),
                    delta=_rounded_down(Fraction(delta) * stage.delta),
                    max_keys=keys,
                    relation=relation,
                    cutoff=cutoff,
                )
            )
            keys = made[-1].left
        return tuple(made)

    @property
    def sensitivity_squared(self) -> int:
        """The square of the L2 sensitivity: two units of the norm where one replaces another."""
        return _persons(self.relation) * self.norm_squared

    @property
    def event(self) -> events.Composed:
        """What a call is charged as."""
        return events.Composed(
            (
                events.DiscreteGaussian(Fraction(self.sensitivity_squared), self.variance),
                events.Approximate(0.0, rounded_up(Fraction(self.delta))),
            )
        )

    @property
    def threshold(self) -> int:
        """The noisy weight from which a key is kept."""
        own = Fraction(self.delta) / _persons(
            self.relation
        )  # where one unit replaces another, both may have keys alone
        return _threshold(own, self.max_keys, self.norm_squared, self.variance)

    @property
    def left(self) -> Fraction:
        """How many keys that only one unit has stay open, at most, in expectation: the next round's `max_keys`."""
        if self.cutoff is None:
            return self.max_keys
        above = expected_above(self.cutoff, self.max_keys, self.norm_squared, self.variance)
        return min(self.max_keys, Fraction(above))

    def keep_probability(self, weight: int) -> tuple[float, float]:
        """Return bounds of the probability with which a key of this total weight is kept."""
        gap = self.threshold - weight
        upper = float(_tail(np.array([float(gap)]), self.variance)[0])
        rest = float(_tail(np.array([float(1 - gap)]), self.variance)[0])  # the law is symmetric
        return max(0.0, 1 - rest - _MARGIN), min(1.0, upper * (1 + _MARGIN))

    def __call__(self, exact_weights: Integers, rng: Rng) -> NDArray[np.bool_]:
        """Return for each key, given its total weight, whether it is kept."""
        return self.sift(exact_weights, rng)[0]

    def sift(self, exact_weights: Integers, rng: Rng) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return for each key whether it is kept, and whether it is open for the next round; the latter is private."""
        noisy = DiscreteGaussianMechanism(Fraction(self.sensitivity_squared), self.variance)(exact_weights, rng)
        kept: NDArray[np.bool_] = np.asarray(noisy >= self.threshold, dtype=np.bool_)
        if self.cutoff is None:
            return kept, ~kept
        return kept, ~kept & np.asarray(noisy >= self.cutoff, dtype=np.bool_)


def expected_above(edge: int, keys: Fraction, norm_squared: int, variance: Fraction) -> float:
    """Return how many of a unit's own keys get a noisy weight of at least `edge`, at most, in expectation.

    The bound holds however the unit spreads its weight. For every multiplier m >= 0, keys·max over w of
    (P(N >= edge - w) - m·w²) + m·norm_squared is one. The maximum is over cells of w, with the chance at a cell's upper
    end and the square of its lower; the multipliers close in on the one whose maximum lies at an even spread.

    Args:
        edge: A noisy weight.
        keys: How many keys there are, or are expected.
        norm_squared: The most that the squares of the weights sum to.
        variance: Of the noise.
    """
    count = rounded_up(keys)
    ends = np.linspace(0.0, math.sqrt(norm_squared), _CELLS + 1)
    chances, squares = _tail(edge - ends[1:], variance), ends[:-1] ** 2
    best = count * chances[-1]  # of the multiplier 0
    low, high = 0.0, (chances[-1] - chances[0]) / squares[1]
    for _ in range(_HALVINGS):
        multiplier = (low + high) / 2
        gains = chances - multiplier * squares
        worst, paid = int(gains.argmax()), multiplier * norm_squared
        best = min(best, count * gains[worst] + paid + _MARGIN * count * paid)
        low, high = (multiplier, high) if count * squares[worst] > norm_squared else (low, multiplier)
    return float(best * (1 + _MARGIN))


@lru_cache(maxsize=64)
def _threshold(delta: Fraction, keys: Fraction, norm_squared: int, variance: Fraction) -> int:
    """Return the smallest threshold at which `expected_above` is at most delta."""

    def above(edge: int) -> float:
        return expected_above(edge, keys, norm_squared, variance)

    noise, guess = NormalDist(0, math.sqrt(variance)), 0
    for _ in range(_GUESSES):  # as if the bound were a multiple of one tail; then look around
        share = float(delta) * noise.cdf(-guess) / max(above(guess), _TINY)
        guess = max(0, int(-noise.inv_cdf(min(max(share, _TINY), 0.999))))
    return smallest(lambda edge: Fraction(above(edge)) <= delta, guess)


def _tail(edges: NDArray[np.float64], variance: Fraction) -> NDArray[np.float64]:
    """Return bounds of P(N >= edge) for discrete Gaussian N: e^(1/24σ²) times that of the rounded continuous one."""
    factor, scale = math.exp(1 / (24 * float(variance))) / 2, math.sqrt(2 * float(variance))
    return np.array([min(1.0, max(_TINY, factor * math.erfc(x))) for x in ((edges - 0.5) / scale).tolist()])


def _persons(relation: Relation) -> int:
    """Return how many units' weights two neighbours differ in."""
    return 2 if relation is Relation.REPLACE_ONE else 1


def _rounded_down(value: Fraction) -> float:
    near = float(value)
    return near if near <= value else math.nextafter(near, 0.0)
