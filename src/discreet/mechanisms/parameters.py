"""What mechanisms accept as parameters; one message for each way to be wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from discreet.errors import InvalidInput

SMALLEST_SCALE = Fraction(1, 2**20)
LARGEST_SCALE = Fraction(2**46)


def rational(name: str, value: Fraction, least: Fraction, most: Fraction) -> Fraction:
    """Return `value` if it is a Fraction (or an int) from `least` to `most`.

    Raises:
        InvalidInput: otherwise; a float is refused, because its exact value is seldom meant.
    """
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        raise InvalidInput(
            f"{name} must be a Fraction, got {value!r}.", remedy=f"Write {name}=Fraction(numerator, denominator)."
        )
    if not least <= value <= most:
        raise InvalidInput(
            f"{name} must lie from {float(least):g} to {float(most):g}, got {float(value):g}.",
            remedy="Choose a coarser or finer grid for the values, or another budget.",
        )
    return Fraction(value)


def positive_epsilon(value: float | Fraction) -> Fraction:
    """Return the exact value of epsilon, a finite number above 0.

    Raises:
        InvalidInput: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction) or not 0 < value < math.inf:
        raise InvalidInput(f"epsilon must be a finite number above 0, got {value!r}.")
    return Fraction(value)


def rounded_up(value: Fraction) -> float:
    """Return the smallest float that is not below `value`."""
    near = float(value)
    return near if near >= value else math.nextafter(near, math.inf)


def check_size(size: int) -> int:
    """Return `size` if it is a whole number of at least 0."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise InvalidInput(f"size must be a whole number of at least 0, got {size!r}.")
    return size


def check_probability(p: float) -> float:
    """Return `p` if 0 <= p < 1."""
    if not isinstance(p, int | float) or not 0 <= p < 1:
        raise InvalidInput(f"p must be a probability below 1, got {p!r}.")
    return p


def smallest(enough: Callable[[int], bool], guess: int) -> int:
    """Return the smallest h >= 0 for which the increasing predicate holds, searching from `guess`."""
    step = 1
    while not enough(guess + step - 1):
        step *= 2
    high = guess + step - 1
    low, step = high - 1, 1
    while low >= 0 and enough(low):
        high, low, step = low, low - step, 2 * step
    low = max(low, -1)
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
