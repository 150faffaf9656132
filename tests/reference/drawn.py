"""Compositions drawn at random, each as an event and as the laws by which the referee judges it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from discreet import events
from discreet.events import Event, Relation
from tests.reference import ball

FRESH = random.SystemRandom()
Directions = tuple[ball.Parts, ...]


@dataclass(frozen=True)
class Setting:
    """An event, its composed pairs in every direction, and the δ at which to ask."""

    event: Event
    directions: Directions
    delta: float


def scale(low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return math.exp(FRESH.uniform(math.log(low), math.log(high)))


def steps(low: int = 100, high: int = 100_000) -> int:
    return int(scale(low, high))


def sampled(relation: Relation, rate: float, inner: Event, count: int) -> Event:
    return events.Repeated(count, events.PoissonSampled(rate, relation, inner))


def _sgd() -> tuple[Event, Directions]:
    count, rate, sigma = steps(), scale(1e-3, 0.3), scale(0.6, 15)
    event = sampled(Relation.ADD_REMOVE, rate, events.Gaussian(sigma), count)
    return event, tuple(((ball.PoissonGaussian(rate, sigma, way), count),) for way in ("remove", "add"))


def _sgd_replace() -> tuple[Event, Directions]:
    count, rate, sigma = steps(), scale(1e-3, 0.3), scale(0.6, 15)
    event = sampled(Relation.REPLACE_ONE, rate, events.Gaussian(sigma), count)
    return event, (((ball.PoissonGaussian(rate, 2 * sigma, "replace"), count),),)


def _laplace() -> tuple[Event, Directions]:
    count, noise = steps(), scale(0.3, 25)
    return events.Repeated(count, events.Laplace(noise)), (((ball.Laplace(1 / Fraction(noise)), count),),)


def _sampled_laplace() -> tuple[Event, Directions]:
    count, rate, noise = steps(1_000), scale(1e-3, 0.1), scale(0.5, 5)
    event = sampled(Relation.ADD_REMOVE, rate, events.Laplace(noise), count)
    return event, tuple(((ball.PoissonLaplace(rate, noise, way), count),) for way in ("remove", "add"))


def _responses() -> tuple[Event, Directions]:
    response, categories, count = scale(0.01, 2), FRESH.choice([2, 2, 3, 5]), steps(1, 200)
    sigma, others = scale(1, 20), steps(1, 50)
    event = events.Composed(
        (
            events.Repeated(count, events.RandomizedResponse(response, categories)),
            events.Repeated(others, events.Gaussian(sigma)),
        )
    )
    return event, (((ball.Response(response, categories), count), (ball.Gaussian(1 / Fraction(sigma)), others)),)


def _fixed() -> tuple[Event, Directions]:
    count, people, sigma = steps(), steps(100, 1_000_000), scale(0.6, 15)
    size = max(1, int(people * scale(1e-3, 0.2)))
    event = events.FixedSizeSampled(people, size, Relation.REPLACE_ONE, events.Gaussian(sigma))
    law = ball.FixedSizeGaussian(Fraction(size, people), sigma)
    return events.Repeated(count, event), (((law, count),),)


def _mixed() -> tuple[Event, Directions]:
    count, rate, sigma = steps(), scale(1e-3, 0.2), scale(0.7, 15)
    others, response = steps(1, 50), scale(0.01, 0.5)
    event = events.Composed(
        (
            sampled(Relation.ADD_REMOVE, rate, events.Gaussian(sigma), count),
            events.Repeated(others, events.Laplace(8.0)),
            events.Repeated(others, events.RandomizedResponse(response, 2)),
        )
    )
    rest = ((ball.Laplace(0.125), others), (ball.Response(response), others))
    return event, tuple(((ball.PoissonGaussian(rate, sigma, way), count), *rest) for way in ("remove", "add"))


KINDS: dict[str, Callable[[], tuple[Event, Directions]]] = {
    "DP-SGD": _sgd,
    "DP-SGD replaced": _sgd_replace,
    "Laplace": _laplace,
    "sampled Laplace": _sampled_laplace,
    "responses and Gaussians": _responses,
    "fixed size": _fixed,
    "mixed": _mixed,
}


def setting(kind: str) -> Setting:
    """Draw one of a kind, such that a contour of few nodes suffices."""
    event, directions = KINDS[kind]()
    return Setting(event, directions, scale(1e-10, 1e-3))
