"""Random questions, as text, of everything that discreet.sql answers, over the tables of tiny_databases.

Most are answerable; those that are not are refused by the planner, and drawn anew. Among them are names that are
ours, numbers that no integer holds, texts that some collation takes for one, and tables that are read many times.
"""

from __future__ import annotations

from dataclasses import replace

from fuzz_names import HIDDEN, HUGE, ODD, OURS, PAIRS, quoted
from fuzz_tables import VIEWS, Column, Source, base, plain
from tiny_databases import LINKS

DATE = "2020-03-01"
COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
TEXTS = ("A", "B", "C", "x", "n", "p", "a", "it''s", "low")
OWN = ("id", "pid", "ward", "floor", "age", "t", "stays")  # declared names, for a column or a table to hide
SPREAD = ("VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV", "VARIANCE")


class Grammar:
    """Draws questions.

    Args:
        dice: A `random.Random`.
        plain: Whether a unit is some rows, and no column says whose: most of what needs a person is left out.
    """

    def __init__(self, dice, *, plain=False) -> None:
        self.dice, self.plain = dice, plain
        self.names = 0

    # ---------------------------------------------------------------------------------- values

    def any(self, *forms) -> str:
        """Return one of some forms; those that are functions are called when they are drawn."""
        found = self.dice.choice(forms)
        return found() if callable(found) else found

    def literal(self, *usual) -> str:
        """Return a number as it is written out: at times one that engines disagree about."""
        return self.any(*ODD) if self.dice.random() < 0.07 else self.any(*usual)

    def called(self, usual, taken=()) -> str:
        """Return a name for a column or a table: at times one of ours, or one that is declared."""
        if self.dice.random() < 0.7:
            return usual
        for _ in range(8):
            name = self.any(*OURS, *OWN)
            name = quoted(name if self.dice.random() < 0.8 else self.any(name.upper(), name.capitalize()))
            if name.lower() not in {quoted(one.strip('"')).lower() for one in taken} or self.dice.random() < 0.1:
                return name
        return usual

    def texts(self, scope) -> str:
        """Return a text that the question writes out, by a condition."""
        one, other = self.any(*PAIRS)
        return f"CASE WHEN {self.predicate(scope, 1)} THEN '{one}' ELSE '{other}' END"

    def number(self, scope, depth=2) -> str:
        """Return a bounded number."""
        if depth <= 0 or self.dice.random() < 0.35:
            return self._plain_number(scope)
        few = self.literal("2", "0.5", "-3", "10", "1.25", "1000", "0.001", "123456789")
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
        low = self.literal("-1", "0", "2", "20")
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
            + [f"COALESCE({name}, '{self.any('Z', 'a', '')}')" for name in texts]
        )
        forms += [self.texts(scope)] * 2
        forms += [
            column.name for column in scope if column.role == "person" and column.name.strip('"').lower() in HIDDEN
        ] * 30
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
        forms += [f"MODE({self.texts(scope)})"]
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
        if self.plain and self.dice.random() < 0.95:
            return base(self.any("t", "t", "adults")) if roll < 0.5 or depth == 0 else self.projected(depth)
        if roll < 0.25 or depth == 0:
            return base(self.dice.choice(("t", "t", "stays", "drugs", "doses", *VIEWS)))
        if roll < 0.55:
            return self.joined(depth)
        return self.subquery(depth)

    def _alias(self) -> str:
        self.names += 1
        own = quoted(f"{self.any(*OURS)} {self.names}") if self.dice.random() < 0.15 else f"r{self.names}"
        return self.called(own) if self.dice.random() < 0.1 else own

    def subquery(self, depth) -> Source:
        """Return a subquery that stands alone."""
        forms = (
            self.projected,
            self.projected,
            self.per_person,
            self.per_person,
            self.united,
            self.united,
            self.shadowed,
        )
        return self.dice.choice(forms)(depth)

    def projected(self, depth) -> Source:
        """Return a subquery of new columns, row by row."""
        inner = self.source(depth - 1)
        kept = [column for column in inner.columns if column.role == "person"][:1]
        shown = [(one.name, replace(one, name=self.called(one.name.split(".")[-1]))) for one in kept]
        for i in range(self.dice.randint(1, 3)):
            roll, name = self.dice.random(), self.called(f"e{i}", [one.name for _, one in shown])
            if roll < 0.1:
                shown.append((self.texts(inner.columns), Column(name, "text", keyed=True)))
                continue
            what = self.number(inner.columns, 1) if roll < 0.6 else self.dice.choice(plain(inner.columns)).name
            written = self.literal(what)
            found = [column for column in inner.columns if column.name == what]
            column = replace(found[0], name=name, role="") if found else Column(name, "number", bounded=True)
            shown.append((what, column) if written == what else (written, Column(name, "number")))
        self.dice.shuffle(shown)
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
        shown = [(person.name, Column(self.called(person.name.split(".")[-1]), "number", role="person"))]
        keys = [person.name]
        others = [
            one for one in inner.columns if one.kind in ("text", "boolean") or (one.keyed and one.kind == "number")
        ]
        if others and self.dice.random() < 0.4:
            for chosen in self.dice.sample(others, min(len(others), self.any(1, 1, 2))):
                keys.append(chosen.name)
                if self.dice.random() < 0.7:  # else it is a column without a name
                    name = self.called(f"k{len(keys)}", [one.name for _, one in shown])
                    shown.append((chosen.name, replace(chosen, name=name, role="")))
            self.dice.shuffle(keys)
        if self.dice.random() < 0.15:
            listed = ", ".join(f"{what} AS {column.name}" for what, column in shown)
            return Source(f"(SELECT DISTINCT {listed} FROM {inner.text})", tuple(one for _, one in shown), alone=True)
        for i in range(self.dice.randint(1, 3)):
            value = self.number(inner.columns, 1)
            if self.dice.random() < 0.1:
                value = self.any(*HUGE, f"IF({self.predicate(inner.columns, 0)}, {self.any(*HUGE)}, 0)")
            function = self.dice.choice(("COUNT(*)", f"COUNT({self.dice.choice(plain(inner.columns)).name})", f"SUM({value})",
                                         f"COUNT(DISTINCT {self.dice.choice(plain(inner.columns)).name})", f"AVG({value})",
                                         f"MIN({value})", f"MAX({value})"))  # fmt: skip
            bounded = function.startswith(("AVG", "MIN", "MAX")) and value not in HUGE
            name = self.called(f"g{i}", [one.name for _, one in shown])
            shown.append((function, Column(name, "number", bounded=bounded)))
        if self.dice.random() < 0.2:
            self.dice.shuffle(shown)
        listed = ", ".join(f"{what} AS {column.name}" for what, column in shown)
        where = f" WHERE {self.predicate(inner.columns)}" if self.dice.random() < 0.3 else ""
        having = ""
        if self.dice.random() < 0.4:
            what = self.dice.choice(("COUNT(*)", shown[-1][1].name, f"MAX({self.number(inner.columns, 0)})"))
            having = f" HAVING {what} {self.dice.choice(COMPARISONS)} {self.literal('0', '1', '2', '20')}"
        text = f"(SELECT {listed} FROM {inner.text}{where} GROUP BY {', '.join(keys)}{having})"
        return Source(text, tuple(one for _, one in shown), alone=True)

    def shadowed(self, _) -> Source:
        """Return groups of one person whose columns are called as the columns are that a planner adds."""
        columns = base(self.any("t", "stays")).columns
        person, others = columns[0], [one for one in columns if one.keyed]
        keys = [person, *self.dice.sample(others, self.any(1, 2))]
        self.dice.shuffle(keys)
        kept = [one for one in keys if self.dice.random() < 0.5] or [person]
        called = self.dice.sample(HIDDEN[:7], len(kept))
        shown = [
            (one.name, replace(one, name=quoted(self.any(name, name, name.upper()))))
            for one, name in zip(kept, called, strict=True)
        ]
        shown.append(("COUNT(*)", Column("g0", "number")))
        having = (
            f" HAVING {self.any('MIN', 'MAX', 'COUNT')}({self.any(*others).name}) IS NOT NULL"
            if self.dice.random() < 0.4
            else ""
        )
        listed, by = ", ".join(f"{what} AS {one.name}" for what, one in shown), ", ".join(one.name for one in keys)
        text = f"(SELECT {listed} FROM {'t' if person.name == 'id' else 'stays'} GROUP BY {by}{having})"
        return Source(text, tuple(one for _, one in shown), alone=True)

    def united(self, _) -> Source:
        """Return UNION ALL of the same columns of one table or of two."""
        roll, (first, second) = self.dice.random(), self.any(*PAIRS)
        if roll < 0.1:
            parts = tuple(f"SELECT id, age AS e0, '{text}' AS d FROM t WHERE ok = {held}"
                          for text, held in ((first, "TRUE"), (second, "FALSE")))  # fmt: skip
            columns = (
                Column("id", "number", role="person"),
                Column("e0", "number", True),
                Column("d", "text", keyed=True),
            )
        elif roll < 0.5:
            parts = (
                "SELECT id, ward, floor, age AS e0, born AS d FROM t",
                "SELECT pid, ward, floor, nights AS e0, began AS d FROM stays",
            )
            columns = (Column("id", "number", role="person"), Column("ward", "text", keyed=True),
                       Column("floor", "number", True, True), Column("e0", "number", True), Column("d", "date", True))  # fmt: skip
        else:
            one = self.projected(0)
            parts, columns = (one.text[1:-1],) * self.any(2, 2, 3, 3, 8, 16, 17), one.columns
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
        roll = 1.0 if self.plain else self.dice.random()
        source = (
            self.source(self.dice.choice((1, 2, 2, 3)))
            if roll > 0.12
            else self.shadowed(0)
            if roll < 0.06
            else self.per_person(1)
        )
        before = ""
        if source.alone and self.dice.random() < 0.3:
            name = self.called("w")
            before, source = f"WITH {name} AS {source.text} ", replace(source, text=name)
        scope = source.columns
        keys = list(dict.fromkeys(self.key(scope) for _ in range(self.dice.choice((0, 1, 1, 2)))))
        by, sums = ", ".join(keys), False
        if len(keys) == 2 and self.dice.random() < 0.25:
            by, sums = self.any(f"ROLLUP ({by})", f"CUBE ({by})", f"GROUPING SETS (({keys[1]}), ())"), True
        drawn = [self.sum(scope) if sums else self.aggregate(scope) for _ in range(self.dice.choice((1, 1, 2, 3)))]
        aggregates = ", ".join(f"{one} AS a{i}" for i, one in enumerate(drawn))
        where = f" WHERE {self.predicate(scope)}" if self.dice.random() < 0.35 else ""
        return f"{before}SELECT {aggregates} FROM {source.text}{where}{f' GROUP BY {by}' if keys else ''}"
