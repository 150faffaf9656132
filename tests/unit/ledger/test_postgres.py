"""The ledger in PostgreSQL: what it demands of the server, and how it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psycopg
import pytest
from tests.ledgers import DIGEST, open_pure, spend

from discreet import Ledger
from discreet.errors import InvalidInput, LedgerDamaged, LedgerUnavailable, MissingExtra
from discreet.ledger import entries, guards, rows
from discreet.ledger import postgres as room


@pytest.fixture
def ledger(postgres, book_key):
    ledger = Ledger(postgres)
    open_pure(ledger, book_key)
    ledger.released(spend(ledger, "a"), DIGEST)
    return ledger


def by_hand(url, *statements):
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def without_triggers(url, *statements):
    off = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in rows.KEPT]
    on = [f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}" for table, name, _, _ in guards.TRIGGERS]
    by_hand(url, *off, *statements, *on)


@pytest.mark.parametrize("table", rows.KEPT)
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
def test_rows_are_neither_changed_nor_removed(ledger, postgres, table, change):
    column = {rows.SCHEMA: "version", rows.POPULATIONS: "name", rows.ENTRIES: "body"}[table]
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        by_hand(postgres, change.format(table, column))
    ledger.verify()


@pytest.mark.parametrize(
    "change",
    [
        f"DROP TRIGGER {guards.APPEND_ONLY} ON {rows.ENTRIES}",
        f"ALTER TABLE {rows.ENTRIES} DISABLE TRIGGER {guards.APPEND_ONLY}",
        f"ALTER TABLE {rows.ENTRIES} ENABLE TRIGGER {guards.EXTENDS}",  # which session_replication_role switches off
        f"DROP TRIGGER {guards.EXTENDS} ON {rows.ENTRIES}",
        f"CREATE OR REPLACE FUNCTION {guards.APPEND_ONLY}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        f"CREATE TRIGGER another BEFORE INSERT ON {rows.ENTRIES} EXECUTE FUNCTION {guards.APPEND_ONLY}()",
        f"CREATE RULE swallow AS ON INSERT TO {rows.ENTRIES} DO INSTEAD NOTHING",
        f"ALTER TABLE {rows.ENTRIES} SET UNLOGGED",
        *(
            f"DROP TRIGGER {guards.APPEND_ONLY} ON {rows.ENTRIES}; CREATE TRIGGER {guards.APPEND_ONLY} BEFORE {verbs} "
            f"ON {rows.ENTRIES} FOR EACH STATEMENT {when} EXECUTE FUNCTION {guards.APPEND_ONLY}(); "
            f"ALTER TABLE {rows.ENTRIES} ENABLE ALWAYS TRIGGER {guards.APPEND_ONLY}"
            for verbs, when in (
                ("UPDATE OR DELETE OR TRUNCATE", "WHEN (false)"),
                ("UPDATE OF analyst OR DELETE OR TRUNCATE", ""),
                ("UPDATE OR TRUNCATE", ""),
            )
        ),
        "DROP INDEX discreet_one_of_each_request",
        f"ALTER TABLE {rows.ENTRIES} DROP CONSTRAINT {rows.ENTRIES}_pkey",
        f"ALTER TABLE {rows.ENTRIES} ADD COLUMN note text",
        f"ALTER TABLE {rows.ENTRIES} ALTER COLUMN body DROP NOT NULL",
        f"ALTER TABLE {rows.ENTRIES} ADD CHECK (sequence < 5)",
        f"CREATE TABLE heir () INHERITS ({rows.ENTRIES})",
        f"ALTER FUNCTION {guards.EXTENDS}() SET search_path = public",
    ],
)
def test_guards_that_were_tampered_with_are_found(ledger, postgres, book_key, change):
    by_hand(postgres, "CREATE SCHEMA other")  # whose triggers guard another ledger
    open_pure(Ledger(f"{postgres}?options=-c%20search_path%3Dother"), book_key)
    ledger.verify()
    by_hand(postgres, change)
    with pytest.raises(LedgerDamaged, match="than those that guard a ledger"):
        ledger.verify()


def test_a_charge_that_the_database_swallows_is_not_acknowledged(ledger, postgres):
    by_hand(postgres, f"CREATE RULE swallow AS ON INSERT TO {rows.ENTRIES} DO INSTEAD NOTHING")
    with pytest.raises((LedgerDamaged, LedgerUnavailable)):
        spend(ledger, "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE {} SET body = replace(body, 'test', 'TEST') WHERE sequence = 1", "entry 1 .* does not match its hash"),
        ("UPDATE {} SET request = 'r9' WHERE sequence = 1", "columns of entry 1"),
        ("UPDATE {} SET signature = NULL WHERE sequence = 0", "the owner's signature is wrong"),
        ("DELETE FROM {} WHERE sequence = 1", "entry 1 .* out of place"),
        ("DELETE FROM {}", "has no opening"),
        ("DROP TABLE {}", "than those that guard a ledger"),
        ("ALTER TABLE {} DROP COLUMN hash", "other columns than those that guard a ledger"),
        ("UPDATE discreet_schema SET version = 99", "schema version 99"),
        ("DELETE FROM discreet_schema", "no version"),
    ],
)
def test_rows_changed_by_hand_are_found(ledger, postgres, change, message):
    if "DROP TABLE" in change:
        by_hand(postgres, change.format(rows.ENTRIES))
    else:
        without_triggers(postgres, change.format(rows.ENTRIES))
    with pytest.raises(LedgerDamaged, match=message):
        ledger.verify()


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
def test_a_server_that_may_lose_a_commit_is_refused(ledger, postgres, value):
    name = postgres.rpartition("/")[2]
    by_hand(postgres, f"ALTER DATABASE {name} SET synchronous_commit = {value}")
    with pytest.raises(InvalidInput, match=rf"synchronous_commit={value}[\s\S]*Set synchronous_commit=on"):
        spend(Ledger(postgres), "b")
    with pytest.raises(InvalidInput, match="synchronous_commit"):
        Ledger(f"{postgres}?options=-c%20synchronous_commit%3Doff").account("patients")
    by_hand(postgres, f"ALTER DATABASE {name} SET synchronous_commit = on")
    spend(Ledger(postgres), "b")
    assert ledger.account("patients").length == 4


def test_a_kept_connection_is_checked_again(ledger, postgres):
    """The server's settings may change while we are connected."""
    with ledger._store._connection(room.LOOK) as connection:
        connection.execute("SET synchronous_commit = off")
    with pytest.raises(InvalidInput, match="synchronous_commit=off"):
        spend(ledger, "b")
    spend(ledger, "b")  # on a new connection, whose setting is the server's


