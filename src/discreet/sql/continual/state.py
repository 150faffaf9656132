"""What an owner keeps of a series between two steps: exact vectors, noised answers, and who took part.

One file that only grows, readable by its owner alone. Each record is a step; it is on the disk before the answer
that it holds may be shown. A record that a crash cut short was never shown, and is written over.

    record   length of the payload (8 bytes) | SHA-256 of the last record's hash and the payload | payload
    payload  length of the facts (8 bytes) | facts, as JSON | people, as an Arrow stream
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from discreet.domains import Type
from discreet.errors import InvalidInput
from discreet.mechanisms import SumsSoFar

if TYPE_CHECKING:
    import pyarrow

MAGIC = b"discreet series 1\n"
LENGTH, DIGEST = 8, 32
SMALL = 2**62  # numbers below are reckoned with in 64 bits


class State:
    """A series as it is kept: personal data, which nobody but discreet writes to.

    Attributes:
        path: The file.
        terms: What the series is: its first record.
        tokens: What the ledger knows the draw of each step by.
        versions: The owner's word for the state of the data, of each step.
        so_far: The steps of each primitive.
    """

    def __init__(self, path: Path, terms: Mapping[str, Any], end: int, digest: bytes) -> None:
        self.path, self.terms = path, terms
        self.tokens: list[str] = []
        self.versions: list[str] = []
        self.so_far: tuple[SumsSoFar, ...] = ()
        self._shown: list[list[NDArray[np.float64]]] = []
        self._people: list[pyarrow.Table] = []  # those who took part, some of them in several of these tables
        self._end, self._digest = end, digest  # of the last whole record

    @property
    def steps(self) -> int:
        """How many steps were saved."""
        return len(self.tokens)

    def answers(self, part: int) -> NDArray[np.float64]:
        """Return what was drawn for a primitive, a row for each step."""
        return np.stack(self._shown[part])

    # ---------------------------------------------------------------------------------- the file

    @classmethod
    def create(cls, path: Path, terms: Mapping[str, Any]) -> State:
        """Make the file of a series that has no step yet; all or nothing.

        Args:
            path: Where.
            terms: Plain data; "people" in it are the types of the columns that identify a person.

        Raises:
            OSError: the disk refused, or the file is there already (FileExistsError).
        """
        payload = _payload(terms, None)
        record, digest = _record(b"", payload)
        handle, aside = tempfile.mkstemp(prefix=".series-", dir=path.parent)  # readable by its owner alone
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(MAGIC + record)
                file.flush()
                os.fsync(file.fileno())
            os.link(aside, path)
        finally:
            Path(aside).unlink(missing_ok=True)
        _flush(path.parent)
        return cls(path, terms, len(MAGIC) + len(record), digest)

    @classmethod
    def read(cls, path: Path) -> State | None:
        """Return what was kept; None if there is no file.

        Raises:
            InvalidInput: the file is damaged, or cannot be read.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}.", remedy="Correct its rights.") from None
        if not data.startswith(MAGIC):
            raise _damaged(path, "is not what is kept of a series")
        records = _records(data)
        try:
            payload, end, digest = next(records)
        except StopIteration:
            raise _damaged(path, "has no whole record") from None
        state = cls(path, _facts(path, payload)[0], end, digest)
        steps = []
        for payload, end, digest in records:
            facts, batch = _facts(path, payload)
            steps.append(facts)
            state._people += [] if batch is None else [batch]
            state._end, state._digest = end, digest
        state._load(steps)
        return state

    def save(self, so_far: Sequence[SumsSoFar], *, token: str, version: str, people: pyarrow.Table | None) -> None:
        """Add a step, durably.

        Args:
            so_far: Of each primitive, the new step included.
            token: What the ledger will know this draw by.
            version: The owner's word for the state of the data.
            people: Who took part; None where nobody need know.
        """
        facts = {
            "step": self.steps + 1,
            "token": token,
            "version": version,
            "exact": [list(map(int, one.exact[-1])) for one in so_far],
            "answers": [list(one.answers[-1]) for one in so_far],
        }
        batch = None if people is None else self._batch(people)
        record, digest = _record(self._digest, _payload(facts, batch))
        with self.path.open("r+b") as file:
            if file.seek(0, os.SEEK_END) < self._end:
                raise _damaged(self.path, "was cut short meanwhile")
            file.truncate(self._end)  # what a crash left half written
            file.seek(self._end)
            file.write(record)
            file.flush()
            os.fsync(file.fileno())
        self._end, self._digest = self._end + len(record), digest
        self._add(facts)
        self.so_far = tuple(so_far)
        self._people += [] if batch is None else [batch]

    def _load(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """Take up the steps that were read."""
        for facts in steps:
            if facts["step"] != self.steps + 1 or len(facts["exact"]) != len(steps[0]["exact"]):
                raise _damaged(self.path, f"has step {facts['step']} after step {self.steps}")
            self._add(facts)
        parts = range(len(steps[0]["exact"]) if steps else 0)
        self.so_far = tuple(
            SumsSoFar(
                exact=[_vector(facts["exact"][part]) for facts in steps],
                answers=[facts["answers"][part] for facts in steps],
            )
            for part in parts
        )

    def _add(self, facts: Mapping[str, Any]) -> None:
        self._shown = self._shown or [[] for _ in facts["answers"]]
        for shown, answers in zip(self._shown, facts["answers"], strict=True):
            shown.append(np.array(answers, dtype=np.float64))
        self.tokens.append(facts["token"])
        self.versions.append(facts["version"])

    # --------------------------------------------------------------------------------- the people

    def blocked(self, step: int, *, participations: int, separation: int) -> pyarrow.Table:
        """Return who may not take part in a step, by the steps that they were counted in before.

        From what was kept alone: whatever has become of their rows since.

        Args:
            step: Which step.
            participations: In how many one may take part.
            separation: How far apart two of them are at least.
        """
        import pyarrow.compute as pc

        people = _counted([_nobody(self.terms["people"]), *self._people])
        self._people = [people]
        often = pc.greater_equal(people["taken"], participations)
        lately = pc.greater(people["last"], step - separation)
        return people.filter(pc.or_(often, lately)).drop_columns(["taken", "last"])

    def _batch(self, people: pyarrow.Table) -> pyarrow.Table:
        """Return the people of the next step, each with one step taken."""
        import pyarrow as pa

        rows = people.num_rows
        columns = [people.column(i).cast(_arrow(kind)) for i, kind in enumerate(self.terms["people"])]
        taken = [pa.array(np.full(rows, number, dtype=np.int64)) for number in (1, self.steps + 1)]
        return pa.table([*columns, *taken], names=_nobody(self.terms["people"]).column_names)


def _nobody(kinds: Sequence[Type]) -> pyarrow.Table:
    """Return the table of people without anybody in it."""
    import pyarrow as pa

    fields = [(f"u{i}", _arrow(kind)) for i, kind in enumerate(kinds)]
    return pa.schema([*fields, ("taken", pa.int64()), ("last", pa.int64())]).empty_table()


def _arrow(kind: Type) -> Any:
    import pyarrow as pa

    return {"integer": pa.int64(), "text": pa.string(), "boolean": pa.bool_(), "date": pa.date32()}[kind]


def _counted(batches: Sequence[pyarrow.Table]) -> pyarrow.Table:
    """Return each person once, with how many steps they were counted in, and the last of them."""
    import pyarrow as pa

    joined = pa.concat_tables(batches)
    people = joined.column_names[:-2]
    found = joined.group_by(people).aggregate([("taken", "sum"), ("last", "max")])
    return found.select([*people, "taken_sum", "last_max"]).rename_columns(joined.column_names)


# ------------------------------------------------------------------------------------------ bytes


def _payload(facts: Mapping[str, Any], people: pyarrow.Table | None) -> bytes:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    found = len(text).to_bytes(LENGTH, "big") + text
    if people is None:
        return found
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, people.schema) as writer:
        writer.write_table(people)
    return found + bytes(sink.getvalue())


