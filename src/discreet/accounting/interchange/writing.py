"""Events as dp-accounting's trees."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from discreet import events
from discreet.accounting.interchange.conventions import MARGIN, NoisePer, check, share_of
from discreet.accounting.losses import check_relation
from discreet.errors import MissingExtra, UnsupportedEvent
from discreet.events import Relation


def to_dp_accounting(event: events.Event, *, relation: Relation, noise_per: NoisePer = "norm") -> Any:
    """Return the dp-accounting event of the same mechanism.

    Args:
        event: What ran, or will.
        relation: The one that the tree will be accounted under; that of the event's sampled parts.
        noise_per: As for `from_dp_accounting`: "norm" for PLDAccountant, "sensitivity" for RdpAccountant.

    Guarantee: the tree's loss, read as documented with the same `noise_per`, is not below that of `event`.
    Evidence: cited, as for `from_dp_accounting`.
    Not protected: errors of the accountant that reads it. PLDAccountant 0.6.0 takes any number of releases
        of randomised response for one.

    Raises:
        UnsupportedEvent: some part has no counterpart.
        MissingExtra: dp-accounting is not installed.
    """
    check(relation, noise_per)
    check_relation(event, relation)
    try:
        library = importlib.import_module("dp_accounting.dp_event")
    except ImportError:
        raise MissingExtra(
            "this needs the package 'dp-accounting', which is not installed.", remedy="Type: pip install dp-accounting"
        ) from None
    return _Writing(library, relation, noise_per).tree(event)


@dataclass(frozen=True, slots=True)
class _Writing:
    """The library whose events are built, and the conventions they are written under."""

    theirs: Any
    relation: Relation
    noise_per: NoisePer

    def tree(self, event: events.Event) -> Any:
        """Build what holds other events, or one of the single mechanisms."""
        match event:
            case events.Composed():
                parts = [self.tree(part) for part in event.events]
                return self.theirs.ComposedDpEvent(parts) if parts else self.theirs.NoOpDpEvent()
            case events.Repeated():
                return self.theirs.SelfComposedDpEvent(self.tree(event.event), event.count)
            case events.PoissonSampled():
                return self.theirs.PoissonSampledDpEvent(event.sample_rate, self.tree(event.event))
            case events.CyclicPoissonSampled():  # each unit takes part in at most so many of its steps
                turns = -(-event.steps // event.bands)
                return self.tree(
                    events.Repeated(turns, events.PoissonSampled(event.sample_rate, event.relation, event.event))
                )
            case events.FixedSizeSampled():
                return self._fixed(event)
            case events.PoissonSelection(mean=mean) if mean >= 1:
                return self.theirs.RepeatAndSelectDpEvent(self.tree(event.event), mean, math.inf)
            case events.PrivateSelection(shape=shape) if shape >= 0:
                return self.theirs.RepeatAndSelectDpEvent(self.tree(event.event), event.mean, shape)
        return self._single(event)

    def _single(self, event: events.Event) -> Any:
        share = share_of(self.relation, self.noise_per)
        match event:
            case events.Gaussian():
                return self.theirs.GaussianDpEvent(event.noise_multiplier * share)
            case events.Laplace():
                return self.theirs.LaplaceDpEvent(event.noise_multiplier * share)
            case events.DiscreteLaplace() if event.sensitivity.denominator == 1 and event.sensitivity % share == 0:
                rate = float(1 / event.scale)
                rate = rate if Fraction(rate) * event.scale >= 1 else math.nextafter(rate, math.inf)
                return self.theirs.DiscreteLaplaceDpEvent(rate, int(event.sensitivity) // share)
            case events.RandomizedResponse() if event.epsilon < 700:
                noise = event.categories / (event.categories + math.expm1(event.epsilon)) * (1 - MARGIN)
                return self.theirs.RandomizedResponseDpEvent(noise, event.categories)
            case events.ZCDP():
                return self.theirs.ZCDpEvent(event.rho)
            case events.TruncatedPoissonSampled(event=events.Gaussian(noise_multiplier=noise)):
                return self.theirs.TruncatedSubsampledGaussianDpEvent(
                    event.population_size, event.sample_rate, event.max_batch_size, noise * share
                )
            case events.NonPrivate():
                return self.theirs.NonPrivateDpEvent()
        raise UnsupportedEvent(
            f"{event.kind!r} with these parameters has no counterpart in dp-accounting.",
            remedy="Keep it as discreet's own JSON: discreet.events.to_json.",
        )

    def _fixed(self, event: events.FixedSizeSampled) -> Any:
        if share_of(self.relation, self.noise_per) != 1:
            raise UnsupportedEvent(
                "of dp-accounting's accountants only RdpAccountant knows fixed-size samples, and it reads their noise per "
                "sensitivity; written per norm, it would state too little.",
                remedy='Write it with noise_per="sensitivity".',
            )
        return self.theirs.SampledWithoutReplacementDpEvent(
            event.population_size, event.sample_size, self.tree(event.event)
        )
