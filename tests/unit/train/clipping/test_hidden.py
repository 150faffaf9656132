"""Models that couple examples, or lengthen a gradient, where no rule looks: summed right, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from discreet.errors import InvalidInput
from discreet.train.clipping import Flat, Method, clipped_sum, engine
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


def _turned(m, x, flags):
    """Rows from the last to the first if there is a flag; back again before the loss."""
    if bool(flags.any()):
        return m.b(torch.tanh(m.a(x.flip(0))).flip(0)).squeeze(1)
    return m.b(torch.tanh(m.a(x))).squeeze(1)


def by_exclusive_or(m, x):
    flags = torch.zeros(len(x), dtype=torch.bool)
    flags ^= x[:, 0] > 3
    return _turned(m, x, flags)


def by_remainder(m, x):
    number = torch.ones(len(x))
    number %= 2.0 - 1.5 * (x[:, 0] > 3)
    return _turned(m, x, number == 0)


def by_gradient(m, x):
    number = torch.zeros(len(x))
    number.grad = 1.0 * (x[:, 0] > 3)
    return _turned(m, x, number.grad > 0)


def by_a_parameter_too(m, x):
    number = torch.zeros(len(x))
    number.addcmul_((x[:, 0] > 3) * 1.0, m.w[0, 0])
    return _turned(m, x, number.detach() != 0)


@pytest.mark.parametrize("how", [by_exclusive_or, by_remainder, by_gradient, by_a_parameter_too])
def test_numbers_of_the_batch_in_a_constant(how):
    as_one_at_a_time(how)


def _shortened(g):
    return g * (10 / g.norm()).clamp(max=1)


class _Shorten(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return _shortened(g)


def by_hook(m, x):
    h = torch.tanh(m.a(x))
    if h.requires_grad:
        h.register_hook(_shortened)
    return m.b(h).squeeze(1)


def by_hook_with_gradients_on(m, x):
    h = m.b(torch.tanh(m.a(x)))
    if h.requires_grad:
        h.register_hook(torch.enable_grad()(_shortened))
    return h.squeeze(1)


def by_hook_of_a_node(m, x):
    h = torch.tanh(m.a(x))
    if h.grad_fn is not None:
        h.grad_fn.register_hook(lambda given, _: tuple(None if g is None else _shortened(g) for g in given))
    return m.b(h).squeeze(1)


def by_function(m, x):
    return m.b(_Shorten.apply(torch.tanh(m.a(x)))).squeeze(1)


def by_hook_of_a_layer(m, x):
    layer = nn.Tanh()
    layer.register_full_backward_hook(lambda _, given, __: tuple(_shortened(g) for g in given))
    return m.b(layer(m.a(x))).squeeze(1)


def by_hook_in_a_checkpoint(m, x):
    return m.b(
        checkpoint(lambda z: by_hook_of_a_layer(m, z), x.requires_grad_(), use_reentrant=True)[:, None] * m.w[0]
    )[:, 0]


@pytest.mark.parametrize(
    "how",
    [
        by_hook,
        by_hook_with_gradients_on,
        by_hook_of_a_node,
        by_function,
        by_hook_of_a_layer,
        by_hook_in_a_checkpoint,
    ],
)
def test_gradients_that_meet_in_the_backward_pass(how):
    """One example has a gradient so long that a length over the whole batch shortens all others."""
    model = Hidden(how)
    x, y = torch.randn(16, WIDTH), torch.ones(16)
    y[-1] = 1e5
    clipped_sum(model, loss, (x[:4], y[:4]), Flat(0.05))
    fast = clipped_sum(model, loss, (x, y), Flat(0.05))
    slow = clipped_sum(model, loss, (x, y), Flat(0.05), method=Method.LOOP)
    assert distance(fast.sums, slow.sums) < 1e-4


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_is_no_such_thing(monkeypatch, reentrant):
    monkeypatch.setattr(engine, "confirm", lambda *_: pytest.fail("looked at"))

    def how(m, x):
        h = checkpoint(lambda z: torch.tanh(m.a(z)), x.requires_grad_(), use_reentrant=reentrant)
        return checkpoint(lambda z: m.b(z).squeeze(1), h, use_reentrant=reentrant)

    as_one_at_a_time(how)


def test_a_hook_on_a_copy_of_a_parameter():
    def how(m, x):
        copy = m.w.t()
        if copy.requires_grad:
            copy.register_hook(lambda g: g * 50)
        return m.b(F.linear(x, copy)).squeeze(1)

    as_one_at_a_time(how)


def _dealt(count):
    """The order in which rows are dealt out to eight: the first eight in order, as public rows may be."""
    order = [i for first in range(8) for i in range(first, count, 8)]
    return order, sorted(range(count), key=order.__getitem__)


def _dealt_by(kind):
    def how(m, x):
        order, back = map(kind, _dealt(len(x)))
        return m.b(torch.tanh(m.a(x[order]))[back]).squeeze(1)

    return how


def dealt_and_written(m, x):
    order, _ = _dealt(len(x))
    z = torch.empty_like(x)
    z[order] = x
    return m.b(torch.tanh(m.a(z))[order]).squeeze(1)


@pytest.mark.parametrize(
    "how",
    [_dealt_by(list), _dealt_by(np.array), _dealt_by(lambda order: (tuple(order), slice(None))), dealt_and_written],
)
def test_places_that_are_no_tensors(how):
    as_one_at_a_time(how, first=8, count=32)


def test_halves_that_meet_where_their_number_is_even():
    def how(m, x):
        pair = 2 if len(x) % 2 == 0 else 1
        x = x.view(pair, len(x) // pair, -1).transpose(0, 1).reshape(len(x), -1)
        h = torch.tanh(m.a(x)).view(len(x) // pair, pair, -1).transpose(0, 1).reshape(len(x), -1)
        return m.b(h).squeeze(1)

    as_one_at_a_time(how, first=3)


def test_a_loss_of_one_example_under_vmap():
    def how(m, x):
        return torch.vmap(lambda row: m.b(torch.tanh(m.a(row))).squeeze(0))(x)

    as_one_at_a_time(how)


@pytest.mark.parametrize(
    "norm",
    [
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.batch_norm(x, torch.zeros(WIDTH), torch.ones(WIDTH), None, None, True),
        lambda x: torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False),
        lambda x: F.instance_norm(x[:, :, None].expand(-1, -1, 2), torch.zeros(WIDTH), torch.ones(WIDTH))[:, :, 0],
    ],
)
def test_statistics_of_the_batch_without_a_layer(norm):
    for method in (Method.AUTO, Method.LOOP):
        with pytest.raises(InvalidInput, match="takes its statistics from the batch"):
            clipped_sum(
                Hidden(lambda m, x: m.b(m.a(norm(x))).squeeze(1)),
                loss,
                (torch.randn(4, WIDTH), torch.randn(4)),
                Flat(1.0),
                method=method,
            )


def test_fixed_statistics_are_none_of_the_batch(monkeypatch):
    monkeypatch.setattr(engine, "confirm", lambda *_: pytest.fail("looked at"))

    def how(m, x):
        x = F.batch_norm(x, torch.zeros(WIDTH), torch.ones(WIDTH))
        x = x + F.instance_norm(x[:, None])[:, 0]
        return m.b(torch.tanh(m.a(x))).squeeze(1)

    as_one_at_a_time(how)


def test_a_group_norm_that_takes_the_batch_for_a_channel():
    def how(m, x):
        z = torch.native_group_norm(x.contiguous(), None, None, 1, len(x), WIDTH, 1, 1e-5)[0]
        return m.b(torch.tanh(m.a(x - x.sign() * F.relu(z.abs() - 4)))).squeeze(1)

    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "confirm", lambda *_: found.append(1))
        clipped_sum(Hidden(how), loss, (torch.randn(4, WIDTH), torch.randn(4)), Flat(1.0))
    assert found


def test_what_autograd_saves_is_not_repacked():
    def how(m, x):
        def pack(t):
            return t, t.abs().max()

        def unpack(pair):
            return torch.where(pair[1] > 3, pair[0] * 0, pair[0])

        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            return m.b(torch.tanh(m.a(x))).squeeze(1)

    as_one_at_a_time(how)
