"""A throw-away ledger for tests: it accepts fixed randomness, and no real ledger accepts its accounts."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from discreet.ledger import Ledger, OwnerKey


class ScratchLedger(Ledger):
    """A ledger for tests, by default in a folder of its own that goes away with it.

    Its accounts are marked: a real `Ledger` refuses them, and it refuses those of a real one.

    Args:
        url: Where to keep it instead; a file or a PostgreSQL database for tests.

    Attributes:
        owner: A key made for this ledger, to open, raise and share with.
    """

    testing = True

    def __init__(self, url: str | Path | None = None) -> None:
        aside = Path(tempfile.mkdtemp(prefix="discreet-scratch-"))
        weakref.finalize(self, shutil.rmtree, aside, ignore_errors=True)
        super().__init__(aside / "ledger.db" if url is None else url)
        self.owner = OwnerKey.create(aside / "owner.key")
