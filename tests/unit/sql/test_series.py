"""Series: charged once, each step answered once from a past that stays, people left out who took part often enough."""

from __future__ import annotations

import datetime
import math

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import discreet.sql as sql
from discreet import Domain, PrivacyUnit, Table, accounting
from discreet.accounting import COST_UNIT
from discreet.errors import BudgetExceeded, InvalidInput, UnsupportedQuery
from discreet.events import Relation
from discreet.sql.continual.state import State
from tests.series_cases import (
    DOMAIN,
    FIRST,
    QUERY,
    TERMS,
    Day,
    clinic,
    end,
    everybody,
    exact,
    follow,
    month,
    open_account,
    plan,
    rows,
    square_root_error,
)


@pytest.fixture
def folder(tmp_path):
    open_account(tmp_path)
    return tmp_path


def begun(folder, source, **changed):
    found = follow(folder, source, **changed)
    found.open()
    return found


# ----------------------------------------------------------------------------------- the account


def test_the_account_is_charged_once_for_the_whole_series(folder):
    found = begun(folder, everybody(6))
    price = accounting.cost(found.plan.event, accounting.Measure("zcdp"))
    spent = found.dataset.ledger.account("patients").spent
    assert spent == price
    assert found.open().entry == found.open().entry
    assert len(found.advance()) == 6
    assert found.advance() == ()
    assert found.dataset.ledger.account("patients").spent == spent
    assert found.dataset.ledger.verify().entries == {"patients": 1 + 2 + 6 * 3}


def test_nothing_is_spent_and_no_row_read_before_it_is_opened(folder):
    found = follow(folder, folder / "absent.parquet")
    assert not found.opened
    assert found.next_step == 1
    assert found.plan.schedule_table().num_rows == 6
    with pytest.raises(InvalidInput, match="was not opened"):
        found.advance()
    assert len(found.dataset.ledger.entries("patients")) == 1
    assert not list((folder / "kept").glob("*.series"))


def test_a_series_beyond_the_budget_reads_nothing_and_binds_nobody(tmp_path):
    open_account(tmp_path, epsilon=1.0)
    with pytest.raises(BudgetExceeded):
        begun(tmp_path, everybody(6), epsilon=3.0)
    found = begun(tmp_path, everybody(6), epsilon=0.5)
    assert found.opened
    assert len(found.advance()) == 6


def test_the_charge_is_what_was_asked_for(folder):
    bound = follow(folder, everybody(1)).plan
    budget = accounting.budget(accounting.Measure("zcdp"), epsilon=2.0, delta=1e-6)
    cost = accounting.cost(bound.event, accounting.Measure("zcdp")).loss
    assert budget * (1 - 1e-5) <= cost <= budget
    assert bound.guarantee.epsilon <= 2.0
    assert sum(part.variance > 0 for part in bound.sums.values()) == 2
    for part, sums in bound.sums.items():
        assert sums.event.sensitivity_squared == bound.matrix.sensitivity_squared * (2 * part.magnitude) ** 2


def test_every_release_states_the_whole_series(folder):
    found = begun(folder, everybody(2))
    [first, second] = found.advance(end(2))
    for release in (first, second, found.open()):
        assert release.event == found.plan.event
        assert release.guarantee == found.plan.guarantee
    assert second.facts["series"]["charged_with"] == found.open().entry["request"]
    assert second.facts["series"]["step"] == 2
    assert "2024-02-01 to 2024-02-29" in second.facts["sentence"]


# ----------------------------------------------------------------------------------- the numbers


