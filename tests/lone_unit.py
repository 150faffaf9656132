"""A unit whose keys nobody else has, through rounds of weighted key selection: how often any of them is shown."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from discreet.events import Relation
from discreet.mechanisms import Rng, WeightedKeySelection, key_weight

KEYS = 10
ROUNDS = WeightedKeySelection.rounds(
    rho=Fraction(1, 10), delta=0.3, max_keys=KEYS, relation=Relation.ADD_REMOVE
)  # so large a delta that few runs show a wrong one
WEIGHTS = np.array([0, *(key_weight(n) for n in range(1, KEYS + 1))], dtype=np.int64)


def even(still):
    """Spread over all keys that are open, as a query does."""
    return WEIGHTS[still.sum(axis=1)][:, None] * still


def everything_on_one(still):
    """Put all weight on the first key that is open."""
    first = still & (still.cumsum(axis=1) == 1)
    return WEIGHTS[1] * first


def not_normalised(still):
    """Forget to divide: the weight of a unit with one key on each of ten."""
    return WEIGHTS[1] * still


def share_shown(rounds, spread, runs, *, reopen=False):
    """Return the share of runs in which a key of the unit is kept; with `reopen` closed keys are offered again."""
    still = np.ones((runs, KEYS), dtype=np.bool_)
    shown = np.zeros(runs, dtype=np.bool_)
    for turn in rounds:
        offered = np.ones_like(still) if reopen else still
        kept, left = np.zeros_like(still), np.zeros_like(still)
        kept[offered], left[offered] = turn.sift(spread(offered)[offered], Rng())
        shown |= kept.any(axis=1)
        still = left
    return float(shown.mean())
