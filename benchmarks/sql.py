"""Speed of user-level private SQL: against no privacy, against the floor, and against peers, in one run.

The main question: COUNT, SUM and AVG by 50 known groups, where one person counts in at most 3 groups with at most 5 rows
in each. Two tables: in `heavy` most people are in far more groups than that, with one row in each; in `fit` everyone
stays inside the bounds. Then medians, groups that nobody declared (of 10 that each of 200,000 people has, 100,000
candidates), and what peers are not asked: other aggregates, joins, subqueries, a kept pre-aggregate.

Each contender runs in a fresh process; rounds are interleaved, so that a busy machine slows all alike; figures are
medians over rounds, and ratios are taken inside a round. Each peer gets a virtual environment of its own under .venvs,
made on the first run. Run it:

    python benchmarks/sql.py                  # 10 million rows, all peers, five rounds: long
    python benchmarks/sql.py --quick          # 1 million rows, one round
    python benchmarks/sql.py --peers none     # discreet and DuckDB alone
    python benchmarks/sql.py --questions median --rows 50000000 --people 1000000 --rounds 1 --peers none
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
from peers.questions import QUESTIONS
from peers.tables import made

PATIENCE = 600  # seconds for one answer
SLOW = 30  # seconds of an answer after which a contender sits out the later rounds
BOUNDS = {"groups": 50, "max_groups": 3, "max_rows": 5, "low": 0, "high": 100, "epsilon": 1.0, "delta": 1e-6}
OURS = (("plain", "duckdb_sql.py"), ("floor", "duckdb_sql.py"), ("discreet", "discreet_sql.py"))
KEPT = ("kept", "discreet_sql.py")  # once more, over what the first question kept
COMPARED = {"sums": ("heavy", "fit"), "median": ("fit",), "keys": ("keys",)}  # what peers are asked, of which tables
ALONE = ("people", "distinct", "variance", "several", "public join", "private join", "per person")
GOAL_FLOOR, GOAL_BYTES, GOAL_PEER, GOAL_SPARK, GOAL_KEPT = 1.35, 1.2e9, 5, 50, 0.5
GOAL_OVERHEAD, GOAL_IMPORT = 0.030, 0.3
FACTS = """
WITH pair AS (SELECT uid, {g} AS g, COUNT(*) AS n FROM t GROUP BY ALL),
     person AS (SELECT uid, COUNT(*) AS k FROM pair GROUP BY uid)
