"""Series: sums of a table that grows, followed step by step and charged once.

What is shown of a step was drawn once, and from the same past as everything shown before. Three things see to it:
the owner's file (`state`), a lock on it, and two entries of the ledger for each step: one before its rows
are read, and one, which there can be only one of, after its answer was saved and before it is shown. So neither a
crash nor an old copy of the file can draw a step again. Proof: docs/proofs/continual.md.
"""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discreet.dataset import Dataset
from discreet.errors import InvalidInput
from discreet.ledger.beside import Beside
from discreet.release import Release, check_name
from discreet.sql.continual import values as continual_values
from discreet.sql.continual.bind import Terms, bind
from discreet.sql.continual.book import Book
from discreet.sql.continual.plan import SeriesPlan
from discreet.sql.continual.state import State
from discreet.sql.continual.steps import Releases
from discreet.sql.statements.rows import Unit

if TYPE_CHECKING:
    import pyarrow

WAIT = 5.0  # seconds to wait for whoever is at work on the series
LONGEST = 90  # characters of a name: releases of steps add their number
EVERYWHERE = datetime.timezone(datetime.timedelta(hours=-12))  # where a day ends last


def series(
    dataset: Dataset,
    sql: str,
    *,
    period: str,
    unit: Unit,
    first: datetime.date,
    steps: int,
    participations: int,
    separation: int = 1,
    epsilon: float,
    delta: float,
    name: str,
    folder: str | Path,
    weights: Mapping[str, float] | None = None,
    guess: Mapping[str, float] | None = None,
    purpose: str | None = None,
) -> Series:
    """Return a series: sums of a table that grows, one step for each period, charged once. Spends nothing yet.

    A series that was opened before goes on where it stands, if everything but the source and its version is as it was.

    Args:
        dataset: The private table. Its version may change from step to step, and so may its source.
        sql: One SELECT of counts, sums, averages and variances, in total or by declared groups.
        period: The column of dates that says which step a row belongs to.
        unit: What a step is: a day, week, month, quarter or year.
        first: The first day of the first step.
        steps: How many there are; the series may end early, never go on.
        participations: In how many steps one person may take part; in later ones they are left out.
        separation: How far apart these are at least; 1 if they may follow one another.
        epsilon: What the whole series may cost.
        delta: Its delta; far below one over the number of people.
        name: The name of its releases; those of steps add their number.
        folder: The owner's folder, where what has to be kept is kept: personal data.
        weights: Split of the budget over output columns, by name; equal by default.
        guess: Public guesses of the totals in the end, as of `query`.
        purpose: Why; written to the ledger. By default the query.

    Raises:
        UnsupportedQuery: a construct cannot be followed over time; it is named.
        InvalidInput: an argument is wrong; the account is measured in pure epsilon; or another series of this name
            is kept in the folder.

    Guarantee: all releases of the series together are (epsilon, delta)-differentially private for the dataset's unit.
    Evidence: proven, docs/proofs/continual.md and docs/proofs/contribution_bounds.md.
    Assumes: bounds, keys and the schedule are public; nobody but discreet writes to what is kept.
    Not protected: what is kept in the folder; running time and memory.
    """
    if len(check_name(name)) > LONGEST:
        raise InvalidInput(f"the name of a series has at most {LONGEST} characters.", remedy="Choose a shorter one.")
    fixed = copy.copy(dataset)  # its rows change; the question, and who is sampled, do not
    object.__setattr__(fixed, "version", f"series {name}")
    path = Path(folder).absolute() / f"{name}.series"
    terms = Terms(
        sql, period, unit, first, steps, participations, separation, epsilon, delta, weights=weights, guess=guess
    )
    kept = _kept(fixed, path)
    plan = bind(fixed, terms, None if kept is None else kept.terms["identity"])
    found = Series(
        dataset=fixed,
        asked=terms,
        plan=plan,
        name=name,
        path=path,
        purpose=str(plan.select)[:500] if purpose is None else purpose,
        version=dataset.version,
    )
    if kept is not None:
        found.check_terms(kept)
    return found


