"""What a question costs discreet besides the engine: parse, plan, ledger, noise, release; a tiny table, many groups."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from discreet_sql import SQL, TASK, dataset

import discreet as dp
from discreet.sql.engines import duckdb as engine


def main():
    inside = []
    run = engine.run

    def timed(*arguments):
        start, begun = time.perf_counter(), time.process_time()
        try:
            return run(*arguments)
        finally:
            inside.append((time.perf_counter() - start, time.process_time() - begun))

    engine.run = timed
    outside = []
    with tempfile.TemporaryDirectory(prefix="discreet-benchmark-") as folder:
        table = dataset(Path(folder), epsilon=100 * TASK["epsilon"])(TASK["table"])
        for i in range(TASK["repeat"] + 1):
            start, begun = time.perf_counter(), time.process_time()
            dp.sql.query(table, SQL, epsilon=TASK["epsilon"], name=f"question-{i}")
            wall, cpu = time.perf_counter() - start, time.process_time() - begun
            outside.append((wall - inside[-1][0], cpu - inside[-1][1]))
    names = ("engine_wall", "engine_cpu", "wall", "cpu")
    columns = [*zip(*inside[1:], strict=True), *zip(*outside[1:], strict=True)]  # the first loads modules
    print(json.dumps({name: statistics.median(column) for name, column in zip(names, columns, strict=True)}))


main()
