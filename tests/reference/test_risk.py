"""Risks against published tables, riskcal's answers, and mechanisms small enough to try every attacker.

riskcal is no part of the tests: its answers were taken once, from riskcal 1.5.1 with dp-accounting 0.6.0, and stand here.
"""

import math
import random

import pytest

from discreet import events
from discreet.accounting import Sampling, Target, calibrate, dpsgd, gaussian_mu, profile
from discreet.errors import InvalidInput
from discreet.profiles import GroupProfile, excess, posterior, right

ADD = events.Relation.ADD_REMOVE
DELTA = 1e-5

# ε at δ = 1e-5; worst case: advantage, TPR at 1 % and 0.1 %, posterior from ½ and 1 % (at δ = 0);
# Gaussian noise: μ, advantage, TPR at 1 % and 0.1 %. By the formulas of Kulynych et al. 2024, in other code.
TABLE = """
0.1  .050  .0111  .0011  .525  .0110   .033 .013 .0109 .0011
0.5  .245  .0165  .0017  .622  .0164   .142 .057 .0145 .0016
1    .462  .0272  .0027  .731  .0267   .268 .107 .0198 .0024
2    .762  .0739  .0074  .881  .0695   .502 .198 .0340 .0048
4    .964  .546   .0546  .982  .355    .925 .356 .0805 .0152
8    .9993 .9997  .9997  .9997 .968   1.666 .595 .2545 .0772
10   .9999 1.000  1.000  1.000 .996   2.000 .683 .372  .138
"""


@pytest.mark.parametrize("row", TABLE.strip().splitlines(), ids=lambda row: f"epsilon {row.split()[0]}")
def test_the_table(row):
    epsilon, *shown = row.split()
    worst = profile(events.Approximate(float(epsilon), DELTA))
    noise = profile(events.Gaussian(1 / gaussian_mu(float(epsilon), DELTA)))
    found = [
        worst.advantage().upper,
        worst.true_positive_rate(0.01).upper,
        worst.true_positive_rate(0.001).upper,
        posterior(float(epsilon), 0.5),
        posterior(float(epsilon), 0.01),
        noise.mu,
        noise.advantage().upper,
        noise.true_positive_rate(0.01).upper,
        noise.true_positive_rate(0.001).upper,
    ]
    for ours, text in zip(found, shown, strict=True):
        assert ours == pytest.approx(float(text), abs=0.501 * 10.0 ** -len(text.partition(".")[2]))


@pytest.mark.parametrize(
    ("epsilon", "delta", "rate", "miss"),
    [
        (1.0, 0.001, 0.8, 0.07320800879311701),
        (1.0, 1e-5, 0.01, 0.9728071817154096),
        (8.0, 1e-5, 0.01, 0.0003321046469972077),
        (0.5, 0.0, 0.3, 0.5053836187899616),
        (2.0, 0.05, 0.001, 0.9426109439010693),
    ],
)
def test_riskcal_on_pairs(epsilon, delta, rate, miss):
    """riskcal.analysis.get_beta_from_adp; the first is the one that its documentation shows as .073."""
    found = profile(events.Approximate(epsilon, delta)).trade_off([rate])[0]
    assert found.lower <= miss <= found.upper + 1e-15
    assert found.upper == pytest.approx(miss, abs=1e-12)


def test_riskcal_from_error_rates_to_epsilon_and_back():
    """riskcal.analysis.get_epsilon_from_err_rates(.001, .001, .8) = 5.2933: the least ε at which these rates are allowed."""
    epsilon = 5.293304824724492
    assert profile(events.Approximate(epsilon, 1e-3)).trade_off([0.001])[0].upper == pytest.approx(0.8, abs=1e-12)
    assert profile(events.Approximate(0.0, 1e-3)).advantage().upper == pytest.approx(0.001, rel=1e-9)
    assert profile(events.Approximate(3.0, 0.01)).advantage().upper == pytest.approx(0.9060967711084178, rel=1e-12)


