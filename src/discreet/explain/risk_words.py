"""Risks in words: the rows of their table, and plain sentences for each of the three audiences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from discreet.explain.risk_view import View
from discreet.explain.words import RELATIONS, YOU, at_most, delta, epsilon, factor, percent, unit

if TYPE_CHECKING:
    from discreet.explain.risk import RiskCard

HELD = "Every number is an upper bound: no attacker does better, whatever the method, and most do worse."
MANY = (
    "What is true of many people is learned with and without any one of them, and is not counted here: a chance “without” "
    "a record is that of somebody who reads the release made without it."
)
SUSPECTED = {  # what somebody may believe about you, and of whom they make a list, by relation
    "add_remove": ("that you are in the data", "in the data"),
    "replace_one": (
        "that a record in the data is yours, and not another one they have in mind",
        "those of such a record",
    ),
    "zero_out": ("that your record was used, and not left blank", "those whose records were used"),
}
# The sentences of cards and of the interactive page, which fills them anew as people move its sliders.
BELIEF = "Someone who was {prior} sure {suspected} can become {posterior} sure."
LISTED = (
    "Someone who lists the people they hold to be {listed}, and wrongly lists {false_positive_rate} of the others, "
    "finds {true_positive_rate} of those who really are."
)
RIGHT = "Where {prior} of the people looked at are {listed}, {precision} of such a list is right."
ANSWERED = (
    "Who must say yes or no of every one of them is right in {accuracy} of cases; the more common answer, said of all, is "
    "right in {blindly}."
)
GUESSED = (
    "Something about {you} that can be guessed right in {baseline} of cases without {your} record, a diagnosis for example, "
    "is guessed right in {success} of cases with it."
)
BEYOND = (
    "Some results may move a belief a little further than this. With a probability of at most {probability} one comes up that "
    "moves it far: more than half of the way from there to certainty."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of risks: what is asked, and the answer of each view.

    Args:
        text: What is asked.
        cells: The answers.
        detail: Whether it is for engineers alone.
    """

    text: str
    cells: tuple[str, ...]
    detail: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {"text": self.text, "cells": list(self.cells), "detail": self.detail}


def rows(views: Sequence[View]) -> list[Row]:
    """Return the table of risks, a column for each view; all of them were asked the same."""
    first = views[0]
    found = [
        Row("ε", tuple(epsilon(one.epsilon) for one in views)),
        Row("δ", tuple("–" if one.delta >= 1 else delta(one.delta) for one in views)),
        Row("odds of a belief change by at most a factor of", tuple(factor(one.odds) for one in views)),
    ]
    for at, belief in enumerate(first.beliefs):
        cells = tuple(at_most(one.beliefs[at].posterior) for one in views)
        found.append(Row(f"a belief of {percent(belief.prior)} becomes at most", cells))
    if any(one.delta > 0 for one in views):
        cells = tuple(
            delta(max(belief.excess for belief in one.beliefs)) if one.epsilon is not None else "–" for one in views
        )
        found.append(Row("beliefs pass these, on average over all results, by at most", cells, detail=True))
    for at, rate in enumerate(first.rates):
        cells = tuple(at_most(one.rates[at].true_positive_rate) for one in views)
        found.append(Row(f"people found at {percent(rate.false_positive_rate)} wrongly accused, at most", cells))
    for at, rate in enumerate(first.rates):
        wrong = percent(rate.false_positive_rate)
        for place, (prior, _) in enumerate(rate.precision):
            cells = tuple(at_most(one.rates[at].precision[place][1]) for one in views)
            text = f"accusations that are right at {wrong}, where {percent(prior)} are in, at most"
            found.append(Row(text, cells, detail=True))
    for at, belief in enumerate(first.beliefs):
        cells = tuple(at_most(one.beliefs[at].accuracy, 1) for one in views)
        never = percent(max(belief.prior, 1 - belief.prior))
        text = f"right answers “in” or “out” where {percent(belief.prior)} are in (blindly {never}), at most"
        found.append(Row(text, cells, detail=True))
    for at, guess in enumerate(first.guesses):
        cells = tuple(at_most(one.guesses[at].success) for one in views)
        found.append(Row(f"a guess about a record that is right in {percent(guess.baseline)} becomes at most", cells))
    found += [
        Row("advantage: rightly found minus wrongly accused, at most", tuple(at_most(one.advantage) for one in views)),
        Row("computed from", tuple(one.method for one in views)),
    ]
    return found


def text(card: RiskCard) -> str:
    """Return the whole card as plain text."""
    found = rows(card.views)
    wide = max(len(row.text) for row in found)
    heads = [one.short for one in card.views]
    columns = [max(len(head), *(len(row.cells[at]) for row in found[:-1])) for at, head in enumerate(heads)]
    lines = [f"Risk of {about(card)}", HELD, "", _line("", heads, wide, columns)]
    lines += [_line(row.text, row.cells, wide, columns) for row in found[:-1]]
    lines += ["", *(f"{one.short}: {one.method}, {one.label}" for one in card.views)]
    if card.unknown is not None:
        lines.append(f"its own curve: not known; {card.unknown}")
    return "\n".join(lines)


