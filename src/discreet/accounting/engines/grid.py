"""Grid: δ(ε) of a composition from lattice laws that bracket each law, composed by one tilted FFT.

Where the contour's integrand decays too slowly (few repetitions, losses on a lattice), every law is
replaced by one on a lattice that dominates it, and by one that it dominates, in stop-loss order:
E_Q[(X - α)₊] for X = dP/dQ and every α, an order that products of independent factors keep. Both
are of second order in the step. The FFT runs on the tilted laws, so that its error is relative.
Proofs: docs/proofs/grid.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from discreet.accounting.conversions import log_kappa
from discreet.accounting.engines.atoms import Array, Atoms
from discreet.accounting.engines.contour import Composition, Terms
from discreet.accounting.engines.law import Law, gathered
from discreet.accounting.engines.pieces import EPS

LARGEST = 2**21  # points of one transform


class TooFineError(ArithmeticError):
    """A step makes the transform too large.

    Args:
        step: The step.
    """

    def __init__(self, step: float = math.inf) -> None:
        super().__init__("the lattice is too fine")
        self.step = step


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A law on the points offset + step·(first + j).

    Args:
        offset: At most a step.
        first: Index of the first point.
        masses: P-masses, shape (n,).
        infinite: P-mass at an infinite loss.
        slip: How far snapping may have moved an atom that lies on the lattice but for rounding.
    """

    offset: float
    first: int
    masses: Array
    infinite: float
    slip: float


def _placed(atoms: Atoms, step: float, offset: float) -> tuple[Array, Array, float]:
    """Return the index below each atom, how far above it the atom lies, and the slip."""
    place = (atoms.losses - offset) / step
    near = 64 * EPS * (np.abs(place) + abs(offset / step) + 1)
    nearest = np.rint(place)
    snapped = np.abs(place - nearest) <= near
    index = np.where(snapped, nearest, np.floor(place))
    gap = np.where(snapped, 0.0, np.clip(atoms.losses - offset - index * step, 0.0, step))
    return index.astype(np.int64), gap, float(near.max()) * step + 1e-13


def dominating(atoms: Atoms, step: float, offset: float) -> Lattice:
    """Return a lattice law above: each atom is split to its neighbours, P- and Q-mass kept."""
    index, gap, slip = _placed(atoms, step, offset)
    up = atoms.masses * np.clip(np.expm1(-gap) / math.expm1(-step), 0.0, 1.0)
    first = int(index.min())
    size = int(index.max()) - first + 2
    masses = np.bincount(index - first, atoms.masses - up, size) + np.bincount(index - first + 1, up, size)
    return Lattice(offset, first, masses * (1 + 1e-13), atoms.infinite, slip)


def dominated(atoms: Atoms, step: float, offset: float) -> Lattice:
    """Return a lattice law below: through the tangents of E_Q[(X - α)₊] at the middles of the cells.

    Cells whose mass lies too far from its neighbours for that are put on the point beneath.
    """
    index, gap, slip = _placed(atoms, step, offset)
    upper = gap > step / 2
    index = index + upper
    gap = np.where(upper, gap - step, gap)
    first = int(index.min()) - 3
    size = int(index.max()) - first + 2
    exact = np.bincount(index - first, np.where(gap == 0, atoms.masses, 0.0), size)
    mass = np.bincount(index - first, np.where(gap == 0, 0.0, atoms.masses), size)
    gain = np.bincount(index - first, -atoms.masses * np.expm1(-gap), size)
    while True:
        rise, fall = np.maximum(gain, 0.0), np.maximum(-gain, 0.0)
        next_rise, last_fall = np.append(rise[1:], 0.0), np.append(0.0, fall[:-1])
        masses = mass - gain + ((fall - next_rise) * math.exp(-step) + rise - last_fall) / -math.expm1(-step)
        masses += exact
        bad = np.flatnonzero(masses < -1e-13 * mass)
        above = bad[(bad + 1 < size) & (next_rise[bad] > 0)] + 1
        below = bad[(bad > 0) & (last_fall[bad] > 0)] - 1
        if above.size + below.size == 0:
            break
        below = below[np.diff(below, prepend=-2) > 1]  # of neighbours one at a time: they move into each other
        gain[above] = 0.0  # on the point beneath their mean
        mass[below - 1] += mass[below]  # one cell with the next
        gain[below - 1] += mass[below] - math.exp(-step) * (mass[below] - gain[below])
        mass[below] = gain[below] = 0.0
    if float(masses.sum()) > float(atoms.masses.sum()) * (1 + 1e-11):
        raise AssertionError("a law below must not have more mass than the law")
    return Lattice(offset, first, np.maximum(masses, 0.0) * (1 - 4e-13), atoms.infinite, slip)