def test_totals_and_steps_are_right_but_for_the_noise(folder):
    """At a budget that hardly adds noise: every total, step and average, with its group and its first day."""
    text = "SELECT ward, COUNT(*) AS n, AVG(age) AS m, SUM(age) / COUNT(*) AS q FROM t WHERE age <> 7 GROUP BY ward"
    table = everybody(4, people=400)
    found = follow(folder, table, text, participations=4, steps=4, epsilon=40.0)
    found.open()
    found.advance()
    value = found.value().to_pydict()
    assert value["step"] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert value["period"] == [month(step, 1) for step in value["step"]]
    assert value["ward"] == ["A", "B"] * 4
    for i, step in enumerate(value["step"]):
        ages = [min(age, 100) for age in range(400) if "AB"[age % 2] == value["ward"][i] and age != 7]
        for name, truth in (
            ("n", len(ages) * step),
            ("n_step", len(ages)),
            ("m", np.mean(ages)),
            ("m_step", np.mean(ages)),
        ):
            assert value[name][i] == pytest.approx(truth, abs=8 * value[f"{name}_se"][i])
            assert value[f"{name}_low"][i] <= value[name][i] <= value[f"{name}_high"][i]
            assert value[f"{name}_se"][i] < 0.1 * truth
        assert value["q"][i] == pytest.approx(np.mean(ages), abs=10)


def test_variances_follow_from_the_totals(folder):
    text = "SELECT STDDEV_POP(age) AS d, VAR_POP(age) AS v FROM t"
    found = follow(folder, everybody(2, people=400), text, participations=2, steps=2, epsilon=45.0)
    found.open()
    found.advance()
    last = found.value().to_pylist()[-1]
    ages = [min(age, 100) for age in range(400)]
    assert last["v"] == pytest.approx(np.var(ages), rel=0.2)
    assert last["d"] == pytest.approx(np.std(ages), rel=0.1)


def test_people_are_counted_once_if_they_may_take_part_once(folder):
    found = begun(folder, everybody(3), text="SELECT COUNT(DISTINCT id) AS n FROM t", participations=1, steps=3)
    found.advance()
    assert exact(folder) == [[40], [0], [0]]


def test_errors_are_known_beforehand(folder):
    found = follow(folder, everybody(6), "SELECT COUNT(*) AS n FROM t")
    promised = found.open().value.to_pydict()
    found.advance()
    value = found.value().to_pydict()
    assert value["n_se"] == pytest.approx(promised["n_se"])
    assert value["n_step_se"] == pytest.approx(promised["n_step_se"])
    total, alone = found.plan.forecasts()
    assert (total.name, alone.name) == ("n", "n_step")
    assert total.standard_error == pytest.approx(value["n_se"][-1])
    assert found.plan.forecasts(3)[0].standard_error == pytest.approx(value["n_se"][2])
    assert total.half_width == pytest.approx((value["n_high"][-1] - value["n_low"][-1]) / 2)


def test_the_error_over_a_thousand_steps_is_the_known_one():
    """The square root's largest error at 1,000 steps is 3.265 at ρ = 1/2, whatever the step: we are at or below it."""
    unit = PrivacyUnit(column="id")
    known = square_root_error(1000)
    assert known == pytest.approx(3.265003, abs=1e-6)
    bound = plan(
        "SELECT COUNT(*) AS n FROM t", unit=unit, first=Day(2020, 1, 1), steps=1000, period_unit="day", participations=1
    )
    rho = float(accounting.cost(bound.event, accounting.Measure("zcdp")).loss * COST_UNIT)
    errors = np.array(bound.schedule_table()["n_se"].to_pylist()) * math.sqrt(2 * rho)
    assert errors.argmax() == 999
    assert errors.max() <= known * (1 + 2e-5)  # rounding of the matrix and of the noise
    alone = math.sqrt(1000)
    assert errors.max() < alone / 9


# --------------------------------------------------------------------------- a past that stays


def test_late_edited_and_deleted_rows_change_no_step_that_was_answered(folder):
    before = rows((1, 1, "A", 10), (2, 1, "A", 20), (3, 1, "B", 30))
    begun(folder, before)
    follow(folder, before).advance(end(1))
    assert exact(folder) == [[2, 1]]
    first = follow(folder, before).release(1).value
    # one came late, one was corrected to another ward, one is gone, and February is there
    after = rows((1, 1, "A", 10), (2, 1, "B", 99), (9, 1, "A", 50), (4, 2, "B", 40))
    found = follow(folder, after)
    found.advance(end(2))
    assert exact(folder) == [[2, 1], [0, 1]]
    assert found.release(1).value == first
    assert found.value().slice(0, 2) == first


