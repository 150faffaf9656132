"""A run does what its plan says, is charged once before a row is read, and refuses what would make it another run."""

from __future__ import annotations

import json
import traceback

import numpy as np
import pyarrow
import pytest
import torch
from torch import nn

from discreet import PrivacyUnit, Relation, train
from discreet.domains import Domain
from discreet.errors import BudgetExceeded, DataFailure, InvalidInput
from discreet.release import Release
from discreet.testing import with_fixed_randomness
from discreet.train.released import TENSORS
from discreet.train.rows import Rows
from tests.training import EXAMPLE, ROWS, STEPS, bits, dataset, ledger, loss, model, plan, rows, start


@pytest.fixture
def data(tmp_path):
    return dataset(tmp_path)


def charges(data):
    return [entry for entry in data.ledger.entries("people") if entry.kind == "charge"]


# -------------------------------------------------------------------------------------- what it does


def by_hand(key, settings):
    """Take the same steps with plain autograd, one example at a time."""
    net, stream = model(), train.Keystream(key)
    noise = train.KeyedNoise(stream, settings.correlation)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    inputs, labels = rows()
    for step in range(settings.steps):
        sums = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
        for i in settings.drawn_by.batch(stream, step, units=ROWS, steps=settings.steps):
            value = loss(net, (inputs[i : i + 1], labels[i : i + 1])).sum()
            found = dict(zip(sums, torch.autograd.grad(value, list(net.parameters())), strict=True))
            norm = torch.cat([g.flatten() for g in found.values()]).double().norm().item()
            for name, gradient in found.items():
                sums[name] += gradient * min(1.0, settings.max_grad_norm / norm)
        for name, parameter in net.named_parameters():
            fresh = noise.standard(step, name, parameter.numel()).view(parameter.shape)
            parameter.grad = (sums[name] + settings.noise_std * fresh) / settings.expected_batch_size
        optimizer.step()
    return net


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sample_rate": 1e-9},  # every batch is empty: a step all the same
        {"sample_rate": None, "sampler": train.Cyclic(0.5, 3), "correlation": train.BandedRoot(3)},
        {"sample_rate": None, "sampler": train.FixedSize(7), "records": ROWS, "relation": Relation.REPLACE_ONE},
    ],
    ids=["poisson", "empty", "correlated", "fixed"],
)
def test_it_takes_the_steps_of_its_plan(tmp_path, changes):
    settings = plan(**changes)
    unit = PrivacyUnit(relation=settings.relation)
    run = start(dataset(tmp_path, unit=unit), tmp_path, plan=settings)
    (kept,) = (tmp_path / "private").glob("*/begun.json")
    key = bytes.fromhex(json.loads(kept.read_text())["key"])
    run.fit()
    wanted = by_hand(key, settings)
    for ours, theirs in zip(run.model.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)
    assert run.steps_taken == STEPS


