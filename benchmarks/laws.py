"""The error that a query should have, worked out from the definitions alone: nothing of discreet is imported here.

Pure ε gives discrete Laplace noise of scale (L1 sensitivity) / ε, P(x) ∝ exp(-|x| / scale). (ε, δ) on a zCDP account
gives discrete Gaussian noise of variance (L2 sensitivity)² / (2ρ), P(x) ∝ exp(-x² / (2 variance)), where ρ is the
largest for which the conversion of Canonne, Kamath and Steinke (2020, Proposition 12) stays below δ.
A person adds at most R rows to each of K groups: K·R·m is the L1, √K·R·m the L2 sensitivity, where m is the most that
one row can add. An average is the middle of the bounds plus a noisy sum around the middle over a noisy count, with half
of the budget each, clipped to the bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

REACH = 45  # scales, or 12 standard deviations: what lies beyond weighs less than 1e-19


@dataclass(frozen=True, slots=True)
class Errors:
    """The mean of the squared error and of its square."""

    square: float
    fourth: float

    @property
    def rmse(self):
        """Return the root of the mean square."""
        return math.sqrt(self.square)

    @property
    def kurtosis(self):
        """Return what the chance of a measured mean square depends on: 6 for Laplace, 3 for Gaussian."""
        return self.fourth / self.square**2


def rho(epsilon, delta):
    """Return the largest ρ for which ρ-zCDP gives (ε, δ), by bisection."""
    low, high = 0.0, epsilon + 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if log_delta(middle, epsilon) <= math.log(delta) else (low, middle)
    return low


def log_delta(rho, epsilon):
    """Return log δ of the conversion at the best order, found by ternary search (it is convex in the order)."""

    def at(order):
        return (order - 1) * (order * rho - epsilon) - math.log(order - 1) + order * math.log1p(-1 / order)

    low, high = 1 + 1e-9, 1e7
    for _ in range(400):
        first, second = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, second) if at(first) < at(second) else (first, high)
    return at((low + high) / 2)


def noise(account, sensitivity, budget):
    """Return the values and probabilities of the noise.

    Args:
        account: "pure" or "zcdp".
        sensitivity: L1 (pure) or L2 (zcdp).
        budget: ε (pure) or ρ (zcdp).
    """
    if account == "pure":
        scale = sensitivity / budget
        values = np.arange(-math.ceil(REACH * scale) - 1, math.ceil(REACH * scale) + 2, dtype=float)
        weights = np.exp(-np.abs(values) / scale)
    else:
        variance = sensitivity**2 / (2 * budget)
        most = math.ceil(12 * math.sqrt(variance)) + 1
        values = np.arange(-most, most + 1, dtype=float)
        weights = np.exp(-(values**2) / (2 * variance))
    return values, weights / weights.sum()


def total(account, budget, groups, rows, most):
    """Return the error of a COUNT (most = 1) or a SUM that has the whole budget."""
    values, chances = noise(account, _sensitivity(account, groups, rows, most), budget)
    return Errors(float(chances @ values**2), float(chances @ values**4))


def average(account, budget, groups, rows, bounds, count, mean):
    """Return the error of an AVG over `count` rows of that mean: exact, the clipping and the quotient included.

    For each value y of the count's noise the error is a clipped linear function of the sum's noise x, so its moments
    follow from running sums of x^k P(x).
    """
    low, high = bounds
    half = (high - low) / 2
    middle = low + half
    values, chances = noise(account, _sensitivity(account, groups, rows, half), budget / 2)
    counts, weights = noise(account, _sensitivity(account, groups, rows, 1), budget / 2)
    running = [np.concatenate([[0.0], np.cumsum(chances * values**k)]) for k in range(5)]
    centred = (mean - middle) * count
    square = fourth = 0.0
    positive = counts + count > 0
    lost = float(weights[~positive].sum())  # the answer is the middle of the bounds
    square += lost * (mean - middle) ** 2
    fourth += lost * (mean - middle) ** 4
    people, weights = counts[positive] + count, weights[positive]
    first = np.searchsorted(values, -half * people - centred, side="left")  # below: the answer is `low`
    last = np.searchsorted(values, half * people - centred, side="right")  # from here on: `high`
    offset = centred / people - (mean - middle)  # the error is offset + x / people in between
    inside = [moment[last] - moment[first] for moment in running]
    below, above = running[0][first], running[0][-1] - running[0][last]
    for power in (2, 4):
        linear = sum(math.comb(power, k) * offset ** (power - k) * inside[k] / people**k for k in range(power + 1))
        clipped = below * (low - mean) ** power + above * (high - mean) ** power
        mass = float(weights @ (linear + clipped))
        square, fourth = (square + mass, fourth) if power == 2 else (square, fourth + mass)
    return Errors(square, fourth)


def _sensitivity(account, groups, rows, most):
    return rows * most * (groups if account == "pure" else math.sqrt(groups))
