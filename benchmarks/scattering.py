"""Scattering: features of an image by fixed wavelets, and Fashion-MNIST. No number in it was learnt from data.

Two scales, eight directions, as in Bruna and Mallat 2013: 81 maps of 7 x 7 from an image of 28 x 28. Each group of three maps
is brought to mean 0 and variance 1 within the image (Tramèr and Boneh 2021), which looks at no other image.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import torch

FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts it
SCALES, DIRECTIONS, PAD, GROUP = 2, 8, 4, 3
SIZE = 28 + 2 * PAD
MAPS, SIDE = 1 + SCALES * DIRECTIONS + DIRECTIONS**2, 7


def images(part):
    """Return images in [0, 1] and labels of `train` or `t10k`.

    Raises:
        SystemExit: the package is not installed.
    """
    if not FOLDER.exists():
        raise SystemExit(f"{FOLDER} is not there; type: apt-get install dataset-fashion-mnist")
    pixels = np.frombuffer(gzip.decompress((FOLDER / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:], np.uint8)
    labels = np.frombuffer(gzip.decompress((FOLDER / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:], np.uint8)
    return torch.from_numpy(pixels.reshape(-1, 28, 28).astype(np.float32) / 255), torch.from_numpy(
        labels.astype(np.int64)
    )


def gabor(deviation, angle, frequency, slant):
    """Return a wave under a Gaussian window, around the corner of a torus of SIZE x SIZE, summing up to 1 without the wave."""
    steps = torch.arange(SIZE, dtype=torch.float64)
    whole = torch.zeros(SIZE, SIZE, dtype=torch.complex128)
    for down in range(-2, 3):
        for right in range(-2, 3):
            x, y = torch.meshgrid(steps + down * SIZE, steps + right * SIZE, indexing="ij")
            along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
            window = torch.exp(-(along**2 + (slant * across) ** 2) / (2 * deviation**2))
            whole += window * torch.exp(1j * frequency * along)
    return whole * slant / (2 * math.pi * deviation**2)


def wavelets(scale):
    """Return the Fourier transforms of a scale's wavelets, a direction each; they sum up to 0."""
    deviation, frequency, slant = 0.8 * 2**scale, 0.75 * math.pi / 2**scale, 4 / DIRECTIONS
    found = []
    for turn in range(DIRECTIONS):
        angle = turn * math.pi / DIRECTIONS
        wave, window = gabor(deviation, angle, frequency, slant), gabor(deviation, angle, 0.0, slant)
        found.append(torch.fft.fft2(wave - wave.sum() / window.sum() * window))
    return torch.stack(found).to(torch.complex64)


def blur(step):
    """Return the matrix that blurs a line of SIZE / step points, and keeps SIDE of them."""
    places = torch.arange(0, SIZE, step, dtype=torch.float64)
    centres = PAD + PAD * torch.arange(SIDE, dtype=torch.float64)
    apart = (centres[:, None] - places + SIZE / 2) % SIZE - SIZE / 2
    window = torch.exp(-(apart**2) / (2 * (0.8 * 2 ** (SCALES - 1)) ** 2))
    return (window / window.sum(1, keepdim=True)).float()


def halved(transform):
    """Return the Fourier transform of a signal of which every second point is kept."""
    half = SIZE // 2
    return transform.unflatten(-1, (2, half)).unflatten(-3, (2, half)).mean(dim=(-4, -2))


def scattered(pixels):
    """Return the normalised maps of some images."""
    fine, coarse = wavelets(0), wavelets(1)
    smooth, smoother = blur(1), blur(2)
    padded = torch.nn.functional.pad(pixels[:, None], [PAD] * 4, mode="reflect")
    transform = torch.fft.fft2(padded)
    first = torch.fft.ifft2(transform * fine).abs()
    second = torch.fft.ifft2(halved(transform * coarse)).abs()
    both = torch.fft.ifft2(halved(torch.fft.fft2(first)[:, :, None] * coarse)).abs().flatten(1, 2)
    maps = [
        smooth @ padded @ smooth.T,
        smooth @ first @ smooth.T,
        smoother @ second @ smoother.T,
        smoother @ both @ smoother.T,
    ]
    grouped = torch.cat(maps, 1).reshape(len(pixels), MAPS // GROUP, -1)
    centred = grouped - grouped.mean(2, keepdim=True)
    return (centred / (centred.square().mean(2, keepdim=True) + 1e-5).sqrt()).flatten(1)


def features(pixels, at_once=250):
    """Return the features of many images."""
    found = torch.empty(len(pixels), MAPS * SIDE**2)
    for at in range(0, len(pixels), at_once):
        found[at : at + at_once] = scattered(pixels[at : at + at_once])
    return found
