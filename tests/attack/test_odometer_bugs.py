"""Planted bugs in the odometer: each is caught by a check that the good code passes."""

from __future__ import annotations

import pytest

from discreet import events
from discreet.accounting import Odometer, odometer, profile
from discreet.accounting.engines import bank, pairs, readout
from discreet.accounting.engines.contour import Terms
from discreet.accounting.engines.law import Law
from discreet.profiles import Bracket

ADD = events.Relation.ADD_REMOVE
SGD = events.PoissonSampled(0.01, ADD, events.Gaussian(1.0))


@pytest.fixture(autouse=True)
def nothing_remembered():
    """Rows are kept between calls: those with a planted bug must not be."""
    for cache in (bank._rows, odometer._rows, pairs._pair):
        cache.cache_clear()
    yield
    for cache in (bank._rows, odometer._rows, pairs._pair):
        cache.cache_clear()


def read(*parts: events.Event, delta: float) -> Bracket:
    meter = Odometer.start()
    for part in parts:
        meter = meter.spend(part)
    return meter.epsilon(delta)


def within(found: Bracket | Terms, truth: Bracket) -> None:
    assert found.upper >= truth.lower, "the truth is above its upper end"
    assert found.lower <= truth.upper, "the truth is below its lower end"


# -------------------------------------------------------------------------------------------- checks


def counts_what_windows_cut() -> None:
    """Windows so narrow that what they cut is a large part of δ."""
    parts = (events.Repeated(30, SGD), events.Gaussian(10.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank, "SHARE", 1)
        within(read(*parts, delta=1e-6), profile(events.Composed(parts)).epsilon(1e-6))


def counts_the_end_of_a_row() -> None:
    """What does not decay holds much beyond the last node."""
    for parts in ((SGD,) * 3, (events.Laplace(1.0),) * 4, (events.RandomizedResponse(1.0, 2),) * 7):
        for delta in (1e-3, 1e-5):
            within(read(*parts, delta=delta), profile(events.Composed(parts)).epsilon(delta))


def counts_what_aliases() -> None:
    """Every row must say how far it can be trusted, those far from the saddle point, too."""
    event = events.Composed((events.Repeated(60, SGD), events.Gaussian(20.0)))
    (rows, _), solver = odometer._rows(event, 1, 6), profile(event).above[0]
    for epsilon in (0.3, 0.6):
        truth = solver.delta(epsilon)
        for row in range(len(rows.shape)):
            within(rows.contour(row, epsilon).delta(epsilon), truth)


def counts_the_other_gaussian() -> None:
    """What is read beside a Gaussian costs more than what was spent."""
    for parts in ((events.RandomizedResponse(1.0, 2),), (events.Laplace(2.0),) * 2, (events.Pure(0.3),) * 5):
        for delta in (1e-3, 1e-6):
            within(read(*parts, delta=delta), profile(events.Composed(parts)).epsilon(delta))


def reads_both_directions() -> None:
    table = events.Tabulated((0.5, 0.5, 0.0), (0.25, 0.25, 0.5))
    assert read(table, events.Gaussian(5.0), delta=0.1).upper == float("inf"), "the direction of adding is forgotten"


def counts_repetitions() -> None:
    parts = (events.Repeated(100, events.Laplace(5.0)), events.Gaussian(3.0))
    within(read(*parts, delta=1e-6), profile(events.Composed(parts)).epsilon(1e-6))


CHECKS = [
    counts_what_windows_cut,
    counts_the_end_of_a_row,
    counts_what_aliases,
    counts_the_other_gaussian,
    reads_both_directions,
    counts_repetitions,
]


@pytest.mark.parametrize("check", CHECKS)
def test_the_good_code_is_cleared(check):
    check()


# ---------------------------------------------------------------------------------------- the bugs


def test_a_forgotten_window_is_caught(monkeypatch):
    monkeypatch.setattr(Law, "removed", property(lambda _: 0.0))
    with pytest.raises(AssertionError, match="above its upper end"):
        counts_what_windows_cut()


def test_a_row_that_forgets_its_end_is_caught(monkeypatch):
    good = bank._lines

    def ended(*given):
        return [line._replace(sums=[*line.sums[:-1], -700.0]) for line in good(*given)]

    monkeypatch.setattr(bank, "_lines", ended)
    with pytest.raises(AssertionError, match=r"(above|below) its (upper|lower) end"):
        counts_the_end_of_a_row()


def test_aliasing_that_is_left_out_is_caught(monkeypatch):
    good = bank.Rows.contour

    def alone(self, row, near):
        line = good(self, row, near)
        object.__setattr__(line, "above", (3 * line.c, -700.0))
        return line

    monkeypatch.setattr(bank.Rows, "contour", alone)
    with pytest.raises(AssertionError, match="below its lower end"):
        counts_what_aliases()


def test_a_gaussian_that_costs_nothing_is_caught(monkeypatch):
    """A lower end that takes what was spent and the Gaussian for what was spent."""
    monkeypatch.setattr(readout, "_alone", lambda _mu, _delta: (0.0, 0.0))
    with pytest.raises(AssertionError, match="below its lower end"):
        counts_the_other_gaussian()


def test_a_forgotten_direction_is_caught(monkeypatch):
    good = bank.rows
    monkeypatch.setattr(bank, "rows", lambda event, _direction, level, count: good(event, "remove", level, count))
    with pytest.raises(AssertionError, match="direction of adding is forgotten"):
        reads_both_directions()


def test_a_count_that_is_ignored_is_caught(monkeypatch):
    monkeypatch.setattr(bank.Rows, "times", lambda self, _count: self)
    with pytest.raises(AssertionError, match="above its upper end"):
        counts_repetitions()
