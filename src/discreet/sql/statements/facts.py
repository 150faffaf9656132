"""What is public about a value of a row: its type, the range it is clamped to, the groups it can name.

Worked out from the declared domain by interval arithmetic in whole grid steps, exactly; no row is
looked at.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from discreet.domains import MAX_STEPS, Column, Key, Type
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.sql.statements.rows import (
    Away,
    Case,
    Clamp,
    Compute,
    Const,
    DatePart,
    DateTrunc,
    Floor,
    IsNull,
    Not,
    Ref,
    Row,
    Scale,
    Unit,
)

LEAST_STEP, LARGEST_STEP = Fraction(1, 10**100), Fraction(10**100)  # of a reckoned value; squares stay floats
MOST_TO_SQUARE = 2**20  # steps between the bounds of a value whose squares are within MAX_STEPS
MAX_RANGE = 100_000  # the longest list of groups that is worked out from a range
EPOCH = datetime.date(1970, 1, 1)
CYCLES: dict[str, tuple[int, int]] = {"quarter": (1, 4), "month": (1, 12), "day": (1, 31), "dow": (0, 6)}


@dataclass(frozen=True, slots=True)
class Facts:
    """Public facts of a value.

    Args:
        type: integer, float, text, boolean or date.
        low, high: The range of the value, in steps (of a date: days since 1970); None: not known.
        step: What one step is worth; None: the value is not on a grid yet.
        keys: The groups it can name, if that is known.
        stepped: Whether the engine holds it in steps already, because it was worked out below.
    """

    type: Type
    low: int | None = None
    high: int | None = None
    step: Fraction | None = None
    keys: tuple[Key, ...] | None = None
    stepped: bool = False

    @classmethod
    def of(cls, name: str, column: Column) -> Facts:
        """Return the facts of a declared column."""
        keys = column.keys
        if column.type == "boolean" and keys is None:
            keys = (False, True)
        if column.low is None or column.high is None:
            return cls(column.type, keys=keys)
        if isinstance(column.low, datetime.date) and isinstance(column.high, datetime.date):
            return cls(column.type, (column.low - EPOCH).days, (column.high - EPOCH).days, Fraction(1), keys)
        low, high, step = grid(name, column)
        return cls(column.type, low, high, step, keys)

    @property
    def bounded(self) -> bool:
        """Whether this is a number that can be summed."""
        return self.type in ("integer", "float") and self.low is not None

    @property
    def range(self) -> tuple[int, int, Fraction]:
        """The range in steps, and the step, of a bounded number."""
        assert self.low is not None
        assert self.high is not None
        assert self.step is not None
        return self.low, self.high, self.step


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


def facts(row: Row, columns: Mapping[Ref, Facts]) -> Facts:
    """Return the public facts of a value.

    Args:
        row: The value.
        columns: The facts of the columns it may read.

    Raises:
        UnsupportedQuery: it needs bounds that nobody declared, or numbers beyond 2**40 steps.
    """
    if isinstance(row, Ref):
        return columns[row]
    if isinstance(row, Const):
        return _const(row)
    if isinstance(row, Case):
        return _case(row, columns)
    if isinstance(row, DatePart | DateTrunc):
        return _date(row, facts(row.value, columns))
    if isinstance(row, Clamp):
        return _clamp(row, facts(row.value, columns))
    if isinstance(row, Compute):
        return _compute(row, number(row.left, columns), number(row.right, columns))
    low, high, step = number(row.value, columns).range
    if isinstance(row, Scale):
        times = scale(row)
        low, high, step = (low, high, step * times) if times > 0 else (-high, -low, step * -times)
        return _checked(row, "integer" if step.denominator == 1 else "float", low, high, step)
    if isinstance(row, Away):
        middle = (low + high) // 2
        return Facts("integer" if step.denominator == 1 else "float", low - middle, high - middle, step)
    assert isinstance(row, Floor)
    if max(step.numerator, step.denominator) >= 2**62:
        raise _out_of_range(row, step)
    return _checked(row, "integer", math.floor(low * step), math.floor(high * step), Fraction(1))


def number(row: Row, columns: Mapping[Ref, Facts]) -> Facts:
    """Return the facts of a value that has to be a bounded number.

    Raises:
        UnsupportedQuery: it is none.
    """
    found = facts(row, columns)
    if found.bounded:
        return written(row, found)
    if found.type not in ("integer", "float"):
        raise UnsupportedQuery(
            f"{row} is declared as {found.type}, which cannot be reckoned with.",
            remedy="Name a column of numbers, or count: COUNT(column), COUNT_IF(condition). Of a truth value, "
            "CAST(x AS INTEGER) is 1 or 0.",
        )
    raise UnsupportedQuery(
        f"{row} needs public bounds, and there are none.",
        remedy=f"Declare low and high of the column, or write LEAST(GREATEST({row}, 0), 100) with bounds of yours.",
    )


def written(row: Row, found: Facts) -> Facts:
    """Return the facts of a value that an engine works out, within what its integers hold.

    A declared column is, and whatever is reckoned was checked; a number written out may be of any size, which does
    no harm in a comparison.

    Raises:
        UnsupportedQuery: it is beyond 2**40 steps.
    """
    if isinstance(row, Const) and found.type in ("integer", "float"):
        _checked(row, found.type, *found.range)
    return found


def keys(row: Row, columns: Mapping[Ref, Facts]) -> tuple[Key, ...] | None:
    """Return the groups that a GROUP BY on this value answers for; None if they are not known."""
    found = facts(row, columns)
    stored = isinstance(row, Ref) and not found.stepped  # its bounds say where to clamp, not which values there are
    if found.keys is not None or stored or found.low is None or found.high is None:
        return found.keys
    if found.type == "integer" and found.step is not None and found.step.denominator == 1:
        size = int(found.step)
        if found.high - found.low < MAX_RANGE:
            return tuple(step * size for step in range(found.low, found.high + 1))
    return None


def exact(const: Const) -> Fraction:
    """Return a numeric literal as a fraction."""
    assert isinstance(const.value, int | Decimal)
    return Fraction(const.value)


def scale(row: Scale) -> Fraction:
    """Return what a value is multiplied by."""
    return exact(row.by) if row.operator == "*" else 1 / exact(row.by)


def _const(row: Const) -> Facts:
    value = row.value
    if isinstance(value, bool):
        return Facts("boolean", keys=(value,))
    if isinstance(value, str):
        return Facts("text", keys=(value,))
    if isinstance(value, datetime.date):
        return Facts("date", (value - EPOCH).days, (value - EPOCH).days, Fraction(1), (value,))
    number_ = exact(row)
    if number_.denominator == 1:
        return Facts("integer", int(number_), int(number_), Fraction(1), (int(number_),))
    return Facts("float", number_.numerator, number_.numerator, Fraction(1, number_.denominator))


def _compute(row: Compute, left: Facts, right: Facts) -> Facts:
    (a, b, first), (c, d, second) = left.range, right.range
    if row.operator == "*":
        corners = [a * c, a * d, b * c, b * d]
        low, high, step = min(corners), max(corners), first * second
        if row.left == row.right:  # a square is not negative
            low = 0 if a <= 0 <= b else min(a * a, b * b)
    else:
        step = common((first, second))
        m, n = int(first / step), int(second / step)
        _checked(row, "float", min(a * m, c * n), max(b * m, d * n), step)  # the sides, before they cancel out
        low, high = (a * m + c * n, b * m + d * n) if row.operator == "+" else (a * m - d * n, b * m - c * n)
    return _checked(row, "integer" if step.denominator == 1 else "float", low, high, step)


def common(steps: Iterable[Fraction]) -> Fraction:
    """Return the largest step of which all are multiples."""
    found = list(steps)
    denominator = math.lcm(*(step.denominator for step in found))
    return Fraction(math.gcd(*(int(step * denominator) for step in found)), denominator)


def _case(row: Case, columns: Mapping[Ref, Facts]) -> Facts:
    parts = [facts(then, columns) for _, then in row.branches]
    parts += [facts(row.default, columns)] if row.default is not None else []
    kinds = {"number" if part.type in ("integer", "float") else part.type for part in parts}
    if len(kinds) != 1:
        raise UnsupportedQuery(
            f"the branches of {row} are of different types.", remedy="Let all of them be numbers, or all of one type."
        )
    known: tuple[Key, ...] | None = None
    if all(part.keys is not None for part in parts):
        there = [when == Not(IsNull(then)) for when, then in row.branches]  # COALESCE: NULL is not among these
        found: dict[Key, None] = {}
        for part, readable in zip(parts, [*there, False], strict=False):
            found |= dict.fromkeys(key for key in part.keys or () if key is not None or not readable)
        known = tuple(found) if row.default is not None or None in found else (*found, None)
    if kinds != {"number"}:
        return Facts(parts[0].type, keys=known)
    for part, value in zip(parts, [*(then for _, then in row.branches), row.default], strict=False):
        if len(parts) == 1 and isinstance(value, Ref) and part.step is None:
            return Facts(part.type, keys=known)  # a column as it is stored, or NULL: nothing is reckoned
        if not part.bounded:
            assert value is not None
            number(value, columns)
    step = common(part.range[2] for part in parts)
    low = min(int(part.range[0] * part.range[2] / step) for part in parts)
    high = max(int(part.range[1] * part.range[2] / step) for part in parts)
    return _checked(row, "integer" if step.denominator == 1 else "float", low, high, step, known)


def _clamp(row: Clamp, value: Facts) -> Facts:
    low, high = exact(row.low), exact(row.high)
    if value.type not in ("integer", "float"):
        raise UnsupportedQuery(
            f"{row.value} is declared as {value.type}: LEAST and GREATEST take numbers here.",
            remedy="Name a column of numbers.",
        )
    if low >= high:
        raise InvalidInput(
            f"the bounds of {row} leave nothing: {row.low} is not below {row.high}.",
            remedy="Write LEAST(GREATEST(x, 0), 100): the lower bound stands inside.",
        )
    step = value.step
    if step is None:
        column = Column(value.type, low=_plain(low), high=_plain(high))
        assert column.resolution is not None
        step = column.resolution
    kind = value.type
    if value.step is not None:
        step = _clamping(row, value, value.step)
        kind = "float" if step.denominator > 1 else kind
        value = _finer(row, value, int(value.step / step))
    bottom, top = _steps(low, step), _steps(high, step)
    if value.low is not None and value.high is not None:
        bottom, top = min(max(value.low, bottom), top), max(min(value.high, top), bottom)
    return _checked(row, kind, bottom, top, step)


def _clamping(row: Clamp, value: Facts, step: Fraction) -> Fraction:
    """Return the step in which a value is clamped: one of which its bounds are multiples, as they are written.

    A float is rounded to its own step, and so are its bounds where the other one would be too fine, also for squares.
    """
    low, high = exact(row.low), exact(row.high)
    finer = common((step, *(abs(end) for end in (low, high) if end)))
    most, times = 2**31 - 1, step / finer
    if value.low is not None and value.high is not None:
        most = MAX_STEPS // max(1, abs(value.low), abs(value.high))
        low, high = max(low, value.low * step), min(high, value.high * step)
    return step if value.type == "float" and (high - low > MOST_TO_SQUARE * finer or times > most) else finer


def _finer(row: Row, value: Facts, times: int) -> Facts:
    """Return the facts of a value in steps that are so many times finer, within what an engine's integers hold."""
    if value.low is None or value.high is None:
        if times >= 2**31:  # a person's total: 2**88 of its own steps
            raise _out_of_range(row, Fraction(1, times))
        return value
    return _checked(row, value.type, value.low * times, value.high * times, (value.step or 1) / Fraction(times))


