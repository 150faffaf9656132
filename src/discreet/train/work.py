"""A run in progress: its rows, its steps, and what is kept in case it is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from discreet.errors import DataFailure
from discreet.loan import Loan
from discreet.train.batches import Batch
from discreet.train.rows import Collate, Rows
from discreet.train.state import Parts, State, mark
from discreet.train.step import Step
from discreet.units import PrivacyUnit

T = TypeVar("T")
KEPT = "The charge stands, and the run is kept up to its last checkpoint. Nothing was released."
AGAIN = "Call make_private (or select) again with the same arguments: it goes on from there without a new charge."


class Work:
    """A run in progress: its rows, where it stands, and what is kept of it.

    Args:
        step: What takes its steps.
        loan: What it was charged for.
        state: Its private folder.
        parts: All that moves with its steps, and is saved; as it was saved last.
        taken: How many steps that had taken.
        checkpoint_every: After how many steps it is saved.

    Attributes:
        taken: How many steps the model has taken.
        rows: None before `resume`, and after `close`.
    """

    def __init__(self, step: Step, loan: Loan, state: State, parts: Parts, taken: int, checkpoint_every: int) -> None:
        self.step, self.loan, self.state = step, loan, state
        self.taken = taken
        self.rows: Rows | None = None
        self._parts, self._every = parts, checkpoint_every
        self._noted: Mapping[int, int] = {}

    def resume(self, collate: Collate | None, unit: PrivacyUnit) -> None:
        """Open the rows, and see what was noted of steps that will be taken again."""
        self._noted = self.state.noted()
        world, key = self.step.world, self.step.stream.words("rows", 0, 4).tobytes()

        def opened(source: Any) -> tuple[Rows, int]:
            with world.together():
                rows = Rows(source, collate, unit.column, unit.max_rows)
                told = int.from_bytes(rows.digest(key)[:8], "big") if world.size > 1 else 0
            return rows, told

        self.rows, told = self._sealed(opened)
        if not world.same(told):
            raise DataFailure(
                "the processes do not hold the same rows in the same order.",
                state=KEPT,
                remedy="Give every process the whole source, in one order: each takes its share of a batch by itself. "
                + AGAIN,
            )

    def batch(self) -> Batch:
        """Return the batch of the next step."""
        rows, step = self.rows, self.step
        assert rows is not None
        return self._sealed(lambda _: step.plan.batches(step.stream, len(rows))[self.taken])

    def take(self, batch: Batch) -> None:
        """Take a step, hold it against what was noted of it before a crash, and save now and then."""
        rows = self.rows
        assert rows is not None
        self._sealed(lambda _: self.step.take(rows, batch))
        moving = self.step.moving
        came_to = mark(self.step.model, self.step.stream, None if moving is None else moving.norm)
        if self._noted.get(batch.step, came_to) != came_to:
            raise _otherwise(f"step {batch.step + 1} came out otherwise than before the run was interrupted")
        if not self.step.world.same(came_to):
            raise _otherwise(f"step {batch.step + 1} came out otherwise in another process")
        if batch.step not in self._noted and self.step.world.leads:
            self._keep(lambda: self.state.note(batch.step, came_to))
        self.taken += 1
        if self.taken % self._every == 0 or self.taken == self.step.plan.steps:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Save where the run stands."""
        if self.step.world.leads:
            self._keep(lambda: self.state.save(self.taken, self._parts))

    def _keep(self, write: Callable[[], None]) -> None:
        """Write to the private folder."""
        try:
            write()
        except OSError as error:
            raise DataFailure(
                f"the run cannot be kept in {self.state.folder}: {error.strerror}.",
                state=KEPT,
                remedy="Remove what hinders it. " + AGAIN,
            ) from None

    def close(self) -> None:
        """Let go of the rows."""
        self.rows = None

    def _sealed(self, work: Callable[[Any], T]) -> T:
        try:
            return self.loan.read(work)
        except DataFailure:  # a constant: it holds nothing of its cause
            raise DataFailure(
                "the work on the private rows failed; its cause is withheld because it may show private values.",
                state=KEPT,
                remedy="Check that rows have the form of `example`, and that the loss takes every row there may be. "
                + AGAIN,
            ) from None


def _otherwise(what: str) -> DataFailure:
    return DataFailure(
        f"{what}: the rows, the code or the machine are not the same.",
        state="The charge stands. Nothing more was released, and this step was not shown.",
        remedy="Restore them and go on; or train anew under the next attempt, which is a new charge.",
    )
