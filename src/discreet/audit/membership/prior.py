"""A prior of variances, fitted to all records at once: few shadows then say enough about each of them.

Of the logarithms of sample variances s² with d degrees of freedom, a scaled inverse χ² prior with ν degrees
of freedom and scale σ² makes the mean log σ² + ψ(d/2) - log(d/2) - ψ(ν/2) + log(ν/2) and the variance
ψ'(d/2) + ψ'(ν/2): both are solved for ν and σ² (Smyth, 2004).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from discreet.audit.membership.signals import Side, special

# Of the pooled variance. Records of which all shadows are as sure as can be hardly vary; their logarithms, far below
# the others', would make the prior worth less than one observation. A tenth did best on tables, forests and digits.
STILLEST = 0.1
FIRMEST = 1e6  # degrees of freedom beyond which the variances are as good as equal


class Prior(NamedTuple):
    """What is believed of a record's variance before its own shadows are seen.

    Attributes:
        freedom: How many observations the belief is worth.
        variance: The variance that is believed.
    """

    freedom: float
    variance: float


def prior(side: Side) -> Prior:
    """Return the prior that the records' sample variances bear out."""
    digamma, polygamma = special().digamma, special().polygamma
    known = side.counts >= 2
    if not known.any():  # one shadow each: nothing to learn a spread from
        return Prior(1.0, side.pooled)
    freedom = side.counts[known] - 1.0
    sample = np.maximum(side.squares[known] / freedom, STILLEST * side.pooled)
    logs = np.log(sample) - digamma(freedom / 2) + np.log(freedom / 2)
    spread = float(logs.var(ddof=1) - polygamma(1, freedom / 2).mean()) if logs.size > 1 else 0.0
    half = _inverse_trigamma(spread) if spread > 0 else math.inf
    if 2 * half > FIRMEST:
        return Prior(FIRMEST, float(np.exp(logs.mean())))
    return Prior(2 * half, float(np.exp(logs.mean() + digamma(half) - math.log(half))))


def _inverse_trigamma(value: float) -> float:
    """Return x with ψ'(x) = value, by Newton's steps on 1/ψ', which is nearly straight."""
    polygamma = special().polygamma
    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 1e-6:
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x
