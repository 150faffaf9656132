"""What the tests of series share: a clinic that grows, a ledger for it, and processes that die in the middle of a step."""

from __future__ import annotations

import datetime
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

import discreet.sql as sql
from discreet import Dataset, Domain, Ledger, PrivacyUnit
from discreet.accounting import Measure
from discreet.errors import DiscreetError
from discreet.ledger import OwnerKey
from discreet.mechanisms import Rng, SumsSoFar
from discreet.release import Shelf
from discreet.sql.continual import bind as continual_bind
from discreet.sql.continual import state as continual_state
from discreet.sql.continual.book import Book
from discreet.sql.continual.plan import SeriesPlan
from discreet.sql.continual.state import State

Day = datetime.date
UNIT = PrivacyUnit(column="id", max_groups=1, max_rows=2)
DOMAIN = Domain(id="integer", day="date", ward=["A", "B"], age=(0, 100))
TYPES = {"id": pa.int64(), "day": pa.date32(), "ward": pa.string(), "age": pa.int64()}
QUERY = "SELECT ward, COUNT(*) AS n, SUM(age) AS s FROM t GROUP BY ward"
FIRST = Day(2024, 1, 1)
TERMS: dict[str, Any] = {
    "period": "day",
    "unit": "month",
    "first": FIRST,
    "steps": 6,
    "participations": 2,
    "epsilon": 2.0,
    "delta": 1e-6,
}


def month(number: int, day: int = 15) -> Day:
    """Return a day of the month of a step."""
    return Day(2024, number, day)


