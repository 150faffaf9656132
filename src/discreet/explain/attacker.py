"""What an attacker could learn: beliefs, best rates and advantage, from three views of one account."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from discreet import accounting, events
from discreet.explain.ran import Ran
from discreet.explain.words import epsilon as show
from discreet.explain.words import factor
from discreet.profiles import Bracket, PrivacyProfile, posterior

PRIORS = (0.01, 0.1, 0.5)
RATES = (0.01, 0.001)
STEPS = [10 ** (-4 + i / 8) for i in range(33)]


def attacker(account: Mapping[str, Any], history: Mapping[str, Any]) -> dict[str, Any]:
    """Return each view with its beliefs, rates and curve.

    account: the guarantee, whatever is still released until the budget is gone, at its worst case.
    spent: the filter's guarantee for what was spent so far, at its worst case.
    history: the curve of the mechanisms that ran, which worst cases of (ε, δ) overstate.
    """
    delta = account["delta"]
    views = [
        _view(
            "account", "account's guarantee", "guarantee", account["epsilon"], delta, _worst(account["epsilon"], delta)
        ),
        _view(
            "spent", "spent so far, worst case", "guarantee", history["filter"], delta, _worst(history["filter"], delta)
        ),
    ]
    if history["profile"] is not None:
        ran = _view("history", "what ran so far", history["label"], history["epsilon"], delta, history["profile"])
        views.append(_best(ran, views[1]))
    return {
        "priors": list(PRIORS),
        "false_positive_rates": list(RATES),
        "views": views,
        "choices": [_choice(account["epsilon"], delta, factor) for factor in (0.5, 1, 2)],
    }


def _choice(epsilon: float | None, delta: float, factor: float) -> dict[str, Any]:
    """Return what `factor` times the account's ε would mean, at its worst case."""
    scaled = None if epsilon is None else epsilon * factor
    return {
        "factor": factor,
        "epsilon": scaled,
        "noise": {0.5: "about twice as much", 1: "as it is", 2: "about half as much"}[factor],
        "posterior": _belief(scaled, 0.1),
        "tpr": _rate(_worst(scaled, delta), 0.01),
    }


def _worst(epsilon: float | None, delta: float) -> PrivacyProfile | None:
    """Return the curve of the worst mechanism with these (ε, δ); None for no bound at all."""
    return None if epsilon is None else accounting.profile(events.Approximate(epsilon, delta))


def _view(
    name: str, short: str, label: str, epsilon: float | None, delta: float, profile: PrivacyProfile | Ran | None
) -> dict[str, Any]:
    rates = [{"fpr": rate, "tpr": _rate(profile, rate)} for rate in RATES]
    return {
        "name": name,
        "short": short,
        "label": label,
        "epsilon": epsilon,
        "delta": delta,
        "method": _method(profile),
        "odds": None if epsilon is None else math.exp(min(epsilon, 700.0)),
        "beliefs": [{"prior": prior, "posterior": _belief(epsilon, prior)} for prior in PRIORS],
        "rates": rates,
        "advantage": 1.0 if profile is None else _upper(profile.advantage()),
        "curve": [[rate, _rate(profile, rate)] for rate in STEPS],
    }


def _best(ran: dict[str, Any], worst: Mapping[str, Any]) -> dict[str, Any]:
    """Return the view of what ran, nowhere above the worst case, which bounds the same releases."""
    return ran | {
        "advantage": min(ran["advantage"], worst["advantage"]),
        "rates": [a | {"tpr": min(a["tpr"], b["tpr"])} for a, b in zip(ran["rates"], worst["rates"], strict=True)],
        "curve": [[x, min(y, z)] for (x, y), (_, z) in zip(ran["curve"], worst["curve"], strict=True)],
    }


def _rate(profile: PrivacyProfile | Ran | None, rate: float) -> float:
    return 1.0 if profile is None else _upper(profile.true_positive_rate(min(1.0, rate)))


def _upper(value: Bracket | float) -> float:
    return value.upper if isinstance(value, Bracket) else value


def _method(profile: PrivacyProfile | Ran | None) -> str:
    """Return what a view was computed from; its rates may have another bound than its ε."""
    if not isinstance(profile, Ran):
        return "no bound" if profile is None else profile.method
    same = profile.method.startswith(profile.rates_method)
    return profile.method if same else f"ε: {profile.method}; rates: {profile.rates_method}"


def _belief(epsilon: float | None, prior: float) -> float:
    return 1.0 if epsilon is None else posterior(epsilon, prior)


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
