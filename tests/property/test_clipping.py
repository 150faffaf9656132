"""One example never moves the clipped sum by more than the sensitivity, whatever its size."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from discreet.train.clipping import Automatic, Flat, Groups, Method, PerLayer, Scaled, check, clipped_sum

EXPONENTS = st.lists(st.tuples(st.integers(-30, 30), st.integers(-30, 30)), min_size=2, max_size=4)


class Tied(nn.Module):
    """A table used to look up and to score."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(6, 3)

    def forward(self, x):
        places = torch.arange(x.shape[1]).expand(x.shape[:2]) % 6
        return (self.table(places) * x[..., :3]) @ self.table.weight.T


@functools.cache
def model(kind: str) -> nn.Module:
    torch.manual_seed(11)
    return {
        "rows": lambda: nn.Linear(4, 3),
        "deep": lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)),
        "normed": lambda: nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 3)),
        "tied": Tied,
        "conv": lambda: nn.Sequential(nn.Conv1d(5, 4, 3, padding=1), nn.GroupNorm(2, 4)),
    }[kind]()


def loss(net, batch):
    x, scale = batch
    out = net(x).flatten(1)
    return (out * torch.linspace(0.5, 1.5, out.shape[1])).sum(1) * scale


CLIPS = [Flat(1.0), Flat(1e-6), Automatic(1.0), PerLayer(3.0), Groups({"": 0.5})]


# Gradients that are almost too small for float32 may hide whose they are; then examples go one at a time, and say so.
@pytest.mark.filterwarnings("ignore::discreet.train.clipping.SlowModule")
@example(kind="deep", exponents=[(19, 0), (0, 0)], clip=Flat(1.0), method=Method.AUTO, seed=0)  # the fast way overflows
@example(kind="rows", exponents=[(0, 0), (4, 30)], clip=Flat(1e-6), method=Method.AUTO, seed=0)  # tiny factors
@settings(max_examples=120)
@given(
    kind=st.sampled_from(["rows", "deep", "normed", "tied", "conv"]),
    exponents=EXPONENTS,
    clip=st.sampled_from(CLIPS),
    method=st.sampled_from([Method.AUTO, Method.GHOST, Method.DIRECT, Method.LOOP]),
    seed=st.integers(0, 2**20),
)
def test_one_example_moves_the_sum_by_at_most_the_sensitivity(kind, exponents, clip, method, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(exponents), 5, 4, generator=generator)
    x = x * torch.tensor([10.0**a for a, _ in exponents])[:, None, None]
    batch = (x, torch.tensor([10.0**b for _, b in exponents]))
    whole = clipped_sum(model(kind), loss, batch, clip, method=method).sums
    for i in range(len(exponents)):
        others = torch.arange(len(exponents)) != i
        less = clipped_sum(model(kind), loss, batch, clip, method=method, real=others).sums
        apart = sum(float((whole[n].double() - less[n].double()).square().sum()) for n in whole) ** 0.5
        assert apart <= clip.sensitivity * (1 + 1e-6)


