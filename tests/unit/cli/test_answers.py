"""What `discreet query` shows, prints and writes."""

import io
import json
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from discreet.cli.app import run
from discreet.ledger import Ledger
from tests.clinic import answer
from tests.wards import wards

WARDS = "SELECT ward, COUNT(*) AS n FROM visits GROUP BY ward"
BUDGET = ("--epsilon=1", "--delta=1e-7")


@pytest.fixture
def place(tmp_path):
    return wards(tmp_path / "wards")


def ask(capsys, place, *more, sql=WARDS, code=0):
    """Ask, and return what was printed on stdout and on stderr."""
    capsys.readouterr()
    assert run(["query", str(place.folder), sql, *BUDGET, "--yes", *map(str, more)]) == code
    return capsys.readouterr()


def released(place):
    (stored,) = place.folder.glob("releases/*/*/value.parquet")
    return pyarrow.parquet.read_table(stored)


def charges(place):
    return place.kinds().count("charge")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_holds_the_released_table(place, capsys, tmp_path, form):
    file = tmp_path / f"out.{form}"
    shown = ask(capsys, place, "--output", file).out.splitlines()
    assert shown[0] == f"Wrote {file}, 3 rows."
    assert shown[1].startswith("ε = 1, δ = 1e-07 per id (add_remove); entry 1")
    read = pyarrow.csv.read_csv(file) if form == "csv" else pyarrow.parquet.read_table(file)
    assert read.to_pydict() == released(place).to_pydict()


def test_json_in_a_file_is_that_of_stdout(place, capsys, tmp_path):
    ask(capsys, place, "--output", tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["reused"] is False
    for asked in (["--json"], ["--format", "json"], ["--format=json"], ["--json", "--format", "json"]):
        assert json.loads(ask(capsys, place, *asked).out) == written | {"reused": True}
    assert charges(place) == 1


def test_json_on_stdout_and_rows_in_a_file(place, capsys, tmp_path):
    """With --json stdout is one JSON object, whatever else is written."""
    for file in (tmp_path / "out.csv", tmp_path / "out.json"):
        printed = json.loads(ask(capsys, place, "--json", "--output", file).out)
        assert printed["written"] == str(file)
    assert pyarrow.csv.read_csv(tmp_path / "out.csv").num_rows == 3
    assert json.loads((tmp_path / "out.json").read_text())["value"] == printed["value"]
    assert "written" not in json.loads(ask(capsys, place, "--json").out)


def test_csv_on_stdout_stands_alone(place, capsys):
    shown = ask(capsys, place, "--format", "csv")
    assert shown.out.splitlines()[0] == '"ward","n","n_se","n_low","n_high"'
    assert len(shown.out.splitlines()) == 4
    assert "ε = 1" in shown.err
    assert "Rows without id are left out." in shown.err


def test_the_format_may_be_named_whatever_the_file_is_called(place, capsys, tmp_path):
    ask(capsys, place, "--format", "csv", "--output", tmp_path / "wards.txt")
    assert pyarrow.csv.read_csv(tmp_path / "wards.txt").num_rows == 3


def test_nothing_is_written_over(place, capsys, tmp_path):
    file = tmp_path / "out.csv"
    file.write_text("mine")
    shown = ask(capsys, place, "--output", file, code=1)
    assert "out.csv exists already.\n  Nothing was spent and no data was read." in shown.err
    assert (file.read_text(), charges(place)) == ("mine", 0)
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    assert "link.csv exists already." in ask(capsys, place, "--output", tmp_path / "link.csv", code=1).err


def test_a_folder_that_is_not_there_spends_nothing(place, capsys, tmp_path):
    assert "is no folder" in ask(capsys, place, "--output", tmp_path / "no" / "out.csv", code=1).err
    assert charges(place) == 0


def test_a_file_that_came_meanwhile_stays(place, capsys, tmp_path, monkeypatch):
    """The charge stands, and so does the release: asking again writes it elsewhere, for nothing."""
    file, released_before = tmp_path / "out.csv", Ledger.released

    def meanwhile(*arguments):
        file.write_text("mine")
        return released_before(*arguments)

    monkeypatch.setattr("discreet.ledger.Ledger.released", meanwhile)
    shown = ask(capsys, place, "--output", file, code=1)
    assert "out.csv exists already.\n  The release stands, and so does its charge." in shown.err
    assert "costs nothing" in shown.err
    assert (file.read_text(), charges(place)) == ("mine", 1)
    ask(capsys, place, "--output", tmp_path / "again.csv")
    assert charges(place) == 1


class Full(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, _):
        raise OSError(28, "No space left on device")


def test_a_disk_that_is_full_leaves_no_half_file(place, capsys, tmp_path, monkeypatch):
    opened = Path.open

    def full(self, mode="r", **more):
        if self.name != "out.csv":
            return opened(self, mode, **more)
        opened(self, mode).close()
        return Full()

    monkeypatch.setattr(Path, "open", full)
    shown = ask(capsys, place, "--output", tmp_path / "out.csv", code=1)
    assert "out.csv cannot be written: No space left on device.\n  The release stands" in shown.err
    assert not (tmp_path / "out.csv").exists()
    assert place.kinds() == ["open", "charge", "release"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json", "--format", "csv"], "--json and --format csv contradict each other"),
        (["--format", "parquet"], "parquet goes to a file; add --output FILE."),
        (["--output", "out.txt"], "the name of out.txt says no format; add --format csv, parquet or json."),
        (["--output", "out"], "the name of out says no format"),
        (["--output", "out.table"], "a table is for reading"),
        (["--format", "table", "--output", "out.csv"], "a table is for reading"),
    ],
)
def test_a_wrong_use(place, capsys, options, message):
    shown = ask(capsys, place, *options, code=2)
    assert message in shown.err or message in json.loads(shown.out)["error"]["what"]
    assert charges(place) == 0


