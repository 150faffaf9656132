"""Questions of every shape under the mechanism tester: a sample of benchmarks/audited_shapes.py, and bugs that it catches.

Fresh randomness; each test of what is right fails at most once in 1e8 runs.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from discreet.events import Composed
from discreet.mechanisms import KeySelection
from discreet.sql.nodes import Function

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FALSE_ALARM = 1e-8
DRAWS, MORE, SLOWER = (
    2_000,
    12_000,
    6_000,
)  # of what is right; where a bug has to show, by noise or by draws among ranks

sys.path.insert(0, str(BENCHMARKS))
try:
    audited, shapes = (importlib.import_module(name) for name in ("audited", "audited_shapes"))
finally:
    sys.path.remove(str(BENCHMARKS))

EVERY = shapes.shapes()
SAMPLE = {(shape.kind, shape.measure == "pure"): shape for shape in EVERY}  # of each kind the last
IDS = [f"{kind}, {'pure' if pure else 'zcdp or renyi'}" for kind, pure in SAMPLE]


def tried(case, *, pairs=2, draws=DRAWS):
    """Put the pairs that say most under the tester."""
    trials = sorted(case.trials, key=lambda trial: trial.own, reverse=True)[:pairs]
    return audited.tried(replace(case, trials=tuple(trials), draws=draws), FALSE_ALARM)


def test_there_are_more_than_a_hundred_of_every_aggregate_relation_and_account():
    assert len(EVERY) == len(set(EVERY)) > 100
    text = " ".join(question for shape in EVERY for question in shape.asked)
    spelled = {"COUNT DISTINCT": "COUNT(DISTINCT", "QUANTILE": "MEDIAN("}
    assert all(spelled.get(name, f"{name}(") in text for name in Function.__args__)
    assert {shape.unit for shape in EVERY} == set(shapes.UNITS)
    assert {shape.measure for shape in EVERY} == set(shapes.MEASURES)


@pytest.mark.parametrize("shape", SAMPLE.values(), ids=IDS)
def test_a_shape_keeps_what_it_is_charged_as(shape):
    found, rows = tried(shapes.case(shape))
    assert not any(row.refuted or row.beyond for row in rows), f"{found}\n{rows}"


# ------------------------------------------------------------------------------------ what is wrong


def asked(text, *, kind="sums", unit="add", measure="pure", epsilon=4.0, delta=1e-3):
    return shapes.Shape(kind, (text,) if isinstance(text, str) else text, unit, measure, epsilon, delta)


def caught(shape, draws=MORE, **planted):
    right, _ = tried(shapes.case(shape), pairs=1, draws=draws)
    wrong, _ = tried(shapes.case(shape, **planted), pairs=1, draws=draws)
    return not right.refuted and wrong.refuted


@pytest.mark.parametrize(("measure", "epsilon"), [("pure", 2.0), ("zcdp", 6.0)])
def test_half_the_noise_is_caught(measure, epsilon):
    shape = asked("SELECT SUM(debt) AS a, COUNT(*) AS b FROM t GROUP BY ward", measure=measure, epsilon=epsilon)
    (plan,), _, _ = shapes.planned(shape)
    less = 2 if measure == "pure" else 4  # of a variance
    halved = tuple(
        {part: replace(noise, scale=noise.scale / less) for part, noise in level.items()}
        for level in plan.drawing.noises
    )
    assert caught(shape, plans=(replace(plan, drawing=replace(plan.drawing, noises=halved)),))


@pytest.mark.parametrize(
    "shape",
    [
        asked("SELECT COUNT(*) AS a, SUM(debt) AS b FROM t"),
        asked("SELECT COUNT(*) AS a FROM t GROUP BY ROLLUP (ward)", kind="totals"),
        asked(("SELECT SUM(age) AS s FROM t", "SELECT COUNT(*) AS n FROM t GROUP BY floor"), kind="together"),
        asked("SELECT COUNT(*) AS a, MEDIAN(debt) AS b FROM t", kind="drawn"),
    ],
    ids=lambda shape: shape.kind,
)
def test_a_part_that_is_not_charged_is_caught(shape):
    _, event, _ = shapes.planned(shape)
    assert isinstance(event, Composed)
    assert caught(shape, SLOWER if shape.kind == "drawn" else MORE, event=event.events[-1])


def test_a_person_in_two_groups_who_is_charged_for_one_is_caught():
    shape = asked("SELECT MODE(ok) AS a FROM t GROUP BY ward", kind="drawn", epsilon=3.0)
    _, event, _ = shapes.planned(shape)
    assert caught(shape, SLOWER, event=event.event)


def test_groups_of_one_person_that_are_shown_are_caught():
    shape = asked("SELECT note, COUNT(*) AS a FROM t GROUP BY note", kind="groups nobody declared", delta=0.05)
    (plan,), _, _ = shapes.planned(shape)
    (right,) = plan.finder.mechanisms
    loose = KeySelection(epsilon=right.epsilon, delta=0.9, max_groups=right.max_groups)
    assert caught(shape, plans=(replace(plan, finder=replace(plan.finder, mechanisms=(loose,))),))
