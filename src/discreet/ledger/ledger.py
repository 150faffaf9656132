"""Ledger: the durable, append-only, hash-chained account of populations.

Charge, commit, then read. There are no refunds, deletes or resets: a crash after a charge loses
budget, never privacy.
"""

from __future__ import annotations

import datetime
import getpass
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from discreet import events
from discreet.accounting import Cost, Measure, cost, statement
from discreet.errors import BudgetExceeded, InvalidInput
from discreet.ledger.account import Account
from discreet.ledger.audit import Verified, verify
from discreet.ledger.entries import GENESIS, Entry, Kind, damaged, hash_of, text_of
from discreet.ledger.keys import OwnerKey
from discreet.ledger.postgres import PostgresStore
from discreet.ledger.rows import Rows
from discreet.ledger.sqlite import SQLiteStore
from discreet.profiles import Guarantee, show_delta, show_up
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
        self.url = text
        self._store: SQLiteStore | PostgresStore = PostgresStore(text) if remote else SQLiteStore(Path(text))

    def __repr__(self) -> str:
        return f"Ledger({str(self._store)!r})"

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
            measure: pure, zcdp or renyi(order); the one measure in which charges add up.
            epsilon: The budget.
            delta: The probability beyond it, of everything together.
            owner: The key that signs this and every later raise and share.
            delta_atoms: The part of delta kept for events with a delta of their own; by default
                all of it in a pure account, half of it otherwise.
            ceiling: The largest epsilon that raises may ever reach; None fixes no ceiling.

        Raises:
            InvalidInput: an argument is wrong, or the account is open already.
        """
        _check_name("population", population)
        measure = _measure(measure, epsilon, delta)
        if delta_atoms is None:
            delta_atoms = delta if measure.kind == "pure" else delta / 2
        _check_budget(epsilon, delta, measure, ceiling)
        from discreet.accounting import capacity

        room = capacity(measure, epsilon=epsilon, delta=delta, delta_atoms=delta_atoms)
        self._store.create()
        with self._store.writing(population) as rows:
            if population in rows.populations():
                raise InvalidInput(
                    f"the account {population!r} is open already.",
                    remedy="Its terms are fixed for ever; a larger budget is a raise.",
                )
            rows.add_population(population)
            facts = {
                "unit": unit.to_dict(),
                "measure": str(measure),
                "epsilon": epsilon,
                "delta": delta,
                "delta_atoms": delta_atoms,
                "ceiling": ceiling,
                "capacity": [room.loss, room.delta],
                "public_key": owner.public,
            }
            entry = _append(rows, population, None, "open", facts, owner)
        return Account.fold([entry])

    def raise_budget(self, population: str, *, epsilon: float, owner: OwnerKey) -> Account:
        """Grant a larger epsilon at the same delta. After releases it is marked as chosen after them.

        Raises:
            InvalidInput: not larger, above the ceiling, or not the owner's key.
        """
        with self._store.writing(population) as rows:
            account = _account(rows, population)
            _check_owner(account, owner)
            if not epsilon > account.epsilon:
                raise InvalidInput(f"the budget is ε = {account.epsilon:g}; a raise must be larger, got {epsilon!r}.")
            if account.ceiling is not None and epsilon > account.ceiling:
                raise InvalidInput(f"the ceiling fixed at opening is ε = {account.ceiling:g}; got {epsilon!r}.")
            room = account.capacity_for(epsilon)
            facts = {"epsilon": epsilon, "capacity": [room.loss, room.delta], "seen": rows.released(population)}
            entry = _append(rows, population, account, "raise", facts, owner)
        return account.after(entry)

    def share(self, population: str, analyst: str, *, epsilon: float, owner: OwnerKey) -> Account:
        """Grant an analyst a share: a charge of theirs must fit both the share and the account.

        Shares may add up to more than the account, which holds all the same. A later share of the
        same analyst replaces the limit and keeps what was spent.
        """
        _check_name("analyst", analyst)
        with self._store.writing(population) as rows:
            account = _account(rows, population)
            _check_owner(account, owner)
            room = account.capacity_for(epsilon)
            facts = {"analyst": analyst, "epsilon": epsilon, "capacity": [room.loss, room.delta]}
            entry = _append(rows, population, account, "share", facts, owner)
        return account.after(entry)

    # ---------------------------------------------------------------------------------- spending

    def charge(
        self, population: str, event: events.Event, *, purpose: str, request: str, analyst: str | None = None
    ) -> tuple[Entry, Entry | None]:
        """Charge an event, durably, or refuse; the same request is never charged twice.

        Args:
            population: The account.
            event: What will run.
            purpose: Why.
            request: The id of the question.
            analyst: Whose share pays too.

        Returns:
            The charge, and the release that answered this request before, if one did.

        Raises:
            BudgetExceeded: the account or the share does not hold the cost.
            InvalidInput: the request was charged but never released, or stood for another event.
            UnsupportedEvent: the event has no known cost in the account's measure.
            LedgerUnavailable: says whether the charge may have landed.
        """
        for name, text in (("purpose", purpose), ("request", request)):
            _check_text(name, text)
        with self._store.writing(population) as rows:
            account = _account(rows, population)
            before = rows.find(population, request, "charge")
            if before is not None:
                return before, _answered(rows, before, event)
            price = cost(event, account.measure)
            left = account.left(analyst)
            if not price <= left:
                raise _exceeded(account, price, left, analyst)
            spent = account.spent + price
            facts: dict[str, Any] = {
                "purpose": purpose,
                "request": request,
                "event": events.to_dict(event),
                "cost": [price.loss, price.delta],
                "spent": [spent.loss, spent.delta],
            }
            if analyst is not None:
                share = account.share(analyst).spent + price
                facts |= {"analyst": analyst, "share_spent": [share.loss, share.delta]}
            entry = _append(rows, population, account, "charge", facts, None)
        return entry, None

    def released(self, entry: Entry, digest: str) -> Entry:
        """Record that the charge `entry` was answered by the release with this digest."""
        with self._store.writing(entry.population) as rows:
            account = _account(rows, entry.population)
            assert entry.request is not None
            charge = rows.find(entry.population, entry.request, "charge")
            if charge is None or charge.hash != entry.hash:
                raise damaged(f"the charge {entry.sequence} of {entry.population!r} is gone")
            if rows.find(entry.population, entry.request, "release") is not None:
                raise InvalidInput("this charge was released already.", state="The first release stands.")
            facts = {"request": entry.request, "digest": digest, "charge": entry.sequence}
            return _append(rows, entry.population, account, "release", facts, None)

    # ----------------------------------------------------------------------------------- looking

    def populations(self) -> list[str]:
        """Return the names of the accounts."""
        with self._store.reading() as rows:
            return rows.populations()

    def account(self, population: str) -> Account:
        """Return the state of an account."""
        with self._store.reading() as rows:
            return _account(rows, population)

    def check(self, population: str, unit: PrivacyUnit) -> None:
        """Refuse a unit or relation that is not the account's; there is no silent conversion."""
        account = self.account(population)
        if unit.protects != account.unit.protects:
            raise InvalidInput(
                f"the account {population!r} protects {account.unit.label}; this data is declared {unit.label}.",
                remedy="Declare the same column, period and relation, or open another account.",
            )

    def entries(self, population: str) -> list[Entry]:
        """Return every entry of an account, oldest first."""
        with self._store.reading() as rows:
            _account(rows, population)
            return rows.all(population)

    def request(self, population: str, request: str) -> Entry | None:
        """Return the release of a request, else its charge, else None."""
        with self._store.reading() as rows:
            release = rows.find(population, request, "release")
            return release if release is not None else rows.find(population, request, "charge")

    def head(self, population: str) -> str:
        """Return the hash of the newest entry; any later ledger must contain it."""
        return self.account(population).head

    def spent(self, population: str) -> Guarantee:
        """Return what everything charged so far guarantees, whatever was chosen adaptively."""
        account = self.account(population)
        return _guarantee(account, account.spent)

    def after(self, population: str, event: events.Event, *, analyst: str | None = None) -> Cost:
        """Return what would be left after `event`.

        Raises:
            BudgetExceeded: it does not fit.
        """
        account = self.account(population)
        price, left = cost(event, account.measure), account.left(analyst)
        if not price <= left:
            raise _exceeded(account, price, left, analyst)
        return Cost(left.loss - price.loss, left.delta - price.delta)

    def affords(self, population: str, event: events.Event, *, analyst: str | None = None) -> bool:
        """Return whether `event` would be admitted now."""
        try:
            self.after(population, event, analyst=analyst)
        except BudgetExceeded:
            return False
        return True

    def remaining(self, population: str, *, analyst: str | None = None) -> float:
        """Return the largest epsilon that one more release could have at the account's delta."""
        return remaining_epsilon(self.account(population), analyst)

    def verify(self) -> Verified:
        """Recompute every chain, signature, cost and sum.

        Raises:
            LedgerDamaged: names the account and the entry where it first goes wrong.
        """
        with self._store.reading() as rows:
            return verify({name: rows.all(name) for name in rows.populations()})

    def export(self) -> list[dict[str, Any]]:
        """Return every entry of every account as plain data."""
        with self._store.reading() as rows:
            return [entry.to_dict() for name in rows.populations() for entry in rows.all(name)]


