"""Words for facts: units, relations, mechanisms and numbers in plain sentences. No judgement, no colour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from discreet import events
from discreet.profiles import show_delta, show_up
from discreet.release.shown import clean
from discreet.units import PrivacyUnit

AUDIENCES = {
    "person": "For people in the data",
    "policy": "For those who decide",
    "engineer": "For engineers",
}

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        "Differential privacy",
        (
            "A property of a way of publishing, not of a table: the published result would look almost the same "
            "with and without any one person's data. Epsilon and delta say how nearly the same."
        ),
    ),
    (
        "Epsilon (ε)",
        (
            "The privacy loss. Whatever anyone believed before, the odds of that belief change by at most a factor "
            "of e to the power of ε. Smaller is more private. ε adds up over everything published about the same people."
        ),
    ),
    (
        "Delta (δ)",
        "A small probability set aside for results that tell more than ε allows. It should be far below one in the number of people.",
    ),
    (
        "Rho (ρ)",
        "Another unit of privacy loss (zero-concentrated differential privacy). It adds up, and converts to ε at any δ.",
    ),
    (
        "Noise",
        "A random number added to each exact answer before anyone sees it. Its size is public; its value is not.",
    ),
    (
        "Interval",
        (
            "The range that holds the answer without noise in 95 of 100 cases, unless a table says another level. "
            "It covers the noise, not what bounds cut off, nor errors in the data themselves."
        ),
    ),
    (
        "Bounds",
        (
            "Limits that were set beforehand, so that no one person weighs too much: values outside of them count as "
            "the nearest bound, and one person's rows and groups count up to a number only."
        ),
    ),
    ("Privacy unit", "Who or what is protected as a whole, and how much of a table one of them may touch."),
    ("Account", "The budget of a population. All that is published about it is charged here, and nothing is refunded."),
    (
        "Guarantee, estimate, promise",
        "A guarantee is proved. An estimate is computed or measured. A promise is somebody's word.",
    ),
)

RANK = (
    "Rank",
    (
        "The place of a value when all values stand in order. Of a number that was drawn, such as a median, it is known "
        "by how many rows its rank may be off in 95 of 100 cases, whatever the values are."
    ),
)

YOU = {
    "add_remove": "the same data without you, or with you added if you are not in them",
    "replace_one": "the same data with somebody else's in place of yours",
    "zero_out": "the same data with yours left blank",
}
RELATIONS = {
    "add_remove": "the same data without that person, or with them added",
    "replace_one": "the same data with that person's rows replaced by anybody else's",
    "zero_out": "the same data with that person's rows blanked",
}


# The promise in full is docs/promise.md; what does not hold is docs/known-holes.md. A report stands alone, so it names
# them and links to nothing.
NOT_PROMISED = (
    "Not protected: how long a question took and that it failed, the data at rest, anything published around discreet, "
    "and what is true of many people. The documentation of discreet says all of it in two pages: "
    "“The promise” (docs/promise.md) and “Known holes” (docs/known-holes.md)."
)


def nothing(charges: int) -> str:
    """Return that no release is recorded, and not more than that if rows were paid for."""
    if charges == 0:
        return "Nothing has been released yet."
    return f"No answer is recorded as released, but the ledger holds {count(charges, 'charge')}: the rows may have been read."


def promise(account: Mapping[str, Any]) -> str:
    """Return the core of the promise, for this account."""
    if account["epsilon"] is None:
        return "This account sets no limit, so nothing is promised."
    if not account["proved"]:
        return (
            "The budget was raised after results had been seen: this report says what is guaranteed for "
            "everything together, and what is not."
        )
    return (
        "What is promised: everything that leaves this account, taken together and whatever was asked after seeing "
        f"earlier answers, is differentially private with ε = {epsilon(account['epsilon'])} and "
        f"δ = {delta(account['delta'])}. Protected is {account['unit_words']}. The promise rests on assumptions, such as "
        "bounds that were not read off the data; the part for those who decide lists them."
    )


def unit(protected: PrivacyUnit) -> str:
    """Return who is protected, as the end of a sentence."""
    per = f" within one {clean(protected.per)}" if protected.per else ""
    if protected.column:
        return f"one person: all rows that share one value of “{clean(protected.column)}”{per}"
    if protected.max_rows == 1:
        return f"one row of the table{per}"
    return f"up to {protected.max_rows} rows of the table, promised to be all that one person has{per}"


def bounds(groups: int | None, rows: int, *, grouped: bool, enforced: bool) -> str:
    """Return how the contribution of one unit to one release is bounded, and by whom."""
    where = ("every group" if groups is None else f"at most {count(groups, 'group')}") if grouped else ""
    how = f"{f'in {where}, ' if grouped else ''}with at most {count(rows, 'row')}{' in each' if grouped else ''}"
    if enforced:
        return (
            f"One person counts {how}; further rows are left out or scaled down before anything is computed (enforced)."
        )
    return f"One unit counts {how} (the owner's promise; nothing in the query enforces it)."


def declared(column: Mapping[str, Any]) -> str:
    """Return what is declared of a column."""
    if column.get("keys"):
        return f"{column['type']}: {', '.join('NULL' if key is None else str(key) for key in column['keys'])}"
    if column.get("low") is not None:
        return f"{column['type']} from {column['low']} to {column['high']}"
    return str(column.get("type"))


def count(number: int, noun: str) -> str:
    """Return "1 release", "2 releases"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def times(number: int) -> str:
    """Return "once", "twice", "3 times"."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def percent(share: float) -> str:
    """Return a share as a percentage with at most two significant digits, never 0 % for something."""
    if share <= 0:
        return "0 %"
    if share >= 1:
        return "100 %" if share == 1 else f"{share * 100:.0f} %"
    value = share * 100
    if value < 0.01:
        return "under 0.01 %"
    if value > 99:  # close to certainty the distance from it is what counts
        return "over 99.99 %" if value > 99.99 else f"{math.floor(value * 100) / 100:g} %"
    digits = 2 if value < 1 else 1 if value < 10 else 0
    return f"{float(f'{value:.{digits}f}'):g} %"


def at_most(bound: float, more: int = 0) -> str:
    """Return an upper bound on a share as a percentage, never below it; with `more` digits than usual."""
    value = bound * 100
    if value <= 0:
        return "0 %"
    if value > 99.99:
        return "100 %"
    digits = more + (2 if value < 1 or value > 99 else 1 if value < 10 else 0)
    steps = max(1, math.ceil(value * 10**digits - 1e-9))  # floats' own dust is no reason for a step up
    return f"{steps / 10**digits:g} %"


def factor(bound: float | None) -> str:
    """Return an upper bound on a ratio, never below it."""
    if bound is None:
        return "∞"
    return show_up(bound, 3) if bound < 1000 else f"{float(show_up(bound, 3)):,.0f}" if bound < 1e5 else "over 100,000"


def epsilon(value: float | None) -> str:
    """Return ε for people, rounded up; the infinite and the missing as ∞."""
    return "∞" if value is None else show_up(value, 3)


def bracket(lower: float | None, upper: float | None) -> str:
    """Return both ends of a number for engineers, each rounded to its safe side."""
    if lower is None or upper is None:
        return "[∞, ∞]" if lower is None else f"[{show_down(lower, 6)}, ∞]"
    return f"[{show_down(lower, 6)}, {show_up(upper, 6)}]"


def show_down(value: float, digits: int) -> str:
    """Return a lower end with `digits` significant digits, never above its value."""
    if value <= 0:
        return "0"
    text = f"{value:.{digits}g}"
    if float(text) > value:
        text = f"{value - 10.0 ** (math.floor(math.log10(value)) - digits + 1):.{digits}g}"
    return text


def delta(value: float) -> str:
    """Return δ for people, rounded up."""
    return show_delta(value)


def one_in(probability: float) -> str:
    """Return "about 1 in 1,000,000" for a small probability."""
    if probability <= 0:
        return "never"
    return f"about 1 in {round(1 / probability):,}"


def number(value: float, digits: int = 4) -> str:
    """Return a public parameter (a scale, a share) with `digits` significant digits."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if 1e-3 <= abs(value) < 1e6:
        whole = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:,.{whole}f}".rstrip("0").rstrip(".") if whole else f"{value:,.0f}"
    return f"{value:.{digits}g}"


