"""What the owner keeps of a run that is not finished: its key, and where it stands. As private as the data.

A folder that its owner alone can read. A step that was taken before a crash is taken again from the last checkpoint, under
the same key; `trace` holds a sum over the model after every step, so that a step that comes out otherwise is found out
before anything is shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from discreet.errors import InvalidInput
from discreet.ledger.beside import Beside
from discreet.train.keystream import Keystream

BEGUN, CHECKPOINT, TRACE = "begun.json", "checkpoint.safetensors", "trace"
WAIT = 1.0  # seconds for whoever holds the run to let go
FACTS = "facts"
NOTE = struct.Struct("<QQ")  # a step, and what the model came to
PIECE = 2**30  # bytes that are taken into a mark at once
Parts = Mapping[str, Any]


class State:
    """The private folder of one run.

    Args:
        folder: Where.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run: no other process works on it meanwhile.

        Raises:
            InvalidInput: another one does, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with Beside(self.folder).held(wait=WAIT, looking=False):
                yield
        except TimeoutError:
            raise InvalidInput(
                f"another process is at work on the run in {self.folder}.",
                remedy="Wait for it, or give this run a name of its own.",
            ) from None
        except OSError as error:
            raise InvalidInput(
                f"the run cannot be kept in {self.folder}: {error.strerror}.",
                remedy="Give a folder that can be written: private=…",
            ) from None

    # ------------------------------------------------------------------------------------- the run

    def begun(self) -> dict[str, Any] | None:
        """Return what was written by `begin`; None if the run is new.

        Raises:
            InvalidInput: it is damaged.
        """
        try:
            found = json.loads((self.folder / BEGUN).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise _damaged(self.folder / BEGUN) from None
        return dict(found) if isinstance(found, dict) else None

    def keeps(self, purpose: str) -> bool:
        """Return whether the run that was charged for `purpose`, as the ledger has it, is kept here to go on."""
        try:
            found = self.begun()
            return found is not None and purpose.endswith(told("", Keystream(bytes.fromhex(found["key"]))))
        except (InvalidInput, KeyError, TypeError, ValueError):
            return False

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Keep what a run is and its key, durably, before it is charged."""
        self._write(BEGUN, json.dumps(facts, sort_keys=True, allow_nan=False).encode())

    def clear(self) -> None:
        """Remove what is kept of a run, and keep the folder."""
        for name in (BEGUN, CHECKPOINT, TRACE):
            (self.folder / name).unlink(missing_ok=True)

    def erase(self) -> None:
        """Remove everything. What a disk keeps of removed files is the disk's."""
        shutil.rmtree(self.folder, ignore_errors=True)
        Beside(self.folder).path.unlink(missing_ok=True)

    # --------------------------------------------------------------------------------- checkpoints

    def save(self, step: int, parts: Parts) -> None:
        """Keep where the run stands after `step` steps, durably and all or nothing.

        Args:
            step: How many were taken.
            parts: All that moves with them, by name: what has `state_dict` and `load_state_dict`.
        """
        held: dict[str, torch.Tensor] = {}
        plain = {name: _flattened(part.state_dict(), f"{name}/", held) for name, part in parts.items()}
        aside = self.folder / f".{CHECKPOINT}"
        copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in held.items()}
        save_file(copies, aside, metadata={FACTS: json.dumps({"step": step, "parts": plain})})
        aside.chmod(0o600)
        _flush(aside)
        aside.replace(self.folder / CHECKPOINT)
        _flush(self.folder)

    def load(self, parts: Parts) -> int:
        """Put everything where the run stood; return how many steps it had taken.

        Raises:
            InvalidInput: there is no checkpoint, or it is damaged, or of another model.
        """
        path = self.folder / CHECKPOINT
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads(file.metadata()[FACTS])
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            if facts["parts"].keys() != parts.keys():
                raise KeyError("other parts")
            for name, part in parts.items():
                part.load_state_dict(_unflattened(facts["parts"][name], held))
            return int(facts["step"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError):
            raise _damaged(path) from None

    # --------------------------------------------------------------------------------------- trace

    def note(self, step: int, mark: int) -> None:
        """Keep what the model came to after a step."""
        handle = os.open(self.folder / TRACE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "ab") as file:
            file.truncate(file.tell() // NOTE.size * NOTE.size)  # what a crash left half written
            file.write(NOTE.pack(step, mark))

    def noted(self) -> dict[int, int]:
        """Return what was kept by `note`, by step."""
        try:
            data = (self.folder / TRACE).read_bytes()
        except FileNotFoundError:
            return {}
        return dict(NOTE.iter_unpack(data[: len(data) // NOTE.size * NOTE.size]))

    def _write(self, name: str, data: bytes) -> None:
        aside = self.folder / f".{name}"
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.folder / name)
        _flush(self.folder)


def told(purpose: str, stream: Keystream) -> str:
    """Return a run's purpose as the ledger has it: with a commitment to its key."""
    return f"{purpose} [run {stream.words('commitment', 0, 2).tobytes().hex()}]"


def mark(model: nn.Module, stream: Keystream, norm: float | None = None) -> int:
    """Return 64 bits of a keyed hash of the trained parameters (GMAC, then BLAKE2b): other bits have other ones.

    Frozen ones move in no step, and may be most of the model; that they did not is looked at before the release.

    Args:
        model: The model.
        stream: From the run's key: who chooses the bits does not know the key.
        norm: What the next step clips to, where that moves.
    """
    cipher, found = AESGCM(stream.words("mark", 0, 4).tobytes()), hashlib.blake2b(digest_size=8)
    for parameter in (one for one in model.parameters() if one.requires_grad):
        data = parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
        for start in range(0, max(1, len(data)), PIECE):
            found.update(cipher.encrypt(bytes(12), b"", data[start : start + PIECE]))
    if norm is not None:
        found.update(cipher.encrypt(bytes(12), b"", struct.pack("<d", norm)))
    return int.from_bytes(found.digest(), "big")


def _flattened(value: Any, place: str, held: dict[str, torch.Tensor]) -> Any:
    """Return nested state as plain data, its tensors put into `held` under their places."""
    if isinstance(value, torch.Tensor):
        held[place] = value
        return {"tensor": place}
    if isinstance(value, Mapping):
        return {"map": [[key, _flattened(item, f"{place}{key}/", held)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_flattened(item, f"{place}{i}/", held) for i, item in enumerate(value)]}
    if value is None or isinstance(value, str | int | float):
        return {"plain": value}
    return {"left": type(value).__name__}  # functions of a scheduler: the new one has its own


def _unflattened(value: Any, held: Mapping[str, torch.Tensor]) -> Any:
    ((kind, item),) = value.items()
    if kind == "tensor":
        return held[item]
    if kind == "map":
        return {key: _unflattened(one, held) for key, one in item if "left" not in one}
    if kind in ("list", "tuple"):
        parts = [_unflattened(one, held) for one in item]
        return parts if kind == "list" else tuple(parts)
    return item


def _damaged(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path} cannot be read, or is of another model.",
        state="No step was taken. The run's charge stands.",
        remedy="Restore it from a backup, with the same model and optimiser; or train anew under a new attempt, "
        "which is a new charge.",
    )


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
