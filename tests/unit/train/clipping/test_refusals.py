"""What cannot be clipped is refused, with the model as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from discreet.errors import InvalidInput
from discreet.train.clipping import Flat, Method, check, clipped_sum
from tests.unit.train.clipping.zoo import Call, ids, randn, squared

BOTH = pytest.mark.parametrize("method", [Method.AUTO, Method.LOOP])


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(model, before):
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def _called(function):
    def forward(m, x):
        return function(x, m.w)

    return Call(forward, w=nn.Parameter(torch.randn(7, 4) * 5))


CHANGING = {
    "Embedding": lambda: nn.Embedding(7, 4, max_norm=1.0),
    "EmbeddingBag": lambda: nn.EmbeddingBag(7, 4, max_norm=1.0),
    "call of embedding": lambda: _called(lambda x, w: F.embedding(x, w, None, 1.0)),
    "call of embedding_bag": lambda: _called(lambda x, w: F.embedding_bag(x, w, max_norm=1.0)),
    "of constants": lambda: _called(lambda x, w: F.embedding(torch.arange(3), w, max_norm=1.0).sum() * x.float()),
}


@BOTH
@pytest.mark.parametrize("name", CHANGING)
def test_tables_that_renormalise(name, method):
    model = CHANGING[name]()
    before = state_of(model)
    for run in (
        lambda: clipped_sum(model, squared, ids(7, 3), Flat(1.0), method=method),
        lambda: check(model, squared, ids(7, 3)),
    ):
        with pytest.raises(InvalidInput, match="max_norm") as error:
            run()
        assert "shorten the whole table yourself" in str(error.value)
    same(model, before)


@BOTH
@pytest.mark.parametrize(
    ("model", "batch", "said"),
    [
        (nn.Embedding(7, 4, sparse=True), ids(7, 3), "sparse=True"),
        (_called(lambda x, w: F.embedding(x, w, sparse=True)), ids(7, 3), "sparse=True"),
        (nn.Linear(4, 2, dtype=torch.complex64), torch.randn(5, 4, dtype=torch.complex64), "complex64"),
        (nn.LazyLinear(2), randn(4), "no shape yet"),
    ],
)
def test_parameters_that_are_not_real_and_dense(model, batch, said, method):
    for run in (
        lambda: clipped_sum(model, squared, batch, Flat(1.0), method=method),
        lambda: check(model, squared, batch),
    ):
        with pytest.raises(InvalidInput, match=said) as error:
            run()
        assert error.value.state
        assert error.value.remedy


@pytest.mark.parametrize("kind", ["register_hook", "register_post_accumulate_grad_hook"])
def test_hooks_on_parameters(kind):
    model = nn.Linear(4, 2)
    handle = getattr(model.weight, kind)(lambda given: None)
    for run in (lambda: clipped_sum(model, squared, randn(4), Flat(1.0)), lambda: check(model, squared, randn(4))):
        with pytest.raises(InvalidInput, match="'weight' has a hook"):
            run()
    handle.remove()
    check(model, squared, randn(4))


class Keeps(nn.Module):
    """Does something to itself in each call."""

    def __init__(self, act):
        super().__init__()
        self.body = nn.Linear(4, 2)
        self.register_buffer("last", torch.zeros(2))
        self.act = act

    def forward(self, x):
        y = self.body(x)
        self.act(self, y.detach())
        return y


def _added(m, y):
    if "new" not in dict(m.named_buffers()):
        m.register_buffer("new", torch.zeros(1))


def _removed(m, y):
    m._buffers.pop("last", None)


ACTS = {
    "in place": (lambda m, y: m.last.copy_(y[0]), "'last'"),
    "replaced": (lambda m, y: setattr(m, "last", y), "'last'"),
    "replaced by itself": (lambda m, y: setattr(m, "last", m.last.clone()), "'last'"),
    "minus zero": (lambda m, y: m.last.neg_(), "'last'"),
    "added": (_added, "'new'"),
    "removed": (_removed, "'last'"),
    "a child": (lambda m, y: setattr(m, "child", nn.Identity()), "'child'"),
    "a parameter": (lambda m, y: m.body.bias.data.add_(1e-9).mul_(1.001), "'body.bias'"),
    "thawed": (lambda m, y: m.body.bias.requires_grad_(not m.training), "'body.bias'"),
}


@pytest.mark.parametrize("name", ACTS)
def test_a_model_that_changes_itself_is_put_back(name):
    act, said = ACTS[name]
    model = Keeps(act)
    before, own = state_of(model), (model.last, model.body.bias)
    with pytest.raises(InvalidInput, match=f"the model changes {said}") as error:
        check(model, squared, randn(4))
    assert "as it was before" in str(error.value)
    same(model, before)
    assert model.last is own[0]
    assert model.body.bias is own[1]
    assert model.body.bias.requires_grad
    assert not hasattr(model, "child")


def test_modes_and_state_come_back_after_an_error():
    def act(m, y):
        m.eval()
        m.last.add_(1)
        raise ZeroDivisionError

    model = Keeps(act)
    with pytest.raises(ZeroDivisionError):
        check(model, squared, randn(4))
    assert model.training
    assert model.body.training
    assert model.last.eq(0).all()


@pytest.mark.parametrize("norm", [spectral_norm, nn.utils.spectral_norm])
def test_spectral_norm_in_training(norm):
    """Its vectors may stand still for a while, in the beginning: the check by itself would not see it."""
    model = nn.Sequential(norm(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 2))
    before = state_of(model)
    for run in (lambda: clipped_sum(model, squared, randn(4), Flat(1.0)), lambda: check(model, squared, randn(4))):
        with pytest.raises(InvalidInput, match="spectral norm at '0"):
            run()
    same(model, before)
    check(nn.Sequential(weight_norm(nn.Linear(4, 4)), nn.Tanh()), squared, randn(4))


def test_frozen_spectral_norm():
    check(nn.Sequential(spectral_norm(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 2)).eval(), squared, randn(4))


def test_numbers_that_are_none_are_not_a_change():
    model = Keeps(lambda m, y: None)
    model.last.fill_(torch.nan)
    check(model, squared, randn(4))
