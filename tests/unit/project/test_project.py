"""Project: plan, run and explain without the command line."""

import dataclasses
import json
import shutil

import pytest

from discreet.errors import BudgetExceeded, InvalidInput, UnsupportedQuery
from discreet.ledger import OwnerKey
from discreet.project import Project
from tests.clinic import TOML, clinic

SECOND = (
    TOML[TOML.index("[population.people]") : TOML.index("[[release]]")]
    .replace("people", "staff")
    .replace("visits]", "shifts]")
    .replace("visits.columns", "shifts.columns")
)


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path / "clinic")


@pytest.fixture
def project(place):
    return Project.read(place.folder)


def test_a_plan_is_what_a_run_charges(project):
    steps = project.plan()
    before = project.ledger.account("people").left()
    done = list(project.run())
    after = project.ledger.account("people").left()
    assert before.loss - after.loss == sum(step.cost.loss for step in steps)
    assert [item.place.name for item in done] == [step.request for step in steps]
    assert [step.left for step in project.plan()] == [steps[-1].left] * 3


def test_nothing_is_charged_before_it_is_asked_for(project):
    running = project.run()
    assert len(project.ledger.entries("people")) == 1
    next(running)
    assert len(project.ledger.entries("people")) == 3


def test_all_is_checked_before_the_first_charge(place, project):
    place.change("AVG(age)", "ARG_MAX(age, cost)")
    with pytest.raises(UnsupportedQuery, match=r"\[\[release\]\] ages: ARG_MAX has no private answer here"):
        list(Project.read(place.folder).run())
    assert len(project.ledger.entries("people")) == 1


def test_only_one(project):
    assert [item.release.name for item in project.run("ages")] == ["ages"]
    with pytest.raises(InvalidInput, match="there is no release 'agse'") as error:
        list(project.run("agse"))
    assert error.value.remedy == "Declared: people, by_ward, ages."


def test_what_stands_is_reused_when_more_is_asked(place, project):
    first = {item.release.name: (item.place / "release.json").read_bytes() for item in project.run()}
    place.toml.write_text(
        place.toml.read_text() + TOML[TOML.index("[[release]]") :].split("\n\n")[0].replace('"people"', '"more"')
    )
    done = list(Project.read(place.folder).run())
    assert [item.reused for item in done] == [True, True, True, False]
    assert {item.release.name: (item.place / "release.json").read_bytes() for item in done[:3]} == first


def test_another_version_of_the_data_is_another_question(place, project):
    list(project.run("ages"))
    place.change('version = "1"', 'version = "2"')
    assert [item.reused for item in Project.read(place.folder).run("ages")] == [False]


def test_a_run_that_does_not_fit_says_where_it_stopped(place):
    place.change("epsilon = 0.5", "epsilon = 0.4")
    place.change('AVG(age) AS age FROM visits"\nepsilon = 0.5', 'AVG(age) AS age FROM visits"\nepsilon = 5.0')
    project = Project.read(place.folder)
    assert [step.state for step in project.plan()] == ["new", "new", "refused"]
    done = []
    with pytest.raises(BudgetExceeded) as error:
        done.extend(project.run())
    assert "'ages'" in error.value.state
    assert len(project.releases("people")) == 2


def test_releases_that_are_gone_are_left_out(project):
    done = list(project.run())
    shutil.rmtree(done[0].place)
    assert [release.name for release in project.releases("people")] == ["by_ward", "ages"]


def test_a_release_that_was_altered_is_refused(project):
    done = list(project.run())
    record = done[0].place / "release.json"
    record.write_text(record.read_text().replace('"people"', '"poeple"', 1))
    with pytest.raises(InvalidInput):
        project.releases("people")


def test_a_report_of_nothing_can_be_written(project, tmp_path):
    written = project.write_report(tmp_path / "out")
    assert [path.name for path in written] == ["report.html", "report.md", "registry.json"]


def test_each_population_has_its_own_account_and_report(place, tmp_path):
    place.toml.write_text(TOML.replace("[[release]]", f"{SECOND}[[release]]", 1))
    project = Project.read(place.folder)
    opened = project.open(OwnerKey.read(project.key_path))
    assert [account.population for account in opened] == ["staff"], "what was open stays as it was"
    assert project.open(OwnerKey.read(project.key_path)) == []
    list(project.run())
    assert len(project.ledger.entries("staff")) == 1
    names = [path.name for path in project.write_report(tmp_path / "out")]
    assert names == [
        f"{file}-{name}.{end}"
        for name in ("people", "staff")
        for file, end in (("report", "html"), ("report", "md"), ("registry", "json"))
    ]
    assert json.loads((tmp_path / "out" / "registry-staff.json").read_text())


def test_steps_and_settings_are_frozen(project):
    with pytest.raises(dataclasses.FrozenInstanceError):
        project.settings.ledger = "elsewhere"
    with pytest.raises(dataclasses.FrozenInstanceError):
        project.plan()[0].state = "released"
