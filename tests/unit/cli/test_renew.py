"""ledger renew: a period by its column's type, and what a person in several of them keeps."""

import datetime

import pytest

from discreet import Ledger, PrivacyUnit, events
from discreet.cli.app import run
from discreet.ledger import OwnerKey
from discreet.release.shown import number
from tests.clinic import answer, clinic


@pytest.fixture
def place(tmp_path):
    """A clinic whose budget is kept by month."""
    made = clinic(tmp_path / "clinic", opened=False)
    made.change('column = "id"\n', 'column = "id"\nper = "month"\n')
    made.change('name = { type = "text" }', 'name = { type = "text" }\nmonth = { type = "text" }')
    assert run(["ledger", "open", str(made.folder)]) == 0
    return made


def charge(place, request, *periods, noise=20.0):
    ledger = Ledger(place.ledger)
    ledger.charge("people", events.Gaussian(noise), purpose="test", request=request, periods=periods)


def test_a_month_is_renewed_and_shown(place, capsys):
    for month in ("2024-05", "2024-06"):
        assert run(["ledger", "renew", str(place.folder), "people", "--period", month]) == 0
    said = capsys.readouterr().out
    assert "Opened 'people@2024-05': ε = 2, δ = 1e-06 per id and month (add_remove), measured in zcdp." in said
    assert said.count("From now on nothing is charged to 'people' as a whole: each month pays for itself.") == 1
    charge(place, "a", "2024-05")
    charge(place, "b", "2024-05", "2024-06")
    found = Ledger(place.ledger).total("people")
    assert run(["ledger", "show", str(place.folder), "--population", "people"]) == 0
    said = capsys.readouterr().out
    assert f"  month 2024-05: spent ε = {number(found.periods['2024-05'].epsilon)} at δ = 1e-06\n" in said
    assert f"  a person in all 2 periods: spent ε = {number(found.person.epsilon)} at δ = 1e-06; " in said
    assert "once everything is spent" in said
    assert "month = 2024-06, paid by" in said
    assert "one more release could have" not in said
    assert run(["ledger", "show", str(place.folder), "--population", "people@2024-06"]) == 0
    assert "people@2024-06: ε = 2, δ = 1e-06 per id and month" in capsys.readouterr().out


def test_one_period_is_no_plural(place, capsys):
    assert run(["ledger", "renew", str(place.folder), "people", "--period", "2024-05"]) == 0
    assert run(["ledger", "show", str(place.folder)]) == 0
    assert "  a person in this month: spent ε = 0 at" in capsys.readouterr().out


def test_a_second_renewal_and_a_unit_without_periods_are_refused(place, tmp_path, capsys):
    command = ["ledger", "renew", str(place.folder), "people", "--period", "2024-05"]
    assert run(command) == 0
    assert run(command) == 1
    assert "a period has one budget" in capsys.readouterr().err
    other = clinic(tmp_path / "other")
    assert run(["ledger", "renew", str(other.folder), "people", "--period", "2024-05"]) == 1
    assert "no column says which period a row belongs to" in capsys.readouterr().err
    assert run(["ledger", "renew", str(place.folder), "peeple", "--period", "2024-05"]) == 1
    assert "Did you mean 'people'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "text", "period", "wrong"),
    [
        ("integer", "202405", 202405, "2024-05"),
        ("date", "2024-05-01", datetime.date(2024, 5, 1), "2024-05"),
        ("boolean", "true", True, "1"),
        ("text", "202405", "202405", None),
    ],
)
def test_a_period_has_the_type_of_its_column(place, capsys, kind, text, period, wrong):
    place.change('month = { type = "text" }', f'month = {{ type = "{kind}" }}')
    if wrong is not None:
        assert run(["ledger", "renew", str(place.folder), "people", "--period", wrong]) == 1
        assert f"{wrong!r} is no value of the period column 'month'" in capsys.readouterr().err
    assert run(["ledger", "renew", str(place.folder), "people", "--period", text]) == 0
    (renewal,) = Ledger(place.ledger).account("people").renewals
    assert (type(renewal.period), renewal.period) == (type(period), period)


def test_without_a_project_earlier_renewals_say_the_type(tmp_path, capsys):
    owner = OwnerKey.create(tmp_path / "owner.key")
    ledger = Ledger(tmp_path / "ledger.db")
    unit = PrivacyUnit(column="id", per="month")
    for name in ("numbers", "texts"):
        ledger.open(name, unit=unit, measure="pure", epsilon=1.0, delta=0.0, owner=owner)
    command = ["ledger", "renew", str(tmp_path / "ledger.db")]
    assert run([*command, "numbers", "--period", "202405"]) == 1  # a number, or a text of digits?
    assert "or of several types of it" in capsys.readouterr().err
    ledger.renew("numbers", period=202405, owner=owner)
    code, found = answer(capsys, *command, "numbers", "--period", "202406")
    assert (code, found["period"], found["renews"]) == (0, "202406", "numbers")
    assert [item.period for item in ledger.account("numbers").renewals] == [202405, 202406]
    assert run([*command, "texts", "--period", "2024-05"]) == 0
    assert [item.period for item in ledger.account("texts").renewals] == ["2024-05"]
