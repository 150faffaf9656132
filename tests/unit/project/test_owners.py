"""A ledger that is not the one which the file and its releases belong to is refused, however sound it is."""

import shutil

import pytest

from discreet.cli.app import run
from discreet.errors import InvalidInput, LedgerDamaged
from discreet.ledger import Ledger, OwnerKey
from discreet.project import Project
from tests.clinic import clinic


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path / "clinic")


def pin(place, key):
    place.change("epsilon = 2.0", f'epsilon = 2.0\nowner = "{key}"')
    return Project.read(place.folder)


def test_the_owner_named_is_the_one_who_opened(place):
    key = OwnerKey.read(place.folder / "owner.key").public
    project = pin(place, key)
    project.check_ledger()
    assert project.owners() == {"people": key}
    assert [item.reused for item in project.run("people")] == [False]


def test_a_history_rewritten_under_another_key_is_refused(place):
    """It verifies, for it is sound in itself; what was spent is forgotten in it."""
    project = pin(place, OwnerKey.read(place.folder / "owner.key").public)
    list(project.run("people"))
    for file in place.folder.glob("ledger.db*"):
        file.unlink()
    thief = OwnerKey.create(place.folder / "thief.key")
    Ledger(place.ledger).open(
        "people", unit=project.settings.populations["people"].unit, measure="zcdp", epsilon=9.0, delta=1e-6, owner=thief
    )
    assert Ledger(place.ledger).verify().owners == {"people": thief.public}
    for use in (project.check_ledger, project.plan, lambda: list(project.run()), lambda: project.dataset("visits")):
        with pytest.raises(LedgerDamaged) as error:
            use()
        assert thief.public in error.value.what
        assert "find out which before you go on" in error.value.remedy
    assert Ledger(place.ledger).account("people").length == 1


def test_an_old_copy_is_refused_beside_what_it_never_charged(place, tmp_path, capsys):
    copy = tmp_path / "copy.db"
    shutil.copy(place.ledger, copy)
    project = Project.read(place.folder)
    list(project.run("people"))
    for file in place.folder.glob("ledger.db*"):
        file.unlink()
    shutil.copy(copy, place.ledger)
    old = Project.read(place.folder)
    old.ledger.verify()
    for use in (old.plan, lambda: list(old.run()), lambda: old.write_report(tmp_path / "report")):
        with pytest.raises(InvalidInput, match=r"never charged[\s\S]*old copy"):
            use()
    for command in (("ledger", "verify", place.folder), ("doctor", place.folder), ("explain", place.folder)):
        assert run([str(item) for item in command]) == 1
        assert "never charged" in " ".join("".join(capsys.readouterr()).split())
    assert old.ledger.account("people").length == 1


def test_an_account_is_opened_by_the_owner_named_alone(tmp_path):
    place = clinic(tmp_path / "clinic", opened=False)
    owner = OwnerKey.create(tmp_path / "a.key")
    project = pin(place, owner.public)
    with pytest.raises(LedgerDamaged):
        project.open(OwnerKey.create(tmp_path / "b.key"))
    assert not place.ledger.exists()
    assert [account.public_key for account in project.open(owner)] == [owner.public]


@pytest.mark.parametrize("word", ["", "ada", "0" * 63, "0" * 65, "G" * 64, "A" * 64])
def test_an_owner_is_64_digits(place, word):
    with pytest.raises(InvalidInput, match=r"\[population\.people\]: owner must be the public half"):
        pin(place, word)