def about(card: RiskCard) -> str:
    """Return what a card speaks of, for whom."""
    who = f"({card.relation.value})" if card.unit is None else card.unit.label
    return f"{card.subject} {who}" + (f", {card.group} together" if card.group > 1 else "")


def told(card: RiskCard, audience: str) -> list[str]:
    """Return a card in plain sentences for one audience."""
    if card.worst.epsilon is None and card.own is None:
        return ["There is no bound on what can be found out. Do not rely on it."]
    return {"person": _person, "policy": _policy, "engineer": _engineer}[audience](card)


def _person(card: RiskCard) -> list[str]:
    suspected, listed = SUSPECTED[card.relation.value]
    lines = [f"What was published is nearly as likely as it would be on {YOU[card.relation.value]}."]
    if card.group > 1:
        lines[0] = f"This is about {card.group} people together, you among them. {lines[0]}"
    for at, belief in enumerate(card.worst.beliefs):
        after = _each([at_most(one.beliefs[at].posterior) for one in card.views])
        lines.append(BELIEF.format(prior=percent(belief.prior), suspected=suspected, posterior=after))
    lines += _beyond(card)
    rate = card.worst.rates[0]
    lines.append(
        LISTED.format(
            listed=listed,
            false_positive_rate=percent(rate.false_positive_rate),
            true_positive_rate=_each([at_most(one.rates[0].true_positive_rate) for one in card.views]),
        )
    )
    for at, guess in enumerate(card.worst.guesses):
        after = _each([at_most(one.guesses[at].success) for one in card.views])
        lines.append(GUESSED.format(you="you", your="your", baseline=percent(guess.baseline), success=after))
    return [*lines, MANY]


def _policy(card: RiskCard) -> list[str]:
    likely = f"he results are nearly as likely on {RELATIONS[card.relation.value]}."
    gain = _each([at_most(one.advantage) for one in card.views])
    odds = _each([factor(one.odds) for one in card.views])
    lines = [
        f"T{likely}" if card.unit is None else f"Protected is {unit(card.unit)}; t{likely}",
        (
            f"Whoever tries to tell who is in does better than chance by {gain}: the share rightly found minus "
            "the share wrongly accused."
        ),
        f"The odds of any belief about one person change by a factor of {odds}.",
    ]
    for at, guess in enumerate(card.worst.guesses):
        after = _each([at_most(one.guesses[at].success) for one in card.views])
        lines.append(GUESSED.format(you="one person", your="that", baseline=percent(guess.baseline), success=after))
    return [*lines, *_beyond(card), HELD, MANY]


def _engineer(card: RiskCard) -> list[str]:
    lines = []
    for one in card.views:
        rates = "; ".join(
            f"TPR ≤ {at_most(rate.true_positive_rate)} at FPR {percent(rate.false_positive_rate)}" for rate in one.rates
        )
        lines.append(
            f"{one.short[:1].upper()}{one.short[1:]} ({one.label}): ε = {epsilon(one.epsilon)}, δ = {delta(one.delta)}, "
            f"advantage ≤ {at_most(one.advantage)}; {rates}. Computed from: {one.method}."
        )
    if card.unknown is not None:
        lines.append(f"Its own curve is not known: {card.unknown}")
    lines.append(
        "Rates, accuracy and reconstruction (at most the true-positive rate at the baseline) include δ. A posterior is a "
        "bound for every outcome at δ = 0 only; beyond it beliefs go, on average, by prior·(1 − posterior)·δ at most."
    )
    return lines


def _beyond(card: RiskCard) -> list[str]:
    """Return what δ adds to a belief, in words."""
    most = max((one.delta for one in card.views if one.epsilon is not None), default=0.0)
    if most == 0:
        return []
    return [BEYOND.format(probability=once(min(1.0, 2 * most)))]


def once(probability: float) -> str:
    """Return "1 in 500,000" for a probability above 0 that is an upper bound, never below it."""
    return f"1 in {math.floor(1 / probability * (1 + 1e-12)):,}"


def _each(bounds: Sequence[str]) -> str:
    """Return the bound of the own curve with the worst case's beside it, or the worst case's alone."""
    worst, *own = bounds
    return f"at most {own[0]} ({worst} in the worst case of the same ε and δ)" if own else f"at most {worst}"


def _line(text: str, cells: Sequence[str], wide: int, columns: Sequence[int]) -> str:
    shown = (f"{cell:>{width}}" for cell, width in zip(cells, columns, strict=True))
    return "  ".join([f"{text:<{wide}}", *shown]).rstrip()
