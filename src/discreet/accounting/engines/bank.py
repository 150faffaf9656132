"""Bank: a fixed set of contours on which any event can be added up, so that a spend costs one vector sum.

Row j lies at Re z = c_j = c_0·1.45^j, with nodes h = 0.15·c_j apart: both scale with c, as the width of the
integrand does near its saddle. A spend adds its log M at every node, its envelope at the row's end and the P-mass
that its window cut off. How much a window may cut depends on δ: there is a bank for each power of ten of δ. A row
serves where a composition that holds the event can have its saddle there; of the others the real moment is kept, for
Chernoff's bound and for what aliases into lower rows. Proofs: docs/proofs/contour.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from discreet import events
from discreet.accounting.conversions import log_kappa
from discreet.accounting.engines.atoms import Array
from discreet.accounting.engines.contour import Contour
from discreet.accounting.engines.law import GaussianLaw, Law, TableLaw
from discreet.accounting.engines.pairs import DIRECTIONS, Direction, Pair, directed, pair
from discreet.accounting.engines.pieces import EPS
from discreet.accounting.engines.waves import Complex
from discreet.errors import UnsupportedEvent

CS = 0.16 * 1.45 ** np.arange(28)
COUNT = 160  # nodes of a row beside the first
STEP = 0.15  # their distance at most, in units of c
FINEST = 1e-20  # error of a moment, relative to it, that is far below rounding
MOST = 500.0  # log of a moment that no reading will want
SHARE = 9  # powers of ten of δ that one spend's window may cut off
BEYOND = 10.0  # how much less likely than δ the losses may be that rule a row
_ERROR, _END = 2, 6  # places in `Rows.sums`
_K = np.arange(COUNT + 1.0)
_SQUARES = _K * _K
_KAPPA = np.array([log_kappa(c) + 1e-15 * (c * abs(math.log(c)) + (1 + c) * math.log1p(c)) for c in CS.tolist()])
_LOGS = np.log(CS * COUNT)

Single = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Rows:
    """What one event, or a sum of them, has at every node.

    Args:
        step: Distance of the nodes, in units of c.
        sums: For each row: log M(c_j), infinite where there is none; its size; its error; the tilted mean; its
            size; a bound of |shape| / k² at node k; log of the envelope at the last node. Shape (7, rows).
        shape: log of M relative to M(c_j) and the centre's phase, of the rows that serve, shape (served, nodes).
        errors: Relative errors of their exponentials, in single precision, rounded up.
        removed: P-mass cut off.
        infinite: log of the probability of no infinite loss.
        kinds: How many numbers went into each sum, for rounding.
        firm: Whether no pair was loose: else there is no lower end.
    """

    step: float
    sums: Array
    shape: Complex
    errors: Single
    removed: float
    infinite: float
    kinds: int
    firm: bool

    def plus(self, other: Rows) -> Rows:
        """Return the sum."""
        served = min(len(self.shape), len(other.shape))
        return Rows(
            self.step,
            self.sums + other.sums,
            self.shape[:served] + other.shape[:served],
            self.errors[:served] + other.errors[:served],
            self.removed + other.removed,
            self.infinite + other.infinite,
            self.kinds + other.kinds,
            self.firm and other.firm,
        )

    def times(self, count: int) -> Rows:
        """Return what `count` runs add."""
        if count == 1:
            return self
        return Rows(
            self.step,
            self.sums * count,
            self.shape * count,
            self.errors * np.float32(count),
            self.removed * count,
            self.infinite * count,
            self.kinds + 2,
            self.firm,
        )

    def beside(self, mu: float) -> Rows:
        """Return the sum with one more Gaussian of sensitivity / deviation `mu`."""
        return self.plus(_gaussian(mu * mu, len(self.shape), self.step))

    def veil(self, row: int, near: float, least: float) -> float:
        """Return about the μ beside which the end of a row, at this ε, holds no more than `least`; 0 for none."""
        c, u = float(CS[row]), float(CS[row]) * self.step * COUNT
        log = float(self.tops[row] + self.sums[_END, row]) - c * near - math.log(math.pi * u * least)
        return math.sqrt(2 * log) / u if log > 0 else 0.0

    @cached_property
    def lost(self) -> float:
        """The P-mass at an infinite loss."""
        return abs(math.expm1(self.infinite))

    @cached_property
    def tops(self) -> Array:
        """Log M(c_j), rounded up."""
        real, size, error = self.sums[:3]
        tops: Array = real + (error + 2 * self.kinds * EPS * (size + error))
        return tops

    def chernoff(self, delta: float) -> float:
        """Return the least ε that one moment proves at this δ."""
        pad = 2 * self.kinds * EPS
        part = delta - self.lost * (1 + 1e-12 + pad) - self.removed * (1 + pad)
        if part <= 0:
            return math.inf
        return max(0.0, float(((self.tops + (_KAPPA - math.log(part) + 1e-13)) / CS).min()) * (1 + 1e-12))

    def likely(self, delta: float) -> int:
        """Return the row whose moment proves most at this δ, about."""
        return int(((self.tops + (_KAPPA - math.log(delta))) / CS).argmin())

    def ranked(self, near: float) -> list[int]:
        """Return the rows that serve, those with the least error at this ε first: about, to look for a good one."""
        scale = self.tops - CS * near
        served = len(self.shape)
        aliasing = (scale + _KAPPA - _falls(self.step)[:served]).min(axis=1)
        others = np.maximum(self.sums[_END] - _LOGS, np.log(self.sums[_ERROR] + 1e-15))[:served]
        found: list[int] = np.maximum(aliasing, scale[:served] + others).argsort().tolist()
        return found

    def contour(self, row: int, near: float) -> Contour:
        """Return a row as a contour; the aliasing from above is bounded at the best of the rows above, for the same cut."""
        c, pad = float(CS[row]), 1 + 2 * self.kinds * EPS
        real, size, error, centre, centres, bend, end = self.sums[:, row].tolist()
        other = int((_KAPPA + self.tops - CS * near - _falls(self.step)[row]).argmin())
        errors = self.errors[row] * math.exp(1.3e-7 * self.kinds) + (2 * self.kinds * EPS * bend) * _SQUARES
        return Contour(
            c=c,
            near=near,
            step=c * self.step,
            u=c * self.step * _K,
            real=real,
            real_error=(error + 2 * self.kinds * EPS * size) * pad,
            phase=centre,
            phase_size=centres * pad,
            shape=self.shape[row],
            errors=errors,
            log_end=end / pad,
            above=(float(CS[other]), float(self.tops[other])) if other > row else (3 * c, math.inf),
            infinite=self.lost / pad,
            removed=self.removed * pad + 2 * self.lost * (pad - 1),
            kinds=self.kinds,
        )


def nothing(level: int) -> Rows:
    """Return the rows of no spending, for δ of at least 10^-level."""
    shape = np.zeros((CS.size, COUNT + 1), dtype=np.complex128)
    errors = np.zeros(shape.shape, dtype=np.float32)
    return Rows(_step(level), np.zeros((7, CS.size)), shape, errors, 0.0, 0.0, 0, firm=True)


@lru_cache(maxsize=32)
def _falls(step: float) -> Array:
    """Return by how much aliasing falls from each row, (c₂ - c)·2π/h, to be bounded at each c₂ above it."""
    return np.where(CS[None, :] > CS[:, None], 2 * math.pi / step * (CS[None, :] / CS[:, None] - 1), -np.inf)


def _step(level: int) -> float:
    """Return the distance of nodes, in units of c, with which δ ≤ 1 aliases from below to no more than e^-14 of δ."""
    return min(STEP, 2 * math.pi / (level * math.log(10) + 14.0))


def known(event: events.Event, direction: Direction) -> Pair:
    """Return the pair of a single event.

    Raises:
        UnsupportedEvent: it has none, or none with a transform.
    """
    found = pair(event, direction if directed(event) else DIRECTIONS[0])
    if found is None or isinstance(found.law, TableLaw):
        raise UnsupportedEvent(
            f"{event.kind!r} has no transform, which an odometer needs.", remedy="Account for it with profile()."
        )
    return found


def rows(event: events.Event, direction: Direction, level: int, count: int) -> Rows:
    """Return the rows of so many runs of one single event, for δ of at least 10^-level.

    Raises:
        UnsupportedEvent: it has no dominating pair with a transform.
    """
    digits = len(str(count)) - 1  # each run may cut off so much less
    return _rows(event, direction if directed(event) else DIRECTIONS[0], level, level + SHARE + digits).times(count)


@lru_cache(maxsize=512)
def _rows(event: events.Event, direction: Direction, level: int, lost: int) -> Rows:
    pairs = [known(event, way) for way in DIRECTIONS]
    laws = [one.law.windowed(10.0 ** -min(300, lost)) for one in pairs]
    law, step = laws[DIRECTIONS.index(direction)], _step(level)
    served = min(_served(one, level * math.log(10) + BEYOND) for one in laws)
    if isinstance(law, GaussianLaw):
        return _gaussian(law.squared, served, step)
    tolerance = max(FINEST, 10.0 ** -min(300, lost + 3))
    lines = _lines(law, served, step, tolerance)
    return Rows(
        step=step,
        sums=np.array([line.sums for line in lines] + _moments(law, len(lines), tolerance)).T,
        shape=np.array([line.shape for line in lines]).reshape(-1, COUNT + 1),
        errors=_single(np.array([line.errors for line in lines]).reshape(-1, COUNT + 1)),
        removed=law.removed,
        infinite=math.log1p(-min(law.infinite, 1 - 1e-16)),
        kinds=1,
        firm=pairs[DIRECTIONS.index(direction)].status != "loose",
    )


def _single(errors: Array) -> Single:
    """Return errors in single precision, rounded up."""
    above: Single = np.nextafter(errors.astype(np.float32) + np.float32(1e-37), np.float32(np.inf))
    return above


def _gaussian(squared: float, served: int, step: float) -> Rows:
    """Return the rows of a Gaussian, in closed form."""
    real, centre = squared * (CS * CS + CS) / 2, squared * (2 * CS + 1) / 2
    bend = squared * (CS * step) ** 2 / 2
    end = -bend * (1 - 1e-14) * COUNT**2
    shape = np.multiply.outer(-bend[:served], _SQUARES)
    return Rows(
        step=step,
        sums=np.array([real, real, 8 * EPS * real, centre, centre, bend, end]),
        shape=shape.astype(np.complex128),
        errors=_single(shape * (-8 * EPS)),
        removed=0.0,
        infinite=0.0,
        kinds=1,
        firm=True,
    )


class _Line(NamedTuple):
    sums: list[float]
    shape: Complex
    errors: Array


def _lines(law: Law, served: int, step: float, tolerance: float) -> list[_Line]:
    """Return the rows that serve, as far as they can be had."""
    found: list[_Line] = []
    for c in CS[:served].tolist():
        try:
            moments = law.moments(c, c * step, COUNT, tolerance)
        except ArithmeticError:
            break
        real, error, centre, u = moments.real, moments.real_error, moments.centre, c * step * COUNT
        end = float(law.decay(c, real + error).log_bound(np.array([u]))[0])
        bend = float((np.abs(moments.shape[1:]) / _SQUARES[1:]).max())
        found.append(_Line([real, abs(real), error, centre, abs(centre), bend, end], moments.shape, moments.errors))
    return found


def _moments(law: Law, first: int, tolerance: float) -> list[list[float]]:
    """Return the sums of the other rows: their real moments alone, as long as they are not out of all reach."""
    found: list[list[float]] = []
    for c in CS[first:].tolist():
        try:
            real, error = law.log_moment(c, tolerance)
        except ArithmeticError:
            break
        if not real < MOST:
            break
        found.append([real, abs(real), error, 0.0, 0.0, 0.0, 0.0])
    nothing_known = [math.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    return found + [nothing_known] * (CS.size - first - len(found))


def _served(law: Law, surprise: float) -> int:
    """Return how many rows can be near the saddle of something as likely as e^-surprise: what tilts the law costs less."""
    value, mean, _ = law.cumulants(CS)
    beyond = np.flatnonzero(~(CS * mean - value <= surprise))
    return int(beyond[0]) if beyond.size else CS.size
