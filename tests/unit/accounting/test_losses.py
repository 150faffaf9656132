"""Costs, filters and profiles: exact values, and refusals."""

import math
from fractions import Fraction

import mpmath as mp
import pytest

from discreet import accounting as a
from discreet import events as e
from discreet.accounting.curves import analytic
from discreet.accounting.filters import above
from discreet.errors import InvalidInput, UnsupportedEvent

PURE, ZCDP, RENYI = a.Measure("pure"), a.Measure("zcdp"), a.Measure("renyi", 8.0)
ADD, ONE, ZERO = e.Relation.ADD_REMOVE, e.Relation.REPLACE_ONE, e.Relation.ZERO_OUT


@pytest.mark.parametrize(
    ("event", "measure", "loss"),
    [
        (e.Pure(0.5), PURE, Fraction(1, 2)),
        (e.DiscreteLaplace(Fraction(3), Fraction(4)), PURE, Fraction(3, 4)),
        (e.DiscreteGaussian(Fraction(3), Fraction(6)), ZCDP, Fraction(1, 4)),
        (e.DiscreteGaussian(Fraction(3), Fraction(6)), RENYI, Fraction(2)),
        (e.Gaussian(2.0), ZCDP, Fraction(1, 8)),
        (e.ExponentialMechanism(0.5), PURE, Fraction(1, 2)),
        (e.ExponentialMechanism(0.5), ZCDP, Fraction(1, 32)),
        (e.Repeated(4, e.ZCDP(0.25)), ZCDP, Fraction(1)),
        (e.Composed(()), PURE, Fraction(0)),
        (e.RDP((4.0, 16.0), (0.5, 1.0)), RENYI, Fraction(1)),
        (e.Mixture((0.5, 0.5), (e.Pure(0.5), e.Pure(0.25))), PURE, Fraction(1, 2)),
        (e.Mixture((0.5, 0.5), (e.ZCDP(0.5), e.Gaussian(2.0))), ZCDP, Fraction(1, 2)),
        (e.Mixture((0.5, 0.5), (e.ZCDP(0.5), e.Gaussian(2.0))), RENYI, Fraction(4)),
        (e.Shuffled((0.5, 1.5), (100, 3), 4), PURE, Fraction(3, 2)),
        (e.RandomAllocation(100, ADD, e.Composed((e.Pure(0.5), e.Pure(0.25)))), PURE, Fraction(3, 4)),
        (e.Tabulated((0.5, 0.5), (0.5, 0.5)), PURE, Fraction(0)),
    ],
)
def test_exact_losses(event, measure, loss):
    assert a.loss(event, measure).loss == loss
    assert a.cost(event, measure).loss == math.ceil(loss * 2**40)


def test_only_the_softmax_mechanism_is_charged_as_bounded_range():
    for event in (e.PermuteAndFlip(0.5), e.NoisyMax(0.5)):
        assert a.loss(event, ZCDP).loss > Fraction(1, 32) * 3


def test_deltas_go_to_their_own_column():
    event = e.Composed((e.Approximate(0.5, 1e-7), e.Repeated(3, e.KeySelection(0.1, 1e-8, 2))))
    cost = a.cost(event, ZCDP)
    assert cost.delta == math.ceil((Fraction(1e-7) + 3 * Fraction(1e-8)) * 2**60)


