"""Answers that are drawn, found, or worked out from several sums: their laws, through whole queries.

Fresh randomness; a false alarm at most once in 1e8 runs. Each check is shown to notice a fault of a tenth.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from discreet import Domain, PrivacyUnit
from discreet.mechanisms import Rng
from discreet.sql.answers.drawn import WHOLE
from discreet.sql.nodes import Aggregate
from discreet.testing import Cells, gof, selection_law
from tests.quantile_laws import distances, softmax
from tests.sql_cases import plan
from tests.statistical import test_sql_noise as noise_tests

CELLS = 20_000

# ------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize(
    ("what", "moved"),
    [
        ("COUNT(DISTINCT note)", 2 * 3),  # two groups, in each at most three values of a person
        ("COUNT(DISTINCT id)", 2),  # a person is one person
        ("COUNT(*) FILTER (WHERE age > 50)", 2 * 3),
        ("SUM(CASE WHEN age > 50 THEN age ELSE -30 END)", 2 * 3 * 100),
        ("SUM(age * 2 - 120)", 2 * 3 * 120),  # from -120 to 80
        ("SUM(LEAST(GREATEST(age, 20), 40))", 2 * 3 * 40),
    ],
)
def test_the_noise_of_an_expression_is_that_of_its_bounds(what, moved):
    domain = Domain(id="integer", cell=list(range(CELLS)), age=(0, 100), note="text")
    empty = pa.table({name: pa.array([], kind) for name, kind in
                      {"id": pa.int64(), "cell": pa.int64(), "age": pa.int64(), "note": pa.string()}.items()})  # fmt: skip
    sql = f"SELECT cell, {what} AS n FROM t GROUP BY cell"
    bound = plan(sql, unit=noise_tests.UNIT, domain=domain, measure="pure", source=empty)
    noise = bound.run(empty, Rng()).value["n"].to_numpy()
    variance = 2 * moved**2  # at an epsilon of 1
    assert noise_tests.right_scale(noise, variance, 6.0)
    assert not noise_tests.right_scale(noise * 0.9, variance, 6.0)
    assert not noise_tests.right_scale(noise * 1.1, variance, 6.0)


# ------------------------------------------------------------------------------------- draws

# In every cell the same people of its own, one of whom has four rows where two count: they weigh half.
AGES = [*([age] for age in range(25)), [3, 3, 3, 20]]
KINDS = [["x"], ["x"], ["y", "y", "y", "z"], [None]]
HEAVY = [WHOLE] * 25
HEAVY[3] += 3 * WHOLE // 2
HEAVY[20] += WHOLE // 2
LIKED = [2 * WHOLE, 3 * WHOLE // 2, WHOLE // 2]


@cache
def crowd(column, cells):
    people = {"age": AGES, "kind": KINDS}[column]
    rows = [(person, value) for person, values in enumerate(people) for value in values]
    cell = np.repeat(np.arange(cells), len(rows))
    person, value = zip(*(rows * cells), strict=True)
    return pa.table({"id": cell * 100 + np.array(person), "cell": cell, column: pa.array(value)})


def drawn(what, column, cells, measure, epsilon, relation="add_remove"):
    """Return what is drawn in each cell, and what it is charged as in one of them."""
    unit = PrivacyUnit(column="id", max_groups=1, max_rows=2, relation=relation)
    domain = Domain(id="integer", cell=list(range(cells)), age=(0, 24), kind=["x", "y", "z"])
    sql, source = f"SELECT cell, {what} AS m FROM t GROUP BY cell", crowd(column, cells)
    bound = plan(sql, unit=unit, domain=domain, measure=measure, source=source, epsilon=epsilon)
    (choice,) = bound.drawing.choices.values()
    return bound.run(source, Rng()).value["m"], choice.mechanism.event


def fits(numbers, chances):
    return gof(numbers, Cells(np.arange(len(chances) - 1), np.array(chances, dtype=float))).accepted


def right_mean(numbers, chances, scores):
    """Whether the mean score is what the law says: of all statistics it tells rates apart best."""
    scores = np.array(scores, dtype=float)
    mean = float(chances @ scores)
    error = math.sqrt(float(chances @ (scores - mean) ** 2) / len(numbers))
    return abs(float(scores[numbers].mean()) - mean) < 6.5 * error


@pytest.mark.parametrize(
    ("what", "rank", "measure", "epsilon"),
    [("MEDIAN(age)", 0.5, "pure", 1.2), ("QUANTILE_CONT(age, 0.25)", 0.25, "zcdp", 4.5)],
)
def test_a_quantile_is_drawn_by_the_distance_of_its_rank(what, rank, measure, epsilon):
    values, event = drawn(what, "age", 22_000, measure, epsilon)
    assert measure != "pure" or event.epsilon == pytest.approx(epsilon, rel=1e-6)
    numbers, far = values.to_numpy().astype(int), distances(HEAVY, rank * sum(HEAVY))

    def law(factor):
        return softmax(far, factor * event.epsilon / (2 * max(rank, 1 - rank) * 2 * WHOLE))

    assert fits(numbers, law(1))
    assert right_mean(numbers, law(1), far)
    assert not right_mean(numbers, law(0.9), far)
    assert not right_mean(numbers, law(1.1), far)


@pytest.mark.parametrize(
    ("measure", "relation", "epsilon"), [("pure", "add_remove", 6.0), ("zcdp", "replace_one", 50.0)]
)
def test_a_mode_is_drawn_by_its_weight(measure, relation, epsilon):
    values, event = drawn("MODE(kind)", "kind", 50_000, measure, epsilon, relation)
    assert 5 < event.epsilon < 14  # where these weights tell a tenth of it best

    def law(factor):
        changed = type(event)(epsilon=event.epsilon * factor)
        return selection_law(changed, LIKED, sensitivity=2 * WHOLE, monotone=relation == "add_remove")

    numbers = np.array([["x", "y", "z"].index(value) for value in values.to_pylist()])
    assert fits(numbers, law(1))
    assert not fits(numbers, law(0.9))
    assert not fits(numbers, law(1.1))


# ------------------------------------------------------------------------------------- groups found


@pytest.mark.parametrize("people", [3, 9])
def test_a_group_is_shown_as_often_as_its_number_of_people_pays_for(people):
    """On a pure account, where each group is kept by its people alone; people of other groups play no part."""
    groups = 20_000
    note = [f"n{i}" for i in range(groups)]
    rows = pa.table({"id": np.arange(groups * people), "note": np.repeat(note, people)})
    unit = PrivacyUnit(column="id", max_groups=1)
    bound = plan(
        "SELECT note, COUNT(*) AS n FROM t GROUP BY note", unit=unit, domain=Domain(id="integer", note="text"), measure="pure", epsilon=2.0,
        delta=1e-3, source=rows,
    )  # fmt: skip
    (mechanism,) = bound.finder.mechanisms
    found = bound.run(rows, Rng()).value
    assert set(found["note"].to_pylist()) <= set(note)

    def right(shown, number):
        chance = float(mechanism.keep_probability(number))
        return abs(shown - groups * chance) < 6.5 * math.sqrt(groups * chance * (1 - chance)) + 1

    assert right(found.num_rows, people)
    assert not right(found.num_rows, people + 1)
    assert not right(found.num_rows, people - 1)


# ------------------------------------------------------------------------------------- intervals

FUNCTIONS = ("VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP")


def moments(values):
    """Return what a variance is computed from: exact integers of values from 0 to 100, around the middles."""
    away = values - 50
    return [int((away**2).sum()) - 1250 * len(values), int(away.sum()), len(values)]


@pytest.mark.parametrize("law", ["discrete_laplace", "discrete_gaussian"])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("people", [6, 3000])
def test_the_interval_of_a_spread_covers(law, function, people):
    spread = Aggregate(function, (noise_tests.AGE,))
    values = np.resize(np.array([10, 20, 30, 35, 90]), people)
    parts = noise_tests.PARTS(spread)
    kinds = {part: noise_tests.noises(law, size, 1)[0] for part, size in zip(parts, (6000, 400, 8), strict=True)}
    exact = dict(zip(parts, moments(values), strict=True))
    sample = people / (people - 1) if "SAMP" in function else 1.0
    truth = float(np.var(values)) * sample
    truth = math.sqrt(truth) if function.startswith("STD") else truth
    assert noise_tests.enough(noise_tests.covered(spread, truth, exact, kinds))
    if people == 3000:
        assert not noise_tests.enough(noise_tests.covered(spread, truth * 1.1, exact, kinds))


def test_the_interval_of_a_correlation_covers():
    from discreet.sql.answers.estimates import Noisy
    from discreet.sql.bound import Parts
    from discreet.sql.statements.facts import Facts
    from discreet.sql.statements.rows import Ref

    first, second = Ref("age"), Ref("cost")
    facts = Facts.of("age", Domain(age=(0, 100))["age"])
    parts = Parts({first: facts, second: facts}, frozenset())
    a = np.resize(np.array([10, 20, 30, 35, 90]), 3000)
    b = np.resize(np.array([30, 10, 80, 60, 90]), 3000)
    for function, truth in (("COVAR_POP", np.cov(a, b, ddof=0)[0, 1]), ("COVAR_SAMP", np.cov(a, b)[0, 1]),
                            ("CORR", np.corrcoef(a, b)[0, 1])):  # fmt: skip
        asked = Aggregate(function, (first, second))
        made = parts(asked)
        products = [int(((a - 50) * (b - 50)).sum()), int((a - 50).sum()), int((b - 50).sum()), 3000]
        squares = [int(((a - 50) ** 2).sum()) - 1250 * 3000, int(((b - 50) ** 2).sum()) - 1250 * 3000]
        exact = dict(zip(made, products + squares, strict=False))
        sizes = (6000, 400, 400, 8, 6000, 6000)
        kinds = {
            part: noise_tests.noises("discrete_laplace", size, 1)[0] for part, size in zip(made, sizes, strict=False)
        }
        drawn = {part: noise.add(np.full(CELLS, exact[part], dtype=np.int64), Rng()) for part, noise in kinds.items()}
        low, high = Noisy(parts, drawn, kinds, {}, CELLS).released(asked)[0].spread
        assert noise_tests.enough(float(np.mean((low <= truth) & (truth <= high))))
        assert not noise_tests.enough(float(np.mean((low <= truth * 1.3) & (truth * 1.3 <= high))))
