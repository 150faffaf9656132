"""A release's guarantee derived once more, by ways that its statement did not come by, and attacked.

A release states an (ε, δ) and holds the event that ran. Three things can be wrong with the pair: the number is below
what the event spends, the noise is not what the event says, or the event is not what ran. The first is found by
other accountants, the second by drawing the noise as the release drew it and attacking that, the third only by
looking at the training or the query itself (canaries, the mechanism tester).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from discreet import events
from discreet.accounting import analytic, check_relation, peers, profile
from discreet.accounting.composed import EngineProfile
from discreet.audit.claims import Claim
from discreet.audit.statistics import paired, thresholds
from discreet.audit.verdict import Finding, Verdict
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.mechanisms import Rng, discrete_gaussian, discrete_laplace
from discreet.profiles import show_delta, show_up
from discreet.release import Release

RUNS = 200_000  # of each of the two neighbours, drawn for the attack on the noise
CEILINGS = (100, 1000, 10_000, 100_000, 1_000_000)
MARGIN = 1 + 1e-9  # a statement may be rounded
NOT_ATTACKED = "not attacked; this event is more than additive noise, or moves it by less than a whole step"


@dataclass(frozen=True, slots=True)
class Derivation:
    """What one way says of the event at the release's δ.

    Args:
        method: Which way.
        lower: No ε below it can be proved of the event; 0 where nothing is known, None where the way gives no end.
        upper: This ε is proved; None if the way proves none.
        note: What else it said.
        ours: Whether it is discreet's own; a peer's answer is shown and decides nothing.
    """

    method: str
    lower: float | None
    upper: float | None
    note: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Rederived:
    """A release's statement beside what its event really spends.

    Args:
        name: The release's.
        claim: Its statement, as a claim.
        epsilon: As stated.
        delta: As stated.
        verdict: refuted: the event spends more than is stated, or the noise shows it. consistent: either could have
            shown it, and neither did. underpowered: neither could have.
        proved: Whether one of our own ways proves the statement; a guarantee that none proves is none.
        derivations: Every way that was tried.
        attack: The attack on the noise as it is drawn; None where the event is more than additive noise, or moves it
            by less than a whole step.
        ceilings: The largest ε that so many paired runs can certify at this δ, by number of runs.
    """

    name: str
    claim: Claim
    epsilon: float
    delta: float
    verdict: Verdict
    proved: bool
    derivations: tuple[Derivation, ...]
    attack: Finding | None
    ceilings: dict[int, float]

    @property
    def runs_needed(self) -> int | None:
        """The least listed number of paired runs that could certify more than is stated; None: more than a million."""
        return next((runs for runs, ceiling in self.ceilings.items() if ceiling > self.epsilon), None)

    def __str__(self) -> str:
        stated = f"ε = {show_up(self.epsilon)}, δ = {show_delta(self.delta)}"
        proved = "" if self.proved else "; NOT PROVED: no ε so small follows from its event"
        lines = [f"{self.verdict.value}: {self.name} states {stated} ({self.claim.relation.value}){proved}"]
        lines += [_line(one) for one in self.derivations]
        if self.attack is None:
            lines.append(f"noise: {NOT_ATTACKED}")
        else:
            lines.append(
                f"noise as drawn, against {self.attack.claim.text}: {self.attack.verdict.value}; {self.attack.bounds[0]}"
            )
        needed = "more than 1,000,000" if self.runs_needed is None else f"{self.runs_needed:,}"
        return "\n".join([*lines, f"even a perfect attack needs {needed} paired runs to refute this"])

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data. Nothing here was computed from the release's data."""
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "proved": self.proved,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "relation": self.claim.relation.value,
            "derivations": [
                {"method": one.method, "epsilon": one.upper, "epsilon_lower": one.lower, "note": one.note}
                for one in self.derivations
            ],
            "attack": None if self.attack is None else self.attack.to_dict(),
            "ceilings": [{"runs": runs, "epsilon": ceiling} for runs, ceiling in self.ceilings.items()],
            "runs_needed": self.runs_needed,
        }


