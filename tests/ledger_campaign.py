"""Kill and crowd a ledger, and judge what is left. The tests run a little of it, benchmarks/ledger.py all of it.

    python -m tests.ledger_campaign kill URL KEY --kills 20
    python -m tests.ledger_campaign crowd URL KEY --processes 8 --charges 40 --admits 200

prints one JSON object. Children are forked from a process that has imported everything and holds no
connection, so that a random instant falls into the work and not into Python's start.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import sys
import time

from discreet import Ledger, PrivacyUnit, events
from discreet.errors import BudgetExceeded, InvalidInput, LedgerUnavailable
from discreet.ledger import OwnerKey

POPULATION = "patients"
ONE = events.Pure(1 / 4096)  # costs exactly 2^28 units
DIGEST = "ab" * 32


def open_for(url: str, key: str, admits: int) -> Ledger:
    """Return a ledger whose account admits exactly `admits` charges of ONE."""
    ledger = Ledger(url)
    terms = {"unit": PrivacyUnit(), "measure": "pure", "epsilon": admits / 4096, "delta": 0.0}
    ledger.open(POPULATION, owner=OwnerKey.read(key), **terms)
    return ledger


def fork(work) -> tuple[int, int]:
    """Run `work(say)` in a child; return its process id and the pipe on which it says what was acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        work(lambda text: os.write(writing, (text + "\n").encode()))
        status = 0
    finally:
        os._exit(status)


def hear(pipe: int, *, lines: int | None = None) -> list[str]:
    """Return the lines a child says until it has said so many, or has ended; each is written whole."""
    said = b""
    while (lines is None or said.count(b"\n") < lines) and (more := os.read(pipe, 2**16)):
        said += more
    return said.decode().splitlines()


def charge_for_ever(url: str, name: str, say) -> None:
    """Charge and release, saying so each time after the ledger has returned."""
    ledger = Ledger(url)
    say("ready")
    for number in itertools.count():
        request = f"{name}-{number}"
        entry, _ = ledger.charge(POPULATION, ONE, purpose="kill", request=request)
        say(f"charge {request}")
        if number % 3 == 0:
            ledger.released(entry, DIGEST)
            say(f"release {request}")


def kill(url: str, key: str, kills: int) -> dict[str, int | bool]:
    """Kill a charging child `kills` times, each at a random instant, and look at what it left."""
    ledger = open_for(url, key, 10**6)
    acknowledged, lost, extras, most, inside = 0, 0, 0, 0, 0
    known = 0
    for number in range(kills):
        name = f"k{number}"
        child, pipe = fork(lambda say, name=name: charge_for_ever(url, name, say))
        chance = random.SystemRandom()
        lines = hear(pipe, lines=chance.randrange(8))  # however slow the machine is, most kills fall into the work
        time.sleep(chance.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += hear(pipe)
        os.close(pipe)
        said = {kind: [] for kind in ("charge", "release")}
        for line in lines:
            if line != "ready":
                kind, request = line.split()
                said[kind].append(request)
        acknowledged += len(said["charge"]) + len(said["release"])
        inside += bool(said["charge"])
        # The next request is the only one that may stand without having been acknowledged.
        following = f"{name}-{len(said['charge'])}"
        try:
            ledger.charge(POPULATION, ONE, purpose="asked again", request=following)
            extra = 0
        except InvalidInput as error:
            if "never released" not in str(error):
                raise
            extra = 1
        extras += extra
        most = max(most, extra)
        for kind, requests in said.items():
            found = [ledger.request(POPULATION, request) for request in requests]
            lost += sum(entry is None or (kind == "release" and entry.kind != "release") for entry in found)
        known += len(said["charge"]) + 1
    verified = ledger.verify()
    account = ledger.account(POPULATION)
    charges = [entry for entry in ledger.entries(POPULATION) if entry.kind == "charge"]
    price = 2**28
    return {
        "kills": kills,
        "kills_after_a_charge": inside,
        "acknowledged": acknowledged,
        "lost": lost,
        "unacknowledged_but_standing": extras,
        "unexplained": len(charges) - known,
        "entries": verified.entries[POPULATION],
        "sum_is_exact": account.spent.loss == price * len(charges),
        "over_admitted": max(0, account.spent.loss - account.capacity.loss),
    }


def spend_some(url: str, name: str, charges: int, say) -> None:
    """Charge `charges` requests; say each that was admitted or refused."""
    ledger = Ledger(url)
    for number in range(charges):
        request = f"{name}-{number}"
        while True:
            try:
                ledger.charge(POPULATION, ONE, purpose="crowd", request=request)
                say(f"admitted {request}")
            except BudgetExceeded:
                say(f"refused {request}")
            except LedgerUnavailable as error:  # busy for long; nothing was spent, so ask again
                if "Nothing was spent" not in str(error):
                    raise
                continue
            break


def crowd(url: str, key: str, processes: int, charges: int, admits: int) -> dict[str, int | float | bool]:
    """Let several processes spend at once what an account holds exactly `admits` times."""
    ledger = open_for(url, key, admits)
    start = time.perf_counter()
    children = [fork(lambda say, n=n: spend_some(url, f"p{n}", charges, say)) for n in range(processes)]
    lines = [line.split() for _, pipe in children for line in hear(pipe)]
    seconds = time.perf_counter() - start
    statuses = [os.waitpid(child, 0)[1] for child, _ in children]
    admitted = {request for verdict, request in lines if verdict == "admitted"}
    ledger.verify()
    written = [entry.request for entry in ledger.entries(POPULATION) if entry.kind == "charge"]
    account = ledger.account(POPULATION)
    return {
        "processes": processes,
        "asked": len(lines),
        "admitted": len(admitted),
        "refused": len(lines) - len(admitted),
        "failed_processes": sum(status != 0 for status in statuses),
        "all_admitted_are_written_once": sorted(admitted) == sorted(written),
        "over_admitted": max(0, account.spent.loss - account.capacity.loss),
        "exactly_full": account.spent == account.capacity,
        "seconds": round(seconds, 2),
    }


def main() -> None:
    """Run one campaign and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["kill", "crowd"])
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--charges", type=int, default=40)
    parser.add_argument("--admits", type=int, default=200)
    given = parser.parse_args()
    if given.what == "kill":
        found = kill(given.url, given.key, given.kills)
    else:
        found = crowd(given.url, given.key, given.processes, given.charges, given.admits)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
