"""Scores of membership against their formulas, worked out record by record with Python's own floats.

LiRA: Carlini et al. 2022, equation for Gaussian fits. RMIA: Zarifzadeh et al. 2024, equations of the online and offline
form; ML Privacy Meter's run_rmia computes the same offline numbers. Student's t by its density. The prior of variances:
Smyth 2004, whose moments are checked on variances drawn from it.
"""

import math
from statistics import NormalDist, fmean

import numpy as np
import pytest

from discreet.audit.membership.prior import prior
from discreet.audit.membership.scores import (
    Variance,
    bavaria,
    bavaria_offline,
    lira,
    lira_offline,
    rmia,
    rmia_offline,
)
from discreet.audit.membership.signals import Side, Signals

RNG = np.random.default_rng(11)
MODELS, RECORDS = 6, 9
INSIDE = np.argsort(RNG.random((MODELS, RECORDS)), axis=0) < MODELS // 2
SPREADS = np.array([0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0])  # far apart: a prior that is not firm
SHADOWS = 1 + SPREADS * RNG.normal(size=(MODELS, RECORDS)) + INSIDE
TARGET = RNG.normal(1, 2, RECORDS)
SIGNALS = Signals(TARGET, SHADOWS, INSIDE)
PLACES = range(RECORDS)


def column(record, *, inside):
    return [float(SHADOWS[m, record]) for m in range(MODELS) if INSIDE[m, record] == inside]


def squares(values):
    return math.fsum((value - fmean(values)) ** 2 for value in values)


def pooled(*, inside):
    columns = [column(r, inside=inside) for r in PLACES]
    return math.fsum(map(squares, columns)) / sum(len(values) - 1 for values in columns)


def normal(values, variance):
    return NormalDist(fmean(values), math.sqrt(variance))


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def test_lira_pooled():
    expected = [
        math.log(normal(column(r, inside=True), pooled(inside=True)).pdf(TARGET[r]))
        - math.log(normal(column(r, inside=False), pooled(inside=False)).pdf(TARGET[r]))
        for r in PLACES
    ]
    assert lira(SIGNALS) == pytest.approx(expected, rel=1e-12)


def test_lira_with_own_variances():
    def fitted(record, inside):
        values = column(record, inside=inside)
        return normal(values, squares(values) / (len(values) - 1))

    expected = [
        math.log(fitted(r, inside=True).pdf(TARGET[r])) - math.log(fitted(r, inside=False).pdf(TARGET[r]))
        for r in PLACES
    ]
    assert lira(SIGNALS, variance=Variance.OWN) == pytest.approx(expected, rel=1e-9)


def test_lira_offline():
    expected = [-math.log(1 - normal(column(r, inside=False), pooled(inside=False)).cdf(TARGET[r])) for r in PLACES]
    assert lira_offline(SIGNALS) == pytest.approx(expected, rel=1e-9)


def confidences(record, *, inside):
    return fmean(map(sigmoid, column(record, inside=inside)))


@pytest.mark.parametrize("gamma", [0.8, 1.0, 2.0])
def test_rmia_online(gamma):
    ratios = [sigmoid(TARGET[r]) / ((confidences(r, inside=True) + confidences(r, inside=False)) / 2) for r in PLACES]
    expected = [fmean(x / z > gamma for z in ratios) for x in ratios]
    assert rmia(SIGNALS, gamma=gamma) == pytest.approx(expected)


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
def test_rmia_offline_with_a_population(a):
    others = Signals(RNG.normal(size=7), RNG.normal(size=(MODELS, 7)), np.zeros((MODELS, 7), dtype=bool))

    def ratio(target, mean):
        return sigmoid(target) / (((1 + a) * mean + (1 - a)) / 2)

    beaten = [ratio(others.target[z], fmean(map(sigmoid, others.shadows[:, z].tolist()))) for z in range(7)]
    ratios = [ratio(TARGET[r], confidences(r, inside=False)) for r in PLACES]
    expected = [fmean(x / z > 1 for z in beaten) for x in ratios]
    assert rmia_offline(SIGNALS, others, a=a) == pytest.approx(expected)


def student(x, centre, scale, freedom):
    """Density of Student's t."""
    gammas = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    constant = gammas / (math.sqrt(freedom * math.pi) * scale)
    return constant * (1 + ((x - centre) / scale) ** 2 / freedom) ** (-(freedom + 1) / 2)


def predicted(record, *, inside):
    """Centre, scale and degrees of freedom of a record's next signal."""
    belief = prior(SIGNALS.side(inside=inside, least=1))
    values = column(record, inside=inside)
    freedom = belief.freedom + len(values) - 1
    variance = (belief.freedom * belief.variance + squares(values)) / freedom
    return fmean(values), math.sqrt(variance * (1 + 1 / len(values))), freedom


def test_the_prior_is_not_firm_here():
    assert all(0.5 < prior(SIGNALS.side(inside=inside, least=1)).freedom < 50 for inside in (True, False))


def test_bavaria_is_a_ratio_of_students():
    expected = [
        math.log(student(TARGET[r], *predicted(r, inside=True)) / student(TARGET[r], *predicted(r, inside=False)))
        for r in PLACES
    ]
    assert bavaria(SIGNALS) == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_bavaria_offline_is_a_tail_of_student():
    def tail(record):
        centre, scale, freedom = predicted(record, inside=False)
        # t = tan(angle)·sqrt(freedom) makes the integral finite
        start = math.atan((TARGET[record] - centre) / scale / math.sqrt(freedom))
        angle = np.linspace(start, math.pi / 2, 200_001)
        step = (math.pi / 2 - start) / 200_000
        points = np.tan(angle[:-1]) * math.sqrt(freedom)
        values = [student(point, 0.0, 1.0, freedom) for point in points] * (
            math.sqrt(freedom) / np.cos(angle[:-1]) ** 2
        )
        return float(values.sum() - values[0] / 2) * step

    found = bavaria_offline(SIGNALS)
    for record in (0, 4, 8):
        assert math.exp(-found[record]) == pytest.approx(tail(record), rel=1e-3)


@pytest.mark.parametrize(("freedom", "scale"), [(12.0, 2.0), (30.0, 0.5)])
def test_the_prior_finds_what_variances_were_drawn_from(freedom, scale):
    rng, records, shadows = np.random.default_rng(2), 200_000, 17
    variances = freedom * scale / rng.chisquare(freedom, records)
    sums = variances * rng.chisquare(shadows - 1, records)
    side = Side(np.full(records, shadows), np.zeros(records), sums, float(sums.mean() / (shadows - 1)))
    found = prior(side)
    assert found.freedom == pytest.approx(freedom, rel=0.05)
    assert found.variance == pytest.approx(scale, rel=0.02)


def test_equal_variances_make_the_prior_firm():
    rng, records = np.random.default_rng(2), 100_000
    sums = 0.25 * rng.chisquare(4, records)
    found = prior(Side(np.full(records, 5), np.zeros(records), sums, 0.25))
    assert found.freedom > 200
    assert found.variance == pytest.approx(0.25, rel=0.02)
