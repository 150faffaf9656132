"""Pair: two neighbouring datasets to tell apart; and the pairs on which mechanisms have been found to break."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from discreet.errors import InvalidInput
from discreet.events import Relation

FAR = 1e6  # how many widths of the bounds an outlier lies beyond them


@dataclass(frozen=True, slots=True)
class Pair:
    """Two neighbouring datasets.

    That they are neighbours is the caller's promise, and public: a pair is made up, never taken from private rows.

    Args:
        name: What is particular about them, in a few words.
        first: One dataset, in whatever form the mechanism takes it.
        second: Its neighbour.
        relation: Under which they are neighbours; None where the form does not tell, as in vectors of answers.
    """

    name: str
    first: Any
    second: Any
    relation: Relation | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidInput(f"a pair needs a name, got {self.name!r}.", remedy="Say what is particular about it.")
        if self.relation is not None:
            object.__setattr__(self, "relation", _relation(self.relation))


def answer_pairs(size: int, *, around: float = 0, step: float = 1) -> Iterator[Pair]:
    """Yield vectors of `size` query answers and their neighbours: each answer moves by at most `step`.

    The patterns are those of StatDP (Ding et al., 2018): one answer moves, the others stay or move against it;
    half go up and half down; all move together; two halves change places.

    Args:
        size: How many answers the mechanism takes.
        around: The level that answers move about, say the threshold of a sparse-vector mechanism.
        step: How far a privacy unit can move one answer; an int keeps the answers whole.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InvalidInput(f"size must be a whole number of at least 1, got {size!r}.")
    if not math.isfinite(around) or not 0 < step < math.inf:
        raise InvalidInput(f"around must be finite and step above 0, got {around!r} and {step!r}.")
    still = [around] * size
    for name, moves in _patterns(size):
        yield Pair(name, still, [around + step * move for move in moves])
    if size > 1:
        half = size // 2
        up, down = [around + step] * half, [around] * half
        rest = [around] * (size - 2 * half)
        yield Pair("two halves change places", up + down + rest, down + up + rest)


def _patterns(size: int) -> Iterator[tuple[str, list[int]]]:
    yield "one answer up", [1] + [0] * (size - 1)
    yield "one answer down", [-1] + [0] * (size - 1)
    if size > 1:
        half = size // 2
        yield "one up, the rest down", [1] + [-1] * (size - 1)
        yield "one down, the rest up", [-1] + [1] * (size - 1)
        yield "half up, half down", [1] * half + [-1] * (size - half)
        yield "all up", [1] * size
        yield "all down", [-1] * size


def record_pairs(
    lower: float, upper: float, *, relation: Relation, rows: int = 10, special: bool = False
) -> Iterator[Pair]:
    """Yield lists of numbers, one for each privacy unit, and their neighbours, for a mechanism that clamps by itself.

    Args:
        lower: The least value that the mechanism lets count.
        upper: The largest.
        relation: add_remove: one list has a number more; replace_one: one number is another.
        rows: How many other numbers stand beside it.
        special: Whether the mechanism takes NaN and infinities.

    Raises:
        InvalidInput: bounds that are none, or a relation for which a list of numbers has no form.
    """
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
        raise InvalidInput(f"bounds must be finite, the lower below the upper, got {lower!r} and {upper!r}.")
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        raise InvalidInput(f"rows must be a whole number of at least 1, got {rows!r}.")
    relation = _relation(relation)
    if relation is Relation.ZERO_OUT:
        raise InvalidInput(
            "a list of numbers has no blank, so these pairs are not made for zero_out.",
            remedy="Make them by hand: Pair(name, first, second, Relation.ZERO_OUT).",
        )
    make = _added if relation is Relation.ADD_REMOVE else _replaced
    yield from make(float(lower), float(upper), rows, _odd(float(lower), float(upper), special=special))


def _odd(lower: float, upper: float, *, special: bool) -> dict[str, float]:
    """Return numbers that mechanisms stumble over: beyond the bounds, on the edge of what a float holds."""
    far = FAR * (upper - lower)
    odd = {
        "a number far above the bounds": upper + far,
        "a number far below the bounds": lower - far,
        "a number one float above the bounds": math.nextafter(upper, math.inf),
        "the smallest float": 5e-324,
        "the largest float": 1.7976931348623157e308,
    }
    if special:
        odd |= {"NaN": math.nan, "an infinity": math.inf, "a negative infinity": -math.inf}
    return odd


def _added(lower: float, upper: float, rows: int, odd: dict[str, float]) -> Iterator[Pair]:
    middle = (lower + upper) / 2
    cases = {
        "the largest number, or nothing at all": ([], upper),
        "the least number, or nothing at all": ([], lower),
        "the largest number beside least ones": ([lower] * rows, upper),
        "the least number beside largest ones": ([upper] * rows, lower),
        "one more of equal numbers": ([middle] * rows, middle),
        **{f"{name} beside others": ([middle] * rows, value) for name, value in odd.items()},
    }
    for name, (others, value) in cases.items():
        yield Pair(name, [*others, value], list(others), Relation.ADD_REMOVE)


def _replaced(lower: float, upper: float, rows: int, odd: dict[str, float]) -> Iterator[Pair]:
    middle = (lower + upper) / 2
    cases = {
        "the largest number for the least, alone": ([], lower, upper),
        "the largest number for the least, beside least ones": ([lower] * rows, lower, upper),
        "the largest number for the least, beside largest ones": ([upper] * rows, lower, upper),
        "a number in the middle for one of its duplicates": ([middle] * rows, middle, upper),
        **{f"{name} for the least number": ([middle] * rows, lower, value) for name, value in odd.items()},
    }
    for name, (others, old, new) in cases.items():
        yield Pair(name, [*others, new], [*others, old], Relation.REPLACE_ONE)


def _relation(value: object) -> Relation:
    try:
        return Relation(value)
    except ValueError:
        names = ", ".join(item.value for item in Relation)
        raise InvalidInput(f"relation must be one of {names}, got {value!r}.") from None
