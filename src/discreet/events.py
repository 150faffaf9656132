"""Events: immutable descriptions of what ran, enough for any accountant, and nothing else.

The set is closed. An event at rest is plain data, `{"v": 1, "kind": ..., ...}`, read back through
the fixed table `KINDS` at the end of this file, never through an import by name. Evolution rules:
a kind is never removed and never changes its meaning; new fields are optional. The golden files
under tests/unit/golden keep this honest.

Exact mechanisms describe themselves with exact rationals (`Fraction`, written "3/4"); continuous
ones with floats. Sensitivities refer to the neighbouring relation of the privacy unit for which
the event is charged, except for the sampled events, whose law depends on the relation and which
therefore carry their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from fractions import Fraction
from typing import Any, ClassVar, TypeAlias

from discreet.errors import InvalidInput

VERSION = 1


class Relation(str, Enum):
    """When two datasets are neighbours.

    add_remove: one privacy unit's rows are present in one and absent from the other.
    replace_one: one privacy unit's rows are replaced by any others.
    zero_out: one privacy unit's rows are replaced by a blank that contributes nothing.
    """

    ADD_REMOVE = "add_remove"
    REPLACE_ONE = "replace_one"
    ZERO_OUT = "zero_out"


def _fail(what: str) -> InvalidInput:
    return InvalidInput(what, remedy="Build the event from valid parameters.")


def _positive(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise _fail(f"{name} must be a finite number above 0, got {value!r}.")


def _not_negative(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise _fail(f"{name} must be a finite number of at least 0, got {value!r}.")


def _fraction(name: str, value: Fraction, *, zero: bool = False) -> None:
    if not isinstance(value, Fraction) or value < 0 or (value == 0 and not zero):
        least = "of at least 0" if zero else "above 0"
        raise _fail(f"{name} must be a Fraction {least}, got {value!r}.")


def _delta(name: str, value: float) -> None:
    _not_negative(name, value)
    if value >= 1:
        raise _fail(f"{name} must be below 1, got {value!r}.")


def _rate(name: str, value: float) -> None:
    _positive(name, value)
    if value > 1:
        raise _fail(f"{name} must be at most 1, got {value!r}.")


def _count(name: str, value: int, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _fail(f"{name} must be a whole number of at least {least}, got {value!r}.")


@dataclass(frozen=True, slots=True)
class Pure:
    """Any ε-differentially private mechanism."""

    kind: ClassVar[str] = "pure"
    epsilon: float

    def __post_init__(self) -> None:
        _not_negative("epsilon", self.epsilon)


@dataclass(frozen=True, slots=True)
class Laplace:
    """Continuous Laplace noise; noise_multiplier = scale / (L1 sensitivity)."""

    kind: ClassVar[str] = "laplace"
    noise_multiplier: float

    def __post_init__(self) -> None:
        _positive("noise_multiplier", self.noise_multiplier)


@dataclass(frozen=True, slots=True)
class DiscreteLaplace:
    """Independent discrete Laplace noise, P(x) ∝ exp(-|x| / scale), on integer coordinates.

    sensitivity: L1 sensitivity of the integer vector, in the same unit as scale.
    """

    kind: ClassVar[str] = "discrete_laplace"
    sensitivity: Fraction
    scale: Fraction

    def __post_init__(self) -> None:
        _fraction("sensitivity", self.sensitivity, zero=True)
        _fraction("scale", self.scale)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Continuous Gaussian noise; noise_multiplier = standard deviation / (L2 sensitivity)."""

    kind: ClassVar[str] = "gaussian"
    noise_multiplier: float

    def __post_init__(self) -> None:
        _positive("noise_multiplier", self.noise_multiplier)


@dataclass(frozen=True, slots=True)
class DiscreteGaussian:
    """Independent discrete Gaussian noise, P(x) ∝ exp(-x² / 2·variance), on integer coordinates.

    sensitivity_squared: square of the L2 sensitivity of the integer vector.
    variance: the parameter σ² of the law (its true variance is at most this).
    Its own kind: bounds proved for the continuous law (GDP, PLD) do not carry over.
    """

    kind: ClassVar[str] = "discrete_gaussian"
    sensitivity_squared: Fraction
    variance: Fraction

    def __post_init__(self) -> None:
        _fraction("sensitivity_squared", self.sensitivity_squared, zero=True)
        _fraction("variance", self.variance)


@dataclass(frozen=True, slots=True)
class ExponentialMechanism:
    """Softmax selection with an ε-bounded range (so ε-DP and ε²/8-zCDP)."""

    kind: ClassVar[str] = "exponential_mechanism"
    epsilon: float

    def __post_init__(self) -> None:
        _not_negative("epsilon", self.epsilon)


