"""Renewal: each period pays for itself, once, and nobody pays less than was promised."""

from __future__ import annotations

import datetime
import math
import threading
from fractions import Fraction

import pytest
from tests.ledgers import DIGEST, pure

from discreet import Ledger, PrivacyUnit, events
from discreet.accounting import Cost, statement
from discreet.errors import BudgetExceeded, InvalidInput, LedgerDamaged, UnsupportedEvent
from discreet.ledger import OwnerKey, chain, entries, outage
from discreet.testing import ScratchLedger

MONTHLY = PrivacyUnit(column="id", per="month")
MAY, JUNE = "2024-05", "2024-06"


def opened(ledger, key, *, units=10, unit=MONTHLY, **terms):
    facts = {"measure": "pure", "epsilon": units / 1024, "delta": 0.0} | terms
    return ledger.open("patients", unit=unit, owner=key, **facts)


def spend(ledger, request, units, *periods, analyst=None):
    return ledger.charge("patients", pure(units), purpose="test", request=request, periods=periods, analyst=analyst)[0]


@pytest.fixture
def renewed(book, book_key):
    """An account of 10 units, renewed for May and June, in each of the two databases."""
    opened(book, book_key)
    for period in (MAY, JUNE):
        book.renew("patients", period=period, owner=book_key)
    return book


def test_a_period_has_the_terms_and_the_shares_of_what_it_renews(book, book_key):
    opened(book, book_key, units=10, measure="zcdp", epsilon=1.0, delta=1e-6, ceiling=3.0)
    book.raise_budget("patients", epsilon=2.0, owner=book_key)
    book.share("patients", "bo", epsilon=0.5, owner=book_key)
    found = book.renew("patients", period=JUNE, owner=book_key)
    base = book.account("patients")
    assert found == book.account("patients@2024-06")
    assert found.terms == base.terms
    assert found.epsilon == 2.0
    assert (found.base, found.period, found.population) == ("patients", JUNE, "patients@2024-06")
    assert found.raises == ()  # it was opened at this budget
    assert {name: share.capacity for name, share in found.shares.items()} == {"bo": base.shares["bo"].capacity}
    assert [(item.period, item.account) for item in base.renewals] == [(JUNE, "patients@2024-06")]
    assert book.verify().entries == {"patients": 4, "patients@2024-06": 2}


def test_each_period_pays_for_itself_up_to_its_capacity(renewed):
    spend(renewed, "a", 10, MAY)
    spend(renewed, "b", 4, JUNE)
    with pytest.raises(BudgetExceeded, match=r"'patients@2024-05' has ε = 0 left"):
        spend(renewed, "c", 1, MAY)
    spend(renewed, "d", 6, JUNE)
    assert not renewed.affords("patients", pure(1), periods=[JUNE])
    renewed.verify()


def test_several_periods_pay_the_whole_price_each_or_nothing(renewed):
    entry = spend(renewed, "a", 4, JUNE, MAY)
    assert (entry.population, entry.accounts) == ("patients@2024-05", ("patients@2024-05", "patients@2024-06"))
    spend(renewed, "b", 5, MAY)
    assert renewed.affords("patients", pure(2), periods=[JUNE])
    assert not renewed.affords("patients", pure(2), periods=[MAY, JUNE])
    with pytest.raises(BudgetExceeded, match="Nothing was spent"):
        spend(renewed, "c", 2, MAY, JUNE)
    with pytest.raises(BudgetExceeded):
        spend(renewed, "d", 2, JUNE, MAY)
    spent = [renewed.account(name).spent.loss for name in ("patients@2024-05", "patients@2024-06")]
    assert spent == [9 * 2**30, 4 * 2**30]
    assert renewed.after("patients", pure(1), periods=[MAY, JUNE]) == Cost(0, 0)
    renewed.verify()


def test_a_release_over_several_periods_is_recorded_in_all(renewed):
    entry = spend(renewed, "a", 4, MAY, JUNE)
    done = renewed.released(entry, DIGEST)
    assert done.population == "patients@2024-05"
    assert renewed.request("patients@2024-06", "a").digest == DIGEST
    beside = renewed.entries("patients@2024-06")[1]
    assert renewed.released(beside, DIGEST).population == "patients@2024-06"
    again, earlier = renewed.charge("patients", pure(4), purpose="t", request="a", periods=[JUNE, MAY])
    assert (again, earlier) == (entry, done)
    with pytest.raises(InvalidInput, match="another event"):
        spend(renewed, "a", 5, MAY, JUNE)
    renewed.verify()


