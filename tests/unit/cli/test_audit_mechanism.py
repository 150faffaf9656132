"""audit mechanism: your code as a black box, from the working folder; exit code 4 where the claim is refuted."""

from __future__ import annotations

import json
import sys

import pytest

from discreet.cli.app import run

MODULE = """\
from fractions import Fraction

import numpy as np

from discreet import Relation
from discreet.audit import Pair
from discreet.mechanisms import Rng, discrete_laplace

ANSWERS = [Pair("all up", [0, 0], [1, 1], Relation.ADD_REMOVE)]
NUMBER = 7


def pairs():
    return ANSWERS


def broken():
    raise RuntimeError("no pairs today")


def half(data, draws):
    return sum(data) + discrete_laplace(draws, scale=Fraction(1, 2), rng=Rng())


def right(data, draws):
    return sum(data) + discrete_laplace(draws, scale=2, rng=Rng())


def one(data):
    return int(sum(data) + discrete_laplace(1, scale=2, rng=Rng())[0])


def total(data):
    clamped = [min(1.0, max(0.0, x)) for x in data]
    return round(256 * sum(clamped)) + int(discrete_laplace(1, scale=64, rng=Rng())[0])


def fails(data, draws):
    raise ValueError("not today")


def leaves(data, draws):
    raise SystemExit(0)
"""


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Run the command in a folder with the module, and return its exit code and what it printed."""
    (tmp_path / "noise_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "noise_of_mine", raising=False)

    def asked(*arguments):
        code = run(["audit", "mechanism", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return asked


CLAIM = ("--epsilon=1", "--relation=add_remove", "--draws=4000", "--alpha=1e-8")
PAIRS = "--pairs=noise_of_mine:pairs"


def test_a_refuted_claim_leaves_with_4_and_a_counterexample(ask):
    code, out, err = ask("noise_of_mine:half", *CLAIM, PAIRS)
    assert code == 4
    assert out.startswith("refuted: ε = 1 (add_remove)")
    assert "counterexample, pair 'all up'" in out
    assert err == ""


def test_json_holds_finding_and_counterexample(ask):
    code, out, _ = ask("noise_of_mine:half", *CLAIM, "--pairs=noise_of_mine:ANSWERS", "--json")
    assert code == 4
    data = json.loads(out)
    assert set(data) == {"finding", "draws", "tightness", "delta_at_claimed_epsilon", "cells", "counterexample"}
    assert data["finding"]["verdict"] == "refuted"
    assert data["tightness"] > 1
    assert set(data["counterexample"]) == {"pair", "first", "second", "side", "event", "counts", "again"}
    assert set(data["cells"][0]) == {"pair", "side", "event", "allowed", "refutes", "point"}


def test_what_is_not_refuted_leaves_with_0_and_says_that_it_proves_nothing(ask):
    code, out, _ = ask("noise_of_mine:right", *CLAIM, PAIRS)
    assert code == 0
    assert out.startswith("consistent: ε = 1 (add_remove)")
    assert "That is no proof of it." in out


def test_single_outputs_and_pairs_that_are_made(ask):
    few = ("--relation=add_remove", "--draws=400", "--alpha=1e-8")
    assert ask("noise_of_mine:one", "--single", "--epsilon=1.5", "--answers=3", *few)[0] == 0
    code, out, _ = ask("noise_of_mine:total", "--single", "--epsilon=0.5", "--records", "0", "1", *few)
    assert code == 4, out


def test_claims_of_other_kinds(ask):
    for claim in ("--mu=2", "--rho=2"):
        code, out, _ = ask("noise_of_mine:right", claim, "--relation=add_remove", "--draws=400", "--answers=1")
        assert code == 0
        assert "μ ≥" in out


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("noise_of_mine:half", "--relation=add_remove", PAIRS), "a claim is one of --epsilon", 2),
        (("noise_of_mine:half", "--mu=1", *CLAIM, PAIRS), "a claim is one of --epsilon", 2),
        (("noise_of_mine:half", *CLAIM), "neighbours come from one of --pairs, --answers and --records", 2),
        (("noise_of_mine:half", *CLAIM, PAIRS, "--answers=2"), "neighbours come from one of", 2),
        (("noise_of_mine", *CLAIM, PAIRS), "write MODULE:NAME, got 'noise_of_mine'", 2),
        (("nobodys_module:half", *CLAIM, PAIRS), "the module 'nobodys_module' cannot be imported", 1),
        (("noise_of_mine:none", *CLAIM, PAIRS), "the module 'noise_of_mine' has no 'none'", 1),
        (("noise_of_mine:NUMBER", *CLAIM, PAIRS), "noise_of_mine:NUMBER is no function", 1),
        (("noise_of_mine:one", *CLAIM, PAIRS), "noise_of_mine:one does not take (data, draws)", 1),
        (("noise_of_mine:fails", *CLAIM, PAIRS), "noise_of_mine:fails failed: ValueError: not today", 1),
        (("noise_of_mine:leaves", *CLAIM, PAIRS), "noise_of_mine:leaves failed: SystemExit: 0", 1),
        (("noise_of_mine:half", *CLAIM, "--pairs=noise_of_mine:NUMBER"), "noise_of_mine:NUMBER is no list", 1),
        (("noise_of_mine:half", *CLAIM, "--pairs=noise_of_mine:broken"), "RuntimeError: no pairs today", 1),
        (("noise_of_mine:half", *CLAIM, "--answers=0"), "size must be a whole number of at least 1", 1),
        (("noise_of_mine:half", *CLAIM, "--draws=9", PAIRS), "draws must be a whole number of at least 200", 1),
        (
            ("noise_of_mine:half", "--epsilon=1", "--relation=replace_one", PAIRS),
            "the claim holds under replace_one",
            1,
        ),
    ],
)
def test_what_is_wrong_is_told(ask, arguments, says, code):
    found, out, err = ask(*arguments)
    assert found == code
    assert says in err
    assert out == ""
