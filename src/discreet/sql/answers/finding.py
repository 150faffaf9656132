"""Unknown groups: which of them may be shown, by a private selection that is charged like all else.

On accounts of zCDP and Rényi loss people spread weight over all of their groups, in rounds; on pure
accounts each group is kept by its number of people. Which groups a person offers is settled once, by
the public hash.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from discreet import accounting, events
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.mechanisms import KeySelection
from discreet.mechanisms.parameters import smallest
from discreet.mechanisms.rng import Rng
from discreet.mechanisms.weighted_selection import WeightedKeySelection, key_weight
from discreet.sql.allocate import too_small

if TYPE_CHECKING:
    import pyarrow

LEAST_OFFERED = 32  # a person's weight is spread over at least so many groups, whatever max_groups is
LABEL = "which groups there are"


class Round(Protocol):
    """What a round asks of the engine: the weights of the groups that are still open."""

    def __call__(self, still: pyarrow.Table | None) -> pyarrow.Table:
        """Return columns k0, …, w; of the groups of `still` alone, if it is given."""


@dataclass(frozen=True, slots=True)
class Finder:
    """The selection of unknown groups.

    Args:
        mechanisms: One, by numbers of people, or several rounds by weight.
        offered: How many groups one person offers at most.
        groups: The unit's max_groups.
    """

    mechanisms: tuple[KeySelection | WeightedKeySelection, ...]
    offered: int
    groups: int

    @property
    def event(self) -> events.Event:
        """What the selection is charged as."""
        parts: tuple[events.Event, ...] = tuple(one.event for one in self.mechanisms)
        return parts[0] if len(parts) == 1 else events.Composed(parts)

    @property
    def by_weight(self) -> bool:
        """Whether people spread weight over their groups."""
        return isinstance(self.mechanisms[0], WeightedKeySelection)

    def shown_from(self, chance: float) -> int:
        """Return from how many people a group is shown with at least this chance, if each is in `groups` groups.

        Of several rounds the last one alone is reckoned with, so that it may be fewer.
        """
        mechanism = self.mechanisms[-1]
        each = key_weight(self.groups) if isinstance(mechanism, WeightedKeySelection) else 1

        def enough(people: int) -> bool:
            if isinstance(mechanism, WeightedKeySelection):
                return mechanism.keep_probability(people * each)[0] >= chance
            return mechanism.keep_probability(people) >= chance

        return smallest(enough, 1)

    def find(self, ask: Round, rng: Rng) -> pyarrow.Table:
        """Return the keys of the groups found, sorted, with their numbers as `cell`."""
        import pyarrow as pa

        still: pyarrow.Table | None = None
        kept: list[pyarrow.Table] = []
        for mechanism in self.mechanisms:
            weighed = ask(still)
            keys = weighed.drop_columns(["w"])
            chosen, still = self._sift(mechanism, keys, _integers(weighed.column("w")), rng)
            kept.append(chosen)
        found = pa.concat_tables(kept)
        found = found.sort_by([(name, "ascending") for name in found.column_names])  # never in the order of rows
        return found.append_column("cell", pa.array(np.arange(found.num_rows), type=pa.int64()))

    def _sift(
        self, mechanism: KeySelection | WeightedKeySelection, keys: pyarrow.Table, weights: NDArray[Any], rng: Rng
    ) -> tuple[pyarrow.Table, pyarrow.Table]:
        import pyarrow as pa

        if isinstance(mechanism, WeightedKeySelection):
            chosen, still = mechanism.sift(weights, rng)
        else:
            chosen = mechanism(weights, rng)
            still = ~chosen
        return keys.filter(pa.array(chosen)), keys.filter(pa.array(still))


def finder(measure: accounting.Measure, delta: float, groups: int, relation: Relation) -> Callable[[int], Finder]:
    """Return what finds the groups, for a share of the budget.

    Args:
        measure: The account's measure.
        delta: The selection's own δ.
        groups: The unit's max_groups.
        relation: The neighbouring relation.
    """

    def spend(units: int) -> Finder:
        if units <= 0:
            raise too_small()
        loss = units * accounting.COST_UNIT
        if measure.kind == "pure":
            most = groups * (2 if relation is Relation.REPLACE_ONE else 1)
            epsilon = _rounded_down(loss)
            return Finder((KeySelection(epsilon=epsilon, delta=delta, max_groups=most),), groups, groups)
        rho = loss if measure.kind == "zcdp" else loss / Fraction(measure.order or 1)
        offered = max(groups, LEAST_OFFERED)
        rounds = WeightedKeySelection.rounds(rho=rho, delta=delta, max_keys=offered, relation=relation)
        return Finder(rounds, offered, groups)

    return spend


def check(delta: float) -> None:
    """Refuse a selection without a δ.

    Raises:
        InvalidInput: there is none.
    """
    if not delta:
        raise InvalidInput(
            "groups that nobody declared can be found with a delta above 0 alone, and there is none.",
            remedy="Give delta, for example delta = 1e-7, or declare the keys of the column.",
        )


def _integers(column: Any) -> NDArray[np.int64]:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _rounded_down(value: Fraction) -> float:
    near = float(value)
    return near if near <= value else math.nextafter(near, 0.0)