@pytest.mark.parametrize("other", [(MAY,), (JUNE,)])
def test_a_request_of_other_periods_is_refused(renewed, other):
    spend(renewed, "a", 1, MAY, JUNE)
    with pytest.raises(InvalidInput, match=r"charged to patients@2024-05, patients@2024-06 before, and not to"):
        spend(renewed, "a", 1, *other)
    spend(renewed, "b", 1, *other)
    with pytest.raises(InvalidInput, match=f"charged to patients@{other[0]} before"):
        spend(renewed, "b", 1, MAY, JUNE)


def test_a_renewed_account_is_no_longer_treated_as_a_whole(renewed, book_key):
    attempts = (
        lambda: spend(renewed, "a", 1),
        lambda: renewed.raise_budget("patients", epsilon=1.0, owner=book_key),
        lambda: renewed.share("patients", "bo", epsilon=0.1, owner=book_key),
        lambda: renewed.spent("patients"),
        lambda: renewed.remaining("patients"),
        lambda: renewed.after("patients", pure(1)),
        lambda: renewed.check("patients", MONTHLY),
    )
    for attempt in attempts:
        with pytest.raises(InvalidInput, match=r"renewed by month: each period pays for itself"):
            attempt()
    assert renewed.account("patients").left() == Cost()


def test_a_periods_account_is_not_charged_but_as_that_period(renewed):
    for attempt in (
        lambda: renewed.charge("patients@2024-05", pure(1), purpose="t", request="a"),
        lambda: renewed.check("patients@2024-05", MONTHLY),
        lambda: renewed.after("patients@2024-05", pure(1)),
    ):
        with pytest.raises(InvalidInput, match=r"is the account of 2024-05 alone") as caught:
            attempt()
    assert "dataset.in_period('2024-05')" in caught.value.remedy


def test_its_own_raise_and_share_are_those_of_the_period(renewed, book_key):
    renewed.raise_budget("patients@2024-05", epsilon=20 / 1024, owner=book_key)
    renewed.share("patients@2024-05", "bo", epsilon=15 / 1024, owner=book_key)
    spend(renewed, "a", 15, MAY, analyst="bo")
    with pytest.raises(BudgetExceeded, match="share of bo"):
        spend(renewed, "b", 1, MAY, analyst="bo")
    renewed.share("patients@2024-05", "cy", epsilon=0.1, owner=book_key)
    with pytest.raises(InvalidInput, match="no share of the account 'patients@2024-06'"):
        spend(renewed, "c", 1, MAY, JUNE, analyst="cy")
    assert renewed.request("patients@2024-05", "c") is None
    renewed.verify()


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (PrivacyUnit(column="id"), "no column says which period"),
        (PrivacyUnit(column="id", per="month", relation="replace_one"), "may be of another period"),
    ],
)
def test_a_unit_that_has_no_periods_of_its_own_is_not_renewed(book, book_key, unit, message):
    opened(book, book_key, unit=unit)
    with pytest.raises(InvalidInput, match=message):
        book.renew("patients", period=MAY, owner=book_key)
    assert book.populations() == ["patients"]


def test_zero_out_is_renewed(book, book_key):
    opened(book, book_key, unit=PrivacyUnit(column="id", per="month", relation="zero_out"))
    assert book.renew("patients", period=MAY, owner=book_key).unit.relation == "zero_out"


def test_what_was_charged_is_not_renewed(book, book_key):
    opened(book, book_key)
    spend(book, "a", 1)
    with pytest.raises(InvalidInput, match=r"1 charge was made to 'patients' for all periods together"):
        book.renew("patients", period=MAY, owner=book_key)


def test_a_period_has_one_budget(renewed, book_key):
    with pytest.raises(InvalidInput, match=r"was renewed for 2024-05 on .*: a period has one budget"):
        renewed.renew("patients", period=MAY, owner=book_key)
    with pytest.raises(InvalidInput, match=r"account of one period already"):
        renewed.renew("patients@2024-05", period=MAY, owner=book_key)
    assert renewed.verify().entries == {"patients": 3, "patients@2024-05": 1, "patients@2024-06": 1}


@pytest.mark.parametrize(
    ("first", "alike"), [(2024, "2024"), ("2024", 2024), (True, "true"), (1, True), (True, 1),
                         (datetime.date(2024, 5, 1), "2024-05-01")],
)  # fmt: skip
def test_periods_that_look_or_compare_alike_are_not_one(book, book_key, first, alike):
    opened(book, book_key)
    book.renew("patients", period=first, owner=book_key)
    with pytest.raises(InvalidInput, match=r"the periods of 'patients' are of type"):
        book.renew("patients", period=alike, owner=book_key)
    with pytest.raises(InvalidInput, match=r"(is not that of the period|was not renewed)"):
        spend(book, "a", 1, alike)
    spend(book, "a", 1, first)


