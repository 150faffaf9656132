"""The plan of a training run: everything that its privacy depends on, in one frozen value, before any data is read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from discreet import events
from discreet.accounting import Target, calibrate, profile
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.events.checks import FIELDS, shown
from discreet.profiles import Bracket, PrivacyProfile, show_delta, show_up
from discreet.train.batches import Batches
from discreet.train.choices import choices
from discreet.train.correlation import (
    BandedRoot,
    Correlation,
    correlation_from_dict,
    correlation_to_dict,
)
from discreet.train.keystream import Keystream
from discreet.train.sampling import (
    Allocation,
    Cyclic,
    Poisson,
    Sampler,
    gaussian,
    sampler_from_dict,
    sampler_to_dict,
)

VERSION = 1
KIND = "dpsgd"
LEAST_NOISE, MOST_NOISE = 0.02, 1e5
PRECISION, COARSE = (
    1e-6,
    1e-3,
)  # of a calibrated noise multiplier, always on the safe side; coarse where ε takes seconds
DELTA = 1e-5  # at which a plan is printed that was calibrated for no other


@dataclass(frozen=True, slots=True, kw_only=True)
class DPSGD:
    """Training by sums of clipped gradients with Gaussian noise: how batches are drawn, and how much noise there is.

    A step sums the gradients of its batch, each clipped to max_grad_norm, adds noise of deviation `noise_std`, and
    divides by expected_batch_size, whatever the size of the batch.

    Args:
        steps: How many batches are drawn.
        max_grad_norm: The clipping norm C, of a record's gradient over all tensors together.
        expected_batch_size: What noisy sums are divided by: a constant that was known before the data was.
        relation: When two data sets are neighbours.
        sample_rate: The chance of a record in each batch, for the usual sampler, Poisson(sample_rate, cap).
        cap: The most records of a batch, which its event needs a public number of records for.
        sampler: Another sampler, instead of the two above.
        records: The public number of records. Only for a cap, or batches of a fixed size.
        noise_multiplier: Deviation of fresh noise / (C · `sensitivity`); None until calibrated.
        correlation: How a step's noise depends on earlier ones; None: not at all.
        delta: At which δ a printed plan states ε; calibration sets it.

    Guarantee:
        `event` bounds what all noisy sums together, and whatever follows from them, tell of one record's presence (or
        value: see relation), if each later gradient depends on the data, the earlier noisy sums and fresh coins alone.
    Evidence:
        Proven: docs/proofs/batches.md, docs/proofs/training_noise.md, docs/proofs/pairs.md; cited for composition.
    Assumes:
        Gradients are clipped; the batches are those of `batches`, the noise that of `KeyedNoise` with
        this correlation, under keys that nobody knows; each step is noised once. The plan was made without the data.
    Not protected:
        Losses, norms and batch sizes of single steps; plans chosen after looking at the results of others.

    References:
        Abadi et al., "Deep Learning with Differential Privacy", 2016. Choquette-Choo et al., "(Amplified) Banded Matrix
        Factorization", 2023. Denisov, McMahan, Rush, Smith, Thakurta, "Improved Differential Privacy for SGD via
        Optimal Private Linear Operators on Adaptive Streams", 2022.
    """

    steps: int
    max_grad_norm: float
    expected_batch_size: float
    relation: Relation
    sample_rate: float | None = None
    cap: int | None = None
    sampler: Sampler | None = None
    records: int | None = None
    noise_multiplier: float | None = None
    correlation: Correlation | None = None
    delta: float | None = None

    def __post_init__(self) -> None:
        for name, why in _POSITIVE.items():
            _check_positive(name, getattr(self, name), why)
        _check_field("steps", self.steps, "Count the batches of the whole run.")
        if not isinstance(self.relation, Relation):
            raise _refused(
                f"relation must be a Relation, got {shown(self.relation)}.",
                "Name one: Relation.ADD_REMOVE, ZERO_OUT or REPLACE_ONE.",
            )
        if self.noise_multiplier is not None:
            _check_field("noise_multiplier", self.noise_multiplier, "Leave it out, and call calibrate.")
        if self.delta is not None and not 0 < _number(self.delta) < 1:
            raise _refused(
                f"delta must lie between 0 and 1, got {shown(self.delta)}.", "Well below 1 / records is usual."
            )
        sampler = self._one_sampler()
        object.__setattr__(self, "sampler", sampler)
        for name in ("sample_rate", "cap"):
            object.__setattr__(self, name, getattr(sampler, name, None))
        if self.correlation is not None:
            self._check_correlation(sampler)
        self._event_of(self.noise_multiplier or 1.0)  # refuses what no event describes, now and not after an hour

    def _one_sampler(self) -> Sampler:
        if self.sampler is None:
            if self.sample_rate is None:
                raise _refused("neither sample_rate nor sampler is given.", "Give one: sample_rate=0.01, say.")
            return Poisson(self.sample_rate, self.cap)
        if not isinstance(self.sampler, Sampler):
            raise _refused(f"sampler must be one, got {type(self.sampler).__name__}.", "Poisson(0.01), say.")
        for name in ("sample_rate", "cap"):
            beside, own = getattr(self, name), getattr(self.sampler, name, None)
            if beside is not None and beside != own:
                raise _refused(
                    f"{name} is {shown(beside)} beside a sampler whose {name} is {own!r}.",
                    f"Give {name} to the sampler alone.",
                )
        return self.sampler

    def _check_correlation(self, sampler: Sampler) -> None:
        if not isinstance(self.correlation, Correlation):
            raise _refused(f"correlation must be one, got {type(self.correlation).__name__}.", "BandedRoot(8), say.")
        if isinstance(sampler, Poisson) and sampler.cap is not None:
            raise _refused(
                "capped batches with correlated noise have no bound here: a record that is cut lets another one in.",
                "Leave out the cap (more micro-batches cost only time), or the correlation.",
            )

    def batches(self, stream: Keystream, units: int) -> Batches:
        """Return the batches of this plan: its sampler, its number of steps.

        Raises:
            InvalidInput: the plan was charged for another public number of records.
        """
        if self.records is not None and units != self.records:
            raise _refused(
                f"the plan is for {self.records} records, and there are {shown(units)}.",
                "Plan for the public number of records that there is: under these relations it does not change.",
            )
        return Batches(sampler=self.drawn_by, stream=stream, units=units, steps=self.steps)

    @property
    def drawn_by(self) -> Sampler:
        """The sampler, whichever way it was given."""
        assert self.sampler is not None
        return self.sampler

    @property
    def sensitivity(self) -> float:
        """How far one record moves what the noise hides, in units of max_grad_norm; 1 without correlation."""
        if self.correlation is None:
            return 1.0
        if self._amplified():
            return self.correlation.sensitivity(self.steps, 1, 1)
        times, separation = self.drawn_by.participations(self.steps)
        return self.correlation.sensitivity(self.steps, times, separation)

    @property
    def noise_std(self) -> float:
        """The standard deviation of the fresh noise that is added to a sum of clipped gradients."""
        return self._noise() * self.max_grad_norm * self.sensitivity

    @property
    def event(self) -> events.Event:
        """What the whole run is charged as, before its first step.

        Raises:
            InvalidInput: the plan has no noise_multiplier yet.
        """
        return self._event_of(self._noise())

    @property
    def profile(self) -> PrivacyProfile:
        """The curve of the run."""
        return profile(self.event)

    def epsilon(self, delta: float) -> Bracket:
        """Return the bracket of ε at δ; what holds is its upper end."""
        return self.profile.epsilon(delta)

    def calibrate(self, target_epsilon: float, target_delta: float) -> DPSGD:
        """Return this plan with the least noise at which it is (target_epsilon, target_delta)-private.

        Raises:
            InvalidInput: no noise does that, or the target is none.
            UnsupportedEvent: no engine bounds such a run.
        """
        if not _number(target_epsilon) > 0:
            raise _refused(
                f"target_epsilon must be above 0, got {shown(target_epsilon)}.", "With 0 nothing can be learned."
            )
        target = Target(epsilon=target_epsilon, delta=target_delta)
        if isinstance(self.sampler, Allocation) and self.correlation is None:
            value = self._near(target)
        else:
            value = self._search(self._event_of, target, PRECISION)
        return replace(self, noise_multiplier=value, delta=float(target_delta))

    def correlate(self, target_epsilon: float, target_delta: float, *, most_bands: int = 64) -> DPSGD:
        """Return this plan with the correlation that makes sums of steps least noisy, calibrated to the target.

        Tried are none, `BandedRoot` and `BandedInverseRoot` with 2, 4, 8, … bands or as many as groups, `LambdaCGD`, and
        `BufferedToeplitz`. Each gets the noise
        that it needs for the same target; what counts is the root mean square of the noise of all sums of the first
        1, 2, … steps.

        Args:
            target_epsilon: As for `calibrate`.
            target_delta: As for `calibrate`.
            most_bands: The most that are tried: a step takes as many draws of noise, or memory for as many.

        Raises:
            InvalidInput: no noise does that, the target is none, or such batches have no bound with correlated noise.
            UnsupportedEvent: no engine bounds such a run.
        """
        best = replace(self, correlation=None).calibrate(target_epsilon, target_delta)
        least, alone = best.noise_std * math.sqrt((self.steps + 1) / 2), best.noise_multiplier
        whole = None  # the multiplier where one Gaussian is charged, whatever the strategy
        for one in choices(self.steps, most_bands, *self.drawn_by.participations(self.steps)):
            tried = replace(self, correlation=one, noise_multiplier=alone, delta=best.delta)
            if isinstance(tried.event, events.Gaussian):
                whole = tried.calibrate(target_epsilon, target_delta).noise_multiplier if whole is None else whole
                tried = replace(tried, noise_multiplier=whole)
            error = tried.noise_std * one.rms_noise(self.steps)
            if error < least:
                best, least = tried, error
        return best

    def _search(self, event_of: Callable[[float], events.Event], target: Target, tolerance: float) -> float:
        try:
            return calibrate(event_of, target, low=LEAST_NOISE, high=MOST_NOISE, tolerance=tolerance).value
        except InvalidInput:
            raise _refused(
                f"no noise multiplier up to {MOST_NOISE:g} reaches ε = {target.epsilon!r} at δ = {target.delta!r} "
                f"in {self.steps} steps.",
                "Allow a larger ε or δ, or plan fewer steps or a smaller sample_rate.",
            ) from None

    def _near(self, target: Target) -> float:
        """Search from the noise of Poisson batches: the engine of random allocation has a reach, and takes seconds."""
        times, _ = self.drawn_by.participations(self.steps)
        poisson = Poisson(times / self.steps)
        start = self._search(lambda noise: poisson.event(noise, self.steps, relation=self.relation), target, COARSE)
        return near(self._event_of, target, start)

    def _noise(self) -> float:
        if self.noise_multiplier is None:
            raise _refused(
                "this plan has no noise_multiplier yet.",
                "Call plan.calibrate(target_epsilon, target_delta), which returns a plan that has, or give one.",
            )
        return self.noise_multiplier

    def _amplified(self) -> bool:
        """Whether each step that a record may be in moves rows of C·(gradients) of its own: then sampling counts."""
        return (
            isinstance(self.correlation, BandedRoot)
            and isinstance(self.sampler, Cyclic)
            and self.correlation.bands <= self.sampler.bands
        )

    def _event_of(self, noise_multiplier: float) -> events.Event:
        if self.correlation is None or self._amplified():
            return self.drawn_by.event(noise_multiplier, self.steps, relation=self.relation, records=self.records)
        # One vector of all steps; the sampler's own event is asked, for it refuses relations that it does not hold for.
        self.drawn_by.event(noise_multiplier, self.steps, relation=self.relation, records=self.records)
        self.correlation.strategy(self.steps)
        return gaussian(noise_multiplier, self.relation)

    def __str__(self) -> str:
        if self.noise_multiplier is None:
            noise = "noise not calibrated yet"
        else:
            delta = DELTA if self.delta is None else self.delta
            noise = (
                f"ε = {show_up(self.epsilon(delta).upper)} at δ = {show_delta(delta)}, neighbours by {self.relation.value}\n"
                f"  noise    σ = {self.noise_multiplier:.6g} times C = {self.max_grad_norm:g}"
            )
            if self.correlation is not None:
                noise += f", times sensitivity {self.sensitivity:.6g}, by {self.correlation}"
        return (
            f"DP-SGD: {noise}\n"
            f"  batches  {self.steps} steps by {self.sampler}\n"
            f"  sums are divided by {self.expected_batch_size:g}, the expected batch size"
        )

    def to_json(self) -> str:
        """Return the plan as JSON: sorted keys, no spaces."""
        data: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        data |= {name: write(data[name]) for name, (write, _) in _PLAIN.items()}
        del data["sample_rate"], data["cap"]  # the sampler's
        return json.dumps({"v": VERSION, "kind": KIND, **data}, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> DPSGD:
        """Read a plan that `to_json` wrote.

        Raises:
            InvalidInput: the text is no plan, or of a later version.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        known = {field.name for field in fields(cls)} - {"sample_rate", "cap"} | {"v", "kind"}
        if not isinstance(data, dict) or data.get("kind") != KIND or set(data) != known:
            raise _refused("this is no plan of DP-SGD.", "Give the text that to_json returned.")
        if type(data["v"]) is not int or data["v"] != VERSION:
            raise _refused(
                f"this plan is of version {shown(data['v'])}; this discreet reads version {VERSION}.",
                "Read it with the version of discreet that wrote it, or a later one.",
            )
        del data["v"], data["kind"]
        return cls(**{**data, **{name: read(data[name]) for name, (_, read) in _PLAIN.items()}})