@pytest.mark.parametrize(
    ("mu", "prior", "error"),
    [
        (1, 0.5, 0.3085375387259869),
        (1, 0.9, 0.09866369390053115),
        (0.5, 0.7, 0.2958525578409778),
        (2, 0.99, 0.009510574857675341),
    ],
)
def test_riskcal_on_gaussians(mu, prior, error):
    """riskcal.analysis.get_bayes_risk_from_gdp."""
    curve = profile(events.Gaussian(1 / mu))
    assert 1 - curve.accuracy(prior).upper == pytest.approx(error, rel=1e-9)
    assert curve.accuracy(prior) == curve.accuracy(1 - prior) or curve.accuracy(1 - prior).upper == pytest.approx(
        1 - error, rel=1e-12
    )


def test_sampled_noise_whose_curve_is_not_the_same_both_ways_round():
    """dp-accounting 0.6.0 on a lattice of 1e-4, rounded upwards: δ(ε), and from it the least of e^ε·a + δ(ε) over ε in
    [-8, 8]. riskcal's get_*_from_pld reads advantage and Bayes risk off the same lattice.
    """
    run = dpsgd(noise_multiplier=0.8, steps=500, sample_rate=0.02, relation=ADD, sampling=Sampling.POISSON)
    curve = profile(run)
    lattice = {0.001: 0.9845423516, 0.01: 0.9246906855, 0.1: 0.6718874135, 0.5: 0.2075263594}
    for rate, miss in lattice.items():
        assert miss - 1e-9 <= curve.trade_off([rate])[0].lower <= miss + 1e-6
    assert curve.advantage().upper == pytest.approx(0.31013977, abs=5e-7)
    for prior, error in {0.5: 0.3449301132, 0.7: 0.2697040265, 0.9: 0.0992884526, 0.1: 0.0992883645}.items():
        assert error <= 1 - curve.accuracy(prior).upper <= error + 2e-7
    # riskcal's own trade-off curve scales the lattice's mass to 1: its misses are then more than any attacker is held to.
    for rate, miss in {0.001: 0.9846590625, 0.01: 0.9247468257, 0.1: 0.6719075555, 0.5: 0.2075356902}.items():
        assert curve.trade_off([rate])[0].upper < miss < lattice[rate] + 2e-4


# --------------------------------------------------------------------------- every attacker of small mechanisms


def mechanism(rng, outcomes=5):
    """Two laws on a few outcomes, the second far from the first at times."""
    laws = []
    for _ in range(2):
        weights = [rng.random() ** 3 + 1e-3 for _ in range(outcomes)]
        laws.append([weight / math.fsum(weights) for weight in weights])
    return laws


def attackers(first, second):
    """Every deterministic test: its false- and true-positive rate, of the second against the first and the other way round."""
    for p, q in ((first, second), (second, first)):
        for mask in range(2 ** len(p)):
            chosen = [at for at in range(len(p)) if mask >> at & 1]
            yield math.fsum(q[at] for at in chosen), math.fsum(p[at] for at in chosen)


def test_no_attacker_of_a_small_mechanism_passes_any_bound_and_some_attain_them():
    rng = random.Random(20261127)
    for _ in range(20):
        first, second = mechanism(rng)
        curve = profile(events.Tabulated(tuple(first), tuple(second)))
        tests = list(attackers(first, second))
        prior = rng.choice((0.01, 0.2, 0.5, 0.9))
        best = max(prior * t + (1 - prior) * (1 - a) for a, t in tests)
        found = curve.accuracy(prior)
        assert best <= found.upper * (1 + 1e-12)
        assert best == pytest.approx(found.upper, abs=1e-9)
        for level in (0.01, 0.1, 0.4):
            bound = curve.precision(prior, level).upper
            accusing = [(a, t) for a, t in tests if a >= level]
            assert all(prior * t / (prior * t + (1 - prior) * a) <= bound * (1 + 1e-9) for a, t in accusing)
            assert curve.true_positive_rate(level).upper >= max(
                power(first, second, level), power(second, first, level)
            )
        a, t = max(tests, key=lambda pair: pair[1] - pair[0])
        assert curve.precision(prior, a).upper == pytest.approx(right(prior, t, a), rel=1e-6)


def wrong_error(curve, prior):
    """The Bayes error with the prior of the other hypothesis: right at ½ alone."""
    return 1 - prior * (1 - curve.delta(abs(math.log((1 - prior) / prior))).upper)


