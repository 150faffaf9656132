"""Brute force: whatever stands in the rows of other periods, a plan that is kept to a period has the same integers."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tests.period_cases import LINES, MONTHS, PLACES, PUBLIC, QUESTIONS, VISITS, integers, plan, renewed

MONTH = st.sampled_from([*MONTHS, "2024-08", "2024-5", "", None])
PERSON = st.sampled_from([1, 2, 3, None])
visits = st.lists(
    st.fixed_dictionaries(
        {
            "visit": st.integers(1, 6),
            "id": PERSON,
            "month": MONTH,
            "ward": st.sampled_from(["A", "B", "C", None]),
            "age": st.sampled_from([5, 40, 300, None]),
        }
    ),
    max_size=8,
)
places = st.lists(st.fixed_dictionaries({"id": PERSON, "month": MONTH, "bed": st.integers(0, 60)}), max_size=5)
lines = st.lists(st.fixed_dictionaries({"visit": st.integers(1, 6), "length": st.integers(0, 9)}), max_size=5)
CHOICES = [MONTHS[:1], MONTHS[1:2], (MONTHS[0], MONTHS[2])]
DATASET = renewed()
PLANS = {(text, months): plan(DATASET.in_period(*months), text) for text in QUESTIONS for months in CHOICES}


def tables(of_visits, of_places, of_lines):
    """Return the tables of some rows; those of a visit that is nobody's in the visits count for nobody."""
    return {
        "t": pa.Table.from_pylist(of_visits, schema=VISITS.schema),
        "beds": pa.Table.from_pylist(of_places, schema=PLACES.schema),
        "lines": pa.Table.from_pylist(of_lines, schema=LINES.schema),
        "wards": PUBLIC,
    }


@given(
    text=st.sampled_from(QUESTIONS),
    months=st.sampled_from(CHOICES),
    ours=st.tuples(visits, places),
    theirs=st.tuples(visits, places),
    others=st.tuples(visits, places),
    linked=lines,
)
def test_rows_of_other_periods_move_nothing(text, months, ours, theirs, others, linked):
    """Two databases with the same rows of these periods, and any others: the same integers."""

    def of(rows, *, inside):
        return [row for row in rows if (row["month"] in months) is inside]

    found = []
    for rest in (theirs, others):
        parts = [of(mine, inside=True) + of(other, inside=False) for mine, other in zip(ours, rest, strict=True)]
        found.append(integers(PLANS[text, months], tables(*parts, linked)))
    assert found[0] == found[1]


@given(text=st.sampled_from(QUESTIONS), months=st.sampled_from(CHOICES), rows=st.tuples(visits, places, lines))
def test_a_plan_of_periods_counts_what_the_plan_of_all_counts_there(text, months, rows):
    """And it loses none of them: on the rows of its periods alone, the plan of all periods says the same."""
    of_visits, of_places, of_lines = rows
    inside = [[row for row in part if row["month"] in months] for part in (of_visits, of_places)]
    kept = integers(PLANS[text, months], tables(of_visits, of_places, of_lines))
    assert kept == integers(plan(DATASET, text), tables(*inside, of_lines))
