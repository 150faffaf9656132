"""Mutations for `fuzz_sql.py`: of the words of a statement, of its tree, and texts that are hostile from the start."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import sqlglot
from fuzz_names import CLASHING, HIDDEN, ODD, quoted
from fuzz_trees import classes, grown
from fuzz_worlds import World
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

WORDS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\w+|\s+|.", re.DOTALL)
NUMBERS = (
    "0", "-0", "00", "1e0", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e300", "1e400", "1e-400", "1.5e308",
    "1" * 60, "0." + "0" * 60 + "1", "1" * 5000, "1e99999999999", "1_000", "0x1F", "0b1", ".5", "5.", "1e", "NaN", "inf", "1.0", "1e-290",
)  # fmt: skip
TEXTS = (
    "''", "'''", "'it''s'", "'%'", "'\\'", "'\\''", "'\n'", "'\u202e'", "'🦜'", "'\u0000'", "'\ud800'", "E'\\n'", "$$x$$", "X'41'", "N'x'", "''''",
    "DATE ''", "DATE '0000-01-01'", "DATE '2024-02-30'", "DATE '9999-12-31'", "DATE '2024-W01-1'", "TIMESTAMP '2020-01-01'", "INTERVAL 1 DAY",
)  # fmt: skip
BITS = (
    "*", "(", ")", ",", ";", ".", "..", "::", ":", "?", "$1", "@x", ":x", "--", "/*", "*/", "/*+ x */", "{{", "}}", "||", "->", "->>", "=>", "!", "~~", "^",
    "[1]", "[", "]", "{", "}", "\u00a0", "\u200b", "\ufeff", "=", "<>", "AS x", "AS k0", "AS place", "AS discreet_kept", "'A' 'B'", "1 = 1 OR", "IS", "NOT NOT",
    "OVER ()", "DISTINCT", "ALL", "COLLATE nocase", "AT TIME ZONE 'UTC'", "FILTER (WHERE TRUE)", "TABLESAMPLE 10%", "WITH ORDINALITY", "IGNORE NULLS",
)  # fmt: skip


def hostile(world: World) -> list[str]:
    """Return statements that nobody would write in good faith."""
    table, plain = quoted(world.main), "SELECT COUNT(*) AS n FROM " + quoted(world.main)
    column = quoted(next(iter(world.tables[world.main].domain)))
    deep = {"(": ")", "NOT (": ")", "-(": ")", "ABS(": ")", "[": "]"}
    found = [
        f"SELECT SUM({left * size}{column}{right * size}) AS s FROM {table}"
        for left, right in deep.items()
        for size in (5, 30, 63, 64, 65, 2000)
    ]
    found += [plain + " WHERE " + " AND ".join([f"{column} IS NULL"] * size) for size in (2, 100, 3000)]
    found += [
        plain + " WHERE " + " OR ".join([f"({column} IS NULL AND {column} IS NOT NULL)"] * size) for size in (2, 100)
    ]
    found += [f"SELECT {' + '.join(['COUNT(*)'] * size)} AS n FROM {table}" for size in (2, 60, 101, 3000)]
    found += [f"SELECT {', '.join(f'COUNT(*) AS n{i}' for i in range(size))} FROM {table}" for size in (2, 200)]
    found += [plain + f" WHERE {column} IN ({', '.join(['1'] * size)})" for size in (1, 5000)]
    found += [
        plain + " WHERE CASE " + "WHEN 1 = 1 THEN CASE " * 40 + "END " * 40,
        "(" * 63 + plain + ")" * 63,
        "SELECT " * 500,
        plain + " " * 199_999,
    ]
    found += [f"SELECT COUNT(*) AS n FROM {'(SELECT * FROM ' * size}{table}{')' * size}" for size in (1, 5, 33, 60)]
    found += [_chain(table, size) for size in (2, 40)]
    found += [_doubled(table, column, size) for size in (2, 9, 10, 30)]
    found += [
        f"SELECT COUNT(*) AS n FROM ({' UNION ALL '.join([f'SELECT * FROM {table}'] * size)}) AS x"
        for size in (2, 16, 40)
    ]
    found += [
        f"SELECT COUNT(*) AS {name} FROM {table} GROUP BY {column}"
        for name in (*CLASHING[:60:3], quoted('a"b'), quoted("\n"), quoted(""), quoted("é" * 200), quoted("x" * 201))
    ]
    found += [
        f"SELECT {column} AS {name}, COUNT(*) AS n FROM {table} GROUP BY {column}"
        for name in ("k0", "n_se", "h0", quoted(""))
    ]
    found += [
        f"SELECT COUNT(*) AS n FROM {table} AS {name}"
        for name in (*CLASHING[:60:4], quoted('a"b'), quoted("where"), quoted("\t"))
    ]
    found += [plain + f" WHERE {column} = {literal}" for literal in (*NUMBERS, *TEXTS)]
    found += [plain + f" LIMIT {literal}" for literal in NUMBERS] + [
        f"SELECT COUNT(*) * {literal} AS n FROM {table}" for literal in NUMBERS
    ]
    found += [f"SELECT SUM(LEAST(GREATEST({column}, -{literal}), {literal})) AS s FROM {table}" for literal in NUMBERS]
    found += [f"SELECT AVG({column} * {literal}) AS s FROM {table}" for literal in NUMBERS] + [
        f"SELECT QUANTILE_CONT({column}, {literal}) AS s FROM {table}" for literal in NUMBERS
    ]
    found += [
        "", " ", ";", ";;", "\x00", "\ud800", "\ufeff" + plain, plain + ";", plain + ";;", plain + "; DROP TABLE x", plain + " -- x", plain + " /* x", "\n" + plain,
        plain.replace(" ", "\u00a0"), plain.replace(" ", "/**/"), plain.upper(), plain.lower(), plain[:-1], "EXPLAIN " + plain, "EXPLAIN ANALYZE " + plain,
        "DESCRIBE " + plain, "SUMMARIZE " + table, "FROM " + table, "TABLE " + table, "SHOW TABLES", "PIVOT " + table, "COPY (" + plain + ") TO '/tmp/x'",
        "CREATE TABLE x AS " + plain, "CREATE MACRO sum(x) AS 1", "ATTACH '/etc/passwd' AS p", "PRAGMA database_list", "SET threads = 1", "CALL x()",
        "INSTALL httpfs", "LOAD httpfs", "EXPORT DATABASE '/tmp/x'", "VALUES (1)", "SELECT * FROM read_csv('/etc/passwd')", "SELECT COUNT(*) AS n FROM '/etc/passwd'",
        "SELECT COUNT(*) AS n FROM read_text('/etc/passwd')", "SELECT COUNT(*) AS n FROM duckdb_settings()", "SELECT getenv('HOME') AS h, COUNT(*) AS n FROM " + table,
        "SELECT COUNT(*) AS n FROM information_schema.tables", "SELECT COUNT(*) AS n FROM sqlite_master", "SELECT COUNT(*) AS n FROM range(10)",
        plain + " FOR UPDATE", plain + " LIMIT 1 OFFSET 1", plain + " WINDOW w AS ()", plain + " GROUP BY ALL", plain + " ORDER BY ALL", plain + " ORDER BY 1",
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1, delta = 1e-9) COUNT(*) AS n FROM " + table,
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = inf) COUNT(*) AS n FROM " + table, "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS () COUNT(*) AS n FROM " + table,
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1, epsilon = 2) COUNT(*) AS n FROM " + table,
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_groups_contributed = 99) COUNT(*) AS n FROM " + table,
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (privacy_unit_column = nobody, epsilon = nan, delta = -1) COUNT(*) AS n FROM " + table,
    ]  # fmt: skip
    return found


def _chain(table: str, size: int) -> str:
    """Return a statement over CTEs, each of which reads the one before."""
    names = [table, *(f"w{i}" for i in range(size))]
    steps = [f"{names[i + 1]} AS (SELECT * FROM {names[i]})" for i in range(size)]
    return f"WITH {', '.join(steps)} SELECT COUNT(*) AS n FROM {names[-1]}"


def _doubled(table: str, column: str, size: int) -> str:
    """Return a statement in which each row of a person meets twice as many with each join."""
    twice = f"(SELECT {column} FROM {table} UNION ALL SELECT {column} FROM {table})"
    joins = " ".join(f"JOIN {twice} AS d{i} ON d0.{column} = d{i}.{column}" for i in range(1, size))
    return f"SELECT COUNT(*) AS n FROM {twice} AS d0 {joins}"


# ------------------------------------------------------------------------------------------- words


@cache
def keywords() -> tuple[str, ...]:
    """Return sqlglot's keywords of DuckDB, and its names of functions."""
    names = [name for one in exp.ALL_FUNCTIONS for name in one.sql_names()]
    return tuple(sorted({*DuckDB.Tokenizer.KEYWORDS, *names}))


