"""opake: takes a step of the model that the task names, by its clipped_grad and gaussian_noise, each time it is told to."""

from __future__ import annotations

import secrets
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from opake.dpsgd import clipped_grad, gaussian_noise
from opake.random import key
from torch.func import functional_call

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from training_models import CLIP, NOISE, RATE, serve


def prepare(case, microbatch):
    """Return what takes a step: its functions return a tree of noisy sums, over the size of the batch."""
    named, examples = case.named, len(case.batch[0])
    optimizer = torch.optim.SGD(named.values(), lr=RATE)

    def one(weights, *part):
        model = lambda *inputs: functional_call(case.model, weights, inputs)  # noqa: E731
        return case.loss(model, tuple(tensor[None] for tensor in part))[0]

    places = tuple(range(1, 1 + len(case.batch)))
    clipped, clip = clipped_grad(
        one, clipping_norm=CLIP, normalize_by=float(examples), batch_argnums=places, microbatch_size=microbatch
    )
    noisy, noise = gaussian_noise(noise_multiplier=NOISE, key=key(secrets.randbits(32)))

    def take():
        nonlocal clip, noise
        weights = {name: p.detach() for name, p in named.items()}
        sums, clip = clipped(weights, *case.batch, state=clip)
        found, noise = noisy(sums, noise)
        for name, p in named.items():
            p.grad = found.pytree[name]
        optimizer.step()
        optimizer.zero_grad()

    return take


if __name__ == "__main__":
    serve(prepare, opake=version("opake-dpsgd"))
