"""The hospital from prepare to report, as its users run it: each command a process of its own."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from tests.docs.pages import DOCS, blocks

ROOT = Path(__file__).parents[2]
DISCREET = Path(sys.executable).with_name("discreet")
SQL = "SELECT male, COUNT(*) AS people FROM nafld1 WHERE age >= 80 GROUP BY male"
RELEASES = [
    "cohort", "profile", "deaths", "elderly", "follow_up", "tests", "blood_pressure", "smoking", "fibrosis", "diagnoses",
]  # fmt: skip


def discreet(*arguments, code=0, text="", program=(DISCREET,)):
    """Run a command where nobody can be asked; return its output."""
    done = subprocess.run(
        [*program, *map(str, arguments)],
        env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"},
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def answer(*arguments, code=0):
    return json.loads(discreet(*arguments, "--json", code=code).stdout)


def account(folder):
    return answer("ledger", "show", folder)["accounts"][0]


def charges(folder):
    return [entry for entry in account(folder)["entries"] if entry["kind"] == "charge"]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """The example as it is checked out, with its data."""
    folder = tmp_path_factory.mktemp("prepared") / "hospital"
    folder.mkdir()
    for name in ("discreet.toml", "prepare.py"):
        shutil.copy(ROOT / "examples" / "hospital" / name, folder)
    subprocess.run([sys.executable, folder / "prepare.py"], check=True, capture_output=True, timeout=120)
    return folder


def fresh(prepared, place):
    """Return a copy of the example with an open account."""
    folder = place / "hospital"
    shutil.copytree(prepared, folder)
    discreet("ledger", "open", folder)
    return folder


@pytest.fixture
def hospital(prepared, tmp_path):
    return fresh(prepared, tmp_path)


@pytest.fixture(scope="module")
def walked(prepared, tmp_path_factory):
    """A hospital that was planned, run and explained."""
    folder = fresh(prepared, tmp_path_factory.mktemp("walked"))
    discreet("run", folder, "--yes")
    discreet("explain", folder)
    return folder


def test_plan_spends_nothing(hospital):
    before = hospital.joinpath("ledger.db").read_bytes(), account(hospital)
    planned = answer("plan", hospital)["releases"]
    assert [item["name"] for item in planned] == RELEASES
    assert {item["state"] for item in planned} == {"new"}
    assert all(item["relative"] for release in planned for item in release["columns"])
    assert (hospital.joinpath("ledger.db").read_bytes(), account(hospital)) == before
    assert not (hospital / "releases").exists()


def test_plan_reads_no_private_row(hospital):
    """With garbage instead of the data, and with no data at all, the plan is the same, to the byte."""
    there = discreet("plan", hospital, "--json").stdout
    for path in (hospital / "data").iterdir():
        path.write_bytes(b"garbage")
    assert discreet("plan", hospital, "--json").stdout == there
    shutil.rmtree(hospital / "data")
    assert discreet("plan", hospital, "--json").stdout == there


WATCHED = """
import sys
from discreet.cli.app import run
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
code = run(sys.argv[1:])
print([path for path in opened if path.endswith(".parquet")], sorted({"duckdb", "pyarrow.parquet"} & set(sys.modules)))
"""


def test_plan_opens_neither_data_nor_engine(hospital):
    done = discreet("plan", hospital, program=(sys.executable, "-c", WATCHED))
    assert done.stdout.splitlines()[-1] == "[] []"
    done = discreet("run", hospital, "--yes", "--only", "cohort", program=(sys.executable, "-c", WATCHED))
    assert done.stdout.splitlines()[-1].endswith("['duckdb', 'pyarrow.parquet']"), "the watch sees what a run loads"


SHOWN = re.findall(
    r"^\$ discreet ((?:[^\n]*\\\n)*[^\n]*)\n((?:(?!\$ )[^\n]*\n)*)",
    "".join(block.text for block in blocks(DOCS / "tutorials" / "hospital.md") if block.language == "text"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("command", "code"), [("plan", 0), ("cost", 0), ("query", 1)])
def test_the_tutorial_shows_what_is_printed(hospital, walked, command, code):
    """What depends on no noise is shown as it is printed: the plan, a cost after the run, a refusal."""
    (line, shown), *_ = [item for item in SHOWN if item[0].startswith(command) and (code == 0 or "DISTINCT" in item[0])]
    folder = hospital if command == "plan" else walked
    arguments = [str(folder) if word == "examples/hospital" else word for word in shlex.split(line.replace("\\\n", ""))]
    done = discreet(*arguments, code=code)
    assert [row.rstrip() for row in (done.stdout + done.stderr).strip().splitlines()] == shown.strip().splitlines()


def test_the_tutorial_shows_this_file():
    whole = (ROOT / "examples" / "hospital" / "discreet.toml").read_text()
    shown = [block.text for block in blocks(DOCS / "tutorials" / "hospital.md") if block.language == "toml"]
    assert shown
    assert [text for text in shown if text not in whole] == []


def test_each_number_comes_from_a_release_that_the_ledger_knows(walked):
    entries = {entry["request"]: entry for entry in account(walked)["entries"] if entry["kind"] == "release"}
    places = sorted((walked / "releases").glob("*/*"))
    assert sorted(place.parent.name for place in places) == sorted(RELEASES)
    assert {place.name for place in places} == set(entries)
    assert answer("ledger", "verify", walked)["entries"] == {"patients": 1 + 2 * len(RELEASES)}
    page = (walked / "report" / "report.html").read_text()
    numbers = re.findall(r'data-file="([^"]*)" data-row="(\d+)" data-column="([^"]*)" data-value="([^"]*)"', page)
    assert len(numbers) > 50
    for file, row, column, value in numbers:
        table = pyarrow.parquet.read_table(walked / file)
        assert float(table[column][int(row)].as_py()) == float(value)


def test_a_second_run_spends_nothing_and_changes_nothing(walked):
    before, head = contents(walked / "releases"), account(walked)["head"]
    assert {item["reused"] for item in answer("run", walked, "--yes")["releases"]} == {True}
    discreet("run", walked)  # asks nothing, for there is nothing to spend
    assert account(walked)["head"] == head
    assert contents(walked / "releases") == before


def test_a_second_report_is_the_same(walked):
    before = contents(walked / "report")
    assert set(before) == {Path("report.html"), Path("report.md"), Path("registry.json")}
    discreet("explain", walked)
    assert contents(walked / "report") == before


def test_the_noise_is_fresh(walked, hospital):
    discreet("run", hospital, "--yes", "--only", "diagnoses")
    first, second = (
        pyarrow.parquet.read_table(next((folder / "releases" / "diagnoses").glob("*/value.parquet")))
        for folder in (walked, hospital)
    )
    assert first.select(["people_se"]) == second.select(["people_se"])
    assert first.select(["event", "people"]) != second.select(["event", "people"])


def test_the_answers_are_about_right(walked):
    """The public truth lies within eight standard errors: a slip of a column or a clamp would be far outside."""
    people = pyarrow.parquet.read_table(walked / "data" / "nafld1.parquet").to_pandas()
    truth = people.groupby("male").agg(people=("id", "size"), deaths=("status", "sum"), age=("age", "mean"))
    for release, columns in {"cohort": ["people"], "deaths": ["people", "deaths"], "profile": ["age"]}.items():
        rows = pyarrow.parquet.read_table(next((walked / "releases" / release).glob("*/value.parquet"))).to_pylist()
        assert [row["male"] for row in rows] == [0, 1]
        for row in rows:
            for column in columns:
                assert abs(row[column] - truth.loc[row["male"], column]) < 8 * row[f"{column}_se"]


def test_the_bounds_cut_off_less_than_the_noise_hides(walked):
    """What a reader takes the titles to say is in the intervals, give or take a few: no bound of the example bites.

    Four kinds of test or of diagnosis per person, instead of all that are declared, would be 20 standard errors off.
    """
    tests, diagnoses = (
        pyarrow.parquet.read_table(walked / "data" / f"{name}.parquet").to_pandas() for name in ("nafld2", "nafld3")
    )
    mean = tests.groupby("test")["value"].mean()
    truth = {
        "tests": tests.groupby("test")["id"].nunique(),
        "diagnoses": diagnoses.groupby("event")["id"].nunique(),
        "blood_pressure": {None: mean["sbp"]},
        "smoking": {None: 100 * mean["smoke"]},
        "fibrosis": {None: mean["fib4"]},
    }
    for release, exact in truth.items():
        (table,) = (
            pyarrow.parquet.read_table(path) for path in (walked / "releases" / release).glob("*/value.parquet")
        )
        column = next(name for name in table.column_names if f"{name}_se" in table.column_names)
        for row in table.to_pylist():
            key = row.get("test", row.get("event"))
            assert abs(row[column] - exact[key]) < 8 * row[f"{column}_se"], (release, key)


def test_the_report_warns_where_a_bound_may_bite(walked):
    page = (walked / "report" / "report.md").read_text()
    warned = {part.split("\n", 1)[0] for part in page.split("\n### ") if "**Beyond the noise.**" in part}
    assert {title.split(". ", 1)[1].split(";")[0].replace("\\", "") for title in warned} == {
        "How many people are in the cohort",
        "Who they are at the start: age, body mass index, weight, height",
        "How many died during follow-up",
        "How long people were followed, in days",
        "Mean systolic blood pressure",
        "Which part of the answers says: smokes",
        "Mean FIB-4 score, a marker of fibrosis of the liver",
    }


def test_query_and_cost(hospital):
    toml = hospital / "discreet.toml"
    asked = [toml, SQL, "--epsilon", "0.5", "--delta", "1e-7"]
    price = answer("cost", *asked)
    assert (price["affordable"], charges(hospital)) == (True, [])
    release = answer("query", *asked, "--yes")
    assert [row["male"] for row in release["value"]] == [0, 1]
    assert release["guarantee"]["epsilon"] <= 0.5
    assert release["guarantee"]["delta"] == 1e-7
    assert [entry["cost"] for entry in charges(hospital)] == [[price["cost"]["loss"], price["cost"]["delta"]]]
    again = answer("query", *asked, "--yes")
    assert (release.pop("reused"), again.pop("reused")) == (False, True)
    assert again == release, "the same question is the same release"
    assert len(charges(hospital)) == 1
    assert account(hospital)["left_epsilon"] == price["left"]


def test_budget_exceeded(hospital):
    """Exit code 3; what was released before stands, and the ledger holds."""
    toml = hospital / "discreet.toml"
    toml.write_text(toml.read_text().replace("epsilon = 0.5", "epsilon = 8.0", 1))
    states = {item["name"]: item["state"] for item in answer("plan", hospital)["releases"]}
    assert states["deaths"] == "refused"
    failed = discreet("run", hospital, "--yes", code=3)
    assert failed.stderr.lstrip().startswith("BudgetExceeded: 'patients' has ε = ")
    assert "cohort" in failed.stdout
    assert sorted(path.name for path in (hospital / "releases").iterdir()) == ["cohort", "profile"]
    assert len(charges(hospital)) == 2
    discreet("ledger", "verify", hospital)


KILLED = """
import os, signal, sys
from discreet import errors
from discreet.cli.app import run
errors.sealed = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(run(sys.argv[1:]))
"""


def test_killed_between_charge_and_answer(hospital):
    """The charge stands, the release is refused from then on with a way out, and attempt = 2 is a new charge."""
    arguments = ("run", hospital, "--yes", "--only", "cohort")
    discreet(*arguments, code=-signal.SIGKILL, program=(sys.executable, "-c", KILLED))
    assert len(charges(hospital)) == 1
    assert not list((hospital / "releases").rglob("value.parquet"))
    discreet("ledger", "verify", hospital)

    states = {item["name"]: item["state"] for item in answer("plan", hospital)["releases"]}
    assert (states["cohort"], states["deaths"]) == ("charged", "new")
    refused = discreet(*arguments, code=1).stderr
    assert "charged" in refused
    assert "attempt" in refused
    assert len(charges(hospital)) == 1
    assert "  charged  " in discreet("ledger", "show", hospital).stdout

    toml = hospital / "discreet.toml"
    toml.write_text(toml.read_text().replace('name = "cohort"', 'name = "cohort"\nattempt = 2', 1))
    done = answer(*arguments)["releases"]
    assert [(item["name"], item["reused"]) for item in done] == [("cohort", False)]
    first, second = charges(hospital)
    assert first["cost"] == second["cost"]
    assert first["request"] != second["request"]
    assert answer(*arguments)["releases"][0]["reused"]