def in_words(dice, text: str, others: list[str], world: World) -> str:
    """Return a statement with some of its words changed, taken out, doubled, moved or put in."""
    words = WORDS.findall(text)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        if not words:
            break
        at, to = dice.randrange(len(words)), dice.randrange(len(words))
        roll = dice.random()
        if roll < 0.2:
            del words[at]
        elif roll < 0.3:
            words.insert(to, words[at])
        elif roll < 0.4:
            words[at], words[to] = words[to], words[at]
        elif roll < 0.55:
            words[at] = _word(dice, world)
        elif roll < 0.7:
            words.insert(at, f" {_word(dice, world)} ")
        elif roll < 0.8:
            other = WORDS.findall(dice.choice(others))
            start = dice.randrange(len(other) or 1)
            words[at:to] = other[start : start + dice.randint(1, 12)]
        elif roll < 0.9:
            words[at] = words[at].swapcase() if dice.random() < 0.5 else quoted(words[at])
        else:
            joined = "".join(words)
            place = dice.randrange(len(joined) + 1)
            mark = dice.choice("'\"`;()*-/\\%_\n\t\u00e9\u200b\0{}[]0a")
            words = WORDS.findall(joined[:place] + mark + joined[place + dice.choice((0, 1)) :])
    return "".join(words)


