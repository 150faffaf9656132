"""Noise: how a budget is split over primitives, and the exact rational scale each one gets.

The scales are rounded to the safe side; the composed event costs at most the budget, which is
checked in the ledger's own integers. Closed forms and proofs: docs/proofs/budget_split.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from discreet import accounting, events
from discreet.errors import InvalidInput
from discreet.mechanisms import DiscreteGaussianMechanism, DiscreteLaplaceMechanism
from discreet.mechanisms.rng import Rng

Law = Literal["discrete_laplace", "discrete_gaussian"]
PRECISION = 20  # scales keep 20 binary digits: at most 1e-6 more noise than needed
LEAST_SHARE = Fraction(1, 100)


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of one primitive: its law, its scale, and the event they amount to.

    Args:
        law: discrete_laplace or discrete_gaussian.
        sensitivity: L1 sensitivity (Laplace), or the square of the L2 sensitivity (Gaussian).
        scale: Scale (Laplace) or variance (Gaussian), in grid steps.
    """

    law: Law
    sensitivity: Fraction
    scale: Fraction

    @property
    def mechanism(self) -> DiscreteLaplaceMechanism | DiscreteGaussianMechanism:
        """The sampler and the event, in one object.

        Raises:
            InvalidInput: the scale is beyond what can be drawn exactly.
        """
        if self.law == "discrete_laplace":
            return DiscreteLaplaceMechanism(self.sensitivity, self.scale)
        return DiscreteGaussianMechanism(self.sensitivity, self.scale)

    @property
    def event(self) -> events.DiscreteLaplace | events.DiscreteGaussian:
        """What the noise amounts to."""
        return self.mechanism.event

    def add(self, exact: NDArray[Any], rng: Rng) -> NDArray[Any]:
        """Return `exact` with fresh noise on each entry."""
        return self.mechanism(exact, rng)

    def std(self) -> float:
        """Return the true standard deviation, in grid steps."""
        return self.mechanism.std

    def half_width(self, level: float) -> int:
        """Return the smallest h with P(|noise| <= h) >= level, in grid steps."""
        return self.mechanism.quantile(level)


class Draw(Protocol):
    """Something random that a share of the budget was given to."""

    @property
    def event(self) -> events.Event:
        """What it amounts to."""


Asker = Callable[[int], Draw]


def allocate(
    measure: accounting.Measure, budget: int, askers: Sequence[Asker], shares: Sequence[Fraction]
) -> tuple[tuple[Draw, ...], events.Event]:
    """Return what each part gets for its share, and the event of all of them together.

    Args:
        measure: The account's measure.
        budget: What the whole query may cost, in units of 2^-40 of the measure.
        askers: For each part, what it makes of some units of budget.
        shares: Share of the budget of each part; they sum to 1.

    Guarantee: accounting.cost(event, measure).loss is at most `budget`, exactly.
    Evidence: proven (docs/proofs/budget_split.md), and checked here for each query.
    Assumes: the sensitivities are right (docs/proofs/contribution_bounds.md).
    Not protected: nothing.
    """
    spare = 0
    for _ in range(8):
        draws = tuple(asker(int((budget - spare) * share)) for asker, share in zip(askers, shares, strict=True))
        parts: tuple[events.Event, ...] = tuple(draw.event for draw in draws)
        event = parts[0] if len(parts) == 1 else events.Composed(parts)
        excess = accounting.cost(event, measure).loss - budget
        if excess <= 0:
            return draws, event
        spare += excess + len(parts)
    raise too_small()


def too_small() -> InvalidInput:
    """Return the refusal of a budget below the ledger's smallest units."""
    return InvalidInput("this epsilon is too small to be split over the query.", remedy="Ask with a larger epsilon.")


def noise(measure: accounting.Measure, sensitivity: tuple[int, int], units: int) -> Noise:
    """Return the noise of a primitive: discrete Laplace on pure accounts, discrete Gaussian on the others.

    Args:
        measure: The account's measure.
        sensitivity: L1 and squared L2 sensitivity of the primitive.
        units: What it may cost, in units of 2^-40 of the measure.
    """
    if units <= 0:
        raise too_small()
    loss = units * accounting.COST_UNIT
    first, second = sensitivity
    if measure.kind == "pure":
        return Noise("discrete_laplace", Fraction(first), _up(first / loss))
    order = Fraction(1) if measure.kind == "zcdp" else Fraction(measure.order or 0)
    return Noise("discrete_gaussian", Fraction(second), _up(order * second / (2 * loss)))


def _up(value: Fraction) -> Fraction:
    """Return the next larger multiple of a power of two, with about PRECISION binary digits."""
    bits = value.numerator.bit_length() - value.denominator.bit_length()
    unit = Fraction(2) ** (bits - PRECISION)
    return math.ceil(value / unit) * unit


def optimal(law: Law, sensitivities: Sequence[tuple[int, int]], gains: Sequence[float]) -> tuple[Fraction, ...]:
    """Return the shares that minimise Σ gain_j · variance_j at a fixed total.

    Args:
        law: The noise law.
        sensitivities: L1 and squared L2 sensitivity of each primitive.
        gains: How much the objective grows with the variance of each primitive.
    """
    raw: list[float] = []
    for (first, second), gain in zip(sensitivities, gains, strict=True):
        if law == "discrete_gaussian":
            raw.append(math.sqrt(second) * math.sqrt(gain))
        else:
            raw.append((gain ** (1 / 3)) * (float(first) ** (2 / 3)))
    return normalised([Fraction(item) for item in raw])


def normalised(raw: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """Return shares in proportion to `raw` that sum to 1, none below 1 % of an equal share's total."""
    total = sum(raw) or Fraction(1)
    least = LEAST_SHARE / len(raw)
    shares = [max(item / total, least) for item in raw]
    whole = sum(shares)
    return tuple(_short(share / whole) for share in shares)


def _short(share: Fraction) -> Fraction:
    return Fraction(math.floor(share * 2**40), 2**40)
