"""Several variants of each row, averaged and clipped as one: less noise from augmentation, at no cost in privacy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from discreet.errors import InvalidInput
from discreet.train.clipping.trees import NOTHING_CLIPPED, examples_in, taken

DRAWS = 3  # how often a function is tried


@dataclass(frozen=True, slots=True)
class Augment:
    """Augmentation multiplicity: in each step, several random variants of each row, whose mean gradient is clipped.

    Args:
        function: `function(batch)` returns the batch with each row changed by itself, and leaves its argument as it was.
            It draws from torch alone.
        times: How many variants of each row.

    Guarantee:
        A row moves the sum by at most the clipping norm, however many variants it has.
    Evidence:
        Proven: docs/proofs/clipping.md.
    Assumes:
        What becomes of a row depends on this row and its own random numbers alone, on every batch there may be; it is
        tried on the rows given as `example`.
    Not protected:
        As for a step.

    References:
        De, Berrada, Hayes, Smith, Balle 2022, Unlocking high-accuracy differentially private image classification
        through scale.
    """

    function: Callable[[Any], Any]
    times: int

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise InvalidInput("function must be callable.", remedy="Give a function from a batch to a batch.")
        if isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 1:
            raise InvalidInput(
                f"times must be a whole number of at least 1, got {self.times!r}.", remedy="4 to 16 are usual."
            )

    def variants(self, batch: Any, owners: Tensor | None) -> tuple[Any, Tensor]:
        """Return all variants, those of a row side by side, and the place of each one's unit.

        Args:
            batch: Rows.
            owners: The place of each row's unit; None: each is one.
        """
        rows = examples_in(batch)
        every = [self.function(batch) for _ in range(self.times)]
        if any(examples_in(one) != rows for one in every):
            raise RuntimeError("the augmentation returned another number of rows")
        beside = _pytree.tree_map(_beside, *every)
        whose = torch.arange(rows) if owners is None else owners
        return beside, whose.repeat_interleave(self.times)

    def tried(self, example: Any) -> Any:
        """Try the function on rows that are public or made up; return a variant of them.

        The same random numbers are drawn again, with one row exchanged: no other row may come out otherwise.

        Raises:
            InvalidInput: another row did, or the function draws elsewhere, changes its argument, or loses rows.
        """
        rows = examples_in(example)
        before = _pytree.tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, example)
        with torch.random.fork_rng():
            for seed in range(DRAWS):
                found = self._drawn(example, seed)
                if not _same(example, before, slice(None)):
                    raise _refused(
                        "changes the batch that it is given", "Let it return new tensors: x = x.clone() first."
                    )
                if examples_in(found) != rows:
                    raise _refused("returns another number of rows", "Let it return one row for each row.")
                if not _same(found, self._drawn(example, seed), slice(None)):
                    raise _refused(
                        "does not come out the same for the same state of torch's generator",
                        "Draw by torch alone, and not from a generator of its own: a run that is taken up draws again.",
                    )
                for row in range(rows):
                    order = torch.arange(rows)
                    order[row] = (row + 1) % rows
                    if not _same(found, self._drawn(taken(example, order), seed), torch.arange(rows) != row):
                        raise _refused(
                            "lets a row change what becomes of another one",
                            "Treat each row by itself: no mixing of rows, no statistics of the batch, and as many random "
                            "numbers whatever the rows hold.",
                        )
        return found

    def _drawn(self, example: Any, seed: int) -> Any:
        torch.manual_seed(seed)  # of every device
        return self.function(example)


def _beside(*variants: Any) -> Any:
    return torch.stack(variants, 1).flatten(0, 1) if isinstance(variants[0], Tensor) else variants[0]


def _same(one: Any, other: Any, rows: slice | Tensor) -> bool:
    pairs = zip(_pytree.tree_leaves(one), _pytree.tree_leaves(other), strict=True)
    return all(
        a.shape == b.shape and torch.allclose(a[rows], b[rows], rtol=0, atol=0, equal_nan=True)
        for a, b in pairs
        if isinstance(a, Tensor)
    )


def _refused(what: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"the augmentation {what}.", state=NOTHING_CLIPPED, remedy=remedy)
