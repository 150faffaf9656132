"""Keystream: random bits that a key and a place name, so that a batch or a noise can be drawn again and never kept."""

from __future__ import annotations

import hmac
from typing import NoReturn

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from discreet.errors import InvalidInput
from discreet.mechanisms import Rng

KEY_BYTES = 32
WORD_BYTES = 8
_BLOCK_BYTES = 16
_SPARE_BYTES = _BLOCK_BYTES - 1  # what the cipher wants free behind what it writes
_MOST = 2**64
_PURPOSE = b"discreet.train keystream 1\0"
_STATE = "No bit was drawn."


def fresh_key(rng: Rng) -> bytes:
    """Return a new key of 256 bits: one for each run, kept as secret as the data."""
    return rng.bytes(KEY_BYTES)


class Keystream:
    """Uniform 64-bit words, each a function of a secret key and of its place: label, step, offset.

    Args:
        key: 32 secret bytes, from `fresh_key`.

    Guarantee:
        Words at different places come from different blocks of AES-256 in counter mode, or from keys of their own:
        no two places share a bit. Who does not know the key tells B blocks of all labels together from independent
        uniform bits with an advantage of at most B²/2¹²⁹, plus what breaks AES-256 or HMAC-SHA-256.
    Evidence:
        Proven but for the two primitives: docs/proofs/training_noise.md.
    Assumes:
        The key is secret, uniform, and used for one run. AES-256 is a pseudo-random permutation, HMAC-SHA-256 a
        pseudo-random function.
    Not protected:
        A place that is asked twice gives the same bits twice: that is the point, and the caller's care. The key
        lies in this process's memory.

    References:
        Bellare, Desai, Jokipii, Rogaway, "A Concrete Security Treatment of Symmetric Encryption", 1997 (counter mode).
    """

    __slots__ = ("_key", "_subkeys")

    def __init__(self, key: bytes) -> None:
        if not isinstance(key, bytes) or len(key) != KEY_BYTES:
            size = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
            raise InvalidInput(
                f"a key is {KEY_BYTES} bytes, got {size}.", state=_STATE, remedy="Draw one by fresh_key(Rng())."
            )
        self._key = key
        self._subkeys: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return "Keystream(key hidden)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise InvalidInput(
            "a keystream is not copied or pickled: its key would travel unseen.",
            state="Nothing was written.",
            remedy="Keep the key where secrets are kept, and build the keystream from it there.",
        )

    def key(self) -> bytes:
        """Return the key, to be kept where secrets are kept."""
        return self._key

    def words(self, label: str, step: int, n: int, offset: int = 0) -> NDArray[np.uint64]:
        """Return the `n` words of a label and a step that begin at `offset`.

        Raises:
            InvalidInput: step or offset is no whole number of 64 bits, or the words end beyond 2**64.
        """
        first = offset // 2 * 2  # two words to a block
        size = (offset - first + n) * WORD_BYTES
        buffer = bytearray(size + _SPARE_BYTES)
        self.fill(buffer, bytes(size), label, step, first)
        found: NDArray[np.uint64] = np.frombuffer(buffer, dtype="<u8", count=offset - first + n)[offset - first :]
        return found

    def fill(self, buffer: bytearray, zeros: bytes | memoryview, label: str, step: int, offset: int = 0) -> None:
        """Write the words from an even `offset` on into `buffer`, as many bytes as there are `zeros`.

        The buffer needs 15 bytes more. For callers who draw often, and keep both.
        """
        words = -(-len(zeros) // WORD_BYTES)
        for name, value in (("step", step), ("offset", offset)):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
                raise _misplaced(f"{name} must be a whole number from 0 to 2**64 - 1, got {value!r}.")
        if offset % 2 or offset + words > _MOST:
            raise _misplaced(f"{words} words from {offset} on are not words of one step, from the start of a block.")
        counter = (step << 64 | offset // 2).to_bytes(_BLOCK_BYTES, "big")
        cipher = Cipher(algorithms.AES(self._subkey(label)), modes.CTR(counter))
        cipher.encryptor().update_into(zeros, buffer)

    def _subkey(self, label: str) -> bytes:
        """Return the key of a label: different labels have keys that do not tell of each other."""
        found = self._subkeys.get(label)
        if found is None:
            found = hmac.digest(self._key, _PURPOSE + label.encode(), "sha256")
            self._subkeys[label] = found
        return found


def _misplaced(what: str) -> InvalidInput:
    return InvalidInput(what, state=_STATE, remedy="Count steps and offsets from 0; no run reaches 2**64 of either.")