SELECT (SELECT COUNT(*) FROM person), (SELECT COUNT(*) FROM pair), (SELECT AVG(CAST(n = 1 AS INTEGER)) FROM pair),
       (SELECT AVG(CAST(n > {max_rows} AS INTEGER)) FROM pair),
       (SELECT AVG(CAST(k > {max_groups} AS INTEGER)) FROM person)
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who answers, with which Python, which questions (None: all), how large a table at most."""

    name: str
    python: str
    script: str
    answers: tuple[str, ...] | None = None
    most: int | None = None


def described(path, kind, rows):
    duckdb.execute(f"CREATE OR REPLACE TEMP VIEW t AS SELECT * FROM read_parquet('{path}')")
    facts = FACTS.format(g="item" if kind == "keys" else "g", **BOUNDS)
    people, pairs, single, many, crowded = duckdb.execute(facts).fetchone()
    return (f"{kind}: {rows:,} rows of {people:,} people, {pairs:,} (person, group) pairs, {single:.0%} of them single rows "
            f"and {many:.1%} beyond {BOUNDS['max_rows']} rows; {crowded:.0%} of the people are in more than "
            f"{BOUNDS['max_groups']} groups")  # fmt: skip


def asked(contender, question, kind, rows, people):
    """Return what one contender measured in a fresh process, or why it has no answer."""
    joined = {
        name: {"table": str(made(name, rows, people)), "sample": str(made(name, 1000, 100))} for name in ("r", "w")
    }
    task = {**BOUNDS, "rows": rows, "people": people, "query": contender.name, "question": question, "joined": joined,
            "table": str(made(kind, rows, people)), "sample": str(made(kind, 1000, 100))}  # fmt: skip
    command = [contender.python, str(Path(__file__).resolve().parent / "peers" / contender.script), json.dumps(task)]
    with tempfile.TemporaryDirectory() as folder:  # Spark leaves a warehouse wherever it runs
        try:
            found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return f"no answer after {PATIENCE} s"
    return last_line(found.stderr) if found.returncode else json.loads(found.stdout.splitlines()[-1])


def contenders(wanted):
    """Return the peers that take part; those that cannot be installed are named, with the reason."""
    found = []
    for peer in PEERS:
        if peer.name not in wanted:
            continue
        python, problem = environment(peer)
        if problem is None:
            found.append(Contender(peer.name, str(python), peer.script, peer.answers, peer.most))
            print(f"  {peer.name}: {peer.note}")
        else:
            print(f"  {peer.name}: left out; it cannot be installed here: {problem}")
    return found


def measured(question, kind, rows, people, parties, rounds):
    """Return, by contender, what each round measured; who fails once is out, who is slow answers once."""
    results = {party.name: [] for party in parties}
    for i in range(rounds):
        for party in parties:
            if party.name not in results or any(one["wall"] > SLOW for one in results[party.name]):
                continue
            found = asked(party, question, kind, rows, people)
            if isinstance(found, str):
                print(f"  {party.name}: no answer to {question} on {kind} with {rows:,} rows: {found}")
                del results[party.name]
            else:
                results[party.name].append(found)
                print(f"  round {i + 1}: {question}, {kind}, {rows:,} rows, {party.name}: {found['cpu']:.2f} s CPU",
                      file=sys.stderr, flush=True)  # fmt: skip
    return results


def ratio(these, those, name):
    """Return the median ratio over the rounds that both took part in."""
    return statistics.median(one[name] / other[name] for one, other in zip(these, those, strict=False))


def table(results):
    """Print one table; "groups" is how many an answer has."""
    print("contender         CPU s   wall s  peak GB  CPU/floor  wall/floor  CPU/discreet  set-up CPU s  groups")
    floor, ours = results["floor"], results["discreet"]
    for name, rounds in results.items():
        cpu, wall, rss, setup = (
            statistics.median(one[key] for one in rounds) for key in ("cpu", "wall", "rss", "setup")
        )
        print(f"{name:15} {cpu:7.2f} {wall:8.2f} {rss / 1e9:8.2f} {ratio(rounds, floor, 'cpu'):9.2f}x "
              f"{ratio(rounds, floor, 'wall'):10.2f}x {ratio(rounds, ours, 'cpu'):12.2f}x {setup:13.2f} "
              f"{len(rounds[-1]['answers'][0]):7,}", flush=True)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What goals are held against: our ratios to the floor, our peak memory, peers' ratios to us, versions."""

    floors: dict
    best: dict
    versions: dict
    peak: float = 0.0
    kept: float | None = None

    def add(self, question, kind, results, *, whole):
        """Take what was measured; `whole` says whether on the whole table."""
        self.versions |= {name: rounds[-1]["versions"] for name, rounds in results.items()}
        ours = results["discreet"]
        for name in set(results) - {"plain", "floor", "discreet", "kept"}:
            self.best[f"{question}, {kind}, {name}"] = ratio(results[name], ours, "cpu")
        if whole:
            self.floors[f"{question}, {kind}"] = [ratio(ours, results["floor"], key) for key in ("cpu", "wall")]
            self.peak = max(self.peak, *(one["rss"] for one in ours))
            if "kept" in results:
                self.kept = statistics.median(one["wall"] for one in results["kept"])


