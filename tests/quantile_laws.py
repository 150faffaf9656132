"""What the tests of quantiles share: their exact laws on tiny ranges, by enumeration of all cells and all draws.

`outcomes` runs the real mechanism, with each draw replaced by every cell in turn at its exact chance; the
draws themselves are compared with that chance in tests/unit/mechanisms/test_rank_softmax.py.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from functools import partialmethod
from unittest import mock

import numpy as np

from discreet.events import Relation, Repeated
from discreet.mechanisms import Rng
from discreet.mechanisms.rank_softmax import RankSoftmax, Runs
from discreet.testing import Cells, Nonconforming, gof


def runs_of(counts, cells=1, dtype=np.int64):
    """Return the runs of counts at 0, 1, …; zeros are left out, as a GROUP BY leaves them out."""
    weights = np.array(counts, dtype=dtype)
    places = np.flatnonzero(weights)
    return Runs.of(places, weights[places], weights.size, cells)


def expanded(runs):
    """Return the weight of every cell, one by one."""
    weights = []
    for start, end, lower, upper in zip(runs.edges, runs.edges[1:], runs.ranks, runs.ranks[1:], strict=False):
        weights += [Fraction(int(upper - lower), max(1, int(end - start)))] * int(end - start)
    return weights


def distances(weights, target, *, short=1):
    """Return each cell's distance of the ranks that it takes up from the target, straight from the definition."""
    found, before = [], Fraction(0)
    for weight in weights:
        after = before + weight
        found.append(max(Fraction(0), before - target, short * (target - after)))
        before = after
    return found


def softmax(far, rate):
    """Return chances ∝ exp(-rate·distance)."""
    chances = [math.exp(-float(rate * one)) for one in far]
    return np.array(chances) / math.fsum(chances)


class _Enumerated:
    """Takes the place of `RankSoftmax.draw`: follows a script of cells, then the first cell of whatever is asked."""

    def __init__(self):
        self.script, self.made = [], []


def _drawn(law, book, runs, rng):
    far = distances(expanded(runs), law.target - int(runs.ranks[0]), short=law.short)
    chances = softmax(far, law.rate)
    at = book.script[len(book.made)] if len(book.made) < len(book.script) else 0
    book.made.append((at, chances))
    return runs.first + at


def present(mechanism, counts):
    """Return the values of low … high that have rows, and how many: what a GROUP BY returns."""
    weights = np.array(counts, dtype=np.int64)
    places = np.flatnonzero(weights)
    return places + mechanism.low, weights[places]


def outcomes(mechanism, counts):
    """Return {cells drawn: (the answer, the chance of each draw given those before)} for counts at low … high."""
    values, weights = present(mechanism, counts)
    book, found, script = _Enumerated(), {}, []
    with mock.patch.object(RankSoftmax, "draw", partialmethod(_drawn, book)):
        while True:
            book.script, book.made = script, []
            answer = mechanism(values, weights, Rng())
            path = tuple(at for at, _ in book.made)
            found[path] = (np.atleast_1d(answer).tolist(), [float(chances[at]) for at, chances in book.made])
            script = list(path)
            while script and script[-1] + 1 == book.made[len(script) - 1][1].size:
                script.pop()
            if not script:
                return found
            script[-1] += 1


def answer_law(mechanism, counts):
    """Return {answer: its exact chance}."""
    law = {}
    for answer, chances in outcomes(mechanism, counts).values():
        law[tuple(answer)] = law.get(tuple(answer), 0.0) + math.prod(chances)
    return law


def losses(first, second):
    """Return for each path of draws the log-ratio of every draw's chance under the two."""
    assert first.keys() == second.keys()
    return {path: [math.log(a / b) for a, b in zip(first[path][1], second[path][1], strict=True)] for path in first}


def step_ranges(mechanism, ratios):
    """Return the widest range of log-ratios of each step: of all draws of one step together, given those before."""
    if not isinstance(mechanism.event, Repeated):
        return [max(r for (r,) in ratios.values()) - min(r for (r,) in ratios.values())]
    if len(mechanism.ranks) == 2:  # one draw after the other
        return [max(r[i] for r in ratios.values()) - min(r[i] for r in ratios.values()) for i in (0, 1)]
    assert len(mechanism.ranks) == 3  # one draw, then one in each half
    root = [r[0] for r in ratios.values()]
    halves = {}
    for path, ratio in ratios.items():
        halves.setdefault(path[0], []).append(sum(ratio[1:]))
    return [max(root) - min(root), max(max(one) - min(one) for one in halves.values())]


def parts(size, weight):
    """Return all rows that one unit may have: counts at each place, `weight` in all at most."""
    return [rows for rows in itertools.product(range(weight + 1), repeat=size) if sum(rows) <= weight]


def neighbours(size, most, weight, relation):
    """Yield pairs of histograms that differ in one unit; with every other person's rows among 0 … most at each place."""
    mine = parts(size, weight)
    for others in itertools.product(range(most + 1), repeat=size):
        for old, new in itertools.combinations(mine, 2):
            if relation is Relation.REPLACE_ONE or not sum(old):
                yield tuple(map(sum, zip(others, old, strict=True))), tuple(map(sum, zip(others, new, strict=True)))


def check_quantile_loss(mechanism, *, most=2, pairs=None):
    """Check neighbours, all tiny ones if none are given: each step's range, and the whole loss; return the largest."""
    event = mechanism.event
    count, each = (event.count, event.event.epsilon) if isinstance(event, Repeated) else (1, event.epsilon)
    size = mechanism.high - mechanism.low + 1
    laws, widest, largest = {}, 0.0, 0.0
    for pair in pairs or neighbours(size, most, mechanism.weight, mechanism.relation):
        for counts in pair:
            if counts not in laws:
                laws[counts] = outcomes(mechanism, counts)
        ratios = losses(laws[pair[0]], laws[pair[1]])
        widest = max(widest, *step_ranges(mechanism, ratios))
        largest = max(largest, *(abs(sum(ratio)) for ratio in ratios.values()))
        if widest > each * (1 + 1e-9) or largest > count * each * (1 + 1e-9):
            raise Nonconforming(f"between {pair[0]} and {pair[1]}: range {widest:.6g}, loss {largest:.6g}")
    return widest, largest


def check_quantile_law(mechanism, counts, law, *, draws=16_000):
    """Check how often each answer comes up against {answer: chance}."""
    order = {answer: i for i, answer in enumerate(sorted(law))}
    rng, given = Rng(), present(mechanism, counts)
    drawn = [order[tuple(np.atleast_1d(mechanism(*given, rng)).tolist())] for _ in range(draws)]
    fit = gof(drawn, Cells(np.arange(len(order) - 1), np.array([law[answer] for answer in order])))
    if not fit.accepted:
        raise Nonconforming(f"answers have not the law claimed: {fit.worst} (p <= {fit.p_value:.1e})")
