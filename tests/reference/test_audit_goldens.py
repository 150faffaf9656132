"""Numbers that others print for the same input: jax-privacy 2.0.0 and riskcal 1.5.1, asked in August 2026.

The input of the one-run goldens: 10,000 canaries out with scores at normal quantiles (k + 1/2) / n, and 10,000 in with
the same scores and a shift. jax-privacy chooses among thresholds at the corners of the hull of the labels and divides
alpha by their number; its choices are frozen here with its answers. We do not take over that correction (the number
of corners depends on the coins, see docs/proofs/one_run.md), but our tails and recursions must give its numbers.
"""

import math
from statistics import NormalDist

import numpy as np
import pytest

from discreet.accounting import gaussian_epsilon
from discreet.accounting.curves import ApproximateProfile, GaussianProfile
from discreet.audit.statistics import betting, one_run
from discreet.audit.statistics.curve import gaussian_blow
from discreet.audit.statistics.matches import Matches, attributable, attributable_fraction, epsilon_bound, zero_learning
from discreet.audit.statistics.paired import Counts, point
from discreet.audit.statistics.paired import epsilon_bound as paired_epsilon

HALF = 10_000
QUANTILES = np.array([NormalDist().inv_cdf((k + 0.5) / HALF) for k in range(HALF)])
DELTA, ALPHA = 1e-6, 0.05

# shift, corners of the hull, then right and wrong guesses at the threshold that jax-privacy chose, and its ε
PUBLISHED = [(1, 386, 2807, 569, 1.13346), (2, 374, 4499, 167, 2.311945), (4, 140, 8223, 10, 4.395568)]
CURVES = [(1, 386, 379, 27, 2.164749), (2, 374, 934, 4, 4.7218075), (4, 140, 5436, 0, 9.133752)]


def canaries(shift):
    order = np.random.default_rng(1).permutation(2 * HALF)
    return np.r_[QUANTILES + shift, QUANTILES][order], np.repeat([True, False], HALF)[order]


@pytest.mark.parametrize(("shift", "corners", "right", "wrong", "golden"), PUBLISHED)
def test_the_published_one_run_bound(shift, corners, right, wrong, golden):
    above, at_most = (np.count_nonzero(QUANTILES + shift >= np.sort(QUANTILES)[-k]) for k in (wrong, wrong + 1))
    assert above <= right <= at_most  # the threshold lies between two canaries that are out

    def refuted(epsilon):
        found = one_run.published_p_value(2 * HALF, right + wrong, right, epsilon=epsilon, delta=DELTA)
        return found <= ALPHA / corners

    assert one_run.largest(refuted, start=0.9 * golden) == pytest.approx(golden, rel=1e-5)


@pytest.mark.parametrize(("shift", "corners", "right", "wrong", "golden"), CURVES)
def test_the_one_run_bound_of_a_curve(shift, corners, right, wrong, golden):
    """With all canaries as `inside` and `outside`, as guesses of both kinds would need."""

    def refuted(mu):
        return one_run.curve_rejected(
            right + wrong, right, gaussian_blow(mu), alpha=ALPHA / corners, inside=2 * HALF, outside=2 * HALF
        )

    assert gaussian_epsilon(one_run.largest(refuted), DELTA) == pytest.approx(golden, rel=1e-5)


@pytest.mark.parametrize(("shift", "at_four", "at_five"), [(1, 2.12, 2.1417), (2, 4.33, 4.3644), (4, 7.01, 7.0743)])
def test_betting_on_the_same_canaries(shift, at_four, at_five):
    """20,000 canaries at rate 1/2 and δ = 1e-6 cost 0.01 of alpha = 0.05; the second column is δ = 0."""
    scores, coins = canaries(shift)
    assert betting.epsilon_bound(scores, coins, delta=DELTA, alpha=ALPHA).value == pytest.approx(at_four, abs=1e-2)
    assert betting.epsilon_bound(scores, coins, delta=0, alpha=ALPHA).value == pytest.approx(at_five, abs=1e-4)


