"""The accountant as a program: what its JSON holds, and numbers known to fifteen digits from elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.clinic import answer
from tests.e2e.test_cli import check

from discreet import events
from discreet.cli.app import run

T1 = ("dpsgd", "--sample-rate=0.01", "--noise-multiplier=1", "--steps=10000")


@pytest.fixture
def history(tmp_path):
    """A file with what opacus keeps of a run."""
    path = tmp_path / "history.json"
    path.write_text(json.dumps([[2.0, 0.01, 10000]]))
    return path


@pytest.mark.parametrize(
    ("options", "delta", "truth"),  # ../shared/specs/accounting.md; each from two independent accountants
    [
        (("--sample-rate=0.01", "--noise-multiplier=1", "--steps=10000"), "1e-5", 6.187712),
        (("--sample-rate=0.001", "--noise-multiplier=0.6", "--steps=100000"), "1e-7", 7.781576),
        (
            ("--sample-rate=0.01", "--noise-multiplier=1", "--steps=10000", "--relation=replace_one"),
            "1e-5",
            10.880782,
        ),
    ],
    ids=["T1", "T2", "replace_one"],
)
def test_known_numbers(capsys, options, delta, truth):
    code, found = answer(capsys, "epsilon", "dpsgd", *options, f"--delta={delta}")
    assert code == 0
    check(found, "discreet epsilon")
    assert found["epsilon_lower"] - 1e-6 <= truth <= found["epsilon"] + 1e-6
    assert 0 <= found["epsilon"] - found["epsilon_lower"] <= 1e-9 * found["epsilon"]
    assert found["delta"] == float(delta)


def test_what_was_asked_can_be_asked_again_as_a_file(capsys, tmp_path):
    _, first = answer(capsys, "epsilon", *T1, "--delta=1e-6")
    path = tmp_path / "event.json"
    path.write_text(json.dumps(first["event"]))
    code, second = answer(capsys, "epsilon", path, "--delta=1e-6")
    assert code == 0
    assert {name: second[name] for name in second if name != "seconds"} == {
        name: first[name] for name in first if name != "seconds"
    }


@pytest.mark.parametrize("target", [0.5, 2.0, 8.0])
def test_calibrate_ends_on_the_proved_side(capsys, target):
    asked = ("--sample-rate=0.01", "--steps=1000")
    code, found = answer(capsys, "calibrate", "dpsgd", *asked, f"--target-epsilon={target}", "--target-delta=1e-5")
    assert code == 0
    check(found, "discreet calibrate")
    assert target * (1 - 1e-6) <= found["epsilon"] <= target
    noise = found["noise_multiplier"]
    for factor, holds in ((1.0, True), (1 - 1e-5, False)):
        described = ("dpsgd", *asked, f"--noise-multiplier={noise * factor!r}")
        assert (answer(capsys, "epsilon", *described, "--delta=1e-5")[1]["epsilon"] <= target) is holds


def test_calibrate_the_published_task(capsys):
    """T4 of the specification: 2.12737543, to nine digits."""
    asked = ("--sample-rate=0.01", "--steps=10000", "--target-epsilon=2", "--target-delta=1e-5")
    code, found = answer(capsys, "calibrate", "dpsgd", *asked)
    assert (code, found["noise_multiplier"]) == (0, pytest.approx(2.12737543, rel=1e-8))


def test_calibrate_under_replace_one_needs_more_noise(capsys):
    asked = ("calibrate", "dpsgd", "--sample-rate=0.01", "--steps=100", "--target-epsilon=1", "--target-delta=1e-5")
    _, fewer = answer(capsys, *asked)
    code, found = answer(capsys, *asked, "--relation=replace_one")
    assert code == 0
    assert found["event"]["event"]["event"]["noise_multiplier"] == found["noise_multiplier"] / 2
    assert found["noise_multiplier"] > fewer["noise_multiplier"]


def test_curve(capsys, history, tmp_path):
    for what in (T1, (history,)):
        code, found = answer(capsys, "curve", *what, "--plot", tmp_path / "curve.svg")
        assert code == 0
        check(found, "discreet curve")
        losses = [(row["epsilon_lower"], row["epsilon"]) for row in found["epsilons"]]
        assert all(lower <= upper for lower, upper in losses)
        assert [upper for _, upper in losses] == sorted(upper for _, upper in losses), "a smaller δ, a larger ε"
        assert 0 < found["advantage_lower"] <= found["advantage"] < 0.5
        for row in found["rates"]:
            assert row["false_positive_rate"] <= row["true_positive_rate_lower"] <= row["true_positive_rate"] < 1
        assert (tmp_path / "curve.svg").stat().st_size > 1000


def test_compare(capsys, history):
    code, found = answer(capsys, "compare", history, "--delta=1e-5")
    assert code == 0
    check(found, "discreet compare")
    by_name = {peer["name"]: peer["epsilon"] for peer in found["peers"]}
    assert found["epsilon_lower"] <= by_name["dp-accounting PLD"]  # it is sound here, and looser
    assert by_name["dp-accounting RDP"] > found["epsilon"]


@pytest.mark.parametrize("relation", list(events.Relation))
def test_default_relation_is_said(capsys, relation):
    asked = ["epsilon", "dpsgd", "--sample-rate=0.5", "--noise-multiplier=3", "--steps=20", "--delta=1e-5"]
    named = [] if relation is events.Relation.ADD_REMOVE else [f"--relation={relation.value}"]
    assert run([*asked, *named]) == 0
    assert f"({relation.value}, Poisson sampling; " in capsys.readouterr().out


@pytest.mark.parametrize("command", ["epsilon", "calibrate"])
def test_the_whole_process_is_quick(command):
    """Under 0.7 s on a quiet machine. Others may be busy here: the bound is on its own time, and wide."""
    run_of = ("--sample-rate=0.01", "--steps=10000")
    asked = {
        "epsilon": (*run_of, "--noise-multiplier=1", "--delta=1e-5"),
        "calibrate": (*run_of, "--target-epsilon=2", "--target-delta=1e-5"),
    }[command]
    program = Path(sys.executable).with_name("discreet")
    best = float("inf")
    for _ in range(3):
        before = os.times()
        subprocess.run([program, command, "dpsgd", *asked], check=True, capture_output=True, timeout=60)
        after = os.times()
        best = min(best, after.children_user + after.children_system - before.children_user - before.children_system)
    assert best < 2.0
