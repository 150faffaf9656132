"""Entry: a stored row is read strictly, and what a long ledger repeats is read once."""

from __future__ import annotations

from collections import Counter

import pytest

from discreet import events
from discreet.accounting import Cost
from discreet.errors import LedgerDamaged
from discreet.explain import ran
from discreet.ledger import entries
from discreet.ledger.entries import Entry, hash_of, text_of


def row(sequence=1, event=None, text=None):
    """Return a stored charge, as a database would give it."""
    body = {"v": 1, "population": "patients", "sequence": sequence, "kind": "charge", "request": f"r{sequence}"}
    body |= {"event": events.to_dict(event or events.Pure(0.5)), "cost": [3, 0]}
    text = text_of(body) if text is None else text(text_of(body))
    return ["patients", sequence, "charge", f"r{sequence}", None, text, hash_of(text), None]


def test_a_stored_row_is_read():
    found = Entry.of(row(event=events.Gaussian(2.0)))
    assert (found.sequence, found.event, found.cost) == (1, events.Gaussian(2.0), Cost(3, 0))


@pytest.mark.parametrize("text", ["§ ", " §", "§\n", "§§", "§x", "[§]", "", "null", "{"])
def test_what_is_no_canonical_text_is_damage_though_its_hash_agrees(text):
    with pytest.raises(LedgerDamaged):
        Entry.of(row(text=lambda right: text.replace("§", right)))


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_a_cost_of_another_type_is_not_taken_for_one_read_before(value):
    kept = [Entry({"cost": [1, 0]}, ""), Entry({"cost": [value, 0]}, "")]
    assert type(kept[0].cost.loss) is int
    assert type(kept[1].cost.loss) is type(value)


def test_an_event_is_read_once_however_often_it_was_charged(monkeypatch):
    entries._event.cache_clear()
    calls, read = [], events.from_dict
    monkeypatch.setattr(events, "from_dict", lambda data: calls.append(data) or read(data))
    kinds = [events.Pure(0.1), events.Gaussian(3.0), events.Repeated(2, events.Pure(0.1))]
    charges = [Entry.of(row(number, kinds[number % 3])) for number in range(1, 301)]
    held = [charge.event for charge in charges]
    assert len(calls) == 3
    assert Counter(held) == dict.fromkeys(kinds, 100)
    assert set(ran.composed(held).events) == {events.Repeated(100, kind) for kind in kinds}


def test_equal_events_count_together_whichever_objects_they_are():
    held = [events.Pure(0.25), events.Gaussian(2.0), events.Pure(0.25), events.Pure(float("0.25"))]
    assert ran.composed(iter(held)) == events.Composed((events.Repeated(3, events.Pure(0.25)), events.Gaussian(2.0)))
    assert ran.composed([]) == events.Composed(())
