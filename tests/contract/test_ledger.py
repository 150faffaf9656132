"""What every ledger does, whatever database it is in: the same tests against both."""

from __future__ import annotations

import math
import pickle
import threading

import pytest
from tests.ledgers import DIGEST, UNIT, open_pure, pure, spend

from discreet import Ledger, PrivacyUnit, events
from discreet.accounting import Cost, Measure
from discreet.errors import BudgetExceeded, InvalidInput, LedgerDamaged, UnsupportedEvent
from discreet.ledger import OwnerKey
from discreet.testing import ScratchLedger

UNITS = 2**30  # the cost of pure(1)


@pytest.fixture
def patients(book, book_key):
    open_pure(book, book_key)
    return book


# --------------------------------------------------------------------------------------- opening


def test_before_it_is_opened_there_is_nothing(book):
    for look in (book.populations, book.export, book.verify, lambda: book.account("patients")):
        with pytest.raises(InvalidInput, match="there is no ledger at"):
            look()


def test_an_account_says_what_was_fixed(book, book_key):
    opened = book.open(
        "patients", unit=UNIT, measure="zcdp", epsilon=1.0, delta=1e-6, owner=book_key, delta_atoms=1e-7, ceiling=2.0
    )
    assert book.account("patients") == opened
    assert (opened.unit, opened.measure, opened.epsilon, opened.delta) == (UNIT, Measure("zcdp"), 1.0, 1e-6)
    assert (opened.delta_atoms, opened.ceiling, opened.public_key) == (1e-7, 2.0, book_key.public)
    assert opened.capacity.loss > 0
    assert opened.capacity.delta == math.floor(1e-7 * 2**60)
    assert (opened.spent, opened.length, opened.raises, dict(opened.shares)) == (Cost(), 1, (), {})
    assert book.head("patients") == opened.head == book.entries("patients")[0].hash
    assert book.populations() == ["patients"]


@pytest.mark.parametrize(("measure", "atoms"), [("pure", 1e-6), ("zcdp", 5e-7), ("renyi", 5e-7), ("renyi(8)", 5e-7)])
def test_delta_for_atoms_is_all_of_it_or_half(book, book_key, measure, atoms):
    account = book.open("patients", unit=UNIT, measure=measure, epsilon=1.0, delta=1e-6, owner=book_key)
    assert account.delta_atoms == atoms
    assert account.measure.kind == measure.partition("(")[0]
    assert book.verify().entries == {"patients": 1}


def test_terms_are_fixed_for_ever(patients, book_key):
    with pytest.raises(InvalidInput, match="open already"):
        open_pure(patients, book_key, units=1000)
    assert patients.account("patients").epsilon == 100 / 1024


def test_a_unit_or_relation_that_differs_is_refused(patients):
    patients.check("patients", UNIT)
    patients.check("patients", PrivacyUnit(column="id", max_rows=3, max_groups=2))  # shapes noise, protects the same
    for other in (PrivacyUnit(), PrivacyUnit(column="visit"), PrivacyUnit(column="id", relation="replace_one")):
        with pytest.raises(InvalidInput, match="protects per id"):
            patients.check("patients", other)


def test_accounts_do_not_touch_each_other(patients, book_key):
    open_pure(patients, book_key, population="staff", units=1)
    spend(patients, "a", 100)
    assert patients.affords("staff", pure(1))
    assert not patients.affords("patients", pure(1))
    assert patients.verify().entries == {"patients": 2, "staff": 1}
    with pytest.raises(InvalidInput, match="no account 'nobody'"):
        patients.account("nobody")


# -------------------------------------------------------------------------------------- charging


def test_a_charge_is_written_down(patients):
    entry, earlier = patients.charge("patients", pure(3), purpose="count beds", request="r1")
    assert earlier is None
    stored = patients.entries("patients")[1]
    assert stored == entry
    assert (entry.kind, entry.sequence, entry.request, entry.purpose) == ("charge", 1, "r1", "count beds")
    assert entry.event == pure(3)
    assert entry.cost == entry.spent == Cost(3 * UNITS)
    assert entry.previous == patients.entries("patients")[0].hash
    assert entry.who
    assert entry.when.endswith("+00:00")


