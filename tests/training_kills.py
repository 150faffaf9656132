"""A training run is killed at random moments, again and again, and started again: the model comes out bit by bit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from discreet.testing import ScratchLedger

ROOT = Path(__file__).parent.parent


def started(folder: Path, name: str, steps: int, program: str) -> subprocess.Popen[str]:
    """Start a process that trains."""
    command = [sys.executable, "-m", program, str(folder), name, str(steps)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def ended(folder: Path, name: str, steps: int, program: str) -> int:
    """Let a process train to its end, and return its exit status."""
    with started(folder, name, steps, program) as process:
        process.communicate()
    return process.returncode


def kills(folder: Path, *, times: int, steps: int, program: str = "tests.training", lines: int | None = None) -> int:
    """Kill a run `times` times at random steps, let it end, and return how often it was really killed.

    Args:
        folder: Where it keeps everything.
        times: How often to kill it.
        steps: How many steps a run has.
        program: What trains, and writes lines on the way.
        lines: How many lines it writes in all, about; as many as there are steps if left out.

    Raises:
        AssertionError: the model differs from that of a run that nobody killed, or the ledger holds another charge.
    """
    dice = random.Random()  # which moments: nothing private hangs on it
    assert ended(folder, "whole", steps, program) == 0
    killed = 0
    while killed < times:
        with started(folder, "killed", steps, program) as process:
            assert process.stdout is not None
            at = dice.randrange(1, max(2, 2 * (lines or steps) // times))
            for _, _ in zip(range(at), process.stdout, strict=False):
                pass
            time.sleep(dice.random() * 0.01)  # somewhere within a step, a checkpoint or a release
            process.kill()
        if process.returncode == 0:
            break
        killed += 1
    assert ended(folder, "killed", steps, program) == 0
    whole, other = (next((folder / name).glob("m/*/model.safetensors")).read_bytes() for name in ("whole", "killed"))
    assert whole == other, "the killed run's model is another one"
    entries = [entry.kind for entry in ScratchLedger(folder / "killed.db").entries("people")]
    assert entries.count("charge") == entries.count("release") == 1, entries
    assert not list((folder / "killed" / "private").glob("*")), "something private was left behind"
    return killed