@pytest.mark.parametrize(
    ("event", "measure"),
    [
        (e.Gaussian(1.0), PURE),
        (e.DiscreteGaussian(Fraction(1), Fraction(1)), PURE),
        (e.ZCDP(0.1), PURE),
        (e.RDP((2.0,), (0.1,)), ZCDP),
        (e.RDP((2.0,), (0.1,)), RENYI),
        (e.PoissonSampled(0.1, e.Relation.ADD_REMOVE, e.Gaussian(1.0)), ZCDP),
        (e.PoissonSampled(0.1, e.Relation.REPLACE_ONE, e.Pure(1.0)), PURE),
        (e.PoissonSampled(0.1, e.Relation.ADD_REMOVE, e.RandomizedResponse(1.0, 2)), PURE),
        (e.TruncatedPoissonSampled(0.1, 100, 20, e.Relation.ZERO_OUT, e.Pure(1.0)), PURE),
        (e.FixedSizeSampled(100, 20, e.Relation.REPLACE_ONE, e.Pure(1.0)), PURE),
        (e.Mixture((0.5, 0.5), (e.Pure(0.5), e.ZCDP(0.5))), PURE),
        (e.Mixture((0.5, 0.5), (e.Pure(0.5), e.NonPrivate())), RENYI),
        (e.RandomAllocation(100, ADD, e.Gaussian(1.0)), ZCDP),
        (e.RandomAllocation(100, ADD, e.RandomizedResponse(1.0, 2)), PURE),
        (e.RandomAllocation(100, ADD, e.PoissonSampled(0.1, ZERO, e.Pure(1.0))), PURE),
        (e.CyclicPoissonSampled(0.1, 4, 100, ADD, e.Gaussian(1.0)), ZCDP),
        (e.PoissonSampled(0.1, ADD, e.RandomizedResponse(1.0, 2)), RENYI),
        (e.PoissonSampled(0.1, ADD, e.PoissonSampled(0.1, ONE, e.Gaussian(1.0))), RENYI),
        (e.TruncatedPoissonSampled(0.1, 100, 20, ZERO, e.Gaussian(1.0)), ZCDP),
        (e.FixedSizeSampled(100, 20, ONE, e.Gaussian(1.0)), ZCDP),
        (e.FixedSizeSampled(100, 20, ZERO, e.Gaussian(1.0)), RENYI),
        (e.PoissonSampled(0.5, ADD, e.Gaussian(1e-200)), RENYI),
        (e.CyclicPoissonSampled(0.1, 4, 100, ONE, e.Pure(1.0)), PURE),
        (e.PrivateSelection(9.0, 1.0, e.Gaussian(1.0)), PURE),
        (e.PrivateSelection(9.0, 1.0, e.Gaussian(1.0)), ZCDP),
        (e.PrivateSelection(9.0, 1.0, e.Approximate(1.0, 1e-9)), PURE),
        (e.PrivateSelection(9.0, 1.0, e.Composed((e.Gaussian(1.0), e.Approximate(1.0, 1e-9)))), RENYI),
        (e.PrivateSelection(9.0, 1.0, e.PoissonSelection(9.0, e.Gaussian(1.0))), RENYI),
        (e.PoissonSelection(9.0, e.KeySelection(1.0, 1e-9, 1)), PURE),
        (e.NonPrivate(), ZCDP),
        (e.Composed((e.Pure(0.1), e.NonPrivate())), ZCDP),
    ],
)
def test_what_is_unknown_is_refused(event, measure):
    with pytest.raises(UnsupportedEvent):
        a.cost(event, measure)


def test_sampling_amplifies_pure_epsilon():
    amplified = a.loss(e.PoissonSampled(0.01, e.Relation.ADD_REMOVE, e.Pure(1.0)), PURE).loss
    exact = math.log1p(0.01 * math.expm1(1.0))
    assert exact <= float(amplified) <= exact * (1 + 1e-9)


@pytest.mark.parametrize("measure", [PURE, ZCDP, RENYI])
def test_measures_are_read_as_written(measure):
    assert a.Measure.parse(str(measure)) == measure


@pytest.mark.parametrize("text", ["", "rdp", "renyi", "renyi(1)", "renyi(-2)", "renyi(2", "renyi(1e9)", "Zcdp", None])
def test_wrong_measures_are_refused(text):
    with pytest.raises(InvalidInput):
        a.Measure.parse(text)


def test_the_default_order_is_good_for_its_budget():
    measure = a.Measure.renyi_for(1.0, 1e-6)
    mine = a.budget(measure, epsilon=1.0, delta=1e-6) / measure.order
    assert mine >= a.budget(ZCDP, epsilon=1.0, delta=1e-6) * 0.999


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": -1.0, "delta": 1e-6, "delta_atoms": 0.0},
        {"epsilon": math.nan, "delta": 1e-6, "delta_atoms": 0.0},
        {"epsilon": 1.0, "delta": 0.0, "delta_atoms": 0.0},
        {"epsilon": 1.0, "delta": 1.0, "delta_atoms": 0.0},
        {"epsilon": 1.0, "delta": 1e-6, "delta_atoms": 1e-6},
        {"epsilon": 1.0, "delta": 1e-6, "delta_atoms": 1e-5},
        {"epsilon": 0.0, "delta": 1e-9, "delta_atoms": 0.0},  # 1e-6 would buy one unit: (0, δ)-DP
    ],
)
def test_wrong_budgets_are_refused(wrong):
    with pytest.raises(InvalidInput):
        a.capacity(ZCDP, **wrong)


