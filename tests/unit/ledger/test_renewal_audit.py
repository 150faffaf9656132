"""Verification of accounts that speak of one another, against an attacker who repairs every hash and has the key."""

from __future__ import annotations

import pytest
from tests.ledgers import DIGEST, pure

from discreet import PrivacyUnit, events
from discreet.errors import LedgerDamaged
from discreet.ledger import audit, entries
from discreet.testing import ScratchLedger

UNITS = 2**30
MAY, JUNE = "patients@2024-05", "patients@2024-06"
OWNERS = ("open", "raise", "share", "renew")


@pytest.fixture(scope="module")
def written():
    """The chains of patients (open, share, renew, renew), May (open, share, charge, release, charge) and June."""
    ledger = ScratchLedger()
    unit = PrivacyUnit(column="id", per="month")
    ledger.open("patients", unit=unit, measure="pure", epsilon=100 / 1024, delta=0.0, owner=ledger.owner)
    ledger.share("patients", "bo", epsilon=50 / 1024, owner=ledger.owner)
    for month in ("2024-05", "2024-06"):
        ledger.renew("patients", period=month, owner=ledger.owner)
    both = ["2024-05", "2024-06"]
    ledger.released(ledger.charge("patients", pure(10), purpose="t", request="a", periods=both)[0], DIGEST)
    ledger.charge("patients", pure(5), purpose="t", request="b", periods=both[:1], analyst="bo")
    return {name: ledger.entries(name) for name in ledger.populations()}, ledger.owner


def repaired(written, changes=None, *, drop=(), keep=None):
    """Return the chains with some bodies changed or dropped, and everything hashed, linked and signed anew."""
    chains, owner = written
    made: dict[str, list[entries.Entry]] = {}
    for name, chain in chains.items():
        if keep is not None and name not in keep:
            continue
        found, previous = [], entries.GENESIS
        for place, entry in enumerate(chain):
            if (name, place) in drop:
                continue
            body = {**entry.body, **(changes or {}).get((name, place), {})}
            body |= {"sequence": len(found), "previous": previous}
            if "renewal" in body and "renewal" not in (changes or {}).get((name, place), {}):
                renewals = [one for one in made.get("patients", []) if one.kind == "renew"]
                body["renewal"] = next((r.hash for r in renewals if r.body["account"] == name), "")
            text = entries.text_of(body)
            previous = entries.hash_of(text)
            signature = owner.sign(previous) if body["kind"] in OWNERS else None
            found.append(entries.Entry(body, previous, signature))
        made[name] = found
    return made


def test_the_chains_themselves_verify(written):
    assert audit.verify(repaired(written)).entries == {"patients": 4, MAY: 5, JUNE: 4}
    assert repaired(written) == written[0]


