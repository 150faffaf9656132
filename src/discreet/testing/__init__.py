"""For tests: a repeatable generator, a throw-away ledger, tests of fit with power, what mechanisms must pass.

Nothing here is safe for real data: the fixed generator is not secure, and a real ledger refuses it.
"""

from discreet.testing.conformance import (
    Nonconforming,
    check_fork,
    check_fresh,
    check_independent,
    check_key_selection,
    check_loss,
    check_noise,
    check_randomized_response,
    check_selection,
    check_sensitivity,
    check_threads,
)
from discreet.testing.fit import Cells, Fit, gof, two_sample
from discreet.testing.laws import keep_law, noise_law, selection_law
from discreet.testing.ledger import ScratchLedger, with_fixed_randomness
from discreet.testing.private import check_private
from discreet.testing.rng import FixedRng
from discreet.testing.weighted import check_weighted_selection

__all__ = [
    "Cells",
    "Fit",
    "FixedRng",
    "Nonconforming",
    "ScratchLedger",
    "check_fork",
    "check_fresh",
    "check_independent",
    "check_key_selection",
    "check_loss",
    "check_noise",
    "check_private",
    "check_randomized_response",
    "check_selection",
    "check_sensitivity",
    "check_threads",
    "check_weighted_selection",
    "gof",
    "keep_law",
    "noise_law",
    "selection_law",
    "two_sample",
    "with_fixed_randomness",
]
