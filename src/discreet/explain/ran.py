"""The curve of what ran, by what it was made of: worked out once, and never without an answer that is proved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
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
        return Ran(rough.epsilon(delta), rough, why)
    # Each point of a lattice's curve is an inversion of its own. The rates of attackers need a hundred of them.
    slow = any(solver.name == "lattice" for solver in getattr(inner, "below", ()))
    return Ran(at, analytic(event) if slow else inner, inner.method)


class Ran:
    """What ran: its ε at one δ, and the rates of attackers.

    Args:
        epsilon: At the δ that was asked for.
        rates: The curve that bounds the rates.
        method: What gave `epsilon`.
    """

    def __init__(self, epsilon: Bracket, rates: PrivacyProfile, method: str) -> None:
        self.epsilon, self.method = epsilon, method
        self._rates = rates
        self._held: dict[float, float] = {}

    @property
    def rates_method(self) -> str:
        """What gave the rates."""
        return self._rates.method

    def true_positive_rate(self, false_positive_rate: float) -> float:
        """Return the highest rate of any attacker; 1 where no engine answers."""
        if false_positive_rate not in self._held:
            self._held[false_positive_rate] = _upper(lambda: self._rates.true_positive_rate(false_positive_rate))
        return self._held[false_positive_rate]

    def advantage(self) -> float:
        """Return the largest difference of true- and false-positive rate."""
        return _upper(self._rates.advantage)


def _upper(ask: Callable[[], Bracket]) -> float:
    try:
        return ask().upper
    except UnsupportedEvent:
        return 1.0
