"""Mechanisms: exact samplers, each in one object with the event that it is charged as.

Vectorised in NumPy, fed by the operating system's randomness. No files, no ledger, no seeds.
"""

from discreet.mechanisms.discrete_gaussian import (
    discrete_gaussian,
    discrete_gaussian_quantile,
    discrete_gaussian_std,
)
from discreet.mechanisms.discrete_laplace import (
    discrete_laplace,
    discrete_laplace_quantile,
    discrete_laplace_std,
)
from discreet.mechanisms.noise import DiscreteGaussianMechanism, DiscreteLaplaceMechanism
from discreet.mechanisms.rng import Rng

__all__ = [
    "DiscreteGaussianMechanism",
    "DiscreteLaplaceMechanism",
    "Rng",
    "discrete_gaussian",
    "discrete_gaussian_quantile",
    "discrete_gaussian_std",
    "discrete_laplace",
    "discrete_laplace_quantile",
    "discrete_laplace_std",
]
