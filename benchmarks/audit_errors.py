"""How often the audit's bounds are false, under the mechanisms that make it hardest for them.

    python benchmarks/audit_errors.py [--draws 1000] [--only NAME …]

For each estimator, ε and δ: the share of audits whose bound lies above the truth, of `--draws` audits with fresh
randomness. The nominal share is 5 %. A share so high that 5 % makes it less likely than 1e-3 is marked TOO MANY.
The last rows are wrong versions, which should be marked; they show that the table could.

The mechanisms keep (ε, δ)-DP with nothing to spare: Laplace noise, for which every threshold beyond the shift has odds
of exactly e^ε, and with chance δ a canary's coin shows itself. Curves of Gaussian DP are met by Gaussian noise.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy

from discreet.accounting.curves import ApproximateProfile
from discreet.audit.statistics import betting, matches, multiple, one_run, thresholds
from discreet.audit.statistics.paired import epsilon_bound, mu_bound
from discreet.audit.statistics.rates import binomial_upper_tail
from discreet.mechanisms import Rng

ALPHA = 0.05
PAIRED, CANARIES, UNITS = 500, 1000, 1000
EPSILONS, DELTAS = (0.0, 0.5, 1.0, 2.0, 4.0), (0.0, 1e-5)
RNG = Rng()


@dataclass(frozen=True)
class Row:
    """An estimator with its mechanism: says of one fresh audit whether it was wrong."""

    name: str
    wrong: Callable[[float, float], float]
    epsilons: tuple[float, ...] = EPSILONS
    deltas: tuple[float, ...] = DELTAS
    slow: int = 1  # so many times fewer draws


def uniforms(size):
    return (RNG.words(size) >> np.uint64(11)).astype(float) * 2.0**-53 + 2.0**-54


def laplace(size, epsilon):
    u = uniforms(size) - 0.5
    return -np.sign(u) * np.log1p(-2 * np.abs(u)) / max(epsilon, 1e-9)


def normal(size):
    return np.sqrt(-2 * np.log(uniforms(size))) * np.cos(2 * np.pi * uniforms(size))


def leaky(coins, epsilon, delta):
    """Return the scores of the worst (ε, δ)-DP mechanism on these coins."""
    scores = coins + laplace(coins.size, epsilon)
    return np.where(uniforms(coins.size) < delta, np.where(coins, 1e12, -1e12), scores)


def pair(epsilon, delta):
    coins = np.repeat([True, False], PAIRED)
    scores = leaky(coins, epsilon, delta)
    return scores[:PAIRED], scores[PAIRED:]


def canaries(epsilon, delta, size=CANARIES):
    coins = uniforms(size) < 0.5
    return leaky(coins, epsilon, delta), coins


def paired_row(name, strategy, slow=1):
    def wrong(epsilon, delta):
        certify = partial(epsilon_bound, delta=delta)
        return strategy(*pair(epsilon, delta), alpha=ALPHA, certify=certify).value > epsilon

    return Row(f"paired, {name}", wrong, slow=slow)


def gaussian_pair(mu, _):
    return thresholds.by_rank(mu + normal(PAIRED), normal(PAIRED), alpha=ALPHA, certify=mu_bound).value > mu


def gaussian_canaries(mu, _):
    coins = uniforms(CANARIES) < 0.5
    return one_run.mu_bound(coins * mu + normal(CANARIES), coins, alpha=ALPHA).value > mu


def guesses(epsilon, delta):
    return one_run.epsilon_bound(*canaries(epsilon, delta), delta=delta, alpha=ALPHA).value > epsilon


def bets(epsilon, delta):
    return betting.epsilon_bound(*canaries(epsilon, delta), delta=delta, alpha=ALPHA).value > epsilon


def curve(epsilon, delta):
    claimed = ApproximateProfile(epsilon, delta)
    return one_run.curve_test(*canaries(epsilon, delta), claimed, alpha=ALPHA).rejected


def released(epsilon, delta):
    """Units match by coincidence in 2 %, and if they were in as often as (ε, δ) allows."""
    coins = uniforms(UNITS) < 0.5
    least = 0.02
    chance = np.where(coins, min(1.0, least * np.exp(epsilon) + delta), least)
    matched = uniforms(UNITS) < chance
    return matches.Matches(int((matched & coins).sum()), int((matched & ~coins).sum()), UNITS)


def matched(epsilon, delta):
    found = released(epsilon, delta)
    return found.total > 0 and matches.epsilon_bound(found, delta=delta, alpha=ALPHA).value > epsilon


def zero_learning(*_):
    return matches.zero_learning(released(0.0, 0.0)) <= ALPHA


def attributed(side):
    def wrong(*_):
        coins, coincidence, leak = uniforms(UNITS) < 0.5, uniforms(UNITS) < 0.05, uniforms(UNITS) < 0.03
        caused = int((coins & leak & ~coincidence).sum())
        seen = coincidence | (coins & leak)
        counts = matches.Matches(int((seen & coins).sum()), int((seen & ~coins).sum()), UNITS)
        lower, upper = matches.attributable(counts, alpha=ALPHA)
        return lower > caused if side == "lower" else upper < caused

    return wrong


def false_share(*_):
    coins, leaks = uniforms(UNITS) < 0.5, np.arange(UNITS) < UNITS // 10
    scores = normal(UNITS) + 3 * (leaks & coins)
    listed = multiple.leak_list(scores, coins, false_discovery_rate=ALPHA).listed
    return np.count_nonzero(~leaks[listed]) / max(1, listed.size)


def any_detector(*_):
    coins, shared = uniforms(100) < 0.5, normal(100)
    scores = {str(i): shared + normal(100) for i in range(5)}
    return min(multiple.max_t(scores, coins, permutations=199).values()) <= ALPHA


def picked(epsilon, delta):
    """The best threshold for these very canaries, at the whole of alpha."""
    scores, coins = canaries(epsilon, delta)
    right, chance = np.cumsum(coins[np.argsort(-scores)]), 1 / (1 + np.exp(-epsilon))
    return binomial_upper_tail(right, np.arange(1, CANARIES + 1), chance).min() <= ALPHA


def corners(epsilon, delta):
    """The same at alpha / the number of corners of the hull, which the coins have a say in; 10,000 canaries."""
    scores, coins = canaries(epsilon, delta, 10_000)
    labels = coins[np.argsort(-scores)]
    points, kept = np.stack([np.cumsum(~labels), np.cumsum(labels)], axis=1), [(0, 0)]
    for x, y in points.tolist():
        while len(kept) > 1 and (kept[-1][0] - kept[-2][0]) * (y - kept[-2][1]) >= (kept[-1][1] - kept[-2][1]) * (
            x - kept[-2][0]
        ):
            kept.pop()
        kept.append((x, y))
    tops = np.array(kept[1:])
    tails = binomial_upper_tail(tops[:, 1], tops.sum(axis=1), 1 / (1 + np.exp(-epsilon)))
    return tails.min() <= ALPHA / len(kept)


ROWS = [
    paired_row("threshold fixed", partial(thresholds.explicit, threshold=1.5)),
    paired_row("random split", thresholds.split),
    paired_row("median of 5 splits", partial(thresholds.multisplit, splits=5), slow=4),
    paired_row("4 thresholds fixed", partial(thresholds.bonferroni, thresholds=[1.0, 1.5, 2.0, 3.0])),
    paired_row("by rank", thresholds.by_rank),
    Row("paired, by rank, μ", gaussian_pair, deltas=(0.0,)),
    Row("one run, guesses", guesses),
    Row("one run, betting", bets),
    Row("one run, curve of (ε, δ)", curve),
    Row("one run, μ", gaussian_canaries, deltas=(0.0,)),
    Row("matches, ε", matched),
    Row("matches, zero learning", zero_learning, (0.0,), (0.0,)),
    Row("matches, caused: lower end", attributed("lower"), (0.0,), (0.0,)),
    Row("matches, caused: upper end", attributed("upper"), (0.0,), (0.0,)),
    Row("list of leaks, share of false ones", false_share, (0.0,), (0.0,)),
    Row("five detectors, max-T", any_detector, (0.0,), (0.0,)),
    Row("WRONG: best threshold, not paid for", picked, deltas=(0.0,)),
    Row("WRONG: paid for corners of the hull", corners, (0.0,), (0.0,)),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--only", nargs="*", default=[], help="rows whose name contains one of these")
    asked = parser.parse_args()
    print(f"python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}; {asked.draws} draws")
    print(f"paired: {PAIRED} trials each; one run: {CANARIES} canaries; matches and lists: {UNITS} units")
    print(
        f"{'share of false bounds, in %, nominal 5':38} {'δ':>6}" + "".join(f"{f'ε = {one:g}':>9}" for one in EPSILONS)
    )
    start = time.perf_counter()
    for row in ROWS:
        if asked.only and not any(word in row.name for word in asked.only):
            continue
        for delta in row.deltas:
            draws, cells, marked = max(1, asked.draws // row.slow), [], False
            for epsilon in row.epsilons:
                count = sum(float(row.wrong(epsilon, delta)) for _ in range(draws))
                marked |= float(binomial_upper_tail(int(count), draws, ALPHA)) < 1e-3
                cells.append(f"{100 * count / draws:9.1f}")
            print(f"{row.name:38} {delta:6g}{''.join(cells)}{'   TOO MANY' if marked else ''}", flush=True)
    print(f"{time.perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main()