def _plain(value: Fraction) -> float:
    return int(value) if value.denominator == 1 else float(value)


def _steps(value: Fraction, step: Fraction) -> int:
    ratio = value / step
    return math.floor(abs(ratio) + Fraction(1, 2)) * (1 if ratio >= 0 else -1)


def _date(row: DatePart | DateTrunc, value: Facts) -> Facts:
    if value.type != "date":
        raise UnsupportedQuery(
            f"{row.value} is declared as {value.type}; {row} takes a date.", remedy="Declare the column as date."
        )
    if isinstance(row, DatePart) and row.part in CYCLES:
        low, high = CYCLES[row.part]
        return Facts("integer", low, high, Fraction(1))
    if value.low is None or value.high is None:
        if isinstance(row, DateTrunc):
            return Facts("date")
        return Facts("integer", step=Fraction(1))
    first, last = EPOCH + datetime.timedelta(value.low), EPOCH + datetime.timedelta(value.high)
    if isinstance(row, DatePart):
        return Facts("integer", first.year, last.year, Fraction(1))
    known: list[Key] = []
    at = truncated(first, row.unit)
    while at <= last:
        if len(known) >= MAX_RANGE:
            return Facts("date")
        known.append(at)
        at = following(at, row.unit)
    return Facts("date", (truncated(first, row.unit) - EPOCH).days, value.high, Fraction(1), tuple(known))


