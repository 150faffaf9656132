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

import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from fractions import Fraction
from typing import Any, ClassVar, TypeAlias, TypeGuard, get_args

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


class _Checked:
    """Checks every field of an event by its name: the same word means the same thing in every kind."""

    __slots__ = ()
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            demand, holds = CHECKS[item.name]
            value = getattr(self, item.name)
            if not holds(value):
                raise _fail(f"{item.name} must be {demand}, got {value!r}.")


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
            raise _fail("orders and epsilons must be of the same length.")


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
            raise _fail("sample_size must not exceed population_size.")


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


def _fail(what: str) -> InvalidInput:
    return InvalidInput(what, remedy="Build the event from valid parameters.")


def _public_size(relation: Relation) -> None:
    if relation is Relation.ADD_REMOVE:
        raise _fail(
            "this sampling needs a public population size, which add_remove does not grant; "
            "declare zero_out or replace_one."
        )


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _event(value: object) -> bool:
    return type(value) in KINDS.values()


def _increasing(values: object, above: float) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) > 0
        and all(_number(value) and value > above for value in values)
        and all(a < b for a, b in itertools.pairwise(values))
    )


_LOSS = ("a finite number of at least 0", lambda x: _number(x) and x >= 0)
_EXACT = ("a Fraction above 0", lambda x: isinstance(x, Fraction) and x > 0)
_EXACT_OR_ZERO = ("a Fraction of at least 0", lambda x: isinstance(x, Fraction) and x >= 0)
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
    "event": ("an event", _event),
    "events": ("a tuple of events", lambda x: isinstance(x, tuple) and all(_event(item) for item in x)),
}


# ---------------------------------------------------------------------------------- JSON codec


def to_dict(event: Event) -> dict[str, Any]:
    """Return `event` as plain data with its version."""
    if not _event(event):
        raise _fail(f"this is not an event: {type(event).__name__}.")
    return {"v": VERSION, **_plain(event)}


def _plain(value: Any) -> Any:
    if _event(value):
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
    except (ValueError, RecursionError):
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
    return _read({key: value for key, value in data.items() if key != "v"})


def _read(data: object) -> Event:
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
            return _read(value)
        if declared == "tuple[Event, ...]":
            return tuple(_read(item) for item in value)
        if declared == "tuple[float, ...]":
            return tuple(float(item) for item in value)
        if declared == "Fraction":
            numerator, denominator = value.split("/")  # never Fraction(text): "1e999999999" would hang
            return Fraction(int(numerator), int(denominator))
        if declared == "Relation":
            return Relation(value)
        if declared == "float":
            return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    except (TypeError, ValueError, AttributeError, ArithmeticError):
        pass
    else:
        return value
    raise _fail(f"a field of type {declared} holds {value!r}.")
