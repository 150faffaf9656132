"""Training from the command line: planned, asked for, killed, taken up, and told like any other release."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tests.clinic import answer
from tests.e2e.test_cli import check
from tests.trainee import trainee

from discreet import train
from discreet.cli.app import run
from discreet.project import Project
from discreet.train.work import Work

MODEL = ("visits", "ward", "--epsilon", "1", "--delta", "1e-7", "--sample-rate", "0.25", "--expected-batch-size", "10")
STEPS, SAVED = 60, 10
PROGRAM = (  # the program, but that it saves its trainings more often: a hundred steps take their time
    "from discreet import train; from discreet.cli import main\n"
    f"train.make_private.__kwdefaults__['checkpoint_every'] = {SAVED}; main()"
)


@pytest.fixture
def place(tmp_path):
    return trainee(tmp_path / "clinic")


def started(folder):
    """Start `discreet run` in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, "run", folder, "--yes"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def steps_kept(folder):
    """Return how many steps the run in the private folder has noted."""
    return sum(path.stat().st_size // 16 for path in folder.glob("private/*/trace"))


def test_a_run_that_is_killed_goes_on_without_a_second_charge(tmp_path, capsys, monkeypatch):
    place = trainee(tmp_path / "clinic", steps=STEPS)
    with started(place.folder) as process:
        while process.poll() is None and steps_kept(place.folder) <= SAVED + 2:
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -9, process.stderr
    assert place.kinds() == ["open", "charge"]
    _, planned = answer(capsys, "plan", place.folder)
    assert planned["releases"][0]["state"] == "begun"
    assert planned["releases"][0]["cost"] == {"loss": 0, "delta": 0}
    (kept,) = place.folder.glob("private/*/checkpoint.safetensors")
    with safe_open(kept, "pt") as file:
        saved = json.loads(file.metadata()["facts"])["step"]
    taken, real = [], Work.take
    monkeypatch.setattr(Work, "take", lambda self, batch: (taken.append(batch.step), real(self, batch)))
    code, done = answer(capsys, "run", place.folder, "--yes")
    assert code == 0
    assert done["releases"][0]["reused"]  # it was paid for before
    assert saved >= SAVED
    assert taken == list(range(saved, STEPS))
    assert place.kinds() == ["open", "charge", "release"]
    assert (Path(done["releases"][0]["folder"]) / "model.safetensors").is_file()
    assert not list((place.folder / "private").iterdir())


def test_plan_and_run_beside_questions_in_sql(tmp_path, capsys):
    place = trainee(tmp_path / "clinic", steps=60, alone=False)
    code, planned = answer(capsys, "plan", place.folder)
    assert code == 0
    check(planned, "discreet plan")
    assert [item["kind"] for item in planned["releases"]] == ["sql", "sql", "sql", "train"]
    assert planned["releases"][3]["sql"] is None
    code, done = answer(capsys, "run", place.folder, "--yes")
    assert code == 0
    check(done, "discreet run")
    assert [item["entry"]["request"] for item in done["releases"]] == [item["request"] for item in planned["releases"]]
    capsys.readouterr()
    assert run(["plan", str(place.folder)]) == 0
    told = capsys.readouterr().out
    assert "ward: 10 numbers are trained in 60 steps" in told
    assert "How good the model will be is not known beforehand" in told
    assert run(["run", str(place.folder), "--yes"]) == 0
    assert "0 charged, 4 re-used" in capsys.readouterr().out
    code, found = answer(capsys, "explain", place.folder)
    assert code == 0
    names = sorted(Path(path).name for path in found["written"])
    assert names == ["model-card-ward.md", "registry.json", "report.html", "report.md"]
    report = place.folder / "report"
    assert "# Which ward: model card" in (report / "model-card-ward.md").read_text()
    assert "Which ward" in (report / "report.html").read_text()
    code, audited = answer(capsys, "audit", "release", done["releases"][3]["folder"])
    assert (code, audited["verdict"]) == (0, "consistent")


def test_train(place, capsys):
    asked = [
        place.folder,
        *MODEL,
        "--steps",
        "8",
        "--feature",
        "age",
        "--hidden",
        "3",
        "--name",
        "m",
        "--purpose",
        "why",
    ]
    code, price = answer(capsys, "train", *asked, "--cost")
    assert code == 0
    check(price, "discreet train")
    assert (price["steps"], price["parameters"], price["affordable"]) == (8, 2 * 3 + 3 + 3 * 2 + 2, True)
    assert place.kinds() == ["open"]
    code, trained = answer(capsys, "train", *asked, "--yes")
    assert code == 0
    check(trained, "discreet train")
    assert not trained["reused"]
    assert trained["guarantee"] == price["guarantee"]
    _, book = answer(capsys, "ledger", "show", place.folder)
    charge = book["accounts"][0]["entries"][1]
    assert charge["cost"] == [price["cost"]["loss"], price["cost"]["delta"]]
    assert charge["purpose"].startswith("why [run ")
    capsys.readouterr()
    assert run(["train", *map(str, asked)]) == 0
    assert capsys.readouterr().out.startswith("Trained before, as entry 1 of 'people'; nothing was spent.\n")
    code, again = answer(capsys, "train", *asked)  # no --yes: nothing is spent, so nobody is asked
    assert (code, again["reused"], again["entry"]) == (0, True, trained["entry"])


def test_train_costs_before_there_is_data_or_an_account(tmp_path, capsys):
    place = trainee(tmp_path, opened=False)
    place.data.unlink()
    capsys.readouterr()
    assert run(["train", str(place.folder), *MODEL, "--cost"]) == 0
    told = capsys.readouterr().out
    assert "'people' is not open yet" in told
    assert "Nothing was spent and no data was read." in told
    assert "How good the model will be is not known beforehand" in told


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ((), 2, "add --yes"),
        (("--epsilon", "60", "--yes"), 3, "BudgetExceeded"),
        (("--attempt", "0", "--yes"), 1, "attempt must be a whole number of at least 1"),
        (("--steps", "5", "--epochs", "5", "--yes"), 1, "one follows from the other"),
        (("--feature", "nme", "--yes"), 1, "the feature 'nme' is not a declared column"),
        (("--name", "../x", "--yes"), 1, "a release's name is"),
    ],
)
def test_train_refuses_with_the_exit_code_of_the_others(place, capsys, more, code, said):
    capsys.readouterr()
    assert run(["train", str(place.folder), *MODEL, *more]) == code
    assert said in capsys.readouterr().err
    assert place.kinds() == ["open"]


