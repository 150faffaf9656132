"""Planted bugs in budgets by period. Each check is run on the bug (must fail) and on the good code (must pass)."""

from __future__ import annotations

import time
from contextlib import suppress
from fractions import Fraction
from types import SimpleNamespace

import pyarrow as pa
import pytest

from discreet import Dataset, Domain, Ledger, PrivacyUnit, events, sql
from discreet.accounting import Cost, statement
from discreet.errors import BudgetExceeded, DiscreetError, InvalidInput, LedgerDamaged
from discreet.ledger import account as account_room
from discreet.ledger import audit, outage, periods, renewing, rows, total
from discreet.ledger import ledger as ledger_room
from discreet.sql.statements.relationsql import Relations
from discreet.sql.statements.stages import Question
from discreet.testing import ScratchLedger
from tests.ledgers import pure
from tests.period_cases import MONTHS, QUESTIONS, SOURCES, UNIT, integers, of_months, plan, renewed
from tests.renewal_campaign import crowd

MAY, JUNE, _ = MONTHS

# ------------------------------------------------------------------------------------ the checks


def opened(units=10, **terms):
    ledger = ScratchLedger()
    facts = {"unit": UNIT, "measure": "pure", "epsilon": units / 1024, "delta": 0.0} | terms
    ledger.open("patients", owner=ledger.owner, **facts)
    return ledger


def spend(ledger, request, units, *wanted):
    with suppress(BudgetExceeded, InvalidInput):
        ledger.charge("patients", pure(units), purpose="t", request=request, periods=wanted)
        return units
    return 0


def what_a_person_in_may_loses(*, charge_first):
    ledger = opened()
    lost = spend(ledger, "a", 1) if charge_first else 0
    with suppress(InvalidInput):
        ledger.renew("patients", period=MAY, owner=ledger.owner)
    lost += sum(spend(ledger, f"whole{number}", 5) for number in range(4))
    lost += sum(spend(ledger, f"may{number}", 5, MAY) for number in range(4))
    ledger.verify()
    return lost


def check_each_pays_once():
    """Whatever is asked in May or of all months, a person in May loses what was promised and no more."""
    assert what_a_person_in_may_loses(charge_first=False) <= 10


def check_charged_then_renewed():
    """The same, with a charge before the renewal."""
    assert what_a_person_in_may_loses(charge_first=True) <= 10


def check_several_pay():
    """A question over two months leaves less in both."""
    ledger = opened()
    for month in (MAY, JUNE):
        ledger.renew("patients", period=month, owner=ledger.owner)
    spend(ledger, "a", 8, MAY, JUNE)
    assert [spend(ledger, month, 8, month) for month in (MAY, JUNE)] == [0, 0]
    ledger.verify()


def check_rows_of_the_period():
    """A plan counts the rows of its period, of every table."""
    dataset = renewed()
    for text in QUESTIONS:
        kept = integers(plan(dataset.in_period(JUNE), text))
        assert kept == integers(plan(dataset, text), of_months(SOURCES, [JUNE]))


def check_one_period_one_budget():
    """Months as numbers and as texts are the same rows: asked for as both, they have one budget."""
    ledger = opened(unit=PrivacyUnit(column="id", per="p"))
    source, lost = pa.table({"id": [1], "p": ["202405"]}), 0
    for kind, period in (("integer", 202405), ("text", "202405")):
        with suppress(DiscreetError):
            ledger.renew("patients", period=period, owner=ledger.owner)
        dataset = Dataset(
            source, name="t", version="1", unit=PrivacyUnit(column="id", per="p"),
            domain=Domain(id="integer", p=kind), ledger=ledger, population="patients",
        )  # fmt: skip
        with suppress(DiscreetError):
            asked = sql.plan(dataset.in_period(period), "SELECT COUNT(*) AS n FROM t", epsilon=10 / 1024)
            request = {"purpose": "t", "request": kind, "periods": [period]}
            assert integers(asked, source) == [[1]]
            ledger.check("patients", dataset.unit, [period])
            ledger.charge("patients", asked.event, **request)
            lost += 10
    assert lost == 10


