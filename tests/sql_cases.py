"""What the tests of SQL share: a small ward, datasets on a real ledger, and plans without one."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from discreet import Dataset, Domain, Ledger, PrivacyUnit, Table
from discreet.accounting import Measure
from discreet.ledger import OwnerKey
from discreet.mechanisms import Rng
from discreet.sql.answers import answering
from discreet.sql.bind import QueryPlan, bind
from discreet.sql.kept import Materialised

UNIT = PrivacyUnit(column="id", max_groups=2, max_rows=2)
DOMAIN = Domain(
    id="integer",
    ward=["A", "B", None],
    floor=[1, 2, 3],
    age=(0, 100),
    weight=(-1.5, 2.0),
    smoker="boolean",
    born="date",
    note="text",
)
ROWS = pa.table(
    {
        "id": [1, 1, 1, 2, 2, 3, None, 4],
        "ward": ["A", "A", "A", "A", "B", None, "A", "C"],
        "floor": [1, 1, 1, 2, 3, 1, 1, 1],
        "age": [10, 20, 60, 300, None, 50, 50, 50],
        "weight": [0.5, 0.25, 9.0, float("nan"), float("inf"), -9.0, 1.0, 1.0],
        "smoker": [True, True, False, None, True, False, True, True],
        "born": ["1990-01-01", "x", "2000-05-05", None, "1980-01-01", "1970-01-01", None, None],
        "note": ["a", "b", "it's", None, "", "a", "a", "a"],
    }
)


def open_dataset(
    tmp_path: Path,
    source: Any = ROWS,
    *,
    measure: str = "zcdp",
    unit: PrivacyUnit = UNIT,
    domain: Domain = DOMAIN,
    epsilon: float = 50.0,
    name: str = "t",
) -> Dataset:
    """Return a dataset on a fresh ledger of its own."""
    ledger = Ledger(tmp_path / "ledger.db")
    owner = OwnerKey.create(tmp_path / "owner.key")
    ledger.open("patients", unit=unit, measure=measure, epsilon=epsilon, delta=1e-5, owner=owner)
    return Dataset(
        source,
        name=name,
        version="1",
        unit=unit,
        domain=domain,
        ledger=ledger,
        population="patients",
        releases=tmp_path / "releases",
    )


def declared(
    *,
    unit: PrivacyUnit = UNIT,
    domain: Domain = DOMAIN,
    measure: str = "zcdp",
    source: Any = ROWS,
    version: str = "1",
    tables: dict[str, Table] | None = None,
    views: dict[str, str] | None = None,
) -> Dataset:
    """Return a dataset as plans see it, on an account of this measure, without a ledger."""
    account = SimpleNamespace(measure=Measure.parse(measure))
    ledger: Any = SimpleNamespace(account=lambda population: account)
    return Dataset(
        source,
        name="t",
        version=version,
        unit=unit,
        domain=domain,
        ledger=ledger,
        population="patients",
        tables=tables or {},
        views=views or {},
    )


def plan(
    sql: str,
    *,
    epsilon: float = 1.0,
    delta: float | None = 1e-6,
    weights: dict[str, float] | None = None,
    guess: dict[str, float] | None = None,
    using: Materialised | None = None,
    **facts: Any,
) -> QueryPlan:
    """Return a plan as an account of this measure would give it, without a ledger; `facts` are those of `declared`."""
    return bind(declared(**facts), sql, epsilon=epsilon, delta=delta, weights=weights, guess=guess, using=using)


def computed(bound: QueryPlan, source: Any) -> answering.Exact:
    """Return everything that is computed exactly, before noise, draws and a selection of groups."""
    with bound.engine.opened(source, bound.question) as session:
        return answering.exact(bound.question, bound.statements, session, bound.finder, Rng())


def exact(text: str, source: Any = ROWS, **given: Any) -> dict[str, list[int]]:
    """Return the exact integers of a query by primitive label: what the noise is added to."""
    tables = given.get("tables") or {}
    bound = plan(text, source=source, **given)
    sources = {"t": source} | {name: table.source for name, table in tables.items()} if tables else source
    found = computed(bound, sources)
    return {part.label: [int(value) for value in found.sums[part]] for part in bound.question.primitives}


def histogram(text: str, source: Any = ROWS, **given: Any) -> list[dict[int, int]]:
    """Return the exact weight of each value in each group, of the one thing that a query draws."""
    bound = plan(text, source=source, **given)
    (part,) = bound.question.drawn
    values, weights, starts = computed(bound, source).histograms[part]
    return [
        dict(zip(map(int, values[a:b]), map(int, weights[a:b]), strict=True)) for a, b in itertools.pairwise(starts)
    ]
