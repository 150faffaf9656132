"""torch.func: a step by vmap(grad), the gradients of all examples of a micro-batch at once, each time it is told to."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.func import functional_call, grad, vmap

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from training_models import CLIP, NOISE, RATE, serve


def prepare(case, microbatch):
    """Return what takes a step: norms by `vector_norm`, sums by `einsum`, noise by `torch.normal`."""
    named, examples = case.named, len(case.batch[0])
    optimizer = torch.optim.SGD(named.values(), lr=RATE)
    parts = case.parts(microbatch)

    def one(weights, part):
        model = lambda *inputs: functional_call(case.model, weights, inputs)  # noqa: E731
        return case.loss(model, tuple(tensor[None] for tensor in part))[0]

    gradients = vmap(grad(one), in_dims=(None, 0), randomness="different")

    def take():
        sums = {name: torch.zeros_like(p) for name, p in named.items()}
        weights = {name: p.detach() for name, p in named.items()}
        for part in parts:
            found = gradients(weights, part)
            norms = torch.stack([g.flatten(1).norm(dim=1) for g in found.values()]).norm(dim=0)
            factors = (CLIP / norms).clamp(max=1.0)
            for name, g in found.items():
                sums[name] += torch.einsum("b,b...->...", factors, g)
        for name, p in named.items():
            p.grad = sums[name].add_(torch.normal(0.0, NOISE * CLIP, p.shape)).div_(examples)
        optimizer.step()
        optimizer.zero_grad()

    return take


if __name__ == "__main__":
    serve(prepare)