def test_a_connection_that_died_while_idle_is_replaced(ledger, postgres):
    by_hand(
        postgres,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()",
    )
    spend(ledger, "b")
    assert ledger.account("patients").length == 4


def test_a_connection_is_kept_and_none_leaks(ledger, postgres):
    def connected():
        with psycopg.connect(postgres) as own:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return own.execute(query).fetchone()[0]

    for number in range(5):
        spend(ledger, f"r{number}")
        with pytest.raises(InvalidInput):
            spend(ledger, f"r{number}")
    assert connected() == 1
    ledger._store = None
    for _ in range(100):
        if connected() == 0:
            break
    assert connected() == 0


def test_a_forked_child_uses_a_connection_of_its_own(ledger):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(spend(ledger, "child").sequence).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "3"
    assert spend(ledger, "parent").sequence == 4
    ledger.verify()


def test_a_commit_that_fails_may_have_landed(ledger, monkeypatch):
    """The connection is lost while the server commits: nobody knows, and the message says so."""

    class Cut:
        def __init__(self, connection):
            self._connection = connection

        def __getattr__(self, name):
            return getattr(self._connection, name)

        def execute(self, query, *values):
            done = self._connection.execute(query, *values)
            if query == "COMMIT":
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return done

    take = ledger._store._take
    monkeypatch.setattr(ledger._store, "_take", lambda: Cut(take()))
    with pytest.raises(LedgerUnavailable, match=r"may have landed[\s\S]*same request") as caught:
        spend(ledger, "b")
    assert "No data was read" in caught.value.state
    monkeypatch.undo()
    with pytest.raises(InvalidInput, match="never released"):  # it had landed, and asking again finds it
        spend(ledger, "b")
    assert ledger.account("patients").length == 4


