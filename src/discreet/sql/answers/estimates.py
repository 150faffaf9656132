"""Released numbers and their errors: sums with noise, averages, variances, arithmetic on them.

Everything here is a function of noised integers and public facts: post-processing, which costs
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from discreet.sql import nodes
from discreet.sql.answers import intervals
from discreet.sql.answers.consistency import Level, Wish, agreeing
from discreet.sql.answers.intervals import LEVEL, Floats, Range, Scatter
from discreet.sql.bound import Parts, Primitive
from discreet.sql.nodes import PAIRED, SPREAD, Aggregate, Arithmetic, Expression, Number
from discreet.sql.statements.facts import Facts
from discreet.sql.statements.rows import Row

POINT = 0.0  # the level of an interval that nobody looks at: it holds nothing but the number


LEAST_RATIO = 1e-12  # of variances of several groupings: below, floating point would lose the other numbers


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
    """The noised integers of a query, and what they are.

    Args:
        parts: What each aggregate is computed from.
        values: The noised integers, one for each group.
        noises: The noise on each of them.
        chosen: What was drawn for each aggregate that is drawn, one for each group, in its own unit.
    """

    parts: Parts
    values: Mapping[Primitive, NDArray[Any]]
    noises: Mapping[Primitive, Scatter]
    chosen: Mapping[Aggregate, Floats]
    cells: int

    def estimate(self, expression: Expression, level: float) -> Estimate:
        """Return an expression's value and error; `level` is the coverage of each primitive's range."""
        if isinstance(expression, Number):
            return constant(float(expression.value), self.cells)
        if isinstance(expression, Arithmetic):
            left, right = self.estimate(expression.left, level), self.estimate(expression.right, level)
            return arithmetic(expression.operator, left, right)
        assert isinstance(expression, Aggregate)
        if expression in self.chosen:
            return unknown(floats(self.chosen[expression]))
        parts = self.parts(expression)
        if expression.function in (*SPREAD, *PAIRED):
            return self._spread(expression, parts, level)
        if expression.function == "AVG":
            return self._average(parts, level)
        return self._sum(parts[0], level)

    def _sum(self, part: Primitive, level: float) -> Estimate:
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

    # ------------------------------------------------------------------- variances, and their kin

    def _spread(self, aggregate: Aggregate, parts: tuple[Primitive, ...], level: float) -> Estimate:
        """Return a variance, covariance or correlation, clamped to what the bounds allow."""
        if aggregate.function in SPREAD:
            squares, total, count = parts
            found = self._moment(squares, total, total, count, level)
            most = _half_range(self.parts, aggregate.arguments[0]) ** 2
            found = clamped(found, 0.0, most)
            if aggregate.function.endswith("SAMP"):
                found = self._sampled(found, count, most, level)
            return root(found) if aggregate.function.startswith("STDDEV") else found
        products, first, second, count, *squares_ = parts
        found = self._moment(products, first, second, count, level)
        bounds = [_half_range(self.parts, item) for item in aggregate.arguments]
        found = clamped(found, -bounds[0] * bounds[1], bounds[0] * bounds[1])
        if aggregate.function == "COVAR_SAMP":
            return self._sampled(found, count, bounds[0] * bounds[1], level)
        if aggregate.function == "COVAR_POP":
            return found
        spreads = [
            clamped(self._moment(square, one, one, count, level), 0.0, bound**2)
            for square, one, bound in zip(squares_, (first, second), bounds, strict=True)
        ]
        return clamped(arithmetic("/", found, root(arithmetic("*", *spreads))), -1.0, 1.0, lost=0.0)

    def _moment(
        self, products: Primitive, first: Primitive, second: Primitive, count: Primitive, level: float
    ) -> Estimate:
        """Return the mean of a product, less the product of the means, of values around public middles."""
        means = [self._average((item, count), level) for item in (products, first, second)]
        moved = [
            arithmetic("-", mean, constant(self.parts.away(item), self.cells))
            for mean, item in zip(means[1:], (first, second), strict=True)
        ]
        product = moved[0] if first is second else None
        squared = square(product) if product is not None else arithmetic("*", moved[0], moved[1])
        return arithmetic("-", means[0], squared)

    def _sampled(self, found: Estimate, count: Primitive, most: float, level: float) -> Estimate:
        """Return a variance of a sample: n / (n - 1) as much; how many n may be is in the interval, too."""
        people = floats(self.values[count])
        near = intervals.around(people, self.noises[count].half_width(level))
        factor, largest, least = (n / (n - 1) for n in (np.maximum(one, 2.0) for one in (people, *near)))
        return clamped(arithmetic("*", found, Estimate(factor, {}, (least, largest))), -2 * most, 2 * most)

    def released(self, expression: Expression) -> tuple[Estimate, Floats]:
        """Return an output's estimate with its 95 % interval, and its standard error."""
        linear = [item for item in nodes.aggregates(expression) if item not in self.chosen]
        parts = dict.fromkeys(part for item in linear for part in self.parts(item))
        alone = isinstance(expression, Aggregate) and expression.function not in (*SPREAD, *PAIRED)
        found = self.estimate(expression, LEVEL if alone else 1 - (1 - LEVEL) / max(1, len(parts)))
        variance = np.zeros(self.cells)
        with np.errstate(all="ignore"):
            for part, slope in found.gradient.items():
                variance = variance + (slope * self.noises[part].std()) ** 2
            error = np.sqrt(variance)
        if any(item in self.chosen for item in nodes.aggregates(expression)):
            return found, np.full(self.cells, np.nan)
        if isinstance(expression, Aggregate) and expression.function == "AVG":
            low, high = bounds_of(self.parts(expression)[0])
            error = np.fmin(error, (high - low) / 2)  # also where the count is not positive
        return found, error


