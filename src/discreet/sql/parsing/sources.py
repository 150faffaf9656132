"""FROM: tables, joins, CTEs and subqueries, as an analyst writes them.

What would mix the rows of several people below the aggregates is refused here, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from discreet.errors import UnsupportedQuery
from discreet.sql.parsing import grouped
from discreet.sql.parsing.copies import Copies
from discreet.sql.parsing.grammar import unread
from discreet.sql.parsing.predicates import bare, flat, predicate
from discreet.sql.parsing.refuse import JOINS, extra_arguments, refuse, unsupported
from discreet.sql.parsing.scope import Scope
from discreet.sql.statements import relations
from discreet.sql.statements.relations import (
    Catalog,
    Filter,
    Inner,
    Join,
    PerPerson,
    Project,
    Relation,
    Scan,
    Union,
)
from discreet.sql.statements.rows import Ref, Row
from discreet.units import PrivacyUnit

SUBQUERY = {"expressions", "from_", "joins", "where", "group", "having", "distinct", "with_"}
MAX_SUBQUERIES = 32
MAX_READS = 16  # of private tables: each may double a person's rows before they are bounded
MAX_JOINED = 4  # private tables in one join: n rows of a person in each are n**4, and few machines have room for more
MAX_TABLES = 64  # of all: a CTE that joins itself doubles them, and so does the next one
ON_PERSON = "Join on the person: a row of one person beside a row of another would belong to both."
IN_VIEW = "in the view "


@dataclass(slots=True)
class Sources:
    """Reads FROM clauses.

    Args:
        catalog: The declared tables.
        unit: Who is protected.
        views: Views that the owner defines, by name: each returns its tree of sqlglot.
        named: CTEs that were read so far.
        copies: What the query says again, its views included.
    """

    catalog: Catalog
    unit: PrivacyUnit
    views: Mapping[str, Callable[[], Any]]
    named: dict[str, Project | PerPerson | Union] = field(default_factory=dict)
    depth: int = 0
    copies: Copies = field(default_factory=Copies)

    def read(self, tree: Any) -> tuple[Relation, Scope]:
        """Return the relation of a SELECT's FROM, and what names mean above it."""
        self._with(tree.args.get("with_"))
        start = tree.args.get("from_")
        if start is None:
            raise unsupported("a SELECT without FROM", "Write FROM and the table's name.")
        joins = tree.args.get("joins") or []
        relation, label = self._item(start.this, alone=not joins)
        labels = {name.lower(): relations_label(relation) for name in label}
        for join in joins:
            right, label = self._item(join.this, alone=False)
            for name in label:
                if name.lower() in labels:
                    raise unsupported(f"two tables named {name!r} in one FROM", "Give each its own name with AS.")
                labels[name.lower()] = relations_label(right)
            relation = self._join(join, relation, right, labels)
        return relation, self.scope(relation, labels)

    def scope(self, relation: Relation, labels: Mapping[str, str]) -> Scope:
        """Return what names mean above a relation."""
        return Scope(
            columns=relations.columns(relation, self.catalog),
            labels=labels,
            people=relations.owners(relation, self.catalog),
            source=", ".join(dict.fromkeys(scan.table for scan in relations.scans(relation))),
            copies=self.copies,
        )

    # --------------------------------------------------------------------------------- FROM, WITH

    def _with(self, clause: Any) -> None:
        if clause is None:
            return
        if clause.args.get("recursive"):
            raise unsupported("WITH RECURSIVE", "Write the steps out.")
        for item in clause.expressions:
            refusal = extra_arguments(item, {"this", "alias"})
            if refusal is not None or item.args["alias"].args.get("columns"):
                raise refusal or unsupported("a CTE with column names", "Name the columns in its SELECT with AS.")
            self.named[item.alias.lower()] = self.subquery(item.this)

    def _item(self, node: Any, *, alone: bool) -> tuple[Relation, tuple[str, ...]]:
        """Return one table or subquery of a FROM, and the names that it goes by."""
        from sqlglot import exp

        if isinstance(node, exp.Subquery):
            refusal = extra_arguments(node, {"this", "alias"})
            if refusal is not None:
                raise refusal
            found = self.subquery(node.this)
            name = node.alias
            if not name and not alone:
                raise unsupported("a subquery without a name in a join", "Give it a name: (SELECT …) AS x.")
            return replace(found, alias="" if alone else name), (name,) if name else ()
        refusal = extra_arguments(node, {"this", "alias"}) if isinstance(node, exp.Table) else refuse(node)
        if refusal is not None:
            raise refusal
        if not isinstance(node.this, exp.Identifier):
            raise refuse(node.this)
        alias = node.args.get("alias")
        refusal = None if alias is None else extra_arguments(alias, {"this"})
        if refusal is not None:
            raise refusal
        name = alias.name if alias is not None else node.name
        names = (name, node.name) if alone else (name,)
        return self._named(node.name, "" if alone else name), tuple(dict.fromkeys(names))

    def _named(self, name: str, alias: str) -> Relation:
        """Return what a name in FROM stands for: a CTE, a declared table, or a view of the owner's."""
        if name.lower() in self.named:
            return replace(self.named[name.lower()], alias=alias)
        for known in self.catalog:
            if known.lower() == name.lower():
                return Scan(known, alias)
        for known in self.views:
            if known.lower() == name.lower():
                return replace(self._view(known), alias=alias)
        declared = ", ".join((*self.catalog, *self.views))
        raise UnsupportedQuery(
            f"the query reads the table {name!r}; this dataset has {declared}.",
            remedy=f"Write FROM {next(iter(self.catalog))}. Tables of other populations are asked by themselves.",
        )

    def _view(self, name: str) -> Project | PerPerson | Union:
        inner = Sources(self.catalog, self.unit, self.views, depth=self.depth + 1, copies=self.copies)
        try:
            tree = self.views[name]()
            found = inner.subquery(tree)
            if (left := unread(tree)) is not None:
                raise left
        except UnsupportedQuery as refusal:
            if refusal.what.startswith(IN_VIEW):  # in a view of this one, which is named
                raise
            raise UnsupportedQuery(f"{IN_VIEW}{name!r}: {refusal.what}", remedy=refusal.remedy) from None
        return found

    # ---------------------------------------------------------------------------------------- joins

    def _join(self, join: Any, left: Relation, right: Relation, labels: Mapping[str, str]) -> Relation:
        refusal = extra_arguments(join, {"this", "on", "using", "side", "kind", "method"})
        if refusal is not None:
            raise refusal
        side, kind = str(join.args.get("side") or "").upper(), str(join.args.get("kind") or "").upper()
        if join.args.get("method") or kind not in ("", "INNER", "OUTER") or side not in ("", "LEFT", "RIGHT"):
            written = " ".join(part for part in (str(join.args.get("method") or ""), side, kind) if part)
            remedies = (remedy for word, remedy in JOINS.items() if word in written.upper())
            raise unsupported(f"{written.upper()} JOIN", next(remedies, "Use JOIN or LEFT JOIN with ON a.x = b.x."))
        if not self.unit.enforced:
            raise unsupported(
                "a join where one row is one unit", "Declare the person's column, or join the table beforehand."
            )
        self._check_reads(left, right)
        if side == "RIGHT":
            left, right = right, left
        pairs = self._pairs(join, left, right, labels)
        owned = [relations.private(part, self.catalog) for part in (left, right)]
        if side and not owned[0]:
            raise unsupported(
                "a public table that keeps its rows in an outer join", "Let the private table keep its rows."
            )
        joined = relations.joined(left, self.catalog) + relations.joined(right, self.catalog)
        if joined > MAX_JOINED:
            raise unsupported(
                f"a join of {joined} private tables",
                f"Rows of a person multiply in it: join at most {MAX_JOINED}, or aggregate by person first.",
            )
        if all(owned) and not self._on_person(pairs, left, right):
            if self.unit.per is not None:
                raise unsupported(
                    "a join of private tables on anything but the person and the period",
                    f"The unit is a person in a period: join on {self.unit.column} and on {self.unit.per}.",
                )
            raise unsupported("a join of private tables on anything but the person", ON_PERSON)
        return Join(left, right, pairs, outer=bool(side))

    def _pairs(
        self, join: Any, left: Relation, right: Relation, labels: Mapping[str, str]
    ) -> tuple[tuple[Ref, Ref], ...]:
        first, second = (self.scope(part, labels) for part in (left, right))
        using = join.args.get("using") or []
        pairs = [(first.named(item.name), second.named(item.name)) for item in using]
        if join.args.get("on") is not None:
            from sqlglot import exp

            both = Scope({**first.columns, **second.columns}, labels, source=first.source)
            terms = flat(join.args["on"]) if isinstance(join.args["on"], exp.And) else [join.args["on"]]
            for term in terms:
                term = bare(term)
                sides = [bare(term.left), bare(term.right)] if isinstance(term, exp.EQ) else []
                if len(sides) != 2 or not all(isinstance(one, exp.Column) for one in sides):
                    raise unsupported(
                        "ON with anything but equal columns", "Write ON a.x = b.x, and the rest in WHERE."
                    )
                a, b = (both.column(one) for one in sides)
                a, b = (a, b) if a in first.columns else (b, a)
                if a not in first.columns or b not in second.columns:
                    raise unsupported(
                        "ON that compares columns of one side", "Write ON a.x = b.x, and the rest in WHERE."
                    )
                pairs.append((a, b))
        if not pairs:
            raise unsupported("a join without ON", "Write ON a.x = b.x.")
        for a, b in pairs:
            one, two = first.columns[a], second.columns[b]
            if (one.type, one.stepped, one.step if one.stepped else None) != (
                two.type, two.stepped, two.step if two.stepped else None,
            ):  # fmt: skip
                raise unsupported(f"a join of {a} and {b}, which are of different types", "Declare them alike.")
        return tuple(dict.fromkeys(pairs))

    def _on_person(self, pairs: tuple[tuple[Ref, Ref], ...], left: Relation, right: Relation) -> bool:
        """Return whether a join's pairs say that both rows are of one person (the engine sees to it in any case)."""
        for place in range(2 if self.unit.per else 1):
            first, second = (relations.owners(part, self.catalog, place) for part in (left, right))
            if not any(a in first and b in second for a, b in pairs):
                break
        else:
            return True
        return any(self._linked(a, b, left, right) or self._linked(b, a, right, left) for a, b in pairs)

    def _linked(self, ours: Ref, theirs: Ref, left: Relation, right: Relation) -> bool:
        """Return whether two columns are a declared foreign key and what it points to."""
        for scan in relations.scans(left):
            link = self.catalog[scan.table].link
            if link is None or ours != Ref(link.column, scan.alias):
                continue
            if any(item.table == link.table and theirs == Ref(link.key, item.alias) for item in relations.scans(right)):
                return True
        return False

    # ----------------------------------------------------------------------------------- subqueries

    def subquery(self, tree: Any) -> Project | PerPerson | Union:
        """Return a subquery of private or public rows; it releases nothing by itself."""
        from sqlglot import exp

        self.depth += 1
        if self.depth > MAX_SUBQUERIES:
            raise UnsupportedQuery("the query has too many subqueries.", remedy="Write it simpler.")
        if isinstance(tree, exp.Subquery):  # in parentheses: a WITH before them is read by nobody
            refusal = extra_arguments(tree, {"this", "alias"})
            if refusal is not None:
                raise refusal
            tree = tree.this
        before = dict(self.named)
        found = self._union(tree) if isinstance(tree, exp.Union) else self._select(tree)
        self.named = before  # what its WITH names, it names for itself
        return found

    def _select(self, tree: Any) -> Project | PerPerson:
        """Return one SELECT of a subquery."""
        from sqlglot import exp

        if not isinstance(tree, exp.Select):
            raise refuse(tree)
        if tree.args.get("order") is not None or tree.args.get("limit") is not None:
            raise unsupported(
                "ORDER BY or LIMIT in a subquery", "Remove it: which rows come first would depend on other people's."
            )
        refusal = extra_arguments(tree, SUBQUERY)
        if refusal is not None:
            raise refusal
        relation, scope = self.read(tree)
        where = tree.args.get("where")
        if where is not None:
            relation = Filter(relation, predicate(where.this, scope))
        named = grouped.selected(tree, scope)
        per_person = tree.args.get("group") is not None or any(isinstance(item, Inner) for _, item in named)
        if per_person or tree.args.get("distinct") is not None:
            found: Project | PerPerson = self._per_person(tree, relation, scope, named)
        else:
            found = Project(relation, tuple((name, item) for name, item in named if not isinstance(item, Inner)))
        having = tree.args.get("having")
        if having is not None:
            found = _named(self._having(having, found, scope), named)
        relations.columns(found, self.catalog)
        if isinstance(found, PerPerson) and [*dict((*found.keys, *found.aggregates))] != [name for name, _ in named]:
            found = _named(found, named)
        if per_person and tree.args.get("distinct") is not None:  # of the groups, once they are made
            columns = list(relations.columns(found, self.catalog))
            self._check_own(found, columns)
            return PerPerson(found, tuple((ref.name, ref) for ref in columns), ())
        return found

    def _per_person(
        self, tree: Any, relation: Relation, scope: Scope, named: list[tuple[str, Row | Inner]]
    ) -> PerPerson:
        keys = grouped.keys(tree, scope, named)
        if not relations.private(relation, self.catalog):
            raise unsupported("a subquery that aggregates a public table", "Declare the result as a public table.")
        self._check_own(relation, keys)
        chosen, aggregates = [], []
        for name, item in named:
            if isinstance(item, Inner):
                aggregates.append((name, item))
            elif item in keys:
                chosen.append((name, item))
            else:
                raise UnsupportedQuery(
                    f"{item} stands in a grouped subquery by itself.", remedy="Add it to its GROUP BY."
                )
        chosen += [(f"key {i}", key) for i, key in enumerate(keys) if key not in dict(named).values()]
        return PerPerson(relation, tuple(chosen), tuple(aggregates))

    def _check_own(self, relation: Relation, keys: Sequence[Row]) -> None:
        """Refuse groups that hold rows of several people."""
        for place in range(2 if self.unit.per else 1):
            if not self.unit.enforced or not relations.owners(relation, self.catalog, place) & set(keys):
                wanted = f"the person, {self.unit.column or 'if the dataset has such a column'}"
                if self.unit.per is not None:
                    wanted = f"the person and the period, {self.unit.column} and {self.unit.per}"
                raise unsupported(
                    "a subquery that aggregates over several people",
                    f"Group it by {wanted}: an inner aggregate is exact, so it must be one person's. SELECT DISTINCT "
                    "has to name it, too.",
                )

    def _having(self, having: Any, found: Project | PerPerson, scope: Scope) -> Filter:
        """Return the groups of a person for which a condition holds."""
        if not isinstance(found, PerPerson):
            raise unsupported("HAVING in a subquery without GROUP BY", "Write the condition into WHERE.")
        full, condition = grouped.having(having.this.copy(), found, scope)
        return Filter(full, predicate(condition, self.scope(full, {})))

    def _check_reads(self, *parts: Relation) -> None:
        """Refuse what reads too many tables, before it is put together: the next one may read it twice."""
        read = [not self.catalog[scan.table].public for part in parts for scan in relations.scans(part)]
        for kind, reads, most in (("private tables", sum(read), MAX_READS), ("tables", len(read), MAX_TABLES)):
            if reads > most:
                raise UnsupportedQuery(
                    f"the query reads {kind} {reads} times or more, views and subqueries included; at most {most} are "
                    "taken.",
                    remedy="Ask several questions, or let the owner join them beforehand.",
                )

    def _union(self, tree: Any) -> Union:
        refusal = extra_arguments(tree, {"this", "expression", "with_"})
        if tree.args.get("distinct") or type(tree).__name__ != "Union":
            raise unsupported("UNION without ALL", "Write UNION ALL: a person's rows count within their bounds anyway.")
        if refusal is not None:
            raise refusal
        self._with(tree.args.get("with_"))
        if not self.unit.enforced:
            raise unsupported("UNION ALL where one row is one unit", "Declare the person's column.")
        parts: list[Project | PerPerson | Union] = []
        waiting = [tree.expression, tree.this]
        while waiting:
            item = waiting.pop()
            if type(item).__name__ == "Subquery" and extra_arguments(item, {"this", "alias"}) is None:
                item = item.this
            if type(item).__name__ == "Union" and extra_arguments(item, {"this", "expression"}) is None:
                waiting += [item.expression, item.this]
            else:
                parts.append(self.subquery(item))
                self._check_reads(*parts)
        if len({relations.private(part, self.catalog) for part in parts}) > 1:
            raise unsupported("UNION ALL of private and public rows", "Ask about the private rows alone.")
        if len({len(relations.columns(part, self.catalog)) for part in parts}) > 1:
            raise unsupported("UNION ALL of different numbers of columns", "Select the same columns in each part.")
        found = Union(tuple(parts))
        relations.columns(found, self.catalog)
        return found


def _named(relation: Relation, named: list[tuple[str, Row | Inner]]) -> Project:
    """Return what a SELECT list names of its groups, in its order: UNION ALL and * go by places."""
    return Project(relation, tuple((name, Ref(name)) for name, _ in named))


def relations_label(relation: Relation) -> str:
    """Return the name that a relation's columns go by; nothing where it stands alone."""
    return relation.alias if isinstance(relation, Scan | Project | PerPerson | Union) else ""
