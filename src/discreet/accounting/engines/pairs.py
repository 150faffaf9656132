"""Events to dominating pairs: the law of the privacy loss of each kind, in each direction.

A direction says which dataset holds the privacy unit under P. Most pairs are their own reverse;
sampled ones are not, and are composed in each direction by themselves: the guarantee is the worse of
the two at the end, never step by step. Where the pair is exactly that of some mechanism and data of the
kind, it is `attained`, and the lower end of a bracket is a lower bound of what the event can cost. Where a
pair is `loose`, the lower end leaves it out. Proofs: docs/proofs/pairs.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np

from discreet import events
from discreet.accounting.curves import singles
from discreet.accounting.engines.allocation import allocation
from discreet.accounting.engines.atoms import Atoms
from discreet.accounting.engines.binomial import binomial_tail
from discreet.accounting.engines.law import GaussianLaw, Law, TableLaw
from discreet.accounting.engines.pieces import Form, Piece, mixed
from discreet.accounting.engines.shuffled import shuffled, shuffled_below
from discreet.errors import UnsupportedEvent

Direction = Literal["remove", "add"]
DIRECTIONS: tuple[Direction, ...] = ("remove", "add")
LOST = 1e-18  # P-mass at the ends of tabulated laws that is counted as lost
FINE = 2.0**-14  # distance of the points of a law that stands for a continuous one
_MOST_ATOMS = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A dominating pair in one direction.

    Args:
        law: Of its privacy loss.
        status: "attained" if some mechanism of the event's kind has exactly this law; "dominating" if it is the
            field's pair for the kind, not known to be attained; "loose" if other bounds may be tighter.
    """

    law: Law
    status: Literal["attained", "dominating", "loose"] = "attained"


def pair(event: events.Event, direction: Direction, victim: int = 0) -> Pair | None:
    """Return the dominating pair of a single event, or None where none is known.

    Args:
        event: Not a composition.
        direction: Whether P or Q has the unit's data.
        victim: For shuffled reports: the class of person that is protected.

    Raises:
        UnsupportedEvent: the event has no guarantee, or none under its relation.
    """
    return _pair(event, direction, victim)


def classes(event: events.Event) -> int:
    """Return how many classes of people the event treats differently."""
    return len(event.epsilons) if isinstance(event, events.Shuffled) else 1


@lru_cache(maxsize=4096)
def _pair(event: events.Event, direction: Direction, victim: int) -> Pair | None:  # noqa: C901 - one arm a kind
    match event:
        case events.Pure():
            return Pair(_pure(event.epsilon))
        case events.ExponentialMechanism() | events.PermuteAndFlip() | events.NoisyMax():
            return Pair(_pure(event.epsilon), status="loose")
        case events.RandomizedResponse():
            return Pair(_response(event.epsilon, event.categories))
        case events.Approximate():
            return Pair(_pure(event.epsilon, event.delta))
        case events.KeySelection():
            return Pair(_pure(event.epsilon, event.delta), status="loose")
        case events.Laplace():
            return Pair(_laplace(1 / event.noise_multiplier, 1.0, "remove"))
        case events.DiscreteLaplace():
            return _discrete_laplace(event)
        case events.Gaussian():
            return Pair(GaussianLaw(squared=event.noise_multiplier**-2))
        case events.DiscreteGaussian():
            return _discrete_gaussian(event)
        case events.Tabulated():
            return Pair(_tabulated(event, direction))
        case events.PoissonSampled():
            return _poisson(event, direction)
        case events.TruncatedPoissonSampled():
            return _truncated(event, direction)
        case events.FixedSizeSampled():
            return _fixed(event)
        case events.RandomAllocation():
            return _allocated(event, direction)
        case events.Shuffled():
            above = shuffled(event.epsilons, event.counts, event.categories, victim=victim, lost=LOST)
            below = shuffled_below(event.epsilons, event.counts, event.categories, victim=victim, lost=LOST)
            return Pair(TableLaw(table=Atoms(*above), beneath=Atoms(*below)))
        case events.Mixture():
            return _mixture(event, direction)
        case events.NonPrivate():
            raise UnsupportedEvent("something without any guarantee ran; no accountant admits it.")
    return None


Parts: TypeAlias = tuple[tuple[Pair, int], ...]


