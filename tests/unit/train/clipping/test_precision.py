"""Numbers of 16 bits, shortened products, and compiled code: norms stay float32, and one example moves itself alone."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from discreet.errors import InvalidInput
from discreet.train.average import Average
from discreet.train.clipping import Flat, SlowModule, check, clipped_sum
from discreet.train.clipping.setting import exact
from tests.training import EXAMPLE, dataset, loss, model, start
from tests.unit.train.clipping.oracle import distance, each_gradient, flat_sum, norm
from tests.unit.train.clipping.zoo import Call, Case, build

MODELS = ("mlp", "cnn", "resnet", "gpt tied", "gpt rms", "class token", "lora", "lstm")
ROWS = 7


def short(name: str, *, inside: bool, kind: torch.dtype = torch.bfloat16) -> Case:
    """Return a case in short numbers, by autocast in the loss or as the parameters' own type, with `ROWS` examples."""
    case = build(name)
    batch = torch.cat([case.batch, case.batch.flip(-1)])[:ROWS]
    if not inside:
        batch = batch.to(kind) if batch.is_floating_point() else batch
        return Case(case.model.to(kind), batch, lambda m, b: case.loss(m, b).float())

    def loss(model, batch):
        with torch.autocast("cpu", kind):
            return case.loss(model, batch).float()

    return Case(case.model, batch, loss)


@pytest.mark.parametrize("inside", [True, False], ids=["autocast", "parameters"])
@pytest.mark.parametrize("name", MODELS)
def test_one_example_moves_the_sum_by_its_own_share(name, inside):
    """By what it adds itself, and not by how others round: in micro-batches of 3, its coming leaves one alone."""
    case = short(name, inside=inside)
    norms = clipped_sum(case.model, case.loss, case.batch, Flat(1e6)).private_norms
    most = Flat(float(norms.median()))
    whole = clipped_sum(case.model, case.loss, case.batch, most, microbatch=3).sums
    assert all(value.dtype == torch.float32 for value in whole.values())
    for gone in (0, 3, 6):
        places = torch.tensor([i for i in range(ROWS) if i != gone])
        less = clipped_sum(case.model, case.loss, case.batch[places], most, microbatch=3).sums
        share = {key: whole[key].double() - less[key].double() for key in whole}
        assert norm(share) <= most.max_norm * (1 + 1e-6)
        twice = clipped_sum(case.model, case.loss, case.batch[[gone, gone]], most).sums
        assert norm({key: share[key] - twice[key].double() / 2 for key in whole}) < 1e-5 * most.max_norm


@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt tied"])
def test_one_person_moves_the_sum_by_its_own_share(name):
    """With several rows each, in micro-batches that hold one row, or one person, alone."""
    case, owners = short(name, inside=True), torch.tensor([0, 0, 1, 2, 2, 2, 3])
    norms = clipped_sum(case.model, case.loss, case.batch, Flat(1e6), owners=owners).private_norms
    most = Flat(float(norms.median()))
    whole = clipped_sum(case.model, case.loss, case.batch, most, owners=owners, microbatch=3).sums
    for gone in range(4):
        rest, own = owners != gone, owners == gone
        less = clipped_sum(case.model, case.loss, case.batch, most, real=rest, owners=owners, microbatch=3).sums
        share = {key: whole[key].double() - less[key].double() for key in whole}
        assert norm(share) <= most.max_norm * (1 + 1e-6)
        alone = clipped_sum(case.model, case.loss, case.batch, most, real=own, owners=owners).sums
        assert norm({key: share[key] - alone[key].double() for key in whole}) < 1e-5 * most.max_norm


def test_check_takes_short_numbers_and_still_finds_what_mixes():
    case = short("gpt tied", inside=True)
    check(case.model, case.loss, case.batch)

    def leaning(model, batch):
        losses = case.loss(model, batch)
        return losses + 0.001 * losses.mean().detach()

    with pytest.raises(InvalidInput, match="with the other examples"):
        check(case.model, leaning, case.batch)
    own = short("mlp", inside=False)
    check(own.model, own.loss, own.batch)
    with pytest.raises(InvalidInput, match="with the other examples"):
        check(own.model, lambda m, b: own.loss(m, b) / len(b), own.batch)


def test_check_of_a_program_that_only_autocast_makes_one():
    """Without autocast, its product is of two types."""
    net = nn.Linear(4, 3)

    def loss(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return model(batch.bfloat16()).float().square().mean(1)

    check(net, loss, torch.randn(5, 4))


def test_rows_that_numbers_move_go_one_by_one_in_short_numbers():
    """There, one bad example would send all others another way, and all would round otherwise."""

    def loss(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            order = batch[:, 0].argsort()
            return model(batch[order])[order.argsort()].float().square().mean(1)

    net, batch = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 2)), torch.randn(6, 4)
    bad = torch.cat([batch, torch.full((1, 4), torch.inf)])
    with pytest.warns(SlowModule, match="bfloat16, after a call"):
        both = [clipped_sum(net, loss, rows, Flat(0.1)).sums for rows in (batch, bad)]
    assert all(torch.equal(both[0][name], both[1][name]) for name in both[0])


