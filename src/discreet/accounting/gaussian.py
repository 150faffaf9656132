"""The exact curve of the continuous Gaussian mechanism with sensitivity / deviation = μ.

    δ(ε) = Φ(μ/2 - ε/μ) - e^ε Φ(-μ/2 - ε/μ)

Both terms are written with the scaled complementary error function, so that neither e^ε nor a
far tail spoils the difference; what rounding can do is added on top.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from discreet.accounting.conversions import check_delta, check_epsilon
from discreet.errors import InvalidInput

_LARGEST = 1e7  # a μ that protects nobody; beyond it rounding is not accounted for, and 1 is returned
_MARGIN = 1e-13  # of the larger term; the terms themselves are good to a few 1e-15


def scaled_erfc(x: float) -> float:
    """Return exp(x²) erfc(x) for x >= 0, to a few units in the last place."""
    if x < 5:
        # exp(x²) with the square's rounding error put back: high + low = x² exactly.
        high = x * x
        low = math.fma(x, x, -high) if hasattr(math, "fma") else _square_rest(x, high)
        return math.exp(high) * (1 + low) * math.erfc(x)
    # Laplace's continued fraction; at x >= 5 sixty terms are far beyond double precision.
    tail = x
    for k in range(60, 0, -1):
        tail = x + (k / 2) / tail
    return 1 / (math.sqrt(math.pi) * tail)


def _square_rest(x: float, square: float) -> float:
    split = 134217729.0 * x  # Veltkamp: x = a + b with short a and b
    a = split - (split - x)
    b = x - a
    return ((a * a - square) + 2 * a * b) + b * b


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Return the δ of the Gaussian mechanism at ε, rounded up.

    Guarantee: at least the exact curve.
    Evidence: proven, docs/proofs/gaussian.md.
    Assumes: continuous Gaussian noise.
    Not protected: the discrete Gaussian has its own event; this curve does not bound it.
    References: Balle, Wang 2018, Theorem 8.
    """
    return gaussian_curve(mu, epsilon)[1]


def gaussian_curve(mu: float, epsilon: float) -> tuple[float, float]:
    """Return the δ of the Gaussian mechanism at ε, rounded down and rounded up."""
    check_mu(mu)
    check_epsilon(epsilon)
    if mu == 0:
        return 0.0, 0.0
    if mu > _LARGEST:
        return 0.0, 1.0
    a, b = mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu
    if not math.isfinite(b) or a < -37.0:
        return 0.0, 6e-300  # Φ(-37) is below it
    # δ = density factor · (R(-a) - R(-b)) / 2 with R the scaled erfc; for a > 0 use Φ(a) directly.
    factor = math.exp(-a * a / 2)
    second = factor * scaled_erfc(-b / math.sqrt(2)) / 2
    first = factor * scaled_erfc(-a / math.sqrt(2)) / 2 if a <= 0 else 1 - math.erfc(a / math.sqrt(2)) / 2
    # a itself is rounded: an error of a few ulps of μ and ε/μ moves the terms by about 1 + |a| times as much.
    margin = _MARGIN * (1 + a * a + (1 + abs(a)) * (mu + epsilon / mu)) * first + 5e-324
    value = max(0.0, first - second)
    return max(0.0, value - margin), min(1.0, value + margin)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the ε of the Gaussian mechanism at δ, rounded up."""
    return gaussian_inverse(mu, delta)[1]


def gaussian_inverse(mu: float, delta: float) -> tuple[float, float]:
    """Return the ε of the Gaussian mechanism at δ, rounded down and rounded up."""
    check_mu(mu)
    check_delta(delta)
    if mu == 0 or gaussian_delta(mu, 0.0) <= delta:
        return 0.0, 0.0
    if mu > _LARGEST:
        return 0.0, math.inf
    low, high = 0.0, mu * mu / 2 + mu
    while gaussian_delta(mu, high) > delta:
        low, high = high, 2 * high
    high = _crossing(lambda x: gaussian_delta(mu, x) > delta, low, high)[1]
    if gaussian_curve(mu, 0.0)[0] < delta:
        return 0.0, high
    return _crossing(lambda x: gaussian_curve(mu, x)[0] >= delta, 0.0, high)[0], high


def _crossing(holds: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """Bisect to two neighbours, `holds` true at the first and not at the second (if it never holds not, at high)."""
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high or high - low < 1e-15 * high:
            break
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high


def gaussian_mu(epsilon: float, delta: float) -> float:
    """Return the largest μ for which the Gaussian mechanism is (ε, δ)-DP, rounded down."""
    check_epsilon(epsilon)
    check_delta(delta)
    low, high = 0.0, 1.0
    while gaussian_delta(high, epsilon) <= delta:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high or high - low < 1e-15 * high:
            break
        if gaussian_delta(middle, epsilon) > delta:
            high = middle
        else:
            low = middle
    return low


def noise_multiplier(*, target_epsilon: float, target_delta: float) -> float:
    """Return the least noise multiplier of one Gaussian release that meets the target, rounded up.

    Args:
        target_epsilon: The ε to meet, at least 0.
        target_delta: The δ to meet, in (0, 1).

    Raises:
        InvalidInput: a target is out of range.
    """
    mu = gaussian_mu(target_epsilon, target_delta)
    if mu < 1e-300:
        raise InvalidInput(
            f"no noise multiplier can be proved to give ε = {target_epsilon!r} at δ = {target_delta!r} in floating point.",
            remedy="Give a larger target_epsilon or target_delta.",
        )
    multiplier = math.nextafter(1 / mu, math.inf)
    while gaussian_delta(1 / multiplier, target_epsilon) > target_delta:  # 1/(1/x) need not be x
        multiplier = math.nextafter(multiplier, math.inf)
    return multiplier


def check_mu(mu: float) -> None:
    """Refuse a μ that is negative or not finite."""
    if isinstance(mu, bool) or not isinstance(mu, int | float) or not 0 <= mu < math.inf:
        raise InvalidInput(f"mu must be a finite number of at least 0, got {mu!r}.")
