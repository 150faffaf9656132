"""Quantiles and extremes of a histogram of integers, with every integer of the declared range as a candidate."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from discreet import events
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.mechanisms.parameters import LARGEST_SCALE, SMALLEST_SCALE, positive_epsilon, rational
from discreet.mechanisms.rank_softmax import RankSoftmax, Runs
from discreet.mechanisms.rng import Rng
from discreet.mechanisms.vectors import Integers, clipped_vector

CELLS = 2**16  # parts of one value, among which its rows are spread where the line may be split
LARGEST_RANGE = 2**40
_LARGEST_SUM = 2.0**61  # beyond it weights are Python integers
_BEYOND = Fraction(1, 20)  # how often an extreme may lie beyond the true one
_ROUNDING = 1 + 1e-12  # of bounds worked out in floating point


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranked:
    """What both have in common: the budget, the bounds, and the form of a histogram.

    Args:
        epsilon: Total epsilon of one call.
        weight: The largest total weight of one privacy unit's rows in the histogram.
        low: The least candidate.
        high: The largest candidate, less than 2**40 above `low`.
        relation: When two histograms are neighbours.
    """

    epsilon: float | Fraction
    weight: int
    low: int
    high: int
    relation: Relation

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", positive_epsilon(self.epsilon))
        for name, value in (("weight", self.weight), ("low", self.low), ("high", self.high)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidInput(f"{name} must be a whole number, got {value!r}.")
        if not 1 <= self.weight <= 2**62:
            raise InvalidInput(f"weight must lie from 1 to 2**62, got {self.weight}.")
        if not (-(2**63) <= self.low <= self.high < 2**63 and self.high - self.low < LARGEST_RANGE):
            raise InvalidInput(
                f"low … high must be 64-bit integers, less than 2**40 apart, got {self.low} … {self.high}.",
                remedy="Choose a coarser grid for the values, or narrower bounds.",
            )
        if not isinstance(self.relation, Relation):
            raise InvalidInput(f"relation must be a Relation, got {self.relation!r}.")
        scale = self.weight * self._steps / Fraction(self.epsilon)
        rational("weight / epsilon of one step", scale, SMALLEST_SCALE, LARGEST_SCALE)

    @property
    def _steps(self) -> int:
        """How many times one unit's rows are looked at, one after the other."""
        return 1

    @property
    def _size(self) -> int:
        return self.high - self.low + 1

    @property
    def _each(self) -> Fraction:
        return _share(Fraction(self.epsilon), self._steps)

    def _rate(self, reach: Fraction) -> Fraction:
        """Return the rate at which a step costs at most its epsilon.

        Args:
            reach: How far apart the changes of two distances can be when rows of weight 1 come or go. Rows that are
                replaced come and go.
        """
        return self._each / ((2 if self.relation is Relation.REPLACE_ONE else 1) * reach * self.weight)

    def _histogram(self, values: Integers, counts: Integers) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return increasing places from 0 and their weights; whatever the numbers are, there is a rule for them."""
        places = clipped_vector(values, self.low, self.high) - self.low
        weights: NDArray[Any] = clipped_vector(counts, 0, 2**62)
        if weights.sum(dtype=np.float64) * CELLS > _LARGEST_SUM:
            weights = weights.astype(np.object_)
        if places.size != weights.size:
            raise InvalidInput("values and counts must be of the same length.", remedy="Give one count for each value.")
        if (places[1:] <= places[:-1]).any():
            order = places.argsort(kind="stable")
            places, starts = np.unique(places[order], return_index=True)
            weights = np.add.reduceat(weights[order], starts)
        return places, weights

    def _farthest(self, cells: int, rate: Fraction, miss: Fraction) -> float:
        """Return a distance that a draw among so many cells exceeds with at most the probability `miss`."""
        odds = (cells - 1) * (1 - miss) / miss  # the nearest cell is one of them, at distance 0
        return math.log(odds) / float(rate) * _ROUNDING if odds > 1 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles(_Ranked):
    """Return for each rank q an integer of low … high near which q of the weight lies below: q = 1/2 is the median.

    The chance of x falls as the ranks that x takes up are further from the target, q of the total. Up to two
    ranks are drawn one by one. More are drawn by halving: one in the middle first, then those below it from the
    weight below it, and those above it from the weight above it.

    Args:
        ranks: Increasing fractions between 0 and 1.
        epsilon: Total epsilon of one call, all ranks together.
        weight: The largest total weight of one privacy unit's rows in the histogram.
        low: The least candidate.
        high: The largest candidate, less than 2**40 above `low`.
        relation: When two histograms are neighbours.

    Guarantee:
        epsilon-DP, as the composition of `event`: each of its parts is of bounded range. Under replace_one the rows that
        leave cost half and those that come the other half, be it in one histogram or in two.
    Evidence:
        Proven: docs/proofs/quantiles.md.
    Assumes:
        No unit's rows weigh more than `weight` together; counts are exact.
    Not protected:
        How long a call takes: it grows with the number of distinct values.

    References:
        Smith, 2011 (exponential mechanism over intervals); Kaplan, Schnapp, Stemmer, 2022 (halving).
    """

    ranks: tuple[Fraction, ...]

    def __post_init__(self) -> None:
        ranks = self.ranks
        if not isinstance(ranks, tuple) or not ranks or not all(isinstance(rank, Fraction) for rank in ranks):
            raise InvalidInput(
                f"ranks must be a tuple of Fractions, got {ranks!r}.", remedy="The median is ranks=(Fraction(1, 2),)."
            )
        if not all(a < b for a, b in itertools.pairwise((Fraction(0), *ranks, Fraction(1)))):
            raise InvalidInput(
                f"ranks must increase and lie between 0 and 1, got {', '.join(map(str, ranks))}.",
                remedy="For the least or the largest value use Extreme.",
            )
        _Ranked.__post_init__(self)

    @property
    def event(self) -> events.ExponentialMechanism | events.Repeated:
        """What a call is charged as."""
        each = events.ExponentialMechanism(epsilon=float(self._each))
        return each if self._steps == 1 else events.Repeated(self._steps, each)

    @property
    def _halved(self) -> bool:
        return len(self.ranks) > 2  # two ranks cost the same either way, and alone they depend on no other

    @property
    def _steps(self) -> int:
        return len(self.ranks).bit_length() if self._halved else len(self.ranks)

    def _of_rank(self, rank: Fraction) -> Fraction:
        return self._rate(2 * max(rank, 1 - rank))

    def __call__(self, values: Integers, counts: Integers, rng: Rng) -> NDArray[np.int64]:
        """Return an answer for each rank, in increasing order.

        Args:
            values: Integers, best sorted and distinct. Those beyond low … high count as the nearest of the two.
            counts: The weight at each value; a negative one counts as 0.
            rng: Where the bits come from.
        """
        places, weights = self._histogram(values, counts)
        if self._halved:
            runs = Runs.of(places, weights, self._size, CELLS)
            answers = self._halve(runs, self._whole, self._steps, rng)
        else:
            runs = Runs.of(places, weights, self._size, 1)
            answers = sorted(RankSoftmax(rank * runs.total, self._of_rank(rank)).draw(runs, rng) for rank in self.ranks)
        return np.array([self.low + answer for answer in answers], dtype=np.int64)

    @property
    def _whole(self) -> tuple[Fraction, ...]:
        return Fraction(0), *self.ranks, Fraction(1)

    def _halve(self, runs: Runs, ranks: tuple[Fraction, ...], steps: int, rng: Rng) -> list[int]:
        """Return the places of all ranks but the first and the last, which are those of the ends of a part."""
        if len(ranks) == 2:
            return []
        if runs.first == runs.end:  # two ranks fell on one cell
            return [runs.first // CELLS] * (len(ranks) - 2)
        middle, rank = _middle(ranks, steps)
        law = RankSoftmax(int(runs.ranks[0]) + rank * runs.total, self._of_rank(rank) / CELLS)
        if len(ranks) == 3:
            return [law.draw(runs.places(), rng)]
        cell = law.draw(runs, rng)
        below, above = runs.part(runs.first, cell), runs.part(cell, runs.end)
        return [
            *self._halve(below, ranks[: middle + 1], steps - 1, rng),
            cell // CELLS,
            *self._halve(above, ranks[middle:], steps - 1, rng),
        ]

    def rank_error(self, level: float | Fraction) -> float:
        """Return a weight that no answer's distance from its target exceeds, with a probability of at least `level`.

        It holds for all answers together and whatever the data are, so it is far above what is usual. With
        three ranks or more, 2**-16 of the total weight is to be added for each halving but the last.
        """
        miss = _miss(level) / len(self.ranks)
        if self._halved:
            return self._reach(self._whole, self._steps, 0.0, 0.0, miss)
        return max(self._farthest(self._size, self._of_rank(rank), miss) for rank in self.ranks)

    def _reach(self, ranks: tuple[Fraction, ...], steps: int, before: float, after: float, miss: Fraction) -> float:
        """Return the largest error in a part whose ends miss their ranks by up to `before` and `after`."""
        if len(ranks) == 2:
            return 0.0
        middle, rank = _middle(ranks, steps)
        cells = self._size if len(ranks) == 3 else self._size * CELLS
        error = float(1 - rank) * before + float(rank) * after + self._farthest(cells, self._of_rank(rank), miss)
        below = self._reach(ranks[: middle + 1], steps - 1, before, error, miss)
        return max(below, error, self._reach(ranks[middle:], steps - 1, error, after, miss))


@dataclass(frozen=True, slots=True, kw_only=True)
class Extreme(_Ranked):
    """Return an integer of low … high near the least or the largest value, seldom beyond it.

    It aims at the value with `target` of the weight beyond it. Distances on the side of the extreme count twice.

    Args:
        which: "min" or "max".
        epsilon: Total epsilon of one call.
        weight: The largest total weight of one privacy unit's rows in the histogram.
        low: The least candidate.
        high: The largest candidate, less than 2**40 above `low`.
        relation: When two histograms are neighbours.

    Guarantee:
        epsilon-bounded range, hence epsilon-DP and (epsilon²/8)-zCDP. Under replace_one the rows that leave cost half and
        those that come the other half, be it in one histogram or in two.
    Evidence:
        Proven: docs/proofs/quantiles.md.
    Assumes:
        No unit's rows weigh more than `weight` together; counts are exact.
    Not protected:
        How long a call takes: it grows with the number of distinct values.
    """

    which: Literal["min", "max"]

    def __post_init__(self) -> None:
        if self.which not in ("min", "max"):
            raise InvalidInput(f"which must be 'min' or 'max', got {self.which!r}.")
        _Ranked.__post_init__(self)

    @property
    def event(self) -> events.ExponentialMechanism:
        """What a call is charged as."""
        return events.ExponentialMechanism(epsilon=float(self._each))

    @property
    def _slow(self) -> Fraction:
        return self._rate(Fraction(3))

    @property
    def target(self) -> int:
        """The weight beyond the answer aimed at: of a total as large, 19 answers of 20 are not beyond the extreme."""
        return math.ceil(self._farthest(self._size, 2 * self._slow, _BEYOND))

    def __call__(self, values: Integers, counts: Integers, rng: Rng) -> int:
        """Return the answer; the arguments are those of Quantiles."""
        places, weights = self._histogram(values, counts)
        if self.which == "max":
            places, weights = self._size - 1 - places[::-1], weights[::-1]
        runs = Runs.of(places, weights, self._size, 1)
        place = RankSoftmax(Fraction(min(self.target, runs.total)), self._slow, short=2).draw(runs, rng)
        return self.low + place if self.which == "min" else self.high - place

    def rank_error(self, level: float | Fraction) -> float:
        """Return a weight that the distance from `target` exceeds with a probability of at most 1 - `level`.

        The target is the total weight if that is less. It holds whatever the data are.
        """
        return self._farthest(self._size, self._slow, _miss(level))


@lru_cache(maxsize=64)
def _share(epsilon: Fraction, steps: int) -> Fraction:
    """Return the epsilon of one step, a float rounded down: all steps together are charged at most epsilon."""
    each = float(epsilon / steps)
    return Fraction(each if Fraction(each) * steps <= epsilon else math.nextafter(each, 0))


@lru_cache(maxsize=256)
def _middle(ranks: tuple[Fraction, ...], steps: int) -> tuple[int, Fraction]:
    """Return which of the inner ranks to draw first, and where it lies between the outer two.

    It is the nearest to the middle of those that leave no more ranks on either side than the other steps can draw.
    """
    most = 2 ** (steps - 1) - 1
    inner = range(max(1, len(ranks) - 2 - most), min(len(ranks) - 2, most + 1) + 1)
    shares = {i: (ranks[i] - ranks[0]) / (ranks[-1] - ranks[0]) for i in inner}
    return min(shares.items(), key=lambda item: abs(item[1] - Fraction(1, 2)))


def _miss(level: float | Fraction) -> Fraction:
    if not isinstance(level, int | float | Fraction) or not 0 < level < 1:
        raise InvalidInput(f"level must be a probability between 0 and 1, got {level!r}.")
    return 1 - Fraction(level)
