"""Peel: the contour of what has a rare large loss in it, for compositions in which most runs reveal next to nothing.

Every law is cut by the size of its losses, at one or more places and without edges, into a bulk of small losses and
parts of larger ones. What no such part enters, ΠB^T, reaches ε with a chance that Chernoff's bound shows to be
negligible. What reaches one part and none beyond is a difference of two products, ΠM_k^T - ΠM_{k-1}^T, whose transform
falls as fast as that part's does, while that of the whole does not fall: with a chance that is not small nothing
happens, and all of it lies next to a loss of zero. Each difference has a line and a scale of its own.
Proofs: docs/proofs/peel.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from discreet.accounting.conversions import log_kappa
from discreet.accounting.engines.atoms import Array
from discreet.accounting.engines.contour import Composition, Contour, NoContourError, Terms
from discreet.accounting.engines.cuts import Level, log_expm1, planned, single, splittable
from discreet.accounting.engines.faded import Faded
from discreet.accounting.engines.invert import invert
from discreet.accounting.engines.law import Law, Line, Moments, Nodes
from discreet.accounting.engines.pieces import EPS
from discreet.accounting.engines.waves import FAINT, Complex, log1p
from discreet.profiles import Bracket

RELATIVE = 1e-11  # of δ, for each error term
_NARROW = 1e-9  # relative width that is not worth another try
_TRIES = 6
_FEW = 600.0  # of log(M/M_B), summed


@dataclass(frozen=True, eq=False)
class Share(Law):
    """A part of a law, whose mass is whatever it is."""

    def _real(self, nodes: Nodes, c: float) -> tuple[float, float]:
        return self._direct(nodes, c)


@dataclass(frozen=True, eq=False)
class Half:
    """A law, cut in two.

    Args:
        bulk: What has small losses.
        rare: What has larger ones; None where nothing was cut off.
        faded: Its pieces.
        count: How often it runs.
    """

    bulk: Law
    rare: Share | None
    faded: tuple[Faded, ...]
    count: int


@dataclass(frozen=True, eq=False)
class Peeled:
    """Contours whose sum is δ, but for what the bulk alone holds.

    Args:
        near: The ε they were made for.
        contours: One for each part of the losses.
        bulk: A rate, and log of the bulk's moment there, rounded up.
    """

    near: float
    contours: tuple[Contour, ...]
    bulk: tuple[float, float]

    @cached_property
    def c(self) -> float:
        """About the slope of log δ: of the largest part."""
        return max(self.contours, key=lambda contour: contour.delta(self.near).upper).c

    def delta(self, epsilon: float) -> Terms:
        """Return bounds of δ(ε)."""
        return self._summed(epsilon, [contour.delta(epsilon) for contour in self.contours])

    def deltas(self, epsilons: Sequence[float]) -> list[Terms]:
        """Return bounds of δ at each ε."""
        columns = [contour.deltas(epsilons) for contour in self.contours]
        return [
            self._summed(epsilon, list(row)) for epsilon, row in zip(epsilons, zip(*columns, strict=True), strict=True)
        ]

    def _summed(self, epsilon: float, found: list[Terms]) -> Terms:
        c, k = self.bulk
        rest = math.exp(min(0.0, log_kappa(c) + k - c * epsilon + 1e-12 * (1 + abs(k) + c * epsilon)))
        budget = {name: sum(terms.budget.get(name, 0.0) for terms in found) for name in found[0].budget}
        lower, upper = sum(terms.lower for terms in found), sum(terms.upper for terms in found)
        return Terms(lower * (1 - 8 * EPS), min(1.0, (upper + rest) * (1 + 8 * EPS)), budget | {"bulk": rest})


def peeled_near(composition: Composition, epsilon: float | None, delta: float | None, best: Bracket | None) -> Peeled:
    """Return the contours for this ε or this δ; where they should be made for the other is guessed, then found.

    Args:
        composition: What is composed.
        epsilon: Where δ is asked; or
        delta: where ε is asked.
        best: What is known of the answer already.

    Raises:
        NoContourError: see `peeled`.
    """
    if not any(splittable(piece) for law, _ in composition.parts for piece in law.pieces):
        raise NoContourError
    epsilons, deltas = single(composition)
    sure = best is not None and 0 < best.upper < math.inf and best.width <= 0.3 * best.upper
    known = (best.lower + best.upper) / 2 if best is not None and sure else None
    if delta is None:
        assert epsilon is not None
        log = math.log(known or max(float(np.interp(epsilon, epsilons, deltas)), 1e-300))
        return _at(composition, epsilon, log if known else max(log, min(0.0, composition.saddle(epsilon=epsilon)[2])))
    part = delta - composition.infinite
    if part <= 0:
        raise NoContourError
    saddle = composition.saddle(log_delta=math.log(part))[1]
    for guess in [known] if known else sorted({saddle, min(saddle, float(epsilons[np.argmax(deltas <= part)]))}):
        try:
            return _found(composition, guess, delta, math.log(part))
        except ArithmeticError:
            continue
    raise NoContourError


def _found(composition: Composition, at: float, delta: float, log_part: float) -> Peeled:
    """Return the contours for the ε at which δ is reached, starting from a guess."""
    for _ in range(_TRIES):
        made = peeled(composition, at, log_part, RELATIVE)
        found = invert(made, delta)
        following = (found.lower + found.upper) / 2
        if not found.width <= 0.1 * found.upper:  # too high a guess: the bulk was cut off too high
            following = max(found.lower, at / 3)
        if found.width <= _NARROW * found.upper or abs(following - at) <= 1e-3 * at:
            return made
        at = following
    return made


def _at(composition: Composition, epsilon: float, log_delta: float) -> Peeled:
    for _ in range(_TRIES):
        made = peeled(composition, epsilon, log_delta, RELATIVE)
        terms = made.delta(epsilon)
        if not terms.lower > 0 or math.log(terms.lower) > log_delta - 1.0:
            return made
        log_delta = math.log(terms.lower)
    return made


def peeled(composition: Composition, epsilon: float, log_delta: float, relative: float) -> Peeled:
    """Return the contours of a composition without its bulk, for ε about `epsilon` and δ about e^log_delta.

    Raises:
        NoContourError: the bulk matters, or the rest falls too slowly.
    """
    plan = planned(composition, epsilon, log_delta, relative)
    tolerance = max(relative / (50.0 * sum(count for _, count in composition.parts)), 1e-30)
    contours, below = [], (0.0, 0.0)
    for k, level in enumerate(plan.levels):
        halves = [
            _half(law, count, rest, parts, k, tolerance)
            for (law, count), rest, parts in zip(composition.parts, plan.rests, plan.parts, strict=True)
        ]
        last = k == len(plan.levels) - 1
        kept = (composition.infinite, composition.removed + plan.removed) if last else (0.0, 0.0)
        contours.append(_contour(halves, level, epsilon, tolerance, kept))
        if k == 0:
            sums = _moments([replace(half, rare=None) for half in halves], plan.rate, tolerance)
            below = (plan.rate, sums.bulk + sums.bulk_error)
    return Peeled(epsilon, tuple(contours), below)


def _half(law: Law, count: int, rest: Law, parts: list[tuple[Faded, ...]], k: int, tolerance: float) -> Half:
    """Return a law, cut at its k-th cut; what lies beyond the next is in neither half."""
    if not parts:
        return Half(law, None, (), count)
    bulk = tuple(part for piece in parts for part in piece[: k + 1])
    beyond = tuple(replace(piece[k + 1], fades=piece[k + 1].fades[:-1]) for piece in parts)
    log, error = Share(pieces=beyond, slack=law.slack).log_moment(0.0, 1e-6 * tolerance)
    mass = math.exp(log)
    whole = replace(
        rest,
        pieces=(*rest.pieces, *bulk),
        infinite=law.infinite + mass,
        tail=law.tail + mass * math.expm1(error) + 4 * EPS * mass,
    )
    rare = tuple(piece[k + 1] for piece in parts)
    return Half(whole, Share(pieces=rare, slack=law.slack), rare, count)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over the laws at one real c: log of ΠM_B^T and of Π(M/M_B)^T, each with its error."""

    bulk: float
    bulk_error: float
    both: float
    both_error: float


