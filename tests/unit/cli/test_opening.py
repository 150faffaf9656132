"""From init to open accounts: plan first, one key, and what is said of the terms."""

import pytest

from discreet.cli.app import run
from discreet.ledger import Ledger, OwnerKey
from tests.clinic import answer, clinic


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path, opened=False)


def second_account(place):
    declared = place.toml.read_text().partition("[population.people]")[2].partition("[table")[0]
    place.change("[table.visits]", f"[population.staff]{declared}[table.visits]")


def test_the_template_is_planned_before_it_is_opened(tmp_path, capsys):
    """A first plan should look like something one would want to publish, and the whole budget be there."""
    assert run(["init", str(tmp_path)]) == 0
    code, planned = answer(capsys, "plan", tmp_path)
    assert (code, planned["accounts"]["people"]["open"], planned["stops_at"]) == (0, False, None)
    assert all(column["relative"] < 0.05 for column in planned["releases"][0]["columns"])
    assert run(["plan", str(tmp_path)]) == 0
    assert "not open yet: these are the terms of the file" in capsys.readouterr().out
    assert not (tmp_path / "ledger.db").exists()
    code, opened = answer(capsys, "ledger", "open", tmp_path)
    assert code == 0
    assert opened["opened"][0]["left_epsilon"] > 0.9999
    assert answer(capsys, "plan", tmp_path)[1]["releases"] == planned["releases"]


def test_cost_before_opening(place, capsys):
    asked = ["SELECT COUNT(*) AS n FROM visits", "--epsilon=0.5", "--delta=1e-7"]
    code, price = answer(capsys, "cost", place.folder, *asked)
    assert (code, price["affordable"]) == (0, True)
    assert run(["cost", str(place.folder), *asked]) == 0
    assert "'people' is not open yet; these are the terms of the file." in capsys.readouterr().out
    assert run(["query", str(place.folder), *asked, "--yes"]) == 1
    assert "the account 'people' is not open" in capsys.readouterr().err
    assert not place.ledger.exists()


def test_a_run_before_opening_asks_nobody(place, capsys):
    assert run(["run", str(place.folder)]) == 1  # not 2: there is nothing to answer yes to
    assert "the account 'people' is not open" in capsys.readouterr().err


def test_what_is_set_aside_is_said(place, capsys):
    assert run(["ledger", "open", str(place.folder)]) == 0
    said = capsys.readouterr().out
    assert (
        "δ = 5e-07 is kept for events with a δ of their own (delta_atoms); one release could have at most ε = 1.941."
    ) in said
    assert f'owner = "…" under each population: {OwnerKey.read(place.folder / "owner.key").public}' in said


@pytest.mark.parametrize("change", ['measure = "pure"', 'measure = "zcdp"\ndelta_atoms = 0.0'])
def test_where_nothing_is_lost_nothing_is_said(place, capsys, change):
    place.change('measure = "zcdp"', change)
    assert run(["ledger", "open", str(place.folder)]) == 0
    assert "delta_atoms" not in capsys.readouterr().out


def test_no_second_key_by_accident(place, capsys):
    key, away = place.folder / "owner.key", place.folder / "safe.key"
    assert run(["ledger", "open", str(place.folder)]) == 0
    key.rename(away)
    assert run(["ledger", "open", str(place.folder)]) == 0  # all are open: no key is needed, and none is made
    assert not key.exists()
    second_account(place)
    capsys.readouterr()
    assert run(["ledger", "open", str(place.folder)]) == 1
    assert f"'people' was opened with the key {OwnerKey.read(away).public}" in capsys.readouterr().err
    assert not key.exists()
    assert run(["ledger", "open", str(place.folder), "--key", str(away)]) == 0
    assert Ledger(place.ledger).verify().owners["staff"] == OwnerKey.read(away).public


def test_a_second_key_on_purpose(place):
    assert run(["ledger", "open", str(place.folder)]) == 0
    second_account(place)
    other = place.folder / "other.key"
    assert run(["ledger", "open", str(place.folder), "--key", str(other)]) == 0
    owners = Ledger(place.ledger).verify().owners
    assert owners["staff"] == OwnerKey.read(other).public != owners["people"]


def test_verify_says_the_owner(place, capsys):
    assert run(["ledger", "open", str(place.folder)]) == 0
    public = OwnerKey.read(place.folder / "owner.key").public
    assert answer(capsys, "ledger", "verify", place.folder)[1]["owners"] == {"people": public}
    assert run(["ledger", "verify", str(place.folder)]) == 0
    assert f"owner {public}" in capsys.readouterr().out
