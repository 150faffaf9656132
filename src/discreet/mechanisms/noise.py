"""Additive noise on exact integers: the event and the sampler in one object."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from discreet import events
from discreet.mechanisms.discrete_gaussian import (
    discrete_gaussian,
    discrete_gaussian_quantile,
    discrete_gaussian_std,
)
from discreet.mechanisms.discrete_laplace import discrete_laplace, discrete_laplace_quantile, discrete_laplace_std
from discreet.mechanisms.parameters import LARGEST_SCALE, SMALLEST_SCALE, rational
from discreet.mechanisms.rng import Rng
from discreet.mechanisms.vectors import Integers, integer_vector


@dataclass(frozen=True, slots=True)
class DiscreteLaplaceMechanism:
    """Add independent discrete Laplace noise to a vector of integers.

    Args:
        sensitivity: L1 sensitivity of the vector: how far, summed over coordinates, one privacy
            unit can move it.
        scale: Scale of the noise, in the same unit.

    Guarantee:
        (sensitivity/scale)-differential privacy for neighbours whose vectors are integers at L1
        distance of at most `sensitivity`.
    Evidence:
        Proven: docs/proofs/discrete_laplace.md.
    Assumes:
        The caller's sensitivity is right. The values are exact integers.
    Not protected:
        The number of coordinates and the type of the values: both must be public.
    """

    sensitivity: Fraction
    scale: Fraction

    def __post_init__(self) -> None:
        object.__setattr__(self, "sensitivity", _sensitivity("sensitivity", self.sensitivity))
        object.__setattr__(self, "scale", rational("scale", self.scale, SMALLEST_SCALE, LARGEST_SCALE))

    @property
    def event(self) -> events.DiscreteLaplace:
        """What a call is charged as."""
        return events.DiscreteLaplace(sensitivity=self.sensitivity, scale=self.scale)

    @property
    def std(self) -> float:
        """Standard deviation of the noise on each coordinate."""
        return discrete_laplace_std(self.scale)

    def quantile(self, p: float) -> int:
        """Return h such that the noise on a coordinate stays within ±h with probability at least p."""
        return discrete_laplace_quantile(p, self.scale)

    def __call__(self, exact_values: Integers, rng: Rng) -> NDArray[np.int64] | NDArray[np.object_]:
        """Return `exact_values` plus fresh noise."""
        values = integer_vector(exact_values)
        return _sum(values, discrete_laplace(len(values), scale=self.scale, rng=rng))


@dataclass(frozen=True, slots=True)
class DiscreteGaussianMechanism:
    """Add independent discrete Gaussian noise to a vector of integers.

    Args:
        sensitivity_squared: Square of the L2 sensitivity of the vector.
        variance: The parameter σ² of the noise, in the square of the same unit.

    Guarantee:
        (sensitivity_squared/(2·variance))-zCDP for neighbours whose vectors are integers at L2
        distance of at most the root of `sensitivity_squared`.
    Evidence:
        Proven for the law: docs/proofs/discrete_gaussian.md; cited for the rate.
    Assumes:
        The caller's sensitivity is right. The values are exact integers.
    Not protected:
        The number of coordinates and the type of the values: both must be public.

    References:
        Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", 2020, Theorem 4.
    """

    sensitivity_squared: Fraction
    variance: Fraction

    def __post_init__(self) -> None:
        squared = _sensitivity("sensitivity_squared", self.sensitivity_squared)
        object.__setattr__(self, "sensitivity_squared", squared)
        variance = rational("variance", self.variance, SMALLEST_SCALE**2, LARGEST_SCALE**2)
        object.__setattr__(self, "variance", variance)

    @property
    def event(self) -> events.DiscreteGaussian:
        """What a call is charged as."""
        return events.DiscreteGaussian(sensitivity_squared=self.sensitivity_squared, variance=self.variance)

    @property
    def std(self) -> float:
        """Standard deviation of the noise on each coordinate."""
        return discrete_gaussian_std(self.variance)

    def quantile(self, p: float) -> int:
        """Return h such that the noise on a coordinate stays within ±h with probability at least p."""
        return discrete_gaussian_quantile(p, self.variance)

    def __call__(self, exact_values: Integers, rng: Rng) -> NDArray[np.int64] | NDArray[np.object_]:
        """Return `exact_values` plus fresh noise."""
        values = integer_vector(exact_values)
        return _sum(values, discrete_gaussian(len(values), variance=self.variance, rng=rng))


def _sensitivity(name: str, value: Fraction) -> Fraction:
    return rational(name, value, Fraction(0), Fraction(2**128))


def _sum(
    values: NDArray[np.int64] | NDArray[np.object_], noise: NDArray[np.int64]
) -> NDArray[np.int64] | NDArray[np.object_]:
    """Add; int64 sums saturate at the ends of the type, which only post-processes the exact sum."""
    if values.dtype == np.object_:
        return values + noise.astype(np.object_)
    total: NDArray[np.int64] = values + noise
    over = ((values ^ total) & (noise ^ total)) < 0
    ends = np.where(noise < 0, np.iinfo(np.int64).min, np.iinfo(np.int64).max)
    return np.where(over, ends, total)
