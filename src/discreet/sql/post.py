"""After the noise: values, standard errors, intervals, HAVING, ORDER BY and LIMIT.

Everything here is a function of released numbers and public facts: post-processing, which costs
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from discreet.domains import Column, Domain
from discreet.sql import intervals, nodes
from discreet.sql.allocate import Noise
from discreet.sql.bound import Primitive, primitives
from discreet.sql.intervals import LEVEL, Floats, Range
from discreet.sql.nodes import Aggregate, Arithmetic, Condition, Const, Expression, Number, Released, Select

if TYPE_CHECKING:
    import pyarrow

LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """One column of released numbers with its error.

    Args:
        value: The numbers; NaN where a division had no answer.
        gradient: Its derivative with respect to each primitive, in steps, for the delta method.
        spread: Its range at the level of the whole expression.
    """

    value: Floats
    gradient: Mapping[Primitive, Floats]
    spread: Range


@dataclass(frozen=True, slots=True)
class Noisy:
    """The noised integers of a query, and what they are."""

    domain: Domain
    values: Mapping[Primitive, NDArray[Any]]
    noises: Mapping[Primitive, Noise]

    @property
    def cells(self) -> int:
        """The number of groups."""
        return len(next(iter(self.values.values())))

    def estimate(self, expression: Expression, level: float) -> Estimate:
        """Return an expression's value and error; `level` is the coverage of each primitive's range."""
        if isinstance(expression, Number):
            constant = np.full(self.cells, float(expression.value))
            return Estimate(constant, {}, (constant, constant))
        if isinstance(expression, Arithmetic):
            return _arithmetic(
                expression, self.estimate(expression.left, level), self.estimate(expression.right, level)
            )
        assert isinstance(expression, Aggregate)
        parts = primitives(expression, self.domain)
        if len(parts) == 2:
            return self._average(parts, level)
        part = parts[0]
        value = scaled(self.values[part], part.step)
        half = self.noises[part].half_width(level) * float(part.step)
        return Estimate(value, {part: np.full(self.cells, float(part.step))}, intervals.around(value, half))

    def _average(self, parts: tuple[Primitive, ...], level: float) -> Estimate:
        total, count = parts
        noisy, people = floats(self.values[total]), floats(self.values[count])
        some = people > 0
        safe = np.where(some, people, 1.0)
        step, middle = float(total.step), float(total.middle)
        low, high = bounds_of(total)
        centred = np.where(some, noisy / safe, 0.0)
        value = np.clip(middle + centred * step, low, high)
        gradient = {
            total: np.where(some, step / safe, np.nan),
            count: np.where(some, -centred * step / safe, np.nan),
        }
        most = float(total.magnitude)
        if level == LEVEL:
            near = intervals.ratio(noisy, people, most, (self.noises[total], self.noises[count]))
        else:
            first = intervals.around(noisy, self.noises[total].half_width(level))
            second = intervals.around(people, self.noises[count].half_width(level))
            near = intervals.combine("/", first, (np.maximum(second[0], 0.0), second[1]))
            near = np.clip(near[0], -most, most), np.clip(near[1], -most, most)
        spread = np.clip(middle + near[0] * step, low, high), np.clip(middle + near[1] * step, low, high)
        return Estimate(value, gradient, spread)

    def released(self, expression: Expression) -> tuple[Estimate, Floats]:
        """Return an output's estimate with its 95 % interval, and its standard error."""
        parts = dict.fromkeys(part for item in nodes.aggregates(expression) for part in primitives(item, self.domain))
        alone = isinstance(expression, Aggregate)
        level = LEVEL if alone else 1 - (1 - LEVEL) / len(parts)
        found = self.estimate(expression, level if not alone else LEVEL)
        variance = np.zeros(self.cells)
        with np.errstate(all="ignore"):
            for part, slope in found.gradient.items():
                variance = variance + (slope * self.noises[part].std()) ** 2
            error = np.sqrt(variance)
        if isinstance(expression, Aggregate) and expression.function == "AVG":
            low, high = bounds_of(primitives(expression, self.domain)[0])
            error = np.fmin(error, (high - low) / 2)  # also where the count is not positive
        return found, error


def bounds_of(total: Primitive) -> tuple[float, float]:
    """Return the clamping bounds of a centred sum's column, as the grid has them."""
    return float(total.middle + total.low * total.step), float(total.middle + total.high * total.step)


def _arithmetic(node: Arithmetic, left: Estimate, right: Estimate) -> Estimate:
    a, b = left.value, right.value
    with np.errstate(all="ignore"):
        if node.operator in ("+", "-"):
            sign = 1.0 if node.operator == "+" else -1.0
            value, by_left, by_right = a + sign * b, np.ones_like(a), np.full_like(a, sign)
        elif node.operator == "*":
            value, by_left, by_right = a * b, b, a
        else:
            divisor = np.where(b == 0, np.nan, b)
            value, by_left, by_right = a / divisor, 1 / divisor, -a / divisor**2
        value = np.where(np.isfinite(value), value, np.nan)
        gradient: dict[Primitive, Floats] = {}
        for side, slope in ((left, by_left), (right, by_right)):
            for part, inner in side.gradient.items():
                gradient[part] = gradient.get(part, np.zeros_like(a)) + slope * inner
    return Estimate(value, gradient, intervals.combine(node.operator, left.spread, right.spread))


