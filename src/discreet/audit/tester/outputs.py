"""Table: what a row of outputs is made of, whatever their type, so that events can be told of all of them alike."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from discreet.errors import InvalidInput

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Run = Callable[[Any, int], Any]

MOST_PARTS = 256  # parts of an output that are looked at one by one; beyond them it is compared as a whole
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Raised:
    """An error as an output: that a mechanism fails tells as much as what it returns.

    Args:
        kind: The error's class.
        message: What it says.
    """

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def one_by_one(function: Callable[[Any], Any]) -> Run:
    """Return a `run` that calls `function(data)` once for each draw, and counts an error as an output.

    Args:
        function: The mechanism; it must leave the data as it is.
    """

    def run(data: Any, draws: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(draws):
            try:
                found.append(function(data))
            except Exception as error:  # noqa: BLE001 - whatever it raises is what it puts out
                found.append(Raised(type(error).__name__, str(error)))
        return found

    return run


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Outputs taken apart; all arrays have a row for each.

    Attributes:
        outputs: The outputs as they came.
        numbers: Their parts as numbers; NaN where a part is none, or is missing.
        bits: What tells each part from every other value, to the last bit; 0 where it is missing.
        shape: A hash of types and structure.
        whole: A hash of everything.
        lengths: How many parts there are.
        seconds: How long each draw took, where that was asked for.
    """

    outputs: Sequence[Any] | NDArray[Any]
    numbers: Floats
    bits: Words
    shape: Words
    whole: Words
    lengths: Floats
    seconds: Floats | None = None

    @property
    def size(self) -> int:
        """How many outputs there are."""
        return int(self.lengths.size)

    @property
    def parts(self) -> int:
        """How many parts are looked at."""
        return int(self.numbers.shape[1])

    @property
    def failed(self) -> bool:
        """Whether every output is an error."""
        return not isinstance(self.outputs, np.ndarray) and all(
            isinstance(one, Raised | BaseException) for one in self.outputs
        )

    def wide(self, parts: int) -> Floats:
        """Return so many parts of each output as numbers, whatever the other outputs have."""
        return np.column_stack([self.number(part) for part in range(parts)])

    def number(self, part: int) -> Floats:
        """Return one part of each output as a number, NaN where there is none."""
        if part < self.parts:
            found: Floats = self.numbers[:, part]
            return found
        return np.full(self.size, np.nan)

    def part(self, part: int) -> Words:
        """Return what tells one part's values from each other."""
        if part < self.parts:
            found: Words = self.bits[:, part]
            return found
        return np.zeros(self.size, dtype=np.uint64)

    def rows(self, start: int, stop: int) -> Table:
        """Return some of the outputs."""
        keep = slice(start, stop)
        return Table(
            self.outputs[keep],
            self.numbers[keep],
            self.bits[keep],
            self.shape[keep],
            self.whole[keep],
            self.lengths[keep],
            None if self.seconds is None else self.seconds[keep],
        )


def read(outputs: Any, seconds: Floats | None = None) -> Table:
    """Take outputs apart.

    Raises:
        InvalidInput: outputs of a type whose values cannot be compared.
    """
    array = _numeric(outputs)
    if array is None:
        return _read_each(outputs, seconds)
    kind = _KINDS[array.dtype.kind]
    flat = array.reshape(len(array), -1)
    shape = kind if array.ndim == 1 else f"array({_counted([kind] * flat.shape[1])})"
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(flat, dtype=np.float64)
    bits = numbers.view(np.uint64) if kind == "float" else flat.astype(np.int64).view(np.uint64)
    rest = np.zeros(len(array), dtype=np.uint64)
    if flat.shape[1] > MOST_PARTS:
        rest = np.array([hash(tuple(row.tolist())) & _MASK for row in bits[:, MOST_PARTS:]], dtype=np.uint64)
    shapes = np.full(len(array), hash(shape) & _MASK, dtype=np.uint64)
    lengths = np.full(len(array), float(flat.shape[1]))
    bits = np.ascontiguousarray(bits[:, :MOST_PARTS])
    whole = _mixed(bits, shapes ^ rest, lengths)
    return Table(array, numbers[:, :MOST_PARTS], bits, shapes, whole, lengths, seconds)


