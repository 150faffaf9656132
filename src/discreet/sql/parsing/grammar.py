"""Every class of sqlglot's tree that some reader understands, with the arguments that it reads: the net below them.

A reader takes what it knows from a node. Should one ever look past something that the analyst wrote, because a
new sqlglot puts it somewhere else, the question would be answered as another one. So whatever was read is
gone through once more, and what is not listed here is refused.
"""

from __future__ import annotations

from typing import Any

from discreet.errors import UnsupportedQuery
from discreet.sql.parsing.refuse import extra_arguments, refuse

_ARGUMENTS = {
    # clauses
    "Select": "expressions from_ joins where group having order limit with_ distinct",
    "Union": "this expression with_",
    "Join": "this on using side kind",
    "CTE Table Subquery Alias": "this alias",
    "With Group Rollup Cube GroupingSets Tuple Order Distinct": "expressions",
    "From TableAlias Where Having": "this",
    "Ordered": "this desc nulls_first",
    "Limit": "expression",
    # names and literals
    "Column": "this table",
    "Identifier": "this quoted",
    "Literal": "this is_string",
    "Cast": "this to",
    "Var Boolean DataType Paren": "this",
    "Star Null": "",
    # conditions
    "And Or EQ NEQ LT LTE GT GTE Is": "this expression",
    "Not": "this",
    "Between": "this low high",
    "In": "this expressions",
    "Like": "this expression negate",
    # values
    "Add Sub Mul Div IntDiv Mod Extract": "this expression",
    "Neg Abs Floor Round Year Quarter Month Day DayOfMonth DayOfWeek": "this",
    "Least Greatest": "this expressions ignore_nulls",
    "Coalesce": "this expressions",
    "Case": "this ifs default",
    "If": "this true false",
    "DateTrunc TimestampTrunc": "this unit",
    # aggregates
    "Count": "this big_int",
    "CountIf Sum Avg Median Min Max Mode": "this",
    "Stddev StddevSamp StddevPop Variance VariancePop": "this",
    "CovarPop CovarSamp Corr PercentileCont PercentileDisc WithinGroup Filter": "this expression",
    "Quantile ApproxQuantile": "this quantile",
}
READ = {name: frozenset(arguments.split()) for names, arguments in _ARGUMENTS.items() for name in names.split()}


def unread(tree: Any) -> UnsupportedQuery | None:
    """Return the refusal of the first thing in a tree that no reader reads; None where there is none."""
    for node in tree.walk():
        known = READ.get(type(node).__name__)
        found = refuse(node) if known is None else extra_arguments(node, known)
        if found is not None:
            return found
    return None
