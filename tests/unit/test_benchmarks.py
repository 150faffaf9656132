"""The benchmarks run, on tables too small to measure anything; and the theory that utility is held to is right."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from discreet.accounting import zcdp_rho
from discreet.mechanisms import Rng, discrete_laplace
from tests.benchmark_scripts import BENCHMARKS, load

laws = load("laws")


def run(tmp_path, *arguments):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, str(BENCHMARKS / arguments[0]), *arguments[1:]]
    found = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_sql_prints_versions_all_contenders_and_verdicts(tmp_path):
    size = ("--rows", "10000", "--people", "1000", "--rounds", "1", "--peers", "none")
    out = run(tmp_path, "sql.py", *size, "--questions", "sums,median,public join")
    lines = out.splitlines()
    for name, tables in (("plain", 4), ("floor", 4), ("discreet", 4), ("kept", 2)):
        assert sum(line.startswith(f"{name} ") for line in lines) == tables
    assert "10,000 rows" in out
    assert "0% of the people are in more than 3 groups" in out  # fit
    assert any(line.startswith("versions of discreet: ") and "duckdb" in line for line in lines)
    assert sum(line.endswith(("met", "MISSED")) for line in lines) == 12


def test_sql_refuses_a_peer_that_nobody_knows():
    command = [sys.executable, str(BENCHMARKS / "sql.py"), "--peers", "nobody"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 2
    assert "no such peer or question: nobody" in found.stderr


def test_neighbours_prints_versions_counts_and_what_was_asked(tmp_path):
    out = run(tmp_path, "neighbours.py", "--triples", "300", "--databases", "5", "--seed", "a")
    lines = out.splitlines()
    assert lines[0].startswith("versions: discreet ")
    assert "duckdb" in lines[0]
    assert lines[1].startswith("seed a, 5 databases of 4 persons")
    triples, questions = (int(lines[2].split()[place]) for place in (0, 3))
    assert triples == 20 * questions >= 300  # five databases, each with a neighbour for each of four persons
    assert lines[-1] == "0 questions moved by more than they are charged for"
    assert (
        run(tmp_path, "neighbours.py", "--triples", "300", "--databases", "5", "--seed", "a").splitlines()[3:]
        == lines[3:]
    )


def test_utility_runs_every_case_and_finds_the_scale_of_the_noise(tmp_path):
    out = run(tmp_path, "utility.py", "--rows", "10000", "--draws", "1000", "--peer", "none")
    cases = [line.split() for line in out.splitlines() if line.startswith(("COUNT ", "SUM ", "AVG "))]
    assert len(cases) == 18
    for case in cases:  # a thousand squares of Laplace noise stay inside, but once in 1e15
        theory, ours = float(case[3]), float(case[4])
        assert 0.5 < ours / theory < 2


def test_accounting_holds_our_answers_against_the_truth(tmp_path):
    out = run(tmp_path, "accounting.py", "--tasks", "T1", "T5", "--peers", "none")
    answers = [line for line in out.splitlines() if line.startswith("discreet  ")]
    assert [line.split()[2][:5] for line in answers] == ["6.187", "4.377"]
    assert "UNSOUND" not in out


def test_accounting_asks_random_settings_from_a_seed(tmp_path):
    arguments = ("accounting.py", "--settings", "2", "--seed", "a", "--peers", "none")
    lines = run(tmp_path, *arguments).splitlines()
    assert any("2 random settings of DP-SGD, seed a:" in line for line in lines)
    assert any(line.startswith("discreet  ") and " 2 answers, " in line for line in lines)


def test_audit_errors_marks_the_wrong_versions(tmp_path):
    lines = run(tmp_path, "audit_errors.py", "--draws", "60", "--only", "lower end", "best threshold").splitlines()
    assert any(line.startswith("matches, caused: lower end") for line in lines)
    wrong = [line for line in lines if line.startswith("WRONG: best threshold, not paid for")]
    assert [line.endswith("TOO MANY") for line in wrong] == [True]


# -------------------------------------------------------------------------------------- the theory


def test_totals_follow_closed_forms():
    found = laws.total("pure", 0.5, groups=3, rows=2, most=7)
    q = math.exp(-0.5 / 42)
    assert found.square == pytest.approx(2 * q / (1 - q) ** 2, rel=1e-9)
    assert found.kurtosis == pytest.approx(6, rel=1e-3)
    gaussian = laws.total("zcdp", 0.02, groups=4, rows=1, most=10)
    assert gaussian.rmse == pytest.approx(20 / math.sqrt(2 * 0.02), rel=1e-9)
    assert gaussian.kurtosis == pytest.approx(3, rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
def test_rho_agrees_with_the_accountant(epsilon):
    assert laws.rho(epsilon, 1e-6) == pytest.approx(zcdp_rho(epsilon, 1e-6), rel=1e-6)


@pytest.mark.parametrize(("epsilon", "count", "mean"), [(2.0, 40, 30.0), (0.5, 5, 80.0)])
def test_the_error_of_an_average_is_what_drawing_it_gives(epsilon, count, mean):
    law = laws.average("pure", epsilon, 2, 1, (0, 100), count, mean)
    draws, rng = 200_000, Rng()
    total = discrete_laplace(draws, scale=100 / (Fraction(epsilon) / 2), rng=rng) + (mean - 50) * count
    people = discrete_laplace(draws, scale=2 / (Fraction(epsilon) / 2), rng=rng) + count
    some = people > 0
    answers = np.clip(50 + np.where(some, total / np.where(some, people, 1), 0.0), 0, 100)
    square = float(np.mean((answers - mean) ** 2))
    chance = math.sqrt((law.kurtosis - 1) / draws)
    assert abs(square / law.square - 1) < 6.5 * chance
    assert abs(0.81 * square / law.square - 1) > 6.5 * chance  # a scale 10 % off is seen
