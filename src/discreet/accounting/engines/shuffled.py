"""Privacy losses of shuffled k-ary randomised response, people with equal or different epsilons. docs/proofs/shuffled.md.

A law is (losses, masses, infinite): atoms of log P/Q with their P-mass, and the P-mass at +inf.
Then delta(eps) = infinite + sum of masses * (1 - exp(eps - losses))_+.

Roundings are counted, not estimated: what went through k of them is within a factor (1 ± 2^-53)^±k of the
value in exact arithmetic, in whatever order sums were taken, for all terms are positive; where two rounded numbers
are subtracted, a margin is written beside it. Assumed of the platform: IEEE doubles, and exp, expm1, log, log1p
within four units in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from discreet.accounting.engines.atoms import Array
from discreet.errors import InvalidInput

LOSS_SLACK = 2.0**-47  # 64 roundings: more than go into one loss
CELL_SLACK = 2.0**-49  # 16 roundings of a place on the grid, relative to a cell
TINY = 1e-300  # more than all that underflows
FLOOR = 1e-280  # relative to the peak; what lies below is cut, for it would soon lose its digits
WHOLE = 1000  # up to here no tail is cut, whatever `lost` allows
CELLS = 2**17  # up to so many atoms are returned as they are; more on a grid of so many cells
BLOCK = 2**19  # atoms in memory at once
SMALLEST, LARGEST = 1e-100, 500.0  # epsilon; beyond, numbers underflow


@dataclass(frozen=True, slots=True)
class Counts:
    """A law on the integers start, start + 1, …, up to rounding.

    Args:
        start: The first integer.
        masses: Its mass, and those that follow.
        missing: All mass that was cut off; also, no mass is relatively larger than the true one by more.
        roundings: How many roundings a mass went through.
    """

    start: int
    masses: Array
    missing: float
    roundings: int


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Bin(t, 1/2) for several t, the half from the middle on; all arrays broadcast to (rows, columns).

    Args:
        t: The numbers of coins, as a column.
        u: The heads, at least t/2.
        fair: P(u | t), for u = t/2 half of it: reflected, the other half.
        tail: P(beyond the last column | t), both ends together, shape (rows,).
    """

    t: Array
    u: Array
    fair: Array
    tail: Array


def shuffled(
    epsilons: Sequence[float], counts: Sequence[int], categories: int, *, victim: int, lost: float
) -> tuple[Array, Array, float]:
    """Return (losses, masses, infinite): a law that dominates what one shuffled answer reveals.

    `counts[j]` people each send one answer of randomised response at `epsilons[j]`, and all answers are permuted. The
    law is for one person of class `victim`; a guarantee for everybody is the worst over the classes.

    Args:
        epsilons: The local epsilon of each class, from 1e-100 to 500.
        counts: How many people each class has; those who may collude with the reader are left out.
        categories: How many answers there are.
        victim: The class of the person whose value changes.
        lost: About how much mass may be cut off from tails and moved to +inf; none is for up to 1,000 people.

    Raises:
        InvalidInput: an argument is out of range.

    Guarantee: under replacement of one person's value, whatever the others hold, the hockey-stick divergence of the
        shuffled answers is at most that of this law, at every order and in both directions (the law is its own reverse).
    Evidence: proven, docs/proofs/shuffled.md.
    Assumes: the shuffler hides who sent what; classes and counts are fixed and public; everybody counted follows the
        protocol and sends one answer; the platform's arithmetic, as above.
    Not protected: who takes part, and what is sent beside the answer.
    References: Balle, Bell, Gascón, Nissim 2019; Feldman, McMillan, Talwar 2022.
    """
    _check(epsilons, counts, categories, victim, lost)
    epsilon = float(epsilons[victim])
    q = math.exp(-epsilon)
    clones = _others(epsilons, counts, categories, victim, lost / 2, pair=True)
    plan = _plan(clones.start + 1, clones.masses, lost / 2)
    cell = _cell(plan, epsilon)
    whole: list[tuple[Array, Array]] = []
    cells = np.zeros((3, CELLS + 2))
    infinite, most = clones.missing, 0
    for rows in _rows(plan):
        given = clones.masses[rows.t[:, 0].astype(np.intp) - clones.start - 1]
        infinite += float(given @ rows.tail)
        most = max(most, rows.u.shape[1])
        v = np.maximum(rows.t - rows.u, 0.0)
        mass = (given[:, None] * rows.fair * (2 * (rows.u + q * v) / ((1 + q) * rows.t))).ravel()
        loss = np.minimum(np.log1p(-math.expm1(-epsilon) * (rows.u - v) / (q * rows.u + v)), epsilon).ravel()
        if cell:
            place = np.floor(loss / cell).astype(np.intp)
            off = loss - cell * place
            upper = np.clip(off * (1 - off / 2 + off * off / 6) / -math.expm1(-cell), 0.0, 1.0)
            cells += [np.bincount(place, weights, CELLS + 2) for weights in (mass, mass * upper, None)]
        else:
            whole.append((mass[mass > 0], loss[mass > 0]))
    roundings = clones.roundings + 5 * most + len(plan) + 64
    losses, masses = _split(cells, cell, roundings) if cell else _reflect(whole, epsilon, roundings)
    scale = 1 + (categories - 1) * q
    if categories > 2:  # given that it is another symbol, the report tells these two values not apart
        losses, masses = np.append(losses, 0.0), np.append(masses * ((1 + q) / scale), (categories - 2) * q / scale)
    return losses, masses * (1 + LOSS_SLACK), min(1.0, (infinite + TINY) * (1 + 1e-9))


