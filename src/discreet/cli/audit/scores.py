"""Files of scores and coins, and the finding that they make."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discreet.errors import InvalidInput

if TYPE_CHECKING:
    from discreet.audit import Flip

SCORE, COIN = "score", "included"
COINS = {"1": True, "0": False, "true": True, "false": False, "1.0": True, "0.0": False}


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Canaries with their scores.

    Args:
        scores: In the order of the coins.
        flip: The coins.
    """

    scores: list[float]
    flip: Flip


def read(path: Path, coins: Path | None) -> Scored:
    """Read scores, and coins from beside them or from a file that `Flip.write` wrote.

    Args:
        path: A CSV file with a column "score", or a JSON object with a list "scores"; without `coins` also with a
            column or list "included" of zeros and ones. In the order in which the coins fell.
        coins: The recorded coins.

    Raises:
        InvalidInput: a file cannot be read, a column or number is missing, the coins are not fair, or there are two
            sets of them. Scores may be private: none is shown.
    """
    from discreet.audit import Flip

    text = _text(path)
    scores, included = _json(path, text) if path.suffix.lower() == ".json" else _csv(path, text)
    if coins is not None:
        if included is not None:
            raise InvalidInput(
                f"{path} holds coins, and {coins} holds others.", remedy=f'Leave "{COIN}" out, or --coins.'
            )
        return Scored(scores, Flip.read(coins))
    if included is None:
        raise InvalidInput(
            f'{path} says of no canary whether it was included: there is no "{COIN}".',
            remedy="Add it, or name the recorded coins by --coins.",
        )
    # Nobody says whether these are canaries or people, so what is made of them is kept as if they were people.
    return Scored(scores, replace(Flip.given(included), real=True))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.", remedy="Name a file with scores.") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is no text.", remedy="Name a CSV or JSON file with scores.") from None


def _csv(path: Path, text: str) -> tuple[list[float], list[bool] | None]:
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    names = [name.strip() for name in rows.fieldnames or []]
    if SCORE not in names or len(set(names)) != len(names):
        raise InvalidInput(
            f'{path} has no one column "{SCORE}".', remedy=f'Give it a first line with "{SCORE}" and "{COIN}".'
        )
    rows.fieldnames = names
    scores, included = [], []
    try:
        for place, row in enumerate(rows, start=1):
            scores.append(_number(row[SCORE], f"{path}, canary {place}"))
            if COIN in names:
                included.append(_coin(row[COIN], f"{path}, canary {place}"))
    except csv.Error:
        raise InvalidInput(
            f"{path} is no valid CSV after canary {len(scores)}.", remedy="Look for a quote or an endless field there."
        ) from None
    return scores, included if COIN in names else None


def _json(path: Path, text: str) -> tuple[list[float], list[bool] | None]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{path} is no valid JSON.", remedy="Write it anew.") from None
    if not isinstance(data, dict) or not isinstance(data.get("scores"), list):
        raise InvalidInput(f'{path} holds no list "scores".', remedy='Write {"scores": […], "included": […]}.')
    scores = [_number(item, f"{path}, canary {place}") for place, item in enumerate(data["scores"], start=1)]
    if COIN not in data:
        return scores, None
    if not isinstance(data[COIN], list):
        raise InvalidInput(f'{path}: "{COIN}" is no list.', remedy="Give one coin for each score.")
    return scores, [_coin(item, f"{path}, canary {place}") for place, item in enumerate(data[COIN], start=1)]


def _number(item: Any, where: str) -> float:
    """Return a score. It may be private, so an error says only where it stands."""
    try:
        told = isinstance(item, str | int | float) and not isinstance(item, bool) and "_" not in str(item)
        value = float(item) if told else math.nan  # Python would read 1_5 as 15
    except (ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInput(
            f"{where}: the score is no finite number.",
            remedy="Decide beforehand which score a canary gets that has none, and give it that.",
        )
    return value


def _coin(item: Any, where: str) -> bool:
    found = COINS.get(str(item).strip().lower()) if isinstance(item, str | int | float) else None
    if found is None:
        raise InvalidInput(f'{where}: "{COIN}" is neither 0 nor 1.', remedy="Write 1 for a canary that was included.")
    return found
