import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.quantile_laws import answer_law, check_quantile_loss, distances, losses, neighbours, outcomes, softmax

from discreet import events
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.mechanisms import Extreme, Quantiles, Rng, quantiles
from discreet.testing import FixedRng

HALF = Fraction(1, 2)
QUARTERS = (Fraction(1, 4), HALF, Fraction(3, 4))


def made(ranks=(HALF,), *, epsilon=1.0, weight=1, low=0, high=9, relation=Relation.ADD_REMOVE):
    return Quantiles(ranks=ranks, epsilon=epsilon, weight=weight, low=low, high=high, relation=relation)


def extreme(which, *, epsilon=1.0, weight=1, low=0, high=9, relation=Relation.ADD_REMOVE):
    return Extreme(which=which, epsilon=epsilon, weight=weight, low=low, high=high, relation=relation)


@pytest.fixture
def few_cells(monkeypatch):
    monkeypatch.setattr(quantiles, "CELLS", 2)


# ---------------------------------------------------------------------------------- laws in closed form


def test_the_law_of_a_median():
    """Rows at 1 and 3 of 0 … 4: three candidates at distance 0, the ends one row away."""
    law = answer_law(made(epsilon=0.8, high=4), [0, 1, 0, 1, 0])
    far = math.exp(-0.8)
    assert law == pytest.approx({(x,): (1 if 0 < x < 4 else far) / (3 + 2 * far) for x in range(5)})


def test_a_value_that_holds_the_target_is_at_distance_0():
    """However many rows it has: seven at 1, the ranks 2 … 9 of ten rows; so is the one from rank 9 on."""
    law = answer_law(made((Fraction(9, 10),), epsilon=1.8, low=-1, high=2), [1, 1, 7, 1])
    weights = [math.exp(-8), math.exp(-7), 1, 1]
    assert law == pytest.approx({(x,): w / sum(weights) for x, w in zip(range(-1, 3), weights, strict=True)})


def test_the_rate_of_a_rank_far_from_the_middle():
    """2·max(q, 1 - q) is the reach of q: 3/2 for a quarter, so epsilon 0.6 buys a rate of 0.4."""
    law = answer_law(made((Fraction(1, 4),), epsilon=0.6, high=2), [0, 4, 4])
    weights = [math.exp(-0.4 * 2), 1, math.exp(-0.4 * 2)]
    assert law == pytest.approx({(x,): w / sum(weights) for x, w in enumerate(weights)})


def test_an_extreme_misses_downward_at_half_the_price():
    lowest = extreme("min", epsilon=3.0, high=4)
    assert lowest.target == math.ceil(math.log(19 * 4) / 2) == 3
    law = answer_law(lowest, [0, 1, 3, 5, 0])
    weights = [math.exp(-6), math.exp(-4), 1, math.exp(-1), math.exp(-6)]
    assert law == pytest.approx({(x,): w / sum(weights) for x, w in enumerate(weights)})
    mirrored = answer_law(extreme("max", epsilon=3.0, high=4), [0, 5, 3, 1, 0])
    assert mirrored == pytest.approx({(4 - x,): chance for (x,), chance in law.items()})


def test_an_extreme_of_fewer_rows_than_its_target_aims_at_the_other_end():
    law = answer_law(extreme("max", epsilon=3.0, high=4), [0, 1, 0, 1, 0])
    weights = [1, 1, math.exp(-2), math.exp(-2), math.exp(-4)]  # twice the rows that lack
    assert law == pytest.approx({(x,): w / sum(weights) for x, w in enumerate(weights)})


@pytest.mark.parametrize("mechanism", [made(high=3), extreme("min", high=3), extreme("max", high=3)], ids=str)
def test_nothing_is_an_ordinary_input(mechanism):
    assert answer_law(mechanism, [0] * 4) == pytest.approx({(x,): 0.25 for x in range(4)})
    assert 0 <= int(np.max(mechanism([], [], Rng()))) <= 3


