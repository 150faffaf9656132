"""What a request meets: it is charged once, in all accounts that pay for it, and answered once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from discreet.errors import InvalidInput
from discreet.ledger.account import Account
from discreet.ledger.chain import extend
from discreet.ledger.entries import Entry, damaged
from discreet.ledger.rows import Rows


def charged(rows: Rows, names: Sequence[str], request: str) -> Entry | None:
    """Return the charge of a request in the first of the accounts that are asked to pay for it.

    Raises:
        InvalidInput: it was charged to other accounts than these.
    """
    found = [rows.find(name, request, "charge") for name in names]
    before = next((entry for entry in found if entry is not None), None)
    if before is not None and before.accounts != tuple(names):
        raise InvalidInput(
            f"the request {request} was charged to {', '.join(before.accounts)} before, and not to {', '.join(names)}.",
            state="That charge stands; nothing more was spent and no data was read.",
            remedy="One request names one question: use a new id.",
        )
    return before


def answered(rows: Rows, charge: Entry, described: dict[str, Any]) -> Entry:
    """Return the release of a request that was charged before, or refuse."""
    assert charge.request is not None
    if charge.body["event"] != described:
        raise InvalidInput(
            f"the request {charge.request} was charged for another event before.",
            state="That charge stands; nothing more was spent and no data was read.",
            remedy="One request names one question: use a new id.",
        )
    release = rows.find(charge.population, charge.request, "release")
    if release is None:
        raise InvalidInput(
            f"the request {charge.request} was charged on {charge.when} but never released (a crash in between, "
            "or it is running now).",
            state="That charge stands; nothing more was spent and no data was read.",
            remedy="Wait for it, or ask again with the next attempt (attempt = 2, …), which is a new charge.",
        )
    return release


def release(rows: Rows, account: Account, entry: Entry, digest: str) -> Entry:
    """Record the release of a charge in one of the accounts that it stands in; see `Ledger.released`."""
    population, request = account.population, str(entry.request)
    charge = rows.find(population, request, "charge")
    if charge is None or (population == entry.population and charge.hash != entry.hash):
        raise damaged(f"the charge of the request {request} is gone from {population!r}")
    before = rows.find(population, request, "release")
    if before is not None:
        if before.digest == digest:
            return before
        raise InvalidInput(
            f"the request {request} was released already.",
            state="The first release stands; this one is not recorded.",
            remedy="Use the stored release.",
        )
    facts = {"request": request, "digest": digest, "charge": charge.sequence}
    return extend(rows, population, account, "release", facts, spent=account.spent, when=charge.when)