def _facts(path: Path, payload: bytes) -> tuple[dict[str, Any], pyarrow.Table | None]:
    size = int.from_bytes(payload[:LENGTH], "big")
    text, stream = payload[LENGTH : LENGTH + size], payload[LENGTH + size :]
    try:
        facts: dict[str, Any] = json.loads(text)
    except ValueError:
        raise _damaged(path, "holds a record that cannot be read") from None
    if not stream:
        return facts, None
    import pyarrow as pa

    with pa.ipc.open_stream(stream) as reader:
        return facts, reader.read_all()


def _record(before: bytes, payload: bytes) -> tuple[bytes, bytes]:
    """Return a record, and its hash."""
    digest = hashlib.sha256(before + payload).digest()
    return len(payload).to_bytes(LENGTH, "big") + digest + payload, digest


def _records(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield the payload of each whole record, where it ends, and its hash; up to the first that is not whole.

    What a crash cut short was never shown. What was damaged later is missed by the ledger.
    """
    start, before = len(MAGIC), b""
    while start < len(data):
        size = int.from_bytes(data[start : start + LENGTH], "big")
        end = start + LENGTH + DIGEST + size
        digest, payload = data[start + LENGTH : start + LENGTH + DIGEST], data[start + LENGTH + DIGEST : end]
        if end > len(data) or hashlib.sha256(before + payload).digest() != digest:
            return
        yield payload, end, digest
        start, before = end, digest


def _vector(numbers: Sequence[int]) -> NDArray[Any]:
    """Return whole numbers as 64-bit ones where they fit, which is faster to reckon with."""
    small = all(-SMALL < number < SMALL for number in numbers)
    return np.array(numbers, dtype=np.int64 if small else np.object_)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"{path} {why}.",
        state="No row was read, and nothing was drawn.",
        remedy="Restore the newest copy from a backup; the ledger says whether it is new enough.",
    )
