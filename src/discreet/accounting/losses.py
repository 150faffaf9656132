"""What an event costs in each measure: pure ε, ρ, or the Rényi divergence at one order, and a δ.

Exact rationals stay exact (`Fraction`); what needs a float is rounded up first. An event that a
measure cannot bound is refused. Composition adds, adaptively: docs/proofs/filters.md.

Sampled events have no closed form: a Rényi account asks the engine for the divergence of their dominating
pair. What a pair gives away outright is no part of that divergence, so it goes to the δ column.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from discreet import events
from discreet.accounting.conversions import closed_delta, up
from discreet.accounting.filters import above
from discreet.accounting.measures import COST_UNIT, DELTA_UNIT, Cost, Measure
from discreet.accounting.selection import (
    HIGHEST,
    poisson_selection_pure,
    poisson_selection_renyi,
    selection_pure,
    selection_renyi,
)
from discreet.errors import UnsupportedEvent

_HUGE = 2**40  # a loss that protects nobody; beyond it floats could overflow
_PAIRED = (  # kinds whose dominating pair says more about a Rényi divergence than any closed form here
    events.PoissonSampled
    | events.TruncatedPoissonSampled
    | events.FixedSizeSampled
    | events.RandomAllocation
    | events.Shuffled
    | events.Tabulated
)
_CHANCES = tuple(1 + 2.0 ** (k / 2) for k in range(-8, 25))  # orders at which a δ of a selection's run is looked for


@dataclass(frozen=True, slots=True)
class Loss:
    """An upper bound of a loss in some measure, and the δ beside it."""

    loss: Fraction = Fraction(0)
    delta: Fraction = Fraction(0)


def cost(event: events.Event, measure: Measure) -> Cost:
    """Return what `event` costs an account, rounded up.

    Guarantee: never below the event's loss in the measure, nor its δ below its atoms.
    Evidence: proven, docs/proofs/filters.md and the notes of each conversion.
    Assumes: the event describes what ran.
    Not protected: nothing.

    Raises:
        UnsupportedEvent: the measure cannot bound the event.
    """
    bound = loss(event, measure)
    return Cost(math.ceil(bound.loss / COST_UNIT), math.ceil(bound.delta / DELTA_UNIT))


def loss(event: events.Event, measure: Measure) -> Loss:
    """Return the loss of `event` in `measure`; see `cost`."""
    match event:
        case events.Repeated():
            once = loss(event.event, measure)
            return Loss(event.count * once.loss, event.count * once.delta)
        case events.Composed():
            parts = [loss(part, measure) for part in event.events]
            return Loss(sum((p.loss for p in parts), Fraction(0)), sum((p.delta for p in parts), Fraction(0)))
        case events.Mixture():
            # The published coin is the same on both datasets, so δ(ε) = Σ w_j·δ_j(ε) ≤ max δ_j at ε = max ε_j, and
            # exp((α-1)·D_α) = Σ w_j·exp((α-1)·D_α,j): no measure's loss exceeds that of the worst part.
            parts = [loss(part, measure) for part in event.events]
            return Loss(max(p.loss for p in parts), max(p.delta for p in parts))
        case events.CyclicPoissonSampled():
            return loss(_touching(event), measure)
        case _:
            return _single(event, measure)


def _single(event: events.Event, measure: Measure) -> Loss:
    known = pure(event)
    if measure.kind == "pure":
        if known is None:
            raise _refused(event, measure)
        return known
    concentrated = rho(event)
    if measure.kind == "zcdp":
        if concentrated is not None:
            return Loss(concentrated, Fraction(0) if known is None else known.delta)
        raise _refused(event, measure)
    assert measure.order is not None
    value = renyi(event, measure.order)
    if value is None:
        raise _refused(event, measure)
    # One δ for all orders, whichever bound is the least at this one: curves over several orders rely on it.
    return Loss(value, max(Fraction(0) if known is None else known.delta, _shown(event) or Fraction(0)))


def check_relation(event: events.Event, relation: events.Relation) -> None:
    """Refuse an event whose bound was proved for another neighbouring relation.

    A sampled event names its relation; randomised response, shuffled or not, hides which answer a person gave, not
    whether. What an event is made of is checked too.

    Raises:
        UnsupportedEvent: names the event and both relations.
    """
    proved = getattr(event, "relation", relation)
    if isinstance(event, events.RandomizedResponse | events.Shuffled):
        proved = events.Relation.REPLACE_ONE
    if proved is not relation:
        raise UnsupportedEvent(
            f"{event.kind!r} is bounded under {proved.value}; this account protects under {relation.value}.",
            remedy="Use an account of that relation; there is no silent conversion.",
        )
    for part in events.parts(event):
        check_relation(part, relation)


@lru_cache(maxsize=256)
def pure(event: events.Event) -> Loss | None:
    """Return ε and δ of a single event, or None where no pure bound is known."""
    match event:
        case (
            events.Pure()
            | events.ExponentialMechanism()
            | events.PermuteAndFlip()
            | events.NoisyMax()
            | events.RandomizedResponse()
        ):
            return Loss(Fraction(event.epsilon))
        case events.Approximate() | events.KeySelection():
            return Loss(Fraction(event.epsilon), Fraction(event.delta))
        case events.Laplace():
            return Loss(1 / Fraction(event.noise_multiplier))
        case events.DiscreteLaplace():
            return Loss(event.sensitivity / event.scale)
        case events.Tabulated():
            return _tabulated(event)
        case events.Shuffled():  # a shuffler post-processes reports, each of which is ε_j-DP for its sender
            return Loss(Fraction(event.epsilons[-1]))
        case events.PoissonSampled():
            return _sampled(event)
        case events.RandomAllocation():
            # Given who runs where, one run touches the unit; the allocation is a coin that saw no data, as in Mixture.
            return _within(event.event, event.relation)
        case events.PrivateSelection() | events.PoissonSelection():
            return _selected(event)
        case events.Mixture() | events.CyclicPoissonSampled():
            return _within(event)
    return None


def _within(event: events.Event, relation: events.Relation | None = None) -> Loss | None:
    """Return the pure loss of an event within another, under the relation of that if it names one."""
    try:
        if relation is not None:
            check_relation(event, relation)
        return loss(event, Measure("pure"))
    except UnsupportedEvent:
        return None


def _touching(event: events.CyclicPoissonSampled) -> events.Repeated:
    """Return the steps that can touch one unit: those of its group, whose members are fixed and saw no data."""
    once = events.PoissonSampled(event.sample_rate, event.relation, event.event)
    return events.Repeated(-(-event.steps // event.bands), once)


def _tabulated(event: events.Tabulated) -> Loss:
    """Return the largest log-ratio over the outputs that both datasets give, and the mass of all others as δ."""
    first, second = [Fraction(p) for p in event.first], [Fraction(q) for q in event.second]
    totals = sum(first, Fraction(0)), sum(second, Fraction(0))  # the entries are probabilities in proportion
    scale = totals[1] / totals[0]
    ratios = [scale * p / q for p, q in zip(first, second, strict=True) if p and q]
    worst = max((max(ratio, 1 / ratio) for ratio in ratios), default=Fraction(1))
    alone = sum((p for p, q in zip(first, second, strict=True) if not q), Fraction(0)) / totals[0]
    other = sum((q for p, q in zip(first, second, strict=True) if not p), Fraction(0)) / totals[1]
    return Loss(_log_up(worst), max(alone, other))


def _log_up(ratio: Fraction) -> Fraction:
    """Return the logarithm of a number of at least 1, rounded up."""
    if ratio == 1:
        return Fraction(0)
    if ratio < 2:
        return Fraction(up(math.log1p(float(ratio - 1))))
    shift = ratio.numerator.bit_length() - ratio.denominator.bit_length()
    rest = math.log(float(ratio / Fraction(2) ** shift))  # in (-log 2, log 2): no overflow
    return Fraction(up(shift * math.log(2) + rest, shift))


def _selected(event: events.PrivateSelection | events.PoissonSelection) -> Loss | None:
    """Return the pure loss of a selection; with a δ of its own a run could be told by the runs that lost."""
    inner = _within(event.event)
    if inner is None or inner.delta > 0:
        return None
    protects = inner.loss <= _HUGE
    once = up(float(inner.loss)) if protects else 0.0
    if isinstance(event, events.PoissonSelection):
        simple = inner.loss + Fraction(event.mean)  # tanh is at most 1
        tight = poisson_selection_pure(once, event.mean)
    else:
        simple = (2 + Fraction(event.shape)) * inner.loss
        tight = selection_pure(once, event.mean, event.shape)
    return Loss(Fraction(tight) if protects and tight < simple else simple)


def _sampled(event: events.PoissonSampled) -> Loss | None:
    """Return the amplified (ε, δ) of Poisson sampling under add/remove.

    References: Balle, Barthe, Gaboardi 2018, Theorem 8: ε' = log(1 + q(e^ε - 1)), δ' = qδ.
    """
    if event.relation is not events.Relation.ADD_REMOVE:
        return None
    inner = _within(event.event, event.relation)
    if inner is None:
        return None
    if inner.loss > _HUGE:
        return Loss(inner.loss, Fraction(event.sample_rate) * inner.delta)
    epsilon, rate = up(float(inner.loss)), event.sample_rate
    # log(1 + q(e^ε - 1)) = ε + log(q + (1-q)e^-ε) for large ε, where e^ε would overflow.
    amplified = (
        math.log1p(rate * math.expm1(epsilon))
        if epsilon < 30
        else epsilon + math.log(rate + (1 - rate) * math.exp(-epsilon))
    )
    return Loss(
        min(inner.loss, Fraction(max(0.0, up(amplified, epsilon if epsilon >= 30 else 0)))),
        Fraction(rate) * inner.delta,
    )


@lru_cache(maxsize=256)
def rho(event: events.Event) -> Fraction | None:
    """Return ρ such that the event (without its δ atoms) is ρ-zCDP, or None where none is known."""
    match event:
        case events.DiscreteGaussian():
            return event.sensitivity_squared / (2 * event.variance)
        case events.Gaussian():
            return 1 / (2 * Fraction(event.noise_multiplier) ** 2)
        case events.ZCDP():
            return Fraction(event.rho)
        case events.ExponentialMechanism():
            return min(Fraction(event.epsilon) ** 2 / 8, pure_to_rho(Fraction(event.epsilon)))
    known = pure(event)
    return None if known is None else pure_to_rho(known.loss)


def pure_to_rho(epsilon: Fraction) -> Fraction:
    """Return the least ρ that ε-DP always implies: ε·tanh(ε/2), at most ε²/2.

    Guarantee: upper bound, and tight (randomised response attains it as the order falls to 1).
    Evidence: proven, docs/proofs/pure_to_zcdp.md.
    Assumes: nothing.
    Not protected: nothing.
    """
    if epsilon > _HUGE:
        return epsilon  # tanh is at most 1
    value = float(epsilon)
    return min(epsilon**2 / 2, Fraction(up(value * math.tanh(value / 2))) if value > 1e-150 else epsilon**2)


def renyi(event: events.Event, order: float) -> Fraction | None:
    """Return a bound of the Rényi divergence at `order` (without δ atoms), or None where none is known."""
    if isinstance(event, events.RDP):
        # The divergence does not fall with the order: the next larger known order bounds it.
        for known, epsilon in zip(event.orders, event.epsilons, strict=True):
            if known >= order:
                return Fraction(epsilon)
        return None
    bounds = []
    concentrated, known_pure = rho(event), pure(event)
    if concentrated is not None:
        bounds.append(Fraction(order) * concentrated)
    if known_pure is not None:
        bounds.append(known_pure.loss)
        if known_pure.loss <= _HUGE:
            bounds.append(Fraction(pure_to_renyi(float(known_pure.loss), order)))
    if isinstance(event, events.Laplace) and event.noise_multiplier * _HUGE >= 1:
        bounds.append(Fraction(laplace_renyi(event.noise_multiplier, order)))
    if isinstance(event, events.PrivateSelection | events.PoissonSelection):
        selected = _selection_renyi(event, order)
        if selected < math.inf:
            bounds.append(Fraction(selected))
    paired = _paired(event, order)
    if paired is not None:
        bounds.append(paired)
    return min(bounds) if bounds else None


def _paired(event: events.Event, order: float) -> Fraction | None:
    """Return the divergence of the dominating pair, given that it shows nothing outright; None where none is known.

    With probability 1 - δ the loss is finite. Its law P' then has P'^α = (1 - δ)^-α · P^α on the same outputs, so
    that D_α(P'‖Q) is the divergence of the finite part and α/(α - 1)·log(1/(1 - δ)) more. The δ itself goes to its
    column; why a filter may add both up: docs/proofs/approximate.md.
    """
    lost = _shown(event)
    if lost is None:
        return None
    from discreet.accounting.engines.renyi import renyi_bound

    bound = renyi_bound(event, order)
    if bound is None:
        return None
    given = order / (order - 1) * -math.log1p(-above(lost)) if lost else 0.0
    return Fraction(up(max(0.0, bound) + given))


@lru_cache(maxsize=4096)
def _shown(event: events.Event) -> Fraction | None:
    """Return the largest mass at an infinite loss, over the directions of a dominating pair; None without a pair."""
    if not isinstance(event, _PAIRED):
        return None
    known = pure(event)
    if known is not None and known.loss > _HUGE:
        return None
    from discreet.accounting.engines.law import Law
    from discreet.accounting.engines.pairs import DIRECTIONS, classes, pair

    try:
        check_relation(event, getattr(event, "relation", events.Relation.REPLACE_ONE))
        pairs = [pair(event, direction, victim) for direction in DIRECTIONS for victim in range(classes(event))]
    except (UnsupportedEvent, ArithmeticError):
        return None
    laws = [one.law for one in pairs if one is not None]
    if any(type(law) is Law and not law.pieces and not law.atoms.losses.size for law in laws):
        return None  # nothing happens: the closed forms say so
    lost = [Fraction(law.points(above=True).infinite) for law in laws]
    if len(lost) < len(pairs) or max(lost) >= Fraction(1, 2):
        return None
    return max(lost) * (1 + Fraction(1, 10**12))  # a few roundings of floats


def _selection_renyi(event: events.PrivateSelection | events.PoissonSelection, order: float) -> float:
    """Return the Rényi bound of a selection; infinite where none is known."""
    if any(_selects(part) for part in events.parts(event)):  # each level would search through all of the next
        return math.inf

    curve = _between if _samples(event.event) else _curve

    def inner(at: float) -> float:
        return curve(event.event, at)

    corners = _corners(event.event)
    if isinstance(event, events.PrivateSelection):
        return selection_renyi(order, inner, event.mean, event.shape, corners=corners)

    known = [(at, inner(at)) for at in (*_CHANCES, *corners)]

    def delta_of(epsilon: float) -> float:
        return min((closed_delta(at, value, epsilon) for at, value in known if value < math.inf), default=1.0)

    return poisson_selection_renyi(order, inner, event.mean, delta_of, corners=corners)


def _selects(event: events.Event) -> bool:
    return isinstance(event, events.PrivateSelection | events.PoissonSelection) or any(
        map(_selects, events.parts(event))
    )


def _samples(event: events.Event) -> bool:
    return isinstance(event, _PAIRED | events.CyclicPoissonSampled) or any(map(_samples, events.parts(event)))


def _between(event: events.Event, order: float) -> float:
    """Return `_curve` from a few orders, where each one costs an integral: (α - 1)·D_α is convex in α."""
    place = bisect.bisect_left(_CHANCES, order)
    if place == len(_CHANCES):
        return math.inf
    high, above_it = _curve(event, _CHANCES[place]), _CHANCES[place]
    if place == 0 or high == math.inf:
        return high  # D_α does not fall with the order
    low, below_it = _curve(event, _CHANCES[place - 1]), _CHANCES[place - 1]
    share = (order - below_it) / (above_it - below_it)
    return min(high, up(((1 - share) * (below_it - 1) * low + share * (above_it - 1) * high) / (order - 1)))


def _corners(event: events.Event) -> tuple[float, ...]:
    """Return the orders at which the Rényi curves within an event have their steps."""
    if isinstance(event, events.RDP):
        return event.orders
    return tuple({order for part in events.parts(event) for order in _corners(part)})


@lru_cache(maxsize=8192)
def _curve(event: events.Event, order: float) -> float:
    """Return a Rényi bound of an event without δ atoms at any order; infinite where none is known."""
    if order > HIGHEST:
        return math.inf
    try:
        bound = loss(event, Measure("renyi", order))
    except UnsupportedEvent:
        return math.inf
    return up(float(bound.loss)) if bound.delta == 0 and bound.loss <= _HUGE else math.inf


def pure_to_renyi(epsilon: float, order: float) -> float:
    """Return the largest Rényi divergence of an ε-DP mechanism: that of randomised response, rounded up.

    References: Mironov 2017; closed form log(cosh((α - ½)ε) / cosh(ε/2)) / (α - 1).
    """
    size = _log_cosh((order - 0.5) * epsilon) + _log_cosh(epsilon / 2)
    value = (_log_cosh((order - 0.5) * epsilon) - _log_cosh(epsilon / 2)) / (order - 1)
    return up(max(value, 0.0), (size + 1) / (order - 1))


def laplace_renyi(noise_multiplier: float, order: float) -> float:
    """Return the Rényi divergence of the continuous Laplace mechanism, rounded up.

    References: Mironov 2017, Proposition 6.
    """
    t = 1 / noise_multiplier
    first = math.log(order / (2 * order - 1)) + (order - 1) * t
    second = math.log((order - 1) / (2 * order - 1)) - order * t
    high, low = max(first, second), min(first, second)
    return up(
        max(0.0, (high + math.log1p(math.exp(low - high))) / (order - 1)), (abs(high) + order * t + 1) / (order - 1)
    )


def _log_cosh(x: float) -> float:
    return abs(x) + math.log1p(math.exp(-2 * abs(x))) - math.log(2)


def _refused(event: events.Event, measure: Measure) -> UnsupportedEvent:
    if isinstance(event, events.NonPrivate):
        return UnsupportedEvent("something without any guarantee ran; no accountant admits it.")
    return UnsupportedEvent(
        f"{event.kind!r} has no known cost in the measure {measure}.",
        remedy="Use a mechanism that this account's measure can bound, or an account in another measure.",
    )
