"""Shadows: models trained like the target, each on its own random half, to learn how membership shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from discreet.audit.canaries import Flip, flip
from discreet.audit.membership.signals import Signals, logits
from discreet.errors import InvalidInput, missing_extra
from discreet.mechanisms import Rng

FEWEST = 20  # records; with fewer the coins may leave the target with one class, or none
FEWEST_SHADOWS = 4  # with fewer no signal has a spread

Scorer = Callable[[Any, Any], Any]


class Shadows:
    """A target and its shadows, trained one by one as this is iterated over.

    Fair coins of the operating system decide which records the target is trained on, so that their scores can be
    held against a claim. Each record is in exactly half of the shadows, by chance.

    Args:
        fit: A scikit-learn classifier with `predict_proba`, cloned for each model; or a function that is given data
            and labels and returns a fitted one, or returns a function that is given data and labels and returns
            the confidence, in [0, 1], in each record's own label.
        data: The records: an array, a sparse matrix or a frame, one row each.
        labels: Their labels.
        count: How many shadows; an even number, so that each record is in half of them.

    Raises:
        InvalidInput: the lengths differ, there is one class only, or count is not an even number of at least 4.

    Not protected:
        Anything. This reads real records and charges nobody: what comes out is internal.
    """

    def __init__(self, fit: Any, data: Any, labels: Any, *, count: int = 32) -> None:
        self._labels = np.asarray(labels)
        records = data.shape[0] if hasattr(data, "shape") else len(data)
        if self._labels.ndim != 1 or self._labels.size != records:
            raise InvalidInput(
                f"each record needs one label, got {records} records and labels of shape {self._labels.shape}.",
                remedy="Give as many labels as records.",
            )
        if records < FEWEST or np.unique(self._labels).size < 2:
            raise InvalidInput(
                f"an attack needs at least {FEWEST} records of at least two classes, got {records} of "
                f"{np.unique(self._labels).size}.",
                remedy="Give more records, of every class.",
            )
        if isinstance(count, bool) or not isinstance(count, int) or count < FEWEST_SHADOWS or count % 2:
            raise InvalidInput(
                f"count must be an even number of at least {FEWEST_SHADOWS}, got {count!r}.",
                remedy="The usual number is 32 or 64.",
            )
        self._fit, self._data, self._count = _fitter(fit), data, count
        self._flip = replace(flip(records), real=True)
        self._inside = _halves(count, records)
        self._signals: list[NDArray[np.float64]] = []

    def __len__(self) -> int:
        """How many models there are to train: the target and its shadows."""
        return self._count + 1

    def __iter__(self) -> Iterator[int]:
        """Train the models that are left, and yield the number of each when it is done."""
        while len(self._signals) <= self._count:
            done = len(self._signals)
            chosen = np.flatnonzero(self.flip.included if done == 0 else self._inside[done - 1])
            score = self._fit(_rows(self._data, chosen), self._labels[chosen])
            self._signals.append(_checked(score(self._data, self._labels), self._labels.size))
            yield done

    @property
    def flip(self) -> Flip:
        """The coins that decided which records the target was trained on."""
        return self._flip

    @property
    def signals(self) -> Signals:
        """What all models say of all records.

        Raises:
            InvalidInput: some are not trained yet.
        """
        if len(self._signals) <= self._count:
            raise InvalidInput(
                f"{len(self._signals)} of {len(self)} models are trained.", remedy="Iterate to the end first."
            )
        return Signals(self._signals[0], np.stack(self._signals[1:]), self._inside)


def _halves(models: int, records: int) -> NDArray[np.bool_]:
    """Return for each record the random half of the models that it is in."""
    places = np.argsort(Rng().words(models * records).reshape(models, records), axis=0)
    return np.argsort(places, axis=0) < models // 2


def _rows(data: Any, chosen: NDArray[np.intp]) -> Any:
    return (
        data.iloc[chosen] if hasattr(data, "iloc") else (data if hasattr(data, "shape") else np.asarray(data))[chosen]
    )


def _checked(confidences: Any, records: int) -> NDArray[np.float64]:
    found = logits(confidences)
    if found.shape != (records,):
        raise InvalidInput(
            f"a model must give one confidence for each of {records} records, got an array of shape {found.shape}.",
            remedy="Return the confidence in each record's own label.",
        )
    return found


def _fitter(fit: Any) -> Callable[[Any, Any], Scorer]:
    """Return a function that fits a model and returns what scores records by it."""
    if hasattr(fit, "fit") and hasattr(fit, "get_params"):
        try:
            from sklearn.base import clone
        except ImportError:
            raise missing_extra("audit", "scikit-learn") from None
        return lambda data, labels: _scorer(clone(fit).fit(data, labels))
    if callable(fit):
        return lambda data, labels: _scorer(fit(data, labels))
    raise InvalidInput(
        f"fit must be a scikit-learn classifier or a function, got {type(fit).__name__}.",
        remedy="Give a function of data and labels that returns a fitted model.",
    )


def _scorer(model: Any) -> Scorer:
    if hasattr(model, "predict_proba"):
        return lambda data, labels: confidence(model, data, labels)
    if callable(model):
        return model  # type: ignore[no-any-return]
    raise InvalidInput(
        f"a fitted model needs predict_proba, or must be a function; got {type(model).__name__}.",
        remedy="Return a function that is given data and labels and returns confidences.",
    )


def confidence(model: Any, data: Any, labels: Any) -> NDArray[np.float64]:
    """Return a fitted classifier's confidence in each record's own label; 0 for a label that it never saw."""
    asked = np.asarray(labels)
    probabilities, classes = np.asarray(model.predict_proba(data), dtype=np.float64), np.asarray(model.classes_)
    order = np.argsort(classes)
    place = order[np.minimum(np.searchsorted(classes, asked, sorter=order), classes.size - 1)]
    own = probabilities[np.arange(asked.size), place]
    return np.where(classes[place] == asked, np.clip(own, 0.0, 1.0), 0.0)
