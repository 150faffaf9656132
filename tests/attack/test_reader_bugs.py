"""Wrong guarantees that readers found and campaigns had not: planted again, each is now caught by the campaigns' own checks."""

from __future__ import annotations

import dataclasses
import random
import secrets
import sys

import pytest

from discreet import Dataset, PrivacyUnit
from discreet.events import Relation
from discreet.sql import bind, limits
from discreet.sql.parsing import sources
from discreet.sql.statements import facts, relations, rowsql
from discreet.sql.statements.rows import Const
from tests.benchmark_scripts import load

neighbouring, fuzzer = load("neighbours"), load("fuzz_sql")

KEYED = (
    'SELECT "key 1", COUNT(*) AS n FROM (SELECT id AS "key 1", COUNT(*) AS c FROM t GROUP BY id, ward) GROUP BY "key 1"'
)
CHOSEN = (
    'SELECT COUNT(DISTINCT "having 1") AS n FROM (SELECT id AS "having 1", COUNT(*) AS c FROM t GROUP BY id, ward '
    'HAVING MIN(floor) IS NOT NULL) GROUP BY "having 1"'
)
LARGE = "SELECT COUNT(*) AS n FROM (SELECT id, AVG(1e30) AS s FROM t WHERE ok GROUP BY id) WHERE s > 0"
SPELLED = "SELECT COUNT(*) AS n FROM t GROUP BY CASE WHEN age > 20 THEN 'A' ELSE 'a' END"


def names(patch):
    patch.setattr(relations, "_check_names", lambda names: None)


def literals(patch):
    for room in (facts, relations):
        patch.setattr(room, "written", lambda row, found: found)


def one_row(patch):
    """Bounds are found for units of one row, whatever the unit is."""

    def planned(dataset, select, epsilon, delta, *, rows):
        counted = dataclasses.replace(dataset, unit=dataclasses.replace(dataset.unit, max_rows=rows))
        return bind.bound(counted, select, epsilon=epsilon, delta=delta)

    patch.setattr(limits, "_plan", planned)


def collation(patch):
    good = rowsql.Rows.plain

    def plain(self, row):
        return self.literal(row.value) if isinstance(row, Const) else good(self, row)

    patch.setattr(rowsql.Rows, "plain", plain)


BATCHES: dict[int | None, object] = {}


def said(what, *, each=None, **settings) -> list[str]:
    """Return what the comparison of twenty databases with their neighbours says of a question; nothing if it is refused."""
    campaign = neighbouring.Campaign("planted")
    held = BATCHES.setdefault(each, neighbouring.batch(random.Random("planted"), Relation.ADD_REMOVE, 20, each))
    neighbouring.load(campaign.connection, held)
    campaign.settle(settings)
    unit = PrivacyUnit(column="id", max_groups=1, max_rows=1) if each is None else PrivacyUnit(max_rows=each)
    campaign.ask(held, what, unit, "zcdp")
    return [line for _, _, _, wrong in campaign.tally.broken for line in wrong]


BUGS = [
    (names, KEYED, {}),
    (names, CHOSEN, {}),
    (literals, LARGE, {}),
    (one_row, "age", {"each": 3}),
    (collation, SPELLED, {"default_collation": "nocase"}),
]


@pytest.mark.parametrize(("bug", "what", "given"), BUGS, ids=lambda item: getattr(item, "__name__", ""))
def test_the_bug_is_caught(bug, what, given, monkeypatch):
    assert said(what, **given) == []
    bug(monkeypatch)
    assert said(what, **given), f"{bug.__name__} went unnoticed"


def test_plain_rows_move_what_they_are_charged_for():
    """As in the campaign: a unit of three rows, beside questions of every kind over it."""
    for text in (
        "SELECT ward, COUNT(*) AS n, SUM(age) AS s FROM t GROUP BY ward",
        "SELECT ok, MEDIAN(age) AS m, MODE(ward) AS w, COUNT(DISTINCT note) AS d FROM t GROUP BY ok",
    ):
        assert said(text, each=3) == []


def test_one_row_more_than_promised_is_seen(monkeypatch):
    """The comparison of plain rows does fail where a unit has more of them than its plan says."""
    campaign = neighbouring.Campaign("planted")
    held = neighbouring.batch(random.Random("planted"), Relation.ADD_REMOVE, 10, 3)
    neighbouring.load(campaign.connection, held)
    campaign.ask(held, "SELECT COUNT(*) AS n, MEDIAN(age) AS m FROM t", PrivacyUnit(max_rows=2), "zcdp")
    (broken,) = campaign.tally.broken
    assert any("rows: L1 3 > 2" in line for line in broken[3])
    assert any("weight 12288" in line for line in broken[3])


# ------------------------------------------------------------------------------------- the fuzzer's


@pytest.fixture(scope="module")
def site():
    found = fuzzer.Site(random.Random(1), fuzzer.worlds()[0], 4)  # of these sources some hold many rows of a person
    found.dice = random.Random(secrets.randbits(32))
    yield found
    found.close()


SEEDS = ["SELECT ward, COUNT(*) AS n, AVG(age) AS a FROM t GROUP BY ward"]


def test_what_another_declaration_made_is_refused(site):
    """A `Failure` is raised where it is taken; a declaration that has no such question is refused earlier."""
    found = [site.elsewhere(SEEDS) for _ in range(30)]
    assert found.count("answered") > 15


def test_what_another_declaration_made_and_is_taken_is_seen(site, monkeypatch):
    monkeypatch.setattr(Dataset, "check_declared", lambda *_: None)
    with pytest.raises(fuzzer.Failure, match=r"of another .* is taken"):
        site.elsewhere(SEEDS)


def test_a_run_without_end_is_stopped_and_seen(site, monkeypatch):
    monkeypatch.setattr(sources, "MAX_READS", 1000)
    monkeypatch.setattr(sources, "MAX_JOINED", 1000)
    monkeypatch.setattr(sys.modules["fuzz_site"], "LONGEST", 0.5)
    doubled = sys.modules["fuzz_mutations"]._doubled('"t"', '"id"', 10)

    def ask_often():
        for _ in range(40):  # of some sources nobody has a row
            site.runs.clear()
            site.ask(doubled, paid=False)

    with pytest.raises(fuzzer.Failure, match="running raised Interrupt"):
        ask_often()