def _moments(halves: list[Half], c: float, tolerance: float) -> _Sums:
    total = [0.0] * 4
    for half in halves:
        bulk, error = half.bulk.log_moment(c, tolerance)
        parts = [bulk, error, 0.0, 0.0]
        if half.rare is not None:
            rare, rare_error = half.rare.log_moment(c, 1e-6 * tolerance)
            log = rare - bulk
            both = max(log, 0.0) + math.log1p(math.exp(-abs(log)))
            parts[2:] = both, math.expm1(rare_error + error) * math.exp(log - both) + 4 * EPS * both
        total = [a + half.count * b for a, b in zip(total, parts, strict=True)]
    return _Sums(*total)


def _contour(halves: list[Half], level: Level, epsilon: float, tolerance: float, kept: tuple[float, float]) -> Contour:
    """Return the contour of ΠM^T - ΠM_B^T, as an integrand relative to its value on the real line."""
    c, step, nodes = level.c, level.step, level.nodes
    u = step * np.arange(nodes + 1)
    shape, ratio = np.zeros(nodes + 1, dtype=np.complex128), np.zeros(nodes + 1, dtype=np.complex128)
    errors, ratio_errors, rest = np.zeros(nodes + 1), np.zeros(nodes + 1), np.zeros(1)
    real = real_error = phase = phase_size = 0.0
    for half in halves:
        times, bulk = half.count, half.bulk.moments(c, step, nodes, tolerance)
        real, real_error = real + times * bulk.real, real_error + times * bulk.real_error
        phase, phase_size = phase + times * bulk.centre, phase_size + times * abs(bulk.centre)
        shape, errors = shape + times * bulk.shape, errors + times * bulk.errors
        if half.rare is not None:
            more, unsure = _compared(half.rare.line(c, step, nodes, 1e-6 * tolerance), bulk, u)
            ratio, ratio_errors = ratio + times * more, ratio_errors + times * unsure
            falls = np.logaddexp.reduce([piece.log_falls(c, u[-1:]) for piece in half.faded], axis=0)
            rest = rest + times * np.logaddexp(0.0, falls - bulk.real + bulk.real_error)
    if not 0 < ratio[0].real < _FEW:
        raise NoContourError  # a bulk that hardly ever stays alone: nothing to peel
    with np.errstate(over="ignore", invalid="ignore"):
        apart, size = _expm1(ratio)
        bulks = np.exp(shape.real)
        top, found = float(apart[0].real), bulks * np.abs(apart)
        wrong = found * (np.expm1(errors) + EPS * (12 + 4 * np.abs(shape)))
        wrong += bulks * size * (np.expm1(ratio_errors) * np.exp(errors) + 8 * EPS * np.abs(ratio))
    if not (np.all(np.isfinite(found)) and math.isfinite(wrong[0])):
        raise NoContourError
    whole = top + wrong[0] + found  # no error is larger: a transform is at most what it is on the real line
    wrong = np.where(wrong <= whole, wrong, whole)
    left = np.maximum(found / top, 1e-30)
    beyond = _moments(halves, level.other, tolerance)
    far = beyond.bulk + beyond.bulk_error + float(log_expm1(np.array([beyond.both + beyond.both_error]))[0])
    return Contour(
        c=c,
        near=epsilon,
        step=step,
        u=u,
        real=real + math.log(top),
        real_error=real_error + 8 * EPS * (1 + abs(math.log(top))),
        phase=phase,
        phase_size=phase_size,
        shape=np.log(left) + 1j * (shape.imag + np.angle(apart)),
        errors=np.log1p(wrong / top / left + 2e-30 / left),
        log_end=float(log_expm1(rest)[0]) - math.log(top) + 1e-9,
        above=(level.other, far + 1e-12 * (1 + abs(far))),
        infinite=kept[0],
        removed=kept[1],
        kinds=2 * len(halves),
    )