def test_statements_at_the_edges():
    assert a.statement(ZCDP, a.Cost(), delta=1e-6) == 0
    assert a.statement(ZCDP, a.Cost(1, 2**60), delta=1e-6) == math.inf
    assert a.statement(PURE, a.Cost(2**40), delta=0.0) == 1.0
    assert a.statement(PURE, a.Cost(1, 1), delta=0.0) == math.inf


def test_profiles_of_what_is_known_exactly():
    pair = a.profile(e.Composed((e.Gaussian(1.0), e.Repeated(3, e.Gaussian(1.0)))))
    assert pair.epsilon(1e-5).upper == pytest.approx(a.gaussian_epsilon(2.0, 1e-5), rel=1e-12)
    assert pair.epsilon(1e-5).upper * (1 - 1e-9) <= pair.epsilon(1e-5).lower <= pair.epsilon(1e-5).upper
    worst = a.profile(e.Pure(1.0))
    assert worst.delta(0.0).upper == pytest.approx(math.tanh(0.5), rel=1e-9)
    assert worst.delta(0.0).lower == pytest.approx(math.tanh(0.5), rel=1e-9)
    assert worst.epsilon(0.0).upper == 1.0
    assert worst.advantage().upper == pytest.approx(math.tanh(0.5), rel=1e-9)
    with pytest.raises(UnsupportedEvent):
        a.profile(e.NonPrivate())


def test_a_mixed_history_is_bounded_by_each_of_its_bounds():
    history = e.Composed((e.Repeated(20, e.DiscreteLaplace(Fraction(1), Fraction(20))), e.Approximate(0.5, 1e-9)))
    curve = a.profile(history)
    assert curve.epsilon(1e-6).upper <= 1.5 + 1e-9
    assert curve.epsilon(1e-10).upper == math.inf


def test_bounds_of_the_continuous_gaussian_do_not_carry_over_to_the_discrete_one():
    discrete = e.DiscreteGaussian(Fraction(1), Fraction(4))
    for event in (discrete, e.Composed((discrete, e.Gaussian(2.0))), e.Repeated(3, discrete)):
        assert "exact Gaussian" not in a.profile(event).method
    assert a.profile(e.Gaussian(2.0)).method == "exact Gaussian"
    assert analytic(discrete).epsilon(1e-6).upper > a.profile(e.Gaussian(2.0)).epsilon(1e-6).upper * 1.01
    # Its own pair is another law: less can be told from it here, and that is seen only by its own curve.
    own, continuous = a.profile(discrete).epsilon(1e-6), a.profile(e.Gaussian(2.0)).epsilon(1e-6)
    assert own.upper < continuous.lower or continuous.upper < own.lower


def test_sampling_keeps_its_share_of_delta():
    sampled = e.PoissonSampled(0.25, e.Relation.ADD_REMOVE, e.Approximate(1.0, 1e-6))
    assert a.loss(sampled, PURE).delta == Fraction(1e-6) / 4


@pytest.mark.parametrize("part", [e.ZCDP(0.1), e.Pure(0.5), e.RDP((2.0, 8.0), (0.1, 0.4)), e.Approximate(0.5, 1e-9)])
def test_no_curve_falls_below_the_delta_atoms(part):
    curve = a.profile(e.Composed((part, e.KeySelection(0.1, 1e-3, 1))))
    for epsilon in (0.0, 1.0, 100.0):
        assert curve.delta(epsilon).upper >= 1e-3
    assert curve.epsilon(0.9e-3).upper == math.inf
    assert curve.true_positive_rate(0.0).upper >= 1e-3


@pytest.mark.parametrize("value", [Fraction(1, 3), Fraction(1, 10), Fraction(2**53 + 1), Fraction(1, 2**1080)])
def test_above_is_the_least_float_that_is_not_below(value):
    assert Fraction(above(value)) >= value
    assert value == 0 or Fraction(math.nextafter(above(value), 0.0)) < value
    assert above(Fraction(10) ** 400) == math.inf


@pytest.mark.parametrize("mu", [1e-3, 0.5, 1.0, 7.0])
@pytest.mark.parametrize("delta", [1e-12, 1e-6, 0.01])
def test_inverses_end_on_the_side_that_holds(mu, delta):
    assert a.gaussian_delta(mu, a.gaussian_epsilon(mu, delta)) <= delta
    assert a.gaussian_delta(a.gaussian_mu(1.0, delta), 1.0) <= delta


