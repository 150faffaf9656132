"""From an accuracy to an epsilon: the least budget whose expected error is small enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from discreet.errors import InvalidInput

if TYPE_CHECKING:
    from discreet.sql.bind import QueryPlan

LEAST, MOST = 1e-6, 1e5
HALVINGS = 24  # of the logarithm of epsilon: to four digits and more


def epsilon_for(target: float | Mapping[str, float], plan: Callable[[float], QueryPlan]) -> float:
    """Return the least epsilon at which every 95 % half width is at most its target, to four digits.

    Args:
        target: The half width: of every output column, or by name.
        plan: Plans the query at an epsilon; spends nothing.

    Raises:
        InvalidInput: no epsilon reaches it, or a column has no expected error.
    """
    wanted = _checked(target, plan(1.0))
    low, high = LEAST, MOST
    if not _reached(plan(high), wanted):
        raise InvalidInput(
            f"no epsilon up to {MOST:g} brings the error to the target.",
            remedy="Ask for fewer groups or columns, or for a larger error.",
        )
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        if _reached(_tried(plan, middle), wanted):
            high = middle
        else:
            low = middle
    return rounded_up(high)


def rounded_up(value: float) -> float:
    """Return the next number of four digits."""
    digits = 3 - math.floor(math.log10(value))
    scale = 10.0**digits
    return float(math.ceil(round(value * scale, 6)) / scale)


def _tried(plan: Callable[[float], QueryPlan], epsilon: float) -> QueryPlan | None:
    try:
        return plan(epsilon)
    except InvalidInput:  # too small to be split
        return None


def _checked(target: float | Mapping[str, float], plan: QueryPlan) -> dict[str, float]:
    known = {item.name: item.half_width for item in plan.forecasts}
    wanted = dict(target) if isinstance(target, Mapping) else dict.fromkeys(known, target)
    for name, value in wanted.items():
        if name not in known:
            raise InvalidInput(
                f"target_error names {name!r}, which is no output of this query.", remedy=f"Use: {', '.join(known)}."
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise InvalidInput(
                f"the target error of {name!r} must be a number above 0, got {value!r}.",
                remedy="Give the half width of the 95 % interval, for example target_error=50.",
            )
        if known[name] is None:
            raise InvalidInput(
                f"the error of {name!r} depends on answers that nobody guessed, or is one of rank.",
                remedy="Give guess= of it and of its count, or name the other columns in target_error.",
            )
    return {name: float(value) for name, value in wanted.items()}


def _reached(plan: QueryPlan | None, wanted: Mapping[str, float]) -> bool:
    if plan is None:
        return False
    found = {item.name: item.half_width for item in plan.forecasts}
    return all((half := found[name]) is not None and half <= value for name, value in wanted.items())
