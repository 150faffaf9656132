"""What a question costs discreet besides the engine: parse, plan, ledger, noise, release; a tiny table, many groups."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from discreet_sql import ASKED, DELTA, TASK, dataset

import discreet as dp
from discreet.sql.engines import duckdb as engine

INSIDE = [0.0, 0.0]


@contextmanager
def inside():
    """Count time as the engine's."""
    start, begun = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        INSIDE[0] += time.perf_counter() - start
        INSIDE[1] += time.process_time() - begun


def watch():
    """Have the engine's time counted: opening, every statement, closing."""

    def timed(function):
        def called(*arguments):
            with inside():
                return function(*arguments)

        return called

    for name in ("table", "keep", "put", "close"):
        setattr(engine.Opened, name, timed(getattr(engine.Opened, name)))
    opened = engine.DuckDB.opened

    @contextmanager
    def watched(self, source, question):
        room = opened(self, source, question)
        with inside():
            session = room.__enter__()
        try:
            yield session
        finally:
            with inside():
                room.__exit__(None, None, None)

    engine.DuckDB.opened = watched


def main():
    watch()
    costs = []
    with tempfile.TemporaryDirectory(prefix="discreet-benchmark-") as folder:
        table = dataset(Path(folder), epsilon=100 * TASK["epsilon"])("table")
        for i in range(TASK["repeat"] + 1):
            INSIDE[:] = 0.0, 0.0
            start, begun = time.perf_counter(), time.process_time()
            dp.sql.query(table, ASKED.ours, epsilon=TASK["epsilon"], delta=DELTA, name=f"question-{i}")
            wall, cpu = time.perf_counter() - start, time.process_time() - begun
            costs.append((*INSIDE, wall - INSIDE[0], cpu - INSIDE[1]))
    names = ("engine_wall", "engine_cpu", "wall", "cpu")
    columns = zip(*costs[1:], strict=True)  # the first loads modules
    print(json.dumps({name: statistics.median(column) for name, column in zip(names, columns, strict=True)}))


main()