def test_a_cost_fits_only_in_both_columns():
    assert a.Cost(1, 1) <= a.Cost(1, 1)
    assert not a.Cost(2, 0) <= a.Cost(1, 1)
    assert not a.Cost(0, 2) <= a.Cost(1, 1)


def test_losses_beyond_all_floats_are_costs_like_others():
    laplace = e.DiscreteLaplace(Fraction(10) ** 400, Fraction(1))
    for measure in (PURE, ZCDP, RENYI):
        price = a.cost(laplace, measure)
        assert price.loss >= 10**400
        assert a.statement(measure, price, delta=1e-6) == math.inf
    a.cost(e.Laplace(1e-308), RENYI)
    assert a.cost(e.PoissonSampled(0.5, e.Relation.ADD_REMOVE, e.Laplace(1e-308)), PURE).loss > 2**40


def test_what_no_noise_can_be_proved_to_give_is_refused():
    for epsilon, delta in ((0.0, 1e-14), (1.0, 1e-305)):
        with pytest.raises(InvalidInput, match="no noise multiplier"):
            a.noise_multiplier(target_epsilon=epsilon, target_delta=delta)


@pytest.mark.parametrize(
    ("event", "relation"),
    [
        (e.PoissonSampled(0.1, e.Relation.ADD_REMOVE, e.Pure(1.0)), e.Relation.REPLACE_ONE),
        (e.PoissonSampled(0.1, e.Relation.REPLACE_ONE, e.Pure(1.0)), e.Relation.ADD_REMOVE),
        (e.RandomizedResponse(1.0, 2), e.Relation.ADD_REMOVE),
        (e.RandomizedResponse(1.0, 2), e.Relation.ZERO_OUT),
        (e.Repeated(2, e.Composed((e.Pure(1.0), e.RandomizedResponse(1.0, 2)))), e.Relation.ADD_REMOVE),
        (e.Shuffled((1.0,), (100,), 2), ADD),
        (e.Mixture((1.0,), (e.Shuffled((1.0,), (100,), 2),)), ZERO),
        (e.RandomAllocation(10, ADD, e.Gaussian(1.0)), ZERO),
        (e.CyclicPoissonSampled(0.1, 2, 10, ONE, e.Gaussian(1.0)), ADD),
        (e.PrivateSelection(9.0, 1.0, e.PoissonSampled(0.1, ADD, e.Gaussian(1.0))), ONE),
        (e.PoissonSelection(9.0, e.RandomizedResponse(1.0, 2)), ADD),
    ],
)
def test_an_event_of_another_relation_is_refused(event, relation):
    with pytest.raises(UnsupportedEvent, match="this account protects under"):
        a.check_relation(event, relation)
    a.check_relation(e.Composed((e.Pure(1.0), e.Gaussian(2.0))), relation)


def test_a_gaussian_that_protects_nobody_says_so():
    for mu in (1.1e7, 1e15, 1e300):
        assert a.gaussian_delta(mu, 1.0) == 1.0
        assert a.gaussian_epsilon(mu, 1e-6) == math.inf


def test_a_mixture_keeps_the_deltas_of_its_parts():
    mixed = e.Mixture((0.5, 0.5), (e.Gaussian(2.0), e.Composed((e.Approximate(0.5, 1e-9), e.Approximate(0.5, 1e-9)))))
    assert a.loss(mixed, ZCDP).delta == 2 * Fraction(1e-9)
    assert a.profile(mixed).epsilon(1e-9).upper == math.inf
    assert a.loss(e.Mixture((1.0,), (e.Approximate(0.5, 1e-9),)), PURE) == a.Loss(Fraction(0.5), Fraction(1e-9))


@pytest.mark.parametrize(
    ("first", "second", "epsilon", "delta"),
    [
        ((0.75, 0.25), (0.25, 0.75), math.log(3), 0.0),
        ((0.5, 0.5, 0.0), (0.25, 0.5, 0.25), math.log(2), 0.25),
        ((0.5, 0.25, 0.25), (0.5, 0.5, 0.0), math.log(2), 0.25),
        ((1.0, 0.0), (0.0, 1.0), 0.0, 1.0),
        ((1e-300, 1.0), (1e-4, 0.9999), math.log(1e296), 0.0),
        ((5e-324, 1.0), (0.5, 0.5), 1074 * math.log(2) - math.log(2), 0.0),
        ((0.5, 0.5), (0.5 + 2**-50, 0.5 - 2**-50), -math.log1p(-(2**-49)), 0.0),
    ],
)
def test_tables_cost_their_largest_ratio_and_the_mass_that_one_side_lacks(first, second, epsilon, delta):
    for event in (e.Tabulated(first, second), e.Tabulated(second, first)):
        bound = a.loss(event, PURE)
        assert epsilon * (1 - 1e-15) <= bound.loss <= epsilon * (1 + 3e-13) + 1e-300
        assert bound.delta == Fraction(delta)


