"""A training run on an account of one Rényi order, end to end on a real ledger."""

import math

import pytest

import discreet as dp
from discreet import accounting, events
from discreet.accounting.engines.renyi import renyi_bound
from discreet.errors import UnsupportedEvent
from discreet.ledger import OwnerKey

STEP = events.PoissonSampled(0.001, events.Relation.ADD_REMOVE, events.Gaussian(1.0))
RUN = events.Repeated(10_000, STEP)


def opened(tmp_path, measure):
    ledger = dp.Ledger(tmp_path / "ledger.db")
    owner = OwnerKey.create(tmp_path / "owner.key")
    ledger.open("people", unit=dp.PrivacyUnit(column="id"), measure=measure, epsilon=8.0, delta=1e-6, owner=owner)
    return ledger


def test_a_run_is_charged_by_its_certified_divergence(tmp_path):
    ledger = opened(tmp_path, "renyi(8.0)")
    entry, _ = ledger.charge("people", RUN, purpose="a model", request="m1")
    once = accounting.loss(STEP, accounting.Measure("renyi", 8.0))
    assert once.loss >= renyi_bound(STEP, 8.0)
    assert entry.cost == accounting.Cost(math.ceil(10_000 * once.loss * 2**40), 0)
    known = renyi_bound.cache_info().misses
    again, _ = ledger.charge("people", RUN, purpose="the same again", request="m2")
    assert again.cost == entry.cost
    assert renyi_bound.cache_info().misses == known  # not worked out again
    assert ledger.verify().entries == {"people": 3}
    assert accounting.profile(events.Repeated(2, RUN)).epsilon(1e-6).upper <= ledger.spent("people").epsilon <= 8.0


def test_a_zcdp_account_refuses_a_sampled_gaussian(tmp_path):
    ledger = opened(tmp_path, "zcdp")
    with pytest.raises(UnsupportedEvent, match="no known cost"):
        ledger.charge("people", RUN, purpose="a model", request="m1")