CAPACITY = {"capacity": [200 * UNITS, 0], "epsilon": 200 / 1024}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({("patients", 2): {"account": JUNE}}, "entry 2 of 'patients': it renews for another account"),
        ({("patients", 2): {"period": {"type": "text", "value": "2024-06"}, "account": JUNE}}, "one budget"),
        (
            {("patients", 2): {"period": {"type": "integer", "value": "5"}, "account": "patients@5"}},
            "are of type integer",
        ),
        ({("patients", 3): {"period": {"type": "integer", "value": "05"}}}, "entry 3 of 'patients' is not readable"),
        ({("patients", 2): {"spent": [5, 0]}}, "entry 2 of 'patients': its sum is wrong"),
        ({("patients", 0): {"unit": PrivacyUnit(column="id").to_dict()}}, "no column says which period"),
        ({(MAY, 0): CAPACITY}, "the terms of 'patients@2024-05' are not those of 'patients'"),
        ({(MAY, 0): {"unit": PrivacyUnit(column="id", per="year").to_dict()}}, "terms of 'patients@2024-05'"),
        ({(MAY, 0): {"period": {"type": "text", "value": "2024-07"}}}, "no entry of 'patients' renews it"),
        ({(MAY, 0): {"period": {"type": "date", "value": "2024-05-01"}}}, "no entry of 'patients' renews it"),
        ({(MAY, 0): {"renewal": "ab" * 32}}, "no entry of 'patients' renews it"),
        ({(MAY, 0): {"renews": "staff"}}, r"('patients' was renewed for|renews 'staff')"),
        ({(MAY, 2): {"accounts": [MAY]}}, r"does not stand in all its accounts"),
        ({(MAY, 2): {"accounts": [JUNE, MAY]}}, r"does not stand in all its accounts"),
        ({(MAY, 2): {"accounts": [JUNE]}}, "entry 2 .*stands in an account that it does not name"),
        ({(MAY, 2): {"accounts": [MAY, "patients@2024-07"]}}, "does not stand in all its accounts"),
        (
            {
                (MAY, 2): {"cost": [5 * UNITS, 0], "spent": [5 * UNITS, 0], "event": events.to_dict(pure(5))},
                (MAY, 3): {"spent": [5 * UNITS, 0]},
                (MAY, 4): {"spent": [10 * UNITS, 0]},
            },
            "does not stand in all its accounts",
        ),
        ({(JUNE, 3): {"digest": "00" * 32}}, "the request a of .* is not released alike"),
    ],
)
def test_an_untruth_is_found_though_every_hash_fits(written, changes, message):
    with pytest.raises(LedgerDamaged, match=message):
        audit.verify(repaired(written, changes))


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ([("patients", 2)], "no entry of 'patients' renews it for the period of 'patients@2024-05'"),
        ([(JUNE, 2), (JUNE, 3)], "does not stand in all its accounts"),
        ([(JUNE, 3)], "not released alike"),
    ],
)
def test_half_of_what_stands_in_two_accounts_is_found(written, drop, message):
    changes = {(JUNE, 3): {"spent": [0, 0]}} if (JUNE, 2) in drop else {}
    with pytest.raises(LedgerDamaged, match=message):
        audit.verify(repaired(written, changes, drop=drop))


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (["patients", MAY], "'patients' was renewed for '2024-06', and 'patients@2024-06' is not that account"),
        ([MAY, JUNE], "renews 'patients', which is not there"),
    ],
)
def test_an_account_that_is_gone_is_found(written, keep, message):
    with pytest.raises(LedgerDamaged, match=message):
        audit.verify(repaired(written, keep=keep))


@pytest.mark.parametrize(
    ("kind", "facts", "message"),
    [
        (
            "charge",
            {"purpose": "t", "request": "w", "event": events.to_dict(pure(0)), "cost": [0, 0]},
            "is not charged",
        ),
        ("share", {"analyst": "cy", "epsilon": 0.01, "capacity": [UNITS, 0]}, "terms .* are fixed"),
        ("raise", {**CAPACITY, "seen": 0, "chosen_after_release": False}, "terms .* are fixed"),
        ("renew", {"period": {"type": "text", "value": "2024-05"}, "account": MAY}, "one budget"),
    ],
)
def test_after_a_renewal_nothing_else_stands_in_the_account(written, kind, facts, message):
    chains, owner = written
    last = chains["patients"][-1]
    body = {"v": 1, "population": "patients", "sequence": 4, "kind": kind, "when": last.when, "who": "x"}
    body |= {"previous": last.hash, "spent": [0, 0], **facts}
    digest = entries.hash_of(entries.text_of(body))
    more = entries.Entry(body, digest, owner.sign(digest) if kind in OWNERS else None)
    with pytest.raises(LedgerDamaged, match=f"entry 4 of 'patients'.*{message}"):
        audit.verify({**chains, "patients": [*chains["patients"], more]})


def test_what_was_charged_cannot_have_been_renewed(written):
    chains, owner = written
    opening = chains["patients"][0]
    body = {"v": 1, "population": "patients", "sequence": 1, "kind": "charge", "when": opening.when, "who": "x"}
    body |= {"previous": opening.hash, "spent": [0, 0], "purpose": "t", "request": "w"}
    body |= {"event": events.to_dict(pure(0)), "cost": [0, 0]}
    charge = entries.Entry(body, entries.hash_of(entries.text_of(body)))
    body = {**chains["patients"][2].body, "sequence": 2, "previous": charge.hash}
    digest = entries.hash_of(entries.text_of(body))
    renewal = entries.Entry(body, digest, owner.sign(digest))
    with pytest.raises(LedgerDamaged, match="entry 2 of 'patients': 1 charge was made to 'patients'"):
        audit.verify({"patients": [opening, charge, renewal]})
