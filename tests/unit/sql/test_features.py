"""What each construct means: without noise, and where no bound binds, an answer is what plain SQL gives.

Every question is answered twice: by its plan without noise, and by DuckDB on the rows themselves, in the same
words unless others are given.
"""

from __future__ import annotations

import datetime
from fractions import Fraction

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from discreet import Domain, PrivacyUnit, Table
from discreet.domains import Column
from discreet.sql.answers import answering, post
from discreet.sql.answers.estimates import Noisy, stacked
from tests.sql_cases import computed, plan

PEOPLE, VISITS, DAY = 40, 300, datetime.date
UNIT = PrivacyUnit(column="id", max_groups=10_000, max_rows=10_000)
MAIN = Domain(
    id="integer", visit="integer", ward=["A", "B", "C", None], floor=Column("integer", low=1, high=5, keys=(1, 2, 3, 4, 5)),
    age=(0, 100), debt=(-50, 50), weight=Column("float", low=-4.0, high=4.0, resolution=0.125), ok="boolean",
    born=(DAY(2019, 11, 3), DAY(2021, 2, 20)), note="text",
)  # fmt: skip
STAYS = Domain(
    pid="integer", ward=["A", "B", "C"], nights=(0, 30), cost=Column("float", low=0.0, high=64.0, resolution=0.25)
)
DRUGS = Domain(visit="integer", name=["p", "q", None], amount=(-3, 12))
WARDS = Domain(ward=["A", "B", "C"], beds=(0, 60), region=["n", "s"])
VIEWS = {
    "adults": "SELECT id, ward, age FROM t WHERE age >= 18",
    "wings": "SELECT DISTINCT id FROM t GROUP BY id, ward, floor",
    "spending": "SELECT pid, SUM(cost) AS total, COUNT(*) AS n FROM stays GROUP BY pid",
}


def made():
    """Return tables of clean rows, the same every time."""
    dice = np.random.default_rng(7)

    def some(values, size, missing=0.0):
        chosen = [values[i] for i in dice.integers(0, len(values), size)]
        return [None if dice.random() < missing else value for value in chosen]

    days = [DAY(2019, 11, 3) + datetime.timedelta(int(i)) for i in range(476)]
    main = {
        "id": some(range(PEOPLE), VISITS), "visit": list(range(VISITS)), "ward": some(["A", "B", "C"], VISITS, 0.1),
        "floor": some([1, 2, 3, 4, 5], VISITS), "age": some(range(101), VISITS, 0.1), "debt": some(range(-50, 51), VISITS, 0.1),
        "weight": some([i / 8 for i in range(-32, 33)], VISITS, 0.1), "ok": some([True, False], VISITS, 0.2),
        "born": some(days, VISITS, 0.1), "note": some(["apple", "ant", "bee", "it's", ""], VISITS, 0.1),
    }  # fmt: skip
    stays = {"pid": some(range(PEOPLE + 5), 120), "ward": some(["A", "B", "C"], 120), "nights": some(range(31), 120, 0.1),
             "cost": some([i / 4 for i in range(257)], 120, 0.1)}  # fmt: skip
    drugs = {
        "visit": some(range(VISITS + 20), 200),
        "name": some(["p", "q"], 200, 0.1),
        "amount": some(range(-3, 13), 200),
    }
    wards = {"ward": ["A", "B", "C", "C"], "beds": [10, 25, 3, 4], "region": ["n", "s", "s", "n"]}
    return {
        name: pa.table(rows)
        for name, rows in zip(("t", "stays", "drugs", "wards"), (main, stays, drugs, wards), strict=True)
    }


DATA = made()
TABLES = {
    "stays": Table(DATA["stays"], domain=STAYS, person="pid"),
    "drugs": Table(DATA["drugs"], domain=DRUGS, via=("visit", "t", "visit")),
    "wards": Table(DATA["wards"], domain=WARDS),
}


@pytest.fixture(scope="module")
def raw():
    with duckdb.connect() as connection:
        for name, rows in DATA.items():
            connection.register(f"rows_{name}", rows)
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM rows_{name}")
        for name, text in VIEWS.items():
            connection.execute(f"CREATE VIEW {name} AS {text}")
        yield connection


