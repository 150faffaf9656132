"""Step and Done: one release of a plan, and one that stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from discreet import accounting
from discreet.errors import InvalidInput
from discreet.ledger import Account, Entry, remaining_epsilon
from discreet.project.read import Planned
from discreet.project.training import PRIVATE, Training
from discreet.release import Release, Shelf

if TYPE_CHECKING:
    from discreet.dataset import Dataset
    from discreet.project.asking import Asked
    from discreet.sql import Forecast, QueryPlan

State = Literal["new", "released", "begun", "charged", "lost", "refused"]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One release of the plan.

    Args:
        release: As declared.
        state: new: it will be charged; released: it was, and is re-used for nothing; begun: a training
            that was charged and interrupted, and goes on for nothing; charged: it
            was charged and never released (a crash), and needs another attempt; lost: it was
            released, but its folder is gone or was altered; refused: the account would not hold it
            any more when its turn comes.
        plan: The bound query, with mechanism, event, expected errors; or the bound training.
        cost: What it costs in the account's measure; zero when it was charged before.
        population: The account that pays.
        left: The largest epsilon one more release could have afterwards, at the account's delta.
        request: The id of the question.
    """

    release: Planned | Training
    state: State
    plan: Asked
    cost: accounting.Cost
    population: str
    left: float
    request: str

    @property
    def query(self) -> QueryPlan | None:
        """The bound query; None if a model is trained."""
        return None if isinstance(self.release, Training) else cast("QueryPlan", self.plan)

    @property
    def forecasts(self) -> Sequence[Forecast]:
        """The expected error of each column; none of a model, which depends on the rows."""
        return () if self.query is None else self.query.forecasts


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """One release that stands.

    Args:
        release: The release.
        reused: Whether it was there before; then nothing was spent.
        place: Its folder.
    """

    release: Release
    reused: bool
    place: Path


def step(
    release: Planned | Training,
    dataset: Dataset,
    plan: Asked,
    account: Account,
    room: accounting.Cost,
    shelf: Shelf,
) -> tuple[Step, accounting.Cost]:
    """Return what a run would do with one release, and the room that it leaves.

    Args:
        release: As declared.
        dataset: What it reads.
        plan: What it asks, bound to that.
        account: Which pays.
        room: What the releases before it leave of the account.
        shelf: Where releases are kept.
    """
    dataset.ledger.check(dataset.population, dataset.unit)
    request = dataset.request(plan, name=release.name, attempt=release.attempt)
    earlier = dataset.ledger.request(dataset.population, request)
    cost = accounting.cost(plan.event, account.measure)
    state: State = "new"
    if earlier is not None:
        state, cost = _earlier(shelf, release, request, earlier), accounting.Cost()
    elif cost <= room:
        room = accounting.Cost(room.loss - cost.loss, room.delta - cost.delta)
    else:
        state = "refused"
    left = remaining_epsilon(account, room=room)
    return Step(release, state, plan, cost, dataset.population, left, request), room


def _earlier(shelf: Shelf, release: Planned | Training, request: str, entry: Entry) -> State:
    """Return the state of a release that was charged before: what asking again would find."""
    if entry.kind == "charge":  # a release that a crash left unrecorded is found and recorded
        if shelf.digest(release.name, request, charge=entry.hash) is not None:
            return "released"
        return "begun" if isinstance(release, Training) and _kept(shelf, request, entry) else "charged"
    try:
        shelf.get(release.name, request, str(entry.digest))
    except InvalidInput:
        return "lost"
    return "released"


def _kept(shelf: Shelf, request: str, entry: Entry) -> bool:
    """Return whether a training that was charged is kept, so that it goes on."""
    from discreet.train.state import State as Kept

    return Kept(shelf.folder.parent / PRIVATE / request).keeps(str(entry.purpose))
