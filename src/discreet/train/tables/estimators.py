"""PrivateClassifier and PrivateRegressor: one declared column from the others, in the shape of scikit-learn."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch

from discreet.dataset import Dataset
from discreet.domains import Column
from discreet.errors import InvalidInput
from discreet.release import Release
from discreet.train.bound import Bound
from discreet.train.keystream import fresh_key
from discreet.train.plan import DPSGD
from discreet.train.released import held, load
from discreet.train.tables import encoding
from discreet.train.tables.cells import Cells
from discreet.train.tables.features import Array, Choice, Feature, Features, Number, chosen, target_of
from discreet.train.tables.net import Net
from discreet.train.tables.task import Task, outputs

EPOCHS = 20  # where neither epochs nor steps are given
AT_ONCE = 65536  # rows of a prediction
T = TypeVar("T", Choice, Number)


class _Estimator(Generic[T]):
    """What both share: parameters, the plan, the run, and the released model.

    Attributes:
        plan_: What was planned, after `fit`.
        release_: What was released.
        model_: The released model.
        features_: What each of its inputs is, in order.
    """

    _kind: ClassVar[str]
    _target: ClassVar[type[Feature]]

    def __init__(
        self,
        *,
        target: str,
        epsilon: float,
        delta: float,
        sample_rate: float,
        expected_batch_size: float,
        epochs: float | None = None,
        steps: int | None = None,
        hidden: Sequence[int] = (),
        max_grad_norm: float = 1.0,
        learning_rate: float = 0.2,
        features: Sequence[str] | None = None,
    ) -> None:
        self.target, self.epsilon, self.delta = target, epsilon, delta
        self.sample_rate, self.expected_batch_size = sample_rate, expected_batch_size
        self.epochs, self.steps, self.hidden = epochs, steps, hidden
        self.max_grad_norm, self.learning_rate = max_grad_norm, learning_rate
        self.features: Sequence[str] | None = features

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"

    # -------------------------------------------------------------------------------------- parameters

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002, ARG002 - scikit-learn's signature
        """Return the arguments of the constructor."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **changes: Any) -> Self:
        """Set arguments of the constructor, and return the estimator.

        Raises:
            InvalidInput: there is no such argument.
        """
        for name, value in changes.items():
            if name not in self._names():
                raise InvalidInput(
                    f"{type(self).__name__} has no parameter {name!r}.", remedy=f"It has: {', '.join(self._names())}."
                )
            setattr(self, name, value)
        return self

    # ------------------------------------------------------------------------------------------- train

    def plan(self, dataset: Dataset) -> DPSGD:
        """Return what `fit` would do to the rows: steps, noise, expected batch and cost. Nothing is read or spent.

        Raises:
            InvalidInput: an argument is wrong, or contradicts the dataset's domain.
        """
        return self._task(dataset).plan

    def question(self, dataset: Dataset, *, purpose: str = "train a model") -> Bound:
        """Return what `fit` would ask of the dataset: its event, guarantee and facts. Nothing is read or spent.

        Raises:
            InvalidInput: see `plan`.
        """
        return self._task(dataset).question(purpose)

    def fit(
        self,
        dataset: Dataset,
        *,
        name: str,
        purpose: str = "train a model",
        private: str | Path = "private",
        attempt: int = 1,
    ) -> Self:
        """Charge the dataset's account, train, release the model, and return the estimator.

        A fit that was interrupted goes on, without a new charge, when it is called again with the same arguments. One
        that was finished is answered from its release.

        Args:
            dataset: The private rows: an Arrow, pandas or polars table, or the path of a Parquet file.
            name: The release's name.
            purpose: Why; written to the ledger.
            private: The owner's folder, where what a run needs to go on is kept until it is finished.
            attempt: Train anew, for a new charge, what was charged and cannot go on.

        Raises:
            InvalidInput: an argument is wrong, or contradicts the dataset; nothing was spent.
            BudgetExceeded: the account does not hold the cost; nothing was spent.
            DataFailure: the work on the rows failed; the charge stands.

        Guarantee: the released model, with all that follows from it, is (epsilon, delta)-differentially private for the
            dataset's unit: `release_.guarantee`.
        Evidence: proven: docs/proofs/training_run.md. Features follow from the declared domain alone.
        Assumes: what `release_.guarantee.assumptions` lists. Sample rate and expected batch size are public constants.
        Not protected: how long training takes, and the private folder.

        References:
            Abadi et al., "Deep Learning with Differential Privacy", 2016.
        """
        task = self._task(dataset)
        run = task.start(name=name, purpose=purpose, private=private, attempt=attempt)
        run.fit()
        self.plan_ = task.plan
        return self._fitted(run.finish(), task.net, task.features, task.target)

    @classmethod
    def load(cls, release: Release) -> Self:
        """Return a fitted estimator, from its release alone.

        Raises:
            InvalidInput: the release holds no model of this kind.
        """
        tensors = held(release) or {}
        try:
            how, parameters, domain = encoding.read(tensors, cls._kind)
            found: Self = cls(**parameters)
            target = target_of(domain, found.target, cls._target)
            features = Features(domain, frozenset([found.target]))
            encoding.check_sizes(tensors, [features.width, *found.hidden, outputs(target)])
            net = Net(features.width, found.hidden, outputs(target), encoding=how)
            return found._fitted(release, net, features, target)
        except Exception:  # noqa: BLE001 - whoever writes a release may write anything in it
            raise InvalidInput(
                f"the release {release.name!r} holds no {cls.__name__} that this version of discreet reads.",
                state="Nothing was loaded.",
                remedy=f"Give the release of a {cls.__name__}; discreet.train.load reads other models.",
            ) from None

    # ----------------------------------------------------------------------------------------- predict

    def _fitted(self, release: Release, net: Net, features: Features, target: Any) -> Self:
        self.release_, self.model_ = release, load(release, net)
        self.features_, self._features, self._known = features.names, features, target
        return self

    def _target_of(self, table: Any) -> Array:
        found = Cells(_file(table), self._features, self._known, None)
        return np.asarray(found.take(slice(None))[1].numpy())

    def _outcome_of(self, table: Any) -> Array:
        """Return what the model puts out for a public table."""
        self._check_fitted()
        cells = Cells(_file(table), self._features, None, None)
        with torch.no_grad():
            parts = [
                self.model_(cells.take(slice(at, at + AT_ONCE))[0]) for at in range(0, max(1, cells.num_rows), AT_ONCE)
            ]
        return np.asarray(torch.cat(parts).double().numpy())

    def _check_fitted(self) -> None:
        if not hasattr(self, "release_"):
            raise InvalidInput(
                f"this {type(self).__name__} is not fitted.",
                state="Nothing was predicted.",
                remedy=f"Call fit(dataset, name=…), or take {type(self).__name__}.load(release).",
            )

    # -------------------------------------------------------------------------------------------- bind

    def _task(self, dataset: Dataset) -> Task:
        features: Features
        features, target = self._bound(dataset)
        plan = DPSGD(
            steps=self._steps(),
            max_grad_norm=self.max_grad_norm,
            expected_batch_size=self.expected_batch_size,
            relation=dataset.unit.relation,
            sample_rate=self.sample_rate,
        ).calibrate(self.epsilon, self.delta)
        read = {*features.columns, target.name}
        domain = {name: column for name, column in dataset.domain.items() if name in read}
        how = encoding.written(self._kind, self.get_params(), domain)
        seed = int.from_bytes(fresh_key(dataset.rng())[:7], "big")
        net = Net(features.width, self.hidden, outputs(target), encoding=how, seed=seed)
        return Task(
            dataset, plan, features, target, net, self.learning_rate, self._facts(features, target.name, domain)
        )

    def _facts(self, features: Features, target: str, domain: Mapping[str, Column]) -> dict[str, Any]:
        """Return how the table is read, and which settings are nobody's choice."""
        given = self.get_params()
        defaults = inspect.signature(type(self).__init__).parameters
        ours = [name for name, value in given.items() if value is not None and value == defaults[name].default]
        ours += ["steps"] if self.steps is None and self.epochs is None else []
        provenance = dict.fromkeys(ours, "default of discreet") | {
            "noise_multiplier": "calculated from ε, δ, steps and sample rate",
            "optimizer": "fixed by discreet",
            "clip": "fixed by discreet, with the max_grad_norm above",
        }
        return {
            "estimator": type(self).__name__,
            "target": {"column": target} | domain[target].to_dict(),
            "features": [{"column": name} | domain[name].to_dict() for name in features.columns],
            "loss": "cross entropy" if self._target is Choice else "squared error, the target scaled to -1 … 1",
            "parameters": {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()},
            "provenance": provenance,
        }

    def _bound(self, dataset: Dataset) -> tuple[Features, T]:
        if not isinstance(dataset, Dataset):
            raise InvalidInput(
                f"private rows come as a Dataset, got {type(dataset).__name__}.",
                remedy="Dataset(table, name=…, version=…, unit=…, domain=…, ledger=…, population=…).",
            )
        if not isinstance(self.hidden, list | tuple) or not all(_count(size) for size in self.hidden):
            raise InvalidInput(
                f"hidden must list the sizes of the hidden layers, got {self.hidden!r}.",
                remedy="() for a linear model, (64, 32) for two layers.",
            )
        if not isinstance(self.learning_rate, int | float) or not 0 < self.learning_rate < math.inf:
            raise InvalidInput(
                f"learning_rate must be a finite number above 0, got {self.learning_rate!r}.",
                remedy="Leave it out, or try 0.05 or 1.",
            )
        target: Any = target_of(dataset.domain, self.target, self._target)
        without = frozenset([self.target, dataset.unit.column or self.target])
        domain = dataset.domain if self.features is None else chosen(dataset.domain, self.features, without)
        features = Features(domain, without)
        if features.width == 0:
            raise InvalidInput(
                f"no declared column of {dataset.name!r} beside the target has bounds or keys: there is nothing to "
                "predict from.",
                remedy='Declare some: Domain(age=(0, 100), ward=["A", "B"], …).',
            )
        if not isinstance(dataset.source, Path) or dataset.source.exists():  # one plans without the data, too
            Cells(dataset.source, features, target, dataset.unit.column)  # refuses a source that lacks them
        return features, target

    def _steps(self) -> int:
        if self.steps is not None and self.epochs is not None:
            raise InvalidInput(
                f"epochs is {self.epochs!r} and steps is {self.steps!r}; one follows from the other.",
                remedy="Give one of them: steps = epochs / sample_rate.",
            )
        if self.steps is not None:
            return self.steps
        epochs, rate = EPOCHS if self.epochs is None else self.epochs, self.sample_rate
        for label, value, most in (("epochs", epochs, math.inf), ("sample_rate", rate, 1 + 1e-12)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < most:
                raise InvalidInput(
                    f"{label} must be a number above 0{' and at most 1' if most < 2 else ''}, got {value!r}.",
                    remedy="For example epochs=20, and sample_rate=0.02: a batch holds a fiftieth of the rows.",
                )
        return max(1, round(epochs / rate))


class PrivateClassifier(_Estimator[Choice]):
    """Logistic regression, or a small network, that tells the class of a row; its training is private.

    Columns with declared bounds are clamped and scaled by them; text, whole numbers, booleans and dates with declared
    keys become one input for each key. A column with neither is left out. What is NULL, or cannot be read as declared,
    has an input of its own beside a number, and is none of the keys. A row whose target is none of its keys counts as a
    row, and teaches nothing.

    Args:
        target: The column to tell; its declared keys are the classes.
        epsilon, delta: What the released model may cost.
        sample_rate: The chance of a row in each batch.
        expected_batch_size: What sums of gradients are divided by: sample_rate times a public idea of how many rows
            there are; never a number that was counted in private rows.
        epochs: How often each row is expected in a batch; 20 if steps are left out, too.
        steps: How many batches are drawn, instead of epochs.
        hidden: Sizes of hidden layers; none for logistic regression.
        max_grad_norm: The norm that the gradient of each row is clipped to.
        learning_rate: Of gradient descent with momentum 0.9.
        features: The columns that are read; by default all declared ones that can be, but target and person.
    """

    _kind, _target = "classifier", Choice

    @property
    def classes_(self) -> Array:
        """The classes, in the order of the declared keys."""
        self._check_fitted()
        return _listed(self._known.keys)

    def predict(self, table: Any) -> Array:
        """Return the likeliest class of each row of a public or new table.

        Raises:
            InvalidInput: the estimator is not fitted, or the table lacks a column.
        """
        return np.asarray(self.classes_[self._outcome_of(table).argmax(1)])

    def predict_proba(self, table: Any) -> Array:
        """Return how likely each class is, a row for each row; see `predict`."""
        return np.asarray(torch.softmax(torch.from_numpy(self._outcome_of(table)), 1).numpy())

    def score(self, table: Any) -> float:
        """Return the share of rows whose class is told right; rows without a known class count as wrong.

        Not protected: the rows. Of private rows the score is private; give it public ones.
        """
        return float((self._outcome_of(table).argmax(1) == self._target_of(table)).mean())


class PrivateRegressor(_Estimator[Number]):
    """Linear regression, or a small network, that predicts a number; its training is private.

    The target is scaled by its declared bounds, and predictions stay within them. All else is as of `PrivateClassifier`.

    Args:
        target: The column to predict; it has declared bounds.
        epsilon, delta: What the released model may cost.
        sample_rate: The chance of a row in each batch.
        expected_batch_size: A public constant: see `PrivateClassifier`.
        epochs: How often each row is expected in a batch; 20 if steps are left out, too.
        steps: How many batches are drawn, instead of epochs.
        hidden: Sizes of hidden layers; none for linear regression.
        max_grad_norm: The norm that the gradient of each row is clipped to.
        learning_rate: Of gradient descent with momentum 0.9.
        features: The columns that are read: see `PrivateClassifier`.
    """

    _kind, _target = "regressor", Number

    def predict(self, table: Any) -> Array:
        """Return the number predicted for each row of a public or new table; of a date, days since 1970.

        Raises:
            InvalidInput: the estimator is not fitted, or the table lacks a column.
        """
        found = self._outcome_of(table)[:, 0]
        return np.asarray(self._known.unscaled(found))

    def score(self, table: Any) -> float:
        """Return R² over the rows whose target is known.

        Not protected: the rows. Of private rows the score is private; give it public ones.
        """
        truth = self._target_of(table)
        known = ~np.isnan(truth)
        found = self.predict(table)[known]
        wanted = self._known.unscaled(truth[known])
        return float(1 - ((wanted - found) ** 2).sum() / ((wanted - wanted.mean()) ** 2).sum())


def _count(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size >= 1


def _listed(keys: Sequence[Any]) -> Array:
    """Return keys as an array of their own type where they have one."""
    alike = {type(key) for key in keys} in ({int}, {bool}, {str})
    return np.array(list(keys), None if alike else object)


def _file(table: Any) -> Any:
    return Path(table) if isinstance(table, str) else table
