"""Two processes train what one would have trained; one of them charges."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from discreet import PrivacyUnit
from discreet.testing import ScratchLedger

ROOT = Path(__file__).parents[2]


def trained(folder: Path, name: str, size: int) -> list[dict[str, object]]:
    """Return what each of `size` processes says in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.training_together", str(folder), name]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(size), str(port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    said = [process.communicate(timeout=200) for process in processes]
    assert all(process.returncode == 0 for process in processes), said
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def tensors(folder: Path, name: str):
    (path,) = (folder / name).glob("m/*/model.safetensors")
    return load_file(path)


@pytest.mark.parametrize("what", ["", "people, "])
def test_two_processes_give_the_model_of_one(tmp_path, what):
    trained(tmp_path, what + "one", 1)
    first, second = trained(tmp_path, what + "two", 2)
    assert first["release"] == second["release"]
    assert first["sum"] == second["sum"]
    one, two = tensors(tmp_path, what + "one"), tensors(tmp_path, what + "two")
    for name in one:
        assert one[name].sub(two[name]).abs().max() < 1e-5
    kinds = [entry.kind for entry in ScratchLedger(tmp_path / f"{what}two.db").entries("people")]
    assert kinds.count("charge") == kinds.count("release") == 1


def test_a_norm_that_moves_is_that_of_one_process(tmp_path):
    """Each counts its share of a batch, and the noise is added once, to the whole."""
    (one,) = trained(tmp_path, "moving_alone", 1)
    first, second = trained(tmp_path, "moving", 2)
    assert first["norm"] == second["norm"]
    assert abs(first["norm"] / one["norm"] - 1) < 1e-5
    assert abs(first["norm"] / 0.5 - 1) > 0.01


def test_what_fails_in_one_process_ends_the_other(tmp_path):
    said = trained(tmp_path, "fails", 2)
    assert [one["refused"] for one in said] == ["DataFailure", "DataFailure"]
    assert "cause is withheld" in str(said[0]["says"])


def test_processes_with_different_programs_are_refused(tmp_path):
    said = trained(tmp_path, "differs", 2)
    assert [one["refused"] for one in said] == ["InvalidInput", "InvalidInput"]
    assert all("given different runs" in str(one["says"]) for one in said)


def test_rows_in_another_order_are_found_out(tmp_path):
    """A record would be in one batch twice, or in none."""
    said = trained(tmp_path, "reversed", 2)
    assert all("do not hold the same rows" in str(one["says"]) for one in said)


def test_sharded_parameters_are_refused(tmp_path):
    said = trained(tmp_path, "sharded", 2)
    assert all("'0.weight' is sharded over processes" in str(one["says"]) for one in said)


def test_what_process_0_is_refused_the_other_is_told(tmp_path):
    poor = ScratchLedger(tmp_path / "poor.db")
    poor.open("people", unit=PrivacyUnit(), measure="renyi", epsilon=0.1, delta=1e-5, owner=poor.owner)
    first, second = trained(tmp_path, "poor", 2)
    assert first["refused"] == "BudgetExceeded"
    assert second["refused"] == "InvalidInput"
    assert "process 0 refused" in str(second["says"])
