"""WHERE: total predicates over declared columns, in SQL's three-valued logic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from discreet.errors import UnsupportedQuery
from discreet.sql.nodes import Compare, Comparison, Const, In, IsNull, Logic, Not, Predicate, Ref
from discreet.sql.refuse import extra_arguments, refuse, unsupported
from discreet.sql.scope import Scope

OPERATORS: dict[str, Comparison] = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
FLIPPED: dict[Comparison, Comparison] = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
MAX_NESTING = 100


def predicate(node: Any, scope: Scope, depth: int = 0) -> Predicate:
    """Read a condition on private rows."""
    from sqlglot import exp

    if depth > MAX_NESTING:
        raise UnsupportedQuery("the WHERE is nested too deeply.", remedy="Write it flatter.")
    if isinstance(node, exp.Paren):
        return predicate(node.this, scope, depth + 1)
    if isinstance(node, exp.And | exp.Or):
        operator: Literal["AND", "OR"] = "AND" if isinstance(node, exp.And) else "OR"
        return Logic(operator, tuple(predicate(term, scope, depth + 1) for term in flat(node)))
    if isinstance(node, exp.Not):
        return Not(predicate(node.this, scope, depth + 1))
    read = READERS.get(type(node).__name__)
    if read is not None:
        return read(node, scope)
    if isinstance(node, exp.Column):
        name = scope.column(node)
        if scope.domain[name].type != "boolean":
            raise unsupported(f"the column {name} as a condition", f"Compare it: {name} = …")
        return Compare("=", Ref(name), Const(True))
    if isinstance(node, exp.Boolean | exp.Literal):
        raise unsupported("a constant as a condition", "Remove it, or compare a column with it.")
    raise _operand(node)


def flat(node: Any) -> list[Any]:
    """Return the terms of a chain of the same connective, without recursion."""
    kind, terms, waiting = type(node), [], [node]
    while waiting:
        item = waiting.pop()
        while type(item).__name__ == "Paren" and type(item.this) is kind:
            item = item.this
        if type(item) is kind:
            waiting += [item.right, item.left]
        else:
            terms.append(item)
    return terms


def _compare(node: Any, scope: Scope) -> Compare:
    operator = OPERATORS[type(node).__name__]
    left, right = bare(node.left), bare(node.right)
    first, second = _is_column(left), _is_column(right)
    if first and second:
        a, b = scope.column(left), scope.column(right)
        if _family(a, scope) != _family(b, scope):
            raise UnsupportedQuery(
                f"{a} is declared as {scope.domain[a].type} and {b} as {scope.domain[b].type}: they do not compare.",
                remedy="Compare columns of the same kind.",
            )
        return Compare(operator, Ref(a), Ref(b))
    if first:
        name = scope.column(left)
        return Compare(operator, Ref(name), scope.literal(right, name))
    if second:
        name = scope.column(right)
        return Compare(FLIPPED[operator], Ref(name), scope.literal(left, name))
    if is_literal(left) and is_literal(right):
        raise unsupported("a comparison of two literals", "Remove it, or compare a column.")
    raise _operand(right if is_literal(left) else left)


def _between(node: Any, scope: Scope) -> Logic:
    if node.args.get("symmetric"):
        raise unsupported("BETWEEN SYMMETRIC", "Write the smaller bound first.")
    name = _column(node.this, scope)
    low, high = scope.literal(bare(node.args["low"]), name), scope.literal(bare(node.args["high"]), name)
    return Logic("AND", (Compare(">=", Ref(name), low), Compare("<=", Ref(name), high)))


def _in(node: Any, scope: Scope) -> In:
    refusal = extra_arguments(node, {"this", "expressions"})
    if node.args.get("query") is not None:
        raise unsupported("a subquery", "Write the values as literals: IN (1, 2, 3).")
    if refusal is not None:
        raise refusal
    name = _column(node.this, scope)
    values = dict.fromkeys(scope.literal(bare(item), name) for item in node.expressions)
    if not values:
        raise unsupported("an empty IN ()", "Name at least one value.")
    return In(Ref(name), tuple(values))


def _is(node: Any, scope: Scope) -> Predicate:
    from sqlglot import exp

    name = _column(node.this, scope)
    if isinstance(node.expression, exp.Null):
        return IsNull(Ref(name))
    if isinstance(node.expression, exp.Boolean):
        raise unsupported("IS TRUE and IS FALSE", f"Write {name} = TRUE or {name} = FALSE.")
    raise refuse(node.expression)


def bare(node: Any) -> Any:
    """Return what stands inside parentheses."""
    while type(node).__name__ == "Paren":
        node = node.this
    return node


def is_literal(node: Any) -> bool:
    """Return whether a node is a value written out: a number, perhaps negative, a text, a date or a truth value."""
    if type(node).__name__ in ("Neg", "Cast"):
        node = bare(node.this)
    return type(node).__name__ in ("Literal", "Boolean")


def _is_column(node: Any) -> bool:
    return type(node).__name__ == "Column"


def _column(node: Any, scope: Scope) -> str:
    node = bare(node)
    if not _is_column(node):
        raise _operand(node)
    return scope.column(node)


def _operand(node: Any) -> UnsupportedQuery:
    from sqlglot import exp

    if isinstance(node, exp.AggFunc):
        return unsupported("an aggregate in WHERE", "Filter rows in WHERE, and released values in HAVING.")
    return refuse(node)


def _family(name: str, scope: Scope) -> str:
    kind = scope.domain[name].type
    return "number" if kind in ("integer", "float") else cast(str, kind)


READERS: dict[str, Callable[[Any, Scope], Predicate]] = {
    **dict.fromkeys(OPERATORS, _compare),
    "Between": _between,
    "In": _in,
    "Is": _is,
}