@pytest.mark.filterwarnings("ignore::discreet.train.clipping.SlowModule")  # as above
@settings(max_examples=80)
@given(
    kind=st.sampled_from(["rows", "deep", "normed", "tied", "conv"]),
    exponents=st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=2, max_size=8),
    owners=st.lists(st.integers(0, 3), min_size=8, max_size=8),
    clip=st.sampled_from(CLIPS),
    method=st.sampled_from([Method.AUTO, Method.GHOST, Method.DIRECT, Method.LOOP]),
    microbatch=st.sampled_from([None, 1, 3]),
    seed=st.integers(0, 2**20),
)
def test_one_unit_moves_the_sum_by_at_most_the_sensitivity(kind, exponents, owners, clip, method, microbatch, seed):
    """Whatever its rows are, and however many."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(exponents), 5, 4, generator=generator)
    x = x * torch.tensor([10.0**a for a, _ in exponents])[:, None, None]
    batch = (x, torch.tensor([10.0**b for _, b in exponents]))
    whose = torch.tensor(owners[: len(exponents)])
    told = {"method": method, "owners": whose, "microbatch": microbatch}
    whole = clipped_sum(model(kind), loss, batch, clip, **told).sums
    for unit in whose.unique():
        less = clipped_sum(model(kind), loss, batch, clip, real=whose != unit, **told).sums
        apart = sum(float((whole[n].double() - less[n].double()).square().sum()) for n in whole) ** 0.5
        assert apart <= clip.sensitivity * (1 + 1e-6)


@example(kind="deep", exponents=[(-25, 25), (25, -25)], spread=6, method=Method.AUTO, seed=0)
@example(kind="deep", exponents=[(0, 0), (17, 0)], spread=0, method=Method.AUTO, seed=0)  # one is left alone
@settings(max_examples=120)
@given(
    kind=st.sampled_from(["rows", "deep"]),
    exponents=EXPONENTS,
    spread=st.integers(0, 6),
    method=st.sampled_from([Method.AUTO, Method.DIRECT, Method.LOOP]),
    seed=st.integers(0, 2**20),
)
def test_a_scaled_example_moves_the_sum_by_at_most_the_sensitivity(kind, exponents, spread, method, seed):
    """Each example goes through each layer once, so that lengths are had without gradients."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(exponents), 4, generator=generator) * torch.tensor([10.0**a for a, _ in exponents])[:, None]
    batch = (x, torch.tensor([10.0**b for _, b in exponents]))
    named = dict(model(kind).named_parameters())
    scales = {n: 10 ** (spread * (2 * torch.rand(p.shape, generator=generator) - 1)) for n, p in named.items()}
    clip = Scaled(Flat(1.0), scales)
    whole = clipped_sum(model(kind), loss, batch, clip, method=method).sums
    for i in range(len(exponents)):
        others = torch.arange(len(exponents)) != i
        less = clipped_sum(model(kind), loss, batch, clip, method=method, real=others).sums
        apart = sum(float((whole[n].double() - less[n].double()).square().sum()) for n in whole) ** 0.5
        assert apart <= 1 + 1e-6


def short_loss(net, batch):
    return loss(net, (batch[0].bfloat16(), batch[1])).float()


@functools.cache
def short(kind: str) -> nn.Module:
    """A model of bfloat16 that public rows were tried on."""
    net = copy.deepcopy(model(kind)).bfloat16()
    check(net, short_loss, (torch.randn(4, 5, 4, generator=torch.Generator().manual_seed(1)), torch.ones(4)))
    return net


@settings(max_examples=60)
@given(
    kind=st.sampled_from(["rows", "deep", "normed", "tied", "conv"]),
    exponents=st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 30)), min_size=2, max_size=7),
    clip=st.sampled_from(CLIPS),
    method=st.sampled_from([Method.AUTO, Method.GHOST, Method.DIRECT]),
    microbatch=st.sampled_from([None, 2, 3]),
    seed=st.integers(0, 2**20),
)
def test_in_bfloat16_one_example_moves_the_sum_by_at_most_the_sensitivity(
    kind, exponents, clip, method, microbatch, seed
):
    """Others round as they did, even beside one that overflows."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(exponents), 5, 4, generator=generator)
    x = x * torch.tensor([10.0**a for a, _ in exponents])[:, None, None]
    batch = (x, torch.tensor([10.0**b for _, b in exponents]))
    told = {"method": method, "microbatch": microbatch}
    whole = clipped_sum(short(kind), short_loss, batch, clip, **told).sums
    for i in range(len(exponents)):
        others = torch.arange(len(exponents)) != i
        less = clipped_sum(short(kind), short_loss, batch, clip, real=others, **told).sums
        apart = sum(float((whole[n].double() - less[n].double()).square().sum()) for n in whole) ** 0.5
        assert apart <= clip.sensitivity * (1 + 1e-6)
