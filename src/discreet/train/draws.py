"""Coins, shares and subsets from a keystream: exact, given ideal bits, and for each record from bits of its own."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from discreet.errors import InvalidInput
from discreet.train.keystream import Keystream

Rows: TypeAlias = NDArray[np.int64]
_CHUNK = 2**20  # records looked at together, so that memory does not grow with their number
_LOW = 2**32
_MOST_SHARES = 2**31


def heads(stream: Keystream, label: str, step: int, size: int, rate: float) -> Rows:
    """Return which of `size` coins show heads, with a chance of exactly `rate`, a float of at least 2⁻⁴⁴.

    A coin is a number of 96 bits below rate·2⁹⁶, a whole number. The first 32 decide, but for one coin in 2³² or so.
    """
    if rate == 1:
        return np.arange(size, dtype=np.int64)
    high, low = divmod(int(Fraction(rate) * 2**96), 2**64)
    found = []
    for start in range(0, size, _CHUNK):
        coins = _halves(stream, label, step, min(_CHUNK, size - start), start)
        shown = coins < high
        for i in np.flatnonzero(coins == high):
            shown[i] = int(stream.words(f"{label}/low", step, 1, start + int(i))[0]) < low
        found.append(np.flatnonzero(shown) + start)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _halves(stream: Keystream, label: str, step: int, size: int, start: int) -> NDArray[np.uint32]:
    """Return `size` numbers of 32 bits, two to a word, of which `start`, an even number, is the first's place."""
    halves: NDArray[np.uint32] = stream.words(label, step, -(-size // 2), start // 2).view("<u4")[:size]
    return halves


def in_share(stream: Keystream, label: str, step: int, size: int, shares: int, share: int) -> Rows:
    """Return which of `size` records drew `share` out of `shares` equally likely ones: exact (Lemire 2019).

    Of 2³² numbers as many lead to each share, once those whose product has a low half below 2³² mod `shares` are
    drawn again, each at the same place of the next attempt.
    """
    if shares > _MOST_SHARES:
        raise InvalidInput(
            f"records are allotted to at most 2**31 steps or groups, got {shares}.",
            state="No batch was drawn.",
            remedy="Use fewer.",
        )
    found = []
    for start in range(0, size, _CHUNK):
        products = _halves(stream, label, step, min(_CHUNK, size - start), start).astype(np.uint64) * np.uint64(shares)
        mine = (products >> np.uint64(32)) == share
        for i in np.flatnonzero((products & np.uint64(_LOW - 1)) < _LOW % shares):
            mine[i] = _again(stream, label, step, start + int(i), shares) == share
        found.append(np.flatnonzero(mine) + start)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _again(stream: Keystream, label: str, step: int, place: int, shares: int) -> int:
    """Return the share of a record whose first number would have favoured some shares."""
    for attempt in range(1, 10_000):
        product = (int(stream.words(f"{label}/attempt {attempt}", step, 1, place)[0]) >> 32) * shares
        if product % _LOW >= _LOW % shares:
            return product >> 32
    raise AssertionError("a keystream that never ends its attempts is none")  # a chance of 2**-9999


def subset(stream: Keystream, label: str, step: int, size: int, kept: int) -> Rows:
    """Return a uniform subset of `kept` out of `size`: those with the least words, drawn again if the last is a tie."""
    if kept == size:
        return np.arange(size, dtype=np.int64)
    for attempt in range(10_000):
        words = stream.words(f"{label}/attempt {attempt}", step, size)
        least = np.partition(words, [kept - 1, kept])
        if least[kept - 1] < least[kept]:
            return np.flatnonzero(words <= least[kept - 1])
    raise AssertionError("a keystream all of whose words are ties is none")
