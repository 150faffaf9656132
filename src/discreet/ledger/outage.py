"""What a transaction is for, and what its failure leaves behind: the words of `LedgerUnavailable`."""

from __future__ import annotations

from dataclasses import dataclass

from discreet.errors import NOTHING_SPENT, LedgerUnavailable


@dataclass(frozen=True, slots=True)
class Intent:
    """What a transaction is for.

    Args:
        failed: The state when it failed before its commit: nothing landed.
        unsure: The state when the commit itself failed: it may have landed.
        remedy: What to do when unsure.
    """

    failed: str
    unsure: str
    remedy: str


LOOK = Intent("Nothing was changed.", "Nothing was changed.", "Try again later.")
CHARGE = Intent(
    NOTHING_SPENT,
    "The charge may have landed. No data was read.",
    "Ask again with the same request: a charge that landed is found, and nothing is charged twice.",
)
RELEASE = Intent(
    "The charge stands; its release is not recorded.",
    "The charge stands; its release may have been recorded.",
    "Record the same digest again; if it landed, it is found.",
)
TERMS = Intent(
    "Nothing was changed.",
    "The owner's entry may have landed. Nothing was spent.",
    "Look with `discreet ledger show` before trying again.",
)


def unavailable(place: object, error: Exception, intent: Intent, *, landed: bool) -> LedgerUnavailable:
    """Return the error for a database that did not answer; `landed`: the commit itself failed."""
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    return LedgerUnavailable(
        f"the ledger at {place} could not be used: {reason}.",
        state=intent.unsure if landed else intent.failed,
        remedy=intent.remedy if landed else "Make it reachable and writable (space, permissions, server); try again.",
    )
