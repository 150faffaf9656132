"""Brute force over histories of a table: no person moves what the noise of a series is added to beyond what is charged.

A history is the table as it is at each step: rows may come late, be edited, move to another period, and go. Two
histories are neighbours if they differ in one person's rows, at whatever times.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discreet import PrivacyUnit
from discreet.events import Relation
from discreet.sql.continual.plan import SeriesPlan
from tests.series_cases import TYPES, Day, month, plan, played

STEPS = 4
QUERIES = [
    "SELECT ward, COUNT(*) AS n, SUM(age) AS s FROM t GROUP BY ward",
    "SELECT COUNT(age) AS c, AVG(age) AS m FROM t WHERE age <> 7",
    "SELECT ward, STDDEV_POP(age) AS d FROM t GROUP BY ward",
    "SELECT SUM(LEAST(GREATEST(n, 0), 3)) AS v FROM (SELECT id, day, COUNT(*) AS n FROM t GROUP BY id, day)",
]

row = st.fixed_dictionaries(
    {
        "id": st.sampled_from([0, 0, 0, 1, 2, None]),
        "day": st.sampled_from([*(month(step) for step in range(1, STEPS + 1)), month(1, 31), Day(2023, 12, 31), None]),
        "ward": st.sampled_from(["A", "B", "C"]),
        "age": st.sampled_from([-5, 0, 7, 50, 100, 1000, None]),
    }
)
# A table stays, grows, or is another one.
table = st.lists(row, max_size=8)
histories = st.lists(table, min_size=STEPS, max_size=STEPS)
units = st.builds(
    PrivacyUnit,
    column=st.just("id"),
    max_groups=st.sampled_from([None, 1]),
    max_rows=st.integers(1, 2),
    relation=st.sampled_from(list(Relation)),
)


def arrow(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([item[name] for item in rows], type=kind) for name, kind in TYPES.items()})


def check(bound: SeriesPlan, folder: Path, here: list[Any], there: list[Any]) -> list[float]:
    """Hold two histories to what is charged; return how much of it each primitive used."""
    used = []
    first, second = (played(bound, folder, [arrow(rows) for rows in history]) for history in (here, there))
    for one, a, b in zip(bound.sums.values(), first, second, strict=True):
        moved = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
        assert moved <= one.event.sensitivity_squared, (moved, one.event.sensitivity_squared)
        used.append(float(moved / one.event.sensitivity_squared))
    return used


def without(history: list[Any], person: int, fresh: list[Any]) -> list[Any]:
    """Return the history with other rows of one person."""
    return [
        [item for item in rows if item["id"] != person] + [item | {"id": person} for item in new]
        for rows, new in zip(history, fresh, strict=True)
    ]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    history=histories,
    fresh=histories,
    text=st.sampled_from(QUERIES),
    unit=units,
    participations=st.integers(1, STEPS),
    separation=st.integers(1, 3),
)
def test_no_person_moves_the_mixed_steps_beyond_what_is_charged(
    tmp_path, history, fresh, text, unit, participations, separation
):
    bound = plan(text, unit=unit, steps=STEPS, participations=participations, separation=separation)
    new = fresh if unit.relation is Relation.REPLACE_ONE else [[]] * STEPS
    check(bound, tmp_path, history, without(history, 0, new))


def always(step: int, ward: str = "A", count: int = 2) -> list[dict[str, Any]]:
    return [{"id": 0, "day": month(step), "ward": ward, "age": 100}] * count


@pytest.mark.parametrize("participations", [1, 2, 4])
@pytest.mark.parametrize("separation", [1, 2])
def test_what_is_charged_is_reached(tmp_path, participations, separation):
    """The bound is not loose: a person who takes part as often, as early and with as much as is allowed uses all of it."""
    unit = PrivacyUnit(column="id", max_groups=1, max_rows=2)
    bound = plan(QUERIES[0], unit=unit, steps=STEPS, participations=participations, separation=separation)
    history = [[item for at in range(1, step + 1) for item in always(at)] for step in range(1, STEPS + 1)]
    assert check(bound, tmp_path, history, [[]] * STEPS) == pytest.approx([1.0, 1.0])


def test_rows_that_move_from_step_to_step_use_no_more(tmp_path):
    """One visit that bears the date of each step in turn, and is then taken away."""
    unit = PrivacyUnit(column="id", max_groups=1, max_rows=2)
    bound = plan(QUERIES[0], unit=unit, steps=STEPS, participations=1)
    moving = [always(step) for step in range(1, STEPS + 1)]
    assert check(bound, tmp_path, moving, [[]] * STEPS) == pytest.approx([1.0, 1.0])
    assert check(bound, tmp_path, [*moving[:1], [], *moving[2:]], [[]] * STEPS) == pytest.approx([1.0, 1.0])


def test_one_replaced_person_uses_half_of_what_two_could(tmp_path):
    """In the same steps, from nothing to all that bounds allow, with the sign of a centred sum turned."""
    unit = PrivacyUnit(column="id", max_groups=1, max_rows=1, relation=Relation.REPLACE_ONE)
    bound = plan("SELECT AVG(age) AS m FROM t", unit=unit, steps=STEPS, participations=1)
    here = [always(step, count=1) for step in range(1, STEPS + 1)]
    there = [[item | {"age": 0} for item in rows] for rows in here]
    used = check(bound, tmp_path, here, there)
    assert used == pytest.approx([1.0, 0.0])
