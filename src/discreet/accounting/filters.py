"""Adaptive filters: what an account of one measure may admit, and what it guarantees when it stops.

An account admits an event while the sums stay inside one fixed rectangle (loss, δ). For each of
the three measures that is a proved filter for events chosen adaptively (docs/proofs/filters.md).
Admitting whichever of several measures or orders still fits is not: there is one.
"""

from __future__ import annotations

import math
from fractions import Fraction

from discreet.accounting.conversions import check_delta, check_epsilon, rdp_epsilon, rdp_loss, zcdp_epsilon, zcdp_rho
from discreet.accounting.measures import COST_UNIT, DELTA_UNIT, Cost, Measure
from discreet.errors import InvalidInput


def budget(measure: Measure, *, epsilon: float, delta: float) -> int:
    """Return the largest loss, in units of 2^-40, that alone is (epsilon, delta)-DP; rounded down.

    Args:
        measure: Of the account.
        epsilon: The ε to keep.
        delta: The δ to keep; all of it goes into the conversion. A pure measure needs none.
    """
    check_epsilon(epsilon)
    if measure.kind == "pure":
        return math.floor(Fraction(epsilon) / COST_UNIT)
    check_delta(delta)
    if measure.kind == "zcdp":
        loss = zcdp_rho(epsilon, delta)
    else:
        assert measure.order is not None
        loss = rdp_loss(measure.order, epsilon, delta)
    return math.floor(Fraction(loss) / COST_UNIT)


def capacity(measure: Measure, *, epsilon: float, delta: float, delta_atoms: float) -> Cost:
    """Return the rectangle at which a filter must stop to be (epsilon, delta)-DP; rounded down.

    Args:
        measure: Of the account.
        epsilon: What all charges together keep.
        delta: The probability beyond it.
        delta_atoms: The part of delta for events with a δ of their own; the rest converts the loss.

    Guarantee: (epsilon, delta)-DP for adaptively chosen events whose costs stay inside.
    Evidence: proven, docs/proofs/filters.md.
    Assumes: the costs are those of what ran.
    Not protected: spending outside of the account.
    """
    if isinstance(delta_atoms, bool) or not isinstance(delta_atoms, int | float) or not 0 <= delta_atoms <= delta:
        raise InvalidInput(f"delta_atoms must lie in [0, delta], got {delta_atoms!r}.")
    if not 0 <= delta < 1:
        raise InvalidInput(f"delta must lie in [0, 1), got {delta!r}.")
    if measure.kind != "pure" and not delta_atoms < delta:
        raise InvalidInput(f"a {measure} account needs delta above delta_atoms, to convert its loss.")
    rest = 0.0 if measure.kind == "pure" else math.nextafter(delta - delta_atoms, 0.0)
    loss = budget(measure, epsilon=epsilon, delta=rest)
    if loss <= 0:
        raise InvalidInput(
            f"ε = {epsilon!r} at δ = {delta!r} leaves nothing to spend in the measure {measure}.",
            remedy="Give a larger epsilon or delta, or another measure.",
        )
    return Cost(loss, math.floor(Fraction(delta_atoms) / DELTA_UNIT))


def statement(measure: Measure, cost: Cost, *, delta: float) -> float:
    """Return the ε, rounded up, that a filter stopped at `cost` keeps at this total delta.

    The δ atoms are subtracted from delta first. Infinite where delta does not reach.
    """
    loss = cost.loss * COST_UNIT
    left = Fraction(delta) - cost.delta * DELTA_UNIT
    if measure.kind == "pure":
        return math.inf if left < 0 else above(loss)
    if loss == 0:
        return 0.0 if left >= 0 else math.inf
    if left <= 0:
        return math.inf
    rest, value = math.nextafter(float(left), 0.0), above(loss)
    if rest <= 0 or value == math.inf:
        return math.inf
    if measure.kind == "zcdp":
        return zcdp_epsilon(value, rest)
    assert measure.order is not None
    return rdp_epsilon(measure.order, value, rest)


def above(value: Fraction) -> float:
    """Return the least float that is not below `value`; infinite beyond all of them."""
    try:
        near = float(value)
    except OverflowError:
        return math.inf
    return near if Fraction(near) >= value else math.nextafter(near, math.inf)
