"""The comparison with other engines: what it says that can be asked is asked, what it says is refused is refused."""

from __future__ import annotations

import re

import pytest

import discreet as dp
from discreet.errors import UnsupportedQuery
from tests.docs.pages import DOCS
from tests.docs.test_blocks import SET_UP

PAGE = DOCS / "explanation" / "compared-with-other-engines.md"
MARKS = {"●", "◐", "○", "?"}
CODE = re.compile(r"`((?:SELECT|WITH) [^`]+)`")


def tables() -> list[list[list[str]]]:
    """Return the rows of each table of the page, without the head."""
    found: list[list[list[str]]] = [[]]
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [rows[2:] for rows in found if rows]


SYSTEMS, FEATURES, REFUSED, NOT_YET = tables()
COMPARED = [row for row in FEATURES if row[1]]
ANSWERED = [sql for row in COMPARED for sql in CODE.findall(row[-1])] + [
    sql for row in REFUSED for sql in CODE.findall(row[3])
]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Return the dataset of the page."""
    (set_up,) = SET_UP.findall(PAGE.read_text(encoding="utf-8"))
    names: dict[str, dp.Dataset] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("compared"))
        exec(compile(set_up, str(PAGE), "exec"), names)
        yield names["hospital"]


def test_every_row_is_marked_for_every_system():
    assert [row[0] for row in SYSTEMS] == ["OD", "TU", "PD", "SN", "DL", "QR", "BQ", "SF"]
    assert len(COMPARED) > 70
    for row in COMPARED:
        assert len(row) == 11, row
        assert set(row[1:10]) <= MARKS, row
    assert len({row[0] for row in COMPARED}) == len(COMPARED)


def test_nothing_that_others_have_is_passed_over():
    for row in COMPARED:
        ours, note = row[9], row[10]
        assert note, row
        linked = "(#what-we-refuse-and-why)" in note or "(#not-yet)" in note
        assert ours == "●" or linked or CODE.search(note) or "](" in note, row
        assert ours != "○" or linked, row


@pytest.mark.parametrize("sql", ANSWERED)
def test_what_can_be_asked_is_answered(hospital, sql):
    value = dp.sql.query(hospital, sql, **({} if "OPTIONS" in sql else {"epsilon": 5.0, "delta": 1e-8})).value
    assert value.num_columns > 0
    assert value.num_rows > 0


@pytest.mark.parametrize("sql", [sql for row in REFUSED for sql in CODE.findall(row[1])])
def test_what_is_refused_is_refused(hospital, sql):
    with pytest.raises(UnsupportedQuery):
        dp.sql.plan(hospital, sql, epsilon=5.0, delta=1e-8)


def test_every_refusal_and_gap_says_what_to_do():
    assert all(len(row) == 4 and row[2] and row[3] for row in REFUSED)
    assert all(len(row) == 3 and all(row) for row in NOT_YET)
