"""Keyed noise: a function of key, step, tensor and place; its tails, its targets, its correlation, its time."""

import time

import numpy as np
import pytest
import torch

from discreet.errors import InvalidInput
from discreet.mechanisms import Rng
from discreet.train import noise as module
from discreet.train.correlation import BandedInverseRoot, BandedRoot, BufferedToeplitz, LambdaCGD
from discreet.train.keystream import Keystream, fresh_key
from discreet.train.noise import CELL, KeyedNoise

KEY = fresh_key(Rng())
SIZE = 150_001  # more than two pieces, and no whole number of cells
BUFFERED = BufferedToeplitz((0.99, 0.6), (0.1, 0.3))
CORRELATIONS = [
    None,
    BandedRoot(3),
    BandedInverseRoot(3),
    BandedRoot(1),
    BandedInverseRoot(1),
    LambdaCGD(0.9),
    BUFFERED,
]


def noise(correlation=None, key=KEY):
    return KeyedNoise(Keystream(key), correlation)


@pytest.fixture(scope="module")
def whole():
    """The noise of step 3, in one piece, for each correlation."""
    return {str(one): noise(one).standard(3, "layer.weight", SIZE) for one in CORRELATIONS}


@pytest.mark.parametrize("correlation", CORRELATIONS, ids=str)
@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 0), (0, 1), (1, 2), (CELL - 1, 2), (CELL, CELL), (65_530, 30), (100_000, 50_001), (777, 65_536)],
)
def test_a_shard_has_its_values_whatever_its_cut(correlation, offset, size, whole):
    shard = noise(correlation).standard(3, "layer.weight", size, offset=offset)
    assert torch.equal(shard, whole[str(correlation)][offset : offset + size])


@pytest.mark.parametrize("pieces", [1, 3, 128])
def test_values_do_not_depend_on_how_many_are_drawn_at_once(pieces, monkeypatch, whole):
    monkeypatch.setattr(module, "_CELLS", pieces)
    assert torch.equal(noise().standard(3, "layer.weight", SIZE), whole["None"])