def test_exactly_the_capacity_is_admitted(patients):
    for number in range(100):
        spend(patients, f"r{number}")
    account = patients.account("patients")
    assert account.spent == account.capacity
    with pytest.raises(BudgetExceeded, match=r"ε = 0 left at δ = 0; this needs ε = 0\.0009766"):
        spend(patients, "r100")
    assert patients.account("patients") == account
    patients.verify()


def test_one_unit_too_much_is_refused_and_leaves_room(patients):
    with pytest.raises(BudgetExceeded, match=r"Nothing was spent and no data was read\.\n  Try epsilon = 0\.0976"):
        spend(patients, "a", 101)
    spend(patients, "a", 100)


def test_delta_adds_up_in_its_own_column(book, book_key):
    open_pure(book, book_key, units=1000, delta=2.0**-20)
    step = events.Approximate(0.001, 2.0**-21)
    for name in ("a", "b"):
        book.charge("patients", step, purpose="keys", request=name)
    with pytest.raises(BudgetExceeded, match="δ = 0 left for events"):
        book.charge("patients", step, purpose="keys", request="c")
    assert book.account("patients").spent.delta == 2**40
    spend(book, "d")
    book.verify()


def test_an_event_without_a_known_cost_is_refused(patients):
    for event in (events.Gaussian(1.0), events.NonPrivate(), events.ZCDP(0.001)):
        with pytest.raises(UnsupportedEvent):
            patients.charge("patients", event, purpose="test", request="a")
        with pytest.raises(UnsupportedEvent):
            patients.affords("patients", event)
    assert len(patients.entries("patients")) == 1


# -------------------------------------------------------------------------------------- requests


def test_a_request_goes_from_charged_to_released(patients):
    assert patients.request("patients", "a") is None
    entry = spend(patients, "a")
    assert patients.request("patients", "a") == entry
    release = patients.released(entry, DIGEST)
    assert patients.request("patients", "a") == release
    assert (release.kind, release.digest, release.request, release.sequence) == ("release", DIGEST, "a", 2)
    assert release.spent == entry.spent


def test_an_answered_request_is_answered_from_the_shelf(patients):
    entry = spend(patients, "a")
    release = patients.released(entry, DIGEST)
    assert patients.charge("patients", pure(1), purpose="again", request="a") == (entry, release)
    assert len(patients.entries("patients")) == 3
    # also once the budget is gone
    spend(patients, "b", 99)
    assert patients.charge("patients", pure(1), purpose="again", request="a") == (entry, release)


def test_charged_but_never_released_is_refused(patients):
    spend(patients, "a")
    with pytest.raises(InvalidInput, match=r"never released[\s\S]*nothing more was spent[\s\S]*attempt = 2"):
        spend(patients, "a")
    assert len(patients.entries("patients")) == 2


def test_the_same_request_for_another_event_is_an_error(patients):
    entry = spend(patients, "a")
    patients.released(entry, DIGEST)
    with pytest.raises(InvalidInput, match="another event"):
        spend(patients, "a", 2)
    assert len(patients.entries("patients")) == 3


def test_a_release_is_recorded_once(patients):
    entry = spend(patients, "a")
    first = patients.released(entry, DIGEST)
    assert patients.released(entry, DIGEST) == first
    with pytest.raises(InvalidInput, match=r"released already[\s\S]*first release stands"):
        patients.released(entry, "00" * 32)
    assert len(patients.entries("patients")) == 3


def test_a_release_needs_its_charge(patients, book_key):
    other = ScratchLedger()
    open_pure(other, book_key)
    stranger = spend(other, "a")
    with pytest.raises(LedgerDamaged, match="is gone"):
        patients.released(stranger, DIGEST)
    spend(patients, "a")
    with pytest.raises(LedgerDamaged, match="is gone"):
        patients.released(stranger, DIGEST)
    for digest in ("", "xyz", DIGEST.upper(), None):
        with pytest.raises(InvalidInput, match="SHA-256"):
            patients.released(stranger, digest)


# --------------------------------------------------------------------------------------- planning


