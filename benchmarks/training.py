"""Time and memory of a private training step over a plain one, beside peers: seven models, M1 to M6 and M4 with tied words.

    python benchmarks/training.py                             # all models, all peers
    python benchmarks/training.py --models M1,M2 --rounds 15  # two, more often
    python benchmarks/training.py --quick --peers none        # a glance at discreet alone

A step is that of `training_models.py`: forward and backward in micro-batches, clipped to 1, noise of σ = 1, SGD. Each
contender takes it in a process of its own, with one thread, in micro-batches of one size; plain training takes the same ones,
and for comparison the whole batch at once. Rounds are interleaved: plain, discreet, plain again in another process, then
the others. A ratio is that of CPU times in one round, over the mean of the two plain processes; the median over the rounds is
shown, the least and the most beside it. What the machine's noise does to such a ratio is seen at "plain" and "plain again".

Peaks of memory are from other processes, three steps each, which free memory as usual: the most that was resident, less what
was when the model was built and PyTorch's own code was loaded, plus its weights; over the mean of the two plain processes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import environments

PEERS = Path(__file__).parent / "peers"
ONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Timed processes keep what they free: else most of what differs is how often the kernel hands out the same pages.
KEPT = {"MALLOC_TRIM_THRESHOLD_": str(2**33), "MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TOP_PAD_": str(2**26)}
MICRO = {"M1": 256, "M2": 32, "M3": 16, "M4": 4, "M4t": 4, "M5": 2, "M6": 4}
BATCH = {"M1": 256, "M2": 128, "M3": 64, "M4": 16, "M4t": 16, "M5": 8, "M6": 16}
FEW = 32  # of M1, for contenders that keep a gradient of 1.9 million numbers for each example
OPACUS = next(shelf for shelf in environments.SHELVES if shelf.name == "accountants-torch")
OPAKE = environments.Shelf("training-opake", ("opake-dpsgd==0.16.1", "torch==2.13.0"))
PLAIN, AGAIN, OURS = "plain", "plain again", "discreet"
LEAST, OFTEN, SELDOM = 3, 5, 2  # rounds: of everybody, if time is short; of a peer; of a slow one
SMALL = 100  # MB, where a peak differs by some from process to process
SLOW = 8  # plain steps that a slow one costs


@dataclass(frozen=True)
class Contender:
    """Who takes steps.

    Args:
        name: In the table.
        script: In `peers/`.
        shelf: Its environment; None: the one that runs this.
        way: Which of the script's ways.
        keeps: Whether it keeps the gradients of all examples of a micro-batch.
        whole: Whether it computes the whole batch at once.
    """

    name: str
    script: str
    shelf: environments.Shelf | None = None
    way: str = ""
    keeps: bool = False
    whole: bool = False

    def microbatch(self, model):
        """Return how many examples it computes at once."""
        if self.whole:
            return BATCH[model]
        return min(MICRO[model], FEW) if self.keeps and model == "M1" else MICRO[model]


ALWAYS = (
    Contender(PLAIN, "plain_training_speed.py"),
    Contender(OURS, "discreet_training_speed.py"),
    Contender(AGAIN, "plain_training_speed.py"),
    Contender("plain, whole", "plain_training_speed.py", whole=True),
)
OTHERS = (
    Contender("torch.func", "functorch_training_speed.py", keeps=True),
    Contender("opacus, hooks", "opacus_training_speed.py", OPACUS, "hooks", keeps=True),
    Contender("opacus, ghost", "opacus_training_speed.py", OPACUS, "ghost"),
    Contender("opake", "opake_training_speed.py", OPAKE, keeps=True),
)


class Worker:
    """A process that takes a step when told to.

    Args:
        contender: Whose steps.
        model: Of which model.
        memory: What the C library keeps of memory that is freed: environment variables.
    """

    def __init__(self, contender, model, memory):
        python = sys.executable if contender.shelf is None else str(environments.environment(contender.shelf)[0])
        asked = {"model": model, "microbatch": contender.microbatch(model), "way": contender.way}
        self.process = subprocess.Popen(
            [python, str(PEERS / contender.script), json.dumps(asked)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**os.environ, **ONE, **memory},
        )  # fmt: skip
        self.facts = self._answer()

    def step(self):
        """Return what a step cost, and the peak of memory so far.

        Raises:
            RuntimeError: the process ended, with its last words.
        """
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words are read below
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        raise RuntimeError(environments.last_line(self.process.communicate()[1]))

    def end(self):
        """Let the process end."""
        self.process.communicate()


def peak(contender, model):
    """Return the peak of memory of three steps in a fresh process, in MB; if it is small, the median of three."""
    found = []
    while len(found) < (3 if not found or found[0] < SMALL else 1):
        worker = Worker(contender, model, {})
        found.append([worker.step() for _ in range(3)][-1]["peak"] / 1e6)
        worker.end()
    return statistics.median(found)


def timed(contenders, model, settings):
    """Return each contender's CPU seconds by round, why others have none, and the versions."""
    workers, failed, turns = {}, {}, {}
    for contender in contenders:
        try:
            worker = Worker(contender, model, KEPT)
            warm = [worker.step()["cpu"] for _ in range(2)][-1]
        except RuntimeError as error:
            failed[contender.name] = str(error)
            continue
        workers[contender.name] = worker
        if contender.name == PLAIN:
            usual = warm
        if contender.name not in (PLAIN, OURS, AGAIN):
            turns[contender.name] = SELDOM if warm > SLOW * usual else OFTEN
    found, start = {name: [] for name in workers}, time.perf_counter()
    for turn in range(settings.rounds):
        if turn >= LEAST and time.perf_counter() - start > settings.seconds:
            break
        for name, worker in workers.items():
            if turn < turns.get(name, settings.rounds):
                found[name].append(worker.step()["cpu"])
    facts = {name: worker.facts for name, worker in workers.items()}
    for worker in workers.values():
        worker.end()
    return found, failed, facts


