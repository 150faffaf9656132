"""The benchmark of audits runs, and the peers' tests in it are no straw men: each catches what it was made for."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture
def audit(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("audit", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("audit")


def test_tables_have_a_row_for_each_mechanism_and_estimator():
    command = [sys.executable, str(BENCHMARKS / "audit.py"), "--quick", "--only", "certified", "one-run"]
    found = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert sum(line.startswith(("Laplace, ", "Gaussian, ", "the same, ")) for line in lines) == 6
    golden = [line.split() for line in lines if line.startswith("quantiles, ")]
    assert [float(row[6]) > 1.133 for row in golden] == [True] * 3  # what jax_privacy certifies at shift 1
    assert 2.1 < float(golden[0][7]) < 2.2  # betting


@pytest.mark.parametrize("name", ["StatDP", "DP-Sniper", "DP-Auditorium", "discreet"])
def test_every_tester_catches_half_the_scale_and_clears_the_twin(audit, name):
    case = audit.CASES[0]
    assert case.name == "half the scale"
    audit.ALPHA = 1e-8
    assert audit.TESTERS[name](case.bad, case.claim, case.pairs, 60_000)
    assert not audit.TESTERS[name](case.good, case.claim, case.pairs, 8_000)
