"""After the noise: the released table, HAVING, ORDER BY and LIMIT.

Everything here is a function of released numbers and public facts: post-processing, which costs
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from discreet.domains import Key, Type
from discreet.sql import nodes
from discreet.sql.answers.estimates import Estimate, Stacked, arithmetic, constant, floats
from discreet.sql.answers.intervals import Floats
from discreet.sql.nodes import Aggregate, Arithmetic, Condition, Expression, Number, Released, Select
from discreet.sql.statements.rows import Comparison, Const

if TYPE_CHECKING:
    import pyarrow

LARGEST = 2**63 - 1
SUFFIXES = ("_se", "_low", "_high", "_raw")  # of the columns that come with a released one


@dataclass(frozen=True, slots=True)
class Labels:
    """The groups that an answer has: for each key its values, and which of them each group has.

    Args:
        kinds: The type of each key.
        values: The values of each key.
        places: For each group, the place of its value; -1 where the group is a total over that key.
    """

    kinds: Sequence[Type]
    values: Sequence[Sequence[Key]]
    places: Sequence[NDArray[np.intp]]

    def column(self, key: int) -> pyarrow.Array:
        """Return the values of a key, one for each group."""
        import pyarrow as pa

        place = self.places[key]
        return typed(self.kinds[key], self.values[key]).take(pa.array(place, mask=place < 0))


# ------------------------------------------------------------------------------------ the table


def table(select: Select, noisy: Stacked, labels: Labels) -> pyarrow.Table:
    """Return the released table: per output its value, c_se, c_low and c_high.

    Args:
        select: The query.
        noisy: The noised integers, one per group.
        labels: The groups.
    """
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    values: dict[str, NDArray[Any]] = {}
    for item in select.outputs:
        if item.key is not None:
            columns[item.name] = labels.column(item.key)
            if select.sets:  # a total has no value of the key, and neither has the group of NULL
                columns[item.name + nodes.TOTAL] = pa.array(labels.places[item.key] < 0)
            continue
        assert item.expression is not None
        found, error = noisy.released(item.expression)
        if isinstance(item.expression, Aggregate) and item.expression.function == "MODE":
            columns |= _mode(item, noisy)
            continue
        values[item.name] = _typed(item.expression, noisy, found)
        columns[item.name] = _arrow(values[item.name])
        original = noisy.original(item.expression)
        if original is not None:
            columns[item.name + "_raw"] = _arrow(original)
        for suffix, numbers in (("_se", error), ("_low", found.spread[0]), ("_high", found.spread[1])):
            columns[item.name + suffix] = _arrow(numbers)
            values[item.name + suffix] = np.where(np.isfinite(numbers), numbers, np.nan)
    result = pa.table(columns)
    if select.having is None and not select.order:
        return result if select.limit is None else result.slice(0, select.limit)
    chosen = _Chooser(select, noisy, values, labels)
    rows = np.arange(noisy.cells)
    if select.having is not None:
        rows = rows[chosen.having(select.having)[0]]
    if select.order:
        rows = chosen.sort(rows)
    return result.take(pa.array(rows[: select.limit]))


def _mode(item: nodes.Output, noisy: Stacked) -> dict[str, pyarrow.Array]:
    """Return the released candidates; of errors there are none."""
    import pyarrow as pa

    assert isinstance(item.expression, Aggregate)
    found = noisy.parts.facts(item.expression.arguments[0])
    candidates = typed(found.type, [key for key in found.keys or () if key is not None])
    nothing = pa.nulls(noisy.cells, pa.float64())
    chosen = candidates.take(pa.array(noisy.chosen(item.expression).astype(np.int64)))
    return {item.name: chosen, **{item.name + suffix: nothing for suffix in ("_se", "_low", "_high")}}


def typed(kind: Type, values: Sequence[Key]) -> pyarrow.Array:
    """Return the values of a key, typed."""
    import pyarrow as pa

    kinds = {"integer": pa.int64(), "text": pa.string(), "boolean": pa.bool_(), "date": pa.date32()}
    return pa.array(values, type=kinds[kind])


def _typed(expression: Expression, noisy: Stacked, found: Estimate) -> NDArray[Any]:
    """Return counts and whole sums as 64-bit integers (cut at their limits), all else as floats."""
    if isinstance(expression, Aggregate) and expression.function in ("COUNT", "COUNT DISTINCT", "SUM"):
        part = noisy.parts(expression)[0]
        if part.step == 1:
            values = noisy.integers(part)
            if values.dtype == np.float64 and (values != np.round(values)).any():
                return found.value
            if values.dtype == object:
                values = np.clip(values, -LARGEST, LARGEST)
            return values.astype(np.int64)
    return found.value


def _arrow(numbers: NDArray[Any]) -> pyarrow.Array:
    """Return numbers as an Arrow column; what is not finite is null."""
    import pyarrow as pa

    if numbers.dtype == np.float64:
        return pa.array(numbers, mask=~np.isfinite(numbers))
    return pa.array(numbers)


# ---------------------------------------------------------------------------- HAVING and ORDER BY


@dataclass(frozen=True, slots=True)
class _Chooser:
    select: Select
    noisy: Stacked
    values: Mapping[str, NDArray[Any]]
    labels: Labels

    def having(self, node: nodes.Having) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which groups satisfy a condition, and which refute it; the others are unknown."""
        if isinstance(node, Condition):
            return self._condition(node)
        parts = [self.having(term) for term in node.terms]
        if node.operator == "NOT":
            return parts[0][1], parts[0][0]
        yes, no = np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])
        if node.operator == "AND":
            return np.asarray(yes.all(axis=0)), np.asarray(no.any(axis=0))
        return np.asarray(yes.any(axis=0)), np.asarray(no.all(axis=0))

    def _condition(self, node: Condition) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        if isinstance(node.right, Const):
            assert isinstance(node.left, Released)
            key = self._key(node.left.name)
            wanted = node.right.value
            verdicts = [None if one is None else _holds(node.operator, one, wanted) for one in self.labels.values[key]]
            return self._each(key, [one is True for one in verdicts]), self._each(
                key, [one is False for one in verdicts]
            )
        assert not isinstance(node.left, Const)
        left, right = self._numbers(node.left), self._numbers(node.right)
        known = ~(np.isnan(left) | np.isnan(right))
        held = _holds(node.operator, left, right)
        return np.asarray(held & known), np.asarray(~held & known)

    def sort(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows in the order asked for; ties keep the order of the declared keys."""
        for term in reversed(self.select.order):
            rank = self._rank(term.expression)[rows]
            missing = np.isnan(rank)
            rank = np.where(missing, 0.0, -rank if term.descending else rank)
            last = missing if not term.nulls_first else ~missing
            rows = rows[np.lexsort((rank, last))]
        return rows

    def _rank(self, expression: Expression) -> Floats:
        if isinstance(expression, Released) and expression.name not in self.values:
            key = self._key(expression.name)
            known: list[Any] = [one for one in self.labels.values[key] if one is not None]
            order: dict[Any, float] = {one: float(i) for i, one in enumerate(sorted(known))}
            return self._each(key, [order.get(one, math.nan) for one in self.labels.values[key]])
        return self._numbers(expression)

    def _numbers(self, expression: Expression) -> Floats:
        if isinstance(expression, Released) and expression.name not in self.values:
            key = self._key(expression.name)  # of whole numbers: the parser lets no other be reckoned with
            return self._each(key, [math.nan if one is None else float(one) for one in self._whole(key)])
        if isinstance(expression, Released):
            return floats(self.values[expression.name])
        if isinstance(expression, Number):
            return np.full(self.noisy.cells, float(expression.value))
        if isinstance(expression, Arithmetic):
            left, right = (
                constant(self._numbers(side), self.noisy.cells) for side in (expression.left, expression.right)
            )
            return arithmetic(expression.operator, left, right).value
        return self.noisy.numbers(expression)

    def _whole(self, key: int) -> Sequence[Any]:
        return self.labels.values[key]

    def _each(self, key: int, verdicts: Sequence[Any]) -> NDArray[Any]:
        """Return what holds for each value of a key, for each group; nothing holds for a total."""
        missing = math.nan if verdicts and isinstance(verdicts[0], float) else False
        return np.array([*verdicts, missing])[self.labels.places[key]]

    def _key(self, name: str) -> int:
        return next(int(item.key) for item in self.select.outputs if item.name == name and item.key is not None)


def _holds(operator: Comparison, left: Any, right: Any) -> Any:
    if operator == "=":
        return left == right
    if operator == "<>":
        return left != right
    if operator == "<":
        return left < right
    if operator == "<=":
        return left <= right
    return left > right if operator == ">" else left >= right
