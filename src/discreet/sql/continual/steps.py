"""The releases of a series: its opening, which is charged, and its steps, which cost nothing beyond that."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from discreet import events
from discreet.dataset import Answer, Dataset, Plan
from discreet.errors import DataFailure
from discreet.ledger import Entry
from discreet.mechanisms import SumsSoFar
from discreet.profiles import Guarantee
from discreet.release import Release, Shelf
from discreet.sql.continual import values as continual_values
from discreet.sql.continual.book import NOTHING, Book
from discreet.sql.continual.plan import Reading, SeriesPlan
from discreet.sql.continual.state import State

if TYPE_CHECKING:
    from discreet.mechanisms.rng import Rng


@dataclass(frozen=True, slots=True, eq=False)
class Releases:
    """What a series releases, through the door of its dataset.

    Args:
        dataset: The dataset, under a version that is the series' own.
        plan: The series.
        book: What the ledger knows of it.
        version: The owner's word for the state of the data now.
    """

    dataset: Dataset
    plan: SeriesPlan
    book: Book
    version: str

    def ready(self, step: int) -> Reading:
        """Refuse what is bound to fail on the rows; return how they are read."""
        reading = self.plan.reading(step)
        self.plan.once.engine.ready(reading.question)
        return reading

    def asked(self, step: int, kept: State | None = None, reading: Reading | None = None) -> Step:
        """Return a step as what is asked of the dataset."""
        return Step(self, step, kept, reading)

    def stored(self, step: int) -> Release | None:
        """Return the stored release of a step, if there is one."""
        asked, shelf = self.asked(step), Shelf(self.dataset.releases)
        for attempt in itertools.count(1):
            request = asked.request(attempt)
            entry = self.book.entry(request)
            if entry is None:
                return None
            if entry.digest is not None and shelf.place(asked.name, request).exists():
                return shelf.get(asked.name, request, entry.digest)
        raise AssertionError

    def begun(self, step: int) -> bool:
        """Return whether the ledger knows that a step was begun."""
        return self.book.entry(self.asked(step).request()) is not None

    def answer(self, step: int, kept: State) -> Release:
        """Answer a step, or release what was saved of it.

        Under the first attempt that stands for nothing yet, or whose release a crash left unrecorded: what was
        begun before and not entered as drawn was never shown.
        """
        asked = self.asked(step, kept, self.ready(step))
        request = asked.request(self.next_attempt(asked))
        days = f"{self.plan.schedule.first(step)} to {self.plan.schedule.last(step)}"
        purpose = f"step {step} of the series {self.book.name!r}: {days}"
        failed = ""
        try:
            return self._lend(asked, NOTHING, asked.name, request, purpose)
        except DataFailure as error:
            failed = error.what
        raise DataFailure(
            f"step {step} of {self.book.name!r} ({days}) was not released: {failed}",
            state="Nothing was spent beyond the charge of the series, and no step is drawn again that was shown.",
            remedy="Check that the source exists, is readable and has the declared columns, and that "
            f"{self.book.path.parent} and {self.dataset.releases} can be written; then call advance() again.",
        )

    def next_attempt(self, asked: Step) -> int:
        """Return the first attempt at a step that stands for nothing yet, or whose release is only unrecorded."""
        shelf = Shelf(self.dataset.releases)
        for attempt in itertools.count(1):
            request = asked.request(attempt)
            entry = self.book.entry(request)
            if entry is None or shelf.digest(asked.name, request, charge=entry.hash) is not None:
                return attempt
        raise AssertionError

    def open(self, purpose: str) -> Release:
        """Charge the series, or return the release of its opening."""
        entry = self.book.entry(self.book.request)
        if entry is not None and entry.kind == "charge":
            self._finish_opening(entry)
        return self._lend(self.plan, self.plan.event, self.book.name, self.book.request, purpose)

    def _finish_opening(self, entry: Entry) -> None:
        """Write the release of an opening that a crash left without one: it holds public facts alone."""
        shelf = Shelf(self.dataset.releases)
        if not shelf.place(self.book.name, self.book.request).exists():
            answer = Answer(self.plan.schedule_table(), {})
            shelf.put(self._wrapped(self.plan, answer, entry, self.book.name, self.book.request))

    def _lend(self, asked: Plan, event: events.Event, name: str, request: str, purpose: str) -> Release:
        rng = self.dataset.rng()

        def work(source: Any, entry: Entry) -> Release:
            return self._wrapped(asked, asked.run(source, rng), entry, name, request)

        return self.dataset.lend(event, work, purpose=purpose, name=name, request=request)

    def _wrapped(self, asked: Plan, answer: Answer, entry: Entry, name: str, request: str) -> Release:
        """Return a release of the series. Its event is that of all of them, which was charged at the opening."""
        return Release(
            name=name,
            value=answer.value,
            event=self.plan.event,
            guarantee=self.plan.guarantee,
            accuracy=answer.accuracy,
            facts=asked.facts,
            provenance=self.dataset.provenance(asked, self.dataset.rng(), entry),
            entry={
                "population": entry.population,
                "sequence": entry.sequence,
                "hash": entry.hash,
                "request": request,
            },
        )


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of a series, as a plan whose charge is nothing: the series was charged before.

    Args:
        of: The releases of its series.
        step: Which step.
        kept: What is kept of it, and how its rows are read; None where nothing is to be answered.
    """

    of: Releases
    step: int
    kept: State | None
    reading: Reading | None

    @property
    def name(self) -> str:
        """What its release is called."""
        width = len(str(self.of.plan.steps))
        return f"{self.of.book.name}-{self.step:0{width}d}"

    def request(self, attempt: int = 1) -> str:
        """Return the id of an attempt to answer it."""
        return self.of.dataset.request(self, name=self.name, attempt=attempt)

    @property
    def event(self) -> events.Event:
        """Nothing beyond the series' event."""
        return NOTHING

    @property
    def guarantee(self) -> Guarantee:
        """That of all releases of the series together."""
        return self.of.plan.guarantee

    @property
    def identity(self) -> Mapping[str, Any]:
        """Plain data that names the step of this series."""
        return {"kind": "sql.series.step", "v": 1, "series": self.of.book.request, "step": self.step}

    @property
    def facts(self) -> Mapping[str, Any]:
        """Public facts for `explain`."""
        version = "" if self.kept is None else self.kept.versions[self.step - 1]
        return continual_values.step_facts(self.of.plan, self.step, self.of.book.request, version)

    def run(self, source: Any, rng: Rng) -> Answer:
        """Answer the step from what was saved of it; if nothing was, from the rows, and save that first.

        Guarantee: what is returned is a function of answers of `RunningSums`, each drawn from the exact vectors
            that all answers shown before were drawn from, and of public facts.
        Evidence: proven, docs/proofs/continual.md.
        Assumes: the caller holds the lock of the series, and what was kept is the newest.
        Not protected: running time, memory, and files the engine spills to a private folder.
        """
        of, kept = self.of, self.kept
        assert kept is not None
        if kept.steps < self.step:
            self._draw(kept, source, rng)
        of.book.show(self.step, kept.tokens[self.step - 1])
        answers = {part: kept.answers(place)[: self.step] for place, part in enumerate(of.plan.sums)}
        value = continual_values.table(of.plan, self.step, answers)
        return Answer(value, continual_values.accuracy(of.plan))

    def _draw(self, kept: State, source: Any, rng: Rng) -> None:
        """Read the rows of the step, draw its answer, and save both with those who took part."""
        plan, matrix = self.of.plan, self.of.plan.matrix
        assert self.reading is not None
        blocked = None
        if plan.limited:
            blocked = kept.blocked(self.step, participations=matrix.participations, separation=matrix.separation)
        exact, people = plan.read(self.reading, source, blocked, rng)
        before = kept.so_far or tuple(SumsSoFar() for _ in plan.sums)
        so_far = [
            sums.advance(one, step=self.step, exact_values=exact.sums[part], rng=rng)
            for one, (part, sums) in zip(before, plan.sums.items(), strict=True)
        ]
        kept.save(so_far, token=rng.bytes(16).hex(), version=self.of.version, people=people)
