"""How released numbers are shown, wherever that is: to the digits that noise leaves, and how far off they may be."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discreet.release.release import Release

NOTHING = "–"
PARTS = ("se", "low", "high", "raw")  # of a column `c`: `c_se`, and so on
TOTAL = "_total"  # after a key's name: a column that says which rows are totals over it


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a released table are.

    Args:
        keys: Those that name a row.
        measured: Those that were answered; how far off each may be stands beside it.
    """

    keys: tuple[str, ...]
    measured: tuple[str, ...]

    @classmethod
    def of(cls, release: Release) -> Columns:
        """Return the columns of a release; where nothing says how accurate one is, all are keys."""
        names = [str(name) for name in release.value.column_names]
        measured = tuple(name for name in names if name in release.accuracy)
        beside = {f"{name}_{part}" for name in measured for part in PARTS}.union(measured)
        keys = [name for name in names if name not in beside]
        if "GROUPING SETS" in str(release.facts.get("sql")):
            keys = [name for name in keys if name.removesuffix(TOTAL) not in keys or not name.endswith(TOTAL)]
        return cls(tuple(keys), measured)

    def row(self, held: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys of a row as texts; a total has none."""
        return tuple("(all)" if held.get(key + TOTAL) is True else label(held[key]) for key in self.keys)


def label(key: Any) -> str:
    """Return a key as text."""
    return "NULL" if key is None else clean(key)


def instead(accuracy: Any) -> str:
    """Return how far off a number may be that has no interval: by how many rows its rank, if that is known."""
    rank = accuracy.get("rank_error") if isinstance(accuracy, Mapping) else None
    if not isinstance(rank, int | float) or not math.isfinite(rank):
        return ""
    rows = math.ceil(rank)  # up: it is a bound
    return f"rank ± {rows:,} {'row' if rows == 1 else 'rows'}"


def number(value: float | None, digits: int = 4) -> str:
    """Show a number to so many digits, large ones in whole and grouped, or a dash where it is not known."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if 10**digits <= abs(value) < 10**15 else f"{value:.{digits}g}"


def rounded(value: Any, error: float | None) -> str:
    """Show a released value: a number to the digits that its standard error leaves it, two of the error's."""
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return clean(value)
    if error is None or not math.isfinite(error) or error <= 0:
        return number(float(value), 6)
    return f"{value:,.{max(0, 1 - math.floor(math.log10(error)))}f}"


def clean(text: Any) -> str:
    """Return text that is safe to lay out: no control characters, no direction overrides."""
    kept = (
        c if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Cn"} or c in "\n\t" else "�" for c in str(text)
    )
    return "".join(kept)
