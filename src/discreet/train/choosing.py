"""Choosing settings privately: many runs, charged as one event before the first row is read; only the best is released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from discreet.dataset import Answer, Dataset
from discreet.errors import DataFailure, InvalidInput
from discreet.ledger import Entry
from discreet.loan import Loan
from discreet.profiles import Guarantee
from discreet.release import Release
from discreet.train.bound import Bound, source_of
from discreet.train.keystream import Keystream
from discreet.train.released import TENSORS, described, tensors
from discreet.train.rows import Collate, Rows, check_source
from discreet.train.run import borrow, check_whole, fingerprint, stream_of
from discreet.train.selection import Best, Selection, best_of, snapshot
from discreet.train.setup import Build, Score, Setup, plain, public_score, right, seeded, tried, try_counting
from discreet.train.state import CHECKPOINT, State
from discreet.train.step import Step
from discreet.train.work import AGAIN, Work
from discreet.train.world import World

PUBLIC = "The score looks at the trained model and at public data alone, and nothing that it saw is kept or shown."
COUNTED = (
    "Whether the score calls an example right depends on that example's row and the model alone (tested on the rows given "
    "as `example`), and nothing that it saw is kept or shown."
)
ASSUMED = ("Nobody but the owner sees how many runs were made, how long they took, or any run but the best.",)


def select(
    dataset: Dataset,
    selection: Selection,
    candidates: Sequence[Any],
    *,
    build: Build,
    score: Score,
    example: Any,
    name: str,
    purpose: str = "choose settings and train a model",
    microbatch: int = 64,
    collate: Collate | None = None,
    private: str | Path = "private",
    checkpoint_every: int = 100,
    attempt: int = 1,
) -> Release:
    """Train a random number of times, each with settings drawn at random, and release the best model alone.

    All runs are charged as one event, before the first row is read. Interrupted, it is taken up again without a new
    charge, and comes out bit by bit the same.

    Args:
        dataset: The private records, see `make_private`.
        selection: A calibrated selection.
        candidates: The settings to choose from, public plain data: texts, numbers, lists and dicts of them.
        build: Makes the `Setup` of a candidate, new each time: first weights, drawn by torch alone from its seed, and
            nothing else that differs from one run to the next.
        score: `score(model)` says how good a trained model is, larger being better, by public data alone. With the
            selection's `score_noise`, `score(model, batch)` says of each example of a batch whether the model gets it
            right: they are counted over the private records. It is called without gradients.
        example: At least three rows that are public or made up: all that is built is tried on them.
        name: The release's name.
        purpose: Why; written to the ledger.
        microbatch: How many examples are computed at once.
        collate: See `make_private`.
        private: The owner's folder for what is not finished: as private as the rows.
        checkpoint_every: After how many steps a run is saved.
        attempt: Begin anew, for a new charge, what was charged and cannot go on.

    Returns:
        The release of the best run; its facts name the candidate that it had. It holds no model where Poisson's law
        gave no run at all.

    Raises:
        InvalidInput: an argument is wrong, a candidate cannot be trained privately, or what was interrupted would not
            be the same again. Nothing was spent.
        UnsupportedEvent: there is no bound of such a selection. Nothing was spent.
        BudgetExceeded: the account does not hold the cost; nothing was spent.
        DataFailure: a run, its score or the release failed. The charge stands; it can be taken up again.

    Guarantee: the released model, with the candidate that it had, is (epsilon, delta)-differentially private for the
        dataset's unit, as the release's guarantee says.
    Evidence: proven: docs/proofs/private_selection.md and docs/proofs/training_run.md.
    Assumes: what the guarantee's assumptions list.
    Not protected: how many runs there were and how long they took, their losses and scores, models that `build` or
        `score` keep, and the private folder.

    References:
        Papernot and Steinke, "Hyperparameter Tuning with Rényi Differential Privacy", 2022.
    """
    _check_account(dataset, selection)
    check_source(dataset, collate, example)
    for label, value in (("microbatch", microbatch), ("checkpoint_every", checkpoint_every)):
        check_whole(label, value)
    world = World.here()
    if world.size > 1:
        raise InvalidInput(
            f"{world.size} processes were started, and select works in one.",
            remedy="Start one process; or choose on public data, and train by make_private in several.",
        )
    listed = plain(candidates)
    known = (
        partial(public_score, score) if selection.score_noise is None else partial(try_counting, score, example=example)
    )
    bounds = [tried(dataset, selection.plan, one, build, known, example, collate, purpose) for one in listed]
    bound = _bound(dataset, selection, listed, bounds, score)
    request = dataset.request(bound, name=name, attempt=attempt)
    state, best = State(Path(private).absolute() / request), Best()
    with state.held():
        stream = stream_of(
            dataset, request, state, fingerprint(microbatch, world), lambda: state.save(0, {"best": best})
        )
        loan = borrow(dataset, bound, state, stream, name=name, purpose=purpose, request=request)
        if isinstance(loan, Release):
            state.erase()
            return loan
        done = state.load({"best": best})
        runs = _Runs(
            dataset,
            selection,
            listed,
            bounds,
            build,
            score,
            example,
            microbatch,
            collate,
            checkpoint_every,
            state,
            loan,
        )
        best_of(selection, stream, len(listed), runs.take, best, done=done, keep=partial(runs.keep, best))
        release = runs.settle(best, bound)
        state.erase()
    return release


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """What takes the runs of a selection that was charged."""

    dataset: Dataset
    selection: Selection
    candidates: Sequence[Any]
    bounds: Sequence[Bound]
    build: Build
    score: Score
    example: Any
    microbatch: int
    collate: Collate | None
    checkpoint_every: int
    state: State
    loan: Loan

    def take(self, number: int, which: int, stream: Keystream) -> tuple[float, Mapping[str, torch.Tensor]]:
        """Train with a candidate, from the start or from where it was interrupted; return score and model."""
        setup = self._built(which, stream)
        plan = setup.plan(self.selection.plan)
        moved, state = setup.moved(plan), self._folder(number)
        with state.held():
            if not (state.folder / CHECKPOINT).exists():
                state.save(0, moved.parts)
            step = setup.step(plan, moved, self.microbatch, stream, World())
            work = Work(step, self.loan, state, moved.parts, state.load(moved.parts), self.checkpoint_every)
            try:
                work.resume(self.collate, self.dataset.unit)
                while work.taken < plan.steps:
                    work.take(work.batch())
                return self._scored(step, stream, work.rows)
            except BaseException:
                step.spoil()
                raise
            finally:
                work.close()

    def _built(self, which: int, stream: Keystream) -> Setup:
        """Return the setup of a run, once it is known to be what was charged, and was tried on public rows.

        Tried anew for each model: what is found out of how it computes must not come from its first private batch.
        """
        with seeded(_word(stream, "build")):
            setup = self.build(self.candidates[which])
        try:
            same = isinstance(setup, Setup) and self.bounds[which].identity == self._identity(setup)
            if same:
                setup.check(self.example)
        except InvalidInput:
            same = False
        if not same:  # a constant: which candidates were drawn, and in which run, stays secret
            raise InvalidInput(
                "build made something else than what was charged: it may draw first weights, and nothing else.",
                state="The charge stands, and what was done is kept. Nothing was released.",
                remedy="Let build take all settings from its candidate alone, as it did when it was tried. " + AGAIN,
            ) from None
        return setup

    def _identity(self, setup: Setup) -> Mapping[str, Any]:
        return setup.bind(self.dataset, setup.plan(self.selection.plan), self.collate, "").identity

    def keep(self, best: Best, done: int) -> None:
        """Keep the best of the runs so far, and erase the last one."""
        self.state.save(done, {"best": best})
        self._folder(done - 1).erase()

    def settle(self, best: Best, bound: Bound) -> Release:
        """Release the best run."""

        def release(_: Any, entry: Entry) -> Release:
            with seeded(0):
                model = self.build(self.candidates[best.which or 0]).model
            if best.which is None:
                answer, facts = Answer(described(model).slice(0, 0), {}, {}), bound.facts
            else:
                model.load_state_dict(best.tensors)
                answer = Answer(described(model), {}, {TENSORS: tensors(model)})
                facts = _facts(self.selection, self.candidates, self.bounds[best.which].facts, best.which)
            told = replace(bound, facts=facts)
            return self.dataset.release(told, answer, self.dataset.rng(), entry, name=self.loan.name)

        return self.loan.settle(release)

    def _scored(self, step: Step, stream: Keystream, rows: Rows | None) -> tuple[float, Mapping[str, torch.Tensor]]:
        """Return the score of what a run comes to, and that itself as it was before the score saw it."""
        if step.average is not None:
            step.average.put()
        step.fixed.restore()
        if not step.fixed.frozen():
            raise _failed("a frozen parameter has changed")
        found = snapshot(step.model)
        try:
            with torch.no_grad(), seeded(_word(stream, "score")):
                return self.loan.read(lambda _: self._score(step, rows)), found
        except DataFailure:  # a constant: it holds nothing of its cause
            raise _failed(
                "the score of a model failed; its cause is withheld, for which models there were is private"
            ) from None

    def _score(self, step: Step, rows: Rows | None) -> float:
        """Return the score of a model: by public data, or the noisy count of records that it gets right."""
        if self.selection.score_noise is None:
            return public_score(self.score, step.model)
        assert rows is not None
        count = 0
        for units, _ in rows.micro(np.arange(len(rows), dtype=np.int64), self.microbatch):
            count += int(right(self.score, step.model, rows.batch(units), units.size).sum())
            step.fixed.restore()
        noise = step.noise.fresh(step.plan.steps, "score", 1)  # no step of the training has this number
        return count + self.selection.score_noise * float(noise[0])

    def _folder(self, number: int) -> State:
        return State(self.state.folder / f"run-{number}")


def _check_account(dataset: Dataset, selection: Selection) -> None:
    if not isinstance(selection, Selection):
        raise InvalidInput(
            f"selection must be a Selection, got {type(selection).__name__}.",
            remedy="Selection(plan, mean_runs=10).calibrate(target_epsilon, target_delta)",
        )
    if selection.score_noise is not None and dataset.unit.max_rows != 1:
        raise InvalidInput(
            f"a score counts one record of each unit, and the dataset's units have {dataset.unit.max_rows} rows each.",
            remedy="Score on public data, without score_noise; or declare max_rows=1.",
        )
    kind = dataset.ledger.account(dataset.population).measure.kind
    if kind != "renyi":
        raise InvalidInput(
            f"the account {dataset.population!r} is measured in {kind}, in which no bound of the best of many training "
            "runs is known.",
            remedy="Open an account that is measured in renyi; or choose on public data, and train by make_private.",
        )


def _bound(
    dataset: Dataset, selection: Selection, candidates: Sequence[Any], bounds: Sequence[Bound], score: Score
) -> Bound:
    """Return the whole selection as what a dataset is asked."""
    delta = selection.plan.delta
    assert delta is not None  # bind saw to it
    epsilon = selection.epsilon(delta).upper
    said = PUBLIC if selection.score_noise is None else COUNTED
    held = tuple(dict.fromkeys([*(text for one in bounds for text in one.guarantee.assumptions), said, *ASSUMED]))
    guarantee = Guarantee(dataset.unit, epsilon, delta, selection.profile.method, held)
    identity = {
        "kind": "train the best",
        "v": 1,
        "mean_runs": selection.mean_runs,
        "shape": selection.shape,
        "score_noise": selection.score_noise,
        "candidates": list(candidates),
        "runs": [one.identity for one in bounds],
        "score": source_of(score),
    }
    return Bound(selection.event, guarantee, identity, _facts(selection, candidates, bounds[0].facts, None))


def _facts(
    selection: Selection, candidates: Sequence[Any], one: Mapping[str, Any], which: int | None
) -> dict[str, Any]:
    """Return what a release says of itself: which candidate it had, and nothing of how many runs there were."""
    count = f"{len(candidates):,} candidates" if len(candidates) > 1 else "one candidate"
    best = (
        f"It is the best of a secret number of such runs (law: {selection.law}), each with settings drawn from {count}; "
        "all together are charged as one."
    )
    none = f"By chance no run was made at all (law of how many: {selection.law}), and no model is released."
    return {
        **one,
        "sentence": none if which is None else f"{one['sentence']} {best}",
        "steps_taken": 0 if which is None else one["steps"],
        "selection": {
            "candidates": list(candidates),
            "chosen": None if which is None else candidates[which],
            "law": selection.law,
            "mean_runs": selection.mean_runs,
            "shape": selection.shape,
            "score": "on public data" if selection.score_noise is None else "on the private records, with noise",
            "score_noise": selection.score_noise,
            "provenance": "chosen on the private rows, by private selection; what that costs is in the guarantee",
        },
    }


def _failed(what: str) -> DataFailure:
    return DataFailure(
        f"{what}.", state="The charge stands, and what was done is kept. Nothing was released.", remedy=AGAIN
    )


def _word(stream: Keystream, label: str) -> int:
    return int(stream.words(label, 0, 1)[0])
