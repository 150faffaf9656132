"""What the engine promises, as functions: the tests ask them, and planted bugs must break them."""

from __future__ import annotations

import math

import torch
from torch import nn

from discreet.train.clipping import Flat, Method, clipped_sum
from discreet.train.clipping.norms import squares
from tests.unit.train.clipping.oracle import distance, each_gradient, flat_sum, norm
from tests.unit.train.clipping.zoo import GPT, build, ids, words


def tied_equals_oracle(method: Method) -> None:
    torch.manual_seed(7)
    model, batch = GPT(tied=True), ids(23, 9)
    gradients = each_gradient(model, words, batch)
    middle = sorted(map(norm, gradients))[2]
    got = clipped_sum(model, words, batch, Flat(middle), method=method)
    assert distance(got.sums, flat_sum(gradients, middle)) < 1e-4
    assert torch.allclose(got.private_norms, torch.tensor([norm(g) for g in gradients]), rtol=1e-4)


def long_rows_are_measured() -> None:
    """Fifty million equal numbers, where one pass in float32 is percents too short."""
    count = 50_000_000
    found = squares(torch.full((1, count), 1.1))
    true = float(torch.tensor(1.1).double()) ** 2 * count
    assert abs(math.sqrt(float(found.value)) / math.sqrt(true) - 1) < 1e-5
    assert true <= float(found.bound) <= true * 1.01


def bad_examples_add_nothing(method: Method) -> None:
    """Infinite and undefined examples leave the sum as if they had not been there."""
    case = build("cnn")
    good = case.batch
    bad = good.clone()
    bad[1], bad[3] = math.inf, math.nan
    got = clipped_sum(case.model, case.loss, torch.cat([good[:4], bad[[1, 3]]]), Flat(0.1), method=method)
    expected = clipped_sum(case.model, case.loss, good[:4], Flat(0.1), method=Method.LOOP)
    assert distance(got.sums, expected.sums) < 1e-4


def look_ups_that_cancel_spoil_no_other() -> None:
    """An example whose gradient is zero, as the difference of huge terms, leaves the sum of the others alone."""
    table = nn.Embedding(4, 2)

    def loss(model, batch):
        places, size = batch
        return (model(places[:, 0]) - model(places[:, 1])).sum(1) * size

    places, size = torch.tensor([[0, 1]] * 40 + [[0, 0]]), torch.ones(41)
    expected = clipped_sum(table, loss, (places[:40], size[:40]), Flat(1.0)).sums["weight"]
    for big in (1e4, 1e8, 1e12):
        size[40] = big
        for order in (torch.arange(41), torch.arange(40, -1, -1)):
            got = clipped_sum(table, loss, (places[order], size[order]), Flat(1.0))
            assert float((got.sums["weight"] - expected).norm()) < 1e-4


def padding_adds_nothing(method: Method) -> None:
    case = build("gpt tied")
    real = torch.tensor([True, False, True, True, False])
    got = clipped_sum(case.model, case.loss, case.batch, Flat(0.1), method=method, real=real)
    expected = clipped_sum(case.model, case.loss, case.batch[real], Flat(0.1), method=method)
    assert all(torch.equal(got.sums[name], expected.sums[name]) for name in expected.sums)
    assert got.private_norms[~real].eq(0).all()


def rows_picked_by_data_keep_their_owner() -> None:
    """Twelve rows of six examples go to an expert, two of each of the first three, but not two of each of the others."""

    def loss(model, batch):
        rows = batch.flatten(0, 1)
        picked = (rows[:, 0] > 0).nonzero().squeeze(1)
        out = rows.index_add(0, picked, model(rows[picked])).unflatten(0, batch.shape[:2])
        return (out * torch.linspace(0.5, 1.5, 4)).square().flatten(1).mean(1)

    torch.manual_seed(5)
    net, batch = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)), torch.randn(6, 3, 4)
    to_expert = torch.tensor([2, 2, 2, 3, 3, 0])[:, None] > torch.arange(3)
    batch[..., 0] = batch[..., 0].abs() * (2.0 * to_expert - 1)
    gradients = each_gradient(net, loss, batch)
    middle = sorted(map(norm, gradients))[1]
    assert distance(clipped_sum(net, loss, batch, Flat(middle)).sums, flat_sum(gradients, middle)) < 1e-4


def examples_are_found_by_more_than_shape() -> None:
    """As many positions as examples, time first: the shape says nothing."""

    def forward(x):
        return net(x.transpose(0, 1)).transpose(0, 1)

    torch.manual_seed(3)
    net, batch = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(6, 6, 4)

    def loss(model, x):
        return forward(x).square().flatten(1).mean(1)

    gradients = each_gradient(net, loss, batch)
    middle = sorted(map(norm, gradients))[3]
    assert distance(clipped_sum(net, loss, batch, Flat(middle)).sums, flat_sum(gradients, middle)) < 1e-4
