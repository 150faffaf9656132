"""How the releases of a file are asked, each kind in its own way: bound to a dataset, then charged and run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from discreet.errors import InvalidInput, UnsupportedEvent, UnsupportedQuery
from discreet.project.read import Planned
from discreet.project.training import PRIVATE, Training
from discreet.release import Release

if TYPE_CHECKING:
    from discreet.dataset import Dataset
    from discreet.ledger import Ledger
    from discreet.project.project import Project
    from discreet.sql import QueryPlan
    from discreet.train.bound import Bound

    Asked: TypeAlias = QueryPlan | Bound


def bind(project: Project, release: Planned | Training, ledger: Ledger | None) -> tuple[Dataset, Asked]:
    """Return the dataset that a release reads, and what it is asked. Reads no private row.

    Args:
        project: The project.
        release: As declared.
        ledger: See `Project.dataset`.
    """
    if isinstance(release, Training):
        dataset = project.dataset_to_train(release.table, ledger=ledger)
        return dataset, release.estimator(dataset.domain).question(dataset, purpose=release.why)
    from discreet import sql

    dataset = project.dataset_of(release.sql, ledger=ledger)
    return dataset, sql.plan(
        dataset,
        release.sql,
        epsilon=release.epsilon,
        delta=release.delta,
        weights=release.weights,
        guess=release.guess,
    )


def ask(release: Planned | Training, dataset: Dataset, folder: Path) -> Release:
    """Charge, run and write a release, or return the one that stands.

    Args:
        release: As declared.
        dataset: What it reads.
        folder: The project's.
    """
    if isinstance(release, Training):
        estimator = release.estimator(dataset.domain)
        private = folder / PRIVATE
        return estimator.fit(
            dataset, name=release.name, purpose=release.why, private=private, attempt=release.attempt
        ).release_
    from discreet import sql

    return sql.query(
        dataset,
        release.sql,
        epsilon=release.epsilon,
        delta=release.delta,
        weights=release.weights,
        guess=release.guess,
        name=release.name,
        purpose=release.why,
        attempt=release.attempt,
    )


def located(
    error: InvalidInput | UnsupportedQuery | UnsupportedEvent, path: Path, name: str
) -> InvalidInput | UnsupportedQuery | UnsupportedEvent:
    """Return an error with the file and the release that it comes from."""
    return type(error)(f"{path}: [[release]] {name}: {error.what}", state=error.state, remedy=error.remedy)
