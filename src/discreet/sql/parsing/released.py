"""The SELECT list, HAVING and ORDER BY: keys, aggregates, and arithmetic on released values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.sql import nodes
from discreet.sql.nodes import Aggregate, Arithmetic, Condition, Conditions, Expression, Number, Output, Released
from discreet.sql.parsing.aggregates import aggregate
from discreet.sql.parsing.expressions import row
from discreet.sql.parsing.predicates import FLIPPED, OPERATORS, bare, flat, is_literal
from discreet.sql.parsing.refuse import CLAMPED, extra_arguments, not_understood, refuse, unsupported
from discreet.sql.parsing.scope import Scope, number
from discreet.sql.statements.facts import facts
from discreet.sql.statements.rows import Comparison, Ref, Row

ARITHMETIC: dict[str, nodes.Operator] = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}
MAX_NESTING = 100
MAX_NAME = 200
SUFFIXES = ("_se", "_low", "_high")


def output(node: Any, scope: Scope, keys: tuple[Row, ...]) -> Output:
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
    place = _place(node, scope, keys)
    if place is not None:
        key = keys[place]
        if alias is None and not isinstance(key, Ref):
            raise UnsupportedQuery(f"a key in SELECT needs a name: {str(key)[:80]}.", remedy="Add AS and a name.")
        return Output(alias or (key.name if isinstance(key, Ref) else ""), key=place)
    if isinstance(node, exp.Column):
        if isinstance(node.this, exp.Star):
            raise refuse(node.this)
        column = scope.column(node)
        raise UnsupportedQuery(
            f"the column {column} stands in SELECT by itself, which would release its private values.",
            remedy=f"Add {column} to GROUP BY, or wrap it in an aggregate such as COUNT, SUM or AVG.",
        )
    expression = _expression(node, lambda item: aggregate(item, scope))
    found = nodes.aggregates(expression)
    if not found:
        raise unsupported("a constant in SELECT", "Remove it; " + CLAMPED)
    if not isinstance(expression, Aggregate) and any(item.function == "MODE" for item in found):
        raise unsupported("arithmetic on MODE", "Release it by itself.")
    name = expression.default_name if isinstance(expression, Aggregate) else None
    if alias is None and name is None:
        raise UnsupportedQuery(
            f"an expression in SELECT needs a name: {str(expression)[:80]}.", remedy="Add AS and a name."
        )
    return Output(alias or str(name), expression=expression)


def _place(node: Any, scope: Scope, keys: tuple[Row, ...]) -> int | None:
    """Return the place in GROUP BY of an item of the SELECT list, if it is a key."""
    from sqlglot import exp

    if not keys or isinstance(node, exp.AggFunc) or node.find(exp.AggFunc) is not None or node.find(exp.Star):
        return None
    if isinstance(node, exp.Column) or node.find(exp.Column) is not None:
        found = row(node, scope)
        return keys.index(found) if found in keys else None
    return None


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
    """Reads HAVING and ORDER BY: only what the SELECT list releases may appear there.

    A name may be that of a column that is grouped by, and of something else in the SELECT list. As in DuckDB, ORDER
    BY means the latter where the name stands alone; in HAVING, and within an expression, it is the column.
    """

    scope: Scope
    keys: tuple[Row, ...]
    outputs: tuple[Output, ...]

    def _leaf(self, node: Any) -> Expression:
        from sqlglot import exp

        if isinstance(node, exp.Column) and not node.table and (found := self._released(str(node.name))) is not None:
            return found
        return self._computed(node, _place(node, self.scope, self.keys))

    def _grouped_first(self, node: Any) -> Expression:
        from sqlglot import exp

        if isinstance(node, exp.Column) and not node.table:
            name = str(node.name).lower()
            places = [i for i, key in enumerate(self.keys) if isinstance(key, Ref) and key.name.lower() == name]
            if places:
                self.scope.unambiguous(name, [key for key in self.keys if isinstance(key, Ref)])
                return self._computed(node, places[0])
        return self._leaf(node)

    def _computed(self, node: Any, place: int | None) -> Expression:
        """Read a key, which is at a place in GROUP BY, or an aggregate of the SELECT list, by what it is of."""
        from sqlglot import exp

        for item in self.outputs:
            if place is not None and item.key == place:
                return Released(item.name)
        if isinstance(node, exp.Column):
            remedy = "Only columns of the SELECT list may stand there: they are released."
            if place is not None and not node.table and self._released(str(node.name)) is not None:
                remedy = f"{node.name} is grouped by, and that is what it means there: name the other one otherwise."
            raise unsupported(f"{self.scope.column(node)} in HAVING or ORDER BY", remedy)
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
            if isinstance(item.expression, Aggregate) and item.expression.function == "MODE":
                continue  # no number to compare or sort by
            for suffix in ("", *SUFFIXES) if item.expression is not None else ("",):
                if (item.name + suffix).lower() == name.lower():
                    return Released(item.name + suffix)
        return None

    def _numbers(self, node: Any) -> Expression:
        """Read arithmetic on released numbers; of the keys only whole numbers can be reckoned with."""
        found = _expression(node, self._grouped_first)
        self._check_numbers(found)
        return found

    def _check_numbers(self, expression: Expression) -> None:
        if isinstance(expression, Arithmetic):
            self._check_numbers(expression.left)
            self._check_numbers(expression.right)
        if isinstance(expression, Released):
            for item in self.outputs:
                if item.name == expression.name and item.key is not None and self._type(item) != "integer":
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
        if isinstance(node, exp.In) and node.expressions and extra_arguments(node, {"this", "expressions"}) is None:
            terms = tuple(self._condition("=", bare(node.this), bare(item)) for item in node.expressions)
            return terms[0] if len(terms) == 1 else Conditions("OR", terms)
        if isinstance(node, exp.Between):
            value, low, high = (bare(node.args[part]) for part in ("this", "low", "high"))
            return Conditions("AND", (self._condition(">=", value, low), self._condition("<=", value, high)))
        raise refuse(node)

    def _condition(self, operator: Comparison, left: Any, right: Any) -> Condition:
        for one, other, sign in ((left, right, operator), (right, left, FLIPPED[operator])):
            key = self._key(one)
            if key is not None and (is_literal(other) or self._type(key) != "integer"):
                return Condition(sign, Released(key.name), self.scope.literal(other, self._type(key), key.name))
        return Condition(operator, self._numbers(left), self._numbers(right))

    def _key(self, node: Any) -> Output | None:
        from sqlglot import exp

        if isinstance(node, exp.Column):
            leaf = self._grouped_first(node)
            for item in self.outputs:
                if isinstance(leaf, Released) and item.name == leaf.name and item.key is not None:
                    return item
        return None

    def _type(self, item: Output) -> str:
        assert item.key is not None
        return facts(self.keys[item.key], self.scope.columns).type

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
            expression = _expression(inner, self._leaf if isinstance(inner, exp.Column) else self._grouped_first)
            if not isinstance(expression, Released):
                self._check_numbers(expression)
            terms.append(nodes.Sort(expression, bool(item.args.get("desc")), bool(item.args.get("nulls_first"))))
        return tuple(terms)
