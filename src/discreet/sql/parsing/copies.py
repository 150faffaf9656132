"""How often a query says the same again once it is written out, so that few words cannot make much.

ABS(x) becomes CASE WHEN x < 0 THEN 0 - x ELSE x END: nested, it triples at each level, in our nodes and in an engine's.
"""

from __future__ import annotations

from dataclasses import dataclass

from discreet.errors import UnsupportedQuery
from discreet.sql.statements.rows import Const, Predicate, Ref, Row, size, written

MAX_COPIES = 10_000  # nodes that are said again; planning that many takes seconds


@dataclass(slots=True)
class Copies:
    """Counts what is said again.

    Args:
        made: Of everything that was read so far.
    """

    made: int = 0

    def add(self, nodes: int) -> None:
        """Count nodes of a tree that are copied.

        Raises:
            UnsupportedQuery: it is too much.
        """
        self.made += nodes
        if self.made > MAX_COPIES:
            raise UnsupportedQuery(
                "the query is too long once it is written out: CASE, IF, ABS, SIGN, COALESCE, NULLIF, BETWEEN, IN, LEAST "
                "and GREATEST say their argument several times.",
                remedy="Nest them less, or name the inner value in a subquery: FROM (SELECT id, ABS(x) AS y FROM t).",
            )

    def check(self, node: Row | Predicate, *, whole: bool) -> None:
        """Look at a value or a condition as soon as it is read.

        Args:
            node: The value or the condition.
            whole: Whether it is no part of another one: then it counts.

        Raises:
            UnsupportedQuery: it says too much again.
        """
        if isinstance(node, Ref | Const):
            return
        before, once = self.made, written(node)
        self.add(size(node, once + MAX_COPIES) - once)
        if not whole:
            self.made = before
