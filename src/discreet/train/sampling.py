"""Samplers: which records step t sees, as a function of a secret key and t, together with the event that this costs.

Each sampler writes its own event, so that what is drawn and what is charged cannot differ. Every record's part in a step
comes from words of its own: no batch depends on earlier ones, and none has to be drawn to know a later one.
Proofs: docs/proofs/batches.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias, get_args

from discreet import events
from discreet.accounting import Sampling, dpsgd
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.events.checks import FIELDS, shown
from discreet.train.draws import Rows, heads, in_share, subset
from discreet.train.keystream import Keystream


@dataclass(frozen=True, slots=True)
class Poisson:
    """Every record enters a step's batch by a coin of its own.

    Args:
        sample_rate: The chance of heads, at least 2⁻⁴⁴: the float's exact value.
        cap: The most records of one batch; a larger one is cut to a uniform subset. None for no cap.

    Guarantee:
        Given ideal bits, the batches of all steps are independent; without a cap records enter independently, with
        a chance of exactly sample_rate; with one, a batch is a uniform subset, of at most `cap`, of such a batch.
        The event bounds both.
    Evidence:
        Proven: docs/proofs/batches.md.
    Assumes:
        The key is secret, uniform, and drew no batches of other steps that were called by the same number.
    Not protected:
        How large a batch is, and who is in it, must stay secret: times, memory and logs may tell.
    """

    kind: ClassVar[str] = "poisson"
    sample_rate: float
    cap: int | None = None

    def __post_init__(self) -> None:
        _check_rate(self.sample_rate)
        if self.cap is not None:
            _check("cap", self.cap)

    def batch(self, stream: Keystream, step: int, *, units: int, steps: int) -> Rows:
        """Return who is in the batch of a step, from 0 to units - 1, in increasing order."""
        _check_step(step, steps)
        found = heads(stream, "sampling/coins", step, units, self.sample_rate)
        if self.cap is None or found.size <= self.cap:
            return found
        return found[subset(stream, "sampling/cap", step, found.size, self.cap)]

    def event(
        self, noise_multiplier: float, steps: int, *, relation: Relation, records: int | None = None
    ) -> events.Event:
        """Return what `steps` such batches cost, with fresh noise of noise_multiplier · clipping norm in each."""
        if self.cap is None:
            _no_records(self.kind, records)
            return dpsgd(
                noise_multiplier=noise_multiplier,
                steps=steps,
                relation=relation,
                sampling=Sampling.POISSON,
                sample_rate=self.sample_rate,
            )
        return dpsgd(
            noise_multiplier=noise_multiplier,
            steps=steps,
            relation=relation,
            sampling=Sampling.TRUNCATED,
            sample_rate=self.sample_rate,
            records=records,
            batch_cap=self.cap,
        )

    def participations(self, steps: int) -> tuple[int, int]:
        """Return in how many steps a record may take part, and how far apart two of them are at least."""
        return steps, 1


@dataclass(frozen=True, slots=True)
class FixedSize:
    """A uniform batch of batch_size different records in every step.

    Args:
        batch_size: The size of every batch.

    Guarantee:
        Given ideal bits, each batch is uniform among all subsets of that size, independently of the others.
    Evidence:
        Proven: docs/proofs/batches.md.
    Assumes:
        As for `Poisson`; and the number of records is public, so that neighbours replace a record.
    Not protected:
        Neighbours that add, remove or blank a record: no bound is known here, and the event is refused.
    """

    kind: ClassVar[str] = "fixed_size"
    batch_size: int

    def __post_init__(self) -> None:
        _check("batch_size", self.batch_size)

    def batch(self, stream: Keystream, step: int, *, units: int, steps: int) -> Rows:
        """See `Poisson.batch`."""
        _check_step(step, steps)
        if units < self.batch_size:
            raise InvalidInput(
                f"batch_size is {self.batch_size}, and there are fewer records.",
                state="No batch was drawn.",
                remedy="Draw smaller batches.",
            )
        return subset(stream, "sampling/fixed", step, units, self.batch_size)

    def event(
        self, noise_multiplier: float, steps: int, *, relation: Relation, records: int | None = None
    ) -> events.Event:
        """See `Poisson.event`."""
        return dpsgd(
            noise_multiplier=noise_multiplier,
            steps=steps,
            relation=relation,
            sampling=Sampling.FIXED,
            records=records,
            batch_size=self.batch_size,
        )

    def participations(self, steps: int) -> tuple[int, int]:
        """See `Poisson.participations`."""
        return steps, 1


@dataclass(frozen=True, slots=True)
class Allocation:
    """Every record takes part in exactly `times` steps: in one of each epoch, which it chooses uniformly.

    The steps are cut into `times` epochs of the same length.

    Args:
        times: The number of epochs.

    Guarantee:
        Given ideal bits, each record's step in each epoch is uniform, independently of all others.
    Evidence:
        Proven: docs/proofs/batches.md.
    Assumes:
        As for `Poisson`.
    Not protected:
        Neighbours that replace a record: no bound is known here, and the event is refused.
    """

    kind: ClassVar[str] = "allocation"
    times: int

    def __post_init__(self) -> None:
        _check("times", self.times)

    def batch(self, stream: Keystream, step: int, *, units: int, steps: int) -> Rows:
        """See `Poisson.batch`."""
        _check_step(step, steps)
        length = self._length(steps)
        return in_share(stream, "sampling/allocation", step // length, units, length, step % length)

    def event(
        self, noise_multiplier: float, steps: int, *, relation: Relation, records: int | None = None
    ) -> events.Event:
        """See `Poisson.event`."""
        _no_records(self.kind, records)
        return dpsgd(
            noise_multiplier=noise_multiplier,
            steps=steps,
            relation=relation,
            sampling=Sampling.ALLOCATION,
            participations=self.times,
        )

    def participations(self, steps: int) -> tuple[int, int]:
        """See `Poisson.participations`: the last step of an epoch and the first of the next may be the same record's."""
        self._length(steps)
        return self.times, 1

    def _length(self, steps: int) -> int:
        if steps % self.times:
            raise InvalidInput(
                f"steps must be a multiple of times, got {steps} steps and {self.times} times.",
                remedy="Count whole epochs: each has steps / times steps.",
            )
        return steps // self.times


