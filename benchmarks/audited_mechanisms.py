"""Every mechanism of `discreet.mechanisms` in a few settings, on neighbours that differ as much as they may, and less."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from audited import Case, Trial, gaussian_loss, loss, mass
from audited_ranks import ranked_cases
from audited_running import running_cases

from discreet import events
from discreet.audit import Claim, Pair, answer_pairs
from discreet.events import Relation
from discreet.mechanisms import (
    DiscreteGaussianMechanism,
    DiscreteLaplaceMechanism,
    ExponentialMechanism,
    KeySelection,
    NoisyMax,
    PermuteAndFlip,
    RandomizedResponse,
    Rng,
    WeightedKeySelection,
    discrete_gaussian,
    discrete_laplace,
)
from discreet.testing import keep_law, selection_law

RNG = Rng()
ADD, REPLACE = Relation.ADD_REMOVE, Relation.REPLACE_ONE
NO_MECHANISM = {  # public names of discreet.mechanisms that draw nothing about a dataset
    "Rng",
    "SumsSoFar",
    "Toeplitz",
    "discrete_gaussian_quantile",
    "discrete_gaussian_std",
    "discrete_laplace_quantile",
    "discrete_laplace_std",
    "key_weight",
}
FAR = 2**70  # beyond 64 bits: Python's own whole numbers


def mechanism_cases() -> Iterator[Case]:
    yield from laplace_cases()
    yield from gaussian_cases()
    yield from sampler_cases()
    yield from running_cases()
    yield from selection_cases()
    yield from ranked_cases()
    yield from response_cases()
    yield from key_cases()
    yield from weighted_cases()


def covers(name):
    return frozenset({f"mechanisms.{name}"})


# ------------------------------------------------------------------------------ additive noise


def vectors(step, third):
    """Yield neighbouring vectors and where they stand: one number moves by `step`, or three by `third` each."""
    yield "one number moves by all", [0, 0, 0], [step, 0, 0], 0
    if third:
        yield "three numbers move", [0, 0, 0], [third, -third, third], 0
    if step > 1:
        yield "half as far as allowed", [0], [step // 2], 0
    yield "beyond 64 bits", [0], [step], FAR
    yield "at the least whole number of 64 bits", [0, 0], [0, step], -(2**63)


def noised(mechanism):
    """Draw a mechanism of additive noise: so many copies of the vector in one call; told relative to where it stands."""

    def run(data, draws):
        base, moves = data
        exact = np.array([base + move for move in moves], dtype=object if base == FAR else np.int64)
        noisy = mechanism(np.tile(exact, draws), RNG)
        if base:
            noisy = noisy.astype(object) - base
        return noisy.astype(np.int64).reshape(draws, -1)

    return run


def noise_trials(step, third, own):
    for name, first, second, base in vectors(step, third):
        moved = [abs(a - b) for a, b in zip(first, second, strict=True)]
        yield Trial(Pair(name, (base, first), (base, second)), own(moved))


def laplace_cases():
    for sensitivity, scale in ((1, 1), (3, 6), (3, Fraction(4, 3)), (1000, Fraction(2345, 2)), (1, Fraction(1, 3))):
        mechanism = DiscreteLaplaceMechanism(Fraction(sensitivity), Fraction(scale))
        trials = noise_trials(sensitivity, sensitivity // 3, lambda moved, s=scale: float(sum(moved) / s))
        yield Case(
            "DiscreteLaplaceMechanism",
            f"sensitivity {sensitivity}, scale {scale}",
            Claim.event(mechanism.event, relation=ADD),
            noised(mechanism),
            tuple(trials),
            0.0,
            covers("DiscreteLaplaceMechanism"),
        )


def gaussian_cases():
    for squared, variance in ((1, 1), (48, 192), (48, Fraction(75, 4)), (3 * 500**2, 700**2), (12, 2)):
        mechanism = DiscreteGaussianMechanism(Fraction(squared), Fraction(variance))
        step, third = math.isqrt(squared), math.isqrt(squared // 3)
        yield Case(
            "DiscreteGaussianMechanism",
            f"sensitivity² {squared}, σ² {variance}",
            Claim.event(mechanism.event, relation=ADD),
            noised(mechanism),
            tuple(
                noise_trials(step, third, lambda moved, v=variance: gaussian_loss([(m, Fraction(v)) for m in moved]))
            ),
            None,
            covers("DiscreteGaussianMechanism"),
        )


def sampler_cases():
    pair = Pair("one number moves by all", 0, 2)
    for scale in (Fraction(2), Fraction(4)):
        yield Case(
            "discrete_laplace",
            f"added to a number that moves by 2, scale {scale}",
            Claim.event(events.DiscreteLaplace(Fraction(2), scale), relation=ADD),
            lambda data, draws, s=scale: data + discrete_laplace(draws, scale=s, rng=RNG),
            (Trial(pair, float(2 / scale)),),
            0.0,
            covers("discrete_laplace"),
        )
    for variance in (Fraction(4), Fraction(9, 2)):
        yield Case(
            "discrete_gaussian",
            f"added to a number that moves by 2, σ² {variance}",
            Claim.event(events.DiscreteGaussian(Fraction(4), variance), relation=ADD),
            lambda data, draws, v=variance: data + discrete_gaussian(draws, variance=v, rng=RNG),
            (Trial(pair, gaussian_loss([(2, variance)])),),
            None,
            covers("discrete_gaussian"),
        )


# ------------------------------------------------------------------------------ selection


def selection_cases():
    settings = ((1.0, 1, 2, False), (2.0, 3, 5, False), (1.0, 1, 4, True), (Fraction(3, 2), 2, 3, True))
    for kind, (epsilon, step, size, monotone) in itertools.product(
        (ExponentialMechanism, PermuteAndFlip, NoisyMax), settings
    ):
        mechanism = kind(epsilon=epsilon, sensitivity=step, monotone=monotone)
        yield Case(
            kind.__name__,
            f"ε {epsilon}, sensitivity {step}, {size} scores{', monotone' if monotone else ''}",
            Claim.event(mechanism.event, relation=ADD if monotone else REPLACE),
            chosen(mechanism),
            tuple(Trial(pair, selected(mechanism, pair)) for pair in score_pairs(size, step, monotone=monotone)),
            0.0,
            covers(kind.__name__),
            draws=8_000,
        )


def score_pairs(size, step, *, monotone):
    """Yield neighbouring scores: one moves, or all do; if they are monotone in one direction."""
    names = {"one answer up", "one answer down"} | (set() if monotone else {"one up, the rest down"})
    yield from (pair for pair in answer_pairs(size, step=step) if pair.name in names)
    apart = [-step * i for i in range(size)]
    yield Pair("the last of steps up by one", apart, [*apart[:-1], apart[-1] + step])
    if monotone:
        yield Pair("all but the best up", [5 * step] + [0] * (size - 1), [5 * step] + [step] * (size - 1))
    else:
        yield Pair("the best of steps down, the rest up", apart, [-step, *(score + step for score in apart[1:])])


def chosen(mechanism):
    def run(data, draws):
        scores = np.array(data, dtype=np.int64)
        return np.fromiter((mechanism(scores, RNG) for _ in range(draws)), dtype=np.int64, count=draws)

    return run


def selected(mechanism, pair):
    laws = [
        selection_law(mechanism.event, one, sensitivity=mechanism.sensitivity, monotone=mechanism.monotone)
        for one in (pair.first, pair.second)
    ]
    return loss(*laws, 0.0)


# ------------------------------------------------------------------------------ answers of one person each


def response_cases():
    for epsilon, categories in ((1.0, 2), (Fraction(1, 2), 2), (2.0, 3), (1.0, 12)):
        mechanism = RandomizedResponse(epsilon=epsilon, categories=categories)
        pairs = (
            Pair("the first category or the second", [0], [1], REPLACE),
            Pair("the first or the last, beside others", [1, 0, 1], [1, categories - 1, 1], REPLACE),
            Pair("beyond the categories, either way", [-5], [categories + 5], REPLACE),
            Pair("the last, or beyond it", [categories - 1], [categories + 5], REPLACE),
        )
        yield Case(
            "RandomizedResponse",
            f"ε {epsilon}, {categories} categories",
            Claim.event(mechanism.event, relation=REPLACE),
            lambda data, draws, m=mechanism: m(np.tile(np.array(data), draws), RNG).reshape(draws, -1),
            tuple(Trial(pair, 0.0 if pair.name.startswith("the last") else float(epsilon)) for pair in pairs),
            0.0,
            covers("RandomizedResponse"),
        )


# ------------------------------------------------------------------------------ keys


def key_cases():
    for epsilon, delta, groups in ((1.0, 0.05, 1), (2.0, 0.1, 2), (0.5, 0.01, 1), (1.5, 0.2, 3)):
        mechanism = KeySelection(epsilon=epsilon, delta=delta, max_groups=groups)
        last = mechanism.always_kept
        trials = [
            key_trial(mechanism, Pair(name, [count + 1] * moved, [count] * moved, ADD))
            for name, count, moved in (
                ("a person's own keys", 0, groups),
                ("one of others", 0, 1),
                ("keys of half as many as are sure to be kept", last // 2, groups),
                ("keys that one person makes sure", last - 1, groups),
            )
        ]
        yield Case(
            "KeySelection",
            f"ε {epsilon:g}, δ {delta:g}, {groups} keys a person",
            Claim.event(mechanism.event, relation=ADD),
            keys(mechanism),
            tuple({str(trial.pair.first): trial for trial in trials}.values()),
            delta,
            covers("KeySelection"),
        )
    mechanism = KeySelection(epsilon=2.0, delta=0.1, max_groups=2)  # under replace_one twice the number of keys
    trial = key_trial(mechanism, Pair("a person's key is another", [4, 2], [3, 3], REPLACE))
    yield Case(
        "KeySelection",
        "ε 2, δ 0.1, 1 key a person, replaced",
        Claim.event(mechanism.event, relation=REPLACE),
        keys(mechanism),
        (trial,),
        0.1,
        covers("KeySelection"),
    )


def keys(mechanism):
    return lambda data, draws: mechanism(np.tile(np.array(data), draws), RNG).reshape(draws, -1)


def key_trial(mechanism, pair):
    """Return the pair, and by how much the sets of keys kept differ."""
    table = keep_law(mechanism.event, max(*pair.first, *pair.second, 1))
    laws = [np.ones(1), np.ones(1)]
    for i, counts in enumerate((pair.first, pair.second)):
        for units in counts:
            laws[i] = np.outer(laws[i], [1 - table[units], table[units]]).ravel()
    return Trial(pair, loss(*laws, float(mechanism.delta)), mass(*laws, float(mechanism.epsilon)))


# ------------------------------------------------------------------------------ keys by weight


def weighted_cases():
    for rho, delta, spread, relation in (
        (0.5, 0.05, [57, 57, 57], ADD),
        (0.1, 0.1, [100], ADD),
        (2.0, 0.02, [44] * 5, ADD),
        (0.5, 0.05, [70, 70], REPLACE),
    ):
        turn = WeightedKeySelection(
            variance=Fraction(math.ceil(10_000 * (2 if relation is REPLACE else 1) / (2 * rho))),
            delta=delta,
            max_keys=Fraction(len(spread)),
            relation=relation,
            norm_squared=10_000,
        )
        claim = Claim.event(turn.event, relation=relation)
        pairs = weighted_pairs(turn, spread) if relation is ADD else weighted_replaced(turn, spread)
        yield Case(
            "WeightedKeySelection",
            f"ρ {rho:g}, δ {delta:g}, {len(spread)} keys a person{', replaced' if relation is REPLACE else ''}",
            claim,
            weighted(turn),
            tuple(weighted_trial(turn, pair, claim, 2 * delta) for pair in pairs),
            2 * delta,
            covers("WeightedKeySelection"),
        )


def weighted_pairs(turn, spread):
    """Yield totals of keys with and without a person; None is a key that nobody offers."""
    gone = [None] * len(spread)
    yield Pair("a person's own keys", [*spread, 300], [*gone, 300], ADD)
    yield Pair("keys at the threshold", [turn.threshold] * len(spread), [turn.threshold - w for w in spread], ADD)
    yield Pair(
        "one of others, the rest one's own", [turn.threshold, *spread[1:]], [turn.threshold - spread[0], *gone[1:]], ADD
    )


def weighted_replaced(turn, spread):
    yield Pair("a person's own keys are another's", [*spread, None, None], [None, None, *spread], REPLACE)
    high = [turn.threshold] * len(spread)
    low = [turn.threshold - w for w in spread]
    yield Pair("keys at the threshold go over", [*high, *low], [*low, *high], REPLACE)


def weighted(turn):
    def run(data, draws):
        offered = [i for i, total in enumerate(data) if total is not None]
        shown = np.zeros((draws, len(data)), dtype=np.bool_)
        totals = np.tile(np.array([data[i] for i in offered], dtype=np.int64), draws)
        shown[:, offered] = turn(totals, RNG).reshape(draws, -1)
        return shown

    return run


def weighted_trial(turn, pair, claim, delta):
    """Return the pair, and by how much the sets of keys kept differ."""
    laws = []
    for data in (pair.first, pair.second):
        law = np.ones(1)
        for total in data:
            kept = 0.0 if total is None else turn.keep_probability(total)[1]
            law = np.outer(law, [1 - kept, kept]).ravel()
        laws.append(law)
    return Trial(pair, loss(*laws, delta), mass(*laws, claim.epsilon(delta)))
