"""Signals: what a target model and its shadow models say of each record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from discreet.errors import InvalidInput, missing_extra

LEAST_VARIANCE = 1e-6  # of that of all records: one whose shadows agree must not win by that alone
SURE = 1e-4  # a model that is surer than this is taken to be this sure: more says little, and spoils every mean

Numbers = Sequence[float] | NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """What a target and its shadows say of each record: the logits of their confidence in the record's own label.

    Args:
        target: One number for each record; `logits` makes it from confidences.
        shadows: A row for each shadow model, a column for each record.
        inside: As `shadows`: whether the record was among those that this shadow was trained on.

    Raises:
        InvalidInput: the shapes differ, or a number is not finite.
    """

    target: NDArray[np.float64]
    shadows: NDArray[np.float64]
    inside: NDArray[np.bool_]

    def __post_init__(self) -> None:
        target, shadows = finite("target", self.target, 1), finite("shadows", self.shadows, 2)
        inside = np.asarray(self.inside)
        if shadows.shape[1] != target.size or inside.shape != shadows.shape:
            raise InvalidInput(
                f"a target of {target.size} records needs shadows and inside with as many columns and equal rows, "
                f"got {shadows.shape} and {inside.shape}.",
                remedy="Give every model's signal for every record, a row for each model.",
            )
        if inside.dtype != np.bool_:
            raise InvalidInput(f"inside must hold true and false, got {inside.dtype}.", remedy="Compare it with 1.")
        if not shadows.shape[0]:
            raise InvalidInput("there is no shadow model.", remedy="Train some, or score by loss_threshold alone.")
        for name, value in {"target": target, "shadows": shadows, "inside": inside}.items():
            object.__setattr__(self, name, value)

    def side(self, *, inside: bool, least: int) -> Side:
        """Return each record's moments over the shadows that it was in, or was not in.

        Raises:
            InvalidInput: for some record there are fewer than `least` such shadows.
        """
        counts, means, squares = self._moments(inside=inside)
        if counts.min() < least:
            raise InvalidInput(
                f"{int((counts < least).sum())} of {counts.size} records were {'inside' if inside else 'left out of'} "
                f"fewer than {least} of {self.shadows.shape[0]} shadows.",
                remedy="Train more shadows, each on its own half of the records; or use the offline form of the attack.",
            )
        others = self._moments(inside=not inside)
        total = _pooled(np.append(counts, others[0]), np.append(squares, others[2]))
        if not total > 0:
            raise InvalidInput(
                "the shadows' signals do not vary: each record has the same signal in all of them.",
                remedy="Train at least four shadows, each on its own random half of the records.",
            )
        return Side(counts, means, squares, max(_pooled(counts, squares), LEAST_VARIANCE * total))

    def _moments(self, *, inside: bool) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        chosen = self.inside if inside else ~self.inside
        counts = chosen.sum(axis=0)
        means = np.where(chosen, self.shadows, 0.0).sum(axis=0) / np.maximum(counts, 1)
        return counts, means, (np.where(chosen, self.shadows - means, 0.0) ** 2).sum(axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Each record's moments over some shadows.

    Attributes:
        counts: How many shadows.
        means: The mean of their signals.
        squares: The sum of squared deviations from that mean.
        pooled: The variance within records, pooled over all of them. A model that is always equally sure of what it
            has seen has none: then a millionth of that of both sides stands in.
    """

    counts: NDArray[np.int64]
    means: NDArray[np.float64]
    squares: NDArray[np.float64]
    pooled: float


def _pooled(counts: NDArray[np.int64], squares: NDArray[np.float64]) -> float:
    freedom = int(np.maximum(counts - 1, 0).sum())
    return float(squares.sum()) / freedom if freedom else 0.0


def logits(confidences: Numbers) -> NDArray[np.float64]:
    """Return log(p / (1 - p)) of a model's confidences in the records' own labels.

    Args:
        confidences: Probabilities, of any shape; below 0.0001 and above 0.9999 they are taken to be that.

    Raises:
        InvalidInput: one is no probability.
    """
    p = np.asarray(confidences, dtype=np.float64)
    if not np.all((p >= 0) & (p <= 1)):  # of nan neither holds
        raise InvalidInput(
            f"confidences must lie in [0, 1], got {int((~((p >= 0) & (p <= 1))).sum())} of {p.size} that do not.",
            remedy="Give the probability that the model gives to the record's own label.",
        )
    p = np.clip(p, SURE, 1 - SURE)
    found: NDArray[np.float64] = np.log(p) - np.log1p(-p)
    return found


def finite(name: str, values: Any, axes: int) -> NDArray[np.float64]:
    """Return an array of finite numbers with so many axes, none of them empty.

    Raises:
        InvalidInput: it is none.
    """
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} must hold numbers.", remedy="Give an array of numbers.") from None
    if found.ndim != axes:
        raise InvalidInput(f"{name} must have {axes} axes, got {found.ndim}.", remedy="Check its shape.")
    wrong = int((~np.isfinite(found)).sum())
    if wrong:
        raise InvalidInput(
            f"{name} must be finite, {wrong} of {found.size} are not.",
            remedy="Find out why the model gives NaN or infinity; such a record has no score.",
        )
    return found


def special() -> Any:
    """Return scipy.special, loaded with the first score that needs it."""
    try:
        import scipy.special
    except ImportError:
        raise missing_extra("audit", "scipy") from None
    return scipy.special
