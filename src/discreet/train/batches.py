"""Logical batches cut into micro-batches of one size, and people, who bring several rows each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from discreet.errors import InvalidInput
from discreet.events.checks import shown
from discreet.train.draws import Rows
from discreet.train.keystream import Keystream
from discreet.train.sampling import Sampler


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatch:
    """As many records as are computed at once; fewer are filled up.

    Args:
        indices: Of records, always as many.
        real: Whether the record at this place counts. What does not count repeats a record that does: its gradient
            must be made zero, not multiplied by zero, for it may not be finite.
        last: Whether the logical batch ends here.
    """

    indices: Rows = field(repr=False)
    real: NDArray[np.bool_] = field(repr=False)
    last: bool = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The logical batch of one step. An empty one is a step too: its noise is added, and the optimiser moves.

    Args:
        step: Which step, from 0.
        indices: Of its records (of people, if people are sampled), in increasing order. Secret, as is how many.
    """

    step: int
    indices: Rows = field(repr=False)

    def micro(self, size: int) -> Iterator[MicroBatch]:
        """Yield its micro-batches of `size` records: none if it is empty."""
        _whole("the size of a micro-batch", size)
        for start in range(0, self.indices.size, size):
            part = self.indices[start : start + size]
            indices = np.full(size, part[0], dtype=np.int64)
            indices[: part.size] = part
            yield MicroBatch(indices, np.arange(size) < part.size, start + size >= self.indices.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The batches of a whole run: batch t is a function of the key and of t.

    Args:
        sampler: How they are drawn.
        stream: From the run's secret key.
        units: How many records (or people) there are. Private, if neighbours add or remove one.
        steps: How many batches the run has.

    Guarantee:
        That of the sampler. `batches[t]` is the same however often, and in whatever order, it is asked for.
    Evidence:
        Proven: docs/proofs/batches.md.
    Assumes:
        The records and their order stay as they are during the run.
    Not protected:
        As for the sampler.
    """

    sampler: Sampler
    stream: Keystream
    units: int = field(repr=False)
    steps: int

    def __post_init__(self) -> None:
        if isinstance(self.units, bool) or not isinstance(self.units, int) or self.units < 0:
            raise InvalidInput("units must be a whole number of at least 0.", remedy="Give the number of records.")
        _whole("steps", self.steps)
        self.sampler.participations(self.steps)  # refuses a number of steps that it cannot have

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        if step == self.steps:
            raise IndexError(step)  # how Python's loops over a sequence end
        return Batch(step, self.sampler.batch(self.stream, step, units=self.units, steps=self.steps))

    def since(self, step: int) -> Iterator[Batch]:
        """Yield the batches from `step` on: how an interrupted run goes on."""
        return (self[t] for t in range(step, self.steps))


def _whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(
            f"{name} must be a whole number of at least 1, got {shown(value)}.", remedy="Give a public constant."
        )
