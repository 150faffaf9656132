"""Verification against an attacker who repairs every hash: what a row says must be true, too."""

from __future__ import annotations

import dataclasses

import pytest
from tests.ledgers import DIGEST, open_pure, spend

from discreet import events
from discreet.accounting import Cost
from discreet.errors import LedgerDamaged
from discreet.ledger import audit, entries
from discreet.testing import ScratchLedger

UNITS = 2**30


@pytest.fixture(scope="module")
def written():
    """open, share of bo, charge a, release a, raise, charge b by bo: one chain, and who signs it."""
    ledger = ScratchLedger()
    open_pure(ledger, ledger.owner, ceiling=300 / 1024)
    ledger.share("patients", "bo", epsilon=50 / 1024, owner=ledger.owner)
    ledger.released(spend(ledger, "a", 10), DIGEST)
    ledger.raise_budget("patients", epsilon=200 / 1024, owner=ledger.owner)
    spend(ledger, "b", 20, analyst="bo")
    return ledger.entries("patients"), ledger.owner


OPEN, SHARE, CHARGE, RELEASE, RAISE, CHARGE_BY_BO = range(6)


def repaired(chain, owner, changes, *, drop=(), repeat=None):
    """Return the chain with some bodies changed and everything after them hashed, and signed, anew."""
    bodies = [dict(entry.body) | changes.get(place, {}) for place, entry in enumerate(chain) if place not in drop]
    if repeat is not None:
        bodies.append(dict(chain[repeat].body))
    made, previous = [], entries.GENESIS
    for place, body in enumerate(bodies):
        body |= {"sequence": place, "previous": previous}
        text = entries.text_of(body)
        previous = entries.hash_of(text)
        signature = owner.sign(previous) if body["kind"] in ("open", "raise", "share") else None
        made.append(entries.Entry(body, previous, signature))
    return {"patients": made}


def test_the_chain_itself_verifies(written):
    chain, owner = written
    found = audit.verify(repaired(chain, owner, {}))
    assert found.entries == {"patients": 6}
    assert found.heads == {"patients": chain[-1].hash}


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (OPEN, {"capacity": [101 * UNITS, 0]}, "entry 0 .*capacity is larger"),
        (OPEN, {"capacity": [100 * UNITS, 1000]}, "entry 0 .*capacity is larger"),
        (OPEN, {"epsilon": 99 / 1024}, "entry 0 .*capacity is larger"),
        (OPEN, {"spent": [-5, 0]}, "entry 0 .*sum is wrong"),
        (OPEN, {"kind": "raise"}, "has no opening"),
        (OPEN, {"population": "staff"}, "entry 0 .*out of place"),
        (OPEN, {"measure": "gdp"}, "entry 0 .*not readable"),
        (OPEN, {"unit": {"colour": "red"}}, "entry 0 .*not readable"),
        (OPEN, {"public_key": "00"}, "entry 0 .*signature"),
        (SHARE, {"capacity": [51 * UNITS, 0]}, "entry 1 .*capacity is larger"),
        (SHARE, {"kind": "open"}, "entry 1 .*(opened once|not readable)"),
        (CHARGE, {"cost": [9 * UNITS, 0], "spent": [9 * UNITS, 0]}, "entry 2 .*not that of its event"),
        (CHARGE, {"event": events.to_dict(events.Pure(0.5))}, "entry 2 .*not that of its event"),
        (CHARGE, {"event": events.to_dict(events.Approximate(0.0, 1e-9))}, "entry 2 .*not that of its event"),
        (CHARGE, {"event": events.to_dict(events.NonPrivate())}, "entry 2 .*not readable"),
        (CHARGE, {"event": {"v": 1, "kind": "magic"}}, "entry 2 .*not readable"),
        (CHARGE, {"cost": [101 * UNITS, 0], "spent": [101 * UNITS, 0]}, "entry 2 .*exceeds the budget"),
        (CHARGE, {"cost": [-5, 0], "spent": [-5, 0], "event": events.to_dict(events.Pure(0))}, "entry 2 .*"),
        (CHARGE, {"spent": [9 * UNITS, 0]}, "entry 2 .*sum is wrong"),
        (CHARGE, {"spent": [10.0 * UNITS + 0.5, 0]}, "entry 2 .*sum is wrong"),
        (CHARGE, {"spent": "much"}, "entry 2 .*not readable"),
        (CHARGE, {"kind": "note"}, "entry 2 .*kind is unknown"),
        (CHARGE, {"request": None}, "entry 2 .*not readable"),
        (RELEASE, {"request": "z"}, "entry 3 .*never charged"),
        (RELEASE, {"charge": 1}, "entry 3 .*never charged"),
        (RELEASE, {"spent": [0, 0]}, "entry 3 .*sum is wrong"),
        (RAISE, {"epsilon": 100 / 1024, "capacity": [100 * UNITS, 0]}, "entry 4 .*no raise"),
        (RAISE, {"epsilon": 301 / 1024, "capacity": [301 * UNITS, 0]}, "entry 4 .*ceiling"),
        (RAISE, {"seen": 0, "chosen_after_release": False}, "entry 4 .*had been seen"),
        (RAISE, {"chosen_after_release": False}, "entry 4 .*had been seen"),
        (RAISE, {"spent": [0, 0]}, "entry 4 .*sum is wrong"),
        (CHARGE_BY_BO, {"share_spent": [19 * UNITS, 0]}, "entry 5 .*share's sum"),
        (CHARGE_BY_BO, {"analyst": "cy"}, "entry 5 .*not readable"),
        (CHARGE_BY_BO, {"request": "a"}, "entry 5 .*stands twice"),
    ],
)
def test_an_untruth_is_found_though_every_hash_fits(written, place, change, message):
    chain, owner = written
    with pytest.raises(LedgerDamaged, match=message):
        audit.verify(repaired(chain, owner, {place: change}))


