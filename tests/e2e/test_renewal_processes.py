"""Renewals in several processes, and in killed ones: whole or not at all, and never beside a charge of the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def campaign(*arguments):
    command = [sys.executable, "-m", "tests.renewal_campaign", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_killed_at_any_instant_a_renewal_and_a_charge_are_whole(book_url, book_key, tmp_path):
    found = campaign("kill", book_url, tmp_path / "owner.key", "--kills", 15)
    assert found["kills_after_a_charge"] >= 3, found  # else the kills missed the work
    assert found["lost"] == 0, found
    assert found["unexplained"] == 0, found
    assert found["halves"] == 0, found


def test_processes_that_race_charge_an_account_whole_or_by_period_and_never_both(book_url, book_key, tmp_path):
    found = campaign("crowd", book_url, tmp_path / "owner.key", "--rounds", 6)
    assert found["failed"] == 0, found
    assert found["both"] == 0, found
    assert found["renewed"] + found["charged_whole"] == found["rounds"], found
    assert found["over_admitted"] == 0, found
    assert found["sums_are_exact"], found
