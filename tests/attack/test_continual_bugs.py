"""Planted bugs in running sums: a named check catches each, and clears the good twin."""

from __future__ import annotations

import itertools
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from discreet.audit import Claim, Pair
from discreet.errors import InvalidInput
from discreet.events import DiscreteGaussian, Relation
from discreet.mechanisms import Rng, RunningSums, SumsSoFar, Toeplitz, toeplitz
from discreet.testing import Nonconforming, check_private, check_sensitivity

RNG = Rng()
STEPS = 6
DRAWS = 20_000
LOSS = Fraction(1, 2)  # ρ


def caught(check, bad, good):
    check(good)
    with pytest.raises(Nonconforming):
        check(bad)


def mechanism(matrix, squared=None):
    """Return running sums calibrated to ρ = LOSS by the squared sensitivity that somebody believes in."""
    squared = matrix.sensitivity_squared if squared is None else squared
    return RunningSums(matrix=matrix, step_sensitivity_squared=Fraction(1), variance=Fraction(squared) / (2 * LOSS))


def moved(*chosen):
    return [int(step in chosen) for step in range(STEPS)]


NOTHING = moved()


# ----------------------------------------------------------- who may take part how often, and how far it reaches


def one_column(matrix):
    """The squared norm of a single column, as if a unit took part once."""
    return sum(number**2 for number in matrix.coefficients.tolist())


def far_apart(matrix):
    """Columns taken one by one, as if they were orthogonal."""
    return matrix.participations * one_column(matrix)


def in_order(matrix):
    """Right for numbers that never increase: the columns 0, separation, 2·separation, …."""
    return matrix.sensitivity_squared


def neighbours(matrix):
    """Yield all mixed series that one unit makes, against none: every set of steps, every sign."""
    column = matrix.coefficients.tolist()
    for size in range(1, matrix.participations + 1):
        for chosen in itertools.combinations(range(matrix.steps), size):
            if any(b - a < matrix.separation for a, b in itertools.pairwise(chosen)):
                continue
            for signs in itertools.product((-1, 1), repeat=size):
                mixed = [sum(sign * column[t - s] for s, sign in zip(chosen, signs, strict=True) if s <= t)
                         for t in range(matrix.steps)]  # fmt: skip
                yield mixed, [0] * matrix.steps


def believed(matrix, squared):
    return SimpleNamespace(event=DiscreteGaussian(Fraction(squared), Fraction(1)))


@pytest.mark.parametrize("wrong", [one_column, far_apart])
def test_columns_of_several_steps_taken_for_less_than_they_are(wrong):
    matrix = Toeplitz(steps=STEPS, participations=3, separation=2)
    pairs = list(neighbours(matrix))
    caught(
        lambda one: check_sensitivity(one, pairs), believed(matrix, wrong(matrix)), believed(matrix, in_order(matrix))
    )


def test_numbers_rounded_so_that_they_increase(monkeypatch):
    """Twice the square root, each number rounded up or down as it comes: then steps further apart may be worse."""
    right = Toeplitz(steps=8, participations=2)
    check_sensitivity(believed(right, in_order(right)), neighbours(right))
    monkeypatch.setattr(toeplitz, "_coefficients", lambda *_: np.array([2, 1, 0, 1, 0, 1, 0, 1]))
    wrong = Toeplitz(steps=8, participations=2)
    with pytest.raises(Nonconforming):
        check_sensitivity(believed(wrong, in_order(wrong)), neighbours(wrong))


def played(sums):
    """Run whole series: a cell for each draw, a step after the other; the data are a number for each step."""

    def run(series, draws):
        so_far = SumsSoFar()
        for step, value in enumerate(series, 1):
            so_far = sums.advance(so_far, step=step, exact_values=np.full(draws, value), rng=RNG)
        return np.array(so_far.answers).T

    return run


def private(sums, pair):
    """Hold what a run shows to the event that the sums are charged as."""
    claim = Claim.event(DiscreteGaussian(2 * LOSS, Fraction(1)), relation=Relation.ADD_REMOVE)
    return lambda run: check_private(run, claim=claim, pairs=[Pair("a unit more", *pair)], draws=DRAWS)


def test_a_single_column_is_caught_by_its_outputs():
    matrix = Toeplitz(steps=STEPS, participations=4)
    good, bad = mechanism(matrix), mechanism(matrix, one_column(matrix))
    caught(private(good, (NOTHING, moved(0, 1, 2, 3))), played(bad), played(good))


def test_more_steps_than_declared_are_caught():
    sums = mechanism(Toeplitz(steps=STEPS, participations=1))
    private(sums, (NOTHING, moved(0)))(played(sums))
    with pytest.raises(Nonconforming):
        private(sums, (NOTHING, moved(*range(STEPS))))(played(sums))


# -------------------------------------------------------------------------------- each step once, from one past


def shown_again(sums, *, saved):
    """Show the first answer again and again; without what was saved each time is a first time."""

    def run(series, draws):
        so_far, shown = SumsSoFar(), []
        for _ in range(12):
            after = sums.advance(so_far, step=1, exact_values=np.full(draws, series[0]), rng=RNG)
            so_far = after if saved else so_far
            shown.append(after.answers[0])
        return np.array(shown).T

    return run


def test_noise_drawn_again_for_an_answer_that_was_shown():
    sums = mechanism(Toeplitz(steps=STEPS, participations=1))
    caught(private(sums, (NOTHING, moved(0))), shown_again(sums, saved=False), shown_again(sums, saved=True))


def read_anew(sums, *, frozen):
    """Read the table anew at each step: the unit's only row now bears the date of this step, again and again."""

    def run(series, draws):
        so_far, there = SumsSoFar(), any(series)
        for step in range(1, STEPS + 1):
            if not frozen:
                zeros = np.zeros(draws, dtype=np.int64)
                so_far = SumsSoFar(exact=[zeros] * (step - 1), answers=so_far.answers)
            value = int(there and (step == 1 or not frozen))
            so_far = sums.advance(so_far, step=step, exact_values=np.full(draws, value), rng=RNG)
        return np.array(so_far.answers).T

    return run


def test_a_past_that_changes_between_two_steps():
    sums = mechanism(Toeplitz(steps=STEPS, participations=1))
    caught(private(sums, (NOTHING, moved(0))), read_anew(sums, frozen=False), read_anew(sums, frozen=True))


def test_the_check_of_outputs_could_have_failed():
    """It says so itself where draws are too few to refute anything."""
    sums = mechanism(Toeplitz(steps=STEPS, participations=1))
    claim = Claim.event(DiscreteGaussian(2 * LOSS, Fraction(1)), relation=Relation.ADD_REMOVE)
    with pytest.raises(InvalidInput):
        check_private(played(sums), claim=claim, pairs=[Pair("a unit more", NOTHING, moved(0))], draws=8)
