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
    counts = Counter(held)
    return events.Composed(tuple(one if n == 1 else events.Repeated(n, one) for one, n in counts.items()))


@lru_cache(maxsize=32)
def curve(event: events.Event) -> PrivacyProfile:
    """Return the curve of `event`; the same one each time, so that what was asked of it is not worked out again.

    Raises:
        UnsupportedEvent: nothing is known about the event.
    """
    try:
        return Ran(event, accounting.profile(event))
    except UnsupportedEvent as error:
        return Ran(event, analytic(event), error.what)


class Ran(PrivacyProfile):
    """A curve that remembers its answers, and gives the analytic bound where no engine reaches.

    Args:
        event: What ran.
        inner: Its curve.
        refusal: Why `inner` is the analytic bound alone, if it is.
    """

    def __init__(self, event: events.Event, inner: PrivacyProfile, refusal: str | None = None) -> None:
        self._event, self._inner, self._refusal = event, inner, refusal
        self._held: dict[tuple[str, float], Bracket] = {}

    @property
    def method(self) -> str:  # type: ignore[override]
        """How the curve was obtained, and why not better."""
        if self._refusal is None:
            return self._inner.method
        return f"{analytic(self._event).method}, since no engine reaches it: {self._refusal.rstrip('.')}"

    def delta(self, epsilon: float) -> Bracket:
        """See `PrivacyProfile.delta`."""
        return self._ask("delta", epsilon, lambda curve: curve.delta(epsilon))

    def epsilon(self, delta: float) -> Bracket:
        """See `PrivacyProfile.epsilon`."""
        return self._ask("epsilon", delta, lambda curve: curve.epsilon(delta))

    def true_positive_rate(self, false_positive_rate: float) -> Bracket:
        """See `PrivacyProfile.true_positive_rate`."""
        return self._ask("rate", false_positive_rate, lambda curve: curve.true_positive_rate(false_positive_rate))

    def advantage(self) -> Bracket:
        """See `PrivacyProfile.advantage`."""
        return self._ask("advantage", 0.0, lambda curve: curve.advantage())

    def _ask(self, what: str, at: float, ask: Callable[[PrivacyProfile], Bracket]) -> Bracket:
        if (what, at) not in self._held:
            try:
                answer = ask(self._inner)
            except UnsupportedEvent as error:
                self._refusal = error.what
                answer = ask(analytic(self._event))
            self._held[what, at] = answer
        return self._held[what, at]
