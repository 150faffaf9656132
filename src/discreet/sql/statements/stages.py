"""From a question to engine queries that clamp, round, bound and sum integers.

Built as sqlglot expressions from our nodes alone; no text of the analyst passes. Each query is
total: every step is defined for every input, so that no row can make it fail.

    typed     the columns of the question's relation, each as its declared type, and the person
    kept      the rows that count: a person, a group, the WHERE; values in whole grid steps
    person    per person and group: rows, readable values, sums
    bounded   at most K groups of each person, counts and sums as of at most R rows
    total     per group: exact integers, which leave the engine in two halves
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from discreet.domains import Key
from discreet.ledger import Period
from discreet.sql.answers.drawn import Drawn
from discreet.sql.bound import Bounds, Primitive
from discreet.sql.parsing.build import aliased, case, integer, missing, name_of, one, select
from discreet.sql.statements.dialect import SPLIT, Dialect
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.relations import Catalog, Relation, columns, periods
from discreet.sql.statements.relationsql import Relations
from discreet.sql.statements.rows import Predicate, Ref, Row, refs
from discreet.sql.statements.rowsql import Rows
from discreet.units import PrivacyUnit

__all__ = ["SPLIT", "Group", "Question", "Writer", "salt"]


@dataclass(frozen=True, slots=True)
class Group:
    """One part of a GROUP BY.

    Args:
        name: What the query calls it.
        row: What is grouped by.
        values: The groups answered for, in order; None: those that a private selection finds.
    """

    name: str
    row: Row
    values: tuple[Key, ...] | None


@dataclass(frozen=True, slots=True)
class Question:
    """What the engine computes: exact integers per group.

    Args:
        relation: Where the rows come from.
        catalog: The declared tables.
        unit: Who is protected.
        bounds: What one unit may touch.
        groups: What to group by.
        primitives: What to compute.
        drawn: What to draw from histograms.
        where: Which rows.
        salt: Public number that decides which groups of a person are kept.
        kept: The values that are counted and those that are summed, where more are than the primitives need.
        columns: The facts of the relation's columns. Worked out, as are the next two.
        counted: The values that are counted or summed.
        summed: Those of them that are summed.
    """

    relation: Relation
    catalog: Catalog
    unit: PrivacyUnit
    bounds: Bounds
    groups: tuple[Group, ...]
    primitives: tuple[Primitive, ...]
    drawn: tuple[Drawn, ...]
    where: Predicate | None
    salt: int
    kept: tuple[tuple[Row, ...], tuple[Row, ...]] | None = None
    columns: Mapping[Ref, Facts] = field(init=False)
    counted: tuple[Row, ...] = field(init=False)
    summed: tuple[Row, ...] = field(init=False)

    def __post_init__(self) -> None:
        linear = [item for item in self.primitives if item.kind in ("values", "some", "sum", "centred")]
        counted = dict.fromkeys(item.of for item in linear if item.of is not None)
        summed = dict.fromkeys(item.of for item in linear if item.kind in ("sum", "centred"))
        object.__setattr__(self, "columns", columns(self.relation, self.catalog))
        object.__setattr__(self, "counted", tuple(counted) if self.kept is None else self.kept[0])
        object.__setattr__(self, "summed", tuple(summed) if self.kept is None else self.kept[1])

    @property
    def persons(self) -> int:
        """How many columns identify one privacy unit; 0 where one row is one."""
        return len([item for item in (self.unit.column, self.unit.per) if item]) if self.unit.enforced else 0

    @property
    def periods(self) -> tuple[Period, ...]:
        """The periods whose rows alone are read; none if rows of all are."""
        return periods(self.relation, self.catalog)

    @property
    def looked(self) -> list[tuple[Row, bool]]:
        """The values whose histograms or numbers are asked for, and whether they are taken in steps."""
        distinct = [(item.of, False) for item in self.primitives if item.kind == "distinct" and item.of is not None]
        drawn = [(item.value, item.aggregates[0].function != "MODE") for item in self.drawn]
        return list(dict.fromkeys(distinct + drawn))

    @property
    def unknown(self) -> bool:
        """Whether a private selection finds the groups."""
        return any(item.values is None for item in self.groups)

    @property
    def alone(self) -> bool:
        """Whether one query answers everything."""
        return not (self.unknown or self.drawn or self.counts("distinct"))

    @property
    def wanted(self) -> list[Ref]:
        """The columns of the relation that are read."""
        rows: list[Row | Predicate] = [item.row for item in self.groups]
        rows += [item.of for item in self.primitives if item.of is not None]
        rows += [item.value for item in self.drawn]
        rows += [self.where] if self.where is not None else []
        return list(dict.fromkeys(ref for row in rows for ref in refs(row)))

    def counts(self, kind: str) -> bool:
        """Return whether any primitive is of a kind."""
        return any(item.kind == kind for item in self.primitives)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the engine queries of a question.

    Args:
        question: The question.
        dialect: The engine's spelling.
        tables: What the engine calls each declared table.
    """

    question: Question
    dialect: Dialect
    tables: Mapping[str, str]

    def over_cells(self) -> Writer:
        """Return the writer of the same question by the numbers of the groups that a selection found.

        Nobody knows how many there will be: a person is in at most K of them, and those are chosen.
        """
        bounds = replace(self.question.bounds, sampled=True)
        group = Group("cell", Ref("cell"), None)
        return replace(self, question=replace(self.question, groups=(group,), bounds=bounds))

    # ---------------------------------------------------------------------------------------- rows

    def kept(self) -> Any:
        """Return the rows that count: a person, a group, and the WHERE; values in grid steps."""
        from sqlglot import exp

        question = self.question
        names = {ref: f"c{i}" for i, ref in enumerate(question.wanted)}
        rows = Rows(self.dialect, question.columns, names, "typed")
        chosen: list[Any] = [name_of(f"u{i}") for i in range(question.persons)]
        where: list[Any] = [exp.Not(this=missing(name_of(f"u{i}"))) for i in range(question.persons)]
        for i, group in enumerate(question.groups):
            value = rows.key(group.row)
            where.append(exp.Paren(this=self._in_a_group(rows, group, value.copy())))
            chosen.append(aliased(self._narrow_key(value, group), f"k{i}"))
        for i, row in enumerate(question.counted):
            value = rows.steps(row) if row in question.summed else rows.column(row)
            chosen.append(aliased(value, f"v{i}"))
        for i, (row, stepped) in enumerate(question.looked):
            chosen.append(aliased(rows.steps(row) if stepped else rows.key(row), f"d{i}"))
        if question.where is not None:
            where.append(exp.Paren(this=rows.predicate(question.where)))
        return select(chosen or [one()], "typed", where=where)

    def _in_a_group(self, rows: Rows, group: Group, value: Any) -> Any:
        from sqlglot import exp

        if group.values is None:
            return exp.Not(this=missing(value))
        return rows.declared(value, group.values)

    def _narrow_key(self, value: Any, group: Group) -> Any:
        """Return a key, integers as narrow as the declared ones allow: grouping and sorting get faster.

        TRY_CAST, because the engine may narrow a row before it filters it.
        """
        numbers = [abs(key) for key in group.values or () if type(key) is int]
        return self.dialect.attempt(value, self.dialect.fitting(max(numbers))) if numbers else value

    # ------------------------------------------------------------------------------------- persons

    def query(self, rows: str | None = None, stages: Mapping[str, Any] | None = None) -> Any:
        """Return the query of all noisy integers but distinct counts.

        Its columns: k0, k1, … the keys; h0, l0, h1, l1, … the halves of each primitive.

        Args:
            rows: The table that holds the kept rows, if there is one.
            stages: The stages that make that table, where it is none of the engine's.
        """
        stages = self.rows() if rows is None else {**(stages or {})}
        stages |= {"person": self._person(rows or "kept"), "bounded": self._bounded(), "total": self._totals("bounded")}
        return self._halved(stages)

    def bounded(self) -> Any:
        """Return what each person adds to each group, at most K of them: personal data, to be kept by the owner."""
        stages = self.rows() | {"person": self._person("kept"), "bounded": self._bounded(people=True)}
        names = [*self.people, *self.keys, "b", *(f"b{i}" for i in range(len(self.question.counted)))]
        names += [f"z{i}" for i, row in enumerate(self.question.counted) if row in self.question.summed]
        return select([*map(name_of, names)], "bounded", where=self._few(), stages=stages)

    def over_bounded(self, table: str) -> Any:
        """Return the query of all noisy integers over a table that `bounded` made."""
        return self._halved({"total": self._totals(table, few=False)})

    def _halved(self, stages: dict[str, Any]) -> Any:
        chosen: list[Any] = [name_of(f"k{i}") for i in range(len(self.question.groups))]
        for j in range(len(self.question.primitives)):
            if self.question.primitives[j].kind != "distinct":
                high, low = self.dialect.halves(f"t{j}")
                chosen += [aliased(high, f"h{j}"), aliased(low, f"l{j}")]
        return select(chosen, "total", stages=stages)

    def rows(self) -> dict[str, Any]:
        """Return the stages that make the kept rows."""
        question = self.question
        relations = Relations(self.dialect, question.catalog, self.tables, question.persons)
        return {"typed": relations.relation(question.relation, question.wanted), "kept": self.kept()}

    @property
    def people(self) -> list[str]:
        """The engine's names of the person's columns."""
        return [f"u{i}" for i in range(self.question.persons)]

    @property
    def keys(self) -> list[str]:
        """The engine's names of the keys."""
        return [f"k{i}" for i in range(len(self.question.groups))]

    def _person(self, rows: str) -> Any:
        """Return, per person and group, the row count n, and of each counted value its count and sum."""
        from sqlglot import exp

        chosen = [name_of(name) for name in (*self.people, *self.keys)]
        if self.question.counts("rows"):
            chosen.append(aliased(exp.Count(this=exp.Star(), big_int=True), "n"))
        for i, row in enumerate(self.question.counted):
            chosen.append(aliased(exp.Count(this=name_of(f"v{i}"), big_int=True), f"n{i}"))
            if row in self.question.summed:
                chosen.append(aliased(self.dialect.person_total(name_of(f"v{i}")), f"s{i}"))
        return select(chosen or [one()], rows, group=[name_of(name) for name in (*self.people, *self.keys)])

    def _bounded(self, *, people: bool = False) -> Any:
        """Return at most K groups of each person, and in each counts and sums as of at most R rows.

        Without a person's column one row is one unit, and nothing is bounded.
        """
        from sqlglot import exp

        question, dialect = self.question, self.dialect
        rows = question.bounds.rows if question.persons else None
        chosen: list[Any] = [name_of(name) for name in (*(self.people if people else ()), *self.keys)]
        counts = [("n", "b")] if question.counts("rows") else []
        # Other names than the stage before: an engine that prefers its own aliases cannot bind to them.
        for name, bounded in (*counts, *((f"n{i}", f"b{i}") for i in range(len(question.counted)))):
            value = name_of(name)
            if rows is not None:
                value = case((exp.GT(this=value, expression=integer(rows)), integer(rows)), default=value.copy())
                value = dialect.cast(value, dialect.fitting(rows))
            chosen.append(aliased(value, bounded))
        for i, row in enumerate(question.counted):
            if row not in question.summed:
                continue
            value, count = name_of(f"s{i}"), name_of(f"n{i}")
            if rows is not None:
                low, high = self._range(row)
                product = exp.Paren(this=exp.Mul(this=dialect.cast(value, "WIDE"), expression=integer(rows)))
                scaled = dialect.divided(product, count)
                value = case((exp.GT(this=count.copy(), expression=integer(rows)), scaled), default=value.copy())
                value = dialect.cast(value, dialect.fitting(rows * max(abs(low), abs(high))))
            chosen.append(aliased(value, f"z{i}"))
        if not question.bounds.sampled:
            return select(chosen or [one()], "person")
        chosen.append(aliased(self.place(), "place"))
        return select(chosen, "person")

    def _range(self, row: Row) -> tuple[int, int]:
        found = Rows(self.dialect, self.question.columns, {}, "").facts(row)
        low, high, _ = found.range
        return low, high

    def place(self) -> Any:
        """Return the place of a group, which is one row here, among those of its person, in the order of a public hash.

        Two sort keys on purpose: the second decides ties, and without it DuckDB rewrites the window
        into a slower list aggregate.
        """
        from sqlglot import exp

        order = [
            exp.Ordered(
                this=self.dialect.chance([name_of(name) for name in (*self.people, *self.keys)], self.question.salt),
                nulls_first=False,
            )
        ]
        order += [exp.Ordered(this=name_of(key), nulls_first=False) for key in self.keys]
        return exp.Window(
            this=exp.RowNumber(),
            partition_by=[name_of(name) for name in self.people],
            order=exp.Order(expressions=order),
        )

    def _few(self) -> list[Any]:
        """Return the condition that a group is one of the K that count."""
        from sqlglot import exp

        bounds = self.question.bounds
        return [exp.LTE(this=name_of("place"), expression=integer(bounds.groups))] if bounds.sampled else []

    def _totals(self, table: str, *, few: bool = True) -> Any:
        """Return, per group, each primitive t0, t1, … as an exact 128-bit integer."""
        from sqlglot import exp

        question = self.question
        chosen: list[Any] = [name_of(name) for name in self.keys]
        for j, item in enumerate(question.primitives):
            if item.kind == "distinct":
                continue
            if item.kind == "people":
                chosen.append(aliased(self.dialect.cast(exp.Count(this=exp.Star(), big_int=True), "WIDE"), f"t{j}"))
                continue
            i = None if item.of is None else question.counted.index(item.of)
            if item.kind == "some":
                there = exp.GT(this=name_of(f"b{i}"), expression=integer(0))
                value = self.dialect.total(case((there, integer(1)), default=integer(0)))
                chosen.append(aliased(value, f"t{j}"))
                continue
            count = self.dialect.total(name_of("b" if i is None else f"b{i}"))
            value = count if item.kind in ("rows", "values") else self.dialect.total(name_of(f"z{i}"))
            if item.kind == "centred":  # linear, so it may be worked out from the totals
                value = exp.Sub(
                    this=exp.Mul(this=value, expression=integer(item.factor)),
                    expression=exp.Mul(this=count, expression=integer(item.shift)),
                )
            chosen.append(aliased(value, f"t{j}"))
        where = self._few() if few else []
        return select(chosen or [one()], table, where=where, group=[name_of(name) for name in self.keys])


def salt(name: str, version: str) -> int:
    """Return the public number that decides group sampling: fixed by the data's name and version."""
    import hashlib

    digest = hashlib.sha256(f"discreet\0{name}\0{version}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2