def _kept(dataset: Dataset, path: Path) -> State | None:
    """Return what was kept of a series, unless it was never charged: then it binds nobody."""
    kept = State.read(path)
    if kept is None or kept.steps or kept.terms["population"] != dataset.population:
        return kept
    return kept if dataset.ledger.request(dataset.population, kept.terms["request"]) is not None else None


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A series over a dataset; see `series`.

    Args:
        dataset: The dataset, under a version that is the series' own.
        asked: What was asked for.
        plan: The series bound to public facts: its event, guarantee, schedule and expected errors.
        name: The name of its releases.
        path: The owner's file.
        purpose: Why.
        version: The owner's word for the state of the data now.
    """

    dataset: Dataset
    asked: Terms
    plan: SeriesPlan
    name: str
    path: Path
    purpose: str
    version: str
    book: Book = field(init=False, repr=False)
    releases: Releases = field(init=False, repr=False)

    def __post_init__(self) -> None:
        request = self.dataset.request(self.plan, name=self.name)
        object.__setattr__(self, "book", Book(self.dataset, self.name, request, self.path, self.plan.steps))
        object.__setattr__(self, "releases", Releases(self.dataset, self.plan, self.book, self.version))

    def __str__(self) -> str:
        schedule, at = self.plan.schedule, self.next_step
        where = "all answered" if at is None else f"step {at} ({schedule.first(at)} to {schedule.last(at)}) is next"
        return (
            f"{self.name}: {self.plan.steps} steps of a {schedule.unit} from {schedule.starts[0]}; {where}; "
            f"{self.plan.guarantee}"
        )

    # ------------------------------------------------------------------------------------- looking

    @property
    def opened(self) -> bool:
        """Whether it was charged."""
        return self.book.entry(self.book.request) is not None

    @property
    def next_step(self) -> int | None:
        """The step that is answered next, from 1; None after the last."""
        kept = State.read(self.path)
        after = 1 if kept is None else kept.steps + 1
        return after if after <= self.plan.steps else None

    def release(self, step: int) -> Release:
        """Return the release of a step that was answered.

        Raises:
            InvalidInput: it was not, or the release is gone.
        """
        found = self.releases.stored(self.plan.checked(step))
        if found is None:
            raise InvalidInput(
                f"step {step} of {self.name!r} has no release.", remedy="Answer the steps in order, with advance()."
            )
        return found

    def value(self) -> pyarrow.Table:
        """Return all steps that were answered, one below the other, as they were released."""
        import pyarrow as pa

        parts = []
        for step in range(1, self.plan.steps + 1):
            found = self.releases.stored(step)
            if found is None:
                break
            parts.append(found.value)
        return pa.concat_tables(parts) if parts else continual_values.empty(self.plan)

    # ------------------------------------------------------------------------------------ spending

    def open(self) -> Release:
        """Charge the whole series, once, and return its schedule. Reads no private row.

        Opening it again returns the same release, and costs nothing.

        Raises:
            BudgetExceeded: the account does not hold it; nothing was spent.
            InvalidInput: what was kept of the series is lost, or older than the ledger.
        """
        with self._alone():
            self.releases.ready(1)
            kept = _kept(self.dataset, self.path)
            if kept is None:
                self.book.refuse_after(0)
                kept = self._create()
            self.check_terms(kept)
            if kept.steps and not self.opened:
                raise self.book.older(kept.steps)
            return self.releases.open(self.purpose)

    def advance(
        self, through: datetime.date | None = None, *, progress: Callable[[int, int], None] | None = None
    ) -> tuple[Release, ...]:
        """Answer, in order, every step that is over and was not answered. Costs nothing.

        Each is answered from the rows that are there now, once and for all: rows of it that come later are never
        counted.

        Args:
            through: The last day whose rows are there; by default, the last day that is over everywhere.
            progress: Called after each step, with its number and that of the last one due.

        Returns:
            The new releases; none if no step is due.

        Raises:
            InvalidInput: the series was not opened; somebody else is at work on it; what was kept of it is lost, or
                older than the ledger.
            DataFailure: the work on the rows failed; nothing was shown, and the step may be tried again.
        """
        until = _yesterday() if through is None else _day(through)
        with self._alone():
            kept = self._newest()
            made = []
            due = [step for step in range(1, self.plan.steps + 1) if self.plan.schedule.last(step) <= until]
            saved = kept.steps
            if saved and self.releases.stored(saved) is None:  # a crash came before its release
                made.append(self.releases.answer(saved, kept))
            for step in due[saved:]:
                made.append(self.releases.answer(step, kept))
                if progress is not None:
                    progress(step, due[-1])
        return tuple(made)

    # ------------------------------------------------------------------------------- what was kept

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only one at work on the series, of all threads and processes."""
        with ExitStack() as stack:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                stack.enter_context(Beside(self.path).held(wait=WAIT, looking=False))
            except TimeoutError:
                raise InvalidInput(
                    f"somebody else is at work on the series {self.name!r}.",
                    remedy="Wait until they are done; steps are answered one after another.",
                ) from None
            except OSError as error:
                raise self._unwritable(error) from None
            yield

    def _unwritable(self, error: OSError) -> InvalidInput:
        return InvalidInput(
            f"{self.path} cannot be written: {error.strerror}.", remedy="Choose a folder that can be written."
        )

    def _create(self) -> State:
        """Make the file of the series before it is charged, so that its matrix is never chosen twice."""
        people = [self.dataset.domain[name].type for name in self.plan.people]
        terms = {"name": self.name, "request": self.book.request, "people": people, **self._terms()}
        try:
            self.path.unlink(missing_ok=True)  # of a series that was never charged
            return State.create(self.path, terms)
        except OSError as error:
            raise self._unwritable(error) from None

    def _terms(self) -> dict[str, Any]:
        """Return what has to stay as it is, as plain data that reads back the same."""
        dataset = self.dataset
        terms = {
            "asked": self.asked.to_dict(),
            "identity": dict(self.plan.identity),
            "population": dataset.population,
            "table": dataset.name,
            "unit": dataset.unit.to_dict(),
            "domain": dataset.domain.to_dict(),
            "tables": {name: table.to_dict() for name, table in dataset.tables.items()},
            "views": dict(dataset.views),
        }
        plain: dict[str, Any] = json.loads(json.dumps(terms))
        return plain

    def check_terms(self, kept: State) -> None:
        """Refuse to go on with a series that is another one than is asked for.

        Raises:
            InvalidInput: says in what it differs.
        """
        before, now = kept.terms, self._terms()
        other = [key for part in ("asked", "identity") for key in now[part] if now[part][key] != before[part].get(key)]
        other += [key for key in now if key not in ("asked", "identity") and now[key] != before[key]]
        if other or before["request"] != self.book.request:
            raise InvalidInput(
                f"the series {self.name!r} in {self.path.parent} is another one: it differs in "
                f"{', '.join(dict.fromkeys(other)) or 'its request'}.",
                remedy="Ask for it as it was opened, or give the new one another name.",
            )

    def _newest(self) -> State:
        """Return what was kept, if it is what the ledger knows, and the newest.

        Raises:
            InvalidInput: it is not.
        """
        kept = _kept(self.dataset, self.path)
        if kept is None:
            self.book.refuse_after(0)
            raise InvalidInput(
                f"the series {self.name!r} was not opened.", remedy="Call open(): it charges the whole series, once."
            )
        self.check_terms(kept)
        if not self.opened:
            raise self.book.older(kept.steps)
        if kept.steps:
            begun = self.releases.begun(kept.steps)
            self.book.check(kept.steps, kept.tokens[-1], begun=begun)
        self.book.refuse_after(kept.steps)
        return kept


def _yesterday() -> datetime.date:
    """Return the last day that is over, wherever one is."""
    return datetime.datetime.now(tz=EVERYWHERE).date() - datetime.timedelta(days=1)


def _day(through: datetime.date) -> datetime.date:
    if not isinstance(through, datetime.date) or isinstance(through, datetime.datetime):
        raise InvalidInput(f"through must be a date, got {type(through).__name__}.")
    return through
