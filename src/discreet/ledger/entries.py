"""Entry: one row of the ledger, its canonical text and its hash.

The hash covers the whole body, and the body holds the previous hash: an edited, removed or
reordered row shows. Owner's entries also carry an Ed25519 signature of their hash.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from discreet import events
from discreet.accounting import Cost
from discreet.errors import LedgerDamaged

Kind = Literal["open", "charge", "release", "raise", "share", "renew"]
VERSION = 1
OF_PERIODS = 2  # of a row that says something of a period: who does not know of periods must not go on from it
GENESIS = "0" * 64
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_READ = json.JSONDecoder()  # a canonical text begins and ends without spaces: to look for some takes as long as reading


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger.

    Args:
        body: Everything the row says, as plain data.
        hash: SHA-256 of the body's canonical text.
        signature: Ed25519 signature of the hash in hex; owner's entries only.
    """

    body: Mapping[str, Any]
    hash: str
    signature: str | None = None

    @classmethod
    def of(cls, row: Sequence[Any]) -> Entry:
        """Read a stored row: population, sequence, kind, request, analyst, body, hash, signature.

        Raises:
            LedgerDamaged: the body is not what its hash says, or the columns not what the body says.
        """
        *columns, text, digest, signature = row
        place = f"entry {columns[1]} of {columns[0]!r}"
        if not isinstance(text, str) or hash_of(text) != digest:
            raise damaged(f"{place} does not match its hash")
        try:
            body, end = _READ.raw_decode(text)
            told = [body["population"], body["sequence"], body["kind"], body.get("request"), body.get("analyst")]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise damaged(f"{place} is not readable") from None
        if told != columns or body.get("v") not in (VERSION, OF_PERIODS) or end != len(text):
            raise damaged(f"the columns of {place} do not match its body")
        return cls(body, digest, signature)

    @property
    def population(self) -> str:
        """The account the row belongs to."""
        return str(self.body["population"])

    @property
    def sequence(self) -> int:
        """The row's place in its account's chain, from 0."""
        return int(self.body["sequence"])

    @property
    def kind(self) -> Kind:
        """open, charge, release, raise, share or renew."""
        return self.body["kind"]  # type: ignore[no-any-return]

    @property
    def when(self) -> str:
        """UTC time, ISO 8601."""
        return str(self.body["when"])

    @property
    def who(self) -> str:
        """The operating-system user who wrote the row."""
        return str(self.body["who"])

    @property
    def previous(self) -> str:
        """The hash of the row before."""
        return str(self.body["previous"])

    @property
    def request(self) -> str | None:
        """The request a charge or a release belongs to."""
        return self.body.get("request")

    @property
    def purpose(self) -> str | None:
        """Why a charge was made."""
        return self.body.get("purpose")

    @property
    def analyst(self) -> str | None:
        """Whose share was charged or granted."""
        return self.body.get("analyst")

    @property
    def accounts(self) -> tuple[str, ...]:
        """Every account that a charge stands in: one for each period that it is for."""
        return tuple(self.body.get("accounts", (self.population,)))

    @property
    def digest(self) -> str | None:
        """The SHA-256 of a release's record."""
        return self.body.get("digest")

    @property
    def event(self) -> events.Event | None:
        """What a charge paid for."""
        return _event(repr(self.body["event"])) if "event" in self.body else None

    @property
    def cost(self) -> Cost:
        """What a charge cost; zero for other rows."""
        return _cost(*self.body.get("cost", (0, 0)))

    @property
    def spent(self) -> Cost:
        """The account's total after this row."""
        return Cost(*self.body.get("spent", (0, 0)))

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {**self.body, "hash": self.hash, "signature": self.signature}


def text_of(body: Mapping[str, Any]) -> str:
    """Return the canonical text of a body: sorted keys, no spaces, ASCII."""
    return _CANONICAL.encode(body)


@lru_cache(maxsize=1024)
def _event(text: str) -> events.Event:
    """Return the event of a charge; a long ledger holds few different ones, and the same object stands for equal ones.

    Args:
        text: The `repr` of its plain data: found in less than half the time of JSON, and as exact.
    """
    return events.from_dict(ast.literal_eval(text))


@lru_cache(maxsize=1024, typed=True)
def _cost(loss: int, delta: int) -> Cost:
    return Cost(loss, delta)


def hash_of(text: str) -> str:
    """Return the hash of a canonical text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def damaged(what: str) -> LedgerDamaged:
    """Return the error for a ledger that contradicts itself."""
    return LedgerDamaged(
        f"the ledger is damaged: {what}.",
        remedy="Stop spending. Restore the newest intact copy, and compare its head with the newest release.",
    )
