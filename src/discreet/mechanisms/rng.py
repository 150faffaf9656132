"""Randomness: the operating system's cryptographic generator, and nothing else.

Every byte is asked for when it is needed. There is no pool, so there is nothing that a fork could
copy, a second thread could be handed, or a memory dump could hold. One request for a whole vector
of noise costs a microsecond of overhead: a pool would buy nothing measurable.
"""

from __future__ import annotations

import os
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from discreet.errors import InvalidInput


class Rng:
    """Uniform random bits from the operating system (`os.urandom`).

    Safe across threads and forks: no state is kept between calls. There is no seed; tests replace
    the generator by `discreet.testing.FixedRng`, whose `secure` is False and which a real ledger
    refuses.

    Assumes:
        The kernel's generator is seeded and its output cannot be told from uniform bits.
    """

    __slots__ = ()

    secure: ClassVar[bool] = True

    def bytes(self, n: int) -> bytes:
        """Return `n` fresh random bytes."""
        if n < 0:
            raise InvalidInput(f"n must be at least 0, got {n}.")
        return os.urandom(n)

    def words(self, n: int) -> NDArray[np.uint64]:
        """Return `n` fresh random 64-bit words."""
        return np.frombuffer(self.bytes(8 * n), dtype="<u8")

    def word(self) -> int:
        """Return one fresh random 64-bit word."""
        return int.from_bytes(self.bytes(8), "little")
