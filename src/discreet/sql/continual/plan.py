"""A series bound to public facts: its steps, how they are mixed, its noise, its cost. Reads no private row.

Step t counts the rows whose date lies in the t-th period, as one query would, but leaves out people who have taken
part as often as is allowed. Why that costs what is charged: docs/proofs/continual.md.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from discreet import events
from discreet.dataset import Answer
from discreet.domains import shown
from discreet.errors import InvalidInput
from discreet.mechanisms import RunningSums, Toeplitz
from discreet.profiles import Guarantee
from discreet.sql.answers import answering
from discreet.sql.answers.answering import Statements
from discreet.sql.answers.names import Names
from discreet.sql.bind import QueryPlan
from discreet.sql.bound import Primitive
from discreet.sql.continual import values as continual_values
from discreet.sql.forecast import Forecast, Guesses
from discreet.sql.nodes import Select
from discreet.sql.parsing.build import aliased, column, conjunction, name_of, one, select
from discreet.sql.statements.facts import following, truncated
from discreet.sql.statements.rows import Compare, Const, Logic, Predicate, Ref, Unit
from discreet.sql.statements.stages import Question, Writer

if TYPE_CHECKING:
    import pyarrow

    from discreet.mechanisms.rng import Rng
    from discreet.sql.answers.answering import Exact

UNITS: tuple[Unit, ...] = ("day", "week", "month", "quarter", "year")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which rows belong to which step.

    Args:
        column: The column of dates that says it.
        unit: What a period is.
        starts: The first day of each step, and the day after the last one.
    """

    column: Ref
    unit: Unit
    starts: tuple[datetime.date, ...]

    @classmethod
    def of(cls, at: Ref, unit: Unit, first: datetime.date, steps: int) -> Schedule:
        """Return the schedule of so many periods, the first of which starts on a day.

        Raises:
            InvalidInput: no period of this unit starts there, or the last one ends beyond the calendar.
        """
        if unit not in UNITS:
            raise InvalidInput(f"unit must be one of {', '.join(UNITS)}, got {shown(unit)}.")
        if not isinstance(first, datetime.date) or isinstance(first, datetime.datetime):
            raise InvalidInput(f"first must be a date, got {type(first).__name__}.")
        if truncated(first, unit) != first:
            raise InvalidInput(
                f"first is {first}, which is not the first day of a {unit}.",
                remedy=f"Give {truncated(first, unit)}.",
            )
        starts = [first]
        try:
            for _ in range(steps):
                starts.append(following(starts[-1], unit))
        except (OverflowError, ValueError):
            raise InvalidInput(f"{steps} steps of a {unit} go beyond the year 9999.", remedy="Ask for fewer.") from None
        return cls(at, unit, tuple(starts))

    def first(self, step: int) -> datetime.date:
        """Return the first day of a step."""
        return self.starts[step - 1]

    def last(self, step: int) -> datetime.date:
        """Return the last day of a step."""
        return self.starts[step] - datetime.timedelta(days=1)

    def where(self, step: int, rows: Predicate | None) -> Predicate:
        """Return the condition that a row is one of `rows` and belongs to a step; a row without a date does not."""
        within: tuple[Predicate, ...] = (
            Compare(">=", self.column, Const(self.first(step))),
            Compare("<=", self.column, Const(self.last(step))),
        )
        return Logic("AND", within if rows is None else (rows, *within))


