"""Which groups there are, and nothing else: the whole budget is the selection's."""

from __future__ import annotations

import pyarrow as pa
import pytest

from discreet import events, sql
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.explain import explain
from tests.sql_cases import open_dataset, plan

ASKED = "SELECT note FROM t GROUP BY note"
ROWS = pa.table({"id": list(range(2000)), "note": ["often"] * 1999 + ["once"]})


@pytest.mark.parametrize("measure", ["pure", "zcdp"])
def test_groups_are_released_without_a_number_beside_them(tmp_path, measure):
    dataset = open_dataset(tmp_path, ROWS, measure=measure)
    assert "note" in str(sql.cost(dataset, ASKED, epsilon=1.0, delta=1e-7))
    release = sql.query(dataset, ASKED, epsilon=1.0, delta=1e-7)
    assert release.value.to_pydict() == {"note": ["often"]}
    assert release.accuracy == {}
    assert release.facts["sentence"] == "Groups of t by note."
    account = dataset.ledger.account("patients")
    report = explain(release, account=account, entries=list(dataset.ledger.entries("patients")))
    assert all("note" in report.markdown(audience) for audience in ("person", "policy", "engineer"))


def test_the_selection_gets_all_of_the_budget():
    alone = plan(ASKED, measure="pure", epsilon=1.0).event
    assert isinstance(alone, events.KeySelection)
    assert alone.epsilon == 1.0
    beside = plan("SELECT note, COUNT(*) AS n FROM t GROUP BY note", measure="pure", epsilon=1.0).finder
    assert beside is not None
    assert beside.mechanisms[0].epsilon == pytest.approx(0.5)


def test_without_a_delta_none_can_be_found():
    with pytest.raises(InvalidInput, match="delta"):
        plan(ASKED, measure="pure", delta=None)


@pytest.mark.parametrize(
    "asked",
    [
        "SELECT ward FROM t GROUP BY ward",
        "SELECT DISTINCT ward FROM t",
        f"{ASKED.replace('GROUP', 'WHERE note = 1 GROUP')}",
    ],
)
def test_public_groups_are_not_sold(asked):
    with pytest.raises(UnsupportedQuery, match="asks nothing of groups that are public"):
        plan(asked.replace("= 1", "= 'a'"))
