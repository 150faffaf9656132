"""Connections at rest, kept for the next transaction."""

from __future__ import annotations

import os
import weakref
from typing import Generic, Protocol, TypeVar


class Connection(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """End it."""


C = TypeVar("C", bound=Connection)


class Kept(Generic[C]):
    """Connections at rest. Each serves one thread at a time, and only the process that opened it.

    A forked child finds its parent's here; it neither uses nor closes them, for that would end the
    parent's sessions.
    """

    def __init__(self) -> None:
        self._idle: list[tuple[int, C]] = []
        self._inherited: list[C] = []
        weakref.finalize(self, _close, self._idle)

    def take(self) -> C | None:
        """Return a connection of this process, if one is at rest."""
        while True:
            try:
                process, connection = self._idle.pop()
            except IndexError:  # asking first would let another thread take it in between
                return None
            if process == os.getpid():
                return connection
            self._inherited.append(connection)

    def give(self, connection: C) -> None:
        """Keep a connection that is at rest."""
        self._idle.append((os.getpid(), connection))

    def drop(self) -> None:
        """Close the connections at rest."""
        while (connection := self.take()) is not None:
            connection.close()


def _close(idle: list[tuple[int, C]]) -> None:
    for process, connection in idle:
        if process == os.getpid():
            connection.close()
