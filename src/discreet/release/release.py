"""Release: the only thing that leaves. A value with its events, guarantee, accuracy and provenance.

On disk a release is a folder `<shelf>/<name>/<request>/` with `value.parquet` and `release.json`, and files beside the
value if it has some. The record holds the hash of the value and of each file, and the ledger holds the hash of the
record: the ledger is the authority on what was released.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from discreet import events
from discreet.errors import DataFailure, InvalidInput, MissingExtra, missing_extra
from discreet.profiles import Guarantee
from discreet.release import notebook

if TYPE_CHECKING:
    import pyarrow

VERSION = 1
RECORD, VALUE = "release.json", "value.parquet"


class Internal:
    """Marks what was computed from raw data outside of the door: no release may hold it.

    An audit looks at scores of real records, so what it finds is private itself. Whoever wants to publish
    it asks for it through a `Dataset`, which charges for it.
    """

    __slots__ = ()

    note: ClassVar[str] = "internal: computed from raw data outside the door"


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """One released answer.

    Args:
        name: The release's name, as the owner or analyst chose it.
        value: The answer, an Arrow table; noised, and safe to publish.
        event: What ran on the private rows.
        guarantee: What is proved about it.
        accuracy: For each value column its public error facts (standard error, interval level, …).
        facts: What the vertical leaves for `explain`: plain data, public.
        provenance: Query, engine, versions, declared data version, unit, domain.
        entry: Where the ledger charged it: population, sequence, hash, request.
        files: What was released beside the value, by file name: the tensors of a model.
    """

    name: str
    value: pyarrow.Table
    event: events.Event
    guarantee: Guarantee
    accuracy: Mapping[str, Any]
    facts: Mapping[str, Any]
    provenance: Mapping[str, Any]
    entry: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if any(map(_holds_internal, (self.value, self.accuracy, self.facts, self.provenance))):
            raise InvalidInput(
                f"the release {str(self.name)!r} holds what was computed from raw data outside of the door.",
                state="Nothing was written.",
                remedy="Leave it out, and keep it internal. To publish such a number, ask for it through a Dataset.",
            )

    def __repr__(self) -> str:
        return f"Release({self.name!r}, {self.value.num_rows} rows, {self.guarantee})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return notebook.page(self)

    def to_pandas(self) -> Any:
        """Return the value as a pandas DataFrame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        _frames("pandas")
        return self.value.to_pandas()

    def to_polars(self) -> Any:
        """Return the value as a polars DataFrame.

        Raises:
            MissingExtra: polars is not installed.
        """
        return _frames("polars").from_arrow(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the value as plain data."""
        return {
            "v": VERSION,
            "name": self.name,
            "event": events.to_dict(self.event),
            "guarantee": _plain(self.guarantee.to_dict()),
            "accuracy": _plain(self.accuracy),
            "facts": _plain(self.facts),
            "provenance": _plain(self.provenance),
            "entry": _plain(self.entry),
        }

    def write(self, folder: Path) -> str:
        """Write value and record into `folder`, all or nothing, and return the record's SHA-256.

        Raises:
            InvalidInput: the folder exists already; a release is never overwritten.
            OSError: the disk refused.
        """
        parquet = _parquet()
        folder = Path(folder)
        if folder.exists():
            raise InvalidInput(f"{folder} exists already.", remedy="A release is never overwritten.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
        try:
            parquet.write_table(self.value, aside / VALUE)
            record = self.to_dict() | {"value": {"file": VALUE, "sha256": _sha256(aside / VALUE)}}
            if self.files:
                record["files"] = {name: hashlib.sha256(held).hexdigest() for name, held in self.files.items()}
            for name, held in self.files.items():
                (aside / check_name(name)).write_bytes(held)
                _flush(aside / name)
            text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
            (aside / RECORD).write_text(text + "\n", encoding="utf-8")
            for path in (aside / VALUE, aside / RECORD, aside):
                _flush(path)
            digest = _sha256(aside / RECORD)
            aside.chmod(0o755)
            aside.rename(folder)
            _flush(folder.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        return digest

    @classmethod
    def read(cls, folder: Path, *, digest: str | None = None) -> Release:
        """Read a release; with `digest`, only if its record has that SHA-256.

        Raises:
            InvalidInput: the folder holds no release, or it was altered.
        """
        parquet = _parquet()
        folder = Path(folder)
        try:
            raw = (folder / RECORD).read_bytes()
            record = json.loads(raw)
            held = _sha256(folder / VALUE)
        except (OSError, ValueError):
            raise InvalidInput(f"{folder} holds no readable release.", remedy="Restore it from a backup.") from None
        if digest is not None and hashlib.sha256(raw).hexdigest() != digest:
            raise _altered(folder)
        if not isinstance(record, dict) or record.get("v") != VERSION:
            raise InvalidInput(f"{folder} holds a release of an unknown version.", remedy="Upgrade discreet.")
        try:
            if held != record["value"]["sha256"]:
                raise _altered(folder)
            return cls(
                name=record["name"],
                value=parquet.read_table(folder / VALUE),
                event=events.from_dict(record["event"]),
                guarantee=Guarantee.from_dict(record["guarantee"]),
                accuracy=record["accuracy"],
                facts=record["facts"],
                provenance=record["provenance"],
                entry=record["entry"],
                files=_files(folder, record.get("files", {})),
            )
        except (KeyError, TypeError, AttributeError, OSError):
            raise InvalidInput(f"{folder} holds no whole release.", remedy="Restore it from a backup.") from None


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder of releases: `<folder>/<name>/<request>/`."""

    folder: Path

    def place(self, name: str, request: str) -> Path:
        """Return where the release of this request stands or would stand."""
        return self.folder / check_name(name) / check_name(request)

    def ready(self, name: str) -> None:
        """Make sure that a release of this name can be written, before anything is spent.

        Raises:
            InvalidInput: the folder cannot be written.
            MissingExtra: the package that writes it is not installed.
        """
        _parquet()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            place = self.folder / check_name(name)
            with tempfile.TemporaryFile(dir=place if place.exists() else self.folder):
                pass
        except OSError as error:
            raise InvalidInput(
                f"releases cannot be written to {self.folder}: {error.strerror}.",
                remedy="Choose a folder that can be written.",
            ) from None

    def put(self, release: Release) -> str:
        """Store a release under its name and request; return the digest for the ledger."""
        place = self.place(release.name, release.entry["request"])
        try:
            return release.write(place)
        except Exception as error:  # noqa: BLE001 - whatever it is, it comes after the charge
            reason = error.strerror if isinstance(error, OSError) else getattr(error, "what", type(error).__name__)
        raise DataFailure(
            f"the release could not be written to {place}: {str(reason).rstrip('.')}.",
            state="The charge stands and the answer is lost.",
            remedy="Remove what hinders it, then ask again under a new attempt, which is a new charge.",
        )

    def check(self, population: str, charged: Callable[[str], set[str]]) -> None:
        """Refuse to go on beside a release of this population that was never charged.

        Args:
            population: Whose.
            charged: Returns the requests that were charged to it; called if there is any release here.

        Raises:
            InvalidInput: names the release; the ledger may be an old copy.
        """
        places = [place for place in self.folder.glob("*/*") if not place.name.startswith(".") and place.is_dir()]
        known = charged(population) if places else set()
        for place in places:
            if place.name not in known and _population(place) == population:
                raise InvalidInput(
                    f"{place} holds a release of {population!r} that this ledger never charged.",
                    remedy="The ledger may be an old copy: find the newest one. If another ledger paid for that "
                    "release, keep the releases of each ledger in a folder of their own.",
                )

    def digest(self, name: str, request: str, *, charge: str) -> str | None:
        """Return the digest of the whole release of `request` that stands here, if this charge paid for it."""
        place = self.place(name, request)
        try:
            release, digest = Release.read(place), _sha256(place / RECORD)
        except (InvalidInput, OSError):
            return None
        return digest if release.entry.get("hash") == charge else None

    def get(self, name: str, request: str, digest: str) -> Release:
        """Return the stored release of `request`, if it is the one the ledger knows."""
        place = self.place(name, request)
        if not place.exists():
            raise InvalidInput(
                f"the release {name!r} was made and charged, but {place} is gone.",
                remedy="Restore it from a backup, or ask again under a new attempt, which is a new charge.",
            )
        return Release.read(place, digest=digest)


def check_name(name: str) -> str:
    """Return `name` if it can name a release (and a folder).

    Raises:
        InvalidInput: it is empty, too long, or holds anything but letters, digits, '_', '-' and '.'.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise InvalidInput(
            f"a release's name is 1 to 100 letters, digits, '_', '-' or '.', got {name!r}.",
            remedy="Choose another name.",
        )
    return name


def _files(folder: Path, hashes: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files that a record lists."""
    found = {name: (folder / check_name(name)).read_bytes() for name in hashes}
    if any(hashlib.sha256(held).hexdigest() != hashes[name] for name, held in found.items()):
        raise _altered(folder)
    return found


def _altered(folder: Path) -> InvalidInput:
    return InvalidInput(
        f"the release in {folder} is not the one that was released: its hash differs.",
        remedy="Restore it from a backup, or ask again under a new attempt, which is a new charge.",
    )


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise missing_extra("sql", "pyarrow") from None
    return pyarrow.parquet


def _frames(package: str) -> Any:
    """Return a package of data frames, which is the user's own and no part of ours."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise MissingExtra(
            f"this needs the package {package!r}, which is not installed.",
            remedy=f"Type: pip install {package}. The value itself is an Arrow table: release.value",
        ) from None


def _plain(value: Any) -> Any:
    """Return plain JSON data; what is not finite becomes null rather than an error after a charge."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


def _holds_internal(value: Any) -> bool:
    """Return whether plain data holds something internal anywhere."""
    if isinstance(value, Mapping):
        return any(map(_holds_internal, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_internal, value))
    if isinstance(value, str):  # a finding as text or plain data says so on its face
        return Internal.note in value
    return isinstance(value, Internal)


def _population(place: Path) -> str | None:
    """Return whose release stands in a folder; None if that cannot be read."""
    try:
        return str(json.loads((place / RECORD).read_bytes())["entry"]["population"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
