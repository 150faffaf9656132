"""Features: what is looked at in an output. Numbers have an order, labels only tell values apart.

A feature of an output is a function of that output alone (and of a step learnt from outputs that certify nothing).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from discreet.audit.tester.outputs import Floats, Table, Words, fold, shape_of

_NO_BIT = 10_000  # beyond every exponent of a float
_SINGLY, _IN_PAIRS, _RANKED = 32, 6, 16  # up to how many parts are looked at one by one, in pairs, by rank


@dataclass(frozen=True, slots=True)
class Number:
    """A feature with an order.

    Args:
        name: What it is, in words that go on with "at least 3".
        of: Its value for each output; NaN where it has none, and then no event about it holds.
    """

    name: str
    of: Callable[[Table], Floats]


@dataclass(frozen=True, slots=True)
class Label:
    """A feature whose values are only equal or not.

    Args:
        name: What it is, in words that go on with "one of these".
        of: A word for each output.
        shown: The value that one output of a table has, in words.
    """

    name: str
    of: Callable[[Table], Words]
    shown: Callable[[Table, int], str]


def numbers(table: Table) -> Iterator[Number]:
    """Yield the features with an order that outputs like these have."""
    parts = table.parts
    for part in range(min(parts, _SINGLY)):
        yield _single(part, parts)
    if parts > 1:
        for first, second in combinations(range(min(parts, _IN_PAIRS)), 2):
            yield _difference(first, second)
        yield from together(parts)
    if np.unique(table.lengths[:1000]).size > 1:
        yield Number("the number of parts", lambda t: t.lengths)
    if table.seconds is not None:
        yield Number("the running time in seconds", _seconds)


def _single(part: int, parts: int) -> Number:
    return Number(_part_name(part, parts), lambda t: t.number(part))


def _part_name(part: int, parts: int) -> str:
    return "the output" if parts == 1 else f"part {part + 1} of the output"


def _difference(first: int, second: int) -> Number:
    def of(table: Table) -> Floats:
        with np.errstate(invalid="ignore", over="ignore"):
            found: Floats = table.number(second) - table.number(first)
        return found

    return Number(f"part {second + 1} less part {first + 1}", of)


def together(parts: int) -> Iterator[Number]:
    """Yield what is known of so many parts at once."""
    yield Number("the sum of the parts", lambda t: _of_known(t, parts, lambda x: np.nansum(x, axis=1)))
    yield Number("the largest part", lambda t: _of_known(t, parts, lambda x: np.nanmax(x, axis=1)))
    yield Number("the smallest part", lambda t: _of_known(t, parts, lambda x: np.nanmin(x, axis=1)))
    yield Number("the number of parts that are not 0", lambda t: _of_known(t, parts, lambda x: _set(x).sum(axis=1)))
    yield Number("the place of the first part that is not 0", lambda t: _of_known(t, parts, lambda x: _first(_set(x))))


def _of_known(table: Table, parts: int, reduce: Callable[[Floats], Any]) -> Floats:
    """Reduce the parts of each output that has any number; NaN for the others."""
    found = np.full(table.size, np.nan)
    wide = table.wide(parts)
    known = ~np.isnan(wide).all(axis=1)
    if known.any():
        with np.errstate(invalid="ignore", over="ignore"):
            found[known] = reduce(wide[known])
    return found


def _set(values: Floats) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (values != 0) & ~np.isnan(values)
    return found


def _first(true: NDArray[np.bool_]) -> Floats:
    found: Floats = np.where(true.any(axis=1), true.argmax(axis=1), true.shape[1]).astype(np.float64)
    return found


def _seconds(table: Table) -> Floats:
    return np.full(table.size, np.nan) if table.seconds is None else table.seconds


def off_lattice(table: Table, part: int) -> Number | None:
    """Return how far one part lies from the lattice that these outputs keep to, if they keep to one.

    Integer noise on data that were never rounded shows the data's fraction in every answer.
    """
    known = np.unique(table.number(part)[:2000])
    known = known[np.isfinite(known)][:200]
    if known.size < 3:
        return None
    step, origin = _common_step(np.diff(known)), float(known[0])
    if step is None:
        return None

    def of(other: Table) -> Floats:
        with np.errstate(invalid="ignore", over="ignore"):
            steps = (other.number(part) - origin) / step
            found: Floats = np.round(steps - np.round(steps), 6)
        return found

    name = _part_name(part, table.parts)
    return Number(f"the distance of {name} from the lattice {origin:.6g} + k·{step:.6g}, in steps,", of)


def _common_step(gaps: Floats) -> float | None:
    """Return the largest number of which all gaps are multiples, to a millionth of it, if it is no rounding dust."""
    step, largest = 0.0, float(gaps.max())
    for gap in gaps:
        a, b = max(step, float(gap)), min(step, float(gap))
        while b > 1e-7 * largest:
            a, b = b, a % b
            if a - b < 1e-6 * a:
                b = 0.0
        step = a
        if step < 1e-5 * largest:
            return None
    return step


def labels(table: Table) -> Iterator[Label]:
    """Yield the features without an order that outputs like these have, the plainest first."""
    yield Label("the type and structure of the output", lambda t: t.shape, lambda t, i: shape_of(t.outputs[i]))
    parts = table.parts
    if parts > 1:
        pattern = "the pattern of zeros, NaN, infinities and missing parts"
        yield Label(pattern, lambda t: _pattern(t, parts), _like)
    for part in range(min(parts, _RANKED)):
        yield _finest_bit(part, parts)
        yield _low_bits(part, parts)
    if 1 < parts <= _RANKED:
        yield Label("the order of the parts by size", lambda t: _ranking(t, parts), _like)
        for part in range(parts):
            yield _equal_to(part, parts)
    yield Label("the whole output", lambda t: t.whole, _shown_whole)


def _equal_to(part: int, parts: int) -> Label:
    return Label(
        f"the exact value of {_part_name(part, parts)}",
        lambda t: t.part(part),
        lambda t, i: repr(float(t.number(part)[i])),
    )


def _finest_bit(part: int, parts: int) -> Label:
    def of(table: Table) -> Words:
        return _finest(table.number(part)).astype(np.int64).view(np.uint64)

    def shown(table: Table, row: int) -> str:
        place = int(_finest(table.number(part)[row : row + 1])[0])
        return f"2^{place}" if place < _NO_BIT else "none"

    return Label(f"the lowest bit set in {_part_name(part, parts)}", of, shown)


def _finest(values: Floats) -> Floats:
    """Return e for values that are odd multiples of 2^e; special values get numbers of their own."""
    finite = np.isfinite(values) & (values != 0)
    mantissa, exponent = np.frexp(np.where(finite, values, 1.0))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = np.frexp((whole & -whole).astype(np.float64))[1] - 1  # trailing zeros
    special = _NO_BIT + np.where(np.isnan(values), 2.0, np.where(np.isinf(values), 1.0, 0.0))
    found: Floats = np.where(finite, exponent - 53 + lowest, special)
    return found


def _low_bits(part: int, parts: int) -> Label:
    def of(table: Table) -> Words:
        return np.ascontiguousarray(table.number(part)).view(np.uint64) & np.uint64(15)

    return Label(
        f"the last four bits of {_part_name(part, parts)} as a float",
        of,
        lambda t, i: f"{int(of(t.rows(i, i + 1))[0]):04b}",
    )


def _pattern(table: Table, parts: int) -> Words:
    """Return a word for which parts are 0, NaN, infinite, text or missing."""
    x = table.wide(parts)
    state = np.where(np.isnan(x), 1, np.where(np.isinf(x), np.where(x > 0, 2, 3), np.where(x == 0, 4, 5)))
    missing = np.arange(parts) >= table.lengths[:, None]
    return _folded(np.where(missing, 6, state).astype(np.uint64))


def _ranking(table: Table, parts: int) -> Words:
    return _folded(np.argsort(table.wide(parts), axis=1, kind="stable").astype(np.uint64))


def _folded(columns: Words) -> Words:
    words = np.zeros(len(columns), dtype=np.uint64)
    for column in columns.T:
        words = fold(words, column)
    return words


def _like(table: Table, row: int) -> str:
    return f"that of {_shown_whole(table, row)}"


def _shown_whole(table: Table, row: int) -> str:
    text = repr(_plain(table.outputs[row]))
    return text if len(text) <= 60 else f"{text[:57]}…"


def _plain(output: Any) -> Any:
    """Return an output without numpy's types, which would only be noise in a sentence."""
    if isinstance(output, np.ndarray | np.generic):
        return output.tolist()
    if isinstance(output, tuple | list):
        return type(output)(_plain(one) for one in output)
    return output
