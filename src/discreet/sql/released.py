"""The SELECT list, HAVING and ORDER BY: keys, aggregates, and arithmetic on released values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.sql import nodes
from discreet.sql.nodes import Aggregate, Arithmetic, Condition, Conditions, Expression, Number, Output, Released
from discreet.sql.predicates import FLIPPED, OPERATORS, bare, flat, is_literal
from discreet.sql.refuse import CLAMPED, PLAIN, bounds_example, extra_arguments, not_understood, refuse, unsupported
from discreet.sql.scope import Scope, number

ARITHMETIC: dict[str, nodes.Operator] = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}
MAX_NESTING = 100
MAX_NAME = 200
SUFFIXES = ("_se", "_low", "_high")


def output(node: Any, scope: Scope, keys: tuple[str, ...]) -> Output:
    """Read one item of the SELECT list."""
    from sqlglot import exp

    alias: str | None = None
    if isinstance(node, exp.Alias):
        refusal = extra_arguments(node, {"this", "alias"})
        if refusal is not None:
            raise refusal
        alias, node = str(node.alias), node.this
        if not alias or len(alias) > MAX_NAME:
            remedy = "Choose a shorter name." if alias else "Give a name after AS."
            raise InvalidInput(f"an alias has 1 to {MAX_NAME} characters.", remedy=remedy)
    node = bare(node)
    if isinstance(node, exp.Column):
        if isinstance(node.this, exp.Star):
            raise refuse(node.this)
        name = scope.column(node)
        if name not in keys:
            raise UnsupportedQuery(
                f"the column {name} stands in SELECT by itself, which would release its private values.",
                remedy=f"Add {name} to GROUP BY (it needs declared keys), or wrap it in COUNT, SUM or AVG.",
            )
        return Output(alias or name, key=name)
    expression = _expression(node, lambda item: aggregate(item, scope))
    if not nodes.aggregates(expression):
        raise unsupported("a constant in SELECT", "Remove it; " + CLAMPED)
    if alias is None and not isinstance(expression, Aggregate):
        raise UnsupportedQuery(
            f"arithmetic in SELECT needs a name: {str(expression)[:80]}.", remedy="Add AS and a name."
        )
    return Output(alias or _default(expression), expression=expression)


def _default(expression: Expression) -> str:
    assert isinstance(expression, Aggregate)
    return expression.default_name


def aggregate(node: Any, scope: Scope) -> Aggregate:
    """Read COUNT(*), COUNT(column), SUM(column) or AVG(column) over a bare declared column."""
    from sqlglot import exp

    function: nodes.Function
    if isinstance(node, exp.Count):
        function = "COUNT"
    elif isinstance(node, exp.Sum):
        function = "SUM"
    elif isinstance(node, exp.Avg):
        function = "AVG"
    else:
        raise _not_aggregate(node)
    refusal = extra_arguments(node, {"this", "big_int"})
    if refusal is not None:
        raise unsupported(f"{function} of several arguments", f"{function} takes one column.")
    inner = bare(node.this) if node.this is not None else None
    if function == "COUNT" and (inner is None or isinstance(inner, exp.Star)):
        if inner is not None and (refusal := extra_arguments(inner, set())) is not None:
            raise refusal
        return Aggregate("COUNT", None)
    if isinstance(inner, exp.Distinct):
        raise unsupported(f"{function}(DISTINCT …)", f"{function} over all rows is what can be answered.")
    if not isinstance(inner, exp.Column):
        raise _argument(function, inner)
    name = scope.column(inner)
    if function != "COUNT" and not scope.domain[name].bounded:
        raise UnsupportedQuery(
            f"{function}({name}) needs public bounds, and the domain declares none.",
            remedy=f"Declare them: {bounds_example(name)}. Values beyond are clamped. Never read them off the data.",
        )
    return Aggregate(function, name)


def _not_aggregate(node: Any) -> UnsupportedQuery:
    from sqlglot import exp

    if isinstance(node, exp.Column):
        return unsupported(f"the column {str(node.name)[:80]} outside of an aggregate", CLAMPED)
    if isinstance(node, exp.Literal):
        return unsupported("text in arithmetic", "Use numbers.")
    return refuse(node)


def _argument(function: str, inner: Any) -> UnsupportedQuery:
    """Name what stands inside an aggregate."""
    from sqlglot import exp

    if inner is None or isinstance(inner, exp.Star):
        return unsupported(f"{function}(*)", f"Name the column: {function}(column).")
    if isinstance(inner, exp.Literal):
        return unsupported(f"{function} of a constant", "Write COUNT(*) to count rows.")
    if isinstance(inner, exp.Order):
        return unsupported("ORDER BY inside an aggregate", "Remove it: the order of rows does not matter.")
    if isinstance(inner, exp.Select | exp.Subquery | exp.Window | exp.Placeholder | exp.Parameter):
        return refuse(inner)
    if isinstance(inner, exp.AggFunc):
        return unsupported("an aggregate inside an aggregate", "Ask for the inner one, and go on from its release.")
    return unsupported(f"an expression inside {function}", PLAIN)


def _expression(node: Any, leaf: Any, depth: int = 0) -> Expression:
    """Read arithmetic whose leaves are numbers and whatever `leaf` reads."""
    from sqlglot import exp

    if depth > MAX_NESTING:
        raise UnsupportedQuery("the arithmetic is nested too deeply.", remedy="Write it flatter.")
    node = bare(node)
    if type(node).__name__ in ARITHMETIC:
        left, right = _expression(node.left, leaf, depth + 1), _expression(node.right, leaf, depth + 1)
        return Arithmetic(ARITHMETIC[type(node).__name__], left, right)
    if isinstance(node, exp.Neg):
        inner = _expression(node.this, leaf, depth + 1)
        return Number(-inner.value) if isinstance(inner, Number) else Arithmetic("-", Number(number("0")), inner)
    if isinstance(node, exp.Literal) and not node.is_string:
        return Number(number(node.name))
    read: Expression = leaf(node)
    return read


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads HAVING and ORDER BY: only what the SELECT list releases may appear there."""

    scope: Scope
    keys: tuple[str, ...]
    outputs: tuple[Output, ...]

    def _leaf(self, node: Any) -> Expression:
        from sqlglot import exp

        if isinstance(node, exp.Column):
            if not node.table and (found := self._released(str(node.name))) is not None:
                return found
            name = self.scope.column(node)
            for item in self.outputs:
                if item.key == name:
                    return Released(item.name)
            raise unsupported(
                f"{name} in HAVING or ORDER BY", "Only columns of the SELECT list may stand there: they are released."
            )
        if isinstance(node, exp.AggFunc) and not isinstance(node, exp.Count | exp.Sum | exp.Avg):
            raise refuse(node)
        wanted = aggregate(node, self.scope)
        released = {part for item in self.outputs if item.expression for part in nodes.aggregates(item.expression)}
        if wanted not in released:
            raise unsupported(
                f"{wanted} in HAVING or ORDER BY without being released",
                f"Add {wanted} to the SELECT list; it is charged there, once.",
            )
        return wanted

    def _released(self, name: str) -> Released | None:
        """Return the column of the answer with this name; an aggregate c also brings c_se, c_low and c_high."""
        for item in self.outputs:
            for suffix in ("", *SUFFIXES) if item.expression is not None else ("",):
                if (item.name + suffix).lower() == name.lower():
                    return Released(item.name + suffix)
        return None

    def _numbers(self, node: Any) -> Expression:
        """Read arithmetic on released numbers; of the keys only whole numbers can be reckoned with."""
        found = _expression(node, self._leaf)
        self._check_numbers(found)
        return found

    def _check_numbers(self, expression: Expression) -> None:
        if isinstance(expression, Arithmetic):
            self._check_numbers(expression.left)
            self._check_numbers(expression.right)
        if isinstance(expression, Released):
            for item in self.outputs:
                if item.name == expression.name and item.key and self.scope.domain[item.key].type != "integer":
                    raise unsupported(
                        f"arithmetic on the key {item.name}", "Order by it, or compare it with a literal."
                    )

    def having(self, node: Any, depth: int = 0) -> nodes.Having:
        """Read a condition on released values."""
        from sqlglot import exp

        if depth > MAX_NESTING:
            raise UnsupportedQuery("the HAVING is nested too deeply.", remedy="Write it flatter.")
        node = bare(node)
        if isinstance(node, exp.And | exp.Or):
            operator: Literal["AND", "OR"] = "AND" if isinstance(node, exp.And) else "OR"
            return Conditions(operator, tuple(self.having(term, depth + 1) for term in flat(node)))
        if isinstance(node, exp.Not):
            return Conditions("NOT", (self.having(node.this, depth + 1),))
        if type(node).__name__ in OPERATORS:
            return self._condition(OPERATORS[type(node).__name__], bare(node.left), bare(node.right))
        if isinstance(node, exp.Between):
            value, low, high = (bare(node.args[part]) for part in ("this", "low", "high"))
            return Conditions("AND", (self._condition(">=", value, low), self._condition("<=", value, high)))
        raise refuse(node)

    def _condition(self, operator: nodes.Comparison, left: Any, right: Any) -> Condition:
        for one, other, sign in ((left, right, operator), (right, left, FLIPPED[operator])):
            key = self._key(one)
            if key is not None and (is_literal(other) or self.scope.domain[str(key.key)].type != "integer"):
                return Condition(sign, Released(key.name), self.scope.literal(other, str(key.key)))
        return Condition(operator, self._numbers(left), self._numbers(right))

    def _key(self, node: Any) -> Output | None:
        from sqlglot import exp

        if isinstance(node, exp.Column):
            leaf = self._leaf(node)
            for item in self.outputs:
                if isinstance(leaf, Released) and item.name == leaf.name and item.key is not None:
                    return item
        return None

    def order(self, clause: Any) -> tuple[nodes.Sort, ...]:
        """Read ORDER BY over released values and keys."""
        from sqlglot import exp

        if clause is None:
            return ()
        terms = []
        for item in clause.expressions:
            inner = bare(item.this) if isinstance(item, exp.Ordered) else item
            if not isinstance(item, exp.Ordered) or isinstance(inner, exp.Var):
                raise unsupported("ORDER BY ALL", "Name the columns to order by.")
            if isinstance(inner, exp.Literal):
                raise not_understood("ORDER BY a position", "Name the column to order by.")
            expression = _expression(inner, self._leaf)
            if not isinstance(expression, Released):
                self._check_numbers(expression)
            terms.append(nodes.Sort(expression, bool(item.args.get("desc")), bool(item.args.get("nulls_first"))))
        return tuple(terms)
