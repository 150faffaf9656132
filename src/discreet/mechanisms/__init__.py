"""Mechanisms: exact samplers, each in one object with the event that it is charged as.

Vectorised in NumPy, fed by the operating system's randomness. No files, no ledger, no seeds.
"""

from discreet.mechanisms.continual import RunningSums, SumsSoFar
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
from discreet.mechanisms.key_selection import KeySelection
from discreet.mechanisms.noise import DiscreteGaussianMechanism, DiscreteLaplaceMechanism
from discreet.mechanisms.quantiles import Extreme, Quantiles
from discreet.mechanisms.randomized_response import RandomizedResponse
from discreet.mechanisms.rng import Rng
from discreet.mechanisms.selection import ExponentialMechanism, NoisyMax, PermuteAndFlip
from discreet.mechanisms.toeplitz import Toeplitz
from discreet.mechanisms.weighted_selection import WeightedKeySelection, key_weight

__all__ = [
    "DiscreteGaussianMechanism",
    "DiscreteLaplaceMechanism",
    "ExponentialMechanism",
    "Extreme",
    "KeySelection",
    "NoisyMax",
    "PermuteAndFlip",
    "Quantiles",
    "RandomizedResponse",
    "Rng",
    "RunningSums",
    "SumsSoFar",
    "Toeplitz",
    "WeightedKeySelection",
    "discrete_gaussian",
    "discrete_gaussian_quantile",
    "discrete_gaussian_std",
    "discrete_laplace",
    "discrete_laplace_quantile",
    "discrete_laplace_std",
    "key_weight",
]
