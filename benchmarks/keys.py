"""Unknown keys: how many each rule of selection may show at equal (ε, δ), on made-up tables of users and keys.

The first table is 200,000 users who draw 10 keys each from Zipf(1.05) over 100,000, at ε = 1 and δ = 1e-6. Rules that charge
ρ stand on a zCDP account: a part of δ converts ρ, the rest pays for keys that only one user has; the script tries
several splits. "Tight" is what a conversion without loss would give, that of a continuous Gaussian: no event of ours
claims it. Run it:

    python benchmarks/keys.py              # one or two minutes
    python benchmarks/keys.py --draws 1    # a glance
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import time
from fractions import Fraction
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from discreet.accounting import COST_UNIT, DELTA_UNIT, Measure, capacity, cost, gaussian_mu
from discreet.events import Composed, Relation
from discreet.mechanisms import DiscreteGaussianMechanism, KeySelection, Rng, WeightedKeySelection, key_weight

EPSILON, DELTA, ZCDP = 1.0, 1e-6, Measure("zcdp")
SPLITS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of δ: for keys that one user has alone
GOAL, PEER = 2850, 1262  # what is aimed at on the first table, and the best rule that peers use
UNIT = 2**20  # what the weight of a user with one key is; counts are weighed alike


class Table(NamedTuple):
    """Who has which key: one entry for each distinct pair."""

    name: str
    max_keys: int
    users: np.ndarray
    keys: np.ndarray


class Stage(NamedTuple):
    """A round: hundredths of ρ and of δ, and below how many deviations a key is closed (None: never)."""

    rho: int
    delta: int
    closed: float | None = None


RULES = {
    "one round": (Stage(100, 100),),
    "two rounds, 10/90, nothing closed (DP-SIPS)": (Stage(10, 10), Stage(90, 90)),
    "three rounds, 5/15/80, nothing closed": (Stage(5, 5), Stage(15, 15), Stage(80, 80)),
    "two rounds, 30/70": (Stage(30, 40, 1.0), Stage(70, 60)),
    "four rounds, 4/10/25/61": (Stage(4, 6, -0.6), Stage(10, 14, 0.5), Stage(25, 30, 1.5), Stage(61, 50)),
}
OURS = "three rounds, as WeightedKeySelection.rounds"


def hashed(numbers, salt):
    """Return uniform numbers of [0, 1), the same ones every time (SplitMix64)."""
    x = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt * 0x632BE59BD9B4E019 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def made(name, users, draws, power, keys, salt):
    """Return a table of users who draw so many keys each from Zipf(power); those drawn twice count once."""
    ends = np.cumsum(np.arange(1, keys + 1) ** -power)
    owner = np.repeat(np.arange(users), draws)
    drawn = np.searchsorted(ends / ends[-1], hashed(np.arange(owner.size), salt), side="right").clip(0, keys - 1)
    pairs = np.unique(owner * keys + drawn)
    return Table(name, int(np.max(draws)), pairs // keys, pairs % keys)


def tables(users):
    few = users // 20
    tail = np.minimum(100, 1 + np.floor(-10 * np.log1p(-hashed(np.arange(users // 2), 9)))).astype(np.int64)
    yield made("10 keys each, Zipf 1.05", users, 10, 1.05, 100_000, 1)
    yield made("the same, 1/20 of the users", few, 10, 1.05, 100_000, 2)
    yield made("flatter: Zipf 0.8", users, 10, 0.8, 100_000, 3)
    yield made("steeper: Zipf 1.3", users, 10, 1.3, 100_000, 4)
    yield made("1 to 100 keys, mean 10, half the users", users // 2, tail, 1.05, 100_000, 5)
    yield made("3 keys each", users, 3, 1.05, 100_000, 6)
    yield made("1 key each", users, 1, 1.05, 100_000, 7)


# ------------------------------------------------------------------------------------------- the rules


def counts(table, groups):
    """Return how many users have each key, if each offers at most `groups` keys of its own, chosen at random."""
    order = np.lexsort((hashed(np.arange(table.keys.size), 77), table.users))
    users = table.users[order]
    rank = np.arange(users.size) - np.searchsorted(users, users)
    found = np.bincount(table.keys[order][rank < groups])
    return found[found > 0].astype(np.int64)


def optimal(table, groups):
    rule = KeySelection(epsilon=EPSILON, delta=DELTA, max_groups=groups)
    held = counts(table, groups)
    return lambda: int(rule(held, Rng()).sum())


def plain(held, groups, rho, delta):
    """The Gaussian threshold on counts of users, each of which offers at most `groups` keys."""
    squared = groups * UNIT**2
    noise = DiscreteGaussianMechanism(Fraction(squared), Fraction(math.ceil(squared / (2 * rho))))
    least = UNIT + math.sqrt(noise.variance) * statistics.NormalDist().inv_cdf(1 - float(delta) / groups)
    return lambda: int((noise(held * UNIT, Rng()) >= least).sum())


def planned(stages, rho, delta, max_keys):
    """Return the rounds of a schedule, as `WeightedKeySelection.rounds` makes its own."""
    if stages is None:
        return WeightedKeySelection.rounds(rho=rho, delta=delta, max_keys=max_keys, relation=Relation.ADD_REMOVE)
    rounds, left = [], Fraction(max_keys)
    for stage in stages:
        variance = math.ceil(100 * UNIT**2 / (2 * rho * stage.rho))
        cutoff = None if stage.closed is None else math.floor(stage.closed * math.sqrt(variance))
        rounds.append(
            WeightedKeySelection(
                variance=Fraction(variance),
                delta=float(delta * stage.delta / 100) * (1 - 1e-12),  # events round up
                max_keys=left,
                relation=Relation.ADD_REMOVE,
                cutoff=cutoff,
            )
        )
        left = rounds[-1].left
    return tuple(rounds)


def weighted(table, rounds):
    """Run the rounds; users spread over those of their keys that are open, as a query would let them."""
    users, keys, kept = table.users, table.keys, 0
    weights = np.array([0.0, *map(key_weight, range(1, table.max_keys + 1))])
    is_open = np.bincount(keys) > 0
    for turn in rounds:
        each = weights[np.bincount(users)]
        totals = np.bincount(keys, each[users], minlength=is_open.size)  # whole numbers below 2**53: exact
        shown, still = turn.sift(totals[is_open].astype(np.int64), Rng())
        kept += int(shown.sum())
        is_open[is_open] = still
        rows = is_open[keys]
        users, keys = users[rows], keys[rows]
    return kept


# ------------------------------------------------------------------------------------------- what is printed


def budget(split, *, tight=False):
    """Return ρ and the δ for keys of one user alone; together (EPSILON, DELTA)."""
    room = capacity(ZCDP, epsilon=EPSILON, delta=DELTA, delta_atoms=DELTA * split)
    alone = room.delta * DELTA_UNIT
    if tight:
        return Fraction(gaussian_mu(EPSILON, float(DELTA - alone))) ** 2 / 2, alone
    return room.loss * COST_UNIT, alone


def admitted(rounds, split):
    """Return whether an account opened at (EPSILON, DELTA) with this split admits the rounds."""
    event = Composed(tuple(turn.event for turn in rounds))
    return cost(event, ZCDP) <= capacity(ZCDP, epsilon=EPSILON, delta=DELTA, delta_atoms=DELTA * split)


def mean(answer, draws):
    found = [answer() for _ in range(draws)]
    return statistics.mean(found)


def compare(table, draws):
    """Print what every rule keeps of the first table, and return what ours does on a zCDP account with an even split."""
    print(f"{table.name}: {table.users.max() + 1:,} users, {table.keys.size:,} pairs, "
          f"{np.unique(table.keys).size:,} keys; means of {draws}\n")  # fmt: skip
    print(f"{'optimal rule on counts':46}" + "  ".join(
        f"L0={groups}: {mean(optimal(table, groups), draws):,.0f}" for groups in (1, 3, 10)))  # fmt: skip
    print(f"\n{'share of delta for keys of one user alone':46}" + "".join(f"{split:8.0%}" for split in SPLITS)
          + "    tight, 50%")  # fmt: skip
    even = {}
    held = {groups: counts(table, groups) for groups in (1, 3, 10)}
    rules = {f"Gaussian threshold, L0={groups}": groups for groups in (1, 3, 10)} | RULES | {OURS: None}
    for name, rule in rules.items():
        row = []
        for split, tight in [*((split, False) for split in SPLITS), (0.5, True)]:
            rho, alone = budget(split, tight=tight)
            if isinstance(rule, int):
                answer = plain(held[rule], rule, rho, alone)
            else:
                rounds = planned(rule, rho, alone, table.max_keys)
                assert tight or admitted(rounds, split)
                answer = lambda rounds=rounds: weighted(table, rounds)  # noqa: E731
            row.append(mean(answer, draws))
        even[name] = row[SPLITS.index(0.5)]
        print(f"{name:46}" + "".join(f"{kept:8,.0f}" for kept in row[:-1]) + f"{row[-1]:14,.0f}", flush=True)
    return even[OURS]


def elsewhere(others, draws):
    """Print what the rules keep of other tables, half of delta for keys of one user alone."""
    rho, alone = budget(0.5)
    names = ["one round", "two rounds, 10/90, nothing closed (DP-SIPS)", "two rounds, 30/70", OURS]
    print(f"\n{'other tables, split 50%':46}optimal, L0=1    one round    DP-SIPS    30/70    ours")
    for table in others:
        kept = [mean(optimal(table, 1), draws)]
        for name in names:
            rounds = planned(RULES.get(name), rho, alone, table.max_keys)
            kept.append(mean(lambda rounds=rounds: weighted(table, rounds), draws))  # noqa: B023
        print(
            f"{table.name:46}{kept[0]:13,.0f}{kept[1]:13,.0f}{kept[2]:11,.0f}{kept[3]:9,.0f}{kept[4]:8,.0f}", flush=True
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--users", type=int, default=200_000)
    chosen = parser.parse_args()
    print(f"discreet {version('discreet')}, numpy {np.__version__}, Python {platform.python_version()}, "
          f"{platform.machine()}, {os.cpu_count()} cores; ε = {EPSILON:g}, δ = {DELTA:g}\n")  # fmt: skip
    first, *others = tables(chosen.users)
    kept = compare(first, chosen.draws)
    elsewhere(others, max(1, chosen.draws // 3))
    start = time.process_time()
    rho, alone = budget(0.49)  # thresholds that nobody has asked for yet
    rounds = planned(None, rho, alone, first.max_keys)
    thresholds = [turn.threshold for turn in rounds]
    spent, start = time.process_time() - start, time.process_time()
    noise = [turn.sift(np.zeros(100_000, dtype=np.int64), Rng()) for turn in rounds]
    print(f"\nCPU: {spent * 1e3:.0f} ms for {len(thresholds)} thresholds, if not known yet; "
          f"{(time.process_time() - start) * 1e3 / len(noise):.1f} ms for a round of 100,000 keys")  # fmt: skip
    if chosen.users == 200_000:
        print(f"kept on the first table, split 50%: {kept:,.0f}; goal {GOAL:,} (best peer rule {PEER:,}): "
              f"{'met' if kept >= GOAL else 'MISSED'}")  # fmt: skip


if __name__ == "__main__":
    main()
