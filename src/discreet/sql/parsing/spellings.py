"""Other spellings of what the readers understand: the tree is written the one way that they know.

Each rule holds for every value, NULL included, and needs no facts of a column. What depends on them
(`//`, `%`, ROUND, CAST) is read in `expressions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from discreet.sql.parsing.copies import Copies
from discreet.sql.parsing.predicates import bare
from discreet.sql.parsing.refuse import extra_arguments

RANKED = ("PERCENTILE", "PERCENTILE_APPROX", "APPROX_PERCENTILE")
INNER = ("Count", "Sum", "Avg", "Min", "Max")


def spelled(tree: Any) -> Any:
    """Return a SELECT or a UNION in the spellings that the readers know; the tree itself is changed.

    Raises:
        UnsupportedQuery: it would become too long.
    """
    copies = Copies()
    for node in reversed(list(tree.walk())):  # what is inside comes first
        arguments, rule = RULES.get(type(node).__name__, ("", None))
        if rule is None or extra_arguments(node, set(arguments.split())) is not None:
            continue  # never look past what a rule does not know: the readers refuse it
        if (times := AGAIN.get(type(node).__name__)) is not None:
            copies.add(times * _nodes(node.this))
        found = rule(node)
        if found is not None:
            node.replace(found)
    _distinct_rows(tree)
    for select in tree.find_all(_class("Select")):
        _positions(select, copies)
        if select is not tree:
            _chosen(select)
            _conditional(select)
    return tree


def _class(name: str) -> Any:
    from sqlglot import exp

    return getattr(exp, name)


def _nodes(tree: Any) -> int:
    return sum(1 for _ in tree.walk())


def _literal(node: Any, kind: str) -> str | None:
    """Return what a literal says, if the node is one of texts, or of whole numbers."""
    node = bare(node)
    if type(node).__name__ != "Literal" or node.is_string != (kind == "text"):
        return None
    text = str(node.name)
    return text if kind == "text" or text.isdecimal() else None


# ---------------------------------------------------------------------------------------- functions


def _named(node: Any) -> Any:
    """Return a function that sqlglot knows by no class, as the one that it is."""
    from sqlglot import exp

    name, arguments = str(node.name).upper(), node.expressions
    alike = {"MEAN": exp.Avg, "VAR": exp.Variance, "STD": exp.Stddev}
    if name in alike and len(arguments) == 1:
        return alike[name](this=arguments[0])
    if name in RANKED and len(arguments) == 2:
        return exp.PercentileCont(this=arguments[0], expression=arguments[1])
    if name in ("DATE_PART", "DATEPART") and len(arguments) == 2:
        part = _literal(arguments[0], "text")
        return None if part is None else exp.Extract(this=exp.Var(this=part.upper()), expression=arguments[1])
    if name == "IFF" and len(arguments) == 3:
        return exp.If(this=arguments[0], true=arguments[1], false=arguments[2])
    return None


def _count(node: Any) -> Any:
    """COUNT(1) is COUNT(*)."""
    from sqlglot import exp

    written = bare(node.this) if node.this is not None else None
    return exp.Count(this=exp.Star(), big_int=True) if isinstance(written, exp.Literal) else None


def _within(node: Any) -> Any:
    """MODE() WITHIN GROUP (ORDER BY x) is MODE(x)."""
    from sqlglot import exp

    inner, order = node.this, node.expression
    if not isinstance(inner, exp.Mode) or extra_arguments(inner, set()) is not None:
        return None
    if not isinstance(order, exp.Order) or extra_arguments(order, {"expressions"}) is not None:
        return None
    [*others, last] = order.expressions
    if others or extra_arguments(last, {"this", "desc", "nulls_first"}) is not None:
        return None
    return exp.Mode(this=last.this)


def _ceiling(node: Any) -> Any:
    """CEIL(x) is -FLOOR(-x)."""
    from sqlglot import exp

    return exp.Neg(this=exp.Floor(this=exp.Neg(this=exp.Paren(this=node.this))))


def _sign(node: Any) -> Any:
    from sqlglot import exp

    values = ((exp.GT, "1"), (exp.LT, "-1"), (exp.EQ, "0"))
    return exp.Case(
        ifs=[
            exp.If(this=sign(this=node.this.copy(), expression=_number("0")), true=_number(value))
            for sign, value in values
        ]
    )


def _number(text: str) -> Any:
    from sqlglot import exp

    return exp.Neg(this=exp.Literal.number(text[1:])) if text[0] == "-" else exp.Literal.number(text)


def _nullif(node: Any) -> Any:
    """NULLIF(x, literal) is x where it is not the literal: where x is NULL, so is the answer."""
    from sqlglot import exp

    if not isinstance(bare(node.expression), exp.Literal):
        return None
    differs = exp.NEQ(this=node.this.copy(), expression=node.expression)
    return exp.Case(ifs=[exp.If(this=differs, true=node.this)])


def _power(node: Any) -> Any:
    from sqlglot import exp

    if _literal(node.expression, "whole") != "2":
        return None
    return exp.Paren(this=exp.Mul(this=exp.Paren(this=node.this), expression=exp.Paren(this=node.this.copy())))


def _pattern(before: str, after: str) -> Callable[[Any], Any]:
    """STARTS_WITH, ENDS_WITH and CONTAINS as LIKE; a text with a sign that LIKE gives a meaning stays."""

    def rule(node: Any) -> Any:
        from sqlglot import exp

        text = _literal(node.expression, "text")
        if text is None or any(sign in text for sign in "%_\\"):
            return None
        return exp.Like(this=node.this, expression=exp.Literal.string(before + text + after))

    return rule


def _date(node: Any) -> Any:
    from sqlglot import exp

    if _literal(node.this, "text") is None:
        return None
    return exp.Cast(this=bare(node.this), to=exp.DataType.build("DATE"))


# --------------------------------------------------------------------------------------- conditions


def _is(node: Any) -> Any:
    """A column IS TRUE where it is known to be."""
    from sqlglot import exp

    if not isinstance(bare(node.this), exp.Column) or not isinstance(node.expression, exp.Boolean):
        return None
    return _known(node.this, exp.EQ(this=node.this.copy(), expression=node.expression))


def _known(value: Any, condition: Any) -> Any:
    from sqlglot import exp

    there = exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null()))
    return exp.Paren(this=exp.And(this=condition, expression=there))


def _distinct(*, same: bool) -> Callable[[Any], Any]:
    """IS [NOT] DISTINCT FROM a literal."""

    def rule(node: Any) -> Any:
        from sqlglot import exp

        if not isinstance(bare(node.expression), exp.Literal):
            return None
        if same:
            return _known(node.this, exp.EQ(this=node.this, expression=node.expression))
        absent = exp.Is(this=node.this.copy(), expression=exp.Null())
        return exp.Paren(this=exp.Or(this=exp.NEQ(this=node.this, expression=node.expression), expression=absent))

    return rule


# ----------------------------------------------------------------------------------------- grouping


def _group(node: Any) -> Any:
    """GROUP BY … WITH ROLLUP is GROUP BY ROLLUP (…); so is CUBE."""
    for name in ("rollup", "cube"):
        written = node.args.get(name)
        if isinstance(written, list) and len(written) == 1 and not written[0].expressions:
            written[0].set("expressions", node.expressions)
            node.set("expressions", written)
            node.set(name, None)
    return None


def _distinct_rows(tree: Any) -> None:
    """SELECT DISTINCT keys is SELECT keys … GROUP BY keys."""
    from sqlglot import exp

    distinct = tree.args.get("distinct")
    named = [item.this if isinstance(item, exp.Alias) else item for item in tree.expressions]
    plain = isinstance(distinct, exp.Distinct) and extra_arguments(distinct, set()) is None
    if plain and not tree.args.get("group") and all(item.find(exp.AggFunc, exp.Star) is None for item in named):
        tree.set("group", exp.Group(expressions=[item.copy() for item in named]))
        tree.set("distinct", None)


def _positions(select: Any, copies: Copies) -> None:
    """GROUP BY 1 and ORDER BY 1 mean an item of the SELECT list."""
    from sqlglot import exp

    group, order = select.args.get("group"), select.args.get("order")
    for item in list(group.expressions) if group is not None else ():
        chosen = _item(select, item)
        inner = chosen.this if isinstance(chosen, exp.Alias) else chosen
        if inner is not None and inner.find(exp.AggFunc) is None and not isinstance(inner, exp.Star):
            copies.add(_nodes(inner))
            item.replace(inner.copy())
    for item in list(order.expressions) if order is not None else ():
        chosen = _item(select, item.this)
        if isinstance(chosen, exp.Alias):
            item.this.replace(exp.Column(this=chosen.args["alias"].copy()))
        elif chosen is not None and not isinstance(chosen, exp.Star):
            copies.add(_nodes(chosen))
            item.this.replace(chosen.copy())


def _item(select: Any, written: Any) -> Any:
    place = _literal(written, "whole")
    if place is None or len(place) > 4 or not 1 <= int(place) <= len(select.expressions):
        return None
    return select.expressions[int(place) - 1]


def _chosen(select: Any) -> None:
    """ANY_VALUE in a subquery: MIN is one."""
    from sqlglot import exp

    for node in list(select.find_all(exp.AnyValue)):
        if node.parent_select is not select or extra_arguments(node, {"this"}) is not None:
            continue
        whole = node.parent if isinstance(node.parent, exp.IgnoreNulls) else node
        if whole is node or extra_arguments(whole, {"this"}) is None:
            whole.replace(exp.Min(this=node.this))


def _conditional(select: Any) -> None:
    """COUNT_IF(condition) and FILTER in a subquery: the aggregate of a CASE."""
    from sqlglot import exp

    for node in list(select.find_all(exp.CountIf, exp.Filter)):
        if node.parent_select is not select:
            continue
        if isinstance(node, exp.CountIf):
            node.replace(exp.Count(this=_where(node.this, exp.Literal.number(1)), big_int=True))
            continue
        inner, condition = node.this, node.expression.this
        counted = isinstance(inner, exp.Count) and isinstance(inner.this, exp.Star)
        plain = type(inner).__name__ in INNER and extra_arguments(inner, {"this", "big_int"}) is None
        if (
            not plain
            or isinstance(inner.this, exp.Distinct)
            or extra_arguments(node, {"this", "expression"}) is not None
        ):
            continue
        if counted and extra_arguments(inner.this, set()) is not None:
            continue
        inner.set("this", _where(condition, exp.Literal.number(1) if counted else inner.this))
        node.replace(inner)


def _where(condition: Any, value: Any) -> Any:
    from sqlglot import exp

    return exp.Case(ifs=[exp.If(this=condition, true=value)])


# sqlglot's class -> the arguments that its rule knows, and the rule
def _holds(node: Any) -> bool:
    """Return whether a condition is TRUE, or 1 = 1 as programs write it."""
    node = bare(node)
    if type(node).__name__ == "Boolean":
        return bool(node.this)
    sides = [_literal(node.left, "number"), _literal(node.right, "number")] if type(node).__name__ == "EQ" else []
    return len(sides) == 2 and sides[0] is not None and sides[0] == sides[1]


def _and(node: Any) -> Any:
    """TRUE AND x is x."""
    if _holds(node.left):
        return node.right
    return node.left if _holds(node.right) else None


def _condition(node: Any) -> None:
    """WHERE TRUE leaves nothing out."""
    if _holds(node.this) and type(node.parent).__name__ == "Select":
        node.parent.set("where", None)


AGAIN = {"Sign": 2, "Nullif": 1, "Pow": 1, "NullSafeEQ": 1, "NullSafeNEQ": 1}  # how often a rule repeats its argument
RULES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "Anonymous": ("this expressions", _named),
    "Count": ("this big_int", _count),
    "WithinGroup": ("this expression", _within),
    "Ceil": ("this", _ceiling),
    "Sign": ("this", _sign),
    "Nullif": ("this expression", _nullif),
    "Pow": ("this expression", _power),
    "StartsWith": ("this expression", _pattern("", "%")),
    "EndsWith": ("this expression", _pattern("%", "")),
    "Contains": ("this expression", _pattern("%", "%")),
    "Date": ("this", _date),
    "Is": ("this expression", _is),
    "NullSafeEQ": ("this expression", _distinct(same=True)),
    "NullSafeNEQ": ("this expression", _distinct(same=False)),
    "Group": ("expressions rollup cube", _group),
    "And": ("this expression", _and),
    "Where": ("this", _condition),
}
