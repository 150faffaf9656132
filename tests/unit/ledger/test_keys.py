"""The owner's key and the ledger for tests."""

from __future__ import annotations

import gc
import os
import stat
from pathlib import Path

import pytest
from tests.ledgers import open_pure, spend

from discreet.errors import InvalidInput
from discreet.ledger import OwnerKey
from discreet.ledger.keys import signed
from discreet.testing import ScratchLedger


def test_a_key_is_written_for_its_owner_alone_and_read_again(tmp_path):
    mask = os.umask(0)
    try:
        key = OwnerKey.create(tmp_path / "owner.key")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "owner.key").stat().st_mode) == 0o600
    again = OwnerKey.read(str(tmp_path / "owner.key"))
    assert again.public == key.public
    assert signed(key.public, "a hash", again.sign("a hash"))
    assert not signed(key.public, "another", again.sign("a hash"))
    for bad in (None, "", "zz", "00" * 64):
        assert not signed(key.public, "a hash", bad)
    assert not signed("zz", "a hash", key.sign("a hash"))


def test_a_key_does_not_show_itself(tmp_path):
    key = OwnerKey.create(tmp_path / "owner.key")
    secret = (tmp_path / "owner.key").read_text().strip()
    assert secret not in repr(key)
    assert secret != key.public


def test_a_key_is_never_overwritten(tmp_path):
    OwnerKey.create(tmp_path / "owner.key")
    before = (tmp_path / "owner.key").read_bytes()
    with pytest.raises(InvalidInput, match="no key can be written"):
        OwnerKey.create(tmp_path / "owner.key")
    with pytest.raises(InvalidInput, match="no key can be written"):
        OwnerKey.create(tmp_path / "missing" / "owner.key")
    assert (tmp_path / "owner.key").read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"zz", b"00" * 31, b"\xff\xfe", b"00" * 33])
def test_what_is_no_key(tmp_path, content):
    path = tmp_path / "owner.key"
    if content is not None:
        path.write_bytes(content)
    says = "does not exist" if content is None else "holds no owner's key"
    with pytest.raises(InvalidInput, match=says):
        OwnerKey.read(path)


def test_a_key_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidInput, match=r"cannot be read: Is a directory\."):
        OwnerKey.read(tmp_path)


def test_a_scratch_ledger_goes_away_with_its_folder():
    ledger = ScratchLedger()
    open_pure(ledger, ledger.owner)
    spend(ledger, "a")
    folder = Path(ledger.url).parent
    assert folder.exists()
    assert ledger.testing
    del ledger
    gc.collect()
    assert not folder.exists()


def test_a_scratch_ledger_may_be_kept_elsewhere(tmp_path):
    ledger = ScratchLedger(tmp_path / "book.db")
    open_pure(ledger, ledger.owner)
    assert ScratchLedger(tmp_path / "book.db").account("patients").testing