def compare(question, rows, people, peers, rounds, tally):
    """Measure a question on its tables: the whole one, and a smaller one for who cannot take the whole."""
    ours = [Contender(name, sys.executable, script) for name, script in OURS]
    peers = [peer for peer in peers if question in peer.answers]
    sizes = sorted({rows, *(min(rows, peer.most or rows) for peer in peers)}, reverse=True)
    for kind in COMPARED.get(question, ("fit",)):
        for size in sizes:
            crowd = people * size // rows
            here = [*ours, *(peer for peer in peers if min(rows, peer.most or rows) == size)]
            if question == "sums" and size == rows:
                here.insert(3, Contender(KEPT[0], sys.executable, KEPT[1]))
            path = made(kind, size, crowd)
            print(f"\n{question}: {QUESTIONS[question].ours}\n{described(path, kind, size)}", flush=True)
            results = measured(question, kind, size, crowd, here, rounds)
            table(results)
            tally.add(question, kind, results, whole=size == rows)


def overhead(groups=1000):
    """Return what a question costs besides the engine, and in it, on a thousand rows; and the import."""
    task = {**BOUNDS, "groups": groups, "table": str(made("fit", 1000, 100)), "question": "sums", "repeat": 20}
    script = Path(__file__).parent / "peers" / "overhead.py"
    program = "import time; begun = time.process_time(); import discreet.sql; print(time.process_time() - begun)"
    found = subprocess.run([sys.executable, str(script), json.dumps(task)], capture_output=True, text=True, check=True)
    loads = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(5)
    ]
    return json.loads(found.stdout) | {"import": statistics.median(float(one.stdout) for one in loads)}


def verdict(text, value, goal, *, least=False):
    met = value >= goal if least else value <= goal
    print(f"  {text}: {value:.3g}, goal {'at least' if least else 'at most'} {goal:g}: {'met' if met else 'MISSED'}")


def verdicts(tally, spent):
    for name, (cpu, wall) in tally.floors.items():
        verdict(f"{name}: discreet over floor, CPU", cpu, GOAL_FLOOR)
        verdict(f"{name}: discreet over floor, wall", wall, GOAL_FLOOR)
    verdict("peak memory of discreet, GB", tally.peak / 1e9, GOAL_BYTES / 1e9)
    for name, times in tally.best.items():
        goal = GOAL_SPARK if "tmlt" in name else GOAL_PEER
        verdict(f"CPU over discreet's: {name}", times, goal, least=True)
    if tally.kept is not None:
        verdict("the question once more, of what was kept, seconds", tally.kept, GOAL_KEPT)
    verdict("outside the engine for 1,000 groups, ms", spent["wall"] * 1e3, GOAL_OVERHEAD * 1e3)
    verdict("import of discreet.sql, CPU s", spent["import"], GOAL_IMPORT)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="all", help="all, none, or names with commas between")
    parser.add_argument("--questions", default="all", help="all, or some with commas between")
    parser.add_argument("--quick", action="store_true", help="1,000,000 rows of 100,000 people, one round")
    chosen = parser.parse_args()
    rows, people, rounds = (1_000_000, 100_000, 1) if chosen.quick else (chosen.rows, chosen.people, chosen.rounds)
    wanted = {"all": [peer.name for peer in PEERS], "none": []}.get(chosen.peers, chosen.peers.split(","))
    questions = [*COMPARED, *ALONE] if chosen.questions == "all" else chosen.questions.split(",")
    if unknown := (set(wanted) - {peer.name for peer in PEERS}) | (set(questions) - {*COMPARED, *ALONE}):
        parser.error(f"no such peer or question: {', '.join(sorted(unknown))}")
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores; {BOUNDS}")
    peers, tally = contenders(wanted), Tally({}, {}, {})
    for question in questions:
        compare(question, rows, people, peers, rounds, tally)
    print()
    for name, found in tally.versions.items():
        print(f"versions of {name}: " + ", ".join(f"{package} {number}" for package, number in found.items()))
    spent = overhead()
    print(f"1,000 groups of a tiny table: {spent['wall'] * 1e3:.1f} ms outside the engine ({spent['cpu'] * 1e3:.1f} ms CPU), "
          f"{spent['engine_wall'] * 1e3:.1f} ms inside")  # fmt: skip
    print(f"\nmedians of {rounds} rounds; the goals are set for 10,000,000 rows")
    verdicts(tally, spent)


if __name__ == "__main__":
    main()
