"""Rows: the records of a source as tensors, by their numbers.

Reads private rows: everything here is called inside a loan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree
from torch.utils.data import default_collate

from discreet.dataset import Dataset
from discreet.errors import InvalidInput, missing_extra
from discreet.train import columns
from discreet.train.draws import Rows as Numbers
from discreet.train.people import People, packed
from discreet.units import PrivacyUnit

Collate = Callable[[Any], Any]
LOOKED_AT = 4096  # rows that processes compare


class Rows:
    """The records that a run may see: one of each unit, or up to a number of rows of each person.

    Args:
        source: A tensor, or a tuple, list or dict of tensors, whose first axis is the record; a data set with `len`
            and numbers; a `datasets.Dataset`; an Arrow table, or the path of a Parquet file.
        collate: Makes a batch of tensors of an Arrow table of a few rows, or of a list of what the data set returned.
        person: The name of the column, or key, that identifies a person. People are numbered by their first rows. A row
            of nobody (NULL) counts for nobody.
        most: How many rows of a person count: the first ones, in the order of the source.
    """

    __slots__ = ("_batch", "_known", "_most", "_people", "_rows")

    def __init__(self, source: Any, collate: Collate | None, person: str | None, most: int = 1) -> None:
        if isinstance(source, Path):
            source = _table(source)
        self._rows, self._batch, ids = _read(source, collate, person)
        self._most = most
        self._people: People | None = None
        if ids is not None:
            self._known = np.flatnonzero(ids >= 0)
            _, first, who = np.unique(ids[self._known], return_index=True, return_inverse=True)
            self._people = People(first.argsort().argsort()[who], most=most)

    def __len__(self) -> int:
        return self._rows if self._people is None else len(self._people)

    def __repr__(self) -> str:
        return "Rows(hidden)"

    def batch(self, units: Numbers) -> Any:
        """Return the tensors of some units: all rows of each that count, one unit after another."""
        return self._batch(units if self._people is None else self._known[self._people.rows(units)[0]])

    def micro(self, units: Numbers, size: int, times: int = 1) -> Iterator[tuple[Numbers, torch.Tensor | None]]:
        """Yield the units that are computed at once, and of each of their rows its unit's place; None: one row each.

        Args:
            units: Of a batch.
            size: At most so many rows at once, but for a unit that has more.
            times: How many rows will be made of each.
        """
        if self._people is None or self._most == 1:
            step = max(1, size // times)
            yield from ((units[start : start + step], None) for start in range(0, units.size, step))
            return
        for chosen in packed(times * self._people.sizes(units), size):
            yield units[chosen], torch.from_numpy(self._people.rows(units[chosen])[1])

    def digest(self, key: bytes) -> bytes:
        """Return a keyed hash of how many rows there are, and of rows all over the source: of each process the same."""
        every = np.arange(len(self), dtype=np.int64)
        rows = every if self._people is None else self._people.rows(every)[0]
        found = hashlib.blake2b(rows.size.to_bytes(8, "big"), key=key, digest_size=32)
        if self._people is not None:
            found.update(self._people.sizes(every).astype("<i8").tobytes())
            rows = self._known[rows]
        places = np.unique(np.linspace(0, max(0, rows.size - 1), min(rows.size, LOOKED_AT), dtype=np.int64))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # what the source draws itself is drawn alike
            for leaf in _pytree.tree_leaves(self._batch(rows[places])) if len(places) else ():
                if isinstance(leaf, torch.Tensor):
                    found.update(leaf.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return found.digest()


def check_source(dataset: Dataset, collate: Collate | None, example: Any) -> None:
    """Refuse, from what kind of thing the source is, what cannot be read as records like those of the example.

    Raises:
        InvalidInput: names what is missing.
    """
    reason = _unfit(dataset.source, dataset.unit, collate, example)
    if reason is not None:  # raised here: a traceback may show what its frames hold, and this one holds no rows
        raise InvalidInput(reason[0], remedy=reason[1])


def _unfit(source: Any, unit: PrivacyUnit, collate: Collate | None, example: Any) -> tuple[str, str] | None:
    """Return why a source cannot be read, and what to do about it; None if it can."""
    if isinstance(source, Path) and source.suffix != ".parquet":
        return f"training reads Parquet files, got {source.name!r}.", "Write the table as Parquet."
    if isinstance(source, Path) or hasattr(source, "to_batches"):
        if collate is None:
            return (
                "rows of a table become tensors by a function of yours, and collate is not given.",
                'For example collate=lambda rows: torch.tensor(rows["age"].to_numpy()).float()',
            )
        return _unfit_ids(_schema(source), unit)
    if columns.has_columns(source):
        return columns.unfit(source, unit, collate, example) or _unfit_ids(_schema(source), unit)
    leaves = _pytree.tree_leaves(source)
    if any(isinstance(leaf, torch.Tensor) for leaf in leaves):
        return _unfit_tensors(source, leaves, unit, example)
    kind = f"{type(source).__module__}.{type(source).__name__}"
    if type(source).__module__.startswith(("pandas", "polars", "numpy")) or not (
        hasattr(source, "__len__") and hasattr(source, "__getitem__")
    ):
        return (
            f"the source is a {kind}, which has no records by number.",
            "Give tensors, a data set with len and numbers, an Arrow table, or a Parquet file.",
        )
    if isinstance(source, list | tuple | Mapping):
        return (
            f"the source is a {kind} of something else than tensors.",
            "Give tensors whose first axis is the record: torch.as_tensor makes them of arrays.",
        )
    if unit.column is not None:
        return (
            f"the unit is {unit.label}, and a data set of records does not say whose each is.",
            "Give a dict of tensors, a datasets.Dataset or an Arrow table, with that column.",
        )
    return None


def _unfit_tensors(source: Any, leaves: list[Any], unit: PrivacyUnit, example: Any) -> tuple[str, str] | None:
    """Return why tensors cannot be read; of each only its type and the shape of one record are looked at."""
    if not all(isinstance(leaf, torch.Tensor) and leaf.dim() for leaf in leaves):
        return (
            "the source holds something beside tensors whose first axis is the record.",
            "Give tensors alone: (inputs, labels), for example.",
        )
    person = unit.column
    if person is not None:
        if not (isinstance(source, Mapping) and person in source):
            return (
                f"the unit is {unit.label}, and the source has no tensor of that name.",
                f'Give a dict of tensors with the key "{person}", or an Arrow table.',
            )
        ids = source[person]
        if ids.dim() != 1:
            return f"the ids in {person!r} have {ids.dim()} axes.", "Give a vector: one whole number for each row."
        if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            return f"the ids in {person!r} are {ids.dtype}: rounded ones may be two people's.", "Give whole numbers."
        if isinstance(example, Mapping) and person not in example:
            source = {name: tensor for name, tensor in source.items() if name != person}
    forms = [
        (_pytree.tree_structure(tree), [(leaf.dtype, tuple(leaf.shape[1:])) for leaf in _pytree.tree_leaves(tree)])
        for tree in (source, example)
        if all(isinstance(leaf, torch.Tensor) for leaf in _pytree.tree_leaves(tree))
    ]
    if len(forms) != 2 or forms[0] != forms[1]:
        return (
            "the source's tensors are not like those of `example`: in nesting, type, or the shape of a record.",
            "Make a few rows of the same form: what the loss is tried on has to be what it is given.",
        )
    return None


def _schema(source: Any) -> Any:
    """Return the names and types of a table's columns; None of what does not tell them. No row is looked at."""
    if not isinstance(source, Path):
        return getattr(getattr(source, "features", source), "arrow_schema", getattr(source, "schema", None))
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise missing_extra("sql", "pyarrow") from None
    try:
        return parquet.read_schema(source)
    except (OSError, pyarrow.ArrowException):  # a finished run is answered without its rows
        return None


