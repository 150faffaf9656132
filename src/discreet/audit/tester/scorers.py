"""Scorer: learns from training outputs how much an output speaks for the first dataset of a pair.

What scorers learn from certifies nothing, so they may be as wrong as they like: a bad one finds less, never too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from discreet.audit.tester.outputs import Floats, Table

SHOWN = 3  # how many intervals or values an event names


class Scorer(Protocol):
    """Scores outputs, and can say in words which ones an event takes."""

    def score(self, table: Table) -> Floats:
        """Return a score for each output; NaN for those that no event of this scorer takes."""
        ...

    def words(self, threshold: float, *, above: bool) -> str:
        """Return in words which outputs score at least (or, if not `above`, at most) the threshold."""
        ...


def some(names: Sequence[str], what: str, count: int | None = None) -> str:
    """Return the first few names, and how many there are if there are more."""
    total = len(names) if count is None else count
    shown = " or ".join(names[:SHOWN])
    return shown if total <= SHOWN else f"one of {total} {what}: {shown}, …"
