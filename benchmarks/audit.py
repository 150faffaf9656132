"""Power of audits: bugs in mechanisms, how many draws and seconds each takes to catch; what is certified; one-run bounds.

Beside ours stand the statistical tests of three peers, written anew in a few lines each, on the same outputs of the
same pairs at the same confidence. What they lack here is their search for pairs, which all testers are given.

    python benchmarks/audit.py            # about half an hour
    python benchmarks/audit.py --quick    # a minute or two
    python benchmarks/audit.py --only caught one-run certified
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time
import warnings
from fractions import Fraction
from importlib.metadata import version
from statistics import NormalDist, median

import numpy as np
from broken import CASES, GRID, ONE_MORE, PURE, RNG, count, normal, uniform
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from discreet.accounting.curves import GaussianProfile
from discreet.audit import Claim, mechanism
from discreet.audit.statistics import betting, one_run
from discreet.audit.statistics.paired import Counts, epsilon_bound
from discreet.audit.statistics.rates import hypergeometric_upper_tail
from discreet.audit.tester.outputs import read
from discreet.mechanisms import discrete_laplace

ALPHA = 1e-3
LEVELS = (500, 2_000, 8_000, 32_000)
PEERS = ("StatDP", "DP-Sniper", "DP-Auditorium")


# ------------------------------------------------------------------------------ the testers


def ours(run, claim, pairs, draws):
    return mechanism(run, claim=claim, pairs=pairs, draws=draws, alpha=ALPHA).refuted


def peer(test):
    """Return a tester that runs a peer's test on each pair in both directions, each at its share of alpha."""

    def tester(run, claim, pairs, draws):
        delta = getattr(claim.profile, "delta0", 0.0)
        epsilon, level = claim.epsilon(delta), ALPHA / (2 * len(pairs))
        for pair in pairs:
            first, second = (
                np.nan_to_num(read(run(data, draws)).wide(parts(run, pair))) for data in (pair.first, pair.second)
            )
            if test(first, second, epsilon, delta, level) or test(second, first, epsilon, delta, level):
                return True
        return False

    return tester


def parts(run, pair):
    return max(read(run(data, 2)).parts for data in (pair.first, pair.second))


def statdp(x, y, epsilon, delta, alpha):
    """StatDP: a sixth of the draws selects an event, the others test it after thinning by e^-ε; pure ε only.

    Events are half-lines of each number, at twenty quantiles, and the twenty commonest outputs.
    """
    if delta:
        return None
    cut = len(x) // 6
    events = [*half_lines(x[:cut], y[:cut]), *commonest(x[:cut], y[:cut])]
    chosen = min(events, key=lambda event: thinned(event(x[:cut]), event(y[:cut]), epsilon, 4))
    return thinned(chosen(x[cut:]), chosen(y[cut:]), epsilon, 50) <= alpha


def half_lines(x, y):
    for part in range(x.shape[1]):
        for level in np.unique(np.quantile(np.concatenate([x[:, part], y[:, part]]), np.linspace(0.025, 0.975, 20))):
            yield lambda z, part=part, level=level: z[:, part] >= level
            yield lambda z, part=part, level=level: z[:, part] <= level


def commonest(x, y):
    values, counts = np.unique(np.concatenate([x, y]), axis=0, return_counts=True)
    for value in values[np.argsort(-counts)[:20]]:
        yield lambda z, value=value: (z == value).all(axis=1)


def thinned(x, y, epsilon, times):
    """Return the mean p-value that a coin of e^-ε on each hit of x still leaves more hits than y has."""
    hits, other, size = int(x.sum()), int(y.sum()), len(x)
    kept = (uniform((times, hits)) < math.exp(-epsilon)).sum(axis=1) if hits else np.zeros(times, dtype=int)
    values, counts = np.unique(kept, return_counts=True)
    tails = [hypergeometric_upper_tail(int(k), 2 * size, int(k) + other, size) for k in values]
    return float(np.dot(tails, counts) / counts.sum())


def sniper(x, y, epsilon, delta, alpha):
    """DP-Sniper: half of the draws train a logistic regression; the event is the top 1 % of the other dataset."""
    return sniper_bound(x, y, delta, alpha) > epsilon


def sniper_bound(x, y, delta, alpha):
    cut = len(x) // 2
    model = fitted(make_pipeline(StandardScaler(), LogisticRegression()), x[:cut], y[:cut], 1.0)
    scores = [model.decision_function(z) for z in (y[:cut], x[cut:], y[cut:])]
    level = np.quantile(scores[0], 0.99)
    above, tied = np.mean(scores[0] > level), np.mean(scores[0] == level)
    share = min(1.0, max(0.0, 0.01 - above) / tied) if tied else 0.0
    hits = [int(((s > level) | ((s == level) & (uniform(s.size) < share))).sum()) for s in scores[1:]]
    rest = len(x) - cut
    return epsilon_bound(Counts(hits[0], rest, hits[1], rest), delta=delta, alpha=alpha).value