def shuffled_below(
    epsilons: Sequence[float], counts: Sequence[int], categories: int, *, victim: int, lost: float
) -> tuple[Array, Array, float]:
    """Return (losses, masses, 0.0): a law below what one shuffled answer reveals for one concrete pair of inputs.

    With two categories all others hold 0, and so does the victim under P; under Q it holds 1. The reader sees all there
    is, how many answers are 1. With more categories all others hold a third one, and the reader sees how many answers
    fall on each of the victim's two values. Arguments as for `shuffled`.

    Guarantee: the hockey-stick divergence of this law is at most that of the concrete pair, at every order.
    Evidence: proven, docs/proofs/shuffled.md.
    Assumes: the platform's arithmetic, as above.
    Not protected: this is no guarantee; other inputs may reveal more.
    """
    _check(epsilons, counts, categories, victim, lost)
    epsilon = float(epsilons[victim])
    q = math.exp(-epsilon)
    scale = 1 + (categories - 1) * q
    others = _others(epsilons, counts, categories, victim, lost / 2, pair=categories > 2)
    without, within = np.append(others.masses, 0.0), np.append(0.0, others.masses)  # the victim's report
    if categories == 2:
        pairs = np.stack(((without + q * within) / scale, (q * without + within) / scale, np.ones_like(within)))
        return *_under(pairs, others, others.roundings + 64), 0.0
    plan = _plan(others.start, np.ones_like(within), lost / 2)  # every row nearly whole: P is scaled down by its tail
    cell = _cell(plan, epsilon)
    whole: list[Array] = []
    cells, most, longest, cut = np.zeros((3, CELLS + 2)), 0, 0, 0.0
    for rows in _rows(plan):
        row = rows.t[:, 0].astype(np.intp) - others.start
        v = np.maximum(rows.t - rows.u, 0.0)
        other = ((categories - 2) * q / scale) * without[row][:, None]
        same = (2 / scale) * within[row][:, None] / np.maximum(rows.t, 1.0)
        high, low = (rows.fair * (other + same * (one + q * two)) for one, two in ((rows.u, v), (v, rows.u)))
        pairs = np.stack((high.ravel(), low.ravel(), rows.fair.ravel()))
        pairs = pairs[:, pairs[1] > 0]
        longest, cut = max(longest, rows.u.shape[1]), max(cut, float(rows.tail.max()))
        if cell:  # any grouping of outcomes is below: it only processes what the reader sees
            place = np.clip(np.floor(np.log(pairs[0] / pairs[1]) / cell), 0, CELLS + 1).astype(np.intp)
            cells += [np.bincount(place, weights, CELLS + 2) for weights in pairs]
            most += int(np.bincount(place).max())
        else:
            whole.append(pairs)
    pairs = cells if cell else np.concatenate(whole, axis=1)
    roundings = others.roundings + 5 * longest + len(plan) + most + 64
    forward = _under(pairs, others, roundings, cut)
    backward = _under(pairs[[1, 0, 2]], others, roundings, cut)
    return np.append(forward[0], backward[0]), np.append(forward[1], backward[1]), 0.0


def _check(epsilons: Sequence[float], counts: Sequence[int], categories: int, victim: int, lost: float) -> None:
    if not epsilons or len(epsilons) != len(counts):
        raise InvalidInput(f"{len(epsilons)} epsilons and {len(counts)} counts.", remedy="Give one count per epsilon.")
    if not all(SMALLEST <= epsilon <= LARGEST for epsilon in epsilons):
        raise InvalidInput(
            f"a local epsilon of {list(epsilons)!r} is not from {SMALLEST:g} to {LARGEST:g}.",
            remedy="A larger epsilon hides nobody: leave these people out, and promise them nothing.",
        )
    if any(count < 0 for count in counts) or not 0 <= victim < len(counts) or counts[victim] < 1:
        raise InvalidInput(
            f"nobody is in class {victim} of counts {list(counts)!r}.", remedy="Give the index of a class with people."
        )
    if categories < 2:
        raise InvalidInput(f"{categories} categories.", remedy="Randomised response needs at least 2.")
    if not 1e-150 <= lost <= 1e-3:
        raise InvalidInput(
            f"lost={lost!r} is not from 1e-150 to 0.001.", remedy="A thousandth of delta is a good choice."
        )


