"""Release and Shelf: written once, whole, and recognised again."""

import json
from pathlib import Path

import pyarrow
import pytest

from discreet import events
from discreet.errors import DataFailure, InvalidInput
from discreet.profiles import Guarantee
from discreet.release import RECORD, VALUE, Internal, Release, Shelf, check_name
from discreet.units import PrivacyUnit

REQUEST = "ab" * 16


def release(**changes) -> Release:
    facts = {
        "name": "n",
        "value": pyarrow.table({"n": [3, 4]}),
        "event": events.ZCDP(0.125),
        "guarantee": Guarantee(PrivacyUnit(column="id"), 1.0, 1e-6, "zCDP"),
        "accuracy": {"n": {"se": 2.0, "half_width": float("inf")}},
        "facts": {"keys": ("a", "b")},
        "provenance": {"version": "1"},
        "entry": {"population": "p", "sequence": 2, "hash": "00", "request": REQUEST},
    }
    return Release(**(facts | changes))


def test_round_trip(tmp_path):
    shelf = Shelf(tmp_path)
    digest = shelf.put(release())
    again = shelf.get("n", REQUEST, digest)
    assert again.value.equals(release().value)
    assert again.event == events.ZCDP(0.125)
    assert again.guarantee == release().guarantee
    assert again.to_dict() == json.loads(json.dumps(release().to_dict()))


def test_files_stand_beside_the_value_and_are_recognised(tmp_path):
    shelf = Shelf(tmp_path)
    digest = shelf.put(release(files={"model.safetensors": b"tensors"}))
    assert shelf.get("n", REQUEST, digest).files == {"model.safetensors": b"tensors"}
    held = tmp_path / "n" / REQUEST / "model.safetensors"
    held.write_bytes(b"others!")
    with pytest.raises(InvalidInput, match="its hash differs"):
        shelf.get("n", REQUEST, digest)
    held.unlink()
    with pytest.raises(InvalidInput, match="holds no whole release"):
        shelf.get("n", REQUEST, digest)


def test_what_is_not_finite_becomes_null_not_an_error(tmp_path):
    Shelf(tmp_path).put(release())
    record = json.loads((tmp_path / "n" / REQUEST / RECORD).read_text())
    assert record["accuracy"]["n"]["half_width"] is None


def test_a_release_is_never_overwritten(tmp_path):
    shelf = Shelf(tmp_path)
    digest = shelf.put(release())
    with pytest.raises(DataFailure, match=r"exists already\.\n  The charge stands"):
        shelf.put(release(value=pyarrow.table({"n": [9, 9]})))
    assert shelf.get("n", REQUEST, digest).value["n"].to_pylist() == [3, 4]


@pytest.mark.parametrize("name", [RECORD, VALUE])
def test_an_altered_release_is_refused(tmp_path, name):
    shelf = Shelf(tmp_path)
    digest = shelf.put(release())
    path = tmp_path / "n" / REQUEST / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InvalidInput):
        shelf.get("n", REQUEST, digest)


def test_a_release_that_is_gone_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="is gone"):
        Shelf(tmp_path).get("n", REQUEST, "00")


def test_a_half_written_release_leaves_no_trace(tmp_path, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DataFailure, match="No space left"):
        Shelf(tmp_path).put(release())
    assert list((tmp_path / "n").iterdir()) == []


def test_a_shelf_that_cannot_be_written_is_refused_beforehand(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"):
        Shelf(tmp_path / "file" / "releases").ready("n")
    with pytest.raises(InvalidInput, match="cannot be written"):
        Shelf(tmp_path).ready("file")
    Shelf(tmp_path).ready("n")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("value", [{"x": pyarrow.array([{}], pyarrow.struct([]))}, {"x": [1]}])
def test_whatever_hinders_writing_says_that_the_charge_stands(tmp_path, monkeypatch, value):
    """Arrow has types that Parquet lacks, and texts that no file can hold."""
    broken = release(value=pyarrow.table(value), provenance={"version": "\ud800"})
    with pytest.raises(DataFailure, match="The charge stands"):
        Shelf(tmp_path).put(broken)


@pytest.mark.parametrize(
    "record", ["{}", '{"v": 1}', '{"v": 1, "value": []}', "[]", '{"v": 1, "value": {"sha256": 0}}']
)
def test_a_record_that_is_not_whole_is_refused(tmp_path, record):
    Shelf(tmp_path).put(release())
    (tmp_path / "n" / REQUEST / RECORD).write_text(record)
    with pytest.raises(InvalidInput):
        Release.read(tmp_path / "n" / REQUEST)


def test_a_stranger_on_the_shelf_is_found(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.check("p", lambda _: pytest.fail("an empty shelf needs no ledger"))
    shelf.put(release())
    shelf.check("p", lambda _: {REQUEST})
    shelf.check("others", lambda _: set())
    with pytest.raises(InvalidInput, match=r"holds a release of 'p' that this ledger never charged"):
        shelf.check("p", lambda _: set())


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a b", "é", "-x", "x" * 101, None, 7])
def test_names_that_could_leave_the_shelf_are_refused(name):
    with pytest.raises(InvalidInput):
        check_name(name)


def test_repr_shows_no_value():
    assert repr(release()) == "Release('n', 2 rows, ε = 1, δ = 1e-06 per id (add_remove))"


class Found(Internal):
    """Stands for an audit's finding."""


@pytest.mark.parametrize(
    "changes",
    [
        {"value": Found()},
        {"value": [1, Found()]},
        {"value": {"a": {"b": (0, Found())}}},
        {"accuracy": {"n": Found()}},
        {"facts": {"keys": [{"x": Found()}]}},
        {"provenance": {"audit": Found()}},
        {"facts": {"audit": {"internal": Found.note, "trials": 3}}},
        {"facts": {"audit": f"refuted: ε = 1\n{Found.note}"}},
    ],
)
def test_what_is_internal_cannot_be_in_a_release(changes):
    with pytest.raises(InvalidInput, match="computed from raw data outside of the door"):
        release(**changes)
