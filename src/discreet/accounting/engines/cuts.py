"""Cuts: where a composition's laws are cut by the size of their losses, and on which lines the parts are summed up.

All of this is search, on points that are good enough for it: a poor find costs width or time, never truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from discreet.accounting.conversions import log_kappa
from discreet.accounting.engines.atoms import Array
from discreet.accounting.engines.contour import MOST, Composition, NoContourError
from discreet.accounting.engines.faded import END, Fade, Faded
from discreet.accounting.engines.law import Law
from discreet.accounting.engines.pieces import Piece

# Widths of the lowest cut's fade in units of the base loss, and how far apart the cuts are; 0: none but beyond ε.
FADES = ((0.2, 0.0), (0.1, 0.0), (0.1, 4.0), (0.05, 4.0), (0.4, 0.0))
_EACH = 400  # nodes that a level costs beside its own
_WIDER = 0.12  # of the others
_NEXT, _APART, _LAST = 2.5, 5.0, 0.5  # the second cut, of ε; each this many times the one before; and the largest
_WIDEST = 3.0  # a unit of the base loss, in deviations
_ENOUGH = 1000  # nodes that are not worth another try
_BULK = 1e-12  # of δ, for what the bulk alone may hold
_TABLE = 500  # points that stand for a piece
_RATES = np.geomspace(2.0, 4000.0, 28)  # of c·ε, where the bulk's chance is bounded
_BEYOND = np.geomspace(1.1, 40.0, 24)  # of c: lines that bound what lies periods away
_HEIGHTS = np.geomspace(4.0, MOST, 40)  # of the step, where a sum may end

Cut = tuple[float, float]  # a loss, and the width of the fade there in units of the base loss


@dataclass(frozen=True, eq=False)
class Level:
    """On which line to sum up what reaches from one cut to the next.

    Args:
        c: The line.
        other: Another, which bounds what lies periods away.
        step: Between nodes.
        nodes: How many.
    """

    c: float
    other: float
    step: float
    nodes: int


@dataclass(frozen=True, eq=False)
class Plan:
    """How a composition is cut.

    Args:
        parts: For each law its pieces' parts, from the lowest cut to the far end; empty if it is not cut.
        rests: What is not cut of each law, with its atoms.
        levels: One for each cut.
        rate: Where Chernoff's bound of the bulk is least.
        removed: A bound of the P-mass beyond the far ends.
    """

    parts: list[list[tuple[Faded, ...]]]
    rests: list[Law]
    levels: list[Level]
    rate: float
    removed: float

    @property
    def cost(self) -> int:
        """About what it costs, in nodes."""
        return sum(_EACH + level.nodes for level in self.levels)


def planned(composition: Composition, epsilon: float, log_delta: float, relative: float) -> Plan:
    """Return cuts and lines for ε about `epsilon` and δ about e^log_delta.

    Raises:
        NoContourError: the bulk matters, or a part's transform falls too slowly.
    """
    pieces = sum(count * sum(map(splittable, law.pieces)) for law, count in composition.parts)
    if pieces == 0 or not 0 < epsilon < math.inf:
        raise NoContourError
    lost = relative * math.exp(log_delta) / pieces
    tables = [_Table.of(law, count, lost) for law, count in composition.parts]
    best: Plan | None = None
    for fade in FADES:
        found = _plan(tables, epsilon, (log_delta, math.log(relative)), fade)
        if found is not None and (best is None or found.cost < best.cost):
            best = found
        if best is not None and best.cost <= _ENOUGH:
            break
    if best is None:
        raise NoContourError
    return best


def single(composition: Composition) -> tuple[Array, Array]:
    """Return ε, rising, and about what δ(ε) is if one run alone has to reach it: too little, but hardly if that is rare."""
    tables = [_Table.of(law, count, 1e-30) for law, count in composition.parts]
    losses = np.concatenate([part[2] for table in tables for part in table.points])
    masses = np.concatenate([table.count * np.exp(part[1]) for table in tables for part in table.points])
    epsilons = np.geomspace(1e-6, 60.0, 300)
    return epsilons, -np.expm1(np.minimum(np.subtract.outer(epsilons, losses), 0.0)) @ masses


@dataclass(frozen=True, eq=False)
class _Table:
    """A law, and points that stand for it.

    Args:
        law: The law.
        count: How often it runs.
        cut: Its pieces that can be cut.
        ends: The fades at their far ends.
    """

    law: Law
    count: int
    cut: tuple[Piece, ...]
    ends: tuple[Fade, ...]

    @classmethod
    def of(cls, law: Law, count: int, lost: float) -> _Table:
        cut = tuple(piece for piece in law.pieces if splittable(piece))
        return cls(law, count, cut, tuple(Fade(Faded.of(piece).far(lost), END, False) for piece in cut))

    @cached_property
    def reached(self) -> float:
        """The largest loss before the far ends."""
        at = [float(piece.loss(np.array([end.at]))[0]) for piece, end in zip(self.cut, self.ends, strict=True)]
        return max(at, default=0.0)

    @cached_property
    def rest(self) -> Law:
        return (
            replace(self.law, pieces=tuple(p for p in self.law.pieces if not splittable(p))) if self.cut else self.law
        )

    @cached_property
    def points(self) -> list[tuple[Array, Array, Array]]:
        """For each piece that is cut: x, log of the P-mass, and the loss there."""
        found: list[tuple[Array, Array, Array]] = []
        for piece in self.cut:
            x: Array = np.linspace(-9.0, 18.0 + 2 * piece.size, _TABLE)
            found.append((x, piece.log_density(x) + math.log(x[1] - x[0]), piece.loss(x)))
        return found

    @cached_property
    def mass(self) -> float:
        """What all points add up to: nearly the finite P-mass."""
        cut = sum(float(np.exp(log_weights).sum()) for _, log_weights, _ in self.points)
        return cut + float(self._uncut(np.zeros(1))[0])

    def _uncut(self, cs: Array) -> Array:
        held = self.rest.pieces or self.rest.atoms.losses.size
        return self.rest.scanned(cs) if held else np.zeros_like(cs)

    def fades(self, cuts: list[Cut]) -> list[list[tuple[Fade, Fade]]]:
        """Return for each piece and each cut the fade that falls there, and the one that rises."""
        found = []
        for piece in self.cut:
            at = piece.place(np.array([loss for loss, _ in cuts])).tolist()
            widths = [width * min(_WIDEST, 1 / piece.size) for _, width in cuts]
            found.append([(Fade(x, w, False), Fade(x, w, True)) for x, w in zip(at, widths, strict=True)])
        return found

    def shares(self, cuts: list[Cut]) -> list[list[Array]]:
        """Return for each piece log of the P-mass at its points, of each part from the lowest cut to the far end."""
        found: list[list[Array]] = []
        for (x, log_weights, _), fades, end in zip(self.points, self.fades(cuts), self.ends, strict=True):
            parts: list[Array] = []
            left = log_weights
            for falling, rising in fades:
                parts.append(left + falling.log(x))
                left = left + rising.log(x)
            found.append([*parts, left + end.log(x)])
        return found

    def bulk(self, shares: list[list[Array]], level: int, cs: Array) -> Array:
        """Return about log M(c) of what lies beneath a cut."""
        if not self.cut:
            return self.law.cumulants(cs)[0]
        whole = np.full(cs.size, 1 - self.law.infinite - self.mass)
        whole += self._uncut(cs)
        for (_, _, losses), parts in zip(self.points, shares, strict=True):
            for part in parts[: level + 1]:
                whole += _grown(cs, part, losses)
        log: Array = np.log(np.maximum(whole, 1e-300))
        return log

    def rare(self, shares: list[list[Array]], level: int, cs: Array) -> Array:
        """Return about M(c) of what lies between a cut and the next."""
        found = np.zeros(cs.size)
        for (_, _, losses), parts in zip(self.points, shares, strict=True):
            found += _grown(cs, parts[level + 1], losses)
        return found


def splittable(piece: Piece) -> bool:
    """Return whether a piece can be cut: its losses reach from next to nothing to very large ones."""
    whole = piece.start is None and piece.end == math.inf
    return piece.base == "normal" and piece.form != "add" and piece.rate < 1 and whole


def _grown(cs: Array, log_weights: Array, losses: Array) -> Array:
    exponent = np.multiply.outer(cs, losses) + log_weights
    top = exponent.max(axis=1)
    out = (top > 600.0) | (exponent[:, -1] > top - 30.0)  # the points do not reach far enough
    sums: Array = np.where(out, np.inf, np.exp(np.minimum(exponent, 600.0)).sum(axis=1))
    return sums


def _lowest(tables: list[_Table], width: float, epsilon: float, log_need: float) -> tuple[float, float] | None:
    """Return the largest loss to cut at such that the bulk alone holds little beyond ε, and the rate that shows it."""
    cs = _RATES / epsilon
    kappas = np.array([log_kappa(c) for c in cs.tolist()])

    def bound(log_loss: float) -> tuple[float, float]:
        k = np.zeros_like(cs)
        for table in tables:
            k += table.count * table.bulk(table.shares([(math.exp(log_loss), width)]), 0, cs)
        found = k - cs * epsilon + kappas
        least = int(np.argmin(found))
        return float(found[least]), float(cs[least])

    low, high = math.log(1e-5 * epsilon), math.log(2 * epsilon)
    least, rate = bound(low)
    if least > log_need:
        return None
    for _ in range(10):
        middle = (low + high) / 2
        least, found = bound(middle)
        low, high, rate = (middle, high, found) if least <= log_need else (low, middle, rate)
    return math.exp(low), rate


def _plan(tables: list[_Table], epsilon: float, logs: tuple[float, float], fade: tuple[float, float]) -> Plan | None:
    """Return cuts with fades of this width at the lowest, and a line for each; None if there is none."""
    width, apart = fade
    lowest = _lowest(tables, width, epsilon, logs[0] + math.log(_BULK))
    if lowest is None:
        return None
    cuts, following = [(lowest[0], width)], lowest[0] * apart if apart else _NEXT * epsilon
    reached = max(table.reached for table in tables)
    while following < min(max(_LAST, 0.5 * epsilon if apart else 0.0), reached / 3):
        cuts.append((following, _WIDER))
        following *= apart or _APART
    parts: list[list[tuple[Faded, ...]]] = []
    removed = 0.0
    for table in tables:
        parts.append([])
        for piece, fades, end in zip(table.cut, table.fades(cuts), table.ends, strict=True):
            removed += table.count * Faded.of(piece).passed(end.at, end.width)
            rising = tuple(rise for _, rise in fades)
            falling = (*(fall for fall, _ in fades), end)
            parts[-1].append(tuple(Faded.of(piece, *rising[:k], fall) for k, fall in enumerate(falling)))
    shares = [table.shares(cuts) for table in tables]
    levels = []
    for k in range(len(cuts)):
        level = _level(tables, shares, [[one[k + 1] for one in part] for part in parts], k, epsilon, logs)
        if level is None:
            return None
        levels.append(level)
    return Plan(parts, [table.rest for table in tables], levels, lowest[1], removed)


def _level(
    tables: list[_Table],
    shares: list[list[list[Array]]],
    rare: list[list[Faded]],
    k: int,
    epsilon: float,
    logs: tuple[float, float],
) -> Level | None:
    """Return the line for what reaches beyond cut k, but not beyond the next; None if it falls too slowly."""
    log_delta, log_relative = logs

    def moments(cs: Array) -> tuple[Array, Array]:
        """About log of the bulk's moment, and of the difference."""
        bulk, s = np.zeros_like(cs), np.zeros_like(cs)
        for table, share in zip(tables, shares, strict=True):
            log = table.bulk(share, k, cs)
            more = table.rare(share, k, cs)
            known = np.isfinite(log) & np.isfinite(more)
            bulk += table.count * log
            s += table.count * np.where(
                known, np.log1p(np.where(known, more * np.exp(-np.where(known, log, 0)), 0)), np.inf
            )
        return bulk, bulk + log_expm1(s)

    cs = np.geomspace(min(0.05, 0.3 / epsilon), max(4.0, 400.0 / epsilon), 90)
    bulk, whole = moments(cs)
    at = int(np.argmin(whole - cs * epsilon - np.log(cs) - np.log1p(cs)))
    c = float(cs[at])
    others = c * _BEYOND
    kappas = np.array([log_kappa(other) for other in others.tolist()])
    need = np.maximum(kappas + moments(others)[1] - others * epsilon - log_delta, 0.0) - log_relative + 1.0
    widths = 2 * math.pi * (others - c) / need
    other = int(np.argmax(widths))
    step = min(float(widths[other]), 2 * math.pi * c / (1.0 - log_delta - log_relative))
    if not step > 0:
        return None
    heights = step * _HEIGHTS
    s = np.zeros_like(heights)
    for table, share, pieces in zip(tables, shares, rare, strict=True):
        if pieces:
            falls = np.logaddexp.reduce([piece.log_falls(c, heights) for piece in pieces], axis=0)
            s += table.count * np.log1p(np.exp(np.minimum(falls - table.bulk(share, k, cs[at : at + 1])[0], 300.0)))
    bound = float(bulk[at]) + log_expm1(s) - np.log(math.pi * heights) - c * epsilon
    enough = np.flatnonzero(bound <= log_relative + log_delta)
    if enough.size == 0:
        return None
    first = int(enough[0])
    nodes = float(_HEIGHTS[first])
    if first > 0:  # between the last that is too low and this one
        share_ = (log_relative + log_delta - bound[first - 1]) / (bound[first] - bound[first - 1])
        nodes = float(_HEIGHTS[first - 1] * (nodes / _HEIGHTS[first - 1]) ** share_)
    return Level(c, float(others[other]), step, max(6, math.ceil(1.02 * nodes)))


def log_expm1(s: Array) -> Array:
    """Return log(e^s - 1) for s > 0."""
    value: Array = np.where(s > 30.0, s, np.log(np.expm1(np.clip(s, 1e-300, 30.0))))
    return value
