"""Objects: cells of a column without a type. Each one is read by its own type alone, whatever the others are.

Never by a method of an unknown type: it might raise, not return, or answer otherwise the next time.
"""

from __future__ import annotations

import datetime
import sys
import uuid
from decimal import Decimal

import numpy as np

from discreet.train.tables.features import EPOCH, Array, readable

PLAIN = (bool, int, float, datetime.date, datetime.datetime, datetime.time, datetime.timedelta)
MOST_DIGITS = (
    400  # before or after the point: no float has more before it, and writing a thousand million takes for ever
)


def plain(cell: object) -> object:
    """Return a cell as a plain Python value; None for what is no single value, or none that is known here."""
    try:
        return _plain(cell, type(cell))
    except Exception:  # noqa: BLE001 - whatever it is, it is a cell that cannot be read
        return None


def people(cells: list[object]) -> Array:
    """Return a number for each identifier, equal where they are the same text; -1 for what is none.

    1, 1.0, and "1" are one person: one column may come to hold all three, and nobody may count twice.
    """
    known: dict[str, int] = {}
    found = np.full(len(cells), -1, np.int64)
    for place, cell in enumerate(cells):
        name = _name(plain(cell))
        if isinstance(name, str):
            found[place] = known.setdefault(name, len(known))
    return found


def _name(value: object) -> object:
    if not isinstance(value, Decimal):
        return readable(value, "text")
    text = f"{value:f}"
    return str(int(value)) if value == int(value) else text.rstrip("0")  # as an equal number of another type


def _plain(cell: object, kind: type) -> object:
    if issubclass(kind, str):
        text = str.__str__(cell)
        text.encode()  # a half of a surrogate pair is no text
        return text
    if issubclass(kind, bytes):
        return bytes.decode(cell)  # type: ignore[arg-type]
    if any(kind is one for one in PLAIN):  # `in` would ask the type whether it is equal
        return cell
    if kind is Decimal:
        return _short(cell)  # type: ignore[arg-type]
    if kind is uuid.UUID:
        return str(cell)
    if issubclass(kind, np.datetime64):
        return _time(cell)  # type: ignore[arg-type]
    if issubclass(kind, np.floating):
        return float(cell)  # type: ignore[arg-type]
    if issubclass(kind, np.integer | np.bool_) and not issubclass(kind, np.timedelta64):
        return cell.item()  # type: ignore[attr-defined]
    pandas = sys.modules.get("pandas")  # which is there if a cell of its types is
    return cell if pandas is not None and (kind is pandas.Timestamp or kind is pandas.Timedelta) else None


def _short(value: Decimal) -> Decimal | None:
    return value if value.is_finite() and abs(value.adjusted()) <= MOST_DIGITS else None


def _time(value: np.datetime64) -> object:
    """Return the time of day and date; None for what is not in the calendar, which NumPy would fold into it."""
    days = int(value.astype("datetime64[D]").astype(np.int64)) + EPOCH
    return value.astype("datetime64[us]").item() if 0 < days <= datetime.date.max.toordinal() else None
