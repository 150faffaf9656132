"""One of very many integers, drawn with a chance that falls with its distance from a rank: exactly.

Candidates are integers, called cells. They lie in runs: the cells of one run share its weight evenly, so
a run is the gap between two values of a histogram (no weight), or one value (one cell, or many among which
its weight is spread). The work goes with the number of runs, never with the number of cells.

A draw inverts one uniform number over the runs, by floating point unless it falls near a border: then by
exact arithmetic. In the run a uniform cell follows, and, where cells of one run differ, a coin that accepts
it with exactly the probability that is missing. The proof is in docs/proofs/quantiles.md.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from discreet.mechanisms.coins import uniform_integers
from discreet.mechanisms.exact import below, exp_bounds
from discreet.mechanisms.rng import Rng

TOLERANCE = 2.0**-40  # how near to a border is too near to call, but for what grows; only tests widen it
_CUTS = 48  # runs are cut this many times on either side of the target, where the chance has fallen e-fold


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Weights along a line of cells.

    Attributes:
        edges: Where runs begin, and where the last one ends; run k holds the cells edges[k] … edges[k+1] - 1.
        ranks: The weight before each edge. A run's weight is a multiple of its number of cells.
        cells: How many cells one place has. Edges lie between places, but for the two ends of a part and for cuts.
    """

    edges: NDArray[np.int64]
    ranks: NDArray[Any]
    cells: int

    @classmethod
    def of(cls, places: NDArray[np.int64], weights: NDArray[Any], size: int, cells: int) -> Runs:
        """Return the line of `size` places, `cells` cells each, with weights·cells at increasing places."""
        edges = np.empty(2 * places.size + 2, dtype=np.int64)
        edges[0], edges[1:-1:2], edges[2:-1:2], edges[-1] = 0, places, places + 1, size
        ranks = np.zeros(edges.size, dtype=weights.dtype)
        ranks[2::2] = ranks[3::2] = (weights * cells).cumsum()
        return cls(edges * cells, ranks, cells)

    @property
    def first(self) -> int:
        """The first cell."""
        return int(self.edges[0])

    @property
    def end(self) -> int:
        """The cell after the last."""
        return int(self.edges[-1])

    @property
    def total(self) -> int:
        """The weight of all cells."""
        return int(self.ranks[-1]) - int(self.ranks[0])

    def part(self, first: int, end: int) -> Runs:
        """Return the cells first … end - 1, with what weight they have."""
        inner = slice(self.edges.searchsorted(first, side="right"), self.edges.searchsorted(end, side="left"))
        outer = np.array([self._rank(first), self._rank(end)], dtype=self.ranks.dtype)
        return Runs(
            np.concatenate([[first], self.edges[inner], [end]]),
            np.concatenate([outer[:1], self.ranks[inner], outer[1:]]),
            self.cells,
        )

    def places(self) -> Runs:
        """Return the line with one cell for each place of which there are any cells."""
        edges = self.edges // self.cells
        edges[-1] = -(-self.end // self.cells)
        return Runs(edges, self.ranks, 1)

    def cut(self, ranks: Sequence[int]) -> Runs:
        """Return the same weights with further edges, before and after the cells that hold the given ranks."""
        asked = np.array(ranks, dtype=self.ranks.dtype)
        run = self.ranks.searchsorted(asked, side="right") - 1
        share = (self.ranks[run + 1] - self.ranks[run]) // (self.edges[run + 1] - self.edges[run])
        steps = (asked - self.ranks[run]) // share
        cells = (self.edges[run] + steps).astype(np.int64)
        before = self.ranks[run] + steps * share
        cells, kept = np.unique(np.concatenate([cells, cells + 1]), return_index=True)
        where = self.edges.searchsorted(cells)
        new = self.edges[where] != cells
        at = np.concatenate([before, before + share])[kept]
        edges, all_ranks = np.insert(self.edges, where[new], cells[new]), np.insert(self.ranks, where[new], at[new])
        return Runs(edges, all_ranks, self.cells)

    def _rank(self, cell: int) -> int:
        """Return the weight before a cell."""
        if cell == self.end:
            return int(self.ranks[-1])
        run = int(self.edges.searchsorted(cell, side="right")) - 1
        start, end = int(self.edges[run]), int(self.edges[run + 1])
        lower, upper = int(self.ranks[run]), int(self.ranks[run + 1])
        return lower + (cell - start) * ((upper - lower) // (end - start))


@dataclass(frozen=True, slots=True)
class RankSoftmax:
    """P(cell) ∝ exp(-rate·distance), the distance of the ranks that a cell takes up from the target.

    A cell with weight `lower` before it, and `upper` before the next one, takes up lower … upper.

    Args:
        target: A rank, from that of the first cell to that of the end.
        rate: What one unit of distance costs.
        short: By how much the distance counts of cells below the target; above it, it counts once.
    """

    target: Fraction
    rate: Fraction
    short: int = 1

    def distance(self, lower: int, upper: int) -> Fraction:
        """Return how far the ranks lower … upper are from the target, exactly."""
        if lower > self.target:
            return lower - self.target
        return max(self.short * (self.target - upper), Fraction(0))

    def draw(self, runs: Runs, rng: Rng, *, tolerance: float = TOLERANCE) -> int:
        """Return a cell."""
        runs = self.refined(runs)
        sums = self.weights(runs).cumsum()
        while True:
            run = self._run(runs, sums, tolerance, rng)
            start, length = int(runs.edges[run]), int(runs.edges[run + 1] - runs.edges[run])
            cell = int(uniform_integers(1, length, rng)[0])
            lower, upper = int(runs.ranks[run]), int(runs.ranks[run + 1])
            if length == 1 or lower == upper:
                return start + cell
            at, share = lower + cell * ((upper - lower) // length), (upper - lower) // length
            excess = self.rate * (self.distance(at, at + share) - self.distance(lower, upper))
            if below(rng.word(), 64, partial(exp_bounds, excess), rng):
                return start + cell

    def refined(self, runs: Runs) -> Runs:
        """Return runs so short that near the target the chances in one differ by a factor of e or so."""
        if runs.cells == 1 or not runs.total:
            return runs  # in no run do cells differ
        first, last = int(runs.ranks[0]), int(runs.ranks[-1]) - 1
        middle, step = min(int(self.target), last), max(1, int(1 / self.rate))
        steps = range(max(-_CUTS, -((middle - first) // step)), min(_CUTS, (last - middle) // step) + 1)
        return runs.cut([middle + k * step for k in steps])

    def weights(self, runs: Runs) -> NDArray[np.float64]:
        """Return for each run its number of cells times the largest of exp(-rate·distance) in it."""
        whole, rest = int(self.target), float(self.target % 1)
        over = (runs.ranks[:-1] - whole).astype(np.float64) - rest
        under = (whole - runs.ranks[1:]).astype(np.float64) + rest
        distance = np.maximum(np.maximum(over, self.short * under), 0.0)
        weights: NDArray[np.float64] = np.diff(runs.edges) * np.exp(distance * -float(self.rate))
        return weights

    def _run(self, runs: Runs, sums: NDArray[np.float64], tolerance: float, rng: Rng) -> int:
        """Return a run, with a chance in proportion to its weight."""
        word, total = rng.word(), float(sums[-1])
        point = word * 2.0**-64 * total
        run = int(sums.searchsorted(point, side="right"))
        slack = total * (tolerance + (sums.size + float(self.rate)) * 2.0**-50)
        if run < sums.size and sums[run] - point > slack and (run == 0 or point - sums[run - 1] > slack):
            return run
        return self._exact_run(runs, word, rng)

    def _exact_run(self, runs: Runs, prefix: int, rng: Rng) -> int:
        """Invert U over the runs, where U's first 64 bits are `prefix`."""
        lengths = np.diff(runs.edges).tolist()
        ranks = runs.ranks.tolist()
        exponents = [self.rate * self.distance(a, b) for a, b in itertools.pairwise(ranks)]
        length = 64
        while True:
            bits = length + 16 + (runs.end - runs.first).bit_length()
            lower, upper = [0], [0]
            for cells, exponent in zip(lengths, exponents, strict=True):
                low, high = exp_bounds(exponent, bits)
                lower.append(lower[-1] + cells * low)
                upper.append(upper[-1] + cells * high)
            least, most = lower[-1], upper[-1]
            place = bisect_left(lower, -(-(prefix + 1) * most >> length))
            # lower[place] >= (prefix + 1)·most/2^length says that U is below the end of run place - 1
            if place < len(lower) and upper[place - 1] << length <= prefix * least:
                return place - 1
            prefix, length = prefix << 64 | rng.word(), length + 64
