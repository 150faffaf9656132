"""Verdict and Finding: what an audit may say, and never more than that.

An audit that finds nothing has shown that this attack, with so many trials, found nothing. So no verdict says
"private", and a null result cannot be built or printed without its ceiling and its number of trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from discreet.audit.claims import Claim
from discreet.audit.statistics.bound import LowerBound, check_alpha, show_confidence, show_down
from discreet.audit.statistics.one_run import CurveTest
from discreet.audit.statistics.paired import Point
from discreet.errors import InvalidInput
from discreet.profiles import show_up
from discreet.release import Internal


class Verdict(StrEnum):
    """What an audit concludes about a claim.

    refuted: the claim is false, or a chance of at most alpha came up.
    consistent: what was tried did not refute the claim, though it could have.
    underpowered: these trials could not have refuted the claim, however good the attack.
    invalid design: the trials support no conclusion at all.
    """

    REFUTED = "refuted"
    CONSISTENT = "consistent"
    UNDERPOWERED = "underpowered"
    INVALID_DESIGN = "invalid design"


_WORDS = {
    Verdict.REFUTED: "The claim is false, or a chance of at most {alpha:.3g} came up.",
    Verdict.CONSISTENT: "This attack did not refute the claim. That is no proof of it.",
    Verdict.UNDERPOWERED: "These trials could not have refuted the claim, however good the attack. More trials are needed.",
    Verdict.INVALID_DESIGN: "The trials support no conclusion.",
}


@dataclass(frozen=True, slots=True)
class Finding(Internal):
    """What an audit found about a claim. Built by `judge`, or by `invalid_design`.

    Internal: it was computed from raw data outside of the door, so no release may hold it.

    Args:
        claim: What was to be broken.
        verdict: The conclusion.
        estimator: How, in words.
        alpha: The chance of a false alarm, all bounds and the point together.
        trials: How many independent trials it rests on.
        bounds: What was certified, each with its ceiling. Empty only if the design is invalid.
        point: An event's rates, where the audit has them: they can refute what no single ε describes.
        curve: A test of the claim's whole curve by one run, where the audit made one.
        notes: What a reader must know, in sentences.
    """

    claim: Claim
    verdict: Verdict
    estimator: str
    alpha: float
    trials: int
    bounds: tuple[LowerBound, ...]
    point: Point | None = None
    notes: tuple[str, ...] = ()
    curve: CurveTest | None = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if self.verdict is Verdict.INVALID_DESIGN:
            if not self.notes:
                raise InvalidInput("an invalid design needs a note that says why.")
            return
        if not self.bounds:
            raise InvalidInput(
                "a finding needs a lower bound, which has a ceiling: a null result says nothing without it.",
                remedy="Build it by Finding.judge from at least one LowerBound.",
            )
        if self.curve is not None and self.curve.profile is not self.claim.profile:
            raise InvalidInput("the test of a curve is about another curve than the claim's.")
        if self.verdict is not _verdict(self.claim, self.bounds, self.point, self.curve):
            raise InvalidInput(
                f"the bounds do not support the verdict {self.verdict.value!r}.", remedy="Build it by Finding.judge."
            )
        parts = [part.alpha for part in (*self.bounds, self.point, self.curve) if part is not None]
        if self.alpha < max(parts):
            raise InvalidInput(
                f"the finding's alpha, {self.alpha:g}, is below that of one of its parts, {max(parts):g}."
            )
        if self.trials < 1:
            raise InvalidInput(f"trials must be a whole number of at least 1, got {self.trials!r}.")

    @classmethod
    def judge(
        cls,
        claim: Claim,
        bounds: Sequence[LowerBound],
        *,
        estimator: str,
        alpha: float,
        trials: int,
        point: Point | None = None,
        notes: Sequence[str] = (),
        curve: CurveTest | None = None,
    ) -> Finding:
        """Return the finding with the verdict that bounds, point and test of the curve support.

        Experimental bounds are shown and refute nothing. `alpha` is the chance that any of the parts is false; parts
        that rest on one box of rates share it.

        Raises:
            InvalidInput: there is no bound.
        """
        held = tuple(bounds)
        verdict = _verdict(claim, held, point, curve)
        return cls(claim, verdict, estimator, float(alpha), trials, held, point, tuple(notes), curve)

    @classmethod
    def invalid_design(
        cls, claim: Claim, *, estimator: str, alpha: float, trials: int, notes: Sequence[str]
    ) -> Finding:
        """Return the finding of an audit whose design supports no conclusion; the notes say why."""
        return cls(claim, Verdict.INVALID_DESIGN, estimator, float(alpha), trials, (), None, tuple(notes))

    @property
    def certified(self) -> bool:
        """Whether all bounds are proved."""
        return all(bound.certified for bound in self.bounds)

    def __str__(self) -> str:
        lines = [
            f"{self.verdict.value}: {self.claim}",
            _WORDS[self.verdict].format(alpha=self.alpha),
            *(str(bound) for bound in self.bounds),
        ]
        if self.point is not None:
            lines.append(
                f"an event with at most {show_up(self.point.false_positive_rate)} false positives and at least "
                f"{show_down(self.point.true_positive_rate, 4)} true ones; the claim allows "
                f"{show_up(self.claim.most(self.point.false_positive_rate))}"
            )
        if self.curve is not None:
            lines.append(
                f"the claim's whole curve {'is' if self.curve.rejected else 'is not'} refuted: {self.curve.estimator}"
            )
        lines.append(f"{self.estimator}; confidence {show_confidence(self.alpha)}; {self.trials:,} trials")
        return "\n".join([*lines, *self.notes, self.note])

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain data; it stays internal."""
        return {
            "internal": self.note,
            "claim": self.claim.to_dict(),
            "verdict": self.verdict.value,
            "words": _WORDS[self.verdict].format(alpha=self.alpha),
            "estimator": self.estimator,
            "alpha": self.alpha,
            "trials": self.trials,
            "bounds": [bound.to_dict() for bound in self.bounds],
            "point": None if self.point is None else self.point.to_dict(),
            "curve": None if self.curve is None else self.curve.to_dict(),
            "certified": self.certified,
            "notes": list(self.notes),
        }


def _verdict(claim: Claim, bounds: tuple[LowerBound, ...], point: Point | None, curve: CurveTest | None) -> Verdict:
    """Return what the evidence says; only certified bounds count."""
    proved = [bound for bound in bounds if bound.certified]
    refuted = [
        any(_beyond(claim, bound, bound.value) for bound in proved),
        point is not None and _outside(claim, point),
        curve is not None and curve.rejected,
    ]
    if any(refuted):
        return Verdict.REFUTED
    possible = [
        any(_beyond(claim, bound, bound.ceiling) for bound in proved),
        point is not None and _outside(claim, point.ceiling),
        curve is not None and curve.could_reject,
    ]
    return Verdict.CONSISTENT if any(possible) else Verdict.UNDERPOWERED


def _beyond(claim: Claim, bound: LowerBound, value: float) -> bool:
    """Whether a lower bound of this value contradicts the claim."""
    if bound.quantity == "epsilon":
        return value > claim.epsilon(bound.delta)
    return claim.mu is not None and value > claim.mu


def _outside(claim: Claim, point: Point) -> bool:
    return claim.refuted_by(false_positive_rate=point.false_positive_rate, true_positive_rate=point.true_positive_rate)