@dataclass(frozen=True, slots=True)
class Stacked:
    """The noised answers of several groupings, one below the other.

    Args:
        levels: Those of each grouping.
        originals: The same before they were made to agree; the same objects where they were not.
    """

    levels: tuple[Noisy, ...]
    originals: tuple[Noisy, ...]

    @property
    def cells(self) -> int:
        """The number of groups in all."""
        return sum(level.cells for level in self.levels)

    @property
    def parts(self) -> Parts:
        """What each aggregate is computed from."""
        return self.levels[0].parts

    def released(self, expression: Expression) -> tuple[Estimate, Floats]:
        """Return an output's estimate with its 95 % interval, and its standard error.

        Of numbers that were made to agree both are those of the noise before: how far the nearest numbers that
        agree are from the true ones has no law that would be known. The interval is widened to hold the number.
        """
        found = [before.released(expression) for before in self.originals]
        low, high = (np.concatenate([one.spread[side] for one, _ in found]) for side in (0, 1))
        value = np.concatenate([one.value for one, _ in found])
        if self._touched(expression):
            value = self.numbers(expression)
            low, high = np.fmin(low, value), np.fmax(high, value)
        return Estimate(value, {}, (low, high)), np.concatenate([error for _, error in found])

    def numbers(self, expression: Expression) -> Floats:
        """Return an expression's values."""
        return np.concatenate([level.estimate(expression, POINT).value for level in self.levels])

    def integers(self, part: Primitive) -> NDArray[Any]:
        """Return a primitive's noised integers; floats where they were made to agree."""
        return np.concatenate([level.values[part] for level in self.levels])

    def chosen(self, aggregate: Aggregate) -> NDArray[Any]:
        """Return what was drawn."""
        return np.concatenate([level.chosen[aggregate] for level in self.levels])

    def _touched(self, expression: Expression) -> bool:
        """Return whether anything that an expression is made of was made to agree."""
        return any(
            level.values[part] is not before.values[part]
            for level, before in zip(self.levels, self.originals, strict=True)
            for item in nodes.aggregates(expression)
            for part in level.parts(item)
        )

    def original(self, expression: Expression) -> Floats | None:
        """Return an expression's values before they were made to agree; None where they were not."""
        if not self._touched(expression):
            return None
        return np.concatenate([level.estimate(expression, POINT).value for level in self.originals])


