"""Selection: the plan of training several times with settings drawn at random, of which only the best is published."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from discreet import events
from discreet.accounting import Target, profile
from discreet.accounting.selection import log_inverse_gamma
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.events.checks import shown
from discreet.mechanisms import Rng
from discreet.mechanisms.coins import uniform_integers
from discreet.mechanisms.exact import below
from discreet.profiles import Bracket, PrivacyProfile, show_delta, show_up
from discreet.train.keystream import KEY_BYTES, Keystream
from discreet.train.plan import DPSGD, near
from discreet.train.sampling import Allocation

_STATE = "Nothing was charged and no data was read."
DEARER = 1.7  # about the noise that a selection needs over one run's, where its search begins
_WORD = 8
_ROUNDED = 1 + 2.0**-40  # γ is drawn a little too large, so the mean is a little too small: that is safe


@dataclass(frozen=True, slots=True)
class Selection:
    """Training K times, each time with settings drawn at random; only the best run by a score is published.

    K is random, and stays secret: that is why trying costs so little. With Poisson's law there may be no run at all,
    with probability e^-mean_runs, and nothing is published then.

    Args:
        plan: Of one run; all runs have its sampler, steps and noise. Settings may differ in everything else.
        mean_runs: How many runs there are on average.
        shape: None: K is Poisson. Else K is truncated negative binomial (1, 2, …) of this shape, above -1 and at most
            1: 1 is the geometric law, 0 the logarithmic one. It always runs once, and costs more for the same chance
            that the best settings are tried.
        score_noise: None: runs are scored on public data. Else on the private records: a score counts how many of them
            a model gets right, and this is the deviation of the noise that is added to it, in records.

    Guarantee:
        `event` bounds what the published run, with the settings that it had, tells of one record's presence (or value).
    Evidence:
        Proven: docs/proofs/private_selection.md, docs/proofs/training_run.md.
    Assumes:
        Runs are independent and alike: each draws its settings from the same candidates, independently of the data.
        The score follows from the trained model, public data and coins of its own; or is the noisy count.
    Not protected:
        How many runs there were, how long they took, and whatever of a run that was not the best somebody keeps.

    References:
        Papernot and Steinke, "Hyperparameter Tuning with Rényi Differential Privacy", 2022.
    """

    plan: DPSGD
    mean_runs: float = field(kw_only=True)
    shape: float | None = field(kw_only=True, default=None)
    score_noise: float | None = field(kw_only=True, default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.plan, DPSGD):
            raise _refused(f"plan must be a DPSGD, got {type(self.plan).__name__}.", "Give the plan of one run.")
        least = "at least 1" if self.shape is None else "above 1"
        mean = _number(self.mean_runs)
        if not (1 <= mean <= 2**20) or (self.shape is not None and mean == 1):
            raise _refused(
                f"mean_runs must be a number {least}, up to 2**20, got {shown(self.mean_runs)}.",
                "For example 5 or 10.",
            )
        if self.shape is not None and not -1 < _number(self.shape) <= 1:
            raise _refused(
                f"shape must be above -1 and at most 1, got {shown(self.shape)}.",
                "Leave it out for Poisson's law, or give 1 for the geometric one.",
            )
        if self.score_noise is not None and not 0 < _number(self.score_noise) < math.inf:
            raise _refused(
                f"score_noise must be a finite number of records above 0, got {shown(self.score_noise)}.",
                "Leave it out where the score looks at public data; 1 % of the records is often small enough.",
            )
        object.__setattr__(self, "score_noise", None if self.score_noise is None else float(self.score_noise))
        object.__setattr__(self, "mean_runs", float(self.mean_runs))  # 5 and 5.0 are one selection
        object.__setattr__(self, "shape", None if self.shape is None else float(self.shape))
        if isinstance(self.plan.sampler, Allocation) and self.plan.correlation is None:
            raise self._unbounded()

    @property
    def event(self) -> events.Event:
        """What all runs together are charged as, before the first one.

        Raises:
            InvalidInput: the plan has no noise_multiplier yet.
        """
        return self._around(self.plan.event)

    @property
    def profile(self) -> PrivacyProfile:
        """The curve of the whole selection."""
        return profile(self.event)

    def epsilon(self, delta: float) -> Bracket:
        """Return the bracket of the whole selection's ε at δ; what holds is its upper end.

        Raises:
            UnsupportedEvent: there is no bound of such a selection.
        """
        try:
            return self.profile.epsilon(delta)
        except UnsupportedEvent:
            raise self._unbounded() from None

    def calibrate(self, target_epsilon: float, target_delta: float) -> Selection:
        """Return this selection with the least noise at which all runs together are (target_epsilon, target_delta)-private.

        Raises:
            InvalidInput: no noise does that, or the target is none.
            UnsupportedEvent: there is no bound of such a selection.
        """
        if not _number(target_epsilon) > 0:
            raise _refused(
                f"target_epsilon must be above 0, got {shown(target_epsilon)}.", "With 0 nothing can be learned."
            )
        target = Target(epsilon=target_epsilon, delta=target_delta)
        alone = self.plan.calibrate(target_epsilon, target_delta).noise_multiplier
        assert alone is not None
        try:
            noise = near(self._event_of, target, DEARER * alone)
        except UnsupportedEvent:
            raise self._unbounded() from None
        return replace(self, plan=replace(self.plan, noise_multiplier=noise, delta=float(target_delta)))

    def runs(self, stream: Keystream) -> int:
        """Return K, drawn exactly from its law by bits of the keystream: private, whoever knows it knows too much."""
        bits = Bits(stream, "number of runs")
        if self.shape is None:
            parts = math.ceil(2 * self.mean_runs)  # each of mean at most 1/2
            twice = 2 * Fraction(self.mean_runs) / parts
            return sum(_climb(0, Fraction(1, 2), lambda k: twice / (k + 1), bits) for _ in range(parts))
        shape = Fraction(self.shape)
        gamma = min(1.0, math.exp(-log_inverse_gamma(self.mean_runs, self.shape)) * _ROUNDED)
        return _climb(1, Fraction(gamma), lambda k: (k + shape) / (k + 1), bits)

    @property
    def law(self) -> str:
        """The law of K, in words."""
        if self.shape is None:
            return f"Poisson of mean {self.mean_runs:g}"
        named = {0.0: "logarithmic", 1.0: "geometric"}.get(self.shape)
        return f"{named or f'truncated negative binomial of shape {self.shape:g}'} of mean {self.mean_runs:g}"

    def __str__(self) -> str:
        delta = self.plan.delta
        if self.plan.noise_multiplier is None or delta is None:
            whole = "noise not calibrated yet"
        else:
            whole = f"ε = {show_up(self.epsilon(delta).upper)} at δ = {show_delta(delta)} for all runs together"
        count = ""
        if self.score_noise is not None:
            count = f"\nand a count of records that its model gets right, with noise of {self.score_noise:g}"
        return f"The best of K runs, K {self.law}: {whole}\nOne run by itself is {self.plan}{count}"

    def _event_of(self, noise_multiplier: float) -> events.Event:
        return self._around(replace(self.plan, noise_multiplier=noise_multiplier).event)

    def _around(self, trained: events.Event) -> events.Event:
        one = trained
        if self.score_noise is not None:  # a record moves the count by at most 1, under each relation
            one = events.Composed((trained, events.Gaussian(self.score_noise)))
        if self.shape is None:
            return events.PoissonSelection(self.mean_runs, one)
        return events.PrivateSelection(self.mean_runs, self.shape, one)

    def _unbounded(self) -> UnsupportedEvent:
        return UnsupportedEvent(
            f"no bound is known of a selection among runs with batches by {self.plan.sampler}: it takes a Rényi bound of "
            "one run that gives nothing away outright.",
            state=_STATE,
            remedy="Draw batches by Poisson(sample_rate); or choose the settings on public data.",
        )


class Best:
    """The best run so far. As private as the rows, but for what is released of it in the end.

    Attributes:
        score: Its score.
        which: Which candidate it had; None if there was no run.
        tensors: Its model.
    """

    def __init__(self) -> None:
        self.score = -math.inf
        self.which: int | None = None
        self.tensors: Mapping[str, torch.Tensor] = {}

    def __repr__(self) -> str:
        return "Best(hidden)"

    def offer(self, which: int, score: float, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep a run if it is better. NaN is worse than all; of equal ones the first stays, and it is any of them alike."""
        score = -math.inf if math.isnan(score) else score
        if self.which is None or score > self.score:
            self.score, self.which, self.tensors = score, which, tensors

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept in case the selection is interrupted."""
        return {"score": self.score, "which": self.which, "tensors": self.tensors}

    def load_state_dict(self, held: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.score, self.which, self.tensors = held["score"], held["which"], held["tensors"]


One = Callable[[int, int, Keystream], tuple[float, Mapping[str, torch.Tensor]]]


def best_of(
    selection: Selection,
    stream: Keystream,
    candidates: int,
    one: One,
    best: Best,
    *,
    done: int = 0,
    keep: Callable[[int], None] | None = None,
) -> None:
    """Take K runs, each with a key and a candidate of its own, and leave the best in `best`.

    Args:
        selection: The plan.
        stream: From the selection's key: K, and the key of each run, follow from it.
        candidates: How many there are.
        one: Takes a run (its number, its candidate, its keystream), and returns its score and its model.
        best: The best so far.
        done: How many runs were taken before.
        keep: Called with that number after each run.
    """
    for number in range(done, selection.runs(stream)):
        own = Keystream(stream.words("run", number, KEY_BYTES // _WORD).tobytes())
        which = int(uniform_integers(1, candidates, Bits(own, "candidate"))[0])
        best.offer(which, *one(number, which, own))
        if keep is not None:
            keep(number + 1)


class Bits(Rng):
    """The words of one label of a keystream, one after the other: what exact draws are made of.

    Args:
        stream: From a run's key.
        label: Used here alone.
    """

    __slots__ = ("_label", "_stream", "_used")

    def __init__(self, stream: Keystream, label: str) -> None:
        self._stream, self._label, self._used = stream, label, 0

    def bytes(self, n: int) -> bytes:
        """Return the next `n` bytes."""
        words = -(-n // _WORD)
        found = self._stream.words(self._label, 0, words, self._used).tobytes()[:n]
        self._used += words
        return found


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of everything that a model holds."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _climb(first: int, stop: Fraction, onward: Callable[[int], Fraction], bits: Rng) -> int:
    """Return k with P(k) ∝ Π onward(l) · (1 - stop), over l from `first` to k - 1: by coins, each exact.

    From k it stops with chance `stop`, else goes on to k + 1 with chance onward(k), else begins anew.
    """
    k = first
    while not _coin(stop, bits):
        k = k + 1 if _coin(onward(k), bits) else first
    return k


def _coin(chance: Fraction, bits: Rng) -> bool:
    """Return True with exactly this chance, given ideal bits."""

    def bounds(precision: int) -> tuple[int, int]:
        scaled = chance.numerator << precision
        return scaled // chance.denominator, -(-scaled // chance.denominator)

    return below(bits.word(), 64, bounds, bits)


def _number(value: object) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _refused(what: str, remedy: str) -> InvalidInput:
    return InvalidInput(what, state=_STATE, remedy=remedy)
