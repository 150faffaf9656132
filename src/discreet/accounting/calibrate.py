"""Calibration: the parameter value at which an event just meets a target, always on the certified side."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

from discreet import events
from discreet.accounting.composed import EngineProfile, profile
from discreet.accounting.conversions import check_delta, check_epsilon
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.profiles import MARGIN, Bracket, PrivacyProfile, check_share, posterior

EventOf = Callable[[float], events.Event]


BESIDE = {
    "epsilon": ("delta",),
    "advantage": (),
    "true_positive_rate": ("false_positive_rate",),
    "posterior": ("prior", "delta"),
    "accuracy": ("prior",),
    "precision": ("prior", "false_positive_rate"),
    "reconstruction": ("baseline",),
}


@dataclass(frozen=True, slots=True)
class Target:
    """What is to hold: exactly one of the bounds below, with what belongs to it.

    Args:
        epsilon: The most that ε may be, at `delta`.
        advantage: The attacker's largest difference of true- and false-positive rate.
        true_positive_rate: The share of members that any attacker finds, at `false_positive_rate`.
        posterior: The belief in somebody's membership that follows from ε at `delta`, from `prior`.
        accuracy: The share of an attacker's answers "in" or "out" that are right, where a share `prior` is in.
        precision: The share of an attacker's accusations that are right, from `prior`, at `false_positive_rate`.
        reconstruction: The chance to guess something of a person's record, where it is `baseline` without the record.
    """

    epsilon: float | None = None
    delta: float | None = None
    advantage: float | None = None
    true_positive_rate: float | None = None
    false_positive_rate: float | None = None
    posterior: float | None = None
    accuracy: float | None = None
    precision: float | None = None
    reconstruction: float | None = None
    prior: float | None = None
    baseline: float | None = None

    def __post_init__(self) -> None:
        given = {field.name for field in fields(self) if getattr(self, field.name) is not None}
        if len(given & set(BESIDE)) != 1:
            raise InvalidInput(f"give exactly one target of {', '.join(BESIDE)}.")
        if given != {self.kind, *BESIDE[self.kind]}:
            needed = " and ".join(BESIDE[self.kind]) or "nothing"
            beside = " and ".join(sorted(given - {self.kind})) or "nothing"
            raise InvalidInput(f"a target of {self.kind} needs {needed} beside it, got {beside}.")
        for name in sorted(given - {"epsilon", "delta"}):
            check_share(name, getattr(self, name))
        if self.epsilon is not None:
            check_epsilon(self.epsilon)
        if self.delta is not None:
            check_delta(self.delta)
        if self.kind not in {"epsilon", "advantage"} and not self.guess * MARGIN**2 < self.value:
            raise InvalidInput(
                f"a target of {self.kind} must exceed {self.guess!r}, got {self.value!r}: guessing alone attains that.",
                remedy="Name a target above it.",
            )

    @property
    def kind(self) -> str:
        """Which of the bounds it is."""
        return next(name for name in BESIDE if getattr(self, name) is not None)

    @property
    def value(self) -> float:
        """The number to stay at or below."""
        return self._given(self.kind)

    @property
    def guess(self) -> float:
        """What somebody reaches who never looks at the release."""
        beside = {"true_positive_rate": "false_positive_rate", "reconstruction": "baseline"}.get(self.kind, "prior")
        share = 0.0 if self.kind in {"epsilon", "advantage"} else self._given(beside)
        return max(share, 1 - share) if self.kind == "accuracy" else share

    def of(self, curve: PrivacyProfile) -> Bracket:
        """Return the quantity that the target bounds."""
        match self.kind:
            case "epsilon":
                return curve.epsilon(self._given("delta"))
            case "true_positive_rate":
                return curve.true_positive_rate(self._given("false_positive_rate"))
            case "posterior":
                found = curve.epsilon(self._given("delta"))
                prior = self._given("prior")
                return Bracket(posterior(found.lower, prior), posterior(found.upper, prior))
            case "accuracy":
                return curve.accuracy(self._given("prior"))
            case "precision":
                return curve.precision(self._given("prior"), self._given("false_positive_rate"))
            case "reconstruction":
                return curve.reconstruction(self._given("baseline"))
        return curve.advantage()

    def searched(self) -> Target:
        """Return the target to search for: a posterior is met where an ε is, which is quick to look for."""
        if self.kind != "posterior":
            return self
        most, prior = self.value / MARGIN**2, self._given("prior")  # below 1, and posterior() rounds up
        odds = math.log(most) - math.log1p(-most) - math.log(prior) + math.log1p(-prior)
        return Target(epsilon=max(0.0, odds), delta=self.delta)

    def _given(self, name: str) -> float:
        return float(getattr(self, name))


@dataclass(frozen=True, slots=True)
class Calibration:
    """A parameter value that meets a target, and what it reaches.

    Args:
        value: Of the parameter.
        reached: The bracket of what the target bounds, at this value; its upper end is at most the target.
        event: The event at this value.
    """

    value: float
    reached: Bracket
    event: events.Event


def calibrate(
    event_of: EventOf,
    target: Target,
    *,
    low: float,
    high: float,
    rising: bool = False,
    integral: bool = False,
    tolerance: float = 1e-10,
) -> Calibration:
    """Return the most useful parameter value in [low, high] that meets the target.

    Args:
        event_of: The event at a parameter value: a noise multiplier, a sample rate, a number of steps …
        target: What must hold.
        low: Least value to consider, above 0.
        high: Largest value to consider.
        rising: Whether the loss rises with the parameter (steps, sample rate): then the largest value that
            meets the target is returned. Otherwise (noise) the least.
        integral: Whether the parameter is a whole number.
        tolerance: Relative distance from the exact value at which the search ends; ignored if integral.

    Guarantee: the event at the returned value meets the target by the upper end of its bracket.
    Evidence: proven, docs/proofs/contour.md; the search itself needs no proof.
    Assumes: event_of describes what will run.
    Not protected: if the loss is not monotone in the parameter, the value is safe but need not be the best.

    Raises:
        InvalidInput: no value in the range meets the target, or an argument is out of range.
        UnsupportedEvent: no engine brackets the event anywhere near.
    """
    if not (0 < low <= high < math.inf):
        raise InvalidInput(f"low and high must satisfy 0 < low <= high < infinity, got {low!r} and {high!r}.")
    search = _Search(event_of, target.searched(), rising=rising, integral=integral)
    if integral:
        low, high = float(math.ceil(low)), float(math.floor(high))
    safe, unsafe = (low, high) if rising else (high, low)
    start, slope = search.guess(safe, unsafe)
    quick = None if integral else search.newton(start, slope, (low, high), tolerance)
    if quick is not None:
        return search.result(quick, target)
    found = search.pair(start, safe, unsafe)
    if found is None:
        raise InvalidInput(
            f"no value between {low!r} and {high!r} meets the target: at {safe!r} the value is "
            f"{search.reached[safe].upper!r}, the target {search.target.value!r}.",
            remedy="Give a wider range, or a target that is easier to meet.",
        )
    safe, unsafe = found
    best = safe if safe == unsafe else _narrow(search, safe, unsafe, 0.0 if integral else tolerance)
    return search.result(best, target)


class _Search:
    """Remembers what was asked; a value that no engine reaches does not meet the target."""

    def __init__(self, event_of: EventOf, target: Target, *, rising: bool, integral: bool) -> None:
        self.event_of, self.target, self.rising, self.integral = event_of, target, rising, integral
        self.reached: dict[float, Bracket] = {}

    def guess(self, safe: float, unsafe: float) -> tuple[float, float]:
        """Return about where the target is met, and the slope of log loss in log value there, from quick estimates."""
        a, b = math.log(safe), math.log(unsafe)
        at_a, at_b = self._rough(a), self._rough(b)
        if at_a is None or at_b is None or not at_a < 0 < at_b:
            return self._whole(math.exp((a + b) / 2)), 0.0
        slope = 0.0
        for turn in range(30):
            middle = (a + b) / 2 if turn % 3 == 2 else a + (b - a) * at_a / (at_a - at_b)
            found = self._rough(middle)
            if found is None:
                break
            slope = (at_b - at_a) / (b - a)
            if abs(found) < 1e-4:
                return self._whole(math.exp(middle)), slope
            a, at_a, b, at_b = (middle, found, b, at_b) if found < 0 else (a, at_a, middle, found)
        return self._whole(math.exp((a + b) / 2)), slope

    def _rough(self, log_value: float) -> float | None:
        """Return about log(loss / target), within ±60; None where nothing quick is known."""
        if self.target.delta is None:
            return None
        curve = profile(self.event_of(self._whole(math.exp(log_value))))
        rough = curve.rough(self.target.delta) if isinstance(curve, EngineProfile) else None
        if rough is None or self.target.value <= 0:
            return None
        return min(60.0, max(-60.0, math.log(max(rough, 1e-30) / self.target.value)))

    def newton(self, value: float, slope: float, ends: tuple[float, float], tolerance: float) -> float | None:
        """Return a value that meets the target to within the tolerance, from a start that is already close; else None."""
        if slope == 0.0:
            return None
        last: tuple[float, float] | None = None
        for _ in range(10):
            if not ends[0] <= value <= ends[1]:
                return None
            found = self.gap(value)
            if -2 * tolerance * abs(slope) <= found <= 0:
                return value
            if not abs(found) < 0.5:
                return None
            at = math.log(value)
            if last is not None and abs(found - last[1]) > 1e-11 and at != last[0]:
                slope = (found - last[1]) / (at - last[0])
            last = (at, found)
            value = math.exp(at - (found + tolerance * abs(slope)) / slope)
        return None

    def _whole(self, value: float) -> float:
        return float(round(value)) if self.integral else value

    def pair(self, start: float, safe: float, unsafe: float) -> tuple[float, float] | None:
        """Return a value that meets the target and a close one that does not (or the same one twice, at the end of the range).

        From the start outwards, by steps that grow: far values may cost an engine much.
        """
        worse = 1.0 if self.rising else -1.0  # the way in which the loss grows
        last, step = start, 1e-6
        meets = self.gap(start) <= 0
        while True:
            end = unsafe if meets else safe
            if last == end:
                return (last, last) if meets else None
            following = last * math.exp(worse * step if meets else -worse * step)
            if self.integral:
                following = last + max(1.0, abs(round(following - last))) * (1 if following > last else -1)
            following = min(max(following, min(safe, unsafe)), max(safe, unsafe))
            if (self.gap(following) <= 0) != meets:
                return (last, following) if meets else (following, last)
            last, step = following, min(step * 16, 0.7)

    def gap(self, value: float) -> float:
        """Return log(reached / target): at most 0 where the target is met."""
        if value not in self.reached:
            try:
                self.reached[value] = self.target.of(profile(self.event_of(value)))
            except UnsupportedEvent:
                if not self.reached:
                    raise
                self.reached[value] = Bracket(0.0, math.inf)
        upper = self.reached[value].upper
        if upper <= self.target.value:
            return min(0.0, math.log(max(upper, 1e-300) / max(self.target.value, 1e-300)))
        return max(5e-324, math.log(min(upper, 1e300) / max(self.target.value, 1e-300)))

    def result(self, value: float, target: Target) -> Calibration:
        """Return the calibration at a value that was asked."""
        event = self.event_of(value)
        return Calibration(value, self.reached[value] if target is self.target else target.of(profile(event)), event)


def _narrow(search: _Search, safe: float, unsafe: float, tolerance: float) -> float:
    """Return a value that meets the target next to one that does not; tolerance 0 is for whole numbers.

    log of the loss is smooth in log of the parameter: a secant finds it in a few steps, and the
    bracket of the two sides keeps it honest.
    """
    at_safe, at_unsafe = search.gap(safe), search.gap(unsafe)
    for turn in range(200):
        if abs(safe - unsafe) <= (1 if tolerance == 0 else tolerance * abs(safe)):
            break
        a, b = math.log(safe), math.log(unsafe)
        if at_unsafe < 300 and turn % 3 != 2:
            guess = math.exp(a + (b - a) * at_safe / (at_safe - at_unsafe))
            guess *= math.exp((-0.3 if search.rising else 0.3) * tolerance)  # a little to the safe side
        else:
            guess = math.exp((a + b) / 2)
        guess = _inside(guess, safe, unsafe, tolerance)
        if guess in (safe, unsafe):
            break
        found = search.gap(guess)
        if found <= 0:
            safe, at_safe = guess, found
        else:
            unsafe, at_unsafe = guess, found
    return safe


def _inside(guess: float, safe: float, unsafe: float, tolerance: float) -> float:
    """Return the guess, strictly between the two sides; whole if it has to be."""
    low, high = min(safe, unsafe), max(safe, unsafe)
    if tolerance == 0:
        return float(min(max(round(guess), low + 1), high - 1)) if high - low > 1 else safe
    margin = 0.2 * tolerance * low
    return min(max(guess, low + margin), high - margin) if high - low > 2 * margin else safe
