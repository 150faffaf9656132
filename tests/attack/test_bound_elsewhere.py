"""What was bound, planned or kept for one dataset answers no other: not with other bounds, another unit, or another account."""

from __future__ import annotations

from dataclasses import replace

import pytest

from discreet import Domain, PrivacyUnit, sql
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.tables import Table
from tests.sql_cases import ROWS, UNIT, open_dataset

WIDE = Domain(id="integer", visit="integer", ward=["A", "B"], age=(0, 100_000))
TEXT = "SELECT ward, COUNT(*) AS n, SUM(age) AS s FROM t GROUP BY ward"
PUBLIC = Table(ROWS, domain=Domain(ward=["A", "B"], beds=(0, 10)))
OTHERS = {
    "domain": {"domain": Domain(id="integer", visit="integer", ward=["A", "B"], age=(0, 100))},
    "unit": {"unit": replace(UNIT, max_rows=UNIT.max_rows + 1)},
    "person": {"unit": PrivacyUnit(column="visit", max_groups=2, max_rows=2)},
    "relation": {"unit": replace(UNIT, relation=Relation.REPLACE_ONE)},
    "population": {"population": "others"},
    "version": {"version": "2"},
    "tables": {"tables": {"wards": PUBLIC}},
    "views": {"views": {"old": "SELECT id, ward FROM t WHERE age > 60"}},
}
SAYS = {"person": "unit", "relation": "unit"}


@pytest.fixture
def dataset(tmp_path):
    return open_dataset(tmp_path, unit=UNIT, domain=WIDE)


def refused(dataset, what, ask):
    """Assert that every other dataset refuses, in words, and that nothing was spent."""
    before = dataset.ledger.account("patients").spent
    for kind, change in OTHERS.items():
        if kind == "population":
            continue  # below: it has an account of its own
        with pytest.raises(
            InvalidInput,
            match=f"{what} was made for a dataset that differs from this one in its {SAYS.get(kind, kind)}",
        ):
            ask(replace(dataset, **change))
    assert dataset.ledger.account("patients").spent == before


def test_what_is_kept_answers_no_other_dataset(dataset, tmp_path):
    kept = sql.materialise(dataset, TEXT, folder=tmp_path / "kept")
    refused(dataset, "the pre-aggregate", lambda other: sql.query(other, TEXT, epsilon=1, delta=1e-7, using=kept))
    refused(dataset, "the pre-aggregate", lambda other: sql.cost(other, TEXT, epsilon=1, delta=1e-7, using=kept))
    assert sql.query(dataset, TEXT, epsilon=1, delta=1e-7, using=kept).value.num_rows == 2
    same = replace(dataset, releases=tmp_path / "elsewhere")  # what is declared is the same
    assert sql.query(same, TEXT, epsilon=1.5, delta=1e-7, using=kept).value.num_rows == 2


def test_other_declarations_keep_files_of_their_own(dataset, tmp_path):
    every = [dataset, *(replace(dataset, **change) for change in OTHERS.values())]
    files = {sql.materialise(one, TEXT, folder=tmp_path / "kept").path for one in every}
    assert len(files) == len(every)


def test_a_plan_answers_no_other_dataset(dataset):
    plan = sql.plan(dataset, TEXT, epsilon=1, delta=1e-7)
    refused(dataset, "the plan", lambda other: other.reveal(plan, name="x", purpose="x"))
    assert dataset.reveal(plan, name="x", purpose="x").value.num_rows == 2


def test_a_workload_answers_no_other_dataset(dataset):
    plan = sql.workload(dataset, {"a": TEXT, "b": "SELECT COUNT(*) AS m FROM t"}, epsilon=1, delta=1e-7)
    refused(dataset, "the plan", lambda other: other.reveal(sql.Workload(plan), name="x", purpose="x"))
    assert set(plan.tables(dataset.reveal(sql.Workload(plan), name="x", purpose="x"))) == {"a", "b"}


def test_another_population_pays_for_nothing_of_ours(dataset, tmp_path):
    from discreet.ledger import OwnerKey

    owner = OwnerKey.create(tmp_path / "other.key")
    dataset.ledger.open("others", unit=UNIT, measure="zcdp", epsilon=50.0, delta=1e-5, owner=owner)
    other = replace(dataset, population="others")
    kept = sql.materialise(dataset, TEXT, folder=tmp_path / "kept")
    plan = sql.plan(dataset, TEXT, epsilon=1, delta=1e-7)
    together = sql.workload(dataset, {"a": TEXT}, epsilon=1, delta=1e-7)
    for ask in (
        lambda: sql.query(other, TEXT, epsilon=1, delta=1e-7, using=kept),
        lambda: other.reveal(plan, name="x", purpose="x"),
        lambda: other.reveal(sql.Workload(together), name="x", purpose="x"),
    ):
        with pytest.raises(InvalidInput, match="differs from this one in its population"):
            ask()
    assert dataset.ledger.account("others").spent == dataset.ledger.account("patients").spent


def test_the_door_itself_holds_a_plan_against_its_dataset(dataset):
    """Also one whose own `bind` forgets to."""

    class Careless:
        def bind(self, dataset):
            return plan

    plan = sql.plan(dataset, TEXT, epsilon=1, delta=1e-7)
    with pytest.raises(InvalidInput, match="the plan was made for a dataset that differs from this one in its domain"):
        replace(dataset, **OTHERS["domain"]).reveal(Careless(), name="x", purpose="x")
