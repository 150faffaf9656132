"""Where a tensor inside the model keeps its examples.

The batch has them along its first axis. Inside the model they may lie along another one, or share an axis with
something else: (time, batch, width), (batch·time, width), (windows·batch, …).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor


class Unwatchable(Exception):
    """An operation on a parameter that only the loop over single examples can differentiate.

    Args:
        name: The parameter.
        operation: What is done with it.
    """

    def __init__(self, name: str, operation: str) -> None:
        super().__init__(name, operation)
        self.name = name
        self.operation = operation


@dataclass(frozen=True)
class Layout:
    """The axis that holds the examples, and what shares it with them.

    Args:
        axis: The axis.
        order: `alone`, `first` (examples vary slowest), `last` (fastest) or `middle`.
        outer: For `middle`, how many blocks of all examples there are.
    """

    axis: int
    order: str = "alone"
    outer: int = 1

    def split(self, length: int, examples: int) -> tuple[int, int] | None:
        """Return how many blocks lie around and inside the examples, or None where this does not fit."""
        if length % examples:
            return None
        others = length // examples
        if self.order == "alone":
            return (1, 1) if others == 1 else None
        if self.order == "first":
            return 1, others
        if self.order == "last":
            return others, 1
        return (self.outer, others // self.outer) if others % self.outer == 0 else None

    def share(self, shape: Sequence[int], examples: int) -> tuple[int, ...] | None:
        """Return what a tensor of this shape has of one example, or None where examples do not fit."""
        if self.axis >= len(shape) or shape[self.axis] % examples:
            return None
        return (*shape[: self.axis], shape[self.axis] // examples, *shape[self.axis + 1 :])

    def unfold(self, tensor: Tensor, examples: int) -> Tensor:
        """Return the tensor with the examples in front and what shared their axis left in its place, as two axes.

        Raises:
            Unwatchable: the axis cannot hold so many examples.
        """
        shape = tensor.shape
        parts = self.split(shape[self.axis], examples) if self.axis < len(shape) else None
        if parts is None:
            raise Unwatchable("", "an operation whose shape changed")
        outer, inner = parts
        view = tensor.reshape(*shape[: self.axis], outer, examples, inner, *shape[self.axis + 1 :])
        return view.movedim(self.axis + 1, 0)


def candidates(shape: Sequence[int], axes: Sequence[int], examples: int) -> Iterator[Layout]:
    """Yield every layout that this shape allows."""
    for axis in axes:
        others, rest = divmod(shape[axis], examples)
        if rest or not others:
            continue
        if others == 1:
            yield Layout(axis)
            continue
        yield Layout(axis, "first")
        yield Layout(axis, "last")
        for outer in range(2, others):
            if others % outer == 0:
                yield Layout(axis, "middle", outer)


def fits(layout: Layout, once: Tensor, weighted: Tensor, weights: Tensor) -> bool:
    """Say whether each example's part of `weighted` is that of `once` times the example's weight.

    Args:
        layout: Where the examples are thought to be.
        once: Gradient of the plain sum of losses.
        weighted: Gradient of the sum of losses times `weights`.
        weights: One power of two for each example, so that nothing is rounded.
    """
    plain = layout.unfold(once, len(weights)).flatten(1)
    other = layout.unfold(weighted, len(weights)).flatten(1)
    expected = plain * weights.to(plain.dtype).unsqueeze(1)
    size = expected.abs().amax(1, keepdim=True)
    return bool(((other - expected).abs() <= 1e-4 * size).all())
