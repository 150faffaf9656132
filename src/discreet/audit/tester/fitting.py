"""Every scorer that outputs of a kind allow, fitted to training outputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from discreet.audit.tester.cells import Value, histogram, plane
from discreet.audit.tester.classifiers import boosted, logistic
from discreet.audit.tester.features import labels, numbers, off_lattice
from discreet.audit.tester.odds import odds, only
from discreet.audit.tester.outputs import Table
from discreet.audit.tester.scorers import Scorer

_SEVERAL = 0.05  # with fewer different outputs than this share, the odds of each say more than trees


def fitted(first: Table, second: Table) -> Iterator[Scorer]:
    """Yield the scorers, the plainest first: of two events that find as much, the earlier is told."""
    wide = first if first.parts >= second.parts else second
    ordered = list(numbers(wide))
    for part in range(min(wide.parts, 2)):
        ordered += [one for one in (off_lattice(first, part), off_lattice(second, part)) if one is not None]
    for number in ordered:
        yield Value(number)
    for label in labels(wide):
        yield only(label, first, second)
        yield odds(label, first, second)
    for number in ordered:
        yield histogram(number, first, second)
    if wide.parts == 2:
        yield plane(first, second)
    if wide.parts >= 2:
        yield logistic(first, second)
    if wide.parts >= 3 and np.unique(wide.whole).size > _SEVERAL * wide.size:
        yield boosted(first, second)
