"""Once: δ(ε) of a single law, run once: one sum over its atoms and one integral per piece, nothing composed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from discreet.accounting.engines.atoms import Array
from discreet.accounting.engines.contour import Terms
from discreet.accounting.engines.law import Law


@dataclass(frozen=True, eq=False)
class Once:
    """A law, and how much P-mass its ends may leave out."""

    law: Law
    near: float
    tolerance: float
    c: float = 1.0

    def delta(self, epsilon: float) -> Terms:
        """Return bounds of δ(ε) = p∞ + E[(1 - e^{ε-L})₊]. Proof: docs/proofs/grid.md."""
        law, missing = self.law.spelled(), 0.0
        above, below = self.law.points(above=True), self.law.points(above=False)
        upper = above.infinite + _beyond(above.losses, above.masses, epsilon)
        lower = below.infinite + _beyond(below.losses, below.masses, epsilon)
        for piece in law.pieces:
            losses, masses, left = piece.beyond(epsilon, self.tolerance)
            part = _beyond(losses, masses, epsilon)
            upper, lower, missing = upper + part, lower + part, missing + left
        slack = law.slack + 4e-13
        upper, lower = upper * (1 + slack) + missing, lower * (1 - slack)
        return Terms(lower, min(1.0, upper), {"ends": missing, "rounding and quadrature": 2 * slack * upper})


def _beyond(losses: Array, masses: Array, epsilon: float) -> float:
    held = losses > epsilon
    return float(masses[held] @ -np.expm1(epsilon - losses[held]))