@dataclass(frozen=True, slots=True)
class PermuteAndFlip:
    """Permute-and-flip selection: pure ε, not of bounded range."""

    kind: ClassVar[str] = "permute_and_flip"
    epsilon: float

    def __post_init__(self) -> None:
        _not_negative("epsilon", self.epsilon)


@dataclass(frozen=True, slots=True)
class NoisyMax:
    """Report-noisy-max: pure ε, not of bounded range."""

    kind: ClassVar[str] = "noisy_max"
    epsilon: float

    def __post_init__(self) -> None:
        _not_negative("epsilon", self.epsilon)


@dataclass(frozen=True, slots=True)
class RandomizedResponse:
    """k-ary randomised response: the true one of `categories` answers with odds e^ε : 1 : … : 1."""

    kind: ClassVar[str] = "randomized_response"
    epsilon: float
    categories: int

    def __post_init__(self) -> None:
        _not_negative("epsilon", self.epsilon)
        _count("categories", self.categories, 2)


@dataclass(frozen=True, slots=True)
class KeySelection:
    """Stability-based selection of unknown keys; each unit touches at most `max_groups` keys.

    epsilon and delta are those of the whole selection, all `max_groups` keys together.
    """

    kind: ClassVar[str] = "key_selection"
    epsilon: float
    delta: float
    max_groups: int

    def __post_init__(self) -> None:
        _not_negative("epsilon", self.epsilon)
        _delta("delta", self.delta)
        _count("max_groups", self.max_groups)


@dataclass(frozen=True, slots=True)
class ZCDP:
    """Any ρ-zero-concentrated differentially private mechanism."""

    kind: ClassVar[str] = "zcdp"
    rho: float

    def __post_init__(self) -> None:
        _not_negative("rho", self.rho)


@dataclass(frozen=True, slots=True)
class RDP:
    """A mechanism known by its Rényi curve: at orders[i] > 1 its divergence is at most epsilons[i]."""

    kind: ClassVar[str] = "rdp"
    orders: tuple[float, ...]
    epsilons: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.orders or len(self.orders) != len(self.epsilons):
            raise _fail("orders and epsilons must be of the same length, at least 1.")
        for order, epsilon in zip(self.orders, self.epsilons, strict=True):
            _positive("order", order)
            if order <= 1:
                raise _fail(f"each order must be above 1, got {order!r}.")
            _not_negative("epsilon", epsilon)
        if list(self.orders) != sorted(set(self.orders)):
            raise _fail("orders must increase strictly.")


@dataclass(frozen=True, slots=True)
class Approximate:
    """Any (ε, δ)-differentially private mechanism."""

    kind: ClassVar[str] = "approximate"
    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        _not_negative("epsilon", self.epsilon)
        _delta("delta", self.delta)


@dataclass(frozen=True, slots=True)
class PoissonSampled:
    """`event` on a random subset that keeps each privacy unit independently with sample_rate."""

    kind: ClassVar[str] = "poisson_sampled"
    sample_rate: float
    relation: Relation
    event: Event

    def __post_init__(self) -> None:
        _rate("sample_rate", self.sample_rate)
        _relation(self.relation)
        _nested(self.event)


@dataclass(frozen=True, slots=True)
class TruncatedPoissonSampled:
    """Poisson sampling cut at max_batch_size, over a *public* number of units.

    Refused under add/remove: its law needs a public population_size.
    """

    kind: ClassVar[str] = "truncated_poisson_sampled"
    sample_rate: float
    population_size: int
    max_batch_size: int
    relation: Relation
    event: Event

    def __post_init__(self) -> None:
        _rate("sample_rate", self.sample_rate)
        _count("population_size", self.population_size)
        _count("max_batch_size", self.max_batch_size)
        _relation(self.relation)
        if self.relation is Relation.ADD_REMOVE:
            raise _fail(
                "truncated Poisson sampling needs a public population size, "
                "which add_remove does not grant; declare zero_out or replace_one."
            )
        _nested(self.event)


@dataclass(frozen=True, slots=True)
class FixedSizeSampled:
    """`event` on a uniform subset of sample_size out of population_size units, without replacement."""

    kind: ClassVar[str] = "fixed_size_sampled"
    population_size: int
    sample_size: int
    relation: Relation
    event: Event

    def __post_init__(self) -> None:
        _count("population_size", self.population_size)
        _count("sample_size", self.sample_size)
        if self.sample_size > self.population_size:
            raise _fail("sample_size must not exceed population_size.")
        _relation(self.relation)
        if self.relation is Relation.ADD_REMOVE:
            raise _fail("fixed-size sampling has a public population size; add_remove does not fit.")
        _nested(self.event)