@dataclass(frozen=True, slots=True, eq=False)
class Composed:
    """A composition of lattice laws, tilted by c: P-mass at point t is y·e^{scale - ct}."""

    c: float
    points: Array
    tilted: Array
    scale: float
    scale_error: float
    rounding: float
    outside: float
    infinite: float
    shift: float
    above: bool

    def delta(self, epsilon: float) -> float:
        """Return the bound of δ(ε) that this side gives."""
        epsilon = epsilon - self.shift if self.above else epsilon + self.shift
        unit = float(self.points[1] - self.points[0])
        first = max(0, math.floor((epsilon - float(self.points[0])) / unit))
        last = first + 2 + math.ceil(min(48.0 / (self.c * unit), 1e9))  # beyond, all points weigh less than e^-48
        gap = np.maximum(self.points[first:last] - epsilon, 0.0)
        weight = np.exp(-self.c * gap) * -np.expm1(-gap)
        total = float(weight @ self.tilted[first:last])
        norm = math.sqrt(float(weight @ weight))
        exponent = self.scale - self.c * epsilon
        unsure = 8 * EPS * (abs(self.scale) + self.c * abs(epsilon) + 10)
        if exponent > 690 or unsure > 0.5 or self.scale_error > 0.5:
            return 1.0 if self.above else 0.0
        scale = math.exp(exponent)
        wrong = math.expm1(unsure)
        # What lies outside of the window, and what the masses' own errors move, weighs at most κ(c) each.
        error = (
            math.exp(-48.0)
            + self.rounding * norm
            + math.exp(log_kappa(self.c)) * (self.outside + math.expm1(self.scale_error))
        )
        if self.above:
            return min(1.0, scale * (total + error) * (1 + wrong) + self.infinite)
        return max(0.0, scale * max(0.0, total - error) * (1 - wrong) + self.infinite)


@dataclass(frozen=True, slots=True, eq=False)
class _Tilted:
    """A lattice law times e^{ct}, as a probability."""

    lattice: Lattice
    points: Array
    masses: Array
    count: int
    log_total: float
    wrong: float
    excess: float

    def growth(self, s: float, centre: float) -> float:
        """Return log E[e^{s(t - centre)}], rounded up."""
        grown = s * (self.points - centre) + np.log(np.maximum(self.masses, 1e-320))
        top = float(grown.max())
        return (
            math.log(float(np.exp(grown - top).sum()))
            + top
            + 1e-12 * (1 + abs(top) + abs(s) * float(np.abs(self.points).max()))
        )


def _tilt(lattice: Lattice, count: int, step: float, c: float) -> _Tilted:
    points = lattice.offset + step * (lattice.first + np.arange(lattice.masses.size))
    held = lattice.masses > 0
    points, masses = points[held], lattice.masses[held]
    exponent = np.log(masses) + c * points
    top = float(exponent.max())
    tilted = np.exp(exponent - top)
    total = float(tilted.sum())
    tilted /= total
    wrong = EPS * float(tilted @ (10 + 3 * np.abs(exponent) + 3 * c * np.abs(points)))
    return _Tilted(
        lattice, points, tilted, count, math.log(total) + top, wrong, float(masses.sum()) + lattice.infinite - 1
    )


