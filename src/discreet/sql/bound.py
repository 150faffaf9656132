"""Contribution bounds: what one person can change in each exact integer that a query computes.

A *primitive* is one integer per group: rows, readable values, a clamped sum, or a clamped sum
centred at the middle of the bounds. The bounds and sensitivities here are those that the engine
query (`stages`) enforces; the proof of both is docs/proofs/contribution_bounds.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from discreet.domains import Column, Domain
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.events import Relation
from discreet.sql.nodes import Aggregate
from discreet.units import PrivacyUnit

Kind = Literal["rows", "values", "sum", "centred"]
MAX_CELLS = 1_000_000


@dataclass(frozen=True, slots=True)
class Primitive:
    """One exact integer per group.

    Args:
        kind: rows: COUNT(*); values: readable values of a column; sum: their clamped sum in grid
            steps; centred: `factor`·sum - `shift`·values, the sum around the middle of the bounds.
        column: The column, except for rows.
        low, high: What one row adds, at least and at most.
        step: What 1 is worth, in the unit of the column.
        factor, shift: See centred.
    """

    kind: Kind
    column: str | None
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
            "values": f"readable values of {self.column}",
            "sum": f"clamped sum of {self.column}",
            "centred": f"clamped sum of {self.column} around {float(self.middle):g}",
        }[self.kind]

    @property
    def middle(self) -> Fraction:
        """Where a centred sum is centred, in the unit of the column."""
        return Fraction(self.shift) * self.step

    @property
    def magnitude(self) -> int:
        """The most one row can add, in absolute value."""
        return max(abs(self.low), abs(self.high))

    @property
    def width(self) -> int:
        """The range of what one row can add, with nothing at all included."""
        return max(self.high, 0) - min(self.low, 0)


def primitives(aggregate: Aggregate, domain: Domain) -> tuple[Primitive, ...]:
    """Return what an aggregate is computed from: AVG from a centred sum and a count."""
    if aggregate.function == "COUNT":
        kind: Kind = "rows" if aggregate.column is None else "values"
        return (Primitive(kind, aggregate.column, 1, 1, Fraction(1)),)
    assert aggregate.column is not None
    low, high, step = grid(aggregate.column, domain[aggregate.column])
    if aggregate.function == "SUM":
        return (Primitive("sum", aggregate.column, low, high, step),)
    factor = 2 if (low + high) % 2 else 1
    shift = (low + high) * factor // 2
    centred = Primitive(
        "centred", aggregate.column, factor * low - shift, factor * high - shift, step / factor, factor, shift
    )
    return (centred, Primitive("values", aggregate.column, 1, 1, Fraction(1)))


def grid(name: str, column: Column) -> tuple[int, int, Fraction]:
    """Return the clamping bounds of a column in grid steps, and the step."""
    assert column.low is not None
    assert column.high is not None
    assert column.resolution is not None
    low, high = column.steps(column.low), column.steps(column.high)
    if low == high:
        raise InvalidInput(
            f"the resolution {column.resolution} of column {name!r} is coarser than its bounds.",
            remedy="Declare a finer resolution or wider bounds.",
        )
    if not 1e-290 < float(column.resolution) < 1e290:
        raise InvalidInput(
            f"the resolution of column {name!r} is out of the range of floating point.",
            remedy="Express the column in another unit.",
        )
    return low, high, column.resolution


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
    def of(cls, unit: PrivacyUnit, domain: Domain, keys: tuple[str, ...]) -> Bounds:
        """Return the bounds of a query that groups by `keys`.

        Raises:
            UnsupportedQuery: the product of the keys is too large to answer for.
        """
        sizes = {key: len(domain[key].keys or ()) for key in keys}
        cells = math.prod(sizes.values())
        if cells > MAX_CELLS:
            raise UnsupportedQuery(
                f"GROUP BY {', '.join(keys)} has {cells} groups; at most {MAX_CELLS} are answered at once.",
                remedy="Group by fewer columns, or declare fewer keys.",
            )
        if not unit.enforced:
            # One unit is `max_rows` rows, in whatever groups: the worst case has all in one group.
            return cls(1, unit.max_rows, cells, unit.relation, sampled=False)
        own = (unit.column, unit.per)
        reach = math.prod(size for key, size in sizes.items() if key not in own)
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
        groups, rows = self.groups, self.rows
        if self.relation is not Relation.REPLACE_ONE:
            return groups * rows * most, groups * rows**2 * most**2
        shared = max(0, 2 * groups - self.cells)  # groups that old and new rows must have in common
        apart = 2 * (groups - shared)
        first = shared * width + apart * most
        second = max(shared * width**2 + apart * most**2, groups * width**2)
        return rows * first, rows**2 * second