@pytest.mark.parametrize("inside", [True, False], ids=["autocast", "parameters"])
def test_float16_is_refused(inside):
    """What is too small for it is lost, and powers of two do not scale it exactly."""
    case = short("mlp", inside=inside, kind=torch.float16)
    for act in (lambda: check(*case[::2], case.batch), lambda: clipped_sum(*case[::2], case.batch, Flat(1.0))):
        with pytest.raises(InvalidInput, match="come as float16") as error:
            act()
        assert "bfloat16" in str(error.value)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_norms_and_sums_are_not_shortened(precision):
    """Ones come back whatever a product rounds to: what is recorded is the same, and so must be what is made of it."""
    net = nn.Linear(256, 256)

    def loss(model, batch):
        return model(batch).sum((1, 2))

    batch = torch.randn(8, 64, 256)
    expected = clipped_sum(net, loss, batch, Flat(1.0))
    torch.set_float32_matmul_precision(precision)
    try:
        got = clipped_sum(net, loss, batch, Flat(1.0))
        with exact():
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(got.private_norms, expected.private_norms)
    assert all(torch.equal(got.sums[name], expected.sums[name]) for name in got.sums)


def test_autocast_around_everything_is_refused(tmp_path):
    case = build("mlp")
    data = dataset(tmp_path)
    run = start(data, tmp_path, name="before")
    batch = next(run.loader)
    with torch.autocast("cpu", torch.bfloat16):
        for act in (
            lambda: clipped_sum(case.model, case.loss, case.batch, Flat(1.0)),
            lambda: check(case.model, case.loss, case.batch),
            lambda: start(data, tmp_path),
            lambda: run.step(batch),
        ):
            with pytest.raises(InvalidInput, match="around the training") as error:
                act()
            assert "inside of the loss" in str(error.value)
    assert len([entry for entry in data.ledger.entries("people") if entry.kind == "charge"]) == 1
    run.step(batch)
    assert run.steps_taken == 1


def test_a_run_of_short_numbers(tmp_path):
    net = model().bfloat16()

    def short_loss(net, batch):
        return loss(net, (batch[0].bfloat16(), batch[1]))

    run = start(dataset(tmp_path), tmp_path, model=net, loss=short_loss, average=0.9)
    run.fit()
    run.finish()
    assert all(p.dtype == torch.bfloat16 and bool(torch.isfinite(p).all()) for p in run.model.parameters())


def test_an_average_of_short_numbers_moves():
    """A thousandth of a step is lost when it is added in bfloat16."""
    net = nn.Linear(1, 1, bias=False).bfloat16()
    with torch.no_grad():
        net.weight.fill_(1.0)
        mean = Average(net, 0.999)
        net.weight.fill_(1.1)
        for step in range(10_000, 12_000):
            mean.update(step)
        mean.put()
    assert net.weight.item() > 1.07


def _never(*_):
    raise AssertionError("it was compiled")


def test_compiled_code_runs_call_by_call(tmp_path):
    squash = torch.compile(lambda x: torch.tanh(x) * x, backend=_never)
    net = Call(lambda m, x: m.b(squash(m.a(x))), a=nn.Linear(4, 6), b=nn.Linear(6, 2))
    net.a.compile(backend=_never)
    batch = torch.randn(5, 4)
    tail = torch.compile(lambda out: out.square().mean(1), backend=_never)

    def loss(model, batch):
        return tail(model(batch))

    with warnings.catch_warnings():
        warnings.simplefilter("error", SlowModule)
        check(net, loss, batch)
        got = clipped_sum(net, loss, batch, Flat(0.1))
    with torch.compiler.set_stance("force_eager"):
        expected = flat_sum(each_gradient(net, loss, batch), 0.1)
    assert distance(got.sums, expected) < 1e-4


def test_a_compiled_model_is_refused(tmp_path):
    whole = torch.compile(model(), backend=_never)
    part = nn.Sequential(nn.Linear(4, 6), torch.compile(nn.Tanh(), backend=_never), nn.Linear(6, 2))
    data = dataset(tmp_path)
    for net, said in ((whole, "the model is compiled"), (part, "the module '1' is compiled")):
        for act in (
            lambda net=net: start(data, tmp_path, model=net),
            lambda net=net: clipped_sum(net, loss, EXAMPLE, Flat(1.0)),
        ):
            with pytest.raises(InvalidInput, match=said) as error:
                act()
            assert "compile it when it is trained" in str(error.value)
    assert not [entry for entry in data.ledger.entries("people") if entry.kind == "charge"]
