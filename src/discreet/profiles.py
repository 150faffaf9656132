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
from collections.abc import Callable, Mapping, Sequence
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
        check_rate(false_positive_rate)
        return Bracket(float(false_positive_rate), self.concave_rate(float(false_positive_rate)))

    def concave_rate(self, false_positive_rate: float) -> float:
        """Return the least of the bounds of `pairs()`: above the true rate, and concave in the false-positive rate."""
        best = 1.0
        for epsilon, delta in self.pairs():
            odds = math.exp(min(epsilon, 700.0))
            best = min(best, odds * false_positive_rate + delta, 1 - max(0.0, 1 - delta - false_positive_rate) / odds)
        return min(1.0, max(best, false_positive_rate) * MARGIN)

    def pairs(self) -> tuple[tuple[float, float], ...]:
        """Return the (ε, δ(ε)) that the general bounds are made of."""
        return _points(self)

    def advantage(self) -> Bracket:
        """Return the highest difference of true- and false-positive rate of any attacker.

        At most (e^ε - 1 + 2δ) / (e^ε + 1) for every (ε, δ); the value δ(0) is the case ε = 0.
        """
        best = 1.0
        for epsilon, delta in self.pairs():
            best = min(best, math.tanh(epsilon / 2) + 2 * delta / (1 + math.exp(min(epsilon, 700.0))))
        return Bracket(self.delta(0.0).lower, min(1.0, best * MARGIN))

    def accuracy(self, prior: float) -> Bracket:
        """Return the highest share of right answers of any attacker who says of each person "in" or "out".

        `prior` is the share of people who are in. 1 minus it is the Bayes error. With m the rarer of the two
        shares it is 1 - m·(1 - δ(log((1 - m)/m))), and 1 - m for one who never looks.
        """
        check_share("prior", prior)
        rare = min(prior, 1 - prior)
        if rare == 0:
            return Bracket(1.0, 1.0)
        odds = max(0.0, math.log1p(-rare) - math.log(rare))
        near = 1e-15 * (1 + odds)  # what rounding can move the logarithm by
        high, low = self.delta(max(0.0, odds - near)).upper, self.delta(odds + near).lower
        return Bracket(min(1.0, 1 - rare * (1 - low)) / MARGIN, min(1.0, (1 - rare * (1 - high)) * MARGIN))

    def precision(self, prior: float, false_positive_rate: float) -> Bracket:
        """Return the highest share of an attacker's accusations that are right, by Bayes' rule from the best rate.

        It holds for every attacker who accuses at least this share, above 0, of those who are not in: the ratio
        of the two rates only falls from there. `prior` is the share of people who are in.
        """
        check_share("prior", prior)
        check_rate(false_positive_rate)
        if false_positive_rate == 0:
            raise InvalidInput(
                "false_positive_rate must lie above 0 where accusations are counted, got 0.",
                remedy="With a δ above 0 all of them may be right at a rate of 0, however few they are.",
            )
        found = self.true_positive_rate(false_positive_rate)
        lower = right(prior, found.lower, false_positive_rate) / MARGIN**2
        return Bracket(lower, right(prior, found.upper, false_positive_rate), found.budget)

    def reconstruction(self, baseline: float) -> Bracket:
        """Return the highest chance of any attacker to guess something of a person's record, all or part of it.

        `baseline` is the chance of guessing it if the person's record had been left out (or replaced, under that
        relation), by one who knows everything else: the best true-positive rate at that false-positive rate.
        """
        check_share("baseline", baseline)
        found = self.true_positive_rate(baseline)
        return Bracket(float(baseline), found.upper, found.budget)

    def group(self, size: int) -> PrivacyProfile:
        """Return the curve of `size` units together: what is proved when a family, or a person's copies, change at once."""
        return GroupProfile(self, size)


@dataclass(frozen=True, eq=False)
class GroupProfile(PrivacyProfile):
    """Several units at once, from the curve of one.

    Neighbours at distance k are joined by k steps: (ε, δ)-DP for one gives (kε, δ·(1 + e^ε + … + e^{(k-1)ε}))
    for k, and the best true-positive rate is that of one, applied k times; for a large δ(ε) the second is the better
    bound of it, too. The lower ends are those of one unit.
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
        upper = self._upper(epsilon)
        if upper > 0.05 and epsilon < 20:  # elsewhere the rates add little, and cost an engine much
            upper = min(upper, self._gap(math.exp(epsilon)))
        return Bracket(min(self.inner.delta(epsilon).lower, upper), upper)

    def _gap(self, odds: float) -> float:
        """Return the largest T(a) - odds·a, rounded up; T, one unit's concave rate applied once for each, is concave."""

        def gap(rate: float) -> float:
            return self._steps(rate) - odds * rate

        low, high = golden(lambda rate: -gap(rate), 0.0, 1.0, 1e-7)
        # T rises, so no point between the ends has more. What rounding can hide from points 2e-8 apart comes on top.
        return min(1.0, max(0.0, self._steps(high) - odds * low) + 2e-7 * self.size)

    def _steps(self, rate: float) -> float:
        for _ in range(self.size):
            rate = self.inner.concave_rate(rate)
        return rate

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


def golden(value: Callable[[float], float], low: float, high: float, width: float) -> tuple[float, float]:
    """Return ends, at most `width` apart, between which a function with one valley is least: the golden section."""
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = value(a), value(b)
    while high - low > width:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = value(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = value(b)
    return low, high


def check_rate(rate: float) -> None:
    """Refuse what is no rate."""
    check_share("false_positive_rate", rate)


def check_share(name: str, share: float) -> None:
    """Refuse what is no share of a whole."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise InvalidInput(f"{name} must lie in [0, 1], got {share!r}.")


@lru_cache(maxsize=64)
def _points(profile: PrivacyProfile) -> tuple[tuple[float, float], ...]:
    """Return (ε, δ(ε)) on a grid that is fine where people ask; kept, for several risks use it."""
    grid = [0.0] + [10 ** (k / 20) for k in range(-80, 41)]
    return tuple((epsilon, profile.delta(epsilon).upper) for epsilon in grid)


def posterior(epsilon: float, prior: float) -> float:
    """Return the highest belief in a person's membership after the release, from this prior, rounded up.

    Holds for every outcome at δ = 0. At δ > 0 some outcomes may pass it: `excess` says by how much on average.
    """
    check_share("prior", prior)
    if prior in (0.0, 1.0):
        return prior
    return min(1.0, prior / (prior + (1 - prior) * math.exp(-epsilon)) * MARGIN)


def excess(epsilon: float, delta: float, prior: float) -> float:
    """Return by how much beliefs pass `posterior(epsilon, prior)`, on average over all outcomes, at most; rounded up.

    It is prior·(1 - posterior)·δ. Hence, for a person who is in, a belief goes more than half of the way from
    the posterior to certainty with a probability of at most 2δ.
    """
    check_share("prior", prior)
    if prior in (0.0, 1.0):
        return 0.0
    low = math.exp(-epsilon)
    return prior * (1 - prior) * low / (prior + (1 - prior) * low) * delta * MARGIN


def right(prior: float, true_positive_rate: float, false_positive_rate: float) -> float:
    """Return the share of accusations that are right, rounded up: Bayes' rule. Both rates above 0."""
    share = prior * true_positive_rate
    return min(1.0, share / (share + (1 - prior) * false_positive_rate) * MARGIN)


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