def measure(name: str) -> str:
    """Return an account's measure in words."""
    if name == "pure":
        return "pure differential privacy (ε adds up)"
    if name == "zcdp":
        return "zero-concentrated differential privacy (ρ adds up)"
    return f"Rényi differential privacy at one fixed order, {name} (its ε adds up)"


def mechanisms(event: events.Event) -> list[str]:
    """Return one sentence for each mechanism in `event`, equal ones counted together."""
    sentences = [_mechanism(part) for part in _parts(event)]
    return [
        text if sentences.count(text) == 1 else f"{text} — {sentences.count(text)} times"
        for text in dict.fromkeys(sentences)
    ]


def _parts(event: events.Event) -> list[events.Event]:
    if isinstance(event, events.Composed):
        return [part for inner in event.events for part in _parts(inner)]
    return [event]


def _mechanism(event: events.Event) -> str:
    if isinstance(event, events.DiscreteGaussian):
        std = math.sqrt(event.variance)
        return f"Discrete Gaussian noise: {_steps(std, event.sensitivity_squared, squared=True)}"
    if isinstance(event, events.DiscreteLaplace):
        return f"Discrete Laplace noise: {_steps(float(event.scale), event.sensitivity, squared=False)}"
    if isinstance(event, events.Gaussian | events.Laplace):
        return f"{type(event).__name__} noise: noise_multiplier {number(event.noise_multiplier)}"
    if isinstance(event, events.Repeated):
        return f"{count(event.count, 'run')} of: {'; '.join(mechanisms(event.event))}"
    if isinstance(event, events.Mixture):
        return f"One of these, chosen by a public coin: {' | '.join(map(_mechanism, event.events))}"
    holding = _holding(event)
    return _named(event) if holding is None else f"{holding}: {'; '.join(mechanisms(events.parts(event)[0]))}"


