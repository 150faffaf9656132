"""Verification: recompute everything the ledger says, from the first row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from discreet import events
from discreet.accounting import Cost
from discreet.errors import DiscreetError, InvalidInput, LedgerDamaged
from discreet.ledger.account import Account
from discreet.ledger.entries import GENESIS, Entry, damaged, text_of
from discreet.ledger.keys import signed
from discreet.ledger.periods import Renewal, account_of
from discreet.ledger.renewing import check


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
    checked: dict[str, _Chain] = {}
    for population, entries in chains.items():
        if not entries or entries[0].kind != "open":
            raise damaged(f"the account {population!r} has no opening")
        chain = checked[population] = _Chain(population)
        for place, entry in enumerate(entries):
            try:
                chain.add(entry)
            except LedgerDamaged:
                raise
            except (DiscreetError, KeyError, TypeError, ValueError, AttributeError, AssertionError):
                raise damaged(f"entry {place} of {population!r} is not readable") from None
    _check_periods(checked)
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
    owners: list[Entry] = field(default_factory=list)
    charges: dict[str, Entry] = field(default_factory=dict)
    releases: dict[str, str | None] = field(default_factory=dict)
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
        if entry.kind in ("open", "raise", "share", "renew"):
            self._owners(entry, before, after)
            self.owners.append(entry)
        else:
            assert before is not None
            self.demand(entry.signature is None, "nobody signs this kind of entry")
            (self._charge if entry.kind == "charge" else self._release)(entry, before)
        self.account, self.length = after, self.length + 1

    def _owners(self, entry: Entry, before: Account | None, after: Account) -> None:
        body = entry.body
        self.demand((before is None) == (entry.kind == "open"), "an account is opened once")
        self.demand(signed(after.public_key, entry.hash, entry.signature), "the owner's signature is wrong")
        self.demand(entry.spent == (Cost() if before is None else before.spent), "its sum is wrong")
        if entry.kind == "renew":
            assert before is not None
            self._renews(before, after.renewals[-1])
            return
        self.demand(before is None or not before.renewals, "the terms of an account that is renewed are fixed")
        room, sound = Cost(*body["capacity"]), after.capacity_for(body["epsilon"])
        self.demand(room <= _more(sound), "its capacity is larger than its epsilon and delta allow")
        if entry.kind == "raise":
            assert before is not None
            self.demand(body["epsilon"] > before.epsilon, "it is no raise")
            self.demand(before.ceiling is None or body["epsilon"] <= before.ceiling, "it exceeds the ceiling")
            seen = len(self.charges)
            self.demand(
                body["seen"] == seen and body["chosen_after_release"] is (seen > 0), "it hides what had been seen"
            )

    def _renews(self, account: Account, renewal: Renewal) -> None:
        try:
            check(account, renewal.period, len(self.charges))
        except InvalidInput as error:
            raise damaged(f"entry {self.length} of {self.population!r}: {error.what.rstrip('.')}") from None
        name = account_of(self.population, renewal.period)
        self.demand(renewal.account == name, "it renews for another account than its period's")

    def _charge(self, entry: Entry, account: Account) -> None:
        assert entry.request is not None
        self.demand(not account.renewals, "an account that is renewed is not charged")
        self.demand(self.population in entry.accounts, "it stands in an account that it does not name")
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
        self.releases[entry.request] = entry.digest


def _more(bound: Cost) -> Cost:
    """Allow what two correct machines may differ by, and no more.

    A few parts in 2^40 and one unit: another mathematical library rounds the last bit of tanh or
    log another way. A later, tighter accountant leaves old entries valid: they charged more.
    """
    return Cost(bound.loss + (bound.loss >> 38) + 1, bound.delta + (bound.delta >> 38) + 1)


def _check_periods(chains: Mapping[str, _Chain]) -> None:
    """Check what accounts say of one another: each period's account was opened by a renewal, and each renewal opened one.

    Raises:
        LedgerDamaged: names the account.
    """
    for name, chain in chains.items():
        account = chain.account
        assert account is not None
        if account.period is not None:
            _check_base(chain, account, chains)
        for renewal in account.renewals:
            found = chains.get(renewal.account)
            if found is None or found.account is None or found.account.base != name:
                raise damaged(
                    f"{name!r} was renewed for {renewal.period!r}, and {renewal.account!r} is not that account"
                )
        for request, charge in chain.charges.items():
            for other in charge.accounts:
                if other != name:
                    _check_beside(chain, request, charge, chains.get(other))


def _check_base(chain: _Chain, account: Account, chains: Mapping[str, _Chain]) -> None:
    """Check that an account of a period has the terms of the one that it renews."""
    opening, base = chain.owners[0].body, chains.get(str(account.base))
    if base is None or base.account is None:
        raise damaged(f"{account.population!r} renews {account.base!r}, which is not there")
    renewed = [entry for entry in base.owners if entry.kind == "renew" and entry.hash == opening["renewal"]]
    if len(renewed) != 1 or renewed[0].body["period"] != opening["period"]:
        raise damaged(f"no entry of {account.base!r} renews it for the period of {account.population!r}")
    if any(opening.get(name) != value for name, value in base.account.terms.items()):
        raise damaged(f"the terms of {account.population!r} are not those of {account.base!r}")


def _check_beside(chain: _Chain, request: str, charge: Entry, other: _Chain | None) -> None:
    """Check that a charge over several periods stands in the account of each, and is released in all or none."""
    found = None if other is None else other.charges.get(request)
    if other is None or found is None or any(found.body.get(name) != charge.body.get(name) for name in _ALIKE):
        raise damaged(f"entry {charge.sequence} of {chain.population!r} does not stand in all its accounts")
    if chain.releases.get(request) != other.releases.get(request):
        raise damaged(f"the request {request} of {chain.population!r} is not released alike in all its accounts")


_ALIKE = ("accounts", "event", "cost", "analyst", "purpose")