def _compared(rare: Line, bulk: Moments, u: Array) -> tuple[Complex, Array]:
    """Return log(1 + M_R/M_B) on the line, and its error."""
    scale = math.exp(rare.real - bulk.real)
    turn = u * (rare.centre - bulk.centre)
    r = scale * (1 + rare.wave) * np.exp(1j * turn - bulk.shape)
    known = rare.real_error + bulk.real_error + EPS * (4 * (abs(rare.real) + abs(bulk.real)) + 12)
    turned = 5 * EPS * u * (abs(rare.centre) + abs(bulk.centre)) + 4 * EPS * np.abs(bulk.shape)
    with np.errstate(over="ignore"):
        error = np.abs(r) * np.expm1(bulk.errors + known + turned)
        error = error + scale * rare.errors * np.exp(bulk.errors - bulk.shape.real)
    log, modulus = log1p(r)
    error = error + np.where(modulus <= FAINT, 2 * FAINT, 0.0)
    return log, np.log1p(error / modulus) + 6 * EPS * np.abs(log)


def _expm1(s: Complex) -> tuple[Complex, Array]:
    """Return e^s - 1 without cancellation, and |e^s|."""
    size: Array = np.exp(s.real)
    half = np.sin(s.imag / 2)
    apart: Complex = np.expm1(s.real) * np.cos(s.imag) - 2 * half * half + 1j * size * np.sin(s.imag)
    return apart, size