@dataclass(frozen=True, slots=True)
class Cyclic:
    """Records are in `bands` groups, visited in turn; within the group whose turn it is, as `Poisson`.

    Which group a record is in is drawn once, for each by itself: were it its place in the data, a record less would
    move all those behind it to other groups.

    Args:
        sample_rate: The chance of a record of the group, as for `Poisson`. 1 is the whole group.
        bands: The number of groups.

    Guarantee:
        Given ideal bits, groups are uniform and independent; step t samples from group t mod bands alone, as
        `Poisson` does. So a record takes part in at most ceil(steps / bands) steps, at least `bands` apart.
    Evidence:
        Proven: docs/proofs/batches.md.
    Assumes:
        As for `Poisson`.
    Not protected:
        As for `Poisson`.
    """

    kind: ClassVar[str] = "cyclic"
    sample_rate: float
    bands: int

    def __post_init__(self) -> None:
        _check_rate(self.sample_rate)
        _check("bands", self.bands)

    def batch(self, stream: Keystream, step: int, *, units: int, steps: int) -> Rows:
        """See `Poisson.batch`."""
        _check_step(step, steps)
        group = in_share(stream, "sampling/groups", 0, units, self.bands, step % self.bands)
        if self.sample_rate == 1:
            return group
        return group[heads(stream, "sampling/cyclic", step, group.size, self.sample_rate)]

    def event(
        self, noise_multiplier: float, steps: int, *, relation: Relation, records: int | None = None
    ) -> events.Event:
        """See `Poisson.event`."""
        _no_records(self.kind, records)
        _check("noise_multiplier", noise_multiplier)
        _check("steps", steps)
        noise = gaussian(noise_multiplier, relation)
        return events.CyclicPoissonSampled(self.sample_rate, self.bands, steps, relation, noise)

    def participations(self, steps: int) -> tuple[int, int]:
        """See `Poisson.participations`."""
        return -(-steps // self.bands), self.bands


Sampler: TypeAlias = Poisson | FixedSize | Allocation | Cyclic
SAMPLERS: Mapping[str, type[Sampler]] = {kind.kind: kind for kind in get_args(Sampler)}


def gaussian(noise_multiplier: float, relation: Relation) -> events.Gaussian:
    """Return the event of noise of noise_multiplier · C on one sum of gradients of norm C: replacing one moves it by 2C."""
    return events.Gaussian(noise_multiplier / 2 if relation is Relation.REPLACE_ONE else noise_multiplier)


# ------------------------------------------------------------------------------------------- checks

_FIELD = {"cap": "max_batch_size", "batch_size": "sample_size", "times": "count"}


def _check(name: str, value: object) -> None:
    demand, holds = FIELDS[_FIELD.get(name, name)]
    if not holds(value):
        raise InvalidInput(f"{name} must be {demand}, got {shown(value)}.", remedy="Give a public constant.")


def _check_rate(rate: Any) -> None:
    _check("sample_rate", rate)
    if rate < 2.0**-44:
        raise InvalidInput(
            f"sample_rate must be at least 2**-44, got {rate!r}.", remedy="Name a rate at which records do take part."
        )


def _check_step(step: int, steps: int) -> None:
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < steps:
        raise InvalidInput(
            f"step must be a whole number from 0 to {steps - 1}, got {shown(step)}.",
            state="No batch was drawn.",
            remedy="A run has the steps it was charged for: plan, and charge, another one to go on.",
        )


def _no_records(kind: str, records: int | None) -> None:
    """Refuse a number of records that the event has no use for, and that must stay private under add_remove."""
    if records is not None:
        raise InvalidInput(
            f"{kind} batches need no public number of records, got one.",
            remedy="Leave records out, or draw by a sampler whose event needs it: Poisson with a cap, FixedSize.",
        )


def sampler_to_dict(sampler: Sampler) -> dict[str, Any]:
    """Return a sampler as plain data."""
    return {"kind": sampler.kind, **{field.name: getattr(sampler, field.name) for field in fields(sampler)}}


def sampler_from_dict(data: object) -> Sampler:
    """Read a sampler from plain data.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(data, dict) or data.get("kind") not in tuple(SAMPLERS):
        raise InvalidInput("this is no sampler.", remedy=f"Known kinds: {', '.join(SAMPLERS)}.")
    kind: Callable[..., Sampler] = SAMPLERS[data["kind"]]
    given = {name: value for name, value in data.items() if name != "kind"}
    known = {field.name for field in fields(SAMPLERS[data["kind"]])}
    if set(given) != known:
        raise InvalidInput(
            f"the fields of {data['kind']!r} are {sorted(known)}, got {shown(sorted(map(str, given)))}.",
            remedy="Read it with the version of discreet that wrote it, or a later one.",
        )
    return kind(**given)
