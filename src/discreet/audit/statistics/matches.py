"""Matches: how many units that a release resembles were in the training data, and how many held out.

A unit matches or not by a rule that was set beforehand and never looks at which side it is on. Held-out units that
match do so by coincidence, so they say how many training units would.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import partial

from discreet.audit.statistics.bound import LowerBound, check_alpha, check_delta
from discreet.audit.statistics.coins import check_rate
from discreet.audit.statistics.one_run import largest, leverage, most_right
from discreet.audit.statistics.rates import (
    binomial_lower_tail,
    binomial_upper_tail,
    check_whole,
    hypergeometric_lower_tail,
    hypergeometric_upper_tail,
)
from discreet.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Matches:
    """Matches of units that independent coins put into training, each with the chance `rate`.

    Args:
        training: How many training units match.
        held_out: How many held-out units match.
        units: How many units there are.
        rate: The chance with which each was put into training.
    """

    training: int
    held_out: int
    units: int
    rate: float = 0.5

    def __post_init__(self) -> None:
        _check(self.training, self.held_out, self.units)
        check_rate(self.rate)

    @property
    def total(self) -> int:
        """All matches."""
        return self.training + self.held_out

    def upper_tail(self, training: int, matches: int) -> float:
        """Return the chance that, of so many matches without cause, at least so many are in training."""
        return float(binomial_upper_tail(training, matches, self.rate)) if matches else 1.0

    def lower_tail(self, training: int, matches: int) -> float:
        """Return the chance that, of so many matches without cause, at most so many are in training."""
        return float(binomial_lower_tail(training, matches, self.rate)) if matches else 1.0


@dataclass(frozen=True, slots=True)
class SplitMatches:
    """Matches of units of which a uniformly drawn set of a fixed size was put into training.

    Args:
        training: How many training units match.
        held_out: How many held-out units match.
        units: How many units there are.
        trained: How many of them were put into training.
    """

    training: int
    held_out: int
    units: int
    trained: int

    def __post_init__(self) -> None:
        _check(self.training, self.held_out, self.units)
        check_whole("trained", self.trained, least=1)
        if self.trained >= self.units:
            raise InvalidInput(f"of {self.units} units some must be held out, got {self.trained} in training.")
        if self.training > self.trained or self.held_out > self.units - self.trained:
            raise InvalidInput("more units match than there are on that side.")

    @property
    def total(self) -> int:
        """All matches."""
        return self.training + self.held_out

    def upper_tail(self, training: int, matches: int) -> float:
        """Return the chance that, of so many matches without cause, at least so many are in training."""
        return hypergeometric_upper_tail(training, self.units, self.trained, matches)

    def lower_tail(self, training: int, matches: int) -> float:
        """Return the chance that, of so many matches without cause, at most so many are in training."""
        return hypergeometric_lower_tail(training, self.units, self.trained, matches)


def zero_learning(matches: Matches | SplitMatches) -> float:
    """Return the p-value of "the release does not depend on who was in training", rounded up.

    Guarantee: if it does not, a p-value of at most α has a chance of at most α.
    Evidence: proven, docs/proofs/audit_lists.md.
    Assumes: sides drawn by coins or by a uniform split, after the rule for a match was set; one count for each unit.
    """
    return matches.upper_tail(matches.training, matches.total)


def epsilon_bound(matches: Matches, *, delta: float, alpha: float) -> LowerBound:
    """Return the ε up to which the matches refute (ε, delta)-DP.

    Guarantee: if the release is (ε, delta)-DP when one unit is put into training or left out, the chance that the
        bound exceeds ε is at most alpha.
    Evidence: proven, docs/proofs/one_run.md: units that match are guessed to be in. Their number depends on the
        release, so δ and the tail of the binomial law each get a part of alpha that is fixed beforehand.
    Assumes: independent coins; a rule for a match that was set beforehand and looks at the release and the unit alone.
    """
    if not isinstance(matches, Matches):
        raise InvalidInput(
            "a bound of ε needs units that independent coins put into training, not a split of fixed sizes.",
            remedy="Flip a coin for each unit; a fixed split allows the test of zero learning only.",
        )
    check_delta(delta)
    check_alpha(alpha)

    # However many guesses there are, the tail plus `reach` is a bound (a union bound); so is the tail plus
    # leverage·reach, where each of the two stays below a part of alpha that is fixed beforehand. Both rise with ε.
    reach = matches.units * matches.rate * delta
    part = min(reach, alpha / 2)

    def refuted(epsilon: float, right: int) -> bool:
        chance = most_right(epsilon, matches.rate)
        if float(binomial_upper_tail(right, matches.total, chance)) > (alpha - part) * (1 - 1e-12):
            return False
        return part == reach or leverage(matches.total, right, chance) * reach <= part

    if matches.total == 0:
        raise InvalidInput(
            "no unit matches: nothing can be said.", remedy="Set a rule for a match that coincidence meets at times."
        )
    return LowerBound(
        quantity="epsilon",
        value=largest(partial(refuted, right=matches.training)),
        ceiling=largest(partial(refuted, right=matches.total)),
        alpha=float(alpha),
        trials=matches.total,
        estimator="matches of training and held-out units",
        delta=float(delta),
    )


def attributable(matches: Matches | SplitMatches, *, alpha: float) -> tuple[int, int]:
    """Return a lower and an upper bound of how many training matches would not be, had their units been held out.

    Each holds with confidence 1 - alpha by itself.

    Guarantee: the chance that the lower bound exceeds that number is at most alpha, and so is the chance that the
        upper bound falls short of it.
    Evidence: proven, docs/proofs/audit_lists.md.
    Assumes: as `zero_learning`, and that whether a unit matches does not depend on the sides of the others.
    """
    check_alpha(alpha)

    def too_few(
        caused: int,
    ) -> bool:  # true up to some number: one match that was not caused is more likely than a tail
        return matches.upper_tail(matches.training - caused, matches.total - caused) <= alpha

    def possible(caused: int) -> bool:  # true up to some number, for the same reason
        return matches.lower_tail(matches.training - caused, matches.total - caused) > alpha

    lower = bisect_left(range(matches.training + 1), True, key=lambda caused: not too_few(caused))
    upper = bisect_left(range(matches.training + 1), True, key=lambda caused: not possible(caused)) - 1
    return lower, max(lower, upper)


def attributable_fraction(matches: Matches | SplitMatches) -> float:
    """Return the share of training matches beyond what the held-out ones lead to expect: an estimate, at least 0."""
    if matches.training == 0:
        return 0.0
    odds = (
        matches.rate / (1 - matches.rate)
        if isinstance(matches, Matches)
        else matches.trained / (matches.units - matches.trained)
    )
    return max(0.0, 1 - matches.held_out * odds / matches.training)


def _check(training: int, held_out: int, units: int) -> None:
    check_whole("training", training)
    check_whole("held_out", held_out)
    check_whole("units", units, least=2)
    if training + held_out > units:
        raise InvalidInput(f"{training + held_out} of {units} units cannot match: each counts once.")
