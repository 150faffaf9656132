"""Logistic regression with differential privacy: noisy gradient descent, and a noisy minimum.

Both add exact discrete Gaussian noise to whole numbers (discreet.mechanisms), so the one assumption about floating
point is that a record's gradient, or the minimum, comes out the same whenever the same numbers go in. Rows must
have a norm of at most 1 for the noisy minimum; the descent clips, and demands nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from discreet import events
from discreet.mechanisms import DiscreteGaussianMechanism, Rng

GRID = 2**20  # steps of the grid to a gradient's largest norm
TOLERANCE = 1e-3  # norm of the gradient at what is taken for the minimum


def descent_event(*, rho, steps):
    """Return what `descend` is charged as: so many discrete Gaussians of ρ/steps each."""
    variance = Fraction(GRID**2 * steps) / (2 * Fraction(rho))
    return events.Repeated(steps, events.DiscreteGaussian(Fraction(GRID**2), variance))


def descend(x, y, *, event, steps, rate, clip, typical, forgotten=False):
    """Return weights and the noisy sums of all steps.

    Args:
        x: Rows of features, sparse.
        y: Labels, 0 or 1.
        event: Of `descent_event`, or None: no noise, no privacy.
        steps: How many gradients are summed.
        rate: How far a step goes.
        clip: The largest norm of a record's gradient.
        typical: A public number of records by which sums are divided; the true one is private.
        forgotten: A planted bug: the noise is not added.
    """
    mechanism = event and DiscreteGaussianMechanism(event.event.sensitivity_squared, event.event.variance)
    norms = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
    entries = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    weights, sums, rng = np.zeros(x.shape[1]), [], Rng()
    for _ in range(steps):
        slopes = expit(x @ weights) - y
        shrunk = slopes * np.minimum(1.0, clip / np.maximum(np.abs(slopes) * norms, 1e-300))
        # Toward zero: no record's vector of whole numbers is longer than GRID.
        whole = np.trunc(shrunk[entries] * x.data * (GRID / clip * (1 - 1e-12)))
        total = np.bincount(x.indices, weights=whole, minlength=x.shape[1]).astype(np.int64)
        noisy = total if mechanism is None or forgotten else mechanism(total, rng)
        sums.append(noisy * (clip / GRID))
        weights = weights - rate / typical * sums[-1]
    return weights, sums


@dataclass(frozen=True)
class Minimum:
    """How a noisy minimum is calibrated: the norm by which one record can move it, and the grid it is rounded to."""

    strength: float
    dimension: int

    @property
    def moved(self):
        """A record's gradient has a norm of at most 1, and the sum is `strength`-convex; both minima are inexact."""
        return (1 + 2 * TOLERANCE) / self.strength

    @property
    def unit(self):
        """The grid to which the minimum is rounded."""
        return self.moved / (GRID * np.sqrt(self.dimension))

    @property
    def squared(self):
        """Squared sensitivity in units: what the minimum moves, and one unit for each coordinate's rounding."""
        reach = Fraction(self.moved / self.unit) + Fraction(float(np.sqrt(self.dimension)))
        return reach**2 * (1 + Fraction(1, 10**9))


def minimum_event(minimum, *, rho):
    """Return what `perturb` is charged as."""
    return events.DiscreteGaussian(minimum.squared, minimum.squared / (2 * Fraction(rho)))


def perturb(x, y, *, minimum, event, forgotten=False):
    """Return the weights that minimise the sum of losses plus strength/2·|w|², plus noise.

    Raises:
        ArithmeticError: the minimum was not found to the tolerance that the noise accounts for.
    """

    def value(weights):
        margins = x @ weights
        slopes = expit(margins) - y
        losses = np.logaddexp(0.0, margins) - y * margins
        return losses.sum() + minimum.strength / 2 * weights @ weights, x.T @ slopes + minimum.strength * weights

    found = minimize(value, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B",
                     options={"maxiter": 5000, "maxfun": 10_000, "ftol": 0.0, "gtol": 1e-8, "maxcor": 30})  # fmt: skip
    left = float(np.linalg.norm(value(found.x)[1]))
    if left > TOLERANCE:
        raise ArithmeticError(f"a gradient of norm {left:.2g} is left")
    if event is None or forgotten:
        return found.x
    mechanism = DiscreteGaussianMechanism(event.sensitivity_squared, event.variance)
    return mechanism(np.rint(found.x / minimum.unit).astype(np.int64), Rng()) * minimum.unit
