"""Several rows per person, and several variants per row: steps equal plain autograd, people are what is drawn and clipped."""

from __future__ import annotations

import json

import numpy as np
import pyarrow
import pytest
import torch
from torch import nn

from discreet import PrivacyUnit, train
from discreet.domains import Domain
from discreet.errors import InvalidInput
from discreet.testing import with_fixed_randomness
from discreet.train.people import People, packed
from discreet.train.rows import Rows
from tests.training import EXAMPLE, ROWS, bits, dataset, loss, model, plan, rows, start

MOST = 3
UNIT = PrivacyUnit(column="who", max_groups=1, max_rows=MOST)
DOMAIN = Domain(who="integer")
WHO = torch.tensor([(7 * i * i + i // 9) % 23 for i in range(ROWS)])  # of one to five rows each, all over the source


def by_name(net, batch):
    return loss(net, (batch["x"], batch["y"]))


TOLD = {"loss": by_name, "example": {"x": EXAMPLE[0], "y": EXAMPLE[1]}}


def source(who=WHO, **changes):
    inputs, labels = rows()
    return {"x": inputs, "y": labels, "who": who, **changes}


def owned(folder, held=None, unit=UNIT):
    return dataset(folder, source() if held is None else held, unit=unit, domain=DOMAIN)


def first_rows(who, most):
    """The places of each person's first rows, people in order of their first."""
    found = {}
    for place, one in enumerate(who.tolist()):
        found.setdefault(one, []).append(place)
    return [places[:most] for places in found.values()]


def by_hand(key, settings):
    """Take the same steps with plain autograd: one person's mean gradient after the other."""
    net, stream = model(), train.Keystream(key)
    noise = train.KeyedNoise(stream)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    inputs, labels = rows()
    people = first_rows(WHO, MOST)
    for step in range(settings.steps):
        sums = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
        for person in settings.drawn_by.batch(stream, step, units=len(people), steps=settings.steps):
            mine = people[person]
            value = loss(net, (inputs[mine], labels[mine])).mean()
            found = dict(zip(sums, torch.autograd.grad(value, list(net.parameters())), strict=True))
            norm = torch.cat([g.flatten() for g in found.values()]).double().norm().item()
            for name, gradient in found.items():
                sums[name] += gradient * min(1.0, settings.max_grad_norm / norm)
        for name, parameter in net.named_parameters():
            fresh = noise.standard(step, name, parameter.numel()).view(parameter.shape)
            parameter.grad = (sums[name] + settings.noise_std * fresh) / settings.expected_batch_size
        optimizer.step()
    return net


def key_of(folder):
    (kept,) = (folder / "private").glob("*/begun.json")
    return bytes.fromhex(json.loads(kept.read_text())["key"])


@pytest.mark.parametrize("microbatch", [1, 5, 64])
def test_it_takes_the_steps_of_people(tmp_path, microbatch):
    run = start(owned(tmp_path), tmp_path, microbatch=microbatch, **TOLD)
    key = key_of(tmp_path)
    run.fit()
    for ours, theirs in zip(run.model.parameters(), by_hand(key, plan()).parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)
    release = run.finish()
    assert release.facts["rows_of_a_unit"] == MOST
    assert "the rows of each person in a random batch (the first 3) together pulled" in release.facts["sentence"]
    assert release.guarantee.unit.max_rows == MOST
    assert not any("nobody has two" in held for held in release.guarantee.assumptions)


def test_rows_beyond_the_bound_change_nothing(tmp_path):
    beyond = torch.ones(ROWS, dtype=torch.bool)
    beyond[[place for places in first_rows(WHO, MOST) for place in places]] = False
    assert beyond.any()
    found = []
    for name, value in (("a", 0.0), ("b", float("nan"))):
        held = source()
        held["x"][beyond] = value
        run = start(with_fixed_randomness(owned(tmp_path / name, held), seed=3), tmp_path / name, **TOLD)
        run.fit()
        found.append(bits(run.model))
    assert found[0] == found[1]


def test_an_interrupted_run_goes_on_bit_by_bit(tmp_path):
    found = []
    for name, stops in (("a", ()), ("b", (5, 9))):
        data = with_fixed_randomness(owned(tmp_path / name), seed=3)
        for stop in stops:
            run = start(data, tmp_path / name, checkpoint_every=4, microbatch=7, **TOLD)
            for batch in run.loader:
                run.step(batch)
                if run.steps_taken == stop:
                    break
            run.close()
        run = start(data, tmp_path / name, checkpoint_every=4, microbatch=7, **TOLD)
        run.fit()
        run.finish()
        found.append(bits(run.model))
    assert found[0] == found[1]


def test_a_table_gives_the_same(tmp_path):
    inputs, labels = rows()
    table = pyarrow.table(
        {**{f"x{i}": inputs[:, i].numpy() for i in range(4)}, "y": labels.numpy(), "who": WHO.numpy()}
    )

    def collate(some):
        columns = [torch.from_numpy(some[f"x{i}"].to_numpy()) for i in range(4)]
        return {"x": torch.stack(columns, 1), "y": torch.from_numpy(some["y"].to_numpy())}

    found = []
    for name, held, given in (("a", None, None), ("b", table, collate)):
        data = with_fixed_randomness(owned(tmp_path / name, held), seed=3)
        run = start(data, tmp_path / name, collate=given, **TOLD)
        run.fit()
        found.append(bits(run.model))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        (PrivacyUnit(max_rows=2), "nothing says which rows are one person's"),
        (PrivacyUnit(column="who", max_groups=1, per="day"), "a person in one day"),
    ],
)
def test_units_that_cannot_be_told_apart_are_refused(tmp_path, unit, says):
    data = dataset(tmp_path, source(), unit=unit, domain=Domain(who="integer", day="integer"))
    with pytest.raises(InvalidInput, match=says) as caught:
        start(data, tmp_path, loss=by_name, example={**TOLD["example"], "who": torch.arange(3)})
    assert "PrivacyUnit(column=" in str(caught.value)


# ------------------------------------------------------------------------------------- rows and people


def test_rows_of_people_are_the_first_in_their_order():
    table = pyarrow.table({"who": ["b", None, "a", "b", "b", "a", None, "b"], "x": list(range(8))})
    found = Rows(table, lambda some: some["x"].to_pylist(), "who", 2)
    assert len(found) == 2
    assert found.batch(np.arange(2)) == [0, 3, 2, 5]
    assert found.batch(np.array([1])) == [2, 5]
    assert len(Rows(table, list, "who", 1)) == 2


def test_micro_batches_keep_people_together():
    who = torch.tensor([0] * 9 + [1, 2, 3, 4, 4, 5, 5])
    found = Rows({"who": who}, None, "who", 9)
    for size in (1, 2, 3, 4, 100):
        seen = []
        for units, owners in found.micro(np.arange(6), size):
            counts = owners.bincount()
            assert owners.tolist() == torch.arange(len(units)).repeat_interleave(counts).tolist()
            assert len(units) == 1 or len(units) * int(counts.max()) <= size
            assert found.batch(units)["who"].tolist() == torch.from_numpy(units)[owners].tolist()
            seen += units.tolist()
        assert sorted(seen) == list(range(6))
    assert list(found.micro(np.zeros(0, dtype=np.int64), 4)) == []


def test_packing_wastes_little():
    sizes = np.array([1] * 40 + [2] * 20 + [16])
    parts = list(packed(sizes, 16))
    assert [sizes[part].max() * part.size for part in parts] == [16, 16, 8, 16, 16, 8, 16]
    assert sorted(np.concatenate(parts)) == list(range(61))
    assert list(packed(np.array([0, 0]), 3)) == []


def test_of_people_at_most_so_many_rows_count():
    people = People([3, 1, 3, 2, 1, 3], most=2)
    assert people.rows(np.arange(3))[0].tolist() == [1, 4, 3, 0, 2]
    assert people.sizes(np.arange(3)).tolist() == [2, 1, 2]
    for wrong in (0, True, 1.0):
        with pytest.raises(InvalidInput, match="most must be"):
            People([1], most=wrong)


def test_processes_compare_whose_rows_are_whose():
    key = bytes(32)
    told = {Rows(source(who), None, "who", 2).digest(key) for who in (WHO, WHO.flip(0), torch.zeros_like(WHO))}
    assert len(told) == 3


# ----------------------------------------------------------------------------------------- variants


def jittered(batch):
    inputs, labels = batch
    return inputs + 0.1 * torch.randn(inputs.shape), labels


def test_variants_are_clipped_as_one(tmp_path, monkeypatch):
    """What a step adds is the clipped mean of each row's variants, taken again one by one."""
    seen = []

    def spying(net, loss, batch, clip, *, microbatch, into, owners):
        before = {name: value.clone() for name, value in into.items()}
        train.clipped_sum(net, loss, batch, clip, microbatch=microbatch, into=into, owners=owners)
        expected = dict.fromkeys(into, 0.0)
        for unit in owners.unique():
            net.zero_grad()
            mine = owners == unit
            loss(net, (batch[0][mine], batch[1][mine])).mean().backward()
            norm = torch.cat([p.grad.flatten() for p in net.parameters()]).norm()
            for name, p in net.named_parameters():
                expected[name] = expected[name] + p.grad * min(1.0, clip.max_norm / float(norm))
            assert batch[1][mine].unique().numel() == 1
            assert batch[0][mine].unique(dim=0).shape[0] == 4
        net.zero_grad()
        for name, value in into.items():
            torch.testing.assert_close(value - before.get(name, 0.0), expected[name], rtol=1e-4, atol=1e-5)
        seen.append(len(batch[0]))

    monkeypatch.setattr("discreet.train.step.clipped_sum", spying)
    run = start(dataset(tmp_path), tmp_path, augment=train.Augment(jittered, 4), microbatch=10)
    run.fit()
    assert set(seen) <= {4, 8}
    assert 8 in seen
    release = run.finish()
    assert release.facts["variants_of_a_row"] == 4
    assert any("variant of a row" in held for held in release.guarantee.assumptions)


def test_variants_of_people_are_theirs(tmp_path):
    def jitter(batch):
        return {**batch, "x": batch["x"] + 0.1 * torch.randn_like(batch["x"])}

    batch = {"x": torch.arange(3.0)[:, None], "y": torch.arange(3)}
    variants, owners = train.Augment(jitter, 2).variants(batch, torch.tensor([0, 0, 1]))
    assert variants["y"].tolist() == [0, 0, 1, 1, 2, 2]
    assert owners.tolist() == [0, 0, 0, 0, 1, 1]
    found = []
    for name in ("a", "b"):
        data = with_fixed_randomness(owned(tmp_path / name), seed=3)
        run = start(data, tmp_path / name, augment=train.Augment(jitter, 2), checkpoint_every=2, **TOLD)
        if name == "b":
            for batch in run.loader:
                run.step(batch)
                if run.steps_taken == 5:
                    break
            run.close()
            run = start(data, tmp_path / name, augment=train.Augment(jitter, 2), checkpoint_every=2, **TOLD)
        run.fit()
        found.append(bits(run.model))
    assert found[0] == found[1]


def mixed(batch):
    inputs, labels = batch
    return 0.7 * inputs + 0.3 * inputs[torch.randperm(len(inputs))], labels


def centred(batch):
    return batch[0] - batch[0].mean(0), batch[1]


GENERATOR = torch.Generator().manual_seed(1)


def elsewhere(batch):
    return batch[0] + torch.randn(batch[0].shape, generator=GENERATOR), batch[1]


def in_place(batch):
    return batch[0].mul_(2.0), batch[1]


def fewer(batch):
    return batch[0][1:], batch[1][1:]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (mixed, "lets a row change what becomes of another"),
        (centred, "lets a row change what becomes of another"),
        (elsewhere, "does not come out the same"),
        (in_place, "changes the batch that it is given"),
        (fewer, "another number of rows"),
    ],
)
def test_augmentations_that_are_none_are_refused(tmp_path, function, says):
    data, kept = dataset(tmp_path), EXAMPLE[0].clone()
    example = (EXAMPLE[0].clone(), EXAMPLE[1])
    with pytest.raises(InvalidInput, match=says):
        start(data, tmp_path, augment=train.Augment(function, 2), example=example)
    assert not [entry for entry in data.ledger.entries("people") if entry.kind == "charge"]
    assert torch.equal(EXAMPLE[0], kept)


@pytest.mark.parametrize(
    "wrong",
    [(None, 2), (jittered, 0), (jittered, True), (jittered, 2.0)],
    ids=["no function", "none", "a truth", "a float"],
)
def test_wrong_augmentations_are_refused(wrong):
    with pytest.raises(InvalidInput, match="must be"):
        train.Augment(*wrong)


def test_a_model_is_tried_on_what_it_will_see(tmp_path):
    """An augmentation may change the form of a row."""

    def widened(batch):
        return torch.cat([batch[0], torch.rand(len(batch[0]), 2)], 1), batch[1]

    net = nn.Linear(6, 2)
    run = start(dataset(tmp_path), tmp_path, model=net, augment=train.Augment(widened, 2))
    run.fit()
    assert run.steps_taken == 12