def test_micro_batches_change_nothing_but_roundings(tmp_path):
    found = []
    for size in (1, 7, 64):
        data = with_fixed_randomness(dataset(tmp_path / str(size)), seed=1)
        run = start(data, tmp_path / str(size), microbatch=size)
        run.fit()
        found.append(run.model)
    for other in found[1:]:
        for ours, theirs in zip(found[0].parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_two_runs_share_no_randomness(tmp_path):
    found = []
    for place in ("a", "b"):
        run = start(dataset(tmp_path / place), tmp_path / place)
        run.fit()
        found.append(bits(run.model))
    assert found[0] != found[1]


# ------------------------------------------------------------------------------- charge and release


class Spy:
    """Rows that note what the ledger held when they were read."""

    def __init__(self, data):
        self.inputs, self.labels = rows()
        self.data, self.seen = data, []

    def __len__(self):
        self.seen.append(len(charges(self.data)))
        return len(self.inputs)

    def __getitem__(self, i):
        self.seen.append(len(charges(self.data)))
        return self.inputs[i], self.labels[i]


def test_it_is_charged_once_and_before_a_row_is_read(data, tmp_path):
    spy = Spy(data)
    object.__setattr__(data, "source", spy)
    run = start(data, tmp_path)
    run.fit()
    run.finish()
    assert set(spy.seen) == {1}
    assert [entry.kind for entry in data.ledger.entries("people")][-2:] == ["charge", "release"]
    assert data.ledger.spent("people").epsilon >= run.guarantee.epsilon


def test_the_release_holds_the_model_and_what_it_cost(data, tmp_path):
    run = start(data, tmp_path)
    run.fit()
    release = run.finish()
    assert release.guarantee == run.guarantee
    assert release.guarantee.epsilon == plan().epsilon(1e-5).upper
    assert release.event == plan().event
    assert release.value["tensor"].to_pylist() == ["0.weight", "0.bias", "2.weight", "2.bias"]
    again = Release.read(next((tmp_path / "releases" / "m").iterdir()))
    assert bits(train.load(again, model())) == bits(run.model)
    assert not list((tmp_path / "private").glob("*/*"))


def test_a_finished_run_is_answered_from_its_release(data, tmp_path):
    first = start(data, tmp_path)
    first.fit()
    release = first.finish()
    again = start(data, tmp_path)
    again.fit()
    assert again.finish().to_dict() == release.to_dict()
    assert bits(again.model) == bits(first.model)
    assert len(charges(data)) == 1
    with pytest.raises(InvalidInput, match="the run is finished"):
        again.step(None)


def test_a_run_may_stop_early_and_has_paid_for_all(data, tmp_path):
    run = start(data, tmp_path)
    for _, batch in zip(range(3), run.loader, strict=False):
        run.step(batch)
    release = run.finish()
    assert release.facts["steps_taken"] == 3
    assert release.guarantee.epsilon == plan().epsilon(1e-5).upper


def test_what_a_pass_leaves_in_the_model_is_not_released(data, tmp_path):
    """The check refuses a buffer that moves on the example; this one moves on private rows alone."""

    class Sly(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model()
            self.register_buffer("seen", torch.zeros(4))

        def forward(self, x):
            if not any(torch.equal(x[:1], row[None]) for row in EXAMPLE[0]):
                self.seen = x.detach().sum(0)
            return self.inner(x)

    run = start(data, tmp_path, model=Sly())
    run.fit()
    release = run.finish()
    assert torch.equal(train.load(release, Sly()).seen, torch.zeros(4))
    assert torch.equal(run.model.seen, torch.zeros(4))


def test_tied_and_frozen_tensors_are_released(data, tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model()
            self.again = self.inner[0]
            self.inner[2].bias.requires_grad_(False)

        def forward(self, x):
            return self.inner(x) + self.again(x)[:, :2]

    net = Tied()
    run = start(data, tmp_path, model=net)
    run.fit()
    found = train.load(run.finish(), Tied())
    assert bits(found) == bits(net)
    assert torch.equal(net.inner[2].bias, Tied().inner[2].bias)
    assert not torch.equal(net.again.weight, Tied().again.weight)


def test_the_average_is_what_its_steps_make_of_it(data, tmp_path):
    run = start(data, tmp_path, average=0.8)
    mean = [p.detach().clone() for p in run.model.parameters()]
    for batch in run.loader:
        run.step(batch)
        keep = min(0.8, (1 + batch.step) / (10 + batch.step))
        mean = [keep * old + (1 - keep) * new.detach() for old, new in zip(mean, run.model.parameters(), strict=True)]
    last = bits(run.model)
    found = train.load(run.finish(), model())
    for ours, wanted in zip(found.parameters(), mean, strict=True):
        torch.testing.assert_close(ours.detach(), wanted, rtol=1e-5, atol=1e-6)
    assert bits(run.model) == bits(found) != last


def test_a_model_of_another_shape_is_refused(data, tmp_path):
    release = start(data, tmp_path).finish()
    with pytest.raises(InvalidInput, match=r"differs in '2\.weight'"):
        train.load(release, nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)))
    assert release.files.keys() == {TENSORS}


# ------------------------------------------------------------------------------------------ sources


def read_by(tmp_path, source, unit=None, domain=None, **changes):
    unit = unit or PrivacyUnit()
    data = dataset(tmp_path, source, unit=unit, domain=domain or Domain())
    run = start(with_fixed_randomness(data, seed=4), tmp_path, **changes)
    run.fit()
    return bits(run.model)


def test_all_kinds_of_sources_give_the_same(tmp_path):
    inputs, labels = rows()
    table = pyarrow.table({**{f"x{i}": inputs[:, i].numpy() for i in range(4)}, "y": labels.numpy()})
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(table, path)

    def collate(some):
        columns = [torch.from_numpy(some[f"x{i}"].to_numpy()) for i in range(4)]
        return torch.stack(columns, 1), torch.from_numpy(some["y"].to_numpy())

    whole = read_by(tmp_path / "0", (inputs, labels))
    assert read_by(tmp_path / "1", torch.utils.data.TensorDataset(inputs, labels)) == whole
    assert read_by(tmp_path / "2", table, collate=collate) == whole
    assert read_by(tmp_path / "3", path, collate=collate) == whole


def by_name(net, batch):
    return loss(net, (batch["x"], batch["y"]))


def test_of_a_person_the_first_row_counts(tmp_path):
    inputs, labels = rows()
    who = torch.arange(ROWS) // 2
    unit = PrivacyUnit(column="who", max_groups=1)
    told = {"loss": by_name, "example": {"x": EXAMPLE[0], "y": EXAMPLE[1]}}
    every = {"x": inputs, "y": labels, "who": who}
    first = {name: column[::2] for name, column in every.items()}
    domain = Domain(who="integer")
    assert read_by(tmp_path / "0", every, unit, domain, **told) == read_by(tmp_path / "1", first, unit, domain, **told)


@pytest.mark.parametrize(
    "ids",
    [
        ["a", None, "b", "a", None],
        [1, None, 2, 1, None],
        [0.0, float("nan"), 2.0, -0.0, None],
        pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, None, 1, 2, 3]), pyarrow.array(["a", "b", "a", None])),
    ],
    ids=["text", "integer", "float", "dictionary"],
)
def test_a_row_of_nobody_counts_for_nobody(ids):
    """Else all of them would be one person, and which of them counts would depend on the others."""
    table = pyarrow.table({"who": ids, "x": [10, 11, 12, 13, 14]})
    found = Rows(table, lambda some: some["x"].to_pylist(), "who")
    assert len(found) == 2
    assert found.batch(np.arange(2)) == [10, 12]


