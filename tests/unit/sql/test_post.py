"""What happens to noised numbers: arithmetic, intervals, HAVING, ORDER BY, LIMIT, and total rules."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

import discreet.sql as sql
from discreet import Domain, PrivacyUnit
from discreet.sql.answers import answering, intervals, post
from discreet.sql.answers.estimates import Noisy, stacked
from tests.sql_cases import DOMAIN, exact, open_dataset, plan


def table_of(bound, values):
    """Return the table that a plan makes of given noisy integers."""
    noisy = Noisy(bound.parts, values, bound.noises, {}, answering.size(bound.question.groups))
    kinds = [bound.parts.facts(group.row).type for group in bound.question.groups]
    labels = answering.labels(bound.question.groups, None, kinds, bound.sets)
    return post.table(bound.select, stacked((noisy,), [], ()), labels)


def released(sql, **integers):
    """Return the table that a query makes of given noisy integers, by kind of primitive."""
    bound = plan(sql)
    return table_of(bound, {part: np.array(integers[part.kind]) for part in bound.noises}).to_pydict()


BY_WARD = "SELECT ward, COUNT(*) AS n, SUM(age) AS s{more} FROM t GROUP BY ward{after}"
NUMBERS = {"rows": [5, -2, 0], "sum": [300, 10, -40]}


@pytest.mark.parametrize(
    ("after", "wards"),
    [
        ("", ["A", "B", None]),
        (" HAVING n > 0", ["A"]),
        (" HAVING NOT n > 0", ["B", None]),
        (" HAVING COUNT(*) + 1 >= 1 AND s < 400", ["A", None]),
        (" HAVING n BETWEEN -2 AND 0", ["B", None]),
        (" HAVING 100 * SUM(age) / COUNT(*) > 0 OR n = -2", ["A", "B"]),
        (" HAVING s / n > -1000", ["A", "B"]),
        (" HAVING NOT s / n > -1000", []),
        (" HAVING NOT (s / n > 0 AND n < 0)", ["A", "B", None]),
        (" HAVING ward = 'A'", ["A"]),
        (" HAVING 'A' <> ward", ["B"]),
        (" HAVING NOT ward = 'A'", ["B"]),
        (" ORDER BY n", ["B", None, "A"]),
        (" ORDER BY n DESC", ["A", None, "B"]),
        (" ORDER BY s / n", ["B", "A", None]),
        (" ORDER BY s / n DESC", ["A", "B", None]),
        (" ORDER BY s / n DESC NULLS FIRST", [None, "A", "B"]),
        (" ORDER BY ward DESC", ["B", "A", None]),
        (" ORDER BY ward NULLS FIRST", [None, "A", "B"]),
        (" ORDER BY 0 * n, s", [None, "B", "A"]),
        (" LIMIT 2", ["A", "B"]),
        (" ORDER BY s LIMIT 1", [None]),
        (" LIMIT 0", []),
        (" HAVING n > 99", []),
    ],
)
def test_groups_are_chosen_by_released_values(after, wards):
    assert released(BY_WARD.format(more="", after=after), **NUMBERS)["ward"] == wards


def test_arithmetic():
    sql = BY_WARD.format(more=", s_ AS x", after="").replace("s_", "(2 * SUM(age) - COUNT(*)) / 4 + 0.5")
    found = released(sql, **NUMBERS)
    assert found["x"] == [149.25, 6.0, -19.5]
    assert all(low < value < high for low, value, high in zip(found["x_low"], found["x"], found["x_high"], strict=True))


def test_division_by_nothing_is_null():
    found = released(BY_WARD.format(more=", SUM(age) / COUNT(*) AS r", after=""), **NUMBERS)
    assert found["r"] == [60.0, -5.0, None]
    assert found["r_se"][2] is None
    assert found["r_low"] == [None, None, None]  # each count's range holds zero


def test_an_average_without_people_is_the_middle():
    found = released(
        "SELECT ward, AVG(age) AS m FROM t GROUP BY ward", centred=[900, 10**6, -(10**6)], values=[-3, 0, 1]
    )
    assert found["m"] == [50.0, 50.0, 0.0]
    assert found["m_se"][:2] == [50.0, 50.0]
    assert (found["m_low"], found["m_high"]) == ([0.0] * 3, [100.0] * 3)


def test_counts_and_whole_sums_are_integers_cut_at_their_limits():
    sql = "SELECT COUNT(*) AS n, SUM(age) AS s, SUM(weight) AS w FROM t"
    bound = plan(sql)
    huge = {part: np.array([2**80], dtype=object) for part in bound.noises}
    table = table_of(bound, huge)
    assert [str(table.schema.field(name).type) for name in "nsw"] == ["int64", "int64", "double"]
    assert table["n"][0].as_py() == 2**63 - 1
    assert table["w"][0].as_py() == 2.0**80 * float(DOMAIN["weight"].resolution)


def test_interval_arithmetic_on_extremes():
    wide = (np.array([-math.inf]), np.array([math.inf]))
    zero = (np.array([0.0]), np.array([0.0]))
    assert intervals.combine("*", wide, zero) == (-math.inf, math.inf)
    assert intervals.combine("-", wide, wide) == (-math.inf, math.inf)
    assert intervals.combine("/", (np.array([1.0]), np.array([2.0])), (np.array([4.0]), np.array([8.0]))) == (
        0.125,
        0.5,
    )


def test_the_tail_of_two_laplace_noises():
    d = np.array([0.0, 1.0, 7.0])
    assert intervals.laplace_tail(d, 2.0, np.array([0.0] * 3)) == pytest.approx(np.exp(-d / 2))
    assert intervals.laplace_tail(d, 2.0, np.array([2.0] * 3)) == pytest.approx(np.exp(-d / 2) * (1 + d / 4), rel=1e-3)


def test_a_person_in_one_period_is_the_unit():
    unit = PrivacyUnit(column="id", per="floor", max_rows=1)
    found = exact("SELECT COUNT(*) FROM t", unit=unit)
    assert found == {"rows": [5]}  # (1, 1), (2, 2), (2, 3), (3, 1), (4, 1)


def test_a_person_of_several_periods_is_counted_once():
    unit = PrivacyUnit(column="id", per="floor", max_rows=2)
    assert exact("SELECT COUNT(DISTINCT id) FROM t", unit=unit) == {"different values of id": [4]}
    by_floor = exact("SELECT floor, COUNT(DISTINCT id) FROM t GROUP BY floor", unit=unit)
    assert by_floor == {"different values of id": [3, 1, 1]}


def test_without_a_person_one_row_is_the_unit():
    unit = PrivacyUnit(max_rows=3)
    found = exact("SELECT ward, COUNT(*), SUM(age) FROM t GROUP BY ward", unit=unit)
    assert list(found.values()) == [[5, 1, 1], [240, 0, 50]]
    bound = plan("SELECT ward, COUNT(*), SUM(age) FROM t GROUP BY ward", unit=unit)
    assert bound.question.bounds.sensitivity(bound.question.primitives[0]) == (3, 9)
    assert "promised" in bound.guarantee.assumptions[1]


def test_the_engine_sql_is_ours_alone():
    """Nothing of the analyst's spelling is left: names are ours, literals are escaped."""
    texts = [
        "SELECT ward AS \"x'; DROP\", COUNT(*) AS \"y--\" FROM t WHERE note = 'a''b' GROUP BY ward",
        (
            "WITH \"y--\" AS (SELECT id AS \"x'; DROP\", MEDIAN FROM (SELECT id, age AS median FROM t WHERE note = 'a''b')) "
            'SELECT MEDIAN(median) AS "z--" FROM "y--"'
        ),
    ]
    for asked in texts:
        text = " ".join(plan(asked).statements.all)
        assert "DROP" not in text
        assert "--" not in text
        assert "'a''b'" in text
        assert text.count('FROM "source"') == 1


def test_whole_keys_and_intervals_can_be_reckoned_with(tmp_path):
    """ORDER BY and HAVING see every column of the answer, and keys that are whole numbers."""
    floors = Domain(id="integer", floor=[3, 1, 2, None])
    dataset = open_dataset(tmp_path, pa.table({"id": [1], "floor": [1]}), domain=floors)

    def rows(rest):
        text = f"SELECT floor AS f, COUNT(*) AS n FROM t GROUP BY f {rest}"
        return sql.query(dataset, text, epsilon=1.0, delta=1e-6).value["f"].to_pylist()

    assert rows("ORDER BY -floor") == [3, 2, 1, None]
    assert rows("ORDER BY f + 1") == [1, 2, 3, None]
    assert rows("HAVING floor * 2 > n - 1000000 ORDER BY f") == [1, 2, 3]
    assert rows("HAVING f > n - 1000000 AND 2 <= f ORDER BY f") == [2, 3]
    assert rows("HAVING n_low < n AND n_high > n AND n_se > 0 ORDER BY n_low - n_high, f") == [1, 2, 3, None]
