"""Dataset: the one door to private rows.

`lend` is the single choke point: it charges the ledger, durably, before `work` sees the source,
and nothing that goes wrong inside can carry a private value out. `reveal` prepares its argument
from public facts and wraps its result in a `Release`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from discreet import events
from discreet.domains import Domain
from discreet.errors import InvalidInput
from discreet.ledger import Entry, Ledger, Period
from discreet.ledger.periods import account_of, kind_of, named, ordered, to_dict
from discreet.loan import Loan
from discreet.profiles import Guarantee
from discreet.release import Release, Shelf, check_name
from discreet.tables import Sources, Table, check_tables
from discreet.units import PrivacyUnit

if TYPE_CHECKING:
    import pyarrow

    from discreet.mechanisms.rng import Rng


@dataclass(frozen=True, slots=True)
class Answer:
    """What a plan's run gives back: already noised, safe to publish; and files beside it."""

    value: pyarrow.Table
    accuracy: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


class Question(Protocol):
    """What is asked, bound to public facts: question and cost in one object, never apart."""

    @property
    def event(self) -> events.Event:
        """What will run; the charge."""

    @property
    def guarantee(self) -> Guarantee:
        """What the release alone will guarantee."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Plain data that names the question and how it is answered; hashed into the request."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Public facts for `explain`."""


class Plan(Question, Protocol):
    """A mechanism bound to public facts.

    A plan may have `periods`: those whose rows alone it reads. Without them no dataset in a period takes it.
    """

    def run(self, source: Any, rng: Rng) -> Answer:
        """Read the private source and answer with noise. Called once, after the charge."""


