"""Rows that the batch's numbers move are credited to their own example, or the model runs one example at a time."""

from __future__ import annotations

import warnings

import pytest
import torch

from discreet.train.clipping import Flat, Method, SlowModule, check, clipped_sum, engine, watch
from discreet.train.clipping.probe import DIGITS, varied
from tests.unit.train.clipping import reordered
from tests.unit.train.clipping.oracle import distance
from tests.unit.train.clipping.reordered import HOW, Moves, loss, rows
from tests.unit.train.clipping.zoo import CASES, build

QUIET = pytest.mark.filterwarnings("ignore::discreet.train.clipping.SlowModule")


@QUIET
def test_neighbours_stay_near():
    reordered.neighbours_stay_near()


@QUIET
@pytest.mark.parametrize("planted", ["a list that allows all", "shapes that say nothing", "weights that say nothing"])
def test_not_looking_is_noticed(monkeypatch, planted):
    if planted == "a list that allows all":
        monkeypatch.setattr(watch, "keeps_places", lambda *_: True)
    elif planted == "shapes that say nothing":
        monkeypatch.setattr(engine, "combines", lambda *_: False)
    else:
        monkeypatch.setattr(engine, "varied", lambda examples: [torch.ones(examples)])
    with pytest.raises(AssertionError):
        reordered.neighbours_stay_near()


@QUIET
@pytest.mark.parametrize("how", HOW, ids=lambda how: how.__name__)
def test_each_batch_is_looked_at(monkeypatch, how):
    """Whatever is used to move rows, the engine takes note in the first batch, in which nothing moved."""
    seen = []
    monkeypatch.setattr(engine, "confirm", lambda *_: seen.append(1))
    torch.manual_seed(0)
    clipped_sum(Moves(how), loss, rows(6, still=True), Flat(1.0))
    assert seen


@QUIET
def test_two_rows_that_changed_places():
    """Only two neighbours of 24 are out of order, wherever they are."""
    torch.manual_seed(2)
    model = Moves(reordered.looked_up)
    ready = rows(24, still=True)
    check(model, loss, ready[:4])
    for i in (0, 7, 19, 22):
        x = ready.clone()
        x[[i, i + 1]] = ready[[i + 1, i]]
        expected = clipped_sum(model, loss, x, Flat(1.0), method=Method.LOOP)
        assert distance(clipped_sum(model, loss, x, Flat(1.0)).sums, expected.sums) < 1e-5


def test_once_slow_always_slow():
    """No later batch whose rows happen to lie in order makes the engine trust a layout."""
    torch.manual_seed(1)
    model = Moves(reordered.time_first)
    with pytest.warns(SlowModule):
        clipped_sum(model, loss, rows(8).flip(0), Flat(1.0))
    for _ in range(3):
        with pytest.warns(SlowModule, match="one example at a time"):
            clipped_sum(model, loss, rows(8, still=True), Flat(1.0))


class Sorted(torch.nn.Module):
    def forward(self, x):
        return x[x[:, 0].argsort()]


@QUIET
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("function", [False, True])
def test_scripted_code_is_not_trusted(function):
    sort = torch.jit.script(_sorted) if function else torch.jit.script(Sorted())
    torch.manual_seed(4)
    model = Moves(lambda m, x: m.b(torch.tanh(m.a(m.sort(x[:, 0]))))[x[:, 0, 0].argsort().argsort()].squeeze(1))
    model.sort = sort
    clipped_sum(model, loss, rows(4, still=True), Flat(1.0))
    x = rows(9)
    expected = clipped_sum(model, loss, x, Flat(1.0), method=Method.LOOP)
    assert distance(clipped_sum(model, loss, x, Flat(1.0)).sums, expected.sums) < 1e-5


def _sorted(x):
    return x[x[:, 0].argsort()]


@pytest.mark.parametrize("examples", [1, 2, 3, 64, 65, 5000])
def test_weights_tell_all_pairs_apart(examples):
    vectors = varied(examples)
    assert len(vectors) >= 2
    together = torch.stack(vectors, 1)
    assert len(together.unique(dim=0)) == examples
    assert torch.equal(together.log2().round().exp2(), together)
    assert together.max() <= 2.0 ** (DIGITS - 1)
    assert examples < 64 or not torch.equal(torch.stack(varied(examples), 1), together)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even:UserWarning")
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_usual_models_are_not_looked_at_again(monkeypatch):
    """Nothing is run twice for them: they are as fast as before."""
    looked = []
    monkeypatch.setattr(engine, "confirm", lambda *_: looked.append(name))
    for name in CASES:
        case = build(name)
        with warnings.catch_warnings():
            warnings.simplefilter("error", SlowModule)
            if name == "last word":  # it picks by a place that the batch holds
                warnings.filterwarnings("ignore", "numbers of the batch", SlowModule)
            clipped_sum(case.model, case.loss, case.batch, Flat(1.0))
    assert set(looked) == {"last word"}