def auditorium(x, y, epsilon, delta, alpha):
    """DP-Auditorium's hockey-stick tester: no classifier is right too often on a mix of 1 : e^ε; Hoeffding."""
    with threadpool_limits(limits=1):
        return _auditorium(x, y, epsilon, delta, alpha)


def _auditorium(x, y, epsilon, delta, alpha):
    cut = len(x) // 2
    trees = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=0)
    model = fitted(trees, x[:cut], y[:cut], math.exp(epsilon))
    right = model.predict(x[cut:]).mean(), 1 - model.predict(y[cut:]).mean()
    odds, rest = math.exp(epsilon), len(x) - cut
    radius = math.sqrt(math.log(1 / alpha) * (1 + odds**2) / (2 * rest))
    return right[0] + odds * right[1] - radius > odds + delta


def fitted(model, x, y, weight):
    """Fit a classifier of x against y, whose draws weigh so much more."""
    truth, weights = np.repeat([1, 0], [len(x), len(y)]), np.repeat([1.0, weight], [len(x), len(y)])
    last = getattr(model, "steps", [("", model)])[-1][0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that did not converge is only a worse attack
        return model.fit(
            np.concatenate([x, y]), truth, **{f"{last}__sample_weight" if last else "sample_weight": weights}
        )


TESTERS = {"discreet": ours, "StatDP": peer(statdp), "DP-Sniper": peer(sniper), "DP-Auditorium": peer(auditorium)}


# ------------------------------------------------------------------------------ tables


def caught(levels, runs):
    print(
        f"Bugs: the least number of draws, on both datasets of all pairs together, with which {runs} of {runs} audits"
    )
    print(f"refute the claim (alpha = {ALPHA:g}); seconds of one such audit. Twins: refuted at the largest number\n")
    print(f"{'bug':48}" + "".join(f"{name:>24}" for name in TESTERS))
    wrong = dict.fromkeys(TESTERS, 0)
    for case in CASES:
        row = f"{case.name:48}"
        for name, tester in TESTERS.items():
            row += f"{least(tester, case, levels, runs):>24}"
            wrong[name] += bool(tester(case.good, case.claim, case.pairs, levels[-1]))
        print(row, flush=True)
    print(f"{'twins refuted, of ' + str(len(CASES)):48}" + "".join(f"{wrong[name]:>24}" for name in TESTERS))
    print("StatDP tests pure ε only. Two numbers may be one step of the levels apart by chance.\n")


def least(tester, case, levels, runs):
    for draws in levels:
        seconds, found = [], []
        for _ in range(runs):
            start = time.perf_counter()
            found.append(tester(case.bad, case.claim, case.pairs, draws))
            seconds.append(time.perf_counter() - start)
            if not found[-1]:
                break
        if all(found):
            return f"{2 * draws * len(case.pairs):,} ({median(seconds):.2g} s)"
    return "not caught"


def certified(draws, runs):
    print(
        f"Certified with {2 * draws:,} draws at alpha = {ALPHA:g} and 0.05: least, median and largest of {runs} audits\n"
    )
    print(f"{'mechanism':38}{'true':>8}{'':>6}{'alpha = 0.001':>26}{'alpha = 0.05':>26}{'DP-Sniper, 0.001':>26}")
    rows = [(f"Laplace, scale {float(s):g}", f"{1 / float(s):g}", "ε", count(s), PURE, None)
            for s in (Fraction(2), Fraction(1), Fraction(1, 2))]  # fmt: skip
    for deviation, delta in ((Fraction(2), 1e-2), (Fraction(2), 1e-5)):
        mu = 1 / float(deviation)
        true, claim = GaussianProfile(mu).epsilon(delta).upper, Claim.gdp(mu, relation="add_remove")
        run = lambda data, draws, d=deviation: len(data) + normal((draws,), d)  # noqa: E731
        rows.append((f"Gaussian, deviation {float(deviation):g}, δ = {delta:g}", f"{true:.3f}", "ε", run, claim, delta))
    rows.append(("the same, its μ", f"{mu:.3f}", "μ", run, claim, delta))
    for name, true, what, run, claim, delta in rows:
        cells = []
        for alpha in (ALPHA, 0.05):
            found = [
                mechanism(run, claim=claim, pairs=ONE_MORE, draws=draws, alpha=alpha, delta=delta) for _ in range(runs)
            ]
            cells.append([one.finding.bounds[-1 if what == "μ" else 0].value for one in found])
        peer_cells = [max(sniper_bound(x, y, delta or 0.0, ALPHA / 2), sniper_bound(y, x, delta or 0.0, ALPHA / 2))
                      for x, y in (pair_of(run, draws) for _ in range(runs if what == "ε" else 0))]  # fmt: skip
        print(
            f"{name:38}{true:>8}{what:>6}" + "".join(f"{spread(cell):>26}" for cell in (*cells, peer_cells)), flush=True
        )
    print()


def pair_of(run, draws):
    return tuple(read(run(data, draws)).numbers for data in (ONE_MORE[0].first, ONE_MORE[0].second))


def spread(values):
    return f"{min(values):.3f}  {median(values):.3f}  {max(values):.3f}" if values else "–"


def one_run_bounds(runs):
    print("One training, m canaries, scores N(shift, 1) of those in and N(0, 1) of the others: ε certified at δ, 95 %,")
    print(
        f"by three estimators on the same scores; random scores: median of {runs} draws. Truth: ε of shift-GDP at δ\n"
    )
    print(
        f"{'scores':22}{'m':>8}{'δ':>8}{'truth':>9}{'Bonferroni':>12}{'betting':>10}{'f-DP (GDP)':>12}{'seconds':>22}"
    )
    grid = np.array([NormalDist().inv_cdf((k + 0.5) / 10_000) for k in range(10_000)])
    for shift in (1, 2, 4):
        order = np.argsort(uniform(20_000))  # coins that come sorted are refused as unfair
        scores, coins = np.concatenate([grid + shift, grid]), np.repeat([True, False], 10_000)
        cells = [bounds_of(scores[order], coins[order], 1e-6)]
        show("quantiles", 20_000, 1e-6, shift, cells)
    for shift, m in ((1, 200), (1, 1_000), (2, 1_000), (4, 1_000), (4, 10_000)):
        show("random", m, 1e-6, shift, [random_scores(shift, m) for _ in range(runs)])
    print()


def random_scores(shift, m):
    coins = uniform(m) < 0.5
    scores = np.array([NormalDist().inv_cdf(u) for u in uniform(m)]) + shift * coins
    return bounds_of(scores, coins, 1e-6)


def bounds_of(scores, coins, delta):
    found = []
    for name in ("Bonferroni", "betting", "f-DP"):
        start = time.perf_counter()
        if name == "f-DP":
            mu = one_run.mu_bound(scores, coins, alpha=0.05).value
            value = GaussianProfile(mu).epsilon(delta).lower if mu else 0.0
        else:
            bound = one_run.epsilon_bound if name == "Bonferroni" else betting.epsilon_bound
            value = bound(scores, coins, delta=delta, alpha=0.05).value
        found.append((value, time.perf_counter() - start))
    return found


def show(name, m, delta, shift, cells):
    truth = GaussianProfile(float(shift)).epsilon(delta).lower
    columns = [median(cell[i][0] for cell in cells) for i in range(3)]
    seconds = " / ".join(f"{median(cell[i][1] for cell in cells):.2g}" for i in range(3))
    print(f"{name + f', shift {shift}':22}{m:>8,}{delta:>8g}{truth:>9.3f}"
          f"{columns[0]:>12.3f}{columns[1]:>10.3f}{columns[2]:>12.3f}{seconds:>22}", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer draws, one audit each")
    parser.add_argument("--only", nargs="+", choices=("caught", "certified", "one-run"), help="these tables alone")
    chosen = parser.parse_args()
    wanted = chosen.only or ("caught", "certified", "one-run")
    names = ("discreet", "numpy", "scipy", "scikit-learn")
    print(", ".join(f"{name} {version(name)}" for name in names) + f", Python {platform.python_version()}, "
          f"{platform.machine()}, {os.cpu_count()} cores\n")  # fmt: skip
    discrete_laplace(1, scale=Fraction(GRID), rng=RNG)  # tables of the sampler are made once
    with threadpool_limits(limits=1):  # for all testers alike
        if "caught" in wanted:
            caught(LEVELS[:2] if chosen.quick else LEVELS, 1 if chosen.quick else 3)
        if "certified" in wanted:
            certified(20_000 if chosen.quick else 200_000, 2 if chosen.quick else 5)
        if "one-run" in wanted:
            one_run_bounds(2 if chosen.quick else 20)


if __name__ == "__main__":
    main()