# ------------------------------------------------------------------------- how many reports hide the victim's


def _others(
    epsilons: Sequence[float], counts: Sequence[int], categories: int, victim: int, lost: float, *, pair: bool
) -> Counts:
    """Return the law of how many others' reports are blankets on the pair; not `pair`: of untrue answers, k = 2."""
    parts = []
    people = [count - (j == victim) for j, count in enumerate(counts)]
    share = lost / (4 * max(1, sum(count > 0 for count in people)))
    for epsilon, count in zip(epsilons, people, strict=True):
        q = math.exp(-epsilon)
        odds = 2 * q / (-math.expm1(-epsilon) + (categories - 2) * q) if pair else q
        if count:
            parts.append(_binomial(count, odds, share))
    parts = parts or [Counts(0, np.ones(1), 0.0, 0)]
    while len(parts) > 1:
        parts.sort(key=lambda part: part.masses.size)
        last = parts[-1:] if len(parts) % 2 else []
        parts = [_sum(*two, share) for two in zip(parts[::2], parts[1::2], strict=False)] + last
    return parts[0]


def _binomial(count: int, odds: float, share: float) -> Counts:
    """Return Bin(count, odds / (1 + odds)) by its recurrence from the mode on; each tail cut weighs about `share`."""
    rate = odds / (1 + odds)
    mode = min(count, math.floor((count + 1) * rate))
    bits = math.log(1 / share)
    width = math.ceil(bits / 3 + math.sqrt(bits * bits / 9 + 2 * count * rate * (1 - rate) * bits)) + 2  # Bernstein
    width = count if count <= WHOLE else width
    i = np.arange(mode, min(count, mode + width), dtype=np.float64)
    right, right_tail = _ladder((count - i) / (i + 1) * odds, last=mode + i.size == count)
    i = np.arange(mode, max(0, mode - width), -1, dtype=np.float64)
    left, left_tail = _ladder(i / (count - i + 1) / odds, last=mode - i.size == 0)
    masses = np.concatenate((left[::-1], [1.0], right))
    total = float(masses.sum())
    missing = ((right_tail + left_tail) / total) * (1 + 1e-6)
    steps = 28 * max(left.size, right.size)  # 22 from the odds, and 4 of its own, each
    return Counts(mode - left.size, masses / total, missing, 2 * steps + masses.size + 4)


def _ladder(ratios: Array, *, last: bool) -> tuple[Array, float]:
    """Return products of falling ratios, and a bound of the products that were cut off."""
    products = np.asarray(np.cumprod(ratios), dtype=np.float64)
    keep = int(np.count_nonzero(products >= FLOOR))
    if keep == products.size and last:
        return products, 0.0
    if keep == products.size:  # the last one is given up: its ratio bounds those that follow
        keep -= 1
    ratio = float(ratios[keep])
    before = float(products[keep - 1]) if keep else 1.0
    return products[:keep], before * ratio / (1 - ratio) + TINY if ratio < 1 else math.inf


def _sum(one: Counts, two: Counts, share: float) -> Counts:
    """Return the law of a sum of independent counts."""
    masses = np.convolve(one.masses, two.masses)
    start, stop = 0, masses.size
    missing = one.missing + two.missing + one.missing * two.missing + TINY
    if masses.size > WHOLE:
        start = int(np.searchsorted(np.cumsum(masses), share))
        stop = masses.size - int(np.searchsorted(np.cumsum(masses[::-1]), share))
        missing += float(masses[:start].sum() + masses[stop:].sum())
    roundings = one.roundings + two.roundings + min(one.masses.size, two.masses.size) + 1
    return Counts(one.start + two.start + start, masses[start:stop], missing * (1 + 1e-6), roundings)


# -------------------------------------------------------------------------------------------- fair coins


