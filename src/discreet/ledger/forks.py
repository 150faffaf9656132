"""SQLite and fork: no connection lives through one.

SQLite remembers for the whole process which files it has open and locked. A forked child inherits
that memory, but not the locks: where its parent held one, it takes none, and believes itself alone.
So connections at rest are closed before a fork. If one is still open then, at work in another thread,
the child refuses SQLite ledgers for ever: it cannot forget.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from discreet.ledger.kept import Kept


class Forks:
    """Watches the connections of this process. There is one of it, for SQLite has one memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: weakref.WeakSet[Kept[Any]] = weakref.WeakSet()
        self._open: set[object] = set()
        self.inherited = False  # whether this process was forked while a connection was open
        os.register_at_fork(before=self._before, after_in_child=self._in_child)

    def watch(self, kept: Kept[Any]) -> None:
        """Close what is at rest there before each fork."""
        with self._lock:
            self._watched.add(kept)

    def opening(self) -> object:
        """Return a token for a connection that is about to be opened."""
        token = object()
        self._open.add(token)
        return token

    def closed(self, token: object) -> None:
        """Forget a connection, once it has been closed."""
        self._open.discard(token)

    def _before(self) -> None:
        with self._lock:
            watched = list(self._watched)
        for kept in watched:
            kept.drop()

    def _in_child(self) -> None:
        self._lock = threading.Lock()  # another thread may have held it
        self.inherited = self.inherited or bool(self._open)
        self._open.clear()


FORKS = Forks()
