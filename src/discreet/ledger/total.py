"""What a renewed account spent: in each period, and for a person who is in all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from discreet.accounting import DELTA_UNIT, Cost, statement
from discreet.errors import InvalidInput
from discreet.ledger.account import Account
from discreet.ledger.budget import total
from discreet.ledger.entries import Entry
from discreet.ledger.periods import Period
from discreet.profiles import Guarantee


@dataclass(frozen=True, slots=True)
class Total:
    """What a renewed account guarantees: to a person in one period, and to one who is in all of them.

    Args:
        population: The account that was renewed.
        periods: What was spent so far in each period, for a person in that period.
        person: What was spent so far in all of them together, for a person who is in all.
        most: What a person in all of them keeps once everything that they hold is spent.

    Guarantee: as each says, for the unit that it names.
    Evidence: proven, docs/proofs/filters.md.
    Assumes: the `assumptions` of each.
    Not protected: a person in periods that are renewed later has more added.
    """

    population: str
    periods: Mapping[Period, Guarantee]
    person: Guarantee
    most: Guarantee


def across(base: Account, accounts: Sequence[Account], charges: Iterable[Entry]) -> Total:
    """Return the total of a renewed account.

    Args:
        base: The account.
        accounts: Those of its periods.
        charges: All of their charges.

    Raises:
        InvalidInput: it was never renewed.
    """
    if not base.renewals:
        raise InvalidInput(
            f"the account {base.population!r} is not renewed by period: its one total is that of a person.",
            remedy="Ask for what was spent.",
        )
    spent = Cost()
    for charge in charges:
        spent = spent + _for_one_in_all(base, charge)
    late = any(item.chosen_after_release for account in accounts for item in account.raises)
    fixed = ["which periods were renewed", *(["a raise"] if late else [])]
    free = [] if base.measure.kind == "pure" else ["how much was spent"]
    return Total(
        population=base.population,
        periods={item.period: total(account) for item, account in zip(base.renewals, accounts, strict=True)},
        person=_together(base, spent, [*fixed, *free]),
        most=_together(base, _everything(base, accounts), fixed),
    )


def _for_one_in_all(base: Account, charge: Entry) -> Cost:
    """Return the part in this account of what a charge costs a person who is in all of its k periods.

    It is k times what it costs a person in one of them in pure ε, and k² times in zCDP; the charge stands in k
    accounts. In other measures, and with a δ of its own, it is for one period.
    """
    times = len(charge.accounts) if base.measure.kind == "zcdp" else 1
    return Cost(charge.cost.loss * times, charge.cost.delta)


def _everything(base: Account, accounts: Sequence[Account]) -> Cost:
    """Return the most that charges within these accounts can cost a person who is in all of their periods.

    In zCDP, where a charge over several periods costs more than its parts, it is the square of the sum of the roots.
    """
    rooms = [account.capacity for account in accounts]
    loss = sum(room.loss for room in rooms)
    if base.measure.kind == "zcdp":
        loss = sum(math.isqrt(a.loss * b.loss) + 1 for a in rooms for b in rooms)
    return Cost(loss, sum(room.delta for room in rooms))


def _together(base: Account, cost: Cost, chosen: Sequence[str]) -> Guarantee:
    """Return the guarantee of a person in all periods, at a δ that holds the δ atoms of all of them."""
    more = max(0, cost.delta - base.capacity.delta) * DELTA_UNIT
    delta = min(1.0, math.nextafter(float(Fraction(base.delta) + more), 1.0) if more else base.delta)
    return Guarantee(
        unit=replace(base.unit, per=None),
        epsilon=statement(base.measure, cost, delta=delta),
        delta=delta,
        method=f"composition of the adaptive {base.measure} filters of {len(base.renewals)} periods",
        assumptions=(f"no release influenced {' or '.join(chosen)}",),
    )