def test_a_step_asked_again_is_its_stored_release(folder):
    found = begun(folder, everybody(6))
    made = found.advance(end(3))
    again = follow(folder, everybody(6, people=500), dataset=clinic(folder, everybody(6), version="another"))
    assert again.advance(end(3)) == ()
    for step, release in enumerate(made, 1):
        assert again.release(step).value == release.value
        assert again.release(step).entry == release.entry


def test_a_series_goes_on_in_the_middle_under_another_version_of_the_data(folder):
    begun(folder, everybody(1)).advance(end(1))
    first = exact(folder)
    kept = State.read(folder / "kept" / "visits.series")
    answers = kept.so_far[0].answers
    later = follow(folder, everybody(3), dataset=clinic(folder, everybody(3), version="2024-04"))
    assert later.next_step == 2
    [second, third] = later.advance(end(3))
    assert third.facts["series"]["data_version"] == "2024-04"
    assert later.release(1).facts["series"]["data_version"] == "1"
    assert exact(folder)[:1] == first
    now = State.read(folder / "kept" / "visits.series")
    assert now.so_far[0].answers[:1] == answers
    assert now.tokens[0] == kept.tokens[0]
    # what is shown of step 3 is made of the answers of all three
    sums = next(iter(later.plan.sums.values()))
    assert third.value["n"].to_pylist() == pytest.approx(list(sums.window(now.so_far[0].answers, 3)))
    assert second.value["n_step"].to_pylist() == pytest.approx(list(sums.window(now.so_far[0].answers, 2, 2)))