def test_the_bayes_error_of_the_wrong_hypothesis_is_caught():
    curve = profile(events.Gaussian(1.0))
    assert wrong_error(curve, 0.2) == pytest.approx(curve.accuracy(0.2).upper)
    assert wrong_error(curve, 0.9) < 0.9 < curve.accuracy(0.9).upper  # below what saying "in" of everybody reaches


def beliefs(first, second, prior):
    """Each outcome's probability and the belief after it."""
    for p, q in zip(first, second, strict=True):
        both = prior * p + (1 - prior) * q
        yield both, prior * p / both


def test_beliefs_pass_their_bound_on_average_by_the_excess_and_no_more():
    rng = random.Random(3)
    for _ in range(50):
        first, second = mechanism(rng)
        curve = profile(events.Tabulated(tuple(first), tuple(second)))
        epsilon, prior = rng.uniform(0, 2), rng.uniform(0.01, 0.99)
        delta, bound = curve.delta(epsilon).upper, posterior(epsilon, prior)
        both = [(first, second), (second, first)]
        mean = max(
            math.fsum(chance * max(0.0, belief - bound) for chance, belief in beliefs(p, q, prior)) for p, q in both
        )
        assert mean <= excess(epsilon, delta, prior) * (1 + 1e-9) + 1e-15
        assert mean == pytest.approx(excess(epsilon, delta, prior), abs=1e-9)  # the direction that has the δ attains it
        half = (1 + bound) / 2
        for p, q in both:  # of a person who is in
            far = math.fsum(p[at] for at, (_, belief) in enumerate(beliefs(p, q, prior)) if belief > half)
            assert far <= 2 * delta * (1 + 1e-9)


def test_that_a_bound_fails_with_probability_delta_at_most_is_caught():
    """What is often said of (ε, δ). Randomised response a little beyond ε passes the bound most of the time."""
    epsilon, beyond = 1.0, 1.0 + 1e-6
    truth = 1 / (1 + math.exp(-beyond))
    first, second = (truth, 1 - truth), (1 - truth, truth)
    delta = profile(events.Tabulated(first, second)).delta(epsilon).upper
    passed = math.fsum(
        p for p, (_, b) in zip(first, beliefs(first, second, 0.1), strict=True) if b > posterior(epsilon, 0.1)
    )
    assert delta < 1e-6
    assert passed > 0.73  # "except with a probability of the order of δ" would be a wrong guarantee


def responses(epsilon, values):
    """Each value's law under randomised response among `values`, and the law of a blank record: any answer alike."""
    other = 1 / (math.exp(epsilon) + values - 1)
    laws = [[math.exp(epsilon) * other if at == value else other for at in range(values)] for value in range(values)]
    return laws, [1 / values] * values


def guessed(laws, priors):
    """The best attacker's chance to guess the value from the outcome."""
    return math.fsum(max(p * law[at] for p, law in zip(priors, laws, strict=True)) for at in range(len(laws[0])))


def test_no_reconstruction_passes_its_bound_and_randomised_response_attains_it():
    rng = random.Random(5)
    for values, epsilon in ((2, 1.0), (5, 0.5), (10, 2.0), (50, 3.0)):
        laws, blank = responses(epsilon, values)
        curve = profile(events.Tabulated(tuple(laws[0]), tuple(blank)))  # by symmetry the same for every value
        uniform = guessed(laws, [1 / values] * values)
        assert uniform == pytest.approx(curve.reconstruction(1 / values).upper, rel=1e-6)
        for _ in range(20):
            weights = [rng.random() ** 4 for _ in range(values)]
            priors = [weight / math.fsum(weights) for weight in weights]
            assert guessed(laws, priors) <= curve.reconstruction(max(priors)).upper * (1 + 1e-9)
        # A planted wrong formula: the belief in membership, taken for a guess of a value.
        ratio = math.log(laws[0][0] / blank[0])
        assert posterior(ratio, 1 / values) < uniform


def shifted(size, steps, scale):
    """The law of discrete Laplace noise of this scale on an answer moved by so many steps, cut far out."""
    weights = [math.exp(-abs(at - steps) / scale) for at in range(-size, size + 1)]
    return [weight / math.fsum(weights) for weight in weights]