def test_a_period_comes_back_with_its_type(book, book_key):
    opened(book, book_key)
    for day in (datetime.date(2024, 5, 1), datetime.date(2024, 6, 1)):
        book.renew("patients", period=day, owner=book_key)
    assert [item.period for item in book.account("patients").renewals] == [
        datetime.date(2024, 5, 1),
        datetime.date(2024, 6, 1),
    ]
    assert book.populations() == ["patients", "patients@2024-05-01", "patients@2024-06-01"]


@pytest.mark.parametrize(
    ("period", "message"),
    [
        (None, "got NoneType"),
        (1.0, "got float"),
        (datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC), "got datetime"),
        ("", "normal form"),
        ("a\nb", "normal form"),
        ("e\u0301", "normal form"),
        (2**63, "64-bit"),
        ("x" * 200, "printable name of 1 to 200"),
    ],
)
def test_what_names_no_period_is_refused(book, book_key, period, message):
    opened(book, book_key)
    with pytest.raises(InvalidInput, match=message):
        book.renew("patients", period=period, owner=book_key)


def test_an_account_of_that_name_is_in_the_way(book, book_key):
    opened(book, book_key)
    book.open("patients@2024-05", unit=MONTHLY, measure="pure", epsilon=9.0, delta=0.0, owner=book_key)
    with pytest.raises(InvalidInput, match=r"is open, and not as one of 'patients'"):
        book.renew("patients", period=MAY, owner=book_key)
    with pytest.raises(InvalidInput, match=r"is not that of the period"):
        spend(book, "a", 1, MAY)
    assert book.account("patients").renewals == ()
    book.verify()


def test_two_populations_may_not_share_a_periods_account(book, book_key):
    for name in ("a", "a@b"):
        book.open(name, unit=MONTHLY, measure="pure", epsilon=1.0, delta=0.0, owner=book_key)
    book.renew("a@b", period="c", owner=book_key)
    with pytest.raises(InvalidInput, match="not as one of 'a'"):
        book.renew("a", period="b@c", owner=book_key)
    with pytest.raises(InvalidInput, match="is not that of the period"):
        book.charge("a", pure(1), purpose="t", request="r", periods=["b@c"])


def test_another_key_renews_nothing(book, book_key, tmp_path):
    opened(book, book_key)
    with pytest.raises(InvalidInput, match="not the key that opened"):
        book.renew("patients", period=MAY, owner=OwnerKey.create(tmp_path / "other.key"))


def test_periods_are_given_in_a_list_and_of_one_type(renewed):
    with pytest.raises(InvalidInput, match="got the text '2024-05'"):
        renewed.charge("patients", pure(1), purpose="t", request="a", periods=MAY)
    with pytest.raises(InvalidInput, match="several types: integer, text"):
        spend(renewed, "a", 1, MAY, 7)
    with pytest.raises(InvalidInput, match="was not renewed for 2024-07") as caught:
        spend(renewed, "a", 1, MAY, "2024-07")
    assert "ledger renew" in caught.value.remedy
    assert renewed.request("patients@2024-05", "a") is None


def test_what_cannot_be_bounded_for_one_in_several_periods_is_asked_in_each(book, book_key):
    """A person in two periods of one question: only pure ε and zCDP say what they lose."""
    for measure in ("pure", "zcdp", "renyi(8)"):
        book.open(measure, unit=MONTHLY, measure=measure, epsilon=1.0, delta=1e-5, owner=book_key)
        for period in (MAY, JUNE):
            book.renew(measure, period=period, owner=book_key)
    atoms, noise = events.Approximate(0.01, 1e-7), events.Gaussian(50.0)
    for name, event, both in (
        ("pure", pure(1), True),
        ("pure", atoms, False),
        ("zcdp", noise, True),
        ("zcdp", atoms, False),
        ("renyi(8)", noise, False),
    ):
        for number, periods in enumerate([[MAY], [MAY, JUNE]]):
            request = {"purpose": "t", "request": f"{event.kind}{number}", "periods": periods}
            if both or number == 0:
                book.charge(name, event, **request)
                continue
            with pytest.raises(InvalidInput, match="cannot be asked over several periods at once"):
                book.charge(name, event, **request)
            with pytest.raises(InvalidInput, match="several periods at once"):
                book.affords(name, event, periods=periods)
    book.verify()


