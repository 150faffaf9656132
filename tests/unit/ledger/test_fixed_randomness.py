"""discreet.testing's datasets repeat themselves, and only a ledger for tests charges for them."""

from __future__ import annotations

import duckdb
import pytest
from tests.ledgers import UNIT

import discreet as dp
from discreet import Ledger
from discreet.errors import InvalidInput
from discreet.testing import ScratchLedger, with_fixed_randomness


def make(ledger, key, folder):
    ledger.open("patients", unit=UNIT, measure="zcdp", epsilon=10.0, delta=1e-6, owner=key)
    rows = duckdb.connect()
    rows.execute("CREATE TABLE visits AS SELECT range AS id FROM range(50)")
    return dp.Dataset(
        rows,
        name="visits",
        version="1",
        unit=dp.PrivacyUnit(column="id", max_rows=1),
        domain=dp.Domain(id="integer"),
        ledger=ledger,
        population="patients",
        releases=folder,
    )


def count(dataset):
    release = dp.sql.query(dataset, "SELECT COUNT(*) AS n FROM visits", epsilon=0.01, delta=1e-8, name="n")
    return release.value.to_pylist()[0]["n"], release


def test_the_same_seed_gives_the_same_answer(tmp_path):
    found = {}
    for run, seed in enumerate((1, 1, 2, 3, 4)):
        ledger = ScratchLedger()
        dataset = make(ledger, ledger.owner, tmp_path / str(run))
        fixed = with_fixed_randomness(dataset, seed)
        assert dataset.rng().secure
        assert (fixed.name, fixed.unit, fixed.ledger, fixed.source) == ("visits", dataset.unit, ledger, dataset.source)
        value, release = count(fixed)
        assert "test" in release.provenance
        assert found.setdefault(seed, value) == value
    assert len(set(found.values())) > 1  # noise of hundreds: four seeds do not agree by chance


def test_a_real_ledger_does_not_charge_for_it(tmp_path, book_key):
    ledger = Ledger(tmp_path / "ledger.db")
    fixed = with_fixed_randomness(make(ledger, book_key, tmp_path / "releases"), 1)
    with pytest.raises(InvalidInput, match="protects nobody"):
        count(fixed)
    assert len(ledger.entries("patients")) == 1
