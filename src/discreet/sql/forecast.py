"""What an answer will be worth, before anything is spent: error forecasts, and the split they imply.

Built from public facts and the user's own guesses of the answers; never from data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from discreet.errors import InvalidInput
from discreet.sql import nodes
from discreet.sql.allocate import Law, normalised, optimal
from discreet.sql.answers.drawn import Part
from discreet.sql.answers.intervals import LEVEL, Scatter
from discreet.sql.bound import Parts, Primitive
from discreet.sql.nodes import SPREAD, Aggregate, Arithmetic, Expression, Number, Output

NEAR_MIDDLE = 1 / 8  # a guessed mean is not trusted to be closer to the middle of its bounds than this
SMALLEST, LARGEST = 1e-30, 1e30  # of guesses and weights: beyond, floating point cannot tell them apart


@dataclass(frozen=True, slots=True)
class Forecast:
    """The expected error of one output column.

    Args:
        name: The column.
        standard_error: Of the noise; None if it depends on answers nobody guessed.
        half_width: Of the 95 % interval.
        guess: The guessed answer.
        relative: standard_error / |guess|.
        rank_error: Of what is drawn by rank: by how many rows its rank may be off, with 95 %.
    """

    name: str
    standard_error: float | None
    half_width: float | None
    guess: float | None
    relative: float | None
    rank_error: float | None = None


@dataclass(frozen=True, slots=True)
class _Point:
    """An expression at the guess: its value, and its slope in each primitive; None if unknown."""

    value: float | None
    slopes: Mapping[Primitive, float] | None


@dataclass(frozen=True, slots=True)
class Guesses:
    """The user's public guesses: of output columns by name, or of aggregates like "COUNT(*)"."""

    parts: Parts
    outputs: tuple[Output, ...]
    columns: Mapping[str, float]
    aggregates: Mapping[Aggregate, float]

    @classmethod
    def of(cls, guess: Mapping[str, float] | None, parts: Parts, outputs: tuple[Output, ...]) -> Guesses:
        """Check and sort out guesses.

        Raises:
            InvalidInput: one names nothing of this query, or is no finite number other than 0.
        """
        columns: dict[str, float] = {}
        aggregates_: dict[Aggregate, float] = {}
        known = {str(item).replace(" ", "").lower(): item for item in _guessable(outputs)}
        for name, value in _numbers("guess", guess).items():
            if value == 0:
                raise InvalidInput(f"the guess of {name!r} is 0: no error is relative to it.", remedy="Leave it out.")
            if name in {item.name for item in outputs}:
                columns[name] = value
            elif name.replace(" ", "").lower() in known:
                aggregates_[known[name.replace(" ", "").lower()]] = value
            else:
                named = [item.name for item in outputs if item.expression is not None]
                raise _unknown("guess", name, named + [str(item) for item in known.values()])
        for item in outputs:
            if item.name in columns and isinstance(item.expression, Aggregate):
                aggregates_.setdefault(item.expression, columns[item.name])
        return cls(parts, outputs, columns, aggregates_)

    def guess(self, item: Output) -> float | None:
        """Return the guess of an output column, given or worked out from its parts."""
        assert item.expression is not None
        found = self.columns.get(item.name, self._point(item.expression).value)
        return found if found is not None and math.isfinite(found) and found != 0 else None

    def slopes(self, item: Output) -> Mapping[Primitive, float] | None:
        """Return an output's slope in each primitive, or None if that needs a guess nobody gave."""
        assert item.expression is not None
        found = self._point(item.expression).slopes
        return found if found is None or all(map(math.isfinite, found.values())) else None

    def _point(self, expression: Expression) -> _Point:
        if isinstance(expression, Number):
            return _Point(float(expression.value), {})
        if isinstance(expression, Arithmetic):
            return _combined(expression, self._point(expression.left), self._point(expression.right))
        assert isinstance(expression, Aggregate)
        value = self.aggregates.get(expression)
        parts = self.parts(expression)
        if len(parts) == 1:
            return _Point(value, {parts[0]: float(parts[0].step)})
        people = self._people(expression)
        if people is None or not parts:
            return _Point(value, None)
        if expression.function == "AVG":
            return self._average(value, parts, people)
        if expression.function in SPREAD:
            return self._variance(expression, value, parts, people)
        return _Point(value, None)

    def _people(self, expression: Aggregate) -> float | None:
        """Return the guessed number of values that an average is taken over."""
        counted = Aggregate("COUNT", expression.arguments)
        return self.aggregates.get(counted, self.aggregates.get(Aggregate("COUNT")))

    def _average(self, value: float | None, parts: Sequence[Primitive], people: float) -> _Point:
        total, count = parts
        away = total.magnitude if value is None else abs(value - float(total.middle)) / float(total.step)
        away = min(max(away, total.magnitude * NEAR_MIDDLE), total.magnitude)
        step = float(total.step)
        return _Point(value, {total: step / people, count: away * step / people})

    def _variance(
        self, expression: Aggregate, value: float | None, parts: Sequence[Primitive], people: float
    ) -> _Point:
        """Return the slopes of a variance for a mean a quarter of the range away from the middle."""
        squares, total, count = parts
        half = float(total.magnitude * total.step)
        variance = half**2 / 3 if value is None else value**2 if expression.function.startswith("STD") else value
        slopes = {
            squares: float(squares.step) / people,
            total: half / 2 * 2 * float(total.step) / people,
            count: variance / people,
        }
        if expression.function.startswith("STD"):
            slopes = {part: slope / (2 * math.sqrt(variance)) for part, slope in slopes.items()}
        return _Point(value, slopes)


