"""Loan: private rows that were paid for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from discreet import errors
from discreet.ledger import Entry, Ledger
from discreet.release import Release, Shelf

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Loan:
    """Private rows that were paid for. Work on them is sealed, and one release comes of it.

    Args:
        source: The rows; opaque here.
        ledger: Where they were paid for.
        shelf: Where the release will stand.
        entry: The charge.
        name: The name of the release.
        request: The id of the question.
    """

    source: Any = field(repr=False)
    ledger: Ledger
    shelf: Shelf
    entry: Entry
    name: str
    request: str

    def read(self, work: Callable[..., T], *args: object) -> T:
        """Return `work(source, *args)`; nothing that goes wrong in it shows a private value.

        Raises:
            DataFailure: it failed; the charge stands.
        """
        return errors.sealed(work, self.source, *args)

    def settle(self, work: Callable[..., Release]) -> Release:
        """Store what `work(source, entry)` returns as the release of this charge, and enter it.

        Raises:
            DataFailure: `work` failed, or the release could not be written; the charge stands.
        """

        def checked(source: Any, entry: Entry) -> Release:
            release = work(source, entry)
            if type(release) is not Release or (release.name, release.entry["request"]) != (self.name, self.request):
                raise TypeError("work has to return the release it was asked for")
            return release

        release = self.read(checked, self.entry)
        self.ledger.released(self.entry, self.shelf.put(release))
        return release
