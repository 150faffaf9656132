"""Periods: a budget that is renewed, where the unit is a person in one period.

Each period has an account of its own, with the terms of the account that it renews. Why nothing is paid
twice, and what a person in several periods keeps: docs/proofs/ledger.md, docs/proofs/filters.md.
"""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from discreet.accounting import Cost
from discreet.domains import Type, shown
from discreet.errors import InvalidInput

Period: TypeAlias = str | int | datetime.date  # a truth value is an int to Python, and a period of its own type here
KINDS: dict[type, Type] = {str: "text", int: "integer", bool: "boolean", datetime.date: "date"}
READERS: dict[str, Callable[[str], Period]] = {  # of what `named` writes
    "text": str,
    "integer": int,
    "boolean": {"true": True, "false": False}.__getitem__,
    "date": datetime.date.fromisoformat,
}


@dataclass(frozen=True, slots=True)
class Renewal:
    """A period that an account was renewed for.

    Args:
        period: The value of the unit's period column.
        account: The account that pays for it.
        when: UTC time.
    """

    period: Period
    account: str
    when: str


def kind_of(period: Any) -> Type:
    """Return the type of a period as a column declares it.

    By the type itself: to Python 1 and True are equal, and a time of day is a date.

    Raises:
        InvalidInput: it is no value that says which rows belong to it.
    """
    kind = KINDS.get(type(period))
    if kind is None:
        raise InvalidInput(
            f"a period is a text, a whole number, a date or a truth value, got {type(period).__name__}.",
            remedy='Give the value as the period column holds it, for example "2024-06".',
        )
    if isinstance(period, str) and not (period and period.isprintable() and unicodedata.is_normalized("NFC", period)):
        raise InvalidInput(
            f"a period must be printable text in normal form (NFC), got {shown(period)}.",
            remedy="Write periods in letters, digits and marks such as '-'.",
        )
    if isinstance(period, int) and not -(2**63) <= period < 2**63:
        raise InvalidInput(f"the period {shown(period)} is beyond the 64-bit whole numbers.")
    return kind


def named(period: Period) -> str:
    """Return a period as names of accounts and messages show it; different periods of one type look different."""
    kind_of(period)
    if isinstance(period, datetime.date):
        return period.isoformat()
    return str(period).lower() if isinstance(period, bool) else str(period)


def account_of(population: str, period: Period) -> str:
    """Return the name of the account that pays for one period of a population."""
    return f"{population}@{named(period)}"


def ordered(periods: Sequence[Any]) -> tuple[Period, ...]:
    """Return periods in their order, each once.

    Raises:
        InvalidInput: one of them is none, or they are of several types.
    """
    if isinstance(periods, str):
        raise InvalidInput(
            f"periods must be several, got the text {shown(periods)}.", remedy=f"Write ({shown(periods)},)."
        )
    kinds = {kind_of(period) for period in periods}
    if len(kinds) > 1:
        raise InvalidInput(
            f"the periods are of several types: {', '.join(sorted(kinds))}.",
            remedy="Give each as the period column is declared.",
        )
    return tuple(sorted(set(periods)))


def to_dict(period: Period) -> dict[str, str]:
    """Return a period as plain data, with its type: "1" and 1 are no one period."""
    return {"type": kind_of(period), "value": named(period)}


def from_dict(data: Mapping[str, str]) -> Period:
    """Read a period written by `to_dict`.

    Raises:
        KeyError, ValueError: it is none, or not written as one.
    """
    read = READERS[data["type"]](data["value"])
    if to_dict(read) != data:
        raise ValueError(data["type"])
    return read


def same(one: Period | None, other: Period) -> bool:
    """Return whether two periods are one: equal, and of one type."""
    return type(one) is type(other) and one == other


def check_several(measure: Any, price: Cost) -> None:
    """Refuse an event over several periods of which nobody knows what it costs a person who is in all of them.

    Raises:
        InvalidInput: the measure has no bound for several units at once, or the event has a δ of its own.
    """
    if measure.kind == "renyi":
        why = f"the measure {measure} has no bound for a person who is in several of them"
    elif price.delta:
        why = "nobody has bounded what a δ of its own becomes for a person who is in several of them"
    else:
        return
    raise InvalidInput(
        f"this cannot be asked over several periods at once: {why}.", remedy="Ask it in each period by itself."
    )