_KINDS = {"f": "float", "i": "int", "u": "int", "b": "bool"}


def _numeric(outputs: Any) -> NDArray[Any] | None:
    """Return the outputs as one array of numbers if they are nothing but that."""
    if isinstance(outputs, np.ndarray):
        return outputs if outputs.dtype.kind in _KINDS and outputs.ndim >= 1 and outputs.size else None
    if isinstance(outputs, Sequence) and not isinstance(outputs, str) and set(map(type, outputs)) == {float}:
        return np.array(outputs, dtype=np.float64)
    return None


def _read_each(outputs: Any, seconds: Floats | None) -> Table:
    held = list(outputs)
    parts: list[list[tuple[float, int]]] = []
    shapes = np.empty(len(held), dtype=np.uint64)
    for i, output in enumerate(held):
        found: list[tuple[float, int]] = []
        shapes[i] = hash(_take_apart(output, found)) & _MASK
        parts.append(found)
    lengths = np.array([float(len(found)) for found in parts])
    width = min(MOST_PARTS, int(lengths.max(initial=0)))
    numbers = np.full((len(held), width), np.nan)
    bits = np.zeros((len(held), width), dtype=np.uint64)
    rest = np.zeros(len(held), dtype=np.uint64)
    for i, found in enumerate(parts):
        for j, (number, word) in enumerate(found[:width]):
            numbers[i, j], bits[i, j] = number, word
        rest[i] = hash(tuple(word for _, word in found[width:])) & _MASK if len(found) > width else 0
    return Table(held, numbers, bits, shapes, _mixed(bits, shapes ^ rest, lengths), lengths, seconds)


def shape_of(output: Any) -> str:
    """Return an output's types and structure in words."""
    return _take_apart(output, [])


def _take_apart(value: Any, into: list[tuple[float, int]]) -> str:
    """Append the parts of `value`, each as a number and as a word; return its shape."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        into.append((float(value), int(value)))
        return "bool"
    if isinstance(value, int):
        into.append((_float(value), value & _MASK if -(2**63) <= value < 2**63 else hash(str(value)) & _MASK))
        return "int"
    if isinstance(value, float):
        into.append((value, struct.unpack("<Q", struct.pack("<d", value))[0]))
        return "float"
    if value is None or isinstance(value, str | bytes):
        into.append((np.nan, hash((type(value).__name__, value)) & _MASK))
        return type(value).__name__
    if isinstance(value, Raised | BaseException):
        error = value if isinstance(value, Raised) else Raised(type(value).__name__, str(value))
        into.append((np.nan, hash(error) & _MASK))
        return f"error {error.kind}"
    name, inner = _inside(value)
    return f"{name}({_counted([_take_apart(one, into) for one in inner])})"


def _inside(value: Any) -> tuple[str, list[Any]]:
    if isinstance(value, tuple | list):
        return type(value).__name__, list(value)
    if isinstance(value, np.ndarray):
        return "array", value.ravel().tolist()
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=repr)
        return "dict", [one for pair in pairs for one in pair]
    if isinstance(value, set | frozenset):
        return "set", sorted(value, key=repr)
    raise InvalidInput(
        f"outputs of the type {type(value).__name__} cannot be compared.",
        remedy="Let run return numbers, text, None, errors, or tuples, lists, arrays, dicts and sets of them.",
    )


def _counted(shapes: list[str]) -> str:
    """Return the shapes in a row, equal ones counted."""

    def runs() -> Iterator[str]:
        for shape, same in groupby(shapes):
            count = len(list(same))
            yield shape if count == 1 else f"{count} × {shape}"

    return ", ".join(runs())


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _mixed(bits: Words, shapes: Words, lengths: Floats) -> Words:
    """Return one word for each row, made of the parts it has; collisions would only blur an event."""
    whole = shapes.copy()
    for part, column in enumerate(bits.T):
        whole = np.where(part < lengths, fold(whole, column), whole)
    return whole


def fold(words: Words, column: Words) -> Words:
    """Return words that also depend on a further column."""
    with np.errstate(over="ignore"):
        found: Words = (words ^ column) * np.uint64(0x9E3779B97F4A7C15)
    found ^= found >> np.uint64(29)
    return found
