"""The kinds of events, what each field demands, and the table that a stored event is read through."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from fractions import Fraction
from typing import Any, ClassVar, TypeAlias, TypeGuard, get_args

from discreet.errors import InvalidInput

DEEPEST = 32  # events within events; bounded, so that whoever reads one needs no deep stack
WIDEST = 6000  # bits of a fraction's numerator and denominator; Python writes and reads no integers beyond 14,000


class Relation(str, Enum):
    """When two datasets are neighbours.

    add_remove: one privacy unit's rows are present in one and absent from the other.
    replace_one: one privacy unit's rows are replaced by any others.
    zero_out: one privacy unit's rows are replaced by a blank that contributes nothing.
    """

    ADD_REMOVE = "add_remove"
    REPLACE_ONE = "replace_one"
    ZERO_OUT = "zero_out"


class _Checked:
    """Checks every field of an event by its name: the same word means the same thing in every kind."""

    __slots__ = ()
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            demand, holds = CHECKS[item.name]
            value = getattr(self, item.name)
            if not holds(value):
                raise refused(f"{item.name} must be {demand}, got {shown(value)}.")
            if item.type == "float":  # 1 and 1.0, 0.0 and -0.0 are one event: they must hash alike
                object.__setattr__(self, item.name, float(value) + 0.0)
            elif item.type == "tuple[float, ...]":
                object.__setattr__(self, item.name, tuple(float(one) + 0.0 for one in value))
        if _depth(self) > DEEPEST:  # type: ignore[arg-type]
            raise refused(f"an event holds others at most {DEEPEST} deep.")


@dataclass(frozen=True, slots=True)
class Pure(_Checked):
    """Any ε-differentially private mechanism."""

    kind: ClassVar[str] = "pure"
    epsilon: float


@dataclass(frozen=True, slots=True)
class Laplace(_Checked):
    """Continuous Laplace noise; noise_multiplier = scale / (L1 sensitivity)."""

    kind: ClassVar[str] = "laplace"
    noise_multiplier: float


@dataclass(frozen=True, slots=True)
class DiscreteLaplace(_Checked):
    """Independent discrete Laplace noise, P(x) ∝ exp(-|x| / scale), on integer coordinates.

    sensitivity: L1 sensitivity of the integer vector, in the same unit as scale.
    """

    kind: ClassVar[str] = "discrete_laplace"
    sensitivity: Fraction
    scale: Fraction


@dataclass(frozen=True, slots=True)
class Gaussian(_Checked):
    """Continuous Gaussian noise; noise_multiplier = standard deviation / (L2 sensitivity)."""

    kind: ClassVar[str] = "gaussian"
    noise_multiplier: float


@dataclass(frozen=True, slots=True)
class DiscreteGaussian(_Checked):
    """Independent discrete Gaussian noise, P(x) ∝ exp(-x² / 2·variance), on integer coordinates.

    sensitivity_squared: square of the L2 sensitivity of the integer vector.
    variance: the parameter σ² of the law (its true variance is at most this).
    Its own kind: bounds proved for the continuous law (GDP, PLD) do not carry over.
    """

    kind: ClassVar[str] = "discrete_gaussian"
    sensitivity_squared: Fraction
    variance: Fraction


@dataclass(frozen=True, slots=True)
class ExponentialMechanism(_Checked):
    """Softmax selection with an ε-bounded range (so ε-DP and ε²/8-zCDP)."""

    kind: ClassVar[str] = "exponential_mechanism"
    epsilon: float


@dataclass(frozen=True, slots=True)
class PermuteAndFlip(_Checked):
    """Permute-and-flip selection: pure ε, not of bounded range."""

    kind: ClassVar[str] = "permute_and_flip"
    epsilon: float


@dataclass(frozen=True, slots=True)
class NoisyMax(_Checked):
    """Report-noisy-max: pure ε, not of bounded range."""

    kind: ClassVar[str] = "noisy_max"
    epsilon: float


@dataclass(frozen=True, slots=True)
class RandomizedResponse(_Checked):
    """k-ary randomised response: the true one of `categories` answers with odds e^ε : 1 : … : 1."""

    kind: ClassVar[str] = "randomized_response"
    epsilon: float
    categories: int


@dataclass(frozen=True, slots=True)
class KeySelection(_Checked):
    """Stability-based selection of unknown keys; each unit touches at most `max_groups` keys.

    epsilon and delta are those of the whole selection, all `max_groups` keys together.
    """

    kind: ClassVar[str] = "key_selection"
    epsilon: float
    delta: float
    max_groups: int


@dataclass(frozen=True, slots=True)
class ZCDP(_Checked):
    """Any ρ-zero-concentrated differentially private mechanism."""

    kind: ClassVar[str] = "zcdp"
    rho: float


@dataclass(frozen=True, slots=True)
class RDP(_Checked):
    """A mechanism known by its Rényi curve: at orders[i] > 1 its divergence is at most epsilons[i]."""

    kind: ClassVar[str] = "rdp"
    orders: tuple[float, ...]
    epsilons: tuple[float, ...]

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if len(self.orders) != len(self.epsilons):
            raise refused("orders and epsilons must be of the same length.")


@dataclass(frozen=True, slots=True)
class Approximate(_Checked):
    """Any (ε, δ)-differentially private mechanism."""

    kind: ClassVar[str] = "approximate"
    epsilon: float
    delta: float


@dataclass(frozen=True, slots=True)
class PoissonSampled(_Checked):
    """`event` on a random subset that keeps each privacy unit independently with sample_rate."""

    kind: ClassVar[str] = "poisson_sampled"
    sample_rate: float
    relation: Relation
    event: Event


@dataclass(frozen=True, slots=True)
class TruncatedPoissonSampled(_Checked):
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
        _Checked.__post_init__(self)
        _public_size(self.relation)


@dataclass(frozen=True, slots=True)
class FixedSizeSampled(_Checked):
    """`event` on a uniform subset of sample_size out of population_size units, without replacement."""

    kind: ClassVar[str] = "fixed_size_sampled"
    population_size: int
    sample_size: int
    relation: Relation
    event: Event

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        _public_size(self.relation)
        if self.sample_size > self.population_size:
            raise refused("sample_size must not exceed population_size.")


@dataclass(frozen=True, slots=True)
class Repeated(_Checked):
    """`event`, run `count` times (adaptively)."""

    kind: ClassVar[str] = "repeated"
    count: int
    event: Event


@dataclass(frozen=True, slots=True)
class Composed(_Checked):
    """Several events, run one after the other (adaptively); an empty one touched nothing."""

    kind: ClassVar[str] = "composed"
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class NonPrivate(_Checked):
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

KINDS: Mapping[str, type[Event]] = {kind.kind: kind for kind in get_args(Event)}


def refused(what: str) -> InvalidInput:
    """Return the error for a field that holds what it must not."""
    return InvalidInput(what, remedy="Build the event from valid parameters.")


def _public_size(relation: Relation) -> None:
    if relation is Relation.ADD_REMOVE:
        raise refused(
            "this sampling needs a public population size, which add_remove does not grant; "
            "declare zero_out or replace_one."
        )


def _number(value: object) -> TypeGuard[float]:
    """Whether a value is a number that a float holds exactly."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) and float(value) == value
    except OverflowError:
        return False


