"""Brute force over neighbouring tables: no person moves an exact answer beyond the declared sensitivity."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discreet import Domain, PrivacyUnit
from discreet.events import Relation
from discreet.sql.bind import QueryPlan, _dense
from discreet.sql.bound import Bounds
from discreet.sql.engines import duckdb as engine
from tests.sql_cases import plan

DOMAIN = Domain(
    id="integer", ward=["A", "B", None], floor=[1, 2, 5], age=(10, 100), debt=(-7, 3), weight=(0.0, 0.9), ok="boolean"
)
TYPES = {
    "id": pa.int64(),
    "ward": pa.string(),
    "floor": pa.int64(),
    "age": pa.float64(),
    "debt": pa.string(),
    "weight": pa.float64(),
    "ok": pa.bool_(),
}
OUTPUTS = [
    "COUNT(*) AS n",
    "COUNT(ward) AS w",
    "COUNT(age) AS c",
    "SUM(age) AS s",
    "AVG(age) AS m",
    "SUM(debt) AS d",
    "AVG(debt) AS md",
    "SUM(weight) AS sw",
    "AVG(weight) AS mw",
]
CONDITIONS = [
    "",
    "WHERE age > 20",
    "WHERE NOT (age > 20 OR ok)",
    "WHERE ward IS NULL",
    "WHERE debt BETWEEN -5 AND 2",
    "WHERE floor <> debt",
    "WHERE ward IN ('A', 'x''y')",
]
KEYS = [[], ["ward"], ["floor"], ["ward", "floor"], ["id"]]
PEOPLE = 4

row = st.fixed_dictionaries(
    {
        "id": st.sampled_from([0, 1, 2, 3, None]),
        "ward": st.sampled_from(["A", "B", "C", None]),
        "floor": st.sampled_from([1, 2, 5, 7, None]),
        "age": st.sampled_from([-1e300, 10.0, 11.4, 55.0, 100.0, 1e30, math.nan, math.inf, None]),
        "debt": st.sampled_from(["-7", "3", "-99", "99999999999999999999", "2", "junk", "", None]),
        "weight": st.sampled_from([0.0, 0.9, 0.4499999, -math.inf, 5.0, -0.0, None]),
        "ok": st.sampled_from([True, False, None]),
    }
)
queries = st.tuples(
    st.lists(st.sampled_from(OUTPUTS), min_size=1, max_size=4, unique=True),
    st.sampled_from(CONDITIONS),
    st.sampled_from(KEYS),
)
relations = st.sampled_from(list(Relation))
units = st.one_of(
    st.builds(
        PrivacyUnit,
        column=st.just("id"),
        max_groups=st.sampled_from([None, 1, 2, 3]),
        max_rows=st.integers(1, 3),
        relation=relations,
    ),
    st.builds(PrivacyUnit, max_rows=st.integers(1, 3), relation=relations),
)


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config=engine.SETTINGS) as connection:
        yield connection


def exact(connection: Any, bound: QueryPlan, text: str, rows: list[dict[str, Any]]) -> list[list[int]]:
    table = pa.table({name: pa.array([item[name] for item in rows], type=kind) for name, kind in TYPES.items()})
    connection.register("source", table)
    found = _dense(connection.sql(text).to_arrow_table(), bound.question)
    return [[int(value) for value in found[part]] for part in bound.question.primitives]


def neighbours(unit: PrivacyUnit, rows: list[Any], fresh: list[Any]) -> list[list[Any]]:
    """Return neighbours of a table: each person gone, or with other rows."""
    found = []
    if unit.column is None:
        few = unit.max_rows
        for start in range(0, max(1, len(rows)), few):
            kept = rows[:start] + rows[start + few :]
            found.append(kept)
            if unit.relation is Relation.REPLACE_ONE:
                found[-1] = kept + fresh[: min(few, len(rows) - len(kept))]
        return found
    for person in range(PEOPLE):
        others = [item for item in rows if item["id"] != person]
        if unit.relation is not Relation.REPLACE_ONE:
            found.append(others)
        else:
            found.append(others + [item | {"id": person} for item in fresh])
    return found


def check(connection: Any, bound: QueryPlan, unit: PrivacyUnit, rows: list[Any], fresh: list[Any]) -> None:
    text = engine.text(bound.question)
    here = exact(connection, bound, text, rows)
    for other in neighbours(unit, rows, fresh):
        there = exact(connection, bound, text, other)
        for part, a, b in zip(bound.question.primitives, here, there, strict=True):
            first, second = bound.question.bounds.sensitivity(part)
            assert len(a) == len(b) == bound.question.bounds.cells
            moved = [abs(x - y) for x, y in zip(a, b, strict=True)]
            assert sum(moved) <= first, (part.label, moved, first)
            assert sum(step**2 for step in moved) <= second, (part.label, moved, second)


def ask(query: Any, unit: PrivacyUnit) -> QueryPlan:
    outputs, where, keys = query
    by = f" GROUP BY {', '.join(keys)}" if keys else ""
    domain = DOMAIN
    if "id" in keys:
        facts = DOMAIN.to_dict() | {"id": {"type": "integer", "keys": [0, 1, 2]}}
        domain = Domain.from_dict(facts)
    return plan(f"SELECT {', '.join(outputs)} FROM t {where}{by}", unit=unit, domain=domain)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(rows=st.lists(row, max_size=12), fresh=st.lists(row, min_size=3, max_size=6), query=queries, unit=units)
def test_no_person_moves_an_answer_beyond_its_sensitivity(connection, rows, fresh, query, unit):
    check(connection, ask(query, unit), unit, rows, fresh)


EXTREME = [
    {"id": 0, "ward": ward, "floor": floor, "age": 100.0, "debt": "-7", "weight": 0.9, "ok": False}
    for ward in ("A", "B", None)
    for floor in (1, 2, 5)
    for _ in range(4)
]


@pytest.mark.parametrize("relation", list(Relation))
@pytest.mark.parametrize("groups", [1, 2, None])
def test_the_sensitivity_is_reached(connection, relation, groups):
    """The bound is not loose where one person's rows are all at the bounds: 10 % less noise would not do."""
    unit = PrivacyUnit(column="id", max_groups=groups, max_rows=3, relation=relation)
    bound = ask((["COUNT(*) AS n", "SUM(age) AS s", "SUM(debt) AS d", "AVG(weight) AS m"], "", ["ward"]), unit)
    text = engine.text(bound.question)
    nobody = exact(connection, bound, text, [])
    here = exact(connection, bound, text, EXTREME)
    for part, a, b in zip(bound.question.primitives, here, nobody, strict=True):
        first, _ = bound.question.bounds.sensitivity(part)
        moved = sum(abs(x - y) for x, y in zip(a, b, strict=True))
        reached = Bounds(
            bound.question.bounds.groups, unit.max_rows, 3, Relation.ADD_REMOVE, sampled=False
        ).sensitivity(part)[0]
        assert moved == reached
        assert moved <= first
        if relation is not Relation.REPLACE_ONE:
            assert moved == first


