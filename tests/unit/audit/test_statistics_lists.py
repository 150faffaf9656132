"""Matches, lists of leaks, and many questions at once."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from discreet.audit.statistics.matches import (
    Matches,
    SplitMatches,
    attributable,
    attributable_fraction,
    epsilon_bound,
    zero_learning,
)
from discreet.audit.statistics.multiple import benjamini_hochberg, leak_list, max_t
from discreet.audit.statistics.one_run import epsilon_of_counts
from discreet.errors import InvalidInput

CASE = Matches(training=492, held_out=271, units=5000)


def test_zero_learning_is_the_binomial_tail():
    exact = Fraction(sum(math.comb(12, i) for i in range(9, 13)), 2**12)
    found = Fraction(zero_learning(Matches(9, 3, 100)))
    assert exact <= found <= exact * (1 + Fraction(1, 10**9))
    assert zero_learning(Matches(0, 0, 100)) == 1


def test_zero_learning_of_a_split_is_the_hypergeometric_tail():
    exact = Fraction(sum(math.comb(12, i) * math.comb(28, 9 - i) for i in range(5, 10)), math.comb(40, 9))
    found = Fraction(zero_learning(SplitMatches(5, 4, 40, 12)))
    assert exact <= found <= exact * (1 + Fraction(1, 10**9))


@pytest.mark.parametrize(
    "matches", [CASE, Matches(30, 4, 80, 0.7), SplitMatches(30, 4, 80, 50), SplitMatches(7, 0, 20, 7)]
)
def test_attributable_is_the_inversion(matches):
    """Every number of caused matches outside of the bounds is refuted, every one inside is not."""
    lower, upper = attributable(matches, alpha=0.05)
    for caused in range(matches.training + 1):
        few = matches.upper_tail(matches.training - caused, matches.total - caused)
        many = matches.lower_tail(matches.training - caused, matches.total - caused)
        assert (few <= 0.05) == (caused < lower)
        assert (many <= 0.05) == (caused > upper)


def test_fewer_matches_than_coincidence_brings_are_no_leak():
    assert attributable(Matches(5, 100, 1000), alpha=0.05) == (0, 0)
    assert attributable_fraction(Matches(5, 100, 1000)) == 0
    assert attributable_fraction(Matches(0, 100, 1000)) == 0
    assert attributable_fraction(SplitMatches(30, 5, 100, 75)) == pytest.approx(0.5)


def test_the_bound_of_epsilon_without_delta_is_that_of_one_run():
    bound = epsilon_bound(CASE, delta=0, alpha=0.05)
    assert bound.value == pytest.approx(epsilon_of_counts(5000, 763, 492, delta=0, alpha=0.05), abs=1e-9)
    assert bound.ceiling == pytest.approx(math.log(1 / (0.05 ** (-1 / 763) - 1)), rel=1e-9)


def test_the_bound_of_epsilon_falls_with_delta_and_goes_on_beyond_alpha():
    """With units·rate·δ above alpha a union bound says nothing; the leverage of a few does."""
    values = [epsilon_bound(CASE, delta=delta, alpha=0.05).value for delta in (0, 1e-6, 1e-5, 1e-4, 1e-3)]
    assert values == sorted(values, reverse=True)
    assert values[-1] > 0.3
    assert epsilon_bound(CASE, delta=0.5, alpha=0.05).value == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: Matches(60, 50, 100),
        lambda: Matches(-1, 5, 100),
        lambda: Matches(1, 5, 100, 1.0),
        lambda: Matches(1.0, 5, 100),
        lambda: SplitMatches(5, 5, 100, 0),
        lambda: SplitMatches(5, 5, 100, 100),
        lambda: SplitMatches(6, 5, 100, 5),
        lambda: epsilon_bound(SplitMatches(5, 5, 100, 50), delta=0, alpha=0.05),
        lambda: epsilon_bound(Matches(0, 0, 100), delta=0, alpha=0.05),
        lambda: attributable(CASE, alpha=0.0),
        lambda: benjamini_hochberg([]),
        lambda: benjamini_hochberg([0.1, math.nan]),
        lambda: benjamini_hochberg([1.1]),
        lambda: leak_list([1, 2, 3], [1, 0], false_discovery_rate=0.1),
        lambda: leak_list([1, math.nan], [1, 0], false_discovery_rate=0.1),
        lambda: leak_list([1, 1], [1, 0], false_discovery_rate=0.1),
        lambda: leak_list([1, 2], [1, 0], false_discovery_rate=0.0),
        lambda: leak_list([1, 2], [1, 1], false_discovery_rate=0.1),
        lambda: leak_list(range(100), [1] * 50 + [0] * 50, false_discovery_rate=0.1),
        lambda: max_t({}, [1, 0]),
        lambda: max_t({"a": [1, 2]}, [1, 1]),
        lambda: max_t({"a": [1, 2]}, [1, 2]),
        lambda: max_t({"a": [1, 1]}, [1, 0]),
        lambda: max_t({"a": [1, 2, 3]}, [1, 0]),
        lambda: max_t({"a": [1, math.inf]}, [1, 0]),
        lambda: max_t({"a": [1, 2]}, [1, 0], permutations=3),
    ],
)
def test_wrong_input_is_refused(call):
    with pytest.raises(InvalidInput):
        call()


def test_benjamini_hochberg_is_the_published_example():
    """The fifteen p-values of Benjamini and Hochberg (1995), section 3: four are rejected at 5 %."""
    values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]  # fmt: skip
    order = np.random.default_rng(1).permutation(15)
    adjusted = benjamini_hochberg(np.array(values)[order])
    assert sorted(np.flatnonzero(adjusted <= 0.05)) == sorted(np.flatnonzero(order < 4))
    assert adjusted.max() == 1
    assert np.all(adjusted >= np.array(values)[order])


def test_max_t_is_what_all_permutations_say():
    """Seven units, three of them in: 35 assignments, of which the p-value is a share."""
    first, second = np.array([7.0, 6, 5, 4, 3, 2, 1]), np.array([1.0, 5, 2, 7, 3, 6, 4])
    coins = np.array([1, 1, 0, 1, 0, 0, 0])

    def standard(scores):
        return (scores - scores.mean()) / scores.std()

    ranks = {"a": standard(first), "b": standard(second)}
    largest = [max(sum(rank[i] for i in who) for rank in ranks.values()) for who in itertools.combinations(range(7), 3)]
    found = max_t({"a": first, "b": second}, coins, permutations=40_000)
    for name, rank in ranks.items():
        exact = np.mean([one >= rank[coins == 1].sum() - 1e-9 for one in largest])
        assert found[name] == pytest.approx(exact, abs=0.02)  # ten standard deviations


def test_max_t_finds_a_detector_that_sees_something():
    coins = np.random.default_rng(1).permutation(np.repeat([0, 1], 200))
    noise = np.random.default_rng(2).standard_normal((3, 400))
    found = max_t({"sees": noise[0] + coins, "blind": noise[1], "also blind": noise[2]}, coins, permutations=999)
    assert found["sees"] == 1 / 1000
    assert min(found["blind"], found["also blind"]) > 0.05


def test_the_list_is_what_the_definition_says():
    scores = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    coins = [1, 1, 1, 1, 0, 1, 1, 0, 0, 1]
    # (1 + decoys) / listed at the ends: 1, 1/2, 1/3, 1/4, 2/4, 2/5, 2/6, 3/6, 4/6, 4/7
    assert leak_list(scores, coins, false_discovery_rate=0.25).listed.tolist() == [0, 1, 2, 3]
    found = leak_list(scores, coins, false_discovery_rate=0.35)
    assert (found.listed.tolist(), found.threshold) == ([0, 1, 2, 3, 5, 6], 3)
    nothing = leak_list(scores, coins, false_discovery_rate=0.2)
    assert (nothing.listed.tolist(), nothing.threshold) == ([], math.inf)


def test_the_list_never_cuts_a_tie():
    scores = [3, 3, 3, 3, 3, 1, 1, 1, 1, 1]
    coins = [1, 1, 0, 1, 1, 0, 1, 0, 0, 1]
    found = leak_list(scores, coins, false_discovery_rate=0.5)
    assert found.listed.tolist() == [0, 1, 3, 4]
    assert leak_list(scores, coins, false_discovery_rate=0.45).listed.size == 0
