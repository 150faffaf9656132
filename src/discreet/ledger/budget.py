"""What an account still holds, in words and numbers."""

from __future__ import annotations

from discreet.accounting import Cost, statement
from discreet.errors import BudgetExceeded
from discreet.ledger.account import Account
from discreet.profiles import Guarantee, show_delta, show_up


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


def total(account: Account) -> Guarantee:
    """Return what was spent so far as a guarantee of everything together, with what it rests on."""
    epsilon = statement(account.measure, account.spent, delta=account.delta)
    late = [item for item in account.raises if item.chosen_after_release]
    # Nothing was left to choose if nothing, or all of both columns, was spent.
    open_ended = account.spent not in (Cost(), account.capacity)
    if late and account.ceiling is None:
        fixed = (
            f"the raise of {late[0].when} was chosen after release, with no ceiling fixed at opening: the number holds "
            "as if it had been declared at opening, and is proved for everything together only if no release "
            "influenced a raise"
        )
    elif account.measure.kind != "pure" and (late or open_ended):
        bound = account.ceiling if late and account.ceiling is not None else account.epsilon
        fixed = (
            "no release influenced how much was spent in all (whatever was seen, everything together keeps "
            f"ε = {show_up(bound)})"
        )
    else:
        fixed = None
    return _guarantee(account, epsilon, *([] if fixed is None else [fixed]))


def largest(account: Account, analyst: str | None = None) -> Guarantee:
    """Return the largest guarantee that one more release could have by itself."""
    return _guarantee(account, remaining_epsilon(account, analyst))


def _guarantee(account: Account, epsilon: float, *assumptions: str) -> Guarantee:
    promised = () if account.unit.enforced else ("the promised bounds of the unit",)
    return Guarantee(
        unit=account.unit,
        epsilon=epsilon,
        delta=account.delta,
        method=f"adaptive {account.measure} filter",
        assumptions=(*promised, *assumptions),
    )


def exceeded(account: Account, price: Cost, left: Cost, analyst: str | None) -> BudgetExceeded:
    """Return the error for a cost that does not fit."""
    whose = f"{account.population!r}" + (f" (share of {analyst})" if analyst else "")
    if price.loss <= left.loss:
        return BudgetExceeded(
            f"{whose} has δ = {show_delta(left.delta / 2**60)} left for events with a δ of their own; "
            f"this needs δ = {show_delta(price.delta / 2**60)}.",
            remedy="Use a smaller δ, or an account opened with larger delta_atoms.",
        )
    have = remaining_epsilon(account, analyst)
    need = statement(account.measure, Cost(price.loss, 0), delta=account.delta)
    smaller = f"Try epsilon = {have * 0.999:.3g}, or ask" if have > 0.001 else "Ask"
    return BudgetExceeded(
        f"{whose} has ε = {have:.4g} left at δ = {show_delta(account.delta)}; this needs ε = {show_up(need)}.",
        remedy=f"{smaller} the owner of {account.population!r} to raise its budget.",
    )
