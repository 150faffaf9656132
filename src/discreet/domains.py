"""Domain: the public facts about a table that its owner vouches for.

Bounds and keys come only from here, from public data, or from a charged mechanism. Taking them
from the private rows is an error nobody can make by accident: nothing in this file reads data.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from discreet.errors import InvalidInput

Type = Literal["integer", "float", "text", "boolean", "date"]
Key: TypeAlias = str | int | bool | datetime.date | None
TYPES: tuple[Type, ...] = ("integer", "float", "text", "boolean", "date")

# Largest magnitude, in grid steps, of one clamped value. With at most 2**31 rows a person and
# 2**48 rows a table, sums stay far inside 128-bit integers, so no query can overflow.
MAX_STEPS = 2**40
LARGEST = 1e300  # of a bound
FIRST_YEAR, LAST_YEAR = 1, 9000  # of a bound of dates; periods after it stay within the calendar


@dataclass(frozen=True, slots=True)
class Column:
    """Public facts of one column.

    Args:
        type: integer, float, text, boolean or date. A value that cannot be read as this type
            counts as NULL; so do NaN and the infinities.
        low, high: Numbers are clamped to [low, high] before they are summed. Both or neither. Of dates they
            say which periods there are: rows beyond are in none.
        keys: The groups a GROUP BY on this column answers for, in this order; None among them
            makes NULL a group. Rows with any other value are in no group.
        resolution: Grid step to which values are rounded before they are summed; by default 1
            for integers, and for floats the power of two that cuts [low, high] into 2**16 to 2**17 steps.
    """

    type: Type
    low: float | datetime.date | None = None
    high: float | datetime.date | None = None
    keys: tuple[Key, ...] | None = None
    resolution: Fraction | None = None

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise InvalidInput(f"type must be one of {', '.join(TYPES)}, got {self.type!r}.")
        if (self.low is None) != (self.high is None):
            raise InvalidInput("a column needs both low and high, or neither.")
        if self.low is not None and self.high is not None:
            self._check_bounds(self.low, self.high)
        if self.keys is not None:
            object.__setattr__(self, "keys", tuple(self.keys))
            self._check_keys(self.keys)

    def _check_bounds(self, low: float | datetime.date, high: float | datetime.date) -> None:
        if self.type == "date":
            self._check_dates(low, high)
            return
        if self.type not in ("integer", "float"):
            raise InvalidInput(f"a {self.type} column has no low and high.")
        for name, value in (("low", low), ("high", high)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
                raise InvalidInput(f"{name} must be a finite number, got {shown(value)}.")
            if self.type == "integer" and value != int(value):
                raise InvalidInput(f"{name} of an integer column must be whole, got {value!r}.")
        assert not isinstance(low, datetime.date)
        assert not isinstance(high, datetime.date)
        if low >= high:
            raise InvalidInput(f"low must be below high, got [{low!r}, {high!r}].")
        step = self.resolution
        if step is None:
            step = Fraction(1)
            if self.type == "float":
                step = Fraction(2) ** (math.frexp(float(high) - float(low))[1] - 1 - 16)
            object.__setattr__(self, "resolution", step)
        if not isinstance(step, Fraction):
            step = _fraction(step)
            object.__setattr__(self, "resolution", step)
        if step <= 0:
            raise InvalidInput(f"resolution must be above 0, got {step}.")
        if max(abs(self.steps(low)), abs(self.steps(high))) > MAX_STEPS:
            raise InvalidInput(
                f"[{low!r}, {high!r}] in steps of {step} needs numbers beyond 2**40.",
                remedy="Declare tighter bounds or a coarser resolution.",
            )

    def _check_dates(self, low: object, high: object) -> None:
        for name, value in (("low", low), ("high", high)):
            if type(value) is not datetime.date or not FIRST_YEAR <= value.year <= LAST_YEAR:
                raise InvalidInput(
                    f"{name} of a date column must be a date from {FIRST_YEAR} to {LAST_YEAR}, got {shown(value)}."
                )
        if low > high:  # type: ignore[operator]
            raise InvalidInput(f"low must not be after high, got {low} and {high}.")

    def _check_keys(self, keys: Sequence[Key]) -> None:
        python: dict[str, type] = {"integer": int, "text": str, "boolean": bool, "date": datetime.date}
        kind = python.get(self.type)
        if kind is None:
            raise InvalidInput("a float column cannot be grouped by.", remedy="Declare it as an integer or text.")
        if not keys:
            raise InvalidInput("keys must name at least one group.")
        for key in keys:
            if key is not None and type(key) is not kind:
                raise InvalidInput(f"the keys of a {self.type} column must be {kind.__name__}, got {key!r}.")
            if type(key) is int and not -(2**63) <= key < 2**63:
                raise InvalidInput(
                    f"the key {shown(key)} is beyond the 64-bit whole numbers.", remedy="Declare the column as text."
                )
        if len(set(keys)) != len(keys):
            raise InvalidInput("keys must be distinct.")

    @property
    def bounded(self) -> bool:
        """Whether values of this column can be summed."""
        return self.low is not None and self.type != "date"

    def steps(self, value: float | datetime.date) -> int:
        """Return a number in whole grid steps, rounded half away from zero."""
        assert self.resolution is not None
        assert not isinstance(value, datetime.date)
        exact = Fraction(value) / self.resolution
        return math.floor(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)

    def to_dict(self) -> dict[str, Any]:
        """Return the column as plain data (stable: it is hashed into request ids)."""
        keys = None
        if self.keys is not None:
            keys = [key.isoformat() if isinstance(key, datetime.date) else key for key in self.keys]
        return {
            "type": self.type,
            "low": _plain(self.low),
            "high": _plain(self.high),
            "keys": keys,
            "resolution": None if self.resolution is None else str(self.resolution),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Column:
        """Read a column from plain data, as `to_dict` writes it or a TOML file holds it."""
        known = {"type", "low", "high", "keys", "resolution"}
        if not isinstance(data, Mapping) or set(data) - known or "type" not in data:
            raise InvalidInput(f"a column has a type and may have low, high, keys, resolution; got {data!r}.")
        facts = {name: value for name, value in data.items() if value is not None}
        if "keys" in facts:
            if not isinstance(facts["keys"], list | tuple):
                raise InvalidInput(f"keys must be a list, got {facts['keys']!r}.")
            facts["keys"] = tuple(_key(data["type"], key) for key in facts["keys"])
        for name in ("low", "high"):
            if facts["type"] == "date" and name in facts:
                facts[name] = _key("date", facts[name])
        if "resolution" in facts:
            facts["resolution"] = _fraction(facts["resolution"])
        return cls(**facts)


def _plain(value: float | datetime.date | None) -> float | str | None:
    return value.isoformat() if isinstance(value, datetime.date) else value


def _fraction(step: Any) -> Fraction:
    try:
        return Fraction(str(step))
    except (ValueError, ZeroDivisionError):
        raise InvalidInput(
            f"resolution must be a number, got {shown(step)}.", remedy='For example 0.5, or "1/3".'
        ) from None


def shown(value: Any) -> str:
    """Return a value as a message shows it; Python refuses to print very long integers."""
    if isinstance(value, int) and abs(value) > 10**50:
        return "a whole number of more than 50 digits"
    return repr(value)[:80]


def _key(kind: str, key: Any) -> Key:
    if kind == "date" and isinstance(key, str):
        try:
            return datetime.date.fromisoformat(key)
        except ValueError:
            raise InvalidInput(f"a date key must look like 2024-12-31, got {key!r}.") from None
    return key  # type: ignore[no-any-return]


Declared: TypeAlias = Column | tuple[float, float] | tuple[datetime.date, datetime.date] | list[Any] | str


class Domain(Mapping[str, Column]):
    """The declared columns of a table, by name.

    Each keyword is a column: a `Column`, or in short a pair of bounds (`cost=(0, 500)`: integer if
    both are ints, date if they are dates, else float), a list of keys (`ward=["A", "B"]`), or a bare type (`note="text"`).

    Raises:
        InvalidInput: a declaration contradicts itself.
    """

    def __init__(self, **columns: Declared) -> None:
        self._columns = MappingProxyType({name: _column(name, value) for name, value in columns.items()})
        alike: dict[str, str] = {}
        for name in columns:
            if (other := alike.setdefault(name.lower(), name)) != name:
                raise InvalidInput(
                    f"the columns {other!r} and {name!r} differ in case alone, which SQL does not see.",
                    remedy="Rename one of them in the source, or declare one.",
                )

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __hash__(self) -> int:
        return hash(tuple(self._columns.items()))

    def __repr__(self) -> str:
        return f"Domain({', '.join(f'{name}={column!r}' for name, column in self.items())})"

    def to_dict(self) -> dict[str, Any]:
        """Return the domain as plain data."""
        return {name: column.to_dict() for name, column in self.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Domain:
        """Read a domain from plain data."""
        columns: dict[str, Declared] = {}
        for name, facts in data.items():
            try:
                columns[name] = Column.from_dict(facts)
            except InvalidInput as error:
                raise _named(name, error) from None
        return cls(**columns)


def _column(name: str, value: Declared) -> Column:
    try:
        if isinstance(value, Column):
            return value
        if isinstance(value, str):
            return Column(value)  # type: ignore[arg-type]
        if isinstance(value, tuple) and len(value) == 2:
            low, high = value
            if isinstance(low, datetime.date):
                return Column("date", low=low, high=high)
            whole = type(low) is int and type(high) is int
            return Column("integer" if whole else "float", low=low, high=high)
        if isinstance(value, list) and value:
            return Column(_type_of(value), keys=tuple(value))
    except InvalidInput as error:
        raise _named(name, error) from None
    raise InvalidInput(f"column {name!r}: give a Column, (low, high), a list of keys or a type, got {value!r}.")


def _type_of(keys: list[Any]) -> Type:
    names: dict[type, Type] = {str: "text", int: "integer", bool: "boolean", datetime.date: "date"}
    kinds = {type(key) for key in keys if key is not None}
    if len(kinds) != 1 or not kinds <= set(names):
        raise InvalidInput("keys must be all text, all integers, all booleans or all dates.")
    return names[kinds.pop()]


def _named(name: str, error: InvalidInput) -> InvalidInput:
    return InvalidInput(f"column {name!r}: {error.what}", state=error.state, remedy=error.remedy)
