"""Cells: a table's declared columns, read once and kept small. Whatever a cell holds, it is read as something.

A value that cannot be read as its column is declared counts as NULL: no row makes the reading fail.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow
import torch
from pyarrow import parquet

from discreet.errors import InvalidInput
from discreet.train.rows import numbered
from discreet.train.tables.features import EPOCH, Array, Choice, Feature, Features, Number, readable
from discreet.train.tables.objects import people, plain

Read: TypeAlias = pyarrow.Array | list[object]  # a column that has a type, or cells that have one each


class Cells:
    """Rows as features and target; for a training run it stands where an Arrow table would.

    Nothing is read before the first row is asked for, which is after the charge.

    Args:
        source: An Arrow, pandas or polars table, or the path of a Parquet file.
        features: What is read.
        target: What is predicted; None where it is not known.
        person: The column that says who a row is of.

    Raises:
        InvalidInput: the source is no table, or lacks columns; their names are all that is looked at.
    """

    __slots__ = ("_features", "_held", "_person", "_source", "_target")

    def __init__(self, source: Any, features: Features, target: Feature | None, person: str | None) -> None:
        self._source, self._features, self._target, self._person = source, features, target, person
        self._held: tuple[int, Array, Array, Array | None, Array | None] | None = None
        del source  # this frame is in the traceback of a refusal, which may show what its names hold
        self._check([*features.columns, *(one for one in (target and target.name, person) if one)])

    def __repr__(self) -> str:
        return "Cells(hidden)"

    def _check(self, wanted: list[str]) -> None:
        found = _names(self._source)
        if found is None:
            path = isinstance(self._source, Path)
            what = f"{self._source} cannot be read as Parquet" if path else f"got {type(self._source).__name__}"
            raise InvalidInput(
                f"training needs a table: {what}.",
                remedy="Give an Arrow, pandas or polars table, or the path of a Parquet file.",
            )
        known = {name.lower() for name in found}
        missing = [name for name in wanted if name.lower() not in known]
        if missing:
            raise InvalidInput(
                f"the table has no column {missing[0]!r}, which is declared ({len(missing)} missing in all).",
                remedy="Correct the source, or declare only what it has.",
            )

    def _read(self) -> tuple[int, Array, Array, Array | None, Array | None]:
        if self._held is None:
            table, features, target = _opened(self._source), self._features, self._target
            rows = table.rows
            numbers = np.empty((rows, len(features.numbers)), np.float32)
            for place, one in enumerate(features.numbers):
                numbers[:, place] = _coded(table, one)
            codes = np.empty((rows, len(features.choices)), np.int32)
            for place, choice in enumerate(features.choices):
                codes[:, place] = _coded(table, choice)
            wanted = None if target is None else _coded(table, target)
            whose = None if self._person is None else _people(table.column(self._person))
            self._held = (rows, numbers, codes, wanted, whose)
        return self._held

    # ---------------------------------------------------------- what a training run asks of an Arrow table

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self._read()[0]

    def to_batches(self) -> list[Any]:
        """Mark this as a table; rows are taken by number."""
        raise NotImplementedError

    def column(self, name: str) -> pyarrow.Array:
        """Return whose each row is, as numbers: equal where the column is."""
        whose = self._read()[4]
        assert name == self._person
        assert whose is not None
        return pyarrow.array(whose, mask=whose < 0)

    def take(self, numbers: Array | slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features and target of some rows."""
        _, values, codes, wanted, _ = self._read()
        found = self._features.expanded(values[numbers], codes[numbers])
        if wanted is None:
            return found, torch.empty(0)
        return found, torch.from_numpy(wanted[numbers])


def _names(source: Any) -> list[str] | None:
    """Return the names of a source's columns; None if they cannot be told."""
    if isinstance(source, Path):
        try:
            return [str(name) for name in parquet.read_schema(source).names]
        except (OSError, pyarrow.ArrowInvalid):  # the reader's message may show what the file holds
            return None
    if hasattr(source, "column_names"):
        return list(source.column_names)
    if hasattr(source, "columns") and (hasattr(source, "iloc") or hasattr(source, "to_series")):
        return [str(name) for name in source.columns]
    return None


