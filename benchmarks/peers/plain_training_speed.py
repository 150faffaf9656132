"""No privacy: takes a step of the model that the task names, in micro-batches, each time it is told to."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from training_models import RATE, serve


def prepare(case, microbatch):
    """Return what takes a step of SGD on the mean loss."""
    optimizer = torch.optim.SGD(case.named.values(), lr=RATE)
    parts, examples = case.parts(microbatch), len(case.batch[0])

    def take():
        for part in parts:
            (case.loss(case.model, part).sum() / examples).backward()
        optimizer.step()
        optimizer.zero_grad()

    return take


if __name__ == "__main__":
    serve(prepare)