def compositions(counts: Mapping[events.Event, int]) -> list[tuple[Parts, int]]:
    """Return the composed pairs of events whose pairs are known, for every direction and class of person.

    With each comes the index of its reverse: the same people, the other direction.
    """
    choices = [range(classes(event)) for event in counts]
    if math.prod(len(choice) for choice in choices) > 64:
        raise UnsupportedEvent("so many different groups of people in several shuffled events have no accountant here.")
    found: list[tuple[Parts, int]] = []
    for victims in itertools.product(*choices):
        ways = [_parts(counts, direction, victims) for direction in DIRECTIONS]
        first = len(found)
        if all(a[0] is b[0] for a, b in zip(*ways, strict=True)):
            found.append((ways[0], first))
        else:
            found += [(ways[0], first + 1), (ways[1], first)]
    return found


def _parts(counts: Mapping[events.Event, int], direction: Direction, victims: tuple[int, ...]) -> Parts:
    parts = []
    for (event, count), victim in zip(counts.items(), victims, strict=True):
        known = pair(event, direction if directed(event) else "remove", victim)
        assert known is not None
        parts.append((known, count))
    return tuple(parts)


def directed(event: events.Event) -> bool:
    """Return whether the event's two directions differ."""
    match event:
        case events.PoissonSampled() | events.TruncatedPoissonSampled():
            return event.relation is not events.Relation.REPLACE_ONE
        case events.RandomAllocation() | events.Tabulated():
            return True
        case events.Mixture():
            return any(directed(part) for part in event.events)
    return False


# ---------------------------------------------------------------------------------------- single laws


def _points(*pairs: tuple[float, float], infinite: float = 0.0) -> Law:
    losses = np.array([loss for loss, mass in pairs if mass > 0])
    masses = np.array([mass for _, mass in pairs if mass > 0])
    return Law(atoms=Atoms(losses, masses), infinite=infinite)


def _pure(epsilon: float, delta: float = 0.0) -> Law:
    """The worst (ε, δ)-DP pair: two answers of loss ±ε, and with probability δ a certain one."""
    high = (1 - delta) / (1 + math.exp(-epsilon))
    return _points((epsilon, high), (-epsilon, high * math.exp(-epsilon)), infinite=delta)


def _response(epsilon: float, categories: int) -> Law:
    true = 1 / (1 + (categories - 1) * math.exp(-epsilon))
    other = true * math.exp(-epsilon)
    return _points((epsilon, true), (-epsilon, other), (0.0, other * (categories - 2)))


def _laplace(epsilon: float, rate: float, form: Form) -> Law:
    """One coordinate that bears the whole L1 sensitivity dominates any vector: docs/proofs/pairs.md."""
    piece = Piece("laplace", epsilon, rate, form)
    ends = np.array([-epsilon, epsilon])
    masses = np.array([0.5, 0.5 * math.exp(-epsilon)])
    if form == "remove":
        masses = masses * np.exp(piece.log_mix(ends))
    return Law((piece,), Atoms(piece.loss(ends), masses))


def _discrete_laplace(event: events.DiscreteLaplace) -> Pair | None:
    shift = math.floor(event.sensitivity)
    if shift == 0:
        return Pair(Law())
    if shift > _MOST_ATOMS:
        return Pair(_pure(float(event.sensitivity / event.scale)), status="loose")
    rate = float(1 / event.scale)
    x = np.arange(1, shift)
    ratio = math.exp(-rate)
    losses = np.concatenate([[shift * rate], (shift - 2 * x) * rate, [-shift * rate]])
    masses = np.concatenate([[1.0], -math.expm1(-rate) * np.exp(-rate * x), [math.exp(-rate * shift)]]) / (1 + ratio)
    return Pair(Law(atoms=Atoms(losses, masses), slack=1e-15 * (8 + 4 * shift * rate)))


