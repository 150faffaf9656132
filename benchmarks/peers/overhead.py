"""What a question costs discreet besides the engine: parse, plan, ledger, noise, release; a tiny table, many groups."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from discreet_sql import SQL, TASK, dataset

import discreet as dp
from discreet.sql.engines.duckdb import DuckDB, Opened


class Clock:
    """Adds up the wall time and the processor time of what the engine does for one question."""

    def __init__(self):
        self.wall = self.cpu = 0.0

    @contextmanager
    def running(self):
        """Let what stands inside run on the clock."""
        start, begun = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall += time.perf_counter() - start
            self.cpu += time.process_time() - begun


def timed(clock):
    """Let the engine's opening, its answers and its closing run on the clock."""
    opened, table = DuckDB.opened, Opened.table

    @contextmanager
    def opening(self, *given):
        held = opened(self, *given)
        with clock.running():
            session = held.__enter__()
        try:
            yield session
        finally:
            with clock.running():
                held.__exit__(None, None, None)

    def answered(self, statement):
        with clock.running():
            return table(self, statement)

    DuckDB.opened, Opened.table = opening, answered


def main():
    clock, inside, outside = Clock(), [], []
    timed(clock)
    with tempfile.TemporaryDirectory(prefix="discreet-benchmark-") as folder:
        table = dataset(Path(folder), epsilon=100 * TASK["epsilon"])(TASK["table"])
        for i in range(TASK["repeat"] + 1):
            clock.wall = clock.cpu = 0.0
            start, begun = time.perf_counter(), time.process_time()
            dp.sql.query(table, SQL, epsilon=TASK["epsilon"], name=f"question-{i}")
            wall, cpu = time.perf_counter() - start, time.process_time() - begun
            inside.append((clock.wall, clock.cpu))
            outside.append((wall - clock.wall, cpu - clock.cpu))
    names = ("engine_wall", "engine_cpu", "wall", "cpu")
    columns = [*zip(*inside[1:], strict=True), *zip(*outside[1:], strict=True)]  # the first loads modules
    print(json.dumps({name: statistics.median(column) for name, column in zip(names, columns, strict=True)}))


main()
