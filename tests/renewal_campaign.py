"""Kill and crowd a ledger whose account is renewed by period, and judge what is left. See tests/ledger_campaign.py.

    python -m tests.renewal_campaign kill URL KEY --kills 20
    python -m tests.renewal_campaign crowd URL KEY --rounds 5

prints one JSON object.
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

from discreet import Ledger, PrivacyUnit
from discreet.errors import BudgetExceeded, InvalidInput, LedgerUnavailable
from discreet.ledger import OwnerKey
from tests.ledger_campaign import DIGEST, ONE, POPULATION, fork, hear

UNIT = PrivacyUnit(column="id", per="month")
MAY, JUNE = "2024-05", "2024-06"
ADMITS = 24  # charges that each period of the crowd holds


def open_for(ledger: Ledger, key: str, name: str, admits: int) -> None:
    """Open an account whose periods admit so many charges of ONE each."""
    terms = {"unit": UNIT, "measure": "pure", "epsilon": admits / 4096, "delta": 0.0}
    ledger.open(name, owner=OwnerKey.read(key), **terms)


def renew_for_ever(url: str, key: str, name: str, say) -> None:
    """Renew, charge the new period and the one before, and release, saying so each time the ledger has returned."""
    ledger, owner = Ledger(url), OwnerKey.read(key)
    say("ready")
    before = None
    for number in itertools.count():
        period = f"{name}-{number}"
        ledger.renew(POPULATION, period=period, owner=owner)
        say(f"renew {period}")
        wanted = [period] if before is None else [before, period]
        entry, _ = ledger.charge(POPULATION, ONE, purpose="kill", request=period, periods=wanted)
        say(f"charge {period}")
        ledger.released(entry, DIGEST)
        say(f"release {period}")
        before = period


def kill(url: str, key: str, kills: int) -> dict[str, int]:
    """Kill a renewing child `kills` times, each at a random instant, and look at what it left."""
    ledger = Ledger(url)
    open_for(ledger, key, POPULATION, 10**6)
    lost = inside = unexplained = halves = 0
    for number in range(kills):
        name = f"k{number}"
        child, pipe = fork(lambda say, name=name: renew_for_ever(url, key, name, say))
        chance = random.SystemRandom()
        lines = hear(pipe, lines=chance.randrange(8))
        time.sleep(chance.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += hear(pipe)
        os.close(pipe)
        said: dict[str, set[str]] = {kind: set() for kind in ("renew", "charge", "release")}
        for line in lines:
            if line != "ready":
                kind, period = line.split()
                said[kind].add(period)
        inside += bool(said["charge"])
        found = left_by(ledger, name)
        halves += sum(found["halves"])
        for kind, periods in said.items():
            lost += len(periods - found[kind])
            unexplained += max(0, len(found[kind] - periods) - 1)  # one may stand that was not acknowledged
    ledger.verify()  # accounts and renewals, charges and their twins: each has the other
    return {"kills": kills, "kills_after_a_charge": inside, "lost": lost, "unexplained": unexplained, "halves": halves}


def left_by(ledger: Ledger, name: str) -> dict[str, set]:
    """Return what one child left in the ledger, and how many charges or releases stand in one account of two."""
    accounts = {account.removeprefix(f"{POPULATION}@"): account for account in ledger.populations() if "@" in account}
    mine = {period: account for period, account in accounts.items() if period.startswith(f"{name}-")}
    renewals = {item.period for item in ledger.account(POPULATION).renewals}
    found: dict[str, set] = {"renew": set(mine) & renewals, "charge": set(), "release": set(), "halves": set()}
    for period, account in mine.items():
        for entry in ledger.entries(account):
            if entry.kind in ("charge", "release") and entry.request == period:
                found[entry.kind].add(period)
    for account in mine.values():
        for charge in (entry for entry in ledger.entries(account) if entry.kind == "charge"):
            kinds = {ledger.request(other, charge.request).kind for other in charge.accounts}
            if len(kinds) != 1:
                found["halves"].add(1)
    if set(mine) != {period for period in renewals if period.startswith(f"{name}-")}:
        found["halves"].add(1)
    return found


def spend_some(url: str, key: str, population: str, name: str, start: tuple[int, int], say) -> None:
    """Try everything at once: a charge as a whole, renewals, and charges in one period and in both.

    It begins when the parent closes its end of the pipe `start`, as all the others do.
    """
    ledger, owner = Ledger(url), OwnerKey.read(key)
    os.close(start[1])
    os.read(start[0], 1)
    works = [("whole", lambda: ledger.charge(population, ONE, purpose="race", request=f"{name}-whole"))]
    works += [
        (f"renew {period}", lambda p=period: ledger.renew(population, period=p, owner=owner)) for period in (MAY, JUNE)
    ]
    if int(name[1:]) % 2:
        works.reverse()
    for what, work in works:
        say(f"{'admitted' if tried(work) else 'refused'} {what}")
    for number in range(8):
        for periods in ((MAY,), (JUNE,), (JUNE, MAY)):
            request = f"{name}-{number}-{'-'.join(periods)}"
            charge = {"purpose": "race", "request": request, "periods": periods}
            done = tried(lambda charge=charge: ledger.charge(population, ONE, **charge))
            say(f"{'admitted' if done else 'refused'} {request}")


def tried(work) -> bool:
    """Return whether it was done; a ledger that is busy for long is asked again."""
    while True:
        try:
            work()
        except (BudgetExceeded, InvalidInput):
            return False
        except LedgerUnavailable as error:
            if "Nothing was" not in str(error):
                raise
            continue
        return True


def crowd(url: str, key: str, rounds: int) -> dict[str, int | bool]:
    """Let processes race to charge an account as a whole, to renew it, and to spend its periods."""
    ledger = Ledger(url)
    found = {"rounds": rounds, "renewed": 0, "charged_whole": 0, "both": 0, "over_admitted": 0, "failed": 0}
    exact = True
    for turn in range(rounds):
        population = f"p{turn}"
        open_for(ledger, key, population, ADMITS)
        start = os.pipe()
        children = [
            fork(lambda say, n=n, p=population, s=start: spend_some(url, key, p, f"c{n}", s, say)) for n in range(4)
        ]
        for end in start:
            os.close(end)
        lines = [line.split(maxsplit=1) for _, pipe in children for line in hear(pipe)]
        found["failed"] += sum(os.waitpid(child, 0)[1] != 0 for child, _ in children)
        admitted = [what for verdict, what in lines if verdict == "admitted"]
        base = ledger.account(population)
        found["renewed"] += bool(base.renewals)
        found["charged_whole"] += base.spent.loss > 0
        found["both"] += bool(base.renewals) and base.spent.loss > 0
        exact = exact and all(admitted.count(f"renew {item.period}") == 1 for item in base.renewals)
        for item in base.renewals:
            account = ledger.account(item.account)
            found["over_admitted"] += max(0, account.spent.loss - account.capacity.loss)
            mine = [what for what in admitted if what.startswith("c") and item.period in what]
            exact = exact and account.spent.loss == len(mine) * 2**28 == account.capacity.loss
    ledger.verify()
    return found | {"sums_are_exact": exact}


def main() -> None:
    """Run one campaign and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["kill", "crowd"])
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    work = (
        kill(given.url, given.key, given.kills) if given.what == "kill" else crowd(given.url, given.key, given.rounds)
    )
    sys.stdout.write(json.dumps(work) + "\n")


if __name__ == "__main__":
    main()
