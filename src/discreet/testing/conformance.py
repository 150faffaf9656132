"""Checks that a mechanism does what its event says; each raises `Nonconforming` with what it saw.

Checks draw fresh randomness. A right mechanism fails one of them at most once in 1e8 runs.
"""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from discreet import events
from discreet.mechanisms.rng import Rng
from discreet.testing.fit import FALSE_ALARM, Cells, Fit, binomials, chance_interval, gof
from discreet.testing.laws import NoiseEvent, SelectionEvent, collision, keep_law, noise_law, selection_law


class Mechanism(Protocol):
    """What is checked: an object that names its event and can be called."""

    @property
    def event(self) -> events.Event:
        """What a call is charged as."""

    def __call__(self, exact_values: Any, rng: Rng, /) -> Any:
        """Return a private answer about `exact_values`."""


class Nonconforming(AssertionError):
    """A mechanism does not do what its event says."""


def _demand(condition: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise Nonconforming(what)


def _demand_fit(fit: Fit, what: str) -> None:
    _demand(fit.accepted, f"{what}: {fit.worst} (p <= {fit.p_value:.1e})")


def check_noise(mechanism: Mechanism, *, draws: int = 400_000) -> None:
    """Check the law of additive noise against the event, coordinate by coordinate and in one call."""
    event = _noise_event(mechanism)
    noise = np.asarray(mechanism(np.zeros(draws, dtype=np.int64), Rng()))
    _demand_fit(gof(noise, noise_law(event)), "the noise has not the law that the event claims")
    shift = np.asarray(mechanism(np.full(1000, 10**6, dtype=np.int64), Rng())) - 10**6
    _demand_fit(gof(shift, noise_law(event)), "the noise depends on the value")


def check_independent(mechanism: Mechanism, *, draws: int = 100_000) -> None:
    """Check that coordinates of one call get noise of their own: neighbours are equal no more often than by chance."""
    noise = np.asarray(mechanism(np.zeros(2 * draws, dtype=np.int64), Rng())).reshape(2, draws)
    chance = np.array([collision(_noise_event(mechanism))])
    for same in (noise[0] == noise[1], noise.ravel()[::2] == noise.ravel()[1::2]):
        fit = binomials(np.array([same.sum()]), np.array([draws]), chance)
        _demand_fit(fit, "coordinates share their noise")


def check_fresh(mechanism: Mechanism, exact_values: Any) -> None:
    """Check that two calls do not give the same answers; give enough values that chance cannot."""
    first, second = (np.asarray(mechanism(exact_values, Rng())) for _ in range(2))
    _demand(not np.array_equal(first, second), "two calls drew the same noise")


def check_sensitivity(mechanism: Mechanism, neighbours: Iterable[tuple[Sequence[int], Sequence[int]]]) -> None:
    """Check that exact vectors of neighbouring datasets are no further apart than the event says."""
    event = _noise_event(mechanism)
    for first, second in neighbours:
        steps = [abs(a - b) for a, b in zip(first, second, strict=True)]
        if isinstance(event, events.DiscreteLaplace):
            distance, allowed = sum(steps), event.sensitivity
        else:
            distance, allowed = sum(step**2 for step in steps), event.sensitivity_squared
        _demand(distance <= allowed, f"neighbours differ by {distance}, the event says {allowed}")


def check_selection(
    mechanism: Mechanism, scores: Sequence[int], *, sensitivity: int, monotone: bool = False, draws: int = 40_000
) -> None:
    """Check that candidates come up as often as under the mechanism that the event names."""
    law = selection_law(_selection_event(mechanism), scores, sensitivity=sensitivity, monotone=monotone)
    _demand_fit(
        gof(_winners(mechanism, scores, draws), Cells(np.arange(len(scores) - 1), law)),
        "the selection has not the law that the event claims",
    )


def check_loss(mechanism: Mechanism, first: Sequence[int], second: Sequence[int], *, draws: int = 40_000) -> None:
    """Check measured log-ratios of a selection's chances on neighbours against the event's epsilon.

    Every event bounds each log-ratio; the exponential mechanism also their range.
    """
    event = _selection_event(mechanism)
    intervals = []
    for scores in (first, second):
        counts = np.bincount(_winners(mechanism, scores, draws), minlength=len(scores))
        intervals.append([chance_interval(int(c), draws, FALSE_ALARM / 2 / counts.size) for c in counts])
    lower = [_log(a[0]) - _log(b[1]) for a, b in zip(*intervals, strict=True)]
    upper = [_log(a[1]) - _log(b[0]) for a, b in zip(*intervals, strict=True)]
    largest = max(*lower, *(-ratio for ratio in upper))
    if isinstance(event, events.ExponentialMechanism):
        largest = max(largest, max(lower) - min(upper))
    _demand(largest <= event.epsilon, f"measured loss of at least {largest:.4g}, the event says {event.epsilon:.4g}")


def check_randomized_response(mechanism: Mechanism, *, draws: int = 400_000) -> None:
    """Check the answers to the first, second and last category against the event's odds."""
    event = mechanism.event
    _demand(isinstance(event, events.RandomizedResponse), f"the event is a {event.kind}")
    assert isinstance(event, events.RandomizedResponse)
    k = event.categories
    for truth in {0, 1, k - 1}:
        odds = np.ones(k)
        odds[truth] = math.exp(event.epsilon)
        answers = mechanism(np.full(draws, truth, dtype=np.int64), Rng())
        _demand_fit(gof(answers, Cells(np.arange(k - 1), odds / odds.sum())), f"wrong odds for category {truth}")


def check_key_selection(mechanism: Mechanism, *, counts: int = 200, draws: int = 20_000) -> None:
    """Check how often keys of 0 … `counts` units are kept against the optimal rule at the event's budget."""
    event = mechanism.event
    _demand(isinstance(event, events.KeySelection), f"the event is a {event.kind}")
    assert isinstance(event, events.KeySelection)
    asked = np.arange(counts + 1)
    kept = np.asarray(mechanism(np.repeat(asked, draws), Rng())).reshape(-1, draws).sum(axis=1)
    fit = binomials(kept, np.full(asked.size, draws), keep_law(event, counts))
    _demand_fit(fit, "keys are not kept as the rule says")


def check_fork(rng: Rng) -> None:
    """Check that a forked child never sees the bytes that its parent sees."""
    rng.bytes(16)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other threads may run; the child only writes and leaves
        child = os.fork()
    if child == 0:
        try:
            os.write(writer, rng.bytes(1024))
        finally:
            os._exit(0)
    os.close(writer)
    mine, theirs = rng.bytes(1024), os.read(reader, 1024)
    os.close(reader)
    os.waitpid(child, 0)
    _demand(len(theirs) == len(mine), "the child drew no bytes")
    _demand(not _blocks(mine) & _blocks(theirs), "parent and child of a fork drew the same bytes")


def check_threads(rng: Rng, *, threads: int = 8, calls: int = 500) -> None:
    """Check that threads that draw at once never get the same bytes."""
    drawn: list[bytes] = []
    start = threading.Barrier(threads)

    def work() -> None:
        start.wait()
        drawn.extend([rng.bytes(16) for _ in range(calls)])

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    _demand(len(drawn) == threads * calls, "a thread drew no bytes")
    _demand(len(set(drawn)) == len(drawn), "two threads drew the same bytes")


def _blocks(data: bytes) -> set[bytes]:
    return {data[i : i + 16] for i in range(len(data) - 15)}


def _log(chance: float) -> float:
    return math.log(chance) if chance > 0 else -math.inf


def _winners(mechanism: Callable[[Any, Rng], Any], scores: Sequence[int], draws: int) -> NDArray[np.int64]:
    rng, vector = Rng(), np.array(scores, dtype=np.int64)
    return np.fromiter((mechanism(vector, rng) for _ in range(draws)), dtype=np.int64, count=draws)


def _noise_event(mechanism: Mechanism) -> NoiseEvent:
    event = mechanism.event
    if not isinstance(event, NoiseEvent):
        raise Nonconforming(f"the event is a {event.kind}, not one of additive noise")
    return event


def _selection_event(mechanism: Mechanism) -> SelectionEvent:
    event = mechanism.event
    if not isinstance(event, SelectionEvent):
        raise Nonconforming(f"the event is a {event.kind}, not one of a selection")
    return event
