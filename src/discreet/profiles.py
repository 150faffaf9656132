"""Bracket, PrivacyProfile and Guarantee: what a composed event buys.

A profile is a curve known from both sides: for every δ an ε that is proved to hold, and one below
which nothing can be proved of the mechanism (0 where nothing is known). Everything an attacker can
gain follows from that curve, so the risks below are written once, here, for every accountant: the
engines in `discreet.accounting` fill in `delta` and `epsilon`, and may override a risk where they
know it exactly.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from discreet.errors import InvalidInput
from discreet.units import PrivacyUnit

Evidence = Literal["proven", "cited", "measured"]


MARGIN = 1 + 1e-13  # far above what a handful of float operations can round away


@dataclass(frozen=True, slots=True)
class Bracket:
    """A number known from both sides.

    Args:
        lower: The exact value is not below it.
        upper: The exact value is not above it. This is the end to state.
        budget: What each error term adds to the width, in the unit of the value; by name.
    """

    lower: float
    upper: float
    budget: Mapping[str, float] = field(default_factory=dict)

    @property
    def width(self) -> float:
        """How far apart the two ends are."""
        return 0.0 if self.upper == self.lower else self.upper - self.lower

    def __str__(self) -> str:
        return show_up(self.upper)

    def to_dict(self) -> dict[str, Any]:
        """Return the bracket as plain data."""
        return {"lower": self.lower, "upper": self.upper, "budget": dict(self.budget)}


def highest(brackets: list[Bracket]) -> Bracket:
    """Return the bracket of the largest of several numbers."""
    top = max(brackets, key=lambda bracket: bracket.upper)
    return Bracket(max(bracket.lower for bracket in brackets), top.upper, top.budget)


class PrivacyProfile(ABC):
    """The curve δ(ε) of a mechanism, known from both sides.

    Attributes:
        method: The bound that gives the curve, in a few words ("zCDP, Canonne-Kamath-Steinke").
    """

    method: str

    @abstractmethod
    def delta(self, epsilon: float) -> Bracket:
        """Return a bracket of δ(ε); (epsilon, upper)-DP is proved, and at most 1."""

    @abstractmethod
    def epsilon(self, delta: float) -> Bracket:
        """Return a bracket of ε(δ); (upper, delta)-DP is proved, possibly infinite."""

    def curve(self, epsilons: Sequence[float]) -> list[Bracket]:
        """Return δ(ε) at each of several ε."""
        return [self.delta(epsilon) for epsilon in epsilons]

    def trade_off(self, false_positive_rates: Sequence[float]) -> list[Bracket]:
        """Return the least false-negative rate of any attacker at each false-positive rate: the f of f-DP."""
        found = [self.true_positive_rate(rate) for rate in false_positive_rates]
        return [Bracket(max(0.0, 1 - one.upper - 1e-15), min(1.0, 1 - one.lower + 1e-15), one.budget) for one in found]

    def true_positive_rate(self, false_positive_rate: float) -> Bracket:
        """Return the highest rate at which any attacker finds members, at this false-positive rate.

        Every point (ε, δ(ε)) bounds it by min(e^ε·a + δ, 1 - e^-ε·(1 - δ - a)); the least over a
        grid of ε is a bound too. From below, guessing alone attains a.
        """
        a = false_positive_rate
        check_rate(a)
        best = 1.0
        for epsilon, delta in _points(self):
            odds = math.exp(min(epsilon, 700.0))
            best = min(best, odds * a + delta, 1 - max(0.0, 1 - delta - a) / odds)
        return Bracket(float(a), min(1.0, max(best, a) * MARGIN))

    def advantage(self) -> Bracket:
        """Return the highest difference of true- and false-positive rate of any attacker.

        At most (e^ε - 1 + 2δ) / (e^ε + 1) for every (ε, δ); the value δ(0) is the case ε = 0.
        """
        best = 1.0
        for epsilon, delta in _points(self):
            best = min(best, math.tanh(epsilon / 2) + 2 * delta / (1 + math.exp(min(epsilon, 700.0))))
        return Bracket(self.delta(0.0).lower, min(1.0, best * MARGIN))

    def group(self, size: int) -> PrivacyProfile:
        """Return the curve of `size` units together: what is proved when a family, or a person's copies, change at once."""
        return GroupProfile(self, size)