def power(p, q, level):
    """The best test's true-positive rate, by Neyman and Pearson: outcomes in the order of their ratio, the last in part."""
    found = 0.0
    for at in sorted(range(len(p)), key=lambda at: -p[at] / q[at]):
        if q[at] >= level:
            return found + p[at] * level / q[at]
        found, level = found + p[at], level - q[at]
    return found


@pytest.mark.parametrize("people", [2, 3, 5])
def test_groups_are_bounded_and_what_forgets_a_step_is_caught(people):
    scale, size = 2.0, 60
    alone, moved = shifted(size, 0, scale), shifted(size, people, scale)
    one = profile(events.Tabulated(tuple(alone), tuple(shifted(size, 1, scale))))
    truth = profile(events.Tabulated(tuple(alone), tuple(moved)))
    group = one.group(people)
    assert isinstance(group, GroupProfile)
    for rate in (0.001, 0.05, 0.3, 0.8):
        exact = max(power(alone, moved, rate), power(moved, alone, rate))
        assert exact <= group.true_positive_rate(rate).upper * (1 + 1e-9)
        assert group.true_positive_rate(rate).upper <= exact * (1 + 1e-3)  # noise that adds up: hardly anything is lost
        wrong = rate
        for _ in range(people - 1):
            wrong = one.true_positive_rate(wrong).upper
        assert wrong < exact  # a planted bug: one step forgotten
    for epsilon in (0.0, 0.3):
        exact = truth.delta(epsilon).upper
        assert exact <= group.delta(epsilon).upper
        assert group.delta(epsilon).upper <= exact * 1.2
    assert truth.accuracy(0.3).upper <= group.accuracy(0.3).upper + 1e-12
    assert truth.advantage().upper <= group.advantage().upper <= min(1.0, people * one.advantage().upper) * (1 + 1e-9)


def test_a_group_under_pure_epsilon_is_told_apart_less_well_than_one_with_k_epsilon():
    group = profile(events.Pure(1.0)).group(2)
    assert 1 - math.exp(-1) <= group.advantage().upper <= 1 - math.exp(-1) + 1e-5
    assert group.advantage().upper < math.tanh(1.0)
    laplace = profile(events.Laplace(0.5))  # twice the reach of Laplace(1.0): that is what two people move
    assert laplace.advantage().lower <= profile(events.Laplace(1.0)).group(2).advantage().upper


def test_the_curve_of_a_group_is_above_every_point_of_its_rates():
    rng = random.Random(13)
    for _ in range(30):
        epsilon, delta, size = 10 ** rng.uniform(-2, 0.7), 10 ** rng.uniform(-8, -1), rng.randint(2, 12)
        one = profile(events.Approximate(epsilon, delta))
        at = rng.choice((0.0, rng.uniform(0, size * epsilon)))
        most = 0.0
        for point in [step / 500 for step in range(501)] + [10 ** (-step / 40) for step in range(320)]:
            rate = point
            for _ in range(size):
                rate = min(1.0, math.exp(epsilon) * rate + delta, 1 - math.exp(-epsilon) * max(0.0, 1 - delta - rate))
            most = max(most, rate - math.exp(at) * point)
        found = one.group(size).delta(at).upper
        assert most <= found
        assert found <= most + 0.1 * min(1.0, most + 0.05) + 0.01 * math.exp(min(at, 3.0))


# ----------------------------------------------------------------------------------------------- the inverse


TARGETS = [
    Target(posterior=0.2, prior=0.1, delta=1e-6),
    Target(posterior=0.99999, prior=0.1, delta=1e-6),
    Target(accuracy=0.6, prior=0.5),
    Target(accuracy=0.91, prior=0.1),
    Target(precision=0.05, prior=0.01, false_positive_rate=0.001),
    Target(reconstruction=0.15, baseline=0.1),
    Target(advantage=0.1),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.kind)
def test_noise_for_a_risk_meets_it_and_a_little_less_does_not(target):
    found = calibrate(events.Gaussian, target, low=0.05, high=500.0)
    assert found.reached.upper <= target.value
    assert target.of(profile(found.event)).upper <= target.value
    assert target.of(profile(events.Gaussian(found.value * (1 - 1e-4)))).upper > target.value


