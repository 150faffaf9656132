"""Planning before the account is open: the terms of the file, and no way to spend."""

import dataclasses

import pytest

from discreet import sql
from discreet.errors import InvalidInput
from discreet.ledger import OwnerKey
from discreet.project import Project
from tests.clinic import clinic

TERMS = {
    "pure": ('measure = "zcdp"', 'measure = "pure"'),
    "zcdp": ("", ""),
    "renyi": ('measure = "zcdp"', 'measure = "renyi"'),
    "nothing set aside": ("delta = 1e-6", "delta = 1e-6\ndelta_atoms = 0.0"),
    "a ceiling": ("delta = 1e-6", "delta = 1e-6\nceiling = 5.0"),
}


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path / "clinic", opened=False)


def facts(step):
    return step.state, step.cost, step.left, step.request, str(step.plan.guarantee), step.plan.event


@pytest.mark.parametrize("terms", TERMS)
def test_a_plan_before_opening_is_that_after_it(place, terms):
    place.change(*TERMS[terms])
    project = Project.read(place.folder)
    before, drafted = project.plan(), project.draft.account("people")
    assert project.draft.drafted == {"people"}
    assert not list(place.folder.glob("ledger.db*")), "planning opens nothing"
    (opened,) = project.open(OwnerKey.create(project.key_path))
    assert project.draft.drafted == frozenset()
    assert [facts(step) for step in project.plan()] == [facts(step) for step in before]
    theirs = {"opened", "public_key", "head", "length"}  # which come into being with the opening
    for field in {item.name for item in dataclasses.fields(opened)} - theirs:
        assert getattr(drafted, field) == getattr(opened, field), field


def test_what_will_not_fit_is_seen_before_opening(place):
    place.change("epsilon = 0.5", "epsilon = 5.0")
    assert [step.state for step in Project.read(place.folder).plan()] == ["refused", "new", "new"]


def test_a_draft_pays_for_nothing(place):
    project = Project.read(place.folder)
    asked = "SELECT COUNT(*) AS n FROM visits"
    drafted = project.dataset("visits", ledger=project.draft)
    assert sql.cost(drafted, asked, epsilon=0.5, delta=1e-7).affordable
    with pytest.raises(InvalidInput, match="there is no ledger at"):
        sql.query(drafted, asked, epsilon=0.5, delta=1e-7)
    with pytest.raises(InvalidInput, match="the account 'people' is not open"):
        project.dataset("visits")
    with pytest.raises(InvalidInput, match="the account 'people' is not open"):
        list(project.run())
    assert not list(place.folder.glob("ledger.db*"))


def test_a_draft_beside_open_accounts(place):
    """One account is open, with its history; the other is planned."""
    project = Project.read(place.folder)
    project.open(OwnerKey.create(project.key_path))
    list(project.run("people"))
    text = place.toml.read_text()
    declared = text.partition("[population.people]")[2].partition("[[release]]")[0].replace("people", "staff")
    second = f"[population.staff]{declared}".replace("table.visits", "table.shifts")
    more = '[[release]]\nname = "more"\nsql = "SELECT COUNT(*) AS n FROM shifts"\nepsilon = 0.5\ndelta = 1e-7\n'
    place.toml.write_text(text.replace("[[release]]", f"{second}[[release]]", 1) + "\n" + more)
    project = Project.read(place.folder)
    assert project.unopened() == ["staff"]
    assert [(step.population, step.state) for step in project.plan()] == [
        ("people", "released"), ("people", "new"), ("people", "new"), ("staff", "new"),
    ]  # fmt: skip
    assert project.draft.account("people") == project.ledger.account("people")
    drafted = project.dataset("shifts", ledger=project.draft)
    with pytest.raises(InvalidInput, match="the ledger has no account 'staff'"):
        sql.query(drafted, "SELECT COUNT(*) AS n FROM shifts", epsilon=0.5, delta=1e-7)
