"""The curve of what ran, by what it was made of: worked out once, and never without an answer that is proved."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from discreet import accounting, events
from discreet.accounting.curves import analytic
from discreet.errors import UnsupportedEvent
from discreet.profiles import Bracket, PrivacyProfile


def composed(held: Iterable[events.Event]) -> events.Composed:
    """Return the events as one, equal ones counted together: a ledger of many charges knows few different events."""
    each = list(held)
    times = Counter(map(id, each))  # a ledger gives equal events as one object; to hash them all again is slow
    counts: Counter[events.Event] = Counter()
    for one in {id(one): one for one in each}.values():
        counts[one] += times[id(one)]
    return events.Composed(tuple(one if n == 1 else events.Repeated(n, one) for one, n in counts.items()))


@lru_cache(maxsize=32)
def curve(event: events.Event, delta: float) -> Ran:
    """Return the curve of `event` and its ε at `delta`; the same object each time, with all that was asked of it.

    Raises:
        UnsupportedEvent: nothing is known about the event.
    """
    try:
        inner = accounting.profile(event, tolerance=1e-3)
        at = inner.epsilon(delta)
    except UnsupportedEvent as error:
        rough = analytic(event)
        why = f"{rough.method}, since no engine reaches it: {error.what.rstrip('.')}"
        return Ran(rough.epsilon(delta), Kept(rough), why)
    # Each point of a lattice's curve is an inversion of its own. The rates of attackers need a hundred of them.
    slow = any(solver.name == "lattice" for solver in getattr(inner, "below", ()))
    return Ran(at, Kept(analytic(event) if slow else inner), inner.method)


@dataclass(frozen=True, eq=False)
class Ran:
    """What ran: its ε at one δ, and its curve.

    Args:
        epsilon: At the δ that was asked for.
        curve: Bounds what attackers reach.
        method: What gave `epsilon`.
    """

    epsilon: Bracket
    curve: Kept
    method: str

    @property
    def said(self) -> str:
        """What ε was computed from, and the curve, which may have another bound."""
        same = self.method.startswith(self.curve.method)
        return self.method if same else f"ε: {self.method}; rates: {self.curve.method}"


class Kept(PrivacyProfile):
    """A curve that remembers what was asked of it, and says nothing where no engine answers."""

    def __init__(self, inner: PrivacyProfile) -> None:
        self._inner = inner
        self._held: dict[tuple[str, float], Bracket] = {}

    @property
    def method(self) -> str:  # type: ignore[override]
        """The inner curve's."""
        return self._inner.method

    def delta(self, epsilon: float) -> Bracket:
        """Return a bracket of δ(ε); [0, 1] where no engine answers."""
        return self._ask("delta", epsilon, lambda: self._inner.delta(epsilon), Bracket(0.0, 1.0))

    def epsilon(self, delta: float) -> Bracket:
        """Return a bracket of ε(δ); infinite where no engine answers."""
        return self._ask("epsilon", delta, lambda: self._inner.epsilon(delta), Bracket(0.0, math.inf))

    def true_positive_rate(self, false_positive_rate: float) -> Bracket:
        """Return the highest rate of any attacker; 1 where no engine answers."""
        rate = false_positive_rate
        return self._ask("rate", rate, lambda: self._inner.true_positive_rate(rate), Bracket(rate, 1.0))

    def advantage(self) -> Bracket:
        """Return the largest difference of true- and false-positive rate; 1 where no engine answers."""
        return self._ask("advantage", 0.0, self._inner.advantage, Bracket(0.0, 1.0))

    def group(self, size: int) -> PrivacyProfile:
        """Return the curve of `size` units together, which keeps what it was asked, too."""
        return Kept(self._inner.group(size))

    def _ask(self, what: str, at: float, ask: Callable[[], Bracket], nothing: Bracket) -> Bracket:
        if (what, at) not in self._held:
            try:
                self._held[what, at] = ask()
            except UnsupportedEvent:
                self._held[what, at] = nothing
        return self._held[what, at]
