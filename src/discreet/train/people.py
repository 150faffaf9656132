"""People: which rows are whose, and the micro-batches in which a person's rows come together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from discreet.errors import InvalidInput
from discreet.events.checks import shown
from discreet.train.draws import Rows


class People:
    """Which rows belong to whom, so that people are sampled, and a person's rows come together or not at all.

    Args:
        ids: The identifier of each row's person: a vector that NumPy can sort.
        most: How many rows of a person count: the first ones, in the order of `ids`. None: all.

    Guarantee:
        `rows(batch)` of a batch of people holds all rows of each of them that count, and no other: with each person's
        gradients summed or averaged and then clipped as one, a sampler's event holds for people.
    Evidence:
        Proven: docs/proofs/batches.md.
    Assumes:
        A row is of one person, whose identifier does not change.
    Not protected:
        How many people there are, if neighbours add or remove one.
    """

    __slots__ = ("_order", "_starts")

    def __init__(self, ids: ArrayLike, *, most: int | None = None) -> None:
        array: NDArray[Any] = np.asarray(ids)
        if array.ndim != 1 or array.dtype == np.object_:
            raise InvalidInput(
                f"ids must be a vector of numbers or of strings, got {array.ndim} dimensions of {array.dtype}.",
                remedy="Give one identifier for each row, all of one type, none missing.",
            )
        if array.dtype.kind in "fcmM":
            raise InvalidInput(
                f"ids must be whole numbers or strings, got {array.dtype}.",
                remedy="Convert them: a missing one is no person, and rounded ones may be two.",
            )
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
            raise InvalidInput(
                f"most must be a whole number of at least 1, got {shown(most)}.",
                remedy="Or leave it out: all rows count.",
            )
        _, who = np.unique(array, return_inverse=True)
        order: Rows = np.argsort(who, kind="stable").astype(np.int64)
        sizes = np.bincount(who)
        if most is not None:
            order = order[_within(sizes) < most]
            sizes = np.minimum(sizes, most)
        self._order = order
        self._starts: Rows = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def __len__(self) -> int:
        return self._starts.size - 1

    def __repr__(self) -> str:
        return "People(hidden)"

    def sizes(self, people: Rows) -> Rows:
        """Return how many rows each of some people has. Private."""
        return self._starts[people + 1] - self._starts[people]

    def rows(self, people: Rows) -> tuple[Rows, Rows]:
        """Return the rows of some people, and for each row the place of its person in `people`."""
        sizes = self.sizes(people)
        place = np.repeat(np.arange(people.size), sizes)
        return self._order[np.repeat(self._starts[people], sizes) + _within(sizes)], place


def _within(sizes: NDArray[np.int64]) -> Rows:
    """Return the place of each row among those of its person, for people side by side."""
    starts = np.cumsum(sizes) - sizes
    found: Rows = np.arange(int(sizes.sum()), dtype=np.int64) - np.repeat(starts, sizes)
    return found


def packed(sizes: Rows, most: int) -> Iterator[Rows]:
    """Yield the places of units that are computed at once: about as large as each other, and nobody's rows apart.

    Filled up to its largest, a unit takes as many places as that one. Units times the largest is at most `most`, or
    there is one unit alone: so memory is bounded by the larger of `most` and what one unit may have.

    Args:
        sizes: How many rows each unit has; those without one are left out.
        most: How many rows at once.
    """
    order = np.argsort(sizes, kind="stable")
    order = order[sizes[order] > 0].astype(np.int64)
    start = 0
    for end in range(1, order.size + 1):
        if end == order.size or (end + 1 - start) * sizes[order[end]] > most:
            yield order[start:end]
            start = end
