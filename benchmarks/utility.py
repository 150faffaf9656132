"""Error of private COUNT, SUM and AVG: against the exact law of the noise, and against OpenDP at equal ε and bounds.

Many groups are asked many times through the public API, each time for a new charge and fresh noise, and the errors are
pooled. There are as many draws as a correct sampler needs to stay within 2 % of theory in all checks together but once in a
million runs of this script. Too little noise fails as too much does. Run it:

    python benchmarks/utility.py                 # about ten minutes; the peer has a virtual environment of its own
    python benchmarks/utility.py --peer none
    python benchmarks/utility.py --every-peer   # every aggregate of every peer on two tables, at equal budgets and bounds
    python benchmarks/utility.py --rows 10000 --draws 1000 --peer none    # a glance
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import duckdb
import laws
import numpy as np
from peers import errors
from peers.environments import PEERS, environment, last_line

import discreet as dp
from discreet import Dataset, Domain, Ledger, PrivacyUnit
from discreet.ledger import OwnerKey

EPSILONS, DELTA, ACCOUNTS = (0.1, 1.0, 3.0), 1e-6, ("pure", "zcdp")
GROUPS, ROWS, LOW, HIGH = 2, 2, 0, 100  # one person: groups, rows in each, values
FUNCTIONS = {"COUNT": "COUNT(*)", "SUM": "SUM(v)", "AVG": "AVG(v)"}
WITHIN, ALARM = 0.02, 1e-6
CHECKS = 2 * len(EPSILONS) * len(ACCOUNTS) * len(FUNCTIONS)  # each has two sides
SIGMAS = statistics.NormalDist().inv_cdf(1 - ALARM / CHECKS)
SPARE = 1.1  # the mean of squares has a slightly heavier tail than the normal law has
PATIENCE = 1200


class Case(NamedTuple):
    """What is asked, on which kind of account, at which epsilon."""

    function: str
    account: str
    epsilon: float


class Table(NamedTuple):
    """A table of `cells` groups that are all alike: rows in each, their mean, groups a person is in."""

    path: Path
    cells: int
    count: int
    mean: float
    touched: int


def made(cells, count, touched):
    """Return a table whose groups are all alike: `count` rows, two of each person, who is in `touched` groups."""
    folder = Path(tempfile.gettempdir()) / "discreet-benchmarks"
    folder.mkdir(exist_ok=True)
    path = folder / f"utility-1-{cells}-{count}-{touched}.parquet"
    people = cells * count // ROWS // touched
    if not path.exists():
        aside = path.with_suffix(f".{os.getpid()}")
        duckdb.execute(
            f"COPY (SELECT p AS uid, CAST((p + j) % {cells} AS INTEGER) AS g, "
            f"CAST((p // {cells} * 37 + j * 11 + r * 23) % 61 AS INTEGER) AS v "
            f"FROM range({people}) AS a(p), range({touched}) AS b(j), range({ROWS}) AS c(r)) TO '{aside}' (FORMAT parquet)"
        )
        aside.rename(path)
    facts = f"SELECT COUNT(*) AS n, AVG(v) AS m FROM '{path}' GROUP BY g"
    found = duckdb.execute(f"SELECT MIN(n), MAX(n), MIN(m), MAX(m), COUNT(*) FROM ({facts})").fetchone()
    assert found[0] == found[1] == count
    assert found[2] == found[3]
    assert found[4] == cells
    return Table(path, cells, count, found[2], touched)


def theory(case, table):
    budget = case.epsilon if case.account == "pure" else laws.rho(case.epsilon, DELTA)
    if case.function == "AVG":
        return laws.average(case.account, budget, GROUPS, ROWS, (LOW, HIGH), table.count, table.mean)
    return laws.total(case.account, budget, GROUPS, ROWS, 1 if case.function == "COUNT" else HIGH)


def exact(function, table):
    return {"COUNT": table.count, "SUM": table.count * table.mean, "AVG": table.mean}[function]


def needed(errors, within=WITHIN):
    """Return how many draws keep a correct sampler's RMSE within that share of the truth.

    The mean square of n draws has the relative standard deviation sqrt((kurtosis - 1) / n), its root half of that.
    """
    return math.ceil(SPARE * (SIGMAS / (2 * within)) ** 2 * (errors.kurtosis - 1))


def tolerance(errors, draws):
    return math.sqrt(SPARE * (errors.kurtosis - 1) / draws) * SIGMAS / 2


def dataset(folder, case, table):
    """Return the table with an account of its own, which pays for this case alone."""
    ledger = Ledger(folder / "ledger.db")
    key = folder / "owner.key"
    owner = OwnerKey.read(key) if key.exists() else OwnerKey.create(key)
    unit = PrivacyUnit(column="uid", max_groups=GROUPS, max_rows=ROWS)
    population = f"{table.path.stem}-{case.function}-{case.account}-{case.epsilon}".lower().replace(".", "_")
    delta = 0.0 if case.account == "pure" else DELTA
    ledger.open(population, unit=unit, measure=case.account, epsilon=1000.0, delta=delta, owner=owner)
    domain = Domain(uid="integer", g=list(range(table.cells)), v=(LOW, HIGH))
    return Dataset(table.path, name="t", version="1", unit=unit, domain=domain, ledger=ledger,
                   population=population, releases=folder / "releases")  # fmt: skip


def drawn(folder, case, table, draws):
    """Return the pooled errors of as many questions as give that many draws."""
    sql = f"SELECT g, {FUNCTIONS[case.function]} AS x FROM t GROUP BY g"
    delta = None if case.account == "pure" else DELTA
    data = dataset(folder, case, table)
    found = []
    for i in range(math.ceil(draws / table.cells)):
        release = dp.sql.query(data, sql, epsilon=case.epsilon, delta=delta, name=f"draw-{i}")
        found.append(release.value.column("x").to_numpy().astype(float))
    return np.concatenate(found) - exact(case.function, table)


def peers_errors(python, case, table, draws, *, groups):
    """Return the pooled errors of OpenDP, asked for that many groups a person."""
    budget = case.epsilon if case.account == "pure" else laws.rho(case.epsilon, DELTA)
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        task = {"table": str(table.path), "cells": table.cells, "rows": table.cells * table.count, "groups": groups,
                "max_rows": ROWS, "low": LOW, "high": HIGH, "account": case.account, "budget": budget,
                "function": case.function, "releases": math.ceil(draws / table.cells), "out": out.name}  # fmt: skip
        script = Path(__file__).parent / "peers" / "opendp_utility.py"
        found = subprocess.run([str(python), str(script), json.dumps(task)], capture_output=True, text=True,
                               timeout=PATIENCE, check=False)  # fmt: skip
        if found.returncode:
            raise SystemExit(f"opendp failed: {last_line(found.stderr)}")
        return np.array(json.loads(Path(out.name).read_text()), dtype=float) - exact(case.function, table)


def rmse(errors):
    """Return the root mean square of measured errors, and its relative standard error."""
    squares = errors**2
    return math.sqrt(squares.mean()), float(squares.std() / squares.mean() / math.sqrt(len(squares)) / 2)


def compare(chosen, python, folder, totals, averages):
    """Print the table of all cases, and return what failed."""
    print("function account  epsilon    theory      ours    ratio  tolerance    draws      opendp  draws  ours/opendp")
    failed = []
    for account in ACCOUNTS:
        for function in FUNCTIONS:
            table = averages if function == "AVG" else totals
            for epsilon in EPSILONS:
                case = Case(function, account, epsilon)
                law = theory(case, table)
                draws = chosen.draws or needed(law)
                errors = drawn(folder, case, table, draws)
                ours, allowed = rmse(errors)[0], tolerance(law, len(errors))
                line = (f"{function:8} {account:7} {epsilon:8g} {law.rmse:9.4g} {ours:9.4g} {ours / law.rmse:8.4f} "
                        f"{allowed:10.2%} {len(errors):8,}")  # fmt: skip
                if abs(ours / law.rmse - 1) > WITHIN:
                    failed.append(f"{case} is off theory")
                if python is not None:
                    share = 0.1 if function == "AVG" else 1.0  # far off: fewer draws tell
                    peer, chance = rmse(peers_errors(python, case, table, share * draws, groups=GROUPS))
                    line += (
                        f" {peer:11.4g} {math.ceil(share * draws / table.cells) * table.cells:6,} {ours / peer:10.3f}"
                    )
                    if ours > peer * (1 + WITHIN + SIGMAS * chance):
                        failed.append(f"{case} is worse than the peer")
                print(line, flush=True)
    return failed


def quirk(folder, python, crowded):
    """Show what OpenDP's one missing group does where people are in as many groups as declared."""
    case = Case("COUNT", "pure", 1.0)
    law = theory(case, crowded)
    ours = rmse(drawn(folder, case, crowded, 20_000))[0]
    print(
        f"\nCOUNT at epsilon 1, everyone in {GROUPS} groups of {GROUPS} declared, {crowded.count} rows a group: theory {law.rmse:.4g}, ours {ours:.4g}"
    )
    for groups, said in ((GROUPS, "as declared"), (GROUPS + 1, "one more, so that none is lost")):
        peer = rmse(peers_errors(python, case, crowded, 20_000, groups=groups))[0]
        print(f"  opendp, asked for {groups} groups ({said}): {peer:.4g}, {peer / law.rmse:.2f} times theory")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the table that is averaged")
    parser.add_argument("--draws", type=int, help="draws of each case; by default as many as the tolerance needs")
    parser.add_argument("--peer", choices=["opendp", "none"], default="opendp")
    parser.add_argument(
        "--every-peer", nargs="*", metavar="NAME", help="instead: the errors of every peer, or of these, beside ours"
    )
    chosen = parser.parse_args()
    if chosen.every_peer is not None:
        worse = errors.compare(chosen.every_peer or [peer.name for peer in PEERS])
        print("\n" + ("\n".join(worse) or "no peer's error is clearly smaller than ours: met"))
        raise SystemExit(bool(worse))
    cells = max(100, min(1000, chosen.rows // 2000))
    totals = made(5 * cells, 20, 1)
    averages = made(cells, chosen.rows // cells // ROWS * ROWS, 1)
    python = None
    if chosen.peer == "opendp":
        python, problem = environment(next(peer for peer in PEERS if peer.name == "opendp"))
        if problem is not None:
            print(f"opendp is left out; it cannot be installed here: {problem}")
    print(f"discreet {version('discreet')}, duckdb {version('duckdb')}, numpy {np.__version__}, "
          f"Python {platform.python_version()}, {platform.machine()}"
          f"{'' if python is None else ', ' + next(p.needs[0] for p in PEERS if p.name == 'opendp')}")  # fmt: skip
    print(f"at most {GROUPS} groups a person and {ROWS} rows in each, values {LOW} to {HIGH}; delta {DELTA} on zcdp; COUNT and SUM of "
          f"{totals.cells:,} groups of {totals.count}, AVG of {averages.cells:,} groups of {averages.count:,} rows")  # fmt: skip
    print(f"a correct sampler fails one of the {CHECKS // 2} checks (two sides each) once in {1 / ALARM:,.0f} runs: "
          f"{SIGMAS:.2f} standard deviations\n")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="discreet-benchmark-") as folder:
        failed = compare(chosen, python, Path(folder), totals, averages)
        if python is not None:
            quirk(Path(folder), python, made(5 * cells, 20, GROUPS))
    if chosen.draws is not None:
        print("\na glance: so few draws are no check")
        return
    print("\n" + ("\n".join(failed) or f"all {CHECKS // 2} cases within {WITHIN:.0%} of theory: met"))
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