_POSITIVE: Mapping[str, str] = {
    "max_grad_norm": "Name the norm that each record's gradient is clipped to.",
    "expected_batch_size": "Name a public constant, such as the batch size that you aim at; never one counted in the data.",
}


def _relation(name: object) -> Relation:
    try:
        return Relation(name)
    except ValueError:
        raise _refused(f"unknown relation: {shown(name)}.", "Give the text that to_json returned.") from None


_PLAIN: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "relation": (lambda relation: relation.value, _relation),
    "sampler": (sampler_to_dict, sampler_from_dict),
    "correlation": (correlation_to_dict, correlation_from_dict),
}


def near(event_of: Callable[[float], events.Event], target: Target, start: float) -> float:
    """Return about the least noise that meets the target, from a start not far from it, where each ε takes seconds.

    A secant of log ε over log noise; whatever it does, only what meets the target is returned.

    Raises:
        InvalidInput: the search came to no end.
    """
    at, slope, before = math.log(start), -1.3, (0.0, 0.0)
    for turn in range(20):
        reached = target.of(profile(event_of(math.exp(at)))).upper
        gap = math.log(max(reached, 1e-300) / target.value)
        if -2 * COARSE <= gap <= 0:
            return math.exp(at)
        if turn and at != before[0]:
            slope = min(-0.2, max(-5.0, (gap - before[1]) / (at - before[0])))
        before = (at, gap)
        at += min(0.7, max(-0.7, -(gap + COARSE) / slope))
    raise _refused(
        f"no noise multiplier near {start:.3g} was found to reach ε = {target.epsilon!r} at δ = {target.delta!r}.",
        "Give a noise_multiplier and look at epsilon(delta), or sample by Poisson.",
    )


def _refused(what: str, remedy: str) -> InvalidInput:
    return InvalidInput(what, state="Nothing was charged and no data was read.", remedy=remedy)


def _number(value: object) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _check_positive(name: str, value: object, remedy: str) -> None:
    if not 0 < _number(value) < math.inf:
        raise _refused(f"{name} must be a finite number above 0, got {shown(value)}.", remedy)


def _check_field(name: str, value: object, remedy: str) -> None:
    demand, holds = FIELDS[name]
    if not holds(value):
        raise _refused(f"{name} must be {demand}, got {shown(value)}.", remedy)