def test_planning_spends_nothing(patients):
    assert patients.after("patients", pure(30)) == Cost(70 * UNITS)
    assert patients.affords("patients", pure(100))
    assert not patients.affords("patients", pure(101))
    with pytest.raises(BudgetExceeded):
        patients.after("patients", pure(101))
    assert len(patients.entries("patients")) == 1


@pytest.mark.parametrize("measure", ["pure", "zcdp", "renyi"])
def test_spent_and_remaining_are_guarantees(book, book_key, measure):
    book.open("patients", unit=PrivacyUnit(), measure=measure, epsilon=1.0, delta=1e-6, owner=book_key)
    assert book.spent("patients").epsilon == 0
    before = book.remaining("patients")
    event = events.Pure(0.125)
    book.charge("patients", event, purpose="test", request="a")
    spent, left = book.spent("patients"), book.remaining("patients")
    assert 0 < spent.epsilon <= 1
    assert 0 < left.epsilon < before.epsilon
    assert (spent.delta, spent.unit, spent.evidence) == (1e-6, PrivacyUnit(), "proven")
    assert measure in spent.method
    assert spent.assumptions[0] == "the promised bounds of the unit"
    assert left.assumptions == ("the promised bounds of the unit",)
    if measure == "pure":  # the sum of pure losses bounds every run at every moment
        assert len(spent.assumptions) == 1
    else:
        assert "whatever was seen, everything together keeps ε = 1)" in spent.assumptions[1]


# ----------------------------------------------------------------------------------------- shares