def end(number: int) -> Day:
    """Return the last day of the month of a step."""
    return Day(2024 + number // 12, number % 12 + 1, 1) - datetime.timedelta(days=1)


def rows(*items: tuple[Any, ...]) -> pa.Table:
    """Return a table of rows: id, number of the month or day, ward, age."""
    items = tuple((who, month(when) if isinstance(when, int) else when, *rest) for who, when, *rest in items)
    return pa.table(
        {name: pa.array([item[i] for item in items], type=kind) for i, (name, kind) in enumerate(TYPES.items())}
    )


def everybody(months: int, people: int = 40) -> pa.Table:
    """Return a table in which everybody has one row in each month."""
    return rows(*((who, at, "AB"[who % 2], who) for at in range(1, months + 1) for who in range(people)))


def open_account(folder: Path, *, measure: str = "zcdp", unit: PrivacyUnit = UNIT, epsilon: float = 50.0) -> Ledger:
    """Return a real ledger with an account."""
    ledger = Ledger(folder / "ledger.db")
    owner = OwnerKey.create(folder / "owner.key")
    ledger.open("patients", unit=unit, measure=measure, epsilon=epsilon, delta=1e-5, owner=owner)
    return ledger


def clinic(folder: Path, source: Any, *, version: str = "1", **changed: Any) -> Dataset:
    """Return the dataset over the account in a folder, as it is at some time."""
    facts = {"unit": UNIT, "domain": DOMAIN, "ledger": Ledger(folder / "ledger.db"), "population": "patients"}
    facts |= {"releases": folder / "releases", "name": "t"} | changed
    return Dataset(source, version=version, **facts)


def follow(place: Path, source: Any, text: str = QUERY, *, dataset: Any = None, **changed: Any) -> sql.Series:
    """Return the series "visits" over a table as it is now."""
    dataset = clinic(place, source) if dataset is None else dataset
    return sql.series(dataset, text, **{"name": "visits", "folder": place / "kept", **TERMS, **changed})


def exact(folder: Path, part: int = 0) -> list[list[int]]:
    """Return the exact vectors that are kept of a primitive, a list for each step."""
    kept = State.read(folder / "kept" / "visits.series")
    assert kept is not None
    return [list(map(int, vector)) for vector in (kept.so_far[part].exact if kept.so_far else ())]


# ------------------------------------------------------------------------- without noise or ledger


def plan(
    text: str = QUERY, *, unit: PrivacyUnit = UNIT, source: Any = None, period_unit: str = "month", **changed: Any
) -> SeriesPlan:
    """Return a series as an account on zCDP would give it, without a ledger."""
    account = SimpleNamespace(measure=Measure.parse("zcdp"))
    source = rows() if source is None else source
    ledger: Any = SimpleNamespace(account=lambda population: account)
    dataset = Dataset(
        source, name="t", version="series", unit=unit, domain=DOMAIN, ledger=ledger, population="patients"
    )
    terms = {"separation": 1, "weights": None, "guess": None, **TERMS, "unit": period_unit, **changed}
    return continual_bind.bind(dataset, continual_bind.Terms(text, **terms), None)


def played(bound: SeriesPlan, folder: Path, history: list[pa.Table]) -> list[list[int]]:
    """Answer step after step from the table as it is then, and return for each primitive what the noise is added to.

    All steps below each other, C·x: it is that vector which no person may move further than is charged.
    """
    path = folder / "played.series"
    path.unlink(missing_ok=True)
    kept = State.create(path, {"people": ["integer"] * len(bound.people)})
    matrix = bound.matrix
    for step, table in enumerate(history, 1):
        blocked = None
        if bound.limited:
            blocked = kept.blocked(step, participations=matrix.participations, separation=matrix.separation)
        found, people = bound.read(bound.reading(step), table, blocked, Rng())
        before = kept.so_far or tuple(SumsSoFar() for _ in bound.sums)
        so_far = [
            SumsSoFar(exact=(*one.exact, found.sums[part]), answers=[*one.answers, [0] * bound.cells])
            for one, part in zip(before, bound.sums, strict=True)
        ]
        kept.save(so_far, token="", version="", people=people)
    column = matrix.coefficients.tolist()
    return [
        [
            sum(column[t - s] * int(one.exact[s][cell]) for s in range(t + 1))
            for t in range(len(history))
            for cell in range(bound.cells)
        ]
        for one in kept.so_far
    ]


# -------------------------------------------------------------------- processes that die in between

ANSWERED = 2  # steps that stand before the process that dies begins
POINTS = {  # point -> whether the step's answer was saved by then
    "before its charge": False,
    "after its charge": False,
    "after its rows were read": False,
    "with half of its record on the disk": False,
    "after it was saved": True,
    "after it was entered as drawn": True,
    "after its release was written": True,
    "after its release was recorded": True,
}


def _dying(kind: Any, name: str, *, before: bool = False, when: Any = lambda *given, **named: True) -> None:
    """Let the process end, as if by kill -9, before or after a method's first call that fits."""
    inner = getattr(kind, name)

    def dies(*given: Any, **named: Any) -> Any:
        fits = when(*given, **named)
        if fits and before:
            os._exit(9)
        found = inner(*given, **named)
        if fits:
            os._exit(9)
        return found

    setattr(kind, name, dies)


def _half(before: bytes, payload: bytes) -> tuple[bytes, bytes]:
    record, digest = WHOLE(before, payload)
    os.fsync = lambda handle: os._exit(9)
    return record[: len(record) // 2], digest


WHOLE = continual_state._record


def die_at(point: str) -> None:
    """Arrange for this process to end at a point of the next step."""

    def of_a_step(*given: Any, purpose: str, **named: Any) -> bool:
        return purpose.startswith("step") and "drawn" not in purpose

    if point in ("before its charge", "after its charge"):
        _dying(Ledger, "charge", before=point.startswith("before"), when=of_a_step)
    elif point == "after its rows were read":
        _dying(SeriesPlan, "read")
    elif point == "with half of its record on the disk":
        continual_state._record = _half
    elif point == "after it was saved":
        _dying(State, "save")
    elif point == "after it was entered as drawn":
        _dying(Book, "show")
    elif point == "after its release was written":
        _dying(Shelf, "put")
    else:
        _dying(Ledger, "released")


OPENINGS = ("after the file was made", "after the charge", "after the release was written")


def die_opening_at(point: str) -> None:
    """Arrange for this process to end at a point of the opening."""
    kind, name = {OPENINGS[0]: (Ledger, "charge"), OPENINGS[1]: (Ledger, "charge"), OPENINGS[2]: (Shelf, "put")}[point]
    _dying(kind, name, before=point == OPENINGS[0])


def main(what: str, folder: Path, point: str) -> None:
    """Open the series of a folder, or go on with it, and die at a point."""
    found = follow(folder, folder / "clinic.parquet")
    if what == "open":
        die_opening_at(point)
        found.open()
    elif what == "advance":
        die_at(point)
        found.advance(end(ANSWERED + 1))
    else:
        try:
            found.advance(end(5))
        except DiscreetError as error:
            sys.stdout.write(f"{type(error).__name__} {error.what}\n")
        else:
            sys.stdout.write("done\n")


def write(folder: Path, table: pa.Table) -> Path:
    """Put a table where a process of `main` finds it."""
    parquet.write_table(table, folder / "clinic.parquet")
    return folder / "clinic.parquet"


def square_root_error(steps: int) -> float:
    """Return the known largest error of the square-root factorisation: Σ (binom(2k, k) / 4^k)², at ρ = 1/2."""
    k = np.arange(1, steps)
    return float((np.cumprod(np.append(1.0, 1 - 0.5 / k)) ** 2).sum())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