class _Opened:
    """A source whose columns are had by name; of two of a name the first, and case does not count."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._places: dict[str, int] = {}
        for place, name in enumerate(_names(source) or []):
            self._places.setdefault(name.lower(), place)
        self.rows: int = len(source)

    def column(self, name: str) -> Read:
        place = self._places[name.lower()]
        if hasattr(self._source, "column_names"):
            found = self._source.column(place)
        elif hasattr(self._source, "iloc"):
            found = _from_pandas(self._source.iloc[:, place])
        else:
            found = _from_polars(self._source.to_series(place))
        if isinstance(found, list):
            return found
        found = found.combine_chunks() if isinstance(found, pyarrow.ChunkedArray) else found
        found = found.dictionary_decode() if pyarrow.types.is_dictionary(found.type) else found
        if pyarrow.types.is_timestamp(found.type) and found.type.tz is not None:  # days are those of UTC
            found = found.cast(pyarrow.timestamp(found.type.unit, "UTC"))
        return found.cast(pyarrow.string()) if pyarrow.types.is_string_view(found.type) else found


def _opened(source: Any) -> _Opened:
    return _Opened(parquet.read_table(source) if isinstance(source, Path) else source)


def _from_pandas(series: Any) -> Any:
    """Return a typed column as Arrow; cells of one without a type, for what type Arrow gave it would depend on all."""
    held = getattr(series.dtype, "categories", series)
    if str(held.dtype) != "object":
        try:
            return pyarrow.array(series, from_pandas=True)
        except Exception:  # noqa: BLE001, S110 - one by one, then: they are of one type, and read as before
            pass
    return list(series)


def _from_polars(series: Any) -> Any:
    return series.to_list() if str(series.dtype) == "Object" else series.to_arrow()


def _people(column: Read) -> Array:
    return people(column) if isinstance(column, list) else numbered(column)


def _coded(table: _Opened, one: Feature) -> Array:
    """Return a column as the model takes it: scaled numbers, or codes of the keys."""
    found = table.column(one.name)
    return one.scaled(_floats(found, one)) if isinstance(one, Number) else _codes(found, one)


def _floats(column: Read, one: Number) -> Array:
    if one.kind == "date":
        return _by_value(column, np.float64, np.nan, _days)
    if isinstance(column, list):
        return _by_value(column, np.float64, np.nan, _float)
    kinds = pyarrow.types
    kind = column.type
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind) or kinds.is_boolean(kind):
        plain = column.cast(pyarrow.int8()) if kinds.is_boolean(kind) else column
        return np.asarray(plain.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    return _by_value(column, np.float64, np.nan, _float)


def _codes(column: Read, one: Choice) -> Array:
    code = one.coder()
    return _by_value(column, np.int64, code(None), code)


def _by_value(column: Read, kind: Any, null: Any, read: Any) -> Array:
    """Return what `read` makes of each value; of a typed column it is called once for each that there is."""
    if isinstance(column, list):
        return np.array([read(plain(cell)) for cell in column], kind)
    try:
        found = column.dictionary_encode()
    except pyarrow.ArrowException:  # lists and structs: no such value can be read
        return np.full(len(column), null, kind)
    values = np.array([*(read(_python(value)) for value in found.dictionary), null], kind)
    places = found.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(values[places])


def _python(value: pyarrow.Scalar) -> object:
    try:
        return value.as_py()
    except Exception:  # noqa: BLE001 - bytes that are no text, a day after the year 9999
        return None


def _float(value: Any) -> float:
    try:
        return float(value)
    except Exception:  # noqa: BLE001 - it cannot be read as a number
        return float("nan")


def _days(value: Any) -> float:
    read: Any = readable(value, "date")
    return float("nan") if read is None else float(read.toordinal() - EPOCH)
