"""What one use of a parameter leaves behind in the backward pass, and what can be computed from it.

A *trace* is what the backward pass recorded, in whatever layout the model used. Once the layout is known, it becomes a
*part*: the same tensors with examples in front, from which each example's gradient, its squared length and weighted
sums follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from discreet.train.clipping.folding import Fold
from discreet.train.clipping.layout import Layout
from discreet.train.clipping.norms import Squares, raised, squares


class Part(Protocol):
    """One or more uses of a parameter, examples in front."""

    def rows(self, low: int, high: int) -> Tensor:
        """Return the gradients of examples low to high, (examples, *parameter), in float32."""
        ...

    def add_rows(self, rows: Tensor, low: int, high: int) -> None:
        """Add the same to rows that are there already."""
        ...

    def total(self, factors: Tensor, into: Tensor) -> None:
        """Add the sum of all examples' gradients, each times its factor, to `into`."""
        ...

    def drop(self, dead: Tensor) -> None:
        """Set to zero what belongs to these examples: 0 times infinity would not be 0."""
        ...

    def folded(self, fold: Fold) -> Part:
        """Return the same with units in front, of which each has several of these examples."""
        ...


class Trace(Protocol):
    """One recorded use of a parameter."""

    @property
    def kind(self) -> str:
        """Name of the operation."""
        ...

    def evidence(self) -> tuple[Tensor, Sequence[int]]:
        """Return a tensor that shows where examples are, and the axes they may lie along."""
        ...

    def arranged(self, layout: Layout, examples: int) -> Part:
        """Return the part, with the examples in front."""
        ...


def _front(tensor: Tensor, layout: Layout, examples: int, features: int) -> Tensor:
    """Return (examples, everything else, *features)."""
    moved = layout.unfold(tensor, examples)
    return moved.reshape(examples, -1, *tensor.shape[tensor.dim() - features :])


class ProductTrace:
    """A matrix product: the gradient is the sum over positions of g ⊗ a.

    Args:
        inputs: (…, d), what the parameter was multiplied with.
        outgoing: (…, p), gradient of the result.
        turned: The parameter is (d, p) instead of (p, d).
    """

    kind = "product"

    def __init__(self, inputs: Tensor, outgoing: Tensor, *, turned: bool = False) -> None:
        self.inputs = inputs
        self.outgoing = outgoing
        self.turned = turned

    def evidence(self) -> tuple[Tensor, Sequence[int]]:
        """Return the gradient of the result and its leading axes."""
        return self.outgoing, range(self.outgoing.dim() - 1)

    def arranged(self, layout: Layout, examples: int) -> Product:
        """Return the part, with the examples in front."""
        inputs = _front(self.inputs, layout, examples, 1)
        outgoing = _front(self.outgoing, layout, examples, 1)
        return Product(outgoing, inputs) if not self.turned else Product(inputs, outgoing)


