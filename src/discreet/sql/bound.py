"""Contribution bounds: what one person can change in each exact integer that a query computes.

A *primitive* is one integer per group: rows, readable values, persons, distinct values, a clamped
sum, or a clamped sum centred at the middle of the bounds. The bounds and sensitivities here are those
that the engine query (`stages`) enforces; the proof of both is docs/proofs/contribution_bounds.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from discreet.errors import UnsupportedQuery
from discreet.events import Relation
from discreet.sql.nodes import DRAWN, PAIRED, SPREAD, Aggregate
from discreet.sql.statements.facts import Facts, facts, number
from discreet.sql.statements.rows import Away, Case, Compute, IsNull, Not, Ref, Row
from discreet.units import PrivacyUnit

Kind = Literal["rows", "values", "people", "some", "distinct", "sum", "centred"]
MAX_CELLS = 1_000_000
ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Primitive:
    """One exact integer per group.

    Args:
        kind: rows: COUNT(*); values: readable values; people: persons; some: persons with a readable value;
            distinct: different values;
            sum: the clamped sum in grid steps; centred: `factor`·sum - `shift`·values, the sum around
            the middle of the bounds.
        of: The value, except for rows and people.
        low, high: What one row adds, at least and at most.
        step: What 1 is worth, in the unit of the value.
        factor, shift: See centred.
    """

    kind: Kind
    of: Row | None
    low: int
    high: int
    step: Fraction
    factor: int = 1
    shift: int = 0

    @property
    def label(self) -> str:
        """The primitive in words, as it is charged and explained."""
        return {
            "rows": "rows",
            "people": "persons",
            "values": f"readable values of {self.of}",
            "some": f"persons with a readable value of {self.of}",
            "distinct": f"different values of {self.of}",
            "sum": f"clamped sum of {self.of}",
            "centred": f"clamped sum of {self.of} around {float(self.middle):g}",
        }[self.kind]

    @property
    def middle(self) -> Fraction:
        """Where a centred sum is centred, in the unit of the value."""
        return Fraction(self.shift) * self.step

    @property
    def magnitude(self) -> int:
        """The most one row can add, in absolute value."""
        return max(abs(self.low), abs(self.high))

    @property
    def width(self) -> int:
        """The range of what one row can add, with nothing at all included."""
        return max(self.high, 0) - min(self.low, 0)


@dataclass(frozen=True, slots=True)
class Parts:
    """Breaks aggregates down into primitives: `parts(aggregate)`.

    Args:
        columns: The facts of the columns.
        people: The columns that are a person's.
    """

    columns: Mapping[Ref, Facts]
    people: frozenset[Ref]

    def __call__(self, aggregate: Aggregate) -> tuple[Primitive, ...]:
        """Return what an aggregate is computed from; nothing for one that is drawn."""
        return () if aggregate.function in DRAWN else _primitives(aggregate, self.columns, self.people)

    def facts(self, value: Row) -> Facts:
        """Return the public facts of a value."""
        return facts(value, self.columns)

    def away(self, total: Primitive) -> float:
        """Return the middle around which the squares of a value are taken (`rows.Away`)."""
        assert total.of is not None
        low, high, step = number(total.of, self.columns).range
        return float((low + high) // 2 * step)


def _primitives(aggregate: Aggregate, columns: Mapping[Ref, Facts], people: frozenset[Ref]) -> tuple[Primitive, ...]:
    arguments = aggregate.arguments
    if aggregate.function == "COUNT":
        return (_count(arguments[0] if arguments else None),)
    if aggregate.function == "COUNT DISTINCT":
        if isinstance(arguments[0], Ref) and arguments[0] in people:
            return (Primitive("people", None, 1, 1, ONE),)
        if _only_people(arguments[0], people):  # one person has one value at most, whatever the conditions say
            return (Primitive("some", arguments[0], 1, 1, ONE),)
        return (Primitive("distinct", arguments[0], 1, 1, ONE),)
    if aggregate.function == "SUM":
        low, high, step = number(arguments[0], columns).range
        return (Primitive("sum", arguments[0], low, high, step),)
    if aggregate.function == "AVG":
        return (centred(arguments[0], columns), _count(arguments[0]))
    if aggregate.function in SPREAD:
        value = arguments[0]
        away = Away(value)
        return (centred(Compute("*", away, away), columns), centred(value, columns), _count(value))
    assert aggregate.function in PAIRED
    first, second = (_where_both(one, other) for one, other in (arguments, arguments[::-1]))
    a, b = Away(first), Away(second)
    parts: tuple[Primitive, ...] = (
        centred(Compute("*", a, b), columns),
        centred(first, columns),
        centred(second, columns),
        _count(first),
    )
    if aggregate.function == "CORR":
        parts += (centred(Compute("*", a, a), columns), centred(Compute("*", b, b), columns))
    return parts


def _only_people(value: Row, people: frozenset[Ref]) -> bool:
    """Return whether a value is the person of its row, or NULL."""
    if not isinstance(value, Case):
        return False
    chosen = [then for _, then in value.branches] + [value.default] * (value.default is not None)
    return all(isinstance(item, Ref) and item in people for item in chosen)


def _count(value: Row | None) -> Primitive:
    return Primitive("rows" if value is None else "values", value, 1, 1, ONE)


def centred(value: Row, columns: Mapping[Ref, Facts]) -> Primitive:
    """Return the sum of a value around the middle of its bounds."""
    low, high, step = number(value, columns).range
    factor = 2 if (low + high) % 2 else 1
    shift = (low + high) * factor // 2
    return Primitive("centred", value, factor * low - shift, factor * high - shift, step / factor, factor, shift)


def _where_both(one: Row, other: Row) -> Row:
    """Return a value where the other is readable, too."""
    return Case(((Not(IsNull(other)), one),))


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of the answer one privacy unit can touch.

    Args:
        groups: K, the groups one unit touches at most.
        rows: R, the rows it has at most in one group.
        cells: G, the declared groups of the answer.
        relation: The neighbouring relation.
        sampled: Whether the engine has to keep K of a person's groups.
    """

    groups: int
    rows: int
    cells: int
    relation: Relation
    sampled: bool

    @classmethod
    def of(cls, unit: PrivacyUnit, sizes: Sequence[int], own: Sequence[bool]) -> Bounds:
        """Return the bounds of a query that groups by keys of these sizes.

        Args:
            unit: Who is protected.
            sizes: How many groups each key has.
            own: Whether a key is the person's own column: nobody is in two groups of it.

        Raises:
            UnsupportedQuery: the product of the keys is too large to answer for.
        """
        cells = math.prod(sizes)
        if cells > MAX_CELLS:
            raise UnsupportedQuery(
                f"GROUP BY has {cells} groups; at most {MAX_CELLS} are answered at once.",
                remedy="Group by fewer columns, or declare fewer keys.",
            )
        if not unit.enforced:
            # One unit is `max_rows` rows, in whatever groups: the worst case has all in one group.
            return cls(1, unit.max_rows, cells, unit.relation, sampled=False)
        reach = math.prod(size for size, mine in zip(sizes, own, strict=True) if not mine)
        groups = min(unit.max_groups or reach, reach)
        return cls(groups, unit.max_rows, cells, unit.relation, sampled=groups < reach)

    def sensitivity(self, primitive: Primitive) -> tuple[int, int]:
        """Return the L1 sensitivity and the square of the L2 sensitivity of a primitive's vector.

        Guarantee: for any two neighbouring tables the vectors over all groups differ by at most
            these.
        Evidence: proven, docs/proofs/contribution_bounds.md; property tests compare with brute force.
        Assumes: without a person's column, the promised max_rows.
        Not protected: nothing beyond the unit.
        """
        most, width = primitive.magnitude, primitive.width
        groups, rows = self.groups, 1 if primitive.kind in ("people", "some") else self.rows
        if self.relation is not Relation.REPLACE_ONE:
            return groups * rows * most, groups * rows**2 * most**2
        shared = max(0, 2 * groups - self.cells)  # groups that old and new rows must have in common
        apart = 2 * (groups - shared)
        first = shared * width + apart * most
        second = max(shared * width**2 + apart * most**2, groups * width**2)
        return rows * first, rows**2 * second