def _discrete_gaussian(event: events.DiscreteGaussian) -> Pair | None:
    """Only a unit vector is known to be the worst integer shift of its length, where it is the only one."""
    if event.sensitivity_squared < 1:
        return Pair(Law())
    if event.sensitivity_squared >= 2:
        return None
    variance = float(event.variance)
    reach = math.ceil(math.sqrt(2 * variance * 80.0)) + 2
    if reach > _MOST_ATOMS:
        return None
    x = np.arange(-reach, reach + 1)
    weights = np.exp(-x * x / (2 * variance))
    left = 1e-290 + 4 * math.exp(-reach * reach / (2 * variance)) / max(1e-3, -math.expm1(-reach / variance))
    x, weights = x[weights > 0], weights[weights > 0]  # what underflows is far below the tail's bound
    losses = (1 - 2 * x) / (2 * variance)
    return Pair(
        Law(atoms=Atoms(losses, weights / weights.sum()), slack=1e-13, tail=left),
    )


def _tabulated(event: events.Tabulated, direction: Direction) -> Law:
    """The tables are taken in proportion, exactly: a loss is good to a few ulps of itself, however small."""
    tables = (event.first, event.second) if direction == "remove" else (event.second, event.first)
    p, q = ([Fraction(x) / sum(map(Fraction, table)) for x in table] for table in tables)
    losses = [_log_ratio(a, b) for a, b in zip(p, q, strict=True) if a > 0 and b > 0]
    masses = [float(a) for a, b in zip(p, q, strict=True) if a > 0 and b > 0]
    infinite = float(sum((a for a, b in zip(p, q, strict=True) if b == 0), Fraction(0)))
    return Law(atoms=Atoms(np.array(losses), np.array(masses)), infinite=infinite, slack=1e-15)


def _log_ratio(a: Fraction, b: Fraction) -> float:
    return math.log1p(float((a - b) / b)) if abs(a - b) < b / 2 else math.log(a / b)


# ------------------------------------------------------------------------------------------- sampling


def _gaussian_mu(event: events.Event) -> float | None:
    """Return μ of what is one Gaussian, or several on the same data: vectors of independent noise."""
    squares = Fraction(0)
    for single, count in singles(event).items():
        if not isinstance(single, events.Gaussian):
            return None
        squares += count / Fraction(single.noise_multiplier) ** 2
    return math.sqrt(squares)


def _poisson(event: events.PoissonSampled, direction: Direction) -> Pair | None:
    """References: Zhu, Dong, Wang 2022, Theorem 11 (add/remove); Lebeda et al. 2024 (replace one)."""
    rate, inner = event.sample_rate, event.event
    if rate == 1:
        return pair(inner, direction)
    mu = _gaussian_mu(inner)
    if event.relation is events.Relation.REPLACE_ONE:
        return None if mu is None else Pair(Law((Piece("normal", mu / 2, rate, "replace"),)))
    if mu is not None:
        return Pair(Law((Piece("normal", mu, rate, direction),)))
    if isinstance(inner, events.Laplace):
        return Pair(_laplace(1 / inner.noise_multiplier, rate, direction))
    base = pair(inner, direction)
    if base is None or base.law.pieces or isinstance(base.law, TableLaw | GaussianLaw) or directed(inner):
        return None
    return Pair(_sampled_atoms(base.law, rate, direction), base.status)


def _sampled_atoms(base: Law, rate: float, direction: Direction) -> Law:
    """Sample a law that is its own reverse: its Q-masses are those of its P-masses, mirrored."""
    losses, masses = base.atoms.losses, base.atoms.masses * np.exp(-base.atoms.losses)  # Q-masses
    mixes = mixed(losses, rate)
    slack = base.slack + 2e-15 * (4 + float(np.abs(losses).max(initial=0.0)))
    lost = base.infinite  # P alone gives it, and Q alone as much
    if direction == "remove":
        atoms = Atoms(np.append(mixes, math.log1p(-rate)), np.append(masses * np.exp(mixes), (1 - rate) * lost))
        return Law(atoms=_held(atoms), infinite=rate * lost, slack=slack, tail=base.tail)
    atoms = Atoms(np.append(-mixes, -math.log1p(-rate)), np.append(masses, lost))
    return Law(atoms=_held(atoms), slack=slack, tail=base.tail)


def _held(atoms: Atoms) -> Atoms:
    kept = atoms.masses > 0
    return Atoms(atoms.losses[kept], atoms.masses[kept], atoms.infinite)