class Product:
    """Sum over positions of left ⊗ right; left is (B, T, p), right (B, T, d), the parameter (p, d)."""

    def __init__(self, left: Tensor, right: Tensor) -> None:
        self.left = left.float()
        self.right = right.float()

    @property
    def positions(self) -> int:
        """How many positions one example has."""
        return self.left.shape[1]

    def joined(self, other: Product) -> Product:
        """Return one part for two uses: their positions side by side."""
        return Product(torch.cat([self.left, other.left], 1), torch.cat([self.right, other.right], 1))

    def rows(self, low: int, high: int) -> Tensor:
        """Return the gradients of examples low to high."""
        return torch.bmm(self.left[low:high].transpose(1, 2), self.right[low:high])

    def fill(self, rows: Tensor, low: int, high: int) -> None:
        """Write the same over `rows`."""
        if high - low == 1:
            torch.mm(self.left[low].t(), self.right[low], out=rows[0])
        else:
            torch.bmm(self.left[low:high].transpose(1, 2), self.right[low:high], out=rows)

    def add_rows(self, rows: Tensor, low: int, high: int) -> None:
        """Add the same to rows that are there already."""
        rows.baddbmm_(self.left[low:high].transpose(1, 2), self.right[low:high])

    def squares(self) -> Squares:
        """Return squared lengths without forming any gradient, from the products of positions with each other.

        Those products may cancel, so the bound is relative to the sum of lengths, not to the result.
        """
        left = squares(self.left.reshape(-1, self.left.shape[-1]))
        right = squares(self.right.reshape(-1, self.right.shape[-1]))
        if self.positions == 1:
            return Squares(left.value * right.value, raised(left.bound * right.bound, 2, 1))
        size = self.left.shape[0], self.positions
        lefts, rights = left.bound.sqrt().reshape(size), right.bound.sqrt().reshape(size)
        value = torch.cat([_gram(self.left[i : i + 8], self.right[i : i + 8]) for i in range(0, size[0], 8)])
        wide, deep = self.left.shape[-1], self.right.shape[-1]
        roundings = wide + deep + 2 * self.positions
        most = (lefts * rights).sum(1).square()
        lost = raised(most, roundings, 0) - most
        lost = lost + deep * raised(lefts.sum(1).square() * 2.0**-126, 0, 1)
        lost = lost + wide * raised(rights.sum(1).square() * 2.0**-126, 0, 1)
        value = torch.where(torch.isfinite(value), value.clamp(min=0), value)
        return Squares(value, raised(value + 1.01 * lost, 4, self.positions**2))

    def total(self, factors: Tensor, into: Tensor, *, fresh: bool = False) -> None:
        """Add the sum of all examples' gradients, each times its factor; write it over what is there if `fresh`."""
        left, right = self.left, self.right
        if left.shape[-1] <= right.shape[-1]:
            left = left * factors[:, None, None]
        else:
            right = right * factors[:, None, None]
        left, right = left.reshape(-1, left.shape[-1]), right.reshape(-1, right.shape[-1])
        into.addmm_(left.t(), right, beta=0 if fresh else 1)

    def drop(self, dead: Tensor) -> None:
        """Set to zero what belongs to these examples."""
        self.left = self.left.masked_fill(dead[:, None, None], 0)
        self.right = self.right.masked_fill(dead[:, None, None], 0)

    def folded(self, fold: Fold) -> Product:
        """Return the same with units in front: their examples' positions side by side."""
        return Product(fold(self.left).flatten(1, 2), fold(self.right).flatten(1, 2))


def _gram(left: Tensor, right: Tensor) -> Tensor:
    both = torch.bmm(left, left.transpose(1, 2)).mul_(torch.bmm(right, right.transpose(1, 2)))
    return both.sum(2).sum(1)


class LookupTrace:
    """Rows of a table: the gradient of row v is the sum of g over the positions that look v up."""

    kind = "lookup"

    def __init__(self, places: Tensor, outgoing: Tensor, table: tuple[int, int], padding: int) -> None:
        self.places = places
        self.outgoing = outgoing
        self.table = table
        self.padding = padding

    def evidence(self) -> tuple[Tensor, Sequence[int]]:
        """Return the gradient of the result and its leading axes."""
        return self.outgoing, range(self.outgoing.dim() - 1)

    def arranged(self, layout: Layout, examples: int) -> Lookup:
        """Return the part, with the examples in front."""
        places = _front(self.places, layout, examples, 0)
        outgoing = _front(self.outgoing, layout, examples, 1).float()
        if self.padding >= 0:
            outgoing = outgoing.masked_fill((places == self.padding).unsqueeze(2), 0)
        return Lookup(places, outgoing, self.table)


