"""Curves without an engine: in closed form where there is one, and from zCDP and the Rényi orders, from above."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist

from discreet import events
from discreet.accounting.conversions import (
    closed_delta,
    closed_epsilon,
    down,
    rdp_delta,
    rdp_epsilon,
    up,
    zcdp_delta,
    zcdp_epsilon,
)
from discreet.accounting.filters import above
from discreet.accounting.gaussian import gaussian_curve, gaussian_inverse
from discreet.accounting.losses import loss, pure, rho
from discreet.accounting.measures import Measure
from discreet.errors import UnsupportedEvent
from discreet.profiles import Bracket, GroupProfile, PrivacyProfile, check_rate

ORDERS = (*(1 + k / 8 for k in range(1, 33)), *range(6, 65), 80, 96, 128, 192, 256, 512, 1024)


def exact(event: events.Event) -> PrivacyProfile | None:
    """Return the curve in closed form: pure ε, (ε, δ), and compositions of continuous Gaussians; else None."""
    if isinstance(event, events.Pure | events.Approximate):
        return ApproximateProfile(event.epsilon, getattr(event, "delta", 0.0))
    mu_squared = _gaussian(event)
    return None if mu_squared is None else GaussianProfile(_root_up(mu_squared))


def analytic(event: events.Event) -> PrivacyProfile:
    """Return the best curve without an engine: the pointwise best of zCDP, the Rényi orders and the sum of ε.

    Raises:
        UnsupportedEvent: nothing is known about the event.
    """
    curves: list[PrivacyProfile] = []
    refusal: UnsupportedEvent | None = None
    for measure in (Measure("pure"), Measure("zcdp")):
        try:
            bound = loss(event, measure)
        except UnsupportedEvent as error:
            refusal = error
            continue
        value, delta = above(bound.loss), above(bound.delta)
        if delta < 1:
            curves.append(ApproximateProfile(value, delta) if measure.kind == "pure" else ZCDPProfile(value, delta))
    known = _orders(event)
    if known:
        curves.append(known)
    if not curves:
        raise refusal if refusal is not None else UnsupportedEvent("the δ of this event adds up to 1 or more.")
    return curves[0] if len(curves) == 1 else BestProfile(tuple(curves))


def _gaussian(event: events.Event) -> Fraction | None:
    """Return μ² if the event is nothing but continuous Gaussians, whose μ² add up exactly."""
    match event:
        case events.Gaussian():
            return 1 / Fraction(event.noise_multiplier) ** 2
        case events.Repeated():
            once = _gaussian(event.event)
            return None if once is None else event.count * once
        case events.Composed() if event.events:
            parts = [_gaussian(part) for part in event.events]
            known = [part for part in parts if part is not None]
            return sum(known, Fraction(0)) if len(known) == len(parts) else None
    return None


def _root_up(square: Fraction) -> float:
    root = math.sqrt(above(square))
    while Fraction(root) ** 2 < square:
        root = math.nextafter(root, math.inf)
    return root


def _orders(event: events.Event) -> RenyiProfile | None:
    """Return the curve of the Rényi orders, if any order is known: then the lowest is."""
    try:
        lowest = loss(event, Measure("renyi", float(ORDERS[0])))
    except UnsupportedEvent:
        return None
    return RenyiProfile(event, above(lowest.delta)) if lowest.delta < 1 else None


@lru_cache(maxsize=64)
def _points(event: events.Event) -> tuple[tuple[float, float], ...]:
    """Return the known orders and the losses there; what is known by its ρ alone is summed up once for all of them."""
    concentrated, others = Fraction(0), []
    for single, times in singles(event).items():
        known = rho(single)
        if known is not None and pure(single) is None:
            concentrated += times * known
        else:
            others.append(events.Repeated(times, single))
    rest, points = events.Composed(tuple(others)), []
    for order in ORDERS:
        try:
            bound = loss(rest, Measure("renyi", float(order)))
        except UnsupportedEvent:
            continue
        points.append((float(order), above(bound.loss + Fraction(order) * concentrated)))
    return tuple(points)


def singles(event: events.Event) -> Counter[events.Event]:
    """Return the single events that a composition runs, and how often: the order of a composition does not matter."""
    match event:
        case events.Repeated():
            return Counter({single: event.count * times for single, times in singles(event.event).items()})
        case events.Composed():
            total: Counter[events.Event] = Counter()
            for part in event.events:
                total += singles(part)
            return total
        case events.CyclicPoissonSampled():
            turns = -(-event.steps // event.bands)
            return Counter({events.PoissonSampled(event.sample_rate, event.relation, event.event): turns})
    return Counter([event])


@dataclass(frozen=True, slots=True)
class ApproximateProfile(PrivacyProfile):
    """The curve of the worst (epsilon0, delta0)-DP mechanism; exact."""

    epsilon0: float
    delta0: float = 0.0
    method = "pure ε and δ"

    def delta(self, epsilon: float) -> Bracket:
        """Return δ(ε) = δ0 + (1 - δ0)·(e^ε0 - e^ε)₊ / (1 + e^ε0)."""
        gap = self.epsilon0 - epsilon
        if gap <= 0:
            return Bracket(self.delta0, self.delta0)
        part = -math.expm1(-gap) / (1 + math.exp(-self.epsilon0))
        return _around(self.delta0 + (1 - self.delta0) * part, most=1.0)

    def epsilon(self, delta: float) -> Bracket:
        """Return the least ε with δ(ε) at most `delta`."""
        if delta < self.delta0:
            return Bracket(math.inf, math.inf)
        part = (delta - self.delta0) / (1 - self.delta0) * (1 + math.exp(-self.epsilon0))
        if part >= 1:
            return Bracket(0.0, 0.0)
        # Near 1 the logarithm magnifies the rounding of `part`.
        return _around(self.epsilon0 + math.log1p(-part), self.epsilon0 + 1 / (1 - part), most=self.epsilon0)

    def pairs(self) -> tuple[tuple[float, float], ...]:
        """Return the one pair that says all."""
        return ((self.epsilon0, self.delta0),)

    def true_positive_rate(self, false_positive_rate: float) -> Bracket:
        """Return the highest rate of any attacker: exact, where the grid of the general bound is coarse."""
        check_rate(false_positive_rate)
        odds = math.exp(min(self.epsilon0, 700.0))
        steep = odds * false_positive_rate + self.delta0 if self.epsilon0 <= 700 else 1.0
        flat = 1 - max(0.0, 1 - self.delta0 - false_positive_rate) / odds
        upper = min(1.0, max(false_positive_rate, min(up(steep), up(flat, 1))))
        return Bracket(max(false_positive_rate, min(1.0, down(steep), down(flat, 1))), upper)


@dataclass(frozen=True, slots=True)
class GaussianProfile(PrivacyProfile):
    """The curve of a continuous Gaussian with sensitivity / deviation = mu; exact."""

    mu: float
    method = "exact Gaussian"

    def delta(self, epsilon: float) -> Bracket:
        """Return δ(ε)."""
        return Bracket(*gaussian_curve(self.mu, epsilon))

    def epsilon(self, delta: float) -> Bracket:
        """Return ε(δ)."""
        return Bracket(*gaussian_inverse(self.mu, delta)) if delta > 0 else Bracket(math.inf, math.inf)

    def true_positive_rate(self, false_positive_rate: float) -> Bracket:
        """Return Φ(Φ⁻¹(rate) + mu): the exact trade-off curve."""
        check_rate(false_positive_rate)
        if false_positive_rate in (0.0, 1.0):
            return Bracket(float(false_positive_rate), float(false_positive_rate))
        quantile = NormalDist().inv_cdf(false_positive_rate)
        rate = math.erfc(-(quantile + self.mu) / math.sqrt(2)) / 2
        size = 1e-12 * (1 + quantile**2) * (1 + self.mu)
        return Bracket(max(false_positive_rate, rate * (1 - size)), min(1.0, rate * (1 + size)))

    def group(self, size: int) -> PrivacyProfile:
        """Return the curve of `size` units together: exactly that of `size` times mu."""
        GroupProfile(self, size)  # refuses what is no size
        return GaussianProfile(math.nextafter(size * self.mu, math.inf))

    def advantage(self) -> Bracket:
        """Return 2Φ(mu / 2) - 1."""
        return _around(math.erf(self.mu / math.sqrt(8)), most=1.0)


@dataclass(frozen=True, slots=True)
class ZCDPProfile(PrivacyProfile):
    """The curve that ρ-zCDP, with delta0 beside it, proves; from above alone."""

    rho: float
    delta0: float = 0.0
    method = "zCDP (Canonne-Kamath-Steinke)"

    def delta(self, epsilon: float) -> Bracket:
        """Return δ(ε), rounded up."""
        return Bracket(0.0, min(1.0, up(self.delta0 + zcdp_delta(self.rho, epsilon))))

    def epsilon(self, delta: float) -> Bracket:
        """Return ε(δ), rounded up."""
        rest = math.nextafter(delta - self.delta0, 0.0)
        if rest <= 0:
            return Bracket(0.0, 0.0 if self.rho == 0 and delta >= self.delta0 else math.inf)
        return Bracket(0.0, zcdp_epsilon(self.rho, rest))


@dataclass(frozen=True, slots=True)
class RenyiProfile(PrivacyProfile):
    """The best of the Rényi bounds at several orders, with delta0 beside them; worked out when first asked."""

    event: events.Event
    delta0: float = 0.0
    method = "Rényi orders"

    def delta(self, epsilon: float) -> Bracket:
        """Return δ(ε), rounded up."""
        order, value = min(_points(self.event), key=lambda point: closed_delta(point[0], point[1], epsilon))
        return Bracket(0.0, min(1.0, up(self.delta0 + rdp_delta(order, value, epsilon))))

    def epsilon(self, delta: float) -> Bracket:
        """Return ε(δ), rounded up."""
        rest = math.nextafter(delta - self.delta0, 0.0)
        if rest <= 0:
            return Bracket(0.0, math.inf)
        order, value = min(_points(self.event), key=lambda point: closed_epsilon(point[0], point[1], rest))
        return Bracket(0.0, rdp_epsilon(order, value, rest))


@dataclass(frozen=True, slots=True)
class BestProfile(PrivacyProfile):
    """The pointwise best of several curves proved from above."""

    curves: tuple[PrivacyProfile, ...]

    @property
    def method(self) -> str:  # type: ignore[override]
        """The bounds taken together."""
        return "best of " + ", ".join(curve.method for curve in self.curves)

    def delta(self, epsilon: float) -> Bracket:
        """Return the least δ(ε)."""
        return Bracket(0.0, min(curve.delta(epsilon).upper for curve in self.curves))

    def epsilon(self, delta: float) -> Bracket:
        """Return the least ε(δ)."""
        return Bracket(0.0, min(curve.epsilon(delta).upper for curve in self.curves))

    def true_positive_rate(self, false_positive_rate: float) -> Bracket:
        """Return the least of the curves' own bounds, some of which are exact."""
        upper = min(curve.true_positive_rate(false_positive_rate).upper for curve in self.curves)
        return Bracket(false_positive_rate, upper)


def _around(value: float, size: float = 0.0, *, most: float) -> Bracket:
    """Return the bracket of a closed form that floats give to within `up` and `down`, in [0, most]."""
    return Bracket(min(most, max(0.0, down(value, size))), max(0.0, min(most, up(value, size))))
