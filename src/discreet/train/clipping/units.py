"""All uses of one parameter, or of parameters that are computed together, joined before anything is squared.

A squared length over several uses has cross terms; joining first makes them come out by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol, cast

import torch
from torch import Tensor

from discreet.train.clipping.conv import Convolved
from discreet.train.clipping.norms import TINY, Squares, added, raised, squares
from discreet.train.clipping.records import Lookup, Part, Product, Ready, add_weighted
from discreet.train.clipping.watch import Leaf


class Method(str, Enum):
    """How gradients of single examples are had.

    `AUTO` picks for each parameter what is cheaper of `GHOST`, lengths without gradients, and `DIRECT`, which forms
    the gradients of a few examples at a time. `LOOP` runs one example after the other through plain autograd.
    """

    AUTO = "auto"
    GHOST = "ghost"
    DIRECT = "direct"
    LOOP = "loop"


class Quick:
    """A parameter whose gradients' lengths are known without forming the gradients."""

    def __init__(self, name: str, leaf: Leaf, parts: Sequence[Part]) -> None:
        self.name = name
        self.leaf = leaf
        self.parts = parts

    def squares(self) -> Squares:
        """Return the squared length of each example's gradient."""
        each = added([cast(Product, part).squares() for part in self.parts])
        if len(self.parts) == 1:
            return each
        product, lookup = cast(tuple[Product, Lookup], tuple(self.parts))
        return _with_cross_term(product, lookup, each)

    def total(self, factors: Tensor, into: Tensor, root: Tensor, *, fresh: bool) -> None:
        """Add the clipped sum; `root` is the parameter, and `fresh` says that `into` holds nothing yet."""
        if fresh and not (self.leaf.tensor is root and isinstance(self.parts[0], Product)):
            into.zero_()
        if self.leaf.tensor is root:
            for part in self.parts:
                if isinstance(part, Product):
                    part.total(factors, into, fresh=fresh)
                else:
                    part.total(factors, into)
            return
        gathered = torch.zeros(self.leaf.tensor.shape, device=into.device)
        for part in self.parts:
            part.total(factors, gathered)
        into.add_(torch.autograd.grad(self.leaf.tensor, root, gathered, retain_graph=True)[0])


class Weighed(Quick):
    """A matrix that each example multiplies once, and whose gradients left ⊗ right are scaled number by number."""

    def __init__(self, name: str, leaf: Leaf, part: Product, scale: Tensor) -> None:
        super().__init__(name, leaf, [part])
        self.part, self.scale = part, scale

    def squares(self) -> Squares:
        """Return Σ_ij left_i²·scale_ij²·right_j²: no term is negative, so what is lost is relative, but for `TINY`."""
        left, right = self.part.left[:, 0], self.part.right[:, 0]
        wide, deep = self.scale.shape
        inner = (left.square() + TINY) @ (self.scale.square() + TINY) + 2 * wide * TINY
        value = (inner * (right.square() + TINY)).sum(1)
        nothing = (left == 0).all(1) | (right == 0).all(1)
        return Squares(value.masked_fill(nothing, 0), raised(value, wide + deep + 16, wide + deep))

    def total(self, factors: Tensor, into: Tensor, root: Tensor, *, fresh: bool) -> None:  # noqa: ARG002 - it is the leaf
        """Add the clipped sum, scaled."""
        gathered = torch.empty_like(into)
        self.part.total(factors, gathered, fresh=True)
        if fresh:
            torch.mul(gathered, self.scale, out=into)
        else:
            into.addcmul_(gathered, self.scale)


def lengths(quick: Sequence[Quick]) -> list[Squares]:
    """Return squared lengths that add up to those of all these parameters: small gradients are measured in one go."""
    small = [unit.parts[0].gradients for unit in quick if isinstance(unit.parts[0], Ready)]
    ready = [each.reshape(len(each), -1) for each in small]
    found = [unit.squares() for unit in quick if not isinstance(unit.parts[0], Ready)]
    return [squares(torch.cat(ready, 1)), *found] if ready else found


