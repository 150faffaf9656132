"""In a period: a plan reads rows of that period alone, of every table, and that period's account pays."""

from __future__ import annotations

import datetime
import shutil
from dataclasses import replace

import duckdb
import pyarrow as pa
import pytest

from discreet import Dataset, Domain, PrivacyUnit, events, sql
from discreet.accounting import Cost
from discreet.errors import BudgetExceeded, InvalidInput
from discreet.explain import explain
from discreet.ledger import Ledger
from discreet.release import Shelf
from discreet.sql.statements import relations
from discreet.testing import ScratchLedger, with_fixed_randomness
from tests.period_cases import MONTHS, QUESTIONS, SOURCES, integers, of_months, plan, renewed
from tests.unit.test_dataset import Count

MAY, JUNE, JULY = MONTHS
COUNT = "SELECT COUNT(*) AS n FROM t"


@pytest.fixture
def dataset(tmp_path):
    return replace(renewed(), releases=tmp_path / "releases")


def ask(dataset, text=COUNT, **more):
    return sql.query(dataset, text, epsilon=0.5, delta=1e-6, **more)


def spent(dataset):
    ledger = dataset.ledger
    return {month: ledger.account(f"patients@{month}").spent.loss for month in MONTHS}


@pytest.fixture(scope="module")
def whole():
    return renewed()


@pytest.mark.parametrize("text", QUESTIONS)
@pytest.mark.parametrize("months", [(MAY,), (JUNE,), (MAY, JULY)])
def test_the_rows_of_a_period_are_all_that_is_read(whole, text, months):
    kept, everything = plan(whole.in_period(*months), text), plan(whole, text)
    assert integers(kept) == integers(everything, of_months(SOURCES, months))
    assert kept.periods == months
    assert everything.periods == ()


@pytest.mark.parametrize("text", QUESTIONS)
def test_every_private_table_is_read_in_the_period_alone(whole, text):
    """Each table by itself: that joins compare the period, too, is no reason to leave one out."""
    kept, everything = (plan(each, text) for each in (whole.in_period(JUNE), whole))
    catalog, relation = kept.question.catalog, kept.question.relation
    private = [scan.table for scan in relations.scans(relation) if not catalog[scan.table].public]
    more = [one.statements.all[0].count(f"IN ('{JUNE}')") for one in (kept, everything)]
    assert more == [len(private), 0]


def test_a_period_is_another_question_and_the_order_of_several_is_none(whole):
    def request(*months):
        asked = whole.in_period(*months) if months else whole
        return asked.request(plan(asked, COUNT), name="n")

    assert request(JUNE, MAY) == request(MAY, JUNE) == request(MAY, JUNE, MAY)
    assert len({request(), request(MAY), request(JUNE), request(MAY, JUNE)}) == 4


def test_a_period_pays_for_what_is_asked_in_it(dataset):
    release = ask(dataset.in_period(JUNE))
    price = dataset.ledger.account("patients").price(release.event).loss
    assert spent(dataset) == {MAY: 0, JUNE: price, JULY: 0}
    assert release.entry["population"] == "patients@2024-06"
    assert release.guarantee.unit.label == "per id and month (add_remove)"
    assert "The month of a row never changes (promised)" in " ".join(release.guarantee.assumptions)
    assert "Only rows whose month is '2024-06' are read." in release.facts["notes"]
    assert release.provenance["periods"] == [JUNE]
    assert ask(dataset.in_period(JUNE)).value == release.value
    assert spent(dataset)[JUNE] == price
    dataset.ledger.verify()


def test_several_periods_pay_each_the_whole_price(dataset):
    release = ask(dataset.in_period(JUNE, MAY))
    price = dataset.ledger.account("patients").price(release.event).loss
    assert spent(dataset) == {MAY: price, JUNE: price, JULY: 0}
    assert "who is in several has a weaker one" in " ".join(release.facts["notes"])
    assert ask(dataset.in_period(MAY, JUNE)).value == release.value
    for month in (MAY, JUNE):
        assert dataset.ledger.request(f"patients@{month}", release.entry["request"]).kind == "release"
    dataset.ledger.verify()


