"""Conditions on rows: total predicates over declared columns, in SQL's three-valued logic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from discreet.errors import UnsupportedQuery
from discreet.sql.parsing.refuse import WITH_ROWS, extra_arguments, refuse, unsupported
from discreet.sql.parsing.scope import Scope
from discreet.sql.statements.facts import facts
from discreet.sql.statements.rows import Compare, Comparison, Const, In, IsNull, Like, Logic, Not, Predicate, Ref, Row

OPERATORS: dict[str, Comparison] = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
FLIPPED: dict[Comparison, Comparison] = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
MAX_NESTING = 100


def predicate(node: Any, scope: Scope, depth: int = 0) -> Predicate:
    """Read a condition on private rows."""
    found = _predicate(node, scope, depth)
    scope.copies.check(found, whole=not depth)
    return found


def _predicate(node: Any, scope: Scope, depth: int) -> Predicate:
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
        return read(node, scope, depth + 1)
    if isinstance(node, exp.Column):
        found = scope.column(node)
        if scope.columns[found].type != "boolean":
            raise unsupported(f"the column {found} as a condition", f"Compare it: {found} = …")
        return Compare("=", found, Const(True))
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


def _compare(node: Any, scope: Scope, depth: int) -> Compare:
    operator = OPERATORS[type(node).__name__]
    left, right = bare(node.left), bare(node.right)
    if is_literal(left) and is_literal(right):
        raise unsupported("a comparison of two literals", "Remove it, or compare a column.")
    if is_literal(left):
        left, right, operator = right, left, FLIPPED[operator]
    value = _value(left, scope, depth)
    kind = facts(value, scope.columns).type
    if is_literal(right):
        return Compare(operator, value, scope.literal(right, kind, _label(value)))
    other = _value(right, scope, depth)
    second = facts(other, scope.columns).type
    if _family(kind) != _family(second):
        raise UnsupportedQuery(
            f"{value} is declared as {kind} and {other} as {second}: they do not compare.",
            remedy="Compare columns of the same kind.",
        )
    return Compare(operator, value, other)


def _between(node: Any, scope: Scope, depth: int) -> Logic:
    if node.args.get("symmetric"):
        raise unsupported("BETWEEN SYMMETRIC", "Write the smaller bound first.")
    value = _value(node.this, scope, depth)
    kind = facts(value, scope.columns).type
    low, high = (scope.literal(bare(node.args[side]), kind, _label(value)) for side in ("low", "high"))
    return Logic("AND", (Compare(">=", value, low), Compare("<=", value, high)))


def _in(node: Any, scope: Scope, depth: int) -> In:
    refusal = extra_arguments(node, {"this", "expressions"})
    if node.args.get("query") is not None:
        raise unsupported("a subquery in IN", f"Write the values as literals, or join. {WITH_ROWS}")
    if refusal is not None:
        raise refusal
    value = _value(node.this, scope, depth)
    kind = facts(value, scope.columns).type
    values = dict.fromkeys(scope.literal(bare(item), kind, _label(value)) for item in node.expressions)
    if not values:
        raise unsupported("an empty IN ()", "Name at least one value.")
    return In(value, tuple(values))


def _is(node: Any, scope: Scope, depth: int) -> Predicate:
    from sqlglot import exp

    value = _value(node.this, scope, depth)
    if isinstance(node.expression, exp.Null):
        return IsNull(value)
    if isinstance(node.expression, exp.Boolean):
        raise unsupported("IS TRUE and IS FALSE", f"Write {value} = TRUE or {value} = FALSE.")
    raise refuse(node.expression)


def _like(node: Any, scope: Scope, depth: int) -> Like | Not:
    from sqlglot import exp

    refusal = extra_arguments(node, {"this", "expression", "negate"})
    if refusal is not None:
        raise refusal
    value, pattern = _value(node.this, scope, depth), bare(node.expression)
    if facts(value, scope.columns).type != "text":
        raise unsupported(f"LIKE on {value}, which is no text", "Compare it with =, < or >.")
    if not isinstance(pattern, exp.Literal) or not pattern.is_string or "\\" in pattern.name:
        raise unsupported("LIKE with anything but a plain text", "Write LIKE 'abc%'; a backslash has no meaning here.")
    found = Like(value, pattern.name)
    return Not(found) if node.args.get("negate") else found  # NOT LIKE


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


def _value(node: Any, scope: Scope, depth: int) -> Row:
    """Read one side of a condition."""
    from discreet.sql.parsing.expressions import row  # a value may hold conditions, and a condition values

    node = bare(node)
    if isinstance(node, _aggregates()) or is_literal(node):
        raise _operand(node)
    return row(node, scope, depth)


def _aggregates() -> type:
    from sqlglot import exp

    return cast(type, exp.AggFunc)


def _label(value: Row) -> str:
    return f"column {value.name!r}" if isinstance(value, Ref) else str(value)


def _operand(node: Any) -> UnsupportedQuery:
    from sqlglot import exp

    if isinstance(node, exp.AggFunc):
        return unsupported("an aggregate in WHERE", "Filter rows in WHERE, and released values in HAVING.")
    return refuse(node)


def _family(kind: str) -> str:
    return "number" if kind in ("integer", "float") else kind


READERS: dict[str, Callable[[Any, Scope, int], Predicate]] = {
    **dict.fromkeys(OPERATORS, _compare),
    "Between": _between,
    "In": _in,
    "Is": _is,
    "Like": _like,
}
