"""Law: the privacy loss log(P/Q) under P of one mechanism, as pieces and atoms; and its moments on a line.

M(z) = E[e^{zL}; L finite] is everything that the contour engine needs. On the line Re z = c it is
computed relative to M(c): the tilted law W = w·e^{cl} / M(c) gives

    M(c+iu) = M(c) · e^{iu·l₀} · (1 + D(u)),   D(u) = Σ W·(e^{iu(l - l₀)} - 1),

with l₀ the tilted mean. D is small where u is, and so is its rounding error: that is what lets the
number of repetitions enter the error only as a factor. Proofs: docs/proofs/contour.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from discreet.accounting.engines.atoms import NONE, Array, Atoms
from discreet.accounting.engines.decay import Decay
from discreet.accounting.engines.pieces import EPS, Piece
from discreet.accounting.engines.waves import FAINT, SUMMED, Complex, log1p, waves

NOTHING = 1e-40  # a share of a tilted law whose waves are not added up


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """A law on one tilt, as weighted points; what it takes to bound the errors of sums over them.

    Args:
        log_weights: log of the P-weights, shape (n,).
        losses: shape (n,).
        shaky: Relative errors of weight times tilt, in units of EPS, shape (n,).
        moved: Absolute errors of the losses, in units of EPS, shape (n,).
        missing: A bound of the error of ∫ w·|e^{zl} - 1| by quadrature and ends, in units of e^log_scale.
        log_scale: At least 0.
    """

    log_weights: Array
    losses: Array
    shaky: Array
    moved: Array
    missing: float
    log_scale: float


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """log M on a line c + iu: M(c+iu) = exp(real + iu·centre + shape[k]).

    Args:
        real: log M(c).
        real_error: Its error.
        centre: The tilted mean l₀.
        spread: The tilted variance.
        shape: log(1 + D(u)) for each u, shape (n,).
        errors: The error of each exp(shape), relative, shape (n,).
    """

    real: float
    real_error: float
    centre: float
    spread: float
    shape: Complex
    errors: Array


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """M on a line c + iu: M(c+iu) = exp(real + iu·centre)·(1 + wave[k]).

    Args:
        real: log M(c).
        real_error: Its error.
        centre: The tilted mean l₀.
        spread: The tilted variance.
        wave: D(u) for each u, shape (n,).
        errors: The error of each, shape (n,).
    """

    real: float
    real_error: float
    centre: float
    spread: float
    wave: Complex
    errors: Array


@dataclass(frozen=True, eq=False)
class Law:
    """One dominating pair, in one direction.

    Args:
        pieces: The continuous part.
        atoms: The discrete part.
        infinite: P-mass at an infinite loss.
        slack: A relative error of every weight (a mixture whose coin is known to so many digits).
        tail: A bound of the P-mass that the atoms leave out: infinite on the side above, nothing below.
    """

    pieces: tuple[Piece, ...] = ()
    atoms: Atoms = NONE
    infinite: float = 0.0
    slack: float = 0.0
    tail: float = 0.0

    @property
    def windows(self) -> bool:
        """Whether a window could help: some piece has an unbounded loss that a coin makes rare."""
        return any(piece.base == "normal" and piece.form != "add" and piece.rate < 1 for piece in self.pieces)

    @property
    def densest(self) -> float:
        """How close the points lie, where there are so many that they pass for a continuous law; else 0."""
        return self.spacing if self.atoms.losses.size >= 50 else 0.0

    @cached_property
    def offset(self) -> float:
        """The lowest atom: where a lattice should have a point."""
        return float(self.atoms.losses.min()) if self.atoms.losses.size else 0.0

    @cached_property
    def spacing(self) -> float:
        """The spacing of the lattice on which all atoms lie; 0 if there are fewer than two, or no lattice."""
        at = np.unique(self.atoms.losses)
        if at.size < 2:
            return 0.0
        gaps = np.diff(at)
        spacing = float(gaps.min())
        if spacing <= 1e-9 * float(np.abs(at).max()) or np.any(np.abs(gaps / spacing - np.rint(gaps / spacing)) > 1e-9):
            return 0.0
        return float(at[-1] - at[0]) / float(np.rint((at[-1] - at[0]) / spacing))

    def aligned(self, spacing: float) -> bool:
        """Return whether the law is nothing but atoms on a lattice of this spacing."""
        if self.pieces or self.spacing == 0:
            return not self.pieces and self.atoms.losses.size == 1
        times = self.spacing / spacing
        return abs(times - round(times)) < 1e-12 * times

    def windowed(self, lost: float) -> Law:
        """Return the law without a P-mass of at most `lost` at its far end."""
        if not self.windows:
            return self
        share = lost / len(self.pieces)
        return replace(self, pieces=tuple(piece.windowed(share) for piece in self.pieces))

    @property
    def removed(self) -> float:
        """A bound of the P-mass that windows removed, or that no atom stands for."""
        return self.tail + sum(piece.removed() for piece in self.pieces)

    def points(self, *, above: bool) -> Atoms:
        """Return the discrete part for one side of a bracket."""
        return Atoms(self.atoms.losses, self.atoms.masses, self.infinite + (self.tail if above else 0.0))

    def most(self) -> float:
        """Return the largest finite loss there can be, possibly infinite."""
        tops = [float(self.points(above=True).losses.max(initial=-math.inf))]
        for piece in self.pieces:
            if piece.base == "normal":
                tops.append(-math.log1p(-piece.rate) if piece.form == "add" and piece.rate < 1 else math.inf)
            else:
                tops.append(float(piece.loss(np.array([-piece.size, piece.size])).max()))
        return max(tops)

    def largest(self) -> float:
        """Return the size of the largest atom's loss: the discrete part is good to a few ulps of it."""
        return float(np.abs(self.points(above=True).losses).max(initial=0.0))

    def spelled(self) -> Law:
        """Return the law as pieces and atoms, for laws that have a closed form of their own."""
        return self

    # ---------------------------------------------------------------------------------- nodes

    def nodes(self, c: float, u: float, tolerance: float) -> Nodes:
        """Return points that stand for the law on Re z = c, |Im z| ≤ u, each integral to about `tolerance`·M(c)."""
        logs: list[Array] = []
        losses: list[Array] = []
        shaky: list[Array] = []
        moved: list[Array] = []
        spans = [piece.span(c, tolerance) for piece in self.pieces]
        log_scale = max([0.0, *(span.log_size for span in spans)])
        missing = self.removed * math.exp(-log_scale)
        for piece, span in zip(self.pieces, spans, strict=True):
            x, weight = piece.panels(c, u, span.low, span.high, math.log(tolerance) + log_scale)
            log_weight, loss = piece.log_density(x) + np.log(weight), piece.loss(x)
            logs.append(log_weight)
            losses.append(loss)
            moved.append(piece.loss_error(x))
            shaky.append(piece.shaky(x) + 3 * np.abs(log_weight) + 3 * c * np.abs(loss))
            missing += span.left_out * math.exp(span.log_size - log_scale) + 2 * tolerance
        if self.atoms.losses.size or not self.pieces:
            at, mass = (self.atoms.losses, self.atoms.masses) if self.atoms.losses.size else (np.zeros(1), np.ones(1))
            logs.append(np.log(mass))
            losses.append(at)
            moved.append(8 * np.abs(at) + 4)
            shaky.append(8 + 3 * np.abs(np.log(mass)) + 3 * c * np.abs(at))
        together = [np.concatenate(part) for part in (logs, losses, shaky, moved)]
        return Nodes(together[0], together[1], together[2], together[3], missing, log_scale)

    @cached_property
    def _scan(self) -> tuple[Array, Array]:
        """Points that are good enough to look for parameters."""
        logs, losses = [], []
        for piece in self.pieces:
            low, high, _ = piece.extent(1.0, 1e-25)
            if piece.base == "normal" and piece.form == "add" and piece.start is None:
                low -= 8.0
            x = np.linspace(low, high, 180)
            weights = np.full(x.size, x[1] - x[0])
            weights[[0, -1]] /= 2
            logs.append(piece.log_density(x) + np.log(weights))
            losses.append(piece.loss(x))
        if self.atoms.losses.size:
            at, mass = self.atoms.losses, self.atoms.masses
            logs.append(np.log(mass))
            losses.append(at)
        return np.concatenate(logs), np.concatenate(losses)

    def scanned(self, c: Array) -> Array:
        """Return about M(c) of pieces and atoms at each c: to look for parameters."""
        log_weights, losses = self._scan
        found: Array = np.exp(np.minimum(np.multiply.outer(c, losses) + log_weights, 600.0)).sum(axis=1)
        return found

    def cumulants(self, c: Array) -> tuple[Array, Array, Array]:
        """Return about K(c), K'(c) and K''(c) at each c: to look for parameters, not to certify."""
        log_weights, losses = self._scan
        tilt = np.multiply.outer(c, losses)
        near = (np.max(np.abs(tilt), axis=1) < 600) & (np.max(tilt, axis=1) > -1) & (np.max(tilt, axis=1) < 300)
        value, mean, spread = np.empty(c.size), np.empty(c.size), np.empty(c.size)
        if near.any():
            weights = np.exp(log_weights)
            grown = np.expm1(tilt[near]) * weights
            small, squares = grown.sum(axis=1), losses * losses
            total = small + float(weights.sum())
            first = (grown @ losses + float(weights @ losses)) / total
            second = (grown @ squares + float(weights @ squares)) / total
            value[near] = np.where(total < 0.5, np.log(total), np.log1p(np.maximum(small - self.infinite, -0.5)))
            mean[near] = first
            spread[near] = np.maximum(second - first * first, 1e-30 * second)
        if not near.all():
            exponent = log_weights + tilt[~near]
            top = exponent.max(axis=1, keepdims=True)
            tilted = np.exp(exponent - top)
            total = tilted.sum(axis=1)
            first = tilted @ losses / total
            value[~near], mean[~near] = np.log(total) + top[:, 0], first
            spread[~near] = (tilted * (losses - first[:, None]) ** 2).sum(axis=1) / total
        return value, mean, spread

    # ------------------------------------------------------------------------------ on a line

    def log_moment(self, c: float, tolerance: float) -> tuple[float, float]:
        """Return log M(c) and its error."""
        nodes = self.nodes(c, 0.0, tolerance)
        return self._real(nodes, c)

    def _real(self, nodes: Nodes, c: float) -> tuple[float, float]:
        tilt = c * nodes.losses
        top = float(np.max(nodes.log_weights + tilt))
        if top < 30 and float(np.max(np.abs(tilt))) < 600:
            weights = np.exp(nodes.log_weights)
            grown = np.expm1(tilt)
            change = float((weights * grown).sum()) - self.infinite
            if change > -0.5:
                size = weights * np.abs(grown)
                error = EPS * float((size * (nodes.shaky + SUMMED) + c * (size + weights) * nodes.moved).sum())
                error += (
                    nodes.missing * math.exp(nodes.log_scale) + self.slack * float(size.sum()) + 2 * EPS * self.infinite
                )
                log = math.log1p(change)
                return log, error / (1 + change) + 4 * EPS * abs(log)
        return self._direct(nodes, c)

    def _direct(self, nodes: Nodes, c: float) -> tuple[float, float]:
        tilt = c * nodes.losses
        top = float(np.max(nodes.log_weights + tilt))
        grown = np.exp(nodes.log_weights + tilt - top)
        total = float(grown.sum())
        log = math.log(total) + top
        error = EPS * float(grown @ (nodes.shaky + c * nodes.moved)) / total + self.slack
        return log, error + nodes.missing * math.exp(nodes.log_scale - log) + 4 * EPS * abs(log)

    def moments(self, c: float, step: float, count: int, tolerance: float) -> Moments:
        """Return log M on c + i·step·k for k = 0..count."""
        line = self.line(c, step, count, tolerance)
        shape, modulus = log1p(line.wave)
        relative = (line.errors + np.where(modulus <= FAINT, 2 * FAINT, 0.0)) / modulus + 6 * EPS * np.abs(shape)
        return Moments(line.real, line.real_error, line.centre, line.spread, shape, relative)

    def line(self, c: float, step: float, count: int, tolerance: float) -> Line:
        """Return M on c + i·step·k for k = 0..count, relative to M(c)."""
        nodes = self.nodes(c, step * count, tolerance)
        real, real_error = self._real(nodes, c)
        weights = np.exp(nodes.log_weights + c * nodes.losses - real)
        total = float(weights.sum())
        centre = float(weights @ nodes.losses) / total
        away = nodes.losses - centre
        spread = float(weights @ (away * away)) / total
        held = weights > NOTHING  # far less would cost time, as floats that are not normal
        wave = waves(weights[held], away[held], step, count)
        u = step * np.arange(count + 1)
        size = np.abs(away)
        rounding = (
            EPS
            * (
                float(weights @ (size * (nodes.shaky + SUMMED)))
                + float(weights @ nodes.moved)
                + c * float((weights * size) @ nodes.moved)
                + 4 * abs(centre) * total
            )
            + abs(1 - total) * abs(centre)
            + self.slack * float(weights @ size)
        )
        error = np.minimum(u * rounding, 4.0) + np.where(
            u > 0, 2 * nodes.missing * math.exp(nodes.log_scale - real) + 3 * float(weights[~held].sum()), 0.0
        )
        error += real_error * np.abs(wave)
        return Line(real, real_error, centre, spread, wave, error)

    def decay(self, c: float, log_moment: float) -> Decay:
        """Return the envelope of |M(c+iu)/M(c)|, by the layer-cake lemma, if log M(c) is at most `log_moment`."""
        lengths, masses = [], []
        for piece in self.pieces:
            low, high, _ = piece.extent(c, 1e-20)
            edges = np.linspace(low, high, 300)
            loss = piece.loss(edges)
            extent = np.abs(np.diff(loss)) * (1 - 1e-9)
            rare = np.exp(
                np.minimum(piece.log_rare(edges[:-1], edges[1:], c) - log_moment - self.slack - piece.unsure, 600.0)
            )
            peak = int(np.argmax(rare * (extent > 0)))
            level = np.concatenate(
                [np.minimum.accumulate(rare[peak::-1])[::-1], np.minimum.accumulate(rare[peak:])[1:]]
            )
            order = np.argsort(-level, kind="stable")
            length, height = np.cumsum(extent[order]), level[order]
            lengths.append(length)
            masses.append((height - np.append(height[1:], 0.0)) * length)
        if not lengths:
            return Decay(NONE.losses, NONE.masses)
        return Decay(np.concatenate(lengths), np.concatenate(masses))


