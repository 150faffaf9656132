"""The noise of whole queries: its scale, its independence, and what the intervals cover.

Fresh randomness. Each check is a bound of at least six standard deviations of its statistic (false
alarms below 1e-8), and each is shown to notice a fault of the size it is meant for.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from discreet import Domain, PrivacyUnit, accounting
from discreet.accounting import Measure
from discreet.mechanisms import Rng
from discreet.sql.allocate import Noise
from discreet.sql.answers import intervals
from discreet.sql.answers.estimates import Noisy
from discreet.sql.bound import Parts
from discreet.sql.nodes import Aggregate, Arithmetic
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.rows import Ref
from tests.sql_cases import plan

CELLS = 20_000
UNIT = PrivacyUnit(column="id", max_groups=2, max_rows=3)
DOMAIN = Domain(id="integer", cell=list(range(CELLS)), age=(0, 100))
EMPTY = pa.table({"id": pa.array([], pa.int64()), "cell": pa.array([], pa.int64()), "age": pa.array([], pa.int64())})
SIGMAS = 6.5
AGE = Ref("age")
PARTS = Parts({AGE: Facts.of("age", DOMAIN["age"])}, frozenset())


def answer(sql, measure):
    bound = plan(sql, unit=UNIT, domain=DOMAIN, measure=measure, source=EMPTY)
    return bound.run(EMPTY, Rng()).value


def right_scale(values, variance, kurtosis):
    """Whether the mean square is what the law says; its standard error follows from the kurtosis."""
    error = math.sqrt((kurtosis - 1) / len(values))
    return abs(float(np.mean(np.square(values, dtype=float))) / variance - 1) < SIGMAS * error


def variances(measure):
    """Return the noise variances by hand: two columns, half of the budget each, at (1, 1e-6)."""
    if measure == "pure":
        scales = (2 * 3 * 1 / 0.5, 2 * 3 * 100 / 0.5)
        return [2 * scale**2 for scale in scales], 6.0
    rho = accounting.budget(Measure.parse(measure), epsilon=1.0, delta=1e-6) / 2**40
    return [2 * 3**2 * most**2 / (2 * rho / 2) for most in (1, 100)], 3.0


@pytest.mark.parametrize("measure", ["pure", "zcdp"])
def test_the_noise_of_a_query_has_the_scale_it_is_charged_for(measure):
    value = answer("SELECT cell, COUNT(*) AS n, SUM(age) AS s FROM t GROUP BY cell", measure)
    expected, kurtosis = variances(measure)
    for name, variance in zip("ns", expected, strict=True):
        noise = value[name].to_numpy()
        assert right_scale(noise, variance, kurtosis)
        assert not right_scale(noise * 0.9, variance, kurtosis)
        assert not right_scale(noise * 1.1, variance, kurtosis)
        assert value[f"{name}_se"][0].as_py() == pytest.approx(math.sqrt(variance), rel=0.01)


@pytest.mark.parametrize("measure", ["pure", "zcdp"])
def test_noise_is_independent_over_columns_and_groups(measure):
    value = answer("SELECT cell, COUNT(*) AS n, SUM(age) AS s FROM t GROUP BY cell", measure)
    n, s = (value[name].to_numpy().astype(float) for name in "ns")
    limit = SIGMAS / math.sqrt(CELLS)
    assert abs(np.corrcoef(n, s)[0, 1]) < limit
    for column in (n, s):
        assert abs(np.corrcoef(column[1:], column[:-1])[0, 1]) < limit
    reused = n * 100 + s * 0.01
    assert abs(np.corrcoef(n, reused)[0, 1]) > limit


# ------------------------------------------------------------------------------------ coverage


def noises(law, total, count):
    sizes = (
        (Fraction(total), Fraction(count))
        if law == "discrete_laplace"
        else (Fraction(total) ** 2, Fraction(count) ** 2)
    )
    return tuple(Noise(law, Fraction(1), size) for size in sizes)


def covered(expression, truth, exact, kinds, level=intervals.LEVEL):
    """Return the share of intervals that hold the truth."""
    drawn = {part: noise.add(np.full(CELLS, exact[part], dtype=np.int64), Rng()) for part, noise in kinds.items()}
    noisy = Noisy(PARTS, drawn, kinds, {}, CELLS)
    if level != intervals.LEVEL:
        low, high = noisy.estimate(expression, level).spread
    else:
        low, high = noisy.released(expression)[0].spread
    return float(np.mean((low <= truth) & (truth <= high)))


def enough(coverage):
    return coverage > 0.95 - SIGMAS * math.sqrt(0.95 * 0.05 / CELLS)


@pytest.mark.parametrize("law", ["discrete_laplace", "discrete_gaussian"])
@pytest.mark.parametrize("people", [1, 5, 40, 3000])
@pytest.mark.parametrize("mean", [0, 37, 50, 100])
def test_the_interval_of_an_average_covers(law, people, mean):
    average = Aggregate("AVG", (AGE,))
    total, count = PARTS(average)
    kinds = dict(zip((total, count), noises(law, 400, 8), strict=True))
    exact = {total: (mean - 50) * people, count: people}
    assert enough(covered(average, mean, exact, kinds))


@pytest.mark.parametrize("law", ["discrete_laplace", "discrete_gaussian"])
def test_the_interval_of_an_average_is_not_wasteful(law):
    """Where the count is clear, a level of 93 % is noticed, so 95 % is not reached by mere width."""
    average = Aggregate("AVG", (AGE,))
    total, count = PARTS(average)
    kinds = dict(zip((total, count), noises(law, 400, 8), strict=True))
    drawn = {total: 20 * 3000, count: 3000}
    noisy = [
        kinds[part].add(np.full(CELLS, drawn[part], dtype=np.int64), Rng()).astype(float) for part in (total, count)
    ]
    low, high = intervals.ratio(*noisy, 50.0, (kinds[total], kinds[count]), level=0.93)
    coverage = float(np.mean((low <= 20) & (high >= 20)))
    assert not enough(coverage)


@pytest.mark.parametrize("law", ["discrete_laplace", "discrete_gaussian"])
@pytest.mark.parametrize("size", [0.4, 1, 12, 500])
def test_the_interval_of_a_count_covers(law, size):
    count = Aggregate("COUNT")
    (part,) = PARTS(count)
    kinds = {part: noises(law, Fraction(str(size)), 1)[0]}
    assert enough(covered(count, 17, {part: 17}, kinds))
    if size == 500:
        assert not enough(covered(count, 17, {part: 17}, kinds, level=0.93))


@pytest.mark.parametrize("law", ["discrete_laplace", "discrete_gaussian"])
@pytest.mark.parametrize("operator", ["+", "-", "*", "/"])
def test_the_interval_of_arithmetic_covers(law, operator):
    total, count = Aggregate("SUM", (AGE,)), Aggregate("COUNT")
    (first,), (second,) = PARTS(total), PARTS(count)
    kinds = dict(zip((first, second), noises(law, 30, 8), strict=True))
    truth = {"+": 570.0, "-": 430.0, "*": 35000.0, "/": 500 / 70}[operator]
    assert enough(covered(Arithmetic(operator, total, count), truth, {first: 500, second: 70}, kinds))


def mass(noise):
    """Return the law of a noise, up to 1e-13 of its mass, by its definition."""
    scale = float(noise.scale)
    reach = math.ceil(30 * scale) + 2 if noise.law == "discrete_laplace" else math.ceil(8 * math.sqrt(scale)) + 2
    x = np.arange(-reach, reach + 1, dtype=float)
    weight = np.exp(-np.abs(x) / scale) if noise.law == "discrete_laplace" else np.exp(-(x**2) / (2 * scale))
    return x, weight / weight.sum()


@pytest.mark.parametrize("law", ["discrete_laplace", "discrete_gaussian"])
@pytest.mark.parametrize("total", ["0.3", "1", "4", "25"])
@pytest.mark.parametrize("count", ["0.3", "1", "4", "15"])
def test_the_ratio_region_covers_exactly(law, total, count):
    """No sampling: the probability of the region, summed over both laws, for many true ratios."""
    pair = noises(law, Fraction(total), Fraction(count))
    (x, p), (y, q) = mass(pair[0]), mass(pair[1])
    for ratio in (0.0, 0.01, 0.37, 0.5, 1.0, 2.0, 7.5, 100.0):
        deviation = np.abs(x[:, None] - ratio * y[None, :])
        inside = intervals._plausible(deviation, np.full_like(deviation, ratio), pair, 0.95)
        assert float((p[:, None] * q[None, :] * inside).sum()) >= 0.95 - 1e-6, ratio