def test_a_share_and_the_account_must_both_admit(patients, book_key):
    patients.share("patients", "bo", epsilon=60 / 1024, owner=book_key)
    patients.share("patients", "cy", epsilon=60 / 1024, owner=book_key)  # 120 of 100: the account holds
    entry = spend(patients, "a", 60, analyst="bo")
    assert (entry.analyst, entry.body["share_spent"]) == ("bo", [60 * UNITS, 0])
    with pytest.raises(BudgetExceeded, match=r"share of bo"):
        spend(patients, "b", 1, analyst="bo")
    with pytest.raises(BudgetExceeded, match=r"share of cy\) has ε = 0\.03906 left"):
        spend(patients, "c", 41, analyst="cy")
    spend(patients, "d", 40, analyst="cy")
    account = patients.account("patients")
    assert account.spent == account.capacity
    assert {name: share.spent.loss // UNITS for name, share in account.shares.items()} == {"bo": 60, "cy": 40}
    patients.verify()


def test_what_was_spent_outlives_other_owners_entries(patients, book_key):
    patients.share("patients", "bo", epsilon=60 / 1024, owner=book_key)
    spend(patients, "a", 10, analyst="bo")
    spend(patients, "b", 20)
    patients.raise_budget("patients", epsilon=200 / 1024, owner=book_key)
    patients.share("patients", "bo", epsilon=15 / 1024, owner=book_key)
    account = patients.account("patients")
    assert account.spent == Cost(30 * UNITS)
    assert account.shares["bo"].spent == Cost(10 * UNITS)
    assert account.left("bo") == Cost(5 * UNITS)
    assert account.left() == Cost(170 * UNITS)
    with pytest.raises(BudgetExceeded):
        spend(patients, "c", 6, analyst="bo")
    spend(patients, "c", 5, analyst="bo")
    assert account.length + 1 == len(patients.entries("patients"))
    patients.verify()


def test_a_share_cut_below_what_was_spent_admits_nothing(patients, book_key):
    patients.share("patients", "bo", epsilon=60 / 1024, owner=book_key)
    spend(patients, "a", 10, analyst="bo")
    patients.share("patients", "bo", epsilon=5 / 1024, owner=book_key)
    assert patients.account("patients").left("bo") == Cost()
    with pytest.raises(BudgetExceeded):
        spend(patients, "b", 1, analyst="bo")
    patients.verify()


def test_an_analyst_without_a_share_is_refused(patients):
    with pytest.raises(InvalidInput, match="'bo' has no share"):
        spend(patients, "a", analyst="bo")
    with pytest.raises(InvalidInput, match="'bo' has no share"):
        patients.affords("patients", pure(1), analyst="bo")


# ----------------------------------------------------------------------------------------- raises


def test_a_raise_before_anything_was_seen(patients, book_key):
    account = patients.raise_budget("patients", epsilon=150 / 1024, owner=book_key)
    assert (account.opened_epsilon, account.epsilon) == (100 / 1024, 150 / 1024)
    assert account == patients.account("patients")
    assert not account.raises[0].chosen_after_release
    assert patients.entries("patients")[-1].body["chosen_after_release"] is False
    spend(patients, "a", 150)
    assert patients.spent("patients").assumptions == ()
    patients.verify()


def test_a_raise_after_releases_says_so_for_ever(patients, book_key):
    for name in ("a", "b"):
        patients.released(spend(patients, name, 30), DIGEST)
    account = patients.raise_budget("patients", epsilon=150 / 1024, owner=book_key)
    late = account.raises[0]
    assert (late.seen, late.chosen_after_release, late.spent) == (2, True, Cost(60 * UNITS))
    assert patients.entries("patients")[-1].body["chosen_after_release"] is True
    (told,) = patients.spent("patients").assumptions
    assert "chosen after release" in told
    assert "holds as if it had been declared at opening" in told
    assert late.when in told
    assert patients.remaining("patients").assumptions == ()  # one release's own guarantee does not hang on the raise
    spend(patients, "c", 90)
    assert patients.account("patients").raises == (late,)
    patients.verify()


def test_a_raise_below_a_ceiling_keeps_what_was_fixed_at_opening(book, book_key):
    terms = {"unit": UNIT, "measure": "zcdp", "epsilon": 1.0, "delta": 1e-6, "owner": book_key}
    book.open("patients", ceiling=2.0, **terms)
    book.open("staff", **terms)
    for name in ("patients", "staff"):
        book.charge(name, events.ZCDP(0.001), purpose="test", request="a")
        book.raise_budget(name, epsilon=1.5, owner=book_key)
    (covered,) = book.spent("patients").assumptions
    (open_ended,) = book.spent("staff").assumptions
    assert "whatever was seen, everything together keeps ε = 2)" in covered
    assert "chosen after release" not in covered
    assert "chosen after release" in open_ended
    assert "keeps ε" not in open_ended


def test_a_charge_whose_release_is_not_recorded_may_have_been_seen(patients, book_key):
    spend(patients, "a")
    assert patients.raise_budget("patients", epsilon=0.5, owner=book_key).raises[0].chosen_after_release


def test_a_raise_must_be_larger_and_below_the_ceiling(book, book_key):
    open_pure(book, book_key, ceiling=120 / 1024)
    for epsilon, why in ((100 / 1024, "larger"), (0.01, "larger"), (121 / 1024, "ceiling")):
        with pytest.raises(InvalidInput, match=why):
            book.raise_budget("patients", epsilon=epsilon, owner=book_key)
    book.raise_budget("patients", epsilon=120 / 1024, owner=book_key)
    assert len(book.entries("patients")) == 2


def test_only_the_owner_raises_and_shares(patients, tmp_path):
    stranger = OwnerKey.create(tmp_path / "stranger.key")
    with pytest.raises(InvalidInput, match="not the key"):
        patients.raise_budget("patients", epsilon=0.5, owner=stranger)
    with pytest.raises(InvalidInput, match="not the key"):
        patients.share("patients", "bo", epsilon=0.5, owner=stranger)
    with pytest.raises(InvalidInput, match="must be an OwnerKey"):
        patients.raise_budget("patients", epsilon=0.5, owner="owner.key")
    assert len(patients.entries("patients")) == 1


# -------------------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    "terms",
    [
        {"population": ""},
        {"population": "a\nb"},
        {"population": "x" * 201},
        {"population": 7},
        {"unit": "id"},
        {"measure": "gdp"},
        {"measure": None},
        {"measure": "renyi(0.5)"},
        {"epsilon": 0},
        {"epsilon": -1.0},
        {"epsilon": math.inf},
        {"epsilon": math.nan},
        {"epsilon": True},
        {"epsilon": "1"},
        {"delta": 1.0},
        {"delta": -0.1},
        {"delta": math.nan},
        {"delta": None},
        {"delta": 0.0, "measure": "zcdp"},
        {"delta": 0.0, "measure": "renyi"},
        {"delta_atoms": 0.5},
        {"delta_atoms": -1e-9},
        {"delta_atoms": "all"},
        {"delta": 1e-6, "delta_atoms": 1e-6, "measure": "zcdp"},
        {"ceiling": 0.01},
        {"ceiling": math.inf},
        {"ceiling": math.nan},
        {"owner": None},
    ],
    ids=str,
)
def test_terms_that_make_no_sense_open_nothing(book, book_key, terms):
    with pytest.raises(InvalidInput):
        open_pure(book, book_key, **terms)
    with pytest.raises(InvalidInput, match="there is no ledger"):
        book.populations()


