"""Quantile: what it charges, how the norm moves, that it goes on bit by bit, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import pytest
import torch

from discreet import Domain, PrivacyUnit, Relation, train
from discreet.errors import InvalidInput
from discreet.testing import with_fixed_randomness
from discreet.train.quantile import COUNT, GRAIN, REACH, Moving
from tests.training import EXAMPLE, ROWS, bits, dataset, loss, model, plan, rows, start

CLIP = train.Quantile(0.5, quantile=0.7, rate=0.5, share=0.3)


@pytest.mark.parametrize("share", [1e-6, 0.01, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("multiplier", [0.3, 1.0, 7.7, 200.0])
def test_sum_and_count_together_cost_the_plans_noise(share, multiplier):
    of_gradients, of_count = train.Quantile(1.0, share=share).noise(multiplier)
    together = (of_gradients**-2 + (2 * of_count) ** -2) ** -0.5
    assert multiplier <= together <= multiplier * (1 + 1e-12)


@pytest.mark.parametrize("norm", [1e-3, 0.5, 40.0])
def test_no_example_adds_a_longer_vector_and_no_two_differ_by_more_than_twice(norm):
    """In units of noise: the clipped gradient's length over z_gradients, and the count's over z_count."""
    moving = Moving(dataclasses.replace(CLIP, max_norm=norm), plan(max_grad_norm=norm, noise_multiplier=1.5))
    of_gradients, of_count = CLIP.noise(1.5)
    lengths = [0.0, *(norm * 2.0**k for k in range(-130, 100, 3)), *(norm * k / 64 for k in range(48, 80)), math.inf]
    adds = []
    for length in lengths:
        count = int(moving.counted(torch.tensor([length]))) / GRAIN
        kept = min(length, norm) if math.isfinite(length) else 0.0
        adds.append((kept / norm / of_gradients, count / of_count))
    assert adds[0] == (0.0, 0.0)  # a blank adds nothing
    assert max(math.hypot(*one) for one in adds) <= 1 / 1.5
    apart = max(math.hypot(a[0] + b[0], a[1] - b[1]) for a, b in itertools.product(adds, adds))
    assert apart <= 2 / 1.5


def test_counts():
    moving = Moving(CLIP, plan())
    norms = torch.tensor([0.0, 1e-30, 0.2, 0.4374, 0.46875, 0.5, 0.53125, 0.5626, 3.0, math.inf, math.nan])
    each = [int(moving.counted(norm[None])) / GRAIN for norm in norms]
    wanted = [0.0, 0.0, 0.5, 0.5, 0.25, 0.0, -0.25, -0.5, -0.5, -0.5, -0.5]
    assert each == pytest.approx(wanted, abs=2 / GRAIN)
    assert int(moving.counted(norms)) == round(sum(each) * GRAIN)
    assert int(moving.counted(torch.zeros(0))) == 0


@pytest.mark.parametrize("norm", [1e-3, 0.5, 40.0])
def test_next_to_nothing_counts_next_to_nothing(norm):
    """Whether a square that float32 does not hold became 0 must not decide about half a count: no two that are about as
    long count much differently, at 0 as elsewhere.
    """
    moving = Moving(dataclasses.replace(CLIP, max_norm=norm), plan(max_grad_norm=norm))
    lengths = [0.0, *(norm * 2.0 ** (k / 8) for k in range(-400, 40))]
    counts = [int(moving.counted(torch.tensor([length]))) / GRAIN for length in lengths]
    assert counts[:2] == [0.0, 0.0]  # who has no gradient, and who has hardly one
    assert max(counts) == 0.5
    steps = [abs(a - b) for a, b in itertools.pairwise(counts)]
    assert max(steps) < 4 * (2 ** (1 / 8) - 1) + 2 / GRAIN


@pytest.mark.parametrize("multiplier", [0.4, 1.5, 20.0])
def test_what_moves_the_norm_tells_nothing_of_the_counts_last_bits(multiplier):
    """Whatever count and noise are, the norm moves by a multiple of one public number: of none can be told from its last
    bits which count it was.
    """
    deviation, told = CLIP.noise(multiplier)[1], set()
    grid = 2.0 ** math.floor(math.log2(deviation / 256))
    for count in (-30 * GRAIN, -29 * GRAIN - GRAIN // 2, 12_345_677, 0):
        for noise in torch.linspace(-3, 3, 101).tolist():
            moving = Moving(CLIP, plan(noise_multiplier=multiplier))
            moving.move(torch.tensor(count), Loud(noise), 0)
            told.add((moving.norm, round((count / GRAIN + deviation * noise) / grid)))
    for norm, steps in told:
        assert norm == CLIP.max_norm * math.exp(-CLIP.rate * (steps * grid / 12 + 0.5 - CLIP.quantile))


class Loud:
    """Noise that is what a test says."""

    def __init__(self, value):
        self.value = value

    def fresh(self, *_):
        return torch.tensor([self.value])


@pytest.mark.parametrize("value", [1e30, -1e30, 3.0, -3.0])
def test_the_norm_stays_within_public_bounds(value):
    moving = Moving(train.Quantile(0.5, share=1e-9), plan())
    for step in range(5):
        moving.move(torch.zeros((), dtype=torch.int64), Loud(value), step)
        assert 0.5 / REACH * (1 - 1e-12) <= moving.norm <= 0.5 * REACH * (1 + 1e-12)
        assert moving.rule.max_norm == moving.norm
        assert math.isfinite(moving.noise_std)


def by_hand(key, settings, clip):
    """Take the same steps with plain autograd, one example at a time; return the model and every norm."""
    net, stream, norm, norms = model(), train.Keystream(key), clip.max_norm, []
    noise = train.KeyedNoise(stream)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    inputs, labels = rows()
    of_gradients, of_count = clip.noise(settings.noise_multiplier)
    for step in range(settings.steps):
        sums, count = {name: torch.zeros_like(p) for name, p in net.named_parameters()}, 0.0
        for i in settings.drawn_by.batch(stream, step, units=ROWS, steps=settings.steps):
            value = loss(net, (inputs[i : i + 1], labels[i : i + 1])).sum()
            found = dict(zip(sums, torch.autograd.grad(value, list(net.parameters())), strict=True))
            length = torch.cat([g.flatten() for g in found.values()]).double().norm().item()
            for name, gradient in found.items():
                sums[name] += gradient * min(1.0, norm / length)
            count += min(0.5, max(-0.5, 4 * (1 - length / norm))) * min(1.0, 2**20 * length / norm)
        for name, parameter in net.named_parameters():
            fresh = noise.standard(step, name, parameter.numel()).view(parameter.shape)
            parameter.grad = (sums[name] + of_gradients * norm * fresh) / settings.expected_batch_size
        optimizer.step()
        noisy = count + of_count * float(noise.fresh(step, COUNT, 1)[0])
        grid = 2.0 ** math.floor(math.log2(of_count / 256))
        noisy = round(noisy / grid) * grid
        norm *= math.exp(-clip.rate * (noisy / settings.expected_batch_size + 0.5 - clip.quantile))
        norms.append(norm)
    return net, norms


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sample_rate": 1e-9},  # every batch is empty: the norm moves by noise alone
        {"sample_rate": None, "sampler": train.FixedSize(7), "records": ROWS, "relation": Relation.REPLACE_ONE},
    ],
    ids=["poisson", "empty", "fixed"],
)
def test_it_takes_the_steps_of_its_plan(tmp_path, changes):
    settings = plan(**changes)
    data = with_fixed_randomness(dataset(tmp_path, unit=PrivacyUnit(relation=settings.relation)), seed=1)
    run = start(data, tmp_path, plan=settings, clip=CLIP)
    (kept,) = (tmp_path / "private").glob("*/begun.json")
    key = bytes.fromhex(json.loads(kept.read_text())["key"])
    run.fit()
    wanted, norms = by_hand(key, settings, CLIP)
    for ours, theirs in zip(run.model.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)
    release = run.finish()
    assert release.facts["last_norm"] == pytest.approx(norms[-1], rel=1e-5)
    assert release.event == settings.event  # the counts are within the plan's charge
    assert [part["standard_deviation"] for part in release.facts["noise"]] == [*CLIP.noise(1.5)]
    assert "70%" in release.facts["sentence"]


def test_micro_batches_change_nothing_but_roundings(tmp_path):
    found = []
    for size in (1, 7, 64):
        data = with_fixed_randomness(dataset(tmp_path / str(size)), seed=1)
        run = start(data, tmp_path / str(size), microbatch=size, clip=CLIP)
        run.fit()
        found.append(run.finish().facts["last_norm"])
    assert found == pytest.approx([found[0]] * 3, rel=1e-5)


def test_people_count_once_each(tmp_path):
    """Whoever has a row three times has its gradient, and counts as whoever has it once."""
    inputs, labels = rows()
    found = []
    for times in (1, 3):
        who = torch.arange(ROWS).repeat_interleave(times)
        held = {"x": inputs.repeat_interleave(times, 0), "y": labels.repeat_interleave(times), "who": who}
        unit, folder = PrivacyUnit(column="who", max_groups=1, max_rows=3), tmp_path / str(times)
        data = with_fixed_randomness(dataset(folder, held, unit=unit, domain=Domain(who="integer")), seed=1)
        told = {"loss": lambda net, batch: loss(net, (batch["x"], batch["y"])), "clip": CLIP, "microbatch": 7}
        run = start(data, folder, example={"x": EXAMPLE[0], "y": EXAMPLE[1]}, **told)
        run.fit()
        found.append(run.finish().facts["last_norm"])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("every", [1, 5, 100])
def test_it_goes_on_bit_by_bit(tmp_path, every):
    whole = start(with_fixed_randomness(dataset(tmp_path / "a"), seed=2), tmp_path / "a", clip=CLIP)
    whole.fit()
    data = with_fixed_randomness(dataset(tmp_path / "b"), seed=2)
    for steps in (0, 3, 4, 1, 99):
        run = start(data, tmp_path / "b", checkpoint_every=every, clip=CLIP)
        for _, batch in zip(range(steps), run.loader, strict=False):
            run.step(batch)
        run.close()
    run = start(data, tmp_path / "b", clip=CLIP)
    run.fit()
    assert bits(run.model) == bits(whole.model)
    assert run.finish().facts["last_norm"] == whole.finish().facts["last_norm"] != 0.5


def test_another_clip_is_another_run(tmp_path):
    data = dataset(tmp_path)
    for clip in (None, CLIP, dataclasses.replace(CLIP, share=0.2), dataclasses.replace(CLIP, rate=0.1)):
        start(data, tmp_path, clip=clip).close()
    assert len([entry for entry in data.ledger.entries("people") if entry.kind == "charge"]) == 4


@pytest.mark.parametrize("first", [0.01, 100.0])
def test_the_norm_goes_where_that_share_of_gradients_is_shorter(first):
    """Lengths are 1 to 100; noise is next to nothing."""
    lengths = torch.arange(1.0, 101)
    facts = {"max_grad_norm": first, "expected_batch_size": 100, "noise_multiplier": 0.1}
    for quantile in (0.1, 0.5, 0.9):
        moving = Moving(train.Quantile(first, quantile=quantile, share=0.9), plan(**facts))
        for step in range(800):
            moving.move(moving.counted(lengths), Loud(0.0), step)
        assert moving.norm == pytest.approx(100 * quantile, rel=0.02, abs=1)


@pytest.mark.parametrize(
    "values",
    [
        {"max_norm": 0.0},
        {"max_norm": 1e-10},
        {"max_norm": 1e31},
        {"quantile": 0.0},
        {"quantile": 1.0},
        {"quantile": "half"},
        {"rate": 0.0},
        {"rate": math.inf},
        {"rate": math.nan},
        {"share": 0.0},
        {"share": 1.0},
        {"share": True},
    ],
    ids=str,
)
def test_wrong_values_are_refused(values):
    with pytest.raises(InvalidInput, match=next(iter(values))):
        train.Quantile(**{"max_norm": 1.0, **values})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"clip": train.Quantile(0.4)}, r"first norm of the clip is 0\.4"),
        ({"clip": train.Quantile(0.6)}, r"leaves gradients up to 0\.6"),
        (
            {
                "clip": CLIP,
                "plan": plan(sample_rate=None, sampler=train.Cyclic(0.5, 3), correlation=train.BandedRoot(3)),
            },
            "this norm moves",
        ),
    ],
    ids=["shorter", "longer", "correlated"],
)
def test_what_does_not_fit_the_plan_is_refused(tmp_path, changes, says):
    data = dataset(tmp_path)
    with pytest.raises(InvalidInput, match=says) as caught:
        start(data, tmp_path, **changes)
    assert "Nothing was" in str(caught.value)
    assert not [entry for entry in data.ledger.entries("people") if entry.kind == "charge"]