def _with_cross_term(product: Product, lookup: Lookup, each: Squares) -> Squares:
    """Add twice the inner product of both uses: the sum over positions t, u of left_t[place_u] · (right_t · out_u)."""
    positions = product.positions
    picked = product.left.gather(2, lookup.places.unsqueeze(1).expand(-1, positions, -1))
    cross = (picked * torch.bmm(product.right, lookup.outgoing.transpose(1, 2))).sum(2).sum(1)
    lengths = torch.linalg.vector_norm(product.left, dim=2) * torch.linalg.vector_norm(product.right, dim=2)
    most = lengths.sum(1) * torch.linalg.vector_norm(lookup.outgoing, dim=2).sum(1)
    width = product.left.shape[-1] + 2 * product.right.shape[-1]
    lost = raised(most, width + 4 * positions, positions**2) - most
    lost = lost + product.right.shape[-1] * raised(picked.abs().sum((1, 2)) * 2.0**-126, 0, 1)
    value = each.value + 2 * cross
    value = torch.where(torch.isfinite(value), value.clamp(min=0), value)
    return Squares(value, raised((each.bound + 2 * cross + 2 * lost).clamp(min=0), 4, positions**2))


class Formed(Protocol):
    """Parameters whose gradients are formed, for a few examples at a time."""

    @property
    def size(self) -> int:
        """How many numbers one example's gradients have."""
        ...

    def form(self, low: int, high: int) -> Mapping[str, Tensor]:
        """Return the gradients of examples low to high; they may share one memory with those of the next call."""
        ...

    def gather(self, name: str, rows: Tensor, factors: Tensor) -> None:
        """Add rows as they were formed, each times its factor."""
        ...

    def finish(self) -> None:
        """Add what was gathered to the sums, if it was gathered elsewhere."""
        ...


class Lone:
    """One parameter that is used as it is, or as one rearrangement of itself."""

    def __init__(self, name: str, leaf: Leaf, parts: Sequence[Part], root: Tensor, into: Tensor) -> None:
        self.name, self.leaf, self.parts, self.root, self.into = name, leaf, parts, root, into
        self.last = False  # channels come last in what a convolution's kernel leaves
        self.buffer = torch.empty(0)
        self.apart = leaf.tensor is not root or isinstance(parts[0], Convolved)
        self.gathered = torch.zeros(leaf.tensor.shape, device=leaf.tensor.device) if self.apart else into

    @property
    def size(self) -> int:
        """How many numbers one example's gradients have, before they are added up over its rows."""
        first = self.parts[0]
        return self.root.numel() * (first.inputs.shape[1] if isinstance(first, Convolved) else 1)

    def form(self, low: int, high: int) -> Mapping[str, Tensor]:
        """Return the gradients of examples low to high."""
        first, *rest = self.parts
        if isinstance(first, Convolved) and not rest:
            rows, self.last = first.as_formed(low, high)
        elif isinstance(first, Product):
            if len(self.buffer) != high - low:
                self.buffer = torch.empty(high - low, *self.leaf.tensor.shape, device=self.gathered.device)
            rows = self.buffer
            first.fill(rows, low, high)
        else:
            rows = first.rows(low, high)
        for part in rest:
            part.add_rows(rows, low, high)
        return {self.name: rows}

    def gather(self, name: str, rows: Tensor, factors: Tensor) -> None:  # noqa: ARG002 - there is one
        """Add rows as they were formed, each times its factor."""
        if self.last and self.gathered.shape != rows.shape[1:]:
            self.gathered = self.gathered.movedim(1, -1).contiguous()
        add_weighted(rows, factors, self.gathered)

    def finish(self) -> None:
        """Add what was gathered to the sums, if it was gathered elsewhere."""
        if not self.apart:
            return
        found = self.gathered.movedim(-1, 1) if self.last else self.gathered
        if self.leaf.tensor is not self.root:
            found = torch.autograd.grad(self.leaf.tensor, self.root, found, retain_graph=True)[0]
        self.into.add_(found)


