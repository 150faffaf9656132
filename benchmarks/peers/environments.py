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
        answers: Which of the questions (`questions.py`) the script can ask.
    """

    name: str
    needs: tuple[str, ...]
    script: str
    most: int | None
    note: str
    answers: tuple[str, ...]


COMMON = ("sums", "count", "sum", "mean")
PEERS = (
    Peer("opendp", ("opendp[polars]==0.16.0", "pyarrow"), "opendp_sql.py", None,
         "asked for K+1 groups, because it keeps one fewer than it charges for", (*COMMON, "median", "keys")),
    Peer("smartnoise-sql", ("smartnoise-sql==1.0.10", "pyarrow"), "smartnoise_sql.py", None,
         "bounds the rows of a person, not the groups", (*COMMON, "variance", "people", "keys")),
    Peer("pipeline-dp", ("pipeline-dp==0.3.1", "pyarrow"), "pipeline_dp_sql.py", 1_000_000,
         "rows are Python tuples: about 16 GB for the whole table, so it gets a part",
         (*COMMON, "variance", "people", "median", "keys")),
    Peer("tmlt-analytics", ("tmlt-analytics==0.21.0",), "tmlt_sql.py", 1_000_000,
         "starts a Java virtual machine; three queries; most of its cost does not depend on the rows",
         (*COMMON, "variance", "people", "median", "keys")),
    Peer("qrlew", ("pyqrlew==0.9.27", "duckdb==2.0.0"), "qrlew_sql.py", 1_000_000,
         "needs a SQLite table of the same rows for its schema; AVG and VARIANCE run two and three Gaussians, each with the noise of the "
         "whole budget", (*COMMON, "variance", "keys")),
    Peer("diffprivlib", ("diffprivlib==0.6.6", "scikit-learn<1.6", "duckdb==2.0.0"), "diffprivlib_sql.py", None,
         "bounds nobody: asked of tables with one row of each person alone", ()),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shelf:
    """Privacy accountants that share an environment because they agree on what they run on.

    Args:
        name: Its folder under .venvs.
        needs: What pip installs.
        python: The interpreter it is made with, where it is found; else the one that runs this.
    """

    name: str
    needs: tuple[str, ...]
    python: str | None = None


SHELVES = (
    Shelf("accountants", ("dp-accounting==0.6.0", "riskcal==1.5.1", "gdpnum==0.1.2", "pld-accounting==2.0",
                          "random-allocation==1.0.5", "pandas")),  # the last imports pandas, which it does not ask for
    Shelf("accountants-old", ("prv-accountant==0.2.0", "fourier-accountant==0.12.11", "autodp==0.2.3.1",
                              "dp-accelerator==0.1.0")),
    Shelf("accountants-torch", ("opacus==1.6.0", "torch==2.13.0")),
    Shelf("accountants-opake", ("opake-accounting==0.16.1",), "python3.13"),  # does not import on 3.11.7 and 3.12.1
)  # fmt: skip


def environment(peer):
    """Return the Python of a peer or shelf, made if it is not there, and why there is none if it cannot be made."""
    folder = HOME / peer.name
    python, done = folder / "bin" / "python", folder / "installed.txt"
    maker = interpreter(getattr(peer, "python", None))
    wanted = "\n".join(peer.needs if maker == sys.executable else (*peer.needs, maker))
    if done.exists() and done.read_text() == wanted:
        return python, None
    print(f"  installing {peer.name} into .venvs/{peer.name} ...", flush=True)
    commands = [[maker, "-m", "venv", "--clear", str(folder)],
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


def interpreter(name):
    """Return that Python if it is on the PATH and runs, or pyenv keeps it; else our own."""
    if name is None:
        return sys.executable
    for candidate in (name, *map(str, sorted(Path.home().glob(f".pyenv/versions/*/bin/{name}")))):
        try:
            subprocess.run([candidate, "-c", ""], capture_output=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError):  # pyenv's stubs are on the PATH, and fail
            continue
        return candidate
    return sys.executable


def imported(python, package, module):
    """Return the version of an installed package, and why it cannot be used if its module does not import."""
    program = f"import {module}; from importlib.metadata import version; print(version({package!r}))"
    found = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=False)
    return (None, last_line(found.stderr)) if found.returncode else (found.stdout.split()[-1], None)


def last_line(text):
    """Return the last line of an error that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "WARNING" not in line]
    return lines[-1][:200] if lines else "no message"
