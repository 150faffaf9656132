"""Aggregates that are drawn from candidates by the weight of the rows: quantiles, extremes, modes.

Each group's histogram is exact: of a person's rows in a group, as many as R weigh `WHOLE` each, and
more of them weigh proportionally less, so that one person weighs at most R·WHOLE in a group. What is
drawn in K groups of a person costs K times what is drawn in one (docs/proofs/contribution_bounds.md).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from discreet import accounting, events
from discreet.domains import Key
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.mechanisms import ExponentialMechanism, PermuteAndFlip, Quantiles
from discreet.mechanisms.quantiles import Extreme
from discreet.mechanisms.rng import Rng
from discreet.sql.allocate import too_small
from discreet.sql.bound import Bounds, Primitive
from discreet.sql.nodes import Aggregate
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.rows import Row

WHOLE = 2**12  # the weight of one row that is not scaled down
NO_LAW = 2**200  # the cost of what is beyond what can be drawn exactly
LEAST, LARGEST = Fraction(1, 2**30), Fraction(2**20)  # of the epsilon of one group
NEAR = 1 + Fraction(1, 2**20)  # so close to the largest epsilon that the budget allows it is found

Mechanism: TypeAlias = Quantiles | Extreme | ExponentialMechanism | PermuteAndFlip


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn from one histogram per group.

    Args:
        value: What is looked at.
        aggregates: What is asked of it: several quantiles, or one MIN, MAX or MODE.
        facts: The public facts of the value.
        bounds: What one unit may touch.
    """

    value: Row
    aggregates: tuple[Aggregate, ...]
    facts: Facts
    bounds: Bounds

    @property
    def label(self) -> str:
        """The part in words, as it is charged and explained."""
        ranks = [str(item.rank) for item in self.aggregates if item.rank is not None]
        what = f"quantiles {', '.join(ranks)}" if ranks else {"MIN": "minimum", "MAX": "maximum", "MODE": "mode"}[
            self.aggregates[0].function
        ]  # fmt: skip
        return f"{what} of {self.value}"

    @property
    def weight(self) -> int:
        """The most that one unit weighs in one group's histogram."""
        return WHOLE * self.bounds.rows

    @property
    def candidates(self) -> tuple[Key, ...]:
        """What a mode is drawn from."""
        return tuple(key for key in self.facts.keys or () if key is not None)

    def mechanism(self, epsilon: float, measure: accounting.Measure) -> Mechanism:
        """Return the mechanism of one group."""
        function = self.aggregates[0].function
        if function == "MODE":
            kind = PermuteAndFlip if measure.kind == "pure" else ExponentialMechanism
            monotone = self.bounds.relation is not Relation.REPLACE_ONE
            return kind(epsilon=epsilon, sensitivity=self.weight, monotone=monotone)
        low, high, _ = self.facts.range
        about: dict[str, Any] = {
            "epsilon": epsilon, "weight": self.weight, "low": low, "high": high, "relation": self.bounds.relation
        }  # fmt: skip
        if function == "QUANTILE":
            ranks = sorted(Fraction(item.rank) for item in self.aggregates if item.rank is not None)
            return Quantiles(ranks=tuple(ranks), **about)
        return Extreme(which="min" if function == "MIN" else "max", **about)

    @property
    def groups(self) -> int:
        """How many groups' draws one unit pays for."""
        replaced = self.bounds.relation is Relation.REPLACE_ONE and self.aggregates[0].function == "MODE"
        return min(2 * self.bounds.groups, self.bounds.cells) if replaced else self.bounds.groups

    def spend(self, measure: accounting.Measure, units: int) -> Choice:
        """Return the draw that costs at most `units` of 2^-40 of the measure: the epsilon is found by halving.

        Raises:
            InvalidInput: the budget is too small for any.
        """
        if units <= 0:
            raise too_small()
        low, high = LEAST, LARGEST
        while low < high and self._cost(low, measure) == NO_LAW:
            low *= 2  # so many rows of a person that a smaller one cannot be drawn exactly
        if self._cost(low, measure) > units:
            raise too_small()
        for trial in self._near(measure, units):  # where costs are a power of epsilon, no more is left to do
            if low < trial < high:
                low, high = (trial, high) if self._cost(trial, measure) <= units else (low, trial)
        while high > low * NEAR:
            middle = (low + high) / 2 if high < 2 * low else _between(low, high)
            low, high = (middle, high) if self._cost(middle, measure) <= units else (low, middle)
        return self._choice(low, measure)

    def _near(self, measure: accounting.Measure, units: int) -> tuple[Fraction, ...]:
        """Return two numbers close to each other, between which epsilon lies if its cost is a power of it."""
        one, two = self._cost(Fraction(1), measure), self._cost(Fraction(2), measure)
        if not 0 < 1.4 * one < two < NO_LAW:
            return ()
        guess = Fraction((units / one) ** (1 / math.log2(two / one)))
        return guess / (1 + (NEAR - 1) / 3), guess * (1 + (NEAR - 1) / 3)

    def _choice(self, epsilon: Fraction, measure: accounting.Measure) -> Choice:
        found = self.mechanism(float(epsilon), measure)
        each = found.event
        return Choice(self, found, each if self.groups == 1 else events.Repeated(self.groups, each))

    def _cost(self, epsilon: Fraction, measure: accounting.Measure) -> int:
        try:
            return accounting.cost(self._choice(epsilon, measure).event, measure).loss
        except InvalidInput:
            return NO_LAW


