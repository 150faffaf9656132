"""GROUPING SETS, ROLLUP and CUBE: several groupings of one question, added up from the finest.

The engine bounds people and sums in the finest groups alone; every coarser answer is a sum of those
exact integers, so that the true answers of all groupings agree, and so can the released ones. What one
person moves in a coarser grouping is worked out anew: several of their groups may fall into one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from discreet.events import Relation
from discreet.sql.bound import Bounds, Primitive


@dataclass(frozen=True, slots=True)
class Sets:
    """The groupings of a question.

    Args:
        sizes: How many values each key has.
        chosen: The keys of each grouping, by their places.
        own: Whether each key is the person's own column.
    """

    sizes: tuple[int, ...]
    chosen: tuple[tuple[int, ...], ...]
    own: tuple[bool, ...]

    @property
    def several(self) -> bool:
        """Whether there is more than the one grouping by all keys."""
        return self.chosen != (tuple(range(len(self.sizes))),)

    def size(self, place: int) -> int:
        """Return how many groups a grouping has."""
        return math.prod(self.sizes[key] for key in self.chosen[place])

    def of_finest(self, place: int) -> NDArray[np.intp]:
        """Return for each finest group the number of its group in a grouping."""
        every = np.arange(math.prod(self.sizes))
        where = np.unravel_index(every, self.sizes) if self.sizes else ()
        found = np.zeros(len(every), dtype=np.intp)
        for key in self.chosen[place]:
            found = found * self.sizes[key] + where[key]
        return found

    def total(self, finest: NDArray[Any], place: int) -> NDArray[Any]:
        """Return the sums of exact integers over the groups of a grouping, exactly."""
        most = int(np.abs(finest).max(initial=0)) * len(finest)
        found = np.zeros(self.size(place), dtype=object if most >= 2**62 else np.int64)
        np.add.at(found, self.of_finest(place), finest)
        return found

    def sensitivity(self, bounds: Bounds, part: Primitive, place: int) -> tuple[int, int]:
        """Return the L1 and the squared L2 sensitivity of a primitive's vector over a grouping.

        Guarantee: for any two neighbouring tables the vectors over its groups differ by at most these.
        Evidence: proven, docs/proofs/contribution_bounds.md; property tests compare with brute force.
        Assumes: what the bounds of the finest grouping assume.
        Not protected: nothing beyond the unit.
        """
        dropped = [key for key in range(len(self.sizes)) if key not in self.chosen[place] and not self.own[key]]
        together = math.prod(self.sizes[key] for key in dropped)  # finest groups of one person in one group, at most
        if together == 1:
            first, second = bounds.sensitivity(part)
            coarse = Bounds(bounds.groups, bounds.rows, max(1, self.size(place)), bounds.relation, bounds.sampled)
            return max(first, coarse.sensitivity(part)[0]), max(second, coarse.sensitivity(part)[1])
        groups, most = bounds.groups, bounds.rows * part.magnitude
        full, rest = divmod(groups, together)
        first, second = groups * most, (full * together**2 + rest**2) * most**2
        if bounds.relation is not Relation.REPLACE_ONE:
            return first, second
        if self.size(place) == 1:  # what leaves and what comes are in the same group
            moved = groups * bounds.rows * part.width
            return moved, moved**2
        return 2 * first, 4 * second

    def places(self) -> list[NDArray[np.intp]]:
        """Return, for each key, which of its values each group of all groupings has; -1 where it is a total."""
        columns: list[list[NDArray[np.intp]]] = [[] for _ in self.sizes]
        for place, chosen in enumerate(self.chosen):
            size = self.size(place)
            where = np.unravel_index(np.arange(size), [self.sizes[key] for key in chosen]) if chosen else ()
            for key, column in enumerate(columns):
                found = where[chosen.index(key)] if key in chosen else np.full(size, -1, dtype=np.intp)
                column.append(found)
        return [np.concatenate(column) for column in columns]


def sets(sizes: Sequence[int], chosen: Sequence[tuple[int, ...]], own: Sequence[bool]) -> Sets:
    """Return the groupings of a question; without any, the one by all keys."""
    every = tuple(range(len(sizes)))
    return Sets(tuple(sizes), tuple(chosen) or (every,), tuple(own))
