"""Models that move examples around, each in another way, and put them back before the loss."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

WIDTH = 4


def _back(order):
    return order.argsort()


def time_first(m, x):
    order = x[:, :, 0].sum(1).argsort()
    h = torch.tanh(m.a(x.transpose(0, 1)[:, order]))[:, _back(order)]
    return m.b(h.transpose(0, 1)).sum((1, 2))


def time_first_by_select(m, x):
    order = x[:, :, 0].sum(1).argsort()
    h = torch.tanh(m.a(x.transpose(0, 1).index_select(1, order))).index_select(1, _back(order))
    return m.b(h.transpose(0, 1)).sum((1, 2))


def time_first_by_list(m, x):
    order = x[:, :, 0].sum(1).argsort().tolist()
    back = [order.index(i) for i in range(len(order))]
    return m.b(torch.tanh(m.a(x.transpose(0, 1)[:, order]))[:, back].transpose(0, 1)).sum((1, 2))


def by_length(m, x):
    order = (x[:, :, 0] > 0).sum(1).argsort(descending=True, stable=True)
    h = torch.tanh(m.a(x.transpose(0, 1)[:, order])).cumsum(0)[:, _back(order)]
    return m.b(h.transpose(0, 1)).squeeze(2).mul(x[:, :, 0] > 0).sum(1)


def looked_up(m, x):
    x = x[:, 0]
    order = x[:, 0].argsort()
    return m.b(F.embedding(_back(order), torch.tanh(m.a(F.embedding(order, x))))).squeeze(1)


def experts(m, x):
    x = x[:, 0]
    to = F.one_hot((x[:, 0] > 0).long(), 2).float()
    slot = ((to.cumsum(0) - 1) * to).sum(1).long()
    send = F.one_hot(slot, len(x)).float().unsqueeze(1) * to.unsqueeze(2)
    queues = torch.einsum("bec,bd->ecd", send, x)
    out = torch.stack([torch.tanh(m.a(queues[0])), torch.tanh(m.c(queues[1]))])
    return m.b(torch.einsum("bec,ecd->bd", send, out)).squeeze(1)


def _sorting(x):
    """A matrix that sorts rows, made by comparisons and sums alone."""
    first = x[:, 0]
    rank = (first.unsqueeze(1) > first).sum(1)
    return (rank == torch.arange(len(x)).unsqueeze(1)).float()


def by_comparisons(m, x):
    x = x[:, 0]
    places = _sorting(x)
    return m.b(places.t() @ torch.tanh(m.a(places @ x))).squeeze(1)


def turned_round(m, x):
    x = x[:, 0]
    turn = ((x[:, :1] > 0) & (x[:, :1] > 0).flip(0)).float()

    def swapped(h):
        return torch.where(turn > 0, h.flip(0), h)

    return m.b(swapped(torch.tanh(m.a(swapped(x))))).squeeze(1)


def turned_round_as_one(m, x):
    x = x[:, 0]
    turn = x[:, 0].sum() > 0

    def swapped(h):
        return torch.where(turn, torch.cat([h[1:], h[:1]]), h)

    def back(h):
        return torch.where(turn, torch.cat([h[-1:], h[:-1]]), h)

    return m.b(back(torch.tanh(m.a(swapped(x))))).squeeze(1)


def equal_or_not(m, x):
    x = x[:, 0]
    if torch.equal(x[:, 0].sort().values, x[:, 0]):
        return m.b(torch.tanh(m.a(x))).squeeze(1)
    order = x[:, 0].argsort()
    return m.b(torch.tanh(m.a(x[order]))[_back(order)]).squeeze(1)


def written_over(m, x):
    """The batch says where to, through another name of a tensor that was made of nothing."""
    x = x[:, 0]
    order = torch.zeros(len(x), dtype=torch.long)
    order.view(-1).copy_((x[:, 3] * 1000).long() % len(x))
    return m.b(torch.tanh(m.a(x[order])))[_back(order)].squeeze(1)


HOW = [
    time_first,
    time_first_by_select,
    time_first_by_list,
    by_length,
    looked_up,
    experts,
    by_comparisons,
    turned_round,
    turned_round_as_one,
    equal_or_not,
    written_over,
]


class Moves(nn.Module):
    """Two layers, and rows that are moved before the first and put back after it."""

    def __init__(self, how):
        super().__init__()
        self.a, self.c, self.b = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)
        self.how = how

    def forward(self, x):
        return self.how(self, x)


def loss(model, x):
    return model(x) * 100 * (1.5 + x[:, 0, 1])


def rows(count: int, *, still: bool = False) -> torch.Tensor:
    """Return examples, in an order that no model here changes if `still`."""
    x = torch.randn(count, 5, WIDTH)
    if still:
        x[..., 0] = torch.linspace(-2, -1, count)[:, None]
    x[:, 0, 3] = (torch.arange(count) if still else torch.randperm(count)) / 1000 + 1e-4
    return x


def neighbours_stay_near() -> None:
    """One example moves no sum by more than its share, in any of these models."""
    from discreet.train.clipping import Flat, Method, clipped_sum
    from tests.unit.train.clipping.oracle import norm

    for how in HOW:
        torch.manual_seed(3)
        model = Moves(how)
        clipped_sum(model, loss, rows(4, still=True), Flat(1.0))
        for count in (12, 7):
            x = rows(count)
            found = clipped_sum(model, loss, x, Flat(1.0)).sums
            slow = clipped_sum(model, loss, x, Flat(1.0), method=Method.LOOP).sums
            assert norm({name: found[name] - slow[name] for name in found}) < 1e-4, how.__name__
            if how is written_over:
                continue  # without an example, the places that the others name are not theirs
            for i in range(0, count, 3):
                less = clipped_sum(model, loss, torch.cat([x[:i], x[i + 1 :]]), Flat(1.0)).sums
                assert norm({name: found[name] - less[name] for name in found}) <= 1 + 1e-5, how.__name__
