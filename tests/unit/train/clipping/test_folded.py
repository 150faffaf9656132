"""Several examples of one unit, clipped as one: the engine against the mean of gradients taken one by one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from discreet.errors import InvalidInput
from discreet.train.clipping import (
    Automatic,
    Flat,
    Groups,
    Method,
    PerLayer,
    Scaled,
    clipped_sum,
    conv,
    engine,
    kernels,
)
from discreet.train.clipping.folding import Fold
from tests.unit.train.clipping import zoo
from tests.unit.train.clipping.oracle import distance, each_gradient, flat_sum, norm
from tests.unit.train.clipping.test_engine import expected_sum
from tests.unit.train.clipping.test_oracle import ASIDES
from tests.unit.train.clipping.zoo import CASES, build, randn, squared

pytestmark = [pytest.mark.filterwarnings(aside) for aside in ASIDES]
WHOSE = torch.tensor([2, 0, 2, 4, 0, 2, 1, 2, 4])  # of 4, 2, 2 and 1 rows; nobody is 3
METHODS = [Method.AUTO, Method.DIRECT, Method.GHOST, Method.LOOP]


def means(gradients, owners):
    """The mean gradient of each unit, in order of their places."""
    found = []
    for unit in owners.unique():
        mine = [gradients[i] for i in (owners == unit).nonzero().flatten()]
        found.append({name: torch.stack([g[name].double() for g in mine]).mean(0) for name in mine[0]})
    return found


@pytest.mark.parametrize("name", CASES)
def test_equals_the_mean_of_a_unit_clipped(name, monkeypatch):
    monkeypatch.setattr(zoo, "B", len(WHOSE))
    case = build(name)
    units = means(each_gradient(case.model, case.loss, case.batch), WHOSE)
    norms = [norm(unit) for unit in units]
    middle = sorted(norms)[2] * 0.99  # some are shortened, some are not
    for method, size in ((Method.AUTO, 4), (Method.DIRECT, None), (Method.GHOST, None)):
        got = clipped_sum(case.model, case.loss, case.batch, Flat(middle), method=method, owners=WHOSE, microbatch=size)
        near = 1e-4 if method is Method.GHOST else 1e-5  # its bound of the rounding shortens a little more
        assert distance(got.sums, flat_sum(units, middle)) < near, method
        assert torch.allclose(got.private_norms[[0, 1, 2, 4]], torch.tensor(norms), rtol=1e-4), method
        assert got.private_norms[3] == 0


@pytest.mark.parametrize("name", CASES)
def test_scaled_means_are_clipped(name, monkeypatch):
    monkeypatch.setattr(zoo, "B", len(WHOSE))
    case, dice = build(name), torch.Generator().manual_seed(7)
    every = each_gradient(case.model, case.loss, case.batch)
    scales = {key: 10 ** (2 * torch.rand(g.shape, generator=dice) - 1) for key, g in every[0].items()}
    units = [{key: g * scales[key] for key, g in unit.items()} for unit in means(every, WHOSE)]
    middle = sorted(map(norm, units))[2] * 0.99
    got = clipped_sum(case.model, case.loss, case.batch, Scaled(Flat(middle), scales), owners=WHOSE, microbatch=4)
    assert distance(got.sums, flat_sum(units, middle)) < 1e-5


@pytest.mark.parametrize("clip", [Automatic(0.3), PerLayer(0.3), Groups({"0": 0.1, "": 0.2})], ids=repr)
def test_clips_as_defined(clip, monkeypatch):
    monkeypatch.setattr(zoo, "B", len(WHOSE))
    case = build("cnn")
    units = means(each_gradient(case.model, case.loss, case.batch), WHOSE)
    for method in METHODS:
        got = clipped_sum(case.model, case.loss, case.batch, clip, method=method, owners=WHOSE)
        assert distance(got.sums, expected_sum(units, clip)) < 1e-5, method


@pytest.mark.parametrize("seed", range(6))
def test_units_of_all_sizes(seed, monkeypatch):
    dice = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 12, (5,), generator=dice)
    owners = torch.arange(5).repeat_interleave(sizes)[torch.randperm(int(sizes.sum()), generator=dice)]
    monkeypatch.setattr(zoo, "B", len(owners))
    case = build("gpt tied")
    units = means(each_gradient(case.model, case.loss, case.batch), owners)
    middle = sorted(map(norm, units))[2]
    for size in (1, 7, None):
        got = clipped_sum(case.model, case.loss, case.batch, Flat(middle), owners=owners, microbatch=size)
        assert distance(got.sums, flat_sum(units, middle)) < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_a_unit_with_a_bad_row_adds_nothing_at_all(method, monkeypatch):
    monkeypatch.setattr(zoo, "B", 8)
    case = build("cnn")
    owners = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3])
    expected = clipped_sum(case.model, case.loss, case.batch, Flat(0.1), method=method, real=owners != 1, owners=owners)
    for value in (math.inf, math.nan, 1e30):
        bad = case.batch.clone()
        bad[3] = value
        got = clipped_sum(case.model, case.loss, bad, Flat(0.1), method=method, owners=owners)
        apart = norm({name: got.sums[name] - expected.sums[name] for name in got.sums})
        assert apart <= (0.1 if value == 1e30 else 1e-6)  # a huge one counts where its gradient is a number
        assert got.private_norms[[0, 2, 3]].isfinite().all()


def test_rows_that_float32_cannot_square_count_by_their_mean():
    """One unit by itself goes one way, among others another one: it counts on both."""
    net = nn.Linear(2, 1, bias=False)
    rows = torch.tensor([[1e25, 0.0], [1e25, 0.0], [0.0, 1.0], [0.0, 3.0]])
    owners = torch.tensor([0, 0, 1, 1])
    loss = lambda model, x: model(x).squeeze(1)  # noqa: E731 - a line
    both = clipped_sum(net, loss, rows, Flat(1.0), owners=owners).sums["weight"]
    alone = clipped_sum(net, loss, rows[:2], Flat(1.0), owners=owners[:2]).sums["weight"]
    torch.testing.assert_close(both, torch.tensor([[1.0, 1.0]]), rtol=0, atol=1e-5)
    torch.testing.assert_close(alone, torch.tensor([[1.0, 0.0]]), rtol=0, atol=1e-5)


def test_padding_may_hold_anything(monkeypatch):
    monkeypatch.setattr(zoo, "B", 6)
    case = build("cnn")
    owners = torch.tensor([1, 1, 0, 0, 0, 3])
    batch = torch.cat([case.batch, torch.full_like(case.batch[:3], math.nan)])
    real = torch.arange(9) < 6
    padded = torch.cat([owners, torch.tensor([1, 0, 2])])
    got = clipped_sum(case.model, case.loss, batch, Flat(0.2), real=real, owners=padded)
    expected = clipped_sum(case.model, case.loss, case.batch, Flat(0.2), owners=owners)
    assert all(torch.equal(got.sums[name], expected.sums[name]) for name in expected.sums)
    assert torch.equal(got.private_norms, expected.private_norms)
    nobody = clipped_sum(case.model, case.loss, batch, Flat(0.2), real=torch.zeros(9, dtype=torch.bool), owners=padded)
    assert all(value.eq(0).all() for value in nobody.sums.values())
    assert nobody.private_norms.tolist() == [0, 0, 0, 0]
    empty = clipped_sum(case.model, case.loss, batch[:0], Flat(0.2), owners=padded[:0])
    assert len(empty.private_norms) == 0


def test_what_a_unit_lacks_is_zero():
    fold = Fold(torch.tensor([1, 3]))
    rows = torch.tensor([[math.nan], [1.0], [2.0], [3.0]])
    found = fold(rows)
    assert found.shape == (2, 3, 1)
    assert found[0, 0].isnan()
    assert found[0, 1:].eq(0).all()
    assert found[1].flatten().tolist() == [1, 2, 3]
    torch.testing.assert_close(fold.weights(), torch.tensor([1, 1 / 3, 1 / 3, 1 / 3]))


def test_one_row_each_is_the_same_as_no_owners(monkeypatch):
    monkeypatch.setattr(zoo, "B", 6)
    case = build("mlp")
    plain = clipped_sum(case.model, case.loss, case.batch, Flat(0.2))
    owned = clipped_sum(case.model, case.loss, case.batch, Flat(0.2), owners=torch.tensor([5, 3, 1, 0, 2, 4]))
    assert distance(owned.sums, plain.sums) < 1e-6
    assert torch.allclose(owned.private_norms[[5, 3, 1, 0, 2, 4]], plain.private_norms)


def test_an_operation_that_is_not_watched_is_right(monkeypatch):
    monkeypatch.setattr(zoo, "B", len(WHOSE))
    model = zoo.Call(lambda m, x: torch.logaddexp(m.body(x), m.w), body=nn.Linear(4, 4), w=nn.Parameter(torch.randn(4)))
    batch = randn(3, 4)
    units = means(each_gradient(model, squared, batch), WHOSE)
    with pytest.warns(UserWarning, match="logaddexp"):
        got = clipped_sum(model, squared, batch, Flat(0.1), owners=WHOSE)
    assert distance(got.sums, flat_sum(units, 0.1)) < 1e-5


def test_rows_that_a_batch_moves_are_looked_at(monkeypatch):
    monkeypatch.setattr(zoo, "B", len(WHOSE))
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))

    def loss(model, batch):
        rows = batch.flatten(0, 1)
        picked = rows[:, 0].argsort()
        out = torch.zeros_like(rows).index_add(0, picked, model(rows[picked])).unflatten(0, batch.shape[:2])
        return (out * torch.linspace(0.5, 1.5, 4)).square().flatten(1).mean(1)

    batch = randn(2, 4)
    units = means(each_gradient(net, loss, batch), WHOSE)
    middle = sorted(map(norm, units))[2]
    with pytest.warns(UserWarning, match="picked|apart"):
        got = clipped_sum(net, loss, batch, Flat(middle), owners=WHOSE)
    assert distance(got.sums, flat_sum(units, middle)) < 1e-5


@pytest.mark.parametrize("owners", [WHOSE[:-1], WHOSE.float(), WHOSE - 1, WHOSE[:, None], WHOSE.int()], ids=str)
def test_wrong_owners_are_refused(owners, monkeypatch):
    monkeypatch.setattr(zoo, "B", len(WHOSE))
    with pytest.raises(InvalidInput, match="owners has") as error:
        clipped_sum(nn.Linear(4, 3), squared, randn(4), Flat(1.0), owners=owners)
    assert "Nothing was clipped" in error.value.state


def test_a_convolution_of_many_rows_is_added_up_piece_by_piece(monkeypatch):
    """What one unit's rows take does not grow with them."""
    monkeypatch.setattr(zoo, "B", 9)
    case = build("conv stride")
    owners = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1])
    units = means(each_gradient(case.model, case.loss, case.batch), owners)
    monkeypatch.setattr(conv, "AT_ONCE", 150)
    monkeypatch.setattr(engine, "CHUNK", 1)
    seen = []
    for name in ("_patches", "_patches_last", "_grouped"):
        real = getattr(kernels, name)
        monkeypatch.setattr(kernels, name, lambda x, *told, real=real: (seen.append(len(x)), real(x, *told))[1])
    got = clipped_sum(case.model, case.loss, case.batch, Flat(0.1), owners=owners)
    assert distance(got.sums, flat_sum(units, 0.1)) < 1e-5
    assert max(seen) == 2


@pytest.mark.parametrize("name", ["mlp", "conv stride", "group norm", "gpt tied"])
def test_autocast(name, monkeypatch):
    """In half precision a unit is clipped as it is recorded, and is near the mean of gradients taken one by one."""
    monkeypatch.setattr(zoo, "B", len(WHOSE))
    case = build(name)

    def loss(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return case.loss(model, batch).float()

    units = means(each_gradient(case.model, loss, case.batch), WHOSE)
    middle = sorted(map(norm, units))[2]
    for method in (Method.AUTO, Method.DIRECT):
        got = clipped_sum(case.model, loss, case.batch, Flat(middle), method=method, owners=WHOSE)
        assert distance(got.sums, flat_sum(units, middle)) < 2e-2
        for unit in WHOSE.unique():
            mine = torch.eq(WHOSE, unit)
            one = clipped_sum(case.model, loss, case.batch, Flat(middle / 3), method=method, owners=WHOSE, real=mine)
            assert norm(one.sums) <= middle / 3