def check_person_in_all():
    """Two months, one question over both: a person in both moves the sum by two, which is four times the ρ."""
    ledger = opened(measure="zcdp", epsilon=1.0, delta=1e-6)
    for month in (MAY, JUNE):
        ledger.renew("patients", period=month, owner=ledger.owner)
    noise = events.DiscreteGaussian(Fraction(1), Fraction(1000))
    ledger.charge("patients", noise, purpose="t", request="a", periods=[MAY, JUNE])
    true = Fraction(2**2, 2 * 1000)
    measure = ledger.account("patients").measure
    least = statement(measure, Cost(int(true * 2**40)), delta=1e-6)
    assert ledger.total("patients").person.epsilon >= least * (1 - 1e-12)


def check_other_unit_other_period():
    """Under replace_one a unit of May may become one of June: it loses in both accounts."""
    ledger = opened(unit=PrivacyUnit(column="id", per="month", relation="replace_one"))
    for month in (MAY, JUNE):
        with suppress(InvalidInput):
            ledger.renew("patients", period=month, owner=ledger.owner)
    assert sum(spend(ledger, month, 10, month) for month in (MAY, JUNE)) <= 10


def check_crash_between():
    """A process that dies within a renewal leaves all of it, or nothing."""
    ledger = opened()
    with pytest.MonkeyPatch.context() as dying:
        good, calls = rows.Rows.append, []

        def append(self, entry, text):
            calls.append(entry)
            if len(calls) == 2:
                raise KeyboardInterrupt
            good(self, entry, text)

        dying.setattr(rows.Rows, "append", append)
        with pytest.raises(KeyboardInterrupt):
            ledger.renew("patients", period=MAY, owner=ledger.owner)
    assert spend(ledger, "a", 10) + spend(ledger, "b", 10, MAY) <= 10
    assert ledger.verify().entries == {"patients": 2}


def check_another_question():
    """The same words in another period are another question: no release of May answers it."""
    dataset = renewed()
    asked = [dataset.in_period(month) for month in (MAY, JUNE)]
    assert len({each.request(plan(each, QUESTIONS[0]), name="n") for each in asked}) == 2


# -------------------------------------------------------------------------------------- the bugs


@pytest.fixture
def patch(monkeypatch):
    return monkeypatch.setattr


def charges_the_whole_after_a_renewal(patch):
    patch(renewing, "check_whole", lambda account: None)
    left = account_room.Account.left
    patch(account_room.Account, "left", lambda self, who=None: left(account_room.replace(self, renewals=()), who))


def renews_what_was_charged(patch):
    check = renewing.check
    patch(renewing, "check", lambda account, period, charges: check(account, period, 0))
    patch(audit, "check", lambda account, period, charges: check(account, period, 0))


def charges_the_first_period_only(patch):
    paying = Ledger._paying
    patch(Ledger, "_paying", lambda self, *given: paying(self, *given)[:1])


def leaves_the_filter_out_of_a_joined_table(patch):
    good = Relations._in_period
    patch(Relations, "_in_period", lambda self, known, read: [] if known.name == "beds" else good(self, known, read))


def leaves_the_filter_out(patch):
    patch(Relations, "_in_period", lambda self, known, read: [])


def filters_the_own_table_only(patch):
    """Rows behind a foreign key are left to the join."""
    good = Relations._scan

    def scan(self, node, wanted, extra=""):
        if extra:
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(Relations, "_in_period", lambda *_: [])
                return good(self, node, wanted, extra)
        return good(self, node, wanted, extra)

    patch(Relations, "_scan", scan)


def keeps_to_no_period_and_says_so(patch):
    patch(Question, "periods", property(lambda self: ()))
    leaves_the_filter_out(patch)


def takes_periods_by_their_look(patch):
    """Types are not looked at, and an account is named by what Python calls the value."""
    patch(renewing, "kind_of", lambda period: "text")
    patch(audit, "account_of", lambda population, period: f"{population}@{period!r}")
    for room in (ledger_room, renewing, periods):
        patch(room, "account_of", lambda population, period: f"{population}@{period!r}")