@dataclass(frozen=True, slots=True)
class Reading:
    """How the engine answers one step; written before the step is charged.

    Args:
        question: What it computes.
        statements: The rows that count, and the sums over them.
        people: Who they belong to; None where nobody need know.
    """

    question: Question
    statements: Statements
    people: str | None


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """A series bound to a dataset's public facts.

    Args:
        once: One step, as a query by itself.
        schedule: Which rows belong to which step.
        matrix: How the steps are mixed.
        sums: The mechanism of each primitive.
        guesses: Public guesses of the totals.
        event: The whole series; the charge.
        guarantee: What all its releases together guarantee.
        identity: Plain data that names the series; hashed into its request.
        facts: What its releases leave for `explain`.
    """

    once: QueryPlan
    schedule: Schedule
    matrix: Toeplitz
    sums: Mapping[Primitive, RunningSums]
    guesses: Guesses
    event: events.Event
    guarantee: Guarantee
    identity: Mapping[str, Any]
    facts: Mapping[str, Any]

    @property
    def select(self) -> Select:
        """The query, in our own nodes."""
        return self.once.select

    @property
    def steps(self) -> int:
        """How many steps the series has."""
        return self.matrix.steps

    @property
    def cells(self) -> int:
        """How many groups each step has."""
        return answering.size(self.once.question.groups)

    @property
    def limited(self) -> bool:
        """Whether anybody can ever have taken part too often: else nobody need know who did."""
        return self.matrix.participations < self.steps or self.matrix.separation > 1

    def forecasts(self, step: int | None = None) -> tuple[Forecast, ...]:
        """Return the expected errors after a step, by default the last: of the totals `c`, and of the step itself, `c_step`."""
        return continual_values.forecasts(self, self.steps if step is None else self.checked(step))

    def schedule_table(self) -> pyarrow.Table:
        """Return what can be known of each step beforehand: its first day, and the errors of its numbers."""
        return continual_values.schedule(self)

    def run(self, source: Any, rng: Rng) -> Answer:  # noqa: ARG002 - no row is read, and nothing is drawn
        """Return what the opening of the series releases: the schedule. Reads no private row."""
        return Answer(self.schedule_table(), {})

    def reading(self, step: int) -> Reading:
        """Return how the engine answers a step."""
        question = self.once.question
        question = replace(question, where=self.schedule.where(self.checked(step), question.where))
        engine = self.once.engine
        writer = Writer(question, engine.dialect, engine.names(question))
        text = engine.dialect.text
        names = Names.fresh()
        kept = text(_kept(writer, names.blocked if self.limited else None))
        statements = Statements(names, text(writer.query(names.kept)), {}, kept=kept)
        who = select([*map(name_of, writer.people)], names.kept, distinct=True)
        return Reading(question, statements, text(who) if self.limited else None)

    def read(
        self, reading: Reading, source: Any, blocked: pyarrow.Table | None, rng: Rng
    ) -> tuple[Exact, pyarrow.Table | None]:
        """Return the exact vectors of a step, and who took part in it: private, both.

        Sums and people come from one copy of the rows, which others may be writing to.

        Args:
            reading: Of the step.
            source: The private source.
            blocked: Who may not take part.
            rng: Not drawn from.
        """
        with self.once.engine.opened(source, reading.question) as session:
            if blocked is not None:
                session.put(reading.statements.names.blocked, blocked)
            exact = answering.exact(reading.question, reading.statements, session, None, rng)
            people = None if reading.people is None else session.table(reading.people)
        return exact, people

    @property
    def people(self) -> tuple[str, ...]:
        """The columns that identify one privacy unit."""
        unit = self.once.question.unit
        return tuple(name for name in (unit.column, unit.per) if name is not None)

    def checked(self, step: int) -> int:
        """Return `step` if the series has it.

        Raises:
            InvalidInput: it does not.
        """
        if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= self.steps:
            raise InvalidInput(f"step must be a whole number from 1 to {self.steps}, got {shown(step)}.")
        return step


def _kept(writer: Writer, blocked: str | None) -> Any:
    """Return the rows that count, without those of people who may not take part: the table `blocked`, if there is one."""
    from sqlglot import exp

    names = [*writer.people, *writer.keys, *(f"v{i}" for i in range(len(writer.question.counted)))]
    where = []
    if blocked is not None:
        same = [exp.EQ(this=column(name, blocked), expression=column(name, "kept")) for name in writer.people]
        where = [exp.Not(this=exp.Exists(this=select([one()], blocked, where=[conjunction(same)])))]
    chosen = [aliased(column(name, "kept"), name) for name in names]
    return select(chosen, "kept", where=where, stages=writer.rows())
