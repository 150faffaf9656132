"""Values of a row: columns, literals, arithmetic, CASE, dates, as an analyst writes them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, cast

from discreet.errors import UnsupportedQuery
from discreet.sql.parsing import predicates
from discreet.sql.parsing.predicates import bare
from discreet.sql.parsing.refuse import extra_arguments, not_understood, refuse, unsupported
from discreet.sql.parsing.scope import Scope, date, number
from discreet.sql.statements.facts import Facts, facts
from discreet.sql.statements.rows import (
    Case,
    Clamp,
    Compare,
    Compute,
    Const,
    DatePart,
    DateTrunc,
    Floor,
    IsNull,
    Not,
    Part,
    Row,
    Scale,
    Unit,
)

MAX_NESTING = 100
FLOATS, WHOLE = ("DOUBLE", "FLOAT", "DECIMAL"), ("TINYINT", "SMALLINT", "INT", "BIGINT", "INT128")
UNITS = ("year", "quarter", "month", "week", "day")
PARTS = {"year": "year", "quarter": "quarter", "month": "month", "day": "day", "dow": "dow", "dayofweek": "dow"}
PART_FUNCTIONS = {"Year": "year", "Quarter": "quarter", "Month": "month", "Day": "day", "DayOfMonth": "day",
                  "DayOfWeek": "dow"}  # fmt: skip


def row(node: Any, scope: Scope, depth: int = 0) -> Row:
    """Read a value of a row."""
    if depth > MAX_NESTING:
        raise UnsupportedQuery("the expression is nested too deeply.", remedy="Write it flatter.")
    node = bare(node)
    kind = type(node).__name__
    if kind == "Column":
        return scope.column(node)
    if predicates.is_literal(node):
        return constant(node)
    read = READERS.get(kind)
    if read is None:
        raise refuse(node)
    found = read(node, scope, depth + 1)
    scope.copies.check(found, whole=not depth)
    return found


def constant(node: Any) -> Const:
    """Read a literal, of the type that it has by itself."""
    from sqlglot import exp

    node = bare(node)
    negative = isinstance(node, exp.Neg)
    inner = bare(node.this) if negative else node
    if isinstance(inner, exp.Boolean) and not negative:
        return Const(bool(inner.this))
    if isinstance(inner, exp.Cast) and not negative:
        if not (inner.to.is_type("date") and isinstance(inner.this, exp.Literal) and inner.this.is_string):
            raise refuse(inner)
        return Const(date(inner.this.name, "DATE"))
    if not isinstance(inner, exp.Literal):
        raise refuse(inner)
    if inner.is_string:
        if negative:
            raise refuse(node)
        return Const(inner.name)
    value = -number(inner.name) if negative else number(inner.name)
    return Const(int(value) if value == value.to_integral_value() and abs(value) < 2**63 else value.normalize())


def _arithmetic(node: Any, scope: Scope, depth: int) -> Row:
    left, right = row(node.left, scope, depth), row(node.right, scope, depth)
    operator = {"Add": "+", "Sub": "-", "Mul": "*"}[type(node).__name__]
    if isinstance(left, Const) and isinstance(right, Const):
        raise not_understood("arithmetic on literals", "Write the result as a literal.")
    if operator == "*" and isinstance(right, Const):
        return _scaled("*", left, right)
    if operator == "*" and isinstance(left, Const):
        return _scaled("*", right, left)
    return Compute(operator, left, right)  # type: ignore[arg-type]


def _scaled(operator: Literal["*", "/"], value: Row, by: Const) -> Row:
    if isinstance(by.value, bool) or not isinstance(by.value, int | Decimal) or not by.value:
        raise unsupported("* and / with anything but a number other than 0", "Multiply or divide by a number.")
    return Scale(operator, value, by)


def _divide(node: Any, scope: Scope, depth: int) -> Row:
    if not predicates.is_literal(bare(node.right)):
        raise unsupported(
            "division by a column", "Divide by a number, or divide aggregates: SUM(a) / SUM(b) is a released ratio."
        )
    return _scaled("/", row(node.left, scope, depth), constant(node.right))


def _negate(node: Any, scope: Scope, depth: int) -> Row:
    return Compute("-", Const(0), row(node.this, scope, depth))


def _floor(node: Any, scope: Scope, depth: int) -> Row:
    refusal = extra_arguments(node, {"this"})
    if refusal is not None:
        raise refusal
    return Floor(row(node.this, scope, depth))


def _whole_division(node: Any, scope: Scope, depth: int) -> Row:
    """Return x // n or x % n of an x that is not negative: below zero, engines do not agree."""
    value, by = row(node.left, scope, depth), bare(node.right)
    whole = constant(by).value if predicates.is_literal(by) else None
    sign = "//" if type(node).__name__ == "IntDiv" else "%"
    if isinstance(whole, bool) or not isinstance(whole, int) or whole < 2 or _below(facts(value, scope.columns)):
        raise unsupported(
            f"{sign} of anything but a value with declared bounds from 0 and a whole number from 2",
            "FLOOR(x / 10) has an answer for every bounded number.",
        )
    quotient = Floor(Scale("/", value, Const(whole)))
    if sign == "//":
        return quotient
    if facts(value, scope.columns).type != "integer":
        raise unsupported("% of a number that is not whole", "Write x - FLOOR(x / 10) * 10.")
    rest = Compute("-", value, Scale("*", quotient, Const(whole)))
    return Clamp(rest, Const(0), Const(whole - 1))  # which it is between: the bounds alone do not say so


