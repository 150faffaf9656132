"""What must hold between brackets, whatever the setting: they intersect, and they are monotone.

Every bracket claims to hold the truth, so that two brackets of one quantity which do not overlap prove that one is wrong.
This finds what no oracle would, and needs none.
"""

from __future__ import annotations

import contextlib
import math

import pytest

from discreet.accounting import profile
from discreet.accounting.composed import _profile
from discreet.accounting.curves import analytic
from discreet.accounting.engines.contour import Composition, Contour, NoContourError, contour
from discreet.accounting.engines.grid import TooFineError, grid
from discreet.errors import UnsupportedEvent
from discreet.events import (
    Approximate,
    Composed,
    Event,
    ExponentialMechanism,
    FixedSizeSampled,
    Gaussian,
    Laplace,
    PoissonSampled,
    Pure,
    RandomizedResponse,
    Relation,
    Repeated,
    TruncatedPoissonSampled,
)
from discreet.profiles import Bracket
from tests.reference.drawn import FRESH, KINDS, Setting, scale, setting, steps

NEAR = 1 + 1e-13  # numbers that a test itself computes in floats


def fresh(event: Event, delta: float) -> Bracket:
    """ε of a profile that was never asked before."""
    _profile.cache_clear()
    return profile(event).epsilon(delta)


def overlap(*brackets: Bracket) -> bool:
    return max(bracket.lower for bracket in brackets) <= min(bracket.upper for bracket in brackets)


def compositions(event: Event) -> list[Composition]:
    """The composed laws that the engines see, one for each direction."""
    return [solver.composition for solver in profile(event).above]


def lines(composition: Composition, questions: list[dict[str, float]]) -> list[Contour]:
    """The contours that there are: far from the saddle point some turn too fast."""
    made = []
    for question in questions:
        with contextlib.suppress(ArithmeticError):
            made.append(contour(composition, **question))
    return made


# ------------------------------------------------------------------------ one quantity, several ways


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_contours_intersect(kind, turn):
    """Of other windows, ends and nodes, and made for other ε and δ than are asked."""
    case = setting(kind)
    for composition in compositions(case.event):
        made = lines(composition, [{"delta": case.delta, "relative": part} for part in (1e-13, 1e-12, 1e-9, 1e-5)])
        assert made, case
        epsilon = made[0].near
        made += lines(composition, [{"epsilon": epsilon * factor + 1e-6} for factor in (0.6, 0.9, 1.0, 1.2, 1.7)])
        made += lines(composition, [{"delta": min(0.4, case.delta * factor)} for factor in (1e-3, 0.1, 30.0)])
        for at in (epsilon, 0.8 * epsilon, 1.3 * epsilon, 0.0):
            found = [line.delta(at) for line in made]
            where = f"{case!r}, delta({at!r}): {[(terms.lower, terms.upper) for terms in found]}"
            assert max(terms.lower for terms in found) <= min(terms.upper for terms in found), where


SHORT = {
    "responses": lambda: Repeated(steps(1, 200), RandomizedResponse(scale(0.05, 3), FRESH.choice([2, 3, 7]))),
    "Laplace": lambda: Repeated(steps(1, 40), Laplace(scale(1.0, 10))),
    "two lattices": lambda: Composed(
        (
            Repeated(steps(1, 30), RandomizedResponse(scale(0.2, 2), 2)),
            Repeated(steps(1, 30), RandomizedResponse(scale(0.2, 2), 3)),
        )
    ),
    "beside a Gaussian": lambda: Composed(
        (Repeated(steps(1, 30), RandomizedResponse(scale(0.1, 1), 2)), Gaussian(scale(0.5, 5)))
    ),
    "beside an atom of infinite loss": lambda: Composed((Repeated(9, Laplace(scale(1, 9))), Approximate(0.5, 1e-7))),
}


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("kind", SHORT)
def test_lattices_intersect(kind, turn):
    """Of other steps and tilts, with each other and with the contour where there is one."""
    event, delta = SHORT[kind](), scale(1e-6, 1e-2)
    for composition in compositions(event):
        made = []
        for relative, target in ((1e-3, delta), (1e-4, delta), (1e-5, delta), (1e-4, delta / 50)):
            try:
                made.append(grid(composition, delta=target, relative=relative))
            except TooFineError:
                continue
        try:
            made.append(contour(composition, delta=delta))
        except (NoContourError, ArithmeticError):
            assert made, event
        for at in (made[0].near, 0.7 * made[0].near, 1.2 * made[0].near, 3 * made[0].near):
            found = [engine.delta(at) for engine in made]
            where = f"{event!r} at {delta!r}, delta({at!r}): {[(terms.lower, terms.upper) for terms in found]}"
            assert max(terms.lower for terms in found) <= min(terms.upper for terms in found), where