def test_the_price_is_known_before(dataset):
    found = sql.cost(dataset.in_period(MAY, JUNE), COUNT, epsilon=0.5, delta=1e-6)
    assert found.population == "patients@2024-05 and patients@2024-06"
    assert found.affordable
    before = found.left
    sql.query(dataset.in_period(JUNE), COUNT, epsilon=30.0, delta=1e-6)
    after = sql.cost(dataset.in_period(MAY, JUNE), COUNT, epsilon=0.5, delta=1e-6).left
    assert after < before == sql.cost(dataset.in_period(MAY), COUNT, epsilon=0.5, delta=1e-6).left
    assert not sql.cost(dataset.in_period(JUNE), COUNT, epsilon=45.0, delta=1e-6).affordable
    with pytest.raises(BudgetExceeded, match="'patients@2024-06'"):
        sql.query(dataset.in_period(JUNE), COUNT, epsilon=45.0, delta=1e-6)


def test_outside_of_a_period_nothing_is_asked_of_a_renewed_account(dataset):
    for attempt in (
        lambda: ask(dataset),
        lambda: sql.cost(dataset, COUNT, epsilon=0.5, delta=1e-6),
        lambda: ask(replace(dataset, population="patients@2024-06")),
    ):
        with pytest.raises(InvalidInput, match=r"(renewed by month|is the account of 2024-06 alone)"):
            attempt()
    with pytest.raises(InvalidInput, match="was not renewed for 2024-08"):
        ask(dataset.in_period("2024-08"))
    assert set(spent(dataset).values()) == {0}


@pytest.mark.parametrize(
    ("periods", "message"),
    [((), "no period is given"), ((6,), "is of type integer"), ((MAY, 6), "several types"), ((None,), "NoneType")],
)
def test_what_is_no_period_of_the_column_is_refused(dataset, periods, message):
    with pytest.raises(InvalidInput, match=message):
        dataset.in_period(*periods)


def test_a_unit_without_periods_has_none(dataset):
    with pytest.raises(InvalidInput, match="the unit of 't' has no period"):
        replace(dataset, unit=PrivacyUnit(column="id"), tables={}, views={}).in_period(MAY)


def test_an_extract_of_another_type_is_refused(dataset):
    """The same people again, with months as numbers: 202406 would have a budget of its own beside '2024-06'."""
    table = pa.table({"id": [1], "month": [202406]})
    other = Dataset(
        table, name="t", version="1", unit=dataset.unit, domain=Domain(id="integer", month="integer"),
        ledger=dataset.ledger, population="patients",
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="was not renewed for 202406"):
        ask(other.in_period(202406))
    dataset.ledger.renew("patients", period="202406", owner=dataset.ledger.owner)
    with pytest.raises(InvalidInput, match=r"is not that of the period 202406"):
        ask(other.in_period(202406))


def test_what_does_not_say_its_periods_is_not_lent_any(dataset):
    with pytest.raises(InvalidInput, match="asked in 2024-06, and this work reads rows of all periods"):
        dataset.in_period(JUNE).reveal(Count(), name="n", purpose="test")
    with pytest.raises(InvalidInput, match="asked in 2024-06, and this work reads rows of 2024-05"):
        dataset.in_period(JUNE).lend(
            events.ZCDP(0.1), lambda *_: None, purpose="t", name="n", request="ab" * 16, periods=(MAY,)
        )
    assert set(spent(dataset).values()) == {0}


def test_a_plan_of_another_period_is_refused(dataset):
    class Bound:
        def bind(self, _):
            return plan(dataset.in_period(MAY), COUNT)

    with pytest.raises(InvalidInput, match="differs from this one in its periods"):
        dataset.in_period(JUNE).reveal(Bound(), name="n", purpose="test")