def test_a_server_that_rolls_back_has_not_committed(ledger, monkeypatch):
    class Done:
        statusmessage = "ROLLBACK"

    class Rolling:
        def __init__(self, connection):
            self._connection = connection

        def __getattr__(self, name):
            return getattr(self._connection, name)

        def execute(self, query, *values):
            if query == "COMMIT":
                self._connection.execute("ROLLBACK")
                return Done()
            return self._connection.execute(query, *values)

    take = ledger._store._take
    monkeypatch.setattr(ledger._store, "_take", lambda: Rolling(take()))
    with pytest.raises(LedgerUnavailable, match="Nothing was spent"):
        spend(ledger, "b")
    monkeypatch.undo()
    assert ledger.request("patients", "b") is None


def test_a_locked_account_says_that_nothing_was_spent(ledger, postgres, monkeypatch):
    monkeypatch.setattr(room, "WAIT", 1)
    patient = Ledger(postgres)
    with psycopg.connect(postgres) as other:
        other.execute(f"SELECT 1 FROM {rows.POPULATIONS} FOR UPDATE")
        with pytest.raises(LedgerUnavailable, match=r"lock timeout[\s\S]*Nothing was spent and no data was read"):
            spend(patient, "b")
        assert patient.account("patients").length == 3  # reading goes on
    spend(patient, "b")


def test_accounts_are_locked_one_by_one(ledger, postgres, book_key):
    open_pure(ledger, book_key, population="staff")
    with psycopg.connect(postgres) as other:
        other.execute(f"SELECT 1 FROM {rows.POPULATIONS} WHERE name = 'staff' FOR UPDATE")
        spend(ledger, "b")


def test_a_server_that_only_reads_says_that_nothing_was_spent(ledger, postgres):
    reader = Ledger(f"{postgres}?options=-c%20default_transaction_read_only%3Don")
    assert reader.verify().entries == {"patients": 3}
    with pytest.raises(LedgerUnavailable, match=r"read-only transaction[\s\S]*Nothing was spent"):
        spend(reader, "b")


def test_an_unreachable_server_says_that_nothing_was_spent():
    nowhere = Ledger("postgresql://ada:secret@127.0.0.1:1/ledger?password=hidden")
    with pytest.raises(LedgerUnavailable, match="Nothing was spent") as caught:
        spend(nowhere, "a")
    for text in (str(caught.value), repr(nowhere)):
        assert "secret" not in text
        assert "hidden" not in text


def test_a_url_that_libpq_does_not_understand():
    with pytest.raises(LedgerUnavailable, match="Nothing was spent"):
        spend(Ledger("postgresql://127.0.0.1:1/ledger?no_such_option=1"), "a")