@dataclass(frozen=True, slots=True)
class Repeated:
    """`event`, run `count` times (adaptively)."""

    kind: ClassVar[str] = "repeated"
    count: int
    event: Event

    def __post_init__(self) -> None:
        _count("count", self.count)
        _nested(self.event)


@dataclass(frozen=True, slots=True)
class Composed:
    """Several events, run one after the other (adaptively); an empty one touched nothing."""

    kind: ClassVar[str] = "composed"
    events: tuple[Event, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.events, tuple):
            raise _fail("events must be a tuple.")
        for event in self.events:
            _nested(event)


@dataclass(frozen=True, slots=True)
class NonPrivate:
    """Something without any guarantee ran; every accountant refuses it."""

    kind: ClassVar[str] = "non_private"


Event: TypeAlias = (
    Pure
    | Laplace
    | DiscreteLaplace
    | Gaussian
    | DiscreteGaussian
    | ExponentialMechanism
    | PermuteAndFlip
    | NoisyMax
    | RandomizedResponse
    | KeySelection
    | ZCDP
    | RDP
    | Approximate
    | PoissonSampled
    | TruncatedPoissonSampled
    | FixedSizeSampled
    | Repeated
    | Composed
    | NonPrivate
)

KINDS: Mapping[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        Pure,
        Laplace,
        DiscreteLaplace,
        Gaussian,
        DiscreteGaussian,
        ExponentialMechanism,
        PermuteAndFlip,
        NoisyMax,
        RandomizedResponse,
        KeySelection,
        ZCDP,
        RDP,
        Approximate,
        PoissonSampled,
        TruncatedPoissonSampled,
        FixedSizeSampled,
        Repeated,
        Composed,
        NonPrivate,
    )
}


def _relation(value: Relation) -> None:
    if not isinstance(value, Relation):
        raise _fail(f"relation must be a Relation, got {value!r}.")


def _nested(value: object) -> None:
    if type(value) not in KINDS.values():
        raise _fail(f"an event may only hold events, got {type(value).__name__}.")


# ---------------------------------------------------------------------------------- JSON codec


def to_dict(event: Event) -> dict[str, Any]:
    """Return `event` as plain data with its version."""
    _nested(event)
    return {"v": VERSION, **_plain(event)}


def _plain(value: Any) -> Any:
    if type(value) in KINDS.values():
        held = {f.name: getattr(value, f.name) for f in fields(value)}
        for f in fields(value):
            if f.type == "float":  # 1 and 1.0 are one event: they must hash alike
                held[f.name] = float(held[f.name])
        return {"kind": value.kind, **{name: _plain(item) for name, item in held.items()}}
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Relation):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def to_json(event: Event) -> str:
    """Return the canonical JSON of `event`: sorted keys, no spaces, exact numbers."""
    return json.dumps(to_dict(event), sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> Event:
    """Read an event written by `to_json`, of this version or any before it.

    Raises:
        InvalidInput: the text is no event, or of a later version.
    """
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    return from_dict(data)


def from_dict(data: object) -> Event:
    """Read an event from plain data; see `from_json`."""
    if not isinstance(data, dict) or "v" not in data:
        raise _fail("this is not an event: an object with 'v' and 'kind' is needed.")
    if data["v"] != VERSION:
        raise InvalidInput(
            f"this event is of version {data['v']!r}; this discreet reads version {VERSION}.",
            remedy="Read it with the version of discreet that wrote it, or a later one.",
        )
    return _event({key: value for key, value in data.items() if key != "v"})


def _event(data: object) -> Event:
    if not isinstance(data, dict):
        raise _fail("an event must be an object.")
    kind = KINDS.get(data.get("kind", ""))
    if kind is None:
        raise _fail(f"unknown kind of event: {data.get('kind')!r}.")
    known = {f.name: f for f in fields(kind)}
    given = {name: value for name, value in data.items() if name != "kind"}
    if set(given) != set(known):
        raise _fail(f"the fields of {kind.kind!r} are {sorted(known)}, got {sorted(given)}.")
    return kind(**{name: _value(str(known[name].type), value) for name, value in given.items()})


def _value(declared: str, value: Any) -> Any:
    """Read one field; `declared` is the annotation as written above."""
    try:
        if declared == "Event":
            return _event(value)
        if declared == "tuple[Event, ...]":
            return tuple(_event(item) for item in value)
        if declared == "tuple[float, ...]":
            return tuple(float(item) for item in value)
        if declared == "Fraction":
            return Fraction(value) if isinstance(value, str) else value
        if declared == "Relation":
            return Relation(value)
        if declared == "float":
            return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    except (TypeError, ValueError, ZeroDivisionError):
        pass
    else:
        return value
    raise _fail(f"a field of type {declared} holds {value!r}.")
