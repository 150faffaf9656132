"""The kernels for convolutions agree, and keep examples apart: a bad one spoils no other."""

from __future__ import annotations

import math

import pytest
import torch

from discreet.train.clipping import kernels
from discreet.train.clipping.kernels import Geometry, Kernel, kernel_for

SHAPES = {
    "plain": (Geometry((4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1, False, (0, 0)), (3, 7, 6), (4, 7, 6)),
    "strides": (Geometry((4, 3, 3, 2), (2, 1), (1, 0), (1, 2), 1, False, (0, 0)), (3, 9, 7), (4, 5, 5)),
    "groups": (Geometry((6, 2, 3, 3), (1, 1), (0, 0), (1, 1), 2, False, (0, 0)), (4, 6, 6), (6, 4, 4)),
    "depthwise": (Geometry((8, 1, 3, 3), (1, 1), (1, 1), (1, 1), 8, False, (0, 0)), (8, 5, 5), (8, 5, 5)),
    "one dimension": (Geometry((4, 3, 3), (2,), (1,), (1,), 1, False, (0,)), (3, 9), (4, 5)),
    "three": (
        Geometry((4, 2, 2, 1, 3), (1, 1, 2), (0, 0, 1), (1, 1, 1), 1, False, (0, 0, 0)),
        (2, 3, 2, 5),
        (4, 2, 2, 3),
    ),
    "wide": (Geometry((16, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1, False, (0, 0)), (16, 8, 8), (16, 8, 8)),
}
KERNELS = [Kernel(kernels._one_by_one), Kernel(kernels._grouped), Kernel(kernels._patches)]
KERNELS += [Kernel(kernels._patches_last, channels_last=True)]


@pytest.mark.parametrize("name", SHAPES)
def test_kernels_agree_and_keep_examples_apart(name):
    geometry, inputs, outgoing = SHAPES[name]
    generator = torch.Generator().manual_seed(4)
    left, right = torch.randn(5, *inputs, generator=generator), torch.randn(5, *outgoing, generator=generator)
    expected = kernels._one_by_one(left, right, geometry)
    good = torch.tensor([True, False, True, False, True])
    left[1], right[3] = math.nan, math.inf
    for kernel in KERNELS[:3] if geometry.groups > 1 else KERNELS:
        found = kernel.run(left, right, geometry)
        found = found.movedim(-1, 2) if kernel.channels_last else found
        assert torch.allclose(found[good], expected[good], rtol=1e-4, atol=1e-5), kernel
        assert not torch.isfinite(found[~good].flatten(1)).all(1).any()


@pytest.mark.parametrize("name", SHAPES)
def test_the_shape_alone_chooses(name):
    geometry, _, outgoing = SHAPES[name]
    chosen = kernel_for(outgoing, geometry)
    assert chosen in KERNELS
    assert geometry.groups == 1 or not chosen.channels_last
    assert "time" not in vars(kernels)


def test_each_kernel_is_chosen_somewhere():
    shapes = {
        "_patches": ((3, 3, 3, 3), (16, 32, 32)),
        "_patches_last": ((128, 128, 3, 3), (128, 8, 8)),
        "_grouped": ((64, 64, 3, 3), (64, 32, 32)),
    }
    for name, (weight, outgoing) in shapes.items():
        geometry = Geometry(weight, (1, 1), (1, 1), (1, 1), 1, False, (0, 0))
        assert kernel_for(outgoing, geometry).run.__name__ == name
