"""The certified Rényi divergence of any event whose dominating pair is known, at any order."""

from __future__ import annotations

import math
from functools import lru_cache

from discreet import events
from discreet.accounting.engines.pairs import DIRECTIONS, classes, pair
from discreet.errors import UnsupportedEvent

FARTHEST = 2e4  # deviations at which a moment's mass may lie


@lru_cache(maxsize=4096)
def renyi_bound(event: events.Event, order: float) -> float | None:
    """Return the largest Rényi divergence of a single event at `order` > 1, both directions, rounded up.

    The divergence is that of the finite part of the loss: outputs of infinite loss are δ atoms, and are
    charged beside it. None where no dominating pair is known, or the integral is out of reach.

    Guarantee: at least the divergence of the dominating pair.
    Evidence: proven, docs/proofs/contour.md.
    Assumes: elementary functions are good to a few units in the last place.
    Not protected: the δ atoms, which are not in this number.
    """
    c = order - 1
    best = 0.0
    for victim in range(classes(event)):
        for direction in DIRECTIONS:
            try:
                known = pair(event, direction, victim)
            except UnsupportedEvent:
                return None
            if known is None or known.law.tail > 0 or any(c * piece.slope > FARTHEST for piece in known.law.pieces):
                return None
            try:
                value, error = known.law.log_moment(c, 1e-16)
            except ArithmeticError:
                return None
            if not math.isfinite(value + error):
                return None
            best = max(best, (value + error) * (1 + 1e-15) / c)
    return best