def _round(node: Any, scope: Scope, depth: int) -> Row:
    """Return the nearest whole number; halves go away from zero."""
    refusal = extra_arguments(node, {"this"})
    if refusal is not None:
        raise unsupported("ROUND to digits", "Write FLOOR(x * 10 + 0.5) / 10, or round the released value yourself.")
    value, half = row(node.this, scope, depth), Const(Decimal("0.5"))
    up = Floor(Compute("+", value, half))
    if not _below(facts(value, scope.columns)):
        return up
    down = Compute("-", Const(0), Floor(Compute("-", half, value)))
    return Case(((Compare("<", value, Const(0)), down),), up)


def _below(known: Facts) -> bool:
    """Return whether a value may be negative, or no number."""
    return not known.bounded or known.low is None or known.low < 0


def _cast(node: Any, scope: Scope, depth: int) -> Row:
    """Read a CAST that changes no value: numbers are exact here, whatever they are called, and truth is 1 or 0."""
    to = node.args["to"]
    refusal = extra_arguments(node, {"this", "to"}) or extra_arguments(to, {"this"})
    if refusal is not None:
        raise refuse(node)
    value, called = row(node.this, scope, depth), str(getattr(to.this, "name", ""))
    kind = facts(value, scope.columns).type
    if kind == "boolean" and called in (*FLOATS, *WHOLE):
        yes, no = (Compare("=", value, Const(truth)) for truth in (True, False))
        return Case(((yes, Const(1)), (no, Const(0))))
    if kind == "float" and called in WHOLE:
        raise unsupported("CAST to a whole number", "Engines round in different ways: write ROUND(x) or FLOOR(x).")
    same = {"integer": (*FLOATS, *WHOLE), "float": FLOATS, "date": ("DATE",), "text": ("TEXT",)}
    if called in same.get(kind, ()):
        return value
    raise refuse(node)


def _clamp(node: Any, scope: Scope, depth: int) -> Row:
    """Read LEAST(GREATEST(x, low), high), or the same the other way round; of a bounded x one of them is enough."""
    outer = type(node).__name__
    value, bound = _value_and_bound(node)
    inner = "Greatest" if outer == "Least" else "Least"
    if bound is None:
        raise unsupported(f"{outer.upper()} of several values", "Write both bounds: LEAST(GREATEST(x, 0), 100).")
    nested = type(value).__name__ == inner
    value, other = _value_and_bound(value) if nested else (value, None)
    if nested and other is None:
        raise unsupported(f"{inner.upper()} of several values", "Write both bounds: LEAST(GREATEST(x, 0), 100).")
    chosen = row(value, scope, depth)
    if other is None:
        other = _end(facts(chosen, scope.columns), low=outer == "Least")
    if other is None:
        raise unsupported(f"{outer.upper()} by itself", "Write both bounds: LEAST(GREATEST(x, 0), 100).")
    low, high = (other, bound) if outer == "Least" else (bound, other)
    return Clamp(chosen, low, high)


