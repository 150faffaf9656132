"""Running sums, whole series of them, on neighbours that take part as often as they may, and less."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from audited import Case, Trial, gaussian_loss

from discreet.audit import Claim, Pair
from discreet.events import Relation
from discreet.mechanisms import Rng, RunningSums, SumsSoFar, Toeplitz

RNG = Rng()


def running_cases():
    settings = ((4, 1, 1, 1, 4), (6, 3, 2, 1, 1), (5, 5, 1, 2, Fraction(1, 2)), (8, 2, 3, 18, Fraction(1, 3)))
    for steps, participations, separation, squared, factor in settings:
        matrix = Toeplitz.best(steps=steps, participations=participations, separation=separation)
        variance = matrix.sensitivity_squared * squared * Fraction(factor)
        sums = RunningSums(matrix=matrix, step_sensitivity_squared=Fraction(squared), variance=variance)
        yield Case(
            "RunningSums",
            f"{steps} steps, {participations} of a person, {separation} apart, step sensitivity² {squared}, "
            f"σ² {float(Fraction(factor)):.3g} of the whole",
            Claim.event(sums.event, relation=Relation.ADD_REMOVE),
            running(sums),
            tuple(Trial(pair, running_loss(sums, pair)) for pair in series_pairs(sums)),
            None,
            frozenset({"mechanisms.RunningSums"}),
            draws=8_000,
        )


def series_pairs(sums):
    """Yield what a person adds to the series: two cells, told relative to a series that is there in any case."""
    matrix, half = sums.matrix, math.isqrt(int(sums.step_sensitivity_squared) // 2)
    whole = [half, half] if half else [1, 0]
    chosen = range(0, matrix.steps, matrix.separation)[: matrix.participations]
    nothing = [[0, 0]] * matrix.steps
    yield Pair("the first steps, as often as may be", nothing, moved(matrix, dict.fromkeys(chosen, whole)))
    late = {matrix.steps - 1 - step: whole for step in chosen}
    yield Pair("the last steps, as often as may be", moved(matrix, late), nothing)
    if matrix.participations > 1:
        other = {step: [x * (-1) ** i for x in whole] for i, step in enumerate(chosen)}
        yield Pair("up and down in turn", nothing, moved(matrix, other))
    yield Pair("the first step alone", nothing, moved(matrix, {0: whole}))


def moved(matrix, moves):
    return [moves.get(step, [0, 0]) for step in range(matrix.steps)]


def running(sums):
    """Draw whole series, so many copies of the two cells side by side."""

    def run(series, draws):
        so_far = SumsSoFar()
        for step, vector in enumerate(series, 1):
            exact = np.tile(np.array(vector), draws)
            so_far = sums.advance(so_far, step=step, exact_values=exact, rng=RNG)
        return np.array(so_far.answers).reshape(len(series), draws, 2).swapaxes(0, 1).reshape(draws, -1)

    return run


def running_loss(sums, pair):
    column = sums.matrix.coefficients.tolist()
    moves = np.array(pair.second, dtype=object) - np.array(pair.first, dtype=object)
    mixed = [sum(column[t - s] * moves[s] for s in range(t + 1)) for t in range(len(moves))]
    return gaussian_loss([(int(move), sums.variance) for vector in mixed for move in vector])
