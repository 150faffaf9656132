"""Three tables of people and a public one, joined in one project: every command, each a process of its own."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from tests.wards import wards

DISCREET = Path(sys.executable).with_name("discreet")
BUDGET = ("--epsilon", "1", "--delta", "1e-7")
JOINED = "SELECT w.kind, SUM(l.price) AS price FROM lines l JOIN visits v ON l.visit = v.visit JOIN wards w ON v.ward = w.name GROUP BY w.kind"


def discreet(*arguments, code=0):
    done = subprocess.run(
        [DISCREET, *map(str, arguments)],
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"},
        input="",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def answer(*arguments, code=0):
    return json.loads(discreet(*arguments, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The project, planned, opened, run and explained."""
    place = wards(tmp_path_factory.mktemp("walked") / "wards", opened=False)
    planned = answer("plan", place.folder)
    discreet("ledger", "open", place.folder)
    discreet("doctor", place.folder)
    assert answer("plan", place.folder)["releases"] == planned["releases"], "opening changes no question"
    ran = answer("run", place.folder, "--yes")
    assert [item["entry"]["request"] for item in ran["releases"]] == [item["request"] for item in planned["releases"]]
    discreet("explain", place.folder)
    return place


def rows(place, name):
    (file,) = place.folder.glob(f"releases/{name}/*/value.parquet")
    return pyarrow.parquet.read_table(file).to_pylist()


def record(place, name):
    (file,) = place.folder.glob(f"releases/{name}/*/release.json")
    return json.loads(file.read_text())


def near(value, error, truth):
    """A slip of a join would be hundreds off; noise is beyond eight standard errors in one of 10¹⁴ runs."""
    return abs(value - truth) <= 8 * error


def test_a_join_counts_what_it_should(walked):
    """266.7 visits to each ward, two lines each; 400 patients have two visits, in two wards."""
    kinds = {row["kind"]: row for row in rows(walked, "by_kind")}
    assert near(kinds["surgery"]["n"], kinds["surgery"]["n_se"], 267)
    assert near(kinds["medicine"]["n"], kinds["medicine"]["n_se"], 533)
    for row in rows(walked, "prices"):
        assert near(row["n"], row["n_se"], 534)
        assert near(row["price"], row["price_se"], 19.5)


def test_what_is_drawn_is_near(walked):
    (ages,) = rows(walked, "ages")
    assert 25 <= ages["middle"] <= 60
    assert 60 <= ages["oldest"] <= 100
    assert ages["middle_se"] is None
    assert rows(walked, "drug")[0]["most"] in ("x", "y")


def test_groups_that_nobody_declared_are_found_if_many_share_them(walked):
    found = rows(walked, "cities")
    assert [row["city"] for row in found] == ["Rochester"], "a village of one visit is never shown"
    assert near(found[0]["n"], found[0]["n_se"], 720)


def test_a_release_names_the_versions_of_all_that_it_read(walked):
    found = record(walked, "prices")["provenance"]
    assert (found["table"], found["version"]) == ("patients", "lines=1;visits=7")
    assert set(found["tables"]) == {"lines", "visits"}
    assert record(walked, "by_kind")["provenance"]["views"] == {
        "stays": "SELECT v.patient, w.kind FROM visits v JOIN wards w ON v.ward = w.name"
    }
    assert record(walked, "ages")["provenance"]["version"] == "2024-06"
    assumed = " ".join(record(walked, "prices")["guarantee"]["assumptions"])
    assert "Each visits.visit belongs to one person (promised)" in assumed


def test_the_report_shows_all_of_it(walked):
    page = (walked.folder / "report" / "report.html").read_text()
    for text in ("rank ± ", "drawn by chance", "found by chance", "for each “kind”", "lines=1;visits=7"):
        assert text in page, text
    assert "village" not in page


def test_a_second_run_spends_nothing(walked):
    assert {item["reused"] for item in answer("run", walked.folder, "--yes")["releases"]} == {True}


def test_another_version_of_one_table_asks_anew_what_read_it(walked):
    before = walked.toml.read_text()
    try:
        walked.change('"lines.parquet"\nversion = "1"', '"lines.parquet"\nversion = "2"')
        states = {item["name"]: item["state"] for item in answer("plan", walked.folder)["releases"]}
    finally:
        walked.toml.write_text(before)
    assert states == {"by_kind": "released", "prices": "new", "ages": "released", "cities": "released", "drug": "new"}


def test_a_query_joins_four_tables_into_a_file(walked, tmp_path):
    file = tmp_path / "price.csv"
    price = answer("cost", walked.folder, JOINED, *BUDGET)
    assert price["affordable"]
    discreet("query", walked.folder, JOINED, *BUDGET, "--yes", "--output", file)
    with file.open(newline="") as lines:
        found = {row["kind"]: row for row in csv.DictReader(lines)}
    truth = {"surgery": 534 * 19.5, "medicine": 1066 * 19.5}
    for kind, row in found.items():
        assert near(float(row["price"]), float(row["price_se"]), truth[kind])
    again = discreet("query", walked.folder, JOINED, *BUDGET, "--output", file, code=1)
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT COUNT(*) AS n FROM wards", "public tables alone"),
        ("SELECT COUNT(*) AS n FROM patients p JOIN visits v ON p.age = v.visit", "anything but the person"),
        ("SELECT COUNT(*) AS n FROM vists", "Did you mean 'visits'?"),
    ],
)
def test_what_is_refused_spends_nothing(walked, sql, said):
    before = answer("ledger", "show", walked.folder)["accounts"][0]["head"]
    for command in ("cost", "query"):
        done = discreet(command, walked.folder, sql, *BUDGET, code=1)
        assert said in done.stderr
        assert "Nothing was spent and no data was read." in done.stderr
    assert answer("ledger", "show", walked.folder)["accounts"][0]["head"] == before


def test_doctor_looks_at_every_table(walked):
    names = [item["name"] for item in answer("doctor", walked.folder)["checks"]]
    assert [name for name in names if name.startswith("table ")] == [
        "table patients", "table visits", "table lines", "table wards",
    ]  # fmt: skip
