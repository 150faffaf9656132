"""Paired bounds, their ceilings, and thresholds that do not spoil them."""

import math
from functools import partial

import numpy as np
import pytest

from discreet import events
from discreet.accounting import gaussian_mu, profile
from discreet.accounting.curves import ApproximateProfile, GaussianProfile
from discreet.audit.statistics import bands, thresholds
from discreet.audit.statistics.bound import LowerBound, show_down
from discreet.audit.statistics.paired import (
    Counts,
    epsilon_bound,
    epsilon_ceiling,
    mu_bound,
    mu_ceiling,
    point,
)
from discreet.errors import InvalidInput
from discreet.mechanisms import Rng

CERTIFY = partial(epsilon_bound, delta=1e-5)
INSIDE, OUTSIDE = np.linspace(0, 4, 401), np.linspace(-1, 3, 401)


@pytest.mark.parametrize(("n", "epsilon"), [(100, 3.28), (1000, 5.60), (5000, 7.21), (100_000, 10.2)])
def test_the_ceilings_of_epsilon(n, epsilon):
    assert epsilon_ceiling(n, n, delta=0, alpha=0.05) == pytest.approx(epsilon, abs=0.01)


@pytest.mark.parametrize(("n", "mu"), [(100, 3.59), (1000, 5.36), (5000, 6.36)])
def test_the_ceilings_of_mu(n, mu):
    assert mu_ceiling(n, n, alpha=0.05) == pytest.approx(mu, abs=0.005)


def test_a_bound_follows_from_the_corner_of_the_box():
    counts = Counts(900, 1000, 20, 1000)
    corner = point(counts, alpha=0.05)
    bound = epsilon_bound(counts, delta=1e-3, alpha=0.05)
    by_hand = max(
        math.log((corner.true_positive_rate - 1e-3) / corner.false_positive_rate),
        math.log((1 - corner.false_positive_rate - 1e-3) / (1 - corner.true_positive_rate)),
    )
    assert bound.value == pytest.approx(by_hand, rel=1e-9)
    assert bound.value <= by_hand * (1 + 1e-12)
    assert bound.value < bound.ceiling == pytest.approx(epsilon_ceiling(1000, 1000, delta=1e-3, alpha=0.05))
    assert bound.trials == 2000


def test_the_better_of_both_sides_counts():
    """Few false negatives say as much as few false positives."""
    first = epsilon_bound(Counts(500, 1000, 0, 1000), delta=0, alpha=0.05)
    second = epsilon_bound(Counts(1000, 1000, 500, 1000), delta=0, alpha=0.05)
    assert first.value == pytest.approx(second.value, rel=1e-9)


def test_the_box_and_the_curve_agree():
    """The bound is the ε at which the corner lies exactly on the curve of (ε, δ)."""
    counts = Counts(700, 1000, 100, 1000)
    corner, bound = point(counts, alpha=0.05), epsilon_bound(counts, delta=1e-4, alpha=0.05)
    for shift, inside in ((-1e-6, False), (1e-6, True)):
        most = ApproximateProfile(bound.value + shift, 1e-4).true_positive_rate(corner.false_positive_rate).upper
        assert (corner.true_positive_rate <= most) is inside
    mu = mu_bound(counts, alpha=0.05).value
    for shift, inside in ((-1e-6, False), (1e-6, True)):
        most = GaussianProfile(mu + shift).true_positive_rate(corner.false_positive_rate).upper
        assert (corner.true_positive_rate <= most) is inside


@pytest.mark.parametrize("counts", [Counts(0, 10, 0, 10), Counts(10, 10, 10, 10), Counts(3, 10, 9, 10)])
def test_nothing_found_is_zero(counts):
    assert epsilon_bound(counts, delta=0, alpha=0.05).value == 0
    assert mu_bound(counts, alpha=0.05).value == 0


