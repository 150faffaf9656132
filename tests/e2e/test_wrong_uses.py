"""What people do wrong, and what discreet says: three parts, nothing spent, no private value.

Each case changes a clinic, runs one command in this process, and looks at all that was printed.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest
from tests.clinic import NUMBER, SECRET, Clinic, answer, clinic
from tests.docs.pages import DOCS
from tests.wrong import ALL
from tests.wrong.books import DATA, LEDGER
from tests.wrong.case import BY_WARD, PLAN, RUN, ask
from tests.wrong.files import TOML
from tests.wrong.questions import BUDGETS, SQL

from discreet.cli.app import run

IDS = [f"{place}-{wrong.name}" for place, wrong in enumerate(ALL)]


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return clinic(tmp_path_factory.mktemp("clinic") / "clinic").folder


@pytest.fixture
def place(template, tmp_path):
    return Clinic(shutil.copytree(template, tmp_path / "clinic"))


def charges(place):
    """Return how many charges the ledger holds, read without discreet; None where it cannot be read."""
    if not place.ledger.is_file():
        return None
    book = sqlite3.connect(f"file:{place.ledger}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in book.execute("SELECT name FROM sqlite_master WHERE name LIKE '%entries'")]
        return book.execute(f"SELECT COUNT(*) FROM {tables[0]} WHERE kind = 'charge'").fetchone()[0]  # one table
    except sqlite3.DatabaseError:
        return None
    finally:
        book.close()


def filled(text, place):
    """Return a text of a case with this clinic's paths."""
    for name, value in {"folder": place.folder, "toml": place.toml, "data": place.data}.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def leaks(text):
    """Return the private values that stand in a text."""
    return [secret for secret in (*SECRET.split(), str(int(NUMBER))) if secret.casefold() in text.casefold()]


def after(wrong, before):
    """Return how many charges there are after a wrong use."""
    return None if before is None else before + wrong.spends


def test_there_are_enough():
    assert len(ALL) >= 45
    assert len({(wrong.command, wrong.name) for wrong in ALL}) == len(ALL)


def test_the_messages_in_the_reference_are_these():
    """Each message in the table of the errors' page is one that a case here begins with."""
    table = (DOCS / "reference" / "errors.md").read_text().partition("## What wrong uses say")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| [^|]+ \| `([^`|]+)` \| `(\w+)` \|$", table, re.MULTILINE)
    assert len(shown) == table.count("\n|") - 2
    for message, kind in shown:
        assert any(wrong.kind == kind and message.removeprefix("…").strip() in wrong.says for wrong in ALL), message


def test_a_leak_would_be_seen(place):
    assert leaks(pyarrow.parquet.read_table(place.data).to_pandas().to_string()) == [*SECRET.split(), str(int(NUMBER))]


def test_the_clinic_itself_is_right(place, capsys):
    assert answer(capsys, *(filled(item, place) for item in RUN))[0] == 0
    assert charges(place) == 3
    assert answer(capsys, *(filled(item, place) for item in ask(BY_WARD, "--name", "x")))[0] == 0


@pytest.mark.parametrize("wrong", ALL, ids=IDS)
def test_as_json(wrong, place, capsys, monkeypatch):
    monkeypatch.chdir(place.folder)
    monkeypatch.delenv("DISCREET_NOWHERE", raising=False)
    wrong.change(place)
    before = charges(place)
    capsys.readouterr()
    code = run([*(filled(item, place) for item in wrong.command), "--json"])
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert (error["kind"], code) == (wrong.kind, wrong.code), error
    assert error["what"].startswith(filled(wrong.says, place)), error["what"]
    states = (
        ("The charge stands",) if wrong.spends else ("Nothing was spent and no data was read.", "Nothing was changed.")
    )
    assert error["state"].startswith(states)
    assert error["remedy"]
    assert charges(place) == after(wrong, before)
    assert leaks(printed.out + printed.err) == []


@pytest.mark.parametrize("wrong", ALL, ids=IDS)
def test_for_people(wrong, place, capsys, monkeypatch):
    monkeypatch.chdir(place.folder)
    wrong.change(place)
    before, stood = charges(place), set((place.folder / "releases").glob("*/*"))
    capsys.readouterr()
    assert run([filled(item, place) for item in wrong.command]) == wrong.code
    printed = capsys.readouterr()
    first, *rest = printed.err.strip().splitlines()
    assert first.startswith(f"{wrong.kind}: {filled(wrong.says, place)}"), printed.err
    assert len(rest) == 2, "what happened, what state we are in, what to do"
    assert "Traceback" not in printed.err
    assert charges(place) == after(wrong, before)
    assert leaks(printed.out + printed.err) == []
    assert set((place.folder / "releases").glob("*/*")) == stood


def discreet(*arguments, program="from discreet.cli import main; main()"):
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("wrong", [TOML[6], SQL[0], BUDGETS[11], DATA[3], LEDGER[3]], ids=lambda wrong: wrong.name)
def test_as_a_program(wrong, place):
    """The same in a process of its own, where nothing of the tests is loaded."""
    wrong.change(place)
    before = charges(place)
    done = discreet(*(filled(item, place) for item in wrong.command))
    assert done.returncode == wrong.code
    assert done.stderr.lstrip().startswith(f"{wrong.kind}: {filled(wrong.says, place)}")
    assert "Traceback" not in done.stderr
    assert charges(place) == after(wrong, before)
    assert leaks(done.stdout + done.stderr) == []


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from discreet.cli.app import run
sys.exit(run(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("package", "extra", "command"),
    [
        ("duckdb", "sql", RUN),
        ("sqlglot", "sql", PLAN),
        ("pyarrow", "sql", RUN),
        ("jinja2", "report", ("explain", "{folder}")),
        ("matplotlib", "report", ("explain", "{folder}")),
        ("psycopg", "postgres", ("ledger", "show", "postgresql://localhost/nowhere")),
    ],
)
def test_a_missing_extra(place, package, extra, command):
    if command[0] == "explain":
        assert run([filled(item, place) for item in RUN]) == 0
    before = charges(place)
    done = discreet(package, *(filled(item, place) for item in command), program=BLOCKED)
    assert done.returncode == 1
    what, state, remedy = done.stderr.strip().splitlines()
    assert what.startswith("MissingExtra: ")
    assert what.endswith(f"this needs the package {package!r}, which is not installed.")
    assert state.startswith("  Nothing was spent and no data was read.")
    assert remedy == f'  Type: pip install "discreet[{extra}]"'
    assert charges(place) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere; a file in the way is tested above")
def test_a_folder_that_may_not_be_written(place, capsys):
    place.folder.chmod(0o500)
    try:
        code, found = answer(capsys, *(filled(item, place) for item in RUN))
    finally:
        place.folder.chmod(0o700)
    assert (code, charges(place)) == (1, 0)
    assert found["error"]["remedy"]


def test_a_csv_whose_header_is_wrong(place, capsys):
    """Only the names in the first line are looked at, before the charge; none of them is shown."""
    (place.folder / "visits.csv").write_text(f"id,{SECRET},cost\n1,A,{NUMBER}\n{SECRET},B,{SECRET}\n")
    place.change("visits.parquet", "visits.csv")
    capsys.readouterr()
    assert run([filled(item, place) for item in ask("SELECT AVG(age) AS a FROM visits")]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("InvalidInput: the source of 'visits' has no column 'age'.")
    assert leaks(printed.out + printed.err) == []
    assert charges(place) == 0