class Mechanism(Protocol):
    """Something that can be asked of a dataset."""

    def bind(self, dataset: Dataset) -> Plan:
        """Bind to the dataset's public facts; may refuse; reads no private row.

        A plan that was bound earlier has the `declaration` of its dataset, which is held against this one's.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Private rows, together with who is protected, what is public, and which account pays.

    Args:
        source: Path of a Parquet or CSV file, an open DuckDB connection, or an Arrow, pandas or
            polars frame. Opaque here: a vertical opens it inside `lend`.
        name: The table's name in queries.
        version: The owner's word for the state of the data ("2024-06"). Part of every request: the
            same question about the same version is the same release. Change it when the rows change.
        unit: Who is protected, and how much of this table one of them may touch.
        domain: The public facts of the columns.
        ledger: The ledger, or its path or URL.
        population: The ledger account that pays.
        releases: The folder where releases are kept.
        analyst: Who asks; if given, that analyst's share of the account pays too.
        tables: Further tables that queries may join, by name: of the same people, or public.
        views: Subqueries that the owner defines, by name; queries read them like tables.
        periods: The periods whose rows alone are read, and whose accounts pay; see `in_period`.

    Raises:
        InvalidInput: a fact contradicts another. Nothing is read or spent here.
    """

    source: Any = field(repr=False)
    name: str = field(kw_only=True)
    version: str = field(kw_only=True)
    unit: PrivacyUnit = field(kw_only=True)
    domain: Domain = field(kw_only=True)
    ledger: Ledger = field(kw_only=True)
    population: str = field(kw_only=True)
    releases: Path = field(kw_only=True, default=Path("releases"))
    analyst: str | None = field(kw_only=True, default=None)
    tables: Mapping[str, Table] = field(kw_only=True, default_factory=dict)
    views: Mapping[str, str] = field(kw_only=True, default_factory=dict)
    periods: Sequence[Period] = field(kw_only=True, default=())
    _rng: Rng | None = field(init=False, repr=False, default=None)  # set by discreet.testing alone

    def __post_init__(self) -> None:
        if isinstance(self.ledger, str | Path):
            object.__setattr__(self, "ledger", Ledger(self.ledger))
        object.__setattr__(self, "releases", Path(self.releases).absolute())  # whatever folder is entered later
        if isinstance(self.source, str | Path):
            object.__setattr__(self, "source", Path(self.source).absolute())
        check_name(self.name)
        for column, label in ((self.unit.column, "column"), (self.unit.per, "per")):
            if column is not None and column not in self.domain:
                raise InvalidInput(
                    f"the unit's {label} {column!r} is not declared in the domain of {self.name!r}.",
                    remedy=f'Declare it with its type, for example Domain({column}="integer", …).',
                )
        self._check_tables()
        if not isinstance(self.version, str) or not self.version or not self.version.isprintable():
            raise InvalidInput(
                f"version must be a text that names the state of the data, got {self.version!r}.",
                remedy='For example version="2024-06"; change it whenever the rows change.',
            )
        object.__setattr__(self, "periods", ordered(self.periods))
        self._check_periods(self.periods)

    def in_period(self, *periods: Period) -> Dataset:
        """Return this dataset in one period: its plans read rows of that period alone, and its account pays.

        In several periods the rows of all of them are read, and each of their accounts pays the whole price.

        Args:
            *periods: Values of the unit's period column, of the type it is declared with.

        Raises:
            InvalidInput: none is given; the unit has no period column; or a value is of another type.
        """
        if not periods:
            raise InvalidInput("no period is given.", remedy='For example dataset.in_period("2024-06").')
        self._check_periods(ordered(periods))  # here, and not while a dataset is made, whose frames hold the source
        found = replace(self, periods=periods)
        object.__setattr__(found, "_rng", self._rng)
        return found

    @property
    def accounts(self) -> tuple[str, ...]:
        """The names of the ledger's accounts that pay: the population's, or those of its periods."""
        return tuple(account_of(self.population, period) for period in self.periods) or (self.population,)

    @property
    def sources(self) -> Sources:
        """The source of each table, its own first."""
        return Sources({self.name: self.source} | {name: table.source for name, table in self.tables.items()})

    @property
    def _lent(self) -> Any:
        """What work on the rows is handed: the source, or the source of each table where there are several."""
        return self.sources if self.tables else self.source

    def lend(
        self,
        event: events.Event,
        work: Callable[..., Release],
        *,
        purpose: str,
        name: str,
        request: str,
        periods: Sequence[Period] = (),
    ) -> Release:
        """Charge `event`, then call `work(source, entry)` on the private rows: the only way to them.

        Args:
            event: What will run on the rows.
            work: Reads the source and returns a release. Called at most once, after the charge is
                durable, and never when this request was answered before.
            purpose: Why; written to the ledger.
            name: The release's name.
            request: The id of the question; the same id is never answered twice with fresh noise.
            periods: The periods whose rows alone `work` reads: those of the dataset, or it is refused.

        Returns:
            The new release, or the stored one if this request was answered before.

        Raises:
            BudgetExceeded: the account does not hold the cost; nothing was spent.
            InvalidInput: the unit is not the account's; the periods are not the dataset's; or the request was
                charged and not released.
            DataFailure: `work` failed; the charge stands.
        """
        loan = self.borrow(event, purpose=purpose, name=name, request=request, periods=periods)
        return loan if isinstance(loan, Release) else loan.settle(work)

    def borrow(
        self,
        event: events.Event,
        *,
        purpose: str,
        name: str,
        request: str,
        periods: Sequence[Period] = (),
        goes_on: bool = False,
    ) -> Loan | Release:
        """Charge `event`, and hand out the rows for work in many parts: what `lend` does, for a training run.

        Args:
            event: Everything that will run on the rows until the loan is settled.
            purpose: Why; written to the ledger.
            name: The release's name.
            request: The id of the question.
            periods: The periods whose rows alone will be read: those of the dataset, or it is refused.
            goes_on: Whether a request that was charged for the very same purpose, and never released, is taken up
                again without a new charge. The purpose then has to name all randomness of the work (by a
                commitment to its key), so that whatever is done twice is done with the same noise.

        Returns:
            The loan, or the stored release if this request was answered before.

        Raises:
            BudgetExceeded: the account does not hold the cost; nothing was spent.
            InvalidInput: as for `lend`.
        """
        shelf = Shelf(self.releases)
        if list(map(to_dict, periods)) != list(map(to_dict, self.periods)):
            raise InvalidInput(
                f"{self.name!r} is asked in {_listed(self.periods)}, and this work reads rows of {_listed(periods)}.",
                remedy="Ask in the same periods; what cannot be kept to a period cannot be asked in one.",
            )
        self._check(shelf, name, request)
        begun = self.ledger.request(self.accounts[0], request) if goes_on else None
        if begun is not None and begun.kind == "charge":
            described = (begun.accounts, begun.purpose, begun.body["event"])
            if described == (self.accounts, purpose, events.to_dict(event)):
                return Loan(self._lent, self.ledger, shelf, begun, name, request)
        entry, earlier = self.ledger.charge(
            self.population, event, purpose=purpose, request=request, analyst=self.analyst, periods=self.periods
        )  # durable, or BudgetExceeded
        if earlier is not None:
            assert earlier.digest is not None
            return shelf.get(name, request, earlier.digest)  # never a second draw
        return Loan(self._lent, self.ledger, shelf, entry, name, request)

    def reveal(self, mechanism: Mechanism, *, name: str, purpose: str, attempt: int = 1) -> Release:
        """Ask `mechanism` of these rows: bind it to public facts, charge, run, wrap.

        Args:
            mechanism: What is asked.
            name: The release's name; part of the request's id.
            purpose: Why; written to the ledger.
            attempt: Ask again, for a new charge, what was charged but never released (a crash), or
                whose release was lost.
        """
        plan = mechanism.bind(self)
        self.check_declared(getattr(plan, "declaration", self.declaration), "the plan")
        request = self.request(plan, name=name, attempt=attempt)
        rng = self.rng()

        def work(source: Any, entry: Entry) -> Release:
            return self.release(plan, plan.run(source, rng), rng, entry, name=name)

        kept_to = getattr(plan, "periods", ())
        return self.lend(plan.event, work, purpose=purpose, name=name, request=request, periods=kept_to)

    def release(self, plan: Question, answer: Answer, rng: Rng, entry: Entry, *, name: str) -> Release:
        """Return an answer as the release that `entry` paid for."""
        return Release(
            name=name,
            value=answer.value,
            event=plan.event,
            guarantee=plan.guarantee,
            accuracy=answer.accuracy,
            facts=plan.facts,
            provenance=self.provenance(plan, rng, entry),
            entry={
                "population": entry.population,
                "sequence": entry.sequence,
                "hash": entry.hash,
                "request": entry.request,
            },
            files=answer.files,
        )

    def request(self, plan: Question, *, name: str, attempt: int = 1) -> str:
        """Return the id of the question: the hash of everything that shapes its answer's law."""
        if isinstance(attempt, bool) or not isinstance(attempt, int) or attempt < 1:
            raise InvalidInput(
                f"attempt must be a whole number of at least 1, got {attempt!r}.",
                remedy="Leave it out, or give 2 to ask again what was charged and never released.",
            )
        question = {
            "v": 1,
            "release": check_name(name),
            "attempt": attempt,
            "plan": plan.identity,
            "event": events.to_dict(plan.event),
        } | self.declaration
        text = json.dumps(question, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def rng(self) -> Rng:
        """Return the source of randomness: the operating system's, unless discreet.testing replaced it."""
        from discreet.mechanisms.rng import Rng  # numpy is loaded only once noise is needed

        return self._rng if self._rng is not None else Rng()

    def provenance(self, plan: Question, rng: Rng, entry: Entry) -> dict[str, Any]:
        """Return where a release of `plan`, paid for by `entry`, comes from, as public plain data."""
        facts = {
            "discreet": installed("discreet"),
            "made": entry.when,  # the charge's time: how long the work took is no public fact
            "table": self.name,
            "version": self.version,
            "unit": self.unit.to_dict(),
            "domain": self.domain.to_dict(),
            "analyst": self.analyst,
            "plan": plan.identity,
        } | self._beside()
        return facts if rng.secure else facts | {"test": "made with fixed randomness; it protects nobody"}

    @property
    def declaration(self) -> dict[str, Any]:
        """All that is declared of these rows and shapes an answer, as plain data."""
        return {
            "population": self.population,
            "table": self.name,
            "version": self.version,
            "unit": self.unit.to_dict(),
            "domain": self.domain.to_dict(),
        } | self._beside()

    def check_declared(self, declaration: Mapping[str, Any], what: str) -> None:
        """Refuse what was made for another declaration: its bounds, its unit or its rows may not be these.

        Args:
            declaration: That of the dataset it was made for.
            what: What was made, for the error.

        Raises:
            InvalidInput: the two differ.
        """
        mine = self.declaration
        differ = [name for name in {**mine, **declaration} if mine.get(name) != declaration.get(name)]
        if differ:
            raise InvalidInput(
                f"{what} was made for a dataset that differs from this one in its {' and '.join(differ)}.",
                remedy="Make it anew for this dataset, which spends nothing and reads no row.",
            )

    def _beside(self) -> dict[str, Any]:
        """Return what is declared beside the dataset's own table, as plain data; nothing where there is none."""
        found: dict[str, Any] = {"periods": [named(period) for period in self.periods]} if self.periods else {}
        if self.tables:
            found["tables"] = {name: table.to_dict() for name, table in self.tables.items()}
        return found | ({"views": dict(self.views)} if self.views else {})

    def _check_periods(self, periods: Sequence[Period]) -> None:
        """Refuse periods that are not of the declared type: "1" and 1 would be the same rows with two budgets."""
        per = self.unit.per
        for period in periods:
            if per is None:
                raise InvalidInput(
                    f"the unit of {self.name!r} has no period: it is {self.unit.label}.",
                    remedy="Budgets are kept by period where the unit is a person in one, PrivacyUnit(per=…).",
                )
            if kind_of(period) != self.domain[per].type:
                raise InvalidInput(
                    f"{per!r} is declared as {self.domain[per].type}, and the period {period!r} is of type "
                    f"{kind_of(period)}.",
                    remedy="Give the value as the column is declared.",
                )

    def _check_tables(self) -> None:
        names = [self.name, *self.tables, *self.views]
        for name in names:
            check_name(name)
        if len({name.lower() for name in names}) != len(names):
            raise InvalidInput(
                f"two tables or views of {self.name!r} have one name; SQL does not tell cases apart.",
                remedy="Rename one of them.",
            )
        check_tables(self.name, self.unit, self.domain, self.tables)

    def _check(self, shelf: Shelf, name: str, request: str) -> None:
        """Refuse, before anything is spent, what is bound to fail afterwards."""
        files = {table: source for table, source in self.sources.items() if isinstance(source, Path)}
        for table, file in files.items():  # no frame of what may be refused here holds a source that is rows
            if not file.exists():
                raise InvalidInput(f"{file} does not exist.", remedy=f"Correct the source of table {table!r}.")
        if not self.rng().secure and not self.ledger.testing:
            raise InvalidInput(
                "fixed randomness protects nobody; a real ledger does not charge for it.",
                remedy="Use the ledger of discreet.testing in tests.",
            )
        self.ledger.check(self.population, self.unit, self.periods)
        shelf.ready(name)
        for account in self.accounts:
            shelf.check(account, self.ledger.requests)
        if shelf.place(name, request).exists():
            self._recover(shelf, name, request)

    def _recover(self, shelf: Shelf, name: str, request: str) -> None:
        """Record a release that a crash left unrecorded: it was paid for and drawn, and would be lost for nothing.

        Raises:
            InvalidInput: what stands there belongs to no charge; the release could not be written.
        """
        known = self.ledger.request(self.accounts[0], request)
        if known is None:
            raise InvalidInput(
                f"{shelf.place(name, request)} is in the way of the release: it holds something that was never charged.",
                remedy="Move it away.",
            )
        if known.kind == "charge":
            digest = shelf.digest(name, request, charge=known.hash)
            if digest is not None:
                self.ledger.released(known, digest)


def _listed(periods: Sequence[Period]) -> str:
    return ", ".join(map(named, periods)) or "all periods"
