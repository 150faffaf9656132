"""Exit codes, and what becomes of an exception: nothing of its message is ever printed."""

import json
import shutil
import subprocess
import sys

import pytest

from discreet.cli.app import run
from discreet.errors import LedgerUnavailable
from discreet.ledger import Ledger
from discreet.project import Project
from tests.clinic import SECRET, answer, clinic


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path)


def raises(error):
    def broken(*_, **__):
        raise error from ValueError(SECRET)  # the cause, whose message must not be printed either

    return broken


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (RuntimeError(SECRET), 1, "Unexpected"),
        (KeyError(SECRET), 1, "Unexpected"),
        (RecursionError(SECRET), 1, "Unexpected"),
        (KeyboardInterrupt(SECRET), 130, "Interrupted"),
        (LedgerUnavailable("the ledger is away.", state="The charge may have landed."), 1, "LedgerUnavailable"),
    ],
    ids=lambda item: type(item).__name__ if isinstance(item, BaseException) else None,
)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_exception_shows_its_class_and_no_more(place, capsys, monkeypatch, error, code, kind, as_json):
    monkeypatch.setattr(Project, "plan", raises(error))
    capsys.readouterr()
    assert run(["plan", str(place.folder), *(["--json"] if as_json else [])]) == code
    printed = capsys.readouterr()
    if as_json:
        assert json.loads(printed.out)["error"]["kind"] == kind
    else:
        assert printed.err.startswith(f"{kind}: ")
    if kind == "Unexpected":
        assert type(error).__name__ in printed.out + printed.err
    assert not [word for word in (*SECRET.split(), "Traceback", "ValueError") if word in printed.out + printed.err]


def test_an_interrupted_run_says_that_charges_stand(place, capsys, monkeypatch):
    monkeypatch.setattr("discreet.errors.sealed", raises(KeyboardInterrupt()))
    assert run(["run", str(place.folder), "--yes"]) == 130
    assert "What was charged stays charged." in capsys.readouterr().err
    assert place.kinds() == ["open", "charge"]


@pytest.mark.parametrize("group", [[], ["ledger"]])
def test_a_group_alone_shows_its_commands(capsys, group):
    assert run(group) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("Usage: ") == 1
    assert "Commands:" in printed.err


def test_where_nobody_can_be_asked_nothing_is_spent(place, capsys):
    assert run(["run", str(place.folder)]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert place.kinds() == ["open"]


@pytest.mark.parametrize(("typed", "code", "kinds"), [("n\n", 1, ["open"]), ("y\n", 0, ["open", "charge", "release"])])
def test_the_question_is_answered(place, monkeypatch, typed, code, kinds):
    class Terminal:
        def isatty(self):
            return True

        def readline(self, *_):
            return typed

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert run(["run", str(place.folder), "--only", "people"]) == code
    assert place.kinds() == kinds


def test_a_question_that_was_answered_is_not_asked_again(place, capsys):
    asked = ["query", str(place.folder), "SELECT COUNT(*) AS n FROM visits", "--epsilon=0.1", "--delta=1e-7"]
    assert run([*asked, "--yes"]) == 0
    capsys.readouterr()
    assert run(asked) == 0  # nobody is there to ask, and nothing is to be spent
    assert "Answered before, as entry 1 of 'people'; nothing was spent." in capsys.readouterr().out
    assert place.kinds() == ["open", "charge", "release"]


def test_a_plan_says_where_a_run_stops_and_what_will_be_spent(place, capsys):
    before, mark, after = place.toml.read_text().partition('name = "by_ward"')
    place.toml.write_text(before + mark + after.replace("epsilon = 0.5", "epsilon = 5.0", 1))
    assert run(["plan", str(place.folder)]) == 0
    shown = capsys.readouterr().out
    assert "A run stops at 'by_ward'; what stands after it is not reached." in shown
    assert run(["run", str(place.folder), "--yes"]) == 3
    said = capsys.readouterr().err
    assert "The run stopped at 'by_ward'; the 1 before it of 3 stand." in said
    spent = Ledger(place.ledger).spent("people").epsilon
    assert f"spent so far ε = 0, after a run ε = {spent:.4g}" in shown


def test_a_run_that_stopped_says_as_json_what_stands(place, capsys):
    before, mark, after = place.toml.read_text().partition('name = "ages"')
    place.toml.write_text(before + mark + after.replace("epsilon = 0.5", "epsilon = 5.0", 1))
    code, planned = answer(capsys, "plan", place.folder)
    assert (code, planned["stops_at"]) == (0, "ages")
    code, found = answer(capsys, "run", place.folder, "--yes")
    assert (code, found["error"]["kind"]) == (3, "BudgetExceeded")
    assert found["error"]["state"].startswith("Nothing was spent on 'ages'")
    assert [(item["name"], item["reused"]) for item in found["releases"]] == [("people", False), ("by_ward", False)]
    spent = Ledger(place.ledger).spent("people").epsilon
    assert planned["accounts"]["people"]["after_epsilon"] == pytest.approx(spent)
    assert planned["accounts"]["people"]["spent_epsilon"] == 0


def test_a_plan_says_what_is_lost_and_what_to_do(place, capsys):
    assert run(["run", str(place.folder), "--yes"]) == 0
    shutil.rmtree(place.folder / "releases" / "by_ward")
    capsys.readouterr()
    assert run(["plan", str(place.folder)]) == 0
    shown = capsys.readouterr().out
    assert "lost: was released, but its folder is gone or was altered; restore it from a backup." in shown
    assert "To ask 'by_ward' again, for a new charge: [[release]] by_ward: attempt = 2" in shown
    assert "A run stops at 'by_ward'" in shown


def test_terms_that_differ_from_the_open_account_are_said(place, capsys):
    place.change("epsilon = 2.0", "epsilon = 3.0")
    assert run(["plan", str(place.folder)]) == 0
    said = "the file gives 'people' the ε 3.0; its account was opened with 2.0, which holds"
    assert said in capsys.readouterr().out
    assert answer(capsys, "plan", place.folder)[1]["notes"] == [said]
    assert run(["doctor", str(place.folder), "--json"]) == 1
    checks = {item["name"]: item for item in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["account people"] == {"name": "account people", "ok": False, "state": "fails", "detail": said}
    assert run(["ledger", "raise", str(place.folder), "people", "--epsilon", "3"]) == 0
    assert run(["doctor", str(place.folder)]) == 0  # raised to what the file says


WATCHED = """
import sys
from discreet.cli.app import run
assert run(sys.argv[1:]) == 0
print(sorted({"numpy", "sqlglot", "duckdb", "pyarrow"} & set(sys.modules)))
"""


@pytest.mark.parametrize("command", ["show", "verify", "export"])
def test_the_ledger_of_a_project_is_read_without_an_engine(place, command):
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, "ledger", command, str(place.folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