def remaining_epsilon(account: Account, analyst: str | None = None, *, room: Cost | None = None) -> float:
    """Return the largest epsilon that one more release could have at the account's delta, rounded down.

    Args:
        account: The account.
        analyst: Whose share has to hold it too.
        room: Look at this room instead of what is left now.
    """
    left = account.left(analyst) if room is None else room
    if left.loss == 0:
        return 0.0
    if account.measure.kind == "pure":
        return left.loss / 2**40
    value = statement(account.measure, Cost(left.loss, 0), delta=account.delta)
    return value * (1 - 1e-9)


def _account(rows: Rows, population: str) -> Account:
    """Return the account from its owner's rows and the totals of its last charges."""
    owners = rows.owners(population)
    if not owners:
        raise InvalidInput(
            f"the ledger has no account {population!r}.",
            remedy="Open it first: discreet ledger open, or ledger.open(…).",
        )
    account = Account.fold(owners)
    charges = [rows.last_charge_by(population, name) for name in account.shares]
    charges.append(rows.last_charge(population))
    for charge in sorted((item for item in charges if item is not None), key=lambda item: item.sequence):
        account = account.after(charge)
    last = rows.last(population)
    assert last is not None
    return account.at(last)


def _append(
    rows: Rows,
    population: str,
    account: Account | None,
    kind: Kind,
    facts: Mapping[str, Any],
    owner: OwnerKey | None,
) -> Entry:
    body = {
        "v": 1,
        "population": population,
        "sequence": 0 if account is None else account.length,
        "kind": kind,
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "who": _who(),
        "previous": GENESIS if account is None else account.head,
        **facts,
    }
    text = text_of(body)
    digest = hash_of(text)
    entry = Entry(json.loads(text), digest, None if owner is None else owner.sign(digest))
    rows.append(entry, text)
    return entry


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"uid {os.getuid()}"


