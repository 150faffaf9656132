"""Scores from the numbers of an output: tails, cells of one number, cells of the plane of two."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from discreet.audit.tester.features import Number
from discreet.audit.tester.outputs import Floats, Table
from discreet.audit.tester.scorers import some

_CELLS = 64  # of a histogram of one number
_ATOM = 0.005  # a value with this share of the outputs gets a cell of its own
_DEPTH = 7  # halvings of the plane of two numbers


@dataclass(frozen=True, slots=True)
class Value:
    """A number itself: events are its two tails."""

    number: Number

    def score(self, table: Table) -> Floats:
        """Return the number."""
        return self.number.of(table)

    def words(self, threshold: float, *, above: bool) -> str:
        """Return the tail."""
        return f"{self.number.name} is at {'least' if above else 'most'} {threshold!r}"


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """The log-likelihood ratio of cells of one number."""

    number: Number
    ends: Floats
    ratios: Floats

    def score(self, table: Table) -> Floats:
        """Return the ratio of the cell that each output falls into."""
        found: Floats = self.ratios[_cells(self.number.of(table), self.ends)]
        return found

    def words(self, threshold: float, *, above: bool) -> str:
        """Return the cells as intervals."""
        inside = self.ratios >= threshold if above else self.ratios <= threshold
        ends = [-np.inf, *self.ends, np.inf]
        spans: list[list[float]] = []
        for i, (low, high) in enumerate(pairwise(ends)):
            if inside[i]:
                if spans and spans[-1][1] == low:
                    spans[-1][1] = high
                else:
                    spans.append([low, high])
        told = [f"in ({low:.6g}, {high:.6g}]" for low, high in spans]
        if inside[-1]:
            told.append("none")
        return f"{self.number.name} is {some(told, 'intervals')}"


def histogram(number: Number, first: Table, second: Table) -> Histogram:
    """Fit cells with equal shares of all training outputs; frequent values get cells of their own."""
    x, y = number.of(first), number.of(second)
    known = np.sort(np.concatenate([x[~np.isnan(x)], y[~np.isnan(y)]]))
    ends = np.empty(0)
    if known.size:
        places = np.linspace(0, known.size - 1, _CELLS + 1).astype(np.int64)[1:-1]
        values, counts = np.unique(known, return_counts=True)
        atoms = values[counts >= max(2, _ATOM * known.size)]
        ends = np.unique(np.concatenate([known[places], atoms, np.nextafter(atoms, -np.inf)]))
        ends = ends[np.isfinite(ends) | np.isin(ends, atoms)]
    size = ends.size + 2
    return Histogram(number, ends, _ratios(_cells(x, ends), _cells(y, ends), size))


def _cells(values: Floats, ends: Floats) -> Any:
    """Return in which of the cells (…, e1], (e1, e2], … each value lies; NaN in one after the last."""
    return np.where(np.isnan(values), ends.size + 1, np.searchsorted(ends, values, side="left"))


def _ratios(x: Any, y: Any, size: int) -> Floats:
    """Return the smoothed log-ratios of the shares of two samples in each cell."""
    counts = np.bincount(x, minlength=size) + 0.5, np.bincount(y, minlength=size) + 0.5
    found: Floats = np.log(counts[0] / counts[1]) - np.log(max(1, len(x)) / max(1, len(y)))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Log-likelihood ratios of cells of two numbers, made by halving at medians, the axes in turn."""

    cuts: Floats
    ratios: Floats

    def score(self, table: Table) -> Floats:
        """Return the ratio of the cell that each output falls into."""
        found: Floats = self.ratios[_place(table, self.cuts)]
        return found

    def words(self, threshold: float, *, above: bool) -> str:
        """Return how many cells there are."""
        inside = self.ratios >= threshold if above else self.ratios <= threshold
        return f"the two parts lie in {np.count_nonzero(inside)} of {self.ratios.size} cells of the plane"


def plane(first: Table, second: Table) -> Plane:
    """Fit 2^7 cells with equal shares of all training outputs."""
    points = np.concatenate([first.wide(2), second.wide(2)])
    points = np.nan_to_num(points, nan=0.0)
    cuts = np.zeros(2**_DEPTH - 1)
    place = np.zeros(len(points), dtype=np.int64)
    for level in range(_DEPTH):
        for node in range(2**level - 1, 2 ** (level + 1) - 1):
            inside = points[place == node, level % 2]
            cuts[node] = np.median(inside) if inside.size else 0.0
        place = 2 * place + 1 + (points[:, level % 2] > cuts[place])
    place -= 2**_DEPTH - 1
    return Plane(cuts, _ratios(place[: first.size], place[first.size :], 2**_DEPTH))


def _place(table: Table, cuts: Floats) -> Any:
    points = np.nan_to_num(table.wide(2), nan=0.0)
    place = np.zeros(table.size, dtype=np.int64)
    for level in range(_DEPTH):
        place = 2 * place + 1 + (points[:, level % 2] > cuts[place])
    return place - (2**_DEPTH - 1)
