"""Renewing an account for one period, and who pays from then on. Always inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from discreet.accounting import Cost
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.ledger.account import Account
from discreet.ledger.chain import extend, owner_of
from discreet.ledger.entries import damaged
from discreet.ledger.keys import OwnerKey
from discreet.ledger.periods import Period, account_of, kind_of, named, same, to_dict
from discreet.ledger.rows import Rows


def check(account: Account, period: Period, charges: int) -> None:
    """Refuse a renewal under which somebody could pay less than was promised.

    Raises:
        InvalidInput: says why.
    """
    name = account.population
    if account.period is not None:
        raise InvalidInput(
            f"{name!r} is the account of one period already.", remedy=f"Renew {account.base!r} for another period."
        )
    if account.unit.per is None:
        raise InvalidInput(
            f"the account {name!r} protects {account.unit.label}: no column says which period a row belongs to.",
            remedy="A budget is renewed where the unit is a person in one period, PrivacyUnit(column=…, per=…), "
            "which is fixed at opening.",
        )
    if account.unit.relation is Relation.REPLACE_ONE:
        raise InvalidInput(
            f"the account {name!r} protects under replace_one, where the unit that comes may be of another period "
            "than the one that goes: it would be paid for in neither.",
            remedy="Open an account under add_remove, and renew that.",
        )
    if charges:
        raise InvalidInput(
            f"{charges} charge{'s were' if charges > 1 else ' was'} made to {name!r} for all periods together: "
            "one that is renewed would pay again.",
            remedy="Open another account for rows that no release has used, and renew it before its first charge.",
        )
    for before in account.renewals:
        if kind_of(before.period) != kind_of(period):
            raise InvalidInput(
                f"the periods of {name!r} are of type {kind_of(before.period)}, as the first one was; got {period!r}.",
                remedy="Give the value as the period column is declared.",
            )
        if before.period == period:
            raise InvalidInput(
                f"{name!r} was renewed for {named(period)} on {before.when}: a period has one budget.",
                remedy=f"A larger one is a raise of {before.account!r}.",
            )


def renew(rows: Rows, base: Account, period: Period, name: str, owner: OwnerKey) -> Account:
    """Enter the renewal in the account's chain, and open the period's account with its terms and shares.

    Raises:
        InvalidInput: there is an account of that name.
    """
    if not rows.add_population(name):
        raise InvalidInput(
            f"an account {name!r} is open, and not as one of {base.population!r}.",
            remedy="Name the population, or its periods, otherwise.",
        )
    about = {"period": to_dict(period)}
    entry = extend(rows, base.population, base, "renew", about | {"account": name}, spent=base.spent, owner=owner)
    terms = base.terms | about | {"renews": base.population, "renewal": entry.hash}
    account = Account.fold([extend(rows, name, None, "open", terms, spent=Cost(), owner=owner)])
    for analyst, share in base.shares.items():
        room = [share.capacity.loss, share.capacity.delta]
        facts = {"analyst": analyst, "epsilon": share.epsilon, "capacity": room}
        account = account.after(extend(rows, name, account, "share", facts, spent=Cost(), owner=owner))
    return account


def check_whole(account: Account) -> None:
    """Refuse to treat a renewed account as a whole.

    Raises:
        InvalidInput: its periods pay.
    """
    if account.renewals:
        last = account.renewals[-1]
        raise InvalidInput(
            f"the budget of {account.population!r} is renewed by {account.unit.per}: each period pays for itself, "
            "and nothing is charged, shared or raised as a whole.",
            remedy=f"Ask in a period, dataset.in_period({last.period!r}), or name its account, {last.account!r}.",
        )


def check_renewed(rows: Rows, population: str, periods: Sequence[Period]) -> None:
    """Refuse a period that has no account.

    Raises:
        InvalidInput: names it.
    """
    for period in periods:
        if rows.last(account_of(population, period)) is None:
            raise InvalidInput(
                f"{population!r} was not renewed for {named(period)}.",
                remedy="Its owner renews it: discreet ledger renew, or ledger.renew(…).",
            )


def check_paying(population: str, periods: Sequence[Period], accounts: Sequence[Account]) -> None:
    """Refuse accounts that do not pay for exactly this: a renewed one as a whole, or that of another period.

    Raises:
        InvalidInput: says which account pays.
    """
    if not periods:
        [account] = accounts
        check_whole(account)
        if account.period is not None:
            raise InvalidInput(
                f"{population!r} is the account of {named(account.period)} alone.",
                remedy=f"Name {account.base!r} as the population, and ask in that period: "
                f"dataset.in_period({account.period!r}).",
            )
        return
    for period, account in zip(periods, accounts, strict=True):
        if account.base != population or not same(account.period, period):
            raise InvalidInput(
                f"the account {account.population!r} is not that of the period {period!r} of {population!r}.",
                remedy="Give the period by the type that its column is declared with.",
            )


def check_owner(rows: Rows, population: str, accounts: Sequence[Account]) -> None:
    """Refuse a period's account that somebody else opened: no budget that the owner did not sign is ever spent.

    Raises:
        LedgerDamaged: names it.
    """
    owner = owner_of(rows, population)
    for account in accounts:
        if account.public_key != owner:
            raise damaged(f"the account {account.population!r} was opened with another key than {population!r}")
