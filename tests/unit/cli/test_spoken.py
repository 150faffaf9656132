"""Remedies at a terminal: commands and lines of the file, no Python."""

import re

import pytest

from discreet.cli.spoken import spoken
from discreet.errors import DiscreetError
from tests.clinic import answer, clinic
from tests.wrong.case import ask, spend

PYTHON = re.compile(r"\w\(…\)|Domain\(|\w=[\[(\"\d]|ledger\.\w+\(|read\(")


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path)


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        (("ledger", "show", "{folder}/nowhere.db"), "Open an account first: discreet ledger open PROJECT."),
        (
            ask("SELECT SUM(id) AS s FROM visits"),
            (
                'Declare them: in discreet.toml id = { type = "integer", low = 0, high = 100 }. '
                "Values beyond are clamped. Never read them off the data."
            ),
        ),
        (
            ask("SELECT age, COUNT(*) AS n FROM visits GROUP BY age"),
            'Declare them: in discreet.toml age = { type = "integer", keys = [1, 2] }. Never read them off the data.',
        ),
        (
            spend("0.5", "1e-7", "--analyst", "bo"),
            "Ask the owner for one: discreet ledger share PROJECT POPULATION ANALYST.",
        ),
        (spend("-1"), "For example --epsilon=0.5."),
        (spend("0.5", "0"), "Give delta too, for example --delta=1e-7: far below one over the number of people."),
    ],
)
def test_what_to_do_is_said_in_the_words_of_the_file_and_of_commands(place, capsys, command, remedy):
    code, found = answer(capsys, *(item.replace("{folder}", str(place.folder)) for item in command))
    assert (code, found["error"]["remedy"]) == (1, remedy)
    assert not PYTHON.search(remedy.replace("--epsilon=", "").replace("--delta=", ""))


def test_in_a_file_a_budget_is_written_with_spaces():
    error = DiscreetError("too much.", state="Nothing.", remedy="Try epsilon=0.3, or ask the owner of 'p'.")
    assert spoken(error, "run").remedy == "Try epsilon = 0.3, or ask the owner of 'p'."
    assert spoken(error, "query").remedy == "Try --epsilon=0.3, or ask the owner of 'p'."
    assert (spoken(error, "run").what, spoken(error, "run").state) == ("too much.", "Nothing.")