def test_tables_are_read_in_proportion():
    tenths = (0.1,) * 10
    assert a.loss(e.Tabulated(tenths, tenths), PURE).loss == 0
    assert a.loss(e.Tabulated((0.5, 0.5 + 5e-13), (0.5, 0.5)), PURE).loss > Fraction(1, 10**13)


def test_a_cyclic_step_costs_only_its_group():
    once = a.loss(e.PoissonSampled(0.1, ADD, e.Approximate(1.0, 1e-9)), PURE)
    for steps, runs in ((1, 1), (4, 1), (5, 2), (100, 25), (101, 26)):
        event = e.CyclicPoissonSampled(0.1, 4, steps, ADD, e.Approximate(1.0, 1e-9))
        assert a.loss(event, PURE) == a.Loss(runs * once.loss, runs * once.delta)


def test_selection_of_pure_runs():
    for shape in (-0.5, 0.0, 1.0, 3.0):
        bound = a.loss(e.PrivateSelection(1e9, shape, e.Repeated(2, e.Pure(0.5))), PURE).loss
        assert 1 + Fraction(1 + shape) / 2 < bound <= 2 + Fraction(shape)
        assert a.loss(e.PrivateSelection(1 + 1e-9, shape, e.Pure(1.0)), PURE).loss < 1 + Fraction(1, 10**6)
    assert float(a.loss(e.PoissonSelection(3.0, e.Pure(1.0)), PURE).loss) == pytest.approx(1 + 3 * math.tanh(0.5))
    huge = e.DiscreteLaplace(Fraction(10) ** 400, Fraction(1))
    assert a.loss(e.PrivateSelection(2.0, 1.0, huge), PURE).loss == 3 * Fraction(10) ** 400
    assert a.loss(e.PoissonSelection(2.0, huge), PURE).loss == Fraction(10) ** 400 + 2
    assert a.loss(e.PrivateSelection(2.0, 1.7e308, e.Pure(1.0)), PURE).loss >= 1
    assert a.loss(e.PoissonSelection(1.7e308, e.Pure(1.0)), PURE).loss >= Fraction(10) ** 307
    inner = e.PrivateSelection(2.0, 1.0, e.Pure(1.0))
    assert a.loss(e.PrivateSelection(2.0, 1.0, inner), PURE).loss > a.loss(inner, PURE).loss


def test_selection_of_gaussian_runs():
    once = e.Gaussian(5.0)
    geometric = e.PrivateSelection(20.0, 1.0, once)
    surprise, rho = math.log(20), 1 / 50
    best = max(8.0, 1 + math.sqrt(surprise / rho))
    exact = best * rho + surprise / (best - 1) + 2 * (2 * math.sqrt(rho * surprise) - rho)
    assert exact <= float(a.loss(geometric, RENYI).loss) <= exact * (1 + 1e-8)
    curve = a.profile(geometric)
    assert curve.epsilon(1e-6).upper > a.profile(once).epsilon(1e-6).upper
    assert a.profile(e.PoissonSelection(20.0, once)).epsilon(1e-6).upper > a.profile(once).epsilon(1e-6).upper
    known = e.RDP((2.0, 9.0), (0.1, 0.5))
    assert a.loss(e.PrivateSelection(2.0, 0.0, known), RENYI).loss > Fraction(1, 2)
    with pytest.raises(UnsupportedEvent):
        a.loss(e.PrivateSelection(2.0, 0.0, known), a.Measure("renyi", 10.0))


def binomial_moment(rate, multiplier, order):
    """The divergence of a Poisson-sampled Gaussian at a whole order, P sampled and Q not, in closed form."""
    with mp.workdps(60):
        q = mp.mpf(rate)
        terms = (
            mp.binomial(order, k)
            * (1 - q) ** (order - k)
            * q**k
            * mp.exp(mp.mpf(k * (k - 1)) / (2 * mp.mpf(multiplier) ** 2))
            for k in range(order + 1)
        )
        return mp.log(mp.fsum(terms)) / (order - 1)


