"""Faded: a piece of a law times normal curves, so that a law can be cut in two without an edge.

Fading out at x₀ over a width w multiplies the density by Φ((x₀ - x)/w), fading in by Φ((x - x₀)/w): the two
add up to the piece, both are entire in x, and so their transforms fall fast where those of halves with an
edge would not. Proofs: docs/proofs/peel.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from discreet.accounting.engines.atoms import Array
from discreet.accounting.engines.pieces import EPS, Piece, Span

END = 0.7  # width of the fade at the far end, in deviations
_DEEP = 25.0  # deviations beyond which erfc gives way to its expansion
_DAWSON = 0.7653  # above √2 times the largest value of Dawson's function
_ANGLES = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8, 1.1, 1.45, 1.8, 2.2, 2.6, 2.95])  # of y, that are tried
_CELLS = 200
_FINEST = 0.05  # the largest distance of points
_MOST_POINTS = 60_000
_TURNED = 400.0  # how much a moved line may turn e^{zl}, in nats
_STRIDES = 0.25 * (1.1 ** np.arange(64) - 1) / 0.1  # where an end is looked for


class Fade(NamedTuple):
    """A normal curve: where its middle is, how wide it is, and whether it rises from 0 to 1 or falls."""

    at: float
    width: float
    rising: bool

    def deviations(self, x: Array) -> Array:
        """Return v with the curve being Φ(v)."""
        return (x - self.at) / self.width if self.rising else (self.at - x) / self.width

    def log(self, x: Array) -> Array:
        """Return log Φ(v)."""
        v = self.deviations(x)
        half = np.array([math.erfc(t) for t in (np.maximum(v, -_DEEP) / -math.sqrt(2)).ravel().tolist()]) / 2
        value: Array = np.log(half.reshape(v.shape))
        if np.min(v, initial=0.0) < -_DEEP:
            far = np.minimum(v, -_DEEP)
            square = 1 / (far * far)
            series = np.log1p(-square * (1 - 3 * square * (1 - 5 * square)))
            deep = -far * far / 2 - np.log(-far) - 0.5 * math.log(2 * math.pi) + series
            value = np.where(v < -_DEEP, deep, value)
        return value

    def shaky(self, x: Array, moved: Array) -> Array:
        """Return a bound of the relative error of Φ(v) if x is off by `moved`, both in units of EPS."""
        v = self.deviations(x)
        steep = np.maximum(-v, 0.0) + 0.8
        error: Array = 8 + steep * (4 * np.abs(v) + moved / self.width) + np.where(v < -_DEEP, 1e-9 / EPS, 0.0)
        return error

    def log_sup(self, low: Array, high: Array, height: Array) -> Array:
        """Return log of a bound of |Φ| for Re x in [low, high] and |Im x| ≤ height."""
        ends = self.deviations(low), self.deviations(high)
        b = height / self.width
        most = np.maximum(*ends)
        nearest = np.maximum(0.0, np.maximum(np.minimum(*ends), -most))
        real = np.where(most < 0, -most * most / 2 - math.log(2), 0.0)
        beside = b * b / 2 - nearest * nearest / 2 + np.log(np.minimum(np.maximum(b, 1e-300), _DAWSON)) - 0.9189
        sup: Array = np.minimum(b * b / 2 + real, np.logaddexp(real, beside)) + 1e-12
        return sup

    def log_inf(self, low: Array, high: Array) -> Array:
        """Return log of a lower bound of Φ for real x in [low, high]."""
        return self.log(low if self.rising else high) - 1e-9

    def slope(self, x: Array) -> Array:
        """Return a bound from above of the slope of log Φ at and beyond x; of -v²/2, which bounds it, too."""
        v = self.deviations(x)
        if self.rising:
            return (np.maximum(-v, 0.0) + 0.8 * np.exp(-np.minimum(np.maximum(v, 0.0) ** 2 / 2, 700.0))) / self.width
        return np.minimum(v, 0.0) / self.width


@dataclass(frozen=True, slots=True)
class Faded(Piece):
    """A normal piece, faded.

    Args:
        fades: The curves that multiply its density.
    """

    fades: tuple[Fade, ...] = ()

    @classmethod
    def of(cls, piece: Piece, *fades: Fade) -> Faded:
        """Return the piece times the curves."""
        return cls(
            piece.base, piece.size, piece.rate, piece.form, weight=piece.weight, unsure=piece.unsure, fades=fades
        )

    def log_density(self, x: Array) -> Array:
        """See `Piece.log_density`."""
        value = Piece.log_density(self, x)
        for fade in self.fades:
            value = value + fade.log(x)
        return value

    def shaky(self, x: Array) -> Array:
        """See `Piece.shaky`."""
        error, moved = Piece.shaky(self, x), 4 * np.abs(x) + 2 * float(np.max(np.abs(x), initial=0.0))
        for fade in self.fades:
            error = error + fade.shaky(x, moved)
        return error

    def log_sup(self, low: Array, high: Array, height: Array, c: float, u: float) -> Array:
        """See `Piece.log_sup`."""
        value = Piece.log_sup(self, low, high, height, c, u)
        for fade in self.fades:
            value = value + fade.log_sup(low, high, height)
        return value

    def log_rare(self, low: Array, high: Array, c: float) -> Array:
        """See `Piece.log_rare`."""
        value = Piece.log_rare(self, low, high, c)
        for fade in self.fades:
            value = value + fade.log_inf(low, high)
        return value

    def windowed(self, lost: float) -> Piece:  # noqa: ARG002 - it falls already
        """See `Piece.windowed`."""
        return self

    def extent(self, c: float, tolerance: float) -> tuple[float, float, float]:
        """See `Piece.extent`; the bound also holds for sums over points at most `_FINEST` apart, times their distance."""
        return self._extent(c, max(1.0, -math.log(tolerance)))

    def _extent(self, c: float, surprise: float) -> tuple[float, float, float]:
        low = -math.sqrt(2 * surprise)
        for fade in self.fades:
            if fade.rising:
                most = c * max(0.0, float(self.loss(np.array([fade.at]))[0]))
                low = max(low, fade.at - fade.width * math.sqrt(2 * (surprise + most)))
        high = self._right_end(c, surprise, low)
        ends = np.array([low, high])
        loss = self.loss(ends)
        log_left = c * max(0.0, float(loss[0])) + max(0.0, float(self.log_mix(self.y(ends))[0]))
        log_left += math.log(_below(low))
        widest = 0.0
        for fade in self.fades:
            if fade.rising:
                log_left += float(fade.log_sup(ends[:1], ends[:1], np.zeros(1))[0])
                widest = max(widest, fade.width)
        log_right = float(self._log_most(ends[1:], c)[0])
        left = math.exp(min(700.0, log_left)) * (2 + widest + _FINEST * max(0.0, -low))
        right = math.exp(min(700.0, log_right)) * (1 / float(self._rates(c, ends[1:])[0]) + _FINEST)
        return low, high, 2 * self.weight * left + 2 * right

    def span(self, c: float, tolerance: float) -> Span:
        """See `Piece.span`; the bound also holds for sums over points."""
        found = Piece.span(self, c, tolerance)
        return found._replace(left_out=5 * found.left_out)  # cells are at least a third of a distance wide

    def _log_most(self, x: Array, c: float) -> Array:
        """Return log of a bound of w·|e^{zl}| at real x, 0 ≤ Re z ≤ c."""
        value = Piece.log_density(self, x) + c * np.maximum(self.loss(x), 0.0) + 1e-9
        for fade in self.fades:
            value = value + fade.log_sup(x, x, np.zeros(1))
        return value

    def _rates(self, c: float, x: Array) -> Array:
        """Return how fast log of that bound falls at least, at and beyond each x; what is not positive proves nothing."""
        rates = x - (1 + c) * self.size
        if self.form == "replace":
            rates = rates - c * self.size * self.share(self.y(-x))
        for fade in self.fades:
            rates = rates - fade.slope(x)
        return rates

    def _right_end(self, c: float, surprise: float, low: float) -> float:
        start = max(low + 1.0, self.size)
        while True:
            x = start + _STRIDES
            found = np.flatnonzero((self._log_most(x, c) < -surprise) & (self._rates(c, x) >= 1.0))
            if found.size:
                return float(x[found[0]])
            start = float(x[-1])

    def panels(self, c: float, u: float, low: float, high: float, log_tolerance: float) -> tuple[Array, Array]:
        """See `Piece.panels`; but these are equidistant points, for nothing ends here: docs/proofs/peel.md."""
        angles = _ANGLES[max(_TURNED / max(u, 1.0), _ANGLES[0]) >= _ANGLES]
        falls = np.maximum(self._log_moved(c, u, angles) - log_tolerance + 1.0, 2.0)
        room = 2 * math.pi * angles / self.slope / falls
        distance = min(_FINEST, float(room.max()), (high - low) / 4)
        count = math.ceil((high - low) / distance)
        if not distance > 0 or count > _MOST_POINTS:
            raise ArithmeticError("the integrand turns too fast")
        distance = (high - low) / count
        return low + distance * np.arange(count + 1), np.full(count + 1, distance)

    def _log_moved(self, c: float, u: float, angles: Array) -> Array:
        """Return log of a bound of ∫ |w·e^{zl}| on lines moved up or down by angles of y, 0 ≤ Re z ≤ c, |Im z| ≤ u."""
        turned = u * angles * (2 if self.form == "replace" else 1)
        low, high, outside = self._extent(c, 140.0 + float(turned[-1]))
        edges = np.linspace(low, high, min(2000, max(_CELLS, math.ceil((high - low) / 0.1))) + 1)
        size = self.log_sup(edges[:-1], edges[1:], angles[:, None] / self.slope, c, u)
        inside = _log_sum(size) + math.log(edges[1] - edges[0])
        value: Array = np.logaddexp(inside, math.log(max(outside, 1e-300)) + self._grown(c, angles) + turned) + 1e-9
        return value

    def passed(self, at: float, width: float) -> float:
        """Return the P-mass of the piece, not faded, that fades in at a point, rounded up."""
        spread = math.hypot(1.0, width)
        total = 0.0
        for share, middle in ((1 - self.rate, 0.0), (self.rate, self.size)):
            total += self.weight * share * math.erfc((at - middle) / spread / math.sqrt(2)) / 2
        return total * (1 + 1e-12 + self.unsure) + 1e-300

    def far(self, lost: float) -> float:
        """Return where the far end fades out, so that about `lost` of P-mass is lost."""
        low, high = 0.0, 60.0 + 2 * self.size
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if self.passed(middle, END) > lost else (low, middle)
        return high

    def log_falls(self, c: float, u: Array) -> Array:
        """Return log of a bound of |∫ w·e^{(c+iv)l} dx| for all v ≥ u, for each u > 0: the line of x moved up by a.

        On it |e^{ivl}| = e^{-v·arg X}, and arg X ≥ 0 there, so that the bound falls with v.
        """
        low, high, outside = self.extent(c, 1e-60)
        edges = np.linspace(low, high, _CELLS + 1)
        first, last = edges[:-1], edges[1:]
        angles = _ANGLES[:, None]
        size = self.log_sup(first, last, angles / self.slope, c, 0.0) + math.log(edges[1] - edges[0])
        turn = self._turn(self.y(first), angles)
        if self.form == "replace":
            turn = turn + self._turn(self.y(-last), angles)
        ends = math.log(max(outside, 1e-300)) + self._grown(c, _ANGLES)
        found = [np.min(np.logaddexp(_log_sum(size - one * turn), ends)) for one in u.tolist()]
        return np.array(found) + 1e-9

    def _grown(self, c: float, angles: Array) -> Array:
        """Return log of a bound of |w·e^{zl}| on the moved line over its value on the real one, wherever that is."""
        a = angles / self.slope
        grown: Array = a * a / 2 + sum((a / fade.width) ** 2 / 2 for fade in self.fades)
        if self.form == "replace":  # |X(-x + ia)| may be less than X(-x)
            grown = grown - c * np.log(np.cos(angles / 2))
        return grown


def _log_sum(logs: Array) -> Array:
    """Return log of the sum of exponentials over the last axis."""
    top = logs.max(axis=-1)
    found: Array = top + np.log(np.exp(logs - top[..., None]).sum(axis=-1))
    return found


def _below(x: float) -> float:
    """Return Φ(x), rounded up."""
    return min(1.0, math.erfc(-x / math.sqrt(2)) / 2 * (1 + 1e-13) + 5e-324)