def truncated(day: datetime.date, unit: Unit) -> datetime.date:
    """Return the first day of the period that a day is in."""
    if unit == "week":
        return day - datetime.timedelta(day.weekday())
    if unit == "day":
        return day
    month = {"year": 1, "quarter": day.month - (day.month - 1) % 3, "month": day.month}[unit]
    return day.replace(month=month, day=1)


def following(day: datetime.date, unit: Unit) -> datetime.date:
    """Return the first day of the period after the one that starts on a day."""
    if unit in ("week", "day"):
        return day + datetime.timedelta(7 if unit == "week" else 1)
    months = day.month - 1 + {"year": 12, "quarter": 3, "month": 1}[unit]
    return day.replace(year=day.year + months // 12, month=months % 12 + 1)


def _checked(row: Row, kind: Type, low: int, high: int, step: Fraction, known: tuple[Key, ...] | None = None) -> Facts:
    if not LEAST_STEP <= step <= LARGEST_STEP:
        raise _out_of_range(row, step)
    if max(abs(low), abs(high)) > MAX_STEPS:
        raise UnsupportedQuery(
            f"{row} needs whole numbers beyond 2**40 in steps of {float(step):.3g}.",
            remedy="Declare tighter bounds or a coarser resolution of its columns.",
        )
    return Facts(kind, low, high, step, known)


def _out_of_range(row: Row, step: Fraction) -> UnsupportedQuery:
    size = "large" if step > 1 else "small"
    return UnsupportedQuery(
        f"{row} is reckoned in steps that are too {size}.", remedy="Express its columns in other units."
    )