def _end(known: Facts, *, low: bool) -> Const | None:
    """Return an end of a value's range as a literal; None where it has none that can be written out."""
    if not known.bounded:
        return None
    bottom, top, step = known.range
    value = (bottom if low else top) * step
    if value.denominator == 1:
        return Const(int(value))
    written = Decimal(value.numerator) / Decimal(value.denominator)
    return Const(written) if Fraction(written) == value else None


def _value_and_bound(node: Any) -> tuple[Any, Const | None]:
    terms = [bare(item) for item in (node.this, *node.expressions)]
    literals = [item for item in terms if predicates.is_literal(item)]
    values = [item for item in terms if not predicates.is_literal(item)]
    if len(terms) != 2 or len(literals) != 1:
        return node, None
    found = constant(literals[0])
    return (values[0], found) if isinstance(found.value, int) or hasattr(found.value, "adjusted") else (node, None)


def _case(node: Any, scope: Scope, depth: int) -> Row:
    refusal = extra_arguments(node, {"this", "ifs", "default"})
    if refusal is not None:
        raise refusal
    branches = []
    value = None if node.this is None else row(node.this, scope, depth)
    for branch in node.args["ifs"]:
        if value is None:
            when = predicates.predicate(branch.this, scope, depth)
        else:
            when = Compare("=", value, scope.literal(bare(branch.this), facts(value, scope.columns).type, str(value)))
        branches.append((when, row(branch.args["true"], scope, depth)))
    default = node.args.get("default")
    empty = default is None or type(bare(default)).__name__ == "Null"
    return Case(tuple(branches), None if empty else row(default, scope, depth))


def _if(node: Any, scope: Scope, depth: int) -> Row:
    otherwise = node.args.get("false")
    empty = otherwise is None or type(bare(otherwise)).__name__ == "Null"
    condition = predicates.predicate(node.this, scope, depth)
    chosen = row(node.args["true"], scope, depth)
    return Case(((condition, chosen),), None if empty else row(otherwise, scope, depth))


def _coalesce(node: Any, scope: Scope, depth: int) -> Row:
    terms = [row(item, scope, depth) for item in (node.this, *node.expressions)]
    if len(terms) < 2:
        raise unsupported("COALESCE of one value", "Give the value to take where it is NULL.")
    branches = tuple((Not(IsNull(item)), item) for item in terms[:-1])
    return Case(branches, terms[-1])


def _absolute(node: Any, scope: Scope, depth: int) -> Row:
    value = row(node.this, scope, depth)
    return Case(((Compare("<", value, Const(0)), Compute("-", Const(0), value)),), value)


def _extract(node: Any, scope: Scope, depth: int) -> Row:
    part = PARTS.get(str(node.this.name).lower())
    if part is None:
        raise unsupported(f"EXTRACT({str(node.this.name)[:20].upper()} …)", f"Use one of {', '.join(PARTS)}.")
    return DatePart(cast(Part, part), row(node.expression, scope, depth))


def _part(node: Any, scope: Scope, depth: int) -> Row:
    return DatePart(cast(Part, PART_FUNCTIONS[type(node).__name__]), row(node.this, scope, depth))


def _trunc(node: Any, scope: Scope, depth: int) -> Row:
    unit = str(getattr(node.args.get("unit"), "name", "")).lower()
    if unit not in UNITS:
        raise unsupported(f"DATE_TRUNC to {unit[:20]!r}", f"Use one of {', '.join(UNITS)}.")
    refusal = extra_arguments(node, {"this", "unit", "unabbreviate"})
    if refusal is not None:
        raise refusal
    return DateTrunc(cast(Unit, unit), row(node.this, scope, depth))


READERS: dict[str, Callable[[Any, Scope, int], Row]] = {
    **dict.fromkeys(("Add", "Sub", "Mul"), _arithmetic),
    "Div": _divide,
    "Neg": _negate,
    "Floor": _floor,
    "Round": _round,
    "Cast": _cast,
    **dict.fromkeys(("IntDiv", "Mod"), _whole_division),
    "Least": _clamp,
    "Greatest": _clamp,
    "Case": _case,
    "If": _if,
    "Coalesce": _coalesce,
    "Abs": _absolute,
    "Extract": _extract,
    **dict.fromkeys(PART_FUNCTIONS, _part),
    **dict.fromkeys(("DateTrunc", "TimestampTrunc"), _trunc),
}
