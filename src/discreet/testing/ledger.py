"""A throw-away ledger for tests, and datasets that repeat themselves; no real ledger accepts either."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path

from discreet.dataset import Dataset
from discreet.ledger import Ledger, OwnerKey
from discreet.testing.rng import FixedRng


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


def with_fixed_randomness(dataset: Dataset, seed: int) -> Dataset:
    """Return a copy of `dataset` whose noise depends on `seed` alone; its ledger must be a `ScratchLedger`.

    Its releases are marked as made for a test, and a real ledger refuses to charge for them.
    """
    copy = replace(dataset)
    object.__setattr__(copy, "_rng", FixedRng(seed))
    return copy
