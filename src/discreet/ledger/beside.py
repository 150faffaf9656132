"""A lock on a file beside the ledger, which nothing but its holder can drop.

SQLite locks the ledger's own file with POSIX record locks. A process loses all of those on a file as
soon as it closes *any* descriptor of it: a backup by copying in another thread is enough, and two
writers then believe themselves alone. This lock (`flock`) belongs to one open file description.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FIRST, LONGEST = 0.0005, 0.02  # seconds between two tries


class Beside:
    """The lock of the ledger at `path`: the file `<path>-lock`, which stays.

    Args:
        path: The ledger's file, links resolved: one ledger, one lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}-lock")

    @contextmanager
    def held(self, *, wait: float, looking: bool) -> Iterator[None]:
        """Hold the lock, alone among all threads and processes.

        Args:
            wait: Seconds to wait for another holder.
            looking: Nothing will be written: go on without it where it is not there and cannot be made.

        Raises:
            OSError: the file cannot be made or opened, or (TimeoutError) somebody else holds it.
        """
        handle = self._take(wait=wait, looking=looking)
        try:
            yield
        finally:
            if handle is not None:
                fcntl.flock(handle, fcntl.LOCK_UN)  # not close alone: a forked child may hold a copy
                os.close(handle)

    def _take(self, *, wait: float, looking: bool) -> int | None:
        end, pause = time.monotonic() + wait, FIRST
        while True:
            try:
                handle = self._open()
            except OSError:
                if looking:
                    return None
                raise
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._stands(handle):
                    return handle
            except BlockingIOError:
                if time.monotonic() > end:
                    os.close(handle)
                    raise TimeoutError("another process has kept it locked") from None
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return os.open(self.path, os.O_RDONLY | os.O_CREAT, 0o666)

    def _stands(self, handle: int) -> bool:
        """Return whether the file locked is still the one that others find."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(handle)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)
