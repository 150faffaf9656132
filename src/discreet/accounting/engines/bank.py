"""Bank: a fixed set of contours on which any event can be added up, so that a spend costs one vector sum.

Row j lies at Re z = c_j = c_0·1.45^j, with nodes h = c_j/5 apart: both scale with c, as the width of the
integrand does near its saddle. A spend adds its log M at every node, its envelope at the row's end and the
P-mass it cut off. A reading takes the row that its Chernoff bound likes best, and no row at all where
too little has been spent for the integrand to decay: then the Chernoff bound itself. Proofs: docs/proofs/contour.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from discreet import events
from discreet.accounting.conversions import log_kappa
from discreet.accounting.engines.atoms import Array
from discreet.accounting.engines.contour import Contour
from discreet.accounting.engines.law import Law, TableLaw
from discreet.accounting.engines.pairs import Direction, directed, pair
from discreet.accounting.engines.waves import Complex
from discreet.errors import UnsupportedEvent

CS = 0.08 * 1.45 ** np.arange(30)
COUNT = 40  # nodes of a row beside the first
LOSTS = (1e-22, 1e-18, 1e-15, 1e-13, 1e-11, 1e-9)  # P-mass that one spend may cut off, row by row
_KAPPA = np.array([log_kappa(c) for c in CS.tolist()])


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What one event, or a sum of them, has at every node.

    Args:
        real: log M(c_j), rounded up, shape (rows,); infinite where a row cannot serve.
        low: The same rounded down.
        centre: Tilted means, shape (rows,).
        size: Their absolute values, summed.
        shape: log of M on the row relative to M(c_j) and the centre's phase, shape (rows, nodes).
        errors: Relative errors of their exponentials.
        end: log of the envelope at the last node, shape (rows,).
        removed: P-mass cut off, shape (rows,).
        beyond: log M(3·c_j) of the same cut, rounded up, shape (rows,).
        infinite: log of the probability of no infinite loss.
        kinds: How many different sums went in, for rounding.
        firm: Whether no pair was loose: else there is no lower end.
    """

    real: Array
    low: Array
    centre: Array
    size: Array
    shape: Complex
    errors: Array
    end: Array
    removed: Array
    beyond: Array
    infinite: float
    kinds: int
    firm: bool

    def plus(self, other: Rows) -> Rows:
        """Return the sum."""
        return Rows(
            self.real + other.real,
            self.low + other.low,
            self.centre + other.centre,
            self.size + other.size,
            self.shape + other.shape,
            self.errors + other.errors,
            self.end + other.end,
            self.removed + other.removed,
            self.beyond + other.beyond,
            self.infinite + other.infinite,
            self.kinds + other.kinds,
            self.firm and other.firm,
        )

    def times(self, count: int) -> Rows:
        """Return what `count` runs add."""
        return Rows(
            self.real * count,
            self.low * count,
            self.centre * count,
            self.size * count,
            self.shape * count,
            self.errors * count,
            self.end * count,
            self.removed * count,
            self.beyond * count,
            self.infinite * count,
            self.kinds,
            self.firm,
        )

    def lost(self) -> float:
        """Return the P-mass at an infinite loss."""
        return abs(math.expm1(self.infinite))

    def best(self, delta: float) -> tuple[int, float]:
        """Return the row whose Chernoff bound is best at this δ, and its ε, rounded up."""
        part = delta - self.lost() * (1 + 1e-12) - self.removed
        with np.errstate(divide="ignore", invalid="ignore"):
            epsilon = np.where(part > 0.9 * delta, (self.real + _KAPPA - np.log(part)) / CS, np.inf)
        row = int(np.argmin(epsilon))
        return row, max(0.0, float(epsilon[row]) * (1 + 1e-12))

    def contour(self, row: int, near: float) -> Contour:
        """Return the row as a contour; the aliasing from above is bounded at three times its c, for the same cut."""
        c = float(CS[row])
        middle = float(self.real[row] + self.low[row]) / 2
        return Contour(
            c=c,
            near=near,
            step=c / 5,
            u=c / 5 * np.arange(COUNT + 1),
            real=middle,
            real_error=float(self.real[row] - self.low[row]),
            phase=float(self.centre[row]),
            phase_size=float(self.size[row]),
            shape=self.shape[row],
            errors=self.errors[row],
            log_end=float(self.end[row]),
            above=(3 * c, float(self.beyond[row])),
            infinite=self.lost(),
            removed=float(self.removed[row]),
            kinds=self.kinds,
        )


def nothing() -> Rows:
    """Return the rows of no spending."""
    zero = np.zeros(CS.size)
    flat = np.zeros((CS.size, COUNT + 1))
    return Rows(zero, zero, zero, zero, flat.astype(np.complex128), flat, zero, zero, zero, 0.0, 0, firm=True)


@lru_cache(maxsize=1024)
def rows(event: events.Event, direction: Direction) -> Rows:
    """Return the rows of one single event.

    Raises:
        UnsupportedEvent: it has no dominating pair with a transform.
    """
    known = pair(event, direction if directed(event) else "remove")
    if known is None or isinstance(known.law, TableLaw):
        raise UnsupportedEvent(
            f"{event.kind!r} has no transform, which an odometer needs.", remedy="Account for it with profile()."
        )
    made = [_row(_cut(known.law, float(c)), float(c)) for c in CS]
    real, low, centre, shape, errors, end, removed, beyond = (np.array([row[k] for row in made]) for k in range(8))
    infinite = math.log1p(-min(known.law.infinite, 1 - 1e-16))
    return Rows(
        real, low, centre, np.abs(centre), shape, errors, end, removed, beyond, infinite, 1, known.status != "loose"
    )


def _cut(law: Law, c: float) -> Law:
    """Return the law without the least P-mass whose moment would rule K(c): the bulk's moment is that of the shortest cut."""
    if not law.windows:
        return law
    at = np.array([c])
    bulk = float(law.windowed(LOSTS[-1]).cumulants(at)[0][0])
    cuts = (law.windowed(lost) for lost in LOSTS)
    return next((cut for cut in cuts if float(cut.cumulants(at)[0][0]) <= 1.1 * bulk), law.windowed(LOSTS[-1]))


def _row(law: Law, c: float) -> tuple[float, float, float, Complex, Array, float, float, float]:
    flat = np.zeros(COUNT + 1)
    nothing_known = (math.inf, math.inf, 0.0, flat.astype(np.complex128), flat, 0.0, 0.0, math.inf)
    if float(law.cumulants(np.array([c]))[0][0]) > 500:
        return nothing_known
    try:
        moments = law.moments(c, c / 5, COUNT, 1e-18)
        beyond = sum(law.log_moment(3 * c, 1e-14))
    except ArithmeticError:
        return nothing_known
    end = law.decay(c, moments.real + moments.real_error).log_bound(np.array([c / 5 * COUNT]))
    return (
        moments.real + moments.real_error,
        moments.real - moments.real_error,
        moments.centre,
        moments.shape,
        moments.errors,
        float(end[0]),
        law.removed,
        beyond,
    )
