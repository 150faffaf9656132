"""Train in several processes on loopback, and in one: `python -m tests.training_together FOLDER NAME RANK SIZE PORT`."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from discreet import Domain, PrivacyUnit, train
from discreet.errors import DiscreetError
from discreet.testing import with_fixed_randomness
from tests.training import EXAMPLE, dataset, ledger, loss, model, rows, start


def broken(net, batch):
    """Fail in the last process, on anything but the example."""
    if dist.get_rank() + 1 == dist.get_world_size() and not torch.isin(batch[0], EXAMPLE[0]).all():
        raise RuntimeError(batch[0])
    return loss(net, batch)


def by_name(net, batch):
    """Return each row's loss, of a batch that names its columns."""
    return loss(net, (batch["x"], batch["y"]))


def main(folder: Path, name: str, rank: int, size: int, port: int) -> None:
    """Train, release, and say how it ended and how much memory it took."""
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    if rank:
        dist.barrier()  # until process 0 has opened the account
    source, facts, told = rows(), {}, {}
    if rank and name == "reversed":
        source = tuple(part.flip(0) for part in source)
    if name.startswith("people"):  # of one to four rows each, of which three count
        source = dict(zip("xy", source, strict=True)) | {"who": torch.arange(len(source[0])) ** 2 % 23}
        facts = {"unit": PrivacyUnit(column="who", max_groups=1, max_rows=3), "domain": Domain(who="integer")}
        told = {"example": dict(zip("xy", EXAMPLE, strict=True)), "loss": by_name}
    kept = ledger(folder / f"{name}.db", unit=facts.get("unit"))
    data = dataset(folder, source, releases=folder / name, ledger=kept, **facts)
    if size > 1 and not rank:
        dist.barrier()
    losses = {"fails": broken, "differs": broken if rank else loss}
    net = model()
    clip = train.Quantile(0.5, rate=0.5, share=0.3) if name.startswith("moving") else None
    if name == "sharded":
        fully_shard(net, mesh=init_device_mesh("cpu", (size,)))
    try:
        told = {"loss": losses.get(name, loss), "clip": clip} | told
        run = start(with_fixed_randomness(data, seed=8), folder / name, model=net, **told)
        run.fit()
        release = run.finish()
        found = {"release": release.entry["hash"], "sum": sum(float(p.sum()) for p in run.model.parameters())}
        found["norm"] = release.facts.get("last_norm")
    except DiscreetError as error:
        found = {"refused": type(error).__name__, "says": error.what}
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps(found) + "\n")
    if size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6]))
