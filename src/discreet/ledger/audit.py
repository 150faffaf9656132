"""Verification: recompute everything the ledger says, from the first row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from discreet import events
from discreet.accounting import Cost, cost
from discreet.errors import DiscreetError, LedgerDamaged
from discreet.ledger.account import Account
from discreet.ledger.entries import GENESIS, Entry, damaged
from discreet.ledger.keys import signed


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified: number of entries and head of each account."""

    entries: Mapping[str, int]
    heads: Mapping[str, str]


def verify(chains: Mapping[str, Sequence[Entry]]) -> Verified:
    """Recompute chains, signatures, costs and sums.

    Raises:
        LedgerDamaged: names the account and the entry where it first goes wrong.
    """
    for population, entries in chains.items():
        if not entries or entries[0].kind != "open":
            raise damaged(f"the account {population!r} has no opening")
        account: Account | None = None
        known: dict[tuple[str, str], Entry] = {}
        for place, entry in enumerate(entries):
            try:
                _check(population, place, entry, account, known)
                account = Account.fold([entry]) if account is None else account.after(entry)
            except LedgerDamaged:
                raise
            except (DiscreetError, KeyError, TypeError, ValueError, AttributeError):
                raise damaged(f"entry {place} of {population!r} is not readable") from None
    return Verified(
        {population: len(entries) for population, entries in chains.items()},
        {population: entries[-1].hash for population, entries in chains.items()},
    )


def _check(
    population: str, place: int, entry: Entry, account: Account | None, known: dict[tuple[str, str], Entry]
) -> None:
    def demand(holds: bool, what: str) -> None:
        if not holds:
            raise damaged(f"entry {place} of {population!r}: {what}")

    demand(entry.population == population and entry.sequence == place, "it is out of place")
    demand(entry.previous == (GENESIS if account is None else account.head), "it does not extend the one before")
    if entry.kind in ("open", "raise", "share"):
        key = entry.body["public_key"] if account is None else account.public_key
        demand(signed(key, entry.hash, entry.signature), "the owner's signature is wrong")
        opening = Account.fold([entry]) if account is None else account
        demand(Cost(*entry.body["capacity"]) == opening.capacity_for(entry.body["epsilon"]), "its capacity is wrong")
        demand((account is None) == (entry.kind == "open"), "an account is opened once")
        return
    assert account is not None
    assert entry.request is not None
    demand((entry.kind, entry.request) not in known, "the request stands twice")
    if entry.kind == "charge":
        price = cost(events.from_dict(entry.body["event"]), account.measure)
        demand(entry.cost == price, "its cost is not that of its event")
        demand(price <= account.left(entry.analyst), "it exceeds the budget")
        demand(entry.spent == account.spent + price, "its sum is wrong")
        if entry.analyst is not None:
            total = account.share(entry.analyst).spent + price
            demand(Cost(*entry.body["share_spent"]) == total, "its share's sum is wrong")
    else:
        demand(entry.kind == "release", "its kind is unknown")
        charge = known.get(("charge", entry.request))
        demand(charge is not None and charge.sequence == entry.body["charge"], "it releases what was never charged")
    known[(entry.kind, entry.request)] = entry
