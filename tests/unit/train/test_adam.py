"""PrivateAdam: its numbers, what it takes off for noise, scales, runs that go on bit by bit, and what it refuses."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from discreet import train
from discreet.errors import InvalidInput
from discreet.testing import with_fixed_randomness
from tests.training import EXAMPLE, ROWS, STEPS, bits, dataset, loss, model, plan, rows, start

NOISE = 1.5 * 0.5 / 12  # of `plan()`, in a gradient


def parameter(*values):
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def by_hand(start, gradients, *, lr, betas, floor, decay, noise):
    """Return where Adam goes with the noise's variance taken off, in float64."""
    at, mean, square = np.array(start), 0.0, 0.0
    for step, gradient in enumerate(gradients, start=1):
        mean = betas[0] * mean + (1 - betas[0]) * gradient
        square = betas[1] * square + (1 - betas[1]) * gradient**2
        kept = np.maximum(square / (1 - betas[1] ** step) - noise**2, floor * noise**2)
        at = at * (1 - lr * decay) - lr * mean / (1 - betas[0] ** step) / np.sqrt(kept)
    return at


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_the_noises_variance_is_taken_off(decay):
    gradients = np.random.default_rng(1).normal(size=(20, 3)) * [0.3 * NOISE, NOISE, 9 * NOISE]
    p = parameter(1.0, -2.0, 0.5)
    adam = train.PrivateAdam([p], plan(), lr=0.05, betas=(0.8, 0.95), floor=0.2, weight_decay=decay)
    for gradient in gradients:
        p.grad = torch.from_numpy(gradient)
        adam.step()
    wanted = by_hand(
        [1.0, -2.0, 0.5], gradients, lr=0.05, betas=(0.8, 0.95), floor=0.2, decay=decay, noise=plan().noise_std / 12
    )
    assert p.detach().numpy() == pytest.approx(wanted, rel=1e-12)


def test_without_noise_to_speak_of_it_is_adamw():
    ours, theirs = parameter(1.0, -2.0, 0.5), parameter(1.0, -2.0, 0.5)
    adam = train.PrivateAdam([ours], plan(noise_multiplier=1e-12), lr=0.05, weight_decay=0.1)
    other = torch.optim.AdamW([theirs], lr=0.05, eps=0.0, weight_decay=0.1)
    for gradient in torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        adam.step()
        other.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)


def test_what_is_left_is_the_moment_of_gradients_without_noise():
    """Plain Adam would find noise² + signal², a hundred times as much."""
    p, signal = nn.Parameter(torch.zeros(2000)), 0.1 * NOISE
    adam = train.PrivateAdam([p], plan(), betas=(0.9, 0.999))
    dice = torch.Generator().manual_seed(4)
    for _ in range(300):
        p.grad = signal + NOISE * torch.randn(2000, generator=dice)
        adam.step()
    known, of_noise = adam._moments(p, adam.param_groups[0])
    assert of_noise == pytest.approx(NOISE**2, rel=1e-9)
    assert float(known.mean()) == pytest.approx(signal**2, rel=0.3)


def test_noise_that_changes_is_taken_off_as_it_was():
    p, dice = nn.Parameter(torch.zeros(4000)), torch.Generator().manual_seed(4)
    adam = train.PrivateAdam([p], plan(), betas=(0.9, 0.99))
    for step in range(60):
        noise = NOISE * (1 + step % 7)
        adam.expect(noise)
        p.grad = noise * torch.randn(4000, generator=dice)
        adam.step()
    known, of_noise = adam._moments(p, adam.param_groups[0])
    assert abs(float(known.mean())) < 0.02 * of_noise


# ------------------------------------------------------------------------------------------ scaled


def test_scales_are_one_at_first_and_smaller_where_gradients_are_large():
    few, many, dice = (
        nn.Parameter(torch.zeros(3, 500)),
        nn.Parameter(torch.zeros(500)),
        torch.Generator().manual_seed(3),
    )
    adam = train.PrivateAdam([few, many], plan(), betas=(0.9, 0.99), scaled=True)
    assert all(torch.allclose(scale, torch.ones(())) for scale in adam.scales().values())
    signal = NOISE * torch.tensor([[0.0], [10.0], [100.0]])
    for _ in range(400):
        few.grad = adam.scales()[few] * signal + NOISE * torch.randn(3, 500, generator=dice)
        many.grad = NOISE * torch.randn(500, generator=dice)
        adam.step()
    scales = adam.scales()
    assert float(torch.cat([scale.flatten() for scale in scales.values()]).square().mean()) == pytest.approx(1.0, 1e-5)
    one, ten, hundred = scales[few].mean(1).tolist()
    assert one / ten == pytest.approx(math.sqrt(1 + 10**2), rel=0.05)
    assert one / hundred == pytest.approx(math.sqrt(1 + 100**2), rel=0.05)
    assert float(scales[many].mean()) == pytest.approx(one, rel=0.01)


