"""The engine against one example at a time, for every kind of layer."""

from __future__ import annotations

import pytest
import torch

from discreet.train.clipping import Flat, Method, Scaled, clipped_sum
from tests.unit.train.clipping.oracle import distance, each_gradient, flat_sum, norm
from tests.unit.train.clipping.zoo import CASES, B, build

# What torch itself says about some layers, and we of one.
ASIDES = (
    "ignore:Using padding='same' with even:UserWarning",
    "ignore:LSTM with projections:UserWarning",
    "ignore:numbers of the batch:discreet.train.clipping.SlowModule",
)
pytestmark = [pytest.mark.filterwarnings(aside) for aside in ASIDES]


@pytest.mark.parametrize("name", CASES)
def test_equals_one_example_at_a_time(name):
    case = build(name)
    gradients = each_gradient(case.model, case.loss, case.batch)
    norms = sorted(map(norm, gradients))
    middle = norms[len(norms) // 2] * 0.99  # some are shortened, some are not
    for method in Method:
        got = clipped_sum(case.model, case.loss, case.batch, Flat(middle), method=method, microbatch=3)
        assert distance(got.sums, flat_sum(gradients, middle)) < 1e-4, method
        assert torch.allclose(got.private_norms.sort().values, torch.tensor(norms), rtol=1e-4), method


@pytest.mark.parametrize("name", CASES)
def test_a_blank_has_no_length(name):
    """A row whose loss is 0 whatever the model says: a norm that moves must not count it, so 0 it is, to the last bit."""
    case = build(name)

    def masked(model, batch):
        losses = case.loss(model, batch[0])
        return losses * batch[1].to(losses)

    real = torch.arange(B) % 2
    for method in (Method.AUTO, Method.DIRECT, Method.GHOST):
        got = clipped_sum(case.model, masked, (case.batch, real), Flat(1.0), method=method, microbatch=3)
        assert (got.private_norms == 0).tolist() == (real == 0).tolist(), method


@pytest.mark.parametrize("name", CASES)
def test_scaled_gradients_equal_one_example_at_a_time(name):
    """Numbers of a parameter have scales from a tenth to ten; measured, clipped and added are scaled gradients."""
    case, dice = build(name), torch.Generator().manual_seed(7)
    every = each_gradient(case.model, case.loss, case.batch)
    scales = {key: 10 ** (2 * torch.rand(g.shape, generator=dice) - 1) for key, g in every[0].items()}
    gradients = [{key: g * scales[key] for key, g in one.items()} for one in every]
    norms = sorted(map(norm, gradients))
    middle = norms[len(norms) // 2] * 0.99
    for method in (Method.AUTO, Method.DIRECT, Method.LOOP):
        clip = Scaled(Flat(middle), scales)
        got = clipped_sum(case.model, case.loss, case.batch, clip, method=method, microbatch=3)
        assert distance(got.sums, flat_sum(gradients, middle)) < 1e-4, method
        assert torch.allclose(got.private_norms.sort().values, torch.tensor(norms), rtol=1e-4), method
