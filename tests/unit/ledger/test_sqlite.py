"""The ledger in a SQLite file: how it is kept, and every way in which the file can let us down."""

from __future__ import annotations

import json
import os
import pickle
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing

import pytest
from tests.ledgers import DIGEST, open_pure, spend

from discreet import Ledger
from discreet.errors import DiscreetError, InvalidInput, LedgerDamaged, LedgerUnavailable
from discreet.ledger import entries, rows, sqlite
from discreet.ledger.beside import Beside


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path, book_key):
    ledger = Ledger(path)
    open_pure(ledger, book_key)
    ledger.released(spend(ledger, "a"), DIGEST)
    del ledger  # its connection goes, and with it the log: one file is left
    return Ledger(path)


def by_hand(path, *statements):
    """Change the file as somebody with a SQLite shell would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def without_triggers(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        kept = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    by_hand(path, *(f"DROP TRIGGER {name}" for name, _ in kept), *statements, *(sql for _, sql in kept))


# ------------------------------------------------------------------------------------- how it is kept


def test_nothing_is_locked_at_rest_and_writes_are_synchronous(ledger, path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)  # not "wal", which lies in the file
    with closing(sqlite._connect(path)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("persist",)
    spend(ledger, "b")
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")  # the kept connection is no hindrance
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)  # at rest a plain copy is whole
    assert Ledger(copy).verify().entries == ledger.verify().entries == {"patients": 4}


@pytest.mark.parametrize("table", rows.KEPT)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = 'x'", "DELETE FROM {}"])
def test_rows_are_neither_changed_nor_removed(ledger, path, table, change):
    column = {rows.SCHEMA: "version", rows.POPULATIONS: "name", rows.ENTRIES: "body"}[table]
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        by_hand(path, change.format(table, column))


@pytest.mark.parametrize("sequence", [0, 1, 2, 4, -1])
def test_rows_are_not_replaced_and_only_added_at_the_end(ledger, path, sequence):
    columns = "population, kind, request, analyst, body, hash, signature"
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        by_hand(
            path,
            f"INSERT OR REPLACE INTO {rows.ENTRIES} (sequence, {columns}) "
            f"SELECT {sequence}, {columns} FROM {rows.ENTRIES} WHERE sequence = 1",
        )
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):  # right place, but a request that stands
        by_hand(
            path,
            f"INSERT OR REPLACE INTO {rows.ENTRIES} (sequence, {columns}) "
            f"SELECT 3, {columns} FROM {rows.ENTRIES} WHERE sequence = 1",
        )
    ledger.verify()


def test_a_failed_opening_leaves_no_file(path, book_key):
    with pytest.raises(InvalidInput):
        open_pure(Ledger(path), book_key, epsilon=-1)
    assert not path.exists()


# -------------------------------------------------------------------------------------- no ledger


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("missing/ledger.db", InvalidInput, "folder .*missing does not exist"),
        (".", InvalidInput, "is a folder"),
        ("file/ledger.db", (InvalidInput, LedgerUnavailable), "does not exist|Not a directory"),
    ],
)
def test_a_place_that_cannot_hold_a_ledger(tmp_path, book_key, place, error, message):
    (tmp_path / "file").write_text("x")
    with pytest.raises(error, match=message):
        open_pure(Ledger(tmp_path / place), book_key)


@pytest.mark.parametrize("url", ["", "mysql://host/db", "sqlite:///ledger.db", "a\0b"])
def test_a_url_of_something_else(url):
    with pytest.raises(InvalidInput, match="no place for a ledger"):
        Ledger(url)


def test_a_missing_ledger_says_what_to_do(path):
    with pytest.raises(InvalidInput, match=r"there is no ledger at .*ledger\.db\.[\s\S]*Open an account first"):
        Ledger(path).account("patients")
    assert not path.exists()


@pytest.mark.parametrize("name", ["ledger.db-journal", "ledger.db-wal"])
def test_a_journal_without_its_file_is_no_new_beginning(ledger, path, book_key, name):
    path.with_name("ledger.db-journal").unlink()
    shutil.copy(path, path.with_name(name))
    path.unlink()
    for use in (lambda: ledger.account("patients"), lambda: open_pure(ledger, book_key)):
        with pytest.raises(LedgerDamaged, match=rf"its journal {name} is still there"):
            use()


# ---------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("content", [b"", b"x", b"This is not a database, but it is long enough to look at." * 100])
def test_what_is_no_database(path, book_key, content):
    path.write_bytes(content)
    for use in (lambda: open_pure(Ledger(path), book_key), Ledger(path).verify, lambda: spend(Ledger(path), "a")):
        with pytest.raises(LedgerDamaged, match="the ledger is damaged"):
            use()
    assert path.read_bytes() == content


def test_somebody_elses_database_is_left_alone(path, book_key):
    by_hand(path, "CREATE TABLE visits (id INTEGER)")
    with pytest.raises(LedgerDamaged, match="lacks the ledger's tables"):
        open_pure(Ledger(path), book_key)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("visits",)]


@pytest.mark.parametrize("keep", [1, 100, 4096, 10_000, 0.5, 0.9])
def test_a_file_cut_off(ledger, path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep >= 1 else int(keep * len(content))])
    with pytest.raises(LedgerDamaged, match="damaged"):
        ledger.verify()


def test_flipped_bytes_are_found_or_mean_nothing(ledger, path, book_key):
    """A byte anywhere: verify finds it, or the ledger still says exactly the same."""
    writer = Ledger(path)
    for number in range(30):
        spend(writer, f"r{number}")
    del writer
    good, said = path.read_bytes(), Ledger(path).export()
    found = 0
    chance = random.SystemRandom()
    for _ in range(300):
        place = chance.randrange(len(good))
        bad = bytearray(good)
        bad[place] ^= chance.randrange(1, 256)
        path.write_bytes(bad)
        try:
            Ledger(path).verify()
        except (LedgerDamaged, LedgerUnavailable):
            found += 1
        else:
            assert Ledger(path).export() == said
        for log in ("-wal", "-shm"):
            path.with_name(path.name + log).unlink(missing_ok=True)
    assert found >= 30  # half of the file is rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "UPDATE {} SET body = replace(body, '\"r1\"', '\"r2\"') WHERE sequence = 3",
            "entry 3 .* does not match its hash",
        ),
        ("UPDATE {} SET body = x'00ff' WHERE sequence = 3", "entry 3 .* does not match its hash"),
        ("UPDATE {} SET hash = upper(hash) WHERE sequence = 3", "entry 3 .* does not match its hash"),
        ("UPDATE {} SET request = 'r9' WHERE sequence = 3", "columns of entry 3"),
        ("UPDATE {} SET kind = 'note' WHERE sequence = 3", "columns of entry 3"),
        ("UPDATE {} SET analyst = 'bo' WHERE sequence = 3", "columns of entry 3"),
        ("UPDATE {} SET sequence = 99 WHERE sequence = 3", "columns of entry 99"),
        ("UPDATE {} SET signature = upper(signature) || '0' WHERE sequence = 0", "the owner's signature is wrong"),
        ("UPDATE {} SET signature = NULL WHERE sequence = 0", "the owner's signature is wrong"),
        ("DELETE FROM {} WHERE sequence = 3", "entry 3 .* out of place"),
        ("DELETE FROM {} WHERE sequence = 0", "has no opening"),
        ("DELETE FROM {}", "has no opening"),
        ("DROP TABLE {}", "other tables, indexes or triggers"),
        ("UPDATE discreet_schema SET version = 0", "no version"),
        ("UPDATE discreet_schema SET version = 'x'", "no version"),
        ("DELETE FROM discreet_schema", "no version"),
        ("UPDATE discreet_schema SET version = 99", "schema version 99; this discreet knows"),
    ],
)
def test_rows_changed_by_hand_are_found(ledger, path, change, message):
    spend(ledger, "r1")
    spend(ledger, "r2")
    if "DROP TABLE" in change:
        by_hand(path, change.format(rows.ENTRIES))
    else:
        without_triggers(path, change.format(rows.ENTRIES))
    with pytest.raises(LedgerDamaged, match=message):
        ledger.verify()


def test_a_charge_does_not_build_on_a_damaged_end(ledger, path):
    without_triggers(path, f"UPDATE {rows.ENTRIES} SET body = replace(body, 'spent', 'Spent') WHERE sequence = 2")
    with pytest.raises(LedgerDamaged, match="entry 2"):
        spend(ledger, "b")


def test_a_budget_without_the_owners_signature_is_not_spent(ledger, path, book_key):
    """Somebody with the file, but without the key, writes a raise of the right shape."""
    genuine = ledger.raise_budget("patients", epsilon=0.5, owner=book_key)
    assert genuine.epsilon == 0.5
    without_triggers(path, f"UPDATE {rows.ENTRIES} SET signature = '{'00' * 64}' WHERE kind = 'raise'")
    with pytest.raises(LedgerDamaged, match="owner's signature"):
        spend(ledger, "b")
    with pytest.raises(LedgerDamaged, match="owner's signature"):
        ledger.account("patients")


@pytest.mark.parametrize(
    "change",
    [
        f"DROP TRIGGER no_update_{rows.ENTRIES}",
        f"CREATE TRIGGER swallow BEFORE INSERT ON {rows.ENTRIES} BEGIN SELECT RAISE(IGNORE); END",
        "DROP INDEX discreet_one_of_each_request",
    ],
)
def test_guards_that_were_tampered_with_are_found(ledger, path, change):
    by_hand(path, change)
    with pytest.raises(LedgerDamaged, match="other tables, indexes or triggers"):
        ledger.verify()


def test_a_charge_that_the_database_swallows_is_not_acknowledged(ledger, path):
    by_hand(path, f"CREATE TRIGGER swallow BEFORE INSERT ON {rows.ENTRIES} BEGIN SELECT RAISE(IGNORE); END")
    with pytest.raises(LedgerDamaged, match="did not keep"):
        spend(ledger, "b")


@pytest.mark.parametrize(
    "change",
    [
        {"spent": [0, 0]},
        {"spent": [0, 0], "kind": "charge", "cost": [-(2**30), 0]},
        {"previous": "0" * 64},
        {"sequence": 7},
        {"analyst": "bo"},
    ],
)
def test_no_row_inserted_by_hand_lowers_a_total_or_forks_the_chain(ledger, path, change):
    last = ledger.entries("patients")[-1]
    body = {"v": 1, "population": "patients", "sequence": 3, "kind": "release", "when": "x", "who": "x", "request": "z"}
    body |= {"previous": last.hash, "spent": [last.spent.loss, last.spent.delta], "charge": 1, "digest": DIGEST}
    text = entries.text_of(body | change)
    told = json.loads(text)
    row = (told["population"], told["sequence"], told["kind"], "z", None, text, entries.hash_of(text), None)
    with closing(sqlite3.connect(path)) as own, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        own.execute(f"INSERT INTO {rows.ENTRIES} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    assert ledger.verify().entries == {"patients": 3}


def test_a_ledger_is_one_whatever_its_file_is_called(ledger, path, tmp_path):
    """A symbolic link leads to the same lock; a second name of the file would lead to another journal."""
    link = tmp_path / "link.db"
    link.symlink_to(path)
    assert spend(Ledger(link), "b").sequence == 3
    assert {item.name for item in tmp_path.glob("*-lock")} == {"ledger.db-lock"}
    os.link(path, tmp_path / "second.db")
    with pytest.raises(LedgerUnavailable, match="second name"):
        spend(ledger, "c")


def test_a_relative_path_stays_where_it_was_said(ledger, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = Ledger("ledger.db")
    monkeypatch.chdir("/")
    assert spend(said, "b").sequence == 3
    assert spend(pickle.loads(pickle.dumps(said)), "c").sequence == 4


def test_nothing_is_done_while_another_holds_the_lock_beside(ledger, path, monkeypatch):
    monkeypatch.setattr(sqlite, "WAIT", 0.1)
    with Beside(path).held(wait=1, looking=False):
        with pytest.raises(LedgerUnavailable, match=r"kept it locked\.\n  Nothing was spent and no data was read"):
            spend(ledger, "b")
        with pytest.raises(LedgerUnavailable, match="kept it locked"):
            ledger.account("patients")
    spend(ledger, "b")


def test_a_lock_file_that_was_taken_away_locks_nobody_out(ledger, path):
    beside = path.with_name("ledger.db-lock")
    beside.unlink()
    spend(ledger, "b")
    assert beside.exists()


def test_entries_of_an_account_that_is_not_listed_are_found(ledger, path):
    without_triggers(path, f"DELETE FROM {rows.POPULATIONS}")
    assert ledger.populations() == ["patients"]
    without_triggers(path, f"UPDATE {rows.ENTRIES} SET hash = 'x'")
    with pytest.raises(LedgerDamaged, match="entry 0"):
        ledger.verify()


# ---------------------------------------------------------------------------- out of reach


def test_a_locked_ledger_says_that_nothing_was_spent(ledger, path, monkeypatch):
    monkeypatch.setattr(sqlite, "WAIT", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match=r"locked\.\n  Nothing was spent and no data was read"):
            spend(ledger, "b")
        assert ledger.account("patients").length == 3  # reading goes on
        entry = ledger.entries("patients")[1]
        with pytest.raises(LedgerUnavailable, match="The charge stands; its release is not recorded"):
            ledger.released(entry, "00" * 32)
    spend(ledger, "b")


@pytest.mark.parametrize("landed", [True, False])
def test_a_commit_that_fails_may_have_landed(ledger, path, monkeypatch, landed):
    """The disk fails while SQLite commits: nobody knows, the message says so, and asking again settles it."""

    class Failing(sqlite._Connection):
        def execute(self, statement, *values):
            if statement != "COMMIT":
                return super().execute(statement, *values)
            if landed:
                super().execute(statement)
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite, "_Connection", Failing)
    with pytest.raises(LedgerUnavailable, match=r"may have landed[\s\S]*same request") as caught:
        spend(Ledger(path), "b")
    assert "No data was read" in caught.value.state
    monkeypatch.undo()
    if landed:
        with pytest.raises(InvalidInput, match="never released"):
            spend(ledger, "b")
    else:
        spend(ledger, "b")
    assert ledger.verify().entries == {"patients": 4}


def test_a_full_disk_says_that_nothing_was_spent(ledger, path, book_key, monkeypatch):
    """The database may not grow: as on a full disk, SQLite answers SQLITE_FULL."""
    connect = sqlite._connect

    def tight(*arguments, **more):
        connection = connect(*arguments, **more)
        connection.execute("PRAGMA max_page_count = 1")  # never below what is there
        return connection

    monkeypatch.setattr(sqlite, "_connect", tight)
    error = None
    for number in range(1, 1000):
        try:
            spend(ledger, f"r{number}", 0)
        except LedgerUnavailable as caught:
            error = caught
            break
    assert "full" in error.what
    assert "Nothing was spent" in error.state
    monkeypatch.undo()
    ledger = Ledger(path)
    assert ledger.request("patients", f"r{number}") is None
    assert ledger.verify().entries == {"patients": 3 + number - 1}
    spend(ledger, f"r{number}", 0)


def test_a_log_that_cannot_grow_says_that_nothing_was_spent(ledger):
    """The operating system refuses to write: the file may not grow beyond its size (a quota)."""
    code = (
        "import resource, signal, sys\n"
        "from discreet import Ledger, events\n"
        "from discreet.errors import LedgerUnavailable\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "ledger = Ledger(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try: ledger.charge('patients', events.Pure(0), purpose='t', request='b')\n"
        "except LedgerUnavailable as error: print(error)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", code, ledger.url], capture_output=True, text=True, check=True)
    assert "could not be used" in done.stdout
    told = "may have landed" in done.stdout
    assert told or "Nothing was spent" in done.stdout
    if not told:
        assert ledger.request("patients", "b") is None
    ledger.verify()


# Root passes every permission: the child imports what it needs, then becomes nobody.
BECOME_NOBODY = """
import os, sys
import cryptography.exceptions, cryptography.hazmat.primitives.asymmetric.ed25519
from discreet import Ledger, events
from discreet.errors import DiscreetError
Ledger(sys.argv[1]).verify()
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
open(sys.argv[2], "w").close()
sys.stdin.readline()
def told(use):
    try: use(Ledger(sys.argv[1]))
    except DiscreetError as error: print(type(error).__name__, "|", str(error).replace(chr(10), "|"))
    else: print("no error")
