"""Exact sampling of P(x) ∝ exp(-coefficient·|x|^power) on the integers, a vector at a time.

The integers are cut into strata of 2^b consecutive numbers: stratum h >= 0 holds h·2^b + l, stratum
h < 0 holds ~(~h·2^b + l), for l = 0 … 2^b - 1 (~ is -1 - x). A draw inverts one uniform number U
over the strata, picks l uniformly, and accepts with the exact probability p(x)/p(first of stratum),
which is near 1. Small scales have b = 0: one number to a stratum, no rejection.

U and the acceptance variable V are revealed lazily. Sixteen bits and a table of 2^16 cells decide
nearly every draw; else 64 bits and a comparison in floating point whose error is far below
`TOLERANCE`; else, within `TOLERANCE` of a boundary, exact arithmetic (`exact.py`). So the value is
the same function of the infinite bits of U and V that exact real arithmetic would give.
The proof is in docs/proofs/discrete_laplace.md and docs/proofs/discrete_gaussian.md.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from discreet.mechanisms.exact import below, exp_bounds
from discreet.mechanisms.rng import Rng

CELL_BITS = 16
TOLERANCE = 2.0**-40  # the tables' errors are below 2**-43
_CUTOFF = 36  # strata with exp(-exponent) < exp(-36) are left to exact arithmetic
_FIXED = 50  # bits of the fixed point in which the tables are summed
_UNDECIDED = np.int16(-(2**15))
_CHUNK = 2**15  # values drawn at once: temporaries stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Law:
    """P(x) ∝ exp(-coefficient·|x|^power), power 1 or 2."""

    power: int
    coefficient: Fraction

    def exponent(self, x: int) -> Fraction:
        """Return coefficient·|x|^power, exactly."""
        return Fraction(self.coefficient.numerator * abs(x) ** self.power, self.coefficient.denominator)

    @property
    def stratum_bits(self) -> int:
        """How wide strata are: 32 to 64 of them (power 1), 64 to 128 (power 2) to one scale."""
        scale = 1 / float(self.coefficient) if self.power == 1 else 1 / math.sqrt(2 * float(self.coefficient))
        return max(0, math.frexp(scale)[1] - (6 if self.power == 1 else 7))


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What one law needs for fast draws; arrays are never written to.

    Attributes:
        ends: Cumulative probabilities of the strata 0, -1, 1, -2, 2, … as floats.
        head: For each value of U's first bits the stratum, or `_UNDECIDED`.
        limit: For each value of U's first bits: V's first bits below it accept. Empty if bits = 0.
    """

    law: Law
    bits: int
    cell_bits: int
    tolerance: float
    ends: NDArray[np.float64]
    head: NDArray[np.int16]
    limit: NDArray[np.uint16]

    def draw(self, size: int, rng: Rng) -> NDArray[np.int64]:
        """Return `size` independent exact samples."""
        out = np.empty(size, dtype=np.int64)
        done = 0
        while done < size:
            missing = size - done
            values = self._attempt(min(_CHUNK, missing + (missing >> 5) + 4 if self.bits else missing), rng)
            values = values[:missing]
            out[done : done + len(values)] = values
            done += len(values)
        return out

    def _attempt(self, n: int, rng: Rng) -> NDArray[np.int64]:
        """Make `n` attempts; return the accepted ones."""
        if not self.bits:
            first = self._cells(rng.bytes(2 * n))
            values = self.head.take(first).astype(np.int64)
            undecided = np.flatnonzero(values == _UNDECIDED)
            if undecided.size:
                values[undecided] = _unfold(self._strata(first[undecided], rng))
            return values
        wide = 2 if self.bits <= 16 else 4 if self.bits <= 32 else 8
        raw = rng.bytes((4 + wide) * n)
        rest = np.frombuffer(raw, f"<u{wide}", n) & ((1 << self.bits) - 1)
        first = self._cells(raw[wide * n : (wide + 2) * n])
        accept = self._cells(raw[(wide + 2) * n :])
        head = self.head.take(first)
        sign = head >> 15
        values = (head ^ sign).astype(np.int64)
        values <<= self.bits
        values |= rest.astype(np.int64)
        values ^= sign
        open_ = np.flatnonzero(accept >= self.limit.take(first))
        if not open_.size:
            return values
        strata = self._strata(first[open_], rng)
        rest_open = rest[open_].astype(np.int64)
        values[open_] = _fold(strata, rest_open, self.bits)
        keep = np.ones(n, dtype=np.bool_)
        keep[open_] = self._accept(strata, rest_open, accept[open_], rng)
        return values[keep]

    def _cells(self, raw: bytes) -> NDArray[np.uint16]:
        first: NDArray[np.uint16] = np.frombuffer(raw, "<u2")
        return first if self.cell_bits == CELL_BITS else first >> np.uint16(CELL_BITS - self.cell_bits)

    def _more(self, first: NDArray[np.uint16], rng: Rng) -> NDArray[np.uint64]:
        """Return 64-bit words that begin with the bits `first`."""
        top = first.astype(np.uint64) << np.uint64(64 - self.cell_bits)
        return top | rng.words(first.size) >> np.uint64(self.cell_bits)

    def _strata(self, first: NDArray[np.uint16], rng: Rng) -> NDArray[np.int64]:
        """Return the stratum's place in the order 0, -1, 1, -2, … for more bits of U."""
        words = self._more(first, rng)
        uniform = words * 2.0**-64
        place = self.ends.searchsorted(uniform, side="right")
        last = self.ends.size - 1
        upper = self.ends.take(place, mode="clip")
        lower = np.where(place > 0, self.ends.take(place - 1, mode="clip"), -1.0)
        close = (place > last) | (upper - uniform <= self.tolerance) | (uniform - lower <= self.tolerance)
        for i in np.flatnonzero(close):
            place[i] = _exact_place(self.law, self.bits, int(words[i]), rng)
        return place

    def _accept(
        self, place: NDArray[np.int64], rest: NDArray[np.int64], first: NDArray[np.uint16], rng: Rng
    ) -> NDArray[np.bool_]:
        """Accept with probability p(x)/p(first of its stratum)."""
        words = self._more(first, rng)
        chance = np.exp(-_excess(self.law, _first(place, self.bits), rest))
        distance = chance - words * 2.0**-64
        accepted: NDArray[np.bool_] = distance > 0
        for i in np.flatnonzero(np.abs(distance) <= self.tolerance):
            start = int(_first(place[i], self.bits))
            exponent = self.law.exponent(start + int(rest[i])) - self.law.exponent(start)
            accepted[i] = below(int(words[i]), 64, partial(exp_bounds, exponent), rng)
        return accepted


