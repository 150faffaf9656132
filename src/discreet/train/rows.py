"""Rows: the records of a source as tensors, by their numbers.

Reads private rows: everything here is called inside a loan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree
from torch.utils.data import default_collate

from discreet.dataset import Dataset
from discreet.errors import InvalidInput, missing_extra
from discreet.train.draws import Rows as Numbers

Collate = Callable[[Any], Any]


class Rows:
    """The records that a run may see: one of each unit.

    Args:
        source: A tensor, or a tuple, list or dict of tensors, whose first axis is the record; a data set with `len`
            and numbers; an Arrow table, or the path of a Parquet file.
        collate: Makes a batch of tensors of an Arrow table of a few rows, or of a list of what the data set returned.
        person: The name of the column, or key, that identifies a person; of their rows the first one counts. A row of
            nobody (NULL) counts for nobody.
    """

    __slots__ = ("_batch", "_kept", "_rows")

    def __init__(self, source: Any, collate: Collate | None, person: str | None) -> None:
        if isinstance(source, Path):
            source = _table(source)
        self._rows, self._batch, people = _read(source, collate, person)
        self._kept: Numbers | None = None
        if people is not None:
            known = np.flatnonzero(people >= 0)
            _, first = np.unique(people[known], return_index=True)
            self._kept = np.sort(known[first]).astype(np.int64)

    def __len__(self) -> int:
        return self._rows if self._kept is None else int(self._kept.size)

    def __repr__(self) -> str:
        return "Rows(hidden)"

    def batch(self, numbers: Numbers) -> Any:
        """Return the tensors of some records, one row for each."""
        return self._batch(numbers if self._kept is None else self._kept[numbers])


def check_source(dataset: Dataset, collate: Collate | None) -> None:
    """Refuse, from what kind of thing the source is, what cannot be read as records.

    Raises:
        InvalidInput: names what is missing.
    """
    source, person = dataset.source, dataset.unit.column
    table = isinstance(source, Path) or hasattr(source, "to_batches")
    if isinstance(source, Path) and source.suffix != ".parquet":
        raise InvalidInput(f"training reads Parquet files, got {source.name!r}.", remedy="Write the table as Parquet.")
    if table and collate is None:
        raise InvalidInput(
            "rows of a table become tensors by a function of yours, and collate is not given.",
            remedy='For example collate=lambda rows: torch.tensor(rows["age"].to_numpy()).float()',
        )
    if table:
        return
    leaves = _pytree.tree_leaves(source)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    if tensors:
        if len(tensors) != len(leaves) or any(leaf.dim() == 0 for leaf in tensors):
            raise InvalidInput(
                "the source holds something beside tensors whose first axis is the record.",
                remedy="Give tensors alone: (inputs, labels), for example.",
            )
        if (
            person is not None
            and isinstance(source, Mapping)
            and person in source
            and source[person].is_floating_point()
        ):
            raise InvalidInput(
                f"the ids in {person!r} are floats: rounded ones may be two people's.", remedy="Give whole numbers."
            )
        if person is not None and not (isinstance(source, Mapping) and person in source):
            raise InvalidInput(
                f"the unit is {dataset.unit.label}, and the source has no tensor of that name.",
                remedy=f'Give a dict of tensors with the key "{person}", or an Arrow table.',
            )
        return
    if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
        raise InvalidInput(
            f"the source is a {type(source).__name__}, which has no records by number.",
            remedy="Give tensors, a data set with len and numbers, an Arrow table, or a Parquet file.",
        )
    if person is not None:
        raise InvalidInput(
            f"the unit is {dataset.unit.label}, and a data set of records does not say whose each is.",
            remedy="Give a dict of tensors, or an Arrow table, with that column.",
        )


def _read(
    source: Any, collate: Collate | None, person: str | None
) -> tuple[int, Callable[[Numbers], Any], np.ndarray[Any, Any] | None]:
    """Return how many rows there are, what makes a batch of some, and whose each is."""
    if hasattr(source, "to_batches"):  # an Arrow table
        assert collate is not None
        people = None if person is None else numbered(source.column(person))
        return source.num_rows, lambda numbers: collate(source.take(numbers)), people
    tensors = [leaf for leaf in _pytree.tree_leaves(source) if isinstance(leaf, torch.Tensor)]
    if tensors:
        (count,) = {len(leaf) for leaf in tensors}
        people = None if person is None else np.unique(source[person].numpy(), return_inverse=True)[1]
        return count, lambda numbers: _taken(source, numbers), people
    assert person is None
    gather = default_collate if collate is None else collate
    return len(source), lambda numbers: gather([source[int(number)] for number in numbers]), None


def numbered(column: Any) -> Numbers:
    """Return a number for each value of an Arrow column, equal where values are; -1 where there is none.

    A row that says of nobody whose it is counts for nobody, as in SQL: several would be one person otherwise, and
    which of them came first would depend on all.
    """
    import pyarrow
    import pyarrow.compute as pc

    values = column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column
    if isinstance(values, pyarrow.DictionaryArray):  # it may list a value twice
        values = values.dictionary_decode()
    if pyarrow.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    found = values.dictionary_encode().indices.fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def _taken(source: Any, numbers: Numbers) -> Any:
    places = torch.from_numpy(np.ascontiguousarray(numbers))
    return _pytree.tree_map(lambda leaf: leaf[places] if isinstance(leaf, torch.Tensor) else leaf, source)


def _table(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise missing_extra("sql", "pyarrow") from None
    return parquet.read_table(path)
