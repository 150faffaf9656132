"""From a relation to engine SQL: a SELECT of whose each row is, and of the columns that are wanted.

What a relation holds of one person comes from that person's rows and public tables alone: two private
tables are joined on the person whatever else the query says, and a subquery groups by the person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from discreet.sql.parsing.build import aliased, case, column, conjunction, integer, one, select, subquery
from discreet.sql.statements.dialect import Dialect
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.relations import (
    Catalog,
    Filter,
    Inner,
    Join,
    Known,
    PerPerson,
    Project,
    Relation,
    Scan,
    Union,
    columns,
    finer,
    private,
)
from discreet.sql.statements.rows import Ref, refs
from discreet.sql.statements.rowsql import Rows


@dataclass(frozen=True, slots=True)
class Relations:
    """Writes relations.

    Args:
        dialect: The engine's spelling.
        catalog: The declared tables.
        tables: What the engine calls each of them.
        persons: How many columns identify one privacy unit.
    """

    dialect: Dialect
    catalog: Catalog
    tables: Mapping[str, str]
    persons: int

    def relation(self, node: Relation, wanted: Sequence[Ref]) -> Any:
        """Return a SELECT of the persons u0, … and the columns `wanted`, as c0, c1, …, of a relation."""
        if isinstance(node, Scan):
            return self._scan(node, wanted)
        if isinstance(node, Join):
            return self._join(node, wanted)
        if isinstance(node, Union):
            return self._union(node, wanted)
        below = columns(node.relation, self.catalog)
        if isinstance(node, Filter):
            inner = list(dict.fromkeys([*wanted, *refs(node.where)]))
            rows = self._rows(below, inner, "f")
            chosen = [aliased(rows.plain(ref), f"c{i}") for i, ref in enumerate(wanted)]
            source = subquery(self.relation(node.relation, inner), "f")
            return select([*self._people(node, "f"), *chosen] or [one()], source, where=[rows.predicate(node.where)])
        if isinstance(node, Project):
            named = {Ref(name, node.alias): row for name, row in node.columns}
            inner = list(dict.fromkeys(ref for name in wanted for ref in refs(named[name])))
            rows = self._rows(below, inner, "p")
            chosen = [aliased(rows.column(named[name]), f"c{i}") for i, name in enumerate(wanted)]
            source = subquery(self.relation(node.relation, inner), "p")
            return select([*self._people(node, "p"), *chosen] or [one()], source)
        return self._per_person(node, wanted, below)

    def _rows(self, below: Mapping[Ref, Facts], wanted: Sequence[Ref], table: str) -> Rows:
        return Rows(self.dialect, below, {ref: f"c{i}" for i, ref in enumerate(wanted)}, table)

    def _people(self, node: Relation, table: str) -> list[Any]:
        """Return the columns that say whose a row is; none of a public relation."""
        if not private(node, self.catalog):
            return []
        return [aliased(column(f"u{i}", table), f"u{i}") for i in range(self.persons)]

    def _scan(self, node: Scan, wanted: Sequence[Ref], extra: str = "") -> Any:
        """Return the declared columns of a table; `extra` is one more, as x."""
        from sqlglot import exp

        known, table = self.catalog[node.table], self.tables[node.table]

        def read(name: str, *, person: bool = False) -> Any:
            return self.dialect.read(name, known.domain[name], table, person=person)

        own = known.persons if self.persons else ()
        chosen = [aliased(read(name, person=True), f"u{i}") for i, name in enumerate(own)]
        # A person's column is read in one way wherever it stands: else 1.2 might be grouped as 1.
        chosen += [aliased(read(ref.name, person=ref.name in own), f"c{i}") for i, ref in enumerate(wanted)]
        if extra:
            chosen.append(aliased(read(extra), "x"))
        source = exp.Table(this=exp.to_identifier(table, quoted=True))
        if known.link is None:
            return select(chosen or [one()], source, where=self._in_period(known, read))
        chosen.append(aliased(read(known.link.column), "k"))
        parent = self._scan(Scan(known.link.table), (), known.link.key)
        passed = [*(f"c{i}" for i in range(len(wanted))), *(["x"] if extra else [])]
        names = [aliased(column(f"u{i}", "r"), f"u{i}") for i in range(self.persons)]
        names += [aliased(column(name, "l"), name) for name in passed]
        on = exp.EQ(this=column("k", "l"), expression=column("x", "r"))
        joined = exp.Join(this=subquery(parent, "r"), on=on)
        return select(names, subquery(select(chosen, source), "l"), joins=[joined])

    def _in_period(self, known: Known, read: Callable[..., Any]) -> list[Any]:
        """Return the condition that a row is of one of the periods that are asked: by the column that says whose it is."""
        from sqlglot import exp

        if not known.periods:
            return []
        literal = Rows(self.dialect, {}, {}, "").literal
        period = exp.Paren(this=read(known.persons[1], person=True))
        return [exp.In(this=period, expressions=[literal(value) for value in known.periods])]

    def _join(self, node: Join, wanted: Sequence[Ref]) -> Any:
        """Return the rows of both sides that belong together: of one person, whatever the query says."""
        from sqlglot import exp

        catalog = self.catalog
        sides, inner = (node.left, node.right), []
        for side, place in ((node.left, 0), (node.right, 1)):
            here = columns(side, catalog)
            needed = [ref for ref in wanted if ref in here] + [pair[place] for pair in node.on]
            inner.append(list(dict.fromkeys(needed)))
        found = {ref: (f"c{i}", name) for name, refs_ in zip("lr", inner, strict=True) for i, ref in enumerate(refs_)}
        conditions: list[Any] = [
            exp.EQ(this=column(*found[left]), expression=column(*found[right])) for left, right in node.on
        ]
        if all(private(side, catalog) for side in sides):
            conditions += [
                exp.EQ(this=column(f"u{i}", "l"), expression=column(f"u{i}", "r")) for i in range(self.persons)
            ]
        owner = "l" if private(node.left, catalog) else "r"
        chosen = [*self._people(node, owner), *(aliased(column(*found[ref]), f"c{i}") for i, ref in enumerate(wanted))]
        join = exp.Join(this=subquery(self.relation(node.right, inner[1]), "r"), on=conjunction(conditions))
        if node.outer:
            join.set("side", "LEFT")
        return select(chosen or [one()], subquery(self.relation(node.left, inner[0]), "l"), joins=[join])

    def _union(self, node: Union, wanted: Sequence[Ref]) -> Any:
        from sqlglot import exp

        names = [ref.name for ref in columns(node, self.catalog)]
        places = [names.index(ref.name) for ref in wanted]
        parts = []
        for part in node.parts:
            offered = list(columns(part, self.catalog))
            parts.append(self.relation(part, [offered[place] for place in places]))
        joined = parts[0]
        for part in parts[1:]:
            joined = exp.Union(this=joined, expression=part, distinct=False)
        chosen = [*self._people(node, "a"), *(aliased(column(f"c{i}", "a"), f"c{i}") for i in range(len(wanted)))]
        return select(chosen or [one()], subquery(joined, "a"))

    def _per_person(self, node: PerPerson, wanted: Sequence[Ref], below: Mapping[Ref, Facts]) -> Any:
        items = dict(node.aggregates)
        arguments = [row for _, row in node.keys]
        arguments += [item.argument for item in items.values() if item.argument is not None]
        inner = list(dict.fromkeys(ref for row in arguments for ref in refs(row)))
        rows = self._rows(below, inner, "g")
        keys = dict(node.keys)
        chosen = []
        for i, ref in enumerate(wanted):
            value = self._inner(items[ref.name], rows) if ref.name in items else rows.column(keys[ref.name])
            chosen.append(aliased(value, f"c{i}"))
        group = [column(f"u{i}", "g") for i in range(self.persons)]
        group += [rows.column(row) for row in keys.values()]
        source = subquery(self.relation(node.relation, inner), "g")
        return select([*self._people(node, "g"), *chosen], source, group=group)

    def _inner(self, item: Inner, rows: Rows) -> Any:
        """Return an aggregate over the rows of one person, in 128-bit integers where it is a total."""
        from sqlglot import exp

        if item.function == "COUNT" and item.argument is None:
            return self.dialect.cast(exp.Count(this=exp.Star(), big_int=True), "WIDE")
        assert item.argument is not None
        if item.function == "COUNT":
            return self.dialect.cast(exp.Count(this=rows.column(item.argument), big_int=True), "WIDE")
        if item.function == "COUNT DISTINCT":
            distinct = exp.Distinct(expressions=[rows.column(item.argument)])
            return self.dialect.cast(exp.Count(this=distinct, big_int=True), "WIDE")
        if item.function in ("MIN", "MAX"):
            numeric = rows.facts(item.argument).type in ("integer", "float")
            value = rows.steps(item.argument) if numeric else rows.column(item.argument)
            return (exp.Min if item.function == "MIN" else exp.Max)(this=value)
        value = rows.steps(item.argument)
        total = exp.Sum(this=self.dialect.cast(value, "WIDE"))
        if item.function == "SUM":
            return total
        return self._mean(rows.facts(item.argument), total, exp.Count(this=value.copy(), big_int=True))

    def _mean(self, found: Facts, total: Any, count: Any) -> Any:
        """Return the average of a person's values, in steps that are finer than theirs, and to the nearest of them.

        Taken above the lower bound, for a division cuts off towards zero. The numbers stay below 2**42 for each row.
        """
        from sqlglot import exp

        times = finer(found)
        low = times * found.range[0]
        several = self.dialect.cast(count, "WIDE")
        above = exp.Sub(
            this=exp.Mul(this=total, expression=integer(2 * times)),
            expression=exp.Mul(this=several, expression=exp.Paren(this=integer(2 * low - 1))),
        )
        twice = exp.Paren(this=exp.Mul(this=several.copy(), expression=integer(2)))
        nearest = exp.Add(this=self.dialect.divided(exp.Paren(this=above), twice), expression=integer(low))
        some = exp.GT(this=count.copy(), expression=integer(0))
        return self.dialect.cast(case((some, exp.Paren(this=nearest))), "BIGINT")
