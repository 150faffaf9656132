"""Planted bugs in the ledger. Each check is run on the bug (must fail) and on the good twin (must pass)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from discreet import Ledger, PrivacyUnit, accounting, events
from discreet.accounting import Cost
from discreet.errors import BudgetExceeded, InvalidInput, LedgerDamaged, UnsupportedEvent
from discreet.ledger import account as account_room
from discreet.ledger import audit, chain, entries, rows, sqlite
from discreet.ledger import ledger as ledger_room
from discreet.ledger.beside import Beside
from tests.ledger_campaign import crowd, kill
from tests.ledgers import DIGEST, open_pure, pure, spend

ROOT = Path(__file__).parents[2]

# ------------------------------------------------------------------------------------ the checks


def check_asked_twice(ledger, key):
    """A request is charged once, drawn once, and answered from the shelf afterwards."""
    open_pure(ledger, key)
    entry = spend(ledger, "a")
    with pytest.raises(InvalidInput):
        spend(ledger, "a")
    ledger.released(entry, DIGEST)
    _, earlier = ledger.charge("patients", pure(1), purpose="t", request="a")
    assert earlier is not None
    assert ledger.account("patients").spent == Cost(2**30)
    ledger.verify()


def check_other_event(ledger, key):
    open_pure(ledger, key)
    ledger.released(spend(ledger, "a"), DIGEST)
    with pytest.raises(InvalidInput):
        spend(ledger, "a", 50)


def check_sum(ledger, key):
    """What was admitted is, summed up exactly, within what was promised."""
    ledger.open("patients", unit=PrivacyUnit(), measure="pure", epsilon=1.0, delta=0.0, owner=key)
    admitted = Fraction(0)
    for number in range(12):
        try:
            ledger.charge("patients", events.Pure(0.1), purpose="t", request=f"r{number}")
        except BudgetExceeded:
            break
        admitted += Fraction(0.1)
    assert 0 < admitted <= 1
    ledger.verify()


def check_history(ledger, key):
    """What was written stays as it was, and an earlier head is part of every later chain."""
    open_pure(ledger, key)
    before = [spend(ledger, f"r{number}", 10) for number in range(3)]
    ledger.after_a_while()
    spend(ledger, "late")
    assert ledger.entries("patients")[1:4] == before
    ledger.verify()


def check_crowd(ledger, key):
    """Eight threads at once get exactly what fits."""
    open_pure(ledger, key, units=5)
    admitted = []

    def work(name):
        with suppress(BudgetExceeded, LedgerDamaged):
            admitted.append(spend(ledger, name))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 5
    account = ledger.account("patients")
    assert account.spent == account.capacity
    ledger.verify()


def check_backup(ledger, key):
    """A thread that copies the file while this process charges lets no other process in."""
    open_pure(ledger, key, units=10)
    extend, others = chain.extend, []
    charge = "import sys; from discreet import Ledger; from tests.ledgers import spend; spend(Ledger(sys.argv[1]), 'other', 7)"

    def while_copied(*arguments, **more):
        copier = threading.Thread(target=shutil.copy, args=(ledger.url, f"{ledger.url}-copy"))
        copier.start()
        copier.join()
        others.append(subprocess.Popen([sys.executable, "-c", charge, ledger.url], cwd=ROOT, stderr=subprocess.DEVNULL))
        with suppress(subprocess.TimeoutExpired):
            others[0].wait(4)
        return extend(*arguments, **more)

    with pytest.MonkeyPatch.context() as slow, suppress(BudgetExceeded):
        slow.setattr(ledger_room, "extend", while_copied)
        spend(ledger, "mine", 7)
    assert others[0].wait(60) != 0  # only one of the two was acknowledged
    assert [entry.request for entry in ledger.entries("patients")[1:]] == ["mine"]
    ledger.verify()


def check_family(ledger, key):
    """A share and the account must both admit, and both are charged."""
    open_pure(ledger, key)
    for name in ("bo", "cy"):
        ledger.share("patients", name, epsilon=60 / 1024, owner=key)
    spend(ledger, "a", 60, analyst="bo")
    with pytest.raises(BudgetExceeded):
        spend(ledger, "b", 1, analyst="bo")
    with pytest.raises(BudgetExceeded):
        spend(ledger, "c", 41, analyst="cy")
    account = ledger.account("patients")
    assert account.spent == Cost(60 * 2**30)
    assert account.shares["bo"].spent == Cost(60 * 2**30)
    ledger.verify()


def check_price(ledger, key):
    """Each charge is at least what its event costs."""
    ledger.open("patients", unit=PrivacyUnit(), measure="zcdp", epsilon=1.0, delta=1e-6, owner=key)
    event = events.DiscreteGaussian(Fraction(1), Fraction(1000))
    entry, _ = ledger.charge("patients", event, purpose="t", request="a")
    assert Fraction(entry.cost.loss, 2**40) >= Fraction(1, 2000)
    ledger.verify()


def check_relation(ledger, key):
    """An event that was bounded under another relation is not charged: its cost here is another."""
    unit = PrivacyUnit(column="id", relation="replace_one")
    ledger.open("patients", unit=unit, measure="pure", epsilon=1.0, delta=0.0, owner=key)
    sampled = events.PoissonSampled(0.01, events.Relation.ADD_REMOVE, events.Pure(1.0))
    for event in (sampled, events.Composed((events.Pure(0.1), events.Repeated(2, sampled)))):
        with pytest.raises(UnsupportedEvent, match=r"add_remove; this account protects under replace_one"):
            ledger.charge("patients", event, purpose="t", request="a")
        with pytest.raises(UnsupportedEvent):
            ledger.affords("patients", event)
    ledger.verify()


def check_durable(ledger, key):
    """What was acknowledged is there for everybody else."""
    open_pure(ledger, key)
    entry = spend(ledger, "a")
    assert Ledger(ledger.url).request("patients", "a") == entry


def check_raise(ledger, key):
    """A raise says how much had been seen."""
    open_pure(ledger, key)
    ledger.released(spend(ledger, "a"), DIGEST)
    assert ledger.raise_budget("patients", epsilon=0.5, owner=key).raises[0].chosen_after_release
    ledger.verify()


def check_signature(ledger, key):
    """A budget that its owner did not sign is not spent."""
    open_pure(ledger, key)
    ledger.forge()
    with pytest.raises(LedgerDamaged):
        spend(ledger, "a", 200)


def check_audit_of_signatures(ledger, key):
    """An auditor finds a budget that its owner did not sign."""
    open_pure(ledger, key)
    ledger.verify()
    ledger.forge()
    with pytest.raises(LedgerDamaged, match="signature"):
        ledger.verify()


# -------------------------------------------------------------------------------------- the bugs


class Good(Ledger):
    """The good twin, with an uneventful life."""

    def after_a_while(self):
        """Nothing happens to a good ledger."""

    def forge(self):
        """Somebody with the file, but without the owner's key, adds a raise that chains well."""
        with self._store.writing("patients", sqlite.TERMS) as transaction:
            account = chain.load(transaction, "patients")
            room = account.capacity_for(0.5)
            facts = {"epsilon": 0.5, "capacity": [room.loss, 0], "seen": 0, "chosen_after_release": False}
            chain.extend(transaction, "patients", account, "raise", facts, spent=account.spent)


