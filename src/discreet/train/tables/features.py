"""Features: how declared columns become numbers for a model. Everything here follows from the Domain; no row is read."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from discreet.domains import Column, Domain, Key, Type
from discreet.errors import InvalidInput

Array: TypeAlias = np.ndarray[Any, Any]
UNKNOWN = -1  # the code of a value that is none of the keys
MADE_UP = 4


@dataclass(frozen=True, slots=True)
class Number:
    """A column with declared bounds, scaled so that they become -1 and 1; dates count as days.

    Args:
        name: The column.
        kind: Its declared type.
        low, high: Its bounds, as numbers.
    """

    name: str
    kind: Type
    low: float
    high: float

    def scaled(self, values: Array) -> Array:
        """Return values, clamped, on the scale of the model; what is not finite becomes NaN."""
        kept = np.clip(np.where(np.isfinite(values), values, np.nan), self.low, self.high)
        return ((kept - self.low) / (self.high - self.low) * 2 - 1).astype(np.float32)

    def unscaled(self, values: Array) -> Array:
        """Return what the model put out on the scale of the column, within its bounds."""
        return self.low + (np.clip(values.astype(np.float64), -1, 1) + 1) / 2 * (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Choice:
    """A column with declared keys.

    Args:
        name: The column.
        kind: Its declared type.
        keys: Its declared values; None among them makes NULL one of them.
    """

    name: str
    kind: Type
    keys: tuple[Key, ...]

    def coder(self) -> Callable[[object], int]:
        """Return what tells the place of a value among the keys, or UNKNOWN; what cannot be read counts as NULL."""
        places = {key: place for place, key in enumerate(self.keys)}
        return lambda value: places.get(readable(value, self.kind), UNKNOWN)


Feature: TypeAlias = Number | Choice


def feature_of(name: str, column: Column) -> Feature | None:
    """Return how a declared column is read; None if its declaration says too little."""
    if column.keys is not None:
        return Choice(name, column.type, column.keys)
    if column.type == "boolean":
        return Choice(name, "boolean", (False, True))
    if column.low is None or column.high is None:
        return None
    low, high = _plain(column.low), _plain(column.high)
    return Number(name, column.type, low, high) if low < high else None


def chosen(domain: Domain, names: object, without: frozenset[str]) -> dict[str, Column]:
    """Return the declared columns that are named, which all have to be readable as features.

    Raises:
        InvalidInput: one of them is not.
    """
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"features must list columns, got {names!r}.", remedy='For example ["age", "ward"].')
    for name in names:
        if name not in domain:
            why = "is not a declared column"
        elif name in without:
            why = "is the target, or says who a row is of"
        elif names.count(name) > 1:
            why = "stands twice"
        elif feature_of(name, domain[name]) is None:
            why = "is declared without bounds and keys, so that nothing says how it is read"
        else:
            continue
        raise InvalidInput(f"the feature {name!r} {why}.", remedy="Correct it, or leave it out.")
    return {name: domain[name] for name in names}


class Features:
    """The features of a table: two for each number (its value, whether it is NULL), one for each key of the rest.

    Args:
        domain: The declared columns.
        without: Columns that are none: the target, and who a row is of.
    """

    def __init__(self, domain: Mapping[str, Column], without: frozenset[str]) -> None:
        found = [feature_of(name, column) for name, column in domain.items() if name not in without]
        self.numbers = [one for one in found if isinstance(one, Number)]
        self.choices = [one for one in found if isinstance(one, Choice)]
        ends = np.cumsum([2 * len(self.numbers), *(len(one.keys) for one in self.choices)])
        self._starts, self.width = torch.from_numpy(ends[:-1].astype(np.int64)), int(ends[-1])

    @property
    def columns(self) -> list[str]:
        """The names of the columns that are read."""
        return [*(one.name for one in self.numbers), *(one.name for one in self.choices)]

    @property
    def names(self) -> list[str]:
        """What each feature is, in order."""
        numbers = [text for one in self.numbers for text in (one.name, f"{one.name} is NULL")]
        return [*numbers, *(f"{one.name} = {key!r}" for one in self.choices for key in one.keys)]

    def expanded(self, numbers: Array, codes: Array) -> torch.Tensor:
        """Return the features of some rows.

        Args:
            numbers: Scaled numbers, a row each; NaN for NULL.
            codes: Codes of the choices, a row each.
        """
        rows, places = torch.from_numpy(numbers), torch.from_numpy(codes).long()
        places = torch.where(places == UNKNOWN, self.width, places + self._starts)
        found = torch.zeros(len(rows), self.width + 1)  # the last one for what is unknown
        found.scatter_(1, places, 1.0)
        found[:, 0 : 2 * len(self.numbers) : 2] = torch.nan_to_num(rows)
        found[:, 1 : 2 * len(self.numbers) : 2] = rows.isnan().float()
        return found[:, : self.width].contiguous()

    def made_up(self) -> torch.Tensor:
        """Return a few rows that nobody has: every number from low to high, every key in turn."""
        numbers = np.linspace(-0.9, 0.8, MADE_UP, dtype=np.float32)[:, None] * np.ones(len(self.numbers), np.float32)
        turn = np.arange(MADE_UP)
        codes = [(turn + place) % len(one.keys) for place, one in enumerate(self.choices)]
        return self.expanded(numbers, np.array(codes, np.int32).reshape(len(codes), MADE_UP).T)


def target_of(domain: Domain, name: object, kind: type[Feature]) -> Feature:
    """Return how the target is read.

    Raises:
        InvalidInput: it is not declared, or not as such a target needs.
    """
    if not isinstance(name, str) or name not in domain:
        raise InvalidInput(
            f"the target {name!r} is not a declared column.",
            remedy=f"Declare it in the Domain. Declared: {', '.join(domain) or 'none'}.",
        )
    found = feature_of(name, domain[name])
    if isinstance(found, kind) and not (isinstance(found, Choice) and len(found.keys) < 2):
        return found
    if kind is Choice:
        raise InvalidInput(
            f"the classes are the declared keys of the target, and {name!r} has fewer than two.",
            remedy=f'Declare them: Domain({name}=["no", "yes"], …). For a number take PrivateRegressor.',
        )
    raise InvalidInput(
        f"a number is predicted within its declared bounds, and {name!r} has none.",
        remedy=f"Declare them: Domain({name}=(0, 100), …). For keys take PrivateClassifier.",
    )


def _plain(bound: float | datetime.date) -> float:
    return float(bound.toordinal() - EPOCH) if isinstance(bound, datetime.date) else float(bound)


EPOCH = datetime.date(1970, 1, 1).toordinal()


def readable(value: object, kind: Type) -> Key:
    """Return a value as the type that its column is declared with; None if it cannot be read so."""
    try:
        found: Key = _READ[kind](value)
        return found
    except Exception:  # noqa: BLE001 - whatever it is, no cell makes the reading fail
        return None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        return str(_of_utc(value))
    return None if value is None else str(value)


def _integer(value: Any) -> int | None:
    whole = int(value)
    return whole if isinstance(value, str) or whole == value else None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}.get(value.strip().lower())
    return {0: False, 1: True}.get(value)


def _date(value: Any) -> datetime.date | None:
    if isinstance(value, datetime.datetime):
        return _of_utc(value).date()
    return value if isinstance(value, datetime.date) else datetime.date.fromisoformat(value)


def _of_utc(value: datetime.datetime) -> datetime.datetime:
    """Return an instant as it is told in UTC, so that its day depends on no zone it came in; other times as they are."""
    return value if value.tzinfo is None else value.astimezone(datetime.UTC)


_READ: Mapping[Type, Any] = {"text": _text, "integer": _integer, "boolean": _boolean, "date": _date}
