"""Discreet under its own tester: a sample of benchmarks/audit_discreet.py, and two bugs that this very harness catches.

Fresh randomness; each test of what is right fails at most once in 1e8 runs.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from discreet import mechanisms
from discreet.mechanisms import Rng
from discreet.sql.bound import Bounds

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FALSE_ALARM = 1e-8


def load(*names):
    """Load scripts that import one another by name."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(BENCHMARKS))


audited, audited_mechanisms, audited_sql, audit_discreet = load(
    "audited", "audited_mechanisms", "audited_sql", "audit_discreet"
)
PUBLIC = sorted(set(mechanisms.__all__) - audited_mechanisms.NO_MECHANISM)
ASKED = {  # of each kind of question one or two
    f"{asked.name}, {asked.unit.relation.value}, {asked.measure}": asked
    for asked in audited_sql.ASKED
    if asked.measure in ("pure", "zcdp")
}


SLOW = {f"SQL {name}" for name in ("variances", "two columns", "quantiles", "MIN, MAX")}  # by their intervals, or draws


def sampled(case):
    """Return the case with the two pairs that say most, and fewer draws."""
    trials = sorted(case.trials, key=lambda trial: (trial.own, trial.own_delta), reverse=True)[:2]
    return replace(case, trials=tuple(trials), draws=1_500 if case.name in SLOW else 5_000)


def check(case):
    found, rows = audited.tried(sampled(case), FALSE_ALARM)
    assert not any(row.refuted or row.beyond for row in rows), f"{found}\n{rows}"
    assert found.verdict == "consistent"  # and not underpowered: it could have been refuted


# ------------------------------------------------------------------------------ nothing is left out


def covered():
    names = [name for case in audited_mechanisms.mechanism_cases() for name in case.covers]
    for asked in audited_sql.ASKED:
        names += audited_sql.covered(asked, audited_sql.planned(asked))
    return names


def test_everything_public_has_settings():
    names = covered()
    assert audit_discreet.missing(names) == []
    assert audit_discreet.missing(names, (*mechanisms.__all__, "NewNoise")) == ["mechanisms.NewNoise"]
    assert audit_discreet.missing(set(names) - {"sql.AVG"}) == ["sql.AVG"]


# ------------------------------------------------------------------------------ what is right


@pytest.mark.parametrize("name", PUBLIC)
def test_a_mechanism_keeps_what_it_is_charged_as(name):
    check(next(case for case in audited_mechanisms.mechanism_cases() if case.name == name))


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_a_question_keeps_what_it_is_charged_as(asked):
    check(audited_sql.case(asked, audited_sql.planned(asked)))


# ------------------------------------------------------------------------------ what is wrong


def question(sql, **more):
    unit = audited_sql.person(**more)
    return audited_sql.Asked("planted", sql, unit, "pure", 1.0, ("highest", "lowest"))


def half(plan):
    """Return the plan with half of its noise, charged as before."""
    return noised(plan, lambda noise: noise.scale / 2)


def noised(plan, scale):
    """Return the plan with noise of other scales."""
    levels = tuple(
        {part: replace(noise, scale=scale(noise)) for part, noise in level.items()} for level in plan.drawing.noises
    )
    return replace(plan, drawing=replace(plan.drawing, noises=levels))


def test_half_the_noise_in_a_sum_is_caught():
    asked = question("SELECT ward, SUM(age) AS s FROM t GROUP BY ward")
    plan = audited_sql.planned(asked)
    halved = half(plan)
    found, rows = audited.tried(audited_sql.case(asked, halved), FALSE_ALARM)
    assert found.refuted
    assert found.counterexample.again
    assert max(row.tightness for row in rows) > 1


def test_a_forgotten_sensitivity_of_the_denominator_is_caught(monkeypatch):
    """AVG's count is noised as if a person had one row in one group; the event says so too, and is charged."""
    right = Bounds.sensitivity
    monkeypatch.setattr(
        Bounds, "sensitivity", lambda self, part: (1, 1) if part.kind == "values" else right(self, part)
    )
    asked = question("SELECT AVG(age) AS m FROM t", rows=4)
    plan = audited_sql.planned(asked)
    assert plan.guarantee.epsilon == 1.0
    found, _ = audited.tried(audited_sql.case(asked, plan), FALSE_ALARM)
    assert found.refuted
    assert found.counterexample.again


def test_less_noise_than_the_event_says_shows_where_the_claim_stands():
    """Of a person who moves the sum by little nothing refutes the claim; the pair's own loss tells."""
    asked = replace(question("SELECT SUM(age) AS s FROM t", rows=1), pairs=("middling",))
    plan = audited_sql.planned(asked)
    known = audited_sql.ADDED | {"middling": ([audited_sql.HIGH | {"age": 40.0}], audited_sql.OTHERS)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audited_sql, "ADDED", known)
        right = audited_sql.case(asked, plan)
    halved = half(plan)
    wrong = replace(right, run=audited_sql.Released(halved))
    (row,) = audited.tried(wrong, FALSE_ALARM)[1]
    assert row.own == pytest.approx(0.4, rel=1e-5)
    assert row.beyond
    assert not row.refuted
    (row,) = audited.tried(right, FALSE_ALARM)[1]
    assert not row.beyond


# ------------------------------------------------------------------------------ the harness itself


@pytest.mark.parametrize(
    "asked",
    [one for one in audited_sql.ASKED if one.name in ("arithmetic", "expressions", "ROLLUP", "HAVING, ORDER BY")],
    ids=lambda asked: asked.sql,
)
def test_an_answer_of_many_copies_is_the_answer_of_one(asked):
    """With hardly any noise every copy is what one run of the plan releases."""
    plan = audited_sql.planned(asked)
    exact = noised(plan, lambda _: Fraction(1, 2**20))
    rows = audited_sql.of(audited_sql.MANY) + audited_sql.CROWD
    drawn = audited_sql.Released(exact)(rows, 7)
    single = exact.run(audited_sql.table(rows), Rng()).value
    assert (np.nan_to_num(drawn, nan=-1.0) == np.nan_to_num(drawn[:1], nan=-1.0)).all()
    numbers = {name: single[name].to_pylist() for name in single.column_names if name != "ward"}
    held = drawn[0][~np.isnan(drawn[0])].tolist()
    assert set(np.concatenate([np.array(one, dtype=float) for one in numbers.values()])) <= {*held}


def test_every_copy_gets_noise_of_its_own():
    asked = question("SELECT SUM(age) AS s FROM t")
    drawn = audited_sql.Released(audited_sql.planned(asked))([], 64)[:, 0]
    assert len(set(drawn)) > 32
