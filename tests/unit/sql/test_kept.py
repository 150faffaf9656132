"""What each person adds, kept on the owner's disk: the same answers, the same bounds, and never more than was asked."""

from __future__ import annotations

import os
import random
import secrets

import pyarrow as pa
import pyarrow.parquet
import pytest

import discreet.sql as sql
from discreet import Domain, PrivacyUnit
from discreet.errors import BudgetExceeded, InvalidInput, UnsupportedQuery
from discreet.events import Relation
from discreet.mechanisms import Rng
from discreet.sql import kept as keeping
from discreet.sql.answers import answering
from tests.sql_cases import ROWS, UNIT, declared, exact, open_dataset, plan

WHOLE = (
    "SELECT ward, floor, COUNT(*) AS n, SUM(age) AS s, AVG(weight) AS w, VAR_POP(age) AS v FROM t GROUP BY ward, floor"
)
LOOSE = PrivacyUnit(column="id", max_groups=99, max_rows=99)


def over(kept, text, source=ROWS, **given):
    """Return the exact integers of a question over what is kept, by grouping and label."""
    bound = plan(text, source=source, using=kept, **given)
    kept.build(bound.engine.opened(source, kept.question))
    with kept.opened() as session:
        found = answering.exact(bound.question, bound.statements, session, None, Rng())
    return [
        {part.label: [int(value) for value in bound.sets.total(found.sums[part], place)] for part in bound.question.primitives}
        for place in range(len(bound.sets.chosen))
    ], bound  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        "SELECT ward, SUM(age) AS s, COUNT(age) AS c FROM t GROUP BY ward",
        "SELECT floor, ward, AVG(age) AS s FROM t GROUP BY floor, ward",
        "SELECT floor, STDDEV(age) AS s FROM t WHERE ward = 'A' GROUP BY floor",
        "SELECT AVG(weight) AS w FROM t WHERE floor IN (1, 3) AND ward = 'A'",
    ],
)
def test_where_no_bound_binds_it_answers_as_the_rows_do(tmp_path, text):
    kept = sql.materialise(declared(unit=LOOSE), WHOLE, folder=tmp_path)
    found, bound = over(kept, text, unit=LOOSE)
    narrowed = {group.name: group.values for group in plan(text, unit=LOOSE).question.groups}
    assert {group.name: group.values for group in bound.question.groups if group.name in narrowed} == narrowed
    wanted = exact(text, unit=LOOSE)
    if list(narrowed) == ["floor", "ward"]:  # the kept order is that of its own keys
        wanted = {name: [values[i * 3 + j] for j in range(3) for i in range(3)] for name, values in wanted.items()}
    assert found == [wanted]


def test_several_groupings_of_what_is_kept(tmp_path):
    """Rows whose key is not declared are in no group, so they are in no total of groups, either: of C nothing is kept."""
    kept = sql.materialise(declared(unit=LOOSE), WHOLE, folder=tmp_path)
    found, _ = over(kept, "SELECT COUNT(*) AS n FROM t GROUP BY ROLLUP (ward, floor)", unit=LOOSE)
    where = " WHERE (ward IN ('A', 'B') OR ward IS NULL) AND floor IN (1, 2, 3)"
    direct = [f"SELECT COUNT(*) AS n FROM t{where}{by}" for by in (" GROUP BY ward, floor", " GROUP BY ward", "")]
    total, _ = over(kept, "SELECT COUNT(*) AS n FROM t", unit=LOOSE)
    assert total == found[-1:]
    assert [one["rows"] for one in found] == [exact(text, unit=LOOSE)["rows"] for text in direct]


DOMAIN = Domain(id="integer", ward=["A", "B", None], floor=[1, 2, 5], age=(10, 100), debt=(-7, 3))
KEPT = [
    "SELECT ward, floor, COUNT(*) AS n, SUM(age) AS s, AVG(debt) AS d FROM t GROUP BY ward, floor",
    "SELECT ward, id, COUNT(*) AS n, SUM(age) AS s, AVG(debt) AS d FROM t WHERE age > 15 GROUP BY ward, id",
]
LATER = [
    "SELECT COUNT(*) AS n, SUM(age) AS s FROM t{where}",
    "SELECT ward, SUM(age) AS s, AVG(debt) AS d FROM t{where} GROUP BY ward",
    "SELECT COUNT(*) AS n, SUM(age) AS s FROM t{where} GROUP BY ROLLUP (ward)",
    "SELECT COUNT(*) AS n FROM t WHERE ward = 'A'{and_}",
]


