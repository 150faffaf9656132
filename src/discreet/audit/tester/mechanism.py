"""`mechanism`: tries to refute a claim about a black box, from its outputs on neighbouring datasets alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from discreet.audit.claims import Claim, check_claim
from discreet.audit.statistics.bound import LowerBound, check_alpha, check_delta
from discreet.audit.statistics.paired import Counts, Point, epsilon_bound, mu_bound, point
from discreet.audit.tester.events import Allowed, Event, choose, goals, own_delta
from discreet.audit.tester.fitting import fitted
from discreet.audit.tester.outputs import Run, Table, read, shape_of
from discreet.audit.tester.pairs import Pair
from discreet.audit.tester.report import Cell, Counterexample, MechanismAudit
from discreet.audit.verdict import Finding
from discreet.errors import InvalidInput
from discreet.mechanisms import Rng

ESTIMATOR = "black box: events chosen by some of the draws, certified by the others (Clopper-Pearson)"
LEAST = 200  # draws
_TRAINING = 30_000  # draws that choose, at most: more choose hardly better
_SINGLY = 5_000  # draws of a mechanism whose calls repeat each other: each needs a call of its own
_PROBE = 64  # draws of the two calls that show whether they do
_REPEATS = (
    "Two calls gave the same outputs in the same order: the randomness is fixed. So every draw was a call of its own."
)
_TIMED = "Running times were looked at. They are noisy: see the counterexample again on a quiet machine."


def mechanism(
    run: Run,
    *,
    claim: Claim,
    pairs: Iterable[Pair],
    draws: int = 200_000,
    alpha: float = 1e-3,
    delta: float | None = None,
    timing: bool = False,
) -> MechanismAudit:
    """Try to refute `claim` from the outputs of a mechanism on pairs of neighbouring datasets.

    For each pair, a quarter of the draws (at most 30,000) trains: half of it fits classifiers, histograms and sets of
    values, half chooses, for both directions, the events that say most. The rest certifies them. What is looked at: the numbers themselves,
    singly and together, exact values, the last bits of floats, lattices, types, lengths, NaN, errors raised.

    Args:
        run: `run(data, draws)` returns so many independent outputs; `one_by_one` makes one of a function that
            returns a single output. Outputs are numbers, text, None, errors, or tuples, lists, arrays, dicts and
            sets of them.
        claim: What is to be refuted.
        pairs: Neighbours under the claim's relation, made up by you, or by `answer_pairs` or `record_pairs`.
        draws: How many outputs from each dataset of each pair.
        alpha: The chance of a false alarm, all pairs together.
        delta: At which δ a lower bound of ε is stated; by default the claim's own, and none for a curve.
        timing: Whether the running time counts as part of the output. Then every draw is a call of its own.

    Returns:
        The verdict with its bounds and their ceilings, and a counterexample if the claim is refuted.

    Raises:
        InvalidInput: `run` does not return as many outputs as it was asked for, outputs that cannot be compared, or
            nothing but errors on every dataset; there are no pairs, or pairs under another relation than the claim's.

    Guarantee:
        If the claim holds for every pair given, the chance that the verdict is "refuted", or that any bound
        exceeds the truth, is at most alpha.
    Evidence:
        Proven: docs/proofs/mechanism_tester.md.
    Assumes:
        Draws are independent, and the pairs are neighbours.
    Not protected:
        Pairs that were not tried, events too rare for so many draws, and whatever no feature shows: a verdict
        other than "refuted" is no proof.

    References:
        Ding et al., "Detecting violations of differential privacy" (StatDP), 2018; Bichsel et al., "DP-Sniper", 2021.
    """
    check_claim(claim)
    held = _checked(pairs, claim)
    check_alpha(alpha)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < LEAST:
        raise InvalidInput(f"draws must be a whole number of at least {LEAST}, got {draws!r}.")
    delta = own_delta(claim) if delta is None else check_delta(delta)
    allowed = Allowed.by(claim, delta)
    wanted = goals(claim, delta, allowed)
    repeats = any(_repeats(run, pair) for pair in held)
    box = _Box(run, singly=repeats or timing, timing=timing)
    draws = min(draws, _SINGLY) if repeats else draws

    half = min(draws // 4, _TRAINING) // 2
    chosen: list[tuple[Pair, list[Event]]] = []
    ran = False
    for pair in held:
        first, second = box.draw(pair, 2 * half)
        ran = ran or not (first.failed and second.failed)
        scorers = fitted(first.rows(0, half), second.rows(0, half))
        chosen.append((pair, choose(scorers, first.rows(half, 2 * half), second.rows(half, 2 * half), wanted)))

    if not ran:
        raise InvalidInput(
            f"run failed in all {box.draws:,} draws, on every dataset ({shape_of(first.outputs[0])}).",
            remedy="Call it once on a dataset of a pair: what never runs shows nothing about a mechanism.",
        )
    level = alpha / sum(len(events) for _, events in chosen)
    cells: list[tuple[Cell, Pair, Event]] = []
    for pair, events in chosen:
        first, second = box.draw(pair, draws - 2 * half)
        for event in events:
            found = point(_counts(event, first, second), alpha=level)
            most = allowed.at(found.false_positive_rate)
            cells.append((Cell(pair.name, event.side, str(event), found, most), pair, event))
    notes = [note for note, said in ((_REPEATS, repeats), (_TIMED, timing)) if said]
    return _concluded(claim, cells, box, delta=delta, alpha=alpha, notes=notes, fresh=draws - 2 * half)


def _checked(pairs: Iterable[Pair], claim: Claim) -> list[Pair]:
    held = list(pairs)
    if not held:
        raise InvalidInput("there are no pairs to tell apart.", remedy="Give at least one Pair.")
    for pair in held:
        if not isinstance(pair, Pair):
            raise InvalidInput(
                f"pairs holds a {type(pair).__name__}, not a Pair.", remedy="Write Pair(name, first, second)."
            )
        if pair.relation is not None and pair.relation is not claim.relation:
            raise InvalidInput(
                f"the pair {pair.name!r} is one of {pair.relation.value}, the claim holds under {claim.relation.value}.",
                remedy="Claim and pairs must be about the same neighbours.",
            )
    return held


@dataclass(slots=True)
class _Box:
    """The mechanism, and how often it ran."""

    run: Run
    singly: bool
    timing: bool
    draws: int = 0

    def draw(self, pair: Pair, draws: int) -> tuple[Table, Table]:
        """Return so many outputs on each dataset of a pair."""
        self.draws += 2 * draws
        if not self.singly:
            return read(_asked(self.run, pair.first, draws)), read(_asked(self.run, pair.second, draws))
        outputs: list[list[Any]] = [[], []]
        seconds: list[list[float]] = [[], []]
        sides = np.repeat([0, 1], draws)[np.argsort(Rng().words(2 * draws))]  # a busy machine slows both alike
        for side in sides.tolist():
            data = pair.second if side else pair.first
            start = perf_counter()
            (found,) = _asked(self.run, data, 1)
            seconds[side].append(perf_counter() - start)
            outputs[side].append(found)
        timed = [np.array(one) if self.timing else None for one in seconds]
        return read(_joined(outputs[0]), timed[0]), read(_joined(outputs[1]), timed[1])


def _asked(run: Run, data: Any, draws: int) -> Any:
    found = run(data, draws)
    if not isinstance(found, list | tuple | np.ndarray) or (isinstance(found, np.ndarray) and not found.ndim):
        raise InvalidInput(
            f"run must return a list, a tuple or an array of outputs, got a {type(found).__name__}.",
            remedy="If the mechanism returns a single output, wrap it: one_by_one(function).",
        )
    if len(found) != draws:
        raise InvalidInput(
            f"run was asked for {draws} outputs and returned {len(found)}.",
            remedy="If the mechanism returns a single output, wrap it: one_by_one(function).",
        )
    return found


def _joined(outputs: list[Any]) -> Any:
    """Return outputs that came one by one as one array if they are rows of numbers of one form."""
    kinds = {(one.dtype, one.shape) if isinstance(one, np.ndarray | np.generic) else None for one in outputs}
    return np.array(outputs) if len(kinds) == 1 and None not in kinds else outputs


def _repeats(run: Run, pair: Pair) -> bool:
    """Whether two calls give the same outputs in the same order, though the outputs of one call differ."""
    first, second = (read(_asked(run, pair.first, _PROBE)) for _ in range(2))
    return bool(np.array_equal(first.whole, second.whole)) and np.unique(first.whole).size > 1


def _counts(event: Event, first: Table, second: Table) -> Counts:
    mine, other = (first, second) if event.side == "first" else (second, first)
    return Counts(
        int(np.count_nonzero(event.holds(mine))), mine.size, int(np.count_nonzero(event.holds(other))), other.size
    )


def _concluded(
    claim: Claim,
    cells: list[tuple[Cell, Pair, Event]],
    box: _Box,
    *,
    delta: float | None,
    alpha: float,
    notes: list[str],
    fresh: int,
) -> MechanismAudit:
    trials = sum({id(pair): cell.point.counts.trials for cell, pair, _ in cells}.values())
    bounds, claimed = _bounds([cell.point for cell, _, _ in cells], claim, delta, alpha, trials)
    worst, pair, event = max(cells, key=lambda one: one[0].point.true_positive_rate - one[0].allowed)
    tried = len({id(one[1]) for one in cells})
    finding = Finding.judge(
        claim,
        bounds,
        estimator=f"{ESTIMATOR}; {len(cells)} events of {tried} {'pair' if tried == 1 else 'pairs'}",
        alpha=alpha,
        trials=trials,
        point=worst.point,
        notes=notes,
    )
    counterexample = None
    if finding.verdict == "refuted":
        first, second = box.draw(pair, fresh)
        counts = _counts(event, first, second)
        again = point(counts, alpha=alpha)
        counterexample = Counterexample(
            pair,
            event,
            counts,
            again=claim.refuted_by(
                false_positive_rate=again.false_positive_rate, true_positive_rate=again.true_positive_rate
            ),
        )
    mass = None if delta is None else max(_mass(cell.point, claim.epsilon(delta)) for cell, _, _ in cells)
    return MechanismAudit(finding, tuple(cell for cell, _, _ in cells), mass, box.draws, counterexample, claimed)


def _bounds(
    points: list[Point], claim: Claim, delta: float | None, alpha: float, trials: int
) -> tuple[list[LowerBound], tuple[float | None, ...]]:
    """Return the best bounds of all cells, and what the claim says of each; all cells hold together at alpha."""
    found: list[LowerBound] = []
    claimed: list[float | None] = []
    if delta is not None:
        best = max((epsilon_bound(one.counts, delta=delta, alpha=one.alpha) for one in points), key=lambda b: b.value)
        found.append(best)
        claimed.append(claim.epsilon(delta) if math.isfinite(claim.epsilon(delta)) else None)
    if delta is None or claim.mu is not None:
        found.append(max((mu_bound(one.counts, alpha=one.alpha) for one in points), key=lambda b: b.value))
        claimed.append(claim.mu)
    words = "best event of all pairs, both directions"
    return [replace(one, alpha=alpha, trials=trials, estimator=words) for one in found], tuple(claimed)


def _mass(found: Point, epsilon: float) -> float:
    """Return the δ that this point needs at ε: by how much it lies above e^ε times the other rate."""
    odds = math.exp(min(epsilon, 700.0))
    return max(
        0.0,
        (found.true_positive_rate - odds * found.false_positive_rate) * (1 - 1e-14) - 1e-15,
        (found.true_negative_rate - odds * found.false_negative_rate) * (1 - 1e-14) - 1e-15,
    )