def test_noise_in_scaled_gradients_is_taken_off_where_it_lands():
    """Gradients of 3 and 30 deviations of noise: both are found, though their noise is not the same."""
    p, dice = nn.Parameter(torch.zeros(2, 3000)), torch.Generator().manual_seed(6)
    signal = NOISE * torch.tensor([[3.0], [30.0]]).expand(2, 3000)
    adam = train.PrivateAdam([p], plan(), betas=(0.9, 0.99), scaled=True)
    for _ in range(300):
        p.grad = adam.scales()[p] * signal + NOISE * torch.randn(2, 3000, generator=dice)
        adam.step()
    known, of_noise = adam._moments(p, adam.param_groups[0])
    assert known.mean(1).tolist() == pytest.approx((signal[:, 0] ** 2).tolist(), rel=0.02)
    assert float(of_noise[1].mean()) > 20 * float(of_noise[0].mean())


def test_a_run_is_named_by_all_scales(tmp_path):
    """A tensor of many numbers prints few of them: with other ones in between, it was answered with the same release."""
    data, settings = dataset(tmp_path), plan()

    def started(value, **changes):
        net = nn.Sequential(nn.Linear(4, 300), nn.Tanh(), nn.Linear(300, 2))
        scales = {name: torch.ones_like(p) for name, p in net.named_parameters()}
        scales["0.weight"].data[150, 2] = value
        clip = train.Scaled(changes.pop("rule", train.Flat(0.5)), scales)
        start(data, tmp_path, model=net, plan=settings, clip=clip).close()

    def charges():
        return [entry.kind for entry in data.ledger.entries("people")].count("charge")

    started(1.0)
    started(1.0)
    assert charges() == 1
    started(2.0)
    assert charges() == 2
    with pytest.raises(InvalidInput, match="Quantile is within Scaled"):
        started(1.0, rule=train.Quantile(0.5))
    with pytest.raises(InvalidInput, match="Quantile is within Scaled"):
        started(1.0, rule=train.Scaled(train.Quantile(0.5), {}))
    assert charges() == 2


def test_a_group_that_is_not_scaled_has_ones_beside_one_that_is(tmp_path):
    net, settings = model(), plan()
    groups = [{"params": [*net[0].parameters()], "scaled": True}, {"params": [*net[2].parameters()]}]
    adam = train.PrivateAdam(groups, settings, lr=0.05)
    run = start(dataset(tmp_path), tmp_path, model=net, optimizer=adam, plan=settings)
    run.fit()
    scales = adam.scales()
    assert all(bool((scales[p] == 1).all()) for p in net[2].parameters())
    assert not any(bool((scales[p] == 1).all()) for p in net[0].parameters())
    squares = torch.cat([scales[p].square().flatten() for p in net[0].parameters()])
    assert float(squares.mean()) == pytest.approx(1, rel=1e-5)
    noise = settings.noise_std / settings.expected_batch_size
    for p in net[2].parameters():  # its noise is as it was added
        assert adam.state[p]["noise"] == pytest.approx(noise**2 * (1 - 0.999**STEPS))


