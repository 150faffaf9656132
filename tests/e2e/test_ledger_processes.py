"""Several processes, killed processes and dying servers: nothing over-admitted, nothing acknowledged is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.ledger_campaign import ONE, open_for
from tests.ledgers import DIGEST, open_pure, pure
from tests.postgres import Server

from discreet import Ledger
from discreet.errors import InvalidInput, LedgerUnavailable

ROOT = Path(__file__).parents[2]


def campaign(*arguments):
    command = [sys.executable, "-m", "tests.ledger_campaign", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_killed_at_any_instant_nothing_is_lost(book_url, book_key, tmp_path):
    found = campaign("kill", book_url, tmp_path / "owner.key", "--kills", 20)
    assert found["kills_after_a_charge"] >= 5, found  # else the kills missed the work
    assert found["lost"] == 0, found
    assert found["unexplained"] == 0, found
    assert found["over_admitted"] == 0, found
    assert found["sum_is_exact"], found


def test_eight_processes_admit_exactly_what_fits(book_url, book_key, tmp_path):
    found = campaign("crowd", book_url, tmp_path / "owner.key", "--charges", 40, "--admits", 200)
    assert (found["asked"], found["admitted"], found["failed_processes"]) == (320, 200, 0), found
    assert found["exactly_full"], found
    assert found["over_admitted"] == 0, found
    assert found["all_admitted_are_written_once"], found


def test_one_request_asked_by_many_at_once_is_charged_once(book, book_key):
    open_pure(book, book_key)
    verdicts = []

    def ask():
        try:
            verdicts.append(book.charge("patients", pure(1), purpose="race", request="same"))
        except InvalidInput as error:
            verdicts.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(verdict, tuple) for verdict in verdicts) == 1
    assert len(verdicts) == 8
    assert len(book.entries("patients")) == 2


def test_one_account_opened_by_many_at_once_is_opened_once(book_url, book_key):
    verdicts = []

    def start():
        try:
            verdicts.append(open_pure(Ledger(book_url), book_key))
        except InvalidInput as error:
            verdicts.append(error.what)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts.count("the account 'patients' is open already.") == 7
    assert Ledger(book_url).verify().entries == {"patients": 1}


def test_a_raise_and_charges_at_once_keep_one_chain(book, book_key):
    open_pure(book, book_key, units=20)

    def charge(name):
        for number in range(10):
            book.released(book.charge("patients", pure(1), purpose="t", request=f"{name}{number}")[0], DIGEST)

    threads = [threading.Thread(target=charge, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for step in range(5):
        book.raise_budget("patients", epsilon=(21 + step) / 1024, owner=book_key)
        book.share("patients", "bo", epsilon=0.01, owner=book_key)
    for thread in threads:
        thread.join()
    assert book.verify().entries == {"patients": 1 + 40 + 10}


@pytest.mark.parametrize("attempt", range(3))
def test_a_server_that_dies_lets_no_acknowledged_charge_go(tmp_path, book_key, attempt):
    """The server crashes under a charging client; what the error said about the charge must be true."""
    server = Server()
    try:
        ledger = open_for(server.url, str(tmp_path / "owner.key"), 10**6)
        acknowledged, error = [], []

        def work():
            try:
                for number in range(10**6):
                    ledger.charge("patients", ONE, purpose="t", request=f"r{number}")
                    acknowledged.append(f"r{number}")
            except LedgerUnavailable as caught:
                error.append(caught)

        worker = threading.Thread(target=work)
        worker.start()
        while len(acknowledged) < 20:
            time.sleep(0.005)
        server.stop()
        worker.join(30)
        with pytest.raises(LedgerUnavailable, match="Nothing was changed"):
            ledger.account("patients")
        server.start()
        written = {entry.request for entry in ledger.entries("patients") if entry.kind == "charge"}
        assert written.issuperset(acknowledged)
        last = f"r{len(acknowledged)}"
        assert written - set(acknowledged) <= {last}
        if "Nothing was spent" in error[0].state:
            assert last not in written
        else:
            assert "may have landed" in error[0].state
        ledger.verify()
    finally:
        server.close()
