"""What a piece of work costs its process and the processes it started: CPU, wall time, peak memory.

Imported by every contender, in whatever environment it runs; needs Python's own library alone.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def task():
    """Return the task that the caller gave as JSON."""
    return json.loads(sys.argv[-1])


def report(prepare, work, **facts):
    """Run both, and print as the last line what each cost and the table that `work` answered.

    Args:
        prepare: What is done once a process: imports, sessions, a first small question. Its result goes to `work`.
        work: Reads the table and returns a list of [group, count, sum, mean].
        facts: Versions, and whatever a reader should know.
    """
    begun = _cpu()
    ready = prepare()
    middle, start = _cpu(), time.perf_counter()
    answer = work(ready)
    wall, end = time.perf_counter() - start, _cpu()
    rows = [[int(group), *(None if value is None else float(value) for value in values)] for group, *values in answer]
    print(json.dumps({
        "cpu": end - middle, "wall": wall, "rss": sum(_peak(pid) for pid in (os.getpid(), *_descendants())),
        "setup": middle - begun, "answer": sorted(rows), **facts,
    }))  # fmt: skip


def _cpu():
    """Return CPU seconds of this process, its finished children, and its living descendants (a JVM)."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return spent + sum(_ticks(pid) for pid in _descendants()) / TICK


def _stat(pid):
    """Return the fields of /proc/PID/stat after the name, or None if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _ticks(pid):
    fields = _stat(pid)
    return 0 if fields is None else sum(int(field) for field in fields[11:15])  # own and waited-for children's


def _peak(pid):
    """Return the most memory a process held; not from getrusage, where a child begins with its parent's."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _descendants():
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(entry.name)) is not None:
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [os.getpid()]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
