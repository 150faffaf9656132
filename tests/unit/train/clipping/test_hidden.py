"""Models that couple examples, or lengthen a gradient, where no rule looks: summed right, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from discreet.train.clipping import Flat, Method, clipped_sum
from tests.unit.train.clipping.oracle import distance

pytestmark = pytest.mark.filterwarnings("ignore::discreet.train.clipping.SlowModule")
WIDTH = 5


class Hidden(nn.Module):
    """Two layers and a table, used as `how` says."""

    def __init__(self, how):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(WIDTH, 4), nn.Linear(4, 1)
        self.w = nn.Parameter(torch.randn(WIDTH, 4))
        self.register_buffer("scale", torch.full((), 20.0))
        self.how = how

    def forward(self, x):
        return self.how(self, x)


def loss(model, batch):
    return (model(batch[0]) - batch[1]) ** 2


def as_one_at_a_time(how, *, first=None, count=16):
    """Compare the sums with those of the loop, after a first batch of another kind."""
    model = Hidden(how)
    torch.manual_seed(1)
    x, y = torch.randn(count, WIDTH).clamp(-2, 2), torch.zeros(count)
    x[0, 0], y[1::2] = 4.0, 1e3
    rows = 4 if first is None else first
    clipped_sum(model, loss, (torch.randn(rows, WIDTH).clamp(-2, 2), torch.randn(rows)), Flat(1.0))
    torch.manual_seed(2)
    fast = clipped_sum(model, loss, (x, y), Flat(1.0))
    slow = clipped_sum(model, loss, (x, y), Flat(1.0), method=Method.LOOP)
    assert distance(fast.sums, slow.sums) < 1e-4


def scaled_in_place(m, x):
    v = m.w.t().contiguous()
    v.mul_(m.scale)
    return m.b(F.linear(x, v)).squeeze(1)


def written_into(m, x):
    v = m.w.t().contiguous()
    v[:] = v * m.scale
    return m.b(F.linear(x, v)).squeeze(1)


def gated_in_place(m, x):
    return m.b(F.linear(x, F.threshold(m.w.t().contiguous() * 1.0, 0.1, 0.0, inplace=True))).squeeze(1)


def scaled_out(m, x):
    v = m.w.t().contiguous()
    return m.b(F.linear(x, F.relu(v, inplace=True) * m.scale)).squeeze(1)


@pytest.mark.parametrize("how", [scaled_in_place, written_into, gated_in_place, scaled_out])
def test_a_copy_of_a_parameter_that_is_written_to(how):
    as_one_at_a_time(how)


@pytest.mark.parametrize("index", [np.zeros(100, dtype=np.int64), (tuple([0] * 100),), [0] * 100])
def test_rows_of_a_parameter_taken_more_than_once(index):
    def how(m, x):
        rows = m.w.t()[index] if not isinstance(index, tuple) else m.w.t()[(*index, slice(None))]
        return (x.unsqueeze(1) * rows).sum((1, 2))

    as_one_at_a_time(how)


def _in_order(m, x, flags):
    """Rows with a flag last, by plain numbers; back again before the loss."""
    order = (~flags).nonzero().flatten().tolist() + flags.nonzero().flatten().tolist()
    back = sorted(range(len(x)), key=order.__getitem__)
    h = torch.tanh(m.a(torch.stack([x[i] for i in order])))
    return m.b(torch.stack([h[i] for i in back])).squeeze(1)


def by_exclusive_or(m, x):
    flags = torch.zeros(len(x), dtype=torch.bool)
    flags ^= x[:, 0] > 3
    return _in_order(m, x, flags)


def by_remainder(m, x):
    number = torch.ones(len(x))
    number %= 2.0 - 1.5 * (x[:, 0] > 3)
    return _in_order(m, x, number == 0)


def by_gradient(m, x):
    number = torch.zeros(len(x))
    number.grad = 1.0 * (x[:, 0] > 3)
    return _in_order(m, x, number.grad > 0)


def by_a_parameter_too(m, x):
    number = torch.zeros(len(x))
    number.addcmul_((x[:, 0] > 3) * 1.0, m.w[0, 0])
    return _in_order(m, x, number.detach() != 0)


@pytest.mark.parametrize("how", [by_exclusive_or, by_remainder, by_gradient, by_a_parameter_too])
def test_numbers_of_the_batch_in_a_constant(how):
    as_one_at_a_time(how)
