"""Verification: recompute everything the ledger says, from the first row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from discreet import events
from discreet.accounting import Cost
from discreet.errors import DiscreetError, LedgerDamaged
from discreet.ledger.account import Account
from discreet.ledger.entries import GENESIS, Entry, damaged, text_of
from discreet.ledger.keys import signed


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified, by account.

    Args:
        entries: Number of entries.
        heads: Hash of the newest entry.
        owners: The public key that signed its opening. Compare it with the owner's: a history that
            somebody wrote anew, under a key of their own, is sound in itself.
    """

    entries: Mapping[str, int]
    heads: Mapping[str, str]
    owners: Mapping[str, str]


def verify(chains: Mapping[str, Sequence[Entry]]) -> Verified:
    """Recompute chains, signatures, costs and sums.

    Raises:
        LedgerDamaged: names the account and the entry where it first goes wrong.
    """
    for population, entries in chains.items():
        if not entries or entries[0].kind != "open":
            raise damaged(f"the account {population!r} has no opening")
        chain = _Chain(population)
        for place, entry in enumerate(entries):
            try:
                chain.add(entry)
            except LedgerDamaged:
                raise
            except (DiscreetError, KeyError, TypeError, ValueError, AttributeError, AssertionError):
                raise damaged(f"entry {place} of {population!r} is not readable") from None
    return Verified(
        {population: len(entries) for population, entries in chains.items()},
        {population: entries[-1].hash for population, entries in chains.items()},
        {population: str(entries[0].body["public_key"]) for population, entries in chains.items()},
    )


@dataclass
class _Chain:
    """One account's chain as far as it has been checked."""

    population: str
    account: Account | None = None
    length: int = 0
    charges: dict[str, Entry] = field(default_factory=dict)
    releases: set[str] = field(default_factory=set)
    prices: dict[str, Cost] = field(default_factory=dict)  # many charges pay for the same event

    def demand(self, holds: object, what: str) -> None:
        if not holds:
            raise damaged(f"entry {self.length} of {self.population!r}: {what}")

    def add(self, entry: Entry) -> None:
        """Check one more entry."""
        before = self.account
        self.demand((entry.population, entry.sequence) == (self.population, self.length), "it is out of place")
        self.demand(entry.previous == (GENESIS if before is None else before.head), "it does not extend the one before")
        after = Account.fold([entry]) if before is None else before.after(entry)
        if entry.kind in ("open", "raise", "share"):
            self._owners(entry, before, after)
        else:
            assert before is not None
            self.demand(entry.signature is None, "nobody signs this kind of entry")
            (self._charge if entry.kind == "charge" else self._release)(entry, before)
        self.account, self.length = after, self.length + 1

    def _owners(self, entry: Entry, before: Account | None, after: Account) -> None:
        body = entry.body
        self.demand((before is None) == (entry.kind == "open"), "an account is opened once")
        self.demand(signed(after.public_key, entry.hash, entry.signature), "the owner's signature is wrong")
        room, sound = Cost(*body["capacity"]), after.capacity_for(body["epsilon"])
        self.demand(room <= _more(sound), "its capacity is larger than its epsilon and delta allow")
        self.demand(entry.spent == (Cost() if before is None else before.spent), "its sum is wrong")
        if entry.kind == "raise":
            assert before is not None
            self.demand(body["epsilon"] > before.epsilon, "it is no raise")
            self.demand(before.ceiling is None or body["epsilon"] <= before.ceiling, "it exceeds the ceiling")
            seen = len(self.charges)
            self.demand(
                body["seen"] == seen and body["chosen_after_release"] is (seen > 0), "it hides what had been seen"
            )

    def _charge(self, entry: Entry, account: Account) -> None:
        assert entry.request is not None
        self.demand(entry.request not in self.charges, "the request stands twice")
        described = text_of(entry.body["event"])
        if described not in self.prices:
            self.prices[described] = account.price(events.from_dict(entry.body["event"]))
        price = self.prices[described]
        self.demand(price <= _more(entry.cost), "its cost is not that of its event")
        self.demand(Cost() <= entry.cost and entry.cost <= account.left(entry.analyst), "it exceeds the budget")
        self.demand(entry.spent == account.spent + entry.cost, "its sum is wrong")
        if entry.analyst is not None:
            total = account.share(entry.analyst).spent + entry.cost
            self.demand(Cost(*entry.body["share_spent"]) == total, "its share's sum is wrong")
        self.charges[entry.request] = entry

    def _release(self, entry: Entry, account: Account) -> None:
        assert entry.request is not None
        self.demand(entry.kind == "release", "its kind is unknown")
        charge = self.charges.get(entry.request)
        self.demand(
            charge is not None and charge.sequence == entry.body["charge"], "it releases what was never charged"
        )
        self.demand(entry.request not in self.releases, "the request was released twice")
        self.demand(entry.spent == account.spent, "its sum is wrong")
        self.releases.add(entry.request)


def _more(bound: Cost) -> Cost:
    """Allow what two correct machines may differ by, and no more.

    A few parts in 2^40 and one unit: another mathematical library rounds the last bit of tanh or
    log another way. A later, tighter accountant leaves old entries valid: they charged more.
    """
    return Cost(bound.loss + (bound.loss >> 38) + 1, bound.delta + (bound.delta >> 38) + 1)
