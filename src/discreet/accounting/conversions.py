"""From zCDP, Rényi and Gaussian losses to (ε, δ) and back.

Certified: what is an upper bound on paper is never below it here, and the other way round. Each
formula is evaluated in floats with a margin above its worst rounding error (`_SLACK` relative,
far more than the few units in the last place that the elementary functions lose); where a formula
holds for every value of a free parameter, the search for the best value cannot make it unsound.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from discreet.errors import InvalidInput

_SLACK = 1e-13


def up(value: float, size: float = 0.0) -> float:
    """Return a float above every real that rounds to `value` within the margin; `size` is the largest term."""
    return value + _SLACK * max(abs(value), abs(size)) + 5e-324


def down(value: float, size: float = 0.0) -> float:
    """Return a float below; see `up`."""
    return value - _SLACK * max(abs(value), abs(size))


def log_kappa(c: float) -> float:
    """Return log κ at order 1 + c, κ = cᶜ / (1 + c)¹⁺ᶜ: the constant of the Rényi conversion."""
    return c * math.log(c) - (1 + c) * math.log1p(c)


def penalty(c: float, delta: float) -> float:
    """Return what order 1 + c adds to ε at this δ: (log κ + log 1/δ) / c, rounded up."""
    size = (1 + c) * (abs(math.log(c)) + math.log1p(c)) + abs(math.log(delta))
    return (log_kappa(c) - math.log(delta)) / c + _SLACK * size / c


# ------------------------------------------------------------------------------------------ zCDP


def zcdp_epsilon(rho: float, delta: float) -> float:
    """Return an ε such that ρ-zCDP implies (ε, δ)-DP.

    Guarantee: upper bound; the optimum over all orders of the Rényi conversion.
    Evidence: proven, docs/proofs/zcdp_conversion.md.
    Assumes: nothing.
    Not protected: loose against the exact curve of a Gaussian by a few percent.
    References: Canonne, Kamath, Steinke 2020, Corollary 13.
    """
    check_rho(rho)
    check_delta(delta)
    if rho == 0:
        return 0.0
    best = _search(lambda c: (1 + c) * rho + penalty(c, delta), _likely(rho, delta))
    return max(0.0, up(best))


def zcdp_delta(rho: float, epsilon: float) -> float:
    """Return a δ such that ρ-zCDP implies (ε, δ)-DP; see `zcdp_epsilon`."""
    check_rho(rho)
    check_epsilon(epsilon)
    if rho == 0:
        return 0.0

    def log_delta(c: float) -> float:
        size = (1 + c) * (abs(math.log(c)) + math.log1p(c)) + c * ((1 + c) * rho + epsilon)
        return log_kappa(c) + c * ((1 + c) * rho - epsilon) + _SLACK * size

    # The derivative log c - log(1+c) + (1+2c)ρ - ε increases in c: bisect its sign.
    low, high = -40.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        c = math.exp(middle)
        if -math.log1p(1 / c) + (1 + 2 * c) * rho - epsilon < 0:
            low = middle
        else:
            high = middle
    return min(1.0, up(math.exp(min(0.0, log_delta(math.exp(high))))))


def zcdp_rho(epsilon: float, delta: float) -> float:
    """Return the largest ρ whose conversion gives (ε, δ)-DP, rounded down; at least 0."""
    check_epsilon(epsilon)
    check_delta(delta)
    guess = epsilon / (math.sqrt(epsilon + math.log(1 / delta)) + math.sqrt(math.log(1 / delta)))
    start = _likely(max(guess * guess, 1e-300), delta)
    best = -_search(lambda c: -(epsilon - penalty(c, delta)) / (1 + c), start)
    return max(0.0, down(best))


def _likely(rho: float, delta: float) -> float:
    """Return the order minus 1 near which the best one lies; it never lies above 1/δ, where the penalty turns negative."""
    surprise = math.log(1 / delta)
    return min(math.sqrt(max(surprise, 1e-3) / rho), 7 * math.exp(min(surprise, 600.0)))


def _search(value: Callable[[float], float], start: float) -> float:
    """Return about the least of value(c) over c > 0; any c is sound, so the search need not be exact."""
    middle = math.log(start)
    low, high = middle - 6.0, middle + 6.0
    steps = 24
    points = [low + (high - low) * i / steps for i in range(steps + 1)]
    values = [value(math.exp(min(x, 600.0))) for x in points]
    best = min(range(steps + 1), key=values.__getitem__)
    low, high = points[max(best - 1, 0)], points[min(best + 1, steps)]
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = value(math.exp(a)), value(math.exp(b))
    for _ in range(36):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = value(math.exp(a))
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = value(math.exp(b))
    return min(at_a, at_b, values[best])


# ----------------------------------------------------------------------------------------- Rényi


def rdp_epsilon(order: float, loss: float, delta: float) -> float:
    """Return an ε such that a Rényi divergence of at most `loss` at `order` implies (ε, δ)-DP.

    Guarantee: upper bound; the exact optimum for one order, up to rounding.
    Evidence: proven, docs/proofs/rdp_conversion.md.
    Assumes: nothing.
    Not protected: one order alone is loose; curves take the best of many.
    References: Canonne, Kamath, Steinke 2020, Proposition 12; Asoodeh et al. 2021.
    """
    check_order(order)
    check_rho(loss)
    check_delta(delta)
    if loss == 0:
        return 0.0

    def holds(epsilon: float) -> bool:
        return two_point(order, epsilon, delta) > loss

    known = closed_epsilon(order, loss, delta)
    # Far out two_point proves nothing, and the search would stay there: begin where it does.
    starts = [known / 4**k for k in range(20)]
    return _least(holds, next(filter(holds, starts), known))


def rdp_loss(order: float, epsilon: float, delta: float) -> float:
    """Return the largest loss at `order` that still gives (ε, δ)-DP, rounded down; at least 0."""
    check_order(order)
    check_epsilon(epsilon)
    check_delta(delta)
    closed = down(epsilon - penalty(order - 1, delta), epsilon)
    return max(0.0, closed, math.nextafter(two_point(order, epsilon, delta), 0.0))


def rdp_delta(order: float, loss: float, epsilon: float) -> float:
    """Return a δ such that a Rényi divergence of at most `loss` at `order` implies (ε, δ)-DP."""
    check_order(order)
    check_rho(loss)
    check_epsilon(epsilon)
    if loss == 0:
        return 0.0
    closed = closed_delta(order, loss, epsilon)
    if closed < 1e-290:
        return closed
    return _least(lambda delta: two_point(order, epsilon, delta) > loss, closed)  # at most 1, which always holds


def closed_delta(order: float, loss: float, epsilon: float) -> float:
    """Return the closed form of `rdp_delta`, quick and slightly looser; rounded up."""
    c = order - 1
    size = (1 + c) * (abs(math.log(c)) + math.log1p(c)) + c * (loss + epsilon)
    return min(1.0, up(math.exp(min(0.0, log_kappa(c) + c * (loss - epsilon) + _SLACK * size))))


def closed_epsilon(order: float, loss: float, delta: float) -> float:
    """Return the closed form of `rdp_epsilon`, quick and slightly looser; rounded up."""
    return max(0.0, up(loss + penalty(order - 1, delta)))


def two_point(order: float, epsilon: float, delta: float) -> float:
    """Return a lower bound of the Rényi divergence of any pair that breaks (ε, δ)-DP; -inf if none is found.

    The pair that breaks it most cheaply lives on two points. Its divergence is convex in q = Q(S), so
    chords around the best q found bound the minimum from below.
    """
    end = (1 - delta) * math.exp(-epsilon)
    if not end > 1e-300:
        return -math.inf
    if order * delta >= 1 + 1e-9:  # still falling where P(S) reaches 1: the least is there
        return down(epsilon - math.log1p(-delta), 1 + epsilon)

    def log_f(q: float) -> float:
        p = min(delta + math.exp(epsilon) * q, 1.0)
        first = order * math.log(p) + (1 - order) * math.log(q)
        if p >= 1:
            return first
        second = order * math.log1p(-p) + (1 - order) * math.log1p(-q)
        high, low = max(first, second), min(first, second)
        return high + math.log1p(math.exp(low - high))

    low, high = max(math.log(end) - 60.0 - 2 * epsilon, -700.0), math.log(end)
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = log_f(math.exp(a)), log_f(math.exp(b))
    for _ in range(56):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = log_f(math.exp(a))
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = log_f(math.exp(b))
    best = math.exp((low + high) / 2)
    middle = log_f(best)
    size = order * (abs(math.log(delta + math.exp(epsilon) * best)) + abs(math.log(best)) + 1) * _SLACK
    for k in range(12):  # the nearest neighbours that rounding can tell from the middle
        away = min(1e-6 * 3**k * best, (end - best) / 2)
        left, right = best - away, best + away
        sides = min(log_f(left), log_f(right)) - middle, max(log_f(left), log_f(right)) - middle
        # Both neighbours are equally far, so each chord falls by what it rose: away·(1 + 1e-9).
        chord = math.expm1(min(sides[1] + 2 * size, 1.0)) * (1 + 1e-9)
        if sides[0] > 2 * size and chord < 0.5:
            return (middle + math.log1p(-chord) - 2 * size) / (order - 1)
    return -math.inf


def _least(holds: Callable[[float], bool], known: float) -> float:
    """Return about the least value in (0, known] that holds, given that `known` does; always one that holds."""
    low, high = 0.0, known
    for _ in range(60):
        middle = (low + high) / 2 if low > 0 else high / 8
        if high - low < 1e-9 * high or middle <= 0:
            break
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


# --------------------------------------------------------------------------------- the same checks


def check_delta(delta: float) -> None:
    """Refuse a δ outside (0, 1)."""
    if isinstance(delta, bool) or not isinstance(delta, int | float) or not 0 < delta < 1:
        raise InvalidInput(f"delta must lie in (0, 1), got {delta!r}.")


def check_epsilon(epsilon: float) -> None:
    """Refuse an ε that is negative or not finite."""
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 <= epsilon < math.inf:
        raise InvalidInput(f"epsilon must be a finite number of at least 0, got {epsilon!r}.")


def check_rho(loss: float) -> None:
    """Refuse a loss that is negative or not finite."""
    if isinstance(loss, bool) or not isinstance(loss, int | float) or not 0 <= loss < math.inf:
        raise InvalidInput(f"a loss must be a finite number of at least 0, got {loss!r}.")


def check_order(order: float) -> None:
    """Refuse an order that is not above 1."""
    if isinstance(order, bool) or not isinstance(order, int | float) or not 1 < order < math.inf:
        raise InvalidInput(f"an order must be a finite number above 1, got {order!r}.")
