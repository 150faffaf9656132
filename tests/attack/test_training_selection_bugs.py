"""Planted bugs in private selection: laws and attackers' rates catch each, and clear the real code.

What no code can catch: a score that looks at private rows. It is planted here to show what it would give away.
"""

from __future__ import annotations

import inspect
import textwrap

import pytest

from discreet import events, train
from discreet.train import choosing
from discreet.train import selection as room
from tests.best_of import STRENGTH, answered, drawn, fit_of_runs, fits, normal, refuted, selection
from tests.choosing import choose
from tests.choosing import selection as chosen
from tests.training import dataset

CHARGED = events.PrivateSelection(4.0, 1.0, events.Pure(STRENGTH))


def mutate(monkeypatch, old, new):
    """Replace a piece of text in the source of `best_of`, which must be there once."""
    source = textwrap.dedent(inspect.getsource(room.best_of))
    assert source.count(old) == 1, f"best_of was rewritten: plant this bug anew ({old!r})"
    names = {}
    exec(source.replace(old, new), vars(room), names)  # the bug has to be in the real code
    monkeypatch.setattr(room, "best_of", names["best_of"])


def caught_by_laws(draws=800):
    return not all(fit.accepted for fit in fits(selection(), draws))


IN_THE_LOOP = {
    "one key for all runs": ('words("run", number,', 'words("run", 0,'),
    "one candidate for all runs": ('Bits(own, "candidate")', 'Bits(stream, "candidate")'),
    "always the first candidate": ("which = int(", "which = 0 * int("),
    "a run too few": ("selection.runs(stream)):", "selection.runs(stream) - 1):"),
    "a fixed number of runs": ("selection.runs(stream)):", "4):"),
}


@pytest.mark.parametrize("bug", IN_THE_LOOP)
def test_a_bug_in_the_loop_is_caught(monkeypatch, bug):
    mutate(monkeypatch, *IN_THE_LOOP[bug])
    assert caught_by_laws()


def test_a_winner_that_is_the_last_and_not_the_best_is_caught(monkeypatch):
    def offer(self, which, score, tensors):
        self.score, self.which, self.tensors = score, which, tensors

    monkeypatch.setattr(room.Best, "offer", offer)
    assert caught_by_laws()


@pytest.mark.parametrize(("wrong", "draws"), [({"mean_runs": 4.4}, 20_000), ({"shape": 0.3}, 8000)])
def test_another_law_than_is_charged_is_caught(monkeypatch, wrong, draws):
    other, real = selection(**wrong), train.Selection.runs
    monkeypatch.setattr(train.Selection, "runs", lambda _, stream: real(other, stream))
    assert not fit_of_runs(selection(), draws).accepted


def test_a_fixed_number_of_runs_shows_more_than_is_charged(monkeypatch):
    mutate(monkeypatch, *IN_THE_LOOP["a fixed number of runs"])
    inside, outside = ([score == -1 for _, score, _ in drawn(selection(), 2000, answered(x))] for x in (1, 0))
    assert refuted(CHARGED, inside, outside)


def test_a_number_of_runs_that_is_released_shows_more_than_is_charged():
    """Given the number, it is as if it were fixed: many runs, and all of them said 1."""
    inside, outside = (
        [runs >= 3 and score == -1 for runs, score, _ in drawn(selection(), 5000, answered(x))] for x in (1, 0)
    )
    assert refuted(CHARGED, inside, outside)


def test_a_score_that_looks_at_the_rows_gives_them_away():
    """Runs that tell nothing, and a score by the record: high numbers if it is there, low ones if not. Nobody can see it
    from outside; the guarantee lists that the score does not as an assumption.
    """

    def best(record):
        def run(number, which, stream):
            told, _ = normal()(number, 0, stream)
            return (told if record else -told), {}

        return [score if record else -score for _, score, _ in drawn(selection(mean_runs=12), 400, run)]

    inside, outside = ([value > 0 for value in best(record)] for record in (True, False))
    assert refuted(events.PrivateSelection(12.0, 1.0, events.Pure(0.0)), inside, outside)


def test_a_charge_for_one_run_only_is_caught(tmp_path, monkeypatch):
    """That all runs are charged is looked up in the ledger; that one run's curve does not hold: see the audit."""

    def charged(folder):
        data = dataset(folder)
        choose(data, folder)
        (entry,) = (entry for entry in data.ledger.entries("people") if entry.kind == "charge")
        return entry.body["event"] == events.to_dict(events.PoissonSelection(3.0, chosen().plan.event))

    assert charged(tmp_path / "good")
    real = choosing._bound
    monkeypatch.setattr(choosing, "_bound", lambda *told: choosing.replace(real(*told), event=chosen().plan.event))
    assert not charged(tmp_path / "bad")
