"""Sources for `fuzz_sql.py` that record every look before the charge.

Frames and connections stand behind objects that pass for them and note who reads them when. Of a file, nothing but
its header exists until the charge: the rows are put there by the ledger's own charge; and whoever opens it for more
than its header before is noted, too.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa
from fuzz_names import session
from fuzz_worlds import World, stored
from pyarrow import csv, parquet

from discreet.sql.engines import duckdb as engine

KINDS = ("connection", "connection", "connection", "arrow", "pandas", "polars", "parquet", "csv")
CONNECTIONS: weakref.WeakSet[Any] = weakref.WeakSet()  # what runs, to stop it
STYLES = ("typed", "text", "mixed", "mixed", "mixed", "empty")
# All that may be asked of a lent connection before the charge: its catalog and its settings.
CATALOG = re.compile(
    r"SELECT (system\.main\.current_database\(\), system\.main\.current_schema\(\)"
    r"|system\.main\.current_setting\('[a-z_]+'\)"
    r"|[a-z_, :A-Z]+ FROM system\.main\.duckdb_(columns|functions)\(\))"
)


@dataclass
class Gate:
    """Closed until the charge."""

    charged: bool = False
    charges: int = 0
    early: list[str] = field(default_factory=list)
    files: list[tuple[Path, bytes, bytes]] = field(default_factory=list)

    def look(self, what: str) -> None:
        """Note a look at private rows."""
        if not self.charged:
            self.early.append(what)

    def close(self) -> None:
        """Begin a statement: of each file only the header is there."""
        if self.charged:
            for path, header, _ in self.files:
                path.write_bytes(header)
        self.charged, self.early = False, []

    def open(self) -> None:
        """The charge is durable."""
        self.charged = True
        for path, _, whole in self.files:
            path.write_bytes(whole)


@contextmanager
def guarded(gate: Callable[[], Gate]) -> Iterator[None]:
    """Note every opening of a file of rows before the charge, but for the names of its columns.

    Args:
        gate: Returns the gate of the statement that is being asked.
    """
    right = (engine.connect, parquet.ParquetFile, parquet.read_schema, Path.open)
    inside: list[str] = []

    def connect(scratch: str | None = None, paths: Sequence[str] = ()) -> Any:
        if paths:
            gate().look(f"connected to {len(paths)} files")
        found = right[0](scratch, paths)
        CONNECTIONS.add(found)
        return found

    def opened(*given: Any, **more: Any) -> Any:
        if not inside:
            gate().look("opened a Parquet file")
        return right[1](*given, **more)

    def schema(*given: Any, **more: Any) -> Any:
        inside.append("schema")
        try:
            return right[2](*given, **more)
        finally:
            inside.pop()

    def open_(path: Path, mode: str = "r", *given: Any, **more: Any) -> Any:
        file = right[3](path, mode, *given, **more)
        watched = gate()
        if watched.charged or not any(path == one for one, *_ in watched.files) or "w" in mode:
            return file
        return _FirstLine(file, watched)

    engine.connect, parquet.ParquetFile, parquet.read_schema, Path.open = connect, opened, schema, open_  # type: ignore[misc,assignment,method-assign]
    try:
        yield
    finally:
        engine.connect, parquet.ParquetFile, parquet.read_schema, Path.open = right  # type: ignore[misc,method-assign]


class _FirstLine:
    """A file of which one line may be read."""

    def __init__(self, file: Any, gate: Gate) -> None:
        self._file, self._gate, self._lines = file, gate, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def readline(self, *size: int) -> Any:
        """Return the next line; after the first it is noted."""
        self._lines += 1
        if self._lines > 1:
            self._gate.look("a second line")
        return self._file.readline(*size)

    def __getattr__(self, name: str) -> Any:
        self._gate.look(f"{name} of a file")
        return getattr(self._file, name)


def passing_for(module: str, name: str, free: tuple[str, ...]) -> type:
    """Return a class that goes for another one by its name; all but `free` is a look at rows."""

    class Source:
        def __init__(self, inner: Any, gate: Gate) -> None:
            self._inner, self._gate = inner, gate

        def __getattr__(self, name: str) -> Any:
            if name not in free:
                self._gate.look(name)
            return getattr(self._inner, name)

        def __len__(self) -> int:
            self._gate.look("len")
            return len(self._inner)

    Source.__module__, Source.__name__ = module, name
    return Source


Arrow = passing_for("pyarrow", "Table", ("column_names",))
Pandas = passing_for("pandas", "DataFrame", ("columns",))
Polars = passing_for("polars", "DataFrame", ("columns",))


class DuckDBPyConnection:
    """A lent connection that notes every statement before the charge that is not about its catalog."""

    def __init__(self, inner: Any, gate: Gate) -> None:
        self._inner, self._gate = inner, gate

    def execute(self, statement: str, *more: Any) -> Any:
        """Run a statement."""
        if not CATALOG.fullmatch(statement):
            self._gate.look(statement)
        return self._inner.execute(statement, *more)

    def __getattr__(self, name: str) -> Any:
        self._gate.look(name)
        return getattr(self._inner, name)


DuckDBPyConnection.__module__ = "duckdb"


def sources(dice, world: World, kind: str, style: str, gate: Gate, folder: Path) -> dict[str, Any]:
    """Return the sources of a world's tables, of a kind."""
    tables = stored(dice, world, style)
    if kind == "connection":
        inner = duckdb.connect(config={"threads": 1})
        CONNECTIONS.add(inner)
        for setting, value in session(dice).items():
            inner.execute(f"SET {setting} = '{value}'")
        for name, table in tables.items():
            inner.register("rows_of_it", table)
            inner.execute(f'CREATE TABLE "{name}" AS SELECT * FROM rows_of_it')
            inner.unregister("rows_of_it")
        return dict.fromkeys(tables, DuckDBPyConnection(inner, gate))
    if kind in ("parquet", "csv"):
        return {name: _file(folder / f"{i}.{kind}", table, gate) for i, (name, table) in enumerate(tables.items())}
    if kind == "polars":
        import polars

        return {name: Polars(polars.from_arrow(_plain(table)), gate) for name, table in tables.items()}
    if kind == "pandas":
        return {name: Pandas(_objects(dice, table), gate) for name, table in tables.items()}
    return {name: Arrow(table, gate) for name, table in tables.items()}