@pytest.mark.parametrize("kind", ["DP-SGD", "responses and Gaussians", "fixed size"])
def test_the_contour_and_the_lattice_intersect(kind):
    case = setting(kind)
    repeats = 40
    for composition in compositions(case.event):
        few = Composition(tuple((law, min(count, repeats)) for law, count in composition.parts))
        try:
            line = contour(few, delta=1e-4)
        except (NoContourError, ArithmeticError):
            continue
        lattice = grid(few, delta=1e-4, relative=1e-3)
        for at in (line.near, 0.5 * line.near, 1.5 * line.near):
            one, other = line.delta(at), lattice.delta(at)
            assert one.lower <= other.upper, f"{case!r} at {at!r}"
            assert other.lower <= one.upper, f"{case!r} at {at!r}"


# ---------------------------------------------------------------------------- what changes nothing


@pytest.mark.parametrize("kind", KINDS)
def test_order_splitting_and_padding_change_nothing(kind):
    case = setting(kind)
    parts = case.event.events if isinstance(case.event, Composed) else (case.event,)
    split = []
    for part in parts:
        first = part.count // 3
        split += [Repeated(count, part.event) for count in (part.count - first, first) if count]
    shapes = [
        case.event,
        Composed(tuple(reversed(parts))),
        Composed(tuple(split)),
        Composed((Pure(0.0), Composed(()), case.event, Repeated(1_000, Pure(0.0)))),
        Composed((Composed(tuple(split[::2])), Composed(tuple(split[1::2])))),
        Composed((case.event, Approximate(0.0, 0.0))),
    ]
    found = [fresh(shape, case.delta) for shape in shapes]
    assert overlap(*found), f"{case!r}: {[bracket.to_dict() for bracket in found]}"
    assert max(bracket.upper for bracket in found) <= found[0].upper * (1 + 1e-6)


# ------------------------------------------------------------------------------------ what is monotone


def never_less(more: Bracket, less: Bracket, what: str) -> None:
    assert more.upper >= less.lower, what


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("relation", [Relation.ADD_REMOVE, Relation.REPLACE_ONE])
def test_more_of_anything_costs_more(relation, turn):
    rate, sigma, count, delta = scale(1e-4, 0.3), scale(0.6, 10), steps(200, 50_000), scale(1e-10, 1e-3)

    def cost(rate: float, sigma: float, count: int, delta: float) -> Bracket:
        return profile(Repeated(count, PoissonSampled(rate, relation, Gaussian(sigma)))).epsilon(delta)

    for step in (1 + 1e-9, 1.05):
        less = cost(rate, sigma, count, delta)
        where = f"{relation}, rate {rate!r}, sigma {sigma!r}, {count} steps, delta {delta!r}, factor {step!r}"
        never_less(cost(rate * step, sigma, count, delta), less, f"rate: {where}")
        never_less(cost(rate, sigma / step, count, delta), less, f"noise: {where}")
        never_less(cost(rate, sigma, math.ceil(count * step), delta), less, f"steps: {where}")
        never_less(cost(rate, sigma, count, delta / step), less, f"delta: {where}")


@pytest.mark.parametrize("turn", range(4))
def test_truncation_never_saves(turn):
    people, rate, sigma, count = steps(1_000, 1_000_000), scale(1e-3, 0.1), scale(0.7, 5), steps(500, 20_000)
    most = math.ceil(people * rate + FRESH.uniform(0.0, 5.0) * math.sqrt(people * rate))
    delta = scale(1e-9, 1e-4)
    cut = TruncatedPoissonSampled(rate, people, most, Relation.ZERO_OUT, Gaussian(sigma))
    whole = PoissonSampled(rate, Relation.ZERO_OUT, Gaussian(sigma))
    never_less(profile(Repeated(count, cut)).epsilon(delta), profile(Repeated(count, whole)).epsilon(delta), f"{cut!r}")


def test_replacing_costs_no_less_than_sampling_a_fixed_part():
    """Adding any event costs, whatever its kind."""
    for kind in KINDS:
        case = setting(kind)
        for more in (RandomizedResponse(0.1, 2), Laplace(5.0), Gaussian(9.0), Approximate(0.1, case.delta / 9)):
            grown = profile(Composed((case.event, more))).epsilon(case.delta)
            never_less(grown, profile(case.event).epsilon(case.delta), f"{case!r} and {more!r}")


