"""Statements for `fuzz_sql.py` of sqlglot's grammar: every class of its tree, in every place of a statement."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from fuzz_names import quoted
from fuzz_worlds import World
from sqlglot import exp
from sqlglot.dialects import DIALECTS


@cache
def classes() -> tuple[type, ...]:
    """Return every class of sqlglot's tree."""
    found, waiting = set(), [exp.Expression]
    while waiting:
        for one in waiting.pop().__subclasses__():
            if one not in found and not inspect.isabstract(one):
                found.add(one)
                waiting.append(one)
    return tuple(sorted(found, key=lambda one: one.__name__))


def grown(dice, kind: type, fields: list[str], depth: int = 1) -> Any:
    """Return a node of a class, with what it has to have and some of what it may have."""
    node = kind()
    for argument, needed in kind.arg_types.items():
        if not needed and dice.random() < 0.75:
            continue
        node.set(argument, _argument(dice, argument, fields, depth))
    return node


def _argument(dice, argument: str, fields: list[str], depth: int) -> Any:
    def one() -> Any:
        if depth > 0 and dice.random() < 0.25:
            return grown(dice, dice.choice(classes()), fields, depth - 1)
        return dice.choice([
            exp.column(dice.choice(fields)), exp.column(dice.choice(fields)), exp.Literal.number(dice.choice((0, 1, 3, 1e300))), exp.Literal.string("A"),
            exp.Star(), exp.Null(), exp.true(), exp.to_identifier(dice.choice(fields)), exp.DataType.build("INT"), exp.Var(this="x"),
            exp.EQ(this=exp.column(dice.choice(fields)), expression=exp.Literal.number(1)),
            exp.Count(this=exp.Star()), exp.select("1").from_("t").subquery("s"), exp.to_table("t"),
        ])  # fmt: skip

    if argument in ("expressions", "ifs", "joins", "laterals", "pivots", "args"):
        return [one() for _ in range(dice.choice((1, 1, 2)))]
    if argument in ("distinct", "big_int", "desc", "nulls_first", "recursive", "quoted", "safe"):
        return True
    return one()


PLACES = (
    "SELECT SUM({}) AS x FROM {t}", "SELECT COUNT({}) AS n FROM {t}", "SELECT {} AS x FROM {t}", "SELECT COUNT(*) AS n FROM {t} WHERE {}",
    "SELECT COUNT(*) AS n FROM {t} WHERE {} = 1", "SELECT COUNT(*) AS n FROM {t} GROUP BY {}", "SELECT {} AS k, COUNT(*) AS n FROM {t} GROUP BY k",
    "SELECT COUNT(*) AS n FROM {}", "SELECT COUNT(*) AS n FROM {t} HAVING {}", "SELECT COUNT(*) AS n FROM {t} ORDER BY {}",
    "SELECT COUNT(*) AS n FROM {t} LIMIT {}", "SELECT COUNT(*) AS n FROM {t} {}", "WITH w AS ({}) SELECT COUNT(*) AS n FROM w",
    "SELECT COUNT(*) AS n FROM (SELECT {} AS e FROM {t}) AS s", "SELECT COUNT(*) AS n FROM {t} AS a JOIN {t} AS b ON {}",
    "SELECT COUNT(*) FILTER (WHERE {}) AS n FROM {t}", "SELECT AVG(CASE WHEN {} THEN 1 ELSE 0 END) AS n FROM {t}",
    "SELECT COUNT(DISTINCT {}) AS n FROM {t}", "SELECT {} FROM {t}", "{}", "SELECT COUNT(*) AS n FROM {t} GROUP BY ROLLUP ({})",
    "SELECT QUANTILE_CONT({}, 0.5) AS q FROM {t}", "SELECT MODE({}) AS m FROM {t}", "SELECT COUNT(*) + {} AS n FROM {t}",
)  # fmt: skip


def placed(dice, kind: type, place: str, world: World) -> str | None:
    """Return a statement with a node of a class in a place; None if sqlglot cannot write it."""
    main = world.tables[world.main]
    node = grown(dice, kind, list(main.domain))
    dialect = "duckdb" if dice.random() < 0.6 else dice.choice(DIALECTS).lower()
    try:
        written = node.sql(dialect=dialect)
    except Exception:  # noqa: BLE001 - a node without sense has no spelling
        return None
    return place.replace("{t}", quoted(world.main)).replace("{}", written, 1)