def test_delta_beyond_what_was_seen_is_zero():
    assert epsilon_bound(Counts(5, 1000, 0, 1000), delta=0.5, alpha=0.05).value == 0


STRATEGIES = [
    partial(thresholds.explicit, threshold=2.0),
    thresholds.split,
    partial(thresholds.multisplit, splits=5),
    partial(thresholds.bonferroni, thresholds=[1.0, 2.0, 3.0]),
    thresholds.by_rank,
]


@pytest.mark.parametrize("certify", [CERTIFY, mu_bound])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_finds_something_and_knows_its_ceiling(strategy, certify):
    bound = strategy(INSIDE, OUTSIDE, alpha=0.05, certify=certify)
    assert 0 < bound.value < bound.ceiling
    assert bound.alpha == 0.05
    assert bound.certified


def test_explicit_counts_scores_at_the_threshold():
    bound = thresholds.explicit([1, 2, 3], [0, 1, 2], 2.0, alpha=0.05, certify=CERTIFY)
    assert bound == CERTIFY(Counts(2, 3, 1, 3), alpha=0.05)


def test_bonferroni_pays_for_each_threshold_once():
    three = thresholds.bonferroni(INSIDE, OUTSIDE, [3.5, 3.5, 2.0, 3.0], alpha=0.06, certify=CERTIFY)
    best = max(thresholds.explicit(INSIDE, OUTSIDE, t, alpha=0.02, certify=CERTIFY).value for t in (3.5, 2.0, 3.0))
    assert three.value == best


def test_by_rank_takes_the_nominal_number_of_false_positives():
    """Above the highest score without the target: k = 0, whatever lies there."""
    inside, outside = np.r_[np.full(60, 9.0), np.zeros(40)], np.linspace(0, 1, 100)
    ranks = len(thresholds._ranks(100))
    bound = thresholds.by_rank(inside, outside, alpha=0.05, certify=CERTIFY)
    assert bound.value == CERTIFY(Counts(60, 100, 0, 100), alpha=0.05 / (2 * ranks)).value


def test_by_rank_does_not_count_ties_as_above():
    """Scores with the target that equal a score without it are not above it."""
    halves = np.r_[np.zeros(50), np.ones(50)]
    assert thresholds.by_rank(halves, halves, alpha=0.05, certify=CERTIFY).value == 0


def test_a_split_certifies_with_the_other_half_only():
    class Halves(Rng):
        def words(self, n):
            return np.arange(n, dtype=np.uint64)

    inside, outside = np.r_[np.full(50, 5.0), np.zeros(50)], np.zeros(100)
    bound = thresholds.split(inside, outside, alpha=0.05, certify=CERTIFY, rng=Halves())
    assert bound.value == 0  # the first half chose 5, which the second never reaches
    assert bound.trials == 100


def test_the_band_is_empirical_rates_with_a_radius():
    found = bands.band([1, 2, 3], [0, 1, 2], alpha=0.05)
    assert found.thresholds.tolist() == [0, 1, 2, 3]
    assert found.true_positive_rates.tolist() == [1, 1, 2 / 3, 1 / 3]
    assert found.false_positive_rates.tolist() == [1, 2 / 3, 1 / 3, 0]
    assert found.most_false.max() == 1
    assert found.least_true.min() == 0
    assert not found.refutes(ApproximateProfile(0.0))


@pytest.mark.parametrize("claimed", [ApproximateProfile(1.0, 1e-5), GaussianProfile(0.5), profile(events.ZCDP(0.05))])
def test_bands_and_points_refute_what_is_false_and_not_what_is_true(claimed):
    """A noiseless release of two values that are far apart, and one that depends on nothing."""
    apart = bands.band(np.linspace(5, 6, 3000), np.linspace(0, 1, 3000), alpha=0.05)
    assert apart.refutes(claimed)
    found = bands.farthest_point(np.linspace(5, 6, 300), np.linspace(0, 1, 300), profile=claimed, alpha=0.05)
    assert found.true_positive_rate > claimed.true_positive_rate(found.false_positive_rate).upper
    same = np.linspace(0, 1, 3000)
    assert not bands.band(same, same, alpha=0.05).refutes(claimed)