def test_a_run_clips_scaled_gradients(tmp_path):
    """By hand, one example at a time."""
    settings, net = plan(), model()
    adam = train.PrivateAdam(net.parameters(), settings, lr=0.05, scaled=True)
    run = start(dataset(tmp_path), tmp_path, model=net, optimizer=adam)
    (kept,) = (tmp_path / "private").glob("*/begun.json")
    stream = train.Keystream(bytes.fromhex(json.loads(kept.read_text())["key"]))
    noise, wanted = train.KeyedNoise(stream), model()
    other = train.PrivateAdam(wanted.parameters(), settings, lr=0.05, scaled=True)
    run.fit()
    inputs, labels = rows()
    for step in range(settings.steps):
        scales, parameters = other.scales(), list(wanted.parameters())
        sums = {p: torch.zeros_like(p) for p in parameters}
        for i in settings.drawn_by.batch(stream, step, units=ROWS, steps=settings.steps):
            value = loss(wanted, (inputs[i : i + 1], labels[i : i + 1])).sum()
            found = [g * scales[p] for g, p in zip(torch.autograd.grad(value, parameters), parameters, strict=True)]
            norm = torch.cat([g.flatten() for g in found]).double().norm().item()
            for p, gradient in zip(parameters, found, strict=True):
                sums[p] += gradient * min(1.0, settings.max_grad_norm / norm)
        for name, p in wanted.named_parameters():
            fresh = noise.standard(step, name, p.numel()).view(p.shape)
            p.grad = (sums[p] + settings.noise_std * fresh) / settings.expected_batch_size
        other.step()
    for ours, theirs in zip(net.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert any(float(scale.std()) > 0.01 for scale in other.scales().values())


def told(kind):
    net = model()
    adam = train.PrivateAdam(net.parameters(), plan(), lr=0.05, scaled=kind != "plain")
    return {"model": net, "optimizer": adam, "clip": train.Quantile(0.5, rate=0.5) if kind == "moving" else None}


@pytest.mark.parametrize("kind", ["plain", "scaled", "moving"])
def test_it_goes_on_bit_by_bit(tmp_path, kind):
    whole = start(with_fixed_randomness(dataset(tmp_path / "a"), seed=2), tmp_path / "a", **told(kind))
    whole.fit()
    data = with_fixed_randomness(dataset(tmp_path / "b"), seed=2)
    for steps in (3, 4, STEPS):
        run = start(data, tmp_path / "b", checkpoint_every=2, **told(kind))
        for _, batch in zip(range(steps), run.loader, strict=False):
            run.step(batch)
        run.close()
    run = start(data, tmp_path / "b", **told(kind))
    assert bits(run.model) == bits(whole.model)


def test_where_the_norm_moves_it_is_told_what_noise_there_is(tmp_path):
    facts = told("moving")
    run = start(dataset(tmp_path), tmp_path, **facts)
    seen = []
    for batch in run.loader:
        run.step(batch)
        seen.append(facts["optimizer"].param_groups[0]["noise"])
    of_gradients, _ = facts["clip"].noise(1.5)
    assert seen[0] == pytest.approx(of_gradients * 0.5 / 12)
    assert len(set(seen)) == STEPS


def test_called_again_with_the_same_objects_it_is_the_same_run(tmp_path):
    """The optimizer was told other noise meanwhile, and that names no other run."""
    data, facts = dataset(tmp_path), told("moving")
    run = start(data, tmp_path, **facts)
    run.fit()
    release = run.finish()
    again = start(data, tmp_path, **facts)
    assert again.finish().to_dict() == release.to_dict()


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"plan": plan(noise_multiplier=None)}, "no calibrated plan"),
        ({"plan": 1.5}, "no calibrated plan"),
        (
            {"plan": plan(sample_rate=None, sampler=train.Cyclic(0.5, 3), correlation=train.BandedRoot(3))},
            "correlated noise",
        ),
        ({"lr": -1.0}, "lr must be"),
        ({"lr": math.nan}, "lr must be"),
        ({"betas": (1.0, 0.9)}, r"betas\[0\]"),
        ({"betas": (0.9, 1.0)}, r"betas\[1\]"),
        ({"floor": 0.0}, "floor must be"),
        ({"weight_decay": math.inf}, "weight_decay must be"),
        ({"params": [nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))]}, "bfloat16"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(changes, says):
    facts = {"params": [nn.Parameter(torch.zeros(2))], "plan": plan()} | changes
    with pytest.raises(InvalidInput, match=says) as caught:
        train.PrivateAdam(facts.pop("params"), facts.pop("plan"), **facts)
    assert len(str(caught.value).splitlines()) == 3


def test_a_run_with_correlated_noise_is_refused(tmp_path):
    net, other = model(), plan(sample_rate=None, sampler=train.Cyclic(0.5, 3), correlation=train.LambdaCGD(0.9))
    data = dataset(tmp_path)
    with pytest.raises(InvalidInput, match="correlated noise"):
        start(data, tmp_path, model=net, optimizer=train.PrivateAdam(net.parameters(), plan()), plan=other)
    assert not [entry for entry in data.ledger.entries("people") if entry.kind == "charge"]


def test_a_parameter_without_scales_is_refused():
    with pytest.raises(InvalidInput, match=r"'0\.bias' has no scales \(3 in all\)"):
        train.clipped_sum(model(), loss, EXAMPLE, train.Scaled(train.Flat(0.5), {"0.weight": torch.ones(6, 4)}))


def test_schedules_move_it(tmp_path):
    net = model()
    adam = train.PrivateAdam(net.parameters(), plan(), lr=0.1)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(adam, STEPS)
    start(dataset(tmp_path), tmp_path, model=net, optimizer=adam, scheduler=rate).fit()
    assert adam.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-9)


def test_a_closure_is_refused():
    with pytest.raises(InvalidInput, match="looks at the loss again"):
        train.PrivateAdam([nn.Parameter(torch.zeros(2))], plan()).step(lambda: 0.0)


def test_the_example_is_enough_to_see_it_move():
    net = model()
    adam = train.PrivateAdam(net.parameters(), plan(), scaled=True)
    scales = {name: adam.scales()[p] for name, p in net.named_parameters()}
    found = train.clipped_sum(net, loss, EXAMPLE, train.Scaled(train.Flat(0.5), scales))
    for name, p in net.named_parameters():
        p.grad = found.sums[name] / 12
    before = bits(net)
    adam.step()
    assert bits(net) != before