class Lookup:
    """Rows of a table, examples in front: places (B, T), outgoing (B, T, d)."""

    def __init__(self, places: Tensor, outgoing: Tensor, table: tuple[int, int]) -> None:
        self.places = places
        self.outgoing = outgoing
        self.table = table
        self._sums: tuple[Tensor, Tensor, Tensor] | None = None

    def joined(self, other: Lookup) -> Lookup:
        """Return one part for two uses."""
        places = torch.cat([self.places, other.places], 1)
        return Lookup(places, torch.cat([self.outgoing, other.outgoing], 1), self.table)

    def rows(self, low: int, high: int) -> Tensor:
        """Return the gradients of examples low to high."""
        rows = self.outgoing.new_zeros(high - low, *self.table)
        self.add_rows(rows, low, high)
        return rows

    def add_rows(self, rows: Tensor, low: int, high: int) -> None:
        """Add the same to rows that are there already."""
        offset = torch.arange(high - low, device=rows.device).unsqueeze(1) * self.table[0]
        flat = (self.places[low:high] + offset).flatten()
        rows.view(-1, self.table[1]).index_add_(0, flat, self.outgoing[low:high].flatten(0, 1))

    def _merged(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of table rows, one for each example and row, their rows and their examples.

        What goes to one row may cancel. It is added up once, before it is measured and before it is scaled: single
        terms may be far longer than the gradient, and would round away what other examples added to the sum.
        """
        if self._sums is None:
            owner = torch.arange(self.places.shape[0], device=self.places.device)
            found, place = torch.unique(self.places + owner.unsqueeze(1) * self.table[0], return_inverse=True)
            sums = self.outgoing.new_zeros(len(found), self.table[1])
            sums.index_add_(0, place.flatten(), self.outgoing.flatten(0, 1))
            self._sums = sums, found % self.table[0], torch.div(found, self.table[0], rounding_mode="floor")
        return self._sums

    def squares(self) -> Squares:
        """Return squared lengths."""
        examples, positions = self.places.shape
        sums, _, whose = self._merged()
        each = squares(sums)
        value = each.value.new_zeros(examples).index_add_(0, whose, each.value)
        bound = each.bound.new_zeros(examples).index_add_(0, whose, each.bound)
        return Squares(value, raised(bound, positions, 0))

    def total(self, factors: Tensor, into: Tensor) -> None:
        """Add the sum of all examples' gradients, each times its factor."""
        sums, rows, whose = self._merged()
        into.index_add_(0, rows, sums * factors[whose].unsqueeze(1))

    def drop(self, dead: Tensor) -> None:
        """Set to zero what belongs to these examples."""
        self.outgoing = self.outgoing.masked_fill(dead[:, None, None], 0)
        self._sums = None

    def folded(self, fold: Fold) -> Lookup:
        """Return the same with units in front: their examples' positions side by side."""
        return Lookup(fold(self.places).flatten(1, 2), fold(self.outgoing).flatten(1, 2), self.table)


class SummedTrace:
    """A parameter that was spread over a larger shape: its gradient is the sum of `outgoing` down to its own."""

    kind = "summed"

    def __init__(self, outgoing: Tensor, shape: torch.Size) -> None:
        self.outgoing = outgoing
        self.shape = shape

    def evidence(self) -> tuple[Tensor, Sequence[int]]:
        """Return the spread gradient and the axes that the parameter does not have."""
        extra = self.outgoing.dim() - len(self.shape)
        own = (1,) * extra + tuple(self.shape)
        return self.outgoing, [axis for axis, length in enumerate(own) if length == 1]

    def arranged(self, layout: Layout, examples: int) -> Ready:
        """Return the part, with the examples in front."""
        spread = layout.unfold(self.outgoing.float(), examples)
        extra = self.outgoing.dim() - len(self.shape)
        own = (1,) * extra + tuple(self.shape)
        own = (*own[: layout.axis], 1, 1, *own[layout.axis + 1 :])
        away = [axis + 1 for axis, length in enumerate(own) if length == 1 and spread.shape[axis + 1] != 1]
        return Ready((spread.sum(away) if away else spread).reshape(examples, *self.shape))


class Ready:
    """Gradients that are there already, (B, *parameter): few numbers each."""

    def __init__(self, gradients: Tensor) -> None:
        self.gradients = gradients

    def joined(self, other: Ready) -> Ready:
        """Return one part for two uses."""
        return Ready(self.gradients + other.gradients)

    def rows(self, low: int, high: int) -> Tensor:
        """Return the gradients of examples low to high."""
        return self.gradients[low:high].clone()

    def add_rows(self, rows: Tensor, low: int, high: int) -> None:
        """Add the same to rows that are there already."""
        rows.add_(self.gradients[low:high])

    def squares(self) -> Squares:
        """Return squared lengths."""
        return squares(self.gradients)

    def total(self, factors: Tensor, into: Tensor) -> None:
        """Add the sum of all examples' gradients, each times its factor."""
        add_weighted(self.gradients, factors, into)

    def drop(self, dead: Tensor) -> None:
        """Set to zero what belongs to these examples."""
        self.gradients = self.gradients.masked_fill(dead.view(-1, *[1] * (self.gradients.dim() - 1)), 0)

    def folded(self, fold: Fold) -> Ready:
        """Return the same with units in front: their examples' gradients added up."""
        return Ready(fold(self.gradients).sum(1))


def add_weighted(rows: Tensor, factors: Tensor, into: Tensor) -> None:
    """Add the rows, each times its factor, to `into`."""
    if len(rows) == 1:
        into.addcmul_(rows[0], factors.reshape(()))
    else:
        into.view(-1).addmv_(rows.reshape(rows.shape[0], -1).t(), factors)