@pytest.fixture
def patch(monkeypatch):
    return monkeypatch.setattr


def forgets_requests(patch):
    patch(rows.Rows, "find", lambda self, population, request, kind: None)
    patch(ledger_room, "extend", lambda r, p, a, k, facts, **more: chain.extend(r, p, a, k, _renamed(facts), **more))


def _renamed(facts):
    return facts | ({"request": f"{facts['request']} at {time.monotonic_ns()}"} if "request" in facts else {})


def draws_again_after_a_crash(patch):
    good = ledger_room.answered

    def forgiving(transaction, charge, described):
        try:
            return good(transaction, charge, described)
        except InvalidInput:
            return None  # "it was paid for, so let it run"

    patch(ledger_room, "answered", forgiving)


def forgets_the_release(patch):
    find = rows.Rows.find
    patch(ledger_room, "answered", lambda *_: None)
    patch(rows.Rows, "find", lambda self, p, r, kind: None if kind == "release" else find(self, p, r, kind))


def ignores_the_event(patch):
    patch(ledger_room, "answered", lambda r, charge, _: r.find(charge.population, charge.request, "release"))


def sums_floats(patch):
    """Totals kept as floats: ten times 0.1 is less than 1."""

    class Floating(Cost):
        def __le__(self, other):
            return self.loss <= other.loss

    patch(account_room, "cost", lambda event, measure: Floating(event.epsilon))
    patch(account_room.Account, "left", lambda self, analyst=None: Floating(1.0 - self.spent.loss))