def _answered(rows: Rows, charge: Entry, event: events.Event) -> Entry:
    """Return the release of a request that was charged before, or refuse."""
    assert charge.request is not None
    if charge.event != event:
        raise InvalidInput(
            f"the request {charge.request} was charged for another event before.",
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


def _exceeded(account: Account, price: Cost, left: Cost, analyst: str | None) -> BudgetExceeded:
    whose = f"{account.population!r}" + (f" (share of {analyst})" if analyst else "")
    if price.loss <= left.loss:
        return BudgetExceeded(
            f"{whose} has δ = {show_delta(left.delta / 2**60)} left for events with a δ of their own; "
            f"this needs δ = {show_delta(price.delta / 2**60)}.",
            remedy="Use a smaller δ, or an account opened with larger delta_atoms.",
        )
    have = remaining_epsilon(account, analyst)
    need = statement(account.measure, Cost(price.loss, 0), delta=account.delta)
    smaller = f"Try epsilon={have * 0.999:.3g}, or ask" if have > 0.001 else "Ask"
    return BudgetExceeded(
        f"{whose} has ε = {have:.4g} left at δ = {show_delta(account.delta)}; this needs ε = {show_up(need)}.",
        remedy=f"{smaller} the owner of {account.population!r} to raise its budget.",
    )


def _guarantee(account: Account, spent: Cost) -> Guarantee:
    epsilon = statement(account.measure, spent, delta=account.delta)
    return Guarantee(
        unit=account.unit,
        epsilon=epsilon,
        delta=account.delta,
        method=f"adaptive {account.measure} filter",
        assumptions=() if account.unit.enforced else ("the promised bounds of the unit",),
    )


def _measure(measure: Measure | str, epsilon: float, delta: float) -> Measure:
    if isinstance(measure, Measure):
        return measure
    return Measure.renyi_for(epsilon, delta) if measure == "renyi" else Measure.parse(measure)


def _check_name(label: str, name: str) -> None:
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or not name.isprintable():
        raise InvalidInput(f"{label} must be a printable name of 1 to 200 characters, got {name!r}.")


def _check_text(label: str, text: str) -> None:
    if not isinstance(text, str) or not text.strip() or "\0" in text or len(text) > 2000:
        raise InvalidInput(f"{label} must be a text of 1 to 2000 characters, got {type(text).__name__}.")


def _check_budget(epsilon: float, delta: float, measure: Measure, ceiling: float | None) -> None:
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon <= 1000:
        raise InvalidInput(f"epsilon must lie in (0, 1000], got {epsilon!r}.")
    if isinstance(delta, bool) or not isinstance(delta, int | float) or not 0 <= delta < 1:
        raise InvalidInput(f"delta must lie in [0, 1), got {delta!r}.")
    if delta == 0 and measure.kind != "pure":
        raise InvalidInput(f"a {measure} account needs delta above 0.", remedy="Give a delta, or open a pure account.")
    if ceiling is not None and not ceiling >= epsilon:
        raise InvalidInput(f"the ceiling must be at least epsilon, got {ceiling!r}.")


def _check_owner(account: Account, owner: OwnerKey) -> None:
    if owner.public != account.public_key:
        raise InvalidInput(
            f"this is not the key that opened {account.population!r}.", remedy="Use the owner's key of that account."
        )
