"""Aggregates, as an analyst writes them. A condition on one (FILTER) becomes a CASE inside of it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from discreet.errors import UnsupportedQuery
from discreet.sql.nodes import PAIRED, SPREAD, Aggregate, Function
from discreet.sql.parsing import predicates
from discreet.sql.parsing.expressions import constant, row
from discreet.sql.parsing.predicates import bare
from discreet.sql.parsing.refuse import (
    CLAMPED,
    OF_RELEASED,
    bounds_example,
    extra_arguments,
    keys_example,
    refuse,
    unsupported,
)
from discreet.sql.parsing.scope import Scope
from discreet.sql.statements.facts import facts, number
from discreet.sql.statements.rows import Case, Const, IsNull, Logic, Not, Predicate, Ref, Row

# sqlglot's class -> our function, for those of one column
PLAIN_FUNCTIONS: dict[str, Function] = {
    "Sum": "SUM",
    "Avg": "AVG",
    "Stddev": "STDDEV_SAMP",
    "StddevSamp": "STDDEV_SAMP",
    "StddevPop": "STDDEV_POP",
    "Variance": "VAR_SAMP",
    "VariancePop": "VAR_POP",
    "Min": "MIN",
    "Max": "MAX",
    "Mode": "MODE",
}
PAIRS: dict[str, Function] = {"CovarPop": "COVAR_POP", "CovarSamp": "COVAR_SAMP", "Corr": "CORR"}
RANKED = ("PercentileCont", "PercentileDisc", "Quantile", "ApproxQuantile")
RANK = "Give one rank between 0 and 1: QUANTILE_CONT(column, 0.9). Several ranks are several columns of the answer."


def aggregate(node: Any, scope: Scope) -> Aggregate:
    """Read one aggregate."""
    node = bare(node)
    kind = type(node).__name__
    if kind == "Filter":
        refusal = extra_arguments(node, {"this", "expression"})
        if refusal is not None:
            raise refusal
        found = aggregate(node.this, scope)
        return _filtered(found, predicates.predicate(node.expression.this, scope), scope)
    read = READERS.get(kind)
    if read is None:
        raise _not_aggregate(node)
    return _checked(read(node, scope), scope)


def _filtered(found: Aggregate, condition: Predicate, scope: Scope) -> Aggregate:
    arguments: tuple[Row, ...] = found.arguments or (Const(1),)
    if found.function == "COUNT" and facts(arguments[0], scope.columns).low is None:
        # A count needs no bounds of what it counts.
        condition, arguments = Logic("AND", (condition, Not(IsNull(arguments[0])))), (Const(1),)
    return Aggregate(found.function, tuple(Case(((condition, item),)) for item in arguments), found.rank)


def _count(node: Any, scope: Scope) -> Aggregate:
    refusal = extra_arguments(node, {"this", "big_int"})
    if refusal is not None:
        raise unsupported("COUNT of several arguments", "COUNT takes one column.")
    inner = bare(node.this) if node.this is not None else None
    if inner is None or type(inner).__name__ == "Star":
        if inner is not None and (refusal := extra_arguments(inner, set())) is not None:
            raise refusal
        return Aggregate("COUNT")
    if type(inner).__name__ == "Distinct":
        if len(inner.expressions) != 1 or inner.args.get("on") is not None:
            raise unsupported("COUNT(DISTINCT …) of several columns", "Count one column.")
        return Aggregate("COUNT DISTINCT", (_argument("COUNT", inner.expressions[0], scope),))
    return Aggregate("COUNT", (_argument("COUNT", inner, scope),))


def _count_if(node: Any, scope: Scope) -> Aggregate:
    return Aggregate("COUNT", (Case(((predicates.predicate(node.this, scope), Const(1)),)),))


def _plain(node: Any, scope: Scope) -> Aggregate:
    function = PLAIN_FUNCTIONS[type(node).__name__]
    refusal = extra_arguments(node, {"this"})
    if refusal is not None:
        raise unsupported(f"{function} of several arguments", f"{function} takes one column.")
    return Aggregate(function, (_argument(function, node.this, scope),))


def _pair(node: Any, scope: Scope) -> Aggregate:
    function = PAIRS[type(node).__name__]
    refusal = extra_arguments(node, {"this", "expression"})
    if refusal is not None:
        raise refusal
    first, second = (_argument(function, item, scope) for item in (node.this, node.expression))
    return Aggregate(function, (first, second))


def _median(node: Any, scope: Scope) -> Aggregate:
    return Aggregate("QUANTILE", (_argument("MEDIAN", node.this, scope),), Decimal("0.5"))


def _ranked(node: Any, scope: Scope) -> Aggregate:
    refusal = extra_arguments(node, {"this", "expression", "quantile"})
    if refusal is not None:
        raise refusal
    rank = node.args.get("quantile") or node.args.get("expression")
    return Aggregate("QUANTILE", (_argument("QUANTILE", node.this, scope),), _rank(rank))


def _within(node: Any, scope: Scope) -> Aggregate:
    inner, order = node.this, node.expression
    ordered = order.expressions if type(order).__name__ == "Order" else []
    if type(inner).__name__ not in RANKED or len(ordered) != 1:
        raise unsupported("WITHIN GROUP", "Write QUANTILE_CONT(column, 0.9), or MODE(column).")
    if ordered[0].args.get("desc"):
        raise unsupported("WITHIN GROUP (ORDER BY … DESC)", "Order upwards, and take 1 minus the rank.")
    return Aggregate("QUANTILE", (_argument("QUANTILE", ordered[0].this, scope),), _rank(inner.this))


def _rank(node: Any) -> Decimal:
    if node is None or not predicates.is_literal(bare(node)):
        raise unsupported("a quantile without one rank", RANK)
    value = constant(node).value
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 < value < 1:
        raise unsupported(
            "a quantile whose rank is not between 0 and 1", RANK + " MIN and MAX have names of their own."
        )
    if len(str(value)) > 20:
        raise unsupported("a rank of more than 18 digits", RANK)
    return Decimal(value)


def _argument(function: str, inner: Any, scope: Scope) -> Row:
    """Read what stands inside an aggregate."""
    from sqlglot import exp

    inner = bare(inner) if inner is not None else None
    if inner is None or isinstance(inner, exp.Star):
        raise unsupported(f"{function}(*)", f"Name the column: {function}(column).")
    if isinstance(inner, exp.Distinct):
        raise unsupported(f"{function}(DISTINCT …)", f"{function} over all rows is what can be answered.")
    if isinstance(inner, exp.Order):
        raise unsupported("ORDER BY inside an aggregate", "Remove it: the order of rows does not matter.")
    if isinstance(inner, exp.AggFunc):
        raise unsupported(
            "an aggregate inside an aggregate",
            "Aggregate each person in a subquery: SELECT AVG(LEAST(GREATEST(n, 0), 10)) AS m FROM "
            "(SELECT id, COUNT(*) AS n FROM t GROUP BY id).",
        )
    if predicates.is_literal(inner):
        raise unsupported(f"{function} of a constant", "Write COUNT(*) to count rows.")
    return row(inner, scope)


def _checked(found: Aggregate, scope: Scope) -> Aggregate:
    """Refuse what has no public bounds or candidates."""
    for item in found.arguments:
        known = facts(item, scope.columns)
        if found.function == "COUNT":
            continue
        if found.function == "COUNT DISTINCT":
            if known.stepped and known.low is None:
                number(item, scope.columns)
            continue
        if found.function == "MODE":
            if known.keys is None:
                raise UnsupportedQuery(
                    f"MODE({item}) needs the public list of its candidates, and there is none.",
                    remedy=f"Declare keys of the column, for example {keys_example(_name(item), known.type)}.",
                )
            continue
        declared = isinstance(item, Ref) and not known.stepped
        if not known.bounded and declared and known.type in ("integer", "float"):
            raise UnsupportedQuery(
                f"{found.function}({item}) needs public bounds, and the domain declares none.",
                remedy=f"Declare them: {bounds_example(_name(item), known.type)}, or write "
                f"{found.function}(LEAST(GREATEST({item}, 0), 100)) with bounds of yours. Values beyond are clamped. "
                "Never read them off the data.",
            )
        low, high, _ = number(item, scope.columns).range
        if low == high and (found.function in ("AVG", *SPREAD, *PAIRED) or low == 0):
            raise UnsupportedQuery(
                f"{found.function}({item}) is the same whatever the rows are.",
                remedy="COUNT(*) FILTER (WHERE …) counts the rows that satisfy a condition.",
            )
        if found.function in (*SPREAD, *PAIRED):
            _check_squares(found, item, scope)
    return found


def _check_squares(found: Aggregate, item: Row, scope: Scope) -> None:
    low, high, _ = number(item, scope.columns).range
    if (high - low) ** 2 > 2**40:
        raise UnsupportedQuery(
            f"{found.function} needs squares, and {item} has too many steps between its bounds.",
            remedy="Declare a coarser resolution or tighter bounds of its columns, or take FLOOR of it.",
        )


def _name(item: Row) -> str:
    return item.name if isinstance(item, Ref) else "column"


def _not_aggregate(node: Any) -> UnsupportedQuery:
    from sqlglot import exp

    if isinstance(node, exp.Column):
        return unsupported(f"the column {str(node.name)[:80]} outside of an aggregate", CLAMPED)
    if isinstance(node, exp.Literal):
        return unsupported("text in arithmetic", "Use numbers.")
    if node.find(exp.AggFunc) is not None and hasattr(node, "sql_name") and not isinstance(node, exp.AggFunc):
        return unsupported(f"{node.sql_name()} of an aggregate", OF_RELEASED)
    return refuse(node)


READERS: dict[str, Callable[[Any, Scope], Aggregate]] = {
    "Count": _count,
    "CountIf": _count_if,
    "Median": _median,
    "WithinGroup": _within,
    **dict.fromkeys(PLAIN_FUNCTIONS, _plain),
    **dict.fromkeys(PAIRS, _pair),
    **dict.fromkeys(RANKED, _ranked),
}
