"""Decay: how fast a law's transform falls along a line, as a mixture of uniforms. Proof: docs/proofs/contour.md, 3."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from discreet.accounting.engines.atoms import Array


@dataclass(frozen=True, slots=True, eq=False)
class Decay:
    """A bound of |M(c+iu) / M(c)| for all u beyond a point: 1 - Σ m·(1 - S(u·b/2)), a mixture of uniforms."""

    lengths: Array
    masses: Array
    curvature: float = 0.0

    def log_bound(self, u: Array) -> Array:
        """Return log of the bound at each u, shape (k,)."""
        if self.curvature:
            return -self.curvature * u * u / 2
        if self.masses.size == 0:
            return np.zeros_like(u)
        loss = (1 - _sinc_sup(np.outer(u, self.lengths) / 2)) @ self.masses
        return np.log1p(-np.clip(loss * (1 - 1e-9), 0.0, 1 - 1e-15))


def _sinc_sup(v: Array) -> Array:
    """Return the largest |sin t / t| over t ≥ v, rounded up."""
    near = np.where(v < 1e-4, 1 - v * v / 6 + v**4 / 120, np.sin(np.maximum(v, 1e-4)) / np.maximum(v, 1e-4))
    return np.where(v < 2.57, np.maximum(near, 0.2173) + 1e-15, np.minimum(0.2173, 1 / np.maximum(v, 2.57)))