def test_halving_draws_each_side_from_its_own_weight(few_cells):
    """The law of three ranks over two places, from the definition: root among four cells, a leaf on either side."""
    mechanism, counts = made(QUARTERS, epsilon=2.0, high=1), [4, 2]
    expected = {}
    root = softmax(distances([4, 4, 2, 2], Fraction(6)), HALF)  # 12 units of half a row; a step costs 1/2 each
    for cell, chance in enumerate(root):
        below, above = [4, 4, 2, 2][:cell], [4, 4, 2, 2][cell:]
        sides = []
        for side, first in ((below, 0), (above, cell)):
            places = [sum(w for c, w in enumerate(side, first) if c // 2 == x) for x in range(2)]
            reachable = sorted({c // 2 for c, _ in enumerate(side, first)})
            weights = [places[x] for x in reachable]
            law = softmax(distances(weights, Fraction(sum(side), 2)), HALF) if weights else [1.0]
            sides.append(dict(zip(reachable or [0], law, strict=True)))
        for (a, p), (b, q) in itertools.product(sides[0].items(), sides[1].items()):
            answer = (a, cell // 2, b)
            expected[answer] = expected.get(answer, 0.0) + chance * p * q
    assert answer_law(mechanism, counts) == pytest.approx(expected)


# ----------------------------------------------------------------------------------------- the guarantee

RANKS = [
    (HALF,),
    (Fraction(9, 10),),
    (Fraction(1, 4), Fraction(2, 3)),
    QUARTERS,
    (Fraction(1, 10), HALF, Fraction(4, 5)),
]


@pytest.mark.parametrize("relation", Relation)
@pytest.mark.parametrize("ranks", RANKS, ids=lambda ranks: "-".join(map(str, ranks)))
def test_no_tiny_neighbours_lose_more_than_is_charged(ranks, relation, few_cells):
    """Every step's range, and the whole loss, on all neighbours; somewhere the range comes near to the bound."""
    mechanism = made(ranks, epsilon=2.0, weight=2 if len(ranks) < 3 else 1, high=2, relation=relation)
    widest, largest = check_quantile_loss(mechanism)
    assert widest > 0.35 * float(mechanism._each)
    assert largest > 0.2 * mechanism.epsilon


@pytest.mark.parametrize(("ranks", "most"), [((HALF,), 1), ((Fraction(9, 10),), 8), (QUARTERS, 2)])
def test_the_range_is_attained(ranks, most, few_cells):
    mechanism = made(ranks, epsilon=2.0, high=2)
    assert check_quantile_loss(mechanism, most=most)[0] == pytest.approx(float(mechanism._each))


@pytest.mark.parametrize("relation", Relation)
@pytest.mark.parametrize("which", ["min", "max"])
def test_no_tiny_neighbours_of_extremes_lose_more(which, relation):
    mechanism = extreme(which, epsilon=6.0, weight=2, high=2, relation=relation)
    assert mechanism.target > 1
    assert check_quantile_loss(mechanism, most=4)[0] > 0.45 * mechanism.epsilon


@pytest.mark.parametrize(
    "mechanism", [made((Fraction(9, 10),), high=2), made(QUARTERS, high=2), extreme("max", high=2)]
)
def test_under_replace_one_coming_and_going_cost_half_each(mechanism, few_cells):
    """So a unit that leaves one histogram and joins another is charged one event, not two."""
    fields = {name: getattr(mechanism, name) for name in type(mechanism).__dataclass_fields__}
    replaced = type(mechanism)(**fields | {"relation": Relation.REPLACE_ONE})
    for first, second in neighbours(3, 2, 1, Relation.ADD_REMOVE):
        ratios = losses(outcomes(replaced, first), outcomes(replaced, second))
        assert max(abs(sum(ratio)) for ratio in ratios.values()) <= replaced.epsilon / 2 * (1 + 1e-9)


def test_events_charge_at_most_epsilon():
    assert made().event == events.ExponentialMechanism(1.0)
    assert made(QUARTERS).event == events.Repeated(2, events.ExponentialMechanism(0.5))
    assert made(QUARTERS[:2]).event == events.Repeated(2, events.ExponentialMechanism(0.5))
    nine = made(tuple(Fraction(i, 10) for i in range(1, 10)), epsilon=Fraction(1, 3))
    assert nine.event.count == 4
    assert Fraction(1, 3) - Fraction(1, 2**50) < 4 * Fraction(nine.event.event.epsilon) <= Fraction(1, 3)
    assert extreme("min", epsilon=Fraction(1, 3)).event.epsilon <= Fraction(1, 3)


@given(st.sets(st.fractions(Fraction(1, 50), Fraction(49, 50), max_denominator=60), min_size=3, max_size=40))
def test_halving_takes_the_steps_that_are_charged(ranks):
    mechanism = made(tuple(sorted(ranks)))

    def depth(whole, steps):
        if len(whole) == 2:
            return 0
        middle, share = quantiles._middle(whole, steps)
        assert 0 < middle < len(whole) - 1
        assert whole[0] + share * (whole[-1] - whole[0]) == whole[middle]
        return 1 + max(depth(whole[: middle + 1], steps - 1), depth(whole[middle:], steps - 1))

    assert depth(mechanism._whole, mechanism._steps) == mechanism._steps == len(ranks).bit_length()


# ------------------------------------------------------------------------------------------- accuracy


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("counts", [[0, 0, 0, 30], [30, 0, 0, 0], [7, 0, 9, 14], [0, 0, 0, 0], [40, 0, 0, 40]])
@pytest.mark.parametrize("ranks", [(HALF,), (Fraction(1, 10), Fraction(4, 5)), QUARTERS], ids=len)
def test_rank_error_holds(ranks, counts, level, few_cells):
    mechanism = made(ranks, epsilon=3.0, low=1, high=4)
    bound, total = mechanism.rank_error(level), sum(counts)
    rest = total / 2 if len(ranks) == 3 else 0  # a value of two cells is split in the middle only
    within = 0.0
    for answer, chance in answer_law(mechanism, counts).items():
        errors = [float(distances(counts, rank * total)[x - 1]) for rank, x in zip(ranks, answer, strict=True)]
        within += chance * (max(errors) <= bound + rest)
    assert within >= level - 1e-12


def test_rank_error_is_near_the_truth_in_the_worst_case():
    """One value has all rows, a few more than twice the bound: all other candidates are beyond it."""
    mechanism = made(epsilon=1.0, high=99)
    counts = [0] * 100
    counts[70] = 2 * math.ceil(mechanism.rank_error(0.9)) + 1
    assert 0.03 < 1 - answer_law(mechanism, counts)[70,] <= 0.1


def test_rank_errors_grow_down_the_tree():
    one, three, nine = (
        made(ranks, high=9999).rank_error(0.95)
        for ranks in [(HALF,), QUARTERS, tuple(Fraction(i, 10) for i in range(1, 10))]
    )
    assert one < 2 * three / 3 < nine / 2
    assert one == pytest.approx(math.log(9999 * 19), rel=1e-9)


@pytest.mark.parametrize("which", ["min", "max"])
def test_an_extreme_is_seldom_beyond_the_true_one(which):
    """The worst data: exactly the target's weight, and that at the far end."""
    mechanism = extreme(which, epsilon=1.5, weight=2, high=40)
    counts = [0] * 41
    counts[-1 if which == "min" else 0] = mechanism.target
    true = 40 if which == "min" else 0
    beyond = sum(chance for (x,), chance in answer_law(mechanism, counts).items() if x != true)
    assert 0.03 < beyond <= 0.05


def test_the_rank_error_of_an_extreme_holds():
    """The worst data: the target at the far end, everybody else at the other, with 39 candidates between the two."""
    highest = extreme("max", epsilon=1.5, weight=2, high=40)
    assert highest.rank_error(0.95) == pytest.approx(4 * math.log(19 * 40), rel=1e-9)
    counts = [math.ceil(highest.rank_error(0.95)), 0, 0, highest.target + 60]
    counts += [0] * 37
    beyond = np.array([sum(counts[x + 1 :]) for x in range(41)])
    off = np.maximum(beyond - highest.target, highest.target - beyond - counts)
    far = sum(chance for (x,), chance in answer_law(highest, counts).items() if off[x] > highest.rank_error(0.95))
    assert 0 < far <= 0.05


@pytest.mark.parametrize("kind", ["smooth", "tied"])
def test_a_median_of_4000_rows_misses_by_less_than_half_a_percent(kind):
    """Five rows to a unit in each of three groups, at epsilon = 1 for all three."""
    rng, noise = np.random.default_rng(), Rng()
    median = made(epsilon=Fraction(1, 3), weight=5, high=9999)
    errors = []
    for _ in range(300):
        rows = rng.normal(5000, 1500, 4000) if kind == "smooth" else 100 * rng.lognormal(1.8, 1, 4000).round()
        values, counts = np.unique(rows.round().clip(0, 9999).astype(np.int64), return_counts=True)
        (x,) = median(values, counts, noise)
        below, upto = counts[values < x].sum(), counts[values <= x].sum()
        errors.append(max(0, below - 2000, 2000 - upto) / 4000)
    assert np.mean(errors) < 0.005  # 0.0037 is expected of the smooth ones, with a standard error of 0.0002


# ------------------------------------------------------------------------- whatever the private numbers are


@pytest.mark.parametrize("mechanism", [made(high=5), made(QUARTERS, high=5), extreme("max", high=5)], ids=str)
def test_any_numbers_have_a_rule(mechanism):
    """Unsorted, doubled, out of the bounds, negative: the answer is that of the histogram that they stand for."""
    odd = mechanism([5, 2, -7, 2, 9, 2**70, 3], [1, 2, 3, 4, 5, 6, -8], FixedRng(1))
    plain = mechanism([0, 2, 3, 5], [3, 6, 0, 12], FixedRng(1))
    assert np.array_equal(odd, plain)


def test_counts_beyond_64_bits_are_added_up_exactly():
    eighths = tuple(Fraction(i, 8) for i in (1, 3, 5, 7))
    counts = [2**62] * 4
    assert made(eighths, high=50)([10, 20, 30, 40], counts, Rng()).tolist() == [10, 20, 30, 40]
    assert made(high=50)([10, 20, 30, 30, 40], [2**61, 2**61, 2**62, 2**62, 1], Rng()).tolist() == [30]
    assert extreme("max", high=50)([10, 40], counts[:2], Rng()) == 40


@pytest.mark.parametrize("low", [-(2**63), -(2**39), 2**63 - 2**40])
def test_the_widest_ranges(low):
    high = low + 2**40 - 1
    values, counts = np.array([low, low + 2**39, high]), [1000, 1000, 1000]
    wide = {"epsilon": 5.0, "low": low, "high": high}
    assert made(**wide)(values, counts, Rng()).tolist() == [low + 2**39]
    assert made((Fraction(1, 6), HALF, Fraction(5, 6)), **wide)(values, counts, Rng()).tolist() == values.tolist()
    assert extreme("min", **wide)(values, counts, Rng()) == low
    assert extreme("max", **wide)(values, counts, Rng()) == high
    assert low <= made(**wide)([], [], Rng())[0] <= high


def test_a_range_of_one_value():
    assert made(low=7, high=7)([], [], Rng()).tolist() == [7]
    assert made(QUARTERS, low=7, high=7)([7], [3], Rng()).tolist() == [7, 7, 7]
    assert extreme("max", low=7, high=7)([7], [3], Rng()) == 7
    assert extreme("max", low=7, high=7).target == 0


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.integers(0, 2**32))
def test_answers_increase_and_stay_in_bounds(counts, seed):
    ranks = tuple(Fraction(i, 7) for i in range(1, 7))
    for some in (ranks, ranks[:2]):
        answers = made(some, low=-3, high=2)(np.arange(-3, 3), counts, FixedRng(seed))
        assert answers.dtype == np.int64
        assert answers.size == len(some)
        assert (np.diff(answers) >= 0).all()
        assert -3 <= answers.min() <= answers.max() <= 2


WRONG = [
    lambda: made(()),
    lambda: made((0.5,)),
    lambda: made([HALF]),
    lambda: made((Fraction(0), HALF)),
    lambda: made((HALF, Fraction(1))),
    lambda: made((HALF, Fraction(1, 4))),
    lambda: made((HALF, HALF)),
    lambda: made(epsilon=0.0),
    lambda: made(epsilon=1e-30),
    lambda: made(weight=0),
    lambda: made(weight=1.0),
    lambda: made(weight=2**63),
    lambda: made(low=3, high=2),
    lambda: made(low=0.0),
    lambda: made(low=0, high=2**40),
    lambda: made(low=2**63 - 5, high=2**63 + 5),
    lambda: made(relation="add_remove"),
    lambda: extreme("top"),
    lambda: extreme("min", weight=True),
    lambda: made()([1, 2], [1], Rng()),
    lambda: made()(np.zeros(3), [1, 1, 1], Rng()),
    lambda: made()([1], [0.5], Rng()),
    lambda: made().rank_error(1.0),
    lambda: extreme("min").rank_error(0.0),
]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_wrong_uses_are_refused(wrong):
    with pytest.raises(InvalidInput):
        wrong()