def _truncated(event: events.TruncatedPoissonSampled, direction: Direction) -> Pair | None:
    """References: Ganesh 2025; docs/proofs/pairs.md has the proof for a public number of units."""
    mu = _gaussian_mu(event.event)
    if mu is None:
        return None
    size, rate, most = event.population_size, event.sample_rate, event.max_batch_size
    if most >= size:
        return _poisson(events.PoissonSampled(rate, event.relation, event.event), direction)
    full = binomial_tail(size - 1, rate, most)  # others alone fill the batch
    if full == 0.0:
        return _poisson(events.PoissonSampled(rate, event.relation, event.event), direction)
    kept = min(1.0, binomial_tail(size, rate, most + 1) * most / (size * full))
    replacing = event.relation is events.Relation.REPLACE_ONE
    pieces = (
        Piece(
            "normal",
            mu / 2 if replacing else mu,
            rate,
            "replace" if replacing else direction,
            weight=1 - full,
            unsure=1e-13 * full,
        ),
        Piece("normal", mu if replacing else 2 * mu, kept, "replace", weight=full, unsure=1e-12),
    )
    return Pair(Law(tuple(piece for piece in pieces if piece.weight > 0)), status="dominating")


def _fixed(event: events.FixedSizeSampled) -> Pair | None:
    """References: Zhu, Dong, Wang 2022, Proposition 30 and Theorem 11 (replace one)."""
    if event.relation is not events.Relation.REPLACE_ONE:
        raise UnsupportedEvent(
            f"fixed_size_sampled is bounded under replace_one only, not under {event.relation.value}.",
            remedy="Declare replace_one, or sample by Poisson.",
        )
    rate = event.sample_size / event.population_size
    if rate == 1:
        return pair(event.event, "remove")
    mu = _gaussian_mu(event.event)
    if mu is not None:
        tail = math.erfc(mu / math.sqrt(8)) / 2
        pieces = (
            Piece("normal", mu, rate, "remove", start=mu / 2),
            Piece("normal", mu, rate, "add", start=mu / 2),
        )
        return Pair(Law(pieces, Atoms(np.zeros(1), np.array([(1 - rate) * (1 - 2 * tail)]))), "dominating")
    if isinstance(event.event, events.Pure | events.RandomizedResponse | events.ExponentialMechanism):
        base = _pure(event.event.epsilon).atoms
        loss = math.log1p(rate * math.expm1(event.event.epsilon))
        other = float(base.masses[1])
        return Pair(
            _points(
                (loss, (1 - rate) * other + rate * (1 - other)), (-loss, other), (0.0, (1 - rate) * (1 - 2 * other))
            ),
            status="dominating",
        )
    return None


def _allocated(event: events.RandomAllocation, direction: Direction) -> Pair | None:
    mu = _gaussian_mu(event.event)
    if mu is None:
        return None
    if event.steps == 1:
        return Pair(GaussianLaw(squared=mu * mu))
    above, below = allocation(mu, event.steps, adding=direction == "add", lost=LOST, step=FINE)
    return Pair(TableLaw(table=above, beneath=below, distance=FINE))


def _mixture(event: events.Mixture, direction: Direction) -> Pair | None:
    """A public coin reveals which event ran: the losses are a mixture."""
    total = sum(map(Fraction, event.weights))
    pieces: list[Piece] = []
    atoms: list[Atoms] = []
    infinite, slack, tail = 0.0, 2e-15, 0.0
    statuses: set[str] = set()
    for weight, part in zip(event.weights, event.events, strict=True):
        known = pair(part, direction if directed(part) else "remove")
        if known is None or isinstance(known.law, TableLaw):
            return None
        share, law = float(Fraction(weight) / total), known.law.spelled()
        pieces += [piece.scaled(share) for piece in law.pieces]
        atoms.append(
            law.atoms.scaled(share) if law.atoms.masses.size or law.pieces else Atoms(np.zeros(1), np.array([share]))
        )
        infinite += share * law.infinite
        slack, tail = slack + law.slack, tail + share * law.tail
        statuses.add(known.status)
    joined = Atoms(np.concatenate([part.losses for part in atoms]), np.concatenate([part.masses for part in atoms]))
    status: Literal["attained", "dominating", "loose"] = "attained"
    if statuses != {"attained"}:
        status = "loose" if "loose" in statuses else "dominating"
    return Pair(Law(tuple(pieces), joined, infinite, slack, tail), status)
