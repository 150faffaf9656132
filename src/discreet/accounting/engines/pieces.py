"""Piece: the continuous part of a privacy-loss law, with everything its error bounds need.

A piece lives on an interval of a coordinate x. It has a base density b(x), a base loss y(x) that
is linear in x, and mixes the base pair at a public rate q: X = 1 - q + q·e^y. From these come its
P-density w and its loss l:

    remove   P mixed, Q not      w = b·X          l =  log X(x)
    add      Q mixed, P not      w = b            l = -log X(x)
    replace  both, mirrored      w = b·X          l =  log X(x) - log X(-x)

The base is a standard normal with y = μx - μ²/2 (a Gaussian of sensitivity / deviation μ), or the
density of the Laplace mechanism between its two atoms with y = x. An `end` cuts off the far right,
where an event too rare to matter would otherwise rule every moment.

Proofs of the bounds used here: docs/proofs/contour.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from discreet.accounting.engines.atoms import Array

Form = Literal["remove", "add", "replace"]

EPS = 2.0**-53
_RHOS = np.array([[2.0], [3.4], [6.5]])  # sizes of the Bernstein ellipses that are tried
_ACROSS, _UP = (_RHOS + 1 / _RHOS) / 2, (_RHOS - 1 / _RHOS) / 2
_GAIN, _WORTH = np.log(1 - _RHOS**-2.0), 2 * np.log(_RHOS)
_WIDEST = 4.0  # width of the panels that are tried first
_HALVINGS, _PANELS = 40, 20_000  # beyond so many the integrand turns too fast
_MOST = 17  # nodes of one panel: numpy's weights are good to 15 units of EPS up to here, not beyond
_LOG_PI = 0.5 * math.log(2 * math.pi)


class Span(NamedTuple):
    """Where an integral over a piece is taken, log of about its size (at least 0), and a bound of what the rest holds.

    The bound is in units of e^log_size: integrals of large moments need not fit a float.
    """

    low: float
    high: float
    log_size: float
    left_out: float


@dataclass(frozen=True, slots=True)
class Piece:
    """One analytic stretch of a law.

    Args:
        base: "normal" or "laplace".
        size: μ, or the ε of the Laplace mechanism.
        rate: q, in (0, 1].
        form: remove, add or replace.
        start: Where the stretch begins; None for the left end of the base.
        weight: Its share in a mixture.
        end: Where the stretch is cut off; infinite for nowhere.
        unsure: A relative error of the weight.
    """

    base: Literal["normal", "laplace"]
    size: float
    rate: float
    form: Form
    start: float | None = None
    weight: float = 1.0
    end: float = math.inf
    unsure: float = 0.0

    # -------------------------------------------------------------------- real functions of x

    def y(self, x: Array) -> Array:
        """Return the base loss."""
        return self.size * x - self.size**2 / 2 if self.base == "normal" else x

    @property
    def slope(self) -> float:
        """dy/dx."""
        return self.size if self.base == "normal" else 1.0

    def log_mix(self, y: Array) -> Array:
        """Return log X at base loss y, to a few ulps of itself."""
        if self.rate == 1.0:
            return y
        return mixed(y, self.rate)

    def share(self, y: Array) -> Array:
        """Return ρ = q·e^y / X, the slope of log X in y."""
        if self.rate == 1.0:
            return np.ones_like(y)
        return self.rate / (self.rate + (1 - self.rate) * np.exp(-np.maximum(y, -690.0)))

    def log_base(self, x: Array) -> Array:
        """Return log of the base density, weight included."""
        share = math.log(self.weight)
        if self.base == "normal":
            return -x * x / 2 + (share - _LOG_PI)
        return -(self.size + x) / 2 + (share - math.log(4))

    def loss(self, x: Array) -> Array:
        """Return l(x)."""
        first = self.log_mix(self.y(x))
        if self.form == "remove":
            return first
        return -first if self.form == "add" else first - self.log_mix(self.y(-x))

    def log_density(self, x: Array) -> Array:
        """Return log of the P-density w(x)."""
        value = self.log_base(x)
        if self.form != "add":
            value = value + self.log_mix(self.y(x))
        return value

    def loss_error(self, x: Array) -> Array:
        """Return a bound of the rounding error of `loss`, and of what a rounded x does to it, in units of EPS."""
        y = self.y(x)
        farthest = float(np.max(np.abs(x), initial=0.0))
        moved = np.abs(y) * 4 + self.slope * (4 * np.abs(x) + 2 * farthest) + 4 * self.size**2 + 2
        error = 6 * np.abs(self.log_mix(y)) + self.share(y) * moved
        if self.form == "replace":
            error = error + 6 * np.abs(self.log_mix(self.y(-x))) + self.share(self.y(-x)) * moved
        return error

    def shaky(self, x: Array) -> Array:
        """Return a bound of the relative error of a density at x, but for its logarithm's rounding, in units of EPS."""
        return 50 + self.unsure / EPS + 2 * x * x

    # -------------------------------------------------------------------------- where it lies

    def windowed(self, lost: float) -> Piece:
        """Return the piece without the far right end, a P-mass of at most `lost`."""
        if self.base != "normal" or self.form == "add":
            return self
        low, high = (self.start or 0.0), 60.0 + self.size
        while high - low > 1e-4 * (1 + abs(high)):  # any end that loses less will do
            middle = (low + high) / 2
            low, high = (middle, high) if self._beyond(middle) > lost else (low, middle)
        return replace(self, end=high)

    def scaled(self, share: float) -> Piece:
        """Return the piece as a part of a mixture."""
        return replace(self, weight=self.weight * share)

    def removed(self) -> float:
        """Return the P-mass beyond the end, rounded up."""
        return 0.0 if self.end == math.inf else self._beyond(self.end)

    def _beyond(self, x: float) -> float:
        mass = (1 - self.rate) * _tail(x) + self.rate * _tail(x - self.size)
        return self.weight * mass * (1 + 1e-12)

    def extent(self, c: float, tolerance: float) -> tuple[float, float, float]:
        """Return an interval of x, and a bound of what w·|e^{zl} - 1|, Re z = c, holds outside of it.

        The bound is about `tolerance` (of P-mass 1) or less.
        """
        if self.base == "laplace":
            return -self.size, self.size, 0.0
        surprise = max(1.0, -math.log(tolerance))
        if self.form == "add":
            most = -c * math.log1p(-self.rate)  # l < -log(1 - q) everywhere
            low = -math.sqrt(2 * (surprise + most)) if self.start is None else self.start
            high = max(math.sqrt(2 * surprise), self.size / 2, (self.start or 0.0) + 1.0)
            left = 0.0 if self.start is not None else math.exp(most) * _tail(-low)
            right = _tail(high) * math.exp(c * max(0.0, float(self.loss(np.array([high]))[0])))
            return low, high, 2 * self.weight * (left + right)
        low = self.start if self.start is not None else -math.sqrt(2 * surprise)
        high = self._right_end(c, surprise, low)
        ends = np.array([low, high])
        loss = self.loss(ends)
        left = 0.0
        if self.start is None:
            left = math.exp(min(700.0, c * max(0.0, float(loss[0])))) * _tail(-low)
            left *= max(1.0, math.exp(float(self.log_mix(self.y(ends))[0])))
        if self.end < math.inf:
            return low, high, 2 * self.weight * left
        log_right = float(self.log_density(ends)[1]) + c * float(loss[1])
        right = math.exp(min(700.0, log_right)) / self._falls(c, high)
        return low, high, 2 * self.weight * left + 2 * right

    def span(self, c: float, tolerance: float) -> Span:
        """Return the part of the extent where ∫ w·e^{cl} has its mass, the rest bounded cell by cell."""
        low, high, left_out = self.extent(c, tolerance)
        if high - low < 40.0 and c * self.slope * self.slope < 5.0:
            middle = np.linspace(low, high, 64)
            size = self.log_density(middle) + c * self.loss(middle) + math.log(middle[1] - middle[0])
            log_size = max(0.0, math.log(max(1.0, float(np.exp(np.minimum(size, 600.0)).sum()))))
            return Span(low, high, log_size, left_out * math.exp(-log_size))
        edges = np.linspace(low, high, min(100_000, max(64, math.ceil((high - low) * 10))) + 1)
        width = edges[1] - edges[0]
        first, last = edges[:-1], edges[1:]
        sup = self.log_sup(first, last, np.zeros(1), c, 0.0) + math.log(width)
        middle = (first + last) / 2
        size = self.log_density(middle) + c * self.loss(middle) + math.log(width)
        top = float(size.max())
        log_size = max(0.0, top + math.log(float(np.exp(size - top).sum())))
        left_out *= math.exp(-log_size)
        held = np.flatnonzero(sup > math.log(tolerance / first.size) + log_size)
        if held.size == 0:
            return Span(low, high, log_size, left_out)
        a, b = int(held[0]), int(held[-1])
        rest = np.concatenate([sup[:a], sup[b + 1 :]])
        # w·|e^{zl} - 1| is at most twice the larger of w·e^{cl} and w, which `log_sup` bounds together.
        left_out += 2 * float(np.exp(rest - log_size).sum())
        return Span(float(edges[a]), float(edges[b + 1]), log_size, left_out)

    def _falls(self, c: float, x: float) -> float:
        """Return s > 0 such that log of w·e^{cl} falls at least at rate s beyond x; what is not positive proves nothing."""
        rate = x - (1 + c) * self.size
        if self.form == "replace":
            rate -= c * self.size * float(self.share(self.y(np.array([-x])))[0])
        return rate

    def _right_end(self, c: float, surprise: float, low: float) -> float:
        if self.end < math.inf:
            return self.end
        last = (1 + 2 * c) * self.size + math.sqrt(2 * surprise) + 12.0
        x = np.linspace(max(low, 0.0) + 1.0, max(last, low + 2.0), 160)
        value = self.log_density(x) + c * np.maximum(self.loss(x), 0.0)
        fits = value < -surprise
        beyond = np.flatnonzero(~fits)
        k = 0 if beyond.size == 0 else min(int(beyond[-1]) + 1, x.size - 1)
        high = float(x[k])
        while self._falls(c, high) < 1.0:
            high += 1.0
        return high

    # ---------------------------------------------------------------- bounds over parts of the plane

    def log_sup(self, low: Array, high: Array, height: Array, c: float, u: float) -> Array:
        """Return log of a bound of |w·e^{zl}| for Re x in [low, high], |Im x| ≤ height, z in the triangle 0, c ± iu.

        Shapes broadcast. Infinite where the strip meets a branch point of log X.
        """
        angle = self.slope * height
        fine = angle < 3.0
        angle = np.minimum(angle, 3.0)
        if self.base == "normal":
            nearest = np.maximum(0.0, np.maximum(low, -high))
            value = (height * height - nearest * nearest) / 2 - _LOG_PI + math.log(self.weight)
        else:
            value = self.log_base(low) + 0.0 * height
        y_low, y_high = self.y(low), self.y(high)
        turn = self._turn(y_high, angle)
        if self.form == "add":
            tilt = -self._log_least(y_low, y_high, angle)
        elif self.form == "remove":
            tilt = self.log_mix(y_high)
            value = value + tilt
        else:
            value = value + self.log_mix(y_high)
            tilt = self.log_mix(y_high) - self._log_least(self.y(-high), self.y(-low), angle)
            turn = turn + self._turn(self.y(-low), angle)
        sup: Array = np.where(fine, value + np.maximum(c * tilt + u * turn, 0.0), np.inf)
        return sup

    def _turn(self, y: Array, angle: Array) -> Array:
        """Return |arg X| at base loss y + i·angle; it grows with both, for angles below π."""
        if self.rate == 1.0:
            return angle + 0.0 * y
        rest = (1 - self.rate) * np.exp(np.minimum(-y, 690.0))
        return np.arctan2(self.rate * np.sin(angle), rest + self.rate * np.cos(angle))

    def _log_least(self, y_low: Array, y_high: Array, angle: Array) -> Array:
        """Return a lower bound of log |X| over the rectangle: |X|² = (A+B)²·(1 - 4AB/(A+B)²·sin²(θ/2))."""
        if self.rate == 1.0:
            return y_low + 0.0 * angle
        first, last = self.share(y_low), self.share(y_high)
        ends = np.maximum(4 * first * (1 - first), 4 * last * (1 - last))
        most: Array = np.where((first <= 0.5) & (last >= 0.5), 1.0, ends)
        least: Array = self.log_mix(y_low) + np.log1p(-most * np.sin(angle / 2) ** 2) / 2
        return least

    def log_rare(self, low: Array, high: Array, c: float) -> Array:
        """Return log of a lower bound of the loss density w·e^{cl} / |dl/dx| on the cells [low, high]."""
        if self.base == "normal":
            farthest = np.maximum(np.abs(low), np.abs(high))
            value: Array = -farthest * farthest / 2 - _LOG_PI + math.log(self.weight)
        else:
            value = self.log_base(high)
        steep = self.share(self.y(high))
        if self.form == "add":
            value = value - c * self.log_mix(self.y(high))
        elif self.form == "remove":
            value = value + (1 + c) * self.log_mix(self.y(low))
        else:
            value = value + (1 + c) * self.log_mix(self.y(low)) - c * self.log_mix(self.y(-low))
            steep = steep + self.share(self.y(-low))
        rare: Array = value - np.log(self.slope * steep) - 1e-12 * (1 + np.abs(value))
        return rare

    # ------------------------------------------------------------------------------ quadrature

    def panels(self, c: float, u: float, low: float, high: float, log_tolerance: float) -> tuple[Array, Array]:
        """Return nodes and weights that give ∫ w·e^{zl} dx over [low, high] to a tolerance, z in the triangle 0, c ± iu.

        Gauss-Legendre panels; each panel's error is at most 64/15·r·M·ρ^-2(n-1) / (1 - ρ^-2), M the
        largest value on its Bernstein ellipse of size ρ (Trefethen, Approximation Theory, Theorem 19.3).
        A panel that would need too many nodes is halved.
        """
        log_need = math.log(64 / 15 * (high - low)) - log_tolerance
        count = max(1, math.ceil((high - low) / _WIDEST))
        half = np.full(count, (high - low) / (2 * count))
        middle = low + half * (2 * np.arange(count) + 1)
        xs, weights = [], []
        for _ in range(_HALVINGS):
            size = self.log_sup(middle - half * _ACROSS, middle + half * _ACROSS, half * _UP, c, u)
            needs = np.ceil(np.min((size + log_need - _GAIN) / _WORTH, axis=0)) + 1
            fits = needs <= _MOST
            nodes = np.maximum(needs[fits], 2.0).astype(np.int64)
            at_middle, at_half = middle[fits, None], half[fits, None]
            for n in np.unique(nodes).tolist():
                at, weight = _gauss(n)
                xs.append((at_middle[nodes == n] + at_half[nodes == n] * at).ravel())
                weights.append((at_half[nodes == n] * weight).ravel())
            middle, half = middle[~fits], half[~fits] / 2
            if middle.size == 0:
                return np.concatenate(xs), np.concatenate(weights)
            if middle.size > _PANELS:
                break
            middle, half = np.concatenate([middle - half, middle + half]), np.concatenate([half, half])
        raise ArithmeticError("the integrand turns too fast")

    def place(self, loss: Array) -> Array:
        """Return the x at which the loss is `loss`; clipped to a large range."""
        value = -loss if self.form == "add" else loss
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.form == "replace":
                # b·E² + A(1 - e^l)E - b·e^l = 0 for E = e^{μx}, with b = q·e^{-μ²/2} and A = 1 - q.
                near = self.rate * math.exp(-(self.size**2) / 2)
                half = (1 - self.rate) * np.sinh(value / 2) / near
                return (value / 2 + np.arcsinh(half)) / self.size
            y = np.where(
                value < 30.0,
                np.log(np.maximum(np.expm1(np.minimum(value, 30.0)) + self.rate, 0.0)),
                value + np.log1p(-(1 - self.rate) * np.exp(-np.maximum(value, 30.0))),
            ) - math.log(self.rate)
        x = y / self.size + self.size / 2 if self.base == "normal" else y
        return np.clip(np.nan_to_num(x, nan=-1e9, neginf=-1e9), -1e9, 1e9)

    def cells(self, step: float, offset: float, tolerance: float) -> tuple[Array, Array, float]:
        """Return losses and masses that stand for the piece in every lattice cell of half a step, and the P-mass left out.

        Gauss-Legendre nodes on stretches that no point offset + step·k/2 divides, each narrow enough
        that three nodes are exact to 1e-14.
        """
        low, high, left = self.extent(0.0, tolerance)
        ends = np.sort(self.loss(np.array([low, high])))
        k = np.arange(math.ceil((ends[0] - offset) / step * 2), math.floor((ends[1] - offset) / step * 2) + 1)
        x = np.sort(np.clip(self.place(offset + step / 2 * k), low, high))
        edges = np.unique(np.concatenate([[low], x, [high]]))
        widest = 0.002 * min(1.0, 1 / self.slope)
        return *self._stretched(edges, widest), left

    def beyond(self, loss: float, tolerance: float) -> tuple[Array, Array, float]:
        """Return losses and masses that stand for the part of the piece above a loss, and the P-mass left out."""
        low, high, left = self.extent(0.0, tolerance)
        at = float(np.clip(self.place(np.array([loss])), low, high)[0])
        edges = np.array([low, at] if self.form == "add" else [at, high])
        if edges[1] <= edges[0]:
            return np.empty(0), np.empty(0), left
        return *self._stretched(edges, 0.002 * min(1.0, 1 / self.slope)), left

    def _stretched(self, edges: Array, widest: float) -> tuple[Array, Array]:
        """Return Gauss-Legendre nodes on the cells, cut to at most `widest`: their losses and masses."""
        parts = np.maximum(1, np.ceil(np.diff(edges) / widest)).astype(np.int64)
        inner = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        width = np.repeat(np.diff(edges) / parts, parts)
        start = np.repeat(edges[:-1], parts) + width * inner
        at, weight = _gauss(3)
        nodes = (start[:, None] + width[:, None] * (at + 1) / 2).ravel()
        masses = np.exp(self.log_density(nodes)) * (width[:, None] * weight / 2).ravel()
        return self.loss(nodes), masses


def mixed(y: Array, rate: float) -> Array:
    """Return log(1 - q + q·e^y), to a few ulps of itself plus a few of q·e^y·|y| / X.

    Near -1 the argument of log1p would lose what 1 - q says exactly: there the sum is taken as it stands.
    """
    part = rate * np.expm1(np.minimum(y, 30.0))
    value: Array = np.log1p(np.maximum(part, -0.5))
    if rate > 0.5:
        with np.errstate(divide="ignore"):
            value = np.where(part < -0.5, np.log((1 - rate) + rate * np.exp(np.minimum(y, 0.0))), value)
    if np.max(y, initial=0.0) > 30.0:
        value = np.where(y < 30.0, value, y + np.log(rate + (1 - rate) * np.exp(-np.maximum(y, 30.0))))
    return value


@lru_cache(maxsize=64)
def _gauss(count: int) -> tuple[Array, Array]:
    at, weight = np.polynomial.legendre.leggauss(count)
    return at, weight


def _tail(x: float) -> float:
    """Return Φ(-x), rounded up."""
    return math.erfc(x / math.sqrt(2)) / 2 * (1 + 1e-13) + 5e-324
