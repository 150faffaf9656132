"""View: what any attacker can reach at most under one curve, in the numbers that people ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from discreet import accounting, events
from discreet.errors import InvalidInput
from discreet.profiles import PrivacyProfile, check_share, excess, posterior, right

LARGEST = 700.0  # an ε beyond which e^ε fits no float


@dataclass(frozen=True, slots=True)
class Asked:
    """What a view answers.

    Args:
        priors: Beliefs before the release, or shares of people who are in.
        false_positive_rates: Shares of those who are not in that an attacker accuses.
        baselines: Chances to guess something of a person's record without it.
    """

    priors: tuple[float, ...] = (0.01, 0.1, 0.5)
    false_positive_rates: tuple[float, ...] = (0.01, 0.001)
    baselines: tuple[float, ...] = (0.01, 0.1, 0.5)

    def __post_init__(self) -> None:
        for name in ("priors", "false_positive_rates", "baselines"):
            numbers = getattr(self, name)
            if isinstance(numbers, str) or not isinstance(numbers, Sequence) or len(numbers) == 0:
                raise InvalidInput(f"{name} must be a list of numbers with at least one, got {numbers!r}.")
            for number in numbers:
                check_share(name, number)
            object.__setattr__(self, name, tuple(float(number) for number in numbers))
        if 0.0 in self.false_positive_rates:
            raise InvalidInput("false_positive_rates must lie above 0, where somebody is accused.")


@dataclass(frozen=True, slots=True)
class Belief:
    """From a belief, or a share of people, before.

    Args:
        prior: Before.
        posterior: The belief after the release that follows from ε; at δ = 0 for every outcome.
        excess: By how much beliefs pass it, on average over all outcomes.
        accuracy: The share of right answers of one who must say "in" or "out" of each.
    """

    prior: float
    posterior: float
    excess: float
    accuracy: float

    def to_dict(self) -> dict[str, float]:
        """Return it as plain data."""
        return {
            "prior": self.prior,
            "posterior": self.posterior,
            "excess": self.excess,
            "accuracy": self.accuracy,
        }


@dataclass(frozen=True, slots=True)
class Rate:
    """At a share of wrong accusations.

    Args:
        false_positive_rate: Of those who are not in, the share that is accused.
        true_positive_rate: Of those who are in, the share that is found.
        precision: The share of accusations that are right, for each prior.
    """

    false_positive_rate: float
    true_positive_rate: float
    precision: tuple[tuple[float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "false_positive_rate": self.false_positive_rate,
            "true_positive_rate": self.true_positive_rate,
            "precision": [{"prior": prior, "precision": share} for prior, share in self.precision],
        }


@dataclass(frozen=True, slots=True)
class Guess:
    """A guess of something in a person's record.

    Args:
        baseline: The chance that it is right without the record.
        success: The chance with it.
    """

    baseline: float
    success: float

    @property
    def gain(self) -> float:
        """By how much the record helps, at most."""
        return max(0.0, self.success - self.baseline)

    def to_dict(self) -> dict[str, float]:
        """Return it as plain data."""
        return {"baseline": self.baseline, "success": self.success, "gain": self.gain}


@dataclass(frozen=True, slots=True)
class View:
    """What any attacker can reach at most, under one curve. Every number is an upper bound.

    Args:
        name: For programs.
        short: For tables.
        label: guarantee, estimate or promise.
        epsilon: At `delta`; None where there is no bound.
        delta: As stated.
        method: What it was computed from.
        advantage: Of the two rates, the largest difference.
        beliefs: One for each prior.
        rates: One for each false-positive rate.
        guesses: One for each baseline.
    """

    name: str
    short: str
    label: str
    epsilon: float | None
    delta: float
    method: str
    advantage: float
    beliefs: tuple[Belief, ...]
    rates: tuple[Rate, ...]
    guesses: tuple[Guess, ...]

    @property
    def odds(self) -> float | None:
        """By what factor the odds of a belief change."""
        return None if self.epsilon is None else math.exp(min(self.epsilon, LARGEST))

    def below(self, other: View) -> View:
        """Return this view, nowhere above another one that bounds the same thing at the same δ."""
        return replace(
            self,
            epsilon=_least(self.epsilon, other.epsilon),
            advantage=min(self.advantage, other.advantage),
            beliefs=tuple(
                replace(a if a.posterior <= b.posterior else b, accuracy=min(a.accuracy, b.accuracy))
                for a, b in zip(self.beliefs, other.beliefs, strict=True)
            ),
            rates=tuple(
                Rate(
                    a.false_positive_rate,
                    min(a.true_positive_rate, b.true_positive_rate),
                    tuple(
                        (prior, min(share, there))
                        for (prior, share), (_, there) in zip(a.precision, b.precision, strict=True)
                    ),
                )
                for a, b in zip(self.rates, other.rates, strict=True)
            ),
            guesses=tuple(
                Guess(a.baseline, min(a.success, b.success)) for a, b in zip(self.guesses, other.guesses, strict=True)
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the view as plain data."""
        return {
            "name": self.name,
            "short": self.short,
            "label": self.label,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "method": self.method,
            "odds": self.odds,
            "advantage": self.advantage,
            "beliefs": [row.to_dict() for row in self.beliefs],
            "rates": [row.to_dict() for row in self.rates],
            "guesses": [row.to_dict() for row in self.guesses],
        }


def view(
    name: str,
    short: str,
    label: str,
    *,
    epsilon: float | None,
    delta: float,
    curve: PrivacyProfile | None,
    method: str,
    asked: Asked,
) -> View:
    """Return the view of a curve with this ε at this δ; None for no bound at all."""
    return View(
        name=name,
        short=short,
        label=label,
        epsilon=epsilon,
        delta=delta,
        method=method,
        advantage=1.0 if curve is None else curve.advantage().upper,
        beliefs=tuple(_belief(epsilon, delta, curve, prior) for prior in asked.priors),
        rates=tuple(_rate(curve, rate, asked.priors) for rate in asked.false_positive_rates),
        guesses=tuple(
            Guess(baseline, 1.0 if curve is None else curve.reconstruction(baseline).upper)
            for baseline in asked.baselines
        ),
    )


def worst(epsilon: float | None, delta: float) -> PrivacyProfile | None:
    """Return the curve of the worst mechanism with these (ε, δ); None for no bound at all."""
    return None if epsilon is None else accounting.profile(events.Approximate(epsilon, delta))


def found(curve: PrivacyProfile | None, rate: float) -> float:
    """Return the highest true-positive rate under a curve, or under none."""
    return 1.0 if curve is None else curve.true_positive_rate(min(1.0, rate)).upper


def believed(epsilon: float | None, prior: float) -> float:
    """Return the highest belief that follows from ε, or from no bound."""
    return 1.0 if epsilon is None else posterior(epsilon, prior)


def _belief(epsilon: float | None, delta: float, curve: PrivacyProfile | None, prior: float) -> Belief:
    return Belief(
        prior,
        believed(epsilon, prior),
        0.0 if epsilon is None else excess(epsilon, delta, prior),
        1.0 if curve is None else curve.accuracy(prior).upper,
    )


def _rate(curve: PrivacyProfile | None, rate: float, priors: Sequence[float]) -> Rate:
    share = found(curve, rate)
    return Rate(rate, share, tuple((prior, right(prior, share, rate)) for prior in priors))


def _least(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)