def test_the_progress_line_says_what_is_paid(place, capsys, monkeypatch):
    capsys.readouterr()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert run(["train", str(place.folder), *MODEL, "--steps", "4", "--yes"]) == 0
    assert "step 4 of 4; paid for the whole run: ε = 1 at δ = 1e-07\n" in capsys.readouterr().err


def test_a_model_of_ones_own_is_told_beside_the_others(place, capsys):
    project = Project.read(place.folder)
    rows = project.dataset_to_train("visits")
    net = torch.nn.Linear(1, 2)
    run_ = train.make_private(
        rows,
        train.DPSGD(
            sample_rate=0.25,
            expected_batch_size=10,
            steps=60,
            max_grad_norm=1.0,
            relation=rows.unit.relation,
        ).calibrate(1.0, 1e-7),
        model=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        loss=lambda model, batch: torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none"),
        example=(torch.randn(4, 1), torch.tensor([0, 1, 1, 0])),
        collate=lambda table: (
            torch.tensor([[(age.as_py() or 0) / 100] for age in table["age"]]),
            torch.tensor([int(ward.as_py() == "A") for ward in table["ward"]]),
        ),
        name="mine",
        private=place.folder / "private",
        facts={"row": "one visit"},
    )
    run_.fit()
    release = run_.finish()
    assert release.guarantee.unit.max_rows == 2
    capsys.readouterr()
    assert run(["explain", str(place.folder)]) == 0
    card = (place.folder / "report" / "model-card-mine.md").read_text()
    assert "The first 2 rows of each take part, together." in card
    assert "What one row holds: one visit (the owner’s word)" in card


def test_an_interrupted_training_says_that_it_went_on(place, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Work, "checkpoint", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(["train", str(place.folder), *MODEL, "--steps", "4", "--yes"]) == 130
        assert "A training goes on where it was when it is run again." in capsys.readouterr().err
    assert run(["train", str(place.folder), *MODEL, "--steps", "4"]) == 0  # without --yes: nothing is spent
    assert "Gone on with what was paid for, as entry 1 of 'people'; nothing was spent." in capsys.readouterr().out
    assert place.kinds() == ["open", "charge", "release"]
