"""Vectors of whole numbers, as mechanisms take them: checked by type, which is public, never by value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from discreet.errors import InvalidInput

Integers = Sequence[int] | NDArray[np.int64] | NDArray[np.object_]


def integer_vector(values: Integers) -> NDArray[np.int64] | NDArray[np.object_]:
    """Return a vector: int64 if given as int64, otherwise Python integers of any size.

    The type of the result does not depend on how large the values are.

    Raises:
        InvalidInput: not one axis, or not of whole numbers.
    """
    if isinstance(values, np.ndarray):
        if values.ndim == 1 and values.dtype == np.int64:
            return values
        if values.ndim != 1 or values.dtype != np.object_:
            raise InvalidInput(
                f"a vector of int64 or of Python integers is needed, got {values.ndim} axes of {values.dtype}."
            )
    vector = np.empty(len(values), dtype=np.object_)
    vector[:] = values
    if not all(type(value) is int for value in vector):
        raise InvalidInput("values must be whole numbers.", remedy="Round to an integer grid first.")
    return vector


def clipped_vector(values: Integers, least: int, most: int) -> NDArray[np.int64]:
    """Return the values as int64, each moved to the nearest of `least` … `most`."""
    return integer_vector(values).clip(least, most).astype(np.int64)
