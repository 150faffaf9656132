"""discreet: takes a step of the model that the task names, as a run takes it, each time it is told to."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from discreet import Relation
from discreet.mechanisms import Rng
from discreet.train import DPSGD, Batch, Flat, KeyedNoise, Keystream, fresh_key
from discreet.train.rows import Rows
from discreet.train.step import Step
from discreet.train.world import World

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from training_models import CLIP, NOISE, RATE, serve

STEPS = 1000


def prepare(case, microbatch):
    """Return what takes a step on all examples: rows are read by number, and the noise is the run's own."""
    examples = len(case.batch[0])
    plan = DPSGD(
        steps=STEPS, max_grad_norm=CLIP, expected_batch_size=examples, relation=Relation.ADD_REMOVE, sample_rate=0.01,
        noise_multiplier=NOISE,
    )  # fmt: skip
    stream = Keystream(fresh_key(Rng()))
    optimizer = torch.optim.SGD(case.named.values(), lr=RATE)
    step = Step(
        plan, case.model, optimizer, None, case.loss, Flat(CLIP), microbatch, stream, KeyedNoise(stream), World()
    )
    rows, numbers, places = Rows(case.batch, None, None), np.arange(examples), iter(range(STEPS))
    return lambda: step.take(rows, Batch(next(places), numbers))


if __name__ == "__main__":
    serve(prepare, discreet=version("discreet"))