def test_an_event_without_a_cost_here_is_refused(renewed):
    with pytest.raises(UnsupportedEvent):
        renewed.charge("patients", events.Gaussian(5.0), purpose="t", request="a", periods=[MAY])


# --------------------------------------------------------------------------------- a person's total


def test_a_pure_total_is_the_sum(renewed):
    spend(renewed, "a", 3, MAY)
    spend(renewed, "b", 4, MAY, JUNE)
    found = renewed.total("patients")
    assert {period: one.epsilon * 1024 for period, one in found.periods.items()} == {MAY: 7.0, JUNE: 4.0}
    assert found.person.epsilon * 1024 == 11.0
    assert found.most.epsilon * 1024 == 20.0
    assert found.person.unit == PrivacyUnit(column="id")
    assert found.person.assumptions == ("no release influenced which periods were renewed",)
    assert [one.unit.label for one in found.periods.values()] == ["per id and month (add_remove)"] * 2


def test_in_zcdp_a_question_over_k_periods_costs_a_person_in_all_k_squared(book, book_key):
    opened(book, book_key, measure="zcdp", epsilon=1.0, delta=1e-6)
    for period in (MAY, JUNE, "2024-07"):
        book.renew("patients", period=period, owner=book_key)
    noise = events.DiscreteGaussian(Fraction(1), Fraction(1000))  # ρ = 1/2000
    price = book.account("patients").price(noise).loss
    for request, periods in (("a", [MAY]), ("b", [JUNE]), ("c", [MAY, JUNE]), ("d", [MAY, JUNE, "2024-07"])):
        book.charge("patients", noise, purpose="t", request=request, periods=periods)
    found = book.total("patients")
    measure = book.account("patients").measure
    assert found.person.epsilon == statement(measure, Cost((1 + 1 + 4 + 9) * price), delta=1e-6)
    assert found.person.delta == 1e-6
    most = (9 * book.account("patients").capacity.loss) * (1 + 1e-9)
    assert found.most.epsilon >= statement(measure, Cost(int(most / (1 + 1e-9)), 0), delta=1e-6) * 0.9
    assert "how much was spent" in found.person.assumptions[0]
    assert "how much was spent" not in found.most.assumptions[0]


def test_the_most_of_a_person_holds_every_history(book, book_key):
    """As dear as can be: all of three budgets on one question over all of them is nine times one."""
    opened(book, book_key, measure="zcdp", epsilon=1.0, delta=1e-6, delta_atoms=0.0)
    for period in (MAY, JUNE, "2024-07"):
        book.renew("patients", period=period, owner=book_key)
    room = book.account("patients").capacity.loss
    book.charge("patients", events.ZCDP(room / 2**40), purpose="t", request="a", periods=[MAY, JUNE, "2024-07"])
    found = book.total("patients")
    assert found.most.epsilon * (1 - 1e-9) <= found.person.epsilon <= found.most.epsilon


def test_deltas_of_several_periods_add_up(book, book_key):
    opened(book, book_key, epsilon=1.0, delta=1e-6)
    for period in (MAY, JUNE):
        book.renew("patients", period=period, owner=book_key)
        book.charge("patients", events.Approximate(0.25, 9e-7), purpose="t", request=period, periods=[period])
    found = book.total("patients")
    assert found.person.epsilon == 0.5
    assert 1.8e-6 <= found.person.delta < 1.81e-6
    assert 2e-6 * (1 - 1e-9) <= found.most.delta < 2.01e-6
    assert math.isfinite(found.most.epsilon)


def test_a_raise_of_a_period_after_release_is_said(renewed, book_key):
    spend(renewed, "a", 1, MAY)
    renewed.raise_budget("patients@2024-05", epsilon=20 / 1024, owner=book_key)
    found = renewed.total("patients")
    assert found.person.assumptions == ("no release influenced which periods were renewed or a raise",)
    assert "chosen after release" in " ".join(found.periods[MAY].assumptions)


def test_an_account_that_is_not_renewed_has_one_total(book, book_key):
    opened(book, book_key)
    with pytest.raises(InvalidInput, match="not renewed by period"):
        book.total("patients")


# ------------------------------------------------------------------------------- races and damage


