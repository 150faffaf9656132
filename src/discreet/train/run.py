"""A private training run: charged once before the first row is read, taken step by step, released at its end."""

from __future__ import annotations

import platform
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import torch
from torch import nn

from discreet.dataset import Answer, Dataset
from discreet.errors import BudgetExceeded, InvalidInput
from discreet.ledger import Entry
from discreet.loan import Loan
from discreet.profiles import Guarantee, show_delta, show_up
from discreet.release import Release
from discreet.train.augment import Augment
from discreet.train.batches import Batch
from discreet.train.bound import Bound, moved_by
from discreet.train.clipping import Clip
from discreet.train.clipping.setting import refuse_autocast
from discreet.train.keystream import KEY_BYTES, Keystream, fresh_key
from discreet.train.plan import DPSGD
from discreet.train.released import TENSORS, described, load, tensors
from discreet.train.rows import Collate, check_source
from discreet.train.setup import Setup
from discreet.train.state import State, told
from discreet.train.step import Loss
from discreet.train.work import AGAIN, Work
from discreet.train.world import World


def make_private(
    dataset: Dataset,
    plan: DPSGD,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    example: Any,
    name: str,
    purpose: str = "train a model",
    clip: Clip | None = None,
    microbatch: int = 64,
    scheduler: Any = None,
    average: float | None = None,
    augment: Augment | None = None,
    collate: Collate | None = None,
    private: str | Path = "private",
    checkpoint_every: int = 100,
    attempt: int = 1,
    facts: Mapping[str, Any] | None = None,
) -> Run:
    """Charge a training run, whole, and return it; or take up one that was interrupted, without a new charge.

    Args:
        dataset: The private records. Its source is a tensor, a tuple, list or dict of tensors (first axis: the
            record), a PyTorch data set with `len` and numbers, a `datasets.Dataset`, an Arrow table, or the path of a
            Parquet file.
        plan: A calibrated plan.
        model: The model, with its first weights. It is trained in place.
        optimizer: Over the model's trainable parameters.
        loss: `loss(model, batch)` returns one number for each example of a batch, not averaged.
        example: At least three rows that are public or made up, as a batch like those of the source: what model and
            loss are tried on before anything is spent.
        name: The release's name.
        purpose: Why; written to the ledger.
        clip: How gradients are clipped; `Flat(plan.max_grad_norm)` if left out. With `Quantile` the norm moves.
        microbatch: How many examples are computed at once: a matter of memory, neither of privacy nor of the result.
            Those of a person stay together: there may be as many as the unit's `max_rows`.
        scheduler: A scheduler of the optimizer's, stepped after each step.
        average: Release the moving average of the models on the way, of which this much stays in each step (0.99, say);
            None: the last model. It costs nothing.
        augment: Random variants of each row, clipped as one: `Augment(function, times)`. They count for `microbatch`.
        collate: What makes a batch of what the source holds, see `Rows`; an Arrow table needs one.
        private: The owner's folder, where what a run needs to go on is kept until it is finished: as private as
            the rows.
        checkpoint_every: After how many steps the run is saved; an interrupted one takes the steps since then again.
        attempt: Train anew, for a new charge, what was charged and cannot go on.
        facts: What else is public of the model and of how its settings were chosen: plain data, for reports. Part of what
            names the run.

    Returns:
        The run: `run.fit()`, or `for batch in run.loader: run.step(batch)`; then `run.finish()`.

    Raises:
        InvalidInput: an argument is wrong, the model cannot be trained privately, or an interrupted run would not be
            the same again. Nothing was spent.
        BudgetExceeded: the account does not hold the cost; nothing was spent.

    Guarantee: the model after each step, with all that follows from it, is (epsilon, delta)-differentially private for
        the dataset's unit: `run.guarantee`.
    Evidence: proven: docs/proofs/training_run.md and the notes that it names.
    Assumes: what `run.guarantee.assumptions` lists.
    Not protected: losses, norms, batches, running times, and the private folder.

    References:
        Abadi et al., "Deep Learning with Differential Privacy", 2016.
    """
    if not isinstance(plan, DPSGD):
        raise InvalidInput(f"plan must be a DPSGD, got {type(plan).__name__}.", remedy="For example DPSGD(…).")
    check_source(dataset, collate, example)
    for label, value in (("microbatch", microbatch), ("checkpoint_every", checkpoint_every)):
        check_whole(label, value)
    setup = Setup(
        model=model, optimizer=optimizer, loss=loss, clip=clip, scheduler=scheduler, average=average, augment=augment
    )
    bound = setup.bind(dataset, plan, collate, purpose, facts)
    moved = setup.moved(plan)
    setup.check(example)
    request = dataset.request(bound, name=name, attempt=attempt)
    state, world = State(Path(private).absolute() / request), World.here()
    if not world.same(int(request[:16], 16)):
        raise InvalidInput(
            "the processes were given different runs: plans, models, losses or datasets that are not the same.",
            remedy="Start all processes with the same program.",
        )
    lend = partial(borrow, dataset, bound, state, name=name, purpose=purpose, request=request)
    with ExitStack() as held:

        def opened() -> bytes:
            held.enter_context(state.held())
            under = fingerprint(microbatch, world)
            found = stream_of(dataset, request, state, under, lambda: state.save(0, moved.parts))
            lend(found)
            return found.key()

        stream = Keystream(world.led(opened, KEY_BYTES))
        lent = lend(stream)  # by the same key the charge is found again, in each process
        if isinstance(lent, Release):
            if world.leads:
                state.erase()
            return Run(dataset, bound, plan, model, lent, world)
        taken = state.load(moved.parts)
        step = setup.step(plan, moved, microbatch, stream, world)
        work = Work(step, lent, state, moved.parts, taken, checkpoint_every)
        work.resume(collate, dataset.unit)
        return Run(dataset, bound, plan, model, work, world, held.pop_all())


