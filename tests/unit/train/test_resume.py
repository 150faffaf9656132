"""An interrupted run goes on where it stood, bit by bit, without a new charge; or says why it cannot."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch import nn

from discreet.errors import DataFailure, InvalidInput
from discreet.testing import with_fixed_randomness
from discreet.train import state as states
from tests.training import STEPS, bits, dataset, loss, model, rows, start


@pytest.fixture
def data(tmp_path):
    return dataset(tmp_path)


def charges(data):
    return [entry for entry in data.ledger.entries("people") if entry.kind == "charge"]


def taken(run, steps):
    for _, batch in zip(range(steps), run.loader, strict=False):
        run.step(batch)


def with_dropout():
    net = model()
    net.insert(1, nn.Dropout(0.3))
    return net


def parts(kind):
    """Return a model with its optimiser and scheduler: all that a run has to keep."""
    net = with_dropout()
    if kind == "adam":
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.05, amsgrad=True)
        return {
            "model": net,
            "optimizer": optimizer,
            "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9),
        }
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9, nesterov=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    return {"model": net, "optimizer": optimizer, "scheduler": rate}


@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize("every", [1, 5, 100])
def test_it_goes_on_bit_by_bit(tmp_path, kind, every):
    whole = start(with_fixed_randomness(dataset(tmp_path / "a"), seed=2), tmp_path / "a", **parts(kind))
    whole.fit()
    data = with_fixed_randomness(dataset(tmp_path / "b"), seed=2)
    for steps in (0, 3, 4, 1, STEPS):
        run = start(data, tmp_path / "b", checkpoint_every=every, **parts(kind))
        taken(run, steps)
        run.close()  # as a crash would leave it: what was not saved is gone
    run = start(data, tmp_path / "b", checkpoint_every=every, **parts(kind))
    run.fit()
    assert bits(run.model) == bits(whole.model)
    assert len(charges(data)) == 1
    release = run.finish()
    assert release.facts["steps_taken"] == STEPS
    assert release.files == whole.finish().files


def test_the_weights_that_are_kept_count_and_not_those_of_the_new_script(data, tmp_path):
    run = start(data, tmp_path)
    taken(run, 2)
    run.close()
    net = model()
    nn.init.zeros_(net[0].weight)
    run = start(data, tmp_path, model=net, checkpoint_every=100)
    assert run.steps_taken == 0
    assert bits(run.model) == bits(model())


def test_what_was_never_charged_is_begun_anew(data, tmp_path, monkeypatch):
    def full(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(data), "borrow", full)
        with pytest.raises(KeyboardInterrupt):
            start(data, tmp_path)
    (kept,) = (tmp_path / "private").glob("*/begun.json")
    before = json.loads(kept.read_text())["key"]
    start(data, tmp_path).close()
    assert json.loads(kept.read_text())["key"] != before
    assert len(charges(data)) == 1


def test_without_what_was_kept_a_charged_run_is_refused(data, tmp_path):
    start(data, tmp_path).close()
    shutil.rmtree(tmp_path / "private")
    with pytest.raises(InvalidInput, match="never released"):
        start(data, tmp_path)
    start(data, tmp_path, attempt=2)
    assert len(charges(data)) == 2


def test_another_key_does_not_take_the_charge_up(data, tmp_path):
    """Two keys for one charge would be two draws of noise for one."""
    start(data, tmp_path).close()
    (kept,) = (tmp_path / "private").glob("*/begun.json")
    begun = json.loads(kept.read_text())
    kept.write_text(json.dumps(begun | {"key": "00" * 32}))
    with pytest.raises(InvalidInput, match="never released"):
        start(data, tmp_path)


@pytest.mark.parametrize("changes", [{"microbatch": 5}], ids=["microbatch"])
def test_other_settings_are_refused(data, tmp_path, changes):
    start(data, tmp_path).close()
    with pytest.raises(InvalidInput, match=r"other settings: microbatch \(4 then, 5 now\)"):
        start(data, tmp_path, **changes)


def test_another_number_of_threads_is_refused(data, tmp_path, monkeypatch):
    start(data, tmp_path).close()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    with pytest.raises(InvalidInput, match=r"threads \(\d+ then, 77 now\)"):
        start(data, tmp_path)


def test_a_step_that_comes_out_otherwise_is_found_out(tmp_path):
    data = dataset(tmp_path)
    run = start(data, tmp_path)
    taken(run, 4)
    run.close()
    inputs, labels = rows()
    object.__setattr__(data, "source", (inputs + 1.0, labels))  # the rows changed, and their version did not
    run = start(data, tmp_path)
    with pytest.raises(DataFailure, match="came out otherwise than before"):
        run.fit()
    with pytest.raises(InvalidInput, match="the run was closed"):
        run.finish()


@pytest.mark.parametrize("name", [states.BEGUN, states.CHECKPOINT])
def test_a_damaged_file_is_refused(data, tmp_path, name):
    start(data, tmp_path).close()
    (kept,) = (tmp_path / "private").glob(f"*/{name}")
    kept.write_bytes(kept.read_bytes()[:-20])
    with pytest.raises(InvalidInput, match="cannot be read"):
        start(data, tmp_path)


def test_what_is_kept_is_the_owners_alone(data, tmp_path):
    run = start(data, tmp_path)
    taken(run, 2)
    (folder,) = (path for path in (tmp_path / "private").iterdir() if path.is_dir())
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    run.fit()
    run.finish()
    assert list((tmp_path / "private").iterdir()) == []


def test_a_full_disk_closes_the_run_and_it_goes_on(data, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    run = start(data, tmp_path)
    taken(run, 3)
    with monkeypatch.context() as patch:
        patch.setattr(states.State, "note", full)
        with pytest.raises(DataFailure, match=r"cannot be kept in .*: No space left"):
            run.fit()
    run = start(data, tmp_path)
    run.fit()
    assert run.finish().facts["steps_taken"] == STEPS
    assert len(charges(data)) == 1


def test_an_interrupt_closes_the_run_and_it_goes_on(data, tmp_path):
    left = []

    def interrupted(net, batch):
        if left and left.pop() == 1:
            raise KeyboardInterrupt
        return loss(net, batch)

    run = start(data, tmp_path, loss=interrupted, checkpoint_every=1)
    left += range(1, 20)
    with pytest.raises(KeyboardInterrupt):
        run.fit()
    assert run.steps_taken < STEPS
    run = start(data, tmp_path, loss=interrupted, checkpoint_every=1)
    run.fit()
    assert run.steps_taken == STEPS
    assert len(charges(data)) == 1
