"""Events as plain JSON data, and back: `{"v": 1, "kind": ..., ...}`, with one spelling for each event."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from fractions import Fraction
from typing import Any

from discreet.errors import InvalidInput
from discreet.events.checks import Relation, refused, shown
from discreet.events.kinds import DEEPEST, KINDS, Event, is_event

VERSION = 1
DIGITS = 3700  # of a fraction whose two parts have 6000 bits; Python refuses to read integers of over 4300


def to_dict(event: Event) -> dict[str, Any]:
    """Return `event` as plain data with its version."""
    if not is_event(event):
        raise refused(f"this is not an event: {type(event).__name__}.")
    return {"v": VERSION, **_plain(event)}


def _plain(value: Any) -> Any:
    if is_event(value):
        return {"kind": value.kind, **{f.name: _plain(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Relation):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def to_json(event: Event) -> str:
    """Return the canonical JSON of `event`: sorted keys, no spaces, exact numbers."""
    return json.dumps(to_dict(event), sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> Event:
    """Read an event written by `to_json`, of this version or any before it.

    Raises:
        InvalidInput: the text is no event, or of a later version.
    """
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        data = None
    return from_dict(data)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def from_dict(data: object) -> Event:
    """Read an event from plain data; see `from_json`."""
    if not isinstance(data, dict) or "v" not in data:
        raise refused("this is not an event: an object with 'v' and 'kind' is needed.")
    if type(data["v"]) is not int or data["v"] != VERSION:
        raise InvalidInput(
            f"this event is of version {shown(data['v'])}; this discreet reads version {VERSION}.",
            remedy="Read it with the version of discreet that wrote it, or a later one.",
        )
    return _read({key: value for key, value in data.items() if key != "v"}, DEEPEST)


def _read(data: object, deeper: int) -> Event:
    """Read an event that holds others at most `deeper` deep."""
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise refused("an event must be an object with its kind.")
    if deeper < 0:
        raise refused(f"an event holds others at most {DEEPEST} deep.")
    kind = KINDS.get(data["kind"])
    if kind is None:
        raise refused(f"unknown kind of event: {shown(data['kind'])}.")
    known = {f.name: f for f in fields(kind)}
    given = {name: value for name, value in data.items() if name != "kind"}
    if set(given) != set(known):
        raise refused(f"the fields of {kind.kind!r} are {sorted(known)}, got {sorted(given)}.")
    return kind(**{name: _value(str(known[name].type), value, deeper) for name, value in given.items()})


def _value(declared: str, value: Any, deeper: int) -> Any:
    """Read one field; `declared` is the annotation as written above. The event checks what is read."""
    if declared == "Event":
        return _read(value, deeper - 1)
    if declared.startswith("tuple"):
        if not isinstance(value, list):
            raise refused(f"a list is needed, got {shown(value)}.")
        return tuple(_read(item, deeper - 1) for item in value) if declared == "tuple[Event, ...]" else tuple(value)
    if declared == "Fraction":
        return _fraction(value)
    if declared == "Relation":
        try:
            return Relation(value)
        except ValueError:
            raise refused(f"unknown relation: {shown(value)}.") from None
    return value


def _fraction(text: Any) -> Fraction:
    """Read "3/4"; never Fraction(text), which "1e999999999" would keep busy."""
    if isinstance(text, str) and len(text) <= DIGITS and re.fullmatch("(0|[1-9][0-9]*)/[1-9][0-9]*", text, re.ASCII):
        numerator, denominator = map(int, text.split("/"))
        value = Fraction(numerator, denominator)
        if value.denominator == denominator:  # as it is written: in lowest terms
            return value
    raise refused(f'a fraction in lowest terms like "3/4" is needed, got {shown(text)}.')
