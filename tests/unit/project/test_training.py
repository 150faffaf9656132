"""[[release]] of kind train: read, planned without rows, run once, and taken up where it was."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from discreet.errors import BudgetExceeded, DataFailure, InvalidInput
from discreet.project import Project, Training
from discreet.project.training import trained
from discreet.train import PrivateClassifier, PrivateRegressor
from discreet.train.work import Work
from tests.docs.pages import DOCS
from tests.trainee import trainee


def change(place, old, new):
    place.change(old, new)
    return Project.read(place.folder)


def states(project):
    return [step.state for step in project.plan()]


def die_at(monkeypatch, step):
    """Let a training die before a step, as often as it is tried."""
    real = Work.take

    def take(self, batch):
        if batch.step == step:
            raise KeyboardInterrupt
        real(self, batch)

    monkeypatch.setattr(Work, "take", take)


# -------------------------------------------------------------------------------------------- read


def test_it_is_read(tmp_path):
    (release,) = Project.read(trainee(tmp_path, opened=False).folder).settings.releases
    assert release == Training(
        name="ward",
        table="visits",
        target="ward",
        epsilon=1.0,
        delta=1e-7,
        sample_rate=0.25,
        expected_batch_size=10.0,
        steps=12,
        features=["age", "cost"],
        purpose="Which ward",
    )
    assert release.why == "Which ward"
    assert replace(release, purpose="").why == "ward"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steps = 12", "step = 12", "unknown key 'step'. Did you mean 'steps'?"),
        ("steps = 12", "sql = 'SELECT 1'", "unknown key 'sql'."),
        ("steps = 12", 'steps = "12"', "steps must be a whole number, got '12'."),
        ('table = "visits"\n', "", "table is missing."),
        ("delta = 1e-7\nsample", "sample", "delta is missing."),
        ('features = ["age", "cost"]', 'features = "age"', "features must be a list, got 'age'."),
        ("steps = 12", "attempt = 0", "attempt must be a whole number of at least 1, got 0."),
        ('"train"', '"trian"', "kind must be \"sql\" or \"train\", got 'trian'. Did you mean 'train'?"),
    ],
)
def test_what_the_file_gets_wrong_is_said_with_its_place(tmp_path, old, new, said):
    place = trainee(tmp_path, opened=False)
    with pytest.raises(InvalidInput) as error:
        change(place, old, new)
    assert str(error.value).startswith(f"{place.toml}: [[release]] ward: {said}")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('table = "visits"', 'table = "visit"', "table names 'visit', which is not declared. Did you mean 'visits'?"),
        ('target = "ward"', 'target = "word"', "target names 'word', which is no column of 'visits'."),
        (
            'target = "ward"',
            'target = "name"',
            "the target 'name' is declared without bounds and with fewer than two keys",
        ),
        ('["age", "cost"]', '["age", "ward"]', "the feature 'ward' is the target, or says who a row is of."),
        ('["age", "cost"]', '["age", "id"]', "the feature 'id' is the target, or says who a row is of."),
        ('["age", "cost"]', '["age", "name"]', "the feature 'name' is declared without bounds and keys"),
        ('["age", "cost"]', '["age", "age"]', "the feature 'age' stands twice."),
        ('["age", "cost"]', '["old"]', "the feature 'old' is not a declared column."),
        ('["age", "cost"]', "[1]", "features must list columns, got [1]."),
        ("steps = 12", "hidden = [0]", "hidden must list the sizes of the hidden layers, got [0]."),
        ("steps = 12", "steps = 12\nepochs = 3", "epochs is 3.0 and steps is 12; one follows from the other."),
        ("sample_rate = 0.25", "sample_rate = 2.5", "sample_rate must "),
    ],
)
def test_what_cannot_be_trained_is_refused_by_the_plan(tmp_path, old, new, said):
    place = trainee(tmp_path, opened=False)
    project = change(place, old, new)
    with pytest.raises(InvalidInput) as error:
        project.plan()
    assert str(error.value).startswith(f"{place.toml}: [[release]] ward: {said}")
    assert "no data was read" in error.value.state


def test_a_measure_that_cannot_bound_it_is_named(tmp_path):
    project = change(trainee(tmp_path, opened=False), '"renyi"', '"zcdp"')
    with pytest.raises(
        InvalidInput, match=r"\[\[release\]\] ward: the account 'people' is measured in zcdp, in which no"
    ):
        project.plan()


def test_tables_that_cannot_be_trained_on(tmp_path):
    place = trainee(tmp_path, opened=False)
    place.toml.write_text(
        place.toml.read_text()
        + '[table.wards]\nsource = "w.csv"\nversion = "1"\npublic = true\n'
        + '[table.lines]\nsource = "l.parquet"\nversion = "1"\npopulation = "people"\nperson = "who"\n'
        + '[table.lines.columns]\nwho = { type = "integer" }\n'
    )
    declared = Project.read(place.folder).settings.tables
    for name, said in (
        ("wards", "is public; a model of it needs no privacy"),
        ("lines", "do not hold the column 'id'"),
    ):
        with pytest.raises(InvalidInput, match=said):
            trained(name, declared)


@pytest.mark.parametrize(
    ("target", "kind"), [("ward", PrivateClassifier), ("age", PrivateRegressor), ("cost", PrivateRegressor)]
)
def test_the_target_says_what_is_trained(tmp_path, target, kind):
    project = Project.read(trainee(tmp_path, opened=False).folder)
    release = replace(project.settings.releases[0], target=target, features=None)
    estimator = release.estimator(project.settings.tables["visits"].domain)
    assert type(estimator) is kind
    assert (estimator.steps, estimator.hidden, estimator.learning_rate) == (12, (), 0.2)


# -------------------------------------------------------------------------------------------- plan


def test_a_plan_needs_neither_rows_nor_an_account(tmp_path):
    place = trainee(tmp_path, opened=False)
    place.data.unlink()
    (step,) = Project.read(place.folder).plan()
    assert (step.state, step.query, list(step.forecasts)) == ("new", None, [])
    assert step.plan.guarantee.epsilon <= 1.0
    assert step.cost.loss > 0
    assert step.plan.facts["steps"] == 12
    assert not (place.folder / "private").exists()


def test_rows_that_are_missing_are_not_paid_for(tmp_path):
    place = trainee(tmp_path)
    place.data.unlink()
    with pytest.raises(InvalidInput, match="cannot be read as Parquet"):
        list(Project.read(place.folder).run())
    assert place.kinds() == ["open"]


def test_without_a_training_torch_is_not_loaded(tmp_path):
    place = trainee(tmp_path, opened=False, alone=False)
    place.toml.write_text(place.toml.read_text().rpartition("[[release]]")[0])
    program = "import sys; from discreet.project import Project; Project.read(sys.argv[1]).plan(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, str(place.folder)], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_without_torch_the_extra_is_named(tmp_path):
    place = trainee(tmp_path, opened=False)
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from discreet.errors import MissingExtra; from discreet.project import Project\n"
        "try: Project.read(sys.argv[1]).plan()\nexcept MissingExtra as error: print(error.remedy)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(place.folder)], capture_output=True, text=True)
    assert done.stdout == 'Type: pip install "discreet[train]"\n', done.stderr


# --------------------------------------------------------------------------------------------- run


def test_it_runs_once(tmp_path):
    place = trainee(tmp_path)
    project = Project.read(place.folder)
    (planned,) = project.plan()
    (done,) = project.run()
    assert not done.reused
    assert done.place == place.folder / "releases" / "ward" / planned.request
    assert (done.place / "model.safetensors").is_file()
    assert not list((place.folder / "private").iterdir())
    assert (done.release.guarantee.unit.max_groups, done.release.guarantee.unit.max_rows) == (1, 2)
    assert states(project) == ["released"]
    (again,) = project.run()
    assert again.reused
    assert place.kinds() == ["open", "charge", "release"]
    assert [release.name for release in project.releases("people")] == ["ward"]


def test_how_the_table_was_read_stands_in_the_release(tmp_path):
    (done,) = Project.read(trainee(tmp_path).folder).run()
    about = done.release.facts["about"]
    assert about["estimator"] == "PrivateClassifier"
    assert (about["target"]["column"], about["target"]["keys"]) == ("ward", ["A", "B"])
    assert [(one["column"], one["low"], one["high"]) for one in about["features"]] == [
        ("age", 0, 100),
        ("cost", 0.0, 500.0),
    ]
    ours = {name for name, how in about["provenance"].items() if how == "default of discreet"}
    assert ours == {"hidden", "max_grad_norm", "learning_rate"}  # steps were given
    loaded = PrivateClassifier.load(done.release)
    assert loaded.features_ == ["age", "age is NULL", "cost", "cost is NULL"]
    assert loaded.features == ["age", "cost"]


def test_an_interrupted_training_goes_on_without_a_charge(tmp_path, monkeypatch):
    place = trainee(tmp_path)
    project = Project.read(place.folder)
    with monkeypatch.context() as patch:
        die_at(patch, 5)
        with pytest.raises((KeyboardInterrupt, DataFailure)):
            list(project.run())
    (step,) = project.plan()
    assert (step.state, step.cost.loss) == ("begun", 0)
    list(project.run())
    assert place.kinds() == ["open", "charge", "release"]
    assert states(project) == ["released"]


def test_a_training_whose_folder_is_gone_needs_another_attempt(tmp_path, monkeypatch):
    place = trainee(tmp_path)
    project = Project.read(place.folder)
    with monkeypatch.context() as patch:
        die_at(patch, 5)
        with pytest.raises((KeyboardInterrupt, DataFailure)):
            list(project.run())
    shutil.rmtree(place.folder / "private")
    for _ in range(2):  # what the refusal leaves in the folder does not pass for the run
        assert states(project) == ["charged"]
        with pytest.raises(InvalidInput) as error:
            list(project.run())
        assert error.value.what.startswith("the release 'ward' was charged on ")
        assert "attempt = 2 in [[release]] ward" in error.value.remedy
    again = change(place, 'name = "ward"', 'name = "ward"\nattempt = 2')
    list(again.run())
    assert place.kinds() == ["open", "charge", "charge", "release"]


def test_a_failure_says_how_to_go_on(tmp_path, monkeypatch):
    place = trainee(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("discreet.train.step.Step.take", lambda *_: 1 / 0)
        with pytest.raises(DataFailure) as error:
            list(Project.read(place.folder).run())
    assert "make_private" not in error.value.remedy
    assert "Run it again: it goes on from there without a new charge." in error.value.remedy


def test_what_the_account_does_not_hold_is_refused(tmp_path):
    place = trainee(tmp_path)
    project = change(place, "epsilon = 1.0\ndelta = 1e-7\nsample", "epsilon = 50.0\ndelta = 1e-7\nsample")
    assert states(project) == ["refused"]
    with pytest.raises(BudgetExceeded):
        list(project.run())
    assert place.kinds() == ["open"]
    assert not list((place.folder / "private").iterdir())


# -------------------------------------------------------------------------------------------- docs

KIND = re.compile(r"```toml\n(\[\[release\]\][^`]*?kind = \"train\"[^`]*)```")


def test_the_reference_lists_the_known_keys(tmp_path):
    text = (DOCS / "reference" / "toml.md").read_text(encoding="utf-8")
    section = text.partition('## [[release]] with kind = "train"')[2]
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    with pytest.raises(InvalidInput) as error:
        change(trainee(tmp_path, opened=False), "steps = 12", "qqqq = 1")
    known = set(error.value.remedy.removeprefix("Known: ").rstrip(".").split(", "))
    assert {key for cell in rows for key in re.findall(r"`(\w+)`", cell)} == known - {"kind"}


@pytest.mark.parametrize("page", ["reference/toml.md", "how-to/train-on-a-table.md"])
def test_what_the_docs_show_can_be_planned(tmp_path, page):
    (release,) = KIND.findall((DOCS / page).read_text(encoding="utf-8"))
    place = trainee(tmp_path, opened=False)
    text = place.toml.read_text().partition("[[release]]")[0].replace("table.visits", "table.stays")
    columns = 'back = { type = "boolean" }\n'
    name = "visits" if "visits" in release else "stays"
    place.toml.write_text(text.replace("table.stays", f"table.{name}").rstrip() + f"\n{columns}\n{release}")
    place.data.unlink()
    (step,) = Project.read(place.folder).plan()
    assert step.state == "new"
