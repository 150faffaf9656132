"""--target-error and --consistent: an accuracy instead of an epsilon, and answers that agree."""

from __future__ import annotations

import pytest

from tests.clinic import answer, clinic

BY_WARD = "SELECT ward, COUNT(*) AS n FROM visits GROUP BY ward"


@pytest.mark.parametrize("wanted", ["40", "n=40"])
def test_the_least_epsilon_that_reaches_the_error_is_taken(tmp_path, capsys, wanted):
    made = clinic(tmp_path / "clinic")
    code, found = answer(capsys, "cost", made.folder, BY_WARD, "--target-error", wanted, "--delta", "1e-7")
    assert code == 0
    assert found["columns"][0]["half_width"] <= 40
    asked = found["guarantee"]["epsilon"]
    _, less = answer(capsys, "cost", made.folder, BY_WARD, "--epsilon", asked * 0.97, "--delta", "1e-7")
    assert less["columns"][0]["half_width"] > 40


@pytest.mark.parametrize("options", [[], ["--epsilon", "0.5", "--target-error", "9"], ["--target-error", "n=x"]])
def test_one_of_the_two_is_needed_and_it_is_a_number(tmp_path, capsys, options):
    made = clinic(tmp_path / "clinic")
    before = made.kinds()
    code, _ = answer(capsys, "query", made.folder, BY_WARD, *options, "--delta", "1e-7", "--yes")
    assert code != 0
    assert made.kinds() == before


def test_answers_agree_as_wished(tmp_path, capsys):
    made = clinic(tmp_path / "clinic")
    text = "SELECT ward, COUNT(*) AS n FROM visits GROUP BY ROLLUP (ward)"
    wishes = ["--consistent", "totals", "--consistent", "non_negative", "--consistent", "whole"]
    code, found = answer(capsys, "query", made.folder, text, "--epsilon", "0.5", "--delta", "1e-7", "--yes", *wishes)
    assert code == 0
    *groups, total = (row["n"] for row in found["value"])
    assert total == sum(groups)
    assert min(groups) >= 0