@pytest.mark.parametrize(
    "wrong",
    [
        {"purpose": ""},
        {"purpose": "a\0b"},
        {"purpose": None},
        {"purpose": "x" * 2001},
        {"request": " "},
        {"request": "\ud800"},
        {"request": 3},
        {"event": "gaussian"},
        {"event": None},
        {"analyst": 5},
        {"analyst": ""},
    ],
    ids=repr,
)
def test_charges_that_make_no_sense_are_refused(patients, wrong):
    good = {"event": pure(1), "purpose": "test", "request": "a", "analyst": None}
    with pytest.raises(InvalidInput, match="Nothing was spent"):
        patients.charge("patients", **(good | wrong))
    assert len(patients.entries("patients")) == 1


@pytest.mark.parametrize("epsilon", [0, -1, math.nan, math.inf, "1", None, 1001])
def test_budgets_that_make_no_sense_are_refused(patients, book_key, epsilon):
    with pytest.raises(InvalidInput, match="epsilon must lie"):
        patients.raise_budget("patients", epsilon=epsilon, owner=book_key)
    with pytest.raises(InvalidInput, match="epsilon must lie"):
        patients.share("patients", "bo", epsilon=epsilon, owner=book_key)


def test_any_printable_text_is_kept_as_it_is(book, book_key):
    name = "Pa'tients — Größe 患者 %s ?"
    open_pure(book, book_key, population=name)
    book.share(name, "Bo; DROP TABLE", epsilon=0.1, owner=book_key)
    entry, _ = book.charge(name, pure(1), purpose='"quoted" ε\n%(x)s', request="'; --", analyst="Bo; DROP TABLE")
    book.released(entry, DIGEST)
    assert book.entries(name)[2] == entry
    assert book.populations() == [name]
    assert book.request(name, "'; --").digest == DIGEST
    book.verify()


# ------------------------------------------------------------------------------------ the rest


def test_export_is_everything(patients):
    patients.released(spend(patients, "a"), DIGEST)
    exported = patients.export()
    assert exported == [entry.to_dict() for entry in patients.entries("patients")]
    assert {"hash", "signature", "previous", "spent", "kind", "when", "who"} <= set(exported[0])


def test_verified_names_heads(patients):
    found = patients.verify()
    assert (found.entries, found.heads) == ({"patients": 1}, {"patients": patients.head("patients")})


def test_a_real_ledger_and_one_for_tests_refuse_each_other(book_url, book_key):
    scratch, real = ScratchLedger(book_url), Ledger(book_url)
    open_pure(scratch, book_key)
    spend(scratch, "a")
    assert scratch.account("patients").testing
    for use in (lambda: spend(real, "b"), lambda: real.account("patients"), lambda: real.request("patients", "a")):
        with pytest.raises(InvalidInput, match="opened by a ledger for tests"):
            use()
    open_pure(real, book_key, population="staff")
    with pytest.raises(InvalidInput, match="not opened by a ledger for tests"):
        scratch.charge("staff", pure(1), purpose="test", request="a")


def test_a_ledger_crosses_process_boundaries(patients):
    spend(patients, "a")
    assert pickle.loads(pickle.dumps(patients)).head("patients") == patients.head("patients")


def test_threads_share_a_ledger(patients):
    def work(name):
        for number in range(10):
            spend(patients, f"{name}-{number}", 2)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcde"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert patients.account("patients").spent == Cost(100 * UNITS)
    patients.verify()
