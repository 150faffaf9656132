"""Leaving out groups that WHERE excludes changes no other group: their exact integers are the same."""

from __future__ import annotations

import itertools

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from discreet import Domain, PrivacyUnit
from discreet.sql import questions as room
from tests.sql_cases import computed, plan

DOMAIN = Domain(id="integer", ward=["A", "B", None], floor=[1, 2, 5], age=(10, 100))
SCHEMA = pa.schema([("id", pa.int64()), ("ward", pa.string()), ("floor", pa.int64()), ("age", pa.int64())])

rows = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from([0, 1, 2, None]),
            "ward": st.sampled_from(["A", "B", "C", None]),
            "floor": st.sampled_from([1, 2, 5, 7, None]),
            "age": st.sampled_from([5, 20, 60, 300, None]),
        }
    ),
    max_size=12,
)
terms = st.sampled_from(
    ["ward = 'A'", "ward IN ('B', 'A')", "floor = 5", "floor IN (2, 1)", "age > 15", "NOT (floor = 2)", "ward <> 'B'"]
)


def groups(where, table, unit):
    """Return the exact integers of each group, and the groups' keys."""
    sql = f"SELECT ward, floor, COUNT(*) AS n, SUM(age) AS s FROM t WHERE {where} GROUP BY ward, floor"
    bound = plan(sql, domain=DOMAIN, unit=unit, source=table)
    sums = computed(bound, table).sums.values()
    keys = itertools.product(*(group.values for group in bound.question.groups))
    return {key: [int(values[i]) for values in sums] for i, key in enumerate(keys)}


@given(rows, st.lists(terms, min_size=1, max_size=3), st.sampled_from([None, 1, 2]), st.integers(1, 2))
def test_narrowing_changes_no_other_group(rows, terms, most, each):
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    unit = PrivacyUnit(column="id", max_groups=most, max_rows=each)
    where = " AND ".join(terms)
    if {"floor = 5", "floor IN (2, 1)"} <= set(terms):
        return  # no group is left, which is refused
    few = groups(where, table, unit)
    narrowed = room.narrowed
    room.narrowed = lambda groups, where: groups
    try:
        every = groups(where, table, unit)
    finally:
        room.narrowed = narrowed
    assert {key: every[key] for key in few} == few
    assert {tuple(every[key]) for key in set(every) - set(few)} <= {(0, 0)}
