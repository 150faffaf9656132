"""Events: immutable descriptions of what ran, enough for any accountant, and nothing else.

The set is closed. An event at rest is plain data, `{"v": 1, "kind": ..., ...}`, read back through
the fixed table `KINDS`, never through an import by name. Evolution rules:
a kind is never removed and never changes its meaning; new fields are optional. The golden files
under tests/unit/golden keep this honest.

Exact mechanisms describe themselves with exact rationals (`Fraction`, written "3/4"); continuous
ones with floats. Sensitivities refer to the neighbouring relation of the privacy unit for which
the event is charged; sampled events, whose law depends on the relation, carry their own, and the
sensitivities of the event within refer to that.
"""

from discreet.events.checks import Relation
from discreet.events.codec import VERSION, from_dict, from_json, to_dict, to_json
from discreet.events.kinds import (
    KINDS,
    RDP,
    ZCDP,
    Approximate,
    Composed,
    CyclicPoissonSampled,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    ExponentialMechanism,
    FixedSizeSampled,
    Gaussian,
    KeySelection,
    Laplace,
    Mixture,
    NoisyMax,
    NonPrivate,
    PermuteAndFlip,
    PoissonSampled,
    PoissonSelection,
    PrivateSelection,
    Pure,
    RandomAllocation,
    RandomizedResponse,
    Repeated,
    Shuffled,
    Tabulated,
    TruncatedPoissonSampled,
    parts,
)

__all__ = [
    "KINDS",
    "RDP",
    "VERSION",
    "ZCDP",
    "Approximate",
    "Composed",
    "CyclicPoissonSampled",
    "DiscreteGaussian",
    "DiscreteLaplace",
    "Event",
    "ExponentialMechanism",
    "FixedSizeSampled",
    "Gaussian",
    "KeySelection",
    "Laplace",
    "Mixture",
    "NoisyMax",
    "NonPrivate",
    "PermuteAndFlip",
    "PoissonSampled",
    "PoissonSelection",
    "PrivateSelection",
    "Pure",
    "RandomAllocation",
    "RandomizedResponse",
    "Relation",
    "Repeated",
    "Shuffled",
    "Tabulated",
    "TruncatedPoissonSampled",
    "from_dict",
    "from_json",
    "parts",
    "to_dict",
    "to_json",
]
