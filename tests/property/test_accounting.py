"""What must hold of every account, whatever the events."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from discreet import events as e
from discreet.accounting import COST_UNIT, DELTA_UNIT, Cost, Measure, budget, capacity, cost, loss, profile, statement
from discreet.accounting.curves import analytic, exact
from discreet.errors import UnsupportedEvent

QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking would take minutes here
losses = st.floats(1e-9, 20.0)
deltas = st.floats(1e-15, 0.4)
rationals = st.fractions(Fraction(1, 1000), Fraction(1000), max_denominator=10**6)
orders = st.floats(1.001, 500.0)
measures = st.one_of(
    st.just(Measure("pure")), st.just(Measure("zcdp")), orders.map(lambda order: Measure("renyi", order))
)
singles = st.one_of(
    losses.map(e.Pure),
    st.builds(e.DiscreteLaplace, rationals, rationals),
    st.builds(e.DiscreteGaussian, rationals, rationals),
    losses.map(e.ExponentialMechanism),
    losses.map(e.PermuteAndFlip),
    losses.map(e.ZCDP),
    st.builds(e.Approximate, losses, deltas),
    st.builds(e.Gaussian, st.floats(0.05, 100.0)),
    st.builds(e.Laplace, st.floats(0.05, 100.0)),
    st.builds(e.KeySelection, losses, deltas, st.integers(1, 9)),
    st.builds(e.RandomizedResponse, losses, st.integers(2, 9)),
    st.builds(lambda q, x: e.PoissonSampled(q, e.Relation.ADD_REMOVE, e.Pure(x)), st.floats(1e-6, 1.0), losses),
)
trees = st.recursive(
    singles,
    lambda inner: st.one_of(
        st.builds(e.Repeated, st.integers(1, 1000), inner),
        st.lists(inner, max_size=4).map(lambda parts: e.Composed(tuple(parts))),
    ),
    max_leaves=6,
)


def price(event, measure):
    try:
        return cost(event, measure)
    except UnsupportedEvent:
        return None


@given(trees)
def test_codec_round_trip(event):
    assert e.from_json(e.to_json(event)) == event
    assert e.to_json(e.from_json(e.to_json(event))) == e.to_json(event)


@given(trees, trees, measures)
def test_composition_adds_and_does_not_mind_the_order(a, b, measure):
    one, two = price(a, measure), price(b, measure)
    both, reverse = price(e.Composed((a, b)), measure), price(e.Composed((b, a)), measure)
    assert both == reverse
    if one is None or two is None:
        assert both is None
        return
    assert one <= both
    assert two <= both
    # rounded up once instead of twice: never more than the sum, never two units less
    assert both <= one + two
    assert (one + two).loss - both.loss <= 2


@given(trees, st.integers(1, 500), measures)
def test_repeating_is_composing(event, count, measure):
    once = price(event, measure)
    again = price(e.Repeated(count, event), measure)
    assert (once is None) == (again is None)
    if once is not None and again is not None:
        exact = loss(event, measure)
        assert again.loss * COST_UNIT >= count * exact.loss
        assert again.delta * DELTA_UNIT >= count * exact.delta
        assert again.loss * COST_UNIT - count * exact.loss < COST_UNIT


@given(rationals, rationals)
def test_exact_mechanisms_cost_their_exact_ceiling(sensitivity, scale):
    laplace = cost(e.DiscreteLaplace(sensitivity, scale), Measure("pure"))
    assert laplace == Cost(math.ceil(sensitivity / scale * 2**40))
    gaussian = cost(e.DiscreteGaussian(sensitivity, scale), Measure("zcdp"))
    assert gaussian == Cost(math.ceil(sensitivity / (2 * scale) * 2**40))


@given(losses, deltas, measures)
@example(0.001, 0.001, Measure("renyi", 1.001))
@example(0.00105, 0.00105, Measure("renyi", 1.001))
@example(1.0, 1e-6, Measure("renyi", 1.001))
@settings(deadline=None, max_examples=40, phases=QUICK)
def test_a_full_filter_states_no_more_than_its_budget(epsilon, delta, measure):
    atoms = delta / 2
    units = budget(measure, epsilon=epsilon, delta=delta)
    # Near order 1 terms of the size of log(1/δ) / (order - 1) cancel, each rounded outward.
    most = epsilon * (1 + 1e-6) + 1e-9 + (1e-11 / (measure.order - 1) if measure.kind == "renyi" else 0.0)
    assert statement(measure, Cost(units), delta=delta * (1 + 1e-12)) <= most or units == 0
    if budget(measure, epsilon=epsilon, delta=math.nextafter(delta - atoms, 0)) > 0:
        full = capacity(measure, epsilon=epsilon, delta=delta, delta_atoms=atoms)
        stated = statement(measure, full, delta=delta)
        assert stated <= most


@given(st.integers(0, 2**45), st.integers(0, 2**45), deltas, measures)
@settings(deadline=None, max_examples=40, phases=QUICK)
def test_statements_grow_with_what_was_spent(less, more, delta, measure):
    less, more = sorted((less, more))
    assert statement(measure, Cost(less), delta=delta) <= statement(measure, Cost(more), delta=delta) * (1 + 1e-6)


EPSILONS = (0.0, 0.25, 0.5, 1.0, 2.0)
RATES = (0.0, 0.001, 0.01, 0.5, 1.0)
ULPS = 1 + 1e-14  # what the sums below can lose to rounding


def hold_together(curve, delta):
    """Assert that no two brackets of one curve contradict each other, whatever their widths.

    What is known from below at one point may nowhere exceed what is known from above: along the curve, which falls and
    is convex in e^ε, and there and back between ε and δ. Return the brackets of δ.
    """
    deltas = [curve.delta(epsilon) for epsilon in EPSILONS]
    assert all(0 <= one.lower <= one.upper <= 1 for one in deltas)
    for near, far in pairwise(deltas):
        assert far.lower <= near.upper
    for k in range(1, len(EPSILONS) - 1):
        low, mid, high = (math.exp(EPSILONS[k + step]) for step in (-1, 0, 1))
        share = (mid - low) / (high - low)
        assert deltas[k].lower <= ((1 - share) * deltas[k - 1].upper + share * deltas[k + 1].upper) * ULPS
    epsilon = curve.epsilon(delta)
    assert 0 <= epsilon.lower <= epsilon.upper
    if epsilon.upper < 600:
        assert curve.delta(epsilon.upper).lower <= delta
    if 0 < epsilon.lower < 600:
        assert curve.delta(epsilon.lower).upper >= delta
    for at, there in zip(EPSILONS, deltas, strict=True):
        assert there.lower <= delta or at <= epsilon.upper
        assert there.upper >= delta or at >= epsilon.lower
    if 1e-15 < deltas[2].upper < 0.4:
        assert curve.epsilon(deltas[2].upper).lower <= EPSILONS[2]
    if 1e-15 < deltas[2].lower < 0.4:
        assert curve.epsilon(deltas[2].lower).upper >= EPSILONS[2]
    return deltas


def hold_together_with_attackers(curve, delta):
    """Assert the same of the rates of attackers, which are concave, and of each with the curve that bounds them."""
    deltas = hold_together(curve, delta)
    rates = [curve.true_positive_rate(rate) for rate in RATES]
    advantage = curve.advantage()
    assert all(0 <= one.lower <= one.upper <= 1 for one in (*rates, advantage))
    for less, more in pairwise(rates):
        assert less.lower <= more.upper
    for k in range(1, len(RATES) - 1):
        share = (RATES[k] - RATES[k - 1]) / (RATES[k + 1] - RATES[k - 1])
        assert rates[k].upper * ULPS >= (1 - share) * rates[k - 1].lower + share * rates[k + 1].lower
    for rate, found in zip(RATES, rates, strict=True):
        assert rate <= found.upper
        assert found.lower - rate <= advantage.upper * ULPS
        for epsilon, at in zip(EPSILONS, deltas, strict=True):
            assert found.lower <= (math.exp(epsilon) * rate + at.upper) * ULPS
    assert deltas[0].lower <= advantage.upper
    assert advantage.lower <= deltas[0].upper * ULPS


@given(trees, deltas)
@settings(deadline=None, max_examples=20, phases=QUICK)
def test_profiles_without_an_engine_are_curves(event, delta):
    """The upper ends by themselves form a curve too: the searches that they end with are that good."""
    curve = analytic_of(event)
    if curve is None:
        return
    hold_together_with_attackers(curve, delta)
    epsilon = curve.epsilon(delta).upper
    if epsilon < 600:
        assert curve.delta(epsilon).upper <= delta * (1 + 1e-5)  # two searches, the one for the inverse of the other
    ends = [curve.delta(at).upper for at in EPSILONS]
    assert all(far <= near * (1 + 1e-9) for near, far in pairwise(ends))
    rates = [curve.true_positive_rate(rate).upper for rate in RATES]
    assert rates == sorted(rates)


def analytic_of(event):
    try:
        return exact(event) or analytic(event)
    except UnsupportedEvent:
        return None


small = st.one_of(
    st.floats(0.05, 2.0).map(e.Pure),
    st.builds(e.Gaussian, st.floats(0.5, 20.0)),
    st.builds(e.Laplace, st.floats(0.5, 20.0)),
    st.builds(e.Approximate, st.floats(0.05, 2.0), st.floats(1e-12, 1e-3)),
    st.builds(
        e.PoissonSampled,
        st.floats(1e-4, 0.5),
        st.just(e.Relation.ADD_REMOVE),
        st.builds(e.Gaussian, st.floats(0.5, 9.0)),
    ),
)


quick = st.one_of(
    st.floats(0.05, 2.0).map(e.Pure),
    st.builds(e.Approximate, st.floats(0.05, 2.0), st.floats(1e-12, 1e-3)),
    st.builds(
        e.PoissonSampled,
        st.floats(0.05, 0.5),
        st.just(e.Relation.ADD_REMOVE),
        st.builds(e.Gaussian, st.floats(1.0, 9.0)),
    ),
)


@given(quick, st.integers(10, 30), st.floats(1e-9, 1e-2))
@settings(deadline=None, max_examples=5, phases=QUICK)
def test_profiles_of_the_engines_are_curves(event, count, delta):
    curve = profile(e.Repeated(count, event))
    if isinstance(event, e.PoissonSampled):  # each rate of an attacker would ask for the curve at dozens of points
        hold_together(curve, delta)
    else:
        hold_together_with_attackers(curve, delta)
    # Where the brackets are narrow, what they bound is a curve nearly to the last digit.
    found = curve.epsilon(delta)
    if 0 < found.upper < 600:
        assert found.lower > 0
        back = curve.delta(found.upper)
        assert back.lower <= delta <= curve.delta(found.lower).upper
        slack = 1 + 2 * (found.width * 1.01 + back.width / delta) + 1e-9
        assert delta / slack <= back.upper <= delta * slack


@given(small, st.integers(1, 30), st.floats(1e-9, 1e-2))
@settings(deadline=None, max_examples=8, phases=QUICK)
def test_the_engines_are_never_above_the_analytic_curve(event, count, delta):
    """Two roads to one number: what is proved without an engine is above the lower end of the engine's bracket."""
    many = e.Repeated(count, event)
    try:
        ours = profile(many).epsilon(delta)
    except UnsupportedEvent:
        return
    rough = analytic(many).epsilon(delta)
    assert ours.lower <= rough.upper
    assert ours.upper <= rough.upper * (1 + 1e-5) + 1e-9
