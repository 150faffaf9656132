"""diffprivlib: functions of one array each. Nobody is bounded: it is asked of tables with one row of each person alone."""

from __future__ import annotations

import itertools
from importlib.metadata import version

from meter import report, task

TASK = task()
QUESTION, EPSILON, BOUNDS = TASK["question"], TASK["epsilon"], (TASK["low"], TASK["high"])


def prepare():
    import duckdb
    import numpy as np
    from diffprivlib import tools

    return duckdb, np, tools


def ask(ready):
    duckdb, np, tools = ready
    found = duckdb.sql(f"SELECT g, v FROM read_parquet('{TASK['table']}') ORDER BY g").fetchnumpy()
    edges = np.searchsorted(found["g"], range(TASK["groups"] + 1))
    if QUESTION == "count":
        # Of ones alone it would cut the noise off at their number, which it takes for public: an exact upper bound.
        return [(g, tools.count_nonzero(found["g"] == g, epsilon=EPSILON)) for g in range(TASK["groups"])]
    asked = {
        "sum": lambda values: tools.sum(values, epsilon=EPSILON, bounds=BOUNDS, dtype=int),
        # It takes the number of values for public.
        "mean": lambda values: tools.mean(values, epsilon=EPSILON, bounds=BOUNDS),
        "variance": lambda values: tools.var(values, epsilon=EPSILON, bounds=BOUNDS),
        "median": lambda values: tools.median(values, epsilon=EPSILON, bounds=BOUNDS),
    }[QUESTION]
    return [(group, asked(found["v"][a:b])) for group, (a, b) in enumerate(itertools.pairwise(edges))]


report(prepare, ask, versions={name: version(name) for name in ("diffprivlib", "numpy")})
