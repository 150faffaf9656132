"""Running sums of a series: their error beside independent noise, binary trees, and the real square root.

Errors are standard deviations at zCDP rho = 1/2, a unit that moves each of its steps by 1, none left out: the largest
over all running sums, and the root of the mean square. At another rho divide by sqrt(2 rho). They are worked out, not
drawn, but for one column, where a whole series with many cells was released. Run it:

    python benchmarks/continual.py               # about a minute
    python benchmarks/continual.py --steps 100   # seconds
    python benchmarks/continual.py --sql 1000    # a series over a table, with its ledger and releases: minutes
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import platform
import tempfile
import time
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

import discreet.sql as sql
from discreet import Dataset, Domain, Ledger, PrivacyUnit, accounting
from discreet.ledger import OwnerKey
from discreet.mechanisms import Rng, RunningSums, SumsSoFar, Toeplitz

STEPS = (100, 1000, 4096)
PARTICIPATIONS = (1, 4, 16)
DRAWN = 2**20  # answers in the column that is drawn
CELLS = 1024  # groups of the series that is followed through SQL
GOAL = 1e-4


# ------------------------------------------------------------------------------ what it is compared with


def independent(steps, participations):
    """Noise of its own on each step, added up: a unit moves k of them."""
    scale = math.sqrt(participations)
    return scale * math.sqrt(steps), scale * math.sqrt((steps + 1) / 2)


def tree(steps, participations, *, refined):
    """Noise on every complete node of a binary tree; a running sum is that of its dyadic nodes.

    The worst unit takes the first steps: they fill whole nodes at every level. Refined (Honaker 2015, as far as it
    goes online): a node's value is the best combination of its own and those below it.
    """
    levels = range(steps.bit_length())
    squares = 0
    for level in levels:
        full, rest = divmod(participations, 2**level)
        complete = steps // 2**level
        squares += min(full, complete) * 4**level + (rest**2 if full < complete else 0)
    variance = [1.0]
    for _ in levels:
        variance.append(1 / (1 + 1 / (2 * variance[-1])) if refined else 1.0)
    sums = [sum(variance[level] for level in levels if last >> level & 1) for last in range(1, steps + 1)]
    return math.sqrt(squares * max(sums)), math.sqrt(squares * sum(sums) / steps)


def square_root(steps, participations, separation):
    """The real square root of the matrix of running sums, by its definition."""
    column = np.cumprod(np.append(1.0, 1 - 0.5 / np.arange(1, steps)))
    taken = np.zeros(steps)
    for first in range(0, min(steps, participations * separation), separation):
        taken[first:] += column[: steps - first]
    rows = np.cumsum(column**2)
    scale = float(np.linalg.norm(taken))
    return scale * math.sqrt(rows[-1]), scale * math.sqrt(rows.mean())


def least(steps):
    """No matrix whatever has a smaller error where a unit takes part once: the nuclear norm of the running sums."""
    j = np.arange(1, steps + 1)
    return float((1 / (2 * np.sin((2 * j - 1) * np.pi / (4 * steps + 2)))).sum() / steps)


# ------------------------------------------------------------------------------------------- ours


def drawn(matrix):
    """Release a series with many cells; return its errors, and the seconds of its last step."""
    cells = max(1, DRAWN // matrix.steps)
    sums = RunningSums(
        matrix=matrix, step_sensitivity_squared=Fraction(1), variance=Fraction(matrix.sensitivity_squared)
    )
    series = np.arange(matrix.steps * cells).reshape(matrix.steps, cells) % 7
    so_far, rng, spent = SumsSoFar(), Rng(), 0.0
    for step in range(1, matrix.steps + 1):
        start = time.process_time()
        so_far = sums.advance(so_far, step=step, exact_values=series[step - 1], rng=rng)
        spent = time.process_time() - start
    squares = ((sums.estimates(so_far.answers) - series.cumsum(axis=0)) ** 2).mean(axis=1)
    return math.sqrt(squares[-1]), math.sqrt(squares.mean()), spent, cells


def followed(folder, steps):
    """Follow a series over a table, a day at a time; return its errors, and the seconds of a step, first and last."""
    unit, first = PrivacyUnit(column="id", max_groups=1), datetime.date(2020, 1, 1)
    ledger = Ledger(folder / "ledger.db")
    owner = OwnerKey.create(folder / "owner.key")
    ledger.open("people", unit=unit, measure="zcdp", epsilon=4.0, delta=1e-6, owner=owner)
    people = np.arange(steps * CELLS)
    days = np.datetime64(first) + np.repeat(np.arange(steps), CELLS)
    cells = (people * 7919) % CELLS
    dataset = Dataset(
        pa.table({"id": people, "cell": cells, "day": pa.array(days.astype("datetime64[D]"))}),
        name="visits",
        version="all",
        unit=unit,
        domain=Domain(id="integer", day="date", cell=list(range(CELLS))),
        ledger=ledger,
        population="people",
        releases=folder / "releases",
    )
    text = "SELECT cell, COUNT(*) AS n FROM visits GROUP BY cell"
    series = sql.series(
        dataset, text, period="day", unit="day", first=first, steps=steps, participations=1, epsilon=1.0, delta=1e-6,
        name="visits", folder=folder / "kept",
    )  # fmt: skip
    series.open()
    scale = math.sqrt(2 * float(accounting.cost(series.plan.event, accounting.Measure("zcdp")).loss) / 2**40)
    at = [time.perf_counter()]
    releases = series.advance(progress=lambda *_: at.append(time.perf_counter()))
    spent, squares = np.diff(at), []
    for step, release in enumerate(releases, 1):
        truth = np.bincount(cells[: step * CELLS], minlength=CELLS)
        squares.append(float(((release.value["n"].to_numpy() - truth) ** 2).mean()))
    stated = [error * scale for error in series.plan.schedule_table()["n_se"].to_pylist()]
    errors = math.sqrt(squares[-1]) * scale, math.sqrt(np.mean(squares)) * scale
    return errors, (max(stated), math.sqrt(np.mean(np.square(stated)))), (spent[:20], spent[-20:])


def show(name, errors, note=""):
    print(f"    {name:34}{errors[0]:10.4f}{errors[1]:10.4f}   {note}")


def compare(steps, participations, separation, *, draw):
    """Print a block; return by how much the whole numbers miss the real square root."""
    print(f"{steps} steps, a unit in at most {participations}, at least {separation} apart")
    if separation == 1:
        show("noise of each step", independent(steps, participations))
        show("binary tree", tree(steps, participations, refined=False))
        show("binary tree, refined", tree(steps, participations, refined=True))
    real = square_root(steps, participations, separation)
    whole = Toeplitz(steps=steps, participations=participations, separation=separation)
    start = time.process_time()
    best = Toeplitz.best(steps=steps, participations=participations, separation=separation)
    chosen = time.process_time() - start
    show("square root, real numbers", real)
    errors = whole.max_error, whole.rms_error
    missed = max(abs(a / b - 1) for a, b in zip(errors, real, strict=True))
    show("square root, whole numbers", errors, f"off by {missed:.1e}")
    note = f"power {best.power}, decay {best.decay}; {chosen:.2f} s to choose"
    show("best", (best.max_error, best.rms_error), note)
    if draw:
        *errors, spent, cells = drawn(best)
        show("best, drawn", errors, f"{cells:,} cells, {spent * 1e3:.1f} ms for the last step")
    if participations == 1:
        bound = least(steps)
        show("no matrix whatever is below", (bound, bound))
    return missed


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--sql", type=int, metavar="STEPS", help="follow a series over a table instead")
    given = parser.parse_args(arguments)
    lengths = given.steps
    print(f"discreet {version('discreet')}, numpy {np.__version__}, Python {platform.python_version()}, "
          f"{platform.machine()}, {os.cpu_count()} cores\n")  # fmt: skip
    print(f"{'':38}{'largest':>10}{'rms':>10}")
    if given.sql is not None:
        with tempfile.TemporaryDirectory() as folder:
            drawn_, stated, seconds = followed(Path(folder), given.sql)
        print(f"{given.sql} steps of a table, a unit in at most 1")
        show("square root, real numbers", square_root(given.sql, 1, 1))
        show("a series, as stated", stated)
        show("a series, as released", drawn_, f"{CELLS:,} groups")
        print(f"seconds for a step: {np.median(seconds[0]):.2f} at first, {np.median(seconds[1]):.2f} at the end")
        return
    missed = 0.0
    for steps in lengths:
        for participations in PARTICIPATIONS:
            missed = max(missed, compare(steps, participations, 1, draw=participations == 1))
        missed = max(missed, compare(steps, 16, max(1, steps // 16), draw=False))
    print(f"\nwhole numbers against the real square root: off by {missed:.1e} at most; goal {GOAL:g}: "
          f"{'met' if missed <= GOAL else 'MISSED'}")  # fmt: skip


if __name__ == "__main__":
    main()