@pytest.mark.parametrize(
    ("drop", "repeat", "message"),
    [
        ((CHARGE,), None, "never charged"),
        ((SHARE,), None, "never charged"),
        ((OPEN,), None, "no opening"),
        ((), RELEASE, "(released twice|sum is wrong)"),
        ((), CHARGE_BY_BO, "stands twice"),
    ],
)
def test_a_row_too_few_or_too_many_is_found(written, drop, repeat, message):
    chain, owner = written
    with pytest.raises(LedgerDamaged, match=message):
        audit.verify(repaired(chain, owner, {}, drop=drop, repeat=repeat))


def test_a_second_release_of_one_request_is_found(written):
    chain, owner = written
    again = {RELEASE: {}, 6: {}}
    made = repaired(chain, owner, again, repeat=RELEASE)["patients"]
    body = dict(made[-1].body) | {"spent": [30 * UNITS, 0]}
    text = entries.text_of(body)
    made[-1] = entries.Entry(body, entries.hash_of(text))
    with pytest.raises(LedgerDamaged, match=r"entry 6 .*released twice"):
        audit.verify({"patients": made})


def test_an_order_that_was_changed_is_found(written):
    chain, _ = written
    for one in range(1, len(chain) - 1):
        swapped = [*chain]
        swapped[one], swapped[one + 1] = swapped[one + 1], swapped[one]
        with pytest.raises(LedgerDamaged, match=f"entry {one} .*out of place"):
            audit.verify({"patients": swapped})


def test_a_signature_of_another_key_is_found(written):
    chain, _ = written
    stranger = ScratchLedger().owner
    for place in (OPEN, SHARE, RAISE):
        forged = [*chain]
        forged[place] = dataclasses.replace(chain[place], signature=stranger.sign(chain[place].hash))
        with pytest.raises(LedgerDamaged, match=f"entry {place} .*signature"):
            audit.verify({"patients": forged})


def test_what_two_machines_may_round_otherwise_is_no_damage(written):
    """The last bit of a logarithm may differ elsewhere; a tenth of a thousandth may not."""
    chain, owner = written
    one_more = {"capacity": [100 * UNITS + 1, 0]}
    audit.verify(repaired(chain, owner, {OPEN: one_more}))
    with pytest.raises(LedgerDamaged, match="capacity"):
        audit.verify(repaired(chain, owner, {OPEN: {"capacity": [100 * UNITS * 10001 // 10000, 0]}}))


def test_a_charge_above_its_cost_stays_valid(written):
    """A later accountant may prove a smaller cost; what was charged under the old one is no damage."""
    chain, owner = written
    cheaper = {"event": events.to_dict(events.Pure(5 / 1024))}
    assert audit.verify(repaired(chain, owner, {CHARGE: cheaper})).entries == {"patients": 6}
    assert chain[CHARGE].cost == Cost(10 * UNITS)
