"""Clipping rules, micro-batches, precision, fallbacks and refusals."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from discreet.errors import InvalidInput
from discreet.train.clipping import (
    Automatic,
    Flat,
    Groups,
    Method,
    PerLayer,
    SlowModule,
    check,
    clipped_sum,
)
from tests.unit.train.clipping.oracle import distance, each_gradient, flat_sum, norm
from tests.unit.train.clipping.zoo import GPT, B, Call, build, ids, randn, squared, words

CLIPS = [Flat(0.3), Automatic(0.3), PerLayer(0.3), Groups({"0": 0.1, "": 0.2})]


def expected_sum(gradients, clip):
    """The clip's own definition, in float64."""
    total = {name: torch.zeros_like(g, dtype=torch.float64) for name, g in gradients[0].items()}
    groups = dict(zip(total, clip.groups(list(total)), strict=True))
    for gradient in gradients:
        for name, g in gradient.items():
            n = norm({other: x for other, x in gradient.items() if groups[other] == groups[name]})
            if isinstance(clip, Automatic):
                factor = clip.max_norm / (n + clip.gamma)
            elif isinstance(clip, PerLayer):
                factor = min(1, clip.max_norm / math.sqrt(len(set(groups.values()))) / n)
            elif isinstance(clip, Groups):
                factor = min(1, list(clip.bounds.values())[groups[name]] / n)
            else:
                factor = min(1, clip.max_norm / n)
            total[name] += factor * g.double()
    return total


@pytest.mark.parametrize("clip", CLIPS, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_clips_as_defined(clip, method, name):
    case = build(name)
    gradients = each_gradient(case.model, case.loss, case.batch)
    got = clipped_sum(case.model, case.loss, case.batch, clip, method=method)
    assert distance(got.sums, expected_sum(gradients, clip)) < 1e-4


def test_sensitivities():
    assert Flat(2.0).sensitivity == Automatic(2.0).sensitivity == PerLayer(2.0).sensitivity == 2.0
    assert Groups({"a": 3.0, "b": 4.0}).sensitivity == pytest.approx(5.0, rel=1e-12)
    assert Groups({"a": 3.0, "b": 4.0}).sensitivity >= 5.0
    assert Groups({"a": 3.0, "a.b": 4.0, "": 1.0}).groups(["a.b.c", "a.bc", "a", "z"]) == [1, 0, 0, 2]


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan, 1e-13, "1"])
def test_a_norm_that_is_none_is_refused(value):
    for make in (Flat, Automatic, PerLayer, lambda v: Groups({"": v})):
        with pytest.raises(InvalidInput, match=r"norm.*finite number"):
            make(value)
    with pytest.raises(InvalidInput, match="no group"):
        Groups({})
    with pytest.raises(InvalidInput, match="none of the groups"):
        Groups({"head": 1.0}).groups(["body.weight"])


@pytest.mark.parametrize("name", ["gpt tied", "cnn", "mlp", "lstm"])
def test_micro_batches_and_sums_from_before(name):
    case = build(name)
    whole = clipped_sum(case.model, case.loss, case.batch, Flat(0.2))
    for size in (1, 2, 7):
        parts = clipped_sum(case.model, case.loss, case.batch, Flat(0.2), microbatch=size)
        assert distance(parts.sums, whole.sums) < 1e-5
        assert torch.allclose(parts.private_norms, whole.private_norms, rtol=1e-5)
    sums = clipped_sum(case.model, case.loss, case.batch[:2], Flat(0.2)).sums
    again = clipped_sum(case.model, case.loss, case.batch[2:], Flat(0.2), into=sums)
    assert again.sums is sums
    assert distance(sums, whole.sums) < 1e-5
    for wrong in (0, -1):
        with pytest.raises(InvalidInput, match=f"microbatch is {wrong}"):
            clipped_sum(case.model, case.loss, case.batch, Flat(0.2), microbatch=wrong)
    for other in (lambda value: value.double(), lambda value: value[:1]):
        with pytest.raises(InvalidInput, match="into"):
            clipped_sum(case.model, case.loss, case.batch, Flat(0.2), into={n: other(v) for n, v in sums.items()})


def test_no_example_at_all():
    case = build("mlp")
    for batch, real in ((case.batch[:0], None), (case.batch, torch.zeros(B, dtype=torch.bool))):
        got = clipped_sum(case.model, case.loss, batch, Flat(1.0), real=real)
        assert all(value.eq(0).all() for value in got.sums.values())
        assert got.private_norms.eq(0).all()
        assert len(got.private_norms) == len(batch)


