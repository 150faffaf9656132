"""Subqueries that group the rows of each person: their SELECT list, GROUP BY and HAVING."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from discreet.errors import UnsupportedQuery
from discreet.sql.parsing.expressions import row
from discreet.sql.parsing.predicates import bare
from discreet.sql.parsing.refuse import extra_arguments, not_understood, refuse, unsupported
from discreet.sql.parsing.scope import Scope
from discreet.sql.statements import relations
from discreet.sql.statements.relations import Inner, InnerFunction, PerPerson
from discreet.sql.statements.rows import Ref, Row

INNER: dict[str, InnerFunction] = {"Count": "COUNT", "Sum": "SUM", "Avg": "AVG", "Min": "MIN", "Max": "MAX"}


def selected(tree: Any, scope: Scope) -> list[tuple[str, Row | Inner]]:
    """Return the SELECT list of a subquery."""
    from sqlglot import exp

    named: list[tuple[str, Row | Inner]] = []
    for item in tree.expressions:
        if isinstance(item, exp.Star):
            refusal = extra_arguments(item, set())
            if refusal is not None:
                raise refusal
            named += [(ref.name, ref) for ref in scope.columns]
            continue
        node = bare(item.this) if isinstance(item, exp.Alias) else bare(item)
        if not isinstance(node, exp.AggFunc) and node.find(exp.AggFunc) is not None:
            raise unsupported(
                "an expression of aggregates in a subquery",
                "Give each aggregate a name with AS, and reckon with the names in the query around it.",
            )
        value = inner(node, scope) if isinstance(node, exp.AggFunc) else row(node, scope)
        name = item.alias if isinstance(item, exp.Alias) else value.name if isinstance(value, Ref) else ""
        if not name:
            raise UnsupportedQuery(f"{value} in a subquery needs a name.", remedy="Add AS and a name.")
        named.append((name, value))
    return named


def inner(node: Any, scope: Scope) -> Inner:
    """Read an aggregate over the rows of one person."""
    from sqlglot import exp

    function = INNER.get(type(node).__name__)
    if function is None:
        raise unsupported(
            f"{node.sql_name()} in a subquery", f"A person's rows are aggregated by {', '.join(INNER.values())}."
        )
    refusal = extra_arguments(node, {"this", "big_int"})
    if refusal is not None:
        raise refusal
    argument = bare(node.this) if node.this is not None else None
    if argument is None or isinstance(argument, exp.Star):
        if function != "COUNT":
            raise unsupported(f"{function}(*)", f"Name the column: {function}(column).")
        return Inner("COUNT", None)
    if isinstance(argument, exp.Distinct):
        if function != "COUNT" or len(argument.expressions) != 1:
            raise unsupported(f"{function}(DISTINCT …)", "Only COUNT(DISTINCT column) is understood.")
        return Inner("COUNT DISTINCT", row(argument.expressions[0], scope))
    found = Inner(function, row(argument, scope))
    relations.inner(found, scope.columns)
    return found


def keys(tree: Any, scope: Scope, named: list[tuple[str, Row | Inner]]) -> list[Row]:
    """Return what a subquery groups by; of SELECT DISTINCT everything that it names."""
    group = tree.args.get("group")
    if group is None:
        return [item for _, item in named if not isinstance(item, Inner)]
    refusal = extra_arguments(group, {"expressions"})
    if refusal is not None:
        raise refusal
    found: list[Row] = []
    for item in group.expressions:
        if type(item).__name__ == "Literal":
            raise not_understood("GROUP BY a position", "Name the column to group by.")
        called = [one for name, one in named if type(item).__name__ == "Column" and name.lower() == item.name.lower()]
        known = any(ref.name.lower() == item.name.lower() for ref in scope.columns)
        key = called[0] if called and not known and not isinstance(called[0], Inner) else row(item, scope)
        found.append(key)
    return list(dict.fromkeys(found))


def having(condition: Any, found: PerPerson, scope: Scope) -> tuple[PerPerson, Any]:
    """Return a subquery with the aggregates of its HAVING, and the condition over its columns: the tree is changed.

    A name of a column that is grouped by means that column, as in DuckDB, even if something else is called so.
    """
    from sqlglot import exp

    named: dict[Ref, str] = {}
    for name, item in found.keys:
        if isinstance(item, Ref):
            named.setdefault(item, name)
    columns = [node for node in condition.find_all(exp.Column) if node.find_ancestor(exp.AggFunc) is None]
    for node in columns:
        key = (
            None if node.table or not isinstance(node.this, exp.Identifier) else scope.unambiguous(node.name, [*named])
        )
        if key is not None:
            node.set("this", exp.to_identifier(named[key], quoted=True))
    aggregates = list(found.aggregates)
    for node in list(condition.find_all(exp.AggFunc)):
        asked = inner(node, scope)
        called = next((name for name, one in aggregates if one == asked), None)
        if called is None:
            called = f"having {len(aggregates)}"
            aggregates.append((called, asked))
        if node is condition:
            raise refuse(node)
        node.replace(exp.column(exp.to_identifier(called, quoted=True)))
    return replace(found, aggregates=tuple(aggregates)), condition
