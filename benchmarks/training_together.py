"""A training run in one process and in two: peak memory and processor time of each, and whether they train the same.

python benchmarks/training_together.py [--steps 4]        # two minutes on busy cores

The model is M4 of `training.py`, a GPT of 7.4 million weights; the run is a whole one, from `make_private` to `finish`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from training_models import WORDS, following, gpt

from discreet import Dataset, Domain, PrivacyUnit, Relation, train
from discreet.testing import ScratchLedger, with_fixed_randomness

TEXTS, LENGTH, BATCH, MICROBATCH = 512, 128, 32, 4
MB = 1e6


def resident():
    """Return how much memory this process has now, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def work(folder, rank, size, port, steps):
    """Train as one of `size` processes, and print what it took."""
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    torch.manual_seed(0)
    case = gpt()
    texts = torch.randint(0, WORDS, (TEXTS, LENGTH))
    if rank:
        dist.barrier()  # until process 0 has opened the account
    ledger = ScratchLedger(folder / "ledger.db")
    if not rank:
        ledger.open("people", unit=PrivacyUnit(), measure="renyi", epsilon=1e3, delta=1e-5, owner=ledger.owner)
    if size > 1 and not rank:
        dist.barrier()
    data = Dataset(
        (texts,), name="texts", version="1", unit=PrivacyUnit(), domain=Domain(), ledger=ledger, population="people",
        releases=folder / "releases",
    )  # fmt: skip
    plan = train.DPSGD(
        sample_rate=BATCH / TEXTS, steps=steps, max_grad_norm=1.0, expected_batch_size=BATCH,
        relation=Relation.ADD_REMOVE, noise_multiplier=1.0, delta=1e-5,
    )  # fmt: skip
    before, cpu, wall = resident(), time.process_time(), time.perf_counter()
    run = train.make_private(
        with_fixed_randomness(data, seed=1), plan, model=case.model, loss=following, example=case.batch[0][:4].split(4),
        optimizer=torch.optim.SGD(case.model.parameters(), lr=0.01), microbatch=MICROBATCH, name="model",
        private=folder / "private",
    )  # fmt: skip
    run.fit(progress=False)
    cost = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    run.finish()
    print(json.dumps({"rank": rank, "before": before, "peak": peak, **cost}))
    if size > 1:
        dist.destroy_process_group()


def together(folder, size, steps):
    """Return what each of `size` processes says, and the released tensors."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir()
    command = [sys.executable, __file__, "--steps", str(steps), "--as", str(folder)]
    processes = [
        subprocess.Popen([*command, str(rank), str(size), str(port)], stdout=subprocess.PIPE, text=True)
        for rank in range(size)
    ]
    said = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit("a process failed")
    (path,) = folder.glob("releases/model/*/model.safetensors")
    return [json.loads(text.splitlines()[-1]) for text in said], load_file(path)


def main():
    """Compare one process with two."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--as", nargs=4, dest="role", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role:
        work(Path(asked.role[0]), *map(int, asked.role[1:]), asked.steps)
        return
    weights = sum(p.numel() for p in gpt().model.parameters())
    print(f"torch {torch.__version__}, discreet {version('discreet')}, Python {platform.python_version()}")
    print(
        f"{weights / 1e6:.1f} million weights ({weights * 4 / MB:.0f} MB), {asked.steps} steps of about {BATCH} texts"
    )
    print("| processes | process | before the run, MB | peak, MB | taken by the run, MB | CPU, s | wall, s |")
    print("|---|---|---|---|---|---|---|")
    models = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (1, 2):
            said, tensors = together(Path(folder) / str(size), size, asked.steps)
            models.append(tensors)
            for one in said:
                taken = one["peak"] - one["before"]
                print(
                    f"| {size} | {one['rank']} | {one['before'] / MB:.0f} | {one['peak'] / MB:.0f} | {taken / MB:.0f} | "
                    f"{one['cpu']:.1f} | {one['wall']:.1f} |"
                )
    apart = max(float((models[0][name] - models[1][name]).abs().max()) for name in models[0])
    print(f"largest difference of a released weight: {apart:.1e}")


if __name__ == "__main__":
    main()
