"""Planted bugs in series: a named check catches each, and clears the good twin."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest

from discreet import PrivacyUnit
from discreet.errors import DiscreetError
from discreet.events import DiscreteGaussian, Relation
from discreet.sql.continual import bind as continual_bind
from discreet.sql.continual import plan as continual_plan
from discreet.sql.continual.book import Book
from discreet.sql.continual.state import State
from discreet.testing import Nonconforming, check_sensitivity
from tests.series_cases import end, everybody, follow, month, open_account, plan, played, rows, write

STEPS = 4
UNIT = PrivacyUnit(column="id", max_groups=1, max_rows=2)
TEXT = "SELECT ward, COUNT(*) AS n FROM t GROUP BY ward"


def visits(*days):
    """Return a person's two rows on each day."""
    return rows(*((0, day, "A", 50) for day in days for _ in range(2)))


STAYS = [visits(*(month(at) for at in range(1, step + 1))) for step in range(1, STEPS + 1)]
MOVES = [visits(month(step)) for step in range(1, STEPS + 1)]  # the same visit, dated anew before each step
NOBODY = [rows()] * STEPS


def check(bound, folder, history, other=None):
    """Hold what the noise is added to, on two neighbouring histories, to the event of the series."""
    here, there = (played(bound, folder, one) for one in (history, NOBODY if other is None else other))
    for sums, a, b in zip(bound.sums.values(), here, there, strict=True):
        check_sensitivity(sums, [(a, b)])


def caught(bound, folder, history):
    with pytest.raises(Nonconforming):
        check(bound, folder, history)


# ------------------------------------------------------------------------------- who may take part


def rightly(self, step, *, participations, separation, _inner=State.blocked):
    return _inner(self, step, participations=participations, separation=separation)


def forgets(self, step, **_):
    """Nobody is left out: the bound is taken for a promise."""
    return rightly(self, step, participations=10**9, separation=0)


def by_the_table(self, step, *, participations, separation):
    """Who took part is worked out from the dates that rows bear now: whose row has moved is free again."""
    earlier = {row["day"].month for row in MOVES[step - 1].to_pylist()} - {step}
    return rightly(self, step, participations=1 if len(earlier) >= participations else 10**9, separation=0)


def lets_one_more(self, step, *, participations, separation):
    """Off by one."""
    return rightly(self, step, participations=participations + 1, separation=separation)


def any_distance(self, step, *, participations, separation):
    """The separation is forgotten."""
    return rightly(self, step, participations=participations, separation=1)


@pytest.mark.parametrize(
    ("bug", "participations", "separation"),
    [(forgets, 2, 1), (lets_one_more, 1, 1), (any_distance, 2, 2), (by_the_table, 1, 1)],
    ids=["nobody is left out", "one more", "any distance", "by the table as it is now"],
)
def test_people_who_take_part_too_often(tmp_path, monkeypatch, bug, participations, separation):
    bound = plan(TEXT, unit=UNIT, steps=STEPS, participations=participations, separation=separation)
    for history in (STAYS, MOVES):
        check(bound, tmp_path, history)
    monkeypatch.setattr(State, "blocked", bug)
    caught(bound, tmp_path, MOVES)


def everybody_stays(writer, blocked, _inner=continual_plan._kept):
    return _inner(writer, None)


def test_people_who_are_known_and_stay_all_the_same(tmp_path, monkeypatch):
    """The engine is told who may not take part, and leaves nobody out."""
    bound = plan(TEXT, unit=UNIT, steps=STEPS, participations=1)
    check(bound, tmp_path, MOVES)
    monkeypatch.setattr(continual_plan, "_kept", everybody_stays)
    caught(bound, tmp_path, MOVES)


# -------------------------------------------------------------------------------- a past that stays


def test_a_past_that_is_read_anew_at_each_step(tmp_path):
    """The exact vectors of earlier steps are worked out again from the table as it is now."""
    bound = plan(TEXT, unit=UNIT, steps=STEPS, participations=1)
    # Nobody moves but by growing: then both are right. A visit that moves is in every step once, and so in all of them.
    for history in (STAYS, MOVES):
        check(bound, tmp_path, history)
    column = bound.matrix.coefficients.tolist()
    [part] = bound.sums
    shown = []
    for step in range(1, STEPS + 1):
        now = MOVES[step - 1].to_pylist()
        vectors = [[sum(1 for row in now if row["day"].month == at)] for at in range(1, step + 1)]
        shown.append(sum(column[step - at] * vectors[at - 1][0] for at in range(1, step + 1)))
    with pytest.raises(Nonconforming):
        check_sensitivity(bound.sums[part], [(shown, [0] * STEPS)])


