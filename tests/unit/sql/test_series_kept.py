"""What is kept of a series: lost, old, forked or half written, and processes that die at any point of a step."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

import discreet.ledger.beside as beside
from discreet import Domain
from discreet.errors import DataFailure, InvalidInput
from discreet.sql.continual import series as continual
from discreet.sql.continual import state as continual_state
from discreet.sql.continual.state import State
from tests.series_cases import (
    ANSWERED,
    DOMAIN,
    OPENINGS,
    POINTS,
    Day,
    clinic,
    end,
    everybody,
    exact,
    follow,
    open_account,
    rows,
    write,
)

ROOT = Path(__file__).parents[3]
FILE = "kept/visits.series"


@pytest.fixture
def folder(tmp_path):
    open_account(tmp_path)
    return tmp_path


def process(what, folder, point="nowhere"):
    """Let another process open the series, or go on with it."""
    command = [sys.executable, "-m", "tests.series_cases", what, str(folder), point]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def begun(folder, steps=ANSWERED, source=None):
    source = write(folder, everybody(6)) if source is None else source
    found = follow(folder, source)
    found.open()
    found.advance(end(steps))
    return found


def answers(folder):
    """Return what is kept of the draws of each step."""
    kept = State.read(folder / FILE)
    return [[one.answers[step] for one in kept.so_far] for step in range(kept.steps)]


def drawn(folder):
    """Return the ledger's entries that a step was drawn, by step."""
    entries = clinic(folder, rows()).ledger.entries("patients")
    return [int(item.purpose.split()[1]) for item in entries if item.purpose and "was drawn" in item.purpose]


# --------------------------------------------------------------------------------- dying in between


@pytest.mark.parametrize("point", POINTS)
def test_a_step_that_a_process_died_in_is_answered_once(folder, point):
    """Whatever was saved is what is released; what was not saved was never shown, and is drawn anew."""
    begun(folder)
    spent = clinic(folder, rows()).ledger.account("patients").spent
    done = process("advance", folder, point)
    assert done.returncode == 9, done.stderr
    saved = POINTS[point]
    before = answers(folder)
    assert len(before) == ANSWERED + saved
    # the table has changed by the time somebody goes on
    source = write(folder, everybody(6, people=90))
    found = follow(folder, source)
    found.advance(end(ANSWERED + 1))
    assert answers(folder)[: len(before)] == before
    assert sum(exact(folder)[ANSWERED]) == (0 if saved else 50)  # people who may still take part: the new ones
    found.advance(end(5))
    assert drawn(folder) == [1, 2, 3, 4, 5]
    assert found.value()["step"].to_pylist() == [step for step in range(1, 6) for _ in "AB"]
    sums = next(iter(found.plan.sums.values()))
    for step in range(1, 6):
        shown = [one[0] for one in answers(folder)[:step]]
        assert found.release(step).value["n"].to_pylist() == pytest.approx(list(sums.window(shown, step)))
    assert found.dataset.ledger.account("patients").spent == spent
    found.dataset.ledger.verify()


@pytest.mark.parametrize("point", OPENINGS)
def test_an_opening_that_a_process_died_in_is_charged_once(folder, point):
    source = write(folder, everybody(6))
    done = process("open", folder, point)
    assert done.returncode == 9, done.stderr
    found = follow(folder, source)
    assert found.opened is (point != OPENINGS[0])
    release = found.open()
    assert release.value.equals(found.plan.schedule_table())
    charges = [item for item in found.dataset.ledger.entries("patients") if item.kind == "charge"]
    assert len(charges) == 1
    assert release.entry["hash"] == charges[0].hash
    assert len(found.advance(end(2))) == 2


