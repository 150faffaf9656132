"""Frames: the columns that a query reads, as an Arrow table, whatever the cells hold.

pandas keeps texts, and whatever else stands beside a missing value, as Python objects. Those are
read cell by cell, so that no cell fails the query or changes how another is read.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from discreet.domains import Domain

if TYPE_CHECKING:
    import pyarrow


def arrow(source: Any, kind: str, names: Iterable[str], domain: Domain) -> pyarrow.Table:
    """Return the columns that `names` need; of two of a name the first, as in SQL names ignore case.

    Args:
        source: The frame.
        kind: arrow, pandas or polars.
        names: Declared columns.
        domain: Their declarations.
    """
    import pyarrow as pa

    labels = [str(label).lower() for label in (source.column_names if kind == "arrow" else source.columns)]
    found: dict[str, Any] = {}
    for name in names:
        if name.lower() not in labels:
            continue  # the engine fails on it: that a name is missing is no private fact
        place = labels.index(name.lower())
        if kind == "arrow":
            column = source.column(place)
        elif kind == "polars":
            column = source.to_series(place).to_arrow()
        else:
            column = _column(source.iloc[:, place], number=domain[name].type in ("integer", "float"))
        found[name] = _taken(column)
    return pa.table(found or {"one": pa.nulls(len(source))})


def _taken(column: Any) -> Any:
    """Return a column as a type that engines take; where there is none, it is NULL, as any cell that cannot be read."""
    import pyarrow as pa

    if pa.types.is_float16(column.type):
        return column.cast(pa.float32())
    if pa.types.is_decimal256(column.type):
        return column.cast(pa.string())
    return column if _known(column.type) else pa.nulls(len(column))


def _known(kind: Any) -> bool:
    """Return whether engines take a type, with all that is nested in it."""
    import pyarrow as pa

    if pa.types.is_float16(kind) or pa.types.is_decimal256(kind) or pa.types.is_union(kind):
        return False
    inner = [kind.value_type] if pa.types.is_dictionary(kind) else [kind.field(i).type for i in range(kind.num_fields)]
    return all(map(_known, inner))


def _column(series: Any, *, number: bool) -> pyarrow.Array:
    """Return a pandas column: typed if it is, else as text; what cannot be read is NULL."""
    import pyarrow as pa
    from pandas.api.types import infer_dtype

    try:
        if str(series.dtype) != "object":
            return pa.array(series, from_pandas=True)
        if infer_dtype(series, skipna=True) in ("string", "empty"):  # all that is there is text, for both ways alike
            return pa.array(series, type=pa.string(), from_pandas=True)
    except Exception:  # noqa: BLE001, S110 - one by one, then
        pass
    return pa.array([_text(cell, number=number) for cell in series.astype(object)], type=pa.string())


def _text(cell: Any, *, number: bool) -> str | None:
    """Return one cell as text, as a typed column would print it; None for what has no such text.

    By the type alone: a method of an unknown type might raise, or not return.
    """
    import numpy as np
    import pandas as pd

    kind = type(cell)
    try:
        if issubclass(kind, str):
            text = str.__str__(cell)
            text.encode()  # a half of a surrogate pair is no text
            return text
        if issubclass(kind, bytes):
            return bytes.decode(cell)
        if kind in (bool, np.bool_):
            return str(int(cell)) if number else str(bool(cell)).lower()
        if kind is int or issubclass(kind, np.integer):
            return str(int(cell))
        if kind is float or issubclass(kind, np.floating):
            return _number(float(cell))
        if kind is Decimal:
            return None if cell.is_nan() else str(cell)
        if kind in (datetime.datetime, pd.Timestamp) and cell.tzinfo is not None:  # an instant, as DuckDB prints it
            return f"{cell.astimezone(datetime.UTC).replace(tzinfo=None)}+00"
        if kind in (datetime.date, datetime.datetime, pd.Timestamp):
            return str(cell)
        if kind is np.datetime64:
            return str(pd.Timestamp(cell))
    except Exception:  # noqa: BLE001 - unreadable is NULL
        return None
    return None


def _number(value: float) -> str | None:
    if math.isnan(value):
        return None
    return str(int(value)) if value.is_integer() else repr(value)
