"""What was found out of one batch must not be held to be so of another one."""

import functools

import pytest
import torch
from torch import nn

from discreet.train.clipping import Flat, Method, SlowModule, check, clipped_sum


def agrees(net, loss, batch, clip=None, **told):
    """Say how far the sums are from those of one example at a time, in norms."""
    clip = clip or Flat(1.0)
    fast, slow = (clipped_sum(net, loss, batch, clip, method=way, **told).sums for way in (Method.AUTO, Method.LOOP))
    return float(sum((fast[n] - slow[n]).square().sum() for n in fast)) ** 0.5


class TimeFirst(nn.Module):
    """Rows (time, batch, agent), flattened; a layer used once, or once for each four steps."""

    def __init__(self, pieces):
        super().__init__()
        self.inner, self.outer, self.pieces = nn.Linear(5, 8), nn.Linear(8, 1), pieces

    def forward(self, x):
        b, t, a, d = x.shape
        z = torch.tanh(self.inner(x.transpose(0, 1).reshape(-1, d))).reshape(t, b, a, -1).transpose(0, 1)
        if self.pieces:
            z = z + sum(torch.tanh(self.inner(part)).mean(1, keepdim=True) for part in x.split(4, 1))
        return self.outer(z).mean((1, 2, 3))


def squared(net, batch):
    return (net(batch[0]) - batch[1]).square()


@pytest.mark.parametrize("pieces", [False, True])
def test_layouts_of_one_length_are_not_those_of_another(pieces):
    torch.manual_seed(0)
    net = TimeFirst(pieces)
    check(net, squared, (torch.randn(4, 4, 6, 5), torch.randn(4)))
    for length in (4, 8, 12, 8, 4):
        y = torch.zeros(9)
        y[1::2] = 1e3
        assert agrees(net, squared, (torch.randn(9, length, 6, 5), y)) < 1e-3


def late_ones_last(net, batch):
    each, late = net(batch[0]).squeeze(1) * batch[1], batch[0][:, 1].detach() > 50
    return torch.cat([each[~late], each[late]])


@pytest.mark.filterwarnings("ignore::discreet.train.clipping.SlowModule")
def test_losses_in_another_order_do_not_weigh_others():
    torch.manual_seed(0)
    net = nn.Linear(2, 1, bias=False)
    check(net, late_ones_last, (torch.randn(4, 2), torch.randn(4)))
    x, y = torch.tensor([[1.0, 100.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), torch.tensor([1.0, 1000.0, -500.0, -500.0])
    assert agrees(net, late_ones_last, (x, y), owners=torch.tensor([0, 1, 1, 1])) < 1e-4


def turned(net, batch, *, turn):
    x = torch.flip(batch[0], [0]) if turn else batch[0]
    hidden = torch.flip(torch.tanh(net[0](x)), [0]) if turn else torch.tanh(net[0](x))
    return net[1](hidden).squeeze(1) * batch[1]


@pytest.mark.filterwarnings("ignore::discreet.train.clipping.SlowModule")
def test_partial_losses_are_told_apart():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    batch = torch.randn(6, 3), 10.0 ** torch.arange(6)
    for turn in (False, True):
        assert agrees(net, functools.partial(turned, turn=turn), batch) < 1e-4


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_rows_that_say_nothing_do_not_decide_how_others_go(kind):
    torch.manual_seed(0)
    x = torch.randn(200, 8).to(kind)

    def loss(net, batch):
        return torch.tanh(net(batch)).float().square().sum(1) * 30

    odd = x.clone()
    odd[1] = torch.nan
    sums = []
    for rows in (odd, torch.cat([x[:1], x[2:]])):
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).to(kind)  # nothing is known of it yet
        sums.append(clipped_sum(net, loss, rows, Flat(0.1)).sums)
    assert float(sum((sums[0][n] - sums[1][n]).square().sum() for n in sums[0])) ** 0.5 < 1e-5


def test_one_odd_row_of_a_model_that_is_looked_at_goes_alone():
    """Its numbers say nothing about where rows went; the others are taken as if it was not there."""

    class Picks(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            order = x[:, 0].nan_to_num().argsort()
            return self.layer(x)[order][order.argsort()]

    def loss(net, batch):
        return net(batch).square().sum(1)

    torch.manual_seed(0)
    x, net = torch.randn(7, 3), Picks()
    with pytest.warns(SlowModule):
        whole = clipped_sum(net, loss, x, Flat(0.1))
    odd = torch.cat([x, torch.full((1, 3), torch.nan)])
    with pytest.warns(SlowModule):
        beside = clipped_sum(net, loss, odd, Flat(0.1))
    assert torch.equal(beside.private_norms[:7], whole.private_norms)
    for name in whole.sums:
        assert torch.allclose(whole.sums[name], beside.sums[name], rtol=0, atol=1e-7)
