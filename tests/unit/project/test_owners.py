"""A file that names the owner's key: a ledger that somebody else opened is refused, however sound it is."""

import pytest

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
    project.check_owners()
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
    for use in (project.check_owners, project.plan, lambda: list(project.run()), lambda: project.dataset("visits")):
        with pytest.raises(LedgerDamaged) as error:
            use()
        assert thief.public in error.value.what
        assert "find out which before you go on" in error.value.remedy
    assert Ledger(place.ledger).account("people").length == 1


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