def stacked(levels: tuple[Noisy, ...], groups: Sequence[NDArray[np.intp]], wishes: Sequence[Wish]) -> Stacked:
    """Return the answers of all groupings, made to agree as wished.

    Args:
        levels: Those of each grouping.
        groups: For each grouping, the group of each finest one.
        wishes: What to see to.
    """
    if not wishes:
        return Stacked(levels, levels)
    values: list[dict[Primitive, NDArray[Any]]] = [dict(level.values) for level in levels]
    for part in levels[0].values:
        spread = [level.noises[part].std() ** 2 for level in levels]
        most = max(spread)  # 0 where epsilon is so large that no noise is left: then all weigh alike
        variances = [max(one / most, LEAST_RATIO) if most else 1.0 for one in spread]
        noisy = [
            Level(floats(level.values[part]), variance, group)
            for level, variance, group in zip(levels, variances, groups, strict=True)
        ]
        counts = part.kind in ("rows", "values", "people", "some", "distinct")
        wanted = wishes if counts else [wish for wish in wishes if wish == "totals"]
        if not wanted or (wanted == ["totals"] and len(levels) == 1):
            continue
        for one, found in zip(values, agreeing(noisy, wanted, counts=counts), strict=True):
            one[part] = found
    return Stacked(tuple(replace(level, values=one) for level, one in zip(levels, values, strict=True)), levels)


def _half_range(parts: Parts, value: Row) -> float:
    found: Facts = parts.facts(value)
    low, high, step = found.range
    return float((high - low) * step) / 2


def bounds_of(total: Primitive) -> tuple[float, float]:
    """Return the clamping bounds of a centred sum's value, as the grid has them."""
    return float(total.middle + total.low * total.step), float(total.middle + total.high * total.step)


# -------------------------------------------------------------------------- arithmetic with errors


def constant(value: float | Floats, cells: int) -> Estimate:
    """Return a number without an error."""
    found = np.full(cells, value) if isinstance(value, float) else value
    return Estimate(found, {}, (found, found))


def unknown(value: Floats) -> Estimate:
    """Return numbers whose error is not told by an interval."""
    return Estimate(value, {}, (np.full_like(value, -np.inf), np.full_like(value, np.inf)))


def arithmetic(operator: nodes.Operator, left: Estimate, right: Estimate) -> Estimate:
    """Return left operator right; x / 0 is NaN."""
    a, b = left.value, right.value
    with np.errstate(all="ignore"):
        if operator in ("+", "-"):
            sign = 1.0 if operator == "+" else -1.0
            value, by_left, by_right = a + sign * b, np.ones_like(a), np.full_like(a, sign)
        elif operator == "*":
            value, by_left, by_right = a * b, b, a
        else:
            divisor = np.where(b == 0, np.nan, b)
            value, by_left, by_right = a / divisor, 1 / divisor, -a / divisor**2
        value = np.where(np.isfinite(value), value, np.nan)
        gradient: dict[Primitive, Floats] = {}
        for side, slope in ((left, by_left), (right, by_right)):
            for part, inner in side.gradient.items():
                gradient[part] = gradient.get(part, np.zeros_like(a)) + slope * inner
    return Estimate(value, gradient, intervals.combine(operator, left.spread, right.spread))


def square(found: Estimate) -> Estimate:
    """Return a square, whose range is that of a square: not below 0."""
    product = arithmetic("*", found, found)
    low, high = found.spread
    least = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(low**2, high**2))
    return Estimate(product.value, product.gradient, (least, np.maximum(low**2, high**2)))


def root(found: Estimate) -> Estimate:
    """Return the square root of what is not below 0."""
    value = np.sqrt(np.maximum(found.value, 0.0))
    with np.errstate(all="ignore"):
        slope = np.where(value > 0, 0.5 / value, np.nan)
        gradient = {part: slope * inner for part, inner in found.gradient.items()}
    low, high = found.spread
    return Estimate(value, gradient, (np.sqrt(np.maximum(low, 0.0)), np.sqrt(np.maximum(high, 0.0))))


def clamped(found: Estimate, low: float, high: float, lost: float | None = None) -> Estimate:
    """Return numbers that are known to lie in [low, high]; what has no answer is `lost`, or the middle."""
    value = np.where(np.isnan(found.value), (low + high) / 2 if lost is None else lost, found.value)
    spread = np.clip(found.spread[0], low, high), np.clip(found.spread[1], low, high)
    return Estimate(np.clip(value, low, high), found.gradient, spread)


def floats(values: NDArray[Any]) -> Floats:
    """Return integers, of 64 bits or unlimited, as floats."""
    return np.asarray(values, dtype=np.float64)


def scaled(values: NDArray[Any], step: Fraction) -> Floats:
    """Return integers in steps as floats in the unit of their column."""
    return floats(values) * float(step.numerator) / float(step.denominator)
