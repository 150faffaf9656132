"""LowerBound: what an estimator certifies, never without the most that it could have certified."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from discreet.errors import InvalidInput
from discreet.profiles import show_delta

Quantity = Literal["epsilon", "mu"]
SYMBOLS = {"epsilon": "ε", "mu": "μ"}


@dataclass(frozen=True, slots=True)
class LowerBound:
    """A lower bound of a privacy parameter, at a confidence of 1 - alpha.

    Args:
        quantity: "epsilon": the mechanism is not (ε, delta)-DP for any ε below `value`; "mu": it is not μ-GDP
            for any μ below `value`.
        value: The bound, rounded down; 0 says nothing.
        ceiling: The largest value that these trials could have certified, had the attack been right every time.
        alpha: The chance that the bound is false.
        trials: How many independent trials it rests on.
        estimator: How it was obtained, in words.
        delta: The δ at which an "epsilon" holds; 0 for "mu".
        certified: Whether the statement is proved. If not, it is experimental.
    """

    quantity: Quantity
    value: float
    ceiling: float
    alpha: float
    trials: int
    estimator: str
    delta: float = 0.0
    certified: bool = True

    def __post_init__(self) -> None:
        if self.quantity not in SYMBOLS:
            raise InvalidInput(f"quantity must be 'epsilon' or 'mu', got {self.quantity!r}.")
        if not 0 <= self.value < math.inf or not self.value <= self.ceiling:
            raise InvalidInput(
                f"a lower bound lies between 0 and its ceiling, got {self.value!r} of at most {self.ceiling!r}."
            )
        check_alpha(self.alpha)
        check_delta(self.delta)
        if isinstance(self.trials, bool) or not isinstance(self.trials, int) or self.trials < 1:
            raise InvalidInput(f"trials must be a whole number of at least 1, got {self.trials!r}.")

    def __str__(self) -> str:
        symbol = SYMBOLS[self.quantity]
        at = f" at δ = {show_delta(self.delta)}" if self.quantity == "epsilon" else ""
        return (
            f"{symbol} ≥ {show_down(self.value)}{at} with confidence {show_confidence(self.alpha)} "
            f"(of at most {show_down(self.ceiling)}; {self.trials:,} trials; {self.estimator}"
            f"{'' if self.certified else '; experimental'})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the bound as plain data."""
        return {
            "quantity": self.quantity,
            "value": self.value,
            "ceiling": self.ceiling if math.isfinite(self.ceiling) else None,
            "delta": self.delta if self.quantity == "epsilon" else None,
            "alpha": self.alpha,
            "trials": self.trials,
            "estimator": self.estimator,
            "certified": self.certified,
        }


def check_alpha(alpha: float) -> float:
    """Return `alpha` if it can be the chance of a false alarm.

    Raises:
        InvalidInput: it is no number above 0 and at most 1/2.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha <= 0.5:
        raise InvalidInput(f"alpha, the chance of a false alarm, must lie in (0, 0.5], got {alpha!r}.")
    return float(alpha)


def check_delta(delta: float) -> float:
    """Return `delta` if it is one.

    Raises:
        InvalidInput: it is no number in [0, 1).
    """
    if isinstance(delta, bool) or not isinstance(delta, int | float) or not 0 <= delta < 1:
        raise InvalidInput(f"delta must lie in [0, 1), got {delta!r}.")
    return float(delta)


def show_down(value: float, digits: int = 3) -> str:
    """Show a lower bound with `digits` significant digits, never above its value."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "∞"
    text = f"{value:.{digits}g}"
    if float(text) > value:
        step = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
        text = f"{value - step:.{digits}g}"
    return text


def show_confidence(alpha: float) -> str:
    """Show the confidence 1 - alpha as a percentage."""
    return f"{100 * (1 - alpha):.10g} %"