def borrow(
    dataset: Dataset, bound: Bound, state: State, stream: Keystream, *, name: str, purpose: str, request: str
) -> Loan | Release:
    """Charge the run, or find its charge. The purpose commits to the key: whoever has another one finds none."""
    try:
        return dataset.borrow(bound.event, purpose=told(purpose, stream), name=name, request=request, goes_on=True)
    except (BudgetExceeded, InvalidInput):
        if dataset.ledger.request(dataset.accounts[0], request) is None:
            state.erase()
        raise


class Run:
    """A training run that was charged. Made by `make_private`.

    Attributes:
        model: The model. Before `finish` it is the owner's; what is released is in the release.
        guarantee: What holds of the released model, and of every model on the way to it.
        plan: The plan.
    """

    def __init__(
        self,
        dataset: Dataset,
        bound: Bound,
        plan: DPSGD,
        model: nn.Module,
        state: Work | Release,
        world: World,
        held: ExitStack | None = None,
    ) -> None:
        self.model, self.plan = model, plan
        self._dataset, self._bound, self._world = dataset, bound, world
        self._trained = _trained(model)
        self._due: Batch | None = None
        self._work = state if isinstance(state, Work) else None
        self._released = None if isinstance(state, Work) else state
        self._end = None if held is None else weakref.finalize(self, held.close)
        if self._released is not None:
            load(self._released, model)

    def __repr__(self) -> str:
        done = "finished" if self._released is not None else f"step {self.steps_taken} of {self.plan.steps}"
        return f"Run({done}, {self.guarantee})"

    @property
    def guarantee(self) -> Guarantee:
        """What was paid for: the whole run, from the start."""
        return self._bound.guarantee

    @property
    def steps_taken(self) -> int:
        """How many steps the model has taken."""
        return self.plan.steps if self._work is None else self._work.taken

    @property
    def loader(self) -> Iterator[Batch]:
        """The batches of the steps that are still to be taken, one for each; none of a run that is finished."""
        while self._released is None and self.steps_taken < self.plan.steps:
            self._due = self._open().batch()
            yield self._due

    def step(self, batch: Batch) -> None:
        """Take one step: clip, add noise, move.

        Args:
            batch: The one that `loader` handed out last.

        Raises:
            InvalidInput: the batch is another one, the model's parameters are others than at the start, or autocast is
                switched on around the step.
            DataFailure: the step failed on the rows, or came out otherwise than before a crash. The run is closed, and
                its model unusable (NaN); `make_private` takes the run up again from its last checkpoint.
        """
        work = self._open()
        refuse_autocast()
        if batch is not self._due:
            raise InvalidInput(
                "this is not the batch that is due.",
                state=f"No step was taken: the run stands after step {self.steps_taken}.",
                remedy="Write: for batch in run.loader: run.step(batch)",
            )
        if _trained(self.model) != self._trained or moved_by(work.step.optimizer) != {key for _, key in self._trained}:
            raise InvalidInput(
                "the trainable parameters, of the model or of the optimizer, are not those that the run was charged for.",
                state=f"No step was taken: the run stands after step {self.steps_taken}.",
                remedy="Leave layers and requires_grad as they were when make_private was called.",
            )
        self._due = None
        try:
            work.take(batch)
        except BaseException:
            work.step.spoil()
            self.close()
            raise

    def fit(
        self,
        *,
        evaluate: Callable[[nn.Module], Any] | None = None,
        evaluate_every: int = 0,
        progress: bool | None = None,
    ) -> list[tuple[int, Any]]:
        """Take all steps that are left.

        Args:
            evaluate: Called with the model; whatever it looks at must be public, or charged for by itself.
            evaluate_every: After how many steps; 0 for never.
            progress: Whether a line tells on stderr how far the run is; by default where that is a terminal.

        Returns:
            (step, what `evaluate` returned) of each time.

        Raises:
            DataFailure: see `step`.
        """
        shown = sys.stderr.isatty() if progress is None else progress
        found: list[tuple[int, Any]] = []
        for batch in self.loader:
            self.step(batch)
            if shown:
                self._tell(self.steps_taken)
            if evaluate is not None and evaluate_every and self.steps_taken % evaluate_every == 0:
                found.append((self.steps_taken, self._evaluated(evaluate)))
        return found

    def _evaluated(self, evaluate: Callable[[nn.Module], Any]) -> Any:
        """Return what `evaluate` says of the model; which parts of it are training is put back."""
        training = {module: module.training for module in self.model.modules()}
        try:
            return evaluate(self.model)
        finally:
            for module, before in training.items():
                module.training = before

    def finish(self) -> Release:
        """Release the model, or the average, and erase what was kept of the run. No step can be taken afterwards.

        A run that stops early has paid for all its steps.

        Returns:
            The release: its value lists the tensors, which are in its file `model.safetensors`; see `load`.

        Raises:
            DataFailure: the release could not be written. The run is closed; it can be taken up again.
        """
        if self._released is None:
            work = self._open()

            def written() -> bytes:
                work.checkpoint()
                if work.step.average is not None:
                    work.step.average.put()
                work.loan.settle(partial(self._release, work))
                work.state.erase()
                return b""

            try:
                self._world.led(written, 0)
            finally:
                self.close()  # if it failed: the model may not be the one to go on with
            loan = work.loan
            found = self._dataset.borrow(
                self._bound.event, purpose=str(loan.entry.purpose), name=loan.name, request=loan.request
            )
            assert isinstance(found, Release)
            self._released = found
            load(found, self.model)
        return self._released

    def _release(self, work: Work, _: Any, entry: Entry) -> Release:
        facts = {**self._bound.facts, "steps_taken": work.taken}
        if work.step.moving is not None:
            facts["last_norm"] = work.step.moving.norm
        bound = replace(self._bound, facts=facts)
        work.step.fixed.restore()
        if not work.step.fixed.frozen():
            raise RuntimeError("a frozen parameter has changed")
        answer = Answer(described(self.model), {}, {TENSORS: tensors(self.model)})
        return self._dataset.release(bound, answer, self._dataset.rng(), entry, name=work.loan.name)

    def close(self) -> None:
        """Let go of the rows and of the private folder; `make_private` takes the run up again."""
        if self._end is not None:
            self._end()
        if self._work is not None:
            self._work.close()
        self._due = None

    def _open(self) -> Work:
        if self._work is None or self._work.rows is None:
            what = "is finished" if self._released is not None else "was closed"
            raise InvalidInput(f"the run {what}.", state="No step was taken.", remedy=AGAIN)
        return self._work

    def _tell(self, step: int) -> None:
        if step * 100 // self.plan.steps == (step - 1) * 100 // self.plan.steps:
            return  # a hundred times in all
        end = "\n" if step == self.plan.steps else ""
        paid = f"ε = {show_up(self.guarantee.epsilon)} at δ = {show_delta(self.guarantee.delta)}"
        sys.stderr.write(f"\rstep {step} of {self.plan.steps}; paid for the whole run: {paid}{end}")
        sys.stderr.flush()