def test_analysts_need_no_right_to_change_tables(ledger, postgres):
    """The rights of docs/how-to/postgresql.md are enough to spend, and do not lift the guard."""
    name = f"analyst_{os.getpid()}_{postgres.rpartition('_')[2]}"
    by_hand(
        postgres,
        f"CREATE ROLE {name} LOGIN",
        f"GRANT SELECT ON discreet_schema, discreet_populations, discreet_entries TO {name}",
        f"GRANT INSERT ON discreet_entries TO {name}",
        f"GRANT UPDATE ON discreet_populations TO {name}",  # SELECT … FOR UPDATE needs it; the trigger forbids the rest
    )
    url = postgres.replace("tester@", f"{name}@")
    analyst = Ledger(url)
    analyst.released(spend(analyst, "b"), DIGEST)
    assert analyst.verify().entries == {"patients": 5}
    for change in (
        f"ALTER TABLE {rows.ENTRIES} DISABLE TRIGGER {guards.EXTENDS}",
        f"DROP TABLE {rows.ENTRIES}",
        f"DELETE FROM {rows.ENTRIES}",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            by_hand(url, change)
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        by_hand(url, f"UPDATE {rows.POPULATIONS} SET name = 'x'")


@pytest.mark.parametrize(
    "change",
    [
        {"spent": [0, 0]},
        {"spent": [0, 0], "kind": "charge", "cost": [-(2**30), 0]},
        {"spent": [0, 0], "kind": "note"},
        {"previous": "0" * 64},
        {"sequence": 7},
        {"sequence": 1},
    ],
)
def test_no_row_inserted_by_hand_lowers_a_total_or_forks_the_chain(ledger, postgres, change):
    """An analyst may insert; what they insert has to extend the chain, hash, columns and total."""
    last = ledger.entries("patients")[-1]
    body = {"v": 1, "population": "patients", "sequence": 3, "kind": "release", "when": "x", "who": "x", "request": "z"}
    body |= {"previous": last.hash, "spent": [last.spent.loss, last.spent.delta], "charge": 1, "digest": DIGEST}
    text = entries.text_of(body | change)
    told = json.loads(text)
    row = (told["population"], told["sequence"], told["kind"], "z", None, text, entries.hash_of(text), None)
    with psycopg.connect(postgres) as own, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        own.execute(f"INSERT INTO {rows.ENTRIES} VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", row)
    with psycopg.connect(postgres) as own, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        own.execute(f"INSERT INTO {rows.ENTRIES} VALUES (%s, %s, %s, %s, %s, %s, 'x', NULL)", row[:6])
    assert ledger.verify().entries == {"patients": 3}


@pytest.mark.parametrize(
    "url", ["postgresql://u:pa#ss@h/db", "postgresql://u:[pass]@h/db", "postgresql://u:pa/ss@h/db"]
)
def test_no_password_is_shown_however_it_is_written(url):
    nowhere = Ledger(url)
    with pytest.raises(LedgerUnavailable) as caught:
        spend(nowhere, "a")
    for text in (repr(nowhere), str(nowhere._store), str(caught.value)):
        assert "pa" not in text.replace("(space, permissions, server)", "")
        assert "ss@" not in text


def test_a_charge_stays_synchronous_behind_a_pool(ledger, postgres, monkeypatch):
    """The connection of the transaction need not be the one that was asked before."""
    monkeypatch.setattr(room.PostgresStore, "_check_durable", lambda *_: None)
    seen = []
    find = rows.Rows.find

    def asked(self, *arguments):
        seen.append(next(iter(self._execute("SELECT current_setting('synchronous_commit')", ())))[0])
        return find(self, *arguments)

    monkeypatch.setattr(rows.Rows, "find", asked)
    spend(Ledger(f"{postgres}?options=-c%20synchronous_commit%3Doff"), "b")
    assert seen == ["on"]


def test_an_earlier_schema_is_brought_forward_by_the_owner_alone(ledger, book_key, monkeypatch):
    monkeypatch.setattr(rows, "VERSIONS", (*rows.VERSIONS, ("CREATE TABLE discreet_notes (text TEXT)",)))
    with pytest.raises(LedgerDamaged, match="schema version 1; this discreet works on version 2"):
        spend(ledger, "b")
    open_pure(ledger, book_key, population="staff")
    spend(ledger, "b")
    monkeypatch.undo()
    with pytest.raises(LedgerDamaged, match="schema version 2; this discreet knows versions up to 1"):
        spend(ledger, "c")


def test_without_psycopg_the_message_holds_the_command():
    code = (
        "import sys\n"
        "sys.modules['psycopg'] = None\n"
        "from discreet import Ledger\n"
        "from discreet.errors import MissingExtra\n"
        "try: Ledger('postgresql://127.0.0.1/x').populations()\n"
        "except MissingExtra as error: print(error.remedy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'Type: pip install "discreet[postgres]"'
    assert issubclass(MissingExtra, ImportError)