def test_a_renewal_and_charges_at_once_leave_one_of_the_two(book, book_key):
    """However they meet: an account that was charged is not renewed, and one that is renewed is not charged."""
    for number in range(6):
        name = f"p{number}"
        book.open(name, unit=MONTHLY, measure="pure", epsilon=1.0, delta=0.0, owner=book_key)
        done, barrier = [], threading.Barrier(2)

        def ask(what, work, done=done, barrier=barrier):
            barrier.wait()
            try:
                work()
            except InvalidInput:
                return
            done.append(what)

        works = {
            "renewed": lambda name=name: book.renew(name, period=MAY, owner=book_key),
            "charged": lambda name=name: book.charge(name, pure(1), purpose="t", request="a"),
        }
        threads = [threading.Thread(target=ask, args=item) for item in works.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 1
        account = book.account(name)
        assert (len(account.renewals), account.spent.loss) == ((1, 0) if done == ["renewed"] else (0, 2**30))
    book.verify()


def test_two_charges_over_the_same_periods_in_other_orders_do_not_wait_for_one_another_for_ever(renewed):
    def work(name, periods):
        for number in range(2):
            spend(renewed, f"{name}{number}", 1, *periods)

    threads = [
        threading.Thread(target=work, args=args) for args in (("a", (MAY, JUNE)), ("b", (JUNE, MAY)), ("c", (JUNE,)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [renewed.account(f"patients@{period}").spent.loss for period in (MAY, JUNE)] == [4 * 2**30, 6 * 2**30]
    renewed.verify()


def test_a_failure_in_between_leaves_nothing_of_a_renewal(book, book_key, monkeypatch):
    opened(book, book_key)
    good = chain.Rows.append

    def fails(self, entry, text):
        if entry.population == "patients@2024-05":
            raise RuntimeError("the process dies between the two entries")
        good(self, entry, text)

    monkeypatch.setattr(chain.Rows, "append", fails)
    with pytest.raises(RuntimeError):
        book.renew("patients", period=MAY, owner=book_key)
    monkeypatch.undo()
    assert book.populations() == ["patients"]
    assert book.account("patients").renewals == ()
    assert book.renew("patients", period=MAY, owner=book_key).period == MAY
    book.verify()


def test_a_failure_in_between_leaves_nothing_of_a_charge(renewed, monkeypatch):
    good = chain.Rows.append

    def fails(self, entry, text):
        if entry.population == "patients@2024-06":
            raise RuntimeError("the process dies between the two entries")
        good(self, entry, text)

    monkeypatch.setattr(chain.Rows, "append", fails)
    with pytest.raises(RuntimeError):
        spend(renewed, "a", 4, MAY, JUNE)
    monkeypatch.undo()
    assert renewed.request("patients@2024-05", "a") is None
    spend(renewed, "a", 4, MAY, JUNE)
    renewed.verify()


def test_a_period_that_a_stranger_opened_is_not_spent(book, book_key, tmp_path):
    """Somebody with the database opens a period of theirs, as large as they like: no charge believes it."""
    opened(book, book_key)
    book.renew("patients", period=MAY, owner=book_key)
    stranger = OwnerKey.create(tmp_path / "stranger.key")
    account = book.account("patients@2024-05")
    body = {**book.entries("patients@2024-05")[0].body, "period": {"type": "text", "value": JUNE}}
    facts = {name: body[name] for name in (*account.terms, "period", "renews", "renewal")}
    with book._store.writing("patients", outage.TERMS) as rows:
        rows.add_population("patients@2024-06")
        chain.extend(
            rows,
            "patients@2024-06",
            None,
            "open",
            facts | {"public_key": stranger.public},
            spent=Cost(),
            owner=stranger,
        )
    for attempt in (
        lambda: spend(book, "a", 1, JUNE),
        lambda: book.check("patients", MONTHLY, [JUNE]),
    ):
        with pytest.raises(LedgerDamaged, match="opened with another key than 'patients'"):
            attempt()
    with pytest.raises(LedgerDamaged, match="no entry of 'patients' renews it"):
        book.verify()


def test_who_does_not_know_of_periods_goes_no_further(renewed):
    """The newest row of a renewed account, and the first of a period's, are of a version that older readers refuse."""
    assert renewed.entries("patients")[-1].body["v"] == entries.OF_PERIODS
    assert renewed.entries("patients@2024-05")[0].body["v"] == entries.OF_PERIODS
    assert renewed.entries("patients")[0].body["v"] == entries.VERSION


def test_ledgers_for_tests_keep_their_mark():
    ledger = ScratchLedger()
    opened(ledger, ledger.owner)
    assert ledger.renew("patients", period=MAY, owner=ledger.owner).testing
    with pytest.raises(InvalidInput, match="opened by a ledger for tests"):
        Ledger(ledger.url).charge("patients", pure(1), purpose="t", request="a", periods=[MAY])
