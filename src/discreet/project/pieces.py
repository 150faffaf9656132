"""The pieces of a TOML file: sections, known keys, typed values. What is wrong names its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from discreet.errors import InvalidInput, UnsupportedQuery

MISSING = object()


@contextmanager
def at(place: str) -> Iterator[None]:
    """Prefix an error with the place in the file."""
    try:
        yield
    except (InvalidInput, UnsupportedQuery) as error:
        remedy = error.remedy or "Correct it there; every key is explained in the reference of discreet.toml."
        located = type(error)(f"{place}: {error.what}", state=error.state, remedy=remedy)
    else:
        return
    raise located


def keys(facts: Mapping[str, Any], known: set[str]) -> None:
    """Refuse keys that mean nothing."""
    for key in facts:
        if key not in known:
            raise InvalidInput(f"unknown key {key!r}.{near(key, known)}", remedy=f"Known: {', '.join(sorted(known))}.")


def near(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean …?" if one of the known words is close to `word`, else nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def mapping(facts: Any) -> None:
    """Refuse what is no section."""
    if not isinstance(facts, dict):
        raise InvalidInput("a section with keys is needed here.")


def section(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a section; one that is left out is empty."""
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise InvalidInput(f"[{key}] must be a section.")
    return value


def get(facts: Mapping[str, Any], key: str, kind: type, default: Any = MISSING) -> Any:
    """Return the value of a key, which must be of this type; without a default it must be there."""
    if key not in facts:
        if default is MISSING:
            raise InvalidInput(f"{key} is missing.", remedy=f"Add {key} = …")
        return default
    value = facts[key]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        names = {str: "a text", float: "a number", int: "a whole number", bool: "true or false", list: "a list"}
        raise InvalidInput(f"{key} must be {names[kind]}, got {value!r}.")
    return value


def whole(facts: Mapping[str, Any], key: str, default: int) -> int:
    """Return the value of a key that counts: a whole number of at least 1."""
    value = int(get(facts, key, int, default))
    if value < 1:
        raise InvalidInput(f"{key} must be a whole number of at least 1, got {value!r}.")
    return value


def numbers(facts: Mapping[str, Any], key: str) -> dict[str, float] | None:
    """Return a table of numbers by output column; None where it is left out."""
    value = facts.get(key)
    if value is None:
        return None
    if not isinstance(value, dict) or not all(type(item) in (int, float) for item in value.values()):
        raise InvalidInput(f"{key} must map output columns to numbers, got {value!r}.")
    return {name: float(item) for name, item in value.items()}