def random_rows(dice, person):
    few = dice.choice((0, 2, 12))
    return [
        {"id": person, "ward": dice.choice(("A", "B", None, "C")), "floor": dice.choice((1, 2, 5, 9)),
         "age": dice.choice((100, 100, 10, 300, None)), "debt": dice.choice((-7, -7, 3, None))}
        for _ in range(few)
    ]  # fmt: skip


def table(rows):
    kinds = {"id": pa.int64(), "ward": pa.string(), "floor": pa.int64(), "age": pa.int64(), "debt": pa.int64()}
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()})


@pytest.mark.parametrize("relation", list(Relation))
def test_no_person_moves_an_answer_over_it_beyond_its_sensitivity(tmp_path, relation):
    seed = secrets.token_hex(8)
    dice = random.Random(seed)
    facts = DOMAIN.to_dict() | {"id": {"type": "integer", "keys": [1, 2, 3]}}
    domain = Domain.from_dict(facts)
    for i in range(12):
        unit = PrivacyUnit(
            column="id", max_groups=dice.choice((1, 2, 3)), max_rows=dice.choice((1, 2)), relation=relation
        )
        base = {person: random_rows(dice, person) for person in (1, 2, 3, 4)}
        others = [{**base, 1: random_rows(dice, 1) if relation is Relation.REPLACE_ONE else []}, {**base, 2: []}]
        if relation is Relation.REPLACE_ONE:
            others[1][2] = random_rows(dice, 2)
        text = dice.choice(KEPT)
        where, and_ = (" WHERE age > 15", " AND age > 15") if "15" in text else ("", "")
        later = dice.choice(LATER).format(where=where, and_=and_)
        answers = []
        for j, rows in enumerate([base, *others]):
            source = table([row for one in rows.values() for row in one])
            folder = tmp_path / f"{i}-{j}"
            kept = sql.materialise(declared(unit=unit, domain=domain, source=source), text, folder=folder)
            found, bound = over(kept, later, source, unit=unit, domain=domain)
            answers.append(found)
        for place in range(len(bound.sets.chosen)):
            for part in bound.question.primitives:
                noise = bound.drawing.noises[place][part]
                first, second = (
                    bound.sets.sensitivity(bound.question.bounds, part, place)
                    if bound.sets.several
                    else bound.question.bounds.sensitivity(part)
                )
                assert noise.sensitivity == (first if noise.law == "discrete_laplace" else second)
                for other in answers[1:]:
                    pairs = zip(answers[0][place][part.label], other[place][part.label], strict=True)
                    moved = [abs(a - b) for a, b in pairs]
                    assert sum(moved) <= first, (seed, text, later, unit, part.label, moved)
                    assert sum(step**2 for step in moved) <= second, (seed, text, later, unit, part.label, moved)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT COUNT(note) AS n FROM t", "readable values of note"),
        ("SELECT SUM(weight * 2) AS s FROM t", "clamped sum of"),
        ("SELECT smoker, COUNT(*) AS n FROM t GROUP BY smoker", "groups by smoker"),
        ("SELECT COUNT(*) AS n FROM t WHERE age > 5", "conditions on anything but its groups"),
        ("SELECT COUNT(*) AS n FROM t WHERE ward = 'A' OR floor = 1", "conditions on anything but its groups"),
        ("SELECT MEDIAN(age) AS m FROM t", "quantiles, distinct values"),
        ("SELECT COUNT(DISTINCT note) AS n FROM t", "quantiles, distinct values"),
        ("SELECT COUNT(DISTINCT id) AS n FROM t", "persons in coarser groups"),
        ("SELECT note, COUNT(*) AS n FROM t GROUP BY note", "unknown groups|quantiles, distinct values"),
        ("SELECT COUNT(*) AS n FROM (SELECT id, ward FROM t)", "another table or subquery"),
    ],
)
def test_what_is_not_kept_is_refused(tmp_path, text, why):
    kept = sql.materialise(declared(), WHOLE, folder=tmp_path)
    with pytest.raises(UnsupportedQuery, match=why) as caught:
        plan(text, using=kept)
    assert "without using=" in caught.value.remedy
    narrow = sql.materialise(declared(), WHOLE.replace("FROM t", "FROM t WHERE smoker"), folder=tmp_path)
    with pytest.raises(UnsupportedQuery, match="rows that its WHERE leaves out"):
        plan("SELECT COUNT(*) AS n FROM t", using=narrow)
    plan("SELECT COUNT(*) AS n FROM t WHERE smoker AND ward = 'A'", using=narrow)


