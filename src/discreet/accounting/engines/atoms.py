"""Atoms: a discrete privacy-loss law, the common coin of the grid engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Atoms:
    """The law of the privacy loss log(P/Q) under P, on points.

    Args:
        losses: Where it lies, shape (n,), in nats, finite.
        masses: The P-mass there, shape (n,), at least 0.
        infinite: The P-mass at an infinite loss: outputs that Q never gives.
    """

    losses: Array
    masses: Array
    infinite: float = 0.0

    def scaled(self, weight: float) -> Atoms:
        """Return the same law with every mass times `weight`."""
        return Atoms(self.losses, self.masses * weight, self.infinite * weight)


NONE = Atoms(np.empty(0), np.empty(0))