def test_a_risk_in_closed_form():
    """Advantage 10 % is μ = 2Φ⁻¹(.55); a belief from p to q is ε = logit q - logit p; a guess is the trade-off curve."""
    from statistics import NormalDist

    law = NormalDist()
    noise = calibrate(events.Gaussian, Target(advantage=0.1), low=0.1, high=100).value
    assert 1 / noise == pytest.approx(2 * law.inv_cdf(0.55), rel=1e-8)
    noise = calibrate(events.Gaussian, Target(reconstruction=0.15, baseline=0.1), low=0.1, high=100).value
    assert 1 / noise == pytest.approx(law.inv_cdf(0.15) - law.inv_cdf(0.1), rel=1e-8)
    loss = calibrate(events.Pure, Target(posterior=0.2, prior=0.1, delta=1e-30), low=0.01, high=5, rising=True)
    assert loss.value == pytest.approx(math.log(0.25) - math.log(1 / 9), rel=1e-8)


@pytest.mark.parametrize("prior", [1e-6, 0.3, 0.999999])
@pytest.mark.parametrize("share", [1e-5, 0.5, 1 - 1e-9])
def test_a_posterior_as_a_target_never_allows_more_than_itself(prior, share):
    value = prior + share * (1 - prior)
    target = Target(posterior=value, prior=prior, delta=1e-6)
    assert posterior(target.searched().epsilon, prior) <= value


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({}, "exactly one target"),
        ({"delta": 1e-6}, "exactly one target"),
        ({"advantage": 0.1, "accuracy": 0.6, "prior": 0.5}, "exactly one target"),
        ({"advantage": 0.1, "delta": 1e-5}, "needs nothing beside it, got delta"),
        ({"posterior": 0.2, "prior": 0.1}, "needs prior and delta"),
        ({"reconstruction": 0.2}, "needs baseline beside it, got nothing"),
        ({"reconstruction": 0.1, "baseline": 0.1}, "guessing alone"),
        ({"accuracy": 0.6, "prior": 0.3}, "must exceed 0.7"),
        ({"posterior": 0.5 + 1e-15, "prior": 0.5, "delta": 1e-6}, "guessing alone"),
        ({"precision": 0.01, "prior": 0.01, "false_positive_rate": 0.1}, "guessing alone"),
        ({"true_positive_rate": 0.1, "false_positive_rate": 0.1}, "guessing alone"),
        ({"advantage": math.nan}, "must lie in"),
        ({"posterior": 0.2, "prior": 0.1, "delta": 0.0}, "delta must lie in"),
        ({"reconstruction": True, "baseline": 0.1}, "must lie in"),
        ({"epsilon": -1.0, "delta": 1e-6}, "epsilon must be"),
    ],
)
def test_targets_that_mean_nothing_are_refused(wrong, part):
    with pytest.raises(InvalidInput, match=part):
        Target(**wrong)


@pytest.mark.parametrize("number", [math.nan, -0.1, 1.1, "0.5", True, None])
def test_shares_that_are_none_are_refused(number):
    curve = profile(events.Gaussian(1.0))
    for ask in (
        curve.accuracy,
        curve.reconstruction,
        lambda share: curve.precision(share, 0.1),
        lambda share: curve.precision(0.1, share),
        lambda share: posterior(1.0, share),
        lambda share: excess(1.0, 1e-6, share),
    ):
        with pytest.raises(InvalidInput, match="must lie in"):
            ask(number)
    with pytest.raises(InvalidInput, match="above 0"):
        curve.precision(0.5, 0.0)


def test_the_ends_of_the_scales():
    curve = profile(events.Approximate(1.0, 1e-3))
    assert curve.accuracy(0.0).upper == curve.accuracy(1.0).upper == 1.0
    assert curve.precision(0.0, 0.1).upper == 0.0
    assert curve.precision(1.0, 0.1).upper == 1.0
    assert excess(1.0, 1e-3, 0.0) == excess(1.0, 1e-3, 1.0) == 0.0
    assert curve.reconstruction(0.0).upper == pytest.approx(1e-3)  # with δ there may be no guessing needed
    assert curve.reconstruction(1.0).upper == 1.0
    assert curve.accuracy(1e-300).upper <= 1.0
