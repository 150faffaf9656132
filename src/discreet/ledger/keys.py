"""OwnerKey: the Ed25519 key with which an owner signs openings, raises and shares."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from discreet.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class OwnerKey:
    """The owner's signing key. Whoever holds it can raise budgets; keep it off analysts' machines."""

    _key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"OwnerKey(public={self.public[:16]}…)"

    @classmethod
    def create(cls, path: str | Path) -> OwnerKey:
        """Create a key and write it to `path`, readable by the owner alone (mode 0600).

        Raises:
            InvalidInput: the file exists already, or cannot be written.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.generate()
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise InvalidInput(
                f"no key can be written to {path}: {error.strerror}.", remedy="Choose a new path for the owner's key."
            ) from None
        with os.fdopen(handle, "w") as file:
            file.write(key.private_bytes_raw().hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        return cls(key)

    @classmethod
    def read(cls, path: str | Path) -> OwnerKey:
        """Read a key written by `create`.

        Raises:
            InvalidInput: the file is missing or holds no key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        remedy = "Give the path of the key the account was opened with."
        try:
            raw = bytes.fromhex(Path(path).read_text(encoding="ascii").strip())
            return cls(Ed25519PrivateKey.from_private_bytes(raw))
        except FileNotFoundError:
            raise InvalidInput(f"the owner's key {path} does not exist.", remedy=remedy) from None
        except OSError as error:
            raise InvalidInput(f"the owner's key {path} cannot be read: {error.strerror}.", remedy=remedy) from None
        except ValueError:
            raise InvalidInput(f"{path} holds no owner's key.", remedy=remedy) from None

    @property
    def public(self) -> str:
        """The public key, hex."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, hash: str) -> str:  # noqa: A002 - what is signed
        """Return the signature of an entry's hash, hex."""
        return self._key.sign(hash.encode()).hex()


def signed(public_key: str, hash: str, signature: str | None) -> bool:  # noqa: A002
    """Return whether `signature` is the key's signature of `hash`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature or ""), hash.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