def test_a_series_is_not_asked_in_a_period(dataset, tmp_path):
    dated = replace(
        dataset,
        source=pa.table({"id": [1], "month": [MAY], "day": [datetime.date(2024, 5, 2)]}),
        domain=Domain(id="integer", month="text", day="date"),
        tables={},
        views={},
    )
    terms = {"period": "day", "unit": "day", "first": datetime.date(2024, 5, 1), "steps": 3, "participations": 1}
    terms |= {"epsilon": 0.5, "delta": 1e-6, "name": "days", "folder": tmp_path / "kept"}
    with pytest.raises(InvalidInput, match="asked in periods of its own"):
        sql.series(dated.in_period(MAY), COUNT, **terms)
    with pytest.raises(InvalidInput, match="renewed by month"):
        sql.series(dated, COUNT, **terms).open()
    assert set(spent(dataset).values()) == {0}


def test_limits_and_bounds_are_found_in_a_period(dataset):
    asked = dataset.in_period(JUNE)
    sql.find_bounds(asked, "age", epsilon=1.0, delta=1e-6)
    sql.find_limits(asked, ["ward"], epsilon=1.0, delta=1e-6)
    assert [month for month, loss in spent(dataset).items() if loss] == [JUNE]


def test_what_was_kept_of_another_period_is_not_used(dataset, tmp_path):
    text = "SELECT ward, COUNT(*) AS n FROM t GROUP BY ward"
    kept = {month: sql.materialise(dataset.in_period(month), text, folder=tmp_path) for month in (MAY, JUNE)}
    assert kept[MAY].path != kept[JUNE].path
    release = ask(dataset.in_period(MAY), text, using=kept[MAY])
    assert release.entry["population"] == "patients@2024-05"
    for other in (dataset.in_period(JUNE), dataset.in_period(MAY, JUNE)):
        with pytest.raises(InvalidInput, match="differs from this one in its periods"):
            ask(other, text, using=kept[MAY])


def test_a_period_is_explained_by_itself_and_the_whole_is_not(dataset):
    """A report on the renewed account would say that nothing was spent."""
    release, ledger = ask(dataset.in_period(JUNE)), dataset.ledger
    name = "patients@2024-06"
    told = explain(release, account=ledger.account(name), entries=ledger.entries(name)).facts
    assert told["account"]["unit_words"]
    assert told["budget"]["loss"] == spent(dataset)[JUNE]
    with pytest.raises(InvalidInput, match=r"renewed by month: .* in the accounts of its 3 periods"):
        explain([], account=ledger.account("patients"), entries=ledger.entries("patients"))


def test_fixed_randomness_stays_with_a_dataset(dataset):
    fixed = with_fixed_randomness(dataset, 1).in_period(JUNE)
    assert ask(fixed).provenance["test"]


