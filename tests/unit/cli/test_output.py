"""What is printed for people: numbers, widths, and names that are no markup."""

import json
import os
import subprocess
import sys

import pytest

from discreet.cli.app import run
from discreet.cli.output import percent
from discreet.release.shown import number, rounded
from tests.clinic import clinic


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0"),
        (22.0654, "22.07"),
        (0.000123456, "0.0001235"),
        (8000.0, "8000"),
        (9999.4, "9999"),
        (50000.0, "50,000"),
        (-103496.2, "-103,496"),
        (1e20, "1e+20"),
        (float("inf"), "inf"),
    ],
)
def test_numbers(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0.00276, "0.28 %"), (0.5, "50 %")])
def test_percentages(value, shown):
    assert percent(value) == shown


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [(50.123456, 0.1033, "50.12"), (9301.0, 62.8, "9,301"), (1.5, None, "1.5"), (None, 1.0, "–"), (2.5, 0.0, "2.5")],
)
def test_noisy_numbers_show_the_digits_that_the_noise_leaves(value, error, shown):
    assert rounded(value, error) == shown


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", [("plan",), ("run", "--yes"), ("ledger", "show"), ("doctor",)])
def test_tables_fit_the_terminal(place, capsys, monkeypatch, command, width):
    monkeypatch.setenv("COLUMNS", str(width))
    place.change("How many visits", "How many visits there were in all of the wards of the clinic, by anybody, ever")
    assert run(["run", str(place.folder), "--yes", "--only", "people"]) == 0
    capsys.readouterr()
    name, *rest = command
    arguments = [name, *rest, str(place.folder)]
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    tables = [line for line in shown.splitlines() if "  " in line.strip() or "─" in line]
    assert tables
    assert [line for line in tables if len(line.rstrip()) > width] == []


@pytest.mark.parametrize("command", [("plan",), ("run", "--yes")])
def test_a_file_without_releases_says_so(place, capsys, command):
    place.toml.write_text(place.toml.read_text().partition("[[release]]")[0])
    capsys.readouterr()
    assert run([*command, str(place.folder)]) == 0
    assert capsys.readouterr().out == "The file declares no release; add one: [[release]].\n"


def test_a_terminal_without_greek_is_served(place):
    for more in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-c", "from discreet.cli import main; main()", "ledger", "show", str(place.folder), *more],
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0
        assert "people" in done.stdout
    assert json.loads(done.stdout)["accounts"][0]["population"] == "people"


def test_names_are_text_not_markup(place, capsys):
    place.change("How many visits", "[red]visits[/red] [link=x]")
    assert run(["plan", str(place.folder)]) == 0
    assert "[red]visits[/red] [link=x]" in capsys.readouterr().out


def test_the_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("discreet ")
