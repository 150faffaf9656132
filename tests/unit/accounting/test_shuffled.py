"""Shuffled reports against brute force: every tiny population, every input of the others, exact rationals."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations_with_replacement, product

import mpmath as mp
import numpy as np
import pytest

from discreet.accounting.engines import shuffled as engine
from discreet.accounting.engines.shuffled import shuffled, shuffled_below
from discreet.errors import InvalidInput

LOST = 1e-20
TINY_CASES = [  # epsilons, counts, categories
    ((1.0,), (2,), 2),
    ((0.3,), (5,), 2),
    ((2.0,), (4,), 2),
    ((4.0,), (5,), 2),
    ((0.5, 1.0, 2.0), (1, 2, 1), 2),
    ((0.1, 3.0), (2, 2), 2),
    ((1.0,), (2,), 3),
    ((1.5,), (4,), 3),
    ((0.5, 2.0), (2, 2), 3),
    ((1.0,), (3,), 4),
    ((0.7, 2.5), (2, 1), 5),
]


def rational_exp(x):
    with mp.workdps(60):
        value = mp.exp(mp.mpf(x))
        return Fraction(int(mp.nint(value * mp.mpf(10) ** 50)), 10**50)


def one_report(epsilon, value, categories):
    odds = rational_exp(epsilon)
    return {y: (odds if y == value else Fraction(1)) / (odds + categories - 1) for y in range(categories)}


def histogram_law(inputs, categories):
    """The exact law of the shuffled reports of people (epsilon, value): a histogram is all that a shuffle leaves."""
    law = {(0,) * categories: Fraction(1)}
    for epsilon, value in inputs:
        added = Counter()
        for seen, mass in law.items():
            for y, chance in one_report(epsilon, value, categories).items():
                added[(*seen[:y], seen[y] + 1, *seen[y + 1 :])] += mass * chance
        law = dict(added)
    return law


def hockey_stick(first, second, alpha):
    return sum(max(Fraction(0), first.get(y, 0) - alpha * second.get(y, 0)) for y in {*first, *second})


def curve(law, alphas):
    """The hockey-stick curve of an engine's law, in 50 digits: the engine's floats taken at their word."""
    losses, masses, infinite = law
    with mp.workdps(50):
        ratios = [(mp.mpf(m), mp.exp(-mp.mpf(loss))) for loss, m in zip(losses.tolist(), masses.tolist(), strict=True)]
        result = []
        for alpha in alphas:
            level = mp.mpf(alpha.numerator) / alpha.denominator
            result.append(mp.mpf(infinite) + mp.fsum(m * max(0, 1 - level * ratio) for m, ratio in ratios))
        return result


def levels(epsilon):
    odds = rational_exp(epsilon)
    inner = [1 + (odds - 1) * Fraction(i, 12) for i in range(12)]
    near = [odds - (odds - 1) * Fraction(1, 10**i) for i in (2, 4)]
    return [Fraction(1, 3), *(1 / a for a in inner[1::4]), *inner, *near]


def others_of(epsilons, counts, victim, categories):
    people = [e for j, (e, c) in enumerate(zip(epsilons, counts, strict=True)) for _ in range(c - (j == victim))]
    classes = [combinations_with_replacement(range(categories), c - (j == victim)) for j, c in enumerate(counts)]
    for values in product(*classes):
        yield list(zip(people, [x for part in values for x in part], strict=True))


def worst(epsilons, counts, categories, victim, alphas):
    top = [Fraction(0)] * len(alphas)
    for others in others_of(epsilons, counts, victim, categories):
        first = histogram_law([*others, (epsilons[victim], 0)], categories)
        second = histogram_law([*others, (epsilons[victim], 1)], categories)
        for pair in ((first, second), (second, first)):
            top = [max(old, hockey_stick(*pair, alpha)) for old, alpha in zip(top, alphas, strict=True)]
    return top


def gaps(epsilons, counts, categories, victim):
    """Ours less the worst of all concrete inputs, at each level."""
    alphas = levels(epsilons[victim])
    ours = curve(shuffled(epsilons, counts, categories, victim=victim, lost=LOST), alphas)
    truth = worst(epsilons, counts, categories, victim, alphas)
    with mp.workdps(50):
        return [a - mp.mpf(b.numerator) / b.denominator for a, b in zip(ours, truth, strict=True)]


@pytest.mark.parametrize(("epsilons", "counts", "categories"), TINY_CASES)
def test_no_concrete_input_reveals_more(epsilons, counts, categories):
    for victim in range(len(counts)):
        assert min(gaps(epsilons, counts, categories, victim)) >= 0


@pytest.mark.parametrize(("epsilons", "counts", "categories"), [c for c in TINY_CASES if c[2] == 2])
def test_binary_is_exact_near_the_local_epsilon(epsilons, counts, categories):
    # Beyond every other ratio only the outcome without a single 1 counts, and others who all hold 0 reach it.
    for victim in range(len(counts)):
        odds, n = math.exp(epsilons[victim]), sum(counts)
        alphas = levels(epsilons[victim])
        sharp = [i for i, alpha in enumerate(alphas) if alpha > (odds * (n - 1) + 1) / (n - 1 + odds)]
        found = gaps(epsilons, counts, categories, victim)
        assert sharp
        assert max(found[i] for i in sharp) < 1e-12


@pytest.mark.parametrize(("epsilons", "counts", "categories"), TINY_CASES)
def test_it_is_the_law_of_the_experiment_that_reveals_the_blankets(epsilons, counts, categories):
    for victim in range(len(counts)):
        rates = [
            2 / (rational_exp(e) + categories - 1)
            for j, (e, c) in enumerate(zip(epsilons, counts, strict=True))
            for _ in range(c - (j == victim))
        ]
        report = one_report(epsilons[victim], 0, categories)
        laws = [Counter(), Counter()]
        for blankets in product((0, 1), repeat=len(rates)):
            m = sum(blankets)
            chance = math.prod((r if b else 1 - r for r, b in zip(rates, blankets, strict=True)), start=Fraction(1))
            for heads in range(m + 1):
                mass = chance * Fraction(math.comb(m, heads), 2**m)
                for y in range(categories):
                    for law, at in zip(laws, (y, (1, 0)[y] if y < 2 else y), strict=True):
                        law[m, heads + (y == 0), y if y > 1 else "in"] += mass * report[at]
        alphas = levels(epsilons[victim])
        ours = curve(shuffled(epsilons, counts, categories, victim=victim, lost=LOST), alphas)
        for value, alpha in zip(ours, alphas, strict=True):
            for pair in (laws, laws[::-1]):
                truth = hockey_stick(*pair, alpha)
                assert 0 <= value - mp.mpf(truth.numerator) / truth.denominator <= 1e-12


@pytest.mark.parametrize(("epsilons", "counts", "categories"), TINY_CASES)
def test_lower_law_is_that_of_its_concrete_inputs(epsilons, counts, categories):
    for victim in range(len(counts)):
        people = [(e, 0 if categories == 2 else 2) for e, c in zip(epsilons, counts, strict=True) for _ in range(c)]
        people.remove((epsilons[victim], people[0][1]))
        pair = []
        for value in (0, 1):
            law = Counter()
            for seen, mass in histogram_law([*people, (epsilons[victim], value)], categories).items():
                law[seen[:2]] += mass
            pair.append(law)
        alphas = levels(epsilons[victim])
        ours = curve(shuffled_below(epsilons, counts, categories, victim=victim, lost=LOST), alphas)
        for value, alpha in zip(ours, alphas, strict=True):
            truth = hockey_stick(*pair, alpha)
            assert 0 <= mp.mpf(truth.numerator) / truth.denominator - value <= 1e-12


def test_a_clone_rate_ten_percent_too_high_is_caught(monkeypatch):
    true = engine._binomial

    def planted(count, odds, share):
        rate = 1.1 * odds / (1 + odds)
        return true(count, rate / (1 - rate), share)

    monkeypatch.setattr(engine, "_binomial", planted)
    assert min(gaps((1.0,), (4,), 2, 0)) < -1e-4
    assert min(gaps((0.5, 1.0, 2.0), (1, 2, 1), 2, 2)) < -1e-4


@pytest.mark.parametrize(("categories", "count", "held"), [(3, 3, 0), (4, 3, 2)])
def test_hiding_the_number_of_blankets_would_be_unsafe(categories, count, held):
    # The counts of the two values alone, though often used for k > 2, say less than the whole histogram.
    alphas = levels(1.0)
    # With others at a third category those counts have exactly the law that `shuffled_below` returns.
    tempting = curve(shuffled_below((1.0,), (count,), categories, victim=0, lost=LOST), alphas)
    people = [(1.0, held)] * (count - 1)
    first, second = (histogram_law([*people, (1.0, value)], categories) for value in (0, 1))
    real = [hockey_stick(first, second, alpha) for alpha in alphas]
    assert max(float(b) - float(a) for a, b in zip(tempting, real, strict=True)) > 1e-4


@pytest.mark.parametrize("categories", [2, 3, 10])
@pytest.mark.parametrize("epsilon", [1e-3, 1.0, 8.0])
def test_alone_it_is_randomised_response(categories, epsilon):
    losses, masses, infinite = shuffled((epsilon,), (1,), categories, victim=0, lost=LOST)
    scale = math.exp(epsilon) + categories - 1
    expected = {-epsilon: 1 / scale, epsilon: math.exp(epsilon) / scale}
    if categories > 2:
        expected[0.0] = (categories - 2) / scale
    assert dict(zip(losses.round(12).tolist(), masses.tolist(), strict=True)) == pytest.approx(
        {round(loss, 12): mass for loss, mass in expected.items()}, rel=1e-12
    )
    assert infinite < 1e-290


def delta(law, epsilon):
    losses, masses, infinite = law
    return infinite + float(masses @ np.maximum(0.0, -np.expm1(np.minimum(epsilon - losses, 0.0))))


@pytest.mark.parametrize("categories", [2, 4])
def test_the_grid_moves_the_curve_little_and_outwards(monkeypatch, categories):
    args = ((0.5, 2.0), (150, 100), categories)
    points = np.linspace(0.0, 1.0, 21)
    for call, sign in ((shuffled, 1), (shuffled_below, -1)):
        whole = [delta(call(*args, victim=1, lost=LOST), e) for e in points]
        with monkeypatch.context() as patch:
            patch.setattr(engine, "CELLS", 2**10)
            gridded = [delta(call(*args, victim=1, lost=LOST), e) for e in points]
        for plain, coarse in zip(whole, gridded, strict=True):
            assert -1e-11 * plain <= sign * (coarse - plain) <= 2e-3 * plain


@pytest.mark.parametrize(("counts", "categories"), [((3000, 2000), 2), ((3000, 2000), 4), ((20, 0), 3)])
def test_totals_and_reverse(counts, categories):
    law = shuffled((0.5, 2.0), counts, categories, victim=0, lost=1e-15)
    losses, masses, infinite = law
    assert 1 <= masses.sum() + infinite < 1 + 1e-9
    assert infinite < 1e-14
    reverse = (-losses, masses * np.exp(-losses), infinite)  # Q's masses: within the margins the same law
    for epsilon in (0.0, 0.01, 0.1):
        assert delta(reverse, epsilon) == pytest.approx(delta(law, epsilon), rel=1e-8)
    below = shuffled_below((0.5, 2.0), counts, categories, victim=0, lost=1e-15)
    assert 1 - 1e-9 < below[1].sum() <= 1
    for epsilon in (-0.3, 0.0, 0.01, 0.1):
        assert delta(below, epsilon) <= delta(law, epsilon)


def test_cutting_more_is_dearer_and_more_company_cheaper():
    base = delta(shuffled((1.0,), (5000,), 2, victim=0, lost=1e-30), 0.04)
    assert base < delta(shuffled((1.0,), (5000,), 2, victim=0, lost=1e-6), 0.04) < base + 2e-6
    assert delta(shuffled((1.0,), (5001,), 2, victim=0, lost=1e-30), 0.04) < base
    assert delta(shuffled((1.0, 3.0), (5000, 500), 2, victim=0, lost=1e-30), 0.04) < base
    assert delta(shuffled_below((1.0,), (5000,), 2, victim=0, lost=1e-6), 0.04) == pytest.approx(
        delta(shuffled_below((1.0,), (5000,), 2, victim=0, lost=1e-30), 0.04), abs=2e-5
    )


@pytest.mark.parametrize("epsilon", [1e-100, 1e-9, 60.0, 500.0])
@pytest.mark.parametrize("categories", [2, 3, 1000])
def test_extremes_are_numbers(epsilon, categories):
    for people in (2, 3000):
        losses, masses, infinite = shuffled((epsilon, 1.0), (people, 3), categories, victim=0, lost=1e-30)
        assert np.isfinite(losses).all()
        assert np.isfinite(masses).all()
        assert (masses >= 0).all()
        assert masses.sum() + infinite >= 1
        assert losses.max() <= epsilon * (1 + 1e-12)
        below = shuffled_below((epsilon, 1.0), (people, 3), categories, victim=0, lost=1e-30)
        assert np.isfinite(below[0]).all()
        for level in (0.0, epsilon / 2, epsilon * 0.999):
            assert delta(below, level) <= delta((losses, masses, infinite), level)


@pytest.mark.parametrize(
    ("epsilons", "counts", "categories", "victim", "lost"),
    [
        ((), (), 2, 0, 1e-9),
        ((1.0,), (1, 2), 2, 0, 1e-9),
        ((0.0,), (3,), 2, 0, 1e-9),
        ((math.nan,), (3,), 2, 0, 1e-9),
        ((math.inf,), (3,), 2, 0, 1e-9),
        ((501.0,), (3,), 2, 0, 1e-9),
        ((1.0,), (0,), 2, 0, 1e-9),
        ((1.0, 2.0), (3, -1), 2, 0, 1e-9),
        ((1.0,), (3,), 2, 1, 1e-9),
        ((1.0,), (3,), 2, -1, 1e-9),
        ((1.0,), (3,), 1, 0, 1e-9),
        ((1.0,), (3,), 2, 0, 0.0),
        ((1.0,), (3,), 2, 0, 0.5),
        ((1.0,), (3,), 2, 0, math.nan),
    ],
)
def test_what_is_no_population_is_refused(epsilons, counts, categories, victim, lost):
    for call in (shuffled, shuffled_below):
        with pytest.raises(InvalidInput):
            call(epsilons, counts, categories, victim=victim, lost=lost)