def _between(low: Fraction, high: Fraction) -> Fraction:
    """Return a number near the geometric mean, with few digits."""
    return Fraction(float(low * high) ** 0.5)


Part: TypeAlias = Primitive | Drawn


@dataclass(frozen=True, slots=True)
class Choice:
    """A draw from each group's histogram, and the event of all groups together.

    Args:
        part: What is drawn.
        mechanism: The mechanism of one group.
        event: What one unit pays for.
    """

    part: Drawn
    mechanism: Mechanism
    event: events.Event

    def rank_error(self, level: float) -> float | None:
        """Return by how many rows the rank of an answer may be off, at a level; None for a mode."""
        if not isinstance(self.mechanism, Quantiles | Extreme):
            return None
        return float(self.mechanism.rank_error(level)) / WHOLE

    def draw(
        self, values: NDArray[Any], weights: NDArray[np.int64], starts: NDArray[np.intp], rng: Rng
    ) -> dict[Aggregate, NDArray[Any]]:
        """Return what is drawn of each aggregate in each group, in steps; of a mode, places among its candidates.

        Args:
            values: The values of all groups, one group after the other, increasing within each.
            weights: Their weights.
            starts: Where each group starts, and the end.
            rng: Where the randomness comes from.
        """
        ranked = sorted(self.part.aggregates, key=lambda item: item.rank or 0)
        found = [self._one(values[a:b], weights[a:b], rng) for a, b in itertools.pairwise(starts)]
        columns = np.array(found, dtype=np.int64).reshape(len(found), len(ranked)).T  # a selection may find no group
        return dict(zip(ranked, columns, strict=True))

    def _one(self, values: NDArray[Any], weights: NDArray[np.int64], rng: Rng) -> Any:
        if isinstance(self.mechanism, Quantiles | Extreme):
            return self.mechanism(values, weights, rng)
        scores = np.zeros(len(self.part.candidates), dtype=np.int64)
        scores[values] = weights
        return self.mechanism(scores, rng)


def parts(aggregates: list[Aggregate], facts_of: Callable[[Row], Facts], bounds: Bounds) -> list[Drawn]:
    """Return the parts that drawn aggregates are made of: quantiles of one value are drawn together."""
    found: dict[tuple[Row, str], list[Aggregate]] = {}
    for item in aggregates:
        found.setdefault((item.arguments[0], item.function), []).append(item)
    return [Drawn(value, tuple(dict.fromkeys(items)), facts_of(value), bounds) for (value, _), items in found.items()]
