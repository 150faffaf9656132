"""Aggregates in the text of an expression: found with what they are of, and said in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from discreet.release.shown import clean

# Longer names first, so that none is taken for another's beginning.
FUNCTIONS = (
    "STDDEV_SAMP", "STDDEV_POP", "COVAR_SAMP", "COVAR_POP", "VAR_SAMP", "VAR_POP", "QUANTILE",
    "COUNT", "CORR", "MODE", "SUM", "AVG", "MIN", "MAX",
)  # fmt: skip
START = re.compile(rf"(?<![\w\"])({'|'.join(FUNCTIONS)})\(")
NAME = r"[^\W\d]\w*"
COLUMN = re.compile(rf'(?:(?:{NAME}|"[^"]+")\.)?(?:({NAME})|"([^"]+)")')
WORDS = {
    "SUM": "the total of {0}",
    "AVG": "the mean of {0}",
    "VAR": "the variance of {0}",
    "STDDEV": "the standard deviation of {0}",
    "COVAR": "the covariance of {0} and {1}",
    "CORR": "the correlation of {0} and {1}",
    "MIN": "a value near the least of {0}",
    "MAX": "a value near the greatest of {0}",
    "MODE": "one of the most frequent values of {0}",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One aggregate in a text.

    Args:
        function: Its name; "COUNT DISTINCT" too.
        arguments: What it is of, as written; nothing for COUNT(*).
        rank: Of a quantile.
        start: Where it starts in the text.
        end: Where it ends.
    """

    function: str
    arguments: tuple[str, ...]
    rank: str | None
    start: int
    end: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is of, where it is of columns alone: without the names of their tables."""
        return tuple(column(item) for item in self.arguments if COLUMN.fullmatch(item))

    def words(self, rows: str) -> str:
        """Return it in words; `rows` says what is counted."""
        said = [f"“{clean(named(item))}”" for item in self.arguments]
        if self.function == "COUNT":
            return f"the number of {rows}" + (f" with a value of {said[0]}" if said else "")
        if self.function == "COUNT DISTINCT":
            return f"the number of different values of {said[0]}"
        if self.rank is not None:
            what = "median" if Fraction(self.rank) == Fraction(1, 2) else f"{self.rank} quantile"
            return f"the {what} of {said[0]}"
        return WORDS[self.function.partition("_")[0]].format(*said)


def aggregates(text: str) -> Iterator[Found]:
    """Yield the aggregates of an expression, from left to right."""
    place = 0
    while found := START.search(text, place):
        end = _closing(text, found.end())
        inner = text[found.end() : end]
        function = found[1]
        if function == "COUNT" and inner.startswith("DISTINCT "):
            function, inner = "COUNT DISTINCT", inner.removeprefix("DISTINCT ")
        arguments = () if inner == "*" else tuple(_split(inner))
        rank = arguments[-1] if function == "QUANTILE" else None
        yield Found(function, arguments if rank is None else arguments[:-1], rank, found.start(), end + 1)
        place = end + 1


def replaced(text: str, rows: str) -> str:
    """Return an expression with its aggregates in words."""
    pieces, place = [], 0
    for found in aggregates(text):
        pieces += [text[place : found.start], found.words(rows)]
        place = found.end
    return "".join([*pieces, text[place:]])


def named(text: str) -> str:
    """Return a value as people read it: a column by its name, anything else without the quotes of names."""
    return column(text) if COLUMN.fullmatch(text) else text.replace('"', "")


def column(text: str) -> str:
    """Return a column's own name, without its table's."""
    found = COLUMN.fullmatch(text)
    return text if found is None else found[1] or found[2]


def outside(text: str, start: int = 0) -> Iterator[int]:
    """Yield the places of a text that stand in no quotes, with parentheses opened after `start` left out."""
    depth, quote = 0, ""
    for place in range(start, len(text)):
        mark = text[place]
        if quote:
            quote = "" if mark == quote else quote
        elif mark in "'\"":
            quote = mark
        elif mark == "(":
            depth += 1
        elif mark == ")":
            if depth == 0:
                yield place
                return
            depth -= 1
        elif depth == 0:
            yield place


def _closing(text: str, start: int) -> int:
    """Return the place of the parenthesis that closes what was opened before `start`."""
    return next((place for place in outside(text, start) if text[place] == ")"), len(text))


def _split(inner: str) -> Iterator[str]:
    place = 0
    for comma in (at for at in outside(inner) if inner[at] == ","):
        yield inner[place:comma].strip()
        place = comma + 1
    yield inner[place:].strip()
