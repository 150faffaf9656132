"""From the analyst's text to our own nodes; everything else is refused by name.

sqlglot reads the text; nothing of its tree goes further than this file and its two halves,
`predicates` (WHERE) and `released` (the SELECT list, HAVING, ORDER BY). Each argument of each node
is checked against what we know: an argument we do not know is a refusal, never ignored.
"""

from __future__ import annotations

import logging
from typing import Any

from discreet.domains import Domain
from discreet.errors import UnsupportedQuery, missing_extra
from discreet.sql import predicates, released
from discreet.sql.nodes import Output, Select
from discreet.sql.refuse import SHAPE, extra_arguments, keys_example, not_understood, refuse, unsupported
from discreet.sql.scope import Scope

MAX_TEXT = 200_000
MAX_TOKENS = 40_000
MAX_DEPTH = 64

CLAUSES = {"expressions", "from_", "where", "group", "having", "order", "limit"}


def parse(sql: str, *, table: str, domain: Domain) -> Select:
    """Read one SELECT about `table`.

    Args:
        sql: The analyst's text.
        table: The table's public name.
        domain: Its declared columns.

    Raises:
        UnsupportedQuery: a construct has no private answer here; it is named.
        InvalidInput: a literal does not fit the declared type of its column.
    """
    tree = _tree(sql)
    scope = Scope(table, domain)
    refusal = extra_arguments(tree, CLAUSES)
    if refusal is not None:
        raise refusal
    _from(tree, scope)
    keys = _keys(tree, scope)
    outputs = _outputs(tree, scope, keys)
    where = tree.args.get("where")
    reader = released.Reader(scope, keys, outputs)
    having = tree.args.get("having")
    return Select(
        table=table,
        outputs=outputs,
        where=None if where is None else predicates.predicate(where.this, scope),
        keys=keys,
        having=None if having is None else reader.having(having.this),
        order=reader.order(tree.args.get("order")),
        limit=_limit(tree.args.get("limit")),
    )


def table_name(sql: str) -> str:
    """Return the name of the one table a query reads, before any table is known.

    Raises:
        UnsupportedQuery: the text is no single SELECT from a table.
    """
    tree = _tree(sql)
    refusal = extra_arguments(tree, CLAUSES)
    if refusal is not None:
        raise refusal
    return str(_source(tree).name)


def _tree(sql: str) -> Any:
    """Return sqlglot's tree of the one statement, within limits that keep the parser safe."""
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
        raise UnsupportedQuery(f"the query is not readable as SQL: {_first_line(error)}", remedy=SHAPE) from None
    if statements is None:
        raise UnsupportedQuery("the query is nested too deeply.", remedy="Write it flatter.")
    statements = [item for item in statements if not isinstance(item, exp.Semicolon)]
    if len(statements) != 1:
        raise unsupported(f"a text of {len(statements)} statements", "Ask one SELECT at a time.")
    tree = statements[0]
    if not isinstance(tree, exp.Select):
        raise refuse(tree)
    if any(comment.startswith("+") for comment in tree.comments or ()):
        raise unsupported("a hint", "Remove it; the plan is fixed.")
    return tree


def _check_size(tokens: list[Any]) -> None:
    if len(tokens) > MAX_TOKENS:
        raise UnsupportedQuery(f"the query has more than {MAX_TOKENS} words.", remedy="Ask something shorter.")
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


def _source(tree: Any) -> Any:
    from sqlglot import exp

    source = tree.args.get("from_")
    if source is None:
        raise unsupported("a SELECT without FROM", "Write FROM and the table's name.")
    table = source.this
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise refuse(table if not isinstance(table, exp.Table) else table.this)
    return table


def _from(tree: Any, scope: Scope) -> None:
    table = _source(tree)
    refusal = extra_arguments(table, {"this", "alias"})
    if refusal is not None:
        raise refusal
    alias = table.args.get("alias")
    if alias is not None:
        refusal = extra_arguments(alias, {"this"})
        if refusal is not None:
            raise refusal
    if table.name.lower() != scope.table.lower():
        raise UnsupportedQuery(
            f"the query reads the table {table.name!r}; this dataset is {scope.table!r}.",
            remedy=f"Write FROM {scope.table}.",
        )
    scope.aliases = {scope.table.lower(), (alias.name if alias is not None else scope.table).lower()}


def _keys(tree: Any, scope: Scope) -> tuple[str, ...]:
    from sqlglot import exp

    group = tree.args.get("group")
    if group is None:
        return ()
    if group.args.get("all"):
        raise unsupported("GROUP BY ALL", "Name the columns to group by.")
    refusal = extra_arguments(group, {"expressions"})
    if refusal is not None:
        raise refusal
    keys: list[str] = []
    for item in group.expressions:
        if isinstance(item, exp.Literal):
            raise not_understood("GROUP BY a position", "Name the column to group by.")
        if not isinstance(item, exp.Column):
            if type(item).__name__ in ("Rollup", "Cube", "GroupingSets"):
                raise refuse(item)
            raise unsupported(
                "GROUP BY an expression",
                "Group by a declared column that has keys; prepare the expression as a column of the table.",
            )
        name = scope.column(_meant(item, tree, scope))
        if scope.domain[name].keys is None:
            raise UnsupportedQuery(
                f"GROUP BY {name} needs the public list of its groups, and the domain declares none.",
                remedy=f"Declare them: {keys_example(name, scope.domain[name].type)}. Never read them off the data.",
            )
        if name in keys:
            raise unsupported(f"GROUP BY {name} twice", "Name each column once.")
        keys.append(name)
    return tuple(keys)


def _meant(item: Any, tree: Any, scope: Scope) -> Any:
    """Return the column that GROUP BY names: itself, or, where there is none, the one the SELECT list calls so."""
    from sqlglot import exp

    if item.table or any(name.lower() == item.name.lower() for name in scope.domain):
        return item
    called = [
        one.this for one in tree.expressions if isinstance(one, exp.Alias) and one.alias.lower() == item.name.lower()
    ]
    return called[0] if len(called) == 1 and isinstance(called[0], exp.Column) else item


def _outputs(tree: Any, scope: Scope, keys: tuple[str, ...]) -> tuple[Output, ...]:
    outputs = [released.output(item, scope, keys) for item in tree.expressions]
    if not any(item.expression is not None for item in outputs):
        raise unsupported("a SELECT without an aggregate", "Add COUNT(*), COUNT(column), SUM(column) or AVG(column).")
    taken: set[str] = set()
    for item in outputs:
        names = [item.name]
        if item.expression is not None:
            names += [item.name + suffix for suffix in ("_se", "_low", "_high")]
        for name in names:
            if name.lower() in taken:
                raise UnsupportedQuery(
                    f"two columns of the answer would be named {name!r} "
                    "(each aggregate c also brings c_se, c_low and c_high).",
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