@dataclass(frozen=True, eq=False)
class GroupProfile(PrivacyProfile):
    """Several units at once, from the curve of one.

    Neighbours at distance k are joined by k steps: (ε, δ)-DP for one gives (kε, δ·(1 + e^ε + … + e^{(k-1)ε}))
    for k, and the best true-positive rate is that of one, applied k times. The lower ends are those of one unit.
    """

    inner: PrivacyProfile
    size: int

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise InvalidInput(f"a group must be a whole number of at least 1, got {self.size!r}.")

    @property
    def method(self) -> str:  # type: ignore[override]
        """The inner method, for so many units."""
        return f"{self.inner.method}, for {self.size} units together"

    def delta(self, epsilon: float) -> Bracket:
        """Return a bracket of δ(ε)."""
        return Bracket(self.inner.delta(epsilon).lower, self._upper(epsilon))

    def _upper(self, epsilon: float) -> float:
        """δ(ε/k)·(1 + e^{ε/k} + … + e^{(k-1)ε/k}), by logarithms: the powers need not fit a float."""
        one = epsilon / self.size
        found = self.inner.delta(one).upper
        if found <= 0:
            return 0.0
        top = (self.size - 1) * one
        steps = top + math.log(sum(math.exp(i * one - top) for i in range(self.size)))
        return min(1.0, math.exp(min(1.0, math.log(found) + steps + 1e-12 + 4e-15 * steps)) * MARGIN)

    def epsilon(self, delta: float) -> Bracket:
        """Return a bracket of ε(δ): the least of a search at which `delta` is met."""
        single = self.inner.epsilon(delta)
        if self._upper(0.0) <= delta:
            return Bracket(0.0, 0.0)
        low, high = 0.0, max(1e-6, self.size * single.upper)
        while math.isfinite(high) and self._upper(high) > delta and high < 1e9:
            low, high = high, 1.5 * high
        if not high < 1e9:
            return Bracket(single.lower, math.inf)
        while high - low > 1e-6 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self._upper(middle) > delta else (low, middle)
        return Bracket(min(single.lower, high), high)

    def true_positive_rate(self, false_positive_rate: float) -> Bracket:
        """Return the highest rate of any attacker: that of one unit, once for each unit."""
        check_rate(false_positive_rate)
        rate = float(false_positive_rate)
        for _ in range(self.size):
            rate = self.inner.true_positive_rate(rate).upper
        return Bracket(self.inner.true_positive_rate(false_positive_rate).lower, rate)

    def advantage(self) -> Bracket:
        """Return δ(0)."""
        return self.delta(0.0)


def check_rate(rate: float) -> None:
    """Refuse what is no rate."""
    if not 0 <= rate <= 1:
        raise InvalidInput(f"false_positive_rate must lie in [0, 1], got {rate!r}.")


@lru_cache(maxsize=64)
def _points(profile: PrivacyProfile) -> tuple[tuple[float, float], ...]:
    """Return (ε, δ(ε)) on a grid that is fine where people ask; kept, for several risks use it."""
    grid = [0.0] + [10 ** (k / 20) for k in range(-80, 41)]
    return tuple((epsilon, profile.delta(epsilon).upper) for epsilon in grid)


def posterior(epsilon: float, prior: float) -> float:
    """Return the highest belief in a person's membership after the release, from this prior, rounded up.

    Holds exactly for pure ε; for (ε, δ) it holds except with a probability of the order of δ.
    """
    if not 0 <= prior <= 1:
        raise InvalidInput(f"prior must lie in [0, 1], got {prior!r}.")
    if prior in (0.0, 1.0):
        return prior
    return min(1.0, prior / (prior + (1 - prior) * math.exp(-epsilon)) * MARGIN)


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What is proved about a release or an account.

    Args:
        unit: Who is protected, under which neighbouring relation.
        epsilon: Privacy loss bound; rounded up.
        delta: Probability beyond it.
        method: How the number was obtained.
        assumptions: What must be true outside of discreet's control ("promise" of the caller).
        evidence: proven (proof note here), cited, or measured.
    """

    unit: PrivacyUnit
    epsilon: float
    delta: float
    method: str
    assumptions: tuple[str, ...] = ()
    evidence: Evidence = "proven"

    def __str__(self) -> str:
        return f"ε = {show_up(self.epsilon)}, δ = {show_delta(self.delta)} {self.unit.label}"

    def to_dict(self) -> dict[str, Any]:
        """Return the guarantee as plain data."""
        return {
            "unit": self.unit.to_dict(),
            "epsilon": self.epsilon,
            "delta": self.delta,
            "method": self.method,
            "assumptions": list(self.assumptions),
            "evidence": self.evidence,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Guarantee:
        """Read a guarantee written by `to_dict`."""
        return cls(
            unit=PrivacyUnit.from_dict(data["unit"]),
            epsilon=data["epsilon"],
            delta=data["delta"],
            method=data["method"],
            assumptions=tuple(data["assumptions"]),
            evidence=data["evidence"],
        )


def show_up(value: float, digits: int = 4) -> str:
    """Show a bound with `digits` significant digits, never below its value."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "∞"
    text = f"{value:.{digits}g}"
    if float(text) < value * (1 - 1e-12):
        step = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
        text = f"{value + step:.{digits}g}"
    return text


def show_delta(value: float) -> str:
    """Show a δ: zero as 0, else in scientific notation, never below its value."""
    if value == 0:
        return "0"
    text = f"{value:.3g}"
    if float(text) < value:
        text = f"{value * 1.005:.3g}"
    mantissa, _, exponent = f"{float(text):e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent):+03d}"
