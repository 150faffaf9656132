"""What a piece of work costs its process and the processes it started: CPU, wall time, peak memory.

`report` is for work that is done once, `account` for an answer of privacy accounting, which is asked again and again.

Imported by every contender, in whatever environment it runs; needs Python's own library alone.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import statistics
import sys
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
REPETITIONS = 5
TICKS_ENOUGH = 0.05  # CPU seconds that the clock tells well
NOISES = ("sigma", "scale", "response")  # the parameters that set a mechanism's noise


def task():
    """Return the task that the caller gave: JSON, or the path of a file of it."""
    given = sys.argv[-1]
    return json.loads(given if given.startswith("{") else Path(given).read_text())


def report(prepare, work, **facts):
    """Run both, and print as the last line what each cost and the table that `work` answered.

    Args:
        prepare: What is done once a process: imports, sessions, a first small question. Its result goes to `work`.
        work: Reads the table and returns a list of [group, numbers …]. The task says how many times `again` it is done
            for more answers; what those cost is not told.
        facts: Versions, and whatever a reader should know.
    """
    begun = _cpu()
    ready = prepare()
    middle, start = _cpu(), time.perf_counter()
    answer = work(ready)
    wall, end = time.perf_counter() - start, _cpu()
    rss = sum(_peak(pid) for pid in (os.getpid(), *_descendants()))
    answers = [_sorted(answer), *(_sorted(work(ready)) for _ in range(task().get("again", 0)))]
    print(json.dumps({
        "cpu": end - middle, "wall": wall, "rss": rss, "setup": middle - begun, "answers": answers, **facts,
    }))  # fmt: skip


def _sorted(answer):
    return sorted(
        [int(group), *(None if value is None else float(value) for value in values)] for group, *values in answer
    )


def account(questions):
    """Answer the task, or each of its settings, and print a line of JSON for each.

    Args:
        questions: By name, functions of the task. An answer is (upper, lower): what is claimed to be no less than
            the truth, and no more, each a number, a list of them, or None.

    A task limits the `memory` in bytes, and the CPU seconds of all. It may carry `settings`, each of which changes
    some of it, with `patience` CPU seconds for each.
    """
    asked = task()
    for limit, most in ((resource.RLIMIT_AS, asked["memory"]), (resource.RLIMIT_CPU, asked["limit"])):
        resource.setrlimit(limit, (most, most + 5))
    work = questions[asked["question"]]
    if "settings" not in asked:
        print(json.dumps(_tried(_repeated, work, asked)))
        return
    signal.signal(signal.SIGPROF, _late)
    _tried(_once, work, asked)  # what is loaded at first use is nobody's cost
    for setting in asked["settings"]:
        signal.setitimer(signal.ITIMER_PROF, asked["patience"])
        answer = _tried(_once, work, asked | setting)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(answer), flush=True)


def _tried(measure, work, asked):
    """Return what was measured, or the problem: a contender may fail in any way."""
    try:
        return measure(work, asked)
    except Exception as error:  # noqa: BLE001
        return {"problem": f"{type(error).__name__}: {error}".partition("\n")[0][:160]}


def _late(_number, _frame):
    raise TimeoutError


def _once(work, asked):
    begun = time.process_time()
    upper, lower, *measured = work(asked)
    return {"upper": upper, "lower": lower, "cpu": time.process_time() - begun, **(measured[0] if measured else {})}


def spent_in_turn(state, spends, spend, readout):
    """Spend all, each followed by a readout, and then all again.

    Returns:
        The readout after the first round, and what it cost on average to spend and read, in both rounds: the first
        one meets every mechanism for the first time.
    """
    costs, ends = [], []
    for _ in range(2):
        begun = time.process_time()
        for one in spends:
            state = spend(state, one)
            read = readout(state)
        costs.append((time.process_time() - begun) / len(spends))
        ends.append(read)
    return *ends[0], {"first": costs[0], "cpu": costs[1]}


def _repeated(work, asked):
    """Return the first answer, with the median cost of later ones: the first may load and compile.

    Later ones ask for noise that differs by parts in 1e12, so that no cache has the answer. They end after `repeat`
    CPU seconds; an answer slower than that is asked once.
    """
    first, again, asked_before = _once(work, asked), [], 0
    enough = min(asked["repeat"], asked["limit"] / 3)
    if first["cpu"] > enough or "first" in first:  # no time to ask again; or it measured by itself
        return first
    calls = 1
    while len(again) < REPETITIONS and sum(again) * calls < enough:
        begun = time.process_time()
        for i in range(asked_before, asked_before + calls):
            work(_nudged(asked, 1 + (i + 1) * 1e-12))
        spent = (time.process_time() - begun) / calls
        asked_before += calls
        if calls == 1 and spent < TICKS_ENOUGH:  # the clock is too coarse for one call: ask many at a time
            calls, again = math.ceil(TICKS_ENOUGH / max(spent, 1e-4)), []
        else:
            again.append(spent)
    return first | {"cpu": statistics.median(again)}


def _nudged(asked, by):
    """Return the question about another noise; where the noise is what is asked, for another ε."""
    parts = [{key: value * by if key in NOISES else value for key, value in part.items()} for part in asked["parts"]]
    return asked | {"parts": parts} | ({"epsilon": asked["epsilon"] * by} if "epsilon" in asked else {})


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
