"""Contour: δ(ε) of a composition as an integral along one vertical line, every error bounded.

    δ(ε) = p∞ + (1/2π) ∫ f(c + iu) du,    f(z) = e^{K(z) - zε} / (z(1+z)),   K = Σ T·log M

taken by the trapezoidal rule on the line through the saddle point, where |f| is largest at u = 0 and
nothing cancels: the error is relative to δ, and the number of repetitions T only multiplies K.
Proofs: docs/proofs/contour.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from discreet.accounting.conversions import log_kappa
from discreet.accounting.engines.atoms import Array
from discreet.accounting.engines.decay import Decay
from discreet.accounting.engines.law import Law
from discreet.accounting.engines.pieces import EPS
from discreet.accounting.engines.waves import Complex

MOST = 12_000  # nodes of one contour; beyond it the lattice is faster, where it serves
FARTHEST = 100_000  # nodes of one contour where nothing else serves
_CS = np.geomspace(1e-4, 1e6, 41)
_OTHERS = np.geomspace(1.05, 60.0, 48)
_HEIGHTS = np.geomspace(6.0, FARTHEST, 40)


class NoContourError(ArithmeticError):
    """The integrand decays too slowly for this engine."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Bounds of δ(ε) from below and above, and what each error term adds to the width."""

    lower: float
    upper: float
    budget: dict[str, float]


@dataclass(frozen=True, eq=False)
class Composition:
    """A multiset of laws in one direction, composed."""

    parts: tuple[tuple[Law, int], ...]

    @cached_property
    def infinite(self) -> float:
        """P-mass at an infinite loss, to a few ulps."""
        return abs(math.expm1(sum(count * math.log1p(-law.infinite) for law, count in self.parts)))

    @property
    def removed(self) -> float:
        """A bound of the P-mass that windows removed."""
        return sum(count * law.removed for law, count in self.parts)

    def windowed(self, lost: float) -> Composition:
        """Return the composition without a P-mass of at most `lost`."""
        total = sum(count for law, count in self.parts if law.windows)
        if total == 0:
            return self
        return Composition(tuple((law.windowed(lost / total), count) for law, count in self.parts))

    def cumulants(self, c: Array) -> tuple[Array, Array, Array]:
        """Return about K, K' and K'' at each c."""
        total = np.zeros((3, c.size))
        for law, count in self.parts:
            total += count * np.array(law.cumulants(c))
        return total[0], total[1], total[2]

    def saddle(self, *, epsilon: float | None = None, log_delta: float | None = None) -> tuple[float, float, float]:
        """Return about (c, ε, log δ) where the saddle point of f lies for this ε or this δ."""
        cs: Array = _CS
        for turn in range(3):
            k, k1, k2 = self.cumulants(cs)
            with np.errstate(over="ignore", invalid="ignore"):
                eps = k1 - 1 / cs - 1 / (1 + cs)
                variance = k2 + 1 / cs**2 + 1 / (1 + cs) ** 2
                log = k - cs * np.maximum(eps, 0.0) - np.log(cs) - np.log1p(cs) - 0.5 * np.log(2 * np.pi * variance)
            if log_delta is not None:
                reached = ((log <= log_delta) | ~np.isfinite(log)) & (eps > 0)
            else:
                reached = eps >= (epsilon or 0.0)
            if not reached.any():
                k_at = cs.size - 1
            else:
                k_at = int(np.argmax(reached))
            low, high = cs[max(k_at - 1, 0)], cs[k_at]
            if turn < 2:
                cs = _rising(low, high if high > low else low * 1.01, 17)
        return float(cs[k_at]), max(0.0, float(eps[k_at])), float(log[k_at])


