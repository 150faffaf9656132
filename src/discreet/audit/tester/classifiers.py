"""Scores from classifiers of scikit-learn, for outputs of several parts."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from discreet.audit.tester.features import together
from discreet.audit.tester.outputs import Floats, Table
from discreet.errors import missing_extra

_LARGEST = 1e300  # what the classifiers can still square and add up


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A model of the odds that an output is of the first dataset.

    Args:
        name: Which model, in words.
        model: The fitted model.
        parts: On how many parts of the output.
    """

    name: str
    model: Any
    parts: int

    def score(self, table: Table) -> Floats:
        """Return the model's log-odds."""
        with _one_thread():
            found: Floats = self.model.decision_function(_design(table, self.parts)).astype(np.float64)
        return found

    def words(self, threshold: float, *, above: bool) -> str:
        """Return the odds."""
        return f"{self.name} of all parts gives log-odds of at {'least' if above else 'most'} {threshold:.6g}"


def logistic(first: Table, second: Table) -> Classifier:
    """Fit a logistic regression."""
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        raise missing_extra("audit", "scikit-learn") from None
    return _fitted("a logistic regression", make_pipeline(StandardScaler(), LogisticRegression()), first, second)


def boosted(first: Table, second: Table) -> Classifier:
    """Fit boosted trees."""
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError:
        raise missing_extra("audit", "scikit-learn") from None
    model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=0)
    return _fitted("boosted trees", model, first, second)


def _fitted(name: str, model: Any, first: Table, second: Table) -> Classifier:
    parts = max(first.parts, second.parts)
    design = np.concatenate([_design(first, parts), _design(second, parts)])
    truth = np.repeat([1, 0], [first.size, second.size])
    with warnings.catch_warnings(), _one_thread():
        warnings.simplefilter("ignore")  # a fit that did not converge is only a worse attack
        model.fit(design, truth)
    return Classifier(name, model, parts)


def _one_thread() -> AbstractContextManager[Any]:
    """Keep to one thread: on a busy machine several wait for each other, a hundred times as long as they work."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    limits: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return limits


def _design(table: Table, parts: int) -> Floats:
    """Return the parts, what is known of them together, and which of all that is no number and stands as 0."""
    known = np.column_stack([table.wide(parts), *(number.of(table) for number in together(parts)), table.lengths])
    unknown = np.isnan(known)
    found: Floats = np.column_stack([np.where(unknown, 0.0, known).clip(-_LARGEST, _LARGEST), unknown])
    return found