def test_values_do_not_depend_on_threads_or_order_or_place_in_memory(whole):
    source, before = noise(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        source.fresh(3, "another", 10)
        assert torch.equal(source.fresh(3, "layer.weight", SIZE), whole["None"])
    finally:
        torch.set_num_threads(before)
    base = torch.zeros(SIZE + 3)
    source.add(base[3:], std=1.0, step=3, tensor="layer.weight")
    assert torch.equal(base[3:], whole["None"])


def test_steps_tensors_and_keys_have_noise_of_their_own():
    drawn = [
        noise(key=key).fresh(step, tensor, 4 * CELL)
        for key in (KEY, fresh_key(Rng()))
        for step in (0, 1, 2**40)
        for tensor in (1, 11, "1", "a", "a.b")
    ]
    values = torch.cat(drawn)
    repeated = values.numel() - values.unique().numel()
    assert repeated < 200  # of 61,440 floats of 24 bits some are equal by chance: about 60


@pytest.mark.parametrize("correlation", CORRELATIONS, ids=str)
@pytest.mark.parametrize("shape", [(7,), (30, 50), (300, 301)], ids=str)
def test_add_adds_the_scaled_noise(correlation, shape):
    start = torch.randn(shape)
    target = start.clone()
    result = noise(correlation).add(target, std=0.3, step=2, tensor="w")
    values = noise(correlation).standard(2, "w", target.numel()).view(shape)
    assert result is target
    assert torch.equal(target, start + values * 0.3)


def test_shards_of_a_sum_are_noised_alike():
    whole = torch.randn(SIZE)
    parts = [whole[:70_001].clone(), whole[70_001:].clone()]
    noise().add(whole, std=0.7, step=1, tensor="w")
    noise().add(parts[0], std=0.7, step=1, tensor="w")
    noise().add(parts[1], std=0.7, step=1, tensor="w", offset=70_001)
    assert torch.equal(whole, torch.cat(parts))


def test_parameters_and_strides_are_no_matter():
    parameter = torch.nn.Parameter(torch.zeros(4, 6))
    noise().add(parameter, std=1.0, step=0, tensor="w")
    across = torch.zeros(6, 4).t()
    noise().add(across, std=1.0, step=0, tensor="w")
    assert torch.equal(parameter.data, across)
    double = noise().add(torch.zeros(4, 6, dtype=torch.float64), std=1.0, step=0, tensor="w")
    assert torch.equal(double.float(), across)
    assert noise().add(torch.zeros(()), std=1.0, step=0, tensor="w").item() == across[0, 0].item()


class Words:
    """A keystream that always says the same word of 64 bits."""

    def __init__(self, word):
        self.word = word

    def fill(self, buffer, zeros, label, step, offset=0):
        buffer[: len(zeros)] = self.word.to_bytes(8, "little") * (len(zeros) // 8)


@pytest.mark.parametrize(
    ("word", "radius"), [(0, 9.419), (1, 9.302), (2**63, 0.0), (2**64 - 1, 9.302), (2**62, 1.1774)]
)
def test_no_word_is_without_a_value_and_tails_reach_beyond_8(word, radius):
    values = KeyedNoise(Words(word)).fresh(0, "w", CELL).view(2, -1)
    assert torch.isfinite(values).all()
    assert values.square().sum(0).sqrt().max().item() == pytest.approx(radius, abs=1e-3)


@pytest.mark.parametrize(
    "one",
    [
        *(kind(bands) for kind in (BandedRoot, BandedInverseRoot) for bands in (1, 2, 5, 40)),
        LambdaCGD(0.9),
        LambdaCGD(1),
    ],
    ids=str,
)
def test_correlated_noise_is_that_of_the_dense_inverse(one):
    steps, source = 12, noise(one)
    found = np.array([source.standard(t, "w", 600).double().numpy() for t in range(steps)])
    fresh = np.array([source.fresh(t, "w", 600).double().numpy() for t in range(steps)])
    column = one.strategy(steps)
    mixing = np.array([[column[i - j] if i >= j else 0.0 for j in range(steps)] for i in range(steps)])
    assert np.abs(mixing @ found - fresh).max() < 5e-6
    assert np.abs(found - np.linalg.solve(mixing, fresh)).max() < 5e-6


def test_lambda_takes_back_a_part_of_the_step_before():
    source, part = noise(LambdaCGD(0.9)), float(np.float32(0.9))
    assert torch.equal(source.standard(0, "w", 700), source.fresh(0, "w", 700))
    wanted = source.fresh(5, "w", 700) + source.fresh(4, "w", 700) * -part
    assert torch.equal(source.standard(5, "w", 700), wanted)


@pytest.mark.parametrize("one", [BandedRoot(4), BandedInverseRoot(4), LambdaCGD(0.9), BUFFERED], ids=str)
def test_an_interrupted_run_has_the_same_correlated_noise(one):
    source = noise(one)
    forth = [source.standard(t, "w", 700) for t in range(9)]
    for t in (8, 3, 3, 5, 0):
        assert torch.equal(source.standard(t, "w", 700), forth[t])
        assert torch.equal(noise(one).standard(t, "w", 700), forth[t])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_coarse_targets_are_refused(dtype):
    target = torch.zeros(3, dtype=dtype)
    with pytest.raises(InvalidInput, match="float32"):
        noise().add(target, std=1.0, step=0, tensor="w")
    assert target.count_nonzero() == 0


@pytest.mark.parametrize("std", [-1.0, float("nan"), float("inf"), True, None])
def test_wrong_deviations_are_refused(std):
    with pytest.raises(InvalidInput, match="std"):
        noise().add(torch.zeros(3), std=std, step=0, tensor="w")


def test_wrong_places_are_refused():
    with pytest.raises(InvalidInput, match="offset"):
        noise().fresh(0, "w", 3, offset=-1)
    with pytest.raises(InvalidInput, match="step"):
        noise().fresh(-1, "w", 3)


@pytest.mark.parametrize("tensor", [True, np.int64(1), None, 1.0, ("w",)], ids=str)
def test_tensors_are_named_by_strings_or_whole_numbers(tensor):
    for correlation in (None, BandedRoot(2)):
        with pytest.raises(InvalidInput, match="named"):
            noise(correlation).add(torch.zeros(3), std=1.0, step=0, tensor=tensor)


def test_the_key_is_not_shown():
    assert repr(noise(BandedRoot(2))) == "KeyedNoise(key hidden, correlation=BandedRoot(bands=2))"


def seconds(act):
    start = time.process_time()
    act()
    return time.process_time() - start


def test_keyed_noise_is_not_dear():
    """At most 1.7 times PyTorch's own, which is not secret: the least of interleaved turns, a busy machine has three goes."""
    before, target, source = torch.get_num_threads(), torch.zeros(2**21), noise()
    torch.set_num_threads(1)
    try:
        for _ in range(3):
            turns = [
                (seconds(lambda: source.add(target, std=1.0, step=0, tensor="w")), seconds(target.normal_))
                for _ in range(9)
            ]
            ours, theirs = (min(column) for column in zip(*turns, strict=True))
            if ours < 1.7 * theirs:
                return
    finally:
        torch.set_num_threads(before)
    pytest.fail(f"{ours:.4f} s for 2**21 values, PyTorch's {theirs:.4f} s")