def test_a_release_that_a_crash_left_unrecorded_is_recorded_in_every_period(dataset, monkeypatch):
    asked = dataset.in_period(MAY, JUNE)
    monkeypatch.setattr(Ledger, "released", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ask(asked)
    monkeypatch.undo()
    release = ask(asked)
    request = release.entry["request"]
    assert {dataset.ledger.request(name, request).kind for name in asked.accounts} == {"release"}
    dataset.ledger.verify()


def test_a_release_of_a_period_that_this_ledger_never_charged_is_noticed(dataset, tmp_path):
    release = ask(dataset.in_period(JUNE))
    older = replace(renewed(), releases=dataset.releases)
    with pytest.raises(InvalidInput, match="holds a release of 'patients@2024-06' that this ledger never charged"):
        ask(older.in_period(JUNE), "SELECT SUM(age) AS s FROM t")
    assert Shelf(dataset.releases).place(release.name, release.entry["request"]).exists()
    shutil.rmtree(dataset.releases)
    ask(older.in_period(JUNE))


# ------------------------------------------------------------------ the value as the column is read


def typed(tmp_path, kind, values, source=None):
    """Return a dataset with a period column of a type, whose rows have ids 1, 2, …, renewed for all `values`."""
    ledger = ScratchLedger()
    unit = PrivacyUnit(column="id", per="p")
    ledger.open("patients", unit=unit, measure="pure", epsilon=50.0, delta=0.0, owner=ledger.owner)
    for value in values:
        ledger.renew("patients", period=value, owner=ledger.owner)
    return Dataset(
        source, name="t", version="1", unit=unit, domain=Domain(id="integer", p=kind), ledger=ledger,
        population="patients", releases=tmp_path / "releases",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "stored", "period", "rows"),
    [
        ("text", ["a", "A", "a ", " a", None, "b"], "a", 1),
        ("text", ["e\u0301", "\u00e9", "e", None, None, None], "\u00e9", 1),
        ("text", ["it's", "it''s", "it", "' OR 1=1 --", None, ""], "it's", 1),
        ("text", ["'", "x", "y", "z", "' OR '1'='1", None], "' OR '1'='1", 1),
        ("text", [7, 7, 8, 9, None, 10], "7", 2),
        ("text", [7.0, 7.5, None, 7.0, 8.0, 1e20], "7", 2),
        ("integer", ["7", "07", "7.0", " 7", "x", None], 7, 4),
        ("integer", [7.0, 7.4, 6.6, None, 7.0, float("nan")], 7, 2),
        ("integer", [-3, 3, None, 0, -3, 3], -3, 2),
        ("boolean", [True, False, None, True, True, False], True, 3),
        ("boolean", ["true", "1", "t", "no", "yes", "2"], False, 1),
        ("date", ["2024-05-01", "2024-5-1", "x", None, "2024-05-02", "2024-05-01 10:00"], datetime.date(2024, 5, 1), None),
    ],
)  # fmt: skip
def test_a_row_is_of_the_period_that_its_unit_is_of(tmp_path, kind, stored, period, rows):
    """Whatever is stored: the rows that a plan reads are those whose unit's own period is the one that pays."""
    source = pa.table({"id": list(range(1, 7)), "p": pa.array(stored)})
    found = typed(tmp_path, kind, [period], source).in_period(period)
    [[number]] = integers(sql.plan(found, COUNT, epsilon=1.0), source)
    statement = sql.plan(replace(found, periods=()), COUNT, epsilon=1.0).statements.main
    assert statement is not None
    inner = statement.split("WITH typed AS (", 1)[1].split("), kept AS", 1)[0]
    connection = duckdb.connect()
    connection.register("source", source)
    periods = [row[0] for row in connection.execute(f"SELECT u1 FROM ({inner})").fetchall()]
    assert number == periods.count(period)
    assert rows is None or number == rows


@pytest.mark.parametrize("collation", ["nocase", "nfc", "noaccent"])
def test_no_collation_of_a_connection_makes_periods_one(tmp_path, collation):
    connection = duckdb.connect()
    connection.execute(f"SET default_collation = '{collation}'")
    connection.execute("CREATE TABLE t (id INTEGER, p VARCHAR)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, "é"), (2, "É"), (3, "e\u0301"), (4, "e")])
    asked = typed(tmp_path, "text", ["é", "É", "e"], connection)
    numbers = [
        integers(sql.plan(asked.in_period(period), COUNT, epsilon=1.0), connection)[0][0] for period in ("é", "É", "e")
    ]
    assert numbers == [1, 1, 1]


def test_a_total_is_over_all_periods():
    """Pure ε: what a person in all periods keeps is the sum of what the periods spent."""
    pure = renewed(measure="pure", delta=0.0)
    for months in ((MAY,), (JUNE,), (MAY, JULY)):
        pure.ledger.charge("patients", events.Pure(0.25), purpose="t", request=str(months), periods=months)
    assert pure.ledger.total("patients").person.epsilon == 1.0
    assert pure.ledger.account("patients").spent == Cost()
