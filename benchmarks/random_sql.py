"""Random questions, as text, of everything that discreet.sql answers, over the tables of tiny_databases.

Most are answerable; the few that are not are refused by the planner, and drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tiny_databases import DOMAINS, LINKS, PERSONS, PUBLIC

DATE = "2020-03-01"
COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
TEXTS = ("A", "B", "C", "x", "n", "p", "a", "it''s", "low")
VIEWS = {"adults": ("id", ["ward", "age", "debt", "ok"]), "spending": ("pid", ["total", "n", "longest"])}
SPREAD = ("VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV", "VARIANCE")


@dataclass(frozen=True)
class Column:
    """A column in scope.

    Args:
        name: How the query names it.
        kind: number, text, boolean or date.
        bounded: Whether it has bounds.
        keyed: Whether its groups are known.
        role: person, visit, drug, ward or floor, by which tables join.
    """

    name: str
    kind: str
    bounded: bool = False
    keyed: bool = False
    role: str = ""


@dataclass(frozen=True)
class Source:
    """Something to select from.

    Args:
        text: As it stands in FROM.
        columns: Its columns.
        private: Whether it holds rows of persons.
        tables: The declared tables that foreign keys of others can find in it.
        alone: Whether it is one subquery.
    """

    text: str
    columns: tuple[Column, ...]
    private: bool = True
    tables: frozenset[str] = frozenset()
    alone: bool = False


def base(table, alias="") -> Source:
    """Return a declared table or a view."""
    dot = f"{alias}." if alias else ""
    text = f"{table} AS {alias}" if alias else table
    if table in VIEWS:
        person, names = VIEWS[table]
        kinds = {"ward": ("text", False, True), "ok": ("boolean", False, True), "total": ("number", False, False),
                 "n": ("number", False, False)}  # fmt: skip
        found = [Column(dot + name, *kinds.get(name, ("number", True, False))) for name in names]
        return Source(text, (Column(dot + person, "number", role="person"), *found), True, frozenset([table]))
    found = []
    for name, column in DOMAINS[table].items():
        kind = {"integer": "number", "float": "number"}.get(column.type, column.type)
        role = "person" if PERSONS.get(table) == name else name if name in ("visit", "drug", "ward", "floor") else ""
        keyed = column.keys is not None or kind == "boolean"
        found.append(Column(dot + name, kind, column.low is not None, keyed, role))
    return Source(text, tuple(found), table not in PUBLIC, frozenset([table]))


def plain(columns) -> list[Column]:
    """Return the columns but foreign keys: those hold the number of the world (see tiny_databases)."""
    return [column for column in columns if column.role not in ("visit", "drug")]


class Grammar:
    """Draws questions.

    Args:
        dice: A `random.Random`.
    """

    def __init__(self, dice) -> None:
        self.dice = dice
        self.names = 0

    # ---------------------------------------------------------------------------------- values

    def any(self, *forms) -> str:
        """Return one of some forms; those that are functions are called when they are drawn."""
        found = self.dice.choice(forms)
        return found() if callable(found) else found

    def number(self, scope, depth=2) -> str:
        """Return a bounded number."""
        if depth <= 0 or self.dice.random() < 0.35:
            return self._plain_number(scope)
        few = self.any("2", "0.5", "-3", "10", "1.25", "1000", "0.001", "123456789")
        dates = [column.name for column in scope if column.kind == "date"]

        def inner() -> str:
            return self.number(scope, depth - 1)

        forms = [
            lambda: f"({inner()} {self.any('+', '-', '*')} {inner()})",
            lambda: f"({inner()} {self.any('+', '*', '/')} {few})",
            lambda: f"{self.any('-', 'ABS')}({inner()})",
            lambda: f"FLOOR({inner()} / {self.any('2', '10', '0.5', '1e9')})",
            lambda: f"COALESCE({inner()}, {few})",
            lambda: f"LEAST(GREATEST({inner()}, {self.any('-2', '0', '5')}), {self.any('6', '20', '50')})",
            lambda: (
                f"CASE WHEN {self.predicate(scope, depth - 1)} THEN {inner()}{self.any('', f' ELSE {inner()}')} END"
            ),
            lambda: f"IF({self.predicate(scope, depth - 1)}, {inner()}, {few})",
        ]
        if dates:
            forms.append(lambda: f"EXTRACT({self.any('month', 'day', 'dow', 'quarter')} FROM {self.any(*dates)})")
        return self.any(*forms)

    def _plain_number(self, scope) -> str:
        bounded = [column.name for column in scope if column.kind == "number" and column.bounded]
        loose = [column.name for column in scope if column.kind == "number" and not column.bounded and not column.role]
        if loose and (not bounded or self.dice.random() < 0.3):
            low = self.dice.choice((-3, 0, 1))
            return f"LEAST(GREATEST({self.any(*loose)}, {low}), {low + self.dice.choice((1, 5, 40))})"
        return self.any(*bounded) if bounded else f"IF({self.predicate(scope, 0)}, 1, 0)"

    def predicate(self, scope, depth=2) -> str:
        """Return a condition."""
        if depth > 0 and self.dice.random() < 0.4:
            one, two = self.predicate(scope, depth - 1), self.predicate(scope, depth - 1)
            return self.any(f"({one} AND {two})", f"({one} OR {two})", f"NOT ({one})")
        column = self.dice.choice(plain(scope))
        sign, name = self.any(*COMPARISONS), column.name
        if self.dice.random() < 0.2:
            return f"{name} IS {self.any('', 'NOT ')}NULL"
        if column.kind == "boolean":
            return self.any(name, f"{name} = FALSE", f"NOT {name}")
        if column.kind == "date":
            return f"{name} {sign} DATE '{DATE}'"
        if column.kind == "text":
            text = self.any(*TEXTS)
            return self.any(f"{name} {sign} '{text}'", f"{name} IN ('{text}', 'B')", f"{name} LIKE '{text}%'")
        if column.bounded and depth > 0 and self.dice.random() < 0.4:
            return f"{self.number(scope, depth - 1)} {sign} {self.any('1', '0', lambda: self.number(scope, depth - 1))}"
        low = self.any("-1", "0", "2", "20")
        return self.any(f"{name} {sign} {low}", f"{name} BETWEEN {low} AND 50", f"{name} IN (1, {low})")

    def key(self, scope) -> str:
        """Return something to group by."""
        keyed = [column.name for column in scope if column.keyed]
        dates = [column.name for column in scope if column.kind == "date" and column.bounded]
        texts = [column.name for column in scope if column.kind == "text"]
        numbers = [column.name for column in scope if column.kind == "number" and column.bounded]
        forms = keyed * 3
        forms += [f"DATE_TRUNC('{unit}', {name})" for unit in ("month", "week", "quarter") for name in dates]
        forms += [f"EXTRACT({part} FROM {name})" for part in ("month", "year", "dow") for name in dates]
        forms += (
            [f"FLOOR({name} / 20)" for name in numbers]
            + [f"{name} * 1000" for name in numbers]
            + [f"COALESCE({name}, 'Z')" for name in texts]
        )
        forms += [f"CASE WHEN {self.predicate(scope, 1)} THEN 'yes' ELSE 'no' END"]
        forms += [column.name for column in plain(scope) if column.kind != "date"]
        return self.dice.choice(forms)

    # ------------------------------------------------------------------------------ aggregates

    def aggregate(self, scope) -> str:
        """Return an aggregate."""
        if self.dice.random() < 0.5:
            return self.sum(scope)
        few, other = (self.number(scope, 1) for _ in range(2))
        column = self.dice.choice(plain(scope)).name
        keyed = [one.name for one in scope if one.keyed]
        persons = [one.name for one in scope if one.role == "person"]
        forms = [f"COUNT(DISTINCT {column})", f"COUNT(DISTINCT {few})", f"MEDIAN({few})", f"QUANTILE_CONT({few}, 0.9)"]
        forms += [f"MIN({few})", f"MAX({few})", f"COVAR_POP({few}, {other})", f"CORR({few}, {other})"]
        forms += [f"MODE({self.any(*keyed)})"] * 2 if keyed else []
        forms += [f"COUNT(DISTINCT {self.any(*persons)})"] * 2 if persons else []
        return self._filtered(self.any(*forms), scope)

    def sum(self, scope) -> str:
        """Return an aggregate that adds up over groups."""
        number, few = self.number(scope), self.number(scope, 1)
        forms = ["COUNT(*)", f"COUNT({self.dice.choice(plain(scope)).name})", f"COUNT_IF({self.predicate(scope, 1)})"]
        forms += [f"SUM({number})", f"AVG({number})", f"SUM({few})", f"AVG({few})", f"{self.any(*SPREAD)}({few})"]
        return self._filtered(self.any(*forms), scope)

    def _filtered(self, aggregate, scope) -> str:
        return f"{aggregate} FILTER (WHERE {self.predicate(scope, 1)})" if self.dice.random() < 0.2 else aggregate

    # --------------------------------------------------------------------------------- sources

    def source(self, depth=2) -> Source:
        """Return what to select from."""
        roll = self.dice.random()
        if roll < 0.25 or depth == 0:
            return base(self.dice.choice(("t", "t", "stays", "drugs", "doses", *VIEWS)))
        if roll < 0.55:
            return self.joined(depth)
        return self.subquery(depth)

    def _alias(self) -> str:
        self.names += 1
        return f"r{self.names}"

    def subquery(self, depth) -> Source:
        """Return a subquery that stands alone."""
        return self.dice.choice((self.projected, self.per_person, self.per_person, self.united))(depth)

    def projected(self, depth) -> Source:
        """Return a subquery of new columns, row by row."""
        inner = self.source(depth - 1)
        kept = [column for column in inner.columns if column.role == "person"][:1]
        shown = [(one.name, replace(one, name=one.name.split(".")[-1])) for one in kept]
        for i in range(self.dice.randint(1, 3)):
            bounded = self.dice.random() < 0.6
            what = self.number(inner.columns, 1) if bounded else self.dice.choice(plain(inner.columns)).name
            found = [column for column in inner.columns if column.name == what]
            column = replace(found[0], name=f"e{i}", role="") if found else Column(f"e{i}", "number", bounded=True)
            shown.append((what, column))
        where = f" WHERE {self.predicate(inner.columns)}" if self.dice.random() < 0.4 else ""
        listed = ", ".join(f"{what} AS {column.name}" for what, column in shown)
        text = f"(SELECT {listed} FROM {inner.text}{where})"
        return Source(text, tuple(one for _, one in shown), inner.private, alone=True)

    def per_person(self, depth) -> Source:
        """Return a subquery that aggregates within each person."""
        inner = self.source(depth - 1)
        persons = [column for column in inner.columns if column.role == "person"]
        if not persons:
            return inner
        person = persons[0]
        shown = [(person.name, Column(person.name.split(".")[-1], "number", role="person"))]
        keys = [person.name]
        others = [
            one for one in inner.columns if one.kind in ("text", "boolean") or (one.keyed and one.kind == "number")
        ]
        if others and self.dice.random() < 0.4:
            chosen = self.dice.choice(others)
            keys.append(chosen.name)
            shown.append((chosen.name, replace(chosen, name="k", role="")))
        if self.dice.random() < 0.15:
            listed = ", ".join(f"{what} AS {column.name}" for what, column in shown)
            return Source(f"(SELECT DISTINCT {listed} FROM {inner.text})", tuple(one for _, one in shown), alone=True)
        for i in range(self.dice.randint(1, 3)):
            value = self.number(inner.columns, 1)
            function = self.dice.choice(("COUNT(*)", f"COUNT({self.dice.choice(plain(inner.columns)).name})", f"SUM({value})",
                                         f"COUNT(DISTINCT {self.dice.choice(plain(inner.columns)).name})", f"AVG({value})",
                                         f"MIN({value})", f"MAX({value})"))  # fmt: skip
            bounded = function.startswith(("AVG", "MIN", "MAX"))
            shown.append((function, Column(f"g{i}", "number", bounded=bounded)))
        listed = ", ".join(f"{what} AS {column.name}" for what, column in shown)
        where = f" WHERE {self.predicate(inner.columns)}" if self.dice.random() < 0.3 else ""
        having = ""
        if self.dice.random() < 0.4:
            what = self.dice.choice(("COUNT(*)", shown[-1][1].name, f"MAX({self.number(inner.columns, 0)})"))
            having = f" HAVING {what} {self.dice.choice(COMPARISONS)} {self.dice.choice((0, 1, 2, 20))}"
        text = f"(SELECT {listed} FROM {inner.text}{where} GROUP BY {', '.join(keys)}{having})"
        return Source(text, tuple(one for _, one in shown), alone=True)

    def united(self, _) -> Source:
        """Return UNION ALL of the same columns of one table or of two."""
        if self.dice.random() < 0.5:
            parts = (
                "SELECT id, ward, floor, age AS e0, born AS d FROM t",
                "SELECT pid, ward, floor, nights AS e0, began AS d FROM stays",
            )
            columns = (Column("id", "number", role="person"), Column("ward", "text", keyed=True),
                       Column("floor", "number", True, True), Column("e0", "number", True), Column("d", "date", True))  # fmt: skip
        else:
            one = self.projected(0)
            parts, columns = (one.text[1:-1],) * self.dice.randint(2, 3), one.columns
        return Source(f"({' UNION ALL '.join(parts)})", columns, alone=True)

    def _part(self, depth) -> Source:
        """Return one side of a join, with a name of its own."""
        alias = self._alias()
        if depth > 1 and self.dice.random() < 0.3:
            found = self.subquery(depth - 1)
            if found.alone:
                columns = tuple(replace(column, name=f"{alias}.{column.name}") for column in found.columns)
                return replace(found, text=f"{found.text} AS {alias}", columns=columns, alone=False)
        return base(self.dice.choice(("t", "t", "stays", "drugs", "doses", "wards", "floors", *VIEWS)), alias)

    def joined(self, depth) -> Source:
        """Return a join of two or three tables."""
        found = self._part(depth)
        for _ in range(self.dice.choice((1, 1, 2))):
            for _ in range(8):
                new = self._part(depth)
                pairs = self._pairs(found, new)
                if pairs:
                    found = self._join(found, new, pairs)
                    break
        return found if found.private else base("t", self._alias())

    def _pairs(self, left, right) -> list[str]:
        """Return what two tables may be joined on: the person or a foreign key first, where both are private."""
        roles = {name: [(a.name, b.name) for a in left.columns for b in right.columns if a.role == b.role == name]
                 for name in ("person", "visit", "drug", "ward", "floor")}  # fmt: skip
        owners = list(roles["person"])
        for table, (column, target, _) in LINKS.items():
            if (table in left.tables and target in right.tables) or (target in left.tables and table in right.tables):
                owners += roles[column]
        others = roles["ward"] + roles["floor"]
        if left.private and right.private:
            extra = [self.dice.choice(others)] if others and self.dice.random() < 0.3 else []
            chosen = [self.dice.choice(owners), *extra] if owners else []
        else:
            chosen = [self.dice.choice(others)] if others else []
        return [f"{a} = {b}" for a, b in chosen]

    def _join(self, left, right, pairs) -> Source:
        kind = self.dice.choice(("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN"))
        if (kind == "LEFT JOIN" and not left.private) or (kind == "RIGHT JOIN" and not right.private):
            kind = "JOIN"
        lost = {"LEFT JOIN": right, "RIGHT JOIN": left}.get(kind)
        columns = [replace(one, role="") if lost and one in lost.columns and one.role == "person" else one
                   for one in (*left.columns, *right.columns)]  # fmt: skip
        text = f"{left.text} {kind} {right.text} ON {' AND '.join(pairs)}"
        return Source(text, tuple(columns), left.private or right.private, left.tables | right.tables)

    # --------------------------------------------------------------------------------- questions

    def question(self) -> str:
        """Return a question."""
        self.names = 0
        source = self.source(self.dice.choice((1, 2, 2, 3)))
        before = ""
        if source.alone and self.dice.random() < 0.3:
            before, source = f"WITH w AS {source.text} ", replace(source, text="w")
        scope = source.columns
        keys = list(dict.fromkeys(self.key(scope) for _ in range(self.dice.choice((0, 1, 1, 2)))))
        by, sums = ", ".join(keys), False
        if len(keys) == 2 and self.dice.random() < 0.25:
            by, sums = self.any(f"ROLLUP ({by})", f"CUBE ({by})", f"GROUPING SETS (({keys[1]}), ())"), True
        drawn = [self.sum(scope) if sums else self.aggregate(scope) for _ in range(self.dice.choice((1, 1, 2, 3)))]
        aggregates = ", ".join(f"{one} AS a{i}" for i, one in enumerate(drawn))
        where = f" WHERE {self.predicate(scope)}" if self.dice.random() < 0.35 else ""
        return f"{before}SELECT {aggregates} FROM {source.text}{where}{f' GROUP BY {by}' if keys else ''}"