@dataclass(frozen=True, eq=False)
class GaussianLaw(Law):
    """Continuous Gaussians in a row, as one: M(z) = exp(μ²(z² + z)/2) in closed form."""

    squared: float = 0.0

    def cumulants(self, c: Array) -> tuple[Array, Array, Array]:
        """See `Law.cumulants`; exact."""
        return self.squared * (c * c + c) / 2, self.squared * (2 * c + 1) / 2, np.full_like(c, self.squared)

    def log_moment(self, c: float, tolerance: float) -> tuple[float, float]:  # noqa: ARG002 - exact
        """See `Law.log_moment`."""
        value = self.squared * (c * c + c) / 2
        return value, 8 * EPS * value

    def moments(self, c: float, step: float, count: int, tolerance: float) -> Moments:
        """See `Law.moments`."""
        u = step * np.arange(count + 1)
        real, error = self.log_moment(c, tolerance)
        shape = (-self.squared * u * u / 2).astype(np.complex128)
        return Moments(real, error, self.squared * (2 * c + 1) / 2, self.squared, shape, 8 * EPS * np.abs(shape))

    def decay(self, c: float, log_moment: float) -> Decay:  # noqa: ARG002 - exact
        """See `Law.decay`."""
        return Decay(NONE.losses, NONE.masses, self.squared * (1 - 1e-14))

    def most(self) -> float:
        """See `Law.most`."""
        return math.inf

    def spelled(self) -> Law:
        """See `Law.spelled`."""
        return Law((Piece("normal", math.sqrt(self.squared), 1.0, "remove"),), slack=1e-15)


