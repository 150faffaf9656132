"""Account: what a population's owner fixed, and what may still be spent. A fold over its entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from discreet import events
from discreet.accounting import Cost, Measure, capacity, check_relation, cost
from discreet.errors import InvalidInput
from discreet.ledger import periods
from discreet.ledger.entries import Entry
from discreet.ledger.periods import Period, Renewal
from discreet.units import PrivacyUnit


@dataclass(frozen=True, slots=True)
class Raise:
    """A larger budget, granted later.

    Args:
        epsilon: The new budget.
        when: UTC time.
        seen: How many answers may have been seen by then: the charges made. Above 0 the raise was
            chosen after release (a charge whose release is not recorded may have been seen, too).
        spent: What had been spent by then; the statement made at opening stays true for it.
    """

    epsilon: float
    when: str
    seen: int
    spent: Cost = Cost()

    @property
    def chosen_after_release(self) -> bool:
        """Whether what had been released may have influenced the new budget."""
        return self.seen > 0


@dataclass(frozen=True, slots=True)
class Share:
    """An analyst's part of an account.

    Args:
        epsilon: The most this analyst may spend, at the account's delta.
        capacity: The same in the account's measure.
        spent: What the analyst has spent.
    """

    epsilon: float
    capacity: Cost
    spent: Cost = Cost()


@dataclass(frozen=True, slots=True)
class Account:
    """The state of one population's account.

    Args:
        population: Its name.
        unit: Who is protected; fixed for ever.
        measure: In which measure it adds up; fixed for ever.
        opened_epsilon: The budget at opening.
        epsilon: The budget now: that of the last raise.
        delta: Fixed for ever.
        delta_atoms: The part of delta kept for events with delta of their own.
        ceiling: The most that raises may reach, if fixed at opening.
        capacity: The budget in the measure: the filter stops there.
        spent: The sum of all charges.
        opened: UTC time.
        public_key: The owner's Ed25519 key, hex.
        raises: Later raises, oldest first.
        shares: Analysts' shares.
        head: Hash of the newest entry.
        length: Number of entries.
        testing: Whether it was opened by a ledger of discreet.testing; its releases protect nobody.
        base: The account that this one renews for one period; None: it is no such account.
        period: That period.
        renewals: The periods that this account was renewed for, oldest first. From the first on their accounts
            pay, and this one is never charged.
    """

    population: str
    unit: PrivacyUnit
    measure: Measure
    opened_epsilon: float
    epsilon: float
    delta: float
    delta_atoms: float
    ceiling: float | None
    capacity: Cost
    opened: str
    public_key: str
    spent: Cost = Cost()
    raises: tuple[Raise, ...] = ()
    shares: Mapping[str, Share] = field(default_factory=lambda: MappingProxyType({}))
    head: str = ""
    length: int = 0
    testing: bool = False
    base: str | None = None
    period: Period | None = None
    renewals: tuple[Renewal, ...] = ()

    @classmethod
    def fold(cls, entries: Iterable[Entry]) -> Account:
        """Return the account after `entries`: its open row first, later ones in order, gaps allowed.

        Every row holds the account's running total, and an analyst's charge that of their share.
        """
        account: Account | None = None
        for entry in entries:
            account = _opened(entry) if account is None else account.after(entry)
        assert account is not None
        return account

    def after(self, entry: Entry) -> Account:
        """Return the account after one more entry."""
        body, now = entry.body, self.at(entry)
        if entry.kind == "raise":
            more = Raise(body["epsilon"], entry.when, body["seen"], entry.spent)
            return replace(now, epsilon=more.epsilon, capacity=Cost(*body["capacity"]), raises=(*self.raises, more))
        if entry.kind == "share":
            name = body["analyst"]
            spent = self.shares[name].spent if name in self.shares else Cost()
            return _with_share(now, name, Share(body["epsilon"], Cost(*body["capacity"]), spent))
        if entry.kind == "renew":
            renewal = Renewal(periods.from_dict(body["period"]), body["account"], entry.when)
            return replace(now, renewals=(*self.renewals, renewal))
        return now if entry.analyst is None else now.sharing(entry)

    def at(self, last: Entry) -> Account:
        """Return the account with `last` as its newest entry, which holds its total."""
        return replace(self, head=last.hash, length=last.sequence + 1, spent=last.spent)

    def sharing(self, charge: Entry) -> Account:
        """Return the account with an analyst's total as of their newest charge."""
        name = str(charge.analyst)
        return _with_share(self, name, replace(self.shares[name], spent=Cost(*charge.body["share_spent"])))

    def capacity_for(self, epsilon: float) -> Cost:
        """Return what a budget of `epsilon` at this account's delta is in its measure."""
        return capacity(self.measure, epsilon=epsilon, delta=self.delta, delta_atoms=self.delta_atoms)

    def price(self, event: events.Event) -> Cost:
        """Return what an event costs here.

        Raises:
            UnsupportedEvent: the measure cannot bound it, or its bound is for another relation.
        """
        check_relation(event, self.unit.relation)
        return cost(event, self.measure)

    def left(self, analyst: str | None = None) -> Cost:
        """Return what may still be spent (by `analyst`, if named); never below zero, and nothing once it is renewed."""
        if self.renewals:
            return Cost()
        rooms = [(self.capacity, self.spent)]
        if analyst is not None:
            share = self.share(analyst)
            rooms.append((share.capacity, share.spent))
        return Cost(
            max(0, min(room.loss - spent.loss for room, spent in rooms)),
            max(0, min(room.delta - spent.delta for room, spent in rooms)),
        )

    @property
    def terms(self) -> dict[str, Any]:
        """What an opening says: who is protected, how it adds up, and what may be spent; as plain data."""
        facts = {
            "unit": self.unit.to_dict(),
            "measure": str(self.measure),
            "epsilon": self.epsilon,
            "delta": self.delta,
            "delta_atoms": self.delta_atoms,
            "ceiling": self.ceiling,
            "capacity": [self.capacity.loss, self.capacity.delta],
            "public_key": self.public_key,
        }
        return facts | ({"testing": True} if self.testing else {})

    def share(self, analyst: str) -> Share:
        """Return an analyst's share.

        Raises:
            InvalidInput: the owner granted none.
        """
        if analyst not in self.shares:
            raise InvalidInput(
                f"{analyst!r} has no share of the account {self.population!r}.",
                remedy="Ask the owner for one: discreet ledger share, or ledger.share(…).",
            )
        return self.shares[analyst]


def _with_share(account: Account, name: str, share: Share) -> Account:
    return replace(account, shares=MappingProxyType({**account.shares, name: share}))


def _opened(entry: Entry) -> Account:
    body = entry.body
    term = body.get("period")
    return Account(
        population=entry.population,
        unit=PrivacyUnit.from_dict(body["unit"]),
        measure=Measure.parse(body["measure"]),
        opened_epsilon=body["epsilon"],
        epsilon=body["epsilon"],
        delta=body["delta"],
        delta_atoms=body["delta_atoms"],
        ceiling=body["ceiling"],
        capacity=Cost(*body["capacity"]),
        opened=entry.when,
        public_key=body["public_key"],
        head=entry.hash,
        length=1,
        testing=body.get("testing", False),
        base=None if term is None else body["renews"],
        period=None if term is None else periods.from_dict(term),
    )