told(lambda ledger: ledger.charge("patients", events.Pure(0), purpose="t", request="b"))
told(lambda ledger: ledger.verify())
"""


def as_nobody(path, forbid):
    """Let a child without root's rights charge and look, after `forbid` has been called."""
    with tempfile.TemporaryDirectory() as aside:
        os.chmod(aside, 0o777)
        flag = os.path.join(aside, "ready")
        child = subprocess.Popen(
            [sys.executable, "-c", BECOME_NOBODY, path, flag], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        while not os.path.exists(flag) and child.poll() is None:
            time.sleep(0.01)
        forbid()
        out, _ = child.communicate("go\n", timeout=60)
    assert child.returncode == 0
    return out.splitlines()


def test_a_read_only_disk_says_that_nothing_was_spent(book_key):
    """A folder that may not be written to: a charge is refused, and nothing is half done."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ledger.db")
        open_pure(Ledger(path), book_key)

        def forbid():
            os.chmod(folder, 0o555)
            os.chmod(path, 0o444)

        charge, look = as_nobody(path, forbid)
        os.chmod(folder, 0o755)
        os.chmod(path, 0o644)
        assert charge.startswith("LedgerUnavailable")
        assert "Nothing was spent and no data was read" in charge
        assert look == "no error"  # who may only read may verify
        assert Ledger(path).verify().entries == {"patients": 1}


@pytest.mark.parametrize("mode", [0o700, 0o755], ids=["folder", "file"])
def test_a_file_nobody_may_read_says_that_nothing_was_spent(book_key, mode):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ledger.db")
        ledger = Ledger(path)
        open_pure(ledger, book_key)
        os.chmod(folder, mode)
        charge, look = as_nobody(path, lambda: os.chmod(path, 0o000))
        os.chmod(path, 0o644)
        assert charge.startswith("LedgerUnavailable")
        assert "Nothing was spent and no data was read" in charge
        assert look.startswith("LedgerUnavailable")
        assert ledger.verify().entries == {"patients": 1}


def test_every_error_has_three_parts(ledger, path):
    path.write_bytes(b"no database at all, and long enough that SQLite looks at it" * 20)
    with pytest.raises(DiscreetError) as caught:
        ledger.verify()
    assert all((caught.value.what, caught.value.state, caught.value.remedy))


# ---------------------------------------------------------------------------------- migrations


def test_an_earlier_schema_is_brought_forward_by_the_owner_alone(ledger, path, book_key, monkeypatch):
    monkeypatch.setattr(rows, "VERSIONS", (*rows.VERSIONS, ("CREATE TABLE discreet_notes (text TEXT)",)))
    with pytest.raises(LedgerDamaged, match=r"schema version 1; this discreet works on version 2[\s\S]*owner"):
        spend(ledger, "b")
    open_pure(ledger, book_key, population="staff")
    spend(ledger, "b")
    assert ledger.verify().entries == {"patients": 4, "staff": 1}
    monkeypatch.undo()
    with pytest.raises(LedgerDamaged, match="schema version 2; this discreet knows versions up to 1"):
        spend(ledger, "c")


# --------------------------------------------------------------------------------------- speed


def test_verification_is_quick(path, book_key):
    """10,000 entries in about a second of one busy core; the bound leaves room for a slow machine."""
    ledger = Ledger(path)
    open_pure(ledger, book_key, units=10**5)
    with ledger._store.writing("patients", sqlite.TERMS) as transaction:
        from discreet.accounting import Cost
        from discreet.ledger import chain

        account = chain.load(transaction, "patients")
        event = {"v": 1, "kind": "pure", "epsilon": 1 / 1024}
        for number in range(10_000):
            facts = {"purpose": "t", "request": f"r{number}", "event": event, "cost": [2**30, 0]}
            spent = account.spent + Cost(2**30)
            account = account.at(chain.extend(transaction, "patients", account, "charge", facts, spent=spent))
    start = time.process_time()
    assert ledger.verify().entries == {"patients": 10_001}
    assert time.process_time() - start < 3


# --------------------------------------------------------------------------- kept connections


def test_a_connection_is_kept(ledger, monkeypatch):
    spend(ledger, "b")
    monkeypatch.setattr(sqlite, "_connect", lambda *_: pytest.fail("another connection was opened"))
    spend(ledger, "c")
    assert ledger.account("patients").length == 5


def test_a_write_ahead_log_is_turned_back_or_refused(ledger, path):
    spend(ledger, "b")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        assert other.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        with pytest.raises(LedgerUnavailable, match=r"journal_mode to wal[\s\S]*Nothing was spent"):
            spend(ledger, "c")  # on the connection that was kept
        other.execute("SELECT * FROM discreet_schema").fetchall()
        with pytest.raises(LedgerUnavailable, match="Nothing was spent"):
            spend(Ledger(path), "c")  # on a new one, while somebody works with the log
    assert spend(ledger, "c").sequence == 4
    assert not path.with_name("ledger.db-wal").exists()


def test_a_reader_that_does_not_go_away_spends_nothing(ledger, path, monkeypatch):
    """The commit waits for readers; when it gives up, it had not begun."""
    monkeypatch.setattr(sqlite, "WAIT", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM discreet_entries").fetchall()
        with pytest.raises(LedgerUnavailable, match=r"locked\.\n  Nothing was spent and no data was read"):
            spend(ledger, "b")
    assert ledger.request("patients", "b") is None
    spend(ledger, "b")


def test_a_file_that_was_replaced_is_opened_anew(ledger, path, book_key, tmp_path):
    spend(ledger, "b")
    other = tmp_path / "other.db"
    open_pure(Ledger(other), book_key, population="staff")
    os.replace(other, path)
    assert ledger.populations() == ["staff"]
    with pytest.raises(InvalidInput, match="no account 'patients'"):
        spend(ledger, "c")


def test_a_forked_child_uses_a_connection_of_its_own(ledger):
    spend(ledger, "parent")
    child = os.fork()
    if child == 0:
        try:
            spend(ledger, "child")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    spend(ledger, "later")
    assert [entry.request for entry in ledger.entries("patients")][-3:] == ["parent", "child", "later"]
    ledger.verify()
