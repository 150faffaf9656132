"""What each field of an event demands, by its name: the same word means the same thing in every kind."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from enum import Enum
from fractions import Fraction
from typing import Any, TypeGuard

from discreet.errors import InvalidInput

WIDEST = 6000  # bits of a fraction's numerator and denominator; Python writes and reads no integers beyond 14,000
ROUNDING = 1e-12  # by which declared probabilities may miss a sum of 1


class Relation(str, Enum):
    """When two datasets are neighbours.

    add_remove: one privacy unit's rows are present in one and absent from the other.
    replace_one: one privacy unit's rows are replaced by any others.
    zero_out: one privacy unit's rows are replaced by a blank that contributes nothing.
    """

    ADD_REMOVE = "add_remove"
    REPLACE_ONE = "replace_one"
    ZERO_OUT = "zero_out"


def refused(what: str) -> InvalidInput:
    """Return the error for a field that holds what it must not."""
    return InvalidInput(what, remedy="Build the event from valid parameters.")


def _number(value: object) -> TypeGuard[float]:
    """Whether a value is a number that a float holds exactly."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) and float(value) == value
    except OverflowError:
        return False


def shown(value: object) -> str:
    """Return a value as an error may show it: never at great length."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a whole number beyond 40 digits"
    return text if len(text) <= 200 else f"{text[:200]}…"


def _exact(value: object) -> bool:
    return isinstance(value, Fraction) and max(value.numerator.bit_length(), value.denominator.bit_length()) <= WIDEST


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def increasing(values: object, above: float) -> bool:
    """Return whether a value is a tuple of increasing numbers, the first of them beyond `above`."""
    return (
        isinstance(values, tuple)
        and len(values) > 0
        and all(_number(value) and value > above for value in values)
        and all(a < b for a, b in itertools.pairwise(values))
    )


def _numbers(values: object, holds: Callable[[float], bool]) -> bool:
    return isinstance(values, tuple) and all(_number(value) and holds(value) for value in values)


def _sum_to_one(values: tuple[float, ...]) -> bool:
    return len(values) > 0 and abs(math.fsum(values) - 1) <= ROUNDING


_PROBABILITIES = (
    f"a tuple of numbers in [0, 1] that sum to 1 within {ROUNDING}",
    lambda x: _numbers(x, lambda value: 0 <= value <= 1) and _sum_to_one(x),
)
_LOSS = ("a finite number of at least 0", lambda x: _number(x) and x >= 0)
_EXACT = (f"a Fraction above 0, of at most {WIDEST} bits", lambda x: _exact(x) and x > 0)
_EXACT_OR_ZERO = (f"a Fraction of at least 0, of at most {WIDEST} bits", lambda x: _exact(x) and x >= 0)
_COUNT = ("a whole number of at least 1", lambda x: _whole(x, 1))

FIELDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "epsilon": _LOSS,
    "rho": _LOSS,
    "delta": ("a number in [0, 1)", lambda x: _number(x) and 0 <= x < 1),
    "noise_multiplier": ("a finite number above 0", lambda x: _number(x) and x > 0),
    "sensitivity": _EXACT_OR_ZERO,
    "sensitivity_squared": _EXACT_OR_ZERO,
    "scale": _EXACT,
    "variance": _EXACT,
    "sample_rate": ("a number in (0, 1]", lambda x: _number(x) and 0 < x <= 1),
    "orders": ("a tuple of increasing numbers above 1", lambda x: increasing(x, 1)),
    "epsilons": (
        "a tuple of finite numbers of at least 0",
        lambda x: _numbers(x, lambda value: value >= 0),
    ),
    "categories": ("a whole number of at least 2", lambda x: _whole(x, 2)),
    "max_groups": _COUNT,
    "count": _COUNT,
    "steps": _COUNT,
    "bands": _COUNT,
    "counts": (
        "a tuple of whole numbers of at least 1",
        lambda x: isinstance(x, tuple) and all(_whole(value, 1) for value in x),
    ),
    "population_size": _COUNT,
    "sample_size": _COUNT,
    "max_batch_size": _COUNT,
    "first": _PROBABILITIES,
    "second": _PROBABILITIES,
    "weights": (
        f"a tuple of numbers above 0 that sum to 1 within {ROUNDING}",
        lambda x: _numbers(x, lambda value: value > 0) and _sum_to_one(x),
    ),
    "mean": ("a finite number above 0", lambda x: _number(x) and x > 0),
    "shape": ("a finite number above -1", lambda x: _number(x) and x > -1),
    "relation": ("a Relation", lambda x: isinstance(x, Relation)),
}
