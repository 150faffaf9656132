"""Dataset: the one door. Charged first, drawn once, silent about failures."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from discreet import Dataset, Domain, Ledger, PrivacyUnit, Table, events
from discreet.dataset import Answer
from discreet.errors import BudgetExceeded, DataFailure, InvalidInput
from discreet.ledger import OwnerKey
from discreet.profiles import Guarantee
from discreet.release import Release, Shelf

UNIT = PrivacyUnit(column="id")
DOMAIN = Domain(id="integer", cost=(0, 500))


@dataclass
class Spy:
    """A source that notes when it is read and what the ledger held at that moment."""

    ledger: Ledger
    reads: list[int] = field(default_factory=list)

    def rows(self) -> list[int]:
        charges = [entry for entry in self.ledger.entries("patients") if entry.kind == "charge"]
        self.reads.append(len(charges))
        return [1, 2, 3]


@dataclass(frozen=True)
class Count:
    """A mechanism for tests: not private at all, but it obeys the protocol."""

    rho: float = 0.01
    crash: type[BaseException] | None = None

    def bind(self, dataset: Dataset) -> Count:
        return self

    @property
    def event(self) -> events.Event:
        return events.ZCDP(self.rho)

    @property
    def guarantee(self) -> Guarantee:
        return Guarantee(UNIT, 1.0, 1e-6, "test")

    @property
    def identity(self) -> dict[str, Any]:
        return {"count": "rows"}

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    def run(self, source: Spy, rng: Any) -> Answer:
        rows = source.rows()
        if self.crash:
            raise self.crash(f"private {rows}")
        noise = int(rng.words(1)[0] % 1000)
        return Answer(pyarrow.table({"n": [len(rows) + noise]}), {"n": {}})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.db")
    owner = OwnerKey.create(tmp_path / "owner.key")
    ledger.open("patients", unit=UNIT, measure="zcdp", epsilon=1.0, delta=1e-6, owner=owner)
    return ledger


@pytest.fixture
def dataset(ledger: Ledger, tmp_path: Path) -> Dataset:
    return make(ledger, tmp_path)


def make(ledger: Ledger, tmp_path: Path, **changes: Any) -> Dataset:
    facts: dict[str, Any] = {
        "name": "visits",
        "version": "1",
        "unit": UNIT,
        "domain": DOMAIN,
        "ledger": ledger,
        "population": "patients",
        "releases": tmp_path / "releases",
    }
    return Dataset(Spy(ledger), **(facts | changes))


def charges(ledger: Ledger) -> int:
    return sum(entry.kind == "charge" for entry in ledger.entries("patients"))


def test_the_charge_stands_before_the_first_read(dataset):
    dataset.reveal(Count(), name="n", purpose="test")
    assert dataset.source.reads == [1]


def test_the_same_question_is_answered_once(dataset, ledger):
    first = dataset.reveal(Count(), name="n", purpose="test")
    again = dataset.reveal(Count(), name="n", purpose="test")
    assert again.value.equals(first.value)
    assert again.entry == first.entry
    assert charges(ledger) == 1
    assert len(dataset.source.reads) == 1


@pytest.mark.parametrize(
    "changes",
    [{"version": "2"}, {"domain": Domain(id="integer", cost=(0, 501))}, {"unit": PrivacyUnit(column="id", max_rows=2)}],
)
def test_another_fact_is_another_question(dataset, ledger, tmp_path, changes):
    dataset.reveal(Count(), name="n", purpose="test")
    make(ledger, tmp_path, **changes).reveal(Count(), name="n", purpose="test")
    assert charges(ledger) == 2


def test_too_dear_a_question_reads_nothing(dataset, ledger):
    with pytest.raises(BudgetExceeded, match=r"[Nn]othing was spent"):
        dataset.reveal(Count(rho=5.0), name="n", purpose="test")
    assert dataset.source.reads == []
    assert charges(ledger) == 0


def test_a_failure_keeps_its_charge_and_its_secret(dataset, ledger):
    with pytest.raises(DataFailure) as caught:
        dataset.reveal(Count(crash=ValueError), name="n", purpose="test")
    assert "private" not in str(caught.value).replace("private rows", "").replace("private values", "")
    assert caught.value.__context__ is None
    assert charges(ledger) == 1


def test_after_a_crash_the_question_is_refused_and_a_new_attempt_pays_again(dataset, ledger):
    with pytest.raises(DataFailure):
        dataset.reveal(Count(crash=ValueError), name="n", purpose="test")
    with pytest.raises(InvalidInput, match="charged"):
        dataset.reveal(Count(), name="n", purpose="test")
    assert len(dataset.source.reads) == 1
    assert dataset.reveal(Count(), name="n", purpose="test", attempt=2).value.num_rows == 1
    assert charges(ledger) == 2


def test_a_lost_release_is_not_drawn_again(dataset, ledger):
    release = dataset.reveal(Count(), name="n", purpose="test")
    place = dataset.releases / "n" / release.entry["request"]
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    with pytest.raises(InvalidInput, match="is gone"):
        dataset.reveal(Count(), name="n", purpose="test")
    assert len(dataset.source.reads) == 1
    assert charges(ledger) == 1


def test_an_altered_release_is_not_handed_out(dataset):
    release = dataset.reveal(Count(), name="n", purpose="test")
    record = dataset.releases / "n" / release.entry["request"] / "release.json"
    record.write_text(record.read_text().replace('"name": "n"', '"name": "m"'))
    with pytest.raises(InvalidInput, match="hash differs"):
        dataset.reveal(Count(), name="n", purpose="test")


def test_a_release_unknown_to_the_ledger_stops_everything(dataset, tmp_path):
    """An old copy of the ledger was restored: the shelf knows more than the ledger."""
    dataset.reveal(Count(), name="n", purpose="test")
    old = Ledger(tmp_path / "old.db")
    old.open("patients", unit=UNIT, measure="zcdp", epsilon=1.0, delta=1e-6, owner=OwnerKey.create(tmp_path / "k"))
    with pytest.raises(InvalidInput, match="never charged"):
        make(old, tmp_path).reveal(Count(), name="n", purpose="test")
    assert charges(old) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": PrivacyUnit(column="id", relation="replace_one")},
        {"unit": PrivacyUnit()},
        {"population": "staff"},
        {"releases": Path("/proc/nowhere")},
    ],
)
def test_what_does_not_fit_the_account_spends_nothing(ledger, tmp_path, changes):
    dataset = make(ledger, tmp_path, **changes)
    with pytest.raises(InvalidInput, match="Nothing was spent"):
        dataset.reveal(Count(), name="n", purpose="test")
    assert dataset.source.reads == []
    assert charges(ledger) == 0


def test_a_missing_file_spends_nothing(ledger, tmp_path):
    dataset = Dataset(
        tmp_path / "nowhere.parquet",
        name="visits",
        version="1",
        unit=UNIT,
        domain=DOMAIN,
        ledger=ledger,
        population="patients",
    )
    with pytest.raises(InvalidInput, match="does not exist"):
        dataset.reveal(Count(), name="n", purpose="test")
    assert charges(ledger) == 0


def test_fixed_randomness_is_refused_by_a_real_ledger(dataset, ledger):
    from discreet.testing import FixedRng

    object.__setattr__(dataset, "_rng", FixedRng(7))
    with pytest.raises(InvalidInput, match="protects nobody"):
        dataset.reveal(Count(), name="n", purpose="test")
    assert charges(ledger) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"version": ""},
        {"version": 3},
        {"name": "../visits"},
        {"unit": PrivacyUnit(column="person")},
        {"unit": PrivacyUnit(column="id", per="month")},
    ],
)
def test_contradictions_are_refused_at_once(ledger, tmp_path, changes):
    with pytest.raises(InvalidInput):
        make(ledger, tmp_path, **changes)


@pytest.mark.parametrize("attempt", [0, True, 1.0, "2"])
def test_attempts_are_whole_numbers(dataset, attempt):
    with pytest.raises(InvalidInput, match="attempt"):
        dataset.reveal(Count(), name="n", purpose="test", attempt=attempt)


def test_the_repr_shows_no_row(ledger, tmp_path):
    frame = pyarrow.table({"id": [4711]})
    dataset = Dataset(frame, name="v", version="1", unit=UNIT, domain=DOMAIN, ledger=ledger, population="patients")
    assert "4711" not in repr(dataset)


def test_an_old_copy_of_the_ledger_is_refused_beside_newer_releases(dataset, ledger, tmp_path):
    """Whatever is asked next: the shelf holds a release that the restored ledger never charged."""
    copy = tmp_path / "copy.db"
    shutil.copy(tmp_path / "ledger.db", copy)
    dataset.reveal(Count(), name="n", purpose="test")
    for name in ("ledger.db", "ledger.db-journal"):
        (tmp_path / name).unlink()
    shutil.copy(copy, tmp_path / "ledger.db")
    old = make(Ledger(tmp_path / "ledger.db"), tmp_path)
    for question in (Count(), Count(rho=0.02)):
        with pytest.raises(InvalidInput, match=r"never charged[\s\S]*old copy"):
            old.reveal(question, name="m", purpose="test")
    assert charges(old.ledger) == 0


def test_a_release_written_before_a_crash_is_recorded_afterwards(dataset, ledger, monkeypatch):
    """Killed between writing the release and recording it: paid for and drawn, so it is not lost."""

    def killed(self, entry, digest):
        raise SystemExit

    monkeypatch.setattr(Ledger, "released", killed)
    with pytest.raises(SystemExit):
        dataset.reveal(Count(), name="n", purpose="test")
    monkeypatch.undo()
    release = dataset.reveal(Count(), name="n", purpose="test")
    assert dataset.source.reads == [1]
    assert charges(ledger) == 1
    assert ledger.request("patients", release.entry["request"]).kind == "release"


def test_a_release_of_another_charge_is_not_taken_for_it(dataset, ledger, monkeypatch):
    with pytest.raises(DataFailure):
        dataset.reveal(Count(crash=ValueError), name="n", purpose="test")
    request = dataset.request(Count(), name="n")
    entry = {"population": "patients", "sequence": 1, "hash": "00" * 32, "request": request}
    value = pyarrow.table({"n": [1]})
    forged = Release("n", value, events.ZCDP(0.01), Count().guarantee, {}, {}, {}, entry)
    Shelf(dataset.releases).put(forged)
    with pytest.raises(InvalidInput, match="never released"):
        dataset.reveal(Count(), name="n", purpose="test")


@pytest.mark.parametrize("answer", ["a text", None, object()])
def test_work_has_to_return_the_release_it_was_asked_for(dataset, ledger, answer):
    event = events.ZCDP(0.01)
    with pytest.raises(DataFailure, match="The charge stands"):
        dataset.lend(event, lambda *_: answer, purpose="test", name="n", request="ab" * 16)
    with pytest.raises(InvalidInput):
        dataset.lend(event, lambda *_: answer, purpose="test", name="n", request="../up")
    assert charges(ledger) == 1


def test_nothing_tells_how_long_the_work_took(dataset, ledger, monkeypatch):
    release = dataset.reveal(Count(), name="n", purpose="test")
    charge, record = ledger.entries("patients")[1:]
    assert charge.when == record.when == release.provenance["made"]
    assert len(charge.when) == len("2026-11-26T21:05+00:00")


def test_paths_stay_where_they_were_said(ledger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = make(ledger, tmp_path, releases="shelf")
    monkeypatch.chdir("/")
    said.reveal(Count(), name="n", purpose="test")
    assert len(list(tmp_path.glob("shelf/n/*"))) == 1


def test_what_stands_in_the_way_of_a_release_is_found_before_the_charge(dataset, ledger):
    (dataset.releases / "n" / dataset.request(Count(), name="n")).mkdir(parents=True)
    with pytest.raises(InvalidInput, match="in the way of the release"):
        dataset.reveal(Count(), name="n", purpose="test")
    assert charges(ledger) == 0


VISITS = Domain(visit="integer", who="integer", text="text", half="float")
LINES = Domain(visit="integer", half="float", price=(0, 9))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"T": Table("x.csv", domain=LINES)}, "SQL does not tell cases apart"),
        (
            {"visits": Table("x.csv", domain=VISITS, person="text")},
            "declared as integer in 't' and as text in 'visits'",
        ),
        (
            {"lines": Table("x.csv", domain=LINES, via=("visit", "visits", "visit"))},
            "points to visits.visit, which is not",
        ),
        ({"lines": Table("x.csv", domain=LINES, via=("visit", "t", "cost"))}, None),
        (
            {"lines": Table("x.csv", domain=LINES, via=("visit", "t", "text"))},
            "points to t.text, which is not declared",
        ),
        (
            {
                "lines": Table("x.csv", domain=LINES, via=("half", "visits", "half")),
                "visits": Table("x.csv", domain=VISITS, person="who"),
            },
            "from a column declared as float to visits.half, declared as float",
        ),
        (
            {
                "lines": Table("x.csv", domain=LINES, via=("visit", "visits", "text")),
                "visits": Table("x.csv", domain=VISITS, person="who"),
            },
            "from a column declared as integer to visits.text, declared as text",
        ),
        (
            {
                "lines": Table("x.csv", domain=LINES, via=("visit", "visits", "visit")),
                "visits": Table("x.csv", domain=VISITS),
            },
            "'lines' points to 'visits', which is public",
        ),
        (
            {
                "lines": Table("x.csv", domain=LINES, via=("visit", "visits", "visit")),
                "visits": Table("x.csv", domain=VISITS, via=("visit", "lines", "visit")),
            },
            "go round in a circle",
        ),
    ],
)
def test_tables_beside_each_other_do_not_contradict(ledger, tmp_path, tables, message):
    def made():
        about = {"version": "1", "unit": UNIT, "domain": DOMAIN, "ledger": ledger, "population": "patients"}
        return Dataset([], name="t", releases=tmp_path, tables=tables, **about)

    if message is None:
        assert list(made().sources) == ["t", *tables]
        return
    with pytest.raises(InvalidInput, match=message):
        made()


def test_what_stands_beside_is_part_of_the_question(dataset):
    tables = {"lines": Table("x.csv", domain=LINES, via=("visit", "visits", "cost"))}
    ids = {
        replace(dataset, **more).request(Count(), name="n")
        for more in (
            {},
            {"tables": tables},
            {"tables": {"lines": Table("y.csv", domain=LINES, via=("visit", "visits", "id"))}},
            {"tables": {"lines": Table("x.csv", domain=LINES)}},
            {"views": {"v": "SELECT id FROM t"}},
            {"views": {"v": "SELECT cost FROM t"}},
        )
    }
    assert len(ids) == 6
