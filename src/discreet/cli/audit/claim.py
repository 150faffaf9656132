"""The claim that an audit's options make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from discreet.cli.output import WrongUse
from discreet.events import Relation

if TYPE_CHECKING:
    from discreet.audit import Claim


def claimed(
    relation: Relation,
    *,
    epsilon: float | None,
    delta: float | None,
    mu: float | None,
    rho: float | None,
    event: Path | None = None,
) -> Claim:
    """Return the claim; (ε, δ) if both are given, ε-DP if ε alone is.

    Raises:
        WrongUse: not exactly one of epsilon, mu, rho and event is given.
        InvalidInput: a value is out of range, or the file holds no event.
    """
    from discreet.audit import Claim
    from discreet.cli.runs import read

    if sum(one is not None for one in (epsilon, mu, rho, event)) != 1:
        raise WrongUse("a claim is one of --epsilon (with --delta), --mu, --rho and, where there is one, --event.")
    if event is not None:
        return Claim.event(read(event, relation).event, relation=relation)
    if mu is not None:
        return Claim.gdp(mu, relation=relation)
    if rho is not None:
        return Claim.zcdp(rho, relation=relation)
    assert epsilon is not None
    if not delta:
        return Claim.pure(epsilon, relation=relation)
    return Claim.approximate(epsilon, delta, relation=relation)
