"""Private selection: the loss of publishing the best of a random number of runs, from that of one run.

All bounds hold for every value of their free orders, so the search for good ones cannot make them unsound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from discreet.accounting.conversions import check_order, down, up
from discreet.errors import InvalidInput

HIGHEST = 1e6  # the largest order that is tried; a Measure has none beyond it


def selection_renyi(
    order: float, inner: Callable[[float], float], mean: float, shape: float, *, corners: Iterable[float] = ()
) -> float:
    """Return a Rényi bound of the best of K runs, K truncated negative binomial of at most this mean.

    Args:
        order: At which to bound the divergence; above 1.
        inner: Bounds the divergence of one run at an order above 1, both ways round; infinite where unknown.
        mean: Of K, above 1.
        shape: Of K, above -1; 0 is the logarithmic distribution, 1 the geometric one.
        corners: Orders worth trying first, such as those of a tabulated curve.

    Guarantee: upper bound; infinite where `inner` does not reach.
    Evidence: proven, docs/proofs/private_selection.md.
    Assumes: the score follows from what a run would publish; K is drawn independently of the data.
    Not protected: how long the K runs take.
    References: Papernot and Steinke 2022, Theorem 2.
    """
    check_order(order)
    corners = tuple(corners)
    repeat = math.log(mean) * (1 + 4e-16)  # mean > 1

    def kept(at: float) -> float:
        return inner(at) + repeat / (at - 1)

    surprise = log_inverse_gamma(mean, shape)

    def chosen(at: float) -> float:
        return (at - 1) / at * inner(at) + surprise / at

    first = _least(kept, order, corners)
    second = min(surprise, _least(chosen, 1 + 1e-6, corners))  # at order 1 `inner` drops out
    return up(first + up(1 + shape) * up(second))


def poisson_selection_renyi(
    order: float,
    inner: Callable[[float], float],
    mean: float,
    delta_of: Callable[[float], float],
    *,
    corners: Iterable[float] = (),
) -> float:
    """Return a Rényi bound of the best of K runs, K Poisson of this mean, nothing being published if K = 0.

    Never above ε(order) + mean·δ + log(mean)/(order - 1) of the reference where mean ≥ 1, and holds below.

    Args:
        order: At which to bound the divergence; above 1.
        inner: See `selection_renyi`.
        mean: Of K, above 0.
        delta_of: Gives a δ for which one run is (ε, δ)-DP, both ways round.
        corners: See `selection_renyi`.

    Guarantee: upper bound; infinite where `inner` does not reach.
    Evidence: proven, docs/proofs/private_selection.md.
    Assumes: as `selection_renyi`.
    Not protected: how long the K runs take.
    References: Papernot and Steinke 2022, Theorem 6.
    """
    check_order(order)

    def bound(at: float) -> float:
        c = at - 1
        moment = c * inner(at)
        if not 0 < moment < math.inf:
            return moment
        delta = min(1.0, delta_of(down(math.log1p(1 / c))))
        # log(1 + mean·e^(c·mean·δ)·(e^moment - 1)) / c, with the logarithm of what is added to 1:
        log_mean, reach, risen = math.log(mean), c * mean * delta, log_expm1(moment)
        added = up(log_mean + reach + risen, abs(log_mean) + reach + abs(risen) + moment + 1)
        return up(max(added, 0.0) + math.log1p(math.exp(-abs(added)))) / c

    return up(_least(bound, order, tuple(corners)))


def selection_pure(epsilon: float, mean: float, shape: float) -> float:
    """Return ε' such that the best of K runs of an ε-DP event is ε'-DP, K truncated negative binomial.

    ε' = ε + (1 + shape)·log((e^ε + γ) / (1 + γe^ε)), below (2 + shape)·ε.

    Guarantee: upper bound.
    Evidence: proven, docs/proofs/private_selection.md.
    Assumes: as `selection_renyi`.
    Not protected: how long the K runs take.
    References: Papernot and Steinke 2022, Corollary 3, without γ; Liu and Talwar 2019 for shape 1.
    """
    if epsilon > 600:  # γ no longer matters, and e^-ε would underflow
        return up(up(2 + shape) * epsilon)
    gamma = down(math.exp(-log_inverse_gamma(mean, shape)))
    fall = math.exp(-epsilon)
    # (e^ε + γ)/(1 + γe^ε) = 1 + (1-γ)(1-e^-ε)/(e^-ε + γ), without overflow and without cancellation
    gained = math.log1p(up((1 - gamma) * up(-math.expm1(-epsilon)) / down(fall + gamma)))
    return up(epsilon + up(1 + shape) * min(up(gained), epsilon))


def poisson_selection_pure(epsilon: float, mean: float) -> float:
    """Return ε' such that the best of K runs of an ε-DP event is ε'-DP, K Poisson: ε + mean·tanh(ε/2).

    Guarantee: upper bound.
    Evidence: proven, docs/proofs/private_selection.md.
    Assumes: as `selection_renyi`.
    Not protected: how long the K runs take.
    """
    return up(epsilon + mean * up(math.tanh(epsilon / 2)))


def log_inverse_gamma(mean: float, shape: float) -> float:
    """Return log(1/γ), rounded up, of the truncated negative binomial with this mean and shape.

    The mean is shape·(1 - γ) / (γ·(1 - γ^shape)), or (1/γ - 1) / log(1/γ) for shape 0. It falls in γ: bisection.

    Raises:
        InvalidInput: the mean is not above 1, or the shape not above -1.
    """
    if not 1 < mean < math.inf or not -1 < shape < math.inf:
        raise InvalidInput(f"a mean above 1 and a shape above -1 are needed, got {mean!r} and {shape!r}.")
    target = up(math.log(mean))
    low, high = 0.0, 1.0
    while _log_mean(high, shape) < target:
        low, high = high, 2 * high
        if high > 1e300:
            return math.inf
    for _ in range(100):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if _log_mean(middle, shape) < target:
            low = middle
        else:
            high = middle
    return high


def _log_mean(surprise: float, shape: float) -> float:
    """Return the logarithm of the mean at γ = e^-surprise, rounded down.

    With r(x) = (e^x - 1)/x it is log r(surprise) - log r(-shape·surprise).
    """
    first, second = _log_ratio(surprise), _log_ratio(-shape * surprise)
    return down(first - second, abs(first) + abs(second) + 1)


def _log_ratio(x: float) -> float:
    """Return log((e^x - 1) / x), 0 at x = 0."""
    if abs(x) < 1e-8:
        return x / 2
    size = min(abs(x), 1e308)
    return max(x, 0.0) + math.log(-math.expm1(-size) / size)


def log_expm1(x: float) -> float:
    """Return log(e^x - 1) for x > 0."""
    return x + math.log(-math.expm1(-x)) if x > 0.5 else math.log(math.expm1(x))


def _least(value: Callable[[float], float], lowest: float, corners: tuple[float, ...]) -> float:
    """Return about the least of `value` over the orders from `lowest` to HIGHEST, corners among them."""
    best = min((value(order) for order in corners if order > lowest), default=math.inf)
    best = min(best, value(lowest))
    left, right = math.log(lowest - 1), math.log(max(HIGHEST, 2 * lowest) - 1)
    points = [left + (right - left) * k / 40 for k in range(1, 40)]
    values = [value(1 + math.exp(x)) for x in points]
    k = min(range(len(points)), key=values.__getitem__)
    low, high = points[k - 1] if k else left, points[k + 1] if k + 1 < len(points) else right
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = value(1 + math.exp(a)), value(1 + math.exp(b))
    for _ in range(24):
        best = min(best, at_a, at_b)
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = value(1 + math.exp(a))
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = value(1 + math.exp(b))
    return min(best, at_a, at_b, values[k])