def _unfold(place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map places 0, 1, 2, 3, 4, … to strata 0, -1, 1, -2, 2, and so on."""
    return (place >> 1) ^ -(place & 1)


def _fold(place: NDArray[np.int64], rest: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    return ((place >> 1 << bits) | rest) ^ -(place & 1)


def _first(place: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Return the least |x| of each stratum."""
    return (place >> 1 << bits) + (place & 1)


def _excess(law: Law, start: NDArray[np.int64], rest: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return exponent(start + rest) - exponent(start) in floating point."""
    length = rest.astype(np.float64)
    if law.power == 2:
        length *= 2.0 * start + length
    return length * float(law.coefficient)


@lru_cache(maxsize=64)
def table(law: Law, cell_bits: int = CELL_BITS, tolerance: float = TOLERANCE) -> Table:
    """Build the table of `law`. Tests narrow the cells or widen the tolerance; the law stays the same."""
    bits = law.stratum_bits
    coefficient = float(law.coefficient)
    reach = _CUTOFF / coefficient if law.power == 1 else math.sqrt(_CUTOFF / coefficient)
    place = np.arange(2 * (int(reach) >> bits) + 2)
    start = _first(place, bits)
    exponent = coefficient * (start if law.power == 1 else start.astype(np.float64) ** 2)
    # Rounded to integers first, so that the sum itself is exact.
    total = np.rint(np.exp(-exponent) * 2.0**_FIXED).astype(np.int64).cumsum()
    ends = total / float(total[-1])
    cells = 1 << cell_bits
    before = np.clip(np.floor((ends - tolerance) * cells), 0, cells - 1).astype(np.int64)
    after = np.clip(np.floor((ends + tolerance) * cells), 0, cells - 1).astype(np.int64)
    after[-1] = cells - 1  # what lies beyond the table is left to exact arithmetic
    counts = np.diff(after, prepend=-1)
    undecided = np.zeros(cells + 1, dtype=np.int64)
    np.add.at(undecided, before, 1)
    np.add.at(undecided, after + 1, -1)
    hidden = undecided[:-1].cumsum() > 0
    head = np.repeat(_unfold(place).astype(np.int16), counts)
    head[hidden] = _UNDECIDED
    limit = np.empty(0, dtype=np.uint16)
    if bits:
        least = np.exp(-_excess(law, start, np.full_like(start, (1 << bits) - 1)))
        bound = np.clip(np.floor((least - tolerance) * cells), 0, cells - 1).astype(np.uint16)
        limit = np.repeat(bound, counts)
        limit[hidden] = 0
    for array in (ends, head, limit):
        array.setflags(write=False)
    return Table(law, bits, cell_bits, tolerance, ends, head, limit)


@lru_cache(maxsize=8)
def _sums(law: Law, bits: int, precision: int) -> tuple[list[int], list[int], int, int]:
    """Return bounds of the partial sums of the strata's weights, and of the whole sum, in 2**-precision.

    The tail is bounded by a geometric series: the exponent is convex, so each step adds at least
    the last step d, and 1/(1 - exp(-d)) <= 1 + 1/d.
    """
    lower, upper = [0], [0]
    place = 0
    while True:
        start = (place >> 1 << bits) + (place & 1)
        exponent = law.exponent(start)
        low, high = exp_bounds(exponent, precision)
        if not place & 1 and exponent > precision:
            break
        lower.append(lower[-1] + low)
        upper.append(upper[-1] + high)
        place += 1
    step = law.exponent(start) - law.exponent(start - (1 << bits))
    tail = math.ceil(2 * high * (1 + 1 / step))
    return lower, upper, lower[-1], upper[-1] + tail


def _exact_place(law: Law, bits: int, prefix: int, rng: Rng) -> int:
    """Invert U over the strata, where U's first 64 bits are `prefix`."""
    length = 64
    while True:
        lower, upper, least, most = _sums(law, bits, length + 16)
        place = bisect_left(lower, -(-(prefix + 1) * most >> length))
        # lower[place] >= (prefix + 1)·most/2^length says U is below the end of stratum place - 1
        if place < len(lower) and upper[place - 1] << length <= prefix * least:
            if place - 1 >> 1 >= 1 << 63 - bits:
                raise OverflowError("a sample does not fit into 64 bits")
            return place - 1
        prefix, length = prefix << 64 | rng.word(), length + 64
