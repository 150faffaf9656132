"""Several rows of one unit, folded into one: what is measured and clipped is the mean of their gradients.

Rows run through the model one by one, as ever. What they leave behind is laid side by side afterwards: T positions of
each of K rows are K·T positions of one unit, and no formula for norms and sums has to know of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from discreet.errors import InvalidInput
from discreet.train.clipping.trees import NOTHING_CLIPPED, taken
from discreet.train.people import People, packed


class Fold:
    """How the rows of a micro-batch belong to units: those of one after another, units in order of their sizes.

    Args:
        sizes: How many rows each unit has: at least 1.
    """

    __slots__ = ("most", "sizes", "units")

    def __init__(self, sizes: Tensor) -> None:
        self.sizes = sizes
        self.units = len(sizes)
        self.most = int(sizes.max())

    def weights(self) -> Tensor:
        """Return the weight of each row's loss: one over how many rows its unit has."""
        return (1.0 / self.sizes.float()).repeat_interleave(self.sizes)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return (units, most, …) for (rows, …): zeros, not numbers of any row, where a unit has fewer."""
        if len(rows) == self.units * self.most:
            return rows.reshape(self.units, self.most, *rows.shape[1:])
        within = torch.arange(self.most) < self.sizes[:, None]
        full = rows.new_zeros(self.units * self.most, *rows.shape[1:])
        full[within.flatten().nonzero().squeeze(1).to(rows.device)] = rows
        return full.view(self.units, self.most, *rows.shape[1:])


class Piece(NamedTuple):
    """Rows of a batch that are computed at once.

    Args:
        rows: Which: all of a unit's, one unit after another. None: the whole batch, as it is.
        size: How many.
        units: The places of their units.
        fold: None if each row is a unit.
    """

    rows: slice | Tensor | None
    size: int
    units: Tensor
    fold: Fold | None = None

    def of(self, batch: Any) -> Any:
        """Return these rows of a batch."""
        return batch if self.rows is None else taken(batch, self.rows)


def pieces(
    count: int, microbatch: int | None, owners: Tensor | None, places: Tensor | None, examples: int
) -> tuple[list[Piece], int]:
    """Cut a batch into micro-batches, and return how many units there are.

    Args:
        count: How many rows the batch has.
        microbatch: At most so many rows at once, but for a unit that has more; None: all.
        owners: The unit of each row, padding included; None if each is one.
        places: Where the rows were among these, if there was padding.
        examples: How many rows there were with padding.

    Raises:
        InvalidInput: the size of a micro-batch, or an owner, is none.
    """
    if microbatch is not None and microbatch < 1:
        raise InvalidInput(
            f"microbatch is {microbatch}.", state=NOTHING_CLIPPED, remedy="Give at least 1, or leave it out."
        )
    if owners is None:
        where = torch.arange(count) if places is None else places
        cuts = [slice(i, i + (microbatch or count)) for i in range(0, count, microbatch or max(1, count))]
        return [Piece(cut, len(where[cut]), where[cut]) for cut in cuts], examples
    _check_owners(owners, examples)
    numbers, who = np.unique(
        (owners if places is None else owners[places.to(owners.device)]).cpu().numpy(), return_inverse=True
    )
    people = People(who)
    sizes = people.sizes(np.arange(len(people)))
    found = []
    for chosen in packed(sizes, microbatch or count * count):
        rows = people.rows(chosen)[0]
        same = np.array_equal(rows, np.arange(count))
        fold = Fold(torch.from_numpy(sizes[chosen]))
        found.append(
            Piece(None if same else torch.from_numpy(rows), len(rows), torch.from_numpy(numbers[chosen]), fold)
        )
    return found, int(owners.max()) + 1 if examples else 0


def spans(examples: int, fold: Fold | None) -> list[slice]:
    """Return where the rows of each unit are, one unit after another."""
    ends = list(range(1, examples + 1)) if fold is None else fold.sizes.cumsum(0).tolist()
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _check_owners(owners: Tensor, examples: int) -> None:
    """Refuse what does not say of each row whose it is.

    Raises:
        InvalidInput: it is not one whole number of at least 0 for each row.
    """
    fits = owners.dtype == torch.int64 and tuple(owners.shape) == (examples,)
    if not fits or bool((owners < 0).any()):
        raise InvalidInput(
            f"owners has {owners.dtype} in {owners.dim()} axes, another length than the batch, or a number below 0.",
            state=NOTHING_CLIPPED,
            remedy="Give for each row the place of its unit, counted from 0, as int64.",
        )
