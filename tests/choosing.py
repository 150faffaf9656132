"""A small private selection for tests: candidates, how they are built, how they are scored."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from discreet import Dataset, Release, train
from discreet.testing import with_fixed_randomness
from tests.training import EXAMPLE, FEATURES, dataset, ledger, plan, rows
from tests.training import loss as cross_entropy

CANDIDATES = [{"hidden": hidden, "lr": lr, "norm": norm} for hidden in (3, 6) for lr, norm in ((0.1, 0.5), (0.5, 1.0))]
PUBLIC = rows(150)


def build(candidate: Any) -> train.Setup:
    """Return what is trained with a candidate."""
    net = nn.Sequential(nn.Linear(FEATURES, candidate["hidden"]), nn.Tanh(), nn.Linear(candidate["hidden"], 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=candidate["lr"], momentum=0.9)
    return train.Setup(model=net, optimizer=optimizer, loss=cross_entropy, max_grad_norm=candidate["norm"])


def score(net: nn.Module) -> float:
    """Return a score by public rows, in which no two models are equal."""
    return -float(cross_entropy(net, PUBLIC).mean())


def selection(**changes: Any) -> train.Selection:
    """Return a selection."""
    facts: dict[str, Any] = {"mean_runs": 3.0} | changes
    return train.Selection(facts.pop("plan", None) or plan(noise_multiplier=3.0), **facts)


def choose(data: Dataset, folder: Path, **changes: Any) -> Release:
    """Select, or take up a selection."""
    facts: dict[str, Any] = {
        "candidates": CANDIDATES,
        "build": build,
        "score": score,
        "example": EXAMPLE,
        "name": "m",
        "private": folder / "private",
        "microbatch": 16,
    } | changes
    return train.select(data, facts.pop("selection", None) or selection(), facts.pop("candidates"), **facts)


def aloud(net: nn.Module, batch: Any) -> torch.Tensor:
    """Return the loss of a batch, and say that it was asked for."""
    sys.stdout.write("loss\n")
    sys.stdout.flush()
    return cross_entropy(net, batch)


def build_aloud(candidate: Any) -> train.Setup:
    """Return what is trained with a candidate, by a loss that can be heard."""
    quiet = build(candidate)
    return train.Setup(
        model=quiet.model, optimizer=quiet.optimizer, loss=aloud, max_grad_norm=quiet.max_grad_norm, average=0.5
    )


def main(folder: Path, name: str, steps: int) -> None:
    """Select in this process: what a test kills, and starts again."""
    data = with_fixed_randomness(dataset(folder, releases=folder / name, ledger=ledger(folder / f"{name}.db")), seed=5)
    one = selection(plan=plan(steps=steps, noise_multiplier=20.0), mean_runs=4.0, shape=1.0)
    choose(data, folder / name, selection=one, build=build_aloud, checkpoint_every=3, candidates=CANDIDATES[:2])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
