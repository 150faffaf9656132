"""Ctrl-C: exit code 130 and "Interrupted", whatever an engine makes of it, and whether a charge stands."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from discreet.cli.app import run
from discreet.cli.interrupts import watched
from tests.clinic import SECRET, answer, clinic


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path)


def test_ctrl_c_is_remembered_and_raises_as_before():
    before = signal.getsignal(signal.SIGINT)
    with watched() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupts.pressed
    assert signal.getsignal(signal.SIGINT) is before


def test_somebody_who_listened_before_hears_it_still():
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with watched() as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert interrupts.pressed
        assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with watched() as interrupts:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert not interrupts.pressed
    finally:
        signal.signal(signal.SIGINT, before)


def test_threads_cannot_watch_and_need_not():
    found = []

    def inside():
        with watched() as interrupts:
            found.append(interrupts.pressed)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [False]


def swallowed(*_, **__):
    """Do as DuckDB does: press Ctrl-C, and make another error of it."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise RuntimeError(f"Query interrupted {SECRET}") from None


def test_an_engine_that_swallows_it_at_work(place, capsys, monkeypatch):
    assert run(["run", str(place.folder), "--yes", "--only", "people"]) == 0
    monkeypatch.setattr("discreet.sql.engines.duckdb.Opened.table", swallowed)
    code, found = answer(capsys, "run", place.folder, "--yes")
    assert code == 130
    assert found["error"] == {
        "kind": "Interrupted",
        "what": "interrupted.",
        "state": "The charge stands: the rows may have been read. Nothing was released. "
        "The run stopped at 'by_ward'; the 1 before it of 3 stand.",
        "remedy": "Ask again with attempt = 2 in [[release]] by_ward, which is a new charge.",
    }
    assert [(item["name"], item["reused"]) for item in found["releases"]] == [("people", True)]
    assert place.kinds() == ["open", "charge", "release", "charge"]


def test_a_failure_without_ctrl_c_is_none(place, capsys, monkeypatch):
    monkeypatch.setattr("discreet.sql.engines.duckdb.Opened.table", lambda *_: 1 / 0)
    code, found = answer(capsys, "run", place.folder, "--yes")
    assert (code, found["error"]["kind"], found["releases"]) == (1, "DataFailure", [])


def test_a_query_says_how_to_ask_again(place, capsys, monkeypatch):
    monkeypatch.setattr("discreet.sql.engines.duckdb.Opened.table", swallowed)
    asked = ["query", place.folder, "SELECT COUNT(*) AS n FROM visits", "--epsilon=0.1", "--delta=1e-7", "--yes"]
    code, found = answer(capsys, *asked)
    assert (code, found["error"]["kind"]) == (130, "Interrupted")
    assert found["error"]["state"].startswith("The charge stands")
    assert found["error"]["remedy"] == "Ask again with --attempt 2, which is a new charge."
    code, found = answer(capsys, *asked)
    assert code == 1
    assert found["error"]["what"].startswith("the release 'query-")
    assert "ask again with --attempt 2, which is a new charge" in found["error"]["remedy"]


class Terminal:
    """Somebody who answers a question with Ctrl-C or with the end of input."""

    def __init__(self, answers):
        self.answers = answers

    def isatty(self):
        return True

    def readline(self, *_):
        raise self.answers


@pytest.mark.parametrize("answers", [KeyboardInterrupt, EOFError])
@pytest.mark.parametrize("command", ["run", "query"])
def test_at_the_question_nothing_was_spent(place, capsys, monkeypatch, answers, command):
    more = ["SELECT COUNT(*) AS n FROM visits", "--epsilon=0.1", "--delta=1e-7"] if command == "query" else []
    monkeypatch.setattr(sys, "stdin", Terminal(answers))
    assert run([command, str(place.folder), *more]) == 130
    said = capsys.readouterr().err
    assert "Interrupted: interrupted.\n  Nothing was spent and no data was read." in said
    assert "stays charged" not in said
    assert place.kinds() == ["open"]


SLOW = """
import sys
from discreet.sql.engines import duckdb as engine
def slow(*_):
    print("at work", file=sys.stderr, flush=True)
    engine.connect().sql("SELECT max(hash(a.range, b.range)) FROM range(10000000) a, range(10000000) b").fetchall()
engine.Opened.table = slow
from discreet.cli import main
main()
"""


def test_duckdb_at_work_is_interrupted(place):
    """The real thing: a query that would run for years, and a signal from outside."""
    command = [sys.executable, "-c", SLOW, "run", str(place.folder), "--yes", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr.readline().strip() == "at work"
            for _ in range(20):  # again, should it come before DuckDB listens and after Python did
                os.kill(process.pid, signal.SIGINT)
                try:
                    printed, _ = process.communicate(timeout=5)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
    assert process.returncode == 130
    assert json.loads(printed)["error"]["kind"] == "Interrupted"
    assert place.kinds() == ["open", "charge"]
