"""What an attacker could learn: beliefs, best rates, guesses and advantage, from three views of one account."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from discreet.explain.ran import Ran
from discreet.explain.risk_view import Asked, View, believed, found, view, worst
from discreet.explain.risk_words import rows
from discreet.explain.words import epsilon as show
from discreet.explain.words import factor, one_in
from discreet.profiles import PrivacyProfile

ASKED = Asked()
STEPS = [10 ** (-4 + i / 8) for i in range(33)]


def attacker(account: Mapping[str, Any], history: Mapping[str, Any]) -> dict[str, Any]:
    """Return each view with its beliefs, rates, guesses and curve, and the table of them all.

    account: the guarantee, whatever is still released until the budget is gone, at its worst case.
    spent: the filter's guarantee for what was spent so far, at its worst case.
    history: the curve of the mechanisms that ran, which worst cases of (ε, δ) overstate.
    """
    delta = account["delta"]
    views = [
        _worst_view("account", "account's guarantee", account["epsilon"], delta),
        _worst_view("spent", "spent so far, worst case", history["filter"], delta),
    ]
    curves: list[PrivacyProfile | None] = [worst(account["epsilon"], delta), worst(history["filter"], delta)]
    ran: Ran | None = history["profile"]
    if ran is not None:
        views.append(_history(ran, history, delta).below(views[1]))
        curves.append(ran.curve)
    return {
        "priors": list(ASKED.priors),
        "false_positive_rates": list(ASKED.false_positive_rates),
        "baselines": list(ASKED.baselines),
        "views": [one.to_dict() | {"curve": _drawn(at, curves)} for at, one in enumerate(views)],
        "table": [row.to_dict() for row in rows(views)],
        "choices": [_choice(account["epsilon"], delta, factor) for factor in (0.5, 1, 2)],
    }


def _choice(epsilon: float | None, delta: float, factor: float) -> dict[str, Any]:
    """Return what `factor` times the account's ε would mean, at its worst case."""
    scaled = None if epsilon is None else epsilon * factor
    return {
        "factor": factor,
        "epsilon": scaled,
        "noise": {0.5: "about twice as much", 1: "as it is", 2: "about half as much"}[factor],
        "posterior": believed(scaled, 0.1),
        "true_positive_rate": found(worst(scaled, delta), 0.01),
    }


def _worst_view(name: str, short: str, epsilon: float | None, delta: float) -> View:
    curve = worst(epsilon, delta)
    method = "no bound" if curve is None else "the worst case of (ε, δ)"
    return view(name, short, "guarantee", epsilon=epsilon, delta=delta, curve=curve, method=method, asked=ASKED)


def _history(ran: Ran, history: Mapping[str, Any], delta: float) -> View:
    return view(
        "history",
        "what ran so far",
        history["label"],
        epsilon=history["epsilon"],
        delta=delta,
        curve=ran.curve,
        method=ran.said,
        asked=ASKED,
    )


def _drawn(at: int, curves: list[PrivacyProfile | None]) -> list[list[float]]:
    """Return the points of a view's curve; that of what ran is nowhere above the worst case of the same releases."""
    bounds = curves[1:] if at == 2 else curves[at : at + 1]
    return [[rate, min(found(curve, rate) for curve in bounds)] for rate in STEPS]


def comparison(epsilon: float | None) -> str:
    """Return what ε means for one who tosses a coin over somebody's presence."""
    if epsilon is None:
        return "there is no bound on what could be learned about one person"
    if epsilon == 0:
        return "nothing at all can be learned about one person"
    return (
        f"at ε = {show(epsilon)} the odds of any belief about one person change by at most a factor of "
        f"{factor(math.exp(min(epsilon, 700.0)))}"
    )


def beyond(delta: float) -> str:
    """Return what δ adds to that, as the end of the sentence."""
    if delta == 0:
        return ""
    return f"; a result that moves a belief far beyond that comes up with a probability of {one_in(min(1.0, 2 * delta))} at most"