@pytest.mark.parametrize(
    ("rate", "multiplier", "order"), [(0.01, 1.0, 8), (0.001, 0.8, 16), (0.2, 2.0, 3), (1e-7, 0.3, 32), (0.5, 0.2, 64)]
)
def test_a_sampled_gaussian_costs_its_divergence(rate, multiplier, order):
    event = e.PoissonSampled(rate, ADD, e.Gaussian(multiplier))
    bound, truth = a.loss(event, a.Measure("renyi", float(order))), binomial_moment(rate, multiplier, order)
    with mp.workdps(60):
        assert truth <= mp.mpf(bound.loss.numerator) / bound.loss.denominator <= truth * (1 + mp.mpf("1e-11"))
    assert bound.delta == 0


@pytest.mark.parametrize(
    "event",
    [
        e.PoissonSampled(0.01, ADD, e.Gaussian(1.0)),
        e.PoissonSampled(0.01, ONE, e.Gaussian(1.0)),
        e.FixedSizeSampled(1000, 10, ONE, e.Gaussian(1.0)),
        e.TruncatedPoissonSampled(0.01, 1000, 400, ZERO, e.Gaussian(1.0)),
        e.CyclicPoissonSampled(0.01, 4, 4, ADD, e.Gaussian(1.0)),
    ],
)
def test_sampling_amplifies_renyi_losses(event):
    sampled = a.loss(event, RENYI)
    assert 0 < sampled.loss < a.loss(e.Gaussian(1.0), RENYI).loss / 100
    assert sampled.delta == 0
    assert a.cost(e.Repeated(10_000, event), RENYI).loss == math.ceil(10_000 * sampled.loss * 2**40)


def test_one_step_of_random_allocation_is_its_event():
    assert a.loss(e.RandomAllocation(1, ADD, e.Gaussian(1.0)), RENYI).loss == pytest.approx(4, rel=1e-9)


def test_what_a_pair_shows_outright_is_charged_beside_its_divergence():
    """P shows itself with chance 1/4: the rest is P given that it does not, so the divergence is that of (2/3, 1/3)."""
    event = e.Tabulated((0.25, 0.5, 0.25), (0.0, 0.5, 0.5))
    for order in (1.5, 2.0, 8.0):
        bound = a.loss(event, a.Measure("renyi", order))
        inner = math.log((2 / 3) ** order * 0.5 ** (1 - order) + (1 / 3) ** order * 0.5 ** (1 - order)) / (order - 1)
        assert inner <= float(bound.loss) <= float(a.loss(event, PURE).loss) * 1.5 + 1
        assert 0.25 <= bound.delta < 0.2501
    sampled = e.PoissonSampled(0.1, ADD, e.Approximate(1.0, 1e-6))
    for order in (1.01, 2.0, 100.0):
        bound = a.loss(sampled, a.Measure("renyi", order))
        assert bound.delta >= Fraction(1e-6) / 10
        assert bound.delta <= Fraction(1e-6) / 10 * (1 + Fraction(1, 10**9))
        assert bound.loss > 0


def test_the_delta_of_an_event_is_one_for_all_orders():
    """A curve takes the best of many orders and one δ beside them."""
    events = (
        e.Tabulated((0.25, 0.5, 0.25), (0.0, 0.5, 0.5)),
        e.PoissonSampled(0.1, ADD, e.Approximate(1.0, 1e-6)),
        e.PoissonSampled(0.1, ADD, e.Gaussian(1.0)),
    )
    for event in events:
        assert len({a.loss(event, a.Measure("renyi", order)).delta for order in (1.001, 1.5, 8.0, 32.0)}) == 1


def test_the_best_of_several_training_runs():
    run = e.Repeated(100, e.PoissonSampled(0.01, ADD, e.Gaussian(1.0)))
    once = a.loss(run, RENYI).loss
    chosen = a.loss(e.PrivateSelection(9.0, 1.0, run), RENYI).loss
    assert once < chosen
    # The orders in between are read off a chord above the true curve, so a run known at every order is no worse.
    rho = Fraction(1, 10)
    assert a.loss(e.PrivateSelection(9.0, 1.0, e.ZCDP(0.1)), RENYI).loss > 8 * rho