# ------------------------------------------------------------------------------------------ inversion


@pytest.mark.parametrize("turn", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_the_two_questions_are_inverse(kind, turn):
    case = setting(kind)
    found = fresh(case.event, case.delta)
    _profile.cache_clear()
    again = profile(case.event)
    assert again.delta(found.upper).lower <= case.delta * NEAR, case
    assert again.delta(found.lower).upper >= case.delta / NEAR or found.lower == 0, case
    spent = again.delta(found.upper).upper
    assert again.epsilon(spent).lower <= found.upper * NEAR, case


@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_answers_alike_whatever_it_was_asked_before(kind):
    case = setting(kind)
    alone = fresh(case.event, case.delta)
    _profile.cache_clear()
    asked = profile(case.event)
    for factor in (0.0, 0.5, 0.99, 1.01, 1.5):
        asked.delta(factor * alone.upper)
    for factor in (1e-4, 10.0):
        asked.epsilon(min(0.3, case.delta * factor))
    assert overlap(alone, asked.epsilon(case.delta)), case
    for epsilon in (0.0, 0.5 * alone.upper, alone.upper, 1.5 * alone.upper):
        before = asked.delta(epsilon)
        _profile.cache_clear()
        assert overlap(before, profile(case.event).delta(epsilon)), f"{case!r} at {epsilon!r}"


@pytest.mark.parametrize("kind", KINDS)
def test_no_epsilon_is_too_large_to_ask_about(kind):
    """However small δ is there: 0 from below and Chernoff's bound from above are always known."""
    case = setting(kind)
    asked = profile(case.event)
    epsilon = asked.epsilon(case.delta).upper
    last = 1.0
    for factor in (1.5, 4.0, 20.0, 1e3, 1e6):
        found = asked.delta(factor * epsilon)
        assert 0 <= found.lower <= found.upper <= max(last * NEAR, 1e-250), f"{case!r} at {factor * epsilon!r}"
        last = found.upper


# -------------------------------------------------------------------------------------- other bounds


@pytest.mark.parametrize("kind", KINDS)
def test_no_bracket_lies_above_the_renyi_orders(kind):
    case = setting(kind)
    try:
        known = analytic(case.event)
    except UnsupportedEvent:
        pytest.skip("no Rényi order is known")
    assert profile(case.event).epsilon(case.delta).lower <= known.epsilon(case.delta).upper, case
    at = profile(case.event).epsilon(case.delta).upper
    assert profile(case.event).delta(at).lower <= known.delta(at).upper, case


def test_what_is_loose_is_left_out_below_and_counted_above():
    case = setting("DP-SGD")
    both = profile(Composed((case.event, ExponentialMechanism(0.5)))).epsilon(case.delta)
    alone = profile(case.event).epsilon(case.delta)
    assert overlap(Bracket(both.lower, both.lower), alone)
    assert both.upper >= alone.lower


# -------------------------------------------------------------------------------- no silent refusals


def extreme() -> Setting:
    count, rate, sigma = steps(1, 10_000_000), scale(1e-7, 1.0), scale(0.2, 20)
    event = FRESH.choice(
        [
            PoissonSampled(rate, Relation.ADD_REMOVE, Gaussian(sigma)),
            PoissonSampled(rate, Relation.REPLACE_ONE, Gaussian(sigma)),
            PoissonSampled(rate, Relation.ZERO_OUT, Laplace(scale(0.1, 100))),
            Laplace(scale(0.1, 1_000)),
            RandomizedResponse(scale(1e-4, 20), 2),
            FixedSizeSampled(1_000_000, math.ceil(rate * 1e6), Relation.REPLACE_ONE, Gaussian(sigma)),
        ]
    )
    return Setting(Repeated(count, event), (), scale(1e-15, 1e-3))


@pytest.mark.parametrize("turn", range(12))
def test_any_setting_is_bracketed_or_refused_with_a_reason(turn):
    case = extreme()
    try:
        found = profile(case.event).epsilon(case.delta)
    except UnsupportedEvent as refusal:
        reason = str(refusal)
    else:
        assert 0 <= found.lower <= found.upper < math.inf, f"{case!r}: {found.to_dict()}"
        assert found.width <= 1e-3 * found.upper or found.budget, f"wide, and not said why: {case!r}: {found.to_dict()}"
        return
    assert "Nothing was spent" in reason, case