@pytest.mark.parametrize("form", [["--json"], ["--format", "json"], ["--format=json"]])
def test_an_error_is_an_object_where_json_is_asked_for(place, capsys, form):
    shown = ask(capsys, place, *form, sql="SELECT COUNT(*) AS n FROM nowhere", code=1)
    assert json.loads(shown.out)["error"]["kind"] == "InvalidInput"
    assert shown.err == ""


def test_what_is_drawn_shows_how_far_its_rank_may_be_off(place, capsys):
    asked = "SELECT MEDIAN(age) AS middle, COUNT(*) AS n FROM patients"
    shown = ask(capsys, place, sql=asked).out
    lines = {line.split()[0]: line for line in shown.splitlines() if line.startswith(("middle", "n "))}
    assert lines["middle"].split()[2] == "–"
    assert "rank ± " in lines["middle"]
    assert " – " in lines["n"]
    code, price = answer(capsys, "cost", place.folder, asked, *BUDGET)
    assert code == 0
    ranks = {item["name"]: item["rank_error"] for item in price["columns"]}
    assert ranks["n"] is None
    assert f"rank ± {-int(-ranks['middle'] // 1)} rows" in lines["middle"], "rounded up: it is a bound"


def test_what_is_no_number_is_shown_as_it_is(place, capsys):
    shown = ask(capsys, place, sql="SELECT MODE(drug) AS most FROM lines").out
    assert any(line.split() in (["most", "x", "–", "–"], ["most", "y", "–", "–"]) for line in shown.splitlines())


def test_totals_are_named(place, capsys):
    shown = ask(capsys, place, sql="SELECT ward, COUNT(*) AS n FROM visits GROUP BY ROLLUP(ward)").out
    keys = [line.split()[0] for line in shown.splitlines()[2:6]]
    assert keys == ["A", "B", "C", "(all)"]
    assert "ward_total" not in shown
    assert "n_raw" not in shown


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (WARDS, []),
        ("SELECT AVG(age) AS a FROM patients", ["The error of a depends on the answers: give guesses to forecast it."]),
        ("SELECT MEDIAN(age) AS m FROM patients", []),
        ("SELECT MODE(drug) AS d FROM lines", ["d: drawn by chance, without a standard error."]),
        (
            "SELECT AVG(price) AS a, MODE(drug) AS d FROM lines",
            [
                "The error of a depends on the answers: give guesses to forecast it.",
                "d: drawn by chance, without a standard error.",
            ],
        ),
    ],
)
def test_a_cost_says_what_its_dashes_mean(place, capsys, sql, said):
    capsys.readouterr()
    assert run(["cost", str(place.folder), sql, *BUDGET]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("The error") or "drawn by chance" in line] == said


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        (WARDS, "  rows: discrete Gaussian, standard deviation "),
        ("SELECT MEDIAN(age) AS m FROM patients", "  quantiles 0.5 of age: exponential mechanism, rank ± "),
        ("SELECT city, COUNT(*) AS n FROM visits GROUP BY city", "  which groups there are: weighted Gaussian"),
    ],
)
def test_a_cost_says_how_each_part_is_made_private(place, capsys, sql, line):
    capsys.readouterr()
    assert run(["cost", str(place.folder), sql, *BUDGET]) == 0
    assert any(shown.startswith(line) for shown in capsys.readouterr().out.splitlines())


def test_the_engine_is_part_of_the_question(place, capsys):
    """Another engine may keep other groups of a person; the guarantee says what it assumes of it."""
    assumed = {}
    for engine in ([], ["--engine", "duckdb"], ["--engine", "spark"]):
        code, price = answer(capsys, "cost", place.folder, WARDS, *BUDGET, *engine)
        assert code == 0
        assumed[tuple(engine)] = " ".join(price["guarantee"]["assumptions"])
    assert assumed[()] == assumed["--engine", "duckdb"]
    assert "cluster" in assumed["--engine", "spark"]
    assert "cluster" not in assumed[()]
    assert "'presto'" in ask(capsys, place, "--engine", "presto", code=2).err


def test_the_engine_that_is_asked_for_answers(place, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("discreet.sql.engines.spark.Spark.ready", lambda *_: asked.append("ready"))
    monkeypatch.setattr("discreet.sql.engines.spark.Spark.opened", lambda *_: 1 / 0)
    assert "DataFailure" in ask(capsys, place, "--engine", "spark", code=1).err
    assert asked == ["ready"]
    assert charges(place) == 1
