"""Columns without a type: each cell is read by itself, and nothing that stands in one makes the reading fail."""

from __future__ import annotations

import datetime
import math
import uuid
from decimal import Decimal

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch

from discreet.domains import Domain
from discreet.train.tables.cells import Cells
from discreet.train.tables.features import Features


class Silent:
    def __str__(self):
        raise RuntimeError


class Alike:
    """What cannot be compared, nor looked up."""

    __hash__ = None

    def __eq__(self, other):
        raise RuntimeError


class Text(str):
    """Text that cannot be looked up."""

    __slots__ = ()
    __hash__ = None


class Sly(type):
    """A type that says it is any other."""

    def __eq__(cls, other):
        return True

    def __hash__(cls):
        return hash(int)


class Feigned(metaclass=Sly):
    __hash__ = None
    __module__, __qualname__ = "pandas", "Timestamp"

    def __str__(self):
        return Text("A")


class Zone(datetime.tzinfo):
    def utcoffset(self, _):
        raise RuntimeError


def endless():
    found = []
    found.append(found)
    return found


ODD = [
    "x", "", "\ud800", b"\xff", b"3", 2**70, -(2**70), 10**5000, 2.5, 1e300, math.nan, True, 1j, None, pandas.NA, pandas.NaT,
    Decimal("sNaN"), Decimal("1e400"), Decimal("1e999999999999"), Decimal("2.50"), Decimal("-Infinity"), "9" * 5000,
    object(), Silent(), Alike(), Text("A"), [1], {"q": 1}, {1}, (1,), endless(), np.ones(1), np.ones(2), Silent, print,
    np.datetime64("2024"), np.datetime64("NaT"), np.datetime64(2**62, "s"), np.timedelta64(5), np.float16(1), np.str_("A"),
    datetime.date.min, datetime.datetime.max.replace(tzinfo=datetime.timezone.min), datetime.time(1),
    datetime.datetime(2024, 1, 1, tzinfo=Zone()), datetime.timedelta(9e8), pandas.Timestamp("2024-01-02", tz="Asia/Tokyo"),
    uuid.UUID(int=1), memoryview(b"1"), pyarrow.scalar(1), torch.ones(1), ValueError(), range(3), Feigned(),
]  # fmt: skip
DAYS = (datetime.date(2024, 1, 1), datetime.date(2024, 1, 3))
MORNING = datetime.datetime(2024, 1, 2, 9)  # noqa: DTZ001 - of no zone
MOMENT = pandas.Timestamp("2024-01-01 23:30", tz="UTC").tz_convert("Europe/Berlin")
PLAIN = [
    (["A", "B"], ["A", "B", None], [[1, 0], [0, 1], [0, 0]]),
    (["true", None], [True, False, None], [[1, 0], [0, 0], [0, 1]]),
    ("boolean", [True, False, None], [[0, 1], [1, 0], [0, 0]]),
    ([1, 2], [1.0, 2.0, np.int8(1)], [[1, 0], [0, 1], [1, 0]]),
    (["1", "2"], [1, np.float32(2), b"1"], [[1, 0], [0, 1], [1, 0]]),
    ([2**53 + 1], [2**53 + 1, 2**53, None], [[1], [0], [0]]),
    (["A", "B"], [b"A", b"B", None], [[1, 0], [0, 1], [0, 0]]),
    (["2.5", "00000000-0000-0000-0000-000000000001"], [Decimal("2.5"), uuid.UUID(int=1), 2.5], [[1, 0], [0, 1], [1, 0]]),
    ((0, 10), [5, 10.0, None, Decimal(5), "5", np.bool_(1)], [[0, 0], [1, 0], [0, 1], [0, 0], [0, 0], [-0.8, 0]]),
    ((0, 10), [2**70, -math.inf, 10**400, Decimal("1e40")], [[1, 0], [0, 1], [0, 1], [1, 0]]),
    (DAYS, [MORNING, MORNING.date(), "2024-01-03", MOMENT], [[0, 0], [0, 0], [1, 0], [-1, 0]]),
    (DAYS, [np.datetime64("2024-01-03T04", "ns"), np.datetime64(2**62, "s")], [[1, 0], [0, 1]]),
    ([*DAYS], [MOMENT.to_pydatetime(), pandas.Timestamp("2024-01-03"), pandas.NaT], [[1, 0], [0, 1], [0, 0]]),
    (["2024-01-01 23:30:00+00:00"], [MOMENT, MOMENT.to_pydatetime()], [[1], [1]]),
]  # fmt: skip


