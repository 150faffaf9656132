"""The released table as facts: each cell with its error, its place in the file, and how to show it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from discreet.release import VALUE, Release
from discreet.release.shown import TOTAL, Columns, clean, instead

# Where a vertical puts the error of column `n`: the first of these that it wrote, in the value
# table as `n_<suffix>`, or in accuracy["n"] under one of the names, one number or a list.
STANDARD_ERROR = ("std_error", "standard_error", "stderr", "se", "std")
LOW = ("low", "ci_low", "lower")
HIGH = ("high", "ci_high", "upper")
LEVEL = ("level", "confidence")
UNSAID: Mapping[str, Any] = {"interval": None, "not_covered": None}  # how the interval is made, what it leaves out


def table(release: Release, *, from_zero: Sequence[str] = ()) -> dict[str, Any]:
    """Return keys, value columns and rows of a release as plain data.

    Every value keeps the row and the column of `value.parquet` that it stands in. Pictures of the
    columns `from_zero` begin at zero.
    """
    names = [str(name) for name in release.value.column_names]
    held = {name: release.value.column(index).to_pylist() for index, name in enumerate(names)}
    columns = Columns.of(release)
    measured = list(columns.measured)
    errors = {name: _errors(name, release, held) for name in measured}
    spent = {column for found in errors.values() for column in found["columns"]}
    keys = [name for name in columns.keys if name not in spent]
    if not measured:  # a vertical that leaves no accuracy: its numbers stand without error bars, and we say so
        measured = [name for name in names if any(_numeric(value) for value in held[name])]
        errors = {name: {"columns": (), "level": 0.95, "said": dict(UNSAID)} for name in measured}
        keys = [name for name in keys if name not in measured]
    cells = {
        name: _shown([_cell(name, row, held, errors[name]) for row in range(release.value.num_rows)])
        for name in measured
    }
    rows = [
        {
            "row": row,
            "keys": [_key(held[name][row], total=_total(name, held, row)) for name in keys],
            "cells": [cells[name][row] for name in measured],
        }
        for row in range(release.value.num_rows)
    ]
    return {
        "file": f"{place(release)}/{VALUE}",
        "keys": keys,
        "columns": [
            {
                "name": name,
                **errors[name]["said"],
                "level": errors[name]["level"],
                "from_zero": name in from_zero,
                "rank_error": _rank(release.accuracy.get(name)),
                "instead": instead(release.accuracy.get(name)) or "no interval",
            }
            for name in measured
        ],
        "rows": rows,
    }


def place(release: Release) -> str:
    """Return the folder of a release, as the shelf lays it out."""
    return f"releases/{release.name}/{release.entry.get('request', '')}"


def _errors(name: str, release: Release, held: Mapping[str, list[Any]]) -> dict[str, Any]:
    facts = release.accuracy[name]
    facts = facts if isinstance(facts, Mapping) else {}
    found: dict[str, Any] = {"columns": [], "level": 0.95, "said": dict(UNSAID)}
    found["said"] |= {label: facts[label] for label in UNSAID if label in facts}
    for label in LEVEL:
        if isinstance(facts.get(label), float):
            found["level"] = facts[label]
    for part, labels in (("se", STANDARD_ERROR), ("low", LOW), ("high", HIGH)):
        for label in labels:
            column = str(facts[label]) if isinstance(facts.get(label), str) else f"{name}_{label}"
            if column in held:
                found[part] = held[column]
                found["columns"].append(column)
                found[f"{part}_column"] = column
                break
            if label in facts and facts[label] is not None:
                found[part] = facts[label]
                break
    if "half_width" in facts:
        found["half"] = facts["half_width"]
    return found


def _cell(name: str, row: int, held: Mapping[str, list[Any]], errors: Mapping[str, Any]) -> dict[str, Any]:
    """Return one number with its interval; what is missing is None."""
    value = _float(held[name][row])
    se, low, high, half = (_float(_at(errors.get(part), row)) for part in ("se", "low", "high", "half"))
    if value is not None and low is None and high is None and half is None and se is not None:
        half = se * 1.959964  # only a standard error is known: the interval of the normal law
    if value is not None and low is None and high is None and half is not None:
        low, high = value - half, value + half
    return {
        "column": name,
        "row": row,
        "value": value,
        "label": _label(held[name][row]),
        "se": se,
        "low": low,
        "high": high,
        "low_column": errors.get("low_column"),
        "high_column": errors.get("high_column"),
    }


def _shown(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cells of a column with their texts, all to the digits that their middle error leaves."""
    wanted = sorted(_places(cell["value"], cell["low"], cell["high"]) for cell in cells if cell["value"] is not None)
    places = wanted[len(wanted) // 2] if wanted else 0
    texts = {"text": "value", "low_text": "low", "high_text": "high"}
    shown = [cell | {text: _show(cell[part], places) for text, part in texts.items()} for cell in cells]
    return [cell if cell["label"] is None else cell | {"text": cell["label"]} for cell in shown]


def _at(value: Any, row: int) -> Any:
    if isinstance(value, list | tuple):
        return value[row] if row < len(value) else None
    return value


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _float(value: Any) -> float | None:
    if not _numeric(value) or not math.isfinite(value):
        return None
    return float(value)


def _rank(accuracy: Any) -> float | None:
    return _float(accuracy.get("rank_error")) if isinstance(accuracy, Mapping) else None


def _label(value: Any) -> str | None:
    """Return an answer that is no number, such as a most frequent value, as text."""
    return None if value is None or _numeric(value) else _key(value, total=False)


def _total(name: str, held: Mapping[str, list[Any]], row: int) -> bool:
    """Return whether a row is a total over a key."""
    return name + TOTAL in held and held[name + TOTAL][row] is True


def _key(value: Any, *, total: bool) -> str:
    if value is None:
        return "(all)" if total else "(no value)"
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    return clean(value)


def _places(value: float | None, low: float | None, high: float | None) -> int:
    """Return how many decimals to show: two digits of the half width, none for whole numbers."""
    if value is None:
        return 0
    half = max((abs(end - value) for end in (low, high) if end is not None), default=0.0)
    if half <= 0:
        return 0 if value == int(value) else 4
    if half >= 10 or (half >= 1 and value == int(value)):
        return 0
    return min(8, 1 - math.floor(math.log10(half)))


def _show(value: float | None, places: int) -> str:
    if value is None:
        return "–"
    text = f"{value:,.{places}f}".replace("-", "−")
    return "0" if float(text.replace(",", "").replace("−", "-")) == 0 and places == 0 else text
