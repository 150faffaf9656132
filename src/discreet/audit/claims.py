"""Claim: what an audit tries to break."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from discreet import events
from discreet.accounting import check_relation
from discreet.accounting import profile as profile_of
from discreet.accounting.curves import GaussianProfile
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.profiles import PrivacyProfile, show_delta, show_up


@dataclass(frozen=True, slots=True)
class Claim:
    """A privacy curve that somebody claims, and when two datasets are neighbours under it.

    Built by `pure`, `approximate`, `gdp`, `zcdp` or `event`. There is one rule for all kinds: a point, the
    false-positive rate of an event at most a and its true-positive rate at least t, refutes the claim if and only if
    t lies above what the curve allows at a.

    Args:
        text: The claim in words, without its relation.
        profile: Its curve.
        relation: When two datasets are neighbours.
    """

    text: str
    profile: PrivacyProfile
    relation: Relation

    def __post_init__(self) -> None:
        object.__setattr__(self, "relation", _relation(self.relation))
        if not isinstance(self.profile, PrivacyProfile):
            raise InvalidInput(
                f"a claim holds a PrivacyProfile, got {type(self.profile).__name__}.",
                remedy="Build it by Claim.pure, .approximate, .gdp, .zcdp or .event.",
            )

    @classmethod
    def pure(cls, epsilon: float, *, relation: Relation) -> Claim:
        """Return the claim of ε-DP."""
        event = events.Pure(_number("epsilon", epsilon))
        return cls(f"ε = {show_up(event.epsilon, 12)}", profile_of(event), relation)

    @classmethod
    def approximate(cls, epsilon: float, delta: float, *, relation: Relation) -> Claim:
        """Return the claim of (ε, δ)-DP."""
        event = events.Approximate(_number("epsilon", epsilon), _number("delta", delta))
        return cls(f"ε = {show_up(event.epsilon, 12)}, δ = {show_delta(event.delta)}", profile_of(event), relation)

    @classmethod
    def gdp(cls, mu: float, *, relation: Relation) -> Claim:
        """Return the claim of μ-GDP."""
        value = _number("mu", mu)
        return cls(f"μ = {show_up(value, 12)} (GDP)", GaussianProfile(value), relation)

    @classmethod
    def zcdp(cls, rho: float, *, relation: Relation) -> Claim:
        """Return the claim of ρ-zCDP; its curve is an upper bound, so a refutation stands."""
        event = events.ZCDP(_number("rho", rho))
        return cls(f"ρ = {show_up(event.rho, 12)} (zCDP)", profile_of(event), relation)

    @classmethod
    def event(cls, event: events.Event, *, relation: Relation) -> Claim:
        """Return the claim that an event's curve holds under this relation.

        Raises:
            InvalidInput: this is no event.
            UnsupportedEvent: the event is bounded under another relation, or no curve of it is known.
        """
        if not isinstance(getattr(event, "kind", None), str):
            raise InvalidInput(f"a claim needs an event, got {type(event).__name__}.")
        relation = _relation(relation)
        check_relation(event, relation)
        return cls(f"the curve of the event {event.kind!r}", profile_of(event), relation)

    @property
    def mu(self) -> float | None:
        """The μ of a claim whose curve is exactly Gaussian, else None."""
        return self.profile.mu if isinstance(self.profile, GaussianProfile) else None

    def most(self, false_positive_rate: float) -> float:
        """Return the highest true-positive rate that the claim allows at this false-positive rate."""
        return _most(self.profile, false_positive_rate)

    def epsilon(self, delta: float) -> float:
        """Return the ε that the claim promises at `delta`, rounded up; infinite if it promises none."""
        return self.profile.epsilon(delta).upper

    def refuted_by(self, *, false_positive_rate: float, true_positive_rate: float) -> bool:
        """Whether an event with these rates, or a better one, cannot be if the claim is true."""
        return true_positive_rate > self.most(false_positive_rate)

    def __str__(self) -> str:
        return f"{self.text} ({self.relation.value})"

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as plain data: words, relation, and some points of its curve."""
        return {
            "text": self.text,
            "relation": self.relation.value,
            "epsilon_at": {show_delta(delta): _finite(self.epsilon(delta)) for delta in (0.0, 1e-9, 1e-7, 1e-5, 1e-3)},
            "most_true_positives_at": {f"{rate:g}": self.most(rate) for rate in (0.001, 0.01, 0.1)},
        }


def check_claim(claim: object) -> None:
    """Refuse what is no claim.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(claim, Claim):
        raise InvalidInput(
            f"an audit is held against a Claim, got {type(claim).__name__}.",
            remedy="Build one by Claim.pure, .approximate, .gdp, .zcdp or .event; it names its relation.",
        )


@lru_cache(maxsize=256)
def _most(profile: PrivacyProfile, rate: float) -> float:
    """Return the highest true-positive rate; kept, for an engine takes its time and a finding asks more than once."""
    return profile.true_positive_rate(rate).upper


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidInput(f"{name} must be a finite number of at least 0, got {value!r}.")
    return float(value)


def _relation(value: object) -> Relation:
    try:
        return Relation(value)
    except ValueError:
        names = ", ".join(item.value for item in Relation)
        raise InvalidInput(
            f"a claim names its relation, one of {names}; got {value!r}.",
            remedy="Say when two datasets are neighbours: the same ε means different things under each.",
        ) from None
