"""A renewed account against a model in a few lines: no history of renewals and charges passes a period's capacity."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from discreet import PrivacyUnit, events
from discreet.accounting import Cost
from discreet.errors import BudgetExceeded, InvalidInput
from discreet.testing import ScratchLedger
from tests.postgres import new_schema

UNIT = 2**30  # what 1/1024 of pure ε costs
PERIODS = st.sampled_from(["a", "b", "c"])
REQUESTS = st.sampled_from("pqrstuvw")


@dataclass
class Model:
    """What must be true, kept in plain integers."""

    room: int
    whole: int = 0
    charged: bool = False
    rooms: dict[str, int] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    requests: dict[str, tuple[tuple[str, ...], int]] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    entries: int = 1


class RenewalMachine(RuleBasedStateMachine):
    """Random histories of one account and its periods."""

    url: str | None = None  # of a server; None: SQLite

    def __init__(self):
        super().__init__()
        self.ledger = ScratchLedger(None if self.url is None else new_schema(self.url))

    @initialize(room=st.integers(1, 40))
    def opening(self, room):
        unit = PrivacyUnit(column="id", per="month")
        self.ledger.open("p", unit=unit, measure="pure", epsilon=room / 1024, delta=0.0, owner=self.ledger.owner)
        self.model = Model(room)

    @rule(period=PERIODS)
    def renew(self, period):
        model = self.model
        if model.charged or period in model.rooms:
            with pytest.raises(InvalidInput, match=r"for all periods together|one budget"):
                self.ledger.renew("p", period=period, owner=self.ledger.owner)
            return
        self.ledger.renew("p", period=period, owner=self.ledger.owner)
        model.rooms[period], model.spent[period] = model.room, 0
        model.entries += 2

    @rule(request=REQUESTS, loss=st.integers(0, 15), periods=st.lists(PERIODS, max_size=3))
    def charge(self, request, loss, periods):
        model, names = self.model, tuple(sorted(set(periods)))

        def ask():
            event = events.Pure(loss / 1024)
            return self.ledger.charge("p", event, purpose="test", request=request, periods=periods)

        if any(name not in model.rooms for name in names):
            with pytest.raises(InvalidInput, match="was not renewed for"):
                ask()
            return
        if not names and model.rooms:
            with pytest.raises(InvalidInput, match="each period pays for itself"):
                ask()
            return
        before = self._before(request, names)
        if before is not None:
            if before != (names, loss):
                with pytest.raises(InvalidInput, match=r"another event|charged to"):
                    ask()
            elif f"{request} {names}" in model.released:
                assert ask()[1].digest == "ab" * 32
            else:
                with pytest.raises(InvalidInput, match="never released"):
                    ask()
            return
        rooms = [model.rooms[name] - model.spent[name] for name in names] or [model.room - model.whole]
        if loss > min(rooms):
            with pytest.raises(BudgetExceeded, match="Nothing was spent"):
                ask()
            return
        entry, release = ask()
        assert release is None
        assert entry.cost == Cost(loss * UNIT)
        model.requests[f"{request} {names[0] if names else ''}"] = (names, loss)
        for name in names:
            model.spent[name] += loss
            model.requests[f"{request} {name}"] = (names, loss)
        if not names:
            model.whole, model.charged = model.whole + loss, True
        model.entries += max(1, len(names))

    def _before(self, request, names):
        """Return what a request was charged for in the first of these accounts that knows it."""
        return next((self.model.requests[key] for name in names or ("",)
                     if (key := f"{request} {name}") in self.model.requests), None)  # fmt: skip

    @rule(request=REQUESTS, period=PERIODS)
    def release(self, request, period):
        found = self.model.requests.get(f"{request} {period}")
        if found is None or f"{request} {found[0]}" in self.model.released:
            return
        charge = next(
            entry for entry in self.ledger.entries(f"p@{period}") if (entry.kind, entry.request) == ("charge", request)
        )
        self.ledger.released(charge, "ab" * 32)
        self.model.released.add(f"{request} {found[0]}")
        self.model.entries += len(found[0])

    @rule(period=PERIODS, room=st.integers(1, 60))
    def raising(self, period, room):
        if period not in self.model.rooms:
            return
        if room <= self.model.rooms[period]:
            with pytest.raises(InvalidInput, match="larger"):
                self.ledger.raise_budget(f"p@{period}", epsilon=room / 1024, owner=self.ledger.owner)
            return
        self.ledger.raise_budget(f"p@{period}", epsilon=room / 1024, owner=self.ledger.owner)
        self.model.rooms[period] = room
        self.model.entries += 1

    @invariant()
    def agrees(self):
        if not hasattr(self, "model"):
            return
        model, base = self.model, self.ledger.account("p")
        assert {item.period for item in base.renewals} == set(model.rooms)
        assert base.spent == Cost(model.whole * UNIT)
        assert not (model.rooms and model.whole), "an account that was charged as a whole was renewed"
        for period, room in model.rooms.items():
            account = self.ledger.account(f"p@{period}")
            assert account.spent == Cost(model.spent[period] * UNIT)
            assert account.spent <= account.capacity == Cost(room * UNIT)
        if model.rooms:
            found = self.ledger.total("p")
            assert math.isclose(found.person.epsilon, sum(model.spent.values()) / 1024, rel_tol=1e-12)
            assert found.person.epsilon <= found.most.epsilon

    def teardown(self):
        if hasattr(self, "model"):
            assert sum(self.ledger.verify().entries.values()) == self.model.entries


def test_sqlite_agrees_with_the_model():
    run_state_machine_as_test(RenewalMachine, settings=settings(max_examples=30, stateful_step_count=25))


def test_postgres_agrees_with_the_model(postgres_server):
    machine = type("PostgresMachine", (RenewalMachine,), {"url": postgres_server})
    run_state_machine_as_test(machine, settings=settings(max_examples=10, stateful_step_count=20))