@dataclass(frozen=True, eq=False)
class TableLaw(Law):
    """A law that is known only by two discrete ones, one that dominates it and one that it dominates.

    Args:
        table: The one above.
        beneath: The one below.
        distance: Of neighbouring points, where the tables stand for a continuous law; else 0.
    """

    table: Atoms = NONE
    beneath: Atoms = NONE
    distance: float = 0.0

    @property
    def densest(self) -> float:
        """See `Law.densest`."""
        return self.distance

    @property
    def removed(self) -> float:
        """See `Law.removed`: what the table above counts as infinite, which the law itself may not be."""
        return self.table.infinite

    def points(self, *, above: bool) -> Atoms:
        """See `Law.points`."""
        return self.table if above else self.beneath

    @cached_property
    def _scan(self) -> tuple[Array, Array]:
        starts = np.arange(0, self.table.losses.size, -(-self.table.losses.size // 2000))
        masses = np.add.reduceat(self.table.masses, starts)
        return np.log(np.maximum(masses, 1e-300)), self.table.losses[starts]

    def moments(self, c: float, step: float, count: int, tolerance: float) -> Moments:  # noqa: ARG002 - refused
        """Refuse: two laws have no one transform."""
        raise ArithmeticError("a law known by two tables has no contour")

    def decay(self, c: float, log_moment: float) -> Decay:  # noqa: ARG002 - atoms do not decay
        """See `Law.decay`."""
        return Decay(NONE.losses, NONE.masses)

    def log_moment(self, c: float, tolerance: float) -> tuple[float, float]:  # noqa: ARG002 - a sum
        """Return log M(c) of the law above, and its error."""
        exponent = np.log(np.maximum(self.table.masses, 1e-320)) + c * self.table.losses
        top = float(exponent.max())
        grown = np.exp(exponent - top)
        total = float(grown.sum())
        error = EPS * float(grown @ (8 + 3 * np.abs(exponent) + 3 * c * np.abs(self.table.losses))) / total
        return math.log(total) + top, error + 1e-14


def gathered(law: Law, step: float, offset: float, tolerance: float) -> tuple[Atoms, Atoms]:
    """Return the law as atoms for a lattice, above and below.

    The P-mass at far ends goes to an infinite loss above, and is dropped below.
    """
    found = [piece.cells(step, offset, tolerance) for piece in law.spelled().pieces]
    slack = law.slack + max([0.0, *(piece.unsure for piece in law.pieces)]) + 4e-13
    sides = []
    for above in (True, False):
        points = law.points(above=above)
        losses = np.concatenate([points.losses, *(part[0] for part in found)])
        masses = np.concatenate([points.masses, *(part[1] for part in found)]) * (1 + slack if above else 1 - slack)
        infinite = points.infinite + (sum(part[2] for part in found) if above else 0.0)
        held = masses > 0
        sides.append(Atoms(losses[held], masses[held], min(1.0, infinite * (1 + slack if above else 1 - slack))))
    return sides[0], sides[1]
