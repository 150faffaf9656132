"""Forks, and copies made by the process itself: what they do to SQLite's locks loses no charge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest
from tests.ledgers import open_pure, spend

from discreet import Ledger
from discreet.errors import LedgerUnavailable
from discreet.ledger import sqlite
from discreet.ledger.forks import FORKS
from discreet.ledger.kept import Kept

ELSEWHERE = """
import json, sys
from discreet import Ledger
ledger = Ledger(sys.argv[1])
ledger.verify()
print(json.dumps([entry.request for entry in ledger.entries("patients")][1:]))
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path, book_key):
    ledger = Ledger(path)
    open_pure(ledger, book_key)
    return ledger


def seen_elsewhere(path):
    """Return the requests that a process sees which has nothing in common with this one."""
    done = subprocess.run([sys.executable, "-c", ELSEWHERE, str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def child_outlives(ledger, *, early):
    """Fork; let the parent close its connections while the child lives, then let the child charge.

    early: whether the child has charged before, too. Returns whether the late charge was acknowledged, and which requests others see then.
    """
    spend(ledger, "parent")
    (mine, theirs), (hear, say) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(theirs)  # so that a parent that fails ends the child, too
            if early:
                spend(ledger, "child-early")
            os.write(say, b"ready")
            os.read(mine, 1)
            spend(ledger, "child-late")
            os.write(say, b"charged")
            os.read(mine, 1)  # a child that ends would put its log back
            status = 0
        finally:
            os._exit(status)
    os.close(say)
    os.close(mine)
    try:
        os.read(hear, 5)
        ledger._store._kept.drop()
        os.write(theirs, b"x")
        acknowledged = os.read(hear, 7) == b"charged"
        found = seen_elsewhere(ledger._store.path)
        spend(ledger, "parent-late")
    finally:
        os.close(theirs)
        os.waitpid(child, 0)
    return acknowledged, found


@pytest.mark.parametrize("early", [True, False])
def test_what_a_child_was_acknowledged_everybody_sees(ledger, path, early):
    acknowledged, found = child_outlives(ledger, early=early)
    assert acknowledged
    assert found == ["parent", *["child-early"] * early, "child-late"]
    assert seen_elsewhere(path) == [*found, "parent-late"]


@pytest.fixture
def write_ahead(monkeypatch):
    """Keep ledgers in a write-ahead log, as they were once: it needs locks between transactions."""
    monkeypatch.setattr(sqlite, "JOURNAL", "wal")


def copied_by_its_own_process(path, key):
    """Copy the file within the process that keeps it open, look at it elsewhere, charge; return what others see."""
    ledger = Ledger(path)
    open_pure(ledger, key)
    spend(ledger, "before")
    path.read_bytes()  # closing this drops all locks that this process has on the file
    seen_elsewhere(path)
    spend(ledger, "after")
    return seen_elsewhere(path)


def test_a_copy_made_by_its_own_process_costs_no_charge(path, book_key):
    assert copied_by_its_own_process(path, book_key) == ["before", "after"]


def test_a_lock_that_a_copy_drops_is_caught(path, book_key, write_ahead):
    """The planted bug: the charge after the copy was acknowledged, and is lost."""
    assert "after" not in copied_by_its_own_process(path, book_key)


def test_a_child_of_a_process_at_work_refuses(ledger, path):
    """The child cannot know which locks the other thread held; it spends nothing, and its parent goes on."""
    at_work, go_on = threading.Event(), threading.Event()

    def work():
        with ledger._store.reading():
            at_work.set()
            go_on.wait(30)

    worker = threading.Thread(target=work)
    worker.start()
    at_work.wait(30)
    hear, say = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for use in (lambda: spend(Ledger(path), "child"), lambda: ledger.account("patients")):
                try:
                    use()
                except LedgerUnavailable as error:
                    os.write(say, f"{error}\n".encode())
        finally:
            os._exit(0)
    os.close(say)
    os.waitpid(child, 0)
    go_on.set()
    worker.join()
    with os.fdopen(hear) as file:
        said = file.read()
    assert said.count("was forked while another thread was at work") == 2
    assert "Nothing was spent" in said
    assert "'spawn'" in said
    spend(ledger, "parent")
    assert seen_elsewhere(path) == ["parent"]


def test_no_connection_is_forgotten(ledger, path):
    """What is counted as open is exactly what is: a count too high would make every child refuse."""
    before = set(FORKS._open)
    other = Ledger(path)
    threads = [threading.Thread(target=spend, args=(other, name)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(FORKS._open) > before
    other._store._kept.drop()
    assert set(FORKS._open) == before


def test_threads_that_take_at_once_get_each_a_connection_or_none():
    class Nothing:
        def close(self):
            pass

    kept = Kept()
    for _ in range(2000):
        kept.give(Nothing())
    taken, failed = [], []

    def take():
        try:
            while (found := kept.take()) is not None:
                taken.append(found)
        except IndexError as error:
            failed.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(set(map(id, taken))) == len(taken) == 2000
