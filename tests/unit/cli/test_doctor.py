"""doctor: what fails, what is only not there yet, and what it looks at."""

import shutil

import pyarrow.parquet
import pytest

from discreet.cli.app import run
from discreet.ledger import OwnerKey
from tests.clinic import NUMBER, SECRET, answer, clinic


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path / "clinic")


def found(capsys, folder):
    """Return the exit code and each check by name."""
    code, printed = answer(capsys, "doctor", folder)
    for item in printed["checks"]:
        assert item["ok"] is (item["state"] != "fails")
    assert code == (0 if all(item["ok"] for item in printed["checks"]) else 1)
    return code, {item["name"]: item for item in printed["checks"]}


def test_before_the_account_is_open_nothing_fails(tmp_path, capsys):
    place = clinic(tmp_path, opened=False)
    code, checks = found(capsys, place.folder)
    assert code == 0
    assert (checks["ledger"]["state"], checks["account people"]["state"]) == ("absent", "absent")
    assert checks["account people"]["detail"].endswith(f"discreet ledger open {place.toml}")
    assert run(["doctor", str(place.folder)]) == 0
    assert "not yet" in capsys.readouterr().out


def test_one_of_two_accounts_is_open(place, capsys):
    text = place.toml.read_text()
    declared = text.partition("[population.people]")[2].partition("[table")[0]
    place.change("[table.visits]", f"[population.staff]{declared}[table.visits]")
    code, checks = found(capsys, place.folder)
    assert (code, checks["account people"]["state"], checks["account staff"]["state"]) == (0, "ok", "absent")


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b""), lambda path: (path.unlink(), path.mkdir())])
def test_a_damaged_ledger_fails(place, capsys, harm):
    harm(place.ledger)
    code, checks = found(capsys, place.folder)
    assert (code, checks["ledger"]["state"]) == (1, "fails")


def test_another_owner_fails(place, capsys):
    other = OwnerKey.create(place.folder / "other.key").public
    place.change("epsilon = 2.0", f'epsilon = 2.0\nowner = "{other}"')
    code, checks = found(capsys, place.folder)
    assert (code, checks["ledger"]["state"]) == (1, "fails")
    assert other in checks["ledger"]["detail"]


def test_a_package_that_is_not_installed_is_no_failure(place, capsys, monkeypatch):
    monkeypatch.setattr("discreet.cli.doctor.EXTRAS", {"postgres": ("discreet_no_such_package",)})
    code, checks = found(capsys, place.folder)
    assert (code, checks["extra postgres: discreet_no_such_package"]["state"]) == (0, "absent")
    assert run(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "not installed" in shown
    assert "FAILS" not in shown


def test_columns_that_are_not_there(place, capsys):
    table = pyarrow.parquet.read_table(place.data)
    pyarrow.parquet.write_table(table.drop_columns(["age", "ward"]), place.data)
    code, checks = found(capsys, place.folder)
    assert (code, checks["table visits"]["state"]) == (1, "fails")
    assert checks["table visits"]["detail"] == f"{place.data} has no column 'ward', 'age'"


def csv(place, header):
    place.data.with_suffix(".csv").write_text(f"{header}\n1,{SECRET},{NUMBER},2,x\n")
    place.change("visits.parquet", "visits.csv")


def test_no_value_is_shown(place, capsys):
    """A file whose first line is data: the line is compared with the declared names, and not repeated."""
    csv(place, f"1,{SECRET},{NUMBER},2,x")
    capsys.readouterr()
    assert run(["doctor", str(place.folder)]) == 1
    printed = capsys.readouterr()
    assert "has no column" in " ".join(printed.out.split())
    assert not [word for word in (*SECRET.split(), str(int(NUMBER))) if word in printed.out + printed.err]


def test_a_csv_file_with_its_columns(place, capsys):
    csv(place, "id,name,cost,age,ward")
    assert found(capsys, place.folder)[0] == 0


@pytest.mark.parametrize("harm", [lambda data: data.unlink(), lambda data: (data.unlink(), data.mkdir())])
def test_a_source_that_is_no_file(place, capsys, harm):
    harm(place.data)
    code, checks = found(capsys, place.folder)
    assert (code, checks["table visits"]["state"]) == (1, "fails")


def test_doctor_changes_nothing(place, capsys):
    before = place.ledger.read_bytes()
    assert found(capsys, place.folder)[0] == 0
    assert place.ledger.read_bytes() == before
    assert not (place.folder / "releases").exists()
    shutil.rmtree(place.folder)
    assert found(capsys, place.folder)[0] == 1