# ------------------------------------------------------------------------------------ the table


def table(select: Select, noisy: Noisy, kept: dict[str, NDArray[np.intp]]) -> pyarrow.Table:
    """Return the released table: per output its value, c_se, c_low and c_high.

    Args:
        select: The query.
        noisy: The noised integers, one per group.
        kept: For each key, which of its declared values each group has.
    """
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    values: dict[str, NDArray[Any]] = {}
    for item in select.outputs:
        if item.key is not None:
            columns[item.name] = key_values(noisy.domain[item.key]).take(pa.array(kept[item.key]))
            continue
        assert item.expression is not None
        found, error = noisy.released(item.expression)
        values[item.name] = _typed(item.expression, noisy, found)
        columns[item.name] = _arrow(values[item.name])
        for suffix, numbers in (("_se", error), ("_low", found.spread[0]), ("_high", found.spread[1])):
            columns[item.name + suffix] = _arrow(numbers)
            values[item.name + suffix] = np.where(np.isfinite(numbers), numbers, np.nan)
    result = pa.table(columns)
    if select.having is None and not select.order:
        return result if select.limit is None else result.slice(0, select.limit)
    chosen = _Chooser(select, noisy, values, kept)
    rows = np.arange(noisy.cells)
    if select.having is not None:
        rows = rows[chosen.having(select.having)[0]]
    if select.order:
        rows = chosen.sort(rows)
    return result.take(pa.array(rows[: select.limit]))


def key_values(column: Column) -> pyarrow.Array:
    """Return the declared keys of a column, typed."""
    import pyarrow as pa

    kinds = {"integer": pa.int64(), "text": pa.string(), "boolean": pa.bool_(), "date": pa.date32()}
    return pa.array(column.keys or (), type=kinds[column.type])


def _typed(expression: Expression, noisy: Noisy, found: Estimate) -> NDArray[Any]:
    """Return counts and whole sums as 64-bit integers (cut at their limits), all else as floats."""
    if isinstance(expression, Aggregate) and expression.function != "AVG":
        part = primitives(expression, noisy.domain)[0]
        if part.step == 1:
            values = noisy.values[part]
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


def floats(values: NDArray[Any]) -> Floats:
    """Return integers, of 64 bits or unlimited, as floats."""
    return np.asarray(values, dtype=np.float64)


def scaled(values: NDArray[Any], step: Fraction) -> Floats:
    """Return integers in steps as floats in the unit of their column."""
    return floats(values) * float(step.numerator) / float(step.denominator)


# ---------------------------------------------------------------------------- HAVING and ORDER BY


@dataclass(frozen=True, slots=True)
class _Chooser:
    select: Select
    noisy: Noisy
    values: Mapping[str, NDArray[Any]]
    kept: Mapping[str, NDArray[np.intp]]

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
            column = self._key(node.left.name)
            keys = self.noisy.domain[column].keys or ()
            verdicts = [None if key is None else _holds(node.operator, key, node.right.value) for key in keys]
            place = self.kept[column]
            yes, no = (np.array([item is wanted for item in verdicts], dtype=bool)[place] for wanted in (True, False))
            return yes, no
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
            column = self._key(expression.name)
            keys = self.noisy.domain[column].keys or ()
            known: list[Any] = [key for key in keys if key is not None]
            order: dict[Any, float] = {key: float(i) for i, key in enumerate(sorted(known))}
            return np.array([order.get(key, math.nan) for key in keys])[self.kept[column]]
        return self._numbers(expression)

    def _numbers(self, expression: Expression) -> Floats:
        if isinstance(expression, Released) and expression.name not in self.values:
            column = self._key(expression.name)  # of whole numbers: the parser lets no other be reckoned with
            keys: Any = self.noisy.domain[column].keys or ()
            return np.array([math.nan if key is None else float(key) for key in keys])[self.kept[column]]
        if isinstance(expression, Released):
            return floats(self.values[expression.name])
        if isinstance(expression, Number):
            return np.full(self.noisy.cells, float(expression.value))
        if isinstance(expression, Arithmetic):
            left, right = self._numbers(expression.left), self._numbers(expression.right)
            plain = ((left, left), (right, right))
            return _arithmetic(expression, Estimate(left, {}, plain[0]), Estimate(right, {}, plain[1])).value
        return self.noisy.estimate(expression, LEVEL).value

    def _key(self, name: str) -> str:
        return next(str(item.key) for item in self.select.outputs if item.name == name)


def _holds(operator: nodes.Comparison, left: Any, right: Any) -> Any:
    if operator == "=":
        return left == right
    if operator == "<>":
        return left != right
    if operator == "<":
        return left < right
    if operator == "<=":
        return left <= right
    return left > right if operator == ">" else left >= right
