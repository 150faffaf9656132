"""[[release]] with kind = "train": a model of one column of a declared table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from discreet.domains import Domain
from discreet.errors import InvalidInput
from discreet.project.pieces import MISSING, get, keys, near, whole
from discreet.project.tables import Table
from discreet.release import check_name
from discreet.units import PrivacyUnit

if TYPE_CHECKING:
    from discreet.train import PrivateClassifier, PrivateRegressor

KIND = "train"
PRIVATE = "private"  # the folder, beside the file, where a run is kept until it is finished


@dataclass(frozen=True, slots=True)
class Training:
    """[[release]] kind = "train": one model, trained once.

    Fields are keys of the file; what is None there has the estimator's default.
    """

    name: str
    table: str
    target: str
    epsilon: float
    delta: float
    sample_rate: float
    expected_batch_size: float
    epochs: float | None = None
    steps: int | None = None
    hidden: Sequence[int] | None = None
    max_grad_norm: float | None = None
    learning_rate: float | None = None
    features: Sequence[str] | None = None
    purpose: str = ""
    attempt: int = 1

    @property
    def why(self) -> str:
        """What the ledger is told."""
        return self.purpose or self.name

    def estimator(self, domain: Domain) -> PrivateClassifier | PrivateRegressor:
        """Return what is trained: a classifier where the target has keys, else a regressor.

        Args:
            domain: The declared columns of its table.

        Raises:
            InvalidInput: the target is not declared, or its declaration says too little.
            MissingExtra: PyTorch is not installed.
        """
        from discreet.train import PrivateClassifier, PrivateRegressor

        if self.target not in domain:
            raise InvalidInput(
                f"target names {self.target!r}, which is no column of {self.table!r}.{near(self.target, domain)}",
                remedy=f"Declare it under [table.{self.table}.columns], or correct it.",
            )
        declared = domain[self.target]
        classes = 2 if declared.type == "boolean" else len(declared.keys or ())
        bounded = declared.keys is None and declared.low is not None
        if classes < 2 and not bounded:
            raise InvalidInput(
                f"the target {self.target!r} is declared without bounds and with fewer than two keys: nothing says what "
                "the model is to tell.",
                remedy=f"Under [table.{self.table}.columns] give it keys to tell apart, or low and high to lie between.",
            )
        kind = PrivateRegressor if bounded else PrivateClassifier
        given = {name: getattr(self, name) for name in SETTINGS}
        return kind(**{name: value for name, value in given.items() if value is not None})


# Each with its type in the file, and what stands for it where it is left out.
SETTINGS: Mapping[str, tuple[type, Any]] = {
    "target": (str, MISSING),
    "epsilon": (float, MISSING),
    "delta": (float, MISSING),
    "sample_rate": (float, MISSING),
    "expected_batch_size": (float, MISSING),
    "epochs": (float, None),
    "steps": (int, None),
    "hidden": (list, None),
    "max_grad_norm": (float, None),
    "learning_rate": (float, None),
    "features": (list, None),
}


def read_training(facts: Mapping[str, Any]) -> Training:
    """Read a [[release]] whose kind is "train"."""
    keys(facts, {"name", "kind", "table", "purpose", "attempt", *SETTINGS})
    return Training(
        name=check_name(get(facts, "name", str)),
        table=get(facts, "table", str),
        purpose=get(facts, "purpose", str, ""),
        attempt=whole(facts, "attempt", 1),
        **{name: get(facts, name, kind, default) for name, (kind, default) in SETTINGS.items()},
    )


def trained(name: str, declared: Mapping[str, Table]) -> tuple[Table, PrivacyUnit]:
    """Return the table that a model is trained on, and its unit: a person's first `max_rows` rows in all, together.

    Raises:
        InvalidInput: there is no such table, or its rows are nobody's or have no person of their own.
    """
    table = next((item for item in declared.values() if item.name.lower() == name.lower()), None)
    if table is None:
        raise InvalidInput(
            f"table names {name!r}, which is not declared.{near(name, declared)}",
            remedy=f"Declared: {', '.join(declared) or 'none'}. A view cannot be trained on.",
        )
    if table.unit is None:
        raise InvalidInput(
            f"the table {name!r} is public; a model of it needs no privacy, and would be charged for nothing.",
            remedy="Train on it with PyTorch or scikit-learn.",
        )
    if not table.anchors:
        raise InvalidInput(
            f"the rows of {name!r} do not hold the column {table.unit.column!r} that says whose they are.",
            remedy="Join the tables beforehand, and declare the result as a table of its own.",
        )
    return table, replace(table.unit, max_groups=1) if table.unit.enforced else table.unit