def compose(
    parts: list[tuple[Lattice, int]], step: float, c: float, epsilon: float, tolerance: float, *, above: bool
) -> Composed:
    """Compose lattice laws `count` times each, tilted by c, in a window around ε and the tilted mean."""
    laws = [_tilt(lattice, count, step, c) for lattice, count in parts]
    offset = sum(law.count * law.lattice.offset for law in laws)
    low, high, outside = _window(laws, epsilon, tolerance)
    size = 1 << max(4, math.ceil(math.log2((high - low) / step + 2)))
    if size > LARGEST:
        raise TooFineError(step)
    start = math.floor((low - offset) / step)
    spectrum = np.ones(size // 2 + 1, dtype=np.complex128)
    entered = 0.0
    for law in laws:
        index = np.rint((law.points - law.lattice.offset) / step).astype(np.int64)
        folded = np.bincount(index % size, law.masses, size)
        spectrum *= np.fft.rfft(folded) ** law.count
        entered += law.count * math.sqrt(float(folded @ folded))
    result = np.roll(np.fft.irfft(spectrum, size), -(start % size))
    points = offset + step * (start + np.arange(size))
    most = max(abs(float(points[0])), abs(float(points[-1])))
    left = math.sqrt(float(result @ result))
    repeats = sum(law.count for law in laws)
    rounding = EPS * (12 * (math.log2(size) + 4) * (entered + left) + 16 * repeats * left)
    infinite = -math.expm1(sum(law.count * math.log1p(-min(law.lattice.infinite, 1 - 1e-16)) for law in laws))
    if above:  # laws above may have more than all mass
        infinite *= math.exp(sum(law.count * max(0.0, law.excess) for law in laws))
    return Composed(
        c=c,
        points=points,
        tilted=result,
        scale=sum(law.count * law.log_total for law in laws),
        scale_error=sum(law.count * law.wrong for law in laws),
        rounding=rounding,
        outside=outside,
        infinite=infinite * (1 + 1e-12 if above else 1 - 1e-12),
        shift=sum(law.count * law.lattice.slip for law in laws) + 4 * EPS * most,
        above=above,
    )


def _window(laws: list[_Tilted], epsilon: float, tolerance: float) -> tuple[float, float, float]:
    """Return a window that holds ε and all but `tolerance` of the tilted mass on each side, and what it does not hold."""
    need, repeats = -math.log(tolerance), sum(law.count for law in laws)
    mean = sum(law.count * float(law.masses @ law.points) for law in laws)
    centre = mean / repeats
    variance = sum(law.count * float(law.masses @ (law.points - law.masses @ law.points) ** 2) for law in laws)
    coarse = [_coarse(law) for law in laws]
    rates = np.geomspace(1e-2, 60.0, 40) / (math.sqrt(variance) + 1e-300)
    ends, outside = [], 0.0
    for side in (-1.0, 1.0):
        extreme = sum(law.count * float(law.points[0 if side < 0 else -1]) for law in laws)
        logs = np.zeros(rates.size)
        for law, (points, masses) in zip(laws, coarse, strict=True):
            grown = side * np.outer(rates, points - centre) + np.log(np.maximum(masses, 1e-320))
            top = grown.max(axis=1)
            logs += law.count * (np.log(np.exp(grown - top[:, None]).sum(axis=1)) + top)
        rate = float(rates[int(np.argmin((logs + need) / rates))])
        log = sum(law.count * law.growth(side * rate, centre) for law in laws)
        reach = mean + side * (log + need) / rate
        inside = (extreme - reach) * side <= 0
        ends.append(extreme if inside else reach)
        outside += 0.0 if inside else tolerance * (1 + 1e-9)
    return min(ends[0], epsilon), max(ends[1], epsilon), outside


def _coarse(law: _Tilted, most: int = 1024) -> tuple[Array, Array]:
    """Return at most so many points that stand for the law where a search need not be exact."""
    if law.points.size <= most:
        return law.points, law.masses
    starts = np.arange(0, law.points.size, -(-law.points.size // most))
    return law.points[starts], np.add.reduceat(law.masses, starts)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Both sides of a composition on one lattice."""

    near: float
    step: float
    above: Composed
    below: Composed

    @property
    def c(self) -> float:
        """The tilt."""
        return self.above.c

    def delta(self, epsilon: float) -> Terms:
        """Return bounds of δ(ε)."""
        upper, lower = self.above.delta(epsilon), self.below.delta(epsilon)
        rounding = 0.0
        for side in (self.above, self.below):
            scale = math.exp(min(690.0, side.scale - side.c * epsilon))
            rounding += scale * (side.rounding / math.sqrt(side.c * (side.points[1] - side.points[0])) + side.outside)
        if lower > upper * (1 + 1e-9) + 1e-300:
            raise AssertionError("the two sides of a bracket have crossed")
        return Terms(min(lower, upper), upper, {"lattice": max(0.0, upper - lower - rounding), "rounding": rounding})


def _reach(laws: list[Law], tolerance: float) -> float:
    """Return how far the losses of one law spread: no lattice of it should have more points than can be handled."""
    spreads = []
    for law in laws:
        ends = [law.points(above=True).losses] if law.points(above=True).losses.size else []
        for piece in law.spelled().pieces:
            low, high, _ = piece.extent(0.0, tolerance)
            ends.append(piece.loss(np.array([low, high])))
        losses = np.concatenate(ends)
        spreads.append(float(losses.max() - losses.min()))
    return max(spreads)


def grid(
    composition: Composition,
    *,
    epsilon: float | None = None,
    delta: float | None = None,
    relative: float,
    step: float | None = None,
) -> Grid:
    """Return the composition on a lattice, tilted for what is asked.

    Args:
        composition: What is composed.
        epsilon: Where δ is asked; or
        delta: where ε is asked.
        relative: The relative accuracy of ε that is wanted: the ends of the laws are cut accordingly.
        step: Of the lattice; a coarse one if not given. Where atoms alone lie on one lattice, theirs is taken.

    Raises:
        TooFineError: that lattice would be too large.
    """
    repeats = sum(count for _, count in composition.parts)
    part = None if delta is None else delta - composition.infinite
    if part is not None and part <= 0:
        raise TooFineError
    c, at, log = composition.saddle(epsilon=epsilon, log_delta=None if part is None else math.log(part))
    at = at if epsilon is None else epsilon
    surprise = max(1.0, -log if part is None else -math.log(part))
    tolerance = max(relative * min(1.0, c * at + 1e-3) * math.exp(-surprise) / (100 * repeats), 1e-280)
    laws = [law for law, _ in composition.parts]
    spacing = next((law.spacing for law in laws if law.spacing > 0), 0.0)
    if spacing > 0 and all(law.aligned(spacing) for law in laws):
        return _on(composition, spacing, (c, at), tolerance, relative)
    wanted = math.sqrt(relative * max(at, 1e-3 / c) / (repeats * (1 + c)))
    least = max([_reach(laws, tolerance) / 2**19, *(2 * law.densest for law in laws)])
    step = max(least, step or max(wanted, _reach(laws, tolerance) / 2**14))
    even = spacing / math.ceil(spacing / step) if spacing > 0 else step
    return _on(composition, even, (c, at), tolerance, relative)


def _gathered(law: Law, step: float, tolerance: float) -> tuple[tuple[Atoms, Atoms], float]:
    """Return the law's atoms above and below, and the offset of its lattice.

    Where a law has most of its mass inside one cell, a point is laid on that mass's own loss: else it would
    have to go to a neighbour, an error of first order.
    """
    offset = law.offset
    both = gathered(law, step, offset, tolerance)
    if law.spacing > 0 or not law.pieces:
        return both, offset
    for _ in range(2):
        index = np.rint((both[1].losses - offset) / step).astype(np.int64)
        first = int(index.min())
        mass = np.bincount(index - first, both[1].masses)
        top = int(np.argmax(mass))
        if float(mass[top]) < 0.1:
            break
        held = index - first == top
        inverse = float(both[1].masses[held] @ np.exp(offset + step * (top + first) - both[1].losses[held]))
        offset += step * (top + first) - math.log(inverse / float(mass[top]))
        both = gathered(law, step, offset, tolerance)
    return both, offset


def _on(composition: Composition, step: float, near: tuple[float, float], tolerance: float, relative: float) -> Grid:
    """Return the composition on lattices of this step, tilted for what is asked near (c, ε)."""
    c, at = near
    gathers = [(*_gathered(law, step, tolerance), count) for law, count in composition.parts]
    sides = []
    for above in (True, False):
        parts = [
            ((dominating(both[0], step, offset) if above else dominated(both[1], step, offset)), count)
            for both, offset, count in gathers
        ]
        sides.append(compose(parts, step, c, at, 1e-3 * relative, above=above))
    return Grid(at, step, *sides)