def _plain(table: pa.Table) -> pa.Table:
    """Return a table without the types that polars lacks."""
    texts = [pa.field(one.name, pa.string() if pa.types.is_dictionary(one.type) else one.type) for one in table.schema]
    return table.cast(pa.schema(texts))


def _objects(dice, table: pa.Table) -> Any:
    """Return a pandas frame, some of whose columns hold Python objects of every kind."""
    import pandas

    frame = table.to_pandas(date_as_object=dice.random() < 0.5)
    odd = (None, object(), [1], {"a": 1}, float("nan"), b"\xff", "x", 7, True, 2**70, "\ud800")
    for place in range(frame.shape[1]):
        if len(frame) and dice.random() < 0.3:
            cells = frame.iloc[:, place].astype(object).tolist()
            mixed = [dice.choice(odd) if dice.random() < 0.2 else cell for cell in cells]
            frame.isetitem(place, pandas.Series(mixed, dtype=object))
    return frame


def _file(path: Path, table: pa.Table, gate: Gate) -> Path:
    found = []
    for rows in (table.slice(0, 0), table):
        if path.suffix == ".parquet":
            parquet.write_table(rows, path)
        else:
            texts = pa.table(
                {
                    name: pa.array(
                        [None if cell is None else str(cell) for cell in rows[name].to_pylist()], pa.string()
                    )
                    for name in rows.column_names
                }
            )
            csv.write_csv(texts, path)
        found.append(path.read_bytes())
    path.write_bytes(found[0])
    gate.files.append((path, found[0], found[1]))
    return path