@dataclass(frozen=True, eq=False)
class Contour:
    """The integrand on one line, for any ε near its saddle point."""

    c: float
    near: float
    step: float
    u: Array
    real: float
    real_error: float
    phase: float
    phase_size: float
    shape: Complex
    errors: Array
    log_end: float
    above: tuple[float, float]
    infinite: float
    removed: float
    kinds: int

    @cached_property
    def fixed(self) -> tuple[Array, Array, float, float, float, float]:
        """What does not depend on ε: moduli and arguments of e^K / (z(1+z)), what bounds rounding, and the end."""
        modulus, argument = _poles(self.c, self.step, self.u.size)
        size: Array = np.exp(self.shape.real) / modulus
        turned: Array = self.shape.imag - argument
        wrong = np.expm1(self.errors)
        still = float(size @ (wrong + 4 * EPS * np.abs(turned))) + 80 * EPS * float(size.sum())
        # For a turn t ≤ 1/100 of the phase, expm1(e + t) ≤ expm1(e) + 1.01·e^e·t.
        turning = 1.01 * (6 + self.kinds) * EPS * float(size @ (self.u + wrong * self.u))
        unit = self.step / math.pi
        return size, turned, unit, unit * still, unit * turning, math.exp(self.log_end) / (math.pi * float(self.u[-1]))

    def delta(self, epsilon: float) -> Terms:
        """Return bounds of δ(ε)."""
        size, turned = self.fixed[:2]
        return self._terms(epsilon, float((size * np.cos(turned + self.u * (self.phase - epsilon))).sum()))

    def deltas(self, epsilons: Sequence[float]) -> list[Terms]:
        """Return bounds of δ at each ε, the sums of all of them at once."""
        size, turned = self.fixed[:2]
        angles = np.multiply.outer(self.phase - np.asarray(epsilons), self.u) + turned
        sums = (size * np.cos(angles)).sum(axis=1)
        return [self._terms(epsilon, total) for epsilon, total in zip(epsilons, sums.tolist(), strict=True)]

    def _terms(self, epsilon: float, waves: float) -> Terms:
        """Return the bounds, given the sum over the nodes."""
        _, _, unit, still, turning, end = self.fixed
        exponent = self.real - self.c * epsilon
        unsure = self.real_error + (8 + self.kinds) * EPS * (abs(self.real) + self.c * epsilon)
        turn = (6 + self.kinds) * EPS * float(self.u[-1]) * (self.phase_size + epsilon)
        if exponent > 690 or unsure > 1 / 2 or turn > 1 / 100 or not math.isfinite(still):
            return Terms(0.0, 1.0, {"out of reach": 1.0})
        total = unit * waves
        rounding = still + turning * (self.phase_size + epsilon)
        scale, wrong = math.exp(exponent), math.expm1(unsure)
        c2, k2 = self.above
        before = 1 / math.expm1(min(700.0, 2 * math.pi * self.c / self.step))
        falls = 2 * math.pi * (c2 - self.c) / self.step
        loose = (8 + self.kinds) * EPS * (abs(k2) + c2 * (epsilon + 40) + falls)
        exponent_after = log_kappa(c2) + k2 - c2 * epsilon - falls + loose
        after = math.exp(exponent_after) / -math.expm1(-falls) if exponent_after < 690 else math.inf
        upper = scale * (total + rounding + end) * (1 + wrong) + self.removed + self.infinite * (1 + 1e-12)
        lower = scale * max(0.0, total - rounding - end) * (1 - wrong) - before - after + self.infinite * (1 - 1e-12)
        budget = {
            "aliasing": before + after,
            "truncation": 2 * scale * end,
            "quadrature and rounding": 2 * scale * (rounding + max(0.0, total) * wrong),
            "window": self.removed,
        }
        return Terms(min(1.0, max(0.0, lower)), min(1.0, max(0.0, upper) * (1 + 4 * EPS) + 5e-324), budget)


@lru_cache(maxsize=128)
def _poles(c: float, step: float, count: int) -> tuple[Array, Array]:
    """Return |z(1+z)| and its argument at z = c + i·step·k; twice the modulus at k = 0, which counts half."""
    u = step * np.arange(count)
    modulus = np.hypot(c, u) * np.hypot(1 + c, u)
    modulus[0] *= 2
    return modulus, np.arctan2(u, c) + np.arctan2(u, 1 + c)