# ------------------------------------------------------------------------------------- what is charged


def one_step(matrix):
    """A unit takes part once, whatever is declared."""
    return replace(matrix, participations=1).sensitivity_squared


def test_a_single_step_charged_for_several(tmp_path):
    bound = plan(TEXT, unit=UNIT, steps=STEPS, participations=3)
    [sums] = bound.sums.values()
    here, nobody = (played(bound, tmp_path, one)[0] for one in (STAYS, NOBODY))
    believed = DiscreteGaussian(one_step(bound.matrix) * sums.step_sensitivity_squared, sums.variance)
    check_sensitivity(sums, [(here, nobody)])
    with pytest.raises(Nonconforming):
        check_sensitivity(SimpleNamespace(event=believed), [(here, nobody)])


def test_a_replaced_person_charged_as_one_who_goes(tmp_path, monkeypatch):
    unit = PrivacyUnit(column="id", max_groups=1, max_rows=2, relation=Relation.REPLACE_ONE)
    away = [rows(*((0, at, "B", 50) for at in range(1, step + 1) for _ in "ab")) for step in range(1, STEPS + 1)]
    check(plan(TEXT, unit=unit, steps=STEPS, participations=2), tmp_path, STAYS, away)
    monkeypatch.setattr(
        continual_bind,
        "_square",
        lambda bounds, part: replace(bounds, relation=Relation.ADD_REMOVE).sensitivity(part)[1],
    )
    with pytest.raises(Nonconforming):
        check(plan(TEXT, unit=unit, steps=STEPS, participations=2), tmp_path, STAYS, away)


# ------------------------------------------------------------------------------ one draw for each step


def shown_of_a_step(folder, restore):
    """Return all answers of step 2 that were ever to be seen, where a backup is restored after it."""
    source = write(folder, everybody(4))
    found = follow(folder, source)
    found.open()
    found.advance(end(1))
    backup = found.path.read_bytes()
    seen = [found.advance(end(2))[0].value["n"].to_pylist()]
    if restore:
        found.path.write_bytes(backup)
    for place in (folder / "releases" / "visits-2").iterdir():  # and the release is lost, too
        place.rename(folder / place.name)
    with suppress(DiscreetError):
        seen += [release.value["n"].to_pylist() for release in follow(folder, source).advance(end(2))]
    return seen


def test_a_step_drawn_again_from_an_old_copy(tmp_path, monkeypatch):
    for name in ("whole", "restored", "bug"):
        (tmp_path / name).mkdir()
        open_account(tmp_path / name)
    first, again = shown_of_a_step(tmp_path / "whole", restore=False)
    assert first == again
    assert len(shown_of_a_step(tmp_path / "restored", restore=True)) == 1
    # the bug: nobody asks the ledger whether the step was drawn before
    monkeypatch.setattr(Book, "refuse_after", lambda *_: None)
    monkeypatch.setattr(Book, "show", whatever_was_entered)
    first, again = shown_of_a_step(tmp_path / "bug", restore=True)
    assert first != again


def whatever_was_entered(self, step, token, _inner=Book.show):
    """Enter the draw, and show it all the same if another one was entered."""
    with suppress(DiscreetError):
        _inner(self, step, token)


@pytest.mark.parametrize(("name", "bug"), [("refuse_after", lambda *_: None), ("show", whatever_was_entered)])
def test_each_question_to_the_ledger_holds_by_itself(tmp_path, monkeypatch, name, bug):
    """Before rows are read, and before an answer is shown: without either the other still finds an old copy out."""
    open_account(tmp_path)
    monkeypatch.setattr(Book, name, bug)
    assert len(shown_of_a_step(tmp_path, restore=True)) == 1


def test_an_answer_that_is_shown_before_it_is_saved(tmp_path, monkeypatch):
    """A crash after showing it leaves nothing saved, and it would be drawn again: the entry refuses that."""
    open_account(tmp_path)
    source = write(tmp_path, everybody(4))
    found = follow(tmp_path, source)
    found.open()

    def not_kept(self, so_far, *, token, version, people):
        self.so_far = tuple(so_far)
        self._add({"answers": [list(one.answers[-1]) for one in so_far], "token": token, "version": version})

    with monkeypatch.context() as patched:
        patched.setattr(State, "save", not_kept)
        [shown] = found.advance(end(1))
    assert State.read(found.path).steps == 0
    with pytest.raises(DiscreetError, match="knows that 1 were drawn"):
        follow(tmp_path, source).advance(end(1))
    assert found.value() == shown.value
