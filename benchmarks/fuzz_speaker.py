"""Statements for `fuzz_sql.py`, drawn from our own grammar over any world, with a little that is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sqlglot
from fuzz_names import ODD, OURS, PAIRS, quoted
from fuzz_worlds import World

AGGREGATES = (
    "SUM",
    "AVG",
    "VAR_POP",
    "VAR_SAMP",
    "VARIANCE",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "MEDIAN",
    "MIN",
    "MAX",
)
LITERALS = (
    "0",
    "1",
    "-1",
    "2",
    "10",
    "0.5",
    "-3.25",
    "100",
    "1e3",
    "'A'",
    "'it''s'",
    "''",
    "TRUE",
    "FALSE",
    "NULL",
    "DATE '2020-03-01'",
)
COMPARISONS = ("=", "<>", "!=", "<", "<=", ">", ">=", "==")


@dataclass(frozen=True)
class Field:
    """A column in scope: how it is named, and what is declared."""

    name: str
    kind: str
    bounded: bool = False
    keyed: bool = False
    person: bool = False

    @property
    def called(self) -> str:
        """The last part of its name, which a subquery offers."""
        return self.name if "." not in self.name or (self.name.startswith('"') and self.name.count('"') == 2) else ""


@dataclass(frozen=True)
class From:
    """Something to select from."""

    text: str
    fields: tuple[Field, ...]
    private: bool = True


class Speaker:
    """Draws statements over a world.

    Args:
        dice: A `random.Random`.
        world: The world.
    """

    def __init__(self, dice, world: World) -> None:
        self.dice, self.world, self.names = dice, world, 0

    def any(self, *forms):
        """Return one of some forms; those that are functions are called when they are drawn."""
        found = self.dice.choice(forms)
        return found() if callable(found) else found

    def spelled(self, name: str) -> str:
        """Return a name as somebody writes it: quoted where it must be, or in another case."""
        plain = (
            name.isidentifier()
            and name.isascii()
            and name.lower() not in ("select", "group", "date", "where", "user", "all")
        )
        if plain and self.dice.random() < 0.9:
            return self.any(name, name, name, name.upper(), name.capitalize())
        return quoted(name)

    # ------------------------------------------------------------------------------------- sources

    def table(self, name: str, alias: str = "") -> From:
        """Return a declared table."""
        held = self.world.tables[name]
        dot = f"{alias}." if alias else ""
        fields = tuple(
            Field(
                dot + self.spelled(column),
                about.type,
                about.low is not None,
                about.keys is not None,
                column == held.person,
            )
            for column, about in held.domain.items()
        )
        private = held.person is not None or held.via is not None or self.world.unit.column is None
        text = self.spelled(name) + (f"{self.any(' AS ', ' ')}{alias}" if alias else "")
        return From(text, fields, private)

    def source(self, depth: int) -> From:
        """Return what to select from."""
        roll = self.dice.random()
        if depth <= 0 or roll < 0.4:
            return self.table(self.any(self.world.main, self.world.main, *self.world.tables))
        if roll < 0.5 and self.world.views:
            return self.view()
        return self.joined(depth) if roll < 0.75 else self.subquery(depth)

    def view(self, alias: str = "") -> From:
        """Return a view; of its columns those that its text names."""
        name = self.dice.choice(list(self.world.views))
        dot = f"{alias}." if alias else ""
        tree = sqlglot.parse_one(self.world.views[name], dialect="duckdb")
        kinds = {column: about for held in self.world.tables.values() for column, about in held.domain.items()}
        persons = {held.person for held in self.world.tables.values()}
        fields = []
        for column in tree.named_selects:
            about = kinds.get(column)
            bounded, keyed = about is not None and about.low is not None, about is not None and about.keys is not None
            fields.append(
                Field(dot + self.spelled(column), about.type if about else "integer", bounded, keyed, column in persons)
            )
        return From(self.spelled(name) + (f" AS {alias}" if alias else ""), tuple(fields))

    def alias(self) -> str:
        """Return a new name for a table, at times a name of ours."""
        self.names += 1
        return self.any(
            f"r{self.names}",
            f"r{self.names}",
            f"r{self.names}",
            f"{self.any('u', 'c', 'k', 'kept', 'typed', 'l', 'r')}{self.names}",
        )

    def part(self, depth: int) -> From:
        """Return one side of a join."""
        alias = self.alias()
        if depth > 1 and self.dice.random() < 0.3:
            found = self.subquery(depth - 1)
            if all(field.called for field in found.fields):
                return replace(
                    found,
                    text=f"{found.text} AS {alias}",
                    fields=tuple(replace(one, name=f"{alias}.{one.name}") for one in found.fields),
                )
        if self.world.views and self.dice.random() < 0.15:
            return self.view(alias)
        return self.table(self.dice.choice(list(self.world.tables)), alias)

    def joined(self, depth: int) -> From:
        """Return a join; most on what may be joined, some not."""
        found = self.part(depth)
        for _ in range(self.any(1, 1, 2)):
            new = self.part(depth)
            alike = [(a, b) for a in found.fields for b in new.fields if a.kind == b.kind]
            good = [(a, b) for a, b in alike if (a.person and b.person) or _last(a.name) == _last(b.name)]
            pairs = [
                self.dice.choice(
                    good if good and self.dice.random() < 0.9 else alike or [(found.fields[0], new.fields[0])]
                )
            ]
            if good and self.dice.random() < 0.2:
                pairs.append(self.dice.choice(good))
            on = " AND ".join(f"{a.name} = {b.name}" for a, b in pairs)
            kind = self.any(
                "JOIN",
                "JOIN",
                "INNER JOIN",
                "LEFT JOIN",
                "RIGHT JOIN",
                "LEFT OUTER JOIN",
                "FULL JOIN",
                "CROSS JOIN",
                "ASOF JOIN",
                "SEMI JOIN",
            )
            using = f"USING ({_last(pairs[0][0].name)})" if self.dice.random() < 0.1 else f"ON {on}"
            found = From(
                f"{found.text} {kind} {new.text} {using}", (*found.fields, *new.fields), found.private or new.private
            )
        return found

    def column(self, usual: str) -> str:
        """Return what a subquery calls a column: at times as we call ours, or as something is declared, in any case."""
        if self.dice.random() < 0.75:
            return usual
        name = self.any(*OURS, *self.world.tables[self.world.main].domain)
        return quoted(self.any(name, name, name.upper()))

    def subquery(self, depth: int) -> From:
        """Return a subquery that stands alone."""
        return self.dice.choice((self.projected, self.per_person, self.per_person, self.united))(depth)

    def projected(self, depth: int) -> From:
        """Return a subquery of new columns, row by row."""
        inner = self.source(depth - 1)
        persons = [field for field in inner.fields if field.person][:1]
        shown = [(field.name, replace(field, name=self.column(f"who{i}"))) for i, field in enumerate(persons)]
        for i in range(self.dice.randint(1, 3)):
            field = self.dice.choice(inner.fields)
            if self.dice.random() < 0.5:
                value = self.any(*ODD) if self.dice.random() < 0.1 else self.number(inner.fields, 1)
                shown.append((value, Field(self.column(f"e{i}"), "integer", bounded=True)))
            else:
                shown.append((field.name, replace(field, name=self.column(f"e{i}"))))
        where = f" WHERE {self.predicate(inner.fields)}" if self.dice.random() < 0.4 else ""
        listed = ", ".join(f"{what} AS {field.name}" for what, field in shown)
        return From(f"(SELECT {listed} FROM {inner.text}{where})", tuple(field for _, field in shown), inner.private)

    def per_person(self, depth: int) -> From:
        """Return a subquery that aggregates, most within each person."""
        inner = self.source(depth - 1)
        persons = [field for field in inner.fields if field.person]
        by = (persons or list(inner.fields))[:2]
        by += [self.dice.choice(inner.fields)] if self.dice.random() < 0.3 else []
        self.dice.shuffle(by)
        chosen = [field for field in by if self.dice.random() < 0.85] or by  # the others are columns without a name
        shown = [(field.name, replace(field, name=self.column(f"g{i}"))) for i, field in enumerate(chosen)]
        for i in range(self.dice.randint(0, 3)):
            value, column = self.number(inner.fields, 1), self.dice.choice(inner.fields).name
            value = self.any(*ODD) if self.dice.random() < 0.1 else value
            what = self.any("COUNT(*)", f"COUNT({column})", f"SUM({value})", f"AVG({value})", f"MIN({value})", f"MAX({value})",
                            f"COUNT(DISTINCT {column})", f"MEDIAN({value})")  # fmt: skip
            shown.append((what, Field(self.column(f"a{i}"), "integer", bounded=what[:3] in ("AVG", "MIN", "MAX"))))
        listed = ", ".join(f"{what} AS {field.name}" for what, field in shown)
        fields = tuple(field for _, field in shown)
        if self.dice.random() < 0.1:
            return From(f"(SELECT DISTINCT {listed} FROM {inner.text})", fields, inner.private)
        where = f" WHERE {self.predicate(inner.fields)}" if self.dice.random() < 0.3 else ""
        having = (
            f" HAVING {self.any('COUNT(*)', shown[-1][1].name)} {self.any(*COMPARISONS)} {self.any('0', '1', '2')}"
            if self.dice.random() < 0.3
            else ""
        )
        keys = ", ".join(field.name for field in by)
        return From(f"(SELECT {listed} FROM {inner.text}{where} GROUP BY {keys}{having})", fields, inner.private)

    def united(self, _: int) -> From:
        """Return UNION ALL of a subquery with itself, or with another."""
        one = self.projected(1)
        other = one if self.dice.random() < 0.8 else self.projected(0)
        word = self.any("UNION ALL", "UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT", "UNION ALL BY NAME")
        more = f" {word} {other.text[1:-1]}" * self.any(1, 1, 1, 1, 2, 7, 15, 16)
        return From(f"({one.text[1:-1]}{more})", one.fields, one.private)

    # -------------------------------------------------------------------------------------- values

    def number(self, fields, depth: int = 2) -> str:
        """Return a number, most of them bounded."""
        if depth <= 0 or self.dice.random() < 0.3:
            return self._plain(fields)
        inner = lambda: self.number(fields, depth - 1)  # noqa: E731
        few = self.any("2", "0.5", "-3", "10", "1.25", "1e-3", "1000000", *ODD[::5])
        dates = [field.name for field in fields if field.kind == "date"] or ["DATE '2020-01-01'"]
        return self.any(
            lambda: f"({inner()} {self.any('+', '-', '*')} {inner()})",
            lambda: f"({inner()} {self.any('+', '-', '*', '/')} {few})",
            lambda: f"{self.any('-', 'ABS', 'FLOOR')}({inner()})",
            lambda: f"FLOOR({inner()} / {self.any('2', '10', '0.5', '3')})",
            lambda: f"COALESCE({inner()}, {few})",
            lambda: f"LEAST(GREATEST({inner()}, {self.any('-2', '0', '5')}), {self.any('6', '20', '50.5')})",
            lambda: f"GREATEST({self.any('0', '1')}, LEAST({self.any('9', '1000')}, {inner()}))",
            lambda: (
                f"CASE WHEN {self.predicate(fields, depth - 1)} THEN {inner()}{self.any('', f' ELSE {inner()}', ' ELSE NULL')} END"
            ),
            lambda: f"CASE {self.dice.choice(fields).name} WHEN {self.any(*LITERALS)} THEN {inner()} ELSE {few} END",
            lambda: f"IF({self.predicate(fields, depth - 1)}, {inner()}, {few})",
            lambda: f"EXTRACT({self.any('year', 'quarter', 'month', 'day', 'dow', 'week')} FROM {self.any(*dates)})",
            lambda: f"{self.any('YEAR', 'MONTH', 'DAY', 'QUARTER')}({self.any(*dates)})",
        )

    def _plain(self, fields) -> str:
        bounded = [field.name for field in fields if field.bounded and field.kind in ("integer", "float")]
        loose = [
            field.name
            for field in fields
            if not field.bounded and field.kind in ("integer", "float") and not field.person
        ]
        if loose and (not bounded or self.dice.random() < 0.25):
            return f"LEAST(GREATEST({self.any(*loose)}, {self.any('0', '-1', '0.5')}), {self.any('2', '40', '1000')})"
        if bounded and self.dice.random() < 0.97:
            return self.any(*bounded)
        return self.any(self.dice.choice(fields).name, lambda: f"IF({self.predicate(fields, 0)}, 1, 0)", "1")

    def predicate(self, fields, depth: int = 2) -> str:
        """Return a condition."""
        if depth > 0 and self.dice.random() < 0.35:
            one, two = self.predicate(fields, depth - 1), self.predicate(fields, depth - 1)
            return self.any(f"({one} AND {two})", f"({one} OR {two})", f"NOT ({one})")
        field, sign = self.dice.choice(fields), self.any(*COMPARISONS)
        name, roll = field.name, self.dice.random()
        if roll < 0.15:
            return f"{name} IS {self.any('', 'NOT ')}NULL"
        if roll < 0.25:
            return f"{name} {sign} {self.any(*LITERALS, *ODD)}"
        if field.kind == "boolean":
            return self.any(name, f"NOT {name}", f"{name} = {self.any('TRUE', 'FALSE')}")
        if field.kind == "date":
            day = self.any("DATE '2020-03-01'", "'2024-02-29'", "DATE '0001-01-01'", "'9999-12-31'")
            return self.any(
                f"{name} {sign} {day}", f"{name} BETWEEN '2020-01-01' AND {day}", f"DATE_TRUNC('month', {name}) = {day}"
            )
        if field.kind == "text":
            text = self.any("A", "B", "it''s", "", "%", "_", "a%b", "🦜", "x'||'y".replace("'", "''"))
            return self.any(
                f"{name} {sign} '{text}'",
                f"{name} IN ('{text}', 'B')",
                f"{name} LIKE '{text}'",
                f"{name} NOT LIKE '%{text}_'",
            )
        if depth > 0 and roll < 0.5:
            return f"{self.number(fields, depth - 1)} {sign} {self.any('1', '0.5', lambda: self.number(fields, depth - 1))}"
        low = self.any("-1", "0", "2", "20", "0.25", "9223372036854775807", "-9223372036854775808", "1e18")
        return self.any(
            f"{name} {sign} {low}", f"{name} BETWEEN {low} AND 50", f"{name} IN (1, {low})", f"{low} {sign} {name}"
        )

    def key(self, fields) -> str:
        """Return something to group by."""
        field = self.dice.choice([one for one in fields if one.keyed or one.kind == "boolean"] or fields)
        dates = [one.name for one in fields if one.kind == "date"] or [field.name]
        return self.any(
            field.name, field.name, field.name, lambda: self.dice.choice(fields).name,
            lambda: f"DATE_TRUNC('{self.any('year', 'month', 'week', 'quarter', 'day')}', {self.any(*dates)})",
            lambda: f"EXTRACT({self.any('month', 'year', 'dow')} FROM {self.any(*dates)})",
            lambda: f"FLOOR({self._plain(fields)} / {self.any('2', '20', '0.5')})",
            lambda: f"FLOOR({self._plain(fields)} / 10) * 10",
            lambda: f"COALESCE({self.dice.choice(fields).name}, {self.any(*LITERALS)})",
            lambda: "CASE WHEN {} THEN '{}' ELSE '{}' END".format(self.predicate(fields, 1), *self.any(*PAIRS)),
        )  # fmt: skip

    # ---------------------------------------------------------------------------------- aggregates

    def aggregate(self, fields, *, sums: bool = False) -> str:
        """Return an aggregate, or arithmetic on some."""
        value, few, name = self.number(fields), self.number(fields, 1), self.dice.choice(fields).name
        forms = [
            "COUNT(*)",
            "COUNT()",
            f"COUNT({name})",
            f"COUNT_IF({self.predicate(fields, 1)})",
            f"SUM({value})",
            f"AVG({value})",
        ]
        forms += [
            f"{self.any(*AGGREGATES[:8])}({few})",
            f"COVAR_POP({few}, {value})",
            f"COVAR_SAMP({few}, {few})",
            f"CORR({few}, {value})",
        ]
        if not sums:
            forms += [f"{self.any('MEDIAN', 'MIN', 'MAX')}({few})", f"QUANTILE_CONT({few}, {self.any('0.5', '0.9', '0.01')})", f"MODE({name})",
                      f"COUNT(DISTINCT {name})", f"COUNT(DISTINCT {few})", f"PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY {few})",
                      f"QUANTILE_DISC({few}, 0.75)", f"APPROX_QUANTILE({few}, 0.5)"]  # fmt: skip
        found = self.dice.choice(forms)
        if self.dice.random() < 0.2:
            found += f" FILTER (WHERE {self.predicate(fields, 1)})"
        if self.dice.random() < 0.15:
            return f"{found} {self.any('+', '-', '*', '/')} {self.any('2', '0', lambda: self.aggregate(fields, sums=sums))}"
        return found

    def question(self) -> str:
        """Return a statement."""
        self.names = 0
        source = self.source(self.any(0, 0, 1, 1, 2))
        before, fields = "", source.fields
        if source.text.startswith("(") and self.dice.random() < 0.3:
            name = self.any("w", "kept", "typed", "cte")
            before, source = f"WITH {name} AS {source.text} ", replace(source, text=name)
        keys = list(dict.fromkeys(self.key(fields) for _ in range(self.any(0, 1, 1, 2))))
        by, several = ", ".join(keys), False
        if keys and self.dice.random() < 0.15:
            by, several = (
                self.any(
                    f"ROLLUP ({by})",
                    f"CUBE ({by})",
                    f"GROUPING SETS (({by}), ())",
                    f"GROUPING SETS (({keys[-1]}), ({keys[0]}))",
                ),
                True,
            )
        shown = [
            f"{key} AS q{i}" if not key.isidentifier() or self.dice.random() < 0.2 else key
            for i, key in enumerate(keys)
            if self.dice.random() < 0.8
        ]
        shown += [f"{self.aggregate(fields, sums=several)} AS o{i}" for i in range(self.any(1, 1, 2, 3))]
        text = f"{before}SELECT {', '.join(shown)} FROM {source.text}"
        text += f" WHERE {self.predicate(fields)}" if self.dice.random() < 0.35 else ""
        return text + (f" GROUP BY {by}" if keys else "") + self._after(keys)

    def _after(self, keys: list[str]) -> str:
        text = ""
        if self.dice.random() < 0.15:
            text += f" HAVING {self.any('o0', 'o0_se', 'o0_low', 'o0 + 1')} {self.any(*COMPARISONS)} {self.any('0', '10', 'o0_high')}"
        if self.dice.random() < 0.2:
            text += f" ORDER BY {self.any('o0', 'o0_se DESC', 'o0 * 2 NULLS FIRST', *keys)}"
        return text + (f" LIMIT {self.any('1', '0', '3')}" if self.dice.random() < 0.15 else "")


def _last(name: str) -> str:
    """Return a name without its table."""
    return name.split(".", 1)[1] if "." in name and not name.startswith('"') else name
