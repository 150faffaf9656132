"""Ceiling: the largest finite loss answers for δ only where nothing that no atom stands for could lie above it."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from discreet.accounting import profile
from discreet.errors import UnsupportedEvent
from discreet.events import DiscreteGaussian, FixedSizeSampled, Gaussian, RandomAllocation, Relation, Repeated

WHOLE = DiscreteGaussian(Fraction(1), Fraction(25))
ALLOCATED = RandomAllocation(4, Relation.ADD_REMOVE, Gaussian(1.0))


def test_a_discrete_gaussian_has_no_largest_loss():
    # δ(ε) ≥ P(X ≤ -m) - e^ε Q(X ≤ -m); at m = 83 half of P(X = -83) > 1e-62 has a loss above 3.3.
    found = profile(WHOLE).epsilon(0.0)
    assert found.lower > 2.6
    assert found.upper == math.inf
    assert profile(WHOLE).epsilon(1e-62).upper > 3.3


def test_a_table_without_its_end_does_not_answer_for_what_the_end_holds():
    # L ≥ log(e^{x - 1/2} / 4) for the step that holds the record, with x about N(1, 1): P(L > 10) > Φ(-10.9) > 5e-28.
    curve = profile(ALLOCATED)
    assert curve.delta(10.0).upper > 5e-28 * (1 - math.exp(-0.1))
    assert curve.epsilon(0.0).upper == math.inf
    assert curve.epsilon(1e-30).upper > 10.0


@pytest.mark.parametrize("event", [Repeated(3, WHOLE), Repeated(3, ALLOCATED)])
def test_composed_too(event):
    with pytest.raises(UnsupportedEvent):
        profile(event).epsilon(1e-60)


def test_one_moment_counts_what_a_table_holds_as_infinite():
    solver = profile(Repeated(3, ALLOCATED)).above[0]
    infinite = 3 * solver.composition.parts[0][0].table.infinite
    assert infinite > 0
    assert solver._chernoff(1000.0).upper >= infinite
    assert solver._at_most(0.5 * infinite) == math.inf
    assert solver._at_most(2 * infinite) > solver._at_most(1e-6)


def test_far_out_delta_falls_as_far_as_one_moment_shows():
    """The moment that says most is one of thousands here; a search that stops at a hundred makes δ rise again."""
    step = FixedSizeSampled(669_602, 2652, Relation.REPLACE_ONE, Gaussian(14.66))
    curve = profile(Repeated(4360, step))
    epsilon = curve.epsilon(2e-8).upper
    ends = [curve.delta(factor * epsilon).upper for factor in (1, 1.5, 4, 20, 1000)]
    assert ends == sorted(ends, reverse=True)
    assert ends[3] < 1e-300
