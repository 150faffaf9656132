"""Once: δ(ε) of a single law, run once: one sum over its atoms and one integral per piece, nothing composed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from discreet.accounting.engines.atoms import Array
from discreet.accounting.engines.contour import Terms
from discreet.accounting.engines.law import Law
from discreet.accounting.engines.pieces import EPS


@dataclass(frozen=True, eq=False)
class Once:
    """A law, and how much its numbers are off.

    Args:
        law: Of what runs.
        near: About where it is asked.
        c: About the slope of log δ there.
        tolerance: P-mass that the ends may leave out.
        largest: The sizes of the losses that its losses were summed from: they are good to a few ulps of that.
    """

    law: Law
    near: float
    c: float
    tolerance: float
    largest: float

    def delta(self, epsilon: float) -> Terms:
        """Return bounds of δ(ε) = p∞ + E[(1 - e^{ε-L})₊]. Proof: docs/proofs/grid.md."""
        law, missing, shift = self.law.spelled(), 0.0, 16 * EPS * (self.largest + epsilon)
        above, below = self.law.points(above=True), self.law.points(above=False)
        upper = above.infinite + _beyond(above.losses, above.masses, epsilon - shift)
        lower = below.infinite + _beyond(below.losses, below.masses, epsilon + shift)
        for piece in law.pieces:
            losses, masses, left = piece.beyond(epsilon - shift, self.tolerance)
            upper += _beyond(losses, masses, epsilon - shift)
            lower += _beyond(losses, masses, epsilon + shift)
            missing += left
        slack = law.slack + max([0.0, *(piece.unsure for piece in law.pieces)]) + 4e-13
        upper, lower = upper * (1 + slack) + missing, lower * (1 - slack)
        return Terms(lower, min(1.0, upper), {"ends": missing, "rounding and quadrature": max(0.0, upper - lower)})


def _beyond(losses: Array, masses: Array, epsilon: float) -> float:
    held = losses > epsilon
    return float(masses[held] @ -np.expm1(epsilon - losses[held]))
