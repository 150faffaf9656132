"""An interrupted run goes on where it stood, bit by bit, without a new charge; or says why it cannot."""

from __future__ import annotations

import json
import shutil

import pyarrow.compute as pc
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from discreet import train
from discreet.errors import DataFailure, InvalidInput
from discreet.testing import with_fixed_randomness
from discreet.train import state as states
from tests.training import EXAMPLE, STEPS, bits, dataset, loss, model, rows, start


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


def test_what_a_failed_step_left_is_not_to_be_had(tmp_path):
    """The model would hold the second outcome of one noise: less the first, it is a sum without any."""
    data = dataset(tmp_path)
    run = start(data, tmp_path, average=0.9)
    taken(run, 4)
    run.close()
    inputs, labels = rows()
    object.__setattr__(data, "source", (inputs + 1.0, labels))
    run = start(data, tmp_path, average=0.9)
    with pytest.raises(DataFailure):
        run.fit()
    assert all(parameter.isnan().all() for parameter in run.model.parameters())


def test_no_more_does_a_scheduler_that_fails_leave_it(data, tmp_path):
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)

    def failing(step):
        if step == 2:
            raise KeyboardInterrupt
        return 1.0

    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, failing)
    run = start(data, tmp_path, model=net, optimizer=optimizer, scheduler=rate)
    with pytest.raises(KeyboardInterrupt):
        run.fit()
    assert all(parameter.isnan().all() for parameter in net.parameters())
    assert not optimizer.state


class Watching(nn.Module):
    """Keeps what it saw last in buffers, one of them replaced, unless that is the example."""

    def __init__(self):
        super().__init__()
        self.inner = model()
        self.register_buffer("seen", torch.zeros(4))
        self.register_buffer("last", torch.zeros(1))

    def forward(self, x):
        if not torch.isin(x, EXAMPLE[0]).all():
            self.seen.copy_(x.detach().mean(0))
            self.last = x.detach()
        return self.inner(x)


def test_what_a_pass_left_in_a_buffer_is_in_no_checkpoint_and_no_release(data, tmp_path):
    run = start(data, tmp_path, model=Watching(), checkpoint_every=1)
    taken(run, 3)
    assert torch.equal(run.model.seen, torch.zeros(4))
    run.close()
    (path,) = (tmp_path / "private").glob(f"*/{states.CHECKPOINT}")
    held = load_file(path)
    assert torch.equal(held["model/seen/"], torch.zeros(4))
    run = start(data, tmp_path, model=Watching(), checkpoint_every=1)
    run.fit()
    release = run.finish()
    found = train.load(release, Watching())
    assert torch.equal(found.seen, torch.zeros(4))
    assert torch.equal(found.last, torch.zeros(1))
    assert release.value.filter(pc.equal(release.value["tensor"], "last"))["shape"].to_pylist() == ["1"]


def test_a_frozen_parameter_that_moved_is_not_released(data, tmp_path):
    class Moving(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model()
            self.inner[0].bias.requires_grad_(False)

        def forward(self, x):
            if not torch.isin(x, EXAMPLE[0]).all():
                self.inner[0].bias.data.copy_(x.detach().mean() + self.inner[0].bias)
            return self.inner(x)

    run = start(data, tmp_path, model=Moving())
    run.fit()
    with pytest.raises(DataFailure):
        run.finish()


def test_every_bit_of_a_model_is_in_its_mark():
    net, stream = nn.Linear(64, 64), train.Keystream(bytes(32))
    before, marks = net.weight.detach().clone(), set()
    for place in range(300):
        with torch.no_grad():
            net.weight.copy_(before)
            at = (place % 64, place // 64)
            net.weight[at] = torch.nextafter(net.weight[at], torch.tensor(9.0))
        marks.add(states.mark(net, stream))
    with torch.no_grad():
        net.weight.copy_(before)
        net.weight[0, :2] = before[0, :2].flip(0)
    marks |= {states.mark(net, stream), states.mark(net, train.Keystream(bytes(31) + b"1"))}
    assert len(marks) == 302


def test_half_a_note_is_written_over(tmp_path):
    state = states.State(tmp_path)
    state.note(0, 7)
    with (tmp_path / states.TRACE).open("ab") as file:
        file.write(b"torn")
    state.note(1, 8)
    assert state.noted() == {0: 7, 1: 8}


def test_evaluation_may_switch_dropout_off(tmp_path):
    found = []
    for place, evaluate in (("a", None), ("b", lambda net: net.eval())):
        data = with_fixed_randomness(dataset(tmp_path / place), seed=2)
        run = start(data, tmp_path / place, model=with_dropout())
        run.fit(evaluate=evaluate, evaluate_every=2)
        found.append(bits(run.model))
    assert found[0] == found[1]


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