def stream_of(dataset: Dataset, request: str, state: State, now: dict[str, str], save: Callable[[], None]) -> Keystream:
    """Return the random bits of a run, from a new key or that of the run that is taken up.

    No frame that an error may leave holds a key that was charged for: a traceback may show what its frames hold.

    Raises:
        InvalidInput: the run began under settings that may round otherwise.
    """
    begun = state.begun()
    if begun is None or dataset.ledger.request(dataset.accounts[0], request) is None:
        state.clear()  # what was never charged binds nobody
        save()
        key = fresh_key(dataset.rng())
        state.begin({"key": key.hex(), "under": now})
        return Keystream(key)
    stream = Keystream(bytes.fromhex(begun.pop("key")))
    then = begun["under"]
    differ = [f"{name} ({then.get(name)} then, {now[name]} now)" for name in now if then.get(name) != now[name]]
    if differ:
        raise InvalidInput(
            f"the run began under other settings: {', '.join(differ)}. Its steps would not come out the same.",
            state="The run's charge stands, and it is kept as it was. Nothing more was spent.",
            remedy="Go on under those settings; or train anew under the next attempt, which is a new charge.",
        )
    return stream


def fingerprint(microbatch: int, world: World) -> dict[str, str]:
    """Return what the last bits of a step depend on, as texts."""
    return {
        "microbatch": str(microbatch),
        "processes": str(world.size),
        "discreet": installed("discreet"),
        "torch": torch.__version__,
        "numpy": installed("numpy"),
        "threads": str(torch.get_num_threads()),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def _trained(model: nn.Module) -> list[tuple[str, int]]:
    return [(name, id(parameter)) for name, parameter in model.named_parameters() if parameter.requires_grad]


def check_whole(name: str, value: object) -> None:
    """Refuse what is no whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"{name} must be a whole number of at least 1, got {value!r}.")
