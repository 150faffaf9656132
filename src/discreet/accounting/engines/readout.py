"""Readout: ε at one δ, of the sums that a bank holds for every direction.

Rows, guesses and secants are choices that cost width and never truth: an end is returned only where the bounds of
a contour were seen to hold. Proofs: docs/proofs/contour.md.
"""

from __future__ import annotations

import math

import numpy as np

from discreet.accounting.engines.bank import CS, Rows
from discreet.accounting.engines.contour import Contour
from discreet.accounting.gaussian import gaussian_delta
from discreet.profiles import Bracket, highest

ROWS = 2  # rows that are tried, best guess first
NARROW = 1e-6  # relative width of ε with which no other row is asked
WIDE = 1e-3  # relative width beyond which what was spent is read beside one more Gaussian
VEILS = 3  # Gaussians that are tried with a row, each for the ε that the one before gave
SPARED = 0.01  # of δ: what the end of a row may hold beside a Gaussian, about
UNDER = 1e-8  # how far below δ, relative to it, the upper end may aim


def readout(directions: tuple[Rows, ...], delta: float) -> Bracket:
    """Return a bracket of the larger ε of all directions."""
    ways = sorted(((rows.chernoff(delta), k) for k, rows in enumerate(directions)), reverse=True)
    first = directions[ways[0][1]]
    best, row = _read(first, delta, ways[0][0])
    for most, k in ways[1:]:
        rows = directions[k]
        if rows is first or (best.lower > 0 and (most <= best.lower or _seen(rows, row, delta, best.upper))):
            continue
        best = highest([best, _read(rows, delta, most)[0]])
    return best


def _seen(rows: Rows, row: int, delta: float, epsilon: float) -> bool:
    """Return whether a row shows that a direction costs no more than this ε."""
    return row < len(rows.shape) and rows.contour(row, epsilon).delta(epsilon).upper <= delta


def _read(rows: Rows, delta: float, chernoff: float) -> tuple[Bracket, int]:
    """Return a bracket of one direction's ε, at most `chernoff`, which one moment proves; and the row that was best."""
    if rows.kinds == 0 or not 0 < chernoff < math.inf:
        return Bracket(0.0, chernoff if rows.kinds else 0.0), 0
    best, best_row = Bracket(0.0, chernoff, {"one moment": chernoff}), 0
    for row in rows.ranked(0.85 * chernoff)[:ROWS]:
        start = 0.85 * best.upper
        found = _crossing(rows.contour(row, start), delta, start, best.upper)
        if found is not None:
            upper = min(best.upper, found.upper)
            best = Bracket(min(upper, max(best.lower, found.lower)), upper, found.budget)
            best_row = row
            if best.lower > best.upper * (1 - NARROW):
                break
    if best.lower < best.upper * (1 - WIDE):
        best = _veiled(rows, delta, best)
    return best if rows.firm else Bracket(0.0, best.upper, best.budget), best_row


def _veiled(rows: Rows, delta: float, best: Bracket) -> Bracket:
    """Return a bracket at least as good, from what was spent beside one more Gaussian, whose transform falls.

    All together costs no less than what was spent; and no more than it and the Gaussian, each by itself.
    """
    top = min(rows.likely(delta), len(rows.shape) - 1, CS.size - 2)
    for row in range(top, max(-1, top - 2), -1):
        for _ in range(VEILS):
            mu = rows.veil(row, best.upper, SPARED * delta)
            if mu == 0.0:
                break
            contour = rows.beside(mu).contour(row, best.upper)
            apart, more = _alone(mu, delta)
            below = _crossing(contour, delta + more, best.upper, 2 * best.upper)
            found = _crossing(contour, delta, best.upper, best.upper)
            lower = 0.0 if below is None else below.lower * (1 - 1e-14) - apart * (1 + 1e-14)
            upper, budget = (best.upper, best.budget) if found is None else (found.upper, found.budget)
            lower = min(upper, max(lower, best.lower))
            done = not upper < best.upper * (1 - WIDE)
            best = Bracket(lower, upper, {**budget, "one more Gaussian": upper - lower})
            if done:
                break
    return best


def _alone(mu: float, delta: float) -> tuple[float, float]:
    """Return (ε, δ) of a Gaussian by itself, the latter a small part of this δ."""
    epsilon = mu * (mu / 2 + math.sqrt(2 * (math.log(20) - math.log(delta))))
    return epsilon, gaussian_delta(mu, epsilon)


def _crossing(contour: Contour, delta: float, start: float, most: float) -> Bracket | None:
    """Return ε with an upper bound of δ(ε) at most δ, and one below with a lower bound at least δ, else 0."""
    x, slope = _guess(contour, delta * (1 - UNDER / 2), start, most)
    for _ in range(3):
        terms = contour.delta(x)
        if terms.upper <= delta:
            break
        x += (math.log(terms.upper / delta) + UNDER / 2) / slope
        if not x < most:
            return None
    else:
        return None
    apart = (math.log(delta / max(terms.lower, 1e-320)) + 1e-12) * 1.001 / slope
    unit = apart / max(terms.upper - terms.lower, 1e-320)
    low = 0.0
    for _ in range(3):  # the curve may be less steep below
        if x > apart and contour.delta(x - apart).lower >= delta:
            low = x - apart
            break
        apart *= 3
    return Bracket(low, x, {name: min(part * unit, x - low) for name, part in terms.budget.items()})


def _guess(contour: Contour, delta: float, start: float, most: float) -> tuple[float, float]:
    """Return about the ε where the upper side reaches δ, and minus the slope of its logarithm there; by secants."""
    size, turned, unit, still, turning, end = contour.fixed
    c, phase, u = contour.c, contour.phase, contour.u
    kept, more = contour.infinite + contour.removed, still + turning * (contour.phase_size + most) + end

    def gap(x: float) -> float:
        total = unit * float(size @ np.cos(turned + u * (phase - x))) + more
        return math.log(max(total * math.exp(min(700.0, contour.real - c * x)) + kept, 1e-320) / delta)

    x, slope = start, 1.3 * c
    at = gap(x)
    for _ in range(16):
        following = min(most, max(0.0, x + at / slope))
        if abs(following - x) <= 1e-15 * x:
            break
        found = gap(following)
        if (found - at) * (following - x) < 0:
            slope = (at - found) / (following - x)
        x, at = following, found
        if abs(at) < UNDER / 4:
            break
    return x, slope