# ------------------------------------------------------------------------------------------ refusals


class Mixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = model()

    def forward(self, x):
        return self.inner(x - x.mean(0))


def mean_loss(net, batch):
    return loss(net, batch).mean()


def other_optimizer(net):
    return torch.optim.SGD(list(net.parameters())[:2], lr=0.1)


def plateau(optimizer):
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)


def one_cycle(optimizer):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=5)


def strange_optimizer(net):
    return torch.optim.SGD([*net.parameters(), nn.Parameter(torch.zeros(3))], lr=0.1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"plan": plan(noise_multiplier=None)}, "has no noise_multiplier"),
        ({"plan": plan(delta=None)}, "has no delta"),
        ({"plan": plan(relation=Relation.ZERO_OUT)}, "neighbours by zero_out"),
        ({"plan": "DPSGD"}, "plan must be a DPSGD"),
        ({"clip": train.Flat(0.6)}, r"up to 0\.6, and the plan's noise hides 0\.5"),
        ({"loss": mean_loss}, "one number for each example"),
        ({"model": Mixing()}, "changes by .* with the other examples"),
        ({"model": nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))}, "BatchNorm"),
        ({"optimizer": other_optimizer}, r"does not have the trainable parameter '2\.weight' \(2 in all\)"),
        ({"optimizer": strange_optimizer}, "1 parameters that are not the model's"),
        ({"optimizer": lambda net: torch.optim.LBFGS(net.parameters())}, "LBFGS is no optimizer"),
        ({"microbatch": 0}, "microbatch must be a whole number"),
        ({"checkpoint_every": 0}, "checkpoint_every must be a whole number"),
        ({"average": 1.0}, "average must be a number from 0"),
        ({"scheduler": plateau}, "ReduceLROnPlateau looks at a loss"),
        ({"scheduler": one_cycle}, "the scheduler is for 5 steps, and the plan has 12"),
        ({"example": (EXAMPLE[0].double(), EXAMPLE[1])}, "not like those of `example`"),
        ({"example": [*EXAMPLE]}, "not like those of `example`"),
        ({"example": (EXAMPLE[0][:, :3], EXAMPLE[1])}, "not like those of `example`"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_it_is_refused_before_anything_is_spent(data, tmp_path, changes, says):
    net = changes.get("model") or model()
    make = changes.get("optimizer")
    changed = {**changes, "model": net} | ({"optimizer": make(net)} if make else {})
    if "scheduler" in changes:
        changed["optimizer"] = torch.optim.SGD(net.parameters(), lr=0.1)
        changed["scheduler"] = changes["scheduler"](changed["optimizer"])
    with pytest.raises(InvalidInput, match=says) as caught:
        start(data, tmp_path, **changed)
    assert "Nothing was" in str(caught.value)
    assert not charges(data)


@pytest.mark.parametrize(
    ("source", "changes", "says"),
    [
        (object(), {}, "has no records by number"),
        ((torch.zeros(3), 5), {}, "something beside tensors"),
        (pyarrow.table({"x": [1]}), {}, "collate is not given"),
        (tuple(part.numpy() for part in rows()), {}, "of something else than tensors"),
        (rows()[0].numpy(), {}, "has no records by number"),
        (None, {"unit": PrivacyUnit(max_rows=2)}, "2 rows each, and nothing says which"),
        (
            {"who": torch.ones(3)},
            {"unit": PrivacyUnit(column="who", max_groups=1), "domain": Domain(who="integer")},
            "rounded ones may be two",
        ),
        (
            None,
            {"unit": PrivacyUnit(column="who", max_groups=1), "domain": Domain(who="integer")},
            "no tensor of that name",
        ),
        (
            torch.utils.data.TensorDataset(*rows()),
            {"unit": PrivacyUnit(column="who", max_groups=1), "domain": Domain(who="integer")},
            "does not say whose",
        ),
    ],
)
def test_sources_that_cannot_be_trained_on_are_refused(tmp_path, source, changes, says):
    data = dataset(tmp_path, source, **changes)
    with pytest.raises(InvalidInput, match=says) as caught:
        start(data, tmp_path)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    held = [item for frame in frames if "/discreet/" in frame.filename for item in (frame.locals or {}).items()]
    assert not any("tensor([" in text or "array([" in text for name, text in held if name != "example")
    assert not charges(data)


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (torch.arange(ROWS)[:, None], "2 axes"),
        (torch.zeros(ROWS, 2, dtype=torch.long), "2 axes"),
        (torch.zeros(ROWS, dtype=torch.bool), "torch.bool"),
        (torch.zeros(ROWS, dtype=torch.complex64), "torch.complex64"),
        (pyarrow.array([0.0, -0.0] * (ROWS // 2)), "of type double"),
        (pyarrow.array([0.0, -0.0] * (ROWS // 2)).dictionary_encode(), "of type double"),
        (pyarrow.array([True, False] * (ROWS // 2)), "of type bool"),
        (pyarrow.array([[1], [2]] * (ROWS // 2)), "of type list"),
        (None, "no column"),
    ],
    ids=["one column", "columns", "truths", "complex", "floats", "a dictionary of floats", "booleans", "lists", "none"],
)
def test_ids_that_do_not_tell_people_apart_are_refused(tmp_path, ids, says):
    inputs, labels = rows()
    sources, collate = [{"x": inputs, "y": labels, "who": ids}], None
    if not isinstance(ids, torch.Tensor):
        table = pyarrow.table({"x": inputs.tolist(), "y": labels.tolist()} | ({} if ids is None else {"who": ids}))
        pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
        sources, collate = [table, tmp_path / "rows.parquet"], len
    for source in sources:
        data = dataset(tmp_path, source, unit=PrivacyUnit(column="who", max_rows=2), domain=Domain(who="integer"))
        with pytest.raises(InvalidInput, match=says):
            start(data, tmp_path, collate=collate, example={"x": EXAMPLE[0], "y": EXAMPLE[1]}, loss=by_name)
        assert not charges(data)


def test_an_account_in_pure_epsilon_is_refused(tmp_path):
    data = dataset(tmp_path, ledger=ledger(measure="pure", epsilon=9.0, delta=0.0))
    with pytest.raises(InvalidInput, match="pure epsilon"):
        start(data, tmp_path)


def test_a_run_beyond_the_budget_leaves_nothing_behind(tmp_path):
    data = dataset(tmp_path, ledger=ledger(epsilon=0.1))
    with pytest.raises(BudgetExceeded):
        start(data, tmp_path)
    assert not charges(data)
    assert not list((tmp_path / "private").glob("*/*"))


# ------------------------------------------------------------------------------------ in the middle


def test_only_the_batch_that_is_due_is_taken(data, tmp_path):
    run = start(data, tmp_path)
    batch = next(run.loader)
    with pytest.raises(InvalidInput, match="not the batch that is due"):
        run.step(train.Batch(0, batch.indices))
    run.step(batch)
    with pytest.raises(InvalidInput, match="not the batch that is due"):
        run.step(batch)
    assert run.steps_taken == 1


def test_a_model_changed_in_the_middle_is_refused(data, tmp_path):
    run = start(data, tmp_path)
    batch = next(run.loader)
    run.model[0].bias.requires_grad_(False)
    with pytest.raises(InvalidInput, match="not those that the run was charged for"):
        run.step(batch)
    run.model[0].bias.requires_grad_(True)
    run.step(batch)
    assert run.steps_taken == 1


def test_an_optimizer_that_gets_more_to_move_is_refused(data, tmp_path):
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    run = start(data, tmp_path, model=net, optimizer=optimizer)
    batch = next(run.loader)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
    with pytest.raises(InvalidInput, match="of the model or of the optimizer"):
        run.step(batch)


class Secret(Exception):
    pass


def test_a_failure_on_a_row_shows_nothing_and_the_run_can_go_on(data, tmp_path):
    broken = [True]

    def touchy(net, batch):
        if broken[0] and not torch.isin(batch[0][:, 0], EXAMPLE[0][:, 0]).all():
            raise Secret(batch[0])
        return loss(net, batch)

    run = start(data, tmp_path, loss=touchy)
    with pytest.raises(DataFailure, match="cause is withheld") as caught:
        run.fit()
    assert "goes on from there without a new charge" in str(caught.value)
    assert caught.value.__cause__ is None
    found = caught.value.__context__
    while found is not None:
        assert not isinstance(found, Secret)
        found = found.__context__
    with pytest.raises(InvalidInput, match="the run was closed"):
        run.fit()
    broken[0] = False
    again = start(data, tmp_path, loss=touchy)
    again.fit()
    assert again.finish().facts["steps_taken"] == STEPS
    assert len(charges(data)) == 1


def test_one_run_is_at_work_at_a_time(data, tmp_path):
    run = start(data, tmp_path)
    with pytest.raises(InvalidInput, match="is at work on the run"):
        start(data, tmp_path)
    run.close()
    assert start(data, tmp_path).steps_taken == 0


def test_nothing_private_is_shown(data, tmp_path, capsys):
    run = start(data, tmp_path)
    batch = next(run.loader)
    assert "indices" not in repr(batch)
    run.step(batch)
    run.fit(progress=True)
    said = capsys.readouterr().err
    assert f"step {STEPS} of {STEPS}" in said
    assert "paid for the whole run" in said
    assert "loss" not in said


def test_no_frame_of_an_error_shows_the_key(data, tmp_path, monkeypatch):
    """Whoever has it can take the noise away again."""
    start(data, tmp_path).close()
    [begun] = tmp_path.rglob("begun.json")
    key = json.loads(begun.read_text())["key"]

    def harsh(*_):
        raise Secret

    monkeypatch.setattr("discreet.train.work.Rows", harsh)
    for microbatch, kind in ((3, InvalidInput), (4, DataFailure)):
        with pytest.raises(kind) as caught:
            start(data, tmp_path, microbatch=microbatch)
        found = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        frames = [frame for frame in found.stack if frame.filename != __file__]
        held = " ".join(str(frame.locals) for frame in frames)
        assert "request" in held
        assert key not in held
        assert repr(bytes.fromhex(key)) not in held


def test_evaluation_is_called_in_between(data, tmp_path):
    run = start(data, tmp_path)
    found = run.fit(evaluate=lambda net: float(net(EXAMPLE[0]).detach().sum()), evaluate_every=5)
    assert [step for step, _ in found] == [5, 10]
