"""Finding out once, for each use of a parameter, where the model keeps its examples.

Three examples run forward once and backward twice: once with the sum of their losses, once with losses weighted 1, 2
and 4. Gradients are linear in the losses, and powers of two are exact, so the rows of each example show their weight.
A shape alone would not do: 16 examples of 128 words are 16 by 128, but so are 128 words of 16 examples turned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree

from discreet.errors import InvalidInput
from discreet.mechanisms.rng import Rng
from discreet.train.clipping.layout import Layout, Unwatchable, candidates, fits
from discreet.train.clipping.records import Trace
from discreet.train.clipping.trees import NOTHING_CLIPPED, taken
from discreet.train.clipping.watch import Leaf

ROWS = 3
DIGITS = 64  # weights of 1 … 2⁶³, which no gradient of a size that can be squared makes infinite
LEAST = 2.0**-124  # parts of gradients below this lose digits; they are not told apart
Key = tuple[str, str, int, int]
Records = Sequence[tuple[Leaf, Trace]]


class Unsure(Exception):
    """The examples did not show where examples are: their gradients are zero or not finite, for instance.

    Args:
        odd: For each row of the batch whether it is what says nothing; None if that is not known.
    """

    def __init__(self, odd: Tensor | None = None) -> None:
        super().__init__()
        self.odd = odd


@dataclass
class Notes:
    """What is known about a model: the layout of each recorded use.

    Args:
        layouts: By parameter, operation, how many such records there are and how many came before it in the backward
            pass; and by what one example has of its shape: a layout that was found for one length says nothing of others.
        moved: The batch's numbers may pick rows, so that every batch has to be looked at.
        slow: The parameter and the operation for which the model runs one example at a time from now on.
        short: Gradients are bfloat16, so that an example's gradient is not the same, to many digits, whichever way it is had.
    """

    layouts: dict[Key, dict[tuple[int, ...], Layout]] = field(default_factory=dict)
    moved: bool = False
    slow: tuple[str, str] | None = None
    short: bool = False

    def layout(self, key: Key, leaf: Leaf, trace: Trace, examples: int) -> Layout:
        """Return where a use keeps its examples.

        Raises:
            Unwatchable: that is not known for its shape, or two layouts that are known fit it.
        """
        shape = trace.evidence()[0].shape
        known = self.layouts.get(key, {})
        found = {one for share, one in known.items() if one.share(shape, examples) == share}
        if len(found) != 1:
            raise Unwatchable(leaf.roots[0], f"{trace.kind} that comes and goes")
        return found.pop()

    def learn(self, records: Records, *, moved: bool) -> None:
        """Take note of what a pass showed.

        Raises:
            InvalidInput: gradients are float16.
            Unwatchable: rows may move, and gradients are short. Whether a batch goes the fast way then depends on all of
                its examples, and one of them could change how all the others round.
        """
        kinds = {trace.evidence()[0].dtype for _, trace in records}
        if torch.float16 in kinds:
            raise _halved()
        self.moved = self.moved or moved
        self.short = self.short or torch.bfloat16 in kinds
        if self.moved and self.short:
            raise Unwatchable(
                records[0][0].roots[0], "bfloat16, after a call in which the batch's numbers may move its rows"
            )


def _halved() -> InvalidInput:
    return InvalidInput(
        "gradients come as float16, in which numbers below 6e-8 become 0 and those above 65,504 infinite.",
        state=NOTHING_CLIPPED,
        remedy="Take torch.bfloat16, for autocast or for parameters: it has the range of float32.",
    )


def keyed(records: Records) -> Iterator[tuple[Key, Leaf, Trace]]:
    """Number the records of each parameter and operation."""
    pairs = [("+".join(leaf.roots), f"{trace.kind}/{trace.evidence()[0].dim()}") for leaf, trace in records]
    every, seen = Counter(pairs), Counter[tuple[str, str]]()
    for pair, (leaf, trace) in zip(pairs, records, strict=True):
        yield (*pair, every[pair], seen[pair]), leaf, trace
        seen[pair] += 1


def find_layouts(
    record: Callable[[Any, int, list[Tensor]], list[Records]], batch: Any, notes: Notes, places: Tensor
) -> None:
    """Fill in the layout of every use.

    Args:
        record: Runs a batch of so many examples, backward once for each vector of weights; returns the records.
        batch: Examples.
        notes: Filled in.
        places: Three examples to look at, or one of them three times.

    Raises:
        Unwatchable: there is no layout in which the examples are apart from each other.
        Unsure: more than one layout is possible.
    """
    weights = torch.tensor([1.0, 2.0, 4.0])
    once, weighted = record(taken(batch, places), ROWS, [torch.ones(ROWS), weights])
    if len(once) != len(weighted):
        raise Unwatchable("", "an operation that is not the same each time")
    found: dict[Key, tuple[tuple[int, ...], Layout]] = {}
    unsure = False
    for (key, leaf, trace), (_, _, other) in zip(keyed(once), keyed(weighted), strict=True):
        plain, axes = trace.evidence()
        possible = list(candidates(plain.shape, axes, ROWS))
        twice = other.evidence()[0]
        if not torch.isfinite(plain).all():
            unsure = True
            continue
        fitting = [layout for layout in possible if fits(layout, plain, twice, weights.to(plain.device))]
        if not fitting:
            raise Unwatchable(leaf.roots[0], f"{trace.kind} where examples are not apart from each other")
        unsure = unsure or len(fitting) > 1
        share = fitting[0].share(plain.shape, ROWS)
        assert share is not None
        found[key] = share, fitting[0]
    if unsure:
        raise Unsure
    for key, (share, layout) in found.items():
        notes.layouts.setdefault(key, {})[share] = layout


def repeated(batch: Any, rows: int, examples: int) -> Tensor:
    """Return the places of the first so many examples, again and again if there are fewer."""
    tensors = [leaf for leaf in _pytree.tree_leaves(batch) if isinstance(leaf, Tensor)]
    return (torch.arange(rows) % examples).to(tensors[0].device)


def varied(examples: int) -> list[Tensor]:
    """Return at least two vectors of weights, powers of two; any two examples differ in one of them or more.

    Each example is given a number of its own, drawn anew each time; the weights are the digits of that number.
    """
    number, count = _shuffled(examples), 1
    while DIGITS**count < examples:
        count += 1
    digits = [number // DIGITS**place % DIGITS for place in range(count)]
    if count == 1:
        digits.append(_shuffled(examples))
    return [torch.exp2(digit.float()) for digit in digits]


def _shuffled(examples: int) -> Tensor:
    return torch.from_numpy(Rng().words(examples).astype(np.int64)).argsort()


def confirm(once: Records, weighted: Records, notes: Notes, weights: Tensor) -> None:
    """Check that in this very batch every number belongs to the example that the notes say.

    Raises:
        Unwatchable: one does not.
        Unsure: numbers of some rows are not finite, so that they say nothing.
    """
    if len(once) != len(weighted):
        raise Unwatchable("", "an operation that is not the same each time")
    sound = torch.ones(len(weights), dtype=torch.bool)
    for (key, leaf, trace), (_, _, other) in zip(keyed(once), keyed(weighted), strict=True):
        layout = notes.layout(key, leaf, trace, len(weights))
        plain, scaled = (layout.unfold(one.evidence()[0], len(weights)).flatten(1).float() for one in (trace, other))
        size = weights.to(plain).unsqueeze(1)
        expected = plain * size
        numbers = (torch.isfinite(expected) & torch.isfinite(scaled)).all(1)
        sound &= numbers.cpu()
        alike = (scaled - expected).abs() <= 1e-6 * expected.abs() + LEAST * size
        if not bool((alike | ~numbers.unsqueeze(1)).all()):
            raise Unwatchable(leaf.roots[0], f"{trace.kind} of rows that the batch's numbers picked")
    if not bool(sound.all()):
        raise Unsure(~sound)