def test_padding_may_hold_anything():
    case = build("cnn")
    batch = torch.cat([case.batch, torch.full_like(case.batch[:2], math.nan)])
    real = torch.arange(B + 2) < B
    got = clipped_sum(case.model, case.loss, batch, Flat(0.2), real=real)
    assert distance(got.sums, clipped_sum(case.model, case.loss, case.batch, Flat(0.2)).sums) == 0
    for wrong in (real[:-1], real.float()):
        with pytest.raises(InvalidInput, match="real has"):
            clipped_sum(case.model, case.loss, batch, Flat(0.2), real=wrong)


def test_gradients_that_are_zero():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(model[0].bias, -100.0)
    nn.init.zeros_(model[2].bias)
    for clip in CLIPS:
        got = clipped_sum(model, squared, randn(3), clip)
        assert all(value.eq(0).all() for value in got.sums.values())


@pytest.mark.parametrize("name", ["lstm", "conv1d of gpt-2", "gpt as long as the batch", "attention, time first"])
def test_lengths_may_change(name):
    """More steps than before, one position, as many positions as examples: without a warning."""
    case = build(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for length in (1, 3, 9, B, 2) if "gpt as" not in name else (3, 9, B, 2):
            batch = randn(length, *case.batch.shape[2:]) if case.batch.is_floating_point() else ids(23, length)
            gradients = each_gradient(case.model, case.loss, batch)
            middle = sorted(map(norm, gradients))[2]
            got = clipped_sum(case.model, case.loss, batch, Flat(middle))
            assert distance(got.sums, flat_sum(gradients, middle)) < 1e-4


def test_zero_where_the_layout_shows():
    """Zero-initialised adapters: some parameters get no gradient in the beginning."""
    case = build("lora")
    for block in case.model.blocks:
        nn.init.zeros_(block.qkv.b)
    gradients = each_gradient(case.model, case.loss, case.batch)
    got = clipped_sum(case.model, case.loss, case.batch, Flat(0.1))
    assert distance(got.sums, flat_sum(gradients, 0.1)) < 1e-4


def test_model_and_gradients_stay_as_they_are():
    case = build("gpt tied")
    named = dict(case.model.named_parameters())
    for p in named.values():
        p.grad = torch.full_like(p, 3.0)
    state = {name: value.clone() for name, value in case.model.state_dict().items()}
    random = torch.random.get_rng_state()
    for method in (Method.AUTO, Method.LOOP):
        clipped_sum(case.model, case.loss, case.batch, Flat(0.1), method=method)
    check(case.model, case.loss, case.batch)
    assert all(p.grad.eq(3.0).all() for p in named.values())
    assert all(torch.equal(value, state[name]) for name, value in case.model.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())


def test_sums_after_an_error_hold_nothing():
    sums = {}
    case = build("mlp")
    with pytest.raises(ZeroDivisionError):
        clipped_sum(case.model, lambda m, x: 1 / 0, case.batch, Flat(1.0), into=sums)
    assert all(value.eq(0).all() for value in sums.values())


def test_every_trainable_parameter_has_a_sum():
    case = build("gpt partly frozen")
    case.model.unused = nn.Linear(2, 2)
    got = clipped_sum(case.model, case.loss, case.batch, Flat(0.1))
    assert set(got.sums) == {name for name, p in case.model.named_parameters() if p.requires_grad}
    assert got.sums["unused.weight"].eq(0).all()
    assert all(value.dtype == torch.float32 for value in got.sums.values())


@pytest.mark.parametrize("name", ["mlp", "conv stride", "group norm", "gpt tied", "gpt rms", "gpt checkpointed"])
def test_autocast(name):
    case = build(name)

    def loss(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return case.loss(model, batch).float()

    gradients = each_gradient(case.model, loss, case.batch)
    middle = sorted(map(norm, gradients))[2]
    for method in (Method.AUTO, Method.GHOST, Method.DIRECT):
        got = clipped_sum(case.model, loss, case.batch, Flat(middle), method=method)
        assert distance(got.sums, flat_sum(gradients, middle)) < 2e-2
        for i in range(B):
            two = clipped_sum(case.model, loss, case.batch[[i, i]], Flat(middle / 3), method=method)
            assert norm(two.sums) <= 2 * middle / 3


def test_bfloat16_model():
    case = build("mlp")
    model = case.model.to(torch.bfloat16)
    got = clipped_sum(model, case.loss, case.batch.bfloat16(), Flat(0.01))
    assert all(value.dtype == torch.float32 for value in got.sums.values())
    assert norm(clipped_sum(model, case.loss, case.batch[[0, 0]].bfloat16(), Flat(0.01)).sums) <= 0.02


class _Hidden(torch.autograd.Function):
    """An operation nobody sees."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g * w, (g * x).sum((0, 1))


def _unknown(model, x):
    return torch.cumsum(model.w, 0) * torch.logaddexp(x, model.w)


SLOW = {
    "not known": (_unknown, "logaddexp"),
    "not seen": (lambda m, x: _Hidden.apply(x, m.w), "cannot be seen"),
    "in place": (lambda m, x: torch.zeros(x.shape).copy_(m.w) * x, "copy_"),
    "by place in the batch": (lambda m, x: x * m.w[torch.arange(len(x)) % 4][:, None, None], "apart"),
}


@pytest.mark.parametrize("name", SLOW)
def test_what_is_not_watched_is_right_and_said(name):
    forward, operation = SLOW[name]
    model = Call(lambda m, x: forward(m, m.body(x)), body=nn.Linear(4, 4), w=nn.Parameter(torch.randn(4)))
    batch = randn(3, 4)

    gradients = each_gradient(model, squared, batch)
    with pytest.warns(SlowModule, match=operation) as seen:
        got = clipped_sum(model, squared, batch, Flat(0.1))
    assert any("'w'" in str(w.message) and w.filename == __file__ for w in seen)
    assert distance(got.sums, flat_sum(gradients, 0.1)) < 1e-5


def test_known_models_run_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        case = build("resnet")
        clipped_sum(case.model, case.loss, case.batch, Flat(1.0))


@pytest.mark.parametrize(
    ("loss", "words_of_error"),
    [
        (lambda m, x: squared(m, x).mean(), "a tensor of 0 axes"),
        (lambda m, x: squared(m, x)[:-1], "of another length"),
        (lambda m, x: m(x), "a tensor of 2 axes"),
        (lambda m, x: 1.0, "float"),
        (lambda m, x: squared(m, x).detach(), "no trainable parameter"),
    ],
)
def test_a_loss_of_another_shape_is_refused(loss, words_of_error):
    for method in (Method.AUTO, Method.LOOP):
        with pytest.raises(InvalidInput, match=words_of_error) as error:
            clipped_sum(nn.Linear(4, 3), loss, randn(4), Flat(1.0), method=method)
    assert "Nothing was clipped" in error.value.state


def test_a_batch_that_is_none_is_refused():
    for batch in ((), {"x": torch.tensor(1.0)}, (randn(3), torch.zeros(B + 1))):
        with pytest.raises(InvalidInput, match="the batch has"):
            clipped_sum(nn.Linear(4, 3), squared, batch, Flat(1.0))
    with pytest.raises(InvalidInput, match="no trainable parameter"):
        clipped_sum(nn.Linear(4, 3).requires_grad_(False), squared, randn(4), Flat(1.0))


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.InstanceNorm1d(4, track_running_stats=True)])
def test_layers_that_mix_examples_are_refused(layer):
    model = nn.Sequential(nn.Linear(5, 5), layer)
    for run in (
        lambda: clipped_sum(model, squared, randn(4, 5), Flat(1.0)),
        lambda: check(model, squared, randn(4, 5)),
    ):
        with pytest.raises(InvalidInput, match=f"{type(layer).__name__} '1'") as error:
            run()
    assert "GroupNorm" in str(error.value)
    assert "eval()" in str(error.value)
    model.eval()
    check(model, squared, randn(4, 5))


def test_batch_norm_as_a_function_is_refused():
    def forward(m, x):
        return F.batch_norm(x, None, None, m.w, training=True)

    model = Call(forward, w=nn.Parameter(torch.ones(4)))
    with pytest.raises(InvalidInput, match="batch_norm takes its statistics"):
        clipped_sum(model, squared, randn(4), Flat(1.0))


def test_check_passes_with_dropout():
    model = nn.Sequential(
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3, batch_first=True), nn.Dropout(0.5), nn.Linear(8, 2)
    )
    check(model, squared, randn(4, 8))
    check(GPT(tied=True), words, ids(23, 6))


def _contrastive(model, x):
    out = model(x)
    return F.cross_entropy(out @ out.T, torch.arange(len(x)), reduction="none")


@pytest.mark.parametrize(
    "loss",
    [
        lambda m, x: squared(m, x - x.mean(0)),
        lambda m, x: squared(lambda y: m(y) - m(y).mean(0), x),
        lambda m, x: squared(m, x) / len(x),
        lambda m, x: squared(m, x).mean().expand(len(x)),
        _contrastive,
    ],
)
def test_check_sees_examples_that_change_each_other(loss):
    with pytest.raises(InvalidInput, match="changes by"):
        check(nn.Linear(4, 4), loss, randn(4))


def test_check_wants_three_rows():
    for few in (1, 2):
        with pytest.raises(InvalidInput, match=f"{few} rows.*\\n.*\\n.*three"):
            check(nn.Linear(4, 4), squared, randn(4)[:few])
    check(nn.Linear(4, 4), squared, randn(4)[:3])


def test_check_sees_wrong_sums(monkeypatch):
    from discreet.train.clipping import records

    monkeypatch.setattr(records.Ready, "total", lambda self, factors, into: None)
    with pytest.raises(InvalidInput, match="bias"):
        check(nn.Linear(4, 4), squared, randn(4))
