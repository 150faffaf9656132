"""Random allocation (balls in bins) with Gaussian noise: its privacy-loss law, enclosed from both sides.

Each unit takes part in exactly one of t steps, chosen uniformly. The dominating pair is Q = N(0, I_t) against
P = (1/t) Σ N(μ e_i, I_t), whose likelihood ratio under Q is X = S/t, where S is a sum of t independent log-normals
Y = exp(μx - μ²/2) of mean 1. This module encloses the law of S in the convex order (docs/proofs/random_allocation.md):

- the grid is dyadic: linear with spacing 2^e as long as values stay below 2n·2^e, then twice as coarse. So atoms are
  *relatively* fine at every scale, and neither a tiny nor a huge value costs more than its octave;
- *above*, the mass of a cell goes to its two ends; *below*, a cell carries its mass and its mean. Both survive sums:
  the first because sums of grid points are grid points, the second because conditional means add up;
- sums are taken by binary powers, level by level, each with a fast Fourier transform, once plain and once tilted;
  every mass has a bound of its own rounding error, which is added above and subtracted below.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from discreet.accounting.engines.atoms import Array, Atoms
from discreet.accounting.engines.blocks import MOST_CELLS, UNIT, Block, Side, coarser, convolved, joined, rounded
from discreet.errors import InvalidInput, UnsupportedEvent

DEFAULT_STEP = 2.0**-12
MOST_OCTAVES = 256
MOST_ATOMS = 1 << 20
HARMLESS = 1e-11  # mass that may be cut where it has almost no loss
# Nodes and weights of the four-point Gauss-Legendre rule on [0, 1].
NODES = tuple(0.5 + x / 2 for x in (-0.8611363115940526, -0.33998104358485626, 0.33998104358485626, 0.8611363115940526))
WEIGHTS = (0.17392742256872692, 0.32607257743127307, 0.32607257743127307, 0.17392742256872692)


@dataclass(slots=True)
class Law:
    """The law of a sum of `count` copies of Y: blocks by exponent of their spacing, and what became infinite.

    `mass` bounds the probability under Q of what was counted as infinite, `moment` the part of E[S] that it carries.
    """

    count: int
    blocks: dict[int, Block] = field(default_factory=dict)
    mass: float = 0.0
    moment: float = 0.0

    @property
    def cells(self) -> int:
        """How many cells the law has."""
        return sum(block.end - block.start for block in self.blocks.values())

    def totals(self) -> tuple[float, float]:
        """Return upper bounds of mass and moment of the finite part (of a law above)."""
        mass = sum(float(b.rows[0].sum()) for b in self.blocks.values())
        moment = sum(float((b.rows[0] * _positions(e, b)).sum()) for e, b in self.blocks.items())
        return mass * (1 + 1e-9), moment * (1 + 1e-9)


@dataclass(frozen=True, slots=True)
class Grid:
    """How fine a law is kept: spacing at most grain/2 of s, and at most 2·grain deviations where most mass lies."""

    mu: float
    grain: float

    def octave(self, count: int) -> int:
        """Return n, a power of two: near its mean, a sum has n cells from n·2^e to 2n·2^e."""
        deviation = math.sqrt(math.expm1(min(self.mu**2, 700.0)) / count)  # of S / count
        return 1 << math.ceil(-math.log2(min(self.grain, 2 * self.grain * deviation)))

    def stop(self, e: int, count: int) -> int:
        """Return the first cell that a sum of `count` copies does not keep at spacing 2^e."""
        near, far = (math.ldexp(2 * n, e) for n in (self.octave(count), self.octave(1)))
        # Far above the mean there is less mass, and it needs no more than the spacing of a single Y.
        bulk = 2.0 ** math.ceil(math.log2(2 * count))
        return int(math.ldexp(min(near, max(bulk, far)), -e))


def allocation(mu: float, steps: int, *, adding: bool, lost: float, step: float | None = None) -> tuple[Atoms, Atoms]:
    """Enclose one epoch of random allocation between two discrete privacy-loss laws.

    Args:
        mu: Sensitivity over standard deviation of the Gaussian noise.
        steps: Number t of steps among which the unit is allocated.
        adding: Whether the unit is added (loss -log X under Q) or removed (loss log X under P).
        lost: Bound of the P-mass that is cut off: infinitely lossy above, left out below; from 1e-40 to 1. Below,
            up to 1e-11 more is left out where the loss is less than that of the mean.
        step: Largest distance between neighbouring losses; the gap between the laws shrinks with its square. The
            default serves a relative accuracy of 1e-6 or better.

    Returns:
        The law above and the law below, losses strictly increasing. P-masses above may sum to slightly more
        than 1, those below to less: neither may be normalised.

    Raises:
        InvalidInput: A parameter is not a number in its range.
        UnsupportedEvent: The law would need more cells than we are willing to compute.

    Guarantee: For every α ≥ 0, Σ masses·(1 - α e^(-loss))₊ + infinite is at least H_α(P‖Q) above and at most H_α(P‖Q)
        below; and the same after composing with any other pairs. The exact pair dominates adaptive DP-SGD steps
        under add_remove (that direction) and zero_out.
    Evidence: proven, docs/proofs/random_allocation.md.
    Assumes: log, exp and erfc of the platform err by less than 4 units in the last place; numpy's transform of a
        power-of-two length has the error of a Cooley-Tukey algorithm with accurate twiddle factors.
    Not protected: replace_one; units that take part in more than one step; noise that is not Gaussian.
    References: Chua et al. 2024 (arXiv 2412.16802); Feldman, Shenfeld 2025 (arXiv 2502.08202).
    """
    _check(mu, steps, lost, step)
    grid = Grid(mu, DEFAULT_STEP if step is None else step)
    above, below = (Side(adding=adding, above=above) for above in (True, False))
    return _atoms(_power(steps, above, lost, grid), above), _atoms(_power(steps, below, lost, grid), below)


def _check(mu: float, steps: int, lost: float, step: float | None) -> None:
    if not (math.isfinite(mu) and mu > 0):
        raise InvalidInput(f"mu must be a positive number, not {mu}.")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InvalidInput(f"steps must be a whole number of at least 1, not {steps}.")
    if not 1e-40 <= lost < 1:
        raise InvalidInput(f"lost must lie between 1e-40 and 1, not {lost}.")
    if step is not None and not 2.0**-20 <= step <= 2.0**-6:
        raise InvalidInput(f"step must lie between 2^-20 and 2^-6, not {step}.")


def _too_large(mu: float, steps: int, why: str) -> UnsupportedEvent:
    return UnsupportedEvent(
        f"random allocation over {steps} steps at noise multiplier {1 / mu:.4g} cannot be bracketed: {why}.",
        remedy="Use more noise, a larger delta or a coarser step, or account for it by Poisson sampling.",
    )


# --------------------------------------------------------------------------------------- the law of one Y


def _normal_tail(x: float) -> float:
    """Return an upper bound of P(N(0, 1) > x)."""
    return 0.5 * math.erfc(x / math.sqrt(2)) * (1 + 1e-11) + 1e-300


def _quantile(tail: Callable[[float], float], target: float) -> float:
    """Return x with tail(x) ≤ target, for a decreasing tail; infinite if there is none to be found."""
    low, high = -40.0, 80.0
    if tail(high) > target:
        return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if tail(middle) <= target else (middle, high)
    return high


def _single(steps: int, side: Side, lost: float, grid: Grid) -> Law:
    """Return the law of one Y: cells between two cuts, beyond which mass is moved, infinite or left out."""
    mu, n = grid.mu, grid.octave(1)
    bits = n.bit_length() - 1
    low = -_quantile(_normal_tail, lost / (8 * steps))
    high = _quantile(lambda x: _normal_tail(x - mu) + (steps - 1) * _normal_tail(x), lost / 8)
    bottom, top = ((mu * x - mu * mu / 2) / math.log(2) for x in (low, high))
    if top - bottom > MOST_OCTAVES or n * (top - bottom) > MOST_CELLS:
        raise _too_large(mu, steps, "its losses spread over too many orders of magnitude")
    first, last = math.floor(bottom), math.floor(top)
    law = Law(1)
    for octave in range(first, last + 1):
        start = max(n, math.floor(n * 2.0 ** (bottom - first)) - 1) if octave == first else n
        stop = min(2 * n, math.ceil(n * 2.0 ** (top - last)) + 1) if octave == last else 2 * n
        law.blocks[octave - bits] = _discretised(mu, octave - bits, start, stop, side)
    if side.above:
        _cut(law, mu, math.ldexp(law.blocks[first - bits].start, first - bits), math.ldexp(stop, last - bits), side)
    return law


def _cut(law: Law, mu: float, bottom: float, top: float, side: Side) -> None:
    """Give a law above what lies beyond its cells: to infinity on the lossy end, inward on the other."""
    low, high = (math.log(y) / mu + mu / 2 for y in (bottom, top))
    slack = 1e-12 * (1 + mu)  # of the logarithms
    under, over = _normal_tail(-low - slack), _normal_tail(high - slack)
    if side.adding:
        law.mass = under
        law.blocks[max(law.blocks)].rows[0, -1] += over
    else:
        law.mass, law.moment = over, _normal_tail(high - mu - slack)
        law.blocks[min(law.blocks)].rows[0, 0] += under


def _discretised(mu: float, e: int, start: int, stop: int, side: Side) -> Block:
    """Return the masses of the cells [k, k+1]·2^e for start ≤ k < stop, by quadrature of the density."""
    k = np.arange(start, stop, dtype=np.float64)
    to_low, to_high, x = np.zeros_like(k), np.zeros_like(k), k
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        x = np.log(np.ldexp(k + node, e)) / mu + mu / 2
        density = weight / (mu * math.sqrt(2 * math.pi)) * np.exp(-x * x / 2) / (k + node)
        to_low += (1 - node) * density
        to_high += node * density
    # Quadrature (see the proof note): the density is analytic, and at most 2e^1.5 times as large, within a circle
    # around the cell's centre whose radius is `omega` of the distance from 0.
    far = np.abs(x) + 1
    omega = min(0.5, mu / (2 * float(far.max()) + 2))
    ratio = 1 / (2 * start * omega)
    if ratio > 1 / 16:
        raise _too_large(mu, 1, "the step is too coarse for its density")
    # Rounding: x errs by at most u/μ + 7u(|x| + μ), and moves the logarithm of the density |x| times as much.
    error = UNIT * far * (10 * far + 10 * mu + 2 / mu + 64) + 100 * ratio**7
    if side.above:
        low, high = (rounded(part[None, :], side, error) for part in (to_low, to_high))
        return Block(start, np.pad(low, ((0, 0), (0, 1))) + np.pad(high, ((0, 0), (1, 0))))
    return Block(start, rounded(np.stack([to_low + to_high, to_high]), side, error))


# ------------------------------------------------------------------------------------------ sums of laws


def _power(steps: int, side: Side, lost: float, grid: Grid) -> Law:
    """Return the law of a sum of `steps` copies, by squaring and multiplying."""
    single = _single(steps, side, lost, grid)
    law = single
    bits = bin(steps)[3:]
    sums = max(1, len(bits) + bits.count("1"))
    # On the harmless end mass only moves, or is dropped, where it has almost no loss: rounding may be cut off there.
    lossy, harmless = lost / (8 * sums), max(lost / 8, HARMLESS) / sums
    for bit in bits:
        law = _sum(law, law, side, grid)
        _trim(law, steps, side, lossy, harmless)
        if bit == "1":
            law = _sum(law, single, side, grid)
            _trim(law, steps, side, lossy, harmless)
        if law.cells > MOST_CELLS:
            raise _too_large(grid.mu, steps, "the grid of its sums is too large")
    while law.cells > MOST_ATOMS:
        grid = Grid(grid.mu, 2 * grid.grain)
        law.blocks = _levelled(law.blocks, law.count, side, grid)
    return law


def _sum(a: Law, b: Law, side: Side, grid: Grid) -> Law:
    """Return the law of the sum of two independent sums."""
    found: dict[int, Block] = {}
    fine_a: Block | None = None  # what lies on finer levels, brought to this one
    fine_b: Block | None = None
    for e in range(min(*a.blocks, *b.blocks), max(*a.blocks, *b.blocks) + 1):
        at_a, at_b = a.blocks.get(e), b.blocks.get(e)
        if a is b:
            terms = [(at_a, joined(at_a, fine_a and Block(fine_a.start, 2 * fine_a.rows), side))]
        else:
            terms = [(at_a, joined(at_b, fine_b, side)), (fine_a, at_b)]
        for x, y in terms:
            if x and y:
                product = convolved(x, y, side)
                found[e] = joined(found.get(e), product, side) or product
        fine_a = coarser(joined(fine_a, at_a, side), side)
        fine_b = fine_a if a is b else coarser(joined(fine_b, at_b, side), side)
    count = a.count + b.count
    law = Law(count, _levelled(found, count, side, grid))
    if side.above:
        mass, moment = a.totals()
        law.mass = (a.mass + mass * b.mass) * (1 + 1e-9)
        law.moment = (a.moment + a.mass * b.count + mass * b.moment + moment * b.mass) * (1 + 1e-9)
    return law


def _levelled(blocks: dict[int, Block], count: int, side: Side, grid: Grid) -> dict[int, Block]:
    """Bring every value to the level on which the grid keeps it, if that is a coarser one."""
    found: dict[int, Block] = {}
    carried: Block | None = None
    e, last = min(blocks), max(blocks)
    while carried or e <= last:
        block = joined(blocks.get(e), carried, side)
        carried = None
        if block:
            keep = max(0, grid.stop(e, count) - block.start)
            if keep < block.end - block.start:
                carried = coarser(Block(block.start + keep, block.rows[:, keep:]), side)
            if keep > 0:
                found[e] = Block(block.start, block.rows[:, :keep])
        e += 1
    return found


def _positions(e: int, block: Block) -> Array:
    return np.ldexp(np.arange(block.start, block.end, dtype=np.float64), e)


def _negligible(weights: Array, budget: float) -> int:
    """Return how many of the first entries together weigh no more than the budget."""
    return int(np.searchsorted(np.cumsum(weights), budget, side="right"))


def _trim(law: Law, steps: int, side: Side, lossy: float, harmless: float) -> None:
    """Take negligible mass off both ends of every block: out of a law below; above to infinity, or inward."""
    lossy, harmless = lossy / len(law.blocks), harmless / len(law.blocks)
    for e, block in list(law.blocks.items()):
        # What the final law can lose: each of at most steps/count copies of this sum may be cut.
        s = _positions(e, block)
        weights = block.rows[0] * ((0.0 if side.adding else s / steps) + 1) * (steps / law.count)
        low, high = (_negligible(w, lossy) for w in (weights, weights[::-1]))
        below = int(np.searchsorted(s, law.count))  # only beyond the mean an end is harmless
        if side.adding:
            high = max(high, min(len(s) - below, _negligible(weights[::-1], harmless)))
        else:
            low = max(low, min(below, _negligible(weights, harmless)))
        if (low if side.adding else high) == len(s):  # all of it may go
            low, high = (len(s), 0) if side.adding else (0, len(s))
        elif low + high >= len(s):
            low, high = (low, len(s) - low - 1) if side.adding else (len(s) - high - 1, high)
        kept = block.rows[:, low : len(s) - high].copy()
        if side.above:
            inward, outward = (slice(0, low), slice(len(s) - high, len(s)))[:: -1 if side.adding else 1]
            mass, at = block.rows[0, outward], s[outward]
            law.mass += float(mass.sum()) * (1 + 1e-9)
            law.moment += float((mass * at).sum()) * (1 + 1e-9)
            if kept.size:
                edge = -1 if side.adding else 0
                moved = float(block.rows[0, inward].sum()) * (1 + 1e-9)
                kept[0, edge] = (kept[0, edge] + moved) * (1 + 4 * UNIT)
        if kept.size:
            law.blocks[e] = Block(block.start + low, kept)
        else:
            del law.blocks[e]


# ------------------------------------------------------------------------------------------- from S to losses


def _atoms(law: Law, side: Side) -> Atoms:
    """Return the law of the loss: everything rounded up above, down below."""
    values, masses = [], []
    for e, block in sorted(law.blocks.items()):
        held = block.rows[0] > 0
        mass = block.rows[0, held]
        offset = 0.0 if side.above else block.rows[1, held] / mass
        values.append(np.ldexp(np.arange(block.start, block.end)[held] + offset, e))
        masses.append(mass)
    outward = 1 if side.above else -1
    ratio, mass = np.concatenate(values) / law.count, np.concatenate(masses)
    loss = -np.log(ratio) if side.adding else np.log(ratio)
    loss += outward * UNIT * (16 * np.abs(loss) + 16)
    mass *= (1.0 if side.adding else ratio) * (1 + outward * 64 * UNIT)
    order = np.argsort(loss, kind="stable")
    loss, mass = loss[order], mass[order]
    firsts = np.flatnonzero(np.append(True, np.diff(loss) > 0))
    mass = np.add.reduceat(mass, firsts) * (1 + outward * UNIT * (len(order) - len(firsts) + 2))
    infinite = law.mass if side.adding else law.moment / law.count * (1 + 1e-9)
    return Atoms(loss[firsts], mass, infinite if side.above else 0.0)