def _holding(event: events.Event) -> str | None:
    """Return how an event runs the one within it; None if there is none."""
    match event:
        case events.PoissonSampled():
            return f"On a random sample of people (sample_rate {number(event.sample_rate)})"
        case events.TruncatedPoissonSampled():
            most, size = f"{event.max_batch_size:,}", f"{event.population_size:,}"
            return (
                f"On a random sample of at most {most} out of {size} people (sample_rate {number(event.sample_rate)})"
            )
        case events.FixedSizeSampled():
            return f"On a random sample of {event.sample_size:,} out of {event.population_size:,} people"
        case events.RandomAllocation():
            return f"In {count(event.steps, 'step')}, each person in one of them at random"
        case events.CyclicPoissonSampled():
            groups = count(event.bands, "fixed group")
            return (
                f"In {count(event.steps, 'step')}, each on a random sample of the next of {groups} of people "
                f"(sample_rate {number(event.sample_rate)})"
            )
        case events.PrivateSelection() | events.PoissonSelection():
            return f"The best of a random number of runs (mean {number(event.mean)}), the only one published"
    return None


def _named(event: events.Event) -> str:
    names = {
        "pure": "A mechanism with pure differential privacy",
        "exponential_mechanism": "Exponential mechanism (a choice by weighted chance)",
        "permute_and_flip": "Permute-and-flip (a choice by chance)",
        "noisy_max": "Report-noisy-max (the best of noisy scores)",
        "randomized_response": "Randomised response (each answer is changed with a known chance)",
        "key_selection": "Selection of keys that enough people share",
        "zcdp": "A mechanism with zero-concentrated differential privacy",
        "rdp": "A mechanism known by its Rényi curve",
        "approximate": "A mechanism with approximate differential privacy",
        "tabulated": "A mechanism known by the chances of its outputs",
        "shuffled": "Randomised responses, permuted by a shuffler",
        "non_private": "A step without any privacy",
    }
    shown = [
        f"{field} {number(getattr(event, field))}"
        for field in ("epsilon", "delta", "rho", "categories", "max_groups")
        if hasattr(event, field)
    ]
    if isinstance(event, events.Shuffled):
        shown += [
            f"epsilon {number(e)} from {count(n, 'report')}" for e, n in zip(event.epsilons, event.counts, strict=True)
        ]
    return names[event.kind] + (f": {', '.join(shown)}" if shown else "")


def _steps(scale: float, sensitivity: Fraction, *, squared: bool) -> str:
    reach = math.sqrt(sensitivity) if squared else float(sensitivity)
    name = "standard deviation" if squared else "scale"
    if reach == 0:
        return f"{name} {number(scale)} grid steps on an answer that no person can move"
    return (
        f"{name} {number(scale)} grid steps; one person moves the exact answers by at most {number(reach)} "
        f"(noise_multiplier {number(scale / reach)})"
    )
