"""A virtual environment of its own for each peer, so that no peer decides what another one runs on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parents[2] / ".venvs"
PATIENCE = 600  # seconds for one installation


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer.

    Args:
        name: Its package and its folder under .venvs.
        needs: What pip installs.
        script: Asks the benchmark's question; takes the task as JSON.
        most: The largest table it gets, in rows; None: the whole.
        note: What a reader of the table should know.
    """

    name: str
    needs: tuple[str, ...]
    script: str
    most: int | None
    note: str


PEERS = (
    Peer("opendp", ("opendp[polars]==0.16.0", "pyarrow"), "opendp_sql.py", None,
         "asked for K+1 groups, because it keeps one fewer than it charges for"),
    Peer("smartnoise-sql", ("smartnoise-sql==1.0.10", "pyarrow"), "smartnoise_sql.py", None,
         "bounds the rows of a person, not the groups"),
    Peer("pipeline-dp", ("pipeline-dp==0.3.1", "pyarrow"), "pipeline_dp_sql.py", 1_000_000,
         "rows are Python tuples: about 16 GB for the whole table, so it gets a part"),
    Peer("tmlt-analytics", ("tmlt-analytics==0.21.0",), "tmlt_sql.py", 1_000_000,
         "starts a Java virtual machine; three queries; most of its cost does not depend on the rows"),
)  # fmt: skip


def environment(peer):
    """Return the peer's Python, made if it is not there, and why there is none if it cannot be made."""
    folder = HOME / peer.name
    python, done = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(peer.needs)
    if done.exists() and done.read_text() == wanted:
        return python, None
    print(f"  installing {peer.name} into .venvs/{peer.name} ...", flush=True)
    commands = [[sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.needs]]  # fmt: skip
    for command in commands:
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return None, f"installation took more than {PATIENCE} s"
        if found.returncode:
            return None, last_line(found.stderr)
    done.write_text(wanted)
    return python, None


def last_line(text):
    """Return the last line of an error that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "WARNING" not in line]
    return lines[-1][:200] if lines else "no message"
