"""People with a condition: each counts once in a group, so the noise is that of one, however many rows they have."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest

from discreet import PrivacyUnit, sql
from discreet.errors import UnsupportedQuery
from tests.sql_cases import exact, open_dataset, plan

UNIT = PrivacyUnit(column="id", max_groups=2, max_rows=5)
OLD = "COUNT(DISTINCT CASE WHEN age > 30 THEN id END)"
ROWS = pa.table(
    {
        "id": [1, 1, 1, 2, 2, 3, None, 4, 4],
        "ward": ["A", "A", "B", "A", "A", "B", "A", "C", "A"],
        "age": [40, 50, 10, 20, None, 60, 70, 80, 20],
    }
)


def counted(text: str, rows: pa.Table = ROWS) -> list[int]:
    (numbers,) = exact(text, rows, unit=UNIT).values()
    return numbers


@pytest.mark.parametrize("asked", [OLD, "COUNT(DISTINCT id) FILTER (WHERE age > 30)"])
def test_a_person_counts_once_in_a_group(asked):
    assert counted(f"SELECT {asked} AS n FROM t") == [3]
    assert counted(f"SELECT ward, {asked} AS n FROM t GROUP BY ward") == [1, 1, 0]


def test_the_noise_is_that_of_one_row():
    conditioned = plan(f"SELECT ward, {OLD} AS n FROM t GROUP BY ward", unit=UNIT)
    everybody = plan("SELECT ward, COUNT(DISTINCT id) AS n FROM t GROUP BY ward", unit=UNIT)
    assert conditioned.event == everybody.event
    assert conditioned.forecasts == everybody.forecasts
    (part,) = conditioned.question.primitives
    assert conditioned.question.bounds.sensitivity(part) == (2, 2)


def test_nobody_moves_more_than_their_groups():
    text = f"SELECT ward, {OLD} AS n FROM t GROUP BY ward"
    for wards, ages in itertools.product((("A", "A"), ("A", "B"), (None, "C")), ((40, 50), (40, None), (20, 40))):
        theirs = pa.table({"id": [9, 9], "ward": pa.array(wards, pa.string()), "age": pa.array(ages, pa.int64())})
        more = pa.concat_tables([ROWS, theirs])
        moved = [abs(a - b) for a, b in zip(counted(text), counted(text, more), strict=True)]
        assert max(moved) <= 1
        assert sum(moved) <= 2


def test_what_is_not_the_person_alone_is_counted_by_its_values():
    part = plan("SELECT COUNT(DISTINCT CASE WHEN age > 30 THEN floor END) AS n FROM t", unit=UNIT).question.primitives
    assert [item.kind for item in part] == ["distinct"]


def test_it_is_named_and_may_be_asked_of_what_is_kept(tmp_path):
    dataset = open_dataset(tmp_path, ROWS, unit=UNIT, epsilon=1000.0)
    asked = f"SELECT ward, {OLD} AS n FROM t GROUP BY ward"
    assert "persons with a readable value" in str(sql.cost(dataset, asked, epsilon=1.0, delta=1e-7))
    kept = sql.materialise(
        dataset,
        "SELECT ward, COUNT(CASE WHEN age > 30 THEN id END) AS n FROM t GROUP BY ward",
        folder=tmp_path / "kept",
    )
    value = sql.query(dataset, asked, epsilon=400.0, delta=1e-7, using=kept).value
    assert value.column("n").to_pylist() == [1, 1, 0]
    with pytest.raises(UnsupportedQuery, match="persons in coarser groups"):
        sql.query(dataset, f"SELECT {OLD} AS n FROM t", epsilon=1.0, delta=1e-7, using=kept)