def test_steps_are_due_when_their_last_day_is_there(folder):
    found = begun(folder, everybody(6))
    assert found.advance(month(1, 30)) == ()
    seen = []
    found.advance(end(3), progress=lambda step, last: seen.append((step, last)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert found.next_step == 4
    assert "step 4 (2024-04-01 to 2024-04-30) is next" in str(found)
    assert len(found.advance()) == 3  # by the clock, all of 2024 is over
    assert found.next_step is None
    assert "all answered" in str(found)


def test_by_itself_no_step_is_answered_before_its_last_day_is_over(tmp_path):
    open_account(tmp_path)
    today = datetime.datetime.now(tz=datetime.UTC).date()
    found = begun(tmp_path, everybody(1), unit="day", first=today - datetime.timedelta(days=3), steps=6)
    made = found.advance()
    assert 1 <= len(made) <= 3
    assert found.next_step in (2, 3, 4)


# ------------------------------------------------------------------------- who took part how often


def counts(folder, part=0):
    return [sum(vector) for vector in exact(folder, part)]


def test_a_person_takes_part_in_their_first_steps(folder):
    begun(folder, everybody(6)).advance()
    assert counts(folder) == [40, 40, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("participations", "separation", "expected"),
    [(6, 1, [1, 1, 1, 1, 1, 1]), (6, 2, [1, 0, 1, 0, 1, 0]), (2, 3, [1, 0, 0, 1, 0, 0]), (1, 1, [1, 0, 0, 0, 0, 0])],
)
def test_steps_of_a_person_are_as_few_and_as_far_apart_as_declared(folder, participations, separation, expected):
    table = rows(*((1, at, "A", 5) for at in range(1, 7)))
    begun(folder, table, participations=participations, separation=separation).advance()
    assert counts(folder) == expected


def test_taking_part_is_not_forgotten_when_rows_are_edited_or_deleted(folder):
    """What counts is in which steps somebody was counted, not what the table says of it now."""
    begun(folder, rows((1, 1, "A", 5))).advance(end(1))
    follow(folder, rows((1, 2, "A", 5))).advance(end(2))  # the row moved to February
    assert counts(folder) == [1, 1]
    follow(folder, rows((1, 3, "A", 5))).advance(end(3))  # and to March: the third step of one person
    assert counts(folder) == [1, 1, 0]
    follow(folder, rows()).advance(end(4))  # all gone
    follow(folder, rows((1, 5, "A", 5), (2, 5, "A", 5))).advance(end(5))
    assert counts(folder) == [1, 1, 0, 0, 1]


def test_rows_that_do_not_count_are_no_participation(folder):
    """Of another period, another ward, or left out by the WHERE."""
    table = rows((1, 1, "C", 5), (1, 2, "A", 5), (1, 3, "A", 5), (1, 4, "A", 99), (1, 5, "B", 5))
    text = "SELECT ward, COUNT(*) AS n FROM t WHERE age < 50 GROUP BY ward"
    begun(folder, table, text=text, participations=3).advance()
    assert counts(folder) == [0, 1, 1, 0, 1, 0]


def test_nobody_is_registered_where_nobody_can_take_part_too_often(folder):
    found = begun(folder, everybody(6), participations=6)
    found.advance()
    kept = State.read(found.path)
    assert kept.blocked(6, participations=1, separation=1).num_rows == 0
    limited = follow(folder, everybody(6), name="other", participations=5)
    limited.open()
    limited.advance()
    assert State.read(limited.path).blocked(6, participations=1, separation=1).num_rows == 40


PEOPLE = {
    "text": ("text", ["bob", "Bob", "BOB", "bo\0b", ""]),
    "dates": ("date", [Day(1990, 1, 1), Day(1, 1, 1), Day(9999, 12, 31)]),
    "truths": ("boolean", [True, False]),
    "large numbers": ("integer", [2**63 - 1, -(2**63), 0, -1]),
}


@pytest.mark.parametrize("kind", PEOPLE)
def test_people_of_every_type_are_told_apart(folder, kind):
    declared, names = PEOPLE[kind]
    domain = Domain(id=declared, day="date")
    for step in (1, 2, 3):
        table = pa.table({"id": pa.array(names[:step]), "day": pa.array([month(step)] * len(names[:step]))})
        found = follow(
            folder,
            table,
            "SELECT COUNT(*) AS n FROM t",
            dataset=clinic(folder, table, domain=domain),
            participations=1,
        )
        found.open()
        found.advance(end(step))
    assert exact(folder) == ([[1], [1], [1]] if len(names) > 2 else [[1], [1], [0]])


def test_a_collation_of_the_caller_makes_no_two_people_one(tmp_path):
    """Else it would depend on bob whether Bob counts."""
    open_account(tmp_path)
    with duckdb.connect() as connection:
        connection.execute("SET default_collation = 'NOCASE'")
        connection.execute("CREATE TABLE t (id VARCHAR, day DATE)")
        dataset = clinic(tmp_path, connection, domain=Domain(id="text", day="date"))
        found = follow(tmp_path, None, "SELECT COUNT(*) AS n FROM t", dataset=dataset, participations=1)
        found.open()
        for step, names in enumerate((["bob"], ["Bob", "bob", "BOB"], ["Bob", "bob", "eve"]), 1):
            connection.execute("DELETE FROM t")
            connection.executemany("INSERT INTO t VALUES (?, ?)", [(name, month(step)) for name in names])
            found.advance(Day(2024, step + 1, 1))
        left = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    assert exact(tmp_path) == [[1], [2], [1]]
    assert left == [("t",)]


def test_a_person_in_one_period_is_a_unit_by_two_columns(tmp_path):
    unit = PrivacyUnit(column="id", per="year", max_rows=1)
    open_account(tmp_path, unit=unit)
    domain = Domain(id="integer", year="integer", day="date")
    at = [month(step) for step in (1, 2, 3)] * 2
    table = pa.table({"id": [1] * 6, "year": [2023] * 3 + [2024] * 3, "day": at})
    dataset = clinic(tmp_path, table, unit=unit, domain=domain)
    found = follow(tmp_path, table, "SELECT COUNT(*) AS n FROM t", dataset=dataset, participations=2)
    found.open()
    found.advance()
    assert counts(tmp_path) == [2, 2, 0, 0, 0, 0]


def test_what_one_replaced_unit_moves_is_twice_what_one_adds():
    for relation in Relation:
        unit = PrivacyUnit(column="id", max_groups=1, max_rows=2, relation=relation)
        for part, sums in plan(unit=unit).sums.items():
            added = (2 * part.magnitude) ** 2
            assert sums.step_sensitivity_squared == (4 * added if relation is Relation.REPLACE_ONE else added)


# ------------------------------------------------------------------------------- what can be asked


def test_joins_subqueries_and_views_are_followed(folder):
    people = pa.table({"id": [1, 2, 3], "sex": ["f", "m", "f"]})
    dataset = clinic(
        folder,
        rows((1, 1, "A", 5), (1, 1, "A", 7), (2, 1, "B", 9), (3, 2, "A", 1), (2, 2, "A", 3)),
        tables={"people": Table(people, domain=Domain(id="integer", sex=["f", "m"]), person="id")},
        views={"days": "SELECT id, day, COUNT(*) AS visits FROM t GROUP BY id, day"},
    )
    text = "SELECT p.sex, COUNT(*) AS n FROM t JOIN people AS p ON t.id = p.id GROUP BY p.sex"
    found = follow(folder, None, text, dataset=dataset, period="t.day")
    found.open()
    found.advance(end(2))
    assert exact(folder) == [[2, 1], [1, 1]]
    assert follow(folder, None, text, dataset=dataset, period="t.day").next_step == 3
    text = "SELECT SUM(LEAST(GREATEST(visits, 0), 5)) AS v FROM days"
    other = follow(folder, None, text, dataset=dataset, name="visits-by-day")
    other.open()
    other.advance(end(2))
    kept = State.read(other.path)
    assert [list(vector) for vector in kept.so_far[0].exact] == [[3], [2]]


REFUSED = {
    "a quantile": {"text": "SELECT MEDIAN(age) AS m FROM t"},
    "the largest": {"text": "SELECT MAX(age) AS m FROM t"},
    "different values": {"text": "SELECT COUNT(DISTINCT age) AS n FROM t"},
    "people in several steps": {"text": "SELECT COUNT(DISTINCT id) AS n FROM t"},
    "HAVING": {"text": QUERY + " HAVING n > 5"},
    "ORDER BY": {"text": QUERY + " ORDER BY n"},
    "LIMIT": {"text": QUERY + " LIMIT 1"},
    "ROLLUP": {"text": "SELECT ward, COUNT(*) AS n FROM t GROUP BY ROLLUP (ward)"},
    "groups that nobody declared": {"text": "SELECT age, COUNT(*) AS n FROM t GROUP BY age", "domain": "undeclared"},
    "a name that is taken": {"text": "SELECT COUNT(*) AS step FROM t"},
    "a key's name that is taken": {"text": "SELECT ward AS period, COUNT(*) AS n FROM t GROUP BY ward"},
    "a name that is taken by another": {"text": "SELECT COUNT(*) AS n, SUM(age) AS n_step FROM t"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_add_up_over_time_is_refused(folder, name):
    given = dict(REFUSED[name])
    domain = Domain(id="integer", day="date", age="integer") if given.pop("domain", None) else DOMAIN
    with pytest.raises(UnsupportedQuery):
        follow(folder, None, dataset=clinic(folder, rows(), domain=domain), **given)
    assert len(clinic(folder, rows()).ledger.entries("patients")) == 1


def test_too_many_numbers_are_refused():
    text = "SELECT EXTRACT(day FROM day) AS d, COUNT(*) AS n FROM t GROUP BY EXTRACT(day FROM day)"
    assert plan(text, steps=500, period_unit="day").cells == 31
    text = text.replace(" AS d,", " AS d, EXTRACT(month FROM day) AS m, LEAST(GREATEST(age, 0), 99) AS a,")
    text += ", EXTRACT(month FROM day), LEAST(GREATEST(age, 0), 99)"
    with pytest.raises(UnsupportedQuery, match="would keep 18,600,000 numbers"):
        plan(text, steps=500, period_unit="day")


WRONG = {
    "no such column": ({"period": "when"}, "names no column"),
    "no dates": ({"period": "age"}, "declared as integer"),
    "no unit": ({"unit": "fortnight"}, "unit must be"),
    "not the first day": ({"first": Day(2024, 1, 2)}, "Give 2024-01-01"),
    "not a Monday": ({"first": Day(2024, 1, 2), "unit": "week"}, "Give 2024-01-01"),
    "a time": ({"first": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)}, "must be a date"),
    "no steps": ({"steps": 0}, "steps must be"),
    "too many steps": ({"steps": 2**14 + 1}, "steps must be"),
    "beyond the calendar": ({"steps": 9000, "unit": "year"}, "beyond the year 9999"),
    "no participation": ({"participations": 0}, "participations must be"),
    "no separation": ({"separation": 0}, "separation must be"),
    "no delta": ({"delta": 0.0}, "means nothing without delta"),
    "no epsilon": ({"epsilon": 0.0}, "epsilon must be"),
    "weight of nothing": ({"weights": {"x": 1}}, "no output of this query"),
    "guess of nothing": ({"guess": {"x": 1}}, "no output of this query"),
    "no name": ({"name": "a/b"}, "name is"),
    "a long name": ({"name": "a" * 91}, "at most 90"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_terms_are_refused(folder, name):
    given, message = WRONG[name]
    with pytest.raises(InvalidInput, match=message):
        follow(folder, rows(), **given)
    assert len(clinic(folder, rows()).ledger.entries("patients")) == 1


def test_accounts_and_units_that_cannot_hold_a_series_are_refused(tmp_path):
    (tmp_path / "pure").mkdir()
    open_account(tmp_path / "pure", measure="pure")
    with pytest.raises(InvalidInput, match="Gaussian noise"):
        follow(tmp_path / "pure", rows())
    (tmp_path / "rows").mkdir()
    unit = PrivacyUnit(max_rows=3)
    open_account(tmp_path / "rows", unit=unit)
    with pytest.raises(InvalidInput, match="names no column that identifies one"):
        follow(tmp_path / "rows", None, dataset=clinic(tmp_path / "rows", rows(), unit=unit))


def test_a_dataset_in_a_period_is_refused(tmp_path):
    unit = PrivacyUnit(column="id", per="year")
    open_account(tmp_path, unit=unit)
    domain = Domain(id="integer", year="integer", day="date")
    dataset = clinic(tmp_path, rows(), unit=unit, domain=domain).in_period(2024)
    with pytest.raises(InvalidInput, match="charged to the whole account"):
        follow(tmp_path, None, "SELECT COUNT(*) AS n FROM t", dataset=dataset)


def test_a_renyi_account_holds_a_series(tmp_path):
    open_account(tmp_path, measure="renyi(8.0)")
    found = begun(tmp_path, everybody(2), epsilon=20.0)
    assert len(found.advance(end(2))) == 2
    left = accounting.budget(accounting.Measure.parse("renyi(8.0)"), epsilon=20.0, delta=1e-6)
    assert found.dataset.ledger.account("patients").spent.loss <= left


@pytest.mark.parametrize("step", [0, 7, True, 1.0, "1"])
def test_a_step_that_the_series_has_not_is_refused(folder, step):
    found = follow(folder, rows())
    with pytest.raises(InvalidInput, match="from 1 to 6"):
        found.release(step)


def test_a_step_without_a_release_is_refused(folder):
    found = begun(folder, rows())
    with pytest.raises(InvalidInput, match="step 1 of 'visits' has no release"):
        found.release(1)
    with pytest.raises(InvalidInput, match="through must be"):
        found.advance(through="2024-01-31")
    nothing = found.value()
    assert nothing.num_rows == 0
    found.advance()
    assert found.value().schema == nothing.schema


def test_an_analyst_pays_with_their_share(folder):
    dataset = clinic(folder, everybody(6), analyst="bo")
    from discreet.ledger import OwnerKey

    dataset.ledger.share("patients", "bo", epsilon=5.0, owner=OwnerKey.read(folder / "owner.key"))
    found = follow(folder, None, dataset=dataset)
    found.open()
    assert len(found.advance()) == 6
    account = dataset.ledger.account("patients")
    assert account.share("bo").spent == account.spent
    assert TERMS["first"] == FIRST
    assert sql.Series is type(found)
