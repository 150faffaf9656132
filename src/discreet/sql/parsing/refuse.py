"""Every construct without a private answer here: its name, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Any

from discreet.errors import UnsupportedQuery

SHAPE = "Write SELECT keys, aggregates FROM table WHERE … GROUP BY keys."
ONE_TABLE = "Join declared tables with JOIN … ON a.x = b.x, or read from (SELECT …) AS x."
PLAIN = "Let the owner prepare that value as a column of the table and declare it in the domain; then name the column."
CLAMPED = (
    "Use COUNT, SUM, AVG, STDDEV, VARIANCE, CORR, COVAR_POP, MEDIAN, QUANTILE_CONT, MIN, MAX or MODE; arithmetic "
    "between aggregates is fine."
)
OF_RELEASED = "Compute it from the released values yourself; that costs nothing."
WITH_ROWS = "Join the people in question: JOIN (SELECT DISTINCT id FROM visits) AS v ON v.id = t.id."
WITHOUT_ROWS = "Keep the others: LEFT JOIN (SELECT id, COUNT(*) AS n FROM visits GROUP BY id) AS v ON v.id = t.id WHERE v.n IS NULL."
JOINS = {  # a word of a join that is refused -> what to write instead
    "NATURAL": "Name the columns: JOIN … USING (x).",
    "SEMI": WITH_ROWS,
    "ANTI": WITHOUT_ROWS,
    "FULL": "Use LEFT JOIN, or unite the rows of both sides: FROM (… UNION ALL …) AS x.",
}
STEPS = "Ask one SELECT; every answer is charged by itself."
LITERAL = "Write the value itself as a literal."
PLACE = (
    "A condition on rows stands in WHERE: column = 5, column IN (1, 2), column IS NULL, joined by AND, OR, NOT. "
    "HAVING takes comparisons of released values. As a value or a group, write CASE WHEN … THEN … ELSE … END."
)

# sqlglot's class name -> (what the analyst wrote, what to write instead)
CONSTRUCTS: dict[str, tuple[str, str]] = {
    "Alter": ("ALTER", STEPS),
    "Command": ("a command", STEPS),
    "Copy": ("COPY", STEPS),
    "Install": ("INSTALL", STEPS),
    "Create": ("CREATE", STEPS),
    "Delete": ("DELETE", STEPS),
    "Describe": ("DESCRIBE", "The declared domain is public: read it there."),
    "Drop": ("DROP", STEPS),
    "Insert": ("INSERT", STEPS),
    "Pragma": ("PRAGMA", STEPS),
    "Set": ("SET", STEPS),
    "Attach": ("ATTACH", STEPS),
    "Update": ("UPDATE", STEPS),
    "Merge": ("MERGE", STEPS),
    "Summarize": ("SUMMARIZE", CLAMPED),
    "Show": ("SHOW", "The declared domain is public: read it there."),
    "Use": ("USE", STEPS),
    "Union": (
        "UNION of answers",
        "Ask each SELECT by itself; UNION ALL joins rows, inside of FROM (… UNION ALL …) AS x.",
    ),
    "Intersect": ("INTERSECT", STEPS),
    "Except": ("EXCEPT", STEPS),
    "Values": ("VALUES", SHAPE),
    "With": ("a CTE (WITH) in this place", ONE_TABLE),
    "Join": ("a join in this place", ONE_TABLE),
    "Subquery": ("a subquery", ONE_TABLE),
    "Lateral": ("LATERAL", ONE_TABLE),
    "Select": ("a subquery", ONE_TABLE),
    "Exists": ("EXISTS", WITH_ROWS),
    "Star": ("SELECT *", "Name the group keys and the aggregates you want."),
    "Columns": ("COLUMNS(…)", "Name the group keys and the aggregates you want."),
    "Distinct": (
        "DISTINCT",
        "A SELECT with GROUP BY has one row per group; COUNT(DISTINCT column) counts different values.",
    ),
    "Window": ("a window function (OVER)", "Group with GROUP BY instead."),
    "Qualify": ("QUALIFY", "Filter released values with HAVING."),
    "Hint": ("a hint", "Remove it; the plan is fixed."),
    "TableSample": ("TABLESAMPLE", "Remove it: all rows are used, and sampling is no protection by itself."),
    "Offset": ("OFFSET", "Use LIMIT, or cut the released table yourself."),
    "Fetch": ("FETCH", "Use LIMIT with a whole number."),
    "Cluster": ("CLUSTER BY", SHAPE),
    "Into": ("INTO", STEPS),
    "Lock": ("FOR UPDATE", "Remove it: a query only reads."),
    "Pivot": ("PIVOT", "Group by the column, and turn the released table yourself."),
    "PercentileCont": ("a quantile inside a value", "Release it as an output of its own."),
    "PercentileDisc": ("a quantile inside a value", "Release it as an output of its own."),
    "Quantile": ("a quantile inside a value", "Release it as an output of its own."),
    "GroupConcat": ("STRING_AGG", "Private text is never released. " + CLAMPED),
    "ArrayAgg": ("ARRAY_AGG", "Private values are never released. " + CLAMPED),
    "AnyValue": ("ANY_VALUE", "A single value is one person's value. " + CLAMPED),
    "First": ("FIRST", "A single value is one person's value. " + CLAMPED),
    "Last": ("LAST", "A single value is one person's value. " + CLAMPED),
    "ArgMax": ("ARG_MAX", "A single value is one person's value. " + CLAMPED),
    "ArgMin": ("ARG_MIN", "A single value is one person's value. " + CLAMPED),
    "ApproxDistinct": ("APPROX_COUNT_DISTINCT", "Write COUNT(DISTINCT column)."),
    "Case": ("CASE", PLAIN),
    "If": ("IF", PLAIN),
    "Cast": ("CAST", PLAIN),
    "TryCast": ("TRY_CAST", PLAIN),
    "ILike": ("ILIKE", "Use = or IN with the whole values."),
    "SimilarTo": ("SIMILAR TO", "Use = or IN with the whole values."),
    "RegexpLike": ("a regular expression", "Use = or IN with the whole values."),
    "Glob": ("GLOB", "Use = or IN with the whole values."),
    "NullSafeEQ": ("IS NOT DISTINCT FROM", "Write column = value, or column IS NULL."),
    "NullSafeNEQ": ("IS DISTINCT FROM", "Write column <> value OR column IS NULL."),
    "Any": ("ANY", "Use IN with literals."),
    "All": ("ALL", "Use AND of comparisons."),
    "Tuple": ("a tuple", "Compare one column at a time."),
    "Array": ("an array", "Use IN with literals in parentheses."),
    "Placeholder": ("a parameter", LITERAL),
    "Parameter": ("a parameter", LITERAL),
    "Null": ("NULL as a value", "Write column IS NULL or column IS NOT NULL."),
    "Rand": ("RANDOM()", "Remove it: noise is added after the query, by discreet."),
    "CurrentDate": ("CURRENT_DATE", LITERAL),
    "CurrentTimestamp": ("CURRENT_TIMESTAMP", LITERAL),
    "CurrentTime": ("CURRENT_TIME", LITERAL),
    "Mod": ("%", PLAIN),
    "IntDiv": ("//", "Use / between aggregates and round the released value yourself."),
    "Pow": ("a power", "x * x is understood. " + OF_RELEASED),
    "Grouping": ("GROUPING", "With ROLLUP, CUBE and GROUPING SETS each key k comes with k_total."),
    "Db": ("a schema before a table's name", "Write the name alone; the owner declares which table it is."),
    "Xor": ("XOR", "Write it with AND, OR and NOT."),
    "Collate": ("COLLATE", PLAIN),
    "Dot": ("a field of a structure", PLAIN),
    "Bracket": ("a subscript", PLAIN),
    "Concat": ("a concatenation", PLAIN),
    "DPipe": ("a concatenation", PLAIN),
    "Add": ("arithmetic on columns", PLAIN),
    "Sub": ("arithmetic on columns", PLAIN),
    "Mul": ("arithmetic on columns", PLAIN),
    "Div": ("arithmetic on columns", PLAIN),
    "Neg": ("arithmetic on columns", PLAIN),
    "Interval": ("INTERVAL", LITERAL),
    "National": ("a national string", "Write a plain string literal."),
    "HexString": ("a hexadecimal literal", "Write a plain number or string literal."),
    "BitString": ("a bit literal", "Write a plain number or string literal."),
    "ByteString": ("an escape string", "Write a plain string literal; quotes are doubled."),
    "RawString": ("a raw string", "Write a plain string literal; quotes are doubled."),
    "Lambda": ("a lambda", PLAIN),
    "WithinGroup": ("WITHIN GROUP", "Write QUANTILE_CONT(column, 0.9)."),
    **dict.fromkeys(
        ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitwiseLeftShift", "BitwiseRightShift"),
        ("a bit operation", PLAIN),
    ),
    **dict.fromkeys(("EQ", "NEQ", "LT", "LTE", "GT", "GTE", "Between", "In", "Is", "And", "Or", "Not"), ("", PLACE)),
    "Column": ("", "A column stands in a condition, or inside of an aggregate."),
    "Literal": ("", "A literal is compared with a column, or reckoned with beside an aggregate."),
    "Boolean": ("", "A truth value is compared with a boolean column: column = TRUE."),
}

# arguments of sqlglot's Select that are not ours -> the entry above that names them
ARGUMENTS = {
    "with_": "With", "distinct": "Distinct", "joins": "Join", "laterals": "Lateral", "qualify": "Qualify",
    "sample": "TableSample", "offset": "Offset", "hint": "Hint", "into": "Into", "locks": "Lock",
    "pivots": "Pivot", "db": "Db", "catalog": "Db", "windows": "Window", "cluster": "Cluster",
}  # fmt: skip


def unsupported(construct: str, remedy: str = SHAPE) -> UnsupportedQuery:
    """Return the refusal of a construct, by name."""
    return UnsupportedQuery(f"{construct} has no private answer here.", remedy=remedy)


def not_understood(construct: str, remedy: str) -> UnsupportedQuery:
    """Return the refusal of a spelling: what it asks for has an answer, written otherwise."""
    return UnsupportedQuery(f"{construct} is not understood here.", remedy=remedy)


def bounds_example(name: str, kind: str) -> str:
    """Return how the bounds of a column of this type are declared, in both places where it can be."""
    high = "100.0" if kind == "float" else "100"
    low = "0.0" if kind == "float" else "0"
    return f'in discreet.toml {name} = {{ type = "{kind}", low = {low}, high = {high} }}, in Python Domain({name}=({low}, {high}))'


def keys_example(name: str, kind: str) -> str:
    """Return how the keys of a column are declared, in both places where it can be."""
    keys = "[1, 2]" if kind in ("integer", "float") else '["A", "B"]'
    kind = "integer" if kind == "float" else kind  # a float has no keys
    return f'in discreet.toml {name} = {{ type = "{kind}", keys = {keys} }}, in Python Domain({name}={keys})'


def refuse(node: Any) -> UnsupportedQuery:
    """Return the refusal that fits a node of sqlglot; what has no name of its own is shown as it was written."""
    from sqlglot import exp

    if node is None:  # sqlglot reads FLOOR() and the like
        return not_understood("a function of nothing", "Write in its parentheses what it is of.")
    name = type(node).__name__
    if name in ("IgnoreNulls", "RespectNulls"):  # sqlglot wraps some functions in what they do with NULL
        return refuse(node.this)
    if name in ("Anonymous", "AnonymousAggFunc"):
        return unsupported(f"the function {str(node.name)[:50].upper()}", f"{CLAMPED} {PLAIN}")
    if name in ("Add", "Sub", "Mul", "Div", "Neg") and node.find(exp.Column) is None:
        return not_understood("arithmetic on literals", "Write the result as a literal.")
    construct, remedy = CONSTRUCTS.get(name, ("", SHAPE))
    if not construct and name not in CONSTRUCTS and hasattr(node, "sql_name"):
        return unsupported(f"the function {node.sql_name()}", CLAMPED if isinstance(node, exp.AggFunc) else PLAIN)
    if construct:
        return unsupported(construct, remedy)
    try:
        written = node.sql(dialect="duckdb")[:60]
    except Exception:  # noqa: BLE001 - sqlglot cannot write all that it reads: DATETIME(x) AT TIME ZONE y
        written = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).upper()
    return UnsupportedQuery(f"{written} has no private answer in this place.", remedy=remedy)


def extra_arguments(node: Any, known: AbstractSet[str]) -> UnsupportedQuery | None:
    """Return a refusal if `node` carries an argument other than the known ones."""
    for argument, value in node.args.items():
        if value in (None, False, "") or value == [] or argument in known:
            continue
        label = ARGUMENTS.get(argument)
        if label is not None:
            return unsupported(*CONSTRUCTS[label])
        return unsupported(f"{argument.strip('_').upper().replace('_', ' ')} in {type(node).__name__.upper()}")
    return None
