"""Planted bugs in the door. Each check is run on the bug (must fail) and on the good code (must pass)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from discreet import Dataset, errors
from discreet.errors import DataFailure, InvalidInput
from discreet.ledger import Ledger, OwnerKey
from discreet.release import Shelf
from tests.unit.test_dataset import UNIT, Count, make
from tests.unit.test_errors import chain_text

# --- the checks -----------------------------------------------------------------------------


def charged_before_read(dataset: Dataset) -> None:
    dataset.reveal(Count(), name="n", purpose="test")
    assert dataset.source.reads == [1], "rows were read before the charge was durable"


def one_draw_for_one_charge(dataset: Dataset) -> None:
    first = dataset.reveal(Count(), name="n", purpose="test")
    again = [dataset.reveal(Count(), name="n", purpose="test") for _ in range(5)]
    assert all(release.value.equals(first.value) for release in again), "a repeated request drew fresh noise"
    assert len(dataset.source.reads) == 1, "a repeated request read the rows again"


def no_draw_after_a_crash(dataset: Dataset) -> None:
    with pytest.raises(DataFailure):
        dataset.reveal(Count(crash=ValueError), name="n", purpose="test")
    refused = False
    try:
        dataset.reveal(Count(), name="n", purpose="test")
    except InvalidInput:
        refused = True
    assert refused, "a request that was charged but not released was run again"


def silent_failure(dataset: Dataset) -> None:
    shown = ""
    try:
        dataset.reveal(Count(crash=ValueError), name="n", purpose="test")
    except Exception as error:
        shown = chain_text(error)
    assert shown, "the failure went unnoticed"
    assert "private [1, 2, 3]" not in shown, "a private value is shown"


# --- the bugs -------------------------------------------------------------------------------


def reads_first(self, event, work, *, purpose, name, request, periods=()):
    release = work(self.source, next(iter(self.ledger.entries(self.population))))
    entry, _ = self.ledger.charge(self.population, event, purpose=purpose, request=request)
    self.ledger.released(entry, Shelf(self.releases).put(_renamed(release, request)))
    return release


def _renamed(release, request):
    return dataclasses.replace(release, entry={**release.entry, "request": request})


def draws_again(self, event, work, *, purpose, name, request, periods=()):
    entry, earlier = self.ledger.charge(self.population, event, purpose=purpose, request=request)
    release = errors.sealed(work, self.source, entry)
    if earlier is None:
        self.ledger.released(entry, Shelf(self.releases).put(release))
    return release


def forgets_the_crash(self, event, work, *, purpose, name, request, periods=()):
    try:
        entry, _ = self.ledger.charge(self.population, event, purpose=purpose, request=request)
    except InvalidInput:
        entry = self.ledger.request(self.population, request)
    release = errors.sealed(work, self.source, entry)
    self.ledger.released(entry, Shelf(self.releases).put(release))
    return release


def raises_from_none(work: Callable, *args):
    try:
        return work(*args)
    except BaseException:
        raise DataFailure("failed", state="The charge stands.") from None


def quotes_the_cause(work: Callable, *args):
    message = None
    try:
        return work(*args)
    except BaseException as error:
        message = str(error)
    raise DataFailure(f"failed: {message}", state="The charge stands.")


LEND_BUGS = [
    (reads_first, charged_before_read),
    (draws_again, one_draw_for_one_charge),
    (forgets_the_crash, no_draw_after_a_crash),
]
SEAL_BUGS = [raises_from_none, quotes_the_cause]
CHECKS = [charged_before_read, one_draw_for_one_charge, no_draw_after_a_crash, silent_failure]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    ledger = Ledger(tmp_path / "ledger.db")
    owner = OwnerKey.create(tmp_path / "owner.key")
    ledger.open("patients", unit=UNIT, measure="zcdp", epsilon=1.0, delta=1e-6, owner=owner)
    return make(ledger, tmp_path)


@pytest.mark.parametrize("check", CHECKS)
def test_the_good_door_is_cleared(dataset, check):
    check(dataset)


@pytest.mark.parametrize(("bug", "check"), LEND_BUGS)
def test_a_broken_door_is_caught(dataset, monkeypatch, bug, check):
    monkeypatch.setattr(Dataset, "lend", bug)
    with pytest.raises(AssertionError):
        check(dataset)


@pytest.mark.parametrize("bug", SEAL_BUGS)
def test_a_broken_seal_is_caught(dataset, monkeypatch, bug):
    monkeypatch.setattr(errors, "sealed", bug)
    with pytest.raises(AssertionError, match="private value"):
        silent_failure(dataset)
