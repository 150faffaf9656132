"""The kinds of events, what each field demands, and the table that a stored event is read through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, ClassVar, TypeAlias, get_args

from discreet.events.checks import FIELDS, Relation, increasing, refused, shown

DEEPEST = 32  # events within events; bounded, so that whoever reads one needs no deep stack


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
    """Continuous Gaussian noise; noise_multiplier = standard deviation / (L2 sensitivity).

    The sensitivity is that under the relation of the sampled event that this one stands in, or else of
    the account. Contributions clipped to norm C have sensitivity C under add_remove and zero_out, and
    2C under replace_one: DP-SGD with noise σ·C is Gaussian(σ), and Gaussian(σ / 2) under replace_one.
    """

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
class Tabulated(_Checked):
    """A mechanism known by its outputs' probabilities on two neighbouring datasets, taken both ways round.

    first, second: of output i on either dataset, in proportion: neither need sum to exactly 1. No other
    pair of neighbours may be told apart better than this one, or the same with the two exchanged.
    """

    kind: ClassVar[str] = "tabulated"
    first: tuple[float, ...]
    second: tuple[float, ...]

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if len(self.first) != len(self.second):
            raise refused("first and second must be of the same length.")


@dataclass(frozen=True, slots=True)
class Shuffled(_Checked):
    """One k-ary randomised response from each of many people, all permuted by a trusted shuffler.

    counts[j] people answer with epsilons[j], which increase; `categories` is k. It hides which answer a
    person gave, not whether: bounded under replace_one only.
    """

    kind: ClassVar[str] = "shuffled"
    epsilons: tuple[float, ...]
    counts: tuple[int, ...]
    categories: int

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if not increasing(self.epsilons, 0):
            raise refused("the epsilons of shuffled reports must be above 0 and increase.")
        if len(self.epsilons) != len(self.counts):
            raise refused("epsilons and counts must be of the same length.")


@dataclass(frozen=True, slots=True)
class PoissonSampled(_Checked):
    """`event` on a random subset that keeps each privacy unit independently with sample_rate.

    A noise_multiplier within refers to this event's relation, see Gaussian. Under replace_one a unit that
    is not sampled must lie midway: its absence moves the result by at most half of the sensitivity.
    """

    kind: ClassVar[str] = "poisson_sampled"
    sample_rate: float
    relation: Relation
    event: Event


@dataclass(frozen=True, slots=True)
class TruncatedPoissonSampled(_Checked):
    """Poisson sampling cut at max_batch_size, over a *public* number of units.

    Refused under add/remove: its law needs a public population_size. A noise_multiplier within refers to
    this event's relation, as for PoissonSampled.
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
    """`event` on a uniform subset of sample_size out of population_size units, without replacement.

    A noise_multiplier within refers to this event's relation, see Gaussian.
    """

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
class RandomAllocation(_Checked):
    """`steps` runs of `event`, each unit in exactly one of them: uniformly, independently of all others.

    Also called balls-and-bins. Several epochs are a Repeated one. With Gaussian(σ) the worst pair is the
    uniform mixture of N(e_i, σ²) over the steps i, against N(0, σ²): a noise_multiplier within refers to
    this event's relation, see Gaussian. Refused under replace_one, whose pair is another.
    """

    kind: ClassVar[str] = "random_allocation"
    steps: int
    relation: Relation
    event: Event

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if self.relation is Relation.REPLACE_ONE:
            raise refused("random allocation is described for add_remove and zero_out, not for replace_one.")


@dataclass(frozen=True, slots=True)
class CyclicPoissonSampled(_Checked):
    """`steps` runs of `event`; step i Poisson-samples at sample_rate from group i mod `bands` alone.

    The units are split into `bands` groups once, each independently of all data; at most
    ceil(steps / bands) steps can touch a unit. With Gaussian(σ), σ per column norm of the strategy, this is
    matrix factorisation with that many bands (Choquette-Choo et al. 2023). A noise_multiplier within refers
    to this event's relation, as for PoissonSampled.
    """

    kind: ClassVar[str] = "cyclic_poisson_sampled"
    sample_rate: float
    bands: int
    steps: int
    relation: Relation
    event: Event


@dataclass(frozen=True, slots=True)
class PrivateSelection(_Checked):
    """The best by a score of K independent runs of `event`; only that one is published.

    K is truncated negative binomial (1, 2, …) of this mean and shape: 0 is logarithmic, 1 geometric. The
    score must follow from what the run itself would publish (Papernot and Steinke 2022).
    """

    kind: ClassVar[str] = "private_selection"
    mean: float
    shape: float
    event: Event

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if self.mean <= 1:
            raise refused("the mean of a truncated negative binomial number of runs must be above 1.")


@dataclass(frozen=True, slots=True)
class PoissonSelection(_Checked):
    """As PrivateSelection, but K is Poisson of this mean; nothing is published where K = 0."""

    kind: ClassVar[str] = "poisson_selection"
    mean: float
    event: Event


@dataclass(frozen=True, slots=True)
class Mixture(_Checked):
    """One of `events`, which a coin with these weights chooses; the coin sees no data and is published."""

    kind: ClassVar[str] = "mixture"
    weights: tuple[float, ...]
    events: tuple[Event, ...]

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if len(self.weights) != len(self.events):
            raise refused("weights and events must be of the same length.")


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
    | Tabulated
    | Shuffled
    | PoissonSampled
    | TruncatedPoissonSampled
    | FixedSizeSampled
    | RandomAllocation
    | CyclicPoissonSampled
    | PrivateSelection
    | PoissonSelection
    | Mixture
    | Repeated
    | Composed
    | NonPrivate
)

KINDS: Mapping[str, type[Event]] = {kind.kind: kind for kind in get_args(Event)}


def _public_size(relation: Relation) -> None:
    if relation is Relation.ADD_REMOVE:
        raise refused(
            "this sampling needs a public population size, which add_remove does not grant; "
            "declare zero_out or replace_one."
        )


def parts(event: Event) -> tuple[Event, ...]:
    """Return the events that an event is made of."""
    match event:
        case Composed() | Mixture():
            return event.events
        case (
            Repeated()
            | PoissonSampled()
            | TruncatedPoissonSampled()
            | FixedSizeSampled()
            | RandomAllocation()
            | CyclicPoissonSampled()
            | PrivateSelection()
            | PoissonSelection()
        ):
            return (event.event,)
    return ()


def _depth(event: Event) -> int:
    return 1 + max(map(_depth, parts(event)), default=-1) if parts(event) else 0


def is_event(value: object) -> bool:
    """Return whether a value is an event of one of the kinds."""
    return type(value) in KINDS.values()


CHECKS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    **FIELDS,
    "event": ("an event", is_event),
    "events": ("a tuple of events", lambda x: isinstance(x, tuple) and all(is_event(item) for item in x)),
}