def asked(sql):
    return plan(sql, unit=UNIT, domain=MAIN, source=DATA["t"], tables=TABLES, views=VIEWS)


def without_noise(sql):
    """Return the rows that a question releases if no noise is added, without the columns of errors."""
    bound = asked(sql)
    found = computed(bound, DATA)
    levels = tuple(
        Noisy(
            bound.parts,
            {part: sums(bound, found, part, place) for part in noises},
            noises,
            {},
            size(bound, found, place),
        )
        for place, noises in enumerate(bound.drawing.noises)
    )
    kinds = [bound.parts.facts(group.row).type for group in bound.question.groups]
    labels = answering.labels(found.groups, found.found, kinds, bound.sets)
    table = post.table(bound.select, stacked(levels, [], ()), labels)
    return table.select([item.name for item in bound.select.outputs]).to_pylist()


def sums(bound, found, part, place):
    values = found.sums[part]
    return bound.sets.total(values, place) if bound.sets.several else values


def size(bound, found, place):
    return bound.sets.size(place) if bound.sets.several else answering.size(found.groups)


def plainly(value):
    """Return a value as both may have it: numbers as floats, times as dates; a sum of nothing is 0."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, DAY):
        return value.date() if isinstance(value, datetime.datetime) else value
    return round(float(value), 7)


def alike(ours, theirs, sums=()):
    """Hold two tables to the same rows, in any order; groups without rows are left out."""
    ours = [row for row in ours if row.get("n") != 0] if len(ours) > 1 else ours
    tables = []
    for rows in (ours, theirs):
        found = [{name: plainly(value) for name, value in row.items()} for row in rows]
        found = [
            {name: 0.0 if value is None and name in sums else value for name, value in row.items()} for row in found
        ]
        tables.append(sorted(found, key=lambda row: str(list(row.values()))))
    assert tables[0] == tables[1]


VALUES = [  # of one row
    "age", "age + debt", "age - debt", "2 * age", "age * 3 - 7", "-debt", "age / 4", "age * debt", "weight * weight",
    "weight * 3 + age", "ABS(debt)", "CASE WHEN age > 50 THEN debt ELSE age END", "CASE WHEN ok THEN age END",
    "CASE floor WHEN 1 THEN 10 WHEN 2 THEN 20 ELSE 0 END", "IF(ward = 'A', age, -1)", "COALESCE(age, debt, 0)",
    "COALESCE(weight, 1.5)", "FLOOR(weight)", "FLOOR(debt / 7)", "FLOOR(age / 10) * 10", "EXTRACT(year FROM born)",
    "EXTRACT(month FROM born)", "EXTRACT(quarter FROM born)", "EXTRACT(day FROM born)", "EXTRACT(dow FROM born)",
    "YEAR(born) - 2000", "CASE WHEN weight < 0.25 THEN weight ELSE age / 8 END", "(age - 50) * (age - 50)",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_values(raw, value):
    sql = f"SELECT ward, COUNT(*) AS n, SUM({value}) AS s, COUNT({value}) AS c, AVG({value}) AS m FROM t GROUP BY ward"
    alike(without_noise(sql), raw.sql(sql).to_arrow_table().to_pylist())


def test_bounds_of_floats_are_rounded_where_another_step_would_be_too_fine():
    """Of whole numbers that is refused."""
    domain = Domain(id="integer", x=Column("float", low=0.0, high=1e6, resolution=1e-6))
    for low, step in (("0.0000005", Fraction(1, 10**6)), ("0.000001", Fraction(1, 10**6))):
        bound = plan(f"SELECT SUM(LEAST(GREATEST(x, {low}), 0.1)) AS s FROM t", unit=UNIT, domain=domain)
        (part,) = bound.question.primitives
        assert (part.low, part.high, part.step) == (1, 100_000, step)


CLAMPS = [  # bounds are what is written, between the steps of the value, too
    "LEAST(GREATEST(debt, -10), 20)", "GREATEST(LEAST(debt, 20), -10)", "LEAST(GREATEST(debt * 2, 50), 60)",
    "LEAST(GREATEST(debt, -9.5), 2.5)", "LEAST(GREATEST(debt / 3, -7.5), 1.1)", "LEAST(GREATEST(debt + floor / 8, -1.01), 1.1)",
    "LEAST(debt, 2.5) + LEAST(GREATEST(debt, 0), 20)",
]  # fmt: skip


@pytest.mark.parametrize("value", CLAMPS)
def test_a_clamp_keeps_null(raw, value):
    """In SQL they skip NULL, which would turn it into a bound: here it stays NULL."""
    sql = "SELECT COUNT(*) AS n, SUM({0}) AS s, COUNT({0}) AS c, COUNT_IF({0} = 20) AS i FROM t"
    kept = f"CASE WHEN debt IS NOT NULL THEN {value} END"
    alike(without_noise(sql.format(value)), raw.sql(sql.format(kept)).to_arrow_table().to_pylist())


CONDITIONS = [
    "age > 50", "NOT age > 50", "age + debt > 30", "2 * weight <= debt", "weight = 0.5", "weight * 8 = 4", "age / 3 < 10",
    "ABS(debt) BETWEEN 10 AND 20", "FLOOR(age / 10) IN (2, 5)", "note LIKE 'a%'", "note LIKE '_ee'", "NOT (note LIKE '%t%')",
    "note = 'it''s'", "note IS NULL OR ok", "ok", "NOT ok", "born >= DATE '2020-06-01'", "EXTRACT(month FROM born) = 12",
    "DATE_TRUNC('month', born) = DATE '2020-02-01'", "CASE WHEN age > 50 THEN 1 ELSE 2 END = 2", "COALESCE(age, 0) = 0",
    "age > floor", "debt < weight", "ward <> 'A' AND (floor > 2 OR ok)", "COALESCE(ward, 'none') = 'none'",
    "ward IN ('A', 'B')", "born IS NOT NULL", "weight > 0.3",
]  # fmt: skip


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions(raw, condition):
    for sql in (
        f"SELECT COUNT(*) AS n, SUM(debt) AS s FROM t WHERE {condition}",
        (
            f"SELECT floor, COUNT(*) FILTER (WHERE {condition}) AS c, SUM(debt) FILTER (WHERE {condition}) AS s, "
            f"COUNT_IF({condition}) AS i, COUNT(note) FILTER (WHERE {condition}) AS o, "
            f"COUNT(DISTINCT id) FILTER (WHERE {condition}) AS d FROM t GROUP BY floor"
        ),
    ):
        alike(without_noise(sql), raw.sql(sql).to_arrow_table().to_pylist(), sums="s")


KEYS = [  # what is grouped by; {} stands for it, where there is more to say
    (["ward"], "{}"), (["floor"], "{}"), (["ok"], "{}"), (["ward", "floor"], "{}"), (["FLOOR(age / 20)"], "{}"),
    (["FLOOR(weight)"], "{}"), (["age * 1000"], "{}"), (["FLOOR(debt / 2) * 2"], "{}"), (["EXTRACT(month FROM born)"], "{}"),
    (["EXTRACT(year FROM born)"], "{}"), (["EXTRACT(dow FROM born)"], "{}"), (["DATE_TRUNC('year', born)"], "{}"),
    (["DATE_TRUNC('quarter', born)"], "{}"), (["DATE_TRUNC('month', born)"], "{}"), (["DATE_TRUNC('week', born)"], "{}"),
    (["DATE_TRUNC('day', born)"], "{}"), (["COALESCE(ward, 'none')"], "{}"), (["IF(age > 50, 'yes', 'no')"], "{}"),
    (["CASE WHEN age < 18 THEN 'young' WHEN age < 65 THEN 'old' ELSE 'older' END"], "{}"),
    (["CASE WHEN ok THEN floor ELSE 2 END"], "{}"), (["ward", "EXTRACT(quarter FROM born)"], "{}"),
    (["ward", "floor"], "ROLLUP ({})"), (["ok", "floor"], "CUBE ({})"), (["ok", "ward"], "GROUPING SETS (({}), (ward), ())"),
]  # fmt: skip
WHOLE = "WHERE ok IS NOT NULL AND born IS NOT NULL AND age IS NOT NULL AND weight IS NOT NULL AND debt IS NOT NULL"


@pytest.mark.parametrize(("keys", "form"), KEYS, ids=lambda part: str(part)[:40])
def test_keys(raw, keys, form):
    """Of rows whose keys are all declared: the others are in no group."""
    shown = ", ".join(f"{key} AS k{i}" for i, key in enumerate(keys))
    sql = f"SELECT {shown}, COUNT(*) AS n, SUM(age) AS s, SUM(debt) AS d FROM t {WHOLE} GROUP BY {form.format(', '.join(keys))}"
    alike(without_noise(sql), raw.sql(sql).to_arrow_table().to_pylist())


AGGREGATES = [
    "VAR_POP(age)", "VAR_SAMP(age)", "VARIANCE(weight)", "STDDEV_POP(debt)", "STDDEV(age)", "STDDEV_SAMP(weight * 2 + 1)",
    "COVAR_POP(age, debt)", "COVAR_SAMP(weight, age)", "CORR(age, debt)", "CORR(age, age * 2 - debt)",
    "COUNT(DISTINCT note)", "COUNT(DISTINCT id)", "COUNT(DISTINCT floor)", "COUNT(DISTINCT FLOOR(age / 10))",
    "COUNT(DISTINCT born)", "COUNT(DISTINCT weight)", "COUNT(DISTINCT DATE_TRUNC('month', born))", "AVG(age * debt)",
    "VAR_POP(age) FILTER (WHERE ok)", "CORR(age, debt) FILTER (WHERE note <> '')", "COUNT(DISTINCT note) FILTER (WHERE ok)",
    "SUM(age) / COUNT(*) + 2 * AVG(debt)", "COUNT(id)",
]  # fmt: skip


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_aggregates(raw, aggregate):
    for by in ("", "ward", "floor"):
        sql = f"SELECT {by + ', ' if by else ''}COUNT(*) AS n, {aggregate} AS a FROM t{' GROUP BY ' + by if by else ''}"
        alike(without_noise(sql), raw.sql(sql).to_arrow_table().to_pylist())


RELATIONS = [
    (("SELECT a.ward, COUNT(*) AS n, SUM(s.cost) AS c, SUM(a.age * s.nights) AS p FROM t AS a JOIN stays AS s ON a.id = s.pid "
     "GROUP BY a.ward"), ""),
    (("SELECT COUNT(*) AS n, SUM(s.nights) AS c, COUNT(s.pid) AS p FROM t AS a LEFT JOIN stays AS s ON a.id = s.pid "
     "AND a.ward = s.ward"), ""),
    ("SELECT COUNT(*) AS n, COUNT(a.visit) AS v FROM t AS a RIGHT JOIN stays AS s ON a.id = s.pid AND s.ward = a.ward", ""),
    ("SELECT COUNT(*) AS n, SUM(b.age) AS s FROM t AS a JOIN t AS b USING (id)", ""),
    (("SELECT d.name, COUNT(*) AS n, SUM(amount) AS s, SUM(age) AS a FROM t JOIN drugs AS d ON t.visit = d.visit "
     "GROUP BY d.name"), ""),
    ("SELECT name, COUNT(*) AS n, SUM(amount) AS s FROM drugs GROUP BY name",
     "SELECT name, COUNT(*) AS n, SUM(amount) AS s FROM drugs JOIN t USING (visit) GROUP BY name"),
    ("SELECT COUNT(*) AS n, SUM(s.cost) AS c FROM drugs AS d JOIN t ON d.visit = t.visit JOIN stays AS s ON s.pid = t.id", ""),
    ("SELECT w.region, COUNT(*) AS n, SUM(w.beds) AS b FROM t JOIN wards AS w ON t.ward = w.ward GROUP BY w.region", ""),
    ("SELECT COUNT(*) AS n, SUM(w.beds + age) AS b FROM t LEFT JOIN wards AS w ON t.ward = w.ward", ""),
    ("SELECT COUNT(*) AS n FROM wards AS w JOIN t ON t.ward = w.ward WHERE w.beds > 3", ""),
    ("SELECT ward, COUNT(*) AS n, AVG(age) AS m FROM adults GROUP BY ward", ""),
    ("SELECT COUNT(*) AS n, SUM(LEAST(GREATEST(total, 0), 1000)) AS s FROM spending", ""),
    (("SELECT a.ward, COUNT(*) AS n, SUM(LEAST(GREATEST(s.n, 0), 50)) AS s FROM adults AS a JOIN spending AS s ON s.pid = a.id "
     "GROUP BY a.ward"), ""),
    (("SELECT COUNT(*) AS n, SUM(LEAST(GREATEST(c, 0), 99)) AS s, SUM(LEAST(GREATEST(x, -9999), 9999)) AS x, SUM(y) AS y, "
     "SUM(z) AS z, SUM(LEAST(GREATEST(d, 0), 9)) AS d FROM (SELECT id, COUNT(*) AS c, SUM(debt) AS x, MIN(age) AS y, "
     "MAX(weight) AS z, COUNT(DISTINCT ward) AS d FROM t GROUP BY id)"), ""),
    (("SELECT ward, COUNT(*) AS n, SUM(LEAST(GREATEST(c, 0), 99)) AS s FROM (SELECT id, ward, COUNT(age) AS c FROM t "
     "WHERE floor > 1 GROUP BY id, ward HAVING COUNT(*) > 1 AND SUM(debt) > -20) GROUP BY ward"), ""),
    ("SELECT COUNT(*) AS n FROM (SELECT DISTINCT id, ward FROM t)", ""),
    (("SELECT f, COUNT(*) AS n, SUM(y) AS s FROM (SELECT FLOOR(age / 50) AS f, age + debt AS y FROM t WHERE ok) "
     "WHERE y > 0 GROUP BY f HAVING COUNT(*) > 0"),
     ("SELECT CAST(f AS BIGINT) AS f, COUNT(*) AS n, SUM(y) AS s FROM (SELECT FLOOR(age / 50) AS f, age + debt AS y FROM t "
     "WHERE ok) WHERE y > 0 GROUP BY f")),
    (("SELECT ward, COUNT(*) AS n, SUM(x) AS s FROM (SELECT id, ward, age AS x FROM t UNION ALL SELECT pid, ward, nights FROM "
     "stays) GROUP BY ward"), ""),
    # columns of UNION ALL are paired by their places in the SELECT lists, and * has them in that order
    (("SELECT COUNT(*) AS n FROM (SELECT id, MAX(ward) AS a, note AS b FROM t GROUP BY id, note UNION ALL "
     "SELECT id, ward AS a, note AS b FROM t) AS u WHERE b = 'bee'"), ""),
    (("SELECT COUNT(*) AS n FROM (SELECT MAX(ward) AS a, note AS b FROM t GROUP BY id, floor, note HAVING COUNT(age) > 0 "
     "UNION ALL SELECT ward AS a, note AS b FROM t) AS u WHERE b = 'bee'"), ""),
    (("SELECT COUNT(*) AS n FROM (SELECT * FROM (SELECT MAX(ward) AS a, note AS b FROM t GROUP BY id, floor, note) "
     "UNION ALL SELECT ward, note FROM t) AS u WHERE b = 'bee'"), ""),
    (("WITH a AS (SELECT id, age FROM t WHERE ok), b AS (SELECT id, SUM(age) AS s FROM a GROUP BY id) SELECT COUNT(*) AS n, "
     "SUM(LEAST(GREATEST(s, 0), 1000)) AS s FROM b JOIN stays ON b.id = stays.pid"), ""),
    (("SELECT COUNT(*) AS n, COUNT(DISTINCT s.ward) AS d FROM t AS a LEFT JOIN (SELECT pid, ward FROM stays WHERE nights > 20) "
     "AS s ON a.id = s.pid WHERE a.age > 10"), ""),
    # DISTINCT is of the groups, once they are made
    ("SELECT COUNT(*) AS n FROM (SELECT DISTINCT id FROM t GROUP BY id, ward)", ""),
    ("SELECT COUNT(*) AS n, SUM(m) AS s FROM (SELECT DISTINCT MAX(floor) AS m, id FROM t GROUP BY id, ward)", ""),
    (("SELECT COUNT(*) AS n, SUM(LEAST(GREATEST(c, 0), 99)) AS s FROM (SELECT DISTINCT id, COUNT(*) AS c FROM t GROUP BY id, "
     "ward HAVING COUNT(*) > 1)"), ""),
    ("SELECT COUNT(*) AS n FROM wings", ""),
    ("SELECT COUNT(*) AS n FROM (SELECT DISTINCT id, ward FROM t WHERE age > 50) AS a JOIN wings ON a.id = wings.id", ""),
    # in HAVING a name is that of what is grouped by before it is one of the SELECT list
    ("SELECT COUNT(*) AS n FROM (SELECT id, floor AS age, age AS floor FROM t GROUP BY id, floor, age HAVING age > 40)", ""),
    (("SELECT COUNT(*) AS n, SUM(age) AS s FROM (SELECT id, MIN(floor) AS age FROM t GROUP BY id, age HAVING age > 40 AND "
     "MIN(floor) < 4)"), ""),
    (("SELECT COUNT(*) AS n FROM (SELECT id, ward AS note, MAX(age) AS m FROM t GROUP BY id, ward, note HAVING note = 'bee' "
     "OR ward = 'A')"), ""),
    ("SELECT COUNT(*) AS n FROM (SELECT id, MAX(age) AS age FROM t GROUP BY id, ward HAVING age > 90 AND SUM(age) > 200)", ""),
    ("SELECT floor AS ward, ward AS floor, COUNT(*) AS n FROM t WHERE ward IS NOT NULL GROUP BY ward, floor HAVING ward = 'A'", ""),
    (("SELECT floor AS ok, ok AS floor, COUNT(*) AS n FROM t WHERE ok IS NOT NULL GROUP BY floor, ok HAVING floor IN (2, 3) AND "
     "ok = TRUE AND floor + 1 > 3"), ("SELECT floor AS ok, ok AS floor, COUNT(*) AS n FROM t WHERE ok GROUP BY t.floor, t.ok "
     "HAVING t.floor = 3")),
    ("SELECT floor AS k, 2 * floor AS floor, COUNT(*) AS n FROM t GROUP BY floor, 2 * floor HAVING floor > 3", ""),
    (("SELECT a.floor, COUNT(*) AS n FROM t AS a JOIN t AS b ON a.id = b.id GROUP BY a.floor HAVING floor > 3"),
     ("SELECT a.floor, COUNT(*) AS n FROM t AS a JOIN t AS b ON a.id = b.id GROUP BY a.floor HAVING a.floor > 3")),
    ("SELECT ok AS floor, floor AS ok, COUNT(*) AS n FROM t WHERE ok IS NOT NULL GROUP BY ok, floor ORDER BY floor + 1, floor", ""),
    # bounds between the steps of a total
    (("SELECT COUNT(*) AS n, SUM(LEAST(GREATEST(x, -0.25), 20.25)) AS s FROM (SELECT id, SUM(debt) AS x FROM t "
     "WHERE debt > -99 GROUP BY id)"), ""),
    ("SELECT COUNT(*) AS n FROM (SELECT id, SUM(LEAST(age, 2.5)) AS x FROM t GROUP BY id) WHERE LEAST(GREATEST(x, 0), 10.5) = 10.5",
     "SELECT COUNT(*) AS n FROM (SELECT id, SUM(CASE WHEN age >= 0 THEN LEAST(age, 2.5) END) AS x FROM t GROUP BY id) WHERE x >= 10.5"),
    # what a WITH names is named inside of its own brackets, and nowhere else
    (("SELECT COUNT(*) AS n FROM (WITH stays AS (SELECT id, visit FROM t WHERE ok) SELECT id FROM stays UNION ALL SELECT id "
     "FROM stays) AS u JOIN stays ON u.id = stays.pid WHERE stays.nights > 20"), ""),
    (("SELECT COUNT(*) AS n FROM ((WITH stays AS (SELECT id AS pid FROM t WHERE ok) SELECT pid FROM stays UNION ALL SELECT "
     "pid FROM stays) UNION ALL SELECT pid FROM stays) AS u"), ""),
    (("SELECT COUNT(*) AS n FROM (SELECT id FROM t UNION ALL (WITH t AS (SELECT pid FROM stays WHERE nights > 20) SELECT pid "
     "FROM t UNION ALL (SELECT pid FROM t UNION ALL SELECT pid FROM stays))) AS u"), ""),
    # an average of a person's values is to the nearest of steps that are finer than theirs
    ("SELECT COUNT(*) AS n, SUM(m) AS s FROM (SELECT id, AVG(age) AS m FROM t GROUP BY id)",
     "SELECT COUNT(*) AS n, SUM(FLOOR(m * 5040 + 0.5) / 5040) AS s FROM (SELECT id, AVG(age) AS m FROM t GROUP BY id)"),
    ("SELECT COUNT(*) AS n, SUM(m) AS s FROM (SELECT id, ward, AVG(debt * 10 - 3) AS m FROM t GROUP BY id, ward)",
     ("SELECT COUNT(*) AS n, SUM(FLOOR(m * 4200 + 0.5) / 4200 - 3) AS s FROM (SELECT id, ward, AVG(debt) * 10 AS m FROM t "
     "GROUP BY id, ward)")),
    ("SELECT COUNT(*) AS n, SUM(m) AS s FROM (SELECT id, AVG(CASE WHEN ok THEN 1 ELSE 0 END) AS m FROM t GROUP BY id)",
     ("SELECT COUNT(*) AS n, SUM(FLOOR(m * 360360 + 0.5) / 360360) AS s FROM (SELECT id, AVG(CASE WHEN ok THEN 1 ELSE 0 END) "
     "AS m FROM t GROUP BY id)")),
    ("SELECT COUNT(*) AS n FROM (SELECT id, AVG(CASE WHEN ok THEN 1 ELSE 0 END) AS m FROM t GROUP BY id) WHERE m >= 0.5", ""),
    ("SELECT COUNT(*) AS n FROM (SELECT id, floor, AVG(age) AS m FROM t GROUP BY id, floor) WHERE m > 49.5 OR m = 20.25", ""),
    ("SELECT COUNT(*) AS n FROM (SELECT id, ward FROM t GROUP BY id, ward HAVING AVG(weight) > 0.21 AND AVG(debt) < 3.4)", ""),
    (("SELECT COUNT(*) AS n FROM t JOIN (SELECT id, AVG(debt) AS m FROM t GROUP BY id) AS own ON own.id = t.id "
     "WHERE debt > m"), ""),
]  # fmt: skip


def test_bounds_between_steps_cost_no_accuracy():
    """The noise is as wide as the bounds, whatever the step."""
    errors = [
        asked(f"SELECT SUM(LEAST(GREATEST(age, 0), {high})) AS s FROM t").forecasts[0].standard_error
        for high in ("2.5", "5")
    ]
    assert errors[0] == pytest.approx(errors[1] / 2, rel=1e-9)


def test_finer_steps_of_averages_cost_no_accuracy():
    """Of a total of averages the noise is that of a total of values, one for each person."""
    errors = [
        asked(f"SELECT SUM(m) AS s FROM (SELECT id, {function}(debt) AS m FROM t GROUP BY id)")
        .forecasts[0]
        .standard_error
        for function in ("AVG", "MAX")
    ]
    assert errors[0] == pytest.approx(errors[1], rel=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "parts"),
    [(0, 1, 360_360), (-50, 50, 5_040), (0, 600, 840), (0, 10**9, 60), (-(2**39), 2**39, 1), (2**38 - 9, 2**38, 4)],
)
def test_averages_stay_within_their_bounds(low, high, parts):
    """Facts and engine agree on the step, at both ends of what a column may hold, and between them."""
    values = [[low], [high], [low, low, high], [high] * 20 + [low], [low] * 50]
    rows = pa.table(
        {"id": [i for i, own in enumerate(values) for _ in own], "x": [value for own in values for value in own]}
    )
    domain = Domain(id=list(range(5)), x=(low, high))
    sql = "SELECT id, SUM(m) AS s FROM (SELECT id, AVG(x) AS m FROM t GROUP BY id) GROUP BY id"
    bound = plan(sql, unit=UNIT, domain=domain, source=rows)
    (part,) = bound.question.primitives
    for own, total in zip(values, computed(bound, rows).sums[part], strict=True):
        exact = Fraction(sum(own), len(own))
        assert part.low <= total <= part.high
        assert abs(int(total) * part.step - exact) <= part.step / 2
    assert part.step == Fraction(1, parts)


@pytest.mark.parametrize(("sql", "reference"), RELATIONS, ids=lambda text: text[:50])
def test_relations(raw, sql, reference):
    alike(without_noise(sql), raw.sql(reference or sql).to_arrow_table().to_pylist())


# --------------------------------------------------------------------- what is drawn, and what is found


@pytest.mark.parametrize("condition", ["TRUE", "ok", "age > 20 AND floor < 4"])
@pytest.mark.parametrize(("what", "value"), [("MEDIAN(debt)", "debt"), ("QUANTILE_CONT(age + debt, 0.3)", "age + debt"),
                                             ("MIN(weight * 8)", "weight * 8"), ("MAX(FLOOR(age / 10))", "FLOOR(age / 10)")])  # fmt: skip
def test_histograms(raw, what, value, condition):
    """A quantile is drawn from how many rows there are of each value: each weighs 2**12."""
    where = "" if condition == "TRUE" else f" WHERE {condition}"
    bound = asked(f"SELECT floor, {what} AS m FROM t{where} GROUP BY floor")
    (part,) = bound.question.drawn
    values, weights, starts = computed(bound, DATA).histograms[part]
    group = np.repeat(np.arange(5), np.diff(starts)) + 1
    ours = {(int(g), float(v * part.facts.step)): int(w) for g, v, w in zip(group, values, weights, strict=True)}
    found = raw.sql(
        f"SELECT floor, {value} AS v, COUNT(*) AS n FROM t WHERE {condition} AND v IS NOT NULL GROUP BY floor, v"
    ).fetchall()
    assert ours == {(floor, float(v)): 2**12 * n for floor, v, n in found}


def test_candidates_of_a_mode(raw):
    bound = asked("SELECT floor, MODE(ward) AS m FROM t WHERE ok GROUP BY floor")
    (part,) = bound.question.drawn
    values, weights, starts = computed(bound, DATA).histograms[part]
    group = np.repeat(np.arange(5), np.diff(starts)) + 1
    ours = {(int(g), part.candidates[v]): int(w) for g, v, w in zip(group, values, weights, strict=True)}
    found = raw.sql("SELECT floor, ward, COUNT(*) FROM t WHERE ok AND ward IS NOT NULL GROUP BY floor, ward").fetchall()
    assert ours == {(floor, ward): 2**12 * n for floor, ward, n in found}
    assert part.candidates == ("A", "B", "C")  # NULL is a group, but no mode


@pytest.mark.parametrize("measure", ["pure", "zcdp"])
@pytest.mark.parametrize("key", ["note", "age", "LEAST(GREATEST(visit, 0), 9)"])
def test_groups_that_are_found_hold_their_rows(raw, key, measure):
    """With so much budget that every group of two people or more is found."""
    sql = f"SELECT {key} AS k, COUNT(*) AS n, SUM(floor) AS s FROM t GROUP BY k"
    bound = plan(sql, unit=UNIT, domain=MAIN, source=DATA["t"], tables=TABLES, measure=measure, epsilon=9e5, delta=0.9)
    if bound.finder is None:
        alike(without_noise(sql), raw.sql(sql).to_arrow_table().to_pylist())
        return
    found = computed(bound, DATA)
    keys = found.found["k0"].to_pylist()
    ours = {key: [int(found.sums[part][i]) for part in bound.question.primitives] for i, key in enumerate(keys)}
    theirs = {k: [n, s] for k, n, s in raw.sql(sql).fetchall() if k is not None}
    assert ours == {k: v for k, v in theirs.items() if k in ours}
    several = raw.sql(
        f"SELECT {key} AS k FROM t WHERE k IS NOT NULL GROUP BY k HAVING COUNT(DISTINCT id) > 1"
    ).fetchall()
    assert {k for (k,) in several} <= set(ours)
