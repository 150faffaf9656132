"""World: the processes that take the steps of one run together, each for a share of every batch.

Only sums of clipped gradients pass between them. All processes then add the same noise, drawn from the same key, and
move their models alike: nothing else has to be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from discreet.errors import InvalidInput
from discreet.train.draws import Rows as Numbers


@dataclass(frozen=True, slots=True)
class World:
    """The processes of `torch.distributed`; this one alone if there are no others.

    Args:
        rank: Which of them this is. Process 0 charges, keeps the private folder and releases.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> World:
        """Return the processes that were started, if any."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def leads(self) -> bool:
        """Whether this process charges and keeps what the run needs."""
        return self.rank == 0

    def share(self, numbers: Numbers) -> Numbers:
        """Return this process's part of a batch."""
        return numbers[self.rank :: self.size]

    def total(self, sums: Mapping[str, torch.Tensor]) -> None:
        """Add up what the processes have, in place: all of them then have the whole."""
        if self.size > 1:
            for tensor in sums.values():
                dist.all_reduce(tensor)

    def led(self, work: Callable[[], bytes], size: int) -> bytes:
        """Let process 0 do what the others wait for, and return its `size` bytes in all of them.

        Raises:
            Exception: what it raised, in process 0.
            InvalidInput: it raised something, in the others.
        """
        if self.size == 1:
            return work()
        sent, refusal = torch.zeros(size + 1, dtype=torch.uint8), None
        if self.leads:
            try:
                sent[1:] = torch.tensor(list(work()), dtype=torch.uint8)
                sent[0] = 1
            except Exception as error:  # noqa: BLE001 - raised below, once the others know
                refusal = error
        dist.broadcast(sent, src=0)
        if refusal is not None:
            raise refusal
        if not sent[0]:
            raise InvalidInput(
                "process 0 refused.", state="This process did nothing.", remedy="See what process 0 says."
            )
        return bytes(sent[1:].tolist())

    def same(self, number: int) -> bool:
        """Say whether all processes have the same number, of at most 64 bits."""
        if self.size == 1:
            return True
        halves = torch.tensor([number >> 32, number & (2**32 - 1)], dtype=torch.int64)
        ends = torch.cat([halves, -halves])
        dist.all_reduce(ends, op=dist.ReduceOp.MAX)
        return bool((ends[:2] == -ends[2:]).all())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let work fail in all processes if it fails in one: the others would wait for it.

        Raises:
            RuntimeError: it failed in another one.
        """
        fine = False
        try:
            yield
            fine = True
        finally:
            every = self._all(fine=fine)
        if not every:
            raise RuntimeError("another process failed")

    def _all(self, *, fine: bool) -> bool:
        if self.size == 1:
            return fine
        failed = torch.tensor([0 if fine else 1])
        dist.all_reduce(failed)
        return not bool(failed)
