"""Ledger: the durable, append-only, hash-chained account of populations.

Charge, commit, then read. There are no refunds, deletes or resets: a crash after a charge loses
budget, never privacy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from discreet import events
from discreet.accounting import Cost, Measure, capacity
from discreet.errors import BudgetExceeded, InvalidInput
from discreet.ledger import checks, renewing
from discreet.ledger.account import Account
from discreet.ledger.audit import Verified, verify
from discreet.ledger.budget import exceeded, largest, total
from discreet.ledger.chain import extend, load
from discreet.ledger.entries import Entry
from discreet.ledger.keys import OwnerKey
from discreet.ledger.outage import CHARGE, RELEASE, TERMS
from discreet.ledger.periods import Period, account_of, check_several, ordered
from discreet.ledger.postgres import PostgresStore
from discreet.ledger.requests import answered, charged, release
from discreet.ledger.rows import Rows
from discreet.ledger.sqlite import SQLiteStore
from discreet.ledger.total import Total, across
from discreet.profiles import Guarantee
from discreet.units import PrivacyUnit


class Ledger:
    """The account book of one or more populations, in a SQLite file or a PostgreSQL database.

    Args:
        url: Path of a SQLite file (created by the first `open`), or `postgresql://…`.

    Guarantee: an account never admits more than its capacity, however many processes spend at
        once; what it admits is durable before `charge` returns.
    Evidence: proven (docs/proofs/ledger.md, docs/proofs/filters.md).
    Assumes: the database keeps what it has committed; the file is not replaced by an older copy.
    Not protected: a holder of the database who rewrites it all; each release prints the head it extends.
    """

    testing = False

    def __init__(self, url: str | Path) -> None:
        text = str(url)
        remote = text.startswith(("postgresql://", "postgres://"))
        if not text or "\0" in text or ("://" in text and not remote):
            raise InvalidInput(
                f"this is no place for a ledger: {text.partition('://')[0]!r}.",
                remedy="Give the path of a SQLite file, or postgresql://….",
            )
        self.url = text if remote else str(Path(text).absolute())  # here, whatever folder is entered later
        self._store: SQLiteStore | PostgresStore = PostgresStore(text) if remote else SQLiteStore(Path(self.url))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._store)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.url,))  # connections stay where they are

    # ------------------------------------------------------------------------- the owner's side

    def open(
        self,
        population: str,
        *,
        unit: PrivacyUnit,
        measure: Measure | str,
        epsilon: float,
        delta: float,
        owner: OwnerKey,
        delta_atoms: float | None = None,
        ceiling: float | None = None,
    ) -> Account:
        """Open the account of a population; what it fixes, it fixes for ever.

        Args:
            population: Its name, for example "patients".
            unit: Who is protected.
            measure: pure, zcdp or renyi(order); the one measure in which charges add up. "renyi"
                declares the order that is best for a Gaussian at (epsilon, delta).
            epsilon: The budget.
            delta: The probability beyond it, of everything together.
            owner: The key that signs this and every later raise and share.
            delta_atoms: The part of delta kept for events with a delta of their own; by default
                all of it in a pure account, half of it otherwise.
            ceiling: The largest epsilon that raises may ever reach; None fixes no ceiling.

        Raises:
            InvalidInput: an argument is wrong, or the account is open already.
        """
        checks.check_name("population", population)
        checks.check_key(owner)
        checks.check_epsilon("epsilon", epsilon)
        if not isinstance(measure, Measure):
            measure = Measure.renyi_for(epsilon, delta) if measure == "renyi" else Measure.parse(measure)
        checks.check_terms(unit, measure, epsilon, delta, ceiling)
        if delta_atoms is None:
            delta_atoms = delta if measure.kind == "pure" else delta / 2
        room = capacity(measure, epsilon=epsilon, delta=delta, delta_atoms=delta_atoms)
        account = Account(
            population=population,
            unit=unit,
            measure=measure,
            opened_epsilon=epsilon,
            epsilon=epsilon,
            delta=delta,
            delta_atoms=delta_atoms,
            ceiling=ceiling,
            capacity=room,
            opened="",
            public_key=owner.public,
            testing=self.testing,
        )
        self._store.create()
        with self._store.writing(population, TERMS) as rows:
            if not rows.add_population(population):
                raise InvalidInput(
                    f"the account {population!r} is open already.",
                    remedy="Its terms are fixed for ever; a larger budget is a raise.",
                )
            entry = extend(rows, population, None, "open", account.terms, spent=Cost(), owner=owner)
        return Account.fold([entry])

    def raise_budget(self, population: str, *, epsilon: float, owner: OwnerKey) -> Account:
        """Grant a larger epsilon at the same delta. After releases it is marked as chosen after them.

        Raises:
            InvalidInput: not larger, above the ceiling, or not the owner's key.
        """
        checks.check_epsilon("epsilon", epsilon)
        with self._store.writing(population, TERMS) as rows:
            account = self._account(rows, population)
            checks.check_key(owner, account)
            renewing.check_whole(account)
            if not epsilon > account.epsilon:
                raise InvalidInput(
                    f"the budget is ε = {account.epsilon:g}; a raise must be larger, got {epsilon!r}.",
                    remedy="A budget is never lowered: what was promised to analysts stands. Spend less of it.",
                )
            if account.ceiling is not None and epsilon > account.ceiling:
                raise InvalidInput(
                    f"the ceiling fixed at opening is ε = {account.ceiling:g}; got {epsilon!r}.",
                    remedy="The ceiling is fixed for ever: raise to it at most.",
                )
            room, seen = account.capacity_for(epsilon), rows.charges(population)
            facts = {
                "epsilon": epsilon,
                "capacity": [room.loss, room.delta],
                "seen": seen,
                "chosen_after_release": seen > 0,
            }
            entry = extend(rows, population, account, "raise", facts, spent=account.spent, owner=owner)
        return account.after(entry)

    def share(self, population: str, analyst: str, *, epsilon: float, owner: OwnerKey) -> Account:
        """Grant an analyst a share: a charge of theirs must fit both the share and the account.

        Shares may add up to more than the account, which holds all the same. A later share of the
        same analyst replaces the limit and keeps what was spent.

        Raises:
            InvalidInput: an argument is wrong, or it is not the owner's key.
        """
        checks.check_name("analyst", analyst)
        checks.check_epsilon("epsilon", epsilon)
        with self._store.writing(population, TERMS) as rows:
            account = self._account(rows, population)
            checks.check_key(owner, account)
            renewing.check_whole(account)
            room = account.capacity_for(epsilon)
            facts = {"analyst": analyst, "epsilon": epsilon, "capacity": [room.loss, room.delta]}
            entry = extend(rows, population, account, "share", facts, spent=account.spent, owner=owner)
        return account.after(entry)

    def renew(self, population: str, *, period: Period, owner: OwnerKey) -> Account:
        """Open the account of one period, with the terms and the shares of the one that it renews.

        From the first renewal on, periods pay for themselves: nothing is charged to the account as a whole, and its
        terms stay as they are. It must not have been charged before.

        Args:
            population: The account; its unit is a person in one period.
            period: The value of the period column.
            owner: The key that opened the account.

        Raises:
            InvalidInput: it cannot be renewed, or was renewed for this period before; or not the owner's key.

        Guarantee: what an account promises a person, each period's account promises a person in that period.
        Evidence: proven, docs/proofs/filters.md.
        Assumes: the period of a row never changes; what is charged to a period reads rows of that period alone.
        Not protected: a person in several periods keeps the sum, see `total`.
        """
        name = account_of(population, period)
        checks.check_name("the name of the period's account", name)
        with self._store.writing(population, TERMS, name) as rows:
            account = self._account(rows, population)
            checks.check_key(owner, account)
            renewing.check(account, period, rows.charges(population))
            return renewing.renew(rows, account, period, name, owner)

    # ---------------------------------------------------------------------------------- spending

    def charge(
        self,
        population: str,
        event: events.Event,
        *,
        purpose: str,
        request: str,
        analyst: str | None = None,
        periods: Sequence[Period] = (),
    ) -> tuple[Entry, Entry | None]:
        """Charge an event, durably, or refuse; the same request is never charged twice.

        Args:
            population: The account.
            event: What will run.
            purpose: Why.
            request: The id of the question.
            analyst: Whose share pays too.
            periods: Whose rows alone the event reads, where the account is renewed by period: each of them is
                charged the whole event, or none.

        Returns:
            The charge, and the release that answered this request before, if one did; of several periods, those of
            the first.

        Raises:
            BudgetExceeded: the account or the share does not hold the cost.
            InvalidInput: the request was charged but never released, or stood for another event.
            UnsupportedEvent: the event has no known cost in the account's measure and relation.
            LedgerUnavailable: says whether the charge may have landed.
        """
        checks.check_text("purpose", purpose)
        checks.check_text("request", request)
        if analyst is not None:
            checks.check_name("analyst", analyst)
        described, wanted = events.to_dict(event), ordered(periods)
        names = tuple(account_of(population, period) for period in wanted) or (population,)
        analysts = () if analyst is None else (analyst,)
        with self._store.writing(names[0], CHARGE, *names[1:]) as rows:
            accounts = self._paying(rows, population, wanted, analysts)
            before = charged(rows, names, request)
            if before is not None:
                return before, answered(rows, before, described)
            charges = []
            for account in accounts:
                price, left = account.price(event), account.left(analyst)
                if not price <= left:
                    raise exceeded(account, price, left, analyst)
                facts: dict[str, Any] = {
                    "purpose": purpose,
                    "request": request,
                    "event": described,
                    "cost": [price.loss, price.delta],
                }
                if analyst is not None:
                    share = account.share(analyst).spent + price
                    facts |= {"analyst": analyst, "share_spent": [share.loss, share.delta]}
                if len(names) > 1:
                    check_several(account.measure, price)
                    facts["accounts"] = list(names)
                spent = account.spent + price
                charges.append(extend(rows, account.population, account, "charge", facts, spent=spent))
        return charges[0], None

    def released(self, entry: Entry, digest: str) -> Entry:
        """Record that the charge `entry` was answered by the release with this digest (SHA-256).

        Recording the same digest again returns the entry that stands.

        Raises:
            InvalidInput: it was answered by another release.
            LedgerDamaged: the charge is not in the ledger.
        """
        checks.check_digest(digest)
        first, *more = entry.accounts
        with self._store.writing(first, RELEASE, *more) as rows:
            accounts = [self._account(rows, name, ()) for name in entry.accounts]
            found = {account.population: release(rows, account, entry, digest) for account in accounts}
        return found[entry.population]

    # ----------------------------------------------------------------------------------- looking

    def populations(self) -> list[str]:
        """Return the names of the accounts."""
        with self._store.reading() as rows:
            return rows.populations()

    def account(self, population: str) -> Account:
        """Return the state of an account."""
        with self._store.reading() as rows:
            return self._account(rows, population)

    def check(self, population: str, unit: PrivacyUnit, periods: Sequence[Period] = ()) -> None:
        """Refuse a unit or relation that is not the account's, and periods that do not pay; nothing is converted."""
        account = self._payers(population, periods)[0]
        if unit.protects != account.unit.protects:
            raise InvalidInput(
                f"the account {population!r} protects {account.unit.label}; this data is declared {unit.label}.",
                remedy="Declare the same column, period and relation, or open another account.",
            )

    def entries(self, population: str) -> list[Entry]:
        """Return every entry of an account, oldest first."""
        with self._store.reading() as rows:
            self._account(rows, population, ())
            return rows.all(population)

    def request(self, population: str, request: str) -> Entry | None:
        """Return the release of a request, else its charge, else None."""
        with self._store.reading() as rows:
            self._account(rows, population, ())
            release = rows.find(population, request, "release")
            return release if release is not None else rows.find(population, request, "charge")

    def requests(self, population: str) -> set[str]:
        """Return every request that was charged to an account."""
        with self._store.reading() as rows:
            self._account(rows, population, ())
            return rows.requests(population)

    def head(self, population: str) -> str:
        """Return the hash of the newest entry; any later ledger must contain it."""
        return self.account(population).head

    def spent(self, population: str) -> Guarantee:
        """Return what everything charged so far guarantees together.

        Guarantee: the ε of a filter that stops at what was spent. Of a pure account it holds at every
            moment; of the others it is what holds if that total had been declared at opening.
        Evidence: proven (docs/proofs/ledger.md, docs/proofs/filters.md).
        Assumes: the `assumptions` of what is returned. They say when a raise was chosen after
            release, and else which ε holds however questions and total were chosen.
        """
        account = self.account(population)
        renewing.check_whole(account)
        return total(account)

    def total(self, population: str) -> Total:
        """Return what was spent of an account that is renewed by period: in each, and for a person in all of them.

        Guarantee: for a person in one period, the ε of that period's filter; for a person in all of them, that of the
            composition of all.
        Evidence: proven, docs/proofs/filters.md.
        Assumes: the `assumptions` of each guarantee.
        Not protected: a person in periods that are renewed later has more added.

        Raises:
            InvalidInput: the account is not renewed.
        """
        with self._store.reading() as rows:
            base = self._account(rows, population)
            accounts = [self._account(rows, item.account) for item in base.renewals]
            charges = [entry for item in base.renewals for entry in rows.all(item.account) if entry.kind == "charge"]
        return across(base, accounts, charges)

    def after(
        self, population: str, event: events.Event, *, analyst: str | None = None, periods: Sequence[Period] = ()
    ) -> Cost:
        """Return what would be left after `event`; of several periods, the least.

        Raises:
            BudgetExceeded: it does not fit.
        """
        rests = []
        for account in self._payers(population, periods):
            price, left = account.price(event), account.left(analyst)
            if not price <= left:
                raise exceeded(account, price, left, analyst)
            rests.append(Cost(left.loss - price.loss, left.delta - price.delta))
        if len(rests) > 1:
            check_several(account.measure, price)
        return Cost(min(rest.loss for rest in rests), min(rest.delta for rest in rests))

    def affords(
        self, population: str, event: events.Event, *, analyst: str | None = None, periods: Sequence[Period] = ()
    ) -> bool:
        """Return whether `event` would be admitted now."""
        try:
            self.after(population, event, analyst=analyst, periods=periods)
        except BudgetExceeded:
            return False
        return True

    def remaining(self, population: str, *, analyst: str | None = None) -> Guarantee:
        """Return the largest guarantee that one more release could have at the account's delta."""
        account = self.account(population)
        renewing.check_whole(account)
        return largest(account, analyst)

    def verify(self) -> Verified:
        """Recompute every chain, signature, cost and sum; check that the triggers still stand.

        Guarantee: no entry was edited, removed or reordered since it was written, unless everything
            after it was rewritten too and no owner's entry stands there.
        Evidence: proven (docs/proofs/ledger.md).
        Assumes: SHA-256 and Ed25519 hold.
        Not protected: entries cut off at the end, or an old copy of it all: releases name the head they
            extend. A history written anew under another key: compare `owners` with the owner's.

        Raises:
            LedgerDamaged: names the account and the entry where it first goes wrong.
        """
        self._store.check()
        with self._store.reading() as rows:
            chains = {name: rows.all(name) for name in rows.populations()}
        return verify(chains)

    def export(self) -> list[dict[str, Any]]:
        """Return every entry of every account as plain data."""
        with self._store.reading() as rows:
            return [entry.to_dict() for name in rows.populations() for entry in rows.all(name)]

    def _payers(self, population: str, periods: Sequence[Period]) -> list[Account]:
        """Return the accounts that pay, as they stand now."""
        if periods:
            with self._store.reading() as rows:
                return self._paying(rows, population, ordered(periods), None)
        account = self.account(population)
        renewing.check_paying(population, (), [account])
        return [account]

    def _paying(
        self, rows: Rows, population: str, periods: Sequence[Period], analysts: tuple[str, ...] | None
    ) -> list[Account]:
        """Return the accounts that pay: those of the periods, or the population's own; `analysts` as of `load`."""
        renewing.check_renewed(rows, population, periods)
        names = [account_of(population, period) for period in periods] or [population]
        accounts = [self._account(rows, name, analysts) for name in names]
        renewing.check_paying(population, periods, accounts)
        if periods:
            renewing.check_owner(rows, population, accounts)
        return accounts

    def _account(self, rows: Rows, population: str, analysts: tuple[str, ...] | None = None) -> Account:
        account = load(rows, population, analysts=analysts)
        if account.testing != self.testing:
            raise InvalidInput(
                f"the account {population!r} was {'' if account.testing else 'not '}opened by a ledger for tests.",
                remedy="Keep tests and real accounts in ledgers of their own.",
            )
        return account
