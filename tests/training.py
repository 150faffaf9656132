"""A small training run for tests: rows that a line parts in two, a small model, a plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from discreet import Dataset, Domain, PrivacyUnit, Relation, train
from discreet.testing import ScratchLedger, with_fixed_randomness

ROWS, FEATURES, STEPS = 60, 4, 12
EXAMPLE = (torch.tensor([[0.5, -1.0, 2.0, 0.1], [1.0, 0.0, -0.3, 0.2], [-2.0, 0.4, 0.0, 1.0]]), torch.tensor([0, 1, 1]))


def rows(count: int = ROWS) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features and labels, the same every time."""
    dice = torch.Generator().manual_seed(3)
    features = torch.randn(count, FEATURES, generator=dice)
    return features, (features[:, 0] > features[:, 1]).long()


def model() -> nn.Module:
    """Return a model, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(FEATURES, 6), nn.Tanh(), nn.Linear(6, 2))


def loss(net: nn.Module, batch: Any) -> torch.Tensor:
    """Return each example's cross entropy."""
    return nn.functional.cross_entropy(net(batch[0]), batch[1], reduction="none")


def plan(**changes: Any) -> train.DPSGD:
    """Return a plan."""
    facts: dict[str, Any] = {
        "sample_rate": 0.2,
        "steps": STEPS,
        "max_grad_norm": 0.5,
        "expected_batch_size": 12,
        "relation": Relation.ADD_REMOVE,
        "noise_multiplier": 1.5,
        "delta": 1e-5,
    }
    return train.DPSGD(**(facts | changes))


def ledger(path: Path | None = None, *, unit: PrivacyUnit | None = None, **budget: Any) -> ScratchLedger:
    """Return a ledger with the account "people"; the one at `path` if it is there already."""
    there = path is not None and path.exists()
    found = ScratchLedger(path)
    if not there:
        facts = {"measure": "renyi", "epsilon": 30.0, "delta": 1e-5} | budget
        found.open("people", unit=unit or PrivacyUnit(), owner=found.owner, **facts)
    return found


def dataset(folder: Path, source: Any = None, **changes: Any) -> Dataset:
    """Return the rows as a dataset that keeps everything in `folder`."""
    facts: dict[str, Any] = {
        "name": "t",
        "version": "1",
        "unit": PrivacyUnit(),
        "domain": Domain(),
        "population": "people",
        "releases": folder / "releases",
    }
    facts |= changes
    facts.setdefault("ledger", ledger(unit=facts["unit"]))
    return Dataset(rows() if source is None else source, **facts)


def start(data: Dataset, folder: Path, **changes: Any) -> train.Run:
    """Start, or take up, a run."""
    net = changes.pop("model", None) or model()
    optimizer = changes.pop("optimizer", None) or torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    facts: dict[str, Any] = {
        "loss": loss,
        "example": EXAMPLE,
        "name": "m",
        "private": folder / "private",
        "microbatch": 4,
    }
    return train.make_private(
        data, changes.pop("plan", None) or plan(), model=net, optimizer=optimizer, **(facts | changes)
    )


def bits(net: nn.Module) -> list[bytes]:
    """Return a model's parameters, bit by bit."""
    return [parameter.detach().numpy().tobytes() for parameter in net.parameters()]


def main(folder: Path, name: str, steps: int) -> None:
    """Train in this process, saying each step: what a test kills, and starts again."""
    data = with_fixed_randomness(dataset(folder, releases=folder / name, ledger=ledger(folder / f"{name}.db")), seed=8)
    run = start(data, folder / name, plan=plan(steps=steps, noise_multiplier=20.0), checkpoint_every=7)
    for batch in run.loader:
        run.step(batch)
        sys.stdout.write(f"{run.steps_taken}\n")
        sys.stdout.flush()
    run.finish()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