def _word(dice, world: World) -> str:
    columns = [column for held in world.tables.values() for column in held.domain]
    roll = dice.random()
    if roll < 0.3:
        return quoted(dice.choice(columns))
    if roll < 0.4:
        return dice.choice(CLASHING) if dice.random() < 0.6 else quoted(dice.choice(HIDDEN))
    if roll < 0.7:
        return dice.choice(keywords())
    return dice.choice(dice.choice((NUMBERS, ODD, TEXTS, BITS)))


# -------------------------------------------------------------------------------------------- trees


def in_tree(dice, text: str, others: list[str], world: World) -> str | None:
    """Return a statement with its tree changed; None if sqlglot reads or writes it in no way."""
    try:
        tree = sqlglot.parse_one(text, dialect="duckdb")
        donor = sqlglot.parse_one(dice.choice(others), dialect="duckdb")
        for _ in range(dice.choice((1, 1, 2))):
            tree = _changed(dice, tree, donor, world)
        return str(tree.sql(dialect="duckdb" if dice.random() < 0.9 else "bigquery"))
    except Exception:  # noqa: BLE001 - a tree without sense has no spelling
        return None


def _changed(dice, tree: Any, donor: Any, world: World) -> Any:
    nodes = list(tree.walk())
    node = dice.choice(nodes)
    columns = list(world.tables[dice.choice(list(world.tables))].domain)
    roll = dice.random()
    if roll < 0.3:
        alike = [one for one in donor.walk() if isinstance(one, type(node))] or list(donor.walk())
        node.replace(dice.choice(alike).copy())
    elif roll < 0.4:
        node.replace(dice.choice(nodes).copy())
    elif roll < 0.5:
        node.replace(grown(dice, dice.choice(classes()), columns, 0))
    elif roll < 0.6:
        wrapper = dice.choice(
            (exp.Paren, exp.Not, exp.Neg, exp.Abs, exp.Floor, exp.Sum, exp.Count, exp.Distinct, exp.Subquery, exp.Max)
        )
        node.replace(wrapper(this=node.copy()))
    elif roll < 0.7 and node.args:
        node.set(dice.choice(list(node.args)), None)
    elif roll < 0.8:
        node.set(
            dice.choice(list(node.arg_types) or ["this"]),
            dice.choice((True, exp.Literal.number(1), exp.column(dice.choice(columns)), [exp.Star()])),
        )
    elif roll < 0.9:
        names = [one for one in nodes if isinstance(one, exp.Identifier)]
        if names:
            dice.choice(names).set("this", dice.choice((*columns, *CLASHING, *HIDDEN)))
    else:
        literals = [one for one in nodes if isinstance(one, exp.Literal)]
        if literals:
            dice.choice(literals).replace(
                exp.Literal.number(dice.choice(NUMBERS))
                if dice.random() < 0.6
                else exp.Literal.string(dice.choice(("", "A", "%", "2024-01-01", "it's")))
            )
    return tree