@pytest.mark.parametrize(
    ("inside", "outside", "message"),
    [
        ([], [1.0], "at least 1 numbers"),
        ([1.0], [], "at least 1 numbers"),
        ([[1.0]], [1.0], "one row"),
        ([1.0, math.nan], [1.0, 2.0], r"1 of 2 scores inside are not finite"),
        ([1.0, 2.0], [math.inf, 1.0], r"1 of 2 scores outside are not finite"),
        ([3.0, 3.0], [3.0, 3.0], "all 4 scores are the same"),
        (["a", "b"], [1.0, 2.0], "must be numbers"),
    ],
)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_scores_that_cannot_be_audited_are_refused(strategy, inside, outside, message):
    with pytest.raises(InvalidInput, match=message.replace("at least 1", "at least [12]")):
        strategy(inside, outside, alpha=0.05, certify=CERTIFY)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Counts(3, 2, 0, 2),
        lambda: Counts(0, 0, 0, 2),
        lambda: Counts(0, 2, -1, 2),
        lambda: Counts(0.0, 2, 1, 2),
        lambda: epsilon_bound(Counts(1, 2, 0, 2), delta=1.0, alpha=0.05),
        lambda: epsilon_bound(Counts(1, 2, 0, 2), delta=-0.1, alpha=0.05),
        lambda: epsilon_bound(Counts(1, 2, 0, 2), delta=0.0, alpha=0.0),
        lambda: thresholds.explicit([1], [0], math.nan, alpha=0.05, certify=CERTIFY),
        lambda: thresholds.bonferroni([1], [0], [], alpha=0.05, certify=CERTIFY),
        lambda: thresholds.bonferroni([1], [0], [math.inf], alpha=0.05, certify=CERTIFY),
        lambda: thresholds.multisplit([1, 2], [0, 1], splits=0, alpha=0.05, certify=CERTIFY),
        lambda: LowerBound("sigma", 0.0, 1.0, 0.05, 1, ""),
        lambda: LowerBound("epsilon", 2.0, 1.0, 0.05, 1, ""),
        lambda: LowerBound("epsilon", math.nan, 1.0, 0.05, 1, ""),
        lambda: LowerBound("epsilon", 0.0, 1.0, 0.05, 0, ""),
    ],
)
def test_wrong_input_is_refused(call):
    with pytest.raises(InvalidInput):
        call()


def test_a_bound_shows_its_ceiling_and_is_never_shown_above_its_value():
    bound = LowerBound("epsilon", 1.2399, 3.0, 0.05, 1000, "by hand", delta=1e-5)
    assert str(bound) == "ε ≥ 1.23 at δ = 1e-05 with confidence 95 % (of at most 3; 1,000 trials; by hand)"
    assert str(LowerBound("mu", 0.5, math.inf, 0.01, 9, "by hand", certified=False)) == (
        "μ ≥ 0.5 with confidence 99 % (of at most ∞; 9 trials; by hand; experimental)"
    )
    assert bound.to_dict()["ceiling"] == 3.0
    for value in (0.1 + 0.2, 1.9999, 9.9999, 1e-7 / 3, 12345.6):
        assert 0.99 * value < float(show_down(value)) <= value


def test_a_gaussian_pair_is_found():
    """The bound approaches the μ of the pair as trials grow."""
    normal = np.sort(np.random.default_rng(1).standard_normal(20_000))
    mu = gaussian_mu(1.0, 1e-5)
    found = thresholds.by_rank(normal + 4 * mu, normal, alpha=0.05, certify=mu_bound)
    assert 0.9 * 4 * mu < found.value <= 4 * mu