def shown(value: object) -> str:
    """Return a value as an error may show it: never at great length."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a whole number beyond 40 digits"
    return text if len(text) <= 200 else f"{text[:200]}…"


def parts(event: Event) -> tuple[Event, ...]:
    """Return the events that an event is made of."""
    match event:
        case Composed():
            return event.events
        case Repeated() | PoissonSampled() | TruncatedPoissonSampled() | FixedSizeSampled():
            return (event.event,)
    return ()


def _depth(event: Event) -> int:
    return 1 + max(map(_depth, parts(event)), default=-1) if parts(event) else 0


def _exact(value: object) -> bool:
    return isinstance(value, Fraction) and max(value.numerator.bit_length(), value.denominator.bit_length()) <= WIDEST


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_event(value: object) -> bool:
    """Return whether a value is an event of one of the kinds."""
    return type(value) in KINDS.values()


def _increasing(values: object, above: float) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) > 0
        and all(_number(value) and value > above for value in values)
        and all(a < b for a, b in itertools.pairwise(values))
    )


_LOSS = ("a finite number of at least 0", lambda x: _number(x) and x >= 0)
_EXACT = (f"a Fraction above 0, of at most {WIDEST} bits", lambda x: _exact(x) and x > 0)
_EXACT_OR_ZERO = (f"a Fraction of at least 0, of at most {WIDEST} bits", lambda x: _exact(x) and x >= 0)
_COUNT = ("a whole number of at least 1", lambda x: _whole(x, 1))

CHECKS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "epsilon": _LOSS,
    "rho": _LOSS,
    "delta": ("a number in [0, 1)", lambda x: _number(x) and 0 <= x < 1),
    "noise_multiplier": ("a finite number above 0", lambda x: _number(x) and x > 0),
    "sensitivity": _EXACT_OR_ZERO,
    "sensitivity_squared": _EXACT_OR_ZERO,
    "scale": _EXACT,
    "variance": _EXACT,
    "sample_rate": ("a number in (0, 1]", lambda x: _number(x) and 0 < x <= 1),
    "orders": ("a tuple of increasing numbers above 1", lambda x: _increasing(x, 1)),
    "epsilons": (
        "a tuple of finite numbers of at least 0",
        lambda x: isinstance(x, tuple) and all(_number(value) and value >= 0 for value in x),
    ),
    "categories": ("a whole number of at least 2", lambda x: _whole(x, 2)),
    "max_groups": _COUNT,
    "count": _COUNT,
    "population_size": _COUNT,
    "sample_size": _COUNT,
    "max_batch_size": _COUNT,
    "relation": ("a Relation", lambda x: isinstance(x, Relation)),
    "event": ("an event", is_event),
    "events": ("a tuple of events", lambda x: isinstance(x, tuple) and all(is_event(item) for item in x)),
}
