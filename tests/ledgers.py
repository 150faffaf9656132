"""Ledgers for tests: the same account in both databases, and events with simple costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from discreet import Ledger, PrivacyUnit, events
from discreet.ledger import Account, Entry, OwnerKey
from tests.postgres import new_schema

UNIT = PrivacyUnit(column="id")
DIGEST = "5e" * 32


def pure(units: int) -> events.Event:
    """Return an event that costs exactly `units` / 1024 of a pure account."""
    return events.Pure(units / 1024)


def open_pure(
    ledger: Ledger, key: OwnerKey, *, units: int = 100, population: str = "patients", **terms: Any
) -> Account:
    """Open an account that holds exactly `units` / 1024."""
    facts = {"unit": UNIT, "measure": "pure", "epsilon": units / 1024, "delta": 0.0, "owner": key}
    return ledger.open(population, **(facts | terms))


def spend(ledger: Ledger, request: str, units: int = 1, *, analyst: str | None = None) -> Entry:
    """Charge `units` / 1024 to the patients' account."""
    return ledger.charge("patients", pure(units), purpose="test", request=request, analyst=analyst)[0]


@pytest.fixture
def book_key(tmp_path: Path) -> OwnerKey:
    """The owner's key."""
    return OwnerKey.create(tmp_path / "owner.key")


@pytest.fixture(params=["sqlite", "postgres"])
def book_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger may be made: in each of the two databases."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    return new_schema(request.getfixturevalue("postgres_server"))


@pytest.fixture
def book(book_url: str) -> Ledger:
    """A ledger without any account, in each of the two databases."""
    return Ledger(book_url)
