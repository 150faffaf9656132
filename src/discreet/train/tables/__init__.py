"""Estimators for tables: classify or predict one declared column from the others, with a private training run."""

from discreet.train.tables.estimators import PrivateClassifier, PrivateRegressor

__all__ = ["PrivateClassifier", "PrivateRegressor"]