@contextmanager
def unguarded(path):
    with closing(sqlite._connect(Path(path))) as connection:
        kept = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in kept:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in kept:
            connection.execute(sql)


def rewrite(ledger, *, rehash):
    """Make the first charge nine tenths cheaper; with `rehash`, repair every hash after it."""
    previous, refund = None, 9 * 2**30
    with unguarded(ledger.url) as connection:
        for entry in ledger.entries("patients"):
            body = dict(entry.body)
            if entry.sequence >= 1:
                body["spent"] = [body["spent"][0] - refund, 0]
            if entry.sequence == 1:
                body["cost"] = [body["cost"][0] - refund, 0]
            if rehash and previous is not None:
                body["previous"] = previous
            text = entries.text_of(body)
            previous = entries.hash_of(text)
            found = (text, previous if rehash else entry.hash, entry.sequence)
            connection.execute(f"UPDATE {rows.ENTRIES} SET body = ?, hash = ? WHERE sequence = ?", found)


def refunds(patch):
    patch(Good, "after_a_while", lambda ledger: rewrite(ledger, rehash=False))


def refunds_and_repairs_the_chain(patch):
    patch(Good, "after_a_while", lambda ledger: rewrite(ledger, rehash=True))


def forgets_the_newest(patch):
    def cut(ledger):
        with unguarded(ledger.url) as connection:
            connection.execute(f"DELETE FROM {rows.ENTRIES} WHERE sequence = 3")

    patch(Good, "after_a_while", cut)


def looks_before_the_transaction(patch):
    """The account is read first; by the time of the write it is stale, and the chain is re-read."""
    load = ledger_room.load

    def charge(self, population, event, *, purpose, request, analyst=None):
        account = self.account(population)
        price = accounting.cost(event, account.measure)
        if not price <= account.left(analyst):
            raise BudgetExceeded("too much")
        time.sleep(0.2)
        with self._store.writing(population, sqlite.TERMS) as transaction:
            now = load(transaction, population)
            facts = {"purpose": purpose, "request": request, "event": events.to_dict(event)}
            facts |= {"cost": [price.loss, price.delta]}
            return chain.extend(transaction, population, now, "charge", facts, spent=now.spent + price), None

    patch(Ledger, "charge", charge)


def writes_without_a_lock(patch):
    """Each statement commits by itself: the total that is written is one that others read, too."""

    @contextmanager
    def writing(self, population, intent):
        with self._connection(intent) as connection:
            yield rows.Rows(sqlite._executor(connection))

    relies_on_sqlites_locks(patch)
    extend = chain.extend

    def slowly(*arguments, **more):
        time.sleep(0.2)
        return extend(*arguments, **more)

    patch(sqlite.SQLiteStore, "writing", writing)
    patch(ledger_room, "extend", slowly)


def relies_on_sqlites_locks(patch):
    """POSIX drops them when any descriptor of the file is closed."""
    patch(Beside, "held", lambda self, **_: nullcontext())


def asks_the_child_only(patch):
    def left(self, analyst=None):
        room = self if analyst is None else self.share(analyst)
        return Cost(room.capacity.loss - room.spent.loss, room.capacity.delta - room.spent.delta)

    patch(account_room.Account, "left", left)


def asks_the_parent_only(patch):
    patch(
        account_room.Account,
        "left",
        lambda self, analyst=None: Cost(self.capacity.loss - self.spent.loss, self.capacity.delta - self.spent.delta),
    )


def charges_the_child_only(patch):
    extend = chain.extend

    def forgetful(transaction, population, account, kind, facts, *, spent, owner=None):
        if "share_spent" in facts:
            spent = account.spent
        return extend(transaction, population, account, kind, facts, spent=spent, owner=owner)

    patch(ledger_room, "extend", forgetful)


