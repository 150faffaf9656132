"""Random compositions: an odometer's bracket and a profile's hold the same number."""

from __future__ import annotations

import pytest

from discreet.accounting import Odometer, profile
from discreet.events import Composed, Event, Repeated
from discreet.profiles import Bracket
from tests.reference.drawn import FRESH, KINDS, setting


def read(parts: list[Event], delta: float) -> Bracket:
    meter = Odometer.start()
    for part in parts:
        meter = meter.spend(part)
    return meter.epsilon(delta)


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_an_odometer_never_contradicts_the_profile(kind, few):
    case = setting(kind)
    parts = list(case.event.events if isinstance(case.event, Composed) else (case.event,))
    if few:
        parts = [part.event if isinstance(part, Repeated) else part for part in parts] * FRESH.randint(1, 9)
    truth = profile(Composed(tuple(parts))).epsilon(case.delta)
    FRESH.shuffle(parts)
    found = read(parts, case.delta)
    where = f"{parts!r} at {case.delta!r}: {found.to_dict()}, {truth.to_dict()}"
    assert max(found.lower, truth.lower) <= min(found.upper, truth.upper) * (1 + 1e-13), where
    loose = 1.5 if few else 1.05 if truth.upper < 500 else 1.2  # where epsilon is in the thousands, the bank is coarse
    assert found.upper <= truth.upper * loose, where
