"""Which calls could combine rows of several examples, as two runs show it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from discreet.train.clipping.engine import RULES
from discreet.train.clipping.steady import FEW, MORE, combines
from discreet.train.clipping.watch import Watch

WEIGHT = nn.Linear(4, 4, bias=False)


def seen(function) -> bool:
    """Whether a function of (examples, 6, 4) before a parameter is taken for one that combines rows."""
    runs = []
    for rows in (FEW, MORE):
        watch = Watch(dict(WEIGHT.named_parameters()), [], RULES, rows)
        watch.calls = []
        x = torch.randn(rows, 6, 4)
        with watch:
            function(x)
            WEIGHT(x)
        runs.append(watch.calls)
    return combines(*runs)


COMBINE = {
    "sum": lambda x: x.sum(0),
    "all": lambda x: x.mean(),
    "first": lambda x: x[0],
    "cut": lambda x: x[1:],
    "every other": lambda x: x[::2],
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1, 0),
    "roll all": lambda x: x.roll(1),
    "place": lambda x: x[torch.arange(len(x)).flip(0)],
    "softmax": lambda x: x.softmax(0),
    "log softmax": lambda x: F.log_softmax(x.transpose(0, 1), dim=-2),
    "normalize": lambda x: F.normalize(x, dim=0),
    "layer norm": lambda x: F.layer_norm(x.transpose(0, 2), (len(x),)),
    "pad": lambda x: F.pad(x, (0, 0, 0, 0, 1, -1)),
    "convolution": lambda x: F.conv1d(x.permute(1, 2, 0), torch.ones(4, 4, 3), padding=1),
    "pool": lambda x: F.max_pool1d(x.permute(1, 2, 0), 3, 1, 1),
    "compare": lambda x: x[:, 0].unsqueeze(0) - x[:, 0].unsqueeze(1),
    "gram": lambda x: x[:, 0] @ x[:, 0].T,
    "covariance": lambda x: x[:, 0].T @ x[:, 0],
    "attention": lambda x: F.scaled_dot_product_attention(*[x.transpose(0, 1)] * 3),
    "equation": lambda x: torch.einsum("btd,bte->de", x, x),
    "two letters": lambda x: torch.einsum("bt,ct->bt", x[..., 0], x[..., 0]),
    "chunk": lambda x: x.chunk(2),
    "unbind": lambda x: x.unbind(0),
}
KEEP = {
    "sum": lambda x: x.sum(1),
    "cut": lambda x: x[:, 1:],
    "flip": lambda x: x.flip(1),
    "roll": lambda x: x.roll(1, 1),
    "softmax": lambda x: x.softmax(-1),
    "normalize": lambda x: F.normalize(x, dim=-1),
    "layer norm": lambda x: F.layer_norm(x.transpose(0, 1), (4,)),
    "pad": lambda x: F.pad(x, (1, 1, 2, 0)),
    "convolution": lambda x: F.conv1d(x, torch.ones(4, 6, 3), padding=1),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "equation": lambda x: torch.einsum("btd,bse->bts", x, x),
    "flat": lambda x: x.reshape(-1, 4).view(-1, 6, 4).transpose(0, 1).chunk(2, -1),
    "blank": lambda x: x[:, 0].new_zeros(len(x), 4) + x[:, 0],
    "after": WEIGHT,
}


@pytest.mark.parametrize("name", COMBINE)
def test_combining_is_seen(name):
    assert seen(COMBINE[name])


@pytest.mark.parametrize("name", KEEP)
def test_keeping_apart_is_seen(name):
    assert not seen(KEEP[name])


def test_what_comes_after_the_last_parameter_does_not_matter():
    assert not seen(lambda x: None)
    runs = []
    for rows in (FEW, MORE):
        watch = Watch(dict(WEIGHT.named_parameters()), [], RULES, rows)
        watch.calls = []
        with watch:
            WEIGHT(torch.randn(rows, 4)).mean(0)
        runs.append(watch.calls)
    assert not combines(*runs)