def test_what_cannot_be_kept_is_refused(tmp_path):
    for text in ("SELECT MEDIAN(age) AS m FROM t", "SELECT note, COUNT(*) AS n FROM t GROUP BY note"):
        with pytest.raises(UnsupportedQuery, match="cannot be kept"):
            sql.materialise(declared(), text, folder=tmp_path)
    with pytest.raises(InvalidInput, match="nothing is to be kept per person"):
        sql.materialise(declared(unit=PrivacyUnit()), "SELECT COUNT(*) AS n FROM t", folder=tmp_path)
    with pytest.raises(InvalidInput, match="cannot be made"):
        sql.materialise(declared(), "SELECT COUNT(*) AS n FROM t", folder=__file__ + "/x")


def test_the_file_is_made_once_behind_a_charge_and_is_the_owners_alone(tmp_path):
    dataset = open_dataset(tmp_path, epsilon=3.0)
    kept = sql.materialise(dataset, WHOLE, folder=tmp_path / "kept")
    assert not kept.path.exists()
    with pytest.raises(BudgetExceeded):
        sql.query(dataset, "SELECT COUNT(*) AS n FROM t", epsilon=9.0, delta=1e-6, using=kept)
    assert not kept.path.exists()
    sql.query(dataset, "SELECT COUNT(*) AS n FROM t", epsilon=1.0, delta=1e-6, using=kept)
    assert (os.stat(kept.path).st_mode & 0o777, os.stat(kept.path.parent).st_mode & 0o777) == (0o600, 0o700)
    made = os.stat(kept.path).st_mtime_ns
    sql.query(dataset, "SELECT ward, COUNT(*) AS n FROM t GROUP BY ward", epsilon=1.0, delta=1e-6, using=kept)
    assert os.stat(kept.path).st_mtime_ns == made
    assert len([entry for entry in dataset.ledger.entries("patients") if entry.kind == "charge"]) == 2
    rows = pyarrow.parquet.read_table(kept.path)
    assert rows.num_rows == len({(1, "A"), (2, "A"), (2, "B"), (3, None)})  # no other group, no other person
    assert max(rows["b"].to_pylist()) == UNIT.max_rows


def test_another_state_of_anything_is_another_file(tmp_path):
    def name(text=WHOLE, **given):
        return sql.materialise(declared(**given), text, folder=tmp_path).path.name

    same = name()
    assert name() == same
    others = [
        name(version="2"),
        name(unit=PrivacyUnit(column="id", max_groups=1, max_rows=2)),
        name(unit=PrivacyUnit(column="id", max_groups=2, max_rows=1)),
        name(WHOLE.replace("FROM t", "FROM t WHERE smoker")),
        name(WHOLE.replace("SUM(age)", "SUM(age * 2)")),
        name(WHOLE.replace("ward, floor, COUNT", "floor, COUNT").replace("BY ward, floor", "BY floor")),
        name(domain=Domain(id="integer", ward=["A"], floor=[1, 2, 3], age=(0, 100), weight=(-1.5, 2.0))),
    ]
    assert len({same, *others}) == len(others) + 1


def test_what_was_kept_of_an_older_meaning_is_not_read(tmp_path, monkeypatch):
    text = "SELECT COUNT(*) AS n, SUM(m) AS s FROM (SELECT id, AVG(age) AS m FROM t GROUP BY id)"
    now = sql.materialise(declared(), text, folder=tmp_path).path
    assert now == sql.materialise(declared(), text, folder=tmp_path).path
    assert keeping.VERSION >= 2
    monkeypatch.setattr(keeping, "VERSION", keeping.VERSION - 1)
    assert sql.materialise(declared(), text, folder=tmp_path).path != now
