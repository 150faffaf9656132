"""The chain of one account: read its state, add an entry. Always inside one transaction."""

from __future__ import annotations

import datetime
import json
import os
import pwd
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from discreet.accounting import Cost
from discreet.errors import InvalidInput
from discreet.ledger.account import Account
from discreet.ledger.entries import GENESIS, OF_PERIODS, VERSION, Entry, Kind, damaged, hash_of, text_of
from discreet.ledger.keys import OwnerKey, signed
from discreet.ledger.rows import Rows


def load(rows: Rows, population: str, *, analysts: tuple[str, ...] | None = None) -> Account:
    """Return an account from its owner's entries and its newest ones.

    Args:
        rows: The open transaction.
        population: Its name.
        analysts: Whose shares' totals are needed; None for all.

    Raises:
        InvalidInput: there is none.
        LedgerDamaged: an owner's entry does not bear the owner's signature. No budget that somebody
            else wrote into the database is ever spent.
    """
    owners = rows.owners(population)
    if not owners:
        raise InvalidInput(
            f"the ledger has no account {population!r}.",
            remedy="Open it first: discreet ledger open, or ledger.open(…).",
        )
    if owners[0].kind != "open" or owners[0].sequence != 0:
        raise damaged(f"the account {population!r} has no opening")
    for entry in owners:
        _check_signature(entry, owners[0])
    account = Account.fold(owners)
    wanted = account.shares if analysts is None else [name for name in analysts if name in account.shares]
    for name in wanted:
        charge = rows.last_charge_by(population, name)
        if charge is not None:
            account = account.sharing(charge)
    last = rows.last(population)
    assert last is not None
    return account.at(last)


def owner_of(rows: Rows, population: str) -> str | None:
    """Return the public key that signed the opening of an account; None if there is none."""
    opening = rows.opening(population)
    if opening is None:
        return None
    _check_signature(opening, opening)
    return str(opening.body["public_key"])


def _check_signature(entry: Entry, opening: Entry) -> None:
    if not _signed(str(opening.body["public_key"]), entry.hash, entry.signature):
        raise damaged(f"entry {entry.sequence} of {entry.population!r}: the owner's signature is wrong")


_signed = lru_cache(maxsize=1024)(signed)  # a signature is checked once in each process


def extend(
    rows: Rows,
    population: str,
    account: Account | None,
    kind: Kind,
    facts: Mapping[str, Any],
    *,
    spent: Cost,
    owner: OwnerKey | None = None,
    when: str | None = None,
) -> Entry:
    """Add an entry to the end of the chain.

    Args:
        rows: The open transaction.
        population: Whose chain.
        account: The account as it is; None to open it.
        kind: Of the entry.
        facts: What it says beside.
        spent: The account's total after it.
        owner: Signs it, if it is the owner's.
        when: Instead of now. Times are kept to the minute: how long a question took on private rows
            is no public fact.
    """
    body = {
        "v": OF_PERIODS if "period" in facts else VERSION,
        "population": population,
        "sequence": 0 if account is None else account.length,
        "kind": kind,
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes") if when is None else when,
        "who": _who(),
        "previous": GENESIS if account is None else account.head,
        "spent": [spent.loss, spent.delta],
        **facts,
    }
    text = text_of(body)
    digest = hash_of(text)
    entry = Entry(json.loads(text), digest, None if owner is None else owner.sign(digest))
    rows.append(entry, text)
    return entry


def _who() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name  # not $LOGNAME, which anybody may set
    except KeyError:
        return f"uid {os.getuid()}"
