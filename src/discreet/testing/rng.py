"""A repeatable generator for tests; a real ledger refuses it."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from discreet.mechanisms.rng import Rng


class FixedRng(Rng):
    """The same bytes for the same seed, from SHAKE-256.

    Args:
        seed: Any whole number of at least 0.
    """

    __slots__ = ("_calls", "_seed")

    secure: ClassVar[bool] = False

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._calls = 0

    def bytes(self, n: int) -> bytes:
        """Return the next `n` bytes."""
        self._calls += 1
        return hashlib.shake_256(f"{self._seed}/{self._calls}".encode()).digest(n)