def ratios(costs, name):
    """Return a contender's CPU time over plain training's, by round."""
    below = map(statistics.mean, zip(costs[PLAIN], costs[AGAIN], strict=True))
    return [cost / plain for cost, plain in zip(costs[name], below, strict=False)]


def compared(model, contenders, settings):
    """Print the table of a model."""
    costs, failed, facts = timed(contenders, model, settings)
    versions = {name: value for each in facts.values() for name, value in each.items() if name != "torch"}
    torches = sorted({each["torch"] for each in facts.values()})
    told = ", ".join([f"torch {' and '.join(torches)}", *(f"{name} {value}" for name, value in versions.items())])
    print(f"\n{model}, micro-batches of {MICRO[model]}; {told}")
    print(
        f"{'':<15} {'micro':>5} {'ms':>8} {'over plain':>10} {'least':>7} {'most':>7} {'rounds':>6} {'MB':>7} {'over':>6}"
    )
    peaks = {one.name: peak(one, model) for one in contenders if one.name not in failed}
    base = (peaks[PLAIN] + peaks[AGAIN]) / 2
    for contender in contenders:
        name = contender.name
        if name in failed:
            print(f"{name:<15} none: {failed[name]}")
            continue
        by_round, most = ratios(costs, name), peaks[name]
        print(
            f"{name:<15} {contender.microbatch(model):>5} {1000 * statistics.median(costs[name]):>8.1f} "
            f"{statistics.median(by_round):>10.2f} "
            f"{min(by_round):>7.2f} {max(by_round):>7.2f} {len(by_round):>6} {most:>7.0f} {most / base:>6.2f}",
            flush=True,
        )


def settled(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(MICRO))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=120, help="of rounds for each model, once there were three")
    parser.add_argument("--peers", default=",".join(one.name.replace(", ", "-") for one in OTHERS), help="or none")
    parser.add_argument("--quick", action="store_true", help="M1, M2 and M6, three rounds")
    found = parser.parse_args(arguments)
    if found.quick:
        found.models, found.rounds = "M1,M2,M6", LEAST
    found.models = found.models.split(",")
    if not set(found.models) <= set(MICRO):
        parser.error(f"no such model; there are: {', '.join(MICRO)}")
    wanted = [] if found.peers == "none" else found.peers.split(",")
    known = {one.name.replace(", ", "-"): one for one in OTHERS}
    if not set(wanted) <= set(known):
        parser.error(f"no such peer; there are: {', '.join(known)}, and none")
    found.peers = [known[name] for name in wanted]
    return found


def main(arguments=None):
    """Print a table for each model."""
    settings = settled(arguments)
    contenders = list(ALWAYS)
    for peer in settings.peers:
        why = None if peer.shelf is None else environments.environment(peer.shelf)[1]
        if why is None:
            contenders.append(peer)
        else:
            print(f"{peer.name} is left out: {why}")
    print(f"Python {platform.python_version()}, {platform.machine()}, one thread; CPU time of the process")
    for model in settings.models:
        compared(model, contenders, settings)


if __name__ == "__main__":
    main()
