"""What the ledger demands of its callers' values."""

from __future__ import annotations

import math
import re
from typing import Any

from discreet.accounting import Measure
from discreet.errors import InvalidInput
from discreet.ledger.account import Account
from discreet.ledger.keys import OwnerKey
from discreet.units import PrivacyUnit


def check_name(label: str, name: Any) -> None:
    """Refuse what does not print well as the name of a population or an analyst."""
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or not name.isprintable():
        raise InvalidInput(
            f"{label} must be a printable name of 1 to 200 characters, got {name!r}.", remedy="Choose another name."
        )


def check_text(label: str, text: Any) -> None:
    """Refuse what does not print well as a text of some lines."""
    if not isinstance(text, str) or not text.strip() or len(text) > 2000 or not _prints(text):
        found = f"a text of {len(text)}" if isinstance(text, str) else type(text).__name__
        raise InvalidInput(
            f"{label} must be a printable text of 1 to 2000 characters, got {found}.", remedy="Say it in a sentence."
        )


def _prints(text: str) -> bool:
    """Return whether a terminal shows it as it is: no control characters, nothing that cannot be encoded."""
    return all(mark.isprintable() or mark in "\n\t" for mark in text)


def check_digest(digest: Any) -> None:
    """Refuse what is no SHA-256 in hex."""
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise InvalidInput(
            f"digest must be a SHA-256 in hex, got {digest!r}.", state="The charge stands; its release is not recorded."
        )


def check_epsilon(label: str, epsilon: Any) -> None:
    """Refuse a budget that is no budget."""
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon <= 1000:
        raise InvalidInput(f"{label} must lie in (0, 1000], got {epsilon!r}.", remedy=f"For example {label} = 1.0.")


def check_terms(unit: Any, measure: Measure, epsilon: float, delta: Any, ceiling: Any) -> None:
    """Refuse terms under which no account can be opened."""
    if not isinstance(unit, PrivacyUnit):
        raise InvalidInput(f"unit must be a PrivacyUnit, got {type(unit).__name__}.")
    if isinstance(delta, bool) or not isinstance(delta, int | float) or not 0 <= delta < 1 or not math.isfinite(delta):
        raise InvalidInput(f"delta must lie in [0, 1), got {delta!r}.", remedy="For example delta = 1e-6.")
    if delta == 0 and measure.kind != "pure":
        raise InvalidInput(f"a {measure} account needs delta above 0.", remedy="Give a delta, or open a pure account.")
    if ceiling is not None:
        check_epsilon("ceiling", ceiling)
        if ceiling < epsilon:
            raise InvalidInput(
                f"the ceiling must be at least epsilon, got {ceiling!r}.", remedy="Leave it out, or raise it."
            )


def check_key(owner: Any, account: Account | None = None) -> None:
    """Refuse anything but an owner's key, and any key but the one that opened the account."""
    if not isinstance(owner, OwnerKey):
        raise InvalidInput(
            f"owner must be an OwnerKey, got {type(owner).__name__}.", remedy="Read it with OwnerKey.read(path)."
        )
    if account is not None and owner.public != account.public_key:
        raise InvalidInput(
            f"this is not the key that opened {account.population!r}.", remedy="Use the owner's key of that account."
        )