class Tangled:
    """Parameters that are computed from each other, or used in several forms: gradients are pulled back one by one."""

    def __init__(
        self, uses: Mapping[int, tuple[Leaf, Sequence[Part]]], roots: Mapping[str, Tensor], sums: Mapping[str, Tensor]
    ) -> None:
        self.uses = list(uses.values())
        self.roots = roots
        self.sums = sums

    @property
    def size(self) -> int:
        """How many numbers one example's gradients have, before and after pulling them back."""
        return sum(leaf.tensor.numel() for leaf, _ in self.uses) + sum(root.numel() for root in self.roots.values())

    def form(self, low: int, high: int) -> Mapping[str, Tensor]:
        """Return the gradients of examples low to high."""
        found: dict[str, Tensor] = {}
        for leaf, parts in self.uses:
            first, *rest = parts
            rows = first.rows(low, high)
            for part in rest:
                part.add_rows(rows, low, high)
            for name, pulled in self._pulled(leaf, rows).items():
                found[name] = found[name] + pulled if name in found else pulled
        return found

    def _pulled(self, leaf: Leaf, rows: Tensor) -> dict[str, Tensor]:
        """Return what gradients of a leaf are as gradients of the parameters it was computed from."""
        roots = [self.roots[name] for name in leaf.roots]
        if leaf.tensor is roots[0]:
            return {leaf.roots[0]: rows}
        rows = rows.to(leaf.tensor.dtype)
        each = [torch.autograd.grad(leaf.tensor, roots, row, retain_graph=True, allow_unused=True) for row in rows]
        return {
            name: torch.stack(parts).float()
            for name, parts in zip(leaf.roots, zip(*each, strict=True), strict=True)
            if parts[0] is not None
        }

    def gather(self, name: str, rows: Tensor, factors: Tensor) -> None:
        """Add rows as they were formed, each times its factor."""
        add_weighted(rows, factors, self.sums[name])

    def finish(self) -> None:
        """Do nothing: all is in the sums."""


def joined(parts: Sequence[Part]) -> list[Part]:
    """Return the parts with all of one kind made one, where that can be done."""
    kinds: dict[type, Part] = {}
    others: list[Part] = []
    for part in parts:
        kind = type(part)
        if isinstance(part, (Product, Lookup, Ready)):
            kinds[kind] = kinds[kind].joined(part) if kind in kinds else part  # type: ignore[attr-defined]
        else:
            others.append(part)
    order = (Product, Lookup, Ready)
    return [kinds[kind] for kind in order if kind in kinds] + others


def _ghost(part: Part, method: Method) -> bool:
    """Say whether lengths without gradients are cheaper: counted in floating-point operations of a matrix product."""
    if isinstance(part, Product):
        positions, wide, deep = part.positions, part.left.shape[-1], part.right.shape[-1]
        if positions == 1 or method is Method.GHOST:
            return True
        forming = wide * deep * (84 + 0.28 * positions)
        return method is Method.AUTO and 2 * positions**2 * (wide + deep + 16) < forming
    return isinstance(part, (Lookup, Ready))


def units(
    leaves: Mapping[int, tuple[Leaf, Sequence[Part]]],
    named: Mapping[str, Tensor],
    sums: Mapping[str, Tensor],
    method: Method,
    scales: Mapping[str, Tensor] | None = None,
) -> tuple[list[Quick], list[Formed]]:
    """Sort the parameters by how their gradients are had; scaled ones are mostly formed, in their parameters' shapes."""
    quick: list[Quick] = []
    formed: list[Formed] = []
    for names, keys in _families(leaves):
        uses = {key: (leaves[key][0], joined(leaves[key][1])) for key in keys}
        leaf, parts = uses[keys[0]]
        lone = len(keys) == 1 and len(names) == 1 and leaf.plain
        kinds = tuple(type(part) for part in parts)
        simple = kinds in {(Product,), (Lookup,), (Ready,), (Product, Lookup)}
        if scales is not None:
            root = named[names[0]]
            if lone and leaf.tensor is root and method is not Method.DIRECT and _once(parts):
                quick.append(Weighed(names[0], leaf, cast(Product, parts[0]), scales[names[0]]))
            else:
                formed.append(Tangled(uses, {name: named[name] for name in names}, sums))
        elif lone and simple and all(_ghost(part, method) for part in parts):
            quick.append(Quick(names[0], leaf, parts))
        elif lone:
            formed.append(Lone(names[0], leaf, parts, named[names[0]], sums[names[0]]))
        else:
            formed.append(Tangled(uses, {name: named[name] for name in names}, sums))
    return quick, formed


def _once(parts: Sequence[Part]) -> bool:
    """Say whether an example's gradient is one product left ⊗ right."""
    return len(parts) == 1 and isinstance(parts[0], Product) and parts[0].positions == 1


def _families(leaves: Mapping[int, tuple[Leaf, Sequence[Part]]]) -> list[tuple[list[str], list[int]]]:
    """Return names and leaves that belong together: leaves that share a parameter, however far around."""
    families: list[tuple[list[str], list[int]]] = []
    for key, (leaf, _) in leaves.items():
        names, keys = list(leaf.roots), [key]
        rest = []
        for family in families:
            if set(family[0]) & set(names):
                names, keys = list(dict.fromkeys(family[0] + names)), family[1] + keys
            else:
                rest.append(family)
        families = [*rest, (names, keys)]
    return families