def undercharges(patch):
    def cheaper(event, measure):
        price = accounting.cost(event, measure)
        return replace(price, loss=price.loss * 9 // 10)

    patch(account_room, "cost", cheaper)


def rounds_down(patch):
    def down(event, measure):
        bound = accounting.loss(event, measure)
        return Cost(bound.loss.numerator * 2**40 // bound.loss.denominator, 0)

    patch(account_room, "cost", down)


def ignores_the_relation(patch):
    patch(account_room, "check_relation", lambda event, relation: None)


def acknowledges_before_it_commits(patch):
    @contextmanager
    def writing(self, population, intent):
        if intent is not ledger_room.CHARGE:
            with good(self, population, intent) as transaction:
                yield transaction
            return
        with self._connection(intent) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield rows.Rows(sqlite._executor(connection))  # … and the commit is forgotten

    good = sqlite.SQLiteStore.writing
    patch(sqlite.SQLiteStore, "writing", writing)


def hides_what_was_seen(patch):
    patch(rows.Rows, "charges", lambda self, population: 0)


def believes_any_budget(patch):
    patch(chain, "_signed", lambda *_: True)


def verifies_without_signatures(patch):
    patch(audit, "signed", lambda *_: True)


BUGS = [
    (forgets_requests, check_asked_twice),
    (draws_again_after_a_crash, check_asked_twice),
    (forgets_the_release, check_asked_twice),
    (ignores_the_event, check_other_event),
    (sums_floats, check_sum),
    (refunds, check_history),
    (refunds_and_repairs_the_chain, check_history),
    (forgets_the_newest, check_history),
    (looks_before_the_transaction, check_crowd),
    (writes_without_a_lock, check_crowd),
    (relies_on_sqlites_locks, check_backup),
    (asks_the_child_only, check_family),
    (asks_the_parent_only, check_family),
    (charges_the_child_only, check_family),
    (undercharges, check_price),
    (rounds_down, check_price),
    (ignores_the_relation, check_relation),
    (acknowledges_before_it_commits, check_durable),
    (hides_what_was_seen, check_raise),
    (believes_any_budget, check_signature),
    (verifies_without_signatures, check_audit_of_signatures),
]


@pytest.mark.parametrize(("plant", "check"), BUGS, ids=lambda item: item.__name__)
def test_a_planted_bug_is_caught(tmp_path, book_key, patch, plant, check):
    plant(patch)
    with pytest.raises((AssertionError, LedgerDamaged, pytest.fail.Exception)):
        check(Good(tmp_path / "ledger.db"), book_key)


@pytest.mark.parametrize("check", dict.fromkeys(check for _, check in BUGS), ids=lambda item: item.__name__)
def test_the_good_twin_is_cleared(tmp_path, book_key, check):
    check(Good(tmp_path / "ledger.db"), book_key)


def test_verify_alone_catches_what_left_traces(tmp_path, book_key, patch):
    """An auditor who comes later has only the file: these bugs still show."""
    for number, plant in enumerate((undercharges, hides_what_was_seen, asks_the_child_only)):
        with pytest.MonkeyPatch.context() as planted:
            plant(planted.setattr)
            ledger = Good(tmp_path / f"{number}.db")
            open_pure(ledger, book_key)
            ledger.share("patients", "bo", epsilon=1.0, owner=book_key)
            spend(ledger, "a", 101 if plant is asks_the_child_only else 90, analyst="bo")
            ledger.raise_budget("patients", epsilon=0.5, owner=book_key)
        with pytest.raises(LedgerDamaged, match=r"its cost|its sum|what had been seen|exceeds the budget"):
            ledger.verify()


def test_the_kills_catch_a_charge_that_was_acknowledged_too_early(tmp_path, book_key, patch):
    """The campaign of tests/e2e is itself able to fail; its good twin runs there."""
    acknowledges_before_it_commits(patch)
    found = kill(str(tmp_path / "ledger.db"), str(tmp_path / "owner.key"), 10)
    assert found["lost"] > 0


def test_the_crowd_catches_a_look_before_the_transaction(tmp_path, book_key, patch):
    looks_before_the_transaction(patch)
    with pytest.raises(LedgerDamaged, match="exceeds the budget"):
        crowd(str(tmp_path / "ledger.db"), str(tmp_path / "owner.key"), processes=4, charges=2, admits=3)