def rederive(release: Release, *, alpha: float = 0.001) -> Rederived:
    """Derive a release's guarantee from its event once more, and attack its noise.

    Args:
        release: As it was written; its value and its data are not looked at.
        alpha: The chance of a false alarm of the attack.

    Raises:
        InvalidInput: its event is not bounded under the relation of its guarantee, or no curve of it is known.

    Guarantee: if the statement holds, "refuted" comes up with a chance of at most alpha.
    Evidence: proven: the lower end of a curve is not above what its event spends; docs/proofs/paired_audit.md for the
        attack.
    Assumes: the sampler that is attacked is the one that the release used.
    Not protected: an event that is not what ran. Neither way sees the query or the training.
    """
    stated, event = release.guarantee, release.event
    relation = stated.unit.relation
    claim = Claim.approximate(stated.epsilon, stated.delta, relation=relation)
    try:
        check_relation(event, relation)
        found = [_ours(event, stated.delta, kind) for kind in (profile, analytic)]
    except UnsupportedEvent as error:
        raise InvalidInput(
            f"the event of {release.name!r} bounds nothing under {relation.value}: {error.what}",
            remedy="The release's statement does not follow from what it says ran.",
        ) from None
    found += [
        Derivation(f"{answer.name} {answer.version}", None, answer.epsilon, answer.note, ours=False)
        for answer in (peers.ask(event, stated.delta) if stated.delta > 0 else ())
    ]
    attack = _attack(event, Claim.event(event, relation=relation), stated.delta, alpha)
    lower = [one.lower for one in found if one.ours and one.lower is not None]
    lower += [attack.bounds[0].value] if attack else []
    broken = max(lower, default=0.0) > stated.epsilon * MARGIN or (attack and attack.verdict is Verdict.REFUTED)
    upper = [one.upper for one in found if one.ours and one.upper is not None]
    tried = any(end > 0 for end in lower) or (attack and attack.verdict is Verdict.CONSISTENT)
    verdict = Verdict.REFUTED if broken else Verdict.CONSISTENT if tried else Verdict.UNDERPOWERED
    return Rederived(
        name=release.name,
        claim=claim,
        epsilon=stated.epsilon,
        delta=stated.delta,
        verdict=verdict,
        proved=min(upper, default=math.inf) <= stated.epsilon * MARGIN,
        derivations=tuple(found),
        attack=attack,
        ceilings={runs: paired.epsilon_ceiling(runs, runs, delta=stated.delta, alpha=alpha) for runs in CEILINGS},
    )


def _ours(event: events.Event, delta: float, kind: Any) -> Derivation:
    curve = kind(event)
    ends = curve.epsilon(delta)
    # The lower end of a pair that no mechanism need attain says nothing against a smaller statement.
    known = math.isfinite(ends.lower) and (curve.attained if isinstance(curve, EngineProfile) else True)
    lower = ends.lower if known else None
    return Derivation(curve.method, lower, ends.upper if math.isfinite(ends.upper) else None, "", ours=True)


def _line(one: Derivation) -> str:
    if one.upper is None:
        return f"{one.method}: {one.note or 'proves no ε at this δ'}"
    low = f", not below {one.lower:.4g}" if one.lower else ""
    return f"{one.method}: ε ≤ {show_up(one.upper)}{low}{'; ' + one.note if one.note else ''}"


# ---------------------------------------------------------------------------------- the attack


def _attack(event: events.Event, claim: Claim, delta: float, alpha: float) -> Finding | None:
    """Draw the log-likelihood ratio of two neighbours that differ as far as the event allows, under each of them."""
    found = list(_additive(event))
    additive = [part for part in found if part is not None]
    if len(additive) < len(found) or not any(shift for part in additive for shift in _shifts(part)):
        return None
    rng = Rng()
    inside, outside = np.zeros(RUNS), np.zeros(RUNS)
    for part in additive:
        for shift in _shifts(part):
            inside += _ratio(part, _noise(part, rng) + shift, shift)
            outside += _ratio(part, _noise(part, rng), shift)
    certify = partial(paired.epsilon_bound, delta=delta)
    bound = thresholds.split(inside, outside, alpha=alpha / 2, certify=certify)
    return Finding.judge(
        claim,
        [bound],
        # The likelihood ratio of 1 is the threshold at which wrong noise shows most, and needs no choosing.
        point=paired.point(thresholds.count(inside, outside, 0.0), alpha=alpha / 2),
        estimator="likelihood ratio of the noise as it is drawn",
        alpha=alpha,
        trials=inside.size + outside.size,
        notes=["Two made-up neighbours that differ as far as the event allows; no data was looked at."],
    )


Additive = events.DiscreteLaplace | events.DiscreteGaussian


def _additive(event: events.Event) -> Iterator[Additive | None]:
    """Yield the additive parts of an event, None for any other."""
    if isinstance(event, events.Composed):
        for part in event.events:
            yield from _additive(part)
    elif isinstance(event, events.Repeated):
        yield from [one for one in _additive(event.event) for _ in range(min(event.count, 64))]
    else:
        yield event if isinstance(event, Additive) else None


def _shifts(part: Additive) -> list[int]:
    """Return whole numbers whose sum, or sum of squares, is what the event allows, or just below."""
    if isinstance(part, events.DiscreteLaplace):
        return [math.floor(part.sensitivity)]
    left = math.floor(part.sensitivity_squared)
    found: list[int] = []
    while left and len(found) < 4:
        found.append(math.isqrt(left))
        left -= found[-1] ** 2
    return found


def _noise(part: Additive, rng: Rng) -> NDArray[np.int64]:
    if isinstance(part, events.DiscreteLaplace):
        return discrete_laplace(RUNS, scale=part.scale, rng=rng)
    return discrete_gaussian(RUNS, variance=part.variance, rng=rng)


def _ratio(part: Additive, values: NDArray[np.int64], shift: int) -> NDArray[np.float64]:
    """Return the logarithm of the chance of each value around `shift`, over that around 0."""
    x = values.astype(np.float64)
    if isinstance(part, events.DiscreteLaplace):
        found: NDArray[np.float64] = (np.abs(x) - np.abs(x - shift)) / float(part.scale)
    else:
        found = shift * (2 * x - shift) / float(2 * Fraction(part.variance))
    return found