def untyped(kind, cells):
    """Return cells as a column that has no type."""
    if kind == "polars":
        return polars.DataFrame({"x": polars.Series(cells, dtype=polars.Object)})
    return pandas.DataFrame({"x": pandas.Series(cells, dtype=object)})


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize(("declared", "cells", "wanted"), PLAIN)
def test_no_cell_of_a_column_without_a_type_changes_how_another_is_read(kind, declared, cells, wanted):
    features = Features(Domain(x=declared), frozenset())
    for odd in ([], *([one] for one in ODD), ODD):
        rows = untyped(kind, [*cells, *odd])
        found = Cells(rows, features, None, None).take(slice(None))[0][: len(cells)].tolist()
        assert found == [pytest.approx(row) for row in wanted]


@pytest.mark.parametrize(
    "odd",
    [
        "\ud800",
        b"\xff",
        Decimal("1e999999999999"),
        pandas.NA,
        pandas.NaT,
        np.datetime64("NaT"),
        [1],
        {"q": 1},
        endless(),
        np.ones(1),
        object(),
        Silent(),
        Alike(),
        Feigned(),
        Silent,
        datetime.datetime(2024, 1, 1, tzinfo=Zone()),
    ],
    ids=lambda odd: type(odd).__name__,
)
def test_what_cannot_be_read_is_null(odd):
    for declared in (["A", None], [3, None], [DAYS[0], None], (0, 10), DAYS):
        features = Features(Domain(x=declared), frozenset())
        assert Cells(untyped("pandas", [odd]), features, None, None).take(slice(None))[0].tolist() == [[0, 1]]


def test_categories_of_several_types_are_read_one_by_one():
    cells = pandas.Series([1, "A", "\ud800", 1, None], dtype=object).astype("category")
    rows = pandas.DataFrame({"x": cells})
    found = Cells(rows, Features(Domain(x=["1", "A"]), frozenset()), None, None).take(slice(None))[0]
    assert found.tolist() == [[1, 0], [0, 1], [0, 0], [1, 0], [0, 0]]


def test_half_a_surrogate_pair_in_a_column_of_text_fails_nothing():
    rows = pandas.DataFrame({"x": pandas.Series(["A", "\ud800", None], dtype="string[python]")})
    found = Cells(rows, Features(Domain(x=["A", None]), frozenset()), None, None).take(slice(None))[0]
    assert found.tolist() == [[1, 0], [0, 1], [0, 1]]


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_whose_a_row_is_is_read_one_by_one(kind):
    """A person has one number however it is written; what cannot be read is nobody's."""
    own = [
        1,
        "1",
        1.0,
        b"1",
        Decimal("1.0"),
        np.int64(1),
        2.5,
        Decimal("2.50"),
        "b",
        "b",
        2**70,
        str(2**70),
        True,
        "true",
    ]
    features = Features(Domain(y=(0, 9)), frozenset())

    def people(cells):
        rows = untyped(kind, cells)
        other = [1] * len(cells)
        rows = rows.assign(y=other) if kind == "pandas" else rows.with_columns(y=polars.Series(other))
        return Cells(rows, features, None, "x").column("x").to_pylist()

    wanted = [0] * 6 + [1] * 2 + [2] * 2 + [3] * 2 + [4] * 2
    assert people(own) == wanted
    for odd in ODD:
        assert people([*own, odd])[:-1] == wanted
    assert people([*own, *ODD])[: len(own)] == wanted
    assert people(["\ud800", None, math.nan, [1], Silent(), Alike(), pandas.NA, pandas.NaT]) == [None] * 8
