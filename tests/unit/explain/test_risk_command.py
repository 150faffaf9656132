"""The command `discreet audit risk`."""

import json

import pytest

from discreet import events
from discreet.cli.app import run
from discreet.explain import risk
from discreet.profiles import Guarantee
from discreet.units import PrivacyUnit
from tests.e2e.test_cli import check

STATED = ["audit", "risk", "--epsilon", "1", "--delta", "1e-5", "--relation", "add_remove"]


@pytest.fixture
def release(make, tmp_path):
    """A release in its folder."""
    folder = tmp_path / "by_ward"
    make.release().write(folder)
    return folder


def said(capsys):
    shown = capsys.readouterr()
    return json.loads(shown.out) if shown.out.startswith("{") else shown.out + shown.err


def test_a_stated_pair(capsys):
    assert run(STATED) == 0
    text = said(capsys)
    assert "2.8 %" in text
    assert "its own curve is not known: only ε and δ are known" in text
    assert run([*STATED, "--json"]) == 0
    expected = risk(events.Approximate(1.0, 1e-5), relation="add_remove").to_dict()
    assert said(capsys) == expected | {"page": None}


def test_a_release_in_its_folder(release, make, capsys):
    assert run(["audit", "risk", str(release), "--json"]) == 0
    assert said(capsys)["views"] == json.loads(json.dumps(risk(make.release()).to_dict()))["views"]
    assert run(["audit", "risk", str(release), "--delta", "1e-6"]) == 1
    assert "names its own" in said(capsys)
    assert run(["audit", "risk", "nowhere", "--project", str(release.parent)]) == 1
    assert run(["audit", "risk", str(release / "none.json"), "--relation", "add_remove"]) == 1
    assert "cannot be read" in said(capsys)


def test_its_json_is_as_the_reference_says(release, capsys):
    for command in (STATED, ["audit", "risk", str(release)]):
        assert run([*command, "--json"]) == 0
        check(said(capsys), "discreet audit risk")


def test_an_event_in_a_file(tmp_path, capsys):
    file = tmp_path / "event.json"
    event = events.Repeated(3, events.Gaussian(2.0))
    file.write_text(json.dumps(events.to_dict(event)))
    command = ["audit", "risk", str(file), "--relation", "replace_one", "--delta", "1e-6"]
    asked = ["--prior", "0.2", "--fpr", "0.05", "--fpr", "0.5", "--baseline", "0.3", "--group", "2", "--json"]
    assert run([*command, *asked]) == 0
    expected = risk(
        event,
        relation="replace_one",
        delta=1e-6,
        priors=[0.2],
        false_positive_rates=[0.05, 0.5],
        baselines=[0.3],
        group=2,
    )
    assert said(capsys) == json.loads(json.dumps(expected.to_dict() | {"page": None}))
    assert run(["audit", "risk", str(file), "--delta", "1e-6"]) == 1
    assert "names no relation" in said(capsys)
    assert run(["audit", "risk", str(file), "--relation", "add_remove"]) == 1
    assert "needs the delta" in said(capsys)


def test_a_page_is_written(tmp_path, capsys):
    page = tmp_path / "risk.html"
    assert run([*STATED, "--page", str(page), "--json"]) == 0
    assert said(capsys)["page"] == str(page)
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert run([*STATED, "--page", str(tmp_path / "risk.pdf")]) == 1
    assert "a page is a .html" in said(capsys)
    assert run([*STATED, "--page", str(tmp_path / "nowhere" / "risk.html")]) == 1
    assert "cannot be written" in said(capsys)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--epsilon", "1"],
        ["--epsilon", "1", "--delta", "0"],
        ["--delta", "1e-6", "--relation", "add_remove"],
        ["file.json", "--epsilon", "1", "--delta", "0", "--relation", "add_remove"],
    ],
)
def test_what_is_too_little_or_too_much_is_a_wrong_use(wrong, capsys):
    assert run(["audit", "risk", *wrong]) == 2
    assert "--epsilon" in said(capsys)


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--prior", "nan"], "must lie in"),
        (["--fpr", "0"], "above 0"),
        (["--baseline", "2"], "must lie in"),
        (["--group", "0"], "from 1 to"),
    ],
)
def test_wrong_numbers_are_refused(more, part, capsys):
    assert run([*STATED, *more]) == 1
    assert part in said(capsys)


def test_a_guarantee_without_a_bound_is_shown(make, tmp_path, capsys):
    made = make.release(guarantee=Guarantee(PrivacyUnit(column="id"), 1e9, 1e-7, "sum"))
    made.write(tmp_path / "open")
    assert run(["audit", "risk", str(tmp_path / "open")]) == 0
    assert "100 %" in said(capsys)


def test_the_group_of_commands_shows_its_help(capsys):
    assert run(["audit"]) == 2
    assert "risk" in said(capsys)