def _plan(start: int, masses: Array, lost: float) -> list[tuple[int, int, int]]:
    """Return blocks (first t, one past the last, columns) such that tails weigh about `lost` in all."""
    step = max(1, BLOCK // _columns(start + masses.size - 1, lost))
    edges = [*range(0, masses.size, step), masses.size]
    blocks = []
    for low, high in pairwise(edges):
        share = lost / (len(edges) * max(float(masses[low:high].sum()), TINY))
        blocks.append((start + low, start + high, _columns(start + high - 1, share)))
    return blocks


def _columns(t: int, share: float) -> int:
    """Return how many heads from t/2 on leave at most `share` beyond them, both ends together."""
    half = t // 2 + 1
    if t <= WHOLE:
        return half
    return min(half, 2 + math.ceil(math.sqrt(t * max(0.0, math.log(2 / share)) / 2)))  # Hoeffding


def _rows(plan: list[tuple[int, int, int]]) -> Iterator[Rows]:
    for first, stop, columns in plan:
        t = np.arange(first, stop, dtype=np.float64)[:, None]
        u = np.ceil(t / 2) + np.arange(columns, dtype=np.float64)
        fair = np.empty(u.shape)
        fair[:, :1] = np.where(t % 2 == 0, 0.5, 1.0)
        ratios = np.maximum(t - u, 0.0) / (u + 1)
        if columns > 1:
            fair[:, 1:] = ratios[:, :-1]
            fair[:, 1:2] *= np.where(t % 2 == 0, 2.0, 1.0) * fair[:, :1]
            fair[:, 1:] = np.cumprod(fair[:, 1:], axis=1)
        half = fair.sum(axis=1)
        ratio = ratios[:, -1]  # at t = 0 the only column is the middle, and there is nothing beyond
        tail = fair[:, -1] * (1 + (columns == 1)) * ratio / (1 - ratio) / half
        fair /= 2 * half[:, None]
        yield Rows(t, u, fair, tail * (1 + 1e-6))


def _cell(plan: list[tuple[int, int, int]], epsilon: float) -> float:
    """Return the width of a cell of the grid of losses, 0 for none."""
    if sum((stop - first) * columns for first, stop, columns in plan) <= CELLS:
        return 0.0
    q, largest = math.exp(-epsilon), 0.0
    for first, _, columns in plan:
        t = max(first, 1)  # the loss at a fixed column falls with t
        u = min(t, t / 2 + columns)
        largest = max(largest, -math.expm1(-epsilon) * (2 * u - t) / (q * u + t - u))
    return min(epsilon, math.log1p(largest)) * (1 + 1e-9) / CELLS


# ------------------------------------------------------------------------------------- from atoms to a law


def _reflect(whole: list[tuple[Array, Array]], epsilon: float, roundings: int) -> tuple[Array, Array]:
    """Return the atoms of both halves; those of one loss together."""
    mass, loss = (np.concatenate(part) for part in zip(*whole, strict=True))
    loss, index, times = np.unique(loss, return_inverse=True, return_counts=True)
    mass = np.bincount(index, mass).astype(np.float64)
    up, down = np.minimum(loss * (1 + LOSS_SLACK), epsilon), loss * (1 - LOSS_SLACK)
    mass = mass * (1 + _slack(roundings + int(times.max())))
    return np.append(-down[::-1], up), np.append((mass * np.exp(-down))[::-1], mass)


def _split(cells: Array, cell: float, roundings: int) -> tuple[Array, Array]:
    """Return the law on the nodes of the grid: each atom is split between its neighbours, keeping its P- and Q-mass."""
    mass, upper, times = cells
    node = cell * np.arange(CELLS + 2)
    many = _slack(roundings + int(times.max()) + 64)
    margin = CELL_SLACK * np.arange(2, CELLS + 4) + LOSS_SLACK + 2 * many
    at, beyond = np.maximum(mass - upper, 0.0) + margin * mass, np.append(0.0, (upper + margin * mass)[:-1])
    masses = at + beyond
    up, down = node * (1 + LOSS_SLACK), node * (1 - LOSS_SLACK)
    mirrored = masses * np.exp(-down) * (1 + LOSS_SLACK * (1 + down))
    used = masses > 0
    return np.append(-down[used][::-1], up[used]), np.append(mirrored[used][::-1], masses[used])


def _under(pairs: Array, others: Counts, roundings: int, cut: float = 0.0) -> tuple[Array, Array]:
    """Return the law of outcomes with P at least, and Q at most, what rounding and cut tails leave open."""
    high, low, fair = pairs
    much = _slack(roundings)
    mass = high * max(0.0, 1 - much - others.missing - cut)
    against = (low + 2 * others.missing * fair) * (1 + much) + TINY
    seen = mass > TINY
    losses = np.log(mass[seen] / against[seen])
    return losses - LOSS_SLACK * (1 + np.abs(losses)), mass[seen] * (1 - LOSS_SLACK)


def _slack(roundings: int) -> float:
    """Return a bound of the relative error after so many roundings, twice over."""
    return roundings * 2.0**-52
