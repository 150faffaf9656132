"""Where a run stops, what is said of it, and what a plan knows of it beforehand."""

import shutil

import pytest

from discreet import errors
from discreet.errors import BudgetExceeded, DataFailure, InvalidInput
from discreet.project import Project
from discreet.release import Shelf
from tests.clinic import clinic

NOTHING = "Nothing was spent and no data was read."


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path / "clinic")


@pytest.fixture
def project(place):
    return Project.read(place.folder)


def stop(project, kind, only=None):
    with pytest.raises(kind) as error:
        list(project.run(only))
    return error.value


def states(project):
    return [step.state for step in project.plan()]


def test_what_was_spent_before_is_not_denied(place):
    place.change('AVG(age) AS age FROM visits"\nepsilon = 0.5', 'AVG(age) AS age FROM visits"\nepsilon = 5.0')
    error = stop(Project.read(place.folder), BudgetExceeded)
    assert error.state == (
        "Nothing was spent on 'ages', and none of its data was read. "
        "The run stopped at 'ages'; the 2 before it of 3 stand."
    )
    assert place.kinds().count("charge") == 2


def test_where_nothing_stands_before_it_nothing_was_spent(place):
    place.change("epsilon = 0.5", "epsilon = 5.0")
    project = Project.read(place.folder)
    several = stop(project, BudgetExceeded)
    assert several.state == f"{NOTHING} The run stopped at 'people'; nothing was released before it."
    assert stop(project, BudgetExceeded, "people").state == f"{NOTHING} The run stopped at 'people'."


def crashed(project, monkeypatch, name="people"):
    """Charge a release whose work dies; it says itself how to ask again."""
    with monkeypatch.context() as patch:
        patch.setattr("discreet.sql.engines.duckdb.Opened.table", lambda *_: 1 / 0)
        return stop(project, DataFailure, name)


def test_a_release_that_was_charged_and_not_released(place, project, monkeypatch):
    failed = crashed(project, monkeypatch)
    assert failed.state.startswith("The charge stands")
    assert "ask again with attempt = 2 in [[release]] people, which is a new charge" in failed.remedy
    assert states(project) == ["charged", "new", "new"]
    error = stop(project, InvalidInput)
    assert error.what.startswith("the release 'people' was charged on ")
    assert project.plan()[0].request not in str(error)
    assert "with attempt = 2 in [[release]] people, which is a new charge" in error.remedy
    place.change('name = "people"', 'name = "people"\nattempt = 2')
    again = Project.read(place.folder)
    assert states(again) == ["new", "new", "new"]
    crashed(again, monkeypatch)
    assert "attempt = 3" in stop(again, InvalidInput).remedy


def test_a_release_that_a_crash_left_unrecorded_is_re_used(project, monkeypatch):
    """It was written, and its charge stands: asking again records it."""
    with monkeypatch.context() as patch:
        patch.setattr("discreet.ledger.Ledger.released", lambda *_: (_ for _ in ()).throw(errors.InvalidInput("died")))
        stop(project, InvalidInput, "people")
    assert [entry.kind for entry in project.ledger.entries("people")] == ["open", "charge"]
    assert states(project) == ["released", "new", "new"]
    (done,) = project.run("people")
    assert done.reused
    assert [entry.kind for entry in project.ledger.entries("people")] == ["open", "charge", "release"]


def gone(place):
    shutil.rmtree(place)


def edited(place):
    record = place / "release.json"
    record.write_text(record.read_text().replace('"people"', '"poeple"', 1))


def value_edited(place):
    (place / "value.parquet").write_bytes((place / "value.parquet").read_bytes()[:-1])


def hollow(place):
    (place / "value.parquet").unlink()


@pytest.mark.parametrize("harm", [gone, edited, value_edited, hollow])
def test_a_release_that_is_lost(place, project, harm):
    done = list(project.run())
    assert states(project) == ["released"] * 3
    harm(done[1].place)
    steps = project.plan()
    assert [step.state for step in steps] == ["released", "lost", "released"]
    assert [step.cost.loss for step in steps] == [0, 0, 0]
    charged = place.kinds().count("charge")
    error = stop(project, InvalidInput)
    assert "The run stopped at 'by_ward'; the 1 before it of 3 stand." in error.state
    assert place.kinds().count("charge") == charged


def test_a_lost_release_says_how_to_ask_again(place, project):
    (done,) = project.run("people")
    gone(done.place)
    error = stop(project, InvalidInput)
    assert error.what == f"the release 'people' was made and charged, but {done.place.absolute()} is gone."
    assert "ask again with attempt = 2 in [[release]] people, which is a new charge." in error.remedy
    place.change('name = "people"', 'name = "people"\nattempt = 2')
    assert [item.reused for item in Project.read(place.folder).run("people")] == [False]
    assert len(list(Shelf(project.shelf.folder).folder.glob("people/*"))) == 1
