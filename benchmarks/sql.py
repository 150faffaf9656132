"""Speed of user-level private SQL: against no privacy, against the floor, and against peers, in one run.

The question: COUNT, SUM and AVG by 50 known groups, where one person counts in at most 3 groups with at most 5 rows
in each. Two tables: in `heavy` most people are in far more groups than that, with one row in each; in `fit` everyone
stays inside the bounds. Each contender runs in a fresh process; rounds are interleaved, so that a busy machine slows
all alike; figures are medians over rounds, and ratios are taken inside a round. Each peer gets a virtual environment
of its own under .venvs, made on the first run. Run it:

    python benchmarks/sql.py                  # 10 million rows, all peers: about 20 minutes
    python benchmarks/sql.py --quick          # 1 million rows, one round
    python benchmarks/sql.py --peers none     # discreet and DuckDB alone
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
from peers.environments import PEERS, environment, last_line

PATIENCE = 600  # seconds for one answer
SLOW = 30  # seconds of an answer after which a contender sits out the later rounds
QUESTION = {"groups": 50, "max_groups": 3, "max_rows": 5, "low": 0, "high": 100, "epsilon": 1.0}
OURS = (("plain", "duckdb_sql.py"), ("floor", "duckdb_sql.py"), ("discreet", "discreet_sql.py"))
GOALS = {"heavy": 1.35, "fit": 1.1}
GOAL_BYTES, GOAL_PEER, GOAL_OVERHEAD = 1.2e9, 5, 0.030
TABLES = {
    # Row i belongs to a person drawn with density 1 / (2 sqrt(x)), in any group, with a value that clamping may meet.
    "heavy": """CAST(floor({people} * pow(hash(i, 1) / 18446744073709551616.0, 2)) AS BIGINT) * 7919 % 1000000007 AS uid,
        CAST(hash(i, 2) % {groups} AS INTEGER) AS g,
        CAST(least(400, -60 * ln((hash(i, 3) + 1.0) / 18446744073709551616.0)) AS INTEGER) AS v""",
    # Everyone has three groups, in turn.
    "fit": """i % {people} * 7919 % 1000000007 AS uid,
        CAST((hash(i % {people}, 2) % {groups} + i // {people} % 3 * 17) % {groups} AS INTEGER) AS g,
        CAST(hash(i, 3) % 101 AS INTEGER) AS v""",
}
FACTS = """
WITH pair AS (SELECT uid, g, COUNT(*) AS n FROM t GROUP BY uid, g),
     person AS (SELECT uid, COUNT(*) AS k FROM pair GROUP BY uid)
SELECT (SELECT COUNT(*) FROM person), (SELECT COUNT(*) FROM pair), (SELECT AVG(CAST(n = 1 AS INTEGER)) FROM pair),
       (SELECT AVG(CAST(n > {max_rows} AS INTEGER)) FROM pair),
       (SELECT AVG(CAST(k > {max_groups} AS INTEGER)) FROM person)
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who answers, with which Python, how large a table at most."""

    name: str
    python: str
    script: str
    most: int | None


def made(kind, rows, people):
    """Return the path of a table, the same for ever; made once, kept among the temporary files."""
    folder = Path(tempfile.gettempdir()) / "discreet-benchmarks"
    folder.mkdir(exist_ok=True)
    path = folder / f"sql-1-{kind}-{rows}-{people}.parquet"
    if not path.exists():
        aside = path.with_suffix(f".{os.getpid()}")
        columns = TABLES[kind].format(people=people, **QUESTION)
        duckdb.execute(f"COPY (SELECT {columns} FROM range({rows}) AS r(i)) TO '{aside}' (FORMAT parquet)")
        aside.rename(path)
    return path


def described(path, kind, rows):
    duckdb.execute(f"CREATE OR REPLACE TEMP VIEW t AS SELECT * FROM read_parquet('{path}')")
    people, pairs, single, many, crowded = duckdb.execute(FACTS.format(**QUESTION)).fetchone()
    return (f"{kind}: {rows:,} rows of {people:,} people, {pairs:,} (person, group) pairs, {single:.0%} of them single rows "
            f"and {many:.1%} beyond {QUESTION['max_rows']} rows; {crowded:.0%} of the people are in more than "
            f"{QUESTION['max_groups']} groups")  # fmt: skip


def asked(contender, kind, rows, people):
    """Return what one contender measured in a fresh process, or why it has no answer."""
    sizes = {"rows": rows, "people": people, "query": contender.name}
    sample = made(kind, 1000, 100)
    task = {**QUESTION, **sizes, "table": str(made(kind, rows, people)), "sample": str(sample)}
    command = [contender.python, str(Path(__file__).resolve().parent / "peers" / contender.script), json.dumps(task)]
    with tempfile.TemporaryDirectory() as folder:  # Spark leaves a warehouse wherever it runs
        try:
            found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return f"no answer after {PATIENCE} s"
    return last_line(found.stderr) if found.returncode else json.loads(found.stdout.splitlines()[-1])


def contenders(wanted):
    """Return all that take part; peers that cannot be installed are named, with the reason."""
    found = [Contender(name, sys.executable, script, None) for name, script in OURS]
    for peer in PEERS:
        if peer.name not in wanted:
            continue
        python, problem = environment(peer)
        if problem is None:
            found.append(Contender(peer.name, str(python), peer.script, peer.most))
            print(f"  {peer.name}: {peer.note}")
        else:
            print(f"  {peer.name}: left out; it cannot be installed here: {problem}")
    return found


def measured(kind, rows, people, parties, rounds):
    """Return, by contender, what each round measured; who fails once is out, who is slow answers once."""
    results = {party.name: [] for party in parties}
    for i in range(rounds):
        for party in parties:
            if party.name not in results or any(one["wall"] > SLOW for one in results[party.name]):
                continue
            found = asked(party, kind, rows, people)
            if isinstance(found, str):
                print(f"  {party.name}: no answer on {kind} with {rows:,} rows: {found}")
                del results[party.name]
            else:
                results[party.name].append(found)
                print(f"  round {i + 1}: {kind}, {rows:,} rows, {party.name}: {found['cpu']:.2f} s CPU",
                      file=sys.stderr, flush=True)  # fmt: skip
    return results


def ratio(these, those, name):
    """Return the median ratio over the rounds that both took part in."""
    return statistics.median(one[name] / other[name] for one, other in zip(these, those, strict=False))


def table(results, rows):
    """Print one table; "counted" is the share of rows that the released counts add up to."""
    print("contender         CPU s   wall s  peak GB  CPU/floor  wall/floor  CPU/discreet  set-up CPU s  counted")
    floor, ours = results["floor"], results["discreet"]
    for name, rounds in results.items():
        cpu, wall, rss, setup = (
            statistics.median(one[key] for one in rounds) for key in ("cpu", "wall", "rss", "setup")
        )
        counted = sum(row[1] for row in rounds[-1]["answer"]) / rows
        print(f"{name:15} {cpu:7.2f} {wall:8.2f} {rss / 1e9:8.2f} {ratio(rounds, floor, 'cpu'):9.2f}x "
              f"{ratio(rounds, floor, 'wall'):10.2f}x {ratio(rounds, ours, 'cpu'):12.2f}x {setup:13.2f} {counted:8.0%}")  # fmt: skip


def overhead(groups=1000):
    """Return what a question costs besides the engine, and in it, on a thousand rows."""
    task = {**QUESTION, "groups": groups, "table": str(made("fit", 1000, 100)), "repeat": 20}
    script = Path(__file__).parent / "peers" / "overhead.py"
    found = subprocess.run([sys.executable, str(script), json.dumps(task)], capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def verdict(text, value, goal, *, least=False):
    met = value >= goal if least else value <= goal
    print(f"  {text}: {value:.3g}, goal {'at least' if least else 'at most'} {goal:g}: {'met' if met else 'MISSED'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="all", help="all, none, or names with commas between")
    parser.add_argument("--quick", action="store_true", help="1,000,000 rows of 100,000 people, one round")
    chosen = parser.parse_args()
    rows, people, rounds = (1_000_000, 100_000, 1) if chosen.quick else (chosen.rows, chosen.people, chosen.rounds)
    wanted = {"all": [peer.name for peer in PEERS], "none": []}.get(chosen.peers, chosen.peers.split(","))
    if unknown := set(wanted) - {peer.name for peer in PEERS}:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores; question {QUESTION}")
    parties = contenders(wanted)
    best, peak, ratios, versions = {}, 0.0, {}, {}
    sizes = sorted({min(rows, party.most or rows) for party in parties}, reverse=True)
    for kind in TABLES:
        for size in sizes:
            crowd = people * size // rows
            here = [party for party in parties if party.name in ("plain", "floor", "discreet")
                    or min(rows, party.most or rows) == size]  # fmt: skip
            print(f"\n{described(made(kind, size, crowd), kind, size)}", flush=True)
            results = measured(kind, size, crowd, here, rounds)
            table(results, size)
            versions |= {name: rounds[-1]["versions"] for name, rounds in results.items()}
            for party in here[len(OURS) :]:
                if party.name in results:
                    best[f"{party.name}, {kind}"] = ratio(results[party.name], results["discreet"], "cpu")
            if size == rows:
                ratios[kind] = [ratio(results["discreet"], results["floor"], key) for key in ("cpu", "wall")]
                peak = max(peak, *(one["rss"] for one in results["discreet"]))
    print()
    for name, found in versions.items():
        print(f"versions of {name}: " + ", ".join(f"{package} {number}" for package, number in found.items()))
    spent = overhead()
    print(f"1,000 groups of a tiny table: {spent['wall'] * 1e3:.1f} ms outside the engine ({spent['cpu'] * 1e3:.1f} ms CPU), "
          f"{spent['engine_wall'] * 1e3:.1f} ms inside")  # fmt: skip
    print(f"\nmedians of {rounds} rounds; the goals are set for 10,000,000 rows")
    for kind, (cpu, wall) in ratios.items():
        verdict(f"{kind}: discreet over floor, CPU", cpu, GOALS[kind])
        verdict(f"{kind}: discreet over floor, wall", wall, GOALS[kind])
    verdict("peak memory of discreet, GB", peak / 1e9, GOAL_BYTES / 1e9)
    if best:
        closest = min(best, key=best.get)
        verdict(f"CPU of the best peer over discreet's ({closest})", best[closest], GOAL_PEER, least=True)
    verdict("outside the engine, ms", spent["wall"] * 1e3, GOAL_OVERHEAD * 1e3)


if __name__ == "__main__":
    main()
