"""RiskCard: what somebody could learn from one release, event or guarantee, the worst case and its own curve side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from discreet import accounting, events
from discreet.accounting.composed import one_relation
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.events import Relation
from discreet.explain import ran, risk_page, risk_words
from discreet.explain.risk_view import Asked, View, view, worst
from discreet.explain.words import AUDIENCES, mechanisms
from discreet.profiles import MARGIN, Guarantee
from discreet.release import Release
from discreet.units import PrivacyUnit

DEFAULT = Asked()
LARGEST_GROUP = 1000  # each unit is a step of its own, for every number


@dataclass(frozen=True, slots=True)
class RiskCard:
    """What any attacker can reach at most. Every number in it is an upper bound; `str` shows all of them.

    Args:
        subject: What it speaks of.
        relation: When two datasets are neighbours.
        unit: Who is protected, where that is known.
        group: How many units change at once.
        worst: The view of the worst mechanism with the same (ε, δ).
        own: The view of the mechanism's own curve, where that is known; nowhere above the worst.
        unknown: Why there is no such view.
    """

    subject: str
    relation: Relation
    unit: PrivacyUnit | None
    group: int
    worst: View
    own: View | None
    unknown: str | None

    def __str__(self) -> str:
        return risk_words.text(self)

    @property
    def views(self) -> tuple[View, ...]:
        """The worst case, and the own curve beside it where that is known."""
        return (self.worst,) if self.own is None else (self.worst, self.own)

    def words(self, audience: str) -> list[str]:
        """Return the card in plain sentences.

        Args:
            audience: "person", "policy" or "engineer".

        Raises:
            InvalidInput: no such audience.
        """
        if audience not in AUDIENCES:
            raise InvalidInput(f"an audience is one of {', '.join(AUDIENCES)}, got {audience!r}.")
        return risk_words.told(self, audience)

    def html(self) -> str:
        """Return one self-contained page on which people move ε, δ and what they believed, and see what follows.

        Raises:
            MissingExtra: jinja2 is not installed.
        """
        return risk_page.html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain data."""
        return {
            "subject": self.subject,
            "relation": self.relation.value,
            "unit": None if self.unit is None else self.unit.to_dict(),
            "group": self.group,
            "views": [one.to_dict() for one in self.views],
            "unknown": self.unknown,
        }


def risk(
    subject: Release | Guarantee | events.Event,
    *,
    relation: Relation | str | None = None,
    delta: float | None = None,
    priors: Sequence[float] = DEFAULT.priors,
    false_positive_rates: Sequence[float] = DEFAULT.false_positive_rates,
    baselines: Sequence[float] = DEFAULT.baselines,
    group: int = 1,
) -> RiskCard:
    """Return what somebody could learn at most, from a proved or stated guarantee.

    Args:
        subject: A release, whose event gives its own curve; a guarantee, of which the worst case is all that is known;
            or an event. `events.Approximate(epsilon, delta)` is a pair that somebody states.
        relation: For an event: when two datasets are neighbours. An event that is bounded under another is refused.
        delta: For an event: at which δ its ε is stated.
        priors: Beliefs before the release, or shares of people who are in.
        false_positive_rates: Shares of those who are not in that an attacker accuses; above 0.
        baselines: Chances to guess something of a person's record without it.
        group: How many units change at once, for a household or a person's copies.

    Guarantee: no attacker passes any of the numbers, whatever they know of the other records.
    Evidence: proven, docs/proofs/risk.md.
    Assumes: the guarantee holds, or the event is what ran; that a prior or baseline was held without the record.
    Not protected: what is true of many people is learned with and without any one record.

    Raises:
        InvalidInput: an argument is out of range, or does not belong to this subject.
        UnsupportedEvent: the event is bounded under another relation, or no finite ε holds at `delta`.
    """
    asked = Asked(tuple(priors), tuple(false_positive_rates), tuple(baselines))
    if isinstance(group, bool) or not isinstance(group, int) or not 1 <= group <= LARGEST_GROUP:
        raise InvalidInput(f"group must be a whole number from 1 to {LARGEST_GROUP:,}, got {group!r}.")
    if isinstance(subject, Release | Guarantee):
        if relation is not None or delta is not None:
            raise InvalidInput(
                "a release or a guarantee names its own relation and delta.", remedy="Leave them out, or give an event."
            )
        stated = subject if isinstance(subject, Guarantee) else subject.guarantee
        event = subject.event if isinstance(subject, Release) else None
        name = f"the release {subject.name!r}" if isinstance(subject, Release) else "a guarantee"
        label = "estimate" if stated.evidence == "measured" else "guarantee"
        return _card(
            name, stated.unit.relation, stated.unit, (stated.epsilon, stated.delta), event, label, asked, group
        )
    if not isinstance(getattr(subject, "kind", None), str):
        raise InvalidInput(f"a risk is that of a Release, a Guarantee or an event, got {type(subject).__name__}.")
    chosen = _relation(subject, relation)
    pair, event = _pair(subject, delta)
    return _card(_named(subject), chosen, None, pair, event, "promise", asked, group)


