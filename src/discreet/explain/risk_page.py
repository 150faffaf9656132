"""The page on which people move ε, δ and what was believed before, and see what any attacker could learn."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from discreet import accounting
from discreet.accounting.curves import GaussianProfile
from discreet.explain import pages, risk_words
from discreet.explain.risk_view import Asked, View, view, worst
from discreet.explain.words import RELATIONS, at_most, factor, percent
from discreet.profiles import show_delta, show_up

if TYPE_CHECKING:
    from discreet.explain.risk import RiskCard

SHARES = (1e-4, 0.999)
ENDS = {  # between which people can move the numbers; δ may be 0, too
    "epsilon": (0.01, 20.0),
    "delta": (1e-12, 0.01),
    "prior": SHARES,
    "false_positive_rate": SHARES,
    "baseline": SHARES,
}
SENTENCES = ("belief", "beyond", "listed", "right", "answered", "guessed")


def html(card: RiskCard) -> str:
    """Return one self-contained page that begins with this card's ε and δ."""
    start = _start(card)
    style, numbers, script = (_file(name) for name in ("risk.css", "risk_numbers.js", "risk_page.js"))
    suspected, listed = risk_words.SUSPECTED[card.relation.value]
    data = {
        "start": start,
        "sentences": _sentences(suspected, listed),
        "order": SENTENCES,
        "stops": _stops(),
        "ends": ENDS,
    }
    first = views(**start)
    template = pages.environment(escape=True).get_template("risk.html.j2")
    trusted = pages.trusted({"style": style, "numbers": numbers, "script": script, "data": _inside(data)})
    return (
        template.render(
            card=card,
            about=risk_words.about(card),
            rows=risk_words.rows(card.views),
            told=risk_words.told(card, "person"),
            start=start,
            reached=(start["epsilon"], start["delta"]) == (card.worst.epsilon, card.worst.delta),
            first=[told(first[0], start, suspected, listed)[name] for name in SENTENCES],
            table=table(first),
            policy=f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(numbers)} {_digest(script)}",
            setting=f"ε = {show_up(start['epsilon'], 6)}, δ = {show_delta(start['delta'])}",
            nearly=RELATIONS[card.relation.value],
            words=risk_words,
            **trusted,
        )
        + "\n"
    )


def views(
    *, epsilon: float, delta: float, prior: float, false_positive_rate: float, baseline: float
) -> tuple[View, View | None]:
    """Return what the page shows: the worst case of (ε, δ), and Gaussian noise that just has them; none at δ = 0."""
    asked = Asked((prior,), (false_positive_rate,), (baseline,))
    most = view(
        "worst",
        "worst case",
        "guarantee",
        epsilon=epsilon,
        delta=delta,
        curve=worst(epsilon, delta),
        method="",
        asked=asked,
    )
    if delta == 0:
        return most, None
    curve = GaussianProfile(accounting.gaussian_mu(epsilon, delta))
    noise = view(
        "gaussian", "Gaussian noise", "guarantee", epsilon=epsilon, delta=delta, curve=curve, method="", asked=asked
    )
    return most, noise.below(most)


def shown(one: View) -> dict[str, str]:
    """Return the numbers of a view as the page shows them."""
    belief, rate, guess = one.beliefs[0], one.rates[0], one.guesses[0]
    return {
        "posterior": at_most(belief.posterior),
        "odds": factor(one.odds),
        "true_positive_rate": at_most(rate.true_positive_rate),
        "precision": at_most(rate.precision[0][1]),
        "accuracy": at_most(belief.accuracy, 1),
        "success": at_most(guess.success),
        "advantage": at_most(one.advantage),
    }


def told(one: View, start: dict[str, float], suspected: str, listed: str) -> dict[str, str]:
    """Return the page's sentences for a view."""
    numbers = {name: f"at most {text}" for name, text in shown(one).items()} | {
        "prior": percent(start["prior"]),
        "false_positive_rate": percent(start["false_positive_rate"]),
        "baseline": percent(start["baseline"]),
        "blindly": percent(max(start["prior"], 1 - start["prior"])),
        "probability": risk_words.once(min(1.0, 2 * one.delta)) if one.delta > 0 else "",
    }
    sentences = {name: text.format(**numbers) for name, text in _sentences(suspected, listed).items()}
    return sentences if one.delta > 0 else sentences | {"beyond": ""}


def table(pair: tuple[View, View | None]) -> list[tuple[str, str, str, str]]:
    """Return the page's table: for each number its name, its words, and the two cells."""
    most, noise = shown(pair[0]), None if pair[1] is None else shown(pair[1])
    return [(name, text, most[name], "–" if noise is None else noise[name]) for name, text in TABLE.items()]


TABLE = {
    "posterior": "belief after the release",
    "odds": "odds of a belief change by a factor of",
    "true_positive_rate": "share that is found of those who really are",
    "precision": "share of the list that is right",
    "accuracy": "right answers, yes or no of everyone",
    "success": "right guesses about a record",
    "advantage": "advantage: rightly found minus wrongly accused, whatever the list",
}


def _sentences(suspected: str, listed: str) -> dict[str, str]:
    """Return the sentences with the gaps that sliders fill."""
    whole = {
        "belief": risk_words.BELIEF,
        "beyond": risk_words.BEYOND,
        "listed": risk_words.LISTED,
        "right": risk_words.RIGHT,
        "answered": risk_words.ANSWERED,
        "guessed": risk_words.GUESSED,
    }
    said = {"suspected": suspected, "listed": listed, "you": "you", "your": "your"}
    return {name: _fill(text, said) for name, text in whole.items()}


def _fill(text: str, said: dict[str, str]) -> str:
    for name, word in said.items():
        text = text.replace("{" + name + "}", word)
    return text


def _start(card: RiskCard) -> dict[str, float]:
    """Return where the sliders begin: at the card's numbers, the middle of several, as near as they go."""
    most = card.worst
    start = {
        "epsilon": ENDS["epsilon"][1] if most.epsilon is None else most.epsilon,
        "delta": most.delta,
        "prior": most.beliefs[len(most.beliefs) // 2].prior,
        "false_positive_rate": most.rates[0].false_positive_rate,
        "baseline": most.guesses[len(most.guesses) // 2].baseline,
    }
    near = {name: min(ENDS[name][1], max(ENDS[name][0], value)) for name, value in start.items()}
    return near | ({"delta": 0.0} if most.delta == 0 else {})


def _stops() -> dict[str, list[float]]:
    """Return the stops of each slider; any number between the ends can be typed."""
    steps = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    losses = [float(f"{step}e{power}") for power in (-2, -1, 0, 1) for step in steps]
    shares = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07]
    shares += [share / 100 for share in range(10, 100, 5)] + [0.97, 0.98, 0.99, 0.995, 0.999]
    return {
        "epsilon": [one for one in losses if one <= ENDS["epsilon"][1]],
        "delta": [0.0, *(float(f"1e-{power}") for power in range(12, 1, -1))],
        "prior": shares,
        "false_positive_rate": shares,
        "baseline": shares,
    }


def _file(name: str) -> str:
    return resources.files("discreet.explain").joinpath("templates", name).read_text(encoding="utf-8")


def _inside(data: Any) -> str:
    """Return JSON that an HTML script element can hold."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True).replace("<", "\\u003c")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