def _unfit_ids(schema: Any, unit: PrivacyUnit) -> tuple[str, str] | None:
    """Return why people cannot be told apart by a column of a table, from its type alone."""
    if schema is None or unit.column is None:
        return None
    import pyarrow

    kinds = pyarrow.types
    if schema.get_field_index(unit.column) < 0:
        return f"the unit is {unit.label}, and the source has no column, or several, of that name.", "Give it one."
    kind = schema.field(unit.column).type
    kind = kind.value_type if kinds.is_dictionary(kind) else kind
    if kinds.is_floating(kind) or kinds.is_boolean(kind) or kinds.is_nested(kind):
        return (
            f"the ids in {unit.column!r} are of type {kind}: rounded numbers may be two people's, and 0 has two signs.",
            "Give whole numbers or texts; where nobody is named, NULL.",
        )
    return None


def _read(
    source: Any, collate: Collate | None, person: str | None
) -> tuple[int, Callable[[Numbers], Any], np.ndarray[Any, Any] | None]:
    """Return how many rows there are, what makes a batch of some, and whose each is."""
    if hasattr(source, "to_batches"):  # an Arrow table
        assert collate is not None
        people = None if person is None else numbered(source.column(person))
        return source.num_rows, lambda numbers: collate(source.take(numbers)), people
    if columns.has_columns(source):
        count, batch, ids = columns.read(source, collate, person)
        return count, batch, None if ids is None else numbered(ids)
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
        values = pc.if_else(pc.is_nan(values), None, pc.add(values, 0.0))  # -0 becomes 0: it is encoded by its bits
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
