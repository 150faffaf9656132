"""Materialised: what each person adds to each group, bounded and kept, so that later questions are scans.

It is personal data: a file of the owner's, readable by nobody else, made after the first question that
uses it was charged. It belongs to one state of the data, one grouping and one choice of groups; every
question over it is charged like any other.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.sql import questions
from discreet.sql.answers.answering import BOUNDED
from discreet.sql.answers.post import Labels
from discreet.sql.bound import ONE, Bounds, Primitive
from discreet.sql.engines import duckdb
from discreet.sql.nodes import Select
from discreet.sql.parsing.parse import parse
from discreet.sql.sets import Sets
from discreet.sql.statements import narrow
from discreet.sql.statements.rows import Logic, Predicate
from discreet.sql.statements.stages import Question, Writer

if TYPE_CHECKING:
    from discreet.dataset import Dataset
    from discreet.sql.answers.answering import Session

VERSION = 2  # of what a text means: what was kept of another meaning is not read


@dataclass(frozen=True, slots=True)
class Materialised:
    """A bounded pre-aggregate, kept on the owner's disk.

    Args:
        question: The question whose per-person contributions are kept.
        path: The file; made with the first question that uses it.
        statement: What makes it, in the engine's SQL.
        declaration: Of the dataset whose rows it keeps; it answers no other.
    """

    question: Question
    path: Path
    statement: str
    declaration: Mapping[str, Any]

    def answers(self, question: Question, groupings: Sets) -> tuple[Question, Sets]:
        """Return a question and its groupings as asked of what is kept.

        Raises:
            UnsupportedQuery: it needs something that is not kept.
        """
        mine = self.question
        if question.relation != mine.relation:
            raise _not_kept("another table or subquery")
        if question.unknown or question.drawn or question.counts("distinct"):
            raise _not_kept("quantiles, distinct values or unknown groups")
        rows = [group.row for group in mine.groups]
        for group in question.groups:
            if group.row not in rows:
                raise _not_kept(f"groups by {group.name}")
        for part in question.primitives:
            summed = part.kind in ("sum", "centred")
            if part.of is not None and part.of not in (mine.summed if summed else mine.counted):
                raise _not_kept(f"the {part.label}")
        more = [term for term in _terms(question.where) if term not in _terms(mine.where)]
        if any(term not in _terms(question.where) for term in _terms(mine.where)):
            raise _not_kept("rows that its WHERE leaves out")
        narrowed = narrow.narrowed(mine.groups, _all(more))
        if any(not narrow.decides(mine.groups, term) for term in more):
            raise _not_kept("conditions on anything but its groups")
        sizes = [len(group.values or ()) for group in narrowed]
        own = [questions.own(group.row, mine.relation, mine.catalog) for group in mine.groups]
        within = Bounds.of(mine.unit, sizes, own)
        bounds = Bounds(min(mine.bounds.groups, within.groups), mine.bounds.rows, within.cells, within.relation, False)
        chosen = tuple(tuple(sorted(rows.index(question.groups[key].row) for key in one)) for one in groupings.chosen)
        found = Sets(tuple(sizes), chosen, tuple(own))
        if found.several and (question.counts("people") or question.counts("some")):
            raise _not_kept("persons in coarser groups")
        asked = replace(
            mine, groups=narrowed, primitives=question.primitives, bounds=bounds, kept=(mine.counted, mine.summed)
        )
        return asked, found

    def labels(self, labels: Labels, select: Select) -> Labels:
        """Return the groups of an answer by the keys of the question, which may be fewer."""
        rows = [group.row for group in self.question.groups]
        places = [rows.index(key) for key in select.keys]
        return Labels(
            [labels.kinds[place] for place in places],
            [labels.values[place] for place in places],
            [labels.places[place] for place in places],
        )

    def build(self, opened: AbstractContextManager[Session]) -> None:
        """Make the file, unless it is there; the source was paid for."""
        if self.path.exists():
            return
        from pyarrow import parquet

        with opened as session:
            found = session.table(self.statement)
        handle, aside = tempfile.mkstemp(prefix=".keeping-", dir=self.path.parent)  # readable by its owner alone
        os.close(handle)
        try:
            parquet.write_table(found, aside)
            os.replace(aside, self.path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise

    @contextmanager
    def opened(self) -> Iterator[duckdb.Opened]:
        """Open what is kept."""
        with (
            tempfile.TemporaryDirectory(prefix="discreet-") as scratch,
            duckdb.connect(scratch, [str(self.path)]) as connection,
        ):
            duckdb.show(connection, BOUNDED, self.path)
            yield duckdb.Opened(connection)


def materialise(dataset: Dataset, sql: str, *, folder: str | Path) -> Materialised:
    """Return a pre-aggregate for later questions: `query(dataset, …, using=…)`. Reads no private row.

    The file is made with the first question that uses it, after that question was charged. It holds, for
    each person and group, the bounded counts and sums of the question: personal data. It is the owner's,
    with mode 0600; take it away when the data changes (a new version uses a file of its own).

    Args:
        dataset: The private table.
        sql: One SELECT of counts, sums, averages and variances; later questions may group by some of its
            keys, ask for some of its values, and choose among its groups in WHERE.
        folder: The owner's folder, made with mode 0700 if it is missing.

    Raises:
        UnsupportedQuery: the question has parts that cannot be kept.
        InvalidInput: the folder cannot be written, or the dataset has no person's column.

    Guarantee: a question over it is as private as it says: the file holds what the engine would work out,
        and what one person moves in a coarser grouping is worked out anew.
    Evidence: proven, docs/proofs/contribution_bounds.md.
    Assumes: nobody but discreet writes to the file; a population's table of one name and version has the same rows
        whichever ledger it is opened with.
    Not protected: the file itself.
    """
    known = questions.catalog(dataset)
    questions.check_units(known)
    select = parse(sql, catalog=known, unit=dataset.unit, views=dataset.views)
    question, _ = questions.question(dataset, known, select)
    if not question.persons:
        raise InvalidInput(
            "nothing is to be kept per person where one row is one unit.", remedy="Declare the person's column."
        )
    if question.unknown or question.drawn or question.counts("distinct"):
        raise UnsupportedQuery(
            "quantiles, distinct values and unknown groups cannot be kept.",
            remedy="Keep counts, sums, averages and variances by declared groups.",
        )
    rows = Primitive("rows", None, 1, 1, ONE)
    parts = tuple(dict.fromkeys((rows, *(part for part in question.primitives if part.kind not in ("people", "some")))))
    question = replace(question, primitives=parts)
    reader = duckdb.DuckDB(dataset.sources)
    writer = Writer(question, reader.dialect, reader.names(question))
    place = Path(folder).absolute()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"{place} cannot be made: {error.strerror}.", remedy="Choose a folder that can be written."
        ) from None
    return Materialised(
        question=question,
        path=place / f"{_name(dataset, select, question)}.parquet",
        statement=writer.dialect.text(writer.bounded()),
        declaration=dataset.declaration,
    )


def _name(dataset: Dataset, select: Select, question: Question) -> str:
    """Return the name of the file: everything that shapes what it holds."""
    facts = {
        "v": VERSION,
        "declaration": dataset.declaration,
        "relation": str(select.relation),
        "where": str(select.where),
        "keys": [str(key) for key in select.keys],
        "values": [str(row) for row in question.counted],
        "summed": [str(row) for row in question.summed],
        "groups": question.bounds.groups,
        "salt": question.salt,
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _terms(where: Predicate | None) -> list[Predicate]:
    """Return the conditions that a WHERE joins by AND."""
    if where is None:
        return []
    if isinstance(where, Logic) and where.operator == "AND":
        return [term for one in where.terms for term in _terms(one)]
    return [where]


def _all(terms: list[Predicate]) -> Predicate | None:
    return None if not terms else terms[0] if len(terms) == 1 else Logic("AND", tuple(terms))


def _not_kept(what: str) -> UnsupportedQuery:
    return UnsupportedQuery(
        f"the question needs {what}, which the pre-aggregate does not keep.",
        remedy="Ask without using=, or materialise a question that has it.",
    )
