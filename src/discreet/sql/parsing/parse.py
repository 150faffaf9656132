"""From the analyst's text to our own nodes; everything else is refused by name.

sqlglot reads the text; nothing of its tree goes further than this file and its parts: `sources`
(FROM), `expressions` and `predicates` (values and conditions of rows), `released` (the SELECT list,
HAVING, ORDER BY). Each argument of each node is checked against what we know: an argument we do not
know is a refusal, never ignored.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Mapping
from typing import Any

from discreet.errors import UnsupportedQuery, missing_extra
from discreet.sql.nodes import TOTAL, Output, Select
from discreet.sql.parsing import predicates, released
from discreet.sql.parsing.expressions import row
from discreet.sql.parsing.grammar import unread
from discreet.sql.parsing.refuse import SHAPE, extra_arguments, not_understood, refuse, unsupported
from discreet.sql.parsing.scope import Scope
from discreet.sql.parsing.sources import Sources
from discreet.sql.parsing.spellings import spelled
from discreet.sql.statements import relations
from discreet.sql.statements.facts import facts
from discreet.sql.statements.relations import Catalog
from discreet.sql.statements.rows import Row
from discreet.units import PrivacyUnit

BOUNDS = (
    "Bounds are declared by the owner. LEAST(GREATEST(x, 0), 100) narrows those of a value; those of a person's total "
    "are given around a subquery: SELECT SUM(LEAST(GREATEST(s, 0), 500)) AS s FROM (SELECT id, SUM(x) AS s …)."
)
MAX_TEXT = 200_000
MAX_TOKENS = 40_000
MAX_DEPTH = 64
MAX_ANDS = 200  # DuckDB takes memory by their square: 400 of them a gigabyte, 3,000 more than most machines have
MAX_SETS = 64
SETS = ("Rollup", "Cube", "GroupingSets")

CLAUSES = {"expressions", "from_", "joins", "where", "group", "having", "order", "limit", "with_"}


def parse(sql: str, *, catalog: Catalog, unit: PrivacyUnit, views: Mapping[str, str]) -> Select:
    """Read one SELECT.

    Args:
        sql: The analyst's text.
        catalog: The declared tables.
        unit: Who is protected.
        views: The owner's views, by name: one SELECT each, or several joined by UNION ALL.

    Raises:
        UnsupportedQuery: a construct has no private answer here; it is named.
        InvalidInput: a literal does not fit the declared type of its column.
    """
    tree = _tree(sql)
    refusal = extra_arguments(tree, CLAUSES)
    if refusal is not None:
        raise refusal
    trees = {name: functools.partial(_tree, text, union=True) for name, text in views.items()}
    reader = Sources(catalog, unit, trees)
    relation, scope = reader.read(tree)
    if not relations.private(relation, catalog):
        raise UnsupportedQuery(
            "the query reads public tables alone; it needs no privacy, and would be charged for nothing.",
            remedy="Read the public table yourself.",
        )
    keys, sets = _keys(tree, scope)
    outputs = _outputs(tree, scope, keys, totals=bool(sets))
    where = tree.args.get("where")
    above = released.Reader(scope, keys, outputs)
    having = tree.args.get("having")
    found = Select(
        relation=relation,
        outputs=outputs,
        where=None if where is None else predicates.predicate(where.this, scope),
        keys=keys,
        sets=sets,
        having=None if having is None else above.having(having.this),
        order=above.order(tree.args.get("order")),
        limit=_limit(tree.args.get("limit")),
    )
    if (left := unread(tree)) is not None:
        raise left
    return found


def table_names(sql: str) -> list[str]:
    """Return the names in the FROM clauses of a query that no CTE defines, before any table is known.

    Raises:
        UnsupportedQuery: the text is no single SELECT from a table.
    """
    tree = _tree(sql)  # says what is missing where sqlglot is
    from sqlglot import exp

    refusal = extra_arguments(tree, CLAUSES)
    if refusal is not None:
        raise refusal
    defined = {item.alias.lower() for item in tree.find_all(exp.CTE)}
    found = [item.name for item in tree.find_all(exp.Table) if isinstance(item.this, exp.Identifier)]
    names = [name for name in dict.fromkeys(found) if name.lower() not in defined]
    if not names:
        raise unsupported("a SELECT without FROM", "Write FROM and the table's name.")
    return names


OPTIONS = re.compile(r"^\s*SELECT\s+WITH\s+DIFFERENTIAL_PRIVACY\b(?:\s+OPTIONS\s*\(([^()]*)\))?", re.IGNORECASE)
KNOWN_OPTIONS = ("epsilon", "delta", "max_groups_contributed", "privacy_unit_column")


def options(sql: str) -> tuple[str, dict[str, Any]]:
    """Return a query without BigQuery's WITH DIFFERENTIAL_PRIVACY [OPTIONS (…)], and the options.

    Raises:
        UnsupportedQuery: an option is unknown, or is no literal.
    """
    found = OPTIONS.match(sql) if isinstance(sql, str) and len(sql) <= MAX_TEXT else None
    if found is None:
        return sql, {}
    given: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in (found[1] or "").split(","))):
        name, sign, value = (part.strip() for part in item.partition("="))
        if not sign or name.lower() not in KNOWN_OPTIONS or name.lower() in given:
            raise unsupported(f"the option {item[:60]!r}", f"Use each of {', '.join(KNOWN_OPTIONS)} at most once.")
        given[name.lower()] = value if name.lower() == "privacy_unit_column" else _option(name, value)
    return "SELECT" + sql[found.end() :], given


def _option(name: str, value: str) -> float:
    try:
        return int(value) if name.lower() == "max_groups_contributed" else float(value)
    except ValueError:
        raise unsupported(f"the option {name} = {value[:40]}", "Write a number.") from None


def check_options(given: Mapping[str, Any], unit: PrivacyUnit) -> None:
    """Refuse options that contradict what the dataset declares: they are the owner's to choose.

    Raises:
        UnsupportedQuery: names the option.
    """
    declared = {"privacy_unit_column": unit.column, "max_groups_contributed": unit.max_groups}
    for name, value in declared.items():
        if name in given and given[name] != value:
            raise unsupported(
                f"the option {name} = {given[name]}", f"The dataset declares {value}; leave the option out."
            )


def _tree(sql: str, *, union: bool = False) -> Any:
    """Return sqlglot's tree of the one statement, within limits that keep the parser safe.

    Args:
        sql: The text.
        union: Whether it may be several SELECTs joined by UNION.
    """
    try:
        import sqlglot
        from sqlglot import exp
    except ImportError:
        raise missing_extra("sql", "sqlglot") from None

    if not isinstance(sql, str) or not sql.strip():
        raise UnsupportedQuery("the query is empty.", remedy=SHAPE)
    if len(sql) > MAX_TEXT:
        raise UnsupportedQuery(f"the query is longer than {MAX_TEXT} characters.", remedy="Ask something shorter.")
    if "\0" in sql or any("\ud800" <= mark <= "\udfff" for mark in sql):
        raise UnsupportedQuery("the query holds a character that no text may hold.", remedy="Remove it.")
    _quiet()
    try:
        _check_size(sqlglot.tokenize(sql, dialect="duckdb"))
        statements = [item for item in sqlglot.parse(sql, dialect="duckdb") if item is not None]
    except RecursionError:
        statements = None
    except (sqlglot.errors.SqlglotError, ValueError) as error:
        if "contribution_bounds" in sql.lower():
            raise unsupported("an argument contribution_bounds_per_…", BOUNDS) from None
        raise UnsupportedQuery(f"the query is not readable as SQL: {_first_line(error)}", remedy=SHAPE) from None
    if statements is None:
        raise UnsupportedQuery("the query is nested too deeply.", remedy="Write it flatter.")
    statements = [item for item in statements if not isinstance(item, exp.Semicolon)]
    if len(statements) != 1:
        raise unsupported(f"a text of {len(statements)} statements", "Ask one SELECT at a time.")
    tree = statements[0]
    if not isinstance(tree, exp.Select) and not (union and isinstance(tree, exp.Union)):
        raise refuse(tree)
    if any(comment.startswith("+") for comment in tree.comments or ()):
        raise unsupported("a hint", "Remove it; the plan is fixed.")
    return spelled(tree)


def _check_size(tokens: list[Any]) -> None:
    if len(tokens) > MAX_TOKENS:
        raise UnsupportedQuery(f"the query has more than {MAX_TOKENS} words.", remedy="Ask something shorter.")
    if sum(token.text.upper() == "AND" for token in tokens) > MAX_ANDS:
        raise UnsupportedQuery(
            f"the query has more than {MAX_ANDS} conditions joined by AND.", remedy="Write x IN (…), or fewer."
        )
    depth = run = 0
    for token in tokens:
        text = token.text.upper()
        depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        prefix = text in ("NOT", "-", "+", "~", "CASE")
        run = run + 1 if prefix else 0
        if depth > MAX_DEPTH or run > MAX_DEPTH:
            raise UnsupportedQuery("the query is nested too deeply.", remedy="Write it flatter.")


def _quiet() -> None:
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it logs what it falls back on; we refuse it


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else "no reason given").rstrip(".")[:200] + "."


def _keys(tree: Any, scope: Scope) -> tuple[tuple[Row, ...], tuple[tuple[int, ...], ...]]:
    """Return what is grouped by, and the grouping sets as places in it, if there are several."""
    group = tree.args.get("group")
    if group is None:
        return (), ()
    if group.args.get("all"):
        raise unsupported("GROUP BY ALL", "Name the columns to group by.")
    refusal = extra_arguments(group, {"expressions"})
    if refusal is not None:
        raise refusal
    keys: list[Row] = []
    special = [item for item in group.expressions if type(item).__name__ in SETS]
    plain = [_key(item, tree, scope, keys) for item in group.expressions if item not in special]
    for place in plain:
        if plain.count(place) > 1:
            raise unsupported(f"GROUP BY {keys[place]} twice", "Name each column once.")
    if len(special) > 1:
        raise unsupported("several of ROLLUP, CUBE and GROUPING SETS", "Write one GROUPING SETS.")
    if not special:
        return tuple(keys), ()
    sets = [(*plain, *chosen) for chosen in _sets(special[0], tree, scope, keys)]
    distinct = list(dict.fromkeys(tuple(sorted(set(one))) for one in sets))
    if len(distinct) > MAX_SETS:
        raise unsupported(f"{len(distinct)} grouping sets", f"Ask for at most {MAX_SETS} at once.")
    return tuple(keys), tuple(distinct)


def _sets(node: Any, tree: Any, scope: Scope, keys: list[Row]) -> list[tuple[int, ...]]:
    """Return the grouping sets of ROLLUP, CUBE or GROUPING SETS, as places in `keys`."""
    groups = [_places(item, tree, scope, keys) for item in node.expressions]
    kind = type(node).__name__
    if kind == "Rollup":
        return [tuple(place for one in groups[:size] for place in one) for size in range(len(groups), -1, -1)]
    if kind == "Cube":
        if len(groups) > 6:
            raise unsupported("CUBE of more than six columns", "Name the GROUPING SETS that you need.")
        chosen = range(2 ** len(groups) - 1, -1, -1)
        return [
            tuple(place for i, one in enumerate(groups) if mask >> (len(groups) - 1 - i) & 1 for place in one)
            for mask in chosen
        ]
    return groups


def _places(node: Any, tree: Any, scope: Scope, keys: list[Row]) -> tuple[int, ...]:
    if type(node).__name__ == "Tuple":
        return tuple(_key(item, tree, scope, keys) for item in node.expressions)
    return (_key(predicates.bare(node), tree, scope, keys),)


def _key(node: Any, tree: Any, scope: Scope, keys: list[Row]) -> int:
    """Return the place of what is grouped by; a new one is added."""
    if type(node).__name__ == "Literal":
        raise not_understood("GROUP BY a position", "Name the column to group by.")
    node = _meant(node, tree, scope) if type(node).__name__ == "Column" else node
    value = row(node, scope)
    if facts(value, scope.columns).type == "float":
        raise UnsupportedQuery(
            f"GROUP BY {value} would make a group of each float.",
            remedy=f"Group by whole numbers: FLOOR({value}), or FLOOR({value} / 10).",
        )
    if value not in keys:
        keys.append(value)
    return keys.index(value)


def _meant(item: Any, tree: Any, scope: Scope) -> Any:
    """Return what GROUP BY names: a column, or, where there is none, what the SELECT list calls so."""
    from sqlglot import exp

    if item.table or any(ref.name.lower() == item.name.lower() for ref in scope.columns):
        return item
    called = [
        one.this for one in tree.expressions if isinstance(one, exp.Alias) and one.alias.lower() == item.name.lower()
    ]
    return called[0] if len(called) == 1 and called[0].find(exp.AggFunc) is None else item


def _outputs(tree: Any, scope: Scope, keys: tuple[Row, ...], *, totals: bool) -> tuple[Output, ...]:
    outputs = [released.output(item, scope, keys) for item in tree.expressions]
    taken: set[str] = set()
    for item in outputs:
        names = [item.name]
        if item.expression is not None:
            names += [item.name + suffix for suffix in ("_se", "_low", "_high", "_raw")]
        elif totals:
            names.append(item.name + TOTAL)
        for name in names:
            if name.lower() in taken:
                raise UnsupportedQuery(
                    f"two columns of the answer would be named {name!r} "
                    "(each aggregate c also brings c_se, c_low, c_high and perhaps c_raw).",
                    remedy="Give each its own name with AS.",
                )
            taken.add(name.lower())
    return tuple(outputs)


def _limit(limit: Any) -> int | None:
    from sqlglot import exp

    if limit is None:
        return None
    if not isinstance(limit, exp.Limit):
        raise refuse(limit)
    refusal = extra_arguments(limit, {"expression"})
    number = limit.expression
    whole = isinstance(number, exp.Literal) and not number.is_string and number.name.isdecimal()
    if refusal is not None or not whole or len(number.name) > 9:
        raise unsupported("LIMIT with anything but a whole number", "Write LIMIT 10.")
    return int(number.name)