def contour(
    composition: Composition,
    *,
    epsilon: float | None = None,
    delta: float | None = None,
    relative: float = 1e-12,
    most: int = MOST,
) -> Contour:
    """Return the contour through the saddle point for this ε, or for this δ.

    Raises:
        NoContourError: the integrand decays too slowly.
    """
    target = delta
    if delta is None:  # the window depends on δ, which depends on the window: settle it from large to small
        log = -4.0
        for _ in range(12):
            cut = composition.windowed(relative * math.exp(max(log, -690.0)))
            found = cut.saddle(epsilon=epsilon)[2]
            if not math.isfinite(found) or abs(found - log) < 1.0:
                break
            log = found
        target = math.exp(min(0.0, max(log - 1.0, -690.0)))
    assert target is not None
    cut = composition.windowed(relative * target)
    part = target - composition.infinite if delta is not None else target
    if part <= 0:
        raise NoContourError
    log_part = math.log(part)
    c, at, _ = cut.saddle(epsilon=epsilon) if epsilon is not None else cut.saddle(log_delta=log_part)
    if epsilon is not None:
        at = epsilon
    return _line(cut, c, at, log_part, relative, most)


def _line(cut: Composition, c: float, epsilon: float, log_delta: float, relative: float, most: int) -> Contour:
    log_relative = math.log(relative)
    others = c * _OTHERS
    k = cut.cumulants(others)[0]
    kappa = np.array([log_kappa(other) for other in others.tolist()])
    with np.errstate(over="ignore", invalid="ignore"):
        need = np.maximum(kappa + k - others * epsilon - log_delta, 0.0) - log_relative + 1.0
        widths = np.where(np.isfinite(need), 2 * math.pi * (others - c) / need, 0.0)
    best = int(np.argmax(widths))
    step = min(float(widths[best]), 2 * math.pi * c / (-log_delta - log_relative + 1.0))
    if not step > 0:
        raise NoContourError
    count = sum(count for _, count in cut.parts)
    tolerance = max(relative / (50.0 * count), 1e-30)
    total = float(cut.cumulants(np.array([c]))[0][0])
    # The envelope needs M(c) from above before it is known: a guess is checked afterwards.
    guesses = [float(law.cumulants(np.array([c]))[0][0]) + 1e-5 for law, _ in cut.parts]
    decays = [(law.decay(c, guess), times) for (law, times), guess in zip(cut.parts, guesses, strict=True)]
    height = _end(decays, step, log_relative + log_delta - (total - c * epsilon))
    nodes = max(6, math.ceil(height / step))
    if nodes > most:
        raise NoContourError
    u = step * np.arange(nodes + 1)
    real = error = phase = phase_size = 0.0
    shape = np.zeros(nodes + 1, dtype=np.complex128)
    errors = np.zeros(nodes + 1)
    for at, (law, times) in enumerate(cut.parts):
        moments = law.moments(c, step, nodes, tolerance)
        if moments.real + moments.real_error > guesses[at]:
            decays[at] = (law.decay(c, moments.real + moments.real_error), times)
        real += times * moments.real
        error += times * moments.real_error
        phase += times * moments.centre
        phase_size += times * abs(moments.centre)
        shape += times * moments.shape
        errors += times * (moments.errors + len(cut.parts) * EPS * np.abs(moments.shape))  # the sum is rounded, too
    other, log_end = float(others[best]), float(_envelope(decays, u[-1:])[0])
    above = sum(times * sum(law.log_moment(other, tolerance)) for law, times in cut.parts)
    return Contour(
        c,
        epsilon,
        step,
        u,
        real,
        error,
        phase,
        phase_size,
        shape,
        errors,
        log_end,
        (other, above),
        cut.infinite,
        cut.removed,
        len(cut.parts),
    )


def _rising(low: float, high: float, count: int) -> Array:
    """Return values that rise by equal factors; what numpy's geomspace does, for which it needs ten times as long."""
    values: Array = low * (high / low) ** (np.arange(count) / (count - 1))
    return values


def _end(decays: list[tuple[Decay, int]], step: float, log_target: float) -> float:
    """Return where the sum may stop."""
    heights = step * _HEIGHTS
    for _ in range(2):
        enough = _envelope(decays, heights) - np.log(math.pi * heights) <= log_target
        if not enough.any():
            raise NoContourError
        first = int(np.argmax(enough))
        found = float(heights[first])
        heights = np.linspace(heights[max(first - 1, 0)], found, 12)
    return found


def _envelope(decays: list[tuple[Decay, int]], u: Array) -> Array:
    """Return log of a bound of the integrand's modulus at and beyond each u, relative to u = 0."""
    bound = np.zeros_like(u)
    for decay, count in decays:
        bound += count * decay.log_bound(u)
    return bound
