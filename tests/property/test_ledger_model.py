"""The ledger against a model in a few lines: whatever owners and analysts do, both agree."""

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

UNIT, DELTA_UNIT = 2**30, 2**40  # costs of the events below: pure 1/1024, delta 2^-20
ATOMS = 5


@dataclass
class Model:
    """What must be true, kept in plain integers."""

    room: int
    spent: int = 0
    atoms: int = 0
    requests: dict[str, tuple[int, int]] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    shares: dict[str, list[int]] = field(default_factory=dict)  # [room, spent, atoms]
    length: int = 1


class LedgerMachine(RuleBasedStateMachine):
    """Random histories of one account."""

    url: str | None = None  # of a server; None: SQLite

    def __init__(self):
        super().__init__()
        self.ledger = ScratchLedger(None if self.url is None else new_schema(self.url))

    @initialize(room=st.integers(1, 60))
    def opening(self, room):
        terms = {"unit": PrivacyUnit(column="id"), "measure": "pure", "delta": ATOMS * 2.0**-20}
        self.ledger.open("p", epsilon=room / 1024, owner=self.ledger.owner, **terms)
        self.model = Model(room)

    @rule(
        request=st.sampled_from("abcdefgh"),
        loss=st.integers(0, 25),
        atoms=st.integers(0, 2),
        analyst=st.sampled_from([None, None, "bo", "cy"]),
    )
    def charge(self, request, loss, atoms, analyst):
        model = self.model
        event = events.Approximate(loss / 1024, atoms * 2.0**-20)

        def ask():
            return self.ledger.charge("p", event, purpose="test", request=request, analyst=analyst)

        if request in model.requests:
            if model.requests[request] != (loss, atoms):
                with pytest.raises(InvalidInput, match="another event"):
                    ask()
            elif request in model.released:
                _, release = ask()
                assert release.digest == "ab" * 32
            else:
                with pytest.raises(InvalidInput, match="never released"):
                    ask()
            return
        share = None if analyst is None else model.shares.get(analyst)
        if analyst is not None and share is None:
            with pytest.raises(InvalidInput, match="no share"):
                ask()
            return
        fits = model.spent + loss <= model.room and model.atoms + atoms <= ATOMS
        if share is not None:
            fits = fits and share[1] + loss <= share[0] and share[2] + atoms <= ATOMS
            if share[1] > share[0]:  # cut below what was spent: nothing is left, which holds a cost of nothing
                fits = loss == 0 and model.atoms + atoms <= ATOMS and share[2] + atoms <= ATOMS
        assert self.ledger.affords("p", event, analyst=analyst) == fits
        if not fits:
            with pytest.raises(BudgetExceeded, match="Nothing was spent"):
                ask()
            return
        entry, release = ask()
        assert release is None
        assert entry.cost == Cost(loss * UNIT, atoms * DELTA_UNIT)
        model.requests[request] = (loss, atoms)
        model.spent, model.atoms, model.length = model.spent + loss, model.atoms + atoms, model.length + 1
        if share is not None:
            share[1], share[2] = share[1] + loss, share[2] + atoms

    @rule(request=st.sampled_from("abcdefgh"))
    def release(self, request):
        entry = self.ledger.request("p", request)
        assert (entry is None) == (request not in self.model.requests)
        if entry is None or entry.kind == "release":
            return
        self.ledger.released(entry, "ab" * 32)
        self.model.released.add(request)
        self.model.length += 1

    @rule(room=st.integers(1, 90))
    def raising(self, room):
        if room <= self.model.room:
            with pytest.raises(InvalidInput, match="larger"):
                self.ledger.raise_budget("p", epsilon=room / 1024, owner=self.ledger.owner)
            return
        account = self.ledger.raise_budget("p", epsilon=room / 1024, owner=self.ledger.owner)
        assert account.raises[-1].seen == len(self.model.requests)
        self.model.room = room
        self.model.length += 1

    @rule(analyst=st.sampled_from(["bo", "cy"]), room=st.integers(1, 40))
    def sharing(self, analyst, room):
        self.ledger.share("p", analyst, epsilon=room / 1024, owner=self.ledger.owner)
        self.model.shares.setdefault(analyst, [0, 0, 0])[0] = room
        self.model.length += 1

    @invariant()
    def agrees(self):
        if not hasattr(self, "model"):
            return
        account, model = self.ledger.account("p"), self.model
        assert account.spent == Cost(model.spent * UNIT, model.atoms * DELTA_UNIT)
        assert account.spent <= account.capacity == Cost(model.room * UNIT, ATOMS * DELTA_UNIT)
        assert account.length == model.length
        found = {name: (s.capacity.loss // UNIT, s.spent.loss // UNIT) for name, s in account.shares.items()}
        assert found == {name: (room, spent) for name, (room, spent, _) in model.shares.items()}
        assert math.isclose(self.ledger.spent("p").epsilon, model.spent / 1024, rel_tol=1e-12)

    def teardown(self):
        if hasattr(self, "model"):
            found = self.ledger.verify()
            assert found.entries == {"p": self.model.length}
            assert found.heads["p"] == self.ledger.head("p")


def test_sqlite_agrees_with_the_model():
    run_state_machine_as_test(LedgerMachine, settings=settings(max_examples=40, stateful_step_count=30))


def test_postgres_agrees_with_the_model(postgres_server):
    machine = type("PostgresMachine", (LedgerMachine,), {"url": postgres_server})
    run_state_machine_as_test(machine, settings=settings(max_examples=12, stateful_step_count=25))
