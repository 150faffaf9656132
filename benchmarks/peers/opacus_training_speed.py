"""Opacus: takes a step of the model that the task names, by hooks or by ghost clipping, each time it is told to."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from training_models import CLIP, NOISE, RATE, serve


def prepare(case, microbatch):
    """Return what takes a step as Opacus's BatchMemoryManager does: micro-batches before the last only accumulate."""
    ghost = json.loads(sys.argv[-1])["way"] == "ghost"
    settings = {"noise_multiplier": NOISE, "max_grad_norm": CLIP, "expected_batch_size": len(case.batch[0])}
    plain = torch.optim.SGD(case.named.values(), lr=RATE)
    if ghost:
        net = GradSampleModuleFastGradientClipping(case.model, loss_reduction="mean", max_grad_norm=CLIP)
        optimizer = DPOptimizerFastGradientClipping(plain, loss_reduction="mean", **settings)
    else:
        net = GradSampleModule(case.model, loss_reduction="mean")
        optimizer = DPOptimizer(plain, loss_reduction="mean", **settings)
    parts = case.parts(microbatch)

    def take():
        for place, part in enumerate(parts):
            optimizer.zero_grad(set_to_none=True)
            losses = case.loss(net, part)
            if ghost:
                DPTensorFastGradientClipping(net, optimizer, losses, "mean").backward()
            else:
                losses.mean().backward()
            optimizer.signal_skip_step(place + 1 < len(parts))
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return take


if __name__ == "__main__":
    serve(prepare, opacus=version("opacus"))