def adds_up_what_a_person_loses(patch):
    patch(total, "_for_one_in_all", lambda base, charge: charge.cost)


def renews_under_replace_one(patch):
    patch(renewing, "Relation", SimpleNamespace(REPLACE_ONE=None))


def renews_in_two_transactions(patch):
    """The period's account first, then the entry that closes the whole."""

    def renew(self, population, *, period, owner):
        name = periods.account_of(population, period)
        about = {"period": periods.to_dict(period)}
        with self._store.writing(population, outage.TERMS) as transaction:
            base = self._account(transaction, population)
            transaction.add_population(name)
            facts = base.terms | about | {"renews": population, "renewal": base.head}
            ledger_room.extend(transaction, name, None, "open", facts, spent=Cost(), owner=owner)
        with self._store.writing(population, outage.TERMS) as transaction:
            base = self._account(transaction, population)
            facts = about | {"account": name}
            ledger_room.extend(transaction, population, base, "renew", facts, spent=base.spent, owner=owner)

    patch(Ledger, "renew", renew)


def forgets_the_period_of_a_question(patch):
    beside = Dataset._beside
    patch(Dataset, "_beside", lambda self: {k: v for k, v in beside(self).items() if k != "periods"})


BUGS = [
    (charges_the_whole_after_a_renewal, check_each_pays_once),
    (renews_what_was_charged, check_charged_then_renewed),
    (charges_the_first_period_only, check_several_pay),
    (leaves_the_filter_out_of_a_joined_table, check_rows_of_the_period),
    (leaves_the_filter_out, check_rows_of_the_period),
    (filters_the_own_table_only, check_rows_of_the_period),
    (takes_periods_by_their_look, check_one_period_one_budget),
    (adds_up_what_a_person_loses, check_person_in_all),
    (renews_under_replace_one, check_other_unit_other_period),
    (renews_in_two_transactions, check_crash_between),
    (forgets_the_period_of_a_question, check_another_question),
]


@pytest.mark.parametrize(("plant", "check"), BUGS, ids=lambda item: item.__name__)
def test_a_planted_bug_is_caught(patch, plant, check):
    plant(patch)
    with pytest.raises((AssertionError, LedgerDamaged, pytest.fail.Exception)):
        check()


@pytest.mark.parametrize("check", dict.fromkeys(check for _, check in BUGS), ids=lambda item: item.__name__)
def test_the_good_code_is_cleared(check):
    check()


def test_a_plan_without_the_filter_is_refused_before_the_charge(patch):
    """The door asks the plan which periods it reads: one that says none is not lent a dataset in a period."""
    dataset = renewed()
    keeps_to_no_period_and_says_so(patch)
    with pytest.raises(InvalidInput, match="reads rows of all periods"):
        sql.query(dataset.in_period(MAY), QUESTIONS[0], epsilon=1.0, delta=1e-6)


def looks_before_the_transaction(patch):
    """Whether the account was charged is asked first; by the time of the renewal it may have been."""

    def renew(self, population, *, period, owner):
        account = self.account(population)
        charges = sum(entry.kind == "charge" for entry in self.entries(population))
        renewing.check(account, period, charges)
        time.sleep(1.0)
        name = periods.account_of(population, period)
        with self._store.writing(population, outage.TERMS, name) as transaction:
            now = self._account(transaction, population)
            return renewing.renew(transaction, now, period, name, owner)

    charge = Ledger.charge

    def later(self, *given, **more):
        if more["request"].endswith("whole"):
            time.sleep(0.5)
        return charge(self, *given, **more)

    patch(Ledger, "renew", renew)
    patch(Ledger, "charge", later)


def test_the_crowd_catches_a_renewal_that_looked_too_early(tmp_path, book_key, patch):
    """The campaign of tests/e2e is itself able to fail; its good twin runs there."""
    looks_before_the_transaction(patch)
    with pytest.raises(LedgerDamaged, match=r"(was|were) made to"):
        crowd(str(tmp_path / "ledger.db"), str(tmp_path / "owner.key"), rounds=3)
