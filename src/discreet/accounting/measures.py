"""Measure and Cost: in what an account adds up, and how much, in whole units.

Costs are integers, so that a sum over years is exact: the loss in 2^-40 of the measure, δ in
2^-60 (2^-40 is about 1e-12, too coarse for a δ of 1e-15). Costs are rounded up, capacities down.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from discreet.accounting.conversions import check_delta, check_epsilon, penalty, zcdp_rho
from discreet.errors import InvalidInput

COST_UNIT = Fraction(1, 2**40)
DELTA_UNIT = Fraction(1, 2**60)


@dataclass(frozen=True, slots=True)
class Measure:
    """The one measure in which an account's charges add up.

    Args:
        kind: pure, zcdp or renyi.
        order: The declared order, above 1; for renyi only.
    """

    kind: Literal["pure", "zcdp", "renyi"]
    order: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("pure", "zcdp", "renyi"):
            raise _unknown(self.kind)
        if (self.kind == "renyi") != (self.order is not None):
            raise InvalidInput("a renyi measure has one declared order; the others have none.")
        if self.order is not None and not 1 < self.order <= 1e6:
            raise InvalidInput(f"the order must lie in (1, 1000000], got {self.order!r}.")

    def __str__(self) -> str:
        return self.kind if self.order is None else f"renyi({self.order!r})"

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Read "pure", "zcdp" or "renyi(12.5)".

        Raises:
            InvalidInput: it is none of these.
        """
        if text == "pure":
            return cls("pure")
        if text == "zcdp":
            return cls("zcdp")
        match = re.fullmatch(r"renyi\(([0-9]+(?:\.[0-9]+)?)\)", text) if isinstance(text, str) else None
        if match is None:
            raise _unknown(text)
        return cls("renyi", float(match[1]))

    @classmethod
    def renyi_for(cls, epsilon: float, delta: float) -> Measure:
        """Return the measure at the order that is best for a Gaussian at (epsilon, delta)."""
        check_epsilon(epsilon)
        check_delta(delta)
        rho = zcdp_rho(epsilon, delta)
        orders = [1 + k / 8 for k in range(1, 8 * 512)]
        return cls("renyi", min(orders, key=lambda order: order * rho + penalty(order - 1, delta)))


def _unknown(text: object) -> InvalidInput:
    return InvalidInput(f'the measure must be "pure", "zcdp" or "renyi(order)", got {text!r}.')


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount of privacy loss in whole units of one measure.

    Args:
        loss: In 2^-40 of the measure.
        delta: In 2^-60.
    """

    loss: int = 0
    delta: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.loss + other.loss, self.delta + other.delta)

    def __le__(self, other: Cost) -> bool:
        return self.loss <= other.loss and self.delta <= other.delta
