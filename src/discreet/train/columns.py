"""Data sets with named columns that are read by lists of numbers: `datasets.Dataset` of Hugging Face.

None of that package is imported: what has its ways of reading is read in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from discreet.train.draws import Rows as Numbers
from discreet.units import PrivacyUnit


def has_columns(source: Any) -> bool:
    """Say whether a source is read by column names and lists of numbers."""
    return all(hasattr(source, name) for name in ("column_names", "with_format", "select_columns", "__getitem__"))


def unfit(source: Any, unit: PrivacyUnit, collate: Any, example: Any) -> tuple[str, str] | None:
    """Return why such a source cannot be read, and what to do about it; None if it can. No row is looked at."""
    if not hasattr(source, "__len__"):
        return (
            "the source is a stream, which has no records by number.",
            "Load the data set whole, not with streaming=True.",
        )
    names = source.column_names
    if not isinstance(names, list):  # of a DatasetDict: a list for each split
        return "the source is several data sets.", 'Give one of them: data["train"], for example.'
    if unit.column is not None and unit.column not in names:
        return (
            f"the unit is {unit.label}, and the source has no column of that name.",
            f"It has {', '.join(map(repr, names))}.",
        )
    if collate is None and not isinstance(example, Mapping):
        return (
            "a batch of a data set with named columns is a dict, and `example` is none.",
            "Give a dict of tensors as example, or collate=, which makes something else of a batch.",
        )
    missing = [] if collate is not None or _is_made(source) else [name for name in example if name not in names]
    if missing:
        return (
            f"`example` has {missing[0]!r}, and the source has no column of that name.",
            f"It has {', '.join(map(repr, names))}.",
        )
    return None


def read(
    source: Any, collate: Callable[[Any], Any] | None, person: str | None
) -> tuple[int, Callable[[Numbers], Any], Any]:
    """Return how many rows there are, what makes a batch of some, and the Arrow column that says whose each is."""
    people = None
    if person is not None:
        people = source.select_columns([person]).with_format("arrow")[:].column(person)
    held = source if collate is not None or _is_made(source) else source.with_format("torch")
    make = _tensors if collate is None else collate
    return len(source), lambda numbers: make(held[numbers.tolist()]), people


def _is_made(source: Any) -> bool:
    """Say whether the owner chose what rows are made into: `with_format("torch", …)` or `with_transform`."""
    return source.format["type"] is not None


def _tensors(columns: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the columns that are tensors: texts, and lists of several lengths, are none."""
    return {name: column for name, column in columns.items() if isinstance(column, torch.Tensor)}