def test_exactly_the_allowed_number_of_groups_is_kept(connection):
    """Not one less: a person in nine groups who may touch K of them touches K."""
    for groups in (1, 2, 5, 8, 9, None):
        unit = PrivacyUnit(column="id", max_groups=groups, max_rows=1)
        bound = ask((["COUNT(*) AS n"], "", ["ward", "floor"]), unit)
        found = exact(connection, bound, engine.text(bound.question), EXTREME)
        assert sum(value != 0 for value in found[0]) == (groups or 9)


def test_replacing_a_person_moves_both_old_and_new_groups(connection):
    unit = PrivacyUnit(column="id", max_groups=1, max_rows=2, relation="replace_one")
    bound = ask((["SUM(debt) AS d"], "", ["ward"]), unit)
    text = engine.text(bound.question)
    a = exact(connection, bound, text, [item for item in EXTREME if item["ward"] == "A"])[0]
    b = exact(connection, bound, text, [item for item in EXTREME if item["ward"] == "B"])[0]
    assert sum(abs(x - y) for x, y in zip(a, b, strict=True)) == 2 * 2 * 7
    assert bound.question.bounds.sensitivity(bound.question.primitives[0]) == (
        28,
        2**2 * 10**2,
    )  # L2: -7 to 3 in one group is worse