@pytest.mark.parametrize(("shift", "published", "curve"), [(one[0], one[4], two[4]) for one, two in zip(PUBLISHED, CURVES, strict=True)])  # fmt: skip
def test_ours_certify_more_of_the_same_canaries(shift, published, curve):
    scores, coins = canaries(shift)
    assert one_run.epsilon_bound(scores, coins, delta=DELTA, alpha=ALPHA).value > 1.5 * published
    assert gaussian_epsilon(one_run.mu_bound(scores, coins, alpha=ALPHA).value, DELTA) > 1.15 * curve
    truth = gaussian_epsilon(float(shift), DELTA)
    assert one_run.epsilon_bound(scores, coins, delta=DELTA, alpha=ALPHA).value < truth


@pytest.mark.parametrize(
    ("true", "false", "golden"),
    [(3085, 668, 1.4270862293), (6915, 668, 2.2506583078), (9938, 668, 4.7611095028)],
)
def test_clopper_pearson_at_an_explicit_threshold(true, false, golden):
    """jax-privacy, both sides, threshold 1.5."""
    found = paired_epsilon(Counts(true, HALF, false, HALF), delta=DELTA, alpha=ALPHA).value
    assert found == pytest.approx(golden, rel=1e-8)
    assert found <= golden * (1 + 1e-9)


def test_763_matches_of_which_271_are_coincidence():
    """The published count of matches in a fine-tuned model's output, read as halves of a fair split."""
    case = Matches(training=763 - 271, held_out=271, units=5000)
    assert zero_learning(case) == pytest.approx(5.3e-16, rel=0.01)
    assert epsilon_bound(case, delta=0, alpha=0.05).value == pytest.approx(0.470, abs=5e-4)
    assert epsilon_bound(case, delta=0, alpha=0.01).value == pytest.approx(0.419, abs=5e-4)
    assert attributable(case, alpha=0.05) == (181, 258)
    assert attributable(case, alpha=0.01)[0] == 164
    assert attributable_fraction(case) == pytest.approx(0.449, abs=5e-4)
    assert case.training - case.held_out == 221


@pytest.mark.parametrize(
    ("epsilon", "delta", "rate", "missed"),
    [
        (1, 0.001, 0.8, 0.07320800879311701),
        (1, 1e-5, 0.01, 0.9728071817154096),
        (4, 1e-5, 0.001, 0.9453918499668558),
        (8, 1e-6, 0.3, 0.0002348235040691304),
    ],
)
def test_the_curve_of_epsilon_and_delta_is_riskcals(epsilon, delta, rate, missed):
    profile = ApproximateProfile(float(epsilon), delta)
    assert 1 - profile.true_positive_rate(rate).upper == pytest.approx(missed, rel=1e-9)


@pytest.mark.parametrize(
    ("mu", "rate", "missed", "advantage"),
    [
        (0.5, 0.01, 0.9661010608771572, 0.1974126513658474),
        (1, 0.1, 0.610856308354639, 0.38292492254802624),
        (3, 0.001, 0.5359486937899742, 0.8663855974622838),
    ],
)
def test_gaussian_curves_are_riskcals(mu, rate, missed, advantage):
    profile = GaussianProfile(float(mu))
    assert 1 - profile.true_positive_rate(rate).upper == pytest.approx(missed, rel=1e-9)
    assert profile.advantage().upper == pytest.approx(advantage, rel=1e-9)


def test_advantage_of_delta_alone():
    assert ApproximateProfile(0.0, 0.001).advantage().upper == pytest.approx(0.001)


def test_error_rates_to_epsilon_is_riskcals():
    """ε from false positives 0.001 and false negatives 0.8 at δ = 0.001: 5.2933; here with all the trials in the world."""
    many = 10**15
    counts = Counts(many // 5, many, many // 1000, many)
    assert point(counts, alpha=0.05).true_positive_rate == pytest.approx(0.2)
    assert paired_epsilon(counts, delta=0.001, alpha=0.05).value == pytest.approx(5.293304824724492, rel=1e-6)
    assert math.log(199) == pytest.approx(5.293304824724492)
