"""Scores from the labels of an output: how much more often one dataset gives a value, or that the other never does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from discreet.audit.tester.features import Label
from discreet.audit.tester.outputs import Floats, Table
from discreet.audit.tester.scorers import SHOWN, some


@dataclass(frozen=True, slots=True, eq=False)
class Odds:
    """Log-likelihood ratios of a label's values; `only` those that one dataset never gave, or of all."""

    label: Label
    values: Any
    ratios: Floats
    told: Callable[[Any], list[str]]
    exclusive: bool

    def score(self, table: Table) -> Floats:
        """Return the value's ratio, 0 for one never met."""
        if not self.values.size:
            return np.zeros(table.size)
        words = self.label.of(table)
        place = np.searchsorted(self.values, words).clip(max=self.values.size - 1)
        found: Floats = np.where(self.values[place] == words, self.ratios[place], 0.0)
        return found

    def words(self, threshold: float, *, above: bool) -> str:
        """Return the values, a few by name."""
        inside = self.ratios >= threshold if above else self.ratios <= threshold
        named = some(self.told(inside), "values", int(np.count_nonzero(inside)))
        beyond = (threshold <= 0) if above else (threshold >= 0)
        if self.exclusive:
            named += " that only one of the two datasets gave in training"
        return f"{self.label.name} is {named}{', or one never met in training' if beyond else ''}"


def odds(label: Label, first: Table, second: Table) -> Odds:
    """Fit the ratio of every value."""
    values, x, y = _counted(label, first, second)
    ratios = np.log((x + 0.5) / (y + 0.5)) - np.log(first.size / second.size)
    return Odds(label, values, ratios, _teller(label, values, first, second), exclusive=False)


def only(label: Label, first: Table, second: Table) -> Odds:
    """Fit which values one dataset gave and the other never: 1 for those of the first, -1 for those of the second."""
    values, x, y = _counted(label, first, second)
    return Odds(
        label,
        values,
        np.where(y == 0, 1.0, np.where(x == 0, -1.0, 0.0)),
        _teller(label, values, first, second),
        exclusive=True,
    )


def _counted(label: Label, first: Table, second: Table) -> tuple[Any, Floats, Floats]:
    x, y = label.of(first), label.of(second)
    values = np.unique(np.concatenate([x, y]))
    counts = [np.bincount(np.searchsorted(values, one), minlength=values.size).astype(np.float64) for one in (x, y)]
    return values, counts[0], counts[1]


def _teller(label: Label, values: Any, first: Table, second: Table) -> Callable[[Any], list[str]]:
    """Return a function that names the first few of some values."""

    def told(inside: Any) -> list[str]:
        names = []
        for value in values[inside][:SHOWN]:
            for table in (first, second):
                rows = np.flatnonzero(label.of(table) == value)
                if rows.size:
                    names.append(label.shown(table, int(rows[0])))
                    break
        return names

    return told
