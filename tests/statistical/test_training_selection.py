"""Private selection draws as many runs as its law says, keeps the best of them, and shows no more than it is charged for.

A false alarm comes up once in 1e8 runs. What is planted: tests/attack/test_training_selection_bugs.py.
"""

from __future__ import annotations

import pytest

from discreet import events
from tests.best_of import STRENGTH, answered, drawn, fit_of_runs, fits, normal, refuted, selection


@pytest.mark.parametrize(
    "law",
    [
        {"mean_runs": 2.7, "shape": None},
        {"mean_runs": 4},
        {"mean_runs": 5, "shape": 0},
        {"mean_runs": 3, "shape": -0.5},
    ],
    ids=["poisson", "geometric", "logarithmic", "between"],
)
def test_there_are_as_many_runs_as_the_law_says(law):
    assert fit_of_runs(selection(**law), 4000).accepted


@pytest.mark.parametrize("shape", [None, 1.0])
def test_the_best_and_its_candidate_have_their_exact_laws(shape):
    for fit in fits(selection(shape=shape), 1500):
        assert fit.accepted, fit.worst


def test_answers_with_pure_privacy_keep_the_claim():
    """The worst case for a selection: it publishes 1 only if every run said so."""
    one = events.PrivateSelection(4.0, 1.0, events.Pure(STRENGTH))
    inside, outside = ([score == -1 for _, score, _ in drawn(selection(), 2000, answered(x))] for x in (1, 0))
    assert not refuted(one, inside, outside)


def test_gaussian_runs_keep_the_claim_and_not_that_of_one_run():
    """The event "a run was above": its chances differ more than a single run's ever do."""
    law = {"mean_runs": 10, "shape": None}
    inside, outside = (
        [score > 1.7 for _, score, _ in drawn(selection(**law), 1000, normal(x), candidates=1)] for x in (1.0, 0.0)
    )
    lows = [[not high for high in highs] for highs in (outside, inside)]  # without the record low scores are likelier
    alone = events.Gaussian(1.0)
    assert not refuted(events.PoissonSelection(10.0, alone), *lows)
    assert refuted(alone, *lows)
