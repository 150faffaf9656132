"""The ledger under fire and against the clock, in both databases.

1,000 `kill -9`s at random instants over both databases (nothing acknowledged may be lost, nothing
may stand that nobody asked for), 8 processes x 1,000 charges against a budget that admits exactly
half of them, the speed of a charge beside that of the disk's bare fsync, of all that one query asks
of a ledger, and of verification. A PostgreSQL of its own is started on loopback. Run it:

    python benchmarks/ledger.py           # some minutes
    python benchmarks/ledger.py --quick   # a tenth of it
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import psycopg  # noqa: E402 - after the path to the tests' server
from tests.ledger_campaign import DIGEST, ONE, open_for  # noqa: E402
from tests.postgres import Server, new_database  # noqa: E402

from discreet import Ledger, PrivacyUnit  # noqa: E402
from discreet.ledger import OwnerKey  # noqa: E402


def campaign(*arguments):
    command = [sys.executable, "-m", "tests.ledger_campaign", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def fsync(folder, rounds=300):
    """Return the median milliseconds of writing 4 KiB over old ones with fsync: what a log in use costs the disk.

    Appending costs more, for the file system then writes down the new size, too.
    """
    handle = os.open(folder / "floor", os.O_CREAT | os.O_WRONLY)
    os.write(handle, b"-" * 4096 * rounds)
    os.fsync(handle)
    os.lseek(handle, 0, os.SEEK_SET)
    spans = []
    for _ in range(rounds):
        start = time.perf_counter()
        os.write(handle, b"x" * 4096)
        os.fsync(handle)
        spans.append(time.perf_counter() - start)
    os.close(handle)
    return 1000 * statistics.median(spans)


def speed(url, key, charges):
    """Return milliseconds: the median charge, its 99th percentile, its CPU time here, and verifying 10,000 entries."""
    ledger = open_for(url, key, 10**6)
    spans, burnt = [], time.process_time()
    for number in range(charges):
        start = time.perf_counter()
        ledger.charge("patients", ONE, purpose="speed", request=f"r{number}")
        spans.append(time.perf_counter() - start)
    burnt = time.process_time() - burnt
    start = time.perf_counter()
    ledger.verify()
    verified = (time.perf_counter() - start) / (charges + 1) * 10_000
    ms = [1000 * span for span in spans]
    return statistics.median(ms), statistics.quantiles(ms, n=100)[98], 1000 * burnt / charges, 1000 * verified


def query(url, key, rounds=100):
    """Return the median milliseconds of the five calls that one query makes: with one Ledger, and with a new one each time."""
    open_for(url, key, 10**6)
    unit = PrivacyUnit()
    found = []
    for kind in ("kept", "new"):
        ledger, spans = Ledger(url), []
        for number in range(rounds):
            start = time.perf_counter()
            if kind == "new":
                ledger = Ledger(url)
            request = f"{kind}{number}"
            ledger.account("patients")
            ledger.check("patients", unit)
            ledger.request("patients", request)
            entry, _ = ledger.charge("patients", ONE, purpose="speed", request=request)
            ledger.released(entry, DIGEST)
            spans.append(time.perf_counter() - start)
        found.append(1000 * statistics.median(spans))
    return found


def show(title, facts):
    """Print one table: a line for each fact, a column for each database."""
    print(f"\n{title}")
    names = list(facts)
    print(f"  {'':34}" + "".join(f"{name:>14}" for name in names))
    for line in facts[names[0]]:
        print(f"  {line.replace('_', ' '):34}" + "".join(f"{facts[name][line]!s:>14}" for name in names))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    scale = 10 if parser.parse_args().quick else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = folder / "owner.key"
        OwnerKey.create(key)
        server = Server()
        try:
            run(folder, key, server, scale)
        finally:
            server.close()


def run(folder, key, server, scale):
    with psycopg.connect(server.url) as connection:
        serving = connection.execute("SHOW server_version").fetchone()[0].split()[0]
    print(
        f"discreet {version('discreet')}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"PostgreSQL {serving}, psycopg {psycopg.__version__}, {os.cpu_count()} cores, {platform.system()}"
    )
    fresh = iter(range(100))

    def places():
        return {
            "SQLite": str(folder / f"ledger-{next(fresh)}.db"),
            "PostgreSQL": new_database(server.url),
        }

    floor = fsync(folder)
    found, next_place = {}, places()
    for database, url in places().items():
        median, tail, cpu, verify = speed(url, key, 3000 // scale)
        kept, new = query(next_place[database], key)
        found[database] = {
            "charge, median ms": f"{median:.2f}",
            "charge, 99 % below ms": f"{tail:.2f}",
            "of it CPU time here, ms": f"{cpu:.2f}",
            "bare fsync of this disk, ms": f"{floor:.2f}",
            "a query's five calls, ms": f"{kept:.2f}",
            "the same, a new Ledger each, ms": f"{new:.2f}",
            "verify 10,000 entries, ms": f"{verify:.0f}",
        }
    show("Speed", found)
    kills = {db: campaign("kill", url, key, "--kills", 500 // scale) for db, url in places().items()}
    show("kill -9 at random instants", kills)
    size = ("--processes", 8, "--charges", 1000 // scale, "--admits", 4000 // scale)
    crowds = {db: campaign("crowd", url, key, *size) for db, url in places().items()}
    for item in crowds.values():
        item["charges_or_refusals_a_second"] = round(item["asked"] / item["seconds"])
    show("Several processes, one budget", crowds)
    sound = all(not item[bad] for item in kills.values() for bad in ("lost", "unexplained", "over_admitted"))
    sound &= all(item["sum_is_exact"] for item in kills.values())
    sound &= all(item["exactly_full"] and item["all_admitted_are_written_once"] for item in crowds.values())
    sound &= not any(item["failed_processes"] for item in crowds.values())
    print("\nNothing over-admitted, nothing lost, every chain intact." if sound else "\nFAILED")
    if not sound:
        sys.exit(1)


if __name__ == "__main__":
    main()