def _card(
    name: str,
    relation: Relation,
    unit: PrivacyUnit | None,
    pair: tuple[float, float],
    event: events.Event | None,
    label: str,
    asked: Asked,
    group: int,
) -> RiskCard:
    epsilon, delta = pair
    together = _together(epsilon, delta, group)
    curve = worst(epsilon if math.isfinite(epsilon) else None, delta)
    most = view(
        "worst",
        "worst case of (ε, δ)",
        label,
        epsilon=together[0],
        delta=together[1],
        curve=None if curve is None else curve.group(group) if group > 1 else curve,
        method="no bound" if curve is None else "(ε, δ) alone",
        asked=asked,
    )
    own: View | None = None
    unknown: str | None = "only ε and δ are known, not what ran"
    if event is not None:
        try:
            own, unknown = (
                _own(ran.curve(event, delta), most.delta if most.delta < 1 else delta, label, asked, group).below(most),
                None,
            )
        except UnsupportedEvent as error:
            unknown = error.what
    return RiskCard(name, relation, unit, group, most, own, unknown)


def _own(found: ran.Ran, delta: float, label: str, asked: Asked, group: int) -> View:
    """Return the view of the mechanism's own curve; for a group its ε is asked anew, at the worst case's δ if it has one."""
    curve = found.curve if group == 1 else found.curve.group(group)
    epsilon = found.epsilon.upper if group == 1 else curve.epsilon(delta).upper
    return view(
        "own",
        "its own curve",
        label,
        epsilon=epsilon if math.isfinite(epsilon) else None,
        delta=delta,
        curve=curve,
        method=found.said,
        asked=asked,
    )


def _together(epsilon: float, delta: float, group: int) -> tuple[float | None, float]:
    """Return (kε, δ·(1 + e^ε + … + e^{(k-1)ε})), what k units together are left; None where nothing is."""
    if group == 1 or not math.isfinite(epsilon):
        return (epsilon if math.isfinite(epsilon) else None), delta
    ratio = group if epsilon == 0 else math.expm1(-group * epsilon) / math.expm1(-epsilon)
    steps = (group - 1) * epsilon + math.log(ratio)
    more = 0.0 if delta == 0 else math.exp(min(1.0, math.log(delta) + steps + 1e-12 * (1 + steps)))
    return (group * epsilon * MARGIN, more) if more < 1 else (None, 1.0)


def _relation(event: events.Event, relation: Relation | str | None) -> Relation:
    """Return the relation that an event is asked about, which has to be the one it is bounded under."""
    if relation is None:
        named = one_relation(event)
        if named is None:
            raise InvalidInput(
                "this event names no relation, and a risk is one under a relation.",
                remedy='Add relation="add_remove", "replace_one" or "zero_out".',
            )
        return named
    chosen = PrivacyUnit.from_dict({"relation": relation}).relation  # refuses what is none
    accounting.check_relation(event, chosen)
    return chosen


def _pair(event: events.Event, delta: float | None) -> tuple[tuple[float, float], events.Event | None]:
    """Return the (ε, δ) to state for an event, and the event where more than that is known of it."""
    if isinstance(event, events.Pure | events.Approximate):
        own = getattr(event, "delta", 0.0)
        if delta is not None and delta != own:
            raise InvalidInput(f"this event has δ = {own!r} of its own, got delta={delta!r}.", remedy="Leave it out.")
        return (event.epsilon, own), None
    if delta is None:
        raise InvalidInput("an event needs the delta at which its ε is stated.", remedy="For example delta=1e-6.")
    if isinstance(delta, bool) or not isinstance(delta, int | float) or not 0 <= delta < 1:
        raise InvalidInput(f"delta must lie in [0, 1), got {delta!r}.")
    epsilon = ran.curve(event, delta).epsilon.upper
    if not math.isfinite(epsilon):
        raise UnsupportedEvent(f"no finite ε holds for this event at δ = {delta!r}.", remedy="Ask at a larger δ.")
    return (epsilon, float(delta)), event


def _named(event: events.Event) -> str:
    if isinstance(event, events.Pure | events.Approximate):
        return "a stated (ε, δ)"
    return "; ".join(text[:1].lower() + text[1:] for text in mechanisms(event))