def _combined(node: Arithmetic, left: _Point, right: _Point) -> _Point:
    a, b = left.value, right.value
    value: float | None = None
    by_left: float | None
    by_right: float | None
    if node.operator in ("+", "-"):
        sign = 1.0 if node.operator == "+" else -1.0
        by_left, by_right = 1.0, sign
        value = None if a is None or b is None else a + sign * b
    elif node.operator == "*":
        by_left, by_right = b, a
        value = None if a is None or b is None else a * b
    else:
        by_left = None if not b else 1 / b
        by_right = None if a is None or not b else -(a / b) / b
        value = None if a is None or not b else a / b
    slopes: dict[Primitive, float] = {}
    for side, slope in ((left, by_left), (right, by_right)):
        if side.slopes is None or (side.slopes and slope is None):
            return _Point(value, None)
        for part, inner in side.slopes.items():
            slopes[part] = slopes.get(part, 0.0) + (slope or 0.0) * inner
    return _Point(value, slopes)


def shares(
    parts: Sequence[Part | None],
    of: Mapping[str, Sequence[Part | None]],
    sensitivities: Mapping[Primitive, tuple[int, int]],
    law: Law,
    guesses: Guesses,
    weights: Mapping[str, float] | None,
) -> tuple[tuple[Fraction, ...], str]:
    """Return the share of the budget of each part, and how it was found, in words.

    With weights: by weight over outputs, equally over what each is computed from. With a guess of
    every output, where all are sums with noise: the split that minimises the expected relative squared
    error under it. Otherwise equally over outputs.

    Args:
        parts: Everything that is charged; None is the selection of groups.
        of: What each output is made of; the selection of groups counts as an output.
        sensitivities: L1 and squared L2 sensitivity of each primitive.
        law: The noise law.
        guesses: The user's guesses.
        weights: The user's weights.
    """
    given = _numbers("weights", weights)
    for name, value in given.items():
        if name not in of:
            raise _unknown("weights", name, list(of))
        if value <= 0:
            raise InvalidInput(f"the weight of {name!r} must be above 0, got {value!r}.", remedy="Give it a weight.")
    linear = [part for part in parts if isinstance(part, Primitive)]
    if not given and len(linear) == len(parts):
        gains = _gains(linear, [item for item in guesses.outputs if item.expression is not None], guesses)
        if gains is not None:
            found = optimal(law, [sensitivities[part] for part in linear], gains)
            return found, "the split that minimises the relative error under the guess"
    raw = dict.fromkeys(parts, Fraction(0))
    for name, used in of.items():
        for part in used:
            raw[part] += Fraction(given.get(name, 1.0)) / len(used)
    return normalised(list(raw.values())), "by the weights given" if given else "equally over the outputs"


def _gains(parts: Sequence[Primitive], outputs: Sequence[Output], guesses: Guesses) -> list[float] | None:
    gains = dict.fromkeys(parts, 0.0)
    for item in outputs:
        slopes, guess = guesses.slopes(item), guesses.guess(item)
        if slopes is None or guess is None:
            return None
        for part, slope in slopes.items():
            gains[part] += (slope / guess) * (slope / guess)  # not **: a product may be infinite, a power raises
    found = list(gains.values())
    return found if any(found) and all(map(math.isfinite, found)) else None


def forecasts(
    noises: Mapping[Primitive, Scatter], guesses: Guesses, ranks: Mapping[Aggregate, float | None]
) -> tuple[Forecast, ...]:
    """Return the expected error of each output column under the guesses."""
    found = []
    for item in guesses.outputs:
        if item.expression is None:
            continue
        slopes, guess = guesses.slopes(item), guesses.guess(item)
        error = half = None
        if isinstance(item.expression, Aggregate) and item.expression in ranks:
            found.append(Forecast(item.name, None, None, guess, None, ranks[item.expression]))
            continue
        if slopes is not None:
            error = _known(math.hypot(*(slope * noises[part].std() for part, slope in slopes.items())))
            half = _known(_half_width(slopes, noises))
        relative = None if error is None or guess is None else _known(error / abs(guess))
        found.append(Forecast(item.name, error, half, guess, relative))
    return tuple(found)


def _known(value: float) -> float | None:
    """Return a forecast, or None where guesses far from each other leave no finite one."""
    return value if math.isfinite(value) else None


def _half_width(slopes: Mapping[Primitive, float], noises: Mapping[Primitive, Scatter]) -> float:
    """Return the half width to be expected: exact for one primitive, else by quadrature."""
    return math.hypot(*(slope * noises[part].half_width(LEVEL) for part, slope in slopes.items()))


def _guessable(outputs: tuple[Output, ...]) -> list[Aggregate]:
    """Return the aggregates a guess may name: those of the query, and the counts they need."""
    found = [one for item in outputs if item.expression is not None for one in nodes.aggregates(item.expression)]
    counts = [Aggregate("COUNT", item.arguments) for item in found if item.function in ("AVG", *SPREAD)]
    return [*found, *counts, Aggregate("COUNT")]


def _numbers(label: str, given: Mapping[str, float] | None) -> dict[str, float]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{label} must map output columns to numbers, got {given!r}.")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or (value != value) or abs(value) == math.inf:
            raise InvalidInput(
                f"the {label} of {name!r} must be a finite number, got {value!r}.",
                remedy="Leave it out, or give a number.",
            )
        if value and not SMALLEST <= abs(value) <= LARGEST:
            raise InvalidInput(
                f"the {label} of {name!r} must lie between {SMALLEST:g} and {LARGEST:g} in size.",
                remedy="Leave it out, or give a number in that range.",
            )
    return {str(name): float(value) for name, value in given.items()}


def _unknown(label: str, name: str, known: list[str]) -> InvalidInput:
    return InvalidInput(
        f"{label} names {name!r}, which is no output of this query.", remedy=f"Use: {', '.join(dict.fromkeys(known))}."
    )
