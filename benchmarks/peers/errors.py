"""How far every peer's answers are from the truth, at equal (ε, δ) and bounds, beside ours.

One aggregate at a time has the whole budget. Two tables of 50 groups of about 4,000 rows, so made that no bound of a
person binds and all error is noise: in `fine` everyone has 10 rows in three groups, and counts in at most 3 groups with
at most 5 rows in each; in `single` everyone has one row, and counts once.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np
from peers.environments import PEERS, environment, last_line
from peers.questions import QUESTIONS
from peers.tables import made

ROWS, PATIENCE = 200_000, 570
BOUNDS = {"groups": 50, "low": 0, "high": 9999, "epsilon": 1.0, "delta": 1e-6, "rows": ROWS, "query": "errors"}
TABLES = {"fine": {"max_groups": 3, "max_rows": 5}, "single": {"max_groups": 1, "max_rows": 1}}
ASKED = ("count", "sum", "mean", "variance", "people", "median")
AGAIN = {"discreet": 39, "tmlt-analytics": 1, "diffprivlib": 39}  # answers after the first
OTHERS = 11
CLEAR = 4  # standard errors apart


def answers(name, python, script, question, kind):
    """Return several answers, each {group: number}, or why there are none."""
    path = made(kind, ROWS, ROWS // 10)
    task = {**BOUNDS, **TABLES[kind], "question": question, "people": ROWS // 10, "again": AGAIN.get(name, OTHERS),
            "table": str(path), "sample": str(path), "joined": {}}  # fmt: skip
    command = [str(python), str(Path(__file__).resolve().parent / script), json.dumps(task)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return f"no answer after {PATIENCE} s"
    if found.returncode:
        return last_line(found.stderr)
    return [
        {int(group): number for group, number in rows} for rows in json.loads(found.stdout.splitlines()[-1])["answers"]
    ]


def distances(question, kind, found):
    """Return each answer's distance from the truth: of a median, that of its rank from one half."""
    path = made(kind, ROWS, ROWS // 10)
    if question == "median":
        rows = duckdb.execute(f"SELECT g, list(v ORDER BY v) FROM '{path}' GROUP BY g").fetchall()
        values = {group: np.array(column) for group, column in rows}

        def distance(group, number):
            below, upto = (
                np.searchsorted(values[group], number, side) / values[group].size for side in ("left", "right")
            )
            return max(0.0, below - 0.5, 0.5 - upto)

    else:
        duckdb.execute(f"CREATE OR REPLACE TEMP VIEW t AS SELECT * FROM '{path}'")
        truth = dict(duckdb.execute(QUESTIONS[question].plain).fetchall())

        def distance(group, number):
            return float(number) - float(truth[group])

    return np.array([distance(group, number) for one in found for group, number in one.items() if number is not None])


def error(question, distances):
    """Return the root mean square, of a median the mean, and its relative standard error."""
    sizes = np.abs(distances) if question == "median" else distances**2
    spread = float(sizes.std() / sizes.mean() / math.sqrt(len(sizes))) if sizes.mean() else 0.0
    return (float(sizes.mean()), spread) if question == "median" else (math.sqrt(sizes.mean()), spread / 2)


def compare(wanted):
    """Print all errors, and return where a peer's is clearly smaller than ours."""
    parties = [("discreet", sys.executable, "discreet_sql.py", ASKED)]
    for peer in PEERS:
        if peer.name in wanted:
            python, problem = environment(peer)
            if problem is None:
                parties.append((peer.name, python, peer.script, ASKED if peer.name == "diffprivlib" else peer.answers))
            else:
                print(f"  {peer.name}: left out; it cannot be installed here: {problem}")
    worse = []
    print("table   question  who             error   ± of it    draws   over ours")
    for kind in TABLES:
        for question in ASKED:
            ours = None
            for name, python, script, can in parties:
                if question not in can or (name == "diffprivlib" and (kind != "single" or question == "people")):
                    continue
                found = answers(name, python, script, question, kind)
                if isinstance(found, str):
                    print(f"{kind:7} {question:9} {name:14} no answer: {found}", flush=True)
                    continue
                far = distances(question, kind, found)
                size, spread = error(question, far)
                ours = (size, spread) if ours is None else ours
                print(
                    f"{kind:7} {question:9} {name:14} {size:9.4g} {spread:7.1%} {far.size:8,} {size / ours[0]:10.3f}",
                    flush=True,
                )
                if size * (1 + CLEAR * spread) < ours[0] * (1 - CLEAR * ours[1]):
                    worse.append(f"{question} on {kind}: {name} errs by {size:.4g}, we by {ours[0]:.4g}")
    return worse