def test_work_that_fails_shows_nothing_and_may_be_tried_again(folder):
    found = begun(folder)
    source = write(folder, everybody(6))
    source.write_bytes(b"PAR1 is no table")
    with pytest.raises(DataFailure, match="step 3 of 'visits'") as failure:
        found.advance(end(3))
    assert "Nothing was spent" in failure.value.state
    assert failure.value.__context__ is None or "cause is withheld" in str(failure.value.__context__)
    assert len(answers(folder)) == 2
    write(folder, everybody(6))
    assert len(found.advance(end(3))) == 1
    assert drawn(folder) == [1, 2, 3]


def test_a_release_that_could_not_be_written_is_written_later(folder, monkeypatch):
    found = begun(folder)
    monkeypatch.setattr("discreet.release.Release.write", lambda *given: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(DataFailure, match=r"full|OSError"):
        found.advance(end(3))
    saved = answers(folder)
    assert len(saved) == 3
    monkeypatch.undo()
    [release] = found.advance(end(3))
    assert answers(folder) == saved
    assert found.release(3).value == release.value


def test_a_release_that_is_gone_is_written_again_as_it_was(folder):
    found = begun(folder)
    before = found.release(2).value
    shutil.rmtree(folder / "releases" / "visits-2")
    with pytest.raises(InvalidInput, match="has no release"):
        found.release(2)
    [release] = found.advance(end(2))
    assert release.value == before
    assert drawn(folder) == [1, 2]


# ------------------------------------------------------------------------------- lost, old, forked


def test_without_what_was_kept_a_series_cannot_go_on(folder):
    found = begun(folder)
    value = found.value()
    (folder / FILE).unlink()
    for again in (found, follow(folder, folder / "clinic.parquet")):
        for go_on in (again.open, again.advance):
            with pytest.raises(InvalidInput, match="holds 0 steps of the series 'visits', and the ledger knows that 2"):
                go_on()
    assert found.value() == value
    assert len(list((folder / "kept").glob("*.series"))) == 0


def test_an_old_copy_of_what_was_kept_draws_nothing_again(folder):
    """A restored backup, of before the last step."""
    found = begun(folder, steps=1)
    backup = (folder / FILE).read_bytes()
    found.advance(end(3))
    newest = (folder / FILE).read_bytes()
    first = found.value()
    (folder / FILE).write_bytes(backup)
    entries = len(found.dataset.ledger.entries("patients"))
    with pytest.raises(InvalidInput, match=r"holds 1 steps .* knows that 3 were drawn") as refusal:
        follow(folder, folder / "clinic.parquet").advance(end(6))
    assert "nothing was drawn" in refusal.value.state
    assert "Restore the newest copy" in refusal.value.remedy
    assert len(found.dataset.ledger.entries("patients")) == entries
    assert found.value() == first
    (folder / FILE).write_bytes(newest)
    assert len(found.advance(end(4))) == 1


def test_an_old_copy_is_found_out_even_if_the_release_is_lost_and_unrecorded(folder):
    """The process died when the answer was out and not recorded; then the backup came, without it and its release."""
    begun(folder)
    backup = (folder / FILE).read_bytes()
    assert process("advance", folder, "after its release was written").returncode == 9
    shutil.rmtree(folder / "releases" / "visits-3")
    (folder / FILE).write_bytes(backup)
    with pytest.raises(InvalidInput, match="knows that 3 were drawn"):
        follow(folder, folder / "clinic.parquet").advance(end(3))


def test_of_two_copies_that_go_on_one_is_refused(folder):
    """Each on a machine of its own, with one ledger: the answer of the second is never shown."""
    found = begun(folder)
    (folder / "copy").mkdir()
    shutil.copy(folder / FILE, folder / "copy" / "visits.series")
    other = follow(folder, folder / "clinic.parquet", folder=folder / "copy")
    found.advance(end(3))
    with pytest.raises(InvalidInput, match="knows that 3 were drawn"):
        other.advance(end(3))


def test_of_two_copies_that_draw_at_once_one_is_shown(folder, monkeypatch):
    """Both have read the rows and saved a draw before either is entered."""
    found = begun(folder)
    (folder / "copy").mkdir()
    shutil.copy(folder / FILE, folder / "copy" / "visits.series")
    other = follow(folder, folder / "clinic.parquet", folder=folder / "copy")
    save = State.save

    def late(self, *given, **named):
        save(self, *given, **named)
        if self.path.parent.name == "copy":  # meanwhile, elsewhere
            found.advance(end(3))

    monkeypatch.setattr(State, "save", late)
    with pytest.raises(DataFailure, match="step 3 of 'visits'"):
        other.advance(end(3))
    monkeypatch.undo()
    with pytest.raises(InvalidInput, match="not the one that was shown: another copy of the series went on"):
        other.advance(end(3))
    assert drawn(folder) == [1, 2, 3]
    value = found.value()
    found.advance(end(4))
    assert found.value().slice(0, 6) == value


def test_a_ledger_that_knows_less_than_what_was_kept_is_refused(folder):
    begun(folder, steps=1)
    for name in os.listdir(folder):
        if name.startswith("ledger.db"):
            shutil.copy(folder / name, folder / f"old-{name}")
    releases = list((folder / "releases").iterdir())
    follow(folder, folder / "clinic.parquet").advance(end(3))
    shutil.copy(folder / "old-ledger.db", folder / "ledger.db")
    for place in (folder / "releases").iterdir():
        if place not in releases:
            shutil.rmtree(place)
    with pytest.raises(InvalidInput, match="this ledger does not know all of them"):
        follow(folder, folder / "clinic.parquet").advance(end(4))


def test_another_series_of_the_same_name_is_refused(folder):
    begun(folder)
    for changed, named in (
        ({"participations": 3}, "participations"),
        ({"steps": 12}, "steps"),
        ({"epsilon": 1.0}, "epsilon"),
        ({"epsilon": 1.9}, "epsilon"),
        ({"delta": 2e-6}, "delta"),
        ({"weights": {"n": 2}}, "weights"),
        ({"guess": {"n": 100, "s": 900}}, "guess"),
        ({"separation": 2}, "separation"),
        ({"first": Day(2024, 2, 1)}, "first"),
        ({"text": "SELECT ward, COUNT(*) AS n FROM t GROUP BY ward"}, "sql"),
    ):
        with pytest.raises(InvalidInput, match=f"is another one: it differs in .*{named}"):
            follow(folder, folder / "clinic.parquet", **changed)
    wider = clinic(folder, folder / "clinic.parquet", domain=Domain(**{**DOMAIN, "ward": ["A", "B", "C"]}))
    with pytest.raises(InvalidInput, match=r"it differs in .*domain"):
        follow(folder, None, dataset=wider)


def test_the_matrix_and_the_noise_of_a_series_stay_whatever_is_best_by_now(folder, monkeypatch):
    """Both are chosen in floating point, which another machine, or a later version, may round otherwise."""
    found = begun(folder)
    monkeypatch.setattr("discreet.mechanisms.toeplitz._best", lambda *given: (Fraction(1, 3), Fraction(1)))
    monkeypatch.setattr("discreet.accounting.budget", lambda *given, **named: 2**30)
    again = follow(folder, folder / "clinic.parquet")
    assert again.plan.matrix == found.plan.matrix
    assert again.plan.event == found.plan.event
    assert again.plan.guarantee == found.plan.guarantee
    assert again.book.request == found.book.request
    assert len(again.advance(end(3))) == 1
    other = follow(folder, folder / "clinic.parquet", name="other")
    assert other.plan.matrix != found.plan.matrix
    assert other.plan.event != found.plan.event


# ------------------------------------------------------------------------------------------ the file


def test_what_is_kept_can_be_read_by_its_owner_alone(folder):
    before = os.umask(0)
    try:
        found = begun(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(found.path.parent.stat().st_mode) == 0o700
    assert sorted(os.listdir(found.path.parent)) == ["visits.series", "visits.series-lock"]


def test_a_record_that_was_cut_short_is_written_over(folder):
    found = begun(folder)
    whole = (folder / FILE).read_bytes()
    found.advance(end(3))
    longer = (folder / FILE).read_bytes()
    for size in range(len(whole) + 1, len(longer), 61):
        (folder / FILE).write_bytes(longer[:size])
        assert State.read(folder / FILE).steps == 2
    for tail in (b"\0" * 100, b"\xff" * 100, longer[len(whole) :][:-1] + b"?"):
        (folder / FILE).write_bytes(whole + tail)
        kept = State.read(folder / FILE)
        assert kept.steps == 2
        kept.save(kept.so_far, token="new", version="1", people=None)
        assert State.read(folder / FILE).tokens[2:] == ["new"]


def test_damage_is_found_out(folder):
    found = begun(folder, steps=3)
    data = bytearray((folder / FILE).read_bytes())
    for place in range(0, len(data), 101):
        changed = bytearray(data)
        changed[place] ^= 1
        (folder / FILE).write_bytes(changed)
        with pytest.raises(InvalidInput):
            follow(folder, folder / "clinic.parquet").advance(end(4))
    (folder / FILE).write_bytes(data)
    assert len(found.advance(end(4))) == 1


def test_a_file_that_is_something_else_is_refused(folder):
    (folder / "kept").mkdir()
    (folder / FILE).write_bytes(b"something else")
    with pytest.raises(InvalidInput, match="is not what is kept of a series"):
        follow(folder, rows())
    (folder / FILE).write_bytes(continual_state.MAGIC)
    with pytest.raises(InvalidInput, match="has no whole record"):
        follow(folder, rows())


def test_a_file_that_was_cut_short_meanwhile_is_not_written_to(folder):
    begun(folder)
    kept = State.read(folder / FILE)
    (folder / FILE).write_bytes(b"")
    with pytest.raises(InvalidInput, match="was cut short meanwhile"):
        kept.save(kept.so_far, token="new", version="1", people=None)


def test_numbers_beyond_64_bits_are_kept(tmp_path):
    from discreet.mechanisms import SumsSoFar

    path = tmp_path / "huge.series"
    kept = State.create(path, {"people": ["integer"]})
    numbers = [2**62 - 1, 2**62, -(2**90), 2**118]
    for number in numbers:
        before = kept.so_far or (SumsSoFar(),)
        so_far = SumsSoFar(exact=[*before[0].exact, [number]], answers=[*before[0].answers, [-number]])
        kept.save([so_far], token=str(number), version="1", people=None)
    again = State.read(path)
    assert [int(vector[0]) for vector in again.so_far[0].exact] == numbers
    assert [one[0] for one in again.so_far[0].answers] == [-number for number in numbers]
    assert [vector.dtype.kind for vector in again.so_far[0].exact] == ["i", "O", "O", "O"]


def test_one_at_a_time(folder, monkeypatch):
    monkeypatch.setattr(continual, "WAIT", 0.05)
    found = begun(folder)
    with beside.Beside(found.path).held(wait=1, looking=False):
        for work in (found.advance, found.open):
            with pytest.raises(InvalidInput, match="somebody else is at work on the series 'visits'"):
                work()
        assert found.value().num_rows == 4  # looking needs nobody to wait
    assert len(found.advance()) == 4


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_spent(folder):
    (folder / "blocked").write_text("a file where the folder should be")
    with pytest.raises(InvalidInput, match="cannot be read: Not a directory"):
        follow(folder, everybody(1), folder=folder / "blocked")
    found = follow(folder, everybody(1), folder=folder / "later")
    (folder / "later").write_text("a file where the folder should be")
    with pytest.raises(InvalidInput):
        found.open()
    assert len(found.dataset.ledger.entries("patients")) == 1


def test_a_source_that_lacks_a_column_is_refused_before_anything_is_spent(folder):
    found = follow(folder, everybody(1).drop_columns(["day"]))
    with pytest.raises(InvalidInput, match="has no column 'day'"):
        found.open()
    assert len(found.dataset.ledger.entries("patients")) == 1
    assert not list((folder / "kept").glob("*.series"))
