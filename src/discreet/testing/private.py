"""check_private: a mechanism's outputs, told apart as well as can be, for a test to run on each change."""

from __future__ import annotations

from collections.abc import Iterable

from discreet.audit import Claim, Pair, Verdict, mechanism
from discreet.audit.tester import Run
from discreet.errors import InvalidInput
from discreet.testing.conformance import Nonconforming
from discreet.testing.fit import FALSE_ALARM


def check_private(run: Run, *, claim: Claim, pairs: Iterable[Pair], draws: int = 50_000) -> None:
    """Check that the outputs of a mechanism on neighbouring datasets do not refute its claim.

    A mechanism that keeps its claim fails once in 1e8 runs, at most. That it passes is no proof of the claim.

    Args:
        run: `run(data, draws)` returns so many independent outputs; see `discreet.audit.mechanism`.
        claim: What the mechanism promises.
        pairs: Neighbours under the claim's relation.
        draws: How many outputs from each dataset of each pair.

    Raises:
        Nonconforming: the claim is refuted; the message holds a counterexample.
        InvalidInput: so few draws could not refute the claim, whatever the mechanism does.
    """
    found = mechanism(run, claim=claim, pairs=pairs, draws=draws, alpha=FALSE_ALARM)
    if found.refuted:
        raise Nonconforming(str(found))
    if found.verdict is Verdict.UNDERPOWERED:
        raise InvalidInput(
            f"{draws} draws could not refute {claim}, whatever the mechanism does: this check could not fail.",
            remedy="Raise draws, or let the mechanism run at a smaller ε here.",
        )
